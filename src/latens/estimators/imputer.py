"""Missing cells filled in as a step of a scikit-learn pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.errors import UsageError
from latens.estimators.base import RandomState, names_of, seed_of, whole
from latens.estimators.frames import ends_like
from latens.estimators.rows import RowsEstimator
from latens.evaluation.missing_cells import DRAWS
from latens.io.process import check_count
from latens.kinds.tables.frame import as_rows, is_frame
from latens.kinds.tables.typed import in_units
from latens.typing import checked_later
from latens.workflow.cell_scores import interval


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAEImputer(OneToOneFeatureMixin, TransformerMixin, RowsEstimator):
    r"""Impute missing cells from $p(x_{mis} \mid x_{obs})$ of a VAE, for columns of any kind.

    Numbers alone are modelled as `VAE` models them. In a frame with other columns, and with `columns`, every column has
    a type (docs/tables.md). A missing number becomes its mean, a name the likeliest one. Observed cells stay as they
    came, and so do columns of ids and free text, which are not modelled.

    Args:
        columns: What columns are, by name ({"city": "category"}, or a file of such kinds; see docs/tables.md), where
            numbers alone get types too; None tells all of them from dtypes and cells.
        recipe: Name of a composition that `latens info recipes` lists, or a configuration.
        settings: Any options by name, such as {"training.steps": 2000}.
        num_samples: Draws of z for each row, from 1.
        random_state: Seed or generator; None takes numpy's global generator.

    Attributes:
        model_: The `TrainedModel`.
        schema_: What the columns are.
        n_features_in_: Number of columns that `fit` saw.
        feature_names_in_: Names of these columns, where `X` had names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 3)).round(2)
        >>> X[:, 2] = X[:, 0]
        >>> X[0, 0] = np.nan
        >>> full = VAEImputer(settings={"training.steps": 50}, random_state=0).fit_transform(X)
        >>> bool(np.isnan(full).any()), bool((full[1:] == X[1:]).all())
        (False, True)

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, with the mean over x given z in closed form.
    """

    columns: Any = None
    recipe: str | VAEConfig = "default"
    settings: Mapping[str, Any] | None = None
    num_samples: int = DRAWS
    random_state: RandomState = None

    @whole
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAEImputer":
        """Train a model of the observed cells.

        Args:
            X: Rows, shape (n, columns): an array of numbers, or a frame; NaN, None and NA are missing.
            y: Ignored.
            sample_weight: How often each row counts, from 0, shape (n,): a weight of 2 is the row twice. None: once.

        Returns:
            The estimator itself, fitted.

        Raises:
            DataError: No column can be modelled, or a column mixes kinds (a ValueError that says the remedy).
        """
        self.seed_ = seed_of(self.random_state)
        self.vae_ = self._new(self.seed_).fit(X, sample_weight=sample_weight)
        self.model_, self.n_features_in_ = self.vae_.model_, self.vae_.n_features_in_
        self.schema_ = self.model_.schema
        if (names := names_of(self.vae_)) is not None:
            self.feature_names_in_ = np.array(names, object)
        return self

    def transform(self, X: Any, *, unknown: str = "error") -> Any:
        """Fill in every missing cell.

        Args:
            X: Rows of the columns that `fit` saw.
            unknown: Names in columns of a frame that `fit` did not see: "error" names the rows; "missing" fills them in
                too; "skip" leaves the rows out of the result, with a warning that names them.

        Returns:
            An array of floats for an array; else a frame with the index, columns and dtypes of `X`.

        Raises:
            DataError: A column lacks, or holds a name that `fit` did not see.
        """
        check_is_fitted(self)
        return self.vae_.impute(X, num_samples=self.num_samples, unknown=unknown)

    def draws(self, X: Any, n: int = 20) -> list[Any]:
        r"""Complete the rows several times at random, each by one draw of $p(x_{mis} \mid x_{obs})$ for every row.

        Args:
            X: Rows of the columns that `fit` saw.
            n: How many times, from 1.

        Returns:
            n times what `transform` returns.
        """
        check_is_fitted(self)
        return list(self.vae_.impute(X, n_draws=check_count(n, "n"), num_samples=self.num_samples))

    def intervals(self, X: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Give the central interval of every missing number or date.

        Args:
            X: Rows of the columns that `fit` saw.
            level: The probability inside, in (0, 1).

        Returns:
            The lower and the upper ends in the units of the columns, NaN for observed cells and names. Of an array
            arrays of shape (n, modelled columns); of a frame frames with its index and the modelled columns, where
            dates are dates.
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
