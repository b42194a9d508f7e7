"""The labs of chapter 01: the game, the episode, and the interval."""

import html
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets as W
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import pictures
from ..evaluation import Estimate, accuracy, estimate, half_width, wilson
from ..pictures import COLOR, INK
from ..tasks import Characters, Episode
from .engine import Lab, NameControls, Preset, on_main, slider


def nearest(episode: Episode) -> Tensor:
    """Label of the support drawing nearest in pixels: int64 (tasks, queries).

    Source: 1-nearest neighbour, the baseline "Pixels" of Vinyals et al. (2016), table 1.
    """
    distances = torch.cdist(episode.query.x.flatten(2), episode.support.x.flatten(2))
    return episode.support.y.gather(1, distances.argmin(-1))


# --- the game -----------------------------------------------------------------------------------


class Player(NamedTuple):
    """Who plays: the name shown, the colour, and who they name in an episode, as `nearest` does.

    The reader and chance name nobody by themselves.
    """

    name: str
    colour: str
    names: Callable[[Episode], Tensor] | None = None


Players = dict[str, Player]
PLAYERS = {
    "you": Player("you", COLOR["you"]),
    "pixels": Player("1-NN on pixels", COLOR["pixels"], nearest),
    "chance": Player("chance", COLOR["chance"]),
}


class Round(NamedTuple):
    """One 5-way 1-shot question; images are float (28, 28) and (5, 28, 28), labels 0…4."""

    query: Tensor
    support: Tensor
    answer: int
    choices: dict[str, int]  # of everyone but the reader


def deal(characters: Characters, number: int, players: Players = PLAYERS) -> Round:
    """Round number `number`, the same for every player and on every device."""
    generator = torch.Generator().manual_seed(77_000 + number)
    episode = characters.sample(1, 1, 1, generator)
    order = episode.support.y[0].argsort()
    choices = {who: int(p.names(episode)[0, 0]) for who, p in players.items() if p.names}
    return Round(
        query=episode.query.x[0, 0, 0],
        support=episode.support.x[0, order, 0],
        answer=int(episode.query.y[0, 0]),
        choices={**choices, "chance": int(torch.randint(5, (), generator=generator))},
    )


class Score(NamedTuple):
    """A player's rounds won, out of how many, and the 95 % Wilson interval of the share."""

    won: int
    rounds: int
    low: float
    high: float


class Table(NamedTuple):
    """What the game shows: the round, the choice just made (None before it), the scores."""

    round: Round
    choice: int | None
    scores: dict[str, Score]


def score_of(history: list[tuple[Round, int]], players: Players = PLAYERS) -> dict[str, Score]:
    """Everyone's score over the rounds played; chance throws a five-sided die."""
    said = [(r.answer, {**r.choices, "you": choice}) for r, choice in history]
    wins = {who: sum(says[who] == answer for answer, says in said) for who in players}
    return {who: Score(won, len(history), *wilson(won, len(history))) for who, won in wins.items()}


def game_scene(players: Players):
    """The question, its five candidates, and the scores of these players with their intervals."""

    def scene(fig):
        fig.set_layout_engine("none")
        left, right = fig.add_axes((0, 0, 0.58, 1)), fig.add_axes((0.74, 0.24, 0.24, 0.74))
        ask, tell = question_scene(left), score_scene(right, players)

        def update(table: Table) -> str:
            ask(table.round, table.choice is not None)
            tell(table.scores)
            return game_words(table, players)

        return update

    return scene


def question_scene(axes):
    """The query, the five candidates under their numbers, and a box for the answer."""
    axes.axis("off")
    gray = {"vmin": 0, "vmax": 1, "animated": True}
    query = axes.imshow(np.zeros((1, 1)), extent=(0, 56, 84, 28), **gray)
    row = axes.imshow(np.zeros((1, 1)), extent=(70, 240, 76, 42), **gray)
    axes.set(xlim=(0, 240), ylim=(96, 6))
    axes.text(28, 20, "this one …", ha="center", color=INK["query"], weight="bold")
    axes.text(155, 20, "… is which of these?", ha="center", color=INK["support"], weight="bold")
    for i in range(5):
        axes.text(87 + 34 * i, 80, str(i + 1), ha="center", va="top", fontsize=13)
    (box,) = axes.plot([], [], color=COLOR["truth"], lw=2.5, clip_on=False, animated=True)

    def update(r: Round, show: bool) -> None:
        query.set_data(r.query.numpy())
        row.set_data(pictures.sheet(r.support[None].numpy(), gap=6))
        x = 70 + 34 * r.answer
        box.set_data(*([x, x + 34, x + 34, x, x], [40, 40, 78, 78, 40]) if show else ([], []))

    return update


def score_scene(axes, players: Players):
    """Each player's share of rounds won, with its interval."""
    axes.set(xlim=(0, 100), ylim=(len(players) - 0.5, -0.7), xlabel="right, in % of the rounds")
    axes.set_yticks(range(len(players)), [player.name for player in players.values()])
    axes.axvline(20, color=COLOR["chance"], ls=":", lw=1)
    style = {"ha": "center", "fontsize": 9, "animated": True}
    texts = [axes.text(50, i - 0.25, "", **style) for i in range(len(players))]
    moves = [pictures.moving_interval(axes, player.colour) for player in players.values()]

    def update(scores: dict[str, Score]) -> None:
        for i, (won, rounds, low, high) in enumerate(scores.values()):
            moves[i](100 * low, 100 * won / rounds if rounds else None, 100 * high, i)
            texts[i].set_text(f"{won} of {rounds}" if rounds else "")

    return update


def game_words(table: Table, players: Players) -> str:
    """The picture in words."""
    scores = "; ".join(
        f"{players[who].name} {s.won} of {s.rounds}, 95 % interval {s.low:.0%} to {s.high:.0%}"
        for who, s in table.scores.items()
    )
    end = "" if table.choice is None else f" The answer is {table.round.answer + 1}."
    return f"A drawing of a character and five candidates, numbered 1 to 5.{end} Scores: {scores}."


class Game(W.VBox):
    """You, 1-NN on pixels, chance and whoever else answer the same 5-way 1-shot questions."""

    def __init__(self, characters: Characters, rivals: Players | None = None):
        self.characters, self.history, self.choice = characters, [], None
        self.players = {**PLAYERS, **(rivals or {})}
        self.players["chance"] = self.players.pop("chance")  # last
        self.canvas = pictures.Canvas(game_scene(self.players), (8.0, 2.2))
        self.picture, self.says, self.alt = W.HTML(), W.HTML(), ""
        self.buttons = [self.button(str(i + 1), lambda _, i=i: self.choose(i)) for i in range(5)]
        self.next = self.button("next", lambda _: self.turn())
        row = W.HBox([*self.buttons, self.next], layout=W.Layout(flex_flow="row wrap"))
        super().__init__([self.picture, row, self.says, NameControls()])
        self.add_class("mlcourse-lab")
        self.turn()

    def button(self, text: str, act) -> W.Button:
        """A button whose work is done in the main thread."""
        button = W.Button(description=text, layout=W.Layout(width="72px"))
        button.tooltip = f"candidate {text}" if text.isdigit() else "the next question"
        button.on_click(lambda event: on_main(lambda: act(event)))
        return button

    def turn(self) -> None:
        """Deal the next question."""
        self.round = deal(self.characters, len(self.history), self.players)
        self.choice = None
        self.says.value = ""
        self.refresh()

    def choose(self, choice: int) -> None:
        """The reader's answer, 0…4; a second press in a round does nothing."""
        if self.choice is not None:
            return
        self.choice = choice
        self.history.append((self.round, choice))
        right = {True: "right", False: "wrong"}
        words = f"It is {self.round.answer + 1}. You: {right[choice == self.round.answer]}."
        for who, player in self.players.items():
            if player.names:
                named = self.round.choices[who]
                words += f" {player.name} chose {named + 1}: {right[named == self.round.answer]}."
        self.says.value = f"<p role='status' style='margin:2px 0'>{html.escape(words)}</p>"
        self.refresh()

    def refresh(self) -> None:
        """Draw the table as it stands."""
        asking = self.choice is None
        for button in self.buttons:
            button.disabled = not asking
        self.next.disabled = asking
        drawing, self.alt = self.canvas.draw(self.table())
        self.picture.value = pictures.img_tag(drawing, self.alt)

    def table(self) -> Table:
        """The round and the scores."""
        return Table(self.round, self.choice, score_of(self.history, self.players))

    def _ipython_display_(self, **_) -> None:
        pictures.show_widget(self, *self.canvas.draw(self.table()))


# --- the episode lab ----------------------------------------------------------------------------

N_EPISODES = 20  # behind the accuracy that the lab shows


class EpisodeLab(NamedTuple):
    """One episode, sorted for the eye, and 1-NN's accuracy over N_EPISODES like it."""

    support: Tensor  # (n_way, k_shot, 28, 28)
    query: Tensor  # (n_way, n_query, 28, 28)
    hits: Tensor  # bool (n_way, n_query): 1-NN was right
    score: Estimate


def episode_data(
    characters: Characters, n_way: int, k_shot: int, n_query: int, number: int
) -> EpisodeLab:
    """Episode `number` of this shape, and 1-NN's accuracy on it and the next ones."""
    generator = torch.Generator().manual_seed(number)
    episodes = characters.sample(N_EPISODES, k_shot, n_query, generator, n_way)
    predictions = nearest(episodes)
    s_order, q_order = (points.y[0].argsort(stable=True) for points in episodes)
    size = episodes.support.x.shape[-2:]
    return EpisodeLab(
        support=episodes.support.x[0, s_order].view(n_way, k_shot, *size),
        query=episodes.query.x[0, q_order].view(n_way, n_query, *size),
        hits=(predictions == episodes.query.y)[0, q_order].view(n_way, n_query),
        score=estimate(accuracy(predictions, episodes.query.y)),
    )


def episode_scene(fig):
    """Support and query, a row a class; and 1-NN's accuracy beside chance."""
    left, right = fig.subplots(1, 2, width_ratios=[3, 1])
    lay_out = grid_scene(left)
    right.set(ylim=(0, 100), xlim=(-0.5, 1.5), ylabel="right, in %")
    right.set_title(f"over {N_EPISODES} episodes", fontsize=10)
    right.set_xticks([0, 1], ["1-NN", "chance"])
    move = pictures.moving_interval(right, COLOR["pixels"], upright=True)
    (guess,) = right.plot([], [], "D", color=COLOR["chance"], ms=9, animated=True)

    def update(data: EpisodeLab) -> str:
        lay_out(data)
        move(100 * data.score.low, 100 * data.score.mean, 100 * data.score.high, 0)
        guess.set_data([1], [100 / len(data.support)])
        return episode_words(data)

    return update


def grid_scene(axes):
    """The drawings in blocks of rows, heads over support and query, × at what 1-NN gets wrong."""
    axes.axis("off")
    moves = {"animated": True}
    page = axes.imshow(np.zeros((1, 1)), vmin=0, vmax=1, aspect="auto", **moves)
    axes.set(xlim=(0, 600), ylim=(304, -30))
    (wrong,) = axes.plot([], [], "x", color=COLOR["query"], mew=2.5, **moves)
    both = ("support", "query")
    lines = [axes.plot([], [], color=COLOR[name], lw=3, **moves)[0] for name in both]
    heads = [axes.text(2, -9, "", color=INK[name], weight="bold", **moves) for name in both]

    def update(data: EpisodeLab) -> None:
        n_way, k_shot, n_query = *data.support.shape[:2], data.query.shape[1]
        columns = k_shot + n_query
        rows, cell = blocks(n_way, columns)
        starts = torch.arange(0, n_way, rows) // rows * (columns + 0.6) * cell
        page.set_data(block_page(torch.cat([data.support, data.query], 1).numpy(), rows))
        page.set_extent((0, float(starts[-1]) + cell * columns, cell * rows, 0))
        i, j = torch.nonzero(~data.hits, as_tuple=True)
        x, y = starts[i // rows] + (k_shot + j + 0.85) * cell, (i % rows + 0.2) * cell
        wrong.set(data=(x.numpy(), y.numpy()), markersize=max(3, cell / 8))
        for line, low, high in zip(lines, (0, k_shot), (k_shot, columns)):
            ends = [(s + low * cell + 2, s + high * cell - 2, np.nan) for s in starts.tolist()]
            line.set_data(np.ravel(ends), np.full(3 * len(ends), -4))
        heads[0].set_text("support")
        heads[1].set(text=f"query ({len(i)} wrong: ×)", x=max(k_shot * cell + 2, 90))

    return update


def blocks(n_way: int, columns: int) -> tuple[int, float]:
    """Rows a block and size of a cell, for the largest drawings that fit 590 by 300."""
    fits = []
    for n_blocks in (1, 2, 3, 4):
        rows = -(-n_way // n_blocks)
        fits.append((min(300 / rows, 590 / ((columns + 0.6) * n_blocks), 62), -n_blocks, rows))
    cell, _, rows = max(fits)
    return rows, cell


def block_page(drawings: np.ndarray, rows: int) -> np.ndarray:
    """Classes (n_way, columns, height, width) as blocks of `rows` classes, side by side."""
    n_way, columns, high, wide = drawings.shape
    page = np.zeros((-(-n_way // rows), rows, columns + 1, high, wide), drawings.dtype)
    page.reshape(-1, *page.shape[2:])[:n_way, :columns] = drawings
    flat = page.transpose(1, 3, 0, 2, 4).reshape(rows, high, len(page), -1)
    keep = columns * wide + round(0.6 * wide)
    return flat[..., :keep].reshape(rows * high, -1)[:, : -round(0.6 * wide)]


def episode_words(data: EpisodeLab) -> str:
    """The picture in words."""
    n_way, k_shot, n_query = *data.support.shape[:2], data.query.shape[1]
    return (
        f"A {n_way}-way {k_shot}-shot episode with {n_query} queries a class; 1-NN on pixels gets "
        f"{int(data.hits.sum())} of {data.hits.numel()} queries right. Over {N_EPISODES} such "
        f"episodes: {data.score}, where chance is {1 / n_way:.3f}."
    )


def episode_lab(characters: Characters) -> Lab:
    """N, K and query sliders over episodes of these characters."""

    def data(n_way: int, k_shot: int, n_query: int, number: int) -> EpisodeLab:
        return episode_data(characters, n_way, k_shot, n_query, number)

    controls = {
        "n_way": slider("N  ways", 2, 20, 1, 5),
        "k_shot": slider("K  shots", 1, 10, 1, 1),
        "n_query": slider("queries a class", 1, 10, 1, 5),
        "number": slider("episode number", 1, 50, 1, 1),
    }
    return Lab("An episode", data, episode_scene, controls, EPISODE_PRESETS, (8.0, 3.4))


EPISODE_PRESETS = {
    "5-way 1-shot": Preset(
        {"n_way": 5, "k_shot": 1},
        "The most cited setting: pixels alone are right far more often than one time in five.",
        lambda d: d.score.low > 0.25 and d.score.mean < 0.55,
    ),
    "20-way 1-shot": Preset(
        {"n_way": 20, "k_shot": 1},
        "Four times as many classes: harder, yet still well above chance, which is now 5 %.",
        lambda d: d.score.low > 0.05 and d.score.mean < 0.4,
    ),
    "ten shots": Preset(
        {"n_way": 5, "k_shot": 10},
        "Ten examples a class: the nearest one is nearer, and right much more often.",
        lambda d: d.score.mean > 0.55,
    ),
    "one query": Preset(
        {"n_query": 1},
        "One query a class: the same task, judged on less, so the interval is wider.",
        lambda d: d.score.half_width > 0.05,
    ),
}


# --- the interval lab ---------------------------------------------------------------------------

REPEATS = 40  # experiments shown side by side


class IntervalLab(NamedTuple):
    """Repeated experiments: their means and half widths, (repeats,), and what they estimate."""

    means: Tensor
    half_widths: Tensor
    truth: float
    n_episodes: int

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Lower and upper ends of the intervals."""
        return self.means - self.half_widths, self.means + self.half_widths

    @property
    def missed(self) -> Tensor:
        """Which intervals do not hold the truth, bool (repeats,)."""
        low, high = self.ends
        return (low > self.truth) | (high < self.truth)


def pixel_hits(characters: Characters, n_episodes: int = 2000, n_query: int = 10) -> Tensor:
    """Whether 1-NN is right on each query of many 5-way 1-shot episodes.

    Returns float32 (n_episodes, n_query): for every episode the share of its five classes' queries
    number 1 … n_query that are right.
    """
    generator, found = torch.Generator().manual_seed(5), []
    for _ in range(n_episodes // 50):
        episodes = characters.sample(50, 1, n_query, generator)
        hits = (nearest(episodes) == episodes.query.y).float()
        by_class = hits.gather(1, episodes.query.y.argsort(1)).view(50, 5, n_query)
        found.append(by_class.mean(1))
    return torch.cat(found)


def interval_data(
    hits: Tensor, n_episodes: int, n_query: int, number: int, repeats: int = REPEATS
) -> IntervalLab:
    """Experiments of `n_episodes` episodes each, drawn from the pool with replacement."""
    generator = torch.Generator().manual_seed(number)
    drawn = torch.randint(len(hits), (repeats, n_episodes), generator=generator)
    accuracies = hits[:, :n_query].mean(1).double()[drawn]
    return IntervalLab(
        means=accuracies.mean(1),
        half_widths=half_width(accuracies),
        truth=float(hits[:, :n_query].double().mean()),
        n_episodes=n_episodes,
    )


def interval_scene(fig):
    """Forty experiments side by side, each with its interval, and the number all of them seek."""
    axes = fig.subplots()
    axes.set(xlim=(-1, REPEATS), ylim=(20, 65), xlabel="experiment", ylabel="accuracy, in %")
    axes.set_xticks([])
    moves = {"animated": True}
    lines = [axes.plot([], [], lw=3, **moves)[0] for _ in range(REPEATS)]
    (dots,) = axes.plot([], [], "o", color=COLOR["truth"], ms=4, **moves)
    (truth,) = axes.plot([], [], ":", color=COLOR["truth"], lw=1.5, **moves)
    note = axes.text(0.01, 0.94, "", transform=axes.transAxes, **moves)

    def update(data: IntervalLab) -> str:
        low, high = data.ends
        for i, (line, miss) in enumerate(zip(lines, data.missed)):
            line.set_data([i, i], [100 * low[i], 100 * high[i]])
            line.set(color=COLOR["truth" if miss else "pixels"], ls="--" if miss else "-")
        dots.set_data(range(REPEATS), 100 * data.means.numpy())
        truth.set_data([-1, REPEATS], [100 * data.truth] * 2)
        words = interval_words(data)
        note.set_text(words)
        return f"{words}, {100 * data.truth:.1f} %."

    return update


def interval_words(data: IntervalLab) -> str:
    """The experiments in words."""
    return (
        f"{REPEATS} experiments of {data.n_episodes} episodes each: "
        f"± {100 * data.half_widths.mean():.1f} points on average, "
        f"{int(data.missed.sum())} of {REPEATS} intervals miss the true value"
    )


def interval_lab(characters: Characters) -> Lab:
    """How many episodes make an accuracy?"""
    hits = pixel_hits(characters)

    def data(n_episodes: int, n_query: int, number: int) -> IntervalLab:
        return interval_data(hits, n_episodes, n_query, number)

    controls = {
        "n_episodes": slider("episodes", 10, 1000, 10, 30),
        "n_query": slider("queries a class", 1, 10, 1, 5),
        "number": slider("repetition", 1, 50, 1, 1),
    }
    return Lab("Forty experiments", data, interval_scene, controls, INTERVAL_PRESETS, (8.0, 3.0))


INTERVAL_PRESETS = {
    "30 episodes": Preset(
        {"n_episodes": 30},
        "About as many as some published examples test on: the interval is some four points.",
        lambda d: 0.03 < d.half_widths.mean() < 0.05,
    ),
    "600 episodes": Preset(
        {"n_episodes": 600},
        "The custom in the papers: the interval is about one point.",
        lambda d: 0.006 < d.half_widths.mean() < 0.012,
    ),
    "one query": Preset(
        {"n_episodes": 600, "n_query": 1},
        "One query a class: a noisier judge of each episode, and an interval nearly twice as wide.",
        lambda d: d.half_widths.mean() > 0.014,
    ),
}


# --- figures and measurements of the chapter ------------------------------------------------------


def reveal(score: Estimate, guess: float | None, game: Game) -> tuple[Figure, str]:
    """1-NN's accuracy, the reader's guess (in %) and own score; and the picture in words."""
    fig = pictures.figure(8, 1.7)
    axes = fig.subplots()
    axes.axvline(20, color=COLOR["chance"], ls=":", label="chance")
    label = f"1-NN on pixels: {score.percent()} %"
    pictures.interval(axes, score, 0, COLOR["pixels"], label=label)
    words = f"1-NN on pixels is right in {100 * score.mean:.1f} % of the queries; chance is 20 %."
    if guess is not None:
        axes.plot([guess], [0], "D", color=COLOR["you"], ms=10, label=f"your guess: {guess:.0f} %")
        words += f" Your guess was {guess:.0f} %."
    if game.history:
        you = score_of(game.history)["you"]
        text = f"you: {you.won} of {you.rounds}"
        axes.plot([100 * you.low, 100 * you.high], [1, 1], color=COLOR["you"], lw=4, label=text)
        axes.plot([100 * you.won / you.rounds], [1], "o", color=COLOR["you"], ms=9)
        words += f" You were right in {you.won} of {you.rounds} rounds."
    axes.set(xlim=(0, 100), ylim=(-0.7, 1.7), yticks=[], xlabel="right, in %")
    axes.legend(ncols=4, **pictures.ABOVE)
    return fig, words


def sheet_figure(images: Tensor, name: str) -> tuple[Figure, str]:
    """Drawings uint8 (characters, drawers, 28, 28), a row a character; and the picture in words."""
    fig = pictures.figure(7, 7 * images.shape[0] / images.shape[1] + 0.3)
    axes = fig.subplots()
    axes.imshow(pictures.sheet(images.numpy(), gap=4))
    axes.axis("off")
    axes.set_title(name, loc="left", fontsize=10)
    rows, columns = images.shape[:2]
    return fig, f"{rows} characters of the alphabet {name}, each drawn by {columns} people."


def settings_figure(table: dict[tuple[int, int], Estimate], guess: float | None):
    """1-NN's accuracy in each (n_way, k_shot) beside chance, the reader's guess at (20, 1)."""
    fig = pictures.figure(8, 2.4)
    axes = fig.subplots()
    words = []
    for i, ((n_way, k_shot), score) in enumerate(table.items()):
        pictures.interval(axes, score, i, COLOR["pixels"], upright=True)
        axes.plot([i], [100 / n_way], "D", color=COLOR["chance"], ms=9)
        axes.text(i + 0.07, 100 * score.mean, score.percent(), va="center")
        words.append(f"{n_way}-way {k_shot}-shot {score}")
        if guess is not None and (n_way, k_shot) == (20, 1):
            axes.plot([i], [guess], "s", color=COLOR["you"], ms=9)
            axes.text(i - 0.07, guess, "your guess", ha="right", color=COLOR["you"])
    axes.set_xticks(range(len(table)), [f"{n}-way {k}-shot" for n, k in table])
    axes.set(xlim=(-0.5, len(table) - 0.5), ylim=(0, 100), ylabel="right, in %")
    axes.legend(axes.lines[1:3], ["1-NN on pixels", "chance"], loc="upper right", fontsize=9)
    guessed = "" if guess is None else f" Your guess for 20-way 1-shot was {guess:.0f} %."
    return fig, f"1-NN on pixels: {', '.join(words)}.{guessed}"


def miss_rate(hits: Tensor, n_episodes: int, repeats: int) -> float:
    """The part of `repeats` experiments whose 95 % interval misses the pool's mean."""
    found = interval_data(hits, n_episodes, hits.shape[1], number=11, repeats=repeats)
    return float(found.missed.double().mean())
