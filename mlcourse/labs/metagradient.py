"""The meta-gradient of tasks with two parameters: by autograd, by hand, by differences, by you."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..tasks import quadratics

# ---------------------------------------------------------------- tasks with two parameters


class Family(NamedTuple):
    """Some tasks with two parameters, each function by hand and for any number of starts at once.

    gradient, hessian: of the support losses at θ (…, tasks, 2): (…, tasks, 2) and (…, tasks, 2, 2).
    query_loss, query_gradient: (…, tasks) and (…, tasks, 2). optimum: (tasks, 2).
    """

    gradient: Callable[[Tensor], Tensor]
    hessian: Callable[[Tensor], Tensor]
    query_loss: Callable[[Tensor], Tensor]
    query_gradient: Callable[[Tensor], Tensor]
    optimum: Tensor

    @property
    def limit(self) -> float:
        """2/λ for the largest curvature at a task's optimum: above it, steps lead away from it."""
        return 2 / float(torch.linalg.eigvalsh(self.hessian(self.optimum)).max())


def matrix(steep: float, flat: float, degrees: float) -> list[list[float]]:
    """A curvature of two numbers, the steep direction turned by so many degrees."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cross = (steep - flat) * c * s
    return [[steep * c * c + flat * s * s, cross], [cross, steep * s * s + flat * c * c]]


def bowls() -> Family:
    """Two quadratic tasks, one four times as steep as the other; support and query are one."""
    curvature = torch.tensor([matrix(1.0, 0.5, 20), matrix(4.0, 1.0, 60)], dtype=torch.float64)
    optimum = torch.tensor([[0.7, 2.2], [2.2, 0.9]], dtype=torch.float64)
    loss = functools.partial(quadratics.losses, tasks=quadratics.Quadratics(curvature, optimum))

    def gradient(theta: Tensor) -> Tensor:
        return torch.einsum("tij,...tj->...ti", curvature, theta - optimum)

    return Family(gradient, lambda p: curvature.expand(*p.shape, 2), loss, gradient, optimum)


WAVES = torch.tensor([[1.0, 0.4], [2.0, 1.3], [1.5, 2.4]], dtype=torch.float64)  # A, φ
SUPPORT_X = torch.tensor([-4.0, -2.5, 0.5, 2.0, 3.5], dtype=torch.float64)
QUERY_X = torch.linspace(-5, 5, 11, dtype=torch.float64)


class Sine:
    """The error of the curve θ₁ sin(x − θ₂) on each of WAVES at the points x, by hand."""

    def __init__(self, x: Tensor):
        self.x, self.y = x, WAVES[:, :1] * torch.sin(x - WAVES[:, 1:])

    def parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Amplitude, sine, cosine and residual, (…, tasks, points); the amplitude (…, tasks, 1)."""
        amplitude, phase = theta[..., :1], theta[..., 1:]
        sine, cosine = torch.sin(self.x - phase), torch.cos(self.x - phase)
        return amplitude, sine, cosine, amplitude * sine - self.y

    def loss(self, theta: Tensor) -> Tensor:
        """Mean squared error, (…, tasks)."""
        return self.parts(theta)[3].square().mean(-1)

    def gradient(self, theta: Tensor) -> Tensor:
        """Its first derivatives, (…, tasks, 2)."""
        amplitude, sine, cosine, off = self.parts(theta)
        return 2 * torch.stack([(off * sine).mean(-1), (-off * amplitude * cosine).mean(-1)], -1)

    def hessian(self, theta: Tensor) -> Tensor:
        """Its second derivatives, (…, tasks, 2, 2)."""
        amplitude, sine, cosine, off = self.parts(theta)
        corner = sine.square().mean(-1)
        cross = (-amplitude * sine * cosine - off * cosine).mean(-1)
        last = ((amplitude * cosine).square() - off * amplitude * sine).mean(-1)
        return 2 * torch.stack([corner, cross, cross, last], -1).unflatten(-1, (2, 2))


def waves() -> Family:
    """Three sine waves for a learner that knows they are waves: θ is amplitude and phase."""
    support, query = Sine(SUPPORT_X), Sine(QUERY_X)
    return Family(support.gradient, support.hessian, query.loss, query.gradient, WAVES)


FAMILIES = {1: bowls(), 2: waves()}

# ---------------------------------------------------------------- the meta-gradient, three times


def walk(family: Family, theta: Tensor, inner_lr: float, steps: int) -> Tensor:
    """The points that every task visits from θ (2,): (steps + 1, tasks, 2)."""
    visited = [theta.expand_as(family.optimum)]
    for _ in range(steps):
        visited.append(visited[-1] - inner_lr * family.gradient(visited[-1]))
    return torch.stack(visited)


def by_hand(family: Family, theta: Tensor, inner_lr: float, steps: int) -> Tensor:
    """(I − αH₀) … (I − αHₖ₋₁) ∇L(θₖ) of each task, a Hessian at each visited point: (tasks, 2)."""
    visited, eye = walk(family, theta, inner_lr, steps), torch.eye(2, dtype=torch.float64)
    pull = family.query_gradient(visited[-1]).unsqueeze(-1)
    for point in visited[:-1].flip(0):
        pull = (eye - inner_lr * family.hessian(point)) @ pull
    return pull.squeeze(-1)


def by_autograd(family: Family, theta: Tensor, inner_lr: float, steps: int) -> Tensor:
    """The derivative of each task's query loss after its steps, left to torch: (tasks, 2)."""
    starts = theta.expand_as(family.optimum).clone().requires_grad_()
    return torch.autograd.grad(after(family, starts, inner_lr, steps).sum(), starts)[0]


def by_differences(
    family: Family, theta: Tensor, inner_lr: float, steps: int, h: float = 1e-5
) -> Tensor:
    """The same from losses only, at starts a little to both sides: (tasks, 2)."""
    sides = h * torch.eye(2, dtype=torch.float64)[:, None]
    starts = torch.stack([theta + sides, theta - sides]).expand(2, 2, *family.optimum.shape)
    high, low = after(family, starts, inner_lr, steps)
    return ((high - low) / (2 * h)).mT


def after(family: Family, starts: Tensor, inner_lr: float, steps: int) -> Tensor:
    """The query losses after the steps: starts (…, tasks, 2), losses (…, tasks)."""
    for _ in range(steps):
        starts = starts - inner_lr * family.gradient(starts)
    return family.query_loss(starts)


MEANS = {"autograd": by_autograd, "by hand": by_hand, "differences": by_differences}

# ---------------------------------------------------------------- the table


class Table(NamedTuple):
    """The meta-gradient of one task by several means, on several problems, as lines of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tensor, ...]], ...]
    note: str

    @property
    def gap(self) -> float:
        """The largest difference in the table."""
        return max(largest_difference(values) for _, values in self.rows)

    def __repr__(self) -> str:
        head = f"{'':22}" + "".join(f"{name:>18}" for name in (*self.columns, "difference"))
        lines = [head]
        for name, values in self.rows:
            cells = [f"({v[0]:+.3f}, {v[1]:+.3f})" for v in values]
            gap = largest_difference(values)
            cells.append("below 1e-7" if gap < 1e-7 else f"{gap:.2g}")
            lines.append(f"{name:22}" + "".join(f"{cell:>18}" for cell in cells))
        return "\n".join([*lines, *self.note.splitlines()])


def largest_difference(values: tuple[Tensor, ...]) -> float:
    """Between any two vectors of a row."""
    return float(torch.stack([(a - b).abs().max() for a in values for b in values]).max())


PROBLEMS = ((1, 0, 1), (1, 1, 3), (2, 0, 1), (2, 1, 3), (2, 2, 5))  # family, task, steps


def microscope(meta_gradient: Callable | None = None, inner_lr: float = 0.2) -> Table:
    """The meta-gradient by autograd, by hand and by central differences, and by the reader.

    meta_gradient(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps) is the
    exercise of the chapter. A function that gives no two numbers gets a note instead of a column.
    """
    theta = torch.tensor([1.2, 1.6], dtype=torch.float64)

    def column(mean: Callable) -> list[Tensor]:
        return [mean(FAMILIES[n], theta, inner_lr, steps)[task] for n, task, steps in PROBLEMS]

    columns, note = {name: column(mean) for name, mean in MEANS.items()}, ""
    if meta_gradient is not None:
        try:
            columns["yours"] = [yours(meta_gradient, theta, inner_lr, *p) for p in PROBLEMS]
        except NotImplementedError:
            note = "yours: not attempted"
        except Exception as error:
            note = f"yours: {type(error).__name__}, {error}. check.steps says more."
    names = (f"{('bowl', 'wave')[n - 1]} {t + 1}, {k} step{'s' * (k > 1)}" for n, t, k in PROBLEMS)
    return Table(tuple(columns), tuple(zip(names, zip(*columns.values()))), note)


def yours(function: Callable, theta: Tensor, inner_lr: float, number: int, task: int, steps: int):
    """A reader's meta-gradient of one task; ValueError when it is not two numbers."""
    family = FAMILIES[number]

    def alone(part: Callable) -> Callable:
        return lambda place: part(place.expand_as(family.optimum))[task]

    parts = map(alone, (family.gradient, family.hessian, family.query_gradient))
    answer = function(theta.clone(), *parts, inner_lr, steps)
    value = torch.as_tensor(answer, dtype=torch.float64).detach().flatten()
    if value.shape != (2,):
        raise ValueError(f"the table needs two numbers and your function returned {len(value)}")
    return value
