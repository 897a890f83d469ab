"""For data in columns: hidden cells against what was filled in, and whether intervals of 90 % hold what they should."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from latens.figures.style import Made, dress, headline, panels, readable, theme
from latens.figures.tables import MOST, date_values, drawn_columns, name_values, per_cent

LEVELS = np.linspace(0.1, 0.9, 9)
"""Shares of the draws that central intervals hold."""


def filled(
    true: Float[np.ndarray, "n D"],
    values: Float[np.ndarray, "n D"],
    draws: Float[np.ndarray, "n M D"],
    cells: Bool[np.ndarray, "n D"],
    names: Sequence[str],
    *,
    words: Mapping[int, Sequence[str]],
    dates: Collection[int] = (),
) -> Made:
    """Draw the hidden cells of each column against what was filled in, and the shares that intervals hold."""
    # words: the names of the codes of each column that is a category. dates: the columns of dates.
    # Numbers first, whose intervals say more.
    columns = [i for i in drawn_columns(len(names)) if cells[:, i].any()]
    columns = sorted(columns, key=lambda i: i in words)
    numbers = [i for i in columns if i not in words]
    count, across = len(columns) + bool(numbers), min(4, len(columns) + bool(numbers))
    axes = panels(count, across, (max(4.2, 2.6 * across), 0.5 + 2.4 * -(-count // across)))
    colours, rows, held = theme(), [], []
    for ax, i in zip(axes, columns):
        at = cells[:, i]
        truth, value = true[at, i], values[at, i]
        low, high = np.quantile(draws[at, :, i], [0.05, 0.95], axis=1)
        if i in words:
            right = truth == value
            _bars(ax, truth, right, words[i])
            title = f"right in {right.mean():.0%}"
            low, high = np.full((2, len(truth)), np.nan)
        else:
            held.append(_held(truth, draws[at, :, i]))
            dress(ax, x="true", y="filled in")
            ax.vlines(truth, low, high, color=colours.first, alpha=0.3, linewidth=1.0)
            ax.plot(truth, value, "o", color=colours.first, markersize=2.5)
            ax.axline((truth.mean(), truth.mean()), slope=1, color=colours.muted, linewidth=1.0)
            inside = np.mean((low <= truth) & (truth <= high))
            title = f"{inside:.0%} inside"
            whole = bool(np.all(draws[at, :, i] == np.round(draws[at, :, i])))
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=whole))
            if i in dates:
                date_values(ax, both=True)
        ax.set_title(f"{readable(names[i], 16)}: {title}", loc="left", fontsize=9, color=colours.text)
        rows.append((np.full(len(truth), names[i], object), truth, value, low, high))
    if held:
        shares = np.concatenate(held).mean(axis=0)
        dress(axes[-1], x="share of draws within", y="true values within")
        axes[-1].plot([0, 1], [0, 1], color=colours.muted, linewidth=1.0)
        axes[-1].plot(LEVELS, shares, "o-", color=colours.first, markersize=3.5)
        axes[-1].set_title("Intervals of all numbers", loc="left", fontsize=9, color=colours.text)
        for axis in (axes[-1].xaxis, axes[-1].yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(per_cent)
    left = ", ".join(names[i] for i in range(len(names)) if i not in columns)
    why = f"; not shown, without hidden cells or beyond {MOST} columns: {readable(left, 60)}" if left else ""
    headline(axes, f"Hidden cells and what was filled in{why}")
    kinds = ("column", "true", "filled", "low", "high")
    return axes, {kind: np.concatenate(parts) for kind, parts in zip(kinds, zip(*rows))}


def _bars(ax: Axes, truth: np.ndarray, right: np.ndarray, names: Sequence[str]) -> None:
    """The share that is right, of the cells with each value."""
    dress(ax, y="filled in right")
    shares = [right[truth == code].mean() if np.any(truth == code) else 0.0 for code in range(len(names))]
    ax.bar(range(len(names)), shares, width=0.7, color=theme().first)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(per_cent)
    name_values(ax, names)


def _held(truth: Float[np.ndarray, " n"], draws: Float[np.ndarray, "n M"]) -> Float[np.ndarray, "n levels"]:
    """How much of each true value the central interval of each share of the draws holds, 0 to 1."""
    # A value that many draws have spans their ranks, of which an interval may hold a part: of whole numbers the
    # expected share is the level too (the nonrandomised transform of Czado, Gneiting & Held, 2009).
    below, upto = np.mean(draws < truth[:, None], axis=1), np.mean(draws <= truth[:, None], axis=1)
    spans = (upto - below)[:, None]
    low, high = 0.5 - LEVELS / 2, 0.5 + LEVELS / 2
    part = np.minimum(upto[:, None], high) - np.maximum(below[:, None], low)
    single = (low <= below[:, None]) & (below[:, None] <= high)
    return np.where(spans > 0, np.maximum(part, 0.0) / np.where(spans > 0, spans, 1.0), single)
