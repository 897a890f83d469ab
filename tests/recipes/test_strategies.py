"""Whatever array or setting is given: a valid value comes back, or an error of ours that says what to do."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings

from latens.config import from_json, override, to_json
from latens.data import Dataset, load
from latens.errors import ConfigError, DataError
from latens.recipes import RECIPES, get_recipe

QUICK = hypothesis_settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def check(data: Dataset, array: np.ndarray) -> None:
    """The data set holds exactly the cells of the array, as numbers that are finite."""
    assert data.x.shape == array.shape
    assert data.schema.shape == array.shape[1:]
    assert data.x.dtype.kind in "uif"
    assert np.isfinite(data.x).all()
    np.testing.assert_array_equal(data.x.astype(np.float64), array.astype(data.x.dtype).astype(np.float64))
    assert sorted(np.concatenate([data.subset(name) for name in ("train", "validation", "test")])) == list(
        range(len(array))
    )


def refused(error: Any, exit_code: int, *, unless: bool = False) -> None:
    """The error is one of ours, with a remedy; `unless` it should not have been one."""
    assert not unless, error
    assert error.exit_code == exit_code
    assert error.message
    assert error.fix
    assert len(str(error)) < 2000


@QUICK
@given(strategies.arrays())
@example(np.array([[[3.4e38, 3.4e38]]], np.float32))  # once a warning of overflow instead of a refusal in words
@example(np.array([[[0.0, 1.7e308]]]))
@example(np.full((1, 2), 1.7e308))
def test_any_array_is_data_or_refused(array: np.ndarray) -> None:
    try:
        data = load(array)
    except DataError as error:
        good = array.dtype.kind in "biuf" and array.ndim >= 2 and bool(array.size) and bool(np.isfinite(array).all())
        refused(error, 3, unless=good and "too large" not in str(error))
    else:
        check(data, array)


@QUICK
@given(strategies.rows())
def test_good_rows_are_taken(array: np.ndarray) -> None:
    check(load(array), array)


@pytest.mark.slow
@QUICK
@given(strategies.arrays(max_dims=3))
def test_an_array_in_a_file_is_what_it_is_in_memory(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "array.npy"
    np.save(path, array, allow_pickle=True)
    try:
        in_memory: Any = load(array)
    except DataError:
        in_memory = None
    try:
        in_file = load(path)
    except DataError as error:
        refused(error, 3)
        assert in_memory is None
    else:
        assert in_memory is not None
        assert in_file.fingerprint == in_memory.fingerprint


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list | tuple):
        return [n for item in (value.values() if isinstance(value, dict) else value) for n in numbers(item)]
    return [value] if isinstance(value, float) else []


@QUICK
@given(strategies.settings())
def test_any_setting_fits_or_is_refused(chosen: dict[str, Any]) -> None:
    config: Any = RECIPES["default"].config
    try:
        made = override(config, chosen)
    except ConfigError as error:
        refused(error, 4, unless=error.where not in chosen)
    else:
        assert from_json(to_json(made)) == made
        assert all(map(math.isfinite, numbers(to_json(made))))


@QUICK
@given(strategies.configurations())
def test_any_stored_configuration_is_valid_or_refused(value: Any) -> None:
    try:
        made = from_json(value)
        get_recipe(made.recipe)
    except ConfigError as error:
        refused(error, 4)
    else:
        assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(made)))) == made
        assert all(map(math.isfinite, numbers(to_json(made))))
