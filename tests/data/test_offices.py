"""Tables as offices have them: each is read, drawn from, and read back with the same kinds and the same writing."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latens.data import Dataset, check, load
from latens.data.conditions import parse_conditions
from latens.data.mixed import as_columns
from latens.data.schema import Schema
from latens.data.writings import Writing
from latens.errors import DataError, LatensError, ModelFileError
from latens.text import csv_bytes
from latens.verbs._files import formulas

N = 80
RNG = np.random.default_rng(36)
A = RNG.normal(50, 10, N).round(2)
BIG = np.exp(RNG.normal(9, 1.5, N)).round(2)
A1, SMALL1 = RNG.integers(200, 800, N) / 10, RNG.integers(-99, 99, N) / 10
SMALL = RNG.normal(0, 5, N).round(2)
K = RNG.integers(0, 3, N)
DAYS = np.datetime64("2024-01-01") + RNG.integers(0, 366, N)
YMD = [str(day).split("-") for day in DAYS]
CLOCK = [(int(m) // 60, int(m) % 60) for m in RNG.integers(0, 1440, N)]


def comma(text: str) -> str:
    return text.translate(str.maketrans(".,", ",."))


def cells(write: Callable[[int], str]) -> list[str]:
    return [write(i) for i in range(N)]


def half(i: int) -> str:
    hour, minute = CLOCK[i]
    return f"{(hour + 11) % 12 + 1}:{minute:02d} {'AP'[hour > 11]}M"


NUMBERS: dict[str, tuple[list[str], np.ndarray, Writing]] = {
    "decimal comma": (cells(lambda i: comma(f"{A[i]:.2f}")), A, Writing(decimal=",", decimals=2)),
    "as many decimals as needed": (cells(lambda i: comma(f"{A[i]:g}")), A, Writing(decimal=",")),
    "thousands by comma": (cells(lambda i: f"{BIG[i]:,.2f}"), BIG, Writing(thousands=",", decimals=2)),
    "thousands by point": (cells(lambda i: comma(f"{BIG[i]:,.2f}")), BIG, Writing("", "", ",", ".", 2)),
    "thousands by blank": (
        cells(lambda i: f"{BIG[i]:,.2f}".replace(",", " ").replace(".", ",")), BIG, Writing("", "", ",", " ", 2),
    ),
    "thousands by narrow blank": (
        cells(lambda i: f"{BIG[i]:,.0f}".replace(",", "\u202f")), BIG.round(), Writing(thousands="\u202f", decimals=0),
    ),
    "thousands of Switzerland": (
        cells(lambda i: f"{BIG[i]:,.2f}".replace(",", "'")), BIG, Writing(thousands="'", decimals=2),
    ),
    "dollars": (cells(lambda i: f"${BIG[i]:,.2f}"), BIG, Writing("$", "", ".", ",", 2)),
    "dollars below 0": (
        cells(lambda i: f"{'-' if SMALL[i] < 0 else ''}${abs(SMALL[i]):.2f}"), SMALL, Writing("$", decimals=2),
    ),
    "a sign after the money": (cells(lambda i: f"£{SMALL[i]:.2f}"), SMALL, Writing("£", decimals=2, inside=True)),
    "euros": (cells(lambda i: comma(f"{SMALL[i]:.2f}") + " €"), SMALL, Writing("", " €", ",", "", 2)),
    "a currency by its letters": (cells(lambda i: f"CHF {A[i]:.2f}"), A, Writing("CHF ", decimals=2)),
    "parentheses below 0": (
        cells(lambda i: f"({-SMALL[i]:.2f})" if SMALL[i] < 0 else f"{SMALL[i]:.2f}"),
        SMALL,
        Writing(decimals=2, minus="()"),
    ),
    "a true minus sign": (
        cells(lambda i: f"{SMALL[i]:.2f}".replace("-", "\u2212")), SMALL, Writing(decimals=2, minus="\u2212"),
    ),
    "kilograms": (cells(lambda i: f"{A[i]:.0f} kg"), A.round(), Writing(suffix=" kg", decimals=0)),
    "a unit without a blank": (cells(lambda i: f"{A1[i]:.1f}mm"), A1, Writing(suffix="mm", decimals=1)),
    "degrees": (cells(lambda i: comma(f"{SMALL1[i]:.1f}") + " °C"), SMALL1, Writing("", " °C", ",", "", 1)),
    "a quotient of units": (cells(lambda i: f"{A1[i]:.1f} km/h"), A1, Writing(suffix=" km/h", decimals=1)),
    "square metres": (cells(lambda i: f"{A[i]:.0f} m²"), A.round(), Writing(suffix=" m²", decimals=0)),
    "percent": (cells(lambda i: f"{A1[i]:.1f}%"), A1, Writing(suffix="%", decimals=1)),
    "percent of change": (
        cells(lambda i: comma(f"{SMALL[i]:+.2f}") + " %"), SMALL, Writing("", " %", ",", "", 2, plus=True),
    ),
}  # fmt: skip

DATES: dict[str, tuple[list[str], str]] = {
    "day first": (cells(lambda i: "/".join(YMD[i][::-1])), "%d/%m/%Y"),
    "month first": (cells(lambda i: f"{YMD[i][1]}/{YMD[i][2]}/{YMD[i][0]}"), "%m/%d/%Y"),
    "no zeros": (cells(lambda i: f"{int(YMD[i][1])}/{int(YMD[i][2])}/{YMD[i][0]}"), "%-m/%-d/%Y"),
    "points": (cells(lambda i: ".".join(YMD[i][::-1])), "%d.%m.%Y"),
    "years of two digits": (cells(lambda i: f"{YMD[i][2]}.{YMD[i][1]}.{YMD[i][0][2:]}"), "%d.%m.%y"),
    "year first": (cells(lambda i: "/".join(YMD[i])), "%Y/%m/%d"),
    "a month by its name": (
        cells(lambda i: f"{YMD[i][2]}-{DAYS[i].astype(object):%b}-2024"),
        "%d-%b-%Y",
    ),
    "the month before the day": (
        cells(lambda i: f"{DAYS[i].astype(object):%B} {DAYS[i].astype(object).day}, 2024"), "%B %-d, %Y",
    ),
    "half days": (cells(lambda i: f"{YMD[i][1]}/{YMD[i][2]}/{YMD[i][0]} {half(i)}"), "%m/%d/%Y %-I:%M %p"),
    "day and time": (
        cells(lambda i: f"{'.'.join(YMD[i][::-1])} {CLOCK[i][0]:02d}:{CLOCK[i][1]:02d}"), "%d.%m.%Y %H:%M",
    ),
    "times": (cells(lambda i: f"{CLOCK[i][0]:02d}:{CLOCK[i][1]:02d}"), "%H:%M"),
    "times with seconds": (cells(lambda i: f"{CLOCK[i][0]:02d}:{CLOCK[i][1]:02d}:{i % 60:02d}"), "%H:%M:%S"),
    "times of half days": (cells(lambda i: half(i).lower()), "%-I:%M %P"),
    "months": (cells(lambda i: f"{1990 + i // 12}-{i % 12 + 1:02d}"), "%Y-%m"),
    "months before years": (cells(lambda i: f"{i % 12 + 1:02d}/{1990 + i // 12}"), "%m/%Y"),
    "quarters": (cells(lambda i: f"{1990 + i // 4}-Q{i % 4 + 1}"), "%Y-Q%q"),
    "quarters before years": (cells(lambda i: f"Q{i % 4 + 1} {1990 + i // 4}"), "Q%q %Y"),
    "weeks": (cells(lambda i: f"{1990 + i // 40}-W{i % 52 + 1:02d}"), "%G-W%V"),
}  # fmt: skip


def write(path: Path, separator: str, encoding: str = "utf-8", **columns: list[str]) -> Path:
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in column] for column in columns.values()]
    lines = [separator.join(columns), *(separator.join(row) for row in zip(*quoted))]
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def frame(**more: Any) -> Any:
    pd = pytest.importorskip("pandas")
    days = DAYS.astype("datetime64[us]")
    return pd.DataFrame({"a": A, "n": K * 3, "g": ["rgb"[k] for k in K], "d": days, "t": K > 1, **more})


def as_read(data: Dataset) -> list[tuple[int, str]]:
    """The rows whose number or date in the first column lies within those of the training rows, and its text."""
    rows = np.arange(len(data)) if data.outside is None else np.flatnonzero(data.outside[:, 0] == 0)
    return list(zip(rows.tolist(), as_columns(data.x[rows], data.schema)["x"].tolist()))


def alike(one: Dataset, other: Dataset) -> None:
    """The same columns, kinds, writings and grids."""
    told = [
        (schema.kind, c.name, t.kind, t.written, t.writing, t.zone, t.step, sorted(t.values))
        for schema in (one.schema, other.schema)
        for c, t in zip(schema.columns or (), schema.types or ())
    ]
    assert told[: len(told) // 2] == told[len(told) // 2 :]


def drawn(data: Dataset, path: Path) -> Path:
    """Cells that a model may draw: each column in another order, as `latens sample` writes them."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(data.x[:, i]) for i in range(data.x.shape[1])], axis=1)
    path.write_bytes(csv_bytes(as_columns(rows, data.schema), formulas(data.schema)))
    return path


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read_as_numbers_and_written_as_they_were(tmp_path: Path, name: str) -> None:
    written, values, writing = NUMBERS[name]
    data = load(write(tmp_path / "t.csv", ";", x=written, g=["rgb"[k] for k in K]))
    x, g = data.schema.types
    assert (x.kind, x.writing, g.kind) == ("number", writing, "category")
    back = as_read(data)
    assert len(back) > N - 6
    assert all(text == written[i] for i, text in back)
    found = (x.low + data.x[:, 0].astype(float) * x.step)[[i for i, _ in back]]
    assert np.allclose(found, values[[i for i, _ in back]], atol=1e-6)
    (said,) = [note for note in data.notes if note.startswith("Read as it is written")]
    assert "'x' as numbers" in said
    again = load(drawn(data, tmp_path / "new.csv"), decimal=writing.decimal)
    alike(data, again)
    assert {text for _, text in as_read(again)} <= {text for _, text in back}


@pytest.mark.parametrize("name", DATES)
def test_days_times_and_periods_are_dates(tmp_path: Path, name: str) -> None:
    written, pattern = DATES[name]
    data = load(write(tmp_path / "t.csv", ",", x=written, g=["rgb"[k] for k in K]))
    x = data.schema.types[0]
    assert (x.kind, x.writing.pattern) == ("date", pattern)
    back = as_read(data)
    assert len(back) > N - 12
    assert all(text == written[i] for i, text in back)
    alike(data, load(drawn(data, tmp_path / "new.csv")))


def test_dates_are_the_days_that_they_say(tmp_path: Path) -> None:
    for name in ("day first", "month first", "points", "year first", "half days"):
        x = load(write(tmp_path / "t.csv", ",", x=DATES[name][0], g=DATES["times"][0])).schema.types[0]
        days = np.array([x.low, x.low + (x.size - 1) * x.step]) / (86_400 if x.written == "s" else 1)
        assert np.floor(days).astype(int).tolist() == [int(day.astype(int)) for day in (DAYS.min(), DAYS.max())], name


def test_an_order_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", ",", d=[f"0{i % 9 + 1}/0{i % 7 + 1}/2024" for i in range(N)], x=[f"{a}" for a in A]
    )
    with pytest.raises(
        DataError, match=r"line 9: column 'd' holds dates whose order cannot be told.*--dates dmy"
    ) as found:
        load(path)
    assert re.findall(r"--dates (\w+) \(([-\d]+)\)", str(found.value)) == [("dmy", "2024-01-08"), ("mdy", "2024-08-01")]
    for order, day in (("dmy", "2024-01-08"), ("mdy", "2024-08-01")):
        data = load(path, dates=order)
        assert data.schema.types[0].writing.pattern == {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y"}[order]
        number = data.schema.types[0].low + float(data.x[7, 0])
        assert str(np.datetime64(int(number), "D")) == day
        # A model knows the order of its own rows, also where theirs do not tell it.
        alone = load(write(tmp_path / "one.csv", ",", d=["08/01/2024"], x=["50"]), schema=data.schema)
        assert alone.x[0, 0] == data.x[7, 0]
        assert load(path, columns={"d": {"kind": "date", "order": order}}).x[7, 0] == data.x[7, 0]
    with pytest.raises(DataError, match=r"column 'd' holds dates, in the order mdy as was said, and '13/01/2024'"):
        load(write(tmp_path / "x.csv", ",", d=["01/02/2024", "13/01/2024"] * 20, x=["1", "2"] * 20), dates="mdy")


def test_a_mark_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ",", x=[f"{i % 9 + 1},{100 + i}" for i in range(N)], y=[f"{a:g}" for a in A])
    with pytest.raises(DataError, match=r"line 2: column 'x' holds numbers whose mark may be.*'1,100'.*--decimal ,"):
        load(write(tmp_path / "u.csv", ",", x=[f"{i % 9 + 1},{100 + i}" for i in range(N)]))
    assert load(path).schema.types[0].writing.thousands == ","  # the other column has decimal points
    assert load(path, decimal=",").schema.types[0].writing.decimal == ","
    # Beside decimal commas a point is that of thousands, and 1.234 not 1 and a bit.
    whole = [f"{i % 9 + 1}.{100 + i}" for i in range(N)]
    data = load(write(tmp_path / "v.csv", ";", x=whole, y=[comma(f"{a:.2f}") for a in A]))
    assert data.schema.types[0].low == 1100
    assert all(text == whole[i] for i, text in as_read(data))
    assert load(write(tmp_path / "w.csv", ";", x=whole, y=["b"] * N)).schema.types[0].writing is None


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["12 kg", "500 g"], r"line 3: column 'x' holds numbers of several units, 'kg' and 'g', such as '500 g'"),
        (["12 kg"] * 9 + ["-"], r"line 11: column 'x' holds numbers and the text '-'"),
        (["16/05/2024"] * 9 + ["soon"], r"line 11: column 'x' holds dates and 'soon'"),
        (["16/05/2024"] * 9 + ["31/02/2024"], r"line 11: column 'x' holds dates and '31/02/2024'.*no such day"),
        (["$1.50"] * 9 + ["2.50"], r"line 11: column 'x' holds numbers of several units, '\$' and 'none'"),
    ],
)
def test_cells_that_do_not_fit_are_named(tmp_path: Path, column: list[str], words: str) -> None:
    path = write(tmp_path / "t.csv", ",", x=column, y=["1"] * len(column))
    with pytest.raises(DataError, match=words):
        load(path)
    assert load(path, columns={"x": "category"}).schema.types[0].kind == "category"


@pytest.mark.parametrize(
    "column",
    [
        ["5A", "6B", "7A"],
        ["1st", "2nd", "3rd"],
        ["P1", "P2"],
        ["1.2.10", "1.10.3"],
        ["10-20", "20-30"],
        ["3+", "4", "5"],
    ],
)
def test_names_with_digits_stay_names(tmp_path: Path, column: list[str]) -> None:
    cells = [column[i % len(column)] for i in range(N)]
    assert load(write(tmp_path / "t.csv", ";", x=cells, y=[str(a) for a in A])).schema.types[0].kind == "category"


def test_a_model_knows_how_its_columns_are_written(tmp_path: Path) -> None:
    data = load(write(tmp_path / "t.csv", ";", w=[f"{a:.1f} kg" for a in A], g=["rgb"[k] for k in K]))
    plain = load(write(tmp_path / "u.csv", ";", w=[f"{a:.1f}" for a in A], g=["rgb"[k] for k in K]), schema=data.schema)
    assert (plain.x == data.x).all()
    with pytest.raises(DataError, match="column 'w' holds numbers in 'g'; the model knows them in 'kg'"):
        load(write(tmp_path / "v.csv", ";", w=[f"{a:.1f} g" for a in A], g=["r"] * N), schema=data.schema)


@pytest.mark.parametrize("kind", ["numbers", "dates"])
def test_rows_on_disk_are_read_alike(tmp_path: Path, kind: str) -> None:
    if kind == "numbers":
        columns = {name.replace(" ", "_"): NUMBERS[name][0] for name in ("euros", "kilograms", "thousands by point")}
    else:
        columns = {name.replace(" ", "_"): DATES[name][0] for name in ("day first", "half days", "quarters", "times")}
    path = write(tmp_path / "t.csv", ";", **columns)
    one, other = load(path), load(path, stream=True)
    alike(one, other)
    assert np.array_equal(one.x[np.argsort(one.row_id)], other.x[np.argsort(other.row_id)])
    assert [note for note in one.notes if "written" in note] == [note for note in other.notes if "written" in note]


ENCODINGS = ("utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_are_told(tmp_path: Path, encoding: str) -> None:
    columns = {"Größe": [comma(f"{a:.2f}") for a in A], "Straße": ["äöü"[k] for k in K]}
    plain, other = (write(tmp_path / f"t{i}.csv", ";", e, **columns) for i, e in enumerate(("utf-8", encoding)))
    one, found = load(plain), load(other)
    alike(one, found)
    assert (one.x == found.x).all()
    guessed = [note for note in found.notes if "--encoding" in note]
    assert guessed == (
        ["t1.csv is not UTF-8, and was read as cp1252 ('Größe'); --encoding NAME names another."]
        if encoding in ("cp1252", "latin-1")
        else []
    )
    assert (load(other, encoding=encoding).x == one.x).all()
    assert (load(other, schema=one.schema).x == one.x).all()
    if encoding in ("cp1252", "latin-1"):
        alike(one, load(other, stream=True))


@pytest.mark.parametrize("ending", ["csv", "xlsx", "db"])
def test_what_does_not_stay_on_disk_says_what_to_do(tmp_path: Path, ending: str) -> None:
    if ending == "db":
        spec: Any = f"sqlite:///{sqlite(tmp_path / 't.db', sales=frame())}"
    elif ending == "xlsx":
        pytest.importorskip("openpyxl")
        frame().to_excel(spec := tmp_path / "t.xlsx", index=False)
    else:
        spec = write(tmp_path / "t.csv", ",", "utf-16", x=[str(a) for a in A], g=["rgb"[k] for k in K])
    with pytest.raises(LatensError, match=r"(?i)leave --stream out"):
        load(spec, stream=True)
    assert len(load(spec)) == N


def test_an_encoding_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ";", "cp1251", a=["да", "нет"] * 20, b=["1"] * 40)
    assert load(path, encoding="cp1251").schema.types[0].values == ("да", "нет")
    with pytest.raises(Exception, match=r"there is no encoding 'cp9999'.*Such as utf-8"):
        load(path, encoding="cp9999")
    with pytest.raises(DataError, match=r"t.csv, line 2: is not text in utf-8.*--encoding"):
        load(path, encoding="utf8")


def test_headers_that_come_again_and_headers_that_are_none(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", ",", x=[str(a) for a in A], g=["rgb"[k] for k in K])
    four = tmp_path / "four.csv"
    four.write_text(table.read_text() * 4)
    one, data = load(table), load(four)
    assert data.notes[0] == "the header comes again and was left out: lines 82, 163, 244"
    assert (len(data), data.schema.types[0].kind) == (4 * N, "number")
    assert (data.x == np.tile(one.x, (4, 1))).all()
    streamed = load(four, stream=True)
    assert (streamed.total, streamed.schema.types[0].kind) == (4 * N, "number")
    bare = tmp_path / "bare.csv"
    bare.write_text("".join(f"{'rgb'[K[i]]},{'XY'[i % 2]}\n" for i in range(N)))
    data = load(bare)
    assert len(data) == N
    assert [c.name for c in data.schema.columns] == ["x0", "x1"]
    assert any("--header" in note for note in data.notes)
    assert len(load(bare, header=True)) == N - 1
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("2019,2020\n1,2\n3,4\n")
    assert [c.name for c in load(numbers, header=True).schema.columns] == ["2019", "2020"]
    assert len(load(numbers)) == 3


def test_signs_are_given_back_as_they_were(tmp_path: Path) -> None:
    signs = ["+", "-", "=", "@", "++"]
    data = load(write(tmp_path / "t.csv", ",", g=[signs[i % 5] for i in range(N)], y=[str(a) for a in A]))
    assert csv_bytes({"g": np.array(signs)}, formulas(data.schema)).decode().split() == ["g", *signs]
    alike(data, load(drawn(data, tmp_path / "new.csv")))
    # What a spreadsheet would run is quoted where it was not in the training data.
    cells = ["=1+1", "+1.50 €", "-2+3", "+SUM(A1)", "-A1", "-$5", "-5 kg"]
    quoted = ["'=1+1", "+1.50 €", "'-2+3", "'+SUM(A1)", "'-A1", "-$5", "-5 kg"]
    assert csv_bytes({"g": np.array(cells)}).decode().splitlines()[1:] == quoted


def test_check_says_what_was_read(tmp_path: Path) -> None:
    data = load(write(tmp_path / "t.csv", ";", x=NUMBERS["euros"][0], d=DATES["day first"][0]))
    (said,) = [one for one in check(data)["warnings"] if "written" in one]
    assert re.fullmatch(
        r"Read as it is written, and so are samples: 'x' as numbers \('[-\d,]+ €' is [-\d.]+\), "
        r"'d' as dates \('[\d/]+' is [-\d]+\)\.",
        said,
    )


def sqlite(path: Path, **tables: Any) -> Path:
    import sqlite3

    connection = sqlite3.connect(path)
    for name, given in tables.items():
        given.assign(d=given["d"].astype(str)).to_sql(name, connection, index=False)
    connection.close()
    return path


def test_what_may_not_mean_what_it_says_is_pointed_at_with_what_mends_it(tmp_path: Path) -> None:
    zips = [str(10115 + 8000 * (i % 7)) for i in range(N)]
    columns = {
        "id": [str(i + 1) for i in range(N)],
        "zip": zips,
        "a": [str(a) for a in A],
        "A ": [str(a) for a in SMALL],
    }
    path = write(tmp_path / "t.csv", ",", **columns)
    report = check(load(path))["warnings"]
    assert report[:1] == ["Only 80 rows: " + report[0].split(": ", 1)[1]]
    assert "Columns 'a' and 'A' differ in case or blanks alone: if they are one, leave one out." in report
    assert "Column 'id' counts the rows from 1: --id id makes it the row id." in report
    codes = 'Column \'zip\' holds 7 numbers that look like codes: {"zip": "category"} in --columns makes them names.'
    assert codes in report
    data = load(path, row_id="id", columns={"zip": "category", "A": "leave out"})
    rest = " ".join(check(data)["warnings"])
    assert not re.search("counts the rows|look like codes|differ in case", rest)
    # Gaps of other columns, and rows beyond the training rows, hide no id; a count that falls once is none.
    gaps = {"Order no": [str(i + 7) for i in range(N)], "a": ["", *(str(a) for a in A[1:])]}
    report = " ".join(check(load(write(tmp_path / "g.csv", ",", **gaps), missing="nan"))["warnings"])
    assert "--id 'Order no' makes it the row id." in report
    gaps["Order no"][-1] = "3"
    assert "counts the rows" not in " ".join(
        check(load(write(tmp_path / "h.csv", ",", **gaps), missing="nan"))["warnings"]
    )
    path = write(tmp_path / "u.csv", ",", a=[str(a) for a in A], species=["rgb"[k] for k in K])
    said = "Column 'species' has 3 names and may be the label: --label species keeps it out of the rows."
    assert said in check(load(path))["warnings"]
    assert said not in check(load(path, label="species"))["warnings"]
    path.write_text("x,x \n1,2\n")
    with pytest.raises(DataError, match="two columns are named 'x'"):
        load(path)


def test_no_column_of_numbers_is_dropped_or_made_names_without_a_word(tmp_path: Path) -> None:
    crates = [f"{10 + i} crates" for i in range(N)]
    path = write(tmp_path / "t.csv", ",", x=crates, y=[str(a) for a in A], g=["rgb"[k] for k in K])
    data = load(path)
    why = "every row has another text, like an id; if it holds numbers of one unit, declare it a number in --columns"
    assert data.notes[0] == f"Column 'x' is not modelled: {why}."
    one = load(path, columns={"x": "number"}).schema.types[0]
    assert (one.kind, one.low, one.writing) == ("number", 10, Writing(suffix=" crates", decimals=0))
    free = ["free" if i % 4 == 0 else str(i % 9) for i in range(N)]
    path = write(tmp_path / "u.csv", ",", x=free, y=[str(a) for a in A])
    said = r"Column 'x' is read as names, though 7\d% of its cells are numbers: leave cells such as 'free' empty"
    for data in (load(path), load(path, stream=True)):
        assert [note for note in data.notes if re.match(said, note)]
    assert not [note for note in load(path, columns={"x": "category"}).notes if "as names" in note]


def rows_of(path: Path, encoding: str = "utf-8", separator: str = ",") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def test_models_draw_rows_that_are_written_as_theirs_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from latens.cli.main import main

    monkeypatch.chdir(tmp_path)
    columns = {
        "preis": NUMBERS["euros"][0], "menge": NUMBERS["kilograms"][0], "tag": DATES["points"][0],
        "um": DATES["times"][0], "quartal": DATES["quarters"][0], "note": ["+-="[k] for k in K],
    }  # fmt: skip
    write(tmp_path / "t.csv", ";", "cp1252", **columns)
    assert main(["fit", "t.csv", "--steps", "20", "--num-samples", "2", "--out", "run", "--quiet"]) == 0
    assert main(["sample", "run", "-n", "60", "--out", "new.csv", "--quiet"]) == 0
    alike(load("t.csv"), load("new.csv"))
    shapes = {
        "preis": r"-?\d+,\d\d €", "menge": r"\d+ kg", "tag": r"\d\d\.\d\d\.\d{4}",
        "um": r"\d\d:\d\d", "quartal": r"\d{4}-Q[1-4]", "note": r"[-+=]",
    }  # fmt: skip
    for row in rows_of(tmp_path / "new.csv", "cp1252", ";"):
        assert all(re.fullmatch(shapes[name], cell) for name, cell in row.items()), row
    # Conditions take cells as they stand in the file, and gaps are filled as the other cells are written.
    types = load("t.csv").schema.types
    day, quarter, price = (
        types[2].texts(np.array([9]))[0],
        types[4].texts(np.array([3]))[0],
        types[0].texts(np.array([9]))[0],
    )
    for asked in (f"tag>={day}", f"quartal={quarter}", f"preis>={price}", "um>=06:00", "tag>=2024-02-01"):
        assert main(["sample", "run", "-n", "5", "--where", asked, "--out", "w.csv", "--quiet"]) == 0
        if asked.startswith("quartal"):
            assert {row["quartal"] for row in rows_of(tmp_path / "w.csv", "cp1252", ";")} == {quarter}
    with pytest.raises(DataError, match="holds dates, which 'soon' is not"):
        parse_conditions(["tag=soon"], load("t.csv").schema)
    holes = [dict(zip(columns, (cells[i] for cells in columns.values()))) for i in range(9)]
    holes[0]["preis"] = holes[1]["tag"] = holes[2]["quartal"] = ""
    write(tmp_path / "holes.csv", ";", "cp1252", **{name: [row[name] for row in holes] for name in columns})
    assert main(["impute", "run", "holes.csv", "--out", "full.csv", "--num-samples", "5", "--quiet"]) == 0
    full = rows_of(tmp_path / "full.csv", "cp1252", ";")
    assert all(re.fullmatch(shapes[name], cell) for row in full for name, cell in row.items())
    assert [row["menge"] for row in full] == columns["menge"][:9]


@pytest.mark.parametrize(
    "change",
    [
        {"pattern": "%d/%m/%Y%Z"}, {"pattern": "%d/%m/%Y %"}, {"pattern": "x" * 41}, {"pattern": ""}, {"decimal": ";"},
        {"thousands": ",,"}, {"decimals": 16}, {"other": 1}, {"pattern": "%-Y"},
    ],
)  # fmt: skip
def test_a_schema_of_a_stranger_holds_no_other_writing(tmp_path: Path, change: dict[str, Any]) -> None:
    data = load(write(tmp_path / "t.csv", ";", d=DATES["day first"][0], x=NUMBERS["euros"][0]))
    stored = data.schema.to_json()
    assert Schema.from_json(stored) == data.schema
    stored["types"][0]["writing"] |= change
    with pytest.raises(ModelFileError):
        Schema.from_json(stored)
    far = data.schema.to_json()
    far["types"][0]["low"] = 1e9
    with pytest.raises(ModelFileError, match="written as none of its kind"):
        Schema.from_json(far)
