"""Pictures of the latent plane: where the data lies in it, and what it decodes to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.images import as_images, manifold
from latens.figures.style import (
    Made,
    class_names,
    colour_bar,
    counted,
    dress,
    figure_of,
    legend,
    new_axes,
    numbers,
    one_axes,
    ramp,
    theme,
    unframed,
)

MARKERS = ("o", "s", "^", "D", "v")
_NAMES, _BESIDE = 17, 0.75  # names in a column of the legend; inches that a figure has for it
_RASTER = 2000  # from this many points on, an SVG holds the points as one picture: it stays small


def _points(z: ArrayLike) -> np.ndarray:
    points = numbers(z, "z", ndim=2)
    if points.shape[1] != 2:
        what = f"shape {points.shape}; a plane has 2 units."
        raise DataError(what, where="z", fix="Choose two columns, z[:, [i, j]], or project.")
    return points


def _labels(label: ArrayLike, count: int, classes: Sequence[object] | None) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers 0 .. classes - 1 (-1 for none), and the names."""
    given = np.asarray(label)
    if given.shape != (count,):
        raise DataError(f"shape {given.shape} for {count} points.", where="label", fix="Give one label for each point.")
    if classes is None:
        missing = given < 0 if given.dtype.kind in "if" else np.zeros(count, bool)
        values, index = np.unique(given[~missing], return_inverse=True)
        codes = np.full(count, -1)
        codes[~missing] = index
        return codes, class_names(values)
    names = class_names(classes)
    if given.dtype.kind not in "biu":
        raise DataError(f"labels of {given.dtype} with class names.", where="label", fix="Pass their numbers, from 0.")
    codes = given.astype(np.int64)
    if codes.max() >= len(names):
        what = f"label {codes.max()}, but only {len(names)} classes."
        raise DataError(what, where="label", fix="Count labels from 0.")
    return np.maximum(codes, -1), names


def latent_scatter_table(
    z: ArrayLike,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    *,
    units: tuple[int, int] = (0, 1),
) -> dict[str, np.ndarray]:
    """Compute the numbers of `latent_scatter`.

    Args:
        z: As for `latent_scatter`.
        label: As for `latent_scatter`.
        classes: As for `latent_scatter`.
        units: As for `latent_scatter`.
    """
    points = _points(z)
    table = {f"latent_{unit}": points[:, column] for column, unit in enumerate(units)}
    if label is not None:
        codes, names = _labels(label, len(points), classes)
        table |= {"label": codes, "class": np.array([*names, ""], dtype=object)[codes]}
    return table


def latent_scatter(
    z: ArrayLike,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    *,
    units: tuple[int, int] = (0, 1),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw points of the latent plane, coloured by class, with a legend.

    Eleven to fifty classes also differ by marker; more than fifty get a colour bar of their number. Both axes have one
    scale, so a dimension that carries nothing looks narrow.

    Args:
        z: Points, shape (n, 2).
        label: Shape (n,): numbers of `classes` from 0, or any values where `classes` is not given; negative is "no
            label", drawn in grey. None: no classes.
        classes: Names of the classes, or None.
        units: The two latent dimensions that are shown, counted from 0.
        title: Title of the Axes, or None.
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes; its collections hold the points.

    Raises:
        DataError: Shapes do not fit, or numbers are not finite.
    """
    table = latent_scatter_table(z, label, classes, units=units)
    points = _points(z)
    ax = one_axes((6.4, 5.2)) if ax is None else ax
    dress(ax, title=title, x=f"latent unit {units[0]}", y=f"latent unit {units[1]}", grid="both")
    count = len(points)
    look: dict[str, Any] = {"s": float(np.clip(16000 / count, 5, 30)), "alpha": float(np.clip(2500 / count, 0.65, 0.9))}
    look |= {"linewidths": 0, "rasterized": count > _RASTER}
    codes = table.get("label")
    if codes is not None and codes.max() >= len(MARKERS) * 10:
        drawn = ax.scatter(points[:, 0], points[:, 1], c=codes, cmap=ramp(), **look)
        bar = colour_bar(drawn, ax, "class number", shrink=0.8, pad=0.02)
        unframed(bar.ax)
        if bar.solids is not None:
            bar.solids.set_alpha(1.0)
    elif codes is not None:
        _draw_classes(ax, points, codes, dict(zip(codes.tolist(), table["class"])), look)
    else:
        ax.scatter(points[:, 0], points[:, 1], color=theme().first, **look)
    if (np.ptp(points, axis=0) == 0).all():
        ax.update_datalim([points[0] - 1.0, points[0] + 1.0])
        ax.autoscale_view()
    ax.set_aspect("equal", adjustable="datalim")
    return ax


def _draw_classes(ax: Axes, points: np.ndarray, codes: np.ndarray, names: dict[int, str], look: dict[str, Any]) -> None:
    colours = theme()
    palette = np.array([*colours.classes, colours.muted])
    # One collection for each marker and the points in their own order, so that no class is painted over another.
    for index, marker in enumerate(MARKERS):
        kept = (np.maximum(codes, 0) // 10) == index
        if kept.any():
            fill = palette[np.where(codes[kept] < 0, 10, codes[kept] % 10)]
            ax.scatter(points[kept, 0], points[kept, 1], c=fill.tolist(), marker=marker, **look)
    present = [int(code) for code in np.unique(codes)]
    shown = [code for code in present if code >= 0]
    shown = [shown[place] for place in counted([names[code] for code in shown])]
    present = shown + [code for code in present if code < 0]
    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[max(code, 0) // 10], color=palette[10 if code < 0 else code % 10])
        for code in present
    ]
    text = [names[code] if code >= 0 else "no label" for code in present]
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "ncols": 1 + (len(text) - 1) // _NAMES}
    drawn = legend(ax, handles, text, limit=40 if len(text) <= _NAMES else 20, **place)
    # Many names make the figure wider, not the points' place narrower.
    figure = figure_of(ax)
    wide = drawn.get_window_extent().width / figure.get_dpi()
    figure.set_figwidth(figure.get_figwidth() + max(0.0, wide - _BESIDE))


def two_views(
    z: ArrayLike,
    images: ArrayLike,
    latents: ArrayLike,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
) -> np.ndarray:
    """Draw the encoder's view (a scatter) beside the decoder's (images on an even grid), on identical axes."""
    grid = np.asarray(latents, float)
    gaps = np.diff(grid[0, :, 0]) if grid.ndim == 3 else np.zeros(0)
    if len(gaps) < 1 or not np.allclose(gaps, gaps[0], rtol=1e-4, atol=0):
        what = "the grid is not evenly spaced, so it has no axes to share with a scatter."
        raise DataError(what, where="latents", fix="Make it with linear_grid.")
    ratio = as_images(images, "images", lead=2).shape
    axes = new_axes(1, 2, size=(11.0, 5.0 * ratio[2] / ratio[3] + 0.2))[0]
    manifold(images, grid, title="Decoder: means of p(x|z)", ax=axes[1])
    limits = axes[1].get_xlim(), axes[1].get_ylim()
    latent_scatter(z, label, classes, title="Encoder: means of q(z|x)", ax=axes[0])
    axes[0].set_aspect(axes[1].get_aspect(), adjustable="box")
    axes[0].set_xlim(*limits[0])
    axes[0].set_ylim(*limits[1])
    return axes


_POINTS = 121


def reach_curves(distances: Mapping[str, ArrayLike], most: float) -> Made:
    """Draw the share of moves after which a picture, or its class, is still the same, over their length in z."""
    found = {name: np.asarray(values, float).reshape(-1) for name, values in distances.items()}
    if not found or any(not len(values) or np.isnan(values).any() for values in found.values()):
        raise DataError("there is no distance, or NaN.", where="distances", fix="Give one for each move.")
    at = np.linspace(0.0, most, _POINTS)
    table = {"distance": at} | {f"same_{name}": (values > at[:, None]).mean(1) for name, values in found.items()}
    colours, ax = theme(), one_axes((5.6, 3.6))
    dress(ax, title="How far z moves until what it decodes to changes", x="distance in z",
          y="share still the same")  # fmt: skip
    styles = zip(distances, (colours.first, colours.second), ("-", "--"), strict=False)
    lines = [ax.plot(table["distance"], table[f"same_{n}"], s, color=c, linewidth=1.6)[0] for n, c, s in styles]
    ax.set_xlim(0.0, most)
    ax.set_ylim(0.0, 1.02)
    legend(ax, lines, [f"same {name}" for name in distances], loc="best")
    return ax, table


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
