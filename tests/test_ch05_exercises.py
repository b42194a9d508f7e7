"""Chapter 05's exercises: right answers in other words, wrong ones of people who saw no check."""

import numpy as np
import outsiders
import torch

from mlcourse.exercises import ch05
from mlcourse.exercises.ch05 import adapt_each, check, losses_after, meta_train, tuned
from mlcourse.learners import maml
from mlcourse.tasks import Points


def adapt_by_package(loss, params, support, inner_lrs, steps):
    return maml.adapt(loss, params, support, inner_lrs, steps)


def adapt_reversed(*case):
    answer = check.adapt.reference(*case)
    return {name: answer[name] for name in reversed(answer)}


def losses_by_package(loss, params, episodes, inner_lr, steps, first_order):
    return maml.losses_after(loss, params, episodes, inner_lr, steps, first_order)


def train_by_package(meta_loss, params, draw, outer_lr, steps):
    def objective(p, episodes, *_):
        return meta_loss(p, episodes)

    work = maml.MetaTraining(objective, params, draw, 0.1, outer_lr, cycle=False)
    for _ in range(steps):
        work.step()
    return work.params


def summary_by_numpy(before, after):
    ends = np.where(np.isnan(after.numpy()), np.inf, after.numpy())
    return np.mean(ends), np.median(ends), int(np.sum(ends > before.numpy()))


def tuned_by_loop(choice, report):
    best, lowest = 0, float("inf")
    for i, row in enumerate(choice):
        mean = float(row.mean())
        if mean < lowest:
            best, lowest = i, mean
    return report[best].tolist()


def is_maml_by_jacobian(meta_gradient):
    g = torch.Generator().manual_seed(9)
    theta = torch.randn(2, generator=g, dtype=torch.float64)
    support, query = torch.randn(2, 2, 5, generator=g, dtype=torch.float64)

    def loss(params, points):
        return ((params["a"] * torch.sin(points[0] + params["b"]) - points[1]) ** 2).mean()

    params = {"a": theta[0], "b": theta[1]}
    seen = theta.tolist()

    def after(a, b):
        p = {"a": a, "b": b}
        for _ in range(2):
            g = torch.func.grad(loss)(p, support)
            p = {n: v - 0.3 * g[n] for n, v in p.items()}
        return loss(p, query)

    wanted = torch.autograd.functional.jacobian(after, (theta[0].clone(), theta[1].clone()))
    for _ in range(2):
        found = meta_gradient(loss, params, support, query, 0.3, 2)
        if not all(abs(found[n] - w) < 1e-9 for n, w in zip("ab", wanted)):
            return False
    return [params["a"].item(), params["b"].item()] == seen


RIGHT = [
    ("adapt", adapt_by_package),
    ("adapt", adapt_reversed),
    ("losses", losses_by_package),
    ("train", train_by_package),
    ("summary", summary_by_numpy),
    ("tuned", tuned_by_loop),
    ("is_maml", is_maml_by_jacobian),
]


def adapt_without_graph(loss, params, support, inner_lrs, steps):
    for _ in range(steps):
        grads = torch.autograd.grad(loss(params, support), list(params.values()))
        params = {n: p - inner_lrs[n] * g for (n, p), g in zip(params.items(), grads)}
    return params


def adapt_by_sgd(loss, params, support, inner_lrs, steps):
    groups = [{"params": [p], "lr": float(inner_lrs[n])} for n, p in params.items()]
    optimizer = torch.optim.SGD(groups)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(params, support).backward()
        optimizer.step()
    return params


def train_without_a_copy(meta_loss, params, draw, outer_lr, steps):
    optimizer = torch.optim.Adam(params.values(), outer_lr)
    for _ in range(steps):
        optimizer.zero_grad()
        meta_loss(params, draw()).backward()
        optimizer.step()
    return params


def train_with_item(meta_loss, params, draw, outer_lr, steps):
    learned = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    optimizer = torch.optim.Adam(learned.values(), outer_lr)
    for _ in range(steps):
        torch.tensor(meta_loss(learned, draw()).item(), requires_grad=True).backward()
        optimizer.step()
    return learned


def looks_at_the_loss_only(meta_gradient):
    """Does a step against the gradient lower the meta-loss? Nearly everything does."""
    params = {n: p.detach() for n, p in ch05.network(4).items()}
    support, query = ch05.some_points(5, seed=1), ch05.some_points(6, seed=2)
    rates = dict.fromkeys(params, 0.1)

    def objective(p):
        return ch05.bump(ch05.adapt_each(ch05.bump, p, support, rates, 2), query)

    found = meta_gradient(ch05.bump, params, support, query, 0.1, 2)
    lower = {n: p - 1e-3 * found[n] for n, p in params.items()}
    return bool(objective(lower) < objective(params))


WRONG = [
    ("adapt", adapt_without_graph, "first order"),
    ("adapt", adapt_by_sgd, "input changed"),
    ("adapt", lambda loss, params, *rest: params, "no step"),
    ("adapt", lambda loss, params, *rest: flat_of(params), "return"),
    ("losses", lambda *case: check.losses.reference(*case).mean(), "shape"),
    ("losses", lambda *case: check.losses.reference(*case).tolist(), "return"),
    ("losses", lambda *case: check.losses.reference(*case[:-1], True), "always first order"),
    ("train", train_without_a_copy, "input changed"),
    ("train", train_with_item, "unmoved"),
    ("summary", lambda b, a: (a.nanmean(), a.nanmedian(), (a > b).sum()), "value"),
    ("summary", lambda b, a: (a.mean(), a.median(), (a > b).sum()), "nan"),
    ("tuned", lambda choice, report: report.nan_to_num(9).mean(1).min(), "return"),
    ("tuned", lambda choice, report: report[choice.nanmean(1).argmin()], "lost forgiven"),
    ("is_maml", looks_at_the_loss_only, "no graph"),
    ("is_maml", lambda f: "yes", "return"),
]


def flat_of(params):
    return torch.cat([p.flatten() for p in params.values()])


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def test_a_tests_specimens_are_wrong_and_the_right_ones_are_right():
    """By the package, which shares no line with them."""
    case = ch05.bump, ch05.network(3), *(ch05.some_points(5, seed=s) for s in (3, 4)), 0.3, 2
    loss, params, support, query, *how = case
    batch = [Points(*(v[None] for v in part)) for part in (support, query)]
    wanted = flat_of(maml.meta_gradient(loss, ch05.kept(params), batch, *how))
    for right in ch05.RIGHT_ONES.values():
        assert torch.allclose(flat_of(right(*case)), wanted, atol=1e-10)
    for symptom, (make, _) in ch05.SPECIMENS.items():
        if symptom not in ("carried over", "in place"):
            assert (flat_of(make()(*case)) - wanted).abs().max() > 1e-3, symptom


def first_step_constant(loss, params, support, inner_lrs, steps):
    """First order in the first step only: no known mistake, and still no error of the judge."""
    for step in range(steps):
        grads = torch.func.grad(loss)(params, support)
        grads = {n: g if step else g.detach() for n, g in grads.items()}
        params = {n: p - inner_lrs[n] * grads[n] for n, p in params.items()}
    return params


def test_a_wrong_gradient_is_always_told_in_numbers():
    card = check.adapt(first_step_constant)
    assert card.symptom == "value" and "the gradient is" in card.text


def test_rates_go_by_name():
    def by_place(loss, params, support, inner_lrs, steps):
        rates = dict(zip(params, inner_lrs.values()))
        return adapt_each(loss, params, support, rates, steps)

    assert check.adapt(by_place).outcome == "not yet"


def test_no_grad_at_first_order_is_told_in_numbers():
    def without(*case):
        with torch.set_grad_enabled(not case[-1]):
            return losses_after(*case)

    assert check.losses(without).symptom != "unreadable"


def test_no_outer_step_is_the_start():
    assert check.train(lambda *c: meta_train(*c[:-1], max(c[-1], 1))).outcome == "not yet"


def test_tasks_to_report_may_not_choose():
    def excluding(choice, report):
        lost = report.isnan().any(1, keepdim=True)
        return tuned(torch.where(lost, torch.inf, choice), report)

    assert check.tuned(excluding).outcome == "not yet"
    infinite = lambda c, r: tuned(c, r).nan_to_num(nan=torch.inf)  # noqa: E731
    assert check.tuned(infinite).outcome == "correct"


def test_a_task_lost_before_and_after_is_not_worse():
    def counting(before, after):
        after = torch.where(after.isnan(), torch.inf, after)
        return after.mean(), after.median(), ((after > before) | after.isinf()).sum()

    assert check.summary(counting).outcome == "not yet"
    assert len(str(ch05.check.summary(lambda b, a: ch05.summary(b, a.nan_to_num())).text)) < 200


def test_a_nan_overwritten_in_the_input_is_a_changed_input():
    def in_place(before, after):
        answer = ch05.summary(before, after)
        after[after.isnan()] = 0.0
        return answer

    assert check.summary(in_place).symptom == "input changed"
