"""A ladder: what comes up from x and what the prior says from above meet at every level, weighted by precision."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, DiagonalNormal, StandardNormal
from latens.distributions.chain import Chain
from latens.errors import ConfigError
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.conditional import Conditional
from latens.networks import ACTIVATIONS
from latens.typing import Array, Cond, Float, Key


def combined(one: DiagonalNormal, two: DiagonalNormal | StandardNormal) -> DiagonalNormal:
    r"""The product of two diagonal Normals, as a Normal: precisions add up, and the mean is weighted by them.

    $\sigma^{-2} = \sigma_1^{-2} + \sigma_2^{-2}$ and $\mu = \sigma^2 (\mu_1 \sigma_1^{-2} + \mu_2 \sigma_2^{-2})$.

    Args:
        one: The first Normal.
        two: The second Normal, of the same shape.

    Returns:
        The Normal that is proportional to the product of both densities.

    Examples:
        >>> both = combined(DiagonalNormal(jnp.array([3.0]), jnp.zeros(1)), StandardNormal((1,)))
        >>> float(both.loc[0]), round(float(jnp.exp(2.0 * both.log_scale[0])), 6)
        (1.5, 0.5)
    """
    log_precisions = -2.0 * one.log_scale_array(), -2.0 * two.log_scale_array()
    share = jax.nn.sigmoid(log_precisions[0] - log_precisions[1])
    loc = share * one.loc + (1.0 - share) * two.mean()
    return DiagonalNormal(loc, -0.5 * jnp.logaddexp(*log_precisions))


class Meeting(eqx.Module):
    r"""The posterior of one level: what came up from x, and the prior given the level above, by precision."""

    # $q(z_l \mid z_{l+1}, x)$.

    from_below: DiagonalNormal  # the Normal that came up from x
    from_above: Callable[[Array], AbstractDistribution]  # maps the level above to the prior of this one

    def __call__(self, z: Array) -> DiagonalNormal:
        """The posterior of this level, given the level above."""
        return combined(self.from_below, _normal(self.from_above(z)))


class Ladder(AbstractModelEncoder):
    r"""The encoder of a ladder, drawn from the top down and sharing the prior's networks.

    $q(z_L \mid x) \prod_{l<L} q(z_l \mid z_{l+1}, x)$. Features $d_l$ go up from x without noise, each with a Normal
    $N(\hat\mu_l, \hat\sigma_l^2)$ read off it; on the way down that Normal is multiplied by the prior's $p(z_l \mid
    z_{l+1})$. The model's prior is a `Downwards` of as many levels.

    Args:
        first: The features of the first level from x, as the mean of what it returns.
        trunks: The features of each next level from those of the level below, as the mean of what it returns.
        readouts: The Normal of each level from its features.
        activation: The name of the activation of features.

    Source: Sonderby et al. (2016), arXiv 1602.02282, without batch normalisation.
    """

    first: Conditional
    trunks: tuple[Conditional, ...]
    readouts: tuple[Conditional, ...]
    activation: str = eqx.field(static=True, default="silu")

    def __call__(
        self, model: AbstractLatentModel, x: Any, *, cond: Cond = None, mask: Any = None, key: Key | None = None
    ) -> Chain:
        """The posterior of all levels for one row."""
        # key: a JAX random key for dropout; None: no dropout.
        prior = model.prior(cond=cond, key=key)
        if not isinstance(prior, Chain) or len(prior.parts) + 1 != len(self.readouts):
            message = f"a ladder of {len(self.readouts)} levels needs a prior of as many, from the top down."
            raise ConfigError(message, where="prior.kind", fix="Use Downwards, with one part less than levels.")
        features = self._features(x, cond, mask, key)
        normals = [_normal(readout(d, cond=cond, key=key)) for readout, d in zip(self.readouts, features)]
        parts = tuple(Meeting(up, down) for up, down in zip(normals[-2::-1], prior.parts))
        return Chain(normals[-1], parts, backwards=True)

    def _features(self, x: Any, cond: Any, mask: Any, key: Key | None) -> list[Float[Array, " n"]]:
        features, given = [], x
        for part in (self.first, *self.trunks):
            of_features: Any = part(given, cond=cond, mask=mask if part is self.first else None, key=key)
            given = ACTIVATIONS[self.activation](of_features.mean())
            features.append(given)
        return features


def _normal(distribution: AbstractDistribution) -> DiagonalNormal:
    if not isinstance(distribution, DiagonalNormal):
        raise ConfigError(
            f"the levels of a ladder meet as diagonal Normals, not as {type(distribution).__name__}.",
            where="posterior.kind",
            fix="Give every level a NormalHead.",
        )
    return distribution
