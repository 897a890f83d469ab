"""Decoders that can only be sampled from: a simulator, or a network that is given noise."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.typing import Array, Cond, Float, Key


class Implicit(AbstractDistribution[Array]):
    r"""A distribution of a simulator's results, without a density to write down.

    $x = f(z, \epsilon)$ with $\epsilon \sim N(0, I)$.

    Args:
        simulator: The function f of (z, noise).
        z: One latent.
        noise_size: How many numbers the noise has.
    """

    has_path: ClassVar[bool] = True

    simulator: Callable[[Any, Array], Array]
    z: Any
    noise_size: int = eqx.field(static=True)

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event: noise, then the simulator."""
        return self.simulator(self.z, jax.random.normal(key, (self.noise_size,)))

    def log_prob(self, event: Float[Array, "*x"]) -> Float[Array, ""]:
        """Refuse: a simulator has no density.

        Args:
            event: One event of shape (*x).

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "a simulator can be drawn from but has no density.",
            where="likelihood",
            fix="Use the objective LikelihoodFree, which needs draws alone.",
        )

    def mean(self) -> Float[Array, "*x"]:
        """Where the simulator goes without noise: the middle of its samples, not their expectation.

        Returns:
            Shape (*x).
        """
        return self.simulator(self.z, jnp.zeros(self.noise_size))


class Simulator(eqx.Module):
    """A decoder from a simulator of (z, noise), for a `LatentModel`; conditions are not read.

    Args:
        function: Makes one event of one latent and `noise_size` samples of N(0, 1); its arrays are trained.
        noise_size: How many numbers the noise has.
    """

    function: Callable[[Any, Array], Array]
    noise_size: int = eqx.field(static=True)

    def __call__(self, z: Any, *, cond: Cond = None, key: Key | None = None) -> Implicit:
        """The distribution of the simulator's results for one latent."""
        return Implicit(self.function, z, self.noise_size)
