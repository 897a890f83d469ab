"""Nats spent against nats missing: one model's point, the curve of its decoder, the points of several models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.errors import ConfigError, UsageError
from latens.evaluation.batched import Rows, map_rows, weights_of
from latens.evaluation.estimate import Estimate
from latens.evaluation.evidence.importance import elbo_parts
from latens.evaluation.evidence.refine import ascend, has_own_parameters
from latens.io.process import counted
from latens.typing import Array, Key, Nats


@dataclass(frozen=True)
class RateDistortion:
    """One point of the rate-distortion plane.

    Args:
        rate: KL(q(z | x) || p(z)), nats for each row.
        distortion: -E_q log p(x | z), nats for each row.
        beta: The weight that was asked for; None for the encoder as it is.
        of: Name of the model.
    """

    rate: Estimate
    distortion: Estimate
    beta: float | None = None
    of: str = ""

    @property
    def elbo(self) -> float:
        """The ELBO, -(rate + distortion), in nats."""
        return -(self.rate.value + self.distortion.value)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain values that JSON can hold.

        Returns:
            Values by field.
        """
        parts = {"rate": self.rate.to_json(), "distortion": self.distortion.to_json()}
        return {"of": self.of, "beta": self.beta, **parts, "elbo": self.elbo}


@counted(num_samples=1)
def rate_distortion_point(rows: Rows, *, num_samples: int = 16, of: str = "") -> RateDistortion:
    r"""Find where a model with its encoder stands in the rate-distortion plane.

    $R = \mathrm{KL}(q(z|x)\|p(z))$, $D = -E_q\log p(x|z)$, $R + D = -$ELBO.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, posterior samples for each row.
        of: Name of the model.

    Returns:
        The point, in nats for each row.

    Source: Alemi et al. (2018), arXiv 1711.00464.
    """
    parts = elbo_parts(rows, num_samples=num_samples)
    words = f"the encoder's posterior, {num_samples} draws a row"
    return _point(parts["kl"], -parts["log_likelihood"], rows.batch, num_samples, words, None, of)


@counted(steps=0, draws_per_step=1, num_samples=1)
def rate_distortion_curve(
    rows: Rows,
    betas: Sequence[float],
    *,
    steps: int = 300,
    learning_rate: float = 0.05,
    draws_per_step: int = 8,
    num_samples: int = 64,
    of: str = "",
) -> list[RateDistortion]:
    r"""Trace the rate-distortion curve of one trained model, with decoder and prior kept.

    For each $\beta$ the point of $\min_{q_i} \beta R + D$. For every row its own posterior is optimised from the
    encoder's by gradient steps, for $E_q[\log p(x|z)]/\beta - \mathrm{KL}(q\|p(z))$; nothing is trained. Small $\beta$
    spends nats, large $\beta$ saves them; at $\beta = 1$ it is the best ELBO of the family. The optimum over all q is
    $q \propto p(z)\,p(x|z)^{1/\beta}$, the rate-distortion function of the decoder and prior; with the family of the
    encoder, and a finite number of steps, the curve lies on or above it. Dividing the encoder's variances by a
    temperature instead would leave its means at beta 1, and is no point of any curve.

    Args:
        rows: The model and the stored rows, B of them.
        betas: Weights of the rate, above 0.
        steps: Gradient steps of each row's posterior.
        learning_rate: Learning rate of these steps.
        draws_per_step: Samples in one of these steps.
        num_samples: Posterior samples for each row, for the values.
        of: Name of the model.

    Returns:
        One point for each $\beta$, in nats for each row.

    Raises:
        ConfigError: For a posterior that is not a Normal or another location-scale family of its own row.
        UsageError: For `betas` that are not above 0.

    Source: Huang et al. (2020), arXiv 2008.06653, who anneal.
    """
    if not len(betas) or min(betas) <= 0.0:
        what = f"betas must be one or more numbers above 0, not {list(betas)}."
        raise UsageError(what, where="betas", fix="Give one or more numbers above 0.")
    found = []
    options = {"steps": steps, "learning_rate": learning_rate, "draws_per_step": draws_per_step}
    for beta in betas:
        function = Partial(_tempered, jnp.asarray(beta, jnp.float32), num_samples=num_samples, **options)
        rate, distortion = map_rows(function, rows)
        words = f"posteriors of single rows, {steps} steps from the encoder's at beta {beta:g}, {num_samples} draws"
        found.append(_point(rate, distortion, rows.batch, num_samples, words, float(beta), of))
    return found


def _point(
    rate: np.ndarray, distortion: np.ndarray, batch: Batch, num_samples: int, words: str, beta: float | None, of: str
) -> RateDistortion:
    weight = weights_of(batch)

    def of_rows(rows: np.ndarray) -> Estimate:
        return Estimate.of(rows, num_samples=num_samples, protocol=words, weight=weight)

    return RateDistortion(of_rows(rate), of_rows(distortion), beta, of)


def _tempered(
    beta: Array,
    model: Any,
    batch: Batch,
    key: Key,
    steps: int,
    learning_rate: float,
    draws_per_step: int,
    num_samples: int,
) -> tuple[Array, Array]:
    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Nats, Nats]:
        own = jax.random.fold_in(key, row_id)
        start = model.posterior(x, cond=cond, mask=mask)
        if not has_own_parameters(start):
            what = f"the curve moves the posterior of each row, which a {type(start).__name__} does not allow."
            fix = "Use a Normal posterior (diagonal, full or low rank) with one level."
            raise ConfigError(what, where="posterior.kind", fix=fix)

        def log_joint(z: Any) -> Nats:
            log_prior, log_likelihood = model.log_joint(z, x, cond=cond, mask=mask)
            return log_prior + log_likelihood / beta

        q = ascend(log_joint, start, steps=steps, learning_rate=learning_rate, num_samples=draws_per_step, key=own)

        def one(draw_key: Array) -> tuple[Nats, Nats]:
            z, log_q = q.sample_and_log_prob(key=draw_key)
            log_prior, log_likelihood = model.log_joint(z, x, cond=cond, mask=mask)
            return log_q - log_prior, -log_likelihood

        rate, distortion = jax.vmap(one)(jax.random.split(jax.random.fold_in(own, steps), num_samples))
        return jnp.mean(rate), jnp.mean(distortion)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
