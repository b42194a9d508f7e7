"""Claims: a sentence of the text with the condition that makes it true, judged on every run."""

import json
import os
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """The claims of the chapter that is running."""

    chapter: str = ""
    judged: dict[str, bool] = field(default_factory=dict)  # sentence -> could it be judged


LEDGER = Ledger()


def begin(chapter: str) -> None:
    """Start a chapter's ledger afresh."""
    LEDGER.__init__(chapter)


def claim(condition: bool, sentence: str, data=None, done: bool = True) -> None:
    """Print `sentence` if `condition` holds.

    data: the characters that the sentence speaks of. On generated alphabets (`data.real` is False)
    the sentence is printed all the same, so that outputs agree, and counted as not judged.
    done: False when the run that the sentence speaks of was interrupted; then it waits.
    Raises AssertionError when a judged claim does not hold.
    """
    if not done:
        print(f"claim, to be judged when the run above is finished: {sentence}")
        return
    judged = data is None or data.real
    if judged:
        assert bool(condition), f"This claim does not hold here: {sentence}"
    LEDGER.judged[sentence] = judged
    record(sentence, judged)
    print(f"claim: {sentence}")


def record(sentence: str, judged: bool) -> None:
    """Append one JSON line to the file named by $MLCOURSE_CLAIMS: how CI counts the claims."""
    if path := os.environ.get("MLCOURSE_CLAIMS"):
        row = {"chapter": LEDGER.chapter, "sentence": sentence, "judged": judged}
        with open(path, "a", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def tally() -> str:
    """How many claims of this chapter held, and how many could not be judged, in one line."""
    held = sum(LEDGER.judged.values())
    line = f"{held} claims were judged on this machine and held"
    if rest := len(LEDGER.judged) - held:
        line += f"; {rest} about Omniglot were not judged (generated alphabets)"
    return line + "."
