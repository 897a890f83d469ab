"""Where single precision is hardest for a density: a table of parameters, events and double-precision oracles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

import latens.distributions as ld

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
BLOCKS = ld.Blocks(("b", "a"), ((0,), (1,)))


@dataclass(frozen=True)
class Edge:
    """A family at its edges.

    **Arguments:** `make(parameters)` the distribution of one row of parameters, of shape (k,); `parameters` and
    `events` the values of each entry, all of which are combined (or, in `points`, whole rows that belong together);
    `oracle(x, parameters)` its log density in double precision, for events of shape (n, m) and parameters (n, k);
    `discrete`: the events are whole numbers; `kind` the type of an event; `mass` how many levels sum to 1 (0: none).
    """

    make: Callable[[jax.Array], ld.AbstractDistribution]
    parameters: Sequence[Sequence[float]]
    events: Sequence[Sequence[float]]
    oracle: Callable[[np.ndarray, np.ndarray], np.ndarray]
    discrete: bool = False
    kind: type = np.float32
    mass: int = 0
    event: Callable[[jax.Array], object] = lambda x: x
    atol: float = 2e-6

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (n, k) and events (n, m) in single precision: every combination."""
        every = np.meshgrid(*self.parameters, *self.events, indexing="ij") if self.parameters else np.meshgrid(
            *self.events, indexing="ij"
        )  # fmt: skip
        table = np.stack([a.ravel() for a in every], axis=1).astype(np.float32)
        return table[:, : len(self.parameters)], table[:, len(self.parameters) :]


def log1mexp(t: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.where(t < 0.7, np.log(-np.expm1(-t)), np.log1p(-np.exp(-t)))


def _normal(x: np.ndarray, loc: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
    return -0.5 * ((x - loc) * np.exp(-log_scale)) ** 2 - HALF_LOG_2PI - log_scale


def _poisson(x: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
    possible = (x >= 0) & (x == np.floor(x))
    return np.where(possible, x * log_rate - np.exp(log_rate) - special.gammaln(np.where(possible, x, 0) + 1), -np.inf)


def _negative_binomial(x: np.ndarray, log_mean: np.ndarray, log_theta: np.ndarray) -> np.ndarray:
    possible = (x >= 0) & (x == np.floor(x))
    x = np.where(possible, x, 0.0)
    some = np.where(x > 0, x, 1.0)
    choose = np.where(x > 0, -special.betaln(np.exp(log_theta), some) - np.log(some), 0.0)
    u = log_mean - log_theta
    value = choose - np.exp(log_theta) * np.logaddexp(0, u) - x * np.logaddexp(0, -u)
    return np.where(possible, value, -np.inf)


def _zero_inflated(inner: Callable[..., np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def oracle(x: np.ndarray, p: np.ndarray) -> np.ndarray:
        x, logit = x[:, 0], p[:, 0]
        kept = inner(x, *p[:, 1:].T) - np.logaddexp(0, logit)
        return np.where(x == 0, np.logaddexp(-np.logaddexp(0, -logit), kept), kept)

    return oracle


def _student(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    loc, log_scale, log_df = p.T
    half = 0.5 * np.exp(log_df)
    with np.errstate(all="ignore"):
        ratio = np.where(
            half < 1e7, special.gammaln(half + 0.5) - special.gammaln(half), 0.5 * np.log(half) - 0.125 / half
        )
    distance = np.abs(x[:, 0] - loc)
    root = log_scale + 0.5 * log_df
    return ratio - 0.5 * (log_df + np.log(np.pi)) - log_scale - (half + 0.5) * np.log1p((distance * np.exp(-root)) ** 2)


def _continuous_bernoulli(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, logit = x[:, 0], p[:, 0]
    size = np.where(logit == 0, 1.0, np.abs(logit))
    integral = np.where(logit == 0, 0.0, np.maximum(logit, 0) + log1mexp(size) - np.log(size))
    return np.where((x >= 0) & (x <= 1), x * logit - integral, -np.inf)


def _categorical(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    levels = x[:, 0].astype(int)
    inside = (levels >= 0) & (levels < p.shape[1])
    chosen = np.take_along_axis(special.log_softmax(p, axis=1), np.where(inside, levels, 0)[:, None], axis=1)[:, 0]
    return np.where(inside, chosen, -np.inf)


def _segments(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    inside = (x >= 0) & (x < 5)
    return np.where(inside[:, 0], _categorical(np.minimum(x, 2), p) - np.log(3.0) * (x[:, 0] >= 2), -np.inf)


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The logarithm of sigmoid(high) - sigmoid(low); the edges may be infinite."""
    with np.errstate(all="ignore"):
        return -np.logaddexp(0, -high) - np.logaddexp(0, low) + log1mexp(high - low)


def _ordinal(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    level, loc, first, gap = x[:, 0], *p.T
    cuts = np.stack([np.full_like(loc, -np.inf), first - loc, first + np.exp(gap) - loc, np.full_like(loc, np.inf)], 1)
    inside = (level >= 0) & (level <= 2)
    safe = np.where(inside, level, 0).astype(int)[:, None]
    low, high = (np.take_along_axis(cuts, safe + side, axis=1)[:, 0] for side in (0, 1))
    middle = -np.logaddexp(0, -high) - np.logaddexp(0, low) + log1mexp(np.exp(gap))
    return np.where(inside, np.where(safe[:, 0] == 1, middle, _between(low, high)), -np.inf)


def _discretised(x: np.ndarray, loc: np.ndarray, log_scale: np.ndarray, levels: int) -> np.ndarray:
    last = levels - 1
    low, high = (((2 * x + side - last) / last - loc) * np.exp(-log_scale) for side in (-1, 1))
    middle = -np.logaddexp(0, -high) - np.logaddexp(0, low) + log1mexp(2 / last * np.exp(-log_scale))
    value = np.where(x == 0, -np.logaddexp(0, -high), np.where(x == last, -np.logaddexp(0, low), middle))
    return np.where((x >= 0) & (x <= last) & (x == np.floor(x)), value, -np.inf)


def _relaxed_one_hot(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    logits, log_t = p[:, :3], p[:, 3:]
    log_x = np.log(x)
    scores = special.log_softmax(logits - np.exp(log_t) * log_x, axis=1)
    return np.log(2.0) + 2 * log_t[:, 0] + np.sum(scores - log_x, axis=1)


def _pair_of_logistics(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    parts = np.stack([_discretised(x[:, 0], p[:, 1 + i], p[:, 3 + i], 17) for i in (0, 1)], axis=1)
    weights = special.log_softmax(np.stack([p[:, 0], np.zeros(len(p))], axis=1), axis=1)
    with np.errstate(all="ignore"):
        return special.logsumexp(weights + parts, axis=1)


def _pair_of_normals(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    parts = np.stack([_normal(x[:, 0], p[:, 1 + i], p[:, 3 + i]) for i in (0, 1)], axis=1)
    weights = special.log_softmax(np.stack([p[:, 0], np.zeros(len(p))], axis=1), axis=1)
    return special.logsumexp(weights + parts, axis=1)


def _full(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """A factor [[e^a, 0], [b, e^c]]."""
    first = x[:, 0] * np.exp(-p[:, 0])
    second = (x[:, 1] - p[:, 1] * first) * np.exp(-p[:, 2])
    return -0.5 * (first**2 + second**2) - 2 * HALF_LOG_2PI - p[:, 0] - p[:, 2]


def _correlated(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Scales e^a and 1, and noise that [[1, 0], [b, 1]] makes independent."""
    first = x[:, 0] * np.exp(-p[:, 0])
    second = p[:, 1] * first + x[:, 1]
    return -0.5 * (first**2 + second**2) - 2 * HALF_LOG_2PI - p[:, 0]


def _around_the_circle(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Von Mises-Fisher in three dimensions, around (0, 0, 1)."""
    kappa = np.exp(p[:, 0])
    gap = 0.5 * np.sum((x - np.array([0.0, 0.0, 1.0])) ** 2, axis=1)
    return p[:, 0] - np.log(2 * np.pi) - log1mexp(2 * kappa) - kappa * gap


def _plain(f: Callable[..., np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, p: f(x[:, 0], *p.T)


def _scaled(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, p: f((x[:, 0] - p[:, 0]) * np.exp(-p[:, 1])) - p[:, 1]


_laplace = _scaled(lambda r: -np.abs(r) - np.log(2))


LOGS = (-60.0, -20.0, -7.0, -0.5, 0.0, 3.0, 10.0, 16.0, 30.0, 60.0)
SCALES, LOCS = (-60.0, -14.0, -1.0, 0.0, 5.0, 60.0), (-1e6, -1.5, 0.0, 3e4)
REALS = (-1e15, -2e10, -30.0, 0.25, 0.7, 1e5, 1e12)
COUNTS = (-1.0, 0.0, 0.5, 1.0, 2.0, 9.0, 1000.0, 22026.0, 1e6, 2.0**24)


UNIT = (-0.5, 0.0, 1e-30, 1e-3, 0.5, 0.999, 1.0 - 2.0**-24, 1.0, 1.5)
LOGITS = (-1e4, -90.0, -3.0, -0.0999, 0.0, 1e-3, 0.11, 17.0, 1e4)


EDGES: dict[str, Edge] = {
    "StandardNormal": Edge(
        lambda p: ld.StandardNormal((1,)), (), (REALS,), lambda x, p: _normal(x[:, 0], np.zeros(1), np.zeros(1))
    ),
    "DiagonalNormal": Edge(lambda p: ld.DiagonalNormal(p[:1], p[1:]), (LOCS, SCALES), (REALS,), _plain(_normal)),
    "Affine": Edge(
        lambda p: ld.Affine(ld.DiagonalNormal(p[:1], p[1:2]), jnp.full(1, 3.0), jnp.full(1, 1e-3)),
        (LOCS, SCALES),
        (REALS,),
        lambda x, p: _normal((x[:, 0] - 3.0) / np.float64(np.float32(1e-3)), *p.T) - np.log(1e-3),
    ),
    "Laplace": Edge(lambda p: ld.Laplace(p[:1], p[1:]), (LOCS, SCALES), (REALS,), _laplace),
    "StudentT": Edge(
        lambda p: ld.StudentT(p[:1], p[1:2], p[2:]),
        (LOCS, SCALES, (-7.0, 0.0, 0.7, 4.0, 16.0)),
        ((*REALS, 1e30, -2e19),),
        _student,
    ),
    "ContinuousBernoulli": Edge(lambda p: ld.ContinuousBernoulli(p), (LOGITS,), (UNIT,), _continuous_bernoulli),
    "Bernoulli": Edge(
        lambda p: ld.Bernoulli(p), (LOGITS,), ((0.0, 0.3, 1.0),), lambda x, p: (x * p - np.logaddexp(0, p))[:, 0]
    ),
    "Categorical": Edge(
        lambda p: ld.Categorical(p[None]),
        ((-1e4, 0.0, 20.0), (-1e4, -1.0, 1e4), (0.0, 3.9)),
        ((-1, 0, 1, 2, 3, 2**30),),
        _categorical,
        discrete=True,
        kind=np.int32,
        mass=3,
    ),
    "Segments": Edge(
        lambda p: ld.Segments(p[None], jnp.array([[0, 1, 2]]), jnp.array([[1, 1, 3]])),
        ((-1e4, 0.0, 20.0), (-1e4, -1.0, 1e4), (0.0, 3.9)),
        ((-1, 0, 1, 2, 3, 4, 5, 2**30),),
        _segments,
        discrete=True,
        mass=5,
    ),
    "Ordinal": Edge(
        lambda p: ld.Ordinal(p[:1], p[1:]),
        ((-1e4, -3.0, 0.0, 50.0, 1e4), (-100.0, 0.0, 60.0), (-60.0, -7.0, 0.0, 3.0, 9.0)),
        ((-1, 0, 1, 2, 3),),
        _ordinal,
        discrete=True,
        kind=np.int32,
        mass=3,
    ),
    "Poisson": Edge(lambda p: ld.Poisson(p), (LOGS,), (COUNTS,), _plain(_poisson), discrete=True),
    "NegativeBinomial": Edge(
        lambda p: ld.NegativeBinomial(p[:1], p[1:]), (LOGS, LOGS), (COUNTS,), _plain(_negative_binomial), discrete=True
    ),
    "ZeroInflated of a Poisson": Edge(
        lambda p: ld.ZeroInflated(ld.Poisson(p[1:]), p[:1]),
        (LOGITS, LOGS),
        (COUNTS,),
        _zero_inflated(_poisson),
        discrete=True,
    ),
    "ZeroInflated of a NegativeBinomial": Edge(
        lambda p: ld.ZeroInflated(ld.NegativeBinomial(p[1:2], p[2:]), p[:1]),
        ((-90.0, 0.0, 30.0), (-60.0, -7.0, 0.0, 10.0, 30.0), (-20.0, -7.0, 0.0, 9.0, 30.0)),
        (COUNTS,),
        _zero_inflated(_negative_binomial),
        discrete=True,
    ),
    "DiscretisedLogistic": Edge(
        lambda p: ld.DiscretisedLogistic(p[:1], p[1:]),
        ((-1e4, -1.0, -0.3, 0.0, 1e-3, 0.99, 7.0), (-30.0, -7.0, -2.0, 0.0, 9.0)),
        ((-1, 0, 1, 89, 127, 128, 254, 255, 256),),
        lambda x, p: _discretised(x[:, 0], *p.T, 256),
        discrete=True,
        kind=np.int32,
        mass=256,
    ),
    "VariableMixture": Edge(
        lambda p: ld.VariableMixture(jnp.stack([p[0], jnp.zeros(())])[None],
                                  ld.DiscretisedLogistic(p[None, 1:3], p[None, 3:], 17)),
        ((-50.0, 0.0, 1e4), (-1.0, 0.3), (0.0, 9.0), (-30.0, 0.0), (-3.0, 5.0)),
        ((-1, 0, 8, 11, 16, 17),),
        _pair_of_logistics,
        discrete=True,
        kind=np.int32,
        mass=17,
    ),
    "Mixture": Edge(
        lambda p: ld.Mixture(jnp.stack([p[0], jnp.zeros(())]), ld.DiagonalNormal(p[1:3, None], p[3:, None])),
        ((-50.0, 0.0, 1e4), (-1e3, 0.3), (0.0, 1e5), (-5.0, 0.0), (-3.0, 20.0)),
        ((-1e5, 0.0, 0.3, 1e3),),
        _pair_of_normals,
    ),
    "RelaxedOneHot": Edge(
        lambda p: ld.RelaxedOneHot(p[:3], p[3]),
        ((-1e4, 0.0, 30.0), (-20.0, 1e4), (0.0,), (-7.0, 0.0, 3.0)),
        ((0.6, 1e-30), (0.3,), (0.1,)),
        _relaxed_one_hot,
    ),
    "FullNormal": Edge(
        lambda p: ld.FullNormal(jnp.zeros(2), jnp.stack([jnp.stack([p[0], p[0] * 0]), p[1:]])),
        ((-10.0, 0.0, 20.0), (-30.0, 0.0, 1.0), (-10.0, 0.0, 20.0)),
        ((-1e3, 0.0, 1.0), (0.5, 1e3)),
        _full,
    ),
    "CorrelatedNormal": Edge(
        lambda p: ld.CorrelatedNormal(
            jnp.zeros(2), jnp.stack([p[0], p[0] * 0]), jnp.eye(2).at[1, 0].set(p[1])
        ),
        ((-10.0, 0.0, 20.0), (-30.0, 0.0, 1.0)),
        ((-1e3, 0.0, 1.0), (0.5, 1e3)),
        _correlated,
    ),
    "UniformSphere": Edge(
        lambda p: ld.UniformSphere(3), (), ((0.6,), (0.0,), (0.8,)), lambda x, p: np.full(len(x), -np.log(4 * np.pi))
    ),
    "VonMisesFisher": Edge(
        lambda p: ld.VonMisesFisher(jnp.array([0.0, 0.0, 1.0]), p[0]),
        ((-30.0, -7.0, 0.0, 3.0, 6.5, 9.0, 20.0),),
        ((0.6, 0.0), (0.0,), (0.8, 1.0, -1.0)),
        _around_the_circle,
    ),
    "Joined": Edge(
        lambda p: ld.Joined({"a": ld.Poisson(p[:1]), "b": ld.Laplace(p[1:2], p[2:])}, BLOCKS),
        ((-7.0, 10.0), (-20.0, 9.0), (-7.0, 16.0)),
        ((1e-6, 2.0), (1.0, 1e6)),
        lambda x, p: _poisson(x[:, 1], p[:, 0]) + _laplace(x[:, :1], p[:, 1:]),
        discrete=True,
    ),
    "Product": Edge(
        lambda p: ld.Product({"a": ld.Poisson(p[:1]), "b": ld.Laplace(p[1:2], p[2:])}),
        ((-7.0, 10.0), (-20.0, 9.0), (-7.0, 16.0)),
        ((1e-6, 2.0), (1.0, 1e6)),
        lambda x, p: _poisson(x[:, 1], p[:, 0]) + _laplace(x[:, :1], p[:, 1:]),
        discrete=True,
        event=lambda x: {"a": x[1:], "b": x[:1]},
    ),
}  # fmt: skip
