"""What codes of cells keep, with the numbers that it must be on small constructed cases."""

import numpy as np
import pytest

from latens.evaluation.latents import neighbourhoods as n


def line(*places: float) -> np.ndarray:
    return np.array(places)[:, None]


def test_neighbours_are_others_and_the_nearest() -> None:
    found = n.nearest(line(0.0, 1.0, 3.0, 7.0), 2)
    assert found.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_the_commonest_type_of_neighbours() -> None:
    near = np.array([[1, 2, 3], [0, 2, 4], [0, 1, 3], [4, 2, 1], [3, 2, 1]])
    kind = np.array([0, 0, 0, 1, -1])
    # Votes: of 0 two zeros and a one; of 1 two zeros; of 2 two zeros and a one; of 3 two zeros, and cell 4 has none.
    assert n.same_type(near, kind).tolist() == [1, 1, 1, 0]


def test_batches_that_lie_apart_and_batches_by_chance() -> None:
    """Two batches of 3: of five others three are of the other batch, 0.6 expected."""
    batch = np.array([0, 0, 0, 1, 1, 1])
    apart = n.mixed(np.array([[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4]]), batch)
    assert apart.mean() == 0.0
    every = np.array([[j for j in range(6) if j != i] for i in range(6)])
    assert n.mixed(every, batch).mean() == pytest.approx(1.0)
    assert n.mixed(every, batch).std() == pytest.approx(0.0)
    half = n.mixed(np.array([[1, 3], [0, 4], [1, 5], [4, 0], [3, 1], [4, 2]]), batch)
    assert half.mean() == pytest.approx(0.5 / 0.6)
    assert not len(n.mixed(every, np.zeros(6, int)))


def test_batches_are_expected_within_types() -> None:
    """Type 0 is of batch 0 alone: its cells can have no neighbours of another batch, and say nothing of mixing."""
    batch, kind = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    near = np.array([[1], [0], [4], [5], [2], [3]])
    # Observed: 0, 0, 1, 1, 1, 1; expected: 0, 0 and 2 of 3 others of type 1 each.
    assert n.mixed(near, batch, kind).mean() == pytest.approx(4 / (4 * 2 / 3))
    # Without types: 2 of 5 others for the first four, 4 of 5 for the last two.
    assert n.mixed(near, batch).mean() == pytest.approx(4 / (4 * 0.4 + 2 * 0.8))


def test_a_batch_without_types_is_not_counted_as_mixed() -> None:
    """Batch 2 has no types. Of five neighbours with a type three are of the other batch, which is as expected."""
    batch, kind = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2]), np.array([0] * 6 + [-1] * 3)
    every = np.array([[j for j in range(9) if j != i] for i in range(9)])
    rows = n.mixed(every, batch, kind)
    assert len(rows) == 6
    assert rows.mean() == pytest.approx(1.0)
    assert rows.std() == pytest.approx(0.0)
    # A cell whose neighbours have no type says nothing; of the others one of two has the other batch, 0.6 expected.
    near = np.array([[6, 7], [0, 4], [1, 5], [4, 0], [3, 1], [4, 2], [0, 1], [0, 1], [0, 1]])
    assert n.mixed(near, batch, kind).mean() == pytest.approx(0.5 / 0.6)
    # Where no cell has a type all count: of eight others six are of another batch.
    none = n.mixed(every, batch, np.full(9, -1))
    assert len(none) == 9
    assert none.mean() == pytest.approx(1.0)
    assert not len(n.mixed(every, np.array([0] * 6 + [1] * 3), kind))
    codes = np.random.default_rng(0).normal(size=(9, 2))
    of = n.neighbourhoods(codes, n.Told(np.zeros(9), kind, batch), "codes")["batch_mixing"].protocol
    assert "of the type, of cells with a type: 1 mixed" in of
    of = n.neighbourhoods(codes, n.Told(np.zeros(9), np.maximum(kind, 0), batch), "codes")["batch_mixing"].protocol
    assert "of the type: 1 mixed" in of


def test_the_error_of_a_ratio_is_that_of_the_delta_method() -> None:
    rng = np.random.default_rng(0)
    batch, kind = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    batch[kind == 1] = rng.random((kind == 1).sum()) < 0.1
    near = n.nearest(rng.normal(size=(400, 2)), 15)
    rows = n.mixed(near, batch.astype(int), kind)
    observed = (batch[near] != batch[:, None]).mean(axis=1)
    ratios = []
    expected = np.where(kind == 0, 0.0, 0.0)
    for one in (0, 1):
        inside = kind == one
        size = np.bincount(batch[inside].astype(int), minlength=2)
        expected[inside] = (inside.sum() - size[batch[inside].astype(int)]) / (inside.sum() - 1)
    for _ in range(2000):
        drawn = rng.integers(0, 400, 400)
        ratios.append(observed[drawn].mean() / expected[drawn].mean())
    assert rows.mean() == pytest.approx(observed.mean() / expected.mean())
    assert rows.std() / 20 == pytest.approx(np.std(ratios), rel=0.06)


def test_the_depth_that_codes_explain() -> None:
    codes = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    depth = np.array([5.0, 1.0, 3.0, 3.0])
    # The means at both codes are 4 and 2: 1 of a variance of 2 is explained.
    assert n.explained(codes, depth) == pytest.approx(0.5)
    assert n.explained(codes, 3.0 + 2.0 * codes[:, 0]) == pytest.approx(1.0)
    assert n.explained(codes, np.array([1.0, 1.0, 5.0, 5.0])) == pytest.approx(0.0)
    assert n.explained(codes, np.full(4, 2.0)) == 0.0


def test_components_are_of_log_normalised_counts() -> None:
    counts = np.random.default_rng(1).poisson(3.0, (40, 12)) + 1
    total = counts.sum(axis=1, keepdims=True)
    logs = np.log1p(counts / total * np.median(total))
    np.testing.assert_allclose(n.log_normalised(counts), logs)
    left, size, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(n.components(counts, 3)), np.abs(left[:, :3] * size[:3]), atol=1e-4)
    logs = (logs - logs.mean(axis=0)) / logs.std(axis=0, ddof=1)
    left, size, _ = np.linalg.svd(logs, full_matrices=False)
    found = n.components(counts, 3, scaled=True)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :3] * size[:3]), atol=1e-4)
    rare = np.zeros((400, 3), int)
    rare[:, 0], rare[0, 1] = 1000, 1000  # 20 deviations above the mean: cut at 10
    assert np.abs(n.components(rare, 1, scaled=True)).max() < 15.0


def test_what_is_known_says_what_is_measured() -> None:
    rng = np.random.default_rng(2)
    kind, batch = np.arange(60) % 2, np.arange(60) // 30
    codes = rng.normal(size=(60, 2)) * 0.1 + 5.0 * kind[:, None]
    depth = rng.normal(size=60)
    assert list(n.neighbourhoods(codes, n.Told(depth), "")) == ["depth_explained"]
    found = n.neighbourhoods(codes, n.Told(depth, kind, batch), "codes")
    assert found["type_agreement"].value == 1.0
    assert 0.8 < found["batch_mixing"].value < 1.2
    assert "15 neighbours" in found["batch_mixing"].protocol
    only = n.neighbourhoods(codes, n.Told(depth, np.where(kind, -1, 0), np.zeros(60, int)), "")
    assert list(only) == ["depth_explained"]
