"""Chapter 03's computations by independent means: quadratic tasks, the lab, its pictures."""

import math

import numpy as np
import pytest
import torch

from mlcourse.evaluation import Estimate
from mlcourse.labs import ch03
from mlcourse.pictures import figure, image
from mlcourse.tasks import Points, quadratics

FAMILIES = [(1, 1), (2, 1), (5, 3), (40, 4)]  # tasks, parameters


def family(n_tasks: int, d: int) -> quadratics.Quadratics:
    g = torch.Generator().manual_seed(10 * n_tasks + d)
    root = torch.randn(n_tasks, d, d, generator=g, dtype=torch.float64)
    eye = torch.eye(d, dtype=torch.float64)
    optimum = torch.randn(n_tasks, d, generator=g, dtype=torch.float64)
    return quadratics.Quadratics(root @ root.mT / d + 0.2 * eye, optimum)


def by_autograd(params, tasks, inner_lr, steps):
    """The mean loss after the steps, by a loop over tasks and autograd; differentiable."""
    total = 0.0
    for curvature, optimum in zip(*tasks):

        def loss(p, curvature=curvature, optimum=optimum):
            return 0.5 * (p - optimum) @ curvature @ (p - optimum)

        adapted = params
        for _ in range(steps):
            (gradient,) = torch.autograd.grad(loss(adapted), adapted, create_graph=True)
            adapted = adapted - inner_lr * gradient
        total = total + loss(adapted)
    return total / len(tasks.optimum)


@pytest.mark.parametrize("n_tasks, d", FAMILIES)
@pytest.mark.parametrize("inner_lr, steps", [(0.0, 1), (0.1, 1), (0.1, 5), (0.3, 0), (0.7, 2)])
def test_closed_form_and_autograd_agree(n_tasks, d, inner_lr, steps):
    tasks = family(n_tasks, d)
    params = torch.linspace(-1, 2, d, dtype=torch.float64).requires_grad_()
    found = quadratics.losses(quadratics.adapt(params, tasks, inner_lr, steps), tasks).mean()
    loop = by_autograd(params, tasks, inner_lr, steps)
    assert found.item() == pytest.approx(loop.item(), rel=1e-10)
    one, other = (torch.autograd.grad(value, params)[0] for value in (found, loop))
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-10)
    weights = quadratics.weights(tasks, inner_lr, steps)
    away = (params - tasks.optimum).unsqueeze(-1)
    assert torch.allclose((weights @ away).mean(0).squeeze(-1), one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("n_tasks, d", FAMILIES)
@pytest.mark.parametrize("inner_lr, steps", [(0.0, 0), (0.1, 1), (0.1, 5), (0.7, 2)])
def test_the_best_start_is_the_smallest_loss(n_tasks, d, inner_lr, steps):
    tasks = family(n_tasks, d)
    best = quadratics.best_start(tasks, inner_lr, steps).requires_grad_()
    loss = by_autograd(best, tasks, inner_lr, steps)
    scale = quadratics.weights(tasks, inner_lr, steps).abs().mean()
    assert torch.autograd.grad(loss, best)[0].norm() < 1e-9 * max(1, scale)
    g = torch.Generator().manual_seed(0)
    for size in (1e-2, 1.0):
        other = best.detach() + size * torch.randn(d, generator=g, dtype=torch.float64)
        assert by_autograd(other.requires_grad_(), tasks, inner_lr, steps) > loss


def test_the_numbers_of_the_two_tasks():
    tasks = quadratics.scalar_tasks([1, 4], [0, 1])
    found = {0.05: 0.739, 0.1: 0.640, 0.2: 0.200, 0.25: 0.0, 0.3: 0.246, 0.4: 0.8, 0.5: 0.941}
    assert quadratics.best_start(tasks).item() == pytest.approx(0.8)
    grid = np.linspace(-1, 2, 30_001)
    for inner_lr, best in found.items():
        loss = 0
        for a, c in ((1, 0), (4, 1)):
            adapted = grid - inner_lr * a * (grid - c)
            loss = loss + 0.5 * a * (adapted - c) ** 2
        assert grid[loss.argmin()] == pytest.approx(best, abs=6e-4)
        assert quadratics.best_start(tasks, inner_lr, 1).item() == pytest.approx(best, abs=6e-4)


def test_several_learning_rates_at_once():
    tasks, rates = family(5, 3), torch.tensor([0.0, 0.1, 0.4], dtype=torch.float64)
    together = quadratics.best_start(tasks, rates.view(3, 1, 1, 1), 2)
    one_by_one = [quadratics.best_start(tasks, rate, 2) for rate in rates.tolist()]
    assert torch.allclose(together, torch.stack(one_by_one), atol=1e-12)


def test_equal_curvature_leaves_the_mean():
    tasks = family(5, 3)
    tasks = tasks._replace(curvature=tasks.curvature[:1].expand(5, 3, 3))
    for steps in (0, 1, 7):
        best = quadratics.best_start(tasks, 0.1, steps)
        assert torch.allclose(best, tasks.optimum.mean(0), atol=1e-9)


def test_no_start_is_best_where_every_task_is_solved_from_anywhere():
    with pytest.raises(torch.linalg.LinAlgError):
        quadratics.best_start(quadratics.scalar_tasks([4, 4], [0, 1]), 0.25, 1)


# ---------------------------------------------------------------- the lab


@pytest.mark.parametrize(
    "inner_lr, steps, curvature, optimum",
    [(0.1, 1, 4.0, 1.0), (0.25, 1, 4.0, 1.0), (0.8, 20, 8.0, 2.0), (0.3, 3, 0.5, 0.4)],
)
def test_the_landscape_is_what_loops_find(inner_lr, steps, curvature, optimum):
    data = ch03.landscape(inner_lr, steps, curvature, optimum)
    mean, after = np.zeros(len(ch03.THETA)), np.zeros(len(ch03.THETA))
    ends = []
    for i, (a, c) in enumerate(((1.0, 0.0), (curvature, optimum))):
        theta, end = ch03.THETA.numpy().copy(), data.best
        assert np.allclose(data.task_losses[:, i], 0.5 * a * (theta - c) ** 2)
        mean += 0.25 * a * (theta - c) ** 2
        for _ in range(steps):
            theta, end = theta - inner_lr * a * (theta - c), end - inner_lr * a * (end - c)
        after += 0.25 * a * (theta - c) ** 2
        ends.append(end)
    assert np.allclose(data.mean, mean) and np.allclose(data.after, after, rtol=1e-8)
    assert np.allclose(data.adapted, ends, rtol=1e-8, atol=1e-10)
    near = ch03.INNER_LRS.sub(inner_lr).abs().argmin()
    assert data.best_of[near].item() == pytest.approx(data.best, abs=1e-6)
    assert data.limit == 2 / max(1, curvature)


def test_a_parabola_at_another_place():
    curve = 2 * (ch03.THETA - 0.3) ** 2 - 1
    for at in (-2.0, 0.0, 0.123, 4.0):
        assert ch03.height(curve, at) == pytest.approx(2 * (at - 0.3) ** 2 - 1)


@pytest.mark.parametrize("inner_lr, steps", [(0.1, 1), (0.3, 0), (0.45, 20), (0.5, 20), (0.8, 20)])
@pytest.mark.parametrize("optimum", [0.0, 0.5, 2.0])
def test_the_dots_lie_on_their_curves(inner_lr, steps, optimum):
    """Also where twenty bold steps multiply the losses by 10³⁰."""
    axes = figure().subplots()
    data = ch03.landscape(inner_lr, steps, 8.0, optimum)
    ch03.loss_scene(axes)(data)
    lows = [float(line.get_ydata()[0]) for line in axes.lines if line.get_markersize() == 9]
    for low, k in zip(lows, (0, steps), strict=True):
        one, two = (a * (1 - inner_lr * a) ** (2 * k) for a in (1.0, 8.0))
        assert low == pytest.approx(optimum**2 * one * two / (one + two) / 4, abs=1e-3)


def test_the_lab_marks_where_steps_lead_away():
    lab = ch03.landscape_lab()
    for inner_lr, steps, said in ((0.4, 1, False), (0.6, 1, True), (0.6, 0, False)):
        result = lab.compute({**lab.defaults, "inner_lr": inner_lr, "steps": steps})
        assert ("lead away" in lab.canvas.draw(result)[1]) is said


# ---------------------------------------------------------------- the other pictures


def test_the_guess_is_drawn_and_said():
    bare, words = ch03.reveal(None)
    with_guess, more = ch03.reveal(0.3)
    assert "0.30" in more and "guess" not in words
    assert image(bare).tobytes() != image(with_guess).tobytes()


def test_the_interference_figure_says_its_numbers():
    measured = {1: Estimate(0.01, 0.01, 25), 2: Estimate(1.5, 0.5, 25)}
    fig, words = ch03.interference_figure(measured, 3.006)
    assert "1: 0.01 ± 0.01, 2: 1.50 ± 0.50" in words
    theory = fig.axes[0].lines[0]
    x, y = theory.get_data()
    assert np.allclose(y, 3.006 * (1 - 1 / np.asarray(x)))


def test_the_figure_of_the_starts_says_the_errors():
    x = torch.linspace(-5, 5, 20, dtype=torch.float64)
    truth = torch.sin(x)
    wave = x, truth, Points(x[:3, None], truth[:3, None])
    curves = {"a": (truth, truth + 2), "b": (truth, truth)}
    assert ch03.starts_figure(wave, curves)[1].endswith("a: 4.0; b: 0.0.")


def test_the_families_are_three_and_each_is_drawn():
    fig, words = ch03.families_figure()
    drawn = {text.get_text() for text in fig.axes[0].texts}
    for name, parts in ch03.FAMILIES.items():
        assert {name, *parts} <= drawn and f"{name}: {parts[1]}" in words
    assert len(ch03.FAMILIES) == 3


# ---------------------------------------------------------------- what the chapter says by hand


def test_the_error_of_the_mean_wave_by_drawing_waves():
    """3.006 and −(5.1/π) cos x, by chance and not by integrals."""
    rng = np.random.default_rng(0)
    amplitude, phase = rng.uniform(0.1, 5, 400_000), rng.uniform(0, math.pi, 400_000)
    x = rng.uniform(-5, 5, 400_000)
    error = (amplitude * np.sin(x - phase) + 5.1 / math.pi * np.cos(x)) ** 2
    assert error.mean() == pytest.approx(3.006, abs=4 * error.std() / 400_000**0.5 + 5e-4)
