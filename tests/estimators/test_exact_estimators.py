"""What the estimators of rows make of the numbers that models give, with models that say what they are told."""

from types import SimpleNamespace

import numpy as np
import pytest

from latens import VAEDetector, VAEImputer
from latens.data import Preparation
from latens.errors import UsageError
from latens.estimators import autoencoder, vae
from latens.estimators import detector as detectors
from latens.trained.cell_scores import Imputation, Scores
from latens.trained.trained_model import TrainedModel

HELD_OUT = {"folds": 1}


def untrained(monkeypatch, model_of):
    """No training takes a step; the model is what `model_of` makes of its rows. Gives the data and settings of each."""
    noted = []

    def prepare(config, data, **options):
        noted.append((np.array(data.x[:, 0]), config))
        return SimpleNamespace(data=data, config=config, reasons=())

    def train(experiment, **options):
        made = TrainedModel(model_of(experiment.data), experiment.data.schema, Preparation(), experiment.config)
        return made, SimpleNamespace(history=[])

    monkeypatch.setattr(autoencoder, "prepare", prepare)
    monkeypatch.setattr(autoencoder, "train", train)
    monkeypatch.setattr(autoencoder.BaseAutoencoder, "_count_latents", lambda self, config: None)
    return noted


@pytest.fixture
def trained_on(monkeypatch):
    """The rows and settings of every training; the surprise of a row is its first column."""

    def row_scores(trained, data, positions, **options):
        assert positions is None
        return both(np.asarray(data.x[:, 0], np.float64))

    monkeypatch.setattr(detectors, "row_scores", row_scores)
    return untrained(monkeypatch, lambda data: None)


def both(odd):
    return Scores(np.full(len(odd), np.nan), odd)


def rows(n):
    return np.random.default_rng(0).permutation(np.stack([np.arange(n), np.arange(n) % 7], axis=1)).astype(np.float32)


@pytest.mark.parametrize(("alpha", "n", "held_out"), [(0.1, 95, 19), (0.1, 90, 18), (0.25, 60, 12), (0.05, 60, 19)])
def test_an_outlier_is_a_row_whose_p_value_is_at_most_alpha(trained_on, alpha, n, held_out):
    detector = VAEDetector(alpha=alpha, random_state=0, **HELD_OUT).fit(rows(n))
    held = detector.calibration_
    assert len(held) == detector.others_ == held_out
    assert sorted([*held, *trained_on[0][0]]) == list(range(n))  # each row trains, or is held out
    every = np.concatenate([held - 0.5, held, held + 0.5, [-9.0, 1e6]])
    X = np.stack([every, np.full(len(every), 0.25)], axis=1)
    p = (1 + (held >= every[:, None]).sum(axis=1)) / (len(held) + 1)
    found = detector.p_values(X)
    np.testing.assert_allclose(found, p)
    np.testing.assert_array_equal(detector.predict(X), np.where(p <= alpha + 1e-12, -1, 1))
    np.testing.assert_allclose(detector.score_samples(X), -every)
    np.testing.assert_allclose(detector.decision_function(X), -every - detector.offset_)


def test_robust_training_leaves_out_the_most_surprising_tenth_twice(trained_on):
    VAEDetector(robust=True, random_state=0, **HELD_OUT).fit(rows(100))
    first, *others = [np.sort(x) for x, _ in trained_on]
    assert len(first) == 80
    assert len(others) == 2
    for left in others:  # of all 80 rows, each time
        np.testing.assert_array_equal(left, first[:72])
    VAEDetector(random_state=0, **HELD_OUT).fit(rows(100))
    steps, refit = zip(*((config.training.steps, config.prior.refit) for _, config in trained_on))
    assert (steps[:3], refit) == ((detectors.ROBUST["training.steps"],) * 3, (False,) * 4)
    assert steps[3] != steps[0]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_row_is_compared_with_and_scored_by_the_model_that_did_not_see_it(monkeypatch, folds):
    """A model adds the square of its number, times 1,000, to the first column: a score says which model gave it."""
    models = []

    def row_scores(trained, data, positions, **options):
        if trained not in models:
            models.append(trained)
        return both(np.asarray(data.x[:, 0], np.float64) + 1000.0 * models.index(trained) ** 2)

    monkeypatch.setattr(detectors, "row_scores", row_scores)
    untrained(monkeypatch, lambda data: set(data.x[:, 0].tolist()))
    detector = VAEDetector(random_state=0, folds=folds).fit(rows(61))
    assert len(detector.models_) == folds
    assert detector.model_ is detector.models_[0]
    apart = [set(range(61)) - model.model for model in detector.models_]
    assert sorted(x for part in apart for x in part) == list(range(61))  # each row is out of one model
    assert {len(part) for part in apart} <= {61 // folds, 61 // folds + 1}
    expected = np.array([x + 1000.0 * next(k**2 for k in range(folds) if x in apart[k]) for x in range(61)])
    X = np.stack([np.arange(61), np.arange(61) % 7], axis=1).astype(np.float32)
    np.testing.assert_allclose(-detector.score_samples(X), expected)
    np.testing.assert_allclose(detector.calibration_, np.sort(expected))
    assert detector.others_ == 61
    new = np.array([[0.25, 3.0]], np.float32)  # the median of all models
    assert -detector.score_samples(new)[0] == pytest.approx(0.25 + 1000.0 * np.median(np.arange(folds) ** 2))
    p = detector.p_values(new)[0]
    assert p == (1 + np.sum(expected >= 0.25 + 1000.0 * np.median(np.arange(folds) ** 2))) / 62
    detector.p_values(X)  # rows of fit are as usual as they are: nothing is said


@pytest.mark.parametrize("robust", [False, True])
def test_p_values_of_folds_are_uniform_over_refits(monkeypatch, robust):
    """A Normal in the place of the VAE, of so few rows that it learns them by heart: 60 in 10 columns, 20 refits."""

    def normal(data):
        x = np.asarray(data.x, np.float64)
        return SimpleNamespace(at=x.mean(0), inverse=np.linalg.inv(np.cov(x.T) + 0.01))

    def row_scores(trained, data, positions, **options):
        d = np.asarray(data.x, np.float64) - trained.model.at  # of the units of the rows
        return both(np.einsum("ij,jk,ik->i", d, trained.model.inverse, d))

    monkeypatch.setattr(detectors, "row_scores", row_scores)
    untrained(monkeypatch, normal)
    shares, of_fit = [], []
    for seed in range(20):
        drawn = np.random.default_rng(seed).standard_t(5, size=(460, 10))
        detector = VAEDetector(random_state=seed, robust=robust).fit(drawn[:60])
        shares.append([np.mean(detector.p_values(drawn[60:]) <= a) for a in (0.05, 0.1, 0.3)])
        of_fit.append(np.mean(detector.p_values(drawn[:60]) <= 0.1))
    found = np.mean(shares, axis=0)
    np.testing.assert_array_less(np.abs(found - [3 / 61, 6 / 61, 18 / 61]), [0.015, 0.02, 0.03])
    assert 0.06 < np.mean(of_fit) <= 0.1  # rows of fit are as usual as new ones


def test_folds_follow_the_number_of_rows(trained_on, monkeypatch):
    monkeypatch.setattr(detectors, "CROSS_FITTED", 50)
    assert VAEDetector(random_state=0).fit(rows(50)).others_ == 50
    many = VAEDetector(random_state=0).fit(rows(100))
    assert (len(many.models_), many.others_) == (1, 20)
    assert len(VAEDetector(random_state=0, alpha=0.4, folds=9).fit(rows(4)).models_) == 4
    with pytest.warns(UserWarning, match="of 18 held-out rows, so no row is an outlier: give 19 rows or more"):
        VAEDetector(random_state=0).fit(rows(18))
    with pytest.raises(UsageError, match="folds: must be a whole number of 1 or more"):
        VAEDetector(folds=0).fit(rows(30))


@pytest.fixture
def imputes(monkeypatch):
    """Every gap is the least value, with a half of the probability on the least and on the largest one."""
    calls = []

    def imputed(trained, data, *, key, num_samples, num_draws):
        calls.append(num_draws)
        hidden = np.zeros(data.x.shape, bool) if data.mask is None else ~np.asarray(data.mask)
        x, rows = np.where(hidden, 0.0, np.asarray(data.x)), np.flatnonzero(hidden.any(axis=1))
        shares = [np.eye(one.count)[[0, -1]].mean(axis=0) * np.ones((len(rows), 1)) for one in trained.schema.types]
        draws = np.where(hidden[:, None], np.arange(num_draws)[None, :, None] % 2, x[:, None])
        return Imputation(x, draws, hidden, rows, shares, np.full(len(rows), float(num_samples)))

    monkeypatch.setattr(vae, "imputed", imputed)
    untrained(monkeypatch, lambda data: None)
    return calls


X = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0], [np.nan, 5.0], [np.nan, 8.0]] * 10)


def test_gaps_are_filled_in_and_nothing_else(imputes):
    one = VAEImputer(columns={}, random_state=0).fit(X)
    filled = one.transform(X)
    np.testing.assert_array_equal(filled[:4], X[:4])
    assert filled[[4, 5], 0].tolist() == [0.0, 0.0]
    low, high = one.intervals(X, 0.5)
    assert (low[4, 0], high[4, 0]) == (0.0, 3.0)
    assert np.isnan(low[:4]).all()
    assert np.isnan(high[:, 1]).all()


def test_every_table_has_a_draw_of_its_own(imputes):
    one = VAEImputer(columns={}, random_state=0).fit(X)
    tables = one.draws(X, 3)
    assert imputes == [3]
    grid = one.model_.schema.types[0]
    for k, table in enumerate(tables):
        np.testing.assert_array_equal(table[4, 0], grid.low + grid.step * (k % 2))
        np.testing.assert_array_equal(table[:4], X[:4])
