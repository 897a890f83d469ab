"""`latens info`: what a run folder or a model file holds, what can be named, and what this machine can do."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from latens import __version__
from latens.cli.context import Context
from latens.errors import ModelFileError
from latens.io.terminal import table


def info(context: Context) -> int:
    """What a run folder or a model file holds, or what a word asks for."""
    word = context.args.run
    if word == "machine":
        return _machine(context)
    return {"recipes": recipes, "parts": parts}.get(word, _held)(context)


def version_line() -> str:
    """What `latens --version` prints: what a report of a bug needs, without importing JAX."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib", "equinox", "optax", "numpy"))
    machine = f"{platform.system()} {platform.machine()}"
    return f"latens {__version__} (Python {platform.python_version()} on {machine}; {versions})"


def _machine(context: Context) -> int:
    """Versions, devices and the folder of compiled programs."""
    import jax

    from latens.io.compilation import cache_folder

    devices = [f"{one} ({one.device_kind})" for one in jax.devices()]
    value = {"versions": version_line(), "devices": devices, "compilation_cache": str(cache_folder())}
    text = "\n".join([value["versions"], *devices, f"compiled programs: {cache_folder()} (may be deleted)"])  # type: ignore[list-item]
    context.result(value, text)
    return 0


def _held(context: Context) -> int:
    from latens import pretrained
    from latens.report.page import command_of
    from latens.runs.folder import RunFolder

    spec = context.args.run
    value: dict[str, Any] = {"name": spec}
    lines = [spec]
    file: Path | None = Path(spec)
    if spec.startswith("pretrained:"):
        file = pretrained.path(spec.removeprefix("pretrained:"))
    elif Path(spec).is_dir():
        run = RunFolder.open(spec, lock=False)
        file = run.model_file if run.model_file.exists() else None
        records = run.read_metrics()
        step = records[-1].get("step", 0) if records else 0
        names = ("id", "created", "ended", "command", "host", "versions", "seed", "data", "stopped_because")
        value["run"] = {name: run.info.get(name) for name in names} | {"state": run.state, "step": step}
        value["config"] = run.config
        data = run.info["data"].get("spec", "(not named)")
        lines.append(f"  {run.state} at step {step}; begun {run.info['created']}; data {data}")
        lines.append(f"  typed: {command_of(run.info)}")
        if run.info.get("summary"):
            lines.append(run.info["summary"])
    if file is not None:
        model = _model(file)
        value |= {"model": model}
        lines += _model_lines(model)
    else:
        lines.append(f"  no model yet: `latens resume {spec}` finishes the run")
    context.result(value, "\n".join(lines))
    return 0


def _model(path: Path) -> dict[str, Any]:
    """What a model file says of itself."""
    # Everything is parsed and checked, nothing executed.
    from latens.io.safetensors import read, tree_to_arrays
    from latens.trainable import partition_trainable
    from latens.trained.trained_model import TrainedModel

    arrays, metadata = read(path)
    value = {"file": str(path), "bytes": path.stat().st_size, **dict(metadata.items())}
    trainable: set[str] | None = None
    try:
        trainable = set(tree_to_arrays(partition_trainable(TrainedModel.load(path).model)[0]))
    except ModelFileError as error:
        if metadata.get("config") is not None:
            raise
        value["note"] = error.message
    value["arrays"] = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        | {"trained": None if trainable is None else name in trainable}
        for name, array in sorted(arrays.items())
    ]
    value["parameters"] = sum(a.size for n, a in arrays.items() if trainable is None or n in trainable)
    return value


def _model_lines(model: dict[str, Any]) -> list[str]:
    config, schema, facts = model.get("config") or {}, model.get("schema") or {}, model.get("facts") or {}
    shape = " x ".join(map(str, schema.get("shape", ())))
    lines = [f"  {model['file']}: {model['bytes']:,} bytes, {model['parameters']:,} trained numbers"]
    lines.append(f"  recipe {config.get('recipe', '(built by hand)')}, rows of shape {shape}, {schema.get('kind')}")
    if facts.get("data"):
        lines.append(f"  trained on {facts.get('rows')} rows of {facts['data']}, {facts.get('steps')} steps")
    made = facts.get("made")
    if isinstance(made, dict):
        lines.append(f"  made on {made.get('date')} by latens {made.get('latens')}: {made.get('command')}")
    words = {True: "trained", False: "fixed", None: ""}
    rows = [("array", "shape", "dtype", "")]
    for array in model["arrays"]:
        rows.append((array["name"], " x ".join(map(str, array["shape"])), array["dtype"], words[array["trained"]]))
    return [*lines, table(rows, indent="  ")]


def recipes(context: Context) -> int:
    """The recipes with their sources."""
    from latens.config import to_json
    from latens.recipes import RECIPES

    listed = [
        {"name": r.name, "summary": r.summary, "source": r.source, "use_when": r.use_when, "config": to_json(r.config)}
        for r in RECIPES.values()
    ]
    lines = []
    for recipe in RECIPES.values():
        lines += [recipe.name, f"  {recipe.summary}", f"  use it when {recipe.use_when}", f"  {recipe.source}"]
    context.result({"recipes": listed}, "\n".join(lines))
    return 0


def parts(context: Context) -> int:
    """The parts that models are made of, and the options of each."""
    from latens.networks import NetworkKind
    from latens.recipes.likelihoods import LIKELIHOODS
    from latens.recipes.part_tables import OBJECTIVES, defaults_of, options_of
    from latens.recipes.posteriors import POSTERIORS
    from latens.recipes.priors import PRIORS

    kinds = {name: row for name, row in sorted(OBJECTIVES.items()) if isinstance(row, type)}
    objectives = {
        name: {"what": " ".join((row.__doc__ or "").split("\n\n")[0].split()), "options": defaults_of(options_of(row))}
        for name, row in kinds.items()
    }
    value: dict[str, Any] = {"objective": objectives}
    for part, rows in (("prior", PRIORS), ("posterior", POSTERIORS)):
        listed = {name: (row.what, defaults_of(row.options)) for name, row in sorted(rows.items())}
        value[part] = {name: {"what": what, "options": options} for name, (what, options) in listed.items()}
    value["likelihood"] = {
        name: {"data": list(row.kinds), "options": defaults_of(row.options)} for name, row in LIKELIHOODS.items()
    }
    value["network"] = list(get_args(NetworkKind))
    lines = []
    for part in list(value)[:3]:
        for name, about in value[part].items():
            lines.append(f"--set {part}={name}: {about['what']}")
            lines += [f"    --set {part}.{option}={default}" for option, default in about["options"].items()]
    for name, row in LIKELIHOODS.items():
        lines.append(f"--set likelihood={name}: for {', '.join(row.kinds)} data")
        lines += [f"    --set likelihood.{option}={default}" for option, default in defaults_of(row.options).items()]
    lines.append(f"--set network={'|'.join(value['network'])}")
    context.result({"parts": value}, "\n".join(lines))
    return 0
