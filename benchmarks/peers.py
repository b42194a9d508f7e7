"""The peers: other people's MAML, each behind one small function: python benchmarks/peers.py

Each is installed into a folder of its own under .peers/, without what it depends on, and stands at
the end of the path: nothing there can take the place of the course's own torch or numpy. A peer
that cannot be had is skipped with a sentence.
"""

import importlib
import os
import shutil
import subprocess
import sys
import tarfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from timing import TINY
from torch import Tensor, nn
from torch.utils.data import Sampler

from mlcourse.learners import networks
from mlcourse.tasks import Episode, Points

FOLDER = Path(__file__).resolve().parent.parent / ".peers"
OPTIONS = ["--no-deps", "--quiet", "--disable-pip-version-check", "--retries=1", "--timeout=10"]


class Peer(NamedTuple):
    """What pip is asked for, what is imported, and packages whose own start is left out.

    learn2learn's extensions do not build on Python 3.11 and its start imports them, easyfsl's
    imports torchvision and pandas; the files that are measured need none of it.
    """

    needs: str
    module: str
    hollow: tuple[str, ...] = ()


PEERS = {
    "learn2learn": Peer(
        "learn2learn==0.2.0",
        "learn2learn.algorithms.maml",
        ("learn2learn", "learn2learn.algorithms"),
    ),
    "higher": Peer("higher==0.2.1", "higher"),
    "torchopt": Peer("torchopt==0.7.3 optree==0.20.0 graphviz==0.21", "torchopt"),
    "jax": Peer(
        "jax==0.10.2 jaxlib==0.10.2 ml_dtypes==0.6.0 opt_einsum==3.4.0 scipy==1.17.1", "jax"
    ),
    "easyfsl": Peer("easyfsl==1.5.0", "easyfsl.datasets.few_shot_dataset", ("easyfsl.datasets",)),
}


class Problem(NamedTuple):
    """One meta-step's work. net: its parameters are the start θ; measure(outputs, y) is a loss."""

    net: nn.Module
    measure: Callable[[Tensor, Tensor], Tensor]
    episodes: Episode
    inner_lr: float
    steps: int
    first_order: bool

    def tasks(self) -> Iterator[tuple[Points, Points]]:
        """Support and query, a task at a time."""
        sides = (zip(*side) for side in self.episodes)
        return ((Points(*support), Points(*query)) for support, query in zip(*sides))

    def mean_loss(self, one: Callable[[Points, Points], Tensor]) -> Tensor:
        """The meta-loss, from the query loss of one task after adapting."""
        return torch.stack([one(*task) for task in self.tasks()]).mean()


def fetch(name: str) -> None:
    """Install a peer into its folder; OSError with pip's own reason where that fails."""
    part, peer = FOLDER / f"{name}.part", PEERS[name]
    shutil.rmtree(part, ignore_errors=True)
    source = name == "learn2learn"
    what = ["download", "--no-binary=:all:", "--dest"] if source else ["install", "--target"]
    command = [sys.executable, "-m", "pip", *what, str(part), *OPTIONS, *peer.needs.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        lines = [x for x in done.stderr.splitlines() if x.startswith("ERROR: ")] or ["pip failed"]
        raise OSError(lines[-1].removeprefix("ERROR: "))
    for archive in part.glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(part, filter="data")
        for inside in part.glob(f"{name}-*/{name}"):
            inside.rename(part / name)
    part.rename(FOLDER / name)


def why_not(name: str) -> str:
    """Makes a peer ready to import; in words why it cannot be, and nothing where it can."""
    folder, peer = FOLDER / name, PEERS[name]
    try:
        if not folder.is_dir():
            if TINY or os.environ.get("MLCOURSE_OFFLINE") == "1":
                return "not installed, and this run does not install"
            fetch(name)
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
            for package in peer.hollow:
                sys.modules[package] = types.ModuleType(package)
                sys.modules[package].__path__ = [str(folder.joinpath(*package.split(".")))]
        importlib.import_module(peer.module)
    except (Exception, subprocess.TimeoutExpired) as error:  # a peer must never stop the others
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def ready(*names: str) -> list[str]:
    """Those of the peers that can be had; a sentence for each of the others."""
    reasons = {name: why_not(name) for name in names}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is skipped: {reason}.")
    return [name for name, reason in reasons.items() if not reason]


def plain_loop(problem: Problem) -> Tensor:
    """The meta-loss as one writes it without any library but torch."""
    start = dict(problem.net.named_parameters())
    loss = networks.task_loss(problem.net, problem.measure)

    def one(support, query):
        adapted = start
        for _ in range(problem.steps):
            inner = loss(adapted, support)
            grads = torch.autograd.grad(
                inner, [*adapted.values()], create_graph=not problem.first_order
            )
            adapted = {n: p - problem.inner_lr * g for (n, p), g in zip(adapted.items(), grads)}
        return loss(adapted, query)

    return problem.mean_loss(one)


def learn2learn(problem: Problem) -> Tensor:
    """The same with learn2learn's `MAML`."""
    from learn2learn.algorithms.maml import MAML

    maml = MAML(problem.net, problem.inner_lr, problem.first_order)

    def one(support, query):
        learner = maml.clone()
        for _ in range(problem.steps):
            learner.adapt(problem.measure(learner(support.x), support.y))
        return problem.measure(learner(query.x), query.y)

    return problem.mean_loss(one)


def higher(problem: Problem) -> Tensor:
    """The same with higher's inner loop; first order cuts its gradients one by one."""
    from higher import innerloop_ctx

    sgd = torch.optim.SGD(problem.net.parameters(), problem.inner_lr)
    cut = (lambda grads: [g.detach() for g in grads]) if problem.first_order else None

    def one(support, query):
        with innerloop_ctx(problem.net, sgd, copy_initial_weights=False) as (net, inner):
            for _ in range(problem.steps):
                inner.step(problem.measure(net(support.x), support.y), grad_callback=cut)
            return problem.measure(net(query.x), query.y)

    return problem.mean_loss(one)


def torchopt(problem: Problem) -> Tensor:
    """The same with torchopt's functional SGD."""
    from torchopt import apply_updates, sgd

    start = dict(problem.net.named_parameters())
    loss, rule = networks.task_loss(problem.net, problem.measure), sgd(problem.inner_lr)

    def one(support, query):
        adapted, state = start, rule.init(tuple(start.values()))
        for _ in range(problem.steps):
            inner, old = loss(adapted, support), tuple(adapted.values())
            grads = torch.autograd.grad(inner, old, create_graph=not problem.first_order)
            updates, state = rule.update(grads, state, inplace=False)
            adapted = dict(zip(adapted, apply_updates(old, updates, inplace=False)))
        return loss(adapted, query)

    return problem.mean_loss(one)


def jax(problem: Problem, outer_lr: float) -> Callable[[], tuple]:
    """A whole meta-step with Adam, compiled; for the network of the sine waves alone."""
    import jax
    from jax import numpy as jnp

    params = [jnp.asarray(p.detach().numpy()) for p in problem.net.parameters()]
    tasks = [jnp.asarray(v.numpy()) for side in problem.episodes for v in side]
    cut = jax.lax.stop_gradient if problem.first_order else (lambda g: g)

    def loss(params, x, y):
        for i in (0, 2, 4):
            x = x @ params[i].T + params[i + 1]
            x = x if i == 4 else jax.nn.relu(x)
        return ((x - y) ** 2).mean()

    def one(params, support_x, support_y, query_x, query_y):
        for _ in range(problem.steps):
            grads = cut(jax.grad(loss)(params, support_x, support_y))
            params = [p - problem.inner_lr * g for p, g in zip(params, grads)]
        return loss(params, query_x, query_y)

    def meta_loss(params):
        return jax.vmap(one, (None, 0, 0, 0, 0))(params, *tasks).mean()

    @jax.jit
    def step(params, means, squares, t):
        value, grads = jax.value_and_grad(meta_loss)(params)
        means = [0.9 * m + 0.1 * g for m, g in zip(means, grads)]
        squares = [0.999 * s + 0.001 * g**2 for s, g in zip(squares, grads)]
        moves = [
            (m / (1 - 0.9**t)) / (jnp.sqrt(s / (1 - 0.999**t)) + 1e-8)
            for m, s in zip(means, squares)
        ]
        params = [p - outer_lr * m for p, m in zip(params, moves)]
        return value, grads, params, means, squares, t + 1

    state = [params, *([jnp.zeros_like(p) for p in params] for _ in range(2)), 1.0]

    def run() -> tuple:
        value, grads, *state[:] = step(*state)
        return value.block_until_ready(), grads

    return run


def easyfsl(files, n_way: int, k_shot: int, n_query: int) -> Iterator[tuple[Tensor, ...]]:
    """Episodes without end by easyfsl's sampler and collation, of a data set with `get_labels`.

    The sampler calls `Sampler.__init__` with an argument that newer torch no longer takes: for as
    long as it does, torch takes it again.
    """
    from easyfsl.datasets.few_shot_dataset import FewShotDataset
    from torch.utils.data import DataLoader

    sys.modules["easyfsl.datasets"].FewShotDataset = FewShotDataset
    from easyfsl.samplers import TaskSampler

    with mock.patch.object(Sampler, "__init__", lambda self, data_source=None: None):
        sampler = TaskSampler(files, n_way, k_shot, n_query, 10**6)
    return iter(DataLoader(files, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn))


if __name__ == "__main__":
    print("Here and ready:", *ready(*PEERS))
