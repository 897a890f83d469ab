"""Latent planes of tables: principal axes, dates as dates."""

import numpy as np

from latens.model_figures.source import principal


def test_principal_axes_are_those_of_the_covariance():
    """Points along (3, 4) / 5 with a tenth of the spread across: 100 / 101 of the variance on the first axis."""
    along, across = np.array([0.6, -0.8]), np.array([0.8, 0.6])
    t = np.array([-1.0, 1.0, 0.0, 0.0])
    points = 7.0 + 10.0 * np.outer(t, along) + np.outer([0.0, 0.0, 1.0, -1.0], across)
    found = principal(points)
    np.testing.assert_allclose(found.axes, np.stack([-along, across], axis=1), atol=1e-12)  # the largest is positive
    np.testing.assert_allclose(found.shares, [100 / 101, 1 / 101])
    np.testing.assert_allclose(found.of(points)[:, 0], -10.0 * t, atol=1e-12)
