"""Priors with arrays: ones that stay as they are, mixtures of Normals, and of the posteriors of pseudo-inputs."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, prepare_batch
from latens.distributions import AbstractDistribution, DiagonalNormal, FullNormal, Mixture
from latens.errors import ConfigError
from latens.trainable import Frozen
from latens.typing import Array, Cond, Float, Key, PyTree, check_options


class AbstractModelPrior(eqx.Module):
    """A prior that may look at the model it belongs to."""

    __check_init__ = check_options

    @abstractmethod
    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The prior of one latent."""

    def started(self, data: Dataset, preparation: Preparation) -> "AbstractModelPrior":
        """The same prior, where it starts from the training rows.

        Args:
            data: The training rows.
            preparation: How rows are prepared before the model sees them.

        Returns:
            A new prior, or the same one where it does not look at the data.
        """
        return self


class FixedPrior(AbstractModelPrior):
    """A distribution whose arrays are part of the model and never trained.

    Args:
        distribution: The distribution of one latent, in a `Frozen`.
    """

    distribution: Frozen

    def __call__(self, model: object, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The distribution; it looks neither at the model nor at the conditions."""
        return self.distribution.value


class MixturePrior(AbstractModelPrior):
    r"""A mixture of diagonal Normals with trained weights, means and scales.

    $p(z) = \sum_c w_c N(z; \mu_c, \sigma_c^2)$.

    Args:
        logits: The logits of the weights $w$, of shape (C,).
        loc: The means, of shape (C, *z).
        log_scale: The logarithms of the standard deviations, of shape (C, *z).
        components: The number C of components.
    """

    logits: Float[Array, " C"]
    loc: Float[Array, " C *z"]
    log_scale: Float[Array, " C *z"]
    components: int = eqx.field(static=True, default=10)

    @classmethod
    def create(cls, latent: tuple[int, ...], x: tuple[int, ...], *, components: int = 10, key: Key) -> "MixturePrior":
        """Initialise with means drawn from N(0, 1), scales 1 and equal weights.

        Args:
            latent: The shape of one latent.
            x: The shape of one event of the data.
            components: The number of components, from 1 to 10000.
            key: A JAX random key for the initialisation.

        Returns:
            The prior.

        Raises:
            ConfigError: The number of components is out of range.
        """
        _check_components(components)
        loc = jax.random.normal(key, (components, *latent))
        return cls(jnp.zeros(components), loc, jnp.zeros((components, *latent)), components)

    def __call__(self, model: object, *, cond: Cond = None, key: Key | None = None) -> Mixture:
        """The mixture; it looks neither at the model nor at the conditions."""
        return Mixture(jax.nn.log_softmax(self.logits), DiagonalNormal(self.loc, self.log_scale))


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
    def create(cls, latent: tuple[int, ...], x: PyTree, *, components: int = 10, key: Key) -> "FullMixturePrior":
        """As that of `MixturePrior`, with unit covariances."""
        _check_components(components)
        loc = jax.random.normal(key, (components, *latent))
        return cls(jnp.zeros(components), loc, jnp.zeros((components, *latent, *latent)), components)

    def __call__(self, model: object, *, cond: Cond = None, key: Key | None = None) -> Mixture:
        """The mixture; it looks neither at the model nor at the conditions."""
        return Mixture(jax.nn.log_softmax(self.logits), jax.vmap(FullNormal)(self.loc, self.factor))


class VampPrior(AbstractModelPrior):
    r"""The average posterior of trained pseudo-inputs.

    $p(z) = \frac1C \sum_c q(z \mid u_c)$.

    Args:
        inputs: The pseudo-inputs $u$, of shape (C, *x), as the model sees rows.
        components: The number C of pseudo-inputs.
        learned: Whether they are trained; False keeps the rows that they start from (an exemplar prior).

    Source: Tomczak & Welling (2018), arXiv 1705.07120.
    """

    inputs: Float[Array, " C *x"]
    components: int = eqx.field(static=True, default=500)
    learned: bool = eqx.field(static=True, default=True)

    @classmethod
    def create(
        cls, latent: tuple[int, ...], x: tuple[int, ...], *, components: int = 500, learned: bool = True, key: Key
    ) -> "VampPrior":
        """Make room for pseudo-inputs of zeros; training starts them at rows of the data.

        Args:
            latent: The shape of one latent.
            x: The shape of one event of the data.
            components: The number of pseudo-inputs, from 1 to 10000.
            learned: Whether they are trained.
            key: A JAX random key; not used.

        Returns:
            The prior.

        Raises:
            ConfigError: The number of components is out of range.
        """
        _check_components(components, "components (pseudo-inputs)")
        return cls(jnp.zeros((components, *x)), components, learned)

    def started(self, data: Dataset, preparation: Preparation) -> "VampPrior":
        """The same prior with pseudo-inputs at the first training rows of a random order.

        Where there are too few rows, they begin again from the start.
        """
        positions = np.resize(data.order(0, 0), self.components)
        batch = prepare_batch(preparation, data.rows(positions), key=jax.random.key(0))
        return eqx.tree_at(lambda prior: prior.inputs, self, jnp.asarray(batch.x, jnp.float32))

    def __call__(self, model: Any, *, cond: Cond = None, key: Key | None = None) -> Mixture:
        """The mixture of the model's posteriors of all pseudo-inputs."""
        inputs = self.inputs if self.learned else jax.lax.stop_gradient(self.inputs)
        posteriors = jax.vmap(lambda u: model.posterior(u, cond=cond, key=key))(inputs)
        return Mixture(jnp.full(self.components, -jnp.log(self.components)), posteriors)


def _check_components(components: int, what: str = "components") -> None:
    if not 1 <= components <= 10_000:
        message = f"{what} must be a number from 1 to 10000, not {components}."
        raise ConfigError(message, where="prior.components", fix="Use 1 to 10000.")
