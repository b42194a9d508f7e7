"""How fast a slider answers in a real browser: python benchmarks/bench_labs.py

Milliseconds from the key press to the loaded picture, by the page's own clock, for every lab.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import labdriver  # noqa: E402
from test_in_browser import LABS, MINIMAL, TARGET, slider  # noqa: E402


def measure(page, address: str, which: str) -> list[float]:
    """The latencies of a lab's first slider."""
    chapter, text, _, labels = LABS[which]
    notebook = labdriver.Notebook(page, address, chapter)
    notebook.run(notebook.insert(MINIMAL))
    index = notebook.find(text)
    notebook.run(index)
    element = notebook.show(index).locator(".mlcourse-lab")
    return labdriver.latencies(notebook, slider(element, labels[0])[0], presses=40)


def main() -> None:
    """One line a lab: median and 95th percentile beside their targets."""
    with tempfile.TemporaryDirectory() as home:
        for chapter in (ROOT / "chapters").glob("*.ipynb"):
            shutil.copy(chapter, home)  # JupyterLab saves what it has open
        with (
            labdriver.server(Path(home), {"MLCOURSE_HOME": home}) as address,
            labdriver.browser() as chromium,
        ):
            for which in LABS:
                page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
                times = measure(page, address, which)
                found = {"median": statistics.median(times), "p95": times[int(0.95 * len(times))]}
                for name, value in found.items():
                    verdict = "met" if value <= TARGET[name] else "MISSED"
                    print(
                        f"{which:10} {name:7} {value:5.0f} ms  target {TARGET[name]} ms {verdict}"
                    )


if __name__ == "__main__":
    main()
