"""A data set whose training rows stay on disk."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.dataset import Dataset
from latens.data.formats.source import MOST_ROWS, WINDOW
from latens.data.rows import SPLITS, TEST, TRAIN, VALIDATION, split_code
from latens.data.streams.index import Index, write
from latens.data.streams.order import Order
from latens.data.streams.stream import Stream
from latens.io.json import to_json


@dataclass(frozen=True, eq=False)
class StreamDataset(Dataset):
    """A data set whose training rows are read in windows; its arrays hold a sample of the rows of each split."""

    # The sample is what validates, is measured and drawn, and what a model starts from: all rows of a small stream,
    # else at most 16,384 of each split (64 MB in all), those with the smallest hash of their names. `count` counts all
    # rows.

    stream: Stream = None  # type: ignore[assignment]
    index: Index = None  # type: ignore[assignment]
    about: dict[str, Any] = dataclasses.field(default_factory=dict)  # what that pass was over, plain JSON values
    trains: tuple[int, ...] = (TRAIN,)  # the splits whose rows train

    @classmethod
    def of(cls, stream: Stream, index: Index, about: dict[str, Any], notes: tuple[str, ...] = ()) -> "StreamDataset":
        """Put a stream and what a pass over it found together."""
        sample = {field.name: getattr(index.sample, field.name) for field in dataclasses.fields(Dataset)}
        return cls(**{**sample, "notes": notes, "stream": stream, "index": index, "about": about})

    def count(self, which: str | int) -> int:
        code = split_code(which)
        totals = self.index.counts.sum(0)
        if code == TRAIN:
            return int(sum(totals[one] for one in self.trains))
        if code == VALIDATION and not self.held_out:
            code = TEST
        return 0 if code in self.trains else int(totals[code])

    @property
    def total(self) -> int:
        """How many rows there are on disk."""
        return int(self.index.counts.sum())

    @property
    def window_rows(self) -> int:
        """Rows that a window may hold, with as much again for the window that is read ahead."""
        row_bytes = max(1, int(np.prod(self.schema.shape)) * self.x.dtype.itemsize)
        return max(1, min(WINDOW // 2 // row_bytes, MOST_ROWS))

    def epoch(self, seed: int, epoch: int, lanes: int = 1) -> Order:
        """Give the order of the training rows of one epoch."""
        train = self.index.counts[:, list(self.trains)].sum(1)
        return Order(train, seed, epoch, lanes=lanes, most=max(1, self.window_rows // lanes))

    def validation_as_train(self) -> "Dataset":
        """Do what `Dataset.validation_as_train` does, on disk too."""
        return dataclasses.replace(super().validation_as_train(), trains=(TRAIN, VALIDATION))

    @cached_property
    def fingerprint(self) -> str:
        """Hash names, sizes and layouts of the files, the splits of blocks and the sums of all cells with SHA-256."""
        # Not every cell: a change that leaves the ends and the size of a file alone may go unseen without a new pass.
        digest = hashlib.sha256(b"latens stream 1\n")
        found = {"sums": self.index.digest, "trains": self.trains, "held_out": self.held_out}
        digest.update(to_json({**self.about, **found}))
        return digest.hexdigest()

    def write_index(self, path: Path) -> None:
        """Write what the pass over the stream found beside a run, so that going on needs no other pass."""
        write(path, self.index, self.about)

    def described(self) -> str:
        """Say how many rows the sample stands for, in a sentence."""
        kept = [f"{len(self.subset(name)):,} of {self.count(name):,} {name} rows" for name in SPLITS]
        return f"the rows stay on disk; in memory are {', '.join(kept)}, which validate, are measured and drawn"
