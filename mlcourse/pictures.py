"""Pictures: one palette, one figure style, and every picture carries its description in words."""

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as W
import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, which colour-blind readers can tell apart; one meaning each.
COLOR = {
    "support": "#0072B2",
    "query": "#E69F00",
    "before": "#7F7F7F",
    "after": "#D55E00",
    "truth": "#000000",
    "you": "#CC79A7",
    "pixels": "#009E73",
    "chance": "#56B4E9",
}
INK = {**COLOR, "query": "#8A5A00"}  # of words in these colours, dark enough for a projector
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "legend.frameon": False,
    "image.cmap": "gray_r",
    "lines.linewidth": 2,
}
ABOVE = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "fontsize": 9}  # a legend's place
LEGEND = {**ABOVE, "handlelength": 1.6}
SHARPNESS = 1.25  # pixels drawn for each pixel shown, for projectors and dense screens


def moving_interval(axes: Axes, colour: str, upright: bool = False) -> Callable:
    """A dot on a bar, for a mean and its interval; returns `move(low, mean, high, at)`.

    upright: the interval is vertical, above `at` on the x axis. A mean of None hides the dot.
    """
    (bar,) = axes.plot([], [], color=colour, lw=4, animated=True)
    (dot,) = axes.plot([], [], "o", color=colour, ms=10, clip_on=False, animated=True)

    def move(low: float, mean: float | None, high: float, at: float) -> None:
        points = ([low, high], [at, at]), ([], []) if mean is None else ([mean], [at])
        for line, (along, across) in zip((bar, dot), points):
            line.set_data(*((across, along) if upright else (along, across)))

    return move


def interval(axes: Axes, e, at: float, colour: str, upright: bool = False, **style) -> None:
    """A dot on a bar that stays: an `Estimate` of a part, in per cent; style: the dot's, its label.

    upright: the interval is vertical, above `at` on the x axis.
    """
    bar, dot = {"lw": 4}, {"ls": "", "marker": "o", "ms": 9, **style}
    for values, look in (([e.low, e.high], bar), ([e.mean], dot)):
        along, across = [100 * v for v in values], [at] * len(values)
        axes.plot(*((across, along) if upright else (along, across)), color=colour, **look)


def interval_rows(axes: Axes, colour: str, rows: int) -> Callable:
    """Estimates of parts below each other, in per cent; returns `update(estimates)`.

    Above each stands its number, with a sign where the axis reaches below zero. A row is empty
    whose estimate is None or lacks; what is off the scale stands at its end.
    """
    moves = [moving_interval(axes, colour) for _ in range(rows)]
    style = {"ha": "center", "fontsize": 9, "animated": True}
    style["bbox"] = {"fc": "white", "ec": "none", "pad": 0.5}  # the zero line ends at a number
    texts = [axes.text(0, i - 0.28, "", **style) for i in range(rows)]

    def update(estimates: Sequence) -> None:
        low, high = axes.get_xlim()
        room, sign = (high - low) / 8, "+" if low < 0 else ""
        for i, (move, text, e) in enumerate(zip(moves, texts, [*estimates, *[None] * rows])):
            if e is None:
                move(np.nan, None, np.nan, i)
                text.set_text("")
                continue
            ends = [min(max(100 * v, low), high) for v in (e.low, e.mean, e.high)]
            move(*ends, i)
            place = min(max(ends[1], low + room), high - room)
            text.set(x=place, text=e.percent(sign=sign).replace("-", "−"))

    return update


def use_style() -> None:
    """Make the course's figure style the default of this process."""
    matplotlib.rcParams.update(STYLE)


def figure(width: float = 8.0, height: float = 3.2) -> Figure:
    """A figure (inches of 100 shown pixels) that is not pyplot's: any thread may draw it."""
    fig = Figure(figsize=(width, height), dpi=100 * SHARPNESS, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def image(fig: Figure) -> Image.Image:
    """Draw a figure, RGB."""
    fig.canvas.draw()
    return grab(fig)


def grab(fig: Figure) -> Image.Image:
    """What the figure's canvas holds now, RGB."""
    size = fig.canvas.get_width_height()
    return Image.frombuffer("RGBA", size, fig.canvas.buffer_rgba()).convert("RGB")


class Canvas:
    """A figure drawn again and again: what moves is drawn over a kept background.

    scene: builds the axes on an empty figure, the moving artists with `animated=True`, and returns
    `update(data)`, which moves them and returns the picture in words. Everything that is not
    animated is drawn once, and again when `update` changes the limits of an axis.
    """

    def __init__(self, scene: Callable[[Figure], Callable[[Any], str]], size: tuple[float, float]):
        self.fig = figure(*size)
        self.update = scene(self.fig)
        self.moving = sorted(self.fig.findobj(lambda a: a.get_animated()), key=lambda a: a.zorder)
        self.limits = self.background = None

    def draw(self, data: Any) -> tuple[Image.Image, str]:
        """The picture of `data` and its words."""
        words = self.update(data)
        limits = [(*axes.get_xlim(), *axes.get_ylim()) for axes in self.fig.axes]
        if limits != self.limits:
            self.fig.canvas.draw()
            self.fig.set_layout_engine("none")
            self.limits, self.background = limits, self.fig.canvas.copy_from_bbox(self.fig.bbox)
        self.fig.canvas.restore_region(self.background)
        for artist in self.moving:
            if artist.get_visible():
                self.fig.draw_artist(artist)
        return grab(self.fig), words


class Backdrop(Artist):
    """A picture behind everything else in some axes, drawn as it is: quicker than their `imshow`.

    `paint(wide, high)` of a subclass gives its pixels, RGBA, rows from below.
    """

    def __init__(self, axes: Axes):
        super().__init__()
        self.set(zorder=0, animated=True)
        axes.add_artist(self)

    def draw(self, renderer) -> None:
        """Fill the axes."""
        x, y, wide, high = (round(v) for v in self.axes.bbox.bounds)
        renderer.draw_image(renderer.new_gc(), x, y, self.paint(wide, high))


def palette() -> Image.Image:
    """Greys, and every colour of the course fading to white: all that a picture needs."""
    greys = [*np.linspace(0, 240, 32), 255]  # nothing close to white, or Pillow tints the page
    shades = [np.array(greys)[:, None].repeat(3, 1)]
    for colour in sorted({*COLOR.values(), *INK.values()}):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        shades.append(255 - np.linspace(1, 0.2, 16)[:, None] * (255 - rgb))
    table = Image.new("P", (1, 1))
    table.putpalette(np.concatenate(shades).round().astype("u1").tobytes())
    return table


PALETTE = palette()


def png(picture: Image.Image, small: bool = False) -> bytes:
    """PNG bytes in the course's palette: fast for a live lab, or small for a saved notebook."""
    out = io.BytesIO()
    picture = picture.quantize(palette=PALETTE, dither=Image.Dither.NONE)
    picture.save(out, "png", optimize=small, compress_level=1)
    return out.getvalue()


def img_tag(picture: Image.Image, alt: str) -> str:
    """HTML for a picture that fits its cell and reads itself aloud."""
    width = round(picture.width / SHARPNESS)
    source = base64.b64encode(png(picture)).decode()
    return (
        '<div style="overflow-x:auto">'
        f'<img alt="{html.escape(alt, True)}" src="data:image/png;base64,{source}" '
        f'style="width:min({width}px, max(100%, 520px));max-width:none;height:auto"></div>'
    )


def panels(parts: Sequence[Callable], words: Callable[[Any], str]) -> Callable[[Any], str]:
    """The update of a scene that is made of several: each part draws the data, `words` says it."""

    def update(data: Any) -> str:
        for part in parts:
            part(data)
        return words(data)

    return update


def told(loss: float) -> str:
    """A loss in words, also one that is past all bounds."""
    return f"{loss:.2g}" if loss < 1000 else "over 1000"


def show_widget(widget: W.Widget, picture: Image.Image | None = None, words: str = "") -> None:
    """Show a widget where a kernel answers, and its picture and words wherever else it is read.

    One path for ipywidgets 7 and 8; GitHub, nbconvert and CI see the PNG and the text. Without
    picture and words nothing is left in a saved notebook.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    bundle = {"application/vnd.jupyter.widget-view+json": view}
    if words:
        bundle["text/plain"] = words
    if picture is not None:
        bundle["image/png"] = base64.b64encode(png(picture, small=True)).decode()
    display(bundle, metadata={"image/png": {"alt": words}} if picture else {}, raw=True)


def show_picture(picture: Image.Image, words: str) -> None:
    """Show a drawn picture with its description."""
    show_widget(W.HTML(img_tag(picture, words)), picture, words)


def show(fig: Figure, words: str) -> None:
    """Show a finished figure with its description."""
    show_picture(image(fig), words)


def sheet(drawings: np.ndarray, gap: int = 2) -> np.ndarray:
    """Lay drawings (rows, columns, height, width) out as one picture with white gaps between."""
    rows, columns, height, width = drawings.shape
    page = np.zeros((rows, height + gap, columns, width + gap), drawings.dtype)
    page[:, :height, :, :width] = drawings.transpose(0, 2, 1, 3)
    return page.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap]
