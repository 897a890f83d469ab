"""Outlier detection in scikit-learn's contract, with p-values that hold whatever the model."""

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from sklearn.base import OutlierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.data import Dataset
from latens.data.formats.tables import is_frame
from latens.errors import ConfigError
from latens.estimators.base import RandomState, seed_of, truth, whole, with_nan
from latens.estimators.rows import RowsEstimator
from latens.evaluation.finite import finite
from latens.io.process import check_count
from latens.typing import checked_later
from latens.workflow.cells import blame, named_cells
from latens.workflow.detect import conformal, drift, more_surprising, surprises
from latens.workflow.trained import TrainedModel

USUAL = {"prior.refit": False}
"""A prior fitted to the codes gains log p(x) and tells outliers apart no better.

Area of four sets of ADBench, trained on usual rows, without and with it: Ionosphere 0.972 and 0.968, WDBC 0.986 both,
cardio 0.895 and 0.879, pendigits 0.992 both.
"""
ROBUST = {"posterior.latent_dim": 2, "network.hidden": [32], "training.steps": 1500}
"""Too small a model, and too short a training, to learn a few outliers by heart."""
TRIMMED, TIMES = 0.1, 2
"""Share of the training rows that robust training leaves out, and how often it looks for them."""
BATCH = 128
"""Rows of every batch, however few are scored: one program, so that a row's number is the same beside any others."""


class VAEDetector(OutlierMixin, RowsEstimator):
    r"""Rows that are unlike the training rows: those of a low log p(x), compared with rows that did not train.

    A part of the rows is held out of training; the p-value of a row is $(1 + \#\{i : s_i \ge s\}) / (m + 1)$ of the
    surprises $s = -\log p(x)$ of the m held-out rows. For rows like these it is at most a with a probability of at most
    a, whatever the model. A row with a name that no training row had has the log p(x) minus infinity: it is an outlier.

    Args:
        alpha: A row is an outlier where its p-value is at most this, in (0, 1): the share of usual rows that are
            called outliers.
        held_out: The share of the rows of `fit` that is held out for the comparison, in (0, 1).
        robust: Whether the rows of `fit` may hold outliers themselves: a small model is trained, and trained again,
            twice, without the tenth of its rows that it finds the most surprising. The p-values are then cautious, as
            outliers are among the held-out rows too. Many rows that are alike are a kind of rows, and no outliers.
        typed: Whether columns of numbers get types and exact probabilities as well (docs/tables.md); those of a frame
            with text always do.
        columns: What columns are, by name ({"city": "category"}, or a file of such kinds; see docs/tables.md); None
            tells all of them from dtypes and cells.
        recipe: Name of a composition that `latens recipes` lists, or a configuration.
        settings: Any options by name, such as {"training.steps": 2000}.
        num_samples: Draws of z for each row, from 1.
        random_state: Seed or generator; None takes numpy's global generator.

    Attributes:
        model_: The `TrainedModel`.
        offset_: The log p(x) below which a row is an outlier.
        others_: How many rows were held out.
        calibration_: The surprises of the held-out rows, rising, of shape (m,).
        n_features_in_: Number of columns that `fit` saw.
        feature_names_in_: Names of these columns, where `X` had names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = VAEDetector(settings={"training.steps": 50}, random_state=0).fit(X)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    Source: Vovk, Gammerman & Shafer (2005); Bates, Candes, Lei, Romano & Sesia (2023), arXiv 2104.08279.
    """

    @checked_later
    def __init__(
        self,
        *,
        alpha: float = 0.05,
        held_out: float = 0.2,
        robust: bool = False,
        typed: bool = False,
        columns: Any = None,
        recipe: str | VAEConfig = "default",
        settings: Mapping[str, Any] | None = None,
        num_samples: int = 100,
        random_state: RandomState = None,
    ) -> None:
        self.alpha = alpha
        self.held_out = held_out
        self.robust = robust
        self.typed = typed
        self.columns = columns
        self.recipe = recipe
        self.settings = settings
        self.num_samples = num_samples
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "VAEDetector":
        """Train a model of the rows but those held out, and note how surprising these are.

        Args:
            X: Rows, shape (n, columns): an array of numbers, or a frame; NaN, None and NA are missing.
            y: Ignored.

        Returns:
            The estimator itself, fitted.

        Raises:
            ConfigError: `alpha` or `held_out` is not within 0 and 1 (a ValueError that says the remedy).
            DataError: No column can be modelled, or a column mixes kinds (likewise).

        Warns:
            UserWarning: Too few rows are held out for a p-value as small as alpha.
        """
        for name in ("alpha", "held_out"):
            value = getattr(self, name)
            if not isinstance(value, float | np.floating) or not 0.0 < value < 1.0:
                raise ConfigError(
                    f"must lie between 0 and 1, and is {value!r}.", where=name, fix="Give for example 0.1."
                )
        truth(self.typed, "typed"), truth(self.robust, "robust")
        with whole(self):
            return self._fit(X)

    def _fit(self, X: Any) -> "VAEDetector":
        n = len(self._data(X, reset=True, typed=self.typed))
        self.seed_ = seed_of(self.random_state)
        count = min(max(int(np.ceil(self.held_out * n)), int(np.ceil(1.0 / self.alpha)) - 1), n // 2)
        order = np.random.default_rng(self.seed_).permutation(n)
        X = X if is_frame(X) else np.asarray(with_nan(X))
        apart, kept = (_safe_indexing(X, np.sort(part)) for part in (order[:count], order[count:]))
        data = self._data(kept, reset=False, typed=self.typed)  # its schema knows nothing of the rows held out
        self.others_ = count
        usual = ROBUST if self.robust else {}
        self.model_ = self._train(data, self.seed_, usual)
        for _ in range(TIMES if self.robust else 0):
            scores = self.score_samples(kept)
            usual_rows = np.flatnonzero(scores >= np.sort(scores)[int(TRIMMED * len(scores))])
            left = self._data(_safe_indexing(kept, usual_rows), reset=False, typed=self.typed)
            self.model_ = self._train(left, self.seed_, usual)
        self._known = _row_ids(self._rows(kept).x)
        surprise, self._copies = np.zeros(0), 0.0
        if count:
            held = self._rows(apart)
            surprise, self._copies = -self._log_marginal(held), float(np.mean(np.isin(_row_ids(held.x), self._known)))
        self.calibration_ = np.sort(surprise)
        most = int(self.alpha * (count + 1) + 1e-9)  # so many of them may be as surprising as an outlier, it included
        self.offset_ = float(-self.calibration_[-most]) if most else -np.inf
        if not most:
            least = int(np.ceil(1.0 / self.alpha)) - 1
            words = f"no p-value is as small as {self.alpha:g} of {count} held-out rows, so no row is an outlier"
            warnings.warn(f"{words}: give {2 * least} rows or more, or a larger alpha", UserWarning, stacklevel=3)
        return self

    def _train(self, data: Dataset, seed: int, usual: Mapping[str, Any] | None = None) -> TrainedModel:
        return super()._train(data, seed, {**USUAL, **(usual or {})})

    def score_samples(self, X: Any) -> np.ndarray:
        """Estimate log p(x) of the observed cells of every row; high is usual.

        A number of typed columns beyond those of the training rows counts as missing, and the log probability of a
        number so far beyond is added (`latens.workflow.cells.tails`).

        Args:
            X: Rows of the columns that `fit` saw.

        Returns:
            Shape (n,), nats.
        """
        return self._log_marginal(self._rows(X))

    def _rows(self, X: Any) -> Dataset:
        check_is_fitted(self)
        return self._data(X, reset=False, typed=self.typed, schema=self.model_.schema, unknown="missing")

    def _log_marginal(self, data: Dataset) -> np.ndarray:
        found = -surprises(
            self.model_, data, None, others=self.others_,
            num_samples=check_count(self.num_samples, "num_samples"), key=jax.random.key(self.seed_), batch_size=BATCH,
        )  # fmt: skip
        return np.asarray(finite(found, "log p(x)", minus_infinity=True), np.float64)

    def decision_function(self, X: Any) -> np.ndarray:
        """Tell by how much log p(x) is above the limit; below 0 is an outlier.

        Args:
            X: Rows of the columns that `fit` saw.

        Returns:
            Shape (n,), nats.
        """
        found = self.score_samples(X)
        certain = np.isneginf(found)
        return np.where(certain, -np.inf, np.where(certain, 0.0, found) - self.offset_)

    def predict(self, X: Any) -> np.ndarray:
        """Tell which rows are outliers.

        Args:
            X: Rows of the columns that `fit` saw.

        Returns:
            1 for usual rows and -1 for outliers, shape (n,).
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: Any) -> np.ndarray:
        """Compute the share of held-out rows that are at least as surprising, each row counted among them.

        Args:
            X: Rows of the columns that `fit` saw.

        Returns:
            Shape (n,), from 1 / (m + 1) to 1.

        Warns:
            UserWarning: Most of the rows trained the model, so that they look less unusual than they are; or all
                of them together are not like those held out, beyond a tenth of outliers.
        """
        data = self._rows(X)
        again = int(np.isin(_row_ids(data.x), self._known).sum())
        if again > len(data) * (1.0 + self._copies) / 2.0:  # of rows that did not, the share `_copies` is like some
            words = f"{again} of {len(data)} rows trained the model, which look less unusual than they are"
            warnings.warn(f"{words}: give rows that fit did not see", UserWarning, stacklevel=2)
        scores = -self._log_marginal(data)
        found = conformal(self.calibration_, scores)
        moved = drift(found, more_surprising(self.calibration_, scores), self.others_).words
        if moved and not again:
            warnings.warn(f"{moved}; fit rows of their own time or place", UserWarning, stacklevel=2)
        return found

    @checked_later
    def explain(self, X: Any, cells: int = 3) -> dict[str, np.ndarray]:
        """Find the cells of each row that the rest of the row makes the least likely.

        Args:
            X: Rows of the columns that `fit` saw.
            cells: How many cells of each row, from 1.

        Returns:
            For the k-th cell, from 1, `cell_k` (its column), `value_k`, `expected_k` (of a number with its interval)
            and `p_k`: columns of text of shape (n,), as a frame takes them.

        Raises:
            ConfigError: The columns have no types: give `typed=True`.
        """
        cells = check_count(cells, "cells")
        data, rows = self._rows(X), np.arange(len(X))
        return named_cells(
            blame(self.model_, data, rows, others=self.others_, cells=cells, seed=self.seed_), data, rows
        )


def _row_ids(x: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each row, that equal rows share."""
    ids = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in np.ascontiguousarray(x))
    return np.frombuffer(b"".join(ids), "<u8")
