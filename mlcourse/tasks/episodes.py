"""An episode: a few labelled points to learn from, and others to be judged on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Points(NamedTuple):
    """Inputs and targets of one set, with leading dimensions (tasks, points)."""

    x: Tensor
    y: Tensor


class Episode(NamedTuple):
    """What a learner adapts to (support) and what it is judged on (query)."""

    support: Points
    query: Points

    def map(self, change: Callable[[Tensor], Tensor]) -> "Episode":
        """The same with each of its four tensors changed."""
        return Episode(*(Points(*map(change, part)) for part in self))

    def first(self, n_tasks: int) -> "Episode":
        """The first tasks only."""
        return self.map(lambda v: v[:n_tasks])

    def together(self) -> Points:
        """Support and query points as one set."""
        return Points(*(torch.cat(parts, 1) for parts in zip(*self)))

    def with_shots(self, k_shot: int) -> "Episode":
        """The same tasks with the first `k_shot` support points of every class, the same queries.

        Needs labels (tasks, points) and equally many points of each class in all tasks; the classes
        then stand in order. Raises ValueError when a class has fewer points.
        """
        x, y = self.support
        per_class = int((y[0] == y[0, 0]).sum())
        if not 1 <= k_shot <= per_class:
            raise ValueError(f"k_shot is {k_shot}, but these episodes have 1 to {per_class} shots")
        order = y.argsort(dim=1, stable=True).unflatten(1, (-1, per_class))[..., :k_shot].flatten(1)
        picked = torch.stack([drawings[i] for drawings, i in zip(x, order)])
        return Episode(Points(picked, y.gather(1, order)), self.query)


@dataclass(frozen=True)
class Characters:
    """Drawings of many characters by many people: the pool that N-way K-shot episodes come from.

    images: uint8 (classes, drawings, height, width), strokes bright.
    alphabet: int64 (classes,), an index into `alphabets`.
    drawer: uint8 (classes, drawings), who drew it, 1 to 20 within an alphabet.
    alphabets: the names of the alphabets.
    rotation: int64 (classes,), quarter turns counter-clockwise; all zero unless `rotated()`.
    """

    images: Tensor
    alphabet: Tensor
    drawer: Tensor
    alphabets: tuple[str, ...]
    rotation: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, classes: Tensor) -> "Characters":
        """Only the characters with these indices, int64 (m,)."""
        return replace(
            self,
            images=self.images[classes],
            alphabet=self.alphabet[classes],
            drawer=self.drawer[classes],
            rotation=self.rotation[classes],
        )

    def rotated(self) -> "Characters":
        """Every character turned by 0, 90, 180 and 270 degrees, each turn a class of its own.

        Source: Finn et al. (2017), section 5.2, and Snell et al. (2017), section 3.1.
        """
        turns = torch.arange(4)
        return replace(
            self,
            images=torch.cat([torch.rot90(self.images, int(k), (2, 3)) for k in turns]),
            alphabet=self.alphabet.repeat(4),
            drawer=self.drawer.repeat(4, 1),
            rotation=turns.repeat_interleave(len(self)),
        )

    def sample(
        self,
        n_tasks: int,
        k_shot: int,
        n_query: int,
        generator: torch.Generator,
        n_way: int = 5,
    ) -> Episode:
        """Draw N-way K-shot episodes; support and query are disjoint slices of one permutation.

        Returns x: float32 (n_tasks, n_way * points, 1, height, width) in [0, 1], y: int64
        (n_tasks, n_way * points) in 0…n_way-1. Which class gets which label, and the order of the
        points inside each set, are random in every episode. `generator` must be on the CPU, so
        that every device sees the same episodes.
        Raises ValueError when a number is below one or more than there are characters or drawings.
        """
        if min(n_tasks, k_shot, n_query, n_way) < 1:
            given = f"{n_tasks}, {k_shot}, {n_query}, {n_way}"
            raise ValueError(f"an episode needs a task, a shot, a query and a way, not {given}")
        pool = self.images.shape[:2]
        classes, drawings = draw_indices(pool, n_tasks, k_shot + n_query, generator, n_way)
        images, where = self.images.flatten(0, 1), classes * pool[1] + drawings

        sets = where.split([k_shot, n_query], -1)
        sizes = [n_way * k_shot, n_way * n_query]
        orders = [torch.rand(n_tasks, n, generator=generator).argsort(1) for n in sizes]
        picked = [s.flatten(1).gather(1, o).flatten() for s, o in zip(sets, orders)]
        x = images.index_select(0, torch.cat(picked).to(images.device)).float().div_(255)
        parts = x.split([n_tasks * n for n in sizes])  # one gather for both sets is faster
        xs = (part.view(n_tasks, n, 1, *x.shape[1:]) for part, n in zip(parts, sizes))
        ys = ((o // s.shape[-1]).to(images.device) for s, o in zip(sets, orders))
        return Episode(*map(Points, xs, ys))

    def sample_alphabets(
        self, k_shot: int, n_query: int, generator: torch.Generator, n_way: int = 20
    ) -> Episode:
        """One N-way K-shot task of each alphabet that has the characters, all of them from it.

        Returns what `sample` does, the tasks in the order of the alphabets. Raises ValueError as
        `sample` does, and when no alphabet has n_way characters.
        """
        places = [torch.nonzero(self.alphabet == a)[:, 0] for a in self.alphabet.unique()]
        pools = [self.subset(classes) for classes in places if len(classes) >= n_way]
        if not pools:
            most = max(map(len, places))
            raise ValueError(f"n_way is {n_way}, but the largest alphabet has {most} characters")
        tasks = [pool.sample(1, k_shot, n_query, generator, n_way) for pool in pools]
        return Episode(*(Points(*map(torch.cat, zip(*points))) for points in zip(*tasks)))


def draw_indices(
    pool: tuple[int, int], n_tasks: int, per_class: int, generator: torch.Generator, n_way: int
) -> tuple[Tensor, Tensor]:
    """Distinct classes for each task and distinct drawings for each class.

    Returns int64 (n_tasks, n_way, 1) and (n_tasks, n_way, per_class).
    Raises ValueError when the pool (classes, drawings) is too small.
    """
    n_classes, n_drawings = pool
    if n_way > n_classes:
        raise ValueError(f"n_way is {n_way}, but there are {n_classes} characters to choose from")
    if per_class > n_drawings:
        given = f"k_shot + n_query is {per_class}"
        raise ValueError(f"{given}, but a character has {n_drawings} drawings")
    classes = torch.rand(n_tasks, n_classes, generator=generator).topk(n_way).indices
    drawings = torch.rand(n_tasks, n_way, n_drawings, generator=generator).topk(per_class).indices
    return classes.unsqueeze(-1), drawings
