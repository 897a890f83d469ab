"""An exported page knows hours between two times, means and ranges of a number as the server does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from explorer_fixtures import ask_page, needs_node

from latens import prepare, train
from latens.config import override
from latens.data import load
from latens.explorer.whatif import answers
from latens.recipes import get_recipe


def pupils(n: int = 400) -> pd.DataFrame:
    """Bedtimes over midnight, times of waking, the hours between, two tests, their mean, a mark by it, and a date."""
    rng = np.random.default_rng(0)
    bed, wake = 15 * rng.integers(84, 103, n), 15 * rng.integers(22, 34, n)
    clock = lambda minutes: [f"{m // 60 % 24:02d}:{m % 60:02d}" for m in minutes.tolist()]  # noqa: E731
    one, two = rng.integers(0, 21, n), rng.integers(0, 21, n)
    mark = np.array(["C", "B", "A"])[np.searchsorted([14, 27], one + two, side="right")]
    date = np.datetime64("2024-01-01") + rng.integers(0, 500, n)
    day = np.array(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])[(date.astype(int) + 3) % 7]
    return pd.DataFrame({"bed": clock(bed), "wake": clock(wake), "sleep": (wake + 1440 - bed) / 60, "one": one,
                         "two": two, "mean": (one + two) / 2, "mark": mark,
                         "date": date.astype(str), "day": day})  # fmt: skip


@needs_node
def test_hours_means_and_marks_are_those_of_the_server(tmp_path: Path) -> None:
    data = load(pupils(), label="none")
    trained = train(prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    bed, wake, sleep, one, two, mean, mark, date, day = range(9)
    questions: list[dict[str, Any]] = [
        {"given": [[bed, "23:30"], [wake, "06:45"]]},
        {"given": [[bed, "00:15"], [wake, "06:45"]]},
        {"given": [[one, "10"], [two, "17"]]},
        {"given": [[mean, "14"]]},
        {"given": [[date, "2024-06-21"]]},
        {"given": []},
    ]
    manifest, found = ask_page(trained, data, tmp_path, questions)
    columns = manifest["what_if"]
    assert "23:30" in columns[bed]["choices"]
    own = answers(trained)
    assert own is not None
    each = []
    for question, answer in zip(questions, found):
        assert "refused" not in answer, answer
        server = {each["column"]: each for each in json.loads(own(json.dumps(question).encode()))["columns"]}
        page = {each["column"]: each for each in answer["columns"]}
        assert {k: v.get("exact") for k, v in page.items()} == {k: v.get("exact") for k, v in server.items()}
        for told in (server, page):
            if one in told and two in told:
                both = 0.5 * (told[one]["mean"] + told[two]["mean"])
                assert mean not in told or told[mean]["mean"] == pytest.approx(both, rel=1e-6)
        each.append((server, page))
    for told in each[0]:
        assert float(told[sleep]["exact"]) == 7.25
    for told in each[1]:
        assert float(told[sleep]["exact"]) == 6.5
    levels = columns[mark]["levels"]
    for told in each[2]:
        assert float(told[mean]["exact"]) == 13.5
    for told in each[3]:  # a mean of 14 has the mark A
        np.testing.assert_allclose(told[mark]["shares"], np.eye(3)[levels.index("A")], atol=1e-4)
    friday = np.eye(7)[columns[day]["levels"].index("Fri")]
    for told in each[4]:
        np.testing.assert_allclose(told[day]["shares"], friday, atol=1e-4)
