"""The labs and pictures of chapter 05: a trained network under one's hands, and whole trainings."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..evaluation import Estimate, bounded
from ..learners import maml
from ..learners import sine_runs as record
from ..learners.networks import mlp_together, squared_errors
from ..pictures import COLOR, LEGEND, figure, panels, told
from ..tasks import Episode, Points, SineTasks
from .engine import Lab, Preset, slider, stops

CURVE = torch.linspace(-5, 5, 101, dtype=torch.float64)
OTHERS = 24  # waves over which the lab averages, beside the one it draws
LOW, HIGH = 1e-3, 1e2  # losses that are drawn
COLOURS = {"MAML": "after", "pretrained": "before"}


# ---------------------------------------------------------------- adapting a trained network


class Adapted(NamedTuple):
    """One wave and two starts; losses are (steps + 1, waves), the drawn wave first."""

    support: tuple[Tensor, Tensor]
    truth: Tensor  # (101,), as are the curves (before, after) of each start
    curves: dict[str, tuple[Tensor, Tensor]]
    losses: dict[str, Tensor]
    covered: tuple[float, float]  # where support points may lie
    inner_lr: float

    def others(self, name: str) -> Tensor:
        """The median over the other waves after each step, (steps + 1,)."""
        return self.losses[name][:, 1:].median(1).values

    def lost(self, name: str) -> int:
        """How many of all waves end with a larger loss than they began with."""
        return int((~(self.losses[name][-1] <= self.losses[name][0])).sum())


def episodes(k_shot: int, side: int, amplitude: float, wave: int) -> Episode:
    """The drawn wave and OTHERS more, all of this amplitude; x of the support on one side or both.

    Query points lie everywhere. The first K of twenty support places are taken.
    """
    generator = torch.Generator().manual_seed(500 + wave)
    family = SineTasks(amplitude=(amplitude, amplitude))
    _, phase = family.waves(1 + OTHERS, generator)
    u = torch.rand(1 + OTHERS, 20, 1, generator=generator, dtype=torch.float64)
    low, high = sides(side)
    x = (low + (high - low) * u)[:, :k_shot]
    places = x, CURVE[None, :, None].expand(1 + OTHERS, -1, -1)
    return Episode(*(Points(x, amplitude * torch.sin(x - phase)) for x in places))


def sides(side: int) -> tuple[float, float]:
    """The interval that the support covers: −1 the left half, 0 all, 1 the right half."""
    return (-5.0 if side < 1 else 0.0), (5.0 if side > -1 else 0.0)


def adapted(
    networks: dict[str, maml.Params],
    inner_lr: float,
    k_shot: int,
    steps: int,
    side: int,
    amplitude: float,
    wave: int,
) -> Adapted:
    """Both starts adapted to the same waves; everything that the lab shows."""
    tasks, curves, losses = episodes(k_shot, side, amplitude, wave), {}, {}
    for name, params in networks.items():
        path = list(record.walk(params, tasks.support, inner_lr, steps))
        found = torch.stack([squared_errors(p, tasks.query) for p in path]).detach()
        losses[name] = torch.where(found.isnan(), torch.inf, found)
        ends = [mlp_together(one(p), CURVE[None, :, None]) for p in (path[0], path[-1])]
        curves[name] = tuple(end.detach().flatten() for end in ends)
    return Adapted(
        support=tuple(v[0, :, 0] for v in tasks.support),
        truth=tasks.query.y[0, :, 0],
        curves=curves,
        losses=losses,
        covered=sides(side),
        inner_lr=inner_lr,
    )


def one(params: maml.Params) -> maml.Params:
    """The first task's parameters, with the task dimension."""
    return {name: p[:1] for name, p in params.items()}


def adapted_scene(fig):
    """The wave with MAML's curves, with the pretrained network's, and the losses step by step."""
    left, middle, right = fig.subplots(1, 3, width_ratios=[1, 1, 1])
    middle.sharey(left)
    middle.tick_params(labelleft=False)
    parts = curve_scene(left, "MAML"), curve_scene(middle, "pretrained"), loss_scene(right)
    left.set(ylabel="y", ylim=(-8, 8))
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, ncols=4, loc="outside upper left", fontsize=9)
    return panels(parts, adapted_words)


def curve_scene(axes, name: str):
    """The wave, its support and the network before and after its steps."""
    moves, flat = {"animated": True}, torch.zeros_like(CURVE)
    (truth,) = axes.plot(CURVE, flat, ":", color=COLOR["truth"], label="true wave", **moves)
    (before,) = axes.plot(CURVE, flat, "--", color=COLOR["before"], label="before, θ", **moves)
    (after,) = axes.plot(CURVE, flat, color=COLOR["after"], label="after, θ′", **moves)
    (dots,) = axes.plot([], [], "o", color=COLOR["support"], ms=6, label="support, S", **moves)
    shade = axes.axvspan(-5, 5, color="#E8F1F8", lw=0, zorder=0, animated=True)
    axes.set(xlabel="x", xlim=(-5, 5))
    axes.set_title(name, fontsize=10, weight="bold")

    def update(data: Adapted) -> None:
        low, high = data.covered
        shade.set(x=low, width=high - low)
        truth.set_ydata(data.truth)
        for line, y in zip((before, after), data.curves[name]):
            line.set_ydata(y.nan_to_num(99).clamp(-99, 99))
        dots.set_data(*data.support)

    return update


def loss_scene(axes):
    """The loss on the whole wave after each step, for both starts; dotted, the median of others."""
    moves, lines = {"animated": True}, {}
    for name, colour in COLOURS.items():
        style = {"color": COLOR[colour], "ms": 4, **moves}
        lines[name] = axes.plot([], [], "o-", label=name, **style)[0]
        lines[name, "others"] = axes.plot([], [], ":", **style)[0]
    axes.plot([], [], ":", color=COLOR["truth"], label=f"median of {OTHERS}", **moves)
    axes.set(xlabel="gradient steps", ylabel="loss on the whole wave", yscale="log")
    axes.set(xlim=(-0.4, 10.4), xticks=(0, 5, 10), ylim=(LOW / 1.5, HIGH * 1.5))
    axes.set(yticks=[1e-3, 1e-2, 0.1, 1, 10, 100])
    axes.minorticks_off()
    axes.legend(loc="lower left", fontsize=8.5)
    style = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 9}
    note = axes.text(0.99, 1.09, "", **style, **moves)

    def update(data: Adapted) -> None:
        for name in COLOURS:
            losses, others = data.losses[name][:, 0], data.others(name)
            for key, values in ((name, losses), ((name, "others"), others)):
                lines[key].set_data(range(len(values)), values.clamp(LOW, HIGH))
        high = any(float(data.losses[name][:, 0].max()) > HIGH for name in COLOURS)
        note.set_text("↑ off the scale" if high else "")

    return update


def adapted_words(data: Adapted) -> str:
    """The picture in words."""
    steps, k_shot = len(data.losses["MAML"]) - 1, len(data.support[0])
    found = [
        f"{name}: from {told(float(losses[0, 0]))} to {told(float(losses[-1, 0]))}, median of "
        f"{OTHERS} other waves {told(float(data.others(name)[-1]))}"
        for name, losses in data.losses.items()
    ]
    low, high = data.covered
    return (
        f"A wave, {k_shot} support points with x between {low:.0f} and {high:.0f}, {steps} "
        f"step{'s' * (steps != 1)} with α = {data.inner_lr:g}, from two starts. "
        f"Loss on the whole wave, {'; '.join(found)}."
    )


def adapting_lab(networks: dict[str, maml.Params]) -> Lab:
    """Two trained starts, `MAML` and `pretrained`, adapted as the sliders say."""

    def data(**values) -> Adapted:
        return adapted(networks, **values)

    controls = {
        "inner_lr": stops("α  inner learning rate", INNER_LRS, 0.01),
        "k_shot": slider("K  shots", 1, 20, 1, 5),
        "steps": slider("gradient steps", 0, 10, 1, 1),
        "side": slider("support: left, all, right", -1, 1, 1, 0),
        "amplitude": slider("A  (trained: 0.1 to 5)", 0.5, 10.0, 0.5, 4.0, ".1f"),
        "wave": slider("wave number", 1, 20, 1, 1),
    }
    title = "Adapting a trained network"
    return Lab(title, data, adapted_scene, controls, ADAPTING_PRESETS, (9.0, 3.2))


INNER_LRS = (0.0, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1)


def end(data: Adapted, name: str) -> float:
    """The median of the other waves after the last step."""
    return float(data.others(name)[-1])


ADAPTING_PRESETS = {
    "one step": Preset(
        {"steps": 1},
        "Five points, one step: MAML's curve jumps to the wave, the pretrained one hardly moves.",
        lambda d: len(d.losses["MAML"]) == 2 and end(d, "MAML") < end(d, "pretrained") / 2,
    ),
    "ten points, ten steps": Preset(
        {"k_shot": 10, "steps": 10},
        "Now MAML is below 0.3 in the median, and the pretrained network is still above 1.",
        lambda d: end(d, "MAML") < 0.3 and end(d, "pretrained") > 1,
    ),
    "left half only": Preset(
        {"k_shot": 10, "steps": 10, "side": -1},
        "All points on the left: MAML still bends on the right, where it has seen none.",
        lambda d: d.covered[1] == 0 and unseen(d, "MAML") < unseen(d, "pretrained") / 2,
    ),
    "twice as high": Preset(
        {"k_shot": 10, "steps": 10, "amplitude": 10.0},
        "A = 10 was never trained: MAML's median stays above 3.",
        lambda d: float(d.truth.abs().max()) > 9 and end(d, "MAML") > 3,
    ),
    "too bold": Preset(
        {"inner_lr": 0.1, "steps": 10},
        "α = 0.1, ten times that of training: most waves end worse than they began.",
        lambda d: d.inner_lr == 0.1 and d.lost("MAML") > len(d.losses["MAML"][0]) / 2,
    ),
}


def unseen(data: Adapted, name: str) -> float:
    """The loss of the drawn wave where the support has no points, on the right."""
    right = CURVE > 0
    return float((data.curves[name][1] - data.truth)[right].square().mean())


# ---------------------------------------------------------------- whole trainings


class Training(NamedTuple):
    """Recorded trainings at one α and one number of inner steps, and the one that is looked at."""

    found: record.Found  # of all checkpoints at this β
    betas: Tensor  # (BETAS, AFTER, STATISTICS): all β at the chosen checkpoint
    outer_lr: float
    when: int
    live: list[record.Found]

    @property
    def at(self) -> int:
        """The number of the chosen checkpoint."""
        return record.CHECKPOINTS.index(self.when)

    def loss(self, after: int, statistic: str = "median") -> float:
        """After so many steps of adaptation, at the chosen checkpoint."""
        place = record.AFTER.index(after), record.STATISTICS.index(statistic)
        return float(self.found.losses[(self.at, *place)])


def training(
    inner_lr: float, outer_lr: float, steps: int, when: int, live: list | None = None
) -> Training:
    """The recorded runs at α, β and inner steps; looked at after `when` meta-steps."""
    runs = record.recorded()
    place = record.ALPHAS.index(inner_lr), slice(None), record.INNER_STEPS.index(steps)
    losses, curves = (part[place] for part in runs)
    beta, at = record.BETAS.index(outer_lr), record.CHECKPOINTS.index(when)
    found = record.Found(losses[beta], curves[beta])
    return Training(found, losses[:, at], outer_lr, when, live or [])


def training_scene(fig):
    """The loss over the training, the drawn wave at the checkpoint, and the loss over β."""
    left, middle, right = fig.subplots(1, 3, width_ratios=[1.35, 1, 1])
    parts = history_scene(left), wave_scene(middle), beta_scene(right)
    return panels(parts, training_words)


STEPS = {0: ("before", "--", "no step"), 1: ("query", "-", "1 step"), 10: ("after", "-", "10")}
FLOOR, TOP = 1e-2, 1e2


def scaled(losses: Tensor) -> Tensor:
    """Losses as they are drawn; what is off the scale stands at its end."""
    return losses.nan_to_num(TOP, posinf=TOP).clamp(FLOOR, TOP)


def median_of(losses: Tensor, after: int, statistic: str = "median") -> Tensor:
    """One statistic from a tensor (…, AFTER, STATISTICS)."""
    return losses[..., record.AFTER.index(after), record.STATISTICS.index(statistic)]


def loss_axis(axes) -> None:
    """The scale that both pictures of losses share."""
    axes.set(yscale="log", ylim=(FLOOR / 1.4, TOP * 1.4), yticks=[0.01, 0.1, 1, 10, 100])
    axes.minorticks_off()


def history_scene(axes):
    """Medians over 200 new waves after no, one and ten steps, at every checkpoint."""
    moves, places = {"animated": True}, range(len(record.CHECKPOINTS))
    lines = {
        after: axes.plot([], [], ls, color=COLOR[c], marker="o", ms=3, label=label, **moves)[0]
        for after, (c, ls, label) in STEPS.items()
    }
    style = {"color": COLOR["you"], "ms": 6, "lw": 1.5, **moves}
    (live,) = axes.plot([], [], "D-", label="live, 10", **style)
    (here,) = axes.plot([0, 0], [FLOOR / 2, TOP * 2], color=COLOR["truth"], lw=1, **moves)
    loss_axis(axes)
    axes.set(xlim=(-0.3, len(places) - 0.7), xlabel="meta-steps", ylabel="loss, median of 200")
    axes.set_xticks(places, record.CHECKPOINTS, fontsize=8)
    axes.legend(ncols=4, columnspacing=0.9, **LEGEND)

    def update(data: Training) -> None:
        for after, line in lines.items():
            line.set_data(places, scaled(median_of(data.found.losses, after)))
        seen = torch.stack([f.losses for f in data.live]) if data.live else torch.zeros(0, 4, 4)
        live.set_data(range(len(seen)), scaled(median_of(seen, 10)))
        here.set_xdata([data.at, data.at])

    return update


def wave_scene(axes):
    """What the network at the checkpoint does with one wave and ten points of it."""
    moves, (support, query) = {"animated": True}, record.drawn_wave()
    axes.plot(record.GRID, query.y[0, :, 0], ":", color=COLOR["truth"])
    axes.plot(*(v[0, :, 0] for v in support), "o", color=COLOR["support"], ms=5)
    lines = [
        axes.plot(record.GRID, record.GRID, ls, color=COLOR[c], **moves)[0]
        for c, ls, _ in STEPS.values()
    ]
    axes.set(xlabel="x", xlim=(-5, 5), ylim=(-6, 6))
    title = axes.text(0.5, 1.02, "", transform=axes.transAxes, ha="center", fontsize=10, **moves)

    def update(data: Training) -> None:
        for line, curve in zip(lines, data.found.curves[data.at]):
            line.set_ydata(curve.nan_to_num(99).clamp(-99, 99))
        title.set_text(f"one wave, meta-step {data.when}")

    return update


def beta_scene(axes):
    """The loss over β at this checkpoint; the chosen β is ringed."""
    moves = {"animated": True}
    lines = {
        after: axes.plot([], [], ls, color=COLOR[c], marker="o", ms=4, **moves)[0]
        for after, (c, ls, _) in STEPS.items()
    }
    style = {"color": COLOR["truth"], "mfc": "none", "ms": 13, "mew": 1.5}
    (ring,) = axes.plot([], [], "o", **style, **moves)
    loss_axis(axes)
    axes.set(xscale="log", xlim=(2e-4, 4.5e-2), xlabel="β  outer learning rate")
    axes.set_xticks(record.BETAS, [f"{b:g}" for b in record.BETAS], fontsize=8)
    axes.minorticks_off()
    title = axes.text(0.5, 1.02, "", transform=axes.transAxes, ha="center", fontsize=10, **moves)

    def update(data: Training) -> None:
        for after, line in lines.items():
            line.set_data(record.BETAS, scaled(median_of(data.betas, after)))
        ring.set_data([data.outer_lr], scaled(torch.tensor([data.loss(10)])))
        title.set_text(f"all β, meta-step {data.when}")

    return update


def training_words(data: Training) -> str:
    """The picture in words."""
    first, last = (told(float(median_of(data.found.losses, 10)[i])) for i in (0, data.at))
    live = f" Live so far: {told(float(median_of(data.live[-1].losses, 10)))}." if data.live else ""
    betas = ", ".join(told(float(v)) for v in median_of(data.betas, 10))
    return (
        f"A whole training with β = {data.outer_lr:g}, looked at after {data.when} meta-steps. "
        f"Median loss of 200 new waves after ten steps: {first} at the start, {last} now; no step "
        f"{told(data.loss(0))}, one step {told(data.loss(1))}. After ten steps for every β from "
        f"{record.BETAS[0]:g} to {record.BETAS[-1]:g}: {betas}.{live}"
    )


def training_lab() -> Lab:
    """α, β, inner steps and training time over the recorded grid; any run of it made anew."""

    def data(inner_lr: float, outer_lr: float, steps: int, when: int) -> Training:
        return training(inner_lr, outer_lr, steps, when)

    def live(inner_lr: float, outer_lr: float, steps: int, when: int) -> Iterator[Training]:
        seen = []
        for found in record.run(inner_lr, outer_lr, steps):
            seen.append(found)
            yield training(inner_lr, outer_lr, steps, when, [*seen])

    controls = {
        "outer_lr": stops("β  outer learning rate", record.BETAS, 1e-3),
        "inner_lr": stops("α  inner learning rate", record.ALPHAS, 0.01),
        "steps": stops("inner steps", record.INNER_STEPS, 1),
        "when": stops("meta-steps", record.CHECKPOINTS, 1000),
    }
    title, size = "Whole trainings", (9.0, 3.2)
    return Lab(title, data, training_scene, controls, TRAINING_PRESETS, size, live)


TRAINING_PRESETS = {
    "small β": Preset(
        {"outer_lr": 3e-4},
        "β = 0.0003: 1000 meta-steps are not enough. With β = 0.01 the median is a fifth of it.",
        lambda d: d.when == 1000 and d.loss(10) > 5 * float(median_of(d.betas, 10)[3]),
    ),
    "large β": Preset(
        {"outer_lr": 3e-2, "when": 100},
        "β = 0.03: below 0.6 after 100 meta-steps, where β = 0.001 is still above 2.",
        lambda d: d.when == 100 and d.loss(10) < 0.6 and float(median_of(d.betas, 10)[1]) > 2,
    ),
    "large α": Preset(
        {"inner_lr": 0.1, "steps": 5},
        "α = 0.1 and five inner steps: no β trains, all medians stay above 2.5.",
        lambda d: d.when == 1000 and bool((median_of(d.betas, 10) > 2.5).all()),
    ),
    "worse again": Preset(
        {"outer_lr": 3e-2, "inner_lr": 0.1},
        "Large α and large β: the last 300 meta-steps make it worse.",
        lambda d: d.loss(10) > float(median_of(d.found.losses, 10)[-2]) and d.when == 1000,
    ),
}


# ---------------------------------------------------------------- pictures


def recorded_starts() -> dict[str, maml.Params]:
    """Two networks on file: one that learned to learn waves, one that learned waves."""
    rules = {"MAML": "MAML", "pretrained": "pretraining"}
    return {name: record.trained(rule).params for name, rule in rules.items()}


def opening_figure(networks: dict[str, maml.Params], wave: int = 1) -> tuple[Figure, str]:
    """One new wave, five points, one step, from two starts; with words."""
    data = adapted(networks, 0.01, 5, 1, 0, 4.0, wave)
    fig = figure(8, 2.8)
    for axes, name in zip(fig.subplots(1, 2, sharey=True), COLOURS):
        curve_scene(axes, name)(data)
        for artist in axes.findobj(lambda a: a.get_animated()):
            artist.set_animated(False)
    fig.axes[0].set(ylabel="y", ylim=(-6, 6))
    for axes, title in zip(fig.axes, ("a start that MAML learned", "a pretrained network")):
        axes.set_title(title, fontsize=10)
    handles = fig.axes[0].get_legend_handles_labels()
    fig.legend(*handles, ncols=4, loc="outside upper center", fontsize=9)
    return fig, adapted_words(data)


PAPER = {"MAML": (0.67, 0.38, 0.35), "pretrained": (2.41, 2.23, 2.19)}  # K = 5; 1, 5, 10 steps


def table_figure(
    losses: dict[tuple[str, int], Tensor], guess: float | None = None
) -> tuple[Figure, str]:
    """Means with intervals after 1, 5 and 10 steps beside the paper's, medians hollow; with words.

    losses: {(method, K): (3, tasks)}. guess: a reader's, for MAML after one step with K = 5.
    """
    fig, words = figure(8, 3.2), []
    for axes, k_shot in zip(fig.subplots(1, 2, sharey=True), (5, 10)):
        for name, colour in COLOURS.items():
            rows = losses[name, k_shot]
            bars(axes, [bounded(row) for row in rows], COLOR[colour], name)
            axes.plot(range(3), scaled(rows.median(1).values), "o", mfc="none", **ring(colour))
            found = ", ".join(told(float(row.mean())) for row in rows)
            words.append(f"{name}, K = {k_shot}: {found}")
            if k_shot == 5:
                axes.plot(range(3), PAPER[name], "x", color=COLOR["truth"], ms=9, mew=2, zorder=5)
        axes.set_title(f"K = {k_shot}", fontsize=10)
        axes.set(xlim=(-0.4, 2.4), xlabel="gradient steps", yscale="log", ylim=(0.03, 8))
        axes.set_xticks(range(3), (1, 5, 10))
        axes.set_yticks([0.1, 1], ["0.1", "1"])
    first = fig.axes[0]
    first.set_ylabel("mean squared error")
    first.plot([], [], "x", color=COLOR["truth"], ms=9, mew=2, label="the paper")
    first.plot([], [], "o", mfc="none", color=COLOR["truth"], label="median")
    if guess is not None:
        first.plot([0], [max(guess, 0.03)], "D", color=COLOR["you"], ms=9, label="your guess")
    fig.legend(*first.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=9)
    return fig, "Mean squared error after 1, 5 and 10 steps. " + "; ".join(words) + "."


def ring(colour: str) -> dict:
    """The look of a median."""
    return {"color": COLOR[colour], "ms": 9, "mew": 1.5}


def bars(axes, cells: list[Estimate | None], colour: str, label: str) -> None:
    """Dots with intervals; an arrow at the top where the mean has no bound."""
    known = [(i, e) for i, e in enumerate(cells) if e is not None]
    places, means = [i for i, _ in known], [e.mean for _, e in known]
    widths = [e.half_width for _, e in known]
    axes.errorbar(places, means, widths, fmt="o", ms=6, color=colour, capsize=4, label=label)
    for i, e in enumerate(cells):
        if e is None:
            axes.plot([i], [7], "^", color=colour, ms=9)


def graph_figure(
    bytes_held: dict[str, list[int]], seconds: dict[str, list[float]], steps: tuple[int, ...]
) -> tuple[Figure, str]:
    """Memory of the graph and time of a meta-gradient over inner steps, both orders; with words."""
    fig = figure(8, 2.6)
    left, right = fig.subplots(1, 2)
    looks = {"second order": ("after", "o-"), "first order": ("pixels", "s--")}
    for name, (colour, marker) in looks.items():
        held = [b / 2**20 for b in bytes_held[name]]
        left.plot(steps, held, marker, color=COLOR[colour], label=name)
        right.plot(steps, [1000 * s for s in seconds[name]], marker, color=COLOR[colour])
    left.set(ylabel="MiB kept for the way back", ylim=(0, None))
    right.set(ylabel="ms a meta-gradient", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="inner steps", xticks=steps)
    left.legend(fontsize=9)
    held = {name: f"{b[0] / 2**20:.1f} to {b[-1] / 2**20:.1f}" for name, b in bytes_held.items()}
    found = "; ".join(f"{name}: {values} MiB" for name, values in held.items())
    return fig, f"Memory and time over {steps[0]} to {steps[-1]} inner steps. {found}."


FAR = 1.0  # differences beyond are written, not drawn


def differences_figure(found: dict[str, list[Estimate]]) -> tuple[Figure, str]:
    """How much each rule's loss differs from MAML's on the same tasks, per training; with words."""
    fig = figure(8, 2.8)
    axes = fig.subplots()
    for row, estimates in enumerate(found.values()):
        for i, e in enumerate(estimates):
            y = row + 0.16 * (i - (len(estimates) - 1) / 2)
            if e.mean < FAR:
                axes.errorbar(e.mean, y, xerr=e.half_width, fmt="o", ms=5, color=COLOR["after"])
        far = ", ".join(f"{e.mean:+.1f}" for e in estimates if e.mean >= FAR)
        axes.text(FAR, row, far and f"{far} →", ha="right", va="center", fontsize=9)
    axes.axvline(0, color=COLOR["truth"], lw=1)
    axes.set_xlim(-0.5, FAR)
    axes.set(yticks=range(len(found)), yticklabels=list(found), ylim=(len(found) - 0.5, -0.5))
    axes.set(xlabel="loss minus that of MAML, same tasks (right of zero: worse)")
    words = "; ".join(
        f"{name}: " + ", ".join(f"{e.mean:+.2f}" for e in estimates)
        for name, estimates in found.items()
    )
    return fig, f"Paired differences from MAML, one for each training. {words}."
