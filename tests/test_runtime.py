"""Device and its faults, threads, the card, claims, live training, pictures."""

import io
import json
import sys
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image

from mlcourse import claims, pictures, runtime, training
from mlcourse.symbols import SYMBOLS, symbols
from mlcourse.tasks import load_characters

GPU, CPU = torch.device("cuda"), torch.device("cpu")
FAULTS = {
    "memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "memory, as plain error": RuntimeError("CUDA error: out of memory"),
    "operation": NotImplementedError("The operator 'aten::x' is not implemented for MPS"),
    "operation, as plain error": RuntimeError("\"cross\" not implemented for 'Half'"),
}


def work_that_fails_on(device, fault, calls):
    """Episodes from a seed of its own; a half-done sum before the fault."""

    def work(where):
        calls.append(where.type)
        generator = torch.Generator().manual_seed(3)
        episodes = load_characters().evaluation.sample(4, 1, 2, generator)
        if where == device:
            raise fault
        return episodes.query.x.to(where).double().sum()

    return work


@pytest.mark.parametrize("name", FAULTS)
def test_a_gpu_fault_carries_on_on_the_cpu(name, capsys):
    load_characters()  # says a line of its own where Omniglot is not here
    capsys.readouterr()
    calls = []
    got = runtime.carry_on(work_that_fails_on(GPU, FAULTS[name], calls), GPU)
    said = capsys.readouterr().out
    assert calls == ["cuda", "cpu"]
    assert said.count("\n") == 1 and "the CPU instead" in said and "CUDA" in said
    alone = work_that_fails_on(None, None, [])(CPU)
    assert abs(got - alone) <= 1e-4 * abs(alone)  # the same episodes, the stated tolerance


def test_other_errors_and_faults_of_the_cpu_pass():
    with pytest.raises(ZeroDivisionError):
        runtime.carry_on(lambda device: 1 / 0, GPU)
    with pytest.raises(RuntimeError, match="shapes"):
        runtime.carry_on(work_that_fails_on(GPU, RuntimeError("shapes differ"), []), GPU)
    with pytest.raises(torch.OutOfMemoryError):
        runtime.carry_on(work_that_fails_on(CPU, FAULTS["memory"], []), CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_real_gpu_agrees_with_the_cpu():
    def work(device):
        x = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device)
        w = torch.rand(8, 1, 3, 3, generator=torch.Generator().manual_seed(1)).to(device)
        return torch.nn.functional.conv2d(x, w).cpu()

    assert (runtime.carry_on(work, GPU) - work(CPU)).abs().max() < 0.01


def test_the_best_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.best_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.best_device().type == "cuda"


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads(monkeypatch, threads):
    monkeypatch.delenv("MLCOURSE_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    runtime.set_threads()
    assert torch.get_num_threads() == 1
    with pytest.raises(KeyError), runtime.all_cores():
        assert torch.get_num_threads() == 2
        raise KeyError
    assert torch.get_num_threads() == 1
    monkeypatch.setenv("MLCOURSE_THREADS", "1")
    with runtime.all_cores():
        assert torch.get_num_threads() == 1


@pytest.fixture
def dtype():
    yield
    torch.set_default_dtype(torch.float32)


def test_start_shows_one_card(capsys, dtype, threads, monkeypatch):
    cards = []
    monkeypatch.setattr(runtime, "display", cards.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    session = runtime.start("05", float64=True)
    assert session.device.type == "cpu" and torch.get_default_dtype() == torch.float64
    assert len(cards) == 1 and "Chapter 05 is ready" in repr(cards[0])
    session = runtime.start("01", characters=True, seed=4)
    assert session.device.type == "cuda" and torch.get_default_dtype() == torch.float32
    text = repr(cards[1])
    assert session.characters.source in text and "GPU (CUDA)" in text
    assert text.splitlines()[-1].split() == ["Seed:", "4"]
    assert "<table>" in cards[1]._repr_html_()


def test_the_guard_lets_cell_events_of_side_threads_pass_by(monkeypatch):
    seen = []
    events = types.SimpleNamespace(trigger=lambda event, *a: seen.append(event))
    monkeypatch.setattr(runtime, "get_ipython", lambda: types.SimpleNamespace(events=events))
    runtime.guard_pyplot()
    runtime.guard_pyplot()  # twice does no harm

    def fire():
        for event in ("pre_execute", "post_execute", "shell_initialized"):
            events.trigger(event)

    side = threading.Thread(target=fire)
    side.start()
    side.join()
    assert seen == ["shell_initialized"]
    fire()
    assert seen[1:] == ["pre_execute", "post_execute", "shell_initialized"]


# ---------------------------------------------------------------- claims


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    path = tmp_path / "claims.jsonl"
    monkeypatch.setenv("MLCOURSE_CLAIMS", str(path))
    claims.begin("07")
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    claims.begin("")


def test_claims_are_judged_printed_and_counted(ledger, capsys):
    real, stand_in = (types.SimpleNamespace(real=r) for r in (True, False))
    claims.claim(2 > 1, "Two is more than one.")
    claims.claim(True, "Seen on Omniglot.", data=real)
    claims.claim(False, "Only on Omniglot.", data=stand_in)
    assert capsys.readouterr().out.splitlines() == [
        "claim: Two is more than one.",
        "claim: Seen on Omniglot.",
        "claim: Only on Omniglot.",
    ]
    assert [row["judged"] for row in ledger()] == [True, True, False]
    assert ledger()[0]["chapter"] == "07"
    assert claims.tally().startswith("2 claims") and "1 about Omniglot" in claims.tally()
    claims.claim(True, "Two is more than one.")  # a cell that is run again counts once
    assert claims.tally().startswith("2 claims")


def test_a_false_claim_fails(ledger):
    with pytest.raises(AssertionError, match="does not hold here: One is more."):
        claims.claim(torch.tensor(False), "One is more.")
    with pytest.raises(AssertionError):
        claims.claim(False, "On Omniglot.", data=types.SimpleNamespace(real=True))


def test_a_claim_waits_for_an_interrupted_run(ledger, capsys):
    claims.claim(False, "The error fell.", done=False)
    assert "to be judged when the run above is finished" in capsys.readouterr().out
    assert claims.tally().startswith("0 claims")


# ---------------------------------------------------------------- live training


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    monkeypatch.setattr(pictures, "display", lambda *a, **k: None)


def counter(stop_at=None):
    made = []

    def step():
        if len(made) == stop_at and "stopped" not in made:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(1)
        return 1.0 / len(made)

    return step


def test_a_run_makes_its_steps():
    run = training.LiveRun(counter(), steps=25)()
    assert len(run.losses) == 25 and run.done
    assert run() is run and len(run.losses) == 25  # a finished run stays finished


def test_an_interrupted_run_goes_on(capsys):
    run = training.LiveRun(counter(stop_at=7), steps=20)()
    assert len(run.losses) == 7 and not run.done
    assert "Nothing is lost" in capsys.readouterr().out
    assert len(run().losses) == 20 and run.done


def test_seconds_choose_the_steps_once(monkeypatch):
    monkeypatch.delenv("MLCOURSE_FIXED_STEPS", raising=False)
    clock = iter(np.arange(0, 1e4, 0.01))
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(clock)))
    run = training.LiveRun(counter(), steps=5, seconds=2)()
    assert 150 <= run.steps <= 220 and len(run.losses) == run.steps  # one reading a step: 10 ms
    slow = training.LiveRun(counter(), steps=1000, seconds=2)()
    assert len(slow.losses) == slow.steps == 500  # half of the plan, however long it takes
    monkeypatch.setenv("MLCOURSE_FIXED_STEPS", "1")
    assert len(training.LiveRun(counter(), steps=5, seconds=2)().losses) == 5


def test_a_plan_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="at least one step, not 0"):
        training.LiveRun(counter(), steps=0)


def test_a_loss_that_is_not_finite_is_drawn_round():
    losses = iter([1.0, float("nan"), float("inf"), 0.0, 0.5])
    run = training.LiveRun(lambda: next(losses), steps=5)()
    assert "from 1 to 0.5" in run.words()


# ---------------------------------------------------------------- pictures and symbols


def test_the_palette_keeps_white_black_and_every_colour():
    wanted = [(255, 255, 255), (0, 0, 0)]
    wanted += [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in pictures.COLOR.values()]
    for rgb in wanted:
        back = Image.open(io.BytesIO(pictures.png(Image.new("RGB", (4, 4), rgb))))
        assert np.abs(np.asarray(back.convert("RGB"))[0, 0].astype(int) - rgb).max() <= 8
    assert (
        np.asarray(
            Image.open(io.BytesIO(pictures.png(Image.new("RGB", (4, 4), "white")))).convert("RGB")
        ).min()
        == 255
    )


def luminance(colour: str) -> float:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_that_meet_in_one_picture_differ_for_the_colour_blind():
    """Viénot's deuteranopia: pairs drawn together stay apart."""
    to_lms = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    blind = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    seen = {}
    for name, colour in pictures.COLOR.items():
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        seen[name] = np.linalg.inv(to_lms) @ blind @ to_lms @ rgb
    together = [
        ("support", "query"),
        ("before", "after"),
        ("after", "truth"),
        ("you", "pixels"),
        ("pixels", "chance"),
        ("you", "chance"),
        ("support", "after"),
    ]
    for a, b in together:
        assert np.linalg.norm(seen[a] - seen[b]) > 0.15, (a, b)


def test_a_sheet_puts_every_drawing_in_its_place():
    drawings = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) + 1
    page = pictures.sheet(drawings, gap=2)
    assert page.shape == (2 * 6 - 2, 3 * 7 - 2)
    assert np.array_equal(page[6:10, 7:12], drawings[1, 1])


def test_alt_text_is_escaped():
    tag = pictures.img_tag(Image.new("RGB", (10, 10)), 'a "b" <c>')
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in tag and "overflow-x:auto" in tag


def test_the_symbol_table():
    assert len({name for *_, name in SYMBOLS}) == len(SYMBOLS) == 10
    assert all(name in repr(symbols()) and name in symbols()._repr_html_() for *_, name in SYMBOLS)


def test_without_glibc_freed_memory_is_nobodys_business(monkeypatch):
    def nothing(name):
        raise OSError(f"{name}: not on this system")

    monkeypatch.setattr(runtime.ctypes, "CDLL", nothing)
    runtime.keep_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own settings")
def test_with_glibc_both_settings_are_taken(monkeypatch):
    libc, said = runtime.ctypes.CDLL("libc.so.6"), []
    noting = types.SimpleNamespace(mallopt=lambda *a: said.append(libc.mallopt(*a)))
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: noting)
    runtime.keep_freed_memory()
    assert said == [1, 1]  # mallopt returns 1 for what it understood
