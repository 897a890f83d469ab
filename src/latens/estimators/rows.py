"""What the estimators of one task share: a model of the rows of an array, or of a frame with columns of any kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from latens.config import VAEConfig, override
from latens.data import TRAIN, VALIDATION, Dataset, Schema
from latens.data.batches import hash_rows
from latens.data.declared import check_declared, declared_columns
from latens.data.infer import find_missing
from latens.data.mixed import mixed_schema, stored_columns
from latens.data.raw import Raw
from latens.data.readers.tables import from_words, is_frame
from latens.data.rows import row_keys
from latens.data.sources import hints, read_columns
from latens.errors import ConfigError
from latens.estimators.base import LEAST_ROWS_TO_VALIDATE, as_dataset, with_nan
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

    def _data(self, X: Any, *, reset: bool, typed: bool, schema: Schema | None = None, unseen: bool = False) -> Dataset:
        """Rows as a data set: columns of types, or of numbers where `typed` is False and there is no text."""
        typed = typed or self.columns is not None
        x: Any
        said = declared_columns(self.columns) if schema is None and self.columns is not None else {}
        if schema is not None and schema.types is not None:
            said = hints(schema)
        if has_words(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            raw = read_columns(X, said)
            x, texts = raw.x, raw.texts or {}
            names = list(raw.columns or ())
        else:
            least = {"ensure_all_finite": "allow-nan", "dtype": np.float64, "ensure_min_samples": 2 if reset else 1}
            x = validate_data(self, with_nan(X), reset=reset, **least)
            own = getattr(self, "feature_names_in_", None)
            if not typed:
                named = None if own is None else [str(name) for name in own]
                return as_dataset(x, None, names=named, validation_fraction=0.1, schema=schema)
            names = [f"x{i}" for i in range(x.shape[1])] if own is None else [str(name) for name in own]
            x, texts = from_words({name: x[:, i] for i, name in enumerate(names)}, said, "X")
        if schema is None:
            check_declared(names, said, "X")
        find_missing(Raw(x, columns=tuple(names)), np.arange(len(x)), "nan", "X")  # infinities are refused
        observed = ~np.isnan(x)
        split = np.full(len(x), TRAIN, np.uint8)
        if len(x) >= LEAST_ROWS_TO_VALIDATE:
            split[row_keys(np.arange(len(x))).astype(np.float64) / 2**32 < 0.1] = VALIDATION
        if schema is None:
            schema = mixed_schema(x, split == TRAIN, names, observed, texts, "X", said)
        strange: list[tuple[int, int, str]] | None = [] if unseen else None
        cells, shown, outside = stored_columns(x, names, observed, texts, schema, "X", strange)
        stored = np.ascontiguousarray(cells, np.float32)
        beside = {"mask": shown, "outside": outside, "unseen": tuple(strange or ())}
        return Dataset(stored, schema, hash_rows(stored), np.arange(len(x)), split, "X", **beside)

    def _train(self, data: Dataset, seed: int, usual: Mapping[str, Any] | None = None) -> TrainedModel:
        """Train on rows; `settings` of the user come before the usual ones of a task."""
        config = self.recipe if isinstance(self.recipe, VAEConfig) else get_recipe(self.recipe).config
        if not isinstance(config, VAEConfig):
            raise ConfigError(f"the recipe {self.recipe!r} is a classifier.", where="recipe", fix="Use a VAE's recipe.")
        config = override(config, {"training.seed": seed, **(usual or {}), **dict(self.settings or {})})
        return train(prepare(config, data))[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def has_words(X: Any) -> bool:
    """Say whether rows are a frame of which a column holds text, names or dates.

    Args:
        X: Rows.

    Returns:
        Whether one does; False for arrays.
    """
    if not is_frame(X):
        return False
    if not hasattr(X, "isna"):  # of polars
        return not all(dtype.is_numeric() for dtype in X.dtypes)
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not all(is_numeric_dtype(dtype) and not is_bool_dtype(dtype) for dtype in X.dtypes)
