"""What chapters, package and README promise each other."""

import ast
import inspect
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

import mlcourse.evaluation
import mlcourse.labs.ch00
import mlcourse.labs.ch01
import mlcourse.labs.ch02
import mlcourse.labs.ch03
import mlcourse.labs.ch04
import mlcourse.labs.ch05
import mlcourse.labs.ch06
import mlcourse.labs.ch07
import mlcourse.labs.ch08
import mlcourse.labs.ch09
import mlcourse.labs.ch10
import mlcourse.learners.head_to_head
import mlcourse.learners.maml
import mlcourse.learners.protonet
import mlcourse.learners.reptile
import mlcourse.learners.sine_features
import mlcourse.learners.transfer
import mlcourse.learners.wave_recognition
import mlcourse.tasks
import mlcourse.tasks.quadratics
from mlcourse.exercises import CHAPTERS, exercises_of
from mlcourse.symbols import SYMBOLS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "chapters" / "source").glob("*.py"))


def names_in_chapters() -> set[str]:
    """Variables, parameters and attributes of all code cells."""
    found = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
    return found


def names_in_signatures() -> set[str]:
    """Parameters of the package's public functions."""
    labs, learners = mlcourse.labs, mlcourse.learners
    modules = mlcourse.tasks, mlcourse.evaluation, mlcourse.tasks.quadratics, labs.ch00, labs.ch01
    modules = *modules, labs.ch02, labs.ch03, learners.protonet, learners.transfer
    modules = *modules, labs.ch04, labs.ch05, labs.ch06, labs.ch07, labs.ch08
    modules = *modules, learners.maml, learners.reptile
    modules = *modules, labs.ch09, learners.sine_features, learners.wave_recognition
    modules = *modules, labs.ch10, learners.head_to_head
    public = [thing for m in modules for name, thing in vars(m).items() if name[0] != "_"]
    public += [f for t in public if inspect.isclass(t) for f in vars(t).values()]
    ours = [f for f in public if inspect.isfunction(f) and f.__module__.startswith("mlcourse")]
    return {parameter for f in ours for parameter in inspect.signature(f).parameters}


@pytest.mark.parametrize("name", [name for *_, name in SYMBOLS])
def test_every_name_of_the_symbol_table_is_used(name):
    assert name in names_in_chapters() | names_in_signatures()


@pytest.mark.parametrize("exercise", [e for n, *_ in CHAPTERS for e in exercises_of(n)], ids=repr)
def test_every_stub_stands_in_its_chapter_and_is_checked_there(exercise):
    (source,) = (s for s in SOURCES if s.stem.startswith(exercise.chapter))
    cells = [c.source for c in jupytext.read(source, fmt="py:percent").cells]
    stub = exercise.stub.strip()
    holding = [i for i, cell in enumerate(cells) if stub in cell]
    assert len(holding) == 1
    function = re.match(r"def (\w+)", stub)[1]
    assert cells[holding[0] + 1].strip() == f"check.{exercise.name}({function})"


def test_an_unsolved_chapter_says_so():
    for source in SOURCES:
        notebook = nbformat.read(ROOT / "chapters" / f"{source.stem}.ipynb", 4)
        checks = [c for c in notebook.cells if c.source.startswith("check.")]
        assert len(checks) == len(exercises_of(source.stem[:2]))
        assert all("not attempted" in c.outputs[0].data["text/plain"] for c in checks)


def test_the_map_has_the_chapters_there_are():
    ready = {file for _, file, _, minutes in CHAPTERS if minutes}
    assert ready == {source.stem for source in SOURCES}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, file, title, minutes in CHAPTERS:
        if minutes:
            assert f"[{number} {title}](chapters/{file}.ipynb)" in readme
            assert re.search(rf"{re.escape(file)}\.ipynb\).*\| {minutes} \|", readme)


def test_the_readme_links_to_what_is_there():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), target


def test_the_minutes_of_the_sections_add_up():
    """The minutes of the core sections are those of the map."""
    for number, file, _, minutes in CHAPTERS:
        if minutes:
            text = (ROOT / "chapters" / "source" / f"{file}.py").read_text(encoding="utf-8")
            sections = re.findall(r"^# ## (.*)\n# \*(\d+) minutes\*", text, re.M)
            core = sum(int(m) for title, m in sections if "optional" not in title)
            assert abs(core - minutes) <= 1, (number, core)
