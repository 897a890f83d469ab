"""What `measure` says of a model, against the same numbers made another way."""

import math

import jax
import numpy as np
import pytest
import scipy.stats

from latens.config import override
from latens.data import Dataset, load, prepare_batch
from latens.evidence import ModelRows, elbo_parts, independent_baseline, log_marginal
from latens.evidence.batched import prepared_rows
from latens.evidence.factors import gaussian_baseline
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.trained.measurement import measured, unit_table
from latens.trained.metrics import headline
from latens.trained.trained_model import TrainedModel

SMALL = {"network.hidden": [16], "posterior.latent_dim": 2, "training.steps": 11}


def trained_on(data: Dataset, **settings: object) -> tuple[TrainedModel, Dataset]:
    names = {name.replace("__", "."): value for name, value in settings.items()}
    experiment = prepare(override(get_recipe("default").config, SMALL | names), data)
    return train(experiment)[0], experiment.data


def rows_of(trained: TrainedModel, data: Dataset, seed: int = 0) -> np.ndarray:
    batch = trained.batch(data, data.subset("test"))
    return log_marginal(trained.rows(batch, key=jax.random.key(seed)), num_samples=20)


def test_categorical_levels() -> None:
    trained, data = trained_on(load("digits"))
    test, train_rows = data.subset("test"), data.subset("train")
    found = measured(trained, data, test, num_samples=20, seed=3).metrics
    rows = rows_of(trained, data, seed=3).astype(np.float64)
    assert headline(found) == "log_marginal"
    assert found["log_marginal"].value == pytest.approx(rows.mean(), abs=1e-9)
    assert found["bits_per_dimension"].value == pytest.approx(-rows.mean() / (64 * math.log(2)), abs=1e-12)
    # Frequencies of the 17 levels of each pixel, counted one by one, drawn to those of all pixels as by 4 rows more.
    pixels = data.x[train_rows].reshape(-1, 64).T
    counts = np.stack([[np.sum(pixel == level) for level in range(17)] for pixel in pixels])
    every = counts.sum(0) + 1
    log_p = np.log((counts + 4 * every / every.sum()) / (len(train_rows) + 4))
    independent = np.array([log_p[np.arange(64), row.reshape(-1)].sum() for row in data.x[test]])
    gain = found["gain_over_independent"]
    assert gain.value == pytest.approx((rows - independent).mean(), abs=1e-9)
    assert gain.standard_error == pytest.approx((rows - independent).std(ddof=1) / math.sqrt(198), rel=1e-9)
    parts = elbo_parts(trained.rows(data, test, seed=3), num_samples=20)
    assert found["elbo"].value == pytest.approx(parts["elbo"].mean(dtype=np.float64), abs=1e-9)
    assert found["elbo"].value < found["log_marginal"].value
    units = unit_table(trained, trained.batch(data, test))
    assert sum(unit["active"] for unit in units) == found["active_units"].value
    assert sum(unit["kl"] for unit in units) == pytest.approx(found["kl"].value, abs=1.2)  # five standard errors
    assert {(m.seed, m.n) for m in found.values()} == {(3, 198)}


def test_dequantised_levels_are_compared_as_whole_numbers() -> None:
    trained, data = trained_on(load("digits"), likelihood__family="normal")
    assert trained.preparation.divide == 17.0
    found = measured(trained, data, data.subset("test"), num_samples=20).metrics
    whole = rows_of(trained, data).astype(np.float64) - 64 * math.log(17)
    assert found["bits_per_dimension"].value == pytest.approx(-whole.mean() / (64 * math.log(2)), abs=1e-12)
    independent = independent_baseline(data.x[data.subset("train")], data.x[data.subset("test")], "levels", 17)
    assert found["gain_over_independent"].value == pytest.approx((whole - independent).mean(), abs=1e-9)
    assert "upper bound" in found["bits_per_dimension"].protocol


def test_gain_over_a_gaussian_of_factors() -> None:
    """Log densities of the same rows: of real columns in their units, of dequantised levels in theirs."""
    columns = np.random.default_rng(0).normal(size=(300, 6)) @ np.diag([1.0, 1e3, 1.0, 5.0, 0.1, 1.0]) + 7.0
    columns[:, 0] = columns[:, 1] / 1e3 + 0.1 * columns[:, 0]
    for given, settings in ((columns, {}), ("digits", {"likelihood__family": "normal"})):
        trained, data = trained_on(load(given), **settings)
        test, train_rows = data.subset("test"), data.subset("train")
        found = measured(trained, data, test, num_samples=20).metrics["gain_over_gaussian"]
        key = jax.random.key(0)
        fitted, seen = (prepare_batch(trained.preparation, data.rows(at), key=key).x for at in (train_rows, test))
        if given is columns:
            expected, count = gaussian_baseline(np.asarray(fitted), np.asarray(seen))
            assert count >= 1
            assert found.value == pytest.approx((rows_of(trained, data) - expected).mean(), abs=1e-4)
            covariance = np.cov(columns[train_rows].T, bias=True)
            whole = scipy.stats.multivariate_normal(columns[train_rows].mean(0), covariance).logpdf(columns[test])
            assert (rows_of(trained, data) - whole).mean() == pytest.approx(found.value, abs=0.2)
        else:
            rows = prepared_rows(trained.rows(data, test, key=key)).reshape(len(test), -1)
            mean, scale = np.asarray(fitted).mean(0).reshape(-1), np.asarray(fitted).std(0).mean()
            assert np.all(np.abs(rows.mean(0) - mean) < 5 * scale)
            expected, _ = gaussian_baseline(np.asarray(fitted).reshape(-1, 64), rows, common_unit=True)
            assert found.value == pytest.approx((rows_of(trained, data) - expected).mean(), abs=1e-3)
        assert found.unit == "nats"


def test_random_binarisation_is_the_same_for_both_models() -> None:
    settings = {"likelihood__family": "bernoulli", "data__binarize": "stochastic"}
    trained, data = trained_on(load("digits"), **settings)
    test = data.subset("test")
    found = measured(trained, data, test, num_samples=20).metrics
    rows = rows_of(trained, data)
    data_key, _ = jax.random.split(jax.random.key(0))
    drawn = np.asarray(prepare_batch(trained.preparation, trained.batch(data, test), key=data_key).x).reshape(198, 64)
    p = (data.x[data.subset("train")].reshape(-1, 64).sum(0) / 16 + 0.5) / (len(data.subset("train")) + 1)
    independent = scipy.stats.bernoulli.logpmf(drawn, p).sum(1)
    assert found["gain_over_independent"].value == pytest.approx((rows - independent).mean(), abs=1e-4)
    assert found["log_marginal"].protocol.startswith("cells binarised at random")


def test_autoencoder_has_no_evidence() -> None:
    config = override(get_recipe("mlq-autoencoder").config, {"posterior.latent_dim": 4, "training.epochs": 1})
    experiment = prepare(config, load("digits"))
    trained, _ = train(experiment)
    found = measured(trained, experiment.data, experiment.data.subset("test")).metrics
    assert list(found) == ["log_likelihood"]
    batch = trained.batch(experiment.data, experiment.data.subset("test"))
    x = np.asarray(batch.x, np.float64) / 16
    p = np.asarray(jax.vmap(lambda row: trained.model.likelihood(trained.model.posterior(row).mean()).mean())(x))
    by_hand = np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=(1, 2)).mean()
    assert found["log_likelihood"].value == pytest.approx(by_hand, abs=1e-3)


def test_a_column_or_a_row_without_cells_is_no_cell_less() -> None:
    """What was never observed enters no number: log p(x) is that of the other columns, and 0 of an empty row."""
    rows = np.random.default_rng(0).normal(size=(300, 3))
    rows[:, 1], rows[5] = np.nan, np.nan
    data = load(rows, missing="nan")
    experiment = prepare(override(get_recipe("default").config, SMALL), data)
    trained, _ = train(experiment)
    empty = trained.batch(data, np.array([5]))
    found = log_marginal(ModelRows(trained.model, empty), num_samples=2000)
    assert found[0] == pytest.approx(0.0, abs=0.05)
    test, fit, others = data.subset("test"), data.subset("train"), [0, 2]
    seen = measured(trained, data, test, num_samples=20).metrics
    of = lambda at: data.x[at][:, others]  # noqa: E731
    masks = {"train_mask": data.mask[fit][:, others], "test_mask": data.mask[test][:, others]}
    independent = independent_baseline(of(fit), of(test), "real", **masks).mean()
    gain = seen["log_marginal"].value - independent
    assert seen["gain_over_independent"].value == pytest.approx(gain, abs=1e-9)
