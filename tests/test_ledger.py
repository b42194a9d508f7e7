"""The paper ledger: published values typed again, verdicts, pages, and what a run may write."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import assets  # noqa: E402
import ledger  # noqa: E402
import ledger_pages as pages  # noqa: E402
from ledger_jobs import JOBS, LONG, NEED_A_GPU, SHIPPED, Found  # noqa: E402
from ledger_rows import GROUPS  # noqa: E402

from mlcourse import paths  # noqa: E402

ROWS = json.loads((ROOT / "benchmarks" / "ledger.json").read_text())["rows"]
STEPS = ("1", "5", "10")
CELLS = ("5w1s", "5w5s", "20w1s", "20w5s")
PUBLISHED = {  # typed from the papers' tables once more: values, then half-widths
    "maml-sine-paper": [dict(zip((f"K5/{k}" for k in STEPS), (0.67, 0.38, 0.35)))],
    "maml-sine": [{"K5/1": 0.67, "K5/5": 0.38, "K5/10": 0.35}],
    "pretraining-sine": [{"K5/1": 2.41, "K5/5": 2.23, "K5/10": 2.19}],
    "sine-exact": [{"zero everywhere": 4.252, "-(5.1/π) cos x": 3.006}],
    "closed-form": [{"K = 2": 0}],
    "maml": [{"5w1s": 98.7, "5w5s": 99.9}, {"5w1s": 0.4, "5w5s": 0.1}],
    "maml-no-conv": [{"5w1s": 89.7, "5w5s": 97.5}, {"5w1s": 1.1, "5w5s": 0.6}],
    "maml-20-way": [{"20w1s": 95.8, "20w5s": 98.9}, {"20w1s": 0.3, "20w5s": 0.2}],
    "first-order": [{"5w1s": 98.3, "5w5s": 99.2}, {"5w1s": 0.5, "5w5s": 0.2}],
    "first-order-20-way": [{"20w1s": 89.4, "20w5s": 97.9}, {"20w1s": 0.5, "20w5s": 0.1}],
    "anil": [{"20w1s": 96.2, "20w5s": 98.0}, {"20w1s": 0.5, "20w5s": 0.3}],
    "anil-maml": [{"20w1s": 93.7, "20w5s": 96.4}, {"20w1s": 0.7, "20w5s": 0.1}],
    "reptile": [
        dict(zip(CELLS, (95.39, 98.90, 88.14, 96.65))),
        dict(zip(CELLS, (0.09, 0.10, 0.15, 0.33))),
    ],
    "reptile-together": [
        dict(zip(CELLS, (97.68, 99.48, 89.43, 97.12))),
        dict(zip(CELLS, (0.04, 0.06, 0.14, 0.32))),
    ],
    "protonet-long": [dict(zip(CELLS, (98.8, 99.7, 96.0, 98.9)))],
    "protonet-30-s": [dict(zip(CELLS, (98.8, 99.7, 96.0, 98.9)))],
    "protonet-paper": [dict(zip(CELLS, (98.8, 99.7, 96.0, 98.9)))],
    "protonet-five-shot": [dict(zip(CELLS, (98.5, 99.7, 94.7, 98.9)))],
    "matching": [dict(zip(CELLS, (98.1, 98.9, 93.8, 98.5)))],
    "within-alphabet": [
        {"people": 100 - 4.5, "program learning": 100 - 3.3}
        | {"Siamese network": 100 - 8.0, "convolutional network": 100 - 13.5}
    ],
    "maml-paper": [
        dict(zip(CELLS, (98.7, 99.9, 95.8, 98.9))),
        dict(zip(CELLS, (0.4, 0.1, 0.3, 0.2))),
    ],
}
UNPUBLISHED = {
    *(f"maml-sine-paper/K{k}/{steps}" for k in (10, 20) for steps in STEPS),
    *(f"{rule}-sine/K5/{steps}" for rule in ("fomaml", "reptile") for steps in STEPS),
    *(f"features-sine/K = {k}" for k in (2, 5, 10)),
    "oracle-sine/told",
}
NOT_YET_RUN = {"protonet-paper", "maml-paper"}  # they want a GPU


# ---------------------------------------------------------------- what it holds


def test_published_values_are_those_of_the_papers():
    found = {row["id"]: (row["paper"]["value"], row["paper"]["half_width"]) for row in ROWS}
    typed = {
        f"{group}/{cell}": (value, halves[0].get(cell) if halves else None)
        for group, (values, *halves) in PUBLISHED.items()
        for cell, value in values.items()
    }
    typed |= dict.fromkeys(UNPUBLISHED, (None, None))
    assert found.keys() == typed.keys()
    for id, pair in typed.items():
        assert found[id] == pytest.approx(pair), id


def test_every_row_has_ours_but_those_that_may_not_yet():
    lacking = {row["id"].split("/")[0] for row in ROWS if row["ours"] is None}
    assert lacking <= NOT_YET_RUN
    for row in ROWS:
        assert row["differences"] and row["paper"]["source"] and row["paper"]["where"]
        if row["ours"] is None:
            assert row["why"]
            continue
        assert row["ours"]["half_width"] >= 0 and row["ours"]["n"] >= 20
        assert row["training_seconds"] is not None or row["why"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"])
        assert re.fullmatch(r"[0-9a-f]{7,12}( \(dirty\))?", row["commit"]), (
            f"{row['id']}: {row['commit']}"
        )
        assert row["device"] and row["kind"] in ("trained anew", "judged anew", "recorded")
        assert row["torch"] or row["kind"] == "recorded"


def test_every_command_exists():
    makefile = (ROOT / "Makefile").read_text()
    for command in {row["command"] for row in ROWS if row["ours"]}:
        command, _, asked = command.partition(" ARGS=")
        assert asked in ("", "--shipped", *JOBS), asked
        *program, name = command.split()
        if program == ["make"]:
            assert f"\n{name}: " in makefile, command
        else:
            assert program == ["python", "tools/assets.py"] and name in assets.MAKERS, command


def test_every_job_is_some_groups_and_there_is_a_page():
    assert {group.job for group in GROUPS} - {""} == JOBS.keys()
    assert ledger.rows(ledger.known()) == ROWS, "make ledger ARGS=--page"
    assert pages.page(ROWS) == pages.PAGE.read_text(), "make ledger ARGS=--page"
    (block,) = pages.BLOCK.findall(pages.README.read_text())
    assert block == pages.readme(ROWS), "make ledger ARGS=--page"
    assert block.count("\n|") - 1 <= 20


def test_recorded_rows_are_what_the_recordings_say():
    kept, checked = {row["id"]: row for row in ROWS}, 0
    for group in GROUPS:
        recorded = [c for c in group.cells if kept[f"{group.id}/{c}"]["kind"] == "recorded"]
        found = SHIPPED.get(group.job, JOBS.get(group.job))(int) if recorded else {}
        for cell in recorded:
            assert kept[f"{group.id}/{cell}"]["ours"] == ledger.said(found[cell], "%")
            checked += 1
    assert checked >= 8


# ---------------------------------------------------------------- verdicts


def row(value, half, mean, half_width, unit="%"):
    ours = {"mean": mean, "half_width": half_width}
    return {"paper": {"value": value, "half_width": half}, "ours": ours, "unit": unit}


@pytest.mark.parametrize(
    "given, said",
    [
        (row(98.7, 0.4, 98.2, 0.3), "within"),  # 0.5 apart, hypot(0.4, 0.3) is 0.5
        (row(98.7, 0.4, 98.1, 0.3), "behind by 0.6"),
        (row(98.7, None, 98.4, 0.26), "within"),  # by the rounding of 98.7
        (row(98.7, None, 98.4, 0.24), "behind by 0.3"),
        (row(89.43, 0.1, 90.0, 0.1), "better by 0.6"),
        (row(0.67, None, 0.61, 0.054, "MSE"), "better by 0.06"),
        (row(0.67, None, 0.61, 0.056, "MSE"), "within"),
        (row(0.35, None, 0.50, 0.05, "MSE"), "behind by 0.15"),
        (row(0.35, None, 1e59, 3e59, "MSE"), "diverged on some waves"),
        (row(0.0, None, 2e-28, 2e-28, "MSE"), "within"),
        (row(None, None, 0.5, 0.1), ""),
        (row(98.7, 0.4, 98.7, 0.1) | {"ours": None}, "not yet run"),
    ],
)
def test_a_verdict_follows_from_the_intervals(given, said):
    assert pages.verdict(given) == said


def test_notes_lose_a_sentence_whose_gap_is_not_sure(monkeypatch):
    sure, unsure = pages.Estimate(2.0, 1.0, 9), pages.Estimate(1.0, 1.0, 9)
    monkeypatch.setattr(pages, "claims", lambda: [(sure, "A: {}."), (unsure, "B: {}.")])
    assert "* A: 2.0 ± 1.0 points." in pages.notes() and "B:" not in pages.notes()


def test_all_notes_are_sure_today():
    assert all(gap.low > 0 for gap, _ in pages.claims())


# ---------------------------------------------------------------- what a run may write


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The ledger and its pages as copies that a test may spoil."""
    for module, name in ((ledger, "LEDGER"), (pages, "PAGE"), (pages, "README")):
        copy = tmp_path / getattr(module, name).name
        copy.write_bytes(getattr(module, name).read_bytes())
        monkeypatch.setattr(module, name, copy)
    return tmp_path


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_tiny_run_runs_every_job_and_writes_nothing(elsewhere, capsys):
    before = files(elsewhere)
    ledger.main(["--tiny"])
    printed = capsys.readouterr().out
    for group in GROUPS:
        for cell in group.cells if group.job else ():
            assert f"{group.id}/{cell} " in printed
    assert files(elsewhere) == before


def test_a_run_replaces_its_rows_and_an_interruption_leaves_the_others(elsewhere, monkeypatch):
    def interrupted(cut):
        raise KeyboardInterrupt

    found = Found([torch.tensor([0.0, 1e-3])], 2.0)
    monkeypatch.setitem(JOBS, "closed_form", lambda cut: {"K = 2": found})
    monkeypatch.setitem(JOBS, "sine_exact", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.main(["closed_form", "sine_exact"])
    after = json.loads(ledger.LEDGER.read_text())["rows"]
    changed = [new for new, old in zip(after, ROWS) if new != old]
    assert [new["id"] for new in changed] == ["closed-form/K = 2"]
    assert changed[0]["ours"] == {"mean": 5e-4, "half_width": 9.8e-4, "median": 0.0, "n": 2}
    assert changed[0]["training_seconds"] == 2.0 and changed[0]["command"] == "make ledger"
    assert pages.page(after) == pages.PAGE.read_text()


def test_without_omniglot_its_rows_stay(elsewhere, monkeypatch, capsys):
    class Generated:
        real = False

    before = files(elsewhere)
    monkeypatch.setattr(ledger, "load_characters", lambda size: Generated)
    ledger.main(["protonet_recipe", "maml_shipped"])
    assert capsys.readouterr().out.count("its rows stay as they are") == 2
    assert files(elsewhere) == before


def test_remaking_leaves_what_is_shipped(monkeypatch):
    shipped, made = paths.asset, []

    def maker():
        made.append(paths.asset("runs_new.npz"))
        made[-1].write_bytes(b"new")
        assert paths.asset("runs_maml.npz").read_bytes() == shipped("runs_maml.npz").read_bytes()

    for name in assets.MAKERS:
        monkeypatch.setitem(assets.MAKERS, name, maker)
    with pytest.raises(ZeroDivisionError), ledger.remade():
        assert made and all(path.exists() for path in made)
        assert paths.asset != shipped
        _ = 1 / 0
    assert paths.asset is shipped and not shipped("runs_new.npz").exists()
    assert not any(path.exists() for path in made)


def test_whole_ledger_runs_waves_and_characters_side_by_side(monkeypatch):
    asked, done = [], []

    class Process:
        returncode = 0

        def __init__(self, words):
            asked.extend(words[2:])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(ledger.subprocess, "Popen", Process)
    monkeypatch.setattr(ledger, "run", lambda jobs, full: done.extend(jobs))
    ledger.main([])
    assert sorted(asked + done) == sorted(JOBS.keys() - {*NEED_A_GPU, *LONG})
    units = [group.unit for group in GROUPS if group.job in asked and group.job != ledger.ASIDE]
    assert set(units) == {"MSE"}
