"""Which labels training sees, and how often."""

import dataclasses

import numpy as np
import pytest
from checks import close
from tables_labels import two_kinds

from latens.data.dataset import keep_labels, labelled_rows
from latens.errors import DataError
from latens.training.padding import lazy_order


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
