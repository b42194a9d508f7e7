"""Prototypical networks on characters: recipes, one training, how it is judged, what was found."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import paths
from ..evaluation import accuracy
from ..tasks import Characters, Episode, Points
from . import matching, networks, protonet

OUTER_LR = 3e-3  # Adam's rate at its peak


class Recipe(NamedTuple):
    """How a run trains; `temperature` divides the distances, "matching" names no distance."""

    n_way: int = 60
    k_shot: int = 1
    distance: str = "squared"
    temperature: float = 1.0
    size: int = 20  # pixels a side
    filters: int = 64
    embedding: int = 64  # features of a drawing
    n_query: int = 5

    def net(self, seed: int = 0) -> nn.Sequential:
        """The network before any training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return networks.conv4(self.filters, embedding=self.embedding)

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
        for state in self.optimizer.state.values():
            state.update({k: v.to(device) for k, v in state.items() if isinstance(v, Tensor)})

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
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.waiting = None
        return loss.item()
