"""Bins of a column by what they say of other columns: enumeration, a step at a known place, and rows that decide."""

import itertools

import numpy as np
import pytest

from latens.evaluation.evidence.cuts import SHRINK, cut_by
from latens.evaluation.evidence.tree import fit_tree
from latens.models.heads.tree import BINS, bins_of


def said(counts: list[np.ndarray], bins: np.ndarray) -> float:
    """What bins say of other columns, by the formula, one bin after the other."""
    found = 0.0
    for one in counts:
        share = one.sum(axis=0) / one.sum()
        for b in range(bins.max() + 1):
            own = one[bins == b].sum(axis=0)
            given = (own + SHRINK * share) / (own.sum() + SHRINK)
            found += sum(n * np.log(q / p) for n, q, p in zip(own, given, share) if n > 0)
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_no_other_cut_says_more(most: int) -> None:
    """All ways to cut seven segments into at most so many bins, for two other columns."""
    rng = np.random.default_rng(most)
    counts = [rng.poisson(rng.gamma(0.5, 20.0, (7, size))).astype(float) for size in (3, 2)]
    every = []
    for count in range(1, most + 1):
        for edges in itertools.combinations(range(1, 7), count - 1):
            every.append(np.cumsum(np.isin(np.arange(7), edges)))
    values = [said(counts, bins) for bins in every]
    made = cut_by(counts, most)
    assert said(counts, made) == pytest.approx(max(values), abs=1e-9)
    assert np.unique(made).tolist() == list(range(made.max() + 1))
    assert (np.diff(made) >= 0).all()


def test_names_of_the_others_have_no_order() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(10.0, (9, 4)).astype(float)
    np.testing.assert_array_equal(cut_by([counts], 3), cut_by([counts[:, [2, 0, 3, 1]]], 3))


def products(rows: int, seed: int, *, tied: bool = True) -> tuple[np.ndarray, list]:
    """A kind that a tenth of the rows has, and a weight that is far higher for it, of shape (rows, 2)."""
    rng = np.random.default_rng(seed)
    heavy = rng.random(rows) < 0.1
    own = heavy if tied else rng.permutation(heavy)
    weight = np.round(np.where(own, 6.0, 1.0) * np.exp(0.15 * rng.normal(size=rows)), 3)
    return np.stack([heavy.astype(float), weight], axis=1), [("light", "heavy")]


def typed(rows: np.ndarray) -> tuple[np.ndarray, tuple]:
    import pandas as pd

    import latens

    frame = pd.DataFrame({"kind": np.array(["light", "heavy"])[rows[:, 0].astype(int)], "weight": rows[:, 1]})
    data = latens.load_data(frame, label="none", typed=True)
    return np.asarray(data.x), data.schema.types


def test_a_kind_that_a_tenth_of_the_rows_has_is_no_part_of_a_bin() -> None:
    """Eight bins of like mass hold an eighth of the rows each: the last mixes kinds. The cut does not."""
    x, types = typed(products(2000, 0)[0])
    made = fit_tree(x, None, types)
    assert made.parents.tolist() in ([0, 0], [1, 1])
    segments = np.searchsorted(types[1].firsts, x[:, 1], side="right") - 1
    heavy = x[:, 0] == list(types[0].values).index("heavy")

    def mixed(bins: np.ndarray) -> float:
        """The share of the rows whose bin is mostly of the other kind."""
        counts = np.zeros((bins.max() + 1, 2))
        np.add.at(counts, (bins[segments], heavy.astype(int)), 1.0)
        return counts.min(axis=1).sum() / len(x)

    counts = np.zeros((types[1].count, 2))
    np.add.at(counts, (segments, x[:, 0].astype(int)), 1.0)
    np.testing.assert_array_equal(made.bins[1], cut_by([counts], BINS))  # of all rows, not of those that decided
    assert mixed(bins_of(types[1])) > 0.02
    assert mixed(made.bins[1]) < 0.003
    # The entropy of the kind is what the edge gains on fresh rows: 0.325 nats.
    fresh, _ = typed(products(2000, 1)[0])
    rows = np.stack([fresh[:, 0], np.clip(fresh[:, 1], 0, types[1].cells - 1)], axis=1)
    alone = sum(one.log_shares(rows[:, j]) for j, one in enumerate(types))
    share = 0.1
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert (made.log_prob(rows) - alone).mean() == pytest.approx(entropy, abs=0.03)


def test_bins_of_like_mass_stay_where_nothing_is_gained() -> None:
    x, types = typed(products(2000, 2, tied=False)[0])
    np.testing.assert_array_equal(fit_tree(x, None, types).bins[1], bins_of(types[1]))


def test_all_rows_cut_once_half_of_them_have_decided() -> None:
    """Two numbers that depend on each other in steps: each is cut by the bins of the other, counted in all rows."""
    import pandas as pd

    import latens

    rng = np.random.default_rng(5)
    first = rng.uniform(0.0, 1.0, 1500)
    second = np.floor(3.0 * first**3) + 0.3 * rng.normal(size=1500)
    data = latens.load_data(pd.DataFrame({"a": first.round(3), "b": second.round(3)}), label="none", typed=True)
    types, x = data.schema.types or (), np.asarray(data.x)
    made = fit_tree(x, None, types, parts=1)
    places = [np.searchsorted(one.firsts, x[:, j], side="right") - 1 for j, one in enumerate(types)]
    bins = [bins_of(one) for one in types]
    assert any((cut.shape != own.shape) or (cut != own).any() for cut, own in zip(made.bins, bins))
    for j in range(2):
        counts = np.zeros((types[j].count, BINS))
        np.add.at(counts, (places[j], bins[1 - j][places[1 - j]]), 1.0)
        bins[j] = cut_by([counts], BINS)
        np.testing.assert_array_equal(made.bins[j], bins[j])
