"""Chapter 08, ProtoNets on Omniglot: four exercises with references, right and wrong answers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..evaluation import accuracy, estimate
from ..learners import protonet
from ..tasks import Characters, Episode, Points
from .engine import (
    CUT,
    Chapter,
    Exercise,
    Raised,
    describe,
    drawn,
    edited,
    images_of,
    judge_answers,
    judge_flow,
    known_mistakes,
    labels_of,
    mutants_of,
    read_estimate,
    read_numbers,
    read_table,
    require,
    seeded,
    to_tensor,
)

D = torch.float64


def small_net(seed: int, norm: bool) -> nn.Sequential:
    """A net in float64; with a batch norm whose running statistics are not those of a batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        middle = [nn.BatchNorm1d(6)] if norm else []
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), *middle, nn.Tanh(), nn.Linear(6, 3))
    for buffer in (b for b in net.double().buffers() if b.ndim):
        buffer.copy_(0.3 + 3 * drawn(*buffer.shape, seed=seed).abs())
    return net


def untouched(net: nn.Module, state: dict) -> None:
    """NotYet when an answer changed the net's parameters."""
    now = dict(net.named_parameters())
    moved = [n for n, p in now.items() if not torch.equal(p, state[n])]
    text = "Your function changes the parameters of `net`; training is another function's task."
    require(not moved, "net changed", text)
    text = "Your function leaves a `.grad` on the parameters of `net`, or freezes them: no "
    text += "`backward()` in here, and `requires_grad` stays as it is."
    same = all(p.grad is None and p.requires_grad for p in now.values())
    require(same, "backward", text)


def watched(fn: Callable, net: nn.Module, sets: tuple, n_way: int):
    """An answer, and NotYet when anything is not what it was before."""
    state = {n: p.detach().clone() for n, p in net.named_parameters()}
    given = (net, *sets, n_way) if len(sets[0][1].shape) == 1 else (net, sets, n_way)
    answer = fn(*given)
    untouched(net, state)
    return answer


# ---------------------------------------------------------------- episode: the loss of one task


def episode_loss(net, support, query, n_way):
    (x, y), (query_x, query_y) = support, query
    features = net(x)
    c = torch.stack([features[y == k].mean(0) for k in range(n_way)])
    distances = ((net(query_x)[:, None] - c) ** 2).sum(2)
    return torch.nn.functional.cross_entropy(-distances, query_y)


def loss_together(net, support, query, n_way):
    """Both sets through the net at once, and the linear layer of chapter 07."""
    z, points = net(torch.cat([support[0], query[0]])), len(support[0])
    belongs = one_hot(support[1], n_way).to(z.dtype)
    w, b = protonet.linear_classifier(belongs.T @ z[:points] / belongs.sum(0)[:, None])
    return nn.CrossEntropyLoss()(z[points:] @ w.T + b, query[1])


def loss_by_package(net, support, query, n_way):
    embedded = (Points(net(part[0]), part[1]) for part in (support, query))
    return protonet.loss(*embedded, n_way)


def loss_one_by_one(net, support, query, n_way):
    features, total = [net(x[None])[0] for x in support[0]], 0.0
    means = [torch.stack([z for z, y in zip(features, support[1]) if y == k]) for k in range(n_way)]
    for x, y in zip(*query):
        near = torch.stack([-((net(x[None])[0] - c.mean(0)) ** 2).sum() for c in means])
        total = total - near[y] + near.logsumexp(0)
    return total / len(query[1])


LOSING = known_mistakes(
    episode_loss,
    """
support judged: = support, query => = support, support
    This is the loss on the support set; the queries are judged.
swapped: = support, query => = query, support
    Your prototypes are made of the queries, and the support set is judged.
leak: features = net(x) => y = torch.cat([y, query_y]); features = net(torch.cat([x, query_x]))
    The queries are in their own prototypes; those are made of the support set alone.
blocks: features[y == k] => features.reshape(n_way, -1, features.shape[1])[k]
    You take the support labels to stand in blocks, 0, 0, 1, 1, …; they come in any order.
query blocks: (-distances, query_y) => (-distances, query_y.sort().values)
    You take the query labels to stand in blocks, 0, 0, 1, 1, …; they come in any order.
in turn: features[y == k] => features[k::n_way]
    You take the support labels to stand in turn, 0, 1, 2, 0, 1, 2, …; they come in any order.
first shot: features[y == k].mean(0) => features[y == k][0]
    Your prototypes are single drawings; take the mean of each class.
sums: features[y == k].mean(0) => features[y == k].sum(0)
    Your prototypes are sums; take the mean of each class.
medians: features[y == k].mean(0) => features[y == k].median(0).values
    Your prototypes are medians; take the mean of each class.
mean image: features[y == k].mean(0) => net(x[y == k].mean(0, keepdim=True))[0]
    You take the mean of the images and its features; take the mean of the features.
no softmax: return torch.nn.functional.cross_entropy(-distances, query_y) => return distances.gather(1, query_y[:, None]).mean()
    This is the mean squared distance to the own prototype; without the others it is no loss.
halved: (-distances, => (-distances / 2,
    Your scores are −½‖z − c‖²: there is no ½ in a ProtoNet.
city block: ** 2).sum(2) => ).abs().sum(2)
    These are sums of absolute differences; square them.
square of the sum: ** 2).sum(2) => ).sum(2) ** 2
    You square the sum of the differences; sum their squares.
scalar product: ((net(query_x)[:, None] - c) ** 2).sum(2) => -net(query_x) @ c.T
    Your scores are z · c; take minus the squared distances.
cosine: ((net(query_x)[:, None] - c) ** 2).sum(2) => -torch.cosine_similarity(net(query_x)[:, None], c, 2)
    Your scores are cosines; take minus the squared distances.
unsquared: .sum(2) => .sum(2).sqrt()
    Your distances are not squared: the same class wins, with other probabilities.
mean over features: .sum(2) => .mean(2)
    You take the mean over the features; ‖z − c‖² is the sum.
over the queries: return torch.nn.functional.cross_entropy(-distances, => return torch.nn.functional.nll_loss((-distances).log_softmax(0),
    Your softmax runs over the queries; each query's probabilities sum to one over the classes.
farthest: (-distances, => (distances,
    Your scores are +‖z − c‖²: the farthest prototype wins.
softmax twice: (-distances, => ((-distances).softmax(1),
    Your softmax is taken twice: `cross_entropy` wants the scores, and takes its own.
no logarithm: return torch.nn.functional.cross_entropy(-distances, => return torch.nn.functional.nll_loss((-distances).softmax(1),
    This is minus a mean probability; the cross-entropy has its logarithm.
sum: (-distances, query_y) => (-distances, query_y, reduction="sum")
    This is the sum over the queries; take their mean.
no length: ((net(query_x)[:, None] - c) ** 2).sum(2) => -2 * net(query_x) @ c.T
    The ‖c‖² is missing: 2c · z alone prefers long prototypes.
pixels: features = net(x) => net = torch.nn.Flatten(); features = net(x)
    You compare pixels; send both sets through `net`.
accuracy: return torch.nn.functional.cross_entropy(-distances, query_y) => return (distances.argmin(1) == query_y).double().mean()
    This is the accuracy, which has no gradient; return the cross-entropy.
return: return torch => return None; torch
not finite: (-distances, => (-distances / 0,
value: (-distances, => (-1.1 * distances,
""",  # noqa: E501
)
LOSING_GRAPH = known_mistakes(
    episode_loss,
    f"""
cut: (-distances, query_y) => (-distances, query_y).detach()
    {CUT.format("to the parameters of `net`")}
prototypes cut: c = torch.stack([features[y == k] => c = torch.stack([features.detach()[y == k]
    The number is right, but the prototypes are constants: gradients flow through both sets.
queries cut: net(query_x)[:, None] => net(query_x).detach()[:, None]
    The number is right, but the queries are constants: gradients flow through both sets.
""",
)


def loss_case(n_way: int, k_shot: int, n_query: int) -> tuple:
    y, sides = n_way + k_shot, []
    labels = [labels_of([n] * n_way, seeded(y + i)) for i, n in enumerate((k_shot, n_query))]
    images = images_of(torch.cat(labels), seed=y).split([len(part) for part in labels])
    sides = [Points(*side) for side in zip(images, labels)]
    return small_net(y, norm=False), *sides, n_way


def judge_episode(fn: Callable) -> None:
    """One shot and several, one query and several; then the gradient."""
    cases = [loss_case(*size) for size in ((3, 2, 2), (5, 1, 3), (2, 4, 1), (4, 3, 3))]
    answers = [watched(fn, case[0], case[1:3], case[3]) for case in cases]
    text = "Your function leaves the net in evaluation mode: the training loop sets the mode."
    require(all(case[0].training for case in cases), "mode", text)
    found = [read_numbers(answer, "one number", one=True) for answer in answers]
    judge_answers(found, cases, episode_loss, LOSING, names=("your loss",), within=1e-6)

    def leaves(case: tuple) -> list[Tensor]:
        return list(case[0].parameters())

    judge_flow(answers, cases, episode_loss, LOSING_GRAPH, leaves)


def loss_with_a_step(net, support, query, n_way):
    loss = episode_loss(net, support, query, n_way)
    torch.optim.SGD(net.parameters(), 0.1).step(loss.backward)
    return loss


def loss_with_backward(net, support, query, n_way):
    loss = episode_loss(net, support, query, n_way)
    loss.backward(retain_graph=True)
    return loss


def loss_in_place(net, support, query, n_way):
    support[0].div_(2), query[0].div_(2)
    return episode_loss(net, support, query, n_way)


episode = Exercise(
    name="episode",
    title="the loss of an episode",
    minutes=10,
    difficulty=2,
    stub='''\
def episode_loss(net, support, query, n_way):
    """The mean cross-entropy of the queries of one episode, one number.

    support, query: (images, labels), images (points, 1, h, w), labels int64 (points,),
    0 to n_way - 1 in any order, all equally often. net makes features (points, d) of
    images, here each image by itself: both sets may go through it at once or one after
    the other. The scores are minus the squared distances to the prototypes of the
    support set. Gradients flow to the parameters of net, through both sets.
    """
    raise NotImplementedError
''',
    judge=judge_episode,
    reference=episode_loss,
    praise="That is all of a ProtoNet's training, but for the optimiser.",
    hints=(
        "Features of the support set, a mean for each class, distances of the queries' features.",
        "`torch.nn.functional.cross_entropy` takes scores (queries, n_way) and labels (queries,).",
        "The scores are minus `((net(query_x)[:, None] - c) ** 2).sum(2)`.",
    ),
    symptom_hints={
        "leak": "a query that helps to make its prototype is near it without any learning.",
        "prototypes cut": "no `detach()` and no `no_grad` on the way to the prototypes.",
    },
    alternatives=(loss_together, loss_by_package, loss_one_by_one),
    mutants=mutants_of(LOSING, LOSING_GRAPH)
    | {
        "mode": lambda net, *case: episode_loss(net.eval(), *case),
        "net changed": loss_with_a_step,
        "backward": loss_with_backward,
        "input changed": loss_in_place,
    },
)

# ---------------------------------------------------------------- one_out: leave one out


def leave_one_out(features, labels, n_way):
    rows = []
    for i, z in enumerate(features):
        kept = torch.arange(len(labels)) != i
        c = [features[kept & (labels == k)].mean(0) for k in range(n_way)]
        rows.append(((z - torch.stack(c)) ** 2).sum(1))
    return torch.stack(rows)


def one_out_by_factor(features, labels, n_way):
    """To the mean without z it is K / (K − 1) times as far as to the mean with z."""
    counts = labels.bincount(minlength=n_way)
    c = torch.stack([features[labels == k].mean(0) for k in range(n_way)])
    longer = (counts / (counts - 1)).to(features.dtype)
    distances = ((features[:, None] - c) ** 2).sum(2)
    return torch.where(one_hot(labels, n_way).bool(), longer**2 * distances, distances)


def one_out_by_sums(features, labels, n_way):
    own = one_hot(labels, n_way).double()
    sums = own.T @ features - own[:, :, None] * features[:, None]
    c = sums / (own.sum(0) - own)[:, :, None]
    return (features[:, None] - c).square().sum(-1)


def one_out_by_deleting(features, labels, n_way):
    rows = []
    for i in range(len(labels)):
        z, y = (torch.cat([part[:i], part[i + 1 :]]) for part in (features, labels))
        rows.append(protonet.squared(features[i : i + 1], protonet.prototypes(z, y, n_way))[0])
    return torch.stack(rows)


LEAVING = known_mistakes(
    leave_one_out,
    """
with it: kept & (labels == k) => (labels == k)
    Every point is in its own prototype; leave it out.
own count: .mean(0) for => .sum(0) / (labels == k).sum() for
    You take the point out of the sum and not out of the count: divide by one less.
all counts: .mean(0) for => .sum(0) / ((labels == k).sum() - 1) for
    You divide the sums of all classes by one less; only the own class has lost a point.
unsquared: .sum(1) => .sum(1).sqrt()
    Your distances are not squared.
mean over features: .sum(1) => .mean(1)
    You take the mean over the features; ‖z − c‖² is the sum.
blocks: (labels == k) => (labels.sort().values == k)
    You take the labels to stand in blocks, 0, 0, 1, 1, …; they come in any order.
equal counts: [features[kept & (labels == k)].mean(0) for k in range(n_way)] => [features[labels == k].mean(0) for k in range(n_way)]; n = len(labels) // n_way; c[labels[i]] = (n * c[labels[i]] - z) / max(n - 1, 1)
    You take each class to have len(labels) / n_way points; use its own number.
others' means: .sum(1)) => .sum(1) * ((n := labels.bincount(minlength=n_way)) / (n - 1)).double() ** torch.where(torch.arange(n_way) == labels[i], 0, 2))
    You stretch the distances to the other classes as well; only the own class has lost a point.
upside down: features[kept & (labels == k)].mean(0) => (z + ((n := (labels == k).sum()) - 1) / n * (features[labels == k].mean(0) - z) if labels[i] == k else features[labels == k].mean(0))
    Your own distances are shorter than those to means with the point in; without it they are longer.
own is zero: .sum(1)) => .sum(1) * (torch.arange(n_way) != labels[i]))
    The distance to the own class is zero in your rows; it has other points, and a mean.
mean of distances: rows.append(((z - torch.stack(c)) ** 2).sum(1)) => rows.append(torch.stack([((z - features[kept & (labels == k)]) ** 2).sum(1).mean() for k in range(n_way)]))
    You take the mean of the distances to the points; take the points' mean first.
equal points: kept = torch.arange(len(labels)) != i => kept = (features != z).any(1)
    Where two points are equal, both are left out of your rows; leave out point i alone.
minus: .sum(1)) => .sum(1).neg())
    These are minus the distances.
last left out: != i => != len(labels) - 1
    You leave out the same point for all; leave each out of its own row.
the next left out: != i => != (i + 1) % len(labels)
    Row i leaves out point i + 1; it should leave out point i.
nearest: features[kept & (labels == k)].mean(0) => min(features[kept & (labels == k)], key=lambda x: (x - z).norm())
    These are the distances to the nearest other point of a class; take the mean first.
own alone: .sum(1)) => .sum(1)[labels[i]])
    You return one distance a point; return those to all classes.
transposed: return torch.stack(rows) => return torch.stack(rows).T
return: return torch.stack(rows) => return None
value: - torch.stack(c) => - 1.1 * torch.stack(c)
""",  # noqa: E501
)


def one_out_case(counts: tuple, dim: int) -> tuple:
    labels = labels_of(counts, seeded(dim))
    return drawn(len(labels), dim, seed=len(labels)), labels, len(counts)


def longer_unsquared(features, labels, n_way):
    counts = labels.bincount(minlength=n_way)
    c = torch.stack([features[labels == k].mean(0) for k in range(n_way)])
    distances = ((features[:, None] - c) ** 2).sum(2)
    longer = (counts / (counts - 1)).to(features.dtype)
    return torch.where(one_hot(labels, n_way).bool(), longer * distances, distances)


LEAVING["factor"] = (
    longer_unsquared,
    "Your own distances have the factor K / (K − 1); they are squared, and so is the factor.",
)


def one_out_of_every_class(features, labels, n_way):
    """Leaves out the j-th point of every class in the rows of all j-th points."""
    place = torch.stack([(labels[:i] == labels[i]).sum() for i in range(len(labels))])
    rows = []
    for z, j in zip(features, place):
        c = [features[(place != j) & (labels == k)].mean(0) for k in range(n_way)]
        rows.append(((z - torch.stack(c)) ** 2).sum(1))
    return torch.stack(rows)


LEAVING["one of every class"] = (
    one_out_of_every_class,
    "Every class has lost a point in your rows; only the point's own class does.",
)
EMPTY = "A class has no point left in some rows: leave out the one point alone, not its class."


def read_one_out(answer, case: tuple) -> Tensor:
    numbers, shape = to_tensor(answer), (len(case[1]), case[2])
    if numbers is not None and numbers.is_floating_point() and tuple(numbers.shape) == shape:
        lost = numbers.isnan()
        own = lost.any() and torch.equal(lost, one_hot(case[1], case[2]).bool())
        require(not own, "empty", EMPTY)
        gone = lost.any(1)
        gone = gone[-1] and not gone[0] and torch.equal(gone, gone.sort().values)
        text = "The first rows have their numbers and the later ones have none: a point that was "
        text += "left out of one row has to be back for the next."
        require(not gone, "never back", text)
    known = {shape[::-1]: ("transposed", "A row is a point.")}
    known[shape[:1]] = "own alone", LEAVING["own alone"][1]
    return read_table(answer, shape, "distances", known)


def judge_one_out(fn: Callable) -> None:
    """Two points a class and more, equal counts and unequal ones, labels in any order."""
    sizes = ((2, 2, 2), 3), ((3, 5, 2, 4), 6), ((7, 2), 1), ((5,) * 3, 4), ((2, 9, 2), 2)
    cases = [one_out_case(*size) for size in sizes]
    features, labels, _ = cases[4]
    twins = (labels == 1).nonzero()[:2, 0]
    features[twins[0]] = features[twins[1]]
    answers = [read_one_out(fn(*case), case) for case in cases]
    judge_answers(answers, cases, leave_one_out, LEAVING, within=1e-6)


one_out = Exercise(
    name="one_out",
    title="a prototype that has not seen you",
    minutes=10,
    difficulty=2,
    stub='''\
def leave_one_out(features, labels, n_way):
    """Each point's squared distances to class means made without it, (points, n_way).

    features: float64 (points, d). labels: int64 (points,), 0 to n_way - 1 in any order,
    each at least twice, not equally often. The mean of a point's own class leaves the
    point out; the other means do not know it anyway.
    """
    raise NotImplementedError
''',
    judge=judge_one_out,
    reference=leave_one_out,
    praise="Every support point has become a query, and none of them sits in its own prototype.",
    hints=(
        "One row at a time: which points make the prototypes for the row of point i?",
        "`torch.arange(len(labels)) == i` is true for i alone; `~` turns it round, `&` joins it "
        "with `labels == k`.",
        "`features[kept & (labels == k)].mean(0)` for each k, then the squared distances of z.",
    ),
    symptom_hints={
        "own count": "a mean of what is left divides by the number of what is left.",
        "factor": "z − c′ = K / (K − 1) · (z − c); and ‖·‖²?",
    },
    alternatives=(one_out_by_factor, one_out_by_sums, one_out_by_deleting),
    mutants=mutants_of(LEAVING)
    | {
        "shape": lambda features, labels, n_way: leave_one_out(features, labels, n_way)[None],
        "not finite": edited(leave_one_out, "torch.arange(len(labels)) != i", "labels < 0"),
        "never back": edited(
            leave_one_out, "torch.arange(len(labels)) != i", "torch.arange(len(labels)) > i"
        ),
        "empty": edited(leave_one_out, "torch.arange(len(labels)) != i", "labels != labels[i]"),
    },
)
# ---------------------------------------------------------------- evaluate: a mean and its interval


def evaluate(net, episodes, n_way):
    was_training, found = net.training, []
    net.eval()
    with torch.no_grad():
        for x, y, query_x, query_y in zip(*episodes[0], *episodes[1]):
            features = net(x)
            c = torch.stack([features[y == k].mean(0) for k in range(n_way)])
            found.append((torch.cdist(net(query_x), c).argmin(1) == query_y).double().mean())
    net.train(was_training)
    found = torch.stack(found)
    return found.mean(), 1.96 * found.std() / len(found) ** 0.5


def evaluate_at_once(net, episodes, n_way):
    """All tasks in one batch, and the course's own accuracy and interval."""
    modes = [module.training for module in net.modules()]
    with torch.inference_mode():
        net.eval()
        (x, y), (qx, qy) = episodes
        z, qz = (net(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in (x, qx))
        winners = protonet.nearest_prototype(qz, protonet.prototypes(z, y, n_way))
    for module, mode in zip(net.modules(), modes):
        module.training = mode
    return estimate(accuracy(winners, qy))


@torch.no_grad()
def evaluate_by_counting(net, episodes, n_way):
    mode = net.training
    (x, y), (qx, qy) = episodes
    parts = []
    for task in range(len(y)):
        z, q = net.eval()(x[task]), net(qx[task])
        c = [sum(z[y[task] == k]) / int((y[task] == k).sum()) for k in range(n_way)]
        winners = [min(range(n_way), key=lambda k: float((p - c[k]) @ (p - c[k]))) for p in q]
        hits = sum(a == b for a, b in zip(winners, qy[task].tolist()))
        parts.append(hits / len(qy[task]))
    net.train(mode)
    mean, n = sum(parts) / len(parts), len(parts)
    variance = sum((p - mean) ** 2 for p in parts) / (n - 1)
    return [mean, 1.96 * (variance / n) ** 0.5]


EVALUATING = known_mistakes(
    evaluate,
    """
support judged: == query_y).double() => == query_y).double() if False else (torch.cdist(features, c).argmin(1) == y).double()
    This is the accuracy on the support set, whose points made the prototypes; judge the queries.
broadcast: .argmin(1) == query_y => .argmin(1, keepdim=True) == query_y
    A column met a row: every prediction was compared with every label, hence 1/N whatever the net.
standard deviation: / len(found) ** 0.5 => / 1
    The width is that of single tasks; the standard error divides by the root of their number.
divided by n: / len(found) ** 0.5 => / len(found)
    You divide by the number of tasks; the standard error has its root.
one standard error: 1.96 * found => found
    This is one standard error; 95 % take 1.96 of them.
whole width: 1.96 * found => 2 * 1.96 * found
    This is the whole width of the interval; return half of it.
standard deviation alone: 1.96 * found.std() / len(found) ** 0.5 => found.std()
    This is the standard deviation of single tasks; return 1.96 standard errors.
variance: found.std() => found.var()
    You take the variance; the standard error is made of the standard deviation.
bounds: return found.mean(), 1.96 * found.std() / len(found) ** 0.5 => h = 1.96 * found.std() / len(found) ** 0.5; return found.mean() - h, found.mean() + h
    These are the ends of the interval; return its middle and half its width.
errors: return found.mean(), 1.96 => return 1 - found.mean(), 1.96
    This is the part that is wrong; return the part that is right.
n, not n - 1: found.std() => found.std(unbiased=False)
    Your standard deviation divides by n; divide by n − 1.
queries counted: found.std() / len(found) ** 0.5 => (found.mean() * (1 - found.mean()) / episodes[1][1].numel()) ** 0.5
    Your interval counts queries; those of a task share its prototypes, so count tasks.
blocks: features[y == k] => features.reshape(n_way, -1, features.shape[1])[k]
    You take the support labels to stand in blocks, 0, 0, 1, 1, …; they come in any order.
first shot: features[y == k].mean(0) => features[y == k][0]
    Your prototypes are single drawings; take the mean of each class.
sums: features[y == k].mean(0) => features[y == k].sum(0)
    Your prototypes are sums; take the mean of each class.
leak: features = net(x) => y = torch.cat([y, query_y]); features = net(torch.cat([x, query_x]))
    The queries are in their own prototypes; those are made of the support set alone.
other tasks: features = net(x) => y = episodes[0][1].flatten(); features = net(episodes[0][0].flatten(0, 1))
    Your prototypes are made of the drawings of all tasks; each task has its own.
first prototypes: features = net(x) => y = episodes[0][1][0]; features = net(episodes[0][0][0])
    All tasks are judged by the prototypes of the first one; each has its own.
nearest drawing: (torch.cdist(net(query_x), c).argmin(1) == query_y) => (y[torch.cdist(net(query_x), features).argmin(1)] == query_y)
    You choose the nearest drawing; choose the nearest prototype.
scalar product: torch.cdist(net(query_x), c) => (-net(query_x) @ c.T)
    You choose the largest z · c; choose the nearest prototype.
farthest: .argmin(1) => .argmax(1)
    You choose the farthest prototype.
percent: return found.mean(), 1.96 => found = 100 * found; return found.mean(), 1.96
    Your accuracies are percents; return parts of one.
first task: found = torch.stack(found) => found = torch.stack(found[:1] * len(found))
    This is the accuracy on the first task alone.
median: return found.mean() => return found.median()
    Your centre is the median; return the mean.
return: return found.mean(), => return
not finite: return found.mean(), => return found.mean() / 0,
value: return found.mean(), => return 1.1 * found.mean(),
""",  # noqa: E501
)


def evaluate_case(tasks: int, n_way: int, k_shot: int, n_query: int, mode: str) -> tuple:
    sides = []
    for per_class in (k_shot, n_query):
        rows = [labels_of([per_class] * n_way, seeded(9 * t + per_class)) for t in range(tasks)]
        images = [images_of(row, seed=31 * t, noise=1.5) for t, row in enumerate(rows)]
        noise = 1.5 * drawn(tasks, len(rows[0]), 1, 3, 4, seed=per_class)
        sides.append(Points(torch.stack(images) + noise, torch.stack(rows)))
    return mode, Episode(*sides), n_way


def net_of(case: tuple) -> nn.Module:
    """A net of the case's own, in the mode in which it comes."""
    return small_net(len(case[1][0].y), norm=True).train(case[0] == "training")


def mean_and_width(fn: Callable, case: tuple) -> Tensor:
    return torch.stack([torch.as_tensor(v).double() for v in fn(net_of(case), *case[1:])][:2])


def judge_forwards(cases: list, forwards: list) -> None:
    """forwards: for each case, (training, builds a graph) of every pass through its batch norm."""
    modes = [{training for training, _ in seen} for seen in forwards]
    text = "Some images went through `net` in training mode: they moved the running statistics, "
    text += "and the rest was judged by what test tasks left there. Call `net.eval()` first."
    require({True, False} not in modes, "statistics", text)
    text = "Your net normalises by the batch at hand, in training mode: call `net.eval()`."
    require(
        {True} not in [m for m, c in zip(modes, cases) if c[0] != "training"], "training mode", text
    )
    text = "A net that comes in training mode stays in it: call `net.eval()` before you judge."
    require({True} not in modes, "mode kept", text)
    text = "Your net builds a graph that nobody needs: put the passes under `torch.no_grad()`."
    require(not any(graph for seen in forwards for _, graph in seen), "graph", text)


def judge_state(net: nn.Module, modes: list, buffers: list) -> None:
    """The mode and the running statistics that a net came with."""
    now = [module.training for module in net.modules()]
    text = "The net came in training mode and is left in evaluation mode: put back what was."
    require(not (modes[0] and not any(now)), "mode left", text)
    text = "The net came in evaluation mode and is left in training mode: put back what was."
    require(modes[0] or not any(now), "always training", text)
    text = "Your function changes the running statistics of `net`."
    same = all(torch.equal(a, b) for a, b in zip(net.buffers(), buffers))
    require(same, "buffers", text)


def judge_evaluate(fn: Callable) -> None:
    """Nets that come in either mode; how images went through them, what is left, the numbers."""
    modes = "training", "evaluation"
    sizes = (6, 3, 2, 2), (8, 5, 1, 1), (2, 2, 3, 4), (15, 4, 2, 3)
    cases, forwards, answers = [evaluate_case(*s, m) for s, m in zip(sizes, 2 * modes)], [], []
    nets = [net_of(case) for case in cases]
    before = [
        ([m.training for m in net.modules()], [b.clone() for b in net.buffers()]) for net in nets
    ]
    for net, case in zip(nets, cases):
        seen = []
        keep = net[2].register_forward_hook(
            lambda norm, x, z, seen=seen: seen.append((norm.training, z.requires_grad))
        )
        answers.append(watched(fn, net, *case[1:]))
        text = "Your function leaves gradients switched off for everybody: `with torch.no_grad():`."
        require(torch.is_grad_enabled(), "gradients off", text)
        forwards.append(seen)
        keep.remove()
    found = [read_estimate(answer) for answer in answers]
    judge_forwards(cases, forwards)
    for net, (modes, buffers) in zip(nets, before):
        judge_state(net, modes, buffers)
    names = "the mean", "the half width"
    judge_answers(found, cases, evaluate, EVALUATING, mean_and_width, names, 1e-6)


def evaluate_after_a_look(net, episodes, n_way):
    """Lets batch norm see the tasks first."""
    was_training = net.training
    with torch.no_grad():
        net.train()(episodes[0][0].flatten(0, 1))
    answer = evaluate(net, episodes, n_way)
    net.train(was_training)
    return answer


def evaluate_and_reset(net, episodes, n_way):
    answer = evaluate(net, episodes, n_way)
    net[2].reset_running_stats()
    return answer


def evaluate_in_place(net, episodes, n_way):
    answer = evaluate(net, episodes, n_way)
    episodes[1][1].zero_()
    return answer


def evaluate_switched_off(net, episodes, n_way):
    torch.set_grad_enabled(False)
    return evaluate(net, episodes, n_way)


def evaluate_frozen(net, episodes, n_way):
    return evaluate(net.requires_grad_(False), episodes, n_way)


def evaluate_rescaled(net, episodes, n_way):
    answer = evaluate(net, episodes, n_way)
    net[1].weight.data.mul_(2)
    return answer


evaluation = Exercise(
    name="evaluate",
    title="how well, and how sure",
    minutes=12,
    difficulty=3,
    stub='''\
def evaluate(net, episodes, n_way):
    """Mean accuracy over tasks, and half the width of its 95 % interval: two numbers.

    episodes: (support, query), each (images, labels) with a leading dimension of
    tasks, as `pool.sample` gives them; every task is classified by its own prototypes.
    Batch norm uses its running statistics, which stay as they are, no graph is built,
    and afterwards net is in the mode, training or not, in which it came.
    The half: 1.96 standard errors over tasks; the standard deviation divides by n - 1.
    """
    raise NotImplementedError
''',
    judge=judge_evaluate,
    reference=evaluate,
    praise="A number with its interval, and a net that nobody has touched.",
    hints=(
        "Remember `net.training`, call `net.eval()`, and at the end `net.train(…)` with it.",
        "Under `torch.no_grad()`, for each task: prototypes, the nearest one of every query, and "
        "the part of the queries that is right.",
        "One accuracy a task: its mean, and `1.96 * found.std() / len(found) ** 0.5`.",
    ),
    symptom_hints={
        "broadcast": "shapes (queries, 1) and (queries,) make (queries, queries). Print them.",
        "queries counted": "a bad prototype spoils all queries of its task at once.",
    },
    alternatives=(evaluate_at_once, evaluate_by_counting),
    mutants=mutants_of(EVALUATING)
    | {
        "training mode": edited(evaluate, "net.eval()", "net.train()"),
        "mode kept": edited(evaluate, "net.eval()", "pass"),
        "statistics": evaluate_after_a_look,
        "mode left": edited(evaluate, "net.train(was_training)", "pass"),
        "always training": edited(evaluate, "net.train(was_training)", "net.train()"),
        "graph": edited(evaluate, "torch.no_grad()", "torch.enable_grad()"),
        "gradients off": evaluate_switched_off,
        "buffers": evaluate_and_reset,
        "input changed": evaluate_in_place,
        "backward": evaluate_frozen,
        "net changed": evaluate_rescaled,
    },
)

# ---------------------------------------------------------------- alphabet: Lake's task


def within_alphabet(pool, generator, n_way=20):
    large = (pool.alphabet.bincount() >= n_way).nonzero()[:, 0]
    chosen = large[torch.randint(len(large), (), generator=generator)]
    classes, sides = (pool.alphabet == chosen).nonzero()[:, 0], []
    classes = classes[torch.randperm(len(classes), generator=generator)[:n_way]]
    for who in torch.randperm(20, generator=generator)[:2] + 1:
        y = torch.randperm(n_way, generator=generator)
        place = (pool.drawer[classes[y]] == who).int().argmax(1)
        sides.append((pool.images[classes[y], place][None, :, None] / 255, y[None]))
    return tuple(sides)


def alphabet_by_subset(pool, generator, n_way=20):
    counts = {int(a): int((pool.alphabet == a).sum()) for a in pool.alphabet.unique()}
    large = sorted(a for a, n in counts.items() if n >= n_way)
    a = large[int(torch.randint(0, len(large), (1,), generator=generator))]
    own = pool.subset(torch.nonzero(pool.alphabet == a).squeeze(1))
    labels = torch.randperm(len(own), generator=generator)
    members = torch.nonzero(labels < n_way)[:, 0]
    hands = torch.rand(20, generator=generator).topk(2).indices + 1
    sides = []
    for hand in hands:
        shuffled = members[torch.randperm(n_way, generator=generator)]
        x = torch.stack([own.images[m][own.drawer[m] == hand][0] for m in shuffled])
        sides.append(Points(x.float().div(255).unsqueeze(1).unsqueeze(0), labels[shuffled][None]))
    return sides


def alphabet_by_rejection(pool, generator, n_way=20):
    """Draws alphabets until one is large enough, drawers until they differ."""

    def below(n: int) -> int:
        return int(torch.randint(n, (1,), generator=generator))

    members = []
    while len(members) < n_way:
        chosen = below(len(pool.alphabets))
        members = [c for c, a in enumerate(pool.alphabet.tolist()) if a == chosen]
    first, second = below(20) + 1, below(20) + 1
    while second == first:
        second = below(20) + 1
    mixed = torch.tensor(members)[torch.randperm(len(members), generator=generator)][:n_way]
    both = []
    for hand in (first, second):
        order = torch.rand(n_way, generator=generator).argsort()
        rows = [pool.images[mixed[i], pool.drawer[mixed[i]].tolist().index(hand)] for i in order]
        both.append((torch.stack(rows).double().div(255)[None, :, None], order[None]))
    return both


DRAWING = known_mistakes(
    within_alphabet,
    """
several alphabets: (pool.alphabet == chosen) => (pool.alphabet >= 0)
    A task has characters of several alphabets; take all from one.
repeated: torch.randperm(len(classes), generator=generator)[:n_way] => torch.randint(len(classes), (n_way,), generator=generator)
    A character is in the task twice, with two labels.
same drawer: [:2] + 1 => [:1].expand(2) + 1
    Support and query are by the same drawer, and here the same drawings: take two drawers.
several drawers: place = (pool.drawer[classes[y]] == who).int().argmax(1) => place = torch.randint(20, (n_way,), generator=generator)
    The drawings of a set are by several people; one drawer makes them all.
column, not drawer: place = (pool.drawer[classes[y]] == who).int().argmax(1) => place = who - 1
    You take a column for a drawer; `pool.drawer` says who made which drawing.
mismatched: / 255, y[None] => / 255, torch.randperm(n_way, generator=generator)[None]
    A label means one character in the support and another one in the query.
in order: y = torch.randperm(n_way, generator=generator) => y = torch.randperm(n_way, generator=generator) if sides else torch.arange(n_way)
    The order of the points is not random: a label tells where a point stands.
same order: y = torch.randperm(n_way, generator=generator) => y = sides[0][1][0] if sides else torch.randperm(n_way, generator=generator)
    Support and query stand in the same order: a network could match them by their place.
sorted labels: generator=generator)[:n_way]] => generator=generator)[:n_way]].sort().values
    Labels follow the order of the characters in the pool; which gets which should be random.
first characters: classes[torch.randperm(len(classes), generator=generator)[:n_way]] => classes[torch.randperm(n_way, generator=generator)]
    Some characters of an alphabet never come; all of them may.
windows: classes[torch.randperm(len(classes), generator=generator)[:n_way]] => classes[(torch.randint(len(classes), (), generator=generator) + torch.randperm(n_way, generator=generator)) % len(classes)]
    Characters that stand together in the pool come together: draw any n_way of an alphabet.
first alphabet: chosen = large[torch.randint(len(large), (), generator=generator)] => chosen = large[0]
    Some alphabets that are large enough never come.
more often: chosen = large[torch.randint(len(large), (), generator=generator)] => chosen = (n := pool.alphabet[torch.isin(pool.alphabet, large)])[torch.randint(len(n), (), generator=generator)]
    Some alphabets come more often than others; all that are large enough are equally likely.
few drawers: torch.randperm(20, generator=generator) => torch.randperm(10, generator=generator)
other randomness: torch.randperm(20, generator=generator) => torch.randperm(20)
    With the same seed your function gives another task; draw from `generator`.
scale: / 255, => * 1.0,
type: y[None])) => y[None].double()))
labels: y[None])) => y[None] + 1))
no drawings: / 255, => .flip(-1) / 255,
shape: [None, :, None] => [:, None]
return: return tuple(sides) => return sides[0]
""",  # noqa: E501
)


def told(condition: bool, symptom: str) -> None:
    """NotYet with the sentence of a known mistake."""
    require(bool(condition), symptom, DRAWING[symptom][1])


DRAWING["too few"] = (
    edited(within_alphabet, "bincount() >= n_way)", "bincount() > 0)"),
    "An alphabet had fewer characters than n_way: choose among the larger ones.",
)


def pool_of(sizes: tuple, seed: int) -> Characters:
    """Characters whose alphabets and drawers are mixed, and whose pixels say which they are."""
    g = seeded(seed)
    alphabet = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    alphabet = alphabet[torch.randperm(len(alphabet), generator=g)]
    n = len(alphabet)
    images = torch.randint(256, (n, 20, 3, 4), dtype=torch.uint8, generator=g)
    images[..., 0, 0], images[..., 0, 1] = torch.arange(n)[:, None], torch.arange(20)
    drawer = (torch.rand(n, 20, generator=g).argsort(1) + 1).to(torch.uint8)
    names = tuple(f"alphabet {i}" for i in range(len(sizes)))
    return Characters(images, alphabet, drawer, names, torch.zeros(n, dtype=torch.int64))


def read_sides(answer, n_way: int) -> list[Points]:
    """Support and query with their forms checked."""
    text = f"Your function returned {describe(answer)}; return (support, query), each of them "
    text += "(images, labels)."
    sides = list(answer) if isinstance(answer, (tuple, list)) else []
    pairs = [p for p in sides if isinstance(p, (tuple, list)) and len(p) == 2]
    good = len(sides) == len(pairs) == 2 and all(isinstance(v, Tensor) for p in pairs for v in p)
    require(good and all(v.numel() for p in pairs for v in p), "return", text)
    for x, y in pairs:
        told(y.shape[-1:] >= (n_way,) or x.ndim != 5, "too few")
        form, right = (tuple(x.shape), tuple(y.shape)), ((1, n_way, 1, 3, 4), (1, n_way))
        text = f"Your images and labels have the shapes {form[0]} and {form[1]}; for {n_way} "
        text += f"classes and drawings of 3 × 4 they should be {right[0]} and {right[1]}."
        require(form == right, "shape", text)
        text = f"You return images of the type {str(x.dtype)[6:]} and labels of the type "
        text += f"{str(y.dtype)[6:]}; they should be float32 and int64."
        real = x.dtype in (torch.float32, torch.float64)  # half precision has lost the pixels
        require(real and y.dtype == torch.int64, "type", text)
    return [Points(x.double(), y) for x, y in pairs]


def read_drawings(side: Points, pool: Characters, n_way: int) -> tuple[Tensor, Tensor, Tensor]:
    """The labels, and which character and whose drawing each image is."""
    x = side.x[0, :, 0]
    text = f"A pixel of yours is {float(x.max()):g}; images have values from 0 to 1: divide by 255."
    require(x.max() <= 1 + 1e-6, "scale", text)
    seen = (x * 255).round().to(torch.uint8)
    character, place = seen[:, 0, 0].long(), seen[:, 0, 1].long()
    known = bool((character < len(pool)).all() and (place < 20).all())
    known = known and torch.allclose(pool.images[character, place] / 255.0, x.float(), 0, 1e-6)
    text = "An image of yours is no drawing of the pool: return them as they are, divided by 255."
    require(known, "no drawings", text)
    y = side.y[0]
    text = (
        f"Your labels are {', '.join(map(str, y.tolist()[:5]))}, …; in each set every label from "
    )
    text += f"0 to {n_way - 1} comes once."
    require(torch.equal(y.sort().values, torch.arange(n_way)), "labels", text)
    return y, character, pool.drawer[character, place]


def read_task(answer, pool: Characters, n_way: int) -> dict[str, Tensor]:
    """What is in a task, after everything that must hold for every single one."""
    support, query = (read_drawings(s, pool, n_way) for s in read_sides(answer, n_way))
    by_label = [part[1][part[0].argsort()] for part in (support, query)]
    told(len(by_label[0].unique()) == n_way, "repeated")
    told(len(pool.alphabet[by_label[0]].unique()) == 1, "several alphabets")
    told(torch.equal(*by_label), "mismatched")
    hands = torch.stack([support[2], query[2]]).long()
    return {
        "support": support[0],
        "query": query[0],
        "characters": by_label[0],
        "drawers": hands,
        "columns": torch.stack([place_of(pool, *part[1:]) for part in (support, query)]),
    }


def place_of(pool: Characters, character: Tensor, hand: Tensor) -> Tensor:
    """The column of the drawing that this hand made."""
    return (pool.drawer[character] == hand[:, None]).int().argmax(1)


def uneven(a: Tensor, b: Tensor, n: int) -> bool:
    """Whether some pair of two numbers in 0…n-1, each drawn often, comes too often or rarely."""
    counts = (n * a.flatten() + b.flatten()).bincount(minlength=n * n).double()
    wanted = counts.sum() / (n * n)
    return bool((counts - wanted).abs().max() > 6 * wanted.sqrt())


def judge_drawers(tasks: list[dict]) -> None:
    """One hand a set, two hands a task."""
    hands = torch.stack([task["drawers"] for task in tasks])
    columns = torch.stack([task["columns"] for task in tasks])
    one = (hands == hands[..., :1]).all()
    straight = (columns == columns[..., :1]).all()
    told(one or not straight, "column, not drawer")
    told(one, "several drawers")
    told((hands[:, 0, 0] != hands[:, 1, 0]).all(), "same drawer")


def judge_orders(several: dict, n_way: int) -> None:
    """The places of the labels, of the query's in the support, and of the characters."""
    support, query = several["support"], several["query"]
    there = query.argsort(1).gather(1, support)
    ranks = several["characters"].argsort(1).argsort(1)
    kinds = [("in order", support), ("in order", query)]
    kinds += [("same order", there), ("sorted labels", ranks)]
    place = torch.arange(n_way).expand(len(support), -1)
    for symptom, order in kinds:
        told(not uneven(place, order, n_way), symptom)
    for symptom, order in kinds:
        seen = len(order.unique(dim=0))  # of 120, about 110 in 300 tasks; turns alone are five
        text = f"{DRAWING[symptom][1]} In {len(support)} tasks {seen} orders of 120 came."
        require(seen > 80, symptom, text)


def judge_chances(tasks: list[dict], pool: Characters, n_way: int) -> None:
    """Over many tasks: orders, labels, characters and alphabets come by chance."""
    several = {name: torch.stack([task[name] for task in tasks]) for name in tasks[0]}
    judge_orders(several, n_way)
    chosen = pool.alphabet[several["characters"][:, 0]].bincount(minlength=len(pool.alphabets))
    large = pool.alphabet.bincount() >= n_way
    told((chosen[large] > 0).all(), "first alphabet")
    wanted = len(tasks) / int(large.sum())
    told((chosen[large] - wanted).abs().max() < 6 * wanted**0.5, "more often")
    times = several["characters"].flatten().bincount(minlength=len(pool))
    told((times[large[pool.alphabet]] > 0).all(), "first characters")
    sets = len(several["characters"].sort(1).values.unique(dim=0))
    told(sets > 80, "windows")


def judge_pairs(tasks: list[dict]) -> None:
    """Every drawer makes a support and a query now and then, and with any other."""
    pairs = torch.stack([task["drawers"][:, 0] for task in tasks])
    kinds, each = len(pairs.unique(dim=0)), [side.bincount(minlength=21)[1:] for side in pairs.T]
    for side, times in zip(("support", "query"), each):
        who = int(times.argmin()) + 1
        text = f"Drawer {who} never made a {side} set in {len(tasks)} tasks: each of the 20 does."
        require(times.min() > 0, "few drawers", text)
    text = f"In {len(tasks)} tasks {kinds} of the 380 pairs of drawers came, and about 200 should: "
    require(kinds > 170, "tied drawers", f"{text}draw one of all 20, then any other.")


def task_of(fn: Callable, pool: Characters, generator: torch.Generator, *n_way: int):
    """An answer; what raises with small alphabets around and not without them is named."""
    try:
        return fn(pool, generator, *n_way)
    except Raised:
        plain = pool_of((25, 25), seed=3)
        for seed in range(10):
            read_task(fn(plain, seeded(seed), *n_way), plain, *(n_way or (20,)))
        told(False, "too few")


def judge_alphabet(fn: Callable) -> None:
    """The same seed twice, 20 ways, then 300 tasks from one generator."""
    (big, pool), (given_big, given) = (
        (pool_of((4, 22, 30), seed=1), pool_of((5, 3, 16, 7, 2), seed=2)) for _ in range(2)
    )
    answers = [(task_of(fn, given_big, seeded(3), *n), big, 20) for n in ((), (20,))]
    answers += [(task_of(fn, given, seeded(5), 5), pool, 5) for _ in range(2)]
    unchanged(given_big, big)
    tasks, generator = [read_task(*answer) for answer in answers], seeded(4)
    many = [read_task(task_of(fn, given, generator, 5), pool, 5) for _ in range(300)]
    unchanged(given, pool)
    same = all(torch.equal(tasks[i][n], tasks[i + 1][n]) for i in (0, 2) for n in tasks[0])
    told(same, "other randomness")
    text = "A second call with the same generator gives what the first gave: draw from "
    still = all(torch.equal(many[0][n], many[1][n]) for n in many[0])
    require(not still, "stands still", f"{text}`generator` itself, in every call.")
    judge_drawers(tasks[:2])
    judge_drawers(many)
    judge_chances(many, pool, 5)
    judge_pairs(many)


def unchanged(pool: Characters, before: Characters) -> None:
    """NotYet when an answer wrote into the pool."""
    names = "images", "alphabet", "drawer"
    same = all(torch.equal(getattr(pool, n), getattr(before, n)) for n in names)
    text = "Your function changes `pool` itself; work on copies of what you take from it."
    require(same, "input changed", text)


def alphabet_in_place(pool, generator, n_way=20):
    answer = within_alphabet(pool, generator, n_way)
    pool.images.zero_()
    return answer


def alphabet_of_neighbours(pool, generator, n_way=20):
    """The drawer of the query is the one after that of the support."""
    (x, y), _ = within_alphabet(pool, generator, n_way)
    shown = (pool.images[:, :, None] / 255 == x[0, 0]).flatten(3).all(3).any(2)
    character, column = shown.nonzero()[0]
    who = pool.drawer[character, column] % 20 + 1
    members = [
        (pool.images / 255 == image).flatten(2).all(2).any(1).nonzero() for image in x[0, :, 0]
    ]
    order = torch.randperm(n_way, generator=generator)
    rows = [pool.images[members[i][0, 0]][pool.drawer[members[i][0, 0]] == who][0] for i in order]
    return (x, y), (torch.stack(rows)[None, :, None] / 255, y[:, order])


def alphabet_once(pool, generator, n_way=20):
    return within_alphabet(pool, seeded(generator.initial_seed()), n_way)


alphabet = Exercise(
    name="alphabet",
    title="Lake's task",
    minutes=12,
    difficulty=3,
    stub='''\
def within_alphabet(pool, generator, n_way=20):
    """One task as Lake's: characters of one alphabet, one drawing of each in each set.

    pool: `Characters`. The alphabet is any with n_way characters or more, all equally
    likely; the characters are n_way different ones of it. One of the 20 drawers
    (`pool.drawer`) made all drawings of the support, another one all of the query.
    Returns (support, query), each (images, labels) in the shapes and types of
    `pool.sample(1, 1, 1, generator, n_way)`; which character gets which label, and the
    order of the points in each set, are random. generator: the only randomness.
    """
    raise NotImplementedError
''',
    judge=judge_alphabet,
    reference=within_alphabet,
    praise="Twenty characters of one hand's alphabet, to be told from another's: Lake's task.",
    hints=(
        "`pool.alphabet.bincount()` counts the characters of each alphabet.",
        "The place of a drawer among the drawings of a character: "
        "`(pool.drawer[c] == who).int().argmax(1)`.",
        "For each set draw an order of the labels, `torch.randperm(n_way, generator=generator)`, "
        "and take the characters in that order; images are uint8 and want dividing by 255.",
    ),
    symptom_hints={
        "too few": "an alphabet of 14 characters has no 20-way task in it.",
        "column, not drawer": "a column is another person in another character.",
    },
    alternatives=(alphabet_by_subset, alphabet_by_rejection),
    mutants=mutants_of(DRAWING)
    | {
        "input changed": alphabet_in_place,
        "stands still": alphabet_once,
        "tied drawers": alphabet_of_neighbours,
    },
)

check = Chapter("08", episode, one_out, evaluation, alphabet)
