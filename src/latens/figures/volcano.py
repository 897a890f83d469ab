"""How genes differ between two groups: fold changes against how sure they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, one_axes, readable, theme_named

NAMED = 12
"""Genes whose names are drawn."""
MOST = 15
"""The largest number on the upward axis; surer genes lie on a line there, as triangles."""
NEAR, STEPS = 6.0, (0.0, 7.0, 16.0, 28.0, 44.0)
"""How far from its point a name begins, and how much farther it may be moved, in points."""


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
    y = np.minimum(-np.log10(np.maximum(p, 1e-300)), MOST)
    beyond = p < 10.0**-MOST
    table = {"gene": np.array(class_names(names), object), "log2_fold_change": x, "unchanged": p, "chosen": picked}
    colours = theme_named(theme)
    ax = one_axes((6.8, 4.8), theme)
    title = f"{readable(groups[0], 24)} against {readable(groups[1], 24)}"
    below = f"log2 fold change (to the right: more in {readable(groups[0], 16)})"
    dress(ax, theme=theme, title=title, x=below, y=f"-log10 of P(no change beyond {delta:g})", grid="both")
    for rows, colour, size in ((~picked, colours.muted, 10), (picked, colours.first, 16)):
        for kept, mark in ((rows & ~beyond, "o"), (rows & beyond, "^")):
            ax.scatter(x[kept], y[kept], s=size, color=colour, marker=mark, linewidths=0,
                       alpha=1.0 if colour == colours.first else 0.6)  # fmt: skip
    for side in (-delta, delta):
        ax.axvline(side, color=colours.muted, linewidth=0.8, linestyle=(0, (4, 3)))
    if beyond.any():
        ax.axhline(MOST, color=colours.muted, linewidth=0.8, linestyle=":")
        # No gene that is so sure lies around 0.
        ax.annotate(f"{MOST} and more", (0.0, MOST), xytext=(0, 3), textcoords="offset points", ha="center",
                    va="bottom", fontsize=8, color=colours.muted)  # fmt: skip
        ax.set_yticks(np.arange(0, MOST, 2))
    wide = 0.08 * (float(np.ptp(x)) or 1.0)
    ax.set_xlim(float(x.min(initial=-delta)) - wide, float(x.max(initial=delta)) + wide)
    ax.set_ylim(-0.3, max(1.0, 1.12 * float(y.max(initial=0.0))))
    for j, at in placed(ax, x, y, surest(x, p, picked), [readable(name, 16) for name in names]):
        moved = at[2] > NEAR
        line = {"arrowstyle": "-", "color": colours.muted, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        ax.annotate(readable(names[j], 16), (x[j], y[j]), xytext=at[:2], textcoords="offset points", ha="center",
                    va="center", fontsize=8, color=colours.text, arrowprops=line if moved else None)  # fmt: skip
    return ax, table


def surest(fold: np.ndarray, unchanged: np.ndarray, chosen: np.ndarray) -> list[int]:
    """The genes that are named: the surest of those chosen, among equally sure ones those that change most."""
    sure = np.maximum(unchanged, 10.0**-MOST)
    order = np.lexsort((-np.abs(fold), sure))
    return [int(j) for j in order if chosen[j]][:NAMED]


def placed(
    ax: Any, x: np.ndarray, y: np.ndarray, genes: Sequence[int], words: Sequence[str]
) -> list[tuple[int, tuple[float, float, float]]]:
    """Where the middle of each name lies: points to the right of and above its gene, and how far from it."""
    # Names avoid one another and the edges, and as many points as they can, at as small a distance as that takes.
    inches = ax.figure.get_size_inches() * 72.0
    box = ax.get_position()
    scale = inches * (box.width, box.height)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    at = np.stack([(x - left) / (right - left), (y - low) / (high - low)], axis=1) * scale
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    found = []
    for j in genes:
        half = np.array([2.6 * len(words[j]) + 2.0, 5.0])
        best: tuple[float, np.ndarray, float] | None = None
        for step in STEPS:
            for angle in np.arange(12) * np.pi / 6:
                turn = np.array([np.cos(angle), np.sin(angle)])
                away = turn * (NEAR + step) + half * turn
                middle = at[j] + away
                if (middle - half < 0).any() or (middle + half > scale).any():
                    continue
                if any((np.abs(middle - other) < half + size).all() for other, size in taken):
                    continue
                covered = int((np.abs(at - middle) < half + 2.0).all(axis=1).sum())
                cost = covered + step / 8.0
                if best is None or cost < best[0] - 1e-9:
                    best = cost, away, NEAR + step
        if best is not None:
            taken.append((at[j] + best[1], half))
            found.append((j, (float(best[1][0]), float(best[1][1]), best[2])))
    return found
