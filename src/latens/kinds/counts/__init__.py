"""Counts: cells by genes of AnnData, sparse matrices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from latens.kinds.base import Kind, later, option

if TYPE_CHECKING:
    from latens.data.door import Coming
    from latens.data.schema import Schema


@dataclass(kw_only=True, eq=False)
class Counts(Kind):
    """Counts of single cells (cells by genes), for example from AnnData."""

    title = "AnnData"
    recipe = "cells"
    implies: ClassVar = {"counts": True}
    store = later("latens.kinds.counts.anndata", "store_cells")

    layer: str | None = option("the layer to read instead of X", again=(str,))

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        return schema.kind == "counts"

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        return rows.raw.cells
