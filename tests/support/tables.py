"""Tables of what is tested: name -> factory. A new distribution, model or objective is one row here."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import special, stats
from tables_family import FAMILY, DistributionRow
from tables_objectives import MORE_OBJECTIVES

from latens.data.dataset import Batch
from latens.distributions import (
    Affine,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiagonalNormal,
    Segments,
    StandardNormal,
)
from latens.models import (
    AbstractLatentModel,
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    DeterministicHead,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    Standardise,
)
from latens.networks import Dense, Linear
from latens.objectives import ELBO, AbstractObjective, Reconstruction
from latens.trainable import Frozen

LOC, LOG_SCALE = np.array([0.3, -1.2, 2.0]), np.array([-0.5, 0.0, 0.7])
SHIFT, SCALE = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 3.0])
LOGITS = np.array([[-4.0, 0.05, 0.0], [1.5, 0.12, -0.11]])
WIDTHS = np.array([1, 1, 2])
LEVELS = np.array([[0.1, 1.0, -2.0, 0.5], [3.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0]])


def continuous_bernoulli_logpdf(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """By scipy's truncated exponential: a rate of |l| on [0, 1], turned around for positive l."""
    with np.errstate(divide="ignore"):
        size = np.abs(logits)
        safe = np.where(size == 0, 1.0, size)
        return np.where(size == 0, 0.0, stats.truncexpon.logpdf(np.where(logits > 0, 1 - x, x), safe, scale=1 / safe))


def _categorical_logpmf(x: np.ndarray) -> np.ndarray:
    return np.take_along_axis(special.log_softmax(LEVELS, axis=-1), x[..., None], axis=-1)[..., 0]


def _log_shares(x: np.ndarray) -> np.ndarray:
    """Of segments 0, 1 and 2 to 3."""
    segment = np.minimum(x, 2)[..., None]
    return np.take_along_axis(special.log_softmax(LEVELS[:, :3], axis=-1), segment, axis=-1)[..., 0]


def _normal() -> DiagonalNormal:
    return DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE))


DISTRIBUTIONS: dict[str, DistributionRow] = {
    "StandardNormal": DistributionRow(lambda: StandardNormal((3,)), stats.norm.logpdf),
    "DiagonalNormal": DistributionRow(_normal, lambda x: stats.norm.logpdf(x, LOC, np.exp(LOG_SCALE))),
    "DiagonalNormal, one scale": DistributionRow(
        lambda: DiagonalNormal(jnp.asarray(LOC), jnp.asarray(-0.4)), lambda x: stats.norm.logpdf(x, LOC, np.exp(-0.4))
    ),
    "Affine of a Normal": DistributionRow(
        lambda: Affine(_normal(), jnp.asarray(SHIFT), jnp.asarray(SCALE)),
        lambda x: stats.norm.logpdf(x, SHIFT + SCALE * LOC, SCALE * np.exp(LOG_SCALE)),
    ),
    "Affine of a ContinuousBernoulli": DistributionRow(
        lambda: Affine(ContinuousBernoulli(jnp.asarray(LOC)), jnp.asarray(SHIFT), jnp.asarray(SCALE)),
        lambda x: continuous_bernoulli_logpdf((x - SHIFT) / SCALE, LOC) - np.log(SCALE),
        interval=(SHIFT, SHIFT + SCALE),
    ),
    "Bernoulli": DistributionRow(
        lambda: Bernoulli(jnp.asarray(LOGITS)), lambda x: stats.bernoulli.logpmf(x, special.expit(LOGITS)), levels=2
    ),
    "ContinuousBernoulli": DistributionRow(
        lambda: ContinuousBernoulli(jnp.asarray(LOGITS)),
        lambda x: continuous_bernoulli_logpdf(x, LOGITS),
        interval=(0.0, 1.0),
    ),
    "Categorical": DistributionRow(lambda: Categorical(jnp.asarray(LEVELS)), _categorical_logpmf, levels=4),
    "Segments": DistributionRow(
        lambda: Segments(jnp.asarray(LEVELS[:, :3]), jnp.tile(jnp.arange(3), (3, 1)), jnp.tile(WIDTHS, (3, 1))),
        lambda x: _log_shares(x) - np.log(WIDTHS[np.minimum(x, 2)]),
        levels=4,
    ),
    **FAMILY,
}


def dense(widths: list[int], key: jax.Array, **options: str) -> Dense:
    """A dense network in JAX's current precision (`Dense` itself starts in float32)."""
    network = Dense(widths, key=key, **{"activation": "elu", "initializer": "glorot-uniform", **options})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if eqx.is_array(leaf) else leaf, network)


def linear_dense(n_in: int, n_out: int) -> Dense:
    """A network of one layer whose weights are 0."""
    zero = dense([n_in, n_out], jax.random.key(0))
    return eqx.tree_at(lambda n: n.layers[0].weight, zero, jnp.zeros((n_in, n_out)))


def linear(weight: np.ndarray, bias: np.ndarray) -> Linear:
    return Linear(jnp.asarray(weight, float), jnp.asarray(bias, float))


def conjugate_pair(loc: float = 0.5, variance: float = 1.0) -> LatentModel:
    """z ~ N(0, 1), x | z ~ N(z, 1), with q(z) = N(loc, variance) whatever x is."""
    encoder = linear(np.zeros((1, 2)), np.array([loc, 0.5 * np.log(variance)]))
    decoder = Conditional(linear(np.ones((1, 1)), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
    return LatentModel(StandardNormal((1,)), Conditional(encoder, NormalHead((1,))), decoder)


W = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]])
MU, SIGMA, X = np.array([0.1, -0.2, 0.3]), 0.6, np.array([0.5, -1.0, 1.2])


def linear_gaussian(posterior: str = "best") -> LatentModel:
    """x = W z + mu + sigma eps; q is the best diagonal Normal (exact means, inverse precisions) or the prior."""
    precision = W.T @ W / SIGMA**2 + np.eye(2)
    by_row = W @ np.linalg.inv(precision) / SIGMA**2
    if posterior == "prior":
        encoder = linear(np.zeros((3, 4)), np.zeros(4))
    else:
        weight = np.concatenate([by_row, np.zeros((3, 2))], axis=1)
        encoder = linear(weight, np.concatenate([-MU @ by_row, -0.5 * np.log(np.diag(precision))]))
    head = SharedScaleNormalHead((3,), Frozen(jnp.asarray(np.log(SIGMA))))
    return LatentModel(StandardNormal((2,)), Conditional(encoder, NormalHead((2,))), Conditional(linear(W.T, MU), head))


def batch_of(x: np.ndarray, **fields: object) -> Batch:
    """A batch in JAX's current precision whose row ids are 10, 11, 12 ..."""
    x = jnp.asarray(x) if np.issubdtype(x.dtype, np.integer) else jnp.asarray(x, float)
    return Batch(x, jnp.arange(10, 10 + x.shape[0], dtype=jnp.uint32), **fields)


def _binary() -> tuple[AbstractLatentModel, Batch]:
    k = jax.random.split(jax.random.key(1))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(dense([6, 5, 4], k[0]), NormalHead((2,))),
        Conditional(dense([2, 5, 6], k[1]), BernoulliHead((2, 3))),
    )
    return model, batch_of(np.random.default_rng(1).integers(0, 2, (4, 2, 3)).astype(float))


def _grey() -> tuple[AbstractLatentModel, Batch]:
    k = jax.random.split(jax.random.key(2))
    model = LatentModel(
        DiagonalNormal(jnp.asarray([0.2, -0.1]), jnp.asarray([0.1, -0.3])),
        Conditional(dense([6, 5, 4], k[0], activation="tanh"), NormalHead((2,), "log-variance")),
        Conditional(dense([2, 5, 6], k[1], activation="tanh"), ContinuousBernoulliHead((6,))),
    )
    return model, batch_of(np.random.default_rng(2).uniform(size=(4, 6)))


def _levels() -> tuple[AbstractLatentModel, Batch]:
    k = jax.random.split(jax.random.key(3))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(dense([3, 5, 4], k[0]), NormalHead((2,), "softplus")),
        Conditional(dense([2, 5, 12], k[1]), CategoricalHead((3,), 4)),
    )
    return model, batch_of(np.random.default_rng(3).integers(0, 4, (4, 3)))


def _conditional() -> tuple[AbstractLatentModel, Batch]:
    k = jax.random.split(jax.random.key(4))
    rng = np.random.default_rng(4)
    shift, scale = np.array([5.0, -3.0, 0.0]), np.array([2.0, 0.1, 1.0])
    precise = lambda frozen: jax.tree.map(lambda a: jnp.asarray(a, float), frozen)  # noqa: E731
    head = precise(AffineHead(NormalHead((3,), "softplus"), shift, scale))
    standardise = precise(Standardise(shift, scale))
    model = LatentModel(
        StandardNormal((2,)),
        Conditional(dense([5, 5, 4], k[0]), NormalHead((2,)), standardise, reads=("site",)),
        Conditional(dense([5, 5, 6], k[1]), head, reads=("size", "site")),
    )
    cond = {"site": jnp.asarray(rng.normal(size=(4, 2)), float), "size": jnp.asarray(rng.uniform(1, 2, 4), float)}
    return model, batch_of(shift + scale * rng.normal(size=(4, 3)), cond=cond)


MODELS: dict[str, Callable[[], tuple[AbstractLatentModel, Batch]]] = {
    "conjugate pair": lambda: (conjugate_pair(), batch_of(np.array([[1.5], [-0.3], [0.0]]))),
    "linear Gaussian": lambda: (linear_gaussian(), batch_of(np.stack([X, -X, MU]))),
    "binary pixels": _binary,
    "grey pixels": _grey,
    "levels": _levels,
    "conditions and units": _conditional,
}

OBJECTIVES: dict[str, Callable[[], AbstractObjective]] = {
    "ELBO": ELBO,
    "ELBO, sampled KL": lambda: ELBO(kl="sampled"),
    "ELBO, 3 samples": lambda: ELBO(num_samples=3),
    "ELBO, beta 4": lambda: ELBO(beta=4.0),
    "ELBO, beta by schedule": lambda: ELBO(beta=optax.linear_schedule(0.0, 1.0, 10)),
    "ELBO, free bits": lambda: ELBO(free_bits=0.5),
    "ELBO, free bits, sampled KL": lambda: ELBO(kl="sampled", free_bits=0.5),
    "ELBO, L2": lambda: ELBO(l2=0.01),
    "Reconstruction": Reconstruction,
    "Reconstruction, L2": lambda: Reconstruction(l2=0.01),
    **MORE_OBJECTIVES,
}


def autoencoder() -> tuple[LatentModel, Batch]:
    """The binary model with a point mass as its encoder."""
    model, batch = _binary()
    encoder = Conditional(dense([6, 5, 2], jax.random.key(5)), DeterministicHead((2,)))
    return LatentModel(model.prior_part, encoder, model.decoder), batch
