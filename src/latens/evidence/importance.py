"""log p(x) and the ELBO by importance sampling, of draws from one or several proposals, with what the weights say."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, DiagonalNormal, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_draws, weights_of
from latens.evidence.log_marginals import LogMarginals, WeightSummary, WeightSums
from latens.io.compilation import counted
from latens.models import AbstractJointModel, AbstractLatentModel, mean_code
from latens.objectives.draws import draw
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, PyTree

EVIDENCE = ("q", "q", "q", "wide", "q", "q", "q", "prior")
"""Whose the draws of log p(x) are in turn: those of the wider posterior reach tails, those of the prior all."""

WIDER = math.log(2.0)
"""The logarithm of how many times wider the wider posterior is, where the posterior is a diagonal Normal."""


def proposed(
    model: AbstractLatentModel,
    batch: Batch,
    count: int,
    *,
    first: Array | int,
    num_samples: int,
    proposals: tuple[str, ...],
    key: Key,
    beside: AbstractDistribution | None = None,
) -> tuple[PyTree[Array], Float[Array, "K B"], Float[Array, "K 2 B"]]:
    r"""Some of K draws of z for each row, from the posterior "q", "wide", the "prior" and `beside`, in turn."""
    # $\log w = \log p(x \mid z) + \log p(z) - \log\sum_j \frac{K_j}{K} r_j(z)$, with $K_j$ of the K draws from the
    # proposal $r_j$. The mean of w is p(x) in expectation, whatever K is, and the prior bounds every weight. All draws
    # are of q where its density is known along its own draws only, and those of a wider one where none is known.
    # Source: Owen & Zhou (2000), "Safe and effective importance sampling"; Veach & Guibas (1995).
    # returns: the draws; their log weights; and of those of q log p(x, z) - log q(z | x) and log p(x | z), times what
    # makes a mean over all draws that over these, 0 of the others.
    # first: the number of the first draw, to draw K in parts. num_samples: K. proposals: in turn, at most one "prior".
    index = first + jnp.arange(count)

    def one_row(
        x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, other: AbstractDistribution | None
    ) -> tuple[PyTree[Array], Array, Array]:
        row_key = jax.random.fold_in(key, row_id)
        keys = jax.vmap(lambda i: jax.random.fold_in(row_key, i))
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        known = {"wide": isinstance(posterior, DiagonalNormal), "q": True}
        order = [one if known.get(one, posterior.density_elsewhere) else "q" for one in proposals]
        counts = {one: sum(order[k % len(order)] == one for k in range(num_samples)) for one in order}
        is_of = {one: jnp.asarray(np.array(order) == one)[index % len(order)] for one in counts}

        def put(name: str, z: PyTree[Array], made: PyTree[Array]) -> PyTree[Array]:
            led = lambda leaf: is_of[name].reshape(-1, *(1,) * (leaf.ndim - 1))  # noqa: E731
            return jax.tree.map(lambda leaf, new: jnp.where(led(leaf), new.astype(leaf.dtype), leaf), z, made)

        z, log_q = jax.vmap(lambda own: posterior.sample_and_log_prob(key=own))(keys(index))
        densities = {}
        if isinstance(posterior, DiagonalNormal) and counts.get("wide"):
            z = put("wide", z, posterior.loc + math.exp(WIDER) * (z - posterior.loc))
            densities["wide"] = DiagonalNormal(posterior.loc, posterior.log_scale_array() + WIDER).log_prob
        if other is not None and counts.get("beside"):
            z = put("beside", z, jax.vmap(lambda own: other.sample(key=own))(keys(index)))
            densities["beside"] = other.log_prob
        if counts.get("prior"):
            most, ahead = -(-count // len(order)), (order.index("prior") - first) % len(order)
            source = jax.vmap(lambda own: prior.sample(key=own))(keys(first + ahead + len(order) * jnp.arange(most)))
            at = jnp.clip((jnp.arange(count) - ahead) // len(order), 0, most - 1)
            z = put("prior", z, jax.tree.map(lambda leaf: leaf[at], source))
            log_q = jnp.where(is_of["prior"], jax.vmap(posterior.log_prob)(source)[at], log_q)
        if densities:
            log_q = jax.vmap(posterior.log_prob)(z)
        log_prior, log_likelihood = jax.vmap(lambda z: model.log_joint(z, x, cond=cond, mask=mask))(z)
        found = {"q": log_q, "prior": log_prior} | {one: jax.vmap(density)(z) for one, density in densities.items()}
        parts = [found[one] + math.log(n / num_samples) for one, n in counts.items() if n]
        log_joint = log_likelihood + log_prior
        own = jnp.where(is_of["q"][:, None], jnp.stack([log_joint - log_q, log_likelihood], axis=1), 0.0)
        return z, log_joint - functools.reduce(jnp.logaddexp, parts), own * (num_samples / counts["q"])

    rows = (batch.x, batch.row_id, batch.cond, batch.mask, beside)
    return jax.vmap(one_row, out_axes=(1, 1, 2))(*rows)


_KEPT = 2048
"""Log weights of a row that are kept before they are summed and sorted: 8 kB a row, whatever K is."""

BLIND_DRAWS = 4
"""Draws from the prior a row, that tell whether the decoder reads z at all."""


@counted(num_samples=1)
def importance_sampling(rows: ModelRows, *, num_samples: int = 1000) -> LogMarginals:
    r"""Estimate log p(x) of each row by importance sampling, and say whether to trust it.

    $\log\frac1K\sum_k w_k$ with $w_k = p(x|z_k)\,p(z_k)/r(z_k)$ and $z_k \sim r$: a lower bound of $\log p(x)$ in
    expectation. The proposal r is a mixture: of eight draws six come from the encoder's $q(z|x)$, one from a q of twice
    the scale where that is a diagonal Normal, and one from the prior, which reaches what q misses. Of hierarchies,
    state space models and codes all draws are of q. Memory does not grow with K.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, 2 or more.

    Returns:
        log p(x) in nats with its errors, effective sample sizes and Pareto k.

    Raises:
        ConfigError: For a K below 2.

    Source: Burda, Grosse & Salakhutdinov (2016), equation 8; Owen & Zhou (2000) for the mixture.
    """
    if num_samples < 2:
        raise ConfigError("one draw has no error.", where="num_samples", fix="Use 2 or more; 1000 is usual.")
    found, _ = map_draws(Partial(_weight_rows, num_samples=num_samples), rows)
    protocol = f"importance sampling, {num_samples} draws a row"
    return as_log_marginals(found, num_samples, protocol, rows.batch)


@counted(num_samples=1)
def log_marginal(rows: ModelRows, *, num_samples: int = 1000) -> np.ndarray:
    """Estimate log p(x) of each row by importance sampling: the values of `importance_sampling` alone.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, 2 or more.

    Returns:
        The estimates as a NumPy array, shape (B,), nats.
    """
    numbers = row_numbers(rows, num_samples=num_samples)
    return np.asarray(numbers.weights.log_mean)


class RowNumbers(NamedTuple):
    """What one pass over the rows says of each of them."""

    weights: WeightSummary  # the summary of the K importance weights
    elbo: Float[AnyArray, " B"]  # the ELBO, shape (B,), nats
    log_likelihood: Float[AnyArray, " B"]  # mean of log p(x | z), shape (B,), nats
    kl: Float[AnyArray, " B"]  # mean of log q(z | x) - log p(z), shape (B,), nats
    codes: dict[str, Any]  # what `encode` gives, where it was asked for
    # mean of log p(x | z) over samples of the prior, shape (B,), nats, where it was asked for
    blind_log_likelihood: Float[AnyArray, " B"] | None = None


def row_numbers(rows: ModelRows, *, num_samples: int, codes: bool = False, blind: bool = False) -> RowNumbers:
    """Estimate log p(x) and the parts of the ELBO from the same K samples of each row, in one pass."""
    # The ELBO is of those that come from the posterior. Memory does not grow with K.
    return map_draws(Partial(_row_numbers, num_samples=num_samples, codes=codes, blind=blind), rows)


def _row_numbers(
    model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int, codes: bool,
    blind: bool,
) -> RowNumbers:  # fmt: skip
    options = {"num_samples": num_samples, "samples_per_chunk": samples_per_chunk}
    weights, (elbo, log_likelihood) = _weight_rows(model, batch, key, **options)
    found = encode_prepared(model, batch, key) if codes else {}
    unseen = _blind(model, batch, jax.random.fold_in(key, num_samples)) if blind else None
    return RowNumbers(weights, elbo, log_likelihood, log_likelihood - elbo, found, unseen)


def encode_prepared(model: AbstractLatentModel, batch: Batch, key: Key) -> dict[str, Array]:
    """Encode rows that are prepared already, as `encode` does."""

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> dict[str, Array]:
        posterior = model.posterior(x, cond=cond, mask=mask)
        codes = {"mean": mean_code(posterior)}
        if isinstance(posterior, DiagonalNormal):
            codes["log_variance"] = 2.0 * posterior.log_scale_array()
        prior = model.prior(cond=cond)
        if has_closed_form(posterior, prior):
            codes["kl"] = kl_terms(posterior, prior)
        return codes

    return jax.vmap(one_row)(batch.x, batch.cond, batch.mask)


def _blind(model: AbstractLatentModel, batch: Batch, key: Key) -> Array:
    """The mean of log p(x | z) over draws of the prior, for each row."""

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        prior, keys = model.prior(cond=cond), jax.random.split(jax.random.fold_in(key, row_id), BLIND_DRAWS)
        joint = jax.vmap(lambda key: model.log_joint(prior.sample(key=key), x, cond=cond, mask=mask))
        return jnp.mean(joint(keys)[1])

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_samples=1)
def elbo_parts(rows: ModelRows, *, num_samples: int = 16) -> dict[str, np.ndarray]:
    r"""Estimate the ELBO and its two parts of each row.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, over which each part is a mean.

    Returns:
        `elbo`, `log_likelihood` $E_q\log p(x|z)$ and `kl`, each of shape (B,), nats.
    """
    numbers = row_numbers(rows, num_samples=num_samples)
    return {name: getattr(numbers, name) for name in ("elbo", "log_likelihood", "kl")}


def as_log_marginals(found: WeightSummary, num_samples: int, protocol: str, batch: Batch) -> LogMarginals:
    """Turn the summary of B rows into NumPy arrays, under the name of how it was made."""
    value, error, size, k, rises = (np.asarray(part, np.float64) for part in found)
    return LogMarginals(value, error, num_samples, protocol, size, k, num_samples - 1, weights_of(batch), rises)


def _weight_rows(
    model: AbstractLatentModel, batch: Batch, key: Key, *, num_samples: int, samples_per_chunk: int
) -> tuple[WeightSummary, Float[Array, "2 B"]]:
    """Summarise the log weights of each prepared row: all that importance sampling and the ELBO are made of."""
    # returns: the summary of the K log weights, and the means over the samples of log w and of log p(x | z), in nats.

    def draws(first: Array | int, count: int) -> tuple[Array, Array]:
        if isinstance(model, AbstractJointModel):  # one walk gives all densities; draws of the prior need another
            found = draw(model, batch, num_samples=count, first_sample=first, key=key, dropout=False)
            return found.log_weight, jnp.stack([found.log_weight, found.log_likelihood], axis=1)
        return proposed(model, batch, count, first=first, num_samples=num_samples, proposals=EVIDENCE, key=key)[1:]

    return stream(draws, batch.row_id.shape[0], num_samples, samples_per_chunk)


def stream(
    draws: Callable[[Array | int, int], tuple[Array, Array]], rows: int, num_samples: int, samples_per_chunk: int
) -> tuple[WeightSummary, Float[Array, "2 B"]]:
    """Summarise the log weights of each row, made a chunk at a time."""
    # returns: the summary of the log weights, and the means over the samples of log w and of the other number
    size = max(1, min(samples_per_chunk, num_samples // 2))
    full, rest = divmod(num_samples, size)
    chunks = min(full, max(1, _KEPT // size))

    def step(index: Array, carry: tuple[WeightSums, Array, Array]) -> tuple[WeightSums, Array, Array]:
        sums, means, kept = carry
        place, (made, other) = index % chunks, draws(index * size, size)
        # Measured on CPU: without the barrier between draws and copy the whole takes half as long again or more.
        means, made = jax.lax.optimization_barrier((means + jnp.sum(other, axis=0) / num_samples, made))
        kept = jax.lax.dynamic_update_slice(kept, made.astype(kept.dtype), (place * size, 0))
        # Sorting once for many chunks keeps its cost below a hundredth of the draws'.
        sums, kept = jax.lax.cond(place == chunks - 1, empty, lambda sums, kept: (sums, kept), sums, kept)
        return sums, means, kept

    def empty(sums: WeightSums, kept: Array) -> tuple[WeightSums, Array]:
        return sums.sorted_in(kept), jnp.full_like(kept, -jnp.inf)

    start = (WeightSums.start(rows, num_samples), jnp.zeros((2, rows)), jnp.full((chunks * size, rows), -jnp.inf))
    sums, means, kept = jax.lax.fori_loop(0, full, step, start)
    if full % chunks:
        sums = sums.sorted_in(kept[: full % chunks * size])
    if rest:
        made, other = draws(full * size, rest)
        sums, means = sums.sorted_in(made), means + jnp.sum(other, axis=0) / num_samples
    return sums.summary(num_samples), means
