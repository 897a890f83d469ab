"""What comes in, checked: sources, formats, schema, splits, preparation."""

from .batches import Batch as Batch
from .batches import as_batch as as_batch
from .batches import hash_rows as hash_rows
from .check import check as check
from .check import suggest_likelihood as suggest_likelihood
from .dataset import Dataset as Dataset
from .formats.format import Format as Format
from .formats.registry import register_format as register_format
from .infer import infer_schema as infer_schema
from .known import KNOWN as KNOWN
from .preparation import Preparation as Preparation
from .preparation import prepare_batch as prepare_batch
from .rows import SPLITS as SPLITS
from .rows import TEST as TEST
from .rows import TRAIN as TRAIN
from .rows import VALIDATION as VALIDATION
from .rows import encode_labels as encode_labels
from .rows import row_keys as row_keys
from .rows import split_by_hash as split_by_hash
from .schema import Column as Column
from .schema import Schema as Schema
from .sources import load as load
