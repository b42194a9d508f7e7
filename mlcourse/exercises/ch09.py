"""Chapter 09, sine waves the metric way: four exercises, references, right and wrong answers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..tasks import Points
from .engine import (
    CUT,
    Chapter,
    Exercise,
    close,
    drawn,
    edited,
    flows,
    judge_answers,
    judge_flow,
    judge_numbers,
    known_mistakes,
    labels_of,
    mutants_of,
    read_row,
    read_table,
    require,
    seeded,
)

# ---------------------------------------------------------------- embed: sets of any size


def embed_sets(point_net, whole_net, sets, there):
    z = point_net(sets) * there.unsqueeze(-1)
    return whole_net(z.sum(-2) / there.sum(-1, keepdim=True))


def embed_by_where(point_net, whole_net, sets, there):
    z = point_net(sets)
    z = torch.where(there[..., None], z, torch.zeros_like(z))
    return whole_net(z.sum(dim=-2) / there[..., None].sum(dim=-2))


def embed_by_loop(point_net, whole_net, sets, there):
    rows = [
        whole_net(point_net(points[mask]).mean(0))
        for points, mask in zip(sets.flatten(0, -3), there.flatten(0, -2))
    ]
    return torch.stack(rows).view(*sets.shape[:-2], -1)


def embed_by_weights(point_net, whole_net, sets, there):
    weights = there.double() / there.sum(-1, keepdim=True)
    return whole_net(torch.einsum("...p,...pd->...d", weights, point_net(sets)))


def embed_positions(point_net, whole_net, sets, there):
    """The places in the list count."""
    places = torch.arange(1.0, sets.shape[-2] + 1, dtype=sets.dtype) * there
    z = point_net(sets) * places.unsqueeze(-1)
    return whole_net(z.sum(-2) / places.sum(-1, keepdim=True))


EMBEDDING = known_mistakes(
    embed_sets,
    """
sum: / there.sum(-1, keepdim=True) =>
    This is the sum over the points: it grows with their number. Take the mean.
padding counted: there.sum(-1, keepdim=True) => there.shape[-1]
    You divide by all places, the empty ones too; divide by the points that are there.
empty points in: * there.unsqueeze(-1) => * 1
    The empty places are summed, too; only the points with `there` count.
zeros in: point_net(sets) * there.unsqueeze(-1) => point_net(sets * there.unsqueeze(-1))
    You emptied the points before `point_net`, which gives something for an empty point, too.
mask upside down: * there.unsqueeze(-1) => * ~there.unsqueeze(-1)
    You keep the empty places and drop the points; `there` is True for a point.
no second network: whole_net(z.sum(-2) / there.sum(-1, keepdim=True)) => z.sum(-2) / there.sum(-1, keepdim=True)
    This is the mean before `whole_net`; send it through.
largest: z.sum(-2) / there.sum(-1, keepdim=True) => z.amax(-2)
    This is the largest of each feature; take the mean.
largest there: z.sum(-2) / there.sum(-1, keepdim=True) => point_net(sets).masked_fill(~there.unsqueeze(-1), -torch.inf).amax(-2)
    This is the largest of each feature over the points that are there; take the mean.
mean first: whole_net(z.sum(-2) => whole_net(point_net((sets * there.unsqueeze(-1)).sum(-2) / there.sum(-1, keepdim=True))) if True else (z.sum(-2)
    You take the mean of the points, and then `point_net`; send each point through it first.
all sets: there.sum(-1, keepdim=True) => there.sum()
    You divide by the points of all sets together; each set has its own number.
return: return whole_net => return z, whole_net
shape: .sum(-2) / there.sum(-1, keepdim=True) => .sum((-3, -2))
value: / there.sum => / 1.1 / there.sum
""",  # noqa: E501
)
EMBEDDING["mask ignored"] = (
    lambda point_net, whole_net, sets, there: whole_net(point_net(sets).mean(-2)),
    "This is the mean over all places, with the empty ones; only those with `there` count.",
)


def mean_of_wholes(point_net, whole_net, sets, there):
    z = whole_net(point_net(sets)) * there.unsqueeze(-1)
    return z.sum(-2) / there.sum(-1, keepdim=True)


EMBEDDING["mean last"] = (
    mean_of_wholes,
    "You take the mean after `whole_net`; it stands between the two networks.",
)


class Net:
    """A small network with parameters that gradients are looked for in; (…, ins) to (…, outs)."""

    def __init__(self, ins: int, outs: int, seed: int):
        self.weight = drawn(ins, outs, seed=seed).requires_grad_()
        self.bias = drawn(outs, seed=seed + 1).requires_grad_()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight + self.bias)


def embed_case(*shape: int) -> tuple:
    """Sets of this shape, up to a point; some places are empty, and hold numbers all the same."""
    nets = Net(2, 4, 10 * shape[-1]), Net(4, 4, 3)
    there = torch.rand(shape, generator=seeded(shape[0])) < 0.6
    there[..., 0] |= ~there.any(-1)
    return *nets, drawn(*shape, 2, seed=sum(shape)), there


def judge_embed(fn: Callable) -> None:
    """Shapes, values, another order of the points, and the way back to the first network."""
    cases = [embed_case(*shape) for shape in ((2, 3, 7), (4, 5), (3, 4, 4), (2, 2, 2, 3), (6, 1))]
    point_net, whole_net, sets, there = cases[0]
    answers = [fn(*case) for case in cases]
    answers.append(fn(point_net, whole_net, sets.roll(1, -2), there.roll(1, -1)))
    shapes = [(*case[2].shape[:-2], case[1].weight.shape[1]) for case in [*cases, cases[0]]]
    words = "a mean over the points, the last axis but one,"
    *found, turned = (read_table(a, shape, words) for a, shape in zip(answers, shapes))
    text = "With the same points in another order your answer is another one."
    require(close(turned, found[0], 1e-9), "order", text)
    judge_answers(found, cases, embed_sets, EMBEDDING, within=1e-9)
    with torch.enable_grad():
        right = [embed_sets(*case) for case in cases]
    for net, symptom, name in ((1, "whole cut", "whole_net"), (0, "cut", "point_net")):
        yours, ours = (
            flows(a, cases, lambda case, net=net: [case[net].weight]) for a in (answers, right)
        )
        alike = all(close(a, b, 1e-8) for a, b in zip(yours, ours))
        require(alike, symptom, CUT.format(f"to `{name}`"))


embed = Exercise(
    name="embed",
    title="one vector for a set of points",
    minutes=8,
    difficulty=2,
    stub='''\
def embed_sets(point_net, whole_net, sets, there):
    """One vector a set: point_net on each point, the mean, whole_net on the mean.

    sets: float64 (…, points, 2); there: bool (…, points), False for an empty place,
    whose numbers mean nothing; each set has a point. Returns (…, features).
    point_net maps (…, 2) to (…, hidden), whole_net (…, hidden) to (…, features).
    """
    raise NotImplementedError
''',
    judge=judge_embed,
    reference=embed_sets,
    praise="Any order, any number, and nothing for an empty place.",
    hints=(
        "`point_net(sets)` is (…, points, hidden); the empty places are to add nothing.",
        "`there.unsqueeze(-1)` has the shape to multiply with, and `there.sum(-1, keepdim=True)` "
        "is the number to divide by.",
        "Sum over the axis −2, divide, and send the mean through `whole_net`.",
    ),
    symptom_hints={
        "zeros in": "`point_net(0)` is not zero: its bias is in it. Empty its output instead.",
        "order": "Only sums (means, maxima) over the points forget their order.",
    },
    alternatives=(embed_by_where, embed_by_loop, embed_by_weights),
    mutants=mutants_of(EMBEDDING)
    | {
        "order": embed_positions,
        "cut": edited(embed_sets, "point_net(sets) *", "point_net(sets).detach() *"),
        "whole cut": edited(embed_sets, "keepdim=True))", "keepdim=True)).detach()"),
        "input changed": edited(
            embed_sets, "z = point_net", "sets[~there] = 0.0\n    z = point_net"
        ),
        "not finite": edited(
            embed_sets, "there.sum(-1, keepdim=True)", "(0 * there.sum(-1, True))"
        ),
    },
)

# ---------------------------------------------------------------- two points: amplitude and phase


def wave_through(x, y):
    a, b = torch.linalg.solve(torch.stack([x.sin(), x.cos()], 1), y)
    return torch.hypot(a, b), torch.atan2(-b, a)


def wave_by_hand(x, y):
    """Cramer's rule; the phase from the sign of both coefficients."""
    (x1, x2), (y1, y2) = x.tolist(), y.tolist()
    det = math.sin(x1) * math.cos(x2) - math.cos(x1) * math.sin(x2)
    a = (y1 * math.cos(x2) - y2 * math.cos(x1)) / det
    b = (math.sin(x1) * y2 - math.sin(x2) * y1) / det
    return [math.sqrt(a * a + b * b), math.atan2(-b, a)]


def wave_by_complex(x, y):
    """y = Im(A e^{i(x − φ)}): one complex number holds both."""
    basis = torch.stack([x.sin(), x.cos()], 1)
    a, b = torch.linalg.lstsq(basis, y.unsqueeze(1)).solution.flatten()
    z = torch.complex(a, b)
    return z.abs(), -z.angle()


WAVES = known_mistakes(
    wave_through,
    """
degrees: torch.atan2(-b, a) => torch.rad2deg(torch.atan2(-b, a))
    Your phase is in degrees; x and φ are in radians.
half a turn more: torch.atan2(-b, a) => torch.atan2(-b, a) + torch.pi
    Your phase is half a turn off: this is minus the wave.
arc cosine: torch.atan2(-b, a) => torch.acos(a / torch.hypot(a, b))
    An arc cosine does not see the sign of the phase; `atan2` sees both signs.
arc sine: torch.atan2(-b, a) => torch.asin(-b / torch.hypot(a, b))
    An arc sine sees no phase beyond a quarter turn; `atan2` sees both signs.
sine and cosine swapped: torch.stack([x.sin(), x.cos()], 1) => torch.stack([x.cos(), x.sin()], 1)
    Your coefficients are exchanged: the one of sin x is A cos φ, that of cos x is −A sin φ.
equations transposed: x.cos()], 1) => x.cos()], 0)
    Your two equations are transposed: a row of the matrix is a point, sin x and cos x of it.
phase upside down: torch.atan2(-b, a) => torch.atan2(b, a)
    Your phase has the wrong sign: A sin(x − φ) = A cos φ sin x − A sin φ cos x.
coefficients swapped: torch.atan2(-b, a) => torch.atan2(a, -b)
    Your phase is that of the exchanged coefficients: A cos φ stands before sin x.
half a turn: torch.atan2(-b, a) => torch.atan(-b / a)
    With `atan` a wave cannot be told from its negative; `atan2` sees both signs.
amplitude squared: torch.hypot(a, b) => a**2 + b**2
    Your amplitude is squared; take the root.
amplitude a sum: torch.hypot(a, b) => a.abs() + b.abs()
    Your amplitude is |a| + |b|; the two coefficients are legs of a right angle.
coefficients: torch.hypot(a, b), torch.atan2(-b, a) => a, b
    These are the coefficients of sin and cos; turn them into amplitude and phase.
places ignored: torch.stack([x.sin(), x.cos()], 1) => torch.eye(2, dtype=x.dtype)
    Your answer does not depend on the places x.
order: torch.hypot(a, b), torch.atan2(-b, a) => torch.atan2(-b, a), torch.hypot(a, b)
    You return phase and amplitude; the amplitude comes first.
return: return torch.hypot(a, b), torch.atan2(-b, a) => return torch.hypot(a, b)
not finite: torch.hypot(a, b), => a / 0,
value: torch.hypot(a, b), => 1.1 * torch.hypot(a, b),
""",
)


def wave_case(amplitude: float, phase: float, *places: float) -> tuple[Tensor, Tensor]:
    x = torch.tensor(places, dtype=torch.float64)
    return x, amplitude * torch.sin(x - phase)


def on_circle(numbers: Tensor) -> Tensor:
    """Amplitude and phase, the phase as a number of (−π, π] that all its equals share."""
    return torch.stack([numbers[0], torch.atan2(numbers[1].sin(), numbers[1].cos())])


def judge_waves(fn: Callable) -> None:
    """Phases in all four quadrants, places in any order."""
    cases = [
        wave_case(*values)
        for values in (
            *((2.0137, 0.7071, 0.3, 1.9), (0.4321, 2.5, -3.0, 4.2), (4.8, -1.2345, 2.0, 1.0)),
            *((1.5, -2.7183, -4.5, -0.2), (3.0, 3.0, 0.5, 4.9), (1.0, 0.2, 4.0, -4.0)),
        )
    ]
    what, answers = "amplitude and phase, two numbers", []
    for case in cases:
        answers.append(read_row(fn(*case), 2, what))

    def run(right, case):
        found = right(*case)
        return torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in found])

    negative = all(a[0] < 0 for a in answers)
    text = "Your amplitude is negative; A is above zero, and the phase turns the wave round."
    require(not negative, "negative", text)
    # a phase is right up to a full turn, unless the order of the two numbers is wrong
    names = ("the amplitude", "the phase, less full turns,")
    turned = [on_circle(a) for a in answers]
    judge_answers(
        turned, cases, wave_through, WAVES, lambda f, c: on_circle(run(f, c)), names, 1e-6
    )


two_points = Exercise(
    name="two_points",
    title="amplitude and phase from two points",
    minutes=7,
    difficulty=1,
    stub='''\
def wave_through(x, y):
    """Amplitude A > 0 and phase φ of the wave A sin(x − φ) through two points.

    x, y: float64 (2,), places that do not lie a multiple of π apart. φ is meant up to
    full turns. Returns two numbers, A and φ.
    """
    raise NotImplementedError
''',
    judge=judge_waves,
    reference=wave_through,
    praise="Two equations, two unknowns: nothing is left to learn about this wave.",
    hints=(
        "A sin(x − φ) = a sin x + b cos x with a = A cos φ and b = −A sin φ.",
        "The two points are two linear equations for a and b: `torch.linalg.solve`.",
        "A = √(a² + b²); for φ use `torch.atan2`, which looks at both signs.",
    ),
    symptom_hints={"half a turn": "`torch.atan2(−b, a)` is the angle whose sine is −b/A."},
    alternatives=(wave_by_hand, wave_by_complex),
    mutants=mutants_of(WAVES)
    | {
        "negative": edited(
            wave_through,
            "torch.hypot(a, b), torch.atan2(-b, a)",
            "-torch.hypot(a, b), torch.atan2(b, -a)",
        ),
        "input changed": edited(wave_through, "return torch", "x += 1.0\n    return torch"),
    },
)

# ---------------------------------------------------------------- head: the loss after a solve


def solved_loss(features, support, query, penalty):
    z = features(support.x)
    gram = z.mT @ z + penalty * torch.eye(z.shape[1], dtype=z.dtype)
    w = torch.linalg.solve(gram, z.mT @ support.y)
    return (features(query.x) @ w - query.y).square().mean()


def solved_in_the_points(features, support, query, penalty):
    z, y = features(support.x), support.y
    gram = z @ z.T + penalty * torch.eye(len(z), dtype=z.dtype)
    w = z.T @ torch.linalg.solve(gram, y)
    return torch.nn.functional.mse_loss(features(query.x) @ w, query.y)


def solved_with_rows(features, support, query, penalty):
    """Ridge is least squares with d more points: √penalty on the diagonal, and zeros to fit."""
    z = features(support.x)
    d = z.shape[1]
    rows = torch.cat([z, penalty**0.5 * torch.eye(d, dtype=z.dtype)])
    y = torch.cat([support.y, torch.zeros(d, 1, dtype=z.dtype)])
    w = torch.linalg.pinv(rows) @ y
    return ((features(query.x) @ w - query.y) ** 2).sum() / len(query.y)


HEADS = known_mistakes(
    solved_loss,
    """
support judged: (features(query.x) @ w - query.y) => (features(support.x) @ w - support.y)
    This is the loss on the support set; judge on the query set.
query solved: z = features(support.x) => z, support = features(query.x), query
    You solved on the query set, which is the exam; solve on the support set.
penalty forgotten: + penalty * torch.eye(z.shape[1], dtype=z.dtype) => + 1e-9 * torch.eye(z.shape[1], dtype=z.dtype)
    This is least squares: the penalty is missing.
penalty by points: + penalty * => + len(z) * penalty *
    Your penalty is multiplied by the number of points: the squared errors are summed, not averaged.
penalty over points: + penalty * => + penalty / len(z) *
    Your penalty is divided by the number of points: add it to the Gram matrix as it is.
penalty squared: + penalty * => + penalty**2 *
    Your penalty is squared; it stands in the equation as it is.
penalty everywhere: torch.eye(z.shape[1], dtype=z.dtype) => torch.ones(z.shape[1], z.shape[1], dtype=z.dtype)
    You add the penalty to every number of the Gram matrix; only its diagonal gets it.
sum: .square().mean() => .square().sum()
    This is the sum of the squared errors; return their mean.
halved: .square().mean() => .square().mean() / 2
    This is half of the mean squared error.
absolute: .square().mean() => .abs().mean()
    This is the mean absolute error; square the errors.
broadcast: - query.y) => - query.y[:, 0])
    A column less a row is a table: every answer was compared with every y.
penalty counted: .square().mean() => .square().mean() + penalty * w.square().sum()
    You added the penalty to the loss; it belongs to the solve alone.
penalty halved: + penalty * => + penalty / 2 *
    Your penalty is halved: neither term of the sum has a ½, so none is left.
penalty doubled: + penalty * => + 2 * penalty *
    Your penalty is doubled: both terms have a 2 in their gradients, and it cancels.
penalty's root: + penalty * => + penalty**0.5 *
    You added the root of the penalty; the root belongs to rows under Z, not to the Gram matrix.
both solved: z = features(support.x) => q = len(query.x); support = Points(*map(torch.cat, zip(support, query))); z = features(support.x)
    You solved on both sets, and the query set is the exam; solve on the support set.
places: z = features(support.x) => features = lambda x: x; z = features(support.x)
    You fitted the places x; send both sets through `features`.
root: .square().mean() => .square().mean().sqrt()
    This is the root of the loss; return the mean squared error itself.
no head: @ w - => .sum(1, keepdim=True) -
    The head is not used: multiply the features of the query points by it.
return: return ( => return w, (
value: @ w - query.y => @ w - 1.1 * query.y
""",  # noqa: E501
)


def solved_with_offset(features, support, query, penalty):
    z, y = features(support.x), support.y
    mean_z, mean_y = z.mean(0), y.mean(0)
    return solved_loss(
        lambda x: features(x) - mean_z,
        Points(support.x, y - mean_y),
        Points(query.x, query.y - mean_y),
        penalty,
    )


HEADS["offset"] = (
    solved_with_offset,
    "Your head has an offset; the w that is asked for has none.",
)


def solved_with_ones(features, support, query, penalty):
    def longer(x):
        return torch.cat([features(x), torch.ones(len(x), 1, dtype=x.dtype)], 1)

    return solved_loss(longer, support, query, penalty)


HEADS["column of ones"] = (
    solved_with_ones,
    "Your head has a bias, from a column of ones; the w that is asked for has none.",
)
HEAD_GRAPH = known_mistakes(
    solved_loss,
    """
detached: w = torch.linalg.solve(gram, z.mT @ support.y) => w = torch.linalg.solve(gram, z.mT @ support.y).detach()
    The loss is right, but no gradient flows through the solve: the head was taken for a constant.
cut: return (features(query.x) @ w - query.y) => return (features(query.x).detach() @ w.detach() - query.y)
    The loss is right, but no gradient flows back to the features: the graph was cut.
half a solve: w = torch.linalg.solve(gram, => w = torch.linalg.solve(gram.detach(),
    The loss is right, but the Gram matrix was taken for a constant: its gradient is missing.
right side cut: z.mT @ support.y) => z.detach().mT @ support.y)
    The loss is right, but Zᵀy was taken for a constant: its gradient is missing.
query cut: features(query.x) @ w => features(query.x).detach() @ w
    The loss is right, but the features of the query points were taken for constants.
""",  # noqa: E501
)


def head_case(n_features: int, points: int, penalty: float) -> tuple:
    seed = 10 * n_features + points
    support, query = (Points(*drawn(2, n, 1, seed=seed + n)) for n in (points, 6))
    return Net(1, n_features, seed), support, query, penalty


def judge_head(fn: Callable) -> None:
    """More features than points and fewer; the loss, then what flows back through the solve."""
    sizes = (3, 8, 0.5), (5, 2, 0.1), (4, 4, 2.0), (2, 5, 0.03), (6, 3, 1.5)
    cases = [head_case(*size) for size in sizes]
    answers = judge_numbers(fn, cases, solved_loss, HEADS, ("the loss",))

    def leaves(case: tuple) -> list[Tensor]:
        return [case[0].weight, case[0].bias]

    judge_flow(answers, cases, solved_loss, HEAD_GRAPH, leaves, 1e-5)


head = Exercise(
    name="head",
    title="the loss after a solve",
    minutes=10,
    difficulty=2,
    stub='''\
def solved_loss(features, support, query, penalty):
    """The mean squared error on the query set of the head that the support set solves.

    features(x) is (points, d). support, query: Points, x and y float64 (points, 1).
    The head w (d, 1) minimises Σ (features(x) w − y)² + penalty · Σ w² over the support
    set. Returns a tensor of one number; gradients flow to the features, through w, too.
    """
    raise NotImplementedError
''',
    judge=judge_head,
    reference=solved_loss,
    praise="Solved on the support, judged on the query, and differentiable through the solve.",
    hints=(
        "Setting the gradient to zero gives (ZᵀZ + penalty · I) w = Zᵀy.",
        "`torch.linalg.solve(gram, z.mT @ y)` is w, and torch can differentiate it.",
        "Then `features(query.x) @ w`, and the mean squared difference from `query.y`.",
    ),
    symptom_hints={
        "detached": "Leave out `detach`, `no_grad` and `.data`: w is a function of the features.",
        "penalty by points": "Sum, not mean, over the support set: the equation has Σ.",
    },
    alternatives=(solved_in_the_points, solved_with_rows),
    mutants=mutants_of(HEADS, HEAD_GRAPH)
    | {
        "input changed": edited(solved_loss, "z = features", "query.y.mul_(2)\n    z = features"),
        "not finite": edited(solved_loss, "return (features", "return math.nan * (features"),
    },
)

# ---------------------------------------------------------------- zero head: one step of MAML


def logits_after_step(z, y, z_query, n_way, inner_lr):
    members = torch.nn.functional.one_hot(y, n_way).to(z.dtype)
    wrong = members - 1 / n_way  # the label minus the softmax of zeros
    w, b = inner_lr * wrong.mT @ z / len(z), inner_lr * wrong.mean(0)
    return z_query @ w.mT + b


def step_by_autograd(z, y, z_query, n_way, inner_lr):
    w = torch.zeros(n_way, z.shape[1], dtype=z.dtype, requires_grad=True)
    b = torch.zeros(n_way, dtype=z.dtype, requires_grad=True)
    loss = cross_entropy(z @ w.T + b, y)
    w_grad, b_grad = torch.autograd.grad(loss, (w, b))
    return z_query @ (-inner_lr * w_grad).T - inner_lr * b_grad


def step_by_prototypes(z, y, z_query, n_way, inner_lr):
    """Without the terms that all classes share: shots count twice, in the weight and the bias."""
    columns = []
    for k in range(n_way):
        mine = z[y == k]
        share = len(mine) / len(z)
        columns.append(inner_lr * share * (z_query @ mine.mean(0) + 1))
    return torch.stack(columns, 1)


def protonet_head(z, y, z_query, n_way, inner_lr):
    c = torch.stack([z[y == k].mean(0) for k in range(n_way)])
    return 2 * z_query @ c.mT - c.square().sum(1)


def balanced_head(z, y, z_query, n_way, inner_lr):
    c = torch.stack([z[y == k].mean(0) for k in range(n_way)])
    return inner_lr / n_way * z_query @ c.mT


def two_steps(z, y, z_query, n_way, inner_lr):
    """Two steps; the second starts where the first one ended."""
    once = logits_after_step(z, y, z, n_way, inner_lr).softmax(1)
    wrong = torch.nn.functional.one_hot(y, n_way).to(z.dtype) - once
    more = inner_lr * (z_query @ z.mT + 1) @ wrong / len(z)
    return logits_after_step(z, y, z_query, n_way, inner_lr) + more


def squared_step(z, y, z_query, n_way, inner_lr):
    members = torch.nn.functional.one_hot(y, n_way).to(z.dtype)
    return 2 * inner_lr * (z_query @ z.mT + 1) @ members / (len(z) * n_way)


STEPPING = known_mistakes(
    logits_after_step,
    """
no step: inner_lr * wrong.mT @ z / len(z), inner_lr * wrong.mean(0) => 0 * wrong.mT @ z, 0 * wrong.mean(0)
    All your logits are alike: the head is still zero. Take the step.
uphill: return z_query @ w.mT + b => return -z_query @ w.mT - b
    Your step goes up the gradient; subtract it.
sum: inner_lr * wrong.mT @ z / len(z), inner_lr * wrong.mean(0) => inner_lr * wrong.mT @ z, inner_lr * wrong.sum(0)
    This is a step on the sum of the losses; the loss is their mean.
sorted: members = torch.nn.functional.one_hot(y, n_way) => members = torch.nn.functional.one_hot(y.sort().values, n_way)
    You take the labels to stand in order; they come in any order.
class means: w, b = inner_lr * wrong.mT @ z / len(z), inner_lr * wrong.mean(0) => w, b = inner_lr * (members / members.sum(0)).mT @ z, 0 * wrong.mean(0)
    Your weights are α times the class means: a step on the mean loss has nₖ/n of them.
means and shares: w, b = inner_lr * wrong.mT @ z / len(z), => w, b = inner_lr * (members / members.sum(0)).mT @ z,
    Your bias is right; your weights are α times the class means, and nₖ/n is missing in them.
over the classes: wrong.mT @ z / len(z), inner_lr * wrong.mean(0) => wrong.mT @ z / n_way, inner_lr * wrong.sum(0) / n_way
    You divide by the number of classes; the mean loss divides by that of points.
no rate: inner_lr * wrong.mT @ z / len(z), inner_lr * wrong.mean(0) => wrong.mT @ z / len(z), wrong.mean(0)
    Your step has the length one; multiply by α.
bias at zero: + b => + 0 * b
    The weights are right, and the bias takes a step, too: it follows the number of shots.
bias alone: z_query @ w.mT + b => 0 * z_query @ w.mT + b
    Only the bias has moved; the weights take a step, too.
probabilities: return z_query @ w.mT + b => return (z_query @ w.mT + b).softmax(1)
    These are probabilities; return the logits before the softmax.
return: return z_query @ w.mT + b => return w, b
shape: return z_query @ w.mT + b => return (z_query @ w.mT + b).mT
not finite: / len(z) => / 0
value: return z_query => return 1.1 * z_query
""",  # noqa: E501
) | {
    "two steps": (two_steps, "You took two steps of the gradient; take one."),
    "squared error": (
        squared_step,
        "This is a step on the squared error; the loss is the cross-entropy.",
    ),
    "prototypes": (
        protonet_head,
        "This is ProtoNet's head, w = 2c and b = −‖c‖²; a step from zero knows no ‖c‖².",
    ),
    "equal shots": (
        balanced_head,
        "This holds for equal shots; here classes with more shots pull more, and so does the bias.",
    ),
}


def step_case(shots: tuple[int, ...], d: int, inner_lr: float) -> tuple:
    y = labels_of(shots, seeded(d))
    z, z_query = drawn(len(y), d, seed=len(y)) + 0.5, drawn(4, d, seed=d)
    return z, y, z_query, len(shots), inner_lr


def differences(logits: Tensor) -> Tensor:
    """Without what all classes share."""
    return logits - logits.mean(1, keepdim=True)


def stepped(fn: Callable, case: tuple) -> Tensor:
    return differences(fn(*case).detach().double())


def judge_step(fn: Callable) -> None:
    """Balanced and unbalanced support sets; numbers that all classes share do not count."""
    sizes = ((2, 2, 2), 4, 0.5), ((1, 3), 3, 1.0), ((4, 1, 2, 1), 5, 0.1), ((1,) * 5, 2, 2.0)
    cases = [step_case(*size) for size in sizes]
    answers = [differences(read_table(fn(*case), (4, case[3]), "logits")) for case in cases]
    names = ("a logit, less the mean of its row,",)
    judge_answers(answers, cases, logits_after_step, STEPPING, stepped, names, 1e-6)


zero_head = Exercise(
    name="zero_head",
    title="one step of MAML on a head of zeros",
    minutes=10,
    difficulty=2,
    stub='''\
def logits_after_step(z, y, z_query, n_way, inner_lr):
    """The logits after one gradient step on a linear head, weights and bias, from zero.

    z: support features, float64 (points, d); y: labels in 0…n_way−1, all there, and
    some more often; z_query: (queries, d). The loss is the mean cross-entropy.
    Returns (queries, n_way), up to a number which all classes share.
    """
    raise NotImplementedError
''',
    judge=judge_step,
    reference=logits_after_step,
    praise="One step from zero weighs a query against class means: a prototype classifier.",
    hints=(
        "At zero every softmax is 1/N: the gradient of a logit is 1/N, less 1 for the true class.",
        "So wₖ = (α/n) Σ (1[y = k] − 1/N) z over the n support points, and b likewise without z.",
        "`one_hot(y, n_way) − 1 / n_way` is the bracket; a matrix product does the sum.",
    ),
    symptom_hints={
        "equal shots": "wₖ = α (nₖ/n) cₖ and bₖ = α nₖ/n, but for what all classes share.",
    },
    alternatives=(step_by_autograd, step_by_prototypes),
    mutants=mutants_of(STEPPING)
    | {
        "input changed": edited(
            logits_after_step, "return z_query", "z.mul_(2)\n    return z_query"
        )
    },
)

check = Chapter("09", embed, two_points, head, zero_head)
