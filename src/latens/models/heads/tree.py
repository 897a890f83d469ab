"""The likelihood of a mixed table whose columns depend on one another along a tree, and on the latent."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.data.columns import ColumnType
from latens.distributions import Blocks, Joined, Segments, SwitchedTree, Tree
from latens.distributions.tree import LEAST
from latens.models.heads.table import AbstractTableHead, TableHead
from latens.trees import Frozen
from latens.typing import Array, Float, Int

BINS = 8
"""Bins of names at the most, through which a column depends on its parent and its children on it; of numbers a model
may have more."""

PADDING = 256
"""Cells by which blocks may grow where they are computed together."""

PACE = 0.1
"""How fast training adds to counted ratios: at the pace of other weights, few rows move them by a nat in 100 steps."""


def bins_of(one: ColumnType, most: int = BINS) -> Int[np.ndarray, " S"]:
    """The bin of each segment: of a number neighbours of like mass, of names the frequent ones and all others."""
    shares = np.asarray(one.shares, np.float64)
    if one.count <= most:
        return np.arange(one.count)
    if one.kind == "category":
        return np.minimum(np.argsort(np.argsort(-shares, kind="stable"), kind="stable"), most - 1)
    above = np.cumsum(shares) - 0.5 * shares
    return np.unique(np.minimum((above / shares.sum() * most).astype(int), most - 1), return_inverse=True)[1]


class Bins(eqx.Module):
    """The bin of each segment of every column."""

    of: dict[str, Frozen]  # by the name of the block, of shape (m, S)
    counts: tuple[int, ...] = eqx.field(static=True)  # segments of each column
    blocks: Blocks

    def __init__(self, each: Sequence[np.ndarray], blocks: Blocks) -> None:
        self.counts, self.blocks, self.of = tuple(len(one) for one in each), blocks, {}
        for name, places in zip(blocks.names, blocks.places):
            wide = max(len(each[place]) for place in places)
            rows = [np.pad(each[place], (0, wide - len(each[place]))) for place in places]
            self.of[name] = Frozen(jnp.asarray(np.stack(rows), jnp.int32))

    def columns(self) -> list[np.ndarray]:
        """The bins of each column."""
        places = zip(self.blocks.names, self.blocks.places)
        rows = {i: row for name, own in places for i, row in zip(own, self.of[name].value)}
        return [np.asarray(rows[i])[:count] for i, count in enumerate(self.counts)]

    def grown_from(self, old: "Bins") -> "Bins":
        """The bins of names that were there, and for later ones those that are free, then the last."""
        pairs = zip(old.columns(), self.counts)
        last = lambda was: max(BINS - 1, int(was.max(initial=0)))  # noqa: E731
        each = [np.concatenate([was, np.minimum(np.arange(len(was), count), last(was))]) for was, count in pairs]
        return Bins(each, self.blocks)


class TreeHead(AbstractTableHead):
    r"""Columns along a tree: p(x_j | x_parent(j), z), of a tree that is counted and a latent that tilts it."""

    # most: bins of a column at the most.
    # num_trees: how many trees there are, of which the name in one column says which one holds.

    # The outputs tilt what a column is alone; the ratios of the tree are those that were counted, and what training
    # adds to them. Outputs of 0 are the counted tree, so that weight decay leads back to it. Without a counted tree
    # every column is a root, and columns are independent given the latent.

    shape: tuple[int, ...] = eqx.field(static=True)
    columns: TableHead
    bins: Bins
    parents: Frozen
    order: Frozen
    counted: Frozen  # log ratios of the tree that was counted, of shape (c, B, B), or of the trees, (K, c, B, B)
    more: Float[Array, "*K c B B"]  # what training adds to them, divided by PACE
    by: Frozen | None  # the column whose name says which tree holds; None: there is one tree
    tree_of: Frozen | None  # the tree of each bin of that column, of shape (B,)

    def __init__(self, types: Sequence[ColumnType], most: int = BINS, num_trees: int = 1) -> None:
        self.columns = TableHead(types)
        self.shape, self.bins = self.columns.shape, Bins([bins_of(one) for one in types], self.columns.blocks)
        alone = jnp.arange(len(types), dtype=jnp.int32)
        self.parents, self.order = Frozen(alone), Frozen(alone)
        shape = (*([num_trees] if num_trees > 1 else []), len(types), most, most)
        self.counted, self.more = Frozen(jnp.zeros(shape, jnp.float32)), jnp.zeros(shape, jnp.float32)
        self.by = Frozen(jnp.zeros((), jnp.int32)) if num_trees > 1 else None
        self.tree_of = Frozen(jnp.zeros(most, jnp.int32)) if num_trees > 1 else None

    @property
    def num_outputs(self) -> int:
        """As many as those of all columns together."""
        return self.columns.num_outputs

    @property
    def decoded(self) -> int:
        """How many numbers the distribution of one row holds beside the ratios."""
        return self.columns.decoded

    @property
    def most(self) -> int:
        """How many bins a column may have."""
        return self.more.shape[-1]

    @property
    def num_trees(self) -> int:
        """How many trees there are."""
        return 1 if self.by is None else len(self.more)

    def slots(self) -> list[tuple[int, int] | None]:
        """Which column and which of its segments or functions each output is of; None where it is of none."""
        return self.columns.slots()

    def with_tree(
        self,
        parents: Int[np.ndarray, " c"],
        order: Int[np.ndarray, " c"],
        log_ratios: Shaped[np.ndarray, "*K c B B"],
        bins: Sequence[np.ndarray] | None = None,
        by: int | None = None,
        tree_of: Int[np.ndarray, " B"] | None = None,
    ) -> "TreeHead":
        """The head with a tree that was counted, and its bins; None for those that it has."""
        given = Frozen(jnp.asarray(parents, jnp.int32)), Frozen(jnp.asarray(order, jnp.int32))
        counted = Frozen(jnp.asarray(log_ratios, jnp.float32))
        new = (*given, counted, self.bins if bins is None else Bins(bins, self.columns.blocks))
        head = eqx.tree_at(lambda h: (h.parents, h.order, h.counted, h.bins), self, new)
        if tree_of is None:
            return head
        # Where no column says which tree holds it is the first one, whatever stands in the first column.
        by = 0 if by is None else by
        switch = Frozen(jnp.asarray(by, jnp.int32)), Frozen(jnp.asarray(tree_of, jnp.int32))
        return eqx.tree_at(lambda h: (h.by, h.tree_of), head, switch)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Tree | SwitchedTree:
        """The distribution of one row."""
        parents = self.parents.value
        child = (parents != jnp.arange(len(parents)))[:, None, None]
        columns, bins = gathered(self.columns(outputs), {name: one.value for name, one in self.bins.of.items()})
        if self.by is None or self.tree_of is None:
            ratios = self.counted.value + jnp.where(child, PACE * self.more, 0.0)
            return Tree(columns, bins, parents, self.order.value, ratios)
        switch = self.by.value, self.tree_of.value
        # A root depends on the kind alone: on no bin of a parent.
        more = jnp.where(child, self.more, self.more[..., :1, :])
        switched = (jnp.arange(len(parents)) == self.by.value)[:, None, None]
        ratios = self.counted.value + jnp.where(switched, 0.0, PACE * more)
        return SwitchedTree(
            columns, bins, parents, self.order.value, ratios, *switch, jnp.zeros(self.counted.value.shape[-1])
        )


SAYS = 1e-4
"""Nats from which on a root of several trees counts as one that depends on which of them holds."""


def edges_of(head: TreeHead) -> tuple[Int[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """The column that each depends on, and what it says of it in nats where the outputs are 0; roots are their own."""
    # Of several trees these are means over the names that say which one holds; their roots depend on that column.
    tree, parents = head(jnp.zeros(head.num_outputs)), np.array(head.parents.value)
    if not isinstance(tree, SwitchedTree):
        return parents, _nats(tree)[0]
    weights = np.exp(np.asarray(tree._by_tree(tree._shares(tree._alone())), np.float64))
    nats, shares = (np.array(one) for one in zip(*(_nats(tree._tree(ratios)) for ratios in tree.log_ratios)))
    found, mean = weights @ nats, np.einsum("k,kcb->cb", weights, shares)
    switched = np.einsum("k,kcb->c", weights, shares * np.log(np.maximum(shares, LEAST) / np.maximum(mean, LEAST)))
    roots = parents == np.arange(len(parents))
    roots[int(tree.by)] = False
    roots &= switched > SAYS
    return np.where(roots, int(tree.by), parents), np.where(roots, switched, found)


def _nats(tree: Tree) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, "c B"]]:
    """What the parent of each column says of it, and the share of each of its bins."""
    alone, log_ratios = np.asarray(tree._alone(), np.float64), np.asarray(tree.log_ratios, np.float64)
    shares, nats = np.zeros(alone.shape), np.zeros(len(alone))
    for column in np.asarray(tree.order).tolist():
        parent, joint = int(tree.parents[column]), np.exp(alone[column] + log_ratios[column])
        joint /= joint.sum(axis=1, keepdims=True)
        if parent == column:
            shares[column] = joint[0]
            continue
        joint *= shares[parent][:, None]
        shares[column] = joint.sum(axis=0)
        apart = np.maximum(joint, LEAST) / np.maximum(np.outer(shares[parent], shares[column]), LEAST)
        nats[column] = max(float((joint * np.log(apart)).sum()), 0.0)
    return nats, shares


def gathered(columns: Joined, bins: dict[str, Array]) -> tuple[Joined, dict[str, Array]]:
    """The same columns in fewer blocks, with their bins: a program repeats everything for each block."""
    # Blocks are padded to the segments of the widest one of a group, where this adds `PADDING` cells at the most.
    groups: list[list[str]] = []
    parts: dict[str, Segments] = columns.parts  # pyright: ignore[reportAssignmentType]
    wide = lambda names: max(parts[name].starts.shape[1] for name in names)  # noqa: E731
    cells = lambda names: sum(parts[name].starts.size for name in names)  # noqa: E731
    rows = lambda names: sum(parts[name].starts.shape[0] for name in names)  # noqa: E731
    for name in sorted(parts, key=lambda name: (parts[name].ordered, parts[name].starts.shape[1])):
        joint = [*groups[-1], name] if groups and parts[groups[-1][0]].ordered == parts[name].ordered else []
        if joint and rows(joint) * wide(joint) - cells(joint) <= PADDING:
            groups[-1] = joint
        else:
            groups.append([name])
    if len(groups) == len(parts):
        return columns, bins
    made, own = {}, {}
    for names in groups:
        pads = [((0, 0), (0, wide(names) - parts[name].starts.shape[1])) for name in names]
        joint = lambda arrays, pads=pads: jnp.concatenate([jnp.pad(*each) for each in zip(arrays, pads)])  # noqa: E731
        each = [parts[name] for name in names]
        made[names[0]] = Segments(
            joint([p.logits for p in each]),
            joint([p.starts for p in each]),
            joint([p.widths for p in each]),
            each[0].ordered,
        )
        own[names[0]] = joint([bins[name] for name in names])
    old = dict(zip(columns.blocks.names, columns.blocks.places))
    places = tuple(tuple(place for name in names for place in old[name]) for names in groups)
    return Joined(made, Blocks(tuple(names[0] for names in groups), places)), own
