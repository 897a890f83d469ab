"""Effects in rows with the other columns held still: what least squares say, by numbers that are known."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.workflow.judge import judge
from latens.workflow.partial import held_still, lost


def acids(slope: float = -0.045, seed: int = 0, n: int = 420) -> pd.DataFrame:
    """Times of reactions that a metal and a strength say far more of than the temperature does."""
    rng = np.random.default_rng(seed)
    metal, acid = rng.choice(["zinc", "magnesium"], n), rng.choice(["strong", "weak"], n)
    strength, temperature = rng.choice([0.5, 1.0, 2.0], n), rng.normal(20.5, 2.4, n).round(1)
    time = np.where(metal == "zinc", 260, 95) / strength**0.8 * np.where(acid == "weak", 1.9, 1.0)
    time = (time * np.exp(slope * (temperature - 20) + rng.normal(0, 0.13, n))).round(1)
    other = rng.integers(1, 60, n)
    return pd.DataFrame(
        {"metal": metal, "acid": acid, "strength": strength, "temperature": temperature, "other": other, "time": time}
    )


@pytest.mark.parametrize(("slope", "there"), [(0.0, False), (0.002, False), (-0.045, True), (0.09, True)])
def test_an_effect_is_told_by_its_errors(slope: float, there: bool) -> None:
    told = 0
    for seed in range(8):
        data = latens.load_data(acids(slope, seed), label="none")
        found = {one.column: one for one in held_still(data, "time")}
        assert "strength" in found
        assert "other" not in found
        told += "temperature" in found
        if there:
            low, high = np.quantile(acids(slope, seed)["temperature"], [0.25, 0.75])
            percent = 100 * np.expm1(slope * (high - low))
            much = float(found["temperature"].words.split()[2])
            assert much == pytest.approx(abs(percent), abs=5)
            assert ("higher" if slope > 0 else "lower") in found["temperature"].words
    assert told == 8 if there else told <= 1


def test_units_and_the_order_of_columns_change_nothing() -> None:
    frame = acids()
    plain = held_still(latens.load_data(frame, label="none"), "time")
    turned = held_still(latens.load_data(frame[frame.columns[::-1]], label="none"), "time")
    assert [one.words for one in plain] == [one.words for one in turned]
    np.testing.assert_allclose([one.errors for one in plain], [one.errors for one in turned])
    warm = held_still(latens.load_data(frame.assign(time=frame["time"] * 60), label="none"), "time")
    np.testing.assert_allclose([one.errors for one in plain], [one.errors for one in warm], rtol=0.02)


def test_what_is_computed_and_what_is_no_number_has_none() -> None:
    data = latens.load_data(acids().assign(kelvin=lambda frame: frame["temperature"] + 273.15), label="none")
    assert {one.column for one in held_still(data, "time", ["kelvin"])} == {"strength", "temperature"}
    assert held_still(data, "kelvin", ["kelvin"]) == []
    assert held_still(data, "metal") == []
    assert held_still(latens.load_data(acids(n=90), label="none"), "time") == []  # too few rows


@pytest.mark.parametrize(("left", "told"), [(1.0, False), (0.7, False), (0.2, True), (0.0, True), (-1.0, True)])
def test_synthetic_rows_that_lack_an_effect_are_told(left: float, told: bool) -> None:
    """How much of the effect of the temperature they have, beside other rows; both ways, and turned round."""
    named = np.array([True, True, False, False, False, False])
    names, found = list(acids()), []
    for seed in range(6):
        real, fake = acids(-0.06, seed, 900), acids(-0.06 * left, seed + 50, 900)
        real, fake = (
            frame.assign(**{name: pd.factorize(frame[name], sort=True)[0] for name in ("metal", "acid")}).to_numpy(
                float
            )
            for frame in (real, fake)
        )
        found.append([one.words for one in lost(real, fake, named, names, range(6)) if "temperature" in one.words])
        assert not any("other" in words for words in found[-1])
    assert sum(map(bool, found)) == (6 if told else 0)
    if told:
        assert found[0][0].startswith(("time is ", "temperature is "))


def test_judge_says_which_effect_is_lost() -> None:
    real, fake = acids(-0.06, 0, 900), acids(0.0, 1, 900)
    found = judge(real, fake)
    assert any("temperature" in one["words"] for one in found["held_still"])
    assert found["verdict"]["word"] in ("fair", "poor")
    assert judge(real, acids(-0.06, 1, 900))["held_still"] == []
