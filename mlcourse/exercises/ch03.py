"""Chapter 03, from multi-task to meta: five exercises with references, right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch

from .engine import (
    CUT,
    FIRST_ORDER,
    Chapter,
    Exercise,
    judge_flow,
    judge_numbers,
    known_mistakes,
    mutants_of,
    require,
    seeded,
)

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
    # again three tasks, now with two curvatures alike and an optimum far away
    yield torch.tensor([4.0, 1.0, 1.0]).double(), torch.tensor([9.0, 2.0, -3.0]).double(), 0.1, 2


JOINING = known_mistakes(
    joint_optimum,
    """
plain mean: (curvatures * optima).sum() / curvatures.sum() => optima.mean()
    This is the plain mean of the optima; a steep task pulls harder.
sum: / curvatures.sum() =>
    This is Σ a·c; divide by the sum of the curvatures.
tasks: / curvatures.sum() => / len(optima)
    This is Σ a·c over the number of tasks; divide by Σ a instead.
inverse: return => curvatures = 1 / curvatures; return
    This is a mean with the weights 1/a; steep tasks pull harder.
square: return => curvatures = curvatures**2; return
    This is a mean with the weights a²; the slope has a once.
return: .sum() / curvatures.sum() => / curvatures.sum()
not finite: .sum() / curvatures.sum() => .sum() / 0
value: return => return 1.01 *
""",
)


def judge_joint(fn: Callable) -> None:
    """Few and many tasks, one task, and the two of the lab."""
    cases = [case[:2] for case in quadratic_cases()]
    judge_numbers(fn, cases, joint_optimum, JOINING, within=1e-5)


STARTING = known_mistakes(
    best_start,
    """
no step: * (1 - inner_lr * curvatures) ** (2 * steps) =>
    This is the joint optimum, as if no step were made.
half the exponent: (2 * steps) => steps
    Your weights have the exponent k; the loss is a square, so it is 2k.
no curvature: curvatures * (1 => (1
    Your weights are without the factor a in front.
one step: (2 * steps) => 2
    This is the answer for one step; use `steps`.
one step fewer: (2 * steps) => max(2 * steps - 2, 0)
    This is the answer after one step too few.
uphill: (1 - => (1 +
    Your weights have 1 + αa; a step goes down.
alpha twice: (1 - inner_lr => (1 - 2 * inner_lr
    This is the answer for 2α; the slope is a (θ − c).
plain mean: (weights * optima).sum() / weights.sum() => optima.mean()
    This is the plain mean of the optima; weigh them.
return: (weights * optima).sum() => weights * optima
not finite: / weights.sum() => / 0
value: (2 * steps) => (2 * steps + 1)
""",
)


def judge_after(fn: Callable) -> None:
    """The tasks of the lab and others, with none to four steps, short and long ones."""
    cases = list(quadratic_cases())
    judge_numbers(fn, cases, best_start, STARTING, within=1e-5)


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
    mutants=mutants_of(JOINING),
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
    mutants=mutants_of(STARTING),
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


ADAPTING = known_mistakes(
    bilevel,
    """
no step: range(steps) => range(0)
    This is the joint loss: judge θ′, not θ.
support judged: query_x[task], query_y[task] => support_x[task], support_y[task]
    This is the loss on the support points; judge on the query points.
query adapted: support_x[task], support_y[task] => query_x[task], query_y[task]
    You adapted on the query points; adapt on the support set.
not restored: adapted = params => adapted = adapted if task else params
    Your start runs on from task to task; begin each task at `params`.
sum: / len(query_x) =>
    This is the sum over the tasks; return their mean.
last task: total + loss => len(query_x) * loss
    This is the loss of the last task alone; average over all of them.
uphill: - inner_lr => + inner_lr
    Your steps go up the gradient; subtract it.
one step: range(steps) => range(1)
    This is the answer for one step; use `steps`.
one step fewer: range(steps) => range(steps - 1)
    This is the answer after one step too few.
alpha twice: - inner_lr => - 2 * inner_lr
    This is the answer for 2α; α counts once a step.
start's gradient: (adapted, support_x => (params, support_x
    Every step of yours has the gradient at `params`; take it where the last step ended.
backward: total / len(query_x) => (total.backward(retain_graph=True), total / len(query_x))[1]
return: total / len(query_x) => [total, adapted]
not finite: / len(query_x) => / 0
value: - inner_lr => - 3 * inner_lr
""",
)
ADAPTING_GRAPH = known_mistakes(
    bilevel,
    f"""
cut: return total => return total.detach()
    {CUT.format("to `params`")} Start from `params` itself, without `detach()`.
first order: inner_lr * grads => inner_lr * grads.detach()
    {FIRST_ORDER}
""",
)
ADAPTING["swapped"] = (
    lambda params, sx, sy, qx, qy, *rest: bilevel(params, qx, qy, sx, sy, *rest),
    "This is the loss with support and query exchanged.",
)


def meta_case(tasks: int, shots: int, inner_lr: float, steps: int) -> tuple:
    g = seeded(tasks)
    sx, sy = torch.randn(2, tasks, shots, 1, generator=g, dtype=torch.float64)
    qx, qy = torch.randn(2, tasks, 6, 1, generator=g, dtype=torch.float64)
    params = torch.tensor([0.7, -0.4, 0.2], dtype=torch.float64, requires_grad=True)
    return params, sx, sy, qx, qy, bump_loss, inner_lr, steps


def judge_meta(fn: Callable) -> None:
    """Some tasks and steps, then the gradient: can an outer loop train through the answer?"""
    sizes = (4, 3, 0.1, 1), (3, 5, 0.2, 3), (5, 2, 0.1, 0), (1, 1, 0.3, 2), (2, 4, 0.4, 9)
    cases = [meta_case(*size) for size in sizes]
    answers = judge_numbers(fn, cases, bilevel, ADAPTING, within=1e-5)
    text = "Your function fills `params.grad`; leave `backward` to the outer loop."
    require(all(case[0].grad is None for case in cases), "backward", text)
    judge_flow(answers, cases, bilevel, ADAPTING_GRAPH, lambda case: [case[0]], within=1e-5)


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
    mutants=mutants_of(ADAPTING, ADAPTING_GRAPH),
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


def gradient_pairs():
    """Gradients that agree, oppose and neither; their names in the same order and in another."""
    sizes = {"w1": (1, 4), "b1": (1, 4), "w2": (4, 3), "b2": (3,), "w3": (3, 1), "scale": ()}
    for seed, mix, turn in ((0, 0.0, 0), (1, -0.8, 0), (2, 0.5, 2), (3, -1.0, 1), (4, 0.1, 3)):
        g = seeded(seed)
        a = {n: torch.randn(size, generator=g, dtype=torch.float64) for n, size in sizes.items()}
        a = {n: t * (0.02 if seed == 4 else 5 if n == "w2" else 1) for n, t in a.items()}  # short
        names = [*sizes][turn:] + [*sizes][:turn]
        other = {n: torch.randn(a[n].shape, generator=g, dtype=torch.float64) for n in names}
        yield a, {n: 2 * mix * a[n] + (1 - abs(mix)) * other[n] for n in names}


COMPARING = known_mistakes(
    cosine,
    """
dot: / (a.norm() * b.norm()) =>
    This is the dot product; divide by both lengths.
one length: * b.norm() =>
    You divided by the first length only.
squared lengths: (a.norm() * b.norm()) => (a.norm() * b.norm()) ** 2
    You divided by the squares of the lengths.
size: a @ b => (a @ b).abs()
    This is the size of the cosine; its sign is what tells a conflict.
distance: a @ b => 1 - a @ b
    This is one minus the cosine.
order: grads_b[name].flatten() for name in grads_a => t.flatten() for t in grads_b.values()
    You multiplied tensors that do not belong together; go by their names.
input changed: return a @ b => return grads_a.clear() or a @ b
return: a @ b => a * b
not finite: a @ b => a @ b / 0
value: a @ b => a[:5] @ b[:5]
""",
)
COMPARING["each tensor"] = (
    lambda grads_a, grads_b: each_cosine(grads_a, grads_b).mean(),
    "This is the mean of the cosines of single tensors; a network's gradient is one vector.",
)


def judge_conflict(fn: Callable) -> None:
    """Each pair of gradients."""
    judge_numbers(fn, list(gradient_pairs()), cosine, COMPARING, within=1e-5)


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
    mutants=mutants_of(COMPARING),
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


TELLING = known_mistakes(
    oracle_inputs,
    """
order: [x, *told] => [*told[1:], x, *told[:1]]
    Your answer has the columns in another order than x, A, φ.
exchanged: (amplitude, phase)] => (phase, amplitude)]
    Your answer has amplitude and phase exchanged.
other tasks: part.expand_as(x) => part.flatten().repeat(x.shape[1]).view_as(x)
    Your answer tells a task of other tasks.
told once: part.expand_as(x) => part * (torch.arange(x.shape[1]) == 0).view(-1, 1)
    Your answer tells the first point of a task only.
shape: dim=-1 => dim=1
value: [x, *told] => [x / 5, *told]
not finite: dim=-1) => dim=-1) / 0
return: torch.cat([x, *told], dim=-1) => (x, amplitude, phase)
""",
)


def judge_oracle(fn: Callable) -> None:
    """Batches of several shapes; as many tasks as points too, where shapes hide a mistake."""
    cases = []
    for tasks, points in ((4, 3), (5, 5), (1, 6), (3, 1), (25, 10)):
        g = seeded(tasks)
        x = torch.rand(tasks, points, 1, generator=g, dtype=torch.float64) * 10 - 5
        told = torch.rand(2, tasks, 1, 1, generator=g, dtype=torch.float64) * 8 - 4
        cases.append((x, *told))
    judge_numbers(fn, cases, oracle_inputs, TELLING, within=1e-5)


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
    mutants=mutants_of(TELLING),
)

check = Chapter("03", conflict, oracle, joint, after, meta)
