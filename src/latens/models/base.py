"""What a latent-variable model is: three methods, each returning a distribution over one event."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, Categorical, Product, RelaxedOneHot, log_prob
from latens.typing import Array, Cond, Float, Key, Mask, Nats, PyTree, check_options


class Joint(NamedTuple):
    r"""A draw of one row's posterior with its log densities.

    Args:
        z: The draw, an event of posterior and prior.
        log_likelihood: $\log p(x \mid z)$, of shape (), in nats.
        log_prior: $\log p(z)$, likewise.
        log_posterior: $\log q(z \mid x)$, likewise.
        kl: The KL of each level from its prior by formula, given the draws of the levels before it, of shape (L,), in
            nats; None where the model gives none.
    """

    z: PyTree
    log_likelihood: Nats
    log_prior: Nats
    log_posterior: Nats
    kl: Float[Array, " L"] | None = None


class AbstractLatentModel(eqx.Module):
    r"""A latent-variable model with an approximate posterior.

    $p(x, z) = p(z)\,p(x \mid z)$ with $q(z \mid x)$. Methods rather than fields, because a prior may need the encoder.
    `cond` is a dict of named arrays, each part reads the names it declares; `mask` is True where x is observed;
    `key=None` means no dropout.
    """

    @abstractmethod
    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The prior of the latent.

        $p(z)$.

        Args:
            cond: Named arrays that the model is conditioned on.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            A distribution over one latent.
        """

    @abstractmethod
    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        r"""The approximate posterior of the latent of one row.

        $q(z \mid x)$.

        Args:
            x: One row: an array, or a dict of named columns.
            cond: Named arrays that the model is conditioned on.
            mask: True where x is observed; None: everywhere.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            A distribution over one latent.
        """

    @abstractmethod
    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        r"""The distribution of a row given its latent.

        $p(x \mid z)$.

        Args:
            z: One latent, an event of the prior.
            cond: Named arrays that the model is conditioned on.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            A distribution over one row.
        """

    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        r"""The log prior density of a latent, and the log likelihood of a row given it.

        $(\log p(z), \log p(x \mid z))$. Subclasses override it where the two share work.

        Args:
            z: One latent, an event of the prior.
            x: One row.
            cond: Named arrays that the model is conditioned on.
            mask: True where x is observed; None: everywhere.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            Two numbers of shape (), in nats.
        """
        likelihood = self.likelihood(z, cond=cond, key=key)
        return self.prior(cond=cond).log_prob(z), log_prob(likelihood, x, mask)


class AbstractJointModel(AbstractLatentModel):
    """A model of which one walk gives a draw of the posterior with all its log densities."""

    @abstractmethod
    def draw_joint(
        self, posterior: AbstractDistribution, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key
    ) -> Joint:
        """A draw of the posterior with all its log densities.

        Args:
            posterior: The posterior of the row, as `posterior` gives it.
            x: The row.
            cond: Named arrays that the model is conditioned on.
            mask: True where x is observed; None: everywhere.
            key: The key of the draw, as `sample` of the posterior takes it.

        Returns:
            The draw, its log densities, and the KL of each level or step given the draws before it.
        """


class AbstractModelEncoder(eqx.Module):
    """An encoder that looks at the model it belongs to: at its joint density, or at its prior."""

    __check_init__ = check_options

    @abstractmethod
    def __call__(
        self, model: AbstractLatentModel, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        r"""The approximate posterior of the latent of one row."""


class SideBySide(eqx.Module):
    """Any latent as one vector: its leaves flattened, whole numbers as one-hot vectors.

    Real numbers stay as they are, so that probabilities may stand in for choices.

    Args:
        choices: How many values a whole number may have, from 0.
    """

    choices: int = eqx.field(static=True, default=0)

    def __call__(self, z: PyTree) -> Float[Array, " n"]:
        """Make one vector of a latent."""
        leaves = [
            leaf if eqx.is_inexact_array(leaf) else jax.nn.one_hot(leaf, self.choices) for leaf in jax.tree.leaves(z)
        ]
        return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


class Direction(eqx.Module):
    """The direction of a vector.

    A point of the sphere stays itself, a mean inside it becomes its mean direction.
    """

    def __call__(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Divide a vector by its length."""
        return z / jnp.sqrt(jnp.sum(z**2) + 1e-12)


class Shares(eqx.Module):
    """Proportions from any numbers, by softmax: the topics of a document."""

    def __call__(self, z: Float[Array, " n"]) -> Float[Array, " n"]:
        """Map a vector to the simplex."""
        return jax.nn.softmax(z)


def as_code(distribution: AbstractDistribution, event: PyTree) -> Array:
    """An event as one array of numbers.

    Args:
        distribution: The distribution that the event belongs to.
        event: One event of it.

    Returns:
        Categorical values as one-hot vectors, levels and columns one after the other, anything else as it is.
    """
    if isinstance(distribution, Categorical):
        return jax.nn.one_hot(event, distribution.logits.shape[-1])
    if isinstance(distribution, Product):
        return _flat([as_code(part, event[name]) for name, part in sorted(distribution.parts.items())])
    return _flat(jax.tree.leaves(event)) if isinstance(event, tuple) else event


def mean_code(distribution: AbstractDistribution) -> Array:
    """The mean of `as_code`.

    Args:
        distribution: A distribution of latents.

    Returns:
        Of categorical variables their probabilities (of relaxed ones those of the variable they stand for), of a
        hierarchy and of a flow where it goes without noise; else the mean.
    """
    if isinstance(distribution, Categorical):
        return distribution.probabilities()
    if isinstance(distribution, RelaxedOneHot):
        return jax.nn.softmax(distribution.logits)
    if isinstance(distribution, Product):
        return _flat([mean_code(part) for _, part in sorted(distribution.parts.items())])
    mean = distribution.mean()
    return _flat(jax.tree.leaves(mean)) if isinstance(mean, tuple) else mean


def _flat(parts: list[Array]) -> Float[Array, " n"]:
    return jnp.concatenate([part.reshape(-1) for part in parts])
