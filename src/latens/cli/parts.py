"""What several workers make of parts: a folder of Parquet files with what they were made of, or sums to add up."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latens import __version__
from latens.cli.context import Context, reading_as_typed, tell, would
from latens.cli.workers import FOLDER, launch_workers, own_parts, threads_of
from latens.data.parts import Parts
from latens.data.streams.dataset import StreamDataset
from latens.errors import ConfigError, RunFolderError
from latens.evaluation import finite
from latens.io.atomic import resource_errors, write_atomic
from latens.io.json import to_json
from latens.io.workers import Worker
from latens.verbs._files import flat_columns, parquet_bytes
from latens.verbs._sources import open_model
from latens.verbs.kernel import Request, arguments_of, name_of, refuse
from latens.workflow.inputs import model_file

INDEX = "_blocks.safetensors"
"""What a pass over rows that stay on disk found, beside the parts: the other workers need no other pass."""

_WORDS = {"model": "with another model", "data": "of other rows"}
"""What a value that is a digest says to a reader."""


class PartFolder:
    """The parts of one result."""

    # `made_of`: What the bytes of a part depend on, JSON values by name; the footer of each part keeps them.

    def __init__(self, path: Path, made_of: dict[str, Any], verb: str) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            fix = "pip install 'latens[tables]', or write one file: --out FILE.npz without --workers."
            raise ConfigError("pyarrow is not installed.", where="--workers", fix=fix) from None
        self.path, self.made_of, self.verb, self._parquet = path, made_of, verb, parquet

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
            raise RunFolderError(f"was not written by `latens {self.verb}`.", where=str(file), fix=fix)
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


def run_parts(request: Any, context: Context, worker: Worker | None) -> int:
    """Write what a verb makes of rows as Parquet files, each of them whole or absent; those that are there stay."""
    # worker: which of several workers this is; None starts them.
    verb: type[Request] = type(request)
    at = reading_as_typed(open_model(request.run), context)
    refuse(verb, at)
    out = Path(at.asked)
    at.write_to(out)
    data = at.load(every=False, index=out / INDEX)
    parts, total = Parts(data), getattr(data, "total", len(data))
    with model_file(request.run).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    made_of = {"model": model, "data": data.fingerprint, "parts": len(parts)}
    asked = [name for name, *_ in arguments_of(verb) if name not in ("run", "data", "unknown")]
    made_of |= {name: getattr(request, name) for name in asked}
    made_of |= {"latens": __version__, "jax": jax.__version__, "threads": threads_of(worker)}
    if worker is not None:
        made_of["device"] = jax.devices()[0].device_kind
    folder = PartFolder(out, made_of, name_of(verb))
    own = range(len(parts)) if worker is None else list(worker.parts(len(parts)))
    lacking = [part for part in own if not folder.has(part)]
    if context.args.dry_run:
        already = f"{len(own) - len(lacking)} of them there already"
        return would(context, f"{name_of(verb)} {total} rows of {data.name} in {len(own)} parts ({already})", at)
    with resource_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if isinstance(data, StreamDataset) and not (out / INDEX).exists():
        data.write_index(out / INDEX)
    if worker is None:
        if lacking:
            workers = context.args.workers
            context.say(f"{data.name}: {len(lacking)} of {len(own)} parts are to be made, by {workers} workers")
            del data, parts.data  # the workers read them
            launch_workers(context, workers)
    else:
        for part in own_parts(worker, len(parts)):
            if part in lacking:
                folder.write(part, request.part(at, *parts.part(part)))
    value = {"out": str(out), "rows": total, "parts": len(own), "made": len(lacking)}
    who = "" if worker is None else f"worker {worker.number} of {worker.count}: "
    context.done(value, f"{who}{out}: {len(own)} parts, {len(lacking)} of them made now, of {total} rows")
    return 0


def run_sums(request: Any, context: Context, worker: Worker | None) -> int:
    """Print what a verb makes of the sums of parts, which workers leave in a folder that is then removed."""
    at = reading_as_typed(open_model(request.run), context)
    folder = None if worker is None else Path(os.environ[FOLDER])
    data = at.load(every=False, index=folder and folder / INDEX)
    (source, codes), parts = request.shared(at, data), Parts(data)
    if worker is not None and folder is not None:
        for part in own_parts(worker, len(parts)):
            found, positions = parts.part(part)
            sums = request.part(at, found, positions[np.isin(found.split[positions], codes)])
            write_atomic(folder / f"{part}.json", to_json(sums))
        return 0
    if context.args.dry_run:
        return would(context, request.would(at, source), at)
    with tempfile.TemporaryDirectory(prefix="latens-") as name:
        if isinstance(data, StreamDataset):
            data.write_index(Path(name, INDEX))
        launch_workers(context, context.args.workers, Path(name))
        sums = [json.loads(Path(name, f"{part}.json").read_bytes()) for part in range(len(parts))]
    made = request.joined(at, data, source, sums)
    return tell(context, made.value, made)
