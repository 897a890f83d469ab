"""How probable are the data: the ELBO and log p(x) by importance sampling, with their errors."""

import math
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


def paired(a: np.ndarray, b: np.ndarray, *, num_samples: int, protocol: str) -> Estimate:
    """The mean difference a - b over the same rows with the standard error of that difference."""
    return Estimate.of(
        np.asarray(a, np.float64) - np.asarray(b, np.float64), num_samples=num_samples, protocol=protocol
    )
