"""The variables under which notebooks run in builds and in tests: the one place that names them."""

import json
import os
import sys
from pathlib import Path

OMNIGLOT = "MLCOURSE_OMNIGLOT"  # the folder with the two archives; the caller's choice


def kernelspec(folder: Path, python: str | Path) -> Path:
    """Writes a kernel "python3" that runs `python`; returns the folder for JUPYTER_PATH."""
    spec = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    return folder / "jupyter"


def settings(folder: str | Path, python: str | Path = sys.executable) -> dict[str, str]:
    """Same work on every machine: fixed steps, one thread, no network, nothing of the user's own.

    Progress, predictions and IPython's history go into `folder`; data is found as usual. Kernels
    named "python3" run `python`.
    """
    folder = Path(folder).resolve()
    found = {
        "MLCOURSE_HOME": str(folder / "home"),
        "MLCOURSE_CLAIMS": str(folder / "claims.jsonl"),
        "MLCOURSE_FIXED_STEPS": "1",
        "MLCOURSE_OFFLINE": "1",
        "MLCOURSE_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PATH": str(kernelspec(folder, python)),
    }
    if os.environ.get(OMNIGLOT):  # kernels run in chapters/: a relative path would be lost there
        found[OMNIGLOT] = str(Path(os.environ[OMNIGLOT]).resolve())
    return found
