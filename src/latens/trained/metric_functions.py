"""Numbers that functions make together, and what they need.

`measure_all` computes all that apply, and says of the others why they do not: `latens evaluate --all`.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig, Config, VAEConfig
from latens.data import Dataset
from latens.errors import LatensError
from latens.evidence.annealing import particle_filter
from latens.evidence.batched import ModelRows
from latens.evidence.estimate import Estimate
from latens.evidence.inference_gaps import inference_gaps
from latens.kinds import kind_of
from latens.kinds.pictures.drawn_shapes import known_factors
from latens.latents.codes import encode, reconstruct
from latens.latents.decomposition import kl_split
from latens.latents.disentanglement import dci, mig
from latens.models import StateSpaceModel
from latens.trained.measurement import NUM_SAMPLES, Measured, density_of, measured, still_rising
from latens.trained.metrics import MADE, METRICS, Summary, diagnose, headline, makes, with_units
from latens.trained.sample_sets import MOST, OTHER_DATA, SampleSets, compared, not_its_own, reach_of, some
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

MOST_ROWS = 1000
"""Rows of which the KL is split (it costs their square), and whose codes are compared with the prior."""

GAP_ROWS, GAP_SAMPLES = 100, 500
"""Rows whose posterior is refined one by one, and draws for each bound."""

TRAIN_ROWS = 200
"""Training rows whose log p(x) is held against that of the held-out rows."""

TEXT_SAMPLES = 1000
"""Samples of text that are compared with one another and with training rows."""

PARTICLE_ROWS = 100
"""Sequences whose log p(x) a particle filter estimates."""

OWN = "samples of its own data"


@dataclass
class MetricInputs:
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

    def key(self, number: int) -> Key:
        """A key of its own for every group."""
        return jax.random.fold_in(jax.random.key(self.seed), 100 + number)

    def rows(self, most: int, number: int) -> ModelRows:
        """Some of the rows as the model takes them."""
        return self.trained.rows(self.data, some(self.positions, most, self.seed), key=self.key(number))


def _unequal(work: MetricInputs) -> bool:
    weight = work.data.weight
    return weight is not None and bool(np.ptp(weight[work.positions]) > 0)


def _pictures(work: MetricInputs) -> str:
    config = work.trained.config
    if work.trained.schema.image is None or len(work.positions) < 2:
        return "the rows are not two or more pictures"
    if work.trained.preparation.classes:
        return "the pictures of a conditional model have one class by condition"
    vector = not isinstance(config, VAEConfig) or work.trained.parts.posterior.support == "vector"
    return "" if vector else "the codes are not vectors that could move in any direction"


def _refused(test: Callable[[MetricInputs], Any], reason: str) -> Callable[[MetricInputs], str]:
    return lambda work: reason if test(work) else ""


NEEDS: dict[str, Callable[[MetricInputs], str]] = {
    "latents": _refused(lambda work: work.classifier, "a Bayes classifier has no latents"),
    "posterior": _refused(lambda work: work.trained.is_point, "an autoencoder has no posterior but a point"),
    "known factors": _refused(lambda work: known_factors(work.data) is None, "the factors are not known"),
    "equal rows": _refused(_unequal, "the methods that look at codes take no row weights"),
    "pictures": _pictures,
    "samples of its own data": lambda work: not_its_own(work.trained, work.data),
    "log p(x)": _refused(
        lambda work: work.classifier or work.trained.is_point,
        "there is no log p(x) of an autoencoder or a Bayes classifier",
    ),
    "its own data": _refused(lambda work: work.data.fingerprint != work.trained.facts.get("fingerprint"), OTHER_DATA),
    "a latent for every step": _refused(
        lambda work: not isinstance(work.trained.model, StateSpaceModel), "the model has no latent for every step"
    ),
    "rows of text": _refused(
        lambda work: "text" not in kind_of(work.data.schema).looks(work.data.schema), "the rows are not text"
    ),
    "held-out rows": _refused(
        lambda work: np.any(np.isin(work.positions, work.data.subset("train"))), "some of the rows are training rows"
    ),
}
"""What the numbers of a group need: each says why a model or its rows do not have it; "" where they have."""


def why_not(work: MetricInputs, needs: str) -> str:
    """Say which of some needs is not met, and why; "" where all are."""
    return next((reason for word in needs.split(", ") if (reason := NEEDS[word](work))), "")


@makes("nats", "mutual_information aggregate_kl total_correlation dimensionwise_kl", "latents, posterior",
       lacking="the units of the posterior or the prior have no densities of their own")  # fmt: skip
def _split(work: MetricInputs) -> dict[str, Estimate]:
    found = kl_split(work.rows(MOST_ROWS, 1))
    return {name: value for name, value in found.items() if name != "kl"}


@makes("nats", "approximation_gap amortisation_gap", "latents, posterior")
def _gaps(work: MetricInputs) -> dict[str, Estimate]:
    draws = max(2, min(work.num_samples, GAP_SAMPLES))
    found = inference_gaps(work.rows(GAP_ROWS, 2), num_samples=draws)
    return {name: found[name] for name in ("approximation_gap", "amortisation_gap")}


def _codes(work: MetricInputs) -> np.ndarray:
    codes = encode(work.rows(2000, 5))["mean"]
    return codes.reshape(len(codes), -1)


@makes("accuracy", "dci_informativeness", "latents, posterior, known factors, equal rows")
@makes("score", "mig dci_disentanglement dci_completeness", "latents, posterior, known factors, equal rows")
def _factors(work: MetricInputs) -> dict[str, Estimate]:
    factors = known_factors(work.data)
    assert factors is not None
    codes, chosen = _codes(work), factors[some(work.positions, 2000, work.seed)]
    return {"mig": mig(codes, chosen, seed=work.seed), **dci(codes, chosen, seed=work.seed)}


@makes("units of z", "picture_reach class_reach", "latents, posterior, pictures",
       lacking="the rows have no labels of two classes")  # fmt: skip
def _reach(work: MetricInputs) -> dict[str, Estimate]:
    found, made = reach_of(work.trained, work.data, work.positions, work.seed), {}
    for name, what, far in (("picture_reach", "picture", found.picture), ("class_reach", "class", found.label)):
        if far is not None:
            rows = np.median(np.minimum(far, MOST), axis=1)
            how = f"length of a move in z after which the decoded {what} is another, median of {far.shape[1]} random "
            how += f"directions; {np.isinf(far).mean():.1%} of the moves go {MOST:g} far without, and count as that"
            made[name] = Estimate.of(rows, num_samples=1, protocol=how)
    return made


@makes("", "density", OWN)
@makes("share", "precision recall coverage", OWN)
@makes("accuracy", "two_sample_accuracy", OWN)
@makes("squared units", "frechet_distance", OWN)
@makes("share", "precision_of_rows", OWN, beside=True)
@makes("probability", "two_sample_p_value", OWN, beside=True)
def _samples(work: MetricInputs) -> dict[str, Estimate]:
    return compared(work.sets)


@makes("nats", "log_marginal_particles", "a latent for every step, its own data", words="log p(x) by a particle filter")
def _particles(work: MetricInputs) -> dict[str, Estimate]:
    found = particle_filter(work.rows(PARTICLE_ROWS, 7), num_samples=max(16, work.num_samples))
    return {"log_marginal_particles": found.estimate()}


@makes("share", "exact_reconstructions distinct_samples", "rows of text", told="always")
@makes("share", "copied_samples", "rows of text", words="samples that are training rows", told="always")
def _text(work: MetricInputs) -> dict[str, Estimate]:
    """How varied samples are, and how many of them were training rows."""
    drawn = work.data.schema.decode(work.trained.sample(TEXT_SAMPLES, seed=work.seed))
    known = set(work.data.schema.decode(work.data.x[work.data.subset("train")]))
    protocol = f"of {TEXT_SAMPLES:,} samples from the prior"
    copied = np.array([text in known for text in drawn])
    distinct = Estimate(len(set(drawn)) / len(drawn), math.nan, 1, len(drawn), protocol=protocol)
    back = f"the most probable text at the mean of q(z | x) is the row itself, of {TEXT_SAMPLES:,} rows at most"
    rows = work.rows(TEXT_SAMPLES, 14)
    made = work.data.schema.decode(work.trained.data_units(reconstruct(rows), mean=True))
    exact = np.array([one == text for one, text in zip(made, work.data.schema.decode(np.asarray(rows.batch.x)))])
    return {
        "exact_reconstructions": Estimate.of(exact, num_samples=1, protocol=back),
        "distinct_samples": distinct,
        "copied_samples": Estimate.of(copied, num_samples=1, protocol=protocol),
    }


@makes("nats", "generalisation_gap", "log p(x), its own data, held-out rows")
def _generalisation(work: MetricInputs) -> dict[str, Estimate]:
    held_out = work.metrics[headline(work.metrics)]
    rows = some(work.data.subset("train"), TRAIN_ROWS, work.seed)
    found = measured(work.trained, work.data, rows, num_samples=work.num_samples, seed=work.seed).metrics
    own = found[headline(found)]
    error = float(np.hypot(own.standard_error, held_out.standard_error))
    protocol = f"log p(x) of {len(rows)} training rows minus that of {held_out.n} held-out rows; {own.protocol}"
    gap = Estimate(own.value - held_out.value, error, own.num_samples, held_out.n, protocol=protocol)
    return {"generalisation_gap": gap}


def measure_all(
    trained: TrainedModel,
    data: Dataset,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None = None,
    seed: int = 0,
    only: Collection[str] | None = None,
) -> Measured:
    """Measure what `measured` does and, in the order of `MADE`, all else that applies to the rows at `positions`."""
    # That is: where the KL goes, gaps of inference, the aggregated posterior against the prior, codes
    # against labels, samples against rows, and training rows against held-out rows. Large data are subsampled, as each
    # protocol says.
    # only: names of metrics: these, and those that are made together with them, beside what `measured` gives; None is
    # all.
    work = MetricInputs(trained, data, positions, num_samples or NUM_SAMPLES, seed)
    found = measured(trained, data, positions, num_samples=num_samples, seed=seed)
    work.metrics, work.num_samples = found.metrics, found.metrics[headline(found.metrics)].num_samples
    for run, made_by in MADE.items():
        rows = [METRICS[name] for name in made_by if not METRICS[name].beside]
        names = {row.name for row in rows}
        if names <= found.metrics.keys() or (only is not None and not names & set(only)):
            continue
        reasons = {needs: why_not(work, needs) for needs in dict.fromkeys(row.needs for row in rows)}
        began, failed = time.perf_counter(), ""
        made: dict[str, Estimate] = {}
        if not all(reasons.values()):
            try:
                made = run(work)
            except LatensError as error:  # the parts of latens say what a model lacks for a number
                failed = error.message.rstrip(".")
        missing = [row for row in rows if row.name not in made and row.name not in found.metrics]
        found.left_out |= {row.name: reasons[row.needs] or failed or row.lacking for row in missing}
        seconds = time.perf_counter() - began
        found.metrics |= with_units(made, seed=seed, seconds=seconds)
    units = found.units if "active_units" in found.metrics else []
    found.findings = diagnose(found.metrics, units, rising=still_rising(trained.facts))
    return found


def summary_of(
    trained: TrainedModel,
    data: Dataset,
    split: str,
    positions: Shaped[np.ndarray, " n"],
    *,
    num_samples: int | None,
    seed: int = 0,
    everything: bool = False,
) -> Summary:
    """Measure a model."""
    only = None if everything else ()
    found = measure_all(trained, data, positions, num_samples=num_samples, seed=seed, only=only)
    held_out, warnings = beware(split, data, grey=found.grey, config=trained.config)
    warnings += [(finding.name, finding.message) for finding in found.findings]
    coloured = len(data.schema.shape) == 3 and data.schema.shape[2] > 1
    cells = "column" if data.schema.columns is not None else "colour value" if coloured else "pixel"
    said = (split, held_out, tuple(warnings), tuple(found.units), cells, found.left_out, density_of(trained))
    return Summary(found.metrics, *said)


def beware(
    split: str, data: Dataset, *, grey: bool, config: Config | None = None
) -> tuple[bool | None, list[tuple[str, str]]]:
    """Say whether rows are held out, and what a reader must know about the numbers."""
    held_out = None if split == "all" else split == "test" and data.held_out
    warnings = []
    if split == "train":
        warnings.append(("not-held-out", "there are no other rows than those the model was trained on"))
    elif held_out is False:
        warnings.append(("not-held-out", f"the {split} rows {_what_they_chose(config)}"))
    if grey:
        text = "grey cells under a Bernoulli: the numbers are cross-entropy, not log p(x)"
        warnings.append(("cross-entropy", f"{text} (--set data.binarize=stochastic makes them one; docs/objective.md)"))
    return held_out, warnings


def _what_they_chose(config: Config | None) -> str:
    """What rows that training validated on did to the model."""
    training = None if not isinstance(config, VAEConfig) else config.training
    if training is None or training.keep == "best":
        return "also chose the epoch"
    if training.patience is not None:
        return "also chose when training ended"
    return "were validated on in training; they chose nothing, because the last step is used, but the curves show them"


def held_out_rows(data: Dataset) -> tuple[str, np.ndarray]:
    """Choose the rows to measure on: test rows where there are any, else validation, else training rows."""
    for split in ("test", "validation", "train"):
        positions = data.subset(split)
        if len(positions):
            return split, positions
    return "all", np.arange(len(data))
