"""What cannot be trained on rows that stay on disk, and what to do instead."""

from collections.abc import Sequence

import numpy as np

from latens.config import Config, VAEConfig
from latens.data import Dataset
from latens.data.streams.dataset import StreamDataset
from latens.errors import ConfigError, DataError
from latens.training import Stage


def refuse_on_stream(config: Config, data: Dataset) -> None:
    """Refuse a configuration that needs all rows at once, for data that stay on disk."""
    if not isinstance(data, StreamDataset):
        return
    if data.stream.source.slow:
        what = f"{data.stream.source.slow}, which takes far longer to read than to train on."
        fix = "Write the rows anew as .npy or .parquet files."
        raise DataError(what, where=data.name, fix=fix)
    if not isinstance(config, VAEConfig):
        fix = "Use a VAE's recipe, such as --recipe conditional-vae, or give so many rows as fit into memory."
        what = "a Bayes classifier is fitted to all rows at once, and these stay on disk."
        raise ConfigError(what, where=f"--recipe {config.recipe}", fix=fix)
    if config.data.labelled is not None:
        what = "hides labels of rows that are chosen among all, and these stay on disk."
        fix = "Leave it out, and give labels only where they are to count."
        raise ConfigError(what, where="data.labelled", fix=fix)
    if config.label.kind in ("predict", "predict-codes") and config.label.share:
        what = "draws rows with labels more often, which is not done for rows on disk."
        raise ConfigError(what, where="label.share", fix="Take rows as they come: --set label.share=0.")
    if config.label.kind == "condition" and data.index.unlabelled:
        what = f"{data.index.unlabelled} of {data.total} rows have no label; a conditional model reads it."
        fix = "Name the column of the labels with --label NAME, and leave out rows without one."
        raise DataError(what, where=data.name, fix=fix)


def refuse_stages(stages: Sequence[Stage], data: Dataset) -> None:
    """Refuse stages of training that make other data of all rows, for data that stay on disk."""
    if isinstance(data, StreamDataset) and any(stage.data is not None for stage in stages):
        what = "this recipe spreads labels over all rows by their neighbours, and these stay on disk."
        raise ConfigError(what, where="recipe", fix="Use --recipe m2, or give so many rows as fit into memory.")


def stream_note(data: Dataset, batch_size: int, shards: int) -> list[str]:
    """Say what is in memory of data that stay on disk, and of what blocks and windows an epoch is made."""
    if not isinstance(data, StreamDataset):
        return []
    order, table = data.epoch(0, 0, shards), data.stream.source.table
    windows = [order.pieces(lane, window) for lane in range(shards) for window in range(order.windows(lane))]
    per_window = np.mean(list(map(len, windows)))
    return [
        data.described(),
        f"an epoch is {len(windows)} windows of {per_window:.1f} blocks on average, of {len(table)} blocks; "
        f"rows are shuffled within windows, {batch_size} make a batch",
    ]
