"""For data in columns, and rows of text: what the data holds against what the model draws."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import (
    DEEP,
    PALE,
    Made,
    both_columns,
    class_names,
    colour_bar,
    dress,
    figure_of,
    headline,
    legend,
    new_axes,
    numbers,
    one_axes,
    panels,
    ramp,
    readable,
    theme,
    unframed,
)

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


MOST_PAIRED = 30  # columns, the first, whose pairs can be read side by side


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
    kept = min(MOST_PAIRED, len(titles))
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
    count = min(MOST_PAIRED, len(words))
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


WIDEST, LONGEST = 100, 88
"""Characters of a line of several columns together, and of one line alone."""
LETTER, LINE = 0.085, 0.22
"""Inches of a letter of a fixed width, and of a line."""


def text_columns(columns: Sequence[Sequence[str]], names: Sequence[str], *, title: str = "") -> Made:
    """Draw columns of texts side by side, or where these are long one below another."""
    # The table has a line for each text: its column, its place there, and the text.
    if not columns or len(columns) != len(names):
        raise DataError(f"{len(columns)} columns, {len(names)} names.", where="names", fix="Give a name for each.")
    named = zip(names, columns)
    table = {"column": [], "place": [], "text": []}
    for name, texts in named:
        for place, text in enumerate(texts):
            for key, value in zip(table, (name, place, text)):
                table[key].append(value)
    colours = theme()
    widths = [max(len(readable(text, LONGEST)) for text in (name, *texts)) + 3 for name, texts in zip(names, columns)]
    beside = sum(widths) <= WIDEST
    lines = max(map(len, columns)) + 1.4 if beside else sum(len(texts) + 1.9 for texts in columns)
    wide = max(sum(widths) if beside else max(widths), int(0.9 * len(title)) + 2, 30)
    ax = one_axes((0.3 + LETTER * wide, 0.45 + LINE * lines))
    dress(ax, title=title or None, grid=None)
    ax.set_axis_off()
    ax.set_xlim(0, wide)
    ax.set_ylim(lines, 0)
    across, down = 0.0, 0.0
    for name, texts, width in zip(names, columns, widths):
        look = {"family": "monospace", "fontsize": 9, "va": "top", "clip_on": False}
        ax.text(across, down, readable(name, LONGEST), color=colours.muted, **look)
        for place, text in enumerate(texts):
            ax.text(across, down + 1.3 + place, readable(text, LONGEST), color=colours.text, **look)
        across, down = (across + width, down) if beside else (across, down + len(texts) + 1.9)
    return ax, {key: np.array(values, int if key == "place" else object) for key, values in table.items()}
