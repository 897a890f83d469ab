"""What the estimators share: rows and labels in, units out, and files and pickles that hold no code."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from latens.config import VAEConfig, to_json
from latens.data import Batch, Dataset, encode_labels
from latens.data.conditions import text_of
from latens.data.infer import with_classes
from latens.data.row_fields import refuse_masked, refuse_other_cells, row_weights, unmasked
from latens.errors import ConfigError, DataError, LatensError, ModelFileError, UsageError, nearest, visible
from latens.estimators.frames import as_dataset
from latens.evidence.estimate import finite
from latens.kinds.tables.frame import is_frame, is_pandas
from latens.recipes.custom_parts import unknown_parts
from latens.runtime.compilation import check_process, is_fork
from latens.runtime.safetensors import read_bytes
from latens.trained.inputs import RowsLike, model_file
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later


def labelled(data: Dataset, y: ArrayLike | None, config: VAEConfig) -> Dataset:
    """Add labels to a data set where the recipe uses some."""
    # y: labels; -1 (of numbers), NaN, None or "" is a missing one.
    if config.label.kind in ("none", "beside"):
        return data
    if y is None and config.label.kind == "condition" and data.schema.conditions:
        return data
    if y is None:
        raise UsageError(f"the recipe {config.recipe!r} needs y.", where="y", fix="Call fit(X, y).")
    values = np.asarray(unmasked(y))
    if values.dtype.kind in "if" and (values == -1).any():
        values = np.where(values == -1, np.nan, values.astype(np.float64))
    codes, classes = encode_labels(values, len(data), "y", as_text=is_text(values))
    return dataclasses.replace(data, label=codes, schema=with_classes(data.schema, classes))


def is_text(y: ArrayLike | None) -> bool:
    """Whether labels are strings, which then are classes as they are written."""
    flat = [] if y is None else np.ravel(np.asarray(unmasked(y), object)).tolist()
    return any(isinstance(one, str) for one in flat) and all(isinstance(one, str) or one is None for one in flat)


def classes_of(trained: TrainedModel) -> Shaped[np.ndarray, " C"]:
    """Give the classes of a model in the order of their codes, numbers as numbers and truths as truths."""
    if trained.facts.get("text_labels"):
        return np.array(trained.classes)
    if {*trained.classes} <= {"False", "True"}:
        return np.array(trained.classes) == "True"
    try:
        return np.array([int(name) for name in trained.classes])
    except ValueError:
        return np.array(trained.classes)


def codes_of(trained: TrainedModel, y: ArrayLike | None, n: int) -> Shaped[np.ndarray, " n"] | None:
    """Turn the labels of n rows into the codes of a model's classes."""
    if not trained.preparation.classes:
        return None
    if y is None:
        raise UsageError("a conditional model needs y.", where="y", fix="Give the label of every row.")
    refuse_masked(y, "y")
    try:
        np.shape(y)
    except ValueError:
        raise UsageError("labels are of unequal length.", where="y", fix="Give one for each row.") from None
    values = np.broadcast_to(np.asarray(y), (n,)) if np.ndim(y) == 0 else np.asarray(y)
    if values.shape != (n,):
        raise UsageError(f"labels of shape {values.shape} for {n} rows.", where="y", fix="Give one for each row.")
    return np.array([trained.code_of(text_of(value)) for value in values.tolist()], np.int32)


RandomState: TypeAlias = int | np.random.RandomState | None
"""A seed, a generator to draw one from, or None for numpy's global generator."""

Fitted = TypeVar("Fitted", bound="LatensEstimator")
P = ParamSpec("P")
R = TypeVar("R")


class LatensEstimator(BaseEstimator):
    """Validation of rows, model files and pickling that all estimators share.

    A fitted estimator holds one `TrainedModel` as `model_`; its files and pickles hold no code.

    Attributes:
        model_: The `TrainedModel`: the model with its schema, configuration and facts about its training.
    """

    _config_kind: type
    """The configuration of the models this estimator can hold."""

    model_: TrainedModel
    reasons_: list[str]

    _takes_nan: ClassVar[bool] = False
    """Whether NaN stands for a missing cell; elsewhere it is refused."""

    @property
    def _fraction(self) -> float | None:
        """The share of rows that validates."""
        return None

    # --- rows ---

    def _table(self, X: RowsLike, *, reset: bool, y: ArrayLike | None = "no_validation") -> Any:
        """Checked rows as a table; pictures (n, ...) are flattened, and fit remembers their shape."""
        X = with_nan(X)
        shape = list(getattr(X, "shape", ()))
        pictures = len(shape) > 2 and shape[0] > 0 and 0 not in shape
        if reset:
            self._event_shape = tuple(int(n) for n in shape[1:]) if pictures else None
        if pictures:
            X = np.asarray(X).reshape(shape[0], -1)
        finite_cells = "allow-nan" if self._takes_nan else True
        X = numbers_of(X)
        return validated(self, X, reset=reset, y=y, ensure_all_finite=finite_cells)

    def _read(self, X: RowsLike, y: ArrayLike | None = None, unknown: str = "error") -> tuple[Dataset, Any]:
        """Rows of numbers as a data set with the schema of the model, and their labels."""
        check_is_fitted(self)
        options: dict[str, Any] = {"schema": self.model_.schema, "validation_fraction": self._fraction}
        return as_dataset(self._table(X, reset=False), self._event_shape, **options), y

    def _batch(self, X: RowsLike, y: ArrayLike | None = None, unknown: str = "error") -> Batch:
        """Rows as the model takes them, each with a random key made from its own bytes; `y` where it reads labels."""
        return self._as_batch(*self._read(X, y, unknown))

    def _as_batch(self, data: Dataset, y: ArrayLike | None) -> Batch:
        codes = data.label if y is None and data.label is not None else codes_of(self.model_, y, len(data))
        return self.model_.batch(dataclasses.replace(data, label=codes))

    def _in_units(self, values: np.ndarray, *, draws: bool) -> np.ndarray:
        """What a likelihood gives, in the units and the shape of the rows that fit saw, as float32."""
        values = finite(self.model_.data_units(values, mean=not draws), "rows of the model")
        shape = self.model_.schema.shape if self._event_shape is None else self._event_shape
        return np.asarray(values, np.float32).reshape(len(values), *shape)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_nan
        return tags

    # --- files ---

    @checked_later
    def save(self, path: str | Path) -> Path:
        """Write the fitted model to a file that `load` and the command `latens` can read.

        The file has the safetensors format and contains no code.

        Args:
            path: The file, whose name ends in `.safetensors`.

        Returns:
            The path of the file.

        Raises:
            NotFittedError: `fit` has not been called.
            UsageError: The name of the file does not end in `.safetensors`.
            ModelFileError: An array of the model is not finite.
            ResourceError: The file cannot be written.
        """
        check_is_fitted(self)
        if not str(path).endswith(".safetensors"):
            what = f"{str(path)[:100]!r} is not the name of a file of a model."
            raise UsageError(what, where="path", fix="Give a name that ends in .safetensors.")
        return self.model_.with_facts(estimator=self._facts()).save(path)

    @classmethod
    @checked_later
    def load(cls: type[Fitted], path: str | Path, **parts: Any) -> Fitted:
        """Load a fitted estimator from a file of `save`, or from a model or run of the command `latens`.

        Args:
            path: The file to read, the folder of a run, or `pretrained:NAME`.
            **parts: Objects that you passed to the estimator (`encoder`, `likelihood`, ...) and did not register.

        Returns:
            The fitted estimator.

        Raises:
            ModelFileError: The file is damaged, contains another estimator, needs objects that were not passed, or
                contradicts those that were. The message names the part.
        """
        plain = {name: value for name, value in parts.items() if _is_plain(value)}
        estimator = cls(**{name: value for name, value in parts.items() if name not in plain})
        estimator._restore(estimator._open(read_bytes(model_file(path)), str(path)), str(path))
        for name, value in plain.items():
            if estimator.get_params(deep=False).get(name) != value:
                what = f"{name}={value!r:.100} is not what this model was fitted with."
                raise ModelFileError(what, where=str(path), fix=f"Load it without {name}=.")
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[arg-type]
        if isinstance(state.get("model_"), TrainedModel):
            state["model_"] = state["model_"].to_bytes()
        elif isinstance(state.get("model_"), _Unopened):
            state["model_"] = state["model_"]._raw
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        raw = self.__dict__.get("model_")
        if isinstance(raw, bytes) and is_fork():
            self.model_ = _Unopened(raw)  # type: ignore[assignment]
        elif isinstance(raw, bytes):
            self.model_ = self._open(raw, "the pickle")

    def _open(self, raw: bytes, where: str) -> TrainedModel:
        """The model in these bytes."""
        return TrainedModel.from_bytes(raw, where=where)

    def _facts(self) -> dict[str, Any]:
        return {
            "name": type(self).__name__,
            "params": {**self._plain_params(), "random_state": self.seed_},
            "feature_names": names_of(self),
            "event_shape": None if self._event_shape is None else list(self._event_shape),
            **self._own_facts(),
        }

    def _plain_params(self) -> dict[str, Any]:
        """The parameters that JSON can hold; no file holds code."""
        params = {name: plain_value(value) for name, value in self.get_params(deep=False).items()}
        if isinstance(given := params.get("settings"), Mapping):
            params["settings"] = {name: value for name, value in given.items() if _is_plain(value)}
        return {name: value for name, value in params.items() if _is_plain(value)}

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
        if config is not None and "objective" in known and "objective" in unknown_parts(to_json(config)):
            self.set_params(objective=config.objective.name)  # pyright: ignore - a further fit says what is missing
        self.model_, self.n_features_in_ = trained, int(np.prod(schema.shape)) + len(schema.ignored or ())
        names = facts.get("feature_names")
        if isinstance(names, list) and len(names) == self.n_features_in_ and all(isinstance(n, str) for n in names):
            self.feature_names_in_ = np.array(names, object)
        elif schema.types is not None and not facts:
            # A run of the command line: its file has a column of ids beside, and those that it left out.
            self.n_features_in_, self.feature_names_in_ = len(schema.names), np.array(schema.names, object)
            read = trained.facts.get("read_with")
            beside = (read.get(name) for name in ("id", "weight") if isinstance(read, dict))
            self._beside = {*(schema.ignored or ()), *(name for name in beside if isinstance(name, str))}
        shape = facts.get("event_shape")
        self._event_shape = schema.shape if shape == list(schema.shape) or len(schema.shape) > 1 else None
        seed = params.get("random_state")
        self.seed_ = seed if type(seed) is int and 0 <= seed < 2**32 else 0
        return facts


class _Unopened:
    """A model that came into a fork: a pool waits for ever for a task that fails while it is unpickled."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        check_process()
        raise AttributeError(name)


def names_of(estimator: BaseEstimator) -> list[str] | None:
    """The names of the columns that a fit saw, where they had some."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def with_nan(X: RowsLike) -> Any:
    """Refuse what holds no numbers, and mark as NaN what a masked array masks and pandas' NA."""
    if not is_frame(X):
        if not hasattr(X, "shape") and not isinstance(X, list | tuple) and not hasattr(X, "__array__"):
            fix = "Give an array or a frame, for example latens.read(path).x."
            fix = "Give a frame: pandas.DataFrame(X)." if isinstance(X, Mapping) else fix
            raise DataError(f"a {type(X).__name__} holds no rows.", where="X", fix=fix)
        refuse_other_cells(X, "X")
        return unmasked(np.asarray(X) if isinstance(X, list | tuple) and np.ndim(X[:1]) > 2 else X)
    refuse_twins(X)
    if not is_pandas(X):
        return X
    for name, dtype in zip(X.columns, X.dtypes):
        if getattr(dtype, "kind", "") in "mM":
            what = f"column {str(name)!r} holds {'dates' if dtype.kind == 'M' else 'durations'}, not numbers."
            raise DataError(what, where="X", fix="Leave it out, or turn it into numbers.")
        if getattr(dtype, "kind", "") == "O" or str(dtype) in ("str", "string"):
            refuse_other_cells(X[name].dropna().to_numpy(), f"X, column {str(name)!r}")
    lacking = [dtype.kind == "O" or not isinstance(dtype, np.dtype) for dtype in X.dtypes]
    if not any(lacking) or not X.isna().to_numpy().any():
        return X
    plain = {
        name: X.iloc[:, i].to_numpy(dtype=np.float64, na_value=np.nan) if lacking[i] else X.iloc[:, i]
        for i, name in enumerate(X.columns)
    }
    return type(X)(plain, index=X.index, columns=X.columns)


class _OtherColumns(DataError):
    """scikit-learn's own words, lines and all, which its contract asks for."""

    def __str__(self) -> str:
        return visible(f"{self.where}: {self.message} {self.fix}", keep="\n")


def numbers_of(X: RowsLike) -> Any:
    """A list of numbers as an array; numbers that no double holds are refused."""
    try:
        return np.asarray(X, np.float64) if isinstance(X, list) and np.asarray(X).dtype == object else X
    except OverflowError:
        fix = "Rescale the column that holds it."
        raise DataError("a number is too large for double precision.", where="X", fix=fix) from None


def validated(estimator: BaseEstimator, X: Any, *, reset: bool, **options: Any) -> Any:
    """scikit-learn's `validate_data`, with an error that names the column that lacks, or is not known."""
    try:
        return validate_data(estimator, X, reset=reset, **options)
    except ValueError as error:
        own = names_of(estimator)
        if reset or not own or not is_frame(X) or "feature names should match" not in str(error):
            raise
        given = list(map(str, X.columns))
        lacking, extra = [name for name in own if name not in given], [name for name in given if name not in own]
        what = "has its columns in another order"
        if lacking or extra:
            what = f"lacks the column {lacking[0]!r}" if lacking else f"has a column {extra[0]!r} that fit did not see"
        fix = "Give the columns that fit saw, in their order."
        if lacking and len(extra) == 1:
            fix = nearest(lacking[0], extra)
        raise _OtherColumns(f"{what}. {error}".rstrip(), where="X", fix=fix) from None


_FLAGS = {"batch-size": "batch_size", "condition": "conditions", "set": "settings", "weight": "sample_weight"}
_FLAGS |= {"typed": 'settings["columns"]={}', "column": 'settings["columns"]', "pieces": 'settings["pieces"]'}
_SAME = "epochs given label layer recipe sequence step stride time unknown window"
_FLAGS |= {name: name for name in _SAME.split()}
"""Flags of the command that messages name, and the same arguments of an estimator."""
_FLAG = re.compile(
    rf"--({'|'.join(_FLAGS)})(?![\w-])(?:(?<!typed) (?!out\b|or\b|and\b|says\b)([^\s,;:)']*(?:'[^']*'|\w|=\.\.\.)))?"
)


def _argument(flag: "re.Match[str]", own: Collection[str]) -> tuple[str, str]:
    """The argument for a flag, alone and with its value: `settings={"prior": "vamp"}` for `--set prior=vamp`."""
    name, value = "columns" if flag[1] == "column" and "columns" in own else _FLAGS[flag[1]], flag[2]
    if value is None:
        return name, name
    key, equals, rest = f"{value}{'=...' if flag[1] == 'set' and '=' not in value else ''}".partition("=")
    key, rest = (one if re.match(r"\d|\[|\.\.\.$", one) else f'"{one}"' for one in (key.strip("'"), rest.strip("'")))
    rest = rest.replace('"true"', "True").replace('"false"', "False")
    word = re.sub(r"\.(kind|name|family)$", "", key.strip('"')).rpartition(".")[2]
    for given in (word, f"n_{word}") if flag[1] == "set" else ():
        if given in own:
            return given, f"{given}={rest}"
    return name, f"{name}={{{key}: {rest}}}" if equals else f"{name}={key}"


def arguments_of(estimator: Any) -> set[str]:
    """The arguments that a remedy may name."""
    return {*getattr(estimator, "_asked", estimator.get_params(deep=False))} - {"num_samples"}


def with_arguments(text: str, own: Collection[str]) -> str:
    """A text with arguments for flags."""
    return _FLAG.sub(lambda flag: _argument(flag, own)[1], text)


def _in_python(text: str, own: Collection[str], taken: Collection[str]) -> str:
    """A remedy with arguments for flags, without the clauses of those that a call does not take."""
    kept = []
    for clause in re.split("(?<=[.;]) ", text):
        named = [_argument(flag, own)[0] for flag in _FLAG.finditer(clause)]
        if {*named, *(["unknown"] if "unknown=" in clause else [])} <= {*taken}:
            kept.append(with_arguments(clause, own))
    text = re.sub(";$", ".", " ".join(kept))
    return re.sub("^or (.)", lambda first: first[1].upper(), text)


def whole(fit: Callable[P, R]) -> Callable[P, R]:
    """A fit that leaves its estimator as it was where it does not come to an end, and names arguments, not flags."""

    @wraps(fit)
    def kept(*args: P.args, **options: P.kwargs) -> R:
        estimator: Any = args[0]
        before = dict(vars(estimator))
        try:
            return fit(*args, **options)
        except BaseException as error:
            estimator.__dict__ = before
            if isinstance(error, LatensError):
                own = arguments_of(estimator)
                roles = {*_FLAGS.values()} - {"unknown"} if hasattr(estimator, "_told") else set[str]()
                taken = own | roles | {*signature(fit).parameters}
                taken -= {"label"} if options.get("y") is not None else set[str]()
                error.where = with_arguments(error.where, own)
                error.fix = _in_python(error.fix, own, taken)
            raise

    return kept


def weighed(X: Any, y: Any, sample_weight: ArrayLike | None) -> tuple[Any, Any, np.ndarray | None]:
    """Leave out the rows of weight 0, as if they had not been given; the others have float32 weights."""
    if sample_weight is None:
        return X, y, None
    refuse_masked(sample_weight, "sample_weight")
    n = _num_samples(X)
    weight = row_weights(sample_weight, n, "sample_weight")
    assert weight is not None
    kept = np.flatnonzero(weight > 0)
    if not len(kept):
        what = f"the weights of all {n} rows are 0."
        raise DataError(what, where="sample_weight", fix="Give some a weight above zero.")
    if len(kept) < n:
        X, y = (None if values is None else _safe_indexing(values, kept) for values in (X, y))
    return X, y, weight[kept]


def weighted_mean(values: np.ndarray, sample_weight: ArrayLike | None) -> float:
    """The mean of one value for each row, by weight."""
    refuse_masked(sample_weight, "sample_weight")
    weight = row_weights(sample_weight, len(values), "sample_weight")
    if weight is not None and not weight.any():
        raise DataError("all weights are 0.", where="sample_weight", fix="Give some a weight above zero.")
    values = np.asarray(values, np.float64)
    if weight is not None:  # what a row of weight 0 has does not matter, infinite as it may be
        values, weight = values[weight > 0], weight[weight > 0].astype(np.float64)
    return float(np.average(values, weights=weight))


def own_columns(estimator: LatensEstimator, X: RowsLike, reset: bool) -> Any:
    """The columns of a frame but for those that the file of a run has beside, as ids; none are left out by a fit."""
    refuse_twins(X)
    if reset:
        estimator._beside = set()
    beside = getattr(estimator, "_beside", ())
    return X[[name for name in X.columns if str(name) not in beside]] if beside and is_frame(X) else X


def refuse_twins(X: RowsLike) -> None:
    """Refuse a frame without columns, or with two of one name, which scikit-learn does not read."""
    if is_frame(X) and not len(X.columns):
        raise DataError("the frame has no columns.", where="X", fix="Give one column or more.")
    if is_frame(X) and (twins := [name for name, n in Counter(map(str, X.columns)).items() if n > 1]):
        raise DataError(f"two columns are named {twins[0]!r}.", where="X", fix="Give every column a name of its own.")


def plain_value(value: object) -> Any:
    """Turn NumPy scalars and arrays into Python's own numbers and lists."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def given_settings(settings: Mapping[str, Any] | None) -> dict[Any, Any]:
    """The options that a user gave by name, as plain values; none for None."""
    if not isinstance(settings, Mapping | None) or not all(isinstance(name, str) for name in settings or ()):
        fix = 'Give for example {"training.steps": 100}.'
        raise ConfigError(f"must be options by name, not {settings!r:.100}.", where="settings", fix=fix)
    if "training.seed" in (settings or {}):
        what = "the seed of an estimator is its argument random_state."
        raise ConfigError(what, where='settings["training.seed"]', fix="Give random_state=...")
    return {name: plain_value(value) for name, value in (settings or {}).items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(each) for name, each in value.items())
    if type(value) in (tuple, list):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str | None)


def _tuples(value: object) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def refuse_words(**given: object) -> None:
    """Refuse text or a set where an argument is a number or several; text in `settings` is read as a number."""
    for name, value in given.items():
        if isinstance(value, set | frozenset):
            raise ConfigError("a set has no order.", where=name, fix="Give a list.")
        if any(isinstance(one, str) for one in (value if isinstance(value, list | tuple) else (value,))):
            raise ConfigError(f"{value!r:.100} is text, not a number.", where=name, fix="Write it without quotes.")


def truth(value: object, name: str) -> bool:
    """Give the truth value of an argument, which whole numbers may stand for."""
    if not isinstance(value, bool | np.bool_ | int | np.integer):
        raise ConfigError(f"{value!r:.100} is neither true nor false.", where=name, fix="Give True or False.")
    return bool(value)


_SEEDS = "Give a whole number from 0 to 4294967295, a numpy.random.RandomState, or None."


def seed_of(random_state: RandomState) -> int:
    """Turn a `random_state` of scikit-learn into a whole number."""
    # random_state: a seed from 0 to 2**32 - 1, which is returned; a generator, from which one is drawn; or None for
    # numpy's global generator.
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**32:
            what = f"random_state must lie between 0 and 2**32 - 1, and is {random_state}."
            raise UsageError(what, where="random_state", fix=_SEEDS)
        return int(random_state)
    if isinstance(random_state, bool | np.bool_):
        raise UsageError(f"{random_state!r} is not a seed.", where="random_state", fix=_SEEDS)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise UsageError(f"{error}.", where="random_state", fix=_SEEDS) from None


def history_lists(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turn records into columns of equal length."""
    names = dict.fromkeys(name for record in records for name in record if name != "event")
    return {name: [record.get(name) for record in records] for name in names}


def are_columns(value: object) -> bool:
    """Whether a value is a dict of lists of equal length, as `history_lists` makes."""
    if not isinstance(value, dict) or not all(isinstance(column, list) for column in value.values()):
        return False
    return len({len(column) for column in value.values()}) <= 1
