"""`judge` sees names that hardly come, hours between two times of the day, and what ranges say."""

import numpy as np
import pandas as pd
import pytest

from latens.workflow.judge import judge


def pupils(n: int = 800, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    bed, wake = 15 * rng.integers(84, 103, n), 15 * rng.integers(22, 34, n)
    points = rng.integers(0, 61, n)
    clock = lambda minutes: [f"{m // 60 % 24:02d}:{m % 60:02d}" for m in minutes.tolist()]  # noqa: E731
    return pd.DataFrame({
        "class": rng.choice(list("abcdefghijkl"), n), "bed": clock(bed), "wake": clock(wake),
        "sleep": (wake + 1440 - bed) / 60, "points": points,
        "mark": np.array(["C", "B", "A"])[np.searchsorted([20, 40], points, side="right")],
    })  # fmt: skip


RULES = {"sleep": "the hours from bed to wake", "mark": "what the range of 'points' says"}


@pytest.mark.parametrize("broken", ["", "sleep", "mark"])
def test_hours_and_marks_that_break_are_told(broken: str) -> None:
    real, fake = pupils(), pupils(seed=1)
    if broken:
        fake[broken] = fake[broken].to_numpy()[np.random.default_rng(2).permutation(len(fake))]
    found = judge(real, fake)
    told = {(one["target"], one["is"]): one for one in found["equations"]}
    for target, words in RULES.items():
        assert told[target, words]["real"] == 1.0
        assert told[target, words]["broken"] == (target == broken)
    assert (found["verdict"]["word"] == "poor") == bool(broken)


@pytest.mark.parametrize(("kept", "scarce"), [(1.0, False), (0.5, False), (0.1, True), (0.0, True)])
def test_a_name_that_hardly_comes_is_told(kept: float, scarce: bool) -> None:
    """A name of 8 % of the real rows, of which few or none are left: named, and the table is fair at most."""
    real, fake = pupils(), pupils(seed=1)
    own = fake["class"] == "f"
    gone = own & (np.random.default_rng(3).random(len(fake)) >= kept)
    found = judge(real, fake[~gone])
    assert [one["name"] for one in found["validity"]["scarce_names"]] == ["f"] * scarce
    assert (found["verdict"]["word"] in ("fair", "poor")) == scarce
    if scarce:
        one = found["validity"]["scarce_names"][0]
        assert one["real"] == np.mean(real["class"] == "f")
        assert one["fake"] == np.mean(fake[~gone]["class"] == "f")
        assert found["verdict"]["because"].startswith("class is f in ")


def test_evenings_are_compared_as_one_stretch() -> None:
    """Bedtimes that move by half an hour over midnight are a little apart, not at two ends of a day."""
    real, fake = pupils(), pupils(seed=1)
    assert judge(real, fake)["hours"] == []
    shape = {one["column"]: one["shape"] for one in judge(real, fake)["worst_columns"]}
    assert shape.get("bed", 1.0) > 0.9


@pytest.mark.parametrize(("share", "told"), [(0.0, False), (0.01, False), (0.05, True), (0.2, True)])
def test_a_number_that_comes_far_too_often_is_told(share: float, told: bool) -> None:
    """Amounts that were cut at the least of all: in the real rows one has it."""
    rng = np.random.default_rng(4)
    real, fake = pupils(), pupils(seed=1)
    for frame in (real, fake):
        frame["paid"] = rng.gamma(4.0, 50.0, len(frame)).round(2)
    least = float(real["paid"].min())
    fake.loc[rng.random(len(fake)) < share, "paid"] = least
    found = judge(real, fake)
    spikes = found["validity"]["spikes"]
    assert [one["column"] for one in spikes] == ["paid"] * told
    assert (found["verdict"]["word"] in ("fair", "poor")) == told
    if told:
        assert spikes[0]["fake"] == np.mean(fake["paid"] == least)
        assert spikes[0]["real"] == np.mean(real["paid"] == least)
        assert found["verdict"]["because"].startswith(f"paid is {least:.10g} in ")
