"""The course's networks, small enough to train while one watches, and their checkpoints."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm, cross_entropy, relu

from .. import paths
from ..tasks import Points

M = TypeVar("M", bound=nn.Module)


class BatchNow(nn.Module):
    """Batch norm by the statistics of the batch at hand, which it never keeps: MAML's.

    The affine part stands outside the native operation: inside it, `vmap` makes the second
    derivatives of torch 2.13 wrong by some tenths of a percent, without a word.
    known: only so many points, the first of the batch, make the statistics; 0 means all of them.
    Source: Ioffe and Szegedy (2015), algorithm 1.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.known = 0
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(points, channels, h, w) to the same shape."""
        if self.known:
            few = x[: self.known]
            variance, mean = torch.var_mean(few, (0, 2, 3), correction=0, keepdim=True)
            x = (x - mean) * (variance + 1e-5).rsqrt()
        else:
            x = batch_norm(x, None, None, training=True)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


@contextmanager
def normalised_by(net: nn.Module, points: int) -> Iterator[None]:
    """Let the first points of a batch make the statistics of each `BatchNow` of a network."""
    norms = [part for part in net.modules() if isinstance(part, BatchNow)]
    for norm in norms:
        norm.known = points
    try:
        yield
    finally:
        for norm in norms:
            norm.known = 0


def block(channels: int, filters: int, pool: bool = True, norm=nn.BatchNorm2d) -> nn.Sequential:
    """Convolution 3 × 3, batch norm, ReLU, pooling 2 × 2; no bias, which the norm would undo."""
    convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    halve = [nn.MaxPool2d(2)] if pool else []
    return nn.Sequential(convolution, norm(filters), nn.ReLU(), *halve)


def conv4(filters: int = 32, pools: int = 4, embedding: int | None = None) -> nn.Sequential:
    """Four blocks, the first `pools` of them pooling, and a `Flatten`.

    Images (points, 1, 28, 28) become features (points, filters), or (points, 9 filters) when only
    three blocks pool; embedding: the filters of the last block, if they are to be others.
    Source: Vinyals et al. (2016), section 4.1.1 (there with 64 filters).
    """
    widths = [1, filters, filters, filters, embedding or filters]
    blocks = [block(*widths[i : i + 2], i < pools) for i in range(4)]
    net = nn.Sequential(*blocks, nn.Flatten())
    return net.to(memory_format=torch.channels_last)  # twice as fast on a CPU


def mlp(inputs: int = 1, hidden: int = 40) -> nn.Sequential:
    """Two hidden layers: (…, inputs) to (…, 1), float64.

    Source: Finn et al. (2017), section 5.1.
    """
    sizes = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*sizes, nn.Linear(hidden, 1)).double()


def few_shot(n_way: int = 5, filters: int = 32, activation=nn.ReLU) -> nn.Sequential:
    """A conv-4 and a linear head, with `BatchNow`: images of 20 × 20 or more to (points, n_way).

    Source: Finn et al. (2017), section 5.2 (there 28 × 28 with strides in place of pooling).
    """
    blocks = [block(filters if i else 1, filters, norm=BatchNow) for i in range(4)]
    for part in blocks:
        part[2] = activation()
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(filters, n_way))


def seeded(make: Callable[[], M], seed: int) -> M:
    """What `make` builds from this seed; torch's own generator stays where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def parameters(net: nn.Module) -> dict[str, Tensor]:
    """Copies of a network's parameters by name, as the pure functions of `maml` take them."""
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def task_loss(net: nn.Module, measure: Callable = cross_entropy) -> Callable:
    """loss(params, points) of one task: what `measure` says of the network's outputs."""

    def loss(params: dict[str, Tensor], points: Points) -> Tensor:
        x, y = points
        return measure(functional_call(net, params, (x,)), y)

    return loss


def mlp_together(params: dict[str, Tensor], x: Tensor) -> Tensor:
    """An `mlp` whose parameters differ from task to task: (tasks, points, inputs) to (…, 1).

    params: those of `mlp` with a leading task dimension.
    """
    for i in (0, 2, 4):
        x = torch.baddbmm(params[f"{i}.bias"].unsqueeze(1), x, params[f"{i}.weight"].mT)
        x = x if i == 4 else relu(x)
    return x


def squared_errors(params: dict[str, Tensor], points: Points) -> Tensor:
    """The mean squared error of `mlp_together` on each task, (tasks,)."""
    return (mlp_together(params, points.x) - points.y).square().mean((1, 2))


def move(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Take what an optimiser remembers of its parameters to another device."""
    for state in optimizer.state.values():
        state.update({k: v.to(device) for k, v in state.items() if isinstance(v, Tensor)})


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def one_cycle(progress: float, warm: float = 0.1) -> float:
    """What a rate is multiplied by at this part (0 to 1) of a run: it climbs, then falls to zero
    as a cosine. Source: Smith and Topin (2019), with a cosine for the fall."""
    fall = (1 + math.cos(math.pi * max(0.0, progress - warm) / (1 - warm))) / 2
    return min(1.0, progress / warm + 0.01) * fall


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


def recorded(file: str, name: str) -> dict[str, Tensor]:
    """The arrays "{name}/…" of a shipped file by the rest of their names, float32."""
    with np.load(paths.asset(file), allow_pickle=False) as arrays:
        found = {n: arrays[n] for n in arrays.files if n.startswith(f"{name}/")}
    return {n.removeprefix(f"{name}/"): torch.from_numpy(v).float() for n, v in found.items()}


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
