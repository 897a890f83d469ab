"""How much each latent dimension carries."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import dress, legend, one_axes, theme
from latens.figures.validation import numbers

_NAMED = 30  # up to this many bars, every bar has room for the number of its unit


def unit_kl_table(kl_per_unit: ArrayLike, active: ArrayLike | None = None) -> dict[str, np.ndarray]:
    """Compute the numbers of `unit_kl_bars`, largest KL first; equal ones stay in their order.

    Args:
        kl_per_unit: As for `unit_kl_bars`.
        active: As for `unit_kl_bars`.
    """
    kl = numbers(kl_per_unit, "kl_per_unit", ndim=1)
    order = np.argsort(-kl.astype(float), kind="stable")
    table = {"unit": order, "kl": kl[order]}
    if active is not None:
        flags = numbers(active, "active", ndim=1).astype(bool)
        if flags.shape != kl.shape:
            what = f"{len(flags)} flags for {len(kl)} units."
            raise DataError(what, where="active", fix="Give one truth value for each unit.")
        table["active"] = flags[order]
    return table


def unit_kl_bars(kl_per_unit: ArrayLike, active: ArrayLike | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the KL of each latent dimension as bars, largest first, active ones apart from inactive ones.

    Args:
        kl_per_unit: KL to the prior of each latent dimension in nats, averaged over the data, shape (units,).
        active: Which are active (by any rule: what is drawn is what is given), shape (units,); or None.
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes.

    Raises:
        DataError: The numbers are empty, not finite, or differ in length.
    """
    table = unit_kl_table(kl_per_unit, active)
    colours = theme()
    kl, flags = table["kl"], table.get("active")
    count = len(kl)
    if ax is None:
        ax = one_axes((float(np.clip(2.6 + 0.16 * count, 4.6, 10.0)), 3.4))
    title = f"KL of {count} latent unit{'s' if count > 1 else ''}, {kl.sum(dtype=float):.2f} nats in all"
    few = "latent unit, largest KL first"
    x = few if count <= _NAMED else "rank of the latent unit by KL, from 0"
    dress(ax, title=title, x=x, y="KL (nats)")
    on = np.ones(count, bool) if flags is None else flags
    # Inactive bars are hollow, so that the difference does not rest on colour alone.
    fill, edge = ([colours.first if flag else other for flag in on] for other in (colours.grid, colours.muted))
    thin = 0.6 if count <= 100 else 0.3
    ax.bar(np.arange(count), kl, width=0.8, color=fill, edgecolor=edge, linewidth=thin)
    if flags is not None:
        pairs = ((colours.first, colours.first), (colours.grid, colours.muted))
        handles = [Patch(facecolor=fill, edgecolor=edge) for fill, edge in pairs]
        names = [f"active: {int(on.sum())}", f"inactive: {int((~on).sum())}"]
        legend(ax, handles, names, loc="upper right")
    if count <= _NAMED:
        ax.set_xticks(np.arange(count), [str(unit) for unit in table["unit"]])
    margin = 0.02 * count if count > 3 else 1.5
    ax.set_xlim(-0.5 - margin, count - 0.5 + margin)
    ax.axhline(0.0, color=colours.muted, linewidth=0.8)
    return ax
