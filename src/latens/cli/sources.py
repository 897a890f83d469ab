"""What RUN and DATA on the command line stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from latens.cli.context import Context
from latens.cli.reading import reading_options, remembered
from latens.config import ClassifierConfig
from latens.data import KNOWN, Dataset, Schema, load
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.find import fixed_folder, is_glob
from latens.errors import ConfigError, DataError, RunFolderError, UsageError
from latens.io.compilation import enable_compilation_cache
from latens.runs.folder import RunFolder
from latens.workflow.experiment import as_split
from latens.workflow.trained import TrainedModel, model_file


@dataclass(frozen=True)
class Opened:
    """A model that was named on the command line."""

    name: str  # as it was typed
    trained: TrainedModel
    run: RunFolder | None  # its folder, where it came from one; else None

    def knows(self, data: Dataset) -> bool:
        """Whether these are the data the model was trained on."""
        return data.fingerprint == self.trained.facts.get("fingerprint")


def open_model(spec: str) -> Opened:
    """Open the model of a run folder, of a .safetensors file, or one that ships with latens (`pretrained:NAME`)."""
    enable_compilation_cache()
    path, named = Path(spec), spec.startswith("pretrained:")
    if not named and not path.exists() and path.suffix != ".safetensors":
        fix = "Check the path; `latens fit` prints the one of each run."
        raise RunFolderError("there is no such run.", where=spec, fix=fix)
    trained = TrainedModel.load(model_file(spec))
    return Opened(spec, trained, RunFolder.open(path, lock=False) if path.is_dir() and not named else None)


def load_new(spec: str, options: dict[str, Any], *, index: Path | None = None) -> Dataset:
    """Load data to train on, or only to look at."""
    enable_compilation_cache()
    return load(spec, index=index, **options)


def load_for(
    opened: Opened, context: Context, *, every: bool = False, unknown: str | None = None, index: Path | None = None
) -> Dataset:
    """Load the rows that DATA names, in the form that the model was trained on; without DATA, its own data."""
    # They are read as the training data were (label, id, weight, missing values), as far as DATA has these columns and
    # no flag says otherwise.
    # every: whether the command takes every row at once, so that they cannot stay on disk.
    # unknown: what becomes of names that no training row had, as for `latens.data.load`; None: what --unknown says.
    return read_for(opened, context, every=every, unknown=unknown, index=index)[0]


def read_for(
    opened: Opened,
    context: Context,
    *,
    own_classes: bool = False,
    every: bool = False,
    unknown: str | None = None,
    index: Path | None = None,
) -> tuple[Dataset, str, dict[str, Any]]:
    """Load data as `load_for` does, and tell how."""
    args, trained = context.args, opened.trained
    source = {} if opened.run is None else opened.run.info["data"]
    spec, given = getattr(args, "data", None), reading_options(vars(args))
    known = remembered(source or trained.facts.get("read_with"))
    if spec is None and source:
        spec, known = original_source(source), reading_options(source)
        index = None if opened.run is None else opened.run.blocks_file
    elif spec is None and trained.facts.get("data") in KNOWN:
        spec = trained.facts["data"]
    elif spec is None:
        raise UsageError("DATA is missing.", where=opened.name, fix="A model file holds no rows: add DATA.")
    elif spec == source.get("spec"):
        known = reading_options(source)
    known.pop("columns", None)  # the schema has them
    wanted = unknown or getattr(args, "unknown", None) or "error"
    schema = replace(trained.schema, classes=None) if own_classes else trained.schema
    data, options = _load_alike(spec, schema, known, given | ({} if wanted == "error" else {"unknown": wanted}), index)
    if data.kept is not None:
        context.warn(f"{data.name}: {data.notes[-1]}")
    elif data.unseen and unknown is None:
        context.warn(
            f"{data.name}: {len(data.unseen):,} cells hold names that no training row had, and count as missing"
        )
    if every and isinstance(data, StreamDataset):
        what = f"has {data.total:,} rows, which stay on disk, and this command takes all of them at once."
        fix = "Give some of the files; or `latens encode`, which goes through them by blocks."
        raise DataError(what, where=str(spec), fix=fix)
    if trained.config is not None and trained.config.data.validation == "test" and len(data.subset("test")):
        data = as_split(trained.config, data)
    if getattr(args, "data", None) is None and not opened.knows(data):
        raise DataError(
            "these are no longer the data that the model was trained on.",
            where=str(spec),
            fix="Name the data on the command line; all of their rows are then used.",
        )
    return data, str(spec), options


def load_partial(opened: Opened, spec: str) -> Dataset:
    """Load rows of which whole columns may be missing, read as the training data were."""
    source = {} if opened.run is None else opened.run.info["data"]
    known = remembered(source or opened.trained.facts.get("read_with"))
    return _load_alike(spec, opened.trained.schema, known, {"partial": True})[0]


def _load_alike(
    spec: str, schema: Schema, known: dict[str, Any], given: dict[str, Any], index: Path | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """The data, read with what is known of the training data and what was given."""
    # Another file may lack the label, or every such column; the DataError is that of the first attempt.
    first: DataError | None = None
    for left_out in ((), ("label",), ("label", "row_id", "weight")):
        options = {name: value for name, value in known.items() if name not in left_out} | given
        if first is not None and not any(name in known and name not in given for name in left_out):
            continue
        try:
            return load(spec, schema=schema, index=index, **options), options
        except DataError as error:
            first = first or error
    assert first is not None
    raise first


def original_source(source: dict[str, Any]) -> str:
    """Find the name or path of a run's data, from wherever the command is typed."""
    spec = source.get("spec")
    if spec is None:
        raise RunFolderError("its run.json names no data.", where="run.json", fix="Name the data, or start a new run.")
    moved = Path(source.get("folder", "")) / spec
    there = moved.exists() or (is_glob(spec) and fixed_folder(moved).is_dir())
    return str(moved) if spec not in KNOWN and there else spec


def open_vae(spec: str, verb: str) -> Opened:
    """Open a model as `open_model` does, with latents where the command needs them."""
    opened = open_model(spec)
    if isinstance(opened.trained.config, ClassifierConfig) and verb in (
        "encode",
        "decode",
        "reconstruct",
        "complete",
        "translate",
        "compress",
        "decompress",
        "export",
    ):
        fix = "It classifies and samples: `latens evaluate`, or GenerativeClassifier in Python."
        raise ConfigError(f"a Bayes classifier has no latents to {verb}.", where=spec, fix=fix)
    return opened
