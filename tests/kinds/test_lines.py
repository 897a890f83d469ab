"""Text files whose rows are their lines, and tables of one column of text."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from latens.cli.main import main
from latens.data import load
from latens.errors import DataError

NAMES = ["emma", "olivia", "nan", "007", "ava"]


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["names.txt", "names.txt.gz"])
def test_a_line_is_a_row(tmp_path: Path, name: str) -> None:
    data = load(written(tmp_path / name, "\n".join(NAMES) + "\n"))
    same = load(NAMES)
    assert data.schema.decode(data.x) == NAMES
    assert (data.fingerprint, data.schema) == (same.fingerprint, same.schema)
    assert (data.name, data.names.tolist()) == ("names", [0, 1, 2, 3, 4])
    assert data.notes == ("Rows are lines of text: --pieces says what they are cut into; a table is named .csv.",)


def test_empty_lines_and_blanks_at_the_end_are_left_out_and_said(tmp_path: Path) -> None:
    data = load(written(tmp_path / "a.txt", "\ufeffto  be\r\n\n  or not \n \t\nto\nbe"), pieces="characters")
    assert data.schema.decode(data.x) == ["to  be", "  or not", "to", "be"]
    assert data.notes == ("2 empty lines are left out.", "Blanks at the end of 1 line are left out.")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1 2 3\n4 5 6\n7 8 9\n", "real"),
        ("0.5\n1.5\n2.25\n", "real"),
        ("name,age\nann,3\nbob,4\n", "mixed"),
        ("a\tb\nann\tx\nbob\ty\nann\ty\n", "mixed"),
        ("a b\nann x\nbob y\n", "tokens"),
        ("ann\nbob\n", "tokens"),
        ('say "so,\nhe said\n', "tokens"),
        ("74 69 65 50 | 74 69\n62 | 60 50 40\n74 60\n", "tokens"),
    ],
)
def test_a_text_file_is_a_table_where_it_looks_like_one(tmp_path: Path, text: str, kind: str) -> None:
    path = written(tmp_path / "a.txt", text)
    assert load(path).schema.kind == kind
    assert load(path, pieces="words").schema.tokens.pieces == "words"


def test_a_trained_model_reads_every_text_file_as_lines(tmp_path: Path) -> None:
    schema = load(["1 2", "3 4"]).schema
    assert schema.decode(load(written(tmp_path / "a.txt", "1 2\n3 4\n"), schema=schema).x) == ["1 2", "3 4"]
    with pytest.raises(DataError, match=r"a\.txt, line 3: character 2 is 'x', which the vocabulary of 5 pieces lacks"):
        load(written(tmp_path / "a.txt", "1 2\n\n3x4\n"), schema=schema)


def test_a_table_of_one_column_of_text_has_labels_and_ids(tmp_path: Path) -> None:
    path = written(
        tmp_path / "m.csv", "name,smiles,active\n" + "".join(f"m{i},CC{'O' * i},{i % 2}\n" for i in range(4))
    )
    data = load(path, pieces="atoms", label="active", row_id="name")
    assert data.schema.decode(data.x) == ["CC", "CCO", "CCOO", "CCOOO"]
    assert (data.label.tolist(), data.names.tolist()) == ([0, 1, 0, 1], ["m0", "m1", "m2", "m3"])
    again = load(written(tmp_path / "n.csv", "smiles\nCCO\nCC\n"), schema=data.schema)
    assert data.schema.decode(again.x) == ["CCO", "CC"]
    with pytest.raises(DataError, match=r"has 2 columns other than label, id, weight \(name, smiles\)"):
        load(path, pieces="atoms", label="active")
    with pytest.raises(DataError, match=r"row 1: is a sequence of length 0"):
        load(written(tmp_path / "n.csv", "smiles,n\nCCO,1\n,2\n"), schema=data.schema, row_id="n")


def test_check_says_what_a_text_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "names.txt", "emma\nava\nbob\n" * 20)
    assert main(["check", str(path), "--pieces", "characters", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    needed = np.tile([5, 4, 4], 20)[load(path).split == 0]  # the end is a step
    counted = needed.sum() / np.where(needed > 4, 8, 4).sum()
    assert report["tokens"] == {
        "pieces": "characters", "vocabulary": 6, "longest": 4, "mean": pytest.approx(10 / 3),
        "edges": [4, 8], "counted": pytest.approx(counted),
    }  # fmt: skip
    assert (report["kind"], report["duplicate_rows"], report["rows"]) == ("tokens", 57, 60)
    assert any("are copies of training rows" in sentence for sentence in report["warnings"])
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "text in 6 different characters; 4 at the longest, 3.3 on average" in said
    assert "cells or columns never change" not in said


def test_a_frame_of_one_column_of_text_is_rows_of_text() -> None:
    frames = pytest.importorskip("pandas")
    frame = frames.DataFrame({"smiles": ["CCO", "CC", "CCN"], "weight": [1.0, 2.0, 0.5]})
    data = load(frame, pieces="atoms", weight="weight")
    assert data.schema.decode(data.x) == ["CCO", "CC", "CCN"]
    assert data.weight.tolist() == [1.0, 2.0, 0.5]
    with pytest.raises(DataError, match="holds no rows of text to be cut into pieces; it has the columns smiles, weig"):
        load(frame, pieces="atoms")
    with pytest.raises(DataError, match=r"row 1: has no text"):
        load(frames.DataFrame({"smiles": ["CCO", None, "CC"]}), pieces="atoms")


def test_a_series_and_an_array_of_strings_are_rows_of_text() -> None:
    frames = pytest.importorskip("pandas")
    for given in (tuple(NAMES), np.array(NAMES), np.array(NAMES, object), frames.Series(NAMES)):
        assert load(given).fingerprint == load(NAMES).fingerprint


def test_files_named_after_the_splits_are_the_splits(tmp_path: Path) -> None:
    words = [f"a{number}" for number in range(60)]
    parts = {"train": words[:40], "valid": words[40:45], "test": words[45:]}
    for name, own in parts.items():
        written(tmp_path / f"{name}.txt", "".join(f"{word}\n" for word in own))
    data = load(tmp_path, pieces="characters")
    found = {name: data.schema.decode(data.x[data.subset(name)]) for name in ("train", "validation", "test")}
    assert found == {"train": parts["train"], "validation": parts["valid"], "test": parts["test"]}
    (tmp_path / "valid.txt").unlink()  # then a tenth of the training rows validates, as ever
    data = load(tmp_path, pieces="characters")
    assert data.schema.decode(data.x[data.subset("test")]) == parts["test"]
    held = data.schema.decode(data.x[data.subset("validation")])
    assert 0 < len(held) < 10
    assert set(held) < set(parts["train"])
    written(tmp_path / "other.txt", "a1\n")
    data = load(tmp_path, pieces="characters")
    assert set(parts["test"]) & set(data.schema.decode(data.x[data.subset("train")]))


def test_a_folder_of_text_files_is_read_with_pieces(tmp_path: Path) -> None:
    written(tmp_path / "b.txt", "c d\n")
    written(tmp_path / "a.txt", "1 2\n3 4\n\n1\n")
    data = load(tmp_path, pieces="words")
    assert data.schema.decode(data.x) == ["1 2", "3 4", "1", "c d"]
    assert data.names.tolist() == ["a.txt:0", "a.txt:1", "a.txt:2", "b.txt:0"]
    with pytest.raises(DataError, match="this folder has no pictures"):
        load(tmp_path)
    with pytest.raises(DataError, match="rows that stay on disk take no pieces"):
        load(written(tmp_path / "a.csv", "a\nx\ny\n"), pieces="words", stream=True)
    with pytest.raises(DataError, match=r"a\.txt: has no named columns, so no 'y'"):
        load(tmp_path, pieces="words", label="y")
