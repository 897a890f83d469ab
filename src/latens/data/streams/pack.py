"""Rows of any kind as shards of NumPy arrays, also in a random order that takes two passes and little memory."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latens.data.dataset import Dataset
from latens.data.formats.npy import COLUMNS
from latens.data.rows import philox, split_of
from latens.data.streams.dataset import StreamDataset
from latens.errors import DataError, RunFolderError
from latens.io.atomic import resource_errors, temporary_beside, write_atomic

SHARD = 2**26
"""Bytes of a shard: 64 MB."""


def pack(data: Dataset, folder: Path, *, shuffle: bool = False, seed: int = 0, shard_bytes: int = SHARD) -> list[str]:
    """Write rows as `.npy` shards of one type, with labels, ids, weights, keys and splits beside them."""
    # Names, splits and noise of rows stay what they are. With `shuffle` each row goes to a random shard, and rows are
    # shuffled within shards: two passes, in the memory of a shard.
    if data.schema.kind == "mixed":
        what = "a table with columns of several kinds has names and dates, which shards of numbers have no place for."
        raise DataError(what, where=data.name, fix="Leave it as Parquet.")
    if data.schema.tokens is not None:
        what = "rows of text have a vocabulary, which shards of numbers have no place for."
        raise DataError(what, where=data.name, fix="Leave them as .txt, which is read by blocks with --stream.")
    if folder.exists():
        raise RunFolderError("there is something already.", where=str(folder), fix="Choose another name with --out.")
    total = data.total if isinstance(data, StreamDataset) else len(data)
    row_bytes = max(1, data.x[:1].nbytes)
    per_shard = max(1, shard_bytes // row_bytes)
    shards = -(-total // per_shard)
    with resource_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = temporary_beside(folder)
        made.mkdir()
        try:
            _distribute(data, made, shards, per_shard, seed if shuffle else None)
            names = [_shard(made, shard, seed if shuffle else None) for shard in range(shards)]
            if data.schema.columns is not None:
                columns = [column.name for column in data.schema.columns]
                write_atomic(made / COLUMNS, json.dumps(columns).encode())
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return [name for name in names if name]


def _parts(data: Dataset) -> Iterator[Dataset]:
    return data.stream.parts() if isinstance(data, StreamDataset) else iter([data])


def _distribute(data: Dataset, made: Path, shards: int, per_shard: int, seed: int | None) -> None:
    """Append every row to the file of its shard; a file holds several arrays, one after the other."""
    start = 0
    for number, part in enumerate(_parts(data)):
        own = (start + np.arange(len(part))) // per_shard
        if seed is not None:
            own = _random(seed, 0, number).integers(0, shards, len(part))
        start += len(part)
        fields = _fields(part)
        order = np.argsort(own, kind="stable")
        bounds = np.searchsorted(own[order], np.arange(shards + 1))
        for shard in np.flatnonzero(np.diff(bounds)).tolist():
            rows = order[bounds[shard] : bounds[shard + 1]]
            for name, values in fields.items():
                with (made / f"{shard}.{name}").open("ab") as file:
                    np.save(file, values[rows])


def _fields(part: Dataset) -> dict[str, np.ndarray]:
    x = part.x if part.mask is None else np.where(part.mask, part.x, np.float32(np.nan)).astype(np.float32)
    names = part.names if part.names.dtype.kind in "iu" else np.char.encode(part.names, "utf-8")
    found = {"": x, "id": names, "key": part.row_id, "split": part.split}
    if part.label is not None:
        words = part.schema.classes or ()
        whole = all(word.lstrip("-").isdecimal() and str(int(word)) == word for word in words)
        # Classes that are numbers stay numbers; NaN is a row without a label.
        known = np.array([*map(float, words), np.nan]) if whole else np.array([*words, ""])
        found["label"] = known[part.label]
    if part.weight is not None:
        found["weight"] = part.weight
    return found


def _shard(made: Path, shard: int, seed: int | None) -> str:
    """Make the files of a shard of what was put aside for it; "" for a shard without rows."""
    own = {path.name.partition(".")[2]: path for path in made.glob(f"{shard}.*")}
    if not own:
        return ""
    fields = {name: np.concatenate(list(_arrays(path))) for name, path in own.items()}
    order = None if seed is None else _random(seed, 1, shard).permutation(len(fields[""]))
    if np.array_equal(fields["split"], split_of(fields["key"])):
        del fields["split"]
    for name, values in fields.items():
        np.save(made / f"part-{shard:05d}{'.' if name else ''}{name}.npy", values if order is None else values[order])
    for path in own.values():
        path.unlink()
    return f"part-{shard:05d}.npy"


def _arrays(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        while file.tell() < size:
            yield np.load(file, allow_pickle=False)


def _random(seed: int, stage: int, number: int) -> np.random.Generator:
    return philox((seed, 0), (0, 0, stage, number))
