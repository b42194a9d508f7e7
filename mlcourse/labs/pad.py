"""Draw your own characters and a query: a prototypical network answers after every stroke."""

import base64
import string
from collections.abc import Callable
from typing import Any, NamedTuple

import anywidget
import ipywidgets as W
import numpy as np
import torch
import traitlets as T
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from .. import pictures
from ..learners import networks, protonet
from ..pictures import COLOR, INK
from ..tasks import Characters, Episode
from ..tasks.omniglot import SIDE, cell_means
from .ch01 import Game, Player
from .engine import Lab, Preset, slider

BRUSH = 5.0  # pixels: Omniglot's strokes are as thick as those of a round brush of this width
EXTENT = 63.0  # pixels: the longer side of a drawing in Omniglot, median, from middle to middle
WAYS, SHOTS, POOL = 5, 2, 16  # at most; and drawings a class that supports are dealt from
QUERY = "?"  # the name of its cell; the support drawings are A1, A2, B1, …
Strokes = list[list[float]]  # each x, y, x, y, … on Omniglot's grid of 105 × 105

# --- from strokes to what the network sees --------------------------------------------------------


def bitmap(strokes: Strokes) -> np.ndarray:
    """Strokes drawn with Omniglot's brush: uint8 (105, 105), ink 255.

    What leaves the page is cut off. Raises ValueError for what is not a list of strokes.
    """
    page, near = np.zeros((SIDE, SIDE), np.uint8), np.arange(-3, 4)
    for stroke in strokes:
        x, y = (path[:, None, None] for path in dense(stroke))
        column, row = np.floor(x).astype(int) + near, np.floor(y).astype(int) + near[:, None]
        inked = np.hypot(column + 0.5 - x, row + 0.5 - y) <= BRUSH / 2
        column, row = np.broadcast_arrays(column, row)
        inked &= (np.minimum(column, row) >= 0) & (np.maximum(column, row) < SIDE)
        page[row[inked], column[inked]] = 255
    return page


def corners(stroke: list[float]) -> np.ndarray:
    """A stroke's points, (n, 2); ValueError unless it is numbers in pairs."""
    try:
        points = np.array(stroke, float).reshape(-1, 2)
    except (TypeError, ValueError):
        points = np.full((1, 2), np.nan)
    if not (len(points) and np.abs(points).max() < 10 * SIDE):
        raise ValueError(f"a stroke is a list of numbers x, y, x, y, …, not {str(stroke)[:60]}")
    return points


def dense(stroke: list[float]) -> np.ndarray:
    """Places along a stroke, (2, n), at most half a pixel apart."""
    points = corners(stroke)
    along = np.r_[0, np.hypot(*np.diff(points, axis=0).T).cumsum()]
    places = np.linspace(0, along[-1], int(2 * along[-1]) + 2)
    return np.stack([np.interp(places, along, side) for side in points.T])


def placed(strokes: Strokes) -> Strokes:
    """The drawing in the middle of the page, as large as Omniglot's; at most three times enlarged.

    Omniglot's pictures are not placed so and need not be: 150 5-way 1-shot tasks gave 97.3 ± 0.9 %
    as they are and 97.0 ± 0.9 % placed. It mends what may go wrong on a pad: a query of 0.7 of its
    size gave 85.0 ± 1.9 % as drawn and 96.1 ± 1.0 % placed, one that was 15 pixels off 93.8 ± 1.3 %
    and, centred, 97.0 ± 0.9 % (a ProtoNet of 32 filters after 1200 steps; evaluation alphabets).
    """
    if not strokes:
        return []
    parts = [corners(stroke) for stroke in strokes]
    low, high = np.concatenate(parts).min(0), np.concatenate(parts).max(0)
    zoom = EXTENT / max(*(high - low), EXTENT / 3)
    return [((p - (low + high) / 2) * zoom + SIDE / 2).ravel().tolist() for p in parts]


def seen(page: np.ndarray, size: int) -> Tensor:
    """What the network sees of a page of ink: float (size, size), by Omniglot's own path."""
    return torch.from_numpy(cell_means(page, size)[0].copy()) / 255


# --- the answer -----------------------------------------------------------------------------------


class Answer(NamedTuple):
    """An episode drawn by hand, or dealt, and what the network makes of it.

    query: (size, size); support: (n_way, k_shot, size, size), all zero where nothing is drawn.
    features: (1 + n_way k_shot, d), the query's first; prototypes: (n_way, d), nan without drawing.
    distances, probabilities: (n_way,), nan where there is nothing to compare.
    truth: the query's class when both were dealt, else None.
    """

    query: Tensor
    support: Tensor
    features: Tensor
    prototypes: Tensor
    distances: Tensor
    probabilities: Tensor
    truth: int | None

    @property
    def nearest(self) -> int | None:
        """The class of the nearest prototype, None where there is nothing to compare."""
        known = ~self.distances.isnan()
        return int(self.distances.nan_to_num(torch.inf).argmin()) if known.any() else None


def names(n_way: int, k_shot: int) -> list[str]:
    """The support cells, class by class: A1, A2, B1, …"""
    return [f"{c}{k + 1}" for c in string.ascii_uppercase[:n_way] for k in range(k_shot)]


def dealt(pool: Characters, number: int) -> tuple[Tensor, Tensor]:
    """Drawings of five characters: (5, 16, size, size) for supports, (5, 4, …) for queries."""
    rest = pool.images.shape[1] - POOL
    points = pool.sample(1, POOL, rest, torch.Generator().manual_seed(number), WAYS)
    parts = [x[0, y[0].argsort(stable=True), 0].unflatten(0, (WAYS, -1)) for x, y in points]
    return parts[0], parts[1]


def table(
    pool: Characters,
    n_way: int,
    k_shot: int,
    number: int,
    drawings: dict[str, Any],
    place: Callable[[Strokes], Strokes] = placed,
) -> tuple[dict[str, Tensor], int | None]:
    """What is on the table: {cell: (size, size)}, the query first; and the query's class if dealt.

    drawings: {cell: strokes, or the number of a dealt drawing}; a cell that is not in it has the
    first of its dealt drawings. place: what is done to strokes before they are inked.
    """
    supports, queries = dealt(pool, number)
    picks = {cell: drawings.get(cell, 0) for cell in [QUERY, *names(n_way, k_shot)]}
    images, truth = {}, None
    for cell, pick in picks.items():
        if not isinstance(pick, int):
            images[cell] = seen(bitmap(place(pick)), pool.images.shape[-1])
        elif cell == QUERY:
            truth = (number + pick) % n_way
            images[cell] = queries[truth, pick // n_way % queries.shape[1]]
        else:
            row, shot = string.ascii_uppercase.index(cell[0]), int(cell[1]) - 1
            images[cell] = supports[row, (SHOTS * pick + shot) % POOL]
    own = truth is not None and any(
        not isinstance(picks[c], int) for c in names(n_way, k_shot)[truth * k_shot :][:k_shot]
    )
    return images, None if own else truth


def answer(
    net: nn.Module, images: dict[str, Tensor], k_shot: int, truth: int | None, temperature: float
) -> Answer:
    """Prototypes of the classes that have a drawing, and the query's distances to them."""
    stack = torch.stack([*images.values()])
    features = networks.features(net, stack[None, :, None])[0].double()
    n_way = (len(stack) - 1) // k_shot
    labels, inked = torch.arange(n_way).repeat_interleave(k_shot), stack.flatten(1).any(1)
    prototypes = protonet.prototypes(features[1:][inked[1:]], labels[inked[1:]], n_way)
    known = ~prototypes.isnan().any(1) & inked[0]
    distances = protonet.squared(features[:1], prototypes)[0].where(known, torch.nan)
    logits = (-distances / temperature).where(known, -torch.inf)
    return Answer(
        query=stack[0],
        support=stack[1:].unflatten(0, (n_way, k_shot)),
        features=features,
        prototypes=prototypes,
        distances=distances,
        probabilities=logits.softmax(0).where(known, torch.nan),
        truth=truth,
    )


# --- the picture ----------------------------------------------------------------------------------

WIDE, HIGH = 840, 292  # shown pixels, as everything in the scene; the pad is as wide
COLUMN = WIDE / (1 + WAYS)
DOTS = 84  # drawn pixels a side: three for each of 28, four of 20, ten of 8
FLOOR, TALL, SEEN, FEATURES = 86, 46, 130, 220  # the bars' base and height; tops
CAPTIONS = {
    9: "probability of each class, and the query's squared distance to its prototype",
    118: "what the network sees",
    208: "its features, in grey; for a class their mean over its drawings: the prototype",
}


class Page(Artist):
    """Pixels (DOTS, …, RGBA) drawn as they are, a tenth of the time that `imshow` takes."""

    def __init__(self, top: float):
        super().__init__()
        self.bottom, self.pixels = round((HIGH - top) * pictures.SHARPNESS) - DOTS, None
        self.set_animated(True)

    def draw(self, renderer) -> None:
        """Put the pixels on the canvas."""
        renderer.draw_image(renderer.new_gc(), 0, self.bottom, self.pixels[::-1])


def pad_scene(fig: Figure):
    """A column for the query and one for each class, under the columns of the pad."""
    fig.set_layout_engine("none")
    axes = fig.add_axes((0, 0, 1, 1))
    axes.axis("off")
    pages = [fig.add_artist(Page(top)) for top in (SEEN, FEATURES)]
    axes.set(xlim=(0, WIDE), ylim=(HIGH, 0), aspect="auto")
    for y, text in CAPTIONS.items():
        axes.text(6, y, text, fontsize=8.5, color="#555555", va="center")
        axes.plot([6, WIDE - 6], [y + 8] * 2, color="#dddddd", lw=0.8)
    columns = [column_scene(axes, i) for i in range(WAYS)]
    style = {"ha": "center", "animated": True}
    verdict = axes.text(COLUMN / 2, 62, "", fontsize=14, weight="bold", color=INK["query"], **style)
    truth = axes.text(COLUMN / 2, FLOOR, "", **style)

    def update(data: Answer) -> str:
        for page, pixels in zip(pages, drawings(data)):
            page.pixels = pixels
        for column in columns:
            column(data)
        told = data.nearest is not None
        verdict.set_text(f"nearest: {letter(data.nearest)}" if told else "")
        truth.set_text(f"it is {letter(data.truth)}" if told and data.truth is not None else "")
        return words(data)

    return update


def drawings(data: Answer) -> np.ndarray:
    """All drawings, and their features, as two pictures of drawn pixels, (2, DOTS, …, RGBA)."""
    pages = np.full((2, DOTS, round(WIDE * pictures.SHARPNESS), 4), 255, np.uint8)
    k_shot, brightest = data.support.shape[1], float(data.features.max()) or 1.0
    put(pages[0], data.query, 0.5)
    if data.query.any():
        put(pages[1], tile(data.features[0]) / brightest, 0.5)
    for i, shots in enumerate(data.support):
        for k, drawing in enumerate(shots):
            put(pages[0], drawing, i + 1 + (k + 0.5) / k_shot)
        put(pages[1], tile(data.prototypes[i]).nan_to_num() / brightest, i + 1.5)
    return pages


def put(page: np.ndarray, pixels: Tensor, column: float) -> None:
    """Write grey values, 0 (white) to 1, as large as fits, with their middle at this column."""
    zoom = max(1, DOTS // max(pixels.shape))
    grey = (255 * (1 - pixels.clamp(0, 1))).round().byte().numpy()
    block = grey.repeat(zoom, 0).repeat(zoom, 1)[:DOTS]
    left = round(column * COLUMN * pictures.SHARPNESS - block.shape[1] / 2)
    page[: len(block), left : left + block.shape[1], :3] = block[..., None]


def tile(features: Tensor) -> Tensor:
    """A row of numbers (d,) as a rectangle, as square as it goes."""
    rows = max(r for r in range(1, int(len(features) ** 0.5) + 1) if len(features) % r == 0)
    return features.view(rows, -1)


def column_scene(axes, i: int):
    """The probability and the distance of one class."""
    middle = COLUMN * (i + 1.5)
    (bar,) = axes.bar([middle], [0], COLUMN / 2, FLOOR, color=COLOR["support"], animated=True)
    style = {"ha": "center", "va": "bottom", "animated": True}
    share = axes.text(middle, 0, "", **style)
    far = axes.text(middle, FLOOR + 20, "", color=INK["support"], **style)

    def update(data: Answer) -> None:
        p = float(data.probabilities[i]) if i < len(data.support) else np.nan
        high = 0.0 if np.isnan(p) else p * TALL
        bar.set_height(-high)
        weight = "bold" if i == data.nearest else "normal"
        share.set(text="" if np.isnan(p) else f"{p:.0%}", y=FLOOR - high - 1, weight=weight)
        far.set(text=label(data, i), weight=weight)

    return update


def letter(i: int) -> str:
    """The name of class i."""
    return string.ascii_uppercase[i]


def label(data: Answer, i: int) -> str:
    """What stands under a class."""
    if i >= len(data.support):
        return ""
    if data.prototypes[i].isnan().any():
        return f"{letter(i)}: empty"
    return letter(i) + ("" if data.distances[i].isnan() else f": {short(data.distances[i])}")


def short(number: float) -> str:
    """A distance in a few digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}"


def words(data: Answer) -> str:
    """The picture in words."""
    n_way, k_shot = data.support.shape[:2]
    empty = [letter(i) for i in range(n_way) if data.prototypes[i].isnan().any()]
    said = f"Classes A to {letter(n_way - 1)}, {k_shot} drawing{'s' * (k_shot > 1)} each. "
    said += f"{' and '.join(empty)} empty: draw, or fill. " if empty else ""
    if not data.query.any():
        return said + "The query is empty: draw, or fill it."
    if data.nearest is None:
        return said + "There is no prototype to compare the query with."
    far = zip(data.distances.tolist(), data.probabilities.tolist())
    each = [f"{letter(i)} {short(d)}, {p:.0%}" for i, (d, p) in enumerate(far) if not np.isnan(d)]
    said += f"The query is nearest to {letter(data.nearest)}. "
    said += f"Squared distance and probability: {'; '.join(each)}."
    return said + ("" if data.truth is None else f" It is {letter(data.truth)}.")


# --- the pad --------------------------------------------------------------------------------------


class Pad(anywidget.AnyWidget):
    """Cells to draw in by mouse, pen or touch; what is drawn goes to Python as strokes.

    value: {cell: strokes, or the number of a dealt drawing}, for the cells that were touched.
    dealt: {cell: address of the dealt drawing's picture}, in the order in which they are shown.
    Text and not bytes, as Colab's widget manager is known to stumble over binary messages.
    """

    _esm = """
    const HOW = "Arrow keys choose a drawing, Delete clears it, Enter fills it from the data, " +
      "Control Z undoes.";
    const name = key => key === "?" ? "query" : `class ${key[0]}, drawing ${key[1]}`;
    const add = (parent, tag, attributes = {}, text = "") => {
      const e = document.createElement(tag);
      for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
      e.textContent = text;
      return parent.appendChild(e);
    };

    function render({ model, el }) {
      const side = model.get("side"), sharp = 3, past = [], canvases = new Map();
      let value = { ...model.get("value") }, chosen = "?", pen = null, waiting = null, images = {};
      const frame = add(el, "div", { class: "mlcourse-pad", role: "group", "aria-label": HOW });
      const tools = add(frame, "div", { class: "tools" });
      add(tools, "span", {}, "Draw in any box.");
      const cells = add(frame, "div", { class: "cells" });

      const send = () => { clearTimeout(waiting); waiting = null;
        model.set("value", value); model.save_changes(); };
      const soon = () => { waiting ??= setTimeout(send, model.get("pause")); };
      const become = next => { past.push(value); value = next; paint(); send(); };
      const act = {
        undo: () => { if (past.length) { value = past.pop(); paint(); send(); } },
        clear: () => become({ ...value, [chosen]: [] }),
        fill: () => { const v = value[chosen] ?? 0;
          become({ ...value, [chosen]: typeof v === "number" ? v + 1 : 0 }); },
        "clear all": () => become(Object.fromEntries([...canvases.keys()].map(k => [k, []]))),
        "fill all": () => become({}),
      };
      const button = (text, does, tip) =>
        add(tools, "button", { type: "button", title: tip }, text)
          .addEventListener("click", act[does]);
      button("undo", "undo", "take back the last step");
      const which = add(tools, "span", { class: "which" });
      button("clear", "clear", "empty the chosen box");
      button("fill from the data", "fill", "a drawing for the chosen box; again for another");
      button("clear all", "clear all", "empty every box");
      button("fill all", "fill all", "every box from the data");

      const choose = (key, focus = false) => {
        chosen = key;
        which.textContent = `${name(key)}:`;
        for (const [k, c] of canvases) {
          c.tabIndex = k === key ? 0 : -1;
          c.classList.toggle("chosen", k === key);
        }
        if (focus) canvases.get(key).focus({ preventScroll: true });
      };

      const pensOf = g => { g.fillStyle = g.strokeStyle = "#000";
        g.lineWidth = model.get("brush"); g.lineCap = g.lineJoin = "round"; };
      const line = (g, p) => { pensOf(g); g.beginPath(); g.moveTo(p[0], p[1]);
        g.lineTo(p[0] + 0.01, p[1]);  // a line without length draws nothing
        for (let i = 2; i < p.length; i += 2) g.lineTo(p[i], p[i + 1]);
        g.stroke(); };
      const paintOne = (key, c) => {
        const g = c.getContext("2d"), v = value[key] ?? 0, drawn = typeof v !== "number";
        g.setTransform(sharp, 0, 0, sharp, 0, 0);
        g.fillStyle = "#fff"; g.fillRect(0, 0, side, side);
        if (!drawn && images[key]?.complete) g.drawImage(images[key], 0, 0, side, side);
        if (drawn) v.forEach(p => line(g, p));
        c.nextSibling.hidden = !drawn || v.length > 0;
        c.setAttribute("aria-label", name(key) + (!drawn ? ", from the data"
          : v.length ? `, drawn, strokes: ${v.length}` : ", empty: draw, or fill it"));
      };
      const paint = () => { for (const [key, c] of canvases) paintOne(key, c); };

      const at = (e, c) => { const r = c.getBoundingClientRect();
        return [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height]
          .map(part => Math.round(part * side * 10) / 10); };
      const down = (key, c) => e => {
        if (e.button || pen) return;
        e.preventDefault();
        try { c.setPointerCapture(e.pointerId); } catch (_) { /* a pointer made by a script */ }
        choose(key, true);
        const before = Array.isArray(value[key]) ? value[key] : [];
        past.push(value);
        pen = { id: e.pointerId, key, before, path: at(e, c) };
        drawOn();
      };
      const drawOn = () => { value = { ...value, [pen.key]: [...pen.before, [...pen.path]] };
        paintOne(pen.key, canvases.get(pen.key)); soon(); };
      const move = c => e => {
        if (pen?.id !== e.pointerId) return;
        const all = e.getCoalescedEvents?.() ?? [];
        for (const one of all.length ? all : [e]) {
          const [x, y] = at(one, c), n = pen.path.length;
          if (Math.hypot(x - pen.path[n - 2], y - pen.path[n - 1]) >= 0.5) pen.path.push(x, y);
        }
        drawOn();
      };
      const up = e => { if (pen?.id === e.pointerId) { pen = null; send(); } };

      const keys = e => {
        e.stopPropagation();  // JupyterLab would take letters and arrows for commands
        if (e.key.toLowerCase() === "z" && (e.ctrlKey || e.metaKey)) act.undo();
        else if (e.target.tagName !== "CANVAS") return;
        else if (e.key === "Delete" || e.key === "Backspace") act.clear();
        else if (e.key === "Enter" || e.key === " ") act.fill();
        else if (e.key.startsWith("Arrow")) {
          const all = [...canvases.keys()], column = all.filter(k => k[0] === chosen[0]);
          const tops = all.filter(k => k === "?" || k[1] === "1");
          const [list, key] = /Left|Right/.test(e.key)
            ? [tops, tops.find(k => k[0] === chosen[0])] : [column, chosen];
          const to = list[list.indexOf(key) + (/Right|Down/.test(e.key) ? 1 : -1)];
          if (to) choose(to, true);
        } else return;
        e.preventDefault();
      };

      const build = () => {
        const table = model.get("dealt"), order = Object.keys(table);
        if (order.join() !== [...canvases.keys()].join()) {
          cells.replaceChildren(); canvases.clear();
          for (const key of order) {
            const first = key === "?" || key[1] === "1";
            const column = first ? add(cells, "div", { class: key === "?" ? "query" : "support" })
              : cells.lastChild;
            if (first) add(column, "b", {}, key === "?" ? "query" : key[0]);
            const box = add(column, "div", { class: "cell" });
            const c = add(box, "canvas", { role: "img" });
            c.width = c.height = side * sharp;
            add(box, "span", {}, "this one is empty: draw, or fill it");
            canvases.set(key, c);
            c.addEventListener("pointerdown", down(key, c));
            c.addEventListener("pointermove", move(c));
            for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
              c.addEventListener(end, up);
            c.addEventListener("focus", () => choose(key));
          }
        }
        for (const key of order) if (images[key]?.src !== table[key]) {
          images[key] = new Image();
          images[key].onload = () => canvases.has(key) && paintOne(key, canvases.get(key));
          images[key].src = table[key];
        }
        choose(canvases.has(chosen) ? chosen : "?");
        paint();
      };
      const told = () => {  // by Python: a preset, say
        const next = model.get("value");
        if (pen || waiting || JSON.stringify(next) === JSON.stringify(value)) return;
        past.push(value); value = { ...next }; paint();
      };
      frame.addEventListener("keydown", keys);
      model.on("change:dealt", build);
      model.on("change:value", told);
      build();
      return () => { model.off("change:dealt", build); model.off("change:value", told); };
    }
    export default { render };
    """
    _css = """
    .mlcourse-pad { width: min(840px, max(100%, 520px)); }
    .mlcourse-pad .tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center;
      margin: 4px 0; }
    .mlcourse-pad .tools span { padding-left: 6px; }
    .mlcourse-pad .tools .which { min-width: 9.5em; text-align: right; }
    .mlcourse-pad button { padding: 4px 10px; cursor: pointer; font-size: 13px; color: inherit;
      background: var(--jp-layout-color2, #eee); border: 1px solid #999; border-radius: 3px; }
    .mlcourse-pad .cells { display: grid; grid-template-columns: repeat(6, 1fr); }
    .mlcourse-pad b { display: block; text-align: center; }
    .mlcourse-pad .query b { color: #8A5A00; } .mlcourse-pad .support b { color: #0072B2; }
    [data-jp-theme-light="false"] .mlcourse-pad b { color: inherit; }
    .mlcourse-pad .cell { position: relative; margin: 3px; }
    .mlcourse-pad .cell span { position: absolute; inset: 30% 8% 0; pointer-events: none;
      color: #555; font-size: 13px; line-height: 1.3; text-align: center; }
    .mlcourse-pad canvas { display: block; width: 100%; box-sizing: border-box; cursor: crosshair;
      touch-action: none; background: #fff; border: 2px solid #0072B2; border-radius: 4px; }
    .mlcourse-pad .query canvas { border-color: #E69F00; }
    .mlcourse-pad canvas.chosen { box-shadow: 0 0 0 2px #000; }
    .mlcourse-pad canvas:focus-visible, .mlcourse-pad button:focus-visible {
      outline: 3px solid #0072B2; outline-offset: 2px; }
    """
    side = T.Int(SIDE).tag(sync=True)
    brush = T.Float(BRUSH).tag(sync=True)
    pause = T.Int(150).tag(sync=True)  # milliseconds between two looks at a stroke that goes on
    value = T.Dict().tag(sync=True)
    dealt = T.Dict().tag(sync=True)
    description = "drawings"

    def __repr__(self) -> str:
        return "Pad()"


def address(drawing: Tensor) -> str:
    """A drawing as the address of a picture, ink dark."""
    ink = Image.fromarray((255 - 255 * drawing.numpy()).round().astype("u1")).convert("RGB")
    return "data:image/png;base64," + base64.b64encode(pictures.png(ink)).decode()


class PadLab(Lab):
    """A lab with a pad between its buttons and its picture, column above column."""

    def __init__(self, data, controls: dict[str, Any], presets: dict[str, Preset]):
        self.pad = controls["drawings"]
        size = (WIDE / 100, HIGH / 100)
        super().__init__("Draw your own characters", data, pad_scene, controls, presets, size)
        sliders, buttons, says, picture, rest = self.children
        sliders.children = [c for c in sliders.children if c is not self.pad]
        for control in sliders.children[:-1]:
            control.layout.width, control.style.description_width = "275px", "110px"
        sliders.children[-1].layout.width = "auto"
        self.children = [sliders, buttons, says, self.pad, picture, rest]

    def draw(self, mine: int, result: Answer) -> None:
        """The picture, and in the pad the dealt drawings."""
        super().draw(mine, result)
        if mine == self.request:
            cells = [QUERY, *names(*result.support.shape[:2])]
            images = [result.query, *result.support.flatten(0, 1)]
            own = {c for c, pick in self.pad.value.items() if not isinstance(pick, int)}
            before = self.pad.dealt
            self.pad.dealt = {
                cell: before[cell] if cell in own and cell in before else address(image)
                for cell, image in zip(cells, images)
            }

    def settings(self, values: dict[str, Any]) -> str:
        """Slider values in words; the drawings speak for themselves."""
        moved = {k: values[k] for k in ("n_way", "k_shot", "number") if k in values}
        said = super().settings(moved or {k: self.defaults[k] for k in ("n_way", "k_shot")})
        return said + (", strokes as drawn" if values.get("place") is False else "")


def pad_lab(net: nn.Module, pool: Characters, temperature: float = 1.0) -> PadLab:
    """Draw N characters, once or twice each, and a query; prototypes answer after every stroke.

    net: images (points, 1, size, size) to features, size that of the pool, whose drawings fill the
    cells until the reader draws. temperature: what the squared distances are divided by.
    """

    def data(n_way, k_shot, number, drawings, place) -> Answer:
        place = placed if place else list
        images, truth = table(pool, n_way, k_shot, number, drawings, place)
        return answer(net, images, k_shot, truth, temperature)

    controls = {
        "n_way": slider("N  ways", 2, WAYS, 1, WAYS),
        "k_shot": slider("K  shots", 1, SHOTS, 1, 1),
        "number": slider("other characters", 1, 50, 1, 1),
        "place": W.Checkbox(value=True, description="centre and scale strokes", indent=False),
        "drawings": Pad(),
    }
    return PadLab(data, controls, PRESETS)


HOUSE = [[25, 92, 24, 45, 78, 44, 79, 93, 25, 92], [20, 46, 52, 14, 84, 46]]
OTHER_HOUSE = [[22, 50, 56, 18, 88, 52], [30, 48, 33, 90, 82, 87, 80, 47]]
FISH = [[84, 32, 62, 58, 42, 66, 24, 60, 16, 50, 26, 39, 44, 34, 64, 44, 86, 70, 84, 32]]
STAR = [[30, 88, 52, 16, 76, 88, 16, 42, 88, 42, 30, 88]]
SNAIL = [
    [10, 86, 90, 86, 92, 62],
    [60, 60, 52, 54, 46, 62, 54, 72, 68, 68, 70, 50, 54, 40, 36, 46, 32, 64, 40, 84],
]
HALF_HOUSE = [[26 + v / 2 for v in stroke] for stroke in HOUSE]
DOODLES = {"A1": HOUSE, "B1": FISH, "C1": SNAIL}

PRESETS = {
    "one drawing each": Preset(
        {"k_shot": 1},
        "Five characters that the network never saw, one drawing each, and the query's is named.",
        lambda d: d.nearest == d.truth and d.support.shape[:2] == (5, 1),
    ),
    "two drawings each": Preset(
        {"k_shot": 2},
        "Each prototype is now the mean of two drawings' numbers. Nothing is trained again.",
        lambda d: (
            d.prototypes.allclose(d.features[1:].unflatten(0, d.support.shape[:2]).mean(1))
            and d.support.shape[1] == 2
        ),
    ),
    "doodles": Preset(
        {"n_way": 3, "drawings": {**DOODLES, QUERY: OTHER_HOUSE}},
        "A house, a fish, a snail, and another house: no alphabet has them. Now draw yours.",
        lambda d: d.nearest == 0 and d.truth is None and len(d.support) == 3,
    ),
    "none of them": Preset(
        {"n_way": 3, "drawings": {**DOODLES, QUERY: STAR}},
        "A star is none of the three, and the probabilities add up to one all the same.",
        lambda d: d.truth is None and abs(float(d.probabilities.sum()) - 1) < 1e-6,
    ),
    "half the size": Preset(
        {"n_way": 3, "place": False, "drawings": {**DOODLES, QUERY: HALF_HOUSE}},
        "The first house at half its size, as drawn: away from itself. Tick the box: at 0 again.",
        lambda d: d.truth is None and float(d.distances[0]) > float(d.distances.max()) / 4,
    ),
    "one is empty": Preset(
        {"drawings": {"C1": []}},
        "C has no drawing and so no prototype: the four others share the probability.",
        lambda d: (
            d.prototypes.isnan().any(1).tolist() == [i == 2 for i in range(5)]
            and abs(float(d.probabilities.nansum()) - 1) < 1e-6
        ),
    ),
}


# --- the game -------------------------------------------------------------------------------------


def rival_game(net: nn.Module, pool: Characters) -> Game:
    """Chapter 01's game with one more player, who answers by the nearest prototype of `net`."""

    def named(episode: Episode) -> Tensor:
        support, query = (networks.features(net, points.x) for points in episode)
        prototypes = protonet.prototypes(support, episode.support.y, 5)  # the game is 5-way
        return protonet.nearest_prototype(query, prototypes)

    return Game(pool, {"protonet": Player("ProtoNet", COLOR["after"], named)})
