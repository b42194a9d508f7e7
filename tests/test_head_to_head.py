"""The contest: one evaluation function, every way to answer, the shifts, and what is on file."""

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from mlcourse.learners import head_to_head as contest
from mlcourse.learners import head_to_head_waves as waves
from mlcourse.learners import maml, maml_runs, networks, protonet_runs, reptile
from mlcourse.tasks import Episode, Points, load_characters
from mlcourse.tasks.omniglot import generated

SOME = 12  # tasks judged anew


@pytest.fixture(scope="module")
def pool():
    return generated(20).evaluation


@pytest.fixture(scope="module")
def omniglot():
    data = load_characters(contest.SIZE)
    if not data.real:
        pytest.skip("Omniglot is not here")
    return data


def few(pool, n_tasks=3, k_shot=2, n_way=5, n_query=4, seed=0):
    return pool.sample(n_tasks, k_shot, n_query, torch.Generator().manual_seed(seed), n_way)


# ---------------------------------------------------------------- one evaluation function


def test_a_method_sees_everything_but_the_labels_of_the_queries(pool):
    seen, tasks = [], few(pool)

    def spy(support, x):
        seen.append((support, x))
        return tasks.query.y

    assert contest.judge(spy, tasks).tolist() == [1, 1, 1]
    ((support, x),) = seen
    assert support is tasks.support and x is tasks.query.x


def test_pixels_are_a_loop_over_queries(pool):
    tasks = few(pool)
    for sx, sy, x, said in zip(
        *tasks.support, tasks.query.x, contest.pixels(*tasks[:1], tasks[1].x)
    ):
        for drawing, label in zip(x, said):
            gaps = torch.stack([(drawing - other).square().sum() for other in sx])
            assert label == sy[gaps.argmin()]


def test_chance_is_chance_and_the_same_each_time(pool):
    tasks = few(pool, n_tasks=400)
    right = contest.judge(contest.chance, tasks)
    assert abs(right.mean() - 0.2) < 0.03
    assert torch.equal(right, contest.judge(contest.chance, tasks))


@pytest.mark.parametrize("n_way", [5, 20])
@pytest.mark.parametrize("name", contest.METHODS)
def test_no_answer_depends_on_the_other_queries(name, n_way, pool, monkeypatch):
    monkeypatch.setattr(contest, "SCRATCH", (1e-2, 1))
    monkeypatch.setattr(contest, "TUNING", (1e-2, 1))
    if name == "chance":
        return  # its answers have no reason
    tasks = few(pool, 2, 1, n_way, 1)
    predict = contest.method(name, n_way)
    whole = predict(tasks.support, tasks.query.x)
    alone = predict(tasks.support, tasks.query.x[:, 1:2])
    assert whole.shape == (2, n_way) and whole.dtype == torch.int64
    assert torch.equal(whole[:, 1:2], alone)


@pytest.mark.parametrize("name", ["MAML", "ANIL", "ProtoMAML"])
def test_an_adapted_network_is_that_of_one_task_by_itself(name, pool):
    """Against a loop with autograd and batch norm written out."""
    learner, tasks = maml_runs.shipped(f"{name}/0"), few(pool, 2)
    said = contest.adapting(learner, 2)(tasks.support, tasks.query.x)
    for x, y, new, labels in zip(*tasks.support, tasks.query.x, said):
        params = learner.start(learner.params, Points(x, y)) if learner.start else learner.params
        params = {n: p.clone() for n, p in params.items()}
        for _ in range(2):
            leaves = {n: params[n].requires_grad_() for n in learner.inner_lr}
            loss = cross_entropy(functional_call(learner.net, params, (x,)), y)
            grads = torch.autograd.grad(loss, [*leaves.values()])
            params |= {
                n: (p - learner.inner_lr[n] * g).detach()
                for (n, p), g in zip(leaves.items(), grads)
            }
        assert torch.equal(known_statistics(params, x, new).argmax(-1), labels)


def known_statistics(params, x, new):
    """A conv-4 on new drawings, normalised by what a support set does in it."""
    for i in range(4):
        x, new = (torch.conv2d(z, params[f"{i}.0.weight"], padding=1) for z in (x, new))
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), False, keepdim=True)
        scale, offset = (params[f"{i}.1.{n}"][:, None, None] for n in ("weight", "bias"))
        x, new = ((z - mean) / (variance + 1e-5).sqrt() * scale + offset for z in (x, new))
        x, new = (torch.nn.functional.max_pool2d(z.relu(), 2) for z in (x, new))
    return new.flatten(1) @ params["5.weight"].T + params["5.bias"]


def test_statistics_are_the_first_points_only_while_asked(pool):
    net, x = networks.few_shot(), few(pool).query.x[0]
    before = net(x)
    with networks.normalised_by(net, 8):
        known = net(x)
        assert torch.allclose(net(x[:12]), known[:12], atol=1e-5)
        assert torch.allclose(
            known_statistics(networks.parameters(net), x[:8], x), known, atol=1e-4
        )
    assert not torch.allclose(known, before, atol=1e-3)
    assert torch.equal(net(x), before)
    with pytest.raises(RuntimeError, match="on purpose"), networks.normalised_by(net, 3):
        raise RuntimeError("on purpose")
    assert torch.equal(net(x), before)


def test_the_probe_is_least_squares_on_features_of_length_one(pool):
    net, tasks = protonet_runs.shipped("base"), few(pool, 1)
    said = contest.probe(net, 0.5)(tasks.support, tasks.query.x)[0]
    with torch.no_grad():
        f, new = (net(part.x[0]) for part in tasks)
    f, new = (z / z.norm(dim=1, keepdim=True) for z in (f, new))
    targets = torch.eye(5)[tasks.support.y[0]]
    stacked = torch.cat([f, 0.5**0.5 * torch.eye(f.shape[1])])
    w = torch.linalg.lstsq(stacked, torch.cat([targets, torch.zeros(f.shape[1], 5)])).solution
    assert torch.equal((new @ w).argmax(1), said)


def test_tuning_leaves_the_network_as_it_was(pool):
    net, tasks = protonet_runs.BASE.net().eval(), few(pool, 2)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    contest.tuned(net, 1e-2, 2)(tasks.support, tasks.query.x)
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())


# ---------------------------------------------------------------- Reptile on characters


def test_reptiles_objective_has_its_direction_as_gradient():
    torch.manual_seed(0)
    net, generator = networks.mlp(), torch.Generator().manual_seed(0)
    from mlcourse.tasks import SineTasks

    tasks = SineTasks().sample(3, 4, 2, generator)
    loss = networks.task_loss(net, torch.nn.functional.mse_loss)
    params = {n: p.requires_grad_() for n, p in networks.parameters(net).items()}
    value = reptile.objective(loss, params, tasks, 0.02, 3)
    found = torch.autograd.grad(value, [*params.values()])
    ends = []
    for i in range(3):
        x, y = (torch.cat([tasks.support[j][i], tasks.query[j][i]]) for j in (0, 1))
        ends.append(maml.adapt(loss, params, Points(x, y), 0.02, 3))
    for (name, p), g in zip(params.items(), found):
        gone = torch.stack([(p - end[name]) / 0.02 for end in ends]).mean(0)
        assert torch.allclose(g, gone, atol=1e-12)


def test_reptile_learns_all_tensors_and_moves(pool):
    run, learner, steps = contest.gradient_run("Reptile", pool, 0)
    assert steps == 1000 and learner.inner_lr.keys() == learner.params.keys()
    for progress in (0.1, 0.2):
        run.step(progress)
    after = maml_runs.taught(run, learner).params
    assert all(not torch.equal(after[n], p) for n, p in learner.params.items() if "bias" not in n)


# ---------------------------------------------------------------- equal budgets


def test_every_method_embeds_equally_many_drawings(pool):
    for n_way in (5, 20):
        for name in contest.GRADIENT:
            run, _, steps = contest.gradient_run(name, pool, 0, n_way)
            drawn = run.draw()
            each = sum(part.x.shape[0] * part.x.shape[1] for part in drawn)
            assert steps * each == contest.DRAWINGS, (name, n_way)
    for name in contest.METRIC:
        run, steps = contest.metric_run(name, pool, 0)
        assert abs(steps * run.recipe.images() / contest.DRAWINGS - 1) < 1.1e-3
    run, steps = contest.pretraining(pool, 0)
    assert abs(steps * len(run.draw()[0]) / contest.DRAWINGS - 1) < 1.1e-3


# ---------------------------------------------------------------- shifts


def test_a_quarter_turn_is_a_quarter_turn(pool):
    x = few(pool).query.x
    assert torch.allclose(contest.turned(x, 90.0), torch.rot90(x, 1, (3, 4)), atol=1e-4)
    assert torch.allclose(contest.turned(x, 0.0), x, atol=1e-5)
    assert torch.allclose(contest.turned(x, 360.0), x, atol=1e-4)


@pytest.mark.parametrize("shift", contest.SHIFTS)
def test_tasks_of_a_shift(shift, omniglot):
    tasks = contest.episodes(omniglot, shift)
    assert tasks.support.x.shape == (400, 50, 1, 20, 20) and tasks.query.x.shape[1] == 25
    assert tasks.query.x.min() >= 0 and tasks.query.x.max() <= 1 + 1e-5
    fewer = contest.episodes(omniglot, shift, n_tasks=7)
    assert torch.equal(fewer.query.x, tasks.query.x[:7])
    home = contest.episodes(omniglot)
    if shift in ("turned by 45°", "inverted"):
        assert torch.equal(home.support.y, tasks.support.y)
    if shift == "inverted":
        assert torch.allclose(1 - tasks.query.x, home.query.x)


def test_one_alphabet_is_one_and_known_alphabets_are_those_of_the_training(omniglot):
    def places(pool):
        looks = {}
        for a, drawings in zip(pool.alphabet, pool.images):
            looks |= {d.numpy().tobytes(): int(a) for d in drawings}
        return looks

    evaluation, background = places(omniglot.evaluation), places(omniglot.background)
    for shift, home, alphabets in (
        ("one alphabet", evaluation, 1),
        ("known alphabets", background, 2),
    ):
        x = contest.episodes(omniglot, shift, n_tasks=6).query.x.mul(255).round().byte()
        for task in x:
            met = {home[d.numpy().tobytes()] for d in task}
            assert len(met) == 1 if alphabets == 1 else len(met) >= 2


# ---------------------------------------------------------------- on file


@pytest.mark.parametrize("n_way, shift", contest.settings(0))
def test_every_method_is_on_file(n_way, shift):
    found = contest.recorded(n_way, shift)
    for name in contest.METHODS:
        shape = len(contest.shots_of(n_way, shift)), contest.tasks_of(name, n_way, shift)
        assert found[name].shape[1:] == shape, name
        assert ((found[name] >= 0) & (found[name] <= 1)).all()


def test_two_trainings_are_on_file_at_home():
    for name, right in contest.recorded().items():
        assert len(right) == (1 if name in (*contest.UNTRAINED, "Reptile") else 2), name


@pytest.mark.parametrize("name", [n for n in contest.METHODS if n not in contest.COSTLY])
@pytest.mark.parametrize("n_way, shift", [(5, contest.SHIFTS[0]), (20, contest.SHIFTS[0])])
def test_what_is_shipped_is_as_good_as_recorded(name, n_way, shift, omniglot):
    some = SOME if n_way == 5 else SOME // 4
    tasks = contest.episodes(omniglot, shift, n_way, some)
    right = contest.accuracies(contest.method(name, n_way), tasks, (1, 5))
    shots = contest.shots_of(n_way, shift)
    before = contest.recorded(n_way, shift)[name][0][[shots.index(k) for k in (1, 5)], :some]
    # another machine rounds differently: a query on the border may fall to the other side
    assert (right - before).abs().mean() < 0.01


@pytest.mark.parametrize("name, n_tasks", [("fine-tuning", 3), ("from scratch", 2)])
def test_the_costly_ones_too(name, n_tasks, omniglot):
    tasks = contest.episodes(omniglot, n_tasks=n_tasks)
    right = contest.accuracies(contest.method(name), tasks, (5,))
    before = contest.recorded()[name][0][contest.SHOTS.index(5), :n_tasks]
    assert (right - before).abs().mean() < 0.12  # Adam carries roundings further


@pytest.mark.parametrize("source", [*contest.NETS, *contest.GRADIENT])
def test_curves_climb_to_the_end_of_the_training(source):
    curve = contest.curve(source, 5, int(source != "Reptile"))
    assert curve.shape == (len(contest.CURVE), 3)
    assert (curve[1:, :2] > curve[:-1, :2]).all()
    assert curve[-1, 2] > curve[0, 2]


def test_another_name_is_no_method():
    with pytest.raises(KeyError):
        contest.method("nobody")


# ---------------------------------------------------------------- waves


@pytest.mark.parametrize("shift", waves.SHIFTS)
def test_fewer_points_are_the_first_of_more(shift):
    many, five = waves.episodes(shift, 20), waves.episodes(shift, 20, 5)
    assert torch.equal(many.support.x[:, :5], five.support.x)
    assert torch.equal(many.query.y, five.query.y)
    kind = waves.SHIFTS[shift]
    assert many.support.x.min() >= kind.left and many.support.x.max() <= 5
    assert many.query.x.min() < -4.5


def test_the_waves_are_what_their_name_says():
    larger = waves.episodes("larger", 200).query.y.abs().amax((1, 2))
    assert larger.min() > 4.5 and larger.max() < 10
    clean, noisy = waves.episodes("as trained", 200), waves.episodes("noise 0.5", 200)
    assert torch.equal(clean.query.y, noisy.query.y)
    assert (noisy.support.y - clean.support.y).std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("name", waves.RULES)
def test_adapting_is_chapter_fives(name):
    """Against `sine_runs.losses_along`, which walks another way."""
    from mlcourse.learners import sine_runs

    tasks, params = waves.episodes(n_tasks=30, k_shot=5), sine_runs.trained(name, 1).params
    along = sine_runs.losses_along(params, tasks, sine_runs.INNER_LR)[-1]
    assert torch.allclose(waves.judge(waves.method(name, 1), tasks), along, rtol=1e-9)


def test_the_oracle_solves_clean_waves_from_two_points_and_nothing_else_is_told():
    assert waves.judge(waves.oracle, waves.episodes(n_tasks=50, k_shot=3)).max() < 1e-6
    tasks = waves.episodes("faster", 50, 10)
    direct = []
    for x, y, new, truth in zip(*tasks.support, *tasks.query):
        basis = torch.cat([x.sin(), x.cos()], 1)
        w = torch.linalg.lstsq(basis, y).solution
        direct.append(((torch.cat([new.sin(), new.cos()], 1) @ w - truth) ** 2).mean())
    assert torch.allclose(waves.judge(waves.oracle, tasks), torch.stack(direct), rtol=1e-5)


def test_the_mean_wave_is_the_best_answer_without_points():
    tasks = waves.episodes(n_tasks=300)
    best = waves.judge(waves.mean_wave, tasks).mean()
    for scale in (0.8, 1.2):
        other = waves.judge(lambda s, x, c=scale: c * waves.mean_wave(s, x), tasks).mean()
        assert best < other + 0.1
    assert best < waves.judge(waves.zero, tasks).mean() - 0.5


@pytest.mark.parametrize("name", waves.METHODS)
@pytest.mark.parametrize("shift", ["as trained", "faster"])
def test_waves_on_file_are_judged_so(name, shift):
    k, some = waves.SHOTS.index(5), 20
    tasks = waves.episodes(shift, k_shot=5).first(some)
    anew = waves.judge(waves.method(name), tasks)
    before = waves.recorded(shift)[name][0, k, :some].double()
    assert torch.allclose(anew, before, rtol=2e-3, atol=1e-3)


def test_what_diverged_counts_as_infinite():
    tasks = waves.episodes(n_tasks=2, k_shot=2)
    broken = waves.judge(lambda support, x: x * torch.nan, tasks)
    assert broken.isposinf().all()


def test_episodes_keep_their_order_when_cut():
    x = torch.arange(12.0).view(3, 4, 1)
    tasks = Episode(Points(x, x), Points(x + 1, x)).first(2)
    assert tasks.support.x.shape == (2, 4, 1) and tasks.query.x[0, 0, 0] == 1
    assert tasks.together().x.shape == (2, 8, 1)
