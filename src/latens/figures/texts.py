"""Rows of text as pictures: columns of lines, and tokens coloured by their bits."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from latens.errors import DataError
from latens.figures.style import (
    DEEP,
    PALE,
    Made,
    ThemeName,
    dress,
    legend,
    one_axes,
    ramp,
    readable,
    theme_named,
)

WIDEST, LONGEST = 100, 88
"""Characters of a line of several columns together, and of one line alone."""
LETTER, LINE = 0.085, 0.22
"""Inches of a letter of a fixed width, and of a line."""


def text_columns(
    columns: Sequence[Sequence[str]], names: Sequence[str], *, title: str = "", theme: ThemeName = "light"
) -> Made:
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
    colours = theme_named(theme)
    widths = [max(len(readable(text, LONGEST)) for text in (name, *texts)) + 3 for name, texts in zip(names, columns)]
    beside = sum(widths) <= WIDEST
    lines = max(map(len, columns)) + 1.4 if beside else sum(len(texts) + 1.9 for texts in columns)
    wide = max(sum(widths) if beside else max(widths), int(0.9 * len(title)) + 2, 30)
    ax = one_axes((0.3 + LETTER * wide, 0.45 + LINE * lines), theme)
    dress(ax, theme=theme, title=title or None, grid=None)
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


def token_bits(
    rows: Sequence[Sequence[str]], bits: Sequence[Sequence[float]], *, title: str = "", theme: ThemeName = "light"
) -> Made:
    """Draw the tokens of rows on the colour of their bits: what a model finds surprising."""
    # The table has a line for each token: its row, its place, itself, and its bits.
    if not rows or [len(row) for row in rows] != [len(row) for row in bits]:
        raise DataError("tokens and bits are not as many.", where="bits", fix="Give a number for every token.")
    table = {"row": [], "place": [], "token": [], "bits": []}
    for number, (row, own) in enumerate(zip(rows, bits)):
        for place, values in enumerate(zip(row, own)):
            for key, value in zip(table, (number, place, *values)):
                table[key].append(value)
    colours, colour = theme_named(theme), ramp(theme)
    most = max(1.0, float(np.quantile(table["bits"], 0.98)))
    shown = [_first(row) for row in rows]
    wide = max(sum(len(piece) for piece in row) for row in shown)
    wide = max(wide, int(0.7 * len(title)) + 2, 20)
    ax = one_axes((1.3 + 1.25 * LETTER * wide, 0.75 + 1.45 * LINE * len(rows)), theme)
    dress(ax, theme=theme, title=title or None, grid=None)
    ax.set_xlim(0, wide)
    ax.set_ylim(len(rows), 0)
    ax.set_axis_off()
    for number, row in enumerate(shown):
        across = 0
        for piece, value in zip(row, bits[number]):
            share = min(value / most, 1.0)
            place = (across, number + 0.08)
            ax.add_patch(Rectangle(place, len(piece), 0.84, facecolor=colour(share), edgecolor="none"))
            ink = PALE if share < 0.55 else DEEP
            middle = across + len(piece) / 2
            ax.text(middle, number + 0.5, readable(piece) if piece.strip() else piece, ha="center", va="center",
                    family="monospace", fontsize=9, color=ink)  # fmt: skip
            across += len(piece)
    bar = ax.figure.colorbar(ScalarMappable(Normalize(0, most), colour), ax=ax, fraction=0.04, pad=0.02)
    bar.set_label("bits", color=colours.text, fontsize=9)
    bar.ax.tick_params(labelsize=8, labelcolor=colours.muted, color=colours.muted)
    bar.outline.set_visible(False)
    kinds = {"row": int, "place": int, "token": object, "bits": float}
    return ax, {key: np.array(values, kinds[key]) for key, values in table.items()}


def _first(row: Sequence[str]) -> list[str]:
    """The first tokens of a row, as many as a line has room for; an end of a row is a mark."""
    kept, wide = [], 0
    for piece in row:
        piece = piece if len(piece) == 1 else f" {piece} "
        wide += len(piece)
        if wide > LONGEST:
            break
        kept.append(piece)
    return kept


def bits_by_position(
    curves: dict[str, np.ndarray], counts: np.ndarray, *, title: str = "", theme: ThemeName = "light"
) -> Made:
    """Draw the mean bits of the token at each place, a curve for each way to predict it."""
    # curves: of each its mean bits, of shape (places,). counts: how many rows have such a place.
    # The table has `place`, counted from 1, `rows`, and a column for each curve.
    places = np.arange(1, len(counts) + 1)
    if any(len(values) != len(counts) for values in curves.values()):
        raise DataError("curves are not as long as their counts.", where="counts", fix="Give a count for each place.")
    colours, ax = theme_named(theme), one_axes((7.2, 3.8), theme)
    dress(ax, theme=theme, title=title or None, x="place of the token in its row", y="bits a token")
    looks = ((colours.first, "-"), (colours.second, "-"), (colours.muted, "--"))
    lines = [
        ax.plot(places, values, look, color=colour, linewidth=1.5)[0]
        for values, (colour, look) in zip(curves.values(), looks)
    ]
    ax.set_ylim(bottom=0)
    legend(ax, lines, list(curves), theme=theme, loc="best")
    return ax, {"place": places, "rows": counts} | curves
