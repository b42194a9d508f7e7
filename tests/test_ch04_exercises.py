"""Chapter 04's exercises: right answers in other words, wrong ones, some of which once passed."""

import numpy as np
import outsiders
import torch

from mlcourse.exercises.ch04 import STEPPING, check, outer_step
from mlcourse.learners import maml
from mlcourse.tasks import quadratics


def factor_by_eigenvalues(curvature, inner_lr, steps):
    values, vectors = torch.linalg.eigh(curvature)
    return vectors @ torch.diag((1 - inner_lr * values) ** steps) @ vectors.T


def factor_in_lists(curvature, inner_lr, steps):
    power = np.linalg.matrix_power(np.eye(len(curvature)) - inner_lr * curvature.numpy(), steps)
    return power.tolist()


def steps_by_jacobian(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps):
    """Jacobians by differences of the whole walk."""

    def walk(point):
        for _ in range(steps):
            point = point - inner_lr * support_gradient(point)
        return point

    h = 1e-5
    sides = h * torch.eye(len(theta)).double()
    columns = [(walk(theta + side) - walk(theta - side)) / (2 * h) for side in sides]
    return torch.stack(columns) @ query_gradient(walk(theta))


def steps_by_recursion(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps):
    if steps == 0:
        return query_gradient(theta)
    there = theta - inner_lr * support_gradient(theta)
    rest = steps_by_recursion(
        there, support_gradient, support_hessian, query_gradient, inner_lr, steps - 1
    )
    return rest - inner_lr * support_hessian(theta) @ rest


def resting_by_iteration(curvatures, optima, inner_lr, steps, rule):
    theta = 0.0
    for _ in range(20_000):
        left = (1 - inner_lr * curvatures) ** steps
        if rule == "reptile":
            move = ((1 - left) * (theta - optima)).mean()
        else:
            move = (curvatures * left ** (1 + (rule == "maml")) * (theta - optima)).mean()
        if move.abs() < 1e-13:
            break
        sign = 1 if (curvatures * left).sum() > 0 or rule != "fomaml" else -1
        theta = theta - 0.3 * sign * move
    return theta


def resting_by_package(curvatures, optima, inner_lr, steps, rule):
    tasks = quadratics.scalar_tasks(curvatures, optima)
    return quadratics.best_start(tasks, inner_lr, steps, rule)


def alpha_by_grid(spread, noise, k_shot):
    grid = np.linspace(0, 1, 2_000_001)
    return grid[(((1 - grid) * spread) ** 2 + (grid * noise) ** 2 / k_shot).argmin()]


def outer_by_package(params, episodes, loss, inner_lr, outer_lr, steps):
    found = [
        torch.func.grad(lambda p, s=s, q=q: loss(maml.adapt(loss, p, s, inner_lr, steps), q))(
            params
        )
        for s, q in episodes
    ]
    return {
        n: p.detach() - outer_lr * torch.stack([g[n] for g in found]).mean(0).detach()
        for n, p in params.items()
    }


def outer_in_another_order(*case):
    answer = check.outer.reference(*case)
    return {name: answer[name] for name in reversed(answer)}


RIGHT = [
    ("factor", factor_by_eigenvalues),
    ("factor", factor_in_lists),
    ("steps", steps_by_recursion),
    ("steps", steps_by_jacobian),
    ("weights", resting_by_iteration),
    ("weights", resting_by_package),
    ("shrink", alpha_by_grid),
    ("shrink", lambda s, n, k: k * s * s / (k * s * s + n * n)),
    ("outer", outer_by_package),
    ("outer", outer_in_another_order),
]


def outer_without_graph(params, episodes, loss, inner_lr, outer_lr, steps):
    total = 0.0
    for support, query in episodes:
        adapted = params
        for _ in range(steps):
            inner = torch.autograd.grad(loss(adapted, support), list(adapted.values()))
            adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), inner)}
        total = total + loss(adapted, query)
    outer = torch.autograd.grad(total / len(episodes), list(params.values()))
    return {n: p - outer_lr * g for (n, p), g in zip(params.items(), outer)}


def outer_in_place(params, *rest):
    answer = check.outer.reference(params, *rest)
    with torch.no_grad():
        for name, p in params.items():
            p.copy_(answer[name])
    return params


def steps_with_the_product_of_losses(theta, s, h, q, inner_lr, steps):
    return q(theta) * (1 - inner_lr)


def resting_without_negative_weights(a, c, lr, steps, rule):
    left = (1 - lr * a) ** steps
    w = {"maml": a * left**2, "fomaml": (a * left).clamp(min=0), "reptile": 1 - left}[rule]
    return (w * c).sum() / w.sum()


def steps_with_the_last_factor_only(theta, s, h, q, lr, steps):
    for _ in range(steps):
        before, theta = theta, theta - lr * s(theta)
    return q(theta) - lr * h(before) @ q(theta) if steps else q(theta)


def outer_that_empties_its_batch(params, episodes, *rest):
    return check.outer.reference(params, [episodes.pop(0)], *rest)


WRONG = [
    ("factor", lambda a, lr, k: torch.eye(len(a)) - lr * a.diag().diag(), "value"),
    ("factor", lambda a, lr, k: (1 - lr * a) ** k, "value"),
    ("factor", lambda a, lr, k: torch.full_like(a, torch.nan), "not finite"),
    ("steps", steps_with_the_product_of_losses, "value"),
    ("steps", lambda theta, *rest: check.steps.reference(theta, *rest) * torch.inf, "not finite"),
    ("steps", lambda theta, *rest: check.steps.reference(theta, *rest)[:, None], "shape"),
    ("steps", steps_with_the_last_factor_only, "value"),
    ("steps", lambda *case: check.steps.reference(*case[:5], max(case[5], 1)), "value"),
    ("weights", lambda a, c, *rest: (a * c).sum(), "value"),
    ("weights", resting_without_negative_weights, "value"),
    ("weights", lambda a, c, lr, k, rule: resting_by_package(a, c, lr, k, "maml"), "always maml"),
    ("shrink", lambda s, n, k: s**2, "value"),
    ("shrink", lambda s, n, k: 0.571, "value"),
    ("outer", outer_without_graph, "first order"),
    ("outer", outer_in_place, "input changed"),
    ("outer", outer_that_empties_its_batch, "value"),
    ("outer", lambda params, *rest: [*params.values()], "return"),
    ("outer", lambda params, *rest: {n: None for n in params}, "shape"),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def by_eigenvalues(change):
    def factor(curvature, inner_lr, steps):
        values, vectors = torch.linalg.eigh(curvature)
        return (vectors * change(values, inner_lr) ** steps) @ vectors.T

    return factor


def test_factor_knows_saddles_and_long_steps():
    assert check.factor(by_eigenvalues(lambda v, a: 1 - a * v)).outcome == "correct"
    for change in (
        lambda v, a: 1 - a * v.abs(),
        lambda v, a: 1 - a * v.clamp(min=0),
        lambda v, a: (1 - a * v).clamp(min=0),
        lambda v, a: (1 - a * v).abs(),
    ):
        assert check.factor(by_eigenvalues(change)).outcome == "not yet"


def test_an_answer_kept_for_the_same_number_of_shots_is_turned_away():
    kept = {}
    card = check.shrink(lambda s, n, k: kept.setdefault(k, s**2 / (s**2 + n**2 / k)))
    assert card.outcome == "not yet"


def test_an_outer_step_may_take_no_inner_step_and_any_dictionary():
    first = outer_step
    assert check.outer(lambda *c: first(*c[:-1], max(c[-1], 1))).symptom == "value"
    named = lambda p, *c: {n: first(p, *c)[n] for n in ("w1", "b1", "w2")}  # noqa: E731
    assert check.outer(named).outcome == "your code raised"


def test_an_outer_step_leaves_no_gradient_behind():
    def with_backward(params, episodes, loss, inner_lr, outer_lr, steps):
        answer = outer_step(params, episodes, loss, inner_lr, outer_lr, steps)
        loss(params, episodes[0][0]).backward()
        return answer

    assert check.outer(with_backward).symptom == "input changed"
    assert STEPPING["uphill"][1] == check.outer(STEPPING["uphill"][0]).text
