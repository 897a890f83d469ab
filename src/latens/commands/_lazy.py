"""What verbs compute with, imported at its first use: `latens --help` imports every verb."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax as jax
    import numpy as np
    import polars as pl

    from latens.evidence import estimate as estimate
    from latens.evidence import importance as importance
    from latens.latents import clusters as clusters
    from latens.latents import codes as codes
    from latens.predictive import forecasting as forecasting
else:

    class _Later:
        """A module that is not imported yet."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._name), name)

    jax, np, pl = _Later("jax"), _Later("numpy"), _Later("polars")
    estimate, importance = _Later("latens.evidence.estimate"), _Later("latens.evidence.importance")
    clusters, codes = _Later("latens.latents.clusters"), _Later("latens.latents.codes")
    forecasting = _Later("latens.predictive.forecasting")
