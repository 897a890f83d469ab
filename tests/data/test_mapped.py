"""Rows that stay on disk: those in memory to the last bit, read once, and what is refused."""

import io
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from latens.data import Dataset, load
from latens.data import mapped as rows_on_disk
from latens.data.files import Files
from latens.data.mapped import few
from latens.errors import DataError, UsageError
from latens.kinds.numbers import npy as npy_shards
from latens.kinds.pictures import picture_files as pictures
from latens.kinds.tables import table_files as scanned

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanned, "BATCH_ROWS", 64)
    monkeypatch.setattr(scanned, "_TYPED", 64)
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 64)
    monkeypatch.setattr(pictures, "BLOCK_FILES", 16)
    monkeypatch.setattr(rows_on_disk, "CELLS", 500)


def same(a, b):
    return (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))


def both(path: Path | str, **options) -> tuple[Dataset, Dataset]:
    """The rows on disk, which are those in memory."""
    there, memory = load(path, stream=True, **options), load(path, stream=False, **options)
    assert isinstance(there.x, np.memmap)
    assert not isinstance(memory.x, np.memmap)
    for name in FIELDS:
        assert same(getattr(there, name), getattr(memory, name)), name
    assert (there.schema, there.label_name, there.name) == (memory.schema, memory.label_name, memory.name)
    assert there.fingerprint == memory.fingerprint
    for epoch in (0, 1):
        assert np.array_equal(there.order(3, epoch), memory.order(3, epoch))
    return there, memory


def test_gathered_rows_keep_no_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, released = load(written(numbers(), tmp_path / "rows.csv"), stream=True, weight="w"), []
    monkeypatch.setattr(rows_on_disk, "release", lambda array: released.append(array))
    assert np.array_equal(data.rows(np.arange(5)).row_id, data.row_id[:5])
    mapped = [array for name in FIELDS if isinstance(array := getattr(data, name), np.memmap)]
    for array in (data.x, data.row_id):
        assert any(array is one for one in mapped)
        assert any(array is one for one in released)


def numbers(n: int = 1000) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.normal(i, 1 + i, n).round(4) for i in range(4)}
    return pl.DataFrame({**columns, "kind": rng.choice(["red", "green", "blue"], n), "w": rng.random(n)})


def written(frame: pl.DataFrame, path: Path) -> Path:
    kind = path.suffix[1:]
    getattr(frame, {"csv": "write_csv", "parquet": "write_parquet", "arrow": "write_ipc"}[kind])(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_tables_are_what_they_are_in_memory(tmp_path: Path, kind: str) -> None:
    path = written(numbers(), tmp_path / f"rows.{kind}")
    found, _ = both(path, label="kind", weight="w")
    assert found.schema.classes == ("blue", "green", "red")
    assert found.names[-1] == 999
    both(path, label="kind", row_id="w")


def test_text_is_read_as_in_memory(tmp_path: Path) -> None:
    frame = numbers().drop("kind")
    frame.write_csv(tmp_path / "rows.csv", separator=";", include_header=False)
    assert both(tmp_path / "rows.csv")[0].schema.names[:2] == ["x0", "x1"]
    gaps = frame.with_columns(pl.when(pl.col("c1") > 1).then("c1"), c0=pl.col("c0").cast(pl.Int64))
    gaps.write_csv(tmp_path / "gaps.csv", null_value="-")
    found, _ = both(tmp_path / "gaps.csv", null="-", missing="nan")
    assert isinstance(found.mask, np.memmap)
    nan = gaps.with_columns(pl.col("c1").fill_null(float("nan")))
    nan.write_csv(tmp_path / "nan.csv")
    both(tmp_path / "nan.csv", missing="nan")
    for stream in (True, False):
        with pytest.raises(DataError, match=r"holds NaN \(a missing value\).*in all"):
            load(tmp_path / "nan.csv", stream=stream)


def test_types_that_show_late_are_those_of_all_rows(tmp_path: Path) -> None:
    whole = [str(i) for i in range(900)]
    for name, late in (("fraction", "0.5"), ("empty", ""), ("large", "1e9")):
        path = tmp_path / f"{name}.csv"
        path.write_text("a,b\n" + "".join(f"{i},{i}\n" for i in whole) + f"7,{late}\n")
        both(path, missing="nan")
    first = tmp_path / "first.csv"
    first.write_text("a,b\n" + "".join(f"{i},\n" for i in whole) + "7,1.5\n8,2.5\n")
    both(first, missing="nan")
    names = tmp_path / "names.csv"
    names.write_text("a,b\n" + "".join(f"{i},{i}\n" for i in whole) + "7,word\n")
    both(names)
    zeros = tmp_path / "zeros.csv"
    zeros.write_text("a,b\n" + "".join(f"{i},{i}\n" for i in whole) + "7,007\n")
    found, _ = both(zeros, label="b")
    assert "007" in found.schema.classes


def test_tables_of_several_kinds_are_those_in_memory(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 1000
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2023, 1, 1), eager=True).sample(n, with_replacement=True, seed=0)
    frame = pl.DataFrame(
        {
            "city": rng.choice(["Bern", "Rom", "Oslo"], n, p=[0.5, 0.49, 0.01]),
            "day": days,
            "large": 2**60 + rng.integers(0, 5, n),
            "size": rng.choice(["S", "M", "L"], n),
            "true": rng.random(n) < 0.3,
            "when": rng.choice(["20230623", "20240101"], n),
            "x": [None if i % 7 == 0 else v for i, v in enumerate(rng.normal(size=n).round(3).tolist())],
            "word": [f"word {i}" for i in range(n)],
        }
    )
    said = {"columns": ["size=ordinal:S,M,L", "when=date"]}
    for kind in ("csv", "parquet", "arrow"):
        path = written(frame, tmp_path / f"rows.{kind}")
        found, memory = both(path, **said)
        assert found.notes == memory.notes
        assert found.schema.ignored == ("word",)
        assert isinstance(found.mask, np.memmap)
    other = frame.with_columns(pl.col("x") * 9, city=pl.col("city").replace("Rom", "Genf"))[:300]
    path = written(other, tmp_path / "other.csv")
    both(path, schema=found.schema, unknown="missing")
    kept = [load(path, schema=found.schema, unknown="skip", stream=stream) for stream in (True, False)]
    assert kept[0].fingerprint == kept[1].fingerprint
    with pytest.raises(DataError, match="holds 'Genf', which no training row had"):
        load(path, schema=found.schema, stream=True)
    both(written(frame.select("x", "large"), tmp_path / "numbers.parquet"), typed=True)
    for name, rows in (("b", frame[500:]), ("a", frame[:500].with_columns(city=pl.lit("Lima")))):
        (tmp_path / "parts").mkdir(exist_ok=True)
        written(rows, tmp_path / "parts" / f"{name}.parquet")
    both(tmp_path / "parts", **said)


def test_whole_numbers_with_late_gaps_get_one_type(tmp_path: Path) -> None:
    values = [*range(500), None, *range(300)]
    written(pl.DataFrame({"a": values, "b": [*range(801)]}), tmp_path / "rows.parquet")
    both(tmp_path / "rows.parquet", missing="nan")
    small = pl.DataFrame({"a": np.arange(300, dtype=np.uint8) % 200, "b": np.arange(300, dtype=np.uint8) % 7})
    found, _ = both(written(small, tmp_path / "levels.parquet"))
    assert found.x.dtype == np.uint8


def test_files_of_a_folder_are_one_set(tmp_path: Path) -> None:
    frame = numbers(900)
    for i in range(3):
        written(frame[300 * i : 300 * (i + 1)], tmp_path / f"part-{i}.parquet")
    found, _ = both(tmp_path, label="kind")
    assert found.names[[0, 899]].tolist() == ["part-0.parquet:0", "part-2.parquet:299"]
    assert same(found.x, load(f"{tmp_path}/*.parquet", stream=True, label="kind").x)
    written(frame.drop("c1"), tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1.parquet: has other columns than part-0.parquet"):
        load(tmp_path, stream=True, label="kind")


def test_arrays_are_mapped_where_they_lie(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(700, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", x)
    found, _ = both(tmp_path / "rows.npy")
    assert Path(found.x.filename) == tmp_path / "rows.npy"
    np.save(tmp_path / "wide.npy", np.where(x > 2, np.nan, x).astype(np.float64))
    both(tmp_path / "wide.npy", missing="nan")
    np.save(tmp_path / "bits.npy", (x > 0).reshape(-1, 7, 3))
    both(tmp_path / "bits.npy")


def test_shards_are_read_into_one_file(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(600, 3))
    for i in range(2):
        np.save(tmp_path / f"part-{i}.npy", x[300 * i : 300 * (i + 1)])
        np.save(tmp_path / f"part-{i}.label.npy", np.arange(300) % 3)
    found, _ = both(tmp_path)
    assert found.names[[0, 599]].tolist() == ["part-0.npy:0", "part-1.npy:299"]


def picture(value: int) -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.random.default_rng(value).integers(0, 256, (6, 6, 3), np.uint8)).save(made, "png")
    return made.getvalue()


def test_pictures_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(60):
        (tmp_path / f"class{i % 3}").mkdir(exist_ok=True)
        (tmp_path / f"class{i % 3}" / f"{i}.png").write_bytes(picture(i))
    found, _ = both(tmp_path)
    assert found.schema.shape == (6, 6, 3)
    monkeypatch.setattr(pictures, "pixels_of", None)
    assert load(tmp_path, stream=True).fingerprint == found.fingerprint


def test_hdf5_is_read_once(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"] = np.random.default_rng(0).normal(size=(300, 4))
        file["y"] = np.arange(300) % 2
    both(tmp_path / "rows.h5")


def test_a_table_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(numbers(300), tmp_path / "rows.csv")
    first, reads = load(path, stream=True, label="kind"), []
    parts = Files.parts
    monkeypatch.setattr(Files, "parts", lambda self: reads.append(1) or parts(self))
    assert load(path, stream=True, label="kind").fingerprint == first.fingerprint
    assert not reads
    assert load(path, stream=True, label="kind", weight="w").schema != first.schema
    assert len(reads) == 1
    written(numbers(301), path)
    assert len(load(path, stream=True, label="kind")) == 301
    os.utime(path, ns=(1, 1))
    load(path, stream=True, label="kind")
    assert len(reads) == 3


def test_files_that_nobody_used_for_long_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load(written(numbers(300), tmp_path / "a.csv"), stream=True, label="kind")
    (first,) = (tmp_path / "cache" / "latens" / "rows").iterdir()
    os.utime(first, (1, 1))
    load(written(numbers(310), tmp_path / "b.csv"), stream=True, label="kind")
    (other,) = (tmp_path / "cache" / "latens" / "rows").iterdir()
    assert other != first


def test_rows_stay_on_disk_above_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(numbers(300), tmp_path / "rows.csv")
    monkeypatch.setattr("latens.data.loading.LARGEST", 1000)
    assert isinstance(load(path, label="kind").x, np.memmap)
    assert not isinstance(load(path, label="kind", stream=False).x, np.memmap)
    mixed = load(path)  # has a column of names
    assert mixed.schema.kind == "mixed"
    assert isinstance(mixed.x, np.memmap)
    written(numbers(300).with_columns(v=2 * pl.col("c0")), path)
    assert not isinstance(load(path, derive=["v = 2 * c0"]).x, np.memmap)


def test_what_cannot_stay_on_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file that could stay on disk"):
        load("digits", stream=True)
    np.savez(tmp_path / "rows.npz", x=np.eye(3))
    with pytest.raises(DataError, match=r"of a format that is read into memory as a whole"):
        load(tmp_path / "rows.npz", stream=True)
    path = written(numbers(300), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet, derive: rows that stay on disk take no derive"):
        load(path, stream=True, derive=["v = 2 * c0"])
    np.save(tmp_path / "rows.npy", np.eye(9))
    with pytest.raises(DataError, match=r"rows.npy, typed: rows that stay on disk take no typed"):
        load(tmp_path / "rows.npy", stream=True, typed=True)
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut.parquet: cannot be read"):
        load(tmp_path / "cut.parquet", stream=True)


def test_few_rows_are_the_same_ones_in_their_order() -> None:
    rows = np.arange(0, 90_000, 3)
    chosen = few(rows, 1000)
    assert len(chosen) == 1000
    assert np.all(np.diff(chosen) > 0)
    assert np.isin(few(rows, 100), chosen).all()
    assert few(rows, 30_000) is rows
    assert abs(chosen.mean() / rows.mean() - 1) < 0.1
