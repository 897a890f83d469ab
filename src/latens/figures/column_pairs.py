"""For data in columns: which columns go together, in the data and in samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from latens.figures.style import DEEP, PALE, Made, colour_bar, dress, figure_of, new_axes, readable
from latens.figures.validation import both_columns, numbers

MOST = 30  # columns whose correlations can be read side by side


def correlation(rows: ArrayLike) -> Shaped[np.ndarray, "D D"]:
    """Compute Pearson correlations of columns, for each pair over the rows that have both."""
    x = numbers(rows, "rows", ndim=2, finite=False).astype(float)
    seen = np.isfinite(x).astype(float)
    # Sums of a column over the rows that have it and the other one too. Shifted first, or large means eat the digits.
    centre = np.nanmean(np.where(seen > 0, x, np.nan), axis=0) if seen.any() else np.zeros(x.shape[1])
    filled = np.where(seen > 0, x - np.nan_to_num(centre), 0.0)
    both = np.maximum(seen.T @ seen, 1.0)
    first, square = filled.T @ seen, (filled**2).T @ seen
    covariance = filled.T @ filled / both - first * first.T / both**2
    variance = np.maximum(square / both - (first / both) ** 2, 0.0)
    scale = np.sqrt(variance * variance.T)
    small = scale <= 1e-12 * np.maximum(np.abs(square).max(), 1e-300)
    return np.clip(np.where(small, np.nan, covariance / np.where(small, 1.0, scale)), -1.0, 1.0)


def _both(data: ArrayLike, samples: ArrayLike, names: Sequence[object]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    left, right, titles = both_columns(data, samples, names)
    kept = min(MOST, len(titles))
    return correlation(left[:, :kept]), correlation(right[:, :kept]), titles[:kept]


def correlations(data: ArrayLike, samples: ArrayLike, names: Sequence[object]) -> Made:
    """Draw the correlations of columns in the data, in samples, and the difference of the two."""
    # The table has a row for each pair of different columns.
    left, right, titles = _both(data, samples, names)
    rows, columns = np.triu_indices(len(titles), 1)
    table = {"first": np.array(titles, object)[rows], "second": np.array(titles, object)[columns]}
    table |= {"data": left[rows, columns], "samples": right[rows, columns]}
    count = len(titles)
    axes = new_axes(1, 3, size=(11.0, 4.9 if count <= 16 else 4.1))[0]
    figure_of(axes).set_layout_engine("compressed")  # the usual layout lets square panels leave it
    far = float(np.nanmax(np.abs(right - left))) if np.isfinite(right - left).any() else 0.0
    shown = (("Data", left), ("Samples", right), (f"Samples − data, at most {far:.2f}", right - left))
    drawn: Any = None
    words = [readable(name, 14) for name in titles]
    for index, (ax, (title, values)) in enumerate(zip(axes, shown)):
        dress(ax, title=title, grid=None)
        drawn = ax.imshow(values, cmap="coolwarm", vmin=-1, vmax=1)
        ax.set_xticks(np.arange(count), words if count <= 16 else [""] * count, rotation=90)
        ax.set_yticks(np.arange(count), words if count <= 16 and index == 0 else [""] * count)
        ax.tick_params(length=0)
        if count <= 8:
            for i in range(count):
                for j in range(count):
                    text = "" if np.isnan(values[i, j]) else f"{values[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
                    shade = PALE if abs(values[i, j]) > 0.6 else DEEP
                    ax.text(j, i, text, ha="center", va="center", fontsize=7, color=shade)
    colour_bar(drawn, axes, "correlation", shrink=0.8, pad=0.01)
    return axes, table
