"""Contenders take turns, so that a busy minute of the machine hits all of them alike."""

import os
import sys
import time
from collections.abc import Callable

TINY = "--tiny" in sys.argv  # everything in seconds, to see that it runs
THREADS = int(os.environ.get("MLCOURSE_THREADS", 1 if TINY else 2))  # of convolutions
WITH = f"{THREADS} thread{'s' * (THREADS > 1)}"
PATIENCE = 15.0  # seconds of a core for the rounds of one row


def interleaved(contenders: dict[str, Callable], rounds: int, warm: int = 1) -> dict:
    """Seconds of each contender in each round, after `warm` rounds that do not count.

    Where rounds are slow there are fewer of them, but three at least.
    """
    seconds = {name: [] for name in contenders}
    began = time.process_time()
    for i in range(warm + rounds):
        if i >= warm + 3 and time.process_time() - began > PATIENCE:
            break
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if i >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(seconds: dict[str, list[float]], over: str, under: str) -> list[float]:
    """How many times as long one took as another, round by round."""
    return [a / b for a, b in zip(seconds[over], seconds[under])]
