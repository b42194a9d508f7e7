"""Exercises: check, hint, solution, one module a chapter; and how far a learner has come."""

import html
import importlib
from importlib.util import find_spec
from typing import NamedTuple

from .. import store

PROGRESS = "progress.json"

# number, file, title, minutes of the core path (None: the chapter is still to come)
CHAPTERS = [
    ("00", "00_start_here", "Start here", 10),
    ("01", "01_tasks_shots_episodes", "Tasks, shots, episodes", 65),
    ("02", "02_transfer_learning", "Transfer learning", 75),
    ("03", "03_from_multitask_to_meta", "From multi-task to meta", 70),
    ("04", "04_maml_the_mathematics", "MAML, the mathematics", 70),
    ("05", "05_maml_the_code", "MAML, the code", 70),
    ("06", "06_maml_on_omniglot", "MAML on Omniglot", 65),
    ("07", "07_protonets_the_mathematics", "ProtoNets, the mathematics", 75),
    ("08", "08_protonets_on_omniglot", "ProtoNets on Omniglot", 70),
    ("09", "09_sine_waves_the_metric_way", "Sine waves, the metric way", 60),
    ("10", "10_head_to_head", "Head to head", 72),
    ("11", "11_black_box_learners", "Black-box learners", None),
    ("12", "12_lifelong_learning", "Lifelong learning", None),
    ("13", "13_reinforcement_learning", "Reinforcement learning", None),
    ("14", "14_bug_museum", "Bug museum", None),
    ("15", "15_your_own_problem", "Your own problem", None),
]


class Row(NamedTuple):
    """One line of the course map."""

    number: str
    file: str
    title: str
    time: str
    exercises: str


class Progress(NamedTuple):
    """The course map: every chapter with the exercises done in it."""

    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        wide = max(len(row.title) for row in self.rows)
        return "\n".join(
            f"{row.number}  {row.title:{wide}}  {row.time:>7}  {row.exercises}".rstrip()
            for row in self.rows
        )

    def _repr_html_(self) -> str:
        def cells(row: Row) -> str:
            title = html.escape(row.title)
            if row.time != "to come":
                title = f'<a href="{row.file}.ipynb">{title}</a>'
            columns = (row.number, title, row.time, row.exercises)
            return "".join(f"<td style='text-align:left'>{c}</td>" for c in columns)

        names = ("", "chapter", "time", "exercises")
        head = "".join(f"<th scope='col' style='text-align:left'>{name}</th>" for name in names)
        body = "".join(f"<tr>{cells(row)}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def progress() -> Progress:
    """The course map, with what the learner's own `progress.json` says."""
    try:
        done = store.load_json(PROGRESS, _well_formed)
    except OSError as error:
        store.say(f"{PROGRESS} cannot be read ({type(error).__name__}); the map starts empty.")
        done = {}
    return Progress(
        tuple(
            Row(number, file, title, f"{time} min" if time else "to come", _count(number, done))
            for number, file, title, time in CHAPTERS
        )
    )


def record(chapter: str, exercise: str, event: str, count: int = 1) -> None:
    """Keep an event: "tried" (counted until "correct"), "correct", "hints", "solution"."""

    def change(data: dict) -> None:
        entry = data.setdefault(chapter, {}).setdefault(exercise, {})
        if event == "hints":
            entry[event] = max(count, entry.get(event, 0))
        elif event != "tried":
            entry[event] = True
        elif not entry.get("correct"):
            entry[event] = entry.get(event, 0) + 1

    store.update_json(PROGRESS, change, _well_formed)


def exercises_of(number: str) -> list:
    """The exercises of the chapter with this number, in order; none when it has no module."""
    module = f"{__name__}.ch{number}"
    return list(importlib.import_module(module).check) if find_spec(module) else []


def _count(number: str, done: dict) -> str:
    names = [exercise.name for exercise in exercises_of(number)]
    entries = [done.get(number, {}).get(name, {}) for name in names]
    correct = sum(bool(entry.get("correct")) for entry in entries)
    tried = sum(bool(entry.get("tried")) and not entry.get("correct") for entry in entries)
    if not names:
        return ""
    return f"{correct} of {len(names)} correct" + (f", {tried} tried" if tried else "")


def _well_formed(data: dict) -> bool:
    """chapter -> exercise -> event -> a number or true."""
    return all(
        isinstance(entry, dict) and all(isinstance(value, int) for value in entry.values())
        for chapter in data.values()
        for entry in (chapter.values() if isinstance(chapter, dict) else [None])
    )
