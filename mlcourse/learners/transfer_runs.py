"""Recorded runs of transfer learning: the settings, how one run is made, and what was found."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from .. import paths
from ..evaluation import accuracy
from ..tasks import CharacterData, Characters, Episode, Points
from . import networks
from .closed_form import ridge
from .networks import conv4, features, seeded
from .protonet import nearest_prototype, prototypes
from .transfer import CHECKPOINTS, Pretraining, at_checkpoints, curve, mixing, share_right

SHOTS = (1, 2, 5, 10, 15)  # drawings per character, K; five others are asked for
DEPTHS = (0, 1, 2, 3, 4)  # blocks unfrozen, from the last one on; the head always is new
RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # α of fine-tuning
SCRATCH_RATES = (3e-3, 1e-2)
SCRATCH_CHECKPOINTS = (*CHECKPOINTS, 100, 200)  # a new network needs more steps
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)  # of the probe
LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
MIXTURE_SHOTS, MIXTURE_RATE = 5, 1e-3


def pretrained(name: str = "conv4_omniglot.npz") -> nn.Sequential:
    """The body of a shipped checkpoint, in evaluation mode."""
    body = conv4(pools=3)
    networks.load(paths.asset(name), body=body)
    return body.eval()


def tasks(pool: Characters, k_shot: int = max(SHOTS), seed: int = 0) -> Episode:
    """One 20-way task of every alphabet, the same in all recorded runs."""
    return pool.sample_alphabets(k_shot, 5, torch.Generator().manual_seed(seed))


def task(episodes: Episode, number: int, k_shot: int) -> Episode:
    """One of these tasks with K shots, without the task dimension."""
    one = episodes.map(lambda v: v[number : number + 1])
    return one.with_shots(k_shot).map(lambda v: v[0])


def run(
    body: nn.Sequential | None, episode: Episode, number: int, depth: int, inner_lr: float
) -> Iterator[tuple[int, float]]:
    """One run as it is recorded: (step, accuracy), one by one; no body means from scratch."""
    checkpoints = CHECKPOINTS
    if body is None:
        body, checkpoints = seeded(lambda: conv4(pools=3), number), SCRATCH_CHECKPOINTS
    generator = torch.Generator().manual_seed(number)
    return curve(body, episode, depth, inner_lr, generator, checkpoints)


def accuracies(
    body: nn.Sequential | None, episodes: Episode, k_shot: int, depth: int, inner_lr: float
) -> Tensor:
    """The runs of all tasks at one setting: float32 (tasks, checkpoints)."""
    found = []
    for number in range(len(episodes.query.y)):
        runs = run(body, task(episodes, number, k_shot), number, depth, inner_lr)
        found.append(torch.tensor([accuracy for _, accuracy in runs]))
    return torch.stack(found)


def mixture(
    source: Pretraining, episode: Episode, number: int, lam: float
) -> Iterator[tuple[int, float, float]]:
    """A λ-mixture on one task: (step, accuracy on the new characters, on the source's), where the
    source's are one batch of its training drawings, shifted as in training."""
    source.generator.manual_seed(number)
    old = Points(*source.draw())
    generator = torch.Generator().manual_seed(number)
    nets = mixing(source.body, source, episode.support, 20, lam, MIXTURE_RATE, generator)
    for step, (new, kept) in at_checkpoints(nets, CHECKPOINTS):
        yield step, share_right(new, episode.query), share_right(kept, old)


def source(data: CharacterData, batch: int = 60) -> Pretraining:
    """The shipped network with its head, beside the data that it was trained on, to go on with."""
    work = Pretraining(pretrained(), data.background, torch.device("cpu"), batch=batch)
    networks.load(paths.asset("conv4_omniglot.npz"), head=work.head)
    return work


class Runs(NamedTuple):
    """Accuracies, float32 (K, depth, α, tasks, checkpoints), in the order of the settings above."""

    tuned: Tensor
    scratch: Tensor  # one depth, SCRATCH_RATES, SCRATCH_CHECKPOINTS


@cache
def recorded(name: str) -> Runs:
    """The runs on the alphabets for `choice` or for `evaluation`."""
    with np.load(paths.asset(f"runs_{name}.npz"), allow_pickle=False) as file:
        return Runs(*(torch.from_numpy(file[part]).float() / 100 for part in Runs._fields))


class Frozen(NamedTuple):
    """Accuracies of heads on frozen features: (K, tasks), and (K, penalties, tasks)."""

    nearest: Tensor
    probe: Tensor


def frozen(body: nn.Module, episodes: Episode) -> Frozen:
    """Nearest mean and ridge probe, for every K; the probe on features of length one."""
    points = [Points(features(body, part.x), part.y) for part in episodes]
    episodes, nearest, probe = Episode(*points), [], []
    for k in SHOTS:
        support, query = episodes.with_shots(k)
        found = nearest_prototype(query.x, prototypes(support.x, support.y, 20))
        nearest.append(accuracy(found, query.y))
        targets = one_hot(support.y, 20).float()
        solved = [ridge(normalize(support.x, dim=-1), targets, p) for p in PENALTIES]
        found = [(normalize(query.x, dim=-1) @ w + b).argmax(-1) for w, b in solved]
        probe.append(torch.stack([accuracy(f, query.y) for f in found]))
    return Frozen(torch.stack(nearest).float(), torch.stack(probe).float())


@cache
def recorded_frozen(name: str) -> Frozen:
    """Heads on frozen features, on the alphabets for `choice` or for `evaluation`."""
    with np.load(paths.asset("runs_frozen.npz"), allow_pickle=False) as file:
        return Frozen(*(torch.from_numpy(file[f"{name}.{part}"]) for part in Frozen._fields))


def inverted(episodes: Episode) -> Episode:
    """The same drawings, strokes dark on a bright ground."""
    return Episode(*(Points(1 - part.x, part.y) for part in episodes))


def rerun(body: nn.Sequential, episodes: Episode, k_shot: int, method: str) -> Tensor:
    """Accuracies (tasks,) of a trained method at its chosen α and number of steps, made anew."""
    rate, checkpoint = chosen(k_shot, method)
    depth = METHODS[method]
    start, depth, rates = (None, 4, SCRATCH_RATES) if depth is None else (body, depth, RATES)
    return accuracies(start, episodes, k_shot, depth, rates[rate])[:, checkpoint]


@cache
def recorded_inverted() -> dict[str, Tensor]:
    """Accuracies (tasks,) on inverted drawings, K = 5: `scratch` and `tuned` (all blocks)."""
    with np.load(paths.asset("runs_inverted.npz"), allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in ("scratch", "tuned")}


@cache
def recorded_mixture() -> Tensor:
    """Accuracies float32 (λ, tasks, checkpoints, 2): new characters, the source's."""
    with np.load(paths.asset("runs_mixture.npz"), allow_pickle=False) as file:
        return torch.from_numpy(file["right"])


METHODS = {  # trained ones: blocks unfrozen, None for all of a new network
    "from scratch": None,
    "new head": 0,
    "last block": 1,
    "full fine-tuning": 4,
}


@cache
def methods() -> dict[str, Tensor]:
    """Accuracies (K, tasks) of every method on the evaluation alphabets.

    α, the number of steps and the probe's penalty are those that were best on the validation
    alphabets, for each method and each K of SHOTS apart.
    """
    heads, penalties = (
        recorded_frozen("evaluation"),
        recorded_frozen("choice").probe.mean(-1).argmax(1),
    )
    probe = torch.stack([a[p] for a, p in zip(heads.probe, penalties)])
    trained = {name: torch.stack([*map(reported, SHOTS, [name] * len(SHOTS))]) for name in METHODS}
    return {**trained, "nearest mean": heads.nearest, "frozen probe": probe}


def chosen(k_shot: int, method: str) -> tuple[int, int]:
    """Which α and which checkpoint are best on the validation alphabets: two indices."""
    mean = of_method(recorded("choice"), k_shot, method).mean(1)
    return divmod(int(mean.argmax()), mean.shape[1])


def reported(k_shot: int, method: str) -> Tensor:
    """Accuracies (tasks,) on the evaluation alphabets at the chosen α and checkpoint."""
    rate, checkpoint = chosen(k_shot, method)
    return of_method(recorded("evaluation"), k_shot, method)[rate, :, checkpoint]


def of_method(runs: Runs, k_shot: int, method: str) -> Tensor:
    """The runs (α, tasks, checkpoints) of a trained method."""
    depth, k = METHODS[method], SHOTS.index(k_shot)
    return runs.scratch[k, 0] if depth is None else runs.tuned[k, depth]
