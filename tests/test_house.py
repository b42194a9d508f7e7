"""ARCHITECTURE.md is true: every module has its line, and imports go the way that the page says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mlcourse"
MODULES = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")}
ROOMS = {module.parts[0] for module in MODULES}


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading: {name in the first cell: the other cells}."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    part = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)` \|(.*)\|$", part, re.M)
    assert len({name for name, _ in rows}) == len(rows), "a name stands twice"
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def imported(module: Path, code: str) -> set[str]:
    """The modules of the course that a module's text imports, as "room" or "room/module"."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*module.parts[: -node.level], *(node.module or "").split(".")]
            base = [part for part in base if part]
            names = [[*base, alias.name] for alias in node.names]
            found |= {"/".join(name[:2]) for name in names}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {"/".join(n.split(".")[1:3]) for n in names if n.startswith("mlcourse.")}
    return found


def problems(module: Path, code: str) -> list[str]:
    """What a module imports and should not."""
    room, found = module.parts[0], []
    below = re.findall(r"`(\w+)`", table("Rooms")[room][1])
    for name in imported(module, code):
        other = name.split("/")[0]
        if other in ROOMS - {room, *below}:
            found.append(f"{module} imports {other}, and {room} does not stand on it")
        chapters = [re.fullmatch(rf"{room}/(ch\d\d)", n) for n in (module.as_posix(), name)]
        if all(chapters) and module.as_posix() != name:
            found.append(f"{module} imports {name}: what two chapters need has a place of its own")
    return found


def test_every_room_and_every_module_has_its_line():
    assert set(table("Rooms")) == ROOMS
    inside = {m.as_posix() for m in MODULES if len(m.parts) > 1 and m.name != "__init__"}
    assert set(table("Modules")) == inside
    assert all(cells[0] for part in ("Rooms", "Modules") for cells in table(part).values())


@pytest.mark.parametrize("module", sorted(MODULES), ids=Path.as_posix)
def test_imports_go_the_way_the_page_says(module):
    assert problems(module, PACKAGE.joinpath(module).with_suffix(".py").read_text()) == []


@pytest.mark.parametrize(
    "module, code",
    [
        ("learners/maml", "from ..labs import Lab"),
        ("learners/maml", "from .. import labs"),
        ("learners/maml", "def f():\n    from mlcourse.pictures import figure"),
        ("learners/maml", "import mlcourse.exercises.engine"),
        ("tasks/sines", "from ..learners.maml import adapt"),
        ("labs/ch09", "from ..exercises.ch09 import check"),
        ("labs/ch09", "from .ch05 import sides"),
        ("labs/ch09", "from . import ch05"),
        ("exercises/ch08", "from mlcourse.exercises.ch07 import check"),
    ],
)
def test_a_wrong_way_is_found(module, code):
    assert problems(Path(module), code)


@pytest.mark.parametrize(
    "module, code",
    [
        ("learners/maml", "from ..tasks import Episode\nfrom .networks import move"),
        ("labs/pad", "from .ch01 import Game"),
        ("labs/ch09", "from .. import pictures\nimport torch\nfrom torch import Tensor"),
        ("runtime", "from . import __version__, claims\nfrom .tasks import load_characters"),
    ],
)
def test_a_right_way_passes(module, code):
    assert problems(Path(module), code) == []
