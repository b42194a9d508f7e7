"""What finds our numbers: a job trains, or judges what is shipped, and returns its cells.

Every job passes its steps, tasks and pools through `cut(number, few)`, which is `number`, but `few`
at most in a tiny run.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from ledger_rows import CELLS, GROUPS
from torch import Tensor, nn

from mlcourse.learners import (
    head_to_head,
    maml,
    maml_runs,
    networks,
    protonet_runs,
    sine_features,
    sine_runs,
)
from mlcourse.tasks import CharacterData, Characters, Episode, Points, SineTasks, load_characters

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
MATCHING = "distance=matching,temperature=0.1"
ALPHABETS = next(group.cells for group in GROUPS if group.id == "within-alphabet")
Cut = Callable[..., int]


class Found(NamedTuple):
    """What a job found for a cell: for each training one number a task; seconds of a training; and
    whether it was trained anew, "judged anew" from what is shipped, or "recorded"."""

    trainings: list[Tensor]
    seconds: float | None = None
    kind: str = "trained anew"


def timed(work, steps: int) -> float:
    """Make all steps of a run; processor seconds of all threads, which other work does not move."""
    began = time.process_time()
    for i in range(steps):
        work.step(i / steps)
    return time.process_time() - began


# ---------------------------------------------------------------- sine waves


def single(drawn: Episode) -> Episode:
    """The same points with half the digits, as the paper's."""
    return Episode(*(Points(*(v.float() for v in side)) for side in drawn))


def sine_run(objective, params: maml.Params, draw, steps: int, **how):
    """What a run on sines has learned, float64 again, and its seconds."""
    params = {name: p.float() for name, p in params.items()}
    work = maml.MetaTraining(objective, params, lambda: single(draw()), 0.01, **how)
    seconds = timed(work, steps)
    return {name: p.detach().double() for name, p in work.params.items()}, seconds


def rule_run(rule: str, steps: int, seed: int, k_shot: int = 5, **how):
    """The same for a rule of `sine_runs`, whose β climbs to 0.01 and falls unless `how` differs."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return sine_run(
        lambda params, episodes, alpha, _: sine_runs.rule_loss(rule, params, episodes, alpha),
        sine_runs.start(seed),
        lambda: SineTasks().sample(sine_runs.META_BATCH, k_shot, 10, generator),
        steps,
        **({"outer_lr": 0.01} | how),
    )


def after_steps(runs, cut: Cut, shots=(5,), judge=sine_runs.losses_along) -> dict[str, Found]:
    """The errors of runs after 1, 5 and 10 steps with α = 0.01, on 1000 new waves; runs that have
    no seconds are shipped."""
    spent, found = [seconds for _, seconds in runs if seconds is not None], {}
    how = (sum(spent) / len(spent), "trained anew") if spent else (None, "judged anew")
    for k in shots:
        new = sine_runs.new_tasks(cut(1000), k, seed=1000)
        errors = [judge(params, new, 0.01)[1:] for params, _ in runs]
        for steps, each in zip((1, 5, 10), zip(*errors)):
            found[f"K{k}/{steps}"] = Found([*each], *how)
    return found


def sine_paper(cut: Cut) -> dict[str, Found]:
    """70 000 steps with ten points and a constant rate."""
    run = rule_run("MAML", cut(70_000, 2), 0, k_shot=10, outer_lr=0.001, cycle=False)
    return after_steps([run], cut, (5, 10, 20))


def sine_rule(
    rule: str, cut: Cut, steps: int = sine_runs.RULE_STEPS, judge=sine_runs.losses_along
) -> dict[str, Found]:
    """Three trainings by the course's recipe."""
    return after_steps([rule_run(rule, cut(steps, 2), seed) for seed in SEEDS], cut, judge=judge)


def shipped_rule(rule: str, cut: Cut, judge=sine_runs.losses_along) -> dict[str, Found]:
    """The three that are shipped."""
    runs = [(sine_runs.trained(rule, seed).params, None) for seed in SEEDS]
    return after_steps(runs, cut, judge=judge)


def tuned(params: maml.Params, report: Episode, _) -> Tensor:
    """Errors along gradient steps whose α, for each number of them, did best on other waves."""
    rates, others = (0.003, 0.01, 0.02, 0.05), sine_runs.new_tasks(500, 5, seed=500)
    best = torch.stack([sine_runs.losses_along(params, others, r).mean(1) for r in rates]).argmin(0)
    told = torch.stack([sine_runs.losses_along(params, report, r) for r in rates])
    return told[best, torch.arange(len(best))]


def told(n_tasks: int, generator: torch.Generator) -> Points:
    """Waves whose points have amplitude and phase beside x."""
    amplitude, phase = SineTasks().waves(n_tasks, generator)
    x = 10 * torch.rand(n_tasks, 15, 1, generator=generator, dtype=torch.float64) - 5
    inputs = torch.cat(torch.broadcast_tensors(x, amplitude, phase), -1)
    return Points(inputs, amplitude * torch.sin(x - phase))


def sine_oracle(cut: Cut) -> dict[str, Found]:
    """Networks that are told which wave it is."""
    new, errors, seconds = told(cut(1000), torch.Generator().manual_seed(1000)), [], 0.0
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(1000 + seed)
        torch.manual_seed(seed)
        params, spent = sine_run(
            lambda p, e, *_: networks.squared_errors(*sine_runs.spread(p, e.query)).mean(),
            networks.parameters(networks.mlp(inputs=3)),
            lambda generator=generator: Episode(*[told(sine_runs.META_BATCH, generator)] * 2),
            cut(sine_runs.RULE_STEPS, 2),
            outer_lr=0.01,
        )
        errors.append(networks.squared_errors(*sine_runs.spread(params, new)))
        seconds += spent / len(SEEDS)
    return {"told": Found(errors, seconds)}


def sine_exact(cut: Cut) -> dict[str, Found]:
    """The errors of two functions that see no support set."""
    x, y = sine_runs.new_tasks(cut(10_000), 1, seed=1000).query
    functions = {"zero everywhere": 0 * x, "-(5.1/π) cos x": -5.1 / torch.pi * x.cos()}
    errors = {name: (said - y).square().mean((1, 2)) for name, said in functions.items()}
    return {name: Found([each], 0.0, "judged anew") for name, each in errors.items()}


def closed_form(cut: Cut) -> dict[str, Found]:
    """Two points, sin x and cos x: a system of two equations."""
    support, query = sine_runs.new_tasks(cut(1000), 2, seed=1000)
    inputs, places = (torch.cat([p.x.sin(), p.x.cos()], -1) for p in (support, query))
    said = places @ torch.linalg.solve(inputs, support.y)
    return {"K = 2": Found([(said - query.y).square().mean((1, 2))], 0.0, "judged anew")}


def learned_features(cut: Cut) -> dict[str, Found]:
    """Features trained through a head that is solved."""
    works = [sine_features.training(seed=seed) for seed in SEEDS]
    seconds = sum(timed(work, cut(sine_features.STEPS, 2)) for work in works) / len(works)
    found = {}
    for k in (2, 5, 10):
        new = sine_runs.new_tasks(cut(1000), k, seed=1000)
        errors = [sine_features.losses(work.params, new).detach() for work in works]
        found[f"K = {k}"] = Found(errors, seconds)
    return found


# ---------------------------------------------------------------- characters


def together(cut: Cut, learner: maml_runs.Learner, n_way: int = 5, steps: int = 1):
    """Accuracies with one shot and five, by cell; a task has one query a class, seen together."""
    pool, found = load_characters(maml_runs.SIZE).evaluation, {}
    for k in (1, 5):
        new = pool.sample(cut(3000 // n_way), k, 1, torch.Generator().manual_seed(7), n_way)
        found[f"{n_way}w{k}s"] = maml_runs.judged(learner, new, steps)
    return found


def maml_shipped(name: str, cut: Cut) -> dict[str, Found]:
    """A shipped learner judged anew; of a second training what was recorded, with one shot."""
    found = {c: [v] for c, v in together(cut, maml_runs.shipped(f"{name}/0")).items()}
    found["5w1s"].append(maml_runs.recorded(f"{name}/1")["one"].double()[: cut(600)])
    return {cell: Found(rights, kind="judged anew") for cell, rights in found.items()}


def contest_shipped(name: str, cut: Cut, of: tuple[int, ...] = (20,)) -> dict[str, Found]:
    """A learner of chapter 10 judged anew after the contest's steps, queries together."""
    found = {}
    for n in of:
        found |= together(cut, head_to_head.shipped(name, n), n, head_to_head.STEPS)
    return {cell: Found([right], kind="judged anew") for cell, right in found.items()}


def reptile_recorded(cut: Cut) -> dict[str, Found]:
    """Reptile in chapter 10's contest, each query by itself."""
    found = {}
    for n in (5, 20):
        rights = head_to_head.recorded(n)["Reptile"]
        shots = head_to_head.shots_of(n, head_to_head.SHIFTS[0])
        found |= {f"{n}w{k}s": rights[:, shots.index(k)].double() for k in (1, 5)}
    return {cell: Found([*rights], kind="recorded") for cell, rights in found.items()}


def dense(n_way: int = 5, pixels: int = maml_runs.SIZE**2) -> nn.Sequential:
    """The network without convolutions; its layers are convolutions of a picture of one point."""
    widths, layers = (pixels, 256, 128, 64, 64), []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Conv2d(a, b, 1, bias=False), networks.BatchNow(b), nn.ReLU()]
    flat = nn.Flatten(), nn.Unflatten(1, (pixels, 1, 1))
    return nn.Sequential(*flat, *layers, nn.Flatten(), nn.Linear(64, n_way))


def maml_run(net, draw, inner_lr, steps, outer_lr, device=CPU, inner_steps=1, cycle=True):
    """A learner whose network is none of the course's, and the seconds of its training."""
    loss = networks.task_loss(net)
    work = maml.MetaTraining(
        lambda p, episodes, alpha, _: maml.meta_loss(loss, p, episodes, alpha, inner_steps),
        *(networks.parameters(net), draw, inner_lr, outer_lr, cycle),
    )
    work.to(device)
    seconds = timed(work, steps)
    params = {name: p.detach() for name, p in work.params.items()}
    return maml_runs.Learner(net, params, dict.fromkeys(params, inner_lr)), seconds


def maml_dense(cut: Cut) -> dict[str, Found]:
    """MAML without convolutions, two trainings."""
    pool, found, seconds = load_characters(maml_runs.SIZE).background.rotated(), [], 0.0
    for seed in SEEDS[:2]:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        learner, spent = maml_run(
            dense(),
            lambda g=generator: pool.sample(maml_runs.META_BATCH, 1, maml_runs.QUERIES, g, 5),
            *(0.4, cut(3000, 2), maml_runs.OUTER_LR),
        )
        found.append(together(cut, learner))
        seconds += spent / 2
    return {cell: Found([one[cell] for one in found], seconds) for cell in found[0]}


def few(pool: Characters, cut: Cut) -> Characters:
    """A pool; two alphabets of it in a tiny run."""
    alphabets = pool.alphabet.unique()
    some = torch.isin(pool.alphabet, alphabets[: cut(len(alphabets), 2)])
    return pool.subset(some.nonzero()[:, 0])


def protonet(cut: Cut, runs: list, device=CPU, split=None, **judging) -> dict[str, Found]:
    """Runs of `protonet_runs`, each cell of each judged."""
    said, seconds = [], 0.0
    for run in runs:
        data = load_characters(run.recipe.size)
        practice, test = split(data) if split else (data.background.rotated(), data.evaluation)
        work = protonet_runs.Training(run.recipe, practice, device, run.seed)
        seconds += timed(work, cut(run.steps(), 2)) / len(runs)
        features = protonet_runs.embedded(work.net, few(test, cut))
        said.append(cells(features, cut(1000), **judging))
    return {cell: Found([one[cell] for one in said], seconds) for cell in said[0]}


def cells(features: Tensor, n_tasks: int = 1000, n_query: int = 5, which=protonet_runs.CELLS):
    """The accuracies of an embedded pool on the tasks of the recordings."""
    found = {}
    for n, k in which:
        episodes = protonet_runs.tasks(features, n, k, n_query, n_tasks)
        found[f"{n}w{k}s"] = protonet_runs.judged(episodes, n)
    return found


def protonet_recipe(cut: Cut) -> dict[str, Found]:
    """The half-minute recipe, two trainings."""
    runs = [protonet_runs.runs()[f"base/{seed}"] for seed in protonet_runs.SEEDS]
    return protonet(cut, runs)


def protonet_shipped(cut: Cut) -> dict[str, Found]:
    """The shipped long run judged anew, and within alphabets, beside people and others."""
    pool = few(load_characters(28).evaluation, cut)
    features = protonet_runs.embedded(protonet_runs.shipped("long"), pool)
    found = cells(features, cut(1000))
    each = protonet_runs.alphabet_tasks(features, pool, cut(protonet_runs.ALPHABET_TASKS, 2))
    right = protonet_runs.judged(each, 20).view(len(pool.alphabet.unique()), -1).mean(1)
    found |= dict.fromkeys(ALPHABETS, right)
    return {cell: Found([right], kind="judged anew") for cell, right in found.items()}


def protonet_recorded(*names: str) -> dict[str, Found]:
    """Recorded trainings of one recipe."""
    said = [protonet_runs.recorded(name) for name in names]
    found = {cell: [one[cell].double() for one in said] for cell in CELLS}
    alphabets = [one["alphabet"].double().view(20, -1).mean(1) for one in said]
    found |= dict.fromkeys(ALPHABETS, alphabets)
    return {cell: Found(rights, kind="recorded") for cell, rights in found.items()}


# ---------------------------------------------------------------- the papers' protocols


def gpu() -> torch.device:
    """Where the papers' own protocols run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def protonet_paper(cut: Cut) -> dict[str, Found]:
    """60 ways, five queries, 64 filters, 28 x 28, a run for each number of shots, mixed split."""
    found = {}
    for k in (1, 5):
        recipe = protonet_runs.Recipe(k_shot=k, size=28, filters=64, n_query=5)
        which = [cell for cell in protonet_runs.CELLS if cell[1] == k]
        runs = [protonet_runs.Run(recipe, images=20_000 * recipe.images())]
        found |= protonet(cut, runs, gpu(), CharacterData.papers_split, n_query=15, which=which)
    return found


def strided(n_way: int) -> nn.Sequential:
    """64 filters with strides in place of pooling, and a mean over what is left of the picture."""
    net = networks.few_shot(n_way, 64)
    for part in net[:4]:
        part[0].stride, part[3] = (2, 2), nn.Identity()
    return nn.Sequential(*net[:4], nn.AdaptiveAvgPool2d(1), *net[4:])


def maml_paper(cut: Cut) -> dict[str, Found]:
    """A run for each cell: as many queries as shots, α = 2 on the mean, β = 0.001, mixed split."""
    practice, test = load_characters(28).papers_split()
    found, device = {}, gpu()
    for n, k in protonet_runs.CELLS:
        draw = torch.Generator().manual_seed(0)
        tasks, steps, at_test = (cut(32, 2), 1, 3) if n == 5 else (cut(16, 2), 5, 5)
        torch.manual_seed(0)
        learner, seconds = maml_run(
            strided(n),
            lambda n=n, k=k, tasks=tasks, draw=draw: practice.sample(tasks, k, k, draw, n),
            *(2.0, cut(60_000, 2), 0.001, device, steps, False),
        )
        new = test.sample(cut(600, 4), k, k, torch.Generator().manual_seed(7), n)
        new = Episode(*(Points(*(v.to(device) for v in side)) for side in new))
        found[f"{n}w{k}s"] = Found([maml_runs.judged(learner, new, at_test)], seconds)
    return found


# ---------------------------------------------------------------- by name

JOBS: dict[str, Callable[[Cut], dict[str, Found]]] = {
    "sine_paper": sine_paper,
    "sine_maml": lambda cut: sine_rule("MAML", cut, 8000),
    "sine_pretraining": lambda cut: sine_rule("pretraining", cut, judge=tuned),
    "sine_fomaml": lambda cut: sine_rule("FOMAML", cut),
    "sine_reptile": lambda cut: sine_rule("Reptile", cut),
    "sine_oracle": sine_oracle,
    "sine_exact": sine_exact,
    "closed_form": closed_form,
    "sine_features": learned_features,
    "maml_shipped": lambda cut: maml_shipped("MAML", cut),
    "first_order_shipped": lambda cut: maml_shipped("first order", cut),
    "maml_dense": maml_dense,
    "maml_20": lambda cut: contest_shipped("MAML", cut),
    "first_order_20": lambda cut: contest_shipped("FOMAML", cut),
    "anil_20": lambda cut: contest_shipped("ANIL", cut),
    "reptile_recorded": reptile_recorded,
    "reptile_together": lambda cut: contest_shipped("Reptile", cut, (5, 20)),
    "protonet_shipped": protonet_shipped,
    "protonet_recipe": protonet_recipe,
    "protonet_five_shot": lambda cut: protonet_recorded("k_shot=5/0", "k_shot=5/1"),
    "matching_recorded": lambda cut: protonet_recorded(f"{MATCHING}/0", f"{MATCHING}/1"),
    "protonet_paper": protonet_paper,
    "maml_paper": maml_paper,
}
NEED_A_GPU = ("protonet_paper", "maml_paper")
LONG = ("sine_paper",)  # six minutes of a slow core: not part of the ten
SHIPPED: dict[str, Callable[[Cut], dict[str, Found]]] = {  # without the time to train or embed
    "sine_pretraining": lambda cut: shipped_rule("pretraining", cut, tuned),
    "sine_fomaml": lambda cut: shipped_rule("FOMAML", cut),
    "sine_reptile": lambda cut: shipped_rule("Reptile", cut),
    "protonet_shipped": lambda cut: protonet_recorded("long"),
    "protonet_recipe": lambda cut: protonet_recorded("base/0", "base/1"),
}
