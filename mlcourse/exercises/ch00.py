"""Chapter 00, start here: one warm-up exercise, to meet the checker."""

from collections.abc import Callable

import torch

from .engine import Chapter, Exercise, apart, describe, edited, require, to_tensor


def mean_squared_error(prediction, target):
    return ((prediction - target) ** 2).mean()


def by_loop(prediction, target):
    pairs = list(zip(prediction.flatten().tolist(), target.flatten().tolist()))
    return sum((p - t) ** 2 for p, t in pairs) / len(pairs)


def by_norm(prediction, target):
    return torch.dist(prediction, target) ** 2 / prediction.numel()


def judge_error(fn: Callable) -> None:
    """Sizes from one point to many, one twice, large errors, and errors that come up again."""
    generator = torch.Generator().manual_seed(3)
    for n, scale in [(4, 4), (1, 4), (7, 4), (4, 4), (150, 4), (5, 1000)]:
        p, t = (scale * torch.rand(n, 1, generator=generator, dtype=torch.float64) for _ in "pt")
        judge_value(fn(p, t), p, t)
    t = torch.arange(6, dtype=torch.float64)[:, None]
    p = t + torch.tensor([[1.0], [2], [-1], [1], [0], [3]], dtype=torch.float64)
    judge_value(fn(p, t), p, t)


def judge_value(answer, p: torch.Tensor, t: torch.Tensor) -> None:
    """One answer against the mistakes that are known."""
    value = to_tensor(answer)
    text = f"Your function returned {describe(answer)}; return one number."
    require(value is not None and value.numel() == 1 and not value.is_complex(), "return", text)
    gap, value = p - t, float(value)

    def is_(other) -> bool:
        return abs(value - float(other)) < 1e-5 + 3e-6 * abs(float(other))

    if is_((gap**2).mean()):
        return
    named = {
        "sum": ((gap**2).sum(), "the sum of the squares; divide by the number of points"),
        "absolute": (gap.abs().mean(), "the mean of the absolute differences; square them"),
        "root": ((gap**2).mean().sqrt(), "the root of the right answer; leave the root out"),
        "half": ((gap**2).mean() / 2, "half of the right answer; leave the factor ½ out"),
        "signed": (gap.mean(), "the mean difference, where + and − cancel; square before the mean"),
        "square of mean": (gap.mean() ** 2, "the square of the mean; square first, then average"),
        "broadcast": (((p - t.T) ** 2).mean(), "every prediction against every target; pair them"),
    }
    points = f"{len(p)} point" + "s" * (len(p) > 1)
    for symptom, (other, words) in named.items():
        require(not is_(other), symptom, f"For {points} you returned {words}.")
    yours, right = apart(value, float((gap**2).mean()))
    require(False, "value", f"For {points} you returned {yours}; the answer is {right}.")


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
    mutants={
        "sum": edited(mean_squared_error, ".mean()", ".sum()"),
        "absolute": edited(mean_squared_error, ") ** 2)", ").abs())"),
        "root": edited(mean_squared_error, ".mean()", ".mean() ** 0.5"),
        "half": edited(mean_squared_error, ".mean()", ".mean() / 2"),
        "signed": edited(mean_squared_error, " ** 2", ""),
        "square of mean": lambda p, t: (p - t).mean() ** 2,
        "broadcast": edited(mean_squared_error, "target) **", "target.squeeze(1)) **"),
        "return": edited(mean_squared_error, ".mean()", ""),
        "value": lambda p, t: torch.zeros(()),
    },
)

check = Chapter("00", error)
