"""Where a model of an environment has left its data: the density of (observation, action) among training steps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

QUANTILE = 0.001
"""The share of the training steps below whose density a step is outside."""
COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of Gaussians that are tried; rows that the fit does not see choose."""
MOST_ROWS = 20_000
FEWEST = 5
"""Rows for each Gaussian, and for an action to have Gaussians of its own, at the least (times the dimensions)."""


class Alarm(eqx.Module):
    """A mixture of Gaussians of (observation, action), and the density of which few training steps are below."""

    log_weights: Float[Array, "A C"]
    means: Float[Array, "A C D"]
    whiteners: Float[Array, "A C D D"]
    threshold: Float[Array, ""]
    discrete: bool = eqx.field(static=True)

    def log_prob(self, observation: Float[Array, " d"], action: Float[Array, " a"]) -> Float[Array, ""]:
        """The log density of an observation and the action taken there, in nats."""
        place = action[0].astype(int) if self.discrete else 0
        u = observation if self.discrete else jnp.concatenate([observation, action])
        away = jnp.einsum("cij,cj->ci", self.whiteners[place], u - self.means[place])
        log_det = jnp.log(jnp.abs(jnp.diagonal(self.whiteners[place], axis1=1, axis2=2))).sum(1)
        each = -0.5 * jnp.square(away).sum(1) + log_det - 0.5 * len(u) * jnp.log(2 * jnp.pi)
        return jax.nn.logsumexp(self.log_weights[place] + each)

    def plain(self) -> dict[str, Any]:
        """The same as plain values, as a model file keeps it."""
        names = ("log_weights", "means", "whiteners", "threshold")
        # An action that was never taken has a weight of 0, whose logarithm JSON does not know.
        numbers = {name: np.maximum(np.asarray(getattr(self, name), np.float64), -1e30).tolist() for name in names}
        return {**numbers, "discrete": self.discrete}


def alarm_from(plain: dict[str, Any]) -> Alarm:
    """What `Alarm.plain` wrote."""
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in plain.items() if name != "discrete"}
    return Alarm(**arrays, discrete=bool(plain["discrete"]))


def fit_alarm(
    observations: Shaped[np.ndarray, "n d"], actions: Shaped[np.ndarray, "n a"], *, places: int = 0, seed: int = 0
) -> Alarm:
    """Fit the mixture to training steps by EM; a tenth of the rows chooses the number of Gaussians."""
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(observations))[:MOST_ROWS])
    rows = observations[kept].astype(np.float64)
    taken = actions[kept, 0].astype(int) if places else np.zeros(len(kept), int)
    if not places:
        rows = np.concatenate([rows, actions[kept]], axis=1)
    # Sums in units of the spread; a column that does not vary keeps a small one, so that leaving it is seen.
    centre, spread = rows.mean(0), np.maximum(rows.std(0), 1e-3 * np.maximum(np.abs(rows).max(0), 1e-3))
    parts = [_mixture((rows[taken == a] - centre) / spread, seed) for a in range(max(places, 1))]
    most, size = max(len(part[0]) for part in parts), rows.shape[1]
    log_weights = np.full((len(parts), most), -np.inf)
    means = np.zeros((len(parts), most, size))
    whiteners = np.broadcast_to(np.eye(size), (len(parts), most, size, size)).copy()
    for a, (weights, middles, cuts) in enumerate(parts):
        count, share = len(weights), (taken == a).mean()
        log_weights[a, :count] = np.log(weights * share) if share else -1e30
        means[a, :count], whiteners[a, :count] = middles * spread + centre, cuts / spread
    log_weights = np.maximum(log_weights, -1e30)
    alarm = Alarm(*map(jnp.float32, (log_weights, means, whiteners, 0.0)), discrete=bool(places))
    log_prob = jax.jit(jax.vmap(alarm.log_prob))(jnp.float32(observations[kept]), jnp.float32(actions[kept]))
    return eqx.tree_at(lambda one: one.threshold, alarm, jnp.float32(np.quantile(np.asarray(log_prob), QUANTILE)))


def _mixture(rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and whiteners of the number of Gaussians under which a tenth of the rows is most probable."""
    from sklearn.mixture import GaussianMixture

    size = rows.shape[1]
    if len(rows) < FEWEST * (size + 1):  # too few rows for a covariance: one broad Gaussian
        middle = rows.mean(0) if len(rows) else np.zeros(size)
        return np.ones(1), middle[None], np.eye(size)[None]
    choose = np.arange(len(rows)) % 10 == 9
    best, most = None, -np.inf
    for count in COMPONENTS:
        if count * FEWEST * (size + 1) > len(rows) and count > 1:
            break
        made = GaussianMixture(count, reg_covar=1e-5, random_state=seed, max_iter=60, tol=1e-2)
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EM that has not converged is a mixture too
            made.fit(rows[~choose])
        value = float(made.score(rows[choose]))
        if value > most + 0.01:
            best, most = made, value
    found: Any = best
    return found.weights_, found.means_, np.swapaxes(found.precisions_cholesky_, 1, 2)
