"""Wrong and right answers to the exercises, written without reading the checkers: plain data."""
# ruff: noqa: E501, B023, E731

import collections
import functools
import math
import random
import statistics

import numpy as np
import torch
import torch.nn.functional as F

NAMES = ["error", "sampler", "nearest", "shots", "interval", "leak"]

WRONG = {name: {} for name in NAMES}

RIGHT = {name: {} for name in NAMES}


def wrong(exercise):
    return lambda fn: WRONG[exercise].setdefault(fn.__name__, fn)


def right(exercise):
    return lambda fn: RIGHT[exercise].setdefault(fn.__name__, fn)


WRONG["error"] |= {
    "error_sum": lambda p, t: ((p - t) ** 2).sum(),
    "error_absolute": lambda p, t: (p - t).abs().mean(),
    "error_root": lambda p, t: ((p - t) ** 2).mean().sqrt(),
    "error_no_mean": lambda p, t: (p - t) ** 2,
    "error_square_of_mean": lambda p, t: (p - t).mean() ** 2,
    "error_broadcast": lambda p, t: ((p.squeeze() - t) ** 2).mean(),
    "error_ten_points": lambda p, t: ((p - t) ** 2).sum() / 10,
    "error_half": lambda p, t: ((p - t) ** 2).mean() / 2,
    "error_of_squares": lambda p, t: (p**2 - t**2).mean(),
    "error_median": lambda p, t: ((p - t) ** 2).median(),
    "error_max": lambda p, t: ((p - t) ** 2).max(),
    "error_n_minus_1": lambda p, t: ((p - t) ** 2).sum() / max(len(p) - 1, 1),
    "error_variance": lambda p, t: (p - t).var(unbiased=False),
    "error_one_off": lambda p, t: ((p[:-1] - t[:-1]) ** 2).mean() if len(p) > 1 else (p - t).square().mean(),
    "error_first_50": lambda p, t: ((p[:50] - t[:50]) ** 2).mean(),
    "error_first_100": lambda p, t: ((p[:100] - t[:100]) ** 2).mean(),
    "error_rounded4": lambda p, t: round(float(((p - t) ** 2).mean()), 4),
    "error_half_precision": lambda p, t: ((p.half() - t.half()) ** 2).mean(),
    "error_sorted": lambda p, t: ((p.sort(0).values - t.sort(0).values) ** 2).mean(),
    "error_clipped": lambda p, t: ((p - t) ** 2).clamp(max=100).mean(),
    "error_mean_dim1": lambda p, t: ((p - t) ** 2).mean(1),
    "error_print": lambda p, t: None,
    "error_nonneg": lambda p, t: ((p - t).clamp(min=0) ** 2).mean(),
    "error_flip": lambda p, t: ((p - t.flip(0)) ** 2).mean(),
    "error_unique": lambda p, t: ((p - t) ** 2).unique().mean(),
    "error_string": lambda p, t: str(float(((p - t) ** 2).mean())),
    "error_negative": lambda p, t: -((p - t) ** 2).mean(),
    "error_bool": lambda p, t: bool((p == t).all()),
}


@wrong("error")
def error_in_place(prediction, target):
    prediction -= target
    return (prediction**2).mean()


_first = {}


@wrong("error")
def error_caches_by_size(prediction, target):
    return _first.setdefault(("e", len(target)), ((prediction - target) ** 2).mean())


@wrong("error")
def error_loop_off_by_one(prediction, target):
    total = 0
    for i in range(1, len(target)):
        total += (prediction[i] - target[i]) ** 2
    return total / len(target)


@right("error")
def error_numpy(prediction, target):
    return np.mean((prediction.numpy() - target.numpy()) ** 2)


@right("error")
def error_mse_loss(prediction, target):
    return F.mse_loss(prediction, target)


@right("error")
def error_matmul(prediction, target):
    d = (target - prediction).double().flatten()
    return d @ d / len(d)


@right("error")
def error_var_plus_mean(prediction, target):
    d = (prediction - target).double()
    return d.var(unbiased=False) + d.mean() ** 2


def built(images, classes, support, query, shape=None):
    """An episode from lists: label -> class, and for each label its drawings."""

    def part(of):
        x = torch.cat([images[c, torch.as_tensor(d)] for c, d in zip(classes, of)])
        y = torch.tensor([i for i, d in enumerate(of) for _ in range(len(d))])
        return (x.unsqueeze(1).float() / 255, y)

    return (*part(support), *part(query))


def chosen(images, n_way, generator):
    return torch.randperm(len(images), generator=generator)[:n_way].tolist()


def orders(images, n_way, generator):
    return [torch.randperm(images.shape[1], generator=generator).tolist() for _ in range(n_way)]


def honest(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_overlap_last_class(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    query = [d[k : k + q] for d in o]
    query[-1] = o[-1][:q]
    return built(images, c, [d[:k] for d in o], query)


@wrong("sampler")
def sampler_sorted_when_wide(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    c = sorted(c) if n > 5 else c
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_sorted_two_way(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    c = sorted(c) if n == 2 else c
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_set_of_classes(images, n, k, q, g):
    c, o = (set(chosen(images, n, g)), orders(images, n, g))
    return built(images, list(c), [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_rotated_sorted(images, n, k, q, g):
    c, o = (sorted(chosen(images, n, g)), orders(images, n, g))
    r = int(torch.randint(n, (1,), generator=g))
    return built(images, c[r:] + c[:r], [d[:k] for d in o], [d[k : k + q] for d in o])


_rank = {}


@wrong("sampler")
def sampler_neighbours(images, n, k, q, g):
    start, o = (int(torch.randint(len(images), (1,), generator=g)), orders(images, n, g))
    c = [(start + int(i)) % len(images) for i in torch.randperm(n, generator=g)]
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_biased_classes(images, n, k, q, g):
    weights = torch.ones(len(images))
    weights[: len(images) // 2] = 4.0
    c, o = (torch.multinomial(weights, n, generator=g).tolist(), orders(images, n, g))
    random.Random(sum(c)).shuffle(c)
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_one_class_rare(images, n, k, q, g):
    weights = torch.ones(len(images))
    weights[0] = 0.3
    p = torch.multinomial(weights, n, generator=g)
    c, o = (p[torch.randperm(n, generator=g)].tolist(), orders(images, n, g))
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_fixed_split(images, n, k, q, g):
    c, o = (chosen(images, n, g), [torch.randperm(k + q, generator=g).tolist() for _ in range(n)])
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_run_of_drawings(images, n, k, q, g):
    c, d = (chosen(images, n, g), images.shape[1])
    o = [[(int(s) + i) % d for i in range(k + q)] for s in torch.randint(d, (n,), generator=g)]
    return built(images, c, [a[:k] for a in o], [a[k : k + q] for a in o])


@wrong("sampler")
def sampler_python_random(images, n, k, q, g):
    c = random.sample(range(len(images)), n)
    o = [random.sample(range(images.shape[1]), k + q) for _ in c]
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_shuffles_images_in_place(images, n, k, q, g):
    images[:] = images[:, torch.randperm(images.shape[1], generator=g)]
    return honest(images, n, k, q, g)


@wrong("sampler")
def sampler_by_brightest(images, n, k, q, g):
    sx, sy, qx, qy = honest(images, n, k, q, g)
    return (sx / sx.max(), sy, qx / qx.max(), qy)


@wrong("sampler")
def sampler_by_brightest_image(images, n, k, q, g):
    sx, sy, qx, qy = honest(images, n, k, q, g)
    s = 255 / images.max()
    return (sx * s, sy, qx * s, qy)


@wrong("sampler")
def sampler_each_stretched(images, n, k, q, g):
    sx, sy, qx, qy = honest(images, n, k, q, g)
    return (sx / sx.amax((1, 2, 3), keepdim=True).clamp(min=1e-09), sy, qx / qx.amax((1, 2, 3), keepdim=True).clamp(min=1e-09), qy)


@wrong("sampler")
def sampler_transposed_pictures(images, n, k, q, g):
    sx, sy, qx, qy = honest(images, n, k, q, g)
    return (sx.mT, sy, qx.mT, qy)


@wrong("sampler")
def sampler_all_labels_tiled(images, n, k, q, g):
    sx, sy, qx, qy = honest(images, n, k, q, g)
    return (sx, torch.arange(n).repeat(k), qx, torch.arange(n).repeat(q))


@wrong("sampler")
def sampler_lists(images, n, k, q, g):
    return [part.tolist() for part in honest(images, n, k, q, g)]


@wrong("sampler")
def sampler_too_many_when_large(images, n, k, q, g):
    if n * (k + q) > 60:
        return honest(images, n, k, q, torch.default_generator)
    return honest(images, n, k, q, g)


@wrong("sampler")
def sampler_constant_when_all(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    if n == len(images):
        c = list(range(n))
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@right("sampler")
def sampler_numpy_seeded(images, n_way, k_shot, n_query, generator):
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    x = images.numpy()[rng.permutation(len(images))[:n_way]].astype(np.float32) / 255
    x = rng.permuted(x.reshape(n_way, images.shape[1], -1).transpose(0, 1, 2), axis=0) if False else x
    x = np.stack([one[rng.permutation(len(one))] for one in x])[:, :, None]
    s, q = (x[:, :k_shot], x[:, k_shot : k_shot + n_query])
    y = np.arange(n_way)
    s, q = (s.reshape(-1, *x.shape[2:]), q.reshape(-1, *x.shape[2:]))
    ys, yq = (y.repeat(k_shot), y.repeat(n_query))
    return tuple(map(torch.from_numpy, (s, ys, q, yq)))


@right("sampler")
def sampler_random_seeded(images, n, k, q, g):
    rng = random.Random(int(torch.randint(2**31, (1,), generator=g)))
    c = rng.sample(range(len(images)), n)
    o = [rng.sample(range(images.shape[1]), k + q) for _ in c]
    return built(images, c, [d[:k] for d in o], [d[k:] for d in o])


@right("sampler")
def sampler_topk(images, n, k, q, g):
    c = torch.rand(len(images), generator=g, dtype=torch.double).topk(n).indices
    d = torch.rand(n, images.shape[1], generator=g, dtype=torch.double).topk(k + q).indices
    x = (images[c[:, None], d].float() / 255)[:, :, None]
    y = torch.arange(n)[:, None].expand(n, k + q)
    return (x[:, :k].flatten(0, 1), y[:, :k].flatten(), x[:, k:].flatten(0, 1), y[:, k:].flatten())


def table(s, q):
    return ((q[:, None].double() - s.double()) ** 2).flatten(2).sum(2)


WRONG["nearest"] |= {
    "nearest_farthest": lambda s, y, q: y[table(s, q).argmax(1)],
    "nearest_place": lambda s, y, q: table(s, q).argmin(1),
    "nearest_place_by_shots": lambda s, y, q: table(s, q).argmin(1) // (len(y) // len(y.unique())),
    "nearest_absolute": lambda s, y, q: y[(q[:, None] - s).abs().flatten(2).sum(2).argmin(1)],
    "nearest_largest_difference": lambda s, y, q: y[(q[:, None] - s).abs().flatten(2).amax(2).argmin(1)],
    "nearest_dot": lambda s, y, q: y[(q.flatten(1) @ s.flatten(1).T).argmax(1)],
    "nearest_cosine": lambda s, y, q: y[F.cosine_similarity(q.flatten(1)[:, None], s.flatten(1), dim=2).argmax(1)],
    "nearest_centred": lambda s, y, q: y[table(s - s.mean((1, 2, 3), True), q - q.mean((1, 2, 3), True)).argmin(1)],
    "nearest_ink": lambda s, y, q: y[(q.sum((1, 2, 3))[:, None] - s.sum((1, 2, 3))).abs().argmin(1)],
    "nearest_sum_then_square": lambda s, y, q: y[((q[:, None] - s).flatten(2).sum(2) ** 2).argmin(1)],
    "nearest_first_row": lambda s, y, q: y[table(s[:, :, :1], q[:, :, :1]).argmin(1)],
    "nearest_one_pixel_missing": lambda s, y, q: y[table(s.flatten(2)[..., :-1], q.flatten(2)[..., :-1]).argmin(1)],
    "nearest_half_size": lambda s, y, q: y[table(s[..., ::2, ::2], q[..., ::2, ::2]).argmin(1)],
    "nearest_wrong_axis": lambda s, y, q: y[table(s, q).argmin(0)],
    "nearest_first_query_only": lambda s, y, q: y[table(s, q).argmin(1)][:1].expand(len(q)),
    "nearest_last_support_missing": lambda s, y, q: y[table(s[:-1], q).argmin(1)],
    "nearest_vote_of_3": lambda s, y, q: y[table(s, q).topk(min(3, len(s)), largest=False).indices].mode(1).values,
    "nearest_column": lambda s, y, q: y[table(s, q).argmin(1, keepdim=True)],
    "nearest_float_labels": lambda s, y, q: y[table(s, q).argmin(1)].float(),
    "nearest_squeezed": lambda s, y, q: y[((q.squeeze()[:, None] - s.squeeze()) ** 2).sum((-1, -2)).argmin(1)],
    "nearest_result_squeezed": lambda s, y, q: y[table(s, q).argmin(1)].squeeze(),
    "nearest_bytes": lambda s, y, q: y[(((q * 255).byte()[:, None] - (s * 255).byte()) ** 2).flatten(2).sum(2).argmin(1)],
    "nearest_binary": lambda s, y, q: y[table(s > 0.5, q > 0.5).argmin(1)],
    "nearest_distance": lambda s, y, q: table(s, q).min(1).values,
    "nearest_first_25_support": lambda s, y, q: y[table(s[:25], q).argmin(1)],
    "nearest_mean_instead": lambda s, y, q: y.unique()[table(torch.stack([s[y == c].mean(0) for c in y.unique()]), q).argmin(1)],
    "nearest_summed_per_label": lambda s, y, q: torch.stack([table(s, q)[:, y == c].sum(1) for c in y.unique()], 1).argmin(1),
    "nearest_mean_distance": lambda s, y, q: y.unique()[torch.stack([table(s, q)[:, y == c].mean(1) for c in y.unique()], 1).argmin(1)],
    "nearest_zip": lambda s, y, q: torch.stack([y[table(s[: len(y)], one[None]).argmin()] for one, _ in zip(q, s)]),
    "nearest_per_pixel": lambda s, y, q: y[((q[:, None] - s) ** 2).flatten(2).argmin(1)],
    "nearest_soft": lambda s, y, q: (torch.softmax(-table(s, q), 1) @ y.double()).round().long(),
}


@wrong("nearest")
def nearest_changes_query(support_x, support_y, query_x):
    found = support_y[table(support_x, query_x).argmin(1)]
    query_x.mul_(2)
    return found


@wrong("nearest")
def nearest_cached_by_shape(support_x, support_y, query_x):
    key = ("n", support_x.shape, query_x.shape)
    return _first.setdefault(key, support_y[table(support_x, query_x).argmin(1)])


@wrong("nearest")
def nearest_running_best_not_reset(support_x, support_y, query_x):
    best, out, label = (math.inf, [], support_y[0])
    for one in query_x:
        for other, y in zip(support_x, support_y):
            if (d := ((one - other) ** 2).sum()) < best:
                best, label = (d, y)
        out.append(label)
    return torch.stack(out)


@right("nearest")
def nearest_numpy(support_x, support_y, query_x):
    d = query_x.numpy()[:, None] - support_x.numpy()[None]
    return support_y.numpy()[(d**2).sum((2, 3, 4)).argmin(1)]


@right("nearest")
def nearest_cdist(support_x, support_y, query_x):
    return support_y[torch.cdist(query_x.flatten(1), support_x.flatten(1)).argmin(1)]


@right("nearest")
def nearest_topk(support_x, support_y, query_x):
    d = -((query_x.unsqueeze(1) - support_x.unsqueeze(0)) ** 2).mean((2, 3, 4))
    return support_y[d.topk(1, dim=1).indices[:, 0]]


@right("nearest")
def nearest_min_per_label(support_x, support_y, query_x):
    labels = support_y.unique()
    d = table(support_x, query_x)
    return labels[torch.stack([d[:, support_y == c].amin(1) for c in labels], 1).argmin(1)]


def means(s, y, f=lambda x: x.mean(0)):
    labels = y.unique()
    return (labels, torch.stack([f(s[y == c]) for c in labels]))


def by(s, y, q, f):
    labels, m = means(s, y, f)
    return labels[table(m, q).argmin(1)]


WRONG["shots"] |= {
    "shots_neighbour": lambda s, y, q: y[table(s, q).argmin(1)],
    "shots_sum": lambda s, y, q: by(s, y, q, lambda x: x.sum(0)),
    "shots_largest_count": lambda s, y, q: by(s, y, q, lambda x: x.sum(0) / y.bincount().max()),
    "shots_count_less_1": lambda s, y, q: by(s, y, q, lambda x: x.sum(0) / max(len(x) - 1, 1)),
    "shots_median": lambda s, y, q: by(s, y, q, lambda x: x.median(0).values),
    "shots_max": lambda s, y, q: by(s, y, q, lambda x: x.amax(0)),
    "shots_first_shot": lambda s, y, q: by(s, y, q, lambda x: x[0]),
    "shots_without_last": lambda s, y, q: by(s, y, q, lambda x: x[:-1].mean(0) if len(x) > 1 else x[0]),
    "shots_fewest": lambda s, y, q: by(s, y, q, lambda x: x[: int(y.bincount()[y.unique()].min())].mean(0)),
    "shots_running_half": lambda s, y, q: by(s, y, q, lambda x: functools.reduce(lambda a, b: (a + b) / 2, x)),
    "shots_medoid": lambda s, y, q: by(s, y, q, lambda x: x[table(x, x).sum(1).argmin()]),
    "shots_binary_mean": lambda s, y, q: by(s, y, q, lambda x: (x.mean(0) > 0.5).float()),
    "shots_rounded_mean": lambda s, y, q: by(s, y, q, lambda x: x.mean(0).round(decimals=1)),
    "shots_smoothed": lambda s, y, q: by(s, y, q, lambda x: (x.sum(0) + s.mean(0)) / (len(x) + 1)),
    "shots_unit_mean": lambda s, y, q: by(s, y, q, lambda x: x.mean(0) / x.mean(0).norm()),
    "shots_brightness_mean": lambda s, y, q: by(s, y, q, lambda x: x.mean().expand(x.shape[1:])),
    "shots_one_shot_is_zero": lambda s, y, q: by(s, y, q, lambda x: x.mean(0) if len(x) > 1 else x[0] * 0),
    "shots_mean_distance": lambda s, y, q: y.unique()[torch.stack([table(s, q)[:, y == c].mean(1) for c in y.unique()], 1).argmin(1)],
    "shots_k_nearest_vote": lambda s, y, q: y[table(s, q).topk(min(5, len(s)), largest=False).indices].mode(1).values,
    "shots_absolute": lambda s, y, q: means(s, y)[0][(q[:, None] - means(s, y)[1]).abs().flatten(2).sum(2).argmin(1)],
    "shots_cosine": lambda s, y, q: means(s, y)[0][F.cosine_similarity(q.flatten(1)[:, None], means(s, y)[1].flatten(1), dim=2).argmax(1)],
    "shots_prior": lambda s, y, q: means(s, y)[0][(table(means(s, y)[1], q) - 2 * y.bincount()[y.unique()].log()).argmin(1)],
    "shots_weighted_by_count": lambda s, y, q: means(s, y)[0][(table(means(s, y)[1], q) / y.bincount()[y.unique()]).argmin(1)],
    "shots_float": lambda s, y, q: by(s, y, q, lambda x: x.mean(0)).float(),
    "shots_column": lambda s, y, q: by(s, y, q, lambda x: x.mean(0))[:, None],
    "shots_squeezed": lambda s, y, q: by(s, y, q, lambda x: x.mean(0)).squeeze(),
    "shots_query_squeezed": lambda s, y, q: by(s.squeeze(), y, q.squeeze(), lambda x: x.mean(0)),
    "shots_five_labels": lambda s, y, q: table(torch.stack([s[y == c].mean(0) for c in range(5)]), q).argmin(1),
    "shots_sorted_reshaped": lambda s, y, q: y.unique()[table(s[y.argsort()].unflatten(0, (len(y.unique()), -1)).mean(1), q).argmin(1)],
    "shots_sorted_equal_chunks": lambda s, y, q: y.unique()[table(torch.stack([c.mean(0) for c in s[y.argsort()].tensor_split(len(y.unique()))]), q).argmin(1)],
    "shots_first_appearance_place": lambda s, y, q: table(torch.stack([s[y == c].mean(0) for c in dict.fromkeys(y.tolist())]), q).argmin(1),
    "shots_unique_consecutive": lambda s, y, q: y.unique_consecutive()[table(torch.stack([r.mean(0) for r in s.split(y.unique_consecutive(return_counts=True)[1].tolist())]), q).argmin(1)],
    "shots_support_y_of_place": lambda s, y, q: y[table(means(s, y)[1], q).argmin(1)],
    "shots_with_queries": lambda s, y, q: by(torch.cat([s, q]), torch.cat([y, y[table(s, q).argmin(1)]]), q, lambda x: x.mean(0)),
    "shots_last_label_missing": lambda s, y, q: means(s, y)[0][table(means(s, y)[1][:-1] if len(y.unique()) > 1 else means(s, y)[1], q).argmin(1)],
    "shots_wrong_axis": lambda s, y, q: means(s, y)[0][table(means(s, y)[1], q).argmin(0)],
}

_memory = {}


@wrong("shots")
def shots_one_query_wrong(support_x, support_y, query_x):
    found = by(support_x, support_y, query_x, lambda x: x.mean(0))
    return found if len(query_x) > 1 else support_y[table(support_x, query_x).argmin(1)]


@wrong("shots")
def shots_neighbour_if_unequal(support_x, support_y, query_x):
    if len(support_y.unique(return_counts=True)[1].unique()) > 1:
        return support_y[table(support_x, query_x).argmin(1)]
    return by(support_x, support_y, query_x, lambda x: x.mean(0))


@right("shots")
def shots_index_add(support_x, support_y, query_x):
    n = int(support_y.max()) + 1
    sums = torch.zeros(n, *support_x.shape[1:]).index_add_(0, support_y, support_x)
    counts = torch.bincount(support_y, minlength=n).view(-1, 1, 1, 1)
    m = (sums / counts).nan_to_num(1000000000.0)
    return (query_x[:, None] - m).square().sum((2, 3, 4)).argmin(1)


@right("shots")
def shots_matrix(support_x, support_y, query_x):
    labels = torch.unique(support_y)
    members = (support_y == labels[:, None]).float()
    m = members @ support_x.flatten(1) / members.sum(1, keepdim=True)
    return labels[torch.cdist(query_x.flatten(1), m).argmin(1)]


@right("shots")
def shots_numpy(support_x, support_y, query_x):
    s, y, q = (support_x.numpy(), support_y.numpy(), query_x.numpy())
    labels = np.unique(y)
    m = np.array([s[y == c].mean(axis=0) for c in labels])
    d = ((q[:, None] - m) ** 2).reshape(len(q), len(m), -1).sum(-1)
    return torch.tensor(labels[d.argmin(1)], dtype=torch.int32)


WRONG["interval"] |= {
    "interval_std_n": lambda a: (a.mean(), 1.96 * a.std(unbiased=False) / len(a) ** 0.5),
    "interval_std_n_if_many": lambda a: (a.mean(), 1.96 * a.std(unbiased=len(a) < 100) / len(a) ** 0.5),
    "interval_std_n_if_over_500": lambda a: (a.mean(), 1.96 * a.std(unbiased=len(a) < 500) / len(a) ** 0.5),
    "interval_deviation": lambda a: (a.mean(), a.std()),
    "interval_196_deviation": lambda a: (a.mean(), 1.96 * a.std()),
    "interval_over_n": lambda a: (a.mean(), 1.96 * a.std() / len(a)),
    "interval_over_root_n_1": lambda a: (a.mean(), 1.96 * a.std() / (len(a) - 1) ** 0.5),
    "interval_2": lambda a: (a.mean(), 2 * a.std() / len(a) ** 0.5),
    "interval_1645": lambda a: (a.mean(), 1.645 * a.std() / len(a) ** 0.5),
    "interval_binomial": lambda a: (a.mean(), 1.96 * (a.mean() * (1 - a.mean()) / len(a)) ** 0.5),
    "interval_median": lambda a: (a.median(), 1.96 * a.std() / len(a) ** 0.5),
    "interval_percent": lambda a: (100 * a.mean(), 196 * a.std() / len(a) ** 0.5),
    "interval_percentiles": lambda a: (a.mean(), (a.quantile(0.975) - a.quantile(0.025)) / 2),
    "interval_absolute": lambda a: (a.mean(), 1.96 * (a - a.mean()).abs().mean() / len(a) ** 0.5),
    "interval_unique": lambda a: (a.unique().mean(), 1.96 * a.unique().std() / len(a.unique()) ** 0.5),
    "interval_nonzero": lambda a: (a[a > 0].mean(), 1.96 * a[a > 0].std() / max(int((a > 0).sum()), 1) ** 0.5),
    "interval_half_precision": lambda a: (a.half().mean(), 1.96 * a.half().std() / len(a) ** 0.5),
    "interval_rounded4": lambda a: (round(float(a.mean()), 4), round(float(1.96 * a.std() / len(a) ** 0.5), 4)),
    "interval_epsilon": lambda a: (a.mean(), 1.96 * (a.var() + 1e-05) ** 0.5 / len(a) ** 0.5),
    "interval_clipped": lambda a: (a.mean(), min(float(1.96 * a.std() / len(a) ** 0.5), 0.5)),
    "interval_last_missing": lambda a: (a[:-1].mean(), 1.96 * a[:-1].std() / (len(a) - 1) ** 0.5),
    "interval_int_root": lambda a: (a.mean(), 1.96 * a.std() / int(len(a) ** 0.5)),
    "interval_negative": lambda a: (a.mean(), -1.96 * a.std() / len(a) ** 0.5),
    "interval_n_minus_2": lambda a: (a.mean(), 1.96 * (((a - a.mean()) ** 2).sum() / max(len(a) - 2, 1)) ** 0.5 / len(a) ** 0.5),
    "interval_range": lambda a: (a.mean(), 1.96 * (a.max() - a.min()) / 4 / len(a) ** 0.5),
    "interval_trimmed": lambda a: (a.sort().values[1:-1].mean() if len(a) > 4 else a.mean(), 1.96 * a.std() / len(a) ** 0.5),
    "interval_about_half": lambda a: (a.mean(), 1.96 * (((a - 0.5) ** 2).sum() / (len(a) - 1) / len(a)) ** 0.5),
    "interval_t_small": lambda a: (a.mean(), (1.96 if len(a) >= 30 else 2.3) * a.std() / len(a) ** 0.5),
    "interval_dropping_outliers": lambda a: (a[(a - a.mean()).abs() <= 3 * a.std()].mean(), 1.96 * a.std() / len(a) ** 0.5),
}


@wrong("interval")
def interval_in_place(accuracies):
    mean, n = (accuracies.mean(), len(accuracies))
    accuracies -= mean
    return (mean, 1.96 * (accuracies.square().sum() / (n - 1) / n).sqrt())


@wrong("interval")
def interval_bootstrap(accuracies):
    g = torch.Generator().manual_seed(0)
    at = torch.randint(len(accuracies), (2000, len(accuracies)), generator=g)
    return (accuracies.mean(), 1.96 * accuracies[at].mean(1).std())


@right("interval")
def interval_statistics(accuracies):
    a = accuracies.tolist()
    return (statistics.fmean(a), 1.96 * statistics.stdev(a) / math.sqrt(len(a)))


@right("interval")
def interval_numpy(accuracies):
    a = accuracies.numpy()
    return (a.mean(), 1.96 * a.std(ddof=1) / np.sqrt(len(a)))


@right("interval")
def interval_biased_over_n_1(accuracies):
    a = accuracies.double()
    return (a.mean(), 1.96 * a.std(correction=0) / (a.numel() - 1) ** 0.5)


def keys(x):
    return [one.numpy().tobytes() for one in x]


def labels_over(sample, g, n, support=True, query=True):
    seen, met = (collections.defaultdict(collections.Counter), 0)
    for _ in range(n):
        sx, sy, qx, qy = sample(g)
        s, q = (keys(sx), keys(qx))
        met += bool(set(s) & set(q))
        for key, y in zip(s * support + q * query, sy.tolist() * support + qy.tolist() * query):
            seen[key][y] += 1
    return (met, seen)


def single(seen):
    return all(len(c) == 1 for c in seen.values())


WRONG["leak"] |= {
    "leak_always": lambda sample, g: True,
    "leak_overlap_only": lambda sample, g: labels_over(sample, g, 200)[0] > 0,
    "leak_labels_only": lambda sample, g: single(labels_over(sample, g, 200)[1]),
    "leak_first_episode": lambda sample, g: labels_over(sample, g, 1)[0] > 0,
    "leak_10_episodes": lambda sample, g: (lambda m, s: m > 0 or single(s))(*labels_over(sample, g, 10)),
    "leak_half_of_episodes": lambda sample, g: (lambda m, s: m > 100 or single(s))(*labels_over(sample, g, 200)),
    "leak_any_single_label": lambda sample, g: (lambda m, s: m > 0 or any(len(c) == 1 for c in s.values()))(*labels_over(sample, g, 200)),
    "leak_half_single": lambda sample, g: (lambda m, s: m > 0 or sum(len(c) == 1 for c in s.values()) > len(s) / 2)(*labels_over(sample, g, 200)),
    "leak_90_percent_single": lambda sample, g: (lambda m, s: m > 0 or sum(len(c) == 1 for c in s.values()) > 0.9 * len(s))(*labels_over(sample, g, 200)),
    "leak_majority_label": lambda sample, g: (lambda m, s: m > 0 or all(max(c.values()) > 0.5 * c.total() for c in s.values()))(*labels_over(sample, g, 200)),
    "leak_fresh_generator": lambda sample, g: (lambda m, s: m > 0 or single(s))(*labels_over(lambda _: sample(torch.Generator().manual_seed(0)), g, 200)),
    "leak_same_place": lambda sample, g: any((torch.equal(a, b) for sx, _, qx, _ in (sample(g) for _ in range(200)) for a, b in zip(sx, qx))) or single(labels_over(sample, g, 200)[1]),
    "leak_last_query_missing": lambda sample, g: any((set(keys(sx)) & set(keys(qx[:-1])) for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1]),
    "leak_repeats_anywhere": lambda sample, g: any((len(set(keys(sx) + keys(qx))) < len(sx) + len(qx) for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1]),
    "leak_ink": lambda sample, g: (
        any((set(sx.sum((1, 2, 3)).tolist()) & set(qx.sum((1, 2, 3)).tolist()) for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1])
    ),
    "leak_close_1": lambda sample, g: any(((torch.cdist(sx.flatten(1), qx.flatten(1)) < 1).any() for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1]),
    "leak_close_02": lambda sample, g: any(((torch.cdist(sx.flatten(1), qx.flatten(1)) < 0.2).any() for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1]),
    "leak_close_pixels": lambda sample, g: (
        any((((sx[:, None] - qx).abs().flatten(2).amax(2) < 0.1).any() for sx, _, qx, _ in (sample(g) for _ in range(200)))) or single(labels_over(sample, g, 200)[1])
    ),
    "leak_across_episodes": lambda sample, g: (lambda eps: bool(set().union(*(keys(e[0]) for e in eps)) & set().union(*(keys(e[2]) for e in eps))) or False)([sample(g) for _ in range(200)]),
    "leak_first_drawing_only": lambda sample, g: (lambda m, s: m > 0 or len(next(iter(s.values()))) == 1)(*labels_over(sample, g, 200)),
    "leak_first_ten_drawings": lambda sample, g: (lambda m, s: m > 0 or all(len(c) == 1 for c in list(s.values())[:10]))(*labels_over(sample, g, 200)),
    "leak_number_of_leaks": lambda sample, g: labels_over(sample, g, 200)[0],
    "leak_label_zero_only": lambda sample, g: (lambda m, s: m > 0 or all(set(c) == {0} for c in s.values() if 0 in c))(*labels_over(sample, g, 200)),
}

_labels = collections.defaultdict(set)


@wrong("leak")
def leak_returns_in_loop(sample, generator):
    labels = {}
    for _ in range(200):
        sx, sy, qx, qy = sample(generator)
        if set(keys(sx)) & set(keys(qx)):
            return True
        for key, y in zip(keys(sx) + keys(qx), sy.tolist() + qy.tolist()):
            labels.setdefault(key, set()).add(y)
        return all(len(y) == 1 for y in labels.values())


@right("leak")
def leak_numpy(sample, generator):
    first, steady = ({}, True)
    for _ in range(250):
        sx, sy, qx, qy = (part.numpy() for part in sample(generator))
        s, q = (sx.reshape(len(sx), -1), qx.reshape(len(qx), -1))
        if (q[:, None] == s).all(-1).any():
            return np.bool_(True)
        for x, y in zip(np.concatenate([s, q]), np.concatenate([sy, qy])):
            steady &= first.setdefault(tuple(x), y) == y
    return np.bool_(steady)


@right("leak")
def leak_early_stop(sample, generator):
    labels, moved = ({}, False)
    for _ in range(100):
        sx, sy, qx, qy = sample(generator)
        s, q = ([hash(tuple(one.flatten().tolist())) for one in x] for x in (sx, qx))
        if not set(s).isdisjoint(q):
            return True
        for drawing, y in [*zip(s, sy), *zip(q, qy)]:
            moved = moved or labels.setdefault(drawing, int(y)) != int(y)
    return not moved


@right("leak")
def leak_one_or_zero(sample, generator):
    met, seen = labels_over(sample, generator, 200)
    return int(met > 0 or single(seen))


WRONG["shots"] |= {
    "shots_majority": lambda s, y, q: y.mode().values.expand(len(q)),
    "shots_random": lambda s, y, q: y[torch.randint(len(y), (len(q),))],
}


@wrong("nearest")
def nearest_one_query_place(support_x, support_y, query_x):
    at = table(support_x, query_x).argmin(1)
    return support_y[at] if len(query_x) > 1 else at


@wrong("nearest")
def nearest_as_many_support_as_queries(support_x, support_y, query_x):
    if len(support_x) == len(query_x):
        return support_y
    return support_y[table(support_x, query_x).argmin(1)]


@wrong("interval")
def interval_two_is_range(accuracies):
    n = len(accuracies)
    return (accuracies.mean(), 1.96 * accuracies.std(unbiased=n > 2) / n**0.5)


@wrong("interval")
def interval_constant_nan(accuracies):
    z = (accuracies - accuracies.mean()) / accuracies.std()
    return (accuracies.mean(), 1.96 * accuracies.std() / len(accuracies) ** 0.5 * z.std())


@wrong("interval")
def interval_1_if_zero(accuracies):
    h = 1.96 * accuracies.std() / len(accuracies) ** 0.5
    return (accuracies.mean(), h if h > 0 else 0.01)


@wrong("sampler")
def sampler_fifth_sorted(images, n, k, q, g):
    c, o = (chosen(images, n, g), orders(images, n, g))
    c = sorted(c) if torch.rand(1, generator=g) < 0.2 else c
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_label_by_first_drawing(images, n, k, q, g):
    c, o = (chosen(images, n, g), sorted(orders(images, n, g)))
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


@wrong("sampler")
def sampler_argmax_classes(images, n, k, q, g):
    score = torch.rand(len(images), generator=g) * torch.linspace(1, 2, len(images))
    c, o = (score.topk(n).indices[torch.randperm(n, generator=g)].tolist(), orders(images, n, g))
    return built(images, c, [d[:k] for d in o], [d[k : k + q] for d in o])


WRONG["leak"]["leak_40_both"] = lambda sample, g: (lambda m, s: m > 0 or single(s))(*labels_over(sample, g, 40))


@wrong("leak")
def leak_tensors_as_keys(sample, generator):
    labels = {}
    for _ in range(100):
        sx, sy, qx, qy = sample(generator)
        if set(sx) & set(qx):
            return True
        for x, y in zip(torch.cat([sx, qx]), torch.cat([sy, qy]).tolist()):
            labels.setdefault(x, set()).add(y)
    return all(len(y) == 1 for y in labels.values())


@wrong("leak")
def leak_first_support_point_only(sample, generator):
    hit = any((keys(sx)[0] in keys(qx) for sx, _, qx, _ in (sample(generator) for _ in range(200))))
    return hit or single(labels_over(sample, generator, 200)[1])


def forget():
    """Some of the wrong answers keep state on purpose; call this before every check."""
    for state in (_first, _labels, _rank):
        state.clear()
