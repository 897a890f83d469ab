"""A small linear-Gaussian state-space model, and the joint Normal of all its numbers without any recursion."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from latens import models as m
from latens.models.heads.base import SharedScaleNormalHead
from latens.models.state_space import ExactSmoother, StepDecoder

SHIFT, SCALE = np.array([1.0, -2.0]), np.array([2.0, 0.5])


def linear_model(steps: int = 20, size: int = 3, given: int = 1, seed: int = 0) -> m.StateSpaceModel:
    """A model with d = 2 columns in units of their own, `size` latents a step, and numbers given at every step."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    head = m.AffineHead(SharedScaleNormalHead((2,), jnp.array([-0.7, -0.3])), SHIFT, SCALE)
    drift = jnp.asarray(0.9 * np.linalg.qr(rng.normal(size=(size, size)))[0], jnp.float32)
    entry = m.Standardise(SHIFT, SCALE)
    decoder = StepDecoder(
        None, 0.3 * draw(2, size), drift, draw(given, size), 0.3 * draw(2, size), None, draw(size, 2),
        jnp.zeros((0, 2)), draw(2), None, head, entry,
    )  # fmt: skip
    return m.StateSpaceModel(m.StepPrior(steps), ExactSmoother(), decoder)


def joint_normal(decoder: Any, inputs: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of all x, of shape (T d), and mean and covariance with x of all z, in double precision."""
    double = lambda array: np.asarray(array, np.float64)  # noqa: E731
    drift, write, push = double(decoder.drift), double(decoder.write), double(decoder.push)
    size, d = write.shape
    spread = lambda logs: np.diag(np.exp(2.0 * double(logs)))  # noqa: E731
    mean, cov = np.zeros((steps, size)), np.zeros((steps, steps, size, size))
    mean[0], cov[0, 0] = decoder.first[0], spread(decoder.first[1])
    for t in range(1, steps):
        mean[t] = mean[t - 1] @ drift + inputs[t] @ push + double(decoder.rest[0])
        for s in range(t):
            cov[t, s] = drift.T @ cov[t - 1, s]
            cov[s, t] = cov[t, s].T
        cov[t, t] = drift.T @ cov[t - 1, t - 1] @ drift + spread(decoder.rest[1])
    of_x = np.einsum("kd,tskl,le->tdse", write, cov, write)
    for t in range(steps):
        of_x[t, :, t, :] += spread(decoder.head.head.log_scale)
    of_x = of_x * SCALE[:, None, None] * SCALE
    with_x = np.einsum("tskl,le->tkse", cov, write) * SCALE
    x = (mean @ write + double(decoder.bias)) * SCALE + SHIFT
    return x.ravel(), of_x.reshape(steps * d, -1), mean.ravel(), with_x.reshape(steps * size, -1)
