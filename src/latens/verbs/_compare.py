"""Runs against each other on the same held-out rows: `latens evaluate RUN RUN2 ...`."""

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.errors import DataError, UsageError
from latens.io.terminal import table, table_as
from latens.verbs.kernel import At, Made, Work, Would

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.workflow.paired import Contestant
    from latens.workflow.trained import TrainedModel


def parted(given: Any) -> tuple[list[Any], Any]:
    """The models among what was given, and the rows: None, or the one thing that is no model."""
    from latens.workflow.trained import TrainedModel

    is_model = lambda one: isinstance(one, TrainedModel) or _names_model(one)  # noqa: E731
    given = None if isinstance(given, list) and not given else given
    several = isinstance(given, list | tuple) and any(isinstance(one, str | Path) or is_model(one) for one in given)
    every = list(given) if several else [] if given is None else [given]
    models = [one for one in every if is_model(one)]
    rows = [one for one in every if not any(one is model for model in models)]
    if len(rows) > 1:
        what = f"{rows[1]} is neither a run nor a model file, and only one DATA is possible."
        raise UsageError(what, where=str(rows[1]), fix="Name runs and at most one DATA.")
    return models, rows[0] if rows else None


def _names_model(given: Any) -> bool:
    if not isinstance(given, str | Path):
        return False
    path = Path(given)
    return str(given).startswith("pretrained:") or path.suffix == ".safetensors" or (path / "run.json").is_file()


def compared(at: At, others: list[Any], given: Any, num_samples: int | None, seed: int, format: str) -> Work:
    """Put the model and others against each other on the same held-out rows."""
    # given: the rows, split as for the training; None: those of the first run.
    from latens.verbs._sources import open_model
    from latens.workflow.groups import held_out_rows
    from latens.workflow.measurement import density_of
    from latens.workflow.metrics import metric_of, unknown_draws
    from latens.workflow.paired import compare

    named = [str(one) if isinstance(one, str | Path) else f"model {k}" for k, one in enumerate(others, start=2)]
    names = [at.name, *named]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{twice!r} is named twice.", where="RUN", fix="Name every run once.")
    opened = [at]
    for name, one in zip(named, others):
        opened.append(open_model(name) if isinstance(one, str | Path) else At(one, name))
        opened[-1].warn = at.warn
    data = _data(opened, given)
    split, positions = held_out_rows(data)
    draws = num_samples or 1000
    source = {"name": data.name, "split": split, "rows": len(positions), "fingerprint": data.fingerprint}
    rows = f"{len(positions)} rows of {data.name} ({split})"
    words = f"compare {len(opened)} runs on {rows}, {draws} draws a row"
    yield Would(words, {"runs": names, "data": source, "num_samples": draws})
    models = {each.name: each.trained for each in opened}
    found = compare(models, data, positions=positions, num_samples=draws, seed=seed)
    held_out = split == "test" and data.held_out
    value = {
        "metric": found.metric,
        "unit": found.unit,
        "protocol": found.protocol,
        "seed": seed,
        "data": {**source, "held_out": held_out},
        "runs": [_json(each, models[each.name]) for each in found.models],
    }
    words = metric_of(found.metric).label.replace("(x", f"({density_of(models[found.models[0].name])}")
    head = f"{words} of {len(positions)} {split} rows of {data.name}, in {found.unit} a row"
    unknown = unknown_draws([each.estimate for each in found.models], words)
    rows = _table(found.models, words)
    lines = [head, table(rows, indent="  "), *unknown, *_by_draws(found.models, words)]
    best = found.models[0]
    plain = (_verdict(found.models), f"Compared on {len(positions):,} {'unseen' if held_out else split} rows.")
    if any(one.run is not None and one.name == best.name for one in opened):
        plain += (f"Next: latens report {shlex.quote(best.name)}",)
    text = "\n".join(lines) if format == "text" else table_as(rows, format)
    about = f"seed {seed} for every run; intervals are over rows, not over seeds of training"
    seen = f"these are {split} rows: they were not held out from training or the choice of the epoch"
    note, warnings = f"{found.protocol}; {about}", () if held_out else (seen,)
    if format != "text":  # the table alone, for a paper: what is to be known of it stands on stderr
        plain, warnings = (), (*unknown, *warnings)
    return Made(value=value, text=text, plain=plain, note=note, warnings=warnings)


def _data(opened: list[At], given: Any) -> "Dataset":
    """The data of the first run that names any; a DataError where another was trained on others."""
    from latens.data import KNOWN

    named = next((each for each in opened if each.run is not None or each.trained.facts.get("data") in KNOWN), None)
    if named is None and given is None:
        fix = "Give at least one run folder, or DATA."
        raise UsageError("model files contain no rows.", where="RUN", fix=fix)
    named = named or opened[0]
    data = named.load_of(given)
    for each in opened:
        if not each.knows(data):
            raise DataError(
                f"trained on other data, or on another split of them, than {named.name}: "
                f"{_brief(each.trained.facts.get('fingerprint'))} is not {_brief(data.fingerprint)}.",
                where=each.name,
                fix="Only differences over the same held-out rows mean something: train both on the same data, with "
                "the same data.validation.",
            )
    return data


def _brief(fingerprint: Any) -> str:
    return str(fingerprint)[:12] if fingerprint else "no fingerprint"


def _json(each: "Contestant", trained: "TrainedModel") -> dict[str, Any]:
    return {
        "run": each.name,
        "recipe": None if trained.config is None else trained.config.recipe,
        "parameters": trained.num_parameters,
        "value": each.estimate.to_json(),
        "difference": None if each.difference is None else each.difference.to_json(),
    }


def _table(models: "tuple[Contestant, ...]", words: str) -> list[tuple[str, ...]]:
    from latens.workflow.metrics import figures, over_draws

    drawn = any(each.estimate.draws_error is not None for each in models)
    titles = ("run", words, "", *(["over draws"] if drawn else []))
    rows: list[tuple[str, ...]] = [(*titles, "minus the best", "95 % interval", "standard errors")]
    for each in models:
        gap, first = each.difference, (each.name, *figures(each.estimate))
        if drawn:
            first = (*first, over_draws(each.estimate, len(first[1].partition(".")[2])))
        if gap is None or gap.estimate is None:
            rows.append((*first, "best", "", ""))
            continue
        size = abs(gap.standard_errors)
        count = "" if math.isnan(size) else f"{size:.1f}"
        places = len(figures(gap.estimate)[0].partition(".")[2])
        interval = f"[{gap.low:.{places}f}, {gap.high:.{places}f}]"
        rows.append((*first, " ".join(figures(gap.estimate)), interval, count))
    return rows


def _verdict(models: "tuple[Contestant, ...]") -> str:
    """Which of the others these rows cannot tell from the best."""
    level = [each.name for each in models[1:] if each.difference is not None and not each.difference.high < 0]
    if not level:
        return f"{models[0].name} is significantly better than every other run."
    others = ", ".join(level)
    return f"{models[0].name} is not significantly better than {others}: the intervals contain 0."


def _by_draws(models: "tuple[Contestant, ...]", words: str) -> list[str]:
    """Say which runs are behind by no more than their draws may make them lack."""
    behind = []
    for each in models[1:]:
        gap, value = each.difference, each.estimate
        error = value.at_least if value.draws_error == math.inf else value.draws_error
        if gap is not None and gap.high < 0 and error is not None and 1.96 * error >= -gap.value:
            behind.append(f"{each.name} {1.96 * error:.2g}")
    if not behind:
        return []
    what = f"{words} may be too low by as much as the difference: {', '.join(behind)} {models[0].estimate.unit}"
    return [f"{what}; use more draws (--num-samples {10 * models[0].estimate.num_samples})"]
