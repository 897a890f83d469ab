"""What Python may be given in the wrong type or place: an error of latens that names it and says the remedy."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import latens
from latens.data import Dataset
from latens.data.dataset import as_batch
from latens.errors import ConfigError, DataError, LatensError, UsageError
from latens.estimators import VAE, GenerativeClassifier
from latens.estimators.base import with_nan
from latens.evidence import ModelRows
from latens.runtime.compilation import counted
from latens.trained import augment, translate
from latens.trained.inputs import positions_of
from latens.trained.prior_refit import refit_prior
from latens.trained.trained_model import TrainedModel

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 2


@pytest.fixture(scope="module")
def classifier() -> TrainedModel:
    return GenerativeClassifier().fit(X, Y).model_


@pytest.fixture(scope="module")
def reader() -> TrainedModel:
    return VAE(2, recipe="conditional-vae", hidden=(4,), steps=1, random_state=0).fit(X, Y).model_


@pytest.fixture(scope="module")
def data() -> Dataset:
    return latens.read(X, label=Y)


def told(error: type[LatensError], words: str, where: str, call: Any) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in caught.value.message
    assert caught.value.where == where
    assert caught.value.fix


def test_a_bayes_classifier_has_no_latents(classifier: TrainedModel) -> None:
    for verb, call in {
        "encode": lambda: classifier.encode(X),
        "decode": lambda: classifier.decode(np.zeros((2, 2))),
        "sample from": lambda: classifier.sample(3),
        "reconstruct from": lambda: classifier.reconstruct(X),
        "draw": lambda: classifier.log_marginal(X),
        "impute from": lambda: classifier.impute(latens.read(X)),
    }.items():
        told(ConfigError, f"a Bayes classifier has no latents to {verb}", "the model", call)
    with pytest.raises(ConfigError, match="has no latents to decode"):
        _ = classifier.latent_shape


def test_rows_and_models_that_are_none(reader: TrainedModel, data: Dataset) -> None:
    for given in (X, None, "digits", 3, [data]):
        words = f"a {type(given).__name__} is not a Dataset"
        told(UsageError, words, "data", lambda given=given: augment(reader, given, 2))
        told(UsageError, words, "data", lambda given=given: translate(reader, given, "0", "1"))
        told(UsageError, words, "data", lambda given=given: refit_prior(reader, given))
    estimator = GenerativeClassifier().fit(X, Y)
    for call in (lambda: augment(estimator, data, 2), lambda: translate(estimator, data, "0", "1"),
                 lambda: refit_prior(estimator, data)):  # fmt: skip
        with pytest.raises(UsageError, match=r"is not a TrainedModel\. Give estimator\.model_"):
            call()
    told(UsageError, "a str is not a schema", "schema", lambda: latens.read(X, schema="s"))  # type: ignore[arg-type]
    told(UsageError, "'all' is unknown", "missing", lambda: latens.read(X, missing="all"))
    for wrong in (None, 3, "digits", b"x", {"a": [1]}, iter([1])):
        told(DataError, f"a {type(wrong).__name__} holds no rows", "X", lambda wrong=wrong: with_nan(wrong))


@pytest.mark.parametrize(
    "positions", [np.array([60]), np.array([-1]), np.array([0.5]), "a", np.array([[0]]), np.full(60, True), 5, ["a"]]
)
def test_positions_that_are_none(reader: TrainedModel, data: Dataset, positions: Any) -> None:
    for call in (
        lambda: positions_of(positions, 60),
        lambda: augment(reader, data, 1, positions=positions),
        lambda: reader.batch(data, positions),
        lambda: reader.batch(X, positions, label=Y),
    ):
        told(UsageError, "holds no positions of 60 rows", "positions", call)
    assert positions_of([3, 0], 4).tolist() == [3, 0]
    assert positions_of(None, 2).tolist() == [0, 1]


@pytest.mark.parametrize("label", ["a", [0.5, 0.5], [None, 1], [0, 9], [0, -1], [0, 1, 0]])
def test_labels_that_are_none(reader: TrainedModel, label: Any) -> None:
    for call in (
        lambda: reader.encode(X[:2], label=label),
        lambda: reader.sample(2, label=label),
        lambda: reader.decode(np.zeros((2, 2)), label=label),
    ):
        with pytest.raises(UsageError) as error:
            call()
        assert error.value.where == "label"
        assert error.value.fix
    told(UsageError, "none are given for 2 rows", "label", lambda: reader.decode(np.zeros((2, 2))))


def test_priors_that_are_none(reader: TrainedModel, data: Dataset) -> None:
    for kind in (3, None, ["normal"], "nope"):
        told(ConfigError, f"there is no prior {kind!r}", "prior", lambda kind=kind: refit_prior(reader, data, kind))
    plain = VAE(2, hidden=(4,), steps=1, random_state=0).fit(X).model_
    for steps in (0, -1, 1.5, "a", True):
        told(UsageError, "must be a whole number of 1 or more", "steps",
             lambda steps=steps: refit_prior(plain, data, "flow", steps=steps))  # fmt: skip
    for seed in ("a", None, 2**70, 1.5):
        told(UsageError, "is not a seed", "seed", lambda seed=seed: refit_prior(plain, data, "normal", seed=seed))


@pytest.mark.parametrize(
    ("options", "where"),
    [({"latent_dim": "3"}, "latent_dim"), ({"hidden": ("4",)}, "hidden"), ({"beta": "1"}, "beta"),
     ({"steps": "1"}, "steps"), ({"epochs": "1"}, "epochs"),
     ({"learning_rate": "0.1"}, "learning_rate"), ({"batch_size": "4"}, "batch_size"),
     *(({"settings": {"warm_start": v}}, "warm_start") for v in ("a", None)),
     ({"random_state": True}, "random_state")],
)  # fmt: skip
def test_arguments_of_an_estimator_of_the_wrong_type(options: dict[str, Any], where: str) -> None:
    with pytest.raises(LatensError) as error:
        VAE(**({"steps": 1} | options)).fit(X)
    assert error.value.where == where
    assert error.value.fix


COUNTED = {
    f"{name}-{option}": (function, option)
    for room in (latens.evidence, latens.latents, latens.predictive)
    for name in dir(room)
    if callable(function := getattr(room, name)) and name.islower()
    for option in inspect.signature(function).parameters
    if option.startswith("num_")
    or option in ("n", "steps", "folds", "neighbours", "trees", "batch_size", "bins", "groups")
}


@pytest.mark.parametrize("case", COUNTED)
def test_numbers_of_draws_and_steps_that_are_none(case: str) -> None:
    function, option = COUNTED[case]
    if "rows" in inspect.signature(function).parameters:
        function = partial(function, ModelRows(None, as_batch(np.zeros((1, 2), np.float32))))
    for number in (-1, 1.5, "a", True):
        told(UsageError, f"not {number!r}", option, lambda number=number: function(**{option: number}))
    allowed = option == "steps" or case == "impute-num_draws"
    if not allowed:
        told(UsageError, "or more, not 0", option, lambda: function(**{option: 0}))


def test_counted_takes_numbers_by_place_and_name_and_none_where_it_is_the_default() -> None:
    @counted(n=1, size=2)
    def made(n: int, *, size: int | None = None) -> tuple[int, int | None]:
        return n, size

    assert made(3) == (3, None)
    assert made(n=np.int64(1), size=2) == (1, 2)
    told(UsageError, "must be a whole number of 1 or more, not 0", "n", lambda: made(0))
    told(UsageError, "must be a whole number of 2 or more, not 1", "size", lambda: made(1, size=1))
    assert jax.random.key(0).shape == ()


@pytest.mark.parametrize("size", [1e-38, 1e-45, 1e-300])
def test_columns_that_single_precision_takes_as_0_are_refused(size: float, tmp_path: Path) -> None:
    table = X.astype(np.float64) * [1.0, size, 1.0, 1.0]
    np.save(tmp_path / "rows.npy", table)
    for call in (
        lambda: latens.read(table),
        lambda: latens.read(table, typed=True),
        lambda: latens.read(tmp_path / "rows.npy", stream=True),
        lambda: VAE(steps=1).fit(table),
    ):
        with pytest.raises(DataError, match=r"which single precision takes as 0\. Multiply this column by a constant"):
            call()
    same = table.copy()
    same[:, 1] = size
    assert latens.read(same).schema.columns[1].scale == 1.0  # type: ignore[index]


def test_small_numbers_of_a_typed_table_stay_apart() -> None:
    """Cells of 1e-12 were taken as recorded to whole numbers: all of them 0."""
    table = np.arange(60.0)[:, None] * [1e-12, 1.0]
    (small, _) = latens.read(table, typed=True).schema.types or ()
    assert small.size is not None
    assert small.size >= 60
    (noisy, _) = latens.read(np.arange(60.0)[:, None] * [0.1, 1.0] + 1e-16, typed=True).schema.types or ()
    assert noisy.step == 0.1


@pytest.mark.parametrize("name", [None, 3, [], {}, np.zeros(2), ["adam"], "adamm"])
def test_an_optimiser_of_another_name_is_refused(name: Any) -> None:
    told(ConfigError, f"there is no optimiser {name!r}", "optimizer.name", lambda: latens.training.make_optimizer(name))


@pytest.mark.parametrize(
    ("options", "where"),
    [({"stages": []}, "stages"), ({"stages": 3}, "stages"), ({"stages": [3]}, "stages"), ({"settings": 3}, "settings"),
     ({"objective": 3}, "objective"), ({"optimizer": 3}, "optimizer"), ({"callbacks": 3}, "callbacks"),
     ({"preparation": 3}, "preparation"), ({"epochs": 0}, "epochs")],
)  # fmt: skip
def test_options_of_a_training_that_are_none(options: dict[str, Any], where: str, data: Dataset) -> None:
    with pytest.raises(LatensError) as error:
        latens.fit(None, data, **options)
    assert error.value.where == where
    assert error.value.fix


@pytest.mark.parametrize("budget", [{"steps": 0}, {"steps": 1.5}, {"steps": "a"}, {"epochs": -1}, {"epochs": np.nan},
                                    {"minutes": True}, {"patience": 0}])  # fmt: skip
def test_budgets_that_are_none(budget: dict[str, Any]) -> None:
    ((name, value),) = budget.items()
    made = object.__new__(latens.training.Budget)
    vars(made).update(budget)  # as a program without checks of types makes it
    told(ConfigError, f"{value!r} is not above 0", name, made.__post_init__)
    assert latens.training.Budget(epochs=0.5, steps=3, minutes=1).steps == 3
