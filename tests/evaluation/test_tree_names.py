"""Columns of many names keep a bin for each name where that gains, so that rare names say as much as frequent ones."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import Dataset
from latens.data.rules import rules_of
from latens.evaluation.evidence.kinds import whole
from latens.evaluation.evidence.tree import ColumnTree, fit_tree
from latens.models.heads.tree import BINS
from latens.workflow.new_rows import kinds_by


def classes(n: int, names: int, seed: int = 0, *, bound: bool = True) -> Dataset:
    """Classes that each have a tutor of their own, or one by chance, and a coin."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, names, n)
    other = (7 * own + 3) % names if bound else rng.integers(0, names, n)
    coin = rng.choice(["yes", "no"], n)
    frame = {"class": [f"c{k:02d}" for k in own], "tutor": [f"t{k:02d}" for k in other], "coin": coin}
    return latens.load_data(pd.DataFrame(frame), label="none", typed=True)


def counted(data: Dataset) -> ColumnTree:
    return fit_tree(np.asarray(data.x), data.mask, data.schema.types or ())


@pytest.mark.parametrize(("names", "most"), [(12, 16), (30, 32), (6, BINS)])
def test_what_a_name_says_is_its_whole_information(names: int, most: int) -> None:
    """A tutor for each class: log K nats, where a bin of all rarer names would hide which one it is."""
    data, test = classes(4000, names), classes(2000, names, seed=1)
    tree = counted(data)
    assert tree.most == most
    types = data.schema.types or ()
    alone = np.array([one.log_shares(test.x[:, j]) for j, one in enumerate(types)]).sum(axis=0)
    gain = tree.log_prob(np.asarray(test.x)) - alone
    assert gain.mean() == pytest.approx(np.log(names), abs=0.05)
    # By name, and not only on average: none is mistaken for another.
    assert min(gain[test.x[:, 0] == k].mean() for k in range(names)) > np.log(names) - 0.3


def test_names_of_chance_have_no_more_bins() -> None:
    assert counted(classes(2000, 12, bound=False)).most == BINS


def test_rows_that_are_drawn_anew_have_the_names_of_those_that_broke_a_rule() -> None:
    data = classes(600, 12)  # too few for pairs that never come together
    kind_of = kinds_by(rules_of(data), data.schema)
    assert kind_of is not None
    kinds, x = kind_of(data.x), np.asarray(data.x)
    assert any(np.array_equal(kinds, x[:, k]) for k in (0, 1))


def seasons(n: int, seed: int, *, yearly: bool) -> Dataset:
    """Dates of three years, and a name by the season, or by the time since the first day."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 3 * 365, n)
    date = np.datetime64("2022-01-01") + day
    part = (date.astype("datetime64[M]").astype(int) % 12) // 3 if yearly else day // (3 * 92)
    frame = {"date": date.astype("datetime64[s]"), "part": np.array(list("abcd"))[np.minimum(part, 3)],
             "coin": rng.choice(["yes", "no"], n)}  # fmt: skip
    return latens.load_data(pd.DataFrame(frame), label="none", typed=True)


@pytest.mark.parametrize("yearly", [True, False])
def test_dates_of_several_years_are_cut_by_their_month_where_that_gains(yearly: bool) -> None:
    """What comes again every year is told by the month: log 4 nats, but for rows at the edges of its segments."""
    data = seasons(3000, 0, yearly=yearly)
    tree, types = counted(data), data.schema.types or ()
    one, bins = types[0], tree.bins[0]
    middle = np.asarray(one.starts) + 0.5 * (np.asarray(one.widths) - 1)
    months = np.round(one.low + middle).astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12
    assert np.array_equal(bins, months) == yearly
    assert np.all(np.diff(bins) >= 0) == (not yearly)
    alone = np.array([own.log_shares(data.x[:, j]) for j, own in enumerate(types)]).sum(axis=0)
    gain = (tree.log_prob(np.asarray(data.x)) - alone).mean()
    assert 1.1 < gain < np.log(4)


def _claims(n: int, *, given_name: bool) -> pd.DataFrame:
    """Amounts that are missing where a claim is open, or as often at random."""
    rng = np.random.default_rng(5)
    status = rng.choice(["open", "paid", "refused"], n, p=[0.05, 0.75, 0.2])
    amount = np.where(status == "refused", rng.gamma(2.0, 20.0, n), rng.gamma(8.0, 60.0, n)).round(1)
    gone = status == "open" if given_name else rng.random(n) < 0.05
    return pd.DataFrame({"status": status, "amount": np.where(gone, np.nan, amount)})


@pytest.mark.parametrize("given_name", [True, False])
def test_a_name_with_which_a_number_is_always_missing_is_as_frequent_as_in_the_rows(given_name: bool) -> None:
    frame = _claims(2000, given_name=given_name)
    data = latens.load_data(frame, label="none")
    types = data.schema.types or ()
    tree = fit_tree(np.asarray(data.x), data.mask, types)
    x = np.zeros((3, 2))
    x[:, 0] = np.arange(3)
    mask = np.array([[True, False]] * 3)
    shares = np.exp(tree.log_prob(x, mask))
    np.testing.assert_allclose(shares.sum(), 1.0, atol=1e-6)
    real = frame["status"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(shares, real, atol=0.012)


def test_rows_that_lack_a_cell_are_spread_as_those_with_the_other_one_are() -> None:
    both = np.array([[30.0, 10.0, 0.0], [10.0, 50.0, 0.0]])
    pairs = np.zeros((2, 2, 3, 3))
    pairs[0, 1, :2], pairs[1, 0, :, :2] = both, both.T
    pairs[0, 0] = np.diag([40.0, 60.0, 0.0])
    pairs[1, 1] = np.diag([40.0, 60.0, 25.0])  # the third bin of the second column never has the first one
    shares = np.array([[0.4, 0.6, 0.0], [0.32, 0.48, 0.2]])
    made = whole(pairs, shares)
    np.testing.assert_allclose(made.sum(axis=3), pairs.sum(axis=3))  # what a bin counts stays
    # 25 rows more, in the shares of all: 10 of 50 in the first bin, 15 of 75 in the second.
    np.testing.assert_allclose(made[0, 1, :2], [[24.0, 8.0, 8.0], [8.0, 40.0, 12.0]])
    np.testing.assert_allclose(made[1, 0], pairs[1, 0])  # nothing of the first column is missing beside the second
