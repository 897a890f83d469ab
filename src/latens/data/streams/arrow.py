"""Arrow files as a stream, among them Hugging Face data sets on disk: a block is some record batches in a row.

Both forms are read: files with a footer, and streams, as `datasets.save_to_disk` writes them.
"""

from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, damaged
from latens.data.streams.blocks import BlockTable, File, Place, digest_of
from latens.data.streams.tables import AbstractTables
from latens.errors import DataError, LatensError
from latens.io.json import parse_json_strict

BLOCK_ROWS = 8192
"""Record batches in a row make a block of so many rows, unless one has more."""

_MAGIC = b"ARROW1"
_INFO, _SPLITS = "dataset_info.json", "dataset_dict.json"


class ArrowSource(AbstractTables):
    """Arrow files; the arguments are those of `AbstractSource`."""

    format = "Arrow"

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        if not single and self._json(_SPLITS) is not None:
            splits = ", ".join(sorted({name.split("/")[0] for name in names}))
            raise DataError(f"holds several data sets: {splits}.", where=place.shown("").rstrip("/"),
                            fix="Give the folder of one of them.")  # fmt: skip
        files, cut, self._batches, schema = [], [], [], None
        for name in names:
            where = place.shown(name)
            with self.errors(where), place.open(name) as stream:
                own, batches = self._layout(stream, where)
                size = stream.seek(0, 2)
                stream.seek(0)
                head = stream.read(min(size, 4096))
                stream.seek(max(0, size - 4096))
                files.append(File(name, size, digest_of(head, stream.read(4096))))
            self.check_schema(own, schema, name)
            schema = own
            groups: list[list[tuple[int, int]]] = []
            for batch in batches:
                if groups and sum(rows for _, rows in groups[-1]) + batch[1] <= BLOCK_ROWS:
                    groups[-1].append(batch)
                else:
                    groups.append([batch])
            self._batches += groups
            cut.append([sum(rows for _, rows in group) for group in groups])
        self.files, self.table, self._schema = tuple(files), BlockTable.of(cut), schema
        self.choose(schema, roles, place.shown(names[0]))
        self.check_blocks()
        features = (None if single else self._json(_INFO)) or {}
        label = (features.get("features") or {}).get(self.label_name) or {}
        self.classes = label.get("names") if isinstance(label, dict) else None

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        raw, keys = super().read(block)
        if self.classes and raw.label is not None and raw.label.dtype.kind in "iu":
            if len(raw.label) and int(raw.label.max()) >= len(self.classes):
                what = f"has the label {int(raw.label.max())}, and {_INFO} names {len(self.classes)} classes."
                raise DataError(what, where=self.where(block), fix="Write the data set again.")
            codes = np.where(raw.label < 0, len(self.classes), raw.label)
            raw.label = np.array([*map(str, self.classes), ""])[codes]
        return raw, keys

    def _json(self, name: str) -> Any:
        """What a file of the data set says; None where there is none."""
        try:
            with self.place.open(name) as file:
                found = parse_json_strict(file.read(2**24), max_bytes=2**24, error=DataError, where=name)
        except (FileNotFoundError, LatensError):
            return None
        return found if isinstance(found, dict) else None

    def _layout(self, stream: Any, where: str) -> tuple[Any, list[tuple[int, int]]]:
        """The schema of a file, and where each of its record batches is and how many rows it has."""
        ipc, batches = self._arrow.ipc, []
        if stream.read(len(_MAGIC)) == _MAGIC:
            file = ipc.open_file(stream)
            batches = [(at, file.get_batch(at).num_rows) for at in range(file.num_record_batches)]
            return file.schema.remove_metadata(), batches
        stream.seek(0)
        schema = ipc.read_schema(ipc.read_message(stream))
        while True:
            at = stream.tell()
            try:
                message = ipc.read_message(stream)
            except EOFError:
                return schema.remove_metadata(), batches
            if message.type != "record batch":
                what = f"holds a {message.type}, which is read from files with a footer alone."
                raise DataError(what, where=where, fix="Write it as Parquet.")
            batches.append((at, ipc.read_record_batch(message, schema).num_rows))

    def part(self, block: int, columns: list[str]) -> Any:
        name, ipc = self.files[int(self.table.file[block])].name, self._arrow.ipc
        with self.place.open(name) as stream:
            whole = stream.read(len(_MAGIC)) == _MAGIC
            file = ipc.open_file(stream) if whole else None
            found = []
            for at, rows in self._batches[block]:
                if file is None:
                    stream.seek(at)
                batch = file.get_batch(at) if file else ipc.read_record_batch(ipc.read_message(stream), self._schema)
                if batch.num_rows != rows:
                    raise damaged(self.where(block), f"holds {batch.num_rows} rows.")
                found.append(batch)
        table = self._arrow.Table.from_batches(found).select(columns)
        table.validate(full=True)  # Arrow takes offsets and codes on the word of a file, and would read elsewhere
        return table
