"""A fit that looks at structure: multi-scale structural similarity of images in place of a likelihood."""

import math
from typing import Annotated, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta

from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import KL, AbstractObjective, Loss, by_row, decoded, evidence, mean, weighted
from latens.typing import Array, Float, Key, Scheduled, Shaped, Step, Weight

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
