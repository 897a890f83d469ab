"""Frames with columns of several kinds in all estimators of rows, as they are: dtypes decide, then the cells."""

import numpy as np
import pandas as pd
import pytest

from latens import VAE
from latens.errors import ConfigError, DataError

SIZES = ["S", "M", "L"]
TINY = {"hidden": 8, "latent_dim": 2, "steps": 20, "random_state": 0}


def frame(n, seed):
    """Columns of every kind: all but the last two hang on the city; every row has a key of its own."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 3, n)
    columns = {
        "city": np.array(["Lyon", "Oslo", "Porto"], object)[city],
        "class": pd.Categorical(city + 1, categories=[1, 2, 3]),
        "size": pd.Categorical(np.array(SIZES)[city], categories=SIZES, ordered=True),
        "member": city == 1,
        "sure": pd.array(np.where(rng.random(n) < 0.2, None, city == 2), dtype="boolean"),
        "children": pd.array(np.where(rng.random(n) < 0.2, None, rng.integers(0, 4, n)), dtype="Int64"),
        "income": np.round(100.0 * city + rng.normal(size=n), 1),
        "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, n), "D"),
        "key": [f"k{seed}-{i}" for i in range(n)],
    }
    made = pd.DataFrame(columns)
    made.loc[rng.random(n) < 0.1, ["income", "city"]] = None
    return made


@pytest.fixture(scope="module")
def vae():
    return VAE(**TINY).fit(frame(300, 0))


def test_samples_have_what_is_given(vae):
    made = vae.sample(40, given={"city": "Oslo", "income": (99.0, 101.0)}, random_state=1)
    assert set(made["city"]) == {"Oslo"}
    assert made["income"].between(99.0, 101.0).all()
    assert made["joined"].nunique() > 10
    with pytest.raises(DataError, match="Olso"):
        vae.sample(4, given={"city": "Olso"})
    with pytest.raises(ConfigError, match="no columns by kind"):
        VAE(**TINY).fit(np.random.default_rng(0).normal(size=(40, 3))).sample(2, given={"x0": 0.5})


@pytest.mark.parametrize("number", ["numbers", "objects"])
def test_frames_of_numbers_are_what_their_arrays_are(number):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    plain = X.to_numpy(np.float64)
    if number == "objects":
        X = X.astype(object)
    found, expected = VAE(**TINY).fit(X), VAE(**TINY).fit(plain)
    assert found.model_.schema.types is None
    np.testing.assert_array_equal(found.score_samples(X), expected.score_samples(plain))
    np.testing.assert_array_equal(found.sample(5), expected.sample(5))


def test_training_goes_on_with_the_columns_that_it_began_with():
    begun = VAE(**TINY).partial_fit(frame(200, 0))
    schema = begun.model_.schema
    begun.partial_fit(frame(100, 0).iloc[:50])
    assert begun.model_.schema == schema
    with pytest.raises(DataError, match="which no training row had"):
        begun.partial_fit(frame(60, 0).assign(city="Nowhere"))
    change = begun.refit_prior(frame(200, 0), "mixture", steps=20)
    assert np.isfinite(change.value)
