"""How fast MAML is beside its peers, and how good after how long: python benchmarks/bench_maml.py

All contenders of a row take turns in one process, from the same weights on the same tasks, float32,
each with its gradient and a step of Adam. Before anything is timed their first losses and
meta-gradients must agree. Ratios are medians of the ratios of single rounds. Options: --tiny,
--record.
"""

import copy
import os
import time
from collections.abc import Callable

import peers
import torch
from history import report
from peers import Problem
from timing import THREADS, TINY, WITH, interleaved, ratios
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from mlcourse.learners import maml, networks
from mlcourse.learners import sine_runs as record
from mlcourse.tasks import Episode, Points, SineTasks

TASKS, SHOTS, OUTER_LR = 2 if TINY else 25, 10, 1e-3
FILTERS, FEW, MANY = (2, 1, 2) if TINY else (32, 4, 32)  # tasks of characters
TARGETS = {  # times as fast as the plain loop
    "sines, second order, 1 step": {"all at once": 9.0},
    "sines, second order, 5 steps": {"all at once": 12.0},
    "28 x 28 strided, 2 threads, second order, 1 step": {"vmap": 3.0},
}
AGREEMENT = 1e-3  # relative, float32; the two orders differ by a fifth or more
PAPER = 0.67, 0.38, 0.35  # Finn et al. (2017): five points; after 1, 5 and 10 steps


def vmapped(problem: Problem) -> Tensor:
    """The meta-loss as the chapters write it."""
    loss = networks.task_loss(problem.net, problem.measure)
    return maml.meta_loss(loss, dict(problem.net.named_parameters()), *problem[2:])


def all_at_once(problem: Problem) -> Tensor:
    """The meta-loss by batched weights, for the network of the sine waves alone."""
    params, errors = dict(problem.net.named_parameters()), networks.squared_errors
    _, _, episodes, *how = problem
    adapted = maml.adapt_together(errors, params, episodes.support, *how)
    return errors(adapted, episodes.query).mean()


def one_step(form: Callable[[Problem], Tensor], problem: Problem) -> Callable[[], tuple]:
    """A meta-step of one contender, on weights of its own; each call returns loss and gradient."""
    problem = problem._replace(net=copy.deepcopy(problem.net))
    leaves = [*problem.net.parameters()]
    optimizer = torch.optim.Adam(leaves, OUTER_LR, fused=True)

    def step() -> tuple[Tensor, list[Tensor]]:
        loss = form(problem)
        for p, g in zip(leaves, torch.autograd.grad(loss, leaves)):
            p.grad = g.contiguous()
        optimizer.step()
        return loss.detach(), [p.grad for p in leaves]

    return step


def sines(steps: int, first_order: bool) -> Problem:
    """25 waves with 10 and 10 points."""
    torch.manual_seed(0)
    drawn = SineTasks().sample(TASKS, SHOTS, SHOTS, torch.Generator().manual_seed(0))
    return Problem(networks.mlp().float(), mse_loss, in_float32(drawn), 0.01, steps, first_order)


def strided() -> nn.Sequential:
    """The conv-4 of the paper's Omniglot runs, with 32 filters: strides in place of pooling."""
    net = networks.few_shot(filters=FILTERS)
    for part in net[:4]:
        part[0].stride, part[3] = (2, 2), nn.Identity()
    return nn.Sequential(*net[:4], nn.AdaptiveAvgPool2d(1), *net[4:])


def characters(net: nn.Module, size: int, tasks: int, n_query: int, *how) -> Problem:
    """5-way 1-shot tasks; the pictures are noise, which takes as long."""
    generator = torch.Generator().manual_seed(0)
    x = [torch.rand(tasks, 5 * n, 1, size, size, generator=generator) for n in (1, n_query)]
    y = [torch.arange(5).repeat(tasks, n) for n in (1, n_query)]
    return Problem(net, cross_entropy, Episode(*map(Points, x, y)), 0.4, *how)


def check_agreement(runs: dict[str, Callable[[], tuple]]) -> None:
    """All contenders give the same first losses and meta-gradients, before anything is timed."""
    found = {}
    for name, run in runs.items():
        loss, grads = run()
        flat = [torch.tensor(g.tolist()).flatten() for g in grads]
        found[name] = {"loss": torch.tensor([float(loss)]), "meta-gradient": torch.cat(flat)}
    for name, values in found.items():
        for what, value in values.items():
            first = found["plain loop"][what]
            apart = float((value - first).norm() / first.norm())
            assert apart < AGREEMENT, f"the {what} of {name} is off by {apart:.1e}"


def contest(what: str, runs: dict[str, Callable]) -> None:
    """Meta-steps a second of the plain loop, and how many times as fast the others are."""
    check_agreement(runs)
    seconds = interleaved(runs, 1 if TINY else 25, warm=0)
    report(f"MAML, {what}: plain loop", [1 / s for s in seconds["plain loop"]], "/s")
    for name in [*runs][1:]:
        target = TARGETS.get(what, {}).get(name)
        report(f"MAML, {what}: {name}", ratios(seconds, "plain loop", name), "x", target)


def contenders(here: list[str], problem: Problem, **ours: Callable) -> dict[str, Callable]:
    """The plain loop, the peers that are here, and the course's own."""
    found = [peers.plain_loop] + [getattr(peers, name) for name in here if name != "jax"]
    forms = {form.__name__: form for form in found} | ours
    return {name.replace("_", " "): one_step(form, problem) for name, form in forms.items()}


def contests(here: list[str], steps: int, first_order: bool) -> None:
    """Sine waves on one thread, characters on two or what MLCOURSE_THREADS says."""
    order = f"{'first' if first_order else 'second'} order, {steps} step{'s' * (steps > 1)}"
    how = steps, first_order
    torch.set_num_threads(1)
    waves = sines(*how)
    runs = contenders(here, waves, vmap=vmapped, all_at_once=all_at_once)
    if "jax" in here:
        runs["jax"] = peers.jax(waves, OUTER_LR)
    contest(f"sines, {order}", runs)
    torch.set_num_threads(THREADS)
    paper = characters(strided(), 28, MANY if steps == 1 else FEW, 1, *how)
    ours = characters(networks.few_shot(filters=FILTERS), 20, FEW, 5, *how)
    for name, work in {"28 x 28 strided": paper, "20 x 20 pooled": ours}.items():
        contest(f"{name}, {WITH}, {order}", contenders(here, work, vmap=vmapped))


def in_float32(drawn: Episode) -> Episode:
    """The same points with half the digits."""
    return Episode(*(type(side)(*(v.float() for v in side)) for side in drawn))


def quality(plan: int) -> None:
    """What a one-cycle run of so many meta-steps reaches with five points, on 1000 new tasks."""
    new = in_float32(record.new_tasks(1000, record.RULE_SHOTS, seed=1000))
    waves, params = SineTasks(), {name: p.float() for name, p in record.start().items()}
    generator = torch.Generator().manual_seed(0)

    def draw():
        return in_float32(waves.sample(TASKS, record.RULE_SHOTS, SHOTS, generator))

    def objective(p, episodes, alpha, _):
        return record.rule_loss("MAML", p, episodes, alpha)

    work = maml.MetaTraining(objective, params, draw, 0.01, 0.01)
    began = time.perf_counter()
    for i in range(plan):
        work.step(i / plan)
    report(f"MAML training on sines, {plan} meta-steps", time.perf_counter() - began, "s", 8.0)
    means = record.losses_along(work.params, new, 0.01).mean(1).tolist()
    for name, found, paper in zip(("1 step", "5 steps", "10 steps"), means[1:], PAPER):
        report(f"its error after {name}", found, "MSE", paper)


def main() -> None:
    """Contests, jax with one thread as the others have on sine waves, then one training."""
    os.environ |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "PJRT_NPROC": "1"}
    here = peers.ready("learn2learn", "higher", "torchopt", "jax")
    for first_order in (False, True):
        for steps in (1, 5):
            contests(here, steps, first_order)
    torch.set_num_threads(1)
    quality(20 if TINY else 8000)


if __name__ == "__main__":
    main()
