"""Transfer learning: pretrain on many classes, then learn new ones from a few examples of each."""

import copy
import math
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from ..tasks import Characters, Episode, Points
from .networks import descend, move

T = TypeVar("T")
CHECKPOINTS = (0, 1, 2, 5, 10, 20, 50)  # steps after which a run is judged
BATCH = 60  # drawings a step of fine-tuning sees; all of them where there are fewer


class Pretraining:
    """Classification of all characters of a pool: what `body` learns is kept, `head` belongs to it.

    SGD with momentum; the rate climbs to `lr` in the first twentieth of the run, then falls to
    zero as a cosine. Every drawing is moved by up to `shift` pixels each time it is seen. All
    randomness is the generator's, on the CPU.
    """

    def __init__(
        self,
        body: nn.Module,
        pool: Characters,
        device: torch.device,
        seed: int = 0,
        lr: float = 0.1,
        batch: int = 128,
        shift: int = 2,
    ):
        self.body, self.pool, self.lr, self.batch, self.shift = body, pool, lr, batch, shift
        self.generator, self.begun = torch.Generator().manual_seed(seed), None
        with torch.no_grad():
            width = body.eval()(torch.zeros(1, 1, *pool.images.shape[2:])).shape[1]
        self.head = nn.Linear(width, len(pool))
        parameters = [*body.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(
            parameters, lr, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Go on on another device, with the optimiser's memory; a failed step keeps its batch."""
        self.device = device
        if self.begun is not None:
            self.generator.set_state(self.begun)
        self.body.to(device), self.head.to(device)
        move(self.optimizer, device)

    def draw(self) -> tuple[Tensor, Tensor]:
        """A batch of the pool's drawings, float (batch, 1, h, w), and which character each is."""
        n, drawings = self.pool.images.shape[:2]
        picked = torch.randint(n * drawings, (self.batch,), generator=self.generator)
        x = self.pool.images.flatten(0, 1)[picked].unsqueeze(1).float().div(255)
        x = shifted(x, self.shift, self.generator)
        return x.to(self.device), (picked // drawings).to(self.device)

    def step(self, progress: float) -> float:
        """One step at this part (0 to 1) of the run; returns the cross-entropy."""
        rate = self.lr * min(1, progress / 0.05 + 0.01) * (1 + math.cos(math.pi * progress)) / 2
        self.optimizer.param_groups[0]["lr"] = rate
        self.body.train()
        self.begun = self.generator.get_state()
        x, y = self.draw()
        loss = cross_entropy(self.head(self.body(x)), y)
        descend(self.optimizer, loss)
        self.begun = None
        return loss.item()


def shifted(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image (points, 1, h, w) moved by up to `most` pixels each way, zeros moving in."""
    n, _, high, wide = x.shape
    down, right = torch.randint(2 * most + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(high), right + torch.arange(wide)
    padded = pad(x, (most,) * 4)[:, 0]
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None]].unsqueeze(1)


def freeze(part: nn.Module) -> nn.Module:
    """No gradients, and batch norm in evaluation mode: neither weights nor statistics move."""
    return part.eval().requires_grad_(False)


def cut(body: nn.Sequential, depth: int) -> tuple[nn.Module, nn.Module]:
    """Copies of the first blocks, frozen, and of the last `depth` ones, to be trained.

    body: blocks and a `Flatten` at the end. Raises ValueError when it has fewer blocks.
    """
    blocks = len(body) - 1
    if not 0 <= depth <= blocks:
        raise ValueError(f"depth is {depth}, but the network has {blocks} blocks to unfreeze")
    body = copy.deepcopy(body)
    return freeze(body[: blocks - depth]), body[blocks - depth :].requires_grad_(True)


def new_head(body: nn.Module, x: Tensor, n_way: int) -> nn.Linear:
    """A linear classifier of `body`'s features for n_way classes, all weights zero."""
    with torch.no_grad():
        head = nn.Linear(body(x[:1]).shape[1], n_way, device=x.device)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    return head


def fine_tuning(
    body: nn.Sequential,
    support: Points,
    n_way: int,
    depth: int,
    inner_lr: float,
    generator: torch.Generator,
) -> Iterator[nn.Sequential]:
    """A new head and the last `depth` blocks of a copy of `body`, trained on one support set.

    support: x (points, 1, h, w), y (points,) of one task. Yields the network, in evaluation mode,
    before the first step of Adam and after every step, without end; `body` itself stays as it is.
    The frozen blocks are computed once, since nothing in them moves; of more than BATCH points a
    step sees BATCH random ones.
    """
    frozen, rest = cut(body, depth)
    with torch.no_grad():
        x = frozen(support.x)
    head = new_head(rest.eval(), x, n_way)
    net = nn.Sequential(frozen, rest, head)
    optimizer = torch.optim.Adam([*rest.parameters(), *head.parameters()], inner_lr)
    while True:
        yield net.eval()
        rest.train()
        picked = some(x, generator)
        descend(optimizer, cross_entropy(head(rest(x[picked])), support.y[picked]))


def curve(
    body: nn.Sequential,
    episode: Episode,
    depth: int,
    inner_lr: float,
    generator: torch.Generator,
    checkpoints: tuple[int, ...] = CHECKPOINTS,
) -> Iterator[tuple[int, float]]:
    """Accuracy on the queries of one task while it is fine-tuned: (step, accuracy), one by one."""
    support, query = episode
    n_way = int(support.y.max()) + 1
    tuned = fine_tuning(body, support, n_way, depth, inner_lr, generator)
    for step, net in at_checkpoints(tuned, checkpoints):
        yield step, share_right(net, query)


def at_checkpoints(nets: Iterator[T], checkpoints: tuple[int, ...]) -> Iterator[tuple[int, T]]:
    """What a training yields after each of these steps, in order: (step, networks)."""
    for step, net in enumerate(nets):
        if step in checkpoints:
            yield step, net
        if step == checkpoints[-1]:
            return


@torch.no_grad()
def share_right(net: nn.Module, points: Points) -> float:
    """The part of the points (points, …) of one task whose label gets the highest score."""
    return float((net(points.x).argmax(-1) == points.y).float().mean())


def mixing(
    body: nn.Sequential,
    source: Pretraining,
    support: Points,
    n_way: int,
    lam: float,
    inner_lr: float,
    generator: torch.Generator,
) -> Iterator[tuple[nn.Module, nn.Module]]:
    """lam · source loss + (1 - lam) · target loss, minimised from `body` on, nothing frozen.

    Yields the network for the new characters and that for the source's, in evaluation mode, before
    the first step of Adam and after every step. With lam 0 it is full fine-tuning; with lam above 0
    it needs the source's data at every step.
    """
    rest, old = (copy.deepcopy(part) for part in (body, source.head))
    head = new_head(rest.eval(), support.x, n_way)
    parts = [*rest.parameters(), *head.parameters(), *old.parameters()]
    optimizer = torch.optim.Adam(parts, inner_lr)
    while True:
        yield nn.Sequential(rest, head).eval(), nn.Sequential(rest, old)
        rest.train()
        picked = some(support.x, generator)
        loss = (1 - lam) * cross_entropy(head(rest(support.x[picked])), support.y[picked])
        if lam:
            x, y = source.draw()
            loss = loss + lam * cross_entropy(old(rest(x)), y)
        descend(optimizer, loss)


def some(x: Tensor, generator: torch.Generator) -> Tensor:
    """Places of BATCH random points, of all where there are fewer."""
    return torch.randperm(len(x), generator=generator)[:BATCH].to(x.device)


def for_choosing(background: Characters, seed: int = 0) -> tuple[Characters, Characters]:
    """The background split by alphabets: 24 to pretrain on and 6 to choose recipes on."""
    order = torch.randperm(len(background.alphabets), generator=torch.Generator().manual_seed(seed))
    chosen = torch.isin(background.alphabet, order[:6])
    return tuple(background.subset(torch.nonzero(side)[:, 0]) for side in (~chosen, chosen))
