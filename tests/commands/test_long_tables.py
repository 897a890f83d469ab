"""Commands on rows that are sequences: long tables in, long tables out."""

import csv
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from latens import read
from latens.cli.main import main
from latens.commands._files import long_as_written, table_of
from latens.kinds.steps.sequences import nearest_the_centre


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file))


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


HEAD = ["who", "when", "x", "y", "note"]
ROWS = [
    ["b", "2024-01-01 00:00", "1.50", "7", "k"], ["a", "2024-01-01 00:00", "", "1", "k"],
    ["b", "2024-01-01 01:00", "2.50", "", "k"], ["b", "2024-01-01 03:00", "4.50", "9", "k"],
    ["a", "2024-01-01 01:00", "0.25", "2", "k"],
]  # fmt: skip


def test_a_long_table_keeps_its_cells_and_its_order_and_gets_the_steps_that_it_lacks(tmp_path):
    path = written(tmp_path / "t.csv", [HEAD, *ROWS])
    data = read(path, sequence="who", time="when", condition="note")
    hidden = ~data.mask
    x = np.where(hidden, 100.0 + np.arange(data.x.size).reshape(data.x.shape), data.x)
    made = long_as_written(data, x, hidden, path, {})
    found = [list(row) for row in made.select(HEAD).rows()]
    hour = [datetime.datetime(2024, 1, 1, hour) for hour in range(3)]
    assert [row[1] for row in found] == [
        hour[0],
        hour[0],
        hour[1],
        hour[2],
        *[datetime.datetime.fromisoformat(row[1]) for row in ROWS[3:]],
    ]
    assert [row[0] for row in found] == ["b", "a", "b", "b", ROWS[3][0], ROWS[4][0]]
    assert [row[2] for row in found] == [1.5, 108.0, 2.5, 104.0, 4.5, 0.25]
    assert [row[3] for row in found] == [7, 1, 103, 105, 9, 2]
    assert found[3][4] is None
    in_memory = long_as_written(data, x, hidden, Path("a frame"), {})
    assert in_memory["who"].to_list() == [row[0] for row in found]
    assert in_memory["y"].to_list() == [7, 1, 103, 105, 9, 2]
    for j, name in enumerate("xy"):  # a column of whole numbers that were all filled in is one of fractions
        made = long_as_written(data, np.round(x), hidden | (np.arange(2) == j), Path("a frame"), {})
        assert [made[one].dtype.is_float() for one in "xy"] == [one == name for one in "xy"]


def test_a_step_of_several_windows_is_that_of_the_window_it_is_in_the_middle_of():
    frame = pd.DataFrame({"t": np.arange(30), "x": np.arange(30.0)})
    data = read(frame, time="t", window=5, stride=1)
    chosen = nearest_the_centre(data.places)
    step = (data.places.first[:, None] + np.arange(5))[chosen]
    assert sorted(step.tolist()) == list(range(30))
    at = np.nonzero(chosen)[1]
    inner = (step > 1) & (step < 18)  # of the part that trains, the first 20 steps
    assert set(at[inner].tolist()) == {2}
    late = read(frame.iloc[:7], schema=data.schema)
    steps = (late.places.first[:, None] + np.arange(5))[nearest_the_centre(late.places)]
    assert sorted(steps.tolist()) == list(range(7))


def test_new_rows_are_a_long_table_of_counted_steps():
    frame = pd.DataFrame({"t": np.arange(30), "x": np.arange(30.0), "y": np.arange(30.0)})
    schema = read(frame, time="t", window=3).schema
    made = table_of(
        schema, {"x": np.arange(12.0).reshape(2, 3, 2), "z": np.zeros((2, 4)), "label": np.array([5, 6])}, None
    )
    assert {name: array.tolist() for name, array in made.items()} == {
        "sequence": [0, 0, 0, 1, 1, 1], "step": [0, 1, 2, 0, 1, 2], "x": [0, 2, 4, 6, 8, 10], "y": [1, 3, 5, 7, 9, 11],
        "label": [5, 5, 5, 6, 6, 6],
    }  # fmt: skip


def test_commands_take_long_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    x = np.sin(np.arange(60) / 4).round(3)
    frame = pd.DataFrame({"at": hours, "u": x, "v": (2 * x).round(3)})
    frame.loc[[7, 20], "v"] = np.nan
    frame.drop(index=[30]).to_csv("t.csv", index=False)
    small = ["--set", "network.hidden=[4]", "--set", "posterior.latent_dim=1", "--set", "start=none"]
    small += ["--num-samples", "2", "--steps", "2", "--verbose"]
    assert main(["fit", "t.csv", "--time", "at", "--window", "6", *small, "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert "one series with 60 steps of 1 hour in 'at'" in said
    assert "1 step has no line" in said
    assert main(["impute", "run", "t.csv", "--out", "full.csv", "--num-samples", "2", "--quiet"]) == 0
    full, was = cells(tmp_path / "full.csv"), cells(tmp_path / "t.csv")
    assert full[31][0] == "2024-01-02 06:00:00"
    assert all(full[31])
    rest = full[:31] + full[32:]
    assert [i for i, (new, old) in enumerate(zip(rest, was)) if new != old] == [8, 21]
    assert rest[8][:2] == was[8][:2]
    assert main(["sample", "run", "-n", "2", "--out", "s.csv", "--quiet"]) == 0
    assert cells(tmp_path / "s.csv")[0] == ["sequence", "step", "u", "v"]
    assert len(cells(tmp_path / "s.csv")) == 13
    assert main(["encode", "run", "t.csv", "--out", "z.csv", "--quiet"]) == 0
    assert cells(tmp_path / "z.csv")[0][:3] == ["row_id", "at", "mean0"]
    frame.iloc[:6].to_csv("new.csv", index=False)
    assert main(["reconstruct", "run", "new.csv", "--out", "r.csv", "--quiet"]) == 0
    assert len(cells(tmp_path / "r.csv")) == 7
    assert main(["report", "run", "--only", "figures", "--name", "bands", "--quiet"]) == 0
    assert (tmp_path / "run" / "figures" / "bands.png").exists()
