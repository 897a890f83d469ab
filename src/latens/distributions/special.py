"""Special functions whose large terms are cancelled by hand, so that single precision keeps its digits."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from latens.typing import Array, Float

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_2 = math.log(2.0)
_EXCESS = [1.0 / math.factorial(k) for k in range(12, 1, -1)]


def excess(t: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""What an exponential family loses for a given log ratio, by its series near 0."""
    # $e^t - 1 - t \ge 0$.
    near = jnp.abs(t) < 0.25
    small, large = jnp.where(near, t, 0.0), jnp.where(near, 1.0, t)
    series = small**2 * jnp.polyval(jnp.asarray(_EXCESS, t.dtype), small)
    return jnp.where(near, series, jnp.expm1(large) - large)


def weighted_excess(weight: Float[Array, "*x"], t: Float[Array, "*x"], grown: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""The loss `excess` times a weight, where the exponential alone may overflow."""
    # $c\,(e^t - 1 - t)$ for a weight $c$.
    far = t > 1.0
    return jnp.where(far, grown - weight * (1.0 + t), weight * excess(jnp.where(far, 0.0, t)))


def log_one_minus_exp(t: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""The logarithm of one minus an exponential, exact for small and for large arguments."""
    # $\log(1 - e^{-t})$.
    near = t < LOG_2
    small, large = jnp.where(near, t, 1.0), jnp.where(near, 1.0, t)
    return jnp.where(near, jnp.log(-jnp.expm1(-small)), jnp.log1p(-jnp.exp(-large)))


def log_sum_of_parts(terms: Float[Array, "*x k"]) -> Float[Array, "*x"]:
    """The logarithm of the sum of probabilities over the last axis; an impossible event passes no gradient."""
    possible = jnp.max(terms, axis=-1, keepdims=True) > -jnp.inf
    total = jax.nn.logsumexp(jnp.where(possible, terms, 0.0), axis=-1)
    return jnp.where(possible[..., 0], total, -jnp.inf)


def above_zero(event: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """Raise numbers to at least the smallest normal number of their precision, whose logarithm is finite."""
    return jnp.maximum(event, float(jnp.finfo(event.dtype).tiny))


def inside_unit(event: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """Move numbers strictly between 0 and 1 in their precision."""
    kind = jnp.finfo(event.dtype)
    return jnp.clip(event, float(kind.tiny), 1.0 - float(kind.epsneg))


def stirling_error(z: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""The error of Stirling's formula for the log gamma function."""
    # $\delta(z) = \log\Gamma(z) - [(z - \frac12)\log z - z + \frac12\log 2\pi]$, near $1/(12 z)$. Densities written
    # with $\delta$ hold no difference of large log gammas.
    # Source: Loader (2000), "Fast and accurate computation of binomial probabilities", which does the same for counts.
    is_small = z < 8.0
    small, large = jnp.where(is_small, z, 8.0), jnp.where(is_small, 8.0, z)
    exact = gammaln(small) - (small - 0.5) * jnp.log(small) + small - HALF_LOG_2PI
    u = 1.0 / large**2
    series = 1 / 12 + u * (-1 / 360 + u * (1 / 1260 + u * (-1 / 1680 + u * (1 / 1188 - u * (691 / 360360)))))
    return jnp.where(is_small, exact, series / large)


def log_gamma_ratio(a: Float[Array, "*x"], step: Float[Array, "*x"] | float) -> Float[Array, "*x"]:
    r"""The logarithm of a ratio of gamma functions, exact also where their argument is large."""
    # $\log\Gamma(a + s) - \log\Gamma(a)$.
    total = a + step
    change = (a - 0.5) * jnp.log1p(step / a) + step * jnp.log(total) - step
    return change + stirling_error(total) - stirling_error(a)


def log_count_remainder(count: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""What the log factorial has beside its largest terms."""
    # $\log x! - x\log x + x = \frac12\log 2\pi x + \delta(x)$ for $x > 0$ (see `stirling_error`), and its limit 0 at $x
    # = 0$.
    safe = jnp.where(count > 0, count, 1.0)
    return jnp.where(count > 0, HALF_LOG_2PI + 0.5 * jnp.log(safe) + stirling_error(safe), 0.0)


def log_sigmoid_difference(
    low: Float[Array, "*x"], high: Float[Array, "*x"], width: Float[Array, "*x"]
) -> Float[Array, "*x"]:
    r"""The log probability of a bin under a standard logistic distribution."""
    # $\log[\sigma(b) - \sigma(a)] = -\log(1 + e^{-b}) - \log(1 + e^{a}) + \log(1 - e^{-w})$ for $w = b - a > 0$. The
    # edge that two neighbouring bins share is given to both, so that their masses together are those of one bin; the
    # width is given besides, because the difference of rounded edges has no digits where it is small.
    narrow = width < 1.0
    between = log_one_minus_exp(jnp.where(narrow, width, jnp.maximum(high - low, 0.5)))
    return -jax.nn.softplus(-high) - jax.nn.softplus(low) + between
