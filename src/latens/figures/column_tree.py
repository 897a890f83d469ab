"""The tree of columns: which column says most of which, and how much."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from latens.errors import DataError
from latens.figures.style import Made, ThemeName, bare, dress, one_axes, readable, theme_named

STEP, WORDS, BAR, LINE = 0.3, 2.2, 2.4, 0.27
"""Inches that a column stands in from the one above it, for its name, for the longest bar, and of a line."""
LETTERS = 22
"""Letters of a name that are shown."""
MOST = 80
"""Columns that are drawn."""


def column_tree(
    names: Sequence[str],
    parents: Int[np.ndarray, " c"],
    nats: Float[np.ndarray, " c"],
    *,
    by: str | None = None,
    theme: ThemeName = "light",
) -> Made | None:
    """Draw which column says most of each column, as an outline, with how much that is as a bar."""
    # parents: the column that each depends on; a root is its own. nats: what that column says of it; 0 for roots. by:
    # the column whose names have a tree each, with the same lines; None for none. returns: None where no column
    # depends on another, or where there are too many.
    parents, colours = np.asarray(parents), theme_named(theme)
    children = [np.flatnonzero((parents == i) & (np.arange(len(parents)) != i)) for i in range(len(parents))]
    if len(names) > MOST or not any(map(len, children)):
        return None
    lines: list[tuple[int, int]] = []  # of each line the column and how deep it stands

    def put(column: int, deep: int) -> None:
        lines.append((column, deep))
        for child in sorted(children[column].tolist(), key=lambda k: -nats[k]):
            put(child, deep + 1)

    roots = np.flatnonzero(parents == np.arange(len(parents)))
    for root in sorted(roots.tolist(), key=lambda k: -len(children[k])):
        put(root, 0)
    if len(lines) < len(names):
        raise DataError("columns depend on one another in a ring.", where="parents")
    deepest = max(deep for _, deep in lines)
    left = STEP * deepest + WORDS
    ax = one_axes((left + BAR + 0.6, LINE * len(lines) + 0.85), theme)
    said = "Which column says most of which"
    said += f" (mean over the names of {readable(by, 24)})" if by else ""
    dress(ax, theme=theme, title=said, grid=None)
    bare(ax)
    at = {column: (STEP * deep, float(row)) for row, (column, deep) in enumerate(lines)}
    most = max(float(np.max(nats)), 1e-9)
    for column, (x, y) in at.items():
        ax.text(x, y, readable(names[column], LETTERS), fontsize=9, color=colours.text, va="center")
        if parents[column] == column:
            continue
        above = at[int(parents[column])]
        bend = above[0] + 0.4 * STEP
        ax.plot([bend, bend, x - 0.06], [above[1] + 0.4, y, y], color=colours.muted, linewidth=0.9)
        ax.barh(y, BAR * nats[column] / most, height=0.6, left=left, color=colours.second, alpha=0.8)
        ax.text(left - 0.08, y, f"{nats[column]:.2f}", fontsize=8, color=colours.muted, ha="right", va="center")
    ax.text(left - 0.08, -0.8, "nats", fontsize=8, color=colours.muted, ha="right", va="center")
    ax.set_xlim(-0.1, left + BAR + 0.1)
    ax.set_ylim(len(lines) - 0.4, -1.2)
    told = [names[parent] if parent != i else "" for i, parent in enumerate(parents.tolist())]
    return ax, {"column": np.array(names, object), "said_by": np.array(told, object), "nats": np.asarray(nats)}
