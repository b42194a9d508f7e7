"""Chapter 10's checks: right answers in other words, wrong ones of people who saw no check."""

import itertools
import math
import statistics
import sys

import numpy as np
import pytest
import torch

from mlcourse import evaluation
from mlcourse.exercises import ch10
from mlcourse.exercises.ch10 import check
from mlcourse.learners import head_to_head
from mlcourse.tasks import Episode, Points

judge, needed = check.judge.reference, check.settle.reference
even, over_trainings = check.break_even.reference, check.seeds.reference


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "home"))


# ---------------------------------------------------------------- right in other words


def judge_with_numpy(predict, episodes):
    labels = predict(x=episodes.query.x, support=episodes.support).numpy()
    return (labels == episodes.query.y.numpy()).mean(axis=1)


def judge_query_by_query(predict, episodes):
    support, (x, y) = episodes
    columns = [predict(support, x[:, i : i + 1]) for i in range(y.shape[1])]
    return torch.eq(torch.cat(columns, 1), y).sum(1).double() / y.shape[1]


def judge_on_copies(predict, episodes):
    support = Points(*(v.clone() for v in episodes.support))
    labels = predict(support, episodes.query.x.clone()).clone()
    labels -= episodes.query.y
    return 1 - labels.ne(0).to(torch.float64).mean(dim=-1)


@torch.no_grad()
def judge_in_halves(predict, episodes):
    halves = []
    for part in (slice(None, None, 2), slice(1, None, 2)):
        some = Episode(*(Points(*(v[part] for v in side)) for side in episodes))
        if len(some.query.y):
            halves.append(judge(predict, some))
    found = torch.empty(sum(map(len, halves)), dtype=torch.float64)
    for start, half in enumerate(halves):
        found[start::2] = half
    return found


def judge_shuffled_and_back(predict, episodes):
    (x, y), order = episodes.query, torch.randperm(episodes.query.y.shape[1])
    return (predict(episodes.support, x[:, order]) == y[:, order]).double().mean(1)


def needed_by_numpy(a, b):
    d = a.numpy() - b.numpy()
    mean, sd = np.mean(d), np.std(d, ddof=1)
    return np.inf if mean == 0 else np.maximum(2, np.ceil(np.square(1.96 * sd / mean)))


def needed_by_statistics(a, b):
    d = [x - y for x, y in zip(a.tolist(), b.tolist())]
    try:
        return max(2, -int(-((1.96 * statistics.stdev(d) / statistics.mean(d)) ** 2) // 1))
    except ZeroDivisionError:
        return math.inf


def needed_by_covariance(a, b):
    (va, cov), (_, vb) = torch.cov(torch.stack([a, b])).tolist()
    gap = float(a.mean() - b.mean())
    return max(math.ceil(1.96**2 * (va + vb - 2 * cov) / gap**2), 2) if gap else math.inf


def needed_by_search(a, b):
    d = a - b
    n = torch.arange(2, 5000, dtype=torch.float64)
    enough = 1.96 * d.std() / n.sqrt() <= d.mean().abs()
    enough &= d.mean() != 0
    return n[enough][0] if enough.any() else torch.tensor([torch.inf])


def needed_with_exact_quantile(a, b):
    d = b - a
    z = statistics.NormalDist().inv_cdf(0.975)
    return math.inf if not d.mean() else max(math.ceil(z**2 * d.var() / d.mean() ** 2), 2)


def even_by_iterator(training, meta, meta_labels, scratch, scratch_labels, per_label):
    first, second = meta + meta_labels * per_label, scratch + scratch_labels * per_label
    never = second <= first
    return (
        math.inf
        if never
        else next(n for n in itertools.count() if training + first * n < second * n)
    )


def even_by_bisection(training, *task):
    a, b = task[0] + task[1] * task[4], task[2] + task[3] * task[4]
    low, high = 0, 1
    if b <= a:
        return torch.inf
    while training + high * a >= high * b:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if training + middle * a < middle * b else (middle, high)
    return high


def even_as_a_float(training, meta, meta_labels, scratch, scratch_labels, per_label):
    saved = (scratch - meta) + (scratch_labels - meta_labels) * per_label
    return np.floor(training / saved) + 1.0 if saved > 0 else np.inf


def trainings_by_covariance(a, b, quantile):
    means = torch.stack([a.mean(1), b.mean(1)]).numpy()
    (va, cov), (_, vb) = torch.cov(torch.from_numpy(means))
    gap = means[0].mean() - means[1].mean()
    return gap, quantile * torch.sqrt((va + vb - 2 * cov) / len(a))


def trainings_by_statistics(a, b, quantile):
    d = (a.mean(-1) - b.mean(-1)).tolist()
    return statistics.fmean(d), quantile * statistics.stdev(d) / math.sqrt(len(d))


def trainings_by_numpy(a, b, quantile):
    d = np.mean(a.numpy() - b.numpy(), axis=1)
    return np.array([(a - b).mean(), quantile * d.std(ddof=1) / np.sqrt(d.size)])


def trainings_as_estimate(a, b, quantile):
    d = (a - b).mean(1)
    half = quantile * (d.var() / len(d)) ** 0.5
    return evaluation.Estimate(float(d.mean()), float(half), len(d))


RIGHT = {
    "judge": (
        *(head_to_head.judge, judge_with_numpy, judge_query_by_query, judge_on_copies),
        *(judge_in_halves, judge_shuffled_and_back),
        lambda p, e: torch.stack(
            [(p(e[0], e[1][0]) == e[1][1])[i].double().mean() for i in range(len(e[1][1]))]
        ),
        lambda p, e: 1 - (p(e.support, e.query.x) != e.query.y).double().mean(1),
        lambda p, e: evaluation.accuracy(p(*[e.support, e.query.x]), e.query.y).tolist(),
    ),
    "settle": (
        *(needed_by_numpy, needed_by_statistics, needed_by_covariance, needed_by_search),
        needed_with_exact_quantile,
    ),
    "break_even": (even_by_iterator, even_by_bisection, even_as_a_float),
    "seeds": (
        *(trainings_by_covariance, trainings_by_statistics, trainings_by_numpy),
        trainings_as_estimate,
    ),
}


@pytest.mark.parametrize("name, fn", [(n, f) for n, fs in RIGHT.items() for f in fs])
def test_right_answers_in_other_words(name, fn):
    exercise = getattr(check, name)
    card = exercise(fn)
    assert card.text == exercise.praise


# ---------------------------------------------------------------- wrong, and what is said of it


def judged_after(predict, episodes, *shown):
    """An honest answer, after a look that nobody may take."""
    predict(*shown)
    return judge(predict, episodes)


def judge_without_dimension(predict, episodes):
    each = zip(*episodes.support, *episodes.query)
    found = [predict(Points(x, y), new) == right for x, y, new, right in each]
    return torch.stack([right.double().mean() for right in found])


def judge_every_with_every(predict, episodes):
    labels = predict(episodes.support, episodes.query.x)
    pairs = zip(labels, episodes.query.y)
    return torch.stack([(mine[:, None] == right).double().mean() for mine, right in pairs])


def judge_shuffled_tasks(predict, episodes):
    order = torch.randperm(len(episodes.query.y))
    return judge(predict, Episode(*(Points(*(v[order] for v in side)) for side in episodes)))


def judge_with_guesses(predict, episodes):
    """Its own answers are added to the support set: the method of a task, and not the judge's."""
    (x, y), new = episodes.support, episodes.query.x
    more = torch.cat([y, predict(episodes.support, new)], 1)
    return judge(predict, Episode(Points(torch.cat([x, new], 1), more), episodes.query))


def judge_in_place(predict, episodes):
    episodes.support.y.sub_(1).add_(2)
    return judge(predict, episodes)


def settled_from(sd, gap):
    return max(2, math.ceil((1.96 * float(sd) / float(gap)) ** 2)) if gap else math.inf


def needed_by_endless_counting(a, b):
    n, sd, gap = 2, float((a - b).std()), abs(float((a - b).mean()))
    while 1.96 * sd / n**0.5 > gap:
        n += 1
    return math.inf if torch.equal(a, b) else n


def needed_among_those_at_hand(a, b):
    for n in range(2, len(a) + 1):
        d = evaluation.paired_difference(a[:n], b[:n])
        if d.low > 0 or d.high < 0:
            return n
    return math.inf


def even_by_endless_counting(training, meta, meta_labels, scratch, scratch_labels, per_label):
    n = 0
    while training >= 0:
        training += meta + meta_labels * per_label - scratch - scratch_labels * per_label
        n += 1
    return n


def even_by_endless_search(training, meta, meta_labels, scratch, scratch_labels, per_label):
    a_task, other = meta + meta_labels * per_label, scratch + scratch_labels * per_label
    return next(n for n in itertools.count() if training + n * a_task < n * other)


def even_if(condition, otherwise):
    """Right where the condition holds."""
    return lambda *case: even(*case) if condition(*case) else otherwise


def each(name, **answers):
    return [
        pytest.param(name, fn, symptom.replace("_", " "), id=f"{name}-{symptom}-{i}")
        for symptom, fns in answers.items()
        for i, fn in enumerate(fns if isinstance(fns, tuple) else (fns,))
    ]


WRONG = (
    *each(
        "judge",
        labels=(
            lambda p, e: judged_after(p, e, e.support, e.query),
            lambda p, e: (p(e, e.query.x) == e.query.y).double().mean(1),
            lambda p, e: (p(e.support, e.query.x, e.query.y) == e.query.y).double().mean(1),
            lambda p, e: (p(e.support, e.query.x, y=e.query.y) == e.query.y).double().mean(1),
        ),
        arguments=(
            lambda p, e: (p(e.support) == e.query.y).double().mean(1),
            lambda p, e: (p() == e.query.y).double().mean(1),
            lambda p, e: (p(e.query.x, e.support) == e.query.y).double().mean(1),
            lambda p, e: (p(tuple(e.support), e.query.x) == e.query.y).double().mean(1),
        ),
        query_shown=(
            lambda p, e: judged_after(p, e, e.query, e.query.x),
            lambda p, e: (p(e.together(), e.query.x) == e.query.y).double().mean(1),
            judge_with_guesses,
        ),
        not_called=(
            lambda p, e: torch.ones(len(e.query.y), dtype=torch.float64),
            lambda p, e: judge(head_to_head.pixels, e),
            lambda p, e: judge,
        ),
        one_task=judge_without_dimension,
        broadcast=judge_every_with_every,
        order=(judge_shuffled_tasks, lambda p, e: judge(p, e).flip(0)),
        input_changed=judge_in_place,
        mean_over_all=lambda p, e: float(judge(p, e).mean()),
        type=(
            lambda p, e: judge(p, e).float(),
            lambda p, e: (p(e.support, e.query.x) == e.query.y).float().mean(1).numpy(),
        ),
        no_mean=lambda p, e: p(e.support, e.query.x),
        shape=lambda p, e: judge(p, e.first(2)),
        value=(
            lambda p, e: judge(p, e.with_shots(1)),
            lambda p, e: (p(e.support, e.query.x.flip(1)) == e.query.y).double().mean(1),
            lambda p, e: (p(e.support, e.query.x) == e.query.y[0]).double().mean(1),
            lambda p, e: (p(e.support, e.query.x) == e.query.y).half().mean(1),
        ),
    ),
    *each(
        "settle",
        unpaired=lambda a, b: settled_from((a.var() + b.var()) ** 0.5, a.mean() - b.mean()),
        floor=(
            lambda a, b: needed(a, b) - 1,
            lambda a, b: int(max(2, settled_from((a - b).std(), (a - b).mean()) - 1)),
        ),
        variance=lambda a, b: settled_from((a - b).var(), (a - b).mean()),
        whole_width=lambda a, b: settled_from(2 * (a - b).std(), (a - b).mean()),
        whole=(
            lambda a, b: (1.96 * (a - b).std() / (a - b).mean()) ** 2,
            lambda a, b: evaluation.paired_difference(a, b).half_width,
        ),
        equal=(
            lambda a, b: None if a.mean() == b.mean() else needed(a, b),
            lambda a, b: -math.inf if a.mean() == b.mean() else needed(a, b),
            lambda a, b: 10**9 if a.mean() == b.mean() else needed(a, b),
            lambda a, b: math.inf if torch.equal(a, b) else min(needed(a, b), 10**6),
        ),
        below_two=lambda a, b: 1 if (a - b).std() == 0 and a.mean() != b.mean() else needed(a, b),
        always_ahead=lambda a, b: math.inf if (a - b).std() == 0 else needed(a, b),
        input_changed=lambda a, b: needed(a.sub_(0.1), b),
        value=(
            lambda a, b: settled_from((a + b).std(), (a - b).mean()),
            lambda a, b: needed(a, b) * (1 if a.mean() >= b.mean() else -1),
            lambda a, b: max(30, needed(a, b)),
            lambda a, b: needed(a.sort().values, b.sort().values),
            needed_among_those_at_hand,
        ),
        **{"return": (evaluation.paired_difference, lambda a, b: needed(a, b) > 10)},
    ),
    *each(
        "break_even",
        labels_forgotten=lambda t, m, lm, s, ls, w: even(t, m, 0, s, 0, w),
        tie=lambda *case: even(*case[:1], *case[1:]) - (case[0] == 600.0 or case[0] == 3600.0),
        never=(
            even_if(lambda *case: even(*case) < math.inf, 0),
            even_if(lambda *case: even(*case) < math.inf, None),
            even_if(lambda *case: even(*case) < math.inf, 10**12),
            even_if(lambda t, *task: t > 0, 1),
        ),
        value=(
            even_if(lambda t, m, lm, s, ls, w: m <= s, math.inf),
            even_if(lambda t, m, lm, s, ls, w: lm <= ls, math.inf),
            lambda t, m, lm, s, ls, w: even(t, m + lm, 0, s + ls, 0, 1),
            lambda t, m, lm, s, ls, w: even(t + lm * w, m, 0, s, ls, w),
            lambda t, m, lm, s, ls, w: even(t, s, lm, m, ls, w),
            lambda *case: even(*case) + 1,
        ),
        **{"return": lambda *case: (even(*case), case[0])},
    ),
    *each(
        "seeds",
        all_alone=lambda a, b, q: ((a - b).mean(), q * (a - b).std() / a.numel() ** 0.5),
        tasks_alone=lambda a, b, q: over_trainings(a.T, b.T, q),
        no_quantile=lambda a, b, q: over_trainings(a, b, 1),
        other_way=lambda a, b, q: over_trainings(b, a, q),
        input_changed=lambda a, b, q: over_trainings(a.add_(1), b, q),
        not_finite=lambda a, b, q: (over_trainings(a, b, q)[0], math.nan),
        value=(
            lambda a, b, q: ((a - b).mean(), q * (a - b).std(0).mean() / len(a) ** 0.5),
            lambda a, b, q: ((a - b).mean(), q * a.mean(1).std() / len(a) ** 0.5),
            lambda a, b, q: over_trainings(a.sort(0).values, b.sort(0).values, q),
            lambda a, b, q: (abs(over_trainings(a, b, q)[0]), over_trainings(a, b, q)[1]),
            lambda a, b, q: over_trainings(a[:2], b[:2], q),
        ),
        **{
            "1.96": lambda a, b, q: evaluation.estimate((a - b).mean(1)),
            "all alone, 1.96": lambda a, b, q: evaluation.estimate((a - b).flatten()),
            "tasks alone, 1.96": lambda a, b, q: evaluation.paired_difference(a.mean(0), b.mean(0)),
            "return": (
                lambda a, b, q: over_trainings(a, b, q)[0],
                lambda a, b, q: ((a - b).mean(1), q * (a - b).std(1) / a.shape[1] ** 0.5),
            ),
        },
    ),
)


@pytest.mark.parametrize("name, fn, symptom", WRONG)
def test_wrong_answers_of_people_who_have_not_read_the_check(name, fn, symptom):
    card = getattr(check, name)(fn)
    assert (card.outcome, card.symptom) == ("not yet", symptom), card.text


ENDLESS = [
    ("settle", needed_by_endless_counting),
    ("break_even", even_by_endless_counting),
    ("break_even", even_by_endless_search),
]


@pytest.mark.parametrize("name, fn", ENDLESS)
def test_who_counts_up_to_infinity_is_stopped_in_that_line(name, fn):
    before, exercise = sys.gettrace(), getattr(check, name)
    exercise.__post_init__()
    card = exercise(fn)
    assert card.outcome == "your code raised"
    assert "this never ends, for no number is enough, in line " in card.text
    assert "ask for that first" in exercise.hint().text
    assert sys.gettrace() is before


def test_a_division_by_zero_is_the_answers_own_line_and_has_a_hint():
    def unasked(a, b):
        return max(2, math.ceil((1.96 * (a - b).std() / (a - b).mean()) ** 2))

    check.settle.__post_init__()
    card = check.settle(unasked)
    assert card.outcome == "your code raised" and "of the cell with `unasked`" in card.text
    assert "ask for that first" in check.settle.hint().text


def test_an_answer_kept_from_the_method_before_is_found_out():
    seen = {}

    def remembering(predict, episodes):
        key = tuple(episodes.query.y.flatten().tolist())
        return seen.setdefault(key, judge(predict, episodes))

    assert check.judge(remembering).outcome == "not yet"


# ---------------------------------------------------------------- the references and their cases


def test_the_judge_says_the_same_of_the_courses_own_methods():
    episodes = ch10.episodes_of(5, 3, 2, 2)
    for method in (head_to_head.chance, head_to_head.pixels):
        assert torch.equal(judge(method, episodes), head_to_head.judge(method, episodes))


def test_so_many_episodes_settle_it_and_one_less_does_not():
    for case in ch10.SETTLED:
        a, b = ch10.scores(*case)
        d, n = evaluation.paired_difference(a, b), needed(a, b)
        widths = [d.half_width * (d.n / k) ** 0.5 for k in (n - 1, n)]
        assert widths[0] > abs(d.mean) >= widths[1]
        share = (d.half_width / d.mean) ** 2 * d.n % 1
        assert 0.1 < share < 0.9  # far from a whole number: rounding decides nothing


def test_the_cases_hold_what_the_mistakes_need():
    pairs = [ch10.scores(*case) for case in ch10.SETTLED]
    narrower = {bool((a - b).var() < a.var() + b.var()) for a, b in pairs}
    ahead = {bool(a.mean() > b.mean()) for a, b in pairs}
    saved = [scratch - m + (ls - lm) * w for _, m, lm, scratch, ls, w in ch10.PRICES]
    ties = {case[0] % second == 0 for case, second in zip(ch10.PRICES, saved)}
    assert narrower == ahead == ties == {True, False}
    for case in ch10.TRAINED:
        a, b, quantile = ch10.training_case(*case)
        pooled = evaluation.estimate((a - b).flatten()).half_width
        assert over_trainings(a, b, quantile)[1] > pooled
