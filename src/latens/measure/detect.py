"""Rows that are unlike the training rows: how surprising each is, and with which p-value."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from latens import evaluation
from latens.data import Dataset
from latens.errors import DataError
from latens.measure.cells import strange_cells, tails
from latens.measure.complexity import are_pictures, detail
from latens.workflow.trained import TrainedModel

MOST_CALIBRATION = 5000
"""Held-out rows that a row is compared with; of a pattern of gaps that few rows have, a tenth."""


class Detection(NamedTuple):
    r"""What is unusual about rows.

    Args:
        surprise: $-\log p(x)$ of the observed cells, nats, of shape (n,); of numbers beyond those of the training rows
            as `tails` has it.
        p_value: The share of held-out rows at least as surprising, of shape (n,).
        q_value: The expected share of false alarms if this row and all more unusual ones are flagged, of shape (n,).
        flagged: True where `q_value` is at most alpha.
        calibration: How many held-out rows there were.
        code_length: Of pictures the length of each one's code under a fixed lossless coder, nats, of shape (n,); the
            p-value is then that of the excess, `surprise` - `code_length`. None: rows are no pictures.
    """

    surprise: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    flagged: np.ndarray
    calibration: int
    code_length: np.ndarray | None = None

    @property
    def score(self) -> np.ndarray:
        """What is compared with held-out rows: the surprise, of pictures its excess over the length of their code."""
        return self.surprise if self.code_length is None else self.surprise - self.code_length


def detect(
    trained: TrainedModel,
    held_out: Dataset,
    positions: np.ndarray,
    new: Dataset,
    *,
    alpha: float = 0.05,
    num_samples: int = 100,
    seed: int = 0,
) -> Detection:
    r"""Compare rows with held-out ones by their surprise under a model.

    The conformal p-value of a row is $(1 + \#\{i : s_i \ge s\}) / (m + 1)$ over m held-out rows: for a row like
    these it is at most a with a probability of at most a, whatever the model. Flagging where q is at most alpha
    (Benjamini & Hochberg) keeps the expected share of false alarms among the flagged below alpha. A row with gaps is
    compared with held-out rows that have the same gaps. A row with a name that no training row had has the surprise
    infinity, so that only held-out rows with such a name are as surprising, and is flagged whatever its q-value;
    one without any cell has the surprise 0.

    Simple pictures of another kind can be more probable than those of the training: of pictures without gaps the score
    s is the surprise minus the length of the picture's code (`latens.measure.complexity.code_lengths`).

    Args:
        trained: A model with log p(x).
        held_out: Data with rows that did not train the model.
        positions: The positions of these rows; the first 5,000 of a random order are used.
        new: The rows that are judged.
        alpha: The share of false alarms that is allowed, in (0, 1).
        num_samples: Draws a row for log p(x).
        seed: The seed.

    Returns:
        What is unusual.

    Raises:
        DataError: There are fewer held-out rows than 1 / alpha, so that no row could ever be flagged.

    Source: Vovk, Gammerman & Shafer (2005); Bates, Candes, Lei, Romano & Sesia (2023), for outliers; Benjamini &
    Hochberg (1995); Serra, Alvarez, Gomez, Slizovskaia, Nunez & Luque (2020), arXiv 1909.11480, for pictures.
    """
    if len(positions) + 1 < 1.0 / alpha:
        what = f"{len(positions)} held-out rows cannot show a p-value of {alpha:g}: the smallest is 1 in all of them."
        raise DataError(what, where=held_out.name, fix=f"Hold out at least {int(np.ceil(1 / alpha))} rows.")
    order = np.random.default_rng(seed).permutation(positions)[:MOST_CALIBRATION]
    options: dict[str, Any] = {"num_samples": num_samples, "key": jax.random.key(seed)}
    surprise = surprises(trained, new, None, others=len(order), **options)
    pictures = are_pictures(new) and are_pictures(held_out)
    length = detail(trained, new, None, seed=seed) if pictures else None
    shown = np.ones(new.x.shape, bool) if new.mask is None else new.mask
    patterns, which = np.unique(shown.reshape(len(new), -1), axis=0, return_inverse=True)
    strange = strange_rows(new)
    empty = ~shown.reshape(len(new), -1).any(axis=1) & ~strange
    surprise[empty] = 0.0  # p of no cell is 1, and so is that of the same of any row
    p_value = np.full(len(new), (1.0 + np.count_nonzero(strange_rows(held_out)[order])) / (len(order) + 1.0))
    for k, pattern in enumerate(patterns):
        rows = np.flatnonzero((which.ravel() == k) & ~strange & ~empty)
        if not len(rows):
            continue
        own = order if len(patterns) <= 20 or pattern.all() else order[: max(MOST_CALIBRATION // 10, int(1 / alpha))]
        seen = pattern.reshape(new.x.shape[1:])
        scores = surprises(trained, held_out, own, shown=seen, others=len(order), **options)
        if length is not None:
            scores = scores - detail(trained, held_out, own, seed=seed)
        p_value[rows] = conformal(scores, surprise[rows] - (0.0 if length is None else length[rows]))
    p_value[empty] = 1.0
    q_value = adjusted(p_value)
    return Detection(surprise, p_value, q_value, (q_value <= alpha) | strange, len(order), length)


def strange_rows(data: Dataset) -> np.ndarray:
    """Find the rows with a name that no training row of the model had, of columns without a tail of rare names.

    Args:
        data: The data set.

    Returns:
        Booleans of shape (n,).
    """
    found = np.zeros(len(data), bool)
    found[[row for row, _ in strange_cells(data)]] = True
    return found


def surprises(
    trained: TrainedModel,
    data: Dataset,
    positions: np.ndarray | None,
    *,
    others: int,
    shown: np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    r"""How surprising rows are: $-\log p(x)$ of their observed cells.

    A number beyond those of the training rows tells the model nothing but that it is there: its cell counts as missing,
    and what `tails` says is added. A row with a name that no training row had has infinity.

    Args:
        trained: A model with log p(x).
        data: The rows.
        positions: Their positions; None takes all.
        others: How many held-out rows they are compared with.
        shown: True for the columns that are looked at; None looks at all.
        options: What `evaluation.log_marginal` takes.

    Returns:
        Shape (n,), nats.
    """
    batch = trained.batch(data, positions)
    mask = np.ones(batch.x.shape, bool) if batch.mask is None else np.array(batch.mask)
    mask &= True if shown is None else shown
    added = np.zeros(len(mask))
    if data.outside is not None:
        outside = data.outside if positions is None else data.outside[positions]
        log_p, _ = tails(np.where(mask, outside, 0.0), data.schema.types or (), others)
        added, mask = -log_p.sum(axis=1), mask & (outside == 0)
    if not mask.all():
        batch = replace(batch, mask=mask)
    found = added - evaluation.log_marginal(trained.model, batch, preparation=trained.preparation, **options)
    strange = strange_rows(data)
    return np.where(strange if positions is None else strange[positions], np.inf, found)


def conformal(held_out: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The share of held-out scores that are at least as high, each score counted among them.

    Args:
        held_out: Scores of held-out rows, of shape (m,).
        scores: The scores, of shape (n,).

    Returns:
        Shape (n,), from 1 / (m + 1) to 1.
    """
    below = np.searchsorted(np.sort(held_out), scores, side="left")
    return (1.0 + len(held_out) - below) / (len(held_out) + 1.0)


def adjusted(p: np.ndarray) -> np.ndarray:
    """P-values adjusted for how many there are, after Benjamini and Hochberg.

    Args:
        p: The p-values, of shape (n,).

    Returns:
        Shape (n,), at most 1.
    """
    order = np.argsort(p)
    ratio = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)
    return q
