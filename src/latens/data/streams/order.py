"""The order in which a stream's training rows are met: a function of seed, epoch, blocks and lanes, without a state.

The blocks are shuffled and dealt into lanes of equal length: a block on a border is cut in two. A lane is cut into
windows of whole pieces, and the rows of a window are shuffled. A batch takes as many rows of every lane.
"""

from typing import NamedTuple

import numpy as np

from latens.data.rows import philox
from latens.errors import DataError


class Piece(NamedTuple):
    """Some training rows of a block."""

    block: int  # number of the block
    start: int  # the first of its training rows
    stop: int  # the one after the last


class Order:
    """The order of one epoch."""

    # `train`: The training rows of each block, shape (blocks,).
    # `most`: Rows of a window at the most, unless a single block has more.

    def __init__(self, train: np.ndarray, seed: int, epoch: int, *, lanes: int, most: int) -> None:
        if lanes > np.count_nonzero(train):
            what = f"has {np.count_nonzero(train)} blocks of training rows, fewer than {lanes} shards."
            raise DataError(what, where="training.shards", fix="Use fewer shards, or write the data in smaller blocks.")
        self.seed, self.epoch, self.lanes = seed, epoch, lanes
        order = self.shuffled(0, 0, len(train))
        order = order[train[order] > 0]
        ends = np.cumsum(train[order])
        total = int(ends[-1])
        self.borders = np.array([total // lanes * lane + min(lane, total % lanes) for lane in range(lanes + 1)])
        self._pieces: list[list[list[Piece]]] = []
        self.starts: list[np.ndarray] = []
        """The first row of each window of each lane, counted in the lane, and the number of rows of the lane."""
        for lane in range(lanes):
            self._deal(order, ends, train, int(self.borders[lane]), int(self.borders[lane + 1]), most)

    def _deal(self, order: np.ndarray, ends: np.ndarray, train: np.ndarray, low: int, high: int, most: int) -> None:
        first, last = np.searchsorted(ends, [low, high - 1], side="right")
        chosen, stops = order[first : last + 1], ends[first : last + 1]
        begins = stops - train[chosen]
        starts, stops = np.maximum(low - begins, 0), np.minimum(high, stops) - begins
        aim = (high - low) / max(1, -(-(high - low) // most))
        windows: list[list[Piece]] = []
        at, filled, bounds = 0, most, [0]
        for block, start, stop in zip(chosen.tolist(), starts.tolist(), stops.tolist()):
            if windows and filled < aim and filled + stop - start <= most:
                windows[-1].append(Piece(block, start, stop))
                filled += stop - start
            else:
                windows.append([Piece(block, start, stop)])
                filled = stop - start
                bounds.append(at)
            at += stop - start
        self._pieces.append(windows)
        self.starts.append(np.array([*bounds[1:], at]))

    def windows(self, lane: int) -> int:
        """Count the windows of a lane."""
        return len(self._pieces[lane])

    def pieces(self, lane: int, window: int) -> list[Piece]:
        """Say which rows a window holds, before they are shuffled."""
        return self._pieces[lane][window]

    def within(self, lane: int, window: int) -> np.ndarray:
        """Shuffle the rows of a window."""
        rows = int(self.starts[lane][window + 1] - self.starts[lane][window])
        return self.shuffled(lane, window + 1, rows)

    def shuffled(self, lane: int, stream: int, n: int) -> np.ndarray:
        """Shuffle the numbers 0 to n - 1 with a random stream of its own, as `Dataset.order` does."""
        return philox((self.seed, self.epoch), (0, 0, lane, stream)).permutation(n)
