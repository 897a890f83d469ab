"""A frame is enough: any index, columns by name, and frames with the same index and columns back."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens import VAE, VAEImputer, read
from latens.errors import DataError, UsageError

polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
N = 24
FRAME = pd.DataFrame(
    {"a": RNG.normal(size=N).round(2), "b": RNG.normal(size=N).round(2)},
    index=pd.MultiIndex.from_product([["u", "v"], range(N // 2)]),
)
FRAME.iloc[3, 0] = np.nan
TINY = {"latent_dim": 1, "hidden": (4,), "steps": 1, "random_state": 0, "settings": {"start.kind": "none"}}
"""One program serves every fit to frames of two numbers."""


def fitted(X, **how) -> VAE:
    return VAE(**TINY).fit(X, **how)


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "records", "twice"])
def test_tables_of_other_libraries_are_frames(kind):
    plain = FRAME.reset_index(drop=True)
    given = {
        "polars": lambda: polars.from_pandas(plain),
        "lazy": lambda: polars.from_pandas(plain).lazy(),
        "arrow": lambda: pyarrow.Table.from_pandas(plain),
        "records": lambda: plain.to_dict("records"),
        "twice": lambda: plain.set_axis([0] * N),
    }[kind]()
    filled = fitted(given).impute(given, num_samples=3)
    np.testing.assert_allclose(np.asarray(filled), fitted(plain).impute(plain, num_samples=3).to_numpy(), rtol=1e-6)
    assert type(filled).__module__.split(".")[0] == ("pandas" if kind == "twice" else "polars")
    assert kind != "twice" or filled.index.tolist() == [0] * N


def test_an_index_that_names_rows_twice_does_not_name_rows():
    twice = read(FRAME.set_axis([0] * N), missing="nan")
    assert twice.names.tolist() == list(range(N))
    assert [note for note in twice.notes if note.startswith("The index names some rows twice")]
    assert read(FRAME.droplevel(0).iloc[: N // 2], missing="nan").names.tolist() == list(range(N // 2))


def test_label_weight_and_conditions_are_columns(tmp_path):
    told = FRAME.assign(y=["k", "l"] * (N // 2), w=np.arange(N) % 3, batch=np.arange(N) % 2, dose=np.arange(N) / 10)
    rows = latens.Numbers(told, label="y", weight="w", condition=["batch:names", "dose"])
    one = VAE(**TINY, recipe="conditional-vae").fit(rows)
    schema = one.model_.schema
    assert schema.classes == ("k", "l")
    assert [(c.name, c.values) for c in schema.conditions] == [("batch", ("0", "1")), ("dose", ())]
    assert list(one.feature_names_in_) == ["a", "b"]
    codes = one.transform(told)
    np.testing.assert_array_equal(codes, one.transform(told.drop(columns=["w", "y"]), told["y"]))
    assert not np.array_equal(codes, one.transform(told.assign(dose=5.0)))
    assert one.impute(told, num_samples=3).columns.tolist() == told.columns.tolist()
    again = VAE.load(one.save(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(again.transform(told), codes)
    with pytest.raises(DataError, match="lacks the column 'dose', a condition"):
        one.transform(told.drop(columns="dose"))
    with pytest.raises(DataError, match="no name '7'; no training row had it"):
        one.transform(told.assign(batch=7))
    with pytest.raises(DataError, match="reads the conditions batch, dose"):
        one.transform(FRAME.to_numpy(), told["y"])


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"label": "z"}, "X, label: has no column 'z'"),
        ({"condition": ["zz"]}, "X, conditions: has no column 'zz'"),
        ({"label": "a", "y": np.zeros(N)}, "is given twice"),
        ({"weight": "b", "sample_weight": np.ones(N)}, "is given twice"),
    ],
)
def test_what_is_not_there_is_named(how, says):
    beside = {name: how.pop(name) for name in ("y", "sample_weight") if name in how}
    with pytest.raises((DataError, UsageError), match=says):
        fitted(latens.Table(FRAME, **how), **beside)


def test_intervals_and_draws_are_frames():
    full = FRAME.assign(city=["x", "y"] * (N // 2), day=pd.date_range("2024-01-01", periods=N))
    full.iloc[5, 3] = pd.NaT
    imputer = VAEImputer(settings={"training.steps": 1, "network.hidden": (4,)}, num_samples=5, random_state=0).fit(
        full
    )
    low, high = imputer.intervals(full, 0.8)
    for one in (low, high):
        assert one.index.equals(full.index)
        assert one.columns.tolist() == ["a", "b", "city", "day"]
        assert one.notna().to_numpy().nonzero()[0].tolist() == [3, 5]
    assert low["day"].iloc[5] <= high["day"].iloc[5]
    assert low["day"].dtype.kind == "M"
    assert low["a"].iloc[3] <= high["a"].iloc[3]
    assert all(one.index.equals(full.index) and (one.dtypes == full.dtypes).all() for one in imputer.draws(full, 2))


def test_sequences_of_unlike_length_and_long_frames():
    parts = {f"s{i}": RNG.normal(size=(n, 2)) for i, n in enumerate([3, 5, 4, 5, 2, 5])}
    holes = {name: part.copy() for name, part in parts.items()}
    holes["s1"][2, 1] = np.nan
    one = fitted(holes)
    assert one.model_.schema.shape == (5, 2)
    assert one.transform(holes).shape == (6, 1)
    assert one.sample(3).shape == (3, 5, 2)
    filled = one.impute(holes, num_samples=3)
    assert list(filled) == list(holes)
    assert all(np.array_equal(filled[name], parts[name]) for name in parts if name != "s1")
    assert np.isfinite(filled["s1"]).all()
    rows = [pd.DataFrame(part, columns=["u", "v"]).assign(who=name, t=range(len(part))) for name, part in holes.items()]
    long = pd.concat(rows, ignore_index=True).sample(frac=1.0, random_state=0).sort_values("t")
    named = fitted(latens.Steps(long, sequence="who", time="t"))
    back = named.impute(long, num_samples=3)
    assert back.index.equals(long.index)
    assert back.columns.equals(long.columns)
    assert not back.isna().any(axis=None)
    seen = long.notna().all(axis=1)
    pd.testing.assert_frame_equal(back[seen], long[seen])
    assert named.score_samples(long).shape == (6,)
    windows = fitted(latens.Steps(long[long.who == "s1"].drop(columns="who"), time="t", window=1))
    assert windows.model_.schema.shape == (1, 2)


def test_a_derived_column_of_nullable_numbers_is_filled() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"count": rng.integers(1, 9, 60), "price": rng.normal(10, 2, 60).round(2)})
    frame["total"] = frame["count"] * frame["price"]
    frame.loc[:4, "total"] = np.nan
    frame = frame.convert_dtypes()
    fitted = VAE(steps=2, hidden=8, latent_dim=2).fit(latens.Table(frame, derive={"total": "count * price"}))
    filled = fitted.impute(frame)
    assert (filled.dtypes == frame.dtypes).all()
    np.testing.assert_allclose(filled["total"][:5].astype(float), (frame["count"] * frame["price"])[:5].astype(float))
