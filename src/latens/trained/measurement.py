"""From a trained model and rows to its metrics, each with its error, its unit and how it was made."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from latens.config import ClassifierConfig, VAEConfig
from latens.data import Dataset, prepare_batch
from latens.data.conditions import GIVEN
from latens.data.dataset import Batch, first_rows
from latens.data.infer import MOST_MEASURED
from latens.data.mapped import few, take
from latens.data.schema import is_series
from latens.distributions import log_prob
from latens.errors import DataError, DivergedError
from latens.evidence.baseline import independent_baseline
from latens.evidence.batched import map_rows, prepared_rows
from latens.evidence.estimate import Estimate, shares
from latens.evidence.factors import MOST_ROWS, MOST_VALUES, gaussian_baseline
from latens.evidence.importance import BLIND_DRAWS, LogMarginals, RowNumbers, as_log_marginals, row_numbers
from latens.evidence.rivals import depth_baseline, fit_window, series_baselines
from latens.kinds import kind_of
from latens.kinds.counts.sparse import SparseRows
from latens.latents.codes import active_units, encode, level_shapes
from latens.latents.decomposition import level_kl_rows
from latens.latents.disentanglement import (
    cluster_probabilities,
    has_clusters,
    label_probabilities,
    matched,
    predicts_labels,
)
from latens.models import CodeHead, StateSpaceModel
from latens.predictive.classes import accuracy, class_log_joint
from latens.recipes.custom_parts import OWN
from latens.recipes.likelihoods import LIKELIHOODS
from latens.runtime import random_keys
from latens.trained.inputs import has_likelihood, is_grey
from latens.trained.metrics import Finding, with_units
from latens.trained.sample_sets import SampleSets, compared, not_its_own
from latens.trained.trained_model import TrainedModel
from latens.typing import AnyArray, Array, Cond, Key, Mask, PyTree

NUM_SAMPLES = 1000
"""Draws a row, where nobody says how many."""

LEVEL_SAMPLES = 16
"""Draws a row for the KL of each level."""

MOST_CELLS = 2**14
"""Values of a row above which it has no Gaussian to be compared with."""

MOST_DOUBLINGS, MOST_DECODED = 3, 10_000_000
"""Draws a row are doubled so often at most, and to so many draws of all rows together."""

GAUSSIAN = "gain_over_gaussian"

_OF_LOG_P = {"gain_over_": math.inf, "nats_per_": math.inf, "bits_per_": -math.inf}
"""What is a lower or an upper bound, too, where log p(x) is a lower one, by how its name starts."""


@dataclass
class Measured:
    """What a measurement gives."""

    metrics: dict[str, Estimate]  # the estimates by name
    units: list[dict[str, Any]] = field(default_factory=list)  # the table of latent dimensions, as `unit_table` has it
    grey: bool = False  # whether the pixels are grey under a Bernoulli, so that log p(x) is a cross-entropy
    left_out: dict[str, str] = field(default_factory=dict)  # why numbers of `measure_all` were left out, by name
    findings: tuple[Finding, ...] = ()  # what the numbers of `measure_all` say is wrong


def measured(
    trained: TrainedModel,
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None = None,
    seed: int = 0,
) -> Measured:
    """The metrics of a model on the rows at `positions`, and what else is found on the way."""
    # The rows of METRICS that are made by "measure" say which; docs/evaluate.md says what each can tell. `log_marginal`
    # is a lower bound in expectation, whose `draws_error` is what it may still lack; of a quantised model it is the
    # bound at the one code of x. A conditional model's log p(x) is log p(x | label), and its protocol says so.
    # num_samples: samples for each row; None for 1000, doubled up to three times where log p(x) still rises with them
    # by more than half of its error.
    batch = trained.batch(data, positions)
    weight = None if data.weight is None else data.weight[positions]
    if isinstance(trained.config, ClassifierConfig):
        began = time.perf_counter()
        if trained.schema.classes:
            name, estimate = "accuracy", accuracy(trained.rows(batch))
        else:
            rows, protocol = of_one_class(trained, batch)
            name, estimate = "log_marginal", Estimate.of(rows, num_samples=1, protocol=protocol, weight=weight)
        return Measured({name: replace(estimate, seed=seed, seconds=time.perf_counter() - began)})
    if not has_likelihood(trained):
        return Measured(_of_samples(trained, data, positions, seed))
    work = Measurement(trained, data, batch, weight, num_samples, random_keys.of_seed(seed))
    if trained.is_point:
        work.autoencoder()
        table = unit_table(trained, batch, weight)
    else:
        table = unit_table(trained, batch, weight, work.evidence().codes)
        work.units(table)
        work.by_level()
        work.classes()
        if work.family and data.fingerprint == trained.facts.get("fingerprint"):
            work.gain(data)
    return Measured(with_units(work.found, seed=seed), table, work.grey)


def of_one_class(trained: TrainedModel, batch: Batch) -> tuple[np.ndarray, str]:
    """The log density of every row under a classifier that was fitted without labels, and its protocol in words."""
    rows = class_log_joint(trained.rows(batch))[:, 0]
    return rows, f"{what_density(trained)}exact, one density of all rows"


def _of_samples(trained: TrainedModel, data: Dataset, positions: np.ndarray, seed: int) -> dict[str, Estimate]:
    """What there is to measure where there is no likelihood: samples against rows."""
    if reason := not_its_own(trained, data):
        what = f"a {trained.config.recipe if trained.config else 'model'} has no likelihood, and {reason}."
        raise DataError(what, where=data.name, fix="Measure it on its own data: its samples are compared with them.")
    began = time.perf_counter()
    found = compared(SampleSets(trained, data, positions, seed))
    seconds = time.perf_counter() - began
    return {name: replace(value, seed=seed, seconds=seconds) for name, value in found.items()}


def still_rising(facts: Mapping[str, Any]) -> bool:
    """Whether training ended with its budget while its last validation was its best, by the facts in a model file."""
    steps = facts.get("steps")
    return (
        facts.get("stopped_because") in ("budget", "minutes") and steps is not None and steps == facts.get("best_step")
    )


def unit_table(
    trained: TrainedModel,
    batch: Batch,
    weight: Shaped[np.ndarray, " B"] | None = None,
    codes: Mapping[str, np.ndarray] | None = None,
) -> list[dict[str, Any]]:
    """Every latent dimension with its mean KL, the variance of its posterior mean, and whether it is active."""
    # returns: a dictionary for each latent dimension with `unit`, `kl` in nats (None where it has none of its own),
    # `variance` and `active`; none for models without latents.
    if not hasattr(trained.model, "posterior"):
        return []
    if codes is None:
        codes = encode(trained.rows(batch, key=random_keys.of_seed(0)))
    means = codes["mean"].reshape(len(codes["mean"]), -1)
    # The KL of a joint posterior is one number a row, not one a unit.
    by_unit = "kl" in codes and codes["kl"].size == means.size
    share = shares(weight, len(means))
    divergence = share @ codes["kl"].reshape(means.shape).astype(np.float64) if by_unit else [None] * means.shape[1]
    variance = share @ (means - share @ means.astype(np.float64)) ** 2
    return [
        {"unit": i, "kl": None if kl is None else float(kl), "variance": float(variance), "active": bool(active)}
        for i, (kl, variance, active) in enumerate(zip(divergence, variance, active_units(means, weight=weight)))
    ]


class Measurement:
    """One measurement while it runs; `found` holds its metrics, `rows` what the headline is the mean of."""

    # `data`: The data that the rows are of.
    # `weight`: How often each row counts, of shape (B,); None for all alike.
    # `num_samples`: Samples for each row; None as in `measured`.

    def __init__(
        self, trained: TrainedModel, data: Dataset, batch: Batch, weight: np.ndarray | None, num_samples: int | None,
        key: Key,
    ) -> None:  # fmt: skip
        self.trained, self.batch, self.weight = trained, batch, weight
        self.at = trained.rows(batch, key=key)
        if weight is not None and not np.any(weight > 0):
            what = f"the weights of all {len(weight)} rows that are measured are 0."
            raise DataError(what, where="weight", fix="Give some of them a weight above 0, or leave the weights out.")
        # All of a quantised posterior is on one code: more draws are the same one.
        self.point = isinstance(getattr(getattr(trained.model, "encoder", None), "head", None), CodeHead)
        self.num_samples: int | None = 1 if self.point else num_samples
        self.found: dict[str, Estimate] = {}
        self.schema = data.schema
        self.family = trained.config.likelihood.family if isinstance(trained.config, VAEConfig) else ""
        cells, preparation = data.schema.cells, trained.preparation
        self.grey = is_grey(trained)
        whole = self.family in LIKELIHOODS and LIKELIHOODS[self.family].discrete
        self.yes_no = whole and LIKELIHOODS[self.family].sees == "yes-no"
        self.discrete = preparation.dequantize or (whole and not self.grey and cells.whole)
        self.counts = whole and cells.logged
        self.cells = math.prod(data.schema.shape)
        self.probable = self._of_whole_numbers() if ("likelihood", self.family) in OWN else whole
        self.what = what_density(trained, probable=self.probable)
        known = ["the label"] if trained.preparation.classes else []
        known += [one.name for one in trained.schema.conditions or ()]
        known += ["the total"] if preparation.depth else []
        self.what += f"given {' and '.join(known)} of each row; " if known else ""
        self.rows: np.ndarray = np.zeros(0)
        self.marginals: LogMarginals | None = None  # of each row, with what its draws say, where it has several
        self.unsure = False  # whether log p(x) is only known to be a lower bound
        self._began = time.perf_counter()

    def add(self, name: str, rows: Shaped[np.ndarray, " B"], num_samples: int, protocol: str) -> None:
        """Add a metric that is a mean over rows."""
        if not np.all(np.isfinite(rows)):
            bad = np.flatnonzero(~np.isfinite(rows))
            raise DivergedError(
                f"{name} is {rows[bad[0]]} for {len(bad)} of {len(rows)} rows, the first at place {bad[0]} of those "
                "measured; such numbers are not reported.",
                where=name,
                fix="Look for extreme values with `latens check`, or train with a smaller learning rate.",
            )
        self.put(name, Estimate.of(rows, num_samples=num_samples, protocol=protocol, weight=self.weight))

    def put(self, name: str, estimate: Estimate) -> None:
        """Add a metric, and note the seconds since the one before it."""
        side = next((side for start, side in _OF_LOG_P.items() if name.startswith(start)), 0.0)
        if side and self.unsure:
            estimate = estimate.with_draws_error(side)
        now = time.perf_counter()
        self.found[name] = replace(estimate, seconds=now - self._began)
        self._began = now

    def evidence(self) -> RowNumbers:
        """Add log p(x) and the parts of the ELBO, from the same samples."""
        numbers = self._numbers(self.num_samples or NUM_SAMPLES)
        if self.num_samples is None:
            draws = self._enough(self._marginals(numbers, NUM_SAMPLES))
            numbers = numbers if draws == NUM_SAMPLES else self._numbers(draws)
            self.num_samples = draws
        draws = self.num_samples
        self.rows = np.asarray(numbers.weights.log_mean, np.float64)
        how = f"importance sampling, {draws} draws a row"
        how = "a lower bound, log p(x | z) + log p(z) at the one code of x" if self.point else how
        name = "cross_entropy_bound" if self.grey else "log_marginal"
        self.add(name, self.rows, draws, self.what + how)
        if draws > 1:
            self.marginals = marginals = self._marginals(numbers, draws)
            self.unsure, found = math.isinf(marginals.draws_error), marginals.estimates(name)
            self.found[name] = replace(found[name], seconds=self.found[name].seconds)
            for other in ("effective_sample_size", "pareto_k"):
                if other in found:
                    self.put(other, found[other])
        if isinstance(self.trained.model, StateSpaceModel):
            self.by_step(draws, how)
        if parts := kind_of(self.schema).counted(self.schema, self.batch):
            bits, how = -self.rows / math.log(2), f"an upper bound, by {how}; the end of a row counts"
            for name, count in parts.items():
                self._ratio(name, bits, count, draws, how)
            found = self.found["bits_per_token"]
            value = 2.0**found.value
            error = value * math.log(2) * found.standard_error
            self.put("perplexity", replace(found, value=value, standard_error=error))
        elif self.discrete and self.batch.mask is None:
            note = "an upper bound, by uniform dequantisation; " if self.trained.preparation.dequantize else ""
            bits = -self._discrete() / (self.cells * math.log(2))
            self.add("bits_per_dimension", bits, draws, note + how)
        for name in ("elbo", "log_likelihood", "kl"):
            words = f"{self.what}mean over {draws} draws from the posterior"
            self.add(name, np.asarray(getattr(numbers, name), np.float64), draws, words)
        if numbers.blind_log_likelihood is not None:
            gain = np.asarray(numbers.log_likelihood, np.float64) - numbers.blind_log_likelihood
            if np.all(np.isfinite(gain)):
                words = f"log p(x | z) of draws from the posterior minus that of {BLIND_DRAWS} draws from the prior"
                self.add("log_likelihood_gain", gain, draws, self.what + words)
        return numbers

    def by_step(self, draws: int, how: str) -> None:
        """Add the nats of a step, of log p(x) of a whole sequence; steps without an observed cell do not count."""
        mask = None if self.batch.mask is None else np.asarray(self.batch.mask)
        length = np.shape(self.batch.x)[1]
        count = np.full(len(self.rows), length) if mask is None else mask.reshape(len(mask), length, -1).any(2).sum(1)
        self._ratio("nats_per_step", self.rows, count, draws, f"{self.what}{how}")

    def _ratio(self, name: str, rows: np.ndarray, count: np.ndarray, draws: int, how: str) -> None:
        """Add a ratio of two means: rows that have it for a mean, and its error."""
        share = shares(self.weight, len(rows))
        mean = max(float(share @ count), 1e-12)
        value = float(share @ rows) / mean
        self.add(name, value + (rows - value * count) / mean, draws, how)

    def _numbers(self, draws: int) -> RowNumbers:
        return row_numbers(self.at, num_samples=draws, codes=True, blind=not self.point)

    def _marginals(self, numbers: RowNumbers, draws: int) -> LogMarginals:
        how = f"{self.what}importance sampling, {draws} draws a row"
        found = as_log_marginals(numbers.weights, draws, how, self.batch)
        return replace(found, weight=self.weight)

    def _enough(self, found: LogMarginals) -> int:
        """How many draws should do, given those of a first pass: what a bound lacks goes with one over their number."""
        allowed = 0.5 * found.estimate().standard_error
        rows = len(self.rows) or len(self.batch.row_id)
        draws = found.num_samples
        most = min(MOST_DOUBLINGS, math.floor(math.log2(max(1.0, MOST_DECODED / (rows * draws)))))
        lacking = found.sums.third_rise / found.sums.weight / allowed if allowed > 0 else 1.0
        doublings = min(most, max(0, math.ceil(math.log2(lacking)))) if lacking > 1.0 else 0
        return draws << doublings

    def _discrete(self) -> np.ndarray:
        """log P of the whole numbers themselves: E over u of log p((x + u)/L) - D log L is a lower bound of it."""
        if not self.trained.preparation.dequantize:
            return self.rows
        mask = self.batch.mask
        observed = self.cells if mask is None else np.asarray(mask).reshape(len(self.rows), -1).sum(1)
        return self.rows - observed * math.log(self.trained.preparation.divide)

    def units(self, table: list[dict[str, Any]]) -> None:
        """Add the number of active latent dimensions."""
        active = sum(unit["active"] for unit in table)
        protocol = f"of {len(table)} latent units, those whose posterior mean varies by more than 0.01 over the rows"
        self.put("active_units", Estimate(float(active), math.nan, 0, len(self.rows), protocol=protocol))

    def by_level(self) -> None:
        """Add the KL of every level of a hierarchy."""
        shapes = level_shapes(self.trained.model, cond=self.trained.one_condition)
        if len(shapes) < 2:
            return
        found = level_kl_rows(self.at, num_samples=LEVEL_SAMPLES)
        if found.shape[1] < len(shapes):
            return  # a posterior of one piece under a prior of several
        for level, (rows, shape) in enumerate(zip(found.T, shapes, strict=True), start=1):
            size, words = " x ".join(map(str, shape)), f"mean over {LEVEL_SAMPLES} draws from the posterior"
            protocol = f"{self.what}{words}, level {level} of {len(shapes)}: {size}"
            self.add(f"kl_level_{level}", np.asarray(rows, np.float64), LEVEL_SAMPLES, protocol)

    def classes(self) -> None:
        """Add how predicted labels, or clusters, meet the labels of the rows that have one."""
        model, label = self.trained.model, self.batch.label
        known = np.zeros(0, bool) if label is None else np.asarray(label) >= 0
        known = known if self.weight is None or label is None else known & (self.weight > 0)
        if not known.any() or not (predicts_labels(model) or has_clusters(model)):
            return
        label, weight = np.asarray(label)[known], None if self.weight is None else np.asarray(self.weight)[known]
        if predicts_labels(model):
            found = label_probabilities(self.at).argmax(axis=1)[known]
            name, hits, protocol = "accuracy", found == label, "share of rows whose most probable label is their own"
        else:
            found = cluster_probabilities(self.at).argmax(axis=1)[known]
            name, hits = "clustering_accuracy", matched(label, found, weight=weight)
            protocol = "share of rows in the cluster of their class, by the best one-to-one matching of these rows"
        self.put(name, Estimate.of(hits, num_samples=1, protocol=protocol, weight=weight))

    def gain(self, data: Dataset) -> None:
        """Add log p(x) minus that of independent features fitted to the training rows."""
        rivals = kind_of(data.schema).rivals(data, self.batch)
        for name, (what, rows) in rivals.items():
            self._gain(self.rows - rows, f"log p(x) minus that of {what}", name)
        if rivals or self.trained.preparation.depth:
            return None if rivals else self._gain_over_genes(data)
        train, divide = few(data.subset("train"), MOST_MEASURED), 1.0
        mask = None if self.batch.mask is None else np.asarray(self.batch.mask)
        given: dict[str, Any] = {"train_mask": None if data.mask is None else take(data.mask, train), "test_mask": mask}
        given["train_weight"] = None if data.weight is None else data.weight[train]
        whole = self.discrete and not self.yes_no
        numbers = not whole and not self.yes_no
        if whole:
            kind = "counts" if self.counts else "levels"
            rows, test, ours = _taken(data.x, train), np.asarray(self.batch.x), self._discrete()
        else:
            kind, ours = "real" if numbers else "grey", self.rows
            # As the model sees them: a random binarisation is the same one as in `evidence`.
            test = prepared_rows(self.at)
            rows, divide = self._expected(_taken(data.x, train))
        if ("likelihood", self.family) in OWN and self.probable != whole:
            return None  # a density and a probability are no rivals
        if mask is None and self.weight is None and (numbers or (whole and not self.counts)):
            self._gain_over_gaussian(data, ours, None if whole else test)
        if isinstance(self.trained.model, StateSpaceModel) and numbers and len(data.schema.shape) == 2:
            self._gains_over_steps(data, train, rows, test)
        given |= {"divide": divide, "common_unit": data.schema.columns is None}
        independent = independent_baseline(rows, test, kind, self.schema.num_values, **given)
        # Both minuends are of the counts or levels themselves where there are probabilities of these.
        of = "x" if whole else density_of(self.trained)
        what = "cross-entropy" if self.grey else f"log p({of})"
        cells = {"real": "cells, a Student-t each,", "counts": "cells, a negative binomial each,"}.get(kind, "cells")
        self._gain(ours - independent, f"{what} minus that of independent {cells} fitted to")

    def _of_whole_numbers(self) -> bool:
        """Whether the likelihood is of whole numbers."""
        model, key, rows = self.trained.model, jax.random.key(0), (self.batch.x, self.batch.cond, self.batch.mask)
        x, cond, mask = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[0]), rows)
        z = model.posterior(x, cond=cond, mask=mask).sample(key=key)
        drawn = jax.tree.leaves(model.likelihood(z, cond=cond).sample(key=key))
        return not any(np.any(np.asarray(leaf) % 1) for leaf in drawn)

    def _gains_over_steps(
        self, data: Dataset, train: np.ndarray, rows: np.ndarray | SparseRows, test: AnyArray
    ) -> None:
        """Add log p(x) minus that of the step a season before, and of a regression on earlier steps."""
        ours = np.ones(np.shape(rows), bool) if data.mask is None else np.asarray(data.mask[train])
        seen = np.ones(np.shape(test), bool) if self.batch.mask is None else np.asarray(self.batch.mask)
        found = series_baselines(np.asarray(rows, np.float64), ours, np.asarray(test, np.float64), seen)
        words = {
            "seasonal_naive": "Normals around the step a season before",
            "regression": "a regression on earlier steps",
        }
        for name, other in found.items():
            self._gain(self.rows - other, f"log p(x) minus that of {words[name]}, fitted to", f"gain_over_{name}")

    def _gain_over_gaussian(self, data: Dataset, ours: np.ndarray, test: AnyArray | None = None) -> None:
        """Add log p(x) minus that of a Gaussian of a few factors; of levels x its density at x + u, which bounds it."""
        shape, train = data.schema.shape, data.subset("train")
        if not 1 < self.cells <= MOST_CELLS or data.mask is not None or data.weight is not None:
            return
        most = max(1, min(MOST_ROWS, MOST_VALUES // self.cells))
        kept = np.sort(first_rows(data, train, most))
        fitted = prepare_batch(self.trained.preparation, data.rows(kept), key=self.at.key).x
        # The test rows are those of the evidence; of whole numbers both get a u, since the Gaussian is a density.
        whole = self.discrete and not self.trained.preparation.dequantize
        sides, test = [], prepared_rows(self.at) if test is None else test
        for seed, rows in enumerate((np.asarray(fitted, np.float32), np.asarray(test, np.float32))):
            u = np.random.default_rng(seed).random(rows.shape, np.float32) if whole else np.float32(0.0)
            sides.append((rows + u).reshape(len(rows), -1))
        if is_series(data.schema):
            window = fit_window(sides[0].reshape(-1, *shape))
            self._gain(ours - window.log_prob(sides[1]), f"log p(x) minus that of {window.words} fitted to", GAUSSIAN)
            return
        group = shape[2] if len(shape) == 3 and shape[2] in (2, 3) else 1
        found, count = gaussian_baseline(sides[0], sides[1], group=group, common_unit=data.schema.columns is None)
        if self.trained.preparation.dequantize:
            ours = self.rows  # both are densities of (x + u) / L
        what = f"log p(x) minus that of a Gaussian of {count} factors (probabilistic PCA) fitted to"
        self._gain(ours - found, what, GAUSSIAN)

    def _gain_over_genes(self, data: Dataset) -> None:
        """Add log p(x) given totals and batches minus that of a negative binomial of each gene, given the same."""
        found = genes_alone(data, self.batch).sum(axis=1)
        beside = f" and {' and '.join(one.name for one in data.schema.conditions)}" if data.schema.conditions else ""
        what = f"log p(x) minus that of a negative binomial a gene given total{beside}, fitted to"
        self._gain(self.rows - found, what, "gain_over_genes")

    def _gain(self, rows: np.ndarray, what: str, name: str = "gain_over_independent") -> None:
        protocol = f"{what} the training rows, paired over rows"
        draws = self.num_samples or 1
        self.put(name, Estimate.of(rows, num_samples=draws, protocol=protocol, weight=self.weight))

    def _expected(self, rows: np.ndarray | SparseRows) -> tuple[Any, float]:
        """Rows and a divisor: their quotient is what the model sees, or the mean of it where that is random."""
        preparation = self.trained.preparation
        if preparation.log1p:
            return rows.of_values(np.log1p) if isinstance(rows, SparseRows) else np.log1p(rows), 1.0
        if preparation.binarize == "threshold":
            return (np.asarray(rows) > preparation.threshold * preparation.divide).astype(np.uint8), 1.0
        return rows, preparation.divide

    def autoencoder(self) -> None:
        """Add log p(x | z) at the code of x, all that an autoencoder has."""
        rows = map_rows(at_code, self.at)
        self.rows = rows
        self.add("log_likelihood", rows, 1, f"{self.what}log p(x | z) at the code of x; an autoencoder has no p(x)")


def what_density(trained: TrainedModel, *, probable: bool | None = None) -> str:
    """What the density is of, or what the number is where it is none; "" for a probability of the stored cells."""
    # probable: whether the likelihood is of whole numbers; None as its table says, so of classifiers not.
    preparation = trained.preparation
    if probable is None and isinstance(trained.config, VAEConfig):
        family = trained.config.likelihood.family
        probable = family in LIKELIHOODS and LIKELIHOODS[family].discrete
    if is_grey(trained):
        return "grey cells under a Bernoulli: a cross-entropy, not log p(x); "
    if preparation.dequantize:
        return f"density of (x + u) / {preparation.divide:g} with uniform u; "
    if preparation.binarize != "none":
        how = "at random, once" if preparation.binarize == "stochastic" else f"at {preparation.threshold:g}"
        return f"{'' if probable else 'density of '}cells binarised {how}; "
    if preparation.log1p:
        return "density of log(1 + x), not of the counts; "
    if trained.schema.cells.probability:
        return trained.schema.cells.probability
    if preparation.divide != 1.0:
        return f"density of x / {preparation.divide:g}; "
    return "" if probable else "density in the data's own units; "


def density_of(trained: TrainedModel) -> str:
    """What of a row x the density is of, as p( ) is written: "x" where it is of the row as it is stored."""
    preparation = trained.preparation
    if preparation.log1p:
        return "log(1 + x)"
    if preparation.dequantize:
        return f"(x + u) / {preparation.divide:g}"
    return "x" if preparation.divide == 1.0 or preparation.binarize != "none" else f"x / {preparation.divide:g}"


def at_code(model: Any, batch: Batch, key: Key) -> Array:
    """Compute log p(x | z) at the code of x."""

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> Array:
        z = model.posterior(x, cond=cond, mask=mask).mean()
        return log_prob(model.likelihood(z, cond=cond), x, mask)

    return jax.vmap(one_row)(batch.x, batch.cond, batch.mask)


def _taken(x: np.ndarray | SparseRows, rows: np.ndarray) -> Any:
    """Some rows, sparse where they are."""
    return x.take(rows, axis=0) if isinstance(x, SparseRows) else take(x, rows)


def genes_alone(data: Dataset, batch: Batch) -> Float[np.ndarray, "n genes"]:
    """The log probability of each gene of cells given total and batch, under a negative binomial a gene of training."""
    # 0 where a gene is missing. Of very many training cells the first in the order of their ids are taken.
    train, cells = data.subset("train"), int(np.prod(data.schema.shape))
    kept = np.sort(first_rows(data, train, max(1, MOST_VALUES // cells)))
    told = [None if one is None else one.get(GIVEN) for one in (data.cond, batch.cond)]
    given = None if told[0] is None else told[0][kept], None if told[1] is None else np.asarray(told[1])
    flat: Any = lambda one: None if one is None else np.asarray(one).reshape(len(one), -1)  # noqa: E731
    masks = flat(None if data.mask is None else data.mask[kept]), flat(batch.mask)
    weight = None if data.weight is None else data.weight[kept].astype(np.float64)
    rows, test = np.asarray(data.x[kept], np.float64), np.asarray(batch.x, np.float64)
    return depth_baseline(flat(rows), flat(test), given, masks=masks, weight=weight)
