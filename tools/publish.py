"""Sets the course's address: python tools/publish.py owner/name

Writes it into pyproject.toml, into the first cell of every chapter (so that a bare kernel can
install the course) and as a Colab badge under every title, in sources and notebooks alike. Nothing
is executed; a second time this changes nothing.
"""

import re
import sys
from pathlib import Path

import nbformat
from notebooks import ROOT, fingerprint, name_cells, product, sources, write

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
URL_LINE = re.compile(r'^    url = "[^"]*"$', re.M)
BADGE_LINE = re.compile(r"\[!\[[^]]*\]\(https://colab\.research\.google\.com/assets/.*")
REPOSITORY_LINE = re.compile(r"^Repository = .*$", re.M)


def badge(repo: str, source: Path) -> str:
    """The Markdown line that opens a chapter in Colab."""
    site = "https://colab.research.google.com"
    page = f"{site}/github/{repo}/blob/main/chapters/{product(source).name}"
    return f"[![Open this chapter in Colab]({site}/assets/colab-badge.svg)]({page})"


def set_badge(text: str, line: str) -> str:
    """Replaces the badge of a Markdown cell, or puts one under its first line, the title."""
    if BADGE_LINE.search(text):
        return BADGE_LINE.sub(lambda _: line, text, count=1)
    title, _, rest = text.partition("\n")
    return "\n".join([title, "", line, rest]) if rest else f"{title}\n\n{line}"


def set_url(text: str, repo: str) -> str:
    """Writes the address into the first cell's text."""
    return URL_LINE.sub(f'    url = "git+https://github.com/{repo}"', text, count=1)


def publish_source(text: str, repo: str, line: str) -> str:
    """The same two changes in a py:percent source, where Markdown lines begin with "# "."""
    start = re.search(r"^# %% \[markdown\].*\n((?:#.*\n?)+)", text, re.M)
    if start is None:
        raise SystemExit("a chapter's first Markdown cell must hold its title")
    cell = re.sub(r"^# ?", "", start[1].rstrip("\n"), flags=re.M)
    lines = set_badge(cell, line).split("\n")
    commented = "\n".join(f"# {part}".rstrip() for part in lines) + "\n"
    return set_url(text[: start.start(1)] + commented + text[start.end(1) :], repo)


def publish_notebook(notebook, repo: str, line: str) -> None:
    """The same two changes in a notebook."""
    title = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    title.source = set_badge(title.source, line)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = set_url(first.source, repo)
    name_cells(notebook)


def publish_chapter(source: Path, repo: str, root: Path) -> None:
    """Changes one chapter, source and notebook; a notebook that was current stays so."""
    line, before = badge(repo, source), fingerprint(source, root)
    write(source, publish_source(source.read_text(encoding="utf-8"), repo, line))
    if not product(source).exists():
        return
    notebook = nbformat.read(product(source), 4)
    publish_notebook(notebook, repo, line)
    built = notebook.metadata.get("mlcourse", {})
    if built.get("built_from") == before:
        built["built_from"] = fingerprint(source, root)
    write(product(source), nbformat.writes(notebook) + "\n")


def publish_project(root: Path, repo: str) -> None:
    """Sets [project.urls] Repository in pyproject.toml."""
    path, line = root / "pyproject.toml", f'Repository = "https://github.com/{repo}"'
    text = path.read_text(encoding="utf-8")
    if REPOSITORY_LINE.search(text):
        text = REPOSITORY_LINE.sub(line, text, count=1)
    elif "[project.urls]\n" in text:
        text = text.replace("[project.urls]\n", f"[project.urls]\n{line}\n", 1)
    else:
        text = text.rstrip("\n") + f"\n\n[project.urls]\n{line}\n"
    write(path, text)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The command line; 0 when the address is set everywhere."""
    repo = arguments[0] if len(arguments) == 1 else ""
    if not NAME.fullmatch(repo):
        print("give the repository as owner/name: make publish REPO=owner/name", file=sys.stderr)
        return 1
    publish_project(root, repo)
    for source in sources(root):
        publish_chapter(source, repo, root)
    print(f"published as https://github.com/{repo}; now look at `git diff` and commit")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
