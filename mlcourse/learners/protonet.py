"""Prototypes: the mean of each class's support features."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def prototypes(features: Tensor, labels: Tensor, n_way: int) -> Tensor:
    """Class means: features (…, points, d), labels (…, points) in 0…n_way-1 -> (…, n_way, d).

    Every class must have a point. Source: Snell et al. (2017), equation 1.
    """
    members = one_hot(labels, n_way).to(features.dtype)
    return members.mT @ features / members.sum(-2).unsqueeze(-1)


def nearest_prototype(features: Tensor, prototypes: Tensor) -> Tensor:
    """The class of the nearest prototype: features (…, points, d) -> int64 (…, points)."""
    return torch.cdist(features, prototypes).argmin(-1)
