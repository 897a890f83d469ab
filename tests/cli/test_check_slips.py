"""`latens check` names every cell that cannot be read, beside all else; `latens fit` stops at the first."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from latens.data.words import slips_left_empty

from latens.cli.main import main
from latens.data import load
from latens.errors import DataError


def written(path: Path, cells: dict[tuple[int, str], str]) -> Path:
    """A hundred days with a number and a name, some cells of them as they are given."""
    days = np.datetime64("2026-01-05") + np.arange(120)
    rows = [{"day": str(day), "big count": str(7 + k % 23), "who": "abc"[k % 3]} for k, day in enumerate(days)]
    for (row, column), text in cells.items():
        rows[row][column] = text
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["day", "big count", "who"])
        writer.writeheader()
        writer.writerows(rows)
    return path


BAD = {(10, "day"): "2026-02-31", (50, "big count"): "2o", (51, "big count"): "2o", (70, "big count"): "1l"}


def test_all_are_named_with_their_lines_and_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, clean = written(tmp_path / "t.csv", BAD), tmp_path / "clean.csv"
    assert main(["check", str(path), "--clean", str(clean), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    stops = [text for text in report["warnings"] if "`latens fit` stops there" in text]
    assert [text.split(": ")[0].rpartition("/")[2] for text in stops] == [
        "t.csv, line 12", "t.csv, line 52", "t.csv, line 52", "t.csv, line 72"]  # fmt: skip
    assert stops == report["warnings"][:4]
    assert "--label 'big count'" in stops[1]
    where = [(one["line"], one["column"]) for one in report["mistakes"]]
    assert where == [(12, "day"), (52, "big count"), (53, "big count"), (72, "big count")]
    was, now = (list(csv.reader(file.read_text().splitlines())) for file in (path, clean))
    changed = [(i, j) for i, row in enumerate(was) for j, cell in enumerate(row) if now[i][j] != cell]
    assert changed == [(11, 0), (51, 1), (52, 1), (71, 1)]
    assert {now[i][j] for i, j in changed} == {""}
    assert main(["check", str(clean), "--json"]) == 0
    assert "stops there" not in capsys.readouterr().out


def test_a_text_that_comes_often_is_no_slip_and_nothing_is_taken_as_empty_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "t.csv", BAD)
    with pytest.raises(DataError, match="line 12"):
        load(path)
    with slips_left_empty() as slips:
        data = load(path)
    assert [(slip.row, slip.column) for slip in slips] == [
        (10, "day"), (50, "big count"), (51, "big count"), (70, "big count")]  # fmt: skip
    assert data.mask is not None
    assert int((~data.mask).sum()) == 4
    with pytest.raises(DataError, match="line 12"):  # as before
        load(path)
    often = written(tmp_path / "o.csv", {(k, "big count"): "many" for k in range(20, 80)})
    assert main(["check", str(often), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["columns"][1]["kind"] == "category"
    assert "stops there" not in json.dumps(report)
