"""What comes in, checked: sources, formats, schema, splits, preparation."""

import signal
from typing import TYPE_CHECKING

import polars as _polars  # noqa: F401 - takes Ctrl-C to itself, and then no wait of the main thread ends by it

from latens.runtime.lazy_imports import lazy_names

if hasattr(signal, "siginterrupt"):
    signal.siginterrupt(signal.SIGINT, True)

if TYPE_CHECKING:
    from .checks import check as check
    from .checks import suggest_likelihood as suggest_likelihood
    from .dataset import Batch as Batch
    from .dataset import Dataset as Dataset
    from .dataset import as_batch as as_batch
    from .dataset import hash_rows as hash_rows
    from .infer import infer_schema as infer_schema
    from .loading import KNOWN as KNOWN
    from .loading import load as load
    from .preparation import Preparation as Preparation
    from .preparation import prepare_batch as prepare_batch
    from .row_fields import SPLITS as SPLITS
    from .row_fields import TEST as TEST
    from .row_fields import TRAIN as TRAIN
    from .row_fields import VALIDATION as VALIDATION
    from .row_fields import encode_labels as encode_labels
    from .row_fields import row_keys as row_keys
    from .row_fields import split_by_hash as split_by_hash
    from .schema import Column as Column
    from .schema import Schema as Schema

# Imported when they are first used: the kinds of rows are made of files of this folder, and the door knows all kinds.
_HOMES = {
    "checks": ("check", "suggest_likelihood"),
    "dataset": ("Batch", "Dataset", "as_batch", "hash_rows"),
    "infer": ("infer_schema",),
    "preparation": ("Preparation", "prepare_batch"),
    "row_fields": ("SPLITS", "TEST", "TRAIN", "VALIDATION", "encode_labels", "row_keys", "split_by_hash"),
    "schema": ("Column", "Schema"),
    "loading": ("KNOWN", "load"),
}
__getattr__ = lazy_names(__name__, _HOMES)
