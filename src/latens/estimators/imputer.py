"""Missing cells filled in as a step of a scikit-learn pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.errors import UsageError
from latens.estimators.base import RandomState, names_of, seed_of, whole
from latens.estimators.frames import ends_like
from latens.estimators.vae import RowsEstimator
from latens.kinds.tables.frame import as_rows, is_frame
from latens.kinds.tables.table_schema import in_units
from latens.predictive.missing_cells import DRAWS
from latens.runtime.compilation import check_count
from latens.trained.cell_scores import interval
from latens.trained.inputs import RowsLike
from latens.typing import checked_later


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAEImputer(OneToOneFeatureMixin, TransformerMixin, RowsEstimator):
    r"""Impute missing cells with draws of $p(x_{mis} \mid x_{obs})$ of a VAE, in columns of any kind.

    An array or frame of numbers is modelled as in `VAE`. In another frame, or with `columns`, every column has a kind
    (docs/column-kinds.md). A missing number becomes its mean, and a missing category the most probable one. Observed
    cells, and columns of ids and free text, do not change.

    Args:
        columns: Kinds of columns by name ({"city": "category"}), or a file of kinds (docs/column-kinds.md). None: from
            dtypes and cells.
        recipe: Name of a recipe that `latens info recipes` lists, or a configuration.
        settings: Options of the configuration by name, such as {"training.steps": 2000}.
        num_samples: Draws of z for each row, at least 1.
        random_state: Seed or generator. None: NumPy's global generator.

    Attributes:
        model_: The `TrainedModel`.
        schema_: The schema with the kinds of columns.
        n_features_in_: Number of columns in `fit`.
        feature_names_in_: Names of these columns, if `X` has names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 3)).round(2)
        >>> X[:, 2] = X[:, 0]
        >>> X[0, 0] = np.nan
        >>> full = VAEImputer(settings={"training.steps": 50}, random_state=0).fit_transform(X)
        >>> bool(np.isnan(full).any()), bool((full[1:] == X[1:]).all())
        (False, True)

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, with the mean over x given z in closed form.
    """

    columns: Mapping[str, Any] | None = None
    recipe: str | VAEConfig = "default"
    settings: Mapping[str, Any] | None = None
    num_samples: int = DRAWS
    random_state: RandomState = None

    @whole
    def fit(self, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> "VAEImputer":
        """Train a model on the observed cells.

        Args:
            X: Rows, shape (n, columns): an array of numbers, in which NaN is missing, or a frame, with None and NA too.
            y: Ignored.
            sample_weight: Weights of the rows, at least 0, shape (n,); 2 counts a row twice. None: all are 1.

        Returns:
            The estimator itself, fitted.

        Raises:
            DataError: No column can be modelled, or a column mixes kinds (a ValueError with a remedy).
        """
        self.seed_ = seed_of(self.random_state)
        self.vae_ = self._new(self.seed_).fit(X, sample_weight=sample_weight)
        self.model_, self.n_features_in_ = self.vae_.model_, self.vae_.n_features_in_
        self.schema_ = self.model_.schema
        if (names := names_of(self.vae_)) is not None:
            self.feature_names_in_ = np.array(names, object)
        return self

    def transform(self, X: RowsLike, *, unknown: str = "error") -> Any:
        """Impute every missing cell.

        Args:
            X: Rows with the columns of `fit`.
            unknown: How to treat categories that are new in a frame. "error" raises an error that names the rows,
                "missing" imputes the cells, and "skip" omits the rows with a warning.

        Returns:
            An array of floats if `X` is an array. Otherwise a frame with the index, columns and dtypes of `X`.

        Raises:
            DataError: A column is absent, or has a category that is not in `fit`.
        """
        check_is_fitted(self)
        return self.vae_.impute(X, num_samples=self.num_samples, unknown=unknown)

    def draws(self, X: RowsLike, n: int = 20) -> list[Any]:
        r"""Complete the rows several times, each with a draw of $p(x_{mis} \mid x_{obs})$ for every row.

        Args:
            X: Rows with the columns of `fit`.
            n: Number of completions, at least 1.

        Returns:
            A list of n results in the form of `transform`.
        """
        check_is_fitted(self)
        return list(self.vae_.impute(X, n_draws=check_count(n, "n"), num_samples=self.num_samples))

    def intervals(self, X: RowsLike, level: float = 0.9) -> tuple[Any, Any]:
        """Compute the central interval of every missing number or date.

        Args:
            X: Rows with the columns of `fit`.
            level: The probability of the interval, in (0, 1).

        Returns:
            The lower and the upper ends in the units of the columns, with NaN for observed cells and categories. For an
            array, arrays of shape (n, modelled columns). For a frame, frames with its index and the modelled columns,
            in which dates are dates.
        """
        if not isinstance(level, float | np.floating) or not 0.0 < level < 1.0:
            raise UsageError(f"must lie between 0 and 1, and is {level!r}.", where="level", fix="Give for example 0.9.")
        check_is_fitted(self)
        X, types = as_rows(X), self.schema_.types
        draws = self.num_samples if types is None else 0
        data, found = self.vae_._imputed(X, num_samples=self.num_samples, num_draws=draws)
        ends = np.full((2, *data.x.shape), np.nan)
        if types is None and found.draws.size:
            ends[:] = np.quantile(found.draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=1)
        for j, (of, one) in enumerate(zip(found.shares or [], types or ())):
            if not one.named:
                ends[:, found.rows, j] = interval(of, one, level)
        ends[:, ~found.hidden] = np.nan
        if is_frame(X):
            low, high = (ends_like(X, data, one) for one in ends)
            return low, high
        return (in_units(ends[0], types), in_units(ends[1], types)) if types is not None else (ends[0], ends[1])
