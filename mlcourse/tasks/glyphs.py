"""Generated alphabets: a stock of strokes, characters that join a few, hands that bend them."""

from dataclasses import dataclass

import numpy as np
import torch

from .episodes import Characters

DRAWERS = 20
POINTS, DOTS = 20, 128  # a stroke's control points, and the dots of ink it leaves
CANVAS, CELLS = 112, 28  # pixels a side before and after averaging

# How hands differ, as standard deviations in canvas widths, radians or logarithms; the values make
# nearest neighbours in pixels err as often as on Omniglot (tests/test_glyphs.py holds them to it).
MOVE, BEND, TREMOR, SHIFT = 0.032, 0.034, 0.003, 0.036
SIZE, ASPECT, SLANT, ROTATION, CURVE = 0.07, 0.085, 0.05, 0.04, 0.11
HABIT = 0.7  # a drawer's habits, relative to what changes from drawing to drawing

TURN = np.linspace(0, 2 * np.pi, 25)[:, None]
RING = np.hstack([np.sin(TURN), -np.cos(TURN)]) / 2 + 0.5  # y downwards, clockwise from the top
HUMP = np.array([(0, 1), *RING[18:], *RING[:7], (1, 1)]) * [0.5, 1]
LINE, CORNER = [(0, 0), (0, 1)], [(0, 0), (0, 1), (1, 1)]
HOOK = [(1, 0), (1, 0.8), (0.7, 1), (0.3, 1), (0, 0.75)]
STRAIGHT = [  # paths in the unit square
    LINE,
    CORNER,
    [(0, 0), (0.5, 1), (1, 0)],  # V
    [(0, 0), (1, 0), (0, 1), (1, 1)],  # Z
    [(0, 1), (0, 0), (1, 0), (1, 1)],  # gate
    [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)],  # box
    [(0, 0), (0.5, 0), (0.5, 1), (1, 1)],  # step
    [(0, 1), (0.5, 0), (1, 1), (0, 1)],  # triangle
    [(0, 1), (0, 0), (1, 0), (1, 0.5), (0, 0.5)],  # P
]
ROUND = [
    LINE,
    HOOK,
    RING,
    RING[:13],  # half a ring
    RING[:7] * [1, 2],  # a quarter
    [*RING[20:11:-1] * [1, 0.5], *RING[1:15] * [1, 0.5] + [0, 0.5]],  # S
    [*RING[6:] * [1, 0.55], *RING[:7] * [1, 0.55], (0.95, 0.6), (0.7, 1)],  # 9
    (RING[::-1] - 0.5) * np.linspace(1, 0.5, 25)[:, None] + 0.5,  # spiral
    [*HUMP, *HUMP + [0.5, 0]],  # m
    [(1, 0), (0.25, 0.95), (0, 0.5), (0.25, 0.05), (1, 1)],  # alpha
    [(0, 0), *RING[18:5:-1] * [1, 0.8] + [0, 0.2], (1, 0)],  # U
]
MARKS = [LINE, [(0, 0), (1, 1)], CORNER, RING[:13], HOOK, RING, RING * 0.1]
MARK_ODDS = [0.35, 0.15, 0.1, 0.12, 0.1, 0.12, 0.06]


@dataclass(frozen=True)
class Style:
    """What the characters of one alphabet share.

    bodies, marks: large and small strokes, float (strokes, POINTS, 2); strokes: their mean number;
    favour: how often a character starts with the first body; twins: how often a stroke repeats or
    mirrors the last; apart: how often it stands beside the others; roundness: how often corners
    are averaged away; size: width and height in canvas widths, float (2,).
    """

    bodies: np.ndarray
    marks: np.ndarray
    strokes: float
    favour: float
    twins: float
    apart: float
    roundness: int
    size: np.ndarray


def draw_style(rng: np.random.Generator) -> Style:
    """The habits of a random alphabet."""
    roundness = rng.choice(4)
    curvy = rng.random(rng.integers(6, 9)) < np.clip(roundness / 3 + rng.normal(0, 0.2), 0.1, 0.9)
    marks = rng.choice(len(MARKS), rng.integers(3, 5), p=MARK_ODDS)
    return Style(
        bodies=np.stack([stock(rng, ROUND if c else STRAIGHT, (0.5, 1, 1)) for c in curvy]),
        marks=np.stack([stock(rng, [MARKS[m]], (0.3, 0.5, 0.5, 1)) for m in marks]),
        strokes=rng.uniform(2.2, 3.4),
        favour=rng.choice([0, 0, 0.3, 0.7]),
        twins=rng.choice([0.03, 0.1, 0.25]),
        apart=rng.choice([0, 0.03, 0.15]),
        roundness=roundness,
        size=0.53 * np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.1) * np.array([1, -1])),
    )


def stock(rng: np.random.Generator, paths: list, lengths: tuple) -> np.ndarray:
    """One of the paths turned, flipped and stretched, float (POINTS, 2)."""
    path = np.asarray(paths[rng.integers(len(paths))], float)
    steps = np.r_[0, np.hypot(*np.diff(path, axis=0).T).cumsum()]
    at = np.linspace(0, steps[-1], POINTS)
    stroke = np.stack([np.interp(at, steps, path[:, i]) for i in (0, 1)], 1)
    stroke = stroke[:, ::-1] if rng.random() < 0.4 else stroke
    return stroke * rng.choice([-1, 1], 2) * rng.choice(lengths, 2)


def next_stroke(rng: np.random.Generator, style: Style, strokes: list) -> np.ndarray:
    """The last stroke again or mirrored, or the least cluttered of some new ones, (POINTS, 2)."""
    last, chance = strokes[-1], rng.random()
    if chance < style.twins:
        mirrored = (last - last[-1]) * [-1, 1] + last[-1]
        return mirrored if rng.random() < 0.5 else last + 0.4 * np.eye(2)[rng.integers(2)]
    place = beside if chance < style.twins + style.apart else touching
    kind = style.bodies if rng.random() < 0.3 else style.marks
    proposals = [place(rng, strokes, kind[rng.integers(len(kind))]) for _ in range(4)]
    return min(proposals, key=lambda new: clutter(strokes, new))


def touching(rng: np.random.Generator, strokes: list, new: np.ndarray) -> np.ndarray:
    """A stroke moved so that its end or middle meets the end or middle of another."""
    if np.abs(new[0] - new[POINTS // 2]).max() < 0.15:  # a dot stands alone
        return beside(rng, strokes, new)
    host = strokes[rng.integers(len(strokes))]
    joints = [0, POINTS // 2, POINTS - 1]
    return new - new[joints[rng.integers(3)]] + host[joints[rng.integers(3)]]


def beside(rng: np.random.Generator, strokes: list, new: np.ndarray) -> np.ndarray:
    """A stroke moved to the left or right of the others, above or below them."""
    every = np.concatenate(strokes)
    side = rng.choice([-1, 1]) * np.eye(2)[rng.integers(2)]
    gap = (np.ptp(every, axis=0) + np.ptp(new, axis=0)) / 2 + 0.2
    return new - middle(new) + middle(every) + side * gap


def middle(points: np.ndarray) -> np.ndarray:
    """The centre of the box around points (n, 2), float (2,)."""
    return (points.min(0) + points.max(0)) / 2


def clutter(strokes: list, new: np.ndarray) -> float:
    """How much of a stroke runs close to earlier ones, and how far it leaves the unit square."""
    old = np.concatenate(strokes)
    apart = np.square(new[:, None] - old).sum(-1).min(1)
    too_long = np.maximum(np.ptp(np.concatenate([old, new]), axis=0) - 1, 0).sum()
    return (apart < 0.12**2).mean() + too_long


def draw_character(rng: np.random.Generator, style: Style) -> np.ndarray:
    """Up to five strokes that keep out of each other's way, float (strokes, POINTS, 2)."""
    first = 0 if rng.random() < style.favour else rng.integers(len(style.bodies))
    strokes = [style.bodies[first]]
    for _ in range(min(rng.poisson(style.strokes - 1), 4)):
        new = next_stroke(rng, style, strokes)
        if clutter(strokes, new) < 0.45:
            strokes.append(new)
    every = np.concatenate(strokes)
    scale = style.size / max(np.ptp(every, axis=0).max(), 0.5) ** 0.8
    return (np.stack(strokes) - middle(every)) * scale


def draw_alphabet(rng: np.random.Generator, style: Style, n: int) -> list[np.ndarray]:
    """`n` characters that look different from each other, each float (strokes, POINTS, 2)."""
    characters, looks, apart = [], [], 7.0
    while len(characters) < n:
        character = draw_character(rng, style)
        look = occupancy(character)
        if all(np.square(look - other).sum() > apart for other in looks):
            characters.append(character)
            looks.append(look)
        apart *= 0.98  # a small stock cannot stay choosy
    return characters


def occupancy(character: np.ndarray) -> np.ndarray:
    """A coarse picture to tell characters apart, float (144,), 1 where there is ink."""
    cells = (np.mgrid[:12, :12].reshape(2, -1).T - 5.5) / 14
    apart = np.square(cells[:, None] - character[:, ::2].reshape(-1, 2)).sum(-1).min(1)
    return np.exp(-apart / 0.06**2)


def between(n: int, knots: int) -> np.ndarray:
    """Weights that put `n` points at equal steps on straight lines through knots, (n, knots)."""
    at = np.linspace(0, knots - 1, n)[:, None]
    return np.maximum(1 - np.abs(at - np.arange(knots)), 0)


def wobble(rng: np.random.Generator, strokes: np.ndarray, sloppy: np.ndarray) -> np.ndarray:
    """Strokes (m, POINTS, 2) moved, bent and overshot at random: float (m, DRAWERS, POINTS, 2)."""
    m, length = (len(strokes), DRAWERS), np.ptp(strokes, axis=1).max(1)[:, None, None, None]
    bent = strokes[:, None] + rng.normal(0, MOVE, (*m, 1, 2)) * sloppy
    bent += between(POINTS, 4) @ rng.normal(0, BEND, (*m, 4, 2)) * sloppy * length
    bent += rng.normal(0, TREMOR, bent.shape)
    over = np.clip(rng.normal(0.1, 0.5, (2, *m, 1)), -0.7, 0.7)
    bent[:, :, 0] += over[0] * (bent[:, :, 0] - bent[:, :, 1])
    bent[:, :, -1] += over[1] * (bent[:, :, -1] - bent[:, :, -2])
    return bent


def hands(rng: np.random.Generator, n: int, sloppy: np.ndarray) -> np.ndarray:
    """How each drawing of `n` characters distorts the plane, float (n, DRAWERS, 6, 2).

    The matrices take (x, y, xy, xx, yy, 1) to (x, y). One part is the drawer's and the same for
    all characters, the other is chance.
    """
    spread = np.array([[ASPECT, ROTATION], [SLANT, ASPECT], *[[CURVE, CURVE]] * 3, [SHIFT, SHIFT]])
    habit = rng.normal(0, HABIT, (DRAWERS, 6, 2))
    warp = (habit + rng.normal(size=(n, DRAWERS, 6, 2)) * sloppy) * spread
    warp[:, :, :2] += np.eye(2)
    size = rng.normal(0, HABIT, (DRAWERS, 1, 1)) + rng.normal(size=(n, DRAWERS, 1, 1))
    warp[:, :, :5] *= np.exp(SIZE * size)
    return warp


def distort(strokes: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Where the plane's distortion (m, DRAWERS, 6, 2) takes points (m, DRAWERS, POINTS, 2)."""
    x, y = strokes[..., 0], strokes[..., 1]
    return np.stack([x, y, 3 * x * y, 3 * x * x, 3 * y * y, np.ones_like(x)], -1) @ warp


def fit(strokes: np.ndarray, first: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Drawings made smaller and moved until they lie on the canvas, -0.5 to 0.5."""
    low = np.minimum.reduceat(strokes.min(2), first)[owner][:, :, None]
    high = np.maximum.reduceat(strokes.max(2), first)[owner][:, :, None]
    centre, half = (low + high) / 2, (high - low) / 2
    scale = np.minimum(1, 0.45 / half.max(-1, keepdims=True))
    room = 0.46 - scale * half
    return (strokes - centre) * scale + np.clip(centre, -room, room)


def pens(roundness: np.ndarray) -> np.ndarray:
    """How hands go through control points averaged `roundness` times, (hands, DOTS, POINTS)."""
    average = (np.eye(POINTS, k=-1) + 2 * np.eye(POINTS) + np.eye(POINTS, k=1)) / 4
    average[[0, -1]] = np.eye(POINTS)[[0, -1]]
    return between(DOTS, POINTS) @ [np.linalg.matrix_power(average, n) for n in roundness]


def picture(dots: np.ndarray, owner: np.ndarray, bold: np.ndarray) -> np.ndarray:
    """The ink of dots (m, DRAWERS, DOTS, 2), uint8 (characters, DRAWERS, CELLS, CELLS)."""
    canvas = np.zeros((owner[-1] + 1, DRAWERS, CANVAS, CANVAS), np.uint8)
    x, y = np.moveaxis(((dots + 0.5) * CANVAS).astype(np.intp), -1, 0)
    canvas[owner[:, None, None], np.arange(DRAWERS)[:, None], y, x] = 1
    canvas = thicker(thicker(canvas))
    above, below = canvas[:, :, :-2, 1:-1], canvas[:, :, 2:, 1:-1]
    left, right = canvas[:, :, 1:-1, :-2], canvas[:, :, 1:-1, 2:]
    canvas[:, :, 1:-1, 1:-1] |= above | below | left | right  # a round pen, five pixels wide
    canvas[:, bold] = thicker(canvas[:, bold])
    rows = sum(canvas[:, :, i::4] for i in range(4))
    return np.round(sum(rows[..., i::4] for i in range(4)) * (255 / 16)).astype(np.uint8)


def thicker(canvas: np.ndarray) -> np.ndarray:
    """Lines one pixel wider, in place."""
    canvas[..., :-1, :] |= canvas[..., 1:, :]
    canvas[..., :-1] |= canvas[..., 1:]
    return canvas


def draw(rng: np.random.Generator, style: Style, characters: list[np.ndarray]) -> np.ndarray:
    """An alphabet as all drawers draw it, uint8 (characters, DRAWERS, CELLS, CELLS)."""
    counts = np.array([len(character) for character in characters])
    owner = np.repeat(np.arange(len(counts)), counts)
    sloppy = np.exp(rng.normal(0, 0.3, (DRAWERS, 1, 1)))
    strokes = wobble(rng, np.concatenate(characters), sloppy)
    strokes = distort(strokes, hands(rng, len(counts), sloppy)[owner])
    strokes = fit(strokes, counts.cumsum() - counts, owner)
    dots = pens(style.roundness + rng.integers(0, 3, DRAWERS)) @ strokes
    return picture(dots, owner, rng.random(DRAWERS) < 0.2)


def make_alphabets(seed: int, first: int, n_alphabets: int, n_characters: int) -> Characters:
    """Alphabets of at least 20 characters, numbered from `first`, which is part of the seed."""
    rng = np.random.default_rng([seed, first])
    shares = rng.dirichlet(np.full(n_alphabets, 2.0))
    sizes = 20 + rng.multinomial(n_characters - 20 * n_alphabets, shares)
    styles = [draw_style(rng) for _ in sizes]
    images = [draw(rng, style, draw_alphabet(rng, style, n)) for style, n in zip(styles, sizes)]
    return Characters(
        images=torch.from_numpy(np.concatenate(images)),
        alphabet=torch.from_numpy(np.repeat(np.arange(n_alphabets), sizes)),
        drawer=torch.arange(1, DRAWERS + 1, dtype=torch.uint8).repeat(n_characters, 1),
        alphabets=tuple(f"Generated {first + i:02d}" for i in range(1, n_alphabets + 1)),
        rotation=torch.zeros(n_characters, dtype=torch.int64),
    )


def make_glyphs(seed: int = 0) -> tuple[Characters, Characters]:
    """Background and evaluation characters in the shapes of Omniglot, the same for the same seed.

    Returns 30 alphabets with 964 characters and 20 with 659, images uint8 (characters, 20, 28, 28).
    Source: the idea of a program for each character is that of Lake et al. (Science 350, 2015).
    """
    return make_alphabets(seed, 0, 30, 964), make_alphabets(seed, 30, 20, 659)
