"""How probable are the data: the ELBO and log p(x) by importance sampling, with their errors."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.batches import Batch
from latens.evaluation.batched import map_rows, rows_in_cache
from latens.evaluation.estimate import Estimate
from latens.objectives.draws import draw
from latens.shapes import Array, Float, Key


def log_marginal_rows(
    model: Any, batch: Batch, *, num_samples: int, key: Key, samples_per_chunk: int = 50
) -> Float[Array, " B"]:
    r"""$\log\frac1K\sum_k \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)}$ for each row, in nats.

    A lower bound of $\log p(x)$ in expectation, tight as K grows (Burda, Grosse & Salakhutdinov 2016, equation 8).
    Samples are drawn in chunks with a running log-sum-exp, so memory does not grow with K.
    """
    samples_per_chunk = min(samples_per_chunk, num_samples)
    full, rest = divmod(num_samples, samples_per_chunk)

    def add(total: Array, first: Array | int, count: int) -> Array:
        weights = draw(model, batch, num_samples=count, first_sample=first, key=key).log_weight
        return jnp.logaddexp(total, jax.nn.logsumexp(weights, axis=0))

    total = jnp.full(batch.row_id.shape[0], -jnp.inf)
    total = jax.lax.fori_loop(0, full, lambda i, t: add(t, i * samples_per_chunk, samples_per_chunk), total)
    if rest:
        total = add(total, full * samples_per_chunk, rest)
    return total - math.log(num_samples)


def _log_marginal(model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int) -> Array:
    return log_marginal_rows(model, batch, num_samples=num_samples, key=key, samples_per_chunk=samples_per_chunk)


def log_marginal(
    model: Any,
    batch: Batch,
    *,
    num_samples: int = 1000,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
    samples_per_chunk: int = 20,
) -> np.ndarray:
    """`log_marginal_rows` over any number of rows, as a NumPy array of shape (B,), in nats."""
    batch_size = batch_size or rows_in_cache(batch, samples_per_chunk)
    function = Partial(_log_marginal, num_samples=num_samples, samples_per_chunk=samples_per_chunk)
    return map_rows(function, model, batch, preparation=preparation, key=key, batch_size=batch_size)


def _elbo_parts(model: Any, batch: Batch, key: Key, num_samples: int) -> dict[str, Array]:
    draws = draw(model, batch, num_samples=num_samples, key=key)
    log_likelihood = jnp.mean(draws.log_likelihood, axis=0)
    divergence = jnp.mean(draws.log_posterior - draws.log_prior, axis=0)
    return {"elbo": log_likelihood - divergence, "log_likelihood": log_likelihood, "kl": divergence}


def elbo_parts(
    model: Any,
    batch: Batch,
    *,
    num_samples: int = 16,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    r"""For each row, in nats: `elbo`, `log_likelihood` $E_q\log p(x|z)$ and `kl`, each a mean over K draws."""
    function = Partial(_elbo_parts, num_samples=num_samples)
    return map_rows(function, model, batch, preparation=preparation, key=key, batch_size=batch_size)


def independent_baseline(
    train: np.ndarray,
    test: np.ndarray,
    kind: str,
    levels: int | None = None,
    *,
    train_mask: np.ndarray | None = None,
    test_mask: np.ndarray | None = None,
    divide: float = 1.0,
) -> np.ndarray:
    """log p(x) of each test row under a model of independent variables fitted to the training rows, in nats.

    Bernoulli for "binary" and "grey" (cross-entropy), the frequencies of levels for "levels" (one row of pseudo-counts
    spread over the levels), a Normal for "real" (with at least 1e-6 of the data's spread).
    **Arguments:** the masks are True where a cell was observed; other cells enter neither the fit nor the result;
    `divide` turns stored training cells into the units of the test cells.
    """
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    seen = None if train_mask is None else train_mask.reshape(train.shape)
    shown = None if test_mask is None else test_mask.reshape(test.shape)
    count = np.full(train.shape[1], len(train)) if seen is None else seen.sum(0)
    if kind == "levels":
        assert levels is not None
        terms = _level_terms(_level_counts(train, seen, levels), count)
    elif kind in ("binary", "grey"):
        terms = _coin_terms(_sums(train, seen, lambda rows: rows / divide), count)
    else:
        mean = _sums(train, seen, lambda rows: rows / divide) / np.maximum(count, 1)
        terms = _normal_terms(mean, _sums(train, seen, lambda rows: (rows / divide - mean) ** 2), count)
    parts = [np.sum(terms(test[part]), axis=1, where=True if shown is None else shown[part]) for part in _blocks(test)]
    return np.concatenate(parts)


_Terms = Callable[[np.ndarray], np.ndarray]


def _level_terms(counts: np.ndarray, count: np.ndarray) -> _Terms:
    log_p = np.log((counts + 1.0 / len(counts)) / (count + 1.0))
    return lambda rows: log_p[rows.astype(np.int64), np.arange(rows.shape[1])]


def _coin_terms(total: np.ndarray, count: np.ndarray) -> _Terms:
    p = (total + 0.5) / (count + 1)
    log_odds, rest = np.log(p) - np.log1p(-p), np.log1p(-p)
    return lambda rows: rows * log_odds + rest


def _normal_terms(mean: np.ndarray, squares: np.ndarray, count: np.ndarray) -> _Terms:
    overall = math.sqrt(squares.sum() / max(int(count.sum()), 1))
    # One row more, with the spread of all cells together: a cell that never changed in training has no sharp density.
    spread = np.sqrt((squares + max(overall, 1e-12) ** 2) / (count + 1))
    constant = -0.5 * math.log(2 * math.pi) - np.log(spread)
    return lambda rows: constant - 0.5 * ((rows - mean) / spread) ** 2


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    """Parts of about two million cells, so that memory does not grow with the rows."""
    step = max(1, 2**21 // max(1, rows.shape[1]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _sums(rows: np.ndarray, seen: np.ndarray | None, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The sum over observed rows of a function of each cell, in float64."""
    total = np.zeros(rows.shape[1])
    for part in _blocks(rows):
        total += np.sum(function(rows[part].astype(np.float64)), axis=0, where=True if seen is None else seen[part])
    return total


def _level_counts(rows: np.ndarray, seen: np.ndarray | None, levels: int) -> np.ndarray:
    """How often each cell had each level: (levels, cells)."""
    cells = rows.shape[1]
    counts = np.zeros(levels * cells, np.int64)
    for part in _blocks(rows):
        index = rows[part].astype(np.int64) * cells + np.arange(cells)
        counts += np.bincount(index.ravel() if seen is None else index[seen[part]], minlength=levels * cells)
    return counts.reshape(levels, cells)


def paired(a: np.ndarray, b: np.ndarray, *, num_samples: int, protocol: str) -> Estimate:
    """The mean difference a - b over the same rows with the standard error of that difference."""
    return Estimate.of(
        np.asarray(a, np.float64) - np.asarray(b, np.float64), num_samples=num_samples, protocol=protocol
    )
