"""Heavy packages that few commands need, imported at their first use."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names, by the module that has them, are imported at their first use."""
    home = {name: module for module, names in homes.items() for name in names}

    def found(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = vars(sys.modules[package])[name] = getattr(import_module(f"{package}.{home[name]}"), name)
        return value

    return found


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
