"""How far a code may move until what it decodes to is another."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import Made, dress, legend, one_axes, theme

_POINTS = 121


def reach_curves(distances: Mapping[str, ArrayLike], most: float) -> Made:
    """Draw the share of moves after which a picture, or its class, is still the same, over their length in z."""
    found = {name: np.asarray(values, float).reshape(-1) for name, values in distances.items()}
    if not found or any(not len(values) or np.isnan(values).any() for values in found.values()):
        raise DataError("there is no distance, or NaN.", where="distances", fix="Give one for each move.")
    at = np.linspace(0.0, most, _POINTS)
    table = {"distance": at} | {f"same_{name}": (values > at[:, None]).mean(1) for name, values in found.items()}
    colours, ax = theme(), one_axes((5.6, 3.6))
    dress(ax, title="How far z moves until what it decodes to changes", x="distance in z",
          y="share still the same")  # fmt: skip
    styles = zip(distances, (colours.first, colours.second), ("-", "--"), strict=False)
    lines = [ax.plot(table["distance"], table[f"same_{n}"], s, color=c, linewidth=1.6)[0] for n, c, s in styles]
    ax.set_xlim(0.0, most)
    ax.set_ylim(0.0, 1.02)
    legend(ax, lines, [f"same {name}" for name in distances], loc="best")
    return ax, table
