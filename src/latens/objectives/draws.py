"""Samples from the posterior and their log weights: all that an objective needs to know of a model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractReparameterised, as_reparameterised
from latens.errors import ConfigError
from latens.io import random_keys
from latens.models import AbstractJointModel, AbstractLatentModel
from latens.trainable import said
from latens.typing import AnyArray, Array, Cond, Float, Int, Key, Mask, PyTree, Shaped

Statistic = Callable[[AbstractDistribution, AbstractDistribution, Any, Any], PyTree]
"""A function of one row's (posterior, prior, z led by K, x), evaluated inside the row's vmap."""


class Draws(eqx.Module):
    r"""K posterior samples for each of B rows, with their log densities.

    It holds no distribution.

    Args:
        z: Latent events, every leaf with the leading axes (K, B).
        log_likelihood: $\log p(x \mid z)$, shape (K, B), nats.
        log_prior: $\log p(z)$, shape (K, B), nats.
        log_posterior: $\log q(z \mid x)$, shape (K, B), nats.
        statistics: What the named functions given to `draw` returned, every leaf with B as its leading axis.
        kl: The KL of each level from its prior by formula, given the draws of the levels before it, of shape (K, B, L),
            nats; None where the model gives none (an `AbstractJointModel` does).
    """

    z: PyTree[Shaped[Array, "K B ..."]]
    log_likelihood: Float[Array, "K B"]
    log_prior: Float[Array, "K B"]
    log_posterior: Float[Array, "K B"]
    statistics: dict[str, PyTree[Shaped[Array, "B ..."]]]
    kl: Float[Array, "K B L"] | None = None

    @property
    def log_weight(self) -> Float[Array, "K B"]:
        r"""The logarithm of the importance weight of each sample.

        $\log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x)$, shape (K, B), nats.
        """
        return self.log_likelihood + self.log_prior - self.log_posterior


def path_to(posterior: AbstractDistribution, z: PyTree) -> PyTree:
    """Return a sample unchanged, and refuse a gradient through it where it is no smooth function of the parameters."""
    # Such a gradient would silently lack a term.
    part = posterior.without_path(z)
    if part is None:
        return z
    name, has_path = type(part).__name__, said(part, "has_path", of=("sample",))

    @jax.custom_jvp
    def guarded(z: PyTree, parameters: list[Array]) -> PyTree:
        return z

    @guarded.defjvp
    def _refuse(primals: tuple, tangents: tuple) -> tuple:
        if has_path is None:
            raise ConfigError(
                f"{name} does not say whether its samples have a gradient by its parameters.",
                where="objective",
                fix="Write `has_path: ClassVar[bool] = True` in the class where `sample` is a smooth function of all "
                "parameters, else False.",
            )
        raise ConfigError(
            f"samples of a {name} posterior have no gradient by its parameters.",
            where="objective",
            fix="Use ScoreFunction, "
            + (
                "or StratifiedELBO (objective=stratified-elbo) for experts."
                if name == "Mixture"
                else "or a relaxed posterior."
            ),
        )

    return guarded(z, [leaf for leaf in jax.tree.leaves(posterior) if eqx.is_inexact_array(leaf)])


class _How(NamedTuple):
    """How samples of a posterior are drawn."""

    shaped: bool  # whether they are functions of noise that is given or scaled
    noise_scale: float
    reparameterised: bool
    stop_posterior_gradient: bool

    @property
    def plain(self) -> bool:
        """Whether they are the posterior's own."""
        return self.reparameterised and not (self.shaped or self.stop_posterior_gradient)

    def of(self, posterior: AbstractDistribution) -> Callable[[Key, Any], tuple[Any, Array]]:
        """Give what draws a sample and its log density, from a key and noise that may be given."""
        if self.noise_scale != 1.0 and not isinstance(posterior, AbstractReparameterised):
            what = (
                f"samples of a {type(posterior).__name__} posterior are not a function of noise that could be scaled."
            )
            fix = "Leave the scale at 1, or use a posterior such as normal, full-normal or iaf."
            raise ConfigError(what, where="objective.noise_scale", fix=fix)
        density = jax.lax.stop_gradient(posterior) if self.stop_posterior_gradient else posterior
        of_noise = as_reparameterised(posterior) if self.shaped else None

        def place(key: Key, given: PyTree) -> tuple[Any, Array]:
            if self.plain:
                z, log_posterior = posterior.sample_and_log_prob(key=key)
                return path_to(posterior, z), log_posterior
            if of_noise is not None:
                raw = of_noise.sample_noise(key=key) if given is None else given
                z = of_noise.from_noise(jax.tree.map(lambda leaf: self.noise_scale * leaf, raw))
            else:
                z = posterior.sample(key=key)
            z = path_to(posterior, z) if self.reparameterised else jax.lax.stop_gradient(z)
            return z, density.log_prob(z)

        return place


def draw(
    model: AbstractLatentModel,
    batch: Batch,
    *,
    num_samples: int,
    first_sample: int | Int[Array, ""] = 0,
    key: Key | None = None,
    noise: PyTree[Float[Array, "K B ..."]] | None = None,
    noise_scale: float = 1.0,
    statistics: dict[str, Statistic] | None = None,
    reparameterised: bool = True,
    stop_posterior_gradient: bool = False,
    dropout: bool = True,
) -> Draws:
    r"""Sample the posterior of every row and evaluate the log densities of likelihood, prior and posterior there.

    $z_k \sim q(z \mid x)$ for every row, with $\log p(x \mid z)$, $\log p(z)$ and $\log q(z \mid x)$.

    Args:
        model: The model.
        batch: The rows, B of them.
        num_samples: K, samples for each row.
        first_sample: Number of the first sample, so that K can be drawn in parts.
        key: Random key. Row i uses `fold_in(key, row_id[i])` and sample k `fold_in(row_key, k)`, so permuting, chunking
            or padding a batch keeps every row's noise.
        noise: Noise in the place of the key, for reparameterised posteriors: as `sample_noise` of the posterior gives
            it, every leaf with the leading axes (K, B). Zero noise gives the mean exactly.
        noise_scale: Factor on the noise. Other than 1, the log weights are those of the sampled z and no longer
            importance weights.
        statistics: Named functions of (posterior, prior, z, x), evaluated row by row.
        reparameterised: False stops the gradient through z (score-function estimators).
        stop_posterior_gradient: True stops the gradient through the parameters of $\log q$ (sticking the landing,
            DReG).
        dropout: False gives the networks no key of their own, so that nothing in them is random. With a key, a network
            drops as its mode says (`equinox.nn.inference_mode` switches it off); given noise alone, none does.

    Returns:
        The samples and their log densities in nats.

    Raises:
        TypeError: Where given noise meets a posterior that is not reparameterised, or without a key and without noise.
        ConfigError: Where a noise scale meets a posterior that is not reparameterised, or a gradient is taken through
            the samples of a discrete posterior.
    """
    if key is None and noise is None:
        raise TypeError("draw needs a key or given noise")
    dropout = dropout and key is not None
    key = jax.random.key(0) if key is None else key
    how = _How(noise is not None or noise_scale != 1.0, noise_scale, reparameterised, stop_posterior_gradient)

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, row_noise: PyTree) -> tuple:
        row_key = jax.random.fold_in(key, row_id)
        network_key = jax.random.fold_in(row_key, random_keys.NETWORK_DROPOUT) if dropout else None
        encoder_key = None if network_key is None else jax.random.fold_in(network_key, num_samples)
        posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
        place = how.of(posterior)

        def one_sample(index: Array, given: PyTree) -> tuple:
            sample_key = jax.random.fold_in(row_key, index)
            if how.plain and isinstance(model, AbstractJointModel):
                return tuple(model.draw_joint(posterior, x, cond=cond, mask=mask, key=sample_key))
            z, log_posterior = place(sample_key, given)
            decoder_key = None if network_key is None else jax.random.fold_in(network_key, index)
            log_prior, log_likelihood = model.log_joint(z, x, cond=cond, mask=mask, key=decoder_key)
            return z, log_likelihood, log_prior, log_posterior, None

        if num_samples == 1:
            # The same numbers without an axis of length 1, which costs a tenth of a training step on CPU.
            single = one_sample(jnp.asarray(first_sample), jax.tree.map(lambda leaf: leaf[0], row_noise))
            samples = jax.tree.map(lambda leaf: leaf[None], single)
        else:
            samples = jax.vmap(one_sample)(first_sample + jnp.arange(num_samples), row_noise)
        if not statistics:
            return samples, {}
        prior = model.prior(cond=cond)
        return samples, {name: fn(posterior, prior, samples[0], x) for name, fn in statistics.items()}

    given = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), noise)
    rows = (batch.x, batch.row_id, batch.cond, batch.mask, given)
    drawn, values = jax.vmap(one_row, out_axes=((1, 1, 1, 1, 1), 0))(*rows)
    z, log_likelihood, log_prior, log_posterior, kl = drawn
    return Draws(z, log_likelihood, log_prior, log_posterior, values, kl)
