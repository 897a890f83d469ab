"""What a head starts with, and what a noise becomes, of numbers by hand."""

import math

import jax.numpy as jnp
import numpy as np

from latens.distributions import DiagonalNormal
from latens.distributions.bijections import AbstractBijection, Scaled
from latens.distributions.chain import Transformed


class Doubled(AbstractBijection):
    """Twice the event; the stretch of the volume is not its image."""

    def transform_and_log_det(self, x, context):
        return 2.0 * x, jnp.sum(jnp.full_like(x, math.log(2.0)))

    def inverse_and_log_det(self, y, context):
        return y / 2.0, -jnp.sum(jnp.full_like(y, math.log(2.0)))


def test_a_noise_of_the_base_becomes_the_mapped_event() -> None:
    base = DiagonalNormal(jnp.array([1.0, -2.0]), jnp.log(jnp.array([2.0, 0.5])))
    bijection = Scaled(Doubled(), jnp.array([0.25, 0.0]), jnp.log(jnp.array([10.0, 100.0])))
    # 1 + 2 * 0.5 = 2 and -2 - 0.5 * 3 = -3.5; twice that, scaled and shifted.
    found = Transformed(base, bijection).from_noise(jnp.array([0.5, -3.0]))
    np.testing.assert_allclose(np.asarray(found), [40.25, -700.0], rtol=1e-6)
    back, log_det = bijection.inverse_and_log_det(found, None)
    np.testing.assert_allclose(np.asarray(back), [2.0, -3.5], rtol=1e-6)
    assert float(log_det) == -float(bijection.transform_and_log_det(back, None)[1])
    np.testing.assert_allclose(float(log_det), -math.log(4000.0), rtol=1e-6)
