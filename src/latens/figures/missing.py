"""Which cells of a table are missing, and which are missing together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, figure_of, new_axes, readable, theme_named

MOST_PATTERNS, MOST_COLUMNS = 20, 30
"""Patterns that are told, the most frequent ones; columns that are drawn, those with the most gaps."""


def missing_cells(
    observed: ArrayLike, names: Sequence[object], *, weight: ArrayLike | None = None, theme: ThemeName = "light"
) -> Made:
    """Draw the share of gaps in each column that has some, and which columns are missing together in how many rows."""
    # The table has `share` of the rows with exactly one pattern, and then for each column whether it is missing in the
    # pattern; the most frequent first, and of more than 20 patterns the 20 most frequent ones.
    seen = numbers(observed, "observed", ndim=2).astype(bool)
    titles, rows = class_names(names), np.ones(len(seen)) if weight is None else np.asarray(weight, float)
    if seen.shape[1] != len(titles) or rows.shape != (len(seen),):
        what = f"shape {seen.shape}, {len(titles)} names, weights of shape {rows.shape}."
        raise DataError(what, where="names", fix="Give a name for each column, and a weight for each row.")
    patterns, which = np.unique(~seen, axis=0, return_inverse=True)
    counts = np.bincount(which.reshape(-1), rows, len(patterns))
    order = np.argsort(-counts, kind="stable")[:MOST_PATTERNS]
    table = {"share": counts[order] / counts.sum()}
    shares = rows @ ~seen / rows.sum()
    chosen = np.argsort(-shares, kind="stable")[: max(1, min(MOST_COLUMNS, int((shares > 0).sum())))]
    table |= {f"missing {title}": patterns[order, i] for i, title in enumerate(titles)}
    patterns = patterns[order].T[chosen]
    count, colours = len(chosen), theme_named(theme)
    axes = new_axes(1, 2, size=(9.6, 1.6 + 0.24 * count), widths=(1, 1.4), theme=theme)[0]
    of = f", {count} of {int((shares > 0).sum())} columns" if count < (shares > 0).sum() else ""
    dress(axes[0], theme=theme, title=f"Missing cells{of}", x="share of rows", grid="x")
    axes[0].barh(np.arange(count), shares[chosen], color=colours.first, height=0.72)
    axes[0].set_yticks(np.arange(count), [readable(titles[i], 24) for i in chosen])
    axes[0].set_xlim(0, 1.05 * max(float(shares.max()), 0.01))
    told = table["share"].sum()
    title = "Missing together" + (f", {told:.1%} of the rows" if told < 0.9995 else "")
    dress(axes[1], theme=theme, title=title, x="share of rows with this pattern", grid=None)
    down, across = np.nonzero(patterns)
    axes[1].scatter(*np.meshgrid(np.arange(patterns.shape[1]), np.arange(count)), s=26, color=colours.grid)
    axes[1].scatter(across, down, s=26, color=colours.first)
    words = [f"{share:.1%}" if share >= 0.0005 else "< 0.1%" for share in table["share"]]
    axes[1].set_xticks(np.arange(patterns.shape[1]), words, rotation=90)
    axes[1].set_xlim(-0.7, patterns.shape[1] - 0.3)
    axes[1].set_yticks([])
    for ax in axes:
        ax.set_ylim(count - 0.4, -0.6)
    figure_of(axes).align_xlabels(list(axes))
    return axes, table
