"""The tree of columns that is counted in NumPy: the joint shares of a small table, and sums over what is missing."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.dataset import training_rows
from latens.evidence.column_tree import fit_tree


def counted(frame: pd.DataFrame) -> tuple[Any, latens.Dataset]:
    data = latens.read(frame, label="none")
    x, mask, weight = training_rows(data)
    return fit_tree(x, mask, data.schema.types or (), weight), data


def chain(rows: int) -> pd.DataFrame:
    """c1 follows c0 in 8 of 10 rows, c2 follows c1 in 9 of 10; c3 is alone."""
    rng = np.random.default_rng(0)
    c0 = rng.integers(3, size=rows)
    c1 = np.where(rng.random(rows) < 0.8, c0, rng.integers(3, size=rows))
    c2 = np.where(rng.random(rows) < 0.9, c1 % 2, rng.integers(2, size=rows))
    columns = [c0, c1, c2, rng.integers(4, size=rows)]
    return pd.DataFrame({f"c{i}": np.array(list("abcd"))[column] for i, column in enumerate(columns)})


def every(tree: Any) -> np.ndarray:
    return np.array(list(itertools.product(*(range(one.count) for one in tree.types))), np.float64)


def test_its_edges_are_those_of_the_chain_and_its_rows_sum_to_one() -> None:
    tree, _ = counted(chain(3000))
    edges = {frozenset((j, int(p))) for j, p in enumerate(tree.parents) if j != p}
    assert edges == {frozenset((0, 1)), frozenset((1, 2))}
    assert np.exp(tree.log_prob(every(tree))).sum() == pytest.approx(1.0, abs=1e-12)


def test_its_gain_is_the_information_of_its_edges() -> None:
    """In the rows that were counted, and up to what shrinkage takes."""
    frame = chain(20_000)
    tree, data = counted(frame)
    x = data.x[data.subset("train")]
    alone = sum(one.log_shares(x[:, j]) for j, one in enumerate(tree.types))
    told = 0.0
    for a, b in (("c0", "c1"), ("c1", "c2")):
        joint = pd.crosstab(frame[a], frame[b], normalize=True).to_numpy()
        told += float((joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum())
    assert float((tree.log_prob(x) - alone).mean()) == pytest.approx(told, abs=0.02)


@pytest.mark.parametrize("hidden", [(0,), (1,), (2, 3), (0, 1, 2, 3), (1, 3)])
def test_missing_cells_are_summed_over(hidden: tuple[int, ...]) -> None:
    tree, _ = counted(chain(3000))
    rows = every(tree)
    p = np.exp(tree.log_prob(rows))
    row = np.array([1.0, 2.0, 0.0, 3.0])
    mask = ~np.isin(np.arange(4), hidden)
    same = np.all(rows[:, mask] == row[mask], axis=1)
    found = tree.log_prob(np.where(mask, row, np.nan)[None], mask[None])
    assert np.exp(found[0]) == pytest.approx(p[same].sum(), rel=1e-10)
