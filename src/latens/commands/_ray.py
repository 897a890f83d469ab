"""A verb over many files, or over a Ray Dataset: Ray hands blocks of rows to workers that hold the model."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec.structs import replace

from latens.commands._files import frame_of
from latens.commands.base import Call, Command, DryRun, Result, Work, arguments_of, finished, name_of, refuse
from latens.data.files import TablePath, tables_of
from latens.errors import ConfigError, DataError, LatensError, ResourceError, UsageError, nearest
from latens.evidence.batched import computed_by, take_as_of_many
from latens.runtime.atomic import resource_errors
from latens.runtime.compilation import compute_in_full_precision, enable_compilation_cache
from latens.runtime.terminal import doing, reached
from latens.trained.trained_model import TrainedModel

SAID = 10
"""Warnings of workers that are said."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Ray tells nobody of its use, and the terminal nothing of its insides, where the environment says no other."""
READING = ("row_id", "label", "weight", "missing")
"""What can be said of the columns of a Ray Dataset."""


class Worker:
    """A worker, which holds the model, and what it makes of each block."""

    def __init__(self, at: Call, make: Callable[[Call, Any], Any]) -> None:
        compute_in_full_precision()
        take_as_of_many()
        enable_compilation_cache()
        self.at, self.make = at, make

    def __call__(self, block: Any) -> Any:
        return self.make(copy(self.at), block)


def over_files(request: Command, at: Call, address: str) -> Work:
    """Do a verb's work file by file; the result is that of one process, or a file in a folder for each of them."""
    parts, folder = tables_of(at.data), not at.out.suffix
    if not parts:
        fix = "Give them as 'parts/*.parquet', or leave --ray out."
        raise UsageError(f"{at.data} is not a folder or glob of tables of one format.", where="--ray", fix=fix)
    at.kind.refuse("parts", "--ray", UsageError)
    if at.out.suffix.lower() not in ("", ".npz", ".csv", ".parquet"):
        what = "a picture" if at.picture else f"a {at.out.suffix} file"
        raise UsageError(f"{what} is made of all rows at once.", where="--ray", fix="Leave --ray out.")
    if folder and at.out.resolve() == parts[0].root.resolve():
        raise UsageError("this would overwrite the input.", where=f"--out {at.out}", fix="Choose another folder.")
    if folder and getattr(request, "draws", None):
        raise UsageError("draws are written next to one file.", where="--draws", fix="Give --out FILE.")
    if getattr(request, "interval", None) is not None:
        fix = "Leave --ray or --interval out."
        raise UsageError("its columns depend on the missing cells of all rows.", where="--interval", fix=fix)
    yield DryRun(
        f"{name_of(type(request))} {len(parts)} files into {at.out}; nothing was written", {"files": len(parts)}
    )
    found: list[Result] = [Result()] * len(parts)
    sent = copy(at)
    sent.warn, sent.say, sent.out = str, str, at.out.resolve()
    with connected(address) as ray:
        doing("starting workers")
        work = partial(_of_file, request, parts, folder)
        blocks = ray.data.from_items([{"file": k} for k in range(len(parts))], override_num_blocks=len(parts))
        made = mapped(ray, blocks, Worker, sent, work, batch_size=1)
        for number, row in enumerate(made.iter_rows(), 1):
            if isinstance(row["made"], LatensError):
                raise row["made"]
            doing("")
            reached(number, len(parts))
            found[row["file"]] = row["made"]
    said = dict.fromkeys(words for one in found for words in one.warnings)
    for words in list(said)[:SAID]:
        at.warn(words)
    if len(said) > SAID:
        at.warn(f"and {len(said) - SAID} more warnings")
    rows = sum(one.value["rows"] for one in found)
    told = f"{rows:,} rows of {len(parts)} files"
    return replace(_joined(found, folder), value={"rows": rows, "files": len(parts)}, text=told, warnings=())


def over_batches(request: Command, at: Call, address: str) -> Work:
    """Do a verb's work, whose batches of rows and of draws are computed by workers."""
    work = request(at)
    yield next(work)
    with connected(address) as ray, computed_by(partial(_by_workers, ray)):
        return finished(work)


def _by_workers(ray: Any, function: Callable[..., Any], shared: tuple[Any, ...], parts: list[tuple[Any, ...]]) -> Any:
    each = ray.remote(num_gpus=1 if ray.cluster_resources().get("GPU", 0) else 0)(_of_batch)
    kept = ray.put((function, shared))
    return ray.get([each.remote(kept, part) for part in parts])


def _of_batch(kept: tuple[Callable[..., Any], tuple[Any, ...]], part: tuple[Any, ...]) -> Any:
    compute_in_full_precision()
    enable_compilation_cache()
    function, shared = kept
    return function(*shared, *part)


def over_dataset(trained: TrainedModel, verb: type[Command], data: Any, **options: Any) -> Any:
    """The rows of a Ray Dataset as the verb makes others of them, by their ids."""
    known = [name for name, *_ in arguments_of(verb) if name not in ("run", "data")]
    if unknown := next((name for name in options if name not in (*known, *READING)), None):
        fix = nearest(unknown, [*known, *READING])
        raise UsageError(f"there is no argument {unknown!r}.", where=name_of(verb), fix=fix)
    at = Call(trained, unknown=options.get("unknown", "error"))
    refuse(verb, at)
    if options.get("given"):
        at.tell(options["given"])
    at.given = {name: value for name, value in options.items() if name not in known}
    request = verb(**{"run": "", "data": None, **{name: options[name] for name in known if name in options}})
    return mapped(import_module("ray"), data, Worker, at, partial(_of_table, request), batch_format="pyarrow")


def mapped(ray: Any, data: Any, kind: type, *given: Any, **options: Any) -> Any:
    """A Ray Dataset of what workers make of the blocks of another: as many of them as GPUs, or as cores."""
    if not ray.is_initialized():
        ray.init()
    has = ray.cluster_resources()
    gpus, cores = int(has.get("GPU", 0)), max(1, int(has.get("CPU", 1)))
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=gpus or cores)
    return data.map_batches(kind, fn_constructor_args=given, compute=pool, num_gpus=1 if gpus else 0, **options)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray with a cluster: the one at an address, or one of this machine that ends with the work."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = import_module("ray")
        import_module("ray.data")
    except ImportError:
        raise ConfigError("Ray is not installed.", where="--ray", fix='pip install "latens[ray]"') from None
    ours = not ray.is_initialized()
    if ours:
        only = {"include_dashboard": False} if address == "local" else {}
        try:
            with warnings.catch_warnings(), _unheard():
                warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # what is forked becomes another program
                ray.init(address, log_to_driver=False, logging_level="error", **only)
        except (ConnectionError, ValueError) as error:
            what = f"no cluster answers ({str(error)[:200].rstrip('.')})."
            fix = "Start one with `ray start --head`, or leave the address out."
            raise ResourceError(what, where=f"--ray {address}", fix=fix) from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _unheard() -> Iterator[None]:
    """Drop what Ray's own programs write to stderr as they start: that they heed `QUIET`."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _of_file(request: Command, parts: list[TablePath], folder: bool, at: Call, block: Any) -> dict[str, Any]:
    """What a verb makes of a file, or how many rows of it are written; an error of latens as such."""
    k, said, made = int(block["file"][0]), [], np.empty(1, object)
    at.data, at.warn = parts[k], said.append
    try:
        made[0] = _slim(at, _done(request, at), folder, [*said])
    except LatensError as error:
        made[0] = error
    return {"file": np.array([k]), "made": made}


def _done(request: Command, at: Call) -> Result:
    work = request(at)
    next(work)
    return finished(work)


def _slim(at: Call, made: Result, folder: bool, said: list[str]) -> Result:
    """What of a result goes from a worker to the one who asked."""
    value, said = {"rows": made.value["rows"]}, [*said, *made.warnings]
    if folder:
        path = at.out / Path(at.data).relative_to(at.data.root).with_suffix(".parquet")
        with resource_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        made.write(path)
        return Result(value=value, warnings=tuple(said))
    table, arrays = made.table, made.arrays
    if callable(table):
        table = [table(at.out, k) for k in (None, *range(made.further))]
    if at.out.suffix.lower() == ".npz":
        table = None
    elif table is not None:
        arrays = {}
    kept = {name: getattr(made, name) for name in ("infinite", "known", "dialect", "added", "further")}
    return Result(arrays=arrays, table=table, value=value, warnings=tuple(said), **kept)


def _joined(found: list[Result], folder: bool) -> Result:
    """The results of files, one after another."""
    first = found[0]
    if folder:
        return Result(files=dict)
    arrays = {name: np.concatenate([one.arrays[name] for one in found]) for name in first.arrays}
    if isinstance(first.table, list):
        tables = [pl.concat(each, how="vertical_relaxed") for each in zip(*(one.table for one in found))]
        return replace(first, arrays=arrays, table=lambda path, number: tables[0 if number is None else number + 1])
    if first.table is not None:
        table = {name: np.concatenate([one.table[name] for one in found]) for name in first.table}
        return replace(first, arrays=arrays, table=table)
    return replace(first, arrays=arrays)


def _of_table(request: Command, at: Call, block: Any) -> Any:
    """What a verb makes of rows with ids, as an Arrow table."""
    at.data = pl.from_arrow(block)
    made = _done(request, at)
    if at.options.get("row_id") is None:
        fix = "Name the column with their ids: row_id=."
        raise DataError("rows of a Ray Dataset have no numbers.", where="data", fix=fix)
    table: Any = made.table(Path(), None) if callable(made.table) else made.arrays if made.table is None else made.table
    return frame_of(table, "data", made.infinite).to_arrow(compat_level=pl.CompatLevel.oldest())
