"""Chapter 01, tasks, shots, episodes: five exercises with references, right and wrong answers."""

import random
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .engine import (
    Chapter,
    Exercise,
    describe,
    judge_answers,
    known_mistakes,
    mutants_of,
    read_row,
    read_truth,
    require,
    seeded,
    to_tensor,
)

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

    def episode(generator, *sizes):
        sizes = sizes or (5, 1, 3)
        return read_episode(sample(images, *sizes, generator), images, *sizes)

    repeats = all(episode(seeded(seed)) == episode(seeded(seed)) for seed in range(5))
    repeats = repeats and episode(seeded(0), 12, 2, 6) == episode(seeded(0), 12, 2, 6)
    text = "The same seed gave two different episodes; give `generator` to all that is random."
    require(repeats, "other randomness", text)
    generator = seeded(0)
    varies = episode(generator) != episode(generator) and episode(seeded(1)) != episode(seeded(2))
    text = "The same episode came twice; all that is random must be drawn from `generator`."
    require(varies, "same episode", text)
    for n_way, characters, n in [(4, 4, 300), (3, 12, 300), (2, 4, 120), (6, 8, 60)]:
        judge_frequencies(sample, images[:characters], n_way, n)


def judge_frequencies(sample: Callable, images: Tensor, n_way: int, n: int) -> None:
    """Over n episodes: which characters and drawings come up, and which label with what."""
    generator, support, query = seeded(0), [], []
    for _ in range(n):
        points = read_episode(sample(images, n_way, 1, 2, generator), images, n_way, 1, 2)
        for part, into in zip(points, (support, query)):
            into.append(sorted(part, key=lambda point: point[2]))
    # (n, n_way, points, 2): the character and the drawing of every point, in order of the labels
    support, query = (torch.tensor(x).view(n, n_way, -1, 3)[..., :2] for x in (support, query))
    characters, drawings = (
        one_hot(support[:, :, 0, i], size).float() for i, size in enumerate(images.shape[:2])
    )
    judge_characters(characters)
    for kind, points in (("support", support), ("query", query)):
        judge_drawings(kind, points, images, n)
    judge_label_counts(characters.sum(0).T)
    judge_label_pairs(characters)
    # one character an episode: an answer may give all characters of an episode the same order
    queries = one_hot(query[:, 0, :, 1], images.shape[1]).sum(1).float()
    judge_drawing_pairs(drawings, queries)


def one_hot(places: Tensor, size: int) -> Tensor:
    return torch.nn.functional.one_hot(places, size)


def off_chance(counts: Tensor, n: int, p: float) -> Tensor:
    """Counts of n draws with the chance p, as standard deviations off the expected number.

    Beyond 5.5 a binomial count is once in ten million, beyond 7 also a small one (Poisson).
    Expected numbers below 10 are too small to tell: they are never off.
    """
    return (counts - n * p) / (n * p * (1 - p)) ** 0.5 * (n * p >= 10) if 0 < p < 1 else counts * 0


def judge_characters(met: Tensor) -> None:
    """Every character, and any two, as often as any other in met (n, n_way, characters)."""
    n, n_way, size = met.shape
    times = met.sum((0, 1))
    never = int((times == 0).sum())
    text = f"In {n} episodes {never} of {size} characters never came up."
    require(never == 0, "same characters", text)
    off = off_chance(times, n, n_way / size)
    c = int(off.abs().argmax())
    text = (
        f"In {n} episodes character {c} came up {int(times[c])} times, and by chance it would be "
        f"about {n * n_way / size:.0f}; draw every character with the same chance."
    )
    require(bool(off.abs().max() < 5.5), "uneven characters", text)
    together = torch.einsum("nc,nd->cd", met.sum(1), met.sum(1)).fill_diagonal_(0)
    p = n_way * (n_way - 1) / size / (size - 1)
    a, b = divmod(int(together.argmax()), size)
    text = (
        f"In {n} episodes the characters {a} and {b} came up together {int(together[a, b])} times, "
        f"and by chance it would be about {n * p:.0f}; draw them one without the other."
    )
    require(bool(off_chance(together, n, p).max() < 7), "character pairs", text)


def judge_drawings(kind: str, points: Tensor, images: Tensor, n: int) -> None:
    """No drawing (of a character, if there are points enough) that never comes up, or NotYet."""
    seen = torch.zeros(images.shape[:2])
    seen[points[..., 0], points[..., 1]] = 1
    # with fewer points an honest sampler may well miss a drawing of one character
    enough = points[..., 0].numel() > 30 * seen.numel()
    never = int((seen == 0).sum()) if enough else int((seen.sum(0) == 0).sum()) * len(images)
    text = (
        f"In {n} episodes {never} of the {seen.numel()} drawings ({len(images)} characters with "
        f"{images.shape[1]} each) never were {kind} points; draw from all drawings of a character, "
        "anew in every episode."
    )
    require(never == 0, "same drawings", text)


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


def judge_label_pairs(met: Tensor) -> None:
    """No two characters tied by their labels, in met (n, n_way, characters), or NotYet."""
    n, n_way, size = met.shape
    counts = torch.einsum("nlc,nmd->cdlm", met, met)
    p = 1 / size / (size - 1)
    counts[range(size), range(size)] = 0
    a, b, la, lb = map(int, torch.unravel_index(counts.argmax(), counts.shape))
    text = (
        f"In {n} episodes characters {a} and {b} had the labels {la} and {lb} "
        f"{int(counts[a, b, la, lb])} times, and by chance it would be about {n * p:.0f}; draw the "
        "order of the characters, all orders with the same chance."
    )
    require(bool(off_chance(counts[a, b, la, lb], n, p) < 7), "tied labels", text)


def judge_drawing_pairs(first: Tensor, queries: Tensor) -> None:
    """Support drawings against labels, and against query drawings of label 0, or NotYet.

    first: (n, n_way, drawings), queries: (n, drawings); ones and zeros.
    """
    n, n_way, size = first.shape
    counts = first.sum(0)
    label, d = divmod(int(counts.argmax()), size)
    text = (
        f"In {n} episodes with one shot the support point of label {label} was drawing {d} "
        f"{int(counts[label, d])} times, and by chance it would be about {n / size:.0f}; draw the "
        "drawings apart from the labels."
    )
    require(bool(off_chance(counts[label, d], n, 1 / size) < 7), "drawings and labels", text)
    counts, p = first[:, 0].T @ queries, 2 / size / (size - 1)
    s, q = divmod(int(counts.argmax()), size)
    text = (
        f"In {n} episodes drawing {q} was a query point of label 0 {int(counts[s, q])} times with "
        f"drawing {s} in the support, and by chance it would be about {n * p:.0f}; shuffle the "
        "drawings of a character."
    )
    require(bool(off_chance(counts[s, q], n, p) < 7), "drawing pairs", text)


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
    listed, x, y = isinstance(x, (list, tuple)), to_tensor(x), to_tensor(y)
    both = x is not None and y is not None
    require(both, "no tensors", f"{kind}_x and {kind}_y must be tensors.")
    text = f"{kind}_x is a list of numbers; return a float32 tensor."
    require(not listed or x.dtype == torch.float32, "no tensors", text)
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
    """Noise in which every drawing is different, each with its own brightest pixel, below 255."""
    images = torch.randint(256, (classes, drawings, *PICTURE), dtype=torch.uint8)
    images[..., 0, 0], images[..., 0, 1] = 0, 255
    brightest = torch.randint(100, 255, (classes, drawings, 1, 1))
    return (images * (brightest / 255)).round().to(torch.uint8)


def is_whole(y: Tensor) -> bool:
    """Is this a tensor of whole numbers, of whichever size?"""
    return not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)


SAMPLING = known_mistakes(
    sample_episode,
    """
overlap: x[:, k_shot : k_shot + n_query] => x[:, :n_query]
leak: [:n_way]  # => [:n_way].sort().values  #
class repeated: randperm(len(images), generator=generator)[:n_way] => randint(len(images), (n_way,), generator=generator)
drawing repeated: torch.rand(n_way, images.shape[1], generator=generator).argsort(1) => torch.randint(images.shape[1], (n_way, images.shape[1]), generator=generator)
same drawings: torch.rand(n_way, images.shape[1], generator=generator).argsort(1) => torch.arange(images.shape[1]).expand(n_way, -1)
same characters: randperm(len(images), => randperm(n_way,
uneven characters: torch.randperm(len(images), generator=generator)[:n_way] => torch.multinomial(1.0 + torch.arange(len(images)), n_way, generator=generator)[torch.randperm(n_way, generator=generator)]
character pairs: torch.randperm(len(images), generator=generator)[:n_way] => (torch.randint(len(images), (), generator=generator) + torch.randperm(n_way, generator=generator)) % len(images)
tied labels: torch.randperm(len(images), generator=generator)[:n_way] => torch.randperm(len(images), generator=generator)[:n_way].sort().values.roll(int(torch.randint(n_way, (), generator=generator)))
drawings and labels: .argsort(1) => .argsort(1); order = order[order[:, 0].argsort()]
drawing pairs: torch.rand(n_way, images.shape[1], generator=generator).argsort(1) => (torch.randint(images.shape[1], (n_way, 1), generator=generator) + torch.arange(images.shape[1])) % images.shape[1]
other randomness: (len(images), generator=generator) => (len(images))
same episode: classes = torch => generator = torch.Generator().manual_seed(0); classes = torch
scale: .unsqueeze(2) / 255 => .unsqueeze(2).float()
type: .unsqueeze(2) / 255 => .unsqueeze(2)
altered: images[classes[:, None], order] => (255 - images[classes[:, None], order])
channel: .unsqueeze(2) =>
shape: x[:, :k_shot].flatten(0, 1) => x[:, :k_shot]
support size: x[:, :k_shot] => x[:, : k_shot + 1]
query size: n_query].flatten(0, 1) => n_query].flatten(0, 1)[:n_query]
other characters: query_x = x[ => query_x = (images[classes[:, None] - 1, order].unsqueeze(2) / 255)[
mixed labels: labels.repeat_interleave(k_shot) => labels.repeat(k_shot)
query labels: query_y = labels => query_y = torch.randperm(n_way, generator=generator)
label range: labels = torch.arange(n_way) => labels = classes
label type: torch.arange(n_way) => torch.arange(n_way).float()
label shape: support_y = labels.repeat_interleave(k_shot) => support_y = torch.eye(n_way).repeat_interleave(k_shot, 0)
order: return support_x, support_y, query_x, query_y => return support_x, query_x, support_y, query_y
return: return support_x, support_y, query_x, query_y => return (support_x, support_y), (query_x, query_y)
""",  # noqa: E501
)


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
    mutants=mutants_of(SAMPLING) | {"unbalanced": unbalanced_sampler},
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
        points = f"{n_support} support points and {n} quer{'y' if n == 1 else 'ies'}"
        got = f"With {points}, the answer has the shape"
        text = f"{got} {tuple(labels.shape)} and should have {(n,)}"
        require(n > 1 or labels.shape != (), "squeeze", f"{text}: one query is a tensor too.")
        across = (n,) != labels.shape and labels.shape in [(n_support,), (len(case[1].unique()),)]
        require(not across, "wrong axis", f"{text}: look for the best answer to each query.")
        table = len(labels.shape) == 2 and labels.shape[0] == n and labels.shape[1] > 1
        missing = "take the `argmin` of every row, and look the label up"
        require(not table, "table", f"{text}: this is a table with one row a query; {missing}.")
        require(labels.shape == (n,), "shape", f"{text}.")
        text = f"Your labels are {str(labels.dtype)[6:]}; a label is a whole number (int64)."
        require(is_whole(labels), "label type", text)
        judge_against_truth(predict, case, labels.long(), truth(*case), suspects)


def judge_against_truth(
    predict: Callable, case: tuple, labels: Tensor, right: Tensor, suspects: dict
) -> None:
    """Labels of the right shape against the truth and the suspects, or NotYet."""
    support_x, support_y, query_x = case
    n, wrong, n_way = len(labels), int((labels != right).sum()), len(support_y.unique())
    if wrong and n > 1 and len(labels.unique()) == 1:
        # who follows the support follows its labels too when they are renamed
        again = to_tensor(predict(support_x, (support_y + 1) % n_way, query_x))
        text = f"Every query got the label {int(labels[0])}, whatever is in the support."
        constant = again is not None and torch.equal(again.long(), labels)
        require(not constant, "constant", text)
    for symptom, (suspect, message) in suspects.items() if wrong and n > 1 else ():
        require(not torch.equal(labels, suspect(*case)), symptom, message)
    ways = f"{n_way}-way, {len(support_x)} support points"
    text = f"Of {n} labels {wrong} {'is' if wrong == 1 else 'are'} wrong ({ways})"
    text = f"The label of the only query is wrong ({ways})" if n == 1 else text
    require(wrong == 0, "wrong labels", f"{text}, and not in a way that this check knows.")


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


NEAREST_SUSPECTS = known_mistakes(
    nearest,
    """
farthest: argmin => argmax
    Every query got the label of the support point farthest from it; take the nearest.
index: support_y[distances.argmin(1)] => distances.argmin(1)
    Your answer is the place of the nearest support point; look its label up in `support_y`.
label order: support_y[distances.argmin(1)] => distances.argmin(1) // (len(support_y) // len(support_y.unique()))
    Your answer takes the support to be in the order of the labels; it is shuffled: look the label
    up in `support_y`.
dot product: distances = differences.square().flatten(2).sum(2) => distances = -(query_x.flatten(1) @ support_x.flatten(1).T)
    Your answer follows the largest dot product, which favours bright pictures; take the smallest
    squared distance.
cosine: distances = differences.square().flatten(2).sum(2) => distances = -torch.cosine_similarity(query_x.flatten(1)[:, None], support_x.flatten(1), dim=2)
    Your answer follows the angle between pictures (cosine); take the smallest squared distance.
absolute: square() => abs()
    Your answer follows the sum of absolute differences; take the sum of their squares.
no square: .square() =>
    Differences were added without squaring, so that they cancel; square them first.
largest pixel: sum(2) => amax(2)
    Your answer follows the pixel that differs most; add the squares over all pixels.
""",  # noqa: E501
)
NEAREST_FORMS = known_mistakes(
    nearest,
    """
wrong axis: argmin(1) => argmin(0) % len(support_y)
squeeze: argmin(1)] => argmin(1)].squeeze()
label type: support_y[distances.argmin(1)] => distances.min(1).values
shape: flatten(2).sum(2) => sum(4)
table: support_y[distances.argmin(1)] => distances
constant: support_y[distances.argmin(1)] => distances.argmin(1) * 0
return: return => _ =
wrong labels: flatten(2).sum(2) => flatten(2)[..., :10].sum(2)
input changed: distances = => query_x -= query_x.mean(0); distances =
""",
)


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
        ([3] * 5, 60),  # the first size again, with new pictures
        ([3] * 4, 12),  # as many queries as support points
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
    mutants=mutants_of(NEAREST_SUSPECTS, NEAREST_FORMS),
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


def mean_by_blocks(support_x, support_y, query_x):
    blocks = support_x.tensor_split(len(support_y.unique()))
    return squared(query_x, torch.stack([part.mean(0) for part in blocks])).argmin(1)


SHOTS_SUSPECTS = {
    "class by class": (
        mean_by_blocks,
        "Your means take the support to be sorted by character; it is shuffled: choose the "
        "drawings of a character with `support_y`.",
    ),
    "unequal shots": (
        lambda sx, sy, qx: mean_by_blocks(sx[sy.argsort()], sy, qx),
        "Your means give every label the same number of drawings, and here one has more than "
        "another: choose the drawings of a character with `support_y`.",
    ),
    "nearest drawing": (
        nearest,
        "This is the label of the nearest drawing; average the drawings of a character first.",
    ),
    "mean of distances": (
        mean_of_distances,
        "You average the distances to the drawings; average the drawings, then take one distance.",
    ),
    "label order": (
        by_first_appearance,
        "Your answer is the place of a mean in the order in which labels first come up in "
        "`support_y`; return the label of that mean.",
    ),
} | known_mistakes(
    nearest_mean,
    """
sum: .mean(0) => .sum(0)
    You compare with the sum of the drawings of a character; divide it by their number.
one drawing: .mean(0) => [0]
    You compare with the first drawing of each character only; take the mean of all of them.
last drawing: .mean(0) => [-1]
    You compare with the last drawing of each character only; take the mean of all of them.
median: .mean(0) => .median(0).values
    You compare with the median of the drawings of a character; take their mean.
one number: .mean(0) => .mean().expand(support_x.shape[1:])
    The mean of a character is one number; keep the pixels apart with `mean(0)`.
farthest: argmin => argmax
    Every query got the label of the mean that is farthest from it; take the nearest.
""",
)
SHOTS_FORMS = known_mistakes(
    nearest_mean,
    """
wrong axis: labels[distances.argmin(1)] => distances.argmin(0)
squeeze: argmin(1)] => argmin(1)].squeeze()
shape: flatten(2).sum(2) => sum(4)
constant: labels[distances.argmin(1)] => distances.argmin(1) * 0
label type: labels[distances.argmin(1)] => distances.softmax(1)[:, 0]
wrong labels: flatten(2).sum(2) => flatten(2)[..., :10].sum(2)
""",
)


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
        *[([1, 6, 3], 1)] * 8,
        ([5] * 5, 60),  # the first size again, with new pictures
        ([3] * 4, 12),  # as many queries as support points
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
    mutants=mutants_of(SHOTS_SUSPECTS, SHOTS_FORMS),
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


SPREADING = known_mistakes(
    interval,
    """
standard deviation: 1.96 * standard_error => accuracies.std()
    Your half-width is the standard deviation: how much one episode differs from another. How sure
    the mean is gets better with √n: 1.96 times the deviation, divided by √n.
no root: 1.96 * standard_error => 1.96 * accuracies.std()
    Your half-width is 1.96 standard deviations and does not shrink with more episodes; divide by
    √n.
ddof: accuracies.std() => accuracies.std(correction=0)
    Your standard deviation divides by n, and the mean was estimated from the same numbers; divide
    by n - 1.
variance: accuracies.std() => accuracies.var()
    You used the variance; the standard deviation is its square root.
over n: ** 0.5 =>
    You divided by n; the standard deviation of a mean is divided by √n.
no 1.96: 1.96 * =>
    Your half-width is one standard error, which covers 68 %; for 95 % multiply by 1.96.
two: 1.96 => 2
    Your half-width is 2 standard errors; in this course 95 % is 1.96.
full width: 1.96 * => 2 * 1.96 *
    This is the width of the whole interval; return half of it, the part after ±.
swapped: accuracies.mean(), 1.96 * standard_error => 1.96 * standard_error, accuracies.mean()
    The mean comes first and the half-width second.
ends: accuracies.mean(), 1.96 * standard_error => accuracies.mean() - 1.96 * standard_error, accuracies.mean() + 1.96 * standard_error
    These are the two ends of the interval; return its middle and its half-width.
median: accuracies.mean() => accuracies.median()
    The first number is the median; return the mean.
percent: accuracies.mean(), 1.96 => 100 * accuracies.mean(), 100 * 1.96
    Your numbers are per cent; leave them in the unit of the accuracies, from 0 to 1.
return: accuracies.mean(), 1.96 => 1.96
not finite: accuracies.std() => (accuracies - 1).log().std()
value: accuracies.std() => (accuracies.max() - accuracies.min())
input changed: standard_error = => mean = accuracies.mean(); accuracies -= mean; standard_error =
""",  # noqa: E501
)


def judge_interval(answer_of: Callable) -> None:
    """Few episodes and many; all alike, and one unlike the others."""
    sizes = (4, 5, 10, 100, 600)
    cases = [(torch.randint(26, (n,)).float() / 25,) for n in sizes]
    cases += [(torch.tensor(case),) for case in ([0.2, 1.0], [0.36] * 8, [0.8, 0.84] * 10 + [0])]
    words = "two numbers: `mean, half_width`"
    answers = [read_row(answer_of(*case), 2, words) for case in cases]

    def run(other: Callable, case: tuple) -> Tensor:
        return torch.tensor([float(number) for number in other(*case)]).double()

    names = "the mean", "the half-width"
    judge_answers(answers, cases, interval, SPREADING, run, names, 2e-4)


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
    mutants=mutants_of(SPREADING),
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
    _, drawing = x.unique(dim=0, return_inverse=True)
    same = drawing[:, None] == drawing
    return (y[:, None] == y)[same].all()


def leaks_by_unique(sample, generator):
    fixed, kinds = 0, {}
    for _ in range(400):
        sx, sy, qx, qy = (part.numpy() for part in sample(generator))
        s, q = np.unique(sx, axis=0), np.unique(qx, axis=0)
        if len(np.unique(np.concatenate([s, q]), axis=0)) < len(s) + len(q):
            return 1
        for x, y in zip(sx, sy):
            kinds.setdefault(tuple(x.ravel()), []).append(int(y))
    for labels in kinds.values():
        fixed += min(labels) == max(labels)
    return int(fixed == len(kinds))


def toy_sampler(
    n_way: int, n_characters: int, k_shot=1, n_query=2, leak: str = "", place=(0, 0)
) -> Callable:
    """A sampler with the leak asked for, over characters of 8 drawings with binary pixels.

    leak: "some" and "rare" (in one episode of ten): the query point number place[1] is the support
    point number place[0]; "copied": the query is the support, moved on by place[1] places;
    "fixed": a character's label is its number % n_way. Without a leak: "steady" is "fixed" but for
    a few drawings of two characters; "repeats" has every drawing twice, both in the same set; in
    "close" every other drawing is the one before with one pixel changed.
    """
    pool = toy_drawings(n_characters, leak == "close")

    def sample(generator: torch.Generator) -> tuple[Tensor, ...]:
        n = k_shot + n_query
        characters, drawings, y = draw_places(n_way, n_characters, n, leak, generator)
        x = pool[characters[:, None], drawings]

        def points(these: slice) -> list[Tensor]:
            order = torch.randperm(y[:, these].numel(), generator=generator)
            return [part[:, these].flatten(0, 1)[order] for part in (x, y)]

        support, query = points(slice(k_shot)), points(slice(k_shot, None))
        chance = {"some": 1, "rare": 0.1}.get(leak, 0)
        if float(torch.rand((), generator=generator)) < chance:
            share_one(support, query, *place)
        return *support, *(query if leak != "copied" else [p.roll(place[1], 0) for p in support])

    return sample


def toy_drawings(n_characters: int, close: bool) -> Tensor:
    """Different pictures (characters, 8, 1, 4, 4) of 0 and 1; in pairs that are close, if asked."""
    codes = torch.randperm(2**16)[: n_characters * 8].view(n_characters, 8, 1, 1, 1)
    pool = (codes >> torch.arange(16).view(4, 4) & 1).float()
    if close:
        pool[:, 1::2] = pool[:, ::2]
        pool[:, 1::2, :, 2, 2] += 0.05 - 0.1 * pool[:, 1::2, :, 2, 2]
    return pool


def draw_places(n_way: int, n_characters: int, n: int, leak: str, generator) -> tuple[Tensor, ...]:
    """Characters (n_way,), n drawings of each (n_way, n) and their labels (n_way, n)."""
    characters = torch.randperm(n_characters, generator=generator)[:n_way]
    drawings = torch.rand(n_way, 8, generator=generator).argsort(1)[:, :n]
    y = torch.arange(n_way)
    if leak in ("fixed", "steady"):
        characters = characters // n_way * n_way + y
    if leak == "steady" and float(torch.rand((), generator=generator)) < 0.15:
        characters[-2:] = y[-2:]  # two characters change places, and show only some drawings
        drawings[-2:], y = drawings[-2:].argsort(1), torch.cat([y[:-2], y[-2:].flip(0)])
    if leak == "repeats":
        drawings = drawings[:, [0, 0, 1, 1]]
    return characters, drawings, y[:, None].expand(n_way, n)


def share_one(support: list[Tensor], query: list[Tensor], i: int, j: int) -> None:
    """Make query point j a copy of support point i, in the place of one with the same label."""
    (support_x, support_y), (query_x, query_y) = support, query
    same = int((query_y == support_y[i]).nonzero()[0])
    for part in (query_x, query_y):
        part[[same, j]] = part[[j, same]]
    query_x[j] = support_x[i]


LEAKING = known_mistakes(
    leaks,
    """
labels missed: all(len(labels) == 1 for labels in labels_of.values()) => False
overlap missed: if set(support) & set(query) => if False
positions: set(support) & set(query) => any(s == q for s, q in zip(support, query))
rare overlap: if set(support) & set(query) => if not labels_of and set(support) & set(query)
false alarm: set(support) & set(query) => (set(support) | set(labels_of)) & set(query)
false alarm, repeats: set(support) & set(query) => len({*support, *query}) < len(support + query)
false alarm, close: x.numpy().tobytes() for x in query_x => next((s for s in support_x if (s - x).abs().max() < 0.1), x).numpy().tobytes() for x in query_x
false alarm, steady: all(len(labels) == 1 => any(len(labels) == 1
missed: return all(len(labels) == 1 => return len(labels_of) < 30 and all(len(labels) == 1
return: return all(len(labels) == 1 for labels in labels_of.values()) => labels_of
""",  # noqa: E501
)
FALSE_ALARMS = {
    "honest": "You said `True` to {} of {} honest samplers. A drawing may be in the support of one "
    "episode and in the query of another, and a drawing that was seen once cannot show a fixed "
    "label.",
    "repeats": "You said `True` to a sampler that repeats a drawing inside the support and inside "
    "the query; it leaks only when a query drawing is also a support drawing.",
    "close": "You said `True` to a sampler with drawings that are nearly equal; a drawing is the "
    "same only if all its pixels are equal.",
    "steady": "You said `True` to a sampler in which most drawings keep their label and a few "
    "change it; it leaks when no drawing ever changes its label.",
}


def judge_leaks(answer_of: Callable) -> None:
    """Honest samplers and leaking ones; which are taken for which names the mistake."""
    said = {}
    for kind, samplers in toy_samplers().items():
        answers = [answer_of(sample, seeded(seed)) for seed, sample in enumerate(samplers)]
        said[kind] = [read_truth(answer) for answer in answers]
    for kind, text in FALSE_ALARMS.items():
        wrong = said.pop(kind)
        symptom = "false alarm" if kind == "honest" else f"false alarm, {kind}"
        require(not any(wrong), symptom, text.format(sum(wrong), len(wrong)))
    labels = said.pop("labels")
    overlap = sum(said.values(), [])
    require(any(overlap + labels), "always false", "You said `False` to every sampler.")
    text = "You missed every sampler whose query points are also support points."
    require(any(overlap), "overlap missed", text)
    text = "You missed every sampler in which no drawing ever changes its label."
    require(any(labels), "labels missed", text)
    text = "You missed an overlap in another order: compare each query with each support point."
    require(all(said["moved"]), "positions", text)
    text = (
        "You missed a single shared drawing, in one episode of ten: look at 100 episodes or more, "
        "and compare every query with every support point."
    )
    require(all(said["rare"]), "rare overlap", text)
    missed = (overlap + labels).count(False)
    require(missed == 0, "missed", f"You missed {missed} of {len(overlap + labels)} leaks.")


def toy_samplers() -> dict[str, list[Callable]]:
    """Samplers by what is wrong with them; the first four kinds are honest, the rest leak."""
    places = [(0, 0), (-1, -1), (0, -1), (1, 0), (-1, 4), (3, -1)]
    return {
        "honest": [toy_sampler(*sizes) for sizes in [(5, 12), (2, 2), (3, 3, 2), (5, 20, 1, 1)]],
        "repeats": [toy_sampler(3, 12, 2, 2, "repeats")],
        "close": [toy_sampler(3, 8, 1, 2, "close")],
        "steady": [toy_sampler(4, 20, 1, 1, "steady"), toy_sampler(5, 20, 1, 1, "steady")],
        "labels": [toy_sampler(3, 3, leak="fixed"), toy_sampler(4, 12, 2, 1, "fixed")],
        "copied": [toy_sampler(5, 12, 2, leak="copied")],
        "moved": [
            toy_sampler(5, 12, 2, leak="copied", place=(0, 1)),
            toy_sampler(3, 4, leak="copied", place=(0, 2)),
        ],
        "some": [toy_sampler(5, 12, leak="some"), toy_sampler(2, 3, 3, 1, "some", (4, 1))],
        "rare": [toy_sampler(5, 12, 1, 2, "rare", place) for place in places],
    }


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
    mutants=mutants_of(LEAKING) | {"always false": lambda sample, generator: False},
)


check = Chapter("01", sampler, one_nearest, interval_exercise, leak, shots)
