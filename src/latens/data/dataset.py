"""Rows, in memory or mapped from a file, with all that belongs to them."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from latens.data.mapped import change, parts_of, places, release, smallest, take
from latens.data.row_fields import SPLITS, TEST, TRAIN, VALIDATION, mix, philox, row_keys, split_by_hash
from latens.data.schema import Schema
from latens.errors import DataError, UsageError
from latens.kinds.counts.sparse import SMALL, SparseRows
from latens.kinds.steps.sequences import Places
from latens.typing import AnyArray, Array, Bool, Float, Int, PyTree, Shaped, UInt32


class Batch(eqx.Module):
    """Rows of data with all that belongs to them; every leaf has B as its leading axis.

    Args:
        x: The observations, an array of shape (B, *x) or a tree of arrays; of many rows on their way to an evaluation,
            which takes a few at a time, also `SparseRows`.
        row_id: What a row's random key is made of, shape (B,), so that permuting, chunking or padding a batch keeps
            every row's noise; None for the row's position, 0 to B - 1.
        mask: True where a feature of `x` is observed, in the tree of `x`; None where all are.
        weight: How many times each row counts (0 for padding), shape (B,); None for once.
        cond: Named conditions.
        label: Number of each row's class, shape (B,); -1 for none.
        length: Length of each row, shape (B,); it is only passed on.
    """

    x: PyTree[Shaped[AnyArray, "B ..."] | Shaped[SparseRows, "B D"]]
    row_id: UInt32[AnyArray, " B"] = None  # pyright: ignore[reportAssignmentType]
    mask: PyTree[Bool[AnyArray, "B ..."]] | None = None
    weight: Float[AnyArray, " B"] | None = None
    cond: dict[str, Any] | None = None
    label: Int[AnyArray, " B"] | None = None
    length: Int[AnyArray, " B"] | None = None

    def __post_init__(self) -> None:
        if self.row_id is None:
            rows = jax.tree.leaves(self.x)[0].shape[0]
            self.row_id = jnp.arange(rows, dtype=jnp.uint32)

    @property
    def weights(self) -> Float[Array, " B"]:
        """`weight`, or ones where none was given."""
        return jnp.ones(self.row_id.shape[0]) if self.weight is None else jnp.asarray(self.weight)


def hash_rows(x: np.ndarray) -> np.ndarray:
    """Make a 32-bit id for each row from its bytes, for rows without a name.

    FNV-1a over 8-byte words, mixed. Equal rows get equal ids, in any order and any batch.

    Args:
        x: The rows, shape (n, *x).

    Returns:
        The ids, uint32 of shape (n,).
    """
    rows = np.ascontiguousarray(x).reshape(len(x), -1)
    raw = rows.view(np.uint8).reshape(len(x), -1)
    pad = -raw.shape[1] % 8
    words = np.pad(raw, ((0, 0), (0, pad))).view(np.uint64)
    state = np.full(len(x), 0xCBF29CE484222325, np.uint64)
    with np.errstate(over="ignore"):
        for column in words.T:
            state = (state ^ column) * np.uint64(0x100000001B3)
            state ^= state >> np.uint64(29)
    return mix(state)


def as_batch(x: PyTree, **fields: Any) -> Batch:
    """Make a `Batch` of arrays; rows without a `row_id` get one from their bytes (inside `jit`: from their position).

    Args:
        x: An array with B as its leading axis, or a tree of them.
        **fields: The other fields of `Batch`.

    Returns:
        The batch.

    Raises:
        DataError: For masked arrays.
    """
    if any(isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(leaf) for leaf in jax.tree.leaves(x)):
        fix = "Give both: as_batch(x.filled(0), mask=~np.ma.getmaskarray(x)); or latens.read(x)."
        raise DataError("a batch holds cells and their mask separately.", where="x", fix=fix)
    row_id = fields.pop("row_id", None)
    if row_id is None and any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
        return Batch(x, **fields)
    if row_id is None:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
        row_id = hash_rows(leaves[0])
        for leaf in leaves[1:]:
            row_id = mix(row_id.astype(np.uint64) << np.uint64(32) | hash_rows(leaf).astype(np.uint64))
    return Batch(
        jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)), x),
        jax.device_put(np.asarray(row_id, np.uint32)),
        **fields,
    )


_HASHED = 2**20
BLOCK = 65536
"""Rows of one block of `order`. Data of up to this many training rows are shuffled as a whole."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: rows with labels, ids, weights, conditions, a mask and splits.

    Args:
        x: The rows as stored, shape (n, *shape): an array, which can be mapped from a file, or `SparseRows`.
        schema: The schema of the columns or pixels.
        row_id: Numbers that determine the random key of each row, uint32 of shape (n,).
        names: The row ids of the user (int64 or text), shape (n,).
        split: 0 for training, 1 for validation and 2 for test rows, uint8 of shape (n,).
        name: Name of the data set.
        label: Codes of `schema.classes`, int32 of shape (n,); -1 is a missing label.
        mask: True for observed cells, in the shape of `x`.
        outside: The number of grid steps by which a number of a mixed table is below (negative) or above those of the
            training rows, in the shape of `x`. None: no column has a grid.
        cond: Conditions by name, each with n as its first axis.
        weight: Weights of the rows, float32 of shape (n,).
        held_out: False if the test rows are also the validation rows.
        notes: Sentences that describe what reading omitted or changed.
        hidden: True if training must not use the label, shape (n,).
        labelled_share: Share of labelled rows in an epoch. None: as in the data.
        label_name: The name of the label.
        unseen: Cells with categories that the schema lacks, as row, column and category. They count as missing.
        places: For sequences, the positions of their steps in the long table.
        kept: The positions of these rows among all rows that were read. None: all rows.
        cells: Whether the rows are single cells from AnnData, and the columns are genes.
    """

    x: Any
    schema: Schema
    row_id: np.ndarray
    names: np.ndarray
    split: np.ndarray
    name: str
    label: np.ndarray | None = None
    mask: np.ndarray | None = None
    outside: np.ndarray | None = None
    cond: dict[str, Any] | None = None
    weight: np.ndarray | None = None
    held_out: bool = True
    notes: tuple[str, ...] = ()
    hidden: np.ndarray | None = None
    labelled_share: float | None = None
    label_name: str = "label"
    unseen: tuple[tuple[int, int, str], ...] = ()
    kept: np.ndarray | None = None
    cells: bool = False
    places: Places | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, ids: np.ndarray, *, sparse: bool = False) -> Batch:
        """Gather rows with NumPy.

        Args:
            ids: Positions, shape (B,).
            sparse: Whether many rows of a sparse matrix stay sparse.

        Returns:
            A batch of NumPy arrays. With `sparse`, its `x` can be `SparseRows`.
        """
        many = sparse and isinstance(self.x, SparseRows) and len(ids) * self.x.shape[1] > SMALL

        def given(array: np.ndarray | None) -> Any:
            return None if array is None else take(array, ids)

        return Batch(
            x=self.x.take(ids, axis=0) if many else take(self.x, ids),
            row_id=take(self.row_id, ids),
            mask=given(self.mask),
            weight=given(self.weight if self._factor is None else self._factor),
            cond=None if self.cond is None else {key: value[ids] for key, value in self.cond.items()},
            label=given(self.seen_label),
        )

    @cached_property
    def seen_label(self) -> np.ndarray | None:
        """Return the labels that training may use: `label` with -1 for hidden labels.

        Returns:
            int32 of shape (n,), or None without labels.
        """
        if self.label is None or self.hidden is None:
            return self.label
        return np.where(self.hidden, np.int32(-1), self.label)

    @cached_property
    def _factor(self) -> np.ndarray | None:
        """`weight` times the inverse of how much more often than the others a training row is drawn."""
        if self.labelled_share is None or self.seen_label is None:
            return None
        train, known = self.split == TRAIN, self.seen_label >= 0
        rows, labelled = int(train.sum()), int((train & known).sum())
        drawn = labelled_rows(rows, labelled, self.labelled_share)
        factor = np.ones(len(self), np.float32)
        factor[train & known] = labelled / max(drawn, 1)
        factor[train & ~known] = (rows - labelled) / max(rows - drawn, 1)
        return factor if self.weight is None else factor * self.weight

    def subset(self, which: str | int, *, required: bool = False) -> np.ndarray:
        """Find the positions of the rows of one split, in the order of the data.

        Where `held_out` is False, "validation" are the test rows.

        Args:
            which: "train", "validation" or "test", or its code.
            required: Whether an empty split is an error.

        Returns:
            The positions.

        Raises:
            DataError: If there is none and `required`.
        """
        code = _split_code(which)
        if code == VALIDATION and not self.held_out:
            code = TEST
        positions = places(self.split, code)
        if required and not len(positions):
            fix = "Rows are split 80/10/10 by a hash of their ids: give more rows, or other ids (--id NAME)."
            raise DataError(f"none of the {len(self)} rows is a {SPLITS[code]} row.", where=self.name, fix=fix)
        return positions

    def count(self, which: str | int) -> int:
        """Count the rows of one split.

        Args:
            which: "train", "validation" or "test", or its code.

        Returns:
            How many there are.
        """
        return int(np.count_nonzero(self.split == _split_code(which))) if self.held_out else len(self.subset(which))

    def order(self, seed: int, epoch: int, *, block: int = BLOCK) -> np.ndarray:
        """Shuffle the training rows for one epoch: shuffled blocks with shuffled rows within.

        Each block has a random stream of its own (Philox, keyed by seed and epoch, counted by block), so a shard can
        draw its blocks without the others. The same everywhere for the same numpy. With a `labelled_share`, rows with
        a label stand in it so much more often, and so many of the others wait for another epoch.

        Args:
            seed: Seed of the order.
            epoch: Number of the epoch, from 0.
            block: Rows in a block.

        Returns:
            The positions of the training rows.
        """
        shuffled = Shuffled(self.split, seed, epoch, block)
        order = shuffled[:]
        if self.labelled_share is None or self.seen_label is None:
            return order
        known = self.seen_label[order] >= 0
        drawn = labelled_rows(len(order), int(known.sum()), self.labelled_share)
        mixed = np.concatenate([np.resize(order[known], drawn), order[~known][: len(order) - drawn]])
        return mixed[shuffled.draw(shuffled.blocks + 1, len(mixed))]

    def test_as_validation(self) -> "Dataset":
        """Join the validation rows to training and use the test rows as validation.

        Some published programs do so; their numbers are then not held out, which `held_out` records.

        Returns:
            The data set with the same rows.
        """
        return dataclasses.replace(self.validation_as_train(), held_out=False)

    def validation_as_train(self) -> "Dataset":
        """Join the validation rows to training, so that no rows validate.

        Returns:
            The data set with the same rows.
        """
        joined = change(lambda split: np.where(split == VALIDATION, np.uint8(TRAIN), split), self.split)
        return dataclasses.replace(self, split=joined)

    @cached_property
    def fingerprint(self) -> str:
        """Hash the data with SHA-256: values with shape and type, mask, labels, weights, conditions, names and split.

        Returns:
            The hash in hexadecimal digits.
        """
        digest = hashlib.sha256(b"latens dataset 1\n")
        arrays = {"x": self.x, "split": self.split, "mask": self.mask, "label": self.label, "weight": self.weight}
        for key, value in sorted((self.cond or {}).items()):
            arrays[f"cond.{key}"] = value
        names = self.names
        if names.dtype.kind not in "iu":
            digest.update(json.dumps(names.tolist()).encode())
        else:
            arrays["names"] = names
        for key, array in arrays.items():
            if isinstance(array, SparseRows):  # as the array would be
                little = array.dtype.newbyteorder("<")
                digest.update(f"\n{key} {little.str} {array.shape}\n".encode())
                step = max(1, _HASHED // max(1, array.shape[1]))
                for start in range(0, len(array), step):
                    rows = np.ascontiguousarray(array[start : start + step], little)
                    digest.update(rows.reshape(-1).view(np.uint8).data)
            elif array is not None:
                kind = array.dtype.newbyteorder("<")
                digest.update(f"\n{key} {kind.str} {array.shape}\n".encode())
                for _, part in parts_of(array):
                    little = np.ascontiguousarray(part, kind)
                    digest.update(little.reshape(-1).view(np.uint8).data if little.size else b"")
        return digest.hexdigest()


class Shuffled:
    """The training rows in the order of an epoch, found for one block after the other."""

    def __init__(self, split: np.ndarray, seed: int, epoch: int, block: int) -> None:
        self.split, self.key, self.block = split, (seed, epoch), block
        # How many training rows there are before each part of as many rows as a block has.
        counts = [int(np.count_nonzero(split[at : at + block] == TRAIN)) for at in range(0, len(split), block)]
        self.before = np.cumsum([0, *counts])
        self.rows = int(self.before[-1])
        self.blocks = -(-self.rows // block)
        self.turn = self.draw(0, self.blocks)
        sizes = np.minimum(block, self.rows - self.turn * block)
        self.starts = np.cumsum([0, *sizes])
        self._last = (-1, np.zeros(0, np.int64))

    def draw(self, stream: int, n: int) -> np.ndarray:
        """Shuffle the numbers 0 to n - 1 with a random stream of its own."""
        return philox(self.key, (0, 0, 0, stream)).permutation(n)

    def _block(self, at: int) -> np.ndarray:
        """The rows of the block that is met as number `at`."""
        if self._last[0] != at:
            first = int(self.turn[at]) * self.block
            last = min(first + self.block, self.rows)
            low, high = np.searchsorted(self.before, [first, last - 1], side="right") - 1
            start = int(low) * self.block
            found = start + np.flatnonzero(self.split[start : (int(high) + 1) * self.block] == TRAIN)
            rows = found[first - self.before[low] :][: last - first]
            self._last = (at, rows[self.draw(int(self.turn[at]) + 1, len(rows))])
        return self._last[1]

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, places: slice) -> np.ndarray:
        start, stop, _ = places.indices(self.rows)
        found = []
        while start < stop:
            at = int(np.searchsorted(self.starts, start, side="right")) - 1
            found.append(self._block(at)[start - self.starts[at] : stop - self.starts[at]])
            start = min(stop, int(self.starts[at + 1]))
        return np.concatenate(found) if found else np.zeros(0, np.int64)


ROW_FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight", "hidden", "places")
"""Of `Dataset`, the arrays that are led by the rows, beside `cond`."""


def rows_at(data: Dataset, rows: np.ndarray) -> Dataset:
    """Take some rows of a data set, in an order of their own."""
    taken = {name: None if (array := getattr(data, name)) is None else array[rows] for name in ROW_FIELDS}
    cond = None if data.cond is None else {name: array[rows] for name, array in data.cond.items()}
    return dataclasses.replace(data, **taken, cond=cond)


def labelled_rows(rows: int, labelled: int, share: float) -> int:
    """Count the rows of an epoch that have a label: the share asked for, and never fewer than there are."""
    return labelled if labelled in (0, rows) else max(labelled, min(round(share * rows), rows - 1))


def first_rows(data: Dataset, positions: np.ndarray, most: int | None) -> np.ndarray:
    """Give the positions of the rows of the smallest ids among some, in the order of the ids."""

    def ids(rows: np.ndarray) -> np.ndarray:
        found = np.asarray(data.row_id[rows])
        release(data.row_id)
        return found

    return smallest(positions, len(positions) if most is None else most, ids)


def training_rows(data: Dataset, most: int | None = None) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Training rows in the order of their ids, with masks and weights."""
    kept = first_rows(data, data.subset("train"), most)
    weight = np.ones(len(kept)) if data.weight is None else data.weight[kept].astype(np.float64)
    return np.asarray(take(data.x, kept)), None if data.mask is None else take(data.mask, kept), weight


__all__ = ["TEST", "TRAIN", "VALIDATION", "Dataset", "row_keys", "split_by_hash"]


def keep_labels(data: Dataset, count: int, seed: int) -> Dataset:
    """Hide all labels of training rows but some: as many of each class, chosen at random."""
    # Labels of validation and test rows stay; so does the fingerprint, because the data are the same.
    classes = data.schema.classes or ()
    if data.label is None or not classes:
        raise DataError("there are no labels to keep.", where=data.name, fix="Name their column: --label NAME.")
    if count < len(classes):
        fix = f"Give {len(classes)} or more."
        what = f"data.labelled={count} is fewer than one label for each of {len(classes)} classes."
        raise DataError(what, where="data.labelled", fix=fix)
    generator, kept = np.random.default_rng(seed), np.zeros(len(data), bool)
    for code, name in enumerate(classes):
        share = count // len(classes) + (code < count % len(classes))
        rows = np.flatnonzero((data.split == TRAIN) & (data.label == code))
        if len(rows) < share:
            message = f"class {name!r} has {len(rows)} training rows with a label; {share} were asked for."
            raise DataError(message, where="data.labelled", fix="Ask for fewer, or leave it out to keep every label.")
        kept[generator.permutation(rows)[:share]] = True
    return dataclasses.replace(data, hidden=(data.split == TRAIN) & ~kept)


def require_labels(data: Dataset, positions: np.ndarray, where: str) -> None:
    """Refuse rows without a label."""
    label, classes = data.seen_label, data.schema.classes or ()
    missing = len(positions) if label is None else int(np.sum(label[positions] < 0))
    if missing:
        among = f" among {', '.join(classes[:5])}{' ...' * (len(classes) > 5)}" if classes else ""
        what = f"{missing} of {len(positions)} rows have no label{among}, and a conditional model needs one of each."
        fix = "Name the column of the labels with --label NAME, and leave out rows without one."
        raise DataError(what, where=where, fix=fix)


def _split_code(which: str | int) -> int:
    """Give the code of a split: 0, 1 or 2 for "train", "validation" or "test"."""
    if which not in (*SPLITS, TRAIN, VALIDATION, TEST):
        raise UsageError(f"there is no split {which!r}.", fix=f"Valid: {', '.join(SPLITS)}.")
    return SPLITS.index(which) if isinstance(which, str) else int(which)
