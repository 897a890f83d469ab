"""Rows of text: lines, strings and molecules."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latens.kinds.base import Defaults, Rows, option

if TYPE_CHECKING:
    from latens.data.dataset import Dataset
    from latens.data.door import Coming, Stored
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Text(Rows):
    """Rows that are strings."""

    title = "text"
    likelihood = ("tokens", "Rows are text: every token depends on those before it.")
    defaults = Defaults(network="recurrent", whole_bits=True)
    endings = (".txt", ".csv", ".parquet", ".npz")
    printed = True

    pieces: str | None = option(
        "the tokens of a row of text (default: characters)", "PIECES", choices=("characters", "words", "atoms")
    )

    @classmethod
    def implies(cls) -> dict[str, Any]:
        return {"pieces": "characters"}

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return schema.tokens is not None

    @classmethod
    def batch_size(cls, data: "Dataset", usual: int) -> tuple[int, str]:
        from latens.kinds.text.vocabulary import batch_of_texts

        return batch_of_texts(data, usual)

    @classmethod
    def report(cls, data: "Dataset") -> dict[str, Any]:
        from latens.kinds.text.strings import report_text

        return report_text(data)

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return rows.raw.strings is not None

    @classmethod
    def store(cls, rows: "Coming") -> "Stored":
        from latens.kinds.text.strings import store_text

        return store_text(rows)
