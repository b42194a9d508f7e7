"""Chapter 08's exercises: outsiders' answers; the references on the package's own characters."""

import copy
import random

import numpy as np
import outsiders
import pytest
import torch
import torch.nn.functional as F

from mlcourse import evaluation
from mlcourse.exercises import ch08
from mlcourse.exercises.ch08 import check, seeded
from mlcourse.learners import networks, protonet
from mlcourse.tasks import Episode, Points
from mlcourse.tasks.omniglot import generated

D = torch.float64
loss, one_out = check.episode.reference, check.one_out.reference
evaluate, lake = check.evaluate.reference, check.alphabet.reference


# ---------------------------------------------------------------- answers


def loss_of_a_copy(net, support, query, n_way):
    return loss(copy.deepcopy(net), support, query, n_way)


def loss_without_graph(net, support, query, n_way):
    with torch.no_grad():
        features = net(support[0])
    c = torch.stack([features[support[1] == k].mean(0) for k in range(n_way)])
    return F.cross_entropy(-protonet.squared(net(query[0]), c), query[1])


def loss_by_root(net, support, query, n_way):
    z = net(support[0])
    c = torch.stack([z[support[1] == k].mean(0) for k in range(n_way)])
    return F.cross_entropy(-torch.cdist(net(query[0]), c), query[1])


def loss_all_in_all(net, support, query, n_way):
    """Judges support and query together."""
    z, y = net(torch.cat([support[0], query[0]])), torch.cat([support[1], query[1]])
    c = torch.stack([z[: len(support[1])][support[1] == k].mean(0) for k in range(n_way)])
    return F.cross_entropy(-protonet.squared(z, c), y)


def loss_of_one_graphless(net, support, query, n_way):
    """Switches gradients off for everybody, the check as well."""
    torch.set_grad_enabled(False)
    return loss(net, support, query, n_way)


def one_out_by_value(features, labels, n_way):
    """Leaves out every point that equals point i."""
    rows = []
    for z in features:
        kept = (features != z).any(1)
        c = protonet.prototypes(features[kept], labels[kept], n_way)
        rows.append(((z - c) ** 2).sum(1))
    return torch.stack(rows)


def one_out_never_back(features, labels, n_way):
    labels, rows = labels.clone(), []
    for i, z in enumerate(features):
        labels[i] = -1
        c = [features[labels == k].mean(0) for k in range(n_way)]
        rows.append(((z - torch.stack(c)) ** 2).sum(1))
    return torch.stack(rows)


def one_out_by_zeroing(features, labels, n_way):
    rows = []
    for i in range(len(features)):
        z = features[i].clone()
        features[i] = 0
        rows.append(((z - protonet.prototypes(features, labels, n_way)) ** 2).sum(1))
        features[i] = z
    return torch.stack(rows)


def evaluate_root_only(net, episodes, n_way):
    """Sets the flag of the whole and not of its parts."""
    was, net.training = net.training, False
    with torch.no_grad():
        (x, y), (qx, qy) = episodes
        found = []
        for task in zip(x, y, qx, qy):
            c = protonet.prototypes(net(task[0]), task[1], n_way)
            found.append((protonet.nearest_prototype(net(task[2]), c) == task[3]).double().mean())
    net.training = was
    return evaluation.estimate(torch.stack(found))


def evaluate_half(net, episodes, n_way):
    half = [[part[: len(part) // 2 + 1] for part in side] for side in episodes]
    return evaluate(net, half, n_way)


def evaluate_on_t(net, episodes, n_way):
    mean, width = evaluate(net, episodes, n_way)
    return mean, width * 2.3 / 1.96


def evaluate_pooled(net, episodes, n_way):
    """One interval over all queries of all tasks."""
    mode = net.training
    net.eval()
    (x, y), (qx, qy) = episodes
    with torch.no_grad():
        hits = [
            protonet.nearest_prototype(net(q), protonet.prototypes(net(s), t, n_way)) == u
            for s, t, q, u in zip(x, y, qx, qy)
        ]
    net.train(mode)
    hits = torch.cat(hits).double()
    return hits.mean(), 1.96 * hits.std() / len(hits) ** 0.5


def lake_by_package(pool, generator, n_way=20):
    episode = pool.sample_alphabets(1, 1, generator, n_way)
    pick = torch.randint(len(episode.query.y), (), generator=generator)
    return [[part[pick][None] for part in side] for side in episode]


def lake_backwards(pool, generator, n_way=20):
    """The query stands in the reverse order of the support."""
    (x, y), (u, v) = lake(pool, generator, n_way)
    order = v[0].argsort()[y[0].flip(0)]
    return (x, y), (u[:, order], v[:, order])


def lake_in_turn(pool, generator, n_way=20):
    """Each set begins somewhere and goes round by label."""
    sides = []
    for x, y in lake(pool, generator, n_way):
        start = int(torch.randint(n_way, (), generator=generator))
        order = y[0].argsort().roll(start)
        sides.append((x[:, order], y[:, order]))
    return sides


def lake_in_half(pool, generator, n_way=20):
    return [(x.half(), y) for x, y in lake(pool, generator, n_way)]


def lake_of_nineteen(pool, generator, n_way=20):
    """Never the last drawer."""
    few = torch.where(pool.drawer == 20, 1, 0).argmax(1)
    while True:
        task = lake(pool, generator, n_way)
        shown = [(pool.images[i, j] / 255 == task[0][0][0, 0, 0]).all() for i, j in enumerate(few)]
        if not any(shown):
            return task


def lake_global(pool, generator, n_way=20):
    torch.manual_seed(generator.initial_seed())
    return lake(pool, torch.default_generator, n_way)


def lake_of_python(pool, generator, n_way=20):
    return lake(pool, seeded(random.randrange(10**9)), n_way)


def lake_rewound(pool, generator, n_way=20):
    return lake(pool, generator.manual_seed(1), n_way)


def lake_without_default(pool, generator, n_way):
    return lake(pool, generator, n_way)


def lake_sorted(pool, generator, n_way=20):
    return [[part[:, y[0].argsort()] for part in (x, y)] for x, y in lake(pool, generator, n_way)]


def lake_with_queries_by_class(pool, generator, n_way=20):
    support, (x, y) = lake(pool, generator, n_way)
    return support, [part[:, y[0].argsort()] for part in (x, y)]


WRONG = [
    ("episode", loss_of_a_copy, "cut"),
    ("episode", loss_without_graph, "prototypes cut"),
    ("episode", loss_by_root, "unsquared"),
    ("episode", loss_all_in_all, "value"),
    ("episode", lambda net, s, q, n: loss(net, q, s, n), "swapped"),
    ("episode", lambda net, s, q, n: loss(net, s, q, n).item(), "cut"),
    ("episode", lambda net, s, q, n: loss(net, s, q, n) * len(q[1]), "sum"),
    ("episode", lambda net, s, q, n: loss(net, s, (q[0], q[1].flip(0)), n), "value"),
    ("episode", lambda net, s, q, n: loss(net, (s[0].mul_(1.1), s[1]), q, n), "input changed"),
    ("episode", loss_of_one_graphless, "cut"),
    ("episode", lambda net, s, q, n: loss(net, s, q, n).detach().requires_grad_(), "cut"),
    ("one_out", one_out_by_value, "equal points"),
    ("one_out", one_out_never_back, "never back"),
    ("one_out", one_out_by_zeroing, "own count"),
    ("one_out", ch08.one_out_of_every_class, "one of every class"),
    ("one_out", lambda z, y, n: protonet.squared(z, protonet.prototypes(z, y, n)), "with it"),
    ("one_out", lambda z, y, n: one_out(z, y, n).sqrt(), "unsquared"),
    ("one_out", lambda z, y, n: -one_out(z, y, n), "minus"),
    ("one_out", lambda z, y, n: one_out(z, y, n).argmin(1), "own alone"),
    ("evaluate", evaluate_root_only, "mode kept"),
    ("evaluate", evaluate_half, "value"),
    ("evaluate", evaluate_on_t, "value"),
    ("evaluate", evaluate_pooled, "value"),
    ("evaluate", lambda net, e, n: tuple(evaluate(net, e, n)) + (3,), "return"),
    ("evaluate", lambda net, e, n: evaluate(net, e, n)[::-1], "value"),
    ("evaluate", lambda net, e, n: evaluate(net, (e[1], e[0]), n), "value"),
    ("evaluate", lambda net, e, n: evaluate(net.train(), e, n), "always training"),
    ("evaluate", lambda net, e, n: (1 - evaluate(net, e, n)[0], evaluate(net, e, n)[1]), "errors"),
    ("alphabet", lake_backwards, "same order"),
    ("alphabet", lake_in_turn, "in order"),
    ("alphabet", lake_in_half, "type"),
    ("alphabet", lake_by_package, "several drawers"),
    ("alphabet", ch08.alphabet_of_neighbours, "tied drawers"),
    ("alphabet", lake_of_nineteen, "few drawers"),
    ("alphabet", lake_global, "stands still"),
    ("alphabet", lake_of_python, "other randomness"),
    ("alphabet", lake_rewound, "stands still"),
    ("alphabet", lake_sorted, "in order"),
    ("alphabet", lake_with_queries_by_class, "in order"),
    ("alphabet", lambda p, g, n=20: p.sample(1, 1, 1, g, n), "several alphabets"),
    ("alphabet", lambda p, g, n=20: lake(p, g, 20), "shape"),
    ("alphabet", lambda p, g, n=20: lake(p, g, n)[::-1][:1] * 2, "same drawer"),
]


def loss_with_functional(net, support, query, n_way):
    z, q = (
        torch.func.functional_call(net, dict(net.named_parameters()), p[0])
        for p in (support, query)
    )
    w, b = protonet.linear_classifier(protonet.prototypes(z, support[1], n_way))
    return -(q @ w.mT + b).log_softmax(1).gather(1, query[1][:, None]).mean()


def loss_by_cdist(net, support, query, n_way):
    c = protonet.prototypes(net(support[0]), support[1], n_way)
    return F.nll_loss(F.log_softmax(-(torch.cdist(net(query[0]), c) ** 2), 1), query[1])


def evaluate_a_copy(net, episodes, n_way):
    return evaluate(copy.deepcopy(net), episodes, n_way)


def evaluate_a_frozen_copy(net, episodes, n_way):
    """Gradients are on, and nothing asks for them."""
    frozen, accuracies = copy.deepcopy(net).eval().requires_grad_(False), []
    for x, y, query_x, query_y in zip(*episodes[0], *episodes[1]):
        c = protonet.prototypes(frozen(x), y, n_way)
        hits = protonet.nearest_prototype(frozen(query_x), c) == query_y
        accuracies.append(hits.double().mean())
    return evaluation.estimate(torch.stack(accuracies))


def evaluate_by_vmap(net, episodes, n_way):
    mode = net.training
    net.eval()
    with torch.no_grad():
        z, q = (torch.vmap(net)(side[0]) for side in episodes)
    c = protonet.prototypes(z, episodes[0][1], n_way)
    hits = (protonet.nearest_prototype(q, c) == episodes[1][1]).numpy().mean(1)
    net.train(mode)
    return np.array([hits.mean(), 1.96 * hits.std(ddof=1) / np.sqrt(len(hits))])


def lake_as_episode(pool, generator, n_way=20):
    """By numpy, seeded once a call."""
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    names, counts = np.unique(pool.alphabet.numpy(), return_counts=True)
    chosen = rng.choice(names[counts >= n_way])
    classes = rng.choice(np.flatnonzero(pool.alphabet.numpy() == chosen), n_way, replace=False)
    sides = []
    for hand in rng.choice(np.arange(1, 21), 2, replace=False):
        order = rng.permutation(n_way)
        rows = [pool.images[c][pool.drawer[c] == hand] for c in classes[order]]
        y = torch.from_numpy(order)[None]
        sides.append(Points(torch.stack(rows).unsqueeze(0).float() / 255, y))
    return Episode(*sides)


RIGHT = [
    ("episode", loss_with_functional),
    ("episode", loss_by_cdist),
    ("episode", lambda net, s, q, n: loss(net.train(), s, q, n)[None]),
    ("one_out", lambda z, y, n: one_out(z, y, n).numpy()),
    ("one_out", lambda z, y, n: one_out(z + 5, y, n).tolist()),
    ("evaluate", evaluate_a_copy),
    ("evaluate", evaluate_a_frozen_copy),
    ("evaluate", evaluate_by_vmap),
    ("alphabet", lake_as_episode),
    ("alphabet", lambda p, g, n=20: lake(p, g, n)[::-1]),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def test_a_missing_default_is_told_as_an_error():
    card = check.alphabet(lake_without_default)
    assert card.outcome == "your code raised" and "n_way" in card.text


@pytest.mark.parametrize("seed", range(6))
def test_right_answers_do_not_depend_on_luck(seed):
    """The chances in Lake's task are judged by counts; other random numbers must do as well."""

    def other(pool, generator, n_way=20):
        torch.rand(seed + 1, generator=generator)
        return lake(pool, generator, n_way)

    assert check.alphabet(other).outcome == "correct"


# ---------------------------------------------------------------- on the package's own characters


def test_lakes_task_of_real_pools_has_the_form_of_a_sample():
    pool = generated(20).background
    n_way = int(pool.alphabet.bincount().max()) - 1
    task, like = lake(pool, seeded(0), n_way), pool.sample(1, 1, 1, seeded(0), n_way)
    for side, other in zip(task, like):
        for part, right in zip(side, other):
            assert (part.shape, part.dtype) == (right.shape, right.dtype)
    assert (pool.drawer.sort(1).values == torch.arange(1, 21)).all()


def test_the_references_agree_with_the_package_on_a_conv4():
    episodes = generated(20).background.sample(6, 2, 3, seeded(1), 5)
    net = networks.conv4(4)
    for part in range(6):
        episode = [Points(*(v[part] for v in side)) for side in episodes]
        found = loss(net.eval(), *episode, 5)
        with torch.no_grad():
            embedded = [Points(net(x), y) for x, y in episode]
        torch.testing.assert_close(found.detach(), protonet.loss(*embedded, 5))
    mean, width = evaluate(net, episodes, 5)
    assert 0.2 < mean <= 1 and 0 < width < 0.5


def test_leaving_out_is_worse_than_sitting_in_ones_own_prototype():
    """One's own distance grows by (K / (K − 1))², the others' stay."""
    z, y = ch08.drawn(12, 5, seed=3), torch.arange(3).repeat(4)
    without, within = one_out(z, y, 3), protonet.squared(z, protonet.prototypes(z, y, 3))
    own = F.one_hot(y).bool()
    torch.testing.assert_close(without[own], within[own] * (4 / 3) ** 2)
    torch.testing.assert_close(without[~own], within[~own])
