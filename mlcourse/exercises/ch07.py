"""Chapter 07, ProtoNets, the mathematics: seven exercises with right and wrong answers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .engine import (
    CUT,
    Chapter,
    Exercise,
    NotYet,
    Raised,
    drawn,
    judge_answers,
    judge_flow,
    judge_numbers,
    known_mistakes,
    labels_of,
    mutants_of,
    one_line,
    read_numbers,
    read_pair,
    read_table,
    require,
    seeded,
    to_tensor,
)

D = torch.float64

# ---------------------------------------------------------------- prototypes: the class means


def prototypes(features, labels, n_way):
    return torch.stack([features[labels == k].mean(0) for k in range(n_way)])


def prototypes_by_matrix(features, labels, n_way):
    belongs = torch.nn.functional.one_hot(labels, n_way).to(features.dtype)
    return belongs.T @ features / belongs.sum(0)[:, None]


def prototypes_by_adding(features, labels, n_way):
    sums = torch.zeros(n_way, features.shape[1], dtype=D).index_add(0, labels, features)
    return sums / torch.bincount(labels, minlength=n_way).unsqueeze(1)


def prototypes_one_by_one(features, labels, n_way):
    rows = [[z for z, y in zip(features, labels) if y == k] for k in range(n_way)]
    return torch.stack([sum(points) / len(points) for points in rows])


BALANCED = known_mistakes(
    prototypes,
    """
sum: .mean(0) => .sum(0)
    These are the sums of the points; divide by how many there are.
first drawing: .mean(0) => [0]
    These are the first points of each class; take the mean of all.
median: .mean(0) => .median(0).values
    These are the medians; the prototype is the mean.
length one: features[labels == k].mean(0) => torch.nn.functional.normalize(features[labels == k].mean(0), dim=0)
    Your prototypes have the length one; the mean keeps its length.
all points: features[labels == k] => features
    Every prototype of yours is the mean of all points; take those of its class.
order of appearance: range(n_way) => dict.fromkeys(labels.tolist())
    Your rows come in the order in which the labels appear; row k belongs to label k.
blocks: features[labels == k] => features.reshape(n_way, -1, features.shape[1])[k]
    You take the labels to stand in blocks, 0, 0, 1, 1, …; they come in any order.
in turn: features[labels == k] => features[k::n_way]
    You take the labels to stand in turn, 0, 1, 2, 0, 1, 2, …; they come in any order.
transposed: return torch.stack([features[labels == k].mean(0) for k in range(n_way)]) => return torch.stack([features[labels == k].mean(0) for k in range(n_way)]).T
wrong axis: return torch.stack([features[labels == k].mean(0) for k in range(n_way)]) => return torch.stack([features[labels == k].mean(1) for k in range(n_way)])
return: return torch.stack => return None; torch.stack
not finite: .mean(0) => .mean(0) / 0
value: .mean(0) => .mean(0) * 1.1
""",  # noqa: E501
)
UNEQUAL = known_mistakes(
    prototypes,
    """
total: .mean(0) => .sum(0) * n_way / len(labels)
    You divide every class by the mean number of points; divide by its own number.
equal shares: features[labels == k] => features[labels.argsort(stable=True)].tensor_split(n_way)[k]
    You sort the points and cut them into parts of equal size; classes have other sizes.
equal pieces: features[labels == k] => features[labels.argsort(stable=True)][len(labels) // n_way * k :][: len(labels) // n_way]
    You take len(labels) // n_way points for each class; classes have other sizes.
first count: .mean(0) => .sum(0) / (labels == 0).sum()
    You divide every class by the number of points of class 0; divide by its own.
last count: .mean(0) => .sum(0) / (labels == n_way - 1).sum()
    You divide every class by the number of points of the last one; divide by its own.
smallest class: features[labels == k] => features[labels == k][: int(labels.bincount().min())]
    You keep as many points of every class as the smallest one has; take the mean of all.
""",  # noqa: E501
)
CUT_MEANS = known_mistakes(
    prototypes,
    "cut: .mean(0) => .mean(0).detach()\n    " + CUT.format("to the features"),
)


def means_case(counts: tuple, dim: int) -> tuple:
    """Features that require gradients and shuffled labels, neither in blocks nor in turn."""
    labels = labels_of(counts, seeded(dim))
    return drawn(len(labels), dim, seed=len(labels)).requires_grad_(), labels, len(counts)


def read_means(answer, case: tuple) -> Tensor:
    shape, points = (case[2], case[0].shape[1]), len(case[1])
    axis = "The mean runs over the points; the features stay."
    known = {shape[::-1]: ("transposed", "A row is a class.")}
    known |= {(case[2], points // case[2]): ("wrong axis", axis)} if points % case[2] == 0 else {}
    return read_table(answer, shape, "prototypes", known)


def means_if_unequal(fn: Callable, case: tuple):
    """What worked with equal counts must not raise with others."""
    try:
        return fn(*case)
    except Raised as raised:
        counts = ", ".join(map(str, case[1].bincount().tolist()))
        text = f"With {counts} points in the classes your code raises ({one_line(raised.error)}); "
        text += "with equally many it works. Take each class's own points."
        raise NotYet("equal counts", text) from None


def judge_prototypes(fn: Callable) -> None:
    """Equal counts in any order first, then unequal ones, then the gradient."""
    sizes = ((2,) * 3, 5), ((3,) * 4, 4), ((1,) * 5, 2), ((4,) * 2, 1)
    cases = [means_case(*size) for size in sizes]
    answers = [fn(*case) for case in cases]
    found = [read_means(a, case) for a, case in zip(answers, cases)]
    judge_answers(found, cases, prototypes, BALANCED, within=1e-6)
    more = [means_case(*size) for size in (((2, 5, 1), 4), ((1, 1, 7, 3), 6), ((6, 2), 2))]
    others = [means_if_unequal(fn, case) for case in more]
    found = [read_means(a, case) for a, case in zip(others, more)]
    judge_answers(found, more, prototypes, UNEQUAL, within=1e-6)
    judge_flow(answers + others, cases + more, prototypes, CUT_MEANS, lambda case: [case[0]])


def means_by_reshaping(features, labels, n_way):
    return features[labels.argsort()].reshape(n_way, -1, features.shape[1]).mean(1)


prototypes_exercise = Exercise(
    name="prototypes",
    title="the mean of each class",
    minutes=6,
    difficulty=1,
    stub='''\
def prototypes(features, labels, n_way):
    """The mean of each class, (n_way, d).

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1, each at
    least once, in any order, not equally often. Gradients flow back to the features.
    """
    raise NotImplementedError
''',
    judge=judge_prototypes,
    reference=prototypes,
    praise="Any order, any counts, and the network behind the features can learn.",
    hints=(
        "`features[labels == k]` are the points of class k.",
        "Their mean over the points, `.mean(0)`, is a prototype, of shape (d,).",
        "`torch.stack` makes one tensor of the n_way rows, for k in `range(n_way)`.",
    ),
    symptom_hints={
        "blocks": "look at `labels` before you reshape: nobody has sorted them.",
        "total": "a class of one point and a class of nine are both divided by five.",
    },
    alternatives=(prototypes_by_matrix, prototypes_by_adding, prototypes_one_by_one),
    mutants=mutants_of(BALANCED, UNEQUAL, CUT_MEANS)
    | {
        "equal counts": means_by_reshaping,
        "shape": lambda features, labels, n_way: prototypes(features, labels, n_way)[None],
    },
)

# ---------------------------------------------------------------- bregman: a divergence


def divergence(phi, z, c):
    slope = torch.func.grad(phi)(c)
    return phi(z) - phi(c) - slope @ (z - c)


def divergence_by_autograd(phi, z, c):
    at = c if c.requires_grad else c.detach().clone().requires_grad_()
    value = phi(at)
    (slope,) = torch.autograd.grad(value, at, create_graph=True)
    return phi(z) - (value + (slope * (z - at)).sum())


def divergence_by_jvp(phi, z, c):
    value, rise = torch.func.jvp(phi, (c,), (z - c,))
    return phi(z) - value - rise


def divergence_by_jacobian(phi, z, c):
    return phi(z) - phi(c) + torch.dot(torch.func.jacrev(phi)(c), c - z)


DIVERGING = known_mistakes(
    divergence,
    """
slope at z: torch.func.grad(phi)(c) => torch.func.grad(phi)(z)
    Your slope is that at z; the plane touches φ at c.
swapped: return phi(z) => z, c = c, z; slope = torch.func.grad(phi)(c); return phi(z)
    This is the divergence of c from z; it is not symmetric.
no slope: - slope @ (z - c) => - 0 * slope @ (z - c)
    The slope is missing: this is φ(z) − φ(c).
no base: phi(z) - phi(c) - slope => phi(z) - slope
    The φ(c) is missing: a divergence is zero when z is c.
sign: - slope => + slope
    The plane rises by ∇φ(c)ᵀ(z − c), and is subtracted; look at the sign of your last term.
negative: return phi(z) - phi(c) - slope @ (z - c) => return phi(c) + slope @ (z - c) - phi(z)
    This is minus the divergence; a convex φ lies above its tangent plane.
z, not z - c: slope @ (z - c) => slope @ z
    The slope is multiplied by z; the plane starts at c, so take z − c.
plane: return phi(z) - phi(c) - slope @ (z - c) => return phi(c) + slope @ (z - c)
    This is the tangent plane at z; take it from φ(z).
slope between: torch.func.grad(phi)(c) => torch.func.grad(phi)((z + c) / 2)
    Your slope is that half way between; the plane touches φ at c.
once a coordinate: phi(z) - phi(c) - slope @ (z - c) => (phi(z) - phi(c) - slope * (z - c)).sum()
    You count φ(z) − φ(c) once for every coordinate; sum the slope's products alone.
mean of products: slope @ (z - c) => (slope * (z - c)).mean()
    You take the mean of the products; a scalar product sums them.
second order: phi(z) - phi(c) - slope @ (z - c) => 0.5 * (z - c) @ torch.func.hessian(phi)(c) @ (z - c)
    This is the second-order term alone; the divergence has all the higher ones.
halved: return phi(z) - phi(c) - slope @ (z - c) => return (phi(z) - phi(c) - slope @ (z - c)) / 2
    This is half of the divergence.
symmetric: phi(z) - phi(c) - slope @ (z - c) => (torch.func.grad(phi)(z) - slope) @ (z - c)
    This is the divergence both ways, added; take the one of z from c.
always squared: phi(z) - phi(c) - slope @ (z - c) => (z - c) @ (z - c)
    This is the squared distance whatever φ is.
return: slope @ (z - c) => slope * (z - c)
not finite: slope @ (z - c) => slope @ (z - c) / 0
value: slope @ (z - c) => 1.1 * slope @ (z - c)
""",  # noqa: E501
)
DIVERGING_GRAPH = known_mistakes(
    divergence,
    f"""
cut: return phi(z) - phi(c) - slope @ (z - c) => return (phi(z) - phi(c) - slope @ (z - c)).detach()
    {CUT.format("to z and c")}
slope cut: return phi(z) => slope = slope.detach(); return phi(z)
    The number is right, but it takes the slope for a constant, and then nothing is left to c.
z cut: slope = torch.func.grad(phi)(c) => z = z.detach(); slope = torch.func.grad(phi)(c)
    The number is right, but no gradient flows back to z.
""",
)


def entropy(x: Tensor) -> Tensor:
    return (x * x.log()).sum()


def burg(x: Tensor) -> Tensor:
    return -x.log().sum()


def mixed(x: Tensor) -> Tensor:
    """Not a sum over coordinates: every slope has something of every coordinate."""
    return torch.logsumexp(2 * x, 0) + (x.sum() ** 2) / 3


def quartic(x: Tensor) -> Tensor:
    return (x**4).sum() + x.square().sum()


def divergence_cases():
    for phi, dim in ((entropy, 3), (burg, 2), (mixed, 4), (quartic, 1), (torch.dot, 5)):
        z, c = drawn(2, dim, seed=dim).exp()
        length = (lambda x: torch.dot(x, x)) if phi is torch.dot else phi
        yield length, z.clone().requires_grad_(), c.clone().requires_grad_()


def judge_bregman(fn: Callable) -> None:
    """Five convex functions; then the derivative with respect to both points."""
    cases = list(divergence_cases())
    answers = judge_numbers(fn, cases, divergence, DIVERGING)
    judge_flow(answers, cases, divergence, DIVERGING_GRAPH, lambda case: list(case[1:]))


bregman = Exercise(
    name="bregman",
    title="above the tangent plane",
    minutes=8,
    difficulty=2,
    stub='''\
def divergence(phi, z, c):
    """The Bregman divergence of z from c, one number.

    phi: a smooth convex function of a vector, made of torch operations, that gives
    one number. z, c: float64 (d,). The answer is φ(z) minus the tangent plane of φ at
    c, taken at z. It can be differentiated with respect to z and to c.
    """
    raise NotImplementedError
''',
    judge=judge_bregman,
    reference=divergence,
    praise="One definition, and every φ brings its own divergence.",
    hints=(
        "The plane that touches φ at c has, at z, the height φ(c) + ∇φ(c)ᵀ(z − c).",
        "`torch.func.grad(phi)(c)` is ∇φ(c), and `@` is the product of two vectors.",
        "`phi(z) - phi(c) - torch.func.grad(phi)(c) @ (z - c)`.",
    ),
    symptom_hints={
        "slope cut": "`torch.autograd.grad` needs `create_graph=True`; `torch.func` does not.",
        "swapped": "try φ(x) = x⁴ on paper, with z = 0 and c = 1.",
    },
    alternatives=(divergence_by_autograd, divergence_by_jvp, divergence_by_jacobian),
    mutants=mutants_of(DIVERGING, DIVERGING_GRAPH),
)

# ---------------------------------------------------------------- linear: a layer in disguise


def linear_classifier(prototypes):
    return 2 * prototypes, -(prototypes**2).sum(1)


def linear_by_products(prototypes):
    return prototypes + prototypes, -torch.diagonal(prototypes @ prototypes.T)


def linear_about_the_mean(prototypes):
    """Every class gives up the same linear score, which the softmax cannot see."""
    w, b = linear_classifier(prototypes)
    return w - w.mean(0), b - b[0]


def linear_in_numpy(prototypes):
    c = prototypes.numpy()
    return 2 * c, [-float(row @ row) for row in c]


LINEAR = known_mistakes(
    linear_classifier,
    """
no two: return 2 * prototypes, => return prototypes,
    Your weights are c; expand ‖z − c‖², and its product comes out as 2c · z.
plus: -(prototypes**2).sum(1) => (prototypes**2).sum(1)
    Your bias is +‖c‖²; in −‖z − c‖² it is subtracted.
unsquared: -(prototypes**2).sum(1) => -(prototypes**2).sum(1).sqrt()
    Your bias is −‖c‖; the distance is squared, so the length is too.
twice: -(prototypes**2) => -2 * (prototypes**2)
    Your bias is −2‖c‖²; the two belongs to the product 2c · z.
halved: return 2 * prototypes, -(prototypes**2).sum(1) => return prototypes, -(prototypes**2).sum(1) / 2
    Your scores are half of −‖z − c‖²: the same class wins, with other probabilities.
no bias: -(prototypes**2).sum(1) => torch.zeros(len(prototypes))
    The bias is missing: without −‖c‖² long prototypes win too often.
farthest: return 2 * prototypes, -(prototypes**2).sum(1) => return -2 * prototypes, (prototypes**2).sum(1)
    Your scores are +‖z − c‖²: they prefer the farthest prototype.
minus the weight: return 2 * prototypes, => return -2 * prototypes,
    Your weights are −2c; in −‖z − c‖² the product comes out as +2c · z.
weight squared: -(prototypes**2) => -((2 * prototypes) ** 2)
    Your bias is −‖2c‖², the square of the weights; it is −‖c‖².
half the bias: -(prototypes**2).sum(1) => -(prototypes**2).sum(1) / 2
    Your bias is −½‖c‖², which goes with the weights c; with 2c it is −‖c‖².
square of the sum: (prototypes**2).sum(1) => prototypes.sum(1) ** 2
    Your bias squares the sum of the coordinates; sum their squares.
mean: -(prototypes**2).sum(1) => -(prototypes**2).mean(1)
    Your bias has the mean of the squares; ‖c‖² is their sum.
wrong axis: .sum(1) => .sum(0)
column: .sum(1) => .sum(1, keepdim=True)
shape: return 2 * prototypes, => return 2 * prototypes.T,
return: return 2 * prototypes, => return
not finite: return 2 * prototypes, => return 2 * prototypes / 0,
value: return 2 * prototypes, => return 2.2 * prototypes,
""",  # noqa: E501
)


def read_linear(answer, n_way: int, dim: int) -> tuple[Tensor, Tensor]:
    """Weight and bias in float64, or what is wrong with them."""
    weight, bias = read_pair(answer, "two tensors, weight and bias")
    axis = "Sum over the features, not over the classes."
    column = "Added to scores (points, n_way), a column is taken for one number a point."
    known = {(n_way, 1): ("column", column), (dim,): ("wrong axis", axis)}
    weight = read_table(weight, (n_way, dim), "a weight")
    return weight, read_table(bias, (n_way,), "a bias", known)


def said_by_layer(head: tuple, case: tuple) -> Tensor:
    """The log-probabilities of new points: all that may differ between right answers cancels."""
    weight, bias = (torch.as_tensor(part).double() for part in head)
    return (drawn(20, case[0].shape[1], seed=99) @ weight.T + bias).log_softmax(1)


def said_by_distance(case: tuple) -> Tensor:
    """The same by way of the distances, with nothing expanded."""
    z = drawn(20, case[0].shape[1], seed=99)
    return torch.stack([-((z - c) ** 2).sum(1) for c in case[0]], 1).log_softmax(1)


def judge_linear(fn: Callable) -> None:
    """Few and many classes, prototypes of different lengths, as many classes as features."""
    sizes = (2, 3), (5, 8), (6, 6), (3, 1), (20, 2)
    cases = [(0.6 * drawn(*size, seed=sum(size)),) for size in sizes]
    answers = [said_by_layer(read_linear(fn(*case), *case[0].shape), case) for case in cases]

    def run(head: Callable, case: tuple) -> Tensor:
        if head is linear_classifier:
            return said_by_distance(case)
        return said_by_layer(head(*case), case)

    names = ["the log-probability of a class"]
    judge_answers(answers, cases, linear_classifier, LINEAR, run, names, 1e-6)


linear = Exercise(
    name="linear",
    title="the linear layer in disguise",
    minutes=8,
    difficulty=2,
    stub='''\
def linear_classifier(prototypes):
    """Weight w (n_way, d) and bias b (n_way,) of the linear layer that ProtoNet is.

    prototypes c: float64 (n_way, d). The softmax of z @ w.T + b is that of
    −‖z − cₖ‖² for every z: what is the same for all classes drops out.
    """
    raise NotImplementedError
''',
    judge=judge_linear,
    reference=linear_classifier,
    praise="On top of the features a ProtoNet is a linear layer: straight boundaries only.",
    hints=(
        "Expand −‖z − c‖² into three terms. Which of them is the same for every class?",
        "The −‖z‖² drops out. What is multiplied by z is the weight, the rest is the bias.",
        "With 2c · z − ‖c‖² left: `2 * prototypes`, and minus the sum of squares over `dim=1`.",
    ),
    symptom_hints={
        "no two": "the product in (a − b)² is counted twice.",
        "no bias": "two prototypes in one direction differ in ‖c‖² only.",
    },
    alternatives=(linear_by_products, linear_about_the_mean, linear_in_numpy),
    mutants=mutants_of(LINEAR),
)

# ---------------------------------------------------------------- probabilities: a softmax


def log_probabilities(features, prototypes):
    differences = features[:, None] - prototypes
    return (-(differences**2).sum(2)).log_softmax(1)


def said_by_expanding(features, prototypes):
    scores = 2 * features @ prototypes.T - (prototypes**2).sum(1)
    return torch.nn.functional.log_softmax(scores, dim=-1)


def said_by_mixture(features, prototypes):
    """The posterior of a mixture of normal classes with variance one half."""
    spread = torch.tensor(0.5, dtype=D).sqrt()
    rows = [torch.distributions.Normal(c, spread).log_prob(features).sum(1) for c in prototypes]
    joint = torch.stack(rows, 1)
    return joint - joint.logsumexp(1, keepdim=True)


def said_one_by_one(features, prototypes):
    rows = []
    for z in features:
        near = -torch.stack([(z - c).pow(2).sum() for c in prototypes])
        near = near - near.max()
        rows.append(near - near.exp().sum().log())
    return torch.stack(rows)


SAYING = known_mistakes(
    log_probabilities,
    """
over the points: .log_softmax(1) => .log_softmax(0)
    Your softmax runs over the points; every point's probabilities sum to one over the classes.
unsquared: (differences**2).sum(2) => (differences**2).sum(2).sqrt()
    Your distances are not squared: the same class wins, with other probabilities.
farthest: (-(differences => ((differences
    Your scores are +‖z − c‖²: the farthest prototype gets the largest probability.
probabilities: .log_softmax(1) => .softmax(1)
    These are the probabilities; return their logarithms.
scores: .log_softmax(1) => .mul(1)
    These are the scores −‖z − c‖²; normalise them by a log-softmax.
minus: return (- => return -(-
    These are minus the logarithms; a log-probability is below zero.
mean: .sum(2) => .mean(2)
    You take the mean over the features; ‖z − c‖² is the sum.
city block: differences**2 => differences.abs()
    These are sums of absolute differences; square them.
halved: (-(differences**2) => (-0.5 * (differences**2)
    Your scores are −½‖z − c‖²: there is no ½ in a ProtoNet.
no length: (-(differences**2).sum(2)) => (2 * features @ prototypes.T)
    The −‖c‖² is missing: 2c · z alone prefers long prototypes.
scalar product: (-(differences**2).sum(2)) => (features @ prototypes.T)
    Your scores are z · c; take minus the squared distances.
over everything: .log_softmax(1) => .flatten().log_softmax(0).reshape(len(features), -1)
    Your softmax runs over points and classes at once; every point's probabilities sum to one.
base two: .log_softmax(1) => .log_softmax(1) / 0.6931471805599453
    Your logarithms have the base 2; take natural ones.
cosine: (-(differences**2).sum(2)) => torch.cosine_similarity(features[:, None], prototypes, 2)
    These are cosines; take the squared distances.
other base: .log_softmax(1) => .log_softmax(1) / 2.302585092994046
    Your logarithms have the base 10; take natural ones.
transposed: .log_softmax(1) => .log_softmax(1).T
squeezed: .log_softmax(1) => .log_softmax(1).squeeze(0)
return: return (- => return None; (-
value: (-(differences**2) => (-1.1 * (differences**2)
""",
)
SAYING_FAR = known_mistakes(
    log_probabilities,
    """
overflow: .log_softmax(1) => .softmax(1).log()
rounded: .log_softmax(1) => .softmax(1).clamp(min=1e-300).log()
    A probability that is zero for a computer has no logarithm: no bound replaces `log_softmax`.
too coarse: features[:, None] - prototypes => features[:, None].float() - prototypes.float()
    Far points lost their digits: stay in float64.
""",
)
SAYING_GRAPH = known_mistakes(
    log_probabilities,
    f"""
cut: .log_softmax(1) => .log_softmax(1).detach()
    {CUT.format("to features and prototypes")}
prototypes cut: - prototypes => - prototypes.detach()
    The numbers are right, but no gradient flows back to the prototypes.
features cut: features[:, None] => features.detach()[:, None]
    The numbers are right, but no gradient flows back to the features.
""",
)


def said_case(points: int, n_way: int, dim: int, far: float = 0.0) -> tuple:
    """Points about the origin, the first one `far` away from there in every direction."""
    z, c = drawn(points, dim, seed=points), 0.7 * drawn(n_way, dim, seed=n_way + 50)
    z[0] += far
    c[1] += far / 10
    return z.requires_grad_(), c.requires_grad_()


def read_said(answer, case: tuple) -> Tensor:
    shape = len(case[0]), len(case[1])
    text = "With one point the first dimension has gone; squeeze nothing."
    known = {shape[::-1]: ("transposed", "A row is a point.")} if shape[0] > 1 else {}
    known |= {shape[1:]: ("squeezed", text)} if shape[0] == 1 else {}
    return read_table(answer, shape, "log-probabilities", known)


def far_apart(answers: list, found: list, cases: list) -> None:
    """Far points by the known mistakes; then bounds and digits, whatever made them."""
    try:
        judge_answers(found, cases, log_probabilities, SAYING_FAR, within=1e-7)
    except NotYet as wrong:
        require(wrong.symptom == "value", wrong.symptom, str(wrong))
        right = [log_probabilities(*case).detach() for case in cases]
        few = any(isinstance(a, Tensor) and a.dtype != D for a in answers)
        near = all(bool(((a - b).abs() < 1e-6 * b.abs() + 1).all()) for a, b in zip(found, right))
        require(not (few and near), "too coarse", SAYING_FAR["too coarse"][1])
        bound = max(float(a.min()) for a in found)
        cut = all(float(b.min()) < bound for b in right)
        require(not cut or bound < -800, "rounded", SAYING_FAR["rounded"][1])
        raise


def judge_probabilities(fn: Callable) -> None:
    """Near points, one, as many as classes; then far ones; then the gradient."""
    cases = [said_case(*size) for size in ((7, 5, 3), (4, 4, 2), (6, 2, 1), (1, 3, 4))]
    answers = [fn(*case) for case in cases]
    found = [read_said(a, case) for a, case in zip(answers, cases)]
    judge_answers(found, cases, log_probabilities, SAYING, within=1e-6)
    more = [said_case(5, 4, 3, far=far) for far in (60.0, 3e3, 1e5)]
    others = [fn(*case) for case in more]
    text = "A number is not finite when a point is far away: e to the −‖z − c‖² is zero there, "
    text += "and its logarithm is not. Take `log_softmax` of the scores, not `log` of a softmax."
    whole = all((t := to_tensor(a)) is None or t.isfinite().all() for a in others)
    require(whole, "overflow", text)
    found = [read_said(a, case) for a, case in zip(others, more)]
    far_apart(others, found, more)
    judge_flow(answers + others, cases + more, log_probabilities, SAYING_GRAPH, list)


probabilities = Exercise(
    name="probabilities",
    title="the softmax of distances",
    minutes=8,
    difficulty=2,
    stub='''\
def log_probabilities(features, prototypes):
    """log p(class k | z), the log-softmax of −‖z − cₖ‖²: (points, n_way).

    features z: float64 (points, d); prototypes c: float64 (n_way, d). One point or
    many; some so far away that e to the −‖z − cₖ‖² is zero for a computer: their
    log-probabilities are finite. Gradients flow back to both.
    """
    raise NotImplementedError
''',
    judge=judge_probabilities,
    reference=log_probabilities,
    praise="Squared, over the classes, and finite however far a point is.",
    hints=(
        "All differences at once: give features one more dimension, (points, 1, d).",
        "`(features[:, None] - prototypes) ** 2`, summed over the features: (points, n_way).",
        "Minus that, and `.log_softmax(1)`: over the classes, which are dimension 1.",
    ),
    symptom_hints={
        "over the points": "do the rows of `.exp()` sum to one, or the columns?",
        "overflow": "`log_softmax` subtracts the largest score before it takes any exponential.",
    },
    alternatives=(said_by_expanding, said_by_mixture, said_one_by_one),
    mutants=mutants_of(SAYING, SAYING_FAR, SAYING_GRAPH)
    | {
        "shape": lambda features, prototypes: log_probabilities(features, prototypes).max(1).values,
        "not finite": lambda features, prototypes: log_probabilities(features, prototypes) / 0,
    },
)

# ---------------------------------------------------------------- noise, distance: what shots buy


def expected_error(d, sigma, k_shot):
    return d * sigma**2 / k_shot


def error_of_each(d, sigma, k_shot):
    spread = sigma / k_shot**0.5  # the standard error of one feature
    return sum(spread * spread for _ in range(d))


def error_as_tensor(d, sigma, k_shot):
    return (torch.full((d,), float(sigma)) ** 2).sum() / torch.tensor(k_shot)


NOISE = known_mistakes(
    expected_error,
    """
no features: d * sigma => sigma
    This is the error of one feature; ‖c − μ‖² sums over d of them.
unsquared: sigma**2 => sigma
    Your noise is not squared: a variance is σ².
shots squared: / k_shot => / k_shot**2
    You divide by K²; the variance of a mean of K falls as 1/K.
root of shots: / k_shot => / k_shot**0.5
    You divide by √K; that is how the standard deviation falls, the variance falls as 1/K.
root: return d * sigma**2 / k_shot => return (d * sigma**2 / k_shot) ** 0.5
    This is the root: the question is about ‖c − μ‖², not about its length.
shots forgotten: / k_shot => / 1
    This is the error of one point; the mean of K points is nearer.
sum: / k_shot => * k_shot
    This grows with K, as for a sum of points; c is their mean.
one less: / k_shot => / max(k_shot - 1, 0.5)
    You divide by K − 1; μ is the true centre here, not an estimate.
length: d * sigma**2 / k_shot => d * sigma / k_shot**0.5
    You have d standard deviations; what adds up are variances, σ²/K.
root of features: d * sigma => d**0.5 * sigma
    You have √d; there are d squares in ‖c − μ‖².
two noises: return d => return 2 * d
    This is the noise of two prototypes; μ has none.
query too: / k_shot => * (1 + 1 / k_shot)
    The 1 is the noise of a query; here is none.
features squared: d * sigma => d**2 * sigma
    You have d²; the features are independent, so d of them have d times the variance.
return: return d => return d, d
not finite: / k_shot => / k_shot * float("inf")
value: return d => return 1.1 * d
""",
)


def simulated(d: int, sigma: float, k_shot: int, gap: float | None = None) -> Tensor:
    """Squared distances in 4000 classes: to a new point, or to the centre when gap is None."""
    g = seeded(d + k_shot)
    c = sigma * torch.randn(4000, k_shot, d, generator=g, dtype=D).mean(1)
    if gap is not None:
        c -= sigma * torch.randn(4000, d, generator=g, dtype=D)
        c[:, 0] += gap
    return c.square().sum(1)


def judge_formula(fn: Callable, cases: list, right: Callable, known: dict) -> None:
    """By the closed form; what is wrong in no known way meets a simulation."""
    answers = [read_numbers(fn(*case), "one number", one=True) for case in cases]
    try:
        judge_answers(answers, cases, right, known, names=("your answer",), within=1e-5)
    except NotYet as wrong:
        require(wrong.symptom == "value", wrong.symptom, str(wrong))
        seen = [simulated(*case) for case in cases]
        off = [abs(float(a) - s.mean()) / s.std() * 4000**0.5 for a, s in zip(answers, seen)]
        text = "Your numbers are those of a simulation; give the formula, which is exact."
        require(max(off) > 5, "simulation", text)
        worst = int(np.argmax(off))
        names = ("d", "sigma", "k_shot", "gap")
        given = ", ".join(f"{n}={v}" for n, v in zip(names, cases[worst]))
        text = f"With {given} your answer is {float(answers[worst]):.4g}; in 4000 simulated "
        text += f"classes the mean is {float(seen[worst].mean()):.4g}."
        raise NotYet("value", text) from None


def judge_noise(fn: Callable) -> None:
    cases = [(1, 1.0, 4), (8, 0.5, 1), (64, 0.3, 5), (3, 2.0, 2), (16, 1.5, 20), (5, 0.1, 3)]
    judge_formula(fn, cases, expected_error, NOISE)


noise = Exercise(
    name="noise",
    title="how far a prototype is from the centre",
    minutes=4,
    difficulty=1,
    stub='''\
def expected_error(d, sigma, k_shot):
    """The mean of ‖c − μ‖², when c is the mean of k_shot points about μ; one number.

    Each of the d features of a point is that of μ plus normal noise of standard
    deviation sigma, all independent.
    """
    raise NotImplementedError
''',
    judge=judge_noise,
    reference=expected_error,
    praise="Twice the shots, half the error; twice the features, twice the error.",
    hints=(
        "One feature first: what is the variance of the mean of K independent numbers?",
        "σ²/K for one feature; ‖c − μ‖² is the sum over all of them.",
        "d times σ² over K: `d * sigma**2 / k_shot`.",
    ),
    symptom_hints={"unsquared": "with σ twice as large, lengths double; and squared lengths?"},
    alternatives=(error_of_each, error_as_tensor),
    mutants=mutants_of(NOISE)
    | {"simulation": lambda d, sigma, k_shot: simulated(d, 1.005 * sigma, k_shot).mean()},
)


def expected_distance(d, sigma, k_shot, gap):
    return d * sigma**2 * (1 + 1 / k_shot) + gap**2


def distance_in_parts(d, sigma, k_shot, gap):
    query, prototype = d * sigma**2, d * sigma**2 / k_shot
    return gap * gap + query + prototype


def distance_as_tensor(d, sigma, k_shot, gap):
    variance = torch.tensor(sigma, dtype=D) ** 2 * (k_shot + 1) / k_shot
    return variance.expand(d).sum() + gap**2


DISTANT = known_mistakes(
    expected_distance,
    """
query forgotten: * (1 + 1 / k_shot) => / k_shot
    The noise of z itself is missing: z is a single point.
prototype forgotten: (1 + 1 / k_shot) => 1
    The noise of c is missing: it is a mean of k_shot points only, not the centre.
gap forgotten: + gap**2 => + 0
    The gap is missing: this is the distance to the prototype of z's own class.
gap unsquared: gap**2 => gap
    Your gap is not squared, and the distance is.
gap in each feature: gap**2 => d * gap**2
    The gap is the whole distance of the centres; it is not there once a feature.
no features: return d * => return 1 *
    The noise of one feature only: there are d of them.
unsquared: sigma**2 => sigma
    Your noise is not squared: a variance is σ².
shots squared: 1 / k_shot => 1 / k_shot**2
    You divide by K²; the variance of a mean of K falls as 1/K.
root of shots: 1 / k_shot => 1 / k_shot**0.5
    You divide by √K; that is how the standard deviation falls, the variance falls as 1/K.
difference of noises: (1 + 1 / k_shot) => (1 - 1 / k_shot)
    You subtract one noise from the other; variances of independent noises add, also in z − c.
deviations added: sigma**2 * (1 + 1 / k_shot) => (sigma + sigma / k_shot**0.5) ** 2
    You add the standard deviations of z and c; of independent noises the variances add.
square of the sum: return d * sigma**2 * (1 + 1 / k_shot) + gap**2 => return ((d * sigma**2 * (1 + 1 / k_shot)) ** 0.5 + gap) ** 2
    You add lengths and square; the noise has no direction, so the squares add.
two prototypes: (1 + 1 / k_shot) => (2 / k_shot)
    This is the distance of two prototypes; z is a single point.
gap with noise: + gap**2 => + gap**2 * (1 + 1 / k_shot)
    The gap has no noise in it: (1 + 1/K) belongs to dσ² alone.
minus: + gap**2 => - gap**2
    Your gap makes the distance smaller.
twice: (1 + 1 / k_shot) => (1 + 1)
    This is the distance of two single points; c is a mean of k_shot.
root: return d * sigma**2 * (1 + 1 / k_shot) + gap**2 => return (d * sigma**2 * (1 + 1 / k_shot) + gap**2) ** 0.5
    This is the root: the question is about ‖z − c‖².
return: return d => return d, d
not finite: return d => return float("nan") * d
value: return d => return 1.1 * d
""",  # noqa: E501
)


def judge_distance(fn: Callable) -> None:
    cases = [(1, 1.0, 4, 0.0), (8, 0.5, 1, 3.0), (64, 0.3, 5, 2.0), (3, 2.0, 2, 0.5)]
    cases += [(16, 1.5, 20, 4), (5, 0.1, 3, 0.7)]
    judge_formula(fn, cases, expected_distance, DISTANT)


distance = Exercise(
    name="distance",
    title="how far a query is from a prototype",
    minutes=6,
    difficulty=2,
    stub='''\
def expected_distance(d, sigma, k_shot, gap):
    """The mean of ‖z − c‖² of a new point z and a prototype c, one number.

    c is the mean of k_shot points of one class, z is not among them. The centres of
    the class of z and of that of c are `gap` apart: 0 when it is the same class.
    Every feature of every point has independent normal noise, standard deviation sigma.
    """
    raise NotImplementedError
''',
    judge=judge_distance,
    reference=expected_distance,
    praise="The classes differ in gap² only; a class of few shots looks farther away than it is.",
    hints=(
        "z − c is the difference of the centres, plus noise of z, minus noise of c.",
        "Of independent noises the variances add: σ² of z, σ²/K of c, in each feature.",
        "The mean of a square is the squared mean plus the variance: gap² + dσ²(1 + 1/K).",
    ),
    symptom_hints={"query forgotten": "let K be huge: how far is z from the centre of its class?"},
    alternatives=(distance_in_parts, distance_as_tensor),
    mutants=mutants_of(DISTANT),
)

# ---------------------------------------------------------------- unequal: shots that differ


def corrected(distances, counts, d, sigma):
    return distances - d * sigma**2 / counts


def corrected_by_columns(distances, counts, d, sigma):
    columns = [distances[:, k] - d * sigma**2 / int(counts[k]) for k in range(len(counts))]
    return torch.stack(columns, 1)


def corrected_in_numpy(distances, counts, d, sigma):
    return distances.numpy() - (d * sigma**2 / counts.numpy())[None, :]


def corrected_in_place(distances, counts, d, sigma):
    distances -= d * sigma**2 / counts
    return distances


CORRECTING = known_mistakes(
    corrected,
    """
wrong axis: / counts => / counts[:, None]
    Row i lost what belongs to class i; the classes are the columns.
added: distances - => distances +
    You add the noise; it is in the distances already, so take it off.
root of counts: / counts => / counts**0.5
    You divide by √K; that is how the standard deviation falls, the variance falls as 1/K.
total: / counts => / counts.sum()
    You divide by the points of all classes; each prototype is a mean of its own.
mean count: / counts => / counts.double().mean()
    You divide by the mean number of points: all classes lose the same, and nothing changes.
scaled: distances - d * sigma**2 / counts => distances / (1 + 1 / counts)
    You divide by 1 + 1/K; the noise of a prototype is added, so take dσ²/K off.
common part back: / counts => / counts + (d * sigma**2 / counts).mean()
    Your distances have the right differences, but the classes' mean noise is still in them.
all noises: d * sigma**2 / counts => (d * sigma**2 / counts).sum()
    You take off the noises of all prototypes; a distance has that of its own alone.
sign lost: return distances - d * sigma**2 / counts => return (distances - d * sigma**2 / counts).abs()
    You take the absolute value; a corrected distance may be negative, and its order counts.
largest: / counts => / counts.max()
    You divide by the most shots for all classes; each has its own number.
times: / counts => * counts
    You multiply by the counts: few shots mean more noise, not less.
shots forgotten: / counts => / 1
    This takes off the noise of a single point; a mean of counts[k] has less.
no features: d * sigma => 1 * sigma
    This takes off the noise of one feature; there are d of them.
unsquared: sigma**2 => sigma
    Your noise is not squared: a variance is σ².
query too: / counts => * (1 + 1 / counts)
    You take off the noise of the query as well; it is the same for all classes, and stays.
one less: / counts => / (counts - 1).clamp(min=1)
    You divide by K − 1; the noise of a mean of K has σ²/K.
clamped: return distances - d * sigma**2 / counts => return (distances - d * sigma**2 / counts).clamp(min=0)
    You cut off at zero; a corrected distance may be negative, and its order counts.
shape: return distances - d => return distances[0] - d
return: return distances => return None; distances
not finite: / counts => / (0 * counts)
value: return distances => return 1.1 * distances
""",  # noqa: E501
)


def corrected_case(points: int, counts: tuple, d: int, sigma: float) -> tuple:
    distances = d * sigma**2 * 2 * torch.rand(points, len(counts), generator=seeded(d), dtype=D)
    return distances, torch.tensor(counts), d, sigma


def judge_unequal(fn: Callable) -> None:
    """As many points as classes first, so that a wrong axis is named; then other numbers."""
    square = [corrected_case(2, (1, 20), 64, 0.5), corrected_case(4, (3, 1, 8, 2), 5, 1.5)]
    sizes = (7, (1, 20), 16, 0.5), (1, (5, 2, 1), 3, 2.0), (3, (4,), 2, 0.3), (5, (2, 2), 8, 1.0)
    found, cases = [], square + [corrected_case(*size) for size in sizes]
    for case in cases:
        if len(found) == len(square):
            judge_answers(found, square, corrected, CORRECTING, within=1e-5)
        found.append(read_table(fn(*case), tuple(case[0].shape), "distances"))
    judge_answers(found, cases, corrected, CORRECTING, within=1e-5)


unequal = Exercise(
    name="unequal",
    title="fair to the class with few shots",
    minutes=5,
    difficulty=2,
    stub='''\
def corrected(distances, counts, d, sigma):
    """Squared distances without what the noise of each prototype adds on average.

    distances: float64 (points, n_way), from each point to each class's prototype, the
    mean of counts[k] points with d features of independent noise, standard deviation
    sigma. counts: int64 (n_way,). An answer may be negative. Returns (points, n_way).
    """
    raise NotImplementedError
''',
    judge=judge_unequal,
    reference=corrected,
    praise="A prototype is no longer farther away for having been drawn less often.",
    hints=(
        "The exercises before: what does a mean of K points add to ‖z − c‖² on average?",
        "dσ²/Kₖ, another number for each class: (n_way,), which fits the columns.",
        "`distances - d * sigma**2 / counts`: the last dimension of both is n_way.",
    ),
    symptom_hints={"wrong axis": "a (n_way,) tensor meets the last dimension of (points, n_way)."},
    alternatives=(corrected_by_columns, corrected_in_numpy),
    mutants=mutants_of(CORRECTING) | {"input changed": corrected_in_place},
)

check = Chapter(
    "07",
    *(prototypes_exercise, bregman, linear, probabilities, noise, distance, unequal),
)
