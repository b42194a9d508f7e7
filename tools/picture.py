"""Makes the README's picture anew, from a real JupyterLab: python tools/picture.py"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))
import labdriver  # noqa: E402  (the driver of the browser tests)

MOVES = [("", 0), *[("K  shots", 1)] * 3, *[("gradient steps", 1)] * 4,
         *[("α  inner learning rate", 3)] * 8]  # fmt: skip


def frames(notebook, lab):
    """One picture of the lab after each move of a slider."""
    for label, presses in MOVES:
        if label:
            lab.get_by_role("slider", name=" ".join(label.split()), exact=True).focus()
            for _ in range(presses):
                notebook.page.keyboard.press("ArrowRight")
        notebook.page.wait_for_timeout(400)
        yield Image.open(io.BytesIO(lab.screenshot())).convert("RGB").crop((0, 0, 830, 455))


def main() -> None:
    """Runs chapter 00 as far as its lab, moves the sliders, and keeps the frames as a GIF."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "chapters" / "00_start_here.ipynb", folder)
        home = {"MLCOURSE_HOME": f"{folder}/home"}
        with labdriver.server(Path(folder), home) as address, labdriver.browser() as chromium:
            page = chromium.new_context(viewport={"width": 1180, "height": 900}).new_page()
            notebook = labdriver.Notebook(page, address, "00_start_here.ipynb")
            page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
            lab = notebook.show(notebook.run_to("first_lab()")).locator(".mlcourse-lab")
            first, *rest = [f.quantize(96) for f in frames(notebook, lab)]
    first.save(ROOT / ".github" / "lab.gif", save_all=True, append_images=rest, duration=500,
               loop=0, optimize=True)  # fmt: skip


if __name__ == "__main__":
    main()
