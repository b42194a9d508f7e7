"""Predict first: a reader's guess, kept in a local file and overlaid on the result."""

import contextlib
import html

import ipywidgets as W

from .. import pictures, store
from .engine import NameControls, slider

FILE = "predictions.json"


def guess(name: str) -> float | None:
    """The committed guess of this name, or None when there is none."""
    with contextlib.suppress(OSError):  # a file that cannot be read is as good as none
        return store.load_json(FILE).get(name)
    return None


class Predict(W.VBox):
    """A question with a slider and a button that commits the answer."""

    def __init__(self, name: str, question: str, low, high, step, value, unit: str = ""):
        self.name, self.question, self.unit = name, question, unit
        self.slider = slider("your guess", low, high, step, value)
        self.button = W.Button(description="commit", tooltip="keep this guess for later")
        self.button.on_click(lambda _: self.commit())
        self.says = W.HTML()
        ask = W.HTML(f"<p style='margin:2px 0;line-height:1.4'>{html.escape(question)}</p>")
        row = W.HBox([self.slider, self.button], layout=W.Layout(flex_flow="row wrap"))
        super().__init__([ask, row, self.says, NameControls()])
        self.add_class("mlcourse-lab")
        if (kept := guess(name)) is not None:
            self.slider.value = kept
            self.tell(kept)

    def commit(self) -> None:
        """Keep the slider's value."""
        value = self.slider.value
        kept = store.update_json(FILE, lambda guesses: guesses.update({self.name: value}))
        self.tell(value, "" if kept else "It could not be saved, so it lasts as long as this page.")

    def tell(self, kept, trouble: str = "") -> None:
        """Say what was kept; the button then changes one's mind."""
        self.button.description = "change"
        text = f"You committed to {kept:g}{self.unit}. It will be drawn on the result. {trouble}"
        self.says.value = f"<p role='status' style='margin:2px 0'>{html.escape(text)}</p>"

    def _ipython_display_(self, **_) -> None:
        pictures.show_widget(self, None, f"Your prediction, please. {self.question}")


def predict(name: str, question: str, low, high, step, value, unit: str = "") -> Predict:
    """Ask for a guess before the result is shown; `guess(name)` gives it back later.

    low, high, step, value: of the slider; unit: printed behind the number.
    """
    return Predict(name, question, low, high, step, value, unit)
