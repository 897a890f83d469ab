"""Numbers far from what others say of them: the planted rows over strengths, none by chance."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import relations
from latens.data.mistakes import mistaken
from latens.data.relations import relations_in
from latens.data.suspects import suspicions, unlike

ROCKS = {"granite": 2.65, "basalt": 2.95, "sandstone": 2.25, "pumice": 0.7}


def stones(n: int = 500, seed: int = 0, law: str = "normal") -> pd.DataFrame:
    """Stones whose mass is their volume times the density of the rock, and whose length follows the volume."""
    rng = np.random.default_rng(seed)
    noise = {
        "normal": lambda: rng.normal(0, 1, n),
        "heavy": lambda: rng.standard_t(4, n),
        "skewed": lambda: rng.gamma(2.0, 0.7, n),
        "laplace": lambda: rng.laplace(0, 0.7, n),
    }[law]
    rock = rng.choice(list(ROCKS), n)
    volume = np.exp(rng.normal(3.8, 0.6, n))
    mass = volume * np.array([ROCKS[one] for one in rock]) * np.exp(0.05 * noise())
    length = 15.0 * np.cbrt(volume) * np.exp(0.08 * noise())
    frame = {"rock": rock, "volume_ml": volume.round(1), "mass_g": mass.round(1), "length_mm": length.round(1)}
    return pd.DataFrame(frame | {"pupil": rng.choice(["Kim", "Lea", "Noa"], n), "hard": rng.integers(2, 7, n)})


def told(frame: pd.DataFrame) -> list[str]:
    return [one for one in suspicions(latens.load_data(frame, label="none")) if "lies far from what" in one]


def test_a_line_is_what_least_squares_says_and_far_rows_do_not_bend_it() -> None:
    x = np.linspace(0.0, 10.0, 60)
    group = np.repeat([0, 1], 30)
    y = np.where(group == 0, 3.0 + 2.0 * x, -1.0 - 0.5 * x)
    np.testing.assert_allclose(relations.least_squares(x[:30], y[:30]), [2.0, 3.0])
    noise = np.random.default_rng(0).normal(0, 0.01, 60)
    far = np.zeros(60)
    far[[4, 40]] = [5.0, -7.0]
    off = relations._off(y + noise + far, x, group)
    np.testing.assert_allclose(off[[4, 40]], [5.0, -7.0], atol=0.05)
    assert np.abs(np.delete(off, [4, 40])).max() < 0.05
    alone = relations._off(np.array([1.0, 2.0, 4.0] * 5 + [np.nan]), None, np.zeros(16, int))
    np.testing.assert_allclose(alone[:3], [-1.0, 0.0, 2.0])
    assert np.isnan(alone[-1])


def test_what_tells_a_column_is_found() -> None:
    found = {one.target: one for one in relations.relations_in(latens.load_data(stones(), label="none"))}
    assert found["mass_g"].columns == ("volume_ml", "rock")
    assert found["length_mm"].columns == ("volume_ml",)
    assert "hard" not in found
    seen = found["mass_g"].off
    assert np.quantile(np.abs(seen), 0.68) == pytest.approx(1.0, abs=0.1)  # in widths


@pytest.mark.parametrize(("times", "named"), [(10.0, True), (3.0, True), (1.05, False)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rows_whose_mass_was_changed_are_named_over_strengths(times: float, named: bool, seed: int) -> None:
    frame = stones(seed=seed)
    middle = np.flatnonzero((frame["mass_g"] < frame["mass_g"].median()).to_numpy())  # usual by itself afterwards
    rows = np.sort(np.random.default_rng(seed).choice(middle, 4, replace=False))
    frame.loc[rows, "mass_g"] = (frame.loc[rows, "mass_g"] * times).round(1)
    at = ", ".join(map(str, rows))
    what = ", about 10 times as large" if times == 10.0 else ""
    expected = f"Column 'mass_g' lies far from what 'volume_ml' and 'rock' say of it in 4 rows{what}: look at row {at}."
    said = told(frame)
    assert (expected in said) is named
    data = latens.load_data(frame, label="none")
    names = [column.name for column in data.schema.columns or ()]
    cells = [(row, names[k]) for row, k in np.argwhere(mistaken(data)).tolist()]
    assert cells == ([(row, "mass_g") for row in rows.tolist()] if named else [])


def test_the_order_of_rows_and_columns_and_the_unit_change_nothing() -> None:
    frame = stones()
    frame.loc[[3, 30], "length_mm"] *= 8
    mixed = frame.sample(frac=1.0, random_state=2)[sorted(frame.columns)].reset_index(drop=True)
    mixed["volume_ml"] = (mixed["volume_ml"] * 10).round(0)
    before, after = (mistaken(latens.load_data(one, label="none")) for one in (frame, mixed))
    assert before.sum() == after.sum() == 2


@pytest.mark.parametrize("law", ["normal", "heavy", "skewed", "laplace"])
def test_hardly_a_row_is_named_by_chance(law: str) -> None:
    wrong = sum(len(told(stones(400, seed, law))) > 0 for seed in range(15))
    assert wrong <= (2 if law == "heavy" else 1)


def test_names_alone_may_say_a_number() -> None:
    rng = np.random.default_rng(0)
    kind = rng.choice(["letter", "parcel", "box"], 800)  # no range of weights says which of the last two it is
    weight = np.exp(rng.normal(np.where(kind == "letter", -1.5, 1.8), 0.25))
    frame = pd.DataFrame({"kind": kind, "weight": weight.round(3), "zone": rng.choice(["a", "b", "c"], 800)})
    assert told(frame) == []
    frame.loc[[int(np.flatnonzero(kind == "letter")[k]) for k in (5, 50)], "weight"] = [6.1, 5.2]
    assert "Column 'weight' lies far from what 'kind' says of it in 2 rows" in told(frame)[0]


def _parcels(times: float, seed: int = 0, n: int = 900) -> pd.DataFrame:
    """Letters of few grams and parcels of many kilograms, whose length follows the weight; four letters are wrong."""
    rng = np.random.default_rng(seed)
    service = rng.choice(["letter", "standard", "express"], n, p=[0.2, 0.5, 0.3])
    weight = np.where(service == "letter", np.exp(rng.normal(-2.0, 0.5, n)), np.exp(rng.normal(1.2, 0.8, n)))
    length = 30.0 * np.cbrt(weight) * np.exp(rng.normal(0, 0.1, n))
    if times > 1.0:
        weight[np.flatnonzero(service == "letter")[[3, 20, 41, 77]]] = times * 0.135 * np.array([0.95, 1.0, 1.02, 1.04])
    return pd.DataFrame({"service": service, "weight": weight.round(3), "length": length.round(1),
                         "town": rng.choice(list("abcd"), n)})  # fmt: skip


@pytest.mark.parametrize(("times", "there"), [(1.0, False), (2.0, False), (80.0, True), (130.0, True)])
def test_a_number_far_from_those_of_its_name_is_told_where_that_name_s_are_narrow(times: float, *, there: bool) -> None:
    frame = _parcels(times)
    found = [one for one in told(frame) if "Column 'weight'" in one]
    assert bool(found) is there, found
    if there:
        assert len(found) == 1
        assert "of it in 4 rows" in found[0]
        rows = np.flatnonzero(frame["service"] == "letter")[[3, 20, 41, 77]]
        assert all(str(row) in found[0] for row in rows.tolist())
    for seed in range(3):
        assert not told(_parcels(1.0, seed=seed + 1))


@pytest.mark.parametrize(("beyond", "told"), [(True, 0), (False, 4)])
def test_a_line_says_nothing_far_beyond_its_rows(beyond: bool, told: int) -> None:
    """Four magpies among the thick beaks of sparrows are not heavy for their wings; four sparrows of their mass are."""
    rng = np.random.default_rng(0)
    beak = rng.choice(["thin", "thick"], 4000)
    wing = np.round(rng.normal(77, 3, 4000), 1)
    mass = np.where(beak == "thin", 0.30, 0.38) * wing * np.exp(rng.normal(0, 0.03, 4000))
    rows = np.flatnonzero(beak == "thick")[:4]
    wing[rows], mass[rows] = (112.0 if beyond else wing[rows]), [205.0, 220.0, 238.0, 251.0]
    frame = pd.DataFrame({"beak": beak, "wing": wing, "mass": mass.round(1)})
    found = {
        (one.target, one.base): unlike(one) for one in relations.relations_in(latens.load_data(frame, label="none"))
    }
    assert np.count_nonzero(found["mass", "wing"][rows]) == told


def test_intervals_beside_a_column_say_nothing_of_it() -> None:
    rng = np.random.default_rng(0)
    size = rng.gamma(4.0, 10.0, 300).round(1)
    frame = pd.DataFrame({"size": size, "size.low": (0.8 * size).round(1), "size.high": (1.3 * size).round(1)})
    assert not list(relations.relations_in(latens.load_data(frame, typed=True)))
    assert list(relations.relations_in(latens.load_data(frame.rename(columns={"size.low": "low"}), typed=True)))


@pytest.mark.parametrize(("off", "told"), [(0.0, False), (30.0, True)])
def test_a_line_of_numbers_as_they_are_bends_in_logarithms(off: float, told: bool) -> None:
    """Degrees of two scales, rounded each: 30 too many at the cold end lie far off, but not in logarithms."""
    rng = np.random.default_rng(3)
    celsius = rng.normal(62, 8, 360)
    fahrenheit = (1.8 * celsius + 32.0).round(1)
    cold = int(np.argsort(celsius)[1])
    fahrenheit[cold] += off
    frame = pd.DataFrame({"celsius": celsius.round(1), "fahrenheit": fahrenheit, "side": rng.choice(["l", "r"], 360)})
    data = latens.load_data(frame, label="none")
    found = [one for one in relations_in(data) if one.target == "fahrenheit"]
    assert [(one.base, one.logs) for one in found if one.base] == [("celsius", False)]
    assert any(unlike(one)[cold] for one in found) == told
