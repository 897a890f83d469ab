"""Rows in memory with all that belongs to them."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from latens.data.batches import Batch
from latens.data.rows import SPLITS, TEST, TRAIN, VALIDATION, row_keys, split_by_hash, split_code
from latens.data.schema import Schema
from latens.errors import DataError

BLOCK = 65536
"""Rows of one block of `order`. Data of up to this many training rows are shuffled as a whole."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as `latens.data.load` gives it.

    **Arguments:** `x` of shape (n, *shape) as stored (uint8 stays uint8); `schema`; `row_id` uint32, what a row's
    random key is made of; `names` the user's row ids (int64 or text); `split` uint8 (0 train, 1 validation, 2 test);
    `name` of the data set; `label` int32 codes into `schema.classes` (-1: none); `mask` True where a cell was
    observed; `cond` named conditions, each led by n; `weight` float32, how often a row counts; `held_out` False where
    the test rows serve as validation; `notes` what reading left out or changed, a sentence each; `hidden` True where
    training must not see the label; `labelled_share` of the rows of an epoch that have a label (None: as they come).
    """

    x: np.ndarray
    schema: Schema
    row_id: np.ndarray
    names: np.ndarray
    split: np.ndarray
    name: str
    label: np.ndarray | None = None
    mask: np.ndarray | None = None
    cond: dict[str, Any] | None = None
    weight: np.ndarray | None = None
    held_out: bool = True
    notes: tuple[str, ...] = ()
    hidden: np.ndarray | None = None
    labelled_share: float | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, ids: np.ndarray) -> Batch:
        """The rows at these positions, gathered with NumPy; every leaf of the batch is a NumPy array."""

        def take(array: np.ndarray | None) -> Any:
            return None if array is None else array[ids]

        return Batch(
            x=self.x[ids],
            row_id=self.row_id[ids],
            mask=take(self.mask),
            weight=take(self.weight if self._factor is None else self._factor),
            cond=None if self.cond is None else {key: value[ids] for key, value in self.cond.items()},
            label=take(self.seen_label),
        )

    @cached_property
    def seen_label(self) -> np.ndarray | None:
        """`label` with -1 where it is hidden."""
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
        """Positions of the rows of "train", "validation" or "test", in the order of the data.

        Where `held_out` is False, "validation" are the test rows.

        **Raises:** `DataError` if there is none and `required`.
        """
        code = split_code(which)
        if code == VALIDATION and not self.held_out:
            code = TEST
        positions = np.flatnonzero(self.split == code)
        if required and not len(positions):
            raise DataError(
                f"none of the {len(self)} rows is a {SPLITS[code]} row.",
                where=self.name,
                fix="Rows are split 80/10/10 by a hash of their ids: give more rows, or other ids (--id NAME).",
            )
        return positions

    def order(self, seed: int, epoch: int, *, block: int = BLOCK) -> np.ndarray:
        """Positions of the training rows in the order of one epoch: shuffled blocks with shuffled rows within.

        Each block has a random stream of its own (Philox, keyed by seed and epoch, counted by block), so a shard can
        draw its blocks without the others. The same everywhere for the same numpy. With a `labelled_share`, rows with
        a label stand in it so much more often, and so many of the others wait for another epoch.
        """
        rows = self.subset(TRAIN)
        key = np.array([seed % 2**64, epoch % 2**64], np.uint64)

        def shuffled(stream: int, n: int) -> np.ndarray:
            counter = np.array([0, 0, 0, stream], np.uint64)
            return np.random.Generator(np.random.Philox(key=key, counter=counter)).permutation(n)

        blocks = [rows[start : start + block] for start in range(0, len(rows), block)]
        ordered = [blocks[b][shuffled(b + 1, len(blocks[b]))] for b in map(int, shuffled(0, len(blocks)))]
        order = np.concatenate(ordered) if ordered else rows
        if self.labelled_share is None or self.seen_label is None:
            return order
        known = self.seen_label[order] >= 0
        drawn = labelled_rows(len(order), int(known.sum()), self.labelled_share)
        mixed = np.concatenate([np.resize(order[known], drawn), order[~known][: len(order) - drawn]])
        return mixed[shuffled(len(blocks) + 1, len(mixed))]

    def test_as_validation(self) -> "Dataset":
        """The same rows with validation rows joined to training and the test rows used as validation.

        Some published programs do so; their numbers are then not held out, which `held_out` records.
        """
        split = np.where(self.split == VALIDATION, TRAIN, self.split).astype(np.uint8)
        return dataclasses.replace(self, split=split, held_out=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the cells with shape and type, the mask, labels, weights, conditions, names and split."""
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
            if array is not None:
                little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
                digest.update(f"\n{key} {little.dtype.str} {little.shape}\n".encode())
                digest.update(little.reshape(-1).view(np.uint8).data if little.size else b"")
        return digest.hexdigest()


def labelled_rows(rows: int, labelled: int, share: float) -> int:
    """How many of the rows of an epoch have a label: the share asked for, and never fewer than there are."""
    return labelled if labelled in (0, rows) else max(labelled, min(round(share * rows), rows - 1))


__all__ = ["TEST", "TRAIN", "VALIDATION", "Dataset", "row_keys", "split_by_hash"]
