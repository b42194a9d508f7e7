"""Chapter 10's labs by independent means: the recorded files in numpy, plain loops, drawing."""

import math
import re

import numpy as np
import pytest
import torch

from mlcourse import paths
from mlcourse.evaluation import estimate
from mlcourse.labs import ch10
from mlcourse.learners import head_to_head as contest
from mlcourse.learners import head_to_head_waves as waves
from mlcourse.pictures import image

COSTS = {
    name: ch10.Cost(60.0, 3.0 if name in contest.COSTLY else 0.1, 1, 1, 1)
    for name in contest.METHODS
}
FILE = dict(np.load(paths.asset("runs_head_to_head.npz"), allow_pickle=False))
SETTINGS = [("new alphabets", 7), ("20 ways", 3), ("inverted", 5), ("one alphabet", 10)]


def of_file(name: str, n_way: int, shift: str, row: int) -> np.ndarray:
    """Accuracies (trainings, tasks) as the file has them."""
    keys = [f"{n_way}/{shift}/{name}/{seed}" for seed in (0, 1)]
    return np.stack([FILE[k][row] for k in keys if k in FILE]) / (5.0 * n_way)


def half(values: np.ndarray) -> float:
    return 1.96 * values.std(ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("setting, asked", SETTINGS)
def test_the_ranking_in_numpy(setting, asked):
    n_way = 20 if setting == "20 ways" else 5
    shift = "new alphabets" if setting == "20 ways" else setting
    k_all = [1, 2, 3, 5, 7, 10] if setting == "new alphabets" else [1, 5]
    row = max(i for i, k in enumerate(k_all) if k <= asked)
    found = {name: of_file(name, n_way, shift, row) for name in contest.METHODS}
    data = ch10.ranking(setting, asked)
    means = [found[name].mean() for name in data.scores]
    assert data.k_shot == k_all[row] and data.asked == asked
    assert set(data.scores) == set(found) and means == sorted(means, reverse=True)
    first = found[data.leader].mean(0)
    for place, (name, e) in enumerate(data.scores.items(), 1):
        assert data.place(name) == place
        assert data.seeds[name] == pytest.approx(found[name].mean(1), abs=1e-6)
        n = min(len(first), found[name].shape[1])
        gap = first[:n] - found[name].mean(0)[:n]
        for mine, theirs in ((e, found[name].mean(0)), (data.behind[name], gap)):
            assert mine.mean == pytest.approx(theirs.mean(), abs=1e-6)
            assert mine.half_width == pytest.approx(half(theirs), abs=1e-6)


def test_a_ranking_that_was_not_recorded_says_so():
    lab = ch10.ranking_lab()
    assert "asked for 7" in lab.canvas.draw(lab.data("inverted", 7))[1]
    assert "asked" not in lab.canvas.draw(lab.data("inverted", 5))[1]
    assert "20 ways, K = 5" in lab.canvas.draw(lab.data("20 ways", 5))[1]


PAIRS = [("ProtoNet", "Matching", 1, 50, 0), ("MAML", "MAML", 5, 400, 1)]
PAIRS += [("from scratch", "ANIL", 10, 300, 1), ("chance", "pixels", 2, 10, 1)]


@pytest.mark.parametrize("name, other, k, n, training", PAIRS)
def test_a_difference_in_numpy(name, other, k, n, training):
    row = [1, 2, 3, 5, 7, 10].index(k)
    a, b = (of_file(who, 5, "new alphabets", row) for who in (name, other))
    a = a[training % len(a)]
    b = b[(1 - training if name == other else training) % len(b)]
    size = min(len(a), len(b))
    a, b = a[:size], b[:size]
    data, m = ch10.difference(name, other, k, n, training), min(n, size)
    gap = (a - b)[:m]
    assert data.n == m and data.paired.n == m
    assert data.paired.mean == pytest.approx(gap.mean(), abs=1e-6)
    assert data.paired.half_width == pytest.approx(half(gap), abs=1e-6)
    assert data.unpaired == pytest.approx(math.hypot(half(a[:m]), half(b[:m])), abs=1e-6)
    assert int(data.path[-1, 0]) == size
    whole, enough = a - b, data.needed
    reach = [1.96 * whole.std(ddof=1) / count**0.5 for count in (enough, max(2, enough - 1))]
    assert reach[0] <= abs(whole.mean()) + 1e-9
    assert enough == 2 or reach[1] > abs(whole.mean()) - 1e-9


def test_equal_methods_are_never_told_apart():
    assert ch10.needed(torch.zeros(9)) == math.inf
    data = ch10.difference("pixels", "pixels", 1, 100, 0)
    assert data.paired.mean == 0 and "no number of tasks" in ch10.difference_words(data)


@pytest.mark.parametrize("by", ["median", "mean"])
@pytest.mark.parametrize("shift", ["as trained", "larger", "faster"])
def test_the_waves_in_numpy(shift, by):
    file = np.load(paths.asset("runs_head_to_head_waves.npz"), allow_pickle=False)
    data = ch10.wave_ranking(shift, 5, by)
    found = {}
    for name in waves.METHODS:
        rows = [file[k][3] for k in file.files if k.startswith(f"{shift}/{name}/")]
        errors = np.sort(np.stack(rows).astype("f8").mean(0))
        found[name] = errors[(len(errors) - 1) // 2] if by == "median" else errors.mean()
    said = [getattr(data, by)(name) for name in data.errors]
    assert said == pytest.approx([found[name] for name in data.errors])
    assert said == sorted(said) and set(data.errors) == set(found)


@pytest.mark.parametrize("label, labelled", [(0, False), (5, False), (5, True), (30, True)])
def test_when_it_pays_by_counting(label, labelled):
    lab = ch10.break_even_lab(COSTS)
    data = lab.data("MAML", label, 10, labelled, 100)
    start = 60.0 + (19_280 * label if labelled else 0)
    n = 0
    while start + n * (0.1 + 5 * label) >= n * (30.0 + 50 * label):
        n += 1
    assert data.pays == n
    assert data.accuracies[0].mean == pytest.approx(float(ch10.right("MAML", 1).mean()), abs=1e-6)


def test_it_may_never_pay():
    assert ch10.break_even(1.0, 2.0, 2.0) == math.inf == ch10.break_even(0.0, 3.0, 2.0)
    assert ch10.break_even(10.0, 1.0, 2.0) == 11 and ch10.break_even(0.0, 1.0, 2.0) == 1
    slow = {**COSTS, "ANIL": COSTS["ANIL"]._replace(adapting=1e9)}
    lab = ch10.break_even_lab(slow)
    assert "it never pays" in lab.canvas.draw(lab.data("ANIL", 1, 10, False, 10))[1]


# ---------------------------------------------------------------- which method when


@pytest.mark.parametrize("k_shot", [1, 5])
@pytest.mark.parametrize("allowed", ch10.GUIDE)
def test_no_advice_is_behind_another_method(allowed, k_shot):
    for setting, (n_way, shift) in ch10.SETTINGS.items():
        row = contest.shots_of(n_way, shift).index(k_shot)
        found = {n: of_file(n, n_way, shift, row).mean(0) for n in ch10.GUIDE[allowed]}

        def beaten(name, found=found):
            for other, theirs in found.items():
                n = min(len(theirs), len(found[name]))
                gap = theirs[:n] - found[name][:n]
                if other != name and gap.mean() - half(gap) > 1e-9:
                    return True
            return False

        fit = {name for name in found if not beaten(name)}
        advice = ch10.advice(allowed, k_shot, setting)
        assert {advice.method, *advice.ties} == fit
        assert ch10.STEPS[advice.method] == min(ch10.STEPS[name] for name in fit)
        line = next(x for x in ch10.guide_text(k_shot).splitlines() if x.startswith(setting))
        assert f"{advice.method} {100 * advice.score.mean:.0f}" in line


def test_families_hold_every_method_once():
    names = [name for names, _ in ch10.FAMILIES.values() for name in names]
    assert sorted(names) == sorted(contest.METHODS) and set(ch10.NEEDS) == set(names)
    assert set(ch10.WAVE_KEYS) == set(waves.METHODS)
    assert ch10.STEPS["MAML"] == 3 and ch10.STEPS["ProtoNet"] == 0
    assert ch10.STEPS["from scratch"] > ch10.STEPS["fine-tuning"] > 3


# ---------------------------------------------------------------- what a method takes


def test_the_peak_of_memory():
    def work():
        first = torch.zeros(1000)
        second = first + 1
        del first, second
        return torch.zeros(500)

    kept = torch.zeros(10_000)
    assert 8000 <= ch10.peak_bytes(work) < 8100 and len(kept) == 10_000  # and a few numbers
    assert ch10.peak_bytes(lambda: None) == 0


def counted(x):
    """This line is none.

    And neither is this one.
    """
    # nor this

    y = [
        x,
    ]

    def inner():
        """No."""
        return y

    return inner


class Documented:
    """Nothing but words."""


def test_lines_of_code():
    assert ch10.code_lines(counted) == 6  # def, y, a blank line of ast's, def, return, return
    assert ch10.code_lines(counted, Documented) == 8


def test_numbers_are_those_of_the_network():
    assert ch10.numbers("chance") == 0
    blocks = 9 * (32 + 2 * 32 * 32)  # three of them, without the last one
    assert ch10.numbers("ProtoNet") == blocks + 9 * 32 * 64 + 2 * (3 * 32 + 64)
    assert ch10.numbers("MAML") == blocks + 9 * 32 * 32 + 2 * 4 * 32 + 5 * 33
    assert ch10.numbers("from scratch") == ch10.numbers("probe")


def test_costs_as_text():
    text = ch10.costs_text({"MAML": ch10.Cost(123.4, 0.0567, 28_357, 3 * 2**20, 90)})
    assert text.splitlines()[1].split() == [
        *("MAML", "123", "s", "57", "ms", "28,357", "3.0", "MB", "90")
    ]


# ---------------------------------------------------------------- figures


def test_labels_keep_apart_and_in_order():
    places = {"a": 1.0, "b": 1.1, "c": 5.0, "d": 1.05}
    moved = ch10.apart(places, 0.5)
    order = sorted(moved, key=moved.get)
    assert order == ["a", "d", "b", "c"]
    gaps = [moved[y] - moved[x] for x, y in zip(order, order[1:])]
    assert min(gaps) >= 0.5 - 1e-9
    assert sum(moved.values()) == pytest.approx(sum(places.values()))
    assert ch10.apart({}, 1.0) == {}


def test_every_figure_says_its_numbers():
    fig, words = ch10.shots_figure()
    assert np.asarray(image(fig)).std() > 5
    for name in contest.METHODS:
        first, last = (100 * (1 - float(ch10.right(name, k).mean())) for k in (1, 10))
        said = re.search(rf"[;:] {re.escape(name)} (\d+\.\d) to (\d+\.\d)", words)
        assert [float(v) for v in said.groups()] == pytest.approx([first, last], abs=0.051)
    fig, words = ch10.shift_figure(5)
    assert np.asarray(image(fig)).std() > 5
    for setting in ch10.SETTINGS:
        table = ch10.ranking(setting, 5)
        assert f"{setting}: {table.leader} {100 * table.scores[table.leader].mean:.1f} %" in words


def test_the_guess_is_drawn_and_said():
    found = {"one": estimate([0.4, 0.5]), "other": estimate([0.5, 0.6])}
    bare, words = ch10.reveal(found, estimate([-0.1, -0.2]), None)
    guessed, more = ch10.reveal(found, estimate([-0.1, -0.2]), 12)
    assert "12 points" in more and "guess" not in words and "-15.0 ± 9.8" in words
    assert image(bare).tobytes() != image(guessed).tobytes()


def test_errors_and_times_in_words():
    said = [ch10.error_told(e) for e in (math.inf, 0.0004, 0.0123, 12.345)]
    assert said == ["no number", "< 0.001", "0.012", "12.3"]
    assert [ch10.hours(s) for s in (7300, 300, 5)] == ["2.0 hours", "5.0 minutes", "5 seconds"]
    assert ch10.told(1234) == "about 1,200 tasks"
