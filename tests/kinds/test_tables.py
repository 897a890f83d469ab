"""One frame: what a table holds is read by its dtypes, stored on grids, and written as it was."""

import datetime
import decimal
import gzip
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from latens.data import load
from latens.data.row_fields import ColumnRoles
from latens.errors import DataError, ResourceError, UsageError
from latens.kinds.tables import table_files
from latens.kinds.tables.columns import MOST_CELLS, FrameColumn, number_type, unknown_category
from latens.kinds.tables.dtypes import dtype_of, name_of, numbers_of, series_of
from latens.kinds.tables.infer_columns import plain_numbers
from latens.kinds.tables.table_files import WRITTEN, Written, _sniffed, frame_bytes, read_table, written_of
from latens.kinds.tables.table_schema import as_frame

N = 300
RNG = np.random.default_rng(0)
HOUR = datetime.datetime(2020, 1, 1)


def every_dtype() -> pl.DataFrame:
    """A column of each dtype that a model knows."""
    hours = pl.datetime_range(HOUR, HOUR + datetime.timedelta(hours=N - 1), "1h", eager=True)
    return pl.DataFrame(
        {
            "f32": pl.Series(np.round(RNG.normal(size=N), 1), dtype=pl.Float32),
            "f64": np.round(RNG.normal(size=N), 2),
            "u16": pl.Series(np.arange(N) % 7, dtype=pl.UInt16),
            "i64": np.arange(N) % 11,
            "bool": np.arange(N) % 3 == 0,
            "date": hours.dt.date(),
            "time": hours,
            "berlin": hours.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"),
            "clock": pl.Series(np.arange(N) * 60 * 10**9).cast(pl.Time),
            "span": pl.Series(np.arange(N) * 1500).cast(pl.Duration("ms")),
            "text": RNG.choice(["x", "y"], N),
            "cat": pl.Series(RNG.choice(["u", "v"], N), dtype=pl.Categorical),
            "size": pl.Series(RNG.choice(["S", "M", "L"], N), dtype=pl.Enum(["S", "M", "L"])),
            "money": pl.Series(
                [decimal.Decimal(int(k)) / 100 for k in RNG.integers(0, 999, N)], dtype=pl.Decimal(10, 2)
            ),
            "bytes": pl.Series([b"ab", b"c", b""] * (N // 3)),
        }
    )


def test_every_dtype_and_every_cell_come_back() -> None:
    frame = every_dtype()
    data = load(frame)
    back = as_frame(data.x, data.schema, data.outside)
    assert [name_of(dtype).split("[")[0] for dtype in back.dtypes] == [
        name_of(one).split("[")[0] for one in frame.dtypes
    ]
    kinds = [one.kind for one in data.schema.types]
    assert kinds == ["number"] * 4 + ["category"] + ["date"] * 4 + ["duration"] + ["category"] * 2 + [
        "ordinal", "number", "category",
    ]  # fmt: skip
    for name in frame.columns:
        close = pytest.approx(frame[name].to_list()) if frame[name].dtype.is_float() else frame[name].to_list()
        assert back[name].to_list() == close, name


@pytest.mark.parametrize(
    "dtype", ["Int8", "UInt64", "Float32", "Date", "Time", "Datetime[ns]", "Duration[us]", "Decimal[3]"]
)
def test_numbers_and_dtypes_by_name_are_inverse(dtype: str) -> None:
    numbers = np.array([0.0, np.nan, 3.0, 86.0])
    made = series_of(numbers, dtype)
    assert name_of(made.dtype) == dtype
    np.testing.assert_array_equal(numbers_of(made), numbers)
    with pytest.raises(ValueError, match="x"):
        dtype_of("x[y]")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".arrow", ".jsonl", ".csv.gz", ".csv.zst"])
def test_a_table_that_is_written_is_read_again(suffix: str, tmp_path: Path) -> None:
    frame = every_dtype().select("f64", "i64", "bool", "date", "time", "text")
    path = tmp_path / f"t{suffix}"
    data = frame_bytes(frame, Path(f"t{suffix.removesuffix('.gz').removesuffix('.zst')}"))
    packed = {".gz": gzip.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    path.write_bytes(packed.get(path.suffix, bytes)(data))
    if ".csv" in suffix:
        assert table_files._source(path, None, [])[1].startswith(data[:99].decode())
    found = load(path)
    assert [one.dtype.split("[")[0] for one in found.schema.types] == [
        "Float64",
        "Int64",
        "Boolean",
        "Date",
        "Datetime",
        "String",
    ]
    np.testing.assert_array_equal(found.x, load(frame).x)


def test_every_format_that_is_named_is_written_or_asks_for_its_package() -> None:
    refused = []
    for ending in WRITTEN:
        try:
            made = frame_bytes(every_dtype(), Path(f"t{ending}"))
            if ending not in (".parquet", ".arrow"):  # text has no cells for bytes and durations
                assert (made.count(b"6162"), made.count(b"7m 28s 500ms")) == (N // 3, 1)
        except UsageError as error:
            refused.append(f"{ending}: {error}")
    assert all(one.startswith(".xlsx") and "needs xlsxwriter" in one for one in refused)


def test_a_wide_range_keeps_its_small_values() -> None:
    ages = RNG.integers(18, 90, 600).astype(float)
    ages[5] = 9_999_999_999
    one = number_type(ages, ages, FrameColumn(dtype="Int64"))
    assert one.size <= MOST_CELLS
    back = one.series(one.place(ages)).to_numpy()
    assert np.delete(back, 5).tolist() == np.delete(ages, 5).tolist()
    assert back[5] == ages[5]  # both ends of a segment are exact
    assert sum(one.shares) == pytest.approx(1.0)
    cells = np.linspace(0, one.size - 1, 1001).round()
    np.testing.assert_array_equal(np.round(one.place(one.value(cells))), cells)  # each the other's inverse
    (note,) = load(pd.DataFrame({"age": ages, "k": ["a", "b"] * 300})).notes
    assert "is wide" in note


def test_frequent_values_between_wide_segments_are_exact() -> None:
    """What lies beyond a segment whose cells are several steps apart is where it was."""
    few = RNG.integers(0, 10**9, 400).astype(float)
    values = np.concatenate([few, few + 3e9, np.full(300, 123_456_789.0), np.full(300, 2_000_000_001.0)])
    one = number_type(values, values, FrameColumn(dtype="Int64"))
    assert one.edges
    back = one.value(np.round(one.place(values)))
    assert (back[800:] == values[800:]).all()
    assert np.abs(back - values).max() <= max(one.strides) / 2 + 1
    cells = np.arange(0, one.size, 997)
    assert (np.diff(one.value(cells)) > 0).all()


def test_seconds_of_five_years_are_exact() -> None:
    seconds = RNG.choice(5 * 365 * 86_400, 600, replace=False)
    frame = pl.DataFrame({"t": pl.Series(seconds * 10**6).cast(pl.Datetime("us")), "k": ["a", "b"] * 300})
    data = load(frame)
    lost = numbers_of(as_frame(data.x, data.schema, data.outside)["t"]) - numbers_of(frame["t"])
    assert np.abs(lost).max() <= 600  # 64 segments of 28 days in 2^18 cells each: within half a stride
    assert any("is wide" in note for note in data.notes) == (np.abs(lost).max() > 0)


def test_in_a_frame_only_null_and_nan_are_gaps() -> None:
    words = ["NA", "null", "nan", "?", "DE"] * 60
    data = load(pd.DataFrame({"k": words, "x": np.where(np.arange(N) % 10, 1.5, np.nan)}))
    assert data.mask[:, 0].all()
    assert data.mask[:, 1].sum() == 270
    assert set(data.schema.types[0].values) == {"NA", "null", "nan", "?", "DE"}


def test_numbers_that_numpy_writes_are_numbers(tmp_path: Path) -> None:
    x = np.array([[1.5, np.nan], [np.nan, 0.25], [0.0, -3.0]])
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b", comments="")
    data = load(tmp_path / "x.csv", missing="nan")
    np.testing.assert_array_equal(data.mask, ~np.isnan(x))
    (tmp_path / "led.csv").write_text("a,b\n01,1\nnan,2\n02,1\n")
    assert [one.kind for one in load(tmp_path / "led.csv").schema.types] == ["category", "number"]


def test_in_a_file_words_are_gaps_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,NA\nNA,x\n2,y\n" * 30)
    plain, said = load(path), load(path, null="NA")
    assert plain.mask is None
    assert (~said.mask).sum(axis=0).tolist() == [30, 30]
    assert any("--null 'NA'" in note for note in plain.notes)


SEPARATED = [(",", ".csv", False), (";", ".csv", True), ("\t", ".csv", True), ("|", ".txt", True), (" ", ".txt", True),
             ("   ", ".dat", True), ("\t", ".tsv", False), ("\t", ".txt", True), (";", ".txt", True)]  # fmt: skip


@pytest.mark.parametrize(("separator", "ending", "said"), SEPARATED)
def test_the_separator_is_found_and_said(separator: str, ending: str, said: bool, tmp_path: Path) -> None:
    path = tmp_path / f"t{ending}"
    path.write_text("\n".join(separator.join(row) for row in [("a", "b"), *[("1.5", "x"), ("2.5", "y")] * 30]))
    data = load(path)
    assert data.schema.names == ["a", "b"]
    assert as_frame(data.x, data.schema)["a"].to_list() == [1.5, 2.5] * 30
    assert any("separated by" in note for note in data.notes) == said


def test_a_line_of_one_word_has_no_blanks_that_separate() -> None:
    for head, said in (("head", ";"), ("one head", " ")):
        assert _sniffed([head, *["x y;2", "z w;3", "q r;5"] * 10], Path("a.csv"))[0] == said


@pytest.mark.parametrize("count", [2, 999, 1001])
def test_an_unknown_name_is_one_of_a_few_that_are_known(count: int) -> None:
    names = ["Lyon", "Oslo", *(f"town {i}" for i in range(count - 2))]
    fix = unknown_category("Olso", "city", names, "rows").fix
    assert str(fix).startswith("Did you mean 'Oslo'?") == (count <= 1000)
    assert "leave the cell empty" in str(fix)


def test_decimal_commas_and_names_led_by_a_zero(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("v;zip\n" + "1,5;01\n2,25;99\n" * 40)
    data = load(path, decimal_comma=True)
    assert [(one.kind, one.dtype) for one in data.schema.types] == [("number", "Float64"), ("category", "String")]
    assert data.schema.types[1].values == ("01", "99")
    back = as_frame(data.x, data.schema)
    assert back["v"].to_list() == [1.5, 2.25] * 40
    assert frame_bytes(back, path, Written(";", True)).decode() == path.read_text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("city,v\n" + "Köln,1\nRom,2\n" * 30).encode(encoding))
    data = load(path)
    assert data.schema.types[0].values == ("Köln", "Rom")
    assert any("cp1252" in note for note in data.notes) == (encoding == "cp1252")
    with pytest.raises(UsageError, match="no encoding 'x'"):
        load(path, encoding="x")


def test_records_in_json_and_in_python(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("[" + ",".join('{"a": 1, "day": "2024-05-01"}, {"a": 2.5, "day": null}' for _ in range(30)) + "]")
    data = load(path)
    assert [one.dtype for one in data.schema.types] == ["Float64", "Date"]
    assert load([{"a": 1, "k": "x"}, {"a": 2, "k": "y"}] * 30).schema.names == ["a", "k"]


def test_dates_of_digits_can_be_declared() -> None:
    days = pl.date_range(datetime.date(2023, 1, 1), datetime.date(2023, 10, 27), eager=True)
    frame = pl.DataFrame({"day": days.dt.strftime("%Y%m%d").cast(pl.Int64), "k": ["a", "b"] * 150})
    for columns in ({"day": "date"}, "day=date", {"day": {"kind": "date", "form": "%Y%m%d"}}):
        data = load(frame, columns=columns)
        assert data.schema.types is not None
        assert (data.schema.types[0].kind, data.schema.types[0].days) == ("date", True)
        assert as_frame(data.x, data.schema, data.outside)["day"].to_list() == frame["day"].to_list()
    with pytest.raises(DataError, match=r"holds 'a' .*it is to hold dates"):
        load(frame, columns={"k": "date"})


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,a\n1,2\n", "two columns are named 'a'"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", "t.csv, line 3: has 3 values, and the first line 2"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.parquet", b"PAR1 nothing", "t.parquet: cannot be read"),
        ("t.arrow", b"ARROW1 nothing", "t.arrow: cannot be read"),
        ("t.jsonl", b"{", "t.jsonl: cannot be read"),
        ("t.xlsx", b"PK\x03\x04", "t.xlsx: cannot be read"),
        ("t.csv.gz", b"\x1f\x8b\x08 cut", "t.csv.gz: cannot be read"),
        ("t.json", b'[{"a": [1, 2]}, {"a": [3]}]', "column 'a' holds List"),
    ],
)
def test_files_that_are_no_tables_say_so(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=words):
        load(tmp_path / name)


def test_objects_that_would_not_come_back_are_refused() -> None:
    """Text would come back in their place."""
    with pytest.raises(DataError, match=r"column 'u' holds Object.*write it as text"):
        load(pd.DataFrame({"u": [uuid.UUID(int=1), None], "x": [1.0, 2.0]}))


def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe() -> None:
    frame = pl.DataFrame({"=a": ["=1+1", "-5", "x"], "b": ["@y", "", "z"]})
    written = frame_bytes(frame, Path("t.csv"), known=("@y",)).decode().splitlines()
    assert written == ["'=a,b", "'=1+1,@y", '-5,""', "x,z"]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_more_cells_than_fit_are_refused_before_they_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(frame_bytes(pl.DataFrame({"a": [1.0] * 11}), tmp_path / name))
    monkeypatch.setattr(table_files, "MAX_BYTES", 80)
    with pytest.raises(ResourceError, match="has 11 cells"):
        read_table(tmp_path / name, ColumnRoles())


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([pl.Float32], np.float32),
        ([pl.Float32, pl.Float64], np.float64),
        ([pl.UInt8, pl.Int16], np.int16),
        ([pl.Boolean], bool),
        ([pl.Int128, pl.UInt8], np.float64),
        ([pl.Decimal(10, 1), pl.Float32], np.float64),
    ],
)
def test_plain_numbers_are_of_the_least_type_that_holds_them(kinds: list, expected: type) -> None:
    frame = pl.DataFrame([pl.Series(f"c{i}", [1, 0, 1]).cast(kind) for i, kind in enumerate(kinds)])
    found = plain_numbers(frame)
    assert found.dtype == expected
    assert found.astype(float).tolist() == [[1.0] * len(kinds), [0.0] * len(kinds), [1.0] * len(kinds)]
    gapped = frame.with_columns(pl.when(pl.Series([True, False, True])).then(pl.all()))
    assert np.isnan(plain_numbers(gapped)[1].astype(float)).all()


def test_a_column_that_begins_empty_holds_what_its_later_rows_say(tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text("a,b\n" + "x,\n" * 10_000 + "y,5\n" * 40)
    frame, _ = read_table(tmp_path / "late.csv", ColumnRoles())
    assert frame["b"].dtype == pl.Int64
    assert frame["b"].sum() == 200


def test_times_of_whole_seconds_are_written_without_a_fraction() -> None:
    six = datetime.datetime(2024, 1, 2, 6)
    for time, text in ((six, "2024-01-02 06:00:00"), (six.replace(microsecond=5), "2024-01-02T06:00:00.000005")):
        assert frame_bytes(pl.DataFrame({"t": [time]}), Path("t.csv")).decode() == f"t\n{text}\n"


@pytest.mark.parametrize("declared", [None, ["day=date:%d.%m.%Y"]])
def test_dates_and_booleans_are_written_as_they_are_read(declared: list | None, tmp_path: Path) -> None:
    path, lines = (
        tmp_path / "t.csv",
        [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2023;{i % 3 == 0};{i / 4}" for i in range(60)],
    )
    path.write_text("day;ok;v\n" + "\n".join(lines) + "\n")
    data = load(path, columns=declared)
    made = frame_bytes(as_frame(data.x, data.schema), tmp_path / "new.csv", written_of(path, {}))
    assert made.decode().splitlines()[1:] == lines
    (tmp_path / "iso.csv").write_text("day,other,ok\n2023-02-01,01.02.2023,true\n")
    assert written_of(tmp_path / "iso.csv", {}) == Written()
