"""What became of the latent dimensions while a model was trained."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.style import ThemeName, dress, figure_of, one_axes, ramp, theme_named

NAMED = 10  # up to this many units get a line with their number; of more a map is drawn


def unit_kl_history_table(steps: ArrayLike, kl: ArrayLike) -> dict[str, np.ndarray]:
    """Compute the numbers of `unit_kl_history`, step by step.

    Args:
        steps: Steps, shape (F,).
        kl: KL of every latent dimension (or level) in nats, shape (F, units).

    Returns:
        `step`, `unit` and `kl` in nats, as equally long columns.

    Raises:
        DataError: The lengths differ.
    """
    at, values = numbers(steps, "steps", ndim=1), numbers(kl, "kl", ndim=2)
    if len(at) != len(values):
        raise DataError(f"{len(at)} steps for {len(values)} rows.", where="kl", fix="Give one row for each step.")
    count = values.shape[1]
    return {"step": np.repeat(at, count), "unit": np.tile(np.arange(count), len(at)), "kl": values.ravel()}


def unit_kl_history(
    steps: ArrayLike, kl: ArrayLike, *, what: str = "unit", theme: ThemeName = "light", ax: Axes | None = None
) -> Axes:
    """Draw the KL of every latent dimension (or level) over training, in logarithmic time.

    Up to ten are lines, more of them a map, the one with the most KL at the end on top.

    Args:
        steps: Steps, shape (F,), rising, 0 allowed.
        kl: KL in nats, shape (F, units).
        what: What one of them is called.
        theme: "light" or "dark".
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        DataError: The lengths differ.
    """
    table = unit_kl_history_table(steps, kl)
    at, values, colours = np.asarray(steps, float), np.asarray(kl, float), theme_named(theme)
    count = values.shape[1]
    order = np.argsort(-values[-1], kind="stable")
    ax = one_axes((6.4, 3.6), theme) if ax is None else ax
    title = f"KL by {what} over training, {values[-1].sum():.2f} nats in all at the end"
    many = count > NAMED
    dress(ax, theme=theme, title=title, x="step (logarithmic from 1 on)", y=f"{what}, most KL first" if many else
          "KL (nats)", grid=None if many else "y")  # fmt: skip
    if many:
        edges = np.concatenate([[0], np.sqrt(np.maximum(at[:-1], 0.5) * at[1:]), [at[-1] * 1.05 + 1]])
        drawn = ax.pcolormesh(edges, np.arange(count + 1) - 0.5, values[:, order].T, cmap=ramp(theme), rasterized=True)
        ax.invert_yaxis()
        bar = figure_of(ax).colorbar(drawn, ax=ax, shrink=0.9, pad=0.02)
        dress(bar.ax, theme=theme, y="KL (nats)", grid=None)
    else:
        for rank, unit in enumerate(order):
            colour = colours.classes[rank % len(colours.classes)]
            ax.plot(at, values[:, unit], color=colour, linewidth=1.6)
            ax.annotate(f"{what} {unit}", (at[-1], values[-1, unit]), xytext=(4, 0), textcoords="offset points",
                        va="center", fontsize=8, color=colour, annotation_clip=False)  # fmt: skip
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_xlim(0, at[-1] * (1.05 if not many else 1.0) + 0.1)
    assert len(table["kl"]) == values.size
    return ax
