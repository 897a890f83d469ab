"""Rows that are sequences of steps: long tables, windows of series, recorded environments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from latens.kinds.base import Kind, later, option
from latens.kinds.tables import Table

if TYPE_CHECKING:
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Steps(Kind):
    """Rows that are sequences of steps, or windows of them."""

    title = "long tables, with a line for each step"
    endings = Table.samples
    ends, pictured = True, False
    lacks: ClassVar = {**Kind.lacks, "parts": ("a long table is made of all rows at once.", "Leave --ray out.")}
    wrong = later("latens.kinds.steps.sequences", "wrong_sequences")
    table = later("latens.commands._files", "table_of")
    store = later("latens.kinds.steps.long_tables", "store_steps")

    sequence: str | None = option("the column that identifies the sequence of a line; - for a single series", "COLUMN")
    time: str | None = option("the column with the times", "COLUMN")
    window: int | str | None = option(
        "cut sequences into windows of W steps, or of a duration such as 7d (default: whole sequences)", "W"
    )
    stride: int | str | None = option("steps between the starts of two windows (default: a quarter of a window)", "S")
    step: float | str | None = option(
        "the time between two steps, such as 1h; times are rounded to the nearest step (default: detected)", "TIME"
    )
    inputs: Sequence[str] | None = option(
        "a column that the model is conditioned on at every step; repeatable", "COLUMN", flag="input", many=True
    )
    longest: int | None = None  # steps that rows are stored at where they are whole sequences

    @classmethod
    def looks(cls, schema: "Schema") -> set[str]:
        return {"numbers", "series"}
