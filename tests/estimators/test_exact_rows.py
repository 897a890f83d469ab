"""What estimators make of rows, settings and labels before and after a training that takes no step."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from latens import VAE, VAEDetector, VAEImputer
from latens.config import LikelihoodConfig
from latens.data.row_fields import row_keys
from latens.errors import ConfigError, DataError, ResourceError, UsageError
from latens.estimators import Autoencoder, GenerativeClassifier, autoencoder, vae
from latens.estimators.base import (
    _is_plain,
    _tuples,
    classes_of,
    codes_of,
    labelled,
    plain_value,
    refuse_words,
    seed_of,
)
from latens.estimators.frames import as_dataset, observed_cells
from latens.evidence import Estimate
from latens.recipes.likelihoods import kinds_of
from latens.runtime import compilation
from latens.trained.prior_refit import Refitted

SMALL = {"network.hidden": [3]}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 2)).astype(np.float32)


@pytest.fixture
def told(monkeypatch):
    """Every experiment that would have been trained; the model is that before its first step."""
    return untrained(monkeypatch)


def untrained(monkeypatch):
    experiments = []

    def train(experiment, **options):
        experiments.append(experiment)
        return experiment.trained(experiment.new_model()), SimpleNamespace(history=[])

    monkeypatch.setattr(autoencoder, "train", train)
    return experiments


@pytest.fixture(scope="module")
def fitted():
    """A VAE of a frame with numbers and words."""
    with pytest.MonkeyPatch.context() as patch:
        untrained(patch)
        return VAE(2, random_state=0, settings=SMALL).fit(FRAME)


FRAME = pd.DataFrame({"x": np.arange(60.0) / 7, "word": ["a", "b", "c"] * 20})


# --- rows as a data set ---


@pytest.mark.parametrize(("fraction", "n"), [(0.3, 60), (0.3, 49), (0.3, 50), (None, 60), (0.0, 60), (0.9, 60)])
def test_rows_that_validate_are_those_of_a_small_hash(fraction, n):
    picked = row_keys(np.arange(n)) / 2.0**32 < (fraction or 0.0) if n >= 50 else np.zeros(n, bool)
    data = as_dataset(np.resize(X, (n, 2)), None, validation_fraction=fraction)
    np.testing.assert_array_equal(data.split, picked.astype(np.uint8))
    np.testing.assert_array_equal(data.names, np.arange(n))
    assert data.mask is None


def test_kinds_of_rows_suit_the_likelihood():
    levels = RANDOM.integers(0, 4, (60, 2, 3)).astype(np.float64)
    flat = levels.reshape(60, 6)
    assert as_dataset(flat, (2, 3)).schema.shape == (2, 3)
    kept = as_dataset(flat, (2, 3), kinds=kinds_of(LikelihoodConfig(family="categorical")))
    assert (kept.schema.kind, kept.x.dtype) == ("levels", np.uint8)
    np.testing.assert_array_equal(kept.x, levels)
    for other in (flat - 1.0, flat + 0.5, flat + 253.0):
        assert as_dataset(other, None, kinds=kinds_of(LikelihoodConfig(family="categorical"))).schema.kind != "levels"
    unit = RANDOM.random((60, 2))
    for family in ("bernoulli", "continuous-bernoulli"):
        assert as_dataset(unit, None, kinds=kinds_of(LikelihoodConfig(family=family))).schema.kind == "unit"
        assert as_dataset(unit - 0.5, None, kinds=kinds_of(LikelihoodConfig(family=family))).schema.kind == "real"
        assert as_dataset(unit * 2.0, None, kinds=kinds_of(LikelihoodConfig(family=family))).schema.kind == "real"
    assert as_dataset(unit, None, kinds=kinds_of(LikelihoodConfig(family="normal"))).schema.kind == "real"
    gaps = np.where(unit < 0.2, np.nan, unit)
    found = as_dataset(gaps, None, kinds=("unit", "binary"), names=["a", "b"])
    assert found.schema.kind == "unit"
    np.testing.assert_array_equal(found.mask, ~np.isnan(gaps))
    assert observed_cells(unit) is None
    assert [column.name for column in as_dataset(unit, None, names=["a", "b"]).schema.columns] == ["a", "b"]


def test_plain_values_and_seeds():
    assert plain_value(np.float32(0.5)) == 0.5
    assert plain_value(np.arange(3)) == [0, 1, 2]
    plain = [1, "a", None, True, 0.5, [1, [2]], (1, 2), {"a": [1, {"b": None}]}]
    assert all(map(_is_plain, plain))
    assert not any(map(_is_plain, [object(), [1, object()], {"a": 1, "b": {object()}}, {1: 2}, {"a": [object(), 1]}]))
    assert _tuples([1, [2, [3]], "x"]) == (1, (2, (3,)), "x")
    assert seed_of(7) == seed_of(np.int64(7)) == 7
    assert seed_of(0) == 0
    assert seed_of(2**32 - 1) == 2**32 - 1
    for wrong in (-1, 2**32):
        with pytest.raises(UsageError, match=r"random_state must lie between 0 and 2\*\*32 - 1"):
            seed_of(wrong)
    assert seed_of(np.random.RandomState(3)) == np.random.RandomState(3).randint(2**31 - 1)


# --- autoencoders ---


def test_settings_of_a_fit(told):
    VAE(3, random_state=5, hidden=[4], learning_rate=0.01, batch_size=7, steps=11).fit(X)
    config = told[-1].config
    assert (config.posterior.latent_dim, config.network.hidden, config.training.batch_size) == (3, (4,), 7)
    assert (config.optimizer.learning_rate, config.training.steps, config.training.epochs) == (0.01, 11, None)
    assert (config.training.seed, config.data.validation) == (5, "split")
    VAE(3, random_state=5, epochs=2, settings=SMALL).fit(X)
    config = told[-1].config
    assert (config.training.epochs, config.training.steps, config.training.seed) == (2, None, 5)
    assert told[-1].data.count("validation") == np.count_nonzero(row_keys(np.arange(60)) / 2.0**32 < 0.1)
    VAE(2, random_state=0, settings=SMALL | {"validation_fraction": None}).fit(X)
    assert told[-1].data.count("validation") == 0
    for wrong in (1.0, -0.1, True, "all"):
        with pytest.raises(ConfigError, match="validation_fraction: must be a share from 0 and below 1, or None"):
            VAE(2, settings=SMALL | {"validation_fraction": wrong}).fit(X)


def test_a_model_of_ones_own_leaves_no_place_for_parts(told):
    for name, value in {"latent_dim": 2, "hidden": [3], "posterior": "normal", "prior": "mixture"}.items():
        given = {"latent_dim": None, name: value}
        with pytest.raises(ConfigError, match=f"a model of your own leaves no place for {name}"):
            VAE(settings={"model": lambda schema, key: None}, **given).fit(X)
    with pytest.raises(ConfigError, match="a model of your own leaves no place for recipe"):
        VAE(None, recipe="conv-vae", settings={"model": lambda schema, key: None}).fit(X)


def test_a_mean_is_asked_for(told):
    one = VAE(2, random_state=0, settings=SMALL).fit(X)
    drawn, mean = one.posterior_predictive(X[:5]), one.posterior_predictive(X[:5], mean=True)
    np.testing.assert_allclose(mean, one.reconstruct(X[:5]), rtol=1e-5, atol=1e-6)
    assert np.abs(drawn - mean).min() > 0
    np.testing.assert_array_equal(one.posterior_predictive(X[:5]), drawn)
    assert np.abs(one.posterior_predictive(X[:5], random_state=1) - drawn).min() > 0
    np.testing.assert_array_equal(one.posterior_predictive(X[:5], mean=np.int64(1)), mean)
    np.testing.assert_array_equal(one.prior_predictive(3, np.int64(1)), one.prior_predictive(3, True))
    for wrong in ("3", np.nan, [2], None):
        for call in (lambda: one.posterior_predictive(X[:5], wrong), lambda: one.prior_predictive(3, wrong)):  # noqa: B023
            with pytest.raises(ConfigError, match=r"mean: .* is neither true nor false"):
                call()


def test_a_prior_is_fitted_to_rows_of_the_same_columns(told, monkeypatch):
    one = VAE(2, random_state=0, settings=SMALL | {"validation_fraction": 0.3}).fit(X)
    given = []
    refitted = lambda model, data, kind, **options: given.append(data) or Refitted(model, gain)  # noqa: E731
    monkeypatch.setattr(vae, "refit_prior", refitted)
    gain = None
    assert one.refit_prior(X) is None
    np.testing.assert_array_equal(given[0].split, (row_keys(np.arange(60)) / 2.0**32 < 0.3).astype(np.uint8))
    with pytest.raises(ValueError, match="X has 1 features, but VAE is expecting 2 features"):
        one.refit_prior(X[:, :1])
    gain = Estimate.of(np.array([-3.0, -3.1, -2.8]), num_samples=1, protocol="the change")
    with pytest.warns(UserWarning, match="lower than with the former prior: use the former model") as said:
        assert one.refit_prior(X) is gain
    assert said[0].filename == __file__  # the caller's line, not one of latens


def test_whole_numbers_have_no_gaps(told):
    rows = RANDOM.integers(0, 9, (20, 2))
    one = VAE(2, random_state=0, settings=SMALL).fit(rows)
    np.testing.assert_array_equal(one.impute(rows, num_samples=5), rows)
    drawn = one.impute(rows, n_draws=3, num_samples=5)
    assert drawn.shape == (3, 20, 2)
    np.testing.assert_array_equal(drawn, np.stack([rows] * 3))


def test_frames_with_words_have_typed_columns_for_frames_and_arrays(fitted, told):
    one, schema = fitted, fitted.model_.schema
    assert [kind.kind for kind in schema.types] == ["number", "category"]
    assert list(one.feature_names_in_) == ["x", "word"]
    again = one.inverse_transform(one.transform(FRAME))
    assert again.dtypes.equals(FRAME.dtypes)
    with pytest.raises(DataError, match="'d'"):
        one.transform(FRAME.replace("c", "d"))
    with pytest.warns(UserWarning, match="20 of 60 rows hold names that no training row had"):
        assert len(one.transform(FRAME.replace("c", "d"), unknown="skip")) == 40
    numbers = VAE(2, random_state=0, settings=SMALL).fit(FRAME[["x"]])
    assert numbers.model_.schema.types is None
    with pytest.raises(DataError, match="row 3, column 'x': a cell is missing, which an autoencoder does not take"):
        Autoencoder(2, settings=SMALL).fit(FRAME.assign(x=FRAME["x"].where(FRAME.index != 3)))


def test_gaps_in_rows_that_are_skipped_go_with_them(fitted):
    gaps = FRAME.replace("c", "d")
    gaps.loc[[0, 5], "x"] = np.nan
    gaps.loc[[1], "word"] = None
    with pytest.warns(UserWarning, match="20 of 60 rows"):
        filled = fitted.impute(gaps, unknown="skip", num_samples=5)
    kept = gaps[gaps["word"] != "d"]
    assert len(filled) == 40
    assert not filled.isna().any().any()
    known = kept.notna().all(axis=1).to_numpy()
    assert filled[known].reset_index(drop=True).equals(kept[known].reset_index(drop=True))


# --- imputers and detectors ---


def test_a_detector_wants_two_rows_to_fit_and_one_to_score(told):
    assert VAEDetector().alpha == 0.05
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        VAEDetector(settings=SMALL).fit(X[:1])
    detector = VAEDetector(settings=SMALL, num_samples=5, random_state=0, folds=1).fit(X)
    assert detector.score_samples(X[:1]).shape == (1,)
    data = told[0].data
    assert len(data) == 60 - detector.others_
    np.testing.assert_array_equal(data.split == 1, row_keys(np.arange(len(data))) / 2.0**32 < 0.1 * (len(data) >= 50))


def test_a_tenth_of_the_rows_validates_a_detector_or_an_imputer(told):
    for typed in (True, False):
        VAEImputer(columns={} if typed else None, settings=SMALL, random_state=0).fit(X)
        data = told[-1].data
        np.testing.assert_array_equal(data.split, row_keys(np.arange(60)) / 2.0**32 < 0.1)
        assert (data.schema.types is not None) is typed


def test_rows_of_a_typed_detector_are_types_also_of_an_array(told):
    plain = VAEDetector(settings=SMALL, num_samples=5, random_state=0).fit(X)
    typed = VAEDetector(typed=True, settings=SMALL, num_samples=5, random_state=0).fit(X)
    assert plain.model_.schema.types is None
    assert [column.name for column in typed.model_.schema.columns] == ["x0", "x1"]
    assert len(typed.model_.schema.types) == 2


# --- labels ---


def test_labels_that_are_missing_have_the_code_of_none(told):
    one = VAE(2, recipe="conditional-vae", random_state=0, settings=SMALL).fit(X, np.arange(60) % 3)
    trained, data = one.model_, as_dataset(X, None)
    assert classes_of(trained).tolist() == [0, 1, 2]
    config = trained.config
    assert labelled(data, np.where(np.arange(60) < 5, -1, np.arange(60) % 3), config).label.tolist()[:8] == [
        -1, -1, -1, -1, -1, 2, 0, 1,
    ]  # fmt: skip
    words = np.array(["u", "", "v"] * 20)
    found = labelled(data, words, config)
    assert (found.label.tolist()[:3], found.schema.classes) == ([0, -1, 1], ("u", "v"))
    with pytest.raises(UsageError, match="needs y"):
        labelled(data, None, config)
    assert codes_of(trained, 2.0, 3).tolist() == [2, 2, 2]
    assert codes_of(trained, ["0", "2", "1"], 3).tolist() == [0, 2, 1]
    with pytest.raises(UsageError, match="a conditional model needs y"):
        codes_of(trained, None, 3)
    with pytest.raises(UsageError, match=r"labels of shape \(2,\) for 3 rows"):
        codes_of(trained, [0, 1], 3)
    plain = VAE(2, random_state=0, settings=SMALL).fit(X)
    assert codes_of(plain.model_, None, 3) is None
    assert labelled(data, None, plain.model_.config) is data


# --- classifiers ---


ROWS = np.array([[0.0, 1.0], [2.0, 1.0], [5.0, 1.0], [7.0, 2.0], [6.0, 3.0]])
Y = np.array(["u", "u", "v", "v", "v"])


def test_a_sample_and_its_mean_take_the_memory_of_two(monkeypatch):
    one = GenerativeClassifier(random_state=0).fit(ROWS[[0, 1, 2, 3]], Y[[0, 1, 2, 3]])
    monkeypatch.setattr(compilation, "free_memory", lambda: 4 * 100 * (2 * 2 + 2))
    assert len(one.sample(100)[0]) == 100
    with pytest.raises(ResourceError, match="101 rows take"):
        one.sample(101)


def test_names_that_look_like_numbers_stay_names_after_the_fit() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"kind": ["10", "2", "30"] * 20, "size": np.arange(60.0)})
    own = VAE(1, settings={"columns": {"kind": "category"}}, steps=1, random_state=0).fit(frame)
    first = own._read(frame)[0]
    assert (first.schema.types or ())[0].named
    assert (first.schema.types or ())[0].values == ("10", "2", "30")
    np.testing.assert_array_equal(own._read(frame[::-1])[0].x, first.x[::-1])


@pytest.mark.parametrize("value", ["3", ("3",), [1, "3"]])
def test_text_in_place_of_a_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="is text, not a number") as error:
        refuse_words(steps=3, latent_dim=value)
    assert error.value.where == "latent_dim"
    refuse_words(steps=3, hidden=(4, 4), alpha=None, weights=np.ones(2))
