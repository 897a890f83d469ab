"""Tables from spreadsheets, databases and objects of other libraries, read as the same table in text is."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_offices import CLOCK, DATES, DAYS, NUMBERS, A, K, N, alike, frame, sqlite

from latens.data import load
from latens.data.writings import Writing
from latens.errors import DataError


@pytest.mark.parametrize("ending", ["xlsx", "ods"])
def test_spreadsheets(tmp_path: Path, ending: str) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("python_calamine")
    engine: Any = {"xlsx": "openpyxl", "ods": "odf"}[ending]
    pytest.importorskip(engine)
    given, path = frame(), tmp_path / f"book.{ending}"
    given.loc[3, "g"] = None
    with pd.ExcelWriter(path, engine=engine) as book:
        pd.DataFrame({"note": ["see the next sheet"]}).to_excel(book, sheet_name="read me", index=False)
        given.to_excel(book, sheet_name="Daten", index=False)
        given.to_excel(book, sheet_name="titled", index=False, startrow=3)
        book.sheets["titled"].cell(1, 1, "Report") if ending == "xlsx" else None
        pd.DataFrame().to_excel(book, sheet_name="empty")
    given.to_csv(tmp_path / "t.csv", index=False)
    want = load(tmp_path / "t.csv")
    for sheet in ("Daten", "2", 2, "titled"):
        data = load(path, sheet=sheet)
        alike(want, data)
        assert (data.x == want.x).all()
        assert (data.mask == want.mask).all()
    assert ("What stands above the table was left out: 'Report'." in data.notes) == (ending == "xlsx")
    with pytest.raises(DataError, match=r"has no sheet 'daten'.*'Daten'"):
        load(path, sheet="daten")
    with pytest.raises(DataError, match=r"sheet 'empty': has no rows.*--sheet"):
        load(path, sheet="empty")
    pd.DataFrame({"x": A, "y": A}).to_excel(tmp_path / f"one.{ending}", index=False, engine=engine)
    assert load(tmp_path / f"one.{ending}").x.tolist() == np.float32(np.stack([A, A], 1)).tolist()
    with pd.ExcelWriter(path, engine=engine) as book:
        given.to_excel(book, sheet_name="first", index=False)
        given.to_excel(book, sheet_name="second", index=False)
    assert "Sheet 'first' was read; --sheet NAME names another: 'second'." in load(path).notes


def test_cells_of_a_spreadsheet_as_it_stores_them(tmp_path: Path) -> None:
    openpyxl, _ = pytest.importorskip("openpyxl"), pytest.importorskip("python_calamine")
    import datetime

    sheet = (book := openpyxl.Workbook()).active
    sheet.append(["when", "at", "took", "yes", "code", None, "price"])
    for i in range(N):
        moment = DAYS[i].astype("datetime64[s]").astype(object) + datetime.timedelta(hours=i % 24)
        span, price = datetime.timedelta(hours=30 + i), "$1,234.50" if i else None
        sheet.append([moment, datetime.time(*CLOCK[i]), span, i % 2 == 0, f"0{10 + i % 3}", None, price])
    book.save(tmp_path / "t.xlsx")
    data = load(tmp_path / "t.xlsx")
    kinds = {c.name: (t.kind, t.written) for c, t in zip(data.schema.columns, data.schema.types)}
    assert kinds == {
        "when": ("date", "s"), "at": ("date", "s"), "took": ("duration", "hours"), "yes": ("category", "text"),
        "code": ("category", "text"), "price": ("number", "float"),
    }  # fmt: skip
    assert data.schema.types[5].writing == Writing("$", thousands=",", decimals=2)


def test_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = frame()
    given.loc[3, "g"] = None
    path = sqlite(tmp_path / "shop.db", sales=given, other=given.head(9))
    want = load(given)
    monkeypatch.chdir(tmp_path)
    for spec, query in (
        (f"sqlite:///{path}?table=sales", None),
        ("sqlite:///shop.db?table=sales", None),
        ("sqlite:///shop.db", "SELECT * FROM sales"),
        ("shop.db", 'SELECT a, n, g, d, t FROM "sales"'),
    ):
        data = load(spec, query=query)
        assert [(t.kind, t.written) for t in data.schema.types[:4]] == [
            (t.kind, t.written) for t in want.schema.types[:4]
        ]
        assert (data.x[:, :4] == want.x[:, :4]).all()
        assert not data.mask[3, 2]
    assert len(load("sqlite:///shop.db", query="SELECT a, n FROM sales WHERE n > 0")) == int((K > 0).sum())
    with pytest.raises(DataError, match=r"has 2 tables: 'other', 'sales'\. Name one: (\S+), or give SQL") as found:
        load("shop.db")
    remedy = re.search(r"Name one: (\S+),", str(found.value))
    assert remedy is not None
    assert len(load(remedy[1])) == 9
    for spec, query, words in (
        ("sqlite:///shop.db?table=sale", None, "has no table 'sale'.*'sales'"),
        ("sqlite:///none.db?table=t", None, "no such file"),
        ("sqlite:///shop.db", "SELEC 1", "cannot be read .*syntax"),
        ("sqlite:///shop.db", "DELETE FROM sales", "cannot be read .*readonly"),
        ("sqlite:///shop.db", "SELECT a, a FROM sales", "two columns are named 'a'"),
        ("sqlite:///shop.db", "SELECT a, x'00' AS b FROM sales", "column 'b' holds bytess"),
    ):
        with pytest.raises(DataError, match=words):
            load(spec, query=query)
    with pytest.raises(Exception, match=r"--query: t.csv is not a database"):
        load("t.csv", query="SELECT 1")


def test_other_databases(tmp_path: Path) -> None:
    duckdb, _ = pytest.importorskip("duckdb"), pytest.importorskip("sqlalchemy")
    given = frame()
    connection = duckdb.connect(str(tmp_path / "t.duckdb"))
    connection.execute("CREATE TABLE sales AS SELECT * FROM given")
    connection.close()
    path, want = sqlite(tmp_path / "t.db", sales=given), load(given)
    one = load(tmp_path / "t.duckdb")
    specs = [f"duckdb:///{tmp_path}/t.duckdb?table=sales", f"sqlite+pysqlite:///{path}?table=sales"]
    for data in (one, *map(load, specs)):
        assert (data.x[:, :3] == want.x[:, :3]).all()
    with pytest.raises(DataError, match=r"has no table 'sale'"):
        load(f"sqlite+pysqlite:///{path}?table=sale")


@pytest.mark.parametrize("kind", ["dicts", "columns", "arrow", "batch", "duckdb", "polars", "lazy"])
def test_objects_are_read_as_the_frame_of_their_columns(kind: str) -> None:
    given = frame().drop(columns="d")
    given.loc[3, "g"] = None
    rows = given.astype(object).where(given.notna(), None)
    if kind == "dicts":
        value: Any = rows.to_dict("records")
        value[3].pop("g")
    elif kind == "columns":
        value = {name: rows[name].tolist() for name in rows}
    elif kind in ("polars", "lazy"):
        value = pytest.importorskip("polars").from_dicts(rows.to_dict("records"))
        value = value.lazy() if kind == "lazy" else value
    else:
        arrow = pytest.importorskip("pyarrow")
        value = arrow.Table.from_pandas(given, preserve_index=False)
        value = value.to_batches()[0] if kind == "batch" else value
        if kind == "duckdb":
            value = pytest.importorskip("duckdb").from_arrow(value)
    want, data = load(given), load(value)
    alike(want, data)
    assert (data.x == want.x).all()
    assert (data.mask == want.mask).all()
    assert load(value, label="g", missing="nan").schema.classes == ("b", "g", "r")


def test_objects_that_are_no_tables() -> None:
    for value, words in (
        ({"a": [1, 2], "b": [1]}, "columns of unequal length"),
        ([{"a": 1, "b": [2]}] * 9, "column 'b' holds lists"),
        ([{}, {}], "has no rows"),
    ):
        with pytest.raises(DataError, match=words):
            load(value)


def test_a_database_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from latens.data.formats.databases import from_folder

    sqlite(tmp_path / "shop.db", sales=frame())
    spec = from_folder("sqlite:///shop.db?table=sales", str(tmp_path))
    assert spec == f"sqlite:///{tmp_path}/shop.db?table=sales"
    monkeypatch.chdir("/")
    assert len(load(spec)) == N
    for other in (f"sqlite:////{tmp_path}/shop.db", "postgresql://user@host/db?table=t", "t.csv"):
        assert from_folder(other, "/x") == other


@pytest.mark.parametrize("kind", ["pandas", "polars", "parquet", "jsonl"])
def test_text_in_frames_is_read_alike_and_comes_back_as_text(tmp_path: Path, kind: str) -> None:
    from latens.data.frames import as_frame

    pd = pytest.importorskip("pandas")
    whole = [f"{i % 9 + 1}.{100 + i}" for i in range(N)]
    given = pd.DataFrame({"x": NUMBERS["euros"][0], "d": DATES["day first"][0], "w": whole})
    if kind == "parquet":
        given.to_parquet(tmp_path / "t.parquet")
    elif kind == "jsonl":
        given.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    path = tmp_path / f"t.{kind}"
    value = pytest.importorskip("polars").from_dicts(given.to_dict("records")) if kind == "polars" else given
    data = load(path if path.exists() else value)
    back = as_frame(data.x, data.schema)
    assert [one.writing for one in data.schema.types[::2]] == [
        NUMBERS["euros"][2], Writing(decimal=",", thousands=".", decimals=0),
    ]  # fmt: skip
    kept = (data.outside == 0).all(axis=1)
    assert (back.dtypes == given.dtypes).all()
    assert back[kept].equals(given[kept])
    assert kept.sum() > N - 9
