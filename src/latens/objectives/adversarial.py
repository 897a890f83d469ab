"""Objectives without a likelihood: structural similarity, or a critic that estimates a density ratio.

One scalar is built so that each group's gradient is that of its own loss: the model meets a stopped critic, the critic
meets stopped codes.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import (
    KL,
    AbstractObjective,
    Loss,
    Metrics,
    by_row,
    decoded,
    evidence,
    flat_codes,
    flat_rows,
    mean,
    path_to,
    prior_samples,
    stopped,
    value_with_gradient,
    weighted,
)
from latens.objectives.mmd import reconstruct
from latens.runtime import random_keys
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, Nats, PyTree, Scheduled, Shaped, Step, Weight

Critic = Callable[..., Array]
"""One vector to one logit: a network with one output, such as `Dense([n, 100, 100, 1], ...)`."""


def logits(critic: Critic, codes: Float[Array, "B n"]) -> Float[Array, " B"]:
    """Evaluate the critic's logit of each row."""
    return jax.vmap(lambda z: critic(z).reshape(()))(codes)


def critic_loss(
    critic: Critic, positive: Float[Array, "B n"], negative: Float[Array, "B n"], batch: Batch
) -> Float[Array, ""]:
    r"""Average the critic's binary cross-entropy over two sets of rows that it is to tell apart."""
    # $\frac12 E_+[\log(1 + e^{-l})] + \frac12 E_-[\log(1 + e^{l})]$ with the logit $l$. Its minimum is at $l = \log p_+
    # / p_-$; the codes are stopped, so only the critic is trained.
    positive, negative = jax.lax.stop_gradient(positive), jax.lax.stop_gradient(negative)
    rows = jax.nn.softplus(-logits(critic, positive)) + jax.nn.softplus(logits(critic, negative))
    return 0.5 * mean(weighted(rows, batch))


def critic_accuracy(critic: Critic, positive: Float[Array, "B n"], negative: Float[Array, "B n"]) -> Float[Array, " B"]:
    """Find which share of its two rows the critic tells right: one half if it cannot distinguish them."""
    right = [logits(critic, positive) > 0.0, logits(critic, negative) < 0.0]
    return 0.5 * (right[0].astype(positive.dtype) + right[1].astype(positive.dtype))


def shuffled_units(codes: Float[Array, "B n"], batch: Batch, *, key: Key) -> Float[Array, "B n"]:
    r"""Shuffle every latent dimension over the rows on its own, which makes samples of the product of marginals."""
    # Rows from $\prod_d q(z_d)$: every dimension of every row is taken from a row of its own, drawn by weight. They are
    # drawn with replacement and by row id, so that the order and the padding of a batch do not matter.
    order = jnp.argsort(batch.row_id)
    ends = jnp.cumsum(batch.weights[order])
    base = jax.random.fold_in(key, random_keys.SHUFFLED_UNITS)
    place = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(base, i), codes.shape[1:]))(batch.row_id)
    chosen = jnp.minimum(jnp.searchsorted(ends, place * ends[-1], side="right"), codes.shape[0] - 1)
    return jnp.take_along_axis(codes, order[chosen], axis=0)


class FactorVAE(AbstractObjective):
    r"""The ELBO with a penalty on the total correlation of the latents, which a critic estimates.

    $\mathcal L - \gamma\,\mathrm{TC}(z)$ with $\mathrm{TC} = E_{q(z)}[\log D/(1-D)]$ is maximised. The critic tells
    codes from codes whose latent dimensions were shuffled over the rows; its logit is the density ratio. The encoder
    minimises the mean logit, the critic its cross-entropy, and neither sees the other's gradient. The metrics are
    `elbo`, `log_likelihood`, `kl`, `total_correlation` (the critic's estimate), `critic_loss` and `critic_accuracy`.

    Args:
        critic: A network from the flat code to one logit, trained with the model.
        weight: $\gamma$, at least 0.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: An option is out of range.

    Source: Kim & Mnih (2018).
    """

    monitor: ClassVar[str] = "elbo"

    critic: Critic
    weight: Weight = eqx.field(static=True, default=10.0)
    kl: KL = eqx.field(static=True, default="auto")

    def couples_rows(self) -> str:
        """Units are shuffled over all rows."""
        return "its critic sees units shuffled over a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        parts = evidence(model, batch, key=key, kl=self.kl)
        codes = flat_codes(jax.tree.map(lambda leaf: leaf[0], parts.draws.z))
        shuffled = shuffled_units(codes, batch, key=key)
        ratio = logits(stopped(self.critic), codes)
        own = critic_loss(self.critic, codes, shuffled, batch)
        metrics = {
            **parts.metrics,
            "total_correlation": weighted(ratio, batch),
            **critic_metrics(self.critic, own, codes, shuffled, batch),
        }
        loss = -mean(metrics["elbo"]) + self.weight * mean(metrics["total_correlation"])
        return value_with_gradient(loss, loss + own), metrics


class AAE(AbstractObjective):
    r"""Reconstruction with an adversarial term that matches the codes to the prior.

    The objective is $-\log p(x \mid z) + \lambda E_q[\log(1 + e^{-l(z)})]$, for encoders with or without noise. It is
    not a bound of log p(x). The critic's logit $l$ is above 0 for the prior. The metrics are `log_likelihood`,
    `critic_loss` and `critic_accuracy` (one half if the critic cannot distinguish codes from the prior).

    Args:
        critic: A network from the flat code to one logit, trained with the model.
        weight: $\lambda$, at least 0; nats.

    Raises:
        ConfigError: The weight is below 0.

    Source: Makhzani et al. (2016), adversarial autoencoders; with a larger $\lambda$ the WAE-GAN of Tolstikhin et al.
    (2018).
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "nothing"
    couples_rows = by_row

    critic: Critic
    weight: Weight = eqx.field(static=True, default=1.0)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        codes, prior = flat_codes(z), flat_codes(prior_samples(model, batch, key=key))
        taken = mean(weighted(jax.nn.softplus(-logits(stopped(self.critic), codes)), batch))
        own = critic_loss(self.critic, prior, codes, batch)
        metrics = {
            "log_likelihood": weighted(log_likelihood, batch),
            **critic_metrics(self.critic, own, prior, codes, batch),
        }
        loss = -mean(metrics["log_likelihood"]) + self.weight * taken
        return value_with_gradient(loss, loss + own), metrics


class GAN(AbstractObjective):
    r"""A generative adversarial network, whose decoder makes samples that a critic cannot distinguish from rows.

    The decoder G minimises $E_{p(z)}[\log(1 + e^{-l(G(z))})]$, which does not saturate. The critic minimises
    $\frac12 E_x[\log(1 + e^{-l(x)})] + \frac12 E_{p(z)}[\log(1 + e^{l(G(z))})]$. Its minimum is $\log 2-\mathrm{JSD}$
    of rows and samples. The prior does not change. A deterministic encoder is trained on the samples to return z, with
    the loss $\frac12\|z - E(G(z))\|^2$. There is no likelihood. The metrics are `generator_loss` and `critic_loss` in
    nats, `critic_accuracy` (one half if it cannot distinguish samples from rows) and `code_error`.

    Args:
        critic: A network from the flat row to one logit, trained with the model.

    Raises:
        ConfigError: The model has a likelihood without a mean for each variable.

    Source: Goodfellow et al. (2014), arXiv 1406.2661; the encoder is the latent regressor of Donahue, Krahenbuhl &
    Darrell (2017), arXiv 1605.09782.
    """

    monitor: ClassVar[str] = "critic_loss"
    needs_density: ClassVar[bool] = False
    has_likelihood: ClassVar[bool] = False
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("row",)
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "nothing"
    couples_rows = by_row

    critic: Critic

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z = stopped(prior_samples(model, batch, key=key))
        made = decoded(model, z, batch)
        rows = flat_rows(batch.x, batch.mask, made.dtype)
        back = self._codes(model, jax.lax.stop_gradient(made), batch, key)
        metrics = {
            "generator_loss": weighted(jax.nn.softplus(-logits(stopped(self.critic), made)), batch),
            **critic_metrics(self.critic, own := critic_loss(self.critic, rows, made, batch), rows, made, batch),
            "code_error": weighted(0.5 * jnp.sum((flat_codes(z) - back) ** 2, axis=1), batch),
        }
        loss = mean(metrics["generator_loss"])
        return value_with_gradient(loss, loss + mean(metrics["code_error"]) + own), metrics

    def _codes(
        self, model: AbstractLatentModel, made: Float[Array, "B n"], batch: Batch, key: Key
    ) -> Float[Array, "B m"]:
        """The codes of samples, one for each row, by the encoder."""

        def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Any:
            encoder_key, sample_key = jax.random.split(jax.random.fold_in(key, row_id))
            posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
            return path_to(posterior, posterior.sample(key=sample_key))

        x = made.reshape(batch.x.shape)
        return flat_codes(jax.vmap(one_row)(x, batch.row_id, batch.cond, batch.mask))


def critic_metrics(
    critic: Critic, loss: Nats, positive: Float[Array, "B n"], negative: Float[Array, "B n"], batch: Batch
) -> Metrics:
    """Report how well a critic tells two sets of rows apart."""
    return {
        "critic_loss": weighted(loss * jnp.ones_like(batch.weights), batch),
        "critic_accuracy": weighted(critic_accuracy(critic, positive, negative), batch),
    }


WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, finest first: Wang, Simoncelli & Bovik (2003)."""
WINDOW, SPREAD, COARSEST = 11, 1.5, 4
"""Side of the Gaussian window and its standard deviation, and the least side of an image at its coarsest scale."""


def ms_ssim(one: Float[Array, "h w c"], two: Float[Array, "h w c"], *, value_range: float = 1.0) -> Float[Array, ""]:
    r"""Multi-scale structural similarity of two images, at most 1 and 1 for equal ones.

    $l_M \prod_{j \le M} cs_j^{w_j}$, with the last $l$ to the power $w_M$: means over windows and channels of
    $cs = \frac{2\sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2}$ (contrast and structure) at each of M scales, each
    half as fine as the one before, and of $cs \cdot \frac{2\mu_x\mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}$ at the last.
    $c_1 = (0.01 L)^2$, $c_2 = (0.03 L)^2$.

    As many of the five scales are taken as leave 4 pixels a side (28: three, 8: two), their weights divided by their
    sum; a window is no larger than the image. A negative mean, which has no such power, counts as 1e-6.

    Args:
        one: An image, shape (h, w, c).
        two: The image to compare with, shape (h, w, c).
        value_range: L, the distance from black to white.

    Returns:
        The similarity, shape (), without unit.

    Source: Wang, Simoncelli & Bovik (2003), 'Multiscale structural similarity for image quality assessment'.
    """
    scales = num_scales(one.shape[:2])
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    total = jnp.ones((), one.dtype)
    for scale, weight in enumerate(weights.tolist()):
        if scale:
            one, two = halved(one), halved(two)
        structure, luminance = similarity(one, two, value_range)
        value = jnp.mean(structure * luminance if scale == scales - 1 else structure)
        total = total * jnp.maximum(value, 1e-6) ** weight
    return total


def num_scales(sides: tuple[int, ...]) -> int:
    """How many of the five scales leave an image of `COARSEST` pixels a side, at least 1."""
    halvings = int(math.log2(max(min(sides) / COARSEST, 1.0)))
    return min(len(WEIGHTS), 1 + halvings)


def similarity(
    one: Float[Array, "h w c"], two: Float[Array, "h w c"], value_range: float
) -> tuple[Float[Array, "i j c"], Float[Array, "i j c"]]:
    """Compare two images in every window that lies inside them."""
    size = min(WINDOW, *one.shape[:2])
    place = np.arange(size) - (size - 1) / 2
    line = np.exp(-0.5 * (place / SPREAD) ** 2)
    # As products of matrices, which take a twentieth of the time of sums of slices.
    down, across = (
        jnp.asarray([np.pad(line / line.sum(), (k, side - size - k)) for k in range(side - size + 1)], one.dtype)
        for side in one.shape[:2]
    )
    parts = jnp.stack([one, two, one**2, two**2, one * two])
    *means, first, second, product = jnp.einsum("ih,jw,nhwc->nijc", down, across, parts)
    variances, covariance = (first - means[0] ** 2, second - means[1] ** 2), product - means[0] * means[1]
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    structure = (2.0 * covariance + c2) / (variances[0] + variances[1] + c2)
    luminance = (2.0 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    return structure, luminance


def halved(image: Float[Array, "h w c"]) -> Float[Array, "i j c"]:
    """Halve an image's resolution by means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 for side in image.shape[:2])
    cut = image[: 2 * height, : 2 * width]
    return jnp.mean(cut.reshape(height, 2, width, 2, -1), axis=(1, 3))


class PerceptualSimilarity(AbstractObjective):
    r"""The structural similarity of rows and reconstructions with the KL to the prior; for images, and no bound.

    The objective is $-w\,\mathrm{MS\text{-}SSIM}(x, D(z)) - \lambda \log p(x \mid z) + \beta\,\mathrm{KL}$ with the
    decoder's mean D. A similarity has no unit: w says how many nats a perfect one is worth. The metrics are `ms_ssim`
    and `score` (which is maximised), and beside them `elbo`, `log_likelihood` and `kl` of the model with its own
    likelihood, which is not what was trained.

    Args:
        weight: w, above 0; nats.
        likelihood: $\lambda$, at least 0.
        beta: $\beta$ of the KL, 0 or more, or a schedule of it.
        value_range: Distance from black to white in the unit of the pixels.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: An option is out of range, or rows that are no images (height, width) or (height, width, channels).

    Source: Snell et al. (2017), 'Learning to generate images with perceptual similarity metrics', arXiv 1511.06409.
    """

    monitor: ClassVar[str] = "score"
    couples_rows = by_row

    weight: Annotated[float, Meta(gt=0.0)] = eqx.field(static=True, default=100.0)
    likelihood: Weight = eqx.field(static=True, default=0.0)
    beta: Scheduled = eqx.field(static=True, default=1.0)
    value_range: Annotated[float, Meta(gt=0.0)] = eqx.field(static=True, default=1.0)
    kl: KL = eqx.field(static=True, default="auto")

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        parts, beta = evidence(model, batch, key=key, kl=self.kl), self.beta(step) if callable(self.beta) else self.beta
        made = decoded(model, jax.tree.map(lambda leaf: leaf[0], parts.draws.z), batch)
        data = _images(batch.x, batch.mask, made.dtype)
        similar = jax.vmap(lambda a, b: ms_ssim(a, b, value_range=self.value_range))(data, made.reshape(data.shape))
        metrics = {
            **parts.metrics,
            "ms_ssim": weighted(similar, batch),
            "score": weighted(self.weight * similar + self.likelihood * parts.log_likelihood - beta * parts.kl, batch),
        }
        return -mean(metrics["score"]), metrics


def _images(
    x: Shaped[Array, "B ..."], mask: Shaped[Array, "B ..."] | None, dtype: jnp.dtype
) -> Float[Array, "B h w c"]:
    """Rows as images with channels; what is missing is 0 here as in what is compared with it."""
    if x.ndim not in (3, 4) or min(x.shape[1:3]) < 2:
        raise ConfigError(
            f"structural similarity is of images, and rows of shape {x.shape[1:]} are none.",
            where="objective.name",
            fix="Use another objective, or rows of shape (height, width) or (height, width, channels).",
        )
    x = x if mask is None else jnp.where(mask, x, jnp.zeros_like(x))
    return x.astype(dtype).reshape(*x.shape[:3], -1)
