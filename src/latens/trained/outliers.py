"""Rows that are unlike the training rows: how surprising each is, and with which p-value."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.errors import DataError
from latens.evidence.importance import row_numbers
from latens.predictive.missing_cells import log_observed
from latens.trained.cell_scores import strange_cells, tails
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

MOST_CALIBRATION = 5000
"""Held-out rows that a row is compared with; of a pattern of gaps that few rows have, a tenth."""

CODE = 2.0
"""How often the KL of a row's code counts beside -log p(x): a row that needs an unusual code is odd, although it may be
reconstructed well. On eight sets of ADBench the mean area under precision and recall is .798 (0: .783, 4: .803, five
nearest neighbours .810; `benchmarks/anomalies.py`)."""


class Scores(NamedTuple):
    r"""How odd rows are under a model."""

    surprise: np.ndarray  # $-\log p(x)$ of the observed cells, nats, of shape (n,)
    odd: np.ndarray  # the surprise and `CODE` times the KL of q(z | x) to p(z), nats, of shape (n,)


class Detection(NamedTuple):
    r"""What is unusual about rows."""

    # $-\log p(x)$ of the observed cells, nats, of shape (n,); of numbers beyond those of the training rows as `tails`
    # has it
    surprise: np.ndarray
    odd: np.ndarray  # what is compared with held-out rows: see `Scores`
    p_value: np.ndarray  # the share of held-out rows at least as odd, of shape (n,)
    # the expected share of false alarms if this row and all more unusual ones are flagged, of shape (n,)
    q_value: np.ndarray
    flagged: np.ndarray  # true where `q_value` is at most alpha
    calibration: int  # how many held-out rows there were


def detect(
    trained: TrainedModel,
    held_out: Dataset,
    positions: np.ndarray,
    new: Dataset,
    *,
    alpha: float = 0.05,
    gate: bool = True,
    num_samples: int = 100,
    seed: int = 0,
) -> Detection:
    r"""Compare rows with held-out ones by how odd they are under a model."""
    # The conformal p-value of a row is $(1 + \#\{i : s_i \ge s\}) / (m + 1)$ over m held-out rows: for a row like these
    # it is at most a with a probability of at most a, whatever the model. Flagging where q is at most alpha (Benjamini
    # & Hochberg) keeps the expected share of false alarms among the flagged below alpha. A row with gaps is compared
    # with held-out rows that have the same gaps. A row with a name that no training row had has the surprise infinity,
    # so that only held-out rows with such a name are as surprising, and is flagged whatever its q-value; one without
    # any cell has the surprise 0.
    # Source: Vovk, Gammerman & Shafer (2005); Bates, Candes, Lei, Romano & Sesia (2023), for outliers; Benjamini &
    # Hochberg (1995).
    if gate and len(positions) + 1 < 1.0 / alpha:
        what = f"{len(positions)} held-out rows cannot show a p-value of {alpha:g}: the smallest is 1 in all of them."
        raise DataError(what, where=held_out.name, fix=f"Hold out at least {int(np.ceil(1 / alpha))} rows.")
    order = np.random.default_rng(seed).permutation(positions)[:MOST_CALIBRATION]
    options: dict[str, Any] = {"num_samples": num_samples, "key": jax.random.key(seed)}
    surprise, odd = (np.array(part) for part in row_scores(trained, new, None, others=len(order), **options))
    shown = np.ones(new.x.shape, bool) if new.mask is None else new.mask
    patterns, which = np.unique(shown.reshape(len(new), -1), axis=0, return_inverse=True)
    strange = strange_rows(new)
    empty = ~shown.reshape(len(new), -1).any(axis=1) & ~strange
    surprise[empty] = odd[empty] = 0.0  # p of no cell is 1, and so is that of the same of any row
    p_value = np.full(len(new), (1.0 + np.count_nonzero(strange_rows(held_out)[order])) / (len(order) + 1.0))
    for k, pattern in enumerate(patterns):
        rows = np.flatnonzero((which.ravel() == k) & ~strange & ~empty)
        if not len(rows):
            continue
        own = order if len(patterns) <= 20 or pattern.all() else order[: max(MOST_CALIBRATION // 10, int(1 / alpha))]
        how: dict[str, Any] = {"shown": pattern.reshape(new.x.shape[1:]), "others": len(order), **options}
        p_value[rows] = conformal(row_scores(trained, held_out, own, **how).odd, odd[rows])
    p_value[empty] = 1.0
    q_value = adjusted(p_value)
    return Detection(surprise, odd, p_value, q_value, (q_value <= alpha) | strange, len(order))


def strange_rows(data: Dataset) -> Shaped[np.ndarray, " n"]:
    """Find the rows with a name that no training row of the model had, of columns without a tail of rare names."""
    found = np.zeros(len(data), bool)
    found[[row for row, _ in strange_cells(data)]] = True
    return found


def row_scores(
    trained: TrainedModel,
    data: Dataset,
    positions: np.ndarray | None,
    *,
    others: int,
    shown: np.ndarray | None = None,
    num_samples: int,
    key: Key,
    batch_size: int | None = None,
) -> Scores:
    r"""How odd rows are: $-\log p(x)$ of their observed cells, and the KL of their codes."""
    # A number beyond those of the training rows tells the model nothing but that it is there: its cell counts as
    # missing, and what `tails` says is added. A row with a name that no training row had, or of NaN, has infinity.
    batch = trained.batch(data, positions)
    mask = np.ones(batch.x.shape, bool) if batch.mask is None else np.array(batch.mask)
    mask &= True if shown is None else shown
    added = np.zeros(len(mask))
    if data.outside is not None:
        outside = data.outside if positions is None else data.outside[positions]
        ends = data.x if positions is None else data.x[positions]
        log_p, _ = tails(np.where(mask, outside, 0.0), data.schema.column_types, others, ends.astype(np.float64))
        added, mask = -log_p.sum(axis=1), mask & (outside == 0)
    if not mask.all():
        batch = replace(batch, mask=mask)
    rows = replace(trained.rows(batch, key=key), batch_size=batch_size)
    gaps = data.schema.cells.real and not mask.all()
    numbers = row_numbers(rows, num_samples=num_samples)
    kl = np.asarray(numbers.kl, np.float64)
    log_p = log_observed(rows, num_samples=num_samples) if gaps else np.asarray(numbers.weights.log_mean)
    strange = strange_rows(data) if positions is None else strange_rows(data)[positions]
    surprise = np.where(strange | np.isnan(log_p), np.inf, added - log_p)
    return Scores(surprise, surprise + CODE * np.where(np.isnan(kl), 0.0, kl))


def conformal(held_out: Shaped[np.ndarray, " m"], scores: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """The share of held-out scores that are at least as high, each score counted among them."""
    below = np.searchsorted(np.sort(held_out), scores, side="left")
    return (1.0 + len(held_out) - below) / (len(held_out) + 1.0)


def adjusted(p: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """P-values adjusted for how many there are, after Benjamini and Hochberg."""
    order = np.argsort(p)
    ratio = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)
    return q
