"""Heavy packages that few commands need, imported at their first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


class LazyModule:
    """A module that is not imported yet."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


if TYPE_CHECKING:
    import jax as jax
    import numpy as np
    import polars as pl
    from scipy import linalg as linalg
    from scipy import spatial as spatial
    from scipy import special as special
else:
    jax, np, pl = LazyModule("jax"), LazyModule("numpy"), LazyModule("polars")
    linalg, spatial, special = LazyModule("scipy.linalg"), LazyModule("scipy.spatial"), LazyModule("scipy.special")
