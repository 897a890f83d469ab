"""The look of every figure, what each asks of its input, and how a figure and its numbers are saved.

No figure here touches `matplotlib.pyplot` or changes `rcParams` for others, so figures can be drawn in threads and
without a display.
"""

import io
import os
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.legend import Legend
from matplotlib.text import Text
from numpy.typing import ArrayLike

from latens.errors import DataError, UsageError, nearest, visible
from latens.kinds.tables.table_files import frame_bytes
from latens.runtime.atomic import as_path, resource_errors, write_atomic
from latens.typing import checked_later


def numbers(value: ArrayLike, name: str, *, ndim: int | tuple[int, ...], finite: bool = True) -> np.ndarray:
    """Check that a value is an array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        fix = "Give every row the same number of cells."
        raise DataError("its rows are of unequal length.", where=name, fix=fix) from None
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}, not real numbers.", where=name, fix="Convert it to float first.")
    if array.ndim not in allowed:
        wanted = " or ".join(str(n) for n in allowed)
        what = f"shape {array.shape} has {array.ndim} axes, {wanted} expected."
        raise DataError(what, where=name, fix="Reshape or index it.")
    if array.size == 0:
        raise DataError(f"shape {array.shape} holds nothing to draw.", where=name, fix="Pass at least one row.")
    if finite and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        what = f"{bad} of {array.size} values are NaN or infinite."
        raise DataError(what, where=name, fix="Drop or fill those entries first.")
    return array


def same_length(columns: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Check that the columns of a table are one-dimensional and equally long."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    if not arrays:
        raise DataError("the table has no columns.", where="table", fix="Pass at least one named array.")
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        what = f"columns must be 1-d and equally long, not {shapes}."
        raise DataError(what, where="table", fix="Flatten or cut them to match.")
    return arrays


def counted(names: Sequence[str]) -> list[int]:
    """The places of names as a reader counts, kind 2 before kind 10; names that are not sorted keep their own order."""
    if list(names) != sorted(names):
        return list(range(len(names)))
    # A text splits into words at even places and whole numbers at odd ones.
    parts = [[int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))] for name in names]
    return sorted(range(len(names)), key=parts.__getitem__)


def class_names(classes: Iterable[object]) -> list[str]:
    """Give the names of classes as strings, in order."""
    return [str(name) for name in classes]


def both_columns(
    data: ArrayLike, samples: ArrayLike, names: Sequence[object]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Check data and samples in the same named columns."""
    left, right = numbers(data, "data", ndim=2, finite=False), numbers(samples, "samples", ndim=2, finite=False)
    titles = class_names(names)
    if not left.shape[1] == right.shape[1] == len(titles):
        what = f"{left.shape[1]} columns of data, {right.shape[1]} of samples, {len(titles)} names."
        fix = "Pass one name for each column, and samples with the columns of the data."
        raise DataError(what, where="names", fix=fix)
    return left, right, titles


DPI = 225
# Dates would change the bytes of a picture that has not changed.
_METADATA = {"png": {"Software": "latens"}, "svg": {"Date": None, "Creator": "latens"}}
_SALT_LOCK = threading.Lock()

Drawn: TypeAlias = Axes | Figure | np.ndarray
"""What a figure is found by: itself, its Axes, or an array of these."""

Made = tuple[Any, dict[str, np.ndarray]]
"""A picture: its Axes and the table of its numbers."""


@dataclass(frozen=True)
class Theme:
    """The colours of one theme."""

    background: str
    text: str
    muted: str  # colour of axes and notes
    grid: str  # colour of grid lines
    first: str  # colour of the first kind of data
    second: str  # colour of the second kind of data
    classes: tuple[str, ...]  # ten colours of classes, apart under simulated colour blindness
    ramp: tuple[float, float]  # the part of viridis, from 0 to 1, that shows continuous numbers


# The same marks on both backgrounds: two colours of Okabe & Ito (Color Universal Design), and ten of classes, found by
# a search that holds every pair apart by 0.115 in OKLab under each simulated colour blindness, and all from both.
MARKS: dict[str, Any] = {
    "first": "#0072b2",
    "second": "#d55e00",
    "classes": (
        *("#444db4", "#eb9901", "#2d8f65", "#b964bb", "#af040c"),
        *("#5ebd93", "#7f3971", "#c09cf1", "#fa1a03", "#9235fe"),
    ),
    "ramp": (0.15, 0.87),
}
THEMES: dict[str, Theme] = {
    "light": Theme(background="#ffffff", text="#22262b", muted="#6b737d", grid="#e4e7eb", **MARKS),
    "dark": Theme(background="#16191f", text="#e6e9ee", muted="#98a1ad", grid="#2c323b", **MARKS),
}
PALE, DEEP = "#fefefe", "#16181e"
"""Words on a coloured cell, whatever the theme."""
_GROUND = ("background", "text", "muted", "grid")


def darkened(svg: bytes) -> bytes:
    """A picture of the light theme in the dark one."""
    light, dark = THEMES["light"], THEMES["dark"]
    turned = {getattr(light, name).encode(): getattr(dark, name).encode() for name in _GROUND}
    return re.sub(b"|".join(turned), lambda found: turned[found[0]], svg)


_THEME: ContextVar[str] = ContextVar("theme", default="light")


def theme() -> Theme:
    """The colours that figures are drawn in."""
    return THEMES[_THEME.get()]


@contextmanager
def themed(name: str) -> Iterator[None]:
    """Draw figures in a theme: "light", as without it, or "dark"."""
    if name not in THEMES:
        raise UsageError(f"there is no theme {name!r}.", where="theme", fix=nearest(name, THEMES))
    token = _THEME.set(name)
    try:
        yield
    finally:
        _THEME.reset(token)


def ramp() -> Colormap:
    """Make the colour map of continuous numbers: viridis without the end that fades into the background."""
    low, high = theme().ramp
    colours = matplotlib.colormaps["viridis"](np.linspace(low, high, 256))
    return LinearSegmentedColormap.from_list("latens", colours)


def new_axes(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (6.0, 4.2), widths: Sequence[float] | None = None
) -> np.ndarray:
    """Make Axes on a new figure; `axes[0, 0].figure` is the figure."""
    figure = Figure(figsize=size, dpi=DPI, facecolor=theme().background, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots(rows, columns, squeeze=False, width_ratios=widths)


def one_axes(size: tuple[float, float]) -> Axes:
    """Make a single Axes on a new figure."""
    return new_axes(size=size)[0, 0]


def dress(
    ax: Axes, *, title: str | None = None, x: str = "", y: str = "", grid: Literal["x", "y", "both"] | None = "y"
) -> Axes:
    """Give Axes the house style: title on the left, quiet axes with their unit, a faint grid behind the data."""
    colours = theme()
    ax.set_facecolor(colours.background)
    if title:
        ax.set_title(readable(title, 90), loc="left", fontsize=11, color=colours.text, pad=8)
    ax.set_xlabel(x, fontsize=9, color=colours.text)
    ax.set_ylabel(y, fontsize=9, color=colours.text)
    ax.tick_params(labelsize=8, color=colours.muted, labelcolor=colours.muted, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.muted)
        spine.set_linewidth(0.8)
    ax.set_axisbelow(True)
    if grid is not None:
        ax.grid(True, axis=grid, color=colours.grid, linewidth=0.8)
    return ax


def bare(ax: Axes) -> None:
    """Take the ticks and the frame away from Axes that show a picture."""
    ax.set_xticks([])
    ax.set_yticks([])
    unframed(ax)


def unframed(ax: Axes) -> None:
    """Take the frame away."""
    for spine in ax.spines.values():
        spine.set_visible(False)


def colour_bar(drawn: ScalarMappable, axes: Any, says: str, **options: Any) -> Colorbar:
    """Add the key of a colour map, with the words for its numbers."""
    bar = figure_of(axes).colorbar(drawn, ax=axes, **options)
    dress(bar.ax, y=says, grid=None)
    return bar


def panels(count: int, across: int, size: tuple[float, float]) -> np.ndarray:
    """Make so many Axes, a few in each line."""
    grid = new_axes(-(-count // across), across, size=size)
    for spare in grid.flat[count:]:
        spare.remove()
    return grid.flat[:count]


def headline(axes: np.ndarray, words: str) -> None:
    """Write the title of several Axes."""
    figure_of(axes).suptitle(words, x=0.01, ha="left", fontsize=11, color=theme().text)


def legend(
    ax: Axes | Figure, handles: Sequence[Any], names: Sequence[str], *, limit: int = 40, **options: Any
) -> Legend:
    """Add a legend without a frame; names that begin with an underscore are shown like any other."""
    # Placeholders first: matplotlib drops entries whose label begins with an underscore.
    drawn = ax.legend(handles, ["-"] * len(names), frameon=False, fontsize=8, **options)
    for text, name in zip(drawn.get_texts(), names):
        text.set_text(readable(name, limit))
        text.set_color(theme().text)
    drawn.get_title().set_color(theme().muted)
    drawn.get_title().set_fontsize(8)
    return drawn


def figure_of(drawn: Any) -> Figure:
    """Find the figure of what was drawn."""
    if isinstance(drawn, np.ndarray):
        drawn = drawn.flat[0]
    return drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)


@cache
def _glyphs(font: str) -> frozenset[int]:
    return frozenset(get_font(font).get_charmap())


@cache
def _families() -> tuple[tuple[str, str], ...]:
    """Name and file of every upright font that is installed, those without serifs first."""
    # Fonts of last resort draw a box for every character; those of one style stand for their family.
    plain = (f for f in fontManager.ttflist if f.style == "normal" and f.weight == 400 and "LastResort" not in f.fname)
    found = {font.name: font.fname for font in plain}
    return tuple(sorted(found.items(), key=lambda pair: ("Sans" not in pair[0], pair)))


@cache
def family_of(character: str) -> str | None:
    """Find a font that can draw a character."""
    if ord(character) in _glyphs(findfont(FontProperties())):
        return ""
    return next((name for name, file in _families() if ord(character) in _glyphs(file)), None)


def readable(name: object, limit: int = 40) -> str:
    """Turn a name into text that matplotlib draws letter by letter."""
    # Dollar signs are escaped (no mathtext), characters that no installed font has become their number (U+4E2D), so
    # that names stay different, those that turn text around are spelled out, white space becomes one space, and long
    # names lose their middle. Tables keep the name as it is.
    text = visible(" ".join(str(name).split()))
    text = "".join(c if family_of(c) is not None else _spelled(c) for c in text)
    if len(text) > limit:
        head = (limit - 1) // 2
        text = f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
    return text.replace("$", r"\$")


def _spelled(character: str) -> str:
    # What only joins or varies its neighbours is nothing to see.
    unseen = unicodedata.category(character) == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F
    return "" if unseen else f"U+{ord(character):04X}"


def spell(drawn: Drawn) -> None:
    """Let text in scripts that matplotlib's own font lacks be drawn by an installed font that has them."""
    for text in figure_of(drawn).findobj(Text):
        families = {family for c in text.get_text() if not c.isascii() and (family := family_of(c))}
        if families:
            text.set_fontfamily(["sans-serif", *sorted(families)])


@checked_later
def save(
    figure: Figure | Axes | np.ndarray, path_stem: str | os.PathLike[str], table: Mapping[str, ArrayLike] | None = None
) -> tuple[Path, ...]:
    """Write `STEM.png`, `STEM.svg` and, with a table, `STEM.csv`; each is whole or absent, never torn.

    The same figure and numbers give the same bytes: no dates, fixed ids. The folder is made where it is missing.

    Args:
        figure: The figure, or the Axes that a drawing function returned.
        path_stem: Path without an ending.
        table: The numbers behind the picture: equally long columns by name (floats are written so that they read back
            exactly). None for no table.

    Returns:
        The paths written.

    Raises:
        DataError: The columns do not fit.
        ResourceError: The disk refuses.
    """
    stem, drawn = as_path(path_stem, "path_stem"), figure_of(figure)
    numbers = {} if table is None else {".csv": csv_bytes(table)}
    with laid_out(drawn):
        files = {f".{kind}": rendered(drawn, kind) for kind in _METADATA} | numbers
    paths = {ending: stem.with_name(stem.name + ending) for ending in files}
    with resource_errors(next(iter(paths.values()))):
        stem.parent.mkdir(parents=True, exist_ok=True)
    for ending, data in files.items():
        write_atomic(paths[ending], data)
    return tuple(paths.values())


@contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """Find the places of a figure's parts once for every picture of it made inside; a savefig finds them twice."""
    spell(figure)
    engine, before = figure.get_layout_engine(), figure.get_dpi()
    if engine is None:
        yield
        return
    figure.set_dpi(DPI)
    engine.execute(figure)
    figure.set_layout_engine(None)  # "none" leaves an engine that does nothing, for which a savefig draws once more
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
        figure.set_dpi(before)


def rendered(figure: Figure | Axes | np.ndarray, kind: str, *, dpi: float = DPI) -> bytes:
    """Render a picture to bytes; the same figure gives the same bytes."""
    drawn, stream = figure_of(figure), io.BytesIO()
    spell(drawn)
    with _SALT_LOCK:
        before = matplotlib.rcParams["svg.hashsalt"]
        matplotlib.rcParams["svg.hashsalt"] = "latens"
        try:
            drawn.savefig(stream, format=kind, dpi=dpi, metadata=_METADATA[kind], facecolor=drawn.get_facecolor())
        finally:
            matplotlib.rcParams["svg.hashsalt"] = before
    return stream.getvalue()


def csv_bytes(table: Mapping[str, ArrayLike]) -> bytes:
    """Write a table as UTF-8 CSV: a header, then one line a row."""
    columns = {name: np.asarray(column) for name, column in same_length(table).items()}
    series = [pl.Series(n, c.astype(str) if c.dtype == object else c) for n, c in columns.items()]
    return frame_bytes(pl.DataFrame(series), Path("table.csv"))
