"""A fit that fails leaves the estimator as it was: what an earlier fit learned stays, whole."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from latens.errors import ConfigError, LatensError, ResourceError, UsageError
from latens.estimators import VAE, Autoencoder, GenerativeClassifier, VAEDetector, VAEForecaster, VAEImputer
from latens.estimators.base import _in_python

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
SMALL: dict[str, Any] = {"hidden": (4,), "steps": 1, "random_state": 0}


@pytest.mark.parametrize("made", [Autoencoder, VAE])
@pytest.mark.parametrize("given", [np.ones((40, 5)), np.ones((40, 2, 3))])
def test_a_refit_that_fails_leaves_an_autoencoder_as_it_was(made: Any, given: np.ndarray) -> None:
    estimator = made(2, **SMALL).fit(X)
    codes, before = estimator.transform(X), dict(vars(estimator))
    for fit in (estimator.set_params(likelihood="poison").fit, estimator.partial_fit):
        with pytest.raises((ConfigError, ValueError)):
            fit(given)
        assert vars(estimator) == before | {"likelihood": "poison"}
    np.testing.assert_array_equal(estimator.transform(X), codes)


@pytest.mark.parametrize(
    "wrong", [{"density": "gauss"}, {"density": "mixture", "n_components": 0}, {"density": VAE(likelihood="poison")}]
)
def test_a_refit_that_fails_leaves_a_classifier_as_it_was(wrong: dict[str, Any]) -> None:
    classifier = GenerativeClassifier(random_state=0).fit(X, Y)
    before = classifier.predict(X)
    with pytest.raises(LatensError):
        classifier.set_params(**wrong).fit(X[:, :2], np.array(["a", "b"])[Y])
    assert classifier.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(classifier.predict(X), before)


@pytest.mark.parametrize("made", [VAEImputer, VAEDetector])
def test_a_first_fit_that_fails_leaves_no_trace(made: Any) -> None:
    estimator = made(settings={"likelihood.family": "poison"}, random_state=0)
    before = dict(vars(estimator))
    with pytest.raises(ConfigError):
        estimator.fit(X)
    assert vars(estimator) == before
    with pytest.raises(NotFittedError):
        estimator.transform(X) if made is VAEImputer else estimator.predict(X)


def test_a_label_of_a_classifier_is_one_class() -> None:
    classifier = GenerativeClassifier(random_state=0).fit(X, Y)
    assert classifier.sample(3, label=np.int64(1))[1].tolist() == [1, 1, 1]
    for label in ([0, 1], np.array([1]), (1,)):
        with pytest.raises(UsageError, match=r"label: .* is not one class"):
            classifier.sample(2, label=label)


def test_dates_are_no_classes() -> None:
    dates = np.array(["2020-01-01", "NaT"], "datetime64[D]")
    for given, words in ((dates, "dates"), (dates - dates[0], "durations")):
        with pytest.raises(LatensError, match=f"y: holds {words}, which no file of the model could carry"):
            GenerativeClassifier().fit(X, given[Y])


def test_parameters_of_a_classifier_may_be_numbers_of_numpy() -> None:
    given = {"n_components": np.int64(2), "max_iterations": np.int32(200), "reg_covar": np.float32(0.5)}
    kind: dict[str, Any] = {"density": "mixture", "inference": "em", "random_state": 0}
    ours = GenerativeClassifier(**kind, **given).fit(X, Y)
    plain = GenerativeClassifier(**kind, n_components=2, max_iterations=200, reg_covar=0.5).fit(X, Y)
    np.testing.assert_array_equal(ours.log_joint(X), plain.log_joint(X))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            ({"settings": {"validation_fraction": v}}, "validation_fraction: must be a share")
            for v in (-0.1, 1.0, True, "a", np.nan)
        ),
        *(({"recipe": v}, "recipe: there is no recipe") for v in (3, None, ["default"])),
        *(({"settings": v}, "settings: must be options by name") for v in ([1], "abc", {3: 3})),
        ({"hidden": {8, 4}}, "hidden: a set has no order. Give a list."),
        ({"settings": {"training.seed": 3}}, 'settings["training.seed"]: the seed of an estimator is its argument'),
        ({"encoder": lambda schema, key: 3}, "encoder: the function gives a int, which is not a network"),
        *(({"beta": v}, "objective.beta: beta must be a finite number") for v in (-1.0, np.nan, np.inf)),
    ],
)
def test_parameters_of_the_wrong_kind_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        VAE(2, **SMALL).set_params(**options).fit(X)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize("made", [VAEImputer, VAEDetector, VAEForecaster])
def test_settings_of_the_other_estimators_are_named_too(made: Any) -> None:
    rows = pd.Series(X[:, 0]) if made is VAEForecaster else X
    for given in (3, [1], "abc", {3: 3}):
        with pytest.raises(ConfigError, match="settings: must be options by name"):
            made(settings=given).fit(rows)
    with pytest.raises(ConfigError, match="the seed of an estimator is its argument random_state"):
        made(settings={"training.seed": 3}, random_state=0).fit(rows)


WORDS = pd.DataFrame({"word": ["a", "b"] * 20, "x": X[:, 0]})
NAMED = [f"no time {i}" for i in range(40)]


@pytest.mark.parametrize(
    ("call", "fix"),
    [
        (lambda: VAE(likelihood="poisson", **SMALL).fit(X), 'Use likelihood="normal", or'),
        (
            lambda: VAEImputer(settings={"likelihood.family": "poisson"}).fit(X),
            'Use settings={"likelihood.family": "normal"}, or',
        ),
        (lambda: VAE(learning_rate=1e30, **SMALL | {"steps": 9}).fit(X), "or lower the rate: learning_rate=..."),
        (lambda: GenerativeClassifier("mixture", n_components=30).fit(X, Y), "fewer components (n_components=...)."),
        (lambda: VAE(1, **SMALL).fit(WORDS).partial_fit(WORDS.replace("a", "c")), "it then counts as missing."),
        (lambda: VAE(1, **SMALL).fit(WORDS).transform(WORDS.replace("a", "c")), 'unknown="skip" leaves the rows out.'),
        (lambda: VAE(1, recipe="m2", **SMALL).fit(X, Y * 0), 'or more; or use settings={"label": "none"}.'),
        (lambda: VAEForecaster().fit(pd.DataFrame({"a": NAMED})), "Remove it from the file."),
        (lambda: VAEForecaster().fit(pd.Series(X[:, 0], np.r_[:39, 39.4])), "Mend the row."),
    ],
)
def test_a_remedy_names_what_the_call_takes(call: Any, fix: str) -> None:
    with pytest.raises(LatensError) as error:
        call()
    assert fix in error.value.fix
    assert not re.search(r"--|step=|sequence|columns|label=", error.value.fix)
    assert "unknown" not in error.value.fix or "unknown" in fix


def test_clauses_are_kept_whose_arguments_are_all_taken() -> None:
    clauses = {"Leave alpha out.": "", "Beta: --label B;": "label", "or gamma: --step 1 and --time 2.": "step time"}
    for taken in ("", "label", "step", "step time", "label step time"):
        found = _in_python(" ".join(clauses), (), taken.split()).lower()
        for name, own in zip(("alpha", "beta", "gamma"), clauses.values()):
            assert (name in found) == ({*own.split()} <= {*taken.split()})


def test_bad_names_of_files_and_a_misspelt_option_are_named(tmp_path: Path) -> None:
    estimator = VAE(2, **SMALL).fit(X)
    for call in (estimator.transform, estimator.encode, estimator.score_samples, estimator.impute):
        with pytest.raises(UsageError, match="unknown: 'mising' is not known"):
            call(X, unknown="mising")
    for name in ("", "a\0b"):
        with pytest.raises(UsageError, match="is not the name of a file"):
            estimator.save(name)
    with pytest.raises(ResourceError, match="name"):
        VAE.load(tmp_path / ("x" * 300))
