"""Kinds of rows, a folder each: how they are read and checked, their schema, and how they are written."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from latens.kinds.base import Defaults as Defaults
from latens.kinds.base import Kind as Kind
from latens.kinds.base import Option as Option
from latens.kinds.base import option as option
from latens.kinds.counts import Counts as Counts
from latens.kinds.numbers import Numbers as Numbers
from latens.kinds.pictures import Pictures as Pictures
from latens.kinds.steps import Steps as Steps
from latens.kinds.tables import Table as Table
from latens.kinds.text import Text as Text

if TYPE_CHECKING:
    from latens.data.loading import IncomingRows
    from latens.data.schema import Schema

KINDS: tuple[type[Kind], ...] = (Steps, Text, Table, Counts, Pictures, Numbers)
"""The kinds of rows that latens knows."""


@dataclass(kw_only=True, eq=False)
class Guessed(Numbers, Table, Text, Steps, Pictures, Counts):
    """Rows whose kind is told from the data and from what is said of them."""


OPTIONS: dict[str, Option] = {one.name: one.metadata["option"] for one in fields(Guessed) if "option" in one.metadata}
"""What may be said of rows, by name."""
FLAGS: dict[str, str] = {(one.flag or name).replace("-", "_"): name for name, one in OPTIONS.items()}
"""The names of flags, as the command has them in its arguments, and the options that they say."""


def kind_of(schema: "Schema") -> type[Kind]:
    """The kind of rows that a schema is of."""
    if schema.sequences is not None or schema.tokens is not None:
        return Steps if schema.sequences is not None else Text
    if schema.kind in ("mixed", "counts"):
        return Table if schema.kind == "mixed" else Counts
    return Pictures if len(schema.shape) > 1 else Numbers


def kind_of_rows(rows: "IncomingRows") -> type[Kind]:
    """The kind of rows that were read, where none was named."""
    if rows.long is not None or rows.raw.strings is not None:
        return Steps if rows.long is not None else Text
    if rows.typed or rows.raw.kinds is not None if rows.schema is None else rows.schema.kind == "mixed":
        return Table
    pictured = Pictures if getattr(rows.raw.x, "ndim", 0) > 2 else Numbers
    return Counts if rows.raw.cells else pictured
