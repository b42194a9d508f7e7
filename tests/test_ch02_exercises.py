"""Chapter 02: wrong and right answers in many styles, and the messages that matter most."""
# ruff: noqa: E501, B023, E731

import copy
import itertools
import math
from collections import OrderedDict

import numpy as np
import outsiders
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlcourse.exercises.ch02 import check, fine_tune, tuning_case
from mlcourse.exercises.engine import edited
from mlcourse.learners.transfer import cut, new_head

WRONG = {name: {} for name in ("tune", "probe", "mixture", "stop")}
SEEN = {}
RIGHT = {name: {} for name in ("tune", "probe", "mixture", "stop")}


def wrong(exercise, symptom=None):
    return lambda fn: WRONG[exercise].setdefault(fn.__name__, (fn, symptom))[0]


def right(exercise):
    return lambda fn: RIGHT[exercise].setdefault(fn.__name__, fn)


# ---------------------------------------------------------------- tune


def zero_head(width, n_way):
    head = nn.Linear(width, n_way)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    return head


def parts(body, depth):
    n = len(body) - depth
    return body[:n], body[n:]


def descend(forward, params, y, lr, steps):
    for _ in range(steps):
        grads = torch.autograd.grad(F.cross_entropy(forward(), y), params)
        with torch.no_grad():
            for p, g in zip(params, grads):
                p.sub_(lr * g)


@right("tune")
def keeps_the_state_and_puts_it_back(body, x, y, n_way, depth, inner_lr, steps):
    state, modes = copy.deepcopy(body.state_dict()), [m.training for m in body.modules()]
    frozen, rest = parts(body, depth)
    body.eval()
    head = zero_head(body(x).shape[1], n_way)
    rest.train()
    opt = torch.optim.SGD(itertools.chain(rest.parameters(), head.parameters()), lr=inner_lr)
    for _ in range(steps):
        opt.zero_grad(set_to_none=True)
        F.cross_entropy(head(body(x)), y).backward()
        opt.step()
    net = nn.Sequential(copy.deepcopy(body), head).eval()
    body.load_state_dict(state)
    for module, mode in zip(body.modules(), modes):
        module.training = mode
    return net


class Net(nn.Module):
    def __init__(self, body, depth, n_way, x):
        super().__init__()
        self.body, self.n = copy.deepcopy(body), len(body) - depth
        self.eval()
        self.head = zero_head(self.body(x).shape[1], n_way)

    def train(self, mode=True):
        super().train(mode)
        for i, block in enumerate(self.body):
            block.train(mode and i >= getattr(self, "n", 0))
        return self

    def forward(self, x):
        return self.head(self.body(x))


@right("tune")
def own_class_with_train(body, x, y, n_way, depth, inner_lr, steps):
    net = Net(body, depth, n_way, x)
    for p in net.body[: net.n].parameters():
        p.requires_grad = False
    params = [p for p in net.parameters() if p.requires_grad]
    net.train()
    for _ in range(steps):
        loss = F.cross_entropy(net(x), y)
        net.zero_grad()
        loss.backward()
        for p in params:
            p.data -= inner_lr * p.grad
    net.eval()
    return net


class Wrapper(nn.Module):
    """Its own flag stays at training; all that has two modes inside is in evaluation mode."""

    def __init__(self, *parts):
        super().__init__()
        self.a, self.b, self.c = parts

    def forward(self, x):
        return self.c(self.b(self.a(x)))


@right("tune")
def wrapper_left_in_training_mode(body, x, y, n_way, depth, inner_lr, steps):
    a, b = parts(copy.deepcopy(body), depth)
    with torch.no_grad():
        z = a.eval()(x)
        c = zero_head(b.eval()(z).size(1), n_way)
    b.train()
    descend(lambda: c(b(z)), [*b.parameters(), *c.parameters()], y, inner_lr, steps)
    b.eval()
    return Wrapper(a, b, c)


@right("tune")
def with_the_packages_parts(body, x, y, n_way, depth, inner_lr, steps):
    frozen, rest = cut(nn.Sequential(*body, nn.Flatten()), depth)
    z = frozen(x)
    head = new_head(rest.eval(), z, n_way)
    rest.train()
    opt = torch.optim.SGD([*rest.parameters(), *head.parameters()], inner_lr)
    for _ in range(steps):
        loss = F.nll_loss(F.log_softmax(head(rest(z)), 1), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
    return nn.Sequential(frozen, rest, head).eval()


@right("tune")
def functional_call(body, x, y, n_way, depth, inner_lr, steps):
    net = nn.Sequential(OrderedDict(body=copy.deepcopy(body), head=nn.Identity())).eval()
    net.head = zero_head(net.body(x).shape[1], n_way)
    net.body[len(body) - depth :].train()
    moving = {
        k: v.detach()
        for k, v in net.named_parameters()
        if k.startswith("head") or int(k.split(".")[1]) >= len(body) - depth
    }
    for _ in range(steps):
        leaves = {k: v.requires_grad_() for k, v in moving.items()}
        loss = F.cross_entropy(torch.func.functional_call(net, leaves, (x,)), y)
        grads = torch.autograd.grad(loss, list(leaves.values()))
        moving = {k: (v - inner_lr * g).detach() for (k, v), g in zip(leaves.items(), grads)}
    net.load_state_dict(moving, strict=False)
    return net.eval()


@right("tune")
def lr_in_groups_and_eval_of_batch_norm_only(body, x, y, n_way, depth, inner_lr, steps):
    net = copy.deepcopy(body)
    net.eval()
    net.append(zero_head(net(x).shape[1], n_way))
    net.train()
    for block in list(net)[: len(body) - depth]:
        for m in block.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.eval()
    groups = [{"params": b.parameters(), "lr": inner_lr} for b in list(net)[len(body) - depth :]]
    opt = torch.optim.SGD(groups, lr=1e9)
    step = 0
    while step < steps:
        opt.zero_grad()
        torch.nn.CrossEntropyLoss()(net(x), y).backward()
        opt.step()
        step += 1
    return net.eval()


@right("tune")
def body_without_gradients_for_a_while(body, x, y, n_way, depth, inner_lr, steps):
    flags = [p.requires_grad for p in body.parameters()]
    body.requires_grad_(False)
    net = copy.deepcopy(body).eval()
    for p, flag in zip(body.parameters(), flags):
        p.requires_grad_(flag)
    rest = nn.Sequential(*list(net)[len(body) - depth :], zero_head(net(x).shape[1], n_way))
    rest.requires_grad_().train()
    frozen = nn.Sequential(*list(net)[: len(body) - depth])
    descend(lambda: rest(frozen(x)), list(rest.parameters()), y, inner_lr, steps)
    return nn.Sequential(frozen, rest).eval()


@right("tune")
def points_shuffled_every_step(body, x, y, n_way, depth, inner_lr, steps):
    net = nn.Sequential(*copy.deepcopy(body)).eval()
    net.append(zero_head(net(x).shape[1], n_way))
    opt = torch.optim.SGD(net[len(body) - depth :].train().parameters(), inner_lr)
    for _ in range(steps):
        picked = torch.randperm(len(x))
        opt.zero_grad()
        F.cross_entropy(net(x[picked]), y[picked]).backward()
        opt.step()
    return net.eval()


def tuned(symptom, *edits):
    """The reference with several edits, as a wrong answer."""
    fn = fine_tune
    old, new = edits[0] if len(edits) == 1 else edits
    WRONG["tune"][f"{symptom}: {new}"] = edited(fn, old, new), symptom


tuned("frozen statistics", ("net[-1 - depth :].train()", "net.train()[-1 - depth :]"))
tuned(None, ("net[-1 - depth :].train().parameters()", "net.train().parameters()"))
tuned(None, ("net(x), y)", "net(x[:4]), y[:4])"))
tuned(None, ("net(x), y)", "net(x), y, label_smoothing=0.1)"))
tuned(None, ("inner_lr)", "inner_lr, weight_decay=0.01)"))
tuned(None, ("inner_lr)", "inner_lr, momentum=0.9)"))
tuned(None, ("return net.eval()", "return [net(x), net.eval()][1]"))
tuned(None, ("(net(x), y)", "(net(x) + 0 * net(x), y)"))
tuned(None, ("inner_lr)", "inner_lr, nesterov=True, momentum=0.5)"))
tuned(None, ("n_way))", "int(y.max()) + 1))"))
tuned(None, ("return net.eval()", "return net.train()"))
tuned("return", ("return net.eval()", "return net.eval().forward"))
tuned("return", ("return net.eval()", "return net, loss"))
tuned(None, ("return net.eval()", "return torch.nn.Sequential(net, torch.nn.Softmax(1)).eval()"))
tuned(None, ("return net.eval()", "return net[:-1].eval()"))
tuned("body changed", ("copy.deepcopy(body)", "copy.copy(body)"))
tuned("body changed", ("copy.deepcopy(body)", "torch.nn.Sequential(*body)"))
tuned(None, ("zeros_(net[-1].bias)", "ones_(net[-1].bias)"))
tuned(None, ("        loss =", "        optimizer.param_groups[0]['lr'] /= 2\n        loss ="))
tuned(
    "frozen weights",
    (
        "SGD(net[-1 - depth :].train().parameters(), inner_lr)",
        "SGD([{'params': b.train(i >= len(body) - depth).parameters()} for i, b in enumerate(net)], inner_lr)",
    ),
)


@wrong("tune", "frozen weights")
def first_blocks_instead_of_last(body, x, y, n_way, depth, inner_lr, steps):
    net = copy.deepcopy(body).eval()
    head = zero_head(net(x).shape[1], n_way)
    net[:depth].train()
    params = [*net[:depth].parameters(), *head.parameters()]
    descend(lambda: head(net(x)), params, y, inner_lr, steps)
    return nn.Sequential(net, head).eval()


@wrong("tune", "frozen statistics")
def no_eval_at_all_while_training(body, x, y, n_way, depth, inner_lr, steps):
    net = copy.deepcopy(body)
    frozen, rest = parts(net, depth)
    frozen.requires_grad_(False)
    head = zero_head(copy.deepcopy(net).eval()(x).shape[1], n_way)
    model = nn.Sequential(frozen, rest, head)
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    descend(lambda: model(x), params, y, inner_lr, steps)
    return model.eval()


@wrong("tune", "mode of body")
def shares_the_frozen_blocks(body, x, y, n_way, depth, inner_lr, steps):
    frozen, rest = parts(body, depth)
    frozen, rest = frozen.eval(), copy.deepcopy(rest).eval()
    head = zero_head(rest(frozen(x)).shape[1], n_way)
    net = nn.Sequential(frozen, rest, head)
    rest.train()
    params = [*rest.parameters(), *head.parameters()]
    descend(lambda: net(x), params, y, inner_lr, steps)
    return net.eval()


@wrong("tune", "body changed")
def looks_for_the_width_in_training_mode(body, x, y, n_way, depth, inner_lr, steps):
    head = zero_head(body(x).shape[1], n_way)
    net = copy.deepcopy(body).eval().append(head)
    net[len(body) - depth :].train()
    descend(lambda: net(x), list(net[len(body) - depth :].parameters()), y, inner_lr, steps)
    return net.eval()


_nets = {}


@wrong("tune")
def head_without_bias(body, x, y, n_way, depth, inner_lr, steps):
    net = copy.deepcopy(body).eval()
    net.append(nn.Linear(net(x).shape[1], n_way, bias=False))
    nn.init.zeros_(net[-1].weight)
    net[len(body) - depth :].train()
    descend(lambda: net(x), list(net[len(body) - depth :].parameters()), y, inner_lr, steps)
    return net.eval()


@wrong("tune")
def frozen_part_in_training_mode_once(body, x, y, n_way, depth, inner_lr, steps):
    frozen, rest = parts(copy.deepcopy(body), depth)
    z = frozen.train()(x).detach()
    head = zero_head(rest.eval()(z).shape[1], n_way)
    net = nn.Sequential(rest, head).train()
    descend(lambda: net(z), list(net.parameters()), y, inner_lr, steps)
    return nn.Sequential(frozen, net).eval()


@wrong("tune")
def remembers_the_first(body, x, y, n_way, depth, inner_lr, steps):
    return _nets.setdefault("net", fine_tune(body, x, y, n_way, depth, inner_lr, steps))


@wrong("tune")
def head_fitted_once_and_kept_frozen(body, x, y, n_way, depth, inner_lr, steps):
    return fine_tune(body, x, y, n_way, 0, inner_lr, steps)


@wrong("tune")
def always_all_blocks(body, x, y, n_way, depth, inner_lr, steps):
    return fine_tune(body, x, y, n_way, len(body), inner_lr, steps)


@wrong("tune")
def points_one_at_a_time(body, x, y, n_way, depth, inner_lr, steps):
    net = copy.deepcopy(body).eval()
    net.append(zero_head(net(x).shape[1], n_way))
    for i in range(steps):
        descend(lambda: net(x[i : i + 1]), list(net[-1].parameters()), y[i : i + 1], inner_lr, 1)
    return net.eval()


@wrong("tune")
def a_function_in_a_module_that_fails(body, x, y, n_way, depth, inner_lr, steps):
    class Broken(nn.Module):
        def forward(self, x):
            return self.missing(x)

    return Broken()


# ---------------------------------------------------------------- probe


def onehot(labels, n_way):
    return torch.eye(n_way)[labels]


@right("probe")
def numpy_bordered_system(features, labels, n_way, penalty, query):
    x, q = features.numpy().astype(np.float64), query.numpy().astype(np.float64)
    n, d = x.shape
    left = np.block(
        [[x.T @ x + penalty * np.eye(d), x.sum(0)[:, None]], [x.sum(0)[None], np.array([[n]])]]
    )
    targets = np.eye(n_way)[labels.numpy()]
    solution = np.linalg.solve(left, np.vstack([x.T @ targets, targets.sum(0)]))
    return q @ solution[:d] + solution[d]


@right("probe")
def dual_with_centred_kernel(features, labels, n_way, penalty, query):
    mean = features.mean(0, keepdim=True)
    x, t = features - mean, onehot(labels, n_way)
    alpha = torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)), t - t.mean(0))
    return (query - mean) @ x.T @ alpha + t.mean(0)


@right("probe")
def dual_bordered_in_numpy(features, labels, n_way, penalty, query):
    x, q = features.double().numpy(), query.double().numpy()
    n = len(x)
    system = np.ones((n + 1, n + 1))
    system[:n, :n], system[n, n] = x @ x.T + penalty * np.eye(n), 0
    solution = np.linalg.solve(system, np.vstack([np.eye(n_way)[labels], np.zeros((1, n_way))]))
    return q @ x.T @ solution[:n] + solution[n]


@right("probe")
def ones_with_a_hole_in_the_penalty(features, labels, n_way, penalty, query):
    a = torch.hstack([features, torch.ones(len(features), 1)])
    eye = torch.eye(a.shape[1])
    eye[-1, -1] = 0
    w = torch.linalg.inv(a.T @ a + penalty * eye) @ a.T @ onehot(labels, n_way)
    return torch.hstack([query, torch.ones(len(query), 1)]) @ w


@right("probe")
def lstsq_on_centred_rows(features, labels, n_way, penalty, query):
    x = np.asarray(features, dtype=np.float64)
    t = np.zeros((len(x), n_way))
    t[np.arange(len(x)), labels] = 1
    rows = np.vstack([x - x.mean(0), math.sqrt(penalty) * np.eye(x.shape[1])])
    w = np.linalg.lstsq(
        rows, np.vstack([t - t.mean(0), 0 * rows[-x.shape[1] :, :1] @ t[:1]]), rcond=None
    )[0]
    return ((query.numpy() - x.mean(0)) @ w + t.mean(0)).tolist()


@right("probe")
def by_svd(features, labels, n_way, penalty, query):
    x = features.double()
    u, s, vh = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    t = F.one_hot(labels, num_classes=n_way).double()
    w = vh.mH @ ((s / (s**2 + penalty))[:, None] * (u.mH @ (t - t.mean(0))))
    b = t.mean(0) - x.mean(0) @ w
    return query.double() @ w + b


@right("probe")
def class_by_class_and_query_by_query(features, labels, n_way, penalty, query):
    mean = features.mean(0)
    x = features - mean
    inverse = torch.linalg.inv(x.T @ x + penalty * torch.eye(x.shape[1]))
    scores = []
    for q in query:
        row = []
        for k in range(n_way):
            t = (labels == k).float()
            row.append((q - mean) @ (inverse @ (x.T @ (t - t.mean()))) + t.mean())
        scores.append(torch.stack(row))
    return torch.stack(scores)


@right("probe")
def by_newton(features, labels, n_way, penalty, query):
    x, t = features.double(), onehot(labels, n_way).double()
    d = x.shape[1]

    def loss(p, k):
        return ((x @ p[:d] + p[d] - t[:, k]) ** 2).sum() + penalty * (p[:d] ** 2).sum()

    columns, zero = [], torch.zeros(d + 1).double()
    for k in range(n_way):
        h, g = torch.func.hessian(loss)(zero, k), torch.func.grad(loss)(zero, k)
        columns.append(-torch.linalg.solve(h, g))
    p = torch.stack(columns, 1)
    return query.double() @ p[:d] + p[d]


@right("probe")
def lists_of_floats(features, labels, n_way, penalty, query):
    return [
        [float(v) for v in row]
        for row in check.probe.reference(features, labels, n_way, penalty, query)
    ]


def probed(name, symptom=None, **change):
    """A probe with one thing changed."""

    def fn(features, labels, n_way, penalty, query):
        x = change.get("x", lambda x: x)(features)
        t = change.get("t", onehot)(labels, n_way)
        mx, my = change.get("mean", lambda x, t, q: (x.mean(0), t.mean(0)))(x, t, query)
        p = change.get("p", lambda p, n, d: p * torch.eye(d))(penalty, *x.shape)
        w = torch.linalg.lstsq((x - mx).T @ (x - mx) + p, (x - mx).T @ (t - my)).solution
        q = change.get("q", lambda q, mx: q - mx)(query, mx)
        return change.get("out", lambda s: s)(q @ w + my)

    WRONG["probe"][name] = fn, symptom


zeros = lambda x, t, q: (0 * x.mean(0), 0 * t.mean(0))
probed("without_centring", "no offset", mean=zeros)
probed("centred_features_only", None, mean=lambda x, t, q: (x.mean(0), 0 * t.mean(0)))
probed("centred_targets_only", None, mean=lambda x, t, q: (0 * x.mean(0), t.mean(0)))
probed("all_centred_by_the_query", None, mean=lambda x, t, q: (q.mean(0), t.mean(0)))
probed("all_centred_by_all", None, mean=lambda x, t, q: (torch.cat([x, q]).mean(0), t.mean(0)))
probed("median", None, mean=lambda x, t, q: (x.median(0).values, t.mean(0)))
probed(
    "mean_of_class_means",
    None,
    mean=lambda x, t, q: (
        torch.stack([x[t[:, k] == 1].mean(0) for k in range(t.shape[1]) if t[:, k].any()]).mean(0),
        t.mean(0),
    ),
)
probed(
    "uniform_prior", None, mean=lambda x, t, q: (x.mean(0), torch.full_like(t[0], 1 / t.shape[1]))
)
probed("half_the_penalty", None, p=lambda p, n, d: p / 2 * torch.eye(d))
probed("twice_the_penalty", None, p=lambda p, n, d: p * 2 * torch.eye(d))
probed("root_of_the_penalty", None, p=lambda p, n, d: p**0.5 * torch.eye(d))
probed("penalty_one", None, p=lambda p, n, d: torch.eye(d))
probed("tiny_penalty", None, p=lambda p, n, d: 1e-4 * torch.eye(d))
probed("penalty_per_feature", None, p=lambda p, n, d: p / d * torch.eye(d))
probed("penalty_everywhere", "every entry", p=lambda p, n, d: p * torch.ones(d, d))
probed("penalty_squared", "penalty squared", p=lambda p, n, d: p**2 * torch.eye(d))
probed("rounded", None, out=lambda s: s.round(decimals=1))
probed("probabilities", "softmax", out=lambda s: s.softmax(-1))
probed("clipped", None, out=lambda s: s.clamp(0, 1))
probed("hard", None, out=lambda s: F.one_hot(s.argmax(1), s.shape[1]))
probed("normalised", None, x=lambda x: F.normalize(x))
probed("scaled", None, x=lambda x: x / x.std(0))
probed("plus_minus", "signs", t=lambda y, n: 2 * onehot(y, n) - 1)
probed("labels_from_1", None, t=lambda y, n: onehot((y + 1) % n, n))
probed("numbers", "numbers", t=lambda y, n: y.float()[:, None])
probed("predicted", "labels", out=lambda s: s.argmax(1))
probed("transposed", "transposed", out=lambda s: s.T)
probed("queries_as_they_are", "query not centred", q=lambda q, mx: q)
probed("queries_by_their_mean", "mean of the query", q=lambda q, mx: q - q.mean(0))


@wrong("probe", "offset penalised")
def ones_and_a_whole_eye(features, labels, n_way, penalty, query):
    a = F.pad(features, (0, 1), value=1.0)
    rows = torch.vstack([a, penalty**0.5 * torch.eye(a.shape[1])])
    t = torch.vstack([onehot(labels, n_way), torch.zeros(a.shape[1], n_way)])
    return F.pad(query, (0, 1), value=1.0) @ torch.linalg.lstsq(rows, t).solution


@wrong("probe")
def prototypes(features, labels, n_way, penalty, query):
    means = torch.stack(
        [features[labels == k].sum(0) / (labels == k).sum().clamp(min=1) for k in range(n_way)]
    )
    return -torch.cdist(query, means)


@wrong("probe")
def gradient_descent_not_to_the_end(features, labels, n_way, penalty, query):
    w, b = torch.zeros(features.shape[1], n_way), torch.zeros(n_way)
    for _ in range(20):
        error = features @ w + b - onehot(labels, n_way)
        w, b = w - 0.001 * (features.T @ error + penalty * w), b - 0.001 * error.sum(0)
    return query @ w + b


@wrong("probe")
def centres_in_place(features, labels, n_way, penalty, query):
    features -= features.mean(0)
    return check.probe.reference(features, labels, n_way, penalty, query)


# ---------------------------------------------------------------- mixture


@right("mixture")
def with_inverse(A, m, B, n, lam):
    return torch.inverse(lam * A + (1 - lam) * B) @ (lam * (A @ m) + (1 - lam) * (B @ n))


@right("mixture")
def row_vectors(A, m, B, n, lam):
    return (lam * m @ A + (1 - lam) * n @ B) @ torch.linalg.inv(lam * A + (1 - lam) * B)


@right("mixture")
def numpy_solve(A, m, B, n, lam):
    A, m, B, n = (v.numpy().astype(np.float64) for v in (A, m, B, n))
    return np.linalg.solve(lam * A + (1 - lam) * B, lam * A.dot(m) + (1 - lam) * B.dot(n))


@right("mixture")
def a_long_descent(A, m, B, n, lam):
    mixed = lam * A + (1 - lam) * B
    theta, rate = torch.zeros(len(m)), 1 / torch.linalg.matrix_norm(mixed, 2)
    for _ in range(2000):
        theta = theta - rate * (lam * A @ (theta - m) + (1 - lam) * B @ (theta - n))
    return theta


@right("mixture")
def lbfgs(A, m, B, n, lam):
    theta = torch.zeros(len(m), dtype=torch.float64, requires_grad=True)
    A, m, B, n = A.double(), m.double(), B.double(), n.double()
    opt = torch.optim.LBFGS(
        [theta],
        max_iter=200,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure():
        opt.zero_grad()
        loss = (
            lam * (theta - m) @ A @ (theta - m) / 2 + (1 - lam) * (theta - n) @ B @ (theta - n) / 2
        )
        loss.backward()
        return loss

    opt.step(closure)
    return theta


@right("mixture")
def cholesky(A, m, B, n, lam):
    b = torch.einsum("ij,j->i", A, m) * lam + torch.einsum("ij,j->i", B, n) * (1 - lam)
    L = torch.linalg.cholesky(torch.lerp(B, A, lam))
    return torch.cholesky_solve(b[:, None], L).squeeze(1)


@right("mixture")
def from_the_source(A, m, B, n, lam):
    return m + (1 - lam) * torch.linalg.solve(lam * A + (1 - lam) * B, B @ (n - m))


@right("mixture")
def least_squares(A, m, B, n, lam):
    """Roots of the matrices as rows: √λ A^½ and √(1 - λ) B^½."""
    la, lb = lam**0.5 * torch.linalg.cholesky(A).T, (1 - lam) ** 0.5 * torch.linalg.cholesky(B).T
    return torch.linalg.lstsq(
        torch.cat([la, lb]), torch.cat([la @ m, lb @ n])[:, None]
    ).solution.flatten()


@right("mixture")
def a_list(A, m, B, n, lam):
    return with_inverse(A, m, B, n, lam).tolist()


WRONG["mixture"] |= {
    name: (fn, None)
    for name, fn in {
        "swapped": lambda A, m, B, n, l: with_inverse(A, m, B, n, 1 - l),
        "tasks_swapped": lambda A, m, B, n, l: with_inverse(B, n, A, m, l),
        "means_swapped": lambda A, m, B, n, l: with_inverse(A, n, B, m, l),
        "matrices_swapped": lambda A, m, B, n, l: with_inverse(B, m, A, n, l),
        "average": lambda A, m, B, n, l: l * m + (1 - l) * n,
        "half": lambda A, m, B, n, l: (m + n) / 2,
        "joint": lambda A, m, B, n, l: with_inverse(A, m, B, n, 0.5),
        "target": lambda A, m, B, n, l: n,
        "source": lambda A, m, B, n, l: m,
        "stars": lambda A, m, B, n, l: (
            torch.linalg.inv(l * A + (1 - l) * B) * (l * A * m + (1 - l) * B * n)
        ),
        "stars_then_sum": lambda A, m, B, n, l: (
            (l * A * m + (1 - l) * B * n).sum(1) / (l * A + (1 - l) * B).sum(1)
        ),
        "diagonals": lambda A, m, B, n, l: (
            (l * A.diag() * m + (1 - l) * B.diag() * n) / (l * A.diag() + (1 - l) * B.diag())
        ),
        "traces": lambda A, m, B, n, l: (
            (l * A.trace() * m + (1 - l) * B.trace() * n) / (l * A + (1 - l) * B).trace()
        ),
        "determinants": lambda A, m, B, n, l: (
            (l * A.det() * m + (1 - l) * B.det() * n) / (l * A.det() + (1 - l) * B.det())
        ),
        "inverses": lambda A, m, B, n, l: with_inverse(A.inverse(), m, B.inverse(), n, l),
        "squares": lambda A, m, B, n, l: with_inverse(A @ A, m, B @ B, n, l),
        "lam_squared": lambda A, m, B, n, l: torch.linalg.solve(
            l * l * A + (1 - l) ** 2 * B, l * l * A @ m + (1 - l) ** 2 * B @ n
        ),
        "no_inverse": lambda A, m, B, n, l: l * A @ m + (1 - l) * B @ n,
        "no_matrix_on_the_right": lambda A, m, B, n, l: torch.linalg.solve(
            l * A + (1 - l) * B, l * m + (1 - l) * n
        ),
        "no_lam_left": lambda A, m, B, n, l: torch.linalg.solve(A + B, l * A @ m + (1 - l) * B @ n),
        "no_lam_right": lambda A, m, B, n, l: torch.linalg.solve(
            l * A + (1 - l) * B, A @ m + B @ n
        ),
        "one_plus": lambda A, m, B, n, l: torch.linalg.solve(
            l * A + (1 + l) * B, l * A @ m + (1 + l) * B @ n
        ),
        "lam_for_target_one": lambda A, m, B, n, l: torch.linalg.solve(
            l * A + B, l * A @ m + B @ n
        ),
        "column": lambda A, m, B, n, l: with_inverse(A, m, B, n, l)[:, None],
        "rounded": lambda A, m, B, n, l: with_inverse(A, m, B, n, l).round(decimals=1),
        "the_loss": lambda A, m, B, n, l: (lambda t: l * (t - m) @ A @ (t - m) / 2)(
            with_inverse(A, m, B, n, l)
        ),
        "a_short_descent": lambda A, m, B, n, l: (
            lambda t: t - 0.1 * (l * A @ (t - m) + (1 - l) * B @ (t - n))
        )(n),
        "minus": lambda A, m, B, n, l: -with_inverse(A, m, B, n, l),
        "a_function": lambda A, m, B, n, l: with_inverse,
        "in_place": lambda A, m, B, n, l: with_inverse(A.mul_(l), m, B.mul_(1 - l), n, 0.5),
    }.items()
}

# ---------------------------------------------------------------- stop


@right("stop")
def numpy_unravel(v, t):
    c, r = np.unravel_index(np.argmax(v.numpy().T), v.T.shape)
    return r, c, t.numpy()[r, c]


@right("stop")
def best_per_checkpoint(v, t):
    best, run = v.max(0)
    c = int(best.argmax())
    return int(run[c]), c, t[run[c], c]


@right("stop")
def dictionaries(v, t):
    all_of = {(c, r): float(v[r, c]) for c in range(v.shape[1]) for r in range(v.shape[0])}
    (c, r) = max(all_of, key=all_of.get)
    return [r, c, round(float(t[r, c]), 4)]


@right("stop")
def one_tensor(v, t):
    where = torch.nonzero(v.max() == v.T)[0]
    return torch.tensor([float(where[1]), float(where[0]), float(t[where[1], where[0]])])


@right("stop")
def sorting_tuples(v, t):
    rows = sorted(
        (-v[r, c].item(), c, r, t[r, c].item()) for r in range(len(v)) for c in range(len(v[0]))
    )
    return rows[0][2], rows[0][1], rows[0][3]


@right("stop")
def two_loops(v, t):
    best, answer = -1, None
    for c, column in enumerate(v.T):
        for r, accuracy in enumerate(column):
            if accuracy > best:
                best, answer = accuracy, (r, c, t[r, c].item())
    return answer


@right("stop")
def stable_sort(v, t):
    order = v.T.reshape(-1).sort(descending=True, stable=True).indices[0]
    return order % len(v), order // len(v), t[order % len(v), order // len(v)]


@right("stop")
def smallest_checkpoint_then_run(v, t):
    rows, columns = torch.where(v == v.max())
    c = columns.min()
    r = rows[columns == c].min()
    return torch.stack([r, c]).tolist() + [t[r, c].double()]


def at(where, what=lambda v, t, r, c: t[r, c]):
    def fn(v, t):
        r, c = map(int, where(v, t))
        return r, c, float(what(v, t, r, c))

    return fn


good = lambda v, t: check.stop.reference(v, t)[:2]
flat = lambda v: divmod(int(v.argmax()), v.shape[1])
WRONG["stop"] |= {
    name: (fn, None)
    for name, fn in {
        "on_test": at(lambda v, t: flat(t)),
        "on_test_with_right_ties": at(lambda v, t: good(t, t)),
        "on_mean_of_both": at(lambda v, t: flat((v + t) / 2)),
        "on_product": at(lambda v, t: flat(v * t)),
        "flat_argmax": at(lambda v, t: flat(v)),
        "run_by_validation_checkpoint_by_test": at(
            lambda v, t: (good(v, t)[0], t[good(v, t)[0]].argmax())
        ),
        "checkpoint_by_validation_run_by_test": at(
            lambda v, t: (t[:, good(v, t)[1]].argmax(), good(v, t)[1])
        ),
        "ties_by_test": at(
            lambda v, t: max((v == v.max()).nonzero().tolist(), key=lambda p: t[p[0], p[1]])
        ),
        "last_checkpoint": at(lambda v, t: (v[:, -1].argmax(), v.shape[1] - 1)),
        "first_checkpoint": at(lambda v, t: (v[:, 0].argmax(), 0)),
        "first_run": at(lambda v, t: (0, v[0].argmax())),
        "last_run": at(lambda v, t: (len(v) - 1, v[-1].argmax())),
        "mean_over_runs": at(lambda v, t: (v[:, v.mean(0).argmax()].argmax(), v.mean(0).argmax())),
        "mean_of_runs": at(lambda v, t: (v.mean(1).argmax(), v[v.mean(1).argmax()].argmax())),
        "latest": at(lambda v, t: max(((v == v.max()).nonzero().tolist()), key=lambda p: p[1])),
        "last_of_all": at(lambda v, t: (v == v.max()).nonzero().tolist()[-1]),
        "highest_run": at(
            lambda v, t: min((v == v.max()).nonzero().tolist(), key=lambda p: (p[1], -p[0]))
        ),
        "patience_1": at(
            lambda v, t: (
                good(v, t)[0],
                next(
                    (
                        c
                        for c in range(v.shape[1] - 1)
                        if v[good(v, t)[0], c + 1] < v[good(v, t)[0], c]
                    ),
                    v.shape[1] - 1,
                ),
            )
        ),
        "patience_3": at(lambda v, t: (good(v, t)[0], v[good(v, t)[0], :4].argmax())),
        "nearly_the_best": at(lambda v, t: good(v >= v.max() - 0.01, t)),
        "smoothed": at(lambda v, t: flat(v.cumsum(1) / torch.arange(1, v.shape[1] + 1))),
        "at_most_the_first_ten_runs": at(lambda v, t: good(v[:10], t)),
        "worst": at(lambda v, t: flat(-v)),
        "median": at(lambda v, t: flat(-(v - v.median()).abs())),
        "says_validation": at(good, lambda v, t, r, c: v[r, c]),
        "says_best_of_run": at(good, lambda v, t, r, c: t[r].max()),
        "says_best": at(good, lambda v, t, r, c: t.max()),
        "says_mean_of_run": at(good, lambda v, t, r, c: t[r].mean()),
        "says_last": at(good, lambda v, t, r, c: t[r, -1]),
        "says_mean_of_both": at(good, lambda v, t, r, c: (t[r, c] + v[r, c]) / 2),
        "says_error": at(good, lambda v, t, r, c: 1 - t[r, c]),
        "says_percent": at(good, lambda v, t, r, c: 100 * t[r, c]),
        "says_rounded": at(good, lambda v, t, r, c: round(float(t[r, c]), 1)),
        "swapped": lambda v, t: (*good(v, t)[::-1], check.stop.reference(v, t)[2]),
        "from_1": lambda v, t: tuple(
            x + one for x, one in zip(check.stop.reference(v, t), (1, 1, 0))
        ),
        "without_the_place": lambda v, t: check.stop.reference(v, t)[2],
        "reversed": lambda v, t: check.stop.reference(v, t)[::-1],
        "negative_checkpoint": lambda v, t: (
            good(v, t)[0],
            good(v, t)[1] - v.shape[1],
            check.stop.reference(v, t)[2],
        ),
        "transposed": lambda v, t: check.stop.reference(v.T, t.T),
        "places_and_a_row": lambda v, t: (*good(v, t), t[good(v, t)[0]]),
        "strings": lambda v, t: [str(x) for x in check.stop.reference(v, t)],
    }.items()
}

# ---------------------------------------------------------------- the tests


# ---------------------------------------------------------------- right in most cases only


@wrong("tune", "one step")
def one_step_without_a_loop(body, x, y, n_way, depth, inner_lr, steps):
    return fine_tune(body, x, y, n_way, depth, inner_lr, 1)


@wrong("tune", "random head")
def at_least_one_step(body, x, y, n_way, depth, inner_lr, steps):
    return fine_tune(body, x, y, n_way, depth, inner_lr, max(steps, 1))


@wrong("tune", "logarithms")
def logarithms_of_probabilities(*case):
    return nn.Sequential(fine_tune(*case), nn.LogSoftmax(1)).eval()


@wrong("probe", "value")
def penalty_of_a_tenth_at_least(features, labels, n_way, penalty, query):
    return check.probe.reference(features, labels, n_way, max(penalty, 0.1), query)


@wrong("mixture", "value")
def lam_to_one_digit(A, m, B, n, lam):
    return check.mixture.reference(A, m, B, n, round(lam, 1))


@wrong("mixture", "value")
def remembers_by_size_and_lam(A, m, B, n, lam):
    return SEEN.setdefault((len(m), lam), check.mixture.reference(A, m, B, n, lam))


@wrong("stop", "value")
def chosen_by_whole_percents(v, t):
    run, checkpoint, _ = check.stop.reference((100 * v).round(), t)
    return run, checkpoint, t[run, checkpoint]


@wrong("stop", "value")
def reported_in_whole_percents(v, t):
    run, checkpoint, reported = check.stop.reference(v, t)
    return run, checkpoint, round(reported, 2)


@wrong("stop", "value")
def gives_up_after_three_checkpoints(v, t):
    best, column = 0, v.max(0).values
    for c in range(len(column)):
        if column[c] > column[best]:
            best = c
        elif c - best >= 3:
            break
    run = int(v[:, best].argmax())
    return run, best, t[run, best]


pytestmark = pytest.mark.filterwarnings("ignore:std:UserWarning")
test_right_answers, test_wrong_answers = outsiders.tests_of(
    check,
    [pytest.param(e, fn, id=n) for e in RIGHT for n, fn in RIGHT[e].items()],
    [pytest.param(e, *answer, id=n[:60]) for e in WRONG for n, answer in WRONG[e].items()],
)


@pytest.mark.parametrize("number", [0, 1])
def test_a_network_of_zeros_or_ones_never_passes(number):
    def constant(*arguments):
        net = fine_tune(*arguments)
        for p in net.parameters():
            p.data.fill_(number)
        return net

    assert check.tune(constant).outcome == "not yet"


def test_an_error_in_the_network_names_the_line():
    card = check.tune(a_function_in_a_module_that_fails)
    assert card.outcome == "your code raised" and "`return self.missing(x)`" in card.text


def test_the_exercise_agrees_with_the_package():
    body, x, y, n_way, depth, inner_lr, steps = tuning_case(0, "1 0 4 1 0.3 2")
    right, ours = (
        fn(body, x, y, n_way, depth, inner_lr, steps)(x)
        for fn in (fine_tune, with_the_packages_parts)
    )
    torch.testing.assert_close(ours, right)


def test_an_error_of_the_network_says_whose_it_is():
    card = check.tune(lambda *case: fine_tune(*case).double())
    assert "(raised by the network you returned)" in card.text
