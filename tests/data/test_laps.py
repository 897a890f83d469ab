"""Seconds that are written as minutes and seconds: read as numbers, written back, and no times of the day."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.writings import Writing, lap, read_laps


@pytest.mark.parametrize(
    ("cells", "seconds", "minutes", "decimals"),
    [
        (["3:11", "4:02", "2:59"], [191, 242, 179], 1, 0),
        (["0:58.4", "1:02.3"], [58.4, 62.3], 1, 1),
        (["12:05", "31:40"], [725, 1900], 2, 0),  # there is no hour 31
        (["1:02.35", "58:01.2"], [62.35, 3481.2], 1, -1),
    ],
)
def test_minutes_and_seconds_are_numbers_and_come_back(
    cells: list[str], seconds: list[float], minutes: int, decimals: int
) -> None:
    found = read_laps(cells, False)
    assert found is not None
    numbers, writing = found
    assert [numbers[cell] for cell in cells] == seconds
    assert (writing.minutes, writing.decimals) == (minutes, decimals)
    assert [writing.text(numbers[cell], 2) for cell in cells] == cells
    assert [writing.number(cell) for cell in cells] == seconds


@pytest.mark.parametrize(
    "cells", [["08:15", "07:40"], ["8:15", "9:40", "3:10"], ["3:11", "4:75"], ["3:11", "late"], []]
)
def test_times_of_the_day_are_none(cells: list[str]) -> None:
    assert read_laps(cells, False) is None


def test_the_middle_time_decides_both_ways() -> None:
    times = ["5:59", "5:59", "23:10"]
    assert read_laps(times, False) is not None
    assert read_laps(["6:00", "6:00", "0:10"], False) is None
    assert read_laps(["6:00", "6:00", "0:10"], True) is not None  # where it is known


def test_rounding_moves_to_the_next_minute() -> None:
    assert [lap(59.96, 1, 1), lap(59.94, 1, 1), lap(3599.9, 0, 2), lap(61, 0, 1)] == [
        "1:00.0",
        "0:59.9",
        "60:00",
        "1:01",
    ]
    assert Writing(minutes=1, decimals=0).number("95") == 95.0  # seconds alone are read too


def test_a_race_is_found_to_be_its_laps_and_new_rows_of_the_model_are_read_alike() -> None:
    rng = np.random.default_rng(0)
    seconds = rng.integers(160, 320, 400)
    frame = pd.DataFrame(
        {
            "1000 m": [f"{one // 60}:{one % 60:02d}" for one in seconds],
            "lap": np.round(seconds / 2.5, 1),
            "sex": rng.choice(["f", "m"], 400),
        }
    )
    data = latens.load_data(frame, label="none")
    assert [one.kind for one in data.schema.types or ()] == ["number", "number", "category"]
    facts = latens.data.rules.rules_of(data)
    assert [(one.target, one.words) for one in latens.data.equations.read(facts["equations"])] == [
        ("lap", "0.4 * 1000 m")
    ]
    late = frame.assign(**{"1000 m": "6:40"})  # alone they would be times of the day
    again = latens.load_data(late.head(3), label="none", schema=data.schema)
    assert again.outside is not None
    assert (data.schema.types or ())[0].texts(np.array([0.0])) == [frame["1000 m"].min()]
