"""Parquet files as a stream: a block is a row group."""

import struct
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, damaged
from latens.data.streams.blocks import BlockTable, File, Place, digest_of
from latens.data.streams.tables import AbstractTables


class ParquetSource(AbstractTables):
    """Parquet files; the arguments are those of `AbstractSource`."""

    format = "Parquet"

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        import pyarrow.parquet as parquet

        self._parquet, self._metadata = parquet, []
        files, cut, groups, schema = [], [], [], None
        for name in names:
            where = place.shown(name)
            with self.errors(where), place.open(name) as stream:
                size, digest = _footer(stream, where)
                metadata = parquet.read_metadata(stream)
            own = metadata.schema.to_arrow_schema().remove_metadata()
            self.check_schema(own, schema, name)
            schema = own
            files.append(File(name, size, digest))
            rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            cut.append([n for n in rows if n])
            groups += [group for group, n in enumerate(rows) if n]
            self._metadata.append(metadata)
        self.files, self.table = tuple(files), BlockTable.of(cut)
        self._group = np.array(groups, np.int64)
        self.choose(schema, roles, place.shown(names[0]))
        self.check_blocks()

    def part(self, block: int, columns: list[str]) -> Any:
        at = int(self.table.file[block])
        with self.place.open(self.files[at].name) as stream:
            file = self._parquet.ParquetFile(stream, metadata=self._metadata[at])
            return file.read_row_group(int(self._group[block]), columns=columns, use_threads=False)


def _footer(stream: Any, where: str) -> tuple[int, str]:
    """The size of a file, and the digest of its footer."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 8))
    end = stream.read(8)
    if len(end) < 8 or end[4:] != b"PAR1":
        raise damaged(where, "does not end like a Parquet file.")
    length = struct.unpack("<I", end[:4])[0]
    if length + 12 > size:
        raise damaged(where, f"the footer declares {length} bytes, the file has {size}.")
    stream.seek(size - 8 - length)
    digest = digest_of(stream.read(length))
    stream.seek(0)
    return size, digest
