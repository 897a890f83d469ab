"""How much each pair of columns says about one another under a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import Made, colour_bar, dress, one_axes, ramp, readable, unframed
from latens.figures.validation import class_names, numbers

MOST = 30
"""Columns that are drawn, the first."""


def information(nats: ArrayLike, errors: ArrayLike, names: Sequence[object]) -> Made:
    """Draw the mutual information of pairs of columns, in nats; the table has a row for each pair, the most first."""
    value, error = (numbers(v, n, ndim=2, finite=False) for v, n in ((nats, "nats"), (errors, "errors")))
    words = np.array(class_names(names), object)
    if value.shape != (len(words), len(words)) or error.shape != value.shape:
        what = f"shapes {value.shape} and {error.shape}, {len(words)} names."
        raise DataError(what, where="names", fix="Give a number for each pair of columns.")
    i, j = np.triu_indices(len(words), 1)
    order = np.argsort(-value[i, j], kind="stable")
    i, j = i[order], j[order]
    table = {"first": words[i], "second": words[j], "nats": value[i, j], "standard_error": error[i, j]}
    count = min(MOST, len(words))
    side = 4.6 if count <= 16 else 6.0
    ax = one_axes((side + 1.6, side))
    dress(ax, title="Dependence of columns", grid=None)
    # The first column has no pair above it, and the last none beside it: neither has a line of its own.
    shown = np.where(np.tri(count - 1, dtype=bool), value[1:count, : count - 1], np.nan)
    drawn = ax.imshow(shown, cmap=ramp(), vmin=0.0, vmax=max(0.02, float(np.nanmax(shown, initial=0.0))))
    texts = [readable(name, 16) for name in words[:count]]
    ax.set_xticks(np.arange(count - 1), texts[:-1], rotation=90)
    ax.set_yticks(np.arange(count - 1), texts[1:])
    ax.tick_params(length=0, labelsize=8 if count <= 16 else 6)
    unframed(ax)
    colour_bar(drawn, ax, "mutual information under the model, nats", shrink=0.8, pad=0.02)
    return ax, table
