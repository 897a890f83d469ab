"""A mixture of Normals with all correlations, as a prior."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import FullNormal, Mixture
from latens.errors import ConfigError
from latens.models.priors import AbstractModelPrior
from latens.typing import Array, Cond, Float, Key


class FullMixturePrior(AbstractModelPrior):
    r"""A mixture of Normals with all correlations, as a prior with trained weights, means and Cholesky factors.

    $p(z) = \sum_c w_c N(z; \mu_c, L_c L_c^\top)$.

    Args:
        logits: The logits of the weights $w$, of shape (C,).
        loc: The means, of shape (C, n).
        factor: The Cholesky factors, of shape (C, n, n), as `FullNormal` has them.
        components: The number C of components.
    """

    logits: Float[Array, " C"]
    loc: Float[Array, "C n"]
    factor: Float[Array, "C n n"]
    components: int = eqx.field(static=True, default=10)

    @classmethod
    def create(cls, latent: tuple[int, ...], x: Any, *, components: int = 10, key: Key) -> "FullMixturePrior":
        """Initialise with means drawn from N(0, 1), unit covariances and equal weights.

        Args:
            latent: The shape (n,) of one latent.
            x: The shape of one event of the data.
            components: The number of components, from 1 to 10000.
            key: A JAX random key for the initialisation.

        Returns:
            The prior.

        Raises:
            ConfigError: The number of components is out of range.
        """
        if not 1 <= components <= 10_000:
            raise ConfigError(
                f"components must be a number from 1 to 10000, not {components}.",
                where="prior.components",
                fix="Use 1 to 10000.",
            )
        loc = jax.random.normal(key, (components, *latent))
        return cls(jnp.zeros(components), loc, jnp.zeros((components, *latent, *latent)), components)

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> Mixture:
        """The mixture; it looks neither at the model nor at the conditions."""
        return Mixture(jax.nn.log_softmax(self.logits), jax.vmap(FullNormal)(self.loc, self.factor))
