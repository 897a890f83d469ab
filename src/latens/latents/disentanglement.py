"""Codes and what rows show: probabilities of classes and clusters, MIG and DCI.

Scores take `codes` (n, d), usually posterior means, and `factors` (n, f), whole numbers that say what each row shows.
Factors with one value are left out of every score (they have no entropy), which a score would otherwise divide by.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Shaped

from latens.data.dataset import Batch
from latens.errors import UsageError
from latens.evidence.batched import ModelRows, map_rows
from latens.evidence.estimate import Estimate, jackknife, shares
from latens.models import AbstractLatentModel, MixturePrior, SemiSupervised
from latens.runtime.compilation import counted
from latens.typing import AnyArray, Array, Cond, Key, Mask, PyTree

BINS = 20
TREES, FOLDS = 20, 5

GROUPS = 10
"""Groups of rows that are left out in turn for a standard error."""


def checked(codes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check codes and factors, number the factors from 0, and drop those that take one value only."""
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    codes = codes.reshape(len(codes), -1)
    factors = factors[:, None] if factors.ndim == 1 else factors
    if factors.ndim != 2 or len(codes) != len(factors) or len(codes) < 2 or not codes.shape[1]:
        message = f"codes {codes.shape} and factors {factors.shape}."
        raise UsageError(message, where="factors", fix="Give (n, d) and (n, f) for the same n rows, 2 or more.")
    if factors.dtype.kind not in "iu":
        message = f"factors of type {factors.dtype}."
        raise UsageError(message, where="factors", fix="Give whole numbers: bin continuous factors first.")
    if not np.isfinite(codes).all():
        what = "codes must be finite numbers, and some are NaN or infinite."
        raise UsageError(what, where="codes", fix="Leave such rows out.")
    columns = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    columns = [column for column in columns if column.max() > 0]
    if not columns:
        raise UsageError("every factor has one value only.", where="factors", fix="Give rows whose factors vary.")
    return codes, np.stack(columns, axis=1)


def scored(score: Callable[[np.ndarray], float], n: int, *, seed: int, protocol: str, unit: str = "score") -> Estimate:
    """Compute a score of rows with its jackknife error."""
    # It is the error of another sample of as many rows, not of another model.
    value, error = jackknife(lambda rows: {"score": score(rows)}, np.arange(n), groups=GROUPS, seed=seed)["score"]
    return Estimate(value, error, 1, n, unit, f"{protocol}; error by leaving out tenths of the rows", seed)


def binned(codes: Shaped[np.ndarray, "n d"], bins: int = BINS) -> Shaped[np.ndarray, "n d"]:
    """Bin every latent dimension into bins of equal width, from its least to its largest value."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.minimum(np.floor(bins * (codes - low) / width).astype(np.int64), bins - 1)


@counted(bins=1)
def information_matrix(codes: np.ndarray, factors: np.ndarray, *, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """The mutual information of every latent dimension and factor, and the entropy of every factor, in nats."""
    # Of the counts; a constant dimension has 0. This plug-in value is too high by about (b - 1)(v - 1) / 2n nats for b
    # filled bins and v values (Miller 1955): with 20 bins, 40 values and 1000 rows 0.37 nats, on codes that say
    # nothing.
    codes, factors = checked(codes, factors)
    bin_of, n = binned(codes, bins), len(codes)
    table = np.zeros((codes.shape[1], factors.shape[1]))
    entropy = np.array([_entropy(np.bincount(column) / n) for column in factors.T])
    for i, k in np.ndindex(*table.shape):
        joint = np.bincount(bin_of[:, i] * (factors[:, k].max() + 1) + factors[:, k]) / n
        own = _entropy(np.bincount(bin_of[:, i]) / n)
        table[i, k] = max(0.0, own + entropy[k] - _entropy(joint))
    return table, entropy


def _entropy(p: np.ndarray) -> float:
    return -float(np.sum(p[p > 0] * np.log(p[p > 0])))


@counted(bins=1)
def mig(codes: np.ndarray, factors: np.ndarray, *, bins: int = BINS, seed: int) -> Estimate:
    r"""The mutual information gap: how much more the best latent dimension knows of each factor than the second best.

    Mutual information gap: $\frac1f \sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)}$.

    How much more the best dimension knows of each factor than the second best: 1 where one dimension alone knows it
    all, 0 where two know the same. It cannot see whether a dimension carries several factors.

    **Protocol:** codes in 20 bins of equal width over their range, plug-in mutual information, divided by the
    entropy of the factor among the same rows, mean over the factors that vary. Chen et al. integrate over the
    posterior instead of binning its mean; Locatello et al. (2019) bin the mean as here.
    **Values that are not comparable:** other numbers of bins; quantile bins; division by the logarithm of the number
    of values (equal only where all are equally frequent) or by the entropy of the binned code; a constant factor
    counted as 0 or as NaN; a few hundred rows, whose plug-in information is too high, by more for factors of many
    values; codes drawn rather than means.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        bins: Bins of equal width for each latent dimension.
        seed: Seed of the rows left out for the error.

    Returns:
        The score with its error, from 0 to 1.

    Examples:
        >>> v = np.stack(np.divmod(np.arange(16), 4), axis=1)
        >>> mig(v, v, seed=0).value, mig(v @ np.array([[1, 1], [1, -1]]), v, seed=0).value
        (1.0, 0.0)

    Source: Chen, Li, Grosse & Duvenaud (2018), arXiv 1802.04942.
    """
    codes, factors = checked(codes, factors)

    def gap(rows: np.ndarray) -> float:
        table, entropy = information_matrix(codes[rows], factors[rows], bins=bins)
        first, second = np.sort(np.vstack([table, np.zeros((1, table.shape[1]))]), axis=0)[[-1, -2]]
        return float(np.mean((first - second) / entropy))

    words = f"gap of plug-in mutual information over the factor's entropy, {bins} bins of equal width"
    return scored(gap, len(codes), seed=seed, protocol=words)


def dci_of(importance: Shaped[np.ndarray, "d f"]) -> tuple[float, float]:
    r"""Compute disentanglement and completeness of a matrix of importances.

    $D = \sum_i \rho_i (1 - H_f(R_{i\cdot}))$ with $\rho_i = R_{i\cdot} / R$, and $C = \sum_k \rho_k (1 - H_d(R_{\cdot
    k}))$, where $H_m$ is the entropy of the normalised row or column in units of $\log m$. All zeros give 0, a single
    factor gives D = 1 and a single latent dimension C = 1.

    Args:
        importance: Importances R of d latent dimensions for f factors, shape (d, f), of 0 or more.

    Returns:
        Disentanglement D and completeness C, both from 0 to 1.

    Examples:
        >>> dci_of(np.eye(3)), dci_of(np.ones((2, 2)))
        ((1.0, 1.0), (0.0, 0.0))

    Source: Eastwood & Williams (2018), section 2.
    """
    importance = np.asarray(importance, np.float64)
    return _concentration(importance), _concentration(importance.T)


def _concentration(importance: np.ndarray) -> float:
    """The mean of 1 - entropy over rows, weighted by their sums."""
    total, choices = importance.sum(axis=1), importance.shape[1]
    if total.sum() <= 0.0:
        return 0.0
    if choices == 1:
        return 1.0
    share = importance[total > 0] / total[total > 0, None]
    entropy = -np.sum(np.where(share > 0, share * np.log(np.where(share > 0, share, 1.0)), 0.0), axis=1)
    return float(np.average(1.0 - entropy / np.log(choices), weights=total[total > 0]))


def dci(codes: np.ndarray, factors: np.ndarray, *, seed: int) -> dict[str, Estimate]:
    """Disentanglement, completeness and informativeness (DCI) of codes by random forests.

    D: does each dimension matter for one factor only? C: does one dimension suffice for each factor? I: how often a
    classifier of the whole code names the value of a factor (mean over factors). D and C say what this classifier uses:
    of two equal dimensions it may use either. I is an accuracy, chance is not 0; it falls with the number of values.

    **Protocol:** for each factor a random forest of 20 trees, all dimensions tried at every split, leaves of 3
    rows or more; importance is the mean decrease of the Gini impurity, normalised by factor; all dimensions count,
    constant ones too. Forests are fitted on 4 of 5 parts of the rows and name the values of the
    other part; D and C are the means over the folds, their error the jackknife over them. Other programs use boosted
    trees or a lasso: values differ by a tenth and more, the order of models seldom.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        seed: Seed of folds and forests.

    Returns:
        `dci_disentanglement`, `dci_completeness` and `dci_informativeness` with their errors, from 0 to 1.

    Source: Eastwood & Williams (2018), ICLR.
    """
    from sklearn.ensemble import RandomForestClassifier

    codes, factors = checked(codes, factors)
    n, options = len(codes), {"n_estimators": TREES, "max_features": None, "min_samples_leaf": 3}
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    hits, parts = np.zeros((n, factors.shape[1])), []
    for f in range(FOLDS):
        fit, test = fold != f, fold == f
        importance = np.zeros((codes.shape[1], factors.shape[1]))
        for k in range(factors.shape[1]):
            forest = RandomForestClassifier(random_state=seed, **options).fit(codes[fit], factors[fit, k])
            importance[:, k] = forest.feature_importances_
            hits[test, k] = forest.predict(codes[test]) == factors[test, k]
        parts.append(dci_of(importance))
    words = f"random forests of {TREES} trees in {FOLDS} folds, Gini importance"
    found = {}
    for name, values in zip(("dci_disentanglement", "dci_completeness"), np.array(parts).T):
        error = float(np.sqrt((FOLDS - 1) * np.var(values)))
        found[name] = Estimate(float(values.mean()), error, 1, n, "score", f"{words}; jackknife over folds", seed)
    accuracy = Estimate.of(hits.mean(axis=1), num_samples=1, protocol=f"held-out accuracy of {words}, mean of factors")
    return {**found, "dci_informativeness": replace(accuracy, unit="accuracy", seed=seed)}


def predicts_labels(model: AbstractLatentModel) -> bool:
    r"""Whether a model has a $q(y \mid x)$: M2, and M2 on the codes of another."""
    return callable(getattr(model, "label_logits", None))


def _label_probabilities(model: SemiSupervised, batch: Batch, key: Key) -> Array:
    logits = jax.vmap(lambda x, cond, mask: model.label_logits(x, cond=cond, mask=mask))
    return jax.nn.softmax(logits(batch.x, batch.cond, batch.mask), axis=-1)


def label_probabilities(rows: ModelRows) -> np.ndarray:
    r"""The probability of each class for each row, of a model that predicts labels.

    $q(y \mid x)$.

    Args:
        rows: The model and the stored rows, B of them.

    Returns:
        The probabilities, shape (B, C).
    """
    return map_rows(_label_probabilities, rows)


def has_clusters(model: AbstractLatentModel) -> bool:
    """Whether the prior is a trained mixture, whose components are clusters of latents."""
    return isinstance(getattr(model, "prior_part", None), MixturePrior)


def _cluster_probabilities(model: Any, batch: Batch, key: Key, num_samples: int) -> Array:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        row_key = jax.random.fold_in(key, row_id)

        def one(index: Array) -> Array:
            return jnp.exp(prior.log_responsibilities(posterior.sample(key=jax.random.fold_in(row_key, index))))

        return jnp.mean(jax.vmap(one)(jnp.arange(num_samples)), axis=0)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_samples=1)
def cluster_probabilities(rows: ModelRows, *, num_samples: int = 16) -> np.ndarray:
    r"""The probability of each cluster for each row, under a mixture prior.

    $E_{q(z|x)}[p(c \mid z)]$ by K samples.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: Number of posterior samples for each row.

    Returns:
        The probabilities, shape (B, C).

    Source: Jiang et al. (2017), arXiv 1611.05148, equation 16.
    """
    function = Partial(_cluster_probabilities, num_samples=num_samples)
    return map_rows(function, rows)


def matched(label: np.ndarray, cluster: np.ndarray, *, weight: np.ndarray | None = None) -> np.ndarray:
    """Whether each row's cluster is the one matched to its label, under the best one-to-one matching (Hungarian).

    The mean is the clustering accuracy. Clusters beyond the number of classes match nothing, and so do classes beyond
    the number of clusters.

    Args:
        label: Whole numbers from 0 on, shape (n,).
        cluster: Whole numbers from 0 on, shape (n,).
        weight: Weights of the rows, shape (n,).

    Returns:
        Booleans of shape (n,).
    """
    from scipy.optimize import linear_sum_assignment

    table = _table(label, cluster, weight)
    rows, columns = linear_sum_assignment(table, maximize=True)
    partner = np.full(table.shape[1], -1)
    partner[columns] = rows
    return partner[cluster] == label


def _table(label: np.ndarray, cluster: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The share of the rows that have each label and cluster, of shape (labels, clusters)."""
    label, cluster = np.asarray(label), np.asarray(cluster)
    if label.shape != cluster.shape or label.ndim != 1 or not len(label) or min(label.min(), cluster.min()) < 0:
        raise UsageError(f"labels {label.shape} and clusters {cluster.shape} need the same rows, numbered from 0 on.")
    table = np.zeros((int(label.max()) + 1, int(cluster.max()) + 1))
    np.add.at(table, (label, cluster), shares(weight, len(label)))
    return table
