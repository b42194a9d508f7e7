"""One JupyterLab and one Chromium for all browser tests; every test opens a notebook of its own."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The folder and the address of a JupyterLab over fresh copies of the chapters."""
    labdriver = pytest.importorskip("labdriver")
    folder = tmp_path_factory.mktemp("course")
    for notebook in CHAPTERS.glob("*.ipynb"):
        shutil.copy(notebook, folder)
    with labdriver.server(folder, {"MLCOURSE_HOME": str(folder / "home")}) as address:
        yield folder, address


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    import labdriver

    with labdriver.browser() as browser:
        yield browser


@contextmanager
def chapters_of(lab, chromium):
    """open_it(name, width, height) -> Notebook; all are closed at the end."""
    import labdriver

    contexts = []

    def open_it(name: str, width: int = 1280, height: int = 800) -> labdriver.Notebook:
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        return labdriver.Notebook(page, lab[1], name)

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def open_chapter(lab, chromium):
    """open_chapter(name, width, height) -> Notebook, closed after the test."""
    with chapters_of(lab, chromium) as open_it:
        yield open_it


@pytest.fixture(scope="module")
def open_for_long(lab, chromium):
    """The same, closed when all tests of the module are done with it."""
    with chapters_of(lab, chromium) as open_it:
        yield open_it
