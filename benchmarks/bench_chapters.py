"""How long the whole course runs, and in how much memory: python benchmarks/bench_chapters.py --all

Every chapter from top to bottom in a fresh kernel, as a build runs it: one thread, fixed steps.
"Time" passes also while others use the machine; "processor" is what the kernel and what it started
spent of a core. Memory is the kernel's largest resident set. Option: --record.
"""

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from history import ROOT, report

sys.path.insert(0, str(ROOT / "tools"))
from environment import settings  # noqa: E402
from notebooks import from_source, run, sources  # noqa: E402

MINUTES = 20  # of one core pair, for all chapters
SPENT = """\
import resource, sys
own, others = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
unit = 2**20 if sys.platform == "darwin" else 2**10
seconds = sum(u.ru_utime + u.ru_stime for u in (own, others))
print("spent", seconds, own.ru_maxrss / unit)"""


def spent(source: Path) -> tuple[float, float, float]:
    """Seconds on the wall, seconds of a core, and MiB, of one chapter."""
    notebook = from_source(source)
    notebook.cells.append(nbformat.v4.new_code_cell(SPENT))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        began = time.perf_counter()
        run(notebook, ROOT / "chapters", settings(folder))
        wall = time.perf_counter() - began
    return wall, *map(float, notebook.cells[-1].outputs[0].text.split()[1:])


def tell(which: str, wall: float, core: float, memory: float, target: float | None = None) -> None:
    """The three figures of one chapter, or of all."""
    report(f"chapter, {which}: time", wall, "s", target)
    report(f"chapter, {which}: processor", core, "s", target)
    report(f"chapter, {which}: memory", memory, "MiB")


def main() -> None:
    """One chapter after the other, then all together."""
    if "--all" not in sys.argv:
        return print("chapters are not run: `make bench ARGS=--all` does, for some twenty minutes")
    found = []
    for source in sources():
        found.append(spent(source))
        tell(source.stem[:2], *found[-1])
    walls, cores, memories = zip(*found)
    tell("all", sum(walls), sum(cores), max(memories), 60 * MINUTES)


if __name__ == "__main__":
    main()
