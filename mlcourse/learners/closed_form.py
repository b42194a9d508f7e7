"""Heads that are solved, not trained."""

import torch
from torch import Tensor


def ridge_map(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """The linear map, without offset, with the least squared error plus `penalty` times its square.

    x: (…, points, d), y: (…, points, outputs). Returns w (…, d, outputs); gradients flow through
    the solve, which happens in the smaller of the two spaces, d or points. `penalty` is above zero.
    Source: Hoerl and Kennard (1970); as a head, Bertinetto et al. (2019), equations 5 and 6.
    """
    few = x.shape[-2] < x.shape[-1]
    gram = x @ x.mT if few else x.mT @ x
    gram = gram + penalty * torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    return x.mT @ torch.linalg.solve(gram, y) if few else torch.linalg.solve(gram, x.mT @ y)


def ridge(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """`ridge_map` and an offset, which is not penalised.

    Returns w (…, d, outputs) and b (…, 1, outputs), so that x @ w + b predicts y.
    """
    mean_x, mean_y = x.mean(-2, keepdim=True), y.mean(-2, keepdim=True)
    w = ridge_map(x - mean_x, y - mean_y, penalty)
    return w, mean_y - mean_x @ w
