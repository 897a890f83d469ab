"""A mixture of Normals with all correlations, as a prior."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import FullNormal, Mixture
from latens.errors import ConfigError
from latens.models.priors import AbstractModelPrior
from latens.typing import Array, Float, Key


class FullMixturePrior(AbstractModelPrior):
    r"""$p(z) = \sum_c w_c N(z; \mu_c, L_c L_c^\top)$ with trained weights, means and Cholesky factors.

    **Arguments:** `logits` of shape (C,); `loc` (C, n); `factor` (C, n, n) as `FullNormal` has it; `components` C.
    """

    logits: Float[Array, " C"]
    loc: Float[Array, "C n"]
    factor: Float[Array, "C n n"]
    components: int = eqx.field(static=True, default=10)

    @classmethod
    def create(cls, latent: tuple[int, ...], x: Any, *, components: int = 10, key: Key) -> "FullMixturePrior":
        """Means drawn from N(0, 1), unit covariances, equal weights."""
        if not 1 <= components <= 10_000:
            raise ConfigError(
                f"components must be a number from 1 to 10000, not {components}.",
                where="prior.components",
                fix="Use 1 to 10000.",
            )
        loc = jax.random.normal(key, (components, *latent))
        return cls(jnp.zeros(components), loc, jnp.zeros((components, *latent, *latent)), components)

    def __call__(self, model: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Mixture:
        return Mixture(jax.nn.log_softmax(self.logits), jax.vmap(FullNormal)(self.loc, self.factor))
