"""What a chapter runs on: device, threads, figure style, data and seed, told on one card."""

import ctypes
import html
import os
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import torch
from IPython import get_ipython
from IPython.display import display

from . import __version__, claims, pictures
from .tasks import load_characters

T = TypeVar("T")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
OUT_OF_MEMORY = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
UNSUPPORTED = ("not implemented", "not currently implemented", "not supported", "doesn't support")


@dataclass(frozen=True)
class Session:
    """What `start` found: the device, the seed, and the characters when they were asked for."""

    chapter: str
    device: torch.device
    seed: int
    characters: object = None


def best_device() -> torch.device:
    """CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def carry_on(work: Callable[[torch.device], T], device: torch.device | None = None) -> T:
    """Run `work(device)`; after a lack of memory or an unsupported operation, `work(cpu)` instead.

    `work` must draw its randomness from a generator that it seeds itself, on the CPU, so that both
    devices see the same episodes; float32 results then agree to about 1e-3 of their size. Prints
    one line when it changes device. Other errors pass.
    """
    device = device or best_device()
    try:
        return work(device)
    except (RuntimeError, NotImplementedError) as error:
        if device.type == "cpu" or not (reason := gpu_fault(error)):
            raise
        print(f"The {device.type.upper()} device {reason}: this cell runs on the CPU instead.")
    if device.type == "cuda" and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return work(torch.device("cpu"))


def gpu_fault(error: Exception) -> str:
    """Why a device could not do the work, in words, or "" when the error has another cause."""
    message = str(error).lower()
    if isinstance(error, OUT_OF_MEMORY) or "out of memory" in message:
        return "ran out of memory"
    if isinstance(error, NotImplementedError) or any(words in message for words in UNSUPPORTED):
        return "lacks an operation"
    return ""


def set_threads() -> None:
    """One thread by default: small networks are fastest so, and a browser needs the other core."""
    torch.set_num_threads(int(os.environ.get("MLCOURSE_THREADS", 1)))


def keep_freed_memory() -> None:
    """Let glibc keep the blocks that are freed: without it each step of a convolution network asks
    the system for its activations again, page by page, and takes up to 1.6 times as long."""
    with suppress(OSError, AttributeError):  # another system, another allocator
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def all_cores():
    """All cores while convolutions train; the number of before afterwards.

    In test workers, where MLCOURSE_THREADS is set, nothing changes.
    """
    before = torch.get_num_threads()
    if "MLCOURSE_THREADS" not in os.environ:
        torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def guard_pyplot() -> None:
    """Keep slider messages from drawing the pyplot figure that a cell is just building.

    JupyterLab >= 4.4 with ipykernel >= 7 handles them in a side thread, where they fire IPython's
    cell events and with them matplotlib's "draw and close everything" hook.
    """
    ip = get_ipython()
    if ip is None or getattr(ip.events, "main_only", False):
        return
    trigger = ip.events.trigger

    def main_only(event, *args, **kwargs):
        side = threading.current_thread() is not threading.main_thread()
        if not (side and event in ("pre_execute", "post_execute")):
            return trigger(event, *args, **kwargs)

    ip.events.trigger, ip.events.main_only = main_only, True


def start(chapter: str, characters: bool = False, float64: bool = False, seed: int = 0) -> Session:
    """Get ready for a chapter and show one card that says what it runs on.

    characters: load Omniglot, or generated alphabets when it cannot be had.
    float64: for sines and mathematics, which then always run on the CPU.
    """
    guard_pyplot()
    pictures.use_style()
    set_threads()
    keep_freed_memory()
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64 if float64 else torch.float32)
    device = torch.device("cpu") if float64 else best_device()
    data = load_characters() if characters else None
    claims.begin(chapter)
    session = Session(chapter, device, seed, data)
    display(Card(f"Chapter {chapter} is ready", facts(session)))
    return session


def facts(session: Session) -> dict[str, str]:
    """The lines of the card."""
    python = ".".join(map(str, sys.version_info[:2]))
    device = {"cuda": "GPU (CUDA)", "mps": "GPU (Apple MPS)", "cpu": "CPU"}[session.device.type]
    data = session.characters
    return {
        "Runs on": f"{device}, {torch.get_num_threads()} of {os.cpu_count()} threads",
        "Versions": f"Python {python}, torch {torch.__version__}, mlcourse {__version__}",
        "Data": "sine waves" if data is None else data.source + " (the real one)" * data.real,
        "Seed": str(session.seed),
    }


class Card:
    """A title and a few facts, as a small table or as plain lines."""

    def __init__(self, title: str, lines: dict[str, str]):
        self.title, self.lines = title, lines

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"  {name}: {text}" for name, text in self.lines.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr style="text-align:left"><th scope="row">{html.escape(n)}</th>'
            f'<td style="text-align:left;padding-left:16px">{html.escape(t)}</td></tr>'
            for n, t in self.lines.items()
        )
        return (
            '<div style="border-left:4px solid #0072B2;padding:4px 12px;max-width:46em">'
            f"<strong>{html.escape(self.title)}</strong><table>{rows}</table></div>"
        )
