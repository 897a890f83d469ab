"""Counts: cells by genes of AnnData, sparse matrices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latens.kinds.base import Rows, option

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Counts(Rows):
    """Counts of single cells (cells by genes), for example from AnnData."""

    title = "AnnData"

    layer: str | None = option("the layer to read instead of X", again=(str,))

    @classmethod
    def implies(cls) -> dict[str, Any]:
        return {"counts": True}

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return schema.kind == "counts"

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return rows.raw.cells

    @classmethod
    def store(cls, rows: "Coming") -> "Stored":
        from latens.kinds.counts.anndata import store_cells

        return store_cells(rows)
