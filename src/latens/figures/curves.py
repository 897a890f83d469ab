"""How training went: the ELBO and its two terms; and series with what a model expects at each place."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from latens.errors import DataError, refuse_other
from latens.figures.style import Made, dress, figure_of, headline, legend, new_axes, numbers, panels, same_length, theme

PANELS = {"elbo": "ELBO", "log_likelihood": "Log-likelihood", "kl": "KL"}
SPLITS = ("train", "validation")

_COLUMNS = "Give columns by name, such as VAE.history_."


def training_curves_table(history: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Pick the columns of a history that `training_curves` draws, x axis first.

    Args:
        history: As for `training_curves`.
    """
    refuse_other(history, Mapping, "history", _COLUMNS)
    axis = next((name for name in ("epoch", "step") if name in history), None)
    if axis is None:
        raise DataError("there is no 'epoch' and no 'step'.", where="history", fix="Add one of them as the x axis.")
    wanted = [f"{split}_{term}" for term in PANELS for split in SPLITS]
    names = [name for name in wanted if name in history]
    if not names:
        raise DataError("there is no curve to draw.", where="history", fix=f"Add one or more of {', '.join(wanted)}.")
    table = {axis: numbers(history[axis], f"history[{axis!r}]", ndim=1)}
    table |= {name: numbers(history[name], f"history[{name!r}]", ndim=1, finite=False) for name in names}
    return same_length(table)


def best_row(history: Mapping[str, ArrayLike]) -> int | None:
    """Find the row with the highest validation ELBO, else the highest train ELBO.

    Args:
        history: Columns by name, as for `training_curves`.

    Returns:
        The row, counted from 0; None where neither is ever finite.
    """
    refuse_other(history, Mapping, "history", _COLUMNS)
    for split in reversed(SPLITS):
        elbo = np.asarray(history.get(f"{split}_elbo", []), float)
        if np.isfinite(elbo).any():
            return int(np.argmax(np.where(np.isfinite(elbo), elbo, -np.inf)))
    return None


def training_curves(history: Mapping[str, ArrayLike], *, best: int | None = None, mark: str = "best") -> np.ndarray:
    """Draw the ELBO, the log-likelihood and the KL over training, and mark the best row.

    ELBO = E_q log p(x|z) - KL(q(z|x) || p(z)), in nats per row: summed over the event, averaged over the rows.

    Args:
        history: `epoch` or `step`, and any of `train_elbo`, `validation_elbo`, `train_log_likelihood`,
            `validation_log_likelihood`, `train_kl`, `validation_kl`, all of one length, in nats; entries that are not
            finite (not measured there) are left out of the line.
        best: The row to mark; None takes that of the highest validation ELBO.
        mark: What the row `best` is called where it is given.

    Returns:
        An array of one Axes for each term present.

    Raises:
        DataError: `history` cannot be drawn, or has no row `best`.
    """
    table = training_curves_table(history)
    colours = theme()
    axis, x = next(iter(table.items()))
    if best is None:
        best, mark = best_row(table), "best"
    elif not 0 <= best < len(x):
        raise DataError(f"there is no row {best}, only 0 to {len(x) - 1}.", where="best", fix="Pass a row of history.")
    terms = [term for term in PANELS if any(f"{split}_{term}" in table for split in SPLITS)]
    notes = {term: "" if best is None else _best(table, axis, best, term, mark) for term in terms}
    # A title and a note with long numbers stand beside each other: inches of their letters, and of the axis.
    width = max(3.6, *(0.9 + 0.085 * len(PANELS[term]) + 0.065 * len(notes[term]) for term in terms))
    axes = new_axes(1, len(terms), size=(0.9 + width * len(terms), 3.2))[0]
    both = len({name.split("_", 1)[0] for name in table if name != axis}) > 1
    for ax, term in zip(axes, terms):
        dress(ax, title=PANELS[term], x=axis, y="nats per row" if ax is axes[0] else "")
        lines, names = [], []
        for split, colour, style in zip(SPLITS, (colours.first, colours.second), ("--" if both else "-", "-")):
            y = table.get(f"{split}_{term}")
            if y is not None:
                kept = np.isfinite(y)
                marker = "o" if kept.sum() <= 12 else None
                lines += ax.plot(x[kept], y[kept], style, color=colour, linewidth=1.6, marker=marker, markersize=3.5)
                names.append(split)
                if best is not None and kept[best]:
                    ax.plot(x[best], y[best], "o", color=colour, markersize=6, markeredgecolor=colours.background)
        if best is not None:
            ax.axvline(float(x[best]), color=colours.muted, linewidth=0.9, linestyle=":", zorder=1)
            ax.set_title(notes[term], loc="right", fontsize=8, color=colours.muted, pad=8)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if x.min() == x.max():
            ax.set_xlim(x[0] - 1, x[0] + 1)
        if both and ax is axes[0]:
            legend(ax, lines, names, loc="best")
    return axes


def _best(table: Mapping[str, np.ndarray], axis: str, row: int, term: str, mark: str) -> str:
    text = f"{mark} {axis} {round(float(table[axis][row]), 2):.12g}"
    for split in reversed(SPLITS):
        value = table.get(f"{split}_{term}")
        if value is not None and np.isfinite(value[row]):
            return f"{text}: {split} {value[row]:.2f}".replace("-", "\N{MINUS SIGN}")
    return text


INNER, OUTER = 0.5, 0.9
"""The shares of draws that lie within the two bands."""


def bands(data: ArrayLike, draws: ArrayLike, *, names: Sequence[str] = (), place: str = "place in the row") -> Made:
    """Draw each row as a line over the bands that hold 50 % and 90 % of samples of p(x|z), z from q(z|x)."""
    # names: of the rows, above each. place: what a place in a row is called. A missing cell, NaN, leaves a gap.
    # The table has `row`, `place`, `data`, and of the samples the `mean` and the quantiles that bound the bands (`q05`,
    # `q25`, `q75`, `q95`), as equally long columns.
    x, drawn = numbers(data, "data", ndim=2, finite=False), numbers(draws, "draws", ndim=3)
    if drawn.shape[1:] != x.shape:
        what = f"samples of shape {drawn.shape} do not fit rows of shape {x.shape}."
        raise DataError(what, where="draws", fix="Give (K, n, T) for (n, T).")
    outer, inner = (1.0 - OUTER) / 2, (1.0 - INNER) / 2
    low, near, high_near, high = np.quantile(drawn.astype(float), [outer, inner, 1 - inner, 1 - outer], axis=0)
    row, at = (index.ravel() for index in np.indices(x.shape))
    table = {"row": row, "place": at, "data": x.ravel(), "mean": drawn.astype(float).mean(0).ravel()}
    table |= {"q05": low.ravel(), "q25": near.ravel(), "q75": high_near.ravel(), "q95": high.ravel()}
    count, length = x.shape
    if count > 12:
        raise DataError(f"bands are drawn for 1 to 12 rows, not {count}.", where="data", fix="Choose up to 12 of them.")
    colours, across = theme(), min(3, count)
    axes = panels(count, across, (0.6 + 3.4 * across, 0.7 + 1.9 * -(-count // across)))
    steps = np.arange(length)
    handles: list = []
    for i, ax in enumerate(axes):
        here = {name: values[i * length : (i + 1) * length] for name, values in table.items()}
        dress(ax, x=place if i >= count - across else "")
        wide = ax.fill_between(steps, here["q05"], here["q95"], color=colours.first, alpha=0.18, linewidth=0)
        near = ax.fill_between(steps, here["q25"], here["q75"], color=colours.first, alpha=0.35, linewidth=0)
        (mean,) = ax.plot(steps, here["mean"], color=colours.first, linewidth=1.2)
        (line,) = ax.plot(steps, here["data"], color=colours.second, linewidth=1.2)
        if names:
            ax.set_title(names[i], fontsize=8, color=colours.text, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        handles = [line, mean, near, wide]
    headline(axes, "Rows and what the model expects")
    names = ["data", "mean of draws", "50 % of draws", "90 %"]
    legend(figure_of(axes), handles, names, loc="upper right", ncols=4, borderaxespad=0.2)
    return axes, table
