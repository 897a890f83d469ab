"""What the estimators share: rows in, units out, and files and pickles that hold no code."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from latens.data import TRAIN, VALIDATION, Batch, Dataset, Schema, infer_schema
from latens.data.batches import hash_rows
from latens.data.infer import conform, store
from latens.data.readers.tables import is_frame
from latens.data.rows import row_keys, unmasked
from latens.data.sources import fill
from latens.errors import ModelFileError, UsageError
from latens.estimators.labels import codes_of
from latens.evaluation.finite import finite
from latens.io.safetensors import read_bytes
from latens.training import Event
from latens.workflow.trained import TrainedModel

LEAST_ROWS_TO_VALIDATE = 50
"""With fewer rows than this all of them train."""


RandomState: TypeAlias = int | np.random.RandomState | None
"""A seed, a generator to draw one from, or None for numpy's global generator."""

CODE = ("encoder", "decoder", "callbacks")
"""Parameters that are code: no file holds them."""

Fitted = TypeVar("Fitted", bound="LatensEstimator")


class LatensEstimator(BaseEstimator):
    """Validation, saving and pickling. A fitted estimator holds one `TrainedModel` as `model_`."""

    _config_kind: type
    """The configuration of the models this estimator can hold."""

    model_: TrainedModel

    _takes_nan: ClassVar[bool] = False
    """Whether NaN stands for a missing cell; elsewhere it is refused."""

    # --- rows ---

    def _table(self, X: Any, *, reset: bool, y: Any = "no_validation") -> Any:
        """Checked rows as a table; pictures (n, ...) are flattened, and fit remembers their shape."""
        X = with_nan(X)
        shape = list(getattr(X, "shape", ()))
        pictures = len(shape) > 2 and shape[0] > 0 and 0 not in shape
        if reset:
            self._event_shape = tuple(int(n) for n in shape[1:]) if pictures else None
        if pictures:
            X = np.asarray(X).reshape(shape[0], -1)
        return validate_data(self, X, y, reset=reset, ensure_all_finite="allow-nan" if self._takes_nan else True)

    def _batch(self, X: Any, y: Any = None) -> Batch:
        """Rows as the model takes them, each with a random key made from its own bytes; `y` where it reads labels."""
        check_is_fitted(self)
        schema = self.model_.schema
        x = self._table(X, reset=False).reshape(-1, *schema.shape)
        observed = observed_cells(x)
        conform(x, None, schema, observed, where="X")
        stored = store(fill(x, observed, np.ones(len(x), bool), schema), schema, "X")
        batch = self.model_.batch(stored, label=codes_of(self.model_, y, len(x)))
        return batch if observed is None else dataclasses.replace(batch, mask=observed)

    def _in_units(self, values: np.ndarray, *, draws: bool) -> np.ndarray:
        """What a likelihood gives, in the units and the shape of the rows that fit saw, as float32."""
        values = finite(self.model_.data_units(values, mean=not draws), "rows of the model")
        shape = self.model_.schema.shape if self._event_shape is None else self._event_shape
        return np.asarray(values, np.float32).reshape(len(values), *shape)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "model_") or hasattr(self, "densities_")

    # --- files ---

    def save(self, path: str | Path) -> Path:
        """Write one `.safetensors` file that `load`, and the command `latens`, can read; it holds no code."""
        check_is_fitted(self)
        return self._with_facts().save(path)

    @classmethod
    def load(cls: type[Fitted], path: str | Path, **networks: Any) -> Fitted:
        """A fitted estimator from a file of `save`, or from a model that the command trained.

        **Arguments:** `encoder` and `decoder`, for a model that was fitted with networks of your own; a classifier of
        such models takes `density=VAE(encoder=..., decoder=...)`.
        **Raises:** ModelFileError saying which part of the file is wrong.
        """
        estimator = cls(**networks)
        estimator._restore(estimator._open(read_bytes(path), str(path)), str(path))
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[arg-type]
        if isinstance(state.get("model_"), TrainedModel):
            state["model_"] = state["model_"].to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        raw = self.__dict__.get("model_")
        if isinstance(raw, bytes):
            self.model_ = self._open(raw, "the pickle")

    def _open(self, raw: bytes, where: str) -> TrainedModel:
        """The model in these bytes."""
        return TrainedModel.from_bytes(raw, where=where)

    def _with_facts(self) -> TrainedModel:
        """The model with what only the estimator knows."""
        return self.model_.with_facts(estimator=self._facts())

    def _facts(self) -> dict[str, Any]:
        names = getattr(self, "feature_names_in_", None)
        return {
            "name": type(self).__name__,
            "params": {**self._plain_params(), "random_state": self.seed_},
            "feature_names": None if names is None else [str(name) for name in names],
            "event_shape": None if self._event_shape is None else list(self._event_shape),
            **self._own_facts(),
        }

    def _plain_params(self) -> dict[str, Any]:
        """The parameters that JSON can hold."""
        plain = (bool, int, float, str, tuple, list, dict, type(None))
        params = {name: plain_value(value) for name, value in self.get_params(deep=False).items()}
        return {name: value for name, value in params.items() if isinstance(value, plain) and name not in CODE}

    def _own_facts(self) -> dict[str, Any]:
        return {}

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        """Become the estimator that was saved; the facts come from a file and are believed only where they fit."""
        config, schema = trained.config, trained.schema
        if config is not None and not isinstance(config, self._config_kind):
            fix = f"Load it with {'VAE' if self._config_kind.__name__ != 'VAEConfig' else 'GenerativeClassifier'}."
            raise ModelFileError(f"the file holds no {type(self).__name__}.", where=where, fix=fix)
        facts = trained.facts.get("estimator", {})
        facts = facts if isinstance(facts, dict) else {}
        if facts.get("name", type(self).__name__) != type(self).__name__:
            name = str(facts["name"])[:50]
            raise ModelFileError(f"the file holds a {name}.", where=where, fix=f"Use {name}.load(path).")
        params = facts.get("params")
        params = params if isinstance(params, dict) else {} if config is None else {"recipe": config.recipe}
        known = self._plain_params()
        self.set_params(**{k: _tuples(v) for k, v in params.items() if k in known})
        self.model_, self.n_features_in_ = trained, int(np.prod(schema.shape))
        names = facts.get("feature_names")
        if isinstance(names, list) and len(names) == self.n_features_in_ and all(isinstance(n, str) for n in names):
            self.feature_names_in_ = np.array(names, object)
        shape = facts.get("event_shape")
        self._event_shape = schema.shape if shape == list(schema.shape) or len(schema.shape) > 1 else None
        seed = params.get("random_state")
        self.seed_ = seed if type(seed) is int and 0 <= seed < 2**32 else 0
        return facts


def with_nan(X: Any) -> Any:
    """Missing cells as NaN: those that a masked array masks, and pandas' NA in columns of numbers or of objects."""
    if not is_frame(X) or not hasattr(X, "isna"):
        return unmasked(X)
    lacking = [dtype.kind == "O" or not isinstance(dtype, np.dtype) for dtype in X.dtypes]
    if not any(lacking) or not X.isna().to_numpy().any():
        return X
    plain = {
        name: X.iloc[:, i].to_numpy(dtype=np.float64, na_value=np.nan) if lacking[i] else X.iloc[:, i]
        for i, name in enumerate(X.columns)
    }
    return type(X)(plain, index=X.index, columns=X.columns)


def plain_value(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's own."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def seed_of(random_state: Any) -> int:
    """A whole number for `random_state`: itself, or drawn from the generator (None: numpy's global one)."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**32:
            what = f"random_state must lie between 0 and 2**32 - 1, and is {random_state}."
            raise UsageError(what, where="random_state")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def as_dataset(
    x: np.ndarray,
    shape: Sequence[int] | None,
    *,
    family: str = "auto",
    names: Sequence[str] | None = None,
    validation_fraction: float | None = None,
    schema: Schema | None = None,
) -> Dataset:
    """Rows of a table as a data set whose kind of cell suits the likelihood `family`.

    **Arguments:** `x` (n, D); `shape` of one picture, or None for a table; `names` of the columns;
    `validation_fraction` of the rows validate, chosen by a hash of their position (from 50 rows on); `schema` of a
    larger table that these rows are from (None: told from the rows).
    """
    n = len(x)
    picked = row_keys(np.arange(n)).astype(np.float64) / 2**32
    fraction = validation_fraction if validation_fraction and n >= LEAST_ROWS_TO_VALIDATE else 0.0
    split = np.where(picked < fraction, VALIDATION, TRAIN).astype(np.uint8)
    rows = x if shape is None else x.reshape(n, *shape)
    observed = observed_cells(rows)
    seen = x if observed is None else x[observed.reshape(x.shape)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    whole = x.dtype.kind in "biu" or bool(np.all(seen == np.floor(seen)))
    if family == "categorical" and whole and observed is None and low >= 0 and high <= 255:
        rows = rows.astype(np.uint8)
    if schema is None:
        titles = None if shape is not None else names
        schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X")
        if family in ("bernoulli", "continuous-bernoulli") and schema.kind == "real" and low >= 0 and high <= 1:
            schema = Schema(schema.shape, "unit")
    stored = store(fill(rows, observed, split == TRAIN, schema), schema, "X")
    return Dataset(stored, schema, hash_rows(stored), np.arange(n), split, "X", mask=observed)


def observed_cells(x: np.ndarray) -> np.ndarray | None:
    """True where a cell is not NaN; None where none is."""
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(0, bool)
    return ~missing if missing.any() else None


def columns_of(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Records as a dict of lists of equal length, in the order in which names appear; None where a record lacks one."""
    names = dict.fromkeys(name for record in records for name in record if name != "event")
    return {name: [record.get(name) for record in records] for name in names}


def are_columns(value: Any) -> bool:
    """Whether this is a dict of lists of equal length, as `columns_of` makes."""
    if not isinstance(value, dict) or not all(isinstance(column, list) for column in value.values()):
        return False
    return len({len(column) for column in value.values()}) <= 1


def check_count(n: Any, where: str) -> int:
    """A number of rows to draw. **Raises:** UsageError unless it is a whole number of 1 or more."""
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise UsageError(f"must be a whole number of 1 or more, not {n!r}.", where=where, fix="Ask for 1 row or more.")
    return int(n)


def print_epochs(event: Event) -> None:
    """A callback that writes one line an epoch to stderr."""
    if event.kind == "epoch":
        numbers = [f"{name} {value:.6g}" for name, value in event.record.items() if isinstance(value, int | float)]
        print(", ".join(numbers), file=sys.stderr)
