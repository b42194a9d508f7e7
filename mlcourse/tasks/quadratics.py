"""Quadratic tasks: the family on which adaptation and the best start have a closed form."""

from typing import NamedTuple

import torch
from torch import Tensor


class Quadratics(NamedTuple):
    """Tasks with the losses ½ (θ − c)ᵀ A (θ − c), in any number of parameters.

    curvature: the matrices A, symmetric and positive definite, (tasks, d, d).
    optimum: the best parameters c, (tasks, d).
    """

    curvature: Tensor
    optimum: Tensor


def scalar_tasks(curvatures, optima) -> Quadratics:
    """Tasks with one parameter and the losses ½ a (θ − c)², float64.

    >>> scalar_tasks([1, 4], [0, 1]).curvature.shape
    torch.Size([2, 1, 1])
    """
    a, c = (torch.as_tensor(v, dtype=torch.float64) for v in (curvatures, optima))
    return Quadratics(a[:, None, None], c[:, None])


def losses(params: Tensor, tasks: Quadratics) -> Tensor:
    """The loss of each task: params (d,), or (…, tasks, d) for parameters of its own; (…, tasks).

    >>> losses(torch.zeros(1, dtype=torch.float64), scalar_tasks([1, 4], [0, 1])).tolist()
    [0.0, 2.0]
    """
    away = params - tasks.optimum
    return torch.einsum("...i,...ij,...j->...", away, tasks.curvature, away) / 2


def shrinkage(tasks: Quadratics, inner_lr, steps: int) -> Tensor:
    """(I − αA)ᵏ, what k gradient steps leave of the way to the optimum: (…, tasks, d, d).

    inner_lr: α, a number or a tensor (…, 1, 1, 1) of several.
    """
    eye = torch.eye(tasks.optimum.shape[-1], dtype=tasks.optimum.dtype)
    return torch.linalg.matrix_power(eye - inner_lr * tasks.curvature, steps)


def adapt(params: Tensor, tasks: Quadratics, inner_lr, steps: int = 1) -> Tensor:
    """The parameters after k gradient steps on each task: (…, tasks, d)."""
    left = shrinkage(tasks, inner_lr, steps) @ (params - tasks.optimum).unsqueeze(-1)
    return tasks.optimum + left.squeeze(-1)


def weights(tasks: Quadratics, inner_lr=0.0, steps: int = 0, rule: str = "maml") -> Tensor:
    """The pull of each task on the start under a rule that trains it: (…, tasks, d, d).

    rule: "maml", A (I − αA)²ᵏ; "fomaml", A (I − αA)ᵏ; "reptile", I − (I − αA)ᵏ. After no step the
    first two are the curvature A, the weight in joint training, and the third is zero.
    Raises ValueError for another rule.
    """
    if rule == "reptile":
        eye = torch.eye(tasks.optimum.shape[-1], dtype=tasks.optimum.dtype)
        return eye - shrinkage(tasks, inner_lr, steps)
    if rule not in ("maml", "fomaml"):
        raise ValueError(f'rule is {rule!r}, but the rules are "maml", "fomaml" and "reptile"')
    return tasks.curvature @ shrinkage(tasks, inner_lr, (1 + (rule == "maml")) * steps)


def direction(
    params: Tensor, tasks: Quadratics, inner_lr=0.0, steps: int = 0, rule: str = "maml"
) -> Tensor:
    """What a rule descends at the start params (d,): the mean of its weights times θ − c, (…, d).

    For "maml" it is the gradient of the mean loss after k steps, for "reptile" the mean of θ − θₖ.
    """
    away = (params - tasks.optimum).unsqueeze(-1)
    return (weights(tasks, inner_lr, steps, rule) @ away).squeeze(-1).mean(-2)


def best_start(tasks: Quadratics, inner_lr=0.0, steps: int = 0, rule: str = "maml") -> Tensor:
    """The start at which a rule comes to rest: (…, d). For "maml" it has the smallest mean loss.

    The mean of the optima, weighted with `weights`. With no step it is the joint optimum.
    Raises torch.linalg.LinAlgError when every task is solved from anywhere in some direction:
    then no start is the best.

    >>> tasks = scalar_tasks([1, 4], [0, 1])
    >>> round(best_start(tasks).item(), 3), round(best_start(tasks, 0.2, 1).item(), 3)
    (0.8, 0.2)
    """
    pull = weights(tasks, inner_lr, steps, rule)
    target = (pull @ tasks.optimum.unsqueeze(-1)).sum(-3)
    return torch.linalg.solve(pull.sum(-3), target).squeeze(-1)
