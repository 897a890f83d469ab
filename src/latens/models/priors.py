"""Priors with arrays: ones that stay as they are, mixtures of Normals, and of the posteriors of pseudo-inputs."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, prepare_batch
from latens.distributions import AbstractDistribution, DiagonalNormal, Mixture
from latens.errors import ConfigError
from latens.trees import Frozen
from latens.typing import Array, Float, Key


class AbstractModelPrior(eqx.Module):
    """A prior that may look at the model it belongs to."""

    @abstractmethod
    def __call__(
        self, model: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None
    ) -> AbstractDistribution:
        """p(z)."""

    def started(self, data: Dataset, preparation: Preparation) -> "AbstractModelPrior":
        """The same prior, where it starts from the training rows."""
        return self


class FixedPrior(AbstractModelPrior):
    """A distribution whose arrays are part of the model and never trained."""

    distribution: Frozen

    def __call__(
        self, model: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None
    ) -> AbstractDistribution:
        return self.distribution.value


class MixturePrior(AbstractModelPrior):
    r"""$p(z) = \sum_c w_c N(z; \mu_c, \sigma_c^2)$ with trained weights, means and scales.

    **Arguments:** `components` C.
    """

    logits: Float[Array, " C"]
    loc: Float[Array, "C *z"]
    log_scale: Float[Array, "C *z"]
    components: int = eqx.field(static=True, default=10)

    @classmethod
    def create(cls, latent: tuple[int, ...], x: tuple[int, ...], *, components: int = 10, key: Key) -> "MixturePrior":
        """Means drawn from N(0, 1), scales 1, equal weights."""
        if not 1 <= components <= 10_000:
            raise ConfigError(
                f"components must be a number from 1 to 10000, not {components}.",
                where="prior.components",
                fix="Use 1 to 10000.",
            )
        loc = jax.random.normal(key, (components, *latent))
        return cls(jnp.zeros(components), loc, jnp.zeros((components, *latent)), components)

    def __call__(self, model: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Mixture:
        return Mixture(jax.nn.log_softmax(self.logits), DiagonalNormal(self.loc, self.log_scale))


class VampPrior(AbstractModelPrior):
    r"""$p(z) = \frac1C \sum_c q(z \mid u_c)$: the average posterior of trained pseudo-inputs.

    **Arguments:** `components` C, `learned` False keeps the rows it starts from (an exemplar prior).
    Tomczak & Welling (2018), arXiv 1705.07120.
    """

    inputs: Float[Array, "C *x"]
    components: int = eqx.field(static=True, default=500)
    learned: bool = eqx.field(static=True, default=True)

    @classmethod
    def create(
        cls, latent: Any, x: tuple[int, ...], *, components: int = 500, learned: bool = True, key: Key
    ) -> "VampPrior":
        """Empty pseudo-inputs; training starts them at rows of the data."""
        if not 1 <= components <= 10_000:
            raise ConfigError(
                f"components (pseudo-inputs) must be a number from 1 to 10000, not {components}.",
                where="prior.components",
                fix="Use 1 to 10000.",
            )
        return cls(jnp.zeros((components, *x)), components, learned)

    def started(self, data: Dataset, preparation: Preparation) -> "VampPrior":
        """Pseudo-inputs at the first training rows of a random order (again from the start where there are too few)."""
        positions = np.resize(data.order(0, 0), self.components)
        batch = prepare_batch(preparation, data.rows(positions), key=jax.random.key(0))
        return eqx.tree_at(lambda prior: prior.inputs, self, jnp.asarray(batch.x, jnp.float32))

    def __call__(self, model: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Mixture:
        inputs = self.inputs if self.learned else jax.lax.stop_gradient(self.inputs)
        posteriors = jax.vmap(lambda u: model.posterior(u, cond=cond, key=key))(inputs)
        return Mixture(jnp.full(self.components, -jnp.log(self.components)), posteriors)
