"""Values of the family: scipy and numpyro in double precision, the reference page, and single precision far out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special

from latens.distributions import StudentT
from latens.distributions.special import log_bessel_scaled


def test_student_has_no_mean_at_one_degree_of_freedom():
    close(StudentT(jnp.ones(2), jnp.zeros(2), jnp.log(jnp.array([1.0, 1.5]))).mean(), [np.nan, 1.0])


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 4.5, 24.0, 127.0])
def test_bessel_function_of_any_order(order, float64):
    """Against scipy's, and its slope against 1 - I(order + 1)/I(order), also where series and expansion meet."""
    x = np.array([1e-3, 0.1, 1.0, 10.0, 24.0, 25.1, 60.0, 600.0])
    x = x[special.ive(order, x) > 1e-290]
    scaled = special.ive(order, x)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda y: log_bessel_scaled(order, y))))(jnp.asarray(x))
    close(values, order * np.log(x) - np.log(scaled), rtol=1e-10, atol=1e-10)
    close(slopes, 1 - special.ive(order + 1, x) / scaled, rtol=1e-7, atol=1e-9)
