"""Learned features with a solved head, on sine waves: recipe, training, what is on file."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import paths
from ..tasks import Episode, Points, SineTasks
from . import maml, sine_runs
from .closed_form import ridge_map

META_BATCH, K_SHOT, N_QUERY, PENALTY, OUTER_LR, STEPS = 25, 5, 10, 0.01, 0.01, 2000
SIZES = (2, 3, 5, 10, 40)  # features
CHECKPOINTS = (0, 30, 100, 300, 1000, 2000)  # meta-steps
RULES = ("features", "features, ReLU", "MAML, tanh")
SEEDS = (0, 1, 2)  # each with a start and training tasks of its own, those of `sine_runs`
FIRST = 20  # losses that are kept, to compare a rerun with
GRID = torch.linspace(-5, 5, 101, dtype=torch.float64)
HEAD = ("4.weight", "4.bias")
SHOTS, JUDGED = (1, 2, 3, 5, 10), 100  # of the waves that the explorer judges by
NOISES, FREQUENCIES = (0.0, 0.1, 0.3, 1.0), (0.8, 1.0, 1.25, 1.5, 2.0)


def start(n_features: int = 40, seed: int = 0) -> maml.Params:
    """The network of `sine_runs.start` without its head, cut to its first `n_features`."""
    body = {n: p for n, p in sine_runs.start(seed).items() if n not in HEAD}
    return body | {n: body[n][:n_features].clone() for n in ("2.weight", "2.bias")}


def features(params: maml.Params, x: Tensor, activation: Callable = torch.tanh) -> Tensor:
    """Two layers: (…, points, 1) to (…, points, n_features).

    params: those of `start`, or the same with leading task dimensions.
    """
    for i in (0, 2):
        x = activation(x @ params[f"{i}.weight"].mT + params[f"{i}.bias"].unsqueeze(-2))
    return x


def predict(
    params: maml.Params,
    support: Points,
    x: Tensor,
    penalty: float = PENALTY,
    activation: Callable = torch.tanh,
) -> Tensor:
    """What the head solved on the support set says at x: (tasks, points, 1).

    Waves hold nothing constant, so the head has no offset, which would cost a point for nothing.
    """
    w = ridge_map(features(params, support.x, activation), support.y, penalty)
    return features(params, x, activation) @ w


def losses(
    params: maml.Params,
    episodes: Episode,
    penalty: float = PENALTY,
    activation: Callable = torch.tanh,
) -> Tensor:
    """The query loss of each task, (tasks,); gradients flow back through the solve."""
    said = predict(params, episodes.support, episodes.query.x, penalty, activation)
    return (said - episodes.query.y).square().mean((1, 2))


def tanh_errors(params: maml.Params, points: Points) -> Tensor:
    """`networks.squared_errors` of the network with tanh in place of ReLU, (tasks,)."""
    z = features(params, points.x)
    said = z @ params["4.weight"].mT + params["4.bias"].unsqueeze(-2)
    return (said - points.y).square().mean((1, 2))


def rule_losses(rule: str, params: maml.Params, episodes: Episode) -> Tensor:
    """The query losses of a rule on each task, (tasks,); MAML takes one step with α = 0.01."""
    if rule == "MAML, tanh":
        alpha = sine_runs.INNER_LR
        adapted = maml.adapt_together(tanh_errors, params, episodes.support, alpha, 1)
        return tanh_errors(adapted, episodes.query)
    activation = torch.relu if rule == "features, ReLU" else torch.tanh
    return losses(params, episodes, PENALTY, activation)


def training(rule: str = "features", seed: int = 0, n_features: int = 40) -> maml.MetaTraining:
    """One run, to be stepped: tasks, batches and β are those of `sine_runs.rule_training`."""
    generator = torch.Generator().manual_seed(1000 + seed)
    params = sine_runs.start(seed) if rule == "MAML, tanh" else start(n_features, seed)
    return maml.MetaTraining(
        lambda params, episodes, *_: rule_losses(rule, params, episodes).mean(),
        params,
        lambda: SineTasks().sample(META_BATCH, K_SHOT, N_QUERY, generator),
        inner_lr=0.0,
        outer_lr=OUTER_LR,
    )


class Checkpoint(NamedTuple):
    """A network on its way, and the losses of the steps so far."""

    params: maml.Params
    losses: list[float]


def run(rule: str = "features", seed: int = 0, n_features: int = 40) -> Iterator[Checkpoint]:
    """A whole run, checkpoint by checkpoint."""
    work, seen = training(rule, seed, n_features), []
    for checkpoint in CHECKPOINTS:
        seen += [work.step(i / STEPS) for i in range(len(seen), checkpoint)]
        yield Checkpoint({n: p.detach().clone() for n, p in work.params.items()}, [*seen])


@cache
def recorded(n_features: int, checkpoint: int) -> maml.Params:
    """The features on file, of seed 0, after so many meta-steps."""
    with np.load(paths.asset("features_sine.npz"), allow_pickle=False) as file:
        values = file[f"size/{n_features}"][CHECKPOINTS.index(checkpoint)]
    return sine_runs.unflat(values, start(n_features))


@cache
def trained(rule: str = "features", seed: int = 0) -> tuple[maml.Params, Tensor]:
    """What a recorded run has learned, and its first losses, float64 (FIRST,)."""
    with np.load(paths.asset("features_sine.npz"), allow_pickle=False) as file:
        values, first = (file[f"{part}/{rule}"][seed] for part in ("rule", "first"))
    like = sine_runs.start() if rule == "MAML, tanh" else start()
    return sine_runs.unflat(values, like), torch.from_numpy(first)


# ---------------------------------------------------------------- waves to judge by


@cache
def judged(noise: float, frequency: float) -> Episode:
    """Waves A sin(ωx − φ), ten noisy support points at random places, the truth on GRID."""
    draw, most = torch.Generator().manual_seed(77), max(SHOTS)
    amplitude, phase = SineTasks().waves(JUDGED, draw)
    x = 10 * torch.rand(JUDGED, most, 1, generator=draw, dtype=torch.float64) - 5
    hum = noise * torch.randn(x.shape, generator=draw, dtype=x.dtype)
    grid = GRID[:, None].expand(JUDGED, -1, -1)
    heights = (amplitude * torch.sin(frequency * places - phase) for places in (x, grid))
    return Episode(Points(x, next(heights) + hum), Points(grid, next(heights)))


def medians(params: maml.Params, penalty: float, noise: float, frequency: float) -> Tensor:
    """The median loss of the solved head over the judged waves, (SHOTS,); few points are the first
    of many."""
    support, query = judged(noise, frequency)
    z, grid = features(params, support.x), features(params, GRID[:, None])
    found = []
    for k in SHOTS:
        said = grid @ ridge_map(z[:, :k], support.y[:, :k], penalty)
        found.append((said - query.y).square().mean((1, 2)).median())
    return torch.stack(found)


def maml_medians(noise: float, frequency: float) -> Tensor:
    """The same of chapter 05's recorded MAML after ten steps, (SHOTS,)."""
    params, (support, query) = sine_runs.trained("MAML").params, judged(noise, frequency)
    few = [Episode(Points(support.x[:, :k], support.y[:, :k]), query) for k in SHOTS]
    ends = [sine_runs.losses_along(params, episodes, sine_runs.INNER_LR)[-1] for episodes in few]
    return torch.stack(ends).median(1).values


@cache
def recorded_maml(noise: float, frequency: float) -> Tensor:
    """What `maml_medians` gave when the file was made."""
    with np.load(paths.asset("features_sine.npz"), allow_pickle=False) as file:
        row = file["maml"][NOISES.index(noise), FREQUENCIES.index(frequency)]
    return torch.from_numpy(row)
