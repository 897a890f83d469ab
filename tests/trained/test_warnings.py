"""What is wrong with a model is named: by numbers at thresholds, planted in trained models, never in healthy ones."""

import dataclasses

import numpy as np
import pytest

from latens.config import override
from latens.data import VALIDATION, Dataset, load
from latens.evidence import Estimate
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.trained import diagnose
from latens.trained.metric_functions import measure_all
from latens.trained.trained_model import TrainedModel

DIAGNOSED = ("precision", "generalisation_gap", "gain_over_independent")
"""What the findings are made of."""


def number(value, error=0.0):
    return Estimate(value, error, 1, 100)


def units(active, of):
    return [{"unit": i, "active": i < active} for i in range(of)]


def names(metrics, table=()):
    return [finding.name for finding in diagnose(metrics, table)]


@pytest.mark.parametrize(("active", "of"), [(4, 4), (3, 4), (1, 2), (5, 8), (17, 32), (0, 0)])
def test_units_in_use_are_no_collapse(active, of):
    assert names({}, units(active, of)) == []


@pytest.mark.parametrize(("active", "of"), [(2, 4), (1, 4), (0, 4), (0, 2), (0, 1), (4, 8), (16, 32)])
def test_collapse_is_half_of_the_units_or_fewer(active, of):
    assert names({}, units(active, of)) == ["posterior-collapse"]


def test_collapse_says_how_many():
    assert "only 1 of 4 latent units" in diagnose({}, units(1, 4))[0].message


def test_overfitting_is_half_of_the_gain_lost():
    def found(gap, error, gain):
        return names({"generalisation_gap": number(gap, error), "gain_over_independent": number(gain)})

    assert found(12.0, 0.1, 10.0) == ["overfitting"]  # of 22 nats gained on training rows 12 are lost, a margin of 1
    assert found(12.0, 0.3, 10.0) == found(8.0, 0.1, 10.0) == []
    assert found(12.0, 0.1, -1.0) == ["overfitting"]
    assert found(1.0, 0.1, -5.0) == []  # nothing was gained that could be lost


@pytest.mark.parametrize("rival", ["gain_over_tree", "gain_over_gaussian"])
@pytest.mark.parametrize(
    ("gain", "error", "named"),
    [
        (-1.0, 0.1, True),
        (-0.2, 0.01, True),
        (-0.2, 0.06, False),
        (-0.09, 0.001, False),
        (0.0, 0.1, False),
        (2.0, 0.1, False),
    ],
)
def test_a_simpler_model_is_better_by_a_tenth_of_a_nat_and_four_errors(rival, gain, error, named):
    assert names({rival: number(gain, error)}) == ["simpler-is-better"] * named


def test_a_decoder_that_ignores_its_codes_is_named_whatever_the_encoder_does():
    def found(kl, gain):
        return names({"kl": number(kl), "log_likelihood_gain": number(gain)}, units(4, 4))

    assert found(5.0, 0.0) == found(5.0, 0.4) == found(0.6, 0.0) == ["posterior-collapse"]
    assert found(5.0, 0.6) == found(5.0, -3.0) == found(0.4, 0.0) == []


def test_a_run_that_was_stopped_while_it_rose_has_not_collapsed():
    def found(kl, active, rising):
        return [f.name for f in diagnose({"kl": number(kl)}, units(active, 32), rising=rising)]

    assert found(95.9, 0, True) == ["unfinished"]
    assert found(95.9, 0, False) == found(0.01, 0, True) == found(0.01, 0, False) == ["posterior-collapse"]
    assert found(95.9, 32, True) == []
    message = diagnose({"kl": number(95.9)}, units(0, 32), rising=True)[0].message
    assert "0 of 32 latent units depend on x so far, at a KL of 95.9 nats; train longer (--epochs" in message


def test_evidence_is_untrusted_where_what_it_lacks_is_more_than_the_error_over_rows():
    def found(k, draws_error, error=0.5, at_least=None):
        value = dataclasses.replace(number(-60.0, error), draws_error=draws_error, at_least=at_least)
        return names({"log_marginal": value, "pareto_k": number(k)})

    assert found(0.2, 0.6) == found(1.39, np.inf, at_least=0.51) == found(0.2, 0.1, 0.09) == ["untrusted-evidence"]
    assert found(0.2, np.inf) == found(0.2, 0.2, np.nan) == ["untrusted-evidence"]
    photographs = {"log_marginal": dataclasses.replace(number(-10_500.0), draws_error=26.0)}
    assert names(photographs | {"bits_per_dimension": number(3.9)}) == []
    (finding,) = diagnose(photographs | {"bits_per_dimension": number(4.9)})
    assert "too low by 26.0 nats (0.2%); ignore this unless you compare models" in finding.message
    assert found(0.7, 0.4) == found(0.2, 0.01) == found(0.2, 0.09, 0.01) == []
    assert found(5.78, np.inf, 96.0, at_least=30.11) == found(0.2, 1.1, 96.0) == ["untrusted-evidence"]
    assert found(1.39, np.inf, at_least=0.49) == found(1.39, 0.01) == []


def test_an_encoder_is_named_where_it_loses_much_of_what_it_says():
    def found(gap, error, kl):
        return names({"amortisation_gap": number(gap, error), "kl": number(kl)})

    assert found(12.8, 0.5, 20.0) == found(1.1, 0.02, 0.5) == ["loose-encoder"]
    assert found(4.0, 0.2, 20.0) == found(0.9, 0.01, 0.5) == found(12.8, 0.8, 20.0) == []


def fitted(data: Dataset, seed: int, **settings: object) -> tuple[TrainedModel, Dataset]:
    small = {"network.hidden": [64], "posterior.latent_dim": 8, "training.epochs": 60, "training.seed": seed}
    experiment = prepare(override(get_recipe("default").config, {**small, **settings}), data)
    return train(experiment)[0], experiment.data


def findings(trained: TrainedModel, data: Dataset, seed: int) -> list[str]:
    rows = data.subset("test")
    found = measure_all(trained, data, rows, num_samples=30, seed=seed, only=DIAGNOSED)
    assert set(DIAGNOSED) <= set(found.metrics)
    return [finding.name for finding in found.findings]


def rows_of(data: Dataset, kept: np.ndarray) -> Dataset:
    arrays = {name: getattr(data, name)[kept] for name in ("x", "row_id", "names", "split", "label")}
    return dataclasses.replace(data, **arrays)


def collapsed(seed: int) -> list[str]:
    """The KL weighs a hundred times too much, and no rows validate: these would keep the step that is best by the ELBO
    of weight 1, from before the codes were given up."""
    digits = load("digits")
    settings = {"objective.beta": 100.0, "training.epochs": 20}
    trained, _ = fitted(rows_of(digits, digits.split != VALIDATION), seed, **settings)
    return findings(trained.with_facts(fingerprint=digits.fingerprint), digits, seed)


def test_a_planted_collapse_is_named():
    assert collapsed(0) == ["posterior-collapse"]
