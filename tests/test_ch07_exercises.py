"""Chapter 07's exercises: outsiders' answers, and the formulas against simulations."""

import numpy as np
import outsiders
import pytest
import torch
import torch.nn.functional as F

from mlcourse.exercises import ch07
from mlcourse.exercises.ch07 import check, drawn, simulated
from mlcourse.learners import protonet

D = torch.float64
means, diverge = check.prototypes.reference, check.bregman.reference
say, fair = check.probabilities.reference, check.unequal.reference


def means_by_blocks(z, y, n):
    return z.reshape(n, -1, z.shape[1]).mean(1)


def means_by_sorting(z, y, n):
    """Right while every class has equally many points, and silent otherwise."""
    k = len(y) // n
    order = y.argsort(stable=True)
    return torch.stack([z[order[i * k : (i + 1) * k]].mean(0) for i in range(n)])


def means_by_weights(z, y, n):
    return F.one_hot(y, n).T.to(D).softmax(1) @ z


def means_in_place(z, y, n):
    for k in range(n):
        z[y == k] = z[y == k].mean(0)
    return torch.stack([z[y == k][0] for k in range(n)])


def means_from_float_buffer(z, y, n):
    c = torch.zeros(n, z.shape[1])
    for k in range(n):
        c[k] = z[y == k].mean(0)
    return c


def slope_without_gradients(phi, z, c):
    """Switches gradients off for everybody, the check as well."""
    torch.set_grad_enabled(False)
    return phi(z) - phi(c) - torch.func.grad(phi)(c) @ (z - c)


def slope_by_backward(phi, z, c):
    at = c.detach().clone().requires_grad_()
    phi(at).backward()
    return phi(z) - phi(c) - at.grad @ (z - c)


def slope_by_differences(phi, z, c):
    """Right to eight digits, and so is its derivative."""
    step = torch.eye(len(c), dtype=D) * 1e-5
    slope = torch.stack([(phi(c + e) - phi(c - e)) / 2e-5 for e in step])
    return phi(z) - phi(c) - (slope * (z - c)).sum()


def gram(phi, z, c):
    """The second-order term alone."""
    hessian = torch.func.hessian(phi)(c)
    return 0.5 * (z - c) @ hessian @ (z - c)


def say_by_division(z, c):
    near = (-((z[:, None] - c) ** 2).sum(-1)).exp()
    return (near / near.sum(1, keepdim=True)).log()


def say_by_softmin(z, c):
    return F.softmin(torch.cdist(z, c), dim=1).log()


def say_shifted(z, c):
    """The wrong number is subtracted for stability: one for all points."""
    near = -((z[:, None] - c) ** 2).sum(-1)
    near = near - near.max()
    return near - near.exp().sum(1, keepdim=True).log()


def say_with_epsilon(z, c):
    near = -((z[:, None] - c) ** 2).sum(-1)
    return (near.softmax(1) + 1e-12).log()


def say_from_floor(z, c):
    near = (-((z[:, None] - c) ** 2).sum(-1)).softmax(1)
    return torch.where(near > 0, near.log(), torch.full_like(near, -745.0))


def say_from_float_buffer(z, c):
    """Loops into a tensor of float32."""
    near = torch.zeros(len(z), len(c))
    for i in range(len(z)):
        for k in range(len(c)):
            near[i, k] = -((z[i] - c[k]) ** 2).sum()
    return near.log_softmax(1)


def say_unless_square(z, c):
    """Forgets the new dimension, and torch says so, but for as many points as classes."""
    return (-((z - c) ** 2)).log_softmax(1)


WRONG = [
    ("prototypes", means_by_blocks, "blocks"),
    ("prototypes", means_by_sorting, "equal pieces"),
    (
        "prototypes",
        lambda z, y, n: torch.stack([p.mean(0) for p in z[y.argsort()].chunk(n)]),
        "equal shares",
    ),
    ("prototypes", lambda z, y, n: torch.cat([p[None] for p in means(z, y, n)]).data, "cut"),
    ("prototypes", lambda z, y, n: list(means(z, y, n)), "cut"),
    ("bregman", slope_without_gradients, "cut"),
    ("bregman", lambda phi, z, c: phi(c) + torch.func.grad(phi)(c) @ (z - c), "plane"),
    ("linear", lambda c: (2 * c, -(c**2).sum(1) / 2), "half the bias"),
    ("linear", lambda c: (-2 * c, -(c**2).sum(1)), "minus the weight"),
    ("probabilities", say_from_floor, "rounded"),
    ("probabilities", say_from_float_buffer, "too coarse"),
    ("distance", lambda d, s, k, g: d * (s + s / k**0.5) ** 2 + g**2, "deviations added"),
    ("unequal", lambda r, n, d, s: r * n / (n + 1), "scaled"),
    ("prototypes", means_by_weights, "value"),
    ("prototypes", means_in_place, "input changed"),
    ("prototypes", lambda z, y, n: means(z, y, n).detach().numpy(), "cut"),
    ("prototypes", lambda z, y, n: means(z.detach(), y, n), "cut"),
    ("prototypes", lambda z, y, n: means(z, y, n).T, "transposed"),
    ("prototypes", lambda z, y, n: z.mean(0), "shape"),
    ("bregman", slope_by_backward, "slope cut"),
    ("bregman", gram, "second order"),
    ("bregman", lambda phi, z, c: diverge(phi, c, z), "swapped"),
    ("bregman", lambda phi, z, c: diverge(phi, z, c).abs() + 1e-4, "value"),
    ("bregman", lambda phi, z, c: diverge(phi, z, c).item(), "cut"),
    ("bregman", lambda phi, z, c: phi(z - c), "value"),
    ("linear", lambda c: torch.nn.Linear(c.shape[1], len(c)), "return"),
    ("linear", lambda c: (2 * c, -(c @ c.T)), "shape"),
    ("linear", lambda c: (2 * c.T, -(c**2).sum(1)), "shape"),
    ("linear", lambda c: (2 * c, -c.norm(dim=1)), "unsquared"),
    ("linear", lambda c: (2 * F.normalize(c), -torch.ones(len(c))), "value"),
    ("probabilities", say_by_division, "overflow"),
    ("probabilities", say_by_softmin, "unsquared"),
    ("probabilities", say_shifted, "overflow"),
    ("probabilities", say_with_epsilon, "rounded"),
    ("probabilities", lambda z, c: say(z, c).exp(), "probabilities"),
    ("probabilities", lambda z, c: say(c, z).T, "over the points"),
    ("probabilities", lambda z, c: say(z, c).squeeze(), "squeezed"),
    ("probabilities", lambda z, c: say(z.half(), c.half()), "value"),
    ("probabilities", lambda z, c: say(z, torch.tensor(c.tolist(), dtype=D)), "prototypes cut"),
    ("noise", lambda d, s, k: d * s**2 // k, "value"),
    ("noise", lambda d, s, k: s**2 / k * (d - 1), "value"),
    ("noise", lambda d, s, k: [d * s**2 / k] * 2, "return"),
    ("distance", lambda d, s, k, g: (d * s * s * (k + 1) / k) ** 0.5 + g, "value"),
    ("distance", lambda d, s, k, g: d * (s**2 * (1 + 1 / k) + g**2), "gap in each feature"),
    ("unequal", lambda r, n, d, s: r - d * s**2 / n[:, None], "wrong axis"),
    ("unequal", lambda r, n, d, s: r - d * s**2 / n.sum(), "total"),
    ("unequal", lambda r, n, d, s: fair(r, n, d, s).argmin(1), "shape"),
    ("unequal", lambda r, n, d, s: fair(r, n, d, s) + d * s**2 / n.max(), "value"),
    ("unequal", lambda r, n, d, s: r.sub_(d * s**2 / n), "input changed"),
]


def means_by_reduce(z, y, n):
    index = y[:, None].expand_as(z)
    return torch.zeros(n, z.shape[1], dtype=D).scatter_reduce(
        0, index, z, "mean", include_self=False
    )


def say_by_cdist(z, c):
    near = -(torch.cdist(z, c) ** 2)
    return near - torch.logsumexp(near, dim=1, keepdim=True)


def say_by_rows(z, c):
    return torch.stack([F.log_softmax(-torch.sum((p - c) ** 2, dim=1), dim=0) for p in z])


RIGHT = [
    ("prototypes", means_by_reduce),
    (
        "prototypes",
        lambda z, y, n: torch.stack([z[y == k].sum(0) / (y == k).sum() for k in y.unique()]),
    ),
    ("prototypes", protonet.prototypes),
    ("bregman", slope_by_differences),
    ("bregman", lambda phi, z, c: phi(z) - phi(c) - torch.inner(torch.func.grad(phi)(c), z - c)),
    ("linear", protonet.linear_classifier),
    ("linear", lambda c: [(2 * c).tolist(), (-c.pow(2).sum(1)).tolist()]),
    ("linear", lambda c: (2 * c - 1, -(c.norm(dim=1) ** 2) + 7)),
    ("probabilities", protonet.log_probabilities),
    ("probabilities", say_by_cdist),
    ("probabilities", say_by_rows),
    ("noise", lambda d, s, k: np.float64(s) ** 2 * d / k),
    ("noise", lambda d, s, k: torch.tensor([d * s**2 / k])),
    ("distance", lambda d, s, k, g: g**2 + d * (s**2 + s**2 / k)),
    ("unequal", lambda r, n, d, s: (r - (d * s**2 / n).expand_as(r)).tolist()),
    ("unequal", lambda r, n, d, s: (r.T - d * s**2 / n[:, None]).T),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def test_a_forgotten_dimension_is_an_error_with_its_line():
    card = check.probabilities(say_unless_square)
    assert card.outcome == "your code raised" and "log_softmax" in card.text


def test_a_wrong_formula_of_no_known_kind_meets_a_simulation():
    for exercise, fn in (
        (check.noise, lambda d, s, k: d * s**2 / (k + 1)),
        (check.distance, lambda d, s, k, g: g**2 + d * s**2),
    ):
        card = exercise(fn)
        assert card.symptom in ("value", "prototype forgotten")
        assert ("4000 simulated" in card.text) == (card.symptom == "value")


@pytest.mark.parametrize("case", [(1, 1.0, 4), (8, 0.5, 1), (64, 0.3, 5), (3, 2.0, 2)])
@pytest.mark.parametrize("gap", [None, 0.0, 3.0])
def test_the_formulas_are_what_a_simulation_finds(case, gap):
    seen = simulated(*case) if gap is None else simulated(*case, gap)
    right = ch07.expected_error(*case) if gap is None else ch07.expected_distance(*case, gap)
    assert abs(float(seen.mean()) - right) < 4 * float(seen.std()) / 4000**0.5


def test_the_correction_makes_unequal_classes_fair():
    """64 features, shots (1, 20), centres 4σ apart: 98.7 % and 0 % wrong before, alike after."""
    g, d, sigma, counts = torch.Generator().manual_seed(0), 64, 1.0, torch.tensor([1, 20])

    def points(n: int) -> torch.Tensor:
        return torch.randn(4000, n, d, generator=g, dtype=D)

    centres = torch.zeros(2, d, dtype=D)
    centres[1, 0] = 4
    c = torch.stack([points(int(n)).mean(1) + m for n, m in zip(counts, centres)], 1)
    distances = protonet.squared(points(2) + centres, c)
    wrong = []
    for kept in (distances, fair(distances, counts, d, sigma)):
        wrong.append((kept.argmin(-1) != torch.arange(2)).double().mean(0))
    assert wrong[0][0] > 0.97 and wrong[0][1] < 0.005
    assert (wrong[1] - torch.tensor([0.224, 0.243])).abs().max() < 0.03


def test_every_divergence_of_the_exercise_is_convex():
    for phi, z, c in ch07.divergence_cases():
        for x in (z, c):
            assert torch.linalg.eigvalsh(torch.func.hessian(phi)(x.detach())).min() > 0
        assert diverge(phi, z, c) > 0 and abs(float(diverge(phi, z, z).detach())) < 1e-12


def test_bregman_of_the_squared_length_is_the_squared_distance():
    z, c = drawn(2, 5, seed=1)
    found = diverge(lambda x: x @ x, z, c)
    torch.testing.assert_close(found, ((z - c) ** 2).sum())
