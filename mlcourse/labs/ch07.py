"""The labs and pictures of chapter 07: a plane of prototypes, and what a shot buys."""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..evaluation import Estimate, estimate, wilson
from ..learners import protonet
from ..pictures import ABOVE, COLOR, Backdrop, figure, panels
from .engine import Lab, Preset, named_stops, slider, stops

# ---------------------------------------------------------------- the plane

WIDE, HIGH = (-4.0, 4.0), (-3.0, 3.0)  # of the plane
COLUMNS, ROWS = 161, 121  # of its grid
CENTRES = torch.tensor([[-1.7, -0.9], [1.8, -0.7], [0.3, 1.5]]).double()
QUERY = torch.tensor([[0.7, -0.1]]).double()
CLASSES = {"circle": ("o", "support"), "square": ("s", "after"), "triangle": ("^", "pixels")}
MOST_SHOTS = 10
SQUARED_AND_NOT = protonet.squared, protonet.unsquared
DISTANCES = {**protonet.DISTANCES, "squared": lambda z, c: protonet.unsquared(z, c).square()}


class Plane(NamedTuple):
    """Three classes of support points, their prototypes, and what every place is called."""

    support: Tensor  # (3, k_shot, 2)
    prototypes: Tensor  # (3, 2)
    likely: Tensor  # (rows, columns, 3): probabilities of the classes, rows from below
    linear: Tensor  # (rows, columns): the largest w·z + b
    query: Tensor  # (3,): probabilities at QUERY
    distance: str
    temperature: float

    @property
    def otherwise(self) -> float:
        """The part of the grid that the linear classifier of the prototypes names otherwise."""
        return float((self.likely.argmax(-1) != self.linear).double().mean())


@functools.cache
def places() -> Tensor:
    """The grid of the plane, float64 (rows · columns, 2)."""
    lines = (
        torch.linspace(*span, n, dtype=torch.float64) for span, n in ((WIDE, COLUMNS), (HIGH, ROWS))
    )
    return torch.stack(torch.meshgrid(*lines, indexing="xy"), -1).view(-1, 2)


@functools.cache
def noise() -> Tensor:
    """Standard normal noise of all support points, (3, 10, 2)."""
    draw = {"generator": torch.Generator().manual_seed(4), "dtype": torch.float64}
    return torch.randn(3, MOST_SHOTS, 2, **draw)


def plane(
    spread: float, k_shot: int, x: float, y: float, distance: str, temperature: float
) -> Plane:
    """Prototypes and probabilities when the first triangle stands at (x, y)."""
    support = CENTRES[:, None] + spread * noise()[:, :k_shot]
    support[2, 0] = torch.tensor([x, y])
    c = support.mean(1)
    how = {"distance": DISTANCES[distance], "temperature": temperature}
    named = [protonet.log_probabilities(z, c, **how).exp() for z in (places(), QUERY)]
    w, b = protonet.linear_classifier(c)
    linear = (places() @ w.mT + b).argmax(-1)
    return Plane(
        support=support,
        prototypes=c,
        likely=named[0].view(ROWS, COLUMNS, 3),
        linear=linear.view(ROWS, COLUMNS),
        query=named[1][0],
        distance=distance,
        temperature=temperature,
    )


def plane_scene(fig):
    """The plane, shaded by the probability of its class, and the probabilities at the query."""
    left, right = fig.subplots(1, 2, width_ratios=[2.1, 1])
    parts = regions(left), lines(left), points(left), bars(right)
    return panels(parts, plane_words)


class Regions(Backdrop):
    """The plane in the colours of its likeliest classes."""

    fades = np.linspace(0.2, 0.63, 13)  # of those that the course's palette has

    def __init__(self, axes):
        super().__init__(axes)
        words = [COLOR[colour] for _, colour in CLASSES.values()]
        inks = np.array([[int(word[i : i + 2], 16) for i in (1, 3, 5)] for word in words])
        self.shades = np.full((len(CLASSES), len(self.fades), 4), 255, np.uint8)
        self.shades[..., :3] = (255 - self.fades[:, None] * (255 - inks)[:, None]).round()
        self.shades = self.shades.reshape(-1, 4).view(np.uint32)[:, 0]
        self.index = np.zeros((ROWS, COLUMNS), np.uint8)

    def paint(self, wide: int, high: int) -> np.ndarray:
        """Every cell of the grid as a small rectangle, uint8 (high, wide, 4)."""
        rows, columns = np.arange(high) * ROWS // high, np.arange(wide) * COLUMNS // wide
        picture = self.shades[self.index[rows].take(columns, 1)]
        return picture.view(np.uint8).reshape(high, wide, 4)


def regions(axes):
    """Every place in the colour of its likeliest class, paler where it is less likely."""
    picture = Regions(axes)
    axes.set(xlim=WIDE, ylim=HIGH, xlabel="feature 1", ylabel="feature 2")

    def update(data: Plane) -> None:
        most, which = data.likely.max(-1)
        level = ((most - 1 / 3) * 1.5 * len(picture.fades)).long().clamp(0, len(picture.fades) - 1)
        picture.index = (which * len(picture.fades) + level).numpy().astype(np.uint8)

    return update


def lines(axes):
    """Where two classes are equally likely for the linear classifier, each line as a whole."""
    style = {"color": COLOR["truth"], "lw": 1.2, "ls": "--", "animated": True, "zorder": 1}
    three = [axes.plot([], [], **style)[0] for _ in range(3)]
    three[0].set_label("w·z + b equal")
    axes.legend(**ABOVE)

    def update(data: Plane) -> None:
        w, b = protonet.linear_classifier(data.prototypes)
        for line, (i, j) in zip(three, ((0, 1), (0, 2), (1, 2))):
            line.set_data(*edge(w[i] - w[j], float(b[i] - b[j])))

    return update


def edge(w: Tensor, b: float) -> tuple[list[float], list[float]]:
    """Two far points of the line w·z + b = 0, as x and y; none where w is zero."""
    if float(w.norm()) < 1e-9:
        return [], []
    foot, along = -b * w / (w @ w), torch.stack([-w[1], w[0]]) / w.norm()
    x, y = torch.stack([foot - 20 * along, foot + 20 * along]).mT.tolist()
    return x, y


def points(axes):
    """Support points, prototypes and the query; a ring is around the point that moves."""
    moves, small, large = {"animated": True, "ls": "", "mec": "white"}, [], []
    for mark, colour in CLASSES.values():
        style = {"color": COLOR[colour], "marker": mark, **moves}
        small.append(axes.plot([], [], ms=6, mew=0.8, zorder=2, **style)[0])
        style = {**style, "mec": "black", "ms": 13, "mew": 2}
        large.append(axes.plot([], [], zorder=3, **style)[0])
    style = {"mfc": "none", "mec": "black", "ms": 14, "clip_on": False}
    ring = axes.plot([], [], "o", **style, animated=True, zorder=4)[0]
    style = {**moves, "color": COLOR["query"], "mec": "black", "ms": 10}
    axes.plot(*QUERY.mT.tolist(), "D", **style, zorder=4)

    def update(data: Plane) -> None:
        for some, one, group, c in zip(small, large, data.support, data.prototypes):
            some.set_data(*group.mT)
            one.set_data(*c[:, None])
        ring.set_data(*data.support[2, 0, :, None])

    return update


def bars(axes):
    """Probabilities at the query; with squared distance also w and b of each class."""
    moves, rows = {"animated": True}, []
    for i, (mark, colour) in enumerate(CLASSES.values()):
        axes.plot([-0.12], [2 - i], mark, color=COLOR[colour], ms=11, mec="black", clip_on=False)
        bar = axes.barh([2 - i], [1], height=0.42, color=COLOR[colour])[0]
        bar.set_animated(True)
        size = {"va": "center", "fontsize": 10}
        number = axes.text(0, 2 - i, "", **size, **moves)
        vector = axes.text(0, 2 - i - 0.36, "", va="center", fontsize=8.5, **moves)
        rows.append((bar, number, vector))
    axes.set(xlim=(0, 1.2), ylim=(-0.6, 2.5), yticks=[], xticks=[0, 0.5, 1])
    axes.set_xlabel("p(class) at the query ◆")

    def update(data: Plane) -> None:
        w, b = protonet.linear_classifier(data.prototypes)
        for (bar, number, vector), p, wk, bk in zip(rows, data.query.tolist(), w, b.tolist()):
            bar.set_width(p)
            number.set(text=f" {p:.2f}", x=p)
            said = f"w = ({wk[0]:.1f}, {wk[1]:.1f}),  b = {bk:.1f}".replace("-", "−")
            vector.set_text(said if data.distance == "squared" else "")

    return update


def plane_words(data: Plane) -> str:
    """The picture in words."""
    where = ", ".join(f"({x:.1f}, {y:.1f})" for x, y in data.prototypes.tolist())
    shares = ", ".join(f"{name} {p:.2f}" for name, p in zip(CLASSES, data.query.tolist()))
    x, y = data.support[2, 0].tolist()
    return (
        f"Three classes on a plane, K = {data.support.shape[1]}, {data.distance} distance, "
        f"T = {data.temperature:g}. Prototypes of {', '.join(CLASSES)} at {where}; the ringed "
        f"triangle at ({x:.1f}, {y:.1f}). Probabilities at the query: {shares}. "
        f"The linear classifier of these prototypes names {100 * data.otherwise:.0f} % of the "
        "plane otherwise."
    )


def plane_lab() -> Lab:
    """Support points, prototypes, regions: move a point, change the distance."""
    controls = {
        "spread": slider("σ  spread of points", 0.0, 1.5, 0.05, 0.6),
        "k_shot": slider("K  shots", 1, MOST_SHOTS, 1, 5),
        "x": slider("x  ringed triangle", -4.0, 4.0, 0.1, 0.7),
        "y": slider("y  ringed triangle", -3.0, 3.0, 0.1, 2.3),
        "distance": named_stops("distance", [*protonet.DISTANCES], "squared"),
        "temperature": stops("T  temperature", [0.1, 0.2, 0.5, 1, 2, 5, 10, 20], 1),
    }
    return Lab("Plane", plane, plane_scene, controls, PLANE_PRESETS, (8.8, 4.0))


def same_regions(data: Plane) -> bool:
    """Whether the linear classifier names every place of the grid as the regions do."""
    return data.otherwise == 0


PLANE_PRESETS = {
    "paper": Preset(
        {},
        "Squared distance: the regions end where two of the w·z + b are equal, on straight lines.",
        lambda d: d.distance == "squared" and same_regions(d) and d.temperature == 1,
    ),
    "one shot": Preset(
        {"k_shot": 1},
        "One point a class is its own prototype.",
        lambda d: torch.equal(d.support[:, 0], d.prototypes),
    ),
    "far outlier": Preset(
        {"x": 3.9, "y": -2.9},
        "One far triangle drags its prototype, and the query is now a triangle's.",
        lambda d: d.query.argmax() == 2 and d.query.max() > 0.5 and float(d.support[2, 0, 1]) < -2,
    ),
    "unsquared": Preset(
        {"distance": "unsquared"},
        "The same regions, but paler: far away no class gets sure.",
        lambda d: d.distance == "unsquared" and same_regions(d) and d.likely.max() < 0.99,
    ),
    "city block": Preset(
        {"distance": "city block"},
        "Regions with corners: some places get another name than with squared distance.",
        lambda d: d.distance == "city block" and 0.01 < d.otherwise < 0.1,
    ),
    "cosine": Preset(
        {"distance": "cosine"},
        "Only the direction from the origin counts, and at T = 1 no place is surer than 0.8.",
        lambda d: d.distance == "cosine" and d.otherwise > 0.01 and d.likely.max() < 0.8,
    ),
    "cold": Preset(
        {"temperature": 0.1},
        "T = 0.1: the same regions, and nearly every place is sure.",
        lambda d: same_regions(d) and (d.likely.max(-1).values > 0.95).double().mean() > 0.9,
    ),
    "hot": Preset(
        {"temperature": 20},
        "T = 20: the same regions, and at the query hardly a difference.",
        lambda d: same_regions(d) and float(d.query.max() - d.query.min()) < 0.2,
    ),
}

# ---------------------------------------------------------------- what a shot buys

NODES, RADII = 96, 160  # of the quadrature along the gap and across it
TASKS = 1000  # of the simulation
FEATURES = [2, 8, 32, 64, 128]


@functools.cache
def radius(d: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights for the length of d − 1 standard normal numbers, d at least 2."""
    r = torch.linspace(0, math.sqrt(d) + 7, RADII, dtype=torch.float64)
    logs = torch.where(r > 0, (d - 2) * r.clamp(min=1e-12).log(), 0.0 if d == 2 else -math.inf)
    weights = (logs - r**2 / 2).softmax(0)
    weights[0] /= 2
    return r, weights / weights.sum()


def error(d: int, gap: float, own, other, corrected: bool = False) -> Tensor:
    """How often a query of a class with `own` shots is given to one with `other`, exactly.

    Both are isotropic normal clouds in d ≥ 2 dimensions, σ = 1, with centres `gap` apart. Given
    u = c₁ − c₂, the side on which the query falls is normal; the mean over u is a quadrature.
    own, other: numbers or (n,). corrected: whether d/K is subtracted from each squared distance.
    Returns float64 () or (n,).
    """
    own, other = (torch.as_tensor(k).double()[..., None, None] for k in (own, other))
    x = torch.linspace(-7, 7, NODES, dtype=torch.float64)
    r, weights = radius(d)
    total, tilt = 1 / own + 1 / other, (1 / own - 1 / other) / 2
    u = gap + total.sqrt() * x[:, None]
    square = (u**2 + total * r**2).clamp(min=1e-300)
    mean = u * gap / 2 - tilt / total * (square - u * gap) + d * tilt * corrected
    spread = (square * (1 + 1 / (own + other))).sqrt()
    return torch.special.ndtr(-mean / spread) @ weights @ (-(x**2) / 2).softmax(0)


@functools.lru_cache(maxsize=8)
def simulated(d: int) -> tuple[Tensor, ...]:
    """Products of standard normal noise that all simulated distances in d dimensions are made of.

    For TASKS tasks: the prototypes' squared lengths (tasks, 2), their products with the queries'
    (tasks, 2, 2), and the first coordinate of both (tasks, 2).
    """
    draw = {"generator": torch.Generator().manual_seed(d), "dtype": torch.float64}
    queries, means = torch.randn(2, TASKS, 2, d, **draw)
    products = torch.stack([(queries * m[:, None]).sum(-1) for m in means.unbind(1)], -1)
    return means.square().sum(-1), products, queries[..., 0], means[..., 0]


def mistakes(d: int, gap: float, own, other, corrected: bool = False) -> Tensor:
    """Whether a query of each of two classes was misnamed in each simulated task: (…, tasks, 2).

    own, other: numbers or (n,). The squared distance to a prototype, but for what is the same for
    both prototypes.
    """
    lengths, products, queries, means = simulated(d)
    own, other = (torch.as_tensor(k).double()[..., None] for k in (own, other))
    shots = torch.stack([own, other], -1)
    apart = torch.tensor([[0.0, -gap], [gap, 0.0]]).double()
    noise = ((lengths - corrected * d) / shots)[..., None, :]
    cross = (2 * products + 2 * apart * means[:, None]) / shots.sqrt()[..., None, :]
    squares = noise - cross + apart**2 + 2 * apart * queries[..., None]
    return squares.argmin(-1) != torch.arange(2)


KS = (1, 2, 5, 10, 20, 50, 100)
CURVE = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)


class Shots(NamedTuple):
    """Errors of two classes, by theory and simulated."""

    curve: list[float]  # exact, over CURVE, both classes with K shots
    measured: list[Estimate]  # the same simulated, over KS
    exact: tuple[float, float]  # of a class with K₁ and of one with K₂ shots
    counted: tuple[int, int]  # mistakes in TASKS
    bayes: float
    d: int
    gap: float
    shots: tuple[int, int]
    corrected: bool


@functools.lru_cache(maxsize=64)
def equal_shots(d: int, gap: float) -> tuple[list[float], list[Estimate]]:
    """The exact error over CURVE and the simulated one over KS."""
    k, points = torch.tensor(CURVE), torch.tensor(KS)
    wrong = mistakes(d, gap, points, points).double().mean(-1)
    return error(d, gap, k, k).tolist(), [estimate(row) for row in wrong]


def shots(d: int, gap: float, one: int, other: int, corrected: bool) -> Shots:
    """Errors over K, and of two classes with K₁ and K₂ shots."""
    curve, measured = equal_shots(d, gap)
    pair = torch.tensor([[one, other], [other, one]])
    return Shots(
        curve=curve,
        measured=measured,
        exact=tuple(error(d, gap, *pair, corrected).tolist()),
        counted=tuple(mistakes(d, gap, one, other, corrected).sum(0).tolist()),
        bayes=bayes(gap),
        d=d,
        gap=gap,
        shots=(one, other),
        corrected=corrected,
    )


def bayes(gap: float) -> float:
    """The error of who knows the centres, Φ(−Δ/2σ)."""
    return math.erfc(gap / math.sqrt(8)) / 2


def shots_scene(fig):
    """Error against K; and what a query's squared distances are made of."""
    left, right = fig.subplots(1, 2, width_ratios=[1.15, 1])
    parts = curve_scene(left), stack_scene(right)
    return panels(parts, shots_words)


PAIR = (("support", "o", 14, "class 1"), ("after", "s", 8, "class 2"))


def curve_scene(axes):
    """Theory, simulation and the best possible; and both classes at their K."""
    moves = {"animated": True}
    best = axes.plot([1, 100], [0, 0], ":", color=COLOR["truth"], lw=1.5, label="best", **moves)[0]
    line = axes.plot(CURVE, CURVE, color=COLOR["before"], label="theory, equal K", **moves)[0]
    style = {"color": COLOR["truth"], **moves}
    dots = axes.plot(KS, KS, "o", ms=4, label="simulated", **style)[0]
    bars = [axes.plot([k, k], [0, 0], lw=1.5, **style)[0] for k in KS]
    pair = [
        axes.plot([], [], mark, color=COLOR[c], ms=size, mec="black", label=name, **moves)[0]
        for c, mark, size, name in PAIR
    ]
    axes.set(xscale="log", xlim=(0.85, 115), ylim=(-0.03, 1.04), xlabel="K  shots", ylabel="error")
    axes.set_xticks(KS, KS)
    axes.minorticks_off()
    axes.legend(**ABOVE, columnspacing=0.8, ncols=3, handlelength=1.3)

    def update(data: Shots) -> None:
        best.set_ydata([data.bayes, data.bayes])
        line.set_ydata(data.curve)
        dots.set_ydata([found.mean for found in data.measured])
        for bar, found in zip(bars, data.measured):
            bar.set_ydata([found.low, found.high])
        for mark, k, wrong in zip(pair, data.shots, data.exact):
            mark.set_data([k], [wrong])

    return update


PARTS = {"query noise": "chance", "prototype noise d/K": "query", "gap²": "before"}


def stack_scene(axes):
    """The four mean squared distances, each in its parts; the correction takes one part away."""
    rows = [(i, j) for i in (0, 1) for j in (0, 1)]
    stacks = []
    for name, colour in PARTS.items():
        stack = axes.barh([3 - n for n in range(4)], [1] * 4, 0.55, color=COLOR[colour], label=name)
        for bar in stack:
            bar.set_animated(True)
        stacks.append(stack)
    axes.set_yticks([3, 2, 1, 0], [f"{i + 1} to c{'₁₂'[j]}" for i, j in rows])
    axes.set(xlim=(0, 1.02), ylim=(-0.5, 3.5), xticks=[], ylabel="query of class")
    axes.set_xlabel("mean squared distance, longest = 1")
    axes.legend(**ABOVE, columnspacing=0.8, ncols=3, handlelength=1.0)

    def update(data: Shots) -> None:
        lengths = [parts(data, i, j) for i, j in rows]
        longest = max(map(sum, lengths))
        for n, row in enumerate(lengths):
            left = 0.0
            for stack, part in zip(stacks, row):
                stack[n].set(x=left, width=part / longest)
                left += part / longest

    return update


def parts(data: Shots, i: int, j: int) -> tuple[float, float, float]:
    """Query noise, prototype noise and gap in E‖z − c‖² of a query of class i to prototype j."""
    return data.d, 0.0 if data.corrected else data.d / data.shots[j], data.gap**2 * (i != j)


def shots_words(data: Shots) -> str:
    """The picture in words."""
    pairs = zip(data.shots, data.exact, data.counted)
    said = "; ".join(
        f"class {i} with K = {k}: {100 * exact:.1f} % wrong by theory, {count} of {TASKS} simulated"
        for i, (k, exact, count) in enumerate(pairs, 1)
    )
    return (
        f"d = {data.d}, Δ = {data.gap:g} σ, {'' if data.corrected else 'not '}corrected. {said}. "
        f"With equal shots the error falls from {100 * data.curve[0]:.1f} % at K = 1 to "
        f"{100 * data.curve[-1]:.1f} % at K = 100; the best possible is {100 * data.bayes:.1f} %."
    )


def shots_lab() -> Lab:
    """Two clouds: how the error falls with K, and what happens when K is not the same."""
    for d in FEATURES:
        simulated(d)  # now, so that the slider need not wait for it
    controls = {
        "d": stops("d  features", FEATURES, 64),
        "gap": slider("Δ/σ  gap", 1.0, 6.0, 0.5, 3.0, ".1f"),
        "one": slider("K₁  shots of class 1", 1, 20, 1, 5),
        "other": slider("K₂  shots of class 2", 1, 20, 1, 5),
        "corrected": named_stops("correction", {"off": False, "on": True}, False),
    }
    return Lab("Shots", shots, shots_scene, controls, SHOTS_PRESETS, (8.8, 3.7))


SHOTS_PRESETS = {
    "two features": Preset(
        {"d": 2},
        "Two features, five shots: 8.1 % wrong, and the best possible is 6.7 %.",
        lambda d: d.d == 2 and near(d, 8.1, 8.1) and abs(d.bayes - 0.067) < 5e-4,
    ),
    "64 features": Preset(
        {"d": 64},
        "The same gap in 64 features: 23.5 % wrong with five shots.",
        lambda d: d.d == 64 and near(d, 23.5, 23.5),
    ),
    "one shot": Preset(
        {"one": 1, "other": 1},
        "One shot each: 37.8 % wrong.",
        lambda d: near(d, 37.8, 37.8),
    ),
    "unequal": Preset(
        {"gap": 4.0, "one": 1, "other": 20},
        "One shot against twenty: 98.6 % of class 1 are misnamed, and under 0.1 % of class 2.",
        lambda d: near(d, 98.6, 0.0),
    ),
    "corrected": Preset(
        {"gap": 4.0, "one": 1, "other": 20, "corrected": True},
        "Subtract d/K from each squared distance: 22.3 % and 24.9 %.",
        lambda d: near(d, 22.3, 24.9),
    ),
}


def near(data: Shots, *percents: float) -> bool:
    """Whether the exact errors, in per cent, are these to one decimal, and simulation agrees."""
    pairs = zip(data.exact, data.counted, percents)
    return all(abs(100 * exact - p) < 0.051 and inside(count, exact) for exact, count, p in pairs)


def inside(count: int, exact: float) -> bool:
    """Whether a simulated count is within twice its 95 % interval of the exact error."""
    low, high = wilson(count, TASKS)
    return 1.5 * low - 0.5 * high <= exact <= 1.5 * high - 0.5 * low


# ---------------------------------------------------------------- pictures


def reveal(own: Tensor, foreign: Tensor, guess: float | None) -> tuple[Figure, str]:
    """Squared distances of one-shot queries to their own prototype and to the other, with words.

    own, foreign: (queries,).
    """
    fig = figure(8, 2.8)
    axes = fig.subplots()
    wrong = 100 * float((own > foreign).double().mean())
    bins = np.linspace(30, 230, 81)
    for values, colour, name in (
        (own, "support", "to its own prototype (1 shot)"),
        (foreign, "after", "to the other (20 shots)"),
    ):
        axes.hist(values.numpy(), bins, color=COLOR[colour], alpha=0.65, label=name)
    axes.set(xlabel="squared distance of a query of the one-shot class", yticks=[])
    axes.spines["left"].set_visible(False)
    axes.legend(fontsize=9, loc="upper right")
    words = f"{wrong:.0f} of 100 queries of the one-shot class are nearer to the other prototype."
    if guess is not None:
        words += f" Your guess was {guess:.0f}."
    axes.set_title(words, loc="left")
    return fig, (
        f"Two histograms. Squared distances of the queries to their own prototype are about "
        f"{own.mean():.0f}, to the other about {foreign.mean():.0f}. {words}"
    )


CENTRE_STYLES = {"mean": ("after", "o"), "geometric median": ("you", "D")}
CENTRE_STYLES["coordinate median"] = ("pixels", "s")


def centres_figure(points: Tensor, centres: dict[str, Tensor]) -> tuple[Figure, str]:
    """Points (n, 2) and where the sum of a distance to all of them is smallest; with words."""
    fig = figure(8, 2.8)
    axes = fig.subplots()
    axes.plot(*points.mT, "o", color=COLOR["support"], ms=7, label="points")
    for name, centre in centres.items():
        colour, mark = CENTRE_STYLES[name]
        style = {"ls": "", "ms": 12, "mec": "black", "color": COLOR[colour]}
        axes.plot(*centre[:, None], mark, **style, label=name)
    axes.set(xlabel="feature 1", ylabel="feature 2")
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), labelspacing=0.9)
    rightmost = max(centres, key=lambda name: float(centres[name][0]))
    said = ", ".join(f"the {n} at ({c[0]:.2f}, {c[1]:.2f})" for n, c in centres.items())
    return fig, (
        f"{len(points)} points, one of them far to the right, and {said}. "
        f"Farthest to the right of the centres stands the {rightmost}."
    )


def excess_figure(measured: dict[int, dict[int, Estimate]], gap: float) -> tuple[Figure, str]:
    """Error above the best possible against K, theory as lines and measured points; with words."""
    fig = figure(8, 3.0)
    axes, best = fig.subplots(), bayes(gap)
    for (d, found), colour in zip(measured.items(), ("support", "after")):
        style = {"color": COLOR[colour]}
        axes.plot(CURVE, [error(d, gap, k, k) - best for k in CURVE], **style, label=f"d = {d}")
        height = [one.mean - best for one in found.values()]
        bars = [one.half_width for one in found.values()]
        axes.errorbar([*found], height, bars, ls="", marker="o", ms=5, capsize=3, **style)
        limit = 100 * (error(d, gap, 1000, 1000) - best) * 10
        axes.plot(CURVE, [limit / k for k in CURVE], ":", color=COLOR["truth"], lw=1)
    axes.plot([], [], ":", color=COLOR["truth"], lw=1, label="∝ 1/K")
    axes.set(xscale="log", yscale="log", xlabel="K  shots", ylabel="error above the best")
    axes.set_ylim(2e-4, 1)
    axes.set_xticks(KS, KS)
    axes.minorticks_off()
    axes.legend(fontsize=9, loc="upper right")
    return fig, (
        "Error above the best possible against K, on logarithmic scales. The lines of theory go "
        "through the measured points and bend towards straight lines of slope −1 as K grows."
    )
