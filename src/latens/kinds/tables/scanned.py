"""Tables of numbers that are read by Polars some rows at a time: Parquet, Arrow and text."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from latens.data.raw import ColumnRoles, NotNumbers, Raw
from latens.kinds.tables.cells import rows_of
from latens.kinds.tables.files import ARROW, TEXT, Text, ending_of, polars_errors, scan_arrow, with_null

BATCH_ROWS = None
"""Rows of a batch; None: as Polars reads them."""


def scanned(path: str | Path, roles: ColumnRoles) -> tuple[pl.LazyFrame, Text | None]:
    """A table whose rows are not read yet, on this machine or at an address that Polars reads."""
    ending = ending_of(str(path))
    if ending in TEXT:
        text = Text.of(Path(path), roles)
        return text.scan(), text
    if ending not in ARROW:
        return pl.scan_parquet(path, glob=False), None
    return pl.scan_ipc(path, glob=False) if isinstance(path, str) else scan_arrow(path), None


def table_parts(path: str | Path, roles: ColumnRoles) -> Iterator[Raw]:
    """Read the rows of a table of numbers, some at a time; columns of another kind are refused."""
    with polars_errors(str(path)):
        scan, text = scanned(path, roles)
        schema = scan.collect_schema()
        notes = () if text is None else tuple(text.notes)
        empty = pl.DataFrame(schema=schema)
        refuse_kinds(rows_of(empty if text is None else text.titled(empty), roles, str(path)), schema, str(path))
        for batch in scan.collect_batches(maintain_order=True, chunk_size=BATCH_ROWS):
            frame = with_null(batch if text is None else text.tidied(batch), roles.null)
            if frame.height:
                raw = rows_of(frame, roles, str(path))
                refuse_kinds(raw, frame.schema, str(path))
                raw.notes += notes
                yield raw


def refuse_kinds(raw: Raw, schema: pl.Schema, where: str) -> None:
    """Refuse a table that is not of numbers alone."""
    if raw.kinds is not None:
        name = next(one for one, found in zip(raw.columns or (), raw.kinds.values()) if found.kind != "number")
        what = f"column {name!r} holds {schema[name]}; rows that stay on disk are numbers."
        fix = "Name it with --label or --id, or write names as numbers; or leave --stream out."
        raise NotNumbers(what, where=where, fix=fix)
