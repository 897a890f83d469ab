"""Imputation and outlier detection as scikit-learn has them, of arrays and of frames with any columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from latens import VAEDetector, VAEImputer
from latens.errors import ConfigError, DataError

pytestmark = pytest.mark.more
TINY = {"training.steps": 2, "network.hidden": [4], "posterior.latent_dim": 2}
SMALL = {"training.steps": 800}


@pytest.mark.long
@parametrize_with_checks(
    [
        VAEImputer(settings=TINY, num_samples=5, random_state=0),
        VAEDetector(alpha=0.4, settings=TINY, num_samples=5, random_state=0),  # a few rows are enough to hold out
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def frame(n, seed):
    """Columns of every kind, of which the first three say the same."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b", "c"], n)
    size = np.round(10.0 * (kind == "b") + 20.0 * (kind == "c") + rng.normal(size=n), 1)
    columns = {
        "kind": pd.Categorical(kind, categories=["a", "b", "c"]),
        "size": size,
        "first": kind == "a",
        "n": pd.array(rng.integers(0, 5, n), dtype="Int64"),
        "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, n), "D"),
        "key": [f"k{seed}{i}" for i in range(n)],
    }
    return pd.DataFrame(columns, index=np.arange(n) + 1000)


def with_holes(full, seed, share=0.15):
    rng, holes = np.random.default_rng(seed), full.copy()
    for name in ("kind", "size", "n", "when"):
        holes.loc[rng.random(len(full)) < share, name] = None
    return holes


@pytest.fixture(scope="module")
def imputer():
    return VAEImputer(settings={"training.steps": 3000}, random_state=0).fit(with_holes(frame(800, 0), 1))


def test_a_frame_is_filled_and_stays_what_it_was(imputer):
    full = frame(400, 2)
    holes = with_holes(full, 3)
    found = imputer.transform(holes)
    assert list(found.columns) == list(full.columns)
    assert list(found.index) == list(full.index)
    assert (found.dtypes == holes.dtypes).all()
    assert not found.isna().any().any()
    for name in full.columns:
        seen = holes[name].notna()
        assert (found.loc[seen, name] == full.loc[seen, name]).all(), name
    gone = holes["kind"].isna() & holes["size"].notna()
    assert np.mean(found.loc[gone, "kind"] == full.loc[gone, "kind"]) > 0.95
    gone = holes["size"].isna() & holes["kind"].notna()
    assert np.std(found.loc[gone, "size"] - full.loc[gone, "size"]) < 1.3  # its noise is 1
    # Neither the other rows nor their order change what a row is filled with.
    again = imputer.transform(holes.iloc[::-1][100:])
    pd.testing.assert_frame_equal(again, found.loc[again.index])


def test_draws_and_intervals_have_the_spread_of_what_is_missing(imputer):
    full = frame(300, 4)
    holes = full.copy()
    holes["size"] = np.nan
    low, high = imputer.intervals(holes, 0.9)
    names = [column.name for column in imputer.model_.schema.columns]
    j = names.index("size")
    inside = (full["size"] >= low["size"]) & (full["size"] <= high["size"])
    assert inside.mean() > 0.87  # of 300 rows, 0.9 less two standard errors
    assert list(low.columns) == names
    assert low.drop(columns=names[j]).isna().all(axis=None)
    drawn = np.stack([np.asarray(each["size"]) for each in imputer.draws(holes, 40)])
    centre = full["kind"].map({"a": 0.0, "b": 10.0, "c": 20.0}).to_numpy(float)
    own = np.abs(drawn - centre) < 5
    # Of 800 rows up to a tenth of the probability stays with the cells of other kinds (docs/tables.md).
    assert own.mean() > 0.9
    assert np.std((drawn - centre)[own]) == pytest.approx(1.0, rel=0.25)
    assert np.median(np.nanstd(np.where(own, drawn, np.nan), axis=0)) == pytest.approx(1.0, rel=0.25)


@pytest.mark.long
def test_an_imputer_stands_before_a_classifier():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = y[:, None] * [2.0, -2.0, 1.0] + rng.normal(size=(600, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    pipeline = make_pipeline(VAEImputer(settings=SMALL, random_state=0), LogisticRegression())
    assert pipeline.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.85
    made = clone(pipeline[0]).set_output(transform="pandas").fit_transform(pd.DataFrame(X, columns=list("uvw")))
    assert list(made.columns) == list("uvw")


def test_what_cannot_be_imputed_is_said(imputer):
    strange = frame(3, 5)
    strange["kind"] = ["a", "d", "b"]
    with pytest.raises(DataError, match="'d'"):
        imputer.transform(strange)
    with pytest.raises(ValueError, match="feature"):
        imputer.transform(frame(3, 5).drop(columns="n"))
    empty = frame(60, 6)
    empty["size"] = np.nan  # no training row has a value: it stays empty
    found = VAEImputer(settings=TINY, random_state=0).fit_transform(empty)
    assert found["size"].isna().all()


@pytest.mark.long
def test_the_detector_keeps_its_false_alarms_and_names_the_wrong_cell():
    detector = VAEDetector(alpha=0.1, settings=SMALL, random_state=0).fit(frame(1500, 0))
    usual = frame(1000, 7)
    p = detector.p_values(usual)
    for a in (0.05, 0.1, 0.3):  # 300 held-out rows and 1,000 new ones
        assert np.mean(p <= a) < a + 3 * np.sqrt(a * (1 - a) * (1 / 300 + 1 / 1000))
    assert np.array_equal(detector.predict(usual) == -1, p <= 0.1)
    assert np.array_equal(detector.decision_function(usual) < 0, p <= 0.1)
    wrong = frame(200, 8)
    wrong = wrong[wrong["kind"] != "b"].copy()
    wrong["size"] = np.where(wrong["kind"] == "a", 20.0, 0.0)
    assert np.mean(detector.p_values(wrong) <= 0.1) > 0.9
    told = detector.explain(wrong, cells=2)
    assert np.mean(np.isin(told["cell_1"], ["kind", "size"])) > 0.9
    assert all(word in ("kind", "size", "first", "n", "when") for word in told["cell_2"])
    assert told["value_1"][told["cell_1"] == "size"][0] in ("20.0", "0.0")


@pytest.mark.long
@pytest.mark.parametrize(("share", "scattered"), [(0.0, True), (0.02, False), (0.02, True), (0.1, True)])
def test_outliers_among_the_rows_of_fit_are_found_by_robust_training(share, scattered):
    rng = np.random.default_rng(0)
    n, odd = 2000, int(share * 2000)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 8)) + 0.3 * rng.normal(size=(n, 8))
    # A tenth of the rows in a dense cloud would be a kind of rows; a fiftieth is what a large model learns by heart.
    x[:odd] = (
        2.5 * rng.normal(size=(odd, 8)) if scattered else rng.normal(size=8) * 3.0 + 0.1 * rng.normal(size=(odd, 8))
    )
    detector = VAEDetector(robust=True, settings={"training.steps": 1500}, random_state=0).fit(x)
    scores = detector.score_samples(x)
    assert np.mean(scores[odd:] < detector.offset_) < 0.08  # alpha is 0.05, and 400 held-out rows say where that is
    if odd:
        assert np.mean(scores[:odd, None] < scores[None, odd:]) > 0.99  # the area under the ROC curve


def test_options_of_the_detector_are_checked():
    X = np.random.default_rng(0).normal(size=(100, 2))
    for options in ({"alpha": 0.0}, {"alpha": 1.5}, {"held_out": 1.0}, {"alpha": "much"}):
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
    with pytest.raises(DataError, match="no column 'y', of which"):
        VAEImputer(columns={"y": "category"}, settings=TINY).fit(X)
    with pytest.raises(DataError, match="unknown kind 'word'"):
        VAEDetector(columns={"x0": "word"}, settings=TINY).fit(X)
