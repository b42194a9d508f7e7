"""Chapter 03: answers that are right in most cases only, and messages that fit by chance."""

import math

import numpy as np
import outsiders
import torch

from mlcourse.exercises.ch03 import check
from mlcourse.tasks import quadratics

joint, after, meta = check.joint.reference, check.after.reference, check.meta.reference
cosine, oracle = check.conflict.reference, check.oracle.reference


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


def joint_by_root_finding(curvatures, optima):
    low, high = float(optima.min()), float(optima.max())
    for _ in range(200):
        middle = (low + high) / 2
        slope = sum(a * (middle - c) for a, c in zip(curvatures, optima))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return np.array([low])


def joint_in_single_precision(curvatures, optima):
    a, c = curvatures.float(), optima.float()
    return a @ c / a.sum()


def after_by_matrices(curvatures, optima, inner_lr, steps):
    return quadratics.best_start(
        quadratics.scalar_tasks(curvatures, optima), inner_lr, steps
    ).tolist()


def after_by_numpy(curvatures, optima, inner_lr, steps):
    a, c = curvatures.numpy(), optima.numpy()
    return np.average(c, weights=a * np.power(1 - inner_lr * a, 2 * steps))


def meta_by_functional_dicts(params, support_x, support_y, query_x, query_y, loss, inner_lr, steps):
    found = []
    for sx, sy, qx, qy in zip(support_x, support_y, query_x, query_y):
        state = {"p": params}
        for _ in range(steps):
            grads = torch.func.grad(lambda s, sx=sx, sy=sy: loss(s["p"], sx, sy))(state)
            state = {name: state[name] - inner_lr * grads[name] for name in state}
        found.append(loss(state["p"], qx, qy))
    return sum(found) / len(found)


def meta_by_tensors_of_one(params, *rest):
    return check.meta.reference(params, *rest).reshape(1)


def cosine_by_torch(grads_a, grads_b):
    a, b = (torch.cat([g[n].reshape(-1) for n in sorted(g)]) for g in (grads_a, grads_b))
    return torch.nn.functional.cosine_similarity(a, b, dim=0)


def cosine_by_loops(grads_a, grads_b):
    ab = aa = bb = 0.0
    for name, a in grads_a.items():
        for p, q in zip(a.flatten().tolist(), grads_b[name].flatten().tolist()):
            ab, aa, bb = ab + p * q, aa + p * p, bb + q * q
    return ab / math.sqrt(aa * bb)


def oracle_by_filling(x, amplitude, phase):
    inputs = torch.empty(*x.shape[:2], 3, dtype=x.dtype)
    inputs[..., :1], inputs[..., 1:2], inputs[..., 2:] = x, amplitude, phase
    return inputs


def oracle_in_single_precision(x, amplitude, phase):
    return torch.cat(torch.broadcast_tensors(x, amplitude, phase), -1).float()


def joint_of_all_gradients(params, sx, sy, qx, qy, loss, inner_lr, steps):
    """One shared inner loop on all support sets at once."""
    for _ in range(steps):
        params = params - inner_lr * torch.func.grad(loss)(params, sx, sy)
    return loss(params, qx, qy)


def meta_leaf(params, sx, sy, qx, qy, loss, inner_lr, steps):
    fresh = params.detach().requires_grad_()
    return check.meta.reference(fresh, sx, sy, qx, qy, loss, inner_lr, steps)


def meta_without_graph(params, sx, sy, qx, qy, loss, inner_lr, steps):
    total = 0.0
    for task in range(len(qx)):
        p = params
        for _ in range(steps):
            p = p - inner_lr * torch.autograd.grad(loss(p, sx[task], sy[task]), p)[0]
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
    ("joint", lambda a, c: (a * c).mean() / len(c), "value"),
    ("joint", lambda a, c: (a.softmax(0) * c).sum(), "value"),
    ("joint", lambda a, c: float("nan"), "not finite"),
    ("after", lambda a, c, lr, k: check.joint.reference(a, c), "no step"),
    ("after", lambda a, c, lr, k: check.after.reference(a, c, lr * k, 1), "value"),
    ("after", lambda a, c, lr, k: check.after.reference(a, c, lr, max(k - 1, 0)), "one step fewer"),
    ("meta", joint_of_all_gradients, "value"),
    ("meta", meta_leaf, "cut"),
    ("meta", meta_without_graph, "first order"),
    ("meta", lambda *a: check.meta.reference(*a).item(), "cut"),
    ("conflict", lambda a, b: torch.tensor([1.0, 2.0]), "return"),
    ("conflict", lambda a, b: check.conflict.reference(a, a), "value"),
    ("oracle", lambda x, a, p: torch.cat([x, a.expand_as(x)], -1), "shape"),
    ("oracle", lambda x, a, p: torch.cat([x, x, x], -1), "value"),
]
RIGHT = [
    ("joint", joint_by_root_finding),
    ("joint", joint_in_single_precision),
    ("after", after_by_matrices),
    ("after", after_by_numpy),
    ("meta", meta_by_functional_dicts),
    ("meta", meta_by_tensors_of_one),
    ("conflict", cosine_by_torch),
    ("conflict", cosine_by_loops),
    ("oracle", oracle_by_filling),
    ("oracle", oracle_in_single_precision),
    ("joint", lambda a, c: [float(joint(a, c))]),
    ("after", lambda a, c, lr, k: after(a, c, lr, k).reshape(1, 1).numpy()),
    ("meta", lambda params, *rest: meta(params * 1, *rest)),
    ("conflict", lambda a, b: cosine(b, a).clamp(-1, 1)),
    ("conflict", lambda a, b: torch.nn.CosineSimilarity(0)(*flat_pair(a, b))),
    ("oracle", lambda x, a, p: list(oracle(x, a, p))),
]


def flat_pair(a, b):
    return (torch.cat([g[name].ravel() for name in sorted(g)]) for g in (a, b))


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)
