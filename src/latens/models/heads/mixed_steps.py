"""The likelihood of one step of numbers beside yes-or-no answers, as the steps of an environment are."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import DiagonalNormal
from latens.distributions.steps import StepColumns
from latens.models.heads.base import AbstractHead, DataKind, Moment, Started, raw_scale, spread
from latens.trees import Frozen
from latens.typing import Array, Float

MOST_SQUARE = 100.0
"""Above it squares of latents are cut, as they would leave what single precision tells apart."""


class StepColumnsHead(AbstractHead):
    """Normals with mean and scale from the network, and for columns of 0 and 1 its first outputs as logits."""

    kinds: ClassVar[tuple[DataKind, ...]] = ("real", "binary")
    location_first: ClassVar[bool] = True

    shape: tuple[int, ...] = eqx.field(static=True)
    binary: tuple[int, ...] = eqx.field(static=True, default=())
    scale_floor: float = eqx.field(static=True, default=1e-4)

    @property
    def num_outputs(self) -> int:
        """Two for each column: a mean or logit, and a scale."""
        return 2 * int(np.prod(self.shape))

    def __call__(self, outputs: Float[Array, " n_out"]) -> StepColumns:
        """The distribution that belongs to these outputs."""
        loc, raw = outputs.reshape(2, *self.shape)
        flags = tuple(place in self.binary for place in range(self.shape[-1]))
        return StepColumns(DiagonalNormal(loc, jnp.log(jax.nn.softplus(raw) + self.scale_floor)), loc, flags)

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of the data's mean and variance, and of the share of ones."""
        first = np.array(mean, np.float64).reshape(-1)
        places = np.array(self.binary, int)
        share = np.clip(first[places], 1e-3, 1 - 1e-3)
        first[places] = np.log(share) - np.log1p(-share)
        raw = np.zeros_like(first) if variance is None else raw_scale(spread(variance), "softplus", self.scale_floor)
        return self, np.concatenate([first, raw])


class CoinsApart(eqx.Module):
    """Two networks before one head: the columns of 0 and 1 have their own, which reads the latent and its squares."""

    numbers: Callable[[Array], Array]
    coins: Callable[[Array], Array]
    places: tuple[int, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __call__(self, read: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """The outputs of the head."""
        z = read[-self.size :]
        logits = self.coins(jnp.concatenate([z, jnp.minimum(jnp.square(z), MOST_SQUARE)]))
        return self.numbers(read).at[jnp.array(self.places)].set(logits)


class InUnits(eqx.Module):
    """A network with outputs in fixed units, so that a step of Adam moves each by a part of its noise."""

    network: Callable[[Array], Array]
    unit: Frozen

    def __call__(self, read: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """The outputs."""
        return self.network(read) * self.unit.value
