"""Which wave made these points? Episodes of point sets, a set embedding, and two rivals."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .. import paths
from ..evaluation import accuracy
from ..tasks import Episode, Points, SineTasks
from ..tasks.sines import uniform
from . import maml, networks, protonet

N_WAY, K_SHOT, N_QUERY, N_POINTS, NOISE = 5, 5, 5, 5, 0.3  # of training
META_BATCH, STEPS, OUTER_LR = 4, 800, 0.01


def sample(
    n_tasks: int,
    generator: torch.Generator,
    k_shot: int = K_SHOT,
    n_query: int = N_QUERY,
    n_points: int = N_POINTS,
    noise: float = NOISE,
    n_way: int = N_WAY,
) -> Episode:
    """Episodes whose classes are waves, and whose examples are a few noisy points of one.

    Returns x: float64 (n_tasks, n_way · examples, n_points, 2), each point its place and its
    height; y: int64 (n_tasks, n_way · examples), class after class. noise: the standard deviation.
    Raises ValueError when a number is below one.
    """
    if min(n_tasks, k_shot, n_query, n_points, n_way) < 1:
        raise ValueError("tasks, ways, shots, queries and points must all be at least one")
    amplitude, phase = SineTasks().waves(n_tasks * n_way, generator)
    each = k_shot + n_query
    x = uniform((n_tasks * n_way, each * n_points, 1), *SineTasks().x, generator)
    hum = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    points = torch.cat([x, amplitude * torch.sin(x - phase) + noise * hum], -1)
    points = points.view(n_tasks, n_way, each, n_points, 2)
    labels = torch.arange(n_way)[:, None].expand(n_tasks, n_way, each)
    parts = (v.split([k_shot, n_query], 2) for v in (points, labels))
    return Episode(*(Points(*(v.flatten(1, 2) for v in side)) for side in zip(*parts)))


class SetEmbedding(nn.Module):
    """A set of points becomes one vector: a network for each point, the mean, another network.

    Sets (…, points, 2) to (…, features), float64; the order of the points does not matter, nor
    does their number change the shape. Source: Zaheer et al. (2017), theorem 2.
    """

    def __init__(self, hidden: int = 40, features: int = 16):
        super().__init__()
        point = [nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.point = nn.Sequential(*point).double()
        whole = [nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, features)]
        self.whole = nn.Sequential(*whole).double()

    def forward(self, sets: Tensor) -> Tensor:
        """(…, points, 2) to (…, features)."""
        return self.whole(self.point(sets).mean(-2))


def start(seed: int = 0) -> SetEmbedding:
    """The embedding before any training."""
    return networks.seeded(SetEmbedding, seed)


def training(seed: int = 0) -> maml.MetaTraining:
    """A ProtoNet's run, to be stepped: 5-way 5-shot, five points a shot."""
    net, generator = start(seed), torch.Generator().manual_seed(1000 + seed)

    def objective(params, episodes, *_):
        support, query = (Points(functional_call(net, params, (p.x,)), p.y) for p in episodes)
        return protonet.loss(support, query, N_WAY)

    params = networks.parameters(net)
    return maml.MetaTraining(
        objective, params, lambda: sample(META_BATCH, generator), 0.0, OUTER_LR
    )


def trained(seed: int = 0) -> SetEmbedding:
    """The embedding at the end of a whole run, as it is recorded."""
    work, net = training(seed), start(seed)
    for i in range(STEPS):
        work.step(i / STEPS)
    net.load_state_dict(work.params)
    return net


def recorded() -> SetEmbedding:
    """The embedding on file."""
    net = start()
    networks.load(paths.asset("wave_embedding.npz"), embedding=net)
    return net.requires_grad_(False)


def by_prototypes(support: Points, query: Points, n_way: int = N_WAY) -> Tensor:
    """Negative squared distances of feature vectors to the class means, (…, queries, n_way)."""
    return -protonet.squared(query.x, protonet.prototypes(*support, n_way))


def in_order(sets: Tensor) -> Tensor:
    """The numbers of each set in one row, points from left to right: (…, points, 2) to (…, d)."""
    places = sets[..., :1].argsort(-2).expand_as(sets)
    return sets.gather(-2, places).flatten(-2)


def by_formula(support: Points, query: Points, n_way: int = N_WAY) -> Tensor:
    """The rival that knows sin and cos: a least-squares wave for each class, through all points of
    its shots, and the negative squared errors of the query's points: (tasks, queries, n_way).

    Expects the shots class after class, as `sample` gives them.
    """
    points = support.x.unflatten(1, (n_way, -1)).flatten(2, 3)  # (tasks, n_way, points, 2)
    basis, heights = waves_at(points)
    gram = basis.mT @ basis + 1e-9 * torch.eye(2, dtype=basis.dtype)
    waves = torch.linalg.solve(gram, basis.mT @ heights)  # (tasks, n_way, 2, 1)
    basis, heights = waves_at(query.x.unsqueeze(2))  # (tasks, queries, 1, points, …)
    return -(basis @ waves.unsqueeze(1) - heights).square().sum((-2, -1))


def waves_at(points: Tensor) -> tuple[Tensor, Tensor]:
    """sin and cos at the places of points (…, 2), and their heights: (…, 2) and (…, 1)."""
    x, y = points.split(1, -1)
    return torch.cat([x.sin(), x.cos()], -1), y


def accuracies(scores: Tensor, query: Points) -> Tensor:
    """The part of the queries that is right in each task: scores (tasks, queries, n_way)."""
    return accuracy(scores.argmax(-1), query.y)
