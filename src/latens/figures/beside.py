"""Pairs of numbers, two tables beside each other on the same axes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from latens.figures.style import ThemeName, dress, figure_of, headline, legend, panels, readable, theme_named

MOST_POINTS = 2000
"""Points of a panel."""
MOST_COLOURS = 8
"""Names with a colour of their own; further ones are grey."""
EDGE = 0.005
"""The part of the points on either side that may lie beyond the axes: one mistake must not squeeze all others."""


def pairs_beside(
    tables: Sequence[ArrayLike],
    kinds: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    names: Sequence[str],
    *,
    codes: Sequence[Shaped[np.ndarray, " n"]] | None = None,
    words: Sequence[str] = (),
    theme: ThemeName = "light",
) -> np.ndarray:
    """Draw pairs of columns of two tables, each pair on the same axes, coloured by names."""
    # tables: rows of either table, NaN where missing. kinds: what the two are called. codes: the name of each row of
    # either table, -1 for none; None for no colours. words: the names of these codes. returns: two axes for each pair.
    colours, both = theme_named(theme), [np.asarray(one, np.float64) for one in tables]
    axes = panels(2 * len(pairs), 2, (7.6, 0.6 + 2.9 * len(pairs)), theme)
    for line, (i, j) in enumerate(pairs):
        limits = [_limits(np.concatenate([one[:, k] for one in both])) for k in (i, j)]
        for side, (rows, kind) in enumerate(zip(both, kinds)):
            ax: Axes = axes[2 * line + side]
            dress(ax, theme=theme, x=readable(names[i], 28), y=readable(names[j], 28) if side == 0 else "", grid="both")
            ax.set_title(kind if line == 0 else "", loc="left", fontsize=9, color=colours.text)
            kept = np.random.default_rng(0).permutation(len(rows))[:MOST_POINTS]
            own = None if codes is None else np.asarray(codes[side])[kept]
            fill = colours.first if own is None else _colours(own, colours.classes, colours.muted)
            ax.scatter(rows[kept, i], rows[kept, j], s=9, c=fill, alpha=0.7, linewidths=0)
            ax.set_xlim(*limits[0])
            ax.set_ylim(*limits[1])
    headline(axes, f"{kinds[0].capitalize()} and {kinds[1]}, pair by pair", theme)
    if codes is not None and words:
        shown = list(words[:MOST_COLOURS])
        handles = [Line2D([], [], linestyle="", marker="o", color=colours.classes[k]) for k in range(len(shown))]
        place = {"loc": "outside upper right", "ncols": len(shown), "borderaxespad": 0.2}
        legend(figure_of(axes), handles, shown, theme=theme, limit=14, **place)
    return axes


def _colours(codes: np.ndarray, classes: Sequence[str], other: str) -> list[str]:
    palette = np.array([*classes[:MOST_COLOURS], other], object)
    return palette[np.where((codes >= 0) & (codes < MOST_COLOURS), codes, len(palette) - 1)].tolist()


def _limits(values: np.ndarray) -> tuple[float, float]:
    seen = values[np.isfinite(values)]
    low, high = np.quantile(seen, [EDGE, 1.0 - EDGE]) if len(seen) else (0.0, 1.0)
    room = 0.08 * (high - low) or 1.0
    return float(low - room), float(high + room)
