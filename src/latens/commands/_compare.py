"""Runs against each other on the same held-out rows: `latens evaluate RUN RUN2 ...`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latens.commands.base import At, Made, Work, Would
from latens.errors import DataError, UsageError
from latens.io.terminal import table

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.trained.paired import Contestant
    from latens.trained.trained_model import TrainedModel


def parted(given: Any) -> tuple[list[Any], Any]:
    """The models among what was given, and the rows: None, or the one thing that is no model."""
    from latens.trained.trained_model import TrainedModel

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


def _names_model(given: object) -> bool:
    if not isinstance(given, str | Path):
        return False
    path = Path(given)
    return str(given).startswith("pretrained:") or path.suffix == ".safetensors" or (path / "run.json").is_file()


def compared(at: At, others: list[Any], given: object, num_samples: int | None, seed: int) -> Work:
    """Put the model and others against each other on the same held-out rows."""
    # given: the rows, split as for the training; None: those of the first run.
    from latens.commands._sources import open_model
    from latens.trained.measurement import density_of
    from latens.trained.metric_functions import held_out_rows
    from latens.trained.metrics import metric_of, unknown_draws
    from latens.trained.paired import compare

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
    value = {**found.to_json(), "seed": seed, "data": {**source, "held_out": held_out}}
    words = metric_of(found.metric).label.replace("(x", f"({density_of(models[found.models[0].name])}")
    head = f"{words} of {len(positions)} {split} rows of {data.name}, in {found.unit} a row"
    unknown = unknown_draws([each.estimate for each in found.models], words)
    lines = [head, table(found.cells(), indent="  "), *unknown]
    best = found.models[0]
    plain = (_verdict(found.models), f"Compared on {len(positions):,} {'unseen' if held_out else split} rows.")
    priors = {name: _prior_of(one) for name, one in models.items()}
    if len({*priors.values()}) > 1:
        plain += (f"Their priors differ: {', '.join(f'{name} {prior}' for name, prior in priors.items())}.",)
    if any(one.run is not None and one.name == best.name for one in opened):
        plain += (f"Next: latens report {shlex.quote(best.name)}",)
    about = f"seed {seed} for every run; intervals are over rows, not over seeds of training"
    seen = f"these are {split} rows: they were not held out from training or the choice of the epoch"
    note, warnings = f"{found.protocol}; {about}", () if held_out else (seen,)
    return Made(value=value, text="\n".join(lines), plain=plain, note=note, warnings=warnings)


def _data(opened: list[At], given: object) -> "Dataset":
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
            what = f"trained on other data, or on another split of them, than {named.name}."
            fix = "Train both on the same data, with the same data.validation."
            raise DataError(what, where=each.name, fix=fix)
    return data


def _verdict(models: "tuple[Contestant, ...]") -> str:
    """Which of the others these rows cannot tell from the best."""
    level = [each.name for each in models[1:] if each.difference is not None and not each.difference.high < 0]
    if not level:
        return f"{models[0].name} is significantly better than every other run (over rows; one training each)."
    others = ", ".join(level)
    return f"{models[0].name} is not significantly better than {others}: the intervals over rows contain 0."


def _prior_of(trained: "TrainedModel") -> str:
    kind = getattr(getattr(trained.config, "prior", None), "kind", "none")
    fitted = trained.facts.get("refitted") or trained.facts.get("refit", {}).get("kept")
    return f"{kind} fitted after training (--set prior.refit=false: as trained)" if fitted else kind
