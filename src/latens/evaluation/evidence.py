"""How probable are the data: the ELBO and log p(x) by importance sampling, with their errors."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.batches import Batch
from latens.evaluation.batched import map_rows
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
    samples_per_chunk: int = 50,
) -> np.ndarray:
    """`log_marginal_rows` over any number of rows, as a NumPy array of shape (B,), in nats."""
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
) -> np.ndarray:
    """log p(x) of each test row under a model of independent variables fitted to the training rows, in nats.

    Bernoulli for "binary" and "grey" (cross-entropy), the frequencies of levels for "levels" (one row of pseudo-counts
    spread over the levels), a Normal for "real" (with at least 1e-6 of the data's spread).
    **Arguments:** the masks are True where a cell was observed; other cells enter neither the fit nor the result.
    """
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    seen = None if train_mask is None else train_mask.reshape(train.shape)
    count = np.full(train.shape[1], len(train)) if seen is None else seen.sum(0)
    if kind in ("binary", "grey"):
        total = train.sum(0, dtype=np.float64, where=True if seen is None else seen)
        p = (total + 0.5) / (count + 1)
        terms = test * np.log(p) + (1.0 - test) * np.log1p(-p)
    elif kind == "levels":
        assert levels is not None
        log_p = np.log((_level_counts(train, seen, levels) + 1.0 / levels) / (count + 1.0))
        terms = log_p[test.astype(np.int64), np.arange(test.shape[1])]
    else:
        where = True if seen is None else seen
        mean = train.sum(0, dtype=np.float64, where=where) / np.maximum(count, 1)
        squares = np.sum((train - mean) ** 2, axis=0, where=where)
        overall = float(np.sqrt(squares.sum() / max(int(count.sum()), 1)))
        spread = np.maximum(np.sqrt(squares / np.maximum(count, 1)), 1e-6 * max(overall, 1e-12))
        residual = (test - mean) / spread
        terms = -0.5 * (residual**2 + math.log(2 * math.pi)) - np.log(spread)
    return terms.sum(1) if test_mask is None else np.where(test_mask.reshape(test.shape), terms, 0.0).sum(1)


def _level_counts(rows: np.ndarray, seen: np.ndarray | None, levels: int) -> np.ndarray:
    """How often each cell had each level: (levels, cells). In pieces, so that memory does not grow with the rows."""
    cells = rows.shape[1]
    counts = np.zeros(levels * cells, np.int64)
    step = max(1, 2**21 // cells)
    for start in range(0, len(rows), step):
        index = rows[start : start + step].astype(np.int64) * cells + np.arange(cells)
        kept = index.ravel() if seen is None else index[seen[start : start + step]]
        counts += np.bincount(kept, minlength=levels * cells)
    return counts.reshape(levels, cells)


def paired(a: np.ndarray, b: np.ndarray, *, num_samples: int, protocol: str) -> Estimate:
    """The mean difference a - b over the same rows with the standard error of that difference."""
    return Estimate.of(
        np.asarray(a, np.float64) - np.asarray(b, np.float64), num_samples=num_samples, protocol=protocol
    )
