"""The labs and figures of chapter 06: one task before and after its steps, and the comparison."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.func import functional_call

from .. import pictures
from ..evaluation import Estimate, estimate, paired_difference
from ..learners import maml, networks
from ..learners import maml_runs as record
from ..learners.maml import Params
from ..pictures import COLOR, INK
from ..tasks import Characters, Episode, Points
from .engine import Lab, Preset, named_stops, slider, stops

N_WAY, QUERIES = record.N_WAY, record.QUERIES
LAYERS = ("block 1", "block 2", "block 3", "block 4", "head")


def movement(first: Params, adapted: Params) -> Tensor:
    """How far each of LAYERS moved, as a part of its length: (5,), of any leading dimensions."""
    names = [[n for n in adapted if n.startswith(f"{i}.")] for i in (0, 1, 2, 3, 5)]

    def length(params: Params) -> Tensor:
        squares = [[params[n].square().sum() for n in layer] for layer in names]
        return torch.stack([torch.stack(layer).sum() for layer in squares]).sqrt()

    return length({n: p - first[n] for n, p in adapted.items()}) / length(first)


# --- one task -------------------------------------------------------------------------------------

FACTORS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)  # times α


class Task(NamedTuple):
    """One task before and after its steps, classes in order, one query of each shown.

    support: (K, 5, h, w); query: (5, h, w); before and after: probabilities (5 queries, 5 classes);
    right: of all 25 queries, before and after; moved: see `movement`.
    """

    method: str
    k_shot: int
    factor: float
    steps: int
    support: Tensor
    query: Tensor
    before: Tensor
    after: Tensor
    right: tuple[int, int]
    moved: Tensor


class Adapting:
    """A learner's parameters at the start of a task and after every step, made when asked for."""

    def __init__(self, name: str, support: Points, factor: float):
        self.learner, self.support = record.shipped(f"{name}/0"), support
        self.alpha = {n: factor * a for n, a in self.learner.inner_lr.items()}
        start, params = self.learner.start, self.learner.params
        self.visited = [start(params, support) if start else params]
        self.loss = networks.task_loss(self.learner.net)

    def after(self, steps: int) -> Params:
        """θ′ after so many steps."""
        while len(self.visited) <= steps:
            now = maml.adapt(self.loss, self.visited[-1], self.support, self.alpha)
            self.visited.append(now)
        return self.visited[steps]

    def answers(self, steps: int, x: Tensor) -> Tensor:
        """Probabilities (queries, 5)."""
        return functional_call(self.learner.net, self.after(steps), (x,)).softmax(-1)


def deal(pool: Characters, number: int, k_shot: int) -> Episode:
    """Task `number` with K shots, classes in order and without the task dimension.

    The queries are the same for every K.
    """
    generator = torch.Generator().manual_seed(6000 + number)
    support, query = pool.sample(1, 5, QUERIES, generator, N_WAY).with_shots(k_shot)
    order = query.y[0].argsort(stable=True)
    images = support.x[0], query.x[0, order]
    x, z = (v.contiguous(memory_format=torch.channels_last) for v in images)
    return Episode(Points(x, support.y[0]), Points(z, query.y[0, order]))


class Tasks:
    """The data of the lab over a pool of characters: a call gives the task at these values."""

    def __init__(self, pool: Characters):
        self.pool, self.adapting = pool, lru_cache(maxsize=8)(self.begin)

    def begin(self, method: str, number: int, k_shot: int, factor: float):
        """A task, and the learner that adapts to it."""
        support, query = deal(self.pool, number, k_shot)
        return support, query, Adapting(method, support, factor)

    @torch.no_grad()
    def __call__(self, method: str, number: int, k_shot: int, factor: float, steps: int) -> Task:
        support, query, learner = self.adapting(method, number, k_shot, factor)
        found = [learner.answers(n, query.x) for n in (0, steps)]
        shown = slice(0, None, QUERIES)
        return Task(
            *(method, k_shot, factor, steps),
            support=support.x[:, 0].unflatten(0, (N_WAY, k_shot)).transpose(0, 1),
            query=query.x[shown, 0],
            before=found[0][shown],
            after=found[1][shown],
            right=tuple(int((p.argmax(-1) == query.y).sum()) for p in found),
            moved=movement(learner.after(0), learner.after(steps)),
        )


def task_lab(pool: Characters) -> Lab:
    """A task of unknown characters: who is right before the steps, and after them."""
    controls = {
        "method": named_stops("method", [*record.METHODS], "MAML"),
        "number": slider("task", 1, 40, 1, 1),
        "k_shot": slider("K  shots", 1, 5, 1, 1),
        "factor": stops("times α", FACTORS, 1.0),
        "steps": slider("inner steps", 0, 10, 1, 1),
    }
    return Lab("Before and after", Tasks(pool), task_scene, controls, TASK_PRESETS, (8.8, 3.9))


def task_scene(fig: Figure):
    """Support on top, queries on the left, the probabilities between; on the right the movement."""
    left, right = fig.subplots(1, 2, width_ratios=[1.9, 1])
    return pictures.panels([table_scene(left), moved_scene(right)], task_words)


def stacked(drawings: Tensor) -> np.ndarray:
    """Up to five drawings (K, 20, 20) of a character in one picture, twice as high as wide."""
    columns = 1 if len(drawings) < 3 else 2
    size = 40 // columns
    page = np.zeros((80, 40), "f4")
    for i, drawing in enumerate(drawings.numpy()):
        big = drawing.repeat(2 // columns, 0).repeat(2 // columns, 1)
        row, column = divmod(i, columns)
        low = 80 - size * row
        page[low - size : low, size * column : size * (column + 1)] = big
    return page


ACROSS = [0.3 + 1.3 * j for j in range(N_WAY)]  # where the columns of the table begin


def table_scene(axes):
    """A row for each of five queries, a column for each class: what the network thinks of it."""
    frame(axes)
    gray = {"vmin": 0, "vmax": 1, "animated": True, "aspect": "auto"}
    blank = np.zeros((1, 1))
    tops = [axes.imshow(blank, extent=(x + 0.05, x + 0.95, 2, 0.2), **gray) for x in ACROSS]
    sides = [axes.imshow(blank, extent=(-1.1, -0.2, i + 3.2, i + 2.3), **gray) for i in range(5)]
    style = {"linewidths": 8, "animated": True}
    bars = [LineCollection([], colors=COLOR[key], **style) for key in ("before", "after")]
    for bar in bars:
        axes.add_collection(bar, autolim=False)
    words = axes.text(-1.4, 0.75, "", color=COLOR["after"], animated=True, fontsize=9)

    def update(data: Task) -> None:
        pairs = [*zip(tops, map(stacked, data.support.transpose(0, 1))), *zip(sides, data.query)]
        for image, drawing in pairs:
            image.set_data(np.asarray(drawing))
        for bar, share, height in zip(bars, (data.before, data.after), (2.58, 2.92)):
            cells = [(x, i + height, p) for i, row in enumerate(share) for x, p in zip(ACROSS, row)]
            bar.set_segments([[(x, y), (x + float(p), y)] for x, y, p in cells])
        words.set_text(f"colour: after {data.steps}")

    return update


def frame(axes) -> None:
    """What stays on the table: its headings, and a box around every right answer."""
    axes.axis("off")
    for i, x in enumerate(ACROSS):
        box = {"fill": False, "edgecolor": "#BBBBBB"}
        axes.add_patch(Rectangle((x - 0.1, i + 2.25), 1.2, 1, **box))
    bold = {"weight": "bold", "fontsize": 10, "ha": "center"}
    axes.text(-0.65, 1.9, "queries", color=INK["query"], **bold)
    axes.text(3.4, 0.0, "support", color=INK["support"], **bold)
    axes.text(-1.4, 0.3, "grey: before", color="#5F5F5F", fontsize=9)
    axes.set(xlim=(-1.5, 6.9), ylim=(7.3, -0.3), autoscale_on=False)


def moved_scene(axes):
    """How far each layer moved, on a scale of decades, and how many queries are right."""
    axes.set(xscale="log", xlim=(0.1, 3000), ylim=(6.4, -0.6), xlabel="moved, in % of its length")
    axes.set_yticks(range(len(LAYERS)), LAYERS)
    axes.set_xticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
    bars = LineCollection([], colors=COLOR["after"], linewidths=9, animated=True)
    axes.add_collection(bars, autolim=False)
    place = {"fontsize": 9, "va": "center", "animated": True}
    texts = [axes.text(0.12, i, "", **place) for i in range(len(LAYERS))]
    score = axes.text(0.12, 5.75, "", fontsize=11, weight="bold", va="center", animated=True)

    def update(data: Task) -> None:
        percent = (100 * data.moved).tolist()
        bars.set_segments([[(0.1, i), (min(max(p, 0.1), 700), i)] for i, p in enumerate(percent)])
        for text, p in zip(texts, percent):
            words = "> 1000 %" if p > 1000 else f"{p:.0f} %" if p >= 10 else f"{p:.1f} %"
            text.set(text=words, x=1.25 * max(min(p, 700), 0.1))
        score.set_text(f"right: {data.right[0]}, then {data.right[1]} of 25")

    return update


def task_words(data: Task) -> str:
    """The picture in words."""
    percent = [min(100 * m, 1000) for m in data.moved.tolist()]
    moved = ", ".join(f"{name} {p:.1f}" for name, p in zip(LAYERS, percent))
    sure = (100 * data.after.diagonal().mean()).item()
    return (
        f"{data.method}, {data.k_shot} drawing{'s' * (data.k_shot > 1)} of each of five characters"
        f", α times {data.factor:g}: {data.right[0]} of 25 queries right before, {data.right[1]} "
        f"after {data.steps} step{'s' * (data.steps != 1)}. The right characters of the five "
        f"queries shown then have {sure:.0f} % on average. Moved, in % (to 1000): {moved}."
    )


TASK_PRESETS = {
    "no step": Preset(
        {"steps": 0},
        "MAML without its step: about as many right as by chance, which is 5 of 25.",
        lambda d: d.steps == 0 and d.right[1] < 10 and d.moved.max() == 0,
    ),
    "ten steps": Preset(
        {"steps": 10},
        "One step was trained. Ten end where the first one ended: nothing is left to do.",
        lambda d: d.steps == 10 and d.right[1] >= 20,
    ),
    "too bold": Preset(
        {"factor": 10.0, "steps": 3},
        "Ten times the rate, three steps: back at chance or close to it.",
        lambda d: d.factor == 10 and d.right[1] <= 10,
    ),
    "head only": Preset(
        {"method": "ANIL"},
        "ANIL: four blocks do not move at all, and most queries are right.",
        lambda d: d.moved[:4].max() == 0 < d.moved[4] and d.right[1] > 12,
    ),
    "body only": Preset(
        {"method": "BOIL"},
        "BOIL: the head does not move, it is the same in every task; most are right.",
        lambda d: d.moved[4] == 0 < d.moved[:4].min() and d.right[1] >= 18,
    ),
    "prototypes": Preset(
        {"method": "ProtoMAML"},
        "The head starts from the prototypes: the step moves nothing by as much as 1 %.",
        lambda d: d.right[0] >= 18 and 0 < d.moved.max() < 0.01,
    ),
    "it goes wrong": Preset(
        {"number": 16},
        "Five of 25 are wrong, or close to it: look which characters are alike.",
        lambda d: 18 <= d.right[1] <= 22,
    ),
}


# --- the comparison -------------------------------------------------------------------------------

WAYS = {  # how the learners are judged: the recording and, for "five", the number of steps
    "5 queries a class, no step": ("five", 0),
    "5 queries a class, 1 step": ("five", 1),
    "5 queries a class, 3 steps": ("five", 3),
    "1 query a class, 1 step": ("one", 1),
    "each query alone, 1 step": ("alone", 1),
}


class Comparison(NamedTuple):
    """Every method on the same tasks: its mean, of its seeds too, and its lead on one of them."""

    way: str
    against: str
    scores: dict[str, Estimate]
    seeds: dict[str, list[float]]
    leads: dict[str, Estimate]


def scores(method: str, judged: str = "five", steps: int = 1) -> Tensor:
    """The recorded accuracies of a method on the 600 tasks, (seeds, tasks)."""
    runs = [record.recorded(name)[judged] for name in record.RUNS if name.startswith(f"{method}/")]
    return torch.stack([run[record.STEPS.index(steps)] if run.ndim > 1 else run for run in runs])


def compare(way: str, against: str) -> Comparison:
    """The recorded accuracies of all methods; means over the seeds before all else."""
    found = {name: scores(name, *WAYS[way]) for name in record.METHODS}
    base = found[against].mean(0)
    return Comparison(
        *(way, against),
        scores={name: estimate(a.mean(0)) for name, a in found.items()},
        seeds={name: a.mean(1).tolist() for name, a in found.items()},
        leads={name: paired_difference(a.mean(0), base) for name, a in found.items()},
    )


def comparison_scene(fig: Figure):
    """A row for each method: its accuracy on the left, its lead on the right."""
    left, right = fig.subplots(1, 2, width_ratios=[1.25, 1], sharey=True)
    names = [*record.METHODS]
    left.set_yticks(range(len(names)), names)
    left.set(xlim=(0, 100), ylim=(len(names) - 0.5, -1.3), xlabel="right, in %")
    right.set(xlim=(-31, 31))
    right.plot([0, 0], [-0.7, len(names)], color=COLOR["before"], lw=1)
    right.tick_params(axis="y", length=0)
    move_means = pictures.interval_rows(left, COLOR["after"], len(names))
    move_leads = pictures.interval_rows(right, COLOR["support"], len(names))
    (seeds,) = left.plot([], [], "|", color=COLOR["truth"], ms=11, animated=True)
    title = right.text(0, -0.9, "", ha="center", fontsize=9.5, animated=True)

    def update(data: Comparison) -> str:
        move_means([*data.scores.values()])
        move_leads([*data.leads.values()])
        places = [(100 * m, i) for i, n in enumerate(names) for m in data.seeds[n]]
        seeds.set_data(*zip(*places))
        title.set_text(f"points ahead of {data.against}")
        return comparison_words(data)

    return update


def comparison_words(data: Comparison) -> str:
    """The picture in words."""
    rows = "; ".join(f"{name} {e}" for name, e in data.scores.items())
    leads = "; ".join(f"{n} {e}" for n, e in data.leads.items() if n != data.against)
    return (
        f"Right on 600 tasks, {data.way}, {len(data.seeds[data.against])} trainings each: {rows}. "
        f"Ahead of {data.against}: {leads}."
    )


def comparison_lab() -> Lab:
    """All methods on the same tasks, after 0, 1 and 3 steps and judged in three ways."""
    controls = {
        "way": named_stops("judged with", [*WAYS], "5 queries a class, 1 step"),
        "against": named_stops("compared with", [*record.METHODS], "MAML"),
    }
    size = (8.8, 3.7)
    return Lab("Comparison", compare, comparison_scene, controls, COMPARISON_PRESETS, size)


COMPARISON_PRESETS = {
    "before any step": Preset(
        {"way": "5 queries a class, no step"},
        "No step yet: all but ProtoMAML are near chance, 20 %.",
        lambda d: "no step" in d.way and sum(e.mean > 0.3 for e in d.scores.values()) == 1,
    ),
    "each alone": Preset(
        {"way": "each query alone, 1 step"},
        "Each query by itself: no method reaches 92 % any more.",
        lambda d: "alone" in d.way and max(e.mean for e in d.scores.values()) < 0.92,
    ),
    "first order": Preset(
        {"against": "first order"},
        "Compared with first order: all others are ten points ahead, or more.",
        lambda d: sum(e.low > 0.1 for e in d.leads.values()) == len(d.leads) - 1,
    ),
}


# --- figures of the chapter -----------------------------------------------------------------------

LOOKS = dict(zip(record.METHODS, ("after", "query", "support", "pixels", "you", "chance", "truth")))


def reveal(before: Estimate, after: Estimate, guess: float | None) -> tuple[Figure, str]:
    """Accuracy before and after one step, and the reader's guess (in %); and in words."""
    fig = pictures.figure(8, 1.7)
    axes = fig.subplots()
    for i, (e, key) in enumerate(((before, "before"), (after, "after"))):
        pictures.interval(axes, e, i, COLOR[key])
        axes.text(100 * e.mean, i - 0.3, e.percent(), ha="center")
    words = f"Right before the step {before}, after it {after}."
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=2, label=f"your guess: {guess:.0f}")
        axes.legend(loc="upper right", fontsize=9)
        words += f" Your guess was {guess:.0f} %."
    axes.set_yticks([0, 1], ["before", "after one step"])
    axes.set(xlim=(0, 100), ylim=(1.5, -0.8), xlabel="right, in % (chance: 20)")
    return fig, words


def movement_figure(moved: dict[str, Tensor]) -> tuple[Figure, str]:
    """How far the layers moved, {method: (tasks, 5)}: means with intervals; and in words."""
    fig, words = pictures.figure(8, 3.0), []
    axes = fig.subplots()
    for i, (name, rows) in enumerate(moved.items()):
        found = [estimate(100 * row) for row in rows.T]
        kept = [(j, e) for j, e in enumerate(found) if e.mean > 0]
        places = [j + 0.14 * (i - (len(moved) - 1) / 2) for j, _ in kept]
        error = {"yerr": [e.half_width for _, e in kept], "ls": "", "ms": 8, "elinewidth": 2}
        style = {"color": COLOR[LOOKS[name]], "marker": "osD^P"[i], "label": name}
        axes.errorbar(places, [e.mean for _, e in kept], **error, **style)
        words.append(f"{name} {', '.join(f'{e.mean:.1f}' for e in found)}")
    axes.set_xticks(range(len(LAYERS)), LAYERS)
    axes.set(yscale="log", ylabel="moved, in % of its length")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig, f"Movement in one step, in %, blocks 1 to 4 and head: {'; '.join(words)}."


def curve_figure(curves: dict[str, tuple], marks: dict[str, float]) -> tuple[Figure, str]:
    """Accuracy against meta-steps, {name: (steps, means in %)}, and levels; and in words."""
    fig, words = pictures.figure(8, 2.8), []
    axes = fig.subplots()
    for (steps, means), name, colour in zip(curves.values(), curves, ("after", "support")):
        axes.plot(steps, means, "o-", color=COLOR[colour], label=name, ms=4)
        words.append(f"{name}: {means[-1]:.1f} % after {steps[-1]:.0f} steps")
    for (name, level), style in zip(marks.items(), (":", "--")):
        axes.axhline(level, color=COLOR["truth"], ls=style, lw=1, label=f"{name}: {level:g}")
        words.append(f"{name} {level:g} %")
    axes.set(xlabel="meta-steps", ylabel="right, in %")
    axes.legend(loc="lower right", fontsize=9)
    return fig, f"Accuracy on new characters over the training. {'; '.join(words)}."


def rates_figure(inner_lr: dict[str, Tensor], start: float) -> tuple[Figure, str]:
    """Learned α of every tensor, by layer and kind; and in words."""
    fig, words = pictures.figure(8, 2.6), []
    axes = fig.subplots()
    kinds = {"0.weight": ("convolution", "o"), "1.weight": ("norm, scale", "s")}
    kinds |= {"1.bias": ("norm, offset", "^"), "weight": ("head, weight", "D")}
    kinds |= {"bias": ("head, bias", "P")}
    for (kind, (label, marker)), colour in zip(kinds.items(), COLOR.values()):
        found = [(int(n[0]), float(a)) for n, a in inner_lr.items() if n[2:] == kind]
        places = [min(i, 4) for i, _ in found]
        values = [a for _, a in found]
        style = {"color": colour, "ms": 8, "label": label, "ls": ""}
        axes.plot(places, values, marker, **style)
        words.append(f"{label} {', '.join(f'{a:.2f}' for a in values)}")
    axes.axhline(start, color=COLOR["truth"], lw=1, ls=":", label=f"start, {start:g}")
    axes.axhline(0, color=COLOR["before"], lw=1)
    axes.set_xticks(range(len(LAYERS)), LAYERS)
    axes.set(ylabel="learned α", xlim=(-0.5, 4.5))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig, f"Learned α: {'; '.join(words)}."


def table_text(rows: dict[str, Estimate]) -> str:
    """Accuracies in % with their half-widths, as plain lines."""
    return "\n".join(
        f"{n:28}{100 * e.mean:6.1f} ± {100 * e.half_width:.1f}" for n, e in rows.items()
    )
