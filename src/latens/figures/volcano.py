"""How genes differ between two groups: fold changes against how sure they are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, one_axes, readable, theme_named

NAMED = 12
"""Genes whose names are drawn."""
LEAST = 1e-15
"""Probabilities of no difference below this lie on the upper edge."""


def volcano(
    fold: ArrayLike,
    unchanged: ArrayLike,
    chosen: ArrayLike,
    names: Sequence[object],
    groups: tuple[str, str],
    *,
    delta: float,
    theme: ThemeName = "light",
) -> Made:
    """Draw the log fold change of each gene and the probability that it does not change; those chosen in colour."""
    # chosen: true for the genes below the expected share of false discoveries. delta: what counts as a difference.
    x, p = (numbers(v, n, ndim=1).astype(float) for v, n in ((fold, "fold"), (unchanged, "unchanged")))
    picked = np.asarray(chosen, bool)
    y = -np.log10(np.maximum(p, LEAST))
    table = {"gene": np.array(class_names(names), object), "log2_fold_change": x, "unchanged": p, "chosen": picked}
    colours = theme_named(theme)
    ax = one_axes((6.8, 4.8), theme)
    title = f"{readable(groups[0], 24)} against {readable(groups[1], 24)}"
    below = f"log2 fold change (to the right: more in {readable(groups[0], 16)})"
    dress(ax, theme=theme, title=title, x=below, y=f"-log10 of P(no change beyond {delta:g})", grid="both")
    ax.scatter(x[~picked], y[~picked], s=10, color=colours.muted, alpha=0.6, linewidths=0, label="others")
    ax.scatter(x[picked], y[picked], s=16, color=colours.first, linewidths=0, label="chosen")
    for side in (-delta, delta):
        ax.axvline(side, color=colours.muted, linewidth=0.8, linestyle=(0, (4, 3)))
    order = [j for j in np.argsort(-np.abs(x) * (1.0 - p), kind="stable") if picked[j]]
    placed: list[tuple[float, float]] = []
    wide, tall = float(np.ptp(x)) or 1.0, float(np.ptp(y)) or 1.0
    for j in order:
        # A name that would lie over another one is left out.
        if len(placed) == NAMED or any(abs(x[j] - a) < 0.12 * wide and abs(y[j] - b) < 0.045 * tall for a, b in placed):
            continue
        placed.append((float(x[j]), float(y[j])))
        side = 1 if x[j] > 0 else -1
        ax.annotate(readable(names[j], 16), (x[j], y[j]), xytext=(-4 * side, -4), textcoords="offset points",
                    ha="right" if side > 0 else "left", va="top", fontsize=8, color=colours.text)  # fmt: skip
    return ax, table
