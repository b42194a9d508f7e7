"""Chapter 01, tasks, shots, episodes: five exercises with references, right and wrong answers."""

import random
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .engine import Chapter, Exercise, describe, edited, require, to_tensor

PICTURE = (6, 7)  # the pictures of the checks: small, and no square

# ---------------------------------------------------------------- sampler


def sample_episode(images, n_way, k_shot, n_query, generator):
    classes = torch.randperm(len(images), generator=generator)[:n_way]  # in random order
    order = torch.rand(n_way, images.shape[1], generator=generator).argsort(1)
    x = images[classes[:, None], order].unsqueeze(2) / 255  # (n_way, drawings, 1, h, w)
    support_x = x[:, :k_shot].flatten(0, 1)
    query_x = x[:, k_shot : k_shot + n_query].flatten(0, 1)
    labels = torch.arange(n_way)  # a label is a place in that random order
    support_y = labels.repeat_interleave(k_shot)
    query_y = labels.repeat_interleave(n_query)
    return support_x, support_y, query_x, query_y


def sampler_by_loop(images, n_way, k_shot, n_query, generator):
    n_classes, n_drawings, *_ = images.shape
    support, query = [], []
    for label, c in enumerate(torch.randperm(n_classes, generator=generator)[:n_way].tolist()):
        for place, d in enumerate(torch.randperm(n_drawings, generator=generator).tolist()):
            point = images[c, d].float().div(255)[None], label
            if place < k_shot:
                support.append(point)
            elif place < k_shot + n_query:
                query.append(point)
    (sx, sy), (qx, qy) = zip(*support), zip(*query)
    return [torch.stack(sx), list(sy), torch.stack(qx), torch.tensor(qy)]


def sampler_by_python_random(images, n_way, k_shot, n_query, generator):
    rng = random.Random(int(torch.randint(2**40, (), generator=generator)))
    labels = rng.sample(range(n_way), n_way)
    sets = [], []
    for c, label in zip(rng.sample(range(len(images)), n_way), labels):
        drawings = rng.sample(range(images.shape[1]), k_shot + n_query)
        sets[0].extend((c, d, label) for d in drawings[:k_shot])
        sets[1].extend((c, d, label) for d in drawings[k_shot:])
    answer = []
    for points in sets:
        rng.shuffle(points)
        c, d, y = torch.tensor(points).T
        answer += [images[c, d][:, None].to(torch.float32) / 255.0, y]
    return tuple(answer)


def sampler_by_numpy(images, n_way, k_shot, n_query, generator):
    rng = np.random.default_rng(int(torch.randint(2**40, (), generator=generator)))
    pool = images.numpy().astype(np.float32) / np.float32(255)
    classes = rng.choice(len(pool), n_way, replace=False)
    drawings = rng.permuted(np.tile(np.arange(pool.shape[1]), (n_way, 1)), axis=1)
    x, y = pool[classes[:, None], drawings], np.tile(rng.permutation(n_way)[:, None], k_shot)
    queries = x[:, k_shot : k_shot + n_query].reshape(-1, 1, *pool.shape[2:])
    support = x[:, :k_shot].reshape(-1, 1, *pool.shape[2:])
    return support, y.ravel(), queries, np.repeat(y[:, 0], n_query)


def unbalanced_sampler(images, n_way, k_shot, n_query, generator):
    sx, sy, qx, qy = sample_episode(images, n_way, k_shot, images.shape[1] - k_shot, generator)
    some = torch.randperm(len(qx), generator=generator)[: n_way * n_query]
    return sx, sy, qx[some], qy[some]


def judge_sampler(sample: Callable) -> None:
    """Many sizes of episodes, then where randomness comes from, then what comes up how often."""
    images = pool_of_images()
    for sizes in [(5, 1, 3), (5, 3, 1), (2, 1, 1), (12, 2, 6), (3, 4, 4)]:
        for seed in range(4):
            read_episode(sample(images, *sizes, seeded(seed)), images, *sizes)

    def episode(generator):
        return read_episode(sample(images, 5, 1, 3, generator), images, 5, 1, 3)

    repeats = all(episode(seeded(seed)) == episode(seeded(seed)) for seed in range(5))
    text = "The same seed gave two different episodes; give `generator` to all that is random."
    require(repeats, "other randomness", text)
    generator = seeded(0)
    varies = episode(generator) != episode(generator) and episode(seeded(1)) != episode(seeded(2))
    text = "The same episode came twice; all that is random must be drawn from `generator`."
    require(varies, "same episode", text)
    judge_frequencies(sample, images[:4])


def judge_frequencies(sample: Callable, images: Tensor, n_way: int = 3, n: int = 200) -> None:
    """Over n episodes all characters and drawings come up, and no label belongs to a character."""
    generator, met = seeded(0), torch.zeros(len(images), n_way)
    seen = {kind: torch.zeros(images.shape[:2], dtype=torch.bool) for kind in ("support", "query")}
    for _ in range(n):
        answer = sample(images, n_way, 1, 2, generator)
        for kind, points in zip(seen, read_episode(answer, images, n_way, 1, 2)):
            for c, d, label in points:
                seen[kind][c, d] = True
                met[c, label] += kind == "support"
    never = int((met.sum(1) == 0).sum())
    text = f"In {n} episodes {never} of {len(images)} characters never came up."
    require(never == 0, "same characters", text)
    for kind, drawings in seen.items():
        never = (~drawings).any(0).nonzero().flatten().tolist()
        text = f"In {n} episodes the drawings {never} of a character were never {kind} points."
        require(not never, "same drawings", text)
    judge_label_counts(met)


def judge_label_counts(met: Tensor) -> None:
    """How often each character met each label (characters, n_way): by chance, or NotYet."""
    times, n_way = met.sum(1, keepdim=True), met.shape[1]
    # by chance the counts are binomial: beyond 5.5 standard deviations once in millions
    off = (met - times / n_way) / (times / n_way * (1 - 1 / n_way)).sqrt()
    c, label = divmod(int(off.argmax()), n_way)
    text = (
        f"Character {c} got the label {label} in {int(met[c, label])} of its {int(times[c])} "
        "episodes; which character gets which label must be drawn anew in every episode."
    )
    require(bool((off.abs() < 5.5).all()), "leak", text)


def read_episode(answer, images: Tensor, n_way: int, k_shot: int, n_query: int) -> list[list]:
    """The support and the query points as (character, drawing, label), or NotYet."""
    names = "support_x, support_y, query_x, query_y"
    four = isinstance(answer, (tuple, list)) and len(answer) == 4
    require(four, "return", f"Your function returned {describe(answer)}; return `{names}`.")
    swapped = [getattr(part, "ndim", 0) for part in answer[1:3]] == [4, 1]
    text = f"The second part has images and the third has labels; return `{names}`."
    require(not swapped, "order", text)
    where = f"With n_way={n_way}, k_shot={k_shot}, n_query={n_query},"
    support = read_points("support", *answer[:2], images, n_way, k_shot)
    judge_points(f"{where} the support", support, n_way, k_shot)
    query = read_points("query", *answer[2:], images, n_way, n_query)
    strange = len({c for c, _, _ in query} - {c for c, _, _ in support})
    text = f"{where} {strange} characters of the query are not in the support."
    require(strange == 0, "other characters", text)
    judge_points(f"{where} the query", query, n_way, n_query)
    judge_pair(where, support, query)
    return [support, query]


def judge_pair(where: str, support: list[tuple], query: list[tuple]) -> None:
    """The same labels in both sets, and no drawing in both, or NotYet."""
    label_of = {c: label for c, _, label in support}
    renamed = len({c for c, _, label in query if label_of[c] != label})
    text = f"{where} {renamed} characters have one label in the support and another in the query."
    require(renamed == 0, "query labels", text)
    both = len({(c, d) for c, d, _ in support} & {(c, d) for c, d, _ in query})
    text = (
        f"{where} {both} of the {len(query)} query points are also support points; "
        "take both sets from one shuffled list, so that no drawing can be in both."
    )
    require(both == 0, "overlap", text)


def read_points(kind: str, x, y, images: Tensor, n_way: int, each: int) -> list[tuple]:
    """One set of an episode as a list of (character, drawing, label), or NotYet."""
    x, y = to_tensor(x), to_tensor(y)
    both = x is not None and y is not None
    require(both, "no tensors", f"{kind}_x and {kind}_y must be tensors.")
    judge_inputs(kind, x, tuple(images.shape[2:]), n_way, each)
    judge_targets(kind, y, n_way, each)
    pool = images.flatten(0, 1).flatten(1) / 255
    distance, place = (x.flatten(1)[:, None] - pool).abs().amax(2).min(1)
    text = f"{kind}_x holds a picture that is not one of `images` divided by 255."
    require(bool(distance.max() < 1e-3), "altered", text)
    n = images.shape[1]
    return [(i // n, i % n, label) for i, label in zip(place.tolist(), y.tolist())]


def judge_inputs(kind: str, x: Tensor, picture: tuple, n_way: int, each: int) -> None:
    """Shape, type and scale of the pictures of one set, or NotYet."""
    n = n_way * each
    text = f"{kind}_x has the shape {tuple(x.shape)}, and it should be {(n, 1, *picture)}"
    require(x.shape != (n, *picture), "channel", f"{text}: `unsqueeze` adds a channel.")
    other_size = x.shape[1:] == (1, *picture) and len(x) != n
    require(not other_size, f"{kind} size", f"{text}: {n_way} characters × {each}.")
    require(x.shape == (n, 1, *picture), "shape", f"{text}.")
    text = f"{kind}_x is {str(x.dtype)[6:]}; a network wants float32 numbers from 0 to 1."
    require(x.dtype == torch.float32, "type", text)
    text = f"{kind}_x goes up to {float(x.max()):.0f}; divide the pixels by 255."
    require(bool(x.max() <= 1), "scale", text)


def judge_targets(kind: str, y: Tensor, n_way: int, each: int) -> None:
    """Shape, type and range of the labels of one set, or NotYet."""
    n = n_way * each
    text = f"{kind}_y has the shape {tuple(y.shape)}, and it should be {(n,)}, one label a point."
    require(y.shape == (n,), "label shape", text)
    text = f"{kind}_y is {str(y.dtype)[6:]}; a label is a whole number (int64)."
    require(is_whole(y), "label type", text)
    low, high = int(y.min()), int(y.max())
    text = f"{kind}_y has labels from {low} to {high}; they go from 0 to {n_way - 1}."
    require(low >= 0 and high < n_way, "label range", text)


def judge_points(where: str, points: list[tuple], n_way: int, each: int) -> None:
    """n_way characters, each with a label of its own and `each` different drawings, or NotYet."""
    pairs = {(c, label) for c, _, label in points}
    characters, labels = {c for c, _ in pairs}, {label for _, label in pairs}
    text = f"{where} has only {len(characters)} characters; draw {n_way} different ones."
    require(len(characters) >= n_way, "class repeated", text)
    text = f"{where} has points with the label of another character: x and y are not in step."
    require(len(pairs) == len(characters) == len(labels), "mixed labels", text)
    twice = len(points) - len({(c, d) for c, d, _ in points})
    text = f"{where} has {twice} of its {len(points)} points twice; draw without repeating any."
    require(twice == 0, "drawing repeated", text)
    counts = [sum(point[0] == c for point in points) for c in characters]
    text = (
        f"{where} has from {min(counts)} to {max(counts)} points a character, and not {each} each."
    )
    require(set(counts) == {each}, "unbalanced", text)


def pool_of_images(classes: int = 12, drawings: int = 8) -> Tensor:
    """Noise in which every drawing is different, with a darkest and a brightest pixel in each."""
    images = torch.randint(256, (classes, drawings, *PICTURE), dtype=torch.uint8)
    images[..., 0, 0], images[..., 0, 1] = 0, 255
    return images


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_whole(y: Tensor) -> bool:
    """Is this a tensor of whole numbers, of whichever size?"""
    return not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)


sampler = Exercise(
    name="sampler",
    title="an episode sampler",
    minutes=12,
    difficulty=2,
    stub='''\
def sample_episode(images, n_way, k_shot, n_query, generator):
    """One N-way K-shot episode from images, uint8 (characters, drawings, h, w).

    Returns support_x, support_y, query_x, query_y.
    x: float32 (points, 1, h, w) in [0, 1]; y: int64 (points,) in 0…n_way-1.
    Every character has k_shot support and n_query query drawings, none of them in
    both; which character gets which label is drawn anew in every episode.
    All that is random comes from generator.
    """
    raise NotImplementedError
''',
    judge=judge_sampler,
    reference=sample_episode,
    praise="No drawing is in both sets, and a label says nothing about the character.",
    hints=(
        "Two things are drawn: which `n_way` characters, and, for each of them, an order of its "
        "drawings. The label of a character is its place among those that were drawn.",
        "`torch.randperm(len(images), generator=generator)[:n_way]` draws characters. Cut one "
        "`randperm` of a character's drawings into `[:k_shot]` and `[k_shot:k_shot + n_query]`.",
        "In `for label, c in enumerate(classes):` make `x = images[c, order].unsqueeze(1) / 255`. "
        "Put `x[:k_shot]` into one list and `x[k_shot:k_shot + n_query]` into another, `label` as "
        "often into two more, and join the lists with `torch.cat` and `torch.tensor`.",
    ),
    symptom_hints={
        "overlap": "one `randperm` a character, cut in two, cannot overlap; two `randperm` can.",
        "leak": "look for what puts the characters in order: `sort`, `unique`, a `set`. A random "
        "order of the characters, numbered 0, 1, 2 …, is enough.",
        "other randomness": "`torch.randperm`, `torch.rand` and `torch.randint` all take "
        "`generator=generator`. Shuffling with `random` or numpy does not use it.",
        "mixed labels": "print a small episode: with 2 characters and 3 shots, images in the order "
        "A A A B B B want labels 0 0 0 1 1 1 (`repeat_interleave`), not 0 1 0 1 0 1 (`repeat`).",
        "class repeated": "`torch.randint` can draw a number twice; `torch.randperm` cannot.",
        "query size": "`n_query` is counted for each character, as `k_shot` is.",
    },
    alternatives=(sampler_by_loop, sampler_by_python_random, sampler_by_numpy),
    mutants={
        symptom: edited(sample_episode, *change)
        for symptom, change in {
            "overlap": ("x[:, k_shot : k_shot + n_query]", "x[:, :n_query]"),
            "leak": ("[:n_way]  #", "[:n_way].sort().values  #"),
            "class repeated": (
                "randperm(len(images), generator=generator)[:n_way]",
                "randint(len(images), (n_way,), generator=generator)",
            ),
            "drawing repeated": (
                "torch.rand(n_way, images.shape[1], generator=generator).argsort(1)",
                "torch.randint(images.shape[1], (n_way, images.shape[1]), generator=generator)",
            ),
            "same drawings": (
                "torch.rand(n_way, images.shape[1], generator=generator).argsort(1)",
                "torch.arange(images.shape[1]).expand(n_way, -1)",
            ),
            "same characters": ("randperm(len(images),", "randperm(n_way,"),
            "other randomness": ("(len(images), generator=generator)", "(len(images))"),
            "same episode": (
                "    classes =",
                "    generator = torch.Generator().manual_seed(0)\n    classes =",
            ),
            "scale": (".unsqueeze(2) / 255", ".unsqueeze(2).float()"),
            "type": (".unsqueeze(2) / 255", ".unsqueeze(2)"),
            "altered": (
                "images[classes[:, None], order]",
                "(255 - images[classes[:, None], order])",
            ),
            "channel": (".unsqueeze(2)", ""),
            "shape": ("x[:, :k_shot].flatten(0, 1)", "x[:, :k_shot]"),
            "support size": ("x[:, :k_shot]", "x[:, : k_shot + 1]"),
            "query size": ("n_query].flatten(0, 1)", "n_query].flatten(0, 1)[:n_query]"),
            "other characters": (
                "query_x = x[",
                "query_x = (images[classes[:, None] - 1, order].unsqueeze(2) / 255)[",
            ),
            "mixed labels": ("labels.repeat_interleave(k_shot)", "labels.repeat(k_shot)"),
            "query labels": (
                "query_y = labels",
                "query_y = torch.randperm(n_way, generator=generator)",
            ),
            "label range": ("labels = torch.arange(n_way)", "labels = classes"),
            "label type": ("torch.arange(n_way)", "torch.arange(n_way).float()"),
            "label shape": (
                "support_y = labels.repeat_interleave(k_shot)",
                "support_y = torch.eye(n_way).repeat_interleave(k_shot, 0)",
            ),
            "order": (
                "return support_x, support_y, query_x, query_y",
                "return support_x, query_x, support_y, query_y",
            ),
            "return": (
                "return support_x, support_y, query_x, query_y",
                "return (support_x, support_y), (query_x, query_y)",
            ),
        }.items()
    }
    | {"unbalanced": unbalanced_sampler},
)

# ---------------------------------------------------------------- nearest, shots


def judge_labels(predict: Callable, truth: Callable, cases: list, suspects: dict) -> None:
    """Labels against the truth in every case (support_x, support_y, query_x); many queries first.

    A wrong answer that equals the one of a suspect, symptom -> (function, message), is named so.
    """
    for case in cases:
        n_support, n = len(case[0]), len(case[2])
        answer = predict(*case)
        labels = to_tensor(answer)
        text = f"Your function returned {describe(answer)}; return a tensor with one label a query."
        require(labels is not None, "return", text)
        got = f"With {n_support} points in support_x and {n} in query_x, the answer has the shape"
        text = f"{got} {tuple(labels.shape)} and should have {(n,)}"
        require(n > 1 or labels.shape != (), "squeeze", f"{text}: one query is a tensor too.")
        across = (n,) != labels.shape and labels.shape in [(n_support,), (len(case[1].unique()),)]
        require(not across, "wrong axis", f"{text}: look for the best answer to each query.")
        require(labels.shape == (n,), "shape", f"{text}.")
        text = f"Your labels are {str(labels.dtype)[6:]}; a label is a whole number (int64)."
        require(is_whole(labels), "label type", text)
        right = truth(*case)
        wrong = int((labels != right).sum())
        for symptom, (suspect, message) in suspects.items() if wrong and n > 1 else ():
            require(not torch.equal(labels.long(), suspect(*case)), symptom, message)
        ways = f"{len(case[1].unique())}-way, {n_support} support points"
        text = f"Of {n} labels {wrong} are wrong ({ways}), and not in a way that this check knows."
        require(wrong == 0, "wrong labels", text)


def support_and_queries(shots: list[int], n_query: int, truth_gap: Callable) -> tuple:
    """Pictures of unequal brightness, in random order, with shots[label] support points a label.

    Queries that are a close call, by the gap between the two best, are left out.
    """
    labels = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    support_y = labels[torch.randperm(len(labels))]
    styles = 0.4 * torch.rand(len(shots), 1, *PICTURE)
    light = torch.rand(len(labels) + 400, 1, 1, 1)
    x = 0.6 * light * torch.rand(len(labels) + 400, 1, *PICTURE)
    support_x, query_x = x[: len(labels)] + styles[support_y], x[len(labels) :] + styles.mean(0)
    clear = truth_gap(support_x, support_y, query_x) > 1e-3
    return support_x, support_y, query_x[clear][:n_query]


def squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between pictures, (len(a), len(b))."""
    return (a[:, None] - b).square().flatten(2).sum(2)


def gap(distances: Tensor) -> Tensor:
    """How much farther the second nearest is than the nearest, for every row."""
    return distances.sort(1).values.diff(dim=1)[:, 0]


def nearest(support_x, support_y, query_x):
    differences = query_x[:, None] - support_x  # (queries, support, 1, h, w)
    distances = differences.square().flatten(2).sum(2)  # (queries, support)
    return support_y[distances.argmin(1)]


def nearest_by_cdist(support_x, support_y, query_x):
    _, places = torch.cdist(query_x.flatten(1), support_x.flatten(1)).topk(1, largest=False)
    return support_y.gather(0, places.flatten()).to(torch.int32)


def nearest_by_loop(support_x, support_y, query_x):
    answer = []
    for q in query_x:
        best, label = float("inf"), None
        for x, y in zip(support_x, support_y):
            distance = ((q - x) ** 2).sum().item()
            if distance < best:
                best, label = distance, y
        answer.append(label)
    return answer


def nearest_by_numpy(support_x, support_y, query_x):
    s, q = (np.reshape(np.asarray(x, np.float64), (len(x), -1)) for x in (support_x, query_x))
    squares = (q**2).sum(1)[:, None] - 2 * q @ s.T + (s**2).sum(1)
    return np.asarray(support_y)[squares.argmin(axis=1)]


NEAREST_SUSPECTS = {
    "farthest": (
        edited(nearest, "argmin", "argmax"),
        "Every query got the label of the support point farthest from it; take the nearest.",
    ),
    "index": (
        edited(nearest, "support_y[distances.argmin(1)]", "distances.argmin(1)"),
        "Your answer is the place of the nearest support point; look its label up in `support_y`.",
    ),
    "label order": (
        edited(
            nearest,
            "support_y[distances.argmin(1)]",
            "distances.argmin(1) // (len(support_y) // len(support_y.unique()))",
        ),
        "Your answer takes the support to be in the order of the labels; it is shuffled: look the "
        "label up in `support_y`.",
    ),
    "dot product": (
        lambda sx, sy, qx: sy[(qx.flatten(1) @ sx.flatten(1).T).argmax(1)],
        "Your answer follows the largest dot product, which favours bright pictures; take the "
        "smallest squared distance.",
    ),
    "cosine": (
        lambda sx, sy, qx: sy[
            torch.cosine_similarity(qx.flatten(1)[:, None], sx.flatten(1), dim=2).argmax(1)
        ],
        "Your answer follows the angle between pictures (cosine); take the smallest squared "
        "distance.",
    ),
    "absolute": (
        edited(nearest, "square()", "abs()"),
        "Your answer follows the sum of absolute differences; take the sum of their squares.",
    ),
    "no square": (
        edited(nearest, ".square()", ""),
        "Differences were added without squaring, so that they cancel; square them first.",
    ),
    "largest pixel": (
        edited(nearest, "sum(2)", "amax(2)"),
        "Your answer follows the pixel that differs most; add the squares over all pixels.",
    ),
}


def judge_nearest(predict: Callable) -> None:
    def close_call(support_x, support_y, query_x):
        return gap(squared(query_x, support_x))

    sizes = [
        ([3] * 5, 60),
        ([1] * 5, 60),
        ([1, 2, 6], 40),
        ([5] * 20, 60),
        ([1, 1], 1),
        ([4] * 5, 1),
    ]
    cases = [support_and_queries(*size, close_call) for size in sizes]
    judge_labels(predict, nearest, cases, NEAREST_SUSPECTS)


one_nearest = Exercise(
    name="nearest",
    title="the nearest drawing",
    minutes=8,
    difficulty=1,
    stub='''\
def nearest(support_x, support_y, query_x):
    """For each query the label of the support point with the smallest squared distance.

    support_x: float32 (support, 1, h, w); support_y: int64 (support,), in any order;
    query_x: float32 (queries, 1, h, w). Returns labels, int64 (queries,).
    """
    raise NotImplementedError
''',
    judge=judge_nearest,
    reference=nearest,
    praise="Each query gets the label of its nearest drawing, also when there is only one query.",
    hints=(
        "Make a table of distances with one row a query and one column a support point; the "
        "smallest number of a row says which support point is nearest.",
        "`query_x[:, None] - support_x` has the shape (queries, support, 1, h, w). Square it and "
        "add over all but the first two dimensions.",
        "`distances = (query_x[:, None] - support_x).square().flatten(2).sum(2)`; then "
        "`distances.argmin(1)` has one place in the support for each query, and `support_y` has "
        "its label.",
    ),
    symptom_hints={
        "wrong axis": "with distances of shape (queries, support), `argmin(1)` goes along a row: "
        "one answer for each query.",
        "squeeze": "`squeeze()` removes every dimension of size 1, also the one of a single query. "
        "`flatten(1)` or `squeeze(1)` removes only the channel.",
        "raised": "if an index is out of bounds after `argmin`, it went along the wrong axis: it "
        "should name a place in the support for each query.",
        "index": "if `places` are places in the support, `support_y[places]` are their labels.",
    },
    alternatives=(nearest_by_cdist, nearest_by_loop, nearest_by_numpy),
    mutants={symptom: suspect for symptom, (suspect, _) in NEAREST_SUSPECTS.items()}
    | {
        "wrong axis": edited(nearest, "argmin(1)", "argmin(0) % len(support_y)"),
        "squeeze": edited(nearest, "argmin(1)]", "argmin(1)].squeeze()"),
        "label type": edited(nearest, "support_y[distances.argmin(1)]", "distances.min(1).values"),
        "shape": edited(nearest, "flatten(2).sum(2)", "sum(4)"),
        "return": edited(nearest, "return", "_ ="),
        "wrong labels": edited(nearest, "flatten(2).sum(2)", "flatten(2)[..., :10].sum(2)"),
        "input changed": edited(nearest, "distances =", "query_x -= query_x.mean(0); distances ="),
    },
)


def nearest_mean(support_x, support_y, query_x):
    labels = support_y.unique()
    means = torch.stack([support_x[support_y == label].mean(0) for label in labels])
    distances = (query_x[:, None] - means).square().flatten(2).sum(2)  # (queries, labels)
    return labels[distances.argmin(1)]


def nearest_mean_by_one_hot(support_x, support_y, query_x):
    members = torch.nn.functional.one_hot(support_y).float()  # (support, n_way)
    means = members.T @ support_x.flatten(1) / members.sum(0)[:, None]
    return torch.cdist(query_x.flatten(1), means).argmin(dim=-1)


def nearest_mean_by_dictionary(support_x, support_y, query_x):
    drawings, answer = {}, []
    for x, y in zip(support_x, support_y.tolist()):
        drawings.setdefault(y, []).append(x)
    means = {y: sum(xs) / len(xs) for y, xs in drawings.items()}
    for q in query_x:
        answer.append(min(means, key=lambda y, q=q: float((q - means[y]).norm())))
    return answer


def nearest_mean_by_numpy(support_x, support_y, query_x):
    s, y, q = support_x.numpy()[:, 0], support_y.numpy(), query_x.numpy()[:, 0]
    means = np.stack([s[y == label].mean(axis=0) for label in range(y.max() + 1)])
    return np.linalg.norm((q[:, None] - means).reshape(len(q), len(means), -1), axis=2).argmin(1)


def by_first_appearance(support_x, support_y, query_x):
    labels = torch.tensor(list(dict.fromkeys(support_y.tolist())))
    means = torch.stack([support_x[support_y == label].mean(0) for label in labels])
    return squared(query_x, means).argmin(1)


def mean_of_distances(support_x, support_y, query_x):
    table = squared(query_x, support_x)
    return torch.stack([table[:, support_y == y].mean(1) for y in support_y.unique()], 1).argmin(1)


SHOTS_SUSPECTS = {
    "class by class": (
        lambda sx, sy, qx: squared(
            qx, torch.stack([part.mean(0) for part in sx.tensor_split(len(sy.unique()))])
        ).argmin(1),
        "Your means take the support to be sorted by character; it is shuffled: choose the "
        "drawings of a character with `support_y`.",
    ),
    "unequal shots": (
        lambda sx, sy, qx: SHOTS_SUSPECTS["class by class"][0](sx[sy.argsort()], sy, qx),
        "Your means give every label the same number of drawings, and here one has more than "
        "another: choose the drawings of a character with `support_y`.",
    ),
    "sum": (
        edited(nearest_mean, ".mean(0)", ".sum(0)"),
        "You compare with the sum of the drawings of a character; divide it by their number.",
    ),
    "one drawing": (
        edited(nearest_mean, ".mean(0)", "[0]"),
        "You compare with the first drawing of each character only; take the mean of all of them.",
    ),
    "last drawing": (
        edited(nearest_mean, ".mean(0)", "[-1]"),
        "You compare with the last drawing of each character only; take the mean of all of them.",
    ),
    "nearest drawing": (
        nearest,
        "This is the label of the nearest drawing; average the drawings of a character first.",
    ),
    "mean of distances": (
        mean_of_distances,
        "You average the distances to the drawings; average the drawings, then take one distance.",
    ),
    "median": (
        edited(nearest_mean, ".mean(0)", ".median(0).values"),
        "You compare with the median of the drawings of a character; take their mean.",
    ),
    "one number": (
        edited(nearest_mean, ".mean(0)", ".mean().expand(support_x.shape[1:])"),
        "The mean of a character is one number; keep the pixels apart with `mean(0)`.",
    ),
    "label order": (
        by_first_appearance,
        "Your answer is the place of a mean in the order in which labels first come up in "
        "`support_y`; return the label of that mean.",
    ),
    "farthest": (
        edited(nearest_mean, "argmin", "argmax"),
        "Every query got the label of the mean that is farthest from it; take the nearest.",
    ),
}


def judge_shots(predict: Callable) -> None:
    def close_call(support_x, support_y, query_x):
        means = torch.stack([support_x[support_y == y].mean(0) for y in support_y.unique()])
        return gap(squared(query_x, means))

    sizes = [
        ([5] * 5, 60),
        ([3] * 4, 60),
        ([1] * 5, 60),
        ([2, 9, 4], 60),
        ([1, 1], 1),
        ([5] * 5, 1),
    ]
    cases = [support_and_queries(*size, close_call) for size in sizes]
    judge_labels(predict, nearest_mean, cases, SHOTS_SUSPECTS)


shots = Exercise(
    name="shots",
    title="the nearest mean",
    minutes=8,
    difficulty=2,
    stub='''\
def nearest_mean(support_x, support_y, query_x):
    """For each query the label whose drawings have the nearest mean (squared distance).

    support_x: float32 (support, 1, h, w); support_y: int64 (support,), in any order;
    one label may have more drawings than another. query_x: float32 (queries, 1, h, w).
    Returns labels, int64 (queries,).
    """
    raise NotImplementedError
''',
    judge=judge_shots,
    reference=nearest_mean,
    praise="One mean a character, from however many drawings, in whatever order.",
    hints=(
        "First make one mean picture for each label; then it is the exercise before, with means "
        "in the place of the support points.",
        "`support_x[support_y == label]` has the drawings of one label; their mean over dim 0 "
        "is a picture again.",
        "`means = torch.stack([support_x[support_y == label].mean(0) for label in "
        "support_y.unique()])`; the labels in `unique()` are sorted, so mean number 0 is the one "
        "of the smallest label.",
    ),
    symptom_hints={
        "class by class": "`support_x.view(n_way, k_shot, ...)` needs sorted points with equal "
        "shots; `support_x[support_y == label]` does not.",
        "squeeze": "`squeeze()` removes every dimension of size 1, also the one of a single query "
        "or of a single drawing. `squeeze(1)` removes only the channel.",
        "raised": "a label may have one drawing or many: then no `view` to (n_way, k_shot, …) "
        "fits, and `squeeze()` removes more than the channel.",
    },
    alternatives=(nearest_mean_by_one_hot, nearest_mean_by_dictionary, nearest_mean_by_numpy),
    mutants={symptom: suspect for symptom, (suspect, _) in SHOTS_SUSPECTS.items()}
    | {
        "wrong axis": edited(nearest_mean, "labels[distances.argmin(1)]", "distances.argmin(0)"),
        "squeeze": edited(nearest_mean, "argmin(1)]", "argmin(1)].squeeze()"),
        "shape": edited(nearest_mean, "flatten(2).sum(2)", "sum(4)"),
        "label type": edited(
            nearest_mean, "labels[distances.argmin(1)]", "distances.softmax(1)[:, 0]"
        ),
        "wrong labels": edited(nearest_mean, "flatten(2).sum(2)", "flatten(2)[..., :10].sum(2)"),
    },
)

# ---------------------------------------------------------------- interval


def interval(accuracies):
    standard_error = accuracies.std() / len(accuracies) ** 0.5  # std divides by n - 1
    return accuracies.mean(), 1.96 * standard_error


def interval_by_statistics(accuracies):
    values = [float(a) for a in accuracies]
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / len(values) ** 0.5


def interval_by_numpy(accuracies):
    values = np.asarray(accuracies, np.float64)
    mean = values.sum() / values.size
    variance = ((values - mean) ** 2).sum() / (values.size - 1)
    return np.array([mean, 1.959964 * np.sqrt(variance / values.size)])


HALF = "1.96 * standard_error"
INTERVAL_SUSPECTS = {
    "standard deviation": (
        edited(interval, HALF, "accuracies.std()"),
        "Your half-width is the standard deviation: how much one episode differs from another. How "
        "sure the mean is gets better with √n: 1.96 times the deviation, divided by √n.",
    ),
    "no root": (
        edited(interval, HALF, "1.96 * accuracies.std()"),
        "Your half-width is 1.96 standard deviations and does not shrink with more episodes; "
        "divide by √n.",
    ),
    "ddof": (
        edited(interval, "accuracies.std()", "accuracies.std(correction=0)"),
        "Your standard deviation divides by n, and the mean was estimated from the same numbers; "
        "divide by n - 1.",
    ),
    "variance": (
        edited(interval, "accuracies.std()", "accuracies.var()"),
        "You used the variance; the standard deviation is its square root.",
    ),
    "over n": (
        edited(interval, " ** 0.5", ""),
        "You divided by n; the standard deviation of a mean is divided by √n.",
    ),
    "no 1.96": (
        edited(interval, "1.96 * ", ""),
        "Your half-width is one standard error, which covers 68 %; for 95 % multiply by 1.96.",
    ),
    "two": (
        edited(interval, "1.96", "2"),
        "Your half-width is 2 standard errors; in this course 95 % is 1.96.",
    ),
    "full width": (
        edited(interval, "1.96 *", "2 * 1.96 *"),
        "This is the width of the whole interval; return half of it, the part after ±.",
    ),
    "swapped": (
        edited(
            interval,
            "accuracies.mean(), 1.96 * standard_error",
            "1.96 * standard_error, accuracies.mean()",
        ),
        "The mean comes first and the half-width second.",
    ),
    "ends": (
        edited(
            interval,
            "accuracies.mean(), 1.96 * standard_error",
            "accuracies.mean() - 1.96 * standard_error, accuracies.mean() + 1.96 * standard_error",
        ),
        "These are the two ends of the interval; return its middle and its half-width.",
    ),
    "median": (
        edited(interval, "accuracies.mean()", "accuracies.median()"),
        "The first number is the median; return the mean.",
    ),
    "percent": (
        edited(interval, "accuracies.mean(), 1.96", "100 * accuracies.mean(), 100 * 1.96"),
        "Your numbers are per cent; leave them in the unit of the accuracies, from 0 to 1.",
    ),
}


def judge_interval(answer_of: Callable) -> None:
    cases = [torch.randint(26, (n,)).float() / 25 for n in (4, 5, 10, 600)]
    answers = [read_pair(answer_of(case)) for case in cases]

    def right(other: Callable) -> list[bool]:
        pairs = [[float(number) for number in other(case)] for case in cases]
        return [np.allclose(*both, rtol=1e-3, atol=1e-6) for both in zip(answers, pairs)]

    if not all(right(interval)):
        for symptom, (suspect, message) in INTERVAL_SUSPECTS.items():
            require(not all(right(suspect)), symptom, message)
        wrong = right(interval).index(False)
        ours, yours = (
            "{:.4f} and {:.4f}".format(*pair) for pair in (interval(cases[wrong]), answers[wrong])
        )
        given = f"For {len(cases[wrong])} accuracies the answer is {ours}"
        require(False, "wrong numbers", f"{given}, and yours is {yours}.")


def read_pair(answer) -> list[float]:
    """Two finite numbers, or NotYet."""
    pair = to_tensor(answer)
    two = pair is not None and pair.numel() == 2 and not pair.is_complex()
    text = f"Your function returned {describe(answer)}; return two numbers: `mean, half_width`."
    require(two, "return", text)
    require(bool(pair.isfinite().all()), "not finite", "One of your two numbers is not finite.")
    return pair.flatten().tolist()


interval_exercise = Exercise(
    name="interval",
    title="the 95 % interval",
    minutes=8,
    difficulty=1,
    stub='''\
def interval(accuracies):
    """The mean over episodes and the half-width of its 95 % interval, two numbers.

    accuracies: float32 (episodes,), at least two. The half-width is 1.96 · s / √n,
    with s the standard deviation between episodes (divide by n - 1).
    """
    raise NotImplementedError
''',
    judge=judge_interval,
    reference=interval,
    praise="Mean ± half-width: four times the episodes, half the width.",
    hints=(
        "Two things are easily mixed up: how much episodes differ (the standard deviation) and how "
        "much the mean of n episodes would differ if you drew them again (less, by √n).",
        "half-width = 1.96 · s / √n, with s² = Σ (aᵢ - mean)² / (n - 1).",
        "`accuracies.std()` divides by n - 1 (numpy's `std` divides by n); "
        "`1.96 * accuracies.std() / len(accuracies) ** 0.5` is the half-width.",
    ),
    symptom_hints={
        "ddof": "torch's `std()` divides by n - 1, numpy's by n unless you say `ddof=1`.",
        "standard deviation": "with 600 episodes a standard deviation is √600 ≈ 24 times too wide.",
    },
    alternatives=(interval_by_statistics, interval_by_numpy),
    mutants={symptom: suspect for symptom, (suspect, _) in INTERVAL_SUSPECTS.items()}
    | {
        "return": edited(interval, "accuracies.mean(), 1.96", "1.96"),
        "not finite": edited(interval, "accuracies.std()", "(accuracies - 1).log().std()"),
        "wrong numbers": edited(
            interval, "accuracies.std()", "(accuracies.max() - accuracies.min())"
        ),
        "input changed": edited(
            interval,
            "    standard_error",
            "    mean = accuracies.mean()\n    accuracies -= mean\n    standard_error",
        ),
    },
)


# ---------------------------------------------------------------- leak


def leaks(sample, generator):
    labels_of = {}
    for _ in range(200):
        support_x, support_y, query_x, query_y = sample(generator)
        support = [x.numpy().tobytes() for x in support_x]
        query = [x.numpy().tobytes() for x in query_x]
        if set(support) & set(query):
            return True
        for drawing, label in zip(support + query, support_y.tolist() + query_y.tolist()):
            labels_of.setdefault(drawing, set()).add(label)
    return all(len(labels) == 1 for labels in labels_of.values())


def leaks_by_tables(sample, generator):
    episodes = [sample(generator) for _ in range(150)]
    for support_x, _, query_x, _ in episodes:
        if (support_x[:, None] == query_x).flatten(2).all(2).any():
            return torch.tensor(True)
    x = torch.cat([part for episode in episodes for part in episode[::2]])
    y = torch.cat([part for episode in episodes for part in episode[1::2]])
    same = torch.cdist(x.flatten(1), x.flatten(1), p=1) < 0.5
    return (y[:, None] == y)[same].all()


def leaks_by_unique(sample, generator):
    fixed, kinds = 0, {}
    for _ in range(400):
        sx, sy, qx, qy = (part.numpy() for part in sample(generator))
        if len(np.unique(np.concatenate([sx, qx]), axis=0)) < len(sx) + len(qx):
            return 1
        for x, y in zip(sx, sy):
            kinds.setdefault(tuple(x.ravel()), []).append(int(y))
    for labels in kinds.values():
        fixed += min(labels) == max(labels)
    return int(fixed == len(kinds))


def toy_sampler(
    n_way: int, n_characters: int, k_shot=1, n_query=2, overlap=0.0, copy=None, fixed=False
) -> Callable:
    """A sampler with the leaks asked for, over characters of 8 drawings with binary pixels.

    overlap: in how many of the episodes one query point is a support point. copy: the query is
    the support, moved on by so many places. fixed: a character's label is its number % n_way.
    """
    codes = torch.randperm(2**16)[: n_characters * 8].view(n_characters, 8, 1, 1, 1)
    pool = (codes >> torch.arange(16).view(4, 4) & 1).float()  # (characters, drawings, 1, 4, 4)
    labels = torch.arange(n_way)

    def sample(generator: torch.Generator) -> tuple[Tensor, ...]:
        characters = torch.randperm(n_characters, generator=generator)[:n_way]
        if fixed:
            characters = characters // n_way * n_way + labels
        drawings = torch.rand(n_way, 8, generator=generator).argsort(1)[:, : k_shot + n_query]
        if float(torch.rand((), generator=generator)) < overlap:
            drawings[0, k_shot] = drawings[0, 0]
        x, y = pool[characters[:, None], drawings], labels[:, None].expand_as(drawings)

        def points(these: slice) -> list[Tensor]:
            order = torch.randperm(y[:, these].numel(), generator=generator)
            return [part[:, these].flatten(0, 1)[order] for part in (x, y)]

        support, query = points(slice(k_shot)), points(slice(k_shot, None))
        return *support, *(query if copy is None else [part.roll(copy, 0) for part in support])

    return sample


def judge_leaks(answer_of: Callable) -> None:
    """Honest samplers and leaking ones; which are taken for which names the mistake."""
    said = {}
    for kind, samplers in toy_samplers().items():
        answers = [answer_of(sample, seeded(seed)) for seed, sample in enumerate(samplers)]
        said[kind] = [read_yes_or_no(answer) for answer in answers]
    honest, labels = said.pop("honest"), said.pop("labels")
    overlap = sum(said.values(), [])
    text = (
        f"You said `True` to {sum(honest)} of {len(honest)} honest samplers. A drawing may be in "
        "the support of one episode and in the query of another, and a drawing that was seen once "
        "cannot show a fixed label."
    )
    require(not any(honest), "false alarm", text)
    text = "You said `False` to every sampler, leaking or not."
    require(any(overlap + labels), "always false", text)
    text = "You missed every sampler whose query points are also support points."
    require(any(overlap), "overlap missed", text)
    text = "You missed every sampler in which a character always has the same label."
    require(any(labels), "labels missed", text)
    text = "You missed an overlap in another order: compare each query with each support point."
    require(all(said["moved"]), "positions", text)
    text = "You missed a sampler that overlaps in one episode of ten; look at 100 episodes or more."
    require(all(said["rare"]), "rare overlap", text)
    missed = (overlap + labels).count(False)
    require(missed == 0, "missed", f"You missed {missed} of {len(overlap + labels)} leaks.")


def toy_samplers() -> dict[str, list[Callable]]:
    """Samplers by what is wrong with them; "labels" have fixed labels, the last four overlap."""
    return {
        "honest": [
            toy_sampler(5, 12),
            toy_sampler(2, 2),
            toy_sampler(3, 3, 2, 2),
            toy_sampler(5, 20, 1, 1),
        ],
        "labels": [toy_sampler(3, 3, fixed=True), toy_sampler(4, 12, 2, 1, fixed=True)],
        "copied": [toy_sampler(5, 12, 2, copy=0)],
        "moved": [toy_sampler(5, 12, 2, copy=1), toy_sampler(3, 4, copy=2)],
        "some": [toy_sampler(5, 12, overlap=1), toy_sampler(2, 3, 3, 1, overlap=1)],
        "rare": [toy_sampler(5, 12, overlap=0.1) for _ in range(3)],
    }


def read_yes_or_no(answer) -> bool:
    """True or False from a bool, a 0, a 1, or a tensor of one of them, or NotYet."""
    plain = to_tensor(answer)
    text = f"Your function returned {describe(answer)}; return `True` or `False`."
    require(plain is not None and plain.numel() == 1, "return", text)
    fine = plain.dtype == torch.bool or (is_whole(plain) and int(plain) in (0, 1))
    require(fine, "return", text)
    return bool(plain)


leak = Exercise(
    name="leak",
    title="find the leak",
    minutes=15,
    difficulty=3,
    stub='''\
def leaks(sample, generator):
    """Does this sampler leak? True or False.

    support_x, support_y, query_x, query_y = sample(generator) is one episode; equal
    drawings have equal pixels. It leaks when, in some episode, a query drawing is also
    a support drawing (maybe in one episode of ten only), or when no drawing ever
    changes its label from episode to episode. Drawings come up again and again: there
    are at most 160.
    """
    raise NotImplementedError
''',
    judge=judge_leaks,
    reference=leaks,
    praise="You found every leak and accused no honest sampler.",
    hints=(
        "There are two questions. Inside one episode: does a picture of the query equal one of the "
        "support? Over many episodes: has some drawing ever had two labels?",
        "To recognise a drawing, turn its pixels into something that can be compared and be a key "
        "of a dictionary: `x.numpy().tobytes()`.",
        "Over 200 episodes: make the list of keys of the support and of the query; if their sets "
        "meet, return `True`. Else add the labels to `labels_of.setdefault(key, set())`. It is a "
        "leak if at the end every one of these sets has a single label.",
    ),
    symptom_hints={
        "false alarm": "two tensors with equal numbers are two different keys of a dictionary; "
        "`x.numpy().tobytes()` is the same for both. Compare support and query inside one episode.",
        "positions": "`zip` and `support_x == query_x` compare first with first and second with "
        "second; `support_x[:, None] == query_x` compares each with each.",
        "labels missed": "keep, for every drawing, the set of labels it has had; an honest sampler "
        "soon gives two.",
        "overlap missed": "make the set of support drawings and the set of query drawings of one "
        "episode, and see whether they share a member.",
    },
    alternatives=(leaks_by_tables, leaks_by_unique),
    mutants={
        "always false": lambda sample, generator: False,
        "labels missed": edited(
            leaks, "all(len(labels) == 1 for labels in labels_of.values())", "False"
        ),
        "overlap missed": edited(leaks, "if set(support) & set(query)", "if False"),
        "positions": edited(
            leaks, "set(support) & set(query)", "any(s == q for s, q in zip(support, query))"
        ),
        "rare overlap": edited(
            leaks, "if set(support) & set(query)", "if not labels_of and set(support) & set(query)"
        ),
        "false alarm": edited(
            leaks, "set(support) & set(query)", "(set(support) | set(labels_of)) & set(query)"
        ),
        "missed": edited(
            leaks,
            "return all(len(labels) == 1",
            "return len(labels_of) < 30 and all(len(labels) == 1",
        ),
        "return": edited(
            leaks, "return all(len(labels) == 1 for labels in labels_of.values())", "labels_of"
        ),
    },
)


check = Chapter("01", sampler, one_nearest, interval_exercise, leak, shots)
