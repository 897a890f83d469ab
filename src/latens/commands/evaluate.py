"""`latens evaluate`: held-out numbers with standard errors, units and protocol; of several runs differences.

Above them stand at most three lines: the headline, the simplest rival, and one more of its kind.
"""

import math
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import np
from latens.commands.base import Call, DryRun, ModelCommand, Result, Seed, Unknown, Work, arg, draws
from latens.errors import DataError, ResourceError, UsageError
from latens.kinds import kind_of
from latens.runtime.atomic import plain, to_json, write_atomic
from latens.runtime.terminal import table

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


if TYPE_CHECKING:
    from latens.data import Dataset
    from latens.evidence import Estimate
    from latens.trained.metrics import Summary
    from latens.trained.trained_model import TrainedModel

RIVALS = {
    "gain_over_independent": "independent {}s",
    "gain_over_genes": "each gene alone",
    "gain_over_bigram": "pairs of tokens, counted",
    "gain_over_seasonal_naive": "the step a season before",
    "gain_over_regression": "a regression on earlier steps",
}
"""What a model is put beside, the simplest first."""
MOST_PICTURES = 200
"""Held-out pictures that are reconstructed."""
SURE = 2.0
"""Standard errors from which on one number is called better than another."""


def result_lines(
    trained: "TrainedModel", data: "Dataset", positions: "np.ndarray", found: "Summary", *, cells: bool
) -> list[str]:
    """What came out, in at most three lines: the headline, the simplest rival, and one more of its kind."""
    # cells: whether there is time to hide cells of a table and fill them in.
    from latens.trained.metrics import headline

    metrics, name = found.metrics, headline(found.metrics)
    rows = f"{metrics[name].n:,} {'unseen' if found.held_out else found.split} rows"
    gain = next((one for one in RIVALS if one in metrics), None)
    if name not in ("log_marginal", "cross_entropy_bound") or gain is None:
        return [f"{found.label(name)} {metrics[name]} on {rows}"]
    value, over = metrics[name], RIVALS[gain].format(found.cells)
    lines = [f"{found.label(name)} {_told(value)} nats a row on {rows}"]
    lines += [f"{over}: {value.value - metrics[gain].value:.2f}, {verdict(metrics[gain])}"]
    if (bits := metrics.get("bits_per_dimension")) is not None:
        lines.append(f"{_told(bits)} bits a {found.cells}")
        lines[-1] += reconstructions(trained, data, positions)
    elif cells and trained.schema.column_types and not trained.is_point:
        lines += hidden_cells(trained, data, positions)
    return lines


def _told(value: "Estimate") -> str:
    """A value with its error over rows, or what it is a bound of."""
    return f"{value.bound} {value.value:.2f}" if value.bound else f"{value.value:.2f} ± {value.standard_error:.2f}"


def verdict(gain: "Estimate") -> str:
    """Whether the model is better by more than its errors, in words."""
    size, error = gain.value, gain.standard_error
    if gain.bound:  # what a model gains at least shows that it is better, and never that it is worse
        shown = math.isfinite(error) and size >= SURE * error
        return f"the model is better by at least {size:.2f}" if shown else "which the bound does not decide"
    if not math.isfinite(error):
        return f"the model {size:+.2f}"
    found = f"{abs(size):.2f} ± {error:.2f}"
    if abs(size) < SURE * error:
        return f"no significant difference ({found})"
    return f"the model is {'better' if size > 0 else 'WORSE'} by {found}"


def reconstructions(trained: "TrainedModel", data: "Dataset", positions: "np.ndarray") -> str:
    """How far reconstructions of pictures are off, and those of PCA with as many components; "" of other rows."""
    from latens.data.dataset import first_rows
    from latens.data.row_fields import every_nth
    from latens.evidence.factors import MOST_ROWS, principal

    if trained.schema.image is None or data.mask is not None or trained.schema.cells.high <= 1:
        return ""
    size, vector = math.prod(trained.latent_shape), trained.parts.posterior.support == "vector"
    if not vector or size >= data.count("train"):
        return ""
    high, train = trained.schema.cells.high, first_rows(data, data.subset("train"), MOST_ROWS)
    chosen = every_nth(positions, MOST_PICTURES)
    x, own = (np.asarray(data.x[at], np.float32).reshape(len(at), -1) for at in (chosen, train))
    made, pca = trained.reconstruct(trained.batch(data, chosen)), principal(own, size)
    away = x - pca.mean
    left = away - away @ pca.directions @ pca.directions.T
    ours, theirs = (float(np.sqrt(np.square(one).mean())) for one in (made.reshape(x.shape) - x, left))
    return f"; reconstructions off by {ours:.1f} of {high:g} levels (PCA with {size} components: {theirs:.1f})"


def hidden_cells(trained: "TrainedModel", data: "Dataset", positions: "np.ndarray") -> list[str]:
    """How well cells of held-out rows are filled in that were hidden at random, over all columns."""
    from latens.trained.cell_scores import hidden

    found, types = hidden(trained, data, positions), trained.schema.column_types
    x, filled, hide = found.true, found.filled, found.cells
    train = np.asarray(data.x[data.subset("train")], np.float64)
    known = np.ones(train.shape, bool) if data.mask is None else np.asarray(data.mask[data.subset("train")])
    right, usual, away, apart = [], [], [], []
    for i, one in enumerate(types):
        at, own = hide[:, i], train[known[:, i], i]
        if not len(own) or not at.any():
            continue
        if one.kind in ("category", "ordinal"):
            values, counts = np.unique(own, return_counts=True)
            right.append(filled[at, i] == x[at, i])
            usual.append(x[at, i] == values[counts.argmax()])
        elif own.std() > 0:
            away.append((filled[at, i] - x[at, i]) / own.std())
            apart.append((own.mean() - x[at, i]) / own.std())
    parts = []
    if right:
        share, other = (100 * np.concatenate(each).mean() for each in (right, usual))
        parts.append(f"right in {share:.0f} % (most frequent value: {other:.0f} %)")
    if away:
        error, other = (np.sqrt(np.square(np.concatenate(each)).mean()) for each in (away, apart))
        parts.append(f"RMSE of numbers {error:.2f} standard deviations (column mean: {other:.2f})")
    return [f"hidden cells: {', '.join(parts)}"] if parts else []


def next_of(trained: "TrainedModel", run: str, minutes: float | None = None) -> str:
    """The commands to type next, a line each; more of these minutes where they ended a training that improved."""
    from latens.trained.measurement import still_rising

    here, more = shlex.quote(run), ""
    if minutes is not None and still_rising(trained.facts):
        more = f"\nlatens resume {here} --minutes {minutes:g}  # validation still improved"
    usual, colour = kind_of(trained.schema).sampled(trained.schema)[1], trained.schema.shape[2:] == (3,)
    if not colour and (many := {".txt": 20, ".png": 64}.get(usual)):  # new photos are blurred: look at codes first
        return f"latens sample {here} -n {many} --out new{usual}{more}"
    return f"latens {f'report {here} --only figures' if trained.preparation.depth else f'explore {here}'}{more}"
