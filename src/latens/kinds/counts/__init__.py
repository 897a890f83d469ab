"""Counts: cells by genes of AnnData, sparse matrices."""

from dataclasses import dataclass
from typing import ClassVar

from latens.kinds.base import Kind, later, option


@dataclass(kw_only=True, eq=False)
class Counts(Kind):
    """Counts of single cells (cells by genes), for example from AnnData."""

    title = "AnnData"
    recipe = "cells"
    implies: ClassVar = {"counts": True}
    store = later("latens.kinds.counts.anndata", "store_cells")

    layer: str | None = option("the layer to read instead of X", again=(str,))
