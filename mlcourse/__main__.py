"""The learner's two commands, with nothing but the standard library.

    python3 -m mlcourse setup    makes .venv and installs the course into it
    python -m mlcourse lab       opens JupyterLab on your own copies of the chapters

A contributor's third one, `python -m mlcourse edit`, opens the chapters themselves.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 4
PLAIN_FILES = "jupyter_server.services.contents.largefilemanager.AsyncLargeFileManager"
NO_NEWS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}
MEMORY = ".copies.json"


class Stop(Exception):
    """What went wrong and what would work, in one sentence for the learner."""


# ---------------------------------------------------------------------------------------------
# setup
# ---------------------------------------------------------------------------------------------


def check_version() -> None:
    """Raises Stop where this Python is too old or too new."""
    version = sys.version_info[:2]
    if not (3, 11) <= version < (3, 14):
        raise Stop(
            "The course needs Python 3.11, 3.12 or 3.13, and this is {}.{}: run the command with "
            "one of those, for example python3.12 -m mlcourse setup.".format(*version)
        )


def check_venv() -> None:
    """Raises Stop where this Python lacks its venv module, as Debian's does at first."""
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise Stop(
            "This Python cannot make virtual environments; on Debian and Ubuntu "
            "`sudo apt install python3-venv` adds what is missing."
        )


def venv_python(root: Path) -> Path:
    """The interpreter inside .venv."""
    windows = root / ".venv" / "Scripts" / "python.exe"
    return windows if os.name == "nt" else root / ".venv" / "bin" / "python"


def fingerprint(root: Path, files: list) -> str:
    """A hash of what was asked to be installed, and where; changed files mean a new install."""
    total = hashlib.sha256(str(root).encode())
    for name in [*files, "pyproject.toml"]:
        total.update((root / name).read_bytes())
    return total.hexdigest()


def stamp(root: Path, files: list) -> Path:
    """The file that says that `files` were installed to the end."""
    return root / ".venv" / (".installed-" + "-".join(f.split("/")[0].split(".")[0] for f in files))


def is_installed(root: Path, files: list) -> bool:
    """True when a stamp says so and the environment's own Python is still there."""
    mark = stamp(root, files)
    if not (mark.is_file() and venv_python(root).exists()):
        return False
    return mark.read_text() == fingerprint(root, files)


def has_nvidia() -> bool:
    """True when there is a driver of an NVIDIA card."""
    return bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia").exists()


def answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """True when `url` answers within `seconds`, also when the name look-up would hang longer."""
    found = []

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:
                found.append(reply.status < 400)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return found == [True]


def pip(root: Path, *arguments: str) -> bool:
    """Runs .venv's pip in `root`; True when it went well."""
    command = [str(venv_python(root)), "-m", "pip", "--disable-pip-version-check", "install"]
    return subprocess.call([*command, *arguments], cwd=str(root)) == 0


def make_venv(root: Path) -> None:
    """Makes .venv; one whose Python is gone is made anew."""
    if venv_python(root).exists():
        return
    print("Making .venv with Python " + platform.python_version(), flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(root / ".venv")]
    if subprocess.call(command) != 0:
        raise Stop(
            "The folder .venv could not be made (the reason is above); on Debian and Ubuntu "
            "`sudo apt install python3-venv` often helps."
        )


def pinned_torch(root: Path) -> str:
    """The line of requirements.txt that names torch."""
    lines = (root / "requirements.txt").read_text().split()
    return next(line for line in lines if line.startswith("torch=="))


def install_cpu_torch(root: Path) -> None:
    """On Linux without an NVIDIA card: torch without CUDA, a tenth of the size, when reachable."""
    if not sys.platform.startswith("linux") or has_nvidia():
        return
    if not answers(CPU_INDEX + "/torch/"):
        print("PyTorch's CPU index does not answer: taking torch from the usual index.", flush=True)
    elif not pip(root, pinned_torch(root), "--index-url", CPU_INDEX):
        print("PyTorch's CPU index did not work: taking torch from the usual index.", flush=True)


def quiet_news(root: Path) -> None:
    """No "Jupyter news" question at the first start, in this environment only."""
    folder = root / ".venv" / "share" / "jupyter" / "lab" / "settings" / "overrides.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlcourse.json").write_text(json.dumps(NO_NEWS))


def setup(root: Path, tests: bool = False) -> None:
    """Makes .venv and installs the pinned requirements; a second time this does nothing."""
    files = ["requirements.txt", "tests/requirements.txt"] if tests else ["requirements.txt"]
    if not (root / "requirements.txt").is_file():
        raise Stop("setup works in the course's own folder (a clone or an unpacked archive of it).")
    if is_installed(root, files):
        return
    check_venv()
    make_venv(root)
    for old in (root / ".venv").glob(".installed-*"):
        old.unlink()
    install_cpu_torch(root)
    if not pip(root, *(word for name in files for word in ("-r", name))):
        raise Stop(
            "The packages could not be installed (the reason is above); is this computer online, "
            "and is the disk not full? Run the same command again and it goes on from here."
        )
    quiet_news(root)
    for done in (files[:1], files):
        stamp(root, done).write_text(fingerprint(root, done))
    print("Installed into .venv.", flush=True)


# ---------------------------------------------------------------------------------------------
# the learner's copies
# ---------------------------------------------------------------------------------------------


def sha(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def place(source: Path, target: Path) -> None:
    """Copies in one step: a full disk leaves what was there."""
    part = target.with_name("." + target.name + ".part")
    part.write_bytes(source.read_bytes())
    os.replace(str(part), str(target))


def read_memory(folder: Path) -> dict:
    """Which versions of which chapter were handed out before: {file name: [sha, ...]}."""
    try:
        memory = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
        return {str(name): [str(s) for s in shas] for name, shas in memory.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def versions(folder: Path, name: str) -> list:
    """All possible names of a copy in order: x.ipynb, x_v2.ipynb, ... up to the first free one."""
    found = [folder / name]
    while found[-1].exists():
        found.append(folder / f"{Path(name).stem}_v{len(found) + 1}.ipynb")
    return found


def refresh_copy(chapter: Path, folder: Path, shipped: list) -> str:
    """Brings one chapter into the learner's folder; returns a line to print, or nothing.

    `shipped` holds the SHA-256 of each version handed out so far and gets this one added. A copy
    that equals none of them was changed by the learner and is never written to.
    """
    new, names = sha(chapter), versions(folder, chapter.name)
    known = new in shipped
    shipped.extend([] if known else [new])
    if len(names) == 1:
        place(chapter, names[0])
        return ""
    if known or any(sha(path) == new for path in names[:-1]):
        return ""
    if sha(names[-2]) in shipped:
        place(chapter, names[-2])
        return f"{names[-2].name} is now the course's new version; you had not changed it."
    place(chapter, names[-1])
    return f"A new version of {chapter.name} is here as {names[-1].name}; yours is untouched."


def copy_pictures(chapters: Path, folder: Path) -> None:
    """Copies folders that chapters refer to (pictures), all but the text sources."""
    for path in chapters.iterdir():
        if path.is_dir() and path.name != "source" and not path.name.startswith((".", "_")):
            shutil.copytree(str(path), str(folder / path.name), dirs_exist_ok=True)


def refresh_copies(chapters: Path, folder: Path) -> list:
    """Brings all chapters into the learner's folder; returns the lines to print."""
    folder.mkdir(parents=True, exist_ok=True)
    memory, lines = read_memory(folder), []
    for chapter in sorted(chapters.glob("[0-9][0-9]_*.ipynb")):
        lines.append(refresh_copy(chapter, folder, memory.setdefault(chapter.name, [])))
        part = folder / (MEMORY + ".part")
        part.write_text(json.dumps(memory, indent=1), encoding="utf-8")
        os.replace(str(part), str(folder / MEMORY))
    copy_pictures(chapters, folder)
    return [line for line in lines if line]


# ---------------------------------------------------------------------------------------------
# JupyterLab
# ---------------------------------------------------------------------------------------------


def serve_command(folder: Path, first: str, options: argparse.Namespace) -> list:
    """The command that opens JupyterLab of this interpreter on `folder`, at the file `first`."""
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.root_dir=" + str(folder)]
    command.append(f"--LabApp.default_url=/lab/tree/{first}".removesuffix("/tree/"))
    command += ["--ip=" + options.ip] if options.ip else []
    command += ["--port=" + str(options.port)] if options.port else []
    command += ["--no-browser"] if options.no_browser else []
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return command


def replace_process(command: list) -> int:
    """Becomes `command`, so that Ctrl-C and signals reach it; Windows waits for it instead."""
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    sys.stdout.flush()
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)


def check_installed(*modules: str) -> None:
    """Raises Stop when this interpreter lacks what the command needs."""
    if not all(importlib.util.find_spec(name) for name in modules):
        raise Stop(
            "This Python has no {}: use `make {}`, or .venv's Python after "
            "`python3 -m mlcourse setup`.".format(modules[0], "lab" if len(modules) < 3 else "edit")
        )


def lab(options: argparse.Namespace) -> int:
    """Brings the learner's copies up to date and opens JupyterLab on them, without pairing."""
    check_installed("jupyterlab", "platformdirs")
    from mlcourse import paths

    if paths.checkout() is None:
        raise Stop("lab needs the course's own folder: clone the course and start it there.")
    folder = paths.home_folder().resolve()
    for line in refresh_copies(paths.checkout() / "chapters", folder):
        print(line)
    names = sorted(path.name for path in folder.glob("[0-9][0-9]_*.ipynb"))
    command = serve_command(folder, names[0] if names else "", options)
    command += [
        "--ServerApp.contents_manager_class=" + PLAIN_FILES,
        "--ServerApp.jpserver_extensions=jupyterlab_jupytext=False",
        "--LabApp.workspaces_dir=" + str(folder / ".workspaces"),
    ]
    return replace_process(command + options.extra)


def edit(options: argparse.Namespace) -> int:
    """Opens JupyterLab on the chapters themselves, paired with their text sources."""
    check_installed("jupyterlab", "platformdirs", "jupytext")
    return replace_process(serve_command(ROOT, "chapters", options) + options.extra)


def parse(arguments: list) -> argparse.Namespace:
    """Reads the command line; all after `--` is for JupyterLab."""
    own, extra = list(arguments), []
    if "--" in own:
        own, extra = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="python -m mlcourse", description="Learning to Learn.")
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("setup", help="make .venv and install the course into it")
    first.add_argument("--tests", action="store_true", help="also install what the tests need")
    for name, text in (("lab", "open your copies"), ("edit", "open the chapters to edit them")):
        command = commands.add_parser(name, help=text + " in JupyterLab; more options after --")
        command.add_argument("--ip", metavar="HOST", help="listen there, e.g. 0.0.0.0")
        command.add_argument("--port", type=int, metavar="N")
        command.add_argument("--no-browser", action="store_true")
    options = parser.parse_args(own)
    options.extra = extra
    return options


def main(arguments: list) -> int:
    """Runs one command; whatever goes wrong is told in a sentence, without a traceback."""
    try:
        check_version()
        options = parse(arguments)
        if options.command == "setup":
            setup(ROOT, options.tests)
            return 0
        return (lab if options.command == "lab" else edit)(options)
    except Stop as stop:
        print(stop, file=sys.stderr)
    except OSError as error:
        print("{}: {}".format(error.filename or "the disk", error.strerror), file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped; run the same command again and it goes on from here", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
