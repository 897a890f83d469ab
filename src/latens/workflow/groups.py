"""Groups of metrics that are computed together, with the conditions under which each applies: the rows of `GROUPS`.

`measure_all` computes every group that applies, and says of the others why they do not: `latens evaluate --all`.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens import evaluation
from latens.config import ClassifierConfig, VAEConfig
from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.schema import image_shape
from latens.data.shapes import FACTORS, known_factors
from latens.errors import LatensError
from latens.evaluation import Estimate, Finding, diagnose
from latens.evaluation.evidence.gaps import inference_gaps
from latens.evaluation.evidence.sandwich import importance_sandwich
from latens.evaluation.latents.decomposition import kl_split
from latens.evaluation.latents.disentanglement_classifiers import disentanglement_scores
from latens.evaluation.latents.latent_fit import latent_fit
from latens.evaluation.latents.representations import representation, trustworthiness
from latens.workflow.measurement import NUM_SAMPLES, headline, measure, measured, still_rising
from latens.workflow.reach import MOST, reach_of
from latens.workflow.sample_sets import OTHER_DATA, SampleSets, compared, in_one_unit, not_its_own, noted, some
from latens.workflow.trained import TrainedModel

MOST_ROWS = 1000
"""Rows of which the KL is split (it costs their square), and whose codes are compared with the prior."""

GAP_ROWS, GAP_SAMPLES = 100, 500
"""Rows whose posterior is refined one by one, and draws for each bound."""

TRAIN_ROWS = 200
"""Training rows whose log p(x) is held against that of the held-out rows."""

CALIBRATION_ROWS = 1000

SANDWICHED_ROWS = 50
"""Rows that the model makes, whose log p(x) is bounded from both sides."""


@dataclass
class Work:
    """One measurement: the model, the rows, and what several groups share."""

    trained: TrainedModel
    data: Dataset
    positions: np.ndarray  # the positions of the rows that are measured, of shape (n,)
    num_samples: int  # samples for each row
    seed: int  # the seed of everything random
    metrics: dict[str, Estimate] = field(default_factory=dict)  # the estimates that are there already, by name

    def __post_init__(self) -> None:
        self.sets = SampleSets(self.trained, self.data, self.positions, self.seed)
        self.classifier = isinstance(self.trained.config, ClassifierConfig)
        self.autoencoder = self.trained.is_point

    def batch(self, most: int) -> Batch:
        """Some of the rows as the model takes them."""
        return self.trained.batch(self.data, some(self.positions, most, self.seed))

    def common(self, number: int) -> dict[str, Any]:
        """The preparation and a key; every group has a key of its own."""
        key = jax.random.fold_in(jax.random.key(self.seed), 100 + number)
        return {"preparation": self.trained.preparation, "key": key}


@dataclass(frozen=True)
class Group:
    """Metrics that are made together."""

    names: tuple[str, ...]  # the names of the metrics
    why_not: Callable[[Work], str]  # says why this model or these rows have none of them; "" where they have
    run: Callable[[Work], dict[str, Estimate]]  # makes the estimates, by name
    partly: str = ""  # why some of the names may be missing


_GREY = "draws of grey cells under a Bernoulli are black and white, unlike the rows"


def _needs_posterior(work: Work) -> str:
    if work.classifier:
        return "a Bayes classifier has no latents"
    return "an autoencoder has no posterior but a point" if work.autoencoder else ""


def _needs_own_draws(work: Work) -> str:
    return _needs_posterior(work) or (_GREY if work.sets.grey else "")


def _needs_labels(work: Work) -> str:
    if work.classifier:
        return "a Bayes classifier has no latents"
    label = work.data.label
    if label is None or not np.any(label[work.positions] >= 0):
        return "the rows have no labels"
    return _needs_equal_rows(work)


def _needs_equal_rows(work: Work) -> str:
    unequal = work.data.weight is not None and np.ptp(work.data.weight[work.positions]) > 0
    return "the methods that look at codes take no row weights" if unequal else ""


def _needs_samples(work: Work) -> str:
    return not_its_own(work.trained, work.data)


def _needs_held_out(work: Work) -> str:
    return _needs_samples(work) or _no_held_out(work)


def _no_held_out(work: Work) -> str:
    trained_on = np.isin(work.positions, work.data.subset("train"))
    return "some of the rows are training rows" if np.any(trained_on) else ""


def _needs_draws_like_rows(work: Work) -> str:
    return _needs_samples(work) or (_GREY if work.sets.grey else "")


def _needs_gap(work: Work) -> str:
    if work.classifier or work.autoencoder:
        return "there is no log p(x) of an autoencoder or a Bayes classifier"
    known = work.data.fingerprint == work.trained.facts.get("fingerprint")
    return _no_held_out(work) if known else OTHER_DATA


def _needs_picture(work: Work) -> str:
    if work.classifier:
        return "a Bayes classifier has no latents"
    return _needs_equal_rows(work) if _codes(work).shape[1] == 2 else "only codes of two numbers are a picture"


def _weights(work: Work) -> dict[str, Estimate]:
    return {}  # `measure` gives them with log p(x), where there are draws enough


def _split(work: Work) -> dict[str, Estimate]:
    found = kl_split(work.trained.model, work.batch(MOST_ROWS), **work.common(1))
    return {name: value for name, value in found.items() if name != "kl"}


def _gaps(work: Work) -> dict[str, Estimate]:
    draws = max(2, min(work.num_samples, GAP_SAMPLES))
    found = inference_gaps(work.trained.model, work.batch(GAP_ROWS), num_samples=draws, **work.common(2))
    return {name: found[name] for name in ("approximation_gap", "amortisation_gap")}


def _latent_fit(work: Work) -> dict[str, Estimate]:
    return latent_fit(work.trained.model, work.batch(MOST_ROWS), **work.common(3))


def _calibration(work: Work) -> dict[str, Estimate]:
    key, cond = work.common(4)["key"], work.sets.conditions(CALIBRATION_ROWS)
    rows = CALIBRATION_ROWS
    return evaluation.simulation_based_calibration(work.trained.model, num_rows=rows, cond=cond, key=key).estimates


def _sandwich(work: Work) -> dict[str, Estimate]:
    key, cond = work.common(6)["key"], work.sets.conditions(SANDWICHED_ROWS)
    draws = max(2, min(work.num_samples, GAP_SAMPLES))
    found = importance_sandwich(work.trained.model, SANDWICHED_ROWS, num_samples=draws, cond=cond, key=key)
    return found.estimates() if np.all(np.isfinite(found.gap)) else {}


def _codes(work: Work) -> np.ndarray:
    codes = evaluation.encode(work.trained.model, work.batch(2000), **work.common(5))["mean"]
    return codes.reshape(len(codes), -1)


def _labels(work: Work) -> dict[str, Estimate]:
    label = work.data.label
    assert label is not None
    return representation(_codes(work), label[some(work.positions, 2000, work.seed)], seed=work.seed)


def _needs_factors(work: Work) -> str:
    reason = _needs_posterior(work) or ("" if known_factors(work.data) is not None else "the factors are not known")
    return reason or _needs_equal_rows(work)


def _factors(work: Work) -> dict[str, Estimate]:
    factors = known_factors(work.data)
    assert factors is not None
    chosen = factors[some(work.positions, 2000, work.seed)]
    return disentanglement_scores(_codes(work), chosen, categorical=(FACTORS.index("form"),), seed=work.seed)


def _picture(work: Work) -> dict[str, Estimate]:
    rows = in_one_unit(work.trained.schema, np.asarray(work.batch(2000).x))
    return {"trustworthiness": trustworthiness(rows, _codes(work), seed=work.seed)}


def _needs_moves(work: Work) -> str:
    config = work.trained.config
    if image_shape(work.trained.schema) is None or len(work.positions) < 2:
        return "the rows are not two or more pictures"
    if work.trained.preparation.classes:
        return "the pictures of a conditional model have one class by condition"
    vector = not isinstance(config, VAEConfig) or work.trained.parts.posterior.support == "vector"
    return "" if vector else "the codes are not vectors that could move in any direction"


def _reach(work: Work) -> dict[str, Estimate]:
    found, made = reach_of(work.trained, work.data, work.positions, work.seed), {}
    for name, what, far in (("picture_reach", "picture", found.picture), ("class_reach", "class", found.label)):
        if far is not None:
            rows = np.median(np.minimum(far, MOST), axis=1)
            how = f"length of a move in z after which the decoded {what} is another, median of {far.shape[1]} random "
            how += f"directions; {np.isinf(far).mean():.1%} of the moves go {MOST:g} far without, and count as that"
            made[name] = Estimate.of(rows, num_samples=1, protocol=how)
            made[name] = replace(made[name], unit="units of z")
    return made


def _samples(work: Work) -> dict[str, Estimate]:
    return compared(work.sets)


def _copies(work: Work) -> dict[str, Estimate]:
    sets, options = work.sets, {"features": work.sets.features, "seed": work.seed}
    return noted(work.sets, evaluation.memorisation(sets.samples, sets.train, sets.rows, **options))


def _modes(work: Work) -> dict[str, Estimate]:
    sets = work.sets
    found = evaluation.dropped_modes(sets.train, sets.samples, features=sets.features, seed=work.seed)
    return noted(work.sets, {"dropped_share": found.estimate})


def _checks(work: Work) -> dict[str, Estimate]:
    sets = work.sets
    schema = work.trained.schema

    def of_columns(function: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
        return lambda rows: function(in_one_unit(schema, rows))

    # Zeros are zeros in the unit of the data alone.
    statistics = {name: f if name == "zeros" else of_columns(f) for name, f in evaluation.STATISTICS.items()}
    found = evaluation.predictive_checks(sets.checked, sets.replicates(), statistics=statistics)
    n, nan = len(sets.checked), float("nan")
    return {
        f"predictive_check_{name}": Estimate(
            check.p_value, nan, check.num_replicates, n, "probability",
            f"two-sided p-value: {check.observed:.4g} in {n} rows, {check.mean:.4g} ± {check.standard_deviation:.2g} "
            f"in {check.num_replicates} data sets drawn from the model",
        )
        for name, check in found.items()
    }  # fmt: skip


def _generalisation(work: Work) -> dict[str, Estimate]:
    held_out = work.metrics[headline(work.metrics)]
    rows = some(work.data.subset("train"), TRAIN_ROWS, work.seed)
    found = measure(work.trained, work.data, rows, num_samples=work.num_samples, seed=work.seed)
    own = found[headline(found)]
    error = float(np.hypot(own.standard_error, held_out.standard_error))
    protocol = f"log p(x) of {len(rows)} training rows minus that of {held_out.n} held-out rows; {own.protocol}"
    gap = Estimate(own.value - held_out.value, error, own.num_samples, held_out.n, protocol=protocol)
    return {"generalisation_gap": gap}


GROUPS: tuple[Group, ...] = (
    Group(("effective_sample_size", "pareto_k"), _needs_posterior, _weights, "too few draws for a tail"),
    Group(
        ("mutual_information", "aggregate_kl", "total_correlation", "dimensionwise_kl"),
        _needs_posterior,
        _split,
        "the units of the posterior or the prior have no densities of their own",
    ),
    Group(("approximation_gap", "amortisation_gap"), _needs_posterior, _gaps),
    Group(("aggregate_mmd", "aggregate_two_sample", "prior_holes"), _needs_posterior, _latent_fit),
    Group(("posterior_coverage", "calibration_p_value"), _needs_own_draws, _calibration),
    Group(
        ("log_marginal_lower", "log_marginal_upper", "log_marginal_gap"),
        _needs_own_draws,
        _sandwich,
        "the posterior has no density at the latents of some rows that the model makes",
    ),
    Group(
        ("linear_probe_accuracy", "nearest_neighbour_accuracy", "kmeans_accuracy", "kmeans_nmi", "kmeans_rand_index"),
        _needs_labels,
        _labels,
    ),
    Group(
        (
            *("mig", "sap", "modularity", "irs", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
            *("factor_vae_score", "beta_vae_score", "explicitness"),
        ),
        _needs_factors,
        _factors,
    ),
    Group(("trustworthiness",), _needs_picture, _picture),
    Group(
        ("picture_reach", "class_reach"),
        lambda work: _needs_posterior(work) or _needs_moves(work),
        _reach,
        "the rows have no labels of two classes",
    ),
    Group(
        ("precision", "recall", "density", "coverage", "frechet_distance", "kernel_distance", "two_sample_accuracy"),
        _needs_samples,
        _samples,
    ),
    Group(("memorisation", "copied_share"), _needs_held_out, _copies),
    Group(("dropped_share",), _needs_samples, _modes),
    Group(tuple(f"predictive_check_{name}" for name in evaluation.STATISTICS), _needs_draws_like_rows, _checks),
    Group(("generalisation_gap",), _needs_gap, _generalisation),
)
"""What is measured beside the numbers of `measure`, in this order."""


@dataclass
class Everything:
    """All that `measure_all` found."""

    metrics: dict[str, Estimate] = field(default_factory=dict)  # the estimates by name
    left_out: dict[str, str] = field(default_factory=dict)  # why other metrics were left out, by name
    findings: tuple[Finding, ...] = ()  # what the metrics say is wrong
    # the table of latent dimensions, as `unit_table` gives it
    units: list[dict[str, Any]] = field(default_factory=list)
    grey: bool = False  # whether the pixels are grey under a Bernoulli, so that log p(x) is a cross-entropy


def measure_all(
    trained: TrainedModel,
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None = None,
    seed: int = 0,
    only: Collection[str] | None = None,
) -> Everything:
    """Measure what `measure` does and, in the order of `GROUPS`, all else that applies to the rows at `positions`."""
    # That is: where the KL goes, gaps of inference, the aggregated posterior against the prior, calibration, codes
    # against labels, samples against rows, predictive checks, copies and dropped modes, and training rows against
    # held-out rows. Large data are subsampled, as each protocol says.
    # num_samples: samples for each row for log p(x); None as in `measure`.
    # only: names of metrics: these, and those that are made together with them, beside what `measure` gives; None is
    # all.
    work = Work(trained, data, positions, num_samples or NUM_SAMPLES, seed)
    first = measured(trained, data, positions, num_samples=num_samples, seed=seed)
    found = Everything(metrics=first.metrics, units=first.units, grey=first.grey)
    work.metrics, work.num_samples = found.metrics, found.metrics[headline(found.metrics)].num_samples
    for group in GROUPS if only is None else [group for group in GROUPS if set(only) & set(group.names)]:
        if all(name in found.metrics for name in group.names):
            continue
        reason = group.why_not(work)
        began = time.perf_counter()
        made: dict[str, Estimate] = {}
        if not reason:
            try:
                made = group.run(work)
            except LatensError as error:  # the parts of latens say what a model lacks for a number
                reason = error.message.rstrip(".")
        missing = (name for name in group.names if name not in made and name not in found.metrics)
        found.left_out |= dict.fromkeys(missing, reason or group.partly)
        seconds = time.perf_counter() - began
        found.metrics |= {name: replace(value, seed=seed, seconds=seconds) for name, value in made.items()}
    units = found.units if "active_units" in found.metrics else []
    found.findings = diagnose(found.metrics, units, rising=still_rising(trained.facts))
    return found
