"""The labs and figures of chapter 02: what to fine-tune, and what a mixture of losses is."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .. import pictures
from ..evaluation import Estimate, estimate
from ..learners import transfer_runs as record
from ..learners.transfer import CHECKPOINTS
from ..pictures import COLOR, INK
from ..tasks import Characters, SineTasks
from .engine import Lab, Preset, slider, stops

# --- what to fine-tune, and how fast --------------------------------------------------------------


class TransferLab(NamedTuple):
    """Recorded fine-tuning at one setting, beside what else these K drawings are good for.

    curve: one estimate a checkpoint; one: this alphabet's accuracies (checkpoints,); by_depth: one
    estimate for each number of unfrozen blocks, after the last checkpoint; live: (step, accuracy).
    """

    k_shot: int
    depth: int
    inner_lr: float
    curve: list[Estimate]
    one: Tensor
    by_depth: list[Estimate]
    nearest: Estimate
    scratch: Estimate
    live: list[tuple[int, float]]


def transfer_data(
    k_shot: int, depth: int, inner_lr: float, alphabet: int, live: list | None = None
) -> TransferLab:
    """The recorded runs at this setting."""
    runs, frozen = record.recorded("evaluation"), record.recorded_frozen("evaluation")
    k, rate = record.SHOTS.index(k_shot), record.RATES.index(inner_lr)
    found = runs.tuned[k, depth, rate]
    return TransferLab(
        k_shot=k_shot,
        depth=depth,
        inner_lr=inner_lr,
        curve=[estimate(accuracies) for accuracies in found.T],
        one=found[alphabet - 1],
        by_depth=[estimate(accuracies) for accuracies in runs.tuned[k, :, rate, :, -1]],
        nearest=estimate(frozen.nearest[k]),
        scratch=estimate(record.reported(k_shot, "from scratch")),
        live=live or [],
    )


def transfer_scene(fig: Figure):
    """Accuracy over the steps on the left, after the last step over the depth on the right."""
    left, right = fig.subplots(1, 2, width_ratios=[1.6, 1], sharey=True)
    return pictures.panels([curve_scene(left), depth_scene(right)], transfer_words)


CURVES = {  # the lines of the left picture
    "mean of 20 alphabets": {"color": COLOR["after"], "lw": 2},
    "this alphabet": {"color": COLOR["query"], "lw": 1.5},
    "this alphabet, live": {"color": COLOR["you"], "marker": "D", "ms": 6, "lw": 1.5},
    "nearest mean, no training": {"color": COLOR["support"], "ls": "--", "lw": 1.5},
    "from scratch": {"color": COLOR["before"], "ls": ":", "lw": 2},
}


def curve_scene(axes):
    """The mean over all alphabets with its interval, one alphabet, the live run, two references."""
    axes.set(xlim=(-0.3, len(CHECKPOINTS) - 0.7), ylim=(0, 105), ylabel="right, in %")
    axes.set_xticks(range(len(CHECKPOINTS)), CHECKPOINTS)
    axes.set_xlabel("steps of fine-tuning (20-way, so chance is 5 %)")
    bars = [pictures.moving_interval(axes, COLOR["after"], upright=True) for _ in CHECKPOINTS]
    lines = [axes.plot([], [], **style, animated=True)[0] for style in CURVES.values()]
    axes.legend(lines, CURVES, loc="lower right", fontsize=8.5, ncols=2)

    def update(data: TransferLab) -> None:
        for i, (move, e) in enumerate(zip(bars, data.curve)):
            move(100 * e.low, 100 * e.mean, 100 * e.high, i)
        places = range(len(CHECKPOINTS))
        lines[0].set_data(places, [100 * e.mean for e in data.curve])
        lines[1].set_data(places, 100 * data.one.numpy())
        steps = [CHECKPOINTS.index(step) for step, _ in data.live]
        lines[2].set_data(steps, [100 * accuracy for _, accuracy in data.live])
        for line, e in zip(lines[3:], (data.nearest, data.scratch)):
            line.set_data([-0.3, len(places) - 0.7], [100 * e.mean] * 2)

    return update


def depth_scene(axes):
    """After the last step, for every number of unfrozen blocks; the one in the lab is marked."""
    axes.set(xlim=(-0.5, 4.5), xlabel="blocks unfrozen", xticks=record.DEPTHS)
    axes.set_title(f"after {CHECKPOINTS[-1]} steps", fontsize=10)
    moves = {"animated": True}
    bars = [pictures.moving_interval(axes, COLOR["after"], upright=True) for _ in record.DEPTHS]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    style = {"ha": "center", "fontsize": 9, "bbox": box, **moves}
    texts = [axes.text(i, 0, "", **style) for i in record.DEPTHS]
    (here,) = axes.plot([], [], "o", color=COLOR["truth"], mfc="none", ms=17, mew=1.5, **moves)
    (nearest,) = axes.plot([], [], color=COLOR["support"], ls="--", lw=1.5, **moves)
    (scratch,) = axes.plot([], [], color=COLOR["before"], ls=":", **moves)

    def update(data: TransferLab) -> None:
        for i, (move, text, e) in enumerate(zip(bars, texts, data.by_depth)):
            move(100 * e.low, 100 * e.mean, 100 * e.high, i)
            text.set(text=f"{100 * e.mean:.0f}", y=max(100 * e.low - 9, 2))
        here.set_data([data.depth], [100 * data.by_depth[data.depth].mean])
        for line, e in zip((nearest, scratch), (data.nearest, data.scratch)):
            line.set_data([-0.5, 4.5], [100 * e.mean] * 2)

    return update


def transfer_words(data: TransferLab) -> str:
    """The picture in words."""
    live = f" Live on one alphabet: {data.live[-1][1]:.2f} so far." if data.live else ""
    depths = ", ".join(f"{e.mean:.2f}" for e in data.by_depth)
    return (
        f"K = {data.k_shot}, a new head, blocks unfrozen: {data.depth}, α = {data.inner_lr:g}: "
        f"from {data.curve[0].mean:.2f} to {data.curve[-1]} after {CHECKPOINTS[-1]} steps. The "
        f"nearest mean has {data.nearest}, training from scratch {data.scratch}. After the last "
        f"step with 0 to 4 blocks unfrozen: {depths}.{live}"
    )


def transfer_lab(body: nn.Sequential, evaluation: Characters) -> Lab:
    """K, depth and α over the recorded runs; "train this one live" makes one of them anew."""
    episodes = record.tasks(evaluation)

    def live(k_shot: int, depth: int, inner_lr: float, alphabet: int) -> Iterator[TransferLab]:
        episode, seen = record.task(episodes, alphabet - 1, k_shot), []
        for point in record.run(body, episode, alphabet - 1, depth, inner_lr):
            seen.append(point)
            yield transfer_data(k_shot, depth, inner_lr, alphabet, [*seen])

    def data(k_shot: int, depth: int, inner_lr: float, alphabet: int) -> TransferLab:
        return transfer_data(k_shot, depth, inner_lr, alphabet)

    controls = {
        "k_shot": stops("K  shots", record.SHOTS, 5),
        "depth": slider("blocks unfrozen", 0, 4, 1, 4),
        "inner_lr": stops("α  inner learning rate", record.RATES, 0.001),
        "alphabet": slider("alphabet", 1, len(episodes.query.y), 1, 1),
    }
    size = (8.6, 3.3)
    return Lab("Fine-tuning", data, transfer_scene, controls, TRANSFER_PRESETS, size, live)


TRANSFER_PRESETS = {
    "one shot": Preset(
        {"k_shot": 1, "depth": 4},
        "One drawing a character: fifty gentle steps end within three points of the nearest mean.",
        lambda d: abs(d.curve[-1].mean - d.nearest.mean) < 0.03,
    ),
    "fifteen shots": Preset(
        {"k_shot": 15, "depth": 4},
        "Fifteen drawings: fine-tuning everything ends about a point above the nearest mean.",
        lambda d: 0.005 < d.curve[-1].mean - d.nearest.mean < 0.02,
    ),
    "too bold": Preset(
        {"k_shot": 1, "depth": 4, "inner_lr": 0.01},
        "Every block at a high rate: after five steps over ten points behind the nearest mean.",
        lambda d: d.curve[3].mean < d.nearest.mean - 0.1,
    ),
    "frozen": Preset(
        {"k_shot": 5, "depth": 0, "inner_lr": 0.003},
        "Only the head is trained: after fifty steps within three points of the nearest mean.",
        lambda d: abs(d.curve[-1].mean - d.nearest.mean) < 0.03,
    ),
}


# --- a mixture of losses is not fine-tuning -------------------------------------------------------

SOURCE = torch.tensor([[3.0, 0.8], [0.8, 0.6]]).double(), torch.tensor([-1.2, 0.9]).double()
TARGET = torch.tensor([[0.7, -0.3], [-0.3, 1.6]]).double(), torch.tensor([1.3, -0.4]).double()
QUADRATIC_RATE = 0.3


def quadratic(theta: Tensor, task: tuple[Tensor, Tensor]) -> Tensor:
    """½ (θ − m)ᵀ A (θ − m) for θ (…, d) and the task (A, m)."""
    gap = theta - task[1]
    return (gap @ task[0] * gap).sum(-1) / 2


def mixture_optimum(lam: float, source=SOURCE, target=TARGET) -> Tensor:
    """Where lam · source + (1 - lam) · target is smallest: (d,)."""
    (a, m), (b, n) = source, target
    return torch.linalg.solve(lam * a + (1 - lam) * b, lam * a @ m + (1 - lam) * b @ n)


def fine_tuned(
    steps: int, source=SOURCE, target=TARGET, inner_lr: float = QUADRATIC_RATE
) -> Tensor:
    """Gradient descent on the target's loss from the source's optimum: θ_n, (d,)."""
    (_, start), (b, n) = source, target
    factor = torch.linalg.matrix_power(torch.eye(len(n), dtype=n.dtype) - inner_lr * b, steps)
    return n + factor @ (start - n)


class MixtureLab(NamedTuple):
    """Both ways on two quadratics, and on characters: one estimate a λ, new and old characters."""

    lam: float
    steps: int
    optimum: Tensor
    tuned: Tensor
    new: list[Estimate]
    old: list[Estimate]


def mixture_data(lam: float, steps: int) -> MixtureLab:
    """The optimum of the mixture, where fine-tuning is, and the recorded mixtures."""
    recorded = record.recorded_mixture()[:, :, CHECKPOINTS.index(steps)]
    new, old = ([estimate(a) for a in recorded[..., i]] for i in (0, 1))
    return MixtureLab(lam, steps, mixture_optimum(lam), fine_tuned(steps), new, old)


def mixture_scene(fig: Figure):
    """Two landscapes with two paths on the left, accuracy over λ on the right."""
    left, right = fig.subplots(1, 2, width_ratios=[1, 1.15])
    return pictures.panels([landscape_scene(left), lambda_scene(right)], mixture_words)


def landscape_scene(axes):
    """Both losses; the optimum of the mixture; fine-tuning from the source's optimum."""
    draw_losses(axes)
    moves = {"animated": True, "ms": 11, "ls": ""}
    (mixed,) = axes.plot(
        [], [], "s", color=COLOR["before"], label="optimum of the mixture", **moves
    )
    (tuned,) = axes.plot([], [], "o", color=COLOR["after"], label="fine-tuned", **moves)
    axes.legend(handles=[mixed, tuned], loc="upper right", fontsize=8.5, frameon=True)

    def update(data: MixtureLab) -> None:
        mixed.set_data(*data.optimum[:, None])
        tuned.set_data(*data.tuned[:, None])

    return update


def draw_losses(axes) -> None:
    """Contours of source and target, all optima of mixtures, all places of fine-tuning."""
    lines = torch.linspace(-2.2, 2.2, 80).double()
    grid = torch.stack(torch.meshgrid(lines, lines, indexing="xy"), -1)
    for task, name in ((SOURCE, "pixels"), (TARGET, "support")):
        style = {"levels": [0.1, 0.4, 1, 2, 4], "colors": COLOR[name], "linewidths": 1}
        axes.contour(*grid.unbind(-1), quadratic(grid, task), **style)
    path = torch.stack([mixture_optimum(lam) for lam in torch.linspace(0, 1, 50).tolist()])
    axes.plot(*path.T, color=COLOR["before"], lw=1.5)
    walk = torch.stack([fine_tuned(n) for n in range(max(CHECKPOINTS) + 1)])
    axes.plot(*walk.T, color=COLOR["after"], lw=1, ls=":")
    place = {"ha": "center", "fontsize": 9, "weight": "bold"}
    axes.text(*(SOURCE[1] + torch.tensor([-0.25, 0.2])), "source", color=INK["pixels"], **place)
    axes.text(*(TARGET[1] + torch.tensor([0.2, -0.45])), "target", color=INK["support"], **place)
    axes.set(xlabel="θ₁", ylabel="θ₂", xlim=(-2.2, 2.2), ylim=(-2, 2))


def lambda_scene(axes):
    """Accuracy on the new and on the old characters, for every λ."""
    places = range(len(record.LAMBDAS))
    axes.set(xlim=(-0.5, len(places) - 0.5), ylim=(0, 102), ylabel="right, in %")
    axes.set_xticks(places, [f"{lam:g}" for lam in record.LAMBDAS])
    axes.set_xlabel("λ, the weight of the source (K = 5)")
    styles = {"new": ("support", "new characters"), "old": ("pixels", "source's characters")}
    bars, labels = {}, []
    for name, (colour, label) in styles.items():
        bars[name] = [pictures.moving_interval(axes, COLOR[colour], upright=True) for _ in places]
        labels.append(axes.plot([], [], "o", color=COLOR[colour], label=label)[0])
    (here,) = axes.plot([], [], color=COLOR["truth"], lw=1, ls="--", animated=True)
    start = 100 * float(record.recorded_mixture()[:, :, 0, 1].mean())
    before = {"color": COLOR["pixels"], "ls": ":", "lw": 1.5, "label": "the same before"}
    labels.append(axes.axhline(start, **before))
    axes.legend(handles=labels, loc="lower center", fontsize=8.5)

    def update(data: MixtureLab) -> None:
        for name, moves in bars.items():
            aside = -0.08 if name == "new" else 0.08
            for i, (move, e) in enumerate(zip(moves, getattr(data, name))):
                move(100 * e.low, 100 * e.mean, 100 * e.high, i + aside)
        here.set_data([record.LAMBDAS.index(data.lam)] * 2, [32, 102])

    return update


def mixture_words(data: MixtureLab) -> str:
    """The picture in words."""
    mixed, tuned = (float(quadratic(p, TARGET)) for p in (data.optimum, data.tuned))
    i = record.LAMBDAS.index(data.lam)
    return (
        f"λ = {data.lam:g}: the optimum of the mixture has target loss {mixed:.2f}, fine-tuning "
        f"after {data.steps} steps {tuned:.2f}. On characters, {data.steps} steps with this λ: "
        f"{data.new[i]} of the new ones right, {data.old[i]} of the source's."
    )


def mixture_lab() -> Lab:
    """λ and the number of steps, on two quadratics and on characters."""
    controls = {
        "lam": stops("λ  source's weight", record.LAMBDAS, 0.3),
        "steps": stops("gradient steps", CHECKPOINTS, 10),
    }
    size = (8.4, 3.3)
    return Lab("Mixture", mixture_data, mixture_scene, controls, MIXTURE_PRESETS, size)


MIXTURE_PRESETS = {
    "fine-tuning": Preset(
        {"lam": 0.0, "steps": 50},
        "λ = 0 is fine-tuning: on the quadratics it arrives at the target's optimum.",
        lambda d: quadratic(d.tuned, TARGET) < 1e-3 and quadratic(d.optimum, TARGET) < 1e-12,
    ),
    "half and half": Preset(
        {"lam": 0.5, "steps": 50},
        "However long it is trained, the mixture's optimum is not the target's.",
        lambda d: quadratic(d.optimum, TARGET) > 0.1,
    ),
    "stopped early": Preset(
        {"lam": 0.3, "steps": 2},
        "After two steps fine-tuning passes near the optimum of this mixture; it goes on.",
        lambda d: 0.1 < (d.optimum - d.tuned).norm() < 0.5,
    ),
}


# --- figures of the chapter -----------------------------------------------------------------------

LINES = {  # colour, marker and line of every method, told apart without colour too
    "from scratch": (COLOR["before"], "s", ":"),
    "nearest mean": (COLOR["support"], "o", "--"),
    "frozen probe": (COLOR["chance"], "^", "--"),
    "new head": (COLOR["pixels"], "D", "-"),
    "last block": (COLOR["truth"], "P", "-"),
    "full fine-tuning": (COLOR["after"], "o", "-"),
}


def methods_figure(table: dict[str, Tensor]) -> tuple[Figure, str]:
    """Accuracies (K, tasks) of every method against K, with intervals; and in words."""
    fig = pictures.figure(8, 3.4)
    axes, words = fig.subplots(), []
    for i, (name, rows) in enumerate(table.items()):
        scores = [estimate(row) for row in rows]
        places = [j + 0.07 * (i - (len(table) - 1) / 2) for j in range(len(record.SHOTS))]
        colour, marker, line = LINES[name]
        error = {"yerr": [100 * e.half_width for e in scores], "elinewidth": 1.5}
        means = [100 * e.mean for e in scores]
        axes.errorbar(places, means, **error, color=colour, marker=marker, ls=line, label=name)
        words.append(f"{name} {', '.join(f'{e.mean:.2f}' for e in scores)}")
    axes.set_xticks(range(len(record.SHOTS)), record.SHOTS)
    axes.set(xlabel="K, drawings per character", ylabel="right, in %", ylim=(30, 100))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig, f"Accuracy for K = {', '.join(map(str, record.SHOTS))}: {'; '.join(words)}."


def reveal(scores: dict[str, Estimate], guess: float | None) -> tuple[Figure, str]:
    """A few accuracies below each other with the reader's guess (in %); and in words."""
    fig = pictures.figure(8, 0.5 + 0.45 * len(scores))
    axes, words = fig.subplots(), []
    for i, (name, e) in enumerate(scores.items()):
        pictures.interval(axes, e, i, LINES[name][0])
        axes.text(100 * e.high + 1.5, i, e.percent(0), va="center")
        words.append(f"{name}: {e}")
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=2, label=f"your guess: {guess:.0f}")
        axes.legend(loc="upper left", fontsize=9)
        words.append(f"your guess was {guess:.0f} %")
    axes.set_yticks(range(len(scores)), scores)
    axes.set(xlim=(0, 108), ylim=(len(scores) - 0.5, -0.5), xlabel="right, in %")
    return fig, "Accuracy: " + "; ".join(words) + "."


def table_text(table: dict[str, Tensor]) -> str:
    """Method × K with 95 % half-widths over alphabets, as plain lines."""
    head = f"{'right, in %':18}" + "".join(f"{f'K = {k}':>11}" for k in record.SHOTS)
    lines = [head]
    for name, rows in table.items():
        lines.append(f"{name:18}" + "".join(f"{estimate(row).percent(0):>11}" for row in rows))
    return "\n".join(lines)


def matrix_figure(matrix: dict[tuple[str, str], Estimate], guess: float | None):
    """Accuracy from every source (a marker each) on every target, with the guess; and in words."""
    fig, words = pictures.figure(8, 2.9), []
    axes, targets = fig.subplots(), [*dict.fromkeys(target for _, target in matrix)]
    for i, (source, (label, colour, marker)) in enumerate(SOURCES.items()):
        scores = [matrix[source, target] for target in targets]
        places = [j + 0.2 * (i - 1) for j in range(len(targets))]
        error = {"yerr": [100 * e.half_width for e in scores], "ls": "", "ms": 8, "elinewidth": 3}
        means = [100 * e.mean for e in scores]
        axes.errorbar(places, means, **error, color=COLOR[colour], marker=marker, label=label)
        for place, mean in zip(places, means):
            axes.text(place + 0.05, mean, f"{mean:.0f}", va="center", fontsize=9)
        words.append(f"{label}: " + ", ".join(f"{t} {e}" for t, e in zip(targets, scores)))
    if guess is not None:
        place = {"color": COLOR["you"], "ms": 9, "label": "your guess"}
        axes.plot([targets.index("Omniglot")], [guess], "P", **place)
        words.append(f"your guess was {guess:.0f} %")
    axes.set_xticks(range(len(targets)), [f"{t} characters" for t in targets])
    axes.set(
        xlim=(-0.5, len(targets) - 0.4),
        ylim=(0, 100),
        xlabel="tested on",
        ylabel="right, in %, K = 5",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return fig, f"Nearest mean of five drawings. {'; '.join(words)}."


SOURCES = {  # label, colour, marker
    "Omniglot": ("pretrained on Omniglot", "support", "o"),
    "generated": ("pretrained on generated", "after", "D"),
    "untrained": ("untrained body", "before", "s"),
}


def mean_figure(sines: SineTasks, x: Tensor, learned: Tensor) -> tuple[Figure, str]:
    """A thousand waves, the curve that one network learned of them (points, 1); and in words."""
    fig = pictures.figure(7, 2.6)
    axes = fig.subplots()
    amplitude, phase = (v.flatten(1) for v in sines.waves(1000, torch.Generator().manual_seed(0)))
    waves = amplitude * torch.sin(x.T - phase)
    axes.plot(x, waves.T, color=COLOR["before"], alpha=0.03, lw=1)
    axes.plot(x, learned, color=COLOR["after"], label="what pretraining learned")
    axes.plot(x, -5.1 / torch.pi * torch.cos(x), ":", color=COLOR["truth"], label="−(5.1/π) cos x")
    axes.set(xlabel="x", ylabel="y", ylim=(-5.5, 5.5))
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    off = float((learned + 5.1 / torch.pi * torch.cos(x)).abs().max())
    return fig, f"1000 sine waves and the curve learned from them, within {off:.1f} of their mean."


def tuned_figure(support, x: Tensor, start: Tensor, curves: Tensor) -> tuple[Figure, str]:
    """A few waves' points, the start (points, 1) and what it became (tasks, points, 1)."""
    fig = pictures.figure(8, 2.3)
    panels = fig.subplots(1, len(curves), sharey=True)
    for axes, given_x, given_y, curve in zip(panels, *support, curves):
        basis = torch.cat([torch.sin(given_x), torch.cos(given_x)], 1)
        wave = (
            torch.cat([torch.sin(x), torch.cos(x)], 1) @ torch.linalg.lstsq(basis, given_y).solution
        )
        axes.plot(x, wave, color=COLOR["truth"], lw=1, label="the wave")
        axes.plot(x, start, "--", color=COLOR["before"], label="before")
        axes.plot(x, curve, color=COLOR["after"], label="after 10 steps")
        axes.plot(given_x, given_y, "o", color=COLOR["support"], label="5 points")
        axes.set(xlabel="x", ylim=(-5.5, 5.5))
    panels[0].set_ylabel("y")
    handles = panels[0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside upper center", ncols=4, fontsize=9)
    return fig, f"{len(curves)} waves, five points of each, and the mean curve tuned to the points."
