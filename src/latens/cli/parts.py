"""A folder of Parquet files that several workers write, each file whole or absent, with what it was made of."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from latens.errors import ConfigError, RunFolderError
from latens.evaluation import finite
from latens.io.atomic import resource_errors, write_atomic
from latens.io.json import to_json
from latens.verbs._files import flat_columns, parquet_bytes

_WORDS = {"model": "with another model", "data": "of other rows"}
"""What a value that is a digest says to a reader."""


class PartFolder:
    """The parts of one result."""

    # `made_of`: What the bytes of a part depend on, JSON values by name; the footer of each part keeps them.

    def __init__(self, path: Path, made_of: dict[str, Any]) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            fix = "pip install 'latens[tables]', or write one file: --out FILE.npz without --workers."
            raise ConfigError("pyarrow is not installed.", where="--workers", fix=fix) from None
        self.path, self.made_of, self._parquet = path, made_of, parquet

    def file(self, part: int) -> Path:
        """Name the file of a part."""
        return self.path / f"part-{part:06d}.parquet"

    def has(self, part: int) -> bool:
        """Say whether a part is there, as this model, these rows and these options make it."""
        import pyarrow

        file = self.file(part)
        if not file.exists():
            return False
        try:
            with resource_errors(file):
                metadata = self._parquet.read_metadata(file)
        except pyarrow.ArrowInvalid:  # without a footer nothing can be read of it
            return False
        found = json.loads((metadata.metadata or {}).get(b"latens", b"null"))
        fix = "Choose another folder with --out, or remove this one."
        if not isinstance(found, dict):
            raise RunFolderError("was not written by `latens encode`.", where=str(file), fix=fix)
        for name, value in self.made_of.items():
            if found.get(name) != value:
                how = _WORDS.get(name, f"with {name}={found.get(name)}, and this is {name}={value}")
                raise RunFolderError(f"was made {how}.", where=str(file), fix=fix)
        return True

    def write(self, part: int, arrays: dict[str, np.ndarray]) -> None:
        """Write a part."""
        file = self.file(part)
        for name, array in arrays.items():
            finite(array, name, where=str(file))
        write_atomic(file, parquet_bytes(flat_columns(arrays), about=to_json(self.made_of)))
