"""Chapter 01's exercises: answers nobody foresaw."""

import numpy as np
import outsiders
import torch

from mlcourse.exercises.ch01 import check
from mlcourse.tasks import Characters


def sampler_in_order(images, n_way, k_shot, n_query, generator):
    """Rejection, class-major lists, one permutation for all characters of an episode."""
    chosen = []
    while len(chosen) < n_way:
        c = int(torch.randint(len(images), (1,), generator=generator))
        if c not in chosen:
            chosen.append(c)
    who = torch.multinomial(torch.ones(images.shape[1]), k_shot + n_query, generator=generator)
    sx = torch.cat([images[c][who[:k_shot]][:, None].float() / 255.0 for c in chosen])
    qx = torch.cat([images[c][who[k_shot:]][:, None].float() / 255.0 for c in chosen])
    sy = [label for label in range(n_way) for _ in range(k_shot)]
    qy = np.repeat(np.arange(n_way, dtype=np.int32), n_query)
    return sx, sy, qx, qy


def nearest_as_tensors(support_x, support_y, query_x):
    distances = [[torch.norm(q - s) for s in support_x] for q in query_x]
    return [support_y[torch.stack(row).argmin()] for row in distances]


def nearest_with_grad(support_x, support_y, query_x):
    query_x = query_x.clone().requires_grad_()
    return support_y[torch.cdist(query_x.flatten(1), support_x.flatten(1)).min(dim=1)[1]]


def mean_with_index_add(support_x, support_y, query_x):
    n_way = int(support_y.max()) + 1
    total = torch.zeros(n_way, *support_x.shape[1:]).index_add_(0, support_y, support_x)
    means = total / support_y.bincount().view(-1, 1, 1, 1)
    return (-((query_x.unsqueeze(1) - means) ** 2).sum(dim=(2, 3, 4))).softmax(1).argmax(1)


def interval_as_a_list(accuracies):
    n = accuracies.shape[0]
    mean = accuracies.sum() / n
    return [mean.item(), 1.96 * (((accuracies - mean) ** 2).sum() / (n - 1) / n).sqrt()]


def leaks_in_two_passes(sample, generator):
    def overlap(sx, qx):
        return any(bool((s == q).all()) for s in sx for q in qx)

    episodes = [sample(generator) for _ in range(120)]
    if any(overlap(sx, qx) for sx, _, qx, _ in episodes):
        return np.True_
    first = {}
    for _, (sx, sy, _, _) in enumerate(episodes):
        for x, y in zip(sx, sy):
            key = str(x.int().tolist())
            if first.setdefault(key, int(y)) != int(y):
                return np.False_
    return np.True_


RIGHT = [
    ("sampler", sampler_in_order),
    ("nearest", nearest_as_tensors),
    ("nearest", nearest_with_grad),
    ("shots", mean_with_index_add),
    ("interval", interval_as_a_list),
    ("leak", leaks_in_two_passes),
]


def sampler_with_sets(images, n_way, k_shot, n_query, generator):
    """A set of small integers comes out sorted: the leak nobody typed."""
    chosen = set(torch.randperm(len(images), generator=generator)[:n_way].tolist())
    order = torch.rand(n_way, images.shape[1], generator=generator).argsort(1)
    x = images[torch.tensor(sorted(chosen))[:, None], order].unsqueeze(2) / 255
    y = torch.arange(n_way)[:, None].expand_as(order)
    cut = slice(k_shot, k_shot + n_query)
    return *(a[:, :k_shot].flatten(0, 1) for a in (x, y)), *(
        a[:, cut].flatten(0, 1) for a in (x, y)
    )


def sampler_two_draws(images, n_way, k_shot, n_query, generator):
    """Support and query drawn one after the other: they overlap now and then."""
    classes = torch.randperm(len(images), generator=generator)[:n_way]
    sets = []
    for n in (k_shot, n_query):
        order = torch.rand(n_way, images.shape[1], generator=generator).argsort(1)[:, :n]
        sets += [(images[classes[:, None], order].unsqueeze(2) / 255).flatten(0, 1)]
        sets += [torch.arange(n_way).repeat_interleave(n)]
    return sets


def sampler_off_by_one(images, n_way, k_shot, n_query, generator):
    return check.sampler.reference(
        images[:-1] if n_way == 3 else images, n_way, k_shot, n_query, generator
    )


def sampler_numpy_shuffle(images, n_way, k_shot, n_query, generator):
    sx, sy, qx, qy = check.sampler.reference(images, n_way, k_shot, n_query, generator)
    order = np.random.permutation(len(qx))
    return sx, sy, qx[order], qy[order]


def sampler_x_without_y(images, n_way, k_shot, n_query, generator):
    sx, sy, qx, qy = check.sampler.reference(images, n_way, k_shot, n_query, generator)
    return sx, sy, qx[torch.randperm(len(qx), generator=generator)], qy


def sampler_of_the_first(images, n_way, k_shot, n_query, generator):
    return check.sampler.reference(images[:n_way], n_way, k_shot, n_query, generator)


def leaks_with_tensor_keys(sample, generator):
    seen = {}
    for _ in range(100):
        support_x, support_y, query_x, _ = sample(generator)
        if set(support_x) & set(query_x):
            return True
        for x, y in zip(support_x, support_y):
            seen.setdefault(x, set()).add(int(y))
    return all(len(labels) == 1 for labels in seen.values())


def leaks_with_pixel_sums(sample, generator):
    for _ in range(100):
        support_x, _, query_x, _ = sample(generator)
        if set(support_x.sum((1, 2, 3)).tolist()) & set(query_x.sum((1, 2, 3)).tolist()):
            return True
    return False


def mean_by_sorted_view(support_x, support_y, query_x):
    n_way = len(support_y.unique())
    means = support_x[support_y.argsort()].view(n_way, -1, *support_x.shape[1:]).mean(1)
    return torch.cdist(query_x.flatten(1), means.flatten(1)).argmin(1)


def nearest_one_at_a_time(support_x, support_y, query_x):
    return support_y[
        ((query_x - support_x[:, None]) ** 2).sum((2, 3, 4)).argmin(1) % len(support_y)
    ]


WRONG = [
    ("sampler", sampler_with_sets, "leak"),
    ("sampler", sampler_two_draws, "overlap"),
    ("sampler", sampler_off_by_one, "same characters"),
    ("sampler", sampler_numpy_shuffle, "other randomness"),
    ("sampler", sampler_x_without_y, "mixed labels"),
    ("sampler", sampler_of_the_first, "same characters"),
    ("leak", leaks_with_tensor_keys, "false alarm"),
    ("leak", leaks_with_pixel_sums, "false alarm"),
    ("nearest", nearest_one_at_a_time, "wrong axis"),
    ("shots", mean_by_sorted_view, "unequal shots"),
    ("shots", check.nearest.reference, "nearest drawing"),
    ("nearest", check.shots.reference, "wrong labels"),
    ("interval", lambda a: (a.mean(), a.std() / (len(a) - 1) ** 0.5 * 1.96), "value"),
    ("interval", lambda a: (0.5, 0.1), "value"),
]


test_right_answers, test_wrong_answers = outsiders.tests_of(check, RIGHT, WRONG)


def mean_by_squeezing(support_x, support_y, query_x):
    means = [support_x[support_y == y].squeeze().mean(0) for y in support_y.unique()]
    distances = (query_x.squeeze(1)[:, None] - torch.stack(means)) ** 2
    return distances.sum((2, 3)).argmin(1)


def test_squeezing_single_drawings_away_is_named_by_its_line():
    card = check.shots(mean_by_squeezing)
    assert card.outcome == "your code raised" and "`distances = (" in card.text
    assert "`squeeze()`" in check.shots.hint().text


def test_the_honest_sampler_of_the_package_passes_and_the_leak_finder_agrees():
    def from_package(images, n_way, k_shot, n_query, generator):
        none = torch.zeros(len(images), dtype=torch.int64)
        pool = Characters(images, none, none[:, None].expand(images.shape[:2]), ("a",), none)
        episode = pool.sample(1, k_shot, n_query, generator, n_way)
        return [part[0] for points in episode for part in points]

    assert check.sampler(from_package).outcome == "correct"
    images = torch.randint(256, (5, 6, 4, 4), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    assert not check.leak.reference(lambda g: from_package(images, 5, 1, 2, g), generator)
