"""The rows that a model gives back best and worst, with a map of where it errs."""

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.images import as_images
from latens.figures.style import (
    Made,
    ThemeName,
    bare,
    colour_bar,
    dress,
    figure_of,
    headline,
    new_axes,
    theme_named,
    unframed,
)


def extreme_rows(score: ArrayLike, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows with the highest and the lowest scores."""
    # returns: the positions of the highest, best first, and of the lowest, worst first; equal ones in order.
    values = numbers(score, "score", ndim=1).astype(float)
    if count < 1:
        raise DataError(f"count must be 1 or more, not {count}.", where="count", fix="Ask for 1 or more.")
    count = min(count, max(1, len(values) // 2))
    return np.argsort(-values, kind="stable")[:count], np.argsort(values, kind="stable")[:count]


def extreme_reconstructions(
    original: ArrayLike,
    reconstruction: ArrayLike,
    score: ArrayLike,
    *,
    count: int = 8,
    score_name: str = "log p(x|z)",
    theme: ThemeName = "light",
) -> Made:
    """Draw the rows with the highest and lowest scores: data, reconstruction, and where they differ."""
    # Red is too dark and blue too bright, by the mean over channels, as the key says; the score stands below.
    # The table has `kind` (best, worst), `row` (its position in what was given), `score`, and the `mean_error` and
    # `largest_error` of its pixels, as equally long columns.
    data, made = as_images(original, "original"), as_images(reconstruction, "reconstruction")
    values = numbers(score, "score", ndim=1)
    if data.shape != made.shape or len(values) != len(data):
        what = f"{len(values)} scores and shape {made.shape} for data of shape {data.shape}."
        raise DataError(what, where="reconstruction", fix="Give one reconstruction and one score for each row.")
    best, worst = extreme_rows(values, count)
    rows = np.concatenate([best, worst])
    error = np.abs(made - data)[rows].reshape(len(rows), -1)
    kinds = np.repeat(np.array(["best", "worst"], object), [len(best), len(worst)])
    table = {"kind": kinds, "row": rows, "score": values[rows]}
    table |= {"mean_error": error.mean(1), "largest_error": error.max(1)}
    data, made = data.astype(float), made.astype(float)
    colours, ends = theme_named(theme), Normalize(-1.0, 1.0)
    across = len(table["row"]) // 2
    ratio = data.shape[1] / data.shape[2]
    axes = new_axes(6, across, size=(2.1 + 0.95 * across, 6 * 0.92 * ratio + 1.2), theme=theme)
    figure_of(axes).set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
    for place, (row, value) in enumerate(zip(table["row"], table["score"])):
        block, column = divmod(place, across)
        pair = [np.clip(x[row], 0, 1) for x in (data, made)]
        parts = [*pair, (made[row] - data[row]).mean(-1)]
        for line, part in enumerate(parts):
            ax = dress(axes[3 * block + line, column], theme=theme, grid=None)
            bare(ax)
            if line < 2:
                grey = part.shape[-1] == 1
                ax.imshow(part[..., 0] if grey else part, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            else:
                ax.imshow(part, cmap=error_map(theme), norm=ends, interpolation="nearest")
                ax.set_xlabel(f"{value:.1f}".replace("-", "\N{MINUS SIGN}"), fontsize=8, color=colours.muted)
            if column == 0:
                word = (("best rows", "worst rows")[block], "made", "made − data")[line]
                ax.set_ylabel(word, fontsize=8, color=colours.muted)
    errors = ScalarMappable(ends, error_map(theme))
    says = "made − data: red too dark, blue too bright"
    look = {"shrink": 0.5, "aspect": 30, "pad": 0.02, "ticks": [-1, -0.5, 0, 0.5, 1]}
    key = colour_bar(errors, axes, says, theme=theme, **look)
    key.ax.yaxis.label.set_color(colours.muted)
    unframed(key.ax)
    headline(axes, f"Best and worst rows by {score_name}", theme)
    return axes, table


def error_map(theme: ThemeName) -> LinearSegmentedColormap:
    """Make the colour map of errors: red (too dark), the background (right), blue (too bright)."""
    ends = colormaps["RdBu"]([0.05, 0.95])
    middle = theme_named(theme).grid
    return LinearSegmentedColormap.from_list(f"latens-error-{theme}", [tuple(ends[0]), middle, tuple(ends[1])])
