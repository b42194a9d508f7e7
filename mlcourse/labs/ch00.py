"""The first lab: two numbers learn a sine wave, and a better start is learned from other waves."""

from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..pictures import COLOR, LEGEND, figure, panels
from ..tasks import Points, SineTasks
from .engine import Lab, Preset, slider

CURVE = torch.linspace(-5, 5, 200, dtype=torch.float64)
DIVERGED = 1e6  # parameters beyond this are of no further use to anyone


class FirstLab(NamedTuple):
    """What the first lab shows; curves are float64 (200,), query losses (steps + 1,)."""

    support: tuple[Tensor, Tensor]
    truth: Tensor
    before: Tensor
    after: Tensor
    query_losses: Tensor
    other_losses: Tensor  # (steps + 1, 200): the same for 200 other waves
    limit: float
    inner_lr: float

    @property
    def mean_losses(self) -> Tensor:
        """The average over the other waves, after each step."""
        return self.other_losses.mean(1)


def features(x: Tensor) -> Tensor:
    """(sin x, cos x) of each point: (…, points, 1) to (…, points, 2)."""
    return torch.cat([torch.sin(x), torch.cos(x)], -1)


def mse(params: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of the waves params[0] sin x + params[1] cos x, over points: (…,)."""
    return ((features(x) @ params.unsqueeze(-1) - y) ** 2).mean((-2, -1))


def trace(params: Tensor, x: Tensor, y: Tensor, inner_lr: float, steps: int) -> list[Tensor]:
    """The parameters (…, 2) before the first and after each of `steps` gradient steps on (x, y)."""
    visited, design = [params], features(x)
    for _ in range(steps):
        residual = design @ params.unsqueeze(-1) - y
        params = params - inner_lr * 2 * (design * residual).mean(-2)
        visited.append(params)
    return visited


def steepest(x: Tensor) -> float:
    """The largest eigenvalue of the support loss's Hessian, 2 ΦᵀΦ / K."""
    design = features(x)
    return float(torch.linalg.eigvalsh(2 * design.T @ design / len(x))[-1])


def practise(
    tasks: int, k_shot: int, inner_lr: float, steps: int, outer_lr: float, seed: int = 1
) -> Tensor:
    """Start at zero; after each of `tasks` waves go a part of the way to where it was learned.

    Source: Reptile (Nichol, Achiam, Schulman 2018, algorithm 1), one wave a step.
    """
    params = torch.zeros(2, dtype=torch.float64)
    if tasks:
        waves = SineTasks().sample(tasks, k_shot, 1, torch.Generator().manual_seed(seed))
        for x, y in zip(*waves.support):
            adapted = trace(params, x, y, inner_lr, steps)[-1]
            params = params + outer_lr * (adapted - params)
            if not params.abs().max() < DIVERGED:
                break
    return params


def first_data(
    wave: int, k_shot: int, inner_lr: float, steps: int, practice: int, outer_lr: float
) -> FirstLab:
    """One wave learned from K points; wave number, shots, α, steps, waves practised, β."""
    support, query = SineTasks().sample(201, 10, 50, torch.Generator().manual_seed(1000))
    support = Points(support.x[:, :k_shot], support.y[:, :k_shot])
    start = practise(practice, k_shot, inner_lr, steps, outer_lr)
    visited = trace(start.expand(201, 2), *support, inner_lr, steps)
    losses = torch.stack([mse(params, *query) for params in visited])
    x, y = support.x[wave], support.y[wave]
    truth = torch.linalg.lstsq(features(query.x[wave]), query.y[wave]).solution.squeeze(-1)
    design = features(CURVE.unsqueeze(-1))
    return FirstLab(
        support=(x.squeeze(-1), y.squeeze(-1)),
        truth=design @ truth,
        before=design @ start,
        after=design @ visited[-1][wave],
        query_losses=losses[:, wave],
        other_losses=torch.cat([losses[:, :wave], losses[:, wave + 1 :]], 1),
        limit=2 / steepest(x),
        inner_lr=inner_lr,
    )


def first_scene(fig):
    """The wave, its points, the curve before and after; and the error step by step."""
    left, right = fig.subplots(1, 2, width_ratios=[3, 2])
    return panels([curve_scene(left), error_scene(right)], first_words)


def curve_scene(axes):
    """The wave, its support points, the curve before and after."""
    flat, moves = torch.zeros_like(CURVE), {"animated": True}
    (truth,) = axes.plot(CURVE, flat, ":", color=COLOR["truth"], label="true wave", **moves)
    (before,) = axes.plot(CURVE, flat, "--", color=COLOR["before"], label="before, θ", **moves)
    (after,) = axes.plot(CURVE, flat, color=COLOR["after"], label="after, θ′", **moves)
    (dots,) = axes.plot([], [], "o", color=COLOR["support"], ms=8, label="support, S", **moves)
    axes.set(xlabel="x", ylabel="y", xlim=(-5, 5), ylim=(-7, 7))
    axes.legend(ncols=4, **LEGEND)

    def update(data: FirstLab) -> None:
        for line, y in ((truth, data.truth), (before, data.before), (after, data.after)):
            line.set_ydata(y)
        dots.set_data(*data.support)

    return update


def error_scene(axes):
    """The error on unseen points after each step, and whether α is above its limit."""
    query, moves = COLOR["query"], {"animated": True}
    (one,) = axes.plot([], [], "o-", color=query, label="this wave", **moves)
    (mean,) = axes.plot([], [], "s:", color=query, ms=4, label="200 others", **moves)
    axes.legend(ncols=2, **LEGEND)
    axes.set(xlabel="gradient steps", ylabel="error on unseen points, Q", yscale="log")
    axes.set(xlim=(-0.5, 10.5), ylim=(5e-5, 2e4), yticks=[1e-4, 1e-2, 1, 1e2, 1e4])
    axes.minorticks_off()
    note = axes.text(0.99, 0.98, "", transform=axes.transAxes, ha="right", va="top", **moves)

    def update(data: FirstLab) -> None:
        for line, losses in ((one, data.query_losses), (mean, data.mean_losses)):
            line.set_data(range(len(losses)), losses.clamp(1e-4, 1e4))
        sign = ">" if data.inner_lr > data.limit else "≤"
        off = "\n↑ off the scale" if data.mean_losses.max() > 1e4 else ""
        note.set_text(f"α = {data.inner_lr:.2f} {sign} 2/λ = {data.limit:.2f}{off}")

    return update


def first_words(data: FirstLab) -> str:
    """The picture in words."""
    shots, steps = len(data.support[0]), len(data.query_losses) - 1
    first, last, average = (
        f"{float(v):.2g}" for v in (*data.query_losses[[0, -1]], data.mean_losses[-1])
    )
    return (
        f"A sine wave, {shots} support point{'s' * (shots > 1)} on it, a curve before and after "
        f"{steps} gradient step{'s' * (steps != 1)}. The error on unseen points goes from {first} "
        f"to {last}; over 200 other waves it ends at {average} on average."
        + (" The steps are too long and overshoot." if data.inner_lr > data.limit else "")
    )


def first_lab() -> Lab:
    """The lab of chapter 00."""
    controls = {
        "wave": slider("wave number", 1, 20, 1, 8),
        "k_shot": slider("K  shots", 1, 10, 1, 5),
        "inner_lr": slider("α  inner learning rate", 0.0, 2.5, 0.05, 0.3),
        "steps": slider("gradient steps", 0, 10, 1, 3),
        "practice": slider("waves practised", 0, 100, 5, 0),
        "outer_lr": slider("β  outer learning rate", 0.0, 1.0, 0.05, 0.1),
    }
    return Lab("One wave from a few points", first_data, first_scene, controls, PRESETS)


class Sweep(NamedTuple):
    """The error on unseen points after some steps, for each α, over 200 waves."""

    inner_lrs: Tensor
    losses: Tensor
    start: float

    @property
    def best(self) -> float:
        """The α whose steps leave the smallest average error."""
        return float(self.inner_lrs[self.losses.argmin()])

    @property
    def turn(self) -> float:
        """The smallest α whose steps leave the average wave worse than no step at all."""
        return float(self.inner_lrs[self.losses > self.start][0])


def sweep(k_shot: int = 10, steps: int = 10) -> Sweep:
    """`first_data` over a grid of α, from a flat start."""
    inner_lrs = torch.linspace(0, 2.5, 51, dtype=torch.float64)
    runs = [first_data(1, k_shot, float(lr), steps, 0, 0.0) for lr in inner_lrs]
    losses = torch.stack([run.mean_losses[-1] for run in runs])
    return Sweep(inner_lrs, losses, float(runs[0].mean_losses[0]))


def sweep_figure(found: Sweep, guess: float | None) -> tuple[Figure, str]:
    """The sweep with the reader's guess on it, and the picture in words."""
    fig = figure(7, 2.6)
    axes = fig.subplots()
    axes.plot(found.inner_lrs, found.losses, color=COLOR["after"], label="after ten steps")
    axes.axhline(found.start, color=COLOR["before"], ls="--", label="before")
    worse = f"worse than no step from α = {found.turn:.2f}"
    axes.axvline(found.turn, color=COLOR["truth"], ls=":", label=worse)
    axes.plot([found.best], [found.losses.min()], "o", color=COLOR["after"], ms=8)
    words = (
        f"The average error falls up to α = {found.best:.2f}, then grows; from α = "
        f"{found.turn:.2f} on it is worse than with no step."
    )
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=4, alpha=0.7, label=f"you: {guess:.2f}")
        words += f" Your guess was {guess:.2f}."
    axes.set(xlabel="α", ylabel="error on unseen points", yscale="log")
    axes.set(xlim=(0, 2.5), ylim=(1e-6, 1e4))
    axes.legend(loc="lower right", fontsize=9)
    return fig, words


PRESETS = {
    "enough": Preset(
        {"k_shot": 10, "inner_lr": 0.6, "steps": 10},
        "Ten points and ten steps: the curve lies on the wave, also where no point is.",
        lambda d: d.query_losses[-1] < 0.05 < d.query_losses[0],
    ),
    "one point": Preset(
        {"k_shot": 1, "inner_lr": 0.4, "steps": 10},
        "One point: the curve passes through it and misses the wave elsewhere.",
        lambda d: d.query_losses[-1] > 0.5,
    ),
    "too bold": Preset(
        {"inner_lr": 2.4, "steps": 10},
        "α is above 2/λ: every step overshoots, and the error grows.",
        lambda d: d.inner_lr > d.limit and d.query_losses[-1] > d.query_losses[0],
    ),
    "practised": Preset(
        {"practice": 100},
        "100 waves moved the start: no longer flat, and on average closer to another wave.",
        lambda d: d.before.abs().max() > 1 and d.mean_losses[0] < 3.5 and d.mean_losses[-1] < 0.55,
    ),
}
