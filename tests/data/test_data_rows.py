"""Names, keys, splits, labels and columns of rows, against plain Python."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checks import close
from tables_labels import two_kinds

from latens.data import encode_labels, load, row_keys, split_by_hash
from latens.data.dataset import keep_labels, labelled_rows
from latens.data.row_fields import row_names
from latens.errors import DataError
from latens.training.loop import lazy_order

M = 2**64 - 1


def plain_mix(v: int) -> int:
    """SplitMix64's finaliser, upper 32 bits, in Python's integers."""
    v = (v + 0x9E3779B97F4A7C15) & M
    v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) & M
    v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) & M
    return (v ^ (v >> 31)) >> 32


def plain_split(name: int | str) -> int:
    if isinstance(name, str):
        name = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    tenth = plain_mix(plain_mix(name & M)) * 10 >> 32
    return 0 if tenth < 8 else tenth - 7


def test_split_of_counted_rows_equals_plain_python() -> None:
    split = split_by_hash(np.arange(1000))
    expected = [plain_split(i) for i in range(1000)]
    assert split.tolist() == expected
    assert np.bincount(split).tolist() == [expected.count(0), expected.count(1), expected.count(2)] == [786, 106, 108]


def test_split_of_text_and_negative_names_equals_plain_python() -> None:
    words = [f"patient-é{i}" for i in range(300)]
    assert split_by_hash(np.array(words)).tolist() == [plain_split(w) for w in words]
    assert split_by_hash(np.arange(-50, 0)).tolist() == [plain_split(i) for i in range(-50, 0)]


def test_adding_and_permuting_rows_moves_no_other_row() -> None:
    few, many = np.arange(500), np.arange(2000)
    assert (split_by_hash(many)[:500] == split_by_hash(few)).all()
    shuffle = np.random.default_rng(0).permutation(2000)
    assert (split_by_hash(many[shuffle]) == split_by_hash(many)[shuffle]).all()
    # The width of the text type depends on the longest name; the split must not.
    assert (split_by_hash(np.array(["a", "b", "long name"]))[:2] == split_by_hash(np.array(["a", "b"]))).all()


def test_share_of_each_split_is_80_10_10() -> None:
    n = 200_000
    counts = np.bincount(split_by_hash(np.arange(n)))
    for count, p in zip(counts, (0.8, 0.1, 0.1)):
        assert abs(count - n * p) < 5 * np.sqrt(n * p * (1 - p))


def test_a_brought_test_set_is_kept_and_a_tenth_of_training_validates() -> None:
    names = np.arange(1000)
    brought = np.repeat([0, 2], [900, 100]).astype(np.uint8)
    split, plain = split_by_hash(names, brought), split_by_hash(names)
    assert (split[900:] == 2).all()
    # The validation rows are those they would have been without the test set; hashed test rows stay in training.
    assert ((split == 1)[:900] == (plain == 1)[:900]).all()
    assert (split[:900][plain[:900] == 2] == 0).all()


def test_a_brought_validation_set_leaves_a_tenth_of_training_as_test() -> None:
    brought = np.repeat([0, 1], [900, 100]).astype(np.uint8)
    split, plain = split_by_hash(np.arange(1000), brought), split_by_hash(np.arange(1000))
    assert (split[900:] == 1).all()
    assert split[:900].tolist() == np.where(plain[:900] == 2, 2, 0).tolist()


def test_row_keys_of_numbers_are_the_mixed_number() -> None:
    assert row_keys(np.array([0, 1, 7])).tolist() == [plain_mix(0), plain_mix(1), plain_mix(7)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["3", "1", "-2"], [3, 1, -2]), (["007", "1", "2"], ["007", "1", "2"]), ([2.0, 5.0, 1.0], [2, 5, 1])],
)
def test_row_names_are_numbers_only_where_nothing_is_lost(values: list, expected: list) -> None:
    assert row_names(np.array(values), 3, "t").tolist() == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [(["a", "b", "a"], "'a' is used 2 times"), (["a", "", "c"], "row 1 has no id"), ([1, 2], "not \\(2,\\)")],
)
def test_row_names_refused(values: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        row_names(np.array(values), 3, "t")


@pytest.mark.parametrize(
    ("values", "codes", "classes"),
    [
        (np.array([10, 2, 10]), [1, 0, 1], ("2", "10")),
        (np.array(["b", "", "a"]), [1, -1, 0], ("a", "b")),
        (np.array(["10", "9", "na"]), [1, 0, -1], ("9", "10")),
        (np.array([1.0, np.nan, 0.0]), [1, -1, 0], ("0", "1")),
        (np.array([[True], [False], [True]]), [1, 0, 1], ("False", "True")),
    ],
)
def test_labels_become_sorted_classes(values: np.ndarray, codes: list[int], classes: tuple[str, ...]) -> None:
    found, words = encode_labels(values, 3, "t")
    assert (found.tolist(), words, found.dtype) == (codes, classes, np.int32)


def test_labels_against_the_classes_of_a_model() -> None:
    codes, words = encode_labels(np.array(["cat", "emu", "ant"]), 3, "t", ("ant", "bee", "cat"))
    assert (codes.tolist(), words) == ([2, -1, 0], ("ant", "bee", "cat"))


def test_measured_quantities_are_no_labels() -> None:
    for value, words in ((1.5, r"1\.5"), (2.0**53, "9007199254740992.0"), (-(2.0**60), "-1.15"), (np.inf, "inf")):
        with pytest.raises(DataError, match=rf"not {words}.*--label none"):
            encode_labels(np.array([1.0, value, np.nan]), 3, "t")
    assert encode_labels(np.array([1.0, 2.0**53 - 1, np.nan]), 3, "t")[1] == ("1", "9007199254740991")


def test_hidden_labels_are_balanced_and_only_of_training_two_kinds():
    data = two_kinds()
    hidden = keep_labels(data, 7, seed=1)
    seen = hidden.rows(np.arange(600)).label
    assert np.bincount(seen[:500][seen[:500] >= 0]).tolist() == [4, 3]
    assert seen[500:].tolist() == data.label[500:].tolist()
    assert hidden.fingerprint == data.fingerprint
    assert not np.array_equal(keep_labels(data, 7, seed=2).hidden, hidden.hidden)
    for count, message in ((1, "fewer than one label for each of 2 classes"), (501, "251 were asked for")):
        with pytest.raises(DataError, match=message):
            keep_labels(data, count, seed=0)


def test_labelled_rows_come_often_and_count_as_much_as_they_are():
    data = dataclasses.replace(keep_labels(two_kinds(), 10, seed=0), labelled_share=0.2)
    order = data.order(0, 3)
    assert np.array_equal(lazy_order(data, 0, 3), order)
    assert not isinstance(lazy_order(two_kinds(), 0, 3), np.ndarray)  # no labelled rows come more often
    batch = data.rows(order)
    known = np.asarray(batch.label) >= 0
    assert (len(order), int(known.sum())) == (500, 100)
    assert len(set(order[known].tolist())) == 10
    assert set(order.tolist()) <= set(range(500))
    # The sum of weights of each kind is what it was: ten labelled rows, and the others.
    close([batch.weight[known].sum(), batch.weight[~known].sum()], [10.0, 490.0], rtol=1e-5)
    close(data.rows(np.arange(500, 600)).weight, np.ones(100))
    assert [labelled_rows(100, n, 0.3) for n in (0, 10, 60, 100)] == [0, 30, 60, 100]


def test_a_model_of_windows_leaves_out_what_its_data_did(tmp_path: Path) -> None:
    rng, file = np.random.default_rng(0), tmp_path / "hours.csv"
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=60, freq="h"), "a": rng.normal(size=60)})
    frame.assign(b=rng.normal(size=60)).to_csv(file, index=False)
    made = load(str(file), window=8, stride=4, columns={"date": "leave out"})
    assert (made.schema.shape, made.schema.ignored) == ((8, 2), ("date",))
    np.testing.assert_array_equal(load(str(file), window=8, stride=4, schema=made.schema).x, made.x)
    frame.assign(b=1.0, other=2.0).to_csv(file, index=False)
    with pytest.raises(DataError, match="does not know: 'other'"):
        load(str(file), window=8, stride=4, schema=made.schema)
