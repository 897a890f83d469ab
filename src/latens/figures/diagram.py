"""The graph of a model: its parts, the shapes between them, and how many trained numbers each holds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from latens.errors import DataError
from latens.figures.checks import readable
from latens.figures.style import ThemeName, dress, one_axes, theme_named


class PartBox(NamedTuple):
    """One part of a model.

    Args:
        side: Where it stands: "encoder", "latent" or "decoder".
        name: Its name.
        what: What it is, in words.
        out: Shape of what comes out of it.
        trained: How many trained parameters it holds.
    """

    side: str
    name: str
    what: str
    out: tuple[int, ...]
    trained: int


SIDES = ("encoder", "latent", "decoder")


def model_diagram_table(parts: Sequence[PartBox]) -> dict[str, np.ndarray]:
    """Compute the numbers of `model_diagram`, a row for each part.

    Args:
        parts: The parts, in the order in which numbers pass through them.

    Returns:
        `side`, `part`, `what`, `shape` and `trained`, as equally long columns.

    Raises:
        DataError: There are no parts, or a side is unknown.
    """
    strange = [part.side for part in parts if part.side not in SIDES]
    if not parts or strange:
        fix = f"Use {', '.join(SIDES)}."
        raise DataError(f"{len(parts)} parts, sides {strange}.", where="parts", fix=fix)
    return {
        "side": np.array([part.side for part in parts], object),
        "part": np.array([part.name for part in parts], object),
        "what": np.array([part.what for part in parts], object),
        "shape": np.array([" x ".join(map(str, part.out)) for part in parts], object),
        "trained": np.array([part.trained for part in parts], np.int64),
    }


def model_diagram(parts: Sequence[PartBox], *, theme: ThemeName = "light", ax: Axes | None = None) -> Axes:
    """Draw the parts of a model: the encoder from x upwards, the latent above, the decoder down to x again.

    Args:
        parts: The parts, in the order in which numbers pass through them.
        theme: "light" or "dark".
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        DataError: There are no parts, or a side is unknown.
    """
    model_diagram_table(parts)
    colours = theme_named(theme)
    sides = {side: [part for part in parts if part.side == side] for side in SIDES}
    tall = max(len(sides["encoder"]), len(sides["decoder"]), 1)
    ax = one_axes((8.4, 1.5 + 0.8 * (tall + 1)), theme) if ax is None else ax
    total = sum(part.trained for part in parts)
    dress(ax, theme=theme, title=f"The model: {total:,} trained numbers", grid=None)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    centre = {"encoder": 2.0, "latent": 5.0, "decoder": 8.0}
    places: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for side, boxes in sides.items():
        for i, part in enumerate(boxes):
            y = {"encoder": i + 0.0, "latent": tall + 0.1 - 0.85 * i, "decoder": len(boxes) - 1.0 - i}[side]
            places[side].append((centre[side], y))
            _box(ax, centre[side], y, part, colours.first if side != "latent" else colours.second, theme)
    arrows = [((x, y + 0.3), (x, up - 0.3)) for (x, y), (_, up) in pairwise(places["encoder"])]
    arrows += [((x, y - 0.3), (x, down + 0.3)) for (x, y), (_, down) in pairwise(places["decoder"])]
    if places["encoder"] and places["latent"]:
        (x, y), (over, up) = places["encoder"][-1], places["latent"][0]
        arrows.append(((x + 1.0, y + 0.3), (over - 1.28, up)))
    # What is decoded comes from the posterior in training, and from the prior in sampling.
    for x, y in places["latent"] if places["decoder"] else ():
        over, down = places["decoder"][0]
        arrows.append(((x + 1.28, y), (over - 1.0, down + 0.3)))
    look = {"arrowstyle": "-|>", "color": colours.muted, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    for start, end in arrows:
        ax.annotate("", end, start, arrowprops=look)
    ax.set_xlim(0.5, 9.5)
    ax.set_ylim(-0.6, tall + 0.6)
    return ax


def _box(ax: Axes, x: float, y: float, part: PartBox, colour: str, theme: ThemeName) -> None:
    colours = theme_named(theme)
    look: dict[str, Any] = {
        "boxstyle": "round,pad=0.02,rounding_size=0.08",
        "facecolor": colours.background,
        "edgecolor": colour,
    }
    ax.add_patch(FancyBboxPatch((x - 1.25, y - 0.27), 2.5, 0.54, linewidth=1.2, **look))
    ax.text(x, y + 0.09, readable(part.name, 34), ha="center", va="center", fontsize=9.5, color=colours.text)
    shape = " × ".join(map(str, part.out)) or "1"
    trained = f", {part.trained:,} trained" if part.trained else ""
    words = f"{readable(part.what, 20)} → {shape}{trained}"
    ax.text(x, y - 0.13, words, ha="center", va="center", fontsize=7.8, color=colours.muted)
