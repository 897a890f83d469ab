"""What missing values may have been: imputation by self-normalised importance resampling."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.batches import Batch
from latens.evaluation.batched import map_rows
from latens.io.keys import IMPUTED_EVENTS
from latens.objectives.draws import draw
from latens.typing import Array, Float, Key, PyTree


class Imputed(NamedTuple):
    r"""What a model makes of incomplete rows, in the unit of its likelihood.

    Args:
        mean: $E[x \mid x_{obs}]$ where a value is missing and the value itself where it is observed, shape (B, *x).
        draws: M samples from $p(x_{mis} \mid x_{obs})$, observed values likewise, shape (B, M, *x).
        effective: The effective number $1/\sum_k w_k^2$ of the K samples, shape (B,): near 1, the mean hangs on a
            single sample.
    """

    mean: np.ndarray
    draws: np.ndarray
    effective: np.ndarray


def impute(
    model: Any,
    batch: Batch,
    *,
    num_samples: int = 1000,
    num_draws: int = 0,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
    samples_per_chunk: int = 20,
) -> Imputed:
    r"""Impute missing values: their mean and samples of them, given what is observed of each row.

    $E[x_{mis} \mid x_{obs}] \approx \sum_k w_k\, E[x_{mis} \mid z_k]$ with $z_k \sim q(z \mid x_{obs})$ and
    $w_k \propto p(x_{obs} \mid z_k)\,p(z_k)/q(z_k \mid x_{obs})$, normalised over the K samples. A sample of the
    missing values takes one of the $z_k$ with probability $w_k$, then x from $p(x \mid z_k)$ (of a model with a
    `missingness`: from $p(x \mid z_k, \text{missing})$). K is streamed in chunks, so memory does not grow with it.

    Args:
        model: The trained model.
        batch: The rows, with a `mask` that is True where a value is observed (without one nothing is imputed).
        num_samples: K, posterior samples for each row.
        num_draws: M, samples of the missing values of each row.
        key: Random key.
        preparation: What turns a stored row into what the model sees.
        batch_size: Rows in one compiled batch; None chooses.
        samples_per_chunk: Samples decoded at once.

    Returns:
        Means and samples of all rows.

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, section 3.3, with the mean over x given z in closed
    form.
    """
    sizes = {"num_samples": num_samples, "num_draws": num_draws}
    function = Partial(_impute, samples_per_chunk=min(samples_per_chunk, num_samples), **sizes)
    return Imputed(*map_rows(function, model, batch, preparation=preparation, key=key, batch_size=batch_size))


def _impute(
    model: Any, batch: Batch, key: Key, num_samples: int, num_draws: int, samples_per_chunk: int
) -> tuple[Array, Array, Array]:
    rows, (posterior_key, choice_key) = batch.row_id.shape[0], jax.random.split(key)
    like = jax.eval_shape(lambda: draw(model, batch, num_samples=1, key=posterior_key, dropout=False).z)

    def add(state: _State, first: Array | int, count: int) -> _State:
        drawn = draw(model, batch, num_samples=count, first_sample=first, key=posterior_key, dropout=False)
        means = jax.vmap(lambda z: _means(model, z, batch))(drawn.z)
        return state.with_draws(drawn.log_weight, means, drawn.z, first, batch.row_id, choice_key)

    state = _State(
        jnp.full(rows, -jnp.inf),
        jnp.full(rows, -jnp.inf),
        jnp.zeros((rows, *batch.x.shape[1:])),
        jnp.full((rows, num_draws), -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros((rows, num_draws, *leaf.shape[2:]), leaf.dtype), like),
    )
    full, rest = divmod(num_samples, samples_per_chunk)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * samples_per_chunk, samples_per_chunk), state)
    if rest:
        state = add(state, full * samples_per_chunk, rest)
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask
    event_key = jax.random.fold_in(choice_key, IMPUTED_EVENTS)
    events = _events(model, state.chosen, batch, num_draws, event_key)
    observed = batch.x.astype(state.mean.dtype)
    mean = jnp.where(mask, observed, state.mean)
    draws = jnp.where(mask[:, None], observed[:, None], events.astype(state.mean.dtype))
    return mean, draws, jnp.exp(2.0 * state.total - state.squares)


class _State(eqx.Module):
    """What of the draws so far is kept: log sums of weights and of their squares, the mean, and the chosen z."""

    total: Float[Array, " B"]
    squares: Float[Array, " B"]
    mean: Float[Array, "B *x"]
    best: Float[Array, "B M"]
    chosen: PyTree[Array]

    def with_draws(
        self, log_weight: Float[Array, "K B"], means: Float[Array, "K B *x"], z: Any, first: Any, ids: Any, key: Key
    ) -> "_State":
        total = jnp.logaddexp(self.total, jax.nn.logsumexp(log_weight, axis=0))
        squares = jnp.logaddexp(self.squares, jax.nn.logsumexp(2.0 * log_weight, axis=0))
        share = jnp.exp(log_weight - total)
        kept = jnp.exp(self.total - total)
        wide = lambda array: array.reshape(*array.shape, *(1,) * (self.mean.ndim - 1))  # noqa: E731
        mean = wide(kept) * self.mean + jnp.sum(wide(share) * means, axis=0)
        if self.best.shape[1] == 0:
            return _State(total, squares, mean, self.best, self.chosen)
        # The largest log weight + Gumbel noise is a draw by weight (Gumbel-max), also one chunk after the other.
        count = log_weight.shape[0]

        def noise(row_id: Array, sample: Array) -> Array:
            own = jax.random.fold_in(jax.random.fold_in(key, row_id), sample)
            return jax.random.gumbel(own, self.best.shape[1:])

        gumbel = jax.vmap(lambda k: jax.vmap(lambda i: noise(i, k))(ids))(first + jnp.arange(count))
        scores = log_weight[:, :, None] + gumbel
        which, best = jnp.argmax(scores, axis=0), jnp.max(scores, axis=0)
        better = best > self.best

        def choose(new: Array, old: Array) -> Array:
            picked = jax.vmap(lambda leaf, index: leaf[index], in_axes=(1, 0))(new, which)
            return jnp.where(better.reshape(*better.shape, *(1,) * (old.ndim - 2)), picked, old)

        chosen = jax.tree.map(choose, z, self.chosen)
        return _State(total, squares, mean, jnp.where(better, best, self.best), chosen)


def _means(model: Any, z: Any, batch: Batch) -> Float[Array, "B *x"]:
    r"""$E[x \mid z]$ for each row; of missing values given that they are missing, where that says something."""

    def one(z: Any, cond: Any) -> Array:
        likelihood = model.likelihood(z, cond=cond)
        missingness = getattr(model, "missingness", None)
        return likelihood.mean() if missingness is None else missingness.missing_mean(likelihood)

    return jax.vmap(one)(z, batch.cond)


def _events(model: Any, z: Any, batch: Batch, num_draws: int, key: Key) -> Array:
    """One x for each chosen z: (B, M, *x)."""
    if num_draws == 0:
        return jnp.zeros((batch.row_id.shape[0], 0, *batch.x.shape[1:]))

    def one(z: Any, cond: Any, key: Key) -> Array:
        likelihood = model.likelihood(z, cond=cond)
        missingness = getattr(model, "missingness", None)
        return (likelihood.sample if missingness is None else Partial(missingness.missing_sample, likelihood))(key=key)

    def of_row(z: Any, cond: Any, row_id: Any) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_draws)
        return jax.vmap(lambda z, k: one(z, cond, k))(z, keys)

    return jax.vmap(of_row)(z, batch.cond, batch.row_id)
