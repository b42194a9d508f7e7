"""Recorded training runs of MAML on sine waves: the settings, how one is made, what was found."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import paths
from ..tasks import Episode, Points, SineTasks
from . import maml
from .networks import mlp, mlp_together, parameters, seeded, squared_errors

ALPHAS = (0.003, 0.01, 0.03, 0.1)
BETAS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
INNER_STEPS = (1, 5)
CHECKPOINTS = (0, 10, 30, 100, 200, 300, 500, 700, 1000)  # meta-steps
AFTER = (0, 1, 5, 10)  # steps of adaptation after which a checkpoint is judged
STATISTICS = ("low", "median", "high", "mean")  # quartiles and mean over the tasks
META_BATCH, K_SHOT, NEW_TASKS = 25, 10, 200
GRID = torch.linspace(-5, 5, 61, dtype=torch.float64)
WAVE = 3.0, 1.0  # amplitude and phase of the wave that is drawn


class Found(NamedTuple):
    """What was found at one checkpoint; inf stands for what is too large to be written."""

    losses: Tensor  # float32 (AFTER, STATISTICS)
    curves: Tensor  # float32 (3, GRID): the drawn wave's network before, after 1, after 10 steps


def start(seed: int = 0) -> maml.Params:
    """The network of Finn et al. before any training."""
    return parameters(seeded(mlp, seed))


def new_tasks(n_tasks: int = NEW_TASKS, k_shot: int = K_SHOT, seed: int = 1) -> Episode:
    """Tasks to judge by, the same for all runs: K support points and 100 query points each."""
    return SineTasks().sample(n_tasks, k_shot, 100, torch.Generator().manual_seed(seed))


def drawn_wave() -> Episode:
    """The task whose curves are kept: ten points of it, and the whole of it."""
    amplitude, phase = WAVE
    places = torch.linspace(-4.5, 4.5, K_SHOT, dtype=torch.float64), GRID
    return Episode(
        *(Points(x[None, :, None], amplitude * torch.sin(x[None, :, None] - phase)) for x in places)
    )


def walk(
    params: maml.Params, support: Points, inner_lr: maml.Rates, steps: int
) -> Iterator[maml.Params]:
    """The parameters of all tasks, with a leading task dimension, before and after each step."""
    alpha, tasks = maml.rates(params, inner_lr), len(support.x)
    params = {name: p.detach().expand(tasks, *p.shape) for name, p in params.items()}
    yield params
    for _ in range(steps):
        moving = {name: params[name].requires_grad_() for name in alpha}
        with torch.enable_grad():
            total = squared_errors(params | moving, support).sum()
        grads = torch.autograd.grad(total, [*moving.values()])
        params = params | {
            name: p.detach() - alpha[name] * g for (name, p), g in zip(moving.items(), grads)
        }
        yield params


def losses_along(params: maml.Params, episodes: Episode, inner_lr: maml.Rates) -> Tensor:
    """The query loss of each task after each number of steps in AFTER, (AFTER, tasks).

    What is no number any more counts as infinite.
    """
    path = walk(params, episodes.support, inner_lr, max(AFTER))
    found = [squared_errors(p, episodes.query) for i, p in enumerate(path) if i in AFTER]
    losses = torch.stack(found).detach()
    return torch.where(losses.isnan(), torch.inf, losses)


def judge(params: maml.Params, episodes: Episode, inner_lr: float) -> Found:
    """What is kept of a checkpoint."""
    losses = losses_along(params, episodes, inner_lr)
    quartiles = losses.quantile(
        torch.tensor([0.25, 0.5, 0.75]).double(), 1, interpolation="nearest"
    )
    wave = drawn_wave()
    path = walk(params, wave.support, inner_lr, max(AFTER))
    curves = [mlp_together(p, wave.query.x)[0, :, 0] for i, p in enumerate(path) if i in (0, 1, 10)]
    losses = torch.cat([quartiles, losses.mean(1)[None]]).T
    return Found(losses.float(), torch.stack(curves).detach().float())


def training(
    inner_lr: float, outer_lr: float, inner_steps: int, seed: int = 0
) -> maml.MetaTraining:
    """One run of the grid: meta-batch 25, K = 10, ten query points, Adam with constant β."""
    generator, sines = torch.Generator().manual_seed(seed), SineTasks()

    def objective(params, episodes, alpha, progress):
        adapted = maml.adapt_together(squared_errors, params, episodes.support, alpha, inner_steps)
        return squared_errors(adapted, episodes.query).mean()

    def draw():
        return sines.sample(META_BATCH, K_SHOT, K_SHOT, generator)

    return maml.MetaTraining(objective, start(seed), draw, inner_lr, outer_lr, cycle=False)


def run(inner_lr: float, outer_lr: float, inner_steps: int) -> Iterator[Found]:
    """One run as it is recorded, checkpoint by checkpoint."""
    work, episodes, made = training(inner_lr, outer_lr, inner_steps), new_tasks(), 0
    for checkpoint in CHECKPOINTS:
        for _ in range(checkpoint - made):
            work.step()
        made = checkpoint
        yield judge(work.params, episodes, inner_lr)


@cache
def recorded() -> Found:
    """All runs of the grid, each part with (α, β, inner steps, checkpoint) in front."""
    with np.load(paths.asset("runs_sine.npz"), allow_pickle=False) as file:
        return Found(*(torch.from_numpy(file[part]).float() for part in Found._fields))


# ---------------------------------------------------------------- rules compared

RULES = ("MAML", "FOMAML", "Reptile", "same data", "five steps", "learned α", "pretraining")
SEEDS = (0, 1, 2)  # each with a start and training tasks of its own
RULE_STEPS, RULE_SHOTS, INNER_LR, OUTER_LR = 2000, 5, 0.01, 0.01
FIRST = 20  # meta-losses that are kept, to compare a rerun with


class Trained(NamedTuple):
    """What a rule has learned: the start, the rate of each tensor, and its first meta-losses."""

    params: maml.Params
    inner_lrs: dict[str, float]
    first: Tensor  # float64 (FIRST,)


def steps_of(rule: str) -> int:
    """Meta-steps of a run: five inner steps take three times as long, so a third of them."""
    return RULE_STEPS // 3 if rule == "five steps" else RULE_STEPS


def rule_loss(rule: str, params: maml.Params, episodes: Episode, alpha: maml.Rates) -> Tensor:
    """What the outer loop of a rule descends, on one meta-batch.

    Reptile has no such loss; the one here has its direction as the gradient.
    """
    support, query = episodes
    if rule == "pretraining":
        return squared_errors(*spread(params, episodes.together())).mean()
    steps = 5 if rule in ("five steps", "Reptile") else 1
    points = episodes.together() if rule == "Reptile" else support
    first = rule in ("FOMAML", "Reptile")
    adapted = maml.adapt_together(squared_errors, params, points, alpha, steps, first)
    if rule == "Reptile":
        ends = {name: p.detach().mean(0) for name, p in adapted.items()}
        return sum((p - ends[name]).square().sum() for name, p in params.items()) / (2 * INNER_LR)
    return squared_errors(adapted, support if rule == "same data" else query).mean()


def spread(params: maml.Params, points: Points) -> tuple[maml.Params, Points]:
    """Parameters with a task dimension, for points that have one, without copying."""
    return {name: p.expand(len(points.x), *p.shape) for name, p in params.items()}, points


def rule_training(rule: str, seed: int) -> maml.MetaTraining:
    """The run of a rule: 25 tasks a step with 5 support and 10 query points, one cycle of β."""
    generator, params = torch.Generator().manual_seed(1000 + seed), start(seed)
    alpha = INNER_LR
    if rule == "learned α":
        rate = torch.tensor(INNER_LR, dtype=torch.float64)
        alpha = {name: rate.clone().requires_grad_() for name in params}
    return maml.MetaTraining(
        lambda params, episodes, alpha, _: rule_loss(rule, params, episodes, alpha),
        params,
        lambda: SineTasks().sample(META_BATCH, RULE_SHOTS, 2 * RULE_SHOTS, generator),
        alpha,
        OUTER_LR,
    )


def train_rule(rule: str, seed: int) -> Trained:
    """A whole run, as it is recorded."""
    work, steps = rule_training(rule, seed), steps_of(rule)
    losses = [work.step(i / steps) for i in range(steps)]
    rates = {
        n: torch.as_tensor(rate).item()
        for n, rate in maml.rates(work.params, work.inner_lr).items()
    }
    params = {name: p.detach() for name, p in work.params.items()}
    return Trained(params, rates, torch.tensor(losses[:FIRST], dtype=torch.float64))


def flat(params: maml.Params) -> Tensor:
    """All numbers of a network, as they are kept."""
    return torch.cat([p.flatten() for p in params.values()]).float()


def unflat(values: np.ndarray, like: maml.Params) -> maml.Params:
    """The reverse of `flat`, float64 again."""
    parts = torch.from_numpy(values).double().split([p.numel() for p in like.values()])
    return {name: part.view(p.shape) for (name, p), part in zip(like.items(), parts)}


@cache
def trained(rule: str, seed: int = 0) -> Trained:
    """What a recorded run has learned; float64 again, from float32."""
    with np.load(paths.asset("rules_sine.npz"), allow_pickle=False) as file:
        values, rates, first = (
            file[part][RULES.index(rule), seed] for part in ("params", "rates", "first")
        )
    params, rates = unflat(values, start()), torch.from_numpy(rates).double()
    return Trained(params, dict(zip(params, rates.tolist())), torch.from_numpy(first).double())
