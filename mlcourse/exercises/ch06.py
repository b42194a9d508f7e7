"""Chapter 06, MAML on Omniglot: five exercises with references, right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .engine import (
    CUT,
    FIRST_ORDER,
    Chapter,
    Exercise,
    describe,
    judge_answers,
    judge_flow,
    judge_numbers,
    known_mistakes,
    labels_of,
    mutants_of,
    read_numbers,
    read_pair,
    read_table,
    require,
    seeded,
    to_tensor,
)

D = torch.float64

# ---------------------------------------------------------------- head: a linear layer


def prototype_head(features, labels, n_way):
    c = torch.stack([features[labels == k].mean(0) for k in range(n_way)])
    return 2 * c, -(c**2).sum(1)


def head_by_matrix(features, labels, n_way):
    belongs = torch.nn.functional.one_hot(labels, n_way).to(features.dtype)
    c = belongs.T @ features / belongs.sum(0)[:, None]
    return 2 * c, -(c.norm(dim=1) ** 2)


def head_about_the_mean(features, labels, n_way):
    """Another head with the same probabilities: every class gives up the same linear score."""
    weight, bias = prototype_head(features, labels, n_way)
    return weight - weight.mean(0), bias - bias.mean()


def head_in_numpy(features, labels, n_way):
    c = np.stack([features[labels == k].numpy().mean(0) for k in range(n_way)])
    return 2 * c, -np.einsum("kd,kd->k", c, c)


HEADS = known_mistakes(
    prototype_head,
    """
no bias: -(c**2).sum(1) => torch.zeros(n_way)
    Your scores lack the −‖c‖²: long prototypes win too often.
no two: 2 * c => c
    Your weights are c; expand ‖z − c‖² and the product comes out as 2c · z.
halved: return 2 * c, -(c**2).sum(1) => return c, -(c**2).sum(1) / 2
    Your scores are half of −‖z − c‖²: the same class wins, with other probabilities.
plus: -(c**2).sum(1) => (c**2).sum(1)
    Your bias is +‖c‖²; it is subtracted.
unsquared: -(c**2).sum(1) => -(c**2).sum(1).sqrt()
    Your bias is −‖c‖; the distance is squared, so the length is too.
nearest negative: return 2 * c, -(c**2).sum(1) => return -2 * c, (c**2).sum(1)
    Your scores are +‖z − c‖²: they prefer the farthest class.
sum: .mean(0) => .sum(0)
    Your prototypes are sums; take the mean over each class, however many points it has.
order: for k in range(n_way) => for k in labels.unique(sorted=False).flip(0)
    Your rows are in another order than the labels 0 to n_way - 1.
first point: .mean(0) => [0]
    Your prototypes are single points; take the mean of each class.
return: return 2 * c, -(c**2).sum(1) => return 2 * c
shape: return 2 * c, => return 2 * c.T,
not finite: 2 * c, => 2 * c / 0,
value: 2 * c, => 2.2 * c,
""",
)


def head_cases():
    """Few and many classes, unequal numbers of points, prototypes of different lengths."""
    sizes = (2, 3, (1, 1)), (5, 8, (1,) * 5), (3, 4, (2, 5, 1)), (6, 6, (4,) * 6)
    for n_way, dim, counts in sizes:
        g = seeded(n_way)
        labels = labels_of(counts, g)
        lengths = 0.3 + torch.rand(n_way, 1, generator=g, dtype=D)
        centres = lengths * torch.randn(n_way, dim, generator=g, dtype=D)
        noise = 0.3 * torch.randn(len(labels), dim, generator=g, dtype=D)
        yield centres[labels] + noise, labels, n_way


def read_head(answer, n_way: int, dim: int) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64, or what is wrong with them."""
    weight, bias = read_pair(answer, "two tensors, weight and bias")
    return read_table(weight, (n_way, dim), "a weight"), read_table(bias, (n_way,), "a bias")


def probabilities(head: tuple[Tensor, Tensor], case: tuple) -> Tensor:
    """What a head says of new points: all that may differ between right answers cancels."""
    g = seeded(99)
    z = torch.randn(20, case[0].shape[1], generator=g, dtype=D)
    weight, bias = (torch.as_tensor(part).double() for part in head)
    return (z @ weight.T + bias).log_softmax(1)


def judge_head(fn: Callable) -> None:
    """The probabilities of new points, against those from the distances themselves."""
    cases, found = list(head_cases()), []
    for case in cases:
        head = read_head(fn(*case), case[2], case[0].shape[1])
        found.append(probabilities(head, case))
    judge_answers(
        *(found, cases, prototype_head, HEADS),
        run=lambda head, case: probabilities(head(*case), case),
        names=("the log-probability of a class",),
        within=1e-6,
    )


head = Exercise(
    name="head",
    title="prototypes as a linear layer",
    minutes=8,
    difficulty=2,
    stub='''\
def prototype_head(features, labels, n_way):
    """Weight (n_way, d) and bias (n_way,) that classify by the nearest class mean.

    features z: float64 (points, d); labels: int64 (points,), 0 to n_way - 1, each
    at least once, in any order, not equally often. With cₖ the mean of class k, the
    scores z @ weight.T + bias of a new z are −‖z − cₖ‖², up to an amount that is
    the same for all k: the softmax cannot see it.
    """
    raise NotImplementedError
''',
    judge=judge_head,
    reference=prototype_head,
    praise="The nearest class mean is a linear layer, and a step can now improve it.",
    hints=(
        "Expand −‖z − c‖² into three terms. Which of them is the same for every class?",
        "The −‖z‖² drops out; 2c · z − ‖c‖² is left, a weight times z plus a bias.",
        "`c = torch.stack([features[labels == k].mean(0) for k in range(n_way)])`, then "
        "`2 * c` and `-(c**2).sum(1)`.",
    ),
    symptom_hints={"no bias": "two prototypes in the same direction differ in ‖c‖² only."},
    alternatives=(head_by_matrix, head_about_the_mean, head_in_numpy),
    mutants=mutants_of(HEADS),
)

# ---------------------------------------------------------------- alone: each query by itself


def alone(forward, support_x, query_x):
    rows = [torch.cat([support_x, x[None]]) for x in query_x]
    return torch.stack([forward(batch)[-1] for batch in rows])


def alone_in_front(forward, support_x, query_x):
    found = []
    for i in range(len(query_x)):
        found.append(forward(torch.cat([query_x[i : i + 1], support_x]))[0].tolist())
    return found


def alone_by_vmap(forward, support_x, query_x):
    def one(x):
        return forward(torch.cat([support_x, x.unsqueeze(0)]))[len(support_x)]

    return torch.func.vmap(one)(query_x)


ALONE = known_mistakes(
    alone,
    """
queries only: return torch.stack => return forward(query_x); torch.stack
    All queries are normalised together, and without the support.
leak: [support_x, x[None]] => [support_x, query_x, x[None]]
    The other queries are in the batch too; give `forward` the support and one query.
no support: torch.cat([support_x, x[None]]) => x[None]
    The query is normalised by itself, without the support; put the support into its batch.
support row: [-1] for => [0] for
    You return the score of a support point; take the row of the query.
query twice: x[None]] => x[None], x[None]]
    The query stands twice in its batch, and counts twice in the statistics.
shape: torch.stack([ => torch.cat([
return: return torch.stack => return None; torch.stack
not finite: [-1] for => [-1] / 0 for
value: [-1] for => [-1] * 2 for
""",
)


def growing(forward, support_x, query_x):
    batches = [torch.cat([support_x, query_x[: i + 1]]) for i in range(len(query_x))]
    return torch.stack([forward(batch)[-1] for batch in batches])


def together(forward, support_x, query_x):
    return forward(torch.cat([support_x, query_x]))[len(support_x) :]


ALONE["together"] = (
    together,
    "All queries are normalised together: this is the transductive answer.",
)
ALONE["growing"] = (
    growing,
    "Each query is normalised with those before it; give it the support only.",
)


def normed(weight: Tensor) -> Callable:
    """A layer, batch norm over the batch at hand, another layer; it counts on its rows' order."""

    def forward(x: Tensor) -> Tensor:
        x = torch.tanh(x.flatten(1) @ weight[:4].T)
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
        return torch.tanh(x) @ weight[4:, :4].T

    return forward


def alone_cases():
    for n_way, shots, queries in ((3, 1, 4), (5, 1, 5), (2, 3, 1), (4, 2, 9)):
        g = seeded(n_way)
        weight = torch.randn(4 + n_way, 6, generator=g, dtype=D)
        x = torch.randn(n_way * shots + queries, 1, 2, 3, generator=g, dtype=D)
        yield normed(weight), x[: n_way * shots], x[n_way * shots :]


def judge_alone(fn: Callable) -> None:
    """A small network with batch norm; one query, several, more queries than support points."""
    cases, answers = list(alone_cases()), []
    for forward, support_x, query_x in cases:
        shape = len(query_x), forward(support_x).shape[1]
        answers.append(read_table(fn(forward, support_x, query_x), shape, "one tensor of scores"))
    judge_answers(answers, cases, alone, ALONE, names=("a score",), within=1e-6)


alone_exercise = Exercise(
    name="alone",
    title="each query by itself",
    minutes=8,
    difficulty=2,
    stub='''\
def alone(forward, support_x, query_x):
    """The scores of each query when no other query is known, (queries, n_way).

    forward(x) gives the scores (points, n_way) of a batch x (points, ...); its batch
    norm uses the mean and variance of all points of that batch. Give it, for each
    query, the whole support set and that query, each point once. float64.
    """
    raise NotImplementedError
''',
    judge=judge_alone,
    reference=alone,
    praise="No other query can change an answer now.",
    hints=(
        "One call of `forward` for each query. What is in its batch?",
        "`torch.cat([support_x, x[None]])` is the support with one query behind it.",
        "Of the scores of that batch keep the last row, and `torch.stack` the rows.",
    ),
    symptom_hints={
        "together": "change one query and look at the scores of another: do they move?",
        "no support": "a batch of one has a variance over points of zero.",
    },
    alternatives=(alone_in_front, alone_by_vmap),
    mutants=mutants_of(ALONE),
)

# ---------------------------------------------------------------- permute: labels of an episode


def permuted(support_y, query_y, n_way, generator):
    tasks = len(support_y)
    order = torch.rand(tasks, n_way, generator=generator).argsort(1)
    return order.gather(1, support_y), order.gather(1, query_y)


def permuted_by_loop(support_y, query_y, n_way, generator):
    found = []
    for s, q in zip(support_y, query_y):
        order = torch.randperm(n_way, generator=generator)
        found.append((order[s], order[q]))
    return tuple(torch.stack(side) for side in zip(*found))


def permuted_by_swapping(support_y, query_y, n_way, generator):
    """Fisher and Yates, task by task, on both sets at once."""
    both = torch.cat([support_y, query_y], 1).clone()
    for task in both:
        for i in range(n_way - 1, 0, -1):
            j = int(torch.randint(i + 1, (), generator=generator))
            here, there = task == i, task == j
            task[here], task[there] = j, i
    return both[:, : support_y.shape[1]], both[:, support_y.shape[1] :]


PERMUTING = known_mistakes(
    permuted,
    """
not permuted: .argsort(1) => .argsort(1).sort(1).values
    The labels are as they were: a network can learn them by heart.
apart: order.gather(1, query_y) => order.flip(0).gather(1, query_y)
    Support and query got different orders: the same character must keep one label.
query left: order.gather(1, query_y) => query_y
    Only the support was relabelled; the queries of a character need the same new label.
one order: .argsort(1) => .argsort(1)[:1].expand(tasks, -1)
    All tasks got one order; draw another for each task.
not one to one: .argsort(1) => .mul(n_way).long()
    Two characters of a task got the same label.
points mixed: order.gather(1, support_y) => support_y[:, torch.randperm(support_y.shape[1])]
    Two drawings of one character have different labels: permute the labels, not the points.
turned only: .argsort(1) => .argsort(1)[:, :1].add(torch.arange(n_way)) % n_way
    The labels are shifted round only; all orders must come equally often.
other randomness: generator=generator).argsort => generator=None).argsort
    With the same seed your function gives another answer; draw from `generator`.
return: return order.gather(1, support_y), => return
shape: order.gather(1, support_y), => order.gather(1, support_y)[:, 1:],
value: return => order = order + 1; return
""",
)


def uneven(support_y, query_y, n_way, generator):
    order = torch.rand(len(support_y), n_way, generator=generator)
    order = (order + 0.2 * torch.arange(n_way)).argsort(1)
    return order.gather(1, support_y), order.gather(1, query_y)


def first_as_it_is(support_y, query_y, n_way, generator):
    """The first task keeps its labels, the others get new ones."""
    found = permuted(support_y, query_y, n_way, generator)
    return [torch.cat([old[:1], new[1:]]) for old, new in zip((support_y, query_y), found)]


def say(symptom: str) -> tuple[str, str]:
    """A symptom and its sentence."""
    return symptom, PERMUTING[symptom][1]


def label_case(tasks: int, n_way: int, shots: int, queries: int) -> tuple[Tensor, Tensor]:
    """Labels in random places, as an episode has them."""
    g, found = seeded(tasks), []
    for per_class in (shots, queries):
        y = torch.arange(n_way).repeat_interleave(per_class).repeat(tasks, 1)
        found.append(y.gather(1, torch.rand(y.shape, generator=g).argsort(1)))
    return tuple(found)


def read_labels(answer, shapes: tuple) -> Tensor:
    """Both sets side by side, int64 (tasks, points), or what is wrong with them."""
    words = "two tensors of labels"
    numbers = [read_numbers(part, words) for part in read_pair(answer, words)]
    whole = all(to_tensor(part).dtype == torch.int64 for part in answer)
    text = f"You returned {describe(answer[0])} first; labels are int64, or the loss refuses them."
    require(whole, "type", text)
    given = tuple(tuple(part.shape) for part in numbers)
    text = f"Your labels have the shapes {given[0]} and {given[1]}; "
    require(given == shapes, "shape", f"{text}they should be {shapes[0]} and {shapes[1]}.")
    return torch.cat(numbers, 1)


def new_names(before: Tensor, after: Tensor, n_way: int, support: int) -> Tensor:
    """The new label of every old one, (tasks, n_way), or why there is none."""
    text = f"A label of yours is {after.min():g} or {after.max():g}; labels are 0 to {n_way - 1}."
    within = torch.isin(after, torch.arange(n_way).double()).all()
    require(bool(within), "value", text)
    sides = []
    for part in (slice(None, support), slice(support, None)):
        belongs = torch.nn.functional.one_hot(before[:, part], n_way).double()
        mean = torch.einsum("tpk,tp->tk", belongs, after[:, part]) / belongs.sum(1)
        spread = torch.einsum("tk,tpk->tp", mean, belongs) - after[:, part]
        require(bool((spread.abs() < 1e-9).all()), *say("points mixed"))
        sides.append(mean)
    if not torch.equal(*sides):
        left = torch.equal(sides[1], torch.arange(n_way).double().expand_as(sides[1]))
        require(False, *say("query left" if left else "apart"))
    require(bool((sides[0].sort(1).values == torch.arange(n_way)).all()), *say("not one to one"))
    return sides[0].long()


def judge_permute(fn: Callable) -> None:
    """Any episode; many tasks: all orders equally often; many calls: all pairs of orders."""
    for tasks, n_way, shots, queries in ((4, 5, 2, 1), (2, 3, 1, 4), (2400, 4, 2, 1)):
        before = label_case(tasks, n_way, shots, queries)
        answers = [fn(*before, n_way, seeded(tasks)) for _ in range(2)]
        shapes = tuple(tuple(part.shape) for part in before)
        both = [read_labels(answer, shapes) for answer in answers]
        found = new_names(torch.cat(before, 1), both[0], n_way, before[0].shape[1])
        require(torch.equal(*both), *say("other randomness"))
    plain = (found == torch.arange(4)).all()
    require(not plain, *say("not permuted"))
    kinds, counts = found.unique(dim=0, return_counts=True)
    require(len(counts) > 1, *say("one order"))
    turned = ((kinds - kinds[:, :1]) % 4 == torch.arange(4)).all()
    require(not turned, *say("turned only"))
    text = f"Of the 24 orders of four labels {len(counts)} came in 2400 tasks, one of them "
    text += f"{int(counts.max())} times; all should come, about 100 times each."
    require(len(counts) == 24 and scatter(counts) < 85, "uneven", text)
    judge_calls(fn)


def scatter(counts: Tensor) -> float:
    """Pearson's χ² of counts that should be equal."""
    wanted = counts.double().mean()
    return float(((counts - wanted) ** 2).sum() / wanted)


def judge_calls(fn: Callable) -> None:
    """The same two tasks again and again, from one generator: 36 pairs of orders, equally often."""
    before, generator = label_case(2, 3, 1, 1), seeded(5)
    pairs = [torch.cat(fn(*before, 3, generator), 1).flatten() for _ in range(720)]
    kinds, counts = torch.stack(pairs).unique(dim=0, return_counts=True)
    text = "A second call with the same generator gives what the first gave: draw from "
    require(len(counts) > 1, "stands still", f"{text}`generator` itself, in every call.")
    text = f"In 720 calls on two tasks of three classes {len(counts)} of the 36 pairs of orders "
    text += f"came, one of them {int(counts.max())} times: draw each task's order independently."
    require(len(counts) == 36 and scatter(counts) < 105, "tied", text)


permute = Exercise(
    name="permute",
    title="new labels for every task",
    minutes=8,
    difficulty=2,
    stub='''\
def permuted(support_y, query_y, n_way, generator):
    """The labels after a random renaming of the classes, another one for each task.

    support_y, query_y: int64 (tasks, points), 0 to n_way - 1. In one task equal
    labels stay equal and different ones different, over support and query. All
    renamings are equally likely. generator: a `torch.Generator`, the only source
    of randomness. Returns both, new, in the same shapes.
    """
    raise NotImplementedError
''',
    judge=judge_permute,
    reference=permuted,
    praise="A label now says which character of this task, and nothing else.",
    hints=(
        "Each task needs an order of 0 to n_way - 1; the old label is an index into it.",
        "`torch.rand(tasks, n_way, generator=generator).argsort(1)` is an order for each task.",
        "`order.gather(1, support_y)` looks every label up; do the same with the query's.",
    ),
    symptom_hints={
        "one order": "the first size of your random numbers is the number of tasks.",
        "apart": "draw the order once, use it twice.",
    },
    alternatives=(permuted_by_loop, permuted_by_swapping),
    mutants=mutants_of(PERMUTING)
    | {
        "uneven": uneven,
        "type": lambda *case: [y.double() for y in permuted(*case)],
        "stands still": lambda s, q, n, g: permuted(s, q, n, seeded(g.initial_seed())),
        "tied": first_as_it_is,
    },
)


# ---------------------------------------------------------------- rate: the reduction of the loss


def rate_on_mean(inner_lr, n_way, k_shot, divisor):
    return inner_lr * n_way * k_shot / divisor


def rate_by_differentiating(inner_lr, n_way, k_shot, divisor):
    """A step on the sum over `divisor`, measured in steps on the mean."""
    losses = torch.linspace(1, 2, n_way * k_shot, dtype=D)
    grad = torch.func.grad
    summed = grad(lambda w: (w * losses).sum() / divisor)(torch.ones((), dtype=D))
    return inner_lr * summed / grad(lambda w: (w * losses).mean())(torch.ones((), dtype=D))


def rate_in_two_steps(inner_lr, n_way, k_shot, divisor):
    points = n_way * k_shot
    return np.array([inner_lr / divisor * points])


RATES = known_mistakes(
    rate_on_mean,
    """
same: inner_lr * n_way * k_shot / divisor => inner_lr
    This is α as it was; a sum is larger than a mean by the number of its terms.
ways only: * k_shot / divisor =>
    This is α · N, right only where the divisor is K.
points only: / divisor =>
    This is α · N · K; the sum was divided by `divisor` already.
shots only: n_way * k_shot / divisor => k_shot / divisor
    Your factor has no N: all classes are in the sum.
ways over: n_way * k_shot / divisor => n_way / divisor
    Your factor has no K: each class has K points in the sum.
upside down: inner_lr * n_way * k_shot / divisor => inner_lr * divisor / (n_way * k_shot)
    Your factor is upside down: the gradient of a mean is smaller, so its rate is larger.
return: return inner_lr => return [inner_lr, n_way], inner_lr
not finite: / divisor => / (divisor * torch.zeros(()))
value: / divisor => / divisor * 1.1
""",
)


def judge_rate(fn: Callable) -> None:
    """Losses divided by K, by nothing, by N·K and by the tasks of a batch."""
    cases = [(0.4, 5, 1, 1), (0.1, 20, 1, 1), (0.4, 5, 5, 5), (0.4, 5, 5, 1), (0.4, 5, 5, 25)]
    cases += [(0.05, 10, 3, 4), (1.0, 2, 7, 1)]
    judge_numbers(fn, cases, rate_on_mean, RATES)


rate = Exercise(
    name="rate",
    title="α on the mean",
    minutes=4,
    difficulty=1,
    stub='''\
def rate_on_mean(inner_lr, n_way, k_shot, divisor):
    """The α on the mean loss whose step is that of `inner_lr` on a summed loss.

    A task has n_way · k_shot support points. One program descends their mean loss,
    the other the sum of their losses divided by `divisor`. Returns one number.
    """
    raise NotImplementedError
''',
    judge=judge_rate,
    reference=rate_on_mean,
    praise="The same step, said in the other program's units.",
    hints=(
        "How many terms has the sum, and by what is the mean divided?",
        "The summed loss is n_way · k_shot / divisor times the mean, and so is its gradient.",
        "`inner_lr * n_way * k_shot / divisor`",
    ),
    symptom_hints={"upside down": "a step is α times the gradient, and the steps are to be equal."},
    alternatives=(rate_by_differentiating, rate_in_two_steps),
    mutants=mutants_of(RATES),
)

# ---------------------------------------------------------------- some: which tensors adapt


def loss_after_some(params, support, query, loss, inner_lr, steps, moving):
    adapted = dict(params)
    for _ in range(steps):
        grads = torch.func.grad(loss)(adapted, support)
        for name in moving:
            adapted[name] = adapted[name] - inner_lr * grads[name]
    return loss(adapted, query)


def some_by_autograd(params, support, query, loss, inner_lr, steps, moving):
    now = params
    for _ in range(steps):
        some = [now[name] for name in moving]
        grads = torch.autograd.grad(loss(now, support), some, create_graph=True)
        now = now | {n: p - inner_lr * g for n, p, g in zip(moving, some, grads)}
    return loss(now, query)


def some_by_rates(params, support, query, loss, inner_lr, steps, moving):
    alpha = {name: inner_lr * (name in moving) for name in params}
    for _ in range(steps):
        grads = torch.func.grad(loss)(params, support)
        params = {name: p - alpha[name] * grads[name] for name, p in params.items()}
    return loss(params, query)


def tanh_loss(params, points):
    x, y = points
    hidden = torch.tanh(x @ params["body.weight"] + params["body.bias"])
    scores = hidden @ params["head.weight"] + params["head.bias"] + params["bias"]
    return torch.nn.functional.cross_entropy(scores, y)


def some_case(seed: int, inner_lr: float, steps: int, moving: tuple) -> tuple:
    g = seeded(seed)
    sizes = {"body.weight": (3, 4), "body.bias": (4,), "head.weight": (4, 3), "head.bias": (3,)}
    sizes["bias"] = (3,)  # a name within another
    params = {
        name: torch.randn(size, generator=g, dtype=D).requires_grad_()
        for name, size in sizes.items()
    }
    points = [
        (torch.randn(3 * n, 3, generator=g, dtype=D), torch.arange(3).repeat(n)) for n in (1, 4)
    ]
    return params, *points, tanh_loss, inner_lr, steps, moving


HEAD, BODY = ("head.weight", "head.bias"), ("body.weight", "body.bias")
SOME = known_mistakes(
    loss_after_some,
    """
all adapt: for name in moving => for name in params
    All tensors adapt; only those in `moving` may.
others adapt: for name in moving => for name in params.keys() - {*moving}
    You adapt the tensors that are not in `moving`.
head only: for name in moving => for name in [n for n in params if n.startswith("head")]
    You adapt the head whatever `moving` says.
query adapted: (adapted, support) => (adapted, query)
    You adapted on the query points; adapt on the support set.
support judged: loss(adapted, query) => loss(adapted, support)
    This is the loss on the support points; judge on the query points.
no step: range(steps) => range(0)
    This is the loss before adapting: judge the adapted tensors.
one step: range(steps) => range(1)
    This is the answer for one step; use `steps`.
uphill: - inner_lr => + inner_lr
    Your steps go up the gradient; subtract it.
start's gradient: (adapted, support) => (params, support)
    Every step of yours has the gradient at `params`; take it where the last step ended.
input changed: dict(params) => params
return: return loss(adapted, query) => return adapted
not finite: return loss(adapted, query) => return loss(adapted, query) / 0
value: - inner_lr => - 3 * inner_lr
""",
)


SOME_GRAPH = known_mistakes(
    loss_after_some,
    f"""
cut: return loss(adapted, query) => return loss(adapted, query).detach()
    {CUT.format("to `params`")} Start from `params` itself, without `item()` or `detach()`.
frozen: dict(params) => {{n: p if n in moving else p.detach() for n, p in params.items()}}
    The number is right, but the tensors that do not adapt get no gradient: they are fixed in the
    inner loop only, and the outer loop learns them.
step cut: adapted[name] - inner_lr * grads[name] => (adapted[name] - inner_lr * grads[name]).data
    The number is right, but the tensors that adapt get no gradient: the step was cut off from
    `params`, by `detach()` or `no_grad`.
first order: inner_lr * grads[name] => inner_lr * grads[name].detach()
    {FIRST_ORDER}
gradient: return loss(adapted, query) => return 2 * (y := loss(adapted, query)) - y.detach()
    The number is right and its gradient is twice as long as it should be.
""",
)


def run_some(fn: Callable, case: tuple) -> Tensor:
    """A known mistake on a dictionary of its own."""
    return torch.as_tensor(fn(dict(case[0]), *case[1:])).detach()


def judge_some(fn: Callable) -> None:
    """Head, body, one tensor, all; then the gradient with respect to every tensor."""
    sizes = (0.5, 1, HEAD), (0.4, 3, HEAD), (0.8, 1, BODY), (0.3, 2, ("body.weight",))
    sizes += (0.5, 2, ("head.bias",)), (0.5, 2, (*BODY, *HEAD)), (0.5, 2, ("bias",)), (0.5, 0, HEAD)
    cases = [some_case(seed, *size) for seed, size in enumerate(sizes)]
    answers = []
    for case in cases:
        answers.append(fn(*case))
        advice = "Your function changes the `requires_grad` or the `grad` of a tensor in `params`."
        same = all(p.requires_grad and p.grad is None for p in case[0].values())
        require(same, "input changed", advice)
    numbers = [read_numbers(answer, "one number", one=True) for answer in answers]
    judge_answers(numbers, cases, loss_after_some, SOME, run_some, ("your answer",), 1e-6)

    def leaves(case: tuple) -> list[Tensor]:
        return [*case[0].values()]

    judge_flow(answers, cases, loss_after_some, SOME_GRAPH, leaves, 1e-5)


some = Exercise(
    name="some",
    title="the loss when only some tensors adapt",
    minutes=12,
    difficulty=3,
    stub='''\
def loss_after_some(params, support, query, loss, inner_lr, steps, moving):
    """The query loss of one task when only the tensors named in `moving` adapt.

    params: {name: float64 tensor that requires gradients}, to be left as it is.
    loss(params, points) is one number. moving: a tuple of names; `steps` gradient
    steps of size inner_lr on the support change these tensors, the others stay as
    they are. Returns a tensor that can be differentiated with respect to all params.
    """
    raise NotImplementedError
''',
    judge=judge_some,
    reference=loss_after_some,
    praise="Head only is ANIL, body only is BOIL, and the outer loop learns everything in both.",
    hints=(
        "It is `adapt` with one change: which names the new dictionary takes from the step.",
        "Start from `dict(params)`, and in each step replace the entries named in `moving`.",
        "`adapted[name] = adapted[name] - inner_lr * grads[name]`, with `torch.func.grad`.",
    ),
    symptom_hints={
        "frozen": "no `detach()` and no `requires_grad_(False)` on what stays.",
        "first order": "`torch.func.grad` keeps the graph; `torch.autograd.grad` does when asked.",
    },
    alternatives=(some_by_autograd, some_by_rates),
    mutants=mutants_of(SOME, SOME_GRAPH),
)

check = Chapter("06", head, alone_exercise, permute, some, rate)
