"""Drive a real JupyterLab in headless Chromium."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium-browser"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
IDLE = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

# Milliseconds from a key press to the next picture that is loaded, by the page's own clock.
CLOCK = """
window.latencies = []; window.pressed = null;
window.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
document.addEventListener("load", e => {
  if (e.target.tagName === "IMG" && window.pressed !== null && e.target.closest(".mlcourse-lab")) {
    window.latencies.push(performance.now() - window.pressed); window.pressed = null; } }, true);
"""


@contextmanager
def server(folder: Path, environment: dict[str, str]):
    """A JupyterLab over `folder`, with settings of its own; yields its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    tmp = Path(tempfile.mkdtemp(prefix="lab-"))
    quiet = tmp / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    own = {
        "JUPYTER_CONFIG_DIR": f"{tmp}/config",
        "JUPYTER_DATA_DIR": f"{tmp}/data",
        "JUPYTER_RUNTIME_DIR": f"{tmp}/runtime",
        "JUPYTERLAB_SETTINGS_DIR": f"{tmp}/settings",
        "JUPYTERLAB_WORKSPACES_DIR": f"{tmp}/workspaces",
    }
    log = (tmp / "log").open("w+")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
            *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
            *("--ServerApp.allow_root=True", "--LabApp.expose_app_in_browser=True"),
            f"--ServerApp.root_dir={folder}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment, **own},
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=1)
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError((tmp / "log").read_text()[-3000:]) from None
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(tmp, ignore_errors=True)


@contextmanager
def browser():
    """A headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Notebook:
    """A notebook open in JupyterLab, and what a person does with it."""

    def __init__(self, page, address: str, name: str):
        self.page = page
        page.add_init_script(CLOCK)
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_function(IDLE, timeout=90_000)
        page.evaluate(
            """async () => { const w = jupyterapp.shell.currentWidget;
                 await w.context.ready; await w.sessionContext.ready; await w.revealed; }"""
        )

    def sources(self) -> list[str]:
        """The source of every cell."""
        cells = "jupyterapp.shell.currentWidget.content.widgets"
        return self.page.evaluate(f"{cells}.map(c => c.model.sharedModel.source)")

    def find(self, text: str) -> int:
        """The number of the first code cell that has this text."""
        kinds = self.page.evaluate(
            "jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.type)"
        )
        for i, (kind, source) in enumerate(zip(kinds, self.sources())):
            if kind == "code" and text in source:
                return i
        raise LookupError(f"no code cell with {text!r}")

    def start(self, index: int) -> None:
        """Begin to run a cell, without waiting."""
        self.page.evaluate(
            """i => { const w = jupyterapp.shell.currentWidget; w.content.activeCellIndex = i;
                 w.content.deselectAll(); jupyterapp.commands.execute('notebook:run-cell'); }""",
            index,
        )

    def wait(self, index: int, seconds: float = 120) -> None:
        """Until a started cell has ended."""
        ended = """i => { const w = jupyterapp.shell.currentWidget;
            return typeof w.content.widgets[i].model.executionCount === 'number'
              && w.content.widgets[i].model.executionState !== 'running'
              && w.sessionContext.session.kernel.status === 'idle'; }"""
        self.page.wait_for_function(ended, arg=index, timeout=seconds * 1000)

    def run(self, index: int) -> str:
        """Run a cell, wait, and return its outputs as text; an error output fails."""
        self.command("run-cell", index)
        return words(self.good_outputs(index))

    def run_to(self, text: str) -> int:
        """Run all code cells up to and with the first that has `text`; its number."""
        last = self.find(text)
        self.command("run-all-above", last + 1)
        for i in range(last + 1):
            self.good_outputs(i)
        return last

    def command(self, name: str, index: int) -> None:
        """A command of the notebook's, at a cell, and wait until it is done."""
        self.page.evaluate(
            """async ([name, i]) => { const w = jupyterapp.shell.currentWidget;
                 w.content.activeCellIndex = i; w.content.deselectAll();
                 await jupyterapp.commands.execute('notebook:' + name); }""",
            [name, index],
        )

    def good_outputs(self, index: int) -> list[dict]:
        """The outputs of a cell, none of which may be an error."""
        outputs = self.outputs(index)
        errors = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        assert not errors, f"cell {index}: {errors}"
        return outputs

    def outputs(self, index: int) -> list[dict]:
        """The outputs of a cell."""
        return self.page.evaluate(
            """i => { const m = jupyterapp.shell.currentWidget.content.widgets[i].model;
                 return m.type === 'code' ? m.outputs.toJSON() : []; }""",
            index,
        )

    def insert(self, source: str) -> int:
        """A new code cell at the end; its number."""
        return self.page.evaluate(
            """source => { const w = jupyterapp.shell.currentWidget;
                 const m = w.content.model.sharedModel;
                 m.insertCell(m.cells.length, {cell_type: 'code', source});
                 return m.cells.length - 1; }""",
            source,
        )

    def interrupt(self) -> None:
        """The ■ button."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def show(self, index: int):
        """Scroll to a cell; its element."""
        self.page.evaluate(
            """async i => { const n = jupyterapp.shell.currentWidget.content;
                 n.activeCellIndex = i; await n.scrollToItem(i, 'start'); }""",
            index,
        )
        self.page.wait_for_timeout(200)
        return self.page.locator(f"{PANEL} .jp-Cell[data-windowed-list-index='{index}']")


def latencies(notebook: Notebook, handle, presses: int = 24) -> list[float]:
    """Milliseconds from each press of an arrow key on a slider to its picture, sorted."""
    notebook.page.evaluate("window.latencies = []")
    handle.focus()
    for i in range(presses):
        notebook.page.keyboard.press("ArrowRight" if i % 8 < 4 else "ArrowLeft")
        notebook.page.wait_for_timeout(350)
    return sorted(notebook.page.evaluate("window.latencies"))


def words(outputs: list[dict]) -> str:
    """What outputs say, as text."""
    said = []
    for output in outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        said.append("".join(text) if isinstance(text, list) else text)
    return "\n".join(said)
