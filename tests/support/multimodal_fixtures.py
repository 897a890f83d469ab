"""Linear-Gaussian modalities, whose evidence and posteriors are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from bound_checks import STEP
from scipy import stats
from tables import linear

from latens.data.dataset import Batch
from latens.distributions import StandardNormal
from latens.models import ByModality, Conditional, Experts, LatentModel, NormalHead, SharedScaleNormalHead
from latens.trainable import Frozen

WEIGHTS = {
    "a": np.array([[1.0, 0.5], [-0.5, 1.0], [0.5, 0.0]])[:2],
    "b": np.array([[0.7, 0.0], [0.0, -1.3], [0.0, 0.4]]),
    "c": np.array([[0.4, 0.9]])[:, :1] * np.array([[1.0, 0.0]]),
}
OFFSETS = {"a": np.array([0.3, -1.0]), "b": np.array([0.0, 2.0, 1.0]), "c": np.array([0.5])}
SCALES = {"a": 0.8, "b": 0.5, "c": 1.1}
X = {"a": np.array([0.9, 0.2]), "b": np.array([-0.4, 1.1, 0.3]), "c": np.array([1.7])}


def expert(name):
    """The precision and the mean of p(x_m | z) as a function of z; a unit that it does not see has almost none."""
    weight, variance = WEIGHTS[name], SCALES[name] ** 2
    precision = np.sum(weight**2, axis=0) / variance + 1e-6
    gain = weight.T / variance / precision[:, None]
    return precision, gain


def exact(names=("a", "b"), rule="product", blocks=None, shift=0.0):
    """z ~ N(0, I), x_m = W_m z + mu_m + s_m e, with the exact experts moved by `shift`."""
    encoders, decoders = {}, {}
    for name in names:
        precision, gain = expert(name)
        weight = np.concatenate([gain.T, np.zeros(gain.T.shape)], axis=1)
        bias = np.concatenate([shift - gain @ OFFSETS[name], -0.5 * np.log(precision)])
        encoders[name] = Conditional(linear(weight, bias), NormalHead((2,)))
        head = SharedScaleNormalHead((len(OFFSETS[name]),), Frozen(jnp.asarray(np.log(SCALES[name]))))
        decoders[name] = Conditional(linear(WEIGHTS[name].T, OFFSETS[name]), head)
    return LatentModel(StandardNormal((2,)), Experts(encoders, rule, blocks), ByModality(decoders, blocks))


def log_p(*names):
    """log p of these modalities of X."""
    weight, mean = (np.concatenate([part[n] for n in names]) for part in (WEIGHTS, OFFSETS))
    noise = np.concatenate([np.full(len(OFFSETS[n]), SCALES[n] ** 2) for n in names])
    x = np.concatenate([X[n] for n in names])
    return stats.multivariate_normal(mean, weight @ weight.T + np.diag(noise)).logpdf(x)


def row(*names):
    return {name: jnp.asarray(X[name], float) for name in names}


def rows(count, *names, mask=None):
    """The one row X so many times, each with noise of its own."""
    x = {name: jnp.broadcast_to(part, (count, *part.shape)) for name, part in row(*names).items()}
    shown = None if mask is None else {name: jnp.full(count, there) for name, there in mask.items()}
    return Batch(x, jnp.arange(count, dtype=jnp.uint32), shown)


def by_row(objective, model, batch, name=None):
    """The number minimised, or the metric of this name, of each row alone."""

    @jax.jit
    def each(rows):
        def one(single):
            loss, metrics = objective(model, jax.tree.map(lambda v: v[None], single), key=jax.random.key(3), step=STEP)
            return loss if name is None else metrics[name][0]

        return jax.vmap(one)(rows)

    return each(batch)


def by_hand(members, with_prior):
    """Precision and mean of a product of experts on X."""
    parts = [(p, gain @ (X[n] - OFFSETS[n])) for n in members for p, gain in [expert(n)]]
    parts += [(np.ones(2), np.zeros(2))] if with_prior else []
    precision = sum(p for p, _ in parts)
    return precision, sum(p * m for p, m in parts) / precision
