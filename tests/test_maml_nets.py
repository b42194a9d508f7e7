"""MAML on networks by independent means: conv-4, all tasks at once, rates, the outer loop."""

import gc

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss

from mlcourse.learners import maml, maml_runs, networks
from mlcourse.tasks import Characters, Episode, Points, SineTasks

D = torch.float64
N = 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sines(tasks: int = 6, shots: int = 10, seed: int = 0) -> Episode:
    return SineTasks().sample(tasks, shots, 7, seeded(seed))


def noise_characters(classes: int = 30, size: int = 20) -> Characters:
    images = torch.randint(256, (classes, 20, size, size), dtype=torch.uint8, generator=seeded(9))
    zeros = torch.zeros(classes, dtype=torch.int64)
    return Characters(images, zeros, torch.zeros(classes, 20, dtype=torch.uint8), ("none",), zeros)


def conv(activation=nn.ReLU, seed: int = 0) -> tuple[nn.Sequential, dict]:
    """A small conv-4 in float64, its norms moved off one and zero."""
    torch.manual_seed(seed)
    net = networks.few_shot(N, filters=4, activation=activation).double()
    noise = seeded(1)
    return net, {
        name: p + 0.1 * torch.randn(p.shape, generator=noise, dtype=D)
        for name, p in networks.parameters(net).items()
    }


def characters(tasks: int = 2) -> Episode:
    episodes = noise_characters().sample(tasks, 1, 3, seeded(2), N)
    return Episode(*(Points(part.x.double(), part.y) for part in episodes))


def stable_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Batch norm written from its definition."""
    mean = x.mean((0, 2, 3), keepdim=True)
    var = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def plain_forward(params: dict, x: torch.Tensor, activation) -> torch.Tensor:
    """`few_shot` written with functions only."""
    for i in range(4):
        x = nn.functional.conv2d(x, params[f"{i}.0.weight"], padding=1)
        x = activation(stable_norm(x, params[f"{i}.1.weight"], params[f"{i}.1.bias"]))
        x = nn.functional.max_pool2d(x, 2)
    return x.flatten(1) @ params["5.weight"].mT + params["5.bias"]


def by_loop(forward, measure, params, episodes, inner_lr, steps) -> list[torch.Tensor]:
    """The meta-gradient, one task after the other, with autograd.grad(create_graph=True)."""
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    total = 0.0
    for i in range(len(episodes.query.x)):
        (sx, sy), (qx, qy) = ([v[i] for v in part] for part in episodes)
        now = leaves
        for _ in range(steps):
            inner = measure(forward(now, sx), sy)
            grads = torch.autograd.grad(inner, list(now.values()), create_graph=True)
            now = {name: p - inner_lr * g for (name, p), g in zip(now.items(), grads)}
        total = total + measure(forward(now, qx), qy) / len(episodes.query.x)
    return torch.autograd.grad(total, list(leaves.values()))


def furthest(one, other) -> float:
    """The largest difference, by the largest entry of the other."""
    one, other = (torch.cat([v.flatten() for v in vs]) for vs in (one, other))
    return float(((one - other).abs().max() / other.abs().max()).detach())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_conv_net_agrees_with_the_loop_to_ten_digits(activation, steps):
    net, params = conv(activation)
    loss, episodes = networks.task_loss(net), characters()
    ours = maml.meta_gradient(loss, params, episodes, 0.4, steps)
    act = activation()
    theirs = by_loop(
        lambda p, x: plain_forward(p, x, act), cross_entropy, params, episodes, 0.4, steps
    )
    assert furthest(ours.values(), theirs) < 1e-10


def test_the_conv_net_agrees_with_finite_differences_where_it_is_smooth():
    net, params = conv(nn.Softplus)
    for part in net[:4]:  # the largest of four jumps too
        part[3] = nn.AvgPool2d(2)
    loss, episodes = networks.task_loss(net), characters()
    ours = maml.meta_gradient(loss, params, episodes, 0.4)
    for seed in range(3):
        g = seeded(seed)
        way = {name: torch.randn(p.shape, generator=g, dtype=D) for name, p in params.items()}
        at = []
        for h in (2e-4, 1e-4, -1e-4, -2e-4):
            moved = {name: p + h * way[name] for name, p in params.items()}
            at.append(float(maml.meta_loss(loss, moved, episodes, 0.4)))
        slope = (8 * (at[1] - at[2]) - (at[0] - at[3])) / 12e-4  # exact to the fourth order
        along = float(sum((ours[name] * way[name]).sum() for name in params))
        assert along == pytest.approx(slope, rel=1e-6)


def test_the_norm_is_the_native_one_and_keeps_nothing():
    norm = networks.BatchNow(3).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    native = nn.BatchNorm2d(3).double()
    native.load_state_dict({**native.state_dict(), **norm.state_dict()})
    x = torch.randn(4, 3, 5, 5, dtype=D, generator=seeded())
    assert torch.allclose(norm(x), native(x), atol=1e-12)
    assert torch.allclose(norm(x), stable_norm(x, norm.weight, norm.bias), atol=1e-12)
    assert not list(norm.buffers())


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_all_tasks_at_once_is_one_after_the_other(steps, first_order):
    torch.manual_seed(0)
    net, episodes = networks.mlp(), sines()
    start = {name: p.requires_grad_() for name, p in networks.parameters(net).items()}
    loss, how = networks.task_loss(net, mse_loss), (0.02, steps, first_order)
    adapted = maml.adapt_together(networks.squared_errors, start, episodes.support, *how)
    losses = networks.squared_errors(adapted, episodes.query)
    one_by_one = maml.losses_after(loss, start, episodes, *how)
    assert torch.allclose(losses, one_by_one, rtol=1e-12, atol=0)
    together = torch.autograd.grad(losses.mean(), list(start.values()))
    assert furthest(together, maml.meta_gradient(loss, start, episodes, *how).values()) < 1e-12


def test_all_tasks_at_once_needs_no_gradients_of_the_start():
    torch.manual_seed(0)
    params, episodes = networks.parameters(networks.mlp()), sines()
    with torch.no_grad():
        adapted = maml.adapt_together(
            networks.squared_errors, params, episodes.support, 0.01, 2, first_order=True
        )
    expected = maml.losses_after(
        networks.task_loss(networks.mlp(), mse_loss), params, episodes, 0.01, 2
    )
    assert torch.allclose(networks.squared_errors(adapted, episodes.query), expected)
    assert not any(p.requires_grad for p in params.values())


def test_only_the_named_tensors_adapt_each_at_its_rate():
    net, params = conv()
    (sx, sy), _ = ([v[0] for v in part] for part in characters())
    loss = networks.task_loss(net)
    alpha = {"5.weight": 0.3, "0.0.weight": torch.full(params["0.0.weight"].shape, 0.7, dtype=D)}
    adapted = maml.adapt(loss, params, Points(sx, sy), alpha)
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    plain = cross_entropy(plain_forward(leaves, sx, torch.relu), sy)
    grads = dict(zip(leaves, torch.autograd.grad(plain, list(leaves.values()))))
    for name, p in params.items():
        rate = {"5.weight": 0.3, "0.0.weight": 0.7}.get(name, 0.0)
        assert torch.allclose(adapted[name], p - rate * grads[name], atol=1e-12), name


def test_an_unknown_name_is_one_clear_sentence():
    with pytest.raises(ValueError, match="inner_lr names 'head', but the tensors are a"):
        maml.rates({"a": torch.zeros(1)}, {"head": 0.1})


def sine_training(inner_lr=0.01, outer_lr=1e-3, cycle=False, steps=1):
    torch.manual_seed(0)
    params, generator = networks.parameters(networks.mlp()), seeded(3)

    def objective(params, episodes, inner_lr, progress):
        how = params, episodes.support, inner_lr, steps
        adapted = maml.adapt_together(networks.squared_errors, *how)
        return networks.squared_errors(adapted, episodes.query).mean()

    def draw():
        return SineTasks().sample(4, 5, 5, generator)

    return maml.MetaTraining(objective, params, draw, inner_lr, outer_lr, cycle), params


def adam(tensors, grads, memory, count, lr, betas=(0.9, 0.999), eps=1e-8):
    """Kingma and Ba's algorithm 1, by hand."""
    for name, g in zip(tensors, grads):
        m, v = memory.get(name, (0.0, 0.0))
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        memory[name] = m, v
        fair = (v / (1 - betas[1] ** count)).sqrt() + eps
        tensors[name] = tensors[name] - lr * (m / (1 - betas[0] ** count)) / fair


def test_the_outer_loop_is_adam_on_the_loops_meta_gradient():
    run, tensors = sine_training()
    generator, memory, net = seeded(3), {}, networks.mlp()

    def forward(p, x):
        return functional_call(net, p, (x,))

    for count in range(1, 6):
        run.step(0.5)
        episodes = SineTasks().sample(4, 5, 5, generator)
        grads = by_loop(forward, mse_loss, tensors, episodes, 0.01, 1)
        adam(tensors, grads, memory, count, 1e-3)
    assert furthest(run.params.values(), tensors.values()) < 1e-9


def test_rates_are_learned_when_they_require_gradients_and_only_then():
    torch.manual_seed(0)
    names = list(networks.parameters(networks.mlp()))
    alpha = {name: torch.tensor(0.01, dtype=D, requires_grad=i < 2) for i, name in enumerate(names)}
    run, _ = sine_training(alpha)
    run.step(), run.step()
    moved = [float(run.inner_lr[name]) != 0.01 for name in names]
    assert moved == [True, True, False, False, False, False]
    assert all(float(rate) == 0.01 for rate in alpha.values())  # the given ones stay


def test_beta_climbs_and_falls_in_a_cycle():
    run, _ = sine_training(outer_lr=0.01, cycle=True)
    betas = [run.rate(i / 1000) for i in range(1001)]
    assert max(betas) == pytest.approx(0.01, rel=1e-3) and betas.index(max(betas)) in range(95, 105)
    assert betas[0] < 2e-4 and betas[-1] < 1e-12
    assert sine_training(outer_lr=0.01)[0].rate(0.7) == 0.01


def test_a_failed_step_keeps_its_tasks_and_the_memory_of_adam_moves_along():
    straight, _ = sine_training()
    broken, _ = sine_training()
    for run in (straight, broken):
        run.step(), run.step()
    objective = broken.objective

    def fault(*_):
        raise RuntimeError("CUDA out of memory")

    broken.objective = fault
    with pytest.raises(RuntimeError, match="out of memory"):
        broken.step()
    broken.objective = objective
    broken.to(torch.device("cpu"))
    assert broken.step() == straight.step()
    assert furthest(broken.params.values(), straight.params.values()) == 0


def tensors_alive() -> int:
    gc.collect()
    return sum(type(thing) is torch.Tensor for thing in gc.get_objects())


def test_memory_does_not_grow_with_iterations():
    run, _ = sine_training(steps=2)
    for _ in range(3):
        run.step()
    before = tensors_alive()
    for _ in range(20):
        run.step()
    assert tensors_alive() <= before


POOL = noise_characters()


@pytest.mark.parametrize("name", maml_runs.METHODS)
def test_every_method_adapts_what_it_says(name):
    method = maml_runs.METHODS[name]
    learner = maml_runs.begin(method)
    support, _ = POOL.sample(1, 1, 1, seeded(), N)
    points = Points(support.x[0], support.y[0])
    first = learner.start(learner.params, points) if learner.start else learner.params
    loss = networks.task_loss(learner.net)
    adapted = maml.adapt(loss, first, points, learner.inner_lr)
    moved = {n for n in first if not torch.equal(first[n], adapted[n])}
    body = set(first) - set(maml_runs.HEAD)
    named = {"all": set(first), "head": set(maml_runs.HEAD), "body": body}[method.adapts]
    assert named - {"5.bias"} <= moved <= named  # a sure network moves its bias by rounding only


@pytest.mark.parametrize("name", maml_runs.METHODS)
def test_every_method_trains_and_learns_its_rates_or_leaves_them(name):
    method = maml_runs.METHODS[name]
    run, learner = maml_runs.training(method, POOL)
    run.step(0.9), run.step(0.9)
    taught = maml_runs.taught(run, learner)
    still = {n for n, p in learner.params.items() if torch.equal(p, taught.params[n])}
    assert not still - {"5.bias"}  # whose mean gradient may vanish
    rates = [torch.as_tensor(r).flatten() for r in taught.inner_lr.values()]
    assert (torch.cat(rates) == method.inner_lr).all() == (method.learns == "fixed")
    assert not any(p.requires_grad for p in taught.params.values())


def test_the_prototype_head_is_the_nearest_mean():
    learner = maml_runs.begin(maml_runs.METHODS["ProtoMAML"])
    episodes = POOL.sample(3, 2, 2, seeded(4), N)
    found = maml_runs.logits(learner, episodes, steps=0)
    body = learner.net[:-1]
    for task in range(3):
        s, q = (part.x[task] for part in episodes)
        zs, zq = body(s), body(q)
        c = torch.stack([zs[episodes.support.y[task] == k].mean(0) for k in range(N)])
        nearest = torch.cdist(zq, c).argmin(1)
        assert torch.equal(found[task].argmax(-1), nearest)


def test_alone_no_other_query_matters_and_together_they_do():
    learner = maml_runs.begin(maml_runs.METHODS["MAML"])
    episodes = POOL.sample(2, 1, 2, seeded(5), N)
    other = POOL.sample(2, 1, 2, seeded(6), N)
    x = torch.cat([episodes.query.x[:, :1], other.query.x[:, 1:]], 1)
    swapped = Episode(episodes.support, Points(x, episodes.query.y))
    for alone in (True, False):
        first, second = (maml_runs.logits(learner, e, 1, alone)[:, 0] for e in (episodes, swapped))
        assert torch.allclose(first, second, atol=1e-5) == alone


def test_logits_are_the_plain_loops():
    learner = maml_runs.begin(maml_runs.METHODS["MAML"])
    episodes = POOL.sample(2, 1, 2, seeded(5), N)
    found = maml_runs.logits(learner, episodes, 2)
    for task in range(2):
        (sx, sy), (qx, _) = ([v[task] for v in part] for part in episodes)
        now = {name: p.clone().requires_grad_() for name, p in learner.params.items()}
        for _ in range(2):
            inner = cross_entropy(plain_forward(now, sx, torch.relu), sy)
            grads = torch.autograd.grad(inner, list(now.values()))
            now = {n: p - 0.4 * g for (n, p), g in zip(now.items(), grads)}
        assert torch.allclose(found[task], plain_forward(now, qx, torch.relu), atol=2e-4)


def test_a_cycle_climbs_and_falls_to_nothing():
    """Up to the full rate at the end of the warm-up, half of it half-way down, zero at the end."""
    assert networks.one_cycle(0.0) == pytest.approx(0.01)
    assert networks.one_cycle(0.1) == pytest.approx(1.0)
    assert networks.one_cycle(0.55) == pytest.approx(0.5)
    assert networks.one_cycle(1.0) == pytest.approx(0.0, abs=1e-12)
    assert networks.one_cycle(0.2, warm=0.2) == pytest.approx(1.0)
