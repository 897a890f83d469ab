"""Classifiers made of one density a class."""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from latens.config import ClassifierConfig, override
from latens.data.infer import with_classes
from latens.data.row_fields import refuse_masked
from latens.errors import DataError, UsageError
from latens.estimators.base import (
    LatensEstimator,
    RandomState,
    names_of,
    plain_value,
    refuse_words,
    seed_of,
    weighed,
    whole,
)
from latens.estimators.frames import as_dataset
from latens.evidence.estimate import finite
from latens.fitting import prepare, train
from latens.predictive.classes import class_log_joint, normalise, sample_classes
from latens.recipes import get_recipe
from latens.runtime import random_keys
from latens.runtime.compilation import check_count, check_process
from latens.trained.inputs import RowsLike
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later

_RECIPES = {"gaussian": "mlq-gaussian", "mixture": "mlq-mixture"}


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False)
class GenerativeClassifier(ClassifierMixin, LatensEstimator):
    """A classifier that applies Bayes' rule to one density per class.

    The probability p(c | x) is p(c) p(x | c), divided by its sum over the classes c. p(c) is the frequency of c in the
    training rows.

    Densities are in the units of `X`. For pictures and `uint8` of L levels, they are densities of x / (L - 1).

    Args:
        density: "gaussian" (a Gaussian with full covariance per class) or "mixture" (scikit-learn's
            `BayesianGaussianMixture`).
        n_components: Number of components of a mixture, at least 1.
        inference: Method to fit a mixture: "variational", or "em" (maximum likelihood).
        max_iterations: Maximum number of iterations to fit a mixture, at least 1.
        reg_covar: Value added to every variance, above 0, in squared units of `X` (of pixels divided by 255 for
            `uint8`). It prevents singular covariances if a column is constant.
        random_state: Seed (0 to 2**32 - 1) of the mixtures and the samples, or a generator. None: NumPy's global
            generator.

    Attributes:
        classes_: The classes of `fit`, in sorted order.
        log_prior_: Logarithms of their frequencies, shape (C,), in nats.
        reasons_: The options that were chosen from the data, with the reasons, as a list of sentences.
        model_: The `TrainedModel`.

    Examples:
        >>> X = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)) + centre for centre in (-3, 3)])
        >>> y = np.repeat(["left", "right"], 50)
        >>> GenerativeClassifier().fit(X, y).predict([[-3.0, -3.0], [3.0, 3.0]]).tolist()
        ['left', 'right']
    """

    _config_kind = ClassifierConfig

    density: str = "gaussian"
    _: KW_ONLY
    n_components: int = 10
    inference: str = "variational"
    max_iterations: int = 100
    reg_covar: float = 1e-3
    random_state: RandomState = None

    @whole
    def fit(self, X: RowsLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "GenerativeClassifier":
        """Fit a density to the rows of each class.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures: an array or a DataFrame.
            y: Class of every row, shape (n,).
            sample_weight: Weights of the rows, at least 0, shape (n,); 2 counts a row twice. None: all are 1.

        Returns:
            The classifier itself, fitted.

        Raises:
            DataError: A class has too few rows, or `sample_weight` is passed with mixtures (a ValueError).
            UsageError: The density is unknown.
        """
        refuse_masked(y, "y")
        X, y, weight = weighed(X, y, sample_weight)
        x, y = self._table(X, reset=True, y=y)
        y_: Any = column_or_1d(y, warn=True)
        if y_.dtype.kind in "mM":
            what = f"holds {'dates' if y_.dtype.kind == 'M' else 'durations'}, which no file of the model could carry."
            raise DataError(what, where="y", fix="Give them as text: y.astype(str).")
        try:
            check_classification_targets(y_)
            classes, codes = np.unique(y_, return_inverse=True)
        except TypeError:
            raise DataError("holds labels of several types.", where="y", fix="Give all as text.") from None
        self.classes_: np.ndarray = classes
        self.seed_ = seed_of(self.random_state)
        if not isinstance(self.density, str) or self.density not in _RECIPES:
            what = f"there is no density {self.density!r}."
            raise UsageError(what, where="density", fix=f"Valid: {', '.join(_RECIPES)}.")
        data = as_dataset(x, self._event_shape, names=names_of(self))
        schema = with_classes(data.schema, tuple(str(c) for c in self.classes_.tolist()))
        numbers = ("n_components", "max_iterations", "reg_covar")
        refuse_words(**{name: getattr(self, name) for name in numbers})
        settings = {
            "density.components": plain_value(self.n_components),
            "density.inference": self.inference,
            "density.max_iterations": plain_value(self.max_iterations),
            "density.reg_covar": plain_value(self.reg_covar),
            "training.seed": self.seed_,
        }
        config = get_recipe(_RECIPES[self.density]).config
        assert isinstance(config, ClassifierConfig)
        labelled = replace(data, schema=schema, label=codes.astype(np.int32), weight=weight)
        experiment = prepare(override(config, settings), labelled)
        self.model_, _ = train(experiment)
        self.reasons_ = list(experiment.reasons)
        self.log_prior_ = np.asarray(self.model_.model.log_prior)
        return self

    # --- predictions ---

    def log_joint(self, X: RowsLike) -> np.ndarray:
        """Compute log p(x, c) for every row and class c.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Log joint densities in nats, shape (n, C), in the order of `classes_`.

        Raises:
            DivergedError: A log joint density is NaN.
        """
        check_is_fitted(self)
        found = class_log_joint(self.model_.rows(self._batch(X)))
        return finite(found, "log p(x, c)", minus_infinity=True)

    def predict(self, X: RowsLike) -> np.ndarray:
        """Predict the most probable class of every row.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Classes, shape (n,), from `classes_`.
        """
        joint = self._judged(X)
        return self.classes_[joint.argmax(axis=1)]

    def predict_proba(self, X: RowsLike) -> np.ndarray:
        """Compute the probability p(c | x) of every class. If all densities of a row are 0, the result is p(c).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Probabilities, shape (n, C), in the order of `classes_`.
        """
        return normalise(self._judged(X))

    def predict_log_proba(self, X: RowsLike) -> np.ndarray:
        """Compute the log probability of every class, log p(c | x).

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Log probabilities in nats, shape (n, C), in the order of `classes_`.
        """
        joint = self._judged(X)
        return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)

    def _judged(self, X: RowsLike) -> np.ndarray:
        """`log_joint`, with p(class) for rows that no class gives any density: -inf everywhere has no ratio."""
        joint = self.log_joint(X)
        return np.where(np.isneginf(joint).all(axis=1, keepdims=True), self.log_prior_, joint)

    def score_samples(self, X: RowsLike) -> np.ndarray:
        """Compute log p(x) of every row, where p(x) is the sum over the classes.

        Args:
            X: Rows, shape (n, columns), or (n, ...) for pictures, in the form that `fit` received.

        Returns:
            Log densities in nats, shape (n,).
        """
        return np.logaddexp.reduce(self.log_joint(X), axis=1)

    # --- samples ---

    def sample(
        self, n_samples: int = 1, label: ArrayLike | None = None, *, random_state: RandomState = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample rows together with their classes.

        Args:
            n_samples: Number of rows, at least 1.
            label: The class; None draws the class of each row from p(c).
            random_state: Seed or generator. None: the `random_state` of the classifier.

        Returns:
            The rows, in the units and shape of `fit`, and their classes, shape (n_samples,).

        Raises:
            UsageError: The class is unknown, or the number of rows is below 1.
        """
        check_process()
        check_is_fitted(self)
        n_samples = check_count(n_samples, "n_samples", cells=2 * self.n_features_in_)
        seed = seed_of(self.random_state if random_state is None else random_state)
        key = jax.random.fold_in(jax.random.key(seed), random_keys.CLASSIFIER_SAMPLES)
        code = None if label is None else self._code(label)
        drawn = sample_classes(self.model_.model, n_samples, key=key, label=code)
        return self._in_units(drawn.x, draws=True), self.classes_[drawn.label]

    def _code(self, label: ArrayLike | None) -> int:
        if not np.isscalar(label):
            raise UsageError(f"{label!r:.100} is not one class.", where="label", fix="Give the class of all rows.")
        found = np.flatnonzero(self.classes_ == label)
        if not len(found):
            raise UsageError(f"there is no class {label!r}.", where="label", fix=f"Valid: {self.classes_.tolist()}.")
        return int(found[0])

    # --- files ---

    def _own_facts(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "reasons": self.reasons_}

    def _restore(self, trained: TrainedModel, where: str) -> dict[str, Any]:
        facts = super()._restore(trained, where)
        names = trained.schema.classes or ()
        classes = facts.get("classes")
        # Numbers stay numbers where the file's list says the same as the schema's names.
        same = isinstance(classes, list) and tuple(map(str, classes)) == names
        self.classes_ = np.array(classes if same else list(names))
        reasons = facts.get("reasons")
        self.reasons_ = reasons if isinstance(reasons, list) else []
        self.log_prior_ = np.asarray(trained.model.log_prior)
        if trained.config is not None and "params" not in facts:
            assert isinstance(trained.config, ClassifierConfig)
            self.density = trained.config.density.kind
        return facts
