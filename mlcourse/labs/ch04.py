"""The labs and pictures of chapter 04: the meta-gradient microscope, shrinkage, three rules."""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..pictures import ABOVE, COLOR, Backdrop, figure, panels
from ..tasks import quadratics
from .engine import Lab, Preset, slider
from .metagradient import FAMILIES, MEANS, Family, after, largest_difference, walk

# ---------------------------------------------------------------- the microscope

LOW, HIGH, CELLS = -0.3, 3.3, 49  # of both parameters
NEAR, NEAR_CELLS = 0.4, 25  # half the width of the window under the microscope
RULES = {"joint": "before", "Reptile": "you", "MAML": "after", "FOMAML": "pixels"}  # colours
WIDTHS = {"joint": 0.075, "Reptile": 0.052, "MAML": 0.032, "FOMAML": 0.015}  # of the arrows


class Microscope(NamedTuple):
    """What the lab shows at one start θ."""

    landscape: Tensor  # (49, 49): the mean query loss after the steps, rows are θ₂
    window: Tensor  # (25, 25): the same close to θ
    theta: Tensor  # (2,)
    visited: Tensor  # (steps + 1, tasks, 2)
    optimum: Tensor  # (tasks, 2)
    directions: dict[str, Tensor]  # downhill for each rule, (2,)
    gap: float  # largest difference of the three computations, relative
    inner_lr: float
    steps: int
    limit: float

    def cosine(self, rule: str) -> float:
        """Between a rule's direction and MAML's; 1 where either has no length."""
        one, other = self.directions[rule], self.directions["MAML"]
        lengths = float(one.norm() * other.norm())
        return float(one @ other) / lengths if lengths > 1e-12 else 1.0

    def angle(self, rule: str) -> float:
        """The same in degrees."""
        return math.degrees(math.acos(max(-1, min(1, self.cosine(rule)))))

    @property
    def loss(self) -> float:
        """The mean query loss after the steps at θ, the middle of the window."""
        return float(self.window[NEAR_CELLS // 2, NEAR_CELLS // 2])


def grid(family: Family, x: Tensor, y: Tensor, inner_lr: float, steps: int) -> Tensor:
    """The mean query loss after the steps at every start of a grid: (len(y), len(x))."""
    starts = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None]
    starts = starts.expand(-1, -1, len(family.optimum), -1)
    return after(family, starts, inner_lr, steps).mean(-1)


@functools.lru_cache(maxsize=64)
def landscape(tasks: int, inner_lr: float, steps: int) -> Tensor:
    """The grid of the whole field, (49, 49)."""
    line = torch.linspace(LOW, HIGH, CELLS, dtype=torch.float64)
    return grid(FAMILIES[tasks], line, line, inner_lr, steps)


def look(tasks: int, theta_1: float, theta_2: float, inner_lr: float, steps: int) -> Microscope:
    """Landscape, inner paths and the directions of all rules at the start (θ₁, θ₂)."""
    family = FAMILIES[tasks]
    theta = torch.tensor([theta_1, theta_2], dtype=torch.float64)
    found = tuple(mean(family, theta, inner_lr, steps).mean(0) for mean in MEANS.values())
    auto, gap = found[0], largest_difference(found)
    visited = walk(family, theta, inner_lr, steps)
    joint = family.gradient(visited[0]).mean(0)
    walked = (theta - visited[-1]).mean(0) / inner_lr if inner_lr * steps else joint
    pushes = joint, walked, auto, family.query_gradient(visited[-1]).mean(0)
    near = torch.linspace(-NEAR, NEAR, NEAR_CELLS, dtype=torch.float64)
    return Microscope(
        landscape=landscape(tasks, inner_lr, steps),
        window=grid(family, theta_1 + near, theta_2 + near, inner_lr, steps),
        theta=theta,
        visited=visited,
        optimum=family.optimum,
        directions={rule: -direction for rule, direction in zip(RULES, pushes)},
        gap=gap / max(1.0, float(auto.abs().max())),
        inner_lr=inner_lr,
        steps=steps,
        limit=family.limit,
    )


def microscope_scene(fig):
    """The landscape with the inner paths; close to θ the rules' directions; and α on its scale."""
    left, right = fig.add_gridspec(1, 2, width_ratios=[1, 1])
    cells = right.subgridspec(2, 2, height_ratios=[6, 1], width_ratios=[3, 1.25])
    places = (left, terrain), (cells[0, 0], compass), (cells[0, 1], angles), (cells[1, :], scale)
    parts = [draw(fig.add_subplot(place)) for place, draw in places]
    return panels(parts, microscope_words)


class Bands(Backdrop):
    """Level bands, light is low: a grey for every whole number of `levels` (rows, columns)."""

    levels = torch.zeros(2, 2, dtype=torch.float64)

    def paint(self, wide: int, high: int) -> np.ndarray:
        """The greys, uint8 (high, wide, 4)."""
        fine = torch.nn.functional.interpolate(
            self.levels[None, None].float(), (high, wide), mode="bilinear", align_corners=True
        )
        grey = (252 - 8 * fine[0, 0].floor()).clamp(60, 252).to(torch.uint8)
        picture = torch.full((high, wide, 4), 255, dtype=torch.uint8)
        picture[..., :3] = grey[..., None]
        return picture.numpy()


def terrain(axes):
    """Loss after adaptation in greys, light is low; θ, the tasks' optima and their paths."""
    moves = {"animated": True}
    bands = Bands(axes)
    style = {"color": COLOR["support"], "lw": 1.5, "ms": 4}
    paths = [axes.plot([], [], "o-", **style, **moves)[0] for _ in range(3)]
    ends = axes.plot([], [], "o", color=COLOR["support"], ms=8, **moves)[0]
    goals = axes.plot([], [], "x", color=COLOR["truth"], ms=9, mew=2, **moves)[0]
    start = axes.plot([], [], "o", color=COLOR["before"], mec="white", ms=11, zorder=4, **moves)[0]
    best = axes.plot([], [], "*", color=COLOR["after"], mec="white", ms=15, zorder=4, **moves)[0]
    axes.set(xlim=(LOW, HIGH), ylim=(LOW, HIGH), xlabel="θ₁", ylabel="θ₂")
    marks = {"start θ": start, "inner steps": paths[0], "optima": goals, "best start": best}
    place = {**ABOVE, "columnspacing": 1.0, "handletextpad": 0.4, "handlelength": 1.4}
    axes.legend(marks.values(), marks, ncols=4, **place)

    def update(data: Microscope) -> None:
        bands.levels = 2 * data.landscape.clamp(0.05, 1e6).log2() + 8.7  # a band is a factor √2
        for i, path in enumerate(paths):
            some = data.visited[:, i] if i < len(data.optimum) else torch.zeros(0, 2)
            path.set_data(*some.clamp(-50, 50).T)
        ends.set_data(*data.visited[-1].clamp(-50, 50).T)
        goals.set_data(*data.optimum.T)
        start.set_data(*data.theta[:, None])
        best.set_data(*lowest(data.landscape)[:, None])

    return update


def lowest(losses: Tensor) -> Tensor:
    """The place (θ₁, θ₂) of the smallest loss on the grid."""
    row, column = divmod(int(losses.argmin()), CELLS)
    return LOW + (HIGH - LOW) * torch.tensor([column, row]) / (CELLS - 1)


def arrow(axes, width: float, **style):
    """An arrow from the middle of the axes, its head not much wider than its shaft."""
    head = {"headwidth": 2.2, "headlength": 2.2, "headaxislength": 2.2, "minlength": 0}
    units = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": width}
    return axes.quiver([0], [0], [1], [0], **units, **head, **style)


def compass(axes):
    """Level bands close to θ, and on them the downhill direction of every rule, all of length 1."""
    bands, moves = Bands(axes), {"animated": True}
    arrows = {
        rule: arrow(axes, WIDTHS[rule], color=COLOR[colour], zorder=2 + i / 10, **moves)
        for i, (rule, colour) in enumerate(RULES.items())
    }
    axes.plot([0], [0], "o", color=COLOR["before"], mec="white", ms=10, zorder=4, **moves)
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])

    def update(data: Microscope) -> None:
        low, high = data.window.min(), data.window.max()
        bands.levels = (data.window - low) / (high - low + 1e-12) * 12
        for rule, way in data.directions.items():
            arrows[rule].set_UVC(*(way / (way.norm() + 1e-12))[:, None])

    return update


def angles(axes):
    """The rules in their colours, with the angle between MAML's direction and theirs."""
    axes.axis("off")
    axes.text(0, 0.9, "angle with MAML", fontsize=9)
    words = {}
    for i, (rule, colour) in enumerate(RULES.items()):
        style = {"color": COLOR[colour], "weight": "bold", "y": 0.75 - 0.13 * i}
        axes.text(0, s=rule, **style)
        words[rule] = axes.text(0.98, s="", ha="right", animated=True, **style)

    def update(data: Microscope) -> None:
        for rule, text in words.items():
            digits = int(data.angle(rule) < 9.95)
            text.set_text("" if rule == "MAML" else f"{data.angle(rule):.{digits}f}°")

    return update


def scale(axes):
    """α as on its slider, and the part of it where steps lead away."""
    bold = axes.add_patch(Rectangle((9, 0), 9, 1, color="#D9D9D9", lw=0, animated=True))
    dot = axes.plot([], [], "o", color=COLOR["support"], ms=9, clip_on=False, animated=True)[0]
    axes.text(0.49, 0.45, "grey, α > 2/λ: steps lead away", ha="right", va="center", fontsize=9)
    axes.set(xlim=(0, 0.8), ylim=(0, 1), yticks=[], xlabel="α")
    axes.spines["left"].set_visible(False)

    def update(data: Microscope) -> None:
        bold.set_x(data.limit)
        dot.set_data([data.inner_lr], [0])

    return update


def microscope_words(data: Microscope) -> str:
    """The picture in words."""
    angles = ", ".join(f"{rule} {data.angle(rule):.1f}°" for rule in RULES if rule != "MAML")
    agree = "agree" if data.gap < 1e-4 else "do not agree"
    far = " α is above 2/λ: steps lead away." * (data.inner_lr > data.limit)
    x, y = data.theta.tolist()
    return (
        f"{len(data.optimum)} tasks, start ({x:.1f}, {y:.1f}), α = {data.inner_lr:.2f}, "
        f"{data.steps} inner step{'s' * (data.steps != 1)}: loss {data.loss:.2f} after them. "
        f"Angle with MAML's direction: {angles}. Autograd, by hand and differences {agree}.{far}"
    )


def microscope_lab() -> Lab:
    """Where the rules push, from any start, and what the inner steps make of it."""
    controls = {
        "theta_1": slider("θ₁  start", 0.0, 3.0, 0.1, 1.2),
        "theta_2": slider("θ₂  start", 0.0, 3.0, 0.1, 1.4),
        "inner_lr": slider("α  inner learning rate", 0.0, 0.8, 0.02, 0.2),
        "steps": slider("inner steps", 0, 10, 1, 1),
        "tasks": slider("tasks: bowls, waves", 1, 2, 1, 1),
    }
    size = (8.8, 4.0)
    return Lab("Microscope", look, microscope_scene, controls, MICROSCOPE_PRESETS, size)


MICROSCOPE_PRESETS = {
    "no adaptation": Preset(
        {"inner_lr": 0.0},
        "α = 0: four arrows in one. Without adaptation there is one gradient, the joint one.",
        lambda d: d.inner_lr == 0 and all(d.cosine(rule) > 1 - 1e-9 for rule in RULES),
    ),
    "timid": Preset(
        {"inner_lr": 0.02},
        "A small α: first order is within one degree of MAML, though not the same.",
        lambda d: math.cos(math.radians(1)) < d.cosine("FOMAML") < 1 - 1e-7,
    ),
    "opposed": Preset(
        {"inner_lr": 0.4, "theta_1": 2.8, "theta_2": 1.6},
        "α = 0.4: the steep task's step overshoots, and FOMAML pushes uphill.",
        lambda d: d.cosine("FOMAML") < -0.2 and d.inner_lr < d.limit and d.gap < 1e-6,
    ),
    "five steps on waves": Preset(
        {"tasks": 2, "steps": 5},
        "Three waves, five steps each, a Hessian at each point: the computations still agree.",
        lambda d: len(d.optimum) == 3 and d.steps == 5 and d.gap < 1e-6,
    ),
    "too bold": Preset(
        {"inner_lr": 0.6, "theta_1": 2.6, "theta_2": 1.6, "steps": 2},
        "α is above 2/λ of the steep task: its steps lead away, farther each time.",
        lambda d: d.inner_lr > d.limit and farther(d.visited[:, -1], d.optimum[-1]),
    ),
}


def farther(path: Tensor, goal: Tensor) -> bool:
    """True when every step ends farther from the goal than it began."""
    return bool(((path - goal).norm(dim=1).diff() > 0).all())


# ---------------------------------------------------------------- shrinkage

ALPHAS = torch.linspace(0, 1.5, 151, dtype=torch.float64)
SHOTS = torch.arange(1, 21)


def best_alpha(spread: float, noise: float, k_shot) -> Tensor:
    """α* = s²/(s² + σ²/K), the step that a start at the tasks' mean should take."""
    k_shot = torch.as_tensor(k_shot, dtype=torch.float64)
    return spread**2 / (spread**2 + noise**2 / k_shot)


def query_risk(inner_lr, spread: float, noise: float, k_shot: int, off: float = 0.0):
    """The expected loss on new points after one step on K, the start `off` the tasks' mean."""
    left = (1 - inner_lr) ** 2 * (off**2 + spread**2)
    return (left + inner_lr**2 * noise**2 / k_shot + noise**2) / 2


def same_data_risk(inner_lr, spread: float, noise: float, k_shot: int, off: float = 0.0):
    """The expected loss on the K points that the step was made with."""
    left = (1 - inner_lr) ** 2 * (off**2 + spread**2 + noise**2 / k_shot)
    return (left + noise**2 * (1 - 1 / k_shot)) / 2


class Shrinkage(NamedTuple):
    """Risks over ALPHAS, the best α over SHOTS, and the present place on them."""

    true: Tensor  # (151,)
    apparent: Tensor  # (151,)
    best_of: Tensor  # (20,)
    best: float
    inner_lr: float
    k_shot: int
    true_here: float
    apparent_here: float


def shrinkage(inner_lr: float, k_shot: int, spread: float, noise: float) -> Shrinkage:
    """Everything about means that are estimated by one step, in closed form."""
    setting = spread, noise, k_shot
    return Shrinkage(
        true=query_risk(ALPHAS, *setting),
        apparent=same_data_risk(ALPHAS, *setting),
        best_of=best_alpha(spread, noise, SHOTS),
        best=float(best_alpha(*setting)),
        inner_lr=inner_lr,
        k_shot=k_shot,
        true_here=query_risk(inner_lr, *setting),
        apparent_here=same_data_risk(inner_lr, *setting),
    )


def shrinkage_scene(fig):
    """The two risks over α; and the best α over K."""
    left, right = fig.subplots(1, 2, width_ratios=[3, 2])
    return panels([risk_scene(left), shots_scene(right)], shrinkage_words)


def shrinkage_words(data: Shrinkage) -> str:
    """The picture in words."""
    return (
        f"K = {data.k_shot}, α = {data.inner_lr:.2f}: the loss on new points is "
        f"{data.true_here:.3f}, on the points adapted to {data.apparent_here:.3f}. "
        f"The best α is {data.best:.2f}."
    )


def risk_scene(axes):
    """The true and the apparent loss, a dot on each at the present α, a line at the best."""
    moves = {"animated": True}
    styles = {"new points": ("query", "-"), "same points": ("support", "--")}
    lines, dots = [], []
    for name, (colour, ls) in styles.items():
        style = {"color": COLOR[colour], **moves}
        lines.append(axes.plot(ALPHAS, ALPHAS, ls, label=name, **style)[0])
        dots.append(axes.plot([], [], "o", ms=9, **style)[0])
    best = axes.plot([0, 0], [-1, 9], ":", color=COLOR["truth"], lw=1.5, label="α*", **moves)[0]
    axes.set(xlabel="α", ylabel="mean loss after one step", xlim=(-0.02, 1.52), ylim=(-0.1, 4))
    axes.legend(ncols=3, **ABOVE, columnspacing=1.0)

    def update(data: Shrinkage) -> None:
        for line, curve in zip(lines, (data.true, data.apparent)):
            line.set_ydata(curve)
        for dot, height in zip(dots, (data.true_here, data.apparent_here)):
            dot.set_data([data.inner_lr], [height])
        best.set_xdata([data.best, data.best])

    return update


def shots_scene(axes):
    """The best α for each K, and where the sliders are."""
    moves = {"animated": True}
    curve = axes.plot(SHOTS, SHOTS, "o-", color=COLOR["truth"], ms=3, lw=1, **moves)[0]
    dot = axes.plot([], [], "o", color=COLOR["query"], ms=10, clip_on=False, **moves)[0]
    words = axes.text(20, 1.4, "", ha="right", fontsize=9, **moves)
    axes.set(xlabel="K  shots", ylabel="α*", xlim=(0, 20.5), ylim=(0, 1.5))

    def update(data: Shrinkage) -> None:
        curve.set_ydata(data.best_of)
        dot.set_data([data.k_shot], [data.inner_lr])
        words.set_text(f"α* = {data.best:.2f}, α = {data.inner_lr:.2f}")

    return update


def shrinkage_lab() -> Lab:
    """One gradient step towards a sample mean: how long should it be?"""
    controls = {
        "inner_lr": slider("α  inner learning rate", 0.0, 1.5, 0.01, 0.6),
        "k_shot": slider("K  shots", 1, 20, 1, 3),
        "spread": slider("s  spread of tasks", 0.0, 2.0, 0.1, 0.8),
        "noise": slider("σ  noise of points", 0.1, 2.0, 0.1, 1.2),
    }
    return Lab("Shrinkage", shrinkage, shrinkage_scene, controls, SHRINKAGE_PRESETS)


SHRINKAGE_PRESETS = {
    "all the way": Preset(
        {"inner_lr": 1.0},
        "α = 1 goes to the sample mean: the same points say 0.480, new points 0.960.",
        lambda d: abs(d.true_here - 0.96) < 1e-9 and abs(d.apparent_here - 0.48) < 1e-9,
    ),
    "nothing left": Preset(
        {"inner_lr": 1.0, "k_shot": 1},
        "K = 1, α = 1, same point: the loss is zero, and so is everything it could teach.",
        lambda d: abs(d.apparent_here) < 1e-12 and d.true_here > 1,
    ),
    "one shot": Preset(
        {"inner_lr": 0.31, "k_shot": 1},
        "One point is worth less trust: the best α is 0.31.",
        lambda d: d.k_shot == 1 and abs(d.best - 0.31) < 0.005,
    ),
    "twenty shots": Preset(
        {"inner_lr": 0.9, "k_shot": 20},
        "Twenty points: the best α is 0.90, and the same points promise only a little too much.",
        lambda d: abs(d.best - 0.9) < 0.005 and 0 < d.true_here - d.apparent_here < 0.1,
    ),
    "all tasks alike": Preset(
        {"inner_lr": 0.0, "spread": 0.0},
        "No spread: any step adds noise only. The best α is 0.",
        lambda d: d.best == 0 and int(d.true.argmin()) == 0,
    ),
}

# ---------------------------------------------------------------- the rules on two scalar tasks

AWAY = "α > 2/a: steps lead away"
OUTER_LR, START = 0.5, 0.5  # of the walks in the cold open


def outer_walk(rule: str, steps: int = 5, inner_lr: float = 0.4) -> list[float]:
    """The starts that a rule visits on the tasks a = 1, c = 0 and a = 4, c = 1."""
    tasks, theta = quadratics.scalar_tasks([1, 4], [0, 1]), torch.tensor([START]).double()
    places = [theta.item()]
    for _ in range(steps):
        theta = theta - OUTER_LR * quadratics.direction(theta, tasks, inner_lr, 1, rule)
        places.append(theta.item())
    return places


def reveal(guess: float | None) -> tuple[Figure, str]:
    """Both walks on the mean loss after one step with α = 0.4, and the guess; with words."""
    fig = figure(8, 2.8)
    axes, tasks = fig.subplots(), quadratics.scalar_tasks([1, 4], [0, 1])
    line = torch.linspace(-5, 5, 201, dtype=torch.float64)

    def height(theta):
        theta = torch.as_tensor(theta, dtype=torch.float64)
        adapted = quadratics.adapt(theta[:, None, None], tasks, 0.4)
        return quadratics.losses(adapted, tasks).mean(-1)

    axes.plot(line, height(line), color=COLOR["before"], lw=1.5, label="mean loss after a step")
    for rule, name in (("maml", "MAML"), ("fomaml", "FOMAML")):
        walk = outer_walk(rule)
        axes.plot(walk, height(walk), "o-", color=COLOR[RULES[name]], label=name)
    words = "After five outer steps with α = 0.4, MAML is at 0.79 and FOMAML at −4.01."
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=4, alpha=0.7, label=f"you: {guess:.1f}")
        words += f" Your guess for FOMAML was {guess:.1f}."
    axes.set(xlabel="start θ", ylabel="loss", xlim=(-5, 5))
    axes.legend(fontsize=9, loc="upper right")
    return fig, words


RESTS = {"maml": ("MAML", "after", "-"), "fomaml": ("FOMAML", "pixels", "--")}
RESTS["reptile"] = ("Reptile, joint", "you", "-.")


def rules_figure() -> tuple[Figure, str]:
    """Where the rules come to rest over α, one step, the tasks of the cold open; with words.

    Shaded: where FOMAML climbs (its weights sum below zero), and where steps lead away (α > 2/a).
    """
    tasks = quadratics.scalar_tasks([1, 4], [0, 1])
    rates = torch.linspace(0.001, 0.7, 700, dtype=torch.float64)[:, None, None, None]
    fig = figure(8, 3.0)
    axes = fig.subplots()
    climbs = quadratics.weights(tasks, rates, 1, "fomaml").sum((1, 2, 3)) < 0
    first = float(rates[climbs][0])
    for low, colour, text in ((first, "#EDEDED", "FOMAML climbs"), (0.5, "#D9D9D9", AWAY)):
        axes.axvspan(low, 0.7, color=colour, lw=0)
        axes.text(low + 0.005, -0.95, text, fontsize=9)
    for rule, (name, colour, ls) in RESTS.items():
        rest = quadratics.best_start(tasks, rates, 1, rule).flatten()
        rest[rest.abs() > 3] = torch.nan
        axes.plot(rates.flatten(), rest, ls, color=COLOR[colour], label=name)
    axes.set(xlabel="α", ylabel="θ at rest", xlim=(0, 0.7), ylim=(-1.0, 2.1))
    axes.legend(ncols=3, **ABOVE, columnspacing=1.0)
    return fig, (
        "Where MAML, FOMAML and Reptile come to rest over α, after one inner step. MAML falls "
        f"from 0.8 to 0 at α = 0.25 and rises again; FOMAML climbs from α = {first:.2f} on; "
        "Reptile stays at the joint optimum 0.8. Beyond α = 0.5 the steps lead away."
    )
