"""Rows under conditions on their columns, and what a column then may be: by weights, never by rejection."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from latens.evidence.batched import BATCH_SIZES
from latens.io.compilation import check_generator, compiled
from latens.io.process import check_process
from latens.kinds.tables.columns import ColumnType
from latens.models import AbstractLatentModel
from latens.predictive.missing_cells import model_places
from latens.predictive.where import Conditions
from latens.typing import Array, Float, Key, PyTree, Shaped

CHUNK, MOST_CHUNKS = 2**14, 16
"""Draws of z at once; at most so many times, while they are worth fewer than the rows that are asked for."""
TEXT_CHUNK = 2**9
"""The same of rows of tokens, of which every draw holds a state for each token."""
SHARES_CHUNK, FEWEST = 2**12, 2
"""Draws of z at once where every column's shares are computed at each, which is more to hold; and where z says nothing:
one of the posterior and one of the prior."""


class ConditionalSamples(NamedTuple):
    r"""Rows that fulfil conditions, and what the draws behind them were worth."""

    x: np.ndarray  # the rows, of shape (n, columns), stored cells
    effective: float  # the effective number $1/\sum_k w_k^2$ of the draws of z
    draws: int  # how many draws of z there were
    log_probability: float  # the log probability of the conditions under the model, in nats
    z: PyTree = None  # the latents that each row was drawn from


def sample_given(
    model: AbstractLatentModel, conditions: Conditions, n: int, *, key: Key, chunk: int = CHUNK
) -> ConditionalSamples:
    r"""Draw rows from $p(x \mid x \in C)$ of a mixed table, or rows of tokens that begin as two bounds agree."""
    # Of K draws z of the mixture $\frac12 q(z \mid x_{obs}) + \frac12 p(z)$, with weights $w \propto p(z)\,P(C \mid z)$
    # over its density, n are chosen by weight (systematic resampling); each gives a row of p(x | z) within the
    # conditions. The encoder sees the columns whose value is given; a range counts by weight alone.
    # Source: Owen & Zhou (2000) for the defensive mixture; Douc, Cappe & Moulines (2005) for the resampling.
    check_process()
    check_generator(key)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    kept, weights, draws, effective = [], [], 0, 0.0
    draw_key, choice_key, event_key = jax.random.split(key, 3)
    total = np.zeros(0)
    while draws < chunk * MOST_CHUNKS and effective < n:
        z, log_weight = _weighed(model, low, high, jax.random.fold_in(draw_key, draws), chunk)
        kept.append(jax.tree.map(np.asarray, z))
        weights.append(np.asarray(log_weight, np.float64))
        draws += chunk
        total = np.concatenate(weights)
        share = np.exp(total - total.max())
        effective = float(share.sum() ** 2 / (share**2).sum())
    largest = total.max()
    share = np.exp(total - largest)
    log_probability = float(largest + np.log(share.mean()))
    offset = float(jax.random.uniform(choice_key))
    edges = np.cumsum(share / share.sum())
    chosen = np.minimum(np.searchsorted(edges, (np.arange(n) + offset) / n, side="right"), draws - 1)
    every = jax.tree.map(lambda *leaves: np.concatenate(leaves)[chosen], *kept)
    size = next((size for size in BATCH_SIZES if n <= size), BATCH_SIZES[-1])
    rows = []
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)
        part = jax.tree.map(lambda leaf, index=index: leaf[index], every)
        rows.append(np.asarray(_events(model, part, low, high, jnp.asarray(index), event_key)))
    order = np.random.default_rng(np.asarray(jax.random.key_data(choice_key))).permutation(n)
    z = jax.tree.map(lambda leaf: leaf[order], every)
    return ConditionalSamples(np.concatenate(rows)[:n][order], effective, draws, log_probability, z)


class GivenShares(NamedTuple):
    r"""What each column may be under conditions, and what the draws behind it were worth."""

    columns: list[np.ndarray]  # of each column the probability of every category or segment, of shape (segments,)
    effective: float  # the effective number $1/\sum_k w_k^2$ of the draws of z
    draws: int  # how many draws of z there were
    log_probability: float  # the log probability of the conditions under the model, in nats


def shares_given(
    model: AbstractLatentModel,
    conditions: Conditions,
    types: Sequence[ColumnType],
    *,
    key: Key,
    enough: float = 1000.0,
    chunk: int = SHARES_CHUNK,
) -> GivenShares:
    r"""Compute what each column of a mixed table may be, given that its row fulfils conditions."""
    # $P(x_j \in s \mid x \in C) \approx \sum_k w_k\, P(x_j \in s \mid z_k)$ with the draws and weights of
    # `sample_given`, from the same machinery without drawing a row. Of a column that has a condition itself it is the
    # probability of another such cell in a row with this one.
    # Source: Owen & Zhou (2000) for the defensive mixture, with the mean over x given z in closed form.
    check_process()
    check_generator(key)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    parts: list[tuple[float, float, float, dict[str, np.ndarray]]] = []
    draws, effective, top, total = 0, 0.0, -np.inf, 0.0
    while draws < SHARES_CHUNK * MOST_CHUNKS and effective < enough:
        largest, weight, squares, mean = _shares(model, low, high, jax.random.fold_in(key, draws), chunk)
        parts.append((float(largest), float(weight), float(squares), jax.tree.map(np.asarray, mean)))
        draws += chunk
        top = max(part[0] for part in parts)
        total = sum(np.exp(part[0] - top) * part[1] for part in parts)
        effective = total**2 / sum(np.exp(2.0 * (part[0] - top)) * part[2] for part in parts)
    kept = [np.exp(part[0] - top) / total for part in parts]
    found = {
        name: np.sum([share * part[3][name].astype(np.float64) for share, part in zip(kept, parts)], axis=0)
        for name in parts[0][3]
    }
    columns = {i: found[name][k] for name, own in model_places(model).items() for k, i in enumerate(own)}
    log_probability = float(top + np.log(total / draws))
    return GivenShares([columns[i][: one.count] for i, one in enumerate(types)], effective, draws, log_probability)


@compiled
def _shares(
    model: Any, low: Float[Array, " c"], high: Float[Array, " c"], key: Key, chunk: int
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Of some draws of z the largest log weight, the sums of weights and squares beside it, and weighted shares."""
    z, log_weight = _weighed(model, low, high, key, chunk)
    largest = jnp.max(log_weight)
    weight = jnp.exp(log_weight - largest)

    def of(z: PyTree) -> dict[str, Array]:
        each = model.likelihood(z, cond=None).each_within(low, high)
        return {name: jnp.exp(part.log_shares()) for name, part in each.parts.items()}

    shares = jax.tree.map(lambda leaf: jnp.einsum("k,k...->...", weight, leaf), jax.vmap(of)(z))
    return largest, weight.sum(), (weight**2).sum(), shares


@compiled
def _weighed(
    model: Any, low: Float[Array, " c"], high: Float[Array, " c"], key: Key, count: int
) -> tuple[PyTree[Array], Float[Array, " K"]]:
    """Draws of z, and their log weights."""
    known = low == high
    posterior = model.posterior(jnp.where(known, low, 0.0), cond=None, mask=known)
    prior = model.prior(cond=None)
    keys = jax.random.split(key, count)
    of = lambda source, keys: jax.vmap(lambda k: source.sample(key=k))(keys)  # noqa: E731
    halves = of(posterior, keys[: count // 2]), of(prior, keys[count // 2 :])
    z = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *halves)
    log_prior, log_posterior = jax.vmap(prior.log_prob)(z), jax.vmap(posterior.log_prob)(z)
    log_density = jnp.logaddexp(log_prior, log_posterior) - jnp.log(2.0)
    log_given = jax.vmap(lambda z: model.likelihood(z, cond=None).within(low, high)[1])(z)
    return z, log_given + log_prior - log_density


@compiled
def _events(
    model: Any, z: PyTree[Array], low: Float[Array, " c"], high: Float[Array, " c"], index: Array, key: Key,
) -> Shaped[Array, "n c"]:  # fmt: skip
    """A row within the conditions for each z."""

    def one(z: PyTree, i: Array) -> Array:
        return model.likelihood(z, cond=None).within(low, high)[0].sample(key=jax.random.fold_in(key, i))

    return jax.vmap(one)(z, index)
