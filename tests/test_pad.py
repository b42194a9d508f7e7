"""The draw-your-own pad without a browser: the path of a drawing, the answer, the game."""

import io
import itertools
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mlcourse import paths, pictures
from mlcourse.labs import ch01, pad
from mlcourse.learners import networks
from mlcourse.learners.transfer_runs import pretrained
from mlcourse.tasks import load_characters, omniglot

HERE = Path(os.environ.get("MLCOURSE_OMNIGLOT") or paths.data_folder()).expanduser()
REAL = None if omniglot.lacking(HERE) else HERE
needs_real = pytest.mark.skipif(REAL is None, reason="no Omniglot: see data/README.md")


@pytest.fixture(scope="module")
def evaluation():
    return load_characters().evaluation


@pytest.fixture(scope="module")
def lab(evaluation):
    return pad.pad_lab(pretrained(), evaluation)


@pytest.fixture
def at_start(lab):
    lab.set(lab.defaults)
    return lab


def thicknesses(page):
    """The lengths of all runs of ink, along rows and along columns."""
    found = []
    for lines in (page > 0, (page > 0).T):
        edges = np.diff(np.pad(lines.astype(int), ((0, 0), (1, 1)))).ravel()
        found.append(np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0))
    return np.concatenate(found)


# ---------------------------------------------------------------- the path of a drawing


@pytest.mark.parametrize("stroke", [[20, 50.5, 80, 50.5], [50.5, 20, 50.5, 80.5]])
def test_a_straight_stroke_is_five_pixels_thick(stroke):
    page = pad.bitmap([stroke])
    ink = page > 0
    assert set(np.unique(page)) == {0, 255} and page.dtype == np.uint8
    assert 5 in (np.median(ink.sum(0)[ink.any(0)]), np.median(ink.sum(1)[ink.any(1)]))


def test_a_stroke_covers_what_is_near_its_line():
    """Against the distance of every pixel's middle to the segment."""
    (x0, y0), (x1, y1) = (12.3, 80.9), (77.7, 20.2)
    y, x = np.mgrid[:105, :105] + 0.5
    t = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    t = t.clip(0, 1)
    off = np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0))
    page = pad.bitmap([[x0, y0, x1, y1]]) > 0
    assert not page[off > 2.5 + 1e-9].any() and page[off < 2.48].all()


def test_a_dot_is_seen_and_a_stroke_that_leaves_the_page_is_cut_off():
    assert pad.bitmap([[50, 50]]).astype(bool).sum() == pytest.approx(np.pi * 2.5**2, abs=5)
    assert not pad.bitmap([[-40, -40, -9, 120], [200, 50]]).any()
    crossing = pad.bitmap([[-30, 50, 135, 50]])
    assert crossing[50].all() and not crossing[:40].any() and not crossing[60:].any()
    assert not pad.bitmap([]).any()


def test_a_hop_leaves_no_gap():
    page = pad.bitmap([[5, 5, 100, 100]])
    assert all(page[i, i] for i in range(5, 100))


@pytest.mark.parametrize(
    "junk", [[["a", "b"]], [[1, 2, 3]], [[]], [[float("nan"), 1]], [[1e9, 0]], ["ab"]]
)
def test_junk_is_one_sentence(junk):
    with pytest.raises(ValueError, match="x, y, x, y"):
        pad.bitmap(junk)


def pages_of(character: int, step: int = 1):
    """The pages of ink (20, 105, 105) of a character of the evaluation archive, 255 on 0; or one
    page of `step`."""
    with zipfile.ZipFile(REAL / "images_evaluation.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".png"))
        names = names[20 * character : 20 * character + 20] if step == 1 else names[::step]
        pages = [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    return 255 * (~np.stack(pages)).astype(np.uint8)


@needs_real
@pytest.mark.parametrize("size", [28, 20])
def test_omniglots_pages_take_the_same_path(size):
    """They become what the pool holds: to the last bit together, as they were packed, and to one
    level of 255 one by one, since Pillow's rounding depends on the place in the column."""
    pool = load_characters(size).evaluation
    for character in (0, 300, 658):
        pages, images = pages_of(character), pool.images[character]
        together = omniglot.cell_means(pages.reshape(-1, 105), size)
        assert np.array_equal(together, images.numpy())
        for page, image in zip(pages, images):
            assert (255 * pad.seen(page, size) - image).abs().max() <= 1 + 1e-4


@needs_real
def test_the_brush_is_as_thick_as_omniglots():
    """Most runs of ink are five pixels long there, and hardly any are shorter, as here."""
    pages = pages_of(0, step=131)
    ours = [
        pad.bitmap(drawn) for drawn in (pad.HOUSE, pad.OTHER_HOUSE, pad.FISH, pad.SNAIL, pad.STAR)
    ]
    theirs, ours = (np.concatenate([thicknesses(p) for p in some]) for some in (pages, ours))
    assert np.bincount(theirs).argmax() == np.bincount(ours).argmax() == 5
    assert (theirs < 5).mean() < 0.05 and (ours < 5).mean() < 0.1


def test_placed_drawings_are_in_the_middle_and_as_large_as_omniglots():
    for drawn in (pad.HOUSE, pad.SNAIL, pad.HALF_HOUSE, [[3, 3, 40, 3]]):
        strokes = pad.placed(drawn)
        ends = np.concatenate([np.reshape(stroke, (-1, 2)) for stroke in strokes])
        assert (ends.min(0) + ends.max(0)) / 2 == pytest.approx([52.5, 52.5])
        assert np.ptp(ends, axis=0).max() == pytest.approx(63)
        assert [len(stroke) for stroke in strokes] == [len(stroke) for stroke in drawn]
    whole, half = (np.ravel(pad.placed(drawn)[0]) for drawn in (pad.HOUSE, pad.HALF_HOUSE))
    assert half == pytest.approx(whole)
    assert pad.placed([[90, 90]]) == [[52.5, 52.5]] and pad.placed([]) == []
    small = pad.placed([[90, 90, 92, 90]])[0]
    assert small[2] - small[0] == pytest.approx(6)  # a dot stays small


@needs_real
def test_omniglots_size_is_the_one_that_drawings_get():
    pages = pages_of(0, step=41)
    sides = [np.ptp(np.nonzero(page), axis=1).max() + 1 - pad.BRUSH for page in pages]
    assert np.median(sides) == pytest.approx(pad.EXTENT, abs=4)


# ---------------------------------------------------------------- what is dealt


def test_dealt_drawings_come_from_the_pool_and_no_query_is_a_support(evaluation):
    rows = evaluation.images.flatten(0, 1)
    index = {row.numpy().tobytes(): i // 20 for i, row in enumerate(rows)}

    def character(drawing):
        return index[(drawing * 255).round().byte().numpy().tobytes()]

    for number in (1, 2, 30):
        shown, asked = {}, set()
        for pick in range(25):
            drawn = {cell: pick for cell in ["?", *pad.names(5, 2)]}
            images, truth = pad.table(evaluation, 5, 2, number, drawn)
            for cell, image in images.items():
                if cell != "?":
                    shown.setdefault(cell[0], set()).add(image.numpy().tobytes())
            of_class = {cell[0]: character(image) for cell, image in images.items()}
            assert of_class["?"] == of_class["ABCDE"[truth]]
            assert len({of_class[c] for c in "ABCDE"}) == 5
            assert not torch.equal(images["A1"], images["A2"])
            asked.add((truth, images["?"].numpy().tobytes()))
        assert all(len(drawings) == 16 for drawings in shown.values())
        assert len(asked) == 20 and {t for t, _ in asked} == set(range(5))
        assert not {q for _, q in asked} & set.union(*shown.values())


def test_fewer_classes_are_the_first_of_the_same(evaluation):
    five, _ = pad.table(evaluation, 5, 2, 7, {})
    three, _ = pad.table(evaluation, 3, 1, 7, {})
    assert list(three) == ["?", "A1", "B1", "C1"]
    assert all(torch.equal(three[cell], five[cell]) for cell in ("A1", "B1", "C1"))


def test_the_query_has_no_known_class_once_it_or_its_class_is_drawn(evaluation):
    _, truth = pad.table(evaluation, 5, 1, 1, {})
    own, other = "ABCDE"[truth] + "1", "ABCDE"[truth - 1] + "1"
    assert pad.table(evaluation, 5, 1, 1, {other: pad.HOUSE})[1] == truth
    assert pad.table(evaluation, 5, 1, 1, {own: pad.HOUSE})[1] is None
    assert pad.table(evaluation, 5, 1, 1, {"?": pad.HOUSE})[1] is None


def test_a_small_pool_is_one_sentence(evaluation):
    with pytest.raises(ValueError, match="n_way is 5, but there are 4 characters"):
        pad.pad_lab(pretrained(), evaluation.subset(torch.arange(4))).compute(
            {"n_way": 2, "k_shot": 1, "number": 1, "drawings": {}, "place": True}
        )


# ---------------------------------------------------------------- the answer


@pytest.mark.parametrize("temperature", [1.0, 100.0])
def test_the_answer_is_the_softmax_of_negative_squared_distances(evaluation, temperature):
    """Computed again, a number at a time."""
    net = pretrained()
    lab = pad.pad_lab(net, evaluation, temperature)
    drawn = {"B2": pad.FISH, "?": 3}
    found = lab.compute({"n_way": 4, "k_shot": 2, "number": 9, "drawings": drawn, "place": True})
    images, _ = pad.table(evaluation, 4, 2, 9, drawn)
    with torch.no_grad():
        features = {c: net(image[None, None])[0].double().numpy() for c, image in images.items()}
    means = [(features[f"{c}1"] + features[f"{c}2"]) / 2 for c in "ABCD"]
    far = [sum((a - b) ** 2 for a, b in zip(features["?"], mean)) for mean in means]
    shares = np.exp([-(d - min(far)) / temperature for d in far])
    assert found.distances.numpy() == pytest.approx(np.array(far), rel=1e-4)
    assert found.probabilities.numpy() == pytest.approx(shares / shares.sum(), abs=1e-3)
    assert found.nearest == int(np.argmin(far))


def answer(lab, n_way=3, k_shot=1, **drawings):
    cells = {("?" if cell == "query" else cell): pick for cell, pick in drawings.items()}
    values = {"n_way": n_way, "k_shot": k_shot, "drawings": cells}
    return lab.compute({**lab.defaults, **values})


def test_without_a_drawing_a_class_has_no_prototype_and_the_rest_go_on(lab):
    found, whole = answer(lab, B1=[]), answer(lab)
    assert found.probabilities.isnan().tolist() == [False, True, False]
    assert float(found.probabilities.nansum()) == pytest.approx(1)
    assert found.distances[[0, 2]].tolist() == whole.distances[[0, 2]].tolist()
    assert "B empty: draw, or fill." in pad.words(found)
    assert "B: empty" in pad.label(found, 1)


def test_with_one_of_two_drawings_the_other_is_the_prototype(lab):
    found = answer(lab, k_shot=2, A2=[])
    assert torch.equal(found.prototypes[0], found.features[1])
    assert not found.probabilities.isnan().any()


def test_with_no_query_or_no_prototype_there_is_nothing_to_say(lab):
    without = answer(lab, query=[])
    assert without.nearest is None and without.probabilities.isnan().all()
    assert "The query is empty: draw, or fill it." in pad.words(without)
    assert not without.prototypes.isnan().any()
    alone = answer(lab, A1=[], B1=[], C1=[])
    assert alone.nearest is None and "no prototype" in pad.words(alone)
    nothing = answer(lab, query=[], A1=[], B1=[], C1=[])
    for found in (without, alone, nothing):
        picture, words = lab.canvas.draw(found)
        assert np.asarray(picture).std() > 1 and "nan" not in words


def test_a_copy_of_a_support_is_at_distance_zero(lab):
    found = answer(lab, A1=pad.STAR, query=pad.STAR)
    assert found.nearest == 0 and float(found.distances[0]) < 1e-6


# ---------------------------------------------------------------- the lab


def test_all_corners_of_all_sliders(lab):
    drawn = set()
    for n_way, k_shot, number in itertools.product((2, 5), (1, 2), (1, 50)):
        values = {"n_way": n_way, "k_shot": k_shot, "number": number, "drawings": {}, "place": True}
        picture, alt = lab.canvas.draw(lab.compute(values))
        assert len(alt) > 40 and "nan" not in alt
        drawn.add(picture.tobytes())
    assert len(drawn) == 8


def test_every_preset_keeps_its_promise_and_it_can_be_broken(lab):
    found = {n: lab.compute({**lab.defaults, **p.values}) for n, p in lab.presets.items()}
    found["empty"] = answer(lab, query=[])
    for name, preset in lab.presets.items():
        assert preset.holds(found[name]), f"{name}: {preset.says}"
        assert not all(preset.holds(other) for other in found.values()), name


def test_a_stroke_changes_the_answer_and_what_the_pad_shows(at_start):
    before, shown = at_start.alt, at_start.pad.dealt
    assert list(shown) == ["?", "A1", "B1", "C1", "D1", "E1"]
    at_start.pad.value = {"?": [[20, 20, 80, 80]]}
    assert at_start.alt != before and at_start.pad.dealt == shown
    at_start.pad.value = {"?": 1}
    assert at_start.pad.dealt["?"] != shown["?"] and at_start.pad.dealt["A1"] == shown["A1"]
    at_start.controls["n_way"].value = 2
    assert list(at_start.pad.dealt) == ["?", "A1", "B1"]
    at_start.set(at_start.defaults)
    assert at_start.alt == before and at_start.pad.dealt == shown


def test_what_cannot_be_a_drawing_is_told_and_the_picture_stays(at_start):
    before = at_start.alt
    at_start.pad.value = {"A1": [["x"]]}
    assert 'role="alert"' in at_start.says.value and "x, y, x, y" in at_start.says.value
    assert at_start.alt == before
    at_start.pad.value = {}
    assert at_start.says.value == ""


def test_only_text_goes_over_the_wire(at_start):
    at_start.pad.value = {"A1": pad.HOUSE, "?": 2}
    state = {name: getattr(at_start.pad, name) for name in ("value", "dealt", "side", "brush")}
    assert json.loads(json.dumps(state)) == state
    assert repr(at_start.pad) == "Pad()"


def test_the_film_strip_says_what_it_shows(lab):
    picture, words = lab.film_strip()
    assert all(f"[{label}]" in words for label in lab.presets)
    assert pictures.png(picture, small=True).startswith(b"\x89PNG")
    assert lab.canvas.draw(lab.result)[1] == lab.alt


@pytest.mark.parametrize("size, filters", [(20, 24), (28, 7)])
def test_any_body_and_any_size(evaluation, size, filters):
    """Features of any number are shown, of a prime number too."""
    torch.manual_seed(0)
    body = networks.conv4(8, embedding=filters)
    lab = pad.pad_lab(body, omniglot.resized(evaluation, size))
    assert lab.result.query.shape == (size, size) and lab.result.prototypes.shape == (5, filters)
    lab.pad.value = {"?": pad.STAR}
    assert lab.result.nearest is not None and "alert" not in lab.says.value


# ---------------------------------------------------------------- the game


def test_the_network_plays_the_same_questions(evaluation):
    game, plain = pad.rival_game(pretrained(), evaluation), ch01.Game(evaluation)
    hits = {"pixels": 0, "protonet": 0}
    for _ in range(25):
        r = game.round
        assert torch.equal(r.query, plain.round.query) and r.answer == plain.round.answer
        for who in hits:
            hits[who] += r.choices[who] == r.answer
        for one in (game, plain):
            one.choose(r.answer)
            one.next.click()
    scores = game.table().scores
    assert {who: scores[who].won for who in hits} == hits
    assert list(scores) == ["you", "pixels", "protonet", "chance"]
    assert hits["protonet"] > hits["pixels"]
    assert "ProtoNet" in game.alt and "ProtoNet" not in plain.alt


def test_the_network_names_the_nearest_candidate(evaluation):
    """Looked up one by one."""
    net = pretrained()
    game = pad.rival_game(net, evaluation)
    for _ in range(10):
        r = game.round
        with torch.no_grad():
            query, *candidates = (net(x[None, None])[0] for x in [r.query, *r.support])
        far = [float((query - c).square().sum()) for c in candidates]
        assert r.choices["protonet"] == int(np.argmin(far))
        game.choose(0)
        assert f"ProtoNet chose {r.choices['protonet'] + 1}" in game.says.value
        game.next.click()
