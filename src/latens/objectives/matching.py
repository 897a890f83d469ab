"""Codes that look like draws from the prior: maximum mean discrepancy and sliced Wasserstein distance."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.io import keys
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, mean, weighted
from latens.objectives.reconstruction import reconstruct
from latens.objectives.roles import KL, evidence, flat_codes, prior_samples, require, require_kl, require_weight
from latens.typing import Array, Bool, Float, Key, Nats, Step

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


def sliced_wasserstein(
    a: Float[Array, "B n"], b: Float[Array, "B n"], batch: Batch, directions: Float[Array, "L n"]
) -> Float[Array, ""]:
    r"""The sliced Wasserstein distance: the mean over directions of the distance between projected codes."""
    # $\frac1L\sum_l W_2^2$ of the codes projected on L unit vectors, exact for rows of any weight. In one dimension
    # $W_2^2 = \int_0^1 (F_a^{-1}(u) - F_b^{-1}(u))^2 du$, a sum over the steps of both.
    total = jnp.sum(batch.weights)
    share = batch.weights / jnp.where(total > 0.0, total, 1.0)

    def one_direction(direction: Float[Array, " n"]) -> Float[Array, ""]:
        def sorted_steps(codes: Float[Array, "B n"]) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
            projected = codes @ direction
            order = jnp.argsort(projected)
            return projected[order], jnp.cumsum(share[order])

        (values_a, ends_a), (values_b, ends_b) = sorted_steps(a), sorted_steps(b)
        ends = jnp.sort(jnp.concatenate([ends_a, ends_b]))
        starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
        middle = 0.5 * (starts + ends)
        last = a.shape[0] - 1
        at = lambda values, steps: values[jnp.minimum(jnp.searchsorted(steps, middle), last)]  # noqa: E731
        return jnp.sum((ends - starts) * (at(values_a, ends_a) - at(values_b, ends_b)) ** 2)

    return jnp.mean(jax.vmap(one_direction)(directions))


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

    alpha: float = eqx.field(static=True, default=0.0)
    weight: float = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="rbf")
    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        require(self.kernel in ("imq", "rbf"), f"there is no kernel {self.kernel!r}.", "kernel", "Use imq or rbf.")
        require_kl(self.kl)
        require(
            self.alpha <= 1.0,
            f"alpha must be at most 1, so that the weight 1 - alpha of the KL is not negative; it is {self.alpha}.",
            "alpha",
        )
        require(
            self.alpha + self.weight >= 1.0,
            f"alpha + weight, the weight of the MMD plus 1, must be at least 1; it is {self.alpha + self.weight}.",
            "weight",
        )

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

    weight: float = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="imq")

    def __check_init__(self) -> None:
        require(self.kernel in ("imq", "rbf"), f"there is no kernel {self.kernel!r}.", "kernel", "Use imq or rbf.")
        require_weight(self.weight)

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        prior = flat_codes(prior_samples(model, batch, key=key))
        distance = mmd(flat_codes(z), prior, batch, form=self.kernel)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "mmd": _constant(distance, batch)}
        return -mean(metrics["log_likelihood"]) + self.weight * distance, metrics


class SlicedWasserstein(AbstractObjective):
    r"""Reconstruction with a penalty on the sliced Wasserstein distance between codes and prior; no bound.

    The objective is $-\log p(x \mid z) + \lambda\,\mathrm{SW}_2^2(q(z), p(z))$ over L random directions, for encoders
    with or without noise. Of a finite batch the distance is above that of the two distributions. The metrics are
    `log_likelihood` in nats and `sliced_wasserstein`.

    Args:
        weight: $\lambda$, at least 0; nats.
        num_projections: Number of directions L, at least 1.

    Raises:
        ConfigError: An option is out of range.

    Source: Kolouri, Pope, Martin & Rohde (2019), sliced-Wasserstein autoencoders.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "samples"

    weight: float = eqx.field(static=True, default=10.0)
    num_projections: int = eqx.field(static=True, default=50)

    def __check_init__(self) -> None:
        require_weight(self.weight)
        number = self.num_projections
        require(number >= 1, f"num_projections must be 1 or more, not {number}.", "num_projections")

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        codes, prior = flat_codes(z), flat_codes(prior_samples(model, batch, key=key))
        raw = jax.random.normal(
            jax.random.fold_in(key, keys.PROJECTIONS), (self.num_projections, codes.shape[1]), codes.dtype
        )
        directions = raw / jnp.linalg.norm(raw, axis=1, keepdims=True)
        distance = sliced_wasserstein(codes, prior, batch, directions)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "sliced_wasserstein": _constant(distance, batch)}
        return -mean(metrics["log_likelihood"]) + self.weight * distance, metrics
