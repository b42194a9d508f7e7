"""evaluation.py against closed forms, independent computations and simulation."""

import math
import statistics

import pytest
import torch

from mlcourse.evaluation import Estimate, accuracy, estimate, paired_difference, wilson


def test_estimate_of_a_closed_form():
    # 0, 1, …, n-1 has the variance n(n + 1)/12 when divided by n - 1
    n = 25
    got = estimate(torch.arange(n))
    assert got.n == n
    assert got.mean == pytest.approx((n - 1) / 2)
    assert got.half_width == pytest.approx(1.96 * math.sqrt((n + 1) / 12))
    assert (got.low, got.high) == (got.mean - got.half_width, got.mean + got.half_width)


def test_estimate_agrees_with_the_statistics_module():
    values = [0.2, 0.36, 0.4, 0.96, 1.0]
    got = estimate(values)
    assert got.mean == pytest.approx(statistics.fmean(values))
    assert got.half_width == pytest.approx(1.96 * statistics.stdev(values) / math.sqrt(5))


def test_float32_is_averaged_in_float64():
    values = torch.full((100_000,), 0.1, dtype=torch.float32)
    assert estimate(values).mean == pytest.approx(float(values[0]), rel=1e-12)


def test_estimate_prints_three_digits():
    assert str(Estimate(0.43712, 0.01249, 600)) == "0.437 ± 0.012"


@pytest.mark.parametrize(
    "values, words",
    [
        ([], "there is none"),
        ([0.5], "there is 1"),
        ([0.5, math.nan, math.inf], "2 of the 3"),
        ([[0.5, 0.4]], r"not shape \(1, 2\)"),
    ],
)
def test_estimate_says_what_was_wrong(values, words):
    with pytest.raises(ValueError, match=words) as caught:
        estimate(values)
    assert "\n" not in str(caught.value)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    # accuracies of 25 queries with p = 0.6, 100 episodes, 4000 repetitions
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(4000, 100, 25, generator=generator) < 0.6
    covered = [e.low <= 0.6 <= e.high for e in map(estimate, right.double().mean(2))]
    # 100 episodes and a normal factor cover 94.7 %; three standard deviations of 4000 are 1.1 %
    assert 0.935 < statistics.fmean(covered) < 0.962


def test_accuracy_counts_each_task_alone():
    predictions = torch.tensor([[0, 1, 2, 3], [1, 1, 1, 1], [4, 4, 4, 4]])
    labels = torch.tensor([[0, 1, 2, 3], [1, 0, 1, 0], [0, 1, 2, 3]])
    assert accuracy(predictions, labels).tolist() == [1.0, 0.5, 0.0]
    assert accuracy(predictions, labels).dtype == torch.float64


@pytest.mark.parametrize("shapes", [((2, 5), (2, 1)), ((2, 1), (2,)), ((5,), (5,))])
def test_accuracy_does_not_broadcast(shapes):
    with pytest.raises(ValueError, match="tasks, queries"):
        accuracy(*(torch.zeros(shape) for shape in shapes))


def test_pairing_removes_what_is_common_to_both():
    generator = torch.Generator().manual_seed(0)
    difficulty, noise = torch.randn(2, 600, generator=generator, dtype=torch.float64)
    a, b = difficulty + 0.05 + 0.1 * noise, difficulty
    paired = paired_difference(a, b)
    assert paired.mean == pytest.approx(estimate(a).mean - estimate(b).mean)
    assert paired.low > 0
    assert paired.half_width < estimate(a).half_width / 5
    assert paired_difference(b, a).mean == pytest.approx(-paired.mean)


def test_pairing_needs_the_same_episodes():
    with pytest.raises(ValueError, match=r"\(3,\) and \(1,\)"):
        paired_difference([0.1, 0.2, 0.3], [0.1])


# the roots of (1 + z²/n) p² - (2k/n + z²/n) p + (k/n)² = 0 with z = 1.96, from the quadratic
# formula in Python's 30-digit decimals
WILSON = [
    (9, 10, 0.595843614502, 0.982124250484),
    (1, 2, 0.094528654801, 0.905471345199),
    (45, 50, 0.786395096652, 0.956524876008),
]


@pytest.mark.parametrize("successes, trials, low, high", WILSON)
def test_wilson_values(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-11)


@pytest.mark.parametrize("successes, trials", [(0, 5), (3, 7), (7, 7), (45, 50), (600, 1000)])
def test_wilson_ends_are_1_96_deviations_from_the_count(successes, trials):
    for end in wilson(successes, trials):
        deviation = math.sqrt(end * (1 - end) / trials)
        assert abs(successes / trials - end) == pytest.approx(1.96 * deviation, abs=1e-9)


def test_wilson_at_the_borders():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 5)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(5, 5)[1] == pytest.approx(1, abs=1e-12)
    # no success in n: the upper end is z² / (n + z²)
    assert wilson(0, 5)[1] == pytest.approx(1.96**2 / (5 + 1.96**2))
    assert all(0 <= end <= 1 for k in range(8) for end in wilson(k, 7))


@pytest.mark.parametrize("successes, trials", [(6, 5), (-1, 5), (1, 0)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} of {trials}"):
        wilson(successes, trials)


def test_wilson_covers_where_the_normal_interval_does_not():
    # exact coverage for 10 trials with p = 0.9, by summing the binomial distribution
    n, p = 10, 0.9
    chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]

    def coverage(interval):
        return sum(c for k, c in enumerate(chance) if interval(k)[0] <= p <= interval(k)[1])

    def normal(k):
        half = 1.96 * math.sqrt(k / n * (1 - k / n) / n)
        return k / n - half, k / n + half

    assert coverage(lambda k: wilson(k, n)) > 0.92
    assert coverage(normal) < 0.7
