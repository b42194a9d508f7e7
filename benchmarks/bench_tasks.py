"""How long the data takes: python benchmarks/bench_tasks.py

Every figure is the median of rounds in which all contenders take turns, so that a busy minute of
the machine hits all of them alike; "best" is the quickest round. Omniglot is read from the folder
that MLCOURSE_OMNIGLOT names, or from data/; without it generated pictures stand in for sampling.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mlcourse import paths
from mlcourse.tasks import Characters, SineTasks, omniglot

UNITS = {"s": 1.0, "ms": 1e3}


def interleaved(contenders: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one round that does not count."""
    seconds = {name: [] for name in contenders}
    for counted in [False] + [True] * rounds:
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(seconds: dict[str, list[float]], targets: dict[str, float | None], unit: str) -> None:
    """A line for each contender: median, best and, where there is one, the target."""
    for name, times in seconds.items():
        median, best = (f(times) * UNITS[unit] for f in (statistics.median, min))
        line = f"{name:<44}{median:>9.3f} {unit:<3}best {best:>8.3f} {unit:<3}"
        if (target := targets.get(name)) is not None:
            line += f"target {target:g} {unit:<3}{'met' if median <= target else 'MISSED'}"
        print(line)


def unpacking(folder: Path) -> dict[str, Callable]:
    """From the two zips, and from the packed cache, each as if in a new process."""

    def fresh() -> None:
        omniglot._loaded.clear()
        (paths.data_folder() / "omniglot_28.npz").unlink(missing_ok=True)
        omniglot.load_characters()

    def cached() -> None:
        omniglot._loaded.clear()
        omniglot.load_characters()

    os.environ["MLCOURSE_OMNIGLOT"] = str(folder)
    return {"zips -> tensors": fresh, "cache -> tensors": cached}


def stand_in(classes: int) -> Characters:
    """Noise in the shape of characters: sampling does not look at the pictures."""
    images = torch.randint(256, (classes, 20, 28, 28), dtype=torch.uint8)
    zeros = torch.zeros(classes, dtype=torch.int64)
    return Characters(images, zeros, torch.zeros(classes, 20, dtype=torch.uint8), ("none",), zeros)


def sampling(pool: Characters) -> dict[str, Callable]:
    """Episodes as training draws them."""
    generator, sines = torch.Generator().manual_seed(0), SineTasks()
    return {
        "60-way 1-shot 5-query, 1 episode": lambda: pool.sample(1, 1, 5, generator, 60),
        "5-way 1-shot 15-query, 32 episodes": lambda: pool.sample(32, 1, 15, generator, 5),
        "5-way 1-shot 15-query, 1 episode": lambda: pool.sample(1, 1, 15, generator, 5),
        "sines, 10 and 10 points, 25 tasks": lambda: sines.sample(25, 10, 10, generator),
    }


def main() -> None:
    named = os.environ.get("MLCOURSE_OMNIGLOT") or paths.data_folder()
    folder = Path(named).expanduser()
    pool = stand_in(3856)
    with tempfile.TemporaryDirectory() as caches:
        os.environ["MLCOURSE_DATA"] = caches
        if omniglot.lacking(folder):
            print("no Omniglot here (see data/README.md): sampling from noise of the same shape")
        else:
            targets = {"zips -> tensors": 6.0, "cache -> tensors": 0.2}
            report(interleaved(unpacking(folder), 5), targets, "s")
            pool = omniglot.load_characters().background.rotated()
    targets = {"60-way 1-shot 5-query, 1 episode": 0.5}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        print(f"\n{len(pool)} classes, torch with {threads} thread{'s' * (threads > 1)}")
        report(interleaved(sampling(pool), 300), targets, "ms")


if __name__ == "__main__":
    main()
