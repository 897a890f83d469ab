"""Missing cells filled in as a step of a scikit-learn pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.data import Dataset, rules
from latens.data.bootstrap import bootstrap
from latens.data.formats.tables import is_frame
from latens.data.mixed import in_units
from latens.errors import ConfigError, UsageError
from latens.estimators.base import RandomState, names_of, seed_of, weighed, whole, with_nan
from latens.estimators.columns import ends_like, filled_cells, has_words, hidden_cells, with_filled, with_numbers
from latens.estimators.named import as_rows
from latens.estimators.rows import RowsEstimator
from latens.evaluation.conditionals import conditionals
from latens.evaluation.impute import impute
from latens.io.process import check_count
from latens.typing import checked_later
from latens.workflow.cells import interval, points
from latens.workflow.filling import ALONE, Pool, fitted_copula, pooled, pooled_draws, pooled_shares
from latens.workflow.trained import TrainedModel

COPULA = ("auto", "only", "none")
"""Whether a copula fills in beside the models, alone, or not at all."""


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAEImputer(OneToOneFeatureMixin, TransformerMixin, RowsEstimator):
    r"""Fill in missing cells by $p(x_{mis} \mid x_{obs})$ of a VAE of columns of any kind.

    Every column gets a type (docs/tables.md) and exact probabilities given the latent; a missing number becomes its
    mean, a name the likeliest one. Observed cells stay as they came, and so do columns of ids and free text, which are
    not modelled.

    Args:
        columns: What columns are, by name ({"city": "category"}, or a file of such kinds; see docs/tables.md); None
            tells all of them from dtypes and cells.
        recipe: Name of a composition that `latens recipes` lists, or a configuration.
        settings: Any options by name, such as {"training.steps": 2000}.
        ensemble: How many models. From 2 on each is fitted to rows drawn anew with replacement: what they agree on is
            filled in, each makes an equal part of the draws, and these then also know how unsure the weights are, which
            is what `latens.pool` needs. Give `draws` as many tables as there are models, or fewer.
        num_samples: Draws of z for each row, from 1.
        copula: Whether a Gaussian copula of the columns fills in too. "auto" pools it with the models, by the weight
            that hidden cells of held-out rows ask for; "only" trains no model, takes a second, and its draws know how
            unsure its parameters are, as `latens.pool` needs it; "none" leaves it out.
        inapplicable: Cells that are empty in all rows like theirs, as the claim of what was not damaged, and dates that
            may not have come yet: "fill" fills them in, as steps that follow in a pipeline need; "keep" leaves them.
        random_state: Seed or generator; None takes numpy's global generator.

    Attributes:
        models_: The `TrainedModel`s, as many as `ensemble`; none with `copula="only"`.
        model_: The first of them, if there is one.
        schema_: What the columns are.
        weight_: The mean weight of the models beside the copula over columns, from 0 to 1.
        n_features_in_: Number of columns that `fit` saw.
        feature_names_in_: Names of these columns, where `X` had names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 3)).round(2)
        >>> X[:, 2] = X[:, 0]
        >>> X[0, 0] = np.nan
        >>> full = VAEImputer(settings={"training.steps": 50}, random_state=0).fit_transform(X)
        >>> bool(np.isnan(full).any()), bool((full[1:] == X[1:]).all())
        (False, True)

    Source: Mattei & Frellsen (2019), "MIWAE", arXiv 1812.02633, with the mean over x given z in closed form; Honaker,
    King & Blackwell (2011), "Amelia II", for a bootstrap before each imputation; Hoff (2007), "Extending the rank
    likelihood for semiparametric copula estimation".
    """

    columns: Any = None
    recipe: str | VAEConfig = "default"
    settings: Mapping[str, Any] | None = None
    ensemble: int = 1
    num_samples: int = 300
    copula: str = "auto"
    inapplicable: str = "fill"
    random_state: RandomState = None

    @whole
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAEImputer":
        """Train a model of the observed cells, or several.

        Args:
            X: Rows, shape (n, columns): an array of numbers, or a frame; NaN, None and NA are missing.
            y: Ignored.
            sample_weight: How often each row counts, from 0, shape (n,): a weight of 2 is the row twice. None: once.

        Returns:
            The estimator itself, fitted.

        Raises:
            DataError: No column can be modelled, or a column mixes kinds (a ValueError that says the remedy).
            ConfigError: `ensemble` is no whole number from 1 on, or `copula` none of its words (likewise).
        """
        count = self.ensemble
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
            what = f"must be a whole number from 1 on, and is {count!r}."
            raise ConfigError(what, where="ensemble", fix="Give 1 for one model, or for example 10.")
        if self.copula not in COPULA:
            what = f"must be one of {', '.join(map(repr, COPULA))}, and is {self.copula!r}."
            raise ConfigError(what, where="copula", fix="Leave it at 'auto'.")
        X, _, weight = weighed(X, None, sample_weight)
        data = replace(self._data(X, reset=True, typed=True), weight=weight)
        self.seed_ = seed_of(self.random_state)
        self.models_: list[TrainedModel] = []
        if self.copula == "only":
            self.schema_, copula = (
                data.schema,
                fitted_copula(data, np.arange(len(data)), data.schema.types or (), self.seed_),
            )
            if copula is None:
                what = "the table is too wide, or too short, for a copula."
                raise ConfigError(what, where="copula", fix="Use 'none'.")
            self.pool_, self.weight_ = Pool(copula, np.zeros(len(data.schema.types or ()))), 0.0
            return self
        several = [bootstrap(data, self.seed_ + k) for k in range(count)] if count > 1 else [data]
        self.models_ = [self._train(one, self.seed_) for one in several]
        self.model_, self.pool_ = self.models_[0], ALONE
        self.schema_ = self.model_.schema
        if self.copula == "auto":
            how = {"num_samples": check_count(self.num_samples, "num_samples"), "seed": self.seed_}
            self.pool_ = pooled(self.model_, several[0], self._keys()[0], **how)
            if count > 1 and self.pool_.copula is not None:
                made = fitted_copula(data, np.arange(len(data)), self.schema_.types or (), self.seed_)
                self.pool_ = self.pool_._replace(copula=made)
        self.weight_ = self.pool_.weight
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
        X = as_rows(X)
        data, shares = self._shares(X, unknown)
        X = X if data.kept is None else _safe_indexing(X, data.kept)
        filled = points(shares, data.schema.types or ())
        return self._with(X, data, self._ruled(data, filled))

    def draws(self, X: Any, n: int = 20) -> list[Any]:
        r"""Complete the rows several times at random, each by one draw of $p(x_{mis} \mid x_{obs})$ for every row.

        Args:
            X: Rows of the columns that `fit` saw.
            n: How many times, from 1.

        Returns:
            n times what `transform` returns.
        """
        check_is_fitted(self)
        X = as_rows(X)
        n = check_count(n, "n", cells=np.size(X))
        num_samples = check_count(self.num_samples, "num_samples")
        data, of = self._data(X, reset=False, typed=True, schema=self.schema_), len(self.models_)
        drawn: dict[int, np.ndarray] = {}
        for b, (model, key) in enumerate(zip(self.models_, self._keys())):
            if own := range(b, n, of):
                asked = model.rows(data, key=key)
                found = impute(asked, num_samples=num_samples, num_draws=len(own), mean=False)
                drawn |= {k: found.draws[:, place] for place, k in enumerate(own)}
        mine = np.stack([drawn[k] for k in range(n)], axis=1) if drawn else None
        every = pooled_draws(self.pool_, mine, data, n, self.seed_)
        return [self._with(X, data, self._ruled(data, every[:, k], k)) for k in range(n)]

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
        X = as_rows(X)
        data, shares = self._shares(X)
        ends = np.full((2, *data.x.shape), np.nan)
        types = data.schema.types or ()
        for j, (of, one) in enumerate(zip(shares, types)):
            if not one.named:
                ends[:, :, j] = interval(of, one, level)
        ends[:, ~hidden_cells(data)] = np.nan
        if is_frame(X):
            low, high = (ends_like(X, data, one) for one in ends)
            return low, high
        return in_units(ends[0], types), in_units(ends[1], types)

    def _shares(self, X: Any, unknown: str = "error") -> tuple[Dataset, list[np.ndarray]]:
        check_is_fitted(self)
        num_samples = check_count(self.num_samples, "num_samples")
        data = self._data(X, reset=False, typed=True, schema=self.schema_, unknown=unknown)
        types = self.schema_.types or ()
        found = [
            conditionals(model.rows(data, key=key), types, num_samples=num_samples)[0]
            for model, key in zip(self.models_, self._keys())
        ]  # fmt: skip
        mine = [np.mean(of, axis=0) for of in zip(*found)] if found else None
        return data, pooled_shares(self.pool_, mine, data, self.seed_)

    def _ruled(self, data: Dataset, filled: np.ndarray, draw: int | None = None) -> np.ndarray:
        """Fillings that keep the rules of the data that `fit` saw."""
        facts = self.models_[0].facts if self.models_ else {}
        return rules.filled(facts, self.schema_, filled, data.x, hidden_cells(data), draw, data.outside)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "weight_")

    def _keys(self) -> list[Any]:
        """A key for each model: draws of two models share nothing."""
        key = jax.random.key(self.seed_)
        return [key if b == 0 else jax.random.fold_in(key, b) for b in range(len(self.models_))]

    def _with(self, X: Any, data: Dataset, filled: np.ndarray) -> Any:
        """The rows as they came, with these stored cells in the gaps."""
        gone = filled_cells(data, self.models_[0].facts if self.models_ else {}, self.inapplicable)
        types = data.schema.types or ()
        # A column of names of which every cell is missing comes as numbers.
        if has_words(X) or (is_frame(X) and any(one.written not in ("int", "float", "bool") for one in types)):
            return with_filled(X, data, filled, gone)
        made = np.array(with_nan(X), np.float64)
        places = {name: i for i, name in enumerate(names_of(self) or [f"x{i}" for i in range(made.shape[1])])}
        values = in_units(filled, types)
        for j, (column, one) in enumerate(zip(data.schema.columns or (), types)):
            filling = one.decoded(filled[gone[:, j], j]).astype(float) if one.named else values[gone[:, j], j]
            made[gone[:, j], places[column.name]] = filling
        return with_numbers(X, made) if is_frame(X) else made
