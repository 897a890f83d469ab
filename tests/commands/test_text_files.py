"""Rows of text in and out of files: what a model draws is read again as it was."""

from pathlib import Path

import numpy as np
import pytest

from latens.commands.base import Result
from latens.data import load
from latens.errors import DataError

TEXTS = ["emma", "=1+1", "a,b", 'say "so"', "nan", "zoë"]
DATA = load(TEXTS)


def made() -> Result:
    arrays = {"row_id": np.arange(6), "x": DATA.x.astype(np.float32), "z": np.eye(6)}
    return Result(arrays=arrays, schema=DATA.schema)


def test_a_text_file_has_a_row_a_line(tmp_path: Path) -> None:
    made().write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "\n".join(TEXTS) + "\n"
    assert np.array_equal(load(tmp_path / "a.txt", schema=DATA.schema).x, DATA.x)


def test_a_table_has_a_column_of_text_beside_the_ids(tmp_path: Path) -> None:
    made().write(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:4] == ["row_id,text", "0,emma", "1,'=1+1", '2,"a,b"']
    kept = load(tmp_path / "a.csv", schema=DATA.schema, row_id="row_id", pieces="characters")
    assert DATA.schema.decode(kept.x) == TEXTS


def test_a_row_of_several_lines_stands_in_no_text_file(tmp_path: Path) -> None:
    data = load(["a\nb", "c"])
    kept = Result(arrays={"x": data.x}, schema=data.schema)
    with pytest.raises(DataError, match="row 0 holds the end of a line; 1 such rows in all"):
        kept.write(tmp_path / "a.txt")
    kept.write(tmp_path / "a.csv")
    assert data.schema.decode(load(tmp_path / "a.csv", schema=data.schema).x) == ["a\nb", "c"]


def test_arrays_hold_codes_and_text(tmp_path: Path) -> None:
    made().write(tmp_path / "a.npz")
    found = np.load(tmp_path / "a.npz")
    assert found["text"].tolist() == TEXTS
    assert set(found) == {"row_id", "x", "z", "text"}


def test_a_model_takes_strings_for_rows() -> None:
    from latens.data import Preparation
    from latens.trained.inputs import batch_of

    batch = batch_of(TEXTS[:2], None, None, DATA.schema, Preparation())
    assert np.array_equal(batch.x, DATA.x[:2])
