"""Tables of numbers that are read by Polars some rows at a time: Parquet, Arrow and text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from latens.data.formats.source import AbstractRows, Address, Place, told_roles
from latens.data.raw import ColumnRoles, Raw
from latens.errors import DataError
from latens.kinds.tables.cells import refuse_kinds, rows_of
from latens.kinds.tables.files import ARROW, TEXT, Text, ending_of, polars_errors, scan_arrow, with_null

BATCH_ROWS, LOOKED_AT = None, 2**14
"""Rows of a batch (None: as Polars reads them), and lines of a text file that its types are first told from."""


class TableRows(AbstractRows):
    """Tables of the same columns of numbers, on this machine or at an address that Polars reads."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        self.place, self.names, self.roles, self.single = place, names, roles, single
        self._looked_at, self._said = LOOKED_AT, dict[str, None]()
        local = [] if isinstance(place, Address) else [Path(place.shown(name)) for name in names]
        self._times = [[one.stat().st_size, one.stat().st_mtime_ns] for one in local]

    @property
    def title(self) -> str:
        return self.place.shown(self.names[0])

    @property
    def size(self) -> int:
        return sum(size for size, _ in self._times)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._said)

    def told(self) -> dict[str, Any]:
        root = self.place.shown("") if isinstance(self.place, Address) else str(self.place.root.resolve())
        at = (
            []
            if self._times
            else [[repr(self._scan(name)[0].collect_schema()), self._rows(name)] for name in self.names]
        )
        files = [*zip(self.names, self._times or at)]
        return {"root": root, "files": files, "roles": told_roles(self.roles), "single": self.single}

    def _rows(self, name: str) -> int:
        return int(self._scan(name)[0].select(pl.len()).collect().item())

    def look_further(self) -> bool:
        if self._looked_at is None or ending_of(self.names[0]) not in TEXT:
            return False
        self._looked_at = None
        return True

    def check(self) -> None:
        """Refuse columns of something else than numbers; text is looked at as a whole before it is one of them."""
        with polars_errors(self.title):
            scan, text = self._scan(self.names[0])
            frame = pl.DataFrame(schema=scan.collect_schema())
        frame = frame if text is None else text.titled(frame)
        raw = rows_of(frame, self.roles, self.title)
        if raw.kinds is not None and self.look_further():
            return self.check()
        refuse_kinds(raw, frame.schema, self.title)

    def _scan(self, name: str) -> tuple[pl.LazyFrame, Text | None]:
        path = self.place.shown(name)
        if ending_of(name) in TEXT:
            text = Text.of(Path(path), self.roles)
            text.options["infer_schema_length"] = self._looked_at
            self._said |= dict.fromkeys(text.notes)
            return text.scan(), text
        if ending_of(name) not in ARROW:
            return pl.scan_parquet(path, glob=False), None
        return pl.scan_ipc(path, glob=False) if isinstance(self.place, Address) else scan_arrow(Path(path)), None

    def parts(self) -> Iterator[Raw]:
        first = None
        for name in self.names:
            where, done = self.place.shown(name), 0
            with polars_errors(where):
                scan, text = self._scan(name)
                schema = scan.collect_schema()
                first = first or schema
                if schema != first and list(schema) != list(first):
                    fix = "Give all files the same columns, of the same types."
                    raise DataError(f"has other columns than {self.names[0]}.", where=where, fix=fix)
                for batch in scan.collect_batches(maintain_order=True, chunk_size=BATCH_ROWS):
                    frame = with_null(batch if text is None else text.tidied(batch), self.roles.null)
                    if not frame.height:
                        continue
                    names = None if self.single else [f"{name}:{row}" for row in range(done, done + frame.height)]
                    raw = rows_of(frame, self.roles, where, None if names is None else np.array(names))
                    refuse_kinds(raw, frame.schema, where)
                    done += frame.height
                    yield raw
