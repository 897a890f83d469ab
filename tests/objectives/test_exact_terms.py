"""The terms of objectives on two or three rows, by hand."""

import jax.numpy as jnp
import numpy as np
from checks import close

from latens.data.batches import Batch
from latens.distributions import Affine, DiagonalNormal
from latens.objectives.base import mean, weighted
from latens.objectives.constrained import _normal_terms
from latens.objectives.information import _covariance, _variance

CODES = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 5.0]], np.float32)
WEIGHT = np.array([1.0, 3.0, 0.0], np.float32)
ROWS = Batch(jnp.zeros((3, 1)), jnp.arange(3, dtype=jnp.uint32), weight=jnp.asarray(WEIGHT))


def test_the_covariance_of_codes_is_about_their_weighted_mean():
    close(_covariance(jnp.asarray(CODES), ROWS), np.cov(np.repeat(CODES, [1, 3, 0], axis=0).T, ddof=0))


def test_the_variance_of_a_normal_posterior():
    close(_variance(DiagonalNormal(jnp.zeros(2), jnp.log(jnp.array([2.0, 0.5])))), [4.0, 0.25])


def test_means_are_of_the_rows_that_count():
    total, weight = weighted(jnp.array([2.0, 4.0, 100.0]), ROWS)
    close(mean((total, weight)), (2.0 + 3 * 4.0) / 4)


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
