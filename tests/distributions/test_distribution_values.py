"""Values of the family: scipy and numpyro in double precision, the reference page, and single precision far out."""

import jax.numpy as jnp
import numpy as np
from checks import close

from latens.distributions import (
    StudentT,
)


def test_student_has_no_mean_at_one_degree_of_freedom():
    close(StudentT(jnp.ones(2), jnp.zeros(2), jnp.log(jnp.array([1.0, 1.5]))).mean(), [np.nan, 1.0])
