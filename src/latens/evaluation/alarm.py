"""Where a model of an environment has left its data: the density of (observation, action) among training steps."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from latens.errors import UsageError

RATE = 0.001
"""The share of honest steps that may be flagged."""
KEPT = 2000
"""How many of the least densities of held-out steps a model file keeps: rates up to their share can be asked for."""
COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of Gaussians that are tried; rows that the fit does not see choose."""
MOST_ROWS = 20_000
FEWEST = 5
"""Rows for each Gaussian, and for an action to have Gaussians of its own, at the least (times the dimensions)."""


class Alarm(eqx.Module):
    """A mixture of Gaussians of (observation, action), and the density below which a step is flagged."""

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
        # An action that was never taken has a weight of 0, whose logarithm JSON does not know.
        numbers = {name: np.maximum(np.asarray(getattr(self, name), np.float64), -1e30).tolist() for name in _ARRAYS}
        return {**numbers, "discrete": self.discrete}


_ARRAYS = ("log_weights", "means", "whiteners", "threshold")


def alarm_from(plain: dict[str, Any]) -> Alarm:
    """What `Alarm.plain` wrote."""
    return Alarm(*(jnp.asarray(plain[name], jnp.float32) for name in _ARRAYS), discrete=bool(plain["discrete"]))


class Threshold(NamedTuple):
    """The density below which a step is flagged, and the share of honest steps for which that happens."""

    value: float
    rate: float


def threshold_of(least: Float[np.ndarray, " m"], count: int, rate: float) -> Threshold:
    """The k-th smallest density of n honest steps that the mixture has not seen, and the rate k / (n + 1) it keeps."""
    # k is the whole part of rate (n + 1): a further honest step lies below with probability k / (n + 1), whatever the
    # densities are, if steps are exchangeable. With few steps no rate below 1 / (n + 1) can be kept: then k is 1.
    # Source: Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world.
    if not 0.0 < rate < 1.0:
        raise UsageError(f"{rate!r} is not a share.", where="alarm_rate", fix="Give a number between 0 and 1.")
    place = max(1, math.floor(rate * (count + 1) * (1 + 1e-12)))
    if place > len(least):
        fix = f"Give at most {max(len(least), 1) / (count + 1):.2g}, or alarm_steps."
        what = f"{rate:g} needs {place} densities of held-out steps, and the model keeps {len(least)}."
        raise UsageError(what, where="alarm_rate", fix=fix)
    return Threshold(float(least[place - 1]), place / (count + 1))


def densities(
    alarm: Alarm, observations: Shaped[np.ndarray, "n d"], actions: Shaped[np.ndarray, "n a"]
) -> Float[np.ndarray, " n"]:
    """The log density of every step, in nats."""
    return np.asarray(_densities(alarm, jnp.float32(observations), jnp.float32(actions)), np.float64)


@eqx.filter_jit
def _densities(alarm: Alarm, observations: Array, actions: Array) -> Array:
    return jax.vmap(alarm.log_prob)(observations, actions)


def calibrated(alarm: Alarm, found: Float[np.ndarray, " n"], rate: float = RATE) -> tuple[Alarm, Threshold]:
    """The alarm that flags a share of honest steps, given the densities of some that the mixture has not seen."""
    made = threshold_of(np.sort(found), len(found), rate)
    return eqx.tree_at(lambda one: one.threshold, alarm, jnp.float32(made.value)), made


def fit_alarm(
    observations: Shaped[np.ndarray, "n d"], actions: Shaped[np.ndarray, "n a"], *, places: int = 0, seed: int = 0
) -> Alarm:
    """Fit the mixture to training steps by EM; a tenth of the rows chooses the number of Gaussians."""
    # Its threshold is that of the training steps themselves, until `calibrated` finds that of others.
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
    return calibrated(alarm, densities(alarm, observations[kept], actions[kept]))[0]


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
