"""Columns of a table joined by a tree: each depends on one other, and every conditional stays exact."""

import math
from abc import abstractmethod
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.blocks import Joined
from latens.distributions.discrete import Segments
from latens.trees import traced_once
from latens.typing import Array, Bool, Float, Int, Key, Nats, Shaped

NEVER = -1e4
"""The log weight of what an observed cell rules out: its exponential is 0, and differences stay finite."""
FAINT = 1e-25
"""The least part of the largest number that a column says to its parent, and one over the most."""
LEAST = 1e-37
"""The least probability of a bin in single precision; far more than what is ruled out, so that it stays possible."""


class AbstractTree(AbstractDistribution[Array]):
    """Columns that depend on one another along a tree, through few bins: what does not depend on by how much."""

    has_path: ClassVar[bool] = False

    columns: Joined
    bins: dict[str, Int[Array, "m S"]]
    parents: Int[Array, " c"]
    order: Int[Array, " c"]
    log_ratios: eqx.AbstractVar[Array]

    @abstractmethod
    def log_prob_terms(self, event: Shaped[Array, " c"]) -> Float[Array, " c"]:
        """The log probability of each cell given those that it depends on; their sum is `log_prob`.

        Args:
            event: One row of whole numbers, of shape (c,).

        Returns:
            Shape (c,), in nats.
        """

    @abstractmethod
    def log_prob_observed(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Nats:
        """The log probability of the observed cells of one row, summed over the others, in nats."""

    @abstractmethod
    def conditioned(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Self:
        """The same columns, given the observed cells: the bins of these are theirs.

        Args:
            event: One row of whole numbers, of shape (c,).
            mask: True where a cell is observed, of shape (c,).

        Returns:
            The distribution; an observed column is one of its bin, not the cell itself.
        """

    @abstractmethod
    def within(self, low: Float[Array, " c"], high: Float[Array, " c"]) -> tuple[Self, Nats]:
        """The same columns, given that each lies in a range.

        Args:
            low: The first cell of each range, of shape (c,); minus infinity for none.
            high: The last one, of shape (c,); infinity for none.

        Returns:
            The distribution, and the log probability of the ranges under this one, in nats.
        """

    @abstractmethod
    def _given(self, seen: Float[Array, "c B"], alone: Float[Array, "c B"]) -> Joined:
        """Each column given what is seen of the bins of the others."""

    def log_prob(self, event: Shaped[Array, " c"]) -> Nats:
        """The log probability of one row, in nats."""
        return jnp.sum(self.log_prob_terms(event))

    @property
    def _parts(self) -> dict[str, Segments]:
        parts = self.columns.parts
        assert all(isinstance(part, Segments) for part in parts.values())
        return parts  # pyright: ignore[reportReturnType]

    def _by_bin(self, log_segments: dict[str, Float[Array, "m S"]]) -> Float[Array, "c B"]:
        """The sum of the exponentials of the segments of each bin."""
        every = jnp.arange(self.log_ratios.shape[-1])

        def one(values: Array, bins: Array) -> Array:
            # Sums of probabilities: 8 exponentials a segment would take longer than all else.
            inside = (bins[..., None] == every).astype(values.dtype)
            return jnp.einsum("ms,msb->mb", jnp.exp(values), inside)

        return self.columns.blocks.join({name: one(log_segments[name], bins) for name, bins in self.bins.items()})

    @traced_once
    def _alone(self) -> Float[Array, "c B"]:
        """The log probability of each bin of each column without its parent."""
        return _log(self._by_bin({name: part.log_shares() for name, part in self._parts.items()}))

    def bins_of(self, event: Shaped[Array, " c"]) -> Int[Array, " c"]:
        """The bin of each cell.

        Args:
            event: One row of whole numbers, of shape (c,).

        Returns:
            Shape (c,), from 0.
        """
        cells = self.columns.blocks.split(event)

        def one(part: Segments, bins: Array, cells: Array) -> Array:
            place = cells[:, None] - part.starts
            return jnp.sum(jnp.where((place >= 0) & (place < part.widths), bins, 0), axis=1)

        found = {name: one(part, self.bins[name], cells[name]) for name, part in self._parts.items()}
        return self.columns.blocks.join(found)

    def _seen(
        self, event: Array, mask: Array, alone: Float[Array, "c B"]
    ) -> tuple[Float[Array, "c B"], Float[Array, " c"]]:
        """The log weight of each bin by the observed cells, and the log probability of a cell given its bin."""
        event = jnp.where(mask, event, jnp.zeros_like(event))
        bins = self.bins_of(event)
        here = bins[:, None] == jnp.arange(alone.shape[1])
        terms = self.columns.log_prob_terms(event) - jnp.sum(jnp.where(here, alone, 0.0), axis=1)
        return jnp.where(here | ~mask[:, None], 0.0, NEVER), jnp.where(mask, terms, 0.0)

    def terms_observed(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Float[Array, " c"]:
        """The log probability of each observed cell given those before it in the order; 0 where it is missing.

        Args:
            event: One row of whole numbers, of shape (c,).
            mask: True where a cell is observed, of shape (c,).

        Returns:
            Shape (c,), in nats; they add up to `log_prob_observed`.
        """
        # Where the parent is observed its cell says all that those before say; few rows have other cells.
        event, rank, plain = jnp.where(mask, event, jnp.zeros_like(event)), self._ranks(), self._plain(mask)
        terms = jnp.where(mask & plain, self.log_prob_terms(event), 0.0)
        last = jnp.argsort(jnp.where(mask & ~plain, rank, len(rank)))

        def one(at: Array, terms: Array) -> Array:
            j = last[at]
            masks = mask & jnp.stack([rank <= rank[j], rank < rank[j]])
            upto, before = jax.vmap(self.log_prob_observed, (None, 0))(event, masks)
            return terms.at[j].set(upto - before)

        return jax.lax.fori_loop(0, jnp.sum(mask & ~plain), one, terms)

    def _ranks(self) -> Int[Array, " c"]:
        """The place of each column in the order in which cells are taken."""
        return jnp.zeros_like(self.order).at[self.order].set(jnp.arange(len(self.order), dtype=self.order.dtype))

    def _plain(self, mask: Bool[Array, " c"]) -> Bool[Array, " c"]:
        """The cells of which those before them say no more than their parent does."""
        return mask[self.parents]

    @traced_once
    def each_given(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Joined:
        """Each column given the observed cells of the others.

        Args:
            event: One row of whole numbers, of shape (c,).
            mask: True where a cell is observed, of shape (c,).

        Returns:
            Blocks of `Segments`, each alone.
        """
        alone = self._alone()
        return self._given(self._seen(event, mask, alone)[0], alone)

    def each_within(self, low: Float[Array, " c"], high: Float[Array, " c"]) -> Joined:
        """Each column given that the others lie in ranges.

        Args:
            low: The first cell of each range, of shape (c,); minus infinity for none.
            high: The last one, of shape (c,); infinity for none.

        Returns:
            Blocks of `Segments`, each alone.
        """
        return self._given(self._kept(low, high), self._alone())

    def _kept(self, low: Float[Array, " c"], high: Float[Array, " c"]) -> Float[Array, "c B"]:
        """The log share of each bin that lies in the range."""
        lows, highs = self.columns.blocks.split(low), self.columns.blocks.split(high)
        left = {name: part.log_kept(lows[name], highs[name]) for name, part in self._parts.items()}
        kept = self._by_bin({name: part.log_shares() + left[name] for name, part in self._parts.items()})
        return jnp.where(kept > 0, _log(kept) - self._alone(), NEVER)

    def marginals(self) -> Joined:
        """Each column alone, exactly: what it is without the others.

        Returns:
            Blocks of `Segments`.
        """
        alone = self._alone()
        return self._given(jnp.zeros_like(alone), alone)

    def mean(self) -> Float[Array, " c"]:
        """The expected cell of each column, or without an order the most probable one.

        Returns:
            Shape (c,), in cells.
        """
        return self.marginals().mean()

    @traced_once
    def _reweighed(self, log_bins: Float[Array, "c B"]) -> Joined:
        split = self.columns.blocks.split(log_bins)

        def one(part: Segments, bins: Array, log_bins: Array) -> Segments:
            # A product with ones and zeros, as a gather is slow on a CPU.
            inside = (bins[..., None] == jnp.arange(log_bins.shape[1])).astype(log_bins.dtype)
            logits = part.log_shares() + jnp.einsum("mb,msb->ms", log_bins, inside)
            return Segments(jnp.where(part.widths > 0, logits, 0.0), part.starts, part.widths, part.ordered)

        found = {name: one(part, self.bins[name], split[name]) for name, part in self._parts.items()}
        return Joined(dict(found), self.columns.blocks)


class Tree(AbstractTree):
    r"""Columns of which each depends on its parent in a tree, through few bins.

    $\prod_j p_j(x_j)\, e^{R_j[b(x_{pa(j)}),\, b(x_j)]} / Z_j[b(x_{pa(j)})]$ with columns $p_j$ that are
    independent without a tree, the bin b of a value, and $Z_j[a] = \sum_b p_j(b)\, e^{R_j[a, b]}$. Within a bin a
    column is as $p_j$ has it. Ratios of 0 are independent columns. Sums over missing columns are exact, by messages
    along the tree.

    Args:
        columns: The columns as they would be alone, blocks of `Segments`.
        bins: The bin of each segment of the columns of a block, from 0, of shape (m, S), by the block's name.
        parents: The parent of each of the c columns, of shape (c,); a root is its own.
        order: The columns, each after its parent, of shape (c,).
        log_ratios: R, by the bin of the parent and the own bin, of shape (c, B, B).

    Source: Chow & Liu (1968), "Approximating discrete probability distributions with dependence trees"; Pearl (1988)
    for the messages.
    """

    log_ratios: Float[Array, "c B B"]

    def _weighed(self, alone: Float[Array, "c B"]) -> tuple[Array, Array, Array]:
        """The ratios over the largest of each row, the shares of the bins, and their products summed over these."""
        ratios = jnp.exp(self.log_ratios - jnp.max(self.log_ratios, axis=-1, keepdims=True))
        shares = jnp.exp(alone)
        return ratios, shares, jnp.einsum("cab,cb->ca", ratios, shares)

    def _upwards(
        self, alone: Float[Array, "c B"], seen: Float[Array, "c B"]
    ) -> tuple[Float[Array, "c B"], Float[Array, "c B"], Nats]:
        """What each column says to its parent, what its children say to it, and the log probability of what is seen."""
        # Weights, of which the largest is 1, as c B^2 exponentials a row would take far longer than their products.
        ratios, shares, whole = self._weighed(alone)
        seen = jnp.exp(seen)
        own = shares * seen

        def one(below: Array, column: Array) -> tuple[Array, tuple[Array, Array]]:
            parent = self.parents[column]
            weights = ratios[column] @ (own[column] * below[column]) / whole[column]
            # What the parent is known not to be has no part in what is the largest.
            first = jnp.arange(len(weights)) == 0
            top = jnp.maximum(jnp.max(weights * jnp.where(parent == column, first, seen[parent])), LEAST)
            message = jnp.clip(weights / top, FAINT, 1.0 / FAINT)
            told = below[parent] * jnp.where(parent == column, 1.0, message)
            # The product of many messages is as small as none of them.
            most = jnp.maximum(jnp.max(told * seen[parent]), LEAST)
            below = jax.lax.dynamic_update_index_in_dim(below, told / most, parent, 0)
            return below, (message, jnp.log(top) + jnp.log(most))

        below, (messages, tops) = jax.lax.scan(one, jnp.ones_like(own), self.order[::-1])
        return jnp.zeros_like(messages).at[self.order[::-1]].set(messages), below, jnp.sum(tops)

    @traced_once
    def log_prob_terms(self, event: Shaped[Array, " c"]) -> Float[Array, " c"]:
        """The log probability of each cell given that of its parent."""
        bins, alone = self.bins_of(event), self._alone()
        here = (bins[:, None] == jnp.arange(alone.shape[1])).astype(alone.dtype)
        # Products with ones and zeros: gathers and their gradients are slow on a CPU.
        ratios = jnp.einsum("ca,cab->cb", here[self.parents], self.log_ratios)
        own = jnp.sum(here * ratios, axis=1)
        return self.columns.log_prob_terms(event) + own - jax.nn.logsumexp(alone + ratios, axis=-1)

    @traced_once
    def log_prob_observed(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Nats:
        """The log probability of the observed cells of one row, summed over the others, in nats."""
        log_bins = self._alone()
        seen, terms = self._seen(event, mask, log_bins)
        # As `_upwards`, in logs: their slopes stay finite however sure a column is.
        most = jnp.max(self.log_ratios, axis=-1)
        ratios = jnp.exp(self.log_ratios - most[..., None])
        log_whole = jnp.log(jnp.einsum("cab,cb->ca", ratios, jnp.exp(log_bins)))
        log_bins = log_bins + seen

        def one(below: Array, column: Array) -> tuple[Array, Array]:
            own = log_bins[column] + below[column]
            top = jnp.max(own)
            message = jnp.log(ratios[column] @ jnp.exp(own - top)) + top - log_whole[column]
            parent = self.parents[column]
            root = parent == column
            return below.at[parent].add(jnp.where(root, 0.0, message)), jnp.where(root, message[0], 0.0)

        _, roots = jax.lax.scan(one, jnp.zeros_like(log_bins), self.order[::-1])
        return jnp.sum(roots) + jnp.sum(terms)

    @traced_once
    def conditioned(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> "Tree":
        """The same columns, given the observed cells."""
        alone = self._alone()
        seen, _ = self._seen(event, mask, alone)
        _, below, _ = self._upwards(alone, seen)
        # What is known weighs the bins of a column, whatever its parent is.
        return eqx.tree_at(lambda t: t.columns, self, self._reweighed(seen + _log(below)))

    def _given(self, seen: Float[Array, "c B"], alone: Float[Array, "c B"]) -> Joined:
        return self._reweighed(self._others(seen, alone)[0] - alone)

    def _log_seen(self, seen: Float[Array, "c B"], alone: Float[Array, "c B"]) -> Nats:
        """The log probability of what is seen of the bins."""
        return self._upwards(alone, seen)[2]

    def _others(self, seen: Float[Array, "c B"], alone: Float[Array, "c B"]) -> tuple[Float[Array, "c B"], Nats]:
        """The log probability of each bin of each column given what is seen of the others, not normalised; of all."""
        messages, below, log = self._upwards(alone, seen)
        ratios, shares, whole = self._weighed(alone)
        own = shares * jnp.exp(seen)

        def one(joint: Array, column: Array) -> tuple[Array, Array]:
            # What the parent may be without the own column, then the own one without its own cell.
            parent = self.parents[column]
            above = jnp.where(parent == column, jnp.arange(joint.shape[1]) == 0, joint[parent] / messages[column])
            others = (above / whole[column]) @ ratios[column] * below[column]
            found = own[column] * others
            found = found / jnp.maximum(jnp.sum(found), LEAST)
            return jax.lax.dynamic_update_index_in_dim(joint, found, column, 0), others

        _, others = jax.lax.scan(one, jnp.zeros_like(own), self.order)
        return alone + _log(jnp.zeros_like(others).at[self.order].set(others)), log

    @traced_once
    def sample(self, *, key: Key) -> Float[Array, " c"]:
        """Draw one row, each column after its parent."""
        alone = self._alone()
        # One draw of noise: of a program that draws, the generator takes longest to compile.
        count = alone.size + sum(part.noise for part in self._parts.values())
        u = jax.random.uniform(key, (count,), alone.dtype, minval=jnp.finfo(jnp.float32).tiny)
        noise = -jnp.log(-jnp.log(u[: alone.size])).reshape(alone.shape)

        def one(bins: Array, column: Array) -> tuple[Array, None]:
            ratios = self.log_ratios[column, bins[self.parents[column]]]
            return bins.at[column].set(jnp.argmax(alone[column] + ratios + noise[column])), None

        bins = jax.lax.scan(one, jnp.zeros(len(self.parents), int), self.order)[0]
        here = bins[:, None] == jnp.arange(alone.shape[1])
        return self._reweighed(jnp.where(here, 0.0, NEVER)).sample_segments(u[alone.size :])

    def within(self, low: Float[Array, " c"], high: Float[Array, " c"]) -> tuple["Tree", Nats]:
        """The same columns, given that each lies in a range."""
        _, below, mass = self._upwards(self._alone(), self._kept(low, high))
        columns, _ = self.columns.within(low, high)
        inside = eqx.tree_at(lambda t: t.columns, self, columns)
        return eqx.tree_at(lambda t: t.columns, self, inside._reweighed(_log(below))), mass


def _log(p: Float[Array, "c B"]) -> Float[Array, "c B"]:
    """The log of probabilities, of `LEAST` and less that of `LEAST`."""
    # By two choices, as a second slope of log(max(p, LEAST)) is 0 times infinity.
    far = p > LEAST
    return jnp.where(far, jnp.log(jnp.where(far, p, 1.0)), math.log(LEAST))
