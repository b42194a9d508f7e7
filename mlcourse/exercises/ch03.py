"""Chapter 03, from multi-task to meta: five exercises with references, right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .engine import Chapter, Exercise, apart, describe, edited, require, to_tensor


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(value: Tensor, other) -> bool:
    other = torch.as_tensor(other, dtype=torch.float64).detach()
    return bool(((value.double() - other).abs() < 1e-6 + 1e-5 * other.abs()).all())


def judge_number(answer, right, named: dict[str, tuple], where: str) -> None:
    """One number against the right one, and against those that known mistakes give."""
    value = to_tensor(answer)
    good = value is not None and not value.is_sparse and value.numel() == 1
    good = good and not value.is_complex() and value.dtype != torch.bool
    text = f"Your function returned {describe(answer)}; return one number."
    require(good, "return", text)
    value = value.reshape(())
    if close(value, right):
        return
    for symptom, (other, words) in named.items():
        require(not close(value, other), symptom, f"{where} you returned {words}.")
    yours, wanted = apart(float(value), float(right.detach()))
    finite = bool(value.isfinite())
    text = f"{where} you returned {yours if finite else float(value)}; the answer is {wanted}."
    require(False, "value", text)


# ---------------------------------------------------------------- joint and after: quadratic tasks


def joint_optimum(curvatures, optima):
    return (curvatures * optima).sum() / curvatures.sum()


def joint_by_loop(curvatures, optima):
    pairs = list(zip(curvatures.tolist(), optima.tolist()))
    return sum(a * c for a, c in pairs) / sum(a for a, _ in pairs)


def joint_by_numpy(curvatures, optima):
    return np.average(optima.numpy(), weights=curvatures.numpy())


def best_start(curvatures, optima, inner_lr, steps):
    weights = curvatures * (1 - inner_lr * curvatures) ** (2 * steps)
    return (weights * optima).sum() / weights.sum()


def best_by_loop(curvatures, optima, inner_lr, steps):
    above = below = 0.0
    for a, c in zip(curvatures.tolist(), optima.tolist()):
        left = 1.0
        for _ in range(steps):
            left *= 1 - inner_lr * a
        above, below = above + a * left**2 * c, below + a * left**2
    return above / below


def best_by_newton(curvatures, optima, inner_lr, steps):
    """The mean loss after the steps is a parabola: one Newton step from anywhere ends in it."""

    def loss(theta):
        adapted = theta
        for _ in range(steps):
            adapted = adapted - inner_lr * curvatures * (adapted - optima)
        return (curvatures * (adapted - optima) ** 2).mean() / 2

    zero = torch.zeros((), dtype=torch.float64)
    return -torch.func.grad(loss)(zero) / torch.func.hessian(loss)(zero)


def quadratic_cases():
    """Curvatures, optima, α and steps; the first are those of the lab."""
    a, c = torch.tensor([1.0, 4.0]).double(), torch.tensor([0.0, 1.0]).double()
    yield from ((a, c, 0.1, 1), (a, c, 0.1, 3), (a, c, 0.3, 1), (a, c, 0.2, 0))
    for n, lr, steps in ((1, 0.1, 2), (3, 0.3, 1), (6, 0.05, 4), (40, 0.7, 2)):
        a, c = torch.rand(2, n, generator=seeded(n), dtype=torch.float64) * 4 + 0.2
        yield a, c - 2, lr, steps


def weighted(weights: Tensor, optima: Tensor) -> Tensor:
    return (weights * optima).sum() / weights.sum()


def judge_joint(fn: Callable) -> None:
    """Few and many tasks, one task, and the two of the lab."""
    for a, c, _, _ in quadratic_cases():
        named = {
            "plain mean": (c.mean(), "the plain mean of the optima; a steep task pulls harder"),
            "sum": ((a * c).sum(), "Σ a·c; divide by the sum of the curvatures"),
            "tasks": ((a * c).mean(), "Σ a·c over the number of tasks; divide by Σ a instead"),
            "inverse": (weighted(1 / a, c), "a mean with the weights 1/a; steep tasks pull harder"),
            "square": (weighted(a**2, c), "a mean with the weights a²; the slope has a once"),
        }
        judge_number(fn(a, c), weighted(a, c), named, f"For {len(a)} task{'s' * (len(a) > 1)}")


def judge_after(fn: Callable) -> None:
    """The tasks of the lab and others, with none to four steps, short and long ones."""
    for a, c, lr, steps in quadratic_cases():
        right = weighted(a * (1 - lr * a) ** (2 * steps), c)
        where = f"With {len(a)} task{'s' * (len(a) > 1)}, α = {lr} and {steps} steps"
        judge_number(fn(a, c, lr, steps), right, after_mistakes(a, c, lr, steps), where)


def after_mistakes(a: Tensor, c: Tensor, lr: float, steps: int) -> dict[str, tuple]:
    left, twice = 1 - lr * a, 1 - 2 * lr * a
    wrong = {
        "no step": (a, "the joint optimum, as if no step were made"),
        "half the exponent": (
            a * left**steps,
            "weights with the exponent k; the loss is a square, so it is 2k",
        ),
        "no curvature": (left ** (2 * steps), "weights without the factor a in front"),
        "one step": (a * left**2, "the answer for one step; use `steps`"),
        "uphill": (a * (2 - left) ** (2 * steps), "weights with 1 + αa; a step goes down"),
        "alpha twice": (a * twice ** (2 * steps), "the answer for 2α; the slope is a (θ − c)"),
        "plain mean": (torch.ones_like(a), "the plain mean of the optima; weigh them"),
    }
    return {symptom: (weighted(w, c), words) for symptom, (w, words) in wrong.items()}


joint = Exercise(
    name="joint",
    title="where joint training ends",
    minutes=5,
    difficulty=1,
    stub='''\
def joint_optimum(curvatures, optima):
    """The θ with the smallest mean of the losses ½ a (θ − c)², one number.

    curvatures (the a, all positive) and optima (the c): float64 (tasks,).
    """
    raise NotImplementedError
''',
    judge=judge_joint,
    reference=joint_optimum,
    praise="A steep task pulls harder: the weights are the curvatures.",
    hints=(
        "At the best θ the mean of the slopes is zero. What is the slope of ½ a (θ − c)²?",
        "Σ a (θ − c) = 0. Bring θ to one side.",
        "θ = Σ a·c / Σ a: `(curvatures * optima).sum() / curvatures.sum()`",
    ),
    symptom_hints={"plain mean": "each optimum counts as much as its task is steep."},
    alternatives=(joint_by_loop, joint_by_numpy),
    mutants={
        "plain mean": lambda curvatures, optima: optima.mean(),
        "sum": edited(joint_optimum, " / curvatures.sum()", ""),
        "tasks": edited(joint_optimum, " / curvatures.sum()", " / len(optima)"),
        "inverse": lambda curvatures, optima: joint_optimum(1 / curvatures, optima),
        "square": lambda curvatures, optima: joint_optimum(curvatures**2, optima),
        "return": edited(joint_optimum, ".sum() / curvatures.sum()", " / curvatures.sum()"),
        "value": lambda curvatures, optima: optima[curvatures.argmax()] + 0.01,
    },
)

after = Exercise(
    name="after",
    title="the best start after k steps",
    minutes=8,
    difficulty=2,
    stub='''\
def best_start(curvatures, optima, inner_lr, steps):
    """The θ with the smallest mean loss ½ a (θₖ − c)² after k gradient steps.

    Each task takes its own `steps` steps of size inner_lr on its own loss, from θ.
    curvatures (a > 0) and optima (c): float64 (tasks,). Returns one number.
    """
    raise NotImplementedError
''',
    judge=judge_after,
    reference=best_start,
    praise="Each task counts with its curvature and with what the steps leave undone.",
    hints=(
        "One step multiplies θ − c by 1 − αa. What do k steps do, and what is the loss then?",
        "The loss after k steps is ½ a (1 − αa)²ᵏ (θ − c)²: a parabola with another curvature.",
        "`weights = curvatures * (1 - inner_lr * curvatures) ** (2 * steps)`, and a mean.",
    ),
    symptom_hints={
        "half the exponent": "θₖ − c has the factor (1 − αa)ᵏ, and the loss squares it.",
        "no curvature": "the loss after the steps still begins with ½ a.",
    },
    alternatives=(best_by_loop, best_by_newton),
    mutants={
        "no step": edited(best_start, " * (1 - inner_lr * curvatures) ** (2 * steps)", ""),
        "half the exponent": edited(best_start, "(2 * steps)", "steps"),
        "no curvature": edited(best_start, "curvatures * (1", "(1"),
        "one step": edited(best_start, "(2 * steps)", "2"),
        "uphill": edited(best_start, "(1 - ", "(1 + "),
        "alpha twice": edited(best_start, "(1 - inner_lr", "(1 - 2 * inner_lr"),
        "plain mean": lambda curvatures, optima, inner_lr, steps: optima.mean(),
        "return": edited(best_start, "return (weights * optima).sum()", "return weights * optima"),
        "value": edited(best_start, "(2 * steps)", "(2 * steps + 1)"),
    },
)

# ---------------------------------------------------------------- meta: the bilevel objective


def bilevel(params, support_x, support_y, query_x, query_y, loss, inner_lr, steps):
    total = 0.0
    for task in range(len(query_x)):
        adapted = params
        for _ in range(steps):
            grads = torch.func.grad(loss)(adapted, support_x[task], support_y[task])
            adapted = adapted - inner_lr * grads
        total = total + loss(adapted, query_x[task], query_y[task])
    return total / len(query_x)


def meta_by_vmap(params, support_x, support_y, query_x, query_y, loss, inner_lr, steps):
    def one(sx, sy, qx, qy):
        adapted = params
        for _ in range(steps):
            adapted = adapted - inner_lr * torch.func.grad(loss)(adapted, sx, sy)
        return loss(adapted, qx, qy)

    return torch.func.vmap(one)(support_x, support_y, query_x, query_y).mean()


def meta_by_autograd(params, support_x, support_y, query_x, query_y, loss, inner_lr, steps):
    found = []
    for sx, sy, qx, qy in zip(support_x, support_y, query_x, query_y):
        p = params
        for _ in range(steps):
            (g,) = torch.autograd.grad(loss(p, sx, sy), p, create_graph=True)
            p = p - inner_lr * g
        found.append(loss(p, qx, qy))
    return torch.stack(found).mean()


def bump_loss(params, x, y):
    """The error of the curve p₀ tanh(p₁ x + p₂): its Hessian changes from place to place."""
    return ((params[0] * torch.tanh(params[1] * x + params[2]) - y) ** 2).mean()


def carried_over(params, sx, sy, qx, qy, loss, inner_lr, steps):
    total = 0.0
    for task in range(len(qx)):
        for _ in range(steps):
            params = params - inner_lr * torch.func.grad(loss)(params, sx[task], sy[task])
        total = total + loss(params, qx[task], qy[task])
    return total / len(qx)


def start_gradient(params, sx, sy, qx, qy, loss, inner_lr, steps):
    """All steps with the gradient at the start: one long step."""
    return bilevel(params, sx, sy, qx, qy, loss, steps * inner_lr, min(steps, 1))


META_CASES = ((4, 3, 0.1, 1), (3, 5, 0.2, 3), (5, 2, 0.1, 0), (1, 1, 0.3, 2))


def judge_meta(fn: Callable) -> None:
    """Some tasks and steps, then the gradient: can an outer loop train through the answer?"""
    for tasks, shots, inner_lr, steps in META_CASES:
        g = seeded(tasks)
        sx, sy = torch.randn(2, tasks, shots, 1, generator=g, dtype=torch.float64)
        qx, qy = torch.randn(2, tasks, 6, 1, generator=g, dtype=torch.float64)
        params = torch.tensor([0.7, -0.4, 0.2], dtype=torch.float64, requires_grad=True)
        case = (params, sx, sy, qx, qy, bump_loss, inner_lr, steps)
        right, answer = bilevel(*case), fn(*case)
        s = "s" * (tasks > 1)
        where = f"With {tasks} task{s}, α = {inner_lr} and {steps} steps"
        judge_number(answer, right, meta_mistakes(*case), where)
        if steps:
            judge_meta_gradient(answer, right, params)


def meta_mistakes(params, sx, sy, qx, qy, loss, inner_lr, steps) -> dict[str, tuple]:
    def at(s, q, lr=inner_lr, k=steps):
        return bilevel(params, *s, *q, loss, lr, k)

    s, q = (sx, sy), (qx, qy)
    last = at((sx[-1:], sy[-1:]), (qx[-1:], qy[-1:]))
    start = start_gradient(params, *s, *q, loss, inner_lr, steps)
    carried = carried_over(params, *s, *q, loss, inner_lr, steps)
    return {
        "no step": (at(s, q, k=0), "the joint loss: judge θ′, not θ"),
        "support judged": (at(s, s), "the loss on the support points; judge on the query points"),
        "query adapted": (at(q, q), "what adapting on the query gives; adapt on the support set"),
        "swapped": (at(q, s), "the loss with support and query exchanged"),
        "not restored": (carried, "what a start that runs on gives; begin each task at `params`"),
        "sum": (at(s, q) * len(qx), "the sum over the tasks; return their mean"),
        "last task": (last, "the loss of the last task alone; average over all of them"),
        "uphill": (at(s, q, lr=-inner_lr), "what steps up the gradient give; subtract it"),
        "one step": (at(s, q, k=1), "the answer for one step; use `steps`"),
        "alpha twice": (at(s, q, lr=2 * inner_lr), "the answer for 2α; α counts once a step"),
        "start's gradient": (start, "what the gradient at `params` gives in every step; move it"),
    }


def judge_meta_gradient(answer, right: Tensor, params: Tensor) -> None:
    """The number is right; is its gradient?"""
    text = "The number is right, but it does not depend on `params` for torch: the graph was cut."
    graph = isinstance(answer, Tensor) and answer.requires_grad
    require(graph, "cut", f"{text} Return a tensor, without `item()`, `float()` or `detach()`.")
    (yours,) = torch.autograd.grad(answer.sum(), params, allow_unused=True)
    require(yours is not None, "cut", f"{text} Start from `params` itself.")
    (full,) = torch.autograd.grad(right, params)
    text = (
        "The number is right and its gradient is not: the inner gradient was taken for a constant "
        "(with `torch.autograd.grad`, pass `create_graph=True`). This is first-order MAML."
    )
    require(close(yours, full), "first order", text)


meta = Exercise(
    name="meta",
    title="the loss after adaptation",
    minutes=12,
    difficulty=3,
    stub='''\
def bilevel(params, support_x, support_y, query_x, query_y, loss, inner_lr, steps):
    """The mean over tasks of the query loss after `steps` gradient steps on support.

    params: float64 (3,), where every task starts. loss(params, x, y) is one number.
    support_x, support_y, query_x, query_y: float64 (tasks, points, 1).
    Returns a tensor of one number that can be differentiated with respect to params.
    """
    raise NotImplementedError
''',
    judge=judge_meta,
    reference=bilevel,
    praise="Adapted on the support, judged on the query, and differentiable all the way.",
    hints=(
        "A loop over tasks, and in it a loop over steps. Each task begins at `params`.",
        "`torch.func.grad(loss)(adapted, support_x[task], support_y[task])` is the inner gradient.",
        "After the steps add `loss(adapted, query_x[task], query_y[task])`, and divide at the end.",
    ),
    symptom_hints={
        "not restored": "write `adapted = params` inside the loop over tasks.",
        "first order": "`torch.func.grad` keeps the graph; `torch.autograd.grad` does when asked.",
    },
    alternatives=(meta_by_vmap, meta_by_autograd),
    mutants={
        "no step": edited(bilevel, "loss(adapted, query_x", "loss(params, query_x"),
        "support judged": edited(
            bilevel, "query_x[task], query_y[task]", "support_x[task], support_y[task]"
        ),
        "query adapted": edited(
            bilevel, "support_x[task], support_y[task]", "query_x[task], query_y[task]"
        ),
        "swapped": lambda p, sx, sy, qx, qy, *rest: bilevel(p, qx, qy, sx, sy, *rest),
        "not restored": carried_over,
        "sum": edited(bilevel, " / len(query_x)", ""),
        "last task": edited(bilevel, "total + loss", "len(query_x) * loss"),
        "uphill": edited(bilevel, "adapted - inner_lr", "adapted + inner_lr"),
        "one step": edited(bilevel, "range(steps)", "range(1)"),
        "alpha twice": edited(bilevel, "- inner_lr", "- 2 * inner_lr"),
        "start's gradient": start_gradient,
        "cut": edited(bilevel, "return total", "return total.detach()"),
        "first order": edited(bilevel, "inner_lr * grads", "inner_lr * grads.detach()"),
        "return": edited(bilevel, "return total / len(query_x)", "return [total, adapted]"),
        "value": edited(bilevel, "- inner_lr", "- 3 * inner_lr"),
    },
)

# ---------------------------------------------------------------- conflict


def cosine(grads_a, grads_b):
    a = torch.cat([grads_a[name].flatten() for name in grads_a])
    b = torch.cat([grads_b[name].flatten() for name in grads_a])
    return a @ b / (a.norm() * b.norm())


def cosine_by_sums(grads_a, grads_b):
    def dot(p, q):
        return sum(float((p[name] * q[name]).sum()) for name in sorted(p))

    return dot(grads_a, grads_b) / (dot(grads_a, grads_a) * dot(grads_b, grads_b)) ** 0.5


def cosine_by_numpy(grads_a, grads_b):
    a, b = (np.concatenate([g[n].numpy().ravel() for n in sorted(g)]) for g in (grads_a, grads_b))
    return np.dot(a / np.linalg.norm(a), b / np.linalg.norm(b))


def each_cosine(grads_a, grads_b):
    return torch.stack([cosine({n: grads_a[n]}, {n: grads_b[n]}) for n in grads_a])


def flat(grads) -> Tensor:
    return torch.cat([g.flatten() for g in grads.values()])


def gradient_pairs():
    """Gradients that agree, oppose and neither; their names in the same order and in another."""
    sizes = {"w1": (1, 4), "b1": (1, 4), "w2": (4, 3), "b2": (3,), "w3": (3, 1)}
    for seed, mix, turn in ((0, 0.0, 0), (1, -0.8, 0), (2, 0.5, 2), (3, -1.0, 1)):
        g = seeded(seed)
        a = {n: torch.randn(size, generator=g, dtype=torch.float64) for n, size in sizes.items()}
        a["w2"] = 5 * a["w2"]
        names = [*sizes][turn:] + [*sizes][:turn]
        other = {n: torch.randn(a[n].shape, generator=g, dtype=torch.float64) for n in names}
        yield a, {n: 2 * mix * a[n] + (1 - abs(mix)) * other[n] for n in names}


def judge_conflict(fn: Callable) -> None:
    """Each pair of gradients."""
    for a, b in gradient_pairs():
        dot, one, two = flat(a) @ flat({n: b[n] for n in a}), flat(a).norm(), flat(b).norm()
        right = dot / (one * two)
        named = {
            "dot": (dot, "the dot product; divide by both lengths"),
            "one length": (dot / one, "a product divided by the first length only"),
            "squared lengths": (dot / (one * two) ** 2, "a product over squared lengths"),
            "size": (right.abs(), "the size of the cosine; its sign is what tells a conflict"),
            "distance": (1 - right, "one minus the cosine"),
            "each tensor": (
                each_cosine(a, b).mean(),
                "the mean of the cosines of single tensors; a network's gradient is one vector",
            ),
            "order": (
                flat(a) @ flat(b) / (one * two),
                "a product of tensors that do not belong together; go by their names",
            ),
        }
        judge_number(fn(a, b), right, named, "For two gradients")


conflict = Exercise(
    name="conflict",
    title="do two tasks agree",
    minutes=8,
    difficulty=2,
    stub='''\
def cosine(grads_a, grads_b):
    """The cosine between two tasks' gradients: −1 opposed, 0 unrelated, 1 the same.

    grads_a, grads_b: dictionaries {name: float64 tensor of any shape} with the
    same names, maybe in another order; together the tensors are one long vector.
    """
    raise NotImplementedError
''',
    judge=judge_conflict,
    reference=cosine,
    praise="One vector a network, by name, and the sign kept.",
    hints=(
        "The cosine is the dot product divided by both lengths.",
        "Make one long vector of each dictionary: `flatten` every tensor, then `torch.cat`.",
        "`a @ b / (a.norm() * b.norm())`, with both vectors in the order of the names of one.",
    ),
    symptom_hints={"order": "`[grads_b[name].flatten() for name in grads_a]` keeps the order."},
    alternatives=(cosine_by_sums, cosine_by_numpy),
    mutants={
        "dot": edited(cosine, " / (a.norm() * b.norm())", ""),
        "one length": edited(cosine, " * b.norm()", ""),
        "squared lengths": edited(cosine, "(a.norm() * b.norm())", "(a.norm() * b.norm()) ** 2"),
        "size": edited(cosine, "a @ b", "(a @ b).abs()"),
        "distance": edited(cosine, "a @ b", "1 - a @ b"),
        "each tensor": lambda grads_a, grads_b: each_cosine(grads_a, grads_b).mean(),
        "order": lambda a, b: flat(a) @ flat(b) / (flat(a).norm() * flat(b).norm()),
        "return": each_cosine,
        "value": edited(cosine, "a @ b", "a[:5] @ b[:5]"),
    },
)

# ---------------------------------------------------------------- oracle


def oracle_inputs(x, amplitude, phase):
    told = [part.expand_as(x) for part in (amplitude, phase)]
    return torch.cat([x, *told], dim=-1)


def oracle_by_loop(x, amplitude, phase):
    tasks = zip(x.tolist(), amplitude.flatten().tolist(), phase.flatten().tolist())
    return [[[point[0], a, p] for point in points] for points, a, p in tasks]


def oracle_by_numpy(x, amplitude, phase):
    a, p = (np.repeat(part.numpy(), x.shape[1], axis=1) for part in (amplitude, phase))
    return np.concatenate([x.numpy(), a, p], axis=2)


def of_other_tasks(x, amplitude, phase):
    """`repeat` on flat numbers runs through the tasks point by point."""
    told = [part.flatten().repeat(x.shape[1]).view_as(x) for part in (amplitude, phase)]
    return torch.cat([x, *told], -1)


def told_once(x, amplitude, phase):
    answer = oracle_inputs(x, amplitude, phase)
    answer[:, 1:, 1:] = 0
    return answer


def judge_oracle(fn: Callable) -> None:
    """Batches of several shapes; as many tasks as points too, where shapes hide a mistake."""
    for tasks, points in ((4, 3), (5, 5), (1, 6), (3, 1), (25, 10)):
        g = seeded(tasks)
        x = torch.rand(tasks, points, 1, generator=g, dtype=torch.float64) * 10 - 5
        amplitude, phase = torch.rand(2, tasks, 1, 1, generator=g, dtype=torch.float64) * 3 + 0.1
        right, answer = oracle_inputs(x, amplitude, phase), fn(x, amplitude, phase)
        value = to_tensor(answer)
        text = f"Your function returned {describe(answer)}; return one tensor of numbers."
        good = value is not None and not value.is_sparse and value.dim() > 0
        require(good and value.dtype.is_floating_point, "return", text)
        where = f"For {tasks} tasks with {points} points your answer"
        text = f"{where} has the shape {tuple(value.shape)}; it should be {tuple(right.shape)}."
        require(value.shape == right.shape, "shape", text)
        named = {
            "order": (right.roll(1, -1), "has the columns in another order than x, A, φ"),
            "exchanged": (right[..., [0, 2, 1]], "has amplitude and phase exchanged"),
            "other tasks": (of_other_tasks(x, amplitude, phase), "tells a task of other tasks"),
            "told once": (told_once(x, amplitude, phase), "tells the first point of a task only"),
        }
        for symptom, (other, words) in named.items():
            wrong = close(value, other) and not close(value, right)
            require(not wrong, symptom, f"{where} {words}.")
        text = f"{where} has other numbers than x, A and φ in its columns."
        require(close(value, right), "value", text)


oracle = Exercise(
    name="oracle",
    title="tell the network the task",
    minutes=6,
    difficulty=1,
    stub='''\
def oracle_inputs(x, amplitude, phase):
    """Inputs (x, A, φ) for every point, float64 (tasks, points, 3), in this order.

    x: (tasks, points, 1); amplitude and phase: (tasks, 1, 1), one of each a task.
    """
    raise NotImplementedError
''',
    judge=judge_oracle,
    reference=oracle_inputs,
    praise="Every point now carries the description of its task.",
    hints=(
        "All three parts need the shape of x; then they are joined along the last dimension.",
        "`amplitude.expand_as(x)` repeats a task's number for each of its points.",
        "`torch.cat([x, amplitude.expand_as(x), phase.expand_as(x)], dim=-1)`",
    ),
    symptom_hints={"other tasks": "`repeat` on a flat tensor goes through all tasks in turn."},
    alternatives=(oracle_by_loop, oracle_by_numpy),
    mutants={
        "order": edited(oracle_inputs, "[x, *told]", "[*told[1:], x, *told[:1]]"),
        "exchanged": edited(oracle_inputs, "(amplitude, phase)", "(phase, amplitude)"),
        "other tasks": of_other_tasks,
        "told once": told_once,
        "shape": edited(oracle_inputs, "dim=-1", "dim=1"),
        "value": edited(oracle_inputs, "[x, *told]", "[x / 5, *told]"),
        "return": edited(oracle_inputs, "torch.cat([x, *told], dim=-1)", "(x, amplitude, phase)"),
    },
)

check = Chapter("03", conflict, oracle, joint, after, meta)
