"""`Dataset`: gathering, order of an epoch, fingerprint."""

import dataclasses

import numpy as np
import pytest

from latens.data import Dataset, load
from latens.errors import DataError, UsageError


def make(n: int = 1000) -> Dataset:
    return load(np.arange(n * 3, dtype=np.float32).reshape(n, 3), label=np.arange(n) % 4, weight=np.arange(n) / 2)


def test_rows_gathers_every_field_with_numpy() -> None:
    data = make()
    batch = data.rows(np.array([5, 2, 5]))
    assert batch.x.tolist() == [[15, 16, 17], [6, 7, 8], [15, 16, 17]]
    assert batch.label.tolist() == [1, 2, 1]
    assert batch.weight.tolist() == [2.5, 1.0, 2.5]
    assert batch.row_id.tolist() == data.row_id[[5, 2, 5]].tolist()
    assert all(type(leaf) is np.ndarray for leaf in (batch.x, batch.row_id, batch.label, batch.weight))
    assert batch.mask is None
    assert batch.cond is None


def test_conditions_are_gathered_too() -> None:
    data = dataclasses.replace(make(), cond={"size": np.arange(1000) * 10})
    assert data.rows(np.array([3, 1])).cond["size"].tolist() == [30, 10]


def test_order_is_a_permutation_of_training_rows_set_by_seed_and_epoch() -> None:
    data = make()
    first = data.order(0, 0)
    assert sorted(first) == data.subset("train").tolist()
    assert (first == data.order(0, 0)).all()
    for other in (data.order(0, 1), data.order(1, 0)):
        assert (first != other).mean() > 0.9
    # A fixed point of the promise "the same order on every machine".
    assert first[:5].tolist() == data.subset("train")[PERMUTED].tolist()


# The first five of 786, from NumPy's Philox with key (0, 0) and counter (0, 0, 0, 1).
PERMUTED = np.random.Generator(np.random.Philox(key=0, counter=1 << 192)).permutation(786)[:5]


def test_blocks_stay_together_and_are_shuffled() -> None:
    data = make()
    train = data.subset("train")
    order = data.order(3, 7, block=100)
    # 786 rows: seven blocks of 100 and one of 86, each contiguous in the data, in another order.
    block_of = np.searchsorted(train, order) // 100
    changes = np.flatnonzero(np.diff(block_of))
    assert len(changes) == 7
    assert sorted(block_of[np.r_[changes, -1]]) == list(range(8))
    assert block_of[0] != 0 or block_of[changes[0] + 1] != 1
    assert sorted(order) == train.tolist()


def test_fingerprint_changes_with_each_part_and_only_then() -> None:
    data = make()
    assert data.fingerprint == make().fingerprint
    x = data.x.copy()
    x[999, 2] += 1
    changes = {
        "x": x,
        "label": (data.label + 1).astype(np.int32),
        "names": data.names + 1,
        "split": 2 - data.split,
        "weight": data.weight + 1,
        "mask": np.ones(data.x.shape, bool),
    }
    prints = {dataclasses.replace(data, **{key: value}).fingerprint for key, value in changes.items()}
    assert len(prints | {data.fingerprint}) == 7
    assert dataclasses.replace(data, x=data.x.reshape(1500, 2)).fingerprint != data.fingerprint
    assert dataclasses.replace(data, name="other").fingerprint == data.fingerprint


def test_fingerprint_of_a_tiny_data_set_is_this_one_for_ever() -> None:
    data = load(np.array([[0, 1], [1, 0]], np.uint8), row_id=np.array(["a", "b"]))
    assert data.fingerprint == "56e78e85ff6c08bf3625c3e224ffbfc07beada56f9546172fd25a9e973ae7a07"


def test_test_rows_as_validation_are_marked() -> None:
    data = make()
    joined = data.test_as_validation()
    assert not joined.held_out
    assert joined.subset("validation").tolist() == data.subset("test").tolist() == joined.subset("test").tolist()
    assert joined.subset("train").tolist() == sorted([*data.subset("train"), *data.subset("validation")])


def test_a_split_that_is_needed_and_empty() -> None:
    data = load(np.array([[0.5, 1.5]]))
    sizes = [len(data.subset(which)) for which in ("train", "validation", "test")]
    assert sum(sizes) == 1
    with pytest.raises(DataError, match="none of the 1 rows"):
        data.subset(("train", "validation", "test")[sizes.index(0)], required=True)
    with pytest.raises(UsageError, match="Valid: train, validation, test"):
        data.subset("tset")
