"""`latens check`, `info`, `recipes` and `doctor`: what there is, before and after training."""

from pathlib import Path
from typing import Any, get_args

from latens.cli.context import Context, table
from latens.cli.reading import reading_options
from latens.errors import ModelFileError


def check(context: Context) -> int:
    """Report on data: shape, types, range, what would go wrong, which likelihood suits them."""
    from latens.data import check as report_on
    from latens.data import load

    data = load(context.args.data, **reading_options(vars(context.args)))
    report = report_on(data)
    shape = " x ".join(map(str, report["shape"]))
    kind = report["kind"] + (f" 0 to {report['levels'] - 1}" if report["levels"] else "")
    low, high = report["range"]
    constant = report["constant_columns"]
    rows = [
        ("rows", f"{report['rows']} of shape {shape}, {report['dtype']}"),
        ("cells", f"{kind}; from {low:g} to {high:g}; {report['zero_fraction']:.0%} are 0"),
        ("missing", f"{report['nan_cells']} cells"),
        ("constant", f"{constant['count']} cells or columns never change"),
        ("duplicates", f"{report['duplicate_rows']} rows"),
        ("split", ", ".join(f"{n} {name}" for name, n in report["splits"].items())),
        ("labels", _labels(report["labels"])),
        ("likelihood", f"{report['likelihood']}. {report['reason']}"),
    ]
    lines = [report["name"], table(rows, indent="  "), *(f"warning: {text}" for text in report["warnings"])]
    context.result(report, "\n".join(lines))
    return 0


def _labels(counts: dict[str, int] | None) -> str:
    if not counts:
        return "none (--label NAME names them)"
    shown = [f"{name}: {n}" for name, n in list(counts.items())[:12]]
    return ", ".join(shown) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")


def info(context: Context) -> int:
    """What a run folder or a model file holds."""
    from latens import pretrained
    from latens.cli.sources import state_of
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
        value["run"] = {name: run.info.get(name) for name in names} | {"state": state_of(run), "step": step}
        value["config"] = run.config
        data = run.info["data"].get("spec", "(not named)")
        lines.append(f"  {state_of(run)} at step {step}; begun {run.info['created']}; data {data}")
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
    """What a model file says of itself. Everything is parsed and checked, nothing executed."""
    from latens.io.arrays import tree_to_arrays
    from latens.io.safetensors import read
    from latens.trees import partition_trainable
    from latens.workflow.trained import TrainedModel

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
    words = {True: "trained", False: "fixed", None: ""}
    rows = [("array", "shape", "dtype", "")]
    for array in model["arrays"]:
        rows.append((array["name"], " x ".join(map(str, array["shape"])), array["dtype"], words[array["trained"]]))
    return [*lines, table(rows, indent="  ")]


def recipes(context: Context) -> int:
    """The recipes with their sources, or with `--parts` the parts they are made of and the options of each."""
    from latens.config import to_json
    from latens.recipes import RECIPES

    if context.args.parts:
        return _parts(context)
    listed = [
        {"name": r.name, "summary": r.summary, "source": r.source, "use_when": r.use_when, "config": to_json(r.config)}
        for r in RECIPES.values()
    ]
    lines = []
    for recipe in RECIPES.values():
        lines += [recipe.name, f"  {recipe.summary}", f"  use it when {recipe.use_when}", f"  {recipe.source}"]
    context.result({"recipes": listed}, "\n".join(lines))
    return 0


def _parts(context: Context) -> int:
    from latens.networks.factory import NetworkKind
    from latens.parts.likelihoods import LIKELIHOODS
    from latens.parts.options import OBJECTIVES, defaults_of, option_defaults
    from latens.parts.posteriors import POSTERIORS
    from latens.parts.priors import PRIORS

    objectives = {k: {"what": _first_line(v), "options": defaults_of(v)} for k, v in sorted(OBJECTIVES.items())}
    value: dict[str, Any] = {"objective": objectives}
    for part, rows in (("prior", PRIORS), ("posterior", POSTERIORS)):
        listed = {name: (row.what, option_defaults(row.options)) for name, row in sorted(rows.items())}
        value[part] = {name: {"what": what, "options": options} for name, (what, options) in listed.items()}
    value["likelihood"] = {name: {"data": list(row.kinds)} for name, row in LIKELIHOODS.items()}
    value["network"] = list(get_args(NetworkKind))
    lines = []
    for part in list(value)[:3]:
        for name, about in value[part].items():
            lines.append(f"--set {part}={name}: {about['what']}")
            lines += [f"    --set {part}.{option}={default}" for option, default in about["options"].items()]
    lines += [f"--set likelihood={name}: for {', '.join(row.kinds)} data" for name, row in LIKELIHOODS.items()]
    lines.append(f"--set network={'|'.join(value['network'])}")
    context.result({"parts": value}, "\n".join(lines))
    return 0


def _first_line(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def doctor(context: Context) -> int:
    """Whether this machine can do what latens asks of it."""
    from latens.cli.doctor import examine

    findings = examine()
    rows = [(("ok  " if f["ok"] else "LOOK"), f["name"], f["found"]) for f in findings]
    lines = [table(rows)]
    lines += [f"{f['name']}: {f['fix']}" for f in findings if f["fix"]]
    context.result({"ok": all(f["ok"] for f in findings), "findings": findings}, "\n".join(lines))
    return 0
