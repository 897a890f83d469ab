"""Tables: a frame of Polars is read, typed and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latens.kinds.base import Rows, option

if TYPE_CHECKING:
    from latens.data.dataset import Dataset
    from latens.data.door import Coming, Stored
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Table(Rows):
    """Rows of a table whose columns have a type and exact probabilities each."""

    title = "of tables"
    likelihood = (
        "table",
        "Columns are of several kinds: each has a probability of its own, of its names or of its grid.",
    )

    typed: bool = option(
        "columns of numbers, too, get a type and exact probabilities, as tables with text have them",
        default=False,
        yes=True,
        again=(bool,),
    )
    columns: Any = option(
        "what a column is: category, ordinal, number, date, duration, as size=ordinal:S,M,L or day=date:%%d/%%m/%%Y; "
        "may be given again",
        "NAME=KIND",
        flag="column",
        many=True,
        once=True,
        training=True,
    )
    derive: Any = option(
        'a column that is computed of others and not modelled, as "total = count * price"; may be given again',
        "COLUMN=EXPRESSION",
        many=True,
        once=True,
        training=True,
    )
    null: str | Sequence[str] | None = option(
        "a word that stands for an empty cell of a table; may be given again (default: empty cells alone are)",
        "WORD",
        many=True,
        again=(str, list),
    )
    decimal_comma: bool = option(
        "commas stand before decimals in a table of text", default=False, yes=True, again=(bool,)
    )
    separator: str | None = option(
        "what separates the cells of a table of text (default: looked at, and said)", "CHARACTER", once=True
    )
    encoding: str | None = option(
        "of a text table, such as cp1252 (default: UTF-8 or UTF-16, else guessed and said)", once=True
    )
    sheet: str | int | None = option("of a spreadsheet, by name or number from 1 (default: the first)", once=True)
    header: bool | None = option(
        "the first line of a text table names its columns, or is a row (default: looked at)", either=True, again=(bool,)
    )

    @classmethod
    def implies(cls) -> dict[str, Any]:
        return {"typed": True}

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return schema.kind == "mixed"

    @classmethod
    def report(cls, data: "Dataset") -> dict[str, Any]:
        from latens.kinds.tables.typed import report_table

        return report_table(data)

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return rows.typed or rows.raw.kinds is not None if rows.schema is None else rows.schema.kind == "mixed"

    @classmethod
    def store(cls, rows: "Coming") -> "Stored":
        from latens.kinds.tables.typed import store_table

        return store_table(rows)
