"""Answers of people who have not read a check, and the two tests that a chapter makes of them."""

import pytest


def tests_of(check, right, wrong):
    """The tests that every right answer passes and every wrong one is turned away.

    right: (exercise, function); wrong: (exercise, function, symptom), where None stands for any
    symptom, and for an error of the answer's own.
    """

    @pytest.mark.parametrize("name, fn", right)
    def correct(name, fn):
        card = getattr(check, name)(fn)
        assert card.outcome == "correct", card.text

    @pytest.mark.parametrize("name, fn, symptom", wrong)
    def turned_away(name, fn, symptom):
        card = getattr(check, name)(fn)
        assert card.outcome in ("not yet", "your code raised"), card.text
        assert card.symptom not in ("unreadable", "not a function"), card.text
        assert symptom in (None, card.symptom), card.text

    return correct, turned_away
