"""Generated alphabets have Omniglot's shapes, habits of their own, and are about as hard."""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from mlcourse.tasks.episodes import Characters
from mlcourse.tasks.glyphs import make_alphabets, make_glyphs

# Percent right of 1-nearest-neighbour in pixels on the 659 evaluation characters of Omniglot,
# 2000 episodes, 95 % interval at most 0.5, and its mean ink (sum of a drawing in [0, 1]).
OMNIGLOT = {"5-way 1-shot": 42.4, "20-way 1-shot": 22.8, "5-way 5-shot": 63.5}
OMNIGLOT_ALPHABET = 18.1  # 20-way 1-shot with all characters from one alphabet
OMNIGLOT_INK = 66.2
TASKS = {"5-way 1-shot": (5, 1), "20-way 1-shot": (20, 1), "5-way 5-shot": (5, 5)}


def nearest_neighbour(characters, n_way: int, k_shot: int, n_tasks: int) -> torch.Tensor:
    """Percent right in each episode by the closest support picture, float (n_tasks,)."""
    generator = torch.Generator().manual_seed(0)
    right = []
    for _ in range(0, n_tasks, 100):
        support, query = characters.sample(min(n_tasks, 100), k_shot, 5, generator, n_way)
        closest = torch.cdist(query.x.flatten(2), support.x.flatten(2)).argmin(-1)
        right.append((support.y.gather(1, closest) == query.y).float().mean(1))
    return 100 * torch.cat(right)


def alphabets_of(characters: Characters) -> list[Characters]:
    """One pool for each alphabet."""
    which = range(len(characters.alphabets))
    return [characters.subset((characters.alphabet == a).nonzero().flatten()) for a in which]


def within_alphabets(characters: Characters, n_tasks: int) -> torch.Tensor:
    """Percent right in 20-way 1-shot episodes from one alphabet each."""
    pools = alphabets_of(characters)
    return torch.cat([nearest_neighbour(pool, 20, 1, n_tasks // len(pools)) for pool in pools])


def mean_ink(characters: Characters) -> float:
    return float(characters.images.float().mean() / 255 * 28 * 28)


def slants(images: torch.Tensor) -> torch.Tensor:
    """Drift of ink to the right per row down, uint8 (..., 28, 28) to float (...)."""
    ink = images.double()
    at = torch.arange(28, dtype=torch.float64)
    total = ink.sum((-2, -1))
    dx = at - ((ink.sum(-2) * at).sum(-1) / total)[..., None]
    dy = at - ((ink.sum(-1) * at).sum(-1) / total)[..., None]
    together = (ink * dx[..., None, :] * dy[..., :, None]).sum((-2, -1)) / total
    return together / ((ink.sum(-1) * dy**2).sum(-1) / total + 1)


@pytest.fixture(scope="module")
def glyphs() -> tuple[Characters, Characters]:
    start = time.perf_counter()
    made = make_glyphs()
    seconds = time.perf_counter() - start
    print(f"\n32 460 drawings in {seconds:.1f} s")
    assert seconds < 30
    return made


@pytest.fixture(scope="module")
def omniglot() -> Characters:
    """The real evaluation characters, averaged down to 28 x 28 like the generated ones."""
    folder = os.environ.get("MLCOURSE_OMNIGLOT")
    archive = Path(folder or ".") / "images_evaluation.zip"
    if not folder or not archive.is_file():
        pytest.skip("MLCOURSE_OMNIGLOT names no folder with images_evaluation.zip")
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".png"))
        pictures = [Image.open(io.BytesIO(files.read(name))).convert("L") for name in names]
    small = [ImageOps.invert(p).resize((28, 28), Image.Resampling.BOX) for p in pictures]
    alphabets, alphabet = np.unique([n.split("/")[1] for n in names[::20]], return_inverse=True)
    n = len(alphabet)
    return Characters(
        images=torch.from_numpy(np.stack(small)).view(n, 20, 28, 28),
        alphabet=torch.from_numpy(alphabet),
        drawer=torch.arange(1, 21, dtype=torch.uint8).repeat(n, 1),
        alphabets=tuple(alphabets.tolist()),
        rotation=torch.zeros(n, dtype=torch.int64),
    )


@pytest.mark.parametrize("part, n_alphabets, n", [(0, 30, 964), (1, 20, 659)])
def test_shapes_and_types(glyphs, part, n_alphabets, n):
    characters = glyphs[part]
    assert len(characters) == n
    assert (characters.images.shape, characters.images.dtype) == ((n, 20, 28, 28), torch.uint8)
    assert (characters.alphabet.shape, characters.alphabet.dtype) == ((n,), torch.int64)
    assert (characters.drawer.shape, characters.drawer.dtype) == ((n, 20), torch.uint8)
    assert (characters.rotation.shape, characters.rotation.dtype) == ((n,), torch.int64)
    assert characters.rotation.eq(0).all()
    assert (characters.drawer == torch.arange(1, 21)).all()
    assert len(characters.alphabets) == n_alphabets
    assert (characters.alphabet.diff() >= 0).all()
    assert torch.bincount(characters.alphabet, minlength=n_alphabets).min() >= 20


def test_alphabets_of_the_two_parts_have_different_names(glyphs):
    background, evaluation = glyphs
    assert background.alphabets[0] == "Generated 01"
    assert evaluation.alphabets[-1] == "Generated 50"
    assert len({*background.alphabets, *evaluation.alphabets}) == 50


def test_same_seed_same_drawings_and_another_seed_others(glyphs):
    again, other = make_alphabets(0, 30, 20, 659), make_alphabets(1, 30, 20, 659)
    assert torch.equal(glyphs[1].images, again.images)
    assert torch.equal(glyphs[1].alphabet, again.alphabet)
    assert not torch.equal(glyphs[1].images, other.images)


def test_global_random_numbers_are_not_used():
    numpy_before, torch_before = np.random.get_state()[1:3], torch.get_rng_state()
    make_alphabets(3, 0, 2, 40)
    numpy_after, torch_after = np.random.get_state()[1:3], torch.get_rng_state()
    assert (numpy_before[0] == numpy_after[0]).all() and numpy_before[1] == numpy_after[1]
    assert torch.equal(torch_before, torch_after)


def test_every_drawing_has_ink_and_none_is_a_blob(glyphs):
    for characters in glyphs:
        ink = characters.images.float().mean((2, 3)) / 255
        assert ink.min() > 0.005
        assert ink.max() < 0.45
        assert characters.images.flatten(2).amax(2).min() > 150


def test_drawings_stay_off_the_border(glyphs):
    border = torch.ones(28, 28, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    for characters in glyphs:
        touched = (characters.images[..., border] > 0).float().mean()
        assert touched < 0.015  # Omniglot: 0.002
        assert characters.images[..., border].amax(-1).gt(0).float().mean() < 0.25


def test_every_character_differs_from_every_other(glyphs):
    means = torch.cat([c.images for c in glyphs]).float().mean(1).flatten(1) / 255
    apart = torch.cdist(means, means).fill_diagonal_(torch.inf).amin(1)
    assert apart.min() > 0.4  # the closest two of Omniglot's evaluation characters: 0.65
    assert apart.median() > 1.7  # Omniglot: 2.04


def test_a_drawer_slants_all_characters_of_an_alphabet_alike(glyphs):
    halves = []
    for pool in (pool for characters in glyphs for pool in alphabets_of(characters)):
        slant = slants(pool.images)
        slant = slant - slant.mean(1, keepdim=True)
        halves.append(torch.stack([slant[::2].mean(0), slant[1::2].mean(0)]))
    alike = torch.stack([torch.corrcoef(half)[0, 1] for half in halves])
    assert alike.mean() > 0.25
    strangers = [torch.stack([one[0], other[1]]) for one, other in zip(halves, halves[1:])]
    assert torch.stack([torch.corrcoef(pair)[0, 1] for pair in strangers]).mean().abs() < 0.15


@pytest.mark.parametrize("task", TASKS)
def test_as_hard_as_omniglot_was_measured(glyphs, task):
    right = nearest_neighbour(glyphs[1], *TASKS[task], 1000).mean()
    assert abs(right - OMNIGLOT[task]) < 3.5


def test_as_hard_within_an_alphabet_and_as_much_ink(glyphs):
    assert abs(within_alphabets(glyphs[1], 2000).mean() - OMNIGLOT_ALPHABET) < 5
    assert abs(mean_ink(glyphs[1]) / OMNIGLOT_INK - 1) < 0.2


@pytest.mark.parametrize("task", TASKS)
def test_as_hard_as_omniglot_itself(glyphs, omniglot, task):
    ours, real = (nearest_neighbour(c, *TASKS[task], 1000).mean() for c in (glyphs[1], omniglot))
    assert abs(real - OMNIGLOT[task]) < 1.5
    assert abs(ours - real) < 4


def test_within_an_alphabet_and_ink_beside_omniglot_itself(glyphs, omniglot):
    assert abs(mean_ink(omniglot) - OMNIGLOT_INK) < 0.5
    real = within_alphabets(omniglot, 2000).mean()
    assert abs(real - OMNIGLOT_ALPHABET) < 1.5
    assert abs(within_alphabets(glyphs[1], 2000).mean() - real) < 5


def test_the_shipped_asset_is_what_the_generator_makes(glyphs):
    from mlcourse.tasks.omniglot import generated

    shipped = generated(28)
    for ours, asset in zip(glyphs, (shipped.background, shipped.evaluation)):
        assert asset.alphabets == ours.alphabets and torch.equal(asset.alphabet, ours.alphabet)
        differ = (asset.images != ours.images).double().mean()
        assert differ < 1e-3  # another BLAS may flip single pixels
