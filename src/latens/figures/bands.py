"""Series: what a model expects at each place, and how far draws from it spread."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import Made, dress, figure_of, headline, legend, panels, theme
from latens.figures.validation import numbers

INNER, OUTER = 0.5, 0.9
"""The shares of draws that lie within the two bands."""


def bands(data: ArrayLike, draws: ArrayLike, *, names: Sequence[str] = (), place: str = "place in the row") -> Made:
    """Draw each row as a line over the bands that hold 50 % and 90 % of samples of p(x|z), z from q(z|x)."""
    # names: of the rows, above each. place: what a place in a row is called. A missing cell, NaN, leaves a gap.
    # The table has `row`, `place`, `data`, and of the samples the `mean` and the quantiles that bound the bands (`q05`,
    # `q25`, `q75`, `q95`), as equally long columns.
    x, drawn = numbers(data, "data", ndim=2, finite=False), numbers(draws, "draws", ndim=3)
    if drawn.shape[1:] != x.shape:
        what = f"samples of shape {drawn.shape} do not fit rows of shape {x.shape}."
        raise DataError(what, where="draws", fix="Give (K, n, T) for (n, T).")
    outer, inner = (1.0 - OUTER) / 2, (1.0 - INNER) / 2
    low, near, high_near, high = np.quantile(drawn.astype(float), [outer, inner, 1 - inner, 1 - outer], axis=0)
    row, at = (index.ravel() for index in np.indices(x.shape))
    table = {"row": row, "place": at, "data": x.ravel(), "mean": drawn.astype(float).mean(0).ravel()}
    table |= {"q05": low.ravel(), "q25": near.ravel(), "q75": high_near.ravel(), "q95": high.ravel()}
    count, length = x.shape
    if count > 12:
        raise DataError(f"bands are drawn for 1 to 12 rows, not {count}.", where="data", fix="Choose up to 12 of them.")
    colours, across = theme(), min(3, count)
    axes = panels(count, across, (0.6 + 3.4 * across, 0.7 + 1.9 * -(-count // across)))
    steps = np.arange(length)
    handles: list = []
    for i, ax in enumerate(axes):
        here = {name: values[i * length : (i + 1) * length] for name, values in table.items()}
        dress(ax, x=place if i >= count - across else "")
        wide = ax.fill_between(steps, here["q05"], here["q95"], color=colours.first, alpha=0.18, linewidth=0)
        near = ax.fill_between(steps, here["q25"], here["q75"], color=colours.first, alpha=0.35, linewidth=0)
        (mean,) = ax.plot(steps, here["mean"], color=colours.first, linewidth=1.2)
        (line,) = ax.plot(steps, here["data"], color=colours.second, linewidth=1.2)
        if names:
            ax.set_title(names[i], fontsize=8, color=colours.text, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        handles = [line, mean, near, wide]
    headline(axes, "Rows and what the model expects")
    names = ["data", "mean of draws", "50 % of draws", "90 %"]
    legend(figure_of(axes), handles, names, loc="upper right", ncols=4, borderaxespad=0.2)
    return axes, table
