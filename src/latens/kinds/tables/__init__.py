"""Tables: a frame of Polars is read, typed and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from latens.kinds.base import Defaults, Kind, later, option

if TYPE_CHECKING:
    from latens.data.schema import Schema


DRAWS = 5
"""Draws of the importance-weighted bound that `default` takes for mixed tables.

The ELBO smears kinds of rows that lie apart: of three kinds it gave 9 % of the probability to the others' cells, the
bound of 5 draws 4 %. Held-out log p(x) of Adult after 6,000 steps: -28.32 under the ELBO, -28.04 of 5 draws, -27.97 of
10, in 1, 1.8 and 2.8 times the time.
"""

COMPONENTS = 50
"""Components of the prior that `default` takes for mixed tables.

A standard Normal has mass between kinds of rows that lie apart; in the same comparison 5 draws with 10 components reach
-27.98, with 50 of them -27.95.
"""

WIDTH, RATE = 64, 5e-3
"""The width of the one hidden layer that networks have beside the start of a table, and the learning rate with it.

A rate of 3e-2 ends after few looks at validation rows: held-out log p(x) of breast cancer (455 rows of 31 columns) is
-279.9 nats with it, -278.1 at 1e-2 and -277.2 at 3e-3, and samples are told apart with an area of .65, .52 and .55. Of
Adult (2,400 rows) log p(x) is level, and the area .57, .56 and .53.

Without a start two layers of 256 units gain, after 2,000 steps of one seed and in nats a row: 2,000 planted rows -0.03,
diabetes +0.10, ten columns of breast cancer +0.39.
"""

LEFT_OUT = "leave out"
"""What a column is declared as that is not modelled."""

ENDINGS: dict[str, tuple[str, ...]] = {
    "text": (".csv", ".tsv", ".tab", ".txt", ".dat", ".data"),
    "json": (".jsonl", ".ndjson", ".json"),
    "sheets": (".xlsx", ".xls", ".ods"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc"),
}
"""Endings of tables by format; those of text and of JSON lines may be followed by one of `PACKED`."""
PACKED = (".gz", ".zst")
WRITTEN = (".csv", ".tsv", ".parquet", ".arrow", ".jsonl", ".xlsx")
"""Endings of tables that are written."""

HIDE = 0.25
"""The share of the training rows of a mixed table of which cells are hidden.

On 32,561 rows of Adult it costs 0.05 nats of log p(x), where a half would cost 0.12; without it gaps are filled worse
(in a test a mean of 28.6 where 0 is true, 16.9 with a half).
"""


@dataclass(kw_only=True, eq=False)
class Table(Kind):
    """Rows of a table, in which each column has a kind and exact probabilities."""

    title = "tables"
    likelihood = (
        "table",
        "Columns have several kinds: each column has its own probability, of its categories or of its grid.",
    )
    defaults = Defaults(
        width=WIDTH,
        rate=RATE,
        cells=128,
        latents=1.0,
        far=True,
        draws=DRAWS,
        components=COMPONENTS,
        hide=HIDE,
        scored=1000,
    )
    samples = (*WRITTEN, ".npz")
    implies: ClassVar = {"typed": True}
    lacks: ClassVar = {
        "means": (
            "the columns of a mixed table include categories and dates, which have no mean.",
            "Leave it out: samples are drawn.",
        ),
        "arrays": (
            "a mixed table contains categories and dates, which are not an array of numbers.",
            "Use --out FILE.csv or FILE.parquet.",
        ),
    }
    unit = " columns"
    known = later("latens.kinds.tables.table_schema", "known_columns")
    frame = later("latens.kinds.tables.table_schema", "as_frame")
    report = later("latens.kinds.tables.table_schema", "report_table")
    rivals = later("latens.evidence.baseline", "table_rivals")
    wrong = later("latens.kinds.tables.derived", "wrong_table")
    store = later("latens.kinds.tables.table_schema", "store_table")

    typed: bool = option(
        "use kinds of columns and exact probabilities for a table of numbers", default=False, yes=True, again=(bool,)
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
    derive: str | Sequence[str] | Mapping[str, str] | None = option(
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
    def looks(cls, schema: "Schema") -> set[str]:
        return {"table", "mixed columns"}
