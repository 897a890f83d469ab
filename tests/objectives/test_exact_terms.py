"""The terms of objectives on two or three rows, by hand."""

import jax.numpy as jnp
import numpy as np
from checks import close

from latens.distributions import Affine, DiagonalNormal
from latens.objectives.constrained import _normal_terms


def test_sums_of_a_row_with_a_gap_leave_the_gap_out():
    """One shared scale of 0.5 on columns with shifts 1, -2, 3 and units 2, 4, 10; the third cell is missing."""
    inner = DiagonalNormal(jnp.array([0.5, -0.25, 0.7]), jnp.log(jnp.asarray(0.5)))
    likelihood = Affine(inner, jnp.array([1.0, -2.0, 3.0]), jnp.array([2.0, 4.0, 10.0]))
    terms = _normal_terms(likelihood, jnp.array([4.0, 2.0, jnp.nan]), jnp.array([True, True, False]))
    residual = np.array([(4.0 - 2.0) / 2.0, (2.0 + 3.0) / 4.0])
    close(terms["count"], 2.0)
    close(terms["squares"], (residual**2).sum())
    close(terms["log_unit"], np.log(8.0))
    value = -0.5 * ((residual / 0.5) ** 2).sum() - 2 * np.log(0.5) - np.log(2 * np.pi) - np.log(8.0)
    close(terms["log_likelihood"], value)
    close(terms["held"], value)
    plain = _normal_terms(inner, jnp.array([1.5, 0.0, 0.7]), None)
    close(plain["squares"], 1.0 + 0.0625)
    close(plain["log_unit"], 0.0)
