"""Episodes are what the protocols say: disjoint, balanced, permuted, repeatable, and told apart."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlcourse.tasks import Characters, SineTasks
from mlcourse.tasks.omniglot import CharacterData

SIDE = 3  # small pictures whose first pixels say which class, drawing and pool they are


def coded(classes: int, drawings: int = 20, pool: int = 0) -> Characters:
    """A pool in which every picture says what it is."""
    images = torch.zeros(classes, drawings, SIDE, SIDE, dtype=torch.uint8)
    images[..., 0, 0] = (torch.arange(classes) // 256).byte().unsqueeze(1)
    images[..., 0, 1] = (torch.arange(classes) % 256).byte().unsqueeze(1)
    images[..., 0, 2] = torch.arange(drawings).byte()
    images[..., 1, 0] = pool
    images[..., 2, 2] = 255
    return Characters(
        images,
        torch.arange(classes) % 3,
        torch.arange(1, drawings + 1).byte().repeat(classes, 1),
        ("one", "two", "three"),
        torch.zeros(classes, dtype=torch.int64),
    )


def decoded(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which class and which drawing each picture of an episode is, int64 (tasks, points)."""
    pixels = (x[:, :, 0] * 255).round().long()
    return pixels[..., 0, 0] * 256 + pixels[..., 0, 1], pixels[..., 0, 2]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def within(counts: torch.Tensor) -> bool:
    """Whether counts are as even as chance makes them: chi square within six deviations."""
    counts = counts.double()
    expected = counts.mean()
    chi, free = float(((counts - expected) ** 2 / expected).sum()), counts.numel() - 1
    return abs(chi - free) < 6 * math.sqrt(2 * free)


# ---------------------------------------------------------------- characters

shapes = st.tuples(
    st.integers(1, 6), st.integers(1, 7), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9)
)


@given(shapes)
@settings(deadline=None)
def test_an_episode_is_balanced_disjoint_and_in_range(shape):
    n_tasks, n_way, k_shot, n_query, spare = shape
    pool = coded(n_way + spare, 9)
    episode = pool.sample(n_tasks, k_shot, n_query, seeded(spare), n_way)
    for points, per_class in zip(episode, (k_shot, n_query), strict=True):
        assert points.x.shape == (n_tasks, n_way * per_class, 1, SIDE, SIDE)
        assert points.y.shape == (n_tasks, n_way * per_class)
        assert points.x.dtype == torch.float32 and points.y.dtype == torch.int64
        assert points.x.min() == 0 and points.x.max() == 1
        assert points.x.is_contiguous()
        for labels in points.y:
            assert labels.bincount(minlength=n_way).tolist() == [per_class] * n_way
    classes, drawings = (torch.cat(both, 1) for both in zip(*(decoded(p.x) for p in episode)))
    labels = torch.cat([episode.support.y, episode.query.y], 1)
    for c, d, y in zip(classes, drawings, labels):
        assert len(set(zip(c.tolist(), d.tolist()))) == n_way * (k_shot + n_query)
        assert len(set(c.tolist())) == n_way  # distinct classes,
        assert len(set(zip(c.tolist(), y.tolist()))) == n_way  # one label each, in both sets


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_the_same_seed_gives_the_same_episode_and_another_another(seed):
    pool = coded(40)
    one, same, other = (pool.sample(2, 2, 3, seeded(s)) for s in (seed, seed, seed + 1))
    for a, b in zip(one, same, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    assert not torch.equal(one.support.x, other.support.x)


def test_sampling_leaves_the_global_generators_alone():
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    coded(10).sample(3, 1, 2, seeded())
    SineTasks(noise=0.1).sample(3, 1, 2, seeded())
    CharacterData(coded(9), coded(4), "Omniglot").papers_split()
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])


def test_one_call_after_another_gives_other_episodes():
    generator, pool = seeded(), coded(40)
    first, second = (pool.sample(1, 1, 1, generator) for _ in range(2))
    assert not torch.equal(first.support.x, second.support.x)


def test_class_and_label_are_independent():
    episode = coded(7).sample(4000, 1, 2, seeded(), 5)
    for points in episode:
        classes, _ = decoded(points.x)
        joint = (classes * 5 + points.y).flatten().bincount(minlength=35)
        assert within(joint)  # each of 7 characters under each of 5 labels equally often


def test_place_says_nothing_about_label():
    for points in coded(7).sample(4000, 2, 3, seeded(), 5):
        for place in points.y.unbind(1):
            assert within(place.bincount(minlength=5))
        rises = (points.y[:, 1:] == points.y[:, :-1]).double().mean()
        per_class = points.y.shape[1] // 5
        chance = (per_class - 1) / (points.y.shape[1] - 1)
        assert abs(rises - chance) < 0.01  # neighbours share a label as often as chance has it


def test_support_and_query_are_shuffled_apart():
    episode = coded(7).sample(4000, 1, 1, seeded(), 5)
    agree = (episode.support.y == episode.query.y).double().mean()
    assert abs(agree - 1 / 5) < 0.02


def test_every_drawing_serves_in_either_set():
    episode = coded(6, 10).sample(3000, 2, 3, seeded(), 5)
    for points in episode:
        classes, drawings = decoded(points.x)
        assert within((classes * 10 + drawings).flatten().bincount(minlength=60))


def test_all_drawings_and_all_classes_may_be_used():
    episode = coded(5, 4).sample(1, 1, 3, seeded(), 5)
    assert episode.support.x.shape[1] + episode.query.x.shape[1] == 20


@pytest.mark.parametrize(
    "change, says",
    [
        ({"n_tasks": 0}, "needs a task, a shot, a query and a way, not 0, 1, 5, 5"),
        ({"k_shot": 0}, "not 2, 0, 5, 5"),
        ({"k_shot": -1}, "not 2, -1, 5, 5"),
        ({"n_query": 0}, "not 2, 1, 0, 5"),
        ({"n_way": 0}, "not 2, 1, 5, 0"),
        ({"n_way": 11}, "n_way is 11, but there are 10 characters"),
        ({"n_query": 20}, r"k_shot \+ n_query is 21, but a character has 20 drawings"),
    ],
)
def test_impossible_episodes_are_told_in_numbers(change, says):
    wish = {"n_tasks": 2, "k_shot": 1, "n_query": 5, "n_way": 5} | change
    with pytest.raises(ValueError, match=says):
        coded(10).sample(generator=seeded(), **wish)


@pytest.mark.latency
def test_a_sixty_way_episode_is_quick():
    pool, generator = coded(3856), seeded()
    pool = Characters(pool.images.repeat(1, 1, 9, 9)[..., :28], *list(vars(pool).values())[1:])
    times = []
    for _ in range(60):
        start = time.perf_counter()
        pool.sample(1, 1, 5, generator, 60)
        times.append(time.perf_counter() - start)
    assert min(times) < 2e-3  # 0.5 ms on an idle machine; the benchmark has the figure


# ---------------------------------------------------------------- pools


def test_rotated_is_numpys_rot90():
    pool = coded(5)
    turned = pool.rotated()
    assert len(turned) == 20 and turned.images.is_contiguous()
    for k in range(4):
        part = turned.subset(torch.arange(5 * k, 5 * k + 5))
        assert np.array_equal(part.images.numpy(), np.rot90(pool.images.numpy(), k, (2, 3)))
        assert part.rotation.tolist() == [k] * 5
        assert torch.equal(part.alphabet, pool.alphabet)
        assert torch.equal(part.drawer, pool.drawer)
    assert turned.alphabets == pool.alphabets


def test_subset_keeps_what_belongs_together():
    part = coded(9).rotated().subset(torch.tensor([30, 2]))
    classes, _ = decoded(part.rotated().images[:2, :, None].float() / 255)
    assert classes[1].tolist() == [2] * 20
    assert part.alphabet.tolist() == [30 % 9 % 3, 2] and part.rotation.tolist() == [3, 0]
    assert part.drawer.shape == (2, 20) and len(part) == 2


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=5)
def test_the_papers_split(seed):
    pools = CharacterData(coded(964), coded(659, pool=7), "Omniglot")
    train, test = pools.papers_split(seed)
    assert (len(train), len(test)) == (4800, 1692)
    who = []
    for side in (train, test):
        identity = torch.cat([torch.rot90(side.images[side.rotation == k], -k, (2, 3))
                              for k in range(4)])[:, 0].long()  # fmt: skip
        identity = identity[:, 1, 0] * 10_000 + identity[:, 0, 0] * 256 + identity[:, 0, 1]
        assert (identity.unique(return_counts=True)[1] == 4).all()  # all four turns together
        who.append(set(identity.tolist()))
        assert side.alphabets == ("one", "two", "three") * 2
        upright = side.rotation == 0
        assert torch.equal(side.alphabet[upright] >= 3, side.images[upright, 0, 1, 0] == 7)
    assert not who[0] & who[1] and len(who[0] | who[1]) == 1623
    share = sum(i >= 70_000 for i in who[1]) / 423
    assert abs(share - 659 / 1623) < 0.12  # of both archives, mixed


# ---------------------------------------------------------------- sine waves


def fitted(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Amplitude, phase and largest residual of y = a sin x + b cos x, a task a row."""
    basis = torch.cat([x.sin(), x.cos()], -1)
    weights = torch.linalg.lstsq(basis, y).solution
    a, b = weights[:, 0, 0], weights[:, 1, 0]
    return torch.hypot(a, b), torch.atan2(-b, a), (basis @ weights - y).abs().amax()


@given(st.integers(1, 20), st.integers(3, 12), st.integers(3, 12), st.integers(0, 99))
@settings(deadline=None)
def test_support_and_query_lie_on_one_sine(n_tasks, k_shot, n_query, seed):
    episode = SineTasks().sample(n_tasks, k_shot, n_query, seeded(seed))
    assert episode.support.x.shape == episode.support.y.shape == (n_tasks, k_shot, 1)
    assert episode.query.x.shape == episode.query.y.shape == (n_tasks, n_query, 1)
    x, y = (torch.cat([s, q], 1) for s, q in zip(*episode))
    assert x.dtype == y.dtype == torch.float64
    assume(torch.linalg.cond(torch.cat([x.sin(), x.cos()], -1)).max() < 1e4)
    amplitude, phase, residual = fitted(x, y)
    assert residual < 1e-9
    assert amplitude.min() > 0.1 - 1e-9 and amplitude.max() < 5 + 1e-9
    assert phase.min() > -1e-6 and phase.max() < math.pi + 1e-6


def test_amplitude_phase_and_place_fill_their_ranges_evenly():
    episode = SineTasks().sample(4000, 10, 10, seeded())
    x, y = (torch.cat([s, q], 1) for s, q in zip(*episode))
    amplitude, phase, _ = fitted(x, y)
    places = [(amplitude, 0.1, 5.0), (phase, 0.0, math.pi)]
    places += [(points.x.flatten(), -5.0, 5.0) for points in episode]
    for values, low, high in places:
        cells = ((values - low) / (high - low) * 10).long().clamp(0, 9)
        assert within(cells.bincount(minlength=10))
    assert abs(torch.corrcoef(torch.stack([amplitude, phase]))[0, 1]) < 0.1


def test_other_ranges_are_kept():
    tasks = SineTasks(amplitude=(2, 2), phase=(1, 1), x=(0, 1))
    episode = tasks.sample(3, 2, 4, seeded())
    for x, y in episode:
        assert torch.allclose(y, 2 * torch.sin(x - 1), rtol=0, atol=1e-12)
        assert x.min() >= 0 and x.max() <= 1


def test_noise_has_its_size_and_leaves_the_places_alone():
    clean, noisy = (SineTasks(noise=s).sample(2000, 10, 10, seeded()) for s in (0.0, 0.3))
    for a, b in zip(clean, noisy, strict=True):
        assert torch.equal(a.x, b.x)
        error = b.y - a.y
        assert abs(error.std() - 0.3) < 0.01 and abs(error.mean()) < 0.01
        assert abs(error.std(1).mean() - 0.3) < 0.02  # within a task, not only between tasks


def test_the_same_seed_gives_the_same_sines():
    one, same, other = (SineTasks(noise=0.1).sample(2, 3, 3, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(one.query.y, same.query.y) and torch.equal(one.support.x, same.support.x)
    assert not torch.equal(one.query.y, other.query.y)


@pytest.mark.parametrize("wish", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, -1, 5)])
def test_impossible_sines_are_told_in_numbers(wish):
    with pytest.raises(ValueError, match=f"not {', '.join(map(str, wish))}"):
        SineTasks().sample(*wish, seeded())
