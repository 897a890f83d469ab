"""What verbs compute with, imported at its first use: `latens --help` imports every verb."""

from typing import TYPE_CHECKING

from latens.runtime.lazy_imports import LazyModule
from latens.runtime.lazy_imports import jax as jax
from latens.runtime.lazy_imports import np as np
from latens.runtime.lazy_imports import pl as pl

if TYPE_CHECKING:
    from latens.evidence import estimate as estimate
    from latens.evidence import importance as importance
    from latens.latents import codes as codes
    from latens.latents import disentanglement as clusters
    from latens.predictive import forecasting as forecasting
else:
    estimate, importance = LazyModule("latens.evidence.estimate"), LazyModule("latens.evidence.importance")
    clusters, codes = LazyModule("latens.latents.disentanglement"), LazyModule("latens.latents.codes")
    forecasting = LazyModule("latens.predictive.forecasting")
