"""`latens detect --held-out`: rows that trained the run are known again, and are left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN

import latens
from latens.cli.main import main
from latens.commands.detect import _again
from latens.data import TRAIN, load
from latens.errors import DataError
from latens.trained import cell_scores as detecting
from latens.trained.cell_scores import Blame, Detection


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
            assert f"{words} {tmp_path / 'half.csv'} are training rows and are left out" in found.err
    (tmp_path / "train.csv").write_text("a,b\n" + "".join(
        f"{a:.6f},{b:.6f}\n" for (a, b), kind in zip(x[:300], own.split) if kind == TRAIN))  # fmt: skip
    only = ["--held-out", str(tmp_path / "train.csv"), "--num-samples", "2", "--out", str(tmp_path / "none.csv")]
    assert main(["detect", run, day2, *only]) == 3
    assert f"all {(own.split == TRAIN).sum()} rows are training rows" in capsys.readouterr().err
    Path(day1).unlink()
    assert main(["detect", run, day2, "--held-out", day2, *only[2:]]) == 0
    assert "the training data cannot be read, so these may include training rows" in "".join(capsys.readouterr())


def test_the_oddest_rows_are_named_without_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surprise = np.array([5.0, 1.0, 4.0, 2.0, np.inf, 3.0])
    p = np.array([[0.5, 0.6], [0.001, 1.0], [0.3, 0.4], [0.2, 0.9], [0.0, 0.7], [0.2, 0.8]])  # of visits, then of size

    def blame(trained: Any, data: Any, rows: np.ndarray, *, cells: int, **options: Any) -> Blame:
        looked_at.append(rows.tolist())
        order = np.tile([2, 1], (len(rows), 1))[:, :cells]
        return Blame(order, p[rows][:, :cells], *(np.zeros((len(rows), cells)) for _ in range(3)))

    def detected(*found: Any, gate: bool, **options: Any) -> Detection:
        gates.append(gate)
        return Detection(surprise, 2 * surprise, np.linspace(0.1, 0.6, 6), np.ones(6), np.zeros(6, bool), 4)

    looked_at: list[list[int]] = []
    gates: list[bool] = []
    monkeypatch.setattr("latens.trained.cell_scores.blame", blame)
    monkeypatch.setattr("latens.trained.cell_scores.detect", detected)
    monkeypatch.setattr("latens.commands.detect.SCANNED", 4)
    trained = latens.load(GOLDEN / "format-2-mixed.safetensors")
    new, held = tmp_path / "new.csv", tmp_path / "held.csv"
    head, row = "city,size,visits,pay,day\n", ["Lyon,S,0,1.5,2021-03-27\n"]
    new.write_text(head + "".join(row * 6))
    held.write_text(head + "".join(row * 4))
    for cells, top, expected in ((2, 2, [4, 5]), (1, 3, [4, 5, 2]), (0, 3, [4, 0, 2]), (1, 9, [4, 1, 5, 3, 2, 0])):
        made = trained.detect(new, held_out=held, top=top, cells=cells)
        told, arrays = made.value["top"], made.arrays
        assert [one["row"] for one in told] == expected
        assert [one["surprise"] for one in told] == ["inf" if i == 4 else surprise[i] for i in expected]
        assert [one["score"] for one in told] == ["inf" if i == 4 else 2 * surprise[i] for i in expected]
        assert [one["p_value"] for one in told] == pytest.approx([0.1 + 0.1 * i for i in expected])
        assert arrays["rank"].tolist() == [1 + expected.index(i) if i in expected else 0 for i in range(6)]
        if cells:
            assert [bool(name) for name in arrays["cell_1"]] == [i in expected for i in range(6)]
            named = [(cell["cell"], cell["value"], cell["expected"], cell["p"]) for cell in told[0]["cells"]]
            assert named == [("visits", "0", "0", 0.0), ("size", "S", "S", 0.7)][:cells]
        else:
            assert "cells" not in told[0]
        assert sum(line.startswith("  row ") for line in (*made.plain, *made.text.splitlines())) == len(expected)
        assert "before any row is flagged" not in made.text
        assert made.text.startswith(f"{len(expected)} rows, 0 of them flagged; in all, 0 of 6 rows flagged at")
        assert made.plain[1].startswith(f"Ranked the {len(expected)} most unusual")
    # The most surprising rows.
    scanned = [4, 0, 2, 5]
    every = [4, 0, 2, 5, 3, 1]
    assert looked_at == [scanned, scanned, every]
    said = "\n".join(made.plain)
    assert said.index("row 4: score inf nats, row p 0.5; visits is 0, expected 0") < said.index("row 5: score 6.0 nats")
    gated = trained.detect(new, held_out=held)
    assert gates == [False] * 4 + [True]
    # 6 rows, p at least 1 / 5, and 6 / 5 over 0.05 is 24.
    assert "at least 24 of 6 rows need it before any row is flagged" in gated.text
    assert gated.plain[1:] == (
        "Flagged none: 4 held-out rows are too few to flag single ones, which takes 119.",
        "Next: --top 20 ranks the most unusual rows, --out odd.csv writes all rows.",
    )


def both(odd: np.ndarray) -> detecting.Scores:
    return detecting.Scores(np.zeros(len(odd)), odd)


def test_few_held_out_rows_rank_where_they_cannot_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        detecting, "row_scores", lambda trained, data, positions, **options: both(np.array(data.x[:, 0], float))
    )
    trained = latens.load(GOLDEN / "format-2-table.safetensors")
    held, new = load(np.array([[1.0], [2.0], [3.0]])), load(np.array([[2.5], [9.0]]))
    with pytest.raises(DataError, match="3 held-out rows cannot show a p-value of"):
        detecting.detect(trained, held, np.arange(3), new)
    found = detecting.detect(trained, held, np.arange(3), new, gate=False)
    assert found.p_value.tolist() == [2 / 4, 1 / 4]
    assert not found.flagged.any()
