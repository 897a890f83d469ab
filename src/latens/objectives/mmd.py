"""Codes that look like draws from the prior: maximum mean discrepancy."""

from typing import Annotated, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from msgspec import Meta

from latens.data.dataset import Batch
from latens.models import AbstractLatentModel
from latens.objectives.base import (
    KL,
    AbstractObjective,
    Loss,
    evidence,
    flat_codes,
    mean,
    prior_samples,
    require,
    weighted,
)
from latens.objectives.regularised import reconstruct
from latens.typing import Array, Bool, Float, Key, Nats, Step, Weight

KernelForm = Literal["imq", "rbf"]
IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel(a: Float[Array, "A n"], b: Float[Array, "B n"], form: KernelForm) -> Float[Array, "A B"]:
    r"""Evaluate the kernel of the maximum mean discrepancy between all pairs of codes."""
    # With $C = 2 n$ (the scale of the prior is 1) and squared distance $r$: "rbf" $e^{-r/C}$; "imq"
    # $\sum_c \frac{cC}{cC + r}$. The seven c from 0.1 to 10 are those of the WAE authors' code.
    squared = jnp.sum((a[:, None] - b[None, :]) ** 2, axis=2)
    base = 2.0 * a.shape[1]
    if form == "rbf":
        return jnp.exp(-squared / base)
    return sum((c * base / (c * base + squared) for c in IMQ_SCALES), jnp.zeros_like(squared))


def mmd(codes: Float[Array, "B n"], prior: Float[Array, "B n"], batch: Batch, *, form: KernelForm) -> Nats:
    r"""Estimate the squared maximum mean discrepancy between codes and samples of the prior."""
    # $\mathrm{MMD}^2 = E\,k(z, z') + E\,k(y, y') - 2 E\,k(z, y)$.
    # Pairs of a row with itself are left out (rows of the same id are one row): without bias, the value can be below 0.
    pairs = batch.weights[:, None] * batch.weights[None, :]
    different = batch.row_id[:, None] != batch.row_id[None, :]
    value = lambda a, b, chosen: _average(kernel(a, b, form), pairs, chosen)  # noqa: E731
    everything = jnp.ones_like(different)
    return value(codes, codes, different) + value(prior, prior, different) - 2.0 * value(codes, prior, everything)


def _average(values: Float[Array, "B B"], pairs: Float[Array, "B B"], chosen: Bool[Array, "B B"]) -> Float[Array, ""]:
    kept = jnp.where(chosen, pairs, 0.0)
    total = jnp.sum(kept)
    return jnp.sum(kept * values) / jnp.where(total > 0.0, total, 1.0)


def _constant(value: Nats, batch: Batch) -> tuple[Nats, Float[Array, ""]]:
    """A number of the whole batch as a metric pair."""
    return weighted(value * jnp.ones_like(batch.weights), batch)


class InfoVAE(AbstractObjective):
    r"""The ELBO with a weight on its KL and a penalty on the distance between aggregated posterior and prior.

    The objective is
    $-E_q[\log p(x|z)] + (1-\alpha)\mathrm{KL}(q(z|x)\|p(z)) + (\alpha+\lambda-1)\,\mathrm{MMD}^2(q(z), p(z))$.
    $\alpha = 0, \lambda = 1$ is the ELBO, $\alpha = 1$ the MMD-VAE. The metrics are `elbo`, `log_likelihood`, `kl` in
    nats and `mmd`.

    Args:
        alpha: $\alpha$, at most 1.
        weight: $\lambda$, with $\alpha + \lambda$ at least 1.
        kernel: "imq" (inverse multiquadric) or "rbf" (Gaussian), see `kernel`.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: An option is out of range.

    Source: Zhao, Song & Ermon (2019).
    """

    monitor: ClassVar[str] = "elbo"
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "samples"

    alpha: Annotated[float, Meta(le=1.0)] = eqx.field(static=True, default=0.0)
    weight: float = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="rbf")
    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        super().__check_init__()
        both = self.alpha + self.weight
        require(both >= 1.0, f"alpha + weight, the weight of the MMD plus 1, must be at least 1, not {both}.", "weight")

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        parts = evidence(model, batch, key=key, kl=self.kl)
        codes = flat_codes(jax.tree.map(lambda leaf: leaf[0], parts.draws.z))
        prior = flat_codes(prior_samples(model, batch, key=key))
        distance = mmd(codes, prior, batch, form=self.kernel)
        metrics = {**parts.metrics, "mmd": _constant(distance, batch)}
        divergence = (1.0 - self.alpha) * mean(metrics["kl"])
        return -mean(metrics["log_likelihood"]) + divergence + (self.alpha + self.weight - 1.0) * distance, metrics


class WAE(AbstractObjective):
    r"""Reconstruction with a penalty on the maximum mean discrepancy between codes and prior; no bound.

    The objective is $-\log p(x \mid z) + \lambda\,\mathrm{MMD}^2(q(z), p(z))$, for encoders with or without noise. The
    metrics are `log_likelihood` in nats and `mmd`.

    Args:
        weight: $\lambda$, at least 0; nats.
        kernel: "imq" (inverse multiquadric) or "rbf" (Gaussian), see `kernel`.

    Raises:
        ConfigError: An option is out of range.

    Source: Tolstikhin, Bousquet, Gelly & Schölkopf (2018), WAE-MMD.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "samples"

    weight: Weight = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="imq")

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        prior = flat_codes(prior_samples(model, batch, key=key))
        distance = mmd(flat_codes(z), prior, batch, form=self.kernel)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "mmd": _constant(distance, batch)}
        return -mean(metrics["log_likelihood"]) + self.weight * distance, metrics
