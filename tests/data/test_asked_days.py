"""A day that is asked for in a column with times: all of its times, written as in the file or as ISO 8601."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.conditions import conditions_of, parse_conditions
from latens.data.rules import computed, rules_of

DAY = 86_400


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> latens.Schema:
    rng = np.random.default_rng(0)
    times = np.datetime64("2025-06-01T00:00") + np.sort(rng.integers(0, 60 * 1440, 400)).astype("timedelta64[m]")
    path: Path = tmp_path_factory.mktemp("asked") / "stays.csv"
    lines = [f"{time.astype(object):%d.%m.%Y %H:%M};{kind}" for time, kind in zip(times, rng.choice(["a", "b"], 400))]
    path.write_text("came;kind\n" + "\n".join(lines) + "\n")
    return latens.load_data(path, label="none").schema


def ends(schema: latens.Schema, *texts: str) -> tuple[str, str]:
    """The first and the last time that conditions leave, to the minute."""
    asked, one = parse_conditions(texts, schema), (schema.types or ())[0]
    first, last = (one.low + cell * one.step for cell in (asked.low[0], asked.high[0]))
    return tuple(str(np.datetime64(int(second), "s"))[:16] for second in (first, last))  # type: ignore[return-value]


@pytest.mark.parametrize("day", ["03.07.2025", "2025-07-03"])
def test_a_day_is_all_of_its_times(schema: latens.Schema, day: str) -> None:
    first, last = ends(schema, f"came<={day}", f"came>={day}")
    assert (first, last) == ("2025-07-03T00:00", "2025-07-03T23:59")
    assert ends(schema, f"came={day}") == (first, last)
    assert ends(schema, f"came={day}..{day}") == (first, last)
    assert ends(schema, f"came>{day}", "came<06.07.2025") == ("2025-07-04T00:00", "2025-07-05T23:59")
    given = conditions_of({"came": (day, day)}, schema)
    assert (given.low[0], given.high[0]) == (parse_conditions([f"came={day}"], schema).low[0], given.high[0])


def test_a_time_stays_a_time(schema: latens.Schema) -> None:
    assert ends(schema, "came>=03.07.2025 10:30", "came<=2025-07-03 11:00") == ("2025-07-03T10:30", "2025-07-03T11:00")
    asked = parse_conditions(["came=03.07.2025 10:30"], schema)
    assert asked.low[0] == asked.high[0]


def test_days_beyond_the_rows_are_cut_or_refused(schema: latens.Schema) -> None:
    asked = parse_conditions(["came>=01.01.2020"], schema)
    assert asked.low[0] == 0.0
    with pytest.raises(latens.LatensError, match="no row can have column 'came' so"):
        parse_conditions(["came=01.01.2020"], schema)
    # The message writes a date as the file does.
    own = r"holds dates, which '32\.07\.2025' is not\. Write it as \d\d\.\d\d\.2025 \d\d:\d\d"
    with pytest.raises(latens.LatensError, match=own):
        parse_conditions(["came=32.07.2025"], schema)


def test_what_is_so_much_of_a_column_gives_it_back_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    sown = np.datetime64("2025-03-03") + rng.integers(0, 40, 400)
    measured = sown + rng.integers(8, 36, 400)
    celsius = rng.normal(20.0, 2.0, 400).round(1)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 400), "sown": sown, "measured": measured,
                          "days": (measured - sown).astype(int), "celsius": celsius,
                          "fahrenheit": (1.8 * celsius + 32.0).round(1)})  # fmt: skip
    data = latens.load_data(frame, label="none")
    facts, names, types = rules_of(data), data.schema.names, data.schema.types or ()
    assert {rule[0] for rule in facts["equations"]} == {"days", "fahrenheit"}
    x = np.stack([rng.permutation(column) for column in np.asarray(data.x, np.float64).T], axis=1)
    for name, value, other, told in (("days", 20.0, "measured", 20.0), ("fahrenheit", 68.0, "celsius", 20.0)):
        k, j = names.index(name), names.index(other)
        asked = x.copy()
        asked[:, k] = np.round((value - types[k].low) / types[k].step)
        made, _ = computed(facts, data.schema, asked, lambda one, name=name: one == name)
        np.testing.assert_array_equal(made[:, k], asked[:, k])
        np.testing.assert_allclose(types[j].low + made[:, j] * types[j].step, told, atol=0.51 * types[j].step)
