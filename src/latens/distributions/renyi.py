"""Divergences beside the KL, in closed form: Renyi's and what is a function of it, and the reverse KL."""

from typing import Literal

import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.continuous import DiagonalNormal, StandardNormal
from latens.distributions.divergence import has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.typing import Array, Float, Nats

Divergence = Literal["kl", "reverse-kl", "renyi", "alpha", "chi-square"]
"""`divergence_terms` says what each one is."""


def renyi_terms(q: AbstractDistribution, p: AbstractDistribution, order: float) -> Float[Array, "*z"]:
    r"""Renyi's divergence of each variable of diagonal Normals.

    $D_\alpha(q \| p) = \frac{1}{\alpha - 1}\log\int q^\alpha p^{1-\alpha}$. With $\sigma_*^2 = \alpha\sigma_p^2 + (1 -
    \alpha)\sigma_q^2$ it is $\frac{\alpha(\mu_q - \mu_p)^2}{2\sigma_*^2} + \log\frac{\sigma_p}{\sigma_q} +
    \frac{1}{2(\alpha-1)} \log\frac{\sigma_p^2}{\sigma_*^2}$; infinite where $\sigma_*^2 \le 0$, which only an order
    above 1 can make. Order 1 is KL, and then any pair with a closed form will do.

    Args:
        q: The first distribution: a diagonal Normal.
        p: The second distribution: a diagonal Normal of the same shape.
        order: The order $\alpha > 0$.

    Returns:
        An entry for each variable, in nats.

    Raises:
        ConfigError: The order is 0 or less, or the pair of distributions has no closed form.

    Source: Gil, Alajaji & Linder (2013), "Renyi divergence measures for commonly used univariate continuous
    distributions".
    """
    if order <= 0.0:
        raise ConfigError(f"the order must be above 0, not {order}.", where="objective.order", fix="Use 0.5 or 2.")
    if order == 1.0:
        return kl_terms(q, p)
    normals = (DiagonalNormal, StandardNormal)
    if not (isinstance(q, normals) and isinstance(p, normals)):
        raise ConfigError(
            f"Renyi's divergence of {type(q).__name__} and {type(p).__name__} has no closed form here.",
            where="objective.divergence",
            fix="Use diagonal Normals, or the objective renyi, which estimates its bound from draws.",
        )
    q_log_scale, p_log_scale = q.log_scale_array(), p.log_scale_array()
    # sigma_*^2 / sigma_p^2 - 1, small where the order is near 1: log1p keeps its digits there.
    excess = (1.0 - order) * jnp.expm1(2.0 * (q_log_scale - p_log_scale))
    exists = excess > -1.0
    excess = jnp.where(exists, excess, 0.0)
    residual = (q.mean() - p.mean()) * jnp.exp(-p_log_scale)
    moved = 0.5 * order * residual**2 / (1.0 + excess)
    terms = moved + p_log_scale - q_log_scale + jnp.log1p(excess) / (2.0 * (1.0 - order))
    return jnp.where(exists, terms, jnp.inf)


def divergence_terms(
    q: AbstractDistribution, p: AbstractDistribution, kind: Divergence, *, order: float = 2.0
) -> Float[Array, "..."]:
    r"""A divergence of two distributions, exactly: by variable where those terms add up, else one number for all.

    - `kl` $E_q[\log q - \log p]$ and `reverse-kl` $E_p[\log p - \log q]$, nats: any pair with a closed form;
    - `renyi` of an `order` $\alpha$, nats: diagonal Normals;
    - `alpha` $\frac{1}{\alpha(\alpha-1)}(\int q^\alpha p^{1-\alpha} - 1)$, no unit: KL at order 1;
    - `chi-square` $\int q^2/p - 1$, no unit: twice the alpha divergence of order 2.

    The last two do not add up over variables: they are of the whole event, and grow like the exponential of Renyi's.

    Args:
        q: The first distribution.
        p: The second distribution, over the same events.
        kind: Which divergence, one of the names above.
        order: The order $\alpha > 0$ of `renyi` and `alpha`; the others have none.

    Returns:
        An entry for each variable, or a number of shape () for `alpha` and `chi-square`, in the units above.

    Raises:
        ConfigError: There is no such divergence, or it has no closed form for this pair.

    Examples:
        >>> q = DiagonalNormal(jnp.array([1.0]), jnp.zeros(1))
        >>> [round(float(divergence_terms(q, StandardNormal((1,)), kind).sum()), 4) for kind in ("renyi", "chi-square")]
        [1.0, 1.7183]
    """
    match kind:
        case "kl":
            return kl_terms(q, p)
        case "reverse-kl":
            if not has_closed_form(p, q):
                what = f"KL({type(p).__name__} || {type(q).__name__}) has no closed form here."
                raise ConfigError(
                    what, where="objective.divergence", fix="Use another divergence, or the prior's kind."
                )
            return kl_terms(p, q)
        case "renyi":
            return renyi_terms(q, p, order)
        case "chi-square":
            return jnp.expm1(_total(q, p, 2.0))
        case "alpha":
            total = _total(q, p, order)
            return total if order == 1.0 else jnp.expm1((order - 1.0) * total) / (order * (order - 1.0))
    raise ConfigError(
        f"there is no divergence {kind!r}.", where="objective.divergence", fix="Use kl, reverse-kl or renyi."
    )


def _total(q: AbstractDistribution, p: AbstractDistribution, order: float) -> Nats:
    return jnp.sum(renyi_terms(q, p, order))
