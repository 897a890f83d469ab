"""A variational autoencoder as a scikit-learn transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from latens import evaluation
from latens.config import VAEConfig
from latens.data.arrays import as_dataset
from latens.errors import ConfigError
from latens.estimators.autoencoder import Posterior, Prior
from latens.estimators.base import seed_of, weighted_mean, with_nan
from latens.estimators.columns import as_fitted, with_filled, with_numbers
from latens.estimators.labels import classes_of, codes_of
from latens.estimators.looks import Looks
from latens.estimators.named import conditioned, known_apart, put_back, with_filled_steps
from latens.evaluation import Estimate
from latens.evaluation.batched import BATCH_SIZES
from latens.evaluation.impute import DRAWS
from latens.evaluation.latents.encode import new_rows
from latens.io import keys
from latens.io.process import check_count, check_process
from latens.kinds.counts.anndata import is_annotated
from latens.kinds.tables.frame import as_rows, is_frame
from latens.kinds.text.rows import refuse_gaps
from latens.recipes import RECIPES
from latens.typing import Key, checked_later
from latens.workflow.imputation import imputed
from latens.workflow.inputs import seed_key
from latens.workflow.refit import refit_prior
from latens.workflow.trained import TrainedModel

MOST_SAMPLES = 10**6
"""What a file may ask for; a call may ask for more."""


def _predicts(estimator: "VAE") -> bool:
    given = estimator.recipe
    config = given if isinstance(given, VAEConfig) else getattr(RECIPES.get(given), "config", None)
    return isinstance(config, VAEConfig) and config.label.kind in ("predict", "predict-codes")


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAE(Looks):
    """A variational autoencoder: codes, samples and log p(x).

    Maximises the evidence lower bound, E[log p(x | z)] - beta KL(q(z | x) || p(z)) with z from q(z | x), in nats,
    summed over the features of a row and averaged over rows. Kingma & Welling (2014), equation 3.

    NaN in `X` are missing values: training and log p(x) are of the observed ones, and `impute` fills them in. A frame
    may have columns of text, names, dates and truth values: each then has a type and exact probabilities
    (docs/tables.md).

    Args:
        latent_dim: Number of latent dimensions, from 1. None: the recipe's; the default recipe takes a quarter of the
            columns, from 2 to 32.
        hidden: Widths of the encoder's hidden layers, mirrored in the decoder: one whole number or several, each
            from 1. None: the recipe's, or from the size of the data.
        likelihood: Family of p(x | z). "auto": the recipe's; the default recipe takes Normal for real numbers and
            Bernoulli where every value is 0 or 1. Others are "normal", "bernoulli" (values in [0, 1]),
            "continuous-bernoulli" (values in [0, 1]), "categorical" (whole numbers) and all that
            `latens info parts` lists. Or one of your own: a head, its class, or a function of the shape of a row
            that gives a head (docs/extending.md).
        prior: The prior p(z): a name of `latens info parts`, a distribution or an `AbstractModelPrior` (whose
            arrays are trained, unless they are `Frozen`), or a class or function of the shape of a latent that gives
            one. None: the recipe's, which is the one that belongs to the posterior.
        posterior: The posterior q(z | x): a name of `latens info parts`, a head, its class, or a function of the
            shape of a latent that gives a head. None: the recipe's.
        recipe: Name of a composition that `latens info recipes` lists, for example "default" or "beta-vae"; or a
            configuration, such as `latens.recipes.beta_vae(beta=4.0)`.
        objective: What is minimised: a name of `latens info parts`, or an objective such as
            `latens.objectives.IWAE(num_samples=50)`. None: the recipe's.
        optimizer: A name such as "adam", which runs at a constant rate, or an optax transformation, which then says
            everything: its learning rate, schedule and clipping. None: the recipe's.
        epochs: At most so many passes over the training rows, above 0. None: the recipe's, unless `steps` is given.
        steps: At most so many steps of the optimiser, from 1. None: the recipe's, unless `epochs` is given.
        batch_size: Rows a step, from 1. None: the recipe's.
        learning_rate: Step size of the optimiser, above 0. None: the recipe's.
        beta: Weight of the KL in the objective, from 0; or how it changes, as "linear:10", "cosine:10", "sigmoid:10" or
            "cyclical:4", with a number of epochs. None: the recipe's, 1 by default (the evidence lower bound).
        settings: Further options by name, for example `{"optimizer.schedule": "cosine"}`; none that an argument sets.
            None: no others. `latens info parts` lists them.
        encoder: A network of your own from one row to the numbers that the posterior needs (an error says how many), or
            a function `(schema, key) -> network`, or the name of a registered one. None: the recipe's.
        decoder: The same from latents to the numbers that the likelihood needs. None: the recipe's.
        model: All of the model at once: a function `(schema, key) -> model`. The estimator's objective, optimiser and
            budget train it; it sees a row as the `likelihood` that is named would. None: the recipe's.
        callbacks: Functions of an event of the training, called at each, with numbers in `event.record`; a text that
            one returns is a reason to end it, None is none. None: no functions.
        num_samples: Importance samples of each row in `score_samples` and `score`, from 1. None: 1,000 for a table with
            columns of several kinds, whose rows are cheap to decode, and 100 for other rows.
        validation_fraction: Share of the rows, in [0, 1), that chooses the best epoch and stops early; the others
            train. With fewer than 50 rows, or with None or 0, all rows train.
        pieces: What rows of text are cut into: "characters", "words", "atoms", "subwords", "selfies". None: the first.
        columns: What columns of a frame are, by name: {"size": "ordinal"} (docs/tables.md). None: as their dtypes say.
        warm_start: Whether a further `fit` starts from the weights of the last one, with its schema.
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

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(200, 4))
        >>> vae = VAE(latent_dim=2, epochs=3, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.sample(5).shape, vae.score_samples(X).shape
        ((200, 2), (5, 4), (200,))
    """

    _fixed_settings = {}  # noqa: RUF012
    _takes_nan = True

    prior: Prior = None
    posterior: Posterior = None
    beta: float | str | None = None
    num_samples: int | None = None

    def score_samples(self, X: Any, y: Any = None, *, unknown: str = "error") -> np.ndarray:
        r"""Estimate log p(x) of every row by importance sampling, from below.

        The estimate is $\log\frac1K\sum_k p(x|z_k)\,p(z_k)/q(z_k|x)$ with K = `num_samples` samples of q(z | x). In
        expectation it is a lower bound of log p(x), tight as K grows. It is the number that the command calls
        `log_marginal`, and log p(x) is

        - of real numbers under "normal": the log density in the units of `X`;
        - of zeros and ones (given, or binarised by `settings`) under "bernoulli", of whole numbers under "categorical":
          the log-probability of the row;
        - of whole numbers 0 to L - 1 (`uint8`, pictures) under "normal" or "continuous-bernoulli": the log density of
          (x + u) / L at one uniform u a row. Its mean over u, minus D log L for D features, is a lower bound of the
          log-probability of the row (Theis, van den Oord & Bethge 2016). L is `model_.schema.levels`;
        - of grey values in [0, 1], or whole numbers, under "bernoulli": no log p(x), but a bound of a cross-entropy,
          which may be compared with another Bernoulli's only (the command: `cross_entropy_bound`).

        Of a conditional model it is log p(x | y). The samples of a row come from its own bytes: neither order nor
        subsets of the rows change its number.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them; NaN is a missing value, and log
                p(x) is then of the observed ones.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            unknown: Names in columns of a frame that `fit` did not see: "error" names the rows; "missing" takes the
                cells as missing; "skip" leaves the rows out of the result, with a warning that names them.

        Returns:
            One estimate a row in nats, float32 of shape (n,).

        Raises:
            UsageError: The model is conditional, and `y` is missing or names an unknown class.
            DivergedError: Rows lie so far from the training rows that their log p(x) is no number.

        Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
        """
        batch, count = self._batch(X, y, unknown), self._draws()
        found = evaluation.log_marginal(self.model_.rows(batch, key=jax.random.key(self.seed_)), num_samples=count)
        # A density of real numbers is never 0: minus infinity there is a row beyond float32.
        return evaluation.finite(found, "log p(x)", minus_infinity=self.model_.schema.kind != "real")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute the mean of `score_samples`; higher is better, so a grid search maximises log p(x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            sample_weight: How often each row counts in the mean, from 0, shape (n,). None: once.

        Returns:
            A number in nats a row.
        """
        return weighted_mean(self.score_samples(X, y), sample_weight)

    @checked_later
    def sample(
        self,
        n_samples: int = 1,
        *,
        label: Any = None,
        given: Mapping[str, Any] | None = None,
        temperature: float = 1.0,
        random_state: Any = None,
    ) -> Any:
        """Sample rows from the model: z from the prior, then x from p(x | z).

        Args:
            n_samples: Number of rows, from 1.
            label: Class of all rows, or one for each, which a conditional model needs; ignored elsewhere.
            given: Of a frame with columns of several kinds, what rows must have: for a column a value, or a pair of the
                least and the largest. Not with `temperature`.
            temperature: Of z, from 0: below 1 nearer to the centre of the prior, and less varied.
            random_state: Seed or generator; None takes the estimator's `random_state`.

        Returns:
            Rows, float32, in the units and the shape of the rows that `fit` saw; of a frame with columns of several
            kinds a frame with its dtypes.

        Raises:
            ConfigError: The prior has no temperature, and another than 1 is asked for; or `given` is for rows without
                columns of kinds.
            DataError: A condition is none of the frame's, or no row can fulfil it.
            UsageError: The number of rows is below 1, the class is missing or unknown, or the temperature below 0.
        """
        n_samples = check_count(n_samples, "n_samples")
        check_is_fitted(self)
        if given is None:
            return self.prior_predictive(n_samples, label=label, temperature=temperature, random_state=random_state)
        schema = self.model_.schema
        if schema.types is None:
            fix = "Leave it out, or fit a frame with names, dates or numbers."
            raise ConfigError("only rows of a frame with columns of several kinds have it.", where="given", fix=fix)
        codes = codes_of(self.model_, label, n_samples)
        seed = seed_of(self.random_state if random_state is None else random_state)
        x = self.model_.sample(n_samples, seed=seed, label=codes, given=given, temperature=temperature)
        return as_fitted(x, schema, getattr(self, "_template", None))

    def warm_up(self, n_rows: int | None = None, *, label: Any = None) -> "VAE":
        """Compile what requests need, so that no request waits for the compiler.

        A request is padded to 16, 128 or 500 rows, or is computed in several parts of 500. One program is made for each
        of these sizes: samples of the model are encoded, decoded and scored once.

        Args:
            n_rows: The most rows of a request, from 1: larger sizes are left out. None: any number.
            label: The class of the samples, where the model is conditional; None: the classes in turn.

        Returns:
            The estimator itself.

        Raises:
            NotFittedError: Before `fit`.
            UsageError: The number of rows is below 1.
        """
        most = BATCH_SIZES[-1] if n_rows is None else check_count(n_rows, "n_rows")
        for smaller, size in zip((0, *BATCH_SIZES), BATCH_SIZES):
            if smaller >= most:
                break
            n = min(size, most)
            x, y = self.sample(n, label=label), None
            if self.model_.preparation.classes:
                y = [label] * n if label is not None else self.classes_[self.model_.in_turn(n)]
            self.inverse_transform(self.transform(x, y), y)
            self.score_samples(x, y)
        return self

    @checked_later
    def prior_predictive(
        self, n: int = 1, mean: bool = False, *, label: Any = None, temperature: float = 1.0, random_state: Any = None
    ) -> Any:
        """Sample rows from the prior predictive, or their means.

        Args:
            n: Number of rows, from 1.
            mean: Whether to return the means of p(x | z), at the same samples of z, instead of samples of x.
            label: Class of all rows, or one for each, which a conditional model needs; ignored elsewhere.
            temperature: Of z, from 0: below 1 nearer to the centre of the prior, and less varied.
            random_state: Seed or generator; None takes the estimator's `random_state`.

        Returns:
            Rows, float32, in the units and the shape of the rows that `fit` saw; of a frame with columns of several
            kinds a frame with its dtypes.

        Raises:
            ConfigError: The prior has no temperature, and another than 1 is asked for.
            UsageError: The number of rows is below 1, the class is missing or unknown, or the temperature below 0.
        """
        check_is_fitted(self)
        n = check_count(n, "n", cells=int(np.prod(self.model_.schema.shape)))
        cond = self.model_.condition(codes_of(self.model_, label, n))
        how: dict[str, Any] = {"key": self._sampling_key(random_state), "cond": cond, "temperature": temperature}
        return self._in_units(new_rows(self.model_.model, n, mean=mean, **how)[0], draws=not mean)

    def posterior_predictive(self, X: Any, mean: bool = False, *, y: Any = None, random_state: Any = None) -> Any:
        """Sample one row from the posterior predictive of every row, or compute its reconstruction.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            mean: False: a sample of p(x | z) at a sample of q(z | x). True: the mean of p(x | z) at the posterior mean.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            random_state: Seed or generator; None takes the estimator's `random_state`.

        Returns:
            Rows, float32, in the units and the shape of `X`; of a frame with columns of several kinds a frame with its
            dtypes.
        """
        batch = self._batch(X, y)
        values = evaluation.reconstruct(self.model_.rows(batch, key=self._sampling_key(random_state)), mean=mean)
        return self._in_units(values, draws=not mean)

    # --- missing cells, and the prior, after training ---

    @checked_later
    def impute(
        self,
        X: Any,
        *,
        n_draws: int = 0,
        num_samples: int = DRAWS,
        y: Any = None,
        random_state: Any = None,
        unknown: str = "error",
    ) -> Any:
        r"""Fill in missing values by their posterior mean, or sample completions.

        The mean is $E[x_{mis} \mid x_{obs}]$, estimated by importance resampling. Observed values stay as they came.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures; NaN is a missing value.
            n_draws: Number M of random completions of every row; 0 gives the mean instead.
            num_samples: Importance samples of z for each row, from 1.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            random_state: Seed or generator; None takes the estimator's `random_state`.
            unknown: Names in columns of a frame that `fit` did not see: "error" names the rows; "missing" fills them in
                too; "skip" leaves the rows out of the result, with a warning that names them.

        Returns:
            The completed rows, of the shape and type of `X`; with `n_draws` M of shape (M, *X.shape). Of a frame a
            frame with its index and columns, or with `n_draws` a list of M; a missing name becomes the likeliest one.
            Of sequences what `X` was, with the gaps of its steps filled in.

        Source: Mattei & Frellsen (2019), arXiv 1812.02633.
        """
        num_samples = check_count(num_samples, "num_samples")
        n_draws = 0 if n_draws == 0 else check_count(n_draws, "n_draws", cells=np.size(X))
        check_is_fitted(self)
        refuse_gaps(self.model_.schema, "impute")
        X, key = as_rows(X), seed_key(seed_of(self.random_state if random_state is None else random_state))
        batch = self._batch(X, y, unknown)
        found = imputed(self.model_, batch, key=key, num_samples=num_samples, num_draws=n_draws)
        several = np.moveaxis(found.draws, 1, 0) if n_draws else found.x[None]
        filled = self._filled(X, y, several, found.hidden, unknown)
        return filled if n_draws else filled[0]

    def _filled(self, X: Any, y: Any, several: np.ndarray, hidden: np.ndarray, unknown: str) -> Any:
        """Completed stored rows as the rows that came, M times."""
        schema, whole = self.model_.schema, X
        if schema.sequences is not None:
            data = self._long(X, None, None, schema)
            return [with_filled_steps(X, data, each) for each in several]
        X, y, _ = known_apart(X, y, self._told, schema)
        if schema.types is not None:
            data = self._mixed(X, False, schema, unknown)
            assert data is not None
            X, whole = (each if data.kept is None else _safe_indexing(each, data.kept) for each in (X, whole))
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
        self, X: Any, kind: str = "mixture", *, options: dict[str, Any] | None = None, steps: int = 2000
    ) -> Estimate | None:
        """Replace the prior by one fitted to the posteriors of `X`, the rows that `fit` saw.

        The encoder and the decoder stay; `model_` becomes the model with the new prior.

        Args:
            X: The rows that `fit` saw, so that the same ones validate.
            kind: Kind of the new prior, as for `latens.workflow.refit.refit_prior`.
            options: Options of this prior by name; None takes the defaults.
            steps: Steps of the optimiser, for priors that are trained.

        Returns:
            The change of log p(x) on the rows that validate, in nats; None where there is no p(x).

        Raises:
            ConfigError: The kind or an option is not known, or does not suit the model.
        """
        check_is_fitted(self)
        shape, schema = self._event_shape, self.model_.schema
        X, cells = as_rows(X), {}
        if schema.sequences is not None or is_annotated(X):
            data = self._long(X, None, None, schema)
        else:
            X, _, cells = known_apart(X, None, self._told, schema)
            data = self._mixed(X, False, schema)
        if data is None:
            fraction = self.validation_fraction
            data = as_dataset(self._table(X, reset=False), shape, schema=schema, validation_fraction=fraction)
        data = conditioned(data, cells, False)
        found = refit_prior(self.model_, data, kind, options=options, steps=steps, seed=self.seed_)
        self.model_ = found.trained
        return found.gain

    # --- labels that the recipe predicts ---

    @available_if(_predicts)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute the probability of every class, q(y | x), of a recipe that predicts labels.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.

        Returns:
            Probabilities, shape (n, C), in the order of `classes_`.
        """
        batch, key = self._batch(X), jax.random.key(self.seed_)
        found = evaluation.label_probabilities(self.model_.rows(batch, key=key))
        return evaluation.finite(found, "class probabilities")

    @available_if(_predicts)
    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class of every row, of a recipe that predicts labels.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.

        Returns:
            Classes, shape (n,), from `classes_`.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @property
    def classes_(self) -> np.ndarray:
        """The classes that the recipe reads or predicts, in order.

        Raises:
            AttributeError: The recipe has no classes.
        """
        check_is_fitted(self)
        if not self.model_.classes:
            raise AttributeError(f"the recipe {self.recipe!r} has no classes")
        return classes_of(self.model_)

    def _sampling_key(self, random_state: Any) -> Key:
        """The same for the same `random_state` (the estimator's, where none is given)."""
        check_process()
        chosen = self.random_state if random_state is None else random_state
        return keys.of_seed(seed_of(chosen), keys.VAE_SAMPLES)

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        facts = super()._restore(trained, where)
        if type(self.num_samples) is not int or not 1 <= self.num_samples <= MOST_SAMPLES:
            self.num_samples = None
        return facts
