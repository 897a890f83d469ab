"""What is not a table of numbers, counts that cannot be, and codes of nothing: latens's own errors, none in silence."""

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.conditions import text_of
from latens.distributions import StandardNormal, kl
from latens.errors import DataError, LatensError, ResourceError, UsageError
from latens.estimators import VAE, GenerativeClassifier, VAEForecaster
from latens.estimators.base import with_nan
from latens.estimators.forecaster import _shares
from latens.kinds.tables.table_schema import as_frame
from latens.predictive.conditional_samples import conditions_of
from latens.runtime.compilation import check_count

CELLS = type("AnnData", (), {"__module__": "anndata._core.anndata"})()
DATES = np.full((3, 4), np.datetime64("2020-01-01"))
NONE, TWINS = np.full((5, 4), 1.0, object), pd.DataFrame(np.ones((3, 2)), columns=["a", "a"])
NONE[0, 2] = None
MASKED = np.ma.array(np.zeros((2, 2)), mask=np.eye(2))


@pytest.fixture(scope="module")
def vae() -> VAE:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 4)), columns=list("abcd"))
    return VAE(2, hidden=(4,), steps=1, settings={"num_samples": 2}, random_state=0).fit(frame)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[None] * 4] * 3, "cell [0, 0] is None, not a number"),
        (NONE, "cell [0, 2] is None, not a number"),
        (DATES, "holds dates, not numbers"),
        (DATES - DATES, "holds durations, not numbers"),
        ([[datetime.datetime(2020, 1, 1)] * 4], "cell [0, 0] is datetime.datetime(2020, 1, 1, 0, 0), not a number"),
        ([["a"] * 4], "holds text, not numbers"),
        ([["a", 1.0, 2.0, None]], "cell [0, 0] is 'a', not a number"),
        ([[1, 2, 3, 4], [1, 2, 3]], "rows are of unequal length (3, 4 cells)"),
        (np.zeros(3, [("a", float), ("b", float)]), "holds records, not numbers"),
        (TWINS, "two columns are named 'a'"),
        (pd.DataFrame(), "the frame has no columns"),
        (pd.DataFrame(index=range(5)), "the frame has no columns"),
        (pd.DataFrame({"a": [pd.Timestamp("2020-01-01")], "b": [1.0]}), "column 'a' holds dates, not numbers"),
        (pd.DataFrame({"a": ["x"], "b": [1.0]}), "cell [0] is 'x', not a number"),
    ],
)
def test_what_holds_no_numbers_is_named(given: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        with_nan(given)
    assert words in error.value.message
    assert error.value.where.startswith("X")
    assert error.value.fix


def test_numbers_of_every_kind_are_taken_as_they_were() -> None:
    numbers = np.array([[1, 2.5, "3", np.nan]], object)
    for given in (numbers, numbers[:, :2].tolist(), np.zeros((1, 2)), pd.DataFrame({"a": [1.0]})):
        assert with_nan(given) is given
    assert np.isnan(with_nan(np.ma.array([[1.0, 2.0]], mask=[[True, False]]))).tolist() == [[True, False]]


def test_a_frame_that_lacks_a_column_is_told_which(vae: VAE) -> None:
    frame = pd.DataFrame(np.ones((2, 4)), columns=list("abcd"))
    for given, words in (
        (frame[["a", "b", "c"]], "X: lacks the column 'd'. The feature names should match"),
        (frame.rename(columns={"d": "dd"}), "X: lacks the column 'd'. The feature names should match"),
        (frame.assign(z=1.0), "X: has a column 'z' that fit did not see. The feature names should match"),
        (frame[["b", "a", "c", "d"]], "X: has its columns in another order. The feature names should match"),
    ):
        with pytest.raises(DataError) as error:
            vae.transform(given)
        assert str(error.value).startswith(words)
    with pytest.raises(DataError, match="Did you mean 'dd'"):
        vae.transform(frame.rename(columns={"d": "dd"}))


@pytest.mark.parametrize("count", [0, -1, 2.5, "3", None, True])
def test_counts_that_are_none(vae: VAE, count: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: vae.sample(count),
        lambda: vae.model_.sample(count),
        lambda: vae.model_.log_marginal(np.zeros((2, 4)), num_samples=count),
        lambda: vae.impute(np.zeros((2, 4)), num_samples=count),
        lambda: vae.impute(np.zeros((2, 4)), n_draws=-1 if count == 0 else count),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="must be a whole number of 1 or more"):
            call()


@pytest.mark.parametrize("count", [10**12, 10**30])
def test_more_rows_than_memory_are_refused_before_anything_is_made(
    vae: VAE, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = np.zeros((1, 4))
    for call in (vae.sample, vae.model_.sample, lambda n: vae.interpolate(row, row, n)):
        with pytest.raises(ResourceError, match=r"rows take .* GB"):
            call(count)
    monkeypatch.setattr("latens.runtime.compilation.free_memory", lambda: 4 * 10 * (6 + 2))
    assert check_count(np.int64(10), "n", cells=6) == 10
    with pytest.raises(ResourceError, match="11 rows take"):
        check_count(11, "n", cells=6)
    monkeypatch.setattr("latens.runtime.compilation.free_memory", lambda: None)
    with pytest.raises(ResourceError):
        check_count(10**15, "n")


def test_conditions_that_are_none() -> None:
    schema = latens.read(pd.DataFrame({"c": ["u", "v"] * 20, "n": np.arange(40.0) % 7})).schema
    for given in ([], "c", [("c", "u")]):
        with pytest.raises(DataError, match="is not a mapping of columns to values"):
            conditions_of(given, schema)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"there is no column 1 in the model. Valid: c, n\."):
        conditions_of({1: 2}, schema)  # type: ignore[dict-item]
    assert as_frame(np.zeros((1, 2), np.float32), schema).shape == (1, 2)


def test_arrays_beside_the_rows(vae: VAE) -> None:
    trained, rows = vae.model_, np.zeros((2, 4))
    frame = pd.DataFrame(rows[:, ::-1], columns=list("dcba"))
    own, series = frame[list("abcd")], pd.Series(np.arange(40.0))
    for call, words in (
        (lambda: vae.inverse_transform(MASKED), "Z: cell [0, 0] is masked"),
        (lambda: vae.inverse_transform(DATES), "Z: holds dates"),
        (lambda: vae.inverse_transform([[1, 2], [1]]), "Z: rows are of unequal length"),
        (lambda: trained.encode(rows, noise=MASKED), "noise: cell [0, 0] is masked"),
        (lambda: trained.encode(rows, noise=[["a", "b"]] * 2), "noise: holds text"),
        (lambda: trained.decode(MASKED), "z: cell [0, 0] is masked"),
        (lambda: trained.decode(np.zeros((2, 3))), "z: there are latents of shape (2, 3)"),
        (lambda: trained.decode(np.full((2, 2), np.nan)), "z: there are latents that are not finite"),
        (lambda: trained.encode(NONE), "data: cell [0, 2] is None"),
        (lambda: trained.encode(DATES), "data: holds dates"),
        (lambda: trained.encode(rows.astype(complex)), "data: holds complex128 values"),
        (lambda: trained.encode(frame), "data: a frame is not an array of rows"),
        (lambda: trained.encode(CELLS), "data: an AnnData object is not an array of rows"),
        (lambda: trained.encode(rows[:0]), "data: has shape (0, 4): no rows"),
        (lambda: trained.sample(2, label=np.array([0, 1])), "label: array([0, 1]) holds no codes of the 0 classes"),
        (lambda: trained.log_marginal(rows, label="x"), "label: this model is not conditioned on labels"),
        (lambda: trained.given(5), "given: a int is not a Mapping"),
        (lambda: trained.guided("x"), "guidance: 'x' is not a number of 0 or more"),
        (lambda: trained.refit(rows), "the model was trained on other data"),
        (lambda: vae.interpolate(own, own), "an end of a path is one row, not 2"),
        (lambda: vae.score(own, sample_weight=[1j, 1]), "weights must be numbers"),
        (
            lambda: VAE(1, encoder="x").fit(rows),
            "there is no network 'x'. Valid: ",
        ),  # none, or those that were given before
        (lambda: latens.read(frame, derive="a = b +"), "'b +' is not an expression"),
        (lambda: latens.read({}), "data: has no columns"),
        (lambda: latens.read({"a": 1}), "data: column 'a' is not a list of cells"),
        (lambda: kl(StandardNormal((2,)), StandardNormal((3,))), "shapes (2,) and (3,) have no divergence"),
        (lambda: trained.sample(2, seed="a"), "seed: 'a' is not a seed"),
        (lambda: trained.detect(rows, alpha=None), "alpha: None is not within"),
        (lambda: trained.forecast(rows, None), "steps: None is not within"),
        (lambda: vae.fit({"a": [1.0], "b": [2.0]}), "a dict holds no rows. Give a frame: pandas.DataFrame(X)"),
        (lambda: vae.save("model"), "path: 'model' is not the name of a file of a model. Give a name that ends in"),
        (lambda: VAE(settings={"num_samples": -1}).fit(rows), "num_samples: must be a whole number of 1 or more"),
        (lambda: VAE(hidden=-1).fit(rows), "'-1' does not fit: expected `whole number from 1, or a list of them"),
        (lambda: GenerativeClassifier(density=["gaussian"]).fit(rows, [0, 1]), "there is no density ['gaussian']"),  # type: ignore[arg-type]
        (lambda: GenerativeClassifier().fit(rows, np.array(["a", 1], object)), "y: holds labels of several types"),
        (lambda: GenerativeClassifier().fit(rows, ["a" * 5000, "b"]), "y: a label has 5000 characters, of 1000"),
        (lambda: VAEForecaster(num_draws=1).fit(series), "num_draws: must be a whole number of 2 or more"),
        (lambda: VAEForecaster(window=0).fit(series), "window: must be a whole number of 1 or more, not 0. Give 1 or"),
        (lambda: _shares([[0.1], [0.1, 0.2]], "alpha"), "alpha: [[0.1], [0.1, 0.2]] is not between 0 and 1"),  # type: ignore[list-item]
        (lambda: trained.sample(2, seed=2**80), "is not a seed"),
    ):
        with pytest.raises(LatensError) as error:
            call()
        assert words in str(error.value)
    np.testing.assert_array_equal(trained.decode([[0.0, 0.5]]), trained.decode(np.array([[0.0, 0.5]])))


@pytest.mark.parametrize(("name", "value"), [("header", "yes"), ("size", 8.5), ("derive", 5), ("condition", 5)])
def test_options_of_other_types(name: str, value: Any) -> None:
    asked = latens.kinds.Guessed(np.zeros((2, 2)))
    setattr(asked, name, value)  # tests check the types of arguments themselves
    with pytest.raises(UsageError, match=f"^{name}: .* does not fit. It takes .* None"):
        latens.data.loading._check(asked, None, "error")


def test_labels_that_are_masked_are_missing_or_refused(vae: VAE) -> None:
    y = np.ma.array([0, 1] * 20, mask=np.arange(40) == 3)
    with pytest.raises(DataError, match=r"y: cell \[3\] is masked"):
        GenerativeClassifier().fit(np.ones((40, 2)), y)
    assert [text_of(one) for one in (b"a", 2.0, 2)] == ["a", "2", "2"]  # as `fit` reads them


def test_masked_rows_are_missing_and_said() -> None:
    x = np.ma.array(np.random.default_rng(0).normal(size=(40, 2)), mask=np.arange(80).reshape(40, 2) % 10 == 0)
    assert VAE(1, hidden=(4,), steps=1, random_state=0).fit(x).reasons_[0] == "8 masked cells of X count as missing"


def test_a_column_without_a_number_is_said() -> None:
    rows = np.where([False, True], np.nan, np.random.default_rng(0).normal(size=(40, 2)))
    for given, name in ((rows, "x1"), (pd.DataFrame(rows, columns=["a", "b"]), "b")):
        with pytest.warns(UserWarning, match=f"^X, column {name!r} has no observed value to train on"):
            VAE(1, hidden=(4,), steps=1, random_state=0).fit(given)


def test_gaps_of_objects_are_filled_in(vae: VAE) -> None:
    """Cells that are objects, as in a frame with truth values beside numbers, are numbers as any other."""
    rows = pd.DataFrame([[1.0, np.nan, 2.0, 3.0], [1.0, 2.0, 3.0, np.nan]], columns=list("abcd"))
    for options in ({"num_samples": 3}, {"num_samples": 3, "n_draws": 2}):
        numbers = vae.impute(rows, **options)
        for given in (rows.astype(object), rows.astype({"a": bool})):
            filled = vae.impute(given, **options)
            assert np.shape(filled) == np.shape(numbers)
            np.testing.assert_array_equal(np.asarray(filled, float), np.asarray(numbers, float))
