"""Builds the notebooks, one way: chapters/source/NN_name.py -> executed chapters/NN_name.ipynb.

    python tools/notebooks.py [NN ...] [--force] [--check] [--allow-generated]

A chapter is built again only when its source, the package, its assets or these tools changed.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import jupytext
import nbformat
from environment import OMNIGLOT, settings
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
CELL_SECONDS = 600
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
FIRST_CELL = """\
import glob, importlib.util, os, subprocess, sys  # gets the course where it is missing
if not importlib.util.find_spec("mlcourse"):  # on Colab, say; torch is left alone
    url = "{url}"
    src = os.getenv("MLCOURSE_SOURCE") or max(glob.glob("mlcourse-*.whl"), default=url)
    src or sys.exit("Put the file mlcourse-*.whl beside this notebook, then run again.")
    subprocess.check_call([sys.executable, *"-m pip install -q --no-deps".split(), src])"""


class BuildError(Exception):
    """A chapter that cannot be built; the message is all that the author needs."""


def sources(root: Path = ROOT, numbers: list[str] = ()) -> list[Path]:
    """The text sources in order; of the chapters numbered `numbers` when any are given."""
    found = sorted((root / "chapters" / "source").glob("[0-9][0-9]_*.py"))
    unknown = {n.zfill(2) for n in numbers} - {p.name[:2] for p in found}
    if unknown:
        raise BuildError(f"no chapter {', '.join(sorted(unknown))} in chapters/source")
    return [p for p in found if not numbers or p.name[:2] in {n.zfill(2) for n in numbers}]


def product(source: Path) -> Path:
    """chapters/source/NN_name.py -> chapters/NN_name.ipynb."""
    return source.parent.parent / f"{source.stem}.ipynb"


def fingerprint(source: Path, root: Path = ROOT) -> str:
    """One hash over all that a built chapter depends on: its source, the package, these tools."""
    package = [p for p in (root / "mlcourse").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    tools = [Path(__file__), Path(__file__).with_name("environment.py")]
    total = hashlib.sha256()
    for path in [source, *sorted(package), *tools]:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def name_cells(notebook):
    """Cell ids from the cells' own text, so that a new cell changes no other cell's id."""
    seen = Counter()
    for cell in notebook.cells:
        text = f"{cell.cell_type}\0{cell.source}"
        cell.id = hashlib.sha256(f"{text}\0{seen[text]}".encode()).hexdigest()[:8]
        seen[text] += 1
    return notebook


def from_source(source: Path):
    """The unexecuted notebook of a text source, with fixed metadata and cell ids."""
    notebook = nbformat.from_dict(jupytext.read(source, fmt="py:percent"))
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)
    return name_cells(notebook)


def inputs(path: Path) -> list[tuple]:
    """What a source and its notebook must agree on: kind, text and tags of every cell."""
    cells = jupytext.read(path, fmt="py:percent" if path.suffix == ".py" else None).cells
    return [(c.cell_type, c.source.strip(), sorted(c.metadata.get("tags", []))) for c in cells]


def run(notebook, folder: Path, environment: dict[str, str]) -> None:
    """Executes all cells in a fresh kernel of this interpreter, started in `folder`."""
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    )
    with mock.patch.dict(os.environ, environment):
        client.execute(env=dict(os.environ))


def strip(notebook) -> None:
    """Takes out what differs between runs or that GitHub cannot show: widgets, versions, times."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if "data" not in o or o.data]


def failing_cell(notebook) -> tuple[int, str]:
    """Number among all cells (from 1) and text of the cell in which a run ended."""
    code = [(i, c) for i, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]
    failed = [(i, c) for i, c in code if any(o.output_type == "error" for o in c.outputs)]
    index, cell = (failed or [(i, c) for i, c in code if c.execution_count] or code)[-1]
    return index, cell.source


def execute(notebook, source: Path, allow_generated: bool) -> bool:
    """Runs and strips `notebook`; tells whether every claim in it was judged, as it should be."""
    with tempfile.TemporaryDirectory(prefix="mlcourse-", ignore_cleanup_errors=True) as folder:
        environment = settings(folder)
        try:
            run(notebook, product(source).parent, environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            number, text = failing_cell(notebook)
            raise BuildError(f"{source.stem}, cell {number}:\n\n{text}\n\n{error}") from None
        claims = Path(environment["MLCOURSE_CLAIMS"])
        lines = claims.read_text().splitlines() if claims.exists() else []
    unjudged = [claim["sentence"] for claim in map(json.loads, lines) if not claim["judged"]]
    if unjudged and not allow_generated:
        raise BuildError(f"{source.stem}: {len(unjudged)} claims not judged, first: {unjudged[0]}")
    strip(notebook)
    return not unjudged


def write(path: Path, text: str) -> bool:
    """Writes in one step and only what is new; tells whether anything was."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)
    return True


def is_current(source: Path, root: Path = ROOT) -> bool:
    """True when the notebook was built from exactly this source, package and tools."""
    if not product(source).exists() or inputs(source) != inputs(product(source)):
        return False
    built = nbformat.read(product(source), 4).metadata.get("mlcourse", {})
    return built.get("built_from") == fingerprint(source, root) and built.get("data") == "omniglot"


def build(source: Path, root: Path = ROOT, allow_generated: bool = False) -> bool:
    """Builds one chapter; tells whether its file changed. The old one stays when this fails."""
    notebook, before = from_source(source), fingerprint(source, root)
    judged = execute(notebook, source, allow_generated)
    data = "omniglot" if judged and omniglot_is_here(root) else "generated"
    notebook.metadata["mlcourse"] = {"built_from": before, "data": data}
    nbformat.validate(notebook)
    return write(product(source), nbformat.writes(notebook) + "\n")


def omniglot_is_here(root: Path = ROOT) -> bool:
    """True when the archives, or the cache made of them, are where the package looks for them."""
    named = os.environ.get(OMNIGLOT)
    data = Path(os.environ.get("MLCOURSE_DATA") or root / "data")
    folders = [Path(named)] if named else [data, data / "omniglot"]
    return any(list(f.glob("*omniglot*")) or list(f.glob("images_background*")) for f in folders)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; 0 when every chapter asked for is built (or, with --check, current)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="*", help="01 02 …; all when none is given")
    parser.add_argument("--force", action="store_true", help="build what is current too")
    parser.add_argument("--check", action="store_true", help="only say what is not current")
    parser.add_argument("--allow-generated", action="store_true", help="build without Omniglot")
    options = parser.parse_args(arguments)
    try:
        chosen = sources(root, options.chapter)
        stale = [s for s in chosen if options.force or not is_current(s, root)]
        if options.check:
            print("\n".join(f"{s.stem}: not current" for s in stale) or "all chapters are current")
            return bool(stale)
        if stale and not options.allow_generated and not omniglot_is_here(root):
            raise BuildError(f"notebooks are built on real Omniglot: set {OMNIGLOT} to its folder")
        for source in stale:
            print(f"{source.stem}: building", flush=True)
            build(source, root, options.allow_generated)
        print(f"{len(stale)} built, {len(chosen) - len(stale)} already current")
    except BuildError as error:
        print(f"not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
