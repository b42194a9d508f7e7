"""Runs every benchmark, each in a process of its own: python benchmarks [--all] [--tiny] [--record]

--all runs the chapters too; --record keeps the figures and writes them into the READMEs.
"""

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """0 when every script went well; a script that fails does not stop the others."""
    began, failed = time.perf_counter(), []
    for script in sorted(HERE.glob("bench_*.py")):
        print(f"\n== {script.stem}", flush=True)
        if subprocess.call([sys.executable, script, *sys.argv[1:]]):
            failed.append(script.stem)
    if "--record" in sys.argv and "--tiny" not in sys.argv:
        subprocess.check_call([sys.executable, HERE / "history.py"])
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes; failed: {failed or 'none'}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
