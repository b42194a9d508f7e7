"""Prototypical networks: the mean of each class's support features, and the nearest of them."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from ..tasks import Points


def prototypes(features: Tensor, labels: Tensor, n_way: int) -> Tensor:
    """Class means: features (…, points, d), labels (…, points) in 0…n_way-1 -> (…, n_way, d).

    Every class must have a point. Source: Snell et al. (2017), equation 1.
    """
    members = one_hot(labels, n_way).to(features.dtype)
    return members.mT @ features / members.sum(-2).unsqueeze(-1)


def squared(features: Tensor, prototypes: Tensor) -> Tensor:
    """Squared Euclidean distances: (…, points, d) to (…, n_way, d) -> (…, points, n_way).

    The differences are squared, and nothing is expanded, so that far points keep their digits.
    """
    return (features.unsqueeze(-2) - prototypes.unsqueeze(-3)).square().sum(-1)


def unsquared(features: Tensor, prototypes: Tensor) -> Tensor:
    """Euclidean distances; shapes as for `squared`. The gradient at distance zero is zero."""
    return torch.cdist(features, prototypes, compute_mode="donot_use_mm_for_euclid_dist")


def city_block(features: Tensor, prototypes: Tensor) -> Tensor:
    """Sums of absolute differences (p = 1); shapes as for `squared`."""
    return torch.cdist(features, prototypes, p=1)


def cosine(features: Tensor, prototypes: Tensor) -> Tensor:
    """One minus the cosine of the angle, 0 to 2; shapes as for `squared`.

    The zero vector has cosine zero with everything.
    """
    return 1 - normalize(features, dim=-1) @ normalize(prototypes, dim=-1).mT


DISTANCES = {
    "squared": squared,
    "unsquared": unsquared,
    "city block": city_block,
    "cosine": cosine,
}


def log_probabilities(
    features: Tensor, prototypes: Tensor, distance=squared, temperature: float = 1.0
) -> Tensor:
    """log p(class | features), softmax of the negative distances: (…, points, n_way).

    distance: one of DISTANCES' functions; temperature: what the distances are divided by.
    Source: Snell et al. (2017), equation 2.
    """
    return (-distance(features, prototypes) / temperature).log_softmax(-1)


def loss(
    support: Points, query: Points, n_way: int, distance=squared, temperature: float = 1.0
) -> Tensor:
    """Mean cross-entropy of the queries, one number, after the support set made the prototypes.

    support, query: features (…, points, d) and labels (…, points). Source: algorithm 1, ibidem.
    """
    c = prototypes(*support, n_way)
    logits = -distance(query.x, c) / temperature
    return cross_entropy(logits.flatten(0, -2), query.y.flatten())


def linear_classifier(prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """w = 2c and b = −‖c‖²: features @ w.mT + b are the negative squared distances, but for a
    number that is the same for all classes. (…, n_way, d) -> (…, n_way, d) and (…, n_way).

    Source: Snell et al. (2017), equation 8.
    """
    return 2 * prototypes, -prototypes.square().sum(-1)


def nearest_prototype(features: Tensor, prototypes: Tensor, distance=squared) -> Tensor:
    """The class of the nearest prototype: features (…, points, d) -> int64 (…, points)."""
    return distance(features, prototypes).argmin(-1)
