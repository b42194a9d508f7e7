"""Chapter 10, head to head: four exercises with references, right and wrong answers."""

import itertools
import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from ..evaluation import accuracy, estimate, paired_difference
from ..learners import protonet
from ..tasks import Episode, Points
from .engine import (
    Chapter,
    Exercise,
    Raised,
    close,
    drawn,
    images_of,
    judge_answers,
    known_mistakes,
    labels_of,
    mutants_of,
    read_estimate,
    read_numbers,
    read_table,
    require,
    same_values,
    seeded,
    to_tensor,
)


def is_inf(answer) -> bool:
    number = to_tensor(answer)
    return number is not None and number.numel() == 1 and bool((number == math.inf).all())


def read_count(answer) -> Tensor:
    """An answer as a whole number, float64 (), or inf; else NotYet."""
    if is_inf(answer):
        return torch.tensor(math.inf, dtype=torch.float64)
    number = read_numbers(answer, "one whole number", one=True)
    text = f"Your number is {float(number):.3f}; return a whole one."
    require(bool(number == number.round()), "whole", text)
    return number


def patiently(fn: Callable, case: tuple):
    """An answer; whoever counts up to infinity is stopped after so many lines."""
    left, before = itertools.count(300_000, -1), sys.gettrace()

    def line(frame, event, argument):
        if not next(left):
            raise RuntimeError("this never ends, for no number is enough")
        return line

    sys.settrace(line)
    try:
        return fn(*case)
    finally:
        sys.settrace(before)


# ---------------------------------------------------------------- judge: one evaluation for all


def judge(predict, episodes):
    support, query = episodes
    labels = predict(support, query.x)
    return (labels == query.y).double().mean(1)


def judge_by_package(predict, episodes):
    return accuracy(predict(episodes.support, episodes.query.x), episodes.query.y)


def judge_task_by_task(predict, episodes):
    found = []
    for x, y, query_x, query_y in zip(*episodes.support, *episodes.query):
        labels = predict(Points(x[None], y[None]), query_x[None])[0]
        found.append(sum(int(a) == int(b) for a, b in zip(labels, query_y)) / len(query_y))
    return found


JUDGING = known_mistakes(
    judge,
    """
support judged: labels = predict(support, query.x) => query = support; labels = predict(support, query.x)
    This is the accuracy on the support set, whose labels the method has seen; judge the queries.
broadcast: (labels == query.y).double().mean(1) => (labels[:, :, None] == query.y[:, None]).double().mean((1, 2))
    This is 1/N whatever the method says: each answer meets all labels, or all answers are one.
errors: labels == query.y => labels != query.y
    This is the part that is wrong; return the part that is right.
counts: .double().mean(1) => .double().sum(1)
    These are counts of right answers; divide by the number of queries.
all alike: .double().mean(1) => .double().mean().expand(len(labels))
    This is the mean over all tasks, written once for each; every task has its own accuracy.
sorted labels: labels == query.y => labels == query.y.sort(1).values
    You take the query labels to stand in order; they come in any order.
all right: .double().mean(1) => .all(1).double()
    You count a task only when all its answers are right; take the part that is right.
one task of all: labels = predict(support, query.x) => labels = predict(Points(*(v.flatten(0, 1)[None] for v in support)), query.x.flatten(0, 1)[None]).view_as(query.y)
    You made one task of all of them; a label means another class in each task.
labels: predict(support, query.x) => predict(support, query)
arguments: (support, query.x) => (support.x, query.x)
one task: predict(support, query.x) => torch.stack([predict(Points(*t[:2]), t[2]) for t in zip(*support, query.x)])
query shown: (support, query.x) => (query, query.x)
not called: predict(support, query.x) => query.y
input changed: return ( => query.y.zero_(); return (
squeezed: .mean(1) => .mean(1).squeeze()
mean over all: .mean(1) => .mean()
wrong axis: .mean(1) => .mean(0)
no mean: .mean(1) => .mul(1)
shape: .mean(1) => .mean(1, keepdim=True)
order: .mean(1) => .mean(1).sort().values
type: .double() => .float()
return: return ( => return None, (
value: .double().mean(1) => .double().mean(1) * 0.9
not finite: .double().mean(1) => .double().mean(1) / 0
""",  # noqa: E501
)


class Nearest:
    """A method, by class means or by single drawings, which keeps what it was shown."""

    def __init__(self, means: bool):
        self.means, self.shown = means, []

    def __call__(self, support=None, x=None, *more, **others):
        self.shown.append((support, x, *more, *others.values()))
        few, y = support.x.flatten(2), support.y
        if self.means:
            n_way = int(y.max()) + 1
            few, y = protonet.prototypes(few, y, n_way), torch.arange(n_way).expand(len(few), -1)
        return y.gather(1, torch.cdist(x.flatten(2), few).argmin(-1))


def leaves(part) -> list:
    """Everything in tuples and lists, however deep."""
    nested = isinstance(part, (tuple, list))
    return [leaf for inner in part for leaf in leaves(inner)] if nested else [part]


def judge_calls(calls: list[tuple], episodes: Episode) -> None:
    """NotYet when a method was called otherwise than as predict(support, x)."""
    require(calls, "not called", "Your function never calls `predict`, so it judges nobody.")
    for support, x, *more in calls:
        tensors = [v for v in leaves((support, x, more)) if isinstance(v, Tensor)]
        text = "You show `predict` more labels than those of the support set: whoever sees the "
        text += "labels of the queries can be right without having learned anything."
        require(sum(not v.is_floating_point() for v in tensors) < 2, "labels", text)
        text = "Give `predict` two arguments: the support sets, `Points`, and the x of the queries."
        require(hasattr(support, "y") and isinstance(x, Tensor) and not more, "arguments", text)
        text = "You give `predict` a task without the leading dimension of tasks; use `x[None]`."
        require(support.x.ndim == x.ndim == episodes.query.x.ndim, "one task", text)
        few, new = support.x.flatten(0, 1).flatten(1), episodes.query.x.flatten(0, 1).flatten(1)
        seen = few.shape[1] == new.shape[1] and bool((few[:, None] == new).all(2).any())
        text = "You show `predict` queries as a support set, with their labels; this is the exam."
        require(not seen, "query shown", text)


def met(fn: Callable, predict: Nearest, episodes: Episode):
    """An answer; NotYet when the calls, or the episodes afterwards, are not what they should be."""
    before = [v.clone() for part in episodes for v in part]
    predict.shown.clear()
    try:
        answer = fn(predict, episodes)
    except Raised:
        if predict.shown:
            judge_calls(predict.shown, episodes)
        raise
    same = all(map(same_values, before, [v for part in episodes for v in part]))
    text = "Your function changes the episodes: the next method would not meet the same ones."
    require(same, "input changed", text)
    judge_calls(predict.shown, episodes)
    return answer


def read_accuracies(answer, episodes: Episode) -> Tensor:
    """One number for each task, or NotYet with what the shape tells."""
    (tasks, queries), numbers = episodes.query.y.shape, to_tensor(answer)
    text = "This is one number for all tasks; keep one a task, so that methods can be paired."
    alone = "With one task your answer has lost its dimension: a `squeeze()` takes too much."
    why = ("mean over all", text) if tasks > 1 else ("squeezed", alone)
    require(numbers is None or numbers.ndim > 0, *why)
    known = {(tasks, queries): ("no mean", "Take the mean of each task.")}
    known[queries,] = "wrong axis", "Take the mean over the queries, the last dimension."
    return read_table(answer, (tasks,), "one accuracy a task", known)


def judged(predict: Nearest, episodes: Episode, tasks: int = 0, n_way: int = 0) -> Tensor:
    """The reference, with two numbers that a message can tell."""
    return judge(predict, episodes)


def episodes_of(tasks: int, n_way: int, k_shot: int, n_query: int) -> Episode:
    """Tasks of which a method gets some queries right and not all."""
    sides = []
    for side, per_class in enumerate((k_shot, n_query)):
        counts, sources = [per_class] * n_way, (seeded(9 * t + side) for t in range(tasks))
        y = torch.stack([labels_of(counts, source) for source in sources])
        x = torch.stack([images_of(row, seed=31 * t, noise=0) for t, row in enumerate(y)])
        sides.append(Points(x + 2 * drawn(*x.shape, seed=side), y))
    return Episode(*sides)


def judge_judge(fn: Callable) -> None:
    """Tasks of many sizes, two methods: what these are shown, then what is said of them."""
    sizes = (4, 3, 2, 3), (5, 5, 1, 1), (6, 3, 3, 2), (3, 4, 2, 1), (1, 4, 3, 2)
    sets = [(episodes_of(*size), *size[:2]) for size in sizes]
    cases = [(Nearest(means), *rest) for rest in sets for means in (True, False)]
    answers = [met(fn, *case[:2]) for case in cases]
    numbers = [read_accuracies(answer, case[1]) for answer, case in zip(answers, cases)]
    pairs = [(a, judge(*case[:2])) for a, case in zip(numbers, cases)]
    other = not all(close(a, b, 1e-6) for a, b in pairs)
    other &= all(close(a.sort().values, b.sort().values, 1e-6) for a, b in pairs)
    text = "Your accuracies are right, in another order than the tasks: number i is task i's, or "
    require(not other, "order", f"{text}two methods cannot be paired.")
    names = tuple(f"the accuracy on task {i}" for i in range(6))
    judge_answers(numbers, cases, judged, JUDGING, lambda f, c: f(*c[:2]), names, 1e-6)
    kinds = {to_tensor(answer).dtype for answer in answers}
    text = f"Your accuracies are {str(min(kinds, key=str))[6:]}; return float64: `double()`."
    require(kinds == {torch.float64}, "type", text)


judge_exercise = Exercise(
    name="judge",
    title="one evaluation for all methods",
    minutes=8,
    difficulty=2,
    stub='''\
def judge(predict, episodes):
    """The part of its queries that a method gets right on each task, float64 (tasks,).

    episodes: (support, query), each `Points` (x, y), x (tasks, points, ...) and labels
    y (tasks, points) in any order. predict(support, x) is the method: it is given the
    support sets and the queries' x, both with the leading dimension of tasks, and gives
    labels (tasks, queries). It sees no label of a query; the episodes stay as they are.
    """
    raise NotImplementedError
''',
    judge=judge_judge,
    reference=judge,
    praise="Whatever the method is, it meets these tasks, and learns of the queries only their x.",
    hints=(
        "`support, query = episodes`; the method needs the whole of one, and the x of the other.",
        "`predict(support, query.x) == query.y` is (tasks, queries): true where it was right.",
        "`.double().mean(1)` of it is the mean over the queries; tasks are dimension 0.",
    ),
    symptom_hints={"broadcast": "print both shapes before you compare: (tasks, queries) twice."},
    alternatives=(judge_by_package, judge_task_by_task),
    mutants=mutants_of(JUDGING),
)

# ---------------------------------------------------------------- settle: how many episodes


def episodes_needed(a, b):
    d = a - b
    if d.mean() == 0:
        return float("inf")
    n = (1.96 * d.std() / d.mean()) ** 2
    return max(2, int(n.ceil()))


def needed_by_package(a, b):
    d = paired_difference(a, b)
    if not d.mean:
        return math.inf
    return max(2.0, math.ceil(d.n * (d.half_width / d.mean) ** 2))


def needed_by_counting(a, b):
    d = (a - b).numpy()
    if d.mean() == 0:
        return torch.tensor(torch.inf)
    n = 2
    while 1.96 * d.std(ddof=1) / n**0.5 > abs(d.mean()):
        n += 1
    return n


SETTLING = known_mistakes(
    episodes_needed,
    """
unpaired: d.std() => (a.var() + b.var()).sqrt()
    This is for methods on different tasks; yours met the same: take the sd of the differences.
intervals apart: d.std() => (a.std() + b.std())
    You ask that two intervals do not touch; ask that the interval of the difference leaves zero.
sd of a: d.std() => a.std()
    This is the sd of the first method; take that of the differences.
proportions: d.std() => (a.mean() * (1 - a.mean()) + b.mean() * (1 - b.mean())).sqrt()
    This is p(1 − p) of single queries; the differences have their own sd over tasks.
no square: d.mean()) ** 2 => d.mean()).abs()
    The square is missing: half the interval takes four times the episodes.
1.96 forgotten: 1.96 * d => d
    The 1.96 is missing: one standard error is not a 95 % interval.
whole width: 1.96 * => 2 * 1.96 *
    You want the whole width below the difference; its half is enough to leave zero.
half the width: 1.96 * => 1.96 / 2 *
    You halved 1.96 standard errors; they are half the width already.
two: 1.96 * => 2 *
    This is for two standard errors; take 1.96.
power: 1.96 * => (1.96 + 0.8416) *
    This lets four of five experiments leave zero; here the difference is taken as it was found.
standard error: d.std() => d.std() / len(d) ** 0.5
    You take the standard error of the tasks at hand; n is to replace their number.
variance: d.std() => d.var()
    You take the variance of the differences; the formula has their sd, then squares.
n, not n - 1: d.std() => d.std(unbiased=False)
    Your sd divides by the number of tasks; divide by one less.
absolute: d = a - b => d = (a - b).abs()
    You lose the signs of the differences: tasks on which b is ahead count against a.
floor: n.ceil() => n.floor()
    You round down: with one episode less than needed the interval still holds zero.
one side: d.mean() == 0 => d.mean() <= 0
    You say that it is never settled when b is ahead; then the interval leaves zero below.
equal: float("inf") => 0
below two: max(2, int(n.ceil())) => int(n.ceil())
always ahead: d.mean() == 0 => d.std() == 0 or d.mean() == 0
input changed: d = a - b => d = a.sub_(b)
whole: max(2, int(n.ceil())) => max(2.0, float(n))
not finite: max(2, int(n.ceil())) => math.nan
return: return max => return d, max
value: 1.96 * => 2.3 *
""",
)


def scores(tasks: int, gap: float, link: float) -> tuple[Tensor, Tensor]:
    """Accuracies of two methods in 25ths; link 1: what is hard for one is hard for the other."""
    hard, *own = drawn(3, tasks, seed=tasks)
    a, b = 0.7 + gap + 0.12 * hard + 0.06 * own[0], 0.7 + 0.1 * link * hard + 0.08 * own[1]
    return tuple((25 * v).round().clamp(0, 25) / 25 for v in (a, b))


SETTLED = (30, 0.04, 1.0), (50, -0.03, 1.0), (12, 0.1, -1.0), (25, 0.01, 0.5), (8, -0.06, 0.0)


def judge_settle(fn: Callable) -> None:
    """Linked methods, unlinked and opposed ones; then few episodes and never."""
    cases = [scores(*case) for case in SETTLED]
    answers = [read_count(fn(*case)) for case in cases]
    judge_answers(answers, cases, episodes_needed, SETTLING, names=("your number",), within=1e-6)
    some = torch.tensor([0.25, 0.5, 0.75, 0.5], dtype=torch.float64)
    text = "Where both methods have the same mean no number of episodes is enough: `math.inf`."
    require(all(is_inf(patiently(fn, (some, b))) for b in (some, some.flip(0))), "equal", text)
    text = "One episode has no interval: where fewer than two would do, return 2."
    wide = some - 0.25 * torch.tensor([1.0, 1.0, 1.0, 0.9], dtype=torch.float64)
    few = [read_count(fn(some, b)) for b in (some - 0.25, wide, some + 0.25)]
    require(all(n >= 2 for n in few), "below two", text)
    text = "Where one method is ahead by the same on every task, two episodes are enough."
    require(few == [2, 2, 2], "always ahead", text)


settle = Exercise(
    name="settle",
    title="how many episodes would settle it",
    minutes=8,
    difficulty=2,
    stub='''\
def episodes_needed(a, b):
    """How many episodes would tell two methods apart, as they are on the tasks at hand.

    a, b: accuracies of both on the same tasks, float64 (tasks,). The smallest whole n
    for which half the 95 % interval of the mean difference, 1.96 standard errors, is no
    more than this difference, whoever is ahead; mean and standard deviation (n - 1) as
    on these tasks. At least 2, in all; `math.inf` when both methods have the same mean.
    """
    raise NotImplementedError
''',
    judge=judge_settle,
    reference=episodes_needed,
    praise="Half the difference takes four times the episodes, so ask before you run.",
    hints=(
        "The two methods met the same tasks: everything is about `d = a - b`.",
        "Solve 1.96 · sd / √n = |mean| for n: a quotient, squared.",
        "Round `(1.96 * d.std() / d.mean()) ** 2` up; a mean of zero and n < 2 come extra.",
    ),
    symptom_hints={
        "raised": "with equal means there is a division by zero: ask for that first.",
        "unpaired": "subtract task by task; what makes a task hard for both then cancels.",
    },
    alternatives=(needed_by_package, needed_by_counting),
    mutants=mutants_of(SETTLING),
)

# ---------------------------------------------------------------- break_even: when training pays


def break_even(training, meta, meta_labels, scratch, scratch_labels, per_label):
    saved = scratch + scratch_labels * per_label - (meta + meta_labels * per_label)
    return int(training // saved) + 1 if saved > 0 else float("inf")


def even_by_counting(training, meta, meta_labels, scratch, scratch_labels, per_label):
    a_task, other = meta + meta_labels * per_label, scratch + scratch_labels * per_label
    if a_task >= other:
        return torch.inf
    n = 0
    while training + n * a_task >= n * other:
        n += 1
    return n


def even_by_table(training, meta, meta_labels, scratch, scratch_labels, per_label):
    n = torch.arange(100_000, dtype=torch.float64)
    spent = training + n * (meta + meta_labels * per_label)
    pays = spent < n * (scratch + scratch_labels * per_label)
    return int(pays.double().argmax()) if pays.any() else torch.tensor(math.inf)


EVEN = known_mistakes(
    break_even,
    """
tie: int(training // saved) + 1 => math.ceil(training / saved)
    Where both come out alike, it does not pay yet: the seconds must be fewer.
floor: int(training // saved) + 1 => int(training // saved)
    After so many tasks it does not pay yet; one more is needed.
labels forgotten: saved = scratch + scratch_labels * per_label - (meta + meta_labels * per_label) => saved = scratch - meta
    You count the machine's seconds alone; somebody has to label.
their labels forgotten: - (meta + meta_labels * per_label) => - meta
    The meta-trained method needs labels, too.
adapting forgotten: - (meta + meta_labels => - (meta_labels
    The meta-trained method takes seconds to adapt, too.
free: - (meta + meta_labels * per_label) => - 0
    You take a new task to be free for the meta-trained method: it adapts, and needs labels.
once: saved = scratch + scratch_labels * per_label - (meta + meta_labels * per_label) => training += (meta_labels - scratch_labels) * per_label; saved = scratch - meta
    You count the labels once; every task needs its own.
exchanged: saved = scratch => meta, scratch, meta_labels, scratch_labels = scratch, meta, scratch_labels, meta_labels; saved = scratch
    You exchanged the two methods: the first pair of numbers is the meta-trained one's.
never: if saved > 0 => if saved != 0
whole: int(training // saved) + 1 => (training + 1) / saved
not finite: int(training // saved) => math.nan
return: return int => return saved, int
value: training // saved => 2 * training // saved
""",  # noqa: E501
)
PRICES = [  # seconds of training; seconds and labels of both methods; seconds a label
    (600.0, 0.5, 5, 8.0, 5, 2.0),  # 80 tasks are a tie
    (1000.0, 0.25, 5, 20.5, 50, 4.0),
    (3600.0, 2.0, 10, 1.0, 12, 3.0),  # slower to adapt, fewer labels; a tie
    (500.0, 0.5, 10, 60.0, 5, 2.0),  # more labels, quicker
    (7.0, 1.0, 1, 100.0, 9, 10.0),
    (0.25, 0.5, 5, 3.0, 5, 0.0),
]
NEVER = (600.0, 8.0, 5, 0.5, 5, 2.0), (60.0, 1.0, 50, 8.0, 5, 2.0), (60.0, 9.0, 5, 1.0, 5, 0.0)
NEVER += (600.0, 4.0, 5, 2.0, 6, 2.0), (0.0, 4.0, 5, 4.0, 5, 2.0)  # both take the same seconds


def judge_even(fn: Callable) -> None:
    """Ties, free labels, fewer of them; then what never pays."""
    answers = [read_count(fn(*case)) for case in PRICES]
    judge_answers(answers, PRICES, break_even, EVEN, names=("your number",), within=1e-6)
    text = "A task that saves no seconds never pays the training back: return `math.inf`."
    require(all(is_inf(patiently(fn, case)) for case in NEVER), "never", text)


even = Exercise(
    name="break_even",
    title="after how many tasks training pays",
    minutes=6,
    difficulty=1,
    stub='''\
def break_even(training, meta, meta_labels, scratch, scratch_labels, per_label):
    """The number of tasks after which meta-training has paid, in seconds.

    training: seconds, once. meta, scratch: seconds that a task takes the meta-trained
    method and the one without training; meta_labels, scratch_labels: the labels that
    each needs a task; per_label: seconds to make one label.
    Returns the smallest whole number of tasks for which training and all its tasks take
    fewer seconds than the same tasks from scratch; `math.inf` when there is none.
    """
    raise NotImplementedError
''',
    judge=judge_even,
    reference=break_even,
    praise="Training is paid once, and what a task saves is earned each time: count the tasks.",
    hints=(
        "A task takes its own seconds and its labels' seconds: one sum for each method.",
        "n tasks save n times the difference; when is that more than the training?",
        "Not at `training / saved` exactly, but at the next whole number above it.",
    ),
    symptom_hints={"raised": "where a task saves nothing there is no answer: ask for that first."},
    alternatives=(even_by_counting, even_by_table),
    mutants=mutants_of(EVEN),
)

# ---------------------------------------------------------------- seeds: another training


def over_trainings(a, b, quantile):
    d = (a - b).mean(1)
    return d.mean(), quantile * d.std() / len(d) ** 0.5


def trainings_by_hand(a, b, quantile):
    gaps = [float(x.mean() - y.mean()) for x, y in zip(a, b)]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    return [mean, quantile * (sum((g - mean) ** 2 for g in gaps) / (n - 1) / n) ** 0.5]


def trainings_by_package(a, b, quantile):
    found = estimate(a.mean(1) - b.mean(1))
    return found._replace(half_width=found.half_width / 1.96 * quantile)


SEEDS = known_mistakes(
    over_trainings,
    """
all alone: return d.mean(), quantile * d.std() / len(d) ** 0.5 => d = (a - b).flatten(); return d.mean(), quantile * d.std() / len(d) ** 0.5
    You take every task of every training for itself; those of one training share its fate.
tasks alone: (a - b).mean(1) => (a - b).mean(0)
    Your interval is over tasks: it says nothing of another training. Take the mean of each first.
all counted: / len(d) ** 0.5 => / a.numel() ** 0.5
    You divide by the root of trainings times tasks: a training counts once.
sd of single tasks: d.std() => (a - b).std()
    Your sd is over all tasks of all trainings; take it over the trainings' means.
unpaired: d.std() => (a.mean(1).var() + b.mean(1).var()).sqrt()
    You add two variances; row i of both belongs together: take the sd of the differences.
both added: d.std() / len(d) ** 0.5 => (d.var() / len(d) + (a - b).mean(0).var() / a.shape[1]).sqrt()
    You add the interval over tasks; the question is another training, judged on these tasks.
all alone, 1.96: return d.mean(), quantile => d = (a - b).flatten(); return d.mean(), 1.96
    Every task of every training stands for itself in your interval: a training counts once.
tasks alone, 1.96: d = (a - b).mean(1) => quantile = 1.96; d = (a - b).mean(0)
    This is the interval over tasks: take the mean of each training first, then `quantile`.
1.96: quantile * => 1.96 *
    You take 1.96; a few trainings ask for the wider `quantile`.
no quantile: quantile * => 1 *
    This is one standard error; multiply it by `quantile`.
standard deviation: / len(d) ** 0.5 => / 1
    This is for a single training; the mean of several has the standard error, sd / √n.
divided by n: / len(d) ** 0.5 => / len(d)
    You divide by the number of trainings; the standard error has its root.
n, not n - 1: d.std() => d.std(unbiased=False)
    Your sd divides by the number of trainings; divide by one less.
variance: d.std() => d.var()
    You take the variance; the standard error is made of the sd.
whole width: quantile * => 2 * quantile *
    This is the whole width of the interval; return half of it.
other way: (a - b) => (b - a)
    Your difference is b − a; return a − b.
best: return d.mean(), => return a.mean(1).max() - b.mean(1).max(),
    This is the difference of the best trainings; nobody knows the best one before the test.
bounds: return d.mean(), quantile * d.std() / len(d) ** 0.5 => h = quantile * d.std() / len(d) ** 0.5; return d.mean() - h, d.mean() + h
    These are the ends of the interval; return its middle and half its width.
input changed: (a - b) => a.sub_(b)
return: return d.mean(), => return
not finite: return d.mean(), => return d.mean() / 0,
value: quantile * => 1.1 * quantile *
""",  # noqa: E501
)
# trainings, tasks, and the 97.5 % quantile of Student's t with one degree less than trainings
TRAINED = (2, 12, 12.706), (3, 7, 4.303), (5, 5, 2.776), (4, 30, 3.182), (8, 3, 2.365)


def training_case(trainings: int, tasks: int, quantile: float) -> tuple:
    """Accuracies that depend on the training, on the task, and on both."""
    seeds = 0.03 * drawn(2, trainings, 1, seed=tasks) + 0.02 * drawn(trainings, 1, seed=trainings)
    a, b = 0.7 + seeds + 0.1 * drawn(tasks, seed=tasks) + 0.05 * drawn(2, trainings, tasks, seed=1)
    return a + 0.03, b, quantile


def judge_trainings(fn: Callable) -> None:
    """Two trainings and more, few tasks and many, as many of both."""
    cases = [training_case(*case) for case in TRAINED]
    answers = [read_estimate(fn(*case)) for case in cases]
    names, run = ("the difference", "the half width"), lambda f, case: read_estimate(f(*case))
    judge_answers(answers, cases, over_trainings, SEEDS, run, names, 1e-6)


seeds = Exercise(
    name="seeds",
    title="would another training say the same",
    minutes=10,
    difficulty=3,
    stub='''\
def over_trainings(a, b, quantile):
    """Mean difference a - b, and half its interval over trainings: two numbers.

    a, b: accuracies of two methods, float64 (trainings, tasks); row i of both is the
    i-th training of each, a pair, and column j is the same task in all rows. The
    interval is for another pair of trainings, judged on these tasks: `quantile`
    standard errors over the trainings; their standard deviation divides by n - 1.
    """
    raise NotImplementedError
''',
    judge=judge_trainings,
    reference=over_trainings,
    praise="Two trainings make a wide interval, and that is what is known of a third one.",
    hints=(
        "Of what were there several, independent of each other? One number for each of these.",
        "`(a - b).mean(1)` is one difference a training; the rest is as with tasks.",
        "The half: `quantile * d.std() / len(d) ** 0.5`, d with one number a training.",
    ),
    symptom_hints={"all alone": "a training that went well goes well on most of its tasks."},
    alternatives=(trainings_by_hand, trainings_by_package),
    mutants=mutants_of(SEEDS),
)

check = Chapter("10", judge_exercise, settle, even, seeds)
