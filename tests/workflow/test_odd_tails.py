"""Numbers beyond the interval of their cell: exponential tails exactly, mistakes that trained, dates at an end."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data.columns import ColumnType
from latens.recipes import get_recipe
from latens.workflow.cells import blame, distances

SIZE = 4000


def column(values: np.ndarray, kind: str = "number", low: float = 1.0) -> tuple[ColumnType, np.ndarray]:
    """A column with a cell for each of a grid, and the shares of a law on it."""
    shares = values / values.sum()
    one = ColumnType(kind=kind, low=low, step=1.0, starts=tuple(range(len(values))), size=len(values),
                     shares=tuple(shares.tolist()), written="int")  # fmt: skip
    return one, shares


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.04])
def test_of_an_exponential_law_the_distance_is_that_of_its_tail(rate: float) -> None:
    """Beyond the upper end P(X > x) = 0.05 exp(-d), up to the least spread."""
    one, shares = column(np.exp(-rate * np.arange(SIZE)), low=-1.0)
    above = 1.0 - np.cumsum(shares)
    cells = np.flatnonzero((above < 0.045) & (above > 1e-5))
    found = distances(np.tile(shares, (len(cells), 1)), one, cells)
    exact = np.log(0.05 / above[cells])
    least = 1.0 + 0.05 * np.log(0.95 / 0.05) / np.log(10) * 1.1
    assert np.all(found <= exact + 0.05)
    assert np.all(found * least >= exact - 0.1)
    inside = np.flatnonzero((above > 0.06) & (above < 0.94))
    assert not distances(np.tile(shares, (len(inside), 1)), one, inside).any()


def test_a_change_of_units_leaves_it() -> None:
    """Also that of the logarithmic scale, which a law with a long tail of positive numbers takes."""
    x = np.arange(1, SIZE)
    one, shares = column(np.exp(-0.5 * np.log(x / 60.0) ** 2 / 0.36) / x)
    other = ColumnType(**{**{k: getattr(one, k) for k in one.__struct_fields__}, "low": 0.01, "step": 0.01})
    cells = np.array([0, 10, 60, 300, 900, 3000])
    tiled = np.tile(shares, (len(cells), 1))
    np.testing.assert_allclose(distances(tiled, one, cells), distances(tiled, other, cells), rtol=1e-9)
    # ln x is Normal(ln 60, 0.6): ten times the median lies 3.84 deviations off, as far on the logarithmic scale
    ten, upper = np.log(10.0) / 0.6, 1.645
    found = distances(tiled[:1], one, np.array([599.0]))[0]
    assert found == pytest.approx(np.log(10) * (ten - upper) / (upper + 0.05 * 2 * upper), rel=0.1)


@pytest.mark.parametrize("share", [0.0, 0.004])
def test_mistakes_that_trained_come_first_and_ends_of_dates_do_not(share: float) -> None:
    """The model gives years of birth in a column of ages their own share, so that they once came behind a first day."""
    rng, n = np.random.default_rng(5), 1200
    age = np.clip(np.round(rng.normal(45, 12, n)), 18, 90)
    wrong = rng.permutation(n)[: round(share * n)]
    age[wrong] = 2020 - age[wrong]
    day = np.datetime64("2022-03-01") + rng.integers(0, 500, n)
    kind = rng.choice(["Hauptbahnhof", "Altstadt"], n).astype(object)
    kind[rng.permutation(n)[:3]] = "Hauptbanhof"
    frame = pd.DataFrame({"age": age, "day": day, "kind": kind, "hours": np.round(rng.gamma(2.0, 3.0, n), 1)})
    data = latens.load_data(frame, label="none")
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    found = blame(trained, data, np.arange(n), others=data.count("train"), cells=1, num_samples=2)
    order = np.argsort(found.p_value[:, 0], kind="stable")
    assert set(order[: len(wrong)]) == set(wrong)
    assert np.all(found.p_value[order[: len(wrong)], 0] < 1e-9)
    names = set(order[len(wrong) : len(wrong) + 3])
    assert names == set(np.flatnonzero(kind == "Hauptbanhof"))
    first = np.flatnonzero(found.column[:, 0] == 1)
    assert np.all(found.p_value[first, 0] > 0.01)  # a first day of 500 has 0.004 by the model
