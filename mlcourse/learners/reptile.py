"""Reptile: walk from the start towards where gradient steps lead, without a query set."""

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from ..tasks import Episode
from .maml import Loss, Params, adapt


def direction(loss: Loss, params: Params, supports: Any, inner_lr: float, steps: int) -> Params:
    """The mean over tasks of (θ − θₖ)/α, to be descended like a gradient; by name.

    supports: points whose tensors have a leading task dimension. With one step it is the gradient
    of the mean loss: joint training.
    Source: Nichol et al. (2018), algorithm 2.
    """

    def walked(support):
        adapted = adapt(loss, params, support, inner_lr, steps)
        return {name: (p - adapted[name]) / inner_lr for name, p in params.items()}

    return {name: walk.mean(0) for name, walk in vmap(walked)(supports).items()}


def objective(loss: Loss, params: Params, episodes: Episode, inner_lr: float, steps: int) -> Tensor:
    """One number whose gradient is `direction`, for an optimiser; support and query points are one
    set, since Reptile has no use for two."""
    with torch.no_grad():
        walk = direction(loss, params, episodes.together(), inner_lr, steps)
    return sum((p * walk[name]).sum() for name, p in params.items())
