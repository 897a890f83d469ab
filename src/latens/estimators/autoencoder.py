"""A plain autoencoder as a scikit-learn transformer, and the training of both autoencoders."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted

from latens import config as configuration
from latens import evaluation
from latens.config import VAEConfig, override
from latens.data import Batch, Schema
from latens.distributions import log_prob
from latens.errors import ConfigError, DataError, LatensError, ModelFileError
from latens.estimators.base import (
    LatensEstimator,
    RandomState,
    are_columns,
    as_dataset,
    history_lists,
    plain_value,
    print_epochs,
    seed_of,
)
from latens.estimators.custom import Network, with_networks
from latens.estimators.labels import codes_of, label_units, labelled
from latens.evaluation.batched import map_rows
from latens.io import keys
from latens.io.safetensors import unpack
from latens.models import LatentModel
from latens.parts.posteriors import posterior_of
from latens.recipes import get_recipe
from latens.training import Callback
from latens.typing import Array, Key, checked_later
from latens.workflow.experiment import Experiment, prepare, train
from latens.workflow.trained import TrainedModel

Coder = TypeVar("Coder", bound="Autoencoder")


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, LatensEstimator):
    """A plain autoencoder: codes without a prior, so no samples and no log p(x).

    Maximises log p(x | z) at the code z of each row, summed over its features, averaged over rows, in nats.

    Source: Rumelhart, Hinton & Williams (1986).

    Args:
        latent_dim: Number of latent dimensions, from 1. None: the recipe's; the default recipe takes a quarter of the
            columns, from 2 to 32.
        hidden: Widths of the encoder's hidden layers, mirrored in the decoder: one whole number or several, each
            from 1. None: the recipe's, or from the size of the data.
        likelihood: Family of p(x | z). "auto": the recipe's; the default recipe takes Normal for real numbers and
            Bernoulli where every value is 0 or 1. Others are "normal", "bernoulli" (values in [0, 1]),
            "continuous-bernoulli" (values in [0, 1]), "categorical" (whole numbers) and all that
            `latens recipes --parts` lists.
        recipe: Name of a composition that `latens recipes` lists, for example "default" or "beta-vae".
        epochs: At most so many passes over the training rows, above 0. None: the recipe's, unless `steps` is given.
        steps: At most so many steps of the optimiser, from 1. None: the recipe's, unless `epochs` is given.
        batch_size: Rows a step, from 1. None: the recipe's.
        learning_rate: Step size of the optimiser, above 0. None: the recipe's.
        settings: Further options by name, for example `{"optimizer.schedule": "cosine"}`; they win over the arguments
            above. None: no others. `latens recipes --parts` lists them.
        encoder: A network of your own from one row to the numbers that the posterior needs (an error says how many), or
            a function `(schema, key) -> network`. None: the recipe's.
        decoder: The same from latents to the numbers that the likelihood needs. None: the recipe's.
        callbacks: Functions of an event of the training, called at each, with numbers in `event.record`; a text that
            one returns is a reason to end it, None is none. None: no functions.
        validation_fraction: Share of the rows, in [0, 1), that chooses the best epoch and stops early; the others
            train. With fewer than 50 rows, or with None or 0, all rows train.
        random_state: Seed (0 to 2**32 - 1) of initialisation, noise, order of rows and later samples; or a generator
            that gives one; None: numpy's global generator gives one.
        verbose: Whether to write one line an epoch to stderr.

    Attributes:
        model_: The `TrainedModel`: the model with its schema, configuration and facts about its training.
        history_: Dict of lists, one entry an epoch, as `pandas.DataFrame` takes it. Training numbers are means over an
            epoch, in nats.
        reasons_: What was decided from the data, and why: a list of sentences.
        latent_dim_: Number of columns that `transform` gives.
        n_features_in_: Number of columns that `fit` saw.
        feature_names_in_: Names of these columns, where `X` had names.
    """

    history_: dict[str, list[Any]]
    reasons_: list[str]
    latent_dim_: int

    _config_kind = VAEConfig
    _fixed_settings: dict[str, Any] = {"posterior.kind": "deterministic", "objective.name": "reconstruction"}  # noqa: RUF012

    @checked_later  # scikit-learn may set anything here; fit looks at it
    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        hidden: int | Sequence[int] | None = None,
        likelihood: str = "auto",
        recipe: str = "default",
        epochs: float | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        settings: Mapping[str, Any] | None = None,
        encoder: Network | None = None,
        decoder: Network | None = None,
        callbacks: Sequence[Callback] | None = None,
        validation_fraction: float | None = 0.1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.recipe = recipe
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.settings = settings
        self.encoder = encoder
        self.decoder = decoder
        self.callbacks = callbacks
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    # --- fit ---

    def fit(self: Coder, X: Any, y: Any = None) -> Coder:
        """Train on rows.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures: an array or a DataFrame.
            y: Labels, shape (n,), where the recipe uses labels; -1, NaN, None or "" is a missing one. Ignored
                elsewhere.

        Returns:
            The estimator itself, fitted.

        Raises:
            ConfigError: An option does not suit the recipe or the data (a ValueError that says the remedy).
            DataError: The rows cannot be used (a ValueError that says the remedy).
            UsageError: The recipe needs `y` and none is given.
        """
        return self._fit(X, y=y)

    def _fit(self: Coder, X: Any, schema: Schema | None = None, y: Any = None) -> Coder:
        """`fit`, on rows of a larger table with this `schema`."""
        x = self._table(X, reset=True)
        self.seed_ = seed_of(self.random_state)
        config = self._configure(self.seed_)
        names = getattr(self, "feature_names_in_", None)
        data = as_dataset(
            x,
            self._event_shape,
            family=config.likelihood.family,
            names=None if names is None else [str(name) for name in names],
            validation_fraction=self.validation_fraction,
            schema=schema,
        )
        experiment = prepare(config, labelled(data, y, config))
        model = None
        if self.encoder is not None or self.decoder is not None:
            model = self._with_networks(experiment.new_model(), data.schema, experiment)
        callbacks = [*self._checked_callbacks(), *([print_epochs] if self.verbose else [])]
        trained, result = train(experiment, callbacks=callbacks, model=model)
        if model is not None:
            # No recipe builds this model; with its configuration, `load` can ask for the networks alone.
            trained = trained.with_facts(config=configuration.to_json(experiment.config))
        self.model_, self.reasons_ = trained, list(experiment.reasons)
        self.history_ = history_lists(result.history)
        self._count_latents(experiment.config)
        return self

    def _checked_callbacks(self) -> Sequence[Callback]:
        given: Any = () if self.callbacks is None else self.callbacks
        if not isinstance(given, Sequence) or not all(map(callable, given)):
            what = f"must be a list of functions of an event, not {str(self.callbacks)[:100]!r}."
            raise ConfigError(
                what, where="callbacks", fix="Give for example callbacks=[lambda event: print(event.record)]."
            )
        return given

    def wanted_family(self) -> str:
        """Tell the likelihood that the parameters ask for.

        Returns:
            The name of the family; "auto" where the data decide.
        """
        return self._configure(0).likelihood.family

    def _configure(self, seed: int) -> VAEConfig:
        config = get_recipe(self.recipe).config
        if not isinstance(config, VAEConfig):
            raise ConfigError(
                f"the recipe {self.recipe!r} is a classifier, not an autoencoder.",
                where="recipe",
                fix="Use GenerativeClassifier.",
            )
        chosen = {
            "posterior.latent_dim": self.latent_dim,
            "network.hidden": self.hidden,
            "likelihood.family": None if self.likelihood == "auto" else self.likelihood,
            "training.batch_size": self.batch_size,
            "optimizer.learning_rate": self.learning_rate,
            "training.epochs": self.epochs,
            "training.steps": self.steps,
            **self._own_settings(),
        }
        given = {name: plain_value(value) for name, value in chosen.items() if value is not None}
        if self.epochs is not None or self.steps is not None:
            # A budget of one's own replaces the recipe's.
            config = replace(config, training=replace(config.training, epochs=None, steps=None, minutes=None))
        # An estimator brings no test rows: those of `validation_fraction` validate.
        given = {"training.seed": seed, "data.validation": "split", **self._fixed_settings, **given}
        return override(config, {**given, **{k: plain_value(v) for k, v in (self.settings or {}).items()}})

    def _own_settings(self) -> dict[str, Any]:
        return {}

    def build(self, schema: Schema, config: VAEConfig, *, key: Key) -> LatentModel:
        """Build the untrained model of a recipe, with the user's networks where there are any.

        Args:
            schema: Schema of the rows.
            config: Configuration that names the recipe.
            key: A JAX random key of the initialisation.

        Returns:
            The model before training.

        Raises:
            ConfigError: The recipe is not one of an autoencoder, or a network of the user has no place in it.
        """
        recipe = get_recipe(config.recipe)
        if type(recipe.config) is not type(config):
            raise ConfigError(f"{config.recipe} is no recipe of an autoencoder.", where="recipe")
        return self._with_networks(recipe.build(schema, config, key=key), schema)

    def _with_networks(self, model: LatentModel, schema: Schema, experiment: Experiment | None = None) -> LatentModel:
        key = jax.random.fold_in(jax.random.key(getattr(self, "seed_", 0)), keys.INITIAL_NETWORKS)
        model = with_networks(model, schema, encoder=self.encoder, decoder=self.decoder, key=key)
        if experiment is not None:
            # Trace one row: a network of a wrong size is named before training starts.
            row = jax.ShapeDtypeStruct(schema.shape, jnp.int32 if experiment.preparation.integer else jnp.float32)
            key = jax.random.key(0)
            eqx.filter_eval_shape(lambda m, x: m.likelihood(m.posterior(x).sample(key=key)).mean(), model, row)
        return model

    def _count_latents(self, config: Any) -> None:
        size = posterior_of(config.posterior).size(config.posterior) + sum(config.posterior.levels)
        self.latent_dim_ = self._n_features_out = size + label_units(config, self.model_)

    # --- rows to codes and back ---

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Encode every row as the mean of its posterior q(z | x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.

        Returns:
            Posterior means, float32 of shape (n, latent_dim_).
        """
        batch = self._batch(X, y)
        codes = evaluation.encode(
            self.model_.model, batch, preparation=self.model_.preparation, key=jax.random.key(self.seed_)
        )
        mean = evaluation.finite(codes["mean"], "posterior means")
        return mean.reshape(len(mean), -1).astype(np.float32)

    def inverse_transform(self, Z: Any, y: Any = None) -> np.ndarray:
        """Decode every code to the mean of p(x | z).

        Args:
            Z: Codes, shape (n, latent_dim_).
            y: Labels, shape (n,), or one for all codes, where the recipe is conditional; ignored elsewhere.

        Returns:
            Means, float32, in the units and the shape of the rows that `fit` saw.

        Raises:
            DataError: `Z` has another number of columns than the model has latent dimensions.
        """
        check_is_fitted(self)
        z = check_array(Z, dtype="float32", input_name="Z")
        if z.shape[1] != self.latent_dim_:
            raise DataError(
                f"codes have {z.shape[1]} columns; the model has {self.latent_dim_} latent units", where="Z"
            )
        return self._decode(z, jax.random.key(self.seed_), y, mean=True)

    def _decode(self, z: np.ndarray, key: Key, y: Any = None, *, mean: bool) -> np.ndarray:
        cond = self.model_.condition(codes_of(self.model_, y, len(z)))
        return self._in_units(evaluation.decode(self.model_.model, z, key=key, mean=mean, cond=cond), draws=not mean)

    def reconstruct(self, X: Any, y: Any = None) -> np.ndarray:
        """Reconstruct every row: the mean of p(x | z) at its posterior mean.

        It is `inverse_transform(transform(X))`.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.

        Returns:
            Reconstructions, float32, in the units and the shape of `X`.
        """
        return self.inverse_transform(self.transform(X, y), y)

    def score(self, X: Any, y: Any = None) -> float:
        """Compute the mean over rows of log p(x | z) at their codes; higher is better.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Ignored; scikit-learn passes it.

        Returns:
            A number in nats a row, summed over the features of a row.
        """
        batch = self._batch(X)
        rows = map_rows(
            _log_likelihood,
            self.model_.model,
            batch,
            preparation=self.model_.preparation,
            key=jax.random.key(self.seed_),
        )
        return float(np.mean(rows, dtype=np.float64))

    # --- files ---

    def _own_facts(self) -> dict[str, Any]:
        return {"history": self.history_, "reasons": self.reasons_}

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        facts = super()._restore(trained, where)
        history, reasons = facts.get("history"), facts.get("reasons")
        self.history_ = history if isinstance(history, dict) and are_columns(history) else {}
        self.reasons_ = reasons if isinstance(reasons, list) else []
        self._count_latents(trained.config or configuration.from_json(trained.facts["config"]))
        return facts

    def _open(self, raw: bytes, where: str) -> TrainedModel:
        _, metadata = unpack(raw, where=where)
        facts = metadata.get("facts")
        if isinstance(facts, dict) and "densities" in facts:
            raise ModelFileError(
                "the file holds a GenerativeClassifier.", where=where, fix="Use GenerativeClassifier.load(path)."
            )
        if self.encoder is None and self.decoder is None:
            if isinstance(facts, dict) and "config" in facts:
                raise ModelFileError(
                    "was fitted with networks of its own, of which a file holds only the arrays.",
                    where=where,
                    fix=f"Give them: {type(self).__name__}.load(path, encoder=..., decoder=...).",
                )
            return TrainedModel.from_bytes(raw, where=where)
        if not isinstance(facts, dict) or "config" not in facts:
            raise ModelFileError("was not saved by an estimator with networks of its own.", where=where,
                                 fix="Load it without encoder and decoder.")  # fmt: skip
        try:
            config = configuration.from_json(facts["config"])
            if not isinstance(config, VAEConfig):
                raise ModelFileError("the file holds a classifier.", where=where, fix="Use GenerativeClassifier.load.")
            schema = Schema.from_json(metadata["schema"])
            into = eqx.filter_eval_shape(lambda key: self.build(schema, config, key=key), jax.random.key(0))
        except ModelFileError:
            raise
        except LatensError as error:
            raise ModelFileError(f"the configuration in the file does not fit: {error}", where=where) from None
        return TrainedModel.from_bytes(raw, into=into, where=where)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _log_likelihood(model: LatentModel, batch: Batch, key: Key) -> Array:
    def one_row(x: Array) -> Array:
        posterior: Any = model.posterior(x)
        return log_prob(model.likelihood(posterior.mean()), x)

    return jax.vmap(one_row)(batch.x)
