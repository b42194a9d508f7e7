"""The labs and figures of chapter 08: one task seen whole, the recorded runs, one alphabet."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

from .. import pictures
from ..evaluation import Estimate, accuracy, estimate, paired_difference
from ..learners import protonet
from ..learners import protonet_runs as record
from ..pictures import COLOR, INK
from ..tasks import Characters
from ..tasks.episodes import draw_indices
from .engine import Lab, Preset, named_stops, slider

WAYS, SHOTS, QUERIES = 20, 10, 5  # the most classes and shots of the lab, and its queries a class
N_TASKS = 20  # behind the accuracy that the lab shows


def embeddings(small: Characters, large: Characters) -> dict[str, Tensor]:
    """Every drawing of a pool, (classes, drawings, d), by what made the features.

    small, large: the same characters in the sizes of the shipped networks "base" and "long".
    """
    return {
        "pixels": small.images.flatten(2).float().div(255),
        "untrained": record.embedded(record.BASE.net(), small),
        "half a minute": record.embedded(record.shipped("base"), small),
        "long run": record.embedded(record.shipped("long"), large),
    }


# --- one task, seen whole -------------------------------------------------------------------------


class Table(NamedTuple):
    """One task: its drawings, and what the queries of each class get.

    support: (N, h, w), the mean picture of each class; near: (N, h, w), of the other drawings of
    these characters the nearest to each prototype, and whether it is the same character, (N,);
    query: (N, h, w), one of each class; shares: (N, N), mean probabilities of a class's queries;
    right: how many of the 5 N queries; score: over N_TASKS tasks like it.
    """

    who: str
    k_shot: int
    distance: str
    within: bool
    support: Tensor
    near: Tensor
    same: Tensor
    query: Tensor
    shares: Tensor
    right: int
    score: Estimate


class Tables:
    """The data of the lab: a call gives the task at these values."""

    def __init__(self, features: dict[str, Tensor], pool: Characters):
        self.features, self.pool = features, pool
        self.drawn = lru_cache(maxsize=8)(self.draw)

    def draw(self, number: int, within: bool) -> tuple[Tensor, Tensor]:
        """Classes (N_TASKS, WAYS, 1) and drawings (N_TASKS, WAYS, QUERIES + SHOTS), the first of
        which are the queries: fewer ways or shots are a part of them."""
        generator = torch.Generator().manual_seed(8000 + number)
        size, per_class = self.pool.images.shape[:2], QUERIES + SHOTS
        if not within:
            return draw_indices(size, N_TASKS, per_class, generator, WAYS)
        names, found = self.pool.alphabet.unique(), []
        for i in range(N_TASKS):
            own = torch.nonzero(self.pool.alphabet == names[(number + i) % len(names)])[:, 0]
            classes, drawings = draw_indices((len(own), size[1]), 1, per_class, generator, WAYS)
            found.append((own[classes], drawings))
        return tuple(map(torch.cat, zip(*found)))

    def __call__(
        self, who: str, n_way: int, k_shot: int, distance: str, within: bool, number: int
    ) -> Table:
        classes, drawings = (part[:, :n_way] for part in self.drawn(number, within))
        picked = drawings[..., : QUERIES + k_shot]
        z = self.features[who][classes, picked].roll(-QUERIES, 2)  # supports come first
        parts = [record.episode(task, k_shot) for task in z.split(1)]
        said = [record.answers(e.support, e.query.x, n_way, distance) for e in parts]
        right = torch.cat([accuracy(p.argmax(-1), e.query.y) for p, e in zip(said, parts)])
        images = self.pool.images[classes[0], picked[0]]
        near, same = self.nearest(who, classes[0], picked[0, :, QUERIES:], distance)
        return Table(
            *(who, k_shot, distance, within),
            support=images[:, QUERIES:].float().mean(1) / 255,
            near=near,
            same=same,
            query=images[:, 0].float() / 255,
            shares=said[0][0].exp().unflatten(0, (n_way, QUERIES)).mean(1),
            right=round(float(right[0]) * n_way * QUERIES),
            score=estimate(right),
        )

    def nearest(self, who: str, classes: Tensor, support: Tensor, distance: str):
        """The drawing nearest to each prototype (N, h, w), and whether its class is right (N,).

        classes: (N, 1); support: the drawings (N, K) that make the prototypes, not looked at again.
        """
        z = self.features[who][classes[:, 0]]
        prototypes = z.gather(1, support.unsqueeze(-1).expand(-1, -1, z.shape[-1])).mean(1)
        far = protonet.DISTANCES[distance](z.flatten(0, 1), prototypes).unflatten(0, z.shape[:2])
        far.scatter_(1, support.unsqueeze(-1).expand(-1, -1, len(classes)), torch.inf)
        best = far.flatten(0, 1).argmin(0)
        row, column = best // z.shape[1], best % z.shape[1]
        found = self.pool.images[classes[row, 0], column].float() / 255
        return found, row == torch.arange(len(classes))


def episode_lab(features: dict[str, Tensor], pool: Characters) -> Lab:
    """Tasks of unknown characters, by several features and distances.

    features: see `embeddings`; pool: the characters as they are drawn in the lab.
    """
    names = [*features]
    controls = {
        "n_way": slider("N  ways", 2, WAYS, 1, 5),
        "k_shot": slider("K  shots", 1, SHOTS, 1, 1),
        "who": named_stops("features", names, names[-1]),
        "distance": named_stops("distance", [*protonet.DISTANCES], "squared"),
        "within": named_stops("characters of", {"all alphabets": False, "one": True}, False),
        "number": slider("task", 1, 40, 1, 1),
    }
    data = Tables(features, pool)
    return Lab("Nearest prototype", data, episode_scene, controls, EPISODE_PRESETS, (7.8, 4.9))


def episode_scene(fig: Figure):
    """The table of the task on the left, the score on the right."""
    left, right = fig.subplots(1, 2, width_ratios=[4.2, 1])
    return pictures.panels([table_scene(left), score_scene(right)], table_words)


def table_scene(axes):
    """A column for each class, a row for each class's queries: how likely they find each other."""
    axes.axis("off")
    axes.set(xlim=(-5, 121), ylim=(101, -1), aspect="equal")
    move = table_images(axes)
    frames = LineCollection([], colors="#888888", linewidths=1, animated=True)
    wrong = LineCollection([], colors=COLOR["truth"], linewidths=2, animated=True)
    for lines in (frames, wrong):
        axes.add_collection(lines, autolim=False)
    bold = {"weight": "bold", "fontsize": 9, "va": "center"}
    names = {"support": INK["support"], "nearest other": "#5F5F5F"}
    labels = [axes.text(0, 0, n, color=c, animated=True, **bold) for n, c in names.items()]
    axes.text(-5, 60, "queries", color=INK["query"], rotation=90, **bold)

    def update(data: Table) -> None:
        n, off = len(data.query), torch.nonzero(~data.same)[:, 0].tolist()
        cell = 100 / (n + 2)
        move(data, cell)
        frames.set_segments([square(i + 1, i + 2, cell) for i in range(n)])
        wrong.set_segments([square(i + 1, 1, cell) for i in off])
        for row, label in enumerate(labels):
            label.set_position(((n + 1) * cell + 1, (row + 0.5) * cell))

    return update


def table_images(axes):
    """The drawings on top and on the left, and the probabilities between them in colour."""
    blank, moves = np.zeros((1, 1)), {"vmin": 0, "vmax": 1, "animated": True}
    top, left = (axes.imshow(blank, **moves) for _ in range(2))
    fade = LinearSegmentedColormap.from_list("fade", ["white", COLOR["after"]])
    heat = axes.imshow(blank, cmap=fade, interpolation="nearest", **moves)

    def update(data: Table, cell: float) -> None:
        end = (len(data.query) + 1) * cell
        top.set_data(tiles(torch.stack([data.support, data.near])))
        left.set_data(tiles(data.query[:, None]))
        heat.set_data(data.shares.numpy())
        top.set_extent((cell, end, 2 * cell, 0))
        left.set_extent((0, cell, end + cell, 2 * cell))
        heat.set_extent((cell, end, end + cell, 2 * cell))

    return update


def tiles(drawings: Tensor) -> np.ndarray:
    """Drawings (rows, columns, h, w) side by side, without gaps."""
    rows, columns, high, wide = drawings.shape
    return drawings.transpose(1, 2).reshape(rows * high, columns * wide).numpy()


def square(column: int, row: int, cell: float) -> list[tuple[float, float]]:
    """The outline of a cell of the table."""
    x, y = column * cell, row * cell
    return [(x, y), (x + cell, y), (x + cell, y + cell), (x, y + cell), (x, y)]


def score_scene(axes):
    """How many queries are right in this task, and the accuracy over tasks like it."""
    axes.set(ylim=(0, 100), xlim=(-0.5, 1.5), ylabel="right, in %")
    axes.set_xticks([0, 1], [f"{N_TASKS} tasks", "chance"])
    move = pictures.moving_interval(axes, COLOR["after"], upright=True)
    (chance,) = axes.plot([], [], "D", color=COLOR["chance"], ms=9, animated=True)
    style = {"ha": "center", "transform": axes.transAxes, "animated": True}
    here = axes.text(0.5, 1.02, "", weight="bold", **style)

    def update(data: Table) -> None:
        move(100 * data.score.low, 100 * data.score.mean, 100 * data.score.high, 0)
        chance.set_data([1], [100 / len(data.query)])
        here.set_text(f"here {data.right} of {QUERIES * len(data.query)}")

    return update


def table_words(data: Table) -> str:
    """The picture in words."""
    n, sure = len(data.query), 100 * float(data.shares.diagonal().mean())
    origin = "one alphabet" if data.within else "all alphabets"
    shots = f"{data.k_shot} drawing{'s' * (data.k_shot > 1)}"
    return (
        f"Features: {data.who}. {shots} of each of {n} characters of {origin}, {data.distance} "
        f"distance: {data.right} of {QUERIES * n} queries right, the right character has {sure:.0f}"
        f" % on average. The other drawing nearest to a prototype is of the same character for "
        f"{int(data.same.sum())} of {n}. Over {N_TASKS} such tasks: {data.score}, where chance is "
        f"{1 / n:.3f}."
    )


EPISODE_PRESETS = {
    "20 ways": Preset(
        {"n_way": 20},
        "Twenty characters, one drawing each: the diagonal stays the darkest line.",
        lambda d: len(d.query) == 20 and d.score.low > 0.3,
    ),
    "five shots": Preset(
        {"n_way": 20, "k_shot": 5},
        "Five drawings a character: prototypes are means now, and fewer queries go astray.",
        lambda d: d.k_shot == 5 and d.score.low > 0.5,
    ),
    "pixels": Preset(
        {"who": "pixels", "n_way": 20},
        "The same drawings as raw pixels: the probabilities are everywhere.",
        lambda d: d.who == "pixels" and d.shares.diagonal().mean() < 0.5,
    ),
    "never trained": Preset(
        {"who": "untrained", "n_way": 20},
        "A network as it was born: sure of nothing, and right far more often than by chance.",
        lambda d: d.who == "untrained" and d.score.low > 0.1 and d.shares.max() < 0.5,
    ),
    "one alphabet": Preset(
        {"n_way": 20, "within": True},
        "Twenty characters of the same alphabet, which are more alike.",
        lambda d: d.within and d.score.mean < 0.95,
    ),
    "cosine": Preset(
        {"distance": "cosine"},
        "Cosine distances lie between 0 and 2: many are right, and nobody is sure.",
        lambda d: d.distance == "cosine" and d.shares.max() < 0.6 and d.score.mean > 0.5,
    ),
}


# --- the recorded runs ----------------------------------------------------------------------------

CELLS = {  # how the runs are judged
    "5-way 1-shot": "5w1s",
    "5-way 5-shot": "5w5s",
    "20-way 1-shot": "20w1s",
    "20-way 5-shot": "20w5s",
    "20-way 1-shot, one alphabet": "alphabet",
}


class Variants(NamedTuple):
    """Recorded runs that differ in one thing: means, of the seeds too, and leads on the base."""

    question: str
    cell: str
    base: str
    scores: dict[str, Estimate]
    seeds: dict[str, list[float]]
    leads: dict[str, Estimate]


def right(recipe: record.Recipe, cell: str) -> Tensor:
    """Accuracies of a recipe's trainings, (seeds, tasks); within alphabets (seeds, alphabets)."""
    names = [f"{record.named(recipe)}/{seed}" for seed in record.SEEDS]
    found = torch.stack([record.recorded(name)[cell] for name in names])
    return by_alphabet(found) if cell == "alphabet" else found


def by_alphabet(found: Tensor) -> Tensor:
    """Means over the tasks of each alphabet: (…, tasks) to (…, alphabets)."""
    return found.unflatten(-1, (-1, record.ALPHABET_TASKS)).mean(-1)


@lru_cache(maxsize=64)
def variants(question: str, cell: str) -> Variants:
    """What the recorded runs say of a question of `protonet_runs.VARIANTS`, in one of CELLS."""
    recipes = record.VARIANTS[question]
    found = {name: right(recipe, CELLS[cell]) for name, recipe in recipes.items()}
    base = next(name for name, recipe in recipes.items() if recipe == record.BASE)
    return Variants(
        *(question, cell, base),
        scores={name: estimate(a.mean(0)) for name, a in found.items()},
        seeds={name: a.mean(1).tolist() for name, a in found.items()},
        leads={n: paired_difference(a.mean(0), found[base].mean(0)) for n, a in found.items()},
    )


def variants_lab() -> Lab:
    """What the training asked for, and what came of it."""
    controls = {
        "question": named_stops("trained with", [*record.VARIANTS], "training way N"),
        "cell": named_stops("judged on", [*CELLS], "20-way 1-shot"),
    }
    size = (8.8, 3.2)
    return Lab("What matters", variants, variants_scene, controls, VARIANTS_PRESETS, size)


ROWS = max(map(len, record.VARIANTS.values()))
HALVES = (4, 8, 16, 40, 120)  # points, of the scale of leads


def variants_scene(fig: Figure):
    """A row for each recipe: its accuracy on the left, its lead on the base recipe on the right."""
    fig.set_layout_engine("none")  # room for names of any length
    left, right = fig.add_axes((0.16, 0.17, 0.44, 0.81)), fig.add_axes((0.65, 0.17, 0.34, 0.81))
    left.set(xlim=(30, 100), xlabel="right, in %")
    right.set(xlabel="points ahead of the base recipe")
    right.plot([0, 0], [-1, ROWS], color=COLOR["before"], lw=1)
    for axes in (left, right):
        axes.set(ylim=(ROWS - 0.5, -0.8), yticks=[])
    style = {"ha": "right", "va": "center", "transform": left.get_yaxis_transform()}
    names = [left.text(-0.02, i, "", animated=True, **style) for i in range(ROWS)]
    move_means = pictures.interval_rows(left, COLOR["after"], ROWS)
    move_leads = pictures.interval_rows(right, COLOR["support"], ROWS)
    (seeds,) = left.plot([], [], "|", color=COLOR["truth"], ms=11, animated=True)

    def update(data: Variants) -> str:
        reach = 110 * max(max(-e.low, e.high) for e in data.leads.values())
        right.set_xlim([side * min(h for h in HALVES if h > reach) for side in (-1, 1)])
        move_means([*data.scores.values()])
        move_leads([e if n != data.base else None for n, e in data.leads.items()])
        for name, text in zip([*data.scores, *[""] * ROWS], names):
            text.set(text=name, weight="bold" if name == data.base else "normal")
        low = left.get_xlim()[0]
        places = [(max(100 * m, low), i) for i, ms in enumerate(data.seeds.values()) for m in ms]
        seeds.set_data(*zip(*places))
        return variants_words(data)

    return update


def variants_words(data: Variants) -> str:
    """The picture in words."""
    rows = "; ".join(
        f"{name} {e} (trainings {', '.join(f'{m:.3f}' for m in data.seeds[name])})"
        for name, e in data.scores.items()
    )
    leads = "; ".join(f"{n} {e}" for n, e in data.leads.items() if n != data.base)
    return f"Right, {data.cell}, by {data.question}: {rows}. Ahead of {data.base}: {leads}."


VARIANTS_PRESETS = {
    "distances": Preset(
        {"question": "distance"},
        "Plain cosine is over twenty points behind; divided by 0.1 it is within five.",
        lambda d: (
            d.question == "distance"
            and d.leads["cosine"].high < -0.2
            and d.leads["cosine / 0.1"].low > -0.05
        ),
    ),
    "queries": Preset(
        {"question": "queries a class"},
        "Fewer queries make smaller episodes, and more of them: that is worth some points.",
        lambda d: d.question == "queries a class" and d.leads["5"].high < 0 < d.leads["1"].low,
    ),
    "width": Preset(
        {"question": "filters"},
        "More filters are better in every training. They also take longer: no row counts seconds.",
        lambda d: (
            d.question == "filters"
            and max(d.seeds["16"]) < min(d.seeds["32"])
            and max(d.seeds["32"]) < min(d.seeds["64"])
        ),
    ),
    "one alphabet": Preset(
        {"cell": "20-way 1-shot, one alphabet"},
        "Characters of one alphabet: ten points lower or more, and an interval over 20 alphabets.",
        lambda d: (
            "alphabet" in d.cell
            and max(e.high for e in d.scores.values()) < 0.8
            and d.scores[d.base].n == 20
        ),
    ),
}


# --- figures of the chapter -----------------------------------------------------------------------


def reveal(rows: dict[str, Estimate], guess: float | None) -> tuple[Figure, str]:
    """Accuracies without training and the reader's guess (in %); and in words."""
    fig = pictures.figure(8, 0.8 + 0.5 * len(rows))
    axes = fig.subplots()
    for i, (e, key) in enumerate(zip(rows.values(), ("pixels", "before", "after"))):
        pictures.interval(axes, e, i, COLOR[key])
        axes.text(100 * e.mean + 3, i, e.percent(), va="center")
    words = f"Right, 5-way 1-shot: {', '.join(f'{n} {e}' for n, e in rows.items())}."
    axes.axvline(20, color=COLOR["chance"], ls=":", label="chance")
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=2, label=f"your guess: {guess:.0f}")
        words += f" Your guess was {guess:.0f} %."
    axes.legend(loc="upper right", fontsize=9)
    axes.set_yticks(range(len(rows)), [*rows])
    axes.set(xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5), xlabel="right, in %")
    return fig, words


def table_text(rows: dict[str, dict[str, Estimate]]) -> str:
    """Accuracies in %, a column for each of the paper's four settings, as plain lines."""
    names = [f"{n}w{k}s" for n, k in record.CELLS]
    lines = [" " * 26 + "".join(f"{name:>12}" for name in names)]
    for who, found in rows.items():
        lines.append(f"{who:26}" + "".join(f"{found[n].percent():>12}" for n in names))
    return "\n".join(lines)


def curve_figure(runs: dict[str, Tensor], marks: dict[str, float]) -> tuple[Figure, str]:
    """Accuracy against drawings embedded, {name: a recorded "curve"}, and levels; and in words."""
    fig, words = pictures.figure(8, 2.8), []
    axes = fig.subplots()
    for (name, curve), key in zip(runs.items(), ("support", "after")):
        x, _, mean, half = curve.T
        style = {"color": COLOR[key], "marker": "o", "ms": 4, "label": name}
        axes.errorbar(x / 1000, 100 * mean, 100 * half, **style)
        words.append(f"{name}: {100 * mean[-1]:.1f} % after {x[-1] / 1000:.0f} thousand drawings")
    for (name, level), style in zip(marks.items(), (":", "--")):
        axes.axhline(level, color=COLOR["truth"], ls=style, lw=1, label=f"{name}: {level:g}")
        words.append(f"{name} {level:g} %")
    axes.set(xlabel="drawings embedded, in thousands", ylabel="right, in %", ylim=(None, 100))
    axes.legend(loc="lower right", fontsize=9)
    return fig, f"Accuracy on new characters, 5-way 1-shot, over the training. {'; '.join(words)}."


def errors_figure(published: dict[str, float], ours: dict[str, Estimate]) -> tuple[Figure, str]:
    """Errors in %, published numbers and ours with intervals; and in words."""
    fig = pictures.figure(8, 0.9 + 0.36 * (len(published) + len(ours)))
    axes, words = fig.subplots(), []
    for i, (name, value) in enumerate(published.items()):
        axes.plot([value], [i], "D", color=COLOR["truth"], ms=8)
        axes.text(value + 1.5, i, f"{value:g}", va="center")
        words.append(f"{name} {value:g} % (published)")
    for i, (name, e) in enumerate(ours.items(), len(published)):
        pictures.interval(axes, e, i, COLOR["after"])
        axes.text(100 * e.high + 1.5, i, e.percent(), va="center")
        words.append(f"{name} {e.percent()} %")
    names = [*published, *ours]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="wrong, in % (chance: 95)")
    return fig, f"Errors: {'; '.join(words)}."


# --- one alphabet ---------------------------------------------------------------------------------


def left_out(features: Tensor) -> Tensor:
    """Squared distances of every drawing to all class means, its own made without it.

    features: (n, drawings, d) of n characters -> (n, drawings, n).
    """
    n, drawings, _ = features.shape
    means = features.mean(1)
    found = protonet.squared(features.flatten(0, 1), means).unflatten(0, (n, drawings))
    own = torch.arange(n)
    found[own, :, own] *= (drawings / (drawings - 1)) ** 2  # z − c without z is that much longer
    return found


def mistaken(far: Tensor) -> Tensor:
    """How often a drawing of one character is nearer to another: (n, drawings, n) -> counts (n, n).

    The diagonal counts what is right.
    """
    said = far.argmin(-1)
    return torch.nn.functional.one_hot(said, far.shape[-1]).sum(1)


def worst_pairs(counts: Tensor, most: int = 4) -> list[tuple[int, int, int]]:
    """Pairs of characters that are taken for one another, (one, other, how often), worst first."""
    both = (counts + counts.mT).triu(1)
    found = both.flatten().topk(most)
    n = len(counts)
    return [(int(i) // n, int(i) % n, int(v)) for v, i in zip(*found)]


def pairs_figure(images: Tensor, pairs: list, shown: int = 5) -> tuple[Figure, str]:
    """Drawings of characters that are taken for one another, (n, drawings, h, w); and in words."""
    fig, words = pictures.figure(8.8, 1.25), []
    fig.get_layout_engine().set(wspace=0.12)
    for axes, (one, other, times) in zip(fig.subplots(1, len(pairs)), pairs):
        page = pictures.sheet(images[[one, other], :shown].numpy(), gap=3)
        axes.imshow(page, interpolation="nearest")
        asked = 2 * images.shape[1]
        axes.set_title(f"{one} and {other}: {times} of {asked}", fontsize=10)
        axes.axis("off")
        words.append(f"{one} and {other} in {times} of {asked} drawings")
    return fig, f"The characters most often taken for one another: {'; '.join(words)}."


def map_figure(features: Tensor, images: Tensor, pair: tuple[int, int]) -> tuple[Figure, str]:
    """An alphabet's features (n, drawings, d) on their two main axes, two characters in colour.

    Each prototype is drawn as the drawing (n, drawings, h, w) nearest to it. And in words.
    """
    flat = (features - features.mean((0, 1))).flatten(0, 1)
    _, sizes, axes_of = torch.linalg.svd(flat, full_matrices=False)
    places = (flat @ axes_of[:2].mT).unflatten(0, features.shape[:2])
    kept = float(sizes[:2].square().sum() / sizes.square().sum())
    fig = pictures.figure(8, 4.6)
    axes = fig.subplots()
    looks = dict(zip(pair, (("support", "o"), ("query", "s"))))
    for i, own in enumerate(places):
        key, marker = looks.get(i, ("before", "o"))
        faint = {"zorder": 4} if i in looks else {"alpha": 0.35}
        axes.plot(*own.T, marker, color=COLOR[key], ms=6 if i in looks else 3, **faint)
    means = features.mean(1, keepdim=True)
    best = (features - means).square().sum(-1).argmin(1)
    for own, drawing in zip(places.mean(1), images[torch.arange(len(images)), best]):
        box = OffsetImage(255 - drawing.numpy(), zoom=1.0, cmap="gray", alpha=0.9)
        axes.add_artist(AnnotationBbox(box, own.tolist(), pad=0.05, bboxprops={"lw": 0.4}))
    axes.set(xlabel="first main axis", ylabel="second")
    words = f"{len(features)} characters on two main axes, which keep {kept:.0%} of the variance."
    return fig, f"{words} In colour: characters {pair[0]} and {pair[1]}."


def neighbours(features: Tensor, k_shot: int = 5) -> Tensor:
    """The drawings nearest to each character's prototype, which is made from its first K drawings.

    features: (classes, drawings, d). Returns as many places in the flattened pool as a character
    has drawings left, nearest first: int64 (classes, drawings − K). The K are not looked at.
    """
    n, drawings, _ = features.shape
    far = torch.cdist(features[:, :k_shot].mean(1), features.flatten(0, 1))
    far = far.unflatten(1, (n, drawings))
    far[torch.arange(n), torch.arange(n), :k_shot] = torch.inf
    return far.flatten(1).topk(drawings - k_shot, largest=False).indices


def neighbours_figure(
    images: Tensor, found: Tensor, characters: list[int], k_shot: int = 5, most: int = 12
) -> tuple[Figure, str]:
    """Some characters' first K drawings and, beside them, the `most` nearest to their mean.

    images: (classes, drawings, h, w); found: see `neighbours`. And in words.
    """
    fig, words = pictures.figure(8.8, 0.3 + 0.52 * len(characters)), []
    left, right = fig.subplots(1, 2, width_ratios=[k_shot, most])
    left.imshow(pictures.sheet(images[characters, :k_shot].numpy(), gap=2))
    row, column = found[characters, :most] // images.shape[1], found[characters, :most]
    right.imshow(pictures.sheet(images[row, column % images.shape[1]].numpy(), gap=2))
    size = images.shape[-1] + 2
    for i, (character, classes) in enumerate(zip(characters, row.tolist())):
        others = [j for j, c in enumerate(classes) if c != character]
        frames = [square(j, i, size) for j in others]
        right.add_collection(LineCollection(frames, colors=COLOR["after"], linewidths=2))
        words.append(f"character {character}: {most - len(others)} of {most}")
    for axes, key, title in (
        (left, "support", "support"),
        (right, "before", "nearest to it"),
    ):
        axes.set_title(title, color=INK[key], fontsize=10, loc="left")
        axes.axis("off")
    return fig, f"Of the drawings nearest to a prototype its own are: {'; '.join(words)}."
