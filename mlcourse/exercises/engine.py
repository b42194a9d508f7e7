"""Judge a learner's function and say what was seen: one of four outcomes, hints, a solution."""

import contextlib
import functools
import html
import inspect
import linecache
import random
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from . import record

# word -> icon, colour of the bar; the word is always there, so the colour is never alone
LOOKS = {
    "correct": ("✓", "var(--jp-success-color1, #388e3c)"),
    "not yet": ("✗", "var(--jp-warn-color1, #d98200)"),
    "your code raised": ("⚠", "var(--jp-error-color1, #d32f2f)"),
    "not attempted": ("○", "var(--jp-border-color1, #9e9e9e)"),
    "hint": ("☞", "var(--jp-info-color1, #0097a7)"),
    "solution": ("✎", "var(--jp-info-color1, #0097a7)"),
}


class NotYet(Exception):
    """A wrong answer: the symptom is its key, the message the sentence the learner reads."""

    def __init__(self, symptom: str, message: str):
        super().__init__(message)
        self.symptom = symptom


class Raised(Exception):
    """The learner's function raised `error`."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


def require(condition: bool, symptom: str, message: str) -> None:
    """Raise NotYet(symptom, message) unless the condition holds."""
    if not condition:
        raise NotYet(symptom, message)


@dataclass(frozen=True)
class Card:
    """What the learner sees: a word (the outcome, "hint" or "solution") and a sentence or code."""

    outcome: str
    name: str
    text: str
    symptom: str = ""
    code: str = ""

    def __repr__(self) -> str:
        line = f"{LOOKS[self.outcome][0]} {self.name}: {self.outcome}. {self.text}"
        return f"{line}\n\n{self.code}" if self.code else line

    def _repr_html_(self) -> str:
        icon, colour = LOOKS[self.outcome]
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.text))
        code = f"<pre>{html.escape(self.code)}</pre>" if self.code else ""
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 4px 12px; '
            f'color: var(--jp-content-font-color1, inherit)">'
            f"<b>{icon} {self.name}: {self.outcome}.</b> {text}{code}</div>"
        )


@dataclass
class Exercise:
    """One exercise; calling it with the learner's function gives one of the four outcomes.

    judge(fn) raises NotYet, through `require`, when the answers of fn are wrong. `reference` is
    the solution shown. Tests feed the judge the `alternatives`, which are right as well, and the
    `mutants`, which must each be turned away with their own symptom. difficulty is 1 to 3.
    """

    name: str
    title: str
    minutes: int
    difficulty: int
    stub: str
    judge: Callable
    reference: Callable
    praise: str
    hints: tuple[str, ...]
    symptom_hints: dict[str, str] = field(default_factory=dict)
    alternatives: tuple[Callable, ...] = ()
    mutants: dict[str, Callable] = field(default_factory=dict)
    chapter: str = ""

    def __post_init__(self):
        self._symptom, self._tier, self._helped = "", 0, set()

    def __repr__(self) -> str:
        use = f"check.{self.name}"
        stars = "●" * self.difficulty + "○" * (3 - self.difficulty)
        about = f"{self.name}: {self.title} ({stars}, about {self.minutes} minutes)"
        return f"{about}. `{use}({self.reference.__name__})`, `{use}.hint()`, `{use}.solution()`"

    def __call__(self, fn: Callable) -> Card:
        if not callable(fn):
            call = f"`check.{self.name}({self.reference.__name__})`"
            text = f"You gave {describe(fn)}; give the function itself, without calling it: {call}."
            return Card("not yet", self.name, text, "not a function")
        with known_start():
            card = self._outcome(fn)
        self._symptom = card.symptom
        if card.outcome != "not attempted":
            record(self.chapter, self.name, "correct" if card.outcome == "correct" else "tried")
        return card

    def _outcome(self, fn: Callable) -> Card:
        names = list(inspect.signature(self.reference).parameters)
        try:
            self.judge(guarded(fn, names))
        except NotYet as wrong:
            return Card("not yet", self.name, str(wrong), wrong.symptom)
        except Raised as raised:
            return self._raised(fn, raised.error, names)
        except Exception as error:  # our fault or a very odd answer: still no traceback of ours
            text = f"The check cannot read your answer ({one_line(error)}); return plain tensors."
            return Card("not yet", self.name, text, "unreadable")
        return Card("correct", self.name, self.praise)

    def _raised(self, fn: Callable, error: Exception, names: list[str]) -> Card:
        where, code = own_line(fn, error)
        # torch raises NotImplementedError too, with a message; the stub's has none
        if isinstance(error, NotImplementedError) and (not error.args or "raise" in code):
            text = "Replace `raise NotImplementedError` with your own lines, then check again."
            return Card("not attempted", self.name, text)
        call = f"{self.reference.__name__}({', '.join(names)})"
        at = f"in {where}: `{code}`" if code else f"when it was called as `{call}`"
        return Card("your code raised", self.name, f"{one_line(error)}, {at}", "raised")

    def hint(self) -> Card:
        """The next hint: first one for the mistake just seen, if any, then from mild to strong."""
        if self._symptom in self.symptom_hints.keys() - self._helped:
            self._helped.add(self._symptom)
            text = f"For what the check saw: {self.symptom_hints[self._symptom]}"
            return Card("hint", self.name, text)
        last = self._tier == len(self.hints)
        self._tier = min(self._tier + 1, len(self.hints))
        record(self.chapter, self.name, "hints", self._tier)
        text = f"Hint {self._tier} of {len(self.hints)}. {self.hints[self._tier - 1]}"
        more = f" (There is no further hint; `check.{self.name}.solution()` shows one answer.)"
        return Card("hint", self.name, text + more * last)

    def solution(self) -> Card:
        """The source of one right answer."""
        record(self.chapter, self.name, "solution")
        code = inspect.getsource(self.reference).rstrip()
        return Card("solution", self.name, "One right answer; others are as good.", code=code)


class Chapter:
    """The `check` of a chapter: its exercises as attributes."""

    def __init__(self, number: str, *exercises: Exercise):
        self._number, self._exercises = number, {e.name: e for e in exercises}
        for exercise in exercises:
            exercise.chapter = number

    def __getattr__(self, name: str) -> Exercise:
        exercises = self.__dict__.get("_exercises", {})
        if name in exercises:
            return exercises[name]
        there = ", ".join(exercises)
        raise AttributeError(f"there is no exercise {name!r} in this chapter; there are: {there}")

    def __dir__(self) -> list[str]:
        return list(self._exercises)

    def __iter__(self) -> Iterator[Exercise]:
        return iter(self._exercises.values())

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))


def same_values(before: Tensor, after: Tensor) -> bool:
    """Whether all numbers are what they were, nan where nan was."""
    if before.shape != after.shape:
        return False
    return bool(((before == after) | ((before != before) & (after != after))).all())


def tensors_in(value) -> list[Tensor]:
    """A tensor, or those in a dictionary or a tuple (points, an episode), however deep."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [t for v in parts for t in tensors_in(v)] if isinstance(value, (dict, tuple)) else []


def guarded(fn: Callable, names: list[str]) -> Callable:
    """fn on copies of its tensors; its errors become Raised, a changed input becomes NotYet.

    Tensors in dictionaries and tuples are no copies, so that gradients flow back to them.
    """

    def call(*arguments):
        copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
        kept = [[t.detach().clone() for t in tensors_in(a)] for a in arguments]
        try:
            answer = fn(*copies)
        except Exception as error:
            raise Raised(error) from None
        for name, before, after in zip(names, kept, copies):
            now = tensors_in(after)
            same = len(now) == len(before) and all(map(same_values, before, now))
            copy = f"a copy: `{name}.clone()`" if isinstance(after, Tensor) else "copies"
            advice = f"Your function changes `{name}` itself; work on {copy}."
            require(same, "input changed", advice)
        return answer

    return call


@contextlib.contextmanager
def known_start() -> Iterator[None]:
    """One randomness, precision and grad mode for every answer; then what was before comes back."""
    dtype, python, arrays = torch.get_default_dtype(), random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(random.setstate, python)
        stack.callback(np.random.set_state, arrays)
        for context in (torch.random.fork_rng(devices=[]), torch.enable_grad(), np.printoptions()):
            stack.enter_context(context)
        options = getattr(torch._tensor_str, "printoptions", contextlib.nullcontext)
        stack.enter_context(options())
        stack.enter_context(contextlib.redirect_stdout(sys.stdout))
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)  # the tensors are tiny; on a busy machine this is ten times faster
        torch.default_generator.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield


def edited(reference: Callable, old: str, new: str) -> Callable:
    """The reference with one piece of its source exchanged: a mutant that shows its mistake."""

    @functools.cache
    def build() -> Callable:
        source, names = inspect.getsource(reference), dict(reference.__globals__)
        if source.count(old) != 1:
            raise ValueError(f"{old!r} is not once in the source of {reference.__name__}")
        exec(source.replace(old, new), names)
        return names[reference.__name__]

    return lambda *arguments: build()(*arguments)


def own_line(fn: Callable, error: Exception) -> tuple[str, str]:
    """Where the learner's code raised ("line 3 of the cell with `f`") and that line; or none."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn) if hasattr(fn, "__globals__") else type(fn).__call__
    own = getattr(fn, "__globals__", vars(sys.modules["__main__"]))
    frames = [f for f in traceback.walk_tb(error.__traceback__) if f[0].f_globals is own]
    if not frames:
        return "", ""
    frame, line = frames[-1]
    code = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
    return f"line {line} of the cell with `{frame.f_code.co_name}`", code or "?"


def one_line(error: Exception) -> str:
    """Type and first line of an error, without addresses in memory and not too long."""
    first = (str(error).strip().splitlines() or [""])[0]
    first = textwrap.shorten(first, 160, placeholder=" …") if len(first) > 160 else first
    return f"{type(error).__name__}: {re.sub('0x[0-9a-fA-F]+', '0x…', first)}".rstrip(": ")


def to_tensor(value) -> Tensor | None:
    """A tensor from a tensor, an array, a number or a list of these; None if that cannot be."""
    try:
        if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
            return torch.stack([to_tensor(v) for v in value])
        value = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        return value.detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None


def apart(a: float, b: float, digits: int = 3) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see that they differ."""
    if max(abs(a), abs(b)) >= 1e7:
        return f"{a:.3g}", f"{b:.3g}"
    while f"{a:.{digits}f}" == f"{b:.{digits}f}" and digits < 9:
        digits += 1
    return f"{a:.{digits}f}", f"{b:.{digits}f}"


def describe(value) -> str:
    """What a value is, in words that are the same on every machine."""
    if value is None:
        return "`None` (is there a `return`?)"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {str(value.dtype)[6:]}"
    if isinstance(value, (tuple, list)):
        uncalled = any(map(callable, value))
        call = ", one of them a function (add `()` to call it)" if uncalled else ""
        return f"a {type(value).__name__} of {len(value)}{call}"
    if callable(value):
        return "a function (add `()` to call it)"
    return f"`{value!r}`" if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"


# ---------------------------------------------------------------- judging many answers at once


def close(yours: Tensor, right: Tensor, within: float = 1e-3) -> bool:
    """Equal up to rounding; `within` as given, of float32 in another order of operations."""
    small = 0.1 * within * float(right.abs().max()) + 1e-7
    return yours.shape == right.shape and torch.allclose(yours, right, within, small)


def known_mistakes(reference: Callable, table: str) -> dict[str, tuple[Callable, str]]:
    """symptom -> (the reference with this mistake, sentence), from a table of edits.

    A line "symptom: old => new" edits the reference; the indented lines below are what the learner
    reads. An edit without a sentence is a mutant that its answer's form gives away.
    """
    known, symptom = {}, ""
    for line in table.strip().splitlines():
        if line.startswith(" "):
            fn, sentence = known[symptom]
            known[symptom] = fn, f"{sentence} {line.strip()}".strip()
        else:
            symptom, edit = line.split(": ", 1)
            old, new = edit.split("=>")
            known[symptom] = edited(reference, old.strip(), new.strip()), ""
    return known


@torch.enable_grad()  # also when an answer has switched gradients off
def pulled(answer: Tensor, to: list[Tensor]) -> Tensor:
    """The gradient of a fixed mixture of an answer's numbers, flat; zero where none flows."""
    mix = torch.linspace(0.5, 1.5, answer.numel(), dtype=torch.float64)
    total = (answer.flatten() * mix).sum()
    if not total.requires_grad:
        return torch.zeros(sum(p.numel() for p in to), dtype=torch.float64)
    found = torch.autograd.grad(total, to, allow_unused=True, retain_graph=True)
    filled = (torch.zeros_like(p) if g is None else g for g, p in zip(found, to))
    return torch.cat([g.flatten() for g in filled])


@torch.enable_grad()
def run_plain(fn: Callable, case: tuple) -> Tensor:
    """The answer of a function that gives numbers."""
    return torch.as_tensor(fn(*case)).detach()


@torch.enable_grad()
def judge_answers(
    answers: list,
    cases: list,
    right: Callable,
    known: dict,
    run: Callable = run_plain,
    names: tuple = (),
    within: float = 1e-3,
) -> None:
    """Return for right answers; else NotYet with the known mistake that gives all these answers.

    cases: the arguments of each answer; run(fn, case): the answer of fn as a tensor; names: what
    the numbers of an answer are.
    """
    ours = [run(right, case).double() for case in cases]
    wrong = [i for i, answer in enumerate(answers) if not close(answer, ours[i], within)]
    if not wrong:
        return
    for symptom, (fn, sentence) in known.items():
        pairs = zip(answers, cases)  # up to the first that differs
        same = sentence and all(close(a, run(fn, c).double(), within) for a, c in pairs)
        require(not same, symptom, sentence)
    yours, ours = answers[wrong[0]].flatten(), ours[wrong[0]].flatten()
    place = int((yours - ours).abs().argmax())
    pair = float(ours[place]), float(yours[place])
    a, b = apart(*pair, digits=0 if all(map(float.is_integer, pair)) else 3)
    name = names[min(place, len(names) - 1)] if names else "a number of your answer"
    text = f"With {given(right, cases[wrong[0]])} {name} is {b}, and {a} is right."
    require(False, "value", text)


def judge_numbers(
    fn: Callable, cases: list, right: Callable, known: dict, names=(), within: float = 1e-6
) -> list:
    """Judge fn, which gives a number or a tensor of numbers; returns its answers as they came."""
    answers, found = [], []
    for case in cases:
        wanted = tuple(run_plain(right, case).shape)
        answers.append(fn(*case))
        name = "one tensor of numbers" if wanted else "one number"
        found.append(read_numbers(answers[-1], name, one=not wanted))
        yours = tuple(found[-1].shape)
        text = f"With {given(right, case)} your answer has the shape {yours}, not {wanted}."
        require(yours == wanted, "shape", text)
    names = names or (() if wanted else ("your answer",))
    judge_answers(found, cases, right, known, names=names, within=within)
    return answers


CUT = "The numbers are right, but no gradient flows back {}: the graph was cut."
FIRST_ORDER = (
    "The number is right and its gradient is not: the inner gradient was taken for a constant "
    "(with `torch.autograd.grad`, pass `create_graph=True`). This is first-order MAML."
)


def flows(answers: list, cases: list, leaves: Callable) -> list[Tensor]:
    """What flows back from right answers to leaves(case); NotYet when they are no tensors."""
    text = "The numbers are right, but they are not one tensor, through which a gradient flows "
    text += "back: stay with torch, and join tensors by `torch.stack`."
    require(all(isinstance(answer, Tensor) for answer in answers), "cut", text)
    return [pulled(answer, leaves(case)) for answer, case in zip(answers, cases)]


def judge_flow(
    answers: list, cases: list, right: Callable, known: dict, leaves: Callable, within: float = 1e-6
) -> None:
    """The numbers are right: so must be what flows back to leaves(case), each by itself."""

    def flow(fn: Callable, case: tuple) -> Tensor:
        return pulled(fn(*case), leaves(case))

    found = flows(answers, cases, leaves)
    judge_answers(found, cases, right, known, flow, ("the gradient",), within)


def given(fn: Callable, arguments: tuple) -> str:
    """The arguments in words: numbers as they are, tensors and dictionaries by their sizes."""
    words = []
    for name, value in zip(inspect.signature(fn).parameters, arguments):
        if isinstance(value, (int, float)):
            words.append(f"{name}={value}")
        elif isinstance(value, (Tensor, dict)):
            size = tuple(value.shape) if isinstance(value, Tensor) else f"of {len(value)} tensors"
            words.append(f"{name} {size}")
    return ", ".join(words)


def read_numbers(answer, name: str, one: bool = False) -> Tensor:
    """An answer as float64, or NotYet; of one number the shape is ()."""
    numbers = to_tensor(answer)
    plain = numbers is not None and not numbers.is_complex() and numbers.layout == torch.strided
    fits = plain and (numbers.numel() == 1 if one else numbers.ndim > 0 and numbers.numel() > 0)
    text = f"Your function returned {describe(answer)}; return {name}."
    require(fits and numbers.dtype != torch.bool, "return", text)
    text = "Your number is not finite." if one else f"A number in {name} is not finite."
    require(bool(numbers.isfinite().all()), "not finite", text)
    numbers = numbers.reshape(()) if one else numbers
    return numbers.double()


def read_table(answer, shape: tuple, words: str, symptoms: dict | None = None) -> Tensor:
    """An answer in float64 of this shape; symptoms: wrong shape -> (symptom, sentence)."""
    numbers = read_numbers(answer, words)
    found = tuple(numbers.shape)
    text = f"Your answer has the shape {found}; return {words} of the shape {shape}."
    symptom, why = (symptoms or {}).get(found, ("shape", ""))
    require(found == shape, symptom, f"{text} {why}".strip())
    return numbers


def read_truth(answer) -> bool:
    """True or False from a bool, a 0, a 1, or a tensor of one of them, or NotYet."""
    plain = to_tensor(answer)
    one = plain is not None and plain.numel() == 1 and not plain.is_floating_point()
    text = f"Your function returned {describe(answer)}; return `True` or `False`."
    require(one and plain.reshape(()).tolist() in (0, 1), "return", text)
    return bool(plain)


def read_row(answer, n: int, words: str) -> Tensor:
    """An answer of n numbers, in whichever form, in float64 (n,), or NotYet."""
    numbers = read_numbers(answer, words)
    text = f"Your function returned {describe(answer)}; return {words}."
    require(numbers.numel() == n, "return", text)
    return numbers.flatten()


def read_pair(answer, words: str) -> tuple:
    """An answer of two parts, as it came, or NotYet."""
    two = isinstance(answer, (tuple, list)) and len(answer) == 2
    require(two, "return", f"Your function returned {describe(answer)}; return {words}.")
    return tuple(answer)


def read_estimate(answer) -> Tensor:
    """The mean and the half width, also from the course's own `Estimate`."""
    pair = answer[:2] if isinstance(answer, tuple) and hasattr(answer, "half_width") else answer
    return read_row(pair, 2, "two numbers, mean and half width")


def read_params(answer, like: dict) -> dict[str, Tensor]:
    """An answer with the names and shapes of `like`, in its order, or NotYet."""
    text = f"Your function returned {describe(answer)}; return a dictionary like `params`."
    require(isinstance(answer, dict) and answer.keys() == like.keys(), "return", text)
    good = all(isinstance(v, Tensor) and v.shape == like[n].shape for n, v in answer.items())
    text = "Your dictionary does not hold tensors of the shapes of those in `params`."
    require(good, "shape", text)
    return {n: answer[n] for n in like}


def mutants_of(*known: dict) -> dict[str, Callable]:
    """symptom -> the function with this mistake, of one table or several."""
    return {symptom: fn for table in known for symptom, (fn, _) in table.items()}


# ---------------------------------------------------------------- what cases are made of


def seeded(seed: int) -> torch.Generator:
    """A source of random numbers of its own."""
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int) -> Tensor:
    """Normal numbers, float64, the same for the same seed."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def labels_of(counts: Sequence[int], generator: torch.Generator) -> Tensor:
    """counts[k] labels k, for every class k, in any order: int64 (points,)."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator)]


def images_of(labels: Tensor, seed: int, noise: float = 0.7) -> Tensor:
    """Images (points, 1, 3, 4) that look like others of their label, so that a net can tell."""
    centres = drawn(int(labels.max()) + 1, 1, 3, 4, seed=seed)
    return centres[labels] + noise * drawn(*labels.shape, 1, 3, 4, seed=seed + 1)


def bump(params: dict, points) -> Tensor:
    """The mean squared error of a small tanh network: its Hessian turns from place to place."""
    hidden = torch.tanh(points.x @ params["w1"] + params["b1"])
    return ((hidden @ params["w2"] - points.y) ** 2).mean()


def flat(params: dict) -> Tensor:
    """All numbers of a dictionary of tensors in one row, with their graph."""
    return torch.cat([p.flatten() for p in params.values()])
