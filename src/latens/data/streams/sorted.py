"""How sorted the files of a stream are, and what a pass over them costs."""

from typing import Any

import numpy as np

from latens.data.streams.dataset import StreamDataset

SORTED, MIXED = 0.05, 0.9
"""Above this share of variance between blocks, or below this share of the entropy of labels, packing is advised."""


def stream_report(data: StreamDataset) -> dict[str, Any]:
    """Report on blocks and windows, ready for JSON."""
    # returns: a dict of rows, files, bytes, blocks, rows_per_block, windows, between_blocks (the variance of block
    # means over that of rows), label_entropy (the mean entropy of the labels of a window over that of all; None without
    # labels), seconds (of the pass) and advice (a sentence; "" for none).
    order, table, index = data.epoch(0, 0), data.stream.source.table, data.index
    entropy = None
    if index.labels is not None:
        windows = [
            index.labels[[piece.block for piece in order.pieces(0, window)]].sum(0)
            for window in range(order.windows(0))
        ]
        whole = _entropy(index.labels.sum(0))
        entropy = float(np.mean([_entropy(window) for window in windows])) / whole if whole else None
    advice = ""
    if order.windows(0) > 1 and (index.sortedness > SORTED or (entropy is not None and entropy < MIXED)):
        advice = "The rows are sorted: batches of a window are alike. Write them once in a random order."
    return {
        "rows": data.total,
        "files": len(data.stream.source.names),
        "bytes": sum(file.bytes for file in data.stream.source.files),
        "blocks": len(table),
        "rows_per_block": float(table.rows.mean()),
        "windows": order.windows(0),
        "between_blocks": index.sortedness,
        "label_entropy": entropy,
        "seconds": index.seconds,
        "advice": advice,
    }


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-np.sum(shares * np.log(shares)))
