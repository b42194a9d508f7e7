"""Chapter 00, start here: one warm-up exercise, to meet the checker."""

from collections.abc import Callable

import torch

from .engine import Chapter, Exercise, judge_numbers, known_mistakes, mutants_of, seeded


def mean_squared_error(prediction, target):
    return ((prediction - target) ** 2).mean()


def by_loop(prediction, target):
    pairs = list(zip(prediction.flatten().tolist(), target.flatten().tolist()))
    return sum((p - t) ** 2 for p, t in pairs) / len(pairs)


def by_norm(prediction, target):
    return torch.dist(prediction, target) ** 2 / prediction.numel()


ERRORS = known_mistakes(
    mean_squared_error,
    """
sum: .mean() => .sum()
    You returned the sum of the squares; divide by the number of points.
absolute: ) ** 2) => ).abs())
    You returned the mean of the absolute differences; square them.
root: .mean() => .mean() ** 0.5
    You returned the root of the right answer; leave the root out.
half: .mean() => .mean() / 2
    You returned half of the right answer; leave the factor ½ out.
signed: ** 2 =>
    You returned the mean difference, where + and − cancel; square before the mean.
square of mean: ((prediction - target) ** 2).mean() => (prediction - target).mean() ** 2
    You returned the square of the mean; square first, then average.
broadcast: target) ** => target.squeeze(1)) **
    You compared every prediction with every target; pair them.
return: .mean() =>
value: .mean() => .median()
""",
)


def judge_error(fn: Callable) -> None:
    """Sizes from one point to many, one twice, large errors, and errors that come up again."""
    generator, cases = seeded(3), []
    for n, scale in [(4, 4), (1, 4), (7, 4), (4, 4), (150, 4), (5, 1000)]:
        cases.append(scale * torch.rand(2, n, 1, generator=generator, dtype=torch.float64))
    t = torch.arange(6, dtype=torch.float64)[:, None]
    cases.append((t + torch.tensor([[1.0], [2], [-1], [1], [0], [3]]), t))
    judge_numbers(fn, [tuple(case) for case in cases], mean_squared_error, ERRORS, within=3e-6)


error = Exercise(
    name="error",
    title="the error of a curve",
    minutes=2,
    difficulty=1,
    stub='''\
def mean_squared_error(prediction, target):
    """The mean of the squared differences, one number; both are (points, 1)."""
    raise NotImplementedError
''',
    judge=judge_error,
    reference=mean_squared_error,
    praise="Squared, then averaged.",
    hints=(
        "Three things happen in this order: subtract, square, average.",
        "`prediction - target` has the shape (points, 1); `** 2` squares each entry.",
        "`((prediction - target) ** 2).mean()`",
    ),
    symptom_hints={"sum": "a tensor's `mean()` divides by the number of its entries."},
    alternatives=(by_loop, by_norm),
    mutants=mutants_of(ERRORS),
)

check = Chapter("00", error)
