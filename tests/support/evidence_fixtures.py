"""Models whose log p(x) has a closed form, for the estimators of it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy import stats

from latens.data.batches import Batch
from latens.distributions import Bernoulli, DiagonalNormal, StandardNormal
from latens.evaluation import LogMarginals
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


class Coins(AbstractLatentModel):
    """One Normal latent, seven coins with logits a z + b; q is the prior whatever x is."""

    def prior(self, *, cond=None, key=None):
        return StandardNormal((1,))

    def likelihood(self, z, *, cond=None, key=None):
        return Bernoulli(jnp.linspace(-2.0, 3.0, 7) * z[0] + jnp.linspace(1.0, -1.0, 7))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        return DiagonalNormal(jnp.zeros(1), jnp.zeros(1))


def log_p_of_coins(x: np.ndarray) -> np.ndarray:
    """By quadrature on a fine grid."""
    z = np.linspace(-12.0, 12.0, 20_001)
    logits = np.linspace(-2.0, 3.0, 7) * z[:, None] + np.linspace(1.0, -1.0, 7)
    log_joint = stats.norm.logpdf(z) + np.sum(x[:, None, :] * logits - np.logaddexp(0.0, logits), axis=2)
    return np.logaddexp.reduce(log_joint, axis=1) + np.log(z[1] - z[0])


def covers(found: LogMarginals, exact: np.ndarray, level: float = 0.99) -> np.ndarray:
    """Which rows have the exact value within their own interval."""
    low, high = found.interval(level)
    return (low <= exact) & (exact <= high)
