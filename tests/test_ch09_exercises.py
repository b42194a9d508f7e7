"""Chapter 09's checks: right answers in other words, wrong ones of people who saw no check."""

import numpy as np
import outsiders
import torch
from torch.nn.functional import cross_entropy, mse_loss

from mlcourse.exercises import ch09
from mlcourse.exercises.ch09 import check
from mlcourse.learners import protonet
from mlcourse.learners.closed_form import ridge, ridge_map
from mlcourse.tasks import Points


def embed_by_nan(point_net, whole_net, sets, there):
    z = point_net(sets).masked_fill(~there.unsqueeze(-1), torch.nan)
    return whole_net(z.nanmean(-2))


def embed_by_bmm(point_net, whole_net, sets, there):
    weights = there.to(sets.dtype) / there.sum(-1, keepdim=True)
    return whole_net((weights.unsqueeze(-2) @ point_net(sets)).squeeze(-2))


def wave_by_numpy(x, y):
    x, y = x.numpy(), y.numpy()
    a, b = np.linalg.solve(np.stack([np.sin(x), np.cos(x)], 1), y)
    phase = np.arctan2(-b, a)
    return float(np.hypot(a, b)), float(phase if phase > 0 else phase + 2 * np.pi)


def head_by_package(features, support, query, penalty):
    w = ridge_map(features(support.x), support.y, penalty)
    return mse_loss(features(query.x) @ w, query.y)


def head_by_inverse(features, support, query, penalty):
    z = features(support.x)
    gram = torch.einsum("pi,pj->ij", z, z)
    w = torch.inverse(gram + torch.diag(torch.full((len(gram),), penalty).to(z))) @ z.t()
    return torch.mean((query.y - features(query.x) @ (w @ support.y)) ** 2)


def head_by_cholesky(features, support, query, penalty):
    z = features(support.x)
    root = torch.linalg.cholesky(z.mT @ z + penalty * torch.eye(z.shape[1]).to(z))
    w = torch.cholesky_solve(z.mT @ support.y, root)
    return (features(query.x) @ w - query.y).pow(2).mean()


def step_by_module(z, y, z_query, n_way, inner_lr):
    net = torch.nn.Linear(z.shape[1], n_way).double()
    for p in net.parameters():
        torch.nn.init.zeros_(p)
    optimizer = torch.optim.SGD(net.parameters(), inner_lr)
    cross_entropy(net(z), y).backward()
    optimizer.step()
    return net(z_query)


def step_by_func(z, y, z_query, n_way, inner_lr):
    def loss(w, b):
        return cross_entropy(z @ w + b, y)

    zero = torch.zeros(z.shape[1], n_way, dtype=z.dtype), torch.zeros(n_way, dtype=z.dtype)
    w, b = torch.func.grad(loss, (0, 1))(*zero)
    return -inner_lr * (z_query @ w + b)


RIGHT = [
    ("embed", embed_by_nan),
    ("embed", embed_by_bmm),
    ("two_points", wave_by_numpy),
    ("head", head_by_package),
    ("head", head_by_inverse),
    ("head", head_by_cholesky),
    ("zero_head", step_by_module),
    ("zero_head", step_by_func),
]


def embed_by_flattening(point_net, whole_net, sets, there):
    return whole_net(point_net((sets * there.unsqueeze(-1)).flatten(-2)[..., :2]))


def head_without_grad(features, support, query, penalty):
    with torch.no_grad():
        w = ridge_map(features(support.x), support.y, penalty)
    return mse_loss(features(query.x) @ w, query.y)


def head_of_a_library(features, support, query, penalty):
    z = features(support.x).detach().numpy()
    gram = z.T @ z + penalty * np.eye(z.shape[1])
    w = torch.from_numpy(np.linalg.solve(gram, z.T @ support.y.numpy()))
    return mse_loss(features(query.x) @ w, query.y)


def head_with_ridge(features, support, query, penalty):
    w, b = ridge(features(support.x), support.y, penalty)
    return mse_loss(features(query.x) @ w + b, query.y)


def two_steps(z, y, z_query, n_way, inner_lr):
    w = torch.zeros(n_way, z.shape[1], dtype=z.dtype, requires_grad=True)
    b = torch.zeros(n_way, dtype=z.dtype, requires_grad=True)
    for _ in range(2):
        grads = torch.autograd.grad(cross_entropy(z @ w.mT + b, y), (w, b))
        w, b = (p - inner_lr * g for p, g in zip((w, b), grads))
    return z_query @ w.mT + b


def protomaml_start(z, y, z_query, n_way, inner_lr):
    w, b = protonet.linear_classifier(protonet.prototypes(z, y, n_way))
    return z_query @ w.mT + b


def features_and_all(features, support, query, penalty):
    return head_by_package(features, support, query, penalty).item()


def embed_by_a_copy(point_net, whole_net, sets, there):
    """The second network's parameters are constants."""
    z = ch09.embed_sets(point_net, lambda x: x, sets, there)
    return torch.tanh(z @ whole_net.weight.detach() + whole_net.bias.detach())


def head_without_gradients(features, support, query, penalty):
    """Switches gradients off for everybody, the check as well."""
    torch.set_grad_enabled(False)
    return ch09.solved_loss(features, support, query, penalty)


def embed_without_gradients(point_net, whole_net, sets, there):
    torch.set_grad_enabled(False)
    return ch09.embed_sets(point_net, whole_net, sets, there)


def rounded_wave(x, y):
    return [round(float(v), 2) for v in ch09.wave_through(x, y)]


WRONG = [
    ("embed", embed_by_a_copy, "whole cut"),
    ("embed", embed_without_gradients, "whole cut"),
    ("head", head_without_gradients, "cut"),
    ("two_points", rounded_wave, "value"),
    ("embed", lambda p, w, s, t: w(p(s).mean(-2)), "mask ignored"),
    ("embed", lambda p, w, s, t: w((p(s) * t[..., None]).mean(-2)), "padding counted"),
    ("embed", embed_by_flattening, "order"),
    ("embed", lambda p, w, s, t: w(p(s).sum(0)), "shape"),
    ("embed", lambda p, w, s, t: None, "return"),
    ("two_points", lambda x, y: (y.abs().max(), x[0]), "value"),
    ("two_points", lambda x, y: 3.0, "return"),
    ("head", head_without_grad, "detached"),
    ("head", head_of_a_library, "detached"),
    ("head", head_with_ridge, "offset"),
    ("head", features_and_all, "cut"),
    ("zero_head", two_steps, "two steps"),
    ("zero_head", protomaml_start, "prototypes"),
    ("zero_head", lambda z, y, q, n, a: torch.zeros(4, n), "no step"),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def test_a_function_that_remembers_its_first_answer_is_found_out():
    seen = {}

    def remembering(features, support, query, penalty):
        return seen.setdefault("loss", ch09.solved_loss(features, support, query, penalty))

    assert check.head(remembering).outcome == "not yet"


def test_points_of_an_episode_may_not_be_changed():
    def centred(features, support, query, penalty):
        support.y.sub_(support.y.mean())
        return ch09.solved_loss(features, support, query, penalty)

    assert check.head(centred).symptom == "input changed"


def test_numbers_that_all_classes_share_do_not_count():
    def shifted(*case):
        return ch09.logits_after_step(*case) + 7 * case[2][:, :1]

    assert check.zero_head(shifted).outcome == "correct"


def test_the_cases_tell_support_from_query_and_hold_both_shapes():
    cases = [ch09.head_case(*size) for size in ((3, 8, 0.5), (5, 2, 0.1))]
    assert [len(c[1].x) > c[0].weight.shape[1] for c in cases] == [True, False]
    assert all(isinstance(c[1], Points) and not torch.equal(c[1].x[:2], c[2].x[:2]) for c in cases)
