"""Source in, notebooks out: the build, the pair, what a committed notebook holds to, the wheel."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import checks
import jupytext
import nbformat
import notebooks
import publish
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
SOURCES = notebooks.sources(ROOT)
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
chapters = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)

HEADER = """\
# %% [markdown]
# # A toy
#
# With a sentence.

# %%
"""
TOY = """

# %% tags=["nbval-ignore-output"]
import ipywidgets, os
print("α"); print("β")
ipywidgets.IntSlider()

# %%
os.environ["MLCOURSE_FIXED_STEPS"], os.path.basename(os.getcwd())

# %%
x = 1

# %%
x = 1
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A small course with one chapter; Omniglot is pretended to be there."""
    root = tmp_path / "course"
    (root / "chapters" / "source").mkdir(parents=True)
    (root / "mlcourse").mkdir()
    (root / "mlcourse" / "__init__.py").write_text("")
    shutil.copy(ROOT / "pyproject.toml", root)
    archives = tmp_path / "archives"
    archives.mkdir()
    (archives / "images_background.zip").write_bytes(b"")
    monkeypatch.setenv("MLCOURSE_OMNIGLOT", str(archives))
    write_toy(root, TOY)
    return root


def write_toy(root, text):
    """Writes the toy chapter's source, its first cell as in every chapter."""
    path = root / "chapters" / "source" / "07_toy.py"
    path.write_text(HEADER + notebooks.FIRST_CELL.format(url="") + text)
    return path


def built(root):
    """Bytes of the toy's notebook."""
    return (root / "chapters" / "07_toy.ipynb").read_bytes()


# ---------------------------------------------------------------- the build


def test_a_build_executes_and_a_second_one_gives_the_same_bytes(toy):
    assert notebooks.main([], toy) == 0
    first = built(toy)
    notebook = nbformat.reads(first.decode(), 4)
    assert not checks.execution_problems(notebook)
    assert not checks.private_problems(notebook)
    assert notebook.cells[2].outputs[0].text == "α\nβ\n"
    assert notebook.cells[3].outputs[0].data["text/plain"] == "('1', 'chapters')"
    assert "version" not in notebook.metadata.language_info
    assert notebook.metadata.mlcourse.data == "omniglot"
    assert notebooks.main(["7", "--force"], toy) == 0
    assert built(toy) == first


def test_only_what_changed_is_built_again(toy, capsys):
    source = notebooks.sources(toy)[0]
    assert notebooks.main(["--check"], toy) == 1
    assert notebooks.main([], toy) == 0
    assert notebooks.main([], toy) == 0
    assert "0 built, 1 already current" in capsys.readouterr().out
    (toy / "mlcourse" / "assets.npz").write_bytes(b"new")
    assert not notebooks.is_current(source, toy)
    (toy / "mlcourse" / "assets.npz").unlink()
    assert notebooks.is_current(source, toy)
    write_toy(toy, TOY + "\n# %%\nprint(2)\n")
    assert not notebooks.is_current(source, toy)


def test_a_new_cell_changes_no_other_cells_id(toy):
    source = notebooks.sources(toy)[0]
    before = [cell.id for cell in notebooks.from_source(source).cells]
    assert len(set(before)) == len(before)  # two cells have the same text
    write_toy(toy, TOY.replace("# %%\nos.env", "# %%\nprint('new')\n\n# %%\nos.env"))
    after = [cell.id for cell in notebooks.from_source(source).cells]
    assert [i for i in after if i in before] == before


def test_a_failing_cell_is_named_and_the_old_notebook_stays(toy, capsys):
    assert notebooks.main([], toy) == 0
    old = built(toy)
    write_toy(toy, TOY + "\n# %%\nvalue = 1 / 0\n")
    assert notebooks.main([], toy) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in ("07_toy, cell 7", "value = 1 / 0", "ZeroDivisionError"))
    assert built(toy) == old


def test_nothing_is_built_without_omniglot(toy, capsys, monkeypatch):
    monkeypatch.delenv("MLCOURSE_OMNIGLOT")
    monkeypatch.delenv("MLCOURSE_DATA", raising=False)
    assert notebooks.main([], toy) == 1
    assert "MLCOURSE_OMNIGLOT" in capsys.readouterr().err
    assert notebooks.main(["--allow-generated"], toy) == 0
    assert nbformat.reads(built(toy).decode(), 4).metadata.mlcourse.data == "generated"
    assert not notebooks.is_current(notebooks.sources(toy)[0], toy)


def test_nothing_is_built_with_a_claim_that_was_not_judged(toy, capsys):
    claim = '{"chapter": "07", "sentence": "it works", "judged": false}'
    line = f"print('''{claim}''', file=open(os.environ['MLCOURSE_CLAIMS'], 'a'))"
    write_toy(toy, f"{TOY}\n# %%\n{line}\n")
    assert notebooks.main([], toy) == 1
    assert "it works" in capsys.readouterr().err


def test_an_unknown_chapter_is_one_sentence(toy, capsys):
    assert notebooks.main(["99"], toy) == 1
    assert "no chapter 99" in capsys.readouterr().err


# ---------------------------------------------------------------- publishing


def test_publish_sets_address_and_badge_everywhere_and_only_once(toy):
    source = notebooks.sources(toy)[0]
    assert notebooks.main([], toy) == 0
    outputs = [c.get("outputs") for c in nbformat.reads(built(toy).decode(), 4).cells]
    assert publish.main(["jane/learn-2.learn"], toy) == 0
    notebook = nbformat.reads(built(toy).decode(), 4)
    assert [c.get("outputs") for c in notebook.cells] == outputs
    assert notebooks.inputs(source) == notebooks.inputs(notebooks.product(source))
    assert notebooks.is_current(source, toy)
    assert notebook.cells[0].source == (
        "# A toy\n\n[![Open this chapter in Colab](https://colab.research.google.com/assets/"
        "colab-badge.svg)](https://colab.research.google.com/github/jane/learn-2.learn/blob/main/"
        "chapters/07_toy.ipynb)\n\nWith a sentence."
    )
    address = "git+https://github.com/jane/learn-2.learn"
    assert notebook.cells[1].source == notebooks.FIRST_CELL.format(url=address)
    project = tomllib.loads((toy / "pyproject.toml").read_text())
    assert project["project"]["urls"]["Repository"] == "https://github.com/jane/learn-2.learn"
    once = [built(toy), source.read_bytes(), (toy / "pyproject.toml").read_bytes()]
    assert publish.main(["jane/learn-2.learn"], toy) == 0
    assert once == [built(toy), source.read_bytes(), (toy / "pyproject.toml").read_bytes()]
    assert publish.main(["john/other"], toy) == 0
    assert b"jane" not in built(toy) + source.read_bytes() + (toy / "pyproject.toml").read_bytes()
    ids = [cell.id for cell in nbformat.reads(built(toy).decode(), 4).cells]
    assert ids == [cell.id for cell in notebooks.from_source(source).cells]


def test_publish_does_not_bless_a_stale_notebook(toy):
    assert notebooks.main([], toy) == 0
    (toy / "mlcourse" / "__init__.py").write_text("changed = True")
    assert publish.main(["jane/learn"], toy) == 0
    assert not notebooks.is_current(notebooks.sources(toy)[0], toy)


@pytest.mark.parametrize("repo", ["", "jane", "jane/", "https://github.com/j/x", "a b/c", "../x"])
def test_a_bad_repository_is_one_sentence(toy, capsys, repo):
    before = (toy / "pyproject.toml").read_text()
    assert publish.main([repo], toy) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (toy / "pyproject.toml").read_text() == before


# ---------------------------------------------------------------- the contributor's JupyterLab


def manager(folder):
    """JupyterLab's files with jupytext's pairing, as in `make edit`."""
    return jupytext.TextFileContentsManager(root_dir=str(folder))


def test_an_edit_in_the_notebook_reaches_the_source(toy):
    assert notebooks.main([], toy) == 0
    files, source = manager(toy), notebooks.sources(toy)[0]
    model = files.get("chapters/07_toy.ipynb")
    model["content"]["cells"][3]["source"] = "edited = 'in the notebook'"
    files.save(model, "chapters/07_toy.ipynb")
    assert "# %%\nedited = 'in the notebook'\n" in source.read_text()
    assert source.read_text().startswith(HEADER)
    assert notebooks.inputs(source) == notebooks.inputs(notebooks.product(source))


def test_an_edit_in_the_source_shows_in_the_notebook(toy):
    assert notebooks.main([], toy) == 0
    source = notebooks.sources(toy)[0]
    source.write_text(source.read_text().replace("With a sentence", "With another"))
    cells = manager(toy).get("chapters/07_toy.ipynb")["content"]["cells"]
    assert "With another." in cells[0]["source"]
    assert cells[2]["outputs"]  # those of the notebook


def test_saving_a_learners_copy_changes_nothing_else(toy):
    assert notebooks.main([], toy) == 0
    (toy / "my_course").mkdir()
    shutil.copy(toy / "chapters" / "07_toy.ipynb", toy / "my_course")
    before = {p: p.read_bytes() for p in toy.rglob("*") if p.is_file()}
    files = manager(toy)
    model = files.get("my_course/07_toy.ipynb")
    model["content"]["cells"][3]["source"] = "my_answer = 42"
    files.save(model, "my_course/07_toy.ipynb")
    after = {p: p.read_bytes() for p in toy.rglob("*") if p.is_file() and ".ipynb_ch" not in str(p)}
    changed = {p for p in after if before.get(p) != after[p]}
    assert changed == {toy / "my_course" / "07_toy.ipynb"}


@chapters
def test_saving_an_unchanged_chapter_changes_no_byte_of_its_source(path, tmp_path):
    (tmp_path / "chapters" / "source").mkdir(parents=True)
    source = tmp_path / "chapters" / "source" / f"{path.stem}.py"
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(path, tmp_path / "chapters")
    shutil.copy(path.parent / "source" / source.name, source)
    before = source.read_bytes()
    files = manager(tmp_path)
    files.save(files.get(f"chapters/{path.name}"), f"chapters/{path.name}")
    assert source.read_bytes() == before


# ---------------------------------------------------------------- the real chapters


def test_every_source_has_its_notebook_and_the_other_way_round():
    assert [notebooks.product(s) for s in SOURCES] == CHAPTERS


@chapters
def test_notebook_and_source_agree(path):
    source = path.parent / "source" / f"{path.stem}.py"
    mend = f"make notebooks CHAPTER={path.name[:2]}"
    assert notebooks.inputs(path) == notebooks.inputs(source), mend


@chapters
def test_a_committed_notebook_is_clean(path):
    assert checks.problems(path) == []


@chapters
def test_a_committed_notebook_was_built_on_omniglot_with_fixed_ids(path):
    notebook = nbformat.read(path, 4)
    assert notebook.metadata.mlcourse.data == "omniglot"
    ids = [cell.id for cell in notebook.cells]
    assert ids == [cell.id for cell in notebooks.name_cells(notebook).cells]


@chapters
def test_the_first_cell_is_the_same_everywhere(path):
    first = next(c for c in nbformat.read(path, 4).cells if c.cell_type == "code")
    site = PROJECT["project"].get("urls", {}).get("Repository", "")
    assert first.source == notebooks.FIRST_CELL.format(url=f"git+{site}" if site else "")


def test_the_first_cell_is_short():
    lines = notebooks.FIRST_CELL.format(url="").splitlines()
    assert len(lines) <= 6 and max(map(len, lines)) <= 88


# ---------------------------------------------------------------- each check can fail


def executed(source="1", outputs=(), **metadata):
    """A notebook with one executed cell."""
    cell = new_code_cell(source, execution_count=1, outputs=list(outputs), metadata=metadata)
    return new_notebook(cells=[cell])


def shown(**data):
    """An output; a kind's slash is written as two underscores."""
    return new_output("display_data", {k.replace("__", "/"): v for k, v in data.items()})


def test_execution_problems_are_found():
    bad = executed(outputs=[new_output("error", ename="E", evalue="", traceback=[])])
    assert checks.execution_problems(bad) == ["cell 1 ends in an error"]
    bad = executed(outputs=[new_output("display_data", {checks.WIDGET_VIEW: {}})])
    assert checks.execution_problems(bad) == ["cell 1 holds a widget view"]
    bad = new_notebook(cells=[new_code_cell("1")], metadata={"widgets": {}})
    assert len(checks.execution_problems(bad)) == 2
    expected = [new_output("error", ename="E", evalue="", traceback=[])]
    assert not checks.execution_problems(executed(outputs=expected, tags=["raises-exception"]))
    assert not checks.execution_problems(new_notebook(cells=[new_code_cell(" ")]))


@pytest.mark.parametrize(
    "text", ["in /home/jane/x.py", "<f at 0x7f12ab34cd>", "'/tmp/a/b'", r"C:\Users", f"{ROOT}/x"]
)
def test_private_outputs_are_found(text):
    assert checks.private_problems(executed(outputs=[new_output("stream", text=text)]))
    assert checks.private_problems(executed(outputs=[shown(text__html=text)]))


@pytest.mark.parametrize("text", ["3/4", "https://x.org/home/y", "0x1F", "</b> and/or", "1e-3"])
def test_harmless_outputs_pass(text):
    assert not checks.private_problems(executed(outputs=[new_output("stream", text=text)]))


def linked(tmp_path, text):
    """The link and picture problems of a notebook with this text, beside a file there.ipynb."""
    other = new_notebook(cells=[new_markdown_cell("## A heading")])
    nbformat.write(other, tmp_path / "there.ipynb")
    notebook = new_notebook(cells=[new_markdown_cell(f"# Own title\n\n{text}")])
    found = checks.link_problems(notebook, tmp_path / "here.ipynb")
    return found + checks.picture_problems(notebook)


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://nowhere)",
        "[a](https://arxiv.org/abs/1703.3400)",
        "<https://arxiv.org/abs/17033400>",
        "[a](absent.ipynb)",
        "[a](there.ipynb#Another-heading)",
        "[a](#Nothing)",
        "[a]()",
        "![](https://example.org/x.png)",
        "[![](https://example.org/x.png)](https://example.org)",
        "[![ok](absent.png)](https://example.org)",
        '<img src="x.png">',
    ],
)
def test_links_that_cannot_be_right_are_found(tmp_path, text):
    assert linked(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://arxiv.org/abs/1703.03400v3), [b](https://arxiv.org/pdf/1703.05175)",
        "[a](there.ipynb#A-heading) and [b](#Own-title)",
        "see https://example.org/a_(b), or `[a](nothing)` and $f[x](y)$",
        '[![badge](https://example.org/x.svg)](https://example.org) <img src="x" alt="words">',
    ],
)
def test_right_links_pass(tmp_path, text):
    assert linked(tmp_path, text) == []


def test_a_picture_in_an_output_needs_alt_text():
    assert checks.picture_problems(executed(outputs=[shown(text__html='<img src="data:x">')]))
    assert not checks.picture_problems(executed(outputs=[shown(text__html='<img alt="a curve">')]))


def test_a_large_notebook_is_found(tmp_path):
    (tmp_path / "x.ipynb").write_bytes(b" " * (2 * 2**20 + 1))
    assert checks.size_problems(tmp_path / "x.ipynb")


# ---------------------------------------------------------------- counting claims


NOTEBOOK_CELL = """\
import json, os
assert os.path.basename(os.environ["MLCOURSE_HOME"]) == "x.ipynb"
row = {"chapter": "07", "sentence": "it works", "judged": JUDGED}
with open(os.environ["MLCOURSE_CLAIMS"], "a") as out: print(json.dumps(row), file=out)"""


def run_claims(folder, judged, monkeypatch, ci):
    """Runs pytest, as `make test` does, on one notebook that makes one claim."""
    tests = folder / "tests"
    tests.mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tests)
    no_claims = "import os\ndef test(): assert 'MLCOURSE_CLAIMS' not in os.environ"
    (tests / "test_first.py").write_text(no_claims)
    cell = new_code_cell(NOTEBOOK_CELL.replace("JUDGED", judged), execution_count=1)
    nbformat.write(new_notebook(cells=[cell]), folder / "x.ipynb")
    monkeypatch.setenv("CI", ci)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    command += ["-c", str(ROOT / "pyproject.toml"), "--nbval", "--nbval-current-env"]
    command += ["tests", "x.ipynb"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_ci_demands_that_every_claim_is_judged(tmp_path, monkeypatch):
    done = run_claims(tmp_path, "False", monkeypatch, ci="true")
    assert "claims: 0 judged, 1 not judged (no Omniglot); CI demands" in done.stdout
    assert "2 passed" in done.stdout and done.returncode == 1


def test_a_laptop_without_omniglot_is_told_and_passes(tmp_path, monkeypatch):
    done = run_claims(tmp_path, "False", monkeypatch, ci="")
    assert "claims: 0 judged, 1 not judged (no Omniglot)\n" in done.stdout
    assert done.returncode == 0


# ---------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The course's wheel, built as pip would from a fresh copy."""
    from colab import build_wheel

    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_is_small_and_holds_the_whole_package(wheel):
    assert wheel.stat().st_size <= 10 * 2**20
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [p for p in (ROOT / "mlcourse").rglob("*") if p.is_file()]
    wanted = {p.relative_to(ROOT).as_posix() for p in files if p.suffix != ".pyc"}
    assert {name for name in packed if name.startswith("mlcourse/")} == wanted
