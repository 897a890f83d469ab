"""What is known of all cells of a stream: a reduction over blocks, in float64 and in the order of the blocks."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Shaped

from latens.data.infer import Range, schema_of, standard_centre
from latens.data.schema import Schema


class Moments:
    """Count, mean and sum of squares around the mean of every cell, and of that the part within blocks."""

    # Source: Chan, Golub & LeVeque (1983) for the sums of squares.

    def __init__(self, cells: int) -> None:
        self.count, self.mean, self.squares, self.within = (np.zeros(cells) for _ in range(4))

    def add(self, x: Shaped[np.ndarray, "n cells"], seen: np.ndarray | None) -> None:
        """Add the rows of a block."""
        # seen: true where a value was observed, the same shape; None for everywhere.
        more = np.full(x.shape[1], float(len(x))) if seen is None else seen.sum(0).astype(np.float64)
        x = x if seen is None else np.where(seen, x, 0.0)
        own = x.sum(0) / np.maximum(more, 1)
        around = x - own
        squares = np.sum(np.square(around, out=around) if seen is None else np.where(seen, around**2, 0.0), axis=0)
        step, total = own - self.mean, np.maximum(self.count + more, 1)
        self.squares += squares + step**2 * self.count * more / total
        self.mean = self.mean + step * more / total
        self.count += more
        self.within += squares

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each cell."""
        return np.sqrt(self.squares / np.maximum(self.count, 1))

    def sortedness(self) -> float:
        """Give the variance of block means over that of rows, a mean over the cells that vary."""
        # returns: near one over the rows of a block where the blocks are alike, near 1 where each holds rows of its own
        # kind.
        varies = self.squares > 0
        if not varies.any():
            return 0.0
        between = np.maximum(self.squares - self.within, 0.0)[varies]
        return float(np.mean(between / self.squares[varies]))

    def together(self) -> tuple[float, float]:
        """Give the mean and the standard deviation of all cells as one."""
        total = max(float(self.count.sum()), 1.0)
        mean = float(np.sum(self.count * self.mean) / total)
        squares = float(np.sum(self.squares + self.count * (self.mean - mean) ** 2))
        return mean, float(np.sqrt(squares / total))


class Statistics:
    """What `infer_schema` needs to know of a stream."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        cells = int(np.prod(shape, dtype=np.int64))
        self.shape, self.dtype = shape, dtype
        self.cells, self.missing = Range(tail=True), 0
        self.least, self.most = np.full(cells, np.inf), np.full(cells, -np.inf)
        self.train = Moments(cells)
        self.logs = Moments(cells) if len(shape) == 1 else None

    def add(
        self, x: Shaped[np.ndarray, "n *shape"], observed: np.ndarray | None, train: Shaped[np.ndarray, " n"]
    ) -> None:
        """Add the rows of a block."""
        # observed: true where a value was observed, shape of `x`; None for everywhere.
        x = x.reshape(len(x), -1)
        seen = None if observed is None else observed.reshape(x.shape)
        values = x.reshape(-1) if seen is None else x[seen]
        self.cells.add(values)
        self.missing += x.size - values.size
        own, mask = x[train].astype(np.float64), None if seen is None else seen[train]
        if not len(own):
            return
        self.least = np.minimum(self.least, (own if mask is None else np.where(mask, own, np.inf)).min(0))
        self.most = np.maximum(self.most, (own if mask is None else np.where(mask, own, -np.inf)).max(0))
        self.train.add(own, mask)
        if self.logs is not None and (self.cells.low < 0 or not self.cells.whole):
            self.logs = None  # no counts
        if self.logs is not None:
            self.logs.add(np.log1p(own if mask is None else np.where(mask, own, 0.0)), mask)

    def schema(self, names: Sequence[str] | None, counts: bool | None, where: str) -> Schema:
        """Infer the schema, by the rules of `infer_schema`."""
        # counts: none recognises counts, True asks for them, False never sees any.
        return schema_of(
            self.shape,
            self.dtype,
            self.cells,
            names,
            counts,
            where,
            tail=lambda: self.cells.long_tail,
            columns=self._columns,
            together=self.train.together,
        )

    def _columns(self, log: bool) -> Iterator[tuple[float, float, tuple[float, float]]]:
        found = self.logs if log else self.train
        assert found is not None
        ends = (np.log1p(self.least), np.log1p(self.most)) if log else (self.least, self.most)
        low, high = (np.where(found.count == 0, 0.0, end).tolist() for end in ends)
        deviation = np.where(found.count == 0, 1.0, found.deviation)
        yield from zip(found.mean.tolist(), deviation.tolist(), zip(low, high))

    def centre(self, schema: Schema) -> np.ndarray:
        """Give what stands in the place of missing values, as `fill` in `latens.data.infer` chooses it."""
        if (centre := standard_centre(schema)) is not None:
            return centre
        mean = self.train.mean.reshape(self.shape)
        return np.round(mean) if schema.kind in ("binary", "levels") else mean

    def sortedness(self) -> float:
        """Give how sorted the blocks are."""
        return self.train.sortedness()

    def digest(self, rows_of: np.ndarray) -> str:
        """Hash what was found of all cells."""
        return digest_of_arrays(
            repr((self.cells.low, self.cells.high, self.missing, self.cells.whole)),
            [rows_of, self.train.count, self.train.mean, self.train.squares],
        )


def digest_of_arrays(text: str, arrays: Sequence[np.ndarray]) -> str:
    """Hash a text and arrays."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
