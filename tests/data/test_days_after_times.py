"""Days after a time: a stay that begins at 15:40 and ends on a day, with the nights between."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import found_equations, ordered
from latens.data.mistakes import mistaken
from latens.data.mixed import as_columns
from latens.data.ordered import cell_of, dates_of
from latens.data.rules import solved
from latens.data.spans import countable, in_unit
from latens.recipes import get_recipe

DAY = 86_400


def stays(n: int = 700, *, wrong: int = 0, gone: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    day, nights = np.datetime64("2024-01-03") + rng.integers(0, 500, n), 1 + rng.poisson(2.0, n)
    left = day + nights
    left[:wrong] -= 40
    frame = pd.DataFrame({"came": day + rng.integers(840, 1380, n).astype("timedelta64[m]"), "left": left})
    frame["left"] = frame["left"].astype("datetime64[s]")
    frame.loc[frame.index[n - gone :], "left"] = pd.NaT
    return frame.assign(nights=nights, house=rng.choice(["hill", "lake"], n))


def test_units_by_hand() -> None:
    times = np.array([-1.0, 0.0, DAY - 1.0, DAY, 1.5 * DAY])
    np.testing.assert_array_equal(in_unit(times, "s", "D"), [-1, 0, 0, 1, 1])
    np.testing.assert_array_equal(in_unit(np.array([-1.0, 2.0]), "D", "s"), [-DAY, 2 * DAY])
    np.testing.assert_array_equal(in_unit(np.array([-1.0, 2.0]), "D", "s", last=True), [-1, 3 * DAY - 1])
    assert in_unit(times, "s", "s") is times
    assert countable("s", "", "D", "")
    assert not countable("D", "", "s", "")
    assert not countable("s", "UTC", "D", "UTC")


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_day_is_counted_from_the_day_of_a_time(wrong: int) -> None:
    frame = stays(wrong=wrong, gone=20)
    data = latens.load_data(frame, label="none")
    types, names = data.schema.types or (), list(frame)
    assert types[1].after is not None
    assert (types[1].after.column, types[1].after.written, types[1].written) == ("came", "D", "days")
    rows = dates_of(np.asarray(data.x), data.schema)
    known = frame["left"].notna().to_numpy()
    inside = known & (True if data.outside is None else ~np.asarray(data.outside).any(axis=1))
    left = frame["left"].to_numpy().astype("datetime64[D]").astype(np.int64)
    np.testing.assert_array_equal(rows[1][inside], left[inside])
    np.testing.assert_array_equal(
        cell_of(rows[1], 1, rows, names, types)[inside], np.asarray(data.x, np.float64)[inside, 1]
    )
    back = as_columns(data.x, data.schema, outside=data.outside)
    np.testing.assert_array_equal(back["left"][inside], frame["left"].to_numpy()[inside])
    again = latens.load_data(frame.iloc[:50], label="none", schema=data.schema)  # rows that come later
    np.testing.assert_array_equal(again.x, np.asarray(data.x)[:50])
    assert ordered.found_in(data) == (ordered.Ordered("came", "left", 680, wrong),)
    (rule,) = [one for one in found_equations.found_in(data) if one.target == "nights"]
    assert (rule.words, rule.broken) == ("the days until left", wrong)
    blamed = np.argwhere(mistaken(data)).tolist()
    assert blamed == [[row, 1] for row in range(wrong)]
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, 1] = True
    full, sure = solved(latens.data.rules.rules_of(data), data.schema, np.where(hidden, 0.0, data.x), hidden)
    own = inside & (np.arange(700) >= wrong)
    np.testing.assert_array_equal(full[own, 1], np.asarray(data.x)[own, 1])
    assert sure[own, 1].all()


def test_a_time_and_a_day_that_are_not_counted_from_each_other_keep_their_order() -> None:
    """Declared as a date of its own, the day of payment still never lies before that of the call."""
    frame = stays().rename(columns={"came": "called", "left": "paid"})
    data = latens.load_data(frame, label="none", columns={"paid": "date"})
    assert (data.schema.types or ())[1].after is None
    rule = ordered.Ordered("called", "paid", 700, 0)
    assert ordered.found_in(data) == (rule,)
    x = np.asarray(data.x, np.float64)
    shuffled = np.column_stack([x[:, 0], np.roll(x[:, 1], 300), x[:, 2:]])
    for column in (0, 1):  # either of both is the one that was filled in
        hidden = np.zeros(x.shape, bool)
        hidden[:, column] = True
        assert ordered.broken_in([rule], data.schema, shuffled).mean() > 0.2
        made = ordered.ordered_again([rule], data.schema, shuffled, hidden)
        rows = dates_of(made, data.schema)
        assert (np.floor(rows[0] / DAY) <= rows[1]).all()
        np.testing.assert_array_equal(made[:, 1 - column], shuffled[:, 1 - column])
        low, high = ordered.limits([rule], data.schema, shuffled, ~hidden)
        inside = (made >= low - 1e-9) & (made <= high + 1e-9)
        assert inside[:, column].all()


def test_new_rows_keep_the_nights_between(tmp_path: Path) -> None:
    frame = stays()
    config = override(
        get_recipe("default").config,
        {"training.steps": 2, "start": "none", "network.hidden": [4], "posterior.latent_dim": 2},
    )
    trained = latens.train(latens.prepare(config, latens.load_data(frame, label="none")))[0]
    trained.save(tmp_path / "m.safetensors")
    assert main(["sample", str(tmp_path / "m.safetensors"), "-n", "300", "--out", str(tmp_path / "new.csv")]) == 0
    made = pd.read_csv(tmp_path / "new.csv", parse_dates=["came", "left"])
    np.testing.assert_array_equal((made["left"] - made["came"].dt.floor("D")).dt.days, made["nights"])
    assert made["came"].dt.hour.between(14, 22).all()
    assert latens.load(tmp_path / "m.safetensors").schema == trained.schema
