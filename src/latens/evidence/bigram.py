"""How probable rows of tokens are where every token depends on the one before it alone: what a model must beat."""

import numpy as np

from latens.typing import Array

STRENGTH = 8.0
"""Tokens that the shares of all tokens count as, beside those counted behind one token."""


def bigram_baseline(
    train: np.ndarray,
    test: np.ndarray | Array,
    vocabulary: int,
    *,
    test_mask: np.ndarray | None = None,
    train_weight: np.ndarray | None = None,
) -> np.ndarray:
    r"""The log probability of each test row under pairs of tokens counted in the training rows, in nats."""
    terms = bigram_terms(train, test, vocabulary, train_weight=train_weight)
    counted = _pairs(np.asarray(test))[2]
    return np.sum(terms, axis=1, where=counted if test_mask is None else counted & test_mask)


def bigram_terms(
    train: np.ndarray, test: np.ndarray | Array, vocabulary: int, *, train_weight: np.ndarray | None = None
) -> np.ndarray:
    r"""The log probability of each token of test rows given the one before it, in nats."""
    # $p(b \mid a) = (n_{ab} + 8 s_b) / (n_a + 8)$ with the shares $s_b$ of all tokens, each counted once more. A row
    # begins behind a 0 and ends with its first; of a beginning the rest is summed out, as no token depends on it.
    weight = np.ones(len(train)) if train_weight is None else np.asarray(train_weight, np.float64)
    before, after, counted = _pairs(train)
    place = before.astype(np.int64) * vocabulary + after
    often = np.bincount(place[counted], np.broadcast_to(weight[:, None], place.shape)[counted], vocabulary**2)
    counts = often.reshape(vocabulary, vocabulary)
    shares = counts.sum(0) + 1.0
    shares /= shares.sum()
    log_p = np.log((counts + STRENGTH * shares) / (counts.sum(1, keepdims=True) + STRENGTH))
    before, after, _ = _pairs(np.asarray(test))
    return log_p[before, after]


def _pairs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every token, the one before it, and whether it counts: whether no end stands before it."""
    rows = rows.astype(np.int64)
    before = np.concatenate([np.zeros_like(rows[:, :1]), rows[:, :-1]], axis=1)
    ended = np.cumsum(rows == 0, axis=1) > 0
    return before, rows, ~np.concatenate([np.zeros_like(ended[:, :1]), ended[:, :-1]], axis=1)


def tokens_counted(rows: np.ndarray | Array, mask: np.ndarray | None = None) -> np.ndarray:
    """How many tokens of each row count: those that were observed, the end among them."""
    counted = _pairs(np.asarray(rows))[2]
    return np.sum(counted if mask is None else counted & mask, axis=1)
