"""For mixed tables: how strongly columns go together, in the data and in samples, and where the two differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, colour_bar, dress, figure_of, new_axes, ramp, readable, unframed

MOST = 30
"""Columns whose pairs can be read side by side."""


def associations(
    data: ArrayLike,
    samples: ArrayLike,
    difference: ArrayLike,
    names: Sequence[object],
    *,
    of: int | None = None,
    theme: ThemeName = "light",
) -> Made:
    """Draw how strongly columns go together: data below the diagonal, samples above it, and the difference."""
    # of: how many columns there are in all; None for these. The table has a row for each pair of columns.
    words = np.array(class_names(names), object)
    found = {"data": data, "samples": samples, "difference": difference}
    matrices = {key: numbers(value, key, ndim=2, finite=False) for key, value in found.items()}
    if any(matrix.shape != (len(words), len(words)) for matrix in matrices.values()):
        shapes = [matrix.shape for matrix in matrices.values()]
        fix = "Give a number for each pair of columns."
        raise DataError(f"shapes {shapes}, {len(words)} names.", where="names", fix=fix)
    i, j = np.triu_indices(len(words), 1)
    table = {"first": words[i], "second": words[j]} | {key: matrix[i, j] for key, matrix in matrices.items()}
    count, every = min(MOST, len(names)), np.asarray(difference, float)
    shown, size = [readable(name, 16) for name in words[:count]], 8 if count <= 16 else 6
    side = 4.2 if count <= 16 else 5.6
    axes = new_axes(1, 2, size=(2 * side + 1.6, side), theme=theme)[0]
    # The usual layout lets square panels with long names leave the figure.
    figure_of(axes).set_layout_engine("compressed")
    i, j = np.triu_indices(count, 1)
    both, apart = np.full((count, count), np.nan), np.full((count, count), np.nan)
    both[j, i], both[i, j] = np.asarray(data, float)[i, j], np.asarray(samples, float)[i, j]
    apart[j, i] = every[i, j]
    all_columns = of or len(names)
    more = f", {count} of {all_columns} columns" if count < all_columns else ""
    mean = float(np.nanmean(table["difference"])) if np.isfinite(table["difference"]).any() else 0.0
    seen = apart[np.isfinite(apart)]
    panels: tuple[tuple[str, np.ndarray, Any, float, float, str], ...] = (
        (f"Data (lower left), samples (upper right){more}", both, "RdBu_r" if theme == "light" else "coolwarm", -1, 1,
         "Cramér's V"),
        (f"Difference, {mean:.3f} on average", apart, ramp(theme), 0, max(0.02, float(seen.max(initial=0.0))),
         "total variation of the pair"),
    )  # fmt: skip
    for ax, (title, values, shades, low, high, unit) in zip(axes, panels):
        dress(ax, theme=theme, title=title, grid=None)
        drawn = ax.imshow(values, cmap=shades, vmin=low, vmax=high)
        ax.set_xticks(np.arange(count), shown, rotation=90)
        ax.set_yticks(np.arange(count), shown)
        ax.tick_params(length=0, labelsize=size)
        unframed(ax)
        if count <= 10:
            for y, x in np.argwhere(np.isfinite(values)):
                strong = abs(values[y, x]) > 0.6 * high
                dark = strong if values is both else not strong
                shade = "#ffffff" if dark and (values is apart or theme == "light") else "#16191f"
                text = f"{values[y, x]:.2f}".replace("-", "\N{MINUS SIGN}")
                ax.text(x, y, text, ha="center", va="center", fontsize=7, color=shade)
        colour_bar(drawn, ax, unit, theme=theme, shrink=0.8, pad=0.02)
    return axes, table
