"""What RUN and DATA on the command line stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latens.commands.context import Context
from latens.compilation import enable_compilation_cache
from latens.config import from_json
from latens.data import KNOWN, Dataset, load
from latens.errors import LatensError, RunFolderError, UsageError, nearest
from latens.experiment import as_split
from latens.runs import RunFolder
from latens.trained import TrainedModel

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"


@dataclass(frozen=True)
class Opened:
    """A model that was named on the command line; `run` is its folder, where it came from one."""

    name: str
    trained: TrainedModel
    run: RunFolder | None

    @property
    def path(self) -> Path | None:
        return None if self.run is None else self.run.path


def open_model(spec: str) -> Opened:
    """The model of a run folder, of a .safetensors file, or one that ships with latens (`pretrained:NAME`).

    **Raises:** RunFolderError for a run that has no model yet, ModelFileError for a file that is none.
    """
    enable_compilation_cache()
    if spec.startswith("pretrained:"):
        return Opened(spec, TrainedModel.load(pretrained_file(spec)), None)
    path = Path(spec)
    if path.is_dir():
        run = RunFolder.open(path, lock=False)
        if not run.model_file.exists():
            state = "killed" if run.info["state"] == "running" and not run.live else run.info["state"]
            fix = "Wait for it to end." if state == "running" else f"Finish it with `latens resume {spec}`."
            raise RunFolderError(f"this run has no model yet: it is {state}.", where=spec, fix=fix)
        return Opened(spec, TrainedModel.load(run.model_file), run)
    return Opened(spec, TrainedModel.load(path), None)


def pretrained_file(spec: str) -> Path:
    """The file of `pretrained:NAME`. **Raises:** UsageError naming the nearest one."""
    name = spec.removeprefix("pretrained:")
    names = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
    if name not in names:
        fix = nearest(name, names) if names else "This installation has none."
        raise UsageError(f"no model of that name ships with latens: {name!r}.", where="pretrained", fix=fix)
    return PRETRAINED / f"{name}.safetensors"


def load_data(context: Context, opened: Opened | None = None, spec: str | None = None) -> Dataset:
    """The rows that DATA names, in the form that `opened` was trained on; without DATA, the data of the run.

    **Raises:** DataError, also where the data of a run are no longer those it was trained on.
    """
    args = context.args
    spec = spec or getattr(args, "data", None)
    if opened is None:
        assert spec is not None
        return load(spec, label=args.label, row_id=args.id, missing=args.missing)
    trained = opened.trained
    if spec is not None:
        options = _options(args) or _stored_options(opened, spec)
        data = load(spec, schema=trained.schema, **options)
    elif opened.run is not None:
        source = opened.run.info["data"]
        data = load(original_source(source), schema=trained.schema, **reading_options(source))
    elif trained.facts.get("data") in KNOWN:
        data = load(trained.facts["data"], schema=trained.schema)
    else:
        raise UsageError("say which data.", where=opened.name, fix="A model file holds no rows: add DATA.")
    return data if trained.config is None else as_split(trained.config, data)


def is_own(opened: Opened, data: Dataset) -> bool:
    """Whether these are the data the model was trained on."""
    return data.fingerprint == opened.trained.facts.get("fingerprint")


def require_own(opened: Opened, data: Dataset) -> None:
    """**Raises:** RunFolderError where the data of a run have changed since it was trained."""
    if not is_own(opened, data):
        raise RunFolderError(
            f"the data {data.name!r} are not those this model was trained on: they have changed since.",
            where=opened.name,
            fix=f"Give the data explicitly: latens evaluate {opened.name} DATA (all its rows are then used).",
        )


def source_of(args: Any) -> dict[str, Any]:
    """How the data of a run were named, for run.json: enough to read them again from any folder."""
    return {"spec": args.data, "folder": str(Path.cwd()), **_options(args)}


def original_source(source: dict[str, Any]) -> str:
    """The name or path of a run's data, from wherever the command is typed."""
    spec = source["spec"]
    moved = Path(source.get("folder", "")) / spec
    return spec if spec in KNOWN or not moved.exists() else str(moved)


def reading_options(source: dict[str, Any]) -> dict[str, Any]:
    return {name: source[name] for name in ("label", "row_id", "missing") if source.get(name) is not None}


def _options(args: Any) -> dict[str, Any]:
    given = {"label": args.label, "row_id": args.id, "missing": args.missing}
    return {name: value for name, value in given.items() if value is not None}


def _stored_options(opened: Opened, spec: str) -> dict[str, Any]:
    """The same file is read the same way as for training, without saying so again."""
    source = {} if opened.run is None else opened.run.info["data"]
    return reading_options(source) if source.get("spec") == spec else {}


def stored_config(run: RunFolder) -> Any:
    """The resolved configuration of a run, or None where it was killed before the data had been seen."""
    if run.config.get("resolved") is False:
        return None
    try:
        return from_json(run.config)
    except LatensError as error:
        raise RunFolderError(f"its config.json does not fit: {error.message}", where=str(run.path)) from None
