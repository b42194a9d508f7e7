"""Runs all tests: first what can share the machine, then what needs it alone (browser, latency).

    python tools/run_tests.py [more options for pytest]

Both parts always run; the exit status tells whether either failed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import colab

ROOT = Path(__file__).resolve().parent.parent
NBVAL = [
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=180",
    "--nbval-sanitize-with=tests/nbval.cfg",
]
NOTHING_COLLECTED = 5
NO_BROWSER = "browser tests: NOT RUN (no chromium here; on Debian: apt install chromium)"


def find_chromium() -> str | None:
    """The browser of the browser tests: $CHROMIUM, or what is on the path."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, (shutil.which(name) for name in names if name)), None)


def install_chromium() -> None:
    """Installs Debian's chromium where that is possible without asking for a password."""
    if not shutil.which("apt-get"):
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == 0:
        sudo = []
    elif shutil.which("sudo") and subprocess.call(["sudo", "-n", "true"], **quiet) == 0:
        sudo = ["sudo", "-n"]
    else:
        return
    print("installing chromium", flush=True)
    subprocess.call([*sudo, "apt-get", "update", "-qq"], **quiet)
    command = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    subprocess.call([*command, "--no-install-recommends", "chromium"], **quiet)


def pytest(*options: str) -> bool:
    """Runs pytest in the checkout; True when no test failed."""
    command = [sys.executable, "-m", "pytest", *options]
    print("\n$ " + " ".join(["pytest", *command[3:]]), flush=True)
    return subprocess.call(command, cwd=ROOT) in (0, NOTHING_COLLECTED)


def main(extra: list[str]) -> int:
    """Both parts, one after the other; 0 when all that should have run went well."""
    if not find_chromium():
        install_chromium()
    browser = find_chromium()
    if browser:
        os.environ["CHROMIUM"] = browser
    colab.make_environment()
    shared = "not browser and not latency"
    alone = "browser or latency" if browser else "latency and not browser"
    # in the order of their names: the Colab-like run of all chapters takes longest and starts early
    workers = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    good = pytest(*workers, "tests", "chapters", *NBVAL, "-m", shared, *extra)
    good &= pytest("tests", "-m", alone, *extra)
    if not browser:
        print(NO_BROWSER)
        good &= os.environ.get("CI") != "true"
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
