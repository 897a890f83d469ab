"""How much memory and time a file may cost: at most two and a half times its cells, and no time for nothing."""

import gzip
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from latens.data import load
from latens.data.formats.csv import MAX_BLANK
from latens.errors import DataError

# The peak of the process above what it takes for a few rows, in units of the cells.
PROGRAM = """
import resource, sys
from latens.data import check, load
scale = 1024 if sys.platform != "darwin" else 1
check(load(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
check(load(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale - before)
"""
ROWS, COLUMNS = 200_000, 40


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not tell")
@pytest.mark.parametrize("kind", ["npz", "parquet", "pictures"])
def test_check_takes_no_more_than_two_and_a_half_times_the_cells(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    if kind == "pictures":
        x, kind = x.reshape(-1, 20, 20), "npz"
    for name, rows in (("few", x[:100]), ("many", x)):
        if kind == "npz":
            np.savez(tmp_path / f"{name}.npz", x=rows)
        else:
            pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            columns = {f"c{i}": rows[:, i] for i in range(COLUMNS)}
            parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    words = [sys.executable, "-c", PROGRAM, *(str(tmp_path / f"{name}.{kind}") for name in ("few", "many"))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=True)
    assert int(done.stdout) <= 2.5 * x.nbytes


def test_a_parquet_table_in_parts_is_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from latens.data.formats import arrow as tables

    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=50), "who": [f"r{i}" for i in range(50)], "n": rng.integers(0, 9, 50)}
    columns |= {"gap": [None if i == 3 else float(i) for i in range(50)], "a.b": rng.normal(size=50).astype(np.float32)}
    parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
    whole = load(tmp_path / "d.parquet", row_id="who", missing="nan")
    monkeypatch.setattr(tables, "_CELLS", 1)
    parts = load(tmp_path / "d.parquet", row_id="who", missing="nan")
    assert whole.fingerprint == parts.fingerprint
    assert [column.name for column in whole.schema.columns or ()] == ["a", "n", "gap", "a.b"]
    np.testing.assert_array_equal(whole.x[:, 3], columns["a.b"])
    np.testing.assert_array_equal(whole.x[:, 0], np.asarray(columns["a"], np.float32))
    assert whole.mask is not None
    assert (~whole.mask).sum() == 1


def test_a_small_file_of_blank_lines_ends_soon(tmp_path: Path) -> None:
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" + b"\n" * 20_000_000 + b"3,4\n", 1))
    began = time.process_time()
    with pytest.raises(DataError, match=f"more than {MAX_BLANK} blank lines"):
        load(tmp_path / "d.csv.gz")
    assert time.process_time() - began < 4
    (tmp_path / "e.csv").write_bytes(b"a,b\n1,2\n" + b"\n" * 1000 + b"3,4\n")
    assert len(load(tmp_path / "e.csv")) == 2
