"""What each column has to do with log p(x): its log-likelihood given the latents of the row."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.evaluation.batched import Rows, map_rows, of_rows
from latens.evaluation.impute import WeighedDraws, weighed
from latens.models import every_latent
from latens.typing import Array, Key


class ByColumn(NamedTuple):
    r"""log p(x) of rows, by column."""

    # $E_{p(z|x)} \log p(x_j \mid z)$ of each cell, 0 where it is missing, of shape (B, columns), nats
    columns: np.ndarray
    # $-\text{KL}(p(z \mid x)\,\|\,p(z))$, with which the columns sum to log p(x), of shape (B,), nats
    latents: np.ndarray


@of_rows
def nats_by_column(rows: Rows, *, num_samples: int = 200) -> ByColumn:
    r"""Split log p(x) of each row into the parts of its columns and of its latents."""
    # $\log p(x) = \sum_j E_{p(z|x)} \log p(x_j \mid z) - \text{KL}(p(z \mid x)\,\|\,p(z))$, an identity for a
    # likelihood with independent columns; the averages over $p(z \mid x)$ are those of `impute`, by weighted draws.
    every = every_latent(rows.model)
    num_samples = num_samples if every is None else len(every)
    sizes = {"num_samples": num_samples, "samples_per_chunk": min(rows.samples_per_chunk, num_samples)}
    found, total = map_rows(Partial(_terms, **sizes), rows)
    columns = found.reshape(len(found), -1).astype(np.float64)
    total = total if every is None else total + np.log(num_samples)  # a sum over latents, no mean of draws
    return ByColumn(columns, total.astype(np.float64) - columns.sum(axis=1))


def _terms(model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int) -> tuple[Array, Array]:
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask
    rows = batch.row_id.shape[0]

    def one(z: Any, x: Any, mask: Array, cond: Any) -> Array:
        return model.likelihood(z, cond=cond).terms_observed(x, mask)

    values = jax.vmap(jax.vmap(one), (0, None, None, None))

    def add(state: WeighedDraws, first: Array | int, count: int) -> WeighedDraws:
        z, log_weight = weighed(model, batch, count, first=first, key=key)
        return state.with_draws(log_weight, values(z, batch.x, mask, batch.cond), z, first, batch.row_id, key)

    like, _ = jax.eval_shape(lambda: weighed(model, batch, 1, first=0, key=key))
    state = WeighedDraws(
        jnp.full(rows, -jnp.inf),
        jnp.full(rows, -jnp.inf),
        jnp.zeros(batch.x.shape),
        jnp.full((rows, 0), -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros((rows, 0, *leaf.shape[2:]), leaf.dtype), like),
    )
    full, rest = divmod(num_samples, samples_per_chunk)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * samples_per_chunk, samples_per_chunk), state)
    state = add(state, full * samples_per_chunk, rest) if rest else state
    return state.mean, state.total - jnp.log(float(num_samples))
