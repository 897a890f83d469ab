"""Rate against distortion: how many nats a code costs, and what it leaves unsaid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, figure_of, one_axes, readable, theme_named

SHARES = np.linspace(0.0, 1.0, 40)
"""Places on a piece of a line that a word may hide."""


def rate_distortion(
    rate: ArrayLike, distortion: ArrayLike, names: Sequence[object], *, of: str = "", theme: ThemeName = "light"
) -> Made:
    """Draw KL(q(z|x) || p(z)) against -E_q log p(x|z), in nats per row; on a dotted line the ELBO is one number."""
    # Source: Alemi et al., Fixing a broken ELBO, 2018.
    r, d = numbers(rate, "rate", ndim=1), numbers(distortion, "distortion", ndim=1)
    if not len(r) == len(d) == len(names):
        what = f"{len(r)} rates, {len(d)} distortions, {len(names)} names."
        raise DataError(what, where="names", fix="Give one each.")
    table = {"name": np.array(class_names(names), object), "rate": r, "distortion": d, "elbo": -(r + d)}
    r, d, colours = r.astype(float), d.astype(float), theme_named(theme)
    ax = one_axes((5.6, 4.2), theme)
    dress(ax, theme=theme, title=f"Rate against distortion{of and f' of {of}'}", x="rate: KL (nats per row)",
          y="distortion: −log p(x|z) (nats per row)", grid="both")  # fmt: skip
    ax.plot(r, d, "-o", color=colours.first, linewidth=1.2, markersize=5, zorder=3)
    ax.margins(0.12)
    ax.autoscale_view()
    limits = ax.get_xlim(), ax.get_ylim()
    left = np.array(limits[0])
    best = int(np.argmin(r + d))
    words: list[tuple[str, list[tuple[float, float]], str]] = []
    own = {i for i, name in enumerate(names) if str(name).endswith(", kept")}
    for i in range(len(r)) if len(r) <= 4 else sorted({0, *(own or {best}), len(r) - 1}):
        words.append((readable(table["name"][i], 20), [(r[i], d[i])], colours.text))
    for total in sorted({float((r + d)[best]), float((r + d)[-1])}):
        ax.plot(left, total - left, ":", color=colours.muted, linewidth=1.0, zorder=1)
        along = np.linspace(max(left[0], total - limits[1][1]), min(left[1], total - limits[1][0]), 9)
        word = f"ELBO {-total:.1f}".replace("-", "\N{MINUS SIGN}")
        words.append((word, [(x, total - x) for x in along[[0, 8, 1, 7, 2, 6, 3, 5, 4]]], colours.muted))
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    _write(ax, words)
    return ax, table


def _write(ax: Axes, words: list[tuple[str, list[tuple[float, float]], str]]) -> None:
    """Write words beside their places, each where it covers no other word and little of a line, inside the picture."""
    figure = figure_of(ax)
    figure.draw_without_rendering()  # where the axes lie once laid out
    dot = figure.dpi / 72.0
    inside, taken = ax.get_window_extent(), []
    ends = [ax.transData.transform(line.get_xydata()) for line in ax.lines]
    drawn = np.concatenate([a + t * (b - a) for pair in ends for a, b in [(pair[:-1], pair[1:])] for t in SHARES])
    for word, places, colour in words:
        text = ax.annotate(word, places[0], xytext=(0, 0), textcoords="offset points", fontsize=8, color=colour)
        found = []

        def put(place: tuple[float, float], side: int, rise: int, away: int, text: Any = text) -> Any:
            text.xy = place
            text.set_position((side * away, rise * away))
            text.set_ha({1: "left", -1: "right", 0: "center"}[side])
            text.set_va({1: "bottom", -1: "top", 0: "center"}[rise])
            return text.get_window_extent().padded(2 * dot)

        for place in places:
            for away in (6, 14, 24):
                for side, rise in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)):
                    box = put(place, side, rise, away)
                    outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
                    over = outside + sum(box.overlaps(other) for other in taken)
                    found.append((over, box.count_contains(drawn), len(found), (place, side, rise, away)))
        taken.append(put(*min(found)[3]))
