"""How much each latent dimension carries, and each level of a hierarchy."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import ThemeName, dress, legend, one_axes, theme_named
from latens.figures.validation import numbers

_NAMED = 30  # up to this many bars, every bar has room for the number of its unit


def unit_kl_table(kl_per_unit: ArrayLike, active: ArrayLike | None = None) -> dict[str, np.ndarray]:
    """Compute the numbers of `unit_kl_bars`, largest KL first; equal ones stay in their order.

    Args:
        kl_per_unit: KL of each latent dimension in nats, shape (units,), finite.
        active: Whether each is active, shape (units,); or None.

    Returns:
        `unit` (counted from 0), `kl` in nats, and `active` if given.

    Raises:
        DataError: The numbers are empty, not finite, or differ in length.
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


def unit_kl_bars(
    kl_per_unit: ArrayLike, active: ArrayLike | None = None, *, theme: ThemeName = "light", ax: Axes | None = None
) -> Axes:
    """Draw the KL of each latent dimension as bars, largest first, active ones apart from inactive ones.

    Args:
        kl_per_unit: KL to the prior of each latent dimension in nats, averaged over the data, shape (units,).
        active: Which are active (by any rule: what is drawn is what is given), shape (units,); or None.
        theme: "light" or "dark".
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes.

    Raises:
        DataError: The numbers are empty, not finite, or differ in length.
    """
    table = unit_kl_table(kl_per_unit, active)
    colours = theme_named(theme)
    kl, flags = table["kl"], table.get("active")
    count = len(kl)
    if ax is None:
        ax = one_axes((float(np.clip(2.6 + 0.16 * count, 4.6, 10.0)), 3.4), theme)
    title = f"KL of {count} latent unit{'s' if count > 1 else ''}, {kl.sum(dtype=float):.2f} nats in all"
    few = "latent unit, largest KL first"
    x = few if count <= _NAMED else "rank of the latent unit by KL, from 0"
    dress(ax, theme=theme, title=title, x=x, y="KL (nats)")
    on = np.ones(count, bool) if flags is None else flags
    # Inactive bars are hollow, so that the difference does not rest on colour alone.
    fill, edge = ([colours.first if flag else other for flag in on] for other in (colours.grid, colours.muted))
    thin = 0.6 if count <= 100 else 0.3
    ax.bar(np.arange(count), kl, width=0.8, color=fill, edgecolor=edge, linewidth=thin)
    if flags is not None:
        pairs = ((colours.first, colours.first), (colours.grid, colours.muted))
        handles = [Patch(facecolor=fill, edgecolor=edge) for fill, edge in pairs]
        names = [f"active: {int(on.sum())}", f"inactive: {int((~on).sum())}"]
        legend(ax, handles, names, theme=theme, loc="upper right")
    if count <= _NAMED:
        ax.set_xticks(np.arange(count), [str(unit) for unit in table["unit"]])
    margin = 0.02 * count if count > 3 else 1.5
    ax.set_xlim(-0.5 - margin, count - 0.5 + margin)
    ax.axhline(0.0, color=colours.muted, linewidth=0.8)
    return ax


def level_kl_table(kl: ArrayLike, error: ArrayLike, shapes: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Compute the numbers of `level_kl_bars`, in the order of drawing.

    Args:
        kl: KL of each level in nats, lowest first, shape (levels,), finite.
        error: Its standard error, shape (levels,); NaN where there is none, as of one row.
        shapes: The shape of each level's latents.

    Returns:
        `level` (1 is the lowest, which is drawn last), `shape`, `kl` and `standard_error` in nats.

    Raises:
        DataError: The numbers are empty, not finite, or differ in length.
    """
    values, errors = numbers(kl, "kl", ndim=1), numbers(error, "error", ndim=1, finite=False)
    if not len(values) == len(errors) == len(shapes):
        what = f"{len(values)} levels with {len(errors)} errors and {len(shapes)} shapes."
        raise DataError(what, where="kl", fix="Give one of each for every level.")
    names = np.array([" x ".join(map(str, shape)) for shape in shapes])
    columns = {"level": np.arange(1, len(values) + 1), "shape": names, "kl": values, "standard_error": errors}
    return {name: column[::-1] for name, column in columns.items()}


def level_kl_bars(
    kl: ArrayLike,
    error: ArrayLike,
    shapes: Sequence[Sequence[int]],
    *,
    theme: ThemeName = "light",
    ax: Axes | None = None,
) -> Axes:
    """Draw the KL of each level of a hierarchy as bars with standard errors, in the order of drawing.

    Args:
        kl: KL of each level in nats, lowest first, shape (levels,), finite.
        error: Its standard error, shape (levels,); NaN where there is none, as of one row.
        shapes: The shape of each level's latents.
        theme: "light" or "dark".
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes.

    Raises:
        DataError: The numbers are empty, not finite, or differ in length.
    """
    table, colours = level_kl_table(kl, error, shapes), theme_named(theme)
    count = len(table["kl"])
    if ax is None:
        ax = one_axes((5.2, float(np.clip(1.4 + 0.3 * count, 2.4, 12.0))), theme)
    title = f"KL of {count} levels, {table['kl'].sum(dtype=float):.2f} nats in all"
    dress(ax, theme=theme, title=title, x="KL (nats)", y="level: its latents\n(in the order of drawing)")
    place = np.arange(count)
    error_bars = {"xerr": np.nan_to_num(table["standard_error"]), "ecolor": colours.muted}
    ax.barh(place, table["kl"], height=0.7, color=colours.first, **error_bars)
    ax.set_yticks(place, [f"{level}: {shape}" for level, shape in zip(table["level"], table["shape"], strict=True)])
    ax.set_ylim(count - 0.4, -0.6)
    ax.axvline(0.0, color=colours.muted, linewidth=0.8)
    return ax
