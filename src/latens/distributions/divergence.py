"""Kullback-Leibler divergences in closed form, by variable."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.continuous import DiagonalNormal, StandardNormal
from latens.distributions.discrete import Bernoulli, Categorical
from latens.shapes import Array, Float, Nats


def _normal_standard(q: DiagonalNormal, p: StandardNormal) -> Float[Array, "*z"]:
    log_scale = q.log_scale_array()
    scale = jnp.exp(log_scale)  # the exponential that sampling takes too, so it is computed once
    return 0.5 * (q.loc**2 + scale * scale - 1.0) - log_scale


def _normal_normal(q: DiagonalNormal, p: DiagonalNormal) -> Float[Array, "*z"]:
    difference = q.log_scale_array() - p.log_scale_array()
    residual = (q.loc - p.loc) * jnp.exp(-p.log_scale)
    return 0.5 * (residual**2 + jnp.exp(2.0 * difference) - 1.0) - difference


def _standard_standard(q: StandardNormal, p: StandardNormal) -> Float[Array, "*z"]:
    return jnp.zeros(q.shape)


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Float[Array, "*z"]:
    # p log(p/r) + (1-p) log((1-p)/(1-r)) written with logits: q.mean * (l - m) - softplus(l) + softplus(m)
    return q.mean() * (q.logits - p.logits) - jax.nn.softplus(q.logits) + jax.nn.softplus(p.logits)


def _categorical(q: Categorical, p: Categorical) -> Float[Array, "*z"]:
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=-1)


_CLOSED_FORMS: dict[tuple[type, type], Callable[..., Array]] = {
    (DiagonalNormal, StandardNormal): _normal_standard,
    (DiagonalNormal, DiagonalNormal): _normal_normal,
    (StandardNormal, StandardNormal): _standard_standard,
    (Bernoulli, Bernoulli): _bernoulli,
    (Categorical, Categorical): _categorical,
}


def has_closed_form(q: AbstractDistribution, p: AbstractDistribution) -> bool:
    """Whether `kl_terms(q, p)` exists."""
    return (type(q), type(p)) in _CLOSED_FORMS


def kl_terms(q: AbstractDistribution, p: AbstractDistribution) -> Float[Array, "*z"]:
    r"""$\mathrm{KL}(q_i \| p_i)$ of each variable, in nats, in closed form.

    **Raises:** TypeError where no closed form is known; use `ELBO(kl="sampled")` there.
    """
    try:
        closed_form = _CLOSED_FORMS[type(q), type(p)]
    except KeyError:
        pair = f"KL({type(q).__name__} || {type(p).__name__})"
        raise TypeError(f'{pair} has no closed form here; use ELBO(kl="sampled")') from None
    return closed_form(q, p)


def kl(q: AbstractDistribution, p: AbstractDistribution) -> Nats:
    r"""$\mathrm{KL}(q \| p) = E_q[\log q - \log p]$ in nats, in closed form.

    >>> q = DiagonalNormal(jnp.array([1.0, -0.5]), jnp.log(jnp.array([0.5, 2.0])))
    >>> round(float(kl(q, StandardNormal((2,)))), 6)
    1.75
    """
    return jnp.sum(kl_terms(q, p))
