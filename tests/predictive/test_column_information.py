"""Mutual information of columns: a Gaussian's in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions import DiagonalNormal, FullNormal, StandardNormal
from latens.errors import ConfigError
from latens.figures.tables import information
from latens.models import LatentModel
from latens.predictive.conditional_samples import column_information


class Line(eqx.Module):
    """x = W z + noise of scale .6."""

    weight: jax.Array

    def __call__(self, z, *, cond=None, key=None):
        return DiagonalNormal(self.weight @ z, jnp.full(len(self.weight), jnp.log(0.6)))


class Whole(eqx.Module):
    def __call__(self, z, *, cond=None, key=None):
        return FullNormal(z, jnp.zeros((2, 2)))


def test_numbers_have_the_information_of_their_correlation() -> None:
    weight = np.array([[1.0, 0.0], [0.8, 0.3], [0.0, 1.1]], np.float32)
    model = LatentModel(StandardNormal((2,)), lambda x: None, Line(jnp.asarray(weight)))
    covariance = weight @ weight.T + 0.36 * np.eye(3)
    squared = covariance**2 / np.outer(np.diag(covariance), np.diag(covariance))
    found = column_information(model, 3, num_rows=1024, key=jax.random.key(0))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        exact = -0.5 * np.log1p(-squared[a, b])
        assert found.errors[a, b] < 0.02
        assert abs(found.nats[a, b] - exact) < 4 * found.errors[a, b]
        assert found.nats[a, b] == found.nats[b, a]
    assert np.isnan(np.diag(found.nats)).all()


def test_columns_that_depend_on_one_another_given_z_are_refused() -> None:
    model = LatentModel(StandardNormal((2,)), lambda x: None, Whole())
    with pytest.raises(ConfigError, match="does not factorise over the columns"):
        column_information(model, 2, num_rows=4, num_samples=4, repeats=2, key=jax.random.key(0))


def test_the_picture_has_the_pairs_that_say_most_first() -> None:
    nats = np.array([[np.nan, 0.1, 0.4], [0.1, np.nan, 0.2], [0.4, 0.2, np.nan]])
    ax, table = information(nats, 0.1 * nats, ["a", "b", "c"])
    assert table["first"].tolist() == ["a", "b", "a"]
    assert table["second"].tolist() == ["c", "c", "b"]
    assert table["nats"].tolist() == [0.4, 0.2, 0.1]
    np.testing.assert_allclose(table["standard_error"], [0.04, 0.02, 0.01])
    assert ax.get_images()[0].get_clim() == (0.0, 0.4)
    shown = ax.get_images()[0].get_array()
    assert shown.mask.tolist() == [[False, True], [False, False]]
    assert [word.get_text() for word in ax.get_xticklabels()] == ["a", "b"]
    assert [word.get_text() for word in ax.get_yticklabels()] == ["b", "c"]
