"""Disentanglement without a trained classifier: MIG, SAP, modularity and interventional robustness.

All take `codes` (n, d), usually posterior means, and `factors` (n, f), whole numbers that say what each row shows.
Factors with one value are left out of every score (they have no entropy), which a score would otherwise divide by.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Shaped

from latens.errors import UsageError
from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.resampling import jackknife
from latens.io.process import counted

BINS = 20

GROUPS = 10
"""Groups of rows that are left out in turn for a standard error."""

DEAD = 1e-6
"""A unit whose standard deviation is below this share of the largest one's is constant: float32 noise is no code."""


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


def live_units(codes: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, " d"]:
    """Find the latent dimensions that vary at all."""
    spread = codes.std(axis=0)
    return spread > DEAD * max(float(spread.max()), np.finfo(np.float64).tiny)


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
    all, 0 where two know the same. It cannot see whether a dimension carries several factors (`modularity`).

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
        table, entropy = _some(codes, factors, rows, bins)
        first, second = np.sort(np.vstack([table, np.zeros((1, table.shape[1]))]), axis=0)[[-1, -2]]
        return float(np.mean((first - second) / entropy))

    words = f"gap of plug-in mutual information over the factor's entropy, {bins} bins of equal width"
    return scored(gap, len(codes), seed=seed, protocol=words)


def _some(codes: np.ndarray, factors: np.ndarray, rows: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    return information_matrix(codes[rows], factors[rows], bins=bins)


@counted(bins=1)
def modularity(codes: np.ndarray, factors: np.ndarray, *, bins: int = BINS, seed: int) -> Estimate:
    r"""The modularity of codes: whether each latent dimension tells of one factor only.

    $\frac1d \sum_i 1 - \frac{\sum_{k \ne k^*} I(z_i; v_k)^2}{(f - 1)\,I(z_i; v_{k^*})^2}$, $k^*$ the best factor.

    Whether each dimension tells of one factor only: 1 where it does, 0 where it tells as much of all. It cannot see
    whether factors are encoded at all, or in one dimension: two equal dimensions have modularity 1. A dimension of
    noise gets a score too, made of the bias of binned information (towards 1 where factors differ in their number of
    values).

    **Protocol:** information as in `mig`; mean over the dimensions that vary and know anything; 0 where none does. The
    widespread program of Locatello et al. (2019) counts constant dimensions as 0, which lowers the score of a model
    that switches dimensions off. One factor alone gives 1.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        bins: Bins of equal width for each latent dimension.
        seed: Seed of the rows left out for the error.

    Returns:
        The score with its error, from 0 to 1.

    Source: Ridgeway & Mozer (2018), arXiv 1802.05312, section 3.
    """
    codes, factors = checked(codes, factors)

    def score(rows: np.ndarray) -> float:
        squares = _some(codes, factors, rows, bins)[0] ** 2
        squares = squares[squares.max(axis=1) > 1e-12]
        if not len(squares):
            return 0.0
        best = squares.max(axis=1)
        return float(np.mean(1.0 - (squares.sum(axis=1) - best) / (best * max(1, squares.shape[1] - 1))))

    words = f"mean over units that vary; plug-in mutual information, {bins} bins of equal width"
    return scored(score, len(codes), seed=seed, protocol=words)


def sap(codes: np.ndarray, factors: np.ndarray, *, categorical: Sequence[int] = (), seed: int) -> Estimate:
    r"""Separated attribute predictability: the gap of the two best single latent dimensions.

    Separated attribute predictability: $\frac1f\sum_k S_{(1)k} - S_{(2)k}$, the gap of the two best single dimensions.

    $S_{ik}$ is how well dimension i alone predicts factor k: the squared correlation for ordered factors, for
    `categorical` ones the balanced accuracy of thresholds, moved so that guessing is 0. It sees only what a straight
    line sees: an angle that goes round, or a code that bends, scores low though one dimension knows it.

    **Protocol:** squared correlations on all rows; for categorical factors a tree of one dimension with as many leaves
    as values, every value counted alike, fitted to one half of the rows (drawn by `seed`) and scored on the other,
    $(a - 1/v) / (1 - 1/v)$; constant dimensions have 0. Kumar et al. leave the accuracy unmoved: their gap is
    $1 - 1/v$ times this one. The widespread program of Locatello et al. (2019) takes a linear classifier of one
    dimension for every factor: such a classifier cannot single out middle values, and a perfect code stays far below 1.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        categorical: Columns of `factors` (before any is left out) whose values have no order.
        seed: Seed of the halves and of the rows left out for the error.

    Returns:
        The score with its error, from 0 to 1.

    Source: Kumar, Sattigeri & Balakrishnan (2018), arXiv 1711.00848, section 3.
    """
    given = np.asarray(factors)
    given = given[:, None] if given.ndim == 1 else given
    varied = [k for k in range(given.shape[1]) if len(np.unique(given[:, k])) > 1]
    codes, factors = checked(codes, given)
    unordered = [varied.index(k) for k in categorical if k in varied]

    def gap(rows: np.ndarray) -> float:
        table = np.vstack([_predictability(codes[rows], factors[rows], unordered, seed), np.zeros(factors.shape[1])])
        first, second = np.sort(table, axis=0)[[-1, -2]]
        return float(np.mean(first - second))

    words = "gap of squared correlations" + (", of balanced accuracies for categorical factors" if unordered else "")
    return scored(gap, len(codes), seed=seed, protocol=words)


def _predictability(codes: np.ndarray, factors: np.ndarray, unordered: list[int], seed: int) -> np.ndarray:
    live = live_units(codes)
    scale = np.where(live, codes.std(axis=0), 1.0)
    standard = np.where(live, (codes - codes.mean(axis=0)) / scale, 0.0)
    numbers = factors - factors.mean(axis=0)
    table = (standard.T @ (numbers / np.maximum(numbers.std(axis=0), 1e-300)) / len(codes)) ** 2
    for k in unordered:
        for i in np.flatnonzero(live):
            table[i, k] = _threshold_accuracy(codes[:, i], factors[:, k], seed)
        table[~live, k] = 0.0
    return table


def _threshold_accuracy(code: np.ndarray, factor: np.ndarray, seed: int) -> float:
    from sklearn.tree import DecisionTreeClassifier

    order = np.random.default_rng(seed).permutation(len(code))
    fit, test = order[: len(order) // 2], order[len(order) // 2 :]
    values = len(np.unique(factor))
    tree = DecisionTreeClassifier(max_leaf_nodes=max(2, values), class_weight="balanced", random_state=seed)
    hits = tree.fit(code[fit, None], factor[fit]).predict(code[test, None]) == factor[test]
    accuracy = float(np.mean([hits[factor[test] == value].mean() for value in np.unique(factor[test])]))
    return max(0.0, (accuracy - 1.0 / values) / (1.0 - 1.0 / values))


def irs(codes: np.ndarray, factors: np.ndarray, *, quantile: float = 0.99, seed: int) -> Estimate:
    r"""Interventional robustness: whether a latent dimension stays where it is while other factors change.

    Interventional robustness: $\sum_i w_i \max_k 1 - \frac{E_v[D_i(v_k = v)]}{D_i}$, $w_i \propto D_i$.

    $D_i(v_k = v)$ is how far dimension i gets from its mean while factor k stays at v and all others change, $D_i$ how
    far it gets at all. 1 where every dimension hears one factor only, 0 where any dimension is moved as far by the
    others. It cannot see whether factors are encoded at all, nor twice.

    **Protocol:** the `quantile` of distances (1 is the largest, as in the paper; 0.99 as in the authors' program) of
    each dimension from its mean over rows of one value, averaged over the values, divided by the largest distance from
    the mean over all rows; dimensions weighted by that distance, constant ones left out. Rows stand for interventions
    only where factors are drawn independently, and a value with few rows looks more robust than it is.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        quantile: Quantile of the distances, 1 for the largest.
        seed: Seed of the rows left out for the error.

    Returns:
        The score with its error, from 0 to 1.

    Source: Suter, Miladinovic, Scholkopf & Bauer (2019), arXiv 1811.00007.
    """
    codes, factors = checked(codes, factors)

    def score(rows: np.ndarray) -> float:
        z, v = codes[rows], factors[rows]
        z = z[:, live_units(z)]
        if not z.shape[1]:
            return 0.0
        widest = np.abs(z - z.mean(axis=0)).max(axis=0)
        moved = np.zeros((z.shape[1], v.shape[1]))
        for k in range(v.shape[1]):
            values = np.unique(v[:, k])
            for value in values:
                group = z[v[:, k] == value]
                moved[:, k] += np.quantile(np.abs(group - group.mean(axis=0)), quantile, axis=0) / len(values)
        return float(np.average((1.0 - moved / widest[:, None]).max(axis=1), weights=widest))

    words = f"{quantile:g} quantile of distances from the mean of rows that share a value"
    return scored(score, len(codes), seed=seed, protocol=words)
