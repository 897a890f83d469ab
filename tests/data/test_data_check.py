"""The report of `latens check`."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from paths import GOLDEN

from latens.data import check, load, suggest_likelihood
from latens.trained.trained_model import TrainedModel

RNG = np.random.default_rng(3)


def test_report_of_a_table() -> None:
    x = RNG.normal(size=(100, 4))
    x[:, 1] = 7.5
    x[10:13] = x[9]
    x[50, 2] = 0
    report = check(load(x, label=np.arange(100) % 3, name="mine"))
    expected = {
        "name": "mine", "rows": 100, "shape": [4], "dtype": "float32", "kind": "real", "nan_cells": 0,
        "zero_fraction": 1 / 400, "constant_columns": {"count": 1, "first": ["x1"]}, "duplicate_rows": 3,
        "labels": {"0": 34, "1": 33, "2": 33}, "likelihood": "normal",
    }  # fmt: skip
    assert {key: report[key] for key in expected} == expected
    assert report["range"] == [float(x.astype(np.float32).min()), 7.5]
    assert sum(report["splits"].values()) == 100
    assert [w[:9] for w in report["warnings"]] == ["1 columns", "3 rows ar"]
    assert json.loads(json.dumps(report)) == report


def test_missing_cells_enter_no_number() -> None:
    x = np.array([[1.5, 0.0], [np.nan, 2.0], [1.5, np.nan], [1.5, 3.0]])
    report = check(load(x, missing="nan"))
    assert (report["nan_cells"], report["zero_fraction"], report["range"]) == (2, 1 / 6, [0.0, 3.0])
    assert report["constant_columns"] == {"count": 1, "first": ["x0"]}
    assert "'?' occurs in a: --null '?' makes it missing." in check(load({"a": ["?", "x"] * 9}))["notes"]


def test_duplicates_are_counted_as_sets_of_bytes() -> None:
    x = RNG.integers(0, 2, (500, 6)).astype(np.uint8)
    assert check(load(x))["duplicate_rows"] == 500 - len(np.unique(x, axis=0))
    assert check(load(np.arange(50.0)[:, None]))["duplicate_rows"] == 0


GREY = RNG.integers(0, 256, (100, 4, 4)).astype(np.uint8)
EXTREME = np.where(RNG.random((100, 4, 4)) < 0.6, 255 * (GREY > 127), GREY).astype(np.uint8)


@pytest.mark.parametrize(
    ("x", "likelihood", "words", "warned"),
    [
        (GREY > 50, "bernoulli", "0 or 1", ""),
        (GREY % 9, "categorical", "one of 9 levels", ""),
        (GREY, "normal", "Only 9% of the cells", ""),
        (EXTREME, "continuous-bernoulli", "6[0-9]% of the cells", ""),
        (EXTREME / 255.0, "continuous-bernoulli", "6[0-9]% of the cells", "Bernoulli cross-entropy"),
        (GREY / 255.0, "normal", "true greys", "Bernoulli cross-entropy"),
        (RNG.normal(size=(100, 3)), "normal", "real numbers", ""),
        (RNG.poisson(20, size=(100, 3)), "normal", "counts", "The cells are whole numbers"),
    ],
)
def test_suggested_likelihood_and_what_is_warned_of(x: np.ndarray, likelihood: str, words: str, warned: str) -> None:
    name, reason = suggest_likelihood(load(x))
    assert name == likelihood
    assert re.search(words, reason)
    said = [one for one in check(load(x))["warnings"] if "copies of others" not in one]
    assert [one[: len(warned)] for one in said] == ([warned] if warned else [])


def test_only_training_rows_decide() -> None:
    data = load(GREY)
    x = GREY.copy()
    x[data.split != 0] = 0
    assert suggest_likelihood(load(x)) == suggest_likelihood(data)


def test_counts_are_recognised_by_column() -> None:
    x = np.c_[RNG.poisson(30, 200), RNG.normal(size=200), RNG.poisson(0.3, 200), np.zeros(200)]
    assert check(load(x))["counts"] == {"all": False, "count": 1}
    assert check(load(x[:, [0, 2, 3]]))["counts"] == {"all": True, "count": 3}
    assert check(load(-x[:, [0, 2]]))["counts"] == {"all": False, "count": 0}


def test_precision_lost_to_float32_is_told() -> None:
    x = RNG.normal(size=(100, 2)) + np.array([1e6, 0])
    warnings = check(load(x))["warnings"]
    assert len([w for w in warnings if "float32" in w and "'x0'" in w]) == len(warnings) == 1


def test_one_row_is_reported_not_refused() -> None:
    report = check(load(np.array([[0.5, 2.5]])))
    assert report["rows"] == 1
    assert len([w for w in report["warnings"] if "No row is a" in w]) == 2


@pytest.mark.shared
def test_mnist(shared_data: Path) -> None:
    folder = shared_data / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("no MNIST beside the checkout")
    report = check(load(folder))
    assert (report["rows"], report["duplicate_rows"], report["likelihood"]) == (70000, 0, "logistic-mixture")
    assert report["splits"] == {"train": 54072, "validation": 5928, "test": 10000}


def test_rows_without_any_cell_are_counted() -> None:
    frame = pl.DataFrame({"a": [None, None, *range(58)], "b": [None, 1.0, *np.linspace(0, 1, 58)]})
    assert "1 rows have no cell at all" in " ".join(check(load(frame, missing="nan"))["warnings"])


@pytest.mark.parametrize(("name", "family"), [("mixed", "table"), ("tokens", "tokens")])
def test_a_kind_of_rows_says_its_likelihood(name: str, family: str) -> None:
    schema = TrainedModel.load(GOLDEN / f"format-2-{name}.safetensors").schema
    assert suggest_likelihood(dataclasses.replace(load(np.zeros((9, 2))), schema=schema))[0] == family
