"""Chapter 06's labs by independent means: plain loops over modules, numpy, drawing."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mlcourse.exercises.ch06 import check
from mlcourse.labs import ch06
from mlcourse.labs.engine import ends
from mlcourse.learners import maml_runs, networks
from mlcourse.pictures import image
from mlcourse.tasks import Episode, Points, load_characters


@pytest.fixture(scope="module")
def pool():
    return load_characters(maml_runs.SIZE).evaluation


@pytest.fixture(scope="module")
def lab(pool):
    return ch06.task_lab(pool)


def module_of(name: str, support: Points) -> tuple[torch.nn.Module, dict]:
    """A shipped learner as an ordinary module, at the start of a task; and its rates by name."""
    learner = maml_runs.shipped(f"{name}/0")
    net = copy.deepcopy(learner.net)
    net.load_state_dict(learner.params)
    if maml_runs.METHODS[name].prototypes:
        with torch.no_grad():
            z = net[:-1](support.x)
            means = torch.stack([z[support.y == k].mean(0) for k in range(5)])
            net[-1].weight += 2 * means
            net[-1].bias -= (means * means).sum(1)
    return net, learner.inner_lr


def stepped(net: torch.nn.Module, rates: dict, support: Points, factor: float, steps: int):
    """A copy after `steps` steps of plain gradient descent, in place."""
    net = copy.deepcopy(net)
    for _ in range(steps):
        net.zero_grad()
        cross_entropy(net(support.x), support.y).backward()
        with torch.no_grad():
            for name, p in net.named_parameters():
                if name in rates:
                    p -= factor * rates[name] * p.grad
    return net


SETTINGS = [(1, 1, 1.0, 1), (7, 3, 0.3, 2), (40, 5, 3.0, 1), (2, 2, 1.0, 0)]


@pytest.mark.parametrize("name", maml_runs.METHODS)
def test_the_lab_shows_what_plain_modules_do(lab, pool, name):
    for number, k_shot, factor, steps in SETTINGS:
        data = lab.data(name, number, k_shot, factor, steps)
        support, query = ch06.deal(pool, number, k_shot)
        net, rates = module_of(name, support)
        after = stepped(net, rates, support, factor, steps)
        for shown, hits, found in zip((data.before, data.after), data.right, (net, after)):
            with torch.no_grad():
                p = found(query.x).softmax(1)
            assert torch.allclose(shown, p[::5], atol=2e-3)
            assert abs(hits - int((p.argmax(1) == query.y).sum())) <= 1  # a tie may turn
        moved = distance_by_layer(net, after)
        assert np.allclose(data.moved, moved, rtol=0.02, atol=1e-4)


def distance_by_layer(before: torch.nn.Module, after: torch.nn.Module) -> list[float]:
    found = []
    for one, other in zip((*before[:4], before[5]), (*after[:4], after[5])):
        a, b = (
            np.concatenate([p.detach().numpy().ravel() for p in part.parameters()])
            for part in (one, other)
        )
        found.append(np.linalg.norm(b - a) / np.linalg.norm(a))
    return found


def test_movement_of_known_steps():
    params = networks.parameters(networks.few_shot())
    longer = {n: p * (1.5 if n.startswith("5.") else 1.0) for n, p in params.items()}
    assert torch.allclose(ch06.movement(params, longer), torch.tensor([0.0, 0, 0, 0, 0.5]))
    double = {n: 2 * p for n, p in params.items()}
    assert torch.allclose(ch06.movement(params, double), torch.ones(5))


def test_a_task_is_the_same_for_every_number_of_shots(pool):
    one, five = ch06.deal(pool, 3, 1), ch06.deal(pool, 3, 5)
    assert torch.equal(one.query.x, five.query.x) and torch.equal(one.query.y, five.query.y)
    assert torch.equal(one.support.x, five.support.x[::5])
    assert five.query.y.tolist() == sorted(five.query.y.tolist())
    seen = {x.numpy().tobytes() for x in five.support.x}
    assert not seen & {x.numpy().tobytes() for x in five.query.x}
    assert not torch.equal(one.query.x, ch06.deal(pool, 4, 1).query.x)


def test_steps_are_kept_and_asking_again_changes_nothing(lab):
    first = lab.data("learned α", 5, 1, 1.0, 3)
    lab.data("learned α", 5, 1, 1.0, 7)
    again = lab.data("learned α", 5, 1, 1.0, 3)
    assert torch.equal(first.after, again.after) and torch.equal(first.moved, again.moved)


def test_every_drawing_is_on_the_stack():
    for k_shot in range(1, 6):
        drawings = torch.arange(1.0, k_shot + 1).view(-1, 1, 1).expand(-1, 20, 20)
        page = ch06.stacked(drawings)
        assert page.shape == (80, 40) and {*page.ravel()} >= {*range(1, k_shot + 1)}


# ---------------------------------------------------------------- three ways to judge


def in_three_ways(name: str, episodes: Episode, task: int) -> dict[str, torch.Tensor]:
    """Scores of a task's queries after one step: all together, and each with the support."""
    support, query = (Points(side.x[task], side.y[task]) for side in episodes)
    net, rates = module_of(name, support)
    net = stepped(net, rates, support, 1.0, 1)
    with torch.no_grad():
        single = [net(torch.cat([support.x, query.x[i : i + 1]]))[-1] for i in range(len(query.x))]
        return {"together": net(query.x), "alone": torch.stack(single)}


@pytest.mark.parametrize("name", ["MAML", "ProtoMAML", "ANIL"])
def test_together_and_alone_are_those_of_plain_modules(pool, name):
    episodes, learner = maml_runs.episodes(pool, 1, 4), maml_runs.shipped(f"{name}/0")
    found = {
        "together": maml_runs.logits(learner, episodes),
        "alone": maml_runs.logits(learner, episodes, alone=True),
    }
    for task in range(4):
        for way, right in in_three_ways(name, episodes, task).items():
            assert torch.allclose(found[way][task], right, atol=5e-3 * float(right.abs().max())), (
                way
            )


def test_the_exercise_is_what_the_package_does(pool):
    episodes, learner = maml_runs.episodes(pool, 1, 2), maml_runs.shipped("MAML/0")
    found = maml_runs.logits(learner, episodes, alone=True)
    for task in range(2):
        support, query = (Points(side.x[task], side.y[task]) for side in episodes)
        net, rates = module_of("MAML", support)
        net = stepped(net, rates, support, 1.0, 1)
        with torch.no_grad():
            right = check.alone.reference(net, support.x, query.x)
        assert torch.allclose(found[task], right, atol=5e-3 * float(right.abs().max()))


def test_tasks_with_one_and_with_five_queries_have_the_same_support(pool):
    five, one = (maml_runs.episodes(pool, n, 20) for n in (5, 1))
    for task in range(20):
        rows = [
            {x.numpy().tobytes(): int(y) for x, y in zip(side.x[task], side.y[task])}
            for side in (five.support, one.support, five.query, one.query)
        ]
        assert rows[0] == rows[1] and rows[2].items() >= rows[3].items()


# ---------------------------------------------------------------- the comparison


@pytest.mark.parametrize("way", ch06.WAYS)
def test_the_comparison_in_numpy(way):
    data = ch06.compare(way, "ANIL")
    part, steps = ch06.WAYS[way]
    for name in maml_runs.METHODS:
        runs = [maml_runs.recorded(f"{name}/{seed}")[part].numpy() for seed in (0, 1)]
        base = [maml_runs.recorded(f"ANIL/{seed}")[part].numpy() for seed in (0, 1)]
        if part == "five":
            row = maml_runs.STEPS.index(steps)
            runs, base = [r[row] for r in runs], [r[row] for r in base]
        mean, other = np.mean(runs, 0, "f8"), np.mean(base, 0, "f8")
        assert data.scores[name].mean == pytest.approx(mean.mean(), abs=1e-6)
        assert data.seeds[name] == pytest.approx([r.mean() for r in runs], abs=1e-5)
        lead = mean - other
        assert data.leads[name].mean == pytest.approx(lead.mean(), abs=1e-6)
        width = 1.96 * lead.std(ddof=1) / len(lead) ** 0.5
        assert data.leads[name].half_width == pytest.approx(width, abs=1e-6)


def test_the_words_say_the_numbers(lab):
    data = ch06.compare("each query alone, 1 step", "MAML")
    words = ch06.comparison_words(data)
    assert all(f"{name} {e}" in words for name, e in data.scores.items())
    task = lab.data("MAML", 1, 2, 1.0, 1)
    words = ch06.task_words(task)
    assert f"{task.right[0]} of 25 queries right before, {task.right[1]} after 1 step." in words
    assert "2 drawings" in words and f"head {100 * float(task.moved[4]):.1f}" in words


def test_the_guess_is_drawn_and_said():
    before, after = (ch06.estimate(row) for row in ([0.1, 0.3], [0.8, 0.9]))
    bare, words = ch06.reveal(before, after, None)
    guessed, more = ch06.reveal(before, after, 35)
    assert "35 %" in more and "guess" not in words
    assert image(bare).tobytes() != image(guessed).tobytes()


def test_figures_in_words():
    moved = torch.tensor([0.01, 0.02, 0.03, 0.04, 0.5]).expand(3, 5)
    words = ch06.movement_figure({"MAML": moved})[1]
    assert "MAML 1.0, 2.0, 3.0, 4.0, 50.0" in words
    rates = {"0.0.weight": torch.tensor(0.25), "5.bias": torch.tensor(-0.5)}
    words = ch06.rates_figure(rates, 0.4)[1]
    assert "convolution 0.25" in words and "head, bias -0.50" in words
    words = ch06.curve_figure({"run": ([0.0, 30.0], [20.0, 95.0])}, {"paper": 98.7})[1]
    assert "95.0 % after 30 steps" in words and "98.7" in words


def test_a_slider_with_names_reads_them():
    control = ch06.named_stops("way", ["near", "far"], "far")
    assert control.value == "far" and ends(control) == ("near", "far")
