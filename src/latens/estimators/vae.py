"""A variational autoencoder as a scikit-learn transformer."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from latens import evaluation
from latens.config import VAEConfig
from latens.data import Dataset
from latens.errors import ConfigError, UsageError
from latens.estimators.autoencoder import BaseVAE, Posterior, Prior
from latens.estimators.base import names_of, seed_of, weighted_mean, with_nan
from latens.estimators.frame_roles import known_apart, put_back, with_filled_steps
from latens.estimators.frames import array_with_filled, as_fitted, with_filled, with_numbers
from latens.estimators.targets import classes_of, codes_of, labelled
from latens.evaluation import Estimate
from latens.evaluation.missing_cells import DRAWS as IMPUTED
from latens.evidence.batched import BATCH_SIZES
from latens.io import keys
from latens.io.process import check_count, check_process
from latens.kinds import kind_of
from latens.kinds.tables.frame import as_rows, is_frame
from latens.kinds.text.strings import refuse_gaps
from latens.latents.codes import new_rows
from latens.recipes import RECIPES
from latens.recipes.parts.objects import PartName
from latens.typing import Key, checked_later
from latens.workflow.imputation import Imputation, imputed
from latens.workflow.inputs import seed_key
from latens.workflow.prior_refit import refit_prior
from latens.workflow.trained import TrainedModel

MOST_SAMPLES = 10**6
"""What a file may ask for; a call may ask for more."""


class Parts(NamedTuple):
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
class VAE(BaseVAE):
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
        recipe: Name of a composition that `latens info recipes` lists, for example "default" or "beta-vae"; or a
            configuration.
        objective: What is minimised: a name of `latens info parts`, or an objective such as
            `latens.objectives.IWAE(num_samples=50)`. None: the recipe's.
        epochs: At most so many passes over the training rows, above 0. None: the recipe's, unless `steps` is given.
        steps: At most so many steps of the optimiser, from 1. None: the recipe's, unless `epochs` is given.
        batch_size: Rows a step, from 1. None: the recipe's.
        learning_rate: Step size of the optimiser, above 0. None: the recipe's.
        settings: Further options by name, for example `{"optimizer.schedule": "cosine"}`; none that an argument sets.
            None: no others. `latens info parts` lists those of the configuration. Beside these are: `optimizer`, an
            optax transformation, which then says everything; `model`, a function `(schema, key) -> model`;
            `callbacks`, functions of an event of the training, of which a text that one returns ends it;
            `validation_fraction`, the share of the rows that chooses the best epoch (0.1; None or 0: all rows train);
            `num_samples`, draws of each row in `score_samples` (1,000 for a table with columns of several kinds, else
            100); `warm_start`, whether a further `fit` starts from the weights of the last one; `columns`, what
            columns of a frame are ({"size": "ordinal"}); and `pieces`, what rows of text are cut into ("words").
        encoder: A network of your own from one row to the numbers that the posterior needs (an error says how many), or
            a function `(schema, key) -> network`, or the name of a registered one. None: the recipe's.
        decoder: The same from latents to the numbers that the likelihood needs. None: the recipe's.
        random_state: Seed (0 to 2**32 - 1) of initialisation, noise, order of rows and later samples; or a generator
            that gives one; None: numpy's global generator gives one.
        prior: The prior p(z): a name of `latens info parts`, a distribution or an `AbstractModelPrior` (whose
            arrays are trained, unless they are `Frozen`), or a class or function of the shape of a latent that gives
            one. None: the recipe's, which is the one that belongs to the posterior.
        posterior: The posterior q(z | x): a name of `latens info parts`, a head, its class, or a function of the
            shape of a latent that gives a head. None: the recipe's.
        beta: Weight of the KL in the objective, from 0; or how it changes, as "linear:10", "cosine:10", "sigmoid:10" or
            "cyclical:4", with a number of epochs. None: the recipe's, 1 by default (the evidence lower bound).

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
        batch = self._batch(X, y, unknown)
        return self.model_.log_marginal(batch, num_samples=self._draws(), seed=self.seed_)

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

    def _draws(self, asked: int | None = None) -> int:
        """The draws of z for each row: as many as are asked for, or as suit the rows."""
        usual = kind_of(self.model_.schema).defaults.scored
        count = self._option("num_samples") if asked is None else asked
        return check_count(usual if count is None else count, "num_samples")

    def elbo(self, X: Any, y: Any = None, *, num_samples: int | None = None, unknown: str = "error") -> Parts:
        r"""Estimate the ELBO of every row, and its two parts.

        $\mathrm{ELBO} = E_q\log p(x|z) - \mathrm{KL}(q(z|x)\|p(z))$, from the same draws of q(z | x): the parts add up
        exactly. What `log p(x)` is, `score_samples` says.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, as `fit` saw them.
            y: Labels, shape (n,), or one for all rows, where the recipe is conditional; ignored elsewhere.
            num_samples: Draws of z for each row, from 1. None: those of the estimator.
            unknown: As for `score_samples`.

        Returns:
            `elbo`, `log_likelihood` and `kl`, each of shape (n,), in nats: elbo = log_likelihood - kl.

        Raises:
            UsageError: The model is conditional, and `y` is missing or names an unknown class.
            DivergedError: Rows lie so far from the training rows that their ELBO is not a number.

        Source: Kingma & Welling (2014), equation 3.
        """
        check_is_fitted(self)
        count = self._draws(num_samples)
        rows = self.model_.rows(self._batch(X, y, unknown), key=jax.random.key(self.seed_))
        found = evaluation.elbo_parts(rows, num_samples=count)
        elbo, log_likelihood = (
            np.asarray(evaluation.finite(found[name], name), np.float64) for name in ("elbo", "log_likelihood")
        )
        return Parts(elbo, log_likelihood, log_likelihood - elbo)

    # --- samples ---

    @checked_later
    def sample(
        self,
        n_samples: int = 1,
        *,
        label: Any = None,
        given: Mapping[str, Any] | None = None,
        temperature: float = 1.0,
        guidance: float | None = None,
        random_state: Any = None,
    ) -> Any:
        """Sample rows from the model: z from the prior, then x from p(x | z).

        Args:
            n_samples: Number of rows, from 1.
            label: Class of all rows, or one for each, which a conditional model needs; ignored elsewhere.
            given: A value for each condition; of a frame with columns of several kinds also what rows must have: for a
                column a value, or a pair of the least and the largest. Not with `temperature`.
            temperature: Of z, from 0: below 1 nearer to the centre of the prior, and less varied.
            guidance: Of a prior by flow matching that reads labels; above 1 samples are clearer of their class.
            random_state: Seed or generator; None takes the estimator's `random_state`.

        Returns:
            Rows, float32, in the units and the shape of the rows that `fit` saw; of a frame with columns of several
            kinds a frame with its dtypes.

        Raises:
            ConfigError: The prior has no temperature, and another than 1 is asked for; or `given` is for rows without
                conditions and without columns of kinds.
            DataError: A condition is none of the frame's, or no row can fulfil it.
            UsageError: The number of rows is below 1, the class is missing or unknown, or the temperature below 0.
        """
        n_samples = check_count(n_samples, "n_samples")
        check_is_fitted(self)
        if given is None:
            own = {"label": label, "temperature": temperature, "guidance": guidance}
            return self.prior_predictive(n_samples, **own, random_state=random_state)
        if guidance is not None:
            raise UsageError("it is of samples without conditions.", where="guidance", fix="Leave one of them out.")
        schema = self.model_.schema
        if schema.types is None and not schema.conditions:
            fix = "Leave it out, or fit a frame with categories, dates or numbers."
            what = "only frames with columns of several kinds have it, and models with conditions."
            raise ConfigError(what, where="given", fix=fix)
        codes = codes_of(self.model_, label, n_samples)
        seed = seed_of(self.random_state if random_state is None else random_state)
        x = self.model_.sample(n_samples, seed=seed, label=codes, given=given, temperature=temperature)
        return x if schema.types is None else as_fitted(x, schema, getattr(self, "_template", None))

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
        self,
        n: int = 1,
        mean: bool = False,
        *,
        label: Any = None,
        temperature: float = 1.0,
        guidance: float | None = None,
        random_state: Any = None,
    ) -> Any:
        """Sample rows from the prior predictive, or their means.

        Args:
            n: Number of rows, from 1.
            mean: Whether to return the means of p(x | z), at the same samples of z, instead of samples of x.
            label: Class of all rows, or one for each, which a conditional model needs; ignored elsewhere.
            temperature: Of z, from 0: below 1 nearer to the centre of the prior, and less varied.
            guidance: As for `sample`.
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
        trained = self.model_ if guidance is None else self.model_.guided(guidance)
        return self._in_units(new_rows(trained.model, n, mean=mean, **how)[0], draws=not mean)

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

    # --- paths through the latents ---

    @checked_later
    def interpolate(self, a: Any, b: Any, steps: int = 8, *, path: str = "spherical", y: Any = None) -> Any:
        """Decode what lies between two rows.

        Args:
            a: The first row, shape (1, columns) or (1, ...), as `fit` saw rows; or its codes, shape (latent_dim_,).
            b: The last row, alike.
            steps: Rows of the path, both ends among them, from 2.
            path: "spherical" keeps the length of codes as it changes evenly; "linear" is the straight line.
            y: The label of the path, where the recipe is conditional; ignored elsewhere.

        Returns:
            The means of p(x | z) along the path, `steps` rows as `inverse_transform` gives them.

        Raises:
            UsageError: The path is not known, or has fewer than 2 steps.
            DataError: A row does not fit the model.
        """
        check_is_fitted(self)
        between = _path(path)
        if check_count(steps, "steps") < 2:
            raise UsageError("a path has two ends, and 1 step was asked for.", where="steps", fix="Ask for 2 or more.")
        return self.inverse_transform(between(self._code(a, y), self._code(b, y), steps), y)

    def _code(self, row: Any, y: Any) -> np.ndarray:
        """The code of one row, or the codes that were given in its place."""
        if np.ndim(row) == 1 and np.shape(row) == (self.latent_dim_,) and np.asarray(row).dtype.kind in "iuf":
            return np.asarray(row, np.float32)
        return self.transform(row, y)[0]

    # --- missing cells, and the prior, after training ---

    @checked_later
    def impute(
        self,
        X: Any,
        *,
        n_draws: int = 0,
        num_samples: int = IMPUTED,
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
        n_draws = 0 if n_draws == 0 else check_count(n_draws, "n_draws", cells=np.size(X))
        options: dict[str, Any] = {"num_samples": num_samples, "num_draws": n_draws, "random_state": random_state}
        X = as_rows(X)
        data, found = self._imputed(X, y, unknown, **options)
        several = np.moveaxis(found.draws, 1, 0) if n_draws else found.x[None]
        filled = self._filled(X, data, several, found.hidden)
        return filled if n_draws else filled[0]

    def _imputed(
        self,
        X: Any,
        y: Any = None,
        unknown: str = "error",
        *,
        num_samples: int,
        num_draws: int,
        random_state: Any = None,
    ) -> tuple[Dataset, Imputation]:
        """Rows with gaps as a data set, and what fills them in."""
        check_is_fitted(self)
        num_samples = check_count(num_samples, "num_samples")
        refuse_gaps(self.model_.schema, "impute")
        key = seed_key(seed_of(self.random_state if random_state is None else random_state))
        data, y = self._read(X, y, unknown)
        batch = self._as_batch(data, y)
        return data, imputed(self.model_, batch, key=key, num_samples=num_samples, num_draws=num_draws)

    def _filled(self, X: Any, data: Dataset, several: np.ndarray, hidden: np.ndarray) -> Any:
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
        X: Any,
        kind: str = "mixture",
        *,
        y: Any = None,
        options: dict[str, Any] | None = None,
        steps: int | None = None,
    ) -> Estimate | None:
        """Replace the prior by one fitted to the posteriors of `X`, the rows that `fit` saw.

        The encoder and the decoder stay; `model_` becomes the model with the new prior.

        Args:
            X: The rows that `fit` saw, so that the same ones validate.
            kind: Kind of the new prior, as for `latens.workflow.prior_refit.refit_prior`.
            y: The labels that `fit` saw, of a conditional recipe; ignored elsewhere.
            options: Options of this prior by name; None takes the defaults.
            steps: Steps of the optimiser, for priors that are trained; None for 2000, of flow matching 8000.

        Returns:
            The change of log p(x) on the rows that validate, in nats; None where there is no p(x).

        Raises:
            ConfigError: The kind or an option is not known, or does not suit the model.
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
