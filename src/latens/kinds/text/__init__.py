"""Rows of text: lines, strings and molecules."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from latens.kinds.base import Defaults, Kind, later, option

if TYPE_CHECKING:
    import numpy as np

    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Text(Kind):
    """Rows that are strings."""

    title = "text"
    likelihood = ("tokens", "Rows are text: every token depends on those before it.")
    defaults = Defaults(network="recurrent", whole_bits=True)
    endings = (".txt", ".csv", ".parquet", ".npz")
    printed = True
    ends, pictured = True, False
    unit = " tokens"
    recipe = "text"
    implies: ClassVar = {"pieces": "characters"}
    lacks: ClassVar = {
        **Kind.lacks,
        "gaps": (
            "rows of text have no gaps to fill in.",
            "`latens sample RUN --complete BEGINNING` draws what follows.",
        ),
        "distances": ("rows of text have no distances", ""),
        "density": ("holds rows of text, which have no density of numbers.", "Use --recipe text."),
    }
    unknown = ("piece", "rows hold pieces that no training row had; what follows these counts as missing")
    batch_size = later("latens.kinds.text.vocabulary", "batch_of_texts")
    report = later("latens.kinds.text.strings", "report_text")
    wrong = later("latens.kinds.text.vocabulary", "wrong_tokens")
    refuse_holes = later("latens.kinds.text.vocabulary", "refuse_holes")
    dtype = classmethod(lambda cls, schema: schema.vocabulary.dtype)
    counted = later("latens.evidence.baseline", "text_counted")
    rivals = later("latens.evidence.baseline", "text_rivals")
    store = later("latens.kinds.text.strings", "store_text")

    pieces: str | None = option(
        "the tokens of a row of text (default: characters)", "PIECES", choices=("characters", "words", "atoms")
    )

    @classmethod
    def looks(cls, schema: "Schema") -> set[str]:
        return {"text"}

    @classmethod
    def known(cls, schema: "Schema") -> dict[str, Any]:
        return {"pieces": schema.vocabulary.pieces}

    @classmethod
    def buckets(cls, schema: "Schema") -> tuple[int, ...]:
        return schema.vocabulary.edges

    @classmethod
    def face(cls, schema: "Schema") -> dict[str, Any]:
        return {"kind": "text", "pieces": schema.vocabulary.pieces, "values": list(schema.vocabulary.values)}

    @classmethod
    def described(cls, schema: "Schema") -> str:
        most, many = schema.shape[0] - 1, len(schema.vocabulary.values)
        return f"text of up to {most} {schema.vocabulary.pieces}, of a vocabulary of {many}"

    @classmethod
    def texts(cls, schema: "Schema", x: "np.ndarray") -> "dict[str, np.ndarray]":
        import numpy as np

        return {"text": np.array(schema.decode(x))}
