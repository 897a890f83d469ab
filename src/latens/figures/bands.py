"""Series: what a model expects at each place, and how far draws from it spread."""

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.style import ThemeName, dress, figure_of, legend, new_axes, theme_named

INNER, OUTER = 0.5, 0.9
"""The shares of draws that lie within the two bands."""


def bands_table(data: ArrayLike, draws: ArrayLike) -> dict[str, np.ndarray]:
    """Compute the numbers of `bands`."""
    # returns: `row`, `place`, `data`, and of the samples the `mean` and the quantiles that bound the bands (`q05`,
    # `q25`, `q75`, `q95`), as equally long columns.
    x, drawn = numbers(data, "data", ndim=2, finite=False), numbers(draws, "draws", ndim=3)
    if drawn.shape[1:] != x.shape:
        raise DataError(
            f"samples of shape {drawn.shape} do not fit rows of shape {x.shape}.",
            where="draws",
            fix="Give (K, n, T) for (n, T).",
        )
    outer, inner = (1.0 - OUTER) / 2, (1.0 - INNER) / 2
    low, near, high_near, high = np.quantile(drawn.astype(float), [outer, inner, 1 - inner, 1 - outer], axis=0)
    row, place = (index.ravel() for index in np.indices(x.shape))
    return {
        "row": row,
        "place": place,
        "data": x.ravel(),
        "mean": drawn.astype(float).mean(0).ravel(),
        "q05": low.ravel(),
        "q25": near.ravel(),
        "q75": high_near.ravel(),
        "q95": high.ravel(),
    }


def bands(
    data: ArrayLike, draws: ArrayLike, *, title: str = "Rows and what the model expects", theme: ThemeName = "light"
) -> np.ndarray:
    """Draw each row as a line over the bands that hold 50 % and 90 % of samples of p(x|z), z from q(z|x)."""
    table = bands_table(data, draws)
    count, length = np.asarray(data).shape
    if count > 12:
        raise DataError(f"bands are drawn for 1 to 12 rows, not {count}.", where="data", fix="Choose up to 12 of them.")
    colours, across = theme_named(theme), min(3, count)
    down = -(-count // across)
    grid = new_axes(down, across, size=(0.6 + 3.4 * across, 0.7 + 1.9 * down), theme=theme)
    for spare in grid.flat[count:]:
        spare.remove()
    place = np.arange(length)
    handles: list = []
    for i, ax in enumerate(grid.flat[:count]):
        here = {name: values[i * length : (i + 1) * length] for name, values in table.items()}
        dress(ax, theme=theme, x="place in the row" if i >= count - across else "")
        wide = ax.fill_between(place, here["q05"], here["q95"], color=colours.first, alpha=0.18, linewidth=0)
        near = ax.fill_between(place, here["q25"], here["q75"], color=colours.first, alpha=0.35, linewidth=0)
        (mean,) = ax.plot(place, here["mean"], color=colours.first, linewidth=1.2)
        (line,) = ax.plot(place, here["data"], color=colours.second, linewidth=1.2)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        handles = [line, mean, near, wide]
    figure = figure_of(grid)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=colours.text)
    names = ["data", "mean of draws", "50 % of draws", "90 %"]
    legend(figure, handles, names, theme=theme, loc="upper right", ncols=4, borderaxespad=0.2)
    return grid.flat[:count]
