"""The labs without a browser: corners of all sliders, promises of presets, errors, slow work."""

import itertools
import threading
import time

import ipywidgets as W
import numpy as np
import pytest
import torch

from mlcourse import pictures
from mlcourse.labs import (
    Lab,
    Preset,
    ch00,
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch10,
    predict,
    slider,
)
from mlcourse.labs.engine import LIVE, ends
from mlcourse.learners import head_to_head, maml_runs, wave_recognition
from mlcourse.learners.transfer_runs import pretrained
from mlcourse.tasks import Points, SineTasks, load_characters

COSTS = {  # as they may be measured
    name: ch10.Cost(40.0, 2.0 if name in head_to_head.COSTLY else 0.05, 1, 1, 1)
    for name in head_to_head.METHODS
}


@pytest.fixture(scope="module")
def evaluation():
    return load_characters().evaluation


@pytest.fixture(scope="module")
def labs(evaluation):
    small = load_characters(maml_runs.SIZE).evaluation
    return {
        "first": ch00.first_lab(),
        "episode": ch01.episode_lab(evaluation),
        "interval": ch01.interval_lab(evaluation),
        "transfer": ch02.transfer_lab(pretrained(), evaluation),
        "mixture": ch02.mixture_lab(),
        "landscape": ch03.landscape_lab(),
        "microscope": ch04.microscope_lab(),
        "shrinkage": ch04.shrinkage_lab(),
        "adapting": ch05.adapting_lab(ch05.recorded_starts()),
        "training": ch05.training_lab(),
        "task": ch06.task_lab(small),
        "comparison": ch06.comparison_lab(),
        "plane": ch07.plane_lab(),
        "shots": ch07.shots_lab(),
        "prototypes": ch08.episode_lab(ch08.embeddings(small, evaluation), small),
        "variants": ch08.variants_lab(),
        "recognition": ch09.recognition_lab(wave_recognition.recorded()),
        "explorer": ch09.explorer_lab(),
        "ranking": ch10.ranking_lab(),
        "difference": ch10.difference_lab(),
        "waves": ch10.waves_lab(),
        "pays": ch10.break_even_lab(COSTS),
    }


NAMES = ["first", "episode", "interval", "transfer", "mixture", "landscape"]
NAMES += ["microscope", "shrinkage", "adapting", "training", "task", "comparison"]
NAMES += ["plane", "shots", "prototypes", "variants"]
NAMES += ["recognition", "explorer", "ranking", "difference", "waves", "pays"]


@pytest.mark.parametrize("name", NAMES)
def test_all_corners_of_all_sliders(labs, name):
    lab = labs[name]
    sides = [ends(c) for c in lab.controls.values()]
    drawn = set()
    for corner in itertools.product(*sides):
        result = lab.compute(dict(zip(lab.controls, corner)))
        picture, alt = lab.canvas.draw(result)
        assert len(alt) > 40 and "nan" not in alt.lower()
        assert np.asarray(picture).std() > 5  # something is on it
        drawn.add(picture.tobytes())
    assert len(drawn) > len(sides)  # and the corners look different


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_keeps_its_promise(labs, name):
    lab = labs[name]
    for label, preset in lab.presets.items():
        result = lab.compute({**lab.defaults, **preset.values})
        assert preset.holds(result), f"{name}, {label}: {preset.says}"
        assert set(preset.values) <= set(lab.controls)
        for key, value in preset.values.items():
            control = lab.controls[key]
            low, high = ends(control)
            stops = [choice for _, choice in getattr(control, "options", ())]
            assert value in stops if stops else low <= value <= high


@pytest.mark.parametrize("name", NAMES)
def test_a_promise_can_be_broken(labs, name):
    """Each preset's test fails at some other setting: it says something."""
    lab = labs[name]
    others = [lab.compute(lab.defaults)]
    others += [lab.compute({**lab.defaults, **p.values}) for p in lab.presets.values()]
    others += [lab.compute({k: ends(c)[0] for k, c in lab.controls.items()})]
    for label, preset in lab.presets.items():
        assert not all(preset.holds(other) for other in others), label


@pytest.mark.parametrize("name", NAMES)
def test_the_film_strip_says_what_it_shows(labs, name):
    lab = labs[name]
    picture, words = lab.film_strip()
    assert all(f"[{label}]" in words for label in lab.presets)
    assert pictures.png(picture, small=True).startswith(b"\x89PNG")
    assert lab.canvas.draw(lab.result)[1] == lab.alt  # the live picture is as before


def test_one_picture_does_not_linger_in_the_next(labs):
    lab = labs["first"]
    calm, wild = (lab.compute({**lab.defaults, "inner_lr": lr}) for lr in (0.3, 2.4))
    before = lab.canvas.draw(calm)[0].tobytes()
    assert lab.canvas.draw(wild)[0].tobytes() != before
    assert lab.canvas.draw(calm)[0].tobytes() == before


# ---------------------------------------------------------------- the engine


def scene(fig):
    axes = fig.subplots()
    text = axes.text(0, 0, "", animated=True)

    def update(value):
        text.set_text(str(value))
        return f"the number {value}"

    return update


def picky(n):
    if n > 3:
        raise ValueError(f"n is {n}, but at most 3 fit")
    return n


def small_lab(data=picky, presets=None):
    return Lab("small", data, scene, {"n": slider("n", 0, 9, 1, 1)}, presets or {}, (2, 1))


def test_an_error_is_said_and_the_picture_stays():
    lab = small_lab()
    lab.controls["n"].value = 8
    assert "n is 8, but at most 3 fit" in lab.says.value and 'role="alert"' in lab.says.value
    assert lab.alt == "the number 1"
    lab.controls["n"].value = 2
    assert lab.says.value == "" and lab.alt == "the number 2"


def test_another_error_names_its_type():
    lab = small_lab(lambda n: 1 / (n - 2))
    lab.controls["n"].value = 2
    assert "ZeroDivisionError" in lab.says.value


def test_presets_and_reset_redraw_once():
    calls = []
    preset = Preset({"n": 3}, "Three is seen.", lambda d: d == 3)
    lab = Lab(
        "two",
        lambda n, m: calls.append((n, m)) or n,
        scene,
        {"n": slider("n", 0, 9, 1, 1), "m": slider("m", 0.0, 1.0, 0.1, 0.5)},
        {"three": preset},
        (2, 1),
    )
    lab.controls["m"].value = 0.7
    buttons = {b.description: b for b in lab.children[1].children}
    calls.clear()
    buttons["three"].click()
    assert calls == [(3, 0.5)] and "Three is seen." in lab.says.value
    buttons["reset"].click()
    assert calls[-1] == (1, 0.5) and len(calls) == 2 and lab.says.value == ""


def test_slow_work_newest_wins_and_old_work_is_told_to_stop():
    stopped, gate = [], threading.Event()

    def slow(n, stop):
        while n != 1 and not gate.is_set() and not stop():
            time.sleep(0.005)
        if stop():
            stopped.append(n)
            return None
        return n

    lab = small_lab(slow)
    assert lab.alt == "the number 1"
    for n in (4, 5, 6):
        lab.controls["n"].value = n
    assert "computing" in lab.says.value
    gate.set()
    wait_for(lambda: lab.alt == "the number 6")
    wait_for(lambda: sorted(stopped) == [4, 5])
    wait_for(lambda: lab.says.value == "")


def test_slow_work_can_be_stopped_and_its_errors_are_said():
    def slow(n, stop):
        if n == 7:
            raise ValueError("seven is too many")
        while n != 1 and not stop():
            time.sleep(0.005)
        return n

    lab = small_lab(slow)
    lab.controls["n"].value = 4
    {b.description: b for b in lab.children[1].children}["stop"].click()
    time.sleep(0.05)
    assert "Stopped." in lab.says.value and lab.alt == "the number 1"
    lab.controls["n"].value = 7
    wait_for(lambda: "seven is too many" in lab.says.value)


def wait_for(condition, seconds: float = 5) -> None:
    end = time.time() + seconds
    while not condition():
        assert time.time() < end
        time.sleep(0.01)


def live_lab(seen):
    def live(n):
        for i in range(seen["until"]):
            time.sleep(0.002)
            seen["at"] = i
            yield 100 * n + i

    return Lab("live", lambda n: n, scene, {"n": slider("n", 0, 9, 1, 1)}, {}, (2, 1), live)


def test_a_live_run_is_drawn_as_it_comes_and_to_its_end():
    lab = live_lab(seen := {"until": 20})
    {b.description: b for b in lab.children[1].children}[LIVE].click()
    wait_for(lambda: "Trained live" in lab.says.value)
    assert lab.alt == "the number 119" and seen["at"] == 19


def test_a_live_run_ends_when_a_slider_moves_or_stop_is_pressed():
    lab = live_lab(seen := {"until": 100_000})
    buttons = {b.description: b for b in lab.children[1].children}
    for end in (lambda: setattr(lab.controls["n"], "value", 4), buttons["stop"].click):
        buttons[LIVE].click()
        assert "training" in lab.says.value
        wait_for(lambda: lab.alt not in ("the number 1", "the number 4"))
        end()
        time.sleep(0.05)
        at = seen["at"]
        time.sleep(0.05)
        assert seen["at"] == at
    assert "Stopped." in lab.says.value


def test_the_error_of_a_live_run_is_said():
    def live(n):
        yield n
        raise ValueError("the drawings ran out")

    lab = Lab("live", lambda n: n, scene, {"n": slider("n", 0, 9, 1, 1)}, {}, (2, 1), live)
    {b.description: b for b in lab.children[1].children}[LIVE].click()
    wait_for(lambda: "the drawings ran out" in lab.says.value)


def test_a_lab_that_cannot_keep_up_waits_for_the_end_of_a_drag(monkeypatch):
    monkeypatch.setattr("mlcourse.labs.engine.SLOW", -1.0)
    lab = small_lab()
    assert lab.controls["n"].continuous_update
    for n in (2, 3):
        lab.controls["n"].value = n
    assert not lab.controls["n"].continuous_update


def test_sliders_are_labelled_with_symbol_and_word():
    whole, real = slider("K  shots", 1, 5, 1, 1), slider("α  inner learning rate", 0.0, 1, 0.1, 0.5)
    assert isinstance(whole, W.IntSlider) and isinstance(real, W.FloatSlider)
    assert real.description == "α  inner learning rate"


# ---------------------------------------------------------------- chapter 00, independently


def test_the_first_lab_steps_are_gradient_steps():
    episode = SineTasks().sample(1, 6, 1, torch.Generator().manual_seed(0))
    x, y = episode.support.x[0], episode.support.y[0]
    params = torch.tensor([0.3, -0.7], dtype=torch.float64)
    visited = ch00.trace(params, x, y, 0.2, 4)
    for before, after in itertools.pairwise(visited):
        p = before.clone().requires_grad_()
        loss = ((p[0] * torch.sin(x) + p[1] * torch.cos(x) - y) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, p)
        assert torch.allclose(after, before - 0.2 * gradient, atol=1e-14)
        assert torch.allclose(ch00.mse(before, x, y), loss.detach(), atol=1e-14)


def test_the_limit_is_where_steps_begin_to_overshoot():
    """Along the steepest direction the error shrinks just below 2/λ and grows just above."""
    x = SineTasks().sample(1, 5, 1, torch.Generator().manual_seed(4)).support.x[0]
    design = np.concatenate([np.sin(x.numpy()), np.cos(x.numpy())], 1)
    values, vectors = np.linalg.eigh(2 * design.T @ design / 5)
    assert ch00.steepest(x) == pytest.approx(values[-1], abs=1e-12)
    start, y = torch.from_numpy(vectors[:, -1].copy()), torch.zeros_like(x)
    for factor, grows in ((0.99, False), (1.01, True)):
        first, last = ch00.trace(start, x, y, factor * 2 / values[-1], 1)
        assert (last.norm() > first.norm()).item() is grows


def test_practice_is_the_slow_loop_over_waves():
    waves = SineTasks().sample(7, 3, 1, torch.Generator().manual_seed(1))
    theta = np.zeros(2)
    for x, y in zip(waves.support.x.numpy(), waves.support.y.numpy()):
        design, fast = np.concatenate([np.sin(x), np.cos(x)], 1), theta
        for _ in range(2):
            fast = fast - 0.1 * 2 / 3 * design.T @ (design @ fast - y[:, 0])
        theta = theta + 0.25 * (fast - theta)
    found = ch00.practise(tasks=7, k_shot=3, inner_lr=0.1, steps=2, outer_lr=0.25)
    assert np.allclose(found.numpy(), theta, atol=1e-13)


def test_practice_finds_the_mean_wave():
    """Reptile's start tends to the mean of the tasks, −(5.1/π) cos x."""
    found = [ch00.practise(100, 10, 0.5, 10, 0.05, seed=seed).numpy() for seed in range(30)]
    mean, error = np.mean(found, 0), np.std(found, 0) / 30**0.5
    reached = 1 - (1 - 0.05) ** 100  # the part of the way after 100 steps of β = 0.05
    assert abs(mean[0]) < 4 * error[0]
    assert abs(mean[1] + reached * 5.1 / np.pi) < 4 * error[1]


def test_more_shots_keep_the_points_there_are():
    few, many = (ch00.first_data(8, k, 0.3, 3, 0, 0.1) for k in (3, 7))
    assert torch.equal(few.support[0], many.support[0][:3])


# ---------------------------------------------------------------- chapter 01, independently


def test_the_baseline_is_the_nearest_drawing_by_a_slow_loop(evaluation):
    episodes = evaluation.sample(3, 2, 2, torch.Generator().manual_seed(0), 4)
    found = ch01.nearest(episodes)
    for t in range(3):
        for q, query in enumerate(episodes.query.x[t].numpy()):
            far = [((query - s) ** 2).sum() for s in episodes.support.x[t].numpy()]
            assert found[t, q] == episodes.support.y[t, int(np.argmin(far))]


def test_every_player_meets_the_same_question(evaluation):
    once, twice, other = (ch01.deal(evaluation, n) for n in (3, 3, 4))
    assert torch.equal(once.query, twice.query) and once[2:] == twice[2:]
    assert not torch.equal(once.query, other.query)
    assert once.support.shape == (5, 28, 28)


def test_the_answer_is_the_candidate_of_the_same_character(evaluation):
    """By looking the drawings up in the pool."""
    index = {
        row.numpy().tobytes(): i // 20 for i, row in enumerate(evaluation.images.flatten(0, 1))
    }

    def character(drawing):
        return index[(drawing * 255).round().byte().numpy().tobytes()]

    for number in range(20):
        r = ch01.deal(evaluation, number)
        assert character(r.support[r.answer]) == character(r.query)


def test_the_game_keeps_score(evaluation):
    game = ch01.Game(evaluation)
    answers = []
    for right in (True, False, True):
        answer = game.round.answer
        answers.append(game.round)
        game.choose(answer if right else (answer + 1) % 5)
        game.choose(answer)  # a second press does nothing
        assert all(b.disabled for b in game.buttons) and not game.next.disabled
        game.next.click()
    scores = ch01.score_of(game.history)
    assert (scores["you"].won, scores["you"].rounds) == (2, 3)
    assert scores["pixels"].won == sum(r.choices["pixels"] == r.answer for r in answers)
    assert "you 2 of 3" in game.alt


def test_intervals_shrink_as_the_root_of_the_episodes(evaluation):
    hits = ch01.pixel_hits(evaluation, 500, 5)
    assert hits.shape == (500, 5) and hits.min() >= 0 and hits.max() <= 1
    few, many = (ch01.interval_data(hits, n, 5, 1).half_widths.mean() for n in (100, 400))
    assert few / many == pytest.approx(2, rel=0.1)


def test_pixel_hits_are_the_accuracies_of_the_same_episodes(evaluation):
    hits = ch01.pixel_hits(evaluation, 50, 5)
    episodes = evaluation.sample(50, 1, 5, torch.Generator().manual_seed(5))
    right = (ch01.nearest(episodes) == episodes.query.y).float().mean(1)
    assert torch.allclose(hits.mean(1), right, atol=1e-6)


def test_blocks_fit_and_hold_every_class():
    for n_way, columns in itertools.product((1, 2, 5, 11, 20), (2, 6, 20)):
        rows, cell = ch01.blocks(n_way, columns)
        n_blocks = -(-n_way // rows)
        assert rows * cell <= 300 + 1e-9 and cell * (columns + 0.6) * n_blocks <= 590 + 1e-9
        drawings = np.arange(n_way * columns).reshape(n_way, columns, 1, 1) + 1
        page = ch01.block_page(np.broadcast_to(drawings, (n_way, columns, 5, 5)), rows)
        assert set(page.ravel()) - {0} == set(drawings.ravel())


# ---------------------------------------------------------------- predictions


def test_a_guess_is_kept_and_may_be_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path))
    assert predict.guess("share") is None
    ask = predict.predict("share", "How many?", 0, 100, 1, 50, " %")
    ask.slider.value = 30
    assert predict.guess("share") is None  # not before it is committed
    ask.button.click()
    assert predict.guess("share") == 30 and "30 %" in ask.says.value
    again = predict.predict("share", "How many?", 0, 100, 1, 50, " %")
    assert again.slider.value == 30
    again.slider.value = 40
    again.button.click()
    assert predict.guess("share") == 40


def test_a_guess_that_cannot_be_saved_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "file" / "home"))
    ask = predict.predict("share", "How many?", 0, 100, 1, 50)
    ask.button.click()
    assert "could not be saved" in ask.says.value


def test_the_guess_is_on_the_picture():
    found = ch00.Sweep(torch.linspace(0, 2, 5), torch.tensor([3.0, 1, 1, 4, 9]), 3.0)
    assert found.turn == pytest.approx(1.5)
    without, words = ch00.sweep_figure(found, None)
    with_guess, said = ch00.sweep_figure(found, 0.4)
    assert "guess" not in words and "Your guess was 0.40." in said
    assert pictures.image(without).tobytes() != pictures.image(with_guess).tobytes()


def test_points_are_pytrees_for_vmap():
    episode = SineTasks().sample(4, 2, 3, torch.Generator().manual_seed(0))
    sums = torch.func.vmap(lambda points: Points(points.x.sum(), points.y.sum()))(episode.query)
    assert torch.allclose(sums.y, episode.query.y.sum((1, 2)))


def test_a_lab_whose_first_picture_fails_still_says_why():
    lab = small_lab(lambda n: picky(n + 5))
    assert "n is 6, but at most 3 fit" in lab.says.value and lab.result is None


def test_a_sliders_own_rounding_leaves_the_sentence_of_a_preset():
    """JupyterLab sent 0.9999999999999999 back for the 1.0 of a preset, and its sentence went."""
    lab = ch04.shrinkage_lab()
    name, preset = next(iter(ch04.SHRINKAGE_PRESETS.items()))
    lab.button(name, preset).click()
    lab.controls["inner_lr"].value = 0.9999999999999999
    assert preset.says in lab.says.value
    lab.controls["inner_lr"].value = 0.99
    assert lab.says.value == ""
