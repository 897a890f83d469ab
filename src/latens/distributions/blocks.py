"""One array as several named blocks: which features belong to which, and a family of its own for each."""

import math
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.discrete import Segments
from latens.typing import AnyArray, Array, Bool, Float, Key, Nats, Shaped


class Blocks(eqx.Module):
    """Which features of an array belong to which block: places along one axis.

    Args:
        names: The names of the blocks.
        places: The places of each block along `axis`, from 0; every place belongs to exactly one block.
        axis: The axis that is divided, from 0.

    Raises:
        ValueError: Places are left out or belong to two blocks, or a block has none.

    Examples:
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
        """The blocks of an array by name.

        Args:
            x: The array; further axes at its end (levels, say) stay as they are.

        Returns:
            An array for each block, in which `axis` has that block's places only.
        """
        return {name: self._take(x, places) for name, places in zip(self.names, self.places)}

    def _take(self, x: Shaped[AnyArray, "..."], places: tuple[int, ...]) -> Shaped[Array, "..."]:
        if places == tuple(range(places[0], places[-1] + 1)):
            # A slice: its gradient is padding, that of a gather a scatter, which is slow on CPU.
            return jax.lax.slice_in_dim(jnp.asarray(x), places[0], places[-1] + 1, axis=self.axis)
        return jnp.take(jnp.asarray(x), np.array(places), axis=self.axis)

    def join(self, parts: dict[str, Shaped[Array, "..."]]) -> Shaped[Array, "..."]:
        """Put the blocks back together into one array; the inverse of `split`.

        Args:
            parts: An array for each block, by name.

        Returns:
            The array with these blocks.
        """
        whole = jnp.concatenate([parts[name] for name in self.names], axis=self.axis)
        order = np.argsort([place for places in self.places for place in places])
        return whole if (order == np.arange(order.size)).all() else jnp.take(whole, order, axis=self.axis)

    def sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """How many features each block of an array has.

        Args:
            shape: The shape of the whole array.

        Returns:
            The number of entries of each block, by name.
        """
        others = math.prod(shape) // shape[self.axis]
        return {name: len(places) * others for name, places in zip(self.names, self.places)}


class Joined(AbstractFactorised):
    r"""Independent blocks of one array, each of a family of its own.

    $\prod_b p_b(x_b)$: like a `Product`, of events that stay one array.

    Args:
        parts: A factorised distribution for each block, by name.
        blocks: Where the blocks lie in the array.

    Examples:
        >>> from latens.distributions import Bernoulli, StandardNormal
        >>> blocks = Blocks(("coin", "size"), ((1,), (0,)))
        >>> both = Joined({"coin": Bernoulli(jnp.zeros(1)), "size": StandardNormal((1,))}, blocks)
        >>> [round(float(term), 5) for term in both.log_prob_terms(jnp.array([0.0, 1.0]))]
        [-0.91894, -0.69315]
    """

    parts: dict[str, AbstractFactorised]
    blocks: Blocks

    def sample(self, *, key: Key) -> Shaped[Array, "*x"]:
        """Draw each block, and join them into one event."""
        # Sorted names: a dict written in another order draws the same numbers.
        if all(isinstance(part, Segments) for part in self.parts.values()):
            # One draw of noise: of a program that draws, the generator takes longest to compile.
            count = sum(cast(Segments, part).noise for part in self.parts.values())
            return self.sample_segments(jax.random.uniform(key, (count,), minval=jnp.finfo(jnp.float32).tiny))
        keys = dict(zip(sorted(self.parts), jax.random.split(key, len(self.parts))))
        return self.blocks.join({name: part.sample(key=keys[name]) for name, part in self.parts.items()})

    def sample_segments(self, u: Float[Array, " noise"]) -> Float[Array, "*x"]:
        """The event that uniform noise draws, of blocks of `Segments`.

        Args:
            u: Numbers in (0, 1), as many as all parts have `noise`.

        Returns:
            Whole numbers of shape (*x), held as floats.
        """
        parts: dict[str, Segments] = {name: cast(Segments, self.parts[name]) for name in sorted(self.parts)}
        ends = np.cumsum([part.noise for part in parts.values()])
        each = zip(parts, jnp.split(u, ends[:-1]))
        return self.blocks.join({name: parts[name].sample_by(own) for name, own in each})

    def without_path(self, event: Shaped[Array, "*x"]) -> AbstractDistribution | None:
        """What the blocks say of themselves."""
        split = self.blocks.split(event)
        found = (part.without_path(split[name]) for name, part in self.parts.items())
        return next((part for part in found if part is not None), None)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable under its block's family, in nats."""
        split = self.blocks.split(event)
        return self.blocks.join({name: part.log_prob_terms(split[name]) for name, part in self.parts.items()})

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable, by block."""
        return self.blocks.join({name: part.mean() for name, part in self.parts.items()})

    def each_given(self, event: Shaped[Array, "*x"], mask: Bool[Array, "*x"]) -> "Joined":
        """Each variable given the others that are observed: itself, as they are independent.

        Args:
            event: One event, of shape (*x).
            mask: True where the entry is observed, likewise.

        Returns:
            The distribution itself.
        """
        return self

    def each_within(self, low: Float[Array, "*x"], high: Float[Array, "*x"]) -> "Joined":
        """Each variable given that the others lie in ranges: itself, as they are independent.

        Args:
            low: The least value of each, of shape (*x).
            high: The largest one, likewise.

        Returns:
            The distribution itself.
        """
        return self

    def within(self, low: Float[Array, "*x"], high: Float[Array, "*x"]) -> tuple["Joined", Nats]:
        """The same variables, given that each lies in a range, of parts that can say that.

        Args:
            low: The least value of each, of shape (*x).
            high: The largest one, likewise.

        Returns:
            The distribution, and the log probability of the ranges under this one, in nats.
        """
        lows, highs = self.blocks.split(low), self.blocks.split(high)
        found = {name: cast(Any, part).within(lows[name], highs[name]) for name, part in self.parts.items()}
        mass = sum((mass for _, mass in found.values()), start=jnp.zeros(()))
        return Joined({name: part for name, (part, _) in found.items()}, self.blocks), mass

    def log_prob(self, event: Shaped[Array, "*x"]) -> Nats:
        """The log density of one event, in nats, added up by block."""
        return sum(self.log_prob_by_part(event).values(), start=jnp.zeros(()))

    def log_prob_by_part(self, event: Shaped[Array, "*x"], mask: Bool[Array, "*x"] | None = None) -> dict[str, Nats]:
        """The log density of the observed features of each block.

        Args:
            event: One event of shape (*x).
            mask: True where the entry is observed, of shape (*x); None: everywhere.

        Returns:
            A number of shape () for each block, by name, in nats.
        """
        split = self.blocks.split(event)
        if mask is None:
            return {name: part.log_prob(split[name]) for name, part in self.parts.items()}
        masks = self.blocks.split(mask)
        return {name: part.log_prob_observed(split[name], masks[name]) for name, part in self.parts.items()}
