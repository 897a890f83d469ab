"""The pictures of a report: each in light and dark inside the page, with an alternative text that holds its numbers."""

from typing import Any, NamedTuple

from latens.figures.style import figure_of, laid_out, rendered
from latens.pictures.draw import PICTURES
from latens.report.html import Html, data_uri, tag

_DPI = 150  # of a picture of pixels in the page
LARGEST_SVG = 120_000
"""Bytes up to which a picture stays made of lines, sharp at any size; larger ones become pixels."""


class Shot(NamedTuple):
    """One picture of a page, in both themes."""

    name: str
    caption: str
    alt: str
    light: tuple[bytes, str]  # its bytes in the light theme, and their kind ("svg" or "png")
    dark: tuple[bytes, str]  # the same in the dark theme
    inches: tuple[float, float]  # its width and height in inches


def shots(light: list, dark: list) -> list[Shot]:
    """Make the pictures of a page from what `draw_pictures` gave in the two themes."""
    return [
        Shot(
            name, PICTURES[name].caption, PICTURES[name].described(table), picture(axes), picture(other), _inches(axes)
        )
        for (name, axes, table), (_, other, _) in zip(light, dark)
    ]


def picture(axes: Any) -> tuple[bytes, str]:
    """Render a picture: as SVG where it is small, else as PNG."""
    with laid_out(figure_of(axes)):
        svg = rendered(axes, "svg")
        return (svg, "svg") if len(svg) <= LARGEST_SVG else (rendered(axes, "png", dpi=_DPI), "png")


def figure(shot: Shot) -> Html:
    """Make the element of a picture: the browser takes the one that goes with its theme."""
    width, height = (round(96 * side) for side in shot.inches)
    dark = tag("source", srcset=data_uri(*shot.dark), media="(prefers-color-scheme: dark)")
    light = tag("img", src=data_uri(*shot.light), alt=shot.alt, width=width, height=height)
    return tag("figure", tag("picture", dark, light), tag("figcaption", shot.caption))


def _inches(axes: Any) -> tuple[float, float]:
    width, height = figure_of(axes).get_size_inches()
    return float(width), float(height)
