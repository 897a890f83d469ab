"""The training rows of a stream as batches: windows are read one ahead, by one thread."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from latens.data.batches import Batch
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.order import Order, Piece

FIELDS = ("x", "row_id", "mask", "label", "weight")
"""Of `Dataset`, what a batch holds; there `label` is what training may see."""

Rows = dict[str, np.ndarray]


class StepRows:
    """The rows of the steps of training on a stream."""

    # It keeps the windows last read, and no other state.
    # `lanes`: How many lanes there are; each gives as many rows of a batch.
    # `own`: Those that are read, one after the other; None for all. Of the others no row is read or given.

    def __init__(
        self, data: StreamDataset, seed: int, batch_size: int, lanes: int = 1, own: range | None = None
    ) -> None:
        self.data, self.seed, self.lanes = data, seed, lanes
        self.own = range(lanes) if own is None else own
        self.each = batch_size // lanes
        self.batch_size = self.each * len(self.own)
        self._orders: dict[int, Order] = {}
        self._windows: dict[tuple[int, int, int], Future[Rows]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="latens-stream")

    def fill(self, out: Rows, at: int, epoch: int, first: int, count: int) -> None:
        """Write the rows of some steps of an epoch; slots without a row get the weight 0."""
        order, each = self._order(epoch), self.each
        for lane in self.own:
            low, high = first * each, (first + count) * each
            bounds = order.starts[lane]
            here = min(low, int(bounds[-1]))
            high = min(high, int(bounds[-1]))
            while here < high:
                window = int(np.searchsorted(bounds, here, side="right")) - 1
                stop = min(high, int(bounds[window + 1]))
                found = self._window(epoch, lane, window)
                places = found["within"][here - bounds[window] : stop - bounds[window]]
                self._copy(found, places, out, at, lane, here - low)
                here = stop

    def _copy(self, found: Rows, places: np.ndarray, out: Rows, at: int, lane: int, done: int) -> None:
        """Put rows of a window into the slots of a lane, after those that are done."""
        each, lane = self.each, lane - self.own.start
        for name, values in found.items():
            if name == "within":
                continue
            if len(self.own) == 1:
                start = at * each + done
                np.take(values, places, axis=0, out=out[name][start : start + len(places)], mode="clip")
                continue
            slot = np.arange(done, done + len(places))
            out[name][(at + slot // each) * self.batch_size + lane * each + slot % each] = values[places]

    def empty(self, steps: int) -> Rows:
        """Make the arrays of some steps, all of them padding."""
        size, data = steps * self.batch_size, self.data
        made = {"x": np.zeros((size, *data.x.shape[1:]), data.x.dtype), "row_id": np.zeros(size, np.uint32)}
        made["weight"] = np.zeros(size, np.float32)
        if data.mask is not None:
            made["mask"] = np.zeros(made["x"].shape, bool)
        if data.label is not None:
            made["label"] = np.zeros(size, np.int32)
        return made

    @staticmethod
    def batch(rows: Rows) -> Batch:
        """Make a batch of arrays."""
        return Batch(**{name: rows.get(name) for name in FIELDS})  # type: ignore[arg-type]

    def _order(self, epoch: int) -> Order:
        if epoch not in self._orders:
            kept = {number: order for number, order in self._orders.items() if number >= epoch - 1}
            self._orders = {**kept, epoch: self.data.epoch(self.seed, epoch, self.lanes)}
        return self._orders[epoch]

    def _window(self, epoch: int, lane: int, window: int) -> Rows:
        """A window; the one after it is read ahead, and no other of its lane is kept."""
        now = (epoch, lane, window)
        last = window + 1 == self._order(epoch).windows(lane)
        after = (epoch + 1, lane, 0) if last else (epoch, lane, window + 1)
        kept = {key: found for key, found in self._windows.items() if key[1] != lane or key in (now, after)}
        self._windows = kept
        for key in (now, after):
            if key not in kept:
                order = self._order(key[0])
                kept[key] = self._reader.submit(self._read, order, lane, order.pieces(lane, key[2]), key[2])
        return kept[now].result()

    def _read(self, order: Order, lane: int, pieces: list[Piece], window: int) -> Rows:
        rows = sum(piece.stop - piece.start for piece in pieces)
        made: Rows = {}
        at = 0
        for piece in pieces:
            block = self.data.stream.block(piece.block, named=False)
            chosen = np.flatnonzero(np.isin(block.split, self.data.trains))[piece.start : piece.stop]
            for name in FIELDS:
                values = getattr(block, name)
                if values is None:
                    continue
                if name not in made:
                    made[name] = np.empty((rows, *values.shape[1:]), values.dtype)
                np.take(values, chosen, axis=0, out=made[name][at : at + len(chosen)], mode="clip")
            at += len(chosen)
        made.setdefault("weight", np.ones(rows, np.float32))
        return {**made, "within": order.within(lane, window)}
