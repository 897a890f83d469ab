"""Names from a stranger's file steer no terminal, no page, no figure and no spreadsheet."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_fixtures import Result

from latens.data.row_fields import ColumnRoles
from latens.errors import DataError, spreadsheet_text, visible
from latens.figures.style import csv_bytes, readable
from latens.kinds.tables.table_files import frame_bytes
from latens.kinds.text.strings import read_rows
from latens.report.html import text

pytest_plugins = ("cli_fixtures",)


def framed(columns: dict[str, np.ndarray]) -> bytes:
    """A table as the verbs write it."""
    return frame_bytes(pl.DataFrame(columns), Path("t.csv"))


TURNED = "abc\u202edef"


def test_what_steers_is_spelled_out_and_nothing_else() -> None:
    for mark in "\x00\x1b\x7f\x85\n\r\t\u061c\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\ud800":
        assert visible(f"a{mark}b") == f"a{ascii(mark)[1:-1]}b"
    for harmless in ("a b", "Größe", "日本語", "שלום", "می\u200cخواهم", "👩\u200d🚀", "\u00a0", "a\u0301"):
        assert visible(harmless) == harmless
    assert visible("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"
    assert visible(3.5) == "3.5"


def test_every_place_that_shows_names_spells_them_the_same() -> None:
    shown = "abc\\u202edef"
    assert readable(TURNED) == shown
    assert text(TURNED) == shown
    assert str(DataError(f"column {TURNED} is odd.", where="x\ny")) == f"x\\ny: column {shown} is odd."


def test_a_line_end_in_a_name_does_not_break_a_message(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", **{"x\nerror: all is lost": np.array(["a", "b"]), "y\u202e": np.ones(3, complex)})
    result = latens("check", "d.npz", "--json")
    assert result.code == 3
    assert "\u202e" not in result.err
    assert not [line for line in result.err.splitlines() if line.startswith("error: all is lost")]
    assert len(result.err.splitlines()) <= 3


def test_the_page_of_the_explorer_is_not_turned_around() -> None:
    from latens.explorer.payload import _readable

    manifest = {"event": {"columns": [{"name": TURNED, "shift": 1.5}]}, "classes": [TURNED, "b"], TURNED: None}
    raw = json.dumps(_readable(manifest), ensure_ascii=False)
    assert "\u202e" not in raw
    assert json.loads(raw)["classes"] == ["abc\\u202edef", "b"]


FORMULAS = ("=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "+-1", "-1-1", "'=1")


def test_a_spreadsheet_runs_no_text_of_ours_and_numbers_stay_numbers() -> None:
    for cell in FORMULAS:
        assert spreadsheet_text(cell)[0] not in "=+-@\t\r"
        assert spreadsheet_text(cell) in (f"'{cell}", cell)
    for number in ("-1.5", "+3", "-.5", "-1e-07", "+1E+20", "0", "12"):
        assert spreadsheet_text(number) == number
    for harmless in ("", "a=b", "it's", "'quoted'", "'", " =1", "1-1"):
        assert spreadsheet_text(harmless) == harmless


def test_names_of_the_training_data_are_written_as_they_stood() -> None:
    """A class `+` reads back as `+` for every reader; what is new still gets its apostrophe."""
    frame = pl.DataFrame({"=class": ["+", "-A1", "plain"], "-x": [1.0, -2.0, 3.0]})
    assert frame_bytes(frame, Path("t.csv"), known=("+", "=class")).decode().splitlines()[:3] == [
        "=class,'-x",
        "+,1.0",
        "'-A1,-2.0",
    ]


def test_samples_hold_the_names_of_the_data_and_say_so(tmp_path, capsys) -> None:
    from latens.cli.main import main

    signs = ["+", "-", "=1"] * 20
    (tmp_path / "t.csv").write_text("sign,size\n" + "\n".join(f"{sign},{i % 7}" for i, sign in enumerate(signs)) + "\n")
    run, out = str(tmp_path / "run"), tmp_path / "s.csv"
    steps = ("--steps", "2", "--set", "network.hidden=4", "--num-samples", "2", "--quiet")
    assert main(["fit", str(tmp_path / "t.csv"), "--out", run, *steps]) == 0
    capsys.readouterr()
    assert main(["sample", run, "-n", "30", "--out", str(out)]) == 0
    assert {line.split(",")[0] for line in out.read_text().splitlines()[1:]} <= {"+", "-", "=1"}
    assert "'+', '-', '=1' stand" in capsys.readouterr().err


@pytest.mark.parametrize("write", [framed, csv_bytes])
def test_every_table_of_ours_marks_text_and_only_text(write: Callable[..., bytes]) -> None:
    columns = {
        "row_id": np.array(["=cmd()", "-7", "plain"], object),
        "-odd": np.array([-1.5, 2.0, -3e-8], np.float32),
        "label": np.array(["@a", "+b", "-"], object),
        "on": np.array([True, False, True]),
    }
    header, *rows = csv.reader(io.StringIO(write(columns).decode(), newline=""))
    assert header == ["row_id", "'-odd", "label", "on"]
    assert rows == [["'=cmd()", "-1.5", "'@a", "true"], ["-7", "2.0", "'+b", "false"], ["plain", "-3e-8", "'-", "true"]]


def test_what_was_marked_is_read_as_it_was(tmp_path: Path) -> None:
    ids, labels = np.array(["=1+1", "-A1", "b"]), np.array(["@x", "y", "+z"])
    path = tmp_path / "d.csv"
    path.write_bytes(csv_bytes({"id": ids, "-a": np.array([-1.0, 2.0, 3.0]), "label": labels}))
    raw = read_rows(path, ColumnRoles(label="label", row_id="id"))
    assert raw.label is not None
    assert raw.names is not None
    assert (raw.names.tolist(), raw.label.tolist(), raw.columns) == (ids.tolist(), labels.tolist(), ("-a",))
