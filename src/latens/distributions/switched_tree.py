"""Trees of columns of which the name in one column says which one holds, and every conditional stays exact."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.blocks import Joined
from latens.distributions.tree import NEVER, AbstractTree, Tree, _log
from latens.trees import traced_once
from latens.typing import Array, Bool, Float, Int, Key, Nats, Shaped


class SwitchedTree(AbstractTree):
    r"""Columns whose ratios along a tree depend on the name in one of them.

    $p_s(x_s) \prod_{j \ne s} p_j(x_j)\, e^{R_{kj}[b(x_{pa(j)}),\, b(x_j)]} / Z_{kj}[b(x_{pa(j)})]$ with
    $k = t[b(x_s)]$: a `Tree` for each group of bins of the column s, which is itself a root without children. So the
    columns of a kind depend on one another as they do within it. Sums over missing columns are exact: a sum over the
    trees, in each of them by messages.

    Args:
        columns: The columns as they would be alone, blocks of `Segments`.
        bins: The bin of each segment of the columns of a block, from 0, of shape (m, S), by the block's name.
        parents: The parent of each of the c columns, of shape (c,); a root is its own, and s is one.
        order: The columns, each after its parent, of shape (c,).
        log_ratios: R, by the tree, the bin of the parent and the own bin, of shape (K, c, B, B); 0 of s.
        by: The column s, a whole number.
        tree_of: The tree of each bin of s, of shape (B,).
        log_weights: What is added to the log probability of each bin of s, of shape (B,).
        tilts: What is added to the log weight of each bin under each tree, of shape (K, c, B); None for nothing.

    Source: Friedman, Geiger & Goldszmidt (1997), "Bayesian network classifiers", with the class as one of the columns.
    """

    log_ratios: Float[Array, "K c B B"]
    by: Int[Array, ""]
    tree_of: Int[Array, " B"]
    log_weights: Float[Array, " B"]
    tilts: Float[Array, "K c B"] | None = None

    def _tree(self, log_ratios: Float[Array, "c B B"], tilt: Float[Array, "c B"] | None = None) -> Tree:
        tree = Tree(self.columns, self.bins, self.parents, self.order, log_ratios)
        return tree if tilt is None else eqx.tree_at(lambda t: t.columns, tree, tree._reweighed(tilt))

    def _each(self, of: Callable[[Tree], Any]) -> Any:
        """What is asked of a tree, for each of them."""
        if self.tilts is None:
            return jax.vmap(lambda ratios: of(self._tree(ratios)))(self.log_ratios)
        return jax.vmap(lambda ratios, tilt: of(self._tree(ratios, tilt)))(self.log_ratios, self.tilts)

    @property
    def _is_by(self) -> Bool[Array, " c"]:
        return jnp.arange(len(self.parents)) == self.by

    def _own(self, values: Float[Array, "c B"]) -> Float[Array, " B"]:
        """The row of the column s."""
        # A sum of products: the gradient of a row that is picked is a scatter.
        return jnp.sum(jnp.where(self._is_by[:, None], values, 0.0), axis=0)

    def _ranks(self) -> Int[Array, " c"]:
        """The place of each column in the order in which cells are taken: the name that says which tree it is first."""
        return jnp.where(self._is_by, -1, super()._ranks())

    def _plain(self, mask: Bool[Array, " c"]) -> Bool[Array, " c"]:
        """The cells of which those before them say no more than their parent does, where the tree is known."""
        return super()._plain(mask) & jnp.any(self._is_by & mask)

    def _shares(self, alone: Float[Array, "c B"]) -> Float[Array, " B"]:
        """The log probability of each bin of s."""
        return jax.nn.log_softmax(self._own(alone) + self.log_weights)

    def _by_tree(self, own: Float[Array, " B"]) -> Float[Array, " K"]:
        """Log weights of the bins of s, summed over those of each tree."""
        here = self.tree_of == jnp.arange(len(self.log_ratios))[:, None]
        return jax.nn.logsumexp(jnp.where(here, own, 4 * NEVER), axis=1)

    @traced_once
    def log_prob_terms(self, event: Shaped[Array, " c"]) -> Float[Array, " c"]:
        """The log probability of each cell given those of its parent and of s."""
        alone, bins = self._alone(), self.bins_of(event)
        here = (jnp.sum(jnp.where(self._is_by, bins, 0)) == jnp.arange(alone.shape[1])).astype(alone.dtype)
        tree = (self.tree_of == jnp.arange(len(self.log_ratios))[:, None]).astype(alone.dtype) @ here
        tilt = None if self.tilts is None else jnp.einsum("k,kcb->cb", tree, self.tilts)
        terms = self._tree(jnp.einsum("k,kcab->cab", tree, self.log_ratios), tilt).log_prob_terms(event)
        return terms + jnp.where(self._is_by, jnp.sum(here * (self._shares(alone) - self._own(alone))), 0.0)

    @traced_once
    def log_prob_observed(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> Nats:
        """The log probability of the observed cells of one row, summed over the others, in nats."""
        alone = self._alone()
        seen = self._own(self._seen(event, mask, alone)[0])
        each = self._each(lambda tree: tree.log_prob_observed(event, mask))
        # In every tree s is alone: what it says there is taken out, and its own probability is put in.
        share = jax.nn.logsumexp(each + self._by_tree(self._shares(alone) + seen))
        return share - jax.nn.logsumexp(self._own(alone) + seen)

    def _without(self, seen: Float[Array, "c B"]) -> Float[Array, " K"]:
        """The log probability under each tree of what is seen of the columns beside s."""
        beside = jnp.where(self._is_by[:, None], 0.0, seen)
        return self._each(lambda tree: tree._log_seen(beside, tree._alone()))

    def _weighed(self, tilts: Float[Array, "K c B"], log_weights: Float[Array, " B"]) -> "SwitchedTree":
        """The same columns, with more weights of the bins under each tree and of the bins of s."""
        tilts = jnp.where(self._is_by[:, None], 0.0, tilts) + (0.0 if self.tilts is None else self.tilts)
        weights = log_weights - jnp.max(log_weights)
        fields = (self.columns, self.bins, self.parents, self.order, self.log_ratios, self.by, self.tree_of)
        return SwitchedTree(*fields, weights, tilts)

    @traced_once
    def conditioned(self, event: Shaped[Array, " c"], mask: Bool[Array, " c"]) -> "SwitchedTree":
        """The same columns, given the observed cells."""
        seen, _ = self._seen(event, mask, self._alone())
        below = self._each(lambda tree: _log(tree._upwards(tree._alone(), seen)[1]))
        weights = self.log_weights + self._own(seen) + self._without(seen)[self.tree_of]
        return self._weighed(seen + below, weights)

    @traced_once
    def _given(self, seen: Float[Array, "c B"], alone: Float[Array, "c B"]) -> Joined:
        """Each column given what is seen of the bins of the others."""
        others, whole = self._each(lambda tree: tree._others(seen, tree._alone()))
        others, shares = jax.nn.log_softmax(others, axis=-1), self._shares(alone)
        whole = whole - jax.nn.logsumexp(self._own(alone) + self._own(seen))  # of the columns beside s
        # What is seen of the others under a tree: what is seen of all, without what that says of the own column.
        left = whole[:, None] - jax.nn.logsumexp(others + seen, axis=-1)
        weights = jax.nn.log_softmax(left + self._by_tree(shares + self._own(seen))[:, None], axis=0)
        mixed = jax.nn.logsumexp(weights[..., None] + others, axis=0)
        mixed = jnp.where(self._is_by[:, None], shares + whole[self.tree_of], mixed)
        return self._reweighed(mixed - alone)

    @traced_once
    def sample(self, *, key: Key) -> Float[Array, " c"]:
        """Draw one row: the bin of s, then the columns of its tree."""
        first, rest = jax.random.split(key)
        alone = self._alone()
        chosen = jax.random.categorical(first, self._shares(alone))
        held = jnp.where(jnp.arange(alone.shape[1]) == chosen, 0.0, NEVER)
        place = self.tree_of[chosen]
        ratios = jnp.where(self._is_by[:, None, None], held, self.log_ratios[place])
        return self._tree(ratios, None if self.tilts is None else self.tilts[place]).sample(key=rest)

    def within(self, low: Float[Array, " c"], high: Float[Array, " c"]) -> tuple["SwitchedTree", Nats]:
        """The same columns, given that each lies in a range."""
        alone, kept = self._alone(), self._kept(low, high)
        whole = self._without(kept)
        below = self._each(lambda tree: _log(tree._upwards(tree._alone(), kept)[1]))
        mass = jax.nn.logsumexp(self._shares(alone) + self._own(kept) + whole[self.tree_of])
        columns, _ = self.columns.within(low, high)
        inside = self._weighed(below, self.log_weights + whole[self.tree_of])
        return eqx.tree_at(lambda t: t.columns, inside, columns), mass
