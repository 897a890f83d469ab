"""`latens detect --held-out`: rows that trained the run are known again, and are left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from latens.cli.main import main
from latens.data import TRAIN, load
from latens.verbs.detect import _again


def test_training_rows_are_found_by_position_and_twins_are_no_evidence() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32).astype(float)
    own = load(x)
    train = np.flatnonzero(own.split == TRAIN)
    assert _again(own, load(x, schema=own.schema)) == set(train.tolist())
    new = np.concatenate([x[train[:4]], np.random.default_rng(1).normal(size=(6, 3))])
    assert _again(own, load(new, schema=own.schema)) == {0, 1, 2, 3}
    assert _again(own, load(new[4:], schema=own.schema)) == set()
    few = np.random.default_rng(2).integers(0, 3, (200, 2)).astype(float)  # of nine kinds of row all have a twin
    table = load(few)
    assert _again(table, load(few[:50], schema=table.schema)) == set()
    twice = load(np.repeat(x, 2, axis=0))
    assert _again(twice, load(x, schema=twice.schema)) == set()  # four of five training rows have one twin


def test_the_rows_that_trained_the_run_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    for name, rows in (("day1", x[:300]), ("day2", x[300:]), ("half", np.concatenate([x[:100], x[300:]]))):
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="a,b", comments="", fmt="%.6f")
    run, day1, day2 = str(tmp_path / "run"), str(tmp_path / "day1.csv"), str(tmp_path / "day2.csv")
    assert main(["fit", day1, "--out", run, "--steps", "4", "--set", "network.hidden=4", "--num-samples", "2"]) == 0
    own = load(day1)
    held_out, trained = len(own.subset("test")), own.split[:100] == TRAIN
    for given, count, words in (
        ([], held_out, "that did not train the model (test)"),
        (["--held-out", day1], held_out, "that did not train the model (test)"),
        (["--held-out", str(tmp_path / "half.csv")], 200 - trained.sum(), f"{trained.sum()} of 200 rows of"),
    ):
        capsys.readouterr()
        out = str(tmp_path / f"found{len(given)}{count}.csv")
        assert main(["detect", run, day2, *given, "--num-samples", "2", "--alpha", "0.2", "--out", out, "--json"]) == 0
        found = capsys.readouterr()
        value = json.loads(found.out)
        assert value["held_out"] == count
        assert value["training_rows"] == 0
        if "half" in str(given):
            assert f"{words} {tmp_path / 'half.csv'} trained the model, and are left out" in found.err
    (tmp_path / "train.csv").write_text("a,b\n" + "".join(
        f"{a:.6f},{b:.6f}\n" for (a, b), kind in zip(x[:300], own.split) if kind == TRAIN))  # fmt: skip
    only = ["--held-out", str(tmp_path / "train.csv"), "--num-samples", "2", "--out", str(tmp_path / "none.csv")]
    assert main(["detect", run, day2, *only]) == 3
    assert f"all {(own.split == TRAIN).sum()} rows trained the model" in capsys.readouterr().err
    Path(day1).unlink()
    assert main(["detect", run, day2, "--held-out", day2, *only[2:]]) == 0
    assert "whether they trained the model is not known" in "".join(capsys.readouterr())
