"""MAML and its relatives on characters: what each of them adapts, how it is trained and judged."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .. import paths
from ..evaluation import accuracy
from ..tasks import Characters, Episode, Points
from . import maml, networks, reptile
from .maml import MetaTraining, Params, Rates
from .protonet import linear_classifier, prototypes

N_WAY, SIZE = 5, 20  # ways, and pixels a side: as good as 28, and twice as fast
META_BATCH, QUERIES = 4, 5  # tasks a step, queries a class
OUTER_LR = 1e-2  # β at its peak
FIRST_ORDER = 0.3  # the part of a run in which learned rates do without second derivatives
HEAD = ("5.weight", "5.bias")  # of `networks.few_shot`
CHUNK = 50  # tasks judged at once


class Method(NamedTuple):
    """What adapts ("all", "head" or "body"), where α starts and which kind it is ("fixed",
    "tensor" or "weight": learned, one for each), the part of a run that is first order, whether
    the head starts from the prototypes, and how many steps Reptile walks (0: not Reptile)."""

    adapts: str = "all"
    inner_lr: float = 0.4
    learns: str = "fixed"
    first_order: float = 0.0
    prototypes: bool = False
    walk: int = 0


METHODS = {
    "MAML": Method(),
    "first order": Method(first_order=1.0),
    "ANIL": Method("head"),
    "BOIL": Method("body"),
    "learned α": Method(learns="tensor", first_order=FIRST_ORDER),
    "Meta-SGD": Method(learns="weight", first_order=FIRST_ORDER),
    "ProtoMAML": Method(learns="tensor", first_order=FIRST_ORDER, prototypes=True),
}


def inner_rates(method: Method, params: Params) -> Rates:
    """α for each tensor that adapts; those that are learned require gradients."""
    chosen = {
        name: p
        for name, p in params.items()
        if method.adapts == "all" or (name in HEAD) == (method.adapts == "head")
    }
    if method.learns == "fixed":
        return dict.fromkeys(chosen, method.inner_lr)
    shape = {"tensor": lambda p: (), "weight": lambda p: p.shape}[method.learns]
    return {
        name: torch.full(shape(p), method.inner_lr, requires_grad=True)
        for name, p in chosen.items()
    }


def prototype_head(net: nn.Sequential, n_way: int = N_WAY) -> Callable[[Params, Points], Params]:
    """ProtoMAML's start: to the head are added w = 2c and b = −‖c‖² of the support's prototypes.

    Source: Triantafillou et al. (2020), section 3.
    """
    body = net[:-1]

    def start(params: Params, support: Points) -> Params:
        x, y = support
        features = functional_call(body, {n: p for n, p in params.items() if n not in HEAD}, (x,))
        added = linear_classifier(prototypes(features, y, n_way))
        return params | {name: params[name] + part for name, part in zip(HEAD, added)}

    return start


class Learner(NamedTuple):
    """A network, what was learned for it, and how it adapts."""

    net: nn.Sequential
    params: Params
    inner_lr: Rates
    start: Callable[[Params, Points], Params] | None = None


def begin(method: Method, seed: int = 0, n_way: int = N_WAY) -> Learner:
    """A learner that has learned nothing."""
    net = networks.seeded(lambda: networks.few_shot(n_way), seed)
    params = networks.parameters(net)
    if method.prototypes:
        params |= {name: torch.zeros_like(params[name]) for name in HEAD}
    start = prototype_head(net, n_way) if method.prototypes else None
    return Learner(net, params, inner_rates(method, params), start)


def fixed_labels(pool: Characters, n_tasks: int, n_query: int, generator) -> Episode:
    """Episodes in which a character has the same label each time: its number modulo N."""
    groups = [pool.subset(torch.arange(k, len(pool), N_WAY)) for k in range(N_WAY)]
    each = [group.sample(n_tasks, 1, n_query, generator, n_way=1) for group in groups]
    return Episode(
        *(
            Points(
                torch.cat([p.x for p in side], 1),
                torch.cat([p.y + k for k, p in enumerate(side)], 1),
            )
            for side in zip(*each)
        )
    )


def training(
    method: Method,
    pool: Characters,
    seed: int = 0,
    permuted: bool = True,
    meta_batch: int = META_BATCH,
    n_way: int = N_WAY,
) -> tuple[MetaTraining, Learner]:
    """The outer loop of a method on a pool's N-way 1-shot tasks, to be stepped, and its learner.

    permuted: whether labels are drawn anew in each episode, as they should be. meta_batch: tasks
    a step.
    """
    learner, generator = begin(method, seed, n_way), torch.Generator().manual_seed(seed)
    loss = networks.task_loss(learner.net)

    def objective(params: Params, episodes: Episode, inner_lr: Rates, progress: float) -> Tensor:
        if method.walk:
            return reptile.objective(loss, params, episodes, method.inner_lr, method.walk)
        first_order = progress < method.first_order
        return maml.meta_loss(loss, params, episodes, inner_lr, 1, first_order, learner.start)

    def draw() -> Episode:
        if not permuted:
            return fixed_labels(pool, meta_batch, QUERIES, generator)
        return pool.sample(meta_batch, 1, QUERIES, generator, n_way)

    return MetaTraining(objective, learner.params, draw, learner.inner_lr, OUTER_LR), learner


def taught(run: MetaTraining, learner: Learner) -> Learner:
    """The learner as the run has left it."""
    rates = {name: r.detach() if torch.is_tensor(r) else r for name, r in run.inner_lr.items()}
    params = {name: p.detach() for name, p in run.params.items()}
    return learner._replace(params=params, inner_lr=rates)


def logits(learner: Learner, episodes: Episode, steps: int = 1, alone: bool = False) -> Tensor:
    """What a learner says of the queries after adapting: (tasks, queries, n_way).

    alone: each query is normalised together with the support set only, as if no other query were
    known; otherwise batch norm sees all queries at once (transductive).
    """
    net, params, inner_lr, start = learner
    loss = networks.task_loss(net)

    def one(support: Points, query: Points) -> Tensor:
        first = start(params, support) if start else params
        adapted = maml.adapt(loss, first, support, inner_lr, steps, first_order=True)
        if not alone:
            return functional_call(net, adapted, (query.x,))

        def answer(x: Tensor) -> Tensor:
            return functional_call(net, adapted, (torch.cat([support.x, x[None]]),))[-1]

        return vmap(answer)(query.x)

    with torch.no_grad():
        return vmap(lambda s, q: one(Points(*s), Points(*q)), chunk_size=CHUNK)(
            tuple(episodes.support), tuple(episodes.query)
        )


def judged(learner: Learner, episodes: Episode, steps: int = 1, alone: bool = False) -> Tensor:
    """The accuracy on each task after adapting, float64 (tasks,)."""
    return accuracy(logits(learner, episodes, steps, alone).argmax(-1), episodes.query.y)


SHORT, LONG = 1000, 6000  # steps of a run: about a minute on two quick cores, and about four
JUDGED = ("five", "one", "alone")  # queries a class together; one a class together; each by itself
STEPS = (0, 1, 3)  # of adaptation, at which "five" is judged; the others after one
CURVE = (0, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000)  # when the long run is judged


class Run(NamedTuple):
    """A recorded run."""

    method: Method
    seed: int = 0
    steps: int = SHORT
    permuted: bool = True
    meta_batch: int = META_BATCH


RUNS = {
    **{f"{name}/{seed}": Run(method, seed) for seed in (0, 1) for name, method in METHODS.items()},
    "α = 0.08/0": Run(Method(inner_lr=0.08)),
    "α = 2/0": Run(Method(inner_lr=2.0)),
    "fixed labels/0": Run(METHODS["MAML"], permuted=False),
    "long/0": Run(METHODS["ProtoMAML"], steps=LONG, meta_batch=8),
}


SHIPPED = tuple(name for name in RUNS if name.endswith("/0") and name[0] != "α")


def episodes(pool: Characters, n_query: int, n_tasks: int = 600) -> Episode:
    """The 5-way 1-shot tasks that all methods are judged on."""
    return pool.sample(n_tasks, 1, n_query, torch.Generator().manual_seed(7), N_WAY)


def judgement(learner: Learner, pool: Characters) -> dict[str, Tensor]:
    """Accuracies, float32: "five" (STEPS, tasks), "one" and "alone" (tasks,)."""
    five, one = episodes(pool, 5), episodes(pool, 1)
    found = {
        "five": torch.stack([judged(learner, five, k) for k in STEPS]),
        "one": judged(learner, one),
        "alone": judged(learner, one, alone=True),
    }
    return {name: v.float() for name, v in found.items()}


def arrays(name: str, learner: Learner) -> dict[str, np.ndarray]:
    """What was learned as plain arrays, "{name}/{tensor}" and "{name}/α/{tensor}"."""
    params = {f"{name}/{n}": p.numpy() for n, p in learner.params.items()}
    return params | {f"{name}/α/{n}": np.float32(r) for n, r in learner.inner_lr.items()}


def load(path: Path, name: str, method: Method, n_way: int = N_WAY) -> Learner:
    """The reverse of `arrays`; KeyError when the file does not have it."""
    learner = begin(method, n_way=n_way)
    with np.load(path, allow_pickle=False) as file:
        params = {n: torch.from_numpy(file[f"{name}/{n}"]) for n in learner.params}
        rates = {n: torch.from_numpy(file[f"{name}/α/{n}"]) for n in learner.inner_lr}
    return learner._replace(params=params, inner_lr=rates)


@cache
def shipped(name: str) -> Learner:
    """What the recorded run of this name has learned; KeyError unless it is one of SHIPPED."""
    return load(paths.asset("maml_characters.npz"), name, RUNS[name].method)


@cache
def recorded(name: str) -> dict[str, Tensor]:
    """What `judgement` said of a run on the evaluation alphabets; of the long one also "curve":
    steps, seconds, mean accuracy and half-width (points, 4)."""
    return networks.recorded("runs_maml.npz", name)
