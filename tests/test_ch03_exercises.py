"""Chapter 03: answers that are right in most cases only, and messages that fit by chance."""

import pytest
import torch

from mlcourse.exercises.ch03 import check

joint, after, meta = check.joint.reference, check.after.reference, check.meta.reference
cosine, oracle = check.conflict.reference, check.oracle.reference


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "home"))


SEEN = {}


def first_of_each_size(a, c):
    return SEEN.setdefault(len(a), joint(a, c))


def reptile(a, c, lr, steps):
    weights = 1 - (1 - lr * a) ** max(steps, 1)
    return (weights * c).sum() / weights.sum()


def popping(a, b):
    right = cosine(a, b)
    return [a.popitem() for _ in [*a]] and right


def halving(a, b):
    return cosine({name: t.div_(2) for name, t in a.items()}, b)


def without_scalars(a, b):
    return cosine(*({name: t for name, t in g.items() if t.ndim} for g in (a, b)))


def with_a_large_epsilon(a, b):
    x, y = (torch.cat([g[name].flatten() for name in a]) for g in (a, b))
    return x @ y / (x.norm() * y.norm() + 1e-3)


def calls_backward(*case):
    right = meta(*case)
    right.backward(retain_graph=True)
    return right


def adds_up_the_inner_gradients(params, sx, sy, qx, qy, loss, inner_lr, steps):
    total = 0.0
    for task in range(len(qx)):
        p, g = params, 0.0
        for _ in range(steps):
            g = g + torch.func.grad(loss)(p, sx[task], sy[task])
            p = p - inner_lr * g
        total = total + loss(p, qx[task], qy[task])
    return total / len(qx)


def stops_where_it_is_flat(params, sx, sy, qx, qy, loss, inner_lr, steps):
    total = 0.0
    for task in range(len(qx)):
        p = params
        for _ in range(steps):
            g = torch.func.grad(loss)(p, sx[task], sy[task])
            if g.norm() < 0.05:
                break
            p = p - inner_lr * g
        total = total + loss(p, qx[task], qy[task])
    return total / len(qx)


WRONG = [
    ("joint", first_of_each_size, "value"),
    ("joint", lambda a, c: (a * c).sum() / a.unique().sum(), "value"),
    ("joint", lambda a, c: joint(a, c).clamp(-1, 1), "value"),
    ("joint", lambda a, c: (a * c).sum() / c.sum(), "value"),  # Σ c is 1 in the lab
    ("joint", lambda a, c: (c.min() + c.max()) / 2, "value"),  # the mean of two
    ("after", reptile, "value"),  # after one step it is the joint optimum
    ("after", lambda a, c, lr, k: after(a, c, lr, max(k, 1)), "value"),
    ("after", lambda a, c, lr, k: after(a, c, lr, 1), "one step"),
    ("meta", calls_backward, "backward"),
    ("meta", adds_up_the_inner_gradients, "value"),
    ("meta", stops_where_it_is_flat, "value"),
    ("meta", lambda *case: meta(*case[:-1], max(case[-1] - 1, 0)), "one step fewer"),
    ("conflict", popping, "input changed"),
    ("conflict", halving, "input changed"),
    ("conflict", without_scalars, "value"),
    ("conflict", with_a_large_epsilon, "value"),
    ("conflict", lambda a, b: torch.acos(cosine(a, b)), "value"),
    ("oracle", lambda x, a, p: oracle(x, a.abs(), p), "value"),
    ("oracle", lambda x, a, p: oracle(x, a, p % torch.pi), "value"),
    ("oracle", lambda x, a, p: oracle(x, a, p).round().long(), "value"),
    ("oracle", lambda x, a, p: oracle(x, a, p).squeeze(0), "shape"),
]
RIGHT = [
    ("joint", lambda a, c: [float(joint(a, c))]),
    ("after", lambda a, c, lr, k: after(a, c, lr, k).reshape(1, 1).numpy()),
    ("meta", lambda params, *rest: meta(params * 1, *rest)),
    ("conflict", lambda a, b: cosine(b, a).clamp(-1, 1)),
    ("conflict", lambda a, b: torch.nn.CosineSimilarity(0)(*flat_pair(a, b))),
    ("oracle", lambda x, a, p: list(oracle(x, a, p))),
]


def flat_pair(a, b):
    return (torch.cat([g[name].ravel() for name in sorted(g)]) for g in (a, b))


@pytest.mark.parametrize("name, fn, symptom", WRONG)
def test_wrong_answers_are_turned_away(name, fn, symptom):
    card = getattr(check, name)(fn)
    assert (card.outcome, card.symptom) == ("not yet", symptom), card.text


@pytest.mark.parametrize("name, fn", RIGHT)
def test_right_answers_are_correct(name, fn):
    card = getattr(check, name)(fn)
    assert card.outcome == "correct", card.text
