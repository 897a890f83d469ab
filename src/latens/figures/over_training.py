"""What became of the latent dimensions while a model was trained."""

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.style import Made, ThemeName, colour_bar, dress, figure_of, one_axes, ramp, theme_named

NAMED = 10  # up to this many units get a line with their number; of more a map is drawn
_LABELS = 40  # a map has room for so many numbers of units
_LINE, _INSIDE = 9.0, 0.7  # points that a line of small text takes; the share of a figure's height that is drawn on


def spread(falling: Shaped[np.ndarray, " n"], gap: float) -> Shaped[np.ndarray, " n"]:
    """Move numbers apart until neighbours differ by a gap, and none further than it must."""
    # returns: the numbers after the movethose closest to the given ones by the sum of squares.
    # With the gaps taken out it is monotone regression: neighbours out of order are replaced by their mean.
    blocks: list[list[float]] = []
    for place, value in enumerate(falling.astype(float)):
        blocks.append([value + place * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (a, m), (b, n) = blocks.pop(-2), blocks.pop()
            blocks.append([(a * m + b * n) / (m + n), m + n])
    return np.repeat([value for value, _ in blocks], [int(n) for _, n in blocks]) - gap * np.arange(len(falling))


def unit_kl_history(
    steps: ArrayLike,
    kl: ArrayLike,
    *,
    kept: int | None = None,
    theme: ThemeName = "light",
) -> Made:
    """Draw the KL of every latent dimension (or level) over training, in logarithmic time."""
    # Up to ten are lines, more of them a map, the one with the most KL at the end on top.
    # kept: the step of `steps` whose model is kept: it is marked, and the total is of it; None for the last.
    # The table goes step by step.
    at, values = numbers(steps, "steps", ndim=1), numbers(kl, "kl", ndim=2)
    if len(at) != len(values):
        raise DataError(f"{len(at)} steps for {len(values)} rows.", where="kl", fix="Give one row for each step.")
    count = values.shape[1]
    table = {"step": np.repeat(at, count), "unit": np.tile(np.arange(count), len(at)), "kl": values.ravel()}
    at, values, colours = at.astype(float), values.astype(float), theme_named(theme)
    order = np.argsort(-values[-1], kind="stable")
    many = count > NAMED
    ax = one_axes((6.4, 1.2 + 0.15 * min(count, _LABELS) if many else 3.6), theme)
    row = len(at) - 1 if kept is None else int(np.flatnonzero(at == kept)[0])
    where = "at the end" if row == len(at) - 1 else f"at step {kept:,}, which is kept"
    title = f"KL by unit over training, {values[row].sum():.2f} nats in all {where}"
    dress(ax, theme=theme, title=title, x="step (logarithmic from 1 on)", y="unit, most KL first" if many else
          "KL (nats)", grid=None if many else "y")  # fmt: skip
    if many:
        edges = np.concatenate([[0], np.sqrt(np.maximum(at[:-1], 0.5) * at[1:]), [at[-1] * 1.05 + 1]])
        drawn = ax.pcolormesh(edges, np.arange(count + 1) - 0.5, values[:, order].T, cmap=ramp(theme), rasterized=True)
        ax.invert_yaxis()
        stride = -(-count // _LABELS)
        ax.set_yticks(np.arange(0, count, stride), [str(unit) for unit in order[::stride]])
        colour_bar(drawn, ax, "KL (nats)", theme=theme, shrink=0.9, pad=0.02)
    else:
        for rank, unit in enumerate(order):
            ax.plot(at, values[:, unit], color=colours.classes[rank], linewidth=1.6)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high)
        tall = 72.0 * figure_of(ax).get_figheight() * _INSIDE / (high - low)  # points for one nat
        lifts = tall * (spread(values[-1, order], _LINE / tall) - values[-1, order])
        for rank, (unit, lift) in enumerate(zip(order, lifts)):
            ax.annotate(f"unit {unit}", (at[-1], values[-1, unit]), xytext=(4, lift), textcoords="offset points",
                        va="center", fontsize=8, color=colours.classes[rank], annotation_clip=False)  # fmt: skip
    if row < len(at) - 1:
        ax.axvline(float(at[row]), color=colours.background if many else colours.muted, linewidth=0.9, linestyle=":")
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_xlim(0, at[-1] * (1.05 if not many else 1.0) + 0.1)
    return ax, table
