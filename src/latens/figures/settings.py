"""Settings of a sweep against each other: a dot for each seed, the mean, and its interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from latens.errors import DataError
from latens.figures.checks import class_names
from latens.figures.style import ThemeName, dress, legend, one_axes, readable, theme_named

MOST = 40
"""Settings that are drawn, from the best on."""


def settings_table(values: Sequence[Sequence[float]], names: Sequence[object]) -> dict[str, np.ndarray]:
    """Give the numbers of `settings`, a line for each run."""
    words = class_names(names)
    if len(values) != len(words):
        what = f"{len(values)} settings and {len(words)} names."
        raise DataError(what, where="names", fix="Give a name for each setting.")
    if not any(len(each) for each in values):
        raise DataError("no setting has a value.", where="values", fix="Give one value or more.")
    setting = [word for word, each in zip(words, values) for _ in each]
    numbers = np.concatenate([np.asarray(each, float) for each in values])
    return {"setting": np.array(setting, object), "value": numbers}


def settings(
    values: Sequence[Sequence[float]],
    intervals: Sequence[tuple[float, float, float] | None],
    names: Sequence[object],
    *,
    unit: str = "log p(x), nats a row",
    theme: ThemeName = "light",
) -> Axes:
    """Draw each setting as a line of dots, one for each seed, with the mean and its interval; the best at the top."""
    # intervals: mean, lower and upper end for each setting; NaN for ends that one seed does not tell, None without a
    # value.
    settings_table(values, names)
    if len(intervals) != len(values):
        what = f"{len(values)} settings and {len(intervals)} intervals."
        raise DataError(what, where="intervals", fix="Give one for each setting.")
    colours, shown = theme_named(theme), min(len(values), MOST)
    ax = one_axes((7.2, 1.5 + 0.3 * shown), theme)
    more = f", the best {shown} of {len(values)} settings" if shown < len(values) else ""
    dress(ax, theme=theme, title=f"Validation rows, a dot for each seed{more}", x=unit, grid="x")
    dots = bars = None
    for place in range(shown):
        interval = intervals[place]
        if interval is not None and not np.isnan(interval[1]):  # of one seed the mean is its dot
            mean, low, high = interval
            bars = ax.errorbar(
                [mean], [place], xerr=[[mean - low], [high - mean]], fmt="|", color=colours.second, markersize=11,
                markeredgewidth=2, elinewidth=1.6, capsize=3, zorder=2,
            )  # fmt: skip
        (dots,) = ax.plot(
            values[place], np.full(len(values[place]), place), "o", color=colours.first, markersize=5.5,
            markeredgecolor=colours.background, markeredgewidth=0.8, zorder=3,
        )  # fmt: skip
    ax.set_yticks(np.arange(shown), [readable(name, 40) for name in class_names(names)[:shown]])
    ax.set_ylim(shown - 0.4, -0.6)
    handles = [(dots, "one seed"), (bars, "mean over seeds, 95 % interval")]
    kept = [(handle, name) for handle, name in handles if handle is not None]
    below = {"loc": "upper right", "bbox_to_anchor": (1.0, -0.32 / (0.3 * shown + 0.5)), "ncols": 2}
    legend(ax, [handle for handle, _ in kept], [name for _, name in kept], theme=theme, **below)
    return ax
