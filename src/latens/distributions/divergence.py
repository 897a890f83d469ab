"""Kullback-Leibler divergences: in closed form, by a sum over all values, or from samples."""

import itertools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.continuous import DiagonalNormal, Laplace, StandardNormal
from latens.distributions.discrete import Bernoulli, Categorical, Ordinal, Poisson
from latens.distributions.mixtures import DiscretisedLogistic, Mixture, VariableMixture
from latens.distributions.special import excess
from latens.distributions.spherical import UniformSphere, VonMisesFisher
from latens.distributions.structured import FullNormal, Product
from latens.distributions.triangular import solve_columns
from latens.errors import ConfigError, UsageError
from latens.runtime.compilation import counted
from latens.typing import Array, Float, Key, Nats

Method = Literal["closed form", "enumeration", "Monte Carlo"]

MOST_EVENTS = 4096
"""How many joint values of a small discrete event are summed over."""


def _normal_standard(q: DiagonalNormal, p: StandardNormal) -> Float[Array, "*z"]:
    log_scale = q.log_scale_array()
    scale = jnp.exp(log_scale)  # the exponential that sampling takes too, so it is computed once
    return 0.5 * (q.loc**2 + scale * scale - 1.0) - log_scale


def _normal_normal(q: DiagonalNormal, p: DiagonalNormal) -> Float[Array, "*z"]:
    q_log_scale = jnp.broadcast_to(q.log_scale, q.loc.shape)
    difference = q_log_scale - jnp.broadcast_to(p.log_scale, p.loc.shape)
    residual = (q.loc - p.loc) * jnp.exp(-p.log_scale)
    return 0.5 * (residual**2 + jnp.exp(2.0 * difference) - 1.0) - difference


Normal: TypeAlias = FullNormal | DiagonalNormal | StandardNormal


def _square_root(q: Normal) -> Float[Array, "n m"]:
    """A matrix whose product with its transpose is the covariance of this Normal."""
    match q:
        case FullNormal():
            return q.scale_tril()
        case DiagonalNormal() | StandardNormal():
            return jnp.diag(jnp.exp(q.log_scale_array()))


def _any_normal(q: Normal, p: Normal) -> Nats:
    # (tr P^-1 Q + d' P^-1 d - n + log|P| - log|Q|) / 2, with everything whitened by the Cholesky factor of P.
    columns = jnp.concatenate([_square_root(q), (q.mean() - p.mean())[:, None]], axis=1)
    if isinstance(p, DiagonalNormal | StandardNormal):
        whitened = columns * jnp.exp(-p.log_scale_array())[:, None]
    else:
        whitened = solve_columns(p.scale_tril(), columns)
    return 0.5 * (jnp.sum(whitened**2) - q.mean().size + _log_det(p) - _log_det(q))


def _log_det(q: Normal) -> Nats:
    return q.log_det() if isinstance(q, FullNormal) else 2.0 * jnp.sum(q.log_scale_array())


def _laplace(q: Laplace, p: Laplace) -> Float[Array, "*z"]:
    distance = jnp.abs(q.loc - p.loc)
    q_scale, p_scale = jnp.exp(q.log_scale), jnp.exp(p.log_scale)
    moved = distance / p_scale + q_scale / p_scale * jnp.exp(-distance / q_scale)
    return moved - 1.0 + p.log_scale - q.log_scale


def _poisson(q: Poisson, p: Poisson) -> Float[Array, "*z"]:
    return jnp.exp(q.log_rate) * excess(p.log_rate - q.log_rate)


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Float[Array, "*z"]:
    # p log(p/r) + (1-p) log((1-p)/(1-r)) written with logits: q.mean * (l - m) - softplus(l) + softplus(m)
    return q.mean() * (q.logits - p.logits) - jax.nn.softplus(q.logits) + jax.nn.softplus(p.logits)


def _categorical(q: Categorical, p: Categorical) -> Float[Array, "*z"]:
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=-1)


def _to_uniform_sphere(q: VonMisesFisher | UniformSphere, p: UniformSphere) -> Nats:
    return -q.entropy() - p.log_prob(q.mean())


_CLOSED_FORMS: dict[tuple[type, type], Callable[..., Array]] = {
    (DiagonalNormal, StandardNormal): _normal_standard,
    (DiagonalNormal, DiagonalNormal): _normal_normal,
    (StandardNormal, StandardNormal): lambda q, p: jnp.zeros(q.shape),
    **{
        (q, p): _any_normal
        for q, p in itertools.product((StandardNormal, DiagonalNormal, FullNormal), repeat=2)
        if p is not StandardNormal or q is FullNormal
        if (q, p) != (DiagonalNormal, DiagonalNormal)
    },
    (Laplace, Laplace): _laplace,
    (Poisson, Poisson): _poisson,
    (Bernoulli, Bernoulli): _bernoulli,
    (Categorical, Categorical): _categorical,
    **{(q, UniformSphere): _to_uniform_sphere for q in (VonMisesFisher, UniformSphere)},
}
"""Every pair with a closed form. A pair of one's own is one more entry: a function of (q, p), by variable or not."""

_LEVELS: dict[type, Callable[[Any], int | None]] = {
    Bernoulli: lambda q: 2,
    Categorical: lambda q: q.logits.shape[-1],
    Ordinal: lambda q: q.levels,
    DiscretisedLogistic: lambda q: q.levels,
    VariableMixture: lambda q: _levels(q.components),
    Mixture: lambda q: _levels(q.components),
}
"""How many values each variable has, for the families whose variables take the values 0, 1, ..."""


def _levels(q: AbstractDistribution) -> int | None:
    return _LEVELS.get(type(q), lambda q: None)(q)


def _event_shape(q: AbstractDistribution) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: q.sample(key=jax.random.key(0)))


def kl_method(q: AbstractDistribution, p: AbstractDistribution) -> Method:
    """How `kl(q, p)` is found.

    Args:
        q: The distribution over which the divergence takes its expectation.
        p: The distribution that it is compared with.

    Returns:
        "closed form", "enumeration" of all values (both exact), or "Monte Carlo".
    """
    if (type(q), type(p)) in _CLOSED_FORMS:
        return "closed form"
    if isinstance(q, Product) and isinstance(p, Product) and set(q.parts) == set(p.parts):
        methods = {kl_method(q.parts[name], p.parts[name]) for name in q.parts}
        return next(kind for kind in ("Monte Carlo", "enumeration", "closed form") if kind in methods)
    levels = _levels(q)
    if levels is None or levels != _levels(p):
        return "Monte Carlo"
    by_variable = isinstance(q, AbstractFactorised) and isinstance(p, AbstractFactorised)
    size = int(np.prod(q.shape, dtype=np.int64))
    return "enumeration" if by_variable or levels**size <= MOST_EVENTS else "Monte Carlo"


def has_closed_form(q: AbstractDistribution, p: AbstractDistribution) -> bool:
    """Whether `kl_terms(q, p)` exists: in closed form, or as a sum over all values.

    Args:
        q: The distribution over which the divergence takes its expectation.
        p: The distribution that it is compared with.

    Returns:
        True where the divergence is exact.
    """
    return kl_method(q, p) != "Monte Carlo"


def kl_terms(q: AbstractDistribution, p: AbstractDistribution) -> Float[Array, "*z"]:
    r"""The KL divergence of each variable, exactly.

    $\mathrm{KL}(q_i \| p_i)$.

    Args:
        q: The distribution over which the divergence takes its expectation.
        p: The distribution that it is compared with, over the same events.

    Returns:
        In nats: an array with an entry for each variable where both factorise, for each column (by sorted name) for a
        `Product`, else one number of shape ().

    Raises:
        ConfigError: The divergence can only be sampled; use `ELBO(kl="sampled")` there.
    """
    method = kl_method(q, p)
    if method == "Monte Carlo":
        raise ConfigError(
            f"KL({type(q).__name__} || {type(p).__name__}) has no closed form here.",
            where="objective.kl",
            fix="Use --set objective.kl=sampled; in Python ELBO(kl='sampled'), or give kl a key.",
        )
    if isinstance(q, Product) and isinstance(p, Product):
        return jnp.stack([kl(q.parts[name], p.parts[name]) for name in sorted(q.parts)])
    if method == "closed form":
        return _CLOSED_FORMS[type(q), type(p)](q, p)
    return _by_enumeration(q, p)


def _by_enumeration(q: AbstractDistribution, p: AbstractDistribution) -> Float[Array, "*z"]:
    shape, levels = q.shape, _levels(q) or 0
    if isinstance(q, AbstractFactorised) and isinstance(p, AbstractFactorised):
        events = np.broadcast_to(np.arange(levels).reshape(-1, *(1,) * len(shape)), (levels, *shape))
        log_q, log_p = (jax.vmap(d.log_prob_terms)(jnp.asarray(events, _event_shape(d).dtype)) for d in (q, p))
    else:
        events = np.indices((levels,) * int(np.prod(shape))).reshape(-1, levels ** int(np.prod(shape)))
        events = events.T.reshape(-1, *shape)
        log_q, log_p = (jax.vmap(d.log_prob)(jnp.asarray(events, _event_shape(d).dtype)) for d in (q, p))
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=0)


class KLEstimate(eqx.Module):
    """A divergence, its standard error, and how it was found.

    Args:
        value: The divergence in nats, of shape ().
        standard_error: Its standard error in nats, of shape (); 0 where it is exact.
        method: "closed form", "enumeration" or "Monte Carlo".
    """

    value: Nats
    standard_error: Nats
    method: Method = eqx.field(static=True)


@counted(num_samples=1)
def estimate_kl(
    q: AbstractDistribution, p: AbstractDistribution, *, key: Key | None = None, num_samples: int = 1000
) -> KLEstimate:
    r"""Estimate a KL divergence by the best method there is, which the result names.

    $\mathrm{KL}(q \| p)$; by Monte Carlo $\frac1n\sum\log q(x) - \log p(x)$ with $x \sim q$.

    Args:
        q: The distribution over which the divergence takes its expectation.
        p: The distribution that it is compared with, over the same events.
        key: A JAX random key, used for Monte Carlo only.
        num_samples: The number $n \ge 2$ of samples, used for Monte Carlo only.

    Returns:
        The divergence and its standard error in nats, and the method.

    Raises:
        ConfigError: Monte Carlo needs a key that was not given.
        ValueError: There are fewer than two samples.

    Examples:
        >>> estimate_kl(Poisson(jnp.zeros(1)), Poisson(jnp.zeros(1))).method
        'closed form'
    """
    if q.shape != p.shape:
        what = f"events of shapes {q.shape} and {p.shape} have no divergence."
        raise UsageError(what, where="kl", fix="Give two distributions over the same events.")
    method = kl_method(q, p)
    if method != "Monte Carlo" or key is None:
        value = jnp.sum(kl_terms(q, p))
        return KLEstimate(value, jnp.zeros_like(value), method)
    if num_samples < 2:
        raise ValueError(f"a standard error needs at least 2 samples, not {num_samples}")

    def one(key: Key) -> Nats:
        event, log_q = q.sample_and_log_prob(key=key)
        return log_q - p.log_prob(event)

    ratios = jax.vmap(one)(jax.random.split(key, num_samples))
    return KLEstimate(jnp.mean(ratios), jnp.std(ratios, ddof=1) / num_samples**0.5, method)


def kl(q: AbstractDistribution, p: AbstractDistribution, *, key: Key | None = None, num_samples: int = 1000) -> Nats:
    r"""The KL divergence: exact where it can be, else from samples with a `key`.

    $\mathrm{KL}(q \| p) = E_q[\log q - \log p]$. `kl_method` says which it is, `estimate_kl` also gives the standard
    error.

    Args:
        q: The distribution over which the divergence takes its expectation.
        p: The distribution that it is compared with, over the same events.
        key: A JAX random key, used for Monte Carlo only.
        num_samples: The number of samples, at least 2, used for Monte Carlo only.

    Returns:
        A number of shape (), in nats.

    Raises:
        ConfigError: Monte Carlo needs a key that was not given.
        ValueError: Monte Carlo is needed, and there are fewer than two samples.

    Examples:
        >>> q = DiagonalNormal(jnp.array([1.0, -0.5]), jnp.log(jnp.array([0.5, 2.0])))
        >>> round(float(kl(q, StandardNormal((2,)))), 6)
        1.75
    """
    return estimate_kl(q, p, key=key, num_samples=num_samples).value
