"""What verbs compute with, imported at its first use: `latens --help` imports every verb."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax as jax
    import numpy as np
    import polars as pl

    from latens import evaluation as evaluation
else:

    class _Later:
        """A module that is not imported yet."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._name), name)

    evaluation, jax = _Later("latens.evaluation"), _Later("jax")
    np, pl = _Later("numpy"), _Later("polars")
