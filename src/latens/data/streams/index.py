"""What one pass over a stream finds: its schema, how many rows of each split a block has, and a sample of the rows.

It is kept beside a run, so that going on with it needs no further pass.
"""

import dataclasses
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from latens.data.dataset import Dataset, rows_at
from latens.data.formats.source import AbstractSource
from latens.data.rows import SPLITS, TRAIN, encode_labels, missing_labels, missing_words, mix
from latens.data.schema import Schema
from latens.data.streams.statistics import Statistics
from latens.data.streams.stream import Form, cells, in_order, joined, splits, unlabelled_rows
from latens.errors import DataError, LatensError, ModelFileError
from latens.io.atomic import write_atomic
from latens.io.safetensors import pack, read

SAMPLE_ROWS, SAMPLE_BYTES = 16_384, 2**26
"""Rows of each split that are kept in memory at most, and bytes of all of them: they validate and are measured."""

FORMAT = 1
_NUMBERS = ("unlabelled", "missing", "sortedness", "seconds", "digest")
_ARRAYS = ("x", "row_id", "split", "label", "mask", "weight", "outside")
_SHARES = (0.8, 0.1, 0.1)
_MOST_COUNTS = 2**24  # numbers of rows by block and class


@dataclass(frozen=True)
class Index:
    """What is known of a stream without reading it again."""

    form: Form  # how its cells become rows
    counts: np.ndarray  # how many rows of each split a block has, int64 of shape (blocks, 3)
    # rows of each split, in the order of the files: all of a small stream, else those with the smallest hash of their
    # names
    sample: Dataset
    # how many training rows of each class a block has, shape (blocks, classes); None without labels, or where that is
    # too many numbers
    labels: np.ndarray | None
    unlabelled: int  # how many rows have no label
    missing: int  # how many cells are missing
    sortedness: float  # the variance of block means over that of rows, as `Statistics.sortedness` has it
    seconds: float  # how long the pass took
    digest: str  # a hash of the sums of all cells
    notes: tuple[str, ...] = ()  # what is not as it was in the files, a sentence each


def build(
    source: AbstractSource, *, schema: Schema | None, counts: bool | None, missing: str | None, name: str, where: str
) -> Index:
    """Go through a stream once."""
    # schema: the schema of a trained model, which the rows must fit; None infers it.
    # missing: "nan" where NaN says that a value is missing; None refuses NaN.
    began, table = time.perf_counter(), source.table
    if not int(table.rows.sum()):
        raise DataError("has no rows.", where=where, fix="Give at least one row.")
    # Until the schema is known, cells stay as they are.
    form = Form(schema or Schema((1,), "real"), missing, given=schema is not None)
    shape, total = source.shape if schema is None else schema.shape, int(table.rows.sum())
    found = Statistics(shape, source.dtype)
    limits, most = _limits(total, shape, source.dtype)
    unlabelled, gone = 0, Counter()
    rows_of, kept, words = np.zeros((len(table), len(SPLITS)), np.int64), [], []
    for block in range(len(table)):
        at = source.where(block)
        raw, keys = source.rows(block)
        split = splits(raw, keys)
        rows_of[block] = np.bincount(split, minlength=len(SPLITS))
        x, observed, _ = cells(raw, form, at)
        found.add(x, observed, split == TRAIN)
        label = None
        if raw.label is not None:
            codes, own = encode_labels(raw.label, len(keys), at)
            label = np.array([*own, ""])[codes]
            unlabelled += int(np.count_nonzero(codes < 0))
            gone += missing_words(raw.label)
            words.append({**dict.fromkeys(own, 0), **Counter(label[(split == TRAIN) & (codes >= 0)].tolist())})
        low = _hash(keys)
        picked = np.flatnonzero(low <= limits[split])
        if len(picked):
            rows = unlabelled_rows(raw, keys, x, form.schema, source, block, name, named=True)
            kept.append((at, rows_at(dataclasses.replace(rows, label=label, mask=observed), picked)))
    if schema is None:
        schema = found.schema(source.columns, counts, where)
    if words and schema.classes is None:
        schema = replace(schema, classes=in_order({word for block in words for word in block}, where))
    form = dataclasses.replace(form, schema=schema, centre=found.centre(schema) if found.missing else None)
    sample = _sample(joined([_filled(part, form, at) for at, part in kept]), form, most, where)
    return Index(
        form,
        rows_of,
        sample,
        _by_class(words, schema.classes or ()),
        unlabelled if words else total,
        found.missing,
        found.sortedness(),
        time.perf_counter() - began,
        found.digest(rows_of),
        (*source.notes, *missing_labels(gone)),
    )


def _filled(part: Dataset, form: Form, where: str) -> Dataset:
    """Rows of the sample as numbers, with a mask."""
    return dataclasses.replace(part, mask=np.ones(part.x.shape, bool) if part.mask is None else part.mask)


def _limits(total: int, shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, int]:
    """The largest hash of a row of each split that may be in the sample, and how many rows of a split it has."""
    row_bytes = max(1, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    most = max(1, min(SAMPLE_ROWS, SAMPLE_BYTES // (len(SPLITS) * row_bytes)))
    # A quarter more than are wanted; then the smallest are kept.
    share = [1.25 * most / (total * share) if total > most else 1.0 for share in _SHARES]
    return np.array([int(min(1.0, part) * (2**32 - 1)) for part in share], np.uint64), most


def _hash(keys: np.ndarray) -> np.ndarray:
    """A hash of the rows that neither their split nor their noise is made of."""
    return mix(keys.astype(np.uint64) + np.uint64(0x53414D504C45)).astype(np.uint64)


def _sample(rows: Dataset, form: Form, most: int, where: str) -> Dataset:
    """The rows that are kept, in the order of the files and in their stored form."""
    low, chosen = _hash(rows.row_id), np.zeros(len(rows), bool)
    for code in range(len(SPLITS)):
        own = np.flatnonzero(rows.split == code)
        chosen[own[np.argsort(low[own], kind="stable")[:most]]] = True
    rows = rows_at(rows, np.flatnonzero(chosen))
    x, mask = form.stored(rows.x, rows.mask)
    if not np.isfinite(x).all():
        raise DataError("has cells too large for float32 (3.4e38).", where=where, fix="Rescale them.")
    label = None
    if rows.label is not None:
        known = {word: code for code, word in enumerate(form.schema.classes or ())}
        label = np.array([known.get(word, -1) for word in rows.label.tolist()], np.int32)
    return dataclasses.replace(rows, x=x, schema=form.schema, label=label, mask=mask)


def _by_class(words: list[Any], classes: tuple[str, ...]) -> np.ndarray | None:
    if not words or not classes or len(words) * len(classes) > _MOST_COUNTS:
        return None
    return np.array([[block.get(name, 0) for name in classes] for block in words], np.int64)


# --- the file beside a run ---


def write(path: Path, index: Index, about: dict[str, Any]) -> None:
    """Write what was found, atomically."""
    sample = index.sample
    beside = {"counts": index.counts, "labels": index.labels, "centre": index.form.centre}
    beside |= {name: getattr(sample, name) for name in _ARRAYS}
    arrays = {key: array for key, array in beside.items() if array is not None}
    names = sample.names
    if names.dtype.kind == "U":
        text = np.char.encode(names, "utf-8")
        arrays["text"] = np.frombuffer(text.tobytes(), np.uint8).reshape(len(text), -1)
    else:
        arrays["names"] = names.astype(np.int64)
    found = {name: getattr(index, name) for name in _NUMBERS}
    found |= {"given": index.form.given, "schema": index.form.schema.to_json(), "notes": list(index.notes)}
    metadata = {"format": FORMAT, "about": about, **found}
    write_atomic(path, pack(arrays, metadata))


def read_for(path: Path, about: dict[str, Any], name: str, label_name: str, where: str) -> Index:
    """Read what an earlier pass found."""
    fix = "Bring the old files back, or start anew: another run, another folder of parts."
    try:
        arrays, metadata = read(path)
        was = metadata["about"]
        if metadata["format"] != FORMAT:
            what = f"has the format {metadata['format']!r}; this version reads {FORMAT}."
            raise DataError(what, where=str(path), fix="Start a new run.")
        if was != about:
            raise DataError(_changed(was, about), where=where, fix=fix)
        schema = Schema.from_json(metadata["schema"])
        names = arrays.get("names")
        if names is None:
            text = np.ascontiguousarray(arrays["text"])
            names = np.char.decode(text.view(f"S{text.shape[1]}")[:, 0], "utf-8")
        form = Form(schema, about["missing"], arrays.get("centre"), given=metadata["given"])
        held: dict[str, Any] = {name: arrays[name] if at < 3 else arrays.get(name) for at, name in enumerate(_ARRAYS)}
        sample = Dataset(**held, schema=schema, names=names, name=name, label_name=label_name)
        found = (metadata[name] for name in _NUMBERS)
        notes = tuple(metadata.get("notes", ()))
        return Index(form, arrays["counts"], sample, arrays.get("labels"), *found, notes=notes)
    except (KeyError, TypeError, ModelFileError) as error:
        said = error.message if isinstance(error, LatensError) else f"lacks {error}."
        raise DataError(f"the table of blocks is damaged: {said}", where=str(path), fix="Start a new run.") from None


def _changed(was: dict[str, Any], about: dict[str, Any]) -> str:
    """What of a stream is no longer as it was, in a sentence."""
    before = {name: (size, digest) for name, size, digest in was.get("files", [])}
    now = {name: (size, digest) for name, size, digest in about["files"]}
    for name, found in now.items():
        if name not in before:
            return f"the file {name} was not there at the first pass."
        if before[name] != found:
            sizes = f"{before[name][0]} bytes, now {found[0]}"
            return f"the file {name} has changed since the first pass (it had {sizes})."
    lacking = next((name for name in before if name not in now), None)
    if lacking is not None:
        return f"the file {lacking} is no longer there."
    return "the data are read in another way than at the first pass."
