"""What the page shows of the rows themselves: their values in chunks, their columns, labels, splits and ids."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.conditions import GIVEN, cells_of
from latens.data.row_fields import SPLITS
from latens.data.schema import Schema
from latens.errors import visible
from latens.kinds import kind_of
from latens.kinds.tables.columns import ColumnType
from latens.kinds.tables.table_schema import in_units
from latens.runtime.atomic import plain, to_json
from latens.trained.trained_model import TrainedModel

CHUNK_BYTES = 4 << 20
"""About so much of the rows in one file: the page asks for a chunk when a row of it is to be shown."""

MOST_COLUMNS = 256
"""Columns of a table that can colour the points or be an axis; all of them are on a row's card."""

FEWEST_IN_A_CURVE = 16

LONGEST_ID = 80
"""Characters of a text that stands for its row's number."""


def event_of(trained: TrainedModel, data: Dataset | None) -> dict[str, Any]:
    """Describe what one row is and how the page draws it: an image, a curve or a row of named columns."""
    # data: its data, for the range of the values; or None.
    schema: Schema = trained.schema
    low, high = _range(schema, data)
    described: dict[str, Any] = {"kind": "curve", "shape": list(schema.shape), "cells": schema.kind}
    described |= {"levels": schema.levels, "low": low, "high": high}
    described |= {} if is_series(trained) else kind_of(schema).face(schema)
    if described["kind"] == "table":
        described["columns"] = [
            {"name": c.name, "shift": c.shift, "scale": c.scale} if one is None else {"name": c.name, **typed(one)}
            for c, one in schema.typed_columns
        ]
    return described


def typed(one: ColumnType) -> dict[str, Any]:
    """Describe a column of a mixed table: what its stored cells stand for, and their mean and standard deviation."""
    shares, middles = np.asarray(one.shares), np.asarray(one.firsts) + 0.5 * (np.asarray(one.widths) - 1)
    mean = float(shares @ middles)
    spread = float(np.sqrt(shares @ (np.square(middles - mean) + (np.square(one.widths) - 1) / 12)))
    found: dict[str, Any] = {"kind": one.kind, "shift": mean, "scale": spread or 1.0}
    if one.named:
        return found | {"levels": list(one.values)}
    return found | {"size": one.size, **grid(one)}


def grid(one: ColumnType) -> dict[str, Any]:
    """The numbers of the cells of a column: where they begin, their distance, and what they count."""
    # Of a wide column the cells of each segment lie several steps apart: where segments begin, the steps before them,
    # and their strides.
    counts = "days" if one.days else "time" if one.dtype == "Time" else "seconds" if one.kind != "number" else ""
    made: dict[str, Any] = {"low": one.low, "step": one.step, "counts": counts}
    if one.strides:
        made["wide"] = [list(one.starts), list(one.edges[:-1]), list(one.strides)]
    return made


def manifest_columns(
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    files: dict[str, bytes],
    *,
    cells: bool = True,
) -> list[dict[str, Any]]:
    """Write the columns that points can be coloured by: labels, splits and columns of a table."""
    # Categories are written as codes with the names of their levels (-1: none), dates as `days` since 1970.
    columns: list[dict[str, Any]] = []

    def add(name: str, kind: str, values: np.ndarray, role: str, **more: object) -> None:
        file = f"data/column-{len(columns)}.bin"
        files[file] = np.ascontiguousarray(values).tobytes()
        dtype = values.dtype.newbyteorder("=").name
        columns.append({"name": name, "kind": kind, "role": role, "file": file, "dtype": dtype, **more})

    if data.label is not None:
        codes = data.label[positions].astype("<i4")
        add(data.label_name, "category", codes, "label", levels=list(data.schema.classes or ()))
    told = data.schema.conditions or ()
    known = cells_of(told, data.cond[GIVEN][positions]) if told and data.cond else {}
    for one in told if known else ():
        if one.values:
            codes = np.array([one.values.index(name) for name in known[one.name].tolist()], "<i4")
            add(one.name, "category", codes, "condition", levels=list(one.values))
        else:
            add(one.name, "number", known[one.name].astype("<f4"), "condition")
    add("split", "category", data.split[positions].astype("<i4"), "split", levels=list(SPLITS))
    named = data.schema.typed_columns[:MOST_COLUMNS] if cells else []
    values = in_units(_cells(data, positions), data.schema.column_types) if named else np.zeros((0, 0))
    for i, (column, one) in enumerate(named):
        if one is not None and one.named:
            codes = np.where(np.isnan(values[:, i]), -1, values[:, i]).astype("<i4")
            add(column.name, "category", codes, "cell", cell=i, levels=list(one.values))
            continue
        dated = {} if one is None or one.kind != "date" else {"days": True}
        add(column.name, "number", values[:, i].astype("<f4"), "cell", cell=i, **dated)
    if data.weight is not None:
        add("weight", "number", data.weight[positions].astype("<f4"), "weight")
    return columns


def rows_of(data: Dataset, positions: Shaped[np.ndarray, " n"], files: dict[str, bytes]) -> dict[str, Any]:
    """Write the rows as stored, uint8 where they are, in chunks; missing values are NaN."""
    rows = _cells(data, positions)
    kept = rows if rows.dtype == np.uint8 else rows.astype("<f4")
    per_chunk = max(1, CHUNK_BYTES // max(1, kept[0].nbytes))
    names = []
    for number, start in enumerate(range(0, len(kept), per_chunk)):
        names.append(f"data/rows-{number:05d}.bin")
        files[names[-1]] = np.ascontiguousarray(kept[start : start + per_chunk]).tobytes()
    dtype = kept.dtype.newbyteorder("=").name
    return {"dtype": dtype, "shape": list(kept.shape), "files": names, "rows_per_file": per_chunk}


def ids_of(data: Dataset, positions: Shaped[np.ndarray, " n"], files: dict[str, bytes]) -> dict[str, Any]:
    """Write the user's ids of the rows: numbers in one array, or a JSON list of text."""
    names = data.names[positions]
    if kind_of(data.schema).printed:
        names = _with_texts(names, data.schema.decode(_cells(data, positions)))
    if names.dtype.kind in "iu" and int(np.abs(names).max(initial=0)) < 2**31:
        files["data/ids.bin"] = names.astype("<i4").tobytes()
        return {"kind": "number", "dtype": "int32", "file": "data/ids.bin"}
    files["data/ids.json"] = to_json(plain([visible(name) for name in names.tolist()]))
    return {"kind": "text", "file": "data/ids.json"}


def _with_texts(names: np.ndarray, texts: list[str]) -> np.ndarray:
    """Ids of rows of text: a text stands for its row's number, with the number where it is cut or comes again."""
    seen, found = set[str](), []
    for name, text in zip(names.tolist(), texts):
        short = text if len(text) <= LONGEST_ID else f"{text[:LONGEST_ID]}…"
        own = short if isinstance(name, int) else f"{name}: {short}"
        own = own if own and own not in seen and short == text else f"{own} (row {name})"
        seen.add(own)
        found.append(own)
    return np.array(found, object)


def _cells(data: Dataset, positions: np.ndarray) -> np.ndarray:
    """The rows (n, cells), also beyond the numbers of training rows; NaN in float32 where cells are missing."""
    rows = data.x[positions].reshape(len(positions), -1)
    if data.outside is not None:
        rows = rows + data.outside[positions]
    if data.mask is None:
        return rows
    return np.where(data.mask[positions].reshape(rows.shape), rows, np.nan).astype(np.float32)


def _range(schema: Schema, data: Dataset | None) -> tuple[float, float]:
    if schema.cells.pixel or data is None or not len(data):
        return 0.0, schema.cells.high if schema.cells.pixel else 1.0
    seen = data.x if data.mask is None else data.x[data.mask]
    return (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)


def is_series(trained: TrainedModel) -> bool:
    """Whether rows are curves."""
    # A recurrent network reads them so, or their 16 or more columns are numbered, not named (x0, x1 ...; t0, t1 ...; 0,
    # 1 ...; or from 1 on). A table of several kinds has no common unit, and text has one of its own.
    if "numbers" not in kind_of(trained.schema).looks(trained.schema):
        return False
    if getattr(getattr(trained.config, "network", None), "kind", "") == "recurrent":
        return True
    names = trained.schema.names
    numbered = ([f"{prefix}{i + first}" for i in range(len(names))] for prefix in ("x", "t", "") for first in (0, 1))
    return len(names) >= FEWEST_IN_A_CURVE and names in numbered
