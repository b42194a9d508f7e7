"""The live loop: train while you watch; interrupt, look, and run the cell again to go on."""

import math
import os
import time
from collections.abc import Callable

import ipywidgets as W
import torch
from matplotlib.figure import Figure

from . import pictures
from .runtime import gpu_fault

CALIBRATION = 10  # steps timed to plan a run that was given seconds; they count as training
REDRAW = 0.25  # seconds between two pictures of the curve


class LiveRun:
    """A training run that can be watched, interrupted and continued.

    step: does one update and returns its loss, a float; it owns all other state.
    steps: the number of updates, fixed before the run starts. With `seconds`, a short calibration
    chooses it to fit this machine instead (half of `steps` at least, since with fewer too little is
    learned), but for builds and tests, where $MLCOURSE_FIXED_STEPS is set and `steps` holds.
    to: moves that state to a device. With it, a GPU that lacks memory or an operation hands the
    run over to the CPU, with one line, and the step is made there.
    """

    def __init__(
        self,
        step: Callable[[], float],
        steps: int,
        seconds: float | None = None,
        label: str = "training loss",
        to: Callable[[torch.device], None] | None = None,
    ):
        if steps < 1:
            raise ValueError(f"a run needs at least one step, not {steps}")
        self.step, self.steps, self.planned, self.label = step, steps, seconds, label
        self.to = to
        self.losses: list[float] = []
        self.spent = 0.0
        self.fitted = seconds is None or "MLCOURSE_FIXED_STEPS" in os.environ

    @property
    def done(self) -> bool:
        """Whether all planned steps were made."""
        return self.fitted and len(self.losses) >= self.steps

    @property
    def progress(self) -> float:
        """The part of the plan that is behind us, 0 to 1: for rates that fall over the run."""
        return min(1.0, len(self.losses) / self.steps)

    def __call__(self) -> "LiveRun":
        """Train to the end of the plan, or until interrupted; calling again goes on."""
        bar, line, curve = W.IntProgress(layout=W.Layout(width="98%")), W.HTML(), W.HTML()
        canvas = pictures.Canvas(self.scene, (7.0, 2.6))

        def refresh() -> None:
            bar.max, bar.value, line.value = self.steps, len(self.losses), self.receipt()
            curve.value = pictures.img_tag(*canvas.draw(self.losses))

        box = W.VBox([line, bar, curve])
        pictures.show_widget(box)
        try:
            self.advance(refresh)
        except KeyboardInterrupt:
            print("Interrupted. Nothing is lost: run this cell again to go on.")
        bar.max, bar.value, line.value = self.steps, len(self.losses), self.receipt()
        box.children = [line, bar]
        pictures.show_picture(*canvas.draw(self.losses))
        return self

    def advance(self, refresh: Callable[[], None]) -> None:
        """Make the remaining steps, calling `refresh` a few times a second."""
        began, shown = time.perf_counter() - self.spent, 0.0
        try:
            while not self.done:
                self.losses.append(self.one_step())
                self.spent = time.perf_counter() - began
                if not self.fitted and len(self.losses) >= CALIBRATION:
                    self.fit()
                if self.spent - shown > REDRAW:
                    shown = self.spent
                    refresh()
        finally:
            self.spent = time.perf_counter() - began

    def one_step(self) -> float:
        """A step, on the CPU from now on if the device cannot make it."""
        try:
            return self.step()
        except (RuntimeError, NotImplementedError) as error:
            if self.to is None or not (reason := gpu_fault(error)):
                raise
        print(f"The GPU {reason}: the run goes on on the CPU.")
        move, self.to = self.to, None
        move(torch.device("cpu"))
        return self.step()

    def fit(self) -> None:
        """Fix the number of steps, from the time of the calibration steps but the first."""
        per_step = self.spent / len(self.losses)
        self.steps = max(len(self.losses), self.steps // 2, round(self.planned / per_step))
        self.fitted = True

    def receipt(self) -> str:
        """Steps and seconds, planned and spent."""
        plan = "" if self.planned is None else f" (planned: {self.planned:.0f} s)"
        return f"step {len(self.losses)} of {self.steps}, {self.spent:.1f} s{plan}"

    def scene(self, fig: Figure) -> Callable[[list[float]], str]:
        """The loss of every step, on a scale that grows by decades."""
        fig.set_layout_engine("none")  # room for ticks of any width
        axes = fig.add_axes((0.12, 0.2, 0.84, 0.74))
        axes.set(xlabel="step", ylabel=self.label, yscale="log", ylim=(0.1, 1))
        (curve,) = axes.plot([], [], color=pictures.COLOR["after"], animated=True)

        def update(losses: list[float]) -> str:
            seen = [loss for loss in losses if 0 < loss < math.inf] or [1.0]
            low, high = math.floor(math.log10(min(seen))), math.ceil(math.log10(max(seen)))
            axes.set(xlim=(0, self.steps), ylim=(10.0**low, 10.0 ** max(high, low + 1)))
            curve.set_data(range(1, len(losses) + 1), losses)
            return self.words()

        return update

    def words(self) -> str:
        """The curve in words."""
        if not self.losses:
            return f"An empty plot: {self.label}, before the first step."
        return (
            f"{self.label} over {len(self.losses)} steps, from {self.losses[0]:.2g} "
            f"to {self.losses[-1]:.2g}."
        )
