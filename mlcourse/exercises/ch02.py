"""Chapter 02, transfer learning: fine-tune, probe, mix two losses, stop without peeking."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ..learners.closed_form import ridge
from .engine import (
    Chapter,
    Exercise,
    NotYet,
    Raised,
    close,
    describe,
    judge_answers,
    known_mistakes,
    mutants_of,
    one_line,
    read_numbers,
    read_row,
    read_table,
    require,
    seeded,
    to_tensor,
)

# ---------------------------------------------------------------- tune


def fine_tune(body, x, y, n_way, depth, inner_lr, steps):
    import copy

    net = copy.deepcopy(body).eval()
    net.append(torch.nn.Linear(net(x).shape[1], n_way))
    torch.nn.init.zeros_(net[-1].weight), torch.nn.init.zeros_(net[-1].bias)
    optimizer = torch.optim.SGD(net[-1 - depth :].train().parameters(), inner_lr)  # head: one more
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    return net.eval()


def tune_by_hand(body, x, y, n_way, depth, inner_lr, steps):
    first, last = copy.deepcopy(body).eval(), nn.Sequential()
    for _ in range(depth):
        last.insert(0, first.pop(-1))
    z = first(x).detach()
    head = nn.Linear(last(z).shape[1], n_way)
    head.load_state_dict({name: 0 * p for name, p in head.state_dict().items()})
    net = nn.Sequential(last, head).train()
    for _ in range(steps):
        loss, parameters = -net(z).log_softmax(1)[range(len(y)), y].mean(), list(net.parameters())
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
            p.data -= inner_lr * g
    return nn.Sequential(first, net).eval()


def tune_by_flags(body, x, y, n_way, depth, inner_lr, steps):
    """All in one network: flags say what moves, and the optimiser gets what has the flag."""
    net = nn.Sequential(copy.deepcopy(body), nn.Flatten(), nn.LazyLinear(n_way)).eval()
    net(x), net[2].weight.data.fill_(0), net[2].bias.data.fill_(0)
    for i, block in enumerate(net[0]):
        block.requires_grad_(i >= len(body) - depth).train(i >= len(body) - depth)
    sgd = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=inner_lr)
    for _ in range(steps):
        net.zero_grad()
        (cross_entropy(net(x), y, reduction="sum") / len(x)).backward()
        sgd.step()
    net.eval()
    return net


def pretrained(images: bool, generator: torch.Generator) -> nn.Sequential:
    """Three blocks for vectors or two for images, with numbers as if they had been trained."""
    if images:
        pairs = [(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o)) for i, o in [(1, 3), (3, 2)]]
    else:
        pairs = [(nn.Linear(i, o), nn.BatchNorm1d(o)) for i, o in [(4, 6), (6, 5), (5, 4)]]
    body = nn.Sequential(*(nn.Sequential(*pair, nn.ReLU()) for pair in pairs))
    body[-1].append(nn.Flatten())
    for name, numbers in body.state_dict().items():
        if numbers.is_floating_point():
            new = torch.randn(numbers.shape, generator=generator) / 2
            numbers.copy_(new.abs() + 0.5 if "var" in name else new)
    return body


# images, body in training mode, n_way, depth, inner_lr, steps
TUNING_SIZES = """
    0 0 3 1 0.4 3
    0 1 3 2 0.3 5
    0 1 2 0 0.5 4
    0 0 3 3 0.3 4
    1 0 4 1 0.3 2
    1 1 4 2 0.2 6
    0 0 3 2 0.3 0
    1 1 2 0 0.7 1
"""


def tuning_case(seed: int, line: str) -> tuple:
    """The arguments of `fine_tune`; sometimes a class has no points."""
    images, training, n_way, depth, inner_lr, steps = map(float, line.split())
    generator, n_way, depth = seeded(seed), int(n_way), int(depth)
    body = pretrained(bool(images), generator).train(bool(training))
    x = torch.randn(13, *((1, 6, 5) if images else (4,)), generator=generator)
    y = torch.randint(n_way - (depth == 1), (13,), generator=generator)
    return body, x, y, n_way, depth, inner_lr, int(steps)


def query_of(x: Tensor) -> Tensor:
    """Seven points that were not trained on."""
    return x[:7].flip(-1) * 1.5


def state_of(body: nn.Module) -> tuple:
    tensors = {name: t.clone() for name, t in body.state_dict().items()}
    return (
        tensors,
        [m.training for m in body.modules()],
        [p.requires_grad for p in body.parameters()],
    )


def judge_body(before: tuple, after: tuple) -> None:
    """The same tensors, training flags and `requires_grad`, or NotYet."""
    names = sorted(before[0].keys() ^ after[0].keys()) or [
        name for name in before[0] if not torch.equal(before[0][name], after[0][name])
    ]
    first = f"`{names[0]}`" if names else ""
    text = f"Your function changes `body` itself: {first} is different afterwards; train a copy, "
    text += "`copy.deepcopy(body)`."
    require(not names, "body changed", text)
    mode = "training" if before[1][0] else "evaluation"
    text = f"You got `body` in {mode} mode and left it in the other; switch the mode of a copy."
    require(before[1] == after[1], "mode of body", text)
    text = "You switched off `requires_grad` of `body` for good; freeze the blocks of a copy."
    require(before[2] == after[2], "requires_grad", text)


def judge_net(net, query: Tensor, n_way: int) -> Tensor:
    """The scores of a network in evaluation mode, or NotYet."""
    text = f"Your function returned {describe(net)}; return the tuned network, an `nn.Module`."
    require(isinstance(net, nn.Module), "return", text)
    try:
        scores, some = (to_tensor(net(part.clone())) for part in (query, query[:4]))
    except Exception as error:
        error.args = (f"{one_line(error).split(': ', 1)[-1]} (raised by the network you returned)",)
        raise Raised(error) from None
    shape, right = None if scores is None else tuple(scores.shape), (len(query), n_way)
    text = f"For {len(query)} points your network gives the shape {shape}; {right} are the scores."
    require(shape == right, "shape", text)
    scores = read_numbers(scores, "the scores of your network")
    text = "Your network scores a point by the company it comes in: return it in evaluation mode."
    require(some.shape == scores[:4].shape and close(some.double(), scores[:4]), "training", text)
    return scores


def run_tuning(fn: Callable, case: tuple) -> Tensor:
    """The scores that fn's network gives the queries."""
    body, *rest = case
    return fn(copy.deepcopy(body), *rest)(query_of(case[1])).detach()


def judge_tuning(fn: Callable) -> None:
    """What came back, what became of `body`, and the scores of points that were not trained on."""
    lines = TUNING_SIZES.strip().splitlines()
    cases, answers, nets = [tuning_case(i, line) for i, line in enumerate(lines)], [], []
    for body, *rest in cases:
        own = copy.deepcopy(body)
        nets.append(fn(own, *rest))
        judge_body(state_of(body), state_of(own))
        answers.append(judge_net(nets[-1], query_of(rest[0]), rest[2]))
    try:
        judge_answers(answers, cases, fine_tune, TUNING, run_tuning)
    except NotYet as wrong:
        if wrong.symptom == "value":
            judge_parts(answers, cases, nets)
        raise


def judge_parts(answers: list, cases: list, nets: list) -> None:
    """For wrong scores of an unknown kind: did what is to stay stay? Or NotYet."""
    first = [a for a, case in zip(answers, cases) if case[-1] == 0]
    text = "With steps=0 your network gives scores that are not 0; start weights and bias "
    text += "at zero and make no step."
    require(not any(scores.any() for scores in first), "random head", text)
    for net, (body, *_, depth, _, _) in zip(nets, cases):
        judge_frozen(net, body[: len(body) - depth])


def judge_frozen(net: nn.Module, frozen: nn.Module) -> None:
    """For wrong scores: are the frozen tensors still somewhere in the network? Or NotYet."""
    there = [t for t in net.state_dict().values() if t.is_floating_point()]
    for name, tensor in frozen.state_dict().items():
        kept = any(t.shape == tensor.shape and torch.equal(t, tensor) for t in there)
        if tensor.is_floating_point() and "running" in name:
            text = "Batch-norm statistics of frozen blocks moved; keep these blocks in evaluation "
            require(kept, "frozen statistics", text + "mode (`.eval()`) while you train the rest.")
        elif tensor.is_floating_point():
            text = "Weights of frozen blocks moved; give the optimiser the last `depth` blocks and "
            require(kept, "frozen weights", text + "the head only.")


TUNING = known_mistakes(
    fine_tune,
    """
evaluation: .train().parameters() => .parameters()
    The trained blocks were in evaluation mode while they were trained; call `.train()`.
blocks not trained: net[-1 - depth :].train().p => [net[-1 - depth :].train(), net[-1]][1].p
    Only your head was trained; give the optimiser the last `depth` blocks too.
head not trained: range(steps) => range(0)
    All scores are zero whatever `steps` is; the head has to be trained.
accumulate: optimizer.zero_grad(), loss => loss
    Each step used the gradients of all steps before it too; call `zero_grad()` every step.
one step: range(steps) => range(1)
    You made one step whatever `steps` is.
one step more: range(steps) => range(steps + 1)
    These are the scores after one step too many; make `steps` steps.
one step fewer: range(steps) => range(steps - 1)
    These are the scores after one step too few; make `steps` steps.
sum: net(x), y => net(x), y, reduction="sum"
    Your loss is the sum over the points; take the mean.
softmax: net(x), y => net(x).softmax(1), y
    You gave `cross_entropy` probabilities; it wants scores and takes the softmax itself.
adam: SGD => Adam
    Your steps are those of Adam; use plain gradient descent, `torch.optim.SGD`.
depth: net[-1 - depth :] => net[depth:]
    You froze `depth` blocks and trained the others; `depth` is how many are trained.
depth 0: net[-1 - depth :] => net[-1 - (depth or len(body)) :]
    With depth=0 you trained all blocks: `body[-0:]` is the whole body. Count from the front:
    `body[len(body) - depth :]`.
one block more: net[-1 - depth :] => net[max(len(body) - depth - 1, 0) :]
    You trained one block more than `depth`; all `len(body)` blocks of `body` count.
one block fewer: net[-1 - depth :] => net[-depth:]
    You counted the head as one of the `depth` blocks; it is trained besides them.
extra pass: net(x).shape => net[len(net) - depth :].train()(net[: len(net) - depth](x)).shape
    The batch norm of your trained blocks saw `x` once before the first step; look for the number
    of features in evaluation mode.
probabilities: net.eval() => torch.nn.Sequential(net, torch.nn.Softmax(1)).eval()
    Your network returns probabilities; return the scores before the softmax.
logarithms: net.eval() => torch.nn.Sequential(net, torch.nn.LogSoftmax(1)).eval()
    Your network returns logarithms of probabilities; return the scores before the softmax.
body changed: copy.deepcopy(body) => body
mode of body: deepcopy(body) => deepcopy(body.eval())
requires_grad: (body).eval() => (body.requires_grad_(False)).eval().requires_grad_(True)
return: net.eval() => net(x)
shape: net.eval() => net[:-1].eval()
training: net.eval() => net
random head: zeros_(net[-1].weight) => xavier_normal_(net[-1].weight)
frozen statistics: net[-1 - depth :].train() => net.train()[-1 - depth :]
frozen weights: net[-1 - depth :].train().p => [net[-1 - depth :].train(), net][1].p
value: inner_lr) => inner_lr / 2)
not finite: net.eval() => net.append(torch.nn.Threshold(1e9, float("nan"))).eval()
""",
)

tune = Exercise(
    name="tune",
    title="fine-tune the last blocks",
    minutes=15,
    difficulty=3,
    stub='''\
def fine_tune(body, x, y, n_way, depth, inner_lr, steps):
    """A copy of `body` with a new head, trained on a few labelled points.

    body: `nn.Sequential` of blocks with batch norm, float32; body(x) is a tensor
    (points, features). x: float32 (points, ...); y: int64 (points,), 0 to n_way - 1.
    The head is linear; its weights and its bias start at zero. The head and the last
    `depth` blocks (0 to len(body)) are trained: `steps` steps of plain gradient
    descent, rate `inner_lr`, on the mean cross-entropy of all points. They are in
    training mode meanwhile, and their batch norm sees x once a step, no more.
    The first blocks are frozen: in evaluation mode, weights and statistics stay.
    Returns an `nn.Module` in evaluation mode, from x to scores (points, n_way).
    `body` itself stays as it was: weights, statistics, modes and `requires_grad`.
    """
    raise NotImplementedError
''',
    judge=judge_tuning,
    reference=fine_tune,
    praise="Frozen means frozen: weights and statistics; and the next task starts from `body`.",
    hints=(
        "Work on `copy.deepcopy(body)`. Cut it into a frozen part and a trained part; the head "
        "comes after the trained part and is trained with it.",
        "Two things move in a block: weights (the optimiser moves those it is given) and the "
        "statistics of batch norm (they move in training mode, with every pass).",
        "With `cut = len(body) - depth` the parts are `body[:cut].eval()` and `body[cut:].train()`;"
        " the number of features is `body(x).shape[1]`, asked in evaluation mode.",
        "A step: `loss = cross_entropy(head(trained(frozen(x))), y)`, then `optimizer.zero_grad()`,"
        " `loss.backward()`, `optimizer.step()`; the optimiser is `torch.optim.SGD` and has the "
        "parameters of `trained` and of `head`. At the end `nn.Sequential(frozen, trained, head)` "
        "in evaluation mode.",
    ),
    symptom_hints={
        "frozen statistics": "`net.train()` puts every block inside `net` in training mode, the "
        "frozen ones too; call `.train()` on the trained part alone.",
        "body changed": "`body[:cut]` has the same blocks as `body`, not copies; `import copy`, "
        "then `copy.deepcopy(body)`.",
        "mode of body": "`.eval()` and `.train()` change a module in place; copy first.",
        "requires_grad": "`requires_grad_(False)` works in place; copy first.",
        "depth 0": "`-0` is `0`, so `body[-0:]` begins at the first block.",
        "value": "the trained blocks see `x` once a step in training mode: a further pass, say to "
        "print an accuracy, moves their statistics too.",
        "random head": "`nn.init.zeros_(head.weight)`, and the bias likewise.",
    },
    alternatives=(tune_by_hand, tune_by_flags),
    mutants=mutants_of(TUNING),
)

# ---------------------------------------------------------------- probe


def probe(features, labels, n_way, penalty, query):
    targets = torch.nn.functional.one_hot(labels, n_way).to(features.dtype)
    mean_x, mean_y = features.mean(0), targets.mean(0)
    x, y = features - mean_x, targets - mean_y
    gram = x.T @ x + penalty * torch.eye(x.shape[1])
    w = torch.linalg.solve(gram, x.T @ y)
    return (query - mean_x) @ w + mean_y


def probe_by_least_squares(features, labels, n_way, penalty, query):
    """The penalty as d more points: √penalty in one feature each, and 0 as target and offset."""
    n, d = features.shape
    rows = torch.zeros(n + d, d + 1)
    rows[:n, :d], rows[:n, d] = features, 1
    rows[n:, :d] = math.sqrt(penalty) * torch.eye(d)
    targets = torch.zeros(n + d, n_way)
    targets[range(n), labels] = 1
    weights = torch.linalg.lstsq(rows, targets).solution
    return query @ weights[:d] + weights[d]


def probe_by_package(features, labels, n_way, penalty, query):
    w, b = ridge(features.double(), one_hot(labels, n_way).double(), penalty)
    return (query.double() @ w + b).numpy()


def probe_with_ones(features, labels, n_way, penalty, query):
    x, q = (torch.cat([part, torch.ones(len(part), 1)], 1) for part in (features, query))
    gram = x.T @ x + penalty * torch.eye(x.shape[1])
    return q @ torch.linalg.solve(gram, x.T @ one_hot(labels, n_way).float())


PROBING = known_mistakes(
    probe,
    """
no offset: features.mean(0), targets.mean(0) => 0, 0
    Your map has no offset; centre features and targets first, or add a column of ones.
mean of the query: query - mean_x => query - query.mean(0)
    You centred the queries by their own mean; subtract the mean of `features`, so that the score
    of a query does not depend on the other queries.
query not centred: (query - mean_x) => query
    You centred `features` and not the queries; subtract the same mean from both.
targets not centred: @ w + mean_y => @ w
    The mean of the targets is missing from your scores; add it at the end.
no penalty: torch.linalg.solve(gram, x.T @ y) => torch.linalg.pinv(x) @ y
    These are the scores for penalty 0; add `penalty` to the diagonal.
penalty times points: penalty * => len(x) * penalty *
    Your penalty is multiplied by the number of points; here the squared errors are summed, not
    averaged.
penalty squared: penalty * => penalty**2 *
    Your penalty came out squared; added rows carry its square root, a diagonal carries itself.
every entry: torch.eye(x.shape[1]) => 1
    You added the penalty to every entry of the matrix; add it to the diagonal.
signs: .to(features.dtype) => .to(features.dtype) * 2 - 1
    Your targets are -1 and 1; one-hot targets are 0 and 1.
softmax: return (query - mean_x) @ w + mean_y => return ((query - mean_x) @ w + mean_y).softmax(1)
    You returned the softmax of the scores; return the scores.
labels: (query - mean_x) @ w + mean_y => (query @ w).argmax(1)
numbers: torch.nn.functional.one_hot(labels, n_way) => labels.view(-1, 1)
transposed: (query - mean_x) @ w + mean_y => (query @ w + mean_y).T
columns: one_hot(labels, n_way) => one_hot(labels)
shape: (query - mean_x) @ w + mean_y => w
not finite: @ w + => @ w / 0 +
value: penalty * => (penalty + 1) *
""",
)
PROBING["offset penalised"] = (
    probe_with_ones,
    "Your offset is penalised too; leave the column of ones out of the penalty, or centre.",
)


def judge_probe(fn: Callable) -> None:
    """More points than features, then fewer; sizes of classes by chance, one class without any."""
    tall = [(20, 3, 3, 2.0, 5), (14, 5, 4, 0.05, 9), (9, 1, 2, 1.5, 1), (30, 6, 5, 8.0, 5)]
    tall.append(tall[-1])  # with other numbers
    for sizes in (tall, [(6, 9, 3, 3.0, 4), (1, 4, 2, 1.0, 3), (5, 12, 5, 0.7, 6)]):
        cases = [probe_case(*size, seed) for seed, size in enumerate(sizes)]
        answers = [judge_scores(fn(*case), len(case[4]), case[2]) for case in cases]
        judge_answers(answers, cases, probe, PROBING)


def probe_case(points: int, d: int, n_way: int, penalty: float, queries: int, seed: int) -> tuple:
    """Features far from zero, of different spread; the last class of n_way > 3 has no point."""
    generator = seeded(seed)
    labels = torch.randint(n_way - (n_way > 3), (points,), generator=generator)
    centres = torch.randn(n_way, d, generator=generator) + torch.arange(d) / d + 1
    spread = torch.rand(d, generator=generator) + 0.5
    features = centres[labels] + spread * torch.randn(points, d, generator=generator)
    query = centres[torch.randint(n_way, (queries,), generator=generator)]
    query = query + spread * torch.randn(queries, d, generator=generator)
    return features, labels, n_way, penalty, query


def judge_scores(answer, queries: int, n_way: int) -> Tensor:
    """The answer as float64 (queries, n_way), or NotYet."""
    scores = read_numbers(answer, "the scores")
    shape, right = tuple(scores.shape), (queries, n_way)
    yours = f"Your scores have the shape {shape} for {queries} queries and n_way={n_way}"
    labels = shape == (queries,) and not to_tensor(answer).is_floating_point()
    text = f"You returned labels, one a query; return the scores of all {n_way} classes."
    require(not labels, "labels", text)
    one = shape in [(queries,), (queries, 1)]
    text = f"{yours}: one number a query comes of labels used as numbers; use one-hot targets."
    require(not one, "numbers", text)
    text = f"{yours}; transpose them, so that a row is a query."
    require(shape == right or shape != right[::-1], "transposed", text)
    text = f"{yours}; some class has no point, so give `one_hot` the number of classes."
    require(len(shape) != 2 or shape[0] != queries or shape[1] >= n_way, "columns", text)
    require(shape == right, "shape", f"{yours}; it should be {right}.")
    return scores


probe_exercise = Exercise(
    name="probe",
    title="a linear probe, solved",
    minutes=10,
    difficulty=2,
    stub='''\
def probe(features, labels, n_way, penalty, query):
    """Scores of a linear map and offset, fitted by ridge regression to one-hot targets.

    features: float32 (points, d); labels: int64 (points,), 0 to n_way - 1, in any
    order, any number of points a class; query: float32 (queries, d).
    W (d, n_way) and b (n_way,) minimise the sum over the points of
    |features @ W + b - one_hot(labels)|² plus penalty · |W|²; the offset b is not
    penalised. penalty: a number above 0. There may be fewer points than features.
    Returns query @ W + b, float (queries, n_way).
    """
    raise NotImplementedError
''',
    judge=judge_probe,
    reference=probe,
    praise="Nothing was trained: one linear system, and the body's features have a classifier.",
    hints=(
        "First the targets: a row for each point, 1 in the column of its label. Then the offset: "
        "it is not penalised, so it goes away when features and targets are centred.",
        "With centred features X and targets Y, the map solves (XᵀX + penalty · I) W = XᵀY.",
        "`one_hot(labels, n_way).float()` makes the targets, `torch.linalg.solve(gram, x.T @ y)` "
        "the map; at the end `(query - mean_x) @ w + mean_y`, with the means of the labelled "
        "points.",
    ),
    symptom_hints={
        "no offset": "subtract `features.mean(0)` and `targets.mean(0)`, solve, and put both "
        "back: `(query - mean_x) @ w + mean_y`.",
        "every entry": "`gram + penalty` adds to all entries; `penalty * torch.eye(d)` is a "
        "diagonal.",
        "numbers": "`torch.nn.functional.one_hot(labels, n_way).float()` has one column a class.",
    },
    alternatives=(probe_by_least_squares, probe_by_package),
    mutants=mutants_of(PROBING),
)

# ---------------------------------------------------------------- mixture


def mixture_optimum(a_source, m_source, a_target, m_target, lam):
    matrix = lam * a_source + (1 - lam) * a_target
    pull = lam * a_source @ m_source + (1 - lam) * a_target @ m_target
    return torch.linalg.solve(matrix, pull)


def mixture_by_newton(a_source, m_source, a_target, m_target, lam):
    """The mixture is a parabola: one Newton step from anywhere ends in its lowest point."""

    def mixed_loss(theta):
        source, target = theta - m_source, theta - m_target
        return lam * source @ a_source @ source / 2 + (1 - lam) * target @ a_target @ target / 2

    start = torch.zeros_like(m_source)
    gradient, hessian = torch.func.grad(mixed_loss), torch.func.hessian(mixed_loss)
    return start - torch.linalg.inv(hessian(start)) @ gradient(start)


def mixture_by_moving_from_the_target(a_source, m_source, a_target, m_target, lam):
    """How far the source pulls the optimum away from the target's, in numpy."""
    s, t = (lam * a_source).numpy(), ((1 - lam) * a_target).numpy()
    away = m_source.numpy() - m_target.numpy()
    return m_target.numpy() + torch.linalg.pinv(torch.tensor(s + t)).numpy() @ s @ away


MIXING = known_mistakes(
    mixture_optimum,
    """
swapped: (a_source, m_source, a_target, m_target, => (a_target, m_target, a_source, m_source,
    You gave the weight lam to the target; lam belongs to the source, 1 - lam to the target.
plain average: torch.linalg.solve(matrix, pull) => lam * m_source + (1 - lam) * m_target
    This is lam · m_source + (1 - lam) · m_target; a steep loss pulls harder than a flat one, and
    the matrices say how hard.
no inverse: torch.linalg.solve(matrix, pull) => pull
    This is the right-hand side of the equation; solve for theta with the mixed matrix.
lam in the matrix: solve(matrix, => solve(a_source + a_target,
    The matrix you solve with has no lam; mix the two matrices as the two losses are mixed.
lam in the pull: pull) => a_source @ m_source + a_target @ m_target)
    The right-hand side you solve for has no lam; weigh A m of both losses too.
target only: torch.linalg.solve(matrix, pull) => m_target.clone()
    This is the optimum of the target alone; the source pulls it away when lam > 0.
inverse of entries: torch.linalg.solve(matrix, pull) => (1 / matrix) @ pull
    You inverted the matrix entry by entry; use `torch.linalg.solve`.
elementwise: torch.linalg.solve(matrix, pull) => pull / matrix
shape: pull) => pull).view(-1, 1)
not finite: pull) => pull) / 0
value: pull) => pull) * 1.01
""",
)


def judge_mixture(fn: Callable) -> None:
    """Two to six parameters, lam from 0 to 1, steep and flat losses."""
    sizes = [(2, 0.3), (3, 0.8), (6, 0.1), (3, 0.8), (2, 0.0), (4, 1.0), (5, 0.55)]
    cases = [mixture_case(*size, seed) for seed, size in enumerate(sizes)]
    answers = [judge_theta(fn(*case), len(case[1])) for case in cases]
    judge_answers(answers, cases, mixture_optimum, MIXING)


def mixture_case(d: int, lam: float, seed: int) -> tuple:
    generator, case = seeded(seed), []
    for scale in (1.0, 3.0):
        root = torch.randn(d, d, generator=generator)
        case.append(scale * (root @ root.T / d + 0.3 * torch.eye(d)))
        case.append(3 * torch.randn(d, generator=generator))
    return *case, lam


def judge_theta(answer, d: int) -> Tensor:
    """The answer as float64 (d,), or NotYet."""
    why = "`*` multiplies and `/` divides entry by entry; use `@` and `solve`."
    known = {(d, d): ("elementwise", why)}
    return read_table(answer, (d,), "the minimiser, one number a parameter,", known)


mixture = Exercise(
    name="mixture",
    title="the optimum of a mixture",
    minutes=8,
    difficulty=2,
    stub='''\
def mixture_optimum(a_source, m_source, a_target, m_target, lam):
    """The theta that minimises lam · L_source + (1 - lam) · L_target.

    Each loss is L(theta) = ½ (theta - m)ᵀ A (theta - m), with A float32 (d, d),
    symmetric and positive definite, and m float32 (d,). lam: a number from 0 to 1.
    Returns theta, float (d,).
    """
    raise NotImplementedError
''',
    judge=judge_mixture,
    reference=mixture_optimum,
    praise="Each loss pulls with its matrix; the source is in the answer as long as lam > 0.",
    hints=(
        "At the minimum the gradient of the mixture is zero. The gradient of one loss is "
        "A (theta - m).",
        "lam A_s (theta - m_s) + (1 - lam) A_t (theta - m_t) = 0: bring all that has theta to one "
        "side.",
        "The equation is (lam A_s + (1 - lam) A_t) theta = lam A_s m_s + (1 - lam) A_t m_t; "
        "`torch.linalg.solve(matrix, right_hand_side)` solves it.",
    ),
    symptom_hints={
        "plain average": "with A_s ten times A_t the source pulls ten times as hard; the plain "
        "average does not know it.",
        "elementwise": "`A @ m` is the product of a matrix and a vector; `A * m` multiplies "
        "column j of A by m[j].",
        "lam in the matrix": "try m_source = m_target: the answer must be that same point.",
    },
    alternatives=(mixture_by_newton, mixture_by_moving_from_the_target),
    mutants=mutants_of(MIXING),
)

# ---------------------------------------------------------------- stop


def early_stop(validation, test):
    ties = (validation == validation.max()).nonzero().tolist()
    run, checkpoint = min(ties, key=lambda place: (place[1], place[0]))
    return run, checkpoint, float(test[run, checkpoint])


def stop_by_loop(validation, test):
    best = None
    for c in range(validation.shape[1]):
        for r in range(validation.shape[0]):
            if best is None or validation[r, c] > validation[best]:
                best = r, c
    return *best, test[best]


def stop_by_sorting(validation, test):
    rows = validation.tolist()
    places = [(-v, c, r) for r, row in enumerate(rows) for c, v in enumerate(row)]
    _, c, r = min(places)
    return [torch.tensor(r), torch.tensor(c), test.numpy()[r, c]]


STOPPING = known_mistakes(
    early_stop,
    """
on the test set: (validation == validation.max()) => (test == test.max())
    You chose the checkpoint with the best test accuracy; the test set may choose nothing, choose
    with `validation`.
on both: (validation == validation.max()) => (validation + test == (validation + test).max())
    You chose by validation and test together; the test set may choose nothing.
last: run, checkpoint, float(test[run, checkpoint]) => run, test.shape[1] - 1, float(test[run, -1])
    You took the last checkpoint of the best run; take the checkpoint that was best.
final: validation.max() => validation[:, -1].max()
    You compared the last checkpoints only; an earlier one may be better.
mean over runs: validation.max() => validation[:, validation.mean(0).argmax()].max()
    You took the checkpoint that is best in the mean over runs; look at each run by itself.
mean of a run: validation.max() => validation[validation.mean(1).argmax()].max()
    You took the run with the best mean over checkpoints; compare the best checkpoints.
swapped: return run, checkpoint => return checkpoint, run
    You returned the checkpoint before the run; return `run, checkpoint, reported`.
return: , float(test[run, checkpoint]) =>
places: return run => return run + 0.5
not finite: float(test[run, checkpoint]) => float("nan")
value: (place[1], place[0])) => 0) and (0, 0)
lowest run first: (place[1], place[0]) => (place[0], place[1])
    At ties you took the lowest run; the earliest checkpoint comes first, then the run.
latest: (place[1], place[0]) => (-place[1], place[0])
    At ties you took the latest checkpoint; take the earliest, it cost the least.
highest run: (place[1], place[0]) => (place[1], -place[0])
    At ties you took the earliest checkpoint and there the highest run; take the lowest run.
validation accuracy: float(test[run, => float(validation[run,
    You report the validation accuracy; it was the best of many, so luck is in it. Report the test
    accuracy at that place.
best of the run: float(test[run, checkpoint]) => float(test[run].max())
    You report the best test accuracy of that run; report the one at the chosen checkpoint.
""",
)


def judge_stop(fn: Callable) -> None:
    """First without ties, then with ties: no mistake at ties hides another."""
    for seeds in (range(7), range(7, 21)):
        cases = [stop_case(seed, clear=seed < 7) for seed in seeds]
        answers = [read_stop(fn(*case)) for case in cases]
        names = "the run", "the checkpoint", "the accuracy reported"
        judge_answers(answers, cases, early_stop, STOPPING, names=names)


def stop_case(seed: int, clear: bool) -> tuple[Tensor, Tensor]:
    """Accuracies of some runs; the test set agrees with the validation split up to some luck."""
    sizes = [(4, 6), (2, 15), (6, 4), (1, 5), (5, 1), (8, 8), (40, 5)]
    generator, shape = seeded(seed), sizes[seed % len(sizes)]
    skill, luck, other = torch.rand(3, *shape, generator=generator)
    spread = 0.2 if seed % 2 else 0.004  # where it is small, many are nearly as good as the best
    tied = (10 * skill).floor().clamp(max=7) / 10
    validation = 0.4 + spread * (skill + luck) if clear else tied
    return validation, (1000 * (0.3 + 0.3 * skill + 0.3 * other)).round() / 1000


def read_stop(answer) -> Tensor:
    """Three numbers, the first two whole, or NotYet."""
    three = "three numbers, `run, checkpoint, reported`"
    numbers = read_row(answer, 3, three)
    text = "Run and checkpoint are places counted from 0: two whole numbers, then `reported`."
    require(bool((numbers[:2] == numbers[:2].round()).all()), "places", text)
    return numbers


stop = Exercise(
    name="stop",
    title="stop without peeking",
    minutes=8,
    difficulty=1,
    stub='''\
def early_stop(validation, test):
    """Choose a checkpoint by its validation accuracy and report its test accuracy.

    validation, test: float32 (runs, checkpoints), accuracies of the same checkpoints
    of many training runs, each run with other settings.
    Returns three numbers: run and checkpoint (counted from 0) with the best validation
    accuracy, and the test accuracy there. At ties the earliest checkpoint is taken,
    and of the runs that tie at that checkpoint the lowest.
    """
    raise NotImplementedError
''',
    judge=judge_stop,
    reference=early_stop,
    praise="Validation chose, the test set was looked at once.",
    hints=(
        "`validation` alone says where; `test` is read once, at that place, at the end.",
        "`argmax()` of a matrix gives the first maximum in the order of its rows; `divmod` makes "
        "a row and a column of that number. Which order of the places has the earliest "
        "checkpoint first?",
        "In `validation.T` a row is a checkpoint, so its first maximum is the one wanted: "
        "`checkpoint, run = divmod(int(validation.T.flatten().argmax()), len(validation))`.",
    ),
    symptom_hints={
        "on the test set": "whatever chooses must not judge: `test` may not be in an `argmax`.",
        "lowest run first": "`validation.argmax()` goes run by run; `validation.T` goes "
        "checkpoint by checkpoint.",
        "validation accuracy": "the maximum of many noisy numbers is too high on average; the "
        "test accuracy at that place is not.",
    },
    alternatives=(stop_by_loop, stop_by_sorting),
    mutants=mutants_of(STOPPING),
)

check = Chapter("02", tune, probe_exercise, mixture, stop)
