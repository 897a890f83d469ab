"""`latens info recipes|parts|environments`: what can be named."""

from typing import Any, get_args

from latens.cli.context import Context


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


def environments(context: Context) -> int:
    """The environments of Gymnasium that `latens.environments.record` can play by name."""
    from latens.environments.record import needed_gymnasium

    names = sorted(name for name in needed_gymnasium().registry if "/" not in name)
    context.result({"environments": names}, "\n".join(names))
    return 0


def parts(context: Context) -> int:
    """The parts that models are made of, and the options of each."""
    from latens.networks.factory import NetworkKind
    from latens.recipes.parts.likelihoods import LIKELIHOODS
    from latens.recipes.parts.options import OBJECTIVES, defaults_of, options_of
    from latens.recipes.parts.posteriors import POSTERIORS
    from latens.recipes.parts.priors import PRIORS

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
