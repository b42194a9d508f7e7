"""The labs and figures of chapter 10: who is ahead, whether it is real, what it costs."""

import ast
import inspect
import math
import os
import textwrap
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import accumulate
from typing import NamedTuple

import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from .. import pictures
from ..evaluation import Estimate, Z, estimate, half_width, paired_difference
from ..learners import (
    closed_form,
    maml,
    maml_runs,
    matching,
    networks,
    protonet,
    protonet_runs,
    reptile,
    transfer,
)
from ..learners import head_to_head as record
from ..learners import head_to_head_waves as waves
from ..pictures import COLOR, INK
from .engine import Lab, Preset, named_stops, stops

FAMILIES = {  # their methods, and the colour of each
    "never trained": (record.UNTRAINED, "before"),
    "pretrained": (record.PRETRAINED, "support"),
    "gradient steps": ((*record.GRADIENT,), "query"),
    "comparisons": ((*record.METRIC,), "after"),
}
KEY = {name: key for names, key in FAMILIES.values() for name in names}
HOME = "new alphabets"
SETTINGS = {HOME: (5, HOME), "20 ways": (20, HOME)}
SETTINGS |= {shift: (5, shift) for shift in record.SHIFTS[1:]}


def right(name: str, k_shot: int = 1, setting: str = HOME) -> Tensor:
    """The recorded accuracies of a method, (trainings, tasks); K as `shots_at` gives it."""
    where = SETTINGS[setting]
    return record.recorded(*where)[name][:, record.shots_of(*where).index(k_shot)]


def shots_at(k_shot: int, setting: str) -> int:
    """The recorded number of shots that is nearest to K from below."""
    return max(k for k in record.shots_of(*SETTINGS[setting]) if k <= k_shot)


def lead(one: str, other: str, k_shot: int = 1, setting: str = HOME) -> Estimate:
    """By how much a method is ahead of another, on the tasks that both met; the mean of its
    trainings stands for each."""
    a, b = (right(name, k_shot, setting).mean(0) for name in (one, other))
    n = min(len(a), len(b))
    return paired_difference(a[:n], b[:n])


# --- who is ahead ---------------------------------------------------------------------------------


class Ranking(NamedTuple):
    """All methods, the best first: means over tasks, those of each training, and points behind."""

    setting: str
    k_shot: int
    asked: int  # the K that was asked for
    scores: dict[str, Estimate]
    seeds: dict[str, list[float]]
    behind: dict[str, Estimate]

    @property
    def leader(self) -> str:
        """The method with the highest mean."""
        return next(iter(self.scores))

    def place(self, name: str) -> int:
        """The rank of a method, 1 is the best."""
        return [*self.scores].index(name) + 1


@lru_cache(maxsize=64)
def ranking(setting: str, k_shot: int) -> Ranking:
    """The methods at a recorded setting; of the K recorded there the nearest from below."""
    k = shots_at(k_shot, setting)
    found = {name: right(name, k, setting) for name in record.METHODS}
    order = sorted(found, key=lambda name: -float(found[name].mean()))
    return Ranking(
        *(setting, k, k_shot),
        scores={name: estimate(found[name].mean(0)) for name in order},
        seeds={name: found[name].mean(1).tolist() for name in order},
        behind={name: lead(order[0], name, k, setting) for name in order},
    )


def ranking_lab() -> Lab:
    """All methods on the same tasks, by K and by what the tasks are."""
    controls = {
        "setting": named_stops("tasks", [*SETTINGS], HOME),
        "k_shot": stops("K  shots", record.SHOTS, 1),
    }
    size = (8.8, 4.7)
    return Lab("Who is ahead?", ranking, ranking_scene, controls, RANKING_PRESETS, size)


BEHIND = 25  # points that are drawn


def ranking_scene(fig: Figure):
    """A row for each method: its accuracy on the left, what it is behind on the right."""
    fig.set_layout_engine("none")
    left, right_ = fig.add_axes((0.13, 0.11, 0.40, 0.82)), fig.add_axes((0.67, 0.11, 0.19, 0.82))
    left.set(xlim=(0, 100), xlabel="right, in %")
    right_.set(xlim=(-1, BEHIND), xlabel=f"points behind, up to {BEHIND}")
    for i, (family, (_, key)) in enumerate(FAMILIES.items()):
        fig.text(0.13 + 0.16 * i, 0.955, family, color=INK[key], weight="bold", fontsize=9.5)
    fig.text(0.99, 0.955, "|  each training", ha="right", fontsize=9)
    names = named_rows(left, len(record.METHODS), KEY)
    named_rows(right_, len(record.METHODS), KEY)
    parts = [column(axes, len(record.METHODS)) for axes in (left, right_)]
    (ticks,) = left.plot([], [], "|", color=COLOR["truth"], ms=11, animated=True)

    def update(data: Ranking) -> str:
        names(data.scores)
        keys = [KEY[name] for name in data.scores]
        for part, found in zip(parts, (data.scores, data.behind)):
            part([e if e.half_width else None for e in found.values()], keys)
        ends = [(100 * m, i) for i, means in enumerate(data.seeds.values()) for m in means]
        ticks.set_data(*zip(*ends))
        return ranking_words(data)

    return update


def named_rows(axes, rows: int, keys: dict[str, str]):
    """Rows with faint lines; returns `update(names)`, which writes names beside them."""
    axes.set(ylim=(rows - 0.5, -0.5), yticks=range(rows))
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.grid(axis="y", color="#EEEEEE")
    texts = row_texts(axes, rows, -0.015, ha="right")

    def update(names) -> None:
        for text, name in zip(texts, names):
            text.set(text=name, color=INK[keys[name]])

    return update


def row_texts(axes, rows: int, place: float, **style) -> list:
    """An empty text in each row, at this part of the width."""
    style = {"va": "center", "fontsize": 9, "animated": True} | style
    return [
        axes.text(place, i, "", transform=axes.get_yaxis_transform(), **style) for i in range(rows)
    ]


def column(axes, rows: int):
    """A dot with its interval and its number in each row, in the colours of the families."""
    bars, dots = LineCollection([], lw=4, animated=True), axes.scatter([], [], s=80, animated=True)
    axes.add_collection(bars, autolim=False)
    texts = row_texts(axes, rows, 1.03)

    def update(found: list[Estimate | None], keys: list[str]) -> None:
        drawn = [(i, e, COLOR[key]) for i, (e, key) in enumerate(zip(found, keys)) if e]
        bars.set_segments([[(100 * e.low, i), (100 * e.high, i)] for i, e, _ in drawn])
        dots.set_offsets([(100 * e.mean, i) for i, e, _ in drawn])
        for part in (bars, dots):
            part.set_color([colour for *_, colour in drawn])
        for text, e in zip(texts, found):
            text.set_text(e.percent() if e else "the first")

    return update


def ranking_words(data: Ranking) -> str:
    """The picture in words."""
    shots = f"K = {data.k_shot}"
    if data.asked != data.k_shot:
        shots += f" (asked for {data.asked}; recorded here are 1 and 5)"
    rows = "; ".join(
        f"{name} {e}" + (f", behind by {data.behind[name]}" if name != data.leader else "")
        for name, e in data.scores.items()
    )
    ways = SETTINGS[data.setting][0]
    return f"Right, {data.setting}, {ways} ways, {shots}, the best first: {rows}."


def falls(data: Ranking) -> bool:
    """Whether everyone who trained is over ten points below the start."""
    home = ranking(HOME, data.k_shot).scores
    trained = set(record.METHODS) - set(record.UNTRAINED)
    return all(data.scores[name].mean < home[name].mean - 0.1 for name in trained)


def first_four() -> list[str]:
    """The names at the top with new alphabets and one drawing."""
    return [*ranking(HOME, 1).scores][:4]


RANKING_PRESETS = {
    "ten shots": Preset(
        {"k_shot": 10},
        "Ten drawings of each character: the trained methods move together.",
        lambda d: d.k_shot == 10 and [*d.behind.values()][6].mean < 0.05,
    ),
    "20 ways": Preset(
        {"setting": "20 ways"},
        "Twenty characters to choose from: the gaps grow.",
        lambda d: d.setting == "20 ways" and [*d.behind.values()][6].mean > 0.1,
    ),
    "light for dark": Preset(
        {"setting": "inverted"},
        "The same drawings with light and dark exchanged: everyone who trained falls.",
        lambda d: d.setting == "inverted" and falls(d),
    ),
    "strange letters": Preset(
        {"setting": "generated"},
        "Letters that a program drew: nobody saw them, and the first four stay the first four.",
        lambda d: d.setting == "generated" and {*[*d.scores][:4]} == {*first_four()},
    ),
}

# --- is it real? ----------------------------------------------------------------------------------

TASKS = (10, 20, 30, 50, 70, 100, 150, 200, 300, 400)


class Difference(NamedTuple):
    """Two methods: how far apart after so many tasks, by pairs and as if the tasks were others."""

    names: tuple[str, str]
    k_shot: int
    n: int
    scores: tuple[Estimate, Estimate]
    paired: Estimate
    unpaired: float  # half-width
    needed: float  # tasks; inf when nothing tells them apart
    path: Tensor  # (counts, 4): tasks, difference, its half-width by pairs, and unpaired


def needed(difference: Tensor) -> float:
    """The number of tasks, at least two, at which such a difference (tasks,) would leave zero."""
    mean, sd = float(difference.double().mean()), float(difference.double().std())
    return max(2, math.ceil((Z * sd / mean) ** 2)) if mean else math.inf


def pair_of(name: str, other: str, k_shot: int, training: int) -> tuple[Tensor, Tensor]:
    """The accuracies of two trainings on the tasks that both met; a method against itself is its
    other training."""
    found = [right(name, k_shot), right(other, k_shot)]
    seeds = [training, 1 - training if name == other else training]
    a, b = (rows[min(seed, len(rows) - 1)] for rows, seed in zip(found, seeds))
    n = min(len(a), len(b))
    return a[:n], b[:n]


@lru_cache(maxsize=256)
def difference(name: str, other: str, k_shot: int, n_tasks: int, training: int) -> Difference:
    """One training of each of two methods on the first tasks, as many as both met at most."""
    a, b = pair_of(name, other, k_shot, training)
    path = []
    for n in [n for n in TASKS if n <= len(a)]:
        d = paired_difference(a[:n], b[:n])
        apart = math.hypot(*(float(half_width(v[:n].double())) for v in (a, b)))
        path.append((n, d.mean, d.half_width, apart))
    n = min(n_tasks, len(a))
    _, mean, half, apart = next(row for row in path if row[0] == n)
    scores = estimate(a[:n]), estimate(b[:n])
    paired = Estimate(mean, half, n)
    return Difference(
        *((name, other), k_shot, n, scores, paired, apart), needed(a - b), torch.tensor(path)
    )


def difference_lab() -> Lab:
    """Two methods on more and more tasks."""
    names = [*record.METHODS]
    controls = {
        "name": named_stops("method", names, "ProtoNet"),
        "other": named_stops("other method", names, "Matching"),
        "k_shot": stops("K  shots", record.SHOTS, 1),
        "n_tasks": stops("tasks", TASKS, 50),
        "training": named_stops("training", {"first": 0, "second": 1}, 0),
    }
    size = (8.8, 3.4)
    return Lab(
        *("Is this difference real?", difference, difference_scene),
        *(controls, DIFFERENCE_PRESETS, size),
    )


REACHES = (3, 6, 12, 25, 50)  # points, of the scale
SAYS = "difference", "95 %, same tasks", "95 %, as if each had met its own tasks"


def difference_scene(fig: Figure):
    """The difference and its two intervals against the number of tasks."""
    fig.set_layout_engine("none")  # room for ticks of any width
    axes = fig.add_axes((0.085, 0.17, 0.905, 0.7))
    axes.set(xscale="log", xlim=(9, 450), xlabel="tasks", ylabel="points ahead")
    axes.set_xticks(TASKS, [f"{n}" for n in TASKS])
    axes.minorticks_off()
    axes.axhline(0, color=COLOR["before"], lw=1)
    (middle,) = axes.plot([], [], "o-", color=COLOR["truth"], ms=4, lw=1, animated=True)
    narrow, wide = sides(axes, "-", "support"), sides(axes, "--", "query")
    here = pictures.moving_interval(axes, COLOR["support"], upright=True)
    fig.legend((middle, narrow[0], wide[0]), SAYS, ncols=3, loc="upper right", fontsize=9)
    says = axes.text(0.99, 0.03, "", ha="right", transform=axes.transAxes, animated=True)

    def update(data: Difference) -> str:
        n, mean, half, apart = (data.path * torch.tensor([1.0, 100, 100, 100])).numpy().T
        most = (abs(mean) + apart)[1:].max()
        reach = min([r for r in REACHES if r > most], default=100)
        axes.set_ylim(-reach, reach)
        middle.set_data(n, mean)
        for lines, width in ((narrow, half), (wide, apart)):
            for side, line in zip((-1, 1), lines):
                line.set_data(n, mean + side * width)
        here(*(100 * v for v in (data.paired.low, data.paired.mean, data.paired.high)), data.n)
        says.set_text(f"to settle it: {told(data.needed)}")
        return difference_words(data)

    return update


def sides(axes, style: str, key: str) -> list:
    """The two lines around an interval that changes."""
    look = {"color": COLOR[key], "lw": 1.8, "animated": True}
    return [axes.plot([], [], style, **look)[0] for _ in range(2)]


def told(tasks: float) -> str:
    """A number of tasks in words."""
    return (
        "no number of tasks" if tasks == math.inf else f"about {float(f'{tasks:.2g}'):,.0f} tasks"
    )


def difference_words(data: Difference) -> str:
    """The picture in words."""
    one, other = data.names
    who = f"{one} against {'its other training' if one == other else other}"
    verdict = "does not hold" if data.paired.low > 0 or data.paired.high < 0 else "holds"
    return (
        f"{who}, K = {data.k_shot}, {data.n} tasks: {data.scores[0]} and {data.scores[1]}. Ahead "
        f"by {data.paired}, an interval that {verdict} zero; with other tasks for each ± "
        f"{data.unpaired:.3f}. To settle it: {told(data.needed)}."
    )


DIFFERENCE_PRESETS = {
    "ten tasks": Preset(
        {"n_tasks": 10},
        "Ten tasks: the interval is wide, and nobody can say who is ahead.",
        lambda d: d.n == 10 and d.paired.low < 0 < d.paired.high,
    ),
    "400 tasks": Preset(
        {"n_tasks": 400},
        "The same two on 400 tasks: zero is outside, and pairs made the interval narrower.",
        lambda d: d.n == 400 and d.paired.low > 0 and d.paired.half_width < d.unpaired,
    ),
    "no relatives": Preset(
        {"other": "chance", "n_tasks": 400},
        "What is hard for one is not hard for chance: pairs are no help.",
        lambda d: d.names[1] == "chance" and d.paired.half_width > 0.9 * d.unpaired,
    ),
    "itself": Preset(
        {"name": "probe", "other": "probe", "n_tasks": 400},
        "One method, trained twice: zero is outside, and it means nothing for a third training.",
        lambda d: d.names[0] == d.names[1] and abs(d.paired.mean) > d.paired.half_width,
    ),
}

# --- sine waves -----------------------------------------------------------------------------------


class WaveRanking(NamedTuple):
    """The methods on waves of a kind, the best first: quartiles and mean of their errors."""

    shift: str
    k_shot: int
    by: str
    errors: dict[str, Tensor]  # (tasks,), the mean of the trainings'

    def median(self, name: str) -> float:
        """The error in the middle."""
        return float(self.errors[name].median())

    def mean(self, name: str) -> float:
        """The mean error, infinite where one is."""
        return float(self.errors[name].mean())

    def place(self, name: str) -> int:
        """The rank of a method, 1 is the best."""
        return [*self.errors].index(name) + 1


@lru_cache(maxsize=128)
def wave_ranking(shift: str, k_shot: int, by: str) -> WaveRanking:
    """The methods sorted by the median or the mean over tasks of their errors."""
    found = waves.recorded(shift)
    found = {n: found[n][:, waves.SHOTS.index(k_shot)].double().mean(0) for n in waves.METHODS}
    measure = {"median": lambda e: e.median(), "mean": lambda e: e.mean()}[by]
    order = sorted(found, key=lambda name: float(measure(found[name])))
    return WaveRanking(shift, k_shot, by, {name: found[name] for name in order})


def waves_lab() -> Lab:
    """All methods on the same waves, by K and by what the waves are."""
    controls = {
        "shift": named_stops("waves", [*waves.SHIFTS], "as trained"),
        "k_shot": stops("K  shots", waves.SHOTS, 5),
        "by": named_stops("sorted by", ["median", "mean"], "median"),
    }
    return Lab("Waves", wave_ranking, waves_scene, controls, WAVES_PRESETS, (8.8, 3.6))


LOW, HIGH = 1e-3, 1e2  # errors that are drawn
WAVE_KEYS = dict.fromkeys(waves.METHODS, "before") | dict.fromkeys(waves.RULES, "query")
WAVE_KEYS |= {"pretraining": "support", "solved head": "after", "oracle": "truth"}


def waves_scene(fig: Figure):
    """A row for each method: the middle half of its errors, their median and their mean."""
    fig.set_layout_engine("none")
    axes, rows = fig.add_axes((0.13, 0.15, 0.60, 0.74)), len(waves.METHODS)
    axes.set(xscale="log", xlim=(LOW, HIGH), xlabel="mean squared error of a wave")
    at = {"fontsize": 9.5, "va": "center", "transform": axes.get_yaxis_transform()}
    for place, word in ((0, "bars: the middle half of the waves"), *HEADS.items()):
        axes.text(place, -1, word, weight="bold" if place else "normal", **at)
    names, marks = named_rows(axes, rows, WAVE_KEYS), wave_marks(axes)
    columns = dict(zip(("median", "mean"), (row_texts(axes, rows, place) for place in HEADS)))

    def update(data: WaveRanking) -> str:
        names(data.errors)
        marks(data)
        for key, texts in columns.items():
            for text, name in zip(texts, data.errors):
                text.set_text(error_told(getattr(data, key)(name)))
                text.set_weight("bold" if data.by == key else "normal")
        return waves_words(data)

    return update


HEADS = {1.03: "● median", 1.19: "◇ mean"}


def wave_marks(axes):
    """A bar, a dot for the median and a diamond for the mean in each row."""
    bars = LineCollection([], lw=5, animated=True)
    axes.add_collection(bars, autolim=False)
    dots = [axes.scatter([], [], s=70, marker=m, animated=True, zorder=3) for m in "oD"]

    def update(data: WaveRanking) -> None:
        colours = [COLOR[WAVE_KEYS[name]] for name in data.errors]
        places = [spread_of(e) for e in data.errors.values()]
        bars.set_segments([[(p[0], i), (p[2], i)] for i, p in enumerate(places)])
        bars.set_color(colours)
        faces = colours, ["white"] * len(colours)
        for part, which, face in zip(dots, (1, 3), faces):
            part.set_offsets([(p[which], i) for i, p in enumerate(places)])
            part.set(facecolor=face, edgecolor=colours)

    return update


def spread_of(errors: Tensor) -> list[float]:
    """Quartiles and mean, within what is drawn."""
    levels = torch.tensor([0.25, 0.5, 0.75]).double()
    found = [*errors.quantile(levels, interpolation="nearest"), errors.mean()]
    return [min(max(float(v), LOW), HIGH) for v in found]


def error_told(error: float) -> str:
    """An error in three digits at most."""
    if error == math.inf:
        return "no number"
    return "< 0.001" if error < 0.001 else f"{error:.3f}" if error < 1 else f"{error:.3g}"


def waves_words(data: WaveRanking) -> str:
    """The picture in words."""
    rows = "; ".join(
        f"{name} {error_told(data.median(name))} and {error_told(data.mean(name))}"
        for name in data.errors
    )
    return (
        f"Errors on waves {data.shift}, K = {data.k_shot}, median and mean over "
        f"{waves.TASKS} waves, sorted by the {data.by}: {rows}."
    )


WAVES_PRESETS = {
    "two points": Preset(
        {"k_shot": 2},
        "Two points: whoever knows that the family has two numbers needs no more.",
        lambda d: d.k_shot == 2 and d.place("solved head") == 2 and d.median("MAML") > 0.3,
    ),
    "noise": Preset(
        {"shift": "noise 0.5", "k_shot": 2, "by": "mean"},
        "Two noisy points: for one wave in 300 they nearly coincide, and the oracle has no mean.",
        lambda d: d.mean("oracle") == math.inf and d.median("oracle") < 0.5,
    ),
    "larger": Preset(
        {"shift": "larger", "k_shot": 10, "by": "mean"},
        "Waves twice as high: gradient steps of the same α fly away from one wave or more.",
        lambda d: all(d.mean(name) == math.inf for name in ("MAML", "FOMAML", "Reptile")),
    ),
    "other phases": Preset(
        {"shift": "other phases", "k_shot": 5},
        "Phases that nobody met: the starts suffer, the features do not.",
        lambda d: d.median("solved head") < 0.01 and d.median("MAML") > 1,
    ),
    "faster": Preset(
        {"shift": "faster", "k_shot": 3},
        "Waves of another family: the two sharpest tools are the worst, behind a flat line.",
        lambda d: {d.place("solved head"), d.place("oracle")} == {7, 8},
    ),
}

# --- break-even -----------------------------------------------------------------------------------

BACKGROUND = 964 * 20  # labelled drawings that the methods were trained on
RIVAL = "from scratch"


class Cost(NamedTuple):
    """What a method takes: seconds of training, seconds to adapt to a task (5-way 1-shot) and
    answer, parameters, bytes at the peak of it, lines of code."""

    training: float
    adapting: float
    parameters: int
    memory: int
    lines: int


class BreakEven(NamedTuple):
    """Seconds before the first task and for each, of a method with one shot and of its rival."""

    name: str
    shots: int  # of the rival, who needs more of them
    accuracies: tuple[Estimate, Estimate]
    fixed: float
    each: float
    rival: float
    n_tasks: int
    pays: float  # the number of tasks from which on it is cheaper; inf for never


def break_even(fixed: float, each: float, rival: float) -> float:
    """The smallest number of tasks at which fixed + n · each < n · rival; inf for never."""
    return math.floor(fixed / (rival - each)) + 1 if rival > each else math.inf


def break_even_lab(costs: dict[str, Cost]) -> Lab:
    """When does training on other alphabets pay? costs: measured, for all methods."""

    def data(name: str, label: float, shots: int, labelled: bool, n_tasks: int) -> BreakEven:
        fixed = costs[name].training + labelled * BACKGROUND * label
        each = costs[name].adapting + 5 * label
        rival = costs[RIVAL].adapting * shots + 5 * shots * label
        accuracies = estimate(right(name, 1).mean(0)), estimate(right(RIVAL, shots).mean(0))
        pays = break_even(fixed, each, rival)
        return BreakEven(name, shots, accuracies, fixed, each, rival, n_tasks, pays)

    names = [name for name in record.METHODS if name not in record.UNTRAINED]
    controls = {
        "name": named_stops("trained before", names, "ProtoNet"),
        "shots": stops("K  of from scratch", record.SHOTS, 10),
        "label": stops("seconds a label", (0, 1, 2, 5, 10, 30), 5),
        "labelled": named_stops(
            "other alphabets", {"labelled": False, "to be labelled": True}, False
        ),
        "n_tasks": stops("new tasks", (1, 3, 10, 30, 100, 300, 1000, 3000), 100),
    }
    return Lab(
        "When does it pay?", data, break_even_scene, controls, BREAK_EVEN_PRESETS, (8.8, 3.2)
    )


CLOCK = {1 / 60: "a minute", 1: "an hour", 24: "a day", 720: "a month"}  # hours


def break_even_scene(fig: Figure):
    """Hours against the number of new tasks, of both ways to solve them."""
    axes = fig.subplots()
    axes.set(xscale="log", yscale="log", xlim=(0.9, 4000), ylim=(3e-3, 2e3))
    axes.set(xlabel="new tasks, 5-way", ylabel="time in all")
    axes.set_xticks([10**i for i in range(4)], [f"{10**i}" for i in range(4)])
    axes.set_yticks([*CLOCK], CLOCK.values())
    axes.minorticks_off()
    rival = straight(axes, "from scratch, more labels", "before")
    trained = straight(axes, "trained before", "after")
    (crossing,) = axes.plot([], [], ":", color=COLOR["truth"], lw=1.5, animated=True)
    note = axes.text(0.98, 0.05, "", ha="right", transform=axes.transAxes, animated=True)
    axes.legend(loc="upper left", bbox_to_anchor=(0.02, 1), fontsize=9)

    def update(data: BreakEven) -> str:
        rival(0.0, data.rival, data.n_tasks)
        trained(data.fixed, data.each, data.n_tasks)
        crossing.set_data([data.pays] * 2, axes.get_ylim())
        note.set_text(pays_from(data.pays))
        return break_even_words(data)

    return update


def straight(axes, label: str, key: str):
    """A line of hours, start + n · slope seconds, and a dot on it."""
    n = torch.logspace(0, 3.6, 100, dtype=torch.float64)
    (line,) = axes.plot([], [], color=COLOR[key], label=label, animated=True)
    (dot,) = axes.plot([], [], "o", color=COLOR[key], ms=9, animated=True)

    def update(start: float, slope: float, here: int) -> None:
        line.set_data(n, (start + n * slope) / 3600)
        dot.set_data([here], [(start + here * slope) / 3600])

    return update


def pays_from(tasks: float) -> str:
    """When it pays, in words."""
    return "it never pays" if tasks == math.inf else f"it pays from task {tasks:,.0f} on"


def hours(seconds: float) -> str:
    """A time in the unit that fits."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} seconds"


def break_even_words(data: BreakEven) -> str:
    """The picture in words."""
    one, other = data.accuracies
    return (
        f"{data.name} with one drawing of each character is right in {one}; from scratch with "
        f"{data.shots} in {other}. {data.n_tasks} new tasks take "
        f"{hours(data.fixed + data.n_tasks * data.each)} with {data.name}, training and labels "
        f"included, and {hours(data.n_tasks * data.rival)} from scratch: {pays_from(data.pays)}."
    )


BREAK_EVEN_PRESETS = {
    "labels for free": Preset(
        {"label": 0},
        "Only seconds of computing count: after some tasks the training is paid back.",
        lambda d: d.each < d.rival and 1 < d.pays < 1000,
    ),
    "as few labels": Preset(
        {"shots": 1},
        "From scratch with one drawing each, too: now it is cheap, and far less often right.",
        lambda d: d.shots == 1 and d.accuracies[1].high < d.accuracies[0].low - 0.1,
    ),
    "label them all": Preset(
        {"labelled": True},
        "The drawings of the other alphabets must be labelled, too: it takes hundreds of tasks.",
        lambda d: d.fixed > BACKGROUND and 100 < d.pays < 1000,
    ),
}

# --- which method when ----------------------------------------------------------------------------

STEPS = dict.fromkeys(record.METHODS, 0) | dict.fromkeys(record.GRADIENT, record.STEPS)
STEPS |= {"fine-tuning": record.TUNING[1], "from scratch": record.SCRATCH[1]}  # of adaptation
GUIDE = {  # what one has, and the methods that it allows
    "nothing else": record.UNTRAINED,
    "a classifier": (*record.UNTRAINED, *record.PRETRAINED),
    "no steps": tuple(name for name, steps in STEPS.items() if not steps),
    "anything": record.METHODS,
}


class Advice(NamedTuple):
    """A method, its accuracy, and those that are not told apart from it."""

    method: str
    score: Estimate
    ties: tuple[str, ...]


@cache
def advice(allowed: str, k_shot: int, setting: str) -> Advice:
    """Of the methods that GUIDE allows and that none is ahead of by more than the interval, the
    one with the fewest steps of adaptation; then the highest mean."""
    names = GUIDE[allowed]
    ahead = {
        name: any(lead(other, name, k_shot, setting).low > 0 for other in names if other != name)
        for name in names
    }
    fit = [name for name in names if not ahead[name]]
    scores = {name: estimate(right(name, k_shot, setting).mean(0)) for name in fit}
    best = min(fit, key=lambda name: (STEPS[name], -scores[name].mean))
    return Advice(best, scores[best], tuple(name for name in fit if name != best))


def guide_text(k_shot: int) -> str:
    """The guide as plain lines: a row for each kind of task, a column for what one has."""
    lines = [f"K = {k_shot:<14}" + "".join(f"{allowed:<22}" for allowed in GUIDE)]
    for setting in SETTINGS:
        found = [advice(allowed, k_shot, setting) for allowed in GUIDE]
        cells = [f"{a.method} {100 * a.score.mean:.0f}{' *' if a.ties else ''}" for a in found]
        lines.append(f"{setting:18}" + "".join(f"{cell:<22}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


# --- figures of the chapter -----------------------------------------------------------------------

MARKERS = dict(zip(record.METHODS, "..^osDos^Dvos"))
ERRORS = (80, 40, 20, 10, 5, 2, 1)  # %, of the scale


def shots_figure() -> tuple[Figure, str]:
    """Wrong answers against K by family, the best of all in grey; and in words."""
    fig = pictures.figure(9, 3.6)
    panels = fig.subplots(1, len(FAMILIES), sharey=True)
    best = [1 - ranking(HOME, k).scores[ranking(HOME, k).leader].mean for k in record.SHOTS]
    words = []
    for axes, (family, (names, key)) in zip(panels, FAMILIES.items()):
        axes.plot(record.SHOTS, [100 * v for v in best], color="#BBBBBB", lw=5)
        axes.set(xscale="log", yscale="log", xlim=(0.9, 60), ylim=(90, 0.6), xlabel="K  shots")
        axes.set_xticks(record.SHOTS, [f"{k}" for k in record.SHOTS], fontsize=8)
        axes.set_yticks(ERRORS, [f"{e}" for e in ERRORS])
        axes.minorticks_off()
        axes.set_title(family, color=INK[key], fontsize=10)
        words += shots_lines(axes, names, key)
    panels[0].set_ylabel("wrong, in %")
    return fig, f"Wrong in %, K = 1 to 10: {'; '.join(words)}. Grey: the best of all at each K."


def shots_lines(axes, names: tuple[str, ...], key: str) -> list[str]:
    """A family's lines with bands, named at their ends; and in words."""
    ends, words = {}, []
    for name in names:
        found = [estimate(1 - right(name, k).mean(0)) for k in record.SHOTS]
        means, halves = (torch.tensor([100 * e[i] for e in found]) for i in (0, 1))
        style = {"color": COLOR[key], "marker": MARKERS[name], "ms": 5, "lw": 1.5}
        axes.plot(record.SHOTS, means, **style)
        low = (means - halves).clamp(min=0.5)
        axes.fill_between(record.SHOTS, low, means + halves, color=COLOR[key], alpha=0.25, lw=0)
        ends[name] = float(means[-1].log())
        words.append(f"{name} {means[0]:.1f} to {means[-1]:.1f}")
    for name, at in apart(ends, 0.36).items():
        axes.text(11.5, math.exp(at), name, fontsize=8.5, va="center", color=INK[key])
    return words


def apart(places: dict[str, float], gap: float) -> dict[str, float]:
    """The places of labels, moved so that neighbours are at least `gap` apart, the mean kept."""
    order = sorted(places, key=places.get)
    moved = []
    for name in order:
        moved.append(max(places[name], moved[-1] + gap) if moved else places[name])
    shift = sum(m - places[name] for m, name in zip(moved, order)) / max(1, len(order))
    return {name: m - shift for m, name in zip(moved, order)}


def shift_figure(k_shot: int = 1) -> tuple[Figure, str]:
    """The rank of each method at each setting, lines by family; and in words."""
    fig = pictures.figure(9, 4.4)
    axes, words = fig.subplots(), []
    tables = [ranking(setting, k_shot) for setting in SETTINGS]
    for name in record.METHODS:
        ranks = [table.place(name) for table in tables]
        style = {"color": COLOR[KEY[name]], "marker": MARKERS[name], "ms": 7, "lw": 1.5}
        axes.plot(range(len(ranks)), ranks, **style)
        for at, side, move in ((0, "right", -0.1), (len(ranks) - 1, "left", 0.1)):
            look = {"ha": side, "va": "center", "color": INK[KEY[name]], "fontsize": 9}
            score = 100 * tables[at].scores[name].mean
            axes.text(at + move, ranks[at], f"{name} {score:.0f}", **look)
    for table in tables:
        first = [f"{n} {100 * e.mean:.1f} %" for n, e in [*table.scores.items()][:3]]
        words.append(f"{table.setting}: {', '.join(first)}")
    axes.set_xticks(range(len(tables)), [t.setting.replace(" ", "\n", 1) for t in tables])
    axes.set(xlim=(-1.3, len(tables) + 0.3), ylim=(len(record.METHODS) + 0.5, 0.5), yticks=[])
    axes.set_title(f"rank, K = {k_shot}, and right in % at both ends", fontsize=10)
    return fig, f"The first three with {k_shot} shot{'s' * (k_shot > 1)}: {'; '.join(words)}."


def reveal(found: dict[str, Estimate], gap: Estimate, guess: float | None) -> tuple[Figure, str]:
    """Two methods, how far apart they are, and the reader's guess in points; and in words."""
    fig = pictures.figure(8, 1.7)
    axes = fig.subplots()
    axes.plot([100 * gap.low, 100 * gap.high], [0, 0], color=COLOR["after"], lw=4)
    style = {"color": COLOR["after"], "ms": 9, "label": f"measured: {gap.percent()}"}
    axes.plot([100 * gap.mean], [0], "o", **style)
    words = (
        f"{'; '.join(f'{n} {e.percent()} %' for n, e in found.items())}. Apart: {gap.percent()}."
    )
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=2, label=f"your guess: {guess:.0f}")
        words += f" Your guess was {guess:.0f} points."
    axes.axvline(0, color=COLOR["before"], lw=1)
    axes.legend(loc="upper right", fontsize=9)
    axes.set(xlim=(-30, 60), ylim=(0.8, -0.8), yticks=[], xlabel=f"points: {' − '.join(found)}")
    return fig, words


# --- what a method takes --------------------------------------------------------------------------


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes of tensors that were held at once while `work` ran, those from before left
    out."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its own messages
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as seen:
        work()
    events = seen.profiler.kineto_results.events()
    moves = [event.nbytes() for event in events if event.name() == "[memory]"]
    return max(accumulate(moves), default=0)


def code_lines(*parts) -> int:
    """Lines of functions and classes, without docstrings, comments and blank lines, formatted
    anew, so that they are counted alike."""
    total = 0
    for part in parts:
        tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
        for node in ast.walk(tree):
            if ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None:
                node.body = node.body[1:] or [ast.Pass()]
        total += len(ast.unparse(tree).splitlines())
    return total


DOCUMENTED = ast.FunctionDef, ast.ClassDef
BODY = networks.block, networks.conv4
CLASSIFIER = (*BODY, transfer.Pretraining, transfer.shifted)
COMPARED = protonet.prototypes, protonet.squared, protonet.log_probabilities, networks.features
TUNED = record.tuned, transfer.fine_tuning, transfer.cut, transfer.freeze, transfer.new_head
INNER = maml.adapt, maml.rates, record.adapting, networks.task_loss, networks.normalised_by
META = (*INNER, maml.losses_after, maml.meta_loss, maml.MetaTraining, maml.learned)
META = (*META, networks.BatchNow, networks.block, networks.few_shot, networks.parameters)
WALK = (*META, reptile.direction, reptile.objective)
START = maml_runs.prototype_head, protonet.prototypes, protonet.linear_classifier
EPISODES = (*BODY, protonet_runs.Training)
NEEDS = {  # the functions that a method stands on, from its training to its answer
    "chance": (record.chance,),
    "pixels": (record.pixels,),
    "from scratch": (*BODY, *TUNED),
    "nearest mean": (*CLASSIFIER, *COMPARED),
    "probe": (*CLASSIFIER, record.probe, networks.features, closed_form.ridge_map),
    "fine-tuning": (*CLASSIFIER, *TUNED),
    **{"MAML": META, "FOMAML": META, "Reptile": WALK, "ANIL": META},
    "ProtoMAML": (*META, *START),
    "Matching": (*EPISODES, matching.log_probabilities, networks.features),
    "ProtoNet": (*EPISODES, *COMPARED, protonet.loss),
}


def numbers(name: str) -> int:
    """The numbers of the network that meets a new task."""
    if name in ("chance", "pixels"):
        return 0
    learned = None if name in record.UNTRAINED else record.shipped(record.source_of(name))
    if learned is None or isinstance(learned, torch.nn.Module):
        learned = learned or protonet_runs.BASE.net()
        return sum(p.numel() for p in learned.parameters())
    return sum(p.numel() for p in learned.params.values())


def costs_text(costs: dict[str, Cost]) -> str:
    """The costs as plain lines."""
    lines = [f"{'':13}{'training':>10}{'a task':>10}{'numbers':>9}{'memory':>9}{'lines':>7}"]
    for name, cost in costs.items():
        row = f"{cost.training:8.0f} s{1000 * cost.adapting:7.0f} ms{cost.parameters:9,}"
        lines.append(f"{name:13}{row}{cost.memory / 2**20:6.1f} MB{cost.lines:7}")
    return "\n".join(lines)
