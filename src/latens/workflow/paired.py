"""Models against each other on the same rows: paired differences with their intervals, never two bare numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.errors import ConfigError, DataError
from latens.evaluation import Estimate
from latens.evaluation.classes import class_log_joint
from latens.workflow.inputs import has_likelihood
from latens.workflow.measurement import Measurement, of_one_class, what_density
from latens.workflow.metrics import headline
from latens.workflow.trained import TrainedModel

LEVEL = 0.95


@dataclass(frozen=True)
class Rows:
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
class Difference:
    """A paired difference with its two-sided interval (Student's t, n - 1 degrees of freedom)."""

    estimate: Estimate  # the mean difference, with its standard error
    low: float  # the lower end of the interval at `LEVEL`, in the unit of the estimate
    high: float

    @property
    def standard_errors(self) -> float:
        """The difference in its standard errors; NaN where these are 0 or unknown."""
        error = self.estimate.standard_error
        return self.estimate.value / error if error > 0 else float("nan")

    def to_json(self) -> dict[str, Any]:
        """The difference as plain values: the estimate, and its interval with the level."""
        interval = {"level": LEVEL, "low": self.low, "high": self.high, "standard_errors": self.standard_errors}
        return {**self.estimate.to_json(), **interval}


@dataclass(frozen=True)
class Compared:
    """One model of a comparison."""

    name: str  # the name of the model
    trained: TrainedModel
    estimate: Estimate
    difference: Difference | None  # that metric minus the best model's over the same rows; None for the best itself


@dataclass(frozen=True)
class Comparison:
    """Models against each other, from the best on."""

    metric: str  # the name of the metric
    unit: str
    protocol: str  # how it was made, in words
    models: tuple[Compared, ...]  # the models, from the best on


def compare(
    models: Sequence[tuple[str, TrainedModel]],
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Every model on the rows at `positions`, and each minus the best over these rows."""
    # The metric is the first that a model has of log p(x), a cross-entropy bound, accuracy and (autoencoders) log p(x |
    # z). All models see the same rows with the same keys, so that what is hard for all of them cancels. The intervals
    # hold for other rows of the same kind, and for these trained models: not for other seeds of training.
    if len({name for name, _ in models}) < max(2, len(models)):
        raise ConfigError("these are not two or more models with different names.", where="models", fix="Rename them.")
    found = [(name, trained, per_row(trained, data, positions, num_samples, seed)) for name, trained in models]
    refuse_other_kinds(found)
    weight = None if data.weight is None else data.weight[scored(data, positions, found[0][2])]
    mean = {name: estimate_of(rows, weight, seed) for name, _, rows in found}
    ordered = sorted(found, key=lambda entry: -mean[entry[0]].value)
    best_name, _, best = ordered[0]
    compared = []
    for name, trained, rows in ordered:
        gap = None if name == best_name else interval_of(rows, best, weight, seed, best_name)
        compared.append(Compared(name, trained, mean[name], gap))
    return Comparison(best.name, best.unit, best.protocol, tuple(compared))


def per_row(
    trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"], num_samples: int, seed: int
) -> Rows:
    """The metric that stands for a model, for every row."""
    batch = trained.batch(data, positions)
    if isinstance(trained.config, ClassifierConfig) and not trained.schema.classes:
        rows, protocol = of_one_class(trained, batch)
        kind = what_density(trained, trained.schema.kind)
        return Rows("log_marginal", rows.astype(np.float64), 1, kind, protocol)
    if isinstance(trained.config, ClassifierConfig):
        label = np.full(len(positions), -1) if batch.label is None else np.asarray(batch.label)
        if not np.any(label >= 0):
            what = "there are no labels to compare with."
            raise DataError(what, where=data.name, fix="Name their column: --label NAME.")
        known = trained.batch(data, positions[label >= 0])
        said = class_log_joint(trained.rows(known)).argmax(axis=1)
        words = "share of rows given their own class"
        return Rows("accuracy", (said == label[label >= 0]).astype(np.float64), 1, "", words, "accuracy")
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
    return Rows(name, rows, work.num_samples or 1, work.what, protocol, found.unit, *errors)


def scored(data: Dataset, positions: Shaped[np.ndarray, " n"], rows: Rows) -> np.ndarray:
    """Find the rows that were scored: of a classifier those with a label."""
    if rows.name != "accuracy":
        return positions
    label = data.seen_label
    assert label is not None
    return positions[label[positions] >= 0]


def refuse_other_kinds(found: list[tuple[str, TrainedModel, Rows]]) -> None:
    """Refuse numbers of which one is not of the kind of the first."""
    first_name, _, first = found[0]
    for name, _, rows in found[1:]:
        if (rows.name, rows.what) == (first.name, first.what):
            continue
        kinds = (f"{first_name}: {_kind(first)}", f"{name}: {_kind(rows)}")
        raise ConfigError(
            f"these numbers cannot be subtracted: {kinds[0]}; {kinds[1]}.",
            where=name,
            fix="Compare runs with the same data.binarize, data.dequantize, label and kind of likelihood; "
            "bits_per_dimension of `latens evaluate` holds whole numbers and dequantised ones to one scale.",
        )


def _kind(rows: Rows) -> str:
    what = rows.what.removesuffix("; ") or "probability of the cells as they are stored"
    return f"{rows.name}, {what}"


def estimate_of(rows: Rows, weight: Shaped[np.ndarray, " n"] | None, seed: int | None = None) -> Estimate:
    """The mean of one figure for every row, with its errors over rows and over draws."""
    found = Estimate.of(rows.rows, num_samples=rows.num_samples, protocol=rows.protocol, weight=weight)
    found = replace(found, unit=rows.unit, seed=seed)
    return found if rows.draws_error is None else found.with_draws_error(rows.draws_error, rows.at_least)


def interval_of(
    rows: Rows, best: Rows, weight: Shaped[np.ndarray, " n"] | None, seed: int, best_name: str
) -> Difference:
    """The values of one model minus those of the best, over the same rows, with an interval."""
    # weight: how often each row counts; None for all alike.
    from scipy.stats import t

    both = [one.draws_error for one in (rows, best) if one.draws_error is not None and np.isfinite(one.draws_error)]
    protocol = f"minus {best_name}, paired over {len(rows.rows)} rows; {rows.protocol}"
    gap = replace(rows, rows=rows.rows - best.rows, protocol=protocol, at_least=None)
    known = float(np.hypot(both[0], both[1])) if len(both) == 2 else None
    found = estimate_of(replace(gap, draws_error=known), weight, seed)
    wide = float(t.ppf(0.5 + LEVEL / 2, found.n - 1)) * found.standard_error if found.n > 1 else float("nan")
    return Difference(found, found.value - wide, found.value + wide)
