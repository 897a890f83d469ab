"""A Normal posterior whose KL has a floor by construction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions import StandardNormal, kl
from latens.models import DeltaNormalHead


@pytest.mark.parametrize(("size", "rate"), [(1, 0.05), (4, 3.0), (16, 20.0)])
def test_no_outputs_give_less_than_the_rate_and_the_largest_scales_at_0_give_it(size, rate):
    head = DeltaNormalHead((size,), rate)
    of = lambda outputs: kl(head(outputs), StandardNormal((size,)))  # noqa: E731
    least = of(jnp.concatenate([jnp.zeros(size), jnp.full(size, 40.0)]))
    assert least == pytest.approx(rate, rel=2e-5)
    outputs = 4.0 * jax.random.normal(jax.random.key(0), (200, 2 * size))
    assert np.all(jax.vmap(of)(outputs) >= rate * (1 - 1e-5))
    slope = jax.grad(of)(jnp.zeros(2 * size))
    assert not np.asarray(slope[:size]).any()
    assert np.all(slope[size:] < 0.0)
