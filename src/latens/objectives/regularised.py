"""Autoencoders whose decoder is kept smooth: small weights, small gradients, small codes."""

from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from msgspec import Meta

from latens.data.batches import Batch
from latens.io import keys
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, sum_of_squares, weighted
from latens.objectives.reconstruction import reconstruct
from latens.objectives.roles import flat_codes
from latens.typing import AnyArray, Array, Cond, Float, Key, Nats, PyTree, Step, Weight


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
    base = jax.random.fold_in(key, keys.SLOPE_PROBES)

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
