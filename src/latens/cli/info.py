"""`latens info` and `check`: what runs, model files and data hold, what can be named, what this machine can do."""

import platform
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from latens import __version__
from latens.cli.context import Context, reading_as_typed, would
from latens.commands._sources import open_model, reading_options
from latens.commands.base import Call, DryRun
from latens.errors import ModelFileError, UsageError
from latens.runtime.terminal import doing, table


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

    from latens.runtime.compilation import cache_folder

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
    from latens.runtime.safetensors import read, tree_to_arrays
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
    from latens.recipes.posteriors import POSTERIORS, PRIORS

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


def check(context: Context) -> int:
    """Report on data: shape, types, range, what would go wrong, which likelihood suits them."""
    from latens.data import check as report_on
    from latens.data import load

    options = reading_options(vars(context.args))
    data = load(context.args.data, **options)
    report = report_on(data)
    shape = " x ".join(map(str, report["shape"]))
    kind = report["kind"] + (f" 0 to {report['levels'] - 1}" if report["levels"] else "")
    low, high = report["range"]
    columns = report.get("columns")
    constant = report["constant_columns"]
    # In a file of single cells a cell is a row.
    entries, fixed = ("entries", "genes") if data.cells else ("cells", "cells or columns")
    rows = [
        ("rows", f"{report['rows']} of shape {shape}, {report['dtype']}"),
        (entries, f"{kind}; from {low:g} to {high:g}; {report['zero_fraction']:.0%} are 0")
        if columns is None
        else ("cells", "of several kinds, by column"),
        ("missing", f"{report['nan_cells']} {entries}"),
        ("constant", f"{constant['count']} {fixed} never change"),
        ("duplicates", f"{report['duplicate_rows']} rows"),
        ("split", ", ".join(f"{n} {name}" for name, n in report["splits"].items())),
        ("labels", _labels(report["labels"])),
        ("likelihood", f"{report['likelihood']}. {report['reason']}"),
    ]
    if "tokens" in report:
        rows = [
            ("cells", _text(report["tokens"])) if row[0] == "cells" else row for row in rows if row[0] != "constant"
        ]
    lines = [report["name"], table(rows, indent="  ")]
    if columns is not None:
        entries = [(c["name"], c["kind"], c["dtype"], c["values"], str(c["missing"] or "")) for c in columns]
        lines += [table([("column", "kind", "dtype", "values of training rows", "missing"), *entries], indent="  ")]
    # Notes first, so that what is to be looked at is not lost among them.
    lines += [f"note: {text}" for text in report["warnings"] if text in report["notes"]]
    lines += [f"warning: {text}" for text in report["warnings"] if text not in report["notes"]]
    context.result(report, "\n".join(lines))
    return 0


def _text(found: dict[str, Any]) -> str:
    buckets = f"buckets of {', '.join(map(str, found['edges']))} steps; {found['counted']:.0%} of them hold data"
    lengths = f"{found['longest']} at the longest, {found['mean']:.1f} on average"
    return f"text in {found['vocabulary']} different {found['pieces']}; {lengths}; trained in {buckets}"


def _labels(counts: dict[str, int] | None) -> str:
    if not counts:
        return "none (--label NAME names them)"
    shown = [f"{name}: {n}" for name, n in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")


def explore(context: Context) -> int:
    """Write the page of a run, or of a model file with DATA, or serve it until Ctrl-C."""
    args = context.args
    if args.export is not None and (args.port or args.no_browser):
        flag = "--port" if args.port else "--no-browser"
        raise UsageError("the page is written, nothing is served.", where=flag, fix=f"Leave out {flag}, or --export.")
    if args.export is not None and not args.export.endswith(".html"):
        raise UsageError("the page is one file.", where="--export", fix="Let its name end in .html.")
    opened = open_model(args.run)
    if args.dry_run:
        what = f"write the page to {args.export}" if args.export else "serve the page on 127.0.0.1"
        return would(context, DryRun(f"{what}; nothing was written", {"file": args.export}), opened)
    files = page_files(opened, context, serve=args.export is None)
    if args.export is None:
        from latens.explorer.server import serve

        return serve(context, opened.trained, files)
    from latens.explorer.page_files import single_file, write_file

    doing("writing the page")
    body = single_file(files)
    path = write_file(args.export, body, force=args.force)
    words = f"{path}: {len(body) / 1e6:.1f} MB, one file that opens in a browser by itself"
    context.done({"file": str(path), "bytes": len(body)}, words)
    return 0


def page_files(opened: Call, context: Context, *, serve: bool) -> dict[str, bytes]:
    """Make the page of a model with its data."""
    from latens.data import KNOWN
    from latens.explorer import payload, static_files

    args, run = context.args, opened.run
    if args.data is None and run is None and opened.trained.facts.get("data") not in KNOWN:
        raise UsageError("a model file contains no rows.", where=args.run, fix="Add DATA.")
    data = reading_as_typed(opened, context).load()
    history = [record for record in run.read_metrics() if record.get("event") == "epoch"] if run else []
    words = ["latens", "explore", args.run, *([args.data] if args.data else [])]
    doing("placing the rows")
    found = payload(
        opened.trained,
        data,
        history=history,
        most_rows=args.rows,
        seed=args.seed,
        command=shlex.join(words),
        serve=serve,
    )
    return static_files() | found
