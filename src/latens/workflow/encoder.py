"""One callable that encodes batches of rows, for engines that send functions to other processes."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.data import Dataset
from latens.data import load as load_data
from latens.data.rows import encode_labels, plain_numbers, refuse_masked
from latens.errors import ConfigError, DataError, nearest, refuse_other
from latens.evaluation.finite import finite
from latens.io.atomic import as_path
from latens.io.process import check_process
from latens.typing import checked_later
from latens.workflow.inputs import model_file, refuse_classifier
from latens.workflow.trained import TrainedModel

_lock = threading.Lock()
_models: dict[tuple[str, int, int], TrainedModel] = {}
"""The models of this process, by path, time and size of the file: an engine may unpickle a callable for each batch."""


class Encoder:
    """Codes of batches of rows: what Ray Data, Dask, Spark and Hugging Face `map` call in processes of their own.

    It pickles to the path of the model and its options; the model is loaded once in a process, when the first batch
    comes. One batch is computed at a time.

    Args:
        path: A `.safetensors` file, a run folder, or `pretrained:NAME`; every process has to see it.
        column: The column that holds whole rows, of shape (n, *shape) or flattened. None takes the columns of the
            model's table by their names; else those that have no other use: one of whole rows, or one for each number.
        label: The column with the classes, for a model that reads labels.
        keep: Columns that are given back as they came, such as ids.

    Examples:
        >>> batch = {"pixels": np.zeros((3, 64), np.uint8), "id": np.arange(3)}
        >>> found = Encoder("pretrained:digits-2d", keep=["id"])(batch)
        >>> {name: values.shape for name, values in found.items()}
        {'id': (3,), 'mean': (3, 2), 'log_variance': (3, 2)}
    """

    @checked_later
    def __init__(
        self, path: str | Path, *, column: str | None = None, label: str | None = None, keep: Sequence[str] = ()
    ) -> None:
        named = isinstance(path, str) and path.startswith("pretrained:")
        self.path = str(path) if named else str(as_path(path).resolve())
        for where, name in (("column", column), ("label", label)):
            refuse_other(name, (str, type(None)), where, "Give the name of a column, or None.")
        refuse_other(keep, (list, tuple), "keep", "Give names of columns, for example keep=['id'].")
        self.column, self.label, self.keep = column, label, tuple(keep)

    def __call__(self, batch: Any) -> Any:
        """Encode a batch."""
        wanted = [*self.keep, *(name for name in (self.column, self.label) if name is not None)]
        check_process()  # before the lock, which another thread may have held at the fork
        _check(wanted, batch)
        with _lock:
            trained = _model(self.path)
            codes = self._codes(trained, batch)
        if isinstance(batch, Mapping):
            return {name: np.asarray(batch[name]) for name in self.keep} | codes
        flat = {f"{name}{i}": values[:, i] for name, values in codes.items() for i in range(values.shape[1])}
        return batch[list(self.keep)].assign(**flat)

    def columns(self) -> list[str]:
        """Name the numbers that a frame gets: for engines that ask for them beforehand.

        Returns:
            `mean0`, `mean1` and so on, and those of `log_variance` where it exists; all are float32.
        """
        check_process()
        with _lock:
            codes = _example(_model(self.path))
        return [f"{name}{i}" for name, values in codes.items() for i in range(values.shape[1])]

    def _codes(self, trained: TrainedModel, batch: Any) -> dict[str, np.ndarray]:
        rows = self._rows(trained, batch)
        if not len(rows):  # of which a frame's columns are to be known all the same
            return {name: values[:0] for name, values in _example(trained).items()}
        label = None
        if trained.preparation.classes and self.label is not None:
            label = encode_labels(_array(batch[self.label], self.label), len(rows), self.label, trained.schema.classes)[
                0
            ]
            if (label < 0).any():
                what = f"row {int((label < 0).argmax())} has no label that the model knows."
                raise DataError(what, where=self.label, fix=f"Valid: {', '.join(trained.classes)}.")
        if isinstance(rows, Dataset):
            return _encoded(trained, rows if label is None else replace(rows, label=label))
        return _encoded(trained, rows, label=label)

    def _rows(self, trained: TrainedModel, batch: Any) -> Dataset | np.ndarray:
        """The rows of a batch, as `TrainedModel.batch` takes them."""
        schema = trained.schema
        if schema.conditions:
            what = f"this model reads the conditions {', '.join(one.name for one in schema.conditions)}."
            fix = "Use `latens encode`, or latens.load(path) with rows of latens.load_data."
            raise DataError(what, where=self.path, fix=fix)
        names = schema.names
        if self.column is None and (schema.types is not None or any(name in batch for name in names)):
            _check(names, batch)
        else:
            rest = [name for name in batch if name not in (*self.keep, self.label)]
            names = rest if self.column is None else [self.column]
            if len(names) not in (1, math.prod(schema.shape)):
                what = f"which of the columns {', '.join(map(repr, names[:20])) or '(none)'} holds the rows?"
                raise DataError(what, where="column", fix="Name it: Encoder(path, column=...).")
        counts = [len(batch[name]) if hasattr(batch[name], "__len__") else 1 for name in names]
        if odd := [at for at, n in enumerate(counts) if n != counts[0]]:
            what = f"column {names[0]!r} has {counts[0]} rows, and column {names[odd[0]]!r} {counts[odd[0]]}."
            raise DataError(what, where="batch", fix="Give every column the same number of rows.")
        if schema.types is not None and self.column is None:
            frame = _frame({name: batch[name] for name in names})
            return load_data(frame, schema=schema) if len(frame) else np.zeros((0, len(names)))
        arrays = [plain_numbers(_array(batch[name], name), f"column {name!r}") for name in names]
        rows = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
        known = trained.facts.get("read_with")
        gaps = isinstance(known, Mapping) and known.get("missing") == "nan"
        return load_data(rows, schema=schema, missing="nan") if gaps and len(rows) else rows


def _check(wanted: Sequence[str], batch: Any) -> None:
    if not hasattr(batch, "__getitem__") or not hasattr(batch, "keys"):
        what = f"a batch is not a {type(batch).__name__}."
        raise DataError(what, where="batch", fix="Give columns by name, as a dictionary or a frame.")
    lacking = next((name for name in wanted if name not in batch), None)
    if lacking is not None:
        raise DataError(f"the batch has no column {lacking!r}.", where="batch", fix=nearest(lacking, map(str, batch)))


def _array(values: Any, name: str) -> np.ndarray:
    """A column as an array; one whose cells are vectors as an array of more axes."""
    refuse_masked(values, f"column {name!r}")
    try:
        array = np.asarray(values)
        if not array.ndim:
            what = f"holds {values!r:.100}, not one cell for each row."
            raise DataError(what, where=f"column {name!r}", fix="Give a list or an array.")
        vectors = array.dtype == object and len(array) and not isinstance(array[0], str)
        return np.stack([np.asarray(cell) for cell in array]) if vectors else array
    except DataError:
        raise
    except ValueError:
        fix = "Give every row the same number of cells."
        raise DataError("its rows are of unequal length.", where=f"column {name!r}", fix=fix) from None


def _frame(columns: Mapping[str, Any]) -> Any:
    try:
        import pandas
    except ImportError:
        what = "a table with names and dates needs pandas, which is not installed."
        raise ConfigError(what, where="Encoder", fix="pip install pandas") from None
    return pandas.DataFrame(dict(columns))


def _model(path: str) -> TrainedModel:
    file = model_file(path)
    status = file.stat() if file.exists() else None  # what is not there is said in words where it is read
    known = (path, 0, 0) if status is None else (path, status.st_mtime_ns, status.st_size)
    if known not in _models:
        trained = TrainedModel.load(file)
        refuse_classifier(trained.config, "encode", path)
        _models[known] = trained
    return _models[known]


def _example(trained: TrainedModel) -> dict[str, np.ndarray]:
    """The codes of one row, for their shapes."""
    label = np.zeros(1, np.int32) if trained.preparation.classes else None
    return _encoded(trained, np.zeros((1, *trained.schema.shape), np.float32), label=label)


def _encoded(trained: TrainedModel, rows: Any, label: np.ndarray | None = None) -> dict[str, np.ndarray]:
    batch, key = trained.batch(rows, label=label), jax.random.key(0)
    found = evaluation.encode(trained.rows(batch, key=key))
    codes = {name: finite(found[name], name) for name in ("mean", "log_variance") if name in found}
    return {name: values.reshape(len(values), -1).astype(np.float32) for name, values in codes.items()}
