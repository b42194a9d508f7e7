"""The checks against right answers, wrong answers and odd ones; and what they leave on the disk."""

import functools
import importlib
import inspect
import json
import random
import re
import sys

import attacks
import numpy as np
import pytest
import torch

from mlcourse import exercises, paths, store
from mlcourse.exercises import CHAPTERS, exercises_of
from mlcourse.exercises.ch01 import check
from mlcourse.exercises.engine import LOOKS, Card, apart, edited

EVERY = [exercise for number, *_ in CHAPTERS for exercise in exercises_of(number)]
BY_NAME = {f"{e.chapter}-{e.name}": e for e in EVERY}
OUTCOMES = ["correct", "not yet", "your code raised", "not attempted"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A learner's folder of its own, and exercises nobody has asked for a hint yet."""
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(store, "_said", set())
    for exercise in EVERY:
        exercise.__post_init__()
    return tmp_path / "home"


@pytest.fixture(params=BY_NAME.values(), ids=BY_NAME.keys())
def exercise(request):
    return request.param


def kept(home) -> dict:
    return json.loads((home / "progress.json").read_text())


# ---------------------------------------------------------------- every exercise of every chapter


def test_there_are_five_in_chapter_01():
    assert [e.name for e in check] == ["sampler", "nearest", "interval", "leak", "shots"]


def test_the_reference_and_the_alternatives_are_correct(exercise):
    assert len(exercise.alternatives) >= 2
    for fn in (exercise.reference, *exercise.alternatives):
        assert (exercise(fn).outcome, fn.__name__) == ("correct", fn.__name__)


def pairs(field):
    return [
        pytest.param(e, key, id=f"{name}-{key}")
        for name, e in BY_NAME.items()
        for key in getattr(e, field)
    ]


@functools.cache
def judged_once(name: str, symptom: str) -> Card:
    exercise = BY_NAME[name]
    return exercise(exercise.mutants[symptom])


def verdict(exercise, symptom: str) -> Card:
    """What an exercise says of a mutant; judging is most of the time here, so it is kept."""
    return judged_once(f"{exercise.chapter}-{exercise.name}", symptom)


@pytest.mark.parametrize("exercise, symptom", pairs("mutants"))
def test_each_mutant_is_turned_away_with_its_own_symptom(exercise, symptom):
    card = verdict(exercise, symptom)
    assert (card.outcome, card.symptom) == ("not yet", symptom)
    assert_is_a_sentence(card.text)


def test_messages_differ_between_mutants(exercise):
    texts = [verdict(exercise, symptom).text for symptom in exercise.mutants]
    assert len(set(texts)) == len(texts)


def test_the_same_answer_gets_the_same_text_twice(exercise):
    symptom = min(exercise.mutants)
    again = exercise(exercise.mutants[symptom])
    assert again == verdict(exercise, symptom)


ODD = [None, 0, 1, 1.0, True, False, "x", [], {}, b"1", (), (1, 2), ("a", "b"), 1j, object(), print]
ODD += [float("nan"), [[1], [1, 2]], (None,) * 4, (0,) * 4, ("x",) * 4, [torch.zeros(2), 1]]
ODD += [torch.zeros(0), torch.tensor(1), torch.tensor(0.5), torch.tensor([True]), np.zeros(3)]
ODD += [torch.zeros(3, dtype=torch.complex64), torch.zeros(2, 2).to_sparse(), np.array(["x"])]
ODD += [(torch.zeros(5, 1, 6, 7), torch.zeros(5)) * 2, torch.zeros(60, dtype=torch.int64)]


@pytest.mark.parametrize("value", ODD, ids=[f"{i}-{type(v).__name__}" for i, v in enumerate(ODD)])
def test_a_constant_never_passes(exercise, value):
    card = exercise(lambda *arguments: value)
    assert (card.outcome, card.symptom == "unreadable") == ("not yet", False)
    assert "0x" not in card.text


def zeros_of_the_right_shape(reference, number):
    def wrong(*arguments):
        def fill(part):
            if isinstance(part, torch.nn.Module):
                for parameter in part.parameters():
                    parameter.data.fill_(number)
                return part
            if isinstance(part, torch.Tensor):
                return torch.full_like(part, number)
            if isinstance(part, dict):
                return {name: fill(value) for name, value in part.items()}
            return tuple(map(fill, part)) if isinstance(part, tuple) else type(part)(number)

        return fill(reference(*arguments))

    return wrong


@pytest.mark.parametrize("number", [0, 1])
def test_zeros_or_ones_of_the_right_shape_never_pass(exercise, number):
    card = exercise(zeros_of_the_right_shape(exercise.reference, number))
    assert card.outcome == "not yet"


def test_the_unsolved_stub_is_not_attempted(exercise, home):
    names = {}
    exec(exercise.stub, names)
    stub = names[exercise.reference.__name__]
    assert exercise(stub).outcome == "not attempted"
    assert not home.exists()
    asked, given = (list(inspect.signature(f).parameters) for f in (stub, exercise.reference))
    assert asked == given
    assert max(map(len, exercise.stub.splitlines())) <= 88


def test_ten_lines_are_enough(exercise):
    lines = inspect.getsource(exercise.reference).splitlines()
    assert len(lines) <= 12
    assert sum("def " not in line.split("#")[0] for line in lines) <= 10


def test_the_solution_shown_runs_and_is_correct(exercise, home):
    card = exercise.solution()
    assert card.outcome == "solution"
    assert card.code == inspect.getsource(exercise.reference).rstrip()
    names = {"torch": torch}
    exec(card.code, names)
    assert exercise(names[exercise.reference.__name__]).outcome == "correct"
    assert kept(home)[exercise.chapter][exercise.name] == {"solution": True, "correct": True}


def test_hints_come_in_tiers(exercise, home):
    n = len(exercise.hints)
    assert n >= 3
    cards = [exercise.hint() for _ in range(n)]
    for i, card in enumerate(cards):
        assert card.outcome == "hint"
        assert card.text == f"Hint {i + 1} of {n}. {exercise.hints[i]}"
    assert exercise.hint().text.startswith(cards[-1].text + " (There is no further hint")
    assert kept(home)[exercise.chapter][exercise.name] == {"hints": n}


def test_a_hint_for_the_mistake_comes_first_and_once(exercise):
    possible = {*exercise.mutants, "raised", "input changed", "squeeze"}
    assert possible >= set(exercise.symptom_hints)
    for symptom in exercise.symptom_hints.keys() & exercise.mutants.keys():
        exercise.__post_init__()
        exercise(exercise.mutants[symptom])
        assert exercise.hint().text.endswith(exercise.symptom_hints[symptom])
        assert exercise.hint().text.startswith("Hint 1 of ")


def assert_is_a_sentence(text):
    assert text[0].isupper() or re.match(r"[a-z]+_[xy] ", text)
    assert text[-1] in ".?`)" and "\n" not in text and "!" not in text
    assert not re.search(r"\b(simply|obviously|just)\b", text)


def test_the_words_around_it(exercise):
    assert exercise.difficulty in (1, 2, 3) and 1 <= exercise.minutes <= 20
    for text in (exercise.praise, *exercise.hints, *exercise.symptom_hints.values()):
        assert_is_a_sentence(text[0].upper() + text[1:] if text[0] != "`" else "A " + text)
        assert text.count("`") % 2 == 0
    assert exercise.name in repr(exercise) and exercise.title in repr(exercise)


# ---------------------------------------------------------------- the engine


@pytest.mark.parametrize("value", [None, 3, "sample_episode", torch.zeros(2)])
def test_something_that_is_no_function(exercise, value, home):
    card = exercise(value)
    assert (card.outcome, card.symptom) == ("not yet", "not a function")
    assert f"`check.{exercise.name}({exercise.reference.__name__})`" in card.text
    assert not home.exists()


def helper(x):
    return x.reshape(3, 1000)  # the line that fails


def raises_in_a_helper(support_x, support_y, query_x):
    return helper(query_x)


def test_your_code_raised_says_which_line_of_yours(capsys):
    card = check.nearest(raises_in_a_helper)
    first = inspect.getsourcelines(helper)[1]
    assert card.outcome == "your code raised"
    assert card.text.startswith("RuntimeError: shape '[3, 1000]' is invalid")
    assert card.text.endswith(
        f"in line {first + 1} of the cell with `helper`: "
        "`return x.reshape(3, 1000)  # the line that fails`"
    )
    assert "Traceback" not in repr(card) + card._repr_html_() + "".join(capsys.readouterr())


class Callable:
    def __call__(self, support_x, support_y, query_x):
        raise KeyError("label")


@pytest.mark.parametrize(
    "fn",
    [
        Callable(),
        Callable().__call__,
        functools.partial(Callable()),
        torch.no_grad()(Callable().__call__),
    ],
    ids=["object", "method", "partial", "decorated"],
)
def test_the_line_is_found_in_every_kind_of_callable(fn):
    card = check.nearest(fn)
    assert card.outcome == "your code raised"
    line = r"KeyError: 'label', in line \d+ of the cell with `__call__`: `raise .*`"
    assert re.fullmatch(line, card.text)


def test_a_function_with_other_parameters():
    card = check.nearest(lambda x: x)
    assert card.outcome == "your code raised"
    assert card.text.endswith("when it was called as `nearest(support_x, support_y, query_x)`")


def test_no_address_and_one_line_only():
    def bad(*arguments):
        message = f"{object()}\nsecond line"
        raise ValueError(message)

    text = check.nearest(bad).text
    assert text.startswith("ValueError: <object object at 0x…>, in line") and "second" not in text


def test_an_error_of_torch_that_is_called_not_implemented_was_an_attempt():
    def missing_kernel(support_x, support_y, query_x):
        return torch.empty(2, device="meta").tolist()

    with pytest.raises(NotImplementedError):
        torch.empty(2, device="meta").tolist()
    assert check.nearest(missing_kernel).outcome == "your code raised"
    assert check.nearest(stub_with_words).outcome == "not attempted"


def stub_with_words(support_x, support_y, query_x):
    raise NotImplementedError("your turn")


def test_ctrl_c_gets_through():
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check.nearest(interrupted)


def settings():
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        np.get_printoptions()["precision"],
        repr(torch.tensor(1 / 3)),
        sys.stdout,
    )


def test_what_the_answer_leaves_behind_is_put_back():
    def messy(support_x, support_y, query_x):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.manual_seed(7), random.seed(7), np.random.seed(7)
        np.set_printoptions(precision=1)
        torch.set_printoptions(precision=1)
        sys.stdout = None
        return check.nearest.reference(support_x, support_y, query_x)

    before = settings()
    assert check.nearest(messy).outcome == "correct"
    assert settings() == before
    with torch.no_grad():
        check.nearest(messy)
        assert not torch.is_grad_enabled()


def test_the_answer_does_not_depend_on_what_the_notebook_did_before():
    torch.set_default_dtype(torch.float64)
    try:
        assert check.sampler(check.sampler.reference).outcome == "correct"
    finally:
        torch.set_default_dtype(torch.float32)
    random_labels = edited(
        check.nearest.reference,
        "support_y[distances.argmin(1)]",
        "support_y[torch.randint(len(support_y), (len(query_x),))]",
    )
    torch.manual_seed(1)
    first = check.nearest(random_labels)
    torch.manual_seed(2)
    assert check.nearest(random_labels) == first


def test_changing_the_inputs_is_named():
    def greedy(images, n_way, k_shot, n_query, generator):
        answer = check.sampler.reference(images, n_way, k_shot, n_query, generator)
        images.zero_()
        return answer

    card = check.sampler(greedy)
    assert card.symptom == "input changed" and "`images`" in card.text


def test_an_odd_answer_of_a_kind_not_foreseen_gets_a_sentence(monkeypatch):
    def broken(fn):
        raise TypeError("no such thing")

    monkeypatch.setattr(check.nearest, "judge", broken)
    card = check.nearest(check.nearest.reference)
    assert (card.outcome, card.symptom) == ("not yet", "unreadable")


def test_edited_refuses_what_is_not_there_once():
    for old in ("no such text", "query"):
        with pytest.raises(ValueError, match="is not once in the source of nearest"):
            edited(check.nearest.reference, old, "")()


@pytest.mark.parametrize("outcome", LOOKS)
def test_a_card_says_its_word_in_text_and_in_html(outcome):
    card = Card(outcome, "name", "a < b in `x[0]`", code="if a < b:")
    assert repr(card) == f"{LOOKS[outcome][0]} name: {outcome}. a < b in `x[0]`\n\nif a < b:"
    page = card._repr_html_()
    assert outcome in page and LOOKS[outcome][0] in page
    assert "a &lt; b in <code>x[0]</code>" in page and "<pre>if a &lt; b:</pre>" in page
    for colour in re.findall(r"color: ([^;\"]*)", page) + re.findall(r"solid ([^;]*)", page):
        assert re.fullmatch(r"var\(--jp-[\w-]+, .+\)", colour)


def test_the_four_outcomes_have_different_looks():
    assert len({LOOKS[outcome] for outcome in OUTCOMES}) == 4
    assert len({LOOKS[outcome][0] for outcome in LOOKS}) == len(LOOKS)


def test_the_namespace_of_a_chapter():
    assert dir(check) == sorted(["sampler", "nearest", "interval", "leak", "shots"])
    with pytest.raises(
        AttributeError, match="'sampelr' .* sampler, nearest, interval, leak, shots"
    ):
        check.sampelr  # noqa: B018
    assert len(repr(check).splitlines()) == 5


# ---------------------------------------------------------------- answers by an attacker


def answers(kind):
    """Every answer of attacks.WRONG or attacks.RIGHT, with its exercise."""
    return [
        pytest.param(exercise, fn, id=name if name.startswith(e) else f"{e}_{name}")
        for e, functions in kind.items()
        for exercise in EVERY
        if exercise.name == e
        for name, fn in functions.items()
    ]


@pytest.mark.filterwarnings("ignore:std:UserWarning")
@pytest.mark.parametrize("exercise, fn", answers(attacks.WRONG))
def test_what_the_attacker_got_wrong_is_turned_away(exercise, fn):
    attacks.forget()
    card = exercise(fn)
    assert card.outcome in ("not yet", "your code raised")
    assert_is_a_sentence(card.text) if card.outcome == "not yet" else None


@pytest.mark.parametrize("exercise, fn", answers(attacks.RIGHT))
def test_what_the_attacker_got_right_is_correct(exercise, fn):
    attacks.forget()
    assert exercise(fn).text == exercise.praise


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    "name, fn, words",
    [
        ("interval", lambda a: (a.mean, 0.1), "a function (add `()` to call it)"),
        ("interval", lambda a: (a.mean() + 2e-5, 0.1), "the half-width is 0.1"),
        ("nearest", lambda s, y, q: y[: len(q)] * 0, "has the shape"),
        ("shots", lambda s, y, q: q.new_zeros(len(q)).long(), "whatever is in the support"),
        ("shots", lambda s, y, q: torch.zeros(len(q), len(y)), "`argmin` of every row"),
        ("leak", lambda sample, g: sample, "add `()`"),
    ],
)
def test_a_message_says_what_to_do(name, fn, words):
    assert words in getattr(check, name)(fn).text


def test_numbers_that_look_equal_get_more_digits():
    assert apart(1.0, 1.00004) == ("1.00000", "1.00004")
    assert apart(1.0, 2.0) == ("1.000", "2.000")


def test_a_long_error_is_cut_at_a_word():
    def fails(*arguments):
        raise ValueError("word " * 100)

    assert re.match(r"ValueError: (word )+…, in line", check.nearest(fails).text)


# ---------------------------------------------------------------- progress


def test_progress_counts_tries_until_correct(home):
    wrong = check.nearest.mutants["farthest"]
    check.nearest(wrong), check.nearest(raises_in_a_helper)
    assert kept(home) == {"01": {"nearest": {"tried": 2}}}
    check.nearest(check.nearest.reference), check.nearest(wrong)
    check.shots(wrong)
    assert kept(home)["01"] == {"nearest": {"tried": 2, "correct": True}, "shots": {"tried": 1}}
    assert "1 of 5 correct, 1 tried" in repr(exercises.progress())
    assert not list(home.glob("*.part"))


def test_the_map_has_every_chapter():
    rows = exercises.progress().rows
    assert [row.number for row in rows] == [f"{i:02}" for i in range(16)]
    assert all(row.file.startswith(row.number) for row in rows)
    page, text = exercises.progress()._repr_html_(), repr(exercises.progress())
    for row in rows:
        assert row.title in text and row.title in page
        there = row.time != "to come"
        assert (f'href="{row.file}.ipynb"' in page) == there
    assert "0 of 5 correct" in text and "to come" in text and "65 min" in text
    assert len(text.splitlines()) == 16


def test_chapters_with_exercises_have_a_module_and_no_other_has_one():
    modules = {p.stem for p in (paths.PACKAGE / "exercises").glob("ch*.py")}
    assert modules <= {f"ch{number}" for number, *_ in CHAPTERS}
    for module in modules:
        found = importlib.import_module(f"mlcourse.exercises.{module}").check
        assert [e.chapter for e in found] == [module[2:]] * len(list(found))


DAMAGED = [b"", b"{", b"\xff\xfe\x00", b"[1]", b'{"01": 3}', b'{"01": {"nearest": {"tried": "x"}}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_moved_aside_with_one_line(home, content, capsys):
    home.mkdir()
    for i in (1, 2):
        (home / "progress.json").write_bytes(content)
        check.nearest(check.nearest.reference)
        assert (home / f"progress.damaged-{i}.json").read_bytes() == content
        assert kept(home) == {"01": {"nearest": {"correct": True}}}
        (home / "progress.json").unlink()
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and "kept as progress.damaged-1.json" in out[0]


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path, monkeypatch, capsys):
    # we may be root, for whom chmod forbids nothing; below a plain file nothing can be made
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("MLCOURSE_HOME", str(tmp_path / "file" / "home"))
    assert check.nearest(check.nearest.reference).outcome == "correct"
    assert check.nearest.hint().outcome == "hint"
    assert check.nearest.solution().outcome == "solution"
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert "0 of 5 correct" in repr(exercises.progress())
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_loses_nothing(home, monkeypatch, capsys):
    check.nearest(check.nearest.reference)
    before = (home / "progress.json").read_bytes()

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.json, "dump", full)
    assert check.shots(check.shots.reference).outcome == "correct"
    assert (home / "progress.json").read_bytes() == before
    assert not list(home.glob("*.part"))
    assert "not being kept" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_not_replaced(home, capsys):
    (home / "progress.json").mkdir(parents=True)
    assert check.nearest(check.nearest.reference).outcome == "correct"
    assert (home / "progress.json").is_dir() and "not being kept" in capsys.readouterr().out


def test_json_goes_round(home):
    assert store.load_json("other.json") == {}
    store.save_json("other.json", {"é": [1, 2.5, None]})
    assert store.load_json("other.json") == {"é": [1, 2.5, None]}
    assert store.update_json("other.json", lambda data: data.update(x=1))
    assert store.load_json("other.json") == {"é": [1, 2.5, None], "x": 1}


def test_a_file_is_replaced_whole_and_never_rewritten(home):
    store.save_json("other.json", {"old": 1})
    (home / "link.json").hardlink_to(home / "other.json")
    store.save_json("other.json", {"new": 2})
    assert store.load_json("link.json") == {"old": 1}


def test_two_notebooks_lose_no_event(home):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: exercises.record("01", "nearest", "tried"), range(40)))
    assert kept(home) == {"01": {"nearest": {"tried": 40}}}
