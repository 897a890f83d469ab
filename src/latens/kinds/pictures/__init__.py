"""Pictures: folders of them, IDX files and drawn shapes."""

from dataclasses import dataclass

from latens.kinds.base import Kind, option

MOST_SIDE = 8192
"""Pixels of the side of a picture at the most."""


@dataclass(kw_only=True, eq=False)
class Pictures(Kind):
    """Rows that are pictures."""

    title = "pictures"

    size: int | None = option(
        "scale the shorter side of pictures in a folder to N pixels and crop the centre (default: if sizes differ, "
        "64 or the median side, whichever is smaller)",
        "N",
        most=MOST_SIDE,
        once=True,
    )
