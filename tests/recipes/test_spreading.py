"""Labels spread over a graph of neighbours: the fixed point in closed form, and who is reached."""

import numpy as np
import pytest

from latens.recipes.building import spreading
from latens.recipes.building.spreading import KEPT, spread_labels


def by_hand(codes: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """The limit of the iteration, (1 - a)(I - a S)^-1 Y, with dense matrices."""
    n, k = len(codes), 5
    d = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    nearest = np.argsort(d, axis=1)[:, 1 : k + 1]
    scale = np.array([d[i, nearest[i, -1]] for i in range(n)])
    w = np.zeros((n, n))
    for i in range(n):
        w[i, nearest[i]] = np.exp(-(d[i, nearest[i]] ** 2) / (scale[i] * scale[nearest[i]]))
    w = np.maximum(w, w.T)
    s = w / np.sqrt(np.outer(w.sum(1), w.sum(1)))
    known = np.eye(classes)[label] * (label >= 0)[:, None]
    belief = (1 - KEPT) * np.linalg.solve(np.eye(n) - KEPT * s, known)
    return (belief / belief.sum(0)).argmax(1)


def test_the_labels_are_those_of_the_fixed_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "ROUNDS", 4000)
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(80, 2))
    label = np.full(80, -1)
    label[[3, 40, 77]] = [0, 1, 2]
    found = spread_labels(codes, label, 3)
    expected = np.where(label >= 0, label, by_hand(codes, label, 3))
    np.testing.assert_array_equal(found, expected)


def test_a_label_follows_a_chain_and_not_the_distance() -> None:
    """Two long parallel lines with a label at one end each: the far end of a line is nearer to the other label."""
    along = np.arange(60.0)
    codes = np.concatenate([np.stack([along, np.zeros(60)], 1), np.stack([along, np.full(60, 20.0)], 1)])
    label = np.full(120, -1)
    label[0], label[119] = 0, 1
    np.testing.assert_array_equal(spread_labels(codes, label, 2), np.repeat([0, 1], 60))


def test_rows_that_no_label_reaches_stay_without_one() -> None:
    codes = np.concatenate([np.random.default_rng(1).normal(size=(30, 2)), np.full((10, 2), 1e3)])
    codes[30:] += np.random.default_rng(2).normal(size=(10, 2))
    label = np.full(40, -1)
    label[0] = 0
    np.testing.assert_array_equal(spread_labels(codes, label, 2), np.repeat([0, -1], [30, 10]))


def test_of_many_rows_some_are_in_the_graph_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heaps with one label each and a graph of half the rows: every row still has its heap's label."""
    codes = np.random.default_rng(0).normal(size=(480, 2)) + np.repeat([[0.0, 0.0], [40.0, 0.0]], 240, axis=0)
    label = np.full(480, -1)
    label[0], label[479] = 0, 1
    sizes: list[int] = []
    whole = spreading._over_graph

    def counted(codes: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
        sizes.append(len(codes))
        assert {0, 1} <= set(label)  # whoever has a label is in
        return whole(codes, label, classes)

    monkeypatch.setattr(spreading, "MOST_ROWS", 240)
    monkeypatch.setattr(spreading, "_over_graph", counted)
    for seed in range(5):
        np.testing.assert_array_equal(spread_labels(codes, label, 2, seed=seed), np.repeat([0, 1], 240))
    assert sizes == [240] * 5
    # More labels than the graph has room for: each row keeps its own.
    given = np.repeat([1, 0], 240)
    np.testing.assert_array_equal(spread_labels(codes, given, 2), given)
