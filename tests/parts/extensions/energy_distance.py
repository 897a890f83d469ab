"""An objective of a user's own that trains a plain autoencoder."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

import latens
from latens.objectives import AbstractObjective


class EnergyDistance(AbstractObjective):
    """The distance of a row and its reconstruction, to a power."""

    monitor: ClassVar[str] = "distance"
    maximise: ClassVar[bool] = False
    needs_density: ClassVar[bool] = False
    power: float = eqx.field(static=True, default=1.0)

    def __call__(self, model, batch, *, key, step):
        def one(x):
            gap = model.likelihood(model.posterior(x).mean()).mean() - x
            return (jnp.sum(gap**2) + 1e-12) ** (self.power / 2)

        distance = jax.vmap(one)(batch.x)
        return distance, {"distance": distance}


latens.register_part("objective", "energy-distance", EnergyDistance)
