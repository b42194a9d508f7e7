"""The course's networks, small enough to train while one watches, and their checkpoints."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def block(channels: int, filters: int, pool: bool = True) -> nn.Sequential:
    """Convolution 3 × 3, batch norm, ReLU, pooling 2 × 2; no bias, which the norm would undo."""
    convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    halve = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU(), *halve)


def conv4(filters: int = 32, pools: int = 4) -> nn.Sequential:
    """Four blocks, the first `pools` of them pooling, and a `Flatten`.

    Images (points, 1, 28, 28) become features (points, filters), or (points, 9 filters) when only
    three blocks pool. Source: Vinyals et al. (2016), section 4.1.1 (there with 64 filters).
    """
    blocks = [block(filters if i else 1, filters, i < pools) for i in range(4)]
    net = nn.Sequential(*blocks, nn.Flatten())
    return net.to(memory_format=torch.channels_last)  # twice as fast on a CPU


def mlp(inputs: int = 1, hidden: int = 40) -> nn.Sequential:
    """Two hidden layers: (…, inputs) to (…, 1), float64.

    Source: Finn et al. (2017), section 5.1.
    """
    sizes = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*sizes, nn.Linear(hidden, 1)).double()


def save(path: Path, **parts: nn.Module) -> None:
    """Write the tensors of named modules as plain arrays."""
    tensors = {
        f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()
    }
    np.savez_compressed(path, **{name: v.cpu().numpy() for name, v in tensors.items()})


def load(path: Path, **parts: nn.Module) -> None:
    """Fill named modules with what `save` wrote; RuntimeError when shapes or names differ."""
    with np.load(path, allow_pickle=False) as file:
        for name, part in parts.items():
            part.load_state_dict(
                {k: torch.from_numpy(file[f"{name}.{k}"]) for k in part.state_dict()}
            )


@torch.no_grad()
def features(part: nn.Module, x: Tensor, batch: int = 512) -> Tensor:
    """What a network makes of images (tasks, points, 1, h, w), in evaluation mode, in batches.

    Returns (tasks, points, …) on the device of x; `part` keeps its mode.
    """
    was, device = part.training, next(part.parameters(), x).device
    part.eval()
    out = torch.cat([part(some.to(device)).to(x.device) for some in x.flatten(0, 1).split(batch)])
    part.train(was)
    return out.unflatten(0, x.shape[:2])
