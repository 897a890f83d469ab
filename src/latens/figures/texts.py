"""Rows of text as pictures: columns of lines."""

from collections.abc import Sequence

import numpy as np

from latens.errors import DataError
from latens.figures.style import Made, dress, one_axes, readable, theme

WIDEST, LONGEST = 100, 88
"""Characters of a line of several columns together, and of one line alone."""
LETTER, LINE = 0.085, 0.22
"""Inches of a letter of a fixed width, and of a line."""


def text_columns(columns: Sequence[Sequence[str]], names: Sequence[str], *, title: str = "") -> Made:
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
    colours = theme()
    widths = [max(len(readable(text, LONGEST)) for text in (name, *texts)) + 3 for name, texts in zip(names, columns)]
    beside = sum(widths) <= WIDEST
    lines = max(map(len, columns)) + 1.4 if beside else sum(len(texts) + 1.9 for texts in columns)
    wide = max(sum(widths) if beside else max(widths), int(0.9 * len(title)) + 2, 30)
    ax = one_axes((0.3 + LETTER * wide, 0.45 + LINE * lines))
    dress(ax, title=title or None, grid=None)
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
