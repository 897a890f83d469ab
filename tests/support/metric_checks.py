"""Metrics as numbers, and trees of arrays that must be the same."""

import jax
from checks import close


def average(metrics, name):
    return float(metrics[name][0] / metrics[name][1])


def same(actual, expected):
    pairs = list(zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True))
    assert pairs
    for a, b in pairs:
        close(a, b, rtol=1e-7, atol=1e-9)
