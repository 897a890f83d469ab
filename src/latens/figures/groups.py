"""The mean of a number within the names or ranges of other columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latens.errors import DataError
from latens.figures.style import Made, ThemeName, dress, headline, legend, panels, readable, theme_named

MOST = 6
"""Columns of a number that have a panel, the first ones."""
SURE = 1.96
"""Standard errors on either side of a mean that hold it in 95 of 100 cases."""


class Groups(NamedTuple):
    """Means of a number within the groups of one column."""

    target: str  # the number
    column: str
    names: Sequence[str]  # of the groups, in the order in which they stand
    rows: Sequence[int]  # of the data in each group
    data: Sequence[float]  # the mean of their numbers; NaN where there are none
    errors: Sequence[float]  # its standard error
    samples: Sequence[float]  # the mean of the samples in each group


def group_means(groups: Sequence[Groups], *, theme: ThemeName = "light") -> Made:
    """Draw means of a number, of data with intervals of 95 % and of samples, a panel for each column."""
    # The table has a row for each group of each column.
    if not groups:
        raise DataError("there is no column to group by.", where="groups", fix="Give one or more.")
    shown, colours = groups, theme_named(theme)
    across = min(len(shown), 2)
    down = -(-len(shown) // across)
    axes = panels(len(shown), across, (4.6 * across, 0.6 + 2.5 * down), theme)
    made, real = None, None
    for ax, one in zip(np.ravel(axes), shown):
        places = np.arange(len(one.names))
        dress(ax, theme=theme, title=one.column, y=readable(one.target, 30))
        real = ax.errorbar(
            places, one.data, SURE * np.nan_to_num(one.errors), fmt="o", color=colours.text, ecolor=colours.muted,
            capsize=3, markersize=5,
        )  # fmt: skip
        made = ax.scatter(places, one.samples, marker="D", s=30, color=colours.second, zorder=3)
        words = [f"{readable(name, 18)}\n{count:,} rows" for name, count in zip(one.names, one.rows)]
        wide = sum(len(readable(name, 18)) for name in one.names) > 34
        ax.set_xticks(places, words, rotation=30 if wide else 0, ha="right" if wide else "center")
        ax.set_xlim(-0.5, len(places) - 0.5)
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    assert made is not None
    assert real is not None
    of = " and ".join(dict.fromkeys(readable(one.target, 30) for one in shown))
    headline(axes, f"Mean {of} by other columns", theme)
    legend(np.ravel(axes)[0], [real, made], ["rows, ± 2 errors", "new rows"], theme=theme, loc="best")
    table = {
        "target": np.array([one.target for one in groups for _ in one.names], object),
        "column": np.array([one.column for one in groups for _ in one.names], object),
        "group": np.array([name for one in groups for name in one.names], object),
        "rows": np.array([count for one in groups for count in one.rows]),
    }
    for name in ("data", "errors", "samples"):
        table[name] = np.array([value for one in groups for value in getattr(one, name)], float)
    return axes, table
