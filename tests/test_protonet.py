"""Prototypical and matching networks by independent means: loops, differences, closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, one_hot

from mlcourse.exercises.engine import seeded
from mlcourse.learners import matching, protonet
from mlcourse.learners.protonet import DISTANCES
from mlcourse.tasks import Points

D = torch.float64
EVERY = pytest.mark.parametrize("name", DISTANCES)


def drawn(*shape: int, seed: int = 0, dtype=D) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def labelled(counts: tuple, dim: int, seed: int = 0) -> Points:
    """One task's features, the labels in random order."""
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    y = y[torch.randperm(len(y), generator=seeded(seed))]
    return Points(drawn(len(y), dim, seed=seed), y)


BY_LOOP = {  # one point, one prototype, plain Python
    "squared": lambda z, c: math.fsum((a - b) ** 2 for a, b in zip(z, c)),
    "unsquared": lambda z, c: math.dist(z, c),
    "city block": lambda z, c: math.fsum(abs(a - b) for a, b in zip(z, c)),
    "cosine": lambda z, c: (
        1 - math.fsum(a * b for a, b in zip(z, c)) / math.hypot(*z) / math.hypot(*c)
    ),
}


def loop(name: str, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[BY_LOOP[name](a, b) for b in c.tolist()] for a in z.tolist()], dtype=D)


# ---------------------------------------------------------------- prototypes


@pytest.mark.parametrize("counts", [(1, 1), (3, 3, 3), (2, 5, 1), (1, 20, 4, 7)])
def test_prototypes_are_the_means_whatever_the_counts_and_the_order(counts):
    x, y = labelled(counts, 6)
    rows = list(zip(x.tolist(), y.tolist()))
    classes = [[row for row, label in rows if label == k] for k in range(len(counts))]
    right = [[math.fsum(column) / len(rows) for column in zip(*rows)] for rows in classes]
    assert [len(rows) for rows in classes] == list(counts)
    found = protonet.prototypes(x, y, len(counts))
    torch.testing.assert_close(found, torch.tensor(right, dtype=D), rtol=1e-13, atol=1e-14)


def test_leading_task_dimensions_are_a_loop_over_tasks():
    x, y = drawn(3, 2, 8, 5), torch.arange(4).repeat(3, 2, 2)
    y = y.gather(-1, torch.rand(y.shape, generator=seeded(1)).argsort(-1))
    query = drawn(3, 2, 7, 5, seed=2)
    c = protonet.prototypes(x, y, 4)
    said = {name: protonet.log_probabilities(query, c, d) for name, d in DISTANCES.items()}
    voted = matching.log_probabilities(query, x, y, 4)
    for i in np.ndindex(3, 2):
        alone = protonet.prototypes(x[i], y[i], 4)
        torch.testing.assert_close(c[i], alone)
        for name, distance in DISTANCES.items():
            torch.testing.assert_close(
                said[name][i], protonet.log_probabilities(query[i], alone, distance)
            )
        torch.testing.assert_close(voted[i], matching.log_probabilities(query[i], x[i], y[i], 4))


@EVERY
def test_renamed_classes_and_shuffled_shots_change_nothing_but_the_names(name):
    (x, y), (qx, qy) = labelled((2, 5, 1, 4), 6), labelled((3, 3, 3, 3), 6, seed=1)
    order, shuffle = (torch.randperm(n, generator=seeded(2)) for n in (4, len(y)))
    other = Points(x[shuffle], order[y[shuffle]])
    before, after = (protonet.prototypes(*support, 4) for support in ((x, y), other))
    torch.testing.assert_close(after[order], before)
    said = [protonet.log_probabilities(qx, c, DISTANCES[name]) for c in (before, after)]
    torch.testing.assert_close(said[1][:, order], said[0])
    losses = [
        protonet.loss(Points(x, y), Points(qx, qy), 4, DISTANCES[name]),
        protonet.loss(other, Points(qx, order[qy]), 4, DISTANCES[name]),
    ]
    torch.testing.assert_close(*losses)
    voted = [matching.log_probabilities(qx, *support, 4) for support in ((x, y), other)]
    torch.testing.assert_close(voted[1][:, order], voted[0])


BREGMAN = {
    "squared length": lambda x: x.square().sum(-1),
    "negative entropy": lambda x: (x * x.log() - x).sum(-1),
    "Burg": lambda x: -x.log().sum(-1),
    "log-sum-exp": lambda x: x.logsumexp(-1) + 0.1 * x.square().sum(-1),
    "fourth power": lambda x: (x**4).sum(-1),
}


@pytest.mark.parametrize("name", BREGMAN)
def test_the_prototype_minimises_every_summed_bregman_divergence(name):
    """At the mean the gradient is zero and the Hessian positive; steps to any side go up."""
    phi, z = BREGMAN[name], drawn(9, 4).exp()
    slope = torch.func.grad(phi)

    def summed(c):
        return (phi(z) - phi(c) - (z - c) @ slope(c)).sum()

    mean = protonet.prototypes(z, torch.zeros(9, dtype=torch.long), 1)[0]
    curvature = torch.func.hessian(summed)(mean)
    assert torch.func.grad(summed)(mean).abs().max() < 1e-12 * curvature.abs().max()
    assert torch.linalg.eigvalsh(curvature).min() > 0
    assert all(summed(mean + 0.01 * step) > summed(mean) for step in drawn(20, 4, seed=1))


def test_other_distances_have_other_centres():
    """Far from the mean: the coordinate median for p = 1, less for the unsquared distance."""
    z = torch.tensor([[0.0, 0], [1, 0], [0, 1], [20, 20]], dtype=D)
    mean, middle = z.mean(0, keepdim=True), torch.tensor([[0.5, 0.5]], dtype=D)
    for name in ("unsquared", "city block"):
        at_mean, at_middle = (DISTANCES[name](z, c).sum() for c in (mean, middle))
        assert at_middle < at_mean - 1


# ---------------------------------------------------------------- distances and probabilities


@EVERY
def test_distances_are_those_of_a_loop(name):
    z, c = drawn(7, 5), drawn(4, 5, seed=1)
    torch.testing.assert_close(DISTANCES[name](z, c), loop(name, z, c), rtol=1e-12, atol=1e-13)


def test_squared_distances_of_far_points_keep_their_digits():
    """float32 at 10⁴: the difference is exact, an expansion into three terms would lose it all."""
    z, c = (10_000 + drawn(n, 8, seed=n, dtype=torch.float32) for n in (40, 30))
    found, right = protonet.squared(z, c).double(), loop("squared", z, c)
    assert ((found - right).abs() / right).max() < 1e-5
    expanded = (z**2).sum(1, keepdim=True) - 2 * z @ c.T + (c**2).sum(1)
    assert ((expanded.double() - right).abs() / right).max() > 0.1
    right = loop("unsquared", z, c)
    assert ((protonet.unsquared(z, c).double() - right).abs() / right).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_far_points_have_finite_log_probabilities_and_gradients(dtype):
    z = torch.full((1, 4), 5e3, dtype=dtype, requires_grad=True)
    c = torch.stack([torch.zeros(4), torch.full((4,), 5e3), -torch.ones(4)]).to(dtype)
    said = protonet.log_probabilities(z, c)
    assert protonet.squared(z, c).max() > 1e8 and said.isfinite().all()
    assert said.min() < -1e8 and said[0, 1] == 0
    assert torch.autograd.grad(said.sum(), z)[0].isfinite().all()


@EVERY
@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_probabilities_are_the_softmax_of_distances_over_temperature(name, temperature):
    z, c = drawn(6, 3), drawn(5, 3, seed=1)
    weights = (-loop(name, z, c) / temperature).exp()
    found = protonet.log_probabilities(z, c, DISTANCES[name], temperature)
    torch.testing.assert_close(found.exp(), weights / weights.sum(1, keepdim=True))


def test_temperature_is_the_noise_of_the_mixture():
    """At 2σ² the softmax is Bayes' rule for equally likely normal classes."""
    z, c, sigma = drawn(6, 3), drawn(4, 3, seed=1), 0.7
    said = [torch.distributions.Normal(mean, sigma).log_prob(z).sum(-1) for mean in c]
    bayes = torch.stack(said, 1).log_softmax(1)
    found = protonet.log_probabilities(z, c, temperature=2 * sigma**2)
    torch.testing.assert_close(found, bayes, rtol=1e-12, atol=1e-12)
    hot = [protonet.log_probabilities(z, c, temperature=t) for t in (1e-3, 1e9)]
    assert torch.equal(hot[0].exp().round(), one_hot(protonet.nearest_prototype(z, c), 4).to(D))
    torch.testing.assert_close(hot[1], torch.full_like(hot[1], -math.log(4)), rtol=0, atol=1e-6)


def test_the_linear_classifier_is_the_same_classifier():
    """To 1e-12: scores up to a number for each point, probabilities, winners."""
    for shape in ((5, 8), (2, 3), (20, 64), (3, 2, 4, 6)):
        c, z = drawn(*shape), drawn(*shape[:-2], 11, shape[-1], seed=1)
        w, b = protonet.linear_classifier(c)
        assert w.shape == c.shape and b.shape == c.shape[:-1]
        scores = z @ w.mT + b.unsqueeze(-2)
        lost = z.square().sum(-1, keepdim=True)
        torch.testing.assert_close(scores - lost, -protonet.squared(z, c), rtol=1e-12, atol=1e-12)
        said = protonet.log_probabilities(z, c)
        torch.testing.assert_close(scores.log_softmax(-1), said, rtol=1e-12, atol=1e-12)
        assert torch.equal(scores.argmax(-1), protonet.nearest_prototype(z, c))


def test_no_linear_layer_is_the_unsquared_classifier():
    """Log-odds along a line: straight for the squared distance, bent for the unsquared."""
    z = torch.linspace(-3, 3, 7, dtype=D)[:, None] * drawn(1, 4) + drawn(1, 4, seed=1)
    c = drawn(2, 4, seed=2)
    for name, straight in (("squared", True), ("unsquared", False), ("city block", False)):
        said = protonet.log_probabilities(z, c, DISTANCES[name])
        bend = (said[:, 0] - said[:, 1]).diff(n=2).abs().max()
        assert (bend < 1e-12) == straight and (straight or bend > 0.01)


def test_squared_and_unsquared_have_one_winner_and_other_probabilities():
    z, c = drawn(200, 5), drawn(6, 5, seed=1)
    near, root = (protonet.nearest_prototype(z, c, DISTANCES[n]) for n in ("squared", "unsquared"))
    assert torch.equal(near, root)
    said = [protonet.log_probabilities(z, c, DISTANCES[n]) for n in ("squared", "unsquared")]
    assert (said[0] - said[1]).abs().max() > 1
    others = (protonet.nearest_prototype(z, c, DISTANCES[n]) for n in ("city block", "cosine"))
    assert all(0 < (near != other).double().mean() < 0.5 for other in others)


# ---------------------------------------------------------------- the loss and its gradient


@EVERY
def test_the_loss_is_a_loop_over_queries(name):
    support, query = labelled((2, 3, 1), 4), labelled((2, 2, 3), 4, seed=1)
    c = protonet.prototypes(*support, 3)
    near = (-loop(name, query.x, c) / 0.5).exp()
    right = -(near / near.sum(1, keepdim=True)).log()[torch.arange(7), query.y].mean()
    torch.testing.assert_close(protonet.loss(support, query, 3, DISTANCES[name], 0.5), right)


@EVERY
def test_the_gradient_is_that_of_finite_differences(name):
    """With respect to support and query, both of which move the loss."""
    (x, y), (qx, qy) = labelled((2, 3, 1), 4), labelled((1, 2, 2), 4, seed=1)

    def loss(x, qx):
        return protonet.loss(Points(x, y), Points(qx, qy), 3, DISTANCES[name], 1.5)

    found, step = torch.func.grad(loss, (0, 1))(x, qx), 1e-6
    for side, gradient in enumerate(found):
        assert gradient.abs().max() > 0.01
        for i in np.ndindex(*gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [x.clone(), qx.clone()]
                moved[side][i] += sign * step
                ends.append(loss(*moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert abs(slope - gradient[i]) < 1e-8, (name, side, i)


def test_the_gradient_at_a_prototype_is_finite():
    """One shot, and the query is the support drawing itself: the root has no slope at zero."""
    x = drawn(3, 4).requires_grad_()
    points = Points(x, torch.arange(3))
    for name, distance in DISTANCES.items():
        (gradient,) = torch.autograd.grad(protonet.loss(points, points, 3, distance), x)
        assert gradient.isfinite().all(), name
    (gradient,) = torch.autograd.grad(protonet.unsquared(x, x.detach()).diagonal().sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


def test_cosine_takes_the_zero_vector():
    z = torch.zeros(1, 3, dtype=D, requires_grad=True)
    found = protonet.cosine(z, drawn(2, 3))
    assert torch.equal(found, torch.ones_like(found))
    assert torch.autograd.grad(found.sum(), z)[0].isfinite().all()


def test_only_the_squared_distance_pulls_a_prototype_harder_the_farther_its_point_is():
    """The point itself feels 2 Σₖ pₖcₖ − 2c: with the squared distance too, that has a bound."""
    c, away = drawn(2, 6).requires_grad_(), drawn(6, seed=1)
    pulls = {}
    for name in ("squared", "unsquared"):
        for far in (10.0, 1000.0):
            z = (far * away * (c[1] - c[0]).sign() * away.sign()).detach().requires_grad_()
            loss = -protonet.log_probabilities(z[None], c, DISTANCES[name])[0, 0]
            at_z, at_c = torch.autograd.grad(loss, (z, c))
            pulls[name, far] = float(at_z.norm()), float(at_c[0].norm())
    assert max(pulls["unsquared", far][0] for far in (10.0, 1000.0)) <= 2
    assert max(pulls["unsquared", far][1] for far in (10.0, 1000.0)) <= 1
    gap = 2 * float((c[1] - c[0]).detach().norm())
    assert max(pulls["squared", far][0] for far in (10.0, 1000.0)) <= gap * (1 + 1e-9)
    assert pulls["squared", 1000.0][1] / pulls["squared", 10.0][1] == pytest.approx(100, rel=0.2)


# ---------------------------------------------------------------- matching networks


def test_matching_networks_are_a_slow_loop():
    (x, y), z = labelled((2, 5, 1), 4), drawn(6, 4, seed=1)
    found = matching.log_probabilities(z, x, y, 3, temperature=0.3)
    for i, query in enumerate(z.tolist()):
        near = [math.exp((1 - BY_LOOP["cosine"](query, s)) / 0.3) for s in x.tolist()]
        for k in range(3):
            votes = sum(a for a, label in zip(near, y.tolist()) if label == k)
            assert float(found[i, k]) == pytest.approx(math.log(votes / sum(near)), abs=1e-12)


def test_matching_networks_with_one_shot_are_a_softmax_over_cosines():
    x, z = drawn(5, 8), drawn(7, 8, seed=1)
    y = torch.randperm(5, generator=seeded(2))
    right = torch.stack([cosine_similarity(z, row[None]) for row in x[y.argsort()]], 1)
    found = matching.log_probabilities(z, x, y, 5)
    torch.testing.assert_close(found, right.log_softmax(1))
    torch.testing.assert_close(
        found, protonet.log_probabilities(z, x[y.argsort()], protonet.cosine)
    )


def test_votes_are_counted_not_averaged():
    """Four equal drawings weigh four times as much as one; a prototype would not notice."""
    z, x = drawn(1, 3), drawn(2, 3, seed=1)
    x = torch.cat([x[:1].repeat(4, 1), x[1:]])
    one, four = (
        matching.log_probabilities(z, x[n:], torch.tensor([0] * (4 - n) + [1]), 2) for n in (3, 0)
    )
    odds = [float(said[0, 0] - said[0, 1]) for said in (one, four)]
    assert odds[1] - odds[0] == pytest.approx(math.log(4))


def test_matching_networks_are_finite_and_have_gradients_at_low_temperatures():
    (x, y), z = labelled((2, 2), 3), drawn(4, 3, seed=1)
    x.requires_grad_()
    said = matching.log_probabilities(z, x, y, 2, temperature=1e-4)
    assert said.isfinite().all()
    (gradient,) = torch.autograd.grad(said.sum(), x)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0
