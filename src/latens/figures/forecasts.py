"""Forecasts: what came before, the median of what follows, and the bands that hold 50 and 90 % of draws."""

from collections.abc import Sequence

import numpy as np
from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import Made, ThemeName, dress, figure_of, headline, legend, panels, readable, theme_named
from latens.figures.tables import date_ticks
from latens.figures.validation import numbers

MOST_PANELS = 6
"""Panels of a picture at the most."""


def forecasts(
    before: ArrayLike,
    draws: ArrayLike,
    *,
    names: Sequence[str],
    times: Sequence[np.ndarray] | None = None,
    after: ArrayLike | None = None,
    time: str = "step",
    theme: ThemeName = "light",
) -> Made:
    """Draw series with the bands of what follows, and what came where it is known."""
    x, drawn = numbers(before, "before", ndim=2, finite=False), numbers(draws, "draws", ndim=3)
    count, length = x.shape
    steps = drawn.shape[2]
    if drawn.shape[1] != count or not 0 < count <= MOST_PANELS:
        what = f"draws of shape {drawn.shape} for {count} series; 1 to {MOST_PANELS} are drawn."
        raise DataError(what, where="draws", fix="Give (M, n, H) for (n, T).")
    came = np.full((count, steps), np.nan) if after is None else numbers(after, "after", ndim=2, finite=False)
    low, near, middle, far, high = np.quantile(drawn.astype(float), [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    colours, across = theme_named(theme), 1 if count == 1 else 2 if count < 5 else 3
    wide = 7.2 if count == 1 else 0.6 + 4.1 * across
    axes = panels(count, across, (wide, 0.75 + 2.15 * -(-count // across)), theme)
    handles: list = []
    for i, ax in enumerate(axes):
        at = np.arange(-length, steps) + 1 if times is None else np.asarray(times[i])
        past, ahead = at[:length], at[length:]
        dress(ax, theme=theme, x=time if i >= count - across else "")
        ax.set_title(readable(names[i]), fontsize=9, color=colours.text, loc="left")
        ax.axvspan(past[-1], ahead[-1], color=colours.muted, alpha=0.06, linewidth=0)
        outer = ax.fill_between(ahead, low[i], high[i], color=colours.first, alpha=0.18, linewidth=0)
        inner = ax.fill_between(ahead, near[i], far[i], color=colours.first, alpha=0.38, linewidth=0)
        (line,) = ax.plot(past, x[i], color=colours.text, linewidth=1.1)
        (median,) = ax.plot(ahead, middle[i], color=colours.first, linewidth=1.6)
        handles = [line, median, inner, outer]
        if np.any(np.isfinite(came[i])):
            (true,) = ax.plot(ahead, came[i], color=colours.second, linewidth=1.3)
            handles.append(true)
        ax.margins(x=0.0)
        if np.issubdtype(at.dtype, np.datetime64):
            locator = date_ticks()
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
            ax.xaxis.get_offset_text().set(fontsize=8, color=colours.muted)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    headline(axes, f"The next {steps} steps" if steps > 1 else "The next step", theme)
    words = ["observed", "median", "50 % of draws", "90 %", "what came"][: len(handles)]
    legend(figure_of(axes), handles, words, theme=theme, loc="upper right", ncols=5, borderaxespad=0.2)
    series, step = (index.ravel() for index in np.indices((count, length + steps)))
    full = lambda a, b: np.concatenate([a, b], axis=1).ravel()  # noqa: E731
    blank = np.full((count, length), np.nan)
    table = {"series": np.asarray(list(names), str)[series], "step": step - length + 1, "observed": full(x, came)}
    ends = {"median": middle, "q05": low, "q25": near, "q75": far, "q95": high}
    return axes, table | {name: full(blank, value) for name, value in ends.items()}
