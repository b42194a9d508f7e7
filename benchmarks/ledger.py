"""The paper ledger: every published number the course touches, and ours beside it.

make ledger                  trains anew what fits ten minutes, judges shipped checkpoints anew
make ledger-full             remakes the recordings first and, on a GPU, adds the papers' protocols
make ledger ARGS=sine_paper  one job alone; ARGS=--shipped trains nothing, but judges what is
                             shipped; ARGS=--page writes the pages again
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from filelock import FileLock
from ledger_jobs import JOBS, LONG, NEED_A_GPU, SHIPPED, Found
from ledger_pages import REPOSITORY, write_pages
from ledger_rows import GROUPS, Group
from torch import Tensor

from mlcourse import paths
from mlcourse.evaluation import estimate
from mlcourse.learners import maml_runs
from mlcourse.tasks import load_characters

LEDGER = REPOSITORY / "benchmarks" / "ledger.json"
NO_SECONDS = "processor seconds were not recorded"
MEASURED = ("ours", "why", "training_seconds", "device", "torch", "commit", "date", "command")
MEASURED += ("kind",)
ASIDE = "maml_dense"
PICTURES = [job for job in JOBS if any(g.job == job and g.unit == "%" for g in GROUPS)]


def git(*words: str) -> str:
    """What git says, "" outside a checkout."""
    said = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True)
    return said.stdout.strip()


def here(group: Group, kind: str, began: str, full: bool, shipped: bool) -> dict:
    """Where, when and how a figure of this group was found."""
    if kind == "recorded" and not full:
        file, command = group.recorded
        commit, date = (git("log", "-1", "--format=%h %cs", "--", file) or "? ?").split()
        made = {"device": "CPU", "torch": None, "commit": commit, "date": date}
        return made | {"command": command, "kind": kind}
    threads = torch.get_num_threads()
    device = f"CPU ({platform.machine()}), {threads} thread{'s' * (threads > 1)}"
    if group.job in NEED_A_GPU and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    full = full and bool(group.recorded or group.job in NEED_A_GPU)
    made = {"device": device, "torch": torch.__version__, "commit": began}
    made["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
    made["command"] = f"make ledger{'-full' * full}{' ARGS=--shipped' * shipped}"
    if group.job in LONG and not full:
        made["command"] = f"make ledger ARGS={group.job}"
    return made | {"kind": "trained anew" if full else kind}


def said(found: Found, unit: str) -> dict:
    """What the ledger keeps of a cell: accuracies in %, four digits."""
    each = torch.stack(found.trainings).double() * (100 if unit == "%" else 1)
    mean = estimate(each.mean(0))
    kept = {"mean": mean.mean, "half_width": mean.half_width}
    if unit == "MSE":
        kept["median"] = each.median(1).values.mean().item()
    trainings = {"trainings": [short(v) for v in each.mean(1)]} if len(each) > 1 else {}
    return {name: short(v) for name, v in kept.items()} | {"n": mean.n} | trainings


def short(value: float | Tensor) -> float:
    """Four digits of it."""
    return float(f"{float(value):.4g}")


def measured(group: Group, found: dict[str, Found], *run) -> dict[str, dict]:
    """The cells of a group as a job has found them, by their ids; run: what `here` wants."""
    made = {}
    for cell in group.cells:
        seconds = found[cell].seconds
        row = {"ours": said(found[cell], group.unit)}
        row["training_seconds"] = None if seconds is None else round(seconds, 1)
        row["why"] = NO_SECONDS if seconds is None else ""
        made[f"{group.id}/{cell}"] = row | here(group, found[cell].kind, *run)
    return made


def rows(known: dict[str, dict]) -> list[dict]:
    """Every cell of every group, with what is known of ours."""
    made = []
    for group in GROUPS:
        for cell, (value, half) in group.cells.items():
            id, paper = f"{group.id}/{cell}", {"value": value, "half_width": half}
            paper |= {"none": group.none} | group.paper._asdict()
            row = {"id": id, "method": group.method, "cell": cell, "unit": group.unit}
            row |= {"paper": paper, "differences": group.differences}
            made.append(row | (known.get(id) or dict.fromkeys(MEASURED) | {"why": group.why}))
    return made


def known() -> dict[str, dict]:
    """What the ledger holds of ours, by id."""
    held = json.loads(LEDGER.read_text())["rows"] if LEDGER.exists() else []
    return {row["id"]: {n: row[n] for n in MEASURED} for row in held if row["ours"]}


def write(new: dict[str, dict]) -> None:
    """The ledger with new findings in place of the old one, whole, and its pages."""
    draft = LEDGER.with_name(".ledger.json.part")
    with FileLock(Path(tempfile.gettempdir()) / "mlcourse-ledger.lock"):
        made = rows(known() | new)
        text = json.dumps({"rows": made}, indent=1, ensure_ascii=False)
        draft.write_text(text + "\n", encoding="utf-8")
        os.replace(draft, LEDGER)
        write_pages(made)


@contextlib.contextmanager
def remade() -> Iterator[None]:
    """Recordings and checkpoints made anew in a folder that is gone afterwards."""
    sys.path.insert(0, str(REPOSITORY / "tools"))
    import assets

    shipped = paths.asset
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(shipped("."), folder, dirs_exist_ok=True)
        paths.asset = lambda name: Path(folder) / name
        try:
            for maker in dict.fromkeys(g.recorded[1].split()[-1] for g in GROUPS if g.recorded):
                assets.MAKERS[maker]()
            yield
        finally:
            paths.asset = shipped


def run(jobs: list[str], full: bool = False, tiny: bool = False, shipped: bool = False) -> None:
    """Do the jobs; a tiny run writes nothing, any other writes after each job."""
    dirty = git("status", "--porcelain", "--", "mlcourse", "tools", "benchmarks/*.py")
    began = git("rev-parse", "--short", "HEAD") + " (dirty)" * bool(dirty)
    for job in jobs:
        groups = [group for group in GROUPS if group.job == job]
        if job in PICTURES and not (tiny or load_characters(maml_runs.SIZE).real):
            print(f"{job}: Omniglot is not here, so its rows stay as they are.")
            continue
        clock = time.perf_counter()
        how = (SHIPPED if shipped else JOBS)[job]
        found = how(lambda n, few=20: min(n, few) if tiny else n)
        for group in groups:
            new = measured(group, found, began, full, shipped)
            for id, row in new.items():
                print(f"{id:45} {row['ours']['mean']} ± {row['ours']['half_width']}", flush=True)
            if not tiny:
                write(new)
        print(f"{job}: {time.perf_counter() - clock:.0f} s", flush=True)


def side_by_side(full: bool) -> None:
    """Waves in a process of their own, characters in this one, a thread each; the network without
    convolutions goes with the waves, so that both take about as long."""
    waves = [job for job in JOBS if job not in PICTURES and (full or job not in LONG)]
    waves.append(ASIDE)
    with subprocess.Popen([sys.executable, __file__, *waves]) as other:
        here = torch.cuda.is_available() and full
        skipped = {ASIDE, *(() if here else NEED_A_GPU)}
        run([job for job in PICTURES if job not in skipped], full)
    if other.returncode:
        raise SystemExit("The rows of the waves are not complete.")


def main(words: list[str] | None = None) -> None:
    """Read the command line and obey."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", choices=[[], *JOBS], help="these alone")
    for flag in ("--full", "--tiny", "--shipped", "--page"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    if asked.page:
        return write({})
    with remade() if asked.full and not asked.tiny else contextlib.nullcontext():
        if (asked.jobs or asked.tiny) and not asked.shipped:
            run(asked.jobs or [*JOBS], asked.full, asked.tiny)
        elif asked.shipped:
            run(asked.jobs or [*SHIPPED], shipped=True)
        else:
            side_by_side(asked.full)


if __name__ == "__main__":
    main()
