"""How long the data takes: python benchmarks/bench_tasks.py

Every figure is the median of rounds. Omniglot is read from the folder that MLCOURSE_OMNIGLOT names,
or from data/; without it noise stands in for sampling. Options: --tiny, --record.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from history import report
from timing import THREADS, TINY, interleaved

from mlcourse import paths
from mlcourse.tasks import Characters, SineTasks, omniglot

ROUNDS = 2 if TINY else 300
TARGETS = {"zips -> tensors": 6.0, "cache -> tensors": 0.2, "60-way 1-shot 5-query, 1 episode": 0.5}


def measure(contenders: dict[str, Callable], rounds: int, unit: str, suffix: str = "") -> None:
    """Each contender's time in every round."""
    for name, seconds in interleaved(contenders, rounds).items():
        times = [s * {"s": 1.0, "ms": 1e3}[unit] for s in seconds]
        report(name + suffix, times, unit, TARGETS.get(name))


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
    """Reading the archives, then sampling on one thread and on two."""
    folder = Path(os.environ.get("MLCOURSE_OMNIGLOT") or paths.data_folder()).expanduser()
    pool = stand_in(3856)
    with tempfile.TemporaryDirectory() as caches:
        os.environ["MLCOURSE_DATA"] = caches
        if omniglot.lacking(folder):
            print("no Omniglot here (see data/README.md): sampling from noise of the same shape")
        elif not TINY:
            measure(unpacking(folder), 5, "s")
            pool = omniglot.load_characters().background.rotated()
    for threads in sorted({1, THREADS}):
        torch.set_num_threads(threads)
        measure(sampling(pool), ROUNDS, "ms", f", {threads} thread{'s' * (threads > 1)}")


if __name__ == "__main__":
    main()
