"""`judge` counts what holds in nearly all real rows: names, rates, months, days between dates and their order."""

import numpy as np
import pandas as pd
import pytest

from latens.workflow.judge import judge


def stays(n: int = 900, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    day, nights = np.datetime64("2024-01-03") + rng.integers(0, 600, n), rng.integers(1, 8, n)
    month = day.astype("datetime64[M]").astype(int) % 12
    room, persons = rng.choice(["double", "single"], n), rng.integers(1, 5, n)
    return pd.DataFrame({
        "came": (day + rng.integers(840, 1380, n).astype("timedelta64[m]")).astype("datetime64[s]"),
        "left": (day + nights).astype("datetime64[s]"), "nights": nights, "persons": persons, "room": room,
        "season": np.where(np.isin(month, [5, 6, 7, 11]), "high", "low"),
        "rate": np.where(room == "double", 90.0, 60.0), "tax": 2.4 * nights * persons,
    })  # fmt: skip


RULES = {
    "nights": "the days until left", "left": "never before came", "rate": "what 'room' says",
    "season": "what the month of 'came' says",
}  # fmt: skip


@pytest.mark.parametrize("broken", ["", "nights", "left", "rate", "season"])
def test_the_rule_that_is_broken_is_told(broken: str) -> None:
    """Rows of the same law keep all; where a column is shuffled, it is by its rule that the verdict is poor."""
    real, fake = stays(), stays(seed=1)
    if broken:
        rng = np.random.default_rng(2)
        fake[broken] = fake[broken].to_numpy()[rng.permutation(len(fake))]
    found = judge(real, fake)
    told = {(one["target"], one["is"]): one for one in found["equations"]}
    for target, words in RULES.items():
        one = told[target, words]
        assert one["real"] == 1.0
        assert one["broken"] == (target == broken or (broken == "left" and target == "nights"))
        assert (one["fake"] == 1.0) == (not one["broken"])
    assert (found["verdict"]["word"] == "poor") == bool(broken)
    if broken in ("rate", "season"):
        assert found["verdict"]["because"] == f"{broken} is not {RULES[broken]} as in the real rows"
        wrong = fake[broken] != (stays(seed=1)[broken])
        # Of months with few rows nothing is said.
        assert -1e-9 <= told[broken, RULES[broken]]["fake"] - (1.0 - wrong.mean()) < 0.08


def test_tables_by_chance_have_no_rule() -> None:
    rng = np.random.default_rng(3)
    tables = []
    for _ in range(2):
        names = {"a": rng.choice(["x", "y"], 400), "b": rng.choice(["u", "v", "w"], 400)}
        tables.append(pd.DataFrame(names | {"c": rng.normal(0, 1, 400).round(2), "d": rng.integers(1, 5, 400)}))
    assert judge(*tables)["equations"] == []
