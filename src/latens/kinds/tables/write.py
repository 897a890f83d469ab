"""Frames as files: one writer for all that is written as a table."""

import io
from collections.abc import Collection
from pathlib import Path

import polars as pl

from latens.errors import UsageError
from latens.kinds.tables.files import ARROW, LINES, Written
from latens.text import spreadsheet_text

WRITTEN = (".csv", ".tsv", ".parquet", ".arrow", ".jsonl", ".xlsx")
"""Endings of tables that are written."""


def frame_bytes(frame: pl.DataFrame, path: Path, written: Written = Written(), known: Collection[str] = ()) -> bytes:  # noqa: B008
    """The bytes of a table, in the format of the ending of its file."""
    # known: Text that stands in the training data, and is written as it is; other text that a spreadsheet would run as
    # a formula gets an apostrophe before it.
    ending, stream = path.suffix.lower(), io.BytesIO()
    if ending in (".csv", ".tsv"):
        separator = "\t" if ending == ".tsv" else written.separator
        _plain(frame, known).write_csv(stream, separator=separator, decimal_comma=written.decimal_comma)
    elif ending == ".parquet":
        frame.write_parquet(stream)
    elif ending in ARROW:
        frame.write_ipc(stream)
    elif ending in LINES:
        _texts(frame).write_ndjson(stream)
    elif ending == ".xlsx":
        _write_sheet(frame, stream)
    else:
        fix = f"Use one of {', '.join(WRITTEN)}."
        raise UsageError(f"tables are not written as {ending!r}.", where="--out", fix=fix)
    return stream.getvalue()


def _write_sheet(frame: pl.DataFrame, stream: io.BytesIO) -> None:
    try:
        frame.write_excel(stream)
    except ModuleNotFoundError:
        fix = "pip install xlsxwriter, or use .csv."
        raise UsageError("writing spreadsheets needs xlsxwriter.", where="--out", fix=fix) from None


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose durations and bytes are text, which text files have no cells for."""
    made = []
    for name, dtype in frame.schema.items():
        if dtype == pl.Binary:
            made.append(pl.col(name).bin.encode("hex"))
        elif isinstance(dtype, pl.Duration):
            made.append(pl.col(name).dt.to_string("polars"))
    return frame.with_columns(made)


def _plain(frame: pl.DataFrame, known: Collection[str]) -> pl.DataFrame:
    """A frame as text files have it, without text that a spreadsheet would run as a formula."""
    frame = _texts(frame)
    for name, dtype in frame.schema.items():
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            column = frame[name].cast(pl.String)
            words = column.unique().drop_nulls().to_list()
            made = {word: text for word in words if word not in known and (text := spreadsheet_text(word)) != word}
            if made:
                frame = frame.with_columns(column.replace(made))
    names = {name: spreadsheet_text(name) for name in frame.columns if name not in known}
    return frame.rename({name: text for name, text in names.items() if text != name})
