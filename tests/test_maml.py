"""MAML's gradient by independent means: loops, closed forms, differences, Jacobians, batches."""

import pytest
import torch
from torch.func import grad, hessian

from mlcourse.learners import maml, reptile
from mlcourse.tasks import Episode, Points, quadratics

D = torch.float64
RULES = ("maml", "fomaml", "reptile")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bump(params, points):
    """The error of a tanh network with one hidden layer."""
    hidden = torch.tanh(points.x @ params["w1"] + params["b1"])
    return ((hidden @ params["w2"] - points.y) ** 2).mean()


def network(seed: int = 0, width: int = 3) -> dict:
    g = seeded(seed)
    sizes = {"w1": (1, width), "b1": (1, width), "w2": (width, 1)}
    return {name: torch.randn(size, generator=g, dtype=D) for name, size in sizes.items()}


def episodes(tasks: int = 4, shots: int = 5, queries: int = 7, seed: int = 1) -> Episode:
    g = seeded(seed)
    sides = (torch.randn(2, tasks, n, 1, generator=g, dtype=D) for n in (shots, queries))
    return Episode(*(Points(*side) for side in sides))


def by_loop(loss, params, batch, inner_lr, steps, create_graph=True):
    """The meta-gradient with autograd.grad, task by task, as a flat vector."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    total = 0.0
    for support, query in tasks_of(batch):
        adapted = leaves
        for _ in range(steps):
            inner = torch.autograd.grad(
                loss(adapted, support), list(adapted.values()), create_graph=create_graph
            )
            adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), inner)}
        total = total + loss(adapted, query)
    total = total / len(batch.query[0])
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(leaves.values()))])


def tasks_of(batch: Episode):
    for i in range(len(batch.query[0])):
        yield tuple(type(side)(*(part[i] for part in side)) for side in batch)


def flat(params) -> torch.Tensor:
    return torch.cat([p.flatten() for p in params.values()])


def unflat(vector, like) -> dict:
    parts = vector.split([p.numel() for p in like.values()])
    return {name: part.view(p.shape) for (name, p), part in zip(like.items(), parts)}


def same(one, other, tolerance: float = 1e-10) -> bool:
    return bool((one - other).abs().max() <= tolerance * max(1, float(other.abs().max())))


SETTINGS = [(0.0, 1), (0.1, 0), (0.1, 1), (0.3, 2), (0.2, 5)]


@pytest.mark.parametrize("inner_lr, steps", SETTINGS)
def test_equal_to_the_explicit_loop_with_create_graph(inner_lr, steps):
    params, batch = network(), episodes()
    found = maml.meta_gradient(bump, params, batch, inner_lr, steps)
    assert {n: g.shape for n, g in found.items()} == {n: p.shape for n, p in params.items()}
    assert same(flat(found), by_loop(bump, params, batch, inner_lr, steps))


@pytest.mark.parametrize("inner_lr, steps", SETTINGS)
def test_first_order_is_the_loop_without_create_graph(inner_lr, steps):
    params, batch = network(), episodes()
    found = flat(maml.meta_gradient(bump, params, batch, inner_lr, steps, first_order=True))
    assert same(found, by_loop(bump, params, batch, inner_lr, steps, create_graph=False))
    at_adapted = [
        flat(grad(bump)(maml.adapt(bump, params, support, inner_lr, steps), query))
        for support, query in tasks_of(batch)
    ]
    assert same(found, torch.stack(at_adapted).mean(0))
    full = flat(maml.meta_gradient(bump, params, batch, inner_lr, steps))
    assert same(found, full) == (inner_lr * steps == 0)


@pytest.mark.parametrize("inner_lr, steps", SETTINGS)
def test_equal_to_central_differences(inner_lr, steps):
    params, batch, h = network(), episodes(), 1e-5
    found = flat(maml.meta_gradient(bump, params, batch, inner_lr, steps))

    def loss(vector):
        return maml.meta_loss(bump, unflat(vector, params), batch, inner_lr, steps)

    theta = flat(params)
    sides = h * torch.eye(len(theta), dtype=D)
    rises = torch.stack([loss(theta + side) - loss(theta - side) for side in sides]) / (2 * h)
    assert same(found, rises, 1e-7)


@pytest.mark.parametrize("inner_lr, steps", SETTINGS)
def test_equal_to_the_product_of_jacobians_at_the_visited_points(inner_lr, steps):
    params, batch = network(), episodes()
    found = flat(maml.meta_gradient(bump, params, batch, inner_lr, steps))
    rows = []
    for support, query in tasks_of(batch):

        def on(points):
            return lambda vector: bump(unflat(vector, params), points)

        theta, factor = flat(params), torch.eye(len(flat(params)), dtype=D)
        for _ in range(steps):
            factor = factor - inner_lr * factor @ hessian(on(support))(theta)
            theta = theta - inner_lr * grad(on(support))(theta)
        rows.append(factor @ grad(on(query))(theta))
    assert same(found, torch.stack(rows).mean(0))


def family(n_tasks: int, d: int) -> quadratics.Quadratics:
    g = seeded(10 * n_tasks + d)
    root = torch.randn(n_tasks, d, d, generator=g, dtype=D)
    optimum = torch.randn(n_tasks, d, generator=g, dtype=D)
    return quadratics.Quadratics(root @ root.mT / d + 0.2 * torch.eye(d, dtype=D), optimum)


def bowl(params, task):
    away = params["theta"] - task.optimum
    return away @ task.curvature @ away / 2


@pytest.mark.parametrize("n_tasks, d", [(1, 1), (2, 1), (5, 3), (20, 4)])
@pytest.mark.parametrize("inner_lr, steps", [(0.1, 0), (0.1, 1), (0.3, 4), (0.9, 2)])
def test_equal_to_the_closed_forms_on_quadratics(n_tasks, d, inner_lr, steps):
    tasks = family(n_tasks, d)
    params = {"theta": torch.linspace(-1, 2, d, dtype=D)}
    batch = Episode(tasks, tasks)
    found = {
        "maml": maml.meta_gradient(bowl, params, batch, inner_lr, steps),
        "fomaml": maml.meta_gradient(bowl, params, batch, inner_lr, steps, first_order=True),
        "reptile": reptile.direction(bowl, params, tasks, inner_lr, steps),
    }
    for rule in RULES:
        scale = inner_lr if rule == "reptile" else 1
        closed = quadratics.direction(params["theta"], tasks, inner_lr, steps, rule)
        assert same(scale * found[rule]["theta"], closed), rule
    losses = maml.losses_after(bowl, params, batch, inner_lr, steps)
    adapted = quadratics.adapt(params["theta"], tasks, inner_lr, steps)
    assert same(losses, quadratics.losses(adapted, tasks))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("inner_lr, steps", [(0.1, 1), (0.15, 5), (0.7, 2)])
def test_every_rule_rests_at_its_best_start(rule, inner_lr, steps):
    tasks = family(6, 3)
    best = quadratics.best_start(tasks, inner_lr, steps, rule)
    pull = quadratics.weights(tasks, inner_lr, steps, rule).abs().max()
    assert quadratics.direction(best, tasks, inner_lr, steps, rule).norm() < 1e-9 * max(1, pull)


def test_the_four_weights_on_the_two_tasks():
    tasks = quadratics.scalar_tasks([1, 4], [0, 1])

    def of(rule, steps=2):
        return quadratics.weights(tasks, 0.1, steps, rule).flatten().tolist()

    assert of("maml", 0) == of("fomaml", 0) == [1, 4] and of("reptile", 0) == [0, 0]
    assert of("maml") == pytest.approx([0.9**4, 4 * 0.6**4])
    assert of("fomaml") == pytest.approx([0.9**2, 4 * 0.6**2])
    assert of("reptile") == pytest.approx([1 - 0.9**2, 1 - 0.6**2])
    with pytest.raises(ValueError, match="'anil', but the rules are"):
        of("anil")


def test_reptile_with_one_step_is_joint_training_and_with_many_the_plain_mean():
    tasks = family(5, 2)
    joint = quadratics.best_start(tasks)
    assert same(quadratics.best_start(tasks, 0.3, 1, "reptile"), joint)
    tasks = tasks._replace(curvature=tasks.curvature.clamp(-1, 1) + 2 * torch.eye(2, dtype=D))
    many = quadratics.best_start(tasks, 0.2, 500, "reptile")
    assert same(many, tasks.optimum.mean(0))
    params, batch = network(), episodes()
    mean = grad(lambda p: torch.stack([bump(p, s) for s, _ in tasks_of(batch)]).mean())(params)
    assert same(flat(reptile.direction(bump, params, batch.support, 0.05, 1)), flat(mean))


@pytest.mark.parametrize("rule", RULES)
def test_equal_curvature_leaves_the_plain_mean_for_every_rule(rule):
    tasks = family(5, 3)
    tasks = tasks._replace(curvature=tasks.curvature[:1].expand(5, 3, 3))
    assert same(quadratics.best_start(tasks, 0.1, 3, rule), tasks.optimum.mean(0), 1e-9)


# ---------------------------------------------------------------- where gradients flow


def needing(params) -> dict:
    return {name: p.clone().requires_grad_() for name, p in params.items()}


@pytest.mark.parametrize("first_order", [False, True])
def test_gradients_flow_to_the_start_and_nothing_is_moved(first_order):
    params, batch = needing(network()), episodes()
    before = flat(params).clone()
    loss = maml.meta_loss(bump, params, batch, 0.2, 2, first_order)
    by_backward = torch.autograd.grad(loss, list(params.values()))
    found = maml.meta_gradient(bump, network(), batch, 0.2, 2, first_order)
    assert same(torch.cat([g.flatten() for g in by_backward]), flat(found))
    assert torch.equal(flat(params), before)
    assert all(p.grad is None for p in params.values())


def test_gradients_flow_to_alpha_unless_first_order_is_asked_of_them():
    params, batch = network(), episodes()

    def loss(inner_lr, first_order=False):
        return maml.meta_loss(bump, params, batch, inner_lr, 2, first_order)

    rate, h = torch.tensor(0.2, dtype=D), 1e-5
    slope = grad(loss)(rate)
    assert slope.item() == pytest.approx(float(loss(0.2 + h) - loss(0.2 - h)) / (2 * h), rel=1e-6)
    assert grad(loss)(rate, True).abs() > 0  # α still scales the steps


def test_detached_inner_gradients_are_detached_at_every_level():
    """A Hessian differentiates twice: the first-order one has no inner Hessian at either level."""
    params, batch = {"theta": torch.tensor([0.3, -0.2], dtype=D)}, family(3, 2)
    batch = Episode(batch, batch)

    def first(theta):
        return maml.meta_gradient(bowl, {"theta": theta}, batch, 0.2, 2, True)["theta"]

    jacobian = torch.func.jacrev(first)(params["theta"])
    assert same(jacobian, batch.query.curvature.mean(0))


def test_a_parameter_that_the_loss_ignores_stays_where_it_is():
    params = {**network(), "unused": torch.ones(2, dtype=D)}
    support = next(tasks_of(episodes()))[0]
    adapted = maml.adapt(bump, params, support, 0.3, 2)
    assert torch.equal(adapted["unused"], params["unused"])
    assert not maml.meta_gradient(bump, params, episodes(), 0.3)["unused"].any()


def test_tasks_do_not_touch_each_other():
    params, batch = network(), episodes(tasks=3)
    together = maml.losses_after(bump, params, batch, 0.2, 3)
    alone = [
        maml.losses_after(
            bump,
            params,
            Episode(*(Points(*(v[i : i + 1] for v in side)) for side in batch)),
            0.2,
            3,
        )
        for i in range(3)
    ]
    assert together.shape == (3,) and same(together, torch.cat(alone))


# ---------------------------------------------------------------- two mini-batches (Nichol et al.)


@pytest.mark.parametrize("inner_lr", [0.05, 0.3])
def test_two_mini_batches_on_quadratics(inner_lr):
    both = family(2, 3)
    h1, h2 = both.curvature
    one, two = (quadratics.Quadratics(*(part[i] for part in both)) for i in (0, 1))
    params = {"theta": torch.tensor([1.0, -0.5, 0.3], dtype=D)}
    g1, g2 = (grad(bowl)(params, task)["theta"] for task in (one, two))
    batch = Episode(*(quadratics.Quadratics(*(part[None] for part in t)) for t in (one, two)))
    found = maml.meta_gradient(bowl, params, batch, inner_lr)["theta"]
    exact = g2 - inner_lr * h2 @ g1 - inner_lr * h1 @ g2 + inner_lr**2 * h1 @ h2 @ g1
    assert same(found, exact)
    first = maml.meta_gradient(bowl, params, batch, inner_lr, first_order=True)["theta"]
    assert same(first, g2 - inner_lr * h2 @ g1)
    walked = maml.adapt(bowl, maml.adapt(bowl, params, one, inner_lr), two, inner_lr)
    walk = (params["theta"] - walked["theta"]) / inner_lr
    assert same(walk, g1 + g2 - inner_lr * h2 @ g1)


def test_the_second_order_term_is_the_gradient_of_agreement():
    params, (support, query) = network(), next(tasks_of(episodes(1, 6, 6)))

    def agreement(p):
        one, two = (grad(bump)(p, points) for points in (support, query))
        return sum((one[name] * two[name]).sum() for name in p)

    batch = Episode(*(Points(*(v[None] for v in side)) for side in (support, query)))
    lead = flat(grad(bump)(params, query))
    gaps = []
    for inner_lr in (2e-3, 1e-3):
        found = flat(maml.meta_gradient(bump, params, batch, inner_lr))
        gaps.append((found - lead + inner_lr * flat(grad(agreement)(params))).norm())
    assert 3.5 < gaps[0] / gaps[1] < 4.5  # what is left is of second order in α
