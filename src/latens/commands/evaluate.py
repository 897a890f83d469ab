"""`latens evaluate`: held-out numbers with standard errors, units and protocol; of several runs differences."""

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import Call, DryRun, ModelCommand, Result, Seed, Unknown, Work, arg, draws
from latens.errors import DataError, ResourceError, UsageError
from latens.io.atomic import write_atomic
from latens.io.json import plain, to_json
from latens.io.terminal import table

if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.trained.metrics import Summary
    from latens.trained.paired import Contestant
    from latens.trained.trained_model import TrainedModel


_DATA = "more runs or model files to compare on the same rows; or the rows to use (default: the held-out rows)"


class Evaluate(ModelCommand):
    """Measure held-out log p(x), or compare runs."""

    takes_out: ClassVar = None
    prints: ClassVar = True
    needs_latents: ClassVar = False
    by_batch: ClassVar = True
    data: Annotated[Any, arg(_DATA, "RUN2|DATA", reads=True, many=True)] = None
    unknown: Unknown = "error"
    num_samples: Annotated[
        int | None, arg("draws per row for log p(x)", metavar="K", kind=draws, group="evaluation")
    ] = None  # fmt: skip
    all: Annotated[bool, arg("print all metrics that apply, and write RUN/report.json")] = False
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        from latens.trained.metric_functions import held_out_rows, summary_of

        others, at.data = parted(self.data)
        if others:
            return (yield from compared(at, others, at.data, self.num_samples, self.seed))
        data = at.load()
        split, positions = held_out_rows(data) if at.knows(data) else ("all", np.arange(len(data)))
        source = self._source(data, split, len(positions))
        yield self.would(at, source)
        file = _report_file(at, data) if self.all else None
        if self.all:
            at.say(f"measuring everything on {len(positions)} rows of {data.name} ({split})")
        began, given = time.perf_counter(), {"num_samples": self.num_samples, "seed": self.seed}
        found = summary_of(at.trained, data, split, positions, everything=self.all, **given)
        value = self._value(at, source, found)
        lines, text = self._plain(at, data, positions, found), f"{at.name} on {data.name}\n{found.text()}"
        if self.all:
            value |= {"left_out": found.left_out, "seconds": time.perf_counter() - began}
            text += f"\nall metrics\n{found.table_text()}"
        notes = [found.left_out_text()]
        if file is not None:
            write_atomic(file, to_json(plain(value, nonfinite=lambda number: None), indent=2) + b"\n")
            notes.append(f"{file}: these metrics, with their definitions")
        notes.append(found.warnings_text())
        return Result(value=value, text=text, plain=lines, note="\n".join(filter(None, notes)))

    def would(self, at: Call, source: dict[str, Any]) -> DryRun:
        """Say what would be measured."""
        from latens.trained.measurement import NUM_SAMPLES

        draws = self.num_samples or NUM_SAMPLES
        rows = f"{source['rows']} rows of {source['name']} ({source['split']})"
        words = f"measure {at.name} on {rows} with {draws} draws a row"
        return DryRun(words, {"model": at.name, "data": source, "num_samples": draws})

    def _plain(self, at: Call, data: "Dataset", positions: "np.ndarray", found: "Summary") -> tuple[str, ...]:
        """What the numbers come to."""
        from latens.commands._result_lines import result_lines

        lines = result_lines(at.trained, data, positions, found, cells=True)
        if at.run is not None and at.knows(data):
            lines.append(f"Next: latens report {shlex.quote(at.name)}")
        return tuple(line for line in lines if line)

    def _source(self, data: "Dataset", split: str, rows: int) -> dict[str, Any]:
        return {"name": data.name, "split": split, "rows": rows, "fingerprint": data.fingerprint}

    def _value(self, at: Call, source: dict[str, Any], found: "Summary") -> dict[str, Any]:
        config, parameters = at.trained.config, at.trained.num_parameters
        recipe = None if config is None else config.recipe
        return {
            "metrics": found.to_json(),
            "data": {**source, "held_out": found.held_out},
            "model": {"name": at.name, "recipe": recipe, "parameters": parameters},
            "warnings": found.warnings_json(),
            "units": list(found.units),
        }


def _report_file(at: Call, data: "Dataset") -> Path | None:
    """Where the metrics are kept: in the run, of its own data; a ResourceError comes before any work."""
    if at.run is None or not at.knows(data):
        return None
    if not os.access(at.run.path, os.W_OK):
        fix = "Change the permissions, or copy the run; without --all nothing is written."
        raise ResourceError("permission denied.", where=str(at.run.path), fix=fix)
    return at.run.path / "report.json"


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


def compared(at: Call, others: list[Any], given: object, num_samples: int | None, seed: int) -> Work:
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
        opened.append(open_model(name) if isinstance(one, str | Path) else Call(one, name))
        opened[-1].warn = at.warn
    data = _data(opened, given)
    split, positions = held_out_rows(data)
    draws = num_samples or 1000
    source = {"name": data.name, "split": split, "rows": len(positions), "fingerprint": data.fingerprint}
    rows = f"{len(positions)} rows of {data.name} ({split})"
    words = f"compare {len(opened)} runs on {rows}, {draws} draws a row"
    yield DryRun(words, {"runs": names, "data": source, "num_samples": draws})
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
    return Result(value=value, text="\n".join(lines), plain=plain, note=note, warnings=warnings)


def _data(opened: list[Call], given: object) -> "Dataset":
    """The data of the first run that names any; a DataError where another was trained on others."""
    from latens.data import KNOWN

    named = next((each for each in opened if each.run is not None or each.trained.facts.get("data") in KNOWN), None)
    if named is None and given is None:
        raise UsageError("model files contain no rows.", where="RUN", fix="Give at least one run folder, or DATA.")
    named = named or opened[0]
    data = named.load_of(given)
    for each in opened:
        if not each.knows(data):
            what = f"trained on other data, or on another split of them, than {named.name}."
            raise DataError(what, where=each.name, fix="Train both on the same data, with the same data.validation.")
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
