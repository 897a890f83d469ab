"""What verbs compute with, imported at its first use: `latens --help` imports every verb."""

from typing import TYPE_CHECKING

from latens.io.later import Later
from latens.io.later import jax as jax
from latens.io.later import np as np
from latens.io.later import pl as pl

if TYPE_CHECKING:
    from latens.evidence import estimate as estimate
    from latens.evidence import importance as importance
    from latens.latents import clusters as clusters
    from latens.latents import codes as codes
    from latens.predictive import forecasting as forecasting
else:
    estimate, importance = Later("latens.evidence.estimate"), Later("latens.evidence.importance")
    clusters, codes = Later("latens.latents.clusters"), Later("latens.latents.codes")
    forecasting = Later("latens.predictive.forecasting")
