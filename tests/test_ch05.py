"""Chapter 05 by independent means: three forms of MAML, recorded runs made anew, labs by loops."""

import math
from itertools import islice
from weakref import WeakSet

import pytest
import torch
from torch.func import functional_call

from mlcourse.evaluation import bounded
from mlcourse.labs import ch05
from mlcourse.learners import maml, networks
from mlcourse.learners import sine_runs as record
from mlcourse.pictures import image, told
from mlcourse.tasks import Episode, Points, SineTasks

D = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mse(net):
    return networks.task_loss(net, torch.nn.functional.mse_loss)


def flat(params) -> torch.Tensor:
    return torch.cat([p.flatten() for p in params.values()])


def by_loop(net, params, episodes, steps, inner_lr=0.01):
    """Meta-loss and meta-gradient with plain autograd, a task at a time."""
    leaves, total = {n: p.clone().requires_grad_() for n, p in params.items()}, 0.0
    for x, y, query_x, query_y in zip(*episodes.support, *episodes.query):
        adapted = leaves
        for _ in range(steps):
            inner = (functional_call(net, adapted, (x,)) - y).square().mean()
            grads = torch.autograd.grad(inner, [*adapted.values()], create_graph=True)
            adapted = {n: p - inner_lr * g for (n, p), g in zip(adapted.items(), grads)}
        total = total + (functional_call(net, adapted, (query_x,)) - query_y).square().mean()
    total = total / len(episodes.query.x)
    return total, torch.cat([g.flatten() for g in torch.autograd.grad(total, [*leaves.values()])])


@pytest.mark.parametrize("steps", [1, 5])
def test_loop_equation_and_batch_are_one_meta_gradient(steps):
    torch.manual_seed(3)
    net = networks.mlp()
    params, episodes = networks.parameters(net), SineTasks().sample(6, 5, 10, seeded(0))
    value, wanted = by_loop(net, params, episodes, steps)
    assert torch.allclose(maml.meta_loss(mse(net), params, episodes, 0.01, steps), value)
    found = flat(maml.meta_gradient(mse(net), params, episodes, 0.01, steps))
    assert (found - wanted).abs().max() < 1e-12
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    rule = "five steps" if steps == 5 else "MAML"
    together = torch.autograd.grad(
        record.rule_loss(rule, leaves, episodes, 0.01), [*leaves.values()]
    )
    assert (torch.cat([g.flatten() for g in together]) - wanted).abs().max() < 1e-12


def test_the_walk_visits_what_adapt_reaches():
    params, tasks = record.start(), record.new_tasks(4, 5)
    for steps, at in enumerate(record.walk(params, tasks.support, 0.02, 4)):
        right = maml.adapt_together(
            networks.squared_errors, params, tasks.support, 0.02, steps, first_order=True
        )
        for name, p in at.items():
            assert torch.allclose(p, right[name], atol=1e-12), (steps, name)


def test_losses_along_by_a_loop_over_tasks():
    torch.manual_seed(0)
    net = networks.mlp()
    params, tasks = networks.parameters(net), record.new_tasks(3, 5)
    found = record.losses_along(params, tasks, 0.01)
    for i in range(3):
        support, query = (Points(*(v[i] for v in side)) for side in tasks)
        for row, steps in zip(found[:, i], record.AFTER):
            end = maml.adapt(mse(net), params, support, 0.01, steps)
            assert float(row) == pytest.approx(float(mse(net)(end, query)), rel=1e-9)


def test_what_is_lost_is_infinite_and_not_nan():
    found = record.losses_along(record.start(), record.new_tasks(5), 1e3)
    assert found[2:].isinf().any() and not found.isnan().any()
    statistics = record.judge(record.start(), record.new_tasks(5), 1e3).losses
    assert math.isinf(statistics[-1, -1]) and not statistics.isnan().any()


def test_reptiles_loss_has_reptiles_direction():
    params, episodes = record.start(), SineTasks().sample(4, 5, 10, seeded(1))
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    value = record.rule_loss("Reptile", leaves, episodes, record.INNER_LR)
    found = torch.cat([g.flatten() for g in torch.autograd.grad(value, [*leaves.values()])])
    torch.manual_seed(0)
    net, walks = networks.mlp(), []
    for i in range(4):
        x, y = (torch.cat([v[i] for v in pair]) for pair in zip(*episodes))
        end = maml.adapt(mse(net), params, Points(x, y), record.INNER_LR, 5)
        walks.append((flat(params) - flat(end)) / record.INNER_LR)
    assert torch.allclose(found, torch.stack(walks).mean(0), atol=1e-10)


def test_pretraining_and_same_data_are_what_they_say():
    torch.manual_seed(0)
    net, episodes = networks.mlp(), SineTasks().sample(4, 5, 10, seeded(2))
    params, loss = networks.parameters(net), mse(net)
    everything = Points(*(torch.cat(pair, 1).flatten(0, 1) for pair in zip(*episodes)))
    right = float(loss(params, everything))
    assert float(record.rule_loss("pretraining", params, episodes, 0.01)) == pytest.approx(right)
    twice = Episode(episodes.support, episodes.support)
    right = float(maml.meta_loss(loss, params, twice, 0.01))
    assert float(record.rule_loss("same data", params, episodes, 0.01)) == pytest.approx(right)


# ---------------------------------------------------------------- recordings


@pytest.mark.parametrize("alpha, beta, steps", [(0.01, 1e-3, 1), (0.003, 1e-2, 5), (0.1, 3e-2, 1)])
def test_a_recorded_training_made_anew(alpha, beta, steps):
    """Its first checkpoints; a hundred meta-steps leave the digits that they share."""
    place = tuple(
        values.index(v)
        for values, v in zip(
            (record.ALPHAS, record.BETAS, record.INNER_STEPS), (alpha, beta, steps)
        )
    )
    kept = record.Found(*(part[place] for part in record.recorded()))
    for i, found in enumerate(islice(record.run(alpha, beta, steps), 3)):
        drawn = ch05.scaled(found.losses), ch05.scaled(kept.losses[i])
        assert torch.allclose(*drawn, rtol=1e-3), (i, *drawn)
        assert torch.allclose(found.curves, kept.curves[i], rtol=1e-2, atol=1e-2)


def test_all_recorded_trainings_are_there():
    runs = record.recorded()
    grid = len(record.ALPHAS), len(record.BETAS), len(record.INNER_STEPS), len(record.CHECKPOINTS)
    assert runs.losses.shape == (*grid, len(record.AFTER), len(record.STATISTICS))
    assert runs.curves.shape == (*grid, 3, len(record.GRID))
    assert not runs.losses.isnan().any()
    low, median, high, _ = runs.losses.unbind(-1)
    assert bool((low <= median).all() and (median <= high).all())
    start = runs.losses[:, :, :, 0, 0]  # untrained and unadapted: the same everywhere
    assert torch.allclose(start, start[0, 0, 0].expand_as(start))


@pytest.mark.parametrize("rule", record.RULES)
def test_the_first_steps_of_a_recorded_rule_made_anew(rule):
    seed = record.RULES.index(rule) % len(record.SEEDS)
    work, steps = record.rule_training(rule, seed), record.steps_of(rule)
    losses = [work.step(i / steps) for i in range(record.FIRST)]
    assert losses == pytest.approx(record.trained(rule, seed).first.tolist(), rel=1e-6)


def test_recorded_networks_are_of_use_and_have_rates():
    tasks = record.new_tasks(200, 5, seed=77)
    for rule in set(record.RULES) - {"five steps"}:  # of which two broke down: the chapter says so
        learned = record.trained(rule, 1)
        losses = record.losses_along(learned.params, tasks, learned.inner_lrs)
        limit = 3.2 if rule == "pretraining" else 1.6
        assert float(losses[1].mean()) < limit, rule
        fixed = {rate for rate in learned.inner_lrs.values()}
        assert (len(fixed) == 1) == (rule != "learned α")


# ---------------------------------------------------------------- the labs


def test_the_lab_shows_what_a_loop_computes():
    torch.manual_seed(5)
    net = networks.mlp()
    params = networks.parameters(net)
    data = ch05.adapted({"MAML": params, "pretrained": record.start()}, 0.02, 4, 3, 1, 2.5, 7)
    support = Points(*(v[:, None] for v in data.support))
    assert bool((support.x >= 0).all()) and len(support.x) == 4
    end = maml.adapt(mse(net), params, support, 0.02, 3)
    curve = functional_call(net, end, (ch05.CURVE[:, None],))[:, 0]
    assert torch.allclose(data.curves["MAML"][1], curve, atol=1e-10)
    assert float(data.losses["MAML"][-1, 0]) == pytest.approx(
        float((curve - data.truth).square().mean())
    )
    assert float(data.truth.abs().max()) == pytest.approx(2.5, abs=0.02)


def test_more_shots_keep_the_points_there_were_and_sides_hold():
    few, more = (ch05.episodes(k, 0, 4.0, 3).support.x for k in (3, 9))
    assert torch.equal(few, more[:, :3])
    for side, low, high in ((-1, -5, 0), (0, -5, 5), (1, 0, 5)):
        x = ch05.episodes(20, side, 4.0, 3).support.x
        assert low <= float(x.min()) and float(x.max()) <= high


def test_no_step_and_no_rate_change_nothing():
    nets = {"MAML": record.start(), "pretrained": record.start(1)}
    still = ch05.adapted(nets, 0.01, 5, 0, 0, 4.0, 1)
    zero = ch05.adapted(nets, 0.0, 5, 4, 0, 4.0, 1)
    for name in nets:
        assert torch.equal(*still.curves[name]) and torch.equal(*zero.curves[name])
        assert zero.lost(name) == 0


def test_the_lab_of_trainings_reads_the_grid():
    runs = record.recorded()
    data = ch05.training(0.03, 3e-3, 5, 300)
    at = record.ALPHAS.index(0.03), record.BETAS.index(3e-3), 1, record.CHECKPOINTS.index(300)
    assert data.loss(10) == float(runs.losses[at][3, 1])
    assert data.loss(1, "mean") == float(runs.losses[at][1, 3])
    assert torch.equal(data.found.curves[data.at], runs.curves[at])
    assert float(ch05.median_of(data.betas, 10)[record.BETAS.index(3e-3)]) == data.loss(10)


def test_a_live_training_begins_as_the_recorded_one():
    lab = ch05.training_lab()
    first, second = islice(lab.live(**lab.defaults), 2)
    assert len(first.live) == 1 and len(second.live) == 2
    found, kept = (f.losses for f in second.live), second.found.losses
    for i, losses in enumerate(found):
        assert torch.allclose(losses, kept[i], rtol=1e-4)
    assert "Live so far" in lab.canvas.draw(second)[1]


def test_what_is_off_the_scale_stands_at_its_end():
    losses = torch.tensor([torch.inf, torch.nan, 1.0, 0.0])
    assert ch05.scaled(losses).tolist() == pytest.approx([ch05.TOP, ch05.TOP, 1.0, ch05.FLOOR])
    assert told(1e9) == "over 1000" and told(0.123) == "0.12"
    assert bounded(torch.tensor([1.0, torch.inf])) is None


# ---------------------------------------------------------------- memory, pictures


def held(steps: int, first_order: bool) -> int:
    """Bytes that the graph keeps, by hooks of this test's own."""
    alive = WeakSet()

    class Box:
        def __init__(self, tensor):
            self.tensor = tensor
            alive.add(self)

    episodes = SineTasks().sample(3, 5, 5, seeded(0))
    leaves = {n: p.clone().requires_grad_() for n, p in record.start().items()}
    with torch.autograd.graph.saved_tensors_hooks(Box, lambda box: box.tensor):
        adapted = maml.adapt_together(
            networks.squared_errors, leaves, episodes.support, 0.01, steps, first_order
        )
        value = networks.squared_errors(adapted, episodes.query).mean()
        stores = {b.tensor.untyped_storage().data_ptr(): b.tensor.untyped_storage() for b in alive}
    assert value.requires_grad
    return sum(store.nbytes() for store in stores.values())


def test_memory_is_linear_in_second_order_and_constant_in_first():
    second = [held(k, False) for k in (1, 2, 3, 4)]
    assert len({b - a for a, b in zip(second, second[1:])}) == 1 and second[1] > second[0]
    assert len({held(k, True) for k in (1, 2, 5)}) == 1


def test_the_figures_say_what_they_show():
    bare, words = ch05.opening_figure(ch05.recorded_starts())
    assert "MAML: from" in words and image(bare).width > 500
    rows = torch.rand(3, 50, dtype=D)
    rows[2, 0] = torch.inf
    losses = {(name, k): rows for name in ("MAML", "pretrained") for k in (5, 10)}
    plain, words = ch05.table_figure(losses)
    assert "over 1000" in words
    guessed, _ = ch05.table_figure(losses, 1.5)
    assert image(plain).tobytes() != image(guessed).tobytes()
