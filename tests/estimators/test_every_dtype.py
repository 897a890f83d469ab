"""What comes back has the names, the order, the dtypes and the kinds of values that went in: 50 dtypes in one fit."""

import datetime as dt
import pickle
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from latens import VAE, VAEImputer
from latens.estimators import autoencoder

N = 80
RNG = np.random.default_rng(0)
WHOLE, REAL, COIN = RNG.integers(1, 9, N), RNG.normal(size=N), RNG.integers(0, 2, N).astype(bool)
WORD = np.array(["low", "mid", "high"])[RNG.integers(0, 3, N)]
DAYS = pd.Timestamp("2021-03-01") + pd.to_timedelta(RNG.integers(0, 300, N), "D")

NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMBERS += ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "int64[pyarrow]")
REALS = ("float32", "float64", "Float32", "Float64", "double[pyarrow]")
PANDAS: dict[str, Any] = {
    **{name: pd.Series(WHOLE).astype(name) for name in NUMBERS},
    **{name: pd.Series(REAL).astype(name) for name in REALS},
    **{name: pd.Series(COIN).astype(name) for name in ("bool", "boolean", "bool[pyarrow]")},
    **{
        f"{name} of words": pd.Series(WORD).astype(name) for name in ("object", "string", "string[pyarrow]", "category")
    },
    "ordered category": pd.Series(pd.Categorical(WORD, ["low", "mid", "high", "top"], ordered=True)),
    "days": pd.Series(DAYS),
    "seconds": pd.Series(DAYS).astype("datetime64[s]"),
    "zoned": pd.Series(DAYS).dt.tz_localize("Europe/Paris"),
    "durations": pd.Series(pd.to_timedelta(WHOLE, "h")),
    "True, False": pd.Series([bool(one) for one in COIN], dtype=object),
    "whole objects": pd.Series([int(one) for one in WHOLE], dtype=object),
    "dates": pd.Series([day.date() for day in DAYS], dtype=object),
    "decimals": pd.Series([Decimal(int(one)) / 4 for one in WHOLE], dtype=object),
    "bytes": pd.Series([word.encode() for word in WORD], dtype=object),
}
WHOLE_TYPES = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
POLARS: dict[str, pl.Series] = {
    **{str(kind): pl.Series(WHOLE).cast(kind) for kind in WHOLE_TYPES},
    **{str(kind): pl.Series(REAL).cast(kind) for kind in (pl.Float32, pl.Float64)},
    "Boolean": pl.Series(COIN),
    **{str(kind): pl.Series(WORD).cast(kind) for kind in (pl.String, pl.Categorical)},
    "Enum": pl.Series(WORD).cast(pl.Enum(["low", "mid", "high", "top"])),
    "Date": pl.Series([day.date() for day in DAYS]),
    **{f"Datetime {unit}": pl.Series(list(DAYS)).cast(pl.Datetime(unit)) for unit in ("ms", "us", "ns")},
    "Datetime with a zone": pl.Series(list(DAYS)).cast(pl.Datetime("us", "Europe/Paris")),
    "Duration": pl.Series([dt.timedelta(hours=int(one)) for one in WHOLE]),
    "Time": pl.Series([dt.time(int(one), 30) for one in WHOLE]),
}


def pandas_frame() -> pd.DataFrame:
    return pd.DataFrame(PANDAS)


def polars_frame() -> pl.DataFrame:
    return pl.DataFrame(POLARS)


FRAMES: dict[str, Callable[[], Any]] = {"pandas": pandas_frame, "Polars": polars_frame}


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model before its first step."""

    def train(experiment: Any, **options: Any) -> Any:
        return experiment.trained(experiment.new_model()), SimpleNamespace(history=[])

    monkeypatch.setattr(autoencoder, "train", train)


def dtypes(frame: Any) -> dict[str, str]:
    return dict(zip(frame.columns, map(str, frame.dtypes)))


def types_of(frame: Any) -> dict[str, set[type]]:
    """The types of the values of columns of objects."""
    columns = {name: list(frame[name]) for name in frame.columns if str(frame[name].dtype) == "object"}
    return {name: {type(one) for one in column if one is not None} for name, column in columns.items()}


def same_kind(found: Any, frame: Any) -> None:
    assert type(found) is type(frame)
    assert list(found.columns) == list(frame.columns)
    assert dtypes(found) == dtypes(frame)
    assert types_of(found) == types_of(frame)


@pytest.mark.parametrize("library", FRAMES)
def test_every_output_is_of_the_kind_of_the_input(library: str, tmp_path: Any) -> None:
    frame = FRAMES[library]()
    one = VAE(2, random_state=0, settings={"network.hidden": [3]}).fit(frame)
    same_kind(one.sample(30), frame)
    same_kind(one.inverse_transform(one.transform(frame)), frame)
    one.save(tmp_path / "one.safetensors")
    copy = pickle.loads(pickle.dumps(one))
    codes = np.asarray(one.transform(frame))
    for other in (copy, VAE.load(tmp_path / "one.safetensors")):
        np.testing.assert_array_equal(np.asarray(other.transform(frame)), codes)
    assert copy.sample(5).equals(one.sample(5))
    assert clone(one).get_params() == one.get_params()


@pytest.mark.parametrize("library", [*FRAMES, "pandas of numbers", "Polars of numbers"])
def test_gaps_are_filled_and_all_else_stays(library: str) -> None:
    frame = FRAMES[library.split()[0]]()
    frame = frame[[name for name in frame.columns if "nt" in name or "loat" in name]] if "numbers" in library else frame
    holes = RNG.random((N, len(frame.columns))) < 0.1
    if "pandas" in library:
        whole = [name for name in frame.columns if frame[name].dtype.__class__.__module__.startswith("numpy")]
        whole = [name for name in whole if frame[name].dtype.kind in "iub"]  # NumPy has no gaps of these
        frame = frame.drop(columns=whole)
        gapped = frame.mask(holes[:, : len(frame.columns)]).astype(frame.dtypes)
    else:
        gapped = frame.with_columns(
            pl.when(pl.Series(~holes[:, i])).then(pl.col(name)).alias(name) for i, name in enumerate(frame.columns)
        )
    filled = VAEImputer(random_state=0, num_samples=2, settings={"network.hidden": [3], "posterior.latent_dim": 2})
    found = filled.fit_transform(gapped)
    same_kind(found, frame)
    if library == "pandas":  # a column without a cell says nothing of its dtype: numbers are reals, others objects
        bare = gapped.iloc[:9].assign(**{"float64": None, "object of words": None})
        found_types = dtypes(filled.transform(bare))
        assert (found_types["float64"], found_types["object of words"]) == ("float64", "object")
    for i, name in enumerate(frame.columns):
        kept = ~holes[:, i]
        before, after = (list(np.array(list(each[name]), dtype=object)[kept]) for each in (frame, found))
        assert before == after, name


WRITTEN = (WORD, WHOLE % 3, COIN, *(np.resize(one, len(WHOLE)) for one in (["1", "01", "10"], ["NA", "True"])))


@pytest.mark.parametrize("labels", [*WRITTEN, 2**64 - 1 - WHOLE.astype("u8") % 3], ids=str)
def test_classes_are_the_labels_in_order(labels: np.ndarray) -> None:
    x = np.stack([REAL, WHOLE], axis=1)
    one = VAE(2, recipe="m2", random_state=0, settings={"network.hidden": [3]}).fit(x, labels)
    assert (one.classes_.tolist(), one.classes_.dtype.kind) == (np.unique(labels).tolist(), labels.dtype.kind)
    share = one.predict_proba(x)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-5)
    assert one.predict(x).tolist() == one.classes_[share.argmax(axis=1)].tolist()
    assert not hasattr(VAE(2, random_state=0, settings={"network.hidden": [3]}).fit(x), "classes_")


def test_text_labels_may_be_missing() -> None:
    y = np.resize(np.array(["1", "2", None], object), len(REAL))
    one = VAE(2, recipe="m2", random_state=0, settings={"network.hidden": [3]}).fit(REAL[:, None], y)
    assert one.classes_.tolist() == ["1", "2"]
