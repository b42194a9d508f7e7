"""The benchmarks run, their contenders agree, a slower figure is noticed, and the READMEs say what
was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
import bench_chapters  # noqa: E402
import bench_maml  # noqa: E402
import history  # noqa: E402
import peers  # noqa: E402

HERE = {"date": "2026-01-01", "commit": "abc", "machine": "ours", "busy": 0.0, "target": None}


@pytest.mark.parametrize("script", ["bench_data", "bench_maml", "bench_tasks"])
def test_a_script_runs(script):
    command = [sys.executable, ROOT / "benchmarks" / f"{script}.py", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_chapters_take_long_and_are_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench"])
    bench_chapters.main()
    assert "--all" in capsys.readouterr().out


# ---------------------------------------------------------------- contenders


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 2])
def test_contenders_agree(steps, first_order):
    here = [n for n in ("learn2learn", "higher", "torchopt") if not peers.why_not(n)]
    waves = bench_maml.sines(steps, first_order)
    ours = {"vmap": bench_maml.vmapped, "all_at_once": bench_maml.all_at_once}
    bench_maml.check_agreement(bench_maml.contenders(here, waves, **ours))


@pytest.mark.parametrize("change", [{"inner_lr": 0.02}, {"first_order": True}])
def test_a_contender_that_does_other_work_is_turned_away(change):
    waves = bench_maml.sines(1, False)
    runs = {"plain loop": bench_maml.one_step(peers.plain_loop, waves)}
    runs["wrong"] = bench_maml.one_step(peers.plain_loop, waves._replace(**change))
    with pytest.raises(AssertionError, match="wrong"):
        bench_maml.check_agreement(runs)


def no_pip(name):
    raise OSError("No matching distribution found")


def test_a_peer_that_cannot_be_had_is_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    assert peers.ready("higher") == []  # tests are offline
    assert capsys.readouterr().out.startswith("higher is skipped: not installed")
    monkeypatch.setenv("MLCOURSE_OFFLINE", "0")
    monkeypatch.setattr(peers, "fetch", no_pip)
    assert peers.ready("jax") == []
    assert capsys.readouterr().out == "jax is skipped: OSError: No matching distribution found.\n"


# ---------------------------------------------------------------- history


@pytest.mark.parametrize(
    "before, now, unit, times",
    [(2.0, 3.0, "s", 1.5), (3.0, 2.0, "ms", 2 / 3), (3.0, 2.0, "x", 1.5), (2.0, 3.0, "/s", 2 / 3)],
)
def test_which_direction_is_worse(before, now, unit, times):
    assert history.worse(now, before, unit) == pytest.approx(times)


@pytest.mark.parametrize(
    "value, unit, flagged",
    [(1.0, "s", False), (1.29, "s", False), (1.5, "s", True), (0.5, "s", False)]
    + [(10.0, "x", False), (7.0, "x", True), (20.0, "x", False), (9.0, "MiB", False)],
)
def test_a_regression_is_seen(value, unit, flagged, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(history, "FILE", tmp_path / "history.jsonl")
    monkeypatch.setattr(history, "machine", lambda: "ours")
    old = [{"name": "s", "value": 1.0, "unit": "s"}, {"name": "x", "value": 10.0, "unit": "x"}]
    other = {"name": "s", "value": 0.01, "unit": "s", "machine": "another"}
    lines = [json.dumps(HERE | row) + "\n" for row in [*old, other]]
    history.FILE.write_text("".join(lines))
    history.report(unit, value, unit)
    assert ("regression?" in capsys.readouterr().out) == flagged
    assert len(history.rows()) == 3


def test_a_figure_is_kept_when_asked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(history, "FILE", tmp_path / "history.jsonl")
    monkeypatch.setattr(sys, "argv", ["bench", "--record"])
    history.report("it", 1.23456, "s", target=1.0)
    history.report("it", [1.0, 1.3, 9.0], "s", target=1.0)
    first, second = history.rows()
    assert (first["name"], first["value"], first["unit"], first["target"]) == ("it", 1.235, "s", 1)
    assert set(first) == {*HERE, "name", "value", "unit", "middle"}
    assert (second["value"], second["middle"]) == (1.3, [1.0, 9.0])
    first_line, second_line = capsys.readouterr().out.splitlines()
    assert "MISSED" in first_line and "last 1.2" in second_line
    monkeypatch.setattr(history, "TINY", True)
    history.report("it", 9.0, "s")
    assert len(history.rows()) == 2 and "last" not in capsys.readouterr().out


def test_figures_become_tables():
    found = {"MAML, one: a": (1, "/s"), "MAML, one: b": (2, "x"), "MAML, two: b": (4, "x")}
    found["MAML training, long"] = (9, "s")
    rows = {n: HERE | {"value": v, "unit": u, "target": 3} for n, (v, u) in found.items()}
    grid, rest = history.tables(rows).split("\n\n")
    assert [line.count("|") for line in grid.splitlines()] == [4] * 4
    assert "| one | 1.00 /s (target 3: **missed**) | 2.00 x (target 3: **missed**) |" in grid
    assert "| two |  | 4.00 x (target 3) |" in grid
    assert "MAML training, long | 9.00 s (target 3: **missed**)" in rest and "MAML" in grid


def test_the_readmes_hold_what_was_recorded():
    for path, block in history.pages(history.rows()).items():
        text = path.read_text()
        assert history.with_block(text, block) == text, f"python benchmarks/history.py: {path.name}"
