"""The graph of a model: its parts, the shapes between them, and how many trained numbers each holds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from latens.errors import DataError
from latens.figures.style import Made, bare, dress, one_axes, readable, theme

Arrow = tuple[int, int]
"""From which part to which, by their places in the list of parts."""

WIDE, HIGH = 2.7, 0.56
"""Width and height of a box, where neighbouring rows lie 1 apart."""
MOST_WORDS = 35
"""Letters of the small line that a box holds."""


class PartBox(NamedTuple):
    """One part of a model."""

    side: str  # in which column it stands: "encoder", "posterior", "latent" or "decoder"
    name: str
    what: str  # what it is, in words
    out: tuple[int, ...]  # shape of what comes out of it
    trained: int = 0  # how many trained parameters it holds


SIDES = ("encoder", "posterior", "latent", "decoder")


def places_of(parts: Sequence[PartBox]) -> Shaped[np.ndarray, "n 2"]:
    """Lay the parts out: the encoder from x upwards, the latent from the top down, the decoder down to the bottom."""
    count: dict[str, int] = {side: sum(part.side == side for part in parts) for side in SIDES}
    used = [side for side in SIDES if count[side]]
    top = max(count["encoder"], count["decoder"], 4.6 if count["latent"] else 1) - 1.0
    seen: dict[str, int] = dict.fromkeys(SIDES, 0)
    places = []
    for part in parts:
        i, n = seen[part.side], count[part.side]
        seen[part.side] += 1
        # The two columns between hold few boxes: those of the latent lie half a row beside those of its posterior, and
        # what is summed up at the end stands at the bottom.
        down = (top + 0.9) / max(n - 1, 1) if part.side == "latent" else 1.15
        y = {"encoder": i, "posterior": top - down * i, "latent": top + 0.9 - down * i, "decoder": n - 1 - i}[part.side]
        places.append((1.0 + WIDE / 2 + (WIDE + 1.1) * used.index(part.side), float(y)))
    return np.array(places)


def arrow_paths(places: Shaped[np.ndarray, "n 2"], arrows: Sequence[Arrow]) -> list[np.ndarray]:
    """Find the ways of the arrows, from the edge of one box to the edge of another."""
    # returns: the corners of each wayone straight line, or one below all boxes where others lie between.
    half, low = np.array([WIDE, HIGH]) / 2, places[:, 1].min() - 0.75
    paths = []
    for start, end in arrows:
        (x, y), (over, up) = places[start], places[end]
        columns = np.unique(places[:, 0])
        apart = abs(int(np.searchsorted(columns, over)) - int(np.searchsorted(columns, x)))
        if apart == 0:
            turn = np.sign(up - y) * half[1]
            path = [(x, y + turn), (over, up - turn)]
        elif apart == 1:
            turn = np.sign(over - x) * half[0]
            # Arrows that come to one side of a box share it from top to bottom.
            others = [places[i, 1] for i, j in arrows if j == end and np.sign(places[i, 0] - over) == np.sign(x - over)]
            rank = sorted(others, reverse=True).index(y)
            lift = HIGH * (0.5 - (rank + 1) / (len(others) + 1))
            path = [(x + turn, y), (over - turn, up + lift)]
        else:
            path = [(x, y - half[1]), (x, low), (over, low), (over, up - half[1])]
        paths.append(np.array(path))
    return paths


def model_diagram(parts: Sequence[PartBox], arrows: Sequence[Arrow] = (), *, of: str = "model") -> Made:
    """Draw the parts of a model as boxes, and what passes from one to another as arrows."""
    # The table has a row for each part.
    strange = [part.side for part in parts if part.side not in SIDES]
    if not parts or strange:
        raise DataError(f"{len(parts)} parts, sides {strange}.", where="parts", fix=f"Use {', '.join(SIDES)}.")
    words = [(part.side, part.name, part.what, " x ".join(map(str, part.out))) for part in parts]
    table: dict[str, np.ndarray] = dict(zip(("side", "part", "what", "shape"), np.array(words, object).T))
    table["trained"] = np.array([part.trained for part in parts], np.int64)
    colours, places = theme(), places_of(parts)
    right, top = places.max(0) + 0.2 + np.array([WIDE, HIGH]) / 2
    bottom = places[:, 1].min() - 1.0
    ax = one_axes((0.86 * (right - 0.8), 0.4 + 0.8 * (top - bottom)))
    total = sum(part.trained for part in parts)
    dress(ax, title=f"The {of}: {total:,} trained numbers", grid=None)
    bare(ax)
    for (x, y), part in zip(places, parts):
        _box(ax, x, y, part, colours.first if part.side in ("encoder", "decoder") else colours.second)
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "color": colours.muted, "linewidth": 1.1}
    for path in arrow_paths(places, arrows):
        ax.add_patch(FancyArrowPatch(path=Path(path), shrinkA=0, shrinkB=0, **look))
    ax.set_xlim(0.8, right)
    ax.set_ylim(bottom, top)
    return ax, table


def _box(ax: Axes, x: float, y: float, part: PartBox, colour: str) -> None:
    colours = theme()
    look: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.08",
        "facecolor": colours.background,
        "edgecolor": colour,
    }
    ax.add_patch(FancyBboxPatch((x - WIDE / 2, y - HIGH / 2), WIDE, HIGH, linewidth=1.2, **look))
    ax.text(x, y + 0.09, readable(part.name, 34), ha="center", va="center", fontsize=11, color=colours.text)
    shape = " × ".join(map(str, part.out)) or "1"
    trained = f", {part.trained:,} trained" if part.trained else ""
    behind = f" → {shape}{trained}"
    words = readable(part.what, min(20, max(MOST_WORDS - len(behind), 8))) + behind
    ax.text(x, y - 0.13, words, ha="center", va="center", fontsize=8.8, color=colours.muted)
