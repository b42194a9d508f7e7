"""Chapter 04, MAML, the mathematics: five exercises with references, right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..tasks import Points
from .engine import Chapter, Exercise, apart, describe, edited, require, seeded, to_tensor


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


def weighted(weights: Tensor, optima: Tensor) -> Tensor:
    return (weights * optima).sum() / weights.sum()


def judge_array(answer, right: Tensor, named: dict[str, tuple], where: str) -> None:
    """A vector or matrix against the right one, and against those that known mistakes give."""
    value = to_tensor(answer)
    good = value is not None and not value.is_sparse and not value.is_complex()
    good = good and value.dtype != torch.bool
    text = f"Your function returned {describe(answer)}; return one tensor of numbers."
    require(good, "return", text)
    text = f"{where} your answer has the shape {tuple(value.shape)}, not {tuple(right.shape)}."
    require(value.shape == right.shape, "shape", text)
    if close(value, right):
        return
    for symptom, (other, words) in named.items():
        require(not close(value, other), symptom, f"{where} you returned {words}.")
    gap = (value.double() - right.detach()).abs()
    place = int(gap.nan_to_num(torch.inf).argmax())
    yours, wanted = (float(v.flatten()[place]) for v in (value, right.detach()))
    finite = abs(yours) < float("inf")
    shown, wanted = apart(yours, wanted) if finite else (yours, f"{wanted:.3f}")
    require(False, "value", f"{where} one number of your answer is {shown}; it should be {wanted}.")


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
    root = torch.randn(d, d, generator=seeded(seed), dtype=torch.float64)
    return root @ root.T / d + 0.3 * torch.eye(d, dtype=torch.float64)


def judge_factor(fn: Callable) -> None:
    """One to four parameters, one to five steps, and none."""
    for d, inner_lr, steps in ((2, 0.2, 3), (3, 0.1, 2), (1, 0.4, 1), (4, 0.15, 5), (2, 0.3, 0)):
        case = random_curvature(d, d), inner_lr, steps
        where = f"With {d} parameter{'s' * (d > 1)}, α = {inner_lr} and {steps} steps"
        judge_array(fn(*case), factor(*case), factor_mistakes(*case), where)


def factor_mistakes(a: Tensor, inner_lr: float, steps: int) -> dict[str, tuple]:
    eye, less = torch.eye(len(a), dtype=a.dtype), max(steps - 1, 0)
    each = (eye - inner_lr * a) ** steps

    def at(k, rate=inner_lr):
        return factor(a, rate, k)

    return {
        "element by element": (each, "each number to the power k; multiply the matrices"),
        "one long step": (at(1, steps * inner_lr), "I − kαA, one step k times as long"),
        "uphill": (at(steps, -inner_lr), "(I + αA)ᵏ; a step goes down"),
        "one step": (at(1), "the factor of one step; use `steps`"),
        "squared": (at(2 * steps), "(I − αA)²ᵏ, what is left of the loss; the power is k"),
        "off by one": (at(steps + 1), "the factor of one step too many; the power is k"),
        "one short": (at(less), "the factor of one step too few; the power is k"),
        "what is gone": (eye - at(steps), "I − (I − αA)ᵏ, what the steps have walked"),
    }


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
    mutants={
        "element by element": edited(
            factor,
            "torch.linalg.matrix_power(eye - inner_lr * curvature, steps)",
            "(eye - inner_lr * curvature) ** steps",
        ),
        "one long step": lambda curvature, inner_lr, steps: factor(curvature, steps * inner_lr, 1),
        "uphill": edited(factor, "eye - inner_lr", "eye + inner_lr"),
        "one step": edited(factor, ", steps)\n", ", 1)\n"),
        "squared": edited(factor, ", steps)\n", ", 2 * steps)\n"),
        "off by one": edited(factor, ", steps)\n", ", steps + 1)\n"),
        "one short": edited(factor, ", steps)\n", ", max(steps - 1, 0))\n"),
        "what is gone": edited(factor, "return ", "return eye - "),
        "shape": lambda curvature, *rest: factor(curvature, *rest).diagonal(),
        "value": edited(factor, "eye - inner_lr", "eye - 2 * inner_lr"),
        "return": lambda curvature, inner_lr, steps: (curvature, steps),
    },
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


def surface(points: Tensor):
    """A smooth loss of three parameters whose Hessian turns from place to place."""

    def loss(theta):
        curve = theta[0] * torch.tanh(theta[1] * points[0] + theta[2])
        return ((curve - points[1]) ** 2).mean()

    return torch.func.grad(loss), torch.func.hessian(loss)


STEP_CASES = ((3, 0.3), (1, 0.3), (2, 0.4), (5, 0.25), (0, 0.2))


def judge_steps(fn: Callable) -> None:
    """One step, several and none, on losses that are not quadratic."""
    for steps, inner_lr in STEP_CASES:
        g = seeded(steps)
        support, query = torch.randn(2, 2, 6, generator=g, dtype=torch.float64)
        theta = torch.tensor([1.1, 0.7, -0.4], dtype=torch.float64)
        theta = theta + 0.1 * torch.randn(3, generator=g, dtype=torch.float64)
        case = (theta, *surface(support), surface(query)[0], inner_lr, steps)
        where = f"With α = {inner_lr} and {steps} step{'s' * (steps != 1)}"
        judge_array(fn(*case), meta_gradient(*case), step_mistakes(*case), where)


def step_mistakes(*case) -> dict[str, tuple]:
    return {**wrong_walks(*case), **wrong_factors(*case)}


def wrong_walks(theta, gradient, hessian, query, inner_lr, steps) -> dict[str, tuple]:
    def at(k, q=query, s=gradient):
        return meta_gradient(theta, s, hessian, q, inner_lr, k)

    flat = at(steps, q=lambda _: query(theta))
    return {
        "no step": (query(theta), "the gradient at the start, as if no step were made"),
        "query at the start": (flat, "the query gradient at θ; take it at θₖ"),
        "support judged": (at(steps, q=gradient), "the support's gradient at θₖ, not the query's"),
        "query adapted": (at(steps, s=query), "what steps down the query loss give"),
        "one step": (at(1), "the answer for one step; use `steps`"),
        "off by one": (at(steps + 1), "the answer for one step too many"),
        "one short": (at(max(steps - 1, 0)), "the answer for one step too few"),
        "negative": (-at(steps), "minus the gradient; the outer loop subtracts it later"),
    }


def wrong_factors(theta, gradient, hessian, query, inner_lr, steps) -> dict[str, tuple]:
    visited = [theta]
    for _ in range(steps):
        visited.append(visited[-1] - inner_lr * gradient(visited[-1]))
    pull = query(visited[-1])

    def through(points, rate=inner_lr):
        value = pull
        for point in reversed(points):
            value = value - rate * hessian(point) @ value
        return value

    *before, last = visited
    late, turned = through(visited[1:]), through(before[::-1])
    return {
        "first order": (pull, "∇L(θₖ) without the factors: this is first-order MAML"),
        "one Hessian": (through([theta] * steps), "one Hessian, that at the start, for all steps"),
        "last Hessian": (through([last] * steps), "the Hessian at the adapted point for all steps"),
        "late Hessians": (late, "Hessians at the points after each step; take them before it"),
        "order": (turned, "the product in the wrong order; the first step's factor stands left"),
        "uphill": (through(before, -inner_lr), "factors I + αH; the step has a minus"),
        "alpha twice": (through(before, 2 * inner_lr), "factors I − 2αH; α counts once a step"),
    }


STEP = "factor @ (eye - inner_lr * support_hessian(theta))"
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
    mutants={
        "first order": edited(meta_gradient, STEP, "eye"),
        "no step": lambda theta, s, h, q, inner_lr, steps: q(theta),
        "query at the start": lambda theta, s, h, q, inner_lr, steps: meta_gradient(
            theta, s, h, lambda _: q(theta), inner_lr, steps
        ),
        "one Hessian": lambda theta, s, h, *rest: meta_gradient(
            theta, s, lambda _: h(theta), *rest
        ),
        "last Hessian": lambda theta, s, h, q, inner_lr, steps: step_mistakes(
            theta, s, h, q, inner_lr, steps
        )["last Hessian"][0],
        "late Hessians": edited(
            meta_gradient,
            "support_hessian(theta)",
            "support_hessian(\n            theta - inner_lr * support_gradient(theta))",
        ),
        "order": edited(meta_gradient, STEP, "(eye - inner_lr * support_hessian(theta)) @ factor"),
        "uphill": edited(meta_gradient, "(eye - ", "(eye + "),
        "alpha twice": edited(meta_gradient, "(eye - inner_lr", "(eye - 2 * inner_lr"),
        "support judged": edited(meta_gradient, "@ query_gradient", "@ support_gradient"),
        "query adapted": edited(meta_gradient, "* support_gradient", "* query_gradient"),
        "one step": edited(meta_gradient, "range(steps)", "range(1)"),
        "off by one": edited(meta_gradient, "range(steps)", "range(steps + 1)"),
        "one short": edited(meta_gradient, "range(steps)", "range(steps - 1)"),
        "negative": edited(meta_gradient, "return factor", "return -factor"),
        "shape": edited(meta_gradient, "@ query_gradient(theta)", ""),
        "return": lambda theta, *rest: (theta, meta_gradient(theta, *rest)[:1]),
        "value": edited(
            meta_gradient, "- inner_lr * support_gradient", "+ inner_lr * support_gradient"
        ),
    },
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


def rule_cases():
    a, c = torch.tensor([1.0, 4.0]).double(), torch.tensor([0.0, 1.0]).double()
    yield from ((a, c, 0.1, 3), (a, c, 0.1, 1), (a, c, 0.4, 1))
    for n, inner_lr, steps in ((3, 0.15, 2), (6, 0.1, 4), (40, 0.2, 3)):
        a, c = torch.rand(2, n, generator=seeded(n), dtype=torch.float64) * 4 + 0.2
        yield a, c - 2, inner_lr, steps


def judge_weights(fn: Callable) -> None:
    """The three rules on two tasks and on more, with one step and several."""
    for a, c, inner_lr, steps in rule_cases():
        for rule in ("maml", "fomaml", "reptile"):
            case = a, c, inner_lr, steps, rule
            where = f'For rule "{rule}", {len(a)} tasks, α = {inner_lr} and {steps} steps'
            judge_number(fn(*case), resting_point(*case), weight_mistakes(*case), where)


def weight_mistakes(a, c, inner_lr, steps, rule) -> dict[str, tuple]:
    def of(left):
        return {"maml": a * left**2, "fomaml": a * left, "reptile": 1 - left}

    once = 1 - inner_lr * a
    left, up = once**steps, (1 + inner_lr * a) ** steps
    wrong = {
        "always maml": (of(left)["maml"], "MAML's answer; the rules differ"),
        "always fomaml": (of(left)["fomaml"], "FOMAML's answer; MAML has the factor once more"),
        "always reptile": (of(left)["reptile"], "Reptile's answer; the rules differ"),
        "joint": (a, "the joint optimum; the steps change the weights"),
        "what is left": (
            left,
            "weights (1 − αa)ᵏ; Reptile counts what was walked, not what is left",
        ),
        "no curvature": (left**2, "weights without the factor a in front"),
        "one step": (of(once)[rule], "the answer for one step; use `steps`"),
        "uphill": (of(up)[rule], "weights with 1 + αa; a step goes down"),
        "plain mean": (torch.ones_like(a), "the plain mean of the optima; weigh them"),
    }
    return {symptom: (weighted(w, c), words) for symptom, (w, words) in wrong.items()}


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
    mutants={
        "always maml": edited(resting_point, "[rule]", '["maml"]'),
        "always fomaml": edited(resting_point, "left**2", "left"),
        "always reptile": edited(resting_point, "[rule]", '["reptile"]'),
        "joint": lambda curvatures, optima, *rest: (curvatures * optima).sum() / curvatures.sum(),
        "what is left": edited(resting_point, "1 - left,", "left,"),
        "no curvature": edited(resting_point, "curvatures * left**2", "left**2"),
        "one step": edited(resting_point, "** steps", "** 1"),
        "uphill": edited(resting_point, "(1 - inner", "(1 + inner"),
        "plain mean": lambda curvatures, optima, *rest: optima.mean(),
        "return": edited(resting_point, "(weights * optima).sum() /", "weights * optima /"),
        "value": edited(resting_point, "** steps", "** (steps + 1)"),
    },
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


def judge_shrink(fn: Callable) -> None:
    """The numbers of the lab and others."""
    for s, n, k in ((0.8, 1.2, 3), (0.8, 1.2, 1), (2.0, 0.5, 5), (0.3, 1.7, 20)):
        named = {
            "no shots": (s**2 / (s**2 + n**2), "the answer for one point; use K"),
            "not squared": (s / (s + n / k), "a ratio without squares; variances count"),
            "standard error": (
                s / (s + n / k**0.5),
                "a ratio of standard deviations; variances count",
            ),
            "root": (s**2 / (s**2 + n**2 / k**0.5), "√K under the noise; σ² is divided by K"),
            "K squared": (s**2 / (s**2 + (n / k) ** 2), "K² under the noise; σ² is divided by K"),
            "upside down": (
                (n**2 / k) / (s**2 + n**2 / k),
                "1 − α*, the weight of the start; α is that of the points",
            ),
            "no noise": (1.0, "1, as if the sample mean were the truth"),
            "times K": (s**2 / (s**2 + k * n**2), "the noise times K; a mean of K has less"),
            "the ratio": (k * s**2 / n**2, "s²/(σ²/K), which is not below 1"),
        }
        where = f"For s = {s}, σ = {n} and K = {k}"
        judge_number(fn(s, n, k), torch.tensor(best_alpha(s, n, k)).double(), named, where)


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
    mutants={
        "no shots": edited(best_alpha, " / k_shot", ""),
        "not squared": lambda spread, noise, k_shot: spread / (spread + noise / k_shot),
        "standard error": lambda spread, noise, k_shot: spread / (spread + noise / k_shot**0.5),
        "root": edited(best_alpha, "/ k_shot", "/ k_shot**0.5"),
        "K squared": edited(best_alpha, "/ k_shot", "/ k_shot**2"),
        "upside down": lambda *given: 1 - best_alpha(*given),
        "no noise": lambda spread, noise, k_shot: 1.0,
        "times K": edited(best_alpha, "/ k_shot", "* k_shot"),
        "the ratio": lambda spread, noise, k_shot: k_shot * spread**2 / noise**2,
        "return": lambda spread, noise, k_shot: (spread**2, noise**2 / k_shot),
        "value": edited(best_alpha, "/ k_shot", "/ (k_shot + 1)"),
    },
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


def shifted_outer(params, episodes, loss, inner_lr, outer_lr, steps):
    """The inner steps for constants: θ′ is θ plus a fixed shift."""

    def meta_loss(p):
        total = 0.0
        for support, query in episodes:
            fixed = {n: v.detach() for n, v in params.items()}
            adapted = fixed
            for _ in range(steps):
                grads = torch.func.grad(loss)(adapted, support)
                adapted = {n: v - inner_lr * grads[n] for n, v in adapted.items()}
            total = total + loss({n: p[n] + adapted[n] - fixed[n] for n in p}, query)
        return total / len(episodes)

    grads = torch.func.grad(meta_loss)({n: v.detach() for n, v in params.items()})
    return {n: p - outer_lr * grads[n] for n, p in params.items()}


def bump(params, points):
    """The mean squared error of a small tanh network."""
    hidden = torch.tanh(points.x @ params["w1"] + params["b1"])
    return ((hidden @ params["w2"] - points.y) ** 2).mean()


def outer_cases():
    for tasks, shots, inner_lr, outer_lr, steps in (
        (3, 4, 0.2, 0.1, 1),
        (4, 2, 0.15, 0.3, 3),
        (2, 5, 0.3, 0.05, 2),
    ):
        g = seeded(tasks)
        sizes = {"w1": (1, 3), "b1": (1, 3), "w2": (3, 1)}
        params = {
            n: torch.randn(size, generator=g, dtype=torch.float64).requires_grad_()
            for n, size in sizes.items()
        }
        batch = [
            tuple(
                Points(*torch.randn(2, n, 1, generator=g, dtype=torch.float64)) for n in (shots, 6)
            )
            for _ in range(tasks)
        ]
        yield params, batch, bump, inner_lr, outer_lr, steps


def flat(params) -> Tensor:
    return torch.cat([to_tensor(p).flatten() for p in params.values()])


def judge_outer(fn: Callable) -> None:
    """Batches of a small network, one to three inner steps."""
    for case in outer_cases():
        params, batch, _, inner_lr, outer_lr, steps = case
        before = {n: p.detach().clone() for n, p in params.items()}
        answer, right = fn(*case), outer_step(*case)
        same = all(torch.equal(before[n], p) for n, p in params.items())
        advice = "Your function changes `params` itself; return a new dictionary."
        require(same, "input changed", advice)
        text = f"Your function returned {describe(answer)}; return a dictionary like `params`."
        require(isinstance(answer, dict) and answer.keys() == params.keys(), "return", text)
        found = {n: to_tensor(answer[n]) for n in params}
        text = "The tensors you returned do not have the shapes of those in `params`."
        good = all(v is not None and v.shape == params[n].shape for n, v in found.items())
        require(good, "shape", text)
        where = f"After one outer step on {len(batch)} tasks (α = {inner_lr}, β = {outer_lr}, "
        where += f"{steps} step{'s' * (steps != 1)})"
        named = {s: (flat(wrong), words) for s, (wrong, words) in outer_mistakes(*case).items()}
        judge_array(flat(found), flat(right), named, where)


def outer_mistakes(params, batch, loss, inner_lr, outer_lr, steps) -> dict[str, tuple]:
    def at(b=batch, lr=inner_lr, rate=outer_lr, k=steps):
        return outer_step(params, b, loss, lr, rate, k)

    case = params, batch, loss, inner_lr, outer_lr, steps
    constants = "what first-order MAML gives: the inner gradients were constants. Keep their graph"
    serial = "an outer step after each task; all tasks start at the same θ"
    return {
        "unmoved": (params, "the parameters as they were"),
        "first order": (shifted_outer(*case), constants),
        "no adaptation": (at(k=0), "what joint training gives; the query judges θ′"),
        "swapped": (at([(q, s) for s, q in batch]), "the step with support and query exchanged"),
        "support judged": (at([(s, s) for s, _ in batch]), "a step down the support loss"),
        "query adapted": (at([(q, q) for _, q in batch]), "what adapting on the query gives"),
        "sum": (at(rate=outer_lr * len(batch)), "a step down the sum over tasks; take the mean"),
        "uphill": (at(rate=-outer_lr), "a step up; the outer loop subtracts the gradient"),
        "alpha outside": (at(rate=inner_lr), "an outer step with α; it has β"),
        "beta inside": (at(lr=outer_lr), "inner steps with β; they have α"),
        "alpha twice": (at(lr=inner_lr**2), "the answer for α²; α counts once a step"),
        "one step": (at(k=1), "the answer for one inner step; use `steps`"),
        "off by one": (at(k=steps + 1), "the answer for one inner step too many"),
        "last task": (at(batch[-1:]), "a step for the last task alone; average over all of them"),
        "one by one": (one_by_one(*case), serial),
    }


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
    mutants={
        "unmoved": lambda params, *rest: dict(params),
        "first order": edited(
            outer_step, "p - inner_lr * grads[n]", "p - inner_lr * grads[n].detach()"
        ),
        "no adaptation": edited(outer_step, "loss(adapted, query)", "loss(params, query)"),
        "swapped": edited(outer_step, "for support, query", "for query, support"),
        "support judged": edited(outer_step, "loss(adapted, query)", "loss(adapted, support)"),
        "query adapted": edited(outer_step, "(adapted, support)", "(adapted, query)"),
        "sum": edited(outer_step, " / len(episodes)", ""),
        "uphill": edited(outer_step, "p - outer_lr", "p + outer_lr"),
        "alpha outside": edited(outer_step, "p - outer_lr", "p - inner_lr"),
        "beta inside": edited(outer_step, "p - inner_lr", "p - outer_lr"),
        "alpha twice": edited(outer_step, "p - inner_lr", "p - inner_lr * inner_lr"),
        "one step": edited(outer_step, "range(steps)", "range(1)"),
        "off by one": edited(outer_step, "range(steps)", "range(steps + 1)"),
        "last task": edited(
            outer_step, "mean + loss(adapted, query) / len(episodes)", "loss(adapted, query)"
        ),
        "one by one": one_by_one,
        "return": lambda params, *rest: flat(params),
        "shape": lambda params, *rest: {
            n: p.flatten() for n, p in outer_step(params, *rest).items()
        },
        "value": edited(outer_step, "p - outer_lr", "p - 3.3 * outer_lr"),
    },
)

check = Chapter("04", factor_exercise, steps_exercise, weights, shrink, outer)
