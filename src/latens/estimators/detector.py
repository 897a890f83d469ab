"""Outlier detection in scikit-learn's contract, with p-values that hold whatever the model."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.data import Dataset
from latens.errors import ConfigError
from latens.estimators.base import RandomState, seed_of, truth, validated, whole, with_nan
from latens.estimators.vae import RowsEstimator
from latens.evidence.estimate import finite
from latens.kinds.tables.frame import as_rows, is_frame
from latens.runtime.compilation import check_count
from latens.trained.cell_scores import CODE, blame, conformal, named_cells, row_scores
from latens.trained.inputs import RowsLike
from latens.trained.measurement import what_density
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later

USUAL = {"prior.refit": False}
"""A prior fitted to the codes gains log p(x) and tells outliers apart no better.

Area of four sets of ADBench, trained on usual rows, without and with it: Ionosphere 0.972 and 0.968, WDBC 0.986 both,
cardio 0.895 and 0.879, pendigits 0.992 both.
"""
ROBUST = {"posterior.latent_dim": 2, "network.hidden": [32], "training.steps": 1500}
"""Too small a model, and too short a training, to learn a few outliers by heart."""
TRIMMED, TIMES = 0.1, 2
"""Share of the training rows that robust training leaves out, and how often it looks for them."""
FOLDS, CROSS_FITTED = 5, 2000
"""Folds of the training rows unless told, and the rows up to which there are as many; of more a share is held out."""
HELD_OUT = 0.2
"""The share of the rows that is held out where there is one fold."""
BATCH = 128
"""Rows of every batch, however few are scored: one program, so that a row's number is the same beside any others."""


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAEDetector(OutlierMixin, RowsEstimator):
    r"""Detect outliers by p-values that compare rows with held-out rows.

    The rows are divided into folds, and a model is trained without each fold. Each row gets an outlier score from a
    model that was trained without it. If a row has the score s, its p-value is $(1 + \#\{i : s_i \ge s\}) / (m + 1)$
    over the m scored rows. A new row gets the median over the models. With one fold, a part of the rows is held out.
    The p-value of a usual row is then at most a with probability at most a. With more folds, this holds approximately.
    A row with a category that no training row has is always an outlier.

    Args:
        alpha: Rows with a p-value up to this are outliers, in (0, 1). About this share of usual rows is flagged.
        robust: Whether the rows of `fit` may contain outliers. If True, a small model is trained twice more without the
            tenth of its rows with the highest scores. The p-values are then conservative. A large group of similar rows
            does not count as outliers.
        typed: Whether columns of numbers also get kinds and exact probabilities (docs/column-kinds.md). A frame with
            text always does.
        columns: Kinds of columns by name ({"city": "category"}), or a file of kinds (docs/column-kinds.md). None: from
            dtypes and cells.
        recipe: Name of a recipe that `latens info recipes` lists, or a configuration.
        settings: Options of the configuration by name, such as {"training.steps": 2000}.
        num_samples: Draws of z for each row, at least 1.
        random_state: Seed or generator. None: NumPy's global generator.
        folds: Number of models, at least 1. None: 5 up to 2,000 rows, and 1 above.

    Attributes:
        models_: The `TrainedModel` of each fold.
        model_: The first model.
        offset_: The value of `score_samples` below which a row is an outlier.
        others_: Number of scored rows that new rows are compared with.
        calibration_: The outlier scores of these rows in ascending order, shape (m,), in nats.
        reasons_: What the score and its limit are, and the options that were chosen from the data, as sentences.
        n_features_in_: Number of columns in `fit`.
        feature_names_in_: Names of these columns, if `X` has names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> detector = VAEDetector(settings={"training.steps": 50}, random_state=0).fit(X)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]

    Source: Vovk, Gammerman & Shafer (2005); Bates, Candes, Lei, Romano & Sesia (2023), arXiv 2104.08279; Vovk (2015),
    arXiv 1208.0806, for folds.
    """

    alpha: float = 0.05
    robust: bool = False
    typed: bool = False
    columns: Mapping[str, Any] | None = None
    recipe: str | VAEConfig = "default"
    settings: Mapping[str, Any] | None = None
    num_samples: int = 100
    random_state: RandomState = None
    folds: int | None = None

    @whole
    def fit(self, X: RowsLike, y: ArrayLike | None = None) -> "VAEDetector":
        """Train a model without each fold, and score the rows of the fold.

        Args:
            X: Rows, shape (n, columns): an array of numbers, in which NaN is missing, or a frame, with None and NA too.
            y: Ignored.

        Returns:
            The estimator itself, fitted.

        Raises:
            ConfigError: `alpha` is not between 0 and 1 (a ValueError with a remedy).
            DataError: No column can be modelled, or a column mixes kinds (a ValueError with a remedy).

        Warns:
            UserWarning: There are too few scored rows for a p-value as small as alpha.
        """
        if not isinstance(self.alpha, float | np.floating) or not 0.0 < self.alpha < 1.0:
            what = f"must lie between 0 and 1, and is {self.alpha!r}."
            raise ConfigError(what, where="alpha", fix="Give for example 0.1.")
        for name in ("typed", "robust"):
            truth(getattr(self, name), name)
        if self.folds is not None:
            check_count(self.folds, "folds")
        X = as_rows(X)
        X = X if is_frame(X) else with_nan(X)
        numbers: dict[str, Any] = {"ensure_all_finite": "allow-nan", "dtype": np.float64, "ensure_min_samples": 2}
        validated(self, X, reset=True, **({"skip_check_array": True} if is_frame(X) else numbers))
        n = len(X) if is_frame(X) else len(X := np.asarray(X))
        self.seed_ = seed_of(self.random_state)
        folds = (FOLDS if n <= CROSS_FITTED else 1) if self.folds is None else self.folds
        count = min(max(int(np.ceil(HELD_OUT * n)), int(np.ceil(1.0 / self.alpha)) - 1), n // 2)
        order = np.random.default_rng(self.seed_).permutation(n)
        parts = np.array_split(order, min(folds, n)) if folds > 1 else [order[:count]]
        self.others_ = sum(len(part) for part in parts)
        self.vaes_, self._apart = [], []
        others = []
        for k, part in enumerate(parts):
            kept = _safe_indexing(X, np.setdiff1d(order, part))
            self._fold(kept)
            self._apart.append(np.zeros(0, "<u8"))
            if len(part):
                held = self._rows(_safe_indexing(X, np.sort(part)), k)
                self._apart[k] = np.unique(_row_ids(held))
                others.append(self._odd(held, k))
        self.calibration_ = np.sort(np.concatenate(others)) if others else np.zeros(0)
        most = int(self.alpha * (self.others_ + 1) + 1e-9)  # so many may be as odd as an outlier, it included
        self.offset_ = float(-self.calibration_[-most]) if most else -np.inf
        if not most:
            least = int(np.ceil(1.0 / self.alpha)) - 1
            words = f"no p-value is as small as {self.alpha:g} of {self.others_} held-out rows, so no row is an outlier"
            fix = f"give {least if folds > 1 else 2 * least} rows or more, or a larger alpha"
            warnings.warn(f"{words}: {fix}", UserWarning, stacklevel=3)
        trained, config = self.model_, cast(VAEConfig, self.model_.config)
        several = f", the median of {len(parts)} models" * (len(parts) > 1)
        self.reasons_ = [
            f"outlier score: -log p(x) + {CODE:g} KL(q(z | x) || p(z)) in nats{several}; likelihood "
            f"{config.likelihood.family} ({what_density(trained).strip('; ') or 'probability of the cells'})",
            f"outliers: scores above {-self.offset_:.4g}, which at most {100 * self.alpha:g} % of the {self.others_} "
            "rows have that were scored by a model trained without them",
            *self.vaes_[0].reasons_,
        ]
        return self

    def _fold(self, kept: RowsLike) -> None:
        """Train on the rows outside a fold."""
        usual = {**USUAL, **(ROBUST if self.robust else {})}
        # Of one size, the models of all folds share their compiled programs.
        recipe = self.vaes_[0].model_.config if self.vaes_ else None
        # The schema of each model knows nothing of the rows held out.
        self.vaes_.append(self._new(self.seed_, usual, typed=self.typed, recipe=recipe).fit(kept))
        for _ in range(TIMES if self.robust else 0):
            scores = -self._odd(self._rows(kept, -1), -1)
            usual_rows = np.flatnonzero(scores >= np.sort(scores)[int(TRIMMED * len(scores))])
            self.vaes_[-1] = self._new(self.seed_, usual, typed=self.typed, recipe=recipe).fit(
                _safe_indexing(kept, usual_rows)
            )

    @property
    def models_(self) -> list[TrainedModel]:
        """The models, each trained without one fold.

        Raises:
            NotFittedError: Before `fit`.
        """
        check_is_fitted(self, "vaes_")
        return [one.model_ for one in self.vaes_]

    @property
    def model_(self) -> TrainedModel:
        """The first model.

        Raises:
            NotFittedError: Before `fit`.
        """
        return self.models_[0]

    def score_samples(self, X: RowsLike) -> np.ndarray:
        r"""Score rows by $\log p(x) - 2\,KL(q(z \mid x) \| p(z))$; usual rows score high.

        The outlier score is minus this value. A row with an unusual code scores low, even if the model reconstructs it
        well. Only observed cells are used. A number far outside the training rows counts as missing in log p(x), and
        the log probability of a number so far outside is added (`latens.trained.cell_scores.tails`).

        Args:
            X: Rows with the columns of `fit`.

        Returns:
            Shape (n,), nats.
        """
        check_is_fitted(self)
        each, own = [], []
        for k in range(len(self.vaes_)):
            data = self._rows(X, k)
            each.append(self._odd(data, k))
            own.append(np.isin(_row_ids(data), self._apart[k]))
        unseen = np.stack(own)  # by the models: all of them for a new row
        unseen |= ~unseen.any(axis=0)
        stacked = np.where(unseen, np.stack(each), np.nan)
        return -(stacked[0] if len(stacked) == 1 else np.nanmedian(stacked, axis=0))

    def _rows(self, X: RowsLike, k: int = 0) -> Dataset:
        check_is_fitted(self, "vaes_")
        return self.vaes_[k]._read(X, unknown="missing")[0]

    def _odd(self, data: Dataset, k: int) -> np.ndarray:
        """How odd rows are to one of the models."""
        found = row_scores(
            self.vaes_[k].model_, data, None, others=self.others_,
            num_samples=check_count(self.num_samples, "num_samples"), key=jax.random.key(self.seed_), batch_size=BATCH,
        )  # fmt: skip
        return -np.asarray(finite(-found.odd, "log p(x)", minus_infinity=True), np.float64)

    def decision_function(self, X: RowsLike) -> np.ndarray:
        """Compute the score minus the limit. Outliers are below 0.

        Args:
            X: Rows with the columns of `fit`.

        Returns:
            Shape (n,), nats.
        """
        found = self.score_samples(X)
        certain = np.isneginf(found)
        return np.where(certain, -np.inf, np.where(certain, 0.0, found) - self.offset_)

    def predict(self, X: RowsLike) -> np.ndarray:
        """Predict which rows are outliers.

        Args:
            X: Rows with the columns of `fit`.

        Returns:
            1 for usual rows and -1 for outliers, shape (n,).
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: RowsLike) -> np.ndarray:
        """Compute the p-value of each row, the share of scored rows with at least its outlier score.

        Args:
            X: Rows with the columns of `fit`.

        Returns:
            Shape (n,), from 1 / (m + 1) to 1.
        """
        return conformal(self.calibration_, -self.score_samples(X))

    @checked_later
    def explain(self, X: RowsLike, cells: int = 3) -> dict[str, np.ndarray]:
        """Find the cells of each row that are least probable given the other cells.

        Args:
            X: Rows with the columns of `fit`.
            cells: Number of cells per row, at least 1.

        Returns:
            A dictionary of columns of text, each of shape (n,). For the k-th cell, starting from 1, it has `cell_k`
            (the column), `value_k`, `expected_k` (with an interval for numbers) and `p_k`. `reason` is a sentence
            about the first cell.

        Raises:
            ConfigError: The columns have no kinds. Pass `typed=True`.
        """
        cells = check_count(cells, "cells")
        data = self._rows(X)
        rows = np.arange(len(data))
        found = blame(self.model_, data, rows, others=self.others_, cells=cells, seed=self.seed_)
        named = named_cells(found, data, rows)
        each = zip(*(named[f"{part}_1"] for part in ("cell", "value", "expected", "p")))
        said = [_reason(*one) if one[0] else "" for one in each]
        return named | {"reason": np.array(said, object)}


def _reason(cell: str, value: str, expected: str, p: str) -> str:
    """How improbable a cell is, in words."""
    often = f"1 in {1.0 / float(p):,.0f} such rows is as extreme" if float(p) else "no training row has this value"
    return f"{cell} is {value}, expected {expected}: {often}"


def _row_ids(data: Dataset) -> np.ndarray:
    """A number of 64 bits for each row, that equal rows share."""
    parts = [part for part in (data.x, data.mask, data.outside) if part is not None]
    rows = (b"".join(np.ascontiguousarray(part[i]).tobytes() for part in parts) for i in range(len(data)))
    return np.frombuffer(b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in rows), "<u8")
