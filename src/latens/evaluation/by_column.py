"""What each column has to do with log p(x): its log-likelihood given the latents of the row."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.evaluation.impute import averaged
from latens.evidence.batched import Rows, in_cache, map_rows
from latens.models import every_latent
from latens.typing import Array, Key


class ByColumn(NamedTuple):
    r"""log p(x) of rows, by column."""

    # $E_{p(z|x)} \log p(x_j \mid z)$ of each cell, 0 where it is missing, of shape (B, columns), nats
    columns: np.ndarray
    # $-\text{KL}(p(z \mid x)\,\|\,p(z))$, with which the columns sum to log p(x), of shape (B,), nats
    latents: np.ndarray


def nats_by_column(rows: Rows, *, num_samples: int = 200) -> ByColumn:
    r"""Split log p(x) of each row into the parts of its columns and of its latents."""
    # $\log p(x) = \sum_j E_{p(z|x)} \log p(x_j \mid z) - \text{KL}(p(z \mid x)\,\|\,p(z))$, an identity for a
    # likelihood with independent columns; the averages over $p(z \mid x)$ are those of `impute`, by weighted draws.
    every = every_latent(rows.model)
    num_samples = num_samples if every is None else len(every)
    sizes = {"num_samples": num_samples, "samples_per_chunk": min(rows.samples_per_chunk, num_samples)}
    found, total = map_rows(Partial(_terms, **sizes), in_cache(rows, sizes["samples_per_chunk"]))
    columns = found.reshape(len(found), -1).astype(np.float64)
    total = total if every is None else total + np.log(num_samples)  # a sum over latents, no mean of draws
    return ByColumn(columns, total.astype(np.float64) - columns.sum(axis=1))


def _terms(model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int) -> tuple[Array, Array]:
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask

    def one(z: Any, x: Any, mask: Array, cond: Any) -> Array:
        return model.likelihood(z, cond=cond).terms_observed(x, mask)

    values = lambda z: jax.vmap(jax.vmap(one), (0, None, None, None))(z, batch.x, mask, batch.cond)  # noqa: E731
    state = averaged(values, model, batch, num_samples, 0, samples_per_chunk, key, key)
    return state.mean, state.total - jnp.log(float(num_samples))
