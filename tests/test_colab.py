"""Each chapter as in Colab: only its .ipynb and the wheel in an empty folder, an older IPython."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import colab
import nbformat
import notebooks
import pytest
from environment import settings
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
IMPORT_FAKE = "import google.colab.output\n"  # Colab's kernel has it from the start
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="borrows packages by symlinks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The course's wheel."""
    return colab.build_wheel(tmp_path_factory.mktemp("wheel"))


def ask(*arguments):
    """What the Colab-like Python says."""
    command = [str(colab.make_environment()), *arguments]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd="/", env=clean, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def frozen():
    """The packages of the environment, from which the course was just taken out."""
    colab.make_environment()
    ask("-m", "pip", "uninstall", "-q", "-y", "mlcourse")
    return ask("-m", "pip", "freeze").splitlines()


@pytest.fixture
def environment(tmp_path):
    """Settings of a build, for the Colab-like Python, in a folder of their own."""
    found = settings(tmp_path / "settings", colab.make_environment())
    startup = Path(found["IPYTHONDIR"]) / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "colab.py").write_text(IMPORT_FAKE)
    cache = os.environ.get("MLCOURSE_DATA", str(ROOT / "data"))
    return found | {"MLCOURSE_DATA": cache, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def run(notebook, folder, environment):
    """Executes a notebook there, its folder holding nothing of the checkout."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    with mock.patch.dict(os.environ, environment):
        os.environ.pop("PYTHONPATH", None)
        client.execute(env=dict(os.environ))


def empty_folder(tmp_path, *files):
    """A folder with these files only."""
    folder = tmp_path / "content"
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    return folder


def first_cell(then="", url=""):
    """A notebook that has the first cell of all chapters, and one more."""
    cells = [notebooks.FIRST_CELL.format(url=url), then]
    return new_notebook(cells=[new_code_cell(c) for c in cells if c])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_runs_with_nothing_but_itself_and_the_wheel(
    path, wheel, tmp_path, frozen, environment
):
    folder = empty_folder(tmp_path, path, wheel)
    run(nbformat.read(folder / path.name, 4), folder, environment)
    where = ask("-c", "import mlcourse; print(mlcourse.__file__)")
    assert Path(where.strip()).is_relative_to(colab.site_packages())
    after = ask("-m", "pip", "freeze").splitlines()
    assert [line for line in after if not line.startswith("mlcourse")] == frozen
    assert len(after) == len(frozen) + 1


def test_the_first_cell_takes_the_course_from_the_environment_variable(
    wheel, tmp_path, frozen, environment
):
    notebook = first_cell(then="import mlcourse")
    run(notebook, empty_folder(tmp_path), environment | {"MLCOURSE_SOURCE": str(wheel)})
    run(notebook, tmp_path / "content", environment)  # installed: a second time it does nothing


def test_without_wheel_and_address_the_first_cell_says_what_to_do(tmp_path, frozen, environment):
    notebook = first_cell()
    with pytest.raises(CellExecutionError):
        run(notebook, empty_folder(tmp_path), environment)
    error = next(o for o in notebook.cells[0].outputs if o.output_type == "error")
    assert error.ename == "SystemExit"
    assert error.evalue == "Put the file mlcourse-*.whl beside this notebook, then run again."


def test_the_environment_is_colabs(environment, tmp_path):
    lines = ask("-m", "pip", "freeze").splitlines()
    assert {"ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1"} <= set(lines)
    fake = "import sys; assert 'google.colab.output' in sys.modules"
    run(new_notebook(cells=[new_code_cell(fake)]), tmp_path, environment)
