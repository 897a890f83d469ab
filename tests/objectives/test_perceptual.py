"""Multi-scale structural similarity: 1 for equal images, NumPy's number for others, refused for what is no image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import close, finite_difference
from jax.flatten_util import ravel_pytree
from metric_checks import average
from scipy.ndimage import correlate
from tables import MODELS, batch_of, dense

from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.objectives import ELBO, PerceptualSimilarity, draw, ms_ssim
from latens.objectives.adversarial import WEIGHTS, _images, num_scales

KEY = jax.random.key(0)
similarity = jax.jit(ms_ssim, static_argnames="value_range")


def by_hand(one: np.ndarray, two: np.ndarray, scales: int, value_range: float = 1.0) -> float:
    """One channel, with SciPy's correlation cut to windows that lie inside."""
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    total = 1.0
    for scale in range(scales):
        size = min(11, *one.shape)
        line = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * 1.5**2))
        kernel = np.outer(line, line) / line.sum() ** 2
        start = size // 2
        cut = tuple(slice(start, start + side - size + 1) for side in one.shape)
        blur = lambda image, kernel=kernel, cut=cut: correlate(image, kernel, mode="constant")[cut]  # noqa: E731
        m1, m2 = blur(one), blur(two)
        v1, v2, v12 = blur(one * one) - m1**2, blur(two * two) - m2**2, blur(one * two) - m1 * m2
        structure = (2 * v12 + c2) / (v1 + v2 + c2)
        if scale == scales - 1:
            structure = structure * (2 * m1 * m2 + c1) / (m1**2 + m2**2 + c1)
        total *= max(structure.mean(), 1e-6) ** weights[scale]
        h, w = one.shape[0] // 2, one.shape[1] // 2
        one, two = (im[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3)) for im in (one, two))
    return total


@pytest.mark.parametrize(("shape", "scales"), [((28, 28), 3), ((8, 8), 2), ((20, 9), 2), ((3, 5), 1)])
def test_similarity_meets_numpy(shape, scales, float64):
    rng = np.random.default_rng(0)
    one = rng.uniform(size=shape)
    two = np.clip(one + 0.2 * rng.normal(size=shape), 0, 1)
    assert num_scales(shape) == scales
    for other, value_range in ((two, 1.0), (two, 3.0), (0.5 * one, 1.0), (1 - one, 1.0)):
        actual = similarity(jnp.asarray(one)[..., None], jnp.asarray(other)[..., None], value_range=value_range)
        close(actual, by_hand(one, other, scales, value_range), rtol=1e-9)
    close(similarity(jnp.asarray(one)[..., None], jnp.asarray(one)[..., None]), 1.0)


def test_known_numbers(float64):
    """Two flat images differ in luminance alone; opposite ones, which no power is of, count as 1e-6."""
    flat = lambda value: jnp.full((8, 8, 1), value)  # noqa: E731
    luminance = (2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4)
    share = WEIGHTS[1] / (WEIGHTS[0] + WEIGHTS[1])
    close(similarity(flat(0.2), flat(0.6)), luminance**share)
    board = jnp.asarray(np.indices((3, 3)).sum(axis=0) % 2.0)[..., None]
    close(similarity(board, 1 - board), 1e-6)
    # Channels are averaged: one equal, one flat against flat.
    two = lambda a, b: jnp.concatenate([a, b], axis=-1)  # noqa: E731
    close(similarity(two(flat(0.2), flat(0.5)), two(flat(0.6), flat(0.5))), ((luminance + 1) / 2) ** share)


def test_what_is_missing_is_0_in_an_image():
    x, mask = jnp.full((1, 2, 2), 5.0), jnp.asarray([[[True, False], [True, True]]])
    close(_images(x, mask, x.dtype)[..., 0], [[[5.0, 0.0], [5.0, 5.0]]])


def images() -> tuple[LatentModel, object]:
    k = jax.random.split(jax.random.key(1))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(dense([25, 4], k[0]), NormalHead((2,))),
        Conditional(dense([2, 25], k[1]), BernoulliHead((5, 5))),
    )
    return model, batch_of(np.random.default_rng(1).uniform(size=(3, 5, 5)))


def test_the_objective_is_similarity_and_kl(float64):
    model, batch = images()
    loss, metrics = evaluate(PerceptualSimilarity(30.0), model, batch)
    z = draw(model, batch, num_samples=1, key=KEY).z[0]
    made = np.asarray(jax.nn.sigmoid(jax.vmap(model.likelihood)(z).logits))
    similar = np.mean([by_hand(a, b, 1) for a, b in zip(np.asarray(batch.x), made)])
    honest = evaluate(ELBO(), model, batch)[1]
    close(average(metrics, "ms_ssim"), similar)
    close(average(metrics, "score"), 30.0 * similar - average(honest, "kl"))
    close(loss, average(honest, "kl") - 30.0 * similar)
    for name in ("elbo", "kl", "log_likelihood"):
        close(average(metrics, name), average(honest, name))
    loss, _ = evaluate(PerceptualSimilarity(30.0, likelihood=0.5, beta=0.1), model, batch)
    close(loss, 0.1 * average(honest, "kl") - 30.0 * similar - 0.5 * average(honest, "log_likelihood"))
    theta, rebuild = ravel_pytree(model)
    value = lambda t: PerceptualSimilarity(30.0)(rebuild(t), batch, key=KEY, step=STEP)[0]  # noqa: E731
    close(jax.jit(jax.grad(value))(theta), finite_difference(value, theta), rtol=1e-5, atol=1e-6)


def test_rows_that_are_no_images_are_refused():
    model, batch = MODELS["levels"]()
    with pytest.raises(ConfigError, match=r"rows of shape \(3,\) are none"):
        PerceptualSimilarity()(model, batch, key=KEY, step=STEP)
