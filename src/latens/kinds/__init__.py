"""Kinds of rows, a folder each: how they are read and checked, their schema, and how they are written."""

from dataclasses import dataclass, fields

from latens.kinds.base import KINDS as KINDS
from latens.kinds.base import Kind as Kind
from latens.kinds.base import Option as Option
from latens.kinds.base import kind_of as kind_of
from latens.kinds.base import kind_of_rows as kind_of_rows
from latens.kinds.base import option as option
from latens.kinds.counts import Counts as Counts
from latens.kinds.numbers import Numbers as Numbers
from latens.kinds.pictures import Pictures as Pictures
from latens.kinds.steps import Steps as Steps
from latens.kinds.tables import Table as Table
from latens.kinds.text import Text as Text

KINDS.extend((Steps, Text, Table, Counts, Pictures, Numbers))


@dataclass(kw_only=True, eq=False)
class Guessed(Numbers, Table, Text, Steps, Pictures, Counts):
    """Rows whose kind is told from the data and from what is said of them."""


OPTIONS: dict[str, Option] = {one.name: one.metadata["option"] for one in fields(Guessed) if "option" in one.metadata}
"""What may be said of rows, by name."""
FLAGS: dict[str, str] = {(one.flag or name).replace("-", "_"): name for name, one in OPTIONS.items()}
"""The names of flags, as the command has them in its arguments, and the options that they say."""
