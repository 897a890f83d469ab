"""Which columns say most about one column."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, one_axes, readable, theme_named

MOST = 40
"""Columns that are drawn, the first."""


def information_bars(
    nats: ArrayLike, errors: ArrayLike, names: Sequence[object], target: str, *, theme: ThemeName = "light"
) -> Made:
    """Draw what each column says about one column, in nats, the most first, with an interval of 95 %."""
    value, error = (numbers(v, n, ndim=1).astype(float) for v, n in ((nats, "nats"), (errors, "errors")))
    table = {"column": np.array(class_names(names), object), "nats": value, "standard_error": error}
    colours, count = theme_named(theme), min(len(value), MOST)
    ax = one_axes((7.2, 1.3 + 0.25 * count), theme)
    title = f"What each column says about {readable(target, 40)}"
    dress(ax, theme=theme, title=title, x="mutual information under the model, nats", grid="x")
    ax.barh(np.arange(count), value[:count], xerr=1.96 * error[:count], color=colours.first, ecolor=colours.muted)
    ax.set_yticks(np.arange(count), [readable(name, 24) for name in table["column"][:count]])
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_xlim(left=0.0)
    return ax, table
