"""What each cell of a mixed table may be, given the observed cells of its row, as exact shares for every draw of z."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.data.columns import ColumnType
from latens.evaluation.batched import Rows, map_rows, of_rows
from latens.evaluation.impute import given_observed, weighed
from latens.models import every_latent
from latens.typing import Array, Key

FEW, AT_ONCE = 16, 64
"""Rows of a batch: the segments of all columns of every draw stay in a processor's cache, twice as fast as 500 rows."""


@of_rows
def conditionals(
    rows: Rows, types: Sequence[ColumnType], *, num_samples: int = 1000
) -> tuple[list[np.ndarray], np.ndarray]:
    r"""Compute the probability of every category, or segment of the grid, of every column of each row."""
    # $P(x_j \in s \mid x_{obs}) \approx \sum_k w_k\, P(x_j \in s \mid z_k)$ with the draws and weights of `impute`. Of
    # an observed column it is the probability of another such cell, given the row with this one.
    # Source: Mattei & Frellsen (2019), arXiv 1812.02633, with the mean over x given z in closed form.
    size = rows.batch_size or (FEW if len(rows.batch.row_id) <= FEW else AT_ONCE)
    rows = replace(rows, batch_size=size)
    function = Partial(_shares, num_samples=num_samples, samples_per_chunk=min(rows.samples_per_chunk, num_samples))
    found, effective = map_rows(function, rows)
    places = model_places(rows.model)
    columns = {i: found[name][:, k] for name, own in places.items() for k, i in enumerate(own)}
    return [columns[i][:, : one.count].astype(np.float64) for i, one in enumerate(types)], effective


@of_rows
def left_out(rows: Rows, types: Sequence[ColumnType], *, num_samples: int = 100) -> list[np.ndarray]:
    r"""Compute the probability of every category, or segment, of each column given the other cells of its row."""
    # By the same draws for all columns: $p(x_j \mid x_{-j}) \approx \sum_k w_{kj}\, p(x_j \mid x_{-j}, z_k)$ with
    # $w_{kj} \propto w_k / p(x_j \mid x_{-j}, z_k)$, what draw k weighs without this cell.
    # Source: Gelfand, Dey & Chang (1992), "Model determination using predictive distributions", for the weights.
    size = rows.batch_size or (FEW if len(rows.batch.row_id) <= FEW else AT_ONCE)
    rows = replace(rows, batch_size=size)
    places = model_places(rows.model)
    function = Partial(
        _left_out, places=places, num_samples=num_samples, at_once=min(rows.samples_per_chunk, num_samples)
    )
    found = map_rows(function, rows)
    columns = {i: found[name][:, k] for name, own in places.items() for k, i in enumerate(own)}
    return [columns[i][:, : one.count].astype(np.float64) for i, one in enumerate(types)]


def model_places(model: Any) -> dict[str, tuple[int, ...]]:
    """The columns of a mixed table that are computed together."""
    z = jax.eval_shape(lambda: model.prior(cond=None).sample(key=jax.random.key(0)))
    one = jax.eval_shape(lambda z: model.likelihood(z, cond=None), z)
    blocks = getattr(one, "columns", one).blocks
    return dict(zip(blocks.names, blocks.places))


def _shares(
    model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int
) -> tuple[dict[str, Array], Array]:
    def of(z: Any, cond: Any, x: Any, mask: Array) -> dict[str, Array]:
        joined = model.likelihood(z, cond=cond).each_given(x, mask)
        return {name: jnp.exp(part.log_shares()) for name, part in joined.parts.items()}

    sizes = {"num_samples": num_samples, "num_draws": 0, "samples_per_chunk": samples_per_chunk}
    state, _ = given_observed(of, model, batch, key, **sizes)
    return state.mean, state.effective


def _left_out(
    model: Any, batch: Batch, key: Key, places: dict[str, tuple[int, ...]], num_samples: int, at_once: int
) -> dict[str, Array]:
    every = every_latent(model)
    draws = num_samples if every is None else len(every)
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask

    def of(z: Any, cond: Any, x: Any, mask: Array) -> tuple[dict[str, Array], Array]:
        joined = model.likelihood(z, cond=cond).each_given(x, mask)
        shares = {name: jnp.exp(part.log_shares()) for name, part in joined.parts.items()}
        return shares, jnp.where(mask, joined.log_prob_terms(x), 0.0)

    def add(state: tuple[Array, dict[str, Array]], first: Array | int, count: int) -> tuple[Array, dict[str, Array]]:
        z, log_weight = weighed(model, batch, count, first=first, key=key)
        shares, own = jax.vmap(jax.vmap(of), (0, None, None, None))(z, batch.cond, batch.x, mask)
        log_weights = log_weight[..., None] - own
        total = jnp.logaddexp(state[0], jax.nn.logsumexp(log_weights, axis=0))
        kept, share = jnp.exp(state[0] - total), jnp.exp(log_weights - total)
        mean = {
            name: kept[:, list(at), None] * state[1][name]
            + jnp.einsum("kbm,kbms->bms", share[:, :, list(at)], shares[name])
            for name, at in places.items()
        }
        return total, mean

    draw = lambda: jax.tree.map(lambda leaf: leaf[0], weighed(model, batch, 1, first=0, key=key)[0])  # noqa: E731
    like, _ = jax.eval_shape(lambda: jax.vmap(of)(draw(), batch.cond, batch.x, mask))
    state = jnp.full(batch.x.shape, -jnp.inf), {name: jnp.zeros(leaf.shape) for name, leaf in like.items()}
    full, rest = divmod(draws, at_once)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * at_once, at_once), state)
    return (add(state, full * at_once, rest) if rest else state)[1]
