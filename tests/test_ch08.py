"""Chapter 08's labs by independent means: plain loops, numpy, drawing."""

import numpy as np
import pytest
import torch

from mlcourse.evaluation import estimate
from mlcourse.labs import ch08
from mlcourse.learners import protonet_runs as runs
from mlcourse.pictures import image
from mlcourse.tasks import load_characters


@pytest.fixture(scope="module")
def pool():
    return load_characters(runs.BASE.size).evaluation


@pytest.fixture(scope="module")
def features(pool):
    """Pixels, and a random projection of them: quick, and no two drawings alike."""
    pixels = pool.images.flatten(2).float().div(255)
    generator = torch.Generator().manual_seed(0)
    return {"pixels": pixels, "mixed": pixels @ torch.randn(400, 16, generator=generator) / 5}


@pytest.fixture(scope="module")
def lab(features, pool):
    return ch08.episode_lab(features, pool)


def far(name: str, z: np.ndarray, c: np.ndarray) -> float:
    """A distance as its name says it."""
    return {
        "squared": ((z - c) ** 2).sum(),
        "unsquared": np.sqrt(((z - c) ** 2).sum()),
        "city block": np.abs(z - c).sum(),
        "cosine": 1 - z @ c / np.linalg.norm(z) / np.linalg.norm(c),
    }[name]


SETTINGS = [
    ("mixed", 5, 1, "squared", False, 3),
    ("mixed", 4, 10, "cosine", True, 1),
    ("pixels", 3, 2, "city block", True, 40),
    ("mixed", 20, 3, "unsquared", False, 7),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_lab_shows_what_loops_find(lab, features, pool, setting):
    who, n_way, k_shot, distance, within, number = setting
    data = lab.data(who, n_way, k_shot, distance, within, number)
    classes, drawings = ch08.Tables(features, pool).draw(number, within)
    z, accuracies = features[who].double().numpy(), []
    for task in range(ch08.N_TASKS):
        own, picks = classes[task, :n_way, 0].tolist(), drawings[task, :n_way].tolist()
        means = [z[c, p[5 : 5 + k_shot]].mean(0) for c, p in zip(own, picks)]
        d = np.array(
            [[far(distance, z[c, i], m) for m in means] for c, p in zip(own, picks) for i in p[:5]]
        )
        hits = d.argmin(1) == np.repeat(np.arange(n_way), 5)
        accuracies.append(hits.mean())
        if task == 0:
            p = np.exp(-d) / np.exp(-d).sum(1, keepdims=True)
            assert np.allclose(data.shares, p.reshape(n_way, 5, n_way).mean(1), atol=1e-4)
            assert data.right == hits.sum()
    assert data.score.mean == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert len(data.query) == n_way and data.score.n == ch08.N_TASKS


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_nearest_other_drawing_by_brute_force(lab, features, pool, setting):
    who, n_way, k_shot, distance, within, number = setting
    data = lab.data(who, n_way, k_shot, distance, within, number)
    classes, drawings = ch08.Tables(features, pool).draw(number, within)
    own, support = classes[0, :n_way, 0].tolist(), drawings[0, :n_way, 5 : 5 + k_shot].tolist()
    z = features[who].double().numpy()
    for k in range(n_way):
        mean = z[own[k], support[k]].mean(0)
        others = [
            (far(distance, z[c, i], mean), j, c, i)
            for j, c in enumerate(own)
            for i in range(20)
            if i not in support[j]
        ]
        _, j, c, i = min(others)
        assert torch.equal(data.near[k], pool.images[c, i].float() / 255)
        assert bool(data.same[k]) == (j == k)
        expected = pool.images[own[k], support[k]].float().mean(0) / 255
        assert torch.allclose(data.support[k], expected)


def test_fewer_ways_and_shots_are_a_part_of_more(lab):
    small, large = (
        lab.data("mixed", 5, 1, "squared", False, 2),
        lab.data(*("mixed", 20, 10, "squared", False, 2)),
    )
    assert torch.equal(small.query, large.query[:5])
    assert not torch.equal(small.support, large.support[:5])


def test_tasks_are_of_one_alphabet_when_asked_and_supports_are_no_queries(features, pool):
    tables = ch08.Tables(features, pool)
    for number in (1, 40):
        classes, drawings = tables.draw(number, True)
        names = [pool.alphabet[c].unique() for c in classes]
        assert all(len(name) == 1 for name in names) and len(torch.cat(names).unique()) == 20
        for part in (classes[..., 0], *drawings.unbind(1)):
            assert all(len(row.unique()) == len(row) for row in part)
    assert len(pool.alphabet[tables.draw(1, False)[0][0]].unique()) > 1


def test_the_table_says_and_draws_its_numbers(lab):
    data = lab.data("mixed", 5, 2, "squared", True, 2)
    words = ch08.table_words(data)
    assert f"{data.right} of 25 queries right" in words and str(data.score) in words
    assert "2 drawings of each of 5 characters of one alphabet" in words
    plain = lab.canvas.draw(data)[0].tobytes()
    assert plain != lab.canvas.draw(data._replace(same=~data.same))[0].tobytes()
    assert plain != lab.canvas.draw(data._replace(shares=data.shares.flip(0)))[0].tobytes()


def test_tiles_keep_their_places():
    drawings = torch.arange(2.0 * 3 * 4 * 5).view(2, 3, 4, 5)
    page = ch08.tiles(drawings)
    assert page.shape == (8, 15)
    for r in range(2):
        for c in range(3):
            assert (page[4 * r : 4 * r + 4, 5 * c : 5 * c + 5] == drawings[r, c].numpy()).all()


def test_embeddings_are_those_of_the_networks(pool):
    some = pool.subset(torch.arange(4))
    large = load_characters(28).evaluation.subset(torch.arange(4))
    found = ch08.embeddings(some, large)
    assert torch.equal(found["untrained"], runs.embedded(runs.BASE.net(), some))
    assert torch.equal(found["long run"], runs.embedded(runs.shipped(), large))
    assert torch.equal(found["half a minute"], runs.embedded(runs.shipped("base"), some))
    assert found["pixels"].shape == (4, 20, 400) and found["pixels"].max() <= 1


# ---------------------------------------------------------------- the recorded runs


@pytest.mark.parametrize("question", runs.VARIANTS)
@pytest.mark.parametrize("cell", ["20-way 1-shot", "20-way 1-shot, one alphabet"])
def test_the_variants_in_numpy(question, cell):
    data = ch08.variants(question, cell)
    found = {}
    for name, recipe in runs.VARIANTS[question].items():
        rows = [runs.recorded(f"{runs.named(recipe)}/{s}")[ch08.CELLS[cell]] for s in (0, 1)]
        rows = np.stack([row.double().numpy() for row in rows])
        if "alphabet" in cell:
            rows = np.stack([[row[50 * a : 50 * a + 50].mean() for a in range(20)] for row in rows])
        found[name] = rows
    assert runs.VARIANTS[question][data.base] == runs.BASE
    for name, rows in found.items():
        assert data.seeds[name] == pytest.approx(rows.mean(1), abs=1e-6)
        for e, v in (
            (data.scores[name], rows.mean(0)),
            (data.leads[name], rows.mean(0) - found[data.base].mean(0)),
        ):
            assert e.mean == pytest.approx(v.mean(), abs=1e-6)
            assert e.half_width == pytest.approx(1.96 * v.std(ddof=1) / len(v) ** 0.5, abs=1e-6)


def test_every_answer_is_drawn_and_said():
    lab, drawn = ch08.variants_lab(), set()
    for question in runs.VARIANTS:
        data = lab.data(question, "5-way 1-shot")
        picture, words = lab.canvas.draw(data)
        assert all(f"{name} {e}" in words for name, e in data.scores.items())
        drawn.add(picture.tobytes())
    assert len(drawn) == len(runs.VARIANTS)


# ---------------------------------------------------------------- one alphabet


def cloud(n: int = 6, drawings: int = 7, d: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(n, 1, d, **draw) + torch.randn(n, drawings, d, **draw)


def test_left_out_is_a_loop_that_leaves_out():
    z = cloud()
    found = ch08.left_out(z)
    for i in range(6):
        for j in range(7):
            for k in range(6):
                others = [z[k, m] for m in range(7) if (k, m) != (i, j)]
                mean = torch.stack(others).mean(0)
                assert found[i, j, k] == pytest.approx(float((z[i, j] - mean).square().sum()))


def test_mistakes_are_counted():
    distances = ch08.left_out(cloud())
    counts = ch08.mistaken(distances)
    for i in range(6):
        said = [min(range(6), key=lambda k: distances[i, j, k]) for j in range(7)]  # noqa: B023
        assert counts[i].tolist() == [said.count(k) for k in range(6)]
    pairs = {(a, b): int(counts[a, b] + counts[b, a]) for a in range(6) for b in range(a + 1, 6)}
    worst = ch08.worst_pairs(counts, 3)
    assert [v for *_, v in worst] == sorted(pairs.values())[:-4:-1]
    assert all(pairs[a, b] == v for a, b, v in worst)


def test_neighbours_by_sorting():
    z = cloud()
    found = ch08.neighbours(z, k_shot=2)
    assert found.shape == (6, 5)
    for i in range(6):
        mean = z[i, :2].mean(0)
        rest = [(c, m) for c in range(6) for m in range(7) if c != i or m > 1]
        rest.sort(key=lambda p: float((z[p] - mean).square().sum()))
        assert found[i].tolist() == [7 * c + m for c, m in rest[:5]]


# ---------------------------------------------------------------- figures


def test_the_guess_is_drawn_and_said():
    rows = {"pixels": estimate([0.4, 0.5]), "born": estimate([0.5, 0.6])}
    bare, words = ch08.reveal(rows, None)
    guessed, more = ch08.reveal(rows, 35)
    assert "35 %" in more and "guess" not in words and "born 0.550" in words
    assert image(bare).tobytes() != image(guessed).tobytes()


def test_figures_in_words():
    curve = torch.tensor([[0, 0, 0.5, 0.01], [20_000, 9, 0.95, 0.01]])
    words = ch08.curve_figure({"run": curve}, {"paper": 98.8})[1]
    assert "95.0 % after 20 thousand drawings" in words and "98.8" in words
    words = ch08.errors_figure({"people": 4.5}, {"run": estimate([0.2, 0.3])})[1]
    assert "people 4.5 %" in words and "run 25.0 ± 9.8 %" in words


def test_figures_of_an_alphabet_in_words(pool):
    images, z = pool.images[:5], pool.images[:5].flatten(2).double()
    words = ch08.map_figure(z, images, (1, 3))[1]
    flat = (z - z.mean((0, 1))).flatten(0, 1).numpy()
    sizes = np.linalg.svd(flat, compute_uv=False) ** 2
    assert f"{sizes[:2].sum() / sizes.sum():.0%} of the variance" in words
    assert "characters 1 and 3" in words
    words = ch08.pairs_figure(images, [(0, 2, 9), (1, 3, 4)])[1]
    assert "0 and 2 in 9 of 40 drawings" in words
    found = torch.tensor([[*range(5, 17)]] * 5)  # twelve places of character 0
    words = ch08.neighbours_figure(images, found, [0, 4])[1]
    assert "character 0: 12 of 12; character 4: 0 of 12" in words


def test_the_table_of_text_has_a_column_for_each_cell():
    rows = {"run": {f"{n}w{k}s": estimate([0.5, 0.7]) for n, k in runs.CELLS}}
    head, line = ch08.table_text(rows).splitlines()
    assert head.split() == ["5w1s", "5w5s", "20w1s", "20w5s"]
    assert line.split() == ["run"] + ["60.0", "±", "19.6"] * 4
