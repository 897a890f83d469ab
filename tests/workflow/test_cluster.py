"""Groups of rows: known blobs, one cloud, a mixture's own classes, and the words that tell a group."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from sklearn.metrics import adjusted_rand_score

from latens.data.columns import ColumnType
from latens.workflow.cluster import APART, USUAL, _nearest_means, _ordered, described

pytest_plugins = ("cli_fixtures",)


def blobs(apart: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [50, 90, 70])
    centres = apart * np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    return centres[kind] + rng.normal(size=(len(kind), 3)), kind


def test_blobs_that_lie_apart_are_found_and_their_number_too() -> None:
    points, kind = blobs(12.0)
    found = _nearest_means(points, None, 0)
    assert np.array_equal(found.group, np.array([3, 1, 2])[kind])  # the largest is the first
    assert found.silhouette > 0.8
    assert not found.own
    centre = points[kind == 1].mean(axis=0)
    nearest = np.linalg.norm(points[kind == 1] - centre, axis=1).argsort()
    assert found.rank[kind == 1][nearest].tolist() == list(range(1, 91))


def test_groups_do_not_depend_on_the_order_of_rows_or_on_where_they_lie() -> None:
    points, _ = blobs(12.0)
    order = np.random.default_rng(1).permutation(len(points))
    first = _nearest_means(points, 3, 0).group
    assert adjusted_rand_score(first[order], _nearest_means(points[order] + 40.0, 3, 0).group) == 1.0


def test_one_cloud_is_said_to_be_one() -> None:
    found = _nearest_means(np.random.default_rng(2).normal(size=(400, 6)), None, 0)
    assert found.silhouette < APART
    assert found.group.max() == USUAL


def test_a_number_that_is_asked_for_is_kept() -> None:
    points, _ = blobs(12.0)
    assert _nearest_means(points, 5, 0).group.max() == 5


def test_groups_count_from_the_largest_and_rows_from_the_nearest() -> None:
    found = _ordered(np.array([0, 1, 1, 1, 2, 2]), np.array([1.0, 3.0, 1.0, 2.0, 9.0, 8.0]), 0.5, own=True)
    assert found.group.tolist() == [3, 1, 1, 1, 2, 2]
    assert found.rank.tolist() == [1, 3, 1, 2, 2, 1]


TYPES = (
    ColumnType("category", values=("a", "b"), shares=(0.5, 0.5)),
    ColumnType("number", size=8, starts=(0, 2, 4, 6), shares=(0.25,) * 4),
)
NAMES = ("kind", "size")


def rows(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.stack([np.arange(n) % 2, rng.integers(0, 8, n)], axis=1).astype(np.float32)


def test_what_tells_a_group_is_said_with_its_share_of_all() -> None:
    x = rows()
    inside = (x[:, 0] == 1) & (x[:, 1] >= 4)
    words = described(x, None, NAMES, TYPES, inside)
    assert words[0] in ("kind b in 100% (of all 50%)", "size 4 to 5 in 49% (of all 24%)")
    assert {word.split()[0] for word in words} == {"kind", "size"}
    (only,) = described(x, None, NAMES, TYPES, inside, {"size"})  # others give it: it says nothing more
    assert only == "kind b in 100% (of all 50%)"


def test_a_group_by_chance_is_told_by_nothing() -> None:
    names = ColumnType("category", values=tuple("abcdefghijklmnopqrst"), shares=(0.05,) * 20)
    told = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.integers(0, 20, 400), rows()[:, 1]]).astype(np.float32)
        told += len(described(x, None, ("name", "size"), (names, TYPES[1]), rng.random(400) < 0.08))
    assert told <= 8  # of 80 columns, each beyond two standard deviations about once in 25


def test_missing_cells_tell_nothing() -> None:
    x = rows()
    mask = np.ones(x.shape, bool)
    mask[:, 0] = False
    assert all(not word.startswith("kind") for word in described(x, mask, NAMES, TYPES, x[:, 0] == 1))


def test_digits_are_grouped_by_what_they_show(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = latens("cluster", "pretrained:digits-16d", "digits", "--groups", "10", "--out", "groups.csv", "--json")
    told = json.loads(found.out)
    assert sum(one["rows"] for one in told["groups"]) == told["rows"] == 1797
    assert len(told["groups"]) == 10
    lines = Path("groups.csv").read_text().splitlines()
    assert lines[0] == "row,group,rank"
    group = np.array([int(line.split(",")[1]) for line in lines[1:]])
    from sklearn.datasets import load_digits

    # k-means of the 64 pixels alone reaches 0.66.
    assert adjusted_rand_score(load_digits(return_X_y=True)[1], group) > 0.6


def test_a_mixture_has_its_own_groups_and_refuses_others(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{'ab'[k % 2]},{'xy'[k % 2]},{k % 7}" for k in range(240)]
    Path("pairs.csv").write_text("\n".join(["kind,side,size", *lines]))
    latens("fit", "pairs.csv", "--recipe", "table-mixture", "--set", "posterior.choices=2", "--out", "m")
    told = json.loads(latens("cluster", "m", "pairs.csv", "--json").out)
    assert [one["rows"] for one in told["groups"]] == [120, 120]
    assert told["silhouette"] is None
    assert all("in 100% (of all 50%)" in one["told_by"][0] for one in told["groups"])
    refused = latens("cluster", "m", "pairs.csv", "--groups", "3")
    assert refused.code == 4
    assert "--groups: the model has 2 groups of its own" in refused.err
    assert "posterior.choices=3" in refused.err
