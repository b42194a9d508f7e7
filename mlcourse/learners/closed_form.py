"""Heads that are solved, not trained."""

import torch
from torch import Tensor


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Linear map and offset with the least squared error plus `penalty` times the squared map.

    x: (…, points, d), y: (…, points, outputs). Returns w (…, d, outputs) and b (…, 1, outputs), so
    that x @ w + b predicts y; the offset is not penalised. `penalty` is above zero.
    Source: Hoerl and Kennard (1970); solved in the smaller of the two spaces, d or points.
    """
    mean_x, mean_y = x.mean(-2, keepdim=True), y.mean(-2, keepdim=True)
    x, y = x - mean_x, y - mean_y
    few = x.shape[-2] < x.shape[-1]
    gram = x @ x.mT if few else x.mT @ x
    gram = gram + penalty * torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    w = x.mT @ torch.linalg.solve(gram, y) if few else torch.linalg.solve(gram, x.mT @ y)
    return w, mean_y - mean_x @ w
