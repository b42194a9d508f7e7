"""A lab: a pure function from slider values to data, and a scene that draws the data.

The sliders, the presets, the film strip in the saved notebook, the alt text and the tests all call
these two and nothing else.
"""

import html
import inspect
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import anywidget
import ipywidgets as W
import matplotlib
from IPython import get_ipython
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from .. import pictures

LIVE = "train this one live"
SLOW = 0.1  # seconds; slower than this three times in a row and the lab waits for the end of a drag


class Preset(NamedTuple):
    """A button: slider values, a sentence that says what will be seen, and the test of it."""

    values: dict[str, Any]
    says: str
    holds: Callable[[Any], bool]


class NameControls(anywidget.AnyWidget):
    """Invisible: names every slider of its lab for screen readers and keeps its keys in the lab."""

    _esm = """
    export default { render({ el }) {
      const nameAll = lab => {
        for (const row of lab.querySelectorAll(".widget-slider, .slider-container")) {
          const box = row.closest(".widget-inline-hbox, .widget-hslider, .widget-slider");
          const readout = box?.querySelector(".widget-readout");
          const label = box?.querySelector(".widget-label")?.textContent;
          for (const handle of row.querySelectorAll("[role=slider], .ui-slider-handle")) {
            if (handle.dataset.named || !readout || !label) continue;
            handle.dataset.named = "1";
            handle.setAttribute("aria-label", label);
            handle.setAttribute("data-lm-suppress-shortcuts", "true");
            const tell = () => handle.setAttribute("aria-valuetext", readout.textContent);
            new MutationObserver(tell).observe(
              readout, { childList: true, characterData: true, subtree: true });
            tell();
          }
          if (readout?.isContentEditable && row.closest(".mlcourse-stops"))
            readout.contentEditable = "false";
        }
      };
      const begin = () => {
        const lab = el.closest(".mlcourse-lab");
        if (!lab) return setTimeout(begin, 100);  // not on the page yet
        lab.setAttribute("role", "group");
        lab.addEventListener("keydown", e => e.stopPropagation());
        new MutationObserver(() => nameAll(lab)).observe(lab, {
          childList: true, subtree: true, attributeFilter: ["class", "contenteditable"] });
        nameAll(lab);
      };
      el.style.display = "none";
      begin();
    } };
    """
    _css = """
    .mlcourse-lab .noUi-handle:focus-visible, .mlcourse-lab button:focus-visible,
    .mlcourse-lab .ui-slider-handle:focus-visible {
      outline: 3px solid #0072B2 !important; outline-offset: 2px; }
    .mlcourse-stops .widget-readout {
      max-width: none; width: auto; overflow: visible; white-space: nowrap; }
    .mlcourse-lab { border-left: 4px solid #0072B2; padding-left: 8px; }
    """

    def __repr__(self) -> str:
        return "NameControls()"


def slider(label: str, low, high, step, value, form: str = "") -> W.Widget:
    """A slider labelled with symbol and word, of whole numbers when its step is one."""
    kind, form = (W.IntSlider, "d") if isinstance(step, int) else (W.FloatSlider, form or ".2f")
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format=form,
        style={"description_width": "150px"},
        layout=W.Layout(width="370px", margin="0 8px 0 0"),
    )


def stops(label: str, options: Sequence[float], value: float) -> W.SelectionSlider:
    """A slider over a few values, those that were recorded, say."""
    return named_stops(label, {f"{option:g}": option for option in options}, value)


def named_stops(label: str, names: dict[str, Any] | Sequence[str], value: Any) -> W.SelectionSlider:
    """A slider over named choices: {name: value}, or names that are their own values."""
    options = [*names.items()] if isinstance(names, dict) else [(name, name) for name in names]
    longest = max(len(name) for name, _ in options)
    control = W.SelectionSlider(
        options=options,
        value=value,
        description=label,
        style={"description_width": "150px"},
        layout=W.Layout(width=f"{max(370, 290 + 7 * longest)}px", margin="0 8px 0 0"),
    )
    control.add_class("mlcourse-stops")  # its readout cannot be written to
    return control


def ends(control: W.Widget) -> tuple[float, float]:
    """The lowest and the highest value of a slider."""
    if isinstance(control, W.SelectionSlider):
        return control.options[0][1], control.options[-1][1]
    return control.min, control.max


def on_main(work: Callable[[], None]) -> None:
    """Run `work` in the kernel's main thread, between cells.

    JupyterLab >= 4.4 with ipykernel >= 7 calls widget callbacks in a side thread.
    """
    loop = getattr(getattr(get_ipython(), "kernel", None), "io_loop", None)
    if threading.current_thread() is threading.main_thread() or loop is None:
        work()
    else:
        loop.add_callback(work)


class Lab(W.VBox):
    """Sliders over `data(**values)`, drawn by `scene(fig)(data)`, which returns the alt text.

    scene: see `pictures.Canvas`. controls: {argument of `data`: widget}; presets: {button: Preset};
    size: inches of the figure.
    A `data` function that takes a `stop` argument may be slow: it runs in a worker thread, is told
    by `stop()` that newer values wait or that the reader pressed Stop, and may return None then.
    live: what "train this one live" does: a generator of results at the sliders' values, drawn as
    they come, in a worker thread, until it ends, a slider moves or the reader presses Stop.
    """

    def __init__(
        self,
        title: str,
        data: Callable[..., Any],
        scene: Callable[[Figure], Callable[[Any], str]],
        controls: dict[str, W.Widget],
        presets: dict[str, Preset],
        size: tuple[float, float] = (8.0, 3.2),
        live: Callable[..., Iterator[Any]] | None = None,
    ):
        self.title, self.data, self.live = title, data, live
        self.controls, self.presets = controls, presets
        self.slow = "stop" in inspect.signature(data).parameters
        self.defaults = {name: control.value for name, control in controls.items()}
        self.canvas = pictures.Canvas(scene, size)
        self.picture, self.says = W.HTML(), W.HTML()
        self.waiting, self.quiet, self.lates, self.request = False, False, 0, 0
        self.result, self.alt = None, ""
        super().__init__([*self.rows(), self.says, self.picture, NameControls()])
        self.add_class("mlcourse-lab")
        for control in controls.values():
            control.observe(self.changed, "value")
        self.attempt(lambda: self.finish(self.request, self.compute(self.values())))

    def rows(self) -> list[W.Widget]:
        """The sliders, then the buttons: presets, reset, and stop where work may be long."""
        wrap = W.Layout(flex_flow="row wrap", align_items="center")
        buttons = [self.button(name, preset) for name, preset in self.presets.items()]
        reset = W.Button(description="reset", tooltip="back to the values at the start")
        reset.on_click(lambda _: self.set(self.defaults, ""))
        buttons.append(reset)
        if self.live:
            live = W.Button(description=LIVE, tooltip="train at these values now, and watch")
            live.layout.width = "auto"
            live.on_click(lambda _: on_main(self.train))
            buttons.append(live)
        if self.slow or self.live:
            stop = W.Button(description="stop", tooltip="stop the work that is going on")
            stop.on_click(lambda _: self.stop())
            buttons.append(stop)
        return [W.HBox([*self.controls.values()], layout=wrap), W.HBox(buttons, layout=wrap)]

    def button(self, name: str, preset: Preset) -> W.Button:
        """A preset's button; pressing it moves the sliders and says what will be seen."""
        button = W.Button(
            description=name,
            tooltip=preset.says,
            button_style="info",
            layout=W.Layout(width="auto"),
        )
        button.on_click(lambda _: self.set(preset.values, preset.says))
        return button

    def values(self) -> dict[str, Any]:
        """The sliders' values, by argument name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, values: dict[str, Any], says: str = "") -> None:
        """Move several sliders and redraw once; sliders not named go to their start values."""
        self.quiet = True
        for name, value in {**self.defaults, **values}.items():
            self.controls[name].value = value
        self.quiet = False
        self.say(says)
        self.changed()

    def say(self, words: str, role: str = "status") -> None:
        """A sentence above the picture, read out by screen readers."""
        colour = ";color:#b00020;font-weight:bold" if role == "alert" else ""
        self.says.value = (
            f'<p role="{role}" style="margin:2px 0;line-height:1.4;max-width:50em{colour}">'
            f"{html.escape(words)}</p>"
            if words
            else ""
        )

    def changed(self, change=None) -> None:
        """Redraw soon; all moves that come until then are one.

        A slider that was set answers with its own rounding of the value, which is no move.
        """
        if change is not None and rounding(change["old"], change["new"]):
            return
        if change is not None and not self.quiet:
            self.say("")
        if not (self.quiet or self.waiting):
            self.waiting = True
            on_main(self.respond)

    def stop(self) -> None:
        """Tell the work that is going on to end."""
        self.request += 1
        self.say("Stopped.")

    def respond(self) -> None:
        """Answer the sliders as they stand now; newer answers overtake older ones."""
        self.waiting = False
        self.request += 1
        mine, values = self.request, self.values()
        if not self.slow:
            return self.attempt(lambda: self.finish(mine, self.data(**values)))
        self.say("computing …")
        threading.Thread(target=self.work, args=(mine, values), daemon=True).start()

    def work(self, mine: int, values: dict[str, Any]) -> None:
        """The worker's side of a slow answer."""

        def compute():
            result = self.data(**values, stop=lambda: self.request != mine)
            on_main(lambda: self.attempt(lambda: self.finish(mine, result)))

        self.attempt(compute)

    def train(self) -> None:
        """Begin the live run at the sliders' values."""
        self.request += 1
        self.say("training …")
        arguments = self.request, self.values()
        threading.Thread(
            target=self.attempt, args=(lambda: self.watch(*arguments),), daemon=True
        ).start()

    def watch(self, mine: int, values: dict[str, Any]) -> None:
        """The worker's side of a live run: every result is drawn, unless one is still waiting."""
        free = threading.Semaphore()

        def show(result: Any) -> None:
            self.attempt(lambda: self.draw(mine, result))
            free.release()

        for result in self.live(**values):
            if self.request != mine:
                return
            if free.acquire(blocking=False):
                on_main(lambda result=result: show(result))
        on_main(lambda: self.attempt(lambda: self.ended(mine, result)))

    def ended(self, mine: int, result: Any) -> None:
        """The last picture of a live run, and that it was the last."""
        self.draw(mine, result)
        if mine == self.request:
            self.say("Trained live, here and now.")

    def finish(self, mine: int, result: Any) -> None:
        """Draw an answer, unless a newer request came meanwhile or the work was stopped."""
        if mine != self.request or result is None:
            return
        began = time.perf_counter()
        self.draw(mine, result)
        if self.slow:
            self.say("")
        self.lates = self.lates + 1 if time.perf_counter() - began > SLOW else 0
        if self.lates == 3:
            for control in self.controls.values():
                if hasattr(control, "continuous_update"):
                    control.continuous_update = False

    def draw(self, mine: int, result: Any) -> None:
        """Show a result, if nothing newer was asked for."""
        if mine == self.request:
            drawing, self.alt = self.canvas.draw(result)
            self.result = result
            self.picture.value = pictures.img_tag(drawing, self.alt)

    def attempt(self, work: Callable[[], None]) -> None:
        """Do `work`; an error is told in the lab, where the reader looks, and the picture stays."""
        try:
            work()
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            message = f"{kind}{error}"
            on_main(lambda: self.say(message, role="alert"))

    def film_strip(self) -> tuple[Image.Image, str]:
        """The lab without a kernel: one labelled frame for the start and for each preset."""
        frames, words = [], []
        settings = {name: preset.values for name, preset in self.presets.items()}
        if all({**self.defaults, **values} != self.defaults for values in settings.values()):
            settings = {"start": {}, **settings}
        for name, values in settings.items():
            drawing, alt = self.canvas.draw(self.compute({**self.defaults, **values}))
            frames.append((f"{name}:  {self.settings(values)}", drawing))
            words.append(f"[{name}] {alt}")
        if self.result is not None:
            self.canvas.draw(self.result)
        return strip(frames), f"Lab “{self.title}”. " + " ".join(words)

    def compute(self, values: dict[str, Any]) -> Any:
        """`data` at these values, here and now."""
        return self.data(**values, **({"stop": lambda: False} if self.slow else {}))

    def settings(self, values: dict[str, Any]) -> str:
        """Slider values in words, those that differ from the start (all of them for the start)."""
        shown = values or self.defaults
        return ", ".join(
            f"{self.controls[k].description.split('  ')[0]} = {reading(self.controls[k], v)}"
            for k, v in shown.items()
        )

    def _ipython_display_(self, **_) -> None:
        pictures.show_widget(self, *self.film_strip())


def rounding(old: Any, new: Any) -> bool:
    """Whether two values are one number but for its last digits."""
    return isinstance(new, float) and math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-12)


def reading(control: W.Widget, value: Any) -> str:
    """A value as its slider says it."""
    names = {v: name for name, v in getattr(control, "options", ())}
    return names.get(value) or f"{value:.4g}"


def strip(frames: list[tuple[str, Image.Image]]) -> Image.Image:
    """Labelled frames in two columns."""
    wide, high = frames[0][1].size
    bar, gap = 28, 12
    rows = -(-len(frames) // 2)
    page = Image.new("RGB", (2 * wide + gap, rows * (high + bar + gap)), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 17)
    for i, (label, frame) in enumerate(frames):
        corner = (i % 2) * (wide + gap), (i // 2) * (high + bar + gap)
        pen.rectangle([*corner, corner[0] + wide, corner[1] + bar], fill="#e8eef4")
        pen.text((corner[0] + 8, corner[1] + 4), label, fill="black", font=font)
        page.paste(frame, (corner[0], corner[1] + bar))
    return page.resize((page.width * 2 // 3, page.height * 2 // 3), Image.Resampling.LANCZOS)
