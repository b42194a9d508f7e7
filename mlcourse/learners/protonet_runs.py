"""Prototypical networks on characters: recipes, one training, how it is judged, what was found."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import paths
from ..evaluation import accuracy
from ..tasks import Characters, Episode, Points
from ..tasks.episodes import draw_indices
from . import matching, networks, protonet

OUTER_LR = 1e-2  # Adam's rate at its peak
MINUTE = 240_000  # drawings embedded by the base recipe in a minute of two slow cores


class Recipe(NamedTuple):
    """How a run trains; `temperature` divides the distances, "matching" names no distance."""

    n_way: int = 60
    k_shot: int = 1
    distance: str = "squared"
    temperature: float = 1.0
    size: int = 20  # pixels a side
    filters: int = 32
    embedding: int = 64  # features of a drawing
    n_query: int = 2

    def net(self, seed: int = 0) -> nn.Sequential:
        """The network before any training."""
        return networks.seeded(lambda: networks.conv4(self.filters, embedding=self.embedding), seed)

    def images(self) -> int:
        """Drawings that one step embeds."""
        return self.n_way * (self.k_shot + self.n_query)

    def loss(self, support: Points, query: Points) -> Tensor:
        """The training loss of embedded episodes, one number."""
        if self.distance == "matching":
            said = matching.log_probabilities(query.x, *support, self.n_way, self.temperature)
            return nn.functional.nll_loss(said.flatten(0, -2), query.y.flatten())
        distance = protonet.DISTANCES[self.distance]
        return protonet.loss(support, query, self.n_way, distance, self.temperature)


class Training:
    """One run: Adam, whose rate climbs for a tenth of the run and falls to zero as a cosine.

    All randomness is the generator's, on the CPU.
    """

    def __init__(self, recipe: Recipe, pool: Characters, device: torch.device, seed: int = 0):
        self.recipe, self.pool = recipe, pool
        self.net, self.waiting = recipe.net(seed), None
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(self.net.parameters(), OUTER_LR)
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Go on on another device, with the optimiser's memory; a failed step keeps its episode."""
        self.device = device
        self.net.to(device)
        networks.move(self.optimizer, device)

    def step(self, progress: float) -> float:
        """One episode at this part (0 to 1) of the run; returns its loss before the step."""
        self.optimizer.param_groups[0]["lr"] = OUTER_LR * networks.one_cycle(progress)
        self.waiting = self.waiting or self.pool.sample(
            1, self.recipe.k_shot, self.recipe.n_query, self.generator, self.recipe.n_way
        )
        support, query = (Points(*(v.to(self.device) for v in part)) for part in self.waiting)
        self.net.train()
        features = self.net(torch.cat([support.x, query.x], 1)[0]).unsqueeze(0)
        parts = features.split([support.x.shape[1], query.x.shape[1]], 1)
        loss = self.recipe.loss(Points(parts[0], support.y), Points(parts[1], query.y))
        networks.descend(self.optimizer, loss)
        self.waiting = None
        return loss.item()


CELLS = ((5, 1), (5, 5), (20, 1), (20, 5))  # ways and shots that a network is judged at
ALPHABET_TASKS = 50  # within-alphabet tasks of each alphabet
CHUNK = 20  # tasks judged at once


def embedded(net: nn.Module, pool: Characters) -> Tensor:
    """Every drawing of a pool, embedded in evaluation mode: (classes, drawings, d)."""
    return networks.features(net, pool.images.unsqueeze(2).float().div(255))


def answers(
    support: Points, query: Tensor, n_way: int, distance: str = "squared", temperature: float = 1.0
) -> Tensor:
    """log p(class | query) of embedded episodes, (tasks, queries, n_way); distance as in Recipe."""
    if distance == "matching":
        return matching.log_probabilities(query, *support, n_way, temperature)
    c = protonet.prototypes(*support, n_way)
    return protonet.log_probabilities(query, c, protonet.DISTANCES[distance], temperature)


def tasks(
    features: Tensor, n_way: int, k_shot: int, n_query: int = 5, n_tasks: int = 1000, seed: int = 7
) -> Episode:
    """Episodes of an embedded pool (classes, drawings, d), the same drawings for every network.

    x: (n_tasks, n_way * points, d), y as in `Characters.sample`, the classes in order.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = features.shape[:2]
    classes, drawings = draw_indices(shape, n_tasks, k_shot + n_query, generator, n_way)
    return episode(features[classes, drawings], k_shot)


def alphabet_tasks(
    features: Tensor, pool: Characters, n_tasks: int = ALPHABET_TASKS, seed: int = 7
) -> Episode:
    """Twenty characters of one alphabet, one drawing each by one person, one query each by another:
    `n_tasks` such tasks of every alphabet. Source: in the style of Lake et al. (2015).
    """
    generator, found = torch.Generator().manual_seed(seed), []
    for a in pool.alphabet.unique():
        own = features[pool.alphabet == a]
        classes, _ = draw_indices(own.shape[:2], n_tasks, 1, generator, 20)
        people = torch.rand(n_tasks, 1, own.shape[1], generator=generator).topk(2).indices
        found.append(own[classes, people])
    return episode(torch.cat(found), 1)


def episode(drawn: Tensor, k_shot: int) -> Episode:
    """Features (tasks, n_way, points, d) as support and query, the classes in order."""
    labels = torch.arange(drawn.shape[1]).unsqueeze(1)
    parts = drawn.split([k_shot, drawn.shape[2] - k_shot], 2)
    return Episode(*(Points(p.flatten(1, 2), labels.expand(p.shape[:3]).flatten(1)) for p in parts))


def judged(
    episodes: Episode, n_way: int, distance: str = "squared", temperature: float = 1.0
) -> Tensor:
    """The accuracy on each of some embedded tasks, float64 (tasks,)."""
    found = []
    for few in zip(*(part.split(CHUNK) for points in episodes for part in points)):
        sx, sy, qx, qy = few
        found.append(
            accuracy(answers(Points(sx, sy), qx, n_way, distance, temperature).argmax(-1), qy)
        )
    return torch.cat(found)


def judged_pictures(net: nn.Module, episodes: Episode, n_way: int) -> Tensor:
    """`judged` for episodes of pictures (tasks, points, 1, h, w), which `net` embeds one by one."""
    sets = (Points(networks.features(net, x), y) for x, y in episodes)
    return judged(Episode(*sets), n_way)


def judgement(
    features: Tensor, pool: Characters, distance: str = "squared", temperature: float = 1.0
) -> dict[str, Tensor]:
    """Accuracies of an embedded pool, float32: "5w1s", "5w5s", "20w1s", "20w5s" and, within
    alphabets, "alphabet", each (tasks,)."""
    found = {f"{n}w{k}s": judged(tasks(features, n, k), n, distance, temperature) for n, k in CELLS}
    found["alphabet"] = judged(alphabet_tasks(features, pool), 20, distance, temperature)
    return {name: right.float() for name, right in found.items()}


def see(net: nn.Module, pool: Characters, batches: int = 100) -> None:
    """Show a network some drawings, so that its batch norms know their mean and variance."""
    images, generator = pool.images.flatten(0, 1), torch.Generator().manual_seed(0)
    net.train()
    with torch.no_grad():
        for _ in range(batches):
            some = torch.randint(len(images), (BASE.images(),), generator=generator)
            net(images[some].unsqueeze(1).float().div(255))
    net.eval()


class Run(NamedTuple):
    """A recorded run: the recipe, the seed, and how many drawings it embeds in all."""

    recipe: Recipe
    seed: int = 0
    images: int = MINUTE // 2

    def steps(self) -> int:
        """Episodes of the run."""
        return round(self.images / self.recipe.images())


BASE = Recipe()
VARIANTS = {  # what is asked, and the recipes that answer it; each differs from BASE in that alone
    "training way N": {f"{n}": BASE._replace(n_way=n) for n in (5, 20, 60, 120)},
    "training shots K": {f"{k}": BASE._replace(k_shot=k) for k in (1, 5)},
    "queries a class": {f"{q}": BASE._replace(n_query=q) for q in (1, 2, 5)},
    "distance": {
        "squared": BASE,
        "unsquared": BASE._replace(distance="unsquared"),
        "cosine": BASE._replace(distance="cosine"),
        "cosine / 0.1": BASE._replace(distance="cosine", temperature=0.1),
        "matching / 0.1": BASE._replace(distance="matching", temperature=0.1),
    },
    "image size": {f"{size}": BASE._replace(size=size) for size in (16, 20, 28)},
    "filters": {f"{f}": BASE._replace(filters=f) for f in (16, 32, 64)},
    "embedding size": {f"{e}": BASE._replace(embedding=e) for e in (4, 16, 64, 256)},
}
LONG = {  # of the last one the checkpoint is the best of the course
    "two minutes": Run(BASE, images=2 * MINUTE),
    "long": Run(BASE._replace(size=28, filters=64), images=3 * MINUTE),
}
CURVE = (0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # parts of a long run at which it is judged
SEEDS = (0, 1)


def runs() -> dict[str, Run]:
    """All recorded runs by name; a recipe stands for itself, whatever asked for it."""
    recipes = {recipe for answers in VARIANTS.values() for recipe in answers.values()}
    short = {f"{named(r)}/{seed}": Run(r, seed) for r in sorted(recipes) for seed in SEEDS}
    return short | LONG


def named(recipe: Recipe) -> str:
    """The name of a recipe: what sets it apart from BASE."""
    fields = zip(recipe._fields, recipe, BASE)
    return ",".join(f"{field}={mine}" for field, mine, base in fields if mine != base) or "base"


SHIPPED = {"base": "base/0", "long": "long"}  # whose networks are kept


@cache
def shipped(name: str = "long") -> nn.Sequential:
    """A trained network, in evaluation mode; KeyError unless it is one of SHIPPED."""
    net = runs()[SHIPPED[name]].recipe.net()
    networks.load(paths.asset(f"protonet_{name}.npz"), net=net)
    return net.eval().requires_grad_(False)


@cache
def recorded(name: str) -> dict[str, Tensor]:
    """What `judgement` said of a run on the evaluation alphabets, as parts right; of the long
    ones also "curve": drawings embedded, seconds, and 5-way 1-shot mean and half-width (points, 4).
    Of "pixels" and "untrained" too, which never trained. KeyError when there is no such run."""
    found = networks.recorded("runs_protonet.npz", name)
    if not found:
        raise KeyError(name)
    return found
