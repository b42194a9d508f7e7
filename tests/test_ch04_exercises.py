"""Wrong answers of chapter 04 that once passed."""

import pytest
import torch

from mlcourse.exercises.ch04 import STEPPING, check, outer_step


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "home"))


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
