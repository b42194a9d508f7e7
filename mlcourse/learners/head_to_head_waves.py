"""The same contest on sine waves: how each method answers, and the waves it is asked about."""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import paths
from ..tasks import Episode, Points, SineTasks
from . import maml, sine_features, sine_runs
from .closed_form import ridge_map
from .networks import mlp_together, squared_errors
from .wave_recognition import waves_at

Predict = Callable[[Points, Tensor], Tensor]  # support sets, queries' x -> their y

TASKS, SHOTS, QUERIES = 300, (1, 2, 3, 5, 7, 10), 100
STEPS = 10  # of adaptation, with the α of the training
SEEDS = sine_runs.SEEDS
RULES = ("pretraining", "MAML", "FOMAML", "Reptile")
METHODS = ("zero", "mean wave", *RULES, "solved head", "oracle")


class Shift(NamedTuple):
    """How waves differ from those that were trained on: y = A sin(frequency · x − φ) + noise."""

    sines: SineTasks = SineTasks()
    frequency: float = 1.0
    left: float = -5.0  # where support points begin; queries lie everywhere


SHIFTS = {
    "as trained": Shift(),
    "noise 0.5": Shift(SineTasks(noise=0.5)),
    "right half": Shift(left=0.0),
    "larger": Shift(SineTasks(amplitude=(5.0, 10.0))),
    "other phases": Shift(SineTasks(phase=(math.pi, 2 * math.pi))),
    "faster": Shift(frequency=1.5),
}


def judge(predict: Predict, episodes: Episode) -> Tensor:
    """The mean squared error of a method on each task, float64 (tasks,), infinite where it has
    diverged: it is shown no height of a query."""
    said = predict(episodes.support, episodes.query.x)
    errors = (said - episodes.query.y).square().mean((1, 2))
    return torch.where(errors.isnan(), torch.inf, errors)


def zero(support: Points, x: Tensor) -> Tensor:
    """A flat line."""
    return torch.zeros_like(x)


def mean_wave(support: Points, x: Tensor) -> Tensor:
    """The mean of all waves, which is the best answer to give without looking at a point."""
    return -5.1 / math.pi * x.cos()


def adapting(params: maml.Params, steps: int = STEPS) -> Predict:
    """Gradient steps on the support set from a start that was learned."""

    def predict(support: Points, x: Tensor) -> Tensor:
        alpha = sine_runs.INNER_LR
        adapted = maml.adapt_together(squared_errors, params, support, alpha, steps, True)
        return mlp_together(adapted, x).detach()

    return predict


def solved_head(params: maml.Params) -> Predict:
    """Learned features under a head that is solved on the support set."""

    def predict(support: Points, x: Tensor) -> Tensor:
        return sine_features.predict(params, support, x)

    return predict


def oracle(support: Points, x: Tensor) -> Tensor:
    """Least squares on sin x and cos x: it knows the family, and not the wave."""
    basis, _ = waves_at(torch.cat(support, -1))
    new, _ = waves_at(torch.cat([x, x], -1))
    return new @ ridge_map(basis, support.y, 1e-9)


def method(name: str, seed: int = 0) -> Predict:
    """One of METHODS as it is shipped; KeyError for another name."""
    if name in RULES:
        return adapting(sine_runs.trained(name, seed).params)
    if name == "solved head":
        return solved_head(sine_features.trained("features", seed)[0])
    return {"zero": zero, "mean wave": mean_wave, "oracle": oracle}[name]


def episodes(shift: str = "as trained", n_tasks: int = TASKS, k_shot: int = max(SHOTS)) -> Episode:
    """Waves of a kind, the first points and queries the same for every K. KeyError for others."""
    kind, generator = SHIFTS[shift], torch.Generator().manual_seed(21)
    sines = kind.sines
    amplitude, phase = sines.waves(n_tasks, generator)
    x = 10 * torch.rand(n_tasks, max(SHOTS) + QUERIES, 1, generator=generator).double() - 5
    few, x = x[:, : max(SHOTS)], x[:, max(SHOTS) :]
    few = kind.left + (few + 5) * (5 - kind.left) / 10
    hum = sines.noise * torch.randn(few.shape, generator=generator).double()
    heights = [amplitude * torch.sin(kind.frequency * places - phase) for places in (few, x)]
    support = Points(few[:, :k_shot], (heights[0] + hum)[:, :k_shot])
    return Episode(support, Points(x, heights[1]))


def errors(name: str, shift: str, seed: int = 0) -> Tensor:
    """The errors of a method on TASKS waves for each K, float64 (SHOTS, TASKS)."""
    predict = method(name, seed)
    return torch.stack([judge(predict, episodes(shift, k_shot=k)) for k in SHOTS])


def seeds(name: str) -> tuple[int, ...]:
    """The trainings of a method: one where nothing is trained."""
    return SEEDS if name in (*RULES, "solved head") else SEEDS[:1]


@cache
def recorded(shift: str = "as trained") -> dict[str, Tensor]:
    """What `errors` found, by method, float32 (trainings, SHOTS, TASKS): three digits, and
    infinite above 65504."""
    with np.load(paths.asset("runs_head_to_head_waves.npz"), allow_pickle=False) as file:
        return {
            name: torch.stack(
                [torch.from_numpy(file[f"{shift}/{name}/{seed}"]).float() for seed in seeds(name)]
            )
            for name in METHODS
        }
