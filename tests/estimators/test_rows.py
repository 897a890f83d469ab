"""Imputation and outlier detection as scikit-learn has them, of arrays and of frames with any columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from latens import VAEDetector, VAEImputer
from latens.errors import ConfigError, DataError

pytestmark = pytest.mark.more
TINY = {"training.steps": 2, "network.hidden": [4], "posterior.latent_dim": 2}


@pytest.mark.long
@parametrize_with_checks(
    [
        VAEImputer(settings=TINY, num_samples=5, random_state=0),
        VAEDetector(alpha=0.4, settings=TINY, num_samples=5, random_state=0),  # a few rows are enough to hold out
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_options_of_the_detector_are_checked():
    X = np.random.default_rng(0).normal(size=(100, 2))
    for options in ({"alpha": 0.0}, {"alpha": 1.5}, {"alpha": "much"}):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            VAEDetector(settings=TINY, **options).fit(X)
    with pytest.warns(UserWarning, match="198 rows or more"):
        few = VAEDetector(alpha=0.01, settings=TINY, random_state=0, folds=1).fit(X)
    assert few.offset_ == -np.inf
    assert (few.predict(X + 100.0) == 1).all()
    detector = VAEDetector(settings=TINY, random_state=0).fit(X)
    with pytest.raises(ConfigError, match="typed"):
        detector.explain(X)


def test_a_name_that_fit_did_not_see_is_an_outlier_and_is_named():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"city": rng.choice(["Lyon", "Oslo"], 200), "x": rng.integers(0, 5, 200)})
    detector = VAEDetector(settings=TINY, num_samples=5, random_state=0).fit(table)
    new = table.head(6).copy()
    new.loc[2, "city"] = "Atlantis"
    assert detector.score_samples(new)[2] == -np.inf
    assert detector.predict(new)[2] == -1
    assert detector.p_values(new)[2] == 1 / (len(detector.calibration_) + 1)
    told = detector.explain(new, cells=1)
    assert (told["cell_1"][2], told["value_1"][2], told["p_1"][2]) == ("city", "Atlantis", "0")
    assert told["reason"][2].endswith("no training row has this value")
    # Some name is among the rows held out alone: it is as surprising as another such name.
    rare = table.assign(city=[f"{city}{i}" if i % 7 == 0 else city for i, city in enumerate(table["city"])])
    rare = rare.assign(city=rare["city"].where(rare.index % 14 != 0, "Rome"))
    detector = VAEDetector(settings=TINY, num_samples=5, random_state=0, columns={"city": "category"}).fit(rare)
    lone = int(np.isinf(detector.calibration_).sum())
    assert lone > 0
    assert detector.p_values(new)[2] == (1 + lone) / (len(detector.calibration_) + 1)
    assert detector.predict(new)[2] == -1


def test_columns_are_declared_for_estimators():
    rng = np.random.default_rng(0)
    X = rng.choice([5.0, 7.0, 11.0], (120, 2))
    X[0] = np.nan
    imputer = VAEImputer(columns={"x0": "category", "x1": "ordinal"}, settings=TINY, num_samples=5, random_state=0)
    full = imputer.fit_transform(X)
    assert [one.kind for one in imputer.model_.schema.types] == ["category", "ordinal"]
    assert set(full[0]) <= {5.0, 7.0, 11.0}
    detector = VAEDetector(columns={"x0": "category"}, settings=TINY, num_samples=5, random_state=0).fit(X)
    assert [one.kind for one in detector.model_.schema.types] == ["category", "number"]
    frame = pd.DataFrame({"word": ["a", "b"] * 60, "x": np.where(np.arange(120) == 5, np.inf, 1.0)})
    with pytest.raises(DataError, match="row 5, column 'x': holds inf"):
        VAEImputer(settings=TINY).fit(frame)
    with pytest.raises(DataError, match="no column 'y', which"):
        VAEImputer(columns={"y": "category"}, settings=TINY).fit(X)
    with pytest.raises(DataError, match="unknown kind 'word'"):
        VAEDetector(columns={"x0": "word"}, settings=TINY).fit(X)
