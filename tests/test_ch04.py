"""Chapter 04's labs by independent means: loops, autograd, drawing."""

import numpy as np
import pytest
import torch

from mlcourse.exercises.ch04 import check
from mlcourse.labs import ch04, metagradient
from mlcourse.learners import maml, reptile
from mlcourse.pictures import image
from mlcourse.tasks import Episode, Points, quadratics

D = torch.float64
PLACES = [(1.2, 1.6), (0.0, 3.0), (2.8, 0.3)]
SETTINGS = [(0.0, 1), (0.2, 0), (0.2, 1), (0.4, 3), (0.1, 10), (0.8, 2)]


def wave_loss(params, points):
    curve = params["theta"][0] * torch.sin(points.x - params["theta"][1])
    return ((curve - points.y) ** 2).mean()


def wave_episodes() -> Episode:
    amplitude, phase = metagradient.WAVES[:, :1], metagradient.WAVES[:, 1:]
    sides = (metagradient.SUPPORT_X, metagradient.QUERY_X)
    return Episode(*(Points(x.expand(3, -1), amplitude * torch.sin(x - phase)) for x in sides))


def bowl_loss(params, task):
    away = params["theta"] - task.optimum
    return away @ task.curvature @ away / 2


def bowl_episodes() -> Episode:
    family = metagradient.FAMILIES[1]
    tasks = quadratics.Quadratics(family.hessian(family.optimum), family.optimum)
    return Episode(tasks, tasks)


PROBLEMS = {1: (bowl_loss, bowl_episodes()), 2: (wave_loss, wave_episodes())}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_the_derivatives_by_hand_are_those_of_autograd(number, place):
    family, (loss, episodes) = metagradient.FAMILIES[number], PROBLEMS[number]
    theta = torch.tensor(place, dtype=D)
    starts = theta.expand_as(family.optimum)
    for i in range(len(family.optimum)):
        support, query = (type(side)(*(v[i] for v in side)) for side in episodes)

        def on(points):
            return lambda t: loss({"theta": t}, points)

        grad, hessian = torch.func.grad, torch.func.hessian
        assert torch.allclose(family.gradient(starts)[i], grad(on(support))(theta))
        assert torch.allclose(family.hessian(starts)[i], hessian(on(support))(theta))
        assert torch.allclose(family.query_gradient(starts)[i], grad(on(query))(theta))
        assert torch.allclose(family.query_loss(starts)[i], on(query)(theta))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("inner_lr, steps", SETTINGS)
def test_the_lab_shows_what_the_learners_compute(number, inner_lr, steps):
    loss, episodes = PROBLEMS[number]
    for place in PLACES:
        data = ch04.look(number, *place, inner_lr, steps)
        params = {"theta": torch.tensor(place, dtype=D)}
        found = {
            "MAML": maml.meta_gradient(loss, params, episodes, inner_lr, steps),
            "FOMAML": maml.meta_gradient(loss, params, episodes, inner_lr, steps, True),
            "joint": reptile.direction(loss, params, episodes.support, 0.1, 1),
        }
        if inner_lr * steps:
            walk = reptile.direction(loss, params, episodes.support, inner_lr, steps)
            found["Reptile"] = walk
        for rule, direction in found.items():
            wanted = -direction["theta"]
            assert torch.allclose(data.directions[rule], wanted, rtol=1e-7, atol=1e-9), rule
        right = maml.meta_loss(loss, params, episodes, inner_lr, steps)
        assert data.loss == pytest.approx(float(right)) and data.gap < 1e-6


def test_maml_follows_the_landscape_that_is_drawn():
    data = ch04.look(2, 1.2, 1.4, 0.3, 3)
    h = 2 * ch04.NEAR / (ch04.NEAR_CELLS - 1)
    rise = data.window[13, 12] - data.window[11, 12], data.window[12, 13] - data.window[12, 11]
    slope = torch.stack(rise[::-1]) / (2 * h)
    assert torch.allclose(slope, -data.directions["MAML"], atol=0.01)


def test_above_the_limit_steps_lead_away_and_below_they_do_not():
    for number, family in metagradient.FAMILIES.items():
        curvatures = torch.linalg.eigh(family.hessian(family.optimum))
        task = int(curvatures.eigenvalues[:, -1].argmax())
        steep = curvatures.eigenvectors[task, :, -1]
        theta = family.optimum[task] + 1e-4 * steep
        for factor, away in ((0.98, False), (1.02, True)):
            path = metagradient.walk(family, theta, factor * family.limit, 1)[:, task]
            assert ch04.farther(path, family.optimum[task]) is away, number


def test_the_grids_have_their_starts_in_the_right_place():
    data = ch04.look(1, 0.5, 2.0, 0.2, 2)
    place = ch04.lowest(data.landscape)
    family = metagradient.FAMILIES[1]
    best = quadratics.best_start(
        quadratics.Quadratics(family.hessian(family.optimum), family.optimum), 0.2, 2
    )
    assert (place - best).abs().max() < (ch04.HIGH - ch04.LOW) / (ch04.CELLS - 1)


# ---------------------------------------------------------------- the table


def test_the_microscope_without_a_reader():
    table = metagradient.microscope()
    assert table.gap < 1e-7 and "yours" not in repr(table)
    assert len(repr(table).splitlines()) == 1 + len(metagradient.PROBLEMS)


def unwritten(*arguments):
    raise NotImplementedError


def test_the_microscope_says_that_nothing_was_attempted():
    table = metagradient.microscope(unwritten)
    assert repr(table).endswith("yours: not attempted") and table.gap < 1e-7


def test_the_microscope_accepts_the_solution_and_alternatives():
    for fn in (check.steps.reference, *check.steps.alternatives):
        table = metagradient.microscope(fn)
        assert "yours" in table.columns and table.gap < 1e-7


@pytest.mark.parametrize("symptom", ["first order", "one Hessian", "order", "support judged"])
def test_the_microscope_sees_what_is_wrong(symptom):
    assert metagradient.microscope(check.steps.mutants[symptom]).gap > 1e-3


def test_the_microscope_wants_two_numbers():
    table = metagradient.microscope(lambda *arguments: torch.zeros(3))
    assert "two numbers and your function returned 3" in repr(table) and table.gap < 1e-7


def test_the_microscope_survives_a_function_that_raises():
    table = metagradient.microscope(lambda *arguments: 1 / 0)
    assert repr(table).endswith(
        "yours: ZeroDivisionError, division by zero. check.steps says more."
    )
    assert "yours" not in table.columns


# ---------------------------------------------------------------- shrinkage


@pytest.mark.parametrize("inner_lr, k_shot, off", [(0.0, 1, 0.0), (0.6, 3, 0.7), (1.3, 5, -1.0)])
def test_both_risks_by_drawing_tasks(inner_lr, k_shot, off):
    rng, n = np.random.default_rng(0), 200_000
    centres = 0.8 * rng.normal(size=(n, 1))
    points = centres + 1.2 * rng.normal(size=(n, k_shot + 1))
    adapted = (1 - inner_lr) * off + inner_lr * points[:, :k_shot].mean(1, keepdims=True)
    for judged, risk in (
        (points[:, k_shot:], ch04.query_risk),
        (points[:, :k_shot], ch04.same_data_risk),
    ):
        found = 0.5 * ((adapted - judged) ** 2).mean(1)
        right = risk(inner_lr, 0.8, 1.2, k_shot, off)
        assert found.mean() == pytest.approx(right, abs=4 * found.std() / n**0.5)


def test_the_best_alpha_is_the_lowest_place_and_the_posterior_mean():
    for spread, noise, k_shot in ((0.8, 1.2, 3), (2.0, 0.3, 1), (0.4, 2.0, 20)):
        data = ch04.shrinkage(0.5, k_shot, spread, noise)
        assert float(ch04.ALPHAS[data.true.argmin()]) == pytest.approx(data.best, abs=0.006)
        assert float(ch04.ALPHAS[data.apparent.argmin()]) == pytest.approx(1)
        precision = k_shot / noise**2
        assert data.best == pytest.approx(precision / (precision + 1 / spread**2))
        assert float(data.best_of[k_shot - 1]) == pytest.approx(data.best)


def test_the_numbers_that_the_chapter_names():
    assert float(ch04.best_alpha(0.8, 1.2, 3)) == pytest.approx(0.571, abs=5e-4)
    assert ch04.query_risk(1.0, 0.8, 1.2, 3) == pytest.approx(0.96)
    assert ch04.same_data_risk(1.0, 0.8, 1.2, 3) == pytest.approx(0.48)
    assert ch04.same_data_risk(1.0, 0.8, 1.2, 1, off=5.0) == 0
    assert ch04.outer_walk("maml")[-1] == pytest.approx(0.785, abs=5e-4)
    assert ch04.outer_walk("fomaml")[-1] == pytest.approx(-4.008, abs=5e-4)


def test_without_spread_no_step_is_best_and_with_little_noise_almost_the_whole():
    assert ch04.shrinkage(0.5, 3, 0.0, 0.1).best == 0
    assert ch04.shrinkage(0.5, 20, 2.0, 0.1).best > 0.999


# ---------------------------------------------------------------- pictures


def test_the_guess_is_drawn_and_said():
    bare, words = ch04.reveal(None)
    guessed, more = ch04.reveal(1.5)
    assert "1.5" in more and "guess" not in words
    assert image(bare).tobytes() != image(guessed).tobytes()


def test_the_figure_of_the_rules_marks_where_fomaml_climbs():
    words = ch04.rules_figure()[1]
    assert f"{5 / 17:.2f}" in words


def test_the_picture_in_words_says_when_steps_lead_away():
    for inner_lr, said in ((0.4, False), (0.6, True)):
        words = ch04.microscope_words(ch04.look(1, 1.0, 1.0, inner_lr, 1))
        assert ("lead away" in words) is said
