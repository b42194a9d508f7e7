"""The labs and pictures of chapter 09: which wave made these points, and features under a head."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ..evaluation import Estimate, bounded, estimate
from ..learners import sine_features as record
from ..learners import wave_recognition as waves
from ..learners.maml import Params
from ..pictures import ABOVE, COLOR, INK, figure, moving_interval, panels, told
from ..tasks import Episode, Points, SineTasks
from .engine import Lab, Preset, slider, stops

CURVE = torch.linspace(-5, 5, 101, dtype=torch.float64)
Embed = Callable[[Tensor], Tensor]

# ---------------------------------------------------------------- which wave?

N_WAY, MOST, JUDGED, LETTERS = 5, 10, 40, "ABCDE"
CONTENDERS = ("knows sin and cos", "ProtoNet", "raw points")
MARKS = {"knows sin and cos": "truth", "ProtoNet": "after", "raw points": "pixels"}


class Recognised(NamedTuple):
    """Five waves, a question about them, and how often each contender is right."""

    support: Tensor  # (5, K · points, 2)
    truth: Tensor  # (5, 101)
    question: Tensor  # (points, 2)
    distances: Tensor  # (5,), squared, of the question's embedding to the prototypes
    answer: int  # the wave that made the question
    right: dict[str, Estimate]
    k_shot: int

    @property
    def said(self) -> int:
        """The wave that ProtoNet names."""
        return int(self.distances.argmin())


def deal(n_tasks: int, seed: int, k_shot: int, n_points: int, noise: float) -> Episode:
    """Episodes of which more shots, points or noise keep what there was."""
    draw = torch.Generator().manual_seed(seed)
    episodes = waves.sample(n_tasks, draw, MOST, 2, MOST, noise)
    (sx, sy), (qx, qy) = episodes
    few = sx.unflatten(1, (N_WAY, MOST))[:, :, :k_shot, :n_points].flatten(1, 2)
    labels = sy.unflatten(1, (N_WAY, MOST))[:, :, :k_shot].flatten(1, 2)
    return Episode(Points(few, labels), Points(qx[:, :, :n_points], qy))


def scores(embed: Embed, episodes: Episode) -> dict[str, Tensor]:
    """What each contender says of the queries, (tasks, queries, 5)."""
    support, query = episodes

    def seen(how: Embed) -> tuple[Points, Points]:
        return Points(how(support.x), support.y), Points(how(query.x), query.y)

    with torch.no_grad():
        return {
            "knows sin and cos": waves.by_formula(support, query),
            "ProtoNet": waves.by_prototypes(*seen(embed)),
            "raw points": waves.by_prototypes(*seen(waves.in_order)),
        }


def recognised(embed: Embed, k_shot: int, n_points: int, noise: float, episode: int) -> Recognised:
    """One episode to look at, and the accuracies over 40 others."""
    others = deal(JUDGED, 5000, k_shot, n_points, noise)
    right = {
        name: estimate(waves.accuracies(said, others.query))
        for name, said in scores(embed, others).items()
    }
    support, query = deal(1, episode, k_shot, n_points, noise)
    pick = episode * 3 % len(query.y[0])
    draw = torch.Generator().manual_seed(episode)
    amplitude, phase = SineTasks().waves(N_WAY, draw)  # what `sample` draws first
    one = Points(query.x[:, pick : pick + 1], query.y[:, pick : pick + 1])
    return Recognised(
        support=support.x[0].unflatten(0, (N_WAY, k_shot)).flatten(1, 2),
        truth=(amplitude * torch.sin(CURVE - phase))[:, 0],
        question=one.x[0, 0],
        distances=-scores(embed, Episode(support, one))["ProtoNet"][0, 0],
        answer=int(one.y[0, 0]),
        right=right,
        k_shot=k_shot,
    )


def recognised_scene(fig):
    """Five panels of points with the question's among them, and the accuracies."""
    axes = fig.subplots(1, N_WAY + 1, width_ratios=[1] * N_WAY + [2.1])
    parts = [wave_panel(ax, letter, k) for k, (ax, letter) in enumerate(zip(axes, LETTERS))]
    for ax in axes[1:N_WAY]:
        ax.tick_params(labelleft=False)
    axes[0].set_ylabel("y")
    fig.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper left", fontsize=9)
    return panels([*parts, accuracy_scene(axes[-1])], recognised_words)


def wave_panel(axes, letter: str, k: int):
    """A wave's support, the question's points, the distance to its prototype; framed if named."""
    moves = {"animated": True}
    (truth,) = axes.plot(CURVE, 0 * CURVE, ":", color=COLOR["truth"], lw=1.2, label="wave", **moves)
    (dots,) = axes.plot([], [], "o", color=COLOR["support"], ms=3, label="support, S", **moves)
    style = {"color": COLOR["query"], "ms": 6, "mec": COLOR["truth"], "mew": 0.7}
    (asked,) = axes.plot([], [], "D", label="question", **style, **moves)
    place = {"transform": axes.transAxes, "ha": "center", "fontsize": 9}
    note = axes.text(0.5, 0.02, "", va="bottom", **place, **moves)
    frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, lw=3, **moves)
    frame.set(edgecolor=COLOR["after"], clip_on=False)
    axes.add_patch(frame)
    axes.set(xlim=(-5, 5), ylim=(-8.4, 6.5), xticks=(-4, 0, 4), yticks=(-5, 0, 5))
    axes.set_title(letter, fontsize=10, weight="bold")

    def update(data: Recognised) -> None:
        truth.set_ydata(data.truth[k])
        dots.set_data(*data.support[k].T)
        asked.set_data(*data.question.T)
        note.set_text(f"{'true, ' if k == data.answer else ''}d² {told(float(data.distances[k]))}")
        note.set_weight("bold" if k == data.answer else "normal")
        frame.set_visible(k == data.said)

    return update


def accuracy_scene(axes):
    """The part of the questions that each contender has right, with intervals, and chance."""
    move = {name: moving_interval(axes, COLOR[MARKS[name]]) for name in CONTENDERS}
    axes.axvline(1 / N_WAY, color=COLOR["chance"], lw=2)
    axes.text(1 / N_WAY + 0.02, 2.45, "chance", color=COLOR["truth"], fontsize=8.5, va="center")
    axes.set(xlim=(0, 1.02), ylim=(2.7, -0.6), yticks=[], xlabel=f"right, of {JUDGED * 10}")
    axes.set_xticks((0, 0.5, 1), ("0", "50 %", "100 %"))
    axes.spines["left"].set_visible(False)
    for row, name in enumerate(CONTENDERS):
        text = axes.text(0.02, row - 0.3, name, fontsize=9, color=INK[MARKS[name]], va="center")
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})  # above the line

    def update(data: Recognised) -> None:
        for row, name in enumerate(CONTENDERS):
            found = data.right[name]
            move[name](max(found.low, 0), found.mean, min(found.high, 1), row)

    return update


def recognised_words(data: Recognised) -> str:
    """The picture in words."""
    found = ", ".join(f"{name} {100 * e.mean:.0f} %" for name, e in data.right.items())
    n_points = len(data.question)
    return (
        f"Five waves A to E, each with {data.k_shot} shot{'s' * (data.k_shot != 1)} of {n_points} "
        f"point{'s' * (n_points != 1)}. The question's points are of wave "
        f"{LETTERS[data.answer]}; ProtoNet says {LETTERS[data.said]}. "
        f"Right over {JUDGED} episodes: {found}; chance 20 %."
    )


NOISES = (0.0, 0.1, 0.3, 1.0, 2.0)


def recognition_lab(embed: Embed) -> Lab:
    """A trained embedding of sets, at any number of shots, points and noise."""

    def data(**values) -> Recognised:
        return recognised(embed, **values)

    controls = {
        "k_shot": slider("K  shots", 1, MOST, 1, 5),
        "n_points": slider("points a shot", 1, MOST, 1, 5),
        "noise": stops("σ  noise", NOISES, 0.3),
        "episode": slider("episode number", 1, 20, 1, 4),
    }
    title = "Which wave made these points?"
    return Lab(title, data, recognised_scene, controls, RECOGNITION_PRESETS, (9.0, 3.0))


def gap(data: Recognised) -> float:
    """By how much the formula is ahead of ProtoNet."""
    return data.right["knows sin and cos"].mean - data.right["ProtoNet"].mean


RECOGNITION_PRESETS = {
    "one shot": Preset(
        {"k_shot": 1},
        "One shot of five points a wave: ProtoNet is right more than 60 % of the time.",
        lambda d: d.k_shot == 1 and d.right["ProtoNet"].mean > 0.6,
    ),
    "a single point": Preset(
        {"n_points": 1},
        "A question of one point: many waves pass there, and even the formula is below 85 %.",
        lambda d: len(d.question) == 1 and d.right["knows sin and cos"].mean < 0.85,
    ),
    "no noise": Preset(
        {"noise": 0.0},
        "Without noise the formula is always right, and the embedding is not.",
        lambda d: d.right["knows sin and cos"].mean == 1 and d.right["ProtoNet"].mean < 0.97,
    ),
    "loud": Preset(
        {"noise": 2.0},
        "σ = 2: both are far down, and knowing the formula is worth less than 15 points.",
        lambda d: d.right["knows sin and cos"].mean < 0.65 and gap(d) < 0.15,
    ),
    "ten points": Preset(
        {"n_points": 10},
        "Ten points a shot, twice those of training: better, by its own mean over points.",
        lambda d: len(d.question) == 10 and d.right["ProtoNet"].mean > 0.85,
    ),
}


# ---------------------------------------------------------------- features under a head

SHOTS = record.SHOTS
LOW, HIGH = 1e-4, 30.0


class Explored(NamedTuple):
    """One wave, its points, the solved head's curve; the features' span; losses over K."""

    support: tuple[Tensor, Tensor]  # (K,) each
    truth: Tensor  # (101,)
    curve: Tensor  # (101,)
    span: Tensor  # (101, 2): sin and cos as the two strongest directions have them
    share: float  # the part of the features that is made of sin and cos, 0 to 1
    losses: Tensor  # (SHOTS,) medians over 100 waves
    rival: Tensor  # (SHOTS,) of MAML after ten steps
    n_features: int

    @property
    def k_shot(self) -> int:
        """Support points of the drawn wave."""
        return len(self.support[0])

    def loss(self, k_shot: int) -> float:
        """The median at this many points."""
        return float(self.losses[SHOTS.index(k_shot)])


@torch.no_grad()
def in_span(params: Params) -> tuple[Tensor, float]:
    """sin and cos projected on the two strongest directions of the features, (101, 2); and which
    part of all the features' squares lies in the plane of sin and cos."""
    z = record.features(params, record.GRID[:, None])
    target = torch.cat([record.GRID[:, None].sin(), record.GRID[:, None].cos()], 1)
    strongest = torch.linalg.svd(z, full_matrices=False).U[:, :2]
    plane = torch.linalg.qr(target).Q
    share = (plane.mT @ z).square().sum() / z.square().sum()
    return strongest @ (strongest.mT @ target), float(share)


@torch.no_grad()
def explored(
    params: Params, k_shot: int, penalty: float, noise: float, frequency: float
) -> Explored:
    """Everything that the lab shows of one network of features."""
    places = torch.tensor([-3.1, 1.2, 4.0, -0.6, 2.6, -4.3, -1.9, 0.4, 3.3, -2.5]).double()
    x = places[:k_shot, None]
    draw = torch.Generator().manual_seed(1)
    hum = noise * torch.randn(len(places), 1, generator=draw, dtype=torch.float64)[:k_shot]
    support = Points(x, 3 * torch.sin(frequency * x - 1) + hum)
    span, share = in_span(params)
    return Explored(
        support=(support.x[:, 0], support.y[:, 0]),
        truth=3 * torch.sin(frequency * CURVE - 1),
        curve=record.predict(params, support, CURVE[:, None], penalty)[:, 0],
        span=span,
        share=share,
        losses=record.medians(params, penalty, noise, frequency),
        rival=record.recorded_maml(noise, frequency),
        n_features=len(params["2.bias"]),
    )


def explored_scene(fig):
    """The wave with the solved curve, sin and cos in the features, and the losses over K."""
    left, middle, right = fig.subplots(1, 3, width_ratios=[1.1, 1, 1])
    parts = solved_scene(left), span_scene(middle), shots_scene(right)
    return panels(parts, explored_words)


def solved_scene(axes):
    """The wave, its points, and the curve of the solved head."""
    moves = {"animated": True}
    (truth,) = axes.plot(CURVE, 0 * CURVE, ":", color=COLOR["truth"], label="wave", **moves)
    (curve,) = axes.plot(CURVE, 0 * CURVE, color=COLOR["after"], label="solved", **moves)
    (dots,) = axes.plot([], [], "o", color=COLOR["support"], ms=7, label="S", **moves)
    axes.set(xlim=(-5, 5), ylim=(-6, 6), xlabel="x", ylabel="y")
    axes.legend(ncols=3, handlelength=1.4, **ABOVE)

    def update(data: Explored) -> None:
        truth.set_ydata(data.truth)
        curve.set_ydata(data.curve.clamp(-99, 99))
        dots.set_data(*data.support)

    return update


def span_scene(axes):
    """sin and cos, dotted, and as the two strongest directions of the features have them."""
    moves = {"animated": True}
    for wave in (CURVE.sin(), CURVE.cos()):
        axes.plot(CURVE, wave, ":", color=COLOR["truth"], lw=1.5)
    pair = [axes.plot(CURVE, 0 * CURVE, color=COLOR["pixels"], **moves)[0] for _ in range(2)]
    axes.set(xlim=(-5, 5), ylim=(-1.5, 1.5), yticks=(-1, 0, 1), xlabel="x")
    title = axes.text(0.5, 1.03, "", transform=axes.transAxes, ha="center", fontsize=9, **moves)

    def update(data: Explored) -> None:
        for line, values in zip(pair, data.span.T):
            line.set_ydata(values)
        title.set_text(f"features: {100 * data.share:.0f} % sin and cos")

    return update


def shots_scene(axes):
    """Medians over 100 waves: the features', and MAML's."""
    moves, places = {"animated": True}, range(len(SHOTS))
    style = {"ms": 5, **moves}
    (ours,) = axes.plot([], [], "o-", color=COLOR["after"], label="features", **style)
    (theirs,) = axes.plot([], [], "s--", color=COLOR["before"], label="MAML, 10 steps", **style)
    axes.set(yscale="log", ylim=(LOW / 1.5, HIGH * 1.5), xlim=(-0.4, len(SHOTS) - 0.6))
    axes.set(xlabel="K  shots", ylabel="loss, median of 100", yticks=[1e-4, 1e-3, 0.01, 0.1, 1, 10])
    axes.minorticks_off()
    axes.set_xticks(places, SHOTS)
    axes.legend(ncols=2, columnspacing=1.0, handlelength=1.4, **ABOVE)

    def update(data: Explored) -> None:
        ours.set_data(places, data.losses.clamp(LOW, HIGH))
        theirs.set_data(places, data.rival.clamp(LOW, HIGH))

    return update


def explored_words(data: Explored) -> str:
    """The picture in words."""
    found, other = (
        ", ".join(told(float(v)) for v in values) for values in (data.losses, data.rival)
    )
    off = float((data.curve - data.truth).square().mean())
    return (
        f"A wave, {data.k_shot} point{'s' * (data.k_shot != 1)}, a head solved on "
        f"{data.n_features} features: loss {told(off)} on the whole wave. The features are "
        f"{100 * data.share:.0f} % sin and cos. Median loss with K = 1, 2, 3, 5, 10 points: "
        f"{found}; MAML after ten steps: {other}."
    )


PENALTIES = (1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


def explorer_lab() -> Lab:
    """The features on file, under a head solved at any K and penalty."""

    def data(n_features: int, when: int, **values) -> Explored:
        return explored(record.recorded(n_features, when), **values)

    def live(n_features: int, when: int, **values) -> Iterator[Explored]:
        for checkpoint in record.run(n_features=n_features):
            yield explored(checkpoint.params, **values)

    controls = {
        "k_shot": slider("K  shots", 1, 10, 1, 2),
        "penalty": stops("λ  penalty", PENALTIES, 0.01),
        "n_features": stops("features", record.SIZES, 40),
        "when": stops("meta-steps", record.CHECKPOINTS, 2000),
        "noise": stops("σ  noise", record.NOISES, 0.0),
        "frequency": stops("ω  frequency", record.FREQUENCIES, 1.0),
    }
    title, size = "Learned features, solved head", (9.0, 3.2)
    return Lab(title, data, explored_scene, controls, EXPLORER_PRESETS, size, live)


EXPLORER_PRESETS = {
    "one point": Preset(
        {"k_shot": 1},
        "One point cannot fix a wave: a median above 0.5, where two points are below 0.03.",
        lambda d: d.k_shot == 1 and d.loss(1) > 0.5 and d.loss(2) < 0.03,
    ),
    "untrained": Preset(
        {"when": 0, "k_shot": 10},
        "Features that learned nothing: with ten points worse than MAML.",
        lambda d: d.share < 0.1 and d.loss(10) > d.rival[-1],
    ),
    "two features": Preset(
        {"n_features": 2},
        "Two features would do, but this training did not find them: 11 % sin and cos.",
        lambda d: d.n_features == 2 and d.share < 0.2,
    ),
    "heavy penalty": Preset(
        {"penalty": 10.0, "k_shot": 10},
        "λ = 10 flattens the curve: good features, and still worse than MAML.",
        lambda d: d.share > 0.9 and d.loss(2) > 1 and d.loss(10) > d.rival[-1],
    ),
    "noise": Preset(
        {"noise": 1.0},
        "σ = 1: two points are worth little now, a median above 1; ten bring it below 0.5.",
        lambda d: d.loss(2) > 1 and d.loss(10) < 0.5,
    ),
    "another frequency": Preset(
        {"frequency": 0.8, "k_shot": 10},
        "ω = 0.8 was never trained: with ten points MAML, which may change its body, is ahead.",
        lambda d: d.share > 0.9 and d.loss(1) > 1.5 and d.loss(10) > 1.5 * d.rival[-1],
    ),
}


# ---------------------------------------------------------------- pictures


def opening_figure(episode: int = 4) -> tuple[Figure, str]:
    """Five waves by their points, and a question: which of them made these? With words."""
    data = recognised(waves.in_order, 5, 5, 0.3, episode)
    fig = figure(8, 2.2)
    axes = fig.subplots(1, N_WAY + 1, sharey=True)
    for ax, letter, points in zip(axes, LETTERS, data.support):
        ax.plot(*points.T, "o", color=COLOR["support"], ms=3)
        ax.set_title(letter, fontsize=10, weight="bold")
    style = {"color": COLOR["query"], "ms": 6, "mec": COLOR["truth"], "mew": 0.7}
    axes[-1].plot(*data.question.T, "D", **style)
    axes[-1].set_title("which one?", fontsize=10, weight="bold")
    for ax in axes:
        ax.set(xlim=(-5, 5), xticks=(-4, 0, 4), ylim=(-6.2, 6.2), yticks=(-4, 0, 4), xlabel="x")
    axes[0].set_ylabel("y")
    words = "25 noisy points of each of five waves, A to E, and five points of one of them."
    return fig, f"{words} They are of wave {LETTERS[data.answer]}."


def contenders_figure(found: dict[str, Estimate], guess: float | None = None) -> tuple[Figure, str]:
    """The part of the questions that each has right, with intervals, and a guess; with words."""
    fig = figure(7, 0.5 * len(found) + 1.1)
    axes = fig.subplots()
    for row, (name, e) in enumerate(found.items()):
        colour = MARKS.get(name, "before")
        axes.errorbar(
            100 * e.mean, row, xerr=100 * e.half_width, fmt="o", ms=7, color=COLOR[colour]
        )
    axes.axvline(100 / N_WAY, color=COLOR["chance"], lw=2, label="chance")
    if guess is not None:
        axes.axvline(guess, color=COLOR["you"], lw=2, ls="--", label="your guess")
    axes.set(yticks=range(len(found)), yticklabels=[*found], ylim=(len(found) - 0.5, -0.5))
    axes.set(xlim=(0, 101), xlabel="questions right, in %")
    fig.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    words = "; ".join(f"{name} {100 * e.mean:.0f} %" for name, e in found.items())
    return fig, f"Questions right: {words}; chance 20 %."


def features_figure(networks: dict[str, Params]) -> tuple[Figure, str]:
    """All features of each network over x, in grey, and sin and cos as their two strongest
    directions have them; with words."""
    fig, words = figure(8, 2.6), []
    for ax, (name, params) in zip(fig.subplots(1, len(networks), sharey=True), networks.items()):
        span, share = in_span(params)
        z = record.features(params, record.GRID[:, None]).detach()
        ax.plot(record.GRID, z, color=COLOR["before"], lw=0.6, alpha=0.6)
        ax.plot(CURVE, span, color=COLOR["pixels"])
        for wave in (CURVE.sin(), CURVE.cos()):
            ax.plot(CURVE, wave, ":", color=COLOR["truth"], lw=1.5)
        said = f"{100 * share:.0f} % sin and cos"
        ax.set(xlim=(-5, 5), ylim=(-1.5, 1.5), yticks=(-1, 0, 1), xlabel="x")
        ax.set_title(f"{name}: {said}", fontsize=10)
        words.append(f"{name}: {said}")
    return fig, f"The features over x, with sin and cos among them. {'; '.join(words)}."


METHODS = {
    "MAML, one step": "before",
    "MAML, ten steps": "truth",
    "features, ReLU": "pixels",
    "features": "after",
    "yours": "you",
}


def methods_figure(found: dict[str, list[Tensor]]) -> tuple[Figure, str]:
    """Means with intervals, and medians hollow, with 2, 5 and 10 points; with words.

    found: {one of METHODS: [losses (tasks,) for each K]}. A mean without bound is an arrow.
    """
    fig, words = figure(8, 3.4), []
    axes = fig.subplots()
    for i, (name, rows) in enumerate(found.items()):
        colour, shift = COLOR[METHODS[name]], 0.13 * (i - (len(found) - 1) / 2)
        for x, row in enumerate(rows):
            label = {"label": name} if x == 0 else {}
            if (e := bounded(row)) is not None:
                style = {"fmt": "o", "ms": 6, "color": colour, "capsize": 3}
                axes.errorbar(x + shift, e.mean, e.half_width, **style, **label)
            else:
                axes.plot([x + shift], [20], "^", color=colour, ms=8, **label)
            axes.plot([x + shift], [row.median()], "o", color=colour, mfc="white", ms=6)
        words.append(f"{name}: " + ", ".join(told(float(row.mean())) for row in rows))
    axes.set(yscale="log", ylim=(1e-3, 30), ylabel="mean squared error", xlabel="K  shots")
    axes.set_yticks([1e-3, 0.01, 0.1, 1, 10], ["0.001", "0.01", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.set_xticks(range(3), (2, 5, 10))
    fig.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=9)
    return fig, "Mean squared error with 2, 5 and 10 points. " + "; ".join(words) + "."
