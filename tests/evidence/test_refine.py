"""Posteriors of single rows: refined from a poor start, and one for each row, both against the exact posterior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import close
from scipy import stats

import latens
from latens.data.dataset import as_batch
from latens.distributions import Deterministic, DiagonalNormal, FullNormal, StandardNormal
from latens.errors import ConfigError, DataError
from latens.evidence import ModelRows, refine
from latens.models import AbstractLatentModel

# Orthogonal columns: the exact posterior is a diagonal Normal, and the best bound is log p(x) itself.
W = np.array([[1.2, 0.5], [0.6, -1.0], [-0.4, 0.0], [0.3, 0.0]])
W[2:, 1] = [0.9, 1.2]
W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
MU, SIGMA = np.array([0.1, -0.2, 0.3, 1.0]), 0.5
PRECISION = W.T @ W / SIGMA**2 + np.eye(2)
RNG = np.random.default_rng(0)
X = (RNG.standard_normal((6, 2)) @ W.T + MU + SIGMA * RNG.standard_normal((6, 4))).astype(np.float32)
EXACT_MEAN = np.linalg.solve(PRECISION, W.T @ (X - MU).T / SIGMA**2).T
LOG_P = stats.multivariate_normal(MU, W @ W.T + SIGMA**2 * np.eye(4)).logpdf(X)


def decoder(z, *, cond=None, key=None):
    return DiagonalNormal(jnp.asarray(W, jnp.float32) @ z + jnp.asarray(MU, jnp.float32), jnp.log(SIGMA))


class Poor(AbstractLatentModel):
    """The exact model with an encoder that says the same of every row."""

    family: str = eqx.field(static=True, default="diagonal")

    def prior(self, *, cond=None, key=None):
        return StandardNormal((2,))

    def likelihood(self, z, *, cond=None, key=None):
        return decoder(z)

    def posterior(self, x, *, cond=None, mask=None, key=None):
        if self.family == "point":
            return Deterministic(jnp.zeros(2))
        start = jnp.zeros(2) + 0.0 * x[:2]
        return FullNormal(start, jnp.zeros((2, 2))) if self.family == "full" else DiagonalNormal(start, start)


@pytest.mark.parametrize("family", ["diagonal", "full"])
def test_a_refined_posterior_is_the_exact_one(family: str) -> None:
    assert abs(W[:, 0] @ W[:, 1]) < 1e-12
    found = refine(ModelRows(Poor(family), as_batch(X)), steps=400, learning_rate=0.1, num_samples=4)
    # The bound is log p(x) where q is exact, whatever the draw: no noise is left in it.
    close(found.elbo, LOG_P, rtol=0, atol=2e-3)
    assert np.all(LOG_P - found.start > 1.0)
    posterior = found.posterior
    close(posterior.loc, EXACT_MEAN, rtol=0, atol=5e-3)  # pyright: ignore[reportAttributeAccessIssue]
    if family == "diagonal":
        expected = np.broadcast_to(-0.5 * np.log(np.diag(PRECISION)), (6, 2))
        close(posterior.log_scale, expected, rtol=0, atol=5e-3)  # pyright: ignore[reportAttributeAccessIssue]


def test_no_steps_change_nothing_and_rows_are_each_by_themselves() -> None:
    key = jax.random.key(1)
    still = refine(ModelRows(Poor(), as_batch(X), key=key), steps=0)
    assert np.array_equal(still.elbo, still.start)
    few = {"steps": 20, "num_samples": 2, "num_evaluation_samples": 4, "key": key}
    whole, part = at(refine, Poor(), as_batch(X), **few), at(refine, Poor(), as_batch(X[3:5]), **few)
    close(part.elbo, whole.elbo[3:5], atol=1e-4)


def test_a_point_is_not_refined() -> None:
    with pytest.raises(ConfigError, match="is not refined"):
        refine(ModelRows(Poor("point"), as_batch(X)))


def test_conditions_of_rows_are_checked() -> None:
    data = latens.read(X, cond={"time": np.arange(12.0).reshape(6, 2), "row": np.arange(6)})
    assert {name: (array.dtype.name, array.shape) for name, array in (data.cond or {}).items()} == {
        "time": ("float32", (6, 2)),
        "row": ("int32", (6,)),
    }
    for cond, what in (
        ({"row": np.arange(5)}, r"condition 'row' is of shape \(5,\)"),
        ({"dose": ["a"] * 6}, "condition 'dose' is of shape"),
        ({"dose": np.full(6, np.nan)}, "condition 'dose' has values that are not finite"),
        ({"row": np.full(6, 2**40)}, "beyond 32 bits"),
        ({"label": np.arange(6)}, "labels cannot be a condition here"),
    ):
        with pytest.raises(DataError, match=what):
            latens.read(X, cond=cond)
