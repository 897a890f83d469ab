"""A table comes back with its own separator, and what was said of other rows says nothing of the model's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.data.formats.csv import dialect_of
from latens.text import Dialect, csv_bytes


def write(path: Path, separator: str) -> Path:
    rng = np.random.default_rng(0)
    made = {"no": [f"N-{k}" for k in range(300)], "kind": rng.choice(["a", "b"], 300), "size": rng.integers(1, 90, 300)}
    made["part"] = rng.integers(1, 9, 300) / 8
    pd.DataFrame(made).to_csv(path, sep=separator, index=False, decimal="," if separator == ";" else ".")
    return path


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_the_separator_of_a_table_is_found(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "rows.csv", separator)
    assert dialect_of(path) == (separator, "")
    path.write_bytes("\ufeff".encode() + path.read_bytes())  # as Excel on Windows writes it
    assert dialect_of(path) == (separator, "\ufeff")
    assert dialect_of(write(tmp_path / "rows.tsv", separator)) == Dialect()  # another ending says itself what it is
    assert dialect_of(tmp_path / "none.csv") == dialect_of(None) == dialect_of(np.zeros(3)) == (",", "")


def test_the_mark_that_excel_reads_stays(tmp_path: Path) -> None:
    """Without it Excel on Windows shows "Skoda" with its first letter as two others."""
    columns = {"make": np.array(["Škoda", "Audi"]), "age": np.array([3, 4])}
    for mark in ("", "\ufeff"):
        made = csv_bytes(columns, dialect=Dialect(";", mark))
        assert made == f"{mark}make;age\nŠkoda;3\nAudi;4\n".encode()
        (tmp_path / "t.csv").write_bytes(made)
        assert dialect_of(tmp_path / "t.csv") == (";", mark)


def test_rows_come_back_with_it_and_ids_may_be_named_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write(tmp_path / "rows.csv", ";")
    run = str(tmp_path / "run")
    fit = ["fit", str(rows), "--recipe", "table-mixture", "--label", "none", "--epochs", "3", "--out", run]
    assert main([*fit, "--set", "posterior.choices=2"]) == 0
    assert main(["sample", run, "-n", "40", "--out", str(tmp_path / "new.csv"), "--gaps", "none"]) == 0
    new = pd.read_csv(tmp_path / "new.csv", sep=";", decimal=",")
    assert list(new) == ["kind", "size", "part"]
    assert new["part"].dtype == float
    holes = pd.read_csv(rows, sep=";", dtype=str)
    holes.loc[:20, "size"] = ""
    holes.to_csv(tmp_path / "holes.csv", sep=";", index=False)
    assert main(["impute", run, str(tmp_path / "holes.csv"), "--out", str(tmp_path / "full.csv")]) == 0
    full = pd.read_csv(tmp_path / "full.csv", sep=";", dtype=str)
    pd.testing.assert_frame_equal(full[["no", "kind", "part"]], holes[["no", "kind", "part"]])
    assert full["size"].notna().all()
    odd = ["detect", run, str(rows), "--top", "3", "--id", "no", "--out", str(tmp_path / "odd.csv")]
    assert main(odd) == 0  # held-out rows are read as the run reads them
    assert pd.read_csv(tmp_path / "odd.csv", sep=";")["row_id"].str.startswith("N-").all()
    capsys.readouterr()
