"""Values that lie together far from all others of a column, as years of birth among ages; and tails that do not."""

import numpy as np
import pytest

from latens.data import load
from latens.data.far import far_group, lone_values
from latens.data.suspects import suspicions

rng = np.random.default_rng(0)
AGES = np.clip(np.round(rng.normal(45, 14, 3000)), 16, 84)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.arange(1980, 1999, 3), True),
        (np.array([1980.0, 1998.0]), True),
        (np.array([300.0, 310.0, 305.0]), True),
        (np.array([-900.0, -905.0]), True),
        (np.array([86.0, 88.0, 90.0]), False),
        (np.array([110.0, 112.0]), False),
        (1980.0 + np.arange(45), False),  # more than a hundredth of the rows
        (np.array([200.0, 900.0]), False),  # apart from each other as well
        (np.zeros(0), False),
    ],
    ids=["years", "two", "months", "below", "near", "not-far", "many", "apart", "none"],
)
def test_a_group_is_found_by_the_gap_before_it(wrong: np.ndarray, found: bool) -> None:
    expected = np.unique(wrong).tolist() if found else []
    assert far_group(np.concatenate([AGES, wrong])) == expected


@pytest.mark.parametrize(
    ("times", "least", "most"), [(1.0, 0, 0), (10.0, 0, 0), (100.0, 0, 5), (1000.0, 40, 50), (0.001, 40, 50)]
)
def test_numbers_in_another_unit_are_found_by_their_logarithms(times: float, least: int, most: int) -> None:
    """Grams among kilograms: five of 2,000 weights lie further from each other than the gap is wide."""
    told = 0
    for seed in range(50):
        weights = np.exp(np.random.default_rng(seed).normal(1.5, 0.7, 2000))
        weights[:5] *= times
        found = far_group(weights)
        assert found == [] or times != 1.0
        told += found == np.sort(weights[:5]).tolist()
    assert least <= told <= most
    assert far_group(np.append(weights, [-1.0])) == []  # of numbers that may be below 0 there are no logarithms


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("n", [200, 3000])
def test_skewed_columns_have_none(strength: float, n: int) -> None:
    told = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        columns = [
            draw.lognormal(0.0, strength, n),
            draw.pareto(2.0 / strength, n),
            draw.exponential(1.0, n) ** strength,
            np.round(draw.lognormal(2.0, strength, n)),
            draw.standard_t(1.0 + 1.0 / strength, n),
        ]
        told += sum(bool(far_group(column)) for column in columns)
    assert told <= 1  # of 300 columns


@pytest.mark.parametrize("quoted", [False, True], ids=["plain", "cells-of-two-lines"])
def test_lines_of_the_file_are_named(tmp_path, quoted: bool) -> None:
    ages = [str(int(age)) for age in AGES[:400]]
    ages[50], ages[60] = "1980", "1991"
    notes = ['"a\nb"' if quoted and k < 20 else "ab" for k in range(400)]
    lines = [f"{age},{note},{city}" for age, note, city in zip(ages, notes, ["Lyon", "Porto"] * 200)]
    (tmp_path / "t.csv").write_text("\n".join(["age,note,city", "", *lines]) + "\n")
    whole = (tmp_path / "t.csv").read_text().splitlines()
    at = [next(k for k, line in enumerate(whole, 1) if line.startswith(age)) for age in ("1980", "1991")]
    assert at == [73, 83] if quoted else [53, 63]
    data = load(str(tmp_path / "t.csv"))
    least, most = sorted(int(age) for age in ages if int(age) < 1000)[:: len(ages) - 3]
    words = (
        f"holds 1980 to 1991 in 2 rows, far from its other values, {least} to {most}: look at lines {at[0]}, {at[1]}."
    )
    assert f"Column 'age' {words}" in suspicions(data)


def test_rows_with_ids_are_named_by_these(tmp_path) -> None:
    lines = [f"N{k},{1980 + k if k < 2 else int(age)},{'ab'[k % 2]}" for k, age in enumerate(AGES[:400])]
    (tmp_path / "t.csv").write_text("\n".join(["no,age,city", *lines]))
    said = [text for text in suspicions(load(str(tmp_path / "t.csv"), row_id="no")) if "far from" in text]
    assert len(said) == 1
    assert said[0].endswith("look at row N0, N1.")


@pytest.mark.parametrize(("wrong", "found"), [(63.0, True), (-29.0, True), (32.0, False), (26.0, False)])
def test_a_lone_number_far_from_others_that_end_near_is_found_in_few_rows(wrong: float, found: bool) -> None:
    """Degrees Fahrenheit among 394 of Celsius: three lengths of the others away, these end near their middle 98 %."""
    told = 0
    for seed in range(20):
        own = np.round(np.random.default_rng(seed).normal(17, 2.5, 394), 1)
        told += lone_values(np.append(own, wrong)) == [wrong]
    assert told >= 18 if found else told == 0
