"""Makes .venv-colab: an environment with Colab's versions of the IPython stack, without the course.

torch, numpy and the like are borrowed by symlinks from the environment that runs this, so that it
costs megabytes and not gigabytes. `google.colab` is a fake that remembers what was asked of it.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-colab"
PYTHON = FOLDER / "bin" / "python"
STACK = ["ipython==7.34.0", "ipykernel==6.17.1", "traitlets==5.7.1", "jupyterlab-widgets==1.1.11"]
WIDGETS = ["ipywidgets==7.7.1", "ipython-genutils==0.2.0"]  # without the notebook server it names
BORROWED = ["torch", "numpy", "matplotlib", "pillow", "tqdm", "anywidget"]
BORROWED += ["filelock", "platformdirs"]
FAKE_OUTPUT = """\
import types

calls = []
_widgets = types.SimpleNamespace(_installed_url=None)


def enable_custom_widget_manager(version="5.0.0a"):
    calls.append("enable")
    _widgets._installed_url = "https://example.invalid/manager.min.js"


def disable_custom_widget_manager():
    _widgets._installed_url = None
"""


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(dist: Distribution) -> list[str]:
    """The names that a distribution requires, those of its extras left out."""
    wanted = [line for line in dist.requires or [] if "extra ==" not in line]
    return [re.match(r"[\w.-]+", line)[0] for line in wanted]


def closure(names: list[str], without: set[str]) -> list[Distribution]:
    """Distributions here that `names` need, directly or not; `without` holds what is there."""
    found, waiting = {}, list(names)
    while waiting:
        name = canonical(waiting.pop())
        if name in found or name in without:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        waiting += needs(found[name])
    return list(found.values())


def site_packages() -> Path:
    """The new environment's site-packages."""
    return next((FOLDER / "lib").glob("python3*/site-packages"))


def borrow() -> None:
    """Links what the course stands on, found in this environment, into the new one."""
    there = {canonical(d.name) for d in distributions(path=[str(site_packages())])}
    folder = FOLDER / "borrowed"
    folder.mkdir()
    for dist in closure(BORROWED, there):
        for part in {file.parts[0] for file in dist.files or []} - {"..", "__pycache__"}:
            if not (folder / part).exists():
                (folder / part).symlink_to(dist.locate_file(part))
    (site_packages() / "borrowed.pth").write_text(f"{folder}\n")


def fake_colab() -> None:
    """A google.colab that looks enough like the real one for anywidget."""
    package = site_packages() / "google" / "colab" / "output"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text(FAKE_OUTPUT)


def fingerprint() -> str:
    """A hash of this file, the interpreter and the versions that are borrowed."""
    versions = sorted(f"{d.name}=={d.version}" for d in closure(BORROWED, set()))
    text = "\n".join([sys.version, sys.prefix, Path(__file__).read_text(), *versions])
    return hashlib.sha256(text.encode()).hexdigest()


def make_environment() -> Path:
    """Makes the environment unless it is there already; returns its Python."""
    stamp = FOLDER / ".installed"
    if stamp.exists() and PYTHON.exists() and stamp.read_text() == fingerprint():
        return PYTHON
    print("making .venv-colab", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *STACK], check=True)
    subprocess.run([*pip, "--no-deps", *WIDGETS], check=True)
    borrow()
    fake_colab()
    stamp.write_text(fingerprint())
    return PYTHON


def build_wheel(folder: Path) -> Path:
    """The course's wheel, built in `folder` from a fresh copy of what goes into it."""
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "mlcourse", copy / "mlcourse", ignore=leave_out)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(folder), "."], cwd=copy, check=True)
    return next(folder.glob("mlcourse-*.whl"))


if __name__ == "__main__":
    make_environment()
