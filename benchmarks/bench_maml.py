"""How fast MAML is, and how good after how long: python benchmarks/bench_maml.py

All contenders of a row take turns in one process and give the same losses; ratios are medians of
the ratios of single rounds. "Plain loop" clones the network for each task and adapts the clone
with autograd, as learn2learn's `MAML.clone` and `adapt` do (learn2learn itself does not build on
Python 3.11); it is a stand-in and not that library.
"""

import statistics
import time
from collections.abc import Callable

import torch
from bench_tasks import interleaved
from torch import nn
from torch.nn.functional import mse_loss

from mlcourse.learners import maml, networks
from mlcourse.learners import sine_runs as record
from mlcourse.tasks import Episode, Points, SineTasks

TASKS, SHOTS = 25, 10
TARGETS = {1: 9.0, 5: 12.0}  # times the plain loop, by inner steps
PAPER = torch.tensor([0.67, 0.38, 0.35])  # five points; after 1, 5 and 10 steps


def plain_loop(loss, params: maml.Params, episodes: Episode, inner_lr: float, steps: int):
    """The meta-loss, a task at a time."""
    total, tasks = 0.0, len(episodes.query.x)
    for support, query in zip(zip(*episodes.support), zip(*episodes.query)):
        adapted = {name: p.clone() for name, p in params.items()}
        for _ in range(steps):
            inner = loss(adapted, support)
            grads = torch.autograd.grad(inner, [*adapted.values()], create_graph=True)
            adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), grads)}
        total = total + loss(adapted, query)
    return total / tasks


def on_sines(steps: int) -> dict[str, Callable[[], torch.Tensor]]:
    """One meta-step each, gradient and Adam included; every call returns the meta-loss."""
    torch.manual_seed(0)
    net = networks.mlp().float()
    episodes = SineTasks().sample(TASKS, SHOTS, SHOTS, torch.Generator().manual_seed(0))
    episodes, alpha, loss = in_float32(episodes), 0.01, networks.task_loss(net, mse_loss)

    def together(params):
        adapted = maml.adapt_together(
            networks.squared_errors, params, episodes.support, alpha, steps
        )
        return networks.squared_errors(adapted, episodes.query).mean()

    forms = {
        "plain loop": lambda params: plain_loop(loss, params, episodes, alpha, steps),
        "vmap": lambda params: maml.meta_loss(loss, params, episodes, alpha, steps),
        "all at once": together,
    }
    return {name: one_step(form, networks.parameters(net)) for name, form in forms.items()}


def strided() -> nn.Sequential:
    """The conv-4 of the paper's Omniglot runs, with 32 filters: strides in place of pooling."""
    net = networks.few_shot()
    for part in net[:4]:
        part[0].stride, part[3] = (2, 2), nn.Identity()
    return nn.Sequential(*net[:4], nn.AdaptiveAvgPool2d(1), *net[4:])


def on_characters(net: nn.Module, size: int, tasks: int, n_query: int):
    """The same for 5-way 1-shot tasks; the pictures are noise, which takes as long."""
    generator = torch.Generator().manual_seed(0)
    x = [torch.rand(tasks, 5 * n, 1, size, size, generator=generator) for n in (1, n_query)]
    y = [torch.arange(5).repeat(tasks, n) for n in (1, n_query)]
    episodes, loss = Episode(*map(Points, x, y)), networks.task_loss(net)
    forms = {
        "plain loop": lambda params: plain_loop(loss, params, episodes, 0.4, 1),
        "vmap": lambda params: maml.meta_loss(loss, params, episodes, 0.4),
    }
    return {name: one_step(form, networks.parameters(net)) for name, form in forms.items()}


def one_step(form: Callable, params: maml.Params) -> Callable[[], torch.Tensor]:
    """A meta-step of one contender, on weights of its own."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    optimizer = torch.optim.Adam(leaves.values(), 1e-3, fused=True)

    def step() -> torch.Tensor:
        loss = form(leaves)
        for p, g in zip(leaves.values(), torch.autograd.grad(loss, [*leaves.values()])):
            p.grad = g.contiguous()
        optimizer.step()
        return loss.detach()

    return step


def speed(what: str, runs: dict[str, Callable], target: float | None, rounds: int = 25) -> None:
    """Meta-steps a second and the ratio to the plain loop, float32, second order."""
    first = torch.stack([run() for run in runs.values()])
    assert (first - first[0]).abs().max() < 1e-3, "the contenders do not agree"
    seconds, fastest = interleaved(runs, rounds), [*runs][-1]
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(seconds["plain loop"], times)]
        ratio = statistics.median(ratios)
        line = f"{what:44} {name:12}{1 / statistics.median(times):8.1f} meta-steps/s"
        judged = target and name == fastest
        verdict = f"target {target:g} {'met' if ratio >= target else 'MISSED'}" if judged else ""
        print(f"{line} {ratio:6.1f} x plain loop  {verdict}")


def in_float32(drawn: Episode) -> Episode:
    """The same points with half the digits."""
    return Episode(*(type(side)(*(v.float() for v in side)) for side in drawn))


def quality(plans: tuple[int, ...] = (1000, 4000, 8000)) -> None:
    """What a one-cycle run of so many meta-steps reaches with five points, on 1000 new tasks."""
    new = in_float32(record.new_tasks(1000, record.RULE_SHOTS, seed=1000))
    sines, params = SineTasks(), {name: p.float() for name, p in record.start().items()}
    for plan in plans:
        generator = torch.Generator().manual_seed(0)

        def draw(generator=generator):
            return in_float32(sines.sample(TASKS, record.RULE_SHOTS, SHOTS, generator))

        def objective(p, episodes, alpha, _):
            return record.rule_loss("MAML", p, episodes, alpha)

        work = maml.MetaTraining(objective, params, draw, 0.01, 0.01)
        began = time.perf_counter()
        for i in range(plan):
            work.step(i / plan)
        spent = time.perf_counter() - began
        means = record.losses_along(work.params, new, 0.01).mean(1)[1:]
        found = " / ".join(f"{float(mean):.2f}" for mean in means)
        verdict = "met" if bool((means.round(decimals=2) <= PAPER).all()) else "not yet"
        print(f"{plan:6} meta-steps {spent:6.1f} s   {found}   (0.67 / 0.38 / 0.35: {verdict})")


def main() -> None:
    """Sine waves on one thread, characters on all."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for steps, target in TARGETS.items():
        speed(f"sines, inner steps {steps}", on_sines(steps), target)
    torch.set_num_threads(threads)
    paper, ours = on_characters(strided(), 28, 32, 1), on_characters(networks.few_shot(), 20, 4, 5)
    speed("28 x 28, strided, 32 tasks, 1 query a class", paper, 3.0, rounds=7)
    speed("20 x 20, pooled, 4 tasks, 5 queries a class", ours, None, rounds=7)
    torch.set_num_threads(1)
    quality()


if __name__ == "__main__":
    main()
