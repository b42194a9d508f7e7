"""Gives every test the settings of a build, and counts the claims that the chapters made."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from environment import settings
from nbval.plugin import IPyNbCell

FOLDER = "MLCOURSE_TEST_FOLDER"  # set by the first process, inherited by xdist's workers
HERE = Path(__file__).parent


class OwnSettings:
    """A plug-in, since hooks of this file would not be called for the notebooks in chapters/."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Each file begins without progress; only the claims of the notebooks themselves count."""
        os.environ["MLCOURSE_HOME"] = str(Path(os.environ[FOLDER]) / "homes" / item.path.name)
        if isinstance(item, IPyNbCell):
            os.environ["MLCOURSE_CLAIMS"] = str(claims_file())
        else:
            os.environ.pop("MLCOURSE_CLAIMS", None)


def is_main(config) -> bool:
    """False in a worker of pytest-xdist."""
    return not hasattr(config, "workerinput")


def pytest_configure(config):
    """Progress, predictions and claims of the tests live in a folder of their own."""
    config.pluginmanager.register(OwnSettings())
    if is_main(config):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="mlcourse-tests-")
        os.environ.update(settings(os.environ[FOLDER]))


def pytest_unconfigure(config):
    """The folder goes with the tests."""
    if is_main(config):
        shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Everything in tests/browser is a browser test."""
    for item in items:
        if (HERE / "browser") in item.path.parents:
            item.add_marker("browser")


def claims_file() -> Path:
    """Where notebooks write one JSON line a claim."""
    return Path(os.environ[FOLDER]) / "claims.jsonl"


def count_claims() -> tuple[int, int]:
    """Numbers of different claims that were judged and that were not."""
    path = claims_file()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    claims = {(c["chapter"], c["sentence"]): c["judged"] for c in map(json.loads, lines)}
    return sum(claims.values()), len(claims) - sum(claims.values())


def claims_are_demanded(config) -> bool:
    """CI demands that every claim is judged, in a run that executes the chapters."""
    return os.environ.get("CI") == "true" and config.option.nbval


def pytest_sessionfinish(session):
    """In CI a claim that was not judged, or no claim at all, fails the run."""
    if is_main(session.config) and claims_are_demanded(session.config):
        judged, unjudged = count_claims()
        if unjudged or not judged:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """One line: how many claims were judged, and how many could not be."""
    judged, unjudged = count_claims()
    if not (judged or unjudged or config.option.nbval):
        return
    line = f"claims: {judged} judged"
    line += f", {unjudged} not judged (no Omniglot)" if unjudged else ""
    if claims_are_demanded(config) and (unjudged or not judged):
        line += "; CI demands that every claim is judged: FAILED"
    terminalreporter.write_line(line)
