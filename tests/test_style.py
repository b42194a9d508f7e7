"""The style gate over chapters and package, and proof that each of its rules can fail."""

import subprocess
import sys
from pathlib import Path

import notebooks
import pytest
import style

ROOT = Path(__file__).resolve().parent.parent
SOURCES = notebooks.sources(ROOT)
LONG = "x = 1\n" * 26


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_chapter_reads_as_it_should(source):
    assert style.chapter_problems(source) == []


def test_the_package_reads_as_it_should():
    assert style.package_problems(ROOT / "mlcourse") == []


def test_ruff_has_nothing_to_say():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_tasks_and_learners_load_without_jupyter():
    code = (
        "import importlib, pkgutil, sys, mlcourse\n"
        "for part in ('tasks', 'learners'):\n"
        "    folder = mlcourse.__path__[0] + '/' + part\n"
        "    for m in pkgutil.iter_modules([folder]):\n"
        "        importlib.import_module(f'mlcourse.{part}.{m.name}')\n"
        "print(*{m.split('.')[0] for m in sys.modules} & {'IPython', 'ipywidgets', 'anywidget'})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stdout + done.stderr


# ---------------------------------------------------------------- each rule can fail


@pytest.mark.parametrize(
    "codes, word",
    [
        ([LONG], "a cell of 26 lines"),
        (["x = 1\n" * 6] * 3, "median code cell"),
        (["x = 1"] * 8 + ["x = 1\n" * 16], "one code cell in ten"),
        (["x = " + "1" * 85], "89 columns"),
    ],
)
def test_long_cells_are_found(codes, word):
    assert any(word in line for line in style.cell_problems(codes))


def test_good_cells_pass():
    codes = ["x = 1\n" * 5] * 9 + ["x = 1\n\n" * 25, "x = " + "1" * 84]
    assert style.cell_problems(codes) == []


@pytest.mark.parametrize(
    "code",
    [
        "from torch import *",
        "x = y.cuda()",
        "clear_output(wait=True)",
        "@interact\ndef f(a): pass",
        "@widgets.interact(a=1)\ndef f(a): pass",
        "plt.show()",
        "warnings.filterwarnings('ignore')",
        "warnings.simplefilter('ignore')",
        "%%capture\nx = 1",
        "#@title Solution",
        "%matplotlib inline",
    ],
)
def test_what_a_chapter_does_without_is_found(code):
    assert style.banned_code_problems([code])
    assert style.banned_code_problems(["import torch\nx = torch.ones(2)\nx.cpu()"]) == []


def function(lines):
    """A function of so many lines, with a docstring, a comment and blank lines besides."""
    body = "    x = 1\n" * (lines - 1)
    return f'def f():\n    """One.\n\n    Two.\n    """\n    # why\n\n{body}'


def test_long_functions_are_found():
    assert style.function_problems({"a": function(20), "b": "def f(): pass\n" * 3}, 20) == []
    assert "has 21 lines" in style.function_problems({"a": function(21)}, 20)[0]
    assert "median" in style.function_problems({"a": function(9)}, 20)[0]
    assert style.function_problems({"a": function(8)}, 20) == []


def chapter(tmp_path, *cells, name="01_x.py"):
    """A text source with these cells, Markdown where a cell begins with "# ", as its cells."""
    texts = ["# %% [markdown]\n" + c if c.startswith("# ") else "# %%\n" + c for c in cells]
    (tmp_path / name).write_text("\n\n".join(texts) + "\n")
    return style.cells_of(tmp_path / name)


def words(n):
    """A Markdown line of n words."""
    return "# " + " ".join(["word"] * n)


def test_too_many_and_too_few_words_are_found(tmp_path):
    good = [words(100)] * 25
    assert style.word_problems(chapter(tmp_path, *good), "01") == []
    assert "2500 words" in style.word_problems(chapter(tmp_path, *good), "00")[0]
    assert "1900 words" in style.word_problems(chapter(tmp_path, *good[:19]), "01")[0]
    assert "3100 words" in style.word_problems(chapter(tmp_path, *good, *good[:6]), "01")[0]
    assert "131 words" in style.word_problems(chapter(tmp_path, words(131)), "00")[0]


def test_prose_is_counted_without_code_tables_and_pictures():
    text = "# A title\n\n`x = 1` and $a + b$ [a link](https://x.org)\n\n| a | b |\n"
    assert style.word_count(text + "\n```\ncode here\n```\n![alt words](x.png)<br>") == 7


def test_words_before_a_code_cell_are_counted(tmp_path):
    cells = chapter(tmp_path, words(20), words(21), "x = 1", "x = 2", words(50), "x = 3", words(9))
    assert style.words_before_code(cells) == [41, 50]
    assert style.rhythm_problems(cells) == []
    assert style.rhythm_problems(chapter(tmp_path, words(29), "x = 1"))
    assert style.rhythm_problems(chapter(tmp_path, words(91), "x = 1"))


@pytest.mark.parametrize("text", ["This is simply so.", "Obviously, yes.", "Well done!"])
def test_filler_and_enthusiasm_are_found(tmp_path, text):
    assert style.tone_problems(chapter(tmp_path, f"# {text}"))


def test_exclamation_marks_of_code_and_maths_pass(tmp_path):
    cells = chapter(tmp_path, "# `a != b`, $n!$ and ![a picture](x.png), simple and obvious")
    assert style.tone_problems(cells) == []


@pytest.mark.parametrize(
    "place, code, word",
    [
        ("a.py", "x = 1", "the module has no docstring"),
        ("a.py", '"""A."""\ndef f(): pass', "f (line 2) has no docstring"),
        ("a.py", '"""A."""\nclass C:\n    """C."""\n    def m(self): pass', "m (line 4)"),
        ("tasks/a.py", '"""A."""\nimport ipywidgets.widgets', "imports ipywidgets"),
        ("learners/a.py", '"""A."""\ndef _f():\n    import IPython.display', "imports IPython"),
        ("a.py", '"""A."""\nfrom torch import *', "star import"),
        ("a.py", '"""A."""\n' + function(26), "has 26 lines"),
    ],
)
def test_what_the_package_does_without_is_found(tmp_path, place, code, word):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    assert any(word in line for line in style.package_problems(tmp_path))


def test_a_good_module_passes(tmp_path):
    code = '"""A."""\nimport IPython\ndef f():\n    """F."""\ndef _g(): pass'
    (tmp_path / "a.py").write_text(code)
    assert style.package_problems(tmp_path) == []


def test_magics_do_not_stop_the_gate():
    assert style.functions_in(style.plain_python("%time x = 1\nif x:\n    !ls\ndef f(): pass"))
