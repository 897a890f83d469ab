"""A variational autoencoder as a scikit-learn transformer."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig
from latens.data import Dataset
from latens.errors import UsageError
from latens.estimators.autoencoder import BaseAutoencoder, Posterior, Prior
from latens.estimators.base import (
    RandomState,
    classes_of,
    codes_of,
    given_settings,
    labelled,
    names_of,
    seed_of,
    truth,
    weighted_mean,
    with_nan,
)
from latens.estimators.frames import (
    array_with_filled,
    as_fitted,
    known_apart,
    put_back,
    with_filled,
    with_filled_steps,
    with_numbers,
)
from latens.evidence.estimate import Estimate, finite
from latens.evidence.importance import elbo_parts
from latens.kinds import kind_of
from latens.kinds.tables.frame import as_rows, is_frame
from latens.latents.codes import new_rows, reconstruct
from latens.latents.disentanglement import label_probabilities
from latens.predictive.missing_cells import DRAWS as IMPUTED
from latens.recipes import RECIPES
from latens.recipes.custom_parts import PartName
from latens.runtime import random_keys
from latens.runtime.compilation import check_count, check_process
from latens.trained.cell_scores import Imputation, imputed
from latens.trained.inputs import RowsLike, seed_key
from latens.trained.prior_refit import refit_prior
from latens.trained.trained_model import TrainedModel
from latens.typing import Key, checked_later

MOST_SAMPLES = 10**6
"""What a file may ask for; a call may ask for more."""


class ElboTerms(NamedTuple):
    """The ELBO of rows and what it is made of, each float64 of shape (n,), in nats."""

    elbo: np.ndarray
    log_likelihood: np.ndarray
    kl: np.ndarray


def _predicts(estimator: "VAE") -> bool:
    given = estimator.recipe
    config = given if isinstance(given, VAEConfig) else getattr(RECIPES.get(given), "config", None)
    return isinstance(config, VAEConfig) and config.label.kind == "predict"


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAE(BaseAutoencoder):
    """A variational autoencoder with codes, samples and log p(x).

    Training maximises the evidence lower bound, E[log p(x | z)] - beta KL(q(z | x) || p(z)) with z from q(z | x), in
    nats. It is summed over the features of a row and averaged over rows (Kingma & Welling 2014, equation 3).

    NaN in `X` is a missing value. Training and log p(x) use the observed values, and `impute` estimates the missing
    ones. A frame can have columns of text, categories, dates and Booleans. Each column then has a kind and exact
    probabilities (docs/column-kinds.md).

    Args:
        latent_dim: Number of latent dimensions, at least 1. None: chosen by the recipe. The default recipe uses a
            quarter of the columns, from 2 to 32.
        hidden: Widths of the encoder's hidden layers, mirrored in the decoder: one whole number or several. None:
            chosen by the recipe, or from the size of the data.
        likelihood: Family of p(x | z). "auto": chosen by the recipe; the default recipe chooses Normal for real numbers
            and Bernoulli for zeros and ones. Other names are "normal", "bernoulli" (values in [0, 1]),
            "continuous-bernoulli" (values in [0, 1]), "categorical" (whole numbers) and those of `latens info parts`.
            You can also pass a head, its class, or a function of the shape of a row that returns a head
            (docs/extending.md).
        recipe: Name of a recipe that `latens info recipes` lists, for example "default" or "beta-vae"; or a
            configuration.
        objective: The objective: a name of `latens info parts`, or an object such as
            `latens.objectives.IWAE(num_samples=50)`. None: chosen by the recipe.
        epochs: Maximum number of passes over the training rows. None: chosen by the recipe, unless `steps` is given.
        steps: Maximum number of optimiser steps, at least 1. None: chosen by the recipe, unless `epochs` is given.
        batch_size: Rows of a batch, at least 1. None: chosen by the recipe.
        learning_rate: Step size of the optimiser, above 0. None: chosen by the recipe.
        settings: Further options by name, for example `{"optimizer.schedule": "cosine"}`. `latens info parts` lists the
            options of the configuration. Options that have an argument are not allowed. Other options are: `optimizer`,
            an optax transformation; `model`, a function `(schema, key) -> model`; `callbacks`, functions of a training
            event, which stop the training if they return a string; `validation_fraction`, the share of rows for
            validation (0.1; None or 0: none); `num_samples`, the draws of each row in `score_samples` (1,000 for a
            table with several kinds of columns, else 100); `warm_start`, whether `fit` starts from the weights of the
            last one; `columns`, the kinds of columns of a frame ({"size": "ordinal"}); and `pieces`, the tokens of text
            ("words"). None: no others.
        encoder: A network from one row to the outputs that the posterior needs, a function `(schema, key) -> network`,
            or the name of a registered network. An error states the number of outputs. None: chosen by the recipe.
        decoder: A network from latents to the outputs that the likelihood needs, in the same forms. None: chosen by the
            recipe.
        random_state: Seed (0 to 2**32 - 1) of the initial weights, the noise, the order of rows and later samples, or a
            generator. None: NumPy's global generator.
        prior: The prior p(z): a name of `latens info parts`, a distribution, an `AbstractModelPrior`, or a class or
            function of the shape of a latent that returns one. Its arrays are trained unless they are `Frozen`. None:
            chosen by the recipe.
        posterior: The posterior q(z | x): a name of `latens info parts`, a head, its class, or a function of the shape
            of a latent that returns a head. None: chosen by the recipe.
        beta: Weight of the KL in the objective, at least 0, or a schedule with a number of epochs: "linear:10",
            "cosine:10", "sigmoid:10" or "cyclical:4". None: chosen by the recipe, usually 1 (the evidence lower bound).

    Attributes:
        model_: The `TrainedModel`: the model with its schema, configuration and facts about its training.
        history_: Dictionary of lists with one entry per epoch, which `pandas.DataFrame` accepts. Training metrics are
            means over an epoch, in nats.
        reasons_: The options that were chosen from the data, with the reasons, as a list of sentences.
        latent_dim_: Number of columns that `transform` returns.
        n_features_in_: Number of columns in `fit`.
        feature_names_in_: Names of these columns, if `X` has names.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 4))
        >>> vae = VAE(latent_dim=2, epochs=3, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.sample(5).shape, vae.score_samples(X).shape
        ((200, 2), (5, 4), (200,))
    """

    _takes_nan = True

    prior: Prior = None
    posterior: Posterior = None
    beta: float | str | None = None

    def _chosen(self) -> dict[str, Any]:
        return {**super()._chosen(), "objective.beta": self.beta}

    def _parts(self) -> dict[PartName, Any]:
        own: dict[PartName, Any] = {"prior": self.prior, "posterior": self.posterior}
        return {**super()._parts(), **{part: what for part, what in own.items() if what is not None}}

    # --- log p(x) and its parts ---

    def score_samples(self, X: RowsLike, y: ArrayLike | None = None, *, unknown: str = "error") -> np.ndarray:
        r"""Estimate log p(x) of every row by importance sampling.

        The estimate is $\log\frac1K\sum_k p(x|z_k)\,p(z_k)/q(z_k|x)$ with K = `num_samples` samples of q(z | x). Its
        expectation is a lower bound of log p(x), and approaches log p(x) as K grows. The command prints it as
        `log_marginal`. Its meaning depends on the data and the likelihood:

        - real numbers and "normal": the log density in the units of `X`;
        - zeros and ones and "bernoulli", or whole numbers and "categorical": the log probability of the row;
        - whole numbers 0 to L - 1 (`uint8`, pictures) and "normal" or "continuous-bernoulli": the log density of (x +
          u) / L for one uniform u per row. Its mean over u, minus D log L for D features, is a lower bound of the log
          probability of the row (Theis, van den Oord & Bethge 2016). L is `model_.schema.levels`;
        - grey values in [0, 1] or whole numbers, and "bernoulli": not log p(x), but a bound of a cross-entropy, which
          you can compare only with another Bernoulli (`cross_entropy_bound` in the output of the command).

        For a conditional model, the estimate is log p(x | y). The samples depend only on the contents of a row, so the
        order and the number of rows do not change the result.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received. NaN is a missing
                value; the estimate is then log p of the observed values.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            unknown: How to treat categories that are new in a frame. "error" raises an error that names the rows,
                "missing" treats the cells as missing, and "skip" omits the rows with a warning.

        Returns:
            One estimate per row in nats, float32 of shape (n,).

        Raises:
            UsageError: The model is conditional, and `y` is missing or names an unknown class.
            DivergedError: The log p(x) of a row is not finite, because the row is too far from the training rows.

        Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
        """
        batch = self._batch(X, y, unknown)
        return self.model_.log_marginal(batch, num_samples=self._draws(), seed=self.seed_)

    def score(self, X: RowsLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Compute the mean of `score_samples`. Higher is better, so a grid search maximises log p(x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            sample_weight: Weights of the rows in the mean, at least 0, shape (n,). None: all weights are 1.

        Returns:
            The mean in nats per row.
        """
        return weighted_mean(self.score_samples(X, y), sample_weight)

    def _draws(self, asked: int | None = None) -> int:
        """The draws of z for each row: as many as are asked for, or as suit the rows."""
        usual = kind_of(self.model_.schema).defaults.scored
        count = self._option("num_samples") if asked is None else asked
        return check_count(usual if count is None else count, "num_samples")

    def elbo(
        self, X: RowsLike, y: ArrayLike | None = None, *, num_samples: int | None = None, unknown: str = "error"
    ) -> ElboTerms:
        r"""Estimate the ELBO of every row and its two terms.

        $\mathrm{ELBO} = E_q\log p(x|z) - \mathrm{KL}(q(z|x)\|p(z))$. Both terms are computed from the same draws of q(z
        | x). `score_samples` describes the units of log p(x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            num_samples: Draws of z for each row, at least 1. None: as in `score_samples`.
            unknown: As for `score_samples`.

        Returns:
            `elbo`, `log_likelihood` and `kl`, each of shape (n,), in nats, with elbo = log_likelihood - kl.

        Raises:
            UsageError: The model is conditional, and `y` is missing or names an unknown class.
            DivergedError: The ELBO of a row is not finite, because the row is too far from the training rows.

        Source: Kingma & Welling (2014), equation 3.
        """
        check_is_fitted(self)
        count = self._draws(num_samples)
        rows = self.model_.rows(self._batch(X, y, unknown), key=jax.random.key(self.seed_))
        found = elbo_parts(rows, num_samples=count)
        elbo, log_likelihood = (
            np.asarray(finite(found[name], name), np.float64) for name in ("elbo", "log_likelihood")
        )
        return ElboTerms(elbo, log_likelihood, log_likelihood - elbo)

    # --- samples ---

    @checked_later
    def sample(
        self,
        n_samples: int = 1,
        *,
        label: ArrayLike | None = None,
        given: Mapping[str, Any] | None = None,
        temperature: float = 1.0,
        guidance: float | None = None,
        random_state: RandomState = None,
    ) -> Any:
        """Sample rows from the model: z from the prior, and x from p(x | z).

        Args:
            n_samples: Number of rows, at least 1.
            label: Class of all rows, or one for each row. Required by a conditional model, otherwise ignored.
            given: A value for each condition of the model. For a frame with several kinds of columns, also a value or a
                pair (smallest, largest) for a column, which the sampled rows have. Not allowed with `temperature`.
            temperature: Scale of the noise of z, at least 0. Below 1, samples are closer to the centre of the prior.
            guidance: Guidance of a flow matching prior that reads labels. Above 1, samples are more typical.
            random_state: Seed or generator. None: the `random_state` of the estimator.

        Returns:
            Rows, float32, in the units and shape of the rows in `fit`. If `fit` received a frame with several kinds of
            columns, a frame with its dtypes.

        Raises:
            ConfigError: `temperature` is not 1, and the prior does not support it; or `given` is passed to a model
                without conditions and kinds of columns.
            DataError: `given` names an unknown column, or no row can have the values.
            UsageError: The number of rows is below 1, the class is missing or unknown, or the temperature is negative.
        """
        n_samples = check_count(n_samples, "n_samples")
        check_is_fitted(self)
        if given is None:
            own = {"label": label, "temperature": temperature, "guidance": guidance}
            return self.prior_predictive(n_samples, **own, random_state=random_state)
        if guidance is not None:
            raise UsageError("it is of samples without conditions.", where="guidance", fix="Leave one of them out.")
        schema = self.model_.schema
        if not schema.conditions:
            kind_of(schema).refuse("types", "given")
        codes = codes_of(self.model_, label, n_samples)
        seed = seed_of(self.random_state if random_state is None else random_state)
        x = self.model_.sample(n_samples, seed=seed, label=codes, given=given, temperature=temperature)
        return as_fitted(x, schema, getattr(self, "_template", None))

    @checked_later
    def prior_predictive(
        self,
        n: int = 1,
        mean: bool = False,
        *,
        label: ArrayLike | None = None,
        temperature: float = 1.0,
        guidance: float | None = None,
        random_state: RandomState = None,
    ) -> Any:
        """Sample rows from the prior predictive, or their means.

        Args:
            n: Number of rows, at least 1.
            mean: Whether to return the means of p(x | z) at the samples of z, instead of samples of x.
            label: Class of all rows, or one for each row. Required by a conditional model, otherwise ignored.
            temperature: Scale of the noise of z, at least 0. Below 1, samples are closer to the centre of the prior.
            guidance: As for `sample`.
            random_state: Seed or generator. None: the `random_state` of the estimator.

        Returns:
            Rows, float32, in the units and shape of the rows in `fit`. If `fit` received a frame with several kinds of
            columns, a frame with its dtypes.

        Raises:
            ConfigError: `temperature` is not 1, and the prior does not support it.
            UsageError: The number of rows is below 1, the class is missing or unknown, or the temperature is negative.
        """
        check_is_fitted(self)
        n = check_count(n, "n", cells=int(np.prod(self.model_.schema.shape)))
        cond = self.model_.condition(codes_of(self.model_, label, n))
        how: dict[str, Any] = {"key": self._sampling_key(random_state), "cond": cond, "temperature": temperature}
        trained = self.model_ if guidance is None else self.model_.guided(guidance)
        return self._in_units(new_rows(trained.model, n, mean=truth(mean, "mean"), **how)[0], draws=not mean)

    def posterior_predictive(
        self, X: RowsLike, mean: bool = False, *, y: ArrayLike | None = None, random_state: RandomState = None
    ) -> Any:
        """Sample from the posterior predictive of every row, or compute its reconstruction.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.
            mean: If False, return a sample of p(x | z) at a sample of q(z | x). If True, return the mean of p(x | z) at
                the posterior mean.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            random_state: Seed or generator. None: the `random_state` of the estimator.

        Returns:
            Rows, float32, in the units and shape of `X`. If `X` is a frame with several kinds of columns, a frame with
            its dtypes.
        """
        batch = self._batch(X, y)
        rows = self.model_.rows(batch, key=self._sampling_key(random_state))
        values = reconstruct(rows, mean=truth(mean, "mean"))
        return self._in_units(values, draws=not mean)

    # --- paths through the latents ---

    @checked_later
    def interpolate(
        self, a: RowsLike, b: RowsLike, steps: int = 8, *, path: str = "spherical", y: ArrayLike | None = None
    ) -> Any:
        """Decode a path between two rows.

        Args:
            a: The first row, shape (1, columns) or (1, ...), in the form that `fit` received, or its code, shape
                (latent_dim_,).
            b: The last row, in the same form.
            steps: Rows of the path, including both ends, at least 2.
            path: "spherical" changes the length and the angle of codes evenly. "linear" is a straight line.
            y: The label of the path, if the recipe is conditional. Otherwise ignored.

        Returns:
            The means of p(x | z) along the path, `steps` rows in the form of `inverse_transform`.

        Raises:
            UsageError: The path is unknown or has fewer than 2 steps.
            DataError: A row does not fit the model.
        """
        check_is_fitted(self)
        between = _path(path)
        check_count(steps, "steps", cells=int(np.prod(self.model_.schema.shape)), least=2)
        return self.inverse_transform(between(self._code(a, y), self._code(b, y), steps), y)

    def _code(self, row: Any, y: ArrayLike | None) -> np.ndarray:
        """The code of one row, or the codes that were given in its place."""
        if np.ndim(row) == 1 and np.shape(row) == (self.latent_dim_,) and np.asarray(row).dtype.kind in "iuf":
            return np.asarray(row, np.float32)
        codes = self.transform(row, y)
        if len(codes) != 1:
            what = f"an end of a path is one row, not {len(codes)}."
            raise UsageError(what, where="interpolate", fix="Give one row.")
        return codes[0]

    # --- missing cells, and the prior, after training ---

    @checked_later
    def impute(
        self,
        X: RowsLike,
        *,
        n_draws: int = 0,
        num_samples: int = IMPUTED,
        y: ArrayLike | None = None,
        random_state: RandomState = None,
        unknown: str = "error",
    ) -> Any:
        r"""Impute missing values by their posterior mean, or sample completions.

        The mean is $E[x_{mis} \mid x_{obs}]$, estimated by importance resampling. Observed values do not change.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures; NaN is a missing value.
            n_draws: Number M of random completions of every row. 0: the mean.
            num_samples: Importance samples of z for each row, at least 1.
            y: Labels, shape (n,), or one for all rows, if the recipe is conditional. Otherwise ignored.
            random_state: Seed or generator. None: the `random_state` of the estimator.
            unknown: How to treat categories that are new in a frame. "error" raises an error that names the rows,
                "missing" imputes the cells, and "skip" omits the rows with a warning.

        Returns:
            The completed rows, in the shape and type of `X`. With `n_draws`, M completions of shape (M, *X.shape), or a
            list of M frames. In a frame, a missing category becomes the most probable one.

        Source: Mattei & Frellsen (2019), arXiv 1812.02633.
        """
        n_draws = 0 if n_draws == 0 else check_count(n_draws, "n_draws", cells=np.size(as_rows(X)))
        options: dict[str, Any] = {"num_samples": num_samples, "num_draws": n_draws, "random_state": random_state}
        X = as_rows(X)
        data, found = self._imputed(X, y, unknown, **options)
        several = np.moveaxis(found.draws, 1, 0) if n_draws else found.x[None]
        filled = self._filled(X, data, several, found.hidden)
        return filled if n_draws else filled[0]

    def _imputed(
        self,
        X: RowsLike,
        y: ArrayLike | None = None,
        unknown: str = "error",
        *,
        num_samples: int,
        num_draws: int,
        random_state: RandomState = None,
    ) -> tuple[Dataset, Imputation]:
        """Rows with gaps as a data set, and what fills them in."""
        check_is_fitted(self)
        num_samples = check_count(num_samples, "num_samples")
        kind_of(self.model_.schema).refuse("gaps", "impute")
        data, y = self._read(X, y, unknown)
        batch = self._as_batch(data, y)
        key = seed_key(seed_of(self.random_state if random_state is None else random_state))
        return data, imputed(self.model_, batch, key=key, num_samples=num_samples, num_draws=num_draws)

    def _filled(self, X: RowsLike, data: Dataset, several: np.ndarray, hidden: np.ndarray) -> Any:
        """Completed stored rows as the rows that came, M times."""
        schema, whole = self.model_.schema, X
        if schema.sequences is not None:
            return [with_filled_steps(X, data, each) for each in several]
        X, _, _ = known_apart(X, None, self._told, schema)
        if schema.types is not None:
            X, whole = (each if data.kept is None else _safe_indexing(each, data.kept) for each in (X, whole))
            if not is_frame(X):
                given = (with_nan(X), names_of(self), data)
                return np.stack([array_with_filled(*given, each, hidden) for each in several])
            return [put_back(whole, with_filled(X, data, each, hidden)) for each in several]
        given = np.asarray(with_nan(X))
        if is_frame(X):
            return [put_back(whole, with_numbers(X, each.reshape(given.shape))) for each in several]
        numbers = given.astype(np.float64) if given.dtype.kind == "O" else given
        if numbers.dtype.kind != "f":
            return np.stack([given] * len(several))
        gone = np.isnan(numbers)
        return np.stack([np.where(gone, each.reshape(given.shape), given).astype(given.dtype) for each in several])

    def refit_prior(
        self,
        X: RowsLike,
        kind: str = "mixture",
        *,
        y: ArrayLike | None = None,
        options: dict[str, Any] | None = None,
        steps: int | None = None,
    ) -> Estimate | None:
        """Fit a new prior to the posteriors of the training rows.

        The encoder and the decoder do not change. `model_` becomes the model with the new prior.

        Args:
            X: The rows of `fit`, so that the validation rows are the same.
            kind: Kind of the new prior, as in `latens.trained.prior_refit.refit_prior`.
            y: The labels of `fit`, if the recipe is conditional. Otherwise ignored.
            options: Options of this prior by name. None: the defaults.
            steps: Optimiser steps of a prior that is trained. None: 2000, or 8000 for flow matching.

        Returns:
            The change of log p(x) on the validation rows, in nats, or None if the model has no p(x).

        Raises:
            ConfigError: The kind or an option is unknown, or does not suit the model.
        """
        data, y = self._read(X, y)
        config = self.model_.config
        data = labelled(data, y, config) if isinstance(config, VAEConfig) else data
        found = refit_prior(self.model_, data, kind, options=options, steps=steps, seed=self.seed_)
        if found.warning:
            warnings.warn(found.warning, UserWarning, stacklevel=2)
        self.model_ = found.trained
        return found.gain

    # --- labels that the recipe predicts ---

    @available_if(_predicts)
    def predict_proba(self, X: RowsLike) -> np.ndarray:
        """Compute the probability q(y | x) of every class, if the recipe predicts labels.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Probabilities, shape (n, C), in the order of `classes_`.
        """
        batch, key = self._batch(X), jax.random.key(self.seed_)
        found = label_probabilities(self.model_.rows(batch, key=key))
        return finite(found, "class probabilities")

    @available_if(_predicts)
    def predict(self, X: RowsLike) -> np.ndarray:
        """Predict the most probable class of every row, if the recipe predicts labels.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Classes, shape (n,), from `classes_`.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @property
    def classes_(self) -> np.ndarray:
        """The classes that the recipe reads or predicts, in sorted order.

        Raises:
            AttributeError: The recipe has no classes.
        """
        check_is_fitted(self)
        if not self.model_.classes:
            raise AttributeError(f"the recipe {self.recipe!r} has no classes")
        return classes_of(self.model_)

    def _sampling_key(self, random_state: RandomState) -> Key:
        """The same for the same `random_state` (the estimator's, where none is given)."""
        check_process()
        chosen = self.random_state if random_state is None else random_state
        return random_keys.of_seed(seed_of(chosen), random_keys.VAE_SAMPLES)

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        facts = super()._restore(trained, where)
        given = dict(self.settings) if isinstance(self.settings, Mapping) else {}
        count = given.pop("num_samples", None)
        if count is not None and (type(count) is not int or not 1 <= count <= MOST_SAMPLES):
            self.settings = given or None
        return facts


def _path(name: str) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """The path through codes of this name."""
    from latens.figures.paths import linear_path, spherical_path  # with matplotlib

    kinds = {"spherical": spherical_path, "linear": linear_path}
    if name not in kinds:
        raise UsageError(f"there is no path {name!r}.", where="path", fix=f"Use one of: {', '.join(kinds)}.")
    return kinds[name]


class RowsEstimator(BaseEstimator):
    """An estimator that trains one `VAE` or several."""

    columns: Mapping[str, Any] | None
    recipe: str | VAEConfig
    settings: Mapping[str, Any] | None

    def _new(
        self, seed: int, usual: Mapping[str, Any] | None = None, *, typed: bool = False, recipe: VAEConfig | None = None
    ) -> VAE:
        """A `VAE` that is not fitted yet; settings of the user come before the usual ones of a task."""
        settings = {**(usual or {}), **given_settings(self.settings)}
        settings["columns"] = {} if typed and self.columns is None else self.columns
        made = VAE(recipe=recipe or self.recipe, settings=settings, random_state=seed)
        vars(made)["_asked"] = [*self.get_params(deep=False)]  # what a remedy may name
        return made

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a fit has come to its end."""
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
