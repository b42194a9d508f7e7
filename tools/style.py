"""The style gate: the numbers that chapters and the package hold to, each rule a small function."""

import ast
import re
from pathlib import Path
from statistics import median

import jupytext

CELL_MEDIAN, CELL_USUAL, CELL_MOST, COLUMNS = 5, 15, 25, 88
FUNCTION_MEDIAN, CHAPTER_FUNCTION_MOST, PACKAGE_FUNCTION_MOST = 8, 20, 25
WORDS, FIRST_CHAPTER_WORDS = (2000, 3000), 1200
WORDS_BEFORE_CODE, WORDS_IN_A_CELL = (30, 90), 130
BANNED_CODE = {
    "a star import": r"^\s*from\s+\S+\s+import\s+\*",
    ".cuda()": r"\.cuda\(",
    "clear_output": r"\bclear_output\b",
    "@interact": r"@(?:\w+\.)?interact\b",
    "plt.show()": r"\bplt\.show\(",
    "silenced warnings": r"\b(?:filterwarnings|simplefilter|catch_warnings)\b|^%%capture",
    "a hidden form cell": r"^#\s*@title|^#\s*@param",
    "%matplotlib": r"^\s*%matplotlib",
}
BANNED_WORDS = ["simply", "obviously"]
ANSWERS = "exercises/ch"  # holds solutions as a learner writes them: without docstrings
WITHOUT_JUPYTER = ("tasks", "learners")
JUPYTER = {"IPython", "ipywidgets", "anywidget", "ipykernel"}


def cells_of(path: Path) -> list:
    """The cells of a text source."""
    return [c for c in jupytext.read(path, fmt="py:percent").cells if c.source.strip()]


def code_of(cells: list) -> list[str]:
    """The texts of the code cells."""
    return [c.source for c in cells if c.cell_type == "code"]


def full_lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line for line in text.splitlines() if line.strip()]


def share_above(numbers: list[int], limit: int) -> float:
    """Which part of `numbers` is larger than `limit`."""
    return sum(n > limit for n in numbers) / len(numbers) if numbers else 0.0


def cell_problems(codes: list[str]) -> list[str]:
    """Code cells that are too long or too wide."""
    sizes = [len(full_lines(code)) for code in codes]
    found = []
    if sizes and median(sizes) > CELL_MEDIAN:
        found.append(f"median code cell of {median(sizes)} lines, at most {CELL_MEDIAN}")
    if share_above(sizes, CELL_USUAL) > 0.1:
        found.append(f"more than one code cell in ten has over {CELL_USUAL} lines")
    for code, size in zip(codes, sizes, strict=True):
        if size > CELL_MOST:
            found.append(f"a cell of {size} lines, at most {CELL_MOST}: {full_lines(code)[0]}")
        wide = [line for line in code.splitlines() if len(line) > COLUMNS]
        found += [f"{len(line)} columns, at most {COLUMNS}: {line}" for line in wide]
    return found


def banned_code_problems(codes: list[str]) -> list[str]:
    """What a chapter does not do."""
    found = []
    for name, pattern in BANNED_CODE.items():
        if any(re.search(pattern, code, re.M) for code in codes):
            found.append(f"a chapter does without {name}")
    return found


def plain_python(code: str) -> str:
    """A cell's code without its magics and shell lines, so that it can be parsed."""
    return "\n".join(re.sub(r"^(\s*)[%!?].*", r"\1pass", line) for line in code.splitlines())


def functions_in(code: str) -> list[ast.FunctionDef]:
    """All functions and methods, nested ones too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)]


def docstring_lines(node) -> set[int]:
    """The numbers of the lines of a docstring."""
    if ast.get_docstring(node, clean=False) is None:
        return set()
    return set(range(node.body[0].lineno, node.body[0].end_lineno + 1))


def function_size(node, code: str) -> int:
    """Lines of a function, its docstring, comments and blank lines left out."""
    lines = code.splitlines()
    numbers = set(range(node.lineno, node.end_lineno + 1)) - docstring_lines(node)
    texts = [lines[n - 1].strip() for n in numbers]
    return sum(bool(text) and not text.startswith("#") for text in texts)


def function_problems(codes: dict[str, str], most: int) -> list[str]:
    """Functions that are too long; `codes` maps a place's name to its text."""
    sizes = {}
    for place, code in codes.items():
        for node in functions_in(code):
            sizes[f"{place}:{node.lineno} {node.name}"] = function_size(node, code)
    found = [f"{name} has {n} lines, at most {most}" for name, n in sizes.items() if n > most]
    middle = median(sizes.values()) if sizes else 0
    if middle > FUNCTION_MEDIAN:
        found.append(f"median function of {middle} lines, at most {FUNCTION_MEDIAN}")
    return found


def prose(markdown: str) -> str:
    """Markdown without code blocks, tables, HTML, pictures; a formula or `name` is one word."""
    text = re.sub(r"```.*?```|<!--.*?-->", " ", markdown, flags=re.S)
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`", " X ", text, flags=re.S)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|<https?://[^>]*>", r" \1 ", text)
    text = re.sub(r"<[^>\n]+>", " ", text)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))


def word_count(markdown: str) -> int:
    """Words of prose; headings count, code and tables do not."""
    return len(re.findall(r"[^\W_][\w’'-]*", prose(markdown)))


def word_problems(cells: list, number: str) -> list[str]:
    """A chapter with too many or too few words, or with a wall of them in one cell."""
    counts = [word_count(c.source) for c in cells if c.cell_type == "markdown"]
    low, high = (0, FIRST_CHAPTER_WORDS) if number == "00" else WORDS
    found = [f"a text cell of {n} words, at most {WORDS_IN_A_CELL}" for n in counts]
    found = [line for line, n in zip(found, counts, strict=True) if n > WORDS_IN_A_CELL]
    if not low <= sum(counts) <= high:
        found.append(f"{sum(counts)} words of prose, {low} to {high} are asked for")
    return found


def words_before_code(cells: list) -> list[int]:
    """Words of each run of text cells that a code cell follows."""
    counts, waiting = [], 0
    for cell in cells:
        if cell.cell_type == "markdown":
            waiting += word_count(cell.source)
        elif waiting:
            counts.append(waiting)
            waiting = 0
    return counts


def rhythm_problems(cells: list) -> list[str]:
    """Too few or too many words, in the median, before a code cell."""
    counts, (low, high) = words_before_code(cells), WORDS_BEFORE_CODE
    if counts and not low <= median(counts) <= high:
        return [f"median of {median(counts)} words before a code cell, {low} to {high} asked for"]
    return []


def tone_problems(cells: list) -> list[str]:
    """Filler words and exclamation marks."""
    text = "\n".join(prose(c.source) for c in cells if c.cell_type == "markdown")
    found = [f"“{w}” in the prose" for w in BANNED_WORDS if re.search(rf"\b{w}\b", text, re.I)]
    shouts = re.findall(r"[^\n]{0,30}!(?![=\[])", text)
    return found + [f"an exclamation mark: {shout.strip()}" for shout in shouts]


def chapter_problems(path: Path) -> list[str]:
    """All that the gate has against a chapter's source."""
    cells, number = cells_of(path), path.name[:2]
    codes = code_of(cells)
    named = {f"{path.stem} code cell {i}": plain_python(c) for i, c in enumerate(codes, 1)}
    found = cell_problems(codes) + banned_code_problems(codes)
    found += function_problems(named, CHAPTER_FUNCTION_MOST)
    found += word_problems(cells, number) + rhythm_problems(cells) + tone_problems(cells)
    return found


def undocumented(code: str) -> list[str]:
    """Public functions, classes and methods (and the module itself) without a docstring."""
    tree = ast.parse(code)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
    for scope in [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]:
        public = [n for n in scope.body if isinstance(n, kinds) and not n.name.startswith("_")]
        found += [f"{n.name} (line {n.lineno})" for n in public if not ast.get_docstring(n)]
    return found


def imports(code: str) -> set[str]:
    """The top-level names of all modules that a text imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def package_problems(package: Path) -> list[str]:
    """All that the gate has against the package."""
    paths = sorted(package.rglob("*.py"))
    codes = {p.relative_to(package).as_posix(): p.read_text(encoding="utf-8") for p in paths}
    found = function_problems(codes, PACKAGE_FUNCTION_MOST)
    for place, code in codes.items():
        bare = [] if place.startswith(ANSWERS) else undocumented(code)
        found += [f"{place}: {name} has no docstring" for name in bare]
        if place.startswith(WITHOUT_JUPYTER) and imports(code) & JUPYTER:
            found.append(f"{place} imports {', '.join(sorted(imports(code) & JUPYTER))}")
        if re.search(BANNED_CODE["a star import"], code, re.M):
            found.append(f"{place} has a star import")
    return found
