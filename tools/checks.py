"""What a committed notebook holds to: executed, clean, small, with links that can be right."""

import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from notebooks import ROOT, WIDGET_VIEW

MEGABYTES = 2
FENCES = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]*`", re.S)
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.S)
LABEL = r"((?:[^\[\]]|\[[^\]]*\](?:\([^)]*\))?)*)"
LINK = re.compile(rf"(!?)\[{LABEL}\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
BARE_URL = re.compile(r"https?://[^\s<>\"')\]]+")
IMG_TAG = re.compile(r"<img\b[^>]*>", re.I)
ALT = re.compile(r"\balt\s*=\s*(\"[^\"]*\S[^\"]*\"|'[^']*\S[^']*')", re.I)
PAPER = r"(?:(?:0[7-9]|1[0-4])\d\d\.\d{4}|\d{4}\.\d{5})"  # four digits until the end of 2014
ARXIV_ID = re.compile(rf"/(?:abs|pdf|html)/{PAPER}(?:v\d+)?(?:\.pdf)?/?")
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")
ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:home|root|tmp|usr|Users|var|opt|mnt|private)/|[A-Z]:\\\w")


def tags(cell) -> list[str]:
    """A cell's tags."""
    return cell.metadata.get("tags", [])


def code_cells(notebook) -> list[tuple[int, object]]:
    """(number, cell) of the cells that hold code; cells are numbered from 1."""
    cells = enumerate(notebook.cells, 1)
    return [(i, c) for i, c in cells if c.cell_type == "code" and c.source.strip()]


def markdown_cells(notebook) -> list[tuple[int, str]]:
    """(number, text) of Markdown cells, their code and mathematics taken out."""
    cells = [(i, c) for i, c in enumerate(notebook.cells, 1) if c.cell_type == "markdown"]
    return [(i, MATHS.sub(" ", FENCES.sub(" ", c.source))) for i, c in cells]


def output_texts(cell) -> list[str]:
    """All that a cell printed or showed as text."""
    texts = [o.get("text", "") for o in cell.outputs]
    for output in cell.outputs:
        data = output.get("data", {})
        texts += [str(v) for k, v in data.items() if k.startswith("text/")]
    return texts


def execution_problems(notebook) -> list[str]:
    """Cells that were not run, failed, or that depend on widgets of a dead kernel."""
    found = ["widget state is stored"] if "widgets" in notebook.metadata else []
    for number, cell in code_cells(notebook):
        if not cell.execution_count and "nbval-skip" not in tags(cell):
            found.append(f"cell {number} was not executed")
        kinds = [o.output_type for o in cell.outputs]
        if "error" in kinds and "raises-exception" not in tags(cell):
            found.append(f"cell {number} ends in an error")
        if any(WIDGET_VIEW in o.get("data", {}) for o in cell.outputs):
            found.append(f"cell {number} holds a widget view")
    return found


def private_problems(notebook, root: Path = ROOT) -> list[str]:
    """Outputs that show where they were made: folders of this machine, addresses of objects."""
    own = [str(root), str(Path.home()), tempfile.gettempdir()]
    own = [folder + "/" for folder in own if len(folder) > 1]
    found = []
    for number, cell in code_cells(notebook):
        for text in output_texts(cell):
            text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
            if ABSOLUTE.search(text) or any(folder in text for folder in own):
                found.append(f"cell {number} shows an absolute path")
            if ADDRESS.search(text):
                found.append(f"cell {number} shows the address of an object")
    return found


def size_problems(path: Path) -> list[str]:
    """A file of more than two megabytes."""
    size = path.stat().st_size / 2**20
    return [f"{size:.1f} MB, at most {MEGABYTES}"] if size > MEGABYTES else []


def anchors(notebook) -> set[str]:
    """What links of the form #name can reach: headings as JupyterLab names them, and ids."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = FENCES.sub(lambda m: m[0] if m[0].count("\n") == 0 else " ", cell.source)
            for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", text, re.M):
                found.add(re.sub(r"[`*]", "", heading).replace(" ", "-"))
            found.update(re.findall(r"\b(?:id|name)=[\"']([^\"']+)", text))
    return found


def url_problem(url: str) -> str:
    """Why a web address cannot be right, or nothing."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"not an address: {url}"
    if "." not in host and host != "localhost" or ".." in host:
        return f"no such host: {url}"
    if host.removeprefix("www.") == "arxiv.org" and not ARXIV_ID.fullmatch(parts.path):
        return f"not an arXiv paper's address: {url}"
    return ""


def relative_problem(target: str, path: Path, notebook) -> str:
    """Why a link inside the course leads nowhere, or nothing."""
    name, _, anchor = unquote(target).partition("#")
    aim = (path.parent / name).resolve() if name else path
    if name and not aim.exists():
        return f"no such file: {target}"
    if anchor and (not name or aim.suffix == ".ipynb"):
        there = nbformat.read(aim, 4) if name else notebook
        if anchor not in anchors(there):
            return f"no such heading: {target}"
    return ""


def link_problem(target: str, path: Path, notebook) -> str:
    """Why a link's target cannot be right, or nothing; nothing is fetched."""
    if target.startswith(("http://", "https://")):
        return url_problem(target)
    if target.startswith(("mailto:", "data:", "attachment:")):
        return ""
    return relative_problem(target, path, notebook) if target else "a link without a target"


def link_problems(notebook, path: Path) -> list[str]:
    """Links of all Markdown cells that cannot be right, links around pictures included."""
    found = []
    for number, text in markdown_cells(notebook):
        matches = [m for m in LINK.finditer(text)]
        inner = [n for m in matches for n in LINK.finditer(m[2])]
        targets = {m[3] for m in matches + inner} | set(BARE_URL.findall(LINK.sub(" ", text)))
        problems = [link_problem(t.rstrip(".,;:"), path, notebook) for t in sorted(targets)]
        found += [f"cell {number}: {problem}" for problem in problems if problem]
    return found


def picture_problems(notebook) -> list[str]:
    """Pictures without alt text, in Markdown and in HTML outputs."""
    found = []
    for number, text in markdown_cells(notebook):
        matches = [m for m in LINK.finditer(text)]
        matches += [n for m in matches for n in LINK.finditer(m[2])]
        if any(m[1] and not m[2].strip() for m in matches):
            found.append(f"cell {number}: a picture without alt text")
        if any(not ALT.search(img) for img in IMG_TAG.findall(text)):
            found.append(f"cell {number}: an <img> without alt text")
    for number, cell in code_cells(notebook):
        images = [img for o in cell.outputs for img in IMG_TAG.findall(html_of(o))]
        if any(not ALT.search(img) for img in images):
            found.append(f"cell {number}: an <img> in an output has no alt text")
    return found


def html_of(output) -> str:
    """The HTML of an output, or nothing."""
    return str(output.get("data", {}).get("text/html", ""))


def problems(path: Path) -> list[str]:
    """All that is wrong with a notebook, in words."""
    notebook = nbformat.read(path, 4)
    found = execution_problems(notebook) + private_problems(notebook) + size_problems(path)
    return found + link_problems(notebook, path) + picture_problems(notebook)
