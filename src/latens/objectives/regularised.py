"""The objective of a plain autoencoder, and of one whose decoder is kept smooth: small weights, gradients, codes."""

from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from msgspec import Meta

from latens.data.dataset import Batch
from latens.distributions import log_prob
from latens.io import random_keys
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, by_row, flat_codes, mean, sum_of_squares, weighted
from latens.objectives.draws import path_to
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, Nats, PyTree, Shaped, Step, Weight


def reconstruct(
    model: AbstractLatentModel, batch: Batch, *, key: Key
) -> tuple[PyTree[Shaped[Array, "B ..."]], Float[Array, " B"]]:
    r"""Sample one code for each row from the encoder and evaluate the log-likelihood."""
    # returns: the codes, every leaf with B as its leading axis, and $\log p(x \mid z)$nats.

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> tuple[Any, Nats]:
        encoder_key, sample_key, decoder_key = jax.random.split(jax.random.fold_in(key, row_id), 3)
        posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
        z = path_to(posterior, posterior.sample(key=sample_key))
        return z, log_prob(model.likelihood(z, cond=cond, key=decoder_key), x, mask)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


class Reconstruction(AbstractObjective):
    r"""The reconstruction error of a plain autoencoder, without a prior: no bound, and nothing to sample from.

    The objective is $-\log p(x \mid z)$ with $z$ drawn from the encoder, in nats, summed over the event.

    Args:
        l2: Weight of $\frac12\sum w^2$ over weight matrices.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False
    couples_rows = by_row

    l2: Weight = eqx.field(static=True, default=0.0)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        _, rows = reconstruct(model, batch, key=key)
        metrics = {"log_likelihood": weighted(rows, batch)}
        loss = -mean(metrics["log_likelihood"])
        if self.l2 > 0.0:
            loss = loss + self.l2 * sum_of_squares(model)
        return loss, metrics


class RegularisedAutoencoder(AbstractObjective):
    r"""Reconstruction with penalties that keep the decoder smooth: on codes, on its gradient, on its weights; no bound.

    The objective is
    $-\log p(x \mid z) + \beta\frac12\|z\|^2 + \lambda\|\partial D(z)/\partial z\|_F^2 + \lambda_2\frac12\sum w^2$ with
    the decoder's mean D at the code z of x, for encoders with or without noise. RAE-GP has a gradient penalty, RAE-L2
    small decoder weights, RAE-SN a spectrally normalised decoder and neither. The metrics are `log_likelihood` in nats
    and, without their weights, `embedding` and (if it counts) `gradient_penalty`.

    Args:
        embedding: $\beta$, at least 0.
        gradient_penalty: $\lambda$, at least 0.
        l2: $\lambda_2$, at least 0, on the decoder's weight matrices.
        num_probes: How many random directions of the output estimate the gradient penalty without bias (Hutchinson's
            trick: one costs about a decoder's gradient); 0 computes it exactly, which costs as many as there are latent
            dimensions.

    Raises:
        ConfigError: An option is below 0.

    Source: Ghosh et al. (2020), arXiv 1903.12436.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False
    couples_rows = by_row

    embedding: Weight = eqx.field(static=True, default=0.1)
    gradient_penalty: Weight = eqx.field(static=True, default=0.0)
    l2: Weight = eqx.field(static=True, default=0.0)
    num_probes: Annotated[int, Meta(ge=0)] = eqx.field(static=True, default=1)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        size = 0.5 * jnp.sum(flat_codes(z) ** 2, axis=1)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "embedding": weighted(size, batch)}
        loss = -mean(metrics["log_likelihood"]) + self.embedding * mean(metrics["embedding"])
        if self.gradient_penalty > 0.0:
            slopes = decoder_slopes(model, z, batch, num_probes=self.num_probes, key=key)
            metrics["gradient_penalty"] = weighted(slopes, batch)
            loss = loss + self.gradient_penalty * mean(metrics["gradient_penalty"])
        if self.l2 > 0.0:
            loss = loss + self.l2 * sum_of_squares(getattr(model, "decoder", model))
        return loss, metrics


def decoder_slopes(
    model: AbstractLatentModel, z: PyTree, batch: Batch, *, num_probes: int = 0, key: Key
) -> Float[Array, " B"]:
    r"""The squared norm of the decoder's Jacobian at the code of each row."""
    # $\|\partial D(z)/\partial z\|_F^2$ with D the mean of $p(x \mid z)$. With probes $v \sim N(0, I)$ it is the mean
    # of $\|v^T \partial D/\partial z\|^2$, which has the same expectation.
    base = jax.random.fold_in(key, random_keys.SLOPE_PROBES)

    def one_row(z: PyTree, row_id: AnyArray, cond: Cond) -> Nats:
        flat, rebuild = ravel_pytree(z)

        def decode(flat: Array) -> Array:
            likelihood: Any = model.likelihood(rebuild(flat), cond=cond)
            return likelihood.mean().reshape(-1)

        if num_probes == 0:
            return jnp.sum(jax.jacfwd(decode)(flat) ** 2)
        output, pull = jax.vjp(decode, flat)
        probes = jax.random.normal(jax.random.fold_in(base, row_id), (num_probes, output.size), output.dtype)
        return jnp.sum(jax.vmap(lambda v: pull(v)[0])(probes) ** 2) / num_probes

    return jax.vmap(one_row)(z, batch.row_id, batch.cond)
