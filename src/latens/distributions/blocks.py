"""One array as several named blocks: which cells belong to which, and a family of its own for each."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractFactorised
from latens.typing import AnyArray, Array, Bool, Float, Key, Nats, Shaped


class Blocks(eqx.Module):
    """Which cells of an array belong to which block: places along one axis.

    **Arguments:** `names` of the blocks; `places` of each along `axis`, from 0; every place belongs to one block.
    **Raises:** ValueError where places are left out, or belong to two.

    >>> halves = Blocks(("lower", "upper"), ((2, 3), (0, 1)))
    >>> parts = halves.split(jnp.array([1, 2, 3, 4]))
    >>> parts["upper"].tolist(), halves.join(parts).tolist()
    ([1, 2], [1, 2, 3, 4])
    """

    names: tuple[str, ...] = eqx.field(static=True)
    places: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    axis: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        every = sorted(place for places in self.places for place in places)
        if every != list(range(len(every))) or not all(self.places) or len(self.names) != len(self.places):
            raise ValueError("every place along the axis belongs to exactly one named block, which has some")

    def split(self, x: Shaped[AnyArray, "..."]) -> dict[str, Shaped[Array, "..."]]:
        """The blocks of an array by name; further axes at its end (levels, say) stay as they are."""
        return {name: self._take(x, places) for name, places in zip(self.names, self.places)}

    def _take(self, x: Shaped[AnyArray, "..."], places: tuple[int, ...]) -> Shaped[Array, "..."]:
        if places == tuple(range(places[0], places[-1] + 1)):
            # A slice: its gradient is padding, that of a gather a scatter, which is slow on CPU.
            return jax.lax.slice_in_dim(jnp.asarray(x), places[0], places[-1] + 1, axis=self.axis)
        return jnp.take(jnp.asarray(x), np.array(places), axis=self.axis)

    def join(self, parts: dict[str, Shaped[Array, "..."]]) -> Shaped[Array, "..."]:
        """The array with these blocks."""
        whole = jnp.concatenate([parts[name] for name in self.names], axis=self.axis)
        order = np.argsort([place for places in self.places for place in places])
        return whole if (order == np.arange(order.size)).all() else jnp.take(whole, order, axis=self.axis)

    def sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """How many cells each block of an array of this shape has."""
        others = math.prod(shape) // shape[self.axis]
        return {name: len(places) * others for name, places in zip(self.names, self.places)}


class Joined(AbstractFactorised):
    r"""$\prod_b p_b(x_b)$ over the blocks of one array: as a `Product`, of events that stay one array.

    **Arguments:** `parts` a factorised distribution for each block, by name; `blocks` where they lie.

    >>> from latens.distributions import Bernoulli, StandardNormal
    >>> blocks = Blocks(("coin", "size"), ((1,), (0,)))
    >>> both = Joined({"coin": Bernoulli(jnp.zeros(1)), "size": StandardNormal((1,))}, blocks)
    >>> [round(float(term), 5) for term in both.log_prob_terms(jnp.array([0.0, 1.0]))]
    [-0.91894, -0.69315]
    """

    parts: dict[str, AbstractFactorised]
    blocks: Blocks

    def sample(self, *, key: Key) -> Shaped[Array, "*x"]:
        # Sorted names: a dict written in another order draws the same numbers.
        keys = dict(zip(sorted(self.parts), jax.random.split(key, len(self.parts))))
        return self.blocks.join({name: part.sample(key=keys[name]) for name, part in self.parts.items()})

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        split = self.blocks.split(event)
        return self.blocks.join({name: part.log_prob_terms(split[name]) for name, part in self.parts.items()})

    def mean(self) -> Float[Array, "*x"]:
        return self.blocks.join({name: part.mean() for name, part in self.parts.items()})

    def log_prob(self, event: Shaped[Array, "*x"]) -> Nats:
        return sum(self.log_prob_by_part(event).values(), start=jnp.zeros(()))

    def log_prob_by_part(self, event: Shaped[Array, "*x"], mask: Bool[Array, "*x"] | None = None) -> dict[str, Nats]:
        """The log density of the observed cells of each block, in nats."""
        split = self.blocks.split(event)
        if mask is None:
            return {name: part.log_prob(split[name]) for name, part in self.parts.items()}
        masks = self.blocks.split(mask)
        return {name: part.log_prob_observed(split[name], masks[name]) for name, part in self.parts.items()}
