"""Where files live: what we ship, what we download, what belongs to the learner."""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The course's own folder when the package runs from a checkout, else None."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "chapters").is_dir() else None


def data_folder() -> Path:
    """Downloads and caches: $MLCOURSE_DATA, `data/` of a checkout, or the user's cache folder."""
    if named := os.environ.get("MLCOURSE_DATA"):
        return Path(named)
    return checkout() / "data" if checkout() else platformdirs.user_cache_path("mlcourse")


def home_folder() -> Path:
    """What the learner saves: $MLCOURSE_HOME, `my_course/` of a checkout, or a user's folder."""
    if named := os.environ.get("MLCOURSE_HOME"):
        return Path(named)
    return checkout() / "my_course" if checkout() else platformdirs.user_data_path("mlcourse")


def asset(name: str) -> Path:
    """A file shipped inside the package: recorded runs and checkpoints, each with its command."""
    return PACKAGE / "assets" / name
