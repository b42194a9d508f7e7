"""Chapter 04, MAML, the mathematics: five exercises with references, right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..tasks import Points
from .engine import (
    Chapter,
    Exercise,
    bump,
    drawn,
    flat,
    judge_answers,
    judge_numbers,
    known_mistakes,
    mutants_of,
    read_numbers,
    read_params,
    require,
    seeded,
)

# ---------------------------------------------------------------- factor


def factor(curvature, inner_lr, steps):
    eye = torch.eye(len(curvature), dtype=curvature.dtype)
    return torch.linalg.matrix_power(eye - inner_lr * curvature, steps)


def factor_by_loop(curvature, inner_lr, steps):
    left = np.eye(len(curvature))
    for _ in range(steps):
        left = left - inner_lr * left @ curvature.numpy()
    return left


def factor_by_jacobian(curvature, inner_lr, steps):
    def walk(theta):
        for _ in range(steps):
            theta = theta - inner_lr * curvature @ theta
        return theta

    return torch.func.jacrev(walk)(torch.ones(len(curvature), dtype=curvature.dtype))


def random_curvature(d: int, seed: int) -> Tensor:
    root = drawn(d, d, seed=seed)
    return root @ root.T / d + 0.3 * torch.eye(d, dtype=torch.float64)


FACTORS = known_mistakes(
    factor,
    """
element by element: torch.linalg.matrix_power => torch.pow
    This is each number to the power k; multiply the matrices.
one long step: inner_lr * curvature, steps => steps * inner_lr * curvature, 1
    This is I − kαA, one step k times as long.
uphill: eye - => eye +
    This is (I + αA)ᵏ; a step goes down.
alpha twice: eye - => eye - inner_lr *
    This is (I − α²A)ᵏ; α counts once a step.
one step: curvature, steps => curvature, 1
    This is the factor of one step; use `steps`.
squared: curvature, steps => curvature, 2 * steps
    This is (I − αA)²ᵏ, what is left of the loss; the power is k.
off by one: curvature, steps => curvature, steps + 1
    This is the factor of one step too many; the power is k.
one short: curvature, steps => curvature, steps - 1
    This is the factor of one step too few; the power is k.
what is gone: return => return eye -
    This is I − (I − αA)ᵏ, what the steps have walked.
shape: curvature, steps) => curvature, steps).diagonal()
return: return => return steps,
not finite: return => return torch.inf *
value: eye - => eye - 2 *
""",
)


def judge_factor(fn: Callable) -> None:
    """One to four parameters, one to five steps, and none; then a saddle, with a long step."""
    cases = []
    for d, inner_lr, steps in ((2, 0.2, 3), (3, 0.1, 2), (1, 0.4, 1), (4, 0.15, 5), (2, 0.3, 0)):
        cases.append((random_curvature(d, seed=d), inner_lr, steps))
    cases.append((torch.tensor([[2.0, 1.0], [1.0, -1.0]], dtype=torch.float64), 0.9, 3))
    judge_numbers(fn, cases, factor, FACTORS)


factor_exercise = Exercise(
    name="factor",
    title="what k steps leave of the way",
    minutes=5,
    difficulty=1,
    stub='''\
def factor(curvature, inner_lr, steps):
    """The matrix (I − αA)ᵏ: what k gradient steps leave of θ − c on a quadratic task.

    curvature: A, float64 (d, d), symmetric. Returns float64 (d, d).
    """
    raise NotImplementedError
''',
    judge=judge_factor,
    reference=factor,
    praise="The same matrix, once for each step.",
    hints=(
        "One step multiplies θ − c by I − αA. Two steps do it twice.",
        "Start from `torch.eye(len(curvature), dtype=curvature.dtype)` and multiply with `@`.",
        "`torch.linalg.matrix_power(eye - inner_lr * curvature, steps)`",
    ),
    symptom_hints={"element by element": "`**` works on each number; `@` multiplies matrices."},
    alternatives=(factor_by_loop, factor_by_jacobian),
    mutants=mutants_of(FACTORS),
)

# ---------------------------------------------------------------- steps: the product by hand


def meta_gradient(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps):
    eye = torch.eye(len(theta), dtype=theta.dtype)
    factor = eye
    for _ in range(steps):
        factor = factor @ (eye - inner_lr * support_hessian(theta))
        theta = theta - inner_lr * support_gradient(theta)
    return factor @ query_gradient(theta)


def steps_backwards(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps):
    visited = [theta]
    for _ in range(steps):
        visited.append(visited[-1] - inner_lr * support_gradient(visited[-1]))
    pull = query_gradient(visited.pop())
    for point in reversed(visited):
        pull = pull - inner_lr * support_hessian(point) @ pull
    return pull


def steps_by_transpose(theta, support_gradient, support_hessian, query_gradient, inner_lr, steps):
    jacobian, place = np.eye(len(theta)), theta.clone()
    for _ in range(steps):
        jacobian = (np.eye(len(theta)) - inner_lr * support_hessian(place).numpy()) @ jacobian
        place = place - inner_lr * support_gradient(place)
    return jacobian.T @ query_gradient(place).numpy()


WALKS = known_mistakes(
    meta_gradient,
    """
first order: @ (eye - inner_lr * support_hessian(theta)) => @ eye
    This is ∇L(θₖ) without the factors: first-order MAML.
no step: range(steps) => range(0)
    This is the gradient at the start, as if no step were made.
query at θ: factor = eye => factor, query_gradient = eye, lambda _, g=query_gradient(theta): g
    Your query gradient is taken at θ; take it at θₖ.
support judged: @ query_gradient => @ support_gradient
    This ends in the support's gradient at θₖ, not the query's.
query adapted: * support_gradient => * query_gradient
    Your steps go down the query loss.
climbing: - inner_lr * support_gradient => + inner_lr * support_gradient
    Your steps go up the support loss; subtract its gradient.
one Hessian: factor = eye => factor, support_hessian = eye, lambda _, h=support_hessian(theta): h
    You took one Hessian, that at the start, for all steps.
last Hessian: return factor => return (eye - inner_lr * support_hessian(theta)).matrix_power(steps)
    You took the Hessian at the adapted point for all steps.
late Hessians: hessian(theta) => hessian(theta - inner_lr * support_gradient(theta))
    Your Hessians are those at the points after each step; take them before it.
order: return factor => return factor.T
    Your product is in the wrong order; the first step's factor stands left.
uphill: (eye - => (eye +
    Your factors are I + αH; the step has a minus.
doubled: (eye - => (eye - 2 *
    Your factors are I − 2αH; α counts once a step.
alpha twice: eye = torch.eye => inner_lr = inner_lr**2; eye = torch.eye
    This is the answer for α²: α was applied twice. It counts once a step.
one step: range(steps) => range(1)
    This is the answer for one step; use `steps`.
off by one: range(steps) => range(steps + 1)
    This is the answer for one step too many.
one short: range(steps) => range(steps - 1)
    This is the answer for one step too few.
negative: return => return -
    This is minus the gradient; the outer loop subtracts it later.
shape: @ query_gradient(theta) =>
return: return => return eye,
not finite: return => return torch.inf *
value: return => return 1.01 *
""",
)


def surface(points: Tensor) -> tuple[Callable, Callable]:
    """Gradient and Hessian of a smooth loss of 3 n parameters, by place another Hessian."""

    def loss(theta):
        height, slope, shift = theta.view(3, -1, 1)
        curve = (height * torch.tanh(slope * points[0] + shift)).sum(0)
        return ((curve - points[1]) ** 2).mean()

    gradient = torch.func.grad(loss)
    return gradient, torch.func.jacrev(gradient)  # quicker than torch.func.hessian when so small


def judge_steps(fn: Callable) -> None:
    """One step, several and none, three parameters and six, on losses that are not quadratic."""
    cases = []
    for steps, inner_lr, n in ((3, 0.3, 1), (1, 0.3, 1), (2, 0.4, 2), (5, 0.25, 1), (0, 0.2, 1)):
        g = seeded(steps)
        support, query = torch.randn(2, 2, 6, generator=g, dtype=torch.float64)
        theta = torch.tensor([1.1, 0.7, -0.4], dtype=torch.float64).repeat_interleave(n)
        theta = theta + 0.1 * torch.randn(3 * n, generator=g, dtype=torch.float64)
        cases.append((theta, *surface(support), surface(query)[0], inner_lr, steps))
    judge_numbers(fn, cases, meta_gradient, WALKS)


steps_exercise = Exercise(
    name="steps",
    title="the meta-gradient by hand",
    minutes=12,
    difficulty=3,
    stub='''\
def meta_gradient(
    theta, support_gradient, support_hessian, query_gradient, inner_lr, steps
):
    """The gradient of the query loss after k steps with respect to the start, (d,).

    theta: float64 (d,). support_gradient(θ) and query_gradient(θ) are (d,),
    support_hessian(θ) is (d, d). The steps go down the support loss.
    """
    raise NotImplementedError
''',
    judge=judge_steps,
    reference=meta_gradient,
    praise="A Hessian at each visited point, in the order of the steps.",
    hints=(
        "Walk the steps, and note at each point, before the step, the matrix I − αH.",
        "dθₖ/dθ is the product of these matrices. Its transpose meets the query gradient at θₖ.",
        "In the loop `factor = factor @ (eye - inner_lr * support_hessian(theta))`, then step.",
    ),
    symptom_hints={
        "order": "transposing a product turns its order round: J₀ J₁ … Jₖ₋₁ ∇L(θₖ).",
        "one Hessian": "only on a quadratic is the Hessian the same everywhere.",
        "late Hessians": "in the loop, compute the matrix first and move θ then.",
    },
    alternatives=(steps_backwards, steps_by_transpose),
    mutants=mutants_of(WALKS),
)

# ---------------------------------------------------------------- weights


def resting_point(curvatures, optima, inner_lr, steps, rule):
    left = (1 - inner_lr * curvatures) ** steps
    weights = {
        "maml": curvatures * left**2,
        "fomaml": curvatures * left,
        "reptile": 1 - left,
    }[rule]
    return (weights * optima).sum() / weights.sum()


def resting_by_newton(curvatures, optima, inner_lr, steps, rule):
    """Each rule's step is linear in θ, so one Newton step from zero ends where it vanishes."""

    def move(theta):
        adapted = theta
        for _ in range(steps):
            adapted = adapted - inner_lr * curvatures * (adapted - optima)
        if rule == "reptile":
            return (theta - adapted).sum()
        slope = curvatures * (adapted - optima)
        left = (1 - inner_lr * curvatures) ** steps if rule == "maml" else 1
        return (left * slope).sum()

    zero = torch.zeros((), dtype=torch.float64)
    return -move(zero) / torch.func.grad(move)(zero)


def resting_by_loop(curvatures, optima, inner_lr, steps, rule):
    above = below = 0.0
    for a, c in zip(curvatures.tolist(), optima.tolist()):
        left = (1 - inner_lr * a) ** steps
        weight = 1 - left if rule == "reptile" else a * left ** {"maml": 2, "fomaml": 1}[rule]
        above, below = above + weight * c, below + weight
    return np.array(above / below)


RESTING = known_mistakes(
    resting_point,
    """
always maml: [rule] => ["maml"]
    This is MAML's answer; the rules differ.
always fomaml: left**2 => left
    This is FOMAML's answer; MAML has the factor once more.
always reptile: [rule] => ["reptile"]
    This is Reptile's answer; the rules differ.
joint: [rule] => [rule] * 0 + curvatures
    This is the joint optimum; the steps change the weights.
what is left: 1 - left => left
    Your weights are (1 − αa)ᵏ; Reptile counts what was walked, not what is left.
no curvature: curvatures * left**2 => left**2
    MAML's weights have the factor a in front.
no slope: curvatures * left, => left,
    FOMAML's weights have the factor a in front.
one step: ** steps => ** 1
    This is the answer for one step; use `steps`.
off by one: ** steps => ** (steps + 1)
    This is the answer for one step too many.
uphill: (1 - inner => (1 + inner
    Your weights have 1 + αa; a step goes down.
alpha twice: inner_lr * curv => inner_lr**2 * curv
    Your weights have 1 − α²a; α counts once a step.
plain mean: (weights * optima).sum() / weights.sum() => optima.mean()
    This is the plain mean of the optima; weigh them.
return: .sum() / weights.sum() => / weights.sum()
not finite: / weights.sum() => / 0
value: ** steps => ** (steps + 2)
""",
)


def judge_weights(fn: Callable) -> None:
    """Each rule on two tasks and on more, with one step and several, short and long ones."""
    a, c = torch.tensor([1.0, 4.0]).double(), torch.tensor([0.0, 1.0]).double()
    tasks = [(a, c, 0.1, 3), (a, c, 0.1, 1), (a, c, 0.4, 1)]
    for n, inner_lr, steps in ((3, 0.15, 2), (6, 0.1, 4), (40, 0.2, 3)):
        a, c = torch.rand(2, n, generator=seeded(n), dtype=torch.float64) * 4 + 0.2
        tasks.append((a, c - 2, inner_lr, steps))
    for rule in ("maml", "fomaml", "reptile"):
        cases, name = [(*task, rule) for task in tasks], f'your θ for "{rule}"'
        judge_numbers(fn, cases, resting_point, RESTING, names=(name,))


weights = Exercise(
    name="weights",
    title="where three rules come to rest",
    minutes=8,
    difficulty=2,
    stub='''\
def resting_point(curvatures, optima, inner_lr, steps, rule):
    """The θ at which the rule's mean step over the tasks ½ a (θ − c)² is zero.

    curvatures (the a) and optima (the c): float64 (tasks,). rule: "maml", "fomaml"
    or "reptile", each with k = steps inner steps. Returns one number.
    """
    raise NotImplementedError
''',
    judge=judge_weights,
    reference=resting_point,
    praise="One mean of the optima, three kinds of weights.",
    hints=(
        "Each rule's step is a weight times θ − c, summed over tasks. The mean has these weights.",
        "After k steps θₖ − c = (1 − αa)ᵏ (θ − c). FOMAML takes the slope there: a (θₖ − c).",
        "MAML multiplies that by (1 − αa)ᵏ once more; Reptile takes θ − θₖ.",
    ),
    symptom_hints={"what is left": "θ − θₖ = (θ − c) − (θₖ − c), so the weight is 1 − (1 − αa)ᵏ."},
    alternatives=(resting_by_newton, resting_by_loop),
    mutants=mutants_of(RESTING),
)

# ---------------------------------------------------------------- shrink


def best_alpha(spread, noise, k_shot):
    return spread**2 / (spread**2 + noise**2 / k_shot)


def alpha_by_precisions(spread, noise, k_shot):
    prior, data = 1 / spread**2, k_shot / noise**2
    return torch.tensor(data / (prior + data))


def alpha_by_newton(spread, noise, k_shot):
    def risk(inner_lr):
        return ((1 - inner_lr) * spread) ** 2 + (inner_lr * noise) ** 2 / k_shot

    zero = torch.zeros((), dtype=torch.float64)
    return -torch.func.grad(risk)(zero) / torch.func.hessian(risk)(zero)


SHRINKING = known_mistakes(
    best_alpha,
    """
no shots: / k_shot =>
    This is the answer for one point; use K.
not squared: spread**2 / (spread**2 + noise**2 / k_shot) => spread / (spread + noise / k_shot)
    This is a ratio without squares; variances count.
standard error: return => k_shot = k_shot**0.5; spread, noise = spread**0.5, noise**0.5; return
    This is a ratio of standard deviations; variances count.
root: / k_shot => / k_shot**0.5
    You have √K under the noise; σ² is divided by K.
K squared: / k_shot => / k_shot**2
    You have K² under the noise; σ² is divided by K.
upside down: return => return 1 -
    This is 1 − α*, the weight of the start; α is that of the points.
no noise: noise**2 => 0 * noise
    This is 1, as if the sample mean were the truth.
times K: / k_shot => * k_shot
    You have the noise times K; a mean of K has less.
the ratio: (spread**2 + noise**2 / k_shot) => (noise**2 / k_shot)
    This is s²/(σ²/K), which is not below 1.
return: spread**2 / => spread**2,
not finite: return => return torch.inf *
value: / k_shot => / (k_shot + 1)
""",
)


def judge_shrink(fn: Callable) -> None:
    """The numbers of the lab and others."""
    cases = [(0.8, 1.2, 3), (0.8, 1.2, 1), (2.0, 0.5, 5), (0.3, 1.7, 20), (1.1, 0.4, 3)]
    judge_numbers(fn, cases, best_alpha, SHRINKING)


shrink = Exercise(
    name="shrink",
    title="the best step towards a sample mean",
    minutes=6,
    difficulty=1,
    stub='''\
def best_alpha(spread, noise, k_shot):
    """The α with the smallest ½ ((1 − α)² s² + α² σ²/K + σ²), one number.

    spread (s) and noise (σ) are standard deviations, floats; k_shot: K.
    """
    raise NotImplementedError
''',
    judge=judge_shrink,
    reference=best_alpha,
    praise="The posterior mean of a Gaussian: the more points, the longer the step.",
    hints=(
        "Differentiate with respect to α and set it to zero.",
        "The derivative is −(1 − α) s² + α σ²/K. Bring α to one side.",
        "`spread**2 / (spread**2 + noise**2 / k_shot)`",
    ),
    symptom_hints={"upside down": "with no noise at all, α has to be 1."},
    alternatives=(alpha_by_precisions, alpha_by_newton),
    mutants=mutants_of(SHRINKING),
)

# ---------------------------------------------------------------- outer


def outer_step(params, episodes, loss, inner_lr, outer_lr, steps):
    mean = 0.0
    for support, query in episodes:
        adapted = params
        for _ in range(steps):
            grads = torch.func.grad(loss)(adapted, support)
            adapted = {n: p - inner_lr * grads[n] for n, p in adapted.items()}
        mean = mean + loss(adapted, query) / len(episodes)
    outer = torch.autograd.grad(mean, list(params.values()))
    return {n: p - outer_lr * g for (n, p), g in zip(params.items(), outer)}


def outer_by_autograd(params, episodes, loss, inner_lr, outer_lr, steps):
    total = 0.0
    for support, query in episodes:
        adapted = dict(params)
        for _ in range(steps):
            inner = torch.autograd.grad(
                loss(adapted, support), list(adapted.values()), create_graph=True
            )
            adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), inner)}
        total = total + loss(adapted, query)
    outer = torch.autograd.grad(total / len(episodes), list(params.values()))
    return {n: (p - outer_lr * g).detach() for (n, p), g in zip(params.items(), outer)}


def outer_by_sgd(params, episodes, loss, inner_lr, outer_lr, steps):
    leaves = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=outer_lr)
    for support, query in episodes:
        adapted = leaves
        for _ in range(steps):
            grads = torch.func.grad(loss)(adapted, support)
            adapted = {n: p - inner_lr * grads[n] for n, p in adapted.items()}
        (loss(adapted, query) / len(episodes)).backward()
    optimizer.step()
    return leaves


def one_by_one(params, episodes, loss, inner_lr, outer_lr, steps):
    """An outer step after each task: the second task starts elsewhere."""
    for episode in episodes:
        params = outer_step(params, [episode], loss, inner_lr, outer_lr / len(episodes), steps)
    return params


STEPPING = known_mistakes(
    outer_step,
    """
unmoved: p - outer_lr * g => p
    These are the parameters as they were.
first order: inner_lr * grads[n] => inner_lr * grads[n].detach()
    This is what first-order MAML gives: the inner gradients were constants. Keep their graph.
no adaptation: range(steps) => range(0)
    This is what joint training gives; the query judges θ′.
swapped: support, query in => query, support in
    This is the step with support and query exchanged.
support judged: (adapted, query) => (adapted, support)
    This is a step down the support loss; judge on the query set.
query adapted: (adapted, support) => (adapted, query)
    This is what adapting on the query gives; adapt on the support set.
not restored: adapted = params => adapted = adapted if torch.is_tensor(mean) else params
    Your start runs on from task to task; begin each task at `params`.
sum: / len(episodes) =>
    This is a step down the sum over tasks; take the mean.
uphill: - outer_lr => + outer_lr
    This is a step up; the outer loop subtracts the gradient.
alpha outside: outer_lr * g => inner_lr * g
    This is an outer step with α; it has β.
beta inside: inner_lr * grads => outer_lr * grads
    Your inner steps have β; they have α.
alpha twice: inner_lr * grads => inner_lr**2 * grads
    This is the answer for α²: α was applied twice. It counts once a step.
one step: range(steps) => range(1)
    This is the answer for one inner step; use `steps`.
off by one: range(steps) => range(steps + 1)
    This is the answer for one inner step too many.
one short: range(steps) => range(steps - 1)
    This is the answer for one inner step too few.
last task: mean + loss(adapted, query) / len(episodes) => loss(adapted, query)
    This is a step for the last task alone; average over all of them.
return: {n: p - outer_lr => {0: p - outer_lr
shape: p - outer_lr * g => (p - outer_lr * g).flatten()
not finite: outer_lr * g => outer_lr * g / 0
value: - outer_lr => - 3.3 * outer_lr
""",
)
STEPPING["one by one"] = (
    one_by_one,
    "This is an outer step after each task; all tasks start at the same θ.",
)


def wave(params, points):
    """The mean squared error of a wave: other names and shapes than those of `bump`."""
    slow, fast = params["phase"]
    curve = params["height"] * (torch.sin(points.x + slow) + torch.sin(2 * points.x + fast))
    return ((curve - points.y) ** 2).mean()


def outer_cases():
    """Batches of a small network, and of a wave: parameters, episodes, loss, α, β and steps."""
    sizes = {"w1": (1, 3), "b1": (1, 3), "w2": (3, 1)}
    for tasks, shots, *rates in ((3, 4, 0.2, 0.1, 1), (4, 2, 0.15, 0.3, 3), (2, 5, 0.3, 0.05, 2)):
        g = seeded(tasks)

        def draw(*size, g=g):
            return torch.randn(size, generator=g, dtype=torch.float64)

        params = {name: draw(*size).requires_grad_() for name, size in sizes.items()}
        batch = [tuple(Points(*draw(2, n, 1)) for n in (shots, 6)) for _ in range(tasks)]
        yield params, batch, bump, *rates
    params = {name: draw(size).requires_grad_() for name, size in (("phase", 2), ("height", 1))}
    for steps in (0, 2):
        yield params, batch, wave, 0.1, 0.2, steps


def judge_outer(fn: Callable) -> None:
    """One to three inner steps; the answers as long vectors."""
    answers, cases = [], list(outer_cases())
    for params, batch, *rest in cases:
        answer = fn(params, [*batch], *rest)
        same = all(p.requires_grad and p.grad is None for p in params.values())
        text = "Your function leaves a `.grad` on the tensors of `params`, or freezes them: the "
        require(same, "input changed", text + "next `backward()` would add to it.")
        found = flat(read_params(answer, params))
        answers.append(read_numbers(found, "a dictionary of tensors"))

    def run(step: Callable, case: tuple) -> Tensor:
        return flat(step(*case)).detach()

    judge_answers(answers, cases, outer_step, STEPPING, run, (), 1e-6)


outer = Exercise(
    name="outer",
    title="one outer step",
    minutes=12,
    difficulty=3,
    stub='''\
def outer_step(params, episodes, loss, inner_lr, outer_lr, steps):
    """The parameters after one outer step of MAML: a new dictionary.

    params: {name: float64 tensor that requires gradients}. episodes: a list of pairs
    (support, query); loss(params, points) is one number. β is outer_lr.
    """
    raise NotImplementedError
''',
    judge=judge_outer,
    reference=outer_step,
    praise="Adapted on support, judged on query, averaged, and one step down.",
    hints=(
        "Write the mean query loss after adaptation as a function of the parameters.",
        "Its gradient passes through the inner steps: `torch.func.grad`, or `create_graph=True`.",
        "`{n: p - outer_lr * grads[n] for n, p in params.items()}` at the end.",
    ),
    symptom_hints={
        "first order": "`torch.autograd.grad` needs `create_graph=True` in the inner loop.",
        "one by one": "collect the gradients of all tasks first, then move θ once.",
    },
    alternatives=(outer_by_autograd, outer_by_sgd),
    mutants=mutants_of(STEPPING),
)

check = Chapter("04", factor_exercise, steps_exercise, weights, shrink, outer)
