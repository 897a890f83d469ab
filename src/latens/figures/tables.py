"""For data in columns: what the data holds against what the model draws."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import dress, figure_of, headline, legend, panels, readable, theme
from latens.figures.validation import both_columns

MOST = 24
_BINS = 30
_UNEVEN = 1.2  # how much longer the longest step of a grid may be than the shortest: months have 28 to 31 days
_LEVELS = 20  # whole numbers with at most this many values from lowest to highest get one bar each


class Histogram(NamedTuple):
    """Histograms of one column of data and of samples, in the same bins."""

    edges: np.ndarray  # edges of the bins, shape (bins + 1,)
    data: np.ndarray  # share of the finite data in each bin, shape (bins,)
    samples: np.ndarray  # share of the finite samples in each bin, shape (bins,)
    outside: float = 0.0  # share of the samples in no bin
    beyond: float = 0.0  # share of the data in no bin


def histogram(
    data: Shaped[np.ndarray, " n"], samples: Shaped[np.ndarray, " m"], weight: Shaped[np.ndarray, " n"] | None = None
) -> Histogram:
    """Compute the shares of data and samples in the same bins."""
    # Bins span data and samples, but reach beyond the data by at most the data's own span on either side: one wild
    # sample must not squeeze everything into one bar. Shares are of all finite values, so what lies outside is missing
    # from their sum. Whole numbers get one bin each; values that are all equal get one bin. Of data that lie on a grid
    # each bin holds as many of its points, so that no comb appears.
    # weight: how often each value of the data counts; None for once. What counts 0 times is left out.
    if weight is not None:
        kept = np.isfinite(data) & (weight > 0)
        data, weight = data[kept], weight[kept].astype(float)
    data, samples = data[np.isfinite(data)].astype(float), samples[np.isfinite(samples)].astype(float)
    if not len(data) and not len(samples):
        return Histogram(np.array([0.0, 1.0]), np.zeros(1), np.zeros(1))
    together = np.concatenate([data, samples])
    low, high = together.min(), together.max()
    if len(data):
        # Data that are all equal have no span; then the middle 90 % of the samples lend theirs.
        span = np.ptp(data) or (np.ptp(np.percentile(samples, [5, 95])) if len(samples) else 0.0)
        low, high = max(low, data.min() - span), min(high, data.max() + span)
        low, high = _without_far(data, low, high)
    inside = together[(low <= together) & (together <= high)]
    if (inside == np.round(inside)).all() and high - low < _LEVELS:
        edges = np.arange(inside.min(), inside.max() + 2) - 0.5
    elif high - low <= 1e-9 * max(abs(low), abs(high)):
        width = max(1.0, abs(low)) * 0.5
        edges = np.array([low - width, high + width])
    elif (gridded := _grid_edges(data, low, high)) is not None:
        edges = gridded
    else:
        edges = np.linspace(low, high, _BINS + 1)
    mass = len(data) if weight is None else weight.sum()
    of_data = np.histogram(data, edges, weights=weight)[0] / mass if len(data) else np.zeros(len(edges) - 1)
    of_samples = np.histogram(samples, edges)[0] / len(samples) if len(samples) else np.zeros(len(edges) - 1)
    outside, beyond = (
        float(1 - one.sum()) if n else 0.0 for one, n in ((of_samples, len(samples)), (of_data, len(data)))
    )
    return Histogram(edges, of_data, of_samples, outside=outside, beyond=beyond)


def _grid_edges(data: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """Edges that leave as many points of the data's grid in each bin, or None where the data lie on none."""
    # A grid has one step, as days, quarters of an hour or cents have, or steps of nearly one length, as months have.
    points = np.unique(data[(low <= data) & (data <= high)])
    gaps = np.diff(points)
    if len(points) < 3 or 2 * len(points) > len(data):
        return None
    if len(points) <= _BINS and gaps.max() <= _UNEVEN * gaps.min():
        inner = points[:-1] + 0.5 * gaps
        edges = np.array([points[0] - 0.5 * gaps[0], *inner, points[-1] + 0.5 * gaps[-1]])
        return edges if edges[0] <= low and high <= edges[-1] else None
    places = (points - points[0]) / gaps.min()
    if np.abs(places - np.round(places)).max() > 0.01 or (high - low) / gaps.min() > _BINS * _BINS:
        return None
    step = (points[-1] - points[0]) / np.round(places[-1])
    first = points[0] - step * (np.round((points[0] - low) / step) + 0.5)
    count = int(np.round((high - first) / step + 0.5))
    each = -(-count // _BINS)
    return first + step * each * np.arange(-(-count // each) + 1)


def _without_far(data: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The range of a histogram without the few values that would press all others into one bar."""
    # Those beyond the middle 99 % count where they are `FAR` times as far as that is wide.
    if len(data) < FEWEST:
        return low, high
    first, last = np.quantile(data, [0.005, 0.995])
    wide = last - first
    if wide <= 0:
        return low, high
    return (first - 0.1 * wide if low < first - FAR * wide else low), (
        last + 0.1 * wide if high > last + FAR * wide else high
    )


def _histograms(
    data: ArrayLike, samples: ArrayLike, names: Sequence[object], columns: Sequence[int] | None,
    weight: np.ndarray | None = None,
) -> tuple[list[str], list[Histogram], int]:  # fmt: skip
    left, right, titles = both_columns(data, samples, names)
    chosen = drawn_columns(len(titles)) if columns is None else [int(column) for column in columns]
    if not 1 <= len(chosen) <= MOST or any(not 0 <= column < len(titles) for column in chosen):
        what, fix = f"columns {chosen} of {len(titles)}.", f"Choose 1 to {MOST} of them, counted from 0."
        raise DataError(what, where="columns", fix=fix)
    return [titles[c] for c in chosen], [histogram(left[:, c], right[:, c], weight) for c in chosen], len(titles)


def drawn_columns(count: int) -> list[int]:
    """The columns that have a panel: all; of more than 24 the first 23 and the last, which often is the target."""
    return list(range(count)) if count <= MOST else [*range(MOST - 1), count - 1]


def marginals_table(
    data: ArrayLike,
    samples: ArrayLike,
    names: Sequence[object],
    *,
    columns: Sequence[int] | None = None,
    kinds: tuple[str, str] = ("data", "samples"),
    weight: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute the numbers of `marginals`, one row for each bin.

    Args:
        data: As for `marginals`.
        samples: As for `marginals`.
        names: As for `marginals`.
        columns: As for `marginals`.
        kinds: As for `marginals`.
        weight: As for `marginals`.
    """
    titles, found, _ = _histograms(data, samples, names, columns, weight)
    return {
        "column": np.concatenate([np.repeat(np.array([t], dtype=object), len(h.data)) for t, h in zip(titles, found)]),
        "low": np.concatenate([h.edges[:-1] for h in found]),
        "high": np.concatenate([h.edges[1:] for h in found]),
        f"{kinds[0].replace(' ', '_')}_share": np.concatenate([h.data for h in found]),
        f"{kinds[1].replace(' ', '_')}_share": np.concatenate([h.samples for h in found]),
    }


FAR, FEWEST = 2.0, 200
"""How many times as far as the middle 99 % of the values are wide the axis may reach, and values from which on."""
MOST_NAMES = 8
"""Bars of a category that have a name below them."""
PEAK = 0.6
"""From this share in one bar on, the other bars of a number are shown on a logarithmic axis."""


def name_values(ax: Axes, names: Sequence[str]) -> None:
    """Write the names of a category in the place of its codes.

    Args:
        ax: Axes whose x axis has codes from 0.
        names: The names of the codes.
    """
    words = [readable(name, 12) for name in names]
    slanted = sum(map(len, words)) > 24
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xticks(range(len(words)), words, fontsize=7, **turned)


def date_ticks() -> AutoDateLocator:
    """Three to seven ticks of whole days, months or years."""
    # With at most six none of Matplotlib's intervals suits 31 to 36 months, of which it warns.
    return AutoDateLocator(minticks=3, maxticks=7)


def date_values(ax: Axes, *, both: bool = False) -> None:
    """Write dates below axes of days since 1970, or at both axes; of times of the day the hours."""
    low, high = ax.get_xlim()
    clock = low >= -0.5 and high < 3.0
    for axis in (ax.xaxis, ax.yaxis)[: 1 + both]:
        locator = AutoDateLocator(minticks=2, maxticks=4) if clock else date_ticks()
        axis.set_major_locator(locator)
        axis.set_major_formatter(DateFormatter("%H:%M") if clock else ConciseDateFormatter(locator))
        axis.get_offset_text().set_fontsize(7)


def by_frequency(
    data: np.ndarray,
    samples: np.ndarray,
    place: int,
    names: Sequence[str],
    ordered: bool = False,
    weight: np.ndarray | None = None,
) -> tuple[str, ...]:
    """Put ranks, the most frequent name of the data first, in the place of codes; the rarest of many share one."""
    # The column changes in place, in both. ordered: whether the names have an order, which they keep.
    # returns: the names of the ranks.
    seen = ~np.isnan(data[:, place])
    codes = data[seen, place].astype(np.int64)
    order = np.argsort(-np.bincount(codes, None if weight is None else weight[seen], len(names)), kind="stable")
    order = np.arange(len(names)) if ordered else order
    kept = len(order) if len(order) <= MOST_NAMES else MOST_NAMES - 1
    rank = np.minimum(np.argsort(order), kept)
    for rows in (data, samples):
        own = ~np.isnan(rows[:, place])
        rows[own, place] = rank[rows[own, place].astype(np.int64)]
    others = (f"{len(order) - kept} others",) if kept < len(order) else ()
    return (*(names[int(code)] for code in order[:kept]), *others)


def per_cent(share: float, place: object) -> str:
    """Write a share as per cent, as Matplotlib asks for the words of a tick."""
    return f"{100 * share:.3g}%"


def show_tail(ax: Axes, shares: np.ndarray) -> None:
    """Make the share axis logarithmic where one bar of several would dwarf the others.

    Args:
        ax: Axes with a histogram.
        shares: The shares of its bars.
    """
    if np.max(shares) >= PEAK and np.count_nonzero(shares) > 2:
        ax.set_yscale("log")
        ax.set_ylim(0.5 * float(np.min(shares[shares > 0])), 1.5)
        ax.yaxis.set_major_formatter(per_cent)


def marginals(
    data: ArrayLike,
    samples: ArrayLike,
    names: Sequence[object],
    *,
    columns: Sequence[int] | None = None,
    kinds: tuple[str, str] = ("data", "samples"),
    weight: np.ndarray | None = None,
    bars: Collection[int] = (),
) -> np.ndarray:
    """Draw histograms of data (filled) against samples (line), one panel for each column.

    Args:
        data: Rows of data, shape (n, D), NaN where missing.
        samples: Samples, shape (m, D), in the units of the data, NaN where missing.
        names: Names of the D columns.
        columns: Which to draw, counted from 0, at most 24; None takes all, of more than 24 the first 23 and the last
            (the figure says so).
        kinds: What the two are called.
        weight: Weights of the rows, shape (n,).
        bars: Which columns are categories, counted from 0: they have two bars for each value.

    Returns:
        An array (D,) of Axes.

    Raises:
        DataError: Shapes do not fit, or something is empty.
    """
    titles, found, total = _histograms(data, samples, names, columns, weight)
    places = drawn_columns(total) if columns is None else list(columns)
    colours = theme()
    across = min(4, len(found)) if len(found) != 5 and len(found) != 6 else 3
    size = (max(4.2, 2.6 * across), 0.5 + 2.1 * -(-len(found) // across))
    axes = panels(len(found), across, size)
    handles: list = []
    for index, (ax, title, one) in enumerate(zip(axes, titles, found)):
        dress(ax, x="", y="share of rows" if index % across == 0 else "")
        ax.set_title(readable(title, 28), loc="left", fontsize=9, color=colours.text)
        if places[index] in bars:
            at = 0.5 * (one.edges[:-1] + one.edges[1:])
            handles = [
                ax.bar(at - 0.2, one.data, 0.38, color=colours.muted, alpha=0.45),
                ax.bar(at + 0.2, one.samples, 0.38, color=colours.second),
            ]
        else:
            filled = ax.stairs(one.data, one.edges, fill=True, color=colours.muted, alpha=0.45)
            handles = [filled, ax.stairs(one.samples, one.edges, color=colours.second, linewidth=1.6)]
        ax.margins(x=0.02)
        top = max(one.data.max(), one.samples.max())
        ax.set_ylim(0, 1.08 * top if top > 0 else 1.0)
        whole_numbers = bool((np.diff(one.edges) == 1).all() and one.edges[0] % 1 == 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=whole_numbers))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_formatter(per_cent)
        if top == 0:
            ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", color=colours.muted, fontsize=9)
        else:
            far = [
                f"{share:.1%} of {kind}" if share >= 0.0005 else f"less than 0.1% of {kind}"
                for share, kind in ((one.beyond, kinds[0]), (one.outside, kinds[1]))
                if share >= (0.0005 if kind == kinds[1] else 1e-9)
            ]
            ax.set_xlabel(f"{' and '.join(far)} outside" if far else "", fontsize=7, color=colours.muted)
    heading = f"{kinds[0].capitalize()} and {kinds[1]}" + (
        f", the first {MOST - 1} columns and the last of {total}" if columns is None and total > MOST else ""
    )
    headline(axes, heading)
    legend(figure_of(axes), handles, kinds, loc="upper right", ncols=2, borderaxespad=0.2)
    return axes
