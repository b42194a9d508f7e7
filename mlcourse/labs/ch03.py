"""The lab and the pictures of chapter 03: two tasks and their best start, and three families."""

from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..evaluation import Estimate
from ..pictures import COLOR, INK, LEGEND, figure, panels
from ..tasks import quadratics
from .engine import Lab, Preset, slider

THETA = torch.linspace(-0.6, 2.6, 161, dtype=torch.float64)  # the starts that the lab draws
INNER_LRS = torch.linspace(0, 0.8, 161, dtype=torch.float64)
TOP = 2.0  # the largest loss that the lab draws


class Landscape(NamedTuple):
    """Two tasks ½ a (θ − c)², the first with a = 1, c = 0; curves are over THETA or INNER_LRS."""

    task_losses: Tensor  # (161, 2)
    after: Tensor  # (161,): the mean loss after the steps
    joint: float  # the best start before, and after the steps
    best: float
    lowest: tuple[float, float]  # the mean loss of these two, before and after the steps
    adapted: Tensor  # (2,): where the steps lead from the best start
    best_of: Tensor  # (161,): the best start after the steps, for each α
    optimum: float
    inner_lr: float
    steps: int
    limit: float  # 2/a of the steeper task: above it, steps lead away

    @property
    def mean(self) -> Tensor:
        """The mean loss of the two tasks without adaptation, (161,)."""
        return self.task_losses.mean(1)


def landscape(inner_lr: float, steps: int, curvature: float, optimum: float) -> Landscape:
    """Everything about the two tasks in closed form; α, inner steps, second task's a and c."""
    tasks = quadratics.scalar_tasks([1, curvature], [0, optimum])
    starts = THETA[:, None, None]  # (starts, tasks, d)
    adapted = quadratics.adapt(starts, tasks, inner_lr, steps)
    joint, best = quadratics.best_start(tasks), quadratics.best_start(tasks, inner_lr, steps)
    ends = quadratics.adapt(best, tasks, inner_lr, steps)
    lows = (quadratics.losses(params, tasks).mean().item() for params in (joint, ends))
    return Landscape(
        task_losses=quadratics.losses(starts, tasks),
        after=quadratics.losses(adapted, tasks).mean(1),
        joint=joint.item(),
        best=best.item() + 0.0,  # no −0.0
        lowest=tuple(lows),
        adapted=ends.squeeze(-1),
        best_of=quadratics.best_start(tasks, INNER_LRS[:, None, None, None], steps).squeeze(-1),
        optimum=optimum,
        inner_lr=inner_lr,
        steps=steps,
        limit=2 / max(1, curvature),
    )


def landscape_scene(fig):
    """The losses over the start θ; and the best start over α."""
    left, right = fig.subplots(1, 2, width_ratios=[3, 2])
    return panels([loss_scene(left), best_scene(right)], landscape_words)


def loss_scene(axes):
    """Both tasks, their mean before and after the steps, the two best starts, and the steps."""
    moves = {"animated": True}
    styles = ((":", "truth", "task 1"), ("--", "truth", "task 2"))
    styles += (("-", "before", "mean before"), ("-", "after", "mean after"))
    lines = [
        axes.plot(THETA, THETA, ls, color=COLOR[c], lw=2 if ls == "-" else 1.3, label=name, **moves)
        for ls, c, name in styles
    ]
    marks = [axes.plot([], [], "o", color=COLOR[c], ms=9, **moves)[0] for c in ("before", "after")]
    paths = [axes.plot([], [], "-", color=COLOR["support"], lw=1.5, **moves)[0] for _ in "12"]
    ends = [axes.plot([], [], "o", color=COLOR["support"], ms=6, **moves)[0] for _ in "12"]
    paths[0].set_label("steps")
    axes.set(xlabel="start θ", ylabel="loss", xlim=(-0.6, 2.6), ylim=(-0.1, TOP))
    axes.legend(ncols=5, columnspacing=1.0, **LEGEND)

    def update(data: Landscape) -> None:
        for (line,), y in zip(lines, (*data.task_losses.T, data.mean, data.after)):
            line.set_ydata(y.clamp(max=2 * TOP))
        for mark, at, low in zip(marks, (data.joint, data.best), data.lowest):
            mark.set_data([at], [low])
        for i, (path, end) in enumerate(zip(paths, ends)):
            x = torch.linspace(data.best, float(data.adapted[i]), 30).clamp(-9, 9)
            y = torch.tensor([height(data.task_losses[:, i], float(v)) for v in x])
            path.set_data(x, y)
            end.set_data(x[-1:], y[-1:])

    return update


def height(curve: Tensor, at: float) -> float:
    """A parabola, given over THETA, at another place."""
    low, middle, high = (float(curve[i]) for i in (0, 80, 160))
    u = (at - float(THETA[80])) / float(THETA[80] - THETA[0])
    return middle + u * (high - low) / 2 + u * u * ((high + low) / 2 - middle)


def best_scene(axes):
    """The best start over α, the present α on it, and where steps lead away from the optimum."""
    moves = {"animated": True}
    bold = axes.add_patch(Rectangle((9, -1), 1, 5, color="#E8E8E8", lw=0, zorder=0, **moves))
    (joint,) = axes.plot([0, 0.8], [0, 0], color=COLOR["before"], label="before", **moves)
    (best,) = axes.plot(INNER_LRS, INNER_LRS, color=COLOR["after"], label="after", **moves)
    (mark,) = axes.plot([], [], "o", color=COLOR["after"], ms=9, clip_on=False, **moves)
    style = {"transform": axes.transAxes, "va": "top", "fontsize": 9, **moves}
    note = axes.text(0.03, 0.99, "", **style)
    warn = axes.text(0.99, 0.99, "", ha="right", color=COLOR["truth"], **style)
    axes.set(xlabel="α", ylabel="best start θ", xlim=(0, 0.8), ylim=(-0.1, 2.6))
    axes.legend(ncols=2, **LEGEND)

    def update(data: Landscape) -> None:
        bold.set(x=data.limit, width=max(0.8 - data.limit, 0))
        joint.set_ydata([data.joint, data.joint])
        best.set_ydata(data.best_of)
        mark.set_data([data.inner_lr], [data.best])
        note.set_text(f"before: {data.joint:.3f}\nafter: {data.best:.3f}")
        warn.set_text(f"α > 2/a\n= {data.limit:.2f}" if data.limit < 0.8 else "")

    return update


def landscape_words(data: Landscape) -> str:
    """The picture in words."""
    steps = f"{data.steps} step{'s' * (data.steps != 1)}"
    ends = [f"{round(float(end), 2):g}" for end in data.adapted]
    away = data.steps > 0 and data.inner_lr > data.limit
    far = " Steps lead away from the optimum of the steeper task." * away
    return (
        f"Two tasks, with their optima at 0 and {data.optimum:.2f}. The best start is at "
        f"{data.joint:.3f} before adaptation and at {data.best:.3f} after {steps} with "
        f"α = {data.inner_lr:.2f}; the steps lead to {ends[0]} on task 1 and to "
        f"{ends[1]} on task 2.{far}"
    )


def landscape_lab() -> Lab:
    """The lab of chapter 03."""
    controls = {
        "inner_lr": slider("α  inner learning rate", 0.0, 0.8, 0.01, 0.1),
        "steps": slider("inner steps", 0, 20, 1, 1),
        "curvature": slider("a  curvature of task 2", 0.5, 8.0, 0.5, 4.0),
        "optimum": slider("c  optimum of task 2", 0.0, 2.0, 0.1, 1.0),
    }
    return Lab("Two tasks, one start", landscape, landscape_scene, controls, PRESETS)


PRESETS = {
    "joint": Preset(
        {"inner_lr": 0.0},
        "α = 0: nobody adapts. The two means are one curve, and the best start is at 0.8.",
        lambda d: torch.equal(d.mean, d.after) and abs(d.best - d.joint) < 1e-12,
    ),
    "ignored": Preset(
        {"inner_lr": 0.25},
        "α = 1/4: one step solves task 2 from anywhere, so the best start is task 1's optimum.",
        lambda d: d.best < 1e-9 and abs(d.adapted[1] - d.optimum) < 1e-9 and d.steps == 1,
    ),
    "equal curvature": Preset(
        {"inner_lr": 0.5, "curvature": 1.0},
        "Equally steep tasks: the best start stays halfway, whatever α is.",
        lambda d: (d.best_of - d.optimum / 2).abs().max() < 1e-9,
    ),
    "twenty steps": Preset(
        {"steps": 20},
        "Twenty steps nearly solve both tasks from any start; the best is where task 1 has it.",
        lambda d: d.steps == 20 and d.best < 0.01 and d.after.max() < 0.1,
    ),
    "too bold": Preset(
        {"inner_lr": 0.6},
        "α is above 2/a of task 2: its step leads away. The best start is close to its optimum.",
        lambda d: d.inner_lr > d.limit and abs(d.best - d.optimum) < 0.05,
    ),
}


def reveal(guess: float | None) -> tuple[Figure, str]:
    """The mean loss after one step with α = 1/4, and the reader's guess on it; with words."""
    data = landscape(0.25, 1, 4.0, 1.0)
    fig = figure(7, 2.6)
    axes = fig.subplots()
    axes.plot(THETA, data.mean, color=COLOR["before"], label="mean loss before the step")
    axes.plot(THETA, data.after, color=COLOR["after"], label="mean loss after the step")
    axes.plot([data.joint], [data.mean.min()], "o", color=COLOR["before"], ms=8)
    axes.plot([data.best], [0], "o", color=COLOR["after"], ms=8, clip_on=False, zorder=5)
    words = "Before the step the best start is 0.8; after one step with α = 1/4 it is 0."
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=4, alpha=0.7, label=f"you: {guess:.2f}")
        words += f" Your guess was {guess:.2f}."
    axes.set(xlabel="start θ", ylabel="loss", xlim=(-0.4, 1.4), ylim=(0, 1.2))
    axes.legend(fontsize=9, loc="upper right")
    return fig, words


def interference_figure(measured: dict[int, Estimate], limit: float) -> tuple[Figure, str]:
    """The error on each of its own tasks of a network trained on m at once; with words.

    limit: the error when there are infinitely many tasks; theory is (1 − 1/m) of it.
    """
    fig = figure(7, 2.6)
    axes = fig.subplots()
    m, e = list(measured), list(measured.values())
    many = torch.logspace(0, 2, 100, dtype=torch.float64)
    theory = limit * (1 - 1 / many)
    axes.plot(many, theory, ":", color=COLOR["truth"], label=f"{limit:.3f} · (1 − 1/m)")
    bars = {"fmt": "o", "ms": 7, "color": COLOR["after"], "capsize": 4}
    label = "measured, with 95 % interval"
    axes.errorbar(m, [v.mean for v in e], [v.half_width for v in e], label=label, **bars)
    axes.set(xlabel="m, tasks learned at once", ylabel="error on each of them", xscale="log")
    axes.set(ylim=(-0.2, 4.5), xlim=(0.8, 130))
    axes.set_xticks(m, m)
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=9)
    found = ", ".join(f"{n}: {v.mean:.2f} ± {v.half_width:.2f}" for n, v in measured.items())
    return fig, f"The error of a network on each of the m tasks it was trained on. {found}."


def starts_figure(wave, curves: dict[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """One new wave, and each start before and after its step; with words.

    wave: x and y (n,) of the truth, and the support Points (K, 1); curves: {name: (before, after)},
    each (n,).
    """
    x, truth, support = wave
    fig = figure(8, 2.8)
    for axes, (name, (before, after)) in zip(fig.subplots(1, 2, sharey=True), curves.items()):
        axes.plot(x, truth, ":", color=COLOR["truth"], label="true wave")
        axes.plot(x, before, "--", color=COLOR["before"], label="before, θ")
        axes.plot(x, after, color=COLOR["after"], label="after, θ′")
        axes.plot(*support, "o", color=COLOR["support"], label="support, S")
        axes.set(xlabel="x", xlim=(-5, 5), ylim=(-6, 6))
        axes.set_title(name, fontsize=10)
    fig.axes[0].set_ylabel("y")
    handles = fig.axes[0].get_legend_handles_labels()
    fig.legend(*handles, ncols=4, loc="outside upper center", fontsize=9)
    off = {n: float(((after - truth) ** 2).mean()) for n, (_, after) in curves.items()}
    found = "; ".join(f"{name}: {error:.1f}" for name, error in off.items())
    return fig, f"A new wave, two starts, one step each. Error of the curve after it: {found}."


FAMILIES = {  # name: what stays, what the support set becomes, how the query is answered, example
    "optimisation-based": ("a start θ", "new weights θ′", "net with θ′", "MAML, chapters 04–06"),
    "metric-based": ("an embedding", "prototypes cₖ", "nearest cₖ", "ProtoNets, chapters 07–09"),
    "model-based": ("a reader net", "hidden state h", "same net, with h", "readers, chapter 11"),
}


def families_figure() -> tuple[Figure, str]:
    """Three ways from a support set to a prediction, with what changes at test time in colour."""
    fig = figure(8, 3.3)
    axes = fig.subplots()
    axes.set(xlim=(0, 100), ylim=(3.05, -0.62))
    axes.axis("off")
    heads = ((34, "learned before", "truth"), (58, "made from the support set", "after"))
    for x, head, colour in (*heads, (85, "prediction", "truth")):
        axes.text(x, -0.42, head, ha="center", weight="bold", color=COLOR[colour])
    for row, (name, (stays, made, answer, example)) in enumerate(FAMILIES.items()):
        axes.text(0, row + 0.2, name, weight="bold", fontsize=11)
        axes.text(0, row + 0.5, example, fontsize=9)
        box(axes, 34, row, stays, COLOR["before"], COLOR["truth"])
        box(axes, 58, row, made, COLOR["after"], COLOR["after"], 3)
        box(axes, 85, row, answer, COLOR["query"], INK["query"])
        for start, end in ((44, 47.6), (68.4, 74.6)):
            arrow = {"arrowstyle": "->", "lw": 1.5}
            axes.annotate("", (end, row + 0.35), (start, row + 0.35), arrowprops=arrow)
    words = "; ".join(f"{name}: {made}" for name, (_, made, *_) in FAMILIES.items())
    return fig, f"Three families, and what each makes from a support set. {words}."


def box(axes, x: float, row: int, text: str, edge: str, ink: str, width: float = 1.5) -> None:
    """A word in a frame."""
    frame = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": edge, "lw": width}
    axes.text(x, row + 0.35, text, ha="center", va="center", color=ink, bbox=frame)
