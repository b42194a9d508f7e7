"""Chapter 06: answers that are right in most cases only, and messages that fit by chance."""

import numpy as np
import outsiders
import torch

from mlcourse.exercises.ch06 import check, loss_after_some, permuted, seeded

head, alone = check.head.reference, check.alone.reference
some, rate = check.some.reference, check.rate.reference


def only_equal_counts(z, y, n):
    """Right while every class has equally many points."""
    order = y.argsort(stable=True)
    size = len(y) // n
    c = torch.stack([z[order][k * size : (k + 1) * size].mean(0) for k in range(n)])
    return 2 * c, -(c**2).sum(1)


def of_length_one(z, y, n):
    c = torch.nn.functional.normalize(head(z, y, n)[0] / 2, dim=1)
    return 2 * c, -(c**2).sum(1)


def with_temperature(z, y, n):
    weight, bias = head(z, y, n)
    return weight / 2, bias / 2


def three_times(forward, support_x, query_x):
    batches = (torch.cat([support_x, support_x, x[None]]) for x in query_x)
    return torch.stack([forward(batch)[-1] for batch in batches])


def first_shots_only(forward, support_x, query_x):
    return alone(forward, support_x[:-1], query_x)


def same_on_both_sides(sy, qy, n, g):
    """Orders that repeat every second task."""
    order = torch.rand(2, n, generator=g).argsort(1).repeat(-(-len(sy) // 2), 1)[: len(sy)]
    return order.gather(1, sy), order.gather(1, qy)


def never_the_old_one(sy, qy, n, g):
    """Draws again while a label stays what it was: some orders never come."""
    out = []
    for s, q in zip(sy, qy):
        order = torch.randperm(n, generator=g)
        while (order == torch.arange(n)).any():
            order = torch.randperm(n, generator=g)
        out.append((order[s], order[q]))
    return tuple(torch.stack(side) for side in zip(*out))


def by_numpy_seed(sy, qy, n, g):
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=g)))
    order = torch.from_numpy(np.stack([rng.permutation(n) for _ in sy]))
    return order.gather(1, sy), order.gather(1, qy)


def adds_noise_to_the_head(params, support, query, loss, lr, steps, moving):
    return some({n: p + 1e-3 for n, p in params.items()}, support, query, loss, lr, steps, moving)


def by_leaf_copies(params, support, query, loss, lr, steps, moving):
    """The number is right, the graph is another."""
    copies = {n: p.detach().clone().requires_grad_() for n, p in params.items()}
    return some(copies, support, query, loss, lr, steps, moving)


def first_order(params, support, query, loss, lr, steps, moving):
    now = dict(params)
    for _ in range(steps):
        g = torch.autograd.grad(loss(now, support), [now[n] for n in moving])
        now |= {n: now[n] - lr * d for n, d in zip(moving, g)}
    return loss(now, query)


WRONG = [
    ("head", only_equal_counts, "value"),
    ("head", of_length_one, "value"),
    ("head", with_temperature, "halved"),
    ("head", lambda z, y, n: (head(z, y, n)[0], head(z, y, n)[1][:, None]), "shape"),
    ("head", lambda z, y, n: torch.nn.Linear(z.shape[1], n), "return"),
    ("alone", three_times, "value"),
    ("alone", first_shots_only, "value"),
    ("alone", lambda f, s, q: f(torch.cat([s, q]))[len(s) :], "together"),
    ("alone", lambda f, s, q: alone(f, s, q).argmax(1), "shape"),
    ("alone", lambda f, s, q: alone(f, s, q).softmax(1), "value"),
    ("permute", same_on_both_sides, "uneven"),
    ("permute", never_the_old_one, "uneven"),
    ("permute", lambda sy, qy, n, g: (n - 1 - sy, n - 1 - qy), "one order"),
    ("permute", lambda sy, qy, n, g: (sy, qy), "not permuted"),
    ("permute", lambda sy, qy, n, g: permuted(sy, qy, n, None), "other randomness"),
    ("permute", lambda sy, qy, n, g: [part.int() for part in permuted(sy, qy, n, g)], "type"),
    ("some", adds_noise_to_the_head, "value"),
    ("some", by_leaf_copies, "cut"),
    ("some", first_order, "first order"),
    ("some", lambda *case: some(*case[:-2], 1, case[-1]), "one step"),
    ("some", lambda *case: float(some(*case)), "cut"),
    ("rate", lambda a, n, k, d: a * n, "ways only"),
    ("rate", lambda a, n, k, d: a * n * k / d if d == k else a, "value"),
    ("rate", lambda a, n, k, d: 2.0, "value"),
]
RIGHT = [
    ("head", lambda z, y, n: [part.numpy() for part in head(z, y, n)]),
    ("head", lambda z, y, n: (head(z, y, n)[0] + 1.0, head(z, y, n)[1] - 3.0)),
    ("alone", lambda f, s, q: np.stack([f(torch.cat([x[None], s])).numpy()[0] for x in q])),
    ("permute", by_numpy_seed),
    ("some", lambda params, *rest: some({n: 1 * p for n, p in params.items()}, *rest)),
    ("rate", lambda a, n, k, d: torch.tensor(a * (n * k / d))),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def by_appearance(support_y, query_y, n_way, generator):
    """New labels in the order in which the old ones come: nothing is drawn at all."""
    first = [s.tolist() for s in support_y]
    names = [{old: new for new, old in enumerate(dict.fromkeys(s))} for s in first]
    pairs = ((support_y, names), (query_y, names))
    return [torch.tensor([[n[v] for v in y.tolist()] for y, n in zip(*p)]) for p in pairs]


def turned_or_mirrored(support_y, query_y, n_way, generator):
    draw = torch.randint(n_way, (2, len(support_y), 1), generator=generator)
    sign = 1 - 2 * (draw[1] % 2)
    return [(sign * y + draw[0]) % n_way for y in (support_y, query_y)]


def test_labels_are_drawn_anew_in_every_call():
    for make in (lambda g: seeded(0), lambda g: seeded(g.initial_seed()), torch.clone):
        if make is torch.clone:
            make = lambda g: torch.Generator().set_state(g.get_state())  # noqa: E731
        wrong = lambda s, q, n, g, make=make: permuted(s, q, n, make(g))  # noqa: E731
        assert check.permute(wrong).symptom == "stands still"
    assert check.permute(by_appearance).symptom == "stands still"


def test_three_classes_do_not_tell_all_orders():
    assert check.permute(turned_or_mirrored).symptom == "uneven"


def test_only_the_named_tensors_adapt_not_those_whose_name_holds_the_name():
    def within(params, support, query, loss, inner_lr, steps, moving):
        names = tuple(n for n in params if any(n in m for m in moving))
        return loss_after_some(params, support, query, loss, inner_lr, steps, names)

    assert check.some(within).outcome == "not yet"


def test_a_step_in_place_is_told_as_such():
    def in_place(params, support, query, loss, inner_lr, steps, moving):
        for _ in range(steps):
            grads = torch.autograd.grad(loss(params, support), [params[n] for n in moving])
            with torch.no_grad():
                for name, g in zip(moving, grads):
                    params[name] -= inner_lr * g
        return loss(params, query)

    def frozen(params, *rest):
        for name in params.keys() - {*rest[-1]}:
            params[name].requires_grad_(False)
        return loss_after_some(params, *rest)

    for wrong in (in_place, frozen):
        assert check.some(wrong).symptom == "input changed"
