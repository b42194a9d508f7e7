"""Sine waves of random amplitude and phase: the smallest task family worth learning to learn."""

import math
from dataclasses import dataclass

import torch

from .episodes import Episode, Points


@dataclass(frozen=True)
class SineTasks:
    """The family y = A sin(x - phase), with A, phase and x uniform in the given ranges.

    Source: Finn, Abbeel, Levine (2017), section 5.1 and appendix B.
    """

    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    x: tuple[float, float] = (-5.0, 5.0)
    noise: float = 0.0

    def waves(self, n_tasks: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Amplitudes and phases of random tasks, each float64 (n_tasks, 1, 1)."""
        return tuple(
            uniform((n_tasks, 1, 1), *ends, generator) for ends in (self.amplitude, self.phase)
        )

    def sample(
        self, n_tasks: int, k_shot: int, n_query: int, generator: torch.Generator
    ) -> Episode:
        """Draw tasks with K support and `n_query` query points each, all at random places.

        Returns x, y: float64 (n_tasks, points, 1).
        Raises ValueError when a number is below one.
        """
        if min(n_tasks, k_shot, n_query) < 1:
            given = f"{n_tasks}, {k_shot}, {n_query}"
            raise ValueError(f"an episode needs a task, a shot and a query, not {given}")
        amplitude, phase = self.waves(n_tasks, generator)
        x = uniform((n_tasks, k_shot + n_query, 1), *self.x, generator)
        y = amplitude * torch.sin(x - phase)
        if self.noise:
            y = y + self.noise * torch.randn(y.shape, generator=generator, dtype=y.dtype)
        return Episode(Points(x[:, :k_shot], y[:, :k_shot]), Points(x[:, k_shot:], y[:, k_shot:]))


def uniform(shape, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """Uniform numbers in [low, high), float64."""
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
