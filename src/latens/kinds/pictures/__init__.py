"""Pictures: folders of them, IDX files, drawn shapes and pairs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latens.kinds.base import Rows, option

if TYPE_CHECKING:
    from latens.data.door import Coming
    from latens.data.schema import Schema

MOST_SIDE = 8192
"""Pixels of the side of a picture at the most."""


@dataclass(kw_only=True, eq=False)
class Pictures(Rows):
    """Rows that are pictures."""

    title = "of pictures"

    size: int | None = option(
        "of a folder: the shorter side is scaled to N pixels, the centre kept (default: where sizes differ "
        "64, or their median side if that is smaller)",
        "N",
        most=MOST_SIDE,
        once=True,
    )
    pair: object = option(
        "pictures paired with those of DATA, by name or row: a row is then both, side by side",
        "DATA2",
        once=True,
        file=True,
    )

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return len(schema.shape) > 1

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return getattr(rows.raw.x, "ndim", 0) > 2
