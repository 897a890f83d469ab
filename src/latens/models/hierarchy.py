"""Several levels of latents: q goes up from x, p comes down to it."""

from collections.abc import Callable

import equinox as eqx

from latens.distributions import AbstractDistribution
from latens.distributions.chain import Chain
from latens.models.conditional import AbstractDecoderWrapper, Conditional
from latens.models.priors import AbstractModelPrior
from latens.typing import Array, Cond, Key, Mask, PyTree


class Upwards(eqx.Module):
    r"""The encoder of a hierarchy, one part for each level, from the lowest up.

    $q(z_1 \mid x) \prod_{l>1} q(z_l \mid z_{l-1})$.

    Args:
        parts: The part that reads x, then one for each next level that reads the level below.
    """

    parts: tuple[Conditional, ...]

    def __call__(self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None) -> Chain:
        """The distribution of all levels for one row."""
        # key: a JAX random key for dropout; None: no dropout.
        first = self.parts[0](x, cond=cond, mask=mask, key=key)
        return Chain(first, tuple(_given(part, cond, key) for part in self.parts[1:]))


class Downwards(eqx.Module):
    r"""The prior of a hierarchy, from the top level down.

    $p(z_L) \prod_{l<L} p(z_l \mid z_{l+1})$.

    Args:
        top: The distribution of the top level, or a prior that does not look at its model.
        parts: One part for each next level down, which reads the level above.
    """

    top: AbstractDistribution | AbstractModelPrior
    parts: tuple[Conditional, ...]

    def __call__(self, *, cond: Cond = None, key: Key | None = None) -> Chain:
        """The distribution of all levels."""
        # key: a JAX random key for dropout; None: no dropout.
        top = self.top(None, cond=cond, key=key) if isinstance(self.top, AbstractModelPrior) else self.top
        return Chain(top, tuple(_given(part, cond, key) for part in self.parts), backwards=True)


class FromLowest(AbstractDecoderWrapper):
    r"""A decoder that sees the lowest level of a hierarchy only.

    $p(x \mid z_1)$.

    Args:
        part: The decoder of the lowest level.
    """

    part: Conditional

    def __call__(self, z: tuple[Array, ...], *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The distribution of a row, given the latents of all levels."""
        # key: a JAX random key for dropout; None: no dropout.
        return self.part(z[0], cond=cond, key=key)


def _given(part: Conditional, cond: Cond, key: Key | None) -> Callable[[Array], AbstractDistribution]:
    return eqx.Partial(part, cond=cond, key=key)
