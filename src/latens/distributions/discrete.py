"""Distributions of pixels and classes: Bernoulli, its continuous relative, Categorical."""

import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractFactorised, sum_softplus
from latens.shapes import Array, Float, Int, Key, Nats


class Bernoulli(AbstractFactorised):
    r"""Independent coins, $\sum_i x_i l_i - \log(1 + e^{l_i})$ with logits $l$.

    Values between 0 and 1 are accepted: the number is then the cross-entropy
    $\sum_i x_i \log p_i + (1 - x_i)\log(1 - p_i)$, which is *not* a log density of grey pixels (it does not integrate
    to 1); reports say so.

    >>> round(float(Bernoulli(jnp.zeros(784)).log_prob(jnp.ones(784))), 2)  # -784 log 2
    -543.43
    """

    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)).astype(self.logits.dtype)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        return event * self.logits - jax.nn.softplus(self.logits)

    def log_prob(self, event: Float[Array, "*x"]) -> Nats:
        return jnp.sum(event * self.logits) - sum_softplus(self.logits)

    def mean(self) -> Float[Array, "*x"]:
        return jax.nn.sigmoid(self.logits)


class ContinuousBernoulli(AbstractFactorised):
    r"""A density on [0, 1]: $p(x) = C(\lambda)\,\lambda^x (1-\lambda)^{1-x}$ with $\lambda = \sigma(l)$.

    In terms of the logit, $\log p(x) = l x - \log\frac{e^{l} - 1}{l}$: an exponential distribution cut to [0, 1].
    Loaiza-Ganem & Cunningham (2019), "The continuous Bernoulli: fixing a pervasive error in VAEs", equations 1 and 8.
    """

    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        # The inverse of F(x) = (e^{l x} - 1) / (e^l - 1), written for -|l| so that nothing overflows.
        u = jax.random.uniform(key, self.logits.shape, self.logits.dtype)
        size = jnp.maximum(jnp.abs(self.logits), 1e-3)
        small = -jnp.log1p(u * jnp.expm1(-size)) / size
        near_uniform = u + 0.5 * self.logits * u * (1.0 - u)
        event = jnp.where(self.logits > 0, 1.0 - small, small)
        return jnp.clip(jnp.where(jnp.abs(self.logits) < 1e-3, near_uniform, event), 0.0, 1.0)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        return event * self.logits - _log_integral(self.logits)

    def mean(self) -> Float[Array, "*x"]:
        logits = self.logits
        near = jnp.abs(logits) < 0.1
        # Written for -|l|, so that neither the mean nor its gradient overflows.
        size = jnp.where(near, 1.0, jnp.abs(logits))
        lower = 1.0 / size + jnp.exp(-size) / jnp.expm1(-size)
        series = 0.5 + logits / 12.0 - logits**3 / 720.0
        return jnp.where(near, series, jnp.where(logits < 0, lower, 1.0 - lower))


def _log_integral(logits: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""$\log\int_0^1 e^{l x} dx = \max(l, 0) + \log\frac{1 - e^{-|l|}}{|l|}$, by its Taylor series near 0."""
    near = jnp.abs(logits) < 0.1
    size = jnp.where(near, 1.0, jnp.abs(logits))
    far = jax.nn.relu(logits) + jnp.log(-jnp.expm1(-size) / size)
    square = logits**2
    series = logits / 2.0 + square / 24.0 - square**2 / 2880.0
    return jnp.where(near, series, far)


class Categorical(AbstractFactorised):
    r"""Independent variables with values $0 \dots L-1$; an event holds integers, never one-hot vectors.

    **Arguments:** `logits` of shape (*x, L), any real numbers: $\log p(x_i) = l_{i,x_i} - \log\sum_j e^{l_{ij}}$.
    `mean` is the expected level, which is meaningful where the levels are ordered.
    """

    logits: Float[Array, "*x L"]

    def sample(self, *, key: Key) -> Int[Array, "*x"]:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob_terms(self, event: Int[Array, "*x"]) -> Float[Array, "*x"]:
        # A comparison and a sum: a gather here would differentiate to a scatter, which is slow on CPU.
        levels = jax.lax.broadcasted_iota(event.dtype, self.logits.shape, self.logits.ndim - 1)
        chosen = jnp.sum(jnp.where(event[..., None] == levels, self.logits, 0.0), axis=-1)
        return chosen - jax.nn.logsumexp(self.logits, axis=-1)

    def probabilities(self) -> Float[Array, "*x L"]:
        return jax.nn.softmax(self.logits, axis=-1)

    def mean(self) -> Float[Array, "*x"]:
        return self.probabilities() @ np.arange(self.logits.shape[-1], dtype=np.float32)
