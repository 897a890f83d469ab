"""Models whose log p(x) has a closed form, for the estimators of it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy import stats

from latens.data.dataset import Batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.evidence import LogMarginals
from latens.models import AbstractLatentModel

LATENTS, CELLS = 10, 16
RNG = np.random.default_rng(5)
# Correlated columns: the best diagonal Normal is not the exact posterior.
W = RNG.standard_normal((CELLS, LATENTS)) * 0.3
MU, SIGMA = RNG.standard_normal(CELLS), 1.0
PRECISION = W.T @ W / SIGMA**2 + np.eye(LATENTS)
COVARIANCE = W @ W.T + SIGMA**2 * np.eye(CELLS)


class Linear10(AbstractLatentModel):
    """x = W z + mu + sigma e with 10 latents; the encoder has the exact mean, and the best scales times `wide`."""

    wide: float = eqx.field(static=True, default=1.0)

    def prior(self, *, cond=None, key=None):
        return StandardNormal((LATENTS,))

    def likelihood(self, z, *, cond=None, key=None):
        loc = jnp.asarray(W, jnp.float32) @ z + jnp.asarray(MU, jnp.float32)
        return DiagonalNormal(loc, jnp.full(CELLS, float(np.log(SIGMA))))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        by_cell = jnp.asarray(np.linalg.solve(PRECISION, W.T / SIGMA**2), jnp.float32)
        log_scale = jnp.asarray(np.log(self.wide) - 0.5 * np.log(np.diag(PRECISION)), jnp.float32)
        return DiagonalNormal(by_cell @ (x - jnp.asarray(MU, jnp.float32)), log_scale)


def rows_of_linear(n: int, seed: int = 0) -> Batch:
    """n rows of the model, each with a name of its own, so with draws of its own."""
    x = np.random.default_rng(seed).multivariate_normal(MU, COVARIANCE, size=n, method="cholesky")
    return Batch(jnp.asarray(x, jnp.float32), jnp.arange(n, dtype=jnp.uint32))


def log_p_of_linear(x: object) -> np.ndarray:
    return np.atleast_1d(stats.multivariate_normal(MU, COVARIANCE).logpdf(np.asarray(x, np.float64)))


def covers(found: LogMarginals, exact: np.ndarray, level: float = 0.99) -> np.ndarray:
    """Which rows have the exact value within their own errors."""
    return np.abs(found.rows - exact) <= stats.t.ppf(0.5 + level / 2, found.degrees) * found.row_errors
