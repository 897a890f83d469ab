"""Parquet and Arrow files of numbers whose rows stay on disk, read by Polars some rows at a time."""

from pathlib import Path

import polars as pl

from latens.data.formats.format import FrameSource
from latens.data.formats.source import Address, BlockTable, File, Place, digest_of, file_of
from latens.data.raw import ColumnRoles
from latens.data.tables.files import ARROW, ending_of, polars_errors, scan_arrow
from latens.errors import DataError

BLOCK_ROWS = 2**16
"""Rows of a block."""


class ScannedSource(FrameSource):
    """Parquet or Arrow files, on this machine or at an address that Polars reads."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        files, cut, schemas = [], [], []
        for name in names:
            where = place.shown(name)
            with polars_errors(where):
                scan = self._scan(name)
                schemas.append(scan.collect_schema())
                rows = int(scan.select(pl.len()).collect().item())
            files.append(self._file(name, rows, schemas[-1]))
            cut.append([min(BLOCK_ROWS, rows - at) for at in range(0, rows, BLOCK_ROWS)])
        self.files, self.table = tuple(files), BlockTable.of(cut)
        if not sum(map(len, cut)):
            raise DataError("has no rows.", where=place.shown(names[0]), fix="Give a file with at least one row.")
        odd = next((i for i, one in enumerate(schemas) if one != schemas[0]), None)
        if odd is not None:
            fix = "Give all files the same columns, of the same types."
            raise DataError(f"has other columns than {names[0]}.", where=place.shown(names[odd]), fix=fix)
        self.choose(schemas[0], place.shown(names[0]))
        self.check_blocks()

    def _scan(self, name: str) -> pl.LazyFrame:
        path = self.place.shown(name)
        if ending_of(name) in ARROW:
            return pl.scan_ipc(path, glob=False) if isinstance(self.place, Address) else scan_arrow(Path(path))
        return pl.scan_parquet(path, glob=False)

    def _file(self, name: str, rows: int, schema: pl.Schema) -> File:
        if not Path(self.place.shown(name)).is_file():
            return File(name, 0, digest_of(repr((rows, schema)).encode()))
        with self.place.open(name) as file:
            return file_of(name, file)

    def frame(self, block: int) -> pl.DataFrame:
        at, first, rows = self.extent(block)
        with polars_errors(self.where(block)):
            return self._scan(self.names[at]).slice(first, rows).collect()
