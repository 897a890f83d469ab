"""Rows of numbers: arrays in memory and in files, binary, in levels or real."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latens.kinds.base import Rows, option

if TYPE_CHECKING:
    from latens.data.door import Coming
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Numbers(Rows):
    """Rows of numbers of the same kind in all columns."""

    title = "numbers"

    counts: bool | None = option(
        "model whole numbers as log(1 + x) (default: if they have a long tail)", either=True, again=(bool,)
    )

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return True

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return True
