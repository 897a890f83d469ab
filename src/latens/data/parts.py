"""Rows in numbered parts that are always the same: what several workers share out, each by itself."""

import numpy as np
from jaxtyping import Shaped

from latens.data.dataset import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.stream import joined

MOST, LEAST = 2**16, 2**10
"""Rows of a part at the most, and of one of a few rows: so that workers have about as many parts each."""

USUAL = 64
"""Parts of data that are not large."""

BYTES = 2**26
"""Bytes of stored rows of a part of rows that stay on disk."""


def borders(blocks: Shaped[np.ndarray, " blocks"], most: int) -> np.ndarray:
    """Cut rows into parts: whole blocks that lie together, or pieces of a block that is larger than a part.

    Args:
        blocks: How many rows each block has, shape (blocks,).
        most: Rows of a part at the most.

    Returns:
        The first row of every part, and the number of all rows: int64 of shape (parts + 1,).

    Examples:
        >>> borders(np.array([30, 30, 30, 250, 30]), 100).tolist()
        [0, 90, 190, 290, 370]
    """
    found, end = [0], 0
    for rows in np.asarray(blocks).tolist():
        start, end = end, end + rows
        if end - found[-1] > most:
            found += [start] if start > found[-1] else []
            found += range(start + most, end, most)
    return np.array(found + [end] * (end > found[-1]), np.int64)


class Parts:
    """The rows of a data set, in memory or on disk, in parts that depend on the data alone."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        streamed = isinstance(data, StreamDataset)
        blocks = data.stream.source.table.rows if streamed else np.array([len(data)])
        self._ends = np.cumsum(blocks)
        total = int(self._ends[-1]) if len(blocks) else 0
        most = min(MOST, max(LEAST, total // USUAL))
        if streamed:
            row_bytes = int(np.prod(data.schema.shape)) * data.x.dtype.itemsize
            most = max(1, min(most, BYTES // max(1, row_bytes)))
        self.borders = borders(blocks, most)
        self._last: tuple[int, Dataset] | None = None

    def __len__(self) -> int:
        return len(self.borders) - 1

    def part(self, number: int) -> tuple[Dataset, np.ndarray]:
        """Give the rows of a part."""
        low, high = self.borders[number], self.borders[number + 1]
        if not isinstance(self.data, StreamDataset):
            return self.data, np.arange(low, high)
        first, last = np.searchsorted(self._ends, low, "right"), np.searchsorted(self._ends, high, "left")
        found = joined([self._block(block) for block in range(first, last + 1)])
        start = self._ends[last] - len(found)
        return found, np.arange(low - start, high - start)

    def _block(self, block: int) -> Dataset:
        """A block; the one last read is kept, of which the next part may be another piece."""
        if self._last is None or self._last[0] != block:
            assert isinstance(self.data, StreamDataset)
            self._last = block, self.data.stream.block(block)
        return self._last[1]
