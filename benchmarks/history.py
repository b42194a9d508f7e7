"""Every figure of the benchmarks, and the tables made of them: python benchmarks/history.py

Scripts call `report` for each figure. It prints the figure beside the last recorded one of the same
name and kind of machine; with --record it also adds a line to history.jsonl. Run by itself, this
file writes the tables of the two READMEs.
"""

import json
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
import torch
from timing import TINY

ROOT = Path(__file__).resolve().parent.parent
FILE = Path(__file__).with_name("history.jsonl")
MORE_IS_BETTER = {"x", "/s"}  # of seconds, ms, MiB and % less is
BUSY = 0.2  # of the processors, by others, when a script starts
SUSPICIOUS = 1.3  # times worse than the last recorded figure
MARKS = "<!-- benchmarks -->\n", "<!-- /benchmarks -->"
TOP = {  # the figures of the top README, and their words
    "MAML, sines, second order, 1 step: all at once": "MAML on 25 sine waves, a meta-step: times "
    "as fast as a plain loop",
    "MAML, sines, second order, 1 step: learn2learn": "learn2learn, in the same run",
    "MAML, sines, second order, 5 steps: all at once": "the course again, with five inner steps",
    "MAML, 28 x 28 strided, 2 threads, second order, 1 step: vmap": "MAML on 32 tasks of "
    "characters, the paper's network: times as fast as a plain loop",
    "ProtoNet, 60-way step, 2 threads: PNG files": "ProtoNet, a step on 60 ways: times as fast as "
    "from PNG files by a `DataLoader`",
    "slider to picture, slowest: median": "slider to picture in the browser, the slowest lab",
    "chapter, all: processor": "all chapters from top to bottom, time of one core",
    "chapter, all: memory": "peak memory of the largest chapter",
}


@cache
def machine() -> str:
    """The kind of machine, short: figures of different kinds are not compared."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    model = " ".join((models or [platform.processor() or platform.machine()])[0].split())
    return f"{psutil.cpu_count()} x {model}, torch {torch.__version__}"


@cache
def occasion() -> dict:
    """What all figures of this run share; `busy` is what others took of the machine before it."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    date, busy = f"{datetime.now(UTC):%Y-%m-%d}", round(psutil.cpu_percent(1.0) / 100, 2)
    return {"date": date, "commit": done.stdout.strip(), "machine": machine(), "busy": busy}


def rows(file: Path | None = None) -> list[dict]:
    """All that was recorded, oldest first."""
    file = file or FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def latest(found: list[dict], where: str) -> dict[str, dict]:
    """The last row of each name on one kind of machine."""
    return {r["name"]: r for r in found if r["machine"] == where}


def worse(value: float, before: float, unit: str) -> float:
    """How many times worse a figure is than the one before it; below 1 where it is better."""
    old, new = (before, value) if unit in MORE_IS_BETTER else (value, before)
    return old / new if new else 1.0


def verdict(value: float, unit: str, target: float | None) -> str:
    """Whether a target is met; nothing where there is none."""
    if target is None:
        return ""
    return "met" if worse(value, target, unit) <= 1 else "MISSED"


def words(value: float, unit: str) -> str:
    """A figure for people: three digits, its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}"


def report(name: str, found: float | list[float], unit: str, target: float | None = None) -> None:
    """Print a figure beside its target and the last one; keep it when the script may record.

    found: one value, or those of single rounds: their median counts, the middle half is shown.
    """
    rounds = found if isinstance(found, list) else [found]
    value = statistics.median(rounds)
    line = f"{name:<72}{words(value, unit):>12}"
    middle = statistics.quantiles(rounds, n=4)[::2] if len(rounds) > 2 else None
    line += f"   {middle[0]:.3g} to {middle[1]:.3g}" if middle else ""
    if target is not None and not TINY:
        line += f"   target {target:g} {verdict(value, unit, target)}"
    last = None if TINY else latest(rows(), machine()).get(name)
    line += f"   last {words(last['value'], unit)} ({last['date']})" if last else ""
    print(line, flush=True)
    if last and worse(value, last["value"], unit) > SUSPICIOUS:
        print(f"  regression? {worse(value, last['value'], unit):.1f} times worse than the last")
    if "--record" in sys.argv and not TINY:
        keep({"name": name, "value": value, "unit": unit, "target": target, "middle": middle})


def keep(row: dict) -> None:
    """Add a figure to the history, with four digits."""
    short = json.loads(json.dumps(occasion() | row), parse_float=lambda s: float(f"{float(s):.4g}"))
    with FILE.open("a") as file:
        file.write(json.dumps(short) + "\n")


def table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table, its first column words and the others numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *lines])


def judged(row: dict) -> str:
    """A figure, with a star where others used the machine, and its target where it has one."""
    found = words(row["value"], row["unit"]) + "*" * ((row["busy"] or 0) > BUSY)
    if row["target"] is None:
        return found
    missed = verdict(row["value"], row["unit"], row["target"]) == "MISSED"
    return f"{found} (target {row['target']:g}{': **missed**' * missed})"


def grid(kind: str, found: dict) -> str:
    """All figures named "kind, what: which": a line for each what, a column for each which."""
    mine = {
        n.removeprefix(f"{kind}, ").partition(": "): r
        for n, r in found.items()
        if n.startswith(f"{kind}, ") and ": " in n
    }
    cells = {(what, which): judged(row) for (what, _, which), row in mine.items()}
    whats, whiches = (list(dict.fromkeys(c[i] for c in cells)) for i in (0, 1))
    return table([kind, *whiches], [[w, *(cells.get((w, c), "") for c in whiches)] for w in whats])


def tables(found: dict) -> str:
    """A grid for each kind of figure that has one, a list of the others."""
    kinds = dict.fromkeys(n.partition(", ")[0] for n in found if ": " in n)
    others = [[n, judged(row)] for n, row in found.items() if ": " not in n]
    return "\n".join([*(grid(kind, found) for kind in kinds), table(["the rest", ""], others)])


def circumstances(found: dict) -> str:
    """When, where and how busy, in a sentence."""
    kept = [*found.values()]
    dates = sorted({r["date"] for r in kept})
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    text = f"Measured on {when} on {kept[0]['machine']}."
    if any((r["busy"] or 0) > BUSY for r in kept):
        text += " A star: others used the machine too; seconds are too many then, ratios count."
    return f"{text}\n"


def pages(found: list[dict]) -> dict[Path, str]:
    """The generated part of each README, from the last figures of the machine last recorded."""
    last = latest(found, found[-1]["machine"])
    when = circumstances(last) + "\n"
    shown = [[text, judged(last[name])] for name, text in TOP.items() if name in last]
    return {
        ROOT / "README.md": when + table(["what", "measured"], shown),
        ROOT / "benchmarks" / "README.md": when + tables(last),
    }


def with_block(text: str, block: str) -> str:
    """A page whose part between the marks is `block`."""
    before, rest = text.split(MARKS[0])
    return before + MARKS[0] + block + MARKS[1] + rest.partition(MARKS[1])[2]


def main() -> None:
    """Write what was recorded into the READMEs."""
    for path, block in pages(rows()).items():
        path.write_text(with_block(path.read_text(), block))


if __name__ == "__main__":
    main()
