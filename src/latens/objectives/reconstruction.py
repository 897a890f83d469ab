"""The objective of a plain autoencoder."""

from typing import Any, ClassVar

import equinox as eqx
import jax

from latens.data.batches import Batch
from latens.distributions import log_prob
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, sum_of_squares, weighted
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
