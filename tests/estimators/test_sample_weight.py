"""Weights of rows: a whole number w is the row w times, in the objective, in what is reported and in closed form."""

from typing import Any

import jax
import numpy as np
import pytest
import sklearn
from sklearn.model_selection import cross_validate

from latens.config import override
from latens.data import Dataset
from latens.errors import DataError
from latens.estimators import VAE, Autoencoder, GenerativeClassifier, VAEImputer
from latens.estimators.base import weighed, weighted_mean
from latens.estimators.frames import as_dataset
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.training.loop import _mean_weight, pad_rows
from latens.training.step import make_program

SMALL: dict[str, Any] = {"hidden": (4,), "steps": 2, "batch_size": 16, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
TIMES = np.array([1, 3, 1, 1, 8, 1, 2, 1, 1, 5, 1, 7])


def gradient(data: Dataset, rows: np.ndarray, shards: int = 1) -> np.ndarray:
    """What one step of plain gradient descent with the rate 1 takes off, of a plain autoencoder: nothing is drawn."""
    given = {"posterior.kind": "deterministic", "objective.name": "reconstruction", "network.hidden": [4]}
    given |= {"optimizer.name": "sgd", "optimizer.learning_rate": 1.0, "optimizer.clip_norm": None}
    given |= {
        "optimizer.schedule": "constant",
        "optimizer.warmup_steps": 0,
        "training.seed": 3,
        "optimizer.options": {},
    }
    made = prepare(override(get_recipe("default").config, given), data)
    stage = made.stages()[0]
    assert stage.objective is not None
    assert stage.optimizer is not None
    program = make_program(
        made.new_model(),
        stage.objective,
        stage.optimizer,
        made.preparation,
        shards=shards,
        mean_weight=_mean_weight(data),
    )
    start = program.init(jax.random.key(0))
    after, result = program.chunk(start, pad_rows(data, rows, 1, len(rows)), np.int32(1), np.float32(1e9))
    assert bool(result.good)
    return np.concatenate(
        [np.ravel(a - b) for a, b in zip(jax.tree.leaves(start.trainable), jax.tree.leaves(after.trainable))]
    )


def of_weights(weight: np.ndarray | None, x: np.ndarray = X) -> Dataset:
    schema = as_dataset(X, None).schema
    made = as_dataset(x, None, schema=schema)
    return made if weight is None else Dataset(**{**vars(made), "weight": weight.astype(np.float32)})


@pytest.mark.parametrize("shards", [1, 2])
def test_a_weight_of_two_is_the_row_twice_in_the_gradient(shards: int) -> None:
    weighted, repeated = of_weights(TIMES), of_weights(None, X.repeat(TIMES, axis=0))
    found, expected = gradient(weighted, np.arange(12), shards), gradient(repeated, np.arange(TIMES.sum()), shards)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    assert np.abs(found - gradient(of_weights(None), np.arange(12))).max() > 0.01


@pytest.mark.parametrize("size", [1, 4])
def test_a_row_counts_by_its_weight_whatever_rows_it_meets(size: int) -> None:
    weighted = of_weights(TIMES)
    batches = [gradient(weighted, np.arange(at, at + size)) for at in range(0, 12, size)]
    np.testing.assert_allclose(np.mean(batches, axis=0), gradient(weighted, np.arange(12)), rtol=2e-5, atol=1e-6)


def test_rows_of_weight_0_are_as_if_they_had_not_been_given() -> None:
    y = np.arange(12)
    kept_x, kept_y, weight = weighed(X.tolist(), y, np.where(y < 3, 0.0, 2.0))
    assert kept_y.tolist() == list(range(3, 12))
    assert np.array_equal(kept_x, X[3:])
    assert weight is not None
    assert set(weight) == {2.0}
    far = np.concatenate([X, np.full((1, 3), 1e9)])
    one = Autoencoder(1, **SMALL).fit(far, sample_weight=[1.0] * 12 + [0.0])
    np.testing.assert_array_equal(
        one.transform(X), Autoencoder(1, **SMALL).fit(X, sample_weight=np.ones(12)).transform(X)
    )


def test_what_validates_counts_by_weight() -> None:
    x = RNG.normal(size=(120, 3))
    weight = RNG.integers(1, 6, 120).astype(float)
    fitted = Autoencoder(1, **SMALL | {"steps": 1}, settings={"validation_fraction": 0.3}).fit(x, sample_weight=weight)
    rows = as_dataset(x, None, validation_fraction=0.3).subset("validation")
    found = fitted.history_["validation_log_likelihood"][-1]
    assert found == pytest.approx(fitted.score(x[rows], sample_weight=weight[rows]), rel=1e-5)
    assert found != pytest.approx(fitted.score(x[rows]), rel=1e-5)
    repeated = fitted.score(x[rows].repeat(weight[rows].astype(int), axis=0))
    assert fitted.score(x[rows], sample_weight=weight[rows]) == pytest.approx(repeated, rel=1e-6)


def test_a_classifier_of_gaussians_has_the_closed_form_of_repeated_rows() -> None:
    y = np.arange(12) % 2
    one = GenerativeClassifier().fit(X, y, sample_weight=TIMES)
    other = GenerativeClassifier().fit(X.repeat(TIMES, axis=0), y.repeat(TIMES))
    np.testing.assert_allclose(one.log_joint(X), other.log_joint(X), rtol=1e-5)
    share = TIMES[y == 1].sum() / TIMES.sum()
    np.testing.assert_allclose(np.exp(one.log_prior_), [1 - share, share], rtol=1e-6)
    assert GenerativeClassifier().fit(X, y, sample_weight=y).classes_.tolist() == [1]


def test_a_weighted_mean_leaves_out_what_does_not_count() -> None:
    assert weighted_mean(np.array([1.0, 4.0, -np.inf]), [2.0, 1.0, 0.0]) == pytest.approx(2.0)
    assert weighted_mean(np.array([1.0, 4.0]), None) == 2.5


def test_every_fit_of_rows_takes_weights() -> None:
    x = RNG.normal(size=(60, 3))
    for made in (
        VAE(1, settings={"num_samples": 2}, **SMALL),
        VAEImputer(settings={"training.steps": 2}, random_state=0),
    ):
        assert made.fit(x, sample_weight=np.arange(60.0)).model_.facts["rows"] <= 59


def test_weights_follow_scikit_learns_routing() -> None:
    x, weight = RNG.normal(size=(30, 3)), RNG.integers(1, 4, 30)
    with sklearn.config_context(enable_metadata_routing=True):
        made = Autoencoder(1, **SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(
            made, x, cv=2, params={"sample_weight": weight}, return_estimator=True, return_indices=True
        )
    one, rows = found["estimator"][0], found["indices"]["test"][0]
    assert found["test_score"][0] == pytest.approx(one.score(x[rows], sample_weight=weight[rows]))


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([1.0, 2.0], "weights must be 12 finite numbers of 0 or more"),
        (np.full(12, -1.0), "weights must be 12 finite numbers of 0 or more"),
        (np.full(12, np.nan), "weights must be 12 finite numbers of 0 or more"),
        (["a"] * 12, "weights must be numbers"),
        ([[1.0], [1.0, 2.0]], "weights must be numbers"),
        (np.zeros(12), "the weights of all 12 rows are 0"),
        (np.ma.array(np.ones(12), mask=np.arange(12) == 4), "cell [4] is masked"),
    ],
)
def test_weights_that_are_none_are_refused(weight: Any, words: str) -> None:
    for fit in (
        Autoencoder(1, **SMALL).fit,
        VAEImputer().fit,
        lambda *a, **k: GenerativeClassifier().fit(X, TIMES > 1, **k),
    ):
        with pytest.raises(DataError) as error:
            fit(X, sample_weight=weight)
        assert words in error.value.message
        assert error.value.where == "sample_weight"
