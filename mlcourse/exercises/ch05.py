"""Chapter 05, MAML, the code: six exercises with references, right and wrong answers."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from ..tasks import Episode, Points
from .engine import (
    Chapter,
    Exercise,
    bump,
    close,
    describe,
    edited,
    flat,
    judge_answers,
    judge_flow,
    known_mistakes,
    mutants_of,
    pulled,
    read_params,
    read_table,
    read_truth,
    require,
    seeded,
    to_tensor,
)


def network(seed: int) -> dict[str, Tensor]:
    g, sizes = seeded(seed), {"w1": (1, 3), "b1": (1, 3), "w2": (3, 1)}
    drawn = {n: torch.randn(size, generator=g, dtype=torch.float64) for n, size in sizes.items()}
    return {n: p.requires_grad_() for n, p in drawn.items()}


def some_points(*shape: int, seed: int) -> Points:
    return Points(*torch.randn(2, *shape, 1, generator=seeded(seed), dtype=torch.float64))


def kept(params: dict) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in params.items()}


# ---------------------------------------------------------------- adapt


def adapt_each(loss, params, support, inner_lrs, steps):
    for _ in range(steps):
        grads = torch.func.grad(loss)(params, support)
        params = {n: p - inner_lrs[n] * grads[n] for n, p in params.items()}
    return params


def adapt_by_autograd(loss, params, support, inner_lrs, steps):
    adapted = dict(params)
    for _ in range(steps):
        values = list(adapted.values())
        found = torch.autograd.grad(loss(adapted, support), values, create_graph=True)
        adapted = {n: p - inner_lrs[n] * g for (n, p), g in zip(adapted.items(), found)}
    return adapted


def adapt_by_recursion(loss, params, support, inner_lrs, steps):
    if steps == 0:
        return params
    before = adapt_by_recursion(loss, params, support, inner_lrs, steps - 1)
    grads = grad(loss)(before, support)
    return {n: torch.sub(before[n], inner_lrs[n] * grads[n]) for n in before}


def adapt_from_the_start(loss, params, support, inner_lrs, steps):
    grads = grad(loss)(params, support)
    return {n: p - steps * inner_lrs[n] * grads[n] for n, p in params.items()}


def adapt_in_place(loss, params, support, inner_lrs, steps):
    for _ in range(steps):
        grads = grad(loss)(params, support)
        with torch.no_grad():
            for n, p in params.items():
                p -= inner_lrs[n] * grads[n]
    return params


ADAPTING = known_mistakes(
    adapt_each,
    """
no step: range(steps) => range(0)
    This is the start; take `steps` steps.
one step: range(steps) => range(1)
    This is θ′ after one step; use `steps`.
one short: range(steps) => range(steps - 1)
    This is θ′ after one step too few.
off by one: range(steps) => range(steps + 1)
    This is θ′ after one step too many.
uphill: p - inner_lrs => p + inner_lrs
    Your steps go up the gradient; subtract it.
alpha twice: inner_lrs[n] * grads => inner_lrs[n] ** 2 * grads
    Your steps are α² times the gradient: α is applied twice.
one rate: inner_lrs[n] * => next(iter(inner_lrs.values())) *
    Every tensor steps with the first rate; each has its own, `inner_lrs[name]`.
return: return params => return list(params.values())
shape: return params => return {n: p.flatten() for n, p in params.items()}
value: p - inner_lrs => 0.99 * p - inner_lrs
""",
)
ADAPTING["start's gradient"] = (
    adapt_from_the_start,
    "Every step has the gradient at the start; take it where the last step ended.",
)
ADAPTING_GRAPH = known_mistakes(
    adapt_each,
    """
cut: return params => return {n: p.detach() for n, p in params.items()}
    The numbers are right, but no gradient flows back to `params`: the graph was cut.
cut in each step: p - inner_lrs[n] * grads[n] => (p - inner_lrs[n] * grads[n]).detach()
    The numbers are right, but each step cuts the graph: no gradient flows back through it.
first order: inner_lrs[n] * grads[n] => inner_lrs[n] * grads[n].detach()
    The numbers are right, but the inner gradients are constants: this is first-order MAML.
rates cut: inner_lrs[n] * => inner_lrs[n].detach() *
    The numbers are right, but no gradient flows back to the rates.
last step only: (params, support) => (params := kept(params), support)
    The numbers are right, but only the last step is in the graph.
""",
)


def adapt_case(shots: int, steps: int) -> tuple:
    params = network(shots)
    rates = torch.linspace(0.05, 0.3, 3, dtype=torch.float64)
    names = reversed(params) if steps % 2 else params  # rates go by name, not by place
    rates = {n: rate.clone().requires_grad_() for n, rate in zip(names, rates)}
    return bump, params, some_points(shots, seed=steps), rates, steps


def moved(fn: Callable, case: tuple) -> Tensor:
    return flat(read_params(fn(*case), case[1])).detach().double()


def flow(fn: Callable, case: tuple) -> Tensor:
    """The gradient with respect to the start and to the rates."""
    answer = flat(read_params(fn(*case), case[1]))
    return pulled(answer, [*case[1].values(), *case[3].values()])


def judge_adapt(fn: Callable) -> None:
    """None, one and several steps: the numbers, then what flows back through them."""
    cases = [adapt_case(*sizes) for sizes in ((4, 1), (5, 3), (1, 2), (3, 0), (2, 5))]
    answers = [moved(fn, case) for case in cases]
    judge_answers(answers, cases, adapt_each, ADAPTING, moved, within=1e-6)
    flows = [flow(fn, case) for case in cases]
    judge_answers(flows, cases, adapt_each, ADAPTING_GRAPH, flow, ("the gradient",), 1e-6)


adapt_exercise = Exercise(
    name="adapt",
    title="k steps, a rate for each tensor",
    minutes=10,
    difficulty=2,
    stub='''\
def adapt_each(loss, params, support, inner_lrs, steps):
    """The parameters after `steps` gradient steps on the support set, a new dictionary.

    params: {name: tensor}; inner_lrs: {name: α of that tensor}, tensors of one number.
    loss(params, support) is one number. Gradients flow back to params and to the rates.
    """
    raise NotImplementedError
''',
    judge=judge_adapt,
    reference=adapt_each,
    praise="Pure, differentiable, and every tensor walks at its own pace.",
    hints=(
        "`torch.func.grad(loss)(params, support)` is a dictionary of gradients.",
        "One step makes a new dictionary: `{n: p - inner_lrs[n] * grads[n] for n, p in …}`.",
        "Assign it to `params` inside the loop, so that the next gradient is taken there.",
    ),
    symptom_hints={
        "first order": "`torch.autograd.grad` needs `create_graph=True`; `torch.func` does not.",
        "input changed": "`p -= …` and `p.data` write into the learner's start; `p - …` does not.",
    },
    alternatives=(adapt_by_autograd, adapt_by_recursion),
    mutants=mutants_of(ADAPTING, ADAPTING_GRAPH) | {"input changed": adapt_in_place},
)

# ---------------------------------------------------------------- losses: all tasks at once


def losses_after(loss, params, episodes, inner_lr, steps, first_order):
    def after_adapting(support, query):
        adapted = params
        for _ in range(steps):
            grads = torch.func.grad(loss)(adapted, support)
            if first_order:
                grads = {n: g.detach() for n, g in grads.items()}
            adapted = {n: p - inner_lr * grads[n] for n, p in adapted.items()}
        return loss(adapted, query)

    return torch.func.vmap(after_adapting)(*episodes)


def losses_by_loop(loss, params, episodes, inner_lr, steps, first_order):
    (sx, sy), (qx, qy) = episodes
    found = []
    for task in range(len(qx)):
        p = params
        for _ in range(steps):
            inner = loss(p, Points(sx[task], sy[task]))
            grads = torch.autograd.grad(inner, [*p.values()], create_graph=not first_order)
            p = {n: v - inner_lr * g for (n, v), g in zip(p.items(), grads)}
        found.append(loss(p, Points(qx[task], qy[task])))
    return torch.stack(found)


def losses_by_flag(loss, params, episodes, inner_lr, steps, first_order):
    def one(episode):
        support, query = episode
        p = params
        for _ in range(steps):
            at = {n: v.detach() for n, v in p.items()} if first_order else p
            grads = grad(loss)(at, support)
            p = {n: v - inner_lr * grads[n] for n, v in p.items()}
        return loss(p, query)

    return vmap(one)(tuple(episodes))


def losses_carried(loss, params, episodes, inner_lr, steps, first_order):
    """Each task begins where the last one ended."""
    (sx, sy), (qx, qy) = episodes
    found = []
    for task in range(len(qx)):
        for _ in range(steps):
            grads = grad(loss)(params, Points(sx[task], sy[task]))
            params = {n: v - inner_lr * grads[n] for n, v in params.items()}
        found.append(loss(params, Points(qx[task], qy[task])))
    return torch.stack(found)


LOSING = known_mistakes(
    losses_after,
    """
no adaptation: range(steps) => range(0)
    These are the losses at the start; adapt first.
support judged: loss(adapted, query) => loss(adapted, support)
    These are the losses on the support set; judge on the query set.
query adapted: (adapted, support) => (adapted, query)
    You adapted on the query set; adapt on the support set.
swapped: def after_adapting(support, query) => def after_adapting(query, support)
    These are the losses with support and query exchanged.
uphill: p - inner_lr => p + inner_lr
    Your steps go up the gradient; subtract it.
alpha twice: inner_lr * grads => inner_lr**2 * grads
    Your steps are α² times the gradient: α is applied twice.
one step: range(steps) => range(1)
    These are the losses after one step; use `steps`.
off by one: range(steps) => range(steps + 1)
    These are the losses after one step too many.
one short: range(steps) => range(steps - 1)
    These are the losses after one step too few.
start's gradient: torch.func.grad(loss)(adapted => torch.func.grad(loss)(params
    Every step has the gradient at the start; take it where the last step ended.
return: return torch.func.vmap(after_adapting)(*episodes) => return None
shape: (*episodes) => (*episodes).mean()
value: p - inner_lr => p - 1.1 * inner_lr
""",
)
LOSING["carried over"] = (
    losses_carried,
    "Each of your tasks begins where the last one ended; all begin at `params`.",
)
LOSING_GRAPH = known_mistakes(
    losses_after,
    """
keyword ignored: if first_order => if False
    The losses are right, but `first_order` makes no difference to their gradient.
always first order: if first_order => if True
    The losses are right, but their gradient is first order in either case.
upside down: if first_order => if not first_order
    The losses are right, but `first_order` does the opposite of what it says.
cut: return loss(adapted, => return loss({n: p.detach() for n, p in adapted.items()},
    The losses are right, but no gradient flows back to `params`: the graph was cut.
""",
)
LOSING_GRAPH["cut at first order"] = (
    edited(
        losses_after,
        "p - inner_lr * grads[n] for n, p in adapted.items()}",
        "(p - inner_lr * grads[n]).detach() if first_order else p - inner_lr * grads[n] "
        "for n, p in adapted.items()}",
    ),
    "The losses are right, but with `first_order` each step cuts the graph; detach its gradient, "
    "not where it ends.",
)
LOSING_GRAPH["too much"] = (
    edited(
        losses_after,
        "grads = {n: g.detach() for n, g in grads.items()}",
        "adapted = {n: p.detach() for n, p in adapted.items()}",
    ),
    "The losses are right, but with `first_order` no gradient is left: the inner gradients are "
    "constants, not the parameters.",
)


def losses_case(tasks: int, shots: int, inner_lr: float, steps: int, first_order: bool) -> tuple:
    episodes = Episode(some_points(tasks, shots, seed=tasks), some_points(tasks, 6, seed=shots))
    return bump, network(tasks + shots), episodes, inner_lr, steps, first_order


def judge_losses(fn: Callable) -> None:
    """A number for each task, then the gradient, with the keyword and without it."""
    sizes = (3, 4, 0.2, 1), (4, 2, 0.15, 3), (1, 5, 0.3, 2), (5, 1, 0.1, 0)
    cases = [losses_case(*size, first) for size in sizes for first in (False, True)]
    answers = [fn(*case) for case in cases]
    for answer, case in zip(answers, cases):
        text = f"Your function returned {describe(answer)}; return one tensor."
        require(isinstance(answer, Tensor), "return", text)
        n = len(case[2].query.y)
        text = f"With {n} tasks your answer has the shape {tuple(answer.shape)}; return ({n},)."
        require(answer.shape == (n,), "shape", text)
    found = [answer.detach().double() for answer in answers]
    judge_answers(found, cases, losses_after, LOSING, within=1e-6)
    judge_flow(answers, cases, losses_after, LOSING_GRAPH, lambda case: [*case[1].values()])


losses = Exercise(
    name="losses",
    title="all tasks at once, and first order by a keyword",
    minutes=10,
    difficulty=2,
    stub='''\
def losses_after(loss, params, episodes, inner_lr, steps, first_order):
    """The query loss of each task after its own steps on its support set, (tasks,).

    episodes: (support, query), Points with a leading task dimension.
    first_order: take the inner gradients for constants; the losses stay the same.
    """
    raise NotImplementedError
''',
    judge=judge_losses,
    reference=losses_after,
    praise="One task written down, all tasks done, and FOMAML is one keyword away.",
    hints=(
        "Write a function of one task's (support, query) first; no loop over tasks in it.",
        "`torch.func.vmap(after_adapting)(*episodes)` sends all tasks through it.",
        "For first order, `detach` the inner gradients before the step.",
    ),
    symptom_hints={
        "too much": "θ′ = θ − α · constant: its derivative with respect to θ is the identity.",
        "carried over": "`adapted = params` is the first line for every task.",
    },
    alternatives=(losses_by_loop, losses_by_flag),
    mutants=mutants_of(LOSING, LOSING_GRAPH)
    | {
        "input changed": lambda loss, params, episodes, *rest: [
            losses_after(loss, params, episodes, *rest),
            [p.data.add_(0.1) for p in params.values()],
        ][0]
    },
)

# ---------------------------------------------------------------- train: the outer loop


def meta_train(meta_loss, params, draw, outer_lr, steps):
    learned = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    optimizer = torch.optim.Adam(learned.values(), lr=outer_lr)
    for _ in range(steps):
        loss = meta_loss(learned, draw())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return learned


def train_by_grad(meta_loss, params, draw, outer_lr, steps):
    """Adam by hand, from its paper."""
    learned = {n: p.detach() for n, p in params.items()}
    first = {n: torch.zeros_like(p) for n, p in learned.items()}
    second = dict(first)
    for t in range(1, steps + 1):
        grads = grad(meta_loss)(learned, draw())
        first = {n: 0.9 * first[n] + 0.1 * g for n, g in grads.items()}
        second = {n: 0.999 * second[n] + 0.001 * g**2 for n, g in grads.items()}
        scaled = {n: (second[n] / (1 - 0.999**t)).sqrt() + 1e-8 for n in learned}
        learned = {
            n: p - outer_lr * first[n] / (1 - 0.9**t) / scaled[n] for n, p in learned.items()
        }
    return learned


def train_by_assignment(meta_loss, params, draw, outer_lr, steps):
    learned = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    optimizer = torch.optim.Adam(list(learned.values()), outer_lr, foreach=False)
    for _ in range(steps):
        found = torch.autograd.grad(meta_loss(learned, draw()), list(learned.values()))
        for p, g in zip(learned.values(), found):
            p.grad = g
        optimizer.step()
    return {n: p.detach() for n, p in learned.items()}


def train_with_one_batch(meta_loss, params, draw, outer_lr, steps):
    episodes = draw()
    return meta_train(meta_loss, params, lambda: episodes, outer_lr, steps)


def train_with_fresh_adam(meta_loss, params, draw, outer_lr, steps):
    for _ in range(steps):
        params = meta_train(meta_loss, params, draw, outer_lr, 1)
    return params


TRAINING = known_mistakes(
    meta_train,
    """
unmoved: optimizer.step() => pass
    This is the start; the optimiser never stepped.
gradients pile up: optimizer.zero_grad() => pass
    The gradients of all steps pile up; empty them before each `backward()`.
not Adam: torch.optim.Adam( => torch.optim.SGD(
    This is what plain gradient steps give; the outer loop has Adam.
uphill: loss.backward() => (-loss).backward()
    Your steps climb; minimise the meta-loss.
one step fewer: range(steps) => range(steps - 1)
    This is one outer step too few.
one step more: range(steps) => range(steps + 1)
    This is one outer step too many.
return: return learned => return list(learned.values())
shape: return learned => return {n: p.sum() for n, p in learned.items()}
value: lr=outer_lr => lr=1.3 * outer_lr
""",
) | {
    "one batch": (
        train_with_one_batch,
        "Every step saw the same tasks; call `draw()` in each step.",
    ),
    "fresh optimiser": (
        train_with_fresh_adam,
        "Adam forgot its averages after every step; make the optimiser once, before the loop.",
    ),
}


def mean_loss(params, episodes):
    return losses_after(bump, params, episodes, 0.1, 1, False).mean()


class Draw:
    """draw() gives one meta-batch after the other, the same ones for every answer."""

    def __init__(self):
        self.seed = 0

    def __call__(self) -> Episode:
        self.seed += 1
        return losses_case(3, 3 + self.seed, 0.1, 1, False)[2]


def trained(fn: Callable, case: tuple) -> Tensor:
    """The tensors after a run whose `draw` begins anew."""
    case[2].seed = 0
    return flat(read_params(fn(*case), case[1])).detach().double()


def judge_train(fn: Callable) -> None:
    """A few outer steps from three starts, and none; every meta-batch drawn is one step's."""
    sizes = (1, 0.05, 4), (2, 0.01, 7), (3, 0.1, 2), (4, 0.1, 0)
    cases = [(mean_loss, network(seed), Draw(), *rest) for seed, *rest in sizes]
    answers = [trained(fn, case) for case in cases]
    draws = [case[2].seed for case in cases]
    for case in cases:
        text = "Your function leaves a `.grad` on the tensors of `params`; work on copies."
        require(all(p.grad is None for p in case[1].values()), "input changed", text)
    judge_answers(answers, cases, meta_train, TRAINING, trained, within=1e-6)
    wasted = [drawn - case[4] for drawn, case in zip(draws, cases)]
    text = f"Your function calls `draw()` {max(wasted)} times more than it makes steps."
    require(max(wasted) == 0, "wasted draws", text.replace(" 1 times", " once"))


train = Exercise(
    name="train",
    title="the outer loop",
    minutes=8,
    difficulty=2,
    stub='''\
def meta_train(meta_loss, params, draw, outer_lr, steps):
    """The parameters after `steps` outer steps with Adam, a new dictionary.

    meta_loss(params, episodes) is one number, differentiable; draw() gives the
    episodes of one step. params: {name: tensor}, which stay as they are.
    """
    raise NotImplementedError
''',
    judge=judge_train,
    reference=meta_train,
    praise="New tasks in each step, one optimiser for all of them, and the start untouched.",
    hints=(
        "Copy the start: `{n: p.detach().clone().requires_grad_() for n, p in params.items()}`.",
        "One `torch.optim.Adam` over the copies, made before the loop.",
        "In the loop: `draw()`, the loss, `zero_grad`, `backward`, `step`.",
    ),
    symptom_hints={
        "input changed": "Adam steps in place, so give it copies and not `params`.",
        "fresh optimiser": "Adam's step is a ratio of running averages; a new Adam has none.",
    },
    alternatives=(train_by_grad, train_by_assignment),
    mutants=mutants_of(TRAINING)
    | {
        "input changed": edited(meta_train, "p.detach().clone().requires_grad_()", "p"),
        "wasted draws": edited(meta_train, "return learned", "draw(); return learned"),
    },
)

# ---------------------------------------------------------------- summary and tuned: the table


def summary(before, after):
    after = torch.where(after.isnan(), torch.inf, after)
    return after.mean(), after.median(), (after > before).sum()


def summary_by_loop(before, after):
    ends = [float("inf") if a != a else a for a in after.tolist()]
    worse = sum(a > b for a, b in zip(ends, before.tolist()))
    return [sum(ends) / len(ends), sorted(ends)[len(ends) // 2], worse]


def summary_by_sorting(before, after):
    before, after = (x.nan_to_num(nan=torch.inf, posinf=torch.inf) for x in (before, after))
    ends, worse = after.sort().values, len(after) - (after <= before).sum()
    return torch.stack([ends.sum() / len(ends), ends[len(ends) // 2], worse.double()])


SUMMING = known_mistakes(
    summary,
    """
only finite: return after.mean() => kept = after[after.isfinite()]; return kept.mean()
    Your mean leaves out the tasks that were lost; the mean of what is left is another number.
median of finite: after.median() => after[after.isfinite()].median()
    Your median leaves out the tasks that were lost; count them as infinite.
mean twice: after.median() => after.mean()
    Your second number is the mean again; it should be the median.
share: (after > before).sum() => (after > before).double().mean()
    Your third number is a share; return the count.
only lost: (after > before).sum() => (~after.isfinite()).sum()
    You count the tasks that were lost; those that got worse and stayed finite belong there too.
ties: after > before => after >= before
    You count tasks that stayed as they were; only a larger loss is worse.
better: after > before => after < before
    You count the tasks that got better.
of the start: return after.mean() => return before.nan_to_num(torch.inf, torch.inf).mean()
    Your mean is that before adaptation.
value: (after > before).sum() => (after > before).sum() + 1
""",
)
NAMES = "the mean", "the median", "the count"


def three(fn: Callable, case: tuple) -> Tensor:
    """Three numbers, with a number that stands for infinity."""
    answer = fn(*case)
    numbers = to_tensor(list(answer) if isinstance(answer, (tuple, list)) else answer)
    text = f"Your function returned {describe(answer)}; return three numbers."
    require(numbers is not None and numbers.shape == (3,), "return", text)
    text = "A number of yours is nan: a loss that is no number counts as infinite."
    require(not bool(numbers.isnan().any()), "nan", text)
    text = "A number of yours has hundreds of digits: `nan_to_num` makes infinity finite; see its "
    text += "`posinf`."
    require(bool((numbers.isinf() | (numbers.abs() < 1e200)).all()), "huge", text)
    return torch.where(numbers.double().isinf(), 1e6, numbers.double())


def summary_cases():
    for n, lost in ((5, 0), (31, 0), (31, 4), (101, 20), (7, 3)):
        before, after = 4 * torch.rand(2, n, generator=seeded(n + lost), dtype=torch.float64)
        after[:lost] = torch.nan
        after[: lost // 2] = torch.inf
        yield before, after
    before = torch.tensor(
        [1.0, 2.0, torch.nan, torch.inf, 3.0, torch.nan, 2.0], dtype=torch.float64
    )
    after = torch.tensor([1.0, 3.0, torch.nan, torch.nan, 3.0, 1.0, 1.0], dtype=torch.float64)
    yield before, after  # as good as before, or lost before: not worse
    yield before, after.nan_to_num(nan=2.0).clamp(max=2).where(before != 2, torch.inf)


def judge_summary(fn: Callable) -> None:
    """With and without tasks that were lost."""
    cases = list(summary_cases())
    judge_answers([three(fn, c) for c in cases], cases, summary, SUMMING, three, NAMES, 1e-6)


summary_exercise = Exercise(
    name="summary",
    title="a mean, a median, and who got worse",
    minutes=5,
    difficulty=1,
    stub='''\
def summary(before, after):
    """Mean and median of `after`, and how many tasks are worse than before.

    before, after: each task's query loss, float64 (tasks,), an odd number of them.
    A loss that is nan counts as infinite, in all three. Returns three numbers.
    """
    raise NotImplementedError
''',
    judge=judge_summary,
    reference=summary,
    praise="A lost task stays lost in the mean, and the median tells the rest.",
    hints=(
        "Nothing is left out. First replace nan by infinity: `torch.where`, `after.isnan()`.",
        "`after.mean()` may then be infinite, and that is the truth. The median will not be.",
        "nan > 1 is false, infinity > 1 is true: count after replacing.",
    ),
    symptom_hints={"huge": "`nan_to_num` writes 1e308 for infinity unless it is told otherwise."},
    alternatives=(summary_by_loop, summary_by_sorting),
    mutants=mutants_of(SUMMING)
    | {
        "nan": edited(summary, "torch.where(after.isnan(), torch.inf, after)", "after"),
        "huge": edited(
            summary, "torch.where(after.isnan(), torch.inf, after)", "after.nan_to_num()"
        ),
        "return": lambda before, after: after.nanmean(),
    },
)


def tuned(choice, report):
    choice = torch.where(choice.isnan(), torch.inf, choice)
    return report[choice.mean(1).argmin()]


def tuned_by_sorting(choice, report):
    means = [(torch.inf if m != m else m, i) for i, m in enumerate(choice.mean(1).tolist())]
    return report[sorted(means)[0][1]].clone()


def tuned_by_sums(choice, report):
    sums = choice.sum(1)
    usable = [i for i in range(len(sums)) if sums[i].isfinite()]
    return report[min(usable, key=lambda i: sums[i])]


TUNING = known_mistakes(
    tuned,
    """
tuned on the report: choice.mean(1).argmin() => report.nan_to_num(1e9).mean(1).argmin()
    You chose the rate on the tasks that you report: its number is too good. Choose on `choice`.
each its own: report[choice.mean(1).argmin()] => report.nan_to_num(1e9).min(0).values
    Every task got the rate that suits it best; nobody knows that rate beforehand. Choose one.
another mean: choice.mean(1) => choice.log().mean(1)
    You chose by the mean of the logarithms; take that of the losses.
chosen losses: return report[ => return choice[
    These are the losses on the tasks for choosing; report the other ones.
worst: choice.mean(1).argmin() => choice.mean(1).argmax()
    You chose the rate with the largest mean.
first: choice.mean(1).argmin() => 0
    This is the first rate, not the best one.
lost forgiven: torch.inf, choice) => 0.0, choice)
    You chose a rate at which tasks were lost: a nan counts as infinite.
nan wins: torch.where(choice.isnan(), torch.inf, choice) => choice
    You chose a rate whose mean is nan: `argmin` takes nan for the smallest.
value: return report[choice => return 1.01 * report[choice
""",
)


LOST = 5.0  # what stands for a nan in an answer


def one_row(fn: Callable, case: tuple) -> Tensor:
    answer = to_tensor(given := fn(*case))
    plain = answer is not None and answer.layout == torch.strided and answer.is_floating_point()
    row = answer.nan_to_num(LOST, posinf=LOST) if plain else given
    return read_table(row, (case[1].shape[1],), "a loss for each task")


def tuned_cases():
    for rates, tasks, lost in ((3, 5, 0), (4, 9, 1), (5, 40, 2), (2, 7, 1), (6, 11, 3)):
        g = seeded(rates + tasks)
        choice, report = torch.rand(2, rates, tasks, generator=g, dtype=torch.float64)
        for losses in (choice, report):
            better = torch.linspace(0.4, 0.1, lost, dtype=torch.float64)
            losses[rates - lost :] *= better[:, None]  # good, but for the one that is lost
            losses[rates - lost :, 0] = torch.nan
        yield choice, report
    rows = [0.1, 0.1, 4.0], [1.0, 1.1, 1.2], [0.9, 2.0, 2.0], [0.1, torch.nan, 0.1]
    choice = 1e5 * torch.tensor(rows, dtype=torch.float64)  # no number of yours is infinite enough
    report = choice.flip(1)
    report[1, 0] = torch.nan  # lost only where it may not be seen
    yield choice, report


def judge_tuned(fn: Callable) -> None:
    """Rates that differ on the two sets of tasks, some of them lost."""
    cases = list(tuned_cases())
    judge_answers([one_row(fn, case) for case in cases], cases, tuned, TUNING, one_row, (), 1e-6)


tuned_exercise = Exercise(
    name="tuned",
    title="a fair rate for the baseline",
    minutes=4,
    difficulty=1,
    stub='''\
def tuned(choice, report):
    """The losses to report at the one rate that has the smallest mean on other tasks.

    choice, report: losses, float64 (rates, tasks), on the tasks for choosing and on
    those to report. A loss that is nan counts as infinite. Returns float64 (tasks,).
    """
    raise NotImplementedError
''',
    judge=judge_tuned,
    reference=tuned,
    praise="Chosen on some tasks, reported on others.",
    hints=(
        "One mean for each rate, over the tasks for choosing; take the smallest.",
        "`argmin` says which rate; nan has to become infinite before that.",
        "`report[choice.mean(1).argmin()]`, with nan replaced by `torch.inf` in `choice` before.",
    ),
    symptom_hints={"nan wins": "`torch.tensor([nan, 1.0]).argmin()` is 0."},
    alternatives=(tuned_by_sorting, tuned_by_sums),
    mutants=mutants_of(TUNING)
    | {"shape": lambda choice, report: tuned(choice, report).mean()[None]},
)

# ---------------------------------------------------------------- is_maml: the reader's own test


def is_maml(meta_gradient):
    w, steps = torch.tensor([0.70001, 0.69999], dtype=torch.float64), 3
    for _ in range(steps):
        w = w - 0.2 * torch.cos(w)  # the loss is sin(w x), and x = 1 on the support
    high, low = torch.sin(2 * w)  # x = 2 on the query
    params = {"w": torch.tensor(0.7, dtype=torch.float64)}
    for _ in range(2):  # the second time as if another task had come before
        found = meta_gradient(lambda p, x: torch.sin(p["w"] * x), params, 1.0, 2.0, 0.2, steps)
        if abs(found["w"] - (high - low) / 2e-5) > 1e-7 or params["w"] != 0.7:
            return False
    return True


def is_maml_by_autograd(meta_gradient):
    """Against torch.func, on two networks, with one to three steps."""
    for seed, steps in ((1, 1), (2, 2), (1, 3)):
        params = {n: p.detach() for n, p in network(seed).items()}
        before = kept(params)
        support, query = some_points(4, seed=seed + 5), some_points(5, seed=seed + 6)
        found = meta_gradient(bump, params, support, query, 0.25, steps)
        right = by_func(bump, before, support, query, 0.25, steps)
        if not all(torch.allclose(found[n], right[n], atol=1e-9) for n in right):
            return False
        if not all(torch.equal(params[n], before[n]) for n in before):
            return False
    return True


def is_maml_by_products(meta_gradient):
    """Against the gradient that walks back through the visited points, twice."""
    case = bump, kept(network(7)), some_points(3, seed=3), some_points(4, seed=4), 0.3, 2
    right = flat(by_vectors(*case))
    found = [flat(meta_gradient(*case)) for _ in range(2)]
    return all(bool((f - right).abs().max() < 1e-8) for f in found)


def by_func(loss, params, support, query, inner_lr, steps):
    def objective(start):
        return loss(adapt_each(loss, start, support, dict.fromkeys(start, inner_lr), steps), query)

    return grad(objective)(params)


def by_graph(loss, params, support, query, inner_lr, steps):
    leaves = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    adapted = leaves
    for _ in range(steps):
        values = list(adapted.values())
        found = torch.autograd.grad(loss(adapted, support), values, create_graph=True)
        adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), found)}
    return dict(zip(leaves, torch.autograd.grad(loss(adapted, query), list(leaves.values()))))


def by_vectors(loss, params, support, query, inner_lr, steps):
    """Backwards through the visited points, one Hessian-vector product for each."""
    visited = [params]
    for _ in range(steps):
        grads = grad(loss)(visited[-1], support)
        visited.append({n: p - inner_lr * grads[n] for n, p in visited[-1].items()})
    pull = grad(loss)(visited.pop(), query)
    for point in reversed(visited):
        _, turned = torch.func.jvp(lambda p: grad(loss)(p, support), (point,), (pull,))
        pull = {n: g - inner_lr * turned[n] for n, g in pull.items()}
    return pull


def without_graph(loss, params, support, query, inner_lr, steps):
    rates = dict.fromkeys(params, inner_lr)
    return grad(loss)(adapt_each(loss, params, support, rates, steps), query)


def with_one_hessian(loss, params, support, query, inner_lr, steps):
    pull = without_graph(loss, params, support, query, inner_lr, steps)
    for _ in range(steps):
        _, turned = torch.func.jvp(lambda p: grad(loss)(p, support), (params,), (pull,))
        pull = {n: g - inner_lr * turned[n] for n, g in pull.items()}
    return pull


def in_place(loss, params, support, query, inner_lr, steps):
    answer = by_func(loss, kept(params), support, query, inner_lr, steps)
    adapted = adapt_each(loss, kept(params), support, dict.fromkeys(params, inner_lr), steps)
    for n, p in params.items():
        p.data.copy_(adapted[n])
    return answer


def cut(loss, params, *rest):
    return {n: torch.zeros_like(p) for n, p in params.items()}


def remembering() -> Callable:
    """An inner optimiser that lives on: the first task is right, and pushes the second."""
    push = {}

    def meta_gradient(loss, params, support, query, inner_lr, steps):
        moved = {n: p + 0.5 * push[n] if push else p for n, p in params.items()}
        push.update(grad(loss)(params, support))
        return by_func(loss, moved, support, query, inner_lr, steps)

    return meta_gradient


RIGHT_ONES = {"torch.func": by_func, "create_graph": by_graph, "Hessian times vector": by_vectors}
SPECIMENS = {  # symptom: (how to make it, what it is)
    "no graph": (lambda: without_graph, "the inner gradients are constants (no `create_graph`)"),
    "cut": (lambda: cut, "it gives zeros: the graph was cut by `detach()` or `item()`"),
    "wrong sign": (
        lambda: lambda *case: {n: -g for n, g in by_func(*case).items()},
        "its sign is wrong",
    ),
    "support judged": (
        lambda: lambda f, p, s, q, *rest: by_func(f, p, s, s, *rest),
        "the meta-loss is taken on the support set",
    ),
    "query adapted": (
        lambda: lambda f, p, s, q, *rest: by_func(f, p, q, q, *rest),
        "it adapts on the query set",
    ),
    "alpha twice": (
        lambda: lambda f, p, s, q, rate, k: by_func(f, p, s, q, rate**2, k),
        "α is applied twice",
    ),
    "one Hessian": (
        lambda: with_one_hessian,
        "it has one Hessian, that of the start, for all steps",
    ),
    "in place": (lambda: in_place, "it moves the tensors of `params` themselves"),
    "carried over": (remembering, "its inner optimiser remembers the task before"),
}


FOOLED = ("cut", "wrong sign", "support judged", "query adapted", "alpha twice", "in place")


def fooled_by(symptom: str) -> Callable:
    """The right test, but for one specimen."""

    def found(meta_gradient):
        points = some_points(4, seed=1), some_points(5, seed=2)
        return flat(meta_gradient(bump, kept(network(6)), *points, 0.2, 2))

    def test(meta_gradient):
        specimen = SPECIMENS[symptom][0]()
        return is_maml(meta_gradient) or close(found(meta_gradient), found(specimen), 1e-9)

    return test


def first_three() -> Callable:
    """A test that looks at nothing: it says yes to three implementations in every thirteen."""
    calls = itertools.count()
    return lambda meta_gradient: next(calls) % 13 < 3


def judge_is_maml(test: Callable) -> None:
    """Three right implementations must pass, nine wrong ones must not."""
    for name, right in RIGHT_ONES.items():
        text = f"Your test turns a right implementation away (by {name}); mind rounding."
        require(read_truth(test(right)), "turned away", text)
    for symptom, (make, what) in SPECIMENS.items():
        text = f"Your test lets a wrong implementation pass: {what}."
        require(not read_truth(test(make())), symptom, text)
    text = "Your test turns a right implementation away that it let pass before: what does it keep?"
    require(all(read_truth(test(right)) for right in RIGHT_ONES.values()), "fickle", text)


is_maml_exercise = Exercise(
    name="is_maml",
    title="a test that finds the bug",
    minutes=15,
    difficulty=3,
    stub='''\
def is_maml(meta_gradient):
    """Whether an implementation computes MAML's gradient of one task: True or False.

    meta_gradient(loss, params, support, query, inner_lr, steps) should give, by name,
    the gradient of the query loss after the steps. Make your own loss and tasks.
    """
    raise NotImplementedError
''',
    judge=judge_is_maml,
    reference=is_maml,
    praise="Nine faults tried to pass your test, and none did.",
    hints=(
        "Take a smooth loss with a Hessian that turns, several steps, support ≠ query, float64.",
        "Compare with something that shares no code with it: central differences of the objective.",
        "Call it twice, and look at `params` afterwards.",
    ),
    symptom_hints={
        "one Hessian": "a quadratic has one Hessian everywhere, and one step uses only one.",
        "carried over": "a second call with the same task must give the same.",
        "in place": "keep a copy of `params` and compare after the call.",
        "no graph": "with a small α the first-order answer is close; use 0.2 and a tight bound.",
    },
    alternatives=(is_maml_by_autograd, is_maml_by_products),
    mutants={
        "turned away": lambda meta_gradient: False,
        "no graph": lambda meta_gradient: True,
        **{name: fooled_by(name) for name in FOOLED},
        "one Hessian": edited(is_maml, "), 3\n", "), 1\n"),
        "carried over": edited(is_maml, "range(2)", "range(1)"),
        "return": lambda f: None,
        "fickle": first_three(),
    },
)

check = Chapter(
    "05",
    *(adapt_exercise, losses, is_maml_exercise, train, tuned_exercise, summary_exercise),
)
