"""How well, and how sure: a mean over episodes never travels without its 95 % interval."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Z = 1.96  # 95 % of a normal distribution lies within this many standard deviations


class Estimate(NamedTuple):
    """A mean over n episodes; the 95 % interval is mean - half_width to mean + half_width."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + self.half_width

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half_width:.3f}"

    def percent(self, digits: int = 1, sign: str = "") -> str:
        """The estimate of a part, in per cent; with sign="+" that of a difference.

        >>> Estimate(0.4567, 0.0123, 600).percent()
        '45.7 ± 1.2'
        """
        return f"{100 * self.mean:{sign}.{digits}f} ± {100 * self.half_width:.{digits}f}"


def estimate(values: Tensor | Sequence[float]) -> Estimate:
    """The mean of one number per episode (episodes,), and 1.96 standard errors of it.

    Raises ValueError when the shape is another, when there are fewer than two episodes, or when
    a value is not finite.

    >>> print(estimate([0.4, 0.6, 0.8]))
    0.600 ± 0.226
    """
    values = torch.as_tensor(values).detach().cpu().double()
    if values.dim() != 1:
        raise ValueError(f"estimate takes one number per episode, not shape {tuple(values.shape)}")
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs at least two episodes, and there is {n or 'none'}")
    if bad := int((~values.isfinite()).sum()):
        raise ValueError(f"an interval needs finite values, and {bad} of the {n} are not")
    return Estimate(float(values.mean()), float(half_width(values)), n)


def bounded(losses: Tensor) -> Estimate | None:
    """The estimate of losses (tasks,), or None when a task is lost for good."""
    return estimate(losses) if bool((losses < 1e6).all()) else None


def half_width(values: Tensor) -> Tensor:
    """1.96 standard errors of the mean over the last dimension: (…, episodes) -> (…,)."""
    return Z * values.std(-1) / values.shape[-1] ** 0.5


def accuracy(predictions: Tensor, labels: Tensor) -> Tensor:
    """The part of its queries that each task got right: (tasks, queries) twice -> float64 (tasks,).

    Raises ValueError when the two shapes differ, so that nothing is broadcast in silence.

    >>> accuracy(torch.tensor([[0, 1], [1, 1]]), torch.tensor([[0, 1], [0, 1]])).tolist()
    [1.0, 0.5]
    """
    if predictions.shape != labels.shape or labels.dim() != 2:
        given = f"{tuple(predictions.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"predictions and labels must both be (tasks, queries), not {given}")
    return (predictions == labels).cpu().double().mean(1)


def paired_difference(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> Estimate:
    """How much better a is than b when both met the same episodes: the estimate of a - b.

    Episodes that are hard for both cancel, so this interval is the one that compares methods.
    Raises ValueError as `estimate` does, and when the lengths differ.

    >>> print(paired_difference([0.5, 0.7, 0.9], [0.4, 0.6, 0.7]))
    0.133 ± 0.065
    """
    a, b = (torch.as_tensor(values).detach().cpu().double() for values in (a, b))
    if a.shape != b.shape:
        given = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"a paired difference needs the same episodes twice, not {given}")
    return estimate(a - b)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a proportion from a count; it keeps its promise for few trials too.

    It holds every p for which the count is within 1.96 standard deviations of p * trials;
    nothing tried is (0, 1). Raises ValueError when successes are not within 0…trials.
    Source: Wilson (1927), Journal of the American Statistical Association 22.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie within 0 and trials, not {successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    p, shrink = successes / trials, Z**2 / trials
    centre = (p + shrink / 2) / (1 + shrink)
    half = (p * (1 - p) * shrink + shrink**2 / 4) ** 0.5 / (1 + shrink)
    return max(0.0, centre - half), min(1.0, centre + half)
