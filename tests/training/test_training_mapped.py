"""Training on rows that stay on disk: the bits of training on the same rows in memory, and its bound of memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
from training_fixtures import assert_same_bits, make_model, run, stage

from latens.data import load
from latens.training import Budget


def test_rows_on_disk_train_to_the_bits_of_the_rows_in_memory(tmp_path: Path) -> None:
    x = (np.random.default_rng(0).random((700, 6)) < 0.3).astype(np.uint8)
    pl.DataFrame({f"c{i}": x[:, i] for i in range(6)}).write_csv(tmp_path / "rows.csv")
    options = {"stages": [stage(Budget(epochs=2.5))], "chunk_steps": 7, "validate_every": 2}
    there, memory = load(tmp_path / "rows.csv", stream=True), load(tmp_path / "rows.csv", stream=False)
    assert isinstance(there.x, np.memmap)
    a, b = run(there, make_model((6,)), **options), run(memory, make_model((6,)), **options)
    assert_same_bits(a.model, b.model)
    assert_same_bits(a.snapshot.state, b.snapshot.state)
    assert a.history == b.history


PEAK = """
import resource, sys
from training_fixtures import run, stage, make_model
from latens.data import load
from latens.training import Budget

data = load(sys.argv[1], stream=True)
run(data, make_model((784,)), stages=[stage(Budget(steps=1200))], batch_size=128, chunk_steps=20, validate=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_is_that_of_few_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, 784))  # a sparse file of zeros
        words = [sys.executable, "-c", PEAK, str(path)]
        support = str(Path(__file__).parents[1] / "support")
        paths = os.pathsep.join([support, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        env = {**os.environ, "PYTHONPATH": paths}
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=env)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    # 1.2 GB of rows, of which an epoch goes through nearly a seventh.
    assert peak(1_500_000) - peak(15_000) < 2**28
