"""A plain autoencoder as a scikit-learn transformer, and the training of both autoencoders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from dataclasses import replace as with_fields
from typing import Any, ClassVar, TypeAlias, TypeVar

import jax
import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, _safe_indexing, check_array
from sklearn.utils.validation import _num_samples, check_is_fitted

from latens.config import Config, VAEConfig, override
from latens.data import Dataset, Schema
from latens.data.files import strings_of
from latens.data.loading import refuse_unknown
from latens.data.row_fields import refuse_masked, refuse_other_cells
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError, DataError
from latens.estimators.base import (
    LatensEstimator,
    RandomState,
    are_columns,
    arguments_of,
    codes_of,
    given_settings,
    history_lists,
    is_text,
    labelled,
    names_of,
    own_columns,
    plain_value,
    refuse_words,
    seed_of,
    truth,
    validated,
    weighed,
    weighted_mean,
    whole,
    with_arguments,
    with_nan,
)
from latens.estimators.frames import (
    ROLES,
    Named,
    apart,
    as_dataset,
    as_fitted,
    as_named,
    coming,
    condition_cells,
    conditioned,
    dataset_of,
    is_long,
    known_apart,
    long_dataset,
    roles_of,
)
from latens.evidence.batched import map_rows
from latens.evidence.estimate import finite
from latens.fitting import prepare, train
from latens.kinds.tables.frame import is_frame, is_pandas
from latens.latents.codes import decode, encode
from latens.models import AbstractHead, AbstractModelPrior
from latens.objectives import AbstractObjective
from latens.objectives.elbo import check_schedule
from latens.recipes import get_recipe
from latens.recipes.custom_parts import Network, PartName, settings_of
from latens.recipes.likelihoods import kinds_of
from latens.runtime.compilation import check_count, check_process, keep_programs
from latens.trained.inputs import RowsLike
from latens.trained.measurement import at_code
from latens.trained.prior_refit import refit_text
from latens.trained.trained_model import TrainedModel
from latens.training import Callback
from latens.typing import Key, checked_later

Likelihood: TypeAlias = str | AbstractHead | Callable[..., AbstractHead]
Prior: TypeAlias = str | AbstractDistribution | AbstractModelPrior | Callable[..., Any] | None
Posterior: TypeAlias = str | AbstractHead | Callable[..., AbstractHead] | None
Objective: TypeAlias = str | AbstractObjective | type[AbstractObjective] | None
"""What stands for a part of a model: its name, an object, or what makes one."""

Fitted = TypeVar("Fitted", bound="BaseAutoencoder")


@dataclass(eq=False, repr=False)
class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, LatensEstimator):
    """What `Autoencoder` and `VAE` share: training, codes of rows, and rows of codes."""

    _config_kind = VAEConfig
    _fixed_settings: ClassVar[dict[str, Any]] = {}
    """Options that are set before those of the user."""

    _further: ClassVar[dict[str, Any]] = {
        "callbacks": None,
        "columns": None,
        "model": None,
        "num_samples": None,
        "pieces": None,
        "validation_fraction": 0.1,
        "warm_start": False,
    }
    """Options of the estimator that are given among the settings, with their defaults."""

    latent_dim: int | None = None
    _: KW_ONLY
    hidden: int | Sequence[int] | None = None
    likelihood: Likelihood = "auto"
    recipe: str | VAEConfig = "default"
    objective: Objective = None
    epochs: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    settings: Mapping[str, Any] | None = None
    encoder: str | Network | None = None
    decoder: str | Network | None = None
    random_state: RandomState = None

    # --- fit ---

    def fit(self: Fitted, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> Fitted:
        """Train the model on rows.

        Args:
            X: Rows: an array of shape (n, columns), or (n, ...) for pictures; a frame of pandas, Polars or Arrow, also
                with text and dates; a list of records or strings; sequences of different lengths as {id: array of shape
                (steps, columns)} or a list of arrays; or an AnnData object. To assign roles to columns, pass
                `latens.Table(frame, label="species", condition=["year"])`, `latens.Steps(frame, sequence="patient",
                time="week")` or `latens.Counts(adata, layer="counts")`. For counts of cells, the default recipe is
                "cells".
            y: Labels, shape (n,), if the recipe uses labels. -1, NaN, None and "" are missing labels. Otherwise
                ignored.
            sample_weight: Weights of the rows, at least 0, shape (n,); 2 counts a row twice. None: all are 1.

        Returns:
            The estimator itself, fitted.

        Raises:
            ConfigError: An option does not suit the recipe or the data (a ValueError with a remedy).
            DataError: The rows cannot be used (a ValueError with a remedy).
            UsageError: The recipe needs `y` and none is given.
        """
        start = getattr(self, "model_", None) if truth(self._option("warm_start"), "warm_start") else None
        return self._fit(X, y=y, start=start, sample_weight=sample_weight)

    def partial_fit(
        self: Fitted, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Fitted:
        """Train for one epoch on the given rows, from the current weights or, in the first call, from new ones.

        The rows of the first call determine the schema and the scale of the columns. Each call starts a new optimiser,
        and no rows are used for validation.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, with the columns of the first call.
            y: Labels, shape (n,), if the recipe uses labels.
            sample_weight: Weights of the rows, at least 0, shape (n,); 2 counts a row twice. None: all are 1.

        Returns:
            The estimator itself, fitted.

        Raises:
            ConfigError: An option does not suit the recipe or the data (a ValueError with a remedy).
            DataError: The rows cannot be used, or have other columns (a ValueError with a remedy).
        """
        budget = {"training.epochs": 1.0, "training.steps": None, "training.minutes": None}
        once: dict[str, Any] = {**budget, "data.validation": "none", "training.patience": None}
        check_process()
        start = getattr(self, "model_", None)
        if start is not None:  # or every call would end within its warm-up
            once["optimizer.warmup_steps"] = 0
        return self._fit(X, y=y, start=start, once=once, sample_weight=sample_weight)

    @whole
    def _fit(
        self: Fitted,
        X: RowsLike,
        y: ArrayLike | None = None,
        start: TrainedModel | None = None,
        once: Mapping[str, Any] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Fitted:
        """`fit`, also from a trained model, with settings of this call."""
        fraction = plain_value(self._fraction)
        number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
        if fraction is not None and not (number and 0.0 <= fraction < 1.0):
            what = f"must be a share from 0 and below 1, or None, not {fraction!r:.100}."
            raise ConfigError(what, where="validation_fraction", fix="Give for example 0.1.")
        if (count := self._option("num_samples")) is not None:
            check_count(count, "num_samples")
        keep_programs()
        X, named = roles_of(X)
        if start is None or once is None:
            self.named_ = named
        fresh = start is None
        cells: dict[str, Any] = {}
        known = None if start is None else start.schema
        long = is_long(X, known)
        if long:
            weight = None
            data = self._long(X, y, sample_weight, known)
        else:
            X, y, sample_weight = apart(X, y, sample_weight, self._told)
            X, y, weight = weighed(X, y, sample_weight)
            X, cells = condition_cells(X, self._told.conditions)
            data = self._mixed(X, fresh, known)
        x: Any = self._table(X, reset=fresh) if data is None else None
        if start is None:
            self.seed_ = seed_of(self.random_state)
        config = override(self._configure(self.seed_), dict(once or {}))
        if data is None:
            told = {"schema": known, "validation_fraction": self._fraction, "names": names_of(self)}
            data = as_dataset(x, self._event_shape, kinds=kinds_of(config.likelihood), **told)
        if not long:
            data = conditioned(with_fields(data, weight=weight), cells, fresh)
            data = labelled(data, y, config)
        experiment = prepare(config, data, start=start, settings={**self._said(), **(once or {})})
        trained, result = train(experiment, callbacks=self._checked_callbacks())
        masked = [f"{np.ma.count_masked(X):,} masked cells of X count as missing"] if np.ma.is_masked(X) else []
        trained = trained.with_facts(text_labels=True) if trained.classes and is_text(y) else trained
        fitted = [refit_text(trained)] * trained.facts.get("refit", {}).get("kept", False)
        own, self.model_ = arguments_of(self), trained
        self.reasons_ = [with_arguments(reason, own) for reason in (*masked, *experiment.reasons, *fitted)]
        self.history_: dict[str, list[Any]] = history_lists(result.history)
        self._count_latents(experiment.config)
        return self

    @property
    def _told(self) -> Named:
        """What the rows of `fit` said of columns by name."""
        return getattr(self, "named_", Named())

    def _long(self, X: RowsLike, y: ArrayLike | None, weight: ArrayLike | None, schema: Schema | None) -> Dataset:
        """Rows of a long table, of arrays of unlike length, or of AnnData as a data set."""
        fraction = self._fraction or 0.0
        data = long_dataset(X, y, weight, self._told, schema=schema, validation_fraction=fraction)
        if schema is None:
            self._event_shape, self.n_features_in_ = None, data.schema.shape[-1]
        return data

    def _mixed(self, X: RowsLike, reset: bool, schema: Schema | None, unknown: str = "error") -> Dataset | None:
        """Rows of text, or of a frame with columns of several kinds, as a data set; None for numbers alone."""
        X = own_columns(self, X, reset)
        strings, typed, said = strings_of(X), schema is not None and schema.types is not None, dict[str, Any]()
        if schema is None:
            columns = self._told.columns if self._told.columns is not None else self._option("columns")
            said = {"columns": columns, "derive": self._told.derive}
            said = {"pieces": self._option("pieces")} if strings is not None else said
        asked = typed or said.get("columns") is not None or bool(said.get("derive"))
        if strings is None and not asked and (schema is not None or not is_frame(X)):
            return None
        if strings is None and not is_frame(X):
            numbers: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "input_name": "X"}
            X = check_array(with_nan(X), **numbers)
        table = X if is_frame(X) else strings or as_named(X, names_of(self) if schema else None)
        rows = coming(table, None if schema is None else replace(schema, conditions=None), unknown, **said)
        if strings is None and rows.raw.kinds is None and not asked:
            return None
        if strings is None:
            validated(self, X, reset=reset, skip_check_array=True)
        if reset:
            self._event_shape = None
            self._template = (X.iloc[:0] if is_pandas(X) else X.clear()) if is_frame(X) else None
            self.n_features_in_ = 1 if strings is not None else self.n_features_in_
        data = dataset_of(rows, self._fraction or 0.0)
        data = data if schema is None else with_fields(data, schema=schema)
        if not self._takes_nan and data.mask is not None and not data.mask.all():
            row, column = map(int, np.argwhere(~data.mask)[0])
            name = data.schema.names[column]
            where = f"X, row {row}, column {name!r}"
            raise DataError("a cell is missing, which an autoencoder does not take.", where=where, fix="Use VAE.")
        return data

    @whole
    def _read(self, X: RowsLike, y: ArrayLike | None = None, unknown: str = "error") -> tuple[Dataset, Any]:
        """Rows that come after the fit as a data set with the schema of the model, and their labels."""
        check_is_fitted(self)
        refuse_unknown(unknown)
        (X, _), schema = roles_of(X), self.model_.schema
        if is_long(X, schema):
            data = self._long(X, None, None, schema)
            return data, y
        X, y, cells = known_apart(X, y, self._told, schema)
        data = self._mixed(X, False, schema, unknown)
        if data is None:
            data = super()._read(X)[0]
        if data.kept is not None:
            cells = {name: column[data.kept] for name, column in cells.items()}
            y = _safe_indexing(y, data.kept) if y is not None and np.shape(y)[:1] == (_num_samples(X),) else y
        return conditioned(data, cells, False), y

    def _in_units(self, values: np.ndarray, *, draws: bool) -> Any:
        """As of all estimators; strings of text, of columns of several kinds a frame like the one that `fit` saw."""
        rows = super()._in_units(values, draws=draws)
        return as_fitted(rows, self.model_.schema, getattr(self, "_template", None))

    def _checked_callbacks(self) -> Sequence[Callback]:
        given: Any = () if self._option("callbacks") is None else self._option("callbacks")
        if not isinstance(given, Sequence) or not all(map(callable, given)):
            what = f"must be a list of functions of an event, not {str(given)[:100]!r}."
            raise ConfigError(
                what,
                where="callbacks",
                fix='Give for example settings={"callbacks": [lambda event: print(event.record)]}.',
            )
        return given

    def _configure(self, seed: int) -> VAEConfig:
        parts = self._parts()
        recipe = self.recipe
        if "model" in parts:
            self._refuse_beside_model()
            recipe = settings_of("model", parts.pop("model"))["recipe"]
        config = recipe if isinstance(recipe, VAEConfig) else get_recipe(recipe).config
        if not isinstance(config, VAEConfig):
            what = f"the recipe {recipe!r} is a classifier, not an autoencoder."
            raise ConfigError(what, where="recipe", fix="Use GenerativeClassifier.")
        named = {name: value for part, what in parts.items() for name, value in settings_of(part, what).items()}
        words = {name.rpartition(".")[2]: value for name, value in self._chosen().items()}
        if isinstance(words.get("beta"), str):  # a schedule
            check_schedule(words.pop("beta"), "beta")
        refuse_words(**words)
        if self.epochs is not None or self.steps is not None:
            # A budget of one's own replaces the recipe's.
            config = replace(config, training=replace(config.training, epochs=None, steps=None, minutes=None))
        # An estimator brings no test rows: those of `validation_fraction` validate.
        usual = {"training.seed": seed, "data.validation": "split", **self._fixed_settings}
        return override(config, {**usual, **named, **self._said()})

    @property
    def _fraction(self) -> float | None:
        return self._option("validation_fraction")

    def _option(self, name: str) -> Any:
        """An option of the estimator that may be given among the settings."""
        return given_settings(self.settings).get(name, self._further[name])

    def _chosen(self) -> dict[str, Any]:
        return {  # the options that have a word of their own here
            "posterior.latent_dim": self.latent_dim,
            "network.hidden": self.hidden,
            "training.batch_size": self.batch_size,
            "optimizer.learning_rate": self.learning_rate,
            "training.epochs": self.epochs,
            "training.steps": self.steps,
        }

    def _said(self) -> dict[str, Any]:
        """What the user set, by name."""
        given = {name: plain_value(value) for name, value in self._chosen().items() if value is not None}
        further = {name: one for name, one in given_settings(self.settings).items() if name not in self._further}
        if not isinstance(further.get("optimizer", ""), str | Mapping):
            further.pop("optimizer")
        parts = {name for part, what in self._parts().items() if part != "model" for name in settings_of(part, what)}
        parts |= {name.partition(".")[0] for name in parts if name.endswith((".kind", ".name", ".family"))}
        if twice := sorted((given.keys() | parts) & further.keys()):
            argument = twice[0].partition(".")[0 if twice[0] in parts else 2]
            what = f"the argument {argument} and settings[{twice[0]!r}] set the same option."
            raise ConfigError(what, where="settings", fix="Leave one of them out.")
        return {**given, **further}

    def _parts(self) -> dict[PartName, Any]:
        """What was given for each part of the model: a name or an object."""
        likelihood = None if isinstance(self.likelihood, str) and self.likelihood == "auto" else self.likelihood
        given: dict[PartName, Any] = {"likelihood": likelihood, "objective": self.objective}
        optimizer = given_settings(self.settings).get("optimizer")  # a name is an option as the others are
        optimizer = None if isinstance(optimizer, str | Mapping) else optimizer
        given |= {"optimizer": optimizer, "encoder": self.encoder, "decoder": self.decoder}
        given["model"] = self._option("model")
        return {part: what for part, what in given.items() if what is not None}

    def _refuse_beside_model(self) -> None:
        given = ("latent_dim", "hidden", "prior", "posterior", "encoder", "decoder")
        beside = [name for name in given if getattr(self, name, None) is not None]
        if beside or self.recipe != "default":
            name = beside[0] if beside else "recipe"
            raise ConfigError(f"a model of your own leaves no place for {name}.", where=name, fix=f"Leave out {name}.")

    def _count_latents(self, config: Config | None) -> None:
        assert isinstance(config, VAEConfig)
        size = self.model_.parts.posterior.size + sum(config.posterior.levels)
        size += len(self.model_.classes) if config.label.kind == "predict" else 0
        self.latent_dim_ = self._n_features_out = size

    # --- rows to codes and back ---

    @checked_later
    def transform(
        self, X: RowsLike, y: ArrayLike | None = None, *, noise: np.ndarray | None = None, unknown: str = "error"
    ) -> np.ndarray:
        """Encode every row as the mean of its posterior q(z | x), or as a sample for the given noise.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            noise: Noise of the posterior, shape (n, latent_dim_). For a Normal posterior, the code is mean + scale *
                noise. Relaxed discrete codes need uniform noise between 0 and 1. None: the means.
            unknown: How to treat categories that are new in a frame. "error" raises an error that names the rows,
                "missing" treats the cells as missing, and "skip" omits the rows with a warning.

        Returns:
            Posterior means or samples, float32 of shape (n, latent_dim_).

        Raises:
            DataError: The noise does not fit the posterior, or the rows do not fit the model.
        """
        batch = self._batch(X, y, unknown)
        return self.model_.encode(batch, noise=noise, seed=self.seed_)

    def encode(
        self, X: RowsLike, y: ArrayLike | None = None, *, unknown: str = "error"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode every row as the mean and the standard deviation of its posterior q(z | x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            unknown: How to treat categories that are new in a frame. "error" raises an error that names the rows,
                "missing" treats the cells as missing, and "skip" omits the rows with a warning.

        Returns:
            Posterior means and standard deviations, each float32 of shape (n, latent_dim_). The standard deviations of
            an autoencoder are 0.

        Raises:
            ConfigError: The posterior is not a Normal with independent latent dimensions.
        """
        batch, key = self._batch(X, y, unknown), jax.random.key(self.seed_)
        codes = encode(self.model_.rows(batch, key=key))
        mean = finite(codes["mean"], "posterior means").reshape(len(codes["mean"]), -1).astype(np.float32)
        if self.model_.is_point:
            return mean, np.zeros_like(mean)
        if "log_variance" not in codes:
            what = (
                "the posterior is not a Normal with independent dimensions, and a mean and a scale do not describe it."
            )
            raise ConfigError(what, where="posterior", fix="Use transform for the means alone.")
        return mean, np.exp(0.5 * codes["log_variance"]).reshape(mean.shape).astype(np.float32)

    def inverse_transform(self, Z: ArrayLike, y: ArrayLike | None = None) -> Any:
        """Decode every code to the mean of p(x | z).

        Args:
            Z: Codes, shape (n, latent_dim_).
            y: Labels, shape (n,), or one for all codes, if the recipe is conditional. Otherwise ignored.

        Returns:
            Means, float32, in the units and shape of the rows in `fit`. If `fit` received a frame with several kinds of
            columns, a frame with its dtypes and the most probable categories.

        Raises:
            DataError: The number of columns of `Z` is not the number of latent dimensions.
        """
        check_is_fitted(self)
        refuse_masked(Z, "Z")
        refuse_other_cells(Z, "Z")
        z = check_array(Z, dtype="float32", input_name="Z")
        if z.shape[1] != self.latent_dim_:
            what = f"codes have {z.shape[1]} columns; the model has {self.latent_dim_} latent units."
            raise DataError(what, where="Z", fix=f"Give codes of shape (n, {self.latent_dim_}), as transform does.")
        return self._decode(z, None, y, mean=True)

    def _decode(self, z: np.ndarray, key: Key | None, y: ArrayLike | None = None, *, mean: bool) -> Any:
        cond = self.model_.condition(codes_of(self.model_, y, len(z)))
        return self._in_units(decode(self.model_.model, z, key=key, mean=mean, cond=cond), draws=not mean)

    def reconstruct(self, X: RowsLike, y: ArrayLike | None = None, *, noise: np.ndarray | None = None) -> Any:
        """Reconstruct every row as the mean of p(x | z) at its posterior mean, or at a sample for the given noise.

        This equals `inverse_transform(transform(X, noise=noise))`.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            noise: As for `transform`.

        Returns:
            Reconstructions, float32, in the units and shape of `X`. If `X` is a frame with several kinds of columns, a
            frame with its dtypes.
        """
        return self.inverse_transform(self.transform(X, y, noise=noise), y)

    # --- files ---

    def _own_facts(self) -> dict[str, Any]:
        own = {role: one for role in ROLES if (one := getattr(self._told, role)) is not None}
        return {"history": self.history_, "reasons": self.reasons_} | ({"named": own} if own else {})

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        facts = super()._restore(trained, where)
        history, reasons = facts.get("history"), facts.get("reasons")
        self.history_ = history if isinstance(history, dict) and are_columns(history) else {}
        self.reasons_ = reasons if isinstance(reasons, list) else []
        names = facts.get("named")
        names = names if isinstance(names, dict) else {}
        self.named_ = Named()._replace(**{role: one for role in ROLES if isinstance(one := names.get(role), str)})
        self._count_latents(trained.config)
        return facts

    def _open(self, raw: bytes, where: str) -> TrainedModel:
        given = {part: what for part, what in self._parts().items() if not isinstance(what, str)}
        return TrainedModel.from_bytes(raw, where=where, **given)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False)
class Autoencoder(BaseAutoencoder):
    """An autoencoder, which has codes but no prior, samples or log p(x).

    Training maximises log p(x | z) at the code z of each row, in nats, summed over the features and averaged over the
    rows. `VAE` describes the attributes, and the arguments in detail.

    Source: Rumelhart, Hinton & Williams (1986).

    Args:
        latent_dim: Number of latent dimensions, at least 1. None: chosen by the recipe.
        hidden: Widths of the encoder's hidden layers, mirrored in the decoder. None: chosen by the recipe.
        likelihood: Family of p(x | z), a head, or a function that returns one. "auto": chosen by the recipe.
        recipe: Name of a recipe that `latens info recipes` lists, or a configuration.
        objective: The objective, as a name or an object. None: the reconstruction error.
        epochs: Maximum number of passes over the training rows. None: chosen by the recipe, unless `steps` is given.
        steps: Maximum number of optimiser steps, at least 1. None: chosen by the recipe, unless `epochs` is given.
        batch_size: Rows of a batch, at least 1. None: chosen by the recipe.
        learning_rate: Step size of the optimiser, above 0. None: chosen by the recipe.
        settings: Further options by name, as in `VAE`. None: no others.
        encoder: A network from one row to its code, or a function that returns one. None: chosen by the recipe.
        decoder: A network from one code to the outputs that the likelihood needs. None: chosen by the recipe.
        random_state: Seed (0 to 2**32 - 1) or generator. None: NumPy's global generator.
    """

    _fixed_settings = {"posterior.kind": "deterministic", "objective.name": "reconstruction"}  # noqa: RUF012

    def score(self, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Compute the mean of log p(x | z) at the codes of the rows. Higher is better.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Ignored; scikit-learn passes it.
            sample_weight: Weights of the rows in the mean, at least 0, shape (n,). None: all weights are 1.

        Returns:
            The mean in nats per row.
        """
        batch = self._batch(X)
        rows = map_rows(at_code, self.model_.rows(batch, seed=self.seed_))
        return weighted_mean(rows, sample_weight)
