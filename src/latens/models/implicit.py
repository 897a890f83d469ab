"""Decoders that can only be drawn from: a simulator, or a network that is given noise."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.typing import Array, Float, Key


class Implicit(AbstractDistribution[Array]):
    r"""$x = f(z, \epsilon)$ with $\epsilon \sim N(0, I)$: a law without a density to write down.

    **Arguments:** `simulator` f of (z, noise); `z`; `noise_size` how many numbers the noise has.
    """

    simulator: Callable[[Any, Array], Array]
    z: Any
    noise_size: int = eqx.field(static=True)

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        return self.simulator(self.z, jax.random.normal(key, (self.noise_size,)))

    def log_prob(self, event: Float[Array, "*x"]) -> Float[Array, ""]:
        raise ConfigError(
            "a simulator can be drawn from but has no density.",
            where="likelihood",
            fix="Use the objective LikelihoodFree, which needs draws alone.",
        )

    def mean(self) -> Float[Array, "*x"]:
        """Where the simulator goes without noise: the middle of its draws, not their expectation."""
        return self.simulator(self.z, jnp.zeros(self.noise_size))


class Simulator(eqx.Module):
    """A decoder from a simulator of (z, noise), for a `LatentModel`; conditions are not read.

    **Arguments:** `function` makes one event of one latent and `noise_size` draws of N(0, 1); its arrays are trained.
    """

    function: Callable[[Any, Array], Array]
    noise_size: int = eqx.field(static=True)

    def __call__(self, z: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Implicit:
        return Implicit(self.function, z, self.noise_size)
