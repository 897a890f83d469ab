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
    """Rows of a table, in which each column has a kind and exact probabilities."""

    title = "tables"
    likelihood = (
        "table",
        "Columns have several kinds: each column has its own probability, of its categories or of its grid.",
    )

    typed: bool = option(
        "use kinds of columns and exact probabilities for a table of numbers",
        default=False,
        yes=True,
        again=(bool,),
    )
    columns: Any = option(
        "the kind of a column: category, ordinal, number, date or duration, such as size=ordinal:S,M,L or "
        "day=date:%%d/%%m/%%Y; repeatable",
        "NAME=KIND",
        flag="column",
        many=True,
        once=True,
        training=True,
    )
    derive: Any = option(
        'compute a column from others instead of modelling it, such as "total = count * price"; repeatable',
        "COLUMN=EXPRESSION",
        many=True,
        once=True,
        training=True,
    )
    null: str | Sequence[str] | None = option(
        "a word that marks a missing cell; repeatable (default: only empty cells are missing)",
        "WORD",
        many=True,
        again=(str, list),
    )
    decimal_comma: bool = option("numbers have a decimal comma, such as 1,5", default=False, yes=True, again=(bool,))
    separator: str | None = option(
        "the separator of the cells of a text table (default: detected and printed)", "CHARACTER", once=True
    )
    encoding: str | None = option(
        "the encoding of a text table, such as cp1252 (default: UTF-8, UTF-16, else detected and printed)", once=True
    )
    sheet: str | int | None = option("the sheet, by name or by number from 1 (default: the first)", once=True)
    header: bool | None = option(
        "whether the first line has the names of the columns (default: detected)", either=True, again=(bool,)
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
