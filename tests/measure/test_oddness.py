"""Rows that are odd by several measures: distances, columns alone, and their sum."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import latens
from latens.workflow.oddness import Neighbourhood, oddness, oddness_of_others, weights

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 100.0]


def near(x, **options):
    data = latens.read(x)
    return data, Neighbourhood(data, **options)


def test_distances_are_those_to_the_fifth_row_and_beyond_a_crowd():
    data, own = near(X, crowded=False)
    new = rng.normal(size=(20, 3)) * 8.0 + 3.0
    stored = np.asarray(data.x, float)
    z = (stored - stored.mean(0)) / stored.std(0)
    y = (np.asarray(latens.read(new, schema=data.schema).x, float) - stored.mean(0)) / stored.std(0)
    each = np.sort(np.sqrt(((y[:, None] - z) ** 2).sum(-1)), axis=1)
    found = own.distances(latens.read(new, schema=data.schema))
    np.testing.assert_allclose(found, each[:, [4, 9]])
    crowded = Neighbourhood(data, crowded=True).distances(latens.read(new, schema=data.schema))
    np.testing.assert_allclose(crowded, each[:, [9]])
    few, of_few = near(X[:3], crowded=False)
    assert of_few.distances(few).shape == (3, 1)


def test_measures_heed_neither_units_nor_order_nor_other_rows():
    data, own = near(X, crowded=False)
    factor, shift, order = np.array([4.0, 0.25, 1024.0]), np.array([8.0, 0.0, -16.0]), rng.permutation(200)
    other, moved = near((X * factor + shift)[order], crowded=False)
    np.testing.assert_allclose(own.distances(data)[order], moved.distances(other), rtol=1e-3)
    np.testing.assert_array_equal(own.tails(data)[order], moved.tails(other))
    one = latens.read(X[7:8], schema=data.schema)
    np.testing.assert_array_equal(own.distances(one), own.distances(data)[7:8])


def test_tails_are_the_shares_of_the_training_rows_that_are_as_far_out():
    data, own = near(np.arange(9.0)[:, None], crowded=False)
    low, middle, beyond = (np.array([[v]]) for v in (0.0, 4.0, 99.0))
    for x, p in ((low, 2 * 2 / 10), (middle, 1.0), (beyond, 2 * 1 / 10)):
        found = own.tails(latens.read(x, schema=data.schema))
        np.testing.assert_allclose(found, [-np.log(p)])
    table = pd.DataFrame({"name": list("aaaaabbbcd"), "x": [float(i % 5) for i in range(10)]})
    named = latens.read(table)
    tails = Neighbourhood(named, crowded=False).tails(replace(named, mask=np.array([[True, False]] * 10)))
    p = np.array([11.0] * 5 + [6.0] * 3 + [3.0] * 2) / 11.0  # d is no likelier than c
    np.testing.assert_allclose(tails, 1.0 - np.log(p))  # a missing cell counts as 1


def test_two_rows_drawn_at_random_are_two_apart_in_every_column():
    table = pd.DataFrame({"name": list("abcab") * 20, "x": np.tile(np.arange(10.0), 10)})
    data = latens.read(table)
    places = Neighbourhood(data, crowded=False)._places(data)
    squared = (places[:, None] - places) ** 2
    assert squared[..., :-1].sum(-1).mean() == pytest.approx(2.0)
    assert squared[..., -1].mean() == pytest.approx(2.0)


def test_oddness_is_a_weighted_sum_of_logs_of_ranks():
    others, w = np.array([[1.0, 4.0], [2.0, 3.0], [3.0, 2.0], [4.0, 1.0]]), np.array([1.0, 0.5])
    log = np.log
    np.testing.assert_allclose(oddness(np.array([[2.0, 2.5]]), others, w), [-log(4 / 5) - 0.5 * log(3 / 5)])
    own = [-0.5 * log(1 / 4), -log(3 / 4) - 0.5 * log(2 / 4), -log(2 / 4) - 0.5 * log(3 / 4), -log(1 / 4)]
    np.testing.assert_allclose(oddness_of_others(others, w), own)
    far = oddness(np.array([[5.0, 1.0], [9.0, 1.0], [np.inf, 1.0]]), others, w)
    np.testing.assert_allclose(far[:2], -log(1 / 5) + np.log1p([1.0 / 1.5, 5.0 / 1.5]))
    assert far[2] == np.inf
    lone = np.array([[1.0], [2.0], [np.inf]])
    np.testing.assert_allclose(oddness_of_others(lone, np.ones(1)), [0.0, -log(2 / 3), -log(1 / 3)])
    assert oddness(np.array([[2.0], [np.inf]]), lone, np.ones(1)).tolist() == [-log(3 / 4), np.inf]
    assert weights(4, crowded=False).tolist() == [1.0, 1.0, 1.0, 0.5]
    assert weights(3, crowded=True).tolist() == [1.0, 0.5, 1.0]


def test_oddness_of_rows_like_the_others_has_uniform_p_values():
    counts = np.zeros(3)
    for seed in range(300):
        drawn = np.random.default_rng(seed).normal(size=(60, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
        w = weights(4, crowded=False)
        c, s = oddness_of_others(drawn[:50], w), oddness(drawn[50:], drawn[:50], w)
        p = (1 + (c >= s[:, None]).sum(axis=1)) / 51
        counts += [np.mean(p <= a) for a in (0.1, 0.3, 0.5)]
    np.testing.assert_allclose(counts / 300, [0.098, 0.294, 0.49], atol=0.02)  # 5, 15 and 25 of 51
