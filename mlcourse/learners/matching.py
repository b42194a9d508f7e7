"""Matching networks: every support point votes for its class, by its cosine with the query."""

from torch import Tensor
from torch.nn.functional import one_hot

from .protonet import cosine


def log_probabilities(
    features: Tensor, support: Tensor, labels: Tensor, n_way: int, temperature: float = 1.0
) -> Tensor:
    """log of the attention that each class's support points receive: (…, points, n_way).

    features: (…, points, d); support: (…, supports, d), labels (…, supports) in 0…n_way-1;
    temperature: what the cosines are divided by. Every class must have a point.
    Source: Vinyals et al. (2016), equations 1 and 2, without full context embeddings.
    """
    attention = (-cosine(features, support) / temperature).log_softmax(-1)
    others = one_hot(labels, n_way).mT.unsqueeze(-3) == 0  # (…, 1, n_way, supports)
    return attention.unsqueeze(-2).masked_fill(others, -float("inf")).logsumexp(-1)
