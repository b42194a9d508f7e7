"""Chapter 09 by independent means: sets by loops, ridge by numpy, recorded runs anew, labs."""

import math

import numpy as np
import pytest
import torch

from mlcourse.labs import ch09
from mlcourse.learners import maml, networks, protonet, sine_runs
from mlcourse.learners import sine_features as record
from mlcourse.learners import wave_recognition as waves
from mlcourse.learners.closed_form import ridge, ridge_map
from mlcourse.pictures import image
from mlcourse.tasks import Episode, Points, SineTasks

D = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- which wave?


def test_an_episode_holds_points_of_one_wave_a_class():
    """Without noise each class is one wave: sin and cos fit all its points, and no other's."""
    support, query = waves.sample(3, seeded(0), k_shot=2, n_query=3, n_points=4, noise=0.0)
    assert support.x.shape == (3, 10, 4, 2) and query.x.shape == (3, 15, 4, 2)
    assert support.x.dtype == D and support.y.dtype == torch.int64
    for task in range(3):
        fits = []
        for k in range(5):
            x, y = support.x[task][support.y[task] == k].flatten(0, 1).numpy().T
            basis = np.stack([np.sin(x), np.cos(x)], 1)
            fit, *_ = np.linalg.lstsq(basis, y, rcond=None)
            assert np.allclose(basis @ fit, y, atol=1e-9)
            fits.append(fit)
        for points, k in zip(query.x[task].numpy(), query.y[task]):
            off = [np.abs(np.sin(points[:, 0]) * a + np.cos(points[:, 0]) * b - points[:, 1]).max()
                   for a, b in fits]  # fmt: skip
            assert int(np.argmin(off)) == int(k) and off[int(k)] < 1e-9


def test_noise_is_what_it_says_and_bad_numbers_are_told():
    quiet, loud = (waves.sample(50, seeded(1), noise=s).support.x for s in (0.0, 0.7))
    assert torch.equal(quiet[..., 0], loud[..., 0])
    assert float((loud - quiet)[..., 1].std()) == pytest.approx(0.7, rel=0.03)
    with pytest.raises(ValueError, match="at least one"):
        waves.sample(1, seeded(0), n_points=0)


def test_the_embedding_by_a_loop_over_points():
    net, sets = waves.start(3), torch.randn(2, 6, 2, generator=seeded(2), dtype=D)
    for points, found in zip(sets, net(sets)):
        mean = sum(net.point(point) for point in points) / 6
        assert torch.allclose(net.whole(mean), found, atol=1e-12)


def test_the_yardstick_is_least_squares_class_by_class():
    support, query = waves.sample(2, seeded(3), k_shot=3, n_query=2, n_points=4)
    found = waves.by_formula(support, query)
    for task in range(2):
        for k in range(5):
            x, y = support.x[task][support.y[task] == k].flatten(0, 1).numpy().T
            fit, *_ = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], 1), y, rcond=None)
            for q, points in enumerate(query.x[task].numpy()):
                wave = np.sin(points[:, 0]) * fit[0] + np.cos(points[:, 0]) * fit[1]
                off = ((wave - points[:, 1]) ** 2).sum()
                assert float(found[task, q, k]) == pytest.approx(-off, rel=1e-5, abs=1e-7)


def test_points_in_order_do_not_mind_the_order():
    sets = torch.randn(3, 5, 2, generator=seeded(4), dtype=D)
    order = torch.randperm(5, generator=seeded(5))
    assert torch.equal(waves.in_order(sets), waves.in_order(sets[:, order]))
    row = waves.in_order(sets)[0].view(5, 2)
    assert bool((row[1:, 0] >= row[:-1, 0]).all())


def test_accuracies_and_prototypes_by_hand():
    support, query = waves.sample(4, seeded(6), k_shot=2, n_query=2)
    z, z_query = (v.x.flatten(2) for v in (support, query))
    scores = waves.by_prototypes(Points(z, support.y), Points(z_query, query.y))
    right = []
    for task in range(4):
        c = torch.stack([z[task][support.y[task] == k].mean(0) for k in range(5)])
        said = torch.cdist(z_query[task], c).argmin(1)
        right.append(float((said == query.y[task]).double().mean()))
    assert waves.accuracies(scores, query).tolist() == pytest.approx(right)


def test_a_run_of_recognition_learns_and_the_recorded_one_has_learned():
    work = waves.training()
    net = waves.start()
    support, query = waves.sample(waves.META_BATCH, seeded(1000))  # its first episodes
    both = (Points(net(part.x), part.y) for part in (support, query))
    right = protonet.loss(*both, waves.N_WAY).item()
    assert work.step(0.0) == pytest.approx(right, rel=1e-9)
    test = waves.sample(100, seeded(8))
    made = [net, waves.recorded()]
    found = []
    for embed in made:
        both = (Points(embed(part.x), part.y) for part in test)
        found.append(float(waves.accuracies(waves.by_prototypes(*both), test.query).mean()))
    assert found[0] < 0.55 and found[1] > 0.75


# ---------------------------------------------------------------- features under a head


@pytest.mark.parametrize("points, d, penalty", [(2, 5, 0.1), (7, 3, 0.5), (4, 4, 1e-3)])
def test_the_head_is_ridge_regression(points, d, penalty):
    """By numpy's least squares with d rows more, and by a vanishing gradient."""
    z = torch.randn(3, points, d, generator=seeded(d), dtype=D)
    y = torch.randn(3, points, 1, generator=seeded(d + 1), dtype=D)
    w = ridge_map(z, y, penalty)
    for task in range(3):
        rows = np.concatenate([z[task].numpy(), math.sqrt(penalty) * np.eye(d)])
        aims = np.concatenate([y[task].numpy(), np.zeros((d, 1))])
        right, *_ = np.linalg.lstsq(rows, aims, rcond=None)
        assert np.allclose(w[task].numpy(), right, atol=1e-8)
    slope = z.mT @ (z @ w - y) + penalty * w
    assert float(slope.abs().max()) < 1e-10


def test_the_packages_ridge_is_the_head_on_centred_points():
    z, y = (torch.randn(6, n, generator=seeded(n), dtype=D) for n in (4, 1))
    w, _ = ridge(z, y, 0.3)
    assert torch.allclose(w, ridge_map(z - z.mean(0), y - y.mean(0), 0.3), atol=1e-12)


def test_losses_by_a_loop_over_tasks_and_their_gradient_by_differences():
    params, episodes = record.start(5, 2), SineTasks().sample(3, 4, 6, seeded(9))
    found = record.losses(params, episodes, 0.05)
    for i in range(3):
        support, query = (Points(*(v[i] for v in side)) for side in episodes)
        z, z_query = (record.features(params, p.x) for p in (support, query))
        w = torch.linalg.solve(z.T @ z + 0.05 * torch.eye(5, dtype=D), z.T @ support.y)
        assert float(found[i]) == pytest.approx(float((z_query @ w - query.y).square().mean()))
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    slopes = torch.autograd.grad(record.losses(leaves, episodes, 0.05).sum(), [*leaves.values()])
    for (name, p), slope in zip(params.items(), slopes):
        way, h = torch.randn(p.shape, generator=seeded(1), dtype=D), 1e-6
        up, down = (
            record.losses(params | {name: p + s * way}, episodes, 0.05).sum() for s in (h, -h)
        )
        assert float((up - down) / (2 * h)) == pytest.approx(float((slope * way).sum()), rel=1e-5)


def test_the_relu_body_is_that_of_mamls_network_without_its_head():
    params = sine_runs.start(4)
    torch.manual_seed(4)
    body = networks.mlp()[:-1]
    x = torch.randn(7, 1, generator=seeded(0), dtype=D)
    assert torch.allclose(record.features(record.start(40, 4), x, torch.relu), body(x), atol=1e-12)
    assert torch.equal(record.start(3, 4)["2.weight"], params["2.weight"][:3])


def test_tanh_errors_are_those_of_a_module():
    net = torch.nn.Sequential(
        *(torch.nn.Linear(1, 40), torch.nn.Tanh(), torch.nn.Linear(40, 40), torch.nn.Tanh()),
        torch.nn.Linear(40, 1),
    ).double()
    params, points = networks.parameters(net), SineTasks().sample(3, 4, 5, seeded(2)).query
    right = [(net(x) - y).square().mean().item() for x, y in zip(*points)]
    assert record.tanh_errors(params, points).tolist() == pytest.approx(right)
    episodes = SineTasks().sample(3, 4, 5, seeded(2))
    found = record.rule_losses("MAML, tanh", params, episodes)
    for i in range(3):
        support, query = (Points(*(v[i] for v in side)) for side in episodes)
        loss = networks.task_loss(net, torch.nn.functional.mse_loss)
        end = maml.adapt(loss, params, support, sine_runs.INNER_LR)
        assert float(found[i]) == pytest.approx(float(loss(end, query)), rel=1e-9)


@pytest.mark.parametrize("rule, seed", [*zip(record.RULES, record.SEEDS)])
def test_the_first_steps_of_a_recorded_rule_made_anew(rule, seed):
    work = record.training(rule, seed)
    losses = [work.step(i / record.STEPS) for i in range(record.FIRST)]
    params, first = record.trained(rule, seed)
    assert losses == pytest.approx(first.tolist(), rel=1e-6)
    new = sine_runs.new_tasks(100, 5, seed=31)
    assert float(record.rule_losses(rule, params, new).mean()) < (1.2 if "MAML" in rule else 0.2)


def test_recorded_checkpoints_begin_at_the_start_and_agree_with_a_run():
    for size in record.SIZES:
        params = record.recorded(size, 0)
        for name, p in record.start(size).items():
            assert torch.allclose(params[name], p, atol=1e-6)
    checkpoints = record.run(n_features=3)
    next(checkpoints)
    again, kept = next(checkpoints), record.recorded(3, 30)
    assert len(again.losses) == 30
    for name, p in again.params.items():
        assert torch.allclose(kept[name], p, atol=1e-4), name


def test_the_recorded_medians_of_maml_made_anew():
    found = record.maml_medians(0.0, 1.0)
    assert torch.allclose(found, record.recorded_maml(0.0, 1.0), rtol=1e-4)
    assert record.recorded_maml(1.0, 2.0).shape == (len(record.SHOTS),)


def test_the_judged_waves_and_medians_by_a_loop():
    support, query = record.judged(0.3, 1.25)
    quiet = record.judged(0.0, 1.25).support
    assert torch.equal(support.x, quiet.x)
    assert float((support.y - quiet.y).std()) == pytest.approx(0.3, rel=0.1)
    x, y = query.x[5, :, 0].numpy(), query.y[5, :, 0].numpy()
    basis = np.stack([np.sin(1.25 * x), np.cos(1.25 * x)], 1)
    fit, *_ = np.linalg.lstsq(basis, y, rcond=None)
    assert np.allclose(basis @ fit, y, atol=1e-9)
    params = record.recorded(10, 300)
    few = Episode(Points(support.x[:, :3], support.y[:, :3]), query)
    right = record.losses(params, few, 0.1).median()
    assert float(record.medians(params, 0.1, 0.3, 1.25)[2]) == pytest.approx(float(right))


# ---------------------------------------------------------------- labs and pictures


def test_more_shots_points_and_noise_keep_what_there_was():
    small, large = (ch09.deal(2, 3, k, m, 0.3) for k, m in ((2, 3), (6, 8)))
    few = large.support.x.unflatten(1, (5, 6))[:, :, :2, :3].flatten(1, 2)
    assert torch.equal(small.support.x, few)
    assert torch.equal(small.query.x, large.query.x[:, :, :3])
    loud = ch09.deal(2, 3, 2, 3, 1.0)
    assert torch.equal(small.support.x[..., 0], loud.support.x[..., 0])


def test_the_recognition_lab_shows_its_own_episode():
    """The waves drawn are those of the points, and the answer is the question's wave."""
    for episode in range(1, 21):
        data = ch09.recognised(waves.recorded(), 3, 6, 0.0, episode)
        for points, truth in zip(data.support, data.truth):
            near = torch.stack([truth[((ch09.CURVE - x).abs()).argmin()] for x in points[:, 0]])
            assert float((near - points[:, 1]).abs().max()) < 0.3
        x, y = data.question.T
        wave = data.truth[data.answer]
        near = torch.stack([wave[((ch09.CURVE - at).abs()).argmin()] for at in x])
        assert float((near - y).abs().max()) < 0.3
    answers = {ch09.recognised(waves.in_order, 1, 1, 0.0, e).answer for e in range(1, 21)}
    assert len(answers) == 5


def test_the_span_is_one_for_sin_and_cos_and_zero_for_a_constant():
    """Features that are small sines: tanh is nearly linear there, so sin and cos come first."""
    _, share = ch09.in_span(record.recorded(40, 2000))
    z = record.features(record.recorded(40, 2000), record.GRID[:, None]).numpy()
    grid = record.GRID.numpy()
    basis = np.stack([np.sin(grid), np.cos(grid)], 1)
    fit, *_ = np.linalg.lstsq(basis, z, rcond=None)
    assert share == pytest.approx(((basis @ fit) ** 2).sum() / (z**2).sum(), rel=1e-9)
    flat = {n: torch.zeros_like(p) for n, p in record.start(3).items()}
    flat["2.bias"] = torch.ones(3, dtype=D)
    constant = np.ones((101, 1))
    fit, *_ = np.linalg.lstsq(basis, constant, rcond=None)
    assert ch09.in_span(flat)[1] == pytest.approx(((basis @ fit) ** 2).sum() / 101, rel=1e-6)


def test_the_explorer_shows_what_ridge_says():
    params = record.recorded(40, 1000)
    data = ch09.explored(params, 4, 0.1, 0.3, 0.8)
    z = record.features(params, data.support[0][:, None]).numpy()
    grid = record.features(params, ch09.CURVE[:, None]).numpy()
    y = data.support[1].numpy()
    w = np.linalg.solve(z.T @ z + 0.1 * np.eye(40), z.T @ y)
    assert np.allclose(grid @ w, data.curve.numpy(), atol=1e-8)
    assert data.k_shot == 4 and data.n_features == 40
    assert np.allclose(data.truth, 3 * np.sin(0.8 * ch09.CURVE.numpy() - 1))


def test_a_live_run_begins_as_the_recorded_one():
    lab = ch09.explorer_lab()
    live = lab.live(**{**lab.defaults, "n_features": 5})
    for when, data in zip(record.CHECKPOINTS[:2], live):
        kept = lab.compute({**lab.defaults, "n_features": 5, "when": when})
        assert torch.allclose(data.losses, kept.losses, rtol=1e-2)


def test_the_figures_say_what_they_show():
    picture, words = ch09.opening_figure()
    assert "25 noisy points" in words and "of wave B" in words and image(picture).width > 500
    found = {"ProtoNet": ch09.estimate([0.7, 0.9]), "raw": ch09.estimate([0.2, 0.4])}
    plain, words = ch09.contenders_figure(found)
    guessed, _ = ch09.contenders_figure(found, 40)
    assert "ProtoNet 80 %" in words and image(plain).tobytes() != image(guessed).tobytes()
    nets = {"untrained": record.start(), "trained": record.recorded(40, 2000)}
    assert "untrained: 3 %" in ch09.features_figure(nets)[1]
    rows = [torch.rand(50, generator=seeded(1), dtype=D) for _ in range(3)]
    lost = [rows[0], rows[1], torch.cat([rows[2], torch.tensor([torch.inf])])]
    _, words = ch09.methods_figure({"MAML, ten steps": lost, "features": rows})
    assert "MAML, ten steps: " in words and "over 1000" in words
