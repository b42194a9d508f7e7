"""The learner's own small JSON files: written whole or not at all, never a reason to stop work."""

import contextlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from . import paths

_said: set[str] = set()


def load_json(name: str, valid: Callable[[dict], bool] = lambda data: True) -> dict:
    """The dictionary in `home_folder()/name`; empty when there is no such file.

    A file that is not JSON, no dictionary or not `valid` is moved aside, with one line saying so.
    Raises OSError when the file is there but cannot be read.
    """
    path = paths.home_folder() / name
    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and valid(data):
            return data
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        pass
    aside = _free(path)
    path.rename(aside)
    say(f"{name} could not be read as it should be; it is kept as {aside.name}, a new one begins.")
    return {}


def save_json(name: str, data: dict) -> None:
    """Write `home_folder()/name` whole, in place of the old one. Raises OSError if it cannot."""
    folder = paths.home_folder()
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder, prefix=name, suffix=".part")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, sort_keys=True)
        os.replace(draft, folder / name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(draft).unlink()


def update_json(
    name: str, change: Callable[[dict], None], valid: Callable[[dict], bool] = lambda data: True
) -> bool:
    """Load, change in place, save, one notebook at a time; False and one line if it cannot."""
    folder = paths.home_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock", timeout=5):
            data = load_json(name, valid)
            change(data)
            save_json(name, data)
    except OSError as error:
        say(f"{name} is not being kept: {folder} cannot be used ({type(error).__name__}).")
        return False
    return True


def _free(path: Path) -> Path:
    """A name beside `path` that no file has."""
    names = (path.with_stem(f"{path.stem}.damaged-{i}") for i in itertools.count(1))
    return next(name for name in names if not name.exists())


def say(line: str, topic: str = "") -> None:
    """Print a line, once in the life of this kernel; with a topic, the first line about it."""
    if (topic or line) not in _said:
        _said.add(topic or line)
        print(line)
