"""Bayes classifiers with one density a class, fitted in closed form or by scikit-learn's mixtures."""

import logging
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped
from msgspec.structs import replace

from latens.config import ClassifierConfig, DataConfig, DensityConfig
from latens.data import Dataset, Preparation, Schema, prepare_batch
from latens.errors import ConfigError, DataError
from latens.kinds import kind_of
from latens.models import BayesClassifier
from latens.recipes.build import Recipe, Size
from latens.training import Stage
from latens.typing import Key

MIXTURE_OPERATIONS = 1.5e13
"""Multiplications and additions all mixtures may cost before rows are left out: about four minutes on two cores at
the measured 60 thousand million a second (float64), ten where iterations or the machine are slower."""

TYPICAL_ITERATIONS = 10
"""Passes over the rows that are counted for it; the mixture of MNIST's threes took eight."""

MAX_BYTES = 2**32
"""The largest model: covariances grow with the square of the number of values in a row."""

_log = logging.getLogger(__name__)


def resolve(config: ClassifierConfig, data: Dataset) -> tuple[ClassifierConfig, list[str]]:
    """Check the labels, decide how many rows of a class a mixture may see, and say why; without labels, of all rows."""
    density, classes, labels = config.density, _classes(data.schema), _labels(data)[data.subset("train")]
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))  # of training rows with a label
    kind_of(data.schema).refuse("density", data.name, DataError)
    if data.mask is not None:
        raise DataError("has missing cells, which a Gaussian with full covariance here does not take.", where=data.name,
                        fix="Fill them in, or use a variational autoencoder.")  # fmt: skip
    if config.data.binarize == "stochastic" or config.data.dequantize:
        raise ConfigError("a closed-form fit sees the data once: nothing can be drawn anew.", where="data",
                          fix="Use --set data.binarize=none or threshold, and data.dequantize=false.")  # fmt: skip
    if density.kind == "mixture" and data.weight is not None:
        raise DataError("has weights, which scikit-learn's mixtures do not take.", where=data.name,
                        fix="Leave the weights out, or use the recipe mlq-gaussian.")  # fmt: skip
    needed = density.components if density.kind == "mixture" else 1
    for name, count in zip(classes, counts):
        if count < needed:
            raise DataError(
                f"class {name!r} has {count} training rows, {needed} are needed.",
                where=data.name,
                fix="Give more rows of this class, or fewer components (--set density.components)."
                if count
                else "Give training rows of this class, or leave it out.",
            )
    reasons = ["class priors are the frequencies of the training rows"]
    if data.label is None:
        reasons = [f"one {density.kind} for all rows, which have no labels: a density, and no classifier"]
    cells = math.prod(data.schema.shape)
    if density.kind == "mixture" and density.rows_per_class is None:
        total = mixture_rows(cells, density.components)
        if total < counts.sum():
            most = max(int(total / len(classes)), 2 * density.components)
            density = replace(density, rows_per_class=most)
            reasons.append(
                f"each mixture sees at most {most} rows of its class, drawn at random: all {counts.sum()} training "
                f"rows of {cells} values would take longer than about ten minutes (--set density.rows_per_class)"
            )
    return replace(config, density=density), reasons


def mixture_rows(cells: int, components: int) -> int:
    """How many rows all mixtures together may see within `MIXTURE_OPERATIONS`."""
    # A row costs 4 components cells^2 operations in each pass.
    return int(MIXTURE_OPERATIONS / (4.0 * components * cells**2 * TYPICAL_ITERATIONS))


def _classes(schema: Schema) -> tuple[str, ...]:
    """The names of the classes; without labels all rows are one."""
    return schema.classes or ("all rows",)


def _labels(data: Dataset) -> np.ndarray:
    return np.zeros(len(data), np.int32) if data.label is None else data.label


def preparation(schema: Schema, config: ClassifierConfig) -> Preparation:
    """What the classifier sees of a row."""
    # Pixels become x / (levels - 1), so 0 to 1, counts log(1 + x); other data stay in their own units.
    if schema.cells.logged:
        return Preparation(log1p=True)
    divide = schema.cells.high if schema.cells.pixel else 1.0
    return Preparation(divide=divide, binarize=config.data.binarize, threshold=config.data.threshold)


def build(schema: Schema, config: ClassifierConfig, *, key: Key) -> BayesClassifier:
    """A classifier of zeros in the sizes that schema and configuration give; the fit fills it in."""
    classes, cells = len(_classes(schema)), math.prod(schema.shape)
    components = config.density.components if config.density.kind == "mixture" else 1
    size = 4 * classes * components * cells**2
    if size > MAX_BYTES:
        raise ConfigError(
            f"{classes} x {components} full covariances of {cells} values need {size / 2**30:.0f} GiB.",
            where=config.recipe,
            fix="Use smaller pictures, fewer components, or a variational autoencoder.",
        )
    return BayesClassifier(
        jnp.zeros(classes),
        jnp.zeros((classes, components)),
        jnp.zeros((classes, components, cells)),
        jnp.zeros((classes, components, cells, cells)),
        schema.shape,
    )


def plan(schema: Schema, config: ClassifierConfig, size: Size) -> tuple[Stage, ...]:
    """One stage without steps: its start is the fit."""
    prepare = preparation(schema, config)

    def start(model: BayesClassifier, data: Dataset) -> BayesClassifier:
        return fit_classes(model, data, prepare, config.density, config.training.seed)

    return (Stage(None, None, start=start),)


def fit_classes(
    model: BayesClassifier, data: Dataset, prepare: Preparation, density: DensityConfig, seed: int
) -> BayesClassifier:
    """The classifier fitted in float64 to the labelled training rows, or to all where none has a label."""
    rows = data.subset("train")
    labels = _labels(data)[rows]
    log_weight = np.zeros(model.log_weight.shape, np.float32)
    mean = np.zeros(model.mean.shape, np.float32)
    cholesky = np.zeros(model.cholesky.shape, np.float32)
    total = np.zeros(model.num_classes)
    for code in range(model.num_classes):
        of_class = rows[labels == code]
        weight = np.ones(len(of_class)) if data.weight is None else data.weight[of_class].astype(np.float64)
        total[code] = weight.sum()
        if density.kind == "mixture" and density.rows_per_class is not None:
            of_class = subsample(of_class, density.rows_per_class, seed)
        x = np.asarray(prepare_batch(prepare, data.rows(of_class), key=None).x, np.float64).reshape(len(of_class), -1)
        if density.kind == "gaussian":
            mean[code], cholesky[code] = gaussian(x, weight, density.reg_covar)
        else:
            log_weight[code], mean[code], cholesky[code] = mixture(x, density, seed)
            _log.info("class %d of %d fitted to %d rows", code + 1, model.num_classes, len(x))
    if not np.all(total > 0):
        raise DataError("a class has no weight.", where=data.name, fix="Give its rows a weight above 0.")
    log_prior = np.log(total / total.sum()).astype(np.float32)
    return BayesClassifier(
        jnp.asarray(log_prior), jnp.asarray(log_weight), jnp.asarray(mean), jnp.asarray(cholesky), model.shape
    )


def subsample(rows: Shaped[np.ndarray, " n"], most: int, seed: int) -> np.ndarray:
    """At most so many of these positions, drawn without replacement (the same for the same seed), in order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def gaussian(
    x: Shaped[np.ndarray, "n D"], weight: Shaped[np.ndarray, " n"], reg_covar: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""The mean and the Cholesky factor of a Gaussian by weighted maximum likelihood."""
    # $\mu = \sum_i w_i x_i / \sum_i w_i$, $L L^T = \Sigma + \epsilon I$ (over n, not n - 1).
    share = weight / weight.sum() if weight.sum() > 0 else np.full(len(x), 1.0 / len(x))
    mean = share @ x
    centred = x - mean
    covariance = (share[:, None] * centred).T @ centred
    covariance[np.diag_indices_from(covariance)] += reg_covar
    return mean[None], np.linalg.cholesky(covariance)[None]


def mixture(
    x: Shaped[np.ndarray, "n D"], density: DensityConfig, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mixture of Gaussians fitted by scikit-learn, by variational inference or EM."""
    # What is kept is the mixture at the fitted weights, means and covariances: a density that integrates to 1, and the
    # one scikit-learn samples from. (The variational `score_samples` averages logarithms instead, and is none.)
    from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

    kind = GaussianMixture if density.inference == "em" else BayesianGaussianMixture
    fitted: Any = kind(
        n_components=density.components,
        covariance_type="full",
        reg_covar=density.reg_covar,
        max_iter=density.max_iterations,
        random_state=seed,
    )
    fitted.fit(x)
    # A component that lost all its rows may have weight 0; its logarithm must stay finite to be stored.
    weights = np.maximum(fitted.weights_, np.finfo(np.float32).tiny)
    return np.log(weights / weights.sum()), fitted.means_, np.linalg.cholesky(fitted.covariances_)


_PLAIN = ClassifierConfig(recipe="", data=DataConfig(dequantize=False))
_CLASSIFIER = Recipe("", "", "", "", _PLAIN, resolve, preparation, build, plan)
RECIPES = {"mlq-gaussian": _CLASSIFIER, "mlq-mixture": _CLASSIFIER}
"""What these recipes begin with."""
