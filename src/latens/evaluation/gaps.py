"""Where the nats between the ELBO and log p(x) go: to the family of the posterior, or to the encoder."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.batches import Batch
from latens.distributions import AbstractDistribution, DiagonalNormal, FullNormal, LowRankNormal, StandardNormal
from latens.distributions.bijections import Autoregressive, Scaled, Stack
from latens.distributions.chain import Transformed
from latens.errors import ConfigError
from latens.evaluation.batched import map_rows, weights_of
from latens.evaluation.diagnostics import log_mean_error, summarise
from latens.evaluation.estimate import Estimate
from latens.evaluation.log_marginals import LogMarginals
from latens.evaluation.moves import check_numbers, path_of
from latens.evaluation.refine import ascend, log_weights
from latens.shapes import Array, Float, Key

Family = Literal["own", "diagonal", "full", "flow"]

_CHUNK = 50
_FLOW_LAYERS, _FLOW_WIDTH = 2, 32


def gap_rows(
    model: Any,
    batch: Batch,
    *,
    family: Family = "own",
    num_samples: int = 1000,
    steps: int = 300,
    learning_rate: float = 0.05,
    draws_per_step: int = 8,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    r"""The split of $\log p(x) - L[q]$ for each row (B,), in nats.

    $\log p(x) - L[q] = (\log p(x) - L[q^*]) + (L[q^*] - L[q])$: the `approximation_gap`, what the best posterior $q^*$
    of the family leaves, and the `amortisation_gap`, what the encoder's q loses against it. $q^*$ is found for each
    row by gradient steps from the encoder's q; log p(x) is by importance sampling from $q^*$, with the same draws as
    $L[q^*]$: so the approximation gap is a lower bound of the true one, tight where `pareto_k` is small.
    Cremer, Li & Duvenaud (2018), "Inference suboptimality in variational autoencoders", arXiv 1801.03558.

    **Arguments:** `family` of $q^*$: "diagonal" or "full" Normal, "flow" (two inverse autoregressive layers around a
    diagonal Normal), or "own": the encoder's, a diagonal or full Normal. Under a richer family than the encoder's the
    amortisation gap also holds what the encoder's family cannot say. `num_samples` K draws for every bound; `steps`
    with `learning_rate` and `draws_per_step`.
    **Returns:** `log_marginal`, `elbo` (of the encoder), `refined_elbo`, `approximation_gap`, `amortisation_gap`, and
    `effective_sample_size` and `pareto_k` of the weights under $q^*$.
    **Raises:** ConfigError for latents that are not free vectors, and for an "own" family that is none of the above.
    """
    check_numbers(num_samples=num_samples - 1, draws_per_step=draws_per_step)
    options = {"steps": steps, "learning_rate": learning_rate, "draws_per_step": draws_per_step}
    function = Partial(_gaps, family=family, num_samples=num_samples, **options)
    size = batch_size or min(len(batch.row_id), 128)
    return map_rows(function, model, batch, preparation=preparation, key=key, batch_size=size)


def inference_gaps(
    model: Any,
    batch: Batch,
    *,
    family: Family = "own",
    num_samples: int = 1000,
    steps: int = 300,
    learning_rate: float = 0.05,
    draws_per_step: int = 8,
    key: Key,
    preparation: Preparation = Preparation(),  # noqa: B008 - immutable
    batch_size: int | None = None,
) -> dict[str, Estimate]:
    """The means of `gap_rows` over rows, in nats: `log_marginal`, `elbo`, `approximation_gap`, `amortisation_gap`;
    and the median `effective_sample_size` and `pareto_k`. Arguments and errors as there."""
    options = {"steps": steps, "learning_rate": learning_rate, "draws_per_step": draws_per_step}
    options |= {"key": key, "preparation": preparation, "batch_size": batch_size}
    rows = gap_rows(model, batch, family=family, num_samples=num_samples, **options)
    words = f"posterior of each row refined by {steps} steps ({family} family), {num_samples} draws a row"
    weight = weights_of(batch)
    size, k = rows["effective_sample_size"], rows["pareto_k"]
    error = np.asarray(log_mean_error(jnp.asarray(size), num_samples))
    value = LogMarginals(rows["log_marginal"], error, num_samples, words, size, k, num_samples - 1, weight)
    found = value.estimates()
    for name in ("elbo", "approximation_gap", "amortisation_gap"):
        found[name] = Estimate.of(rows[name], num_samples=num_samples, protocol=words, weight=weight)
    return found


def _gaps(
    model: Any,
    batch: Batch,
    key: Key,
    family: Family,
    num_samples: int,
    steps: int,
    learning_rate: float,
    draws_per_step: int,
) -> dict[str, Array]:
    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Array, Array]:
        path = path_of(model, x, cond, mask, "prior")
        posterior = model.posterior(x, cond=cond, mask=mask)
        start_key, step_key, draw_key = jax.random.split(jax.random.fold_in(key, row_id), 3)

        def log_joint(z: Any) -> Array:
            return path.at(path.flat(z)).log_joint

        start = starting_point(posterior, family, path.size, path.flat, key=start_key)
        options = {"steps": steps, "learning_rate": learning_rate, "num_samples": draws_per_step}
        best = ascend(log_joint, start, key=step_key, **options)

        def weights(q: AbstractDistribution) -> Float[Array, " K"]:
            chunk = lambda key: log_weights(log_joint, q, min(_CHUNK, num_samples), key=key)  # noqa: E731
            keys = jax.random.split(draw_key, -(-num_samples // _CHUNK))
            return jax.lax.map(chunk, keys).reshape(-1)[:num_samples]

        return weights(best), weights(posterior)

    best, encoded = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    summary = summarise(best)
    elbo, refined = jnp.mean(encoded, axis=1), jnp.mean(best, axis=1)
    return {
        "log_marginal": summary.log_mean,
        "elbo": elbo,
        "refined_elbo": refined,
        "approximation_gap": summary.log_mean - refined,
        "amortisation_gap": refined - elbo,
        "effective_sample_size": summary.effective_sample_size,
        "pareto_k": summary.pareto_k,
    }


def starting_point(posterior: Any, family: Family, n: int, flat: Any, *, key: Key) -> AbstractDistribution:
    """The member of the family nearest to the encoder's posterior: its means and scales, over flat latents.

    **Raises:** ConfigError for an "own" family that is neither a diagonal nor a full Normal.
    """
    if family == "own":
        if not isinstance(posterior, DiagonalNormal | FullNormal):
            raise ConfigError(
                f"a {type(posterior).__name__} posterior has no parameters of one row that could be refined.",
                where="family",
                fix='Use family="diagonal", "full" or "flow".',
            )
        family = "diagonal" if isinstance(posterior, DiagonalNormal) else "full"
    if family == "full" and isinstance(posterior, FullNormal):
        return posterior
    if isinstance(posterior, DiagonalNormal):
        loc, log_scale = posterior.loc.reshape(-1), posterior.log_scale_array().reshape(-1)
    elif isinstance(posterior, FullNormal | LowRankNormal):
        loc, log_scale = posterior.loc, 0.5 * jnp.log(jnp.diagonal(posterior.covariance()))
    else:
        draws = jax.vmap(lambda k: flat(posterior.sample(key=k)))(jax.random.split(key, 256))
        loc, log_scale = jnp.mean(draws, axis=0), jnp.log(jnp.std(draws, axis=0) + 1e-6)
    if family == "diagonal":
        return DiagonalNormal(loc, log_scale)
    if family == "full":
        return FullNormal(loc, jnp.diag(log_scale))
    keys = jax.random.split(key, _FLOW_LAYERS)
    layers = Stack(tuple(Autoregressive.create(n, 0, _FLOW_WIDTH, key=k) for k in keys))
    # Each new layer shrinks by sigmoid(2); the outer scale undoes it, so that the flow starts as the Normal.
    scale = log_scale + _FLOW_LAYERS * jax.nn.softplus(-2.0)
    return Transformed(StandardNormal((n,)), Scaled(layers, loc, scale))
