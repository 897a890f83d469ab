"""Pairs of tokens as a rival: probabilities by hand, and a sum of 1 over all rows."""

import itertools

import numpy as np
import pytest

from latens.evidence.baseline import STRENGTH, bigram_baseline, tokens_counted

TRAIN = np.array([[1, 2, 0, 0], [1, 1, 2, 0], [2, 0, 0, 0]], np.int16)


def test_pairs_are_counted_up_to_the_end_and_smoothed_by_the_shares():
    found = bigram_baseline(TRAIN, np.array([[1, 0, 0, 0]]), 3)
    shares = np.array([4.0, 4.0, 4.0]) / 12.0  # 3 ends, 3 ones and 3 twos, each once more
    first = (2 + STRENGTH * shares[1]) / (3 + STRENGTH)
    end = (0 + STRENGTH * shares[0]) / (3 + STRENGTH)
    assert found[0] == pytest.approx(np.log(first) + np.log(end), rel=1e-12)
    twice = bigram_baseline(np.repeat(TRAIN, [2, 1, 1], axis=0), TRAIN, 3)
    assert np.array_equal(bigram_baseline(TRAIN, TRAIN, 3, train_weight=np.array([2.0, 1.0, 1.0])), twice)


def test_rows_up_to_a_length_have_less_than_all_the_probability_and_more_with_it():
    totals = []
    for longest in (2, 5, 8):
        words = [word for n in range(longest) for word in itertools.product((1, 2), repeat=n)]
        rows = np.array([[*word, *[0] * (9 - len(word))] for word in words])
        totals.append(np.exp(bigram_baseline(TRAIN, rows, 3)).sum())
    assert totals[0] < totals[1] < totals[2] < 1.0
    assert totals[2] > 0.9


def test_a_beginning_leaves_out_what_is_not_seen():
    mask = np.array([[True, True, False, False]])
    row = np.array([[1, 2, 1, 0]])
    begun = bigram_baseline(TRAIN, row, 3, test_mask=mask)
    ways = [[1, 2, 0, 0], [1, 2, 1, 0], [1, 2, 2, 0]]
    each = [bigram_baseline(TRAIN, np.array([way]), 3, test_mask=np.array([[True] * 3 + [False]]))[0] for way in ways]
    assert np.logaddexp.reduce(each) == pytest.approx(begun[0], rel=1e-12)
    assert list(tokens_counted(row, mask)) == [2]
    assert list(tokens_counted(TRAIN)) == [3, 4, 2]
