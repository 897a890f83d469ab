"""Rows of databases: SQLite by Python itself, DuckDB by its package, others by SQLAlchemy; the address says which."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from latens.data.formats.format import as_column, kind_of_cells
from latens.data.formats.tables import check_column_names, from_columns
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, needed
from latens.errors import DataError, ResourceError, nearest

_ADDRESS = re.compile(
    r"((sqlite|duckdb|postgresql|mysql|mariadb|mssql|oracle)(?:\+\w+)?)://(.*?)(?:\?(.*))?\Z", re.DOTALL
)
SQLITE = b"SQLite format 3\0"
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'",
    "duckdb": "SELECT table_name FROM information_schema.tables",
}
_STEP = 2**16


def is_database(spec: str) -> bool:
    """Say whether this is the address of a database."""
    return _ADDRESS.match(spec) is not None


def from_folder(spec: str, folder: str) -> str:
    """The address of a database that is a file, from another folder than the one it was given in."""
    found = _ADDRESS.match(spec)
    if found is None or found[1] not in _TABLES or found[3].startswith("//") or not found[3].startswith("/"):
        return spec
    return f"{found[1]}:///{Path(folder) / found[3][1:]}{'' if found[4] is None else f'?{found[4]}'}"


def read_database(spec: str, roles: ColumnRoles) -> Raw:
    """Read the rows of a table or a query of a database at an address."""
    found = _ADDRESS.match(spec)
    assert found is not None
    engine, kind, path, more = found[1], found[2], found[3], parse_qs(found[4] or "", keep_blank_values=True)
    table = (more.pop("table", None) or [None])[0]
    # What a password may stand in is not shown.
    where = f"{engine}://{re.sub(r'//[^@/]*@', '//...@', '//' + path)[2:]}"
    if engine in _TABLES:
        return read_file(Path(unquote(path.removeprefix("/"))), roles, kind=kind, table=table, where=where)
    fix = "pip install 'latens[databases]', or write the rows as .csv or .parquet."
    alchemy = needed("sqlalchemy", f"{kind} databases", where, fix)
    rest = spec.partition("?")[0] + ("?" + "&".join(f"{k}={quote(v[0])}" for k, v in more.items()) if more else "")
    try:
        created = alchemy.create_engine(rest)
        with created.connect() as connection:
            names = alchemy.inspect(created).get_table_names()
            names += alchemy.inspect(created).get_view_names()
            quoted = created.dialect.identifier_preparer.quote
            sql = roles.query or f"SELECT * FROM {quoted(_table(table, names, where, spec))}"
            result = connection.execute(alchemy.text(sql))
            return _rows(list(result.keys()), result.fetchmany, roles, where)
    except (alchemy.exc.SQLAlchemyError, ImportError) as error:
        raise DataError(
            f"cannot be read ({str(error)[:200]}).", where=where, fix="Check the address and the SQL."
        ) from None


def read_file(
    path: Path, roles: ColumnRoles, *, kind: str = "", table: str | None = None, where: str | None = None
) -> Raw:
    """Read the rows of a table or a query of a database that is a file."""
    where, kind = where or str(path), kind or ("duckdb" if path.suffix.lower() == ".duckdb" else "sqlite")
    if not path.is_file():
        raise DataError(
            "no such file.", where=where, fix="Check the path: sqlite:///file.db, or sqlite:////folder/file.db."
        )
    errors: Any = sqlite3.Error
    if kind == "duckdb":
        fix = "pip install 'latens[databases]', or write the rows as .parquet."
        duckdb = needed("duckdb", "a DuckDB file", where, fix)
        errors = duckdb.Error
    try:
        if kind == "duckdb":
            connection: Any = duckdb.connect(str(path), read_only=True)  # type: ignore[possibly-unbound]
        else:
            connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        try:
            names = sorted(str(name) for (name,) in connection.execute(_TABLES[kind]).fetchall())
            sql = roles.query or f'SELECT * FROM "{_table(table, names, where, f"{kind}:///{path}")}"'
            cursor = connection.execute(sql)
            return _rows([one[0] for one in cursor.description or ()], cursor.fetchmany, roles, where)
        finally:
            connection.close()
    except errors as error:
        raise DataError(
            f"cannot be read ({str(error)[:200]}).", where=where, fix="Check the file and the SQL."
        ) from None


def _table(asked: str | None, names: list[str], where: str, spec: str) -> str:
    if asked is None and len(names) == 1:
        return names[0]
    if not names:
        raise DataError("has no tables.", where=where, fix="Give a database with one.")
    if asked in names:
        return str(asked).replace('"', '""')
    if asked is not None:
        raise DataError(f"has no table {asked[:60]!r}.", where=where, fix=nearest(asked, names))
    shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    fix = f"Name one: {spec.partition('?')[0]}?table={names[0]}, or give SQL with --query (query=)."
    raise DataError(f"has {len(names)} tables: {shown}.", where=where, fix=fix)


def _rows(names: list[str], fetch: Callable[[int], Any], roles: ColumnRoles, where: str) -> Raw:
    names = [str(name) for name in names]
    check_column_names(names, where, "Name them apart in the query: SELECT a.x AS x, b.x AS y.")
    cells: list[list[Any]] = [[] for _ in names]
    while rows := fetch(_STEP):
        for column, more in zip(cells, zip(*rows)):
            column.extend(more)
        if len(cells) * len(cells[0]) * 8 > MAX_BYTES:
            raise ResourceError("has too many rows.", where=where, fix="Read fewer with --query.")
    return from_cells(dict(zip(names, cells)), roles, where)


def from_cells(columns: dict[str, list[Any]], roles: ColumnRoles, where: str) -> Raw:
    """Make rows of columns of Python's values: numbers, text, truth values, dates and None."""
    if not columns or not len(next(iter(columns.values()))):
        raise DataError("has no rows.", where=where, fix="Give at least one.")
    for name, cells in columns.items():
        bad = next((cell for cell in cells if isinstance(cell, (bytes, dict, list, tuple, set))), None)
        if bad is not None:
            what = f"column {name!r} holds {type(bad).__name__}s, such as {str(bad)[:40]}."
            raise DataError(what, where=where, fix="Leave it out, or take its parts as columns of their own.")
    made = {name: as_column(cells, kind_of_cells(cells)) for name, cells in columns.items()}
    return from_columns(made, roles, where)
