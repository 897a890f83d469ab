"""Rate against distortion: how many nats a code costs, and what it leaves unsaid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import class_names, numbers, readable
from latens.figures.style import ThemeName, dress, one_axes, theme_named


def rate_distortion_table(rate: ArrayLike, distortion: ArrayLike, names: Sequence[object]) -> dict[str, np.ndarray]:
    """Compute the numbers of `rate_distortion`.

    Args:
        rate: KL(q(z|x) || p(z)) in nats per row, shape (n,).
        distortion: -E_q log p(x|z) in nats per row, shape (n,).
        names: A name for each point.

    Returns:
        `name`, `rate`, `distortion` and `elbo`, which is minus their sum, as equally long columns.

    Raises:
        DataError: The lengths differ.
    """
    r, d = numbers(rate, "rate", ndim=1), numbers(distortion, "distortion", ndim=1)
    if not len(r) == len(d) == len(names):
        raise DataError(
            f"{len(r)} rates, {len(d)} distortions, {len(names)} names.", where="names", fix="Give one each."
        )
    return {"name": np.array(class_names(names), object), "rate": r, "distortion": d, "elbo": -(r + d)}


def rate_distortion(
    rate: ArrayLike,
    distortion: ArrayLike,
    names: Sequence[object],
    *,
    joined: bool = True,
    of: str = "",
    theme: ThemeName = "light",
    ax: Axes | None = None,
) -> Axes:
    """Draw KL(q(z|x) || p(z)) against -E_q log p(x|z), in nats per row; on a dotted line the ELBO is one number.

    Args:
        rate: KL(q(z|x) || p(z)) in nats per row, shape (n,).
        distortion: -E_q log p(x|z) in nats per row, shape (n,).
        names: A name for each point (a step, a beta, a run).
        joined: Whether a line joins the points, in order.
        of: Which rows these are, for the title.
        theme: "light" or "dark".
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes.

    Raises:
        DataError: The lengths differ.

    Source: Alemi et al., Fixing a broken ELBO, 2018.
    """
    table = rate_distortion_table(rate, distortion, names)
    r, d, colours = table["rate"].astype(float), table["distortion"].astype(float), theme_named(theme)
    ax = one_axes((5.6, 4.2), theme) if ax is None else ax
    dress(ax, theme=theme, title=f"Rate against distortion{of and f' of {of}'}", x="rate: KL (nats per row)",
          y="distortion: −log p(x|z) (nats per row)", grid="both")  # fmt: skip
    ax.plot(r, d, "-o" if joined else "o", color=colours.first, linewidth=1.2, markersize=5, zorder=3)
    ax.margins(0.12)
    ax.autoscale_view()
    limits = ax.get_xlim(), ax.get_ylim()
    left = np.array(limits[0])
    best = int(np.argmin(r + d))
    for total in sorted({float((r + d)[best]), float((r + d)[-1])}):
        ax.plot(left, total - left, ":", color=colours.muted, linewidth=1.0, zorder=1)
        # The best one is named where its line leaves the picture, the last one where it enters: they may lie close.
        at_end = len(r) > 1 and total == float((r + d)[best]) < float((r + d)[-1])
        x = left[1] if at_end else max(left[0], total - limits[1][1])
        place: dict[str, Any] = {"ha": "right", "va": "top"} if at_end else {"ha": "left", "va": "bottom"}
        word = f"ELBO {-total:.1f}".replace("-", "\N{MINUS SIGN}")
        ax.annotate(word, (x, total - x), xytext=(-4 if at_end else 5, -4 if at_end else 4), fontsize=8,
                    textcoords="offset points", color=colours.muted, **place)  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    for i in range(len(r)) if len(r) <= 4 else sorted({0, best, len(r) - 1}):
        ax.annotate(readable(table["name"][i], 20), (r[i], d[i]), xytext=(6, 6), textcoords="offset points",
                    fontsize=8, color=colours.text)  # fmt: skip
    return ax
