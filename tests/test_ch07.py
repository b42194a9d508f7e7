"""The labs of chapter 07 against slow loops, drawn tasks and closed forms."""

import math

import numpy as np
import pytest
import torch

from mlcourse.evaluation import estimate
from mlcourse.labs import ch07
from mlcourse.learners import protonet
from mlcourse.pictures import COLOR, Canvas, image

D = torch.float64
START = {"spread": 0.6, "k_shot": 5, "x": 0.7, "y": 2.3, "distance": "squared", "temperature": 1}

# ---------------------------------------------------------------- the plane


def plane(**changes) -> ch07.Plane:
    return ch07.plane(**{**START, **changes})


@pytest.mark.parametrize("distance", protonet.DISTANCES)
@pytest.mark.parametrize("temperature", [0.1, 3])
def test_every_place_has_the_probabilities_of_the_learner(distance, temperature):
    data = plane(distance=distance, temperature=temperature, k_shot=3)
    for row, column in ((0, 0), (60, 83), (120, 13), (31, 160)):
        x = np.linspace(*ch07.WIDE, ch07.COLUMNS)[column]
        y = np.linspace(*ch07.HIGH, ch07.ROWS)[row]
        here = torch.tensor([[x, y]], dtype=D)
        how = protonet.DISTANCES[distance]
        said = protonet.log_probabilities(here, data.prototypes, how, temperature).exp()
        assert torch.allclose(data.likely[row, column], said[0], atol=1e-6)
    said = protonet.log_probabilities(ch07.QUERY, data.prototypes, how, temperature).exp()
    assert torch.allclose(data.query, said[0], atol=1e-6)


def test_the_prototypes_are_the_means_of_what_is_drawn():
    data = plane(x=-3.3, y=1.1, k_shot=4)
    assert data.support[2, 0].tolist() == pytest.approx([-3.3, 1.1])
    assert np.allclose(data.prototypes.numpy(), data.support.numpy().mean(1))
    more = plane(x=-3.3, y=1.1, k_shot=7)
    assert torch.equal(more.support[:, :4], data.support)  # the points there are stay


def test_without_spread_the_points_stand_at_the_centres():
    data = plane(spread=0.0, k_shot=10)
    assert torch.equal(data.prototypes[:2], ch07.CENTRES[:2])


def test_the_linear_classifier_owns_the_regions_of_both_euclids_and_of_no_other():
    for distance, same in (("squared", True), ("unsquared", True), ("city block", False)):
        assert ch07.same_regions(plane(distance=distance)) is same
    assert not ch07.same_regions(plane(distance="cosine"))


def test_the_lines_are_equally_far_from_two_prototypes():
    c = plane().prototypes
    w, b = protonet.linear_classifier(c)
    x, y = ch07.edge(w[0] - w[1], float(b[0] - b[1]))
    for place in zip(x, y):
        near, far = (torch.tensor(place, dtype=D) - c[:2]).norm(dim=1)
        assert near == pytest.approx(float(far))
    assert ch07.edge(torch.zeros(2).double(), 1.0) == ([], [])


def test_a_place_is_drawn_in_the_colour_of_its_class():
    canvas = Canvas(ch07.plane_scene, (8.8, 4.0))
    picture = np.asarray(canvas.draw(plane(spread=0.0))[0]).astype(int)
    axes = canvas.fig.axes[0]
    for centre, (_, colour) in zip(ch07.CENTRES, ch07.CLASSES.values()):
        x, y = axes.transData.transform((centre + torch.tensor([-0.6, 0.0])).tolist())
        seen = picture[picture.shape[0] - int(y), int(x)]
        ink = np.array([int(COLOR[colour][i : i + 2], 16) for i in (1, 3, 5)])
        full = 255 - ch07.Regions.fades[-1] * (255 - ink)
        assert np.abs(seen - full).max() <= 25, colour


# ---------------------------------------------------------------- what a shot buys

SETTINGS = [(2, 3.0, 1, 1), (2, 1.0, 2, 5), (8, 2.0, 3, 3), (64, 4.0, 1, 20), (64, 4.0, 20, 1)]
SETTINGS += [(128, 6.0, 2, 7), (16, 3.0, 20, 4)]


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("d, gap, own, other", SETTINGS)
def test_the_exact_error_by_drawing_every_point(d, gap, own, other, corrected):
    rng, n = np.random.default_rng(d + own), 8000
    centre = np.zeros(d)
    centre[0] = gap
    first = sum(rng.normal(size=(n, d)) for _ in range(own)) / own
    second = centre + sum(rng.normal(size=(n, d)) for _ in range(other)) / other
    query = rng.normal(size=(n, d))
    near, far = (((query - c) ** 2).sum(1) for c in (first, second))
    if corrected:
        near, far = near - d / own, far - d / other
    right = (near > far).mean()
    exact = float(ch07.error(d, gap, own, other, corrected))
    assert exact == pytest.approx(right, abs=4 * (right * (1 - right) / n) ** 0.5 + 1e-3)


def test_the_exact_error_of_many_shots_at_once():
    k, other = torch.tensor([1, 5, 20]), torch.tensor([3, 5, 1])
    together = ch07.error(8, 2.0, k, other, True)
    single = [float(ch07.error(8, 2.0, int(a), int(b), True)) for a, b in zip(k, other)]
    assert together.tolist() == pytest.approx(single)


def test_a_point_on_which_both_prototypes_fall_is_no_trouble():
    found = [ch07.error(2, gap, k, k) for gap in (0.5, 1.0, 3.0) for k in range(1, 30)]
    assert torch.stack(found).isfinite().all()


def test_the_grid_of_the_quadrature_is_fine_enough(monkeypatch):
    settings = [(2, 3.0, 1, 1), (2, 1.0, 1, 1), (64, 3.0, 5, 5), (128, 6.0, 1, 20)]
    coarse = [float(ch07.error(*setting)) for setting in settings]
    monkeypatch.setattr(ch07, "NODES", 800)
    monkeypatch.setattr(ch07, "RADII", 1600)
    ch07.radius.cache_clear()
    fine = [float(ch07.error(*setting)) for setting in settings]
    ch07.radius.cache_clear()
    assert coarse == pytest.approx(fine, abs=2e-4)
    assert coarse[2:] == pytest.approx(fine[2:], abs=1e-7)


def test_with_many_shots_only_the_overlap_of_the_clouds_is_left():
    for d, gap in ((2, 1.0), (64, 3.0)):
        assert float(ch07.error(d, gap, 10**6, 10**6)) == pytest.approx(ch07.bayes(gap), abs=1e-4)
    assert ch07.bayes(3.0) == pytest.approx(0.0668072)


@pytest.mark.parametrize("d, gap", [(2, 3.0), (8, 2.0), (64, 4.0)])
def test_for_large_k_the_excess_is_the_closed_form_over_k(d, gap):
    density = math.exp(-(gap**2) / 8) / math.sqrt(2 * math.pi)
    limit = density * gap / 2 * (1 / 4 + (d - 1) / gap**2)
    excess = float(ch07.error(d, gap, 5000, 5000)) - ch07.bayes(gap)
    assert 5000 * excess == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize("corrected", [False, True])
def test_the_simulation_of_the_lab_by_whole_distances(corrected):
    d, gap, shots = 8, 2.0, torch.tensor([2.0, 7.0]).double()
    generator = torch.Generator().manual_seed(d)
    queries, means = torch.randn(2, ch07.TASKS, 2, d, generator=generator, dtype=D)
    centres = torch.zeros(2, d, dtype=D)
    centres[1, 0] = gap
    queries, c = queries + centres, centres + means / shots.sqrt()[:, None]
    squares = (queries[:, :, None] - c[:, None]).square().sum(-1) - corrected * d / shots
    wrong = squares.argmin(-1) != torch.arange(2)
    assert torch.equal(ch07.mistakes(d, gap, 2, 7, corrected), wrong)


def test_simulated_and_exact_errors_agree_over_all_k():
    for d in (2, 32, 128):
        curve, measured = ch07.equal_shots(d, 3.0)
        for k, found in zip(ch07.KS, measured):
            right = float(ch07.error(d, 3.0, k, k))
            assert abs(found.mean - right) < 2.2 * found.half_width
        assert curve == sorted(curve, reverse=True)


@pytest.mark.parametrize("i, j", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_parts_of_the_mean_squared_distances(i, j):
    data = ch07.shots(16, 3.0, 2, 9, False)
    g = torch.Generator().manual_seed(10 * i + j)
    prototype = torch.randn(20_000, data.shots[j], 16, generator=g, dtype=D).mean(1)
    query = torch.randn(20_000, 16, generator=g, dtype=D)
    query[:, 0] += 3.0 * (i != j)
    found = estimate((query - prototype).square().sum(1))
    assert abs(found.mean - sum(ch07.parts(data, i, j))) < 2 * found.half_width
    assert ch07.parts(data._replace(corrected=True), i, j)[1] == 0


def test_the_numbers_that_the_chapter_names():
    table = {2: (15.3, 10.6, 8.1, 7.4, 7.0, 6.8), 64: (37.8, 32.1, 23.5, 17.4, 12.9, 8.1)}
    for d, row in table.items():
        for k, percent in zip((1, 2, 5, 10, 20, 100), row):
            assert round(100 * float(ch07.error(d, 3.0, k, k)), 1) == percent
    assert round(100 * float(ch07.error(64, 4.0, 1, 20)), 1) == 98.6
    assert float(ch07.error(64, 4.0, 20, 1)) < 1e-3
    assert round(100 * float(ch07.error(64, 4.0, 1, 20, True)), 1) == 22.3
    assert round(100 * float(ch07.error(64, 4.0, 20, 1, True)), 1) == 24.9


def test_a_preset_is_kept_only_by_theory_and_simulation_together():
    good = ch07.shots(64, 4.0, 1, 20, False)
    assert ch07.near(good, 98.6, 0.0)
    assert not ch07.near(good, 98.0, 0.0)
    assert not ch07.near(good._replace(counted=(700, 0)), 98.6, 0.0)


# ---------------------------------------------------------------- pictures


def test_the_guess_is_said():
    own, foreign = torch.tensor([100.0, 120.0, 130.0, 90.0]), torch.tensor([80.0, 85.0, 90.0, 95.0])
    bare, words = ch07.reveal(own, foreign, None)
    assert "75 of 100" in words and "guess" not in words
    guessed, more = ch07.reveal(own, foreign, 30.0)
    assert "Your guess was 30." in more
    assert image(bare).tobytes() != image(guessed).tobytes()


def test_the_centres_are_said_where_they_are():
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 2.0]])
    words = ch07.centres_figure(points, {"mean": points.mean(0)})[1]
    assert "3 points" in words and "the mean at (2.00, 1.00)" in words


def test_the_excess_is_drawn_with_its_intervals():
    rows = {d: {k: estimate([0.1, 0.3, 0.2])} for d, k in ((2, 1), (64, 5))}
    assert image(ch07.excess_figure(rows, 3.0)[0]).size[0] > 500
