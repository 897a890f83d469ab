"""What the estimators of one task share: a model of the rows of an array, or of a frame with columns of any kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from latens.config import VAEConfig, override
from latens.data import Dataset, Schema
from latens.data.arrays import as_dataset
from latens.data.door import read_columns
from latens.errors import ConfigError
from latens.estimators.base import given_settings, names_of, refuse_twins, validated, with_nan
from latens.estimators.columns import has_words, mixed_dataset, typed_rows
from latens.kinds.tables.declared import check_declared, declared_columns
from latens.kinds.tables.frame import as_rows
from latens.kinds.tables.typed import known_columns
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train
from latens.workflow.trained import TrainedModel


class RowsEstimator(BaseEstimator):
    """Rows of an array or a frame, and a model trained on them."""

    model_: TrainedModel

    columns: Any
    recipe: str | VAEConfig
    settings: Mapping[str, Any] | None

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "model_")

    def _data(
        self, X: Any, *, reset: bool, typed: bool, schema: Schema | None = None, unknown: str = "error"
    ) -> Dataset:
        """Rows as a data set: columns of types, or of numbers where `typed` is False and there is no text."""
        X = as_rows(X)
        refuse_twins(X)
        typed = typed or self.columns is not None
        said = declared_columns(self.columns) if schema is None and self.columns is not None else {}
        if schema is not None and schema.types is not None:
            said = known_columns(schema)
        if has_words(X):
            validated(self, X, reset=reset, skip_check_array=True)
            raw = read_columns(X, said)
        else:
            least = {"ensure_all_finite": "allow-nan", "dtype": np.float64, "ensure_min_samples": 2 if reset else 1}
            x = validated(self, with_nan(X), reset=reset, **least)
            if not typed:
                return as_dataset(x, None, names=names_of(self), validation_fraction=0.1, schema=schema)
            names = names_of(self) or [f"x{i}" for i in range(x.shape[1])]
            raw = typed_rows(x, names, said)
        if schema is None:
            check_declared(raw.columns or (), said, "X")
        return mixed_dataset(raw, schema=schema, said=said, unknown=unknown)

    def _train(self, data: Dataset, seed: int, usual: Mapping[str, Any] | None = None) -> TrainedModel:
        """Train on rows; `settings` of the user come before the usual ones of a task."""
        config = self.recipe if isinstance(self.recipe, VAEConfig) else get_recipe(self.recipe).config
        if not isinstance(config, VAEConfig):
            raise ConfigError(f"the recipe {self.recipe!r} is a classifier.", where="recipe", fix="Use a VAE's recipe.")
        config = override(config, {"training.seed": seed, **(usual or {}), **given_settings(self.settings)})
        return train(prepare(config, data, settings=given_settings(self.settings)))[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
