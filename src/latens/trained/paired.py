"""Models against each other on the same rows: paired differences with their intervals, never two bare numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset, load
from latens.data.row_fields import MEASURED, every_nth
from latens.errors import ConfigError, DataError, RunFolderError, UsageError
from latens.evidence.estimate import Estimate
from latens.predictive.classes import class_log_joint
from latens.recipes import as_split
from latens.runtime.atomic import as_path
from latens.runtime.compilation import check_count
from latens.runtime.terminal import table
from latens.trained.inputs import has_likelihood, model_file, positions_of
from latens.trained.measurement import Measurement, of_one_class, what_density
from latens.trained.metrics import headline, over_draws
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later

LEVEL = 0.95

_NAN = float("nan")


@dataclass(frozen=True)
class PairedRows:
    """One figure for every row, which stands for a model."""

    name: str  # the name of the metric
    rows: np.ndarray  # its value for each row, of shape (n,), in `unit`
    num_samples: int  # samples for each row
    what: str  # what it is a density of; "" where that is plain
    protocol: str  # how it was made, in words
    unit: str = "nats"
    draws_error: float | None = None  # what the draws may make their mean wrong by, as of `Estimate`
    at_least: float | None = None  # as of `Estimate`


@dataclass(frozen=True)
class Interval:
    """A number with its two-sided interval at `LEVEL` (Student's t)."""

    value: float  # in the unit of the metric; NaN where two models have no seed in common
    low: float  # the lower end; NaN where one seed tells nothing
    high: float
    over: str = "seeds"  # what it is an interval over: "seeds" or "rows"
    estimate: Estimate | None = None  # of an interval over rows the number with its standard error

    def to_json(self) -> dict[str, Any]:
        """The interval as plain values."""
        value, low, high = (None if math.isnan(each) else each for each in (self.value, self.low, self.high))
        known = {"value": value, "low": low, "high": high, "level": LEVEL, "over": self.over}
        return known if self.estimate is None else {**self.estimate.to_json(), **known}


@dataclass(frozen=True)
class Run:
    """One training of a model, with one seed."""

    estimate: Estimate  # its number with its standard error over rows
    rows: PairedRows | None = None  # its number for every row; None where only the mean is known
    weight: np.ndarray | None = None  # how often each row counts, shape (n,); None for all alike


@dataclass(frozen=True)
class Contestant:
    """One model of a contest."""

    name: str
    runs: Mapping[int, Run]  # its runs by seed
    mean: Interval  # the mean over seeds with its interval over seeds
    estimate: Estimate  # the same mean with its standard error over rows
    difference: Interval | None  # that mean minus the best model's, paired; None for the best
    options: Mapping[str, Any] = field(default_factory=dict)  # what it differs from the others in, by option

    def to_json(self) -> dict[str, Any]:
        """The model as plain values."""
        return {
            "name": self.name,
            "options": dict(self.options),
            "mean": self.mean.to_json(),
            "standard_error_over_rows": self.estimate.standard_error,
            "draws_error": self.estimate.draws_error,
            "minus_best": None if self.difference is None else self.difference.to_json(),
            "seeds": {str(seed): run.estimate.value for seed, run in self.runs.items()},
        }


@dataclass(frozen=True)
class Contest:
    """Models against each other, from the best on."""

    metric: str  # the name of the metric
    unit: str
    protocol: str  # how it was made, in words
    models: tuple[Contestant, ...]

    def to_json(self) -> dict[str, Any]:
        """The contest as plain values."""
        about = {"metric": self.metric, "unit": self.unit, "protocol": self.protocol}
        return {**about, "best": self.models[0].name, "models": [each.to_json() for each in self.models]}

    def table(self) -> str:
        """The models, best first, with intervals."""
        return table(self.cells())

    def cells(self) -> list[tuple[str, ...]]:
        """The cells of that table, titles first, without columns that have no entry."""
        options = list(dict.fromkeys(name for each in self.models for name in each.options))
        titles = ("model", *(name.rpartition(".")[2] for name in options), "mean", "95 % interval", "error over rows")
        titles, rows = (*titles, "over draws", "minus the best", "95 % interval"), []
        places = _places(self.models)
        for each in self.models:
            values = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in each.options.values()]
            error = each.estimate.standard_error
            errors = (f"± {error:.{places}f}" if error > 0 else "", over_draws(each.estimate, places))
            mean = (f"{each.mean.value:.{places}f}", _ends(each.mean, places))
            rows.append((each.name, *values, *mean, *errors, *_behind(each.difference, places)))
        kept = [i for i in range(len(titles)) if any(row[i] for row in rows)]
        return [tuple(row[i] for i in kept) for row in (titles, *rows)]


@checked_later
def compare(
    models: Mapping[str, Any], data: Any, *, positions: np.ndarray | None = None, num_samples: int = 100, seed: int = 0
) -> Contest:
    r"""Compare models on the same rows, and on the same seeds where each was trained with several.

    The number of a model is the mean over rows of log p(x), or of what stands for it (`latens evaluate`). Models are
    paired row by row: what is hard for all of them cancels. With several seeds the difference of two is
    $\bar d \pm t_{n-1} s_d / \sqrt n$ of the n differences of the seeds; with one seed, of those of the rows.

    Args:
        models: Name -> a fitted estimator, a `TrainedModel`, a run folder or a file; or a list of them, one of each
            seed, in the same order of seeds for all names.
        data: Rows that no model has seen: a `Dataset`, or what `latens.read` takes, as an array of shape (n, columns).
        positions: The positions of the rows that are taken, shape (m,). None: all rows.
        num_samples: Draws of z for each row, from 1.
        seed: Seed of these draws, which all models share.

    Returns:
        The models, best first, with `.table()` and `.models`.

    Raises:
        ConfigError: The numbers of two models cannot be subtracted: their likelihoods are of another kind.
        DataError: The rows are not those of a model.
        UsageError: There are fewer than two models.

    Examples:
        >>> import latens
        >>> X = np.random.default_rng(0).normal(size=(60, 4))
        >>> small, large = (latens.VAE(n, steps=5, random_state=0).fit(X[:40]) for n in (1, 2))
        >>> found = latens.trained.compare({"small": small, "large": large}, X[40:], num_samples=5)
        >>> [each.difference is None for each in found.models]
        [True, False]
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        what = "a comparison needs two models or more, by name."
        raise UsageError(what, where="models", fix='Give for example {"small": vae, "large": other}.')
    count = check_count(num_samples, "num_samples")
    found: dict[str, dict[int, Run]] = {}
    read: Dataset | None = data if isinstance(data, Dataset) else None
    opened: list[tuple[str, TrainedModel, Dataset, np.ndarray]] = []
    for name, given in models.items():
        each = list(given) if isinstance(given, list | tuple) else [given]
        if not each:
            raise UsageError(f"there is no model {name!r}.", where="models", fix="Give one for each seed.")
        for trained in map(_opened, each):
            if read is None or (read is not data and read.schema != trained.schema):
                read = load(data, schema=trained.schema)
            opened.append((str(name), trained, read, positions_of(positions, len(read))))
    refuse_other_kinds(opened)
    measured = [per_row(trained, read, chosen, count, seed) for _, trained, read, chosen in opened]
    for (name, _, read, chosen), numbers in zip(opened, measured):
        runs = found.setdefault(name, {})
        weight = None if read.weight is None else read.weight[scored(read, chosen, numbers)]
        runs[len(runs)] = Run(estimate_of(numbers, weight, seed), numbers, weight)
    first = measured[0]
    return Contest(first.name, first.unit, first.protocol, ranked(found))


def per_row(
    trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"], num_samples: int, seed: int
) -> PairedRows:
    """The metric that stands for a model, for every row."""
    batch = trained.batch(data, positions)
    if isinstance(trained.config, ClassifierConfig) and not trained.schema.classes:
        rows, protocol = of_one_class(trained, batch)
        return PairedRows("log_marginal", rows.astype(np.float64), 1, what_density(trained), protocol)
    if isinstance(trained.config, ClassifierConfig):
        label = np.full(len(positions), -1) if batch.label is None else np.asarray(batch.label)
        if not np.any(label >= 0):
            what = "there are no labels to compare with."
            raise DataError(what, where=data.name, fix="Name their column: --label NAME.")
        known = trained.batch(data, positions[label >= 0])
        said = class_log_joint(trained.rows(known)).argmax(axis=1)
        words = "share of rows given their own class"
        return PairedRows("accuracy", (said == label[label >= 0]).astype(np.float64), 1, "", words, "accuracy")
    weight = None if data.weight is None else data.weight[positions]
    if not has_likelihood(trained):
        what = "a model without a likelihood has no number for each row, and runs are compared row by row."
        raise ConfigError(what, where="recipe", fix="`latens evaluate` compares its samples with rows of its data.")
    work = Measurement(trained, data, batch, weight, num_samples, jax.random.key(seed))
    if trained.is_point:
        work.autoencoder()
    else:
        work.evidence()
    name = headline(work.found)
    found, rows = work.found[name], work.rows.astype(np.float64)
    protocol = found.protocol if work.marginals is None else work.marginals.protocol
    errors = (found.draws_error, found.at_least)
    return PairedRows(name, rows, work.num_samples or 1, work.what, protocol, found.unit, *errors)


def scored(data: Dataset, positions: Shaped[np.ndarray, " n"], rows: PairedRows) -> np.ndarray:
    """Find the rows that were scored: of a classifier those with a label."""
    if rows.name != "accuracy":
        return positions
    label = data.seen_label
    assert label is not None
    return positions[label[positions] >= 0]


def _number_of(trained: TrainedModel, data: Dataset, positions: np.ndarray) -> tuple[str, str]:
    """The name of the metric that stands for a model, and what it is a density of; nothing is measured."""
    if isinstance(trained.config, ClassifierConfig):
        return ("accuracy", "") if trained.schema.classes else ("log_marginal", what_density(trained))
    work = Measurement(trained, data, trained.batch(data, positions[:1]), None, 1, jax.random.key(0))
    name = "cross_entropy_bound" if work.grey else "log_marginal"
    return "log_likelihood" if trained.is_point else name, work.what


def refuse_other_kinds(found: list[tuple[str, TrainedModel, Dataset, np.ndarray]]) -> None:
    """Refuse models of which the number of one is not of the kind of the first."""
    (first_name, first), *others = ((one[0], _number_of(one[1], one[2], one[3])) for one in found)
    for name, number in others:
        if number == first:
            continue
        stored, both = "probability of the cells as they are stored", ((first_name, first), (name, number))
        kinds = [f"{of}: {metric}, {what.removesuffix('; ') or stored}" for of, (metric, what) in both]
        raise ConfigError(
            f"these numbers cannot be subtracted: {'; '.join(kinds)}.",
            where=name,
            fix="Compare runs with the same data.binarize, data.dequantize, label and kind of likelihood. "
            "Of models of the same data, compare the bits_per_dimension of `latens evaluate`.",
        )


def estimate_of(rows: PairedRows, weight: Shaped[np.ndarray, " n"] | None, seed: int | None = None) -> Estimate:
    """The mean of one figure for every row, with its errors over rows and over draws."""
    found = Estimate.of(rows.rows, num_samples=rows.num_samples, protocol=rows.protocol, weight=weight)
    found = replace(found, unit=rows.unit, seed=seed)
    return found if rows.draws_error is None else found.with_draws_error(rows.draws_error, rows.at_least)


def interval_of(
    rows: PairedRows, best: PairedRows, weight: Shaped[np.ndarray, " n"] | None, seed: int | None, best_name: str
) -> Interval:
    """The values of one model minus those of the best, over the same rows, with an interval."""
    from scipy.stats import t

    both = [one.draws_error for one in (rows, best) if one.draws_error is not None and np.isfinite(one.draws_error)]
    protocol = f"minus {best_name}, paired over {len(rows.rows)} rows; {rows.protocol}"
    gap = replace(rows, rows=rows.rows - best.rows, protocol=protocol, at_least=None)
    known = float(np.hypot(both[0], both[1])) if len(both) == 2 else None
    found = estimate_of(replace(gap, draws_error=known), weight, seed)
    wide = float(t.ppf(0.5 + LEVEL / 2, found.n - 1)) * found.standard_error if found.n > 1 else _NAN
    return Interval(found.value, found.value - wide, found.value + wide, "rows", found)


def ranked(
    found: Mapping[str, Mapping[int, Run]], options: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Contestant, ...]:
    """Put models against each other, best first, each with one run a seed."""
    means = {name: over_seeds([run.estimate.value for run in runs.values()]) for name, runs in found.items()}
    order, made = sorted(found, key=lambda name: -means[name].value), []
    for name in order:
        gap = None if name == order[0] else _difference(found[name], found[order[0]], order[0])
        given = {} if options is None else options[name]
        made.append(Contestant(name, found[name], means[name], _over_rows(list(found[name].values())), gap, given))
    return tuple(made)


def over_seeds(values: Sequence[float] | np.ndarray) -> Interval:
    r"""The mean of one value a seed, with its interval $\bar v \pm t_{n-1} s / \sqrt n$; NaN for one seed.

    Examples:
        >>> found = over_seeds([1.0, 2.0, 3.0])
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (2.0, -0.484, 4.484)
    """
    from scipy.stats import t

    values = np.asarray(values, np.float64)
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, _NAN, _NAN)
    wide = float(t.ppf(0.5 + LEVEL / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - wide, mean + wide)


def _opened(given: object) -> TrainedModel:
    """The model itself of whatever stands for one."""
    if isinstance(given, str | Path):
        return TrainedModel.load(model_file(str(given)))
    trained = getattr(given, "model_", given)
    if not isinstance(trained, TrainedModel):
        what = f"a {type(given).__name__} is not a fitted model."
        raise ConfigError(what, where="models", fix="Fit it first, or give the path of a run or a model file.")
    return trained


def _over_rows(runs: Sequence[Run]) -> Estimate:
    """The mean over seeds of each row, over rows; without values of rows, the runs' mean error."""
    known = [run.rows for run in runs if run.rows is not None]
    if len(known) < len(runs):
        first = runs[0].estimate
        value, error = (
            float(np.mean([getattr(run.estimate, name) for run in runs])) for name in ("value", "standard_error")
        )
        return replace(first, value=value, standard_error=error)
    each: dict[str, Any] = {"rows": np.mean([rows.rows for rows in known], axis=0)}
    for name in ("draws_error", "at_least"):  # what one lacks is about what the others lack
        errors = [getattr(rows, name) for rows in known]
        each[name] = None if None in errors else float(np.mean(errors))
    return estimate_of(replace(known[0], **each), runs[0].weight, runs[0].estimate.seed)


def _difference(runs: Mapping[int, Run], best: Mapping[int, Run], best_name: str) -> Interval:
    """A model minus the best: paired by the seeds that both have, or by rows where that is one seed."""
    both = [seed for seed in runs if seed in best]
    if not both:
        return Interval(_NAN, _NAN, _NAN)
    gaps = [runs[seed].estimate.value - best[seed].estimate.value for seed in both]
    one, other = runs[both[0]], best[both[0]]
    if len(gaps) > 1 or one.rows is None or other.rows is None:
        return over_seeds(gaps)
    return interval_of(one.rows, other.rows, one.weight, one.estimate.seed, best_name)


def _behind(gap: Interval | None, places: int) -> tuple[str, str]:
    if gap is None:
        return "best", ""
    return ("no seed in common", "") if math.isnan(gap.value) else (f"{gap.value:.{places}f}", _ends(gap, places))


def _places(models: Sequence[Contestant]) -> int:
    """Digits after the point: two figures of the narrowest half of an interval, or of the least error over rows."""
    told = [part for each in models for part in (each.mean, each.difference) if part is not None]
    halves = [(part.high - part.low) / 2 for part in told]
    known = [size for size in halves if size > 0] or [
        each.estimate.standard_error for each in models if each.estimate.standard_error > 0
    ]
    return min(6, max(0, 1 - math.floor(math.log10(min(known))))) if known else 2


def _ends(found: Interval, places: int) -> str:
    return "" if math.isnan(found.low) else f"[{found.low:.{places}f}, {found.high:.{places}f}]"


if TYPE_CHECKING:
    from optuna import Study  # pyright: ignore[reportMissingImports]

TRIAL = "trial-{:04d}"
"""The folder of a trial."""


def optuna() -> ModuleType:
    """Import Optuna."""
    try:
        import optuna as module  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError("Optuna is not installed.", where="latens sweep", fix="pip install 'latens[sweep]'") from None
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def study_of(folder: Path, **options: Any) -> "Study":
    """Open the study in a folder's journal; with options of `optuna.create_study` it is made where there is none."""
    storages, journal = optuna().storages, folder / "journal.log"
    if not options and not journal.is_file():
        fix = "`latens sweep DATA --set OPTION=A,B --trials N --out FOLDER` makes one."
        raise RunFolderError("there is no sweep.", where=str(folder), fix=fix)
    storage = storages.JournalStorage(storages.journal.JournalFileBackend(str(journal)))
    given = {"study_name": "latens", "direction": "maximize", "load_if_exists": True}
    return optuna().create_study(storage=storage, **given, **options)


def load_sweep(folder: str | Path) -> Contest:
    """Read the trials of a sweep that came to their end, from its folder, also while others are trained.

    Args:
        folder: The folder that `latens sweep --out FOLDER` wrote.

    Returns:
        The trials, best first; `.table()` writes them.

    Raises:
        ConfigError: Optuna is not installed, or trials are measured by other numbers than the rest.
        RunFolderError: There is no sweep, or none of its trials came to its end.
    """
    path = as_path(folder, "folder")
    done = [trial for trial in study_of(path).trials if trial.state.name == "COMPLETE"]
    kinds = {tuple(trial.user_attrs["metric"]) for trial in done}
    if len(kinds) != 1:
        what = "its trials have numbers of several kinds." if kinds else "no trial of the sweep came to its end."
        fix = "Let trials differ in neither data.* nor the kind of likelihood." if kinds else "Let it train on."
        raise (ConfigError if kinds else RunFolderError)(what, where=str(path), fix=fix)
    found: dict[str, dict[int, Run]] = {}
    for trial in done:
        seeds = trial.user_attrs["seeds"]
        found[TRIAL.format(trial.number)] = {int(seed): Run(Estimate(**fields)) for seed, fields in seeds.items()}
    options = {TRIAL.format(trial.number): dict(sorted(trial.params.items())) for trial in done}
    metric, unit, _, protocol = next(iter(kinds))
    return Contest(metric, unit, protocol, ranked(found, options))


def measured(run: Path, data: Dataset, num_samples: int) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Measure a run on the validation rows, as `latens evaluate` measures test rows."""
    trained = TrainedModel.load(run / "model.safetensors")
    assert trained.config is not None
    data = as_split(trained.config, data)
    positions = every_nth(data.subset("validation"), MEASURED)
    found = per_row(trained, data, positions, num_samples, 0)
    weight = None if data.weight is None else data.weight[scored(data, positions, found)]
    return (found.name, found.unit, found.what, found.protocol), vars(estimate_of(found, weight, 0))
