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
    from latens.data.schema import Schema

KINDS: tuple[type[Kind], ...] = (Steps, Text, Table, Counts, Pictures, Numbers)
"""The kinds; rows that nothing was said of are of the first one that fits."""


@dataclass(kw_only=True, eq=False)
class Guessed(Numbers, Table, Text, Steps, Pictures, Counts):
    """Rows whose kind is told from the data and from what is said of them."""


OPTIONS: dict[str, Option] = {one.name: one.metadata["option"] for one in fields(Guessed) if "option" in one.metadata}
"""What may be said of rows, by name."""
FLAGS: dict[str, str] = {(one.flag or name).replace("-", "_"): name for name, one in OPTIONS.items()}
"""The names of flags, as the command has them in its arguments, and the options that they say."""


def kind_of(schema: "Schema") -> type[Kind]:
    """The kind of rows that a schema is of."""
    return next(one for one in KINDS if one.has(schema))
