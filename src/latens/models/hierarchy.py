"""Several levels of latents: q goes up from x, p comes down to it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np

from latens.distributions import AbstractDistribution
from latens.distributions.chain import Chain
from latens.models.conditional import Conditional
from latens.models.priors import AbstractModelPrior
from latens.typing import AnyArray, Array, Key


class Upwards(eqx.Module):
    r"""$q(z_1 \mid x) \prod_{l>1} q(z_l \mid z_{l-1})$: the encoder of a hierarchy, one part a level."""

    parts: tuple[Conditional, ...]

    def __call__(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> Chain:
        first = self.parts[0](x, cond=cond, mask=mask, key=key)
        return Chain(first, tuple(_given(part, cond, key) for part in self.parts[1:]))


class Downwards(eqx.Module):
    r"""$p(z_L) \prod_{l<L} p(z_l \mid z_{l+1})$: the prior of a hierarchy; `parts` from the top level down.

    **Arguments:** `top` a distribution, or a prior that does not look at its model.
    """

    top: AbstractDistribution | AbstractModelPrior
    parts: tuple[Conditional, ...]

    def __call__(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> Chain:
        top = self.top(None, cond=cond, key=key) if isinstance(self.top, AbstractModelPrior) else self.top
        return Chain(top, tuple(_given(part, cond, key) for part in self.parts), backwards=True)


class FromLowest(eqx.Module):
    r"""$p(x \mid z_1)$: a decoder that sees the lowest level of a hierarchy."""

    part: Conditional

    def __call__(
        self, z: tuple[Array, ...], *, cond: dict[str, Any] | None = None, key: Key | None = None
    ) -> AbstractDistribution:
        return self.part(z[0], cond=cond, key=key)

    def with_output_bias(
        self,
        mean: np.ndarray,
        frequencies: np.ndarray | None = None,
        variance: np.ndarray | None = None,
        rows: AnyArray | None = None,
    ) -> "FromLowest":
        """The same decoder started at the data's moments."""
        return FromLowest(self.part.with_output_bias(mean, frequencies, variance, rows))


def _given(part: Conditional, cond: dict[str, Any] | None, key: Key | None) -> Callable[[Array], AbstractDistribution]:
    return eqx.Partial(part, cond=cond, key=key)
