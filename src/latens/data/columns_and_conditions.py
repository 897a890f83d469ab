"""What a schema calls by name: columns of a table, and conditions of its rows."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

MAX_NAME = 1000
MOST_NAMES = 4096  # of a condition
# A shift or scale must survive float32, also when it is inverted.
MAX_SHIFT, MIN_SCALE, MAX_SCALE = 1e38, 1e-37, 1e37

Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
Shift: TypeAlias = Annotated[float, Meta(ge=-MAX_SHIFT, le=MAX_SHIFT)]
Scale: TypeAlias = Annotated[float, Meta(ge=MIN_SCALE, le=MAX_SCALE)]


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """One column of a table: its name and, for real columns, the shift and scale that standardise it.

    Those of a column of counts standardise log(1 + x).

    Args:
        name: Name of the column.
        shift: What is subtracted, in the unit of the column.
        scale: What the difference is divided by, above 0.
    """

    name: Name
    shift: Shift = 0.0
    scale: Scale = 1.0


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """One condition: its names, or what standardises its numbers; and what it is where nothing is said."""

    name: Name
    values: Annotated[tuple[Name, ...], Meta(max_length=MOST_NAMES)] = ()
    usual: Shift = 0.0  # the place of the commonest name, or the median
    scale: Scale = 1.0
    low: Shift = 0.0  # the least number of the training rows, and the largest
    high: Shift = 0.0

    @property
    def width(self) -> int:
        """How many numbers of the vector it is."""
        return len(self.values) or 1

    @property
    def usually(self) -> str:
        """What it is where nothing is said, as text."""
        return self.values[int(self.usual)] if self.values else f"{self.usual:g}"

    @property
    def told(self) -> str:
        """What it holds, in words."""
        return (
            f"{self.name} ({len(self.values)} names)" if self.values else f"{self.name} ({self.low:g} to {self.high:g})"
        )
