"""Special functions whose large terms are cancelled by hand, so that single precision keeps its digits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
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


def _debye_polynomials(count: int) -> np.ndarray:
    r"""Coefficients of the polynomials in the expansion of the Bessel function for large order."""
    # By powers of $t^2$, of $u_k(t) / t^k$ in the expansion of $I_\nu$: $u_{k+1} = \frac12 t^2 (1 - t^2) u_k' + \frac18
    # \int_0^t (1 - 5 s^2) u_k(s)\,ds$, $u_0 = 1$.
    # Source: NIST Digital Library of Mathematical Functions, 10.41.9.
    polynomial = np.polynomial.Polynomial
    u, rows = polynomial([1.0]), np.zeros((count, count))
    for k in range(count):
        rows[k, : k + 1] = u.coef[k::2][: k + 1]
        integral = (polynomial([1.0, 0.0, -5.0]) * u).integ()
        u = 0.5 * polynomial([0.0, 0.0, 1.0, 0.0, -1.0]) * u.deriv() + integral / 8
        u = polynomial(np.pad(u.coef, (0, max(0, 3 * (k + 1) + 1 - u.coef.size))))
    return rows


_DEBYE = _debye_polynomials(9)
_SERIES = np.arange(72.0)


def log_bessel_scaled(order: float, x: Float[Array, ""]) -> Float[Array, ""]:
    r"""The logarithm of a modified Bessel function with its growth and its zero taken out, smooth down to 0."""
    # $G_\nu(x) = x + \nu\log x - \log I_\nu(x)$. The power series where $\nu^2 + x^2 < 25^2$, else the uniform
    # expansion for large order with nine terms, in which $x$ cancels exactly: with $p = \sqrt{\nu^2 + x^2}$, $t = \nu /
    # p$, $\log I_\nu = p - \nu\log\frac{\nu + p}{x} - \frac12\log 2\pi p + \log\sum_k u_k(t)/\nu^k$. Both are within
    # 1e-11.
    # Source: NIST Digital Library of Mathematical Functions, 10.25.2 and 10.41.3.
    near = x * x + order * order < 25.0**2
    # By series: I(x) = (x/2)^order sum_k (x^2/4)^k / (k! Gamma(order + k + 1)), terms all positive.
    small = jnp.where(near, x, 1.0)
    log_quarter = 2.0 * jnp.log(jnp.where(small > 0, small, 1.0) / 2.0)
    constants = np.array([math.lgamma(k + 1) + math.lgamma(order + k + 1) for k in _SERIES])
    exponents = jnp.asarray(_SERIES, x.dtype) * log_quarter - jnp.asarray(constants, x.dtype)
    at_zero = math.lgamma(order + 1)
    series = jnp.where(small > 0, -jax.nn.logsumexp(exponents), at_zero)
    by_series = small + order * LOG_2 + series
    # By expansion.
    large = jnp.where(near, 25.0 + order, x)
    p = jnp.sqrt(order * order + large * large)
    # A power of the inverse may underflow, which does no harm.
    squares, inverse = (order / p) ** 2, 1.0 / p
    total = jnp.ones_like(p)
    for k in range(1, len(_DEBYE)):
        total = total + jnp.polyval(jnp.asarray(_DEBYE[k, k::-1], x.dtype), squares) * inverse**k
    leading = order * jnp.log(order + p) - order * order / (large + p)
    return jnp.where(near, by_series, leading + HALF_LOG_2PI + 0.5 * jnp.log(p) - jnp.log(total))


def log_sphere_area(dimension: int) -> float:
    r"""The log area of the unit sphere."""
    # $\log\frac{2\pi^{m/2}}{\Gamma(m/2)}$.
    return LOG_2 + 0.5 * dimension * math.log(math.pi) - math.lgamma(0.5 * dimension)
