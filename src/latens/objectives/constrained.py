"""The ELBO at the observation noise that fits best."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.distributions import Affine, DiagonalNormal, kl, log_prob
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, mean, value_with_gradient, weighted
from latens.objectives.draws import path_to
from latens.objectives.roles import KL, by_formula, require_kl
from latens.typing import AnyArray, Array, Cond, Key, Mask, Nats, PyTree, Step


class SigmaVAE(AbstractObjective):
    r"""The ELBO of a Normal likelihood with one shared scale, its mean trained at the scale that fits the batch best.

    At $\sigma_*^2$, the mean squared residual of the batch, the likelihood is $-\frac n2(\log 2\pi\sigma_*^2 + 1)$: no
    scale to choose, and no slow start while a learned one catches up. The model's own scale, the one that is saved,
    follows its likelihood with the mean held. The metrics are `elbo`, `log_likelihood`, `kl` at the model's own scale,
    and `best_scale` and `best_elbo` at $\sigma_*$.

    Args:
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: The model has a likelihood that is not a Normal with one scale for all variables.

    Source: Rybkin, Daniilidis & Levine (2021).
    """

    monitor: ClassVar[str] = "elbo"

    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        require_kl(self.kl)

    def couples_rows(self) -> str:
        """The scale is found of the residuals of all rows."""
        return "its scale is that of the residuals of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:

        def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> dict[str, Nats]:
            encoder_key, sample_key, decoder_key = jax.random.split(jax.random.fold_in(key, row_id), 3)
            q = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
            p = model.prior(cond=cond)
            z, log_q = q.sample_and_log_prob(key=sample_key)
            z = path_to(q, z)
            divergence = kl(q, p) if by_formula(self.kl, q, p) else log_q - p.log_prob(z)
            return {"kl": divergence, **_normal_terms(model.likelihood(z, cond=cond, key=decoder_key), x, mask)}

        rows = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
        pairs = {name: weighted(row, batch) for name, row in rows.items()}
        count = mean(pairs["count"])
        variance = mean(pairs["squares"]) / jnp.where(count > 0.0, count, 1.0)
        # Residuals of exactly 0 (constant data) leave a finite number; far below any that float32 resolves.
        variance = jnp.maximum(variance, 1e-20)
        best = -0.5 * count * (jnp.log(2.0 * jnp.pi * variance) + 1.0) - mean(pairs["log_unit"])
        metrics = {
            "elbo": weighted(rows["log_likelihood"] - rows["kl"], batch),
            "log_likelihood": pairs["log_likelihood"],
            "kl": pairs["kl"],
            "best_elbo": weighted((best - mean(pairs["kl"])) * jnp.ones_like(rows["kl"]), batch),
            "best_scale": weighted(jnp.sqrt(variance) * jnp.ones_like(rows["kl"]), batch),
        }
        loss = mean(pairs["kl"]) - best
        return value_with_gradient(loss, loss - mean(pairs["held"])), metrics


def _normal_terms(likelihood: Any, x: Array, mask: Array | None) -> dict[str, Nats]:
    """Sums over one event in standardised units, its log likelihood, and the same with the mean held."""
    inner = likelihood.base if isinstance(likelihood, Affine) else likelihood
    if not isinstance(inner, DiagonalNormal) or inner.log_scale.ndim > 0:
        raise ConfigError(
            "it needs a Normal likelihood with one scale for all variables.",
            where="objective.sigma-vae",
            fix="Use --set likelihood.family=normal --set likelihood.scale=shared.",
        )
    unit = likelihood.scale if isinstance(likelihood, Affine) else jnp.ones_like(inner.loc)
    seen = jnp.ones(x.shape, bool) if mask is None else mask
    held: Any = DiagonalNormal(jax.lax.stop_gradient(inner.loc), inner.log_scale)
    if isinstance(likelihood, Affine):
        held = Affine(held, likelihood.shift, likelihood.scale)
    residual = (jnp.where(seen, x, jnp.zeros_like(x)) - likelihood.mean()) / unit
    return {
        "count": jnp.sum(seen, dtype=residual.dtype),
        "squares": jnp.sum(jnp.where(seen, residual**2, 0.0)),
        "log_unit": jnp.sum(jnp.where(seen, jnp.log(unit), 0.0)),
        "log_likelihood": log_prob(likelihood, x, mask),
        "held": log_prob(held, x, mask),
    }
