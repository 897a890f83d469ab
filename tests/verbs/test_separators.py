"""A table comes back with its own separator, and what was said of other rows says nothing of the model's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.data.formats.csv import dialect_of
from latens.text import Dialect, added_texts, csv_bytes, lacking
from latens.verbs._files import kept_dialect


def write(path: Path, separator: str) -> Path:
    rng = np.random.default_rng(0)
    made = {"no": [f"N-{k}" for k in range(300)], "kind": rng.choice(["a", "b"], 300), "size": rng.integers(1, 90, 300)}
    made["part"] = rng.integers(1, 9, 300) / 8
    pd.DataFrame(made).to_csv(path, sep=separator, index=False, decimal="," if separator == ";" else ".")
    return path


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_the_separator_of_a_table_is_found(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "rows.csv", separator)
    assert dialect_of(path) == Dialect(separator)
    path.write_bytes("\ufeff".encode() + path.read_bytes())  # as Excel on Windows writes it
    assert dialect_of(path) == Dialect(separator, "\ufeff")
    assert dialect_of(write(tmp_path / "rows.tsv", separator)) is None  # another ending says itself what it is
    assert dialect_of(tmp_path / "none.csv") == dialect_of(None) == dialect_of(np.zeros(3)) is None


def test_the_mark_that_excel_reads_stays(tmp_path: Path) -> None:
    """Without it Excel on Windows shows "Skoda" with its first letter as two others."""
    columns = {"make": np.array(["Škoda", "Audi"]), "age": np.array([3, 4])}
    for mark in ("", "\ufeff"):
        made = csv_bytes(columns, dialect=Dialect(";", mark))
        assert made == f"{mark}make;age\nŠkoda;3\nAudi;4\n".encode()
        (tmp_path / "t.csv").write_bytes(made)
        assert dialect_of(tmp_path / "t.csv") == Dialect(";", mark)


def test_lines_end_as_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Windows ends them, in what `check` cleans and in new rows, also where the file is gone."""
    rows, run = write(tmp_path / "rows.csv", ";"), str(tmp_path / "run")
    rows.write_bytes(rows.read_bytes().replace(b"\n", b"\r\n"))
    assert dialect_of(rows) == Dialect(";", ends="\r\n")
    assert main(["fit", str(rows), "--epochs", "1", "--set", "network.hidden=[8]", "--out", run, "--quiet"]) == 0
    rows.unlink()
    assert main(["sample", run, "-n", "20", "--out", str(tmp_path / "new.csv")]) == 0
    made = (tmp_path / "new.csv").read_bytes()
    assert made.count(b"\r\n") == made.count(b"\n") == 21
    assert kept_dialect({"separator": ";", "mark": "", "encoding": "utf-8", "ends": "; rm"}).ends == "\n"
    capsys.readouterr()


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


NAMES = ("Fürth", "Köln")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16"])
def test_the_encoding_of_a_table_is_found(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("Ort;Größe\n".encode(encoding) + f"{NAMES[0]};2\n".encode(encoding).removeprefix(b"\xff\xfe"))
    assert dialect_of(path) == Dialect(";", "", encoding)
    assert dialect_of(path, "latin-1" if encoding == "cp1252" else None) is not None
    if encoding == "cp1252":
        assert dialect_of(path, "latin-1") == Dialect(";", "", "iso8859-1")


def test_a_name_that_the_encoding_lacks_makes_it_utf8_and_is_said() -> None:
    one = Dialect(";", "", "cp1252")
    kept = csv_bytes({"Ort": np.array(NAMES)}, dialect=one)
    assert (kept, lacking(kept, one)) == ("Ort\nFürth\nKöln\n".encode("cp1252"), "")
    other = csv_bytes({"Ort": np.array(["Řeka", "Köln"])}, dialect=one)
    assert other == "\ufeffOrt\nŘeka\nKöln\n".encode()
    assert lacking(other, one).startswith("is written in UTF-8 with a byte order mark, as cp1252 has no 'Ř'")
    assert lacking(other, Dialect(";", "\ufeff")) == ""


def test_added_numbers_have_four_digits_and_the_mark_of_the_table() -> None:
    column = np.array([0.123456, 12345.6, 1e-7, np.inf, -2.5])
    assert added_texts(column, ",") == ["0,1235", "1,235e+04", "1e-07", "inf", "-2,5"]
    assert added_texts(np.array(["2.66e-05", "", "0.5"], object), ".") == ["2.66e-05", "", "0.5"]


def test_an_office_gets_back_its_own_encoding_and_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    made = {
        "Nr": [f"N-{k}" for k in range(300)],
        "Ort": rng.choice(NAMES, 300),
        "Größe": rng.integers(10, 900, 300) / 10,
    }
    rows, run = tmp_path / "zeilen.csv", tmp_path / "run"
    pd.DataFrame(made).to_csv(rows, sep=";", index=False, decimal=",", encoding="cp1252")
    fit = ["fit", str(rows), "--recipe", "table-mixture", "--id", "Nr", "--label", "none", "--epochs", "3"]
    assert main([*fit, "--out", str(run), "--set", "posterior.choices=2"]) == 0
    holes = pd.read_csv(rows, sep=";", dtype=str, encoding="cp1252")
    holes.loc[:20, "Ort"] = ""
    holes.to_csv(tmp_path / "holes.csv", sep=";", index=False, encoding="cp1252")
    commands = {
        "new": ["sample", str(run), "-n", "40", "--gaps", "none"],
        "alone": ["sample", str(run / "model.safetensors"), "-n", "40", "--gaps", "none"],
        "full": ["impute", str(run), str(tmp_path / "holes.csv"), "--interval", "0.9"],
        "odd": ["detect", str(run), str(rows), "--top", "3"],
    }
    tables = {}
    for name, words in commands.items():
        out = tmp_path / f"{name}.csv"
        assert main([*words, "--out", str(out)]) == 0
        with pytest.raises(UnicodeDecodeError):
            out.read_text(encoding="utf-8")
        tables[name] = pd.read_csv(out, sep=";", dtype=str, encoding="cp1252")
    assert list(tables["new"]) == list(tables["alone"]) == ["Ort", "Größe"]
    assert tables["new"]["Größe"].str.fullmatch(r"\d+,\d").all()
    sure = tables["full"]["Ort.p"].dropna()
    assert len(sure) == 21
    assert sure.str.fullmatch(r"(0,\d{1,4}|1)").all()
    assert tables["odd"]["surprise"].str.fullmatch(r"-?\d+(,\d{1,3})?").all()
    assert (tables["odd"]["p_value"].str.len() <= 9).all()
    assert not tables["odd"]["p_value"].str.contains(".", regex=False).any()
    assert "UTF-8" not in capsys.readouterr().err.replace("is not UTF-8, and was read as cp1252", "")
