"""How fast a slider answers in a real browser: python benchmarks/bench_labs.py

Milliseconds from the key press to the loaded picture, by the page's own clock, for the first slider
of every lab that the browser tests know. Option: --record.
"""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from history import ROOT, report

sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tools")]
import labdriver  # noqa: E402
from run_tests import NO_BROWSER, find_chromium  # noqa: E402
from test_in_browser import LABS, MINIMAL, TARGET, slider  # noqa: E402


def measure(page, address: str, which: str) -> list[float]:
    """The latencies of a lab's first slider."""
    chapter, text, _, labels = LABS[which]
    notebook = labdriver.Notebook(page, address, chapter)
    notebook.run(notebook.insert(MINIMAL))
    index = notebook.find(text)
    notebook.run(index)
    element = notebook.show(index).locator(".mlcourse-lab")
    return labdriver.latencies(notebook, slider(element, labels[0])[0])


def all_labs(address: str, chromium) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of every lab, each reported as it is found."""
    found = {}
    for which, (chapter, *_) in LABS.items():
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        times = measure(context.new_page(), address, which)
        context.close()
        found[which] = {"median": statistics.median(times), "p95": times[int(0.95 * len(times))]}
        for name, value in found[which].items():
            report(f"slider to picture, {chapter[:2]} {which}: {name}", value, "ms", TARGET[name])
    return found


def main() -> None:
    """Every lab, then the slowest."""
    if not find_chromium():
        return print(NO_BROWSER.replace("tests", "latencies"))
    labdriver.CHROMIUM = os.environ.get("CHROMIUM") or find_chromium()
    with tempfile.TemporaryDirectory() as home:
        for chapter in (ROOT / "chapters").glob("*.ipynb"):
            shutil.copy(chapter, home)  # JupyterLab saves what it has open
        with (
            labdriver.server(Path(home), {"MLCOURSE_HOME": home}) as address,
            labdriver.browser() as chromium,
        ):
            found = all_labs(address, chromium)
    for name in TARGET:
        slowest = max(f[name] for f in found.values())
        report(f"slider to picture, slowest: {name}", slowest, "ms", TARGET[name])


if __name__ == "__main__":
    main()
