"""What the estimators give after two steps of training: as recorded."""

import numpy as np
import pandas as pd
import pytest
from records import meets_record

from latens.errors import DataError, ModelFileError, UsageError
from latens.estimators import VAE, Autoencoder
from latens.estimators.base import with_nan
from latens.estimators.targets import classes_of, codes_of

SMALL = {"network.hidden": [4]}
rng = np.random.default_rng(0)
X = (rng.normal(size=(60, 3)) * [1.0, 4.0, 0.2] + [0.0, 3.0, -1.0]).astype(np.float32)
Y = np.array(["no", "yes", "so"])[np.arange(60) % 3]
NOISE = np.array([[0.5, -1.0], [0.0, 0.0], [2.0, 1.0]])


def vae(**options):
    return VAE(2, steps=2, random_state=0, settings=SMALL, **options)


def test_a_vae_gives_the_recorded_numbers(tmp_path):
    one = vae().fit(X)
    codes = one.transform(X[:3])
    means, scales = one.encode(X[:3])
    np.testing.assert_allclose(codes, means, atol=1e-6)
    noisy = one.transform(X[:3], noise=NOISE)
    np.testing.assert_allclose(noisy, means + scales * NOISE, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.reconstruct(X[:3], noise=NOISE), one.inverse_transform(noisy), rtol=1e-5, atol=1e-5)
    found = {
        "codes": [codes, scales],
        "rows": one.inverse_transform(codes),
        "samples": one.sample(4, random_state=1),
        "scores": [one.score_samples(X[:5]), one.score(X[:5])],
    }
    for name, numbers in found.items():
        meets_record(f"VAE: {name}", numbers, rtol=1e-3)
    one.save(tmp_path / "m.safetensors")
    again = VAE.load(tmp_path / "m.safetensors")
    np.testing.assert_allclose(again.transform(X[:3]), codes, atol=1e-6)
    assert again.get_params()["latent_dim"] == 2
    assert (again.n_features_in_, again.latent_dim_, again.seed_) == (3, 2, 0)
    with pytest.raises(ModelFileError, match="VAE"):
        Autoencoder.load(tmp_path / "m.safetensors")
    with pytest.raises(DataError, match="3 columns; the model has 2"):
        one.inverse_transform(np.zeros((1, 3)))
    once_more = one.partial_fit(X)
    assert once_more is one
    assert one.model_.config.optimizer.warmup_steps == 0
    assert np.abs(one.transform(X[:3]) - codes).max() > 1e-6


def test_gaps_of_a_vae_are_filled_and_others_stay():
    gone = rng.random(X.shape) < 0.2
    gaps = np.where(gone, np.nan, X)
    one = vae().fit(gaps)
    filled = one.impute(gaps, num_samples=10)
    np.testing.assert_array_equal(filled[~gone], X[~gone])
    draws = one.impute(gaps[:4], num_samples=10, n_draws=2)
    assert draws.shape == (2, 4, 3)
    meets_record("VAE: gaps", [filled, draws], rtol=1e-3)


def test_an_autoencoder_has_points():
    one = Autoencoder(2, steps=2, random_state=0, settings=SMALL).fit(X)
    means, scales = one.encode(X[:3])
    assert np.all(scales == 0.0)
    assert means.shape == scales.shape == (3, 2)
    meets_record("autoencoder", [means, one.score(X[:5]), one.reconstruct(X[:2])], rtol=1e-3)
    with pytest.raises(ValueError, match="NaN"):
        one.transform(np.full((2, 3), np.nan))
    frame = pd.DataFrame({"a": X[:, 0].round(1), "b": Y})
    of_frame = Autoencoder(1, steps=2, random_state=0, settings=SMALL).fit(frame)
    back = of_frame.reconstruct(frame)
    assert list(back.columns) == ["a", "b"]
    assert set(back["b"]) <= set(Y)
    frame.loc[3, "a"] = np.nan
    with pytest.raises(DataError, match="row 3, column 'a'"):
        of_frame.transform(frame)


def test_a_conditional_vae_reads_labels():
    one = vae(recipe="conditional-vae").fit(X, Y)
    assert classes_of(one.model_).tolist() == sorted(set(Y))
    codes = codes_of(one.model_, Y[:4], 4)
    assert [sorted(set(Y))[code] for code in codes] == Y[:4].tolist()
    assert codes_of(one.model_, "yes", 2).tolist() == [2, 2]
    assert codes_of(vae().fit(X).model_, None, 2) is None
    with pytest.raises(UsageError, match="a conditional model needs y"):
        one.transform(X[:4])
    with pytest.raises(UsageError, match=r"shape \(3,\) for 4 rows"):
        one.transform(X[:4], Y[:3])
    meets_record("conditional VAE", [one.transform(X[:4], Y[:4]), one.inverse_transform(NOISE, "so")], rtol=1e-3)


def test_only_a_recipe_that_predicts_labels_has_a_predict():
    assert not hasattr(VAE(), "predict")
    assert hasattr(VAE(recipe="m2"), "predict")


def test_missing_values_of_a_frame_are_nan():
    frame = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [0.5, 1.5, 2.5]}, index=[4, 5, 6])
    found = with_nan(frame)
    np.testing.assert_array_equal(found["a"].to_numpy(), [1.0, np.nan, 3.0])
    assert found.index.tolist() == [4, 5, 6]
    assert with_nan(frame[["b"]]) is not None
    masked = np.ma.masked_array([[1.0, 2.0]], [[False, True]])
    np.testing.assert_array_equal(with_nan(masked), [[1.0, np.nan]])
