"""What missing values may have been: imputation by self-normalised importance resampling."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.distributions import FullNormal
from latens.evaluation.batched import Rows, in_cache, map_rows, of_rows
from latens.evaluation.linear_answer import linear_answer
from latens.io.keys import IMPUTED_EVENTS
from latens.io.process import counted
from latens.models import LatentModel, every_latent
from latens.typing import Array, Float, Key, PyTree

MANY, _FEW = 10, 16
"""Variables that share noise from which on they are many, and rows of such that are taken at once."""


class Imputed(NamedTuple):
    r"""What a model makes of incomplete rows, in the unit of its likelihood.

    Args:
        mean: $E[x \mid x_{obs}]$ where a value is missing and the value itself where it is observed, shape (B, *x);
            None where it was not asked for.
        draws: M samples from $p(x_{mis} \mid x_{obs})$, observed values likewise, shape (B, M, *x).
        effective: The effective number $1/\sum_k w_k^2$ of the K samples, shape (B,): near 1, the mean hangs on a
            single sample.
    """

    mean: Any
    draws: np.ndarray
    effective: np.ndarray


@of_rows
@counted(num_samples=1, num_draws=0)
def impute(rows: Rows, *, num_samples: int = 1000, num_draws: int = 0, mean: bool = True) -> Imputed:
    r"""Impute missing values: their mean and samples of them, given what is observed of each row.

    $E[x_{mis} \mid x_{obs}] \approx \sum_k w_k\, E[x_{mis} \mid z_k]$ with the $z_k$ in turn from
    $q(z \mid x_{obs})$ and from $p(z)$, and $w_k \propto p(x_{obs} \mid z_k)\,p(z_k)/(\frac12 q(z_k \mid x_{obs}) +
    \frac12 p(z_k))$, normalised over the K samples: an encoder that never saw such gaps may miss the posterior, the
    prior does not. Where the likelihood has variances, a third of the draws come from the posterior as if the decoder
    were linear, which is exact where it is. A sample of the missing values takes one of the $z_k$ with probability
    $w_k$, then x from $p(x \mid z_k)$ (of a model with a `missingness`: from $p(x \mid z_k, \text{missing})$). K is
    streamed in chunks, so memory does not grow with it.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, samples of z for each row.
        num_draws: M, samples of the missing values of each row.
        mean: Whether to compute the mean, which takes most of the time of correlated columns.

    Returns:
        Means and samples of all rows.

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, section 3.3, with the mean over x given z in closed
    form; Owen & Zhou (2000) for the defensive mixture.
    """
    rows = _at_once(rows, num_samples)
    sizes = {"num_samples": num_samples, "num_draws": num_draws, "with_mean": mean}
    function = Partial(_impute, samples_per_chunk=min(rows.samples_per_chunk, num_samples), **sizes)
    return Imputed(*map_rows(function, rows))


def _at_once(rows: Rows, num_samples: int) -> Rows:
    """The rows a few at a time and all draws of each at once, where what is seen of a row is costly to prepare."""
    # Of correlated variables the covariance of the observed ones is inverted once for all draws of a row.
    head = getattr(getattr(rows.model, "decoder", None), "head", None)
    if getattr(head, "group", 1) < MANY:
        return in_cache(rows, min(num_samples, rows.samples_per_chunk))
    return replace(rows, batch_size=rows.batch_size or _FEW, samples_per_chunk=min(num_samples, 1000))


def _impute(
    model: Any, batch: Batch, key: Key, num_samples: int, num_draws: int, samples_per_chunk: int, with_mean: bool
) -> tuple[Array | None, Array, Array]:
    sizes = {"num_samples": num_samples, "num_draws": num_draws, "samples_per_chunk": samples_per_chunk}
    state, choice_key = given_observed(partial(_mean, model) if with_mean else _nothing, model, batch, key, **sizes)
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask
    event_key = jax.random.fold_in(choice_key, IMPUTED_EVENTS)
    events = _events(model, state.chosen, batch, num_draws, event_key)
    exact = jnp.result_type(float)
    observed = batch.x.astype(exact)
    mean = jnp.where(mask, observed, state.mean) if with_mean else None
    draws = jnp.where(mask[:, None], observed[:, None], events.astype(exact))
    return mean, draws, state.effective


def _nothing(z: Any, cond: Any, x: Any, mask: Array) -> Array:
    """What draws are weighed for where only they are asked for."""
    return jnp.zeros(())


def given_observed(
    of: Callable[[Any, Any, Any, Array], PyTree[Array]],
    model: Any,
    batch: Batch,
    key: Key,
    *,
    num_samples: int,
    num_draws: int,
    samples_per_chunk: int,
) -> tuple["WeighedDraws", Key]:
    r"""Average a function of z over $p(z \mid x_{obs})$, and choose some z by their weights."""
    # Of a model whose latents can be counted, each is one draw: average and choice are exact, and count as
    # `num_samples` draws.
    # returns: the average with the chosen z, and a key for what is drawn from these.
    posterior_key, choice_key = jax.random.split(key)
    every = every_latent(model)
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask
    beside = None if every is not None else linear_proposals(model, batch)
    values = lambda z: jax.vmap(jax.vmap(of), (0, None, None, None))(z, batch.cond, batch.x, mask)  # noqa: E731
    draws = num_samples if every is None else len(every)
    state = averaged(values, model, batch, draws, num_draws, samples_per_chunk, posterior_key, choice_key, beside)
    exact = lambda s: eqx.tree_at(lambda s: s.squares, s, 2.0 * s.total - jnp.log(float(num_samples)))  # noqa: E731
    return (state if every is None else exact(state)), choice_key


def averaged(
    values: Callable[[Any], PyTree[Array]], model: Any, batch: Batch, num_samples: int, num_draws: int,
    samples_per_chunk: int, key: Key, choice_key: Key, beside: FullNormal | None = None,
) -> "WeighedDraws":  # fmt: skip
    """Average what draws of z give of each row by their weights, a chunk of draws at a time."""
    rows = batch.row_id.shape[0]
    like, _ = jax.eval_shape(lambda: weighed(model, batch, 1, first=0, key=key, beside=beside))

    def add(state: WeighedDraws, first: Array | int, count: int) -> WeighedDraws:
        z, log_weight = weighed(model, batch, count, first=first, key=key, beside=beside)
        return state.with_draws(log_weight, values(z), z, first, batch.row_id, choice_key)

    state = WeighedDraws(
        jnp.full(rows, -jnp.inf),
        jnp.full(rows, -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), jax.eval_shape(values, like)),
        jnp.full((rows, num_draws), -jnp.inf),
        jax.tree.map(lambda leaf: jnp.zeros((rows, num_draws, *leaf.shape[2:]), leaf.dtype), like),
    )
    full, rest = divmod(num_samples, samples_per_chunk)
    state = jax.lax.fori_loop(0, full, lambda i, s: add(s, i * samples_per_chunk, samples_per_chunk), state)
    return add(state, full * samples_per_chunk, rest) if rest else state


def weighed(
    model: Any, batch: Batch, count: int, *, first: Array | int, key: Key, beside: FullNormal | None = None
) -> tuple[PyTree[Array], Float[Array, "K B"]]:
    r"""Draws of z given what is observed of each row, with their log weights."""
    # Every second draw is one of the prior: $\log w = \log p(x_{obs} \mid z) + \log p(z) - \log(\frac12 q(z \mid
    # x_{obs}) + \frac12 p(z))$; all are of $q$ where its density is known along its own draws only. Of a model whose
    # latents can be counted, draw k is latent k, once for each latent, with $\log w = \log p(x_{obs}, z)$.
    # Source: Owen & Zhou (2000), "Safe and effective importance sampling".
    # first: the number of the first draw, so that K can be drawn in parts. beside: one more proposal for each row, of
    # which every third draw is then.
    every = every_latent(model)

    def one_row(x: Any, row_id: Any, cond: Any, mask: Any, linear: Any) -> tuple[PyTree[Array], Array]:
        if every is not None:
            which = every[(first + jnp.arange(count)) % len(every)]
            log_prior, log_likelihood = jax.vmap(lambda z: model.log_joint(z, x, cond=cond, mask=mask))(which)
            return which, log_prior + log_likelihood
        row_key = jax.random.fold_in(key, row_id)
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        parts = 2 if linear is None else 3

        def one(index: Array) -> tuple[PyTree[Array], Array]:
            own = jax.random.fold_in(row_key, index)
            z, log_density = posterior.sample_and_log_prob(key=own)
            if posterior.density_elsewhere:
                other = prior.sample(key=own)
                z = jax.tree.map(lambda a, b: jnp.where(index % parts == 0, a, b), z, other)
            if linear is not None:
                z = jnp.where(index % parts == 2, linear.sample(key=own).astype(z.dtype), z)
            log_prior, log_likelihood = model.log_joint(z, x, cond=cond, mask=mask)
            if posterior.density_elsewhere:
                log_density = jnp.logaddexp(posterior.log_prob(z), log_prior) - jnp.log(float(parts))
            if linear is not None:
                log_density = jnp.logaddexp(log_density, linear.log_prob(z) - jnp.log(float(parts)))
            return z, log_likelihood + log_prior - log_density

        return jax.vmap(one)(first + jnp.arange(count))

    return jax.vmap(one_row, out_axes=1)(batch.x, batch.row_id, batch.cond, batch.mask, beside)


def linear_proposals(model: Any, batch: Batch) -> FullNormal | None:
    """The posterior of each row with gaps as if the decoder were linear; None where rows have none, or no variances."""
    if batch.mask is None or not isinstance(batch.x, jax.Array) or not isinstance(model, LatentModel):
        return None

    def of_row(x: Any, cond: Any, mask: Any) -> FullNormal | None:
        q, decode = model.posterior(x, cond=cond, mask=mask), lambda z: model.likelihood(z, cond=cond)
        return linear_answer(decode, q, x, mask, None)

    return jax.vmap(of_row)(batch.x, batch.cond, batch.mask)


@of_rows
@counted(num_samples=1)
def log_observed(rows: Rows, *, num_samples: int = 1000) -> np.ndarray:
    r"""Estimate log p of what is observed of each row, in nats, by the draws of `impute`."""
    rows = _at_once(rows, num_samples)
    return map_rows(Partial(_log_observed, samples_per_chunk=rows.samples_per_chunk, num_samples=num_samples), rows)


def _log_observed(model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int) -> Array:
    size = min(samples_per_chunk, num_samples)
    sizes = {"num_samples": num_samples, "num_draws": 0, "samples_per_chunk": size}
    state, _ = given_observed(_nothing, model, batch, key, **sizes)
    return state.total - (0.0 if every_latent(model) is not None else jnp.log(float(num_samples)))


class WeighedDraws(eqx.Module):
    """What of the draws so far is kept."""

    total: Float[Array, " B"]  # the log sum of the weights, of shape (B,)
    squares: Float[Array, " B"]  # the log sum of their squares, of shape (B,)
    mean: PyTree[Array]  # the weighted mean of a function of z, every leaf with B as its leading axis
    best: Float[Array, "B M"]  # the largest log weight with Gumbel noise, for each z that is chosen, of shape (B, M)
    chosen: PyTree[Array]  # the z that are chosen, every leaf with the leading axes (B, M)

    @property
    def effective(self) -> Float[Array, " B"]:
        """The effective number of draws of each row."""
        return jnp.exp(2.0 * self.total - self.squares)

    def with_draws(
        self, log_weight: Float[Array, "K B"], values: PyTree[Array], z: Any, first: Any, ids: Any, key: Key
    ) -> "WeighedDraws":
        """Add some draws."""
        total = jnp.logaddexp(self.total, jax.nn.logsumexp(log_weight, axis=0))
        squares = jnp.logaddexp(self.squares, jax.nn.logsumexp(2.0 * log_weight, axis=0))
        share = jnp.exp(log_weight - total)
        kept = jnp.exp(self.total - total)
        # An einsum, so that the product with the weights is never held.
        add = lambda mean, leaf: jnp.einsum("b,b...->b...", kept, mean) + jnp.einsum("kb,kb...->b...", share, leaf)  # noqa: E731
        mean = jax.tree.map(add, self.mean, values)
        if self.best.shape[1] == 0:
            return WeighedDraws(total, squares, mean, self.best, self.chosen)
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
        return WeighedDraws(total, squares, mean, jnp.where(better, best, self.best), chosen)


def _mean(model: Any, z: Any, cond: Any, x: Any, mask: Array) -> Float[Array, "*x"]:
    r"""$E[x \mid z, x_{obs}]$; of missing values given that they are missing, where that says something."""
    likelihood = model.likelihood(z, cond=cond).conditioned(x, mask)
    missingness = getattr(model, "missingness", None)
    return likelihood.mean() if missingness is None else missingness.missing_mean(likelihood)


def _events(model: Any, z: Any, batch: Batch, num_draws: int, key: Key) -> Array:
    """One x for each chosen z: (B, M, *x)."""
    if num_draws == 0:
        return jnp.zeros((batch.row_id.shape[0], 0, *batch.x.shape[1:]))

    shown = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask

    def one(z: Any, cond: Any, x: Any, mask: Array, key: Key) -> Array:
        likelihood = model.likelihood(z, cond=cond).conditioned(x, mask)
        missingness = getattr(model, "missingness", None)
        return (likelihood.sample if missingness is None else Partial(missingness.missing_sample, likelihood))(key=key)

    def of_row(z: Any, cond: Any, x: Any, mask: Array, row_id: Any) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_draws)
        return jax.vmap(lambda z, k: one(z, cond, x, mask, k))(z, keys)

    return jax.vmap(of_row)(z, batch.cond, batch.x, shown, batch.row_id)
