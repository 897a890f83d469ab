"""How probable are the data: the ELBO and log p(x) by importance sampling, with their errors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.batches import Batch
from latens.evaluation.batched import map_draws
from latens.evaluation.estimate import Estimate
from latens.evaluation.evidence.diagnostics import WeightSummary
from latens.evaluation.evidence.importance import log_weight_rows
from latens.evaluation.latents.encode import encode_prepared
from latens.typing import Array, Float, Key


def log_marginal_rows(
    model: Any, batch: Batch, *, num_samples: int, key: Key, samples_per_chunk: int = 50
) -> Float[Array, " B"]:
    r"""Estimate log p(x) of each row of a prepared batch by importance sampling, inside of other compiled functions.

    $\log\frac1K\sum_k \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)}$, a lower bound of $\log p(x)$ in expectation, tight as K
    grows. `importance_sampling` also says what the samples are worth.

    Args:
        model: The model.
        batch: The prepared rows, B of them.
        num_samples: K.
        key: Random key.
        samples_per_chunk: Samples decoded at once.

    Returns:
        The estimates, shape (B,), nats.

    Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
    """
    options = {"num_samples": num_samples, "samples_per_chunk": samples_per_chunk}
    return log_weight_rows(model, batch, key, **options)[0].log_mean


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
    """Estimate log p(x) of each row by importance sampling: the values of `importance_sampling` alone.

    Args:
        model: The trained model.
        batch: The stored rows, B of them.
        num_samples: K, 2 or more.
        key: Random key.
        preparation: What turns a stored row into what the model sees.
        batch_size: Rows in one compiled batch; None chooses.
        samples_per_chunk: Samples decoded at once.

    Returns:
        The estimates as a NumPy array, shape (B,), nats.
    """
    options: dict[str, Any] = {"num_samples": num_samples, "samples_per_chunk": samples_per_chunk}
    numbers = row_numbers(model, batch, key=key, preparation=preparation, batch_size=batch_size, **options)
    return np.asarray(numbers.weights.log_mean)


class RowNumbers(NamedTuple):
    """What one pass over the rows says of each of them.

    Args:
        weights: The summary of the K importance weights.
        elbo: The ELBO, shape (B,), nats.
        log_likelihood: Mean of log p(x | z), shape (B,), nats.
        kl: Mean of log q(z | x) - log p(z), shape (B,), nats.
        codes: What `encode` gives, where it was asked for.
        blind_log_likelihood: Mean of log p(x | z) over samples of the prior, shape (B,), nats, where it was asked for.
    """

    weights: WeightSummary
    elbo: Any
    log_likelihood: Any
    kl: Any
    codes: dict[str, Any]
    blind_log_likelihood: Any = None


BLIND_DRAWS = 4
"""Draws from the prior a row, that tell whether the decoder reads z at all."""


def row_numbers(
    model: Any,
    batch: Batch,
    *,
    num_samples: int,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
    samples_per_chunk: int = 20,
    codes: bool = False,
    blind: bool = False,
) -> RowNumbers:
    """Estimate log p(x) and the parts of the ELBO from the same K samples of each row, in one pass.

    The log mean weight of a row is at least its ELBO, whatever the samples (Jensen). Memory does not grow with K.

    Args:
        model: The trained model.
        batch: The stored rows, B of them.
        num_samples: K.
        key: Random key.
        preparation: What turns a stored row into what the model sees.
        batch_size: Rows in one compiled batch; None chooses.
        samples_per_chunk: Samples decoded at once.
        codes: Whether the codes are returned too.
        blind: Whether the log-likelihood under samples of the prior is returned too.

    Returns:
        The parts of each row, in nats.
    """
    options = {"samples_per_chunk": samples_per_chunk, "batch_size": batch_size, "preparation": preparation, "key": key}
    return map_draws(Partial(_row_numbers, num_samples=num_samples, codes=codes, blind=blind), model, batch, **options)


def _row_numbers(
    model: Any, batch: Batch, key: Key, num_samples: int, samples_per_chunk: int, codes: bool, blind: bool
) -> RowNumbers:
    options = {"num_samples": num_samples, "samples_per_chunk": samples_per_chunk}
    weights, (elbo, log_likelihood) = log_weight_rows(model, batch, key, **options)
    found = encode_prepared(model, batch, key) if codes else {}
    unseen = _blind(model, batch, jax.random.fold_in(key, num_samples)) if blind else None
    return RowNumbers(weights, elbo, log_likelihood, log_likelihood - elbo, found, unseen)


def _blind(model: Any, batch: Batch, key: Key) -> Array:
    """The mean of log p(x | z) over draws of the prior, for each row."""

    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> Array:
        prior, keys = model.prior(cond=cond), jax.random.split(jax.random.fold_in(key, row_id), BLIND_DRAWS)
        joint = jax.vmap(lambda key: model.log_joint(prior.sample(key=key), x, cond=cond, mask=mask))
        return jnp.mean(joint(keys)[1])

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def elbo_parts(
    model: Any,
    batch: Batch,
    *,
    num_samples: int = 16,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    r"""Estimate the ELBO and its two parts of each row.

    Args:
        model: The trained model.
        batch: The stored rows, B of them.
        num_samples: K, over which each part is a mean.
        key: Random key.
        preparation: What turns a stored row into what the model sees.
        batch_size: Rows in one compiled batch; None chooses.

    Returns:
        `elbo`, `log_likelihood` $E_q\log p(x|z)$ and `kl`, each of shape (B,), nats.
    """
    numbers = row_numbers(
        model, batch, num_samples=num_samples, key=key, preparation=preparation, batch_size=batch_size
    )
    return {name: getattr(numbers, name) for name in ("elbo", "log_likelihood", "kl")}


def paired(a: np.ndarray, b: np.ndarray, *, num_samples: int, protocol: str) -> Estimate:
    """The mean difference over the same rows, with the standard error of that difference.

    Args:
        a: One value for each row, shape (B,).
        b: What is subtracted, shape (B,).
        num_samples: K, posterior samples for each row.
        protocol: What was done, in words.

    Returns:
        The estimate of the mean of a - b.
    """
    return Estimate.of(
        np.asarray(a, np.float64) - np.asarray(b, np.float64), num_samples=num_samples, protocol=protocol
    )
