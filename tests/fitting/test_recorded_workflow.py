"""What a trained model and what follows it give for a few rows: as recorded."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from records import meets_record

import latens
from latens.config import override
from latens.errors import ConfigError, DataError, UsageError
from latens.evidence import Estimate
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained import measurement
from latens.trained.augmentation import augment
from latens.trained.metrics import METRICS, Summary, with_units
from latens.trained.prior_refit import refit_prior

SMALL = {"network.hidden": [6], "posterior.latent_dim": 2, "training.steps": 4}
rng = np.random.default_rng(0)
CLASSES = np.arange(30) % 3
PIXELS = (rng.random((30, 2, 3)) < 0.2 + 0.3 * CLASSES[:, None, None]).astype(np.uint8)


def model_of(data, recipe="default", **settings):
    """A model before its first step: which its seed alone decides."""
    experiment = prepare(override(get_recipe(recipe).config, {**SMALL, **settings}), data)
    return experiment.trained(experiment.new_model())


@pytest.fixture(scope="module")
def pictures():
    return latens.read(PIXELS, label=np.array(["a", "b", "c"])[CLASSES])


@pytest.fixture(scope="module")
def pixels(pictures):
    return model_of(pictures, **{"likelihood.family": "bernoulli"})


def test_new_rows_are_those_recorded(pixels, pictures):
    around = augment(pixels, pictures, 2, seed=1)
    assert around.label.tolist() == ["a", "a", "b", "b", "c", "c"]
    assert np.array_equal(
        np.array(["a", "b", "c"])[CLASSES[around.around]], around.label
    )  # drawn around a row of its class
    meets_record("augmented around rows", [around.x, around.around])
    conditional = model_of(pictures, "conditional-vae", **{"likelihood.family": "bernoulli"})
    of_classes = augment(conditional, pictures, 3, mean=True)
    assert of_classes.around is None
    meets_record("augmented by class", of_classes.x)
    with pytest.raises(UsageError, match="per_class: must be a whole number of 1 or more, not 0"):
        augment(pixels, pictures, 0)
    with pytest.raises(ConfigError, match="no p\\(x"):
        augment(pixels, pictures, 1, draw="class")
    with pytest.raises(DataError, match="none of 30 rows has a label"):
        augment(pixels, latens.read(PIXELS), 1)


def test_priors_that_do_not_fit_are_refused(pixels, pictures):
    for kind, options, words in (
        ("magic", {}, "no prior 'magic'"),
        ("normal", {"components": 3}, "no option 'components'"),
        ("transformer", {}, "no prior for the latents"),
    ):
        with pytest.raises(ConfigError, match=words):
            refit_prior(pixels, pictures, kind, options=options)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_best_parameters_are_kept_where_that_is_asked_for(pictures, keep):
    config = override(get_recipe("default").config, {**SMALL, "training.keep": keep, "training.batch_size": 7})
    settings = prepare(config, pictures).settings
    assert settings.restore_best is (keep == "best")
    assert settings.batch_size == 7


LEVELS, LABEL = (4 * PIXELS + rng.integers(0, 4, PIXELS.shape)).astype(np.uint8), np.array(list("abc"))[CLASSES]
WALKS = np.cumsum(rng.normal(size=(30, 6, 2)), axis=1)
MEASURED = {
    "clusters of levels": (LEVELS, "mixture-prior", {"likelihood.family": "normal"}, {"label": LABEL}),
    "two levels, binarised": (LEVELS, "two-level", {"data.binarize": "threshold"}, {"weight": 1.0 + CLASSES}),
    "predicted labels": (PIXELS, "m2", {"likelihood.family": "bernoulli"}, {"label": LABEL}),
    "steps": (WALKS, "linear-gaussian", {"network.hidden": []}, {}),
}


@pytest.mark.parametrize("name", MEASURED)
def test_measurements_are_as_recorded(name, monkeypatch):
    x, recipe, settings, beside = MEASURED[name]
    monkeypatch.setattr(measurement, "NUM_SAMPLES", 8)
    data = latens.read(x, **beside)
    found = measurement.measured(model_of(data, recipe, **settings), data, np.arange(20))
    numbers = {
        key: [float(v) for v in (one.value, one.standard_error, one.draws_error or 0.0, one.num_samples)]
        for key, one in found.metrics.items()
    }
    meets_record(f"measured {name}", {key: np.array(one) for key, one in numbers.items()})


def test_only_rows_of_some_cells_have_a_gaussian_beside_them(pixels, pictures, monkeypatch):
    for most, masked in ((6, False), (5, False), (6, True)):
        monkeypatch.setattr(measurement, "MOST_CELLS", most)
        data = replace(pictures, mask=np.ones(PIXELS.shape, bool)) if masked else pictures
        work = measurement.Measurement(pixels, data, pixels.batch(pictures, np.arange(9)), None, 1, jax.random.key(0))
        work.rows = np.zeros(9)
        work._gain_over_gaussian(data, np.zeros(9))
        assert list(work.found) == [measurement.GAUSSIAN] * (most == 6 and not masked)


@pytest.mark.parametrize(
    ("shape", "group"), [((2, 1, 3), 3), ((1, 3, 2), 2), ((1, 2, 4), 1), ((6, 1, 1), 1), ((2, 3), 1)]
)
def test_colours_of_a_pixel_are_one_group_of_the_gaussian_beside_it(monkeypatch, shape, group):
    seen, data = {}, latens.read(np.random.default_rng(0).random((30, *shape)))
    monkeypatch.setattr(measurement, "is_series", lambda schema: False)
    monkeypatch.setattr(measurement, "gaussian_baseline", lambda *sides, **how: seen.update(how) or (np.zeros(9), 1))
    trained = model_of(data)
    work = measurement.Measurement(trained, data, trained.batch(data, np.arange(9)), None, 1, jax.random.key(0))
    work._gain_over_gaussian(data, np.zeros(9))
    assert seen == {"group": group, "common_unit": True}


def test_a_summary_is_written_as_recorded():
    """The text of every number that there is, of errors that are unknown, and of what is left out."""
    made = {name.replace("#", "2"): Estimate(0.3 + i, 0.01 * i, 8, 40, protocol=f"{name}, of 3 units, first: 4")
            for i, name in enumerate(METRICS)}  # fmt: skip
    made = with_units({**made, "kl_level_1": replace(made["kl"], standard_error=math.nan)}, seed=0)
    for error in (0.5, math.inf, -math.inf):
        own = {**made, "log_marginal": replace(made["log_marginal"], draws_error=error, at_least=0.25)}
        units = tuple(
            {"unit": i, "kl": None if i == 2 else 0.1 * i, "variance": 1.0 + i, "active": i < 3} for i in range(4)
        )
        warnings = (("posterior-collapse", "one unit"), ("other", "more"))
        one = Summary(own, "test", False, warnings, units, "pixel", {"precision": "few rows", "recall": "few rows"})
        text = "\n".join([one.text(), one.table_text(), one.left_out_text(), one.warnings_text()])
        meets_record(f"summary {error}", np.frombuffer(text.encode(), np.uint8))
