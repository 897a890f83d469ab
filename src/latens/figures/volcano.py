"""How genes differ between two groups: fold changes against how sure they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from latens.figures.checks import class_names, numbers
from latens.figures.style import Made, ThemeName, dress, one_axes, readable, theme_named

NAMED = 15
"""Genes whose names are drawn, as far as there is room."""
MOST = 15
"""The largest number on the upward axis; surer genes lie on a line there, as triangles."""
ABOVE = 1.3
"""How far above the line of those cut the picture reaches, over the height of the line: room for their names."""
NEAR, STEPS = 6.0, (0.0, 7.0, 16.0, 28.0, 44.0, 60.0)
"""How far from its point a name begins, and how much farther it may be moved, in points."""
LINE = 10.0
"""The width of an upright name, in points."""
CROSSED = 6.0
"""What a line through another name or line costs, in points that a name covers."""


def volcano(
    fold: ArrayLike,
    unchanged: ArrayLike,
    chosen: ArrayLike,
    names: Sequence[object],
    groups: tuple[str, str],
    *,
    delta: float,
    order: Sequence[int] | np.ndarray | None = None,
    theme: ThemeName = "light",
) -> Made:
    """Draw the log fold change of each gene and the probability that it does not change; those chosen in colour."""
    # chosen: true for the genes below the expected share of false discoveries. delta: what counts as a difference.
    # order: all genes as a list beside the picture has them; those chosen are named in it. None: the surest.
    x, p = (numbers(v, n, ndim=1).astype(float) for v, n in ((fold, "fold"), (unchanged, "unchanged")))
    picked = np.asarray(chosen, bool)
    y = np.minimum(-np.log10(np.maximum(p, 1e-300)), MOST)
    beyond = p < 10.0**-MOST
    table = {"gene": np.array(class_names(names), object), "log2_fold_change": x, "unchanged": p, "chosen": picked}
    colours = theme_named(theme)
    ax = one_axes((6.8, 4.8), theme)
    most = 24 if picked.any() else 16
    title = f"{readable(groups[0], most)} against {readable(groups[1], most)}"
    title += "" if picked.any() else f": no gene changes beyond {delta:g}"
    below = f"log2 fold change (to the right: more in {readable(groups[0], 16)})"
    dress(ax, theme=theme, title=title, x=below, y=f"-log10 of P(no change beyond {delta:g})", grid="both")
    for rows, colour, size in ((~picked, colours.muted, 10), (picked, colours.first, 16)):
        for kept, mark in ((rows & ~beyond, "o"), (rows & beyond, "^")):
            ax.scatter(x[kept], y[kept], s=size, color=colour, marker=mark, linewidths=0,
                       alpha=1.0 if colour == colours.first else 0.6)  # fmt: skip
    for side in (-delta, delta):
        ax.axvline(side, color=colours.muted, linewidth=0.8, linestyle=(0, (4, 3)))
    if beyond.any():
        ax.axhline(MOST, color=colours.muted, linewidth=0.8, linestyle=":")
        ax.set_yticks(np.arange(0, MOST, 2))
    wide = 0.08 * (float(np.ptp(x)) or 1.0)
    ax.set_xlim(float(x.min(initial=-delta)) - wide, float(x.max(initial=delta)) + wide)
    ax.set_ylim(-0.3, max(1.0, (ABOVE if beyond.any() else 1.12) * float(y.max(initial=0.0))))
    where = Room.of(ax, x, y, (-delta, delta), MOST if beyond.any() else None)
    if beyond.any():
        right = where.quieter(said := f"{MOST} and more")
        ax.annotate(said, (float(right), MOST), xycoords=("axes fraction", "data"), xytext=(0, -3), va="top",
                    textcoords="offset points", ha="right" if right else "left", fontsize=8,
                    color=colours.muted)  # fmt: skip
    listed = surest(x, p, picked) if order is None else [int(j) for j in order if picked[j]]
    above = upright(where, [j for j in listed if beyond[j]])
    words = [readable(name, 16) for name in names]
    beside = placed(where, [j for j in listed if not beyond[j]], words)
    for j in [j for j in listed if j in above or j in beside][:NAMED]:
        if j in above:
            ax.annotate(readable(names[j], 12), (x[j], MOST), xytext=(0, 6), textcoords="offset points", ha="center",
                        va="bottom", fontsize=8, color=colours.text, rotation=90)  # fmt: skip
            continue
        right, up, far = beside[j]
        line = {"arrowstyle": "-", "color": colours.muted, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        ax.annotate(words[j], (x[j], y[j]), xytext=(right, up), textcoords="offset points", ha="center",
                    va="center", fontsize=8, color=colours.text, arrowprops=line if far > NEAR else None)  # fmt: skip
    return ax, table


def surest(fold: np.ndarray, unchanged: np.ndarray, chosen: np.ndarray) -> list[int]:
    """The genes chosen, the surest first, among equally sure ones those that change most."""
    sure = np.maximum(unchanged, 10.0**-MOST)
    order = np.lexsort((-np.abs(fold), sure))
    return [int(j) for j in order if chosen[j]]


@dataclass(frozen=True)
class Room:
    """Where names may lie, in points from the lower left corner of the axes."""

    at: Float[np.ndarray, "genes 2"]
    size: Float[np.ndarray, " 2"]  # how wide the axes are, and how far up names of genes below the line may reach
    upright: Float[np.ndarray, " k"]  # where upright lines stand, which no name crosses
    taken: list[tuple[np.ndarray, np.ndarray]]  # middles and half sizes of words that are there

    @classmethod
    def of(cls, ax: Any, x: np.ndarray, y: np.ndarray, upright: Sequence[float], line: float | None) -> "Room":
        """The room of axes whose limits are set; a name of a gene below `line` stays below it."""
        box, (left, right), (low, high) = ax.get_position(), ax.get_xlim(), ax.get_ylim()
        scale = ax.figure.get_size_inches() * 72.0 * (box.width, box.height)
        across = lambda values: (np.asarray(values) - left) / (right - left) * scale[0]  # noqa: E731
        at = np.stack([across(x), (y - low) / (high - low) * scale[1]], axis=1)
        top = scale[1] if line is None else (line - low) / (high - low) * scale[1]
        return cls(at, np.array([scale[0], top]), across(upright), [])

    def crosses(self, middle: np.ndarray, half: np.ndarray) -> bool:
        """Whether words would lie over an upright line."""
        return bool((np.abs(self.upright - middle[0]) < half[0] + 1.0).any())

    def covered(self, middle: np.ndarray, half: np.ndarray) -> int:
        """How many genes words would lie over."""
        return int((np.abs(self.at - middle) < half + 2.0).all(axis=1).sum())

    def quieter(self, words: str) -> bool:
        """Whether words below the line lie better at its right end than at its left one; they take that place."""
        half = half_of(words)
        ends = [np.array([across, self.size[1] - 3.0 - half[1]]) for across in (half[0], self.size[0] - half[0])]
        cost = [self.covered(end, half) + CROSSED * self.crosses(end, half) for end in ends]
        right = cost[1] < cost[0]
        self.taken.append((ends[int(right)], half))
        return right


def half_of(words: str) -> Float[np.ndarray, " 2"]:
    """Half the width and height of words, in points."""
    return np.array([2.6 * len(words) + 2.0, 5.0])


def upright(room: Room, genes: Sequence[int]) -> list[int]:
    """The genes on the line of those that are surest whose names have room above them, side by side."""
    kept: list[int] = []
    half = np.array([LINE / 2.0, 0.0])
    for j in genes:
        if all(abs(room.at[j, 0] - room.at[other, 0]) >= LINE for other in kept) and not room.crosses(room.at[j], half):
            kept.append(j)
    return kept


def placed(room: Room, genes: Sequence[int], words: Sequence[str]) -> dict[int, tuple[float, float, float]]:
    """Where the middle of each name lies: points to the right of and above its gene, and how far from it."""
    # Names avoid one another, the edges and upright lines, and as many points and lines as they can, at as small a
    # distance as that takes. One that finds no place is left out.
    at = room.at
    taken = list(room.taken)
    lines: list[tuple[np.ndarray, np.ndarray]] = []
    found: dict[int, tuple[float, float, float]] = {}
    for j in genes:
        if len(found) == NAMED:
            break
        half = half_of(words[j])
        best: tuple[float, np.ndarray, float] | None = None
        for step in STEPS:
            for angle in np.arange(12) * np.pi / 6:
                turn = np.array([np.cos(angle), np.sin(angle)])
                away = turn * (NEAR + step) + half * turn
                middle = at[j] + away
                if (middle - half < 0).any() or (middle + half > room.size).any() or room.crosses(middle, half):
                    continue
                if any((np.abs(middle - other) < half + size).all() for other, size in taken):
                    continue
                own = at[j], middle
                crossed = sum(_meets(*line, middle, half) or _cross(own, line) for line in lines)
                crossed += sum(_meets(*own, *box) for box in taken) if step else 0
                cost = room.covered(middle, half) + step / 8.0 + CROSSED * crossed
                if best is None or cost < best[0] - 1e-9:
                    best = cost, away, NEAR + step
        if best is not None:
            taken.append((at[j] + best[1], half))
            lines += [(at[j], at[j] + best[1])] if best[2] > NEAR else []
            found[j] = float(best[1][0]), float(best[1][1]), best[2]
    return found


def _meets(start: np.ndarray, end: np.ndarray, middle: np.ndarray, half: np.ndarray) -> bool:
    """Whether a line between two points touches a box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.stack([(middle - half - start) / (end - start), (middle + half - start) / (end - start)])
    inside = np.abs(start - middle) <= half
    along = end != start
    if not (inside | along).all():
        return False
    low, high = both.min(axis=0)[along], both.max(axis=0)[along]
    return bool(low.max(initial=0.0) <= high.min(initial=1.0))


def _cross(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether two lines cross."""
    (a, b), (c, d) = one, two

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
