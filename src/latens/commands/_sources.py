"""What RUN and DATA stand for, and how rows are read; importing this imports nothing heavy.

How data were named and read is kept in run.json and in the model file, so that a run finds its data again and reads
other files of their form alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from latens.commands.base import Call
from latens.errors import DataError, RunFolderError, UsageError
from latens.kinds import FLAGS, OPTIONS
from latens.runtime.terminal import doing

if TYPE_CHECKING:
    from latens.data import Dataset, Schema


def source_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Note DATA and the flags that say how to read it, with the folder in which the command was typed."""
    return {"spec": arguments["data"], "folder": str(Path.cwd()), **_given(arguments)}


def reading_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn arguments, or what `source_of` stored, into the keywords of `latens.data.load`."""
    return {FLAGS[flag]: value for flag, value in _given(arguments).items()}


def remembered(source: object) -> dict[str, Any]:
    """Turn what `source_of` or a model file stored into the keywords for a file of the same form."""
    # A stranger may have written that, so only names of columns and keys count, and never a file with labels of other
    # rows.
    if not isinstance(source, Mapping):
        return {}
    kinds = {flag: OPTIONS[name].again for flag, name in FLAGS.items()}
    found = {flag: source[flag] for flag, kind in kinds.items() if kind and isinstance(source.get(flag), kind)}
    if found.get("label", "").endswith(".npy"):
        del found["label"]
    if found.get("missing") != "nan":
        found.pop("missing", None)
    return reading_options(found)


def read_with(source: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a model file keeps of `source_of`: how the rows were read, without where they lay."""
    return {flag: value for flag, value in _given(source).items() if not OPTIONS[FLAGS[flag]].once}


def flags_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that `source_of` stored."""
    return {flag: value for flag, value in _given(source).items() if not isinstance(value, dict)}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {flag: arguments[flag] for flag in FLAGS if arguments.get(flag) is not None}


def open_model(spec: str) -> Call:
    """Open the model of a run folder, of a .safetensors file, or one that ships with latens (`pretrained:NAME`)."""
    from latens.runs.folder import RunFolder
    from latens.runtime.compilation import enable_compilation_cache
    from latens.trained.inputs import model_file
    from latens.trained.trained_model import TrainedModel

    enable_compilation_cache()
    doing("opening the model")
    path, named = Path(spec), spec.startswith("pretrained:")
    if not named and not path.is_dir() and path.suffix != ".safetensors":
        fix = "Check the path; `latens fit` prints the one of each run."
        what = "this file is not a model." if path.exists() else "there is no such run."
        raise RunFolderError(what, where=spec, fix=fix)
    run = RunFolder.open(path, lock=False) if path.is_dir() and not named else None
    return Call(TrainedModel.load(model_file(spec) if run is None else run.trained_file()), spec, run=run)


def load_new(spec: str, options: dict[str, Any]) -> "Dataset":
    """Load data to train on, or only to look at."""
    from latens.data import load
    from latens.runtime.compilation import enable_compilation_cache

    enable_compilation_cache()
    doing("reading")
    return load(spec, **options)


def read(
    at: Call,
    data: Any,
    *,
    schema: "Schema | None" = None,
    own_classes: bool = False,
    unknown: str | None = None,
    partial: bool = False,
) -> "Dataset":
    """Load rows in the form that the model was trained on; of None its own data."""
    # They are read as the training data were (label, id, weight, missing values), as far as DATA has these columns and
    # no flag says otherwise.
    # unknown: what becomes of names that no training row had, as for `latens.data.load`; None: what --unknown says.
    from latens.data import KNOWN, Dataset
    from latens.recipes import as_split, as_trained

    if isinstance(data, Dataset):
        return data
    trained, spec = at.trained, data
    source = vars(trained).get("source", {}) if at.run is None else at.run.info["data"]
    known = remembered(source or trained.facts.get("read_with"))
    if spec is None and source:
        spec, known = original_source(source), reading_options(source)
    elif spec is None and trained.facts.get("data") in KNOWN:
        spec = trained.facts["data"]
    elif spec is None:
        what = "DATA is missing, or for detect the held-out rows."
        fix = "add DATA, or --held-out DATA2" if at.typed else "pass data=, or held_out= to detect"
        raise UsageError(what, where=at.name, fix=f"A model file contains no rows: {fix}.")
    elif isinstance(spec, str) and getattr(spec, "of", spec) == source.get("spec") and not partial:
        known = reading_options(source)
    for flag in ("columns", "derive"):  # the schema has them
        known.pop(flag, None)
    if other := not isinstance(spec, str) or getattr(spec, "of", spec) != source.get("spec"):
        known.pop("condition", None)
    if "layer" in known and "layer" not in at.given and not _has_layer(spec, known["layer"]):
        known.pop("layer")  # another file may have the counts as X
    wanted = unknown or at.unknown
    # What was said of DATA says nothing of the model's own rows, where these are read beside it.
    said = {} if data is None and at.data is not None else at.given
    given = said | ({} if wanted == "error" else {"unknown": wanted}) | ({"partial": True} if partial else {})
    given |= {"condition": at.told} if at.told else {}
    schema = trained.schema if schema is None else schema
    found, at.options = _load_alike(spec, replace(schema, classes=None) if own_classes else schema, known, given)
    if at.told and found.cond:
        from latens.data.conditions import GIVEN, brought

        if names := brought(schema.conditions or (), found.cond[GIVEN], at.told):
            at.warn(f"the rows bring {', '.join(names)} themselves: --given holds for what is decoded without rows")
    _warn_of(at, found, unknown, other and data is not None)
    if trained.config is not None and trained.config.data.validation == "test" and found.count("test"):
        found = as_split(trained.config, found)
    if data is None and not at.knows(found):
        fix = "Name the data on the command line to use all their rows."
        raise DataError("the data have changed since training.", where=str(spec), fix=fix)
    doing("")  # read; what follows names itself
    return as_trained(trained.config, found)


def _warn_of(at: Call, found: "Dataset", unknown: str | None, other: bool) -> None:
    """Warn of what reading noted, and of names and pieces that no training row had."""
    if found.cells and other:
        for note in found.notes:
            at.warn(f"{found.name}: {note}")
    if found.kept is not None:
        at.warn(f"{found.name}: {found.notes[-1]}")
    elif found.unseen and unknown is None:
        at.warn(f"{found.name}: {len(found.unseen):,} {at.kind.unknown[1]}")


def _has_layer(spec: object, name: str) -> bool:
    """Whether an AnnData file or object has a layer of this name."""
    if not isinstance(spec, str | Path):
        return name in (getattr(spec, "layers", None) or ())
    if ".h5ad" not in str(spec).lower() or not Path(spec).is_file():
        return False
    import h5py

    try:
        with h5py.File(spec, "r") as file:
            return f"layers/{name}" in file
    except OSError:
        return True  # said in words where it is read


def _load_alike(
    spec: object, schema: "Schema", known: dict[str, Any], given: dict[str, Any]
) -> "tuple[Dataset, dict[str, Any]]":
    """The data, read with what is known of the training data and what was given."""
    # Another file may lack the label, or every such column. The error is that of the first attempt, but for what it
    # lacks and a later one does without.
    from latens.data import load
    from latens.data.row_fields import LackingColumn

    first: DataError | None = None
    doing("reading")
    for left_out in ((), ("label",), ("label", "row_id", "weight")):
        options = {name: value for name, value in known.items() if name not in left_out} | given
        if first is not None and not any(name in known and name not in given for name in left_out):
            continue
        try:
            return load(spec, schema=schema, **options), options
        except DataError as error:
            first = error if first is None or isinstance(first, LackingColumn) else first
    assert first is not None
    raise first


def original_source(source: dict[str, Any]) -> str:
    """Find the name or path of a run's data, from wherever the command is typed."""
    from latens.data import KNOWN
    from latens.data.files import is_address
    from latens.runtime.file_limits import fixed_folder, is_glob

    spec = source.get("spec")
    if spec is None:
        raise RunFolderError("its run.json names no data.", where="run.json", fix="Name the data, or start a new run.")
    if is_address(spec):  # a stranger may have written it, and would see who asks
        what = "an address in a run folder is not followed."
        raise UsageError(what, where="run.json", fix=f"Name it, as DATA after RUN: {spec}")
    moved = Path(source.get("folder", "")) / spec
    there = moved.exists() or (is_glob(spec) and fixed_folder(moved).is_dir())
    return str(moved) if spec not in KNOWN and there else spec
