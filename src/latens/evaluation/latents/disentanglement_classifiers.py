"""Disentanglement by prediction: DCI, the FactorVAE and beta-VAE scores, explicitness; and all scores at once.

`codes` (n, d) and `factors` (n, f) as in `disentanglement`; every classifier is scored on rows or votes of its own.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.errors import UsageError
from latens.evaluation.estimate import Estimate
from latens.evaluation.latents.disentanglement import BINS, checked, irs, live_units, mig, modularity, sap
from latens.io.process import counted


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


@counted(trees=1, folds=2)
def dci(codes: np.ndarray, factors: np.ndarray, *, trees: int = 20, folds: int = 5, seed: int) -> dict[str, Estimate]:
    """Disentanglement, completeness and informativeness (DCI) of codes by random forests.

    D: does each dimension matter for one factor only? C: does one dimension suffice for each factor? I: how often a
    classifier of the whole code names the value of a factor (mean over factors). D and C say what this classifier uses:
    of two equal dimensions it may use either. I is an accuracy, chance is not 0; it falls with the number of values.

    **Protocol:** for each factor a random forest of `trees` trees, all dimensions tried at every split, leaves of 3
    rows or more; importance is the mean decrease of the Gini impurity, normalised by factor; all dimensions count,
    constant ones too. Forests are fitted on `folds` - 1 of the `folds` parts of the rows and name the values of the
    other part; D and C are the means over the folds, their error the jackknife over them. Other programs use boosted
    trees or a lasso: values differ by a tenth and more, the order of models seldom.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        trees: Trees of a forest.
        folds: Parts of the rows.
        seed: Seed of folds and forests.

    Returns:
        `dci_disentanglement`, `dci_completeness` and `dci_informativeness` with their errors, from 0 to 1.

    Source: Eastwood & Williams (2018), ICLR.
    """
    from sklearn.ensemble import RandomForestClassifier

    codes, factors = checked(codes, factors)
    n, options = len(codes), {"n_estimators": trees, "max_features": None, "min_samples_leaf": 3}
    fold = np.random.default_rng(seed).permutation(n) % folds
    hits, parts = np.zeros((n, factors.shape[1])), []
    for f in range(folds):
        fit, test = fold != f, fold == f
        importance = np.zeros((codes.shape[1], factors.shape[1]))
        for k in range(factors.shape[1]):
            forest = RandomForestClassifier(random_state=seed, **options).fit(codes[fit], factors[fit, k])
            importance[:, k] = forest.feature_importances_
            hits[test, k] = forest.predict(codes[test]) == factors[test, k]
        parts.append(dci_of(importance))
    words = f"random forests of {trees} trees in {folds} folds, Gini importance"
    found = {}
    for name, values in zip(("dci_disentanglement", "dci_completeness"), np.array(parts).T):
        error = float(np.sqrt((folds - 1) * np.var(values)))
        found[name] = Estimate(float(values.mean()), error, 1, n, "score", f"{words}; jackknife over folds", seed)
    accuracy = Estimate.of(hits.mean(axis=1), num_samples=1, protocol=f"held-out accuracy of {words}, mean of factors")
    return {**found, "dci_informativeness": replace(accuracy, unit="accuracy", seed=seed)}


def _groups(factors: np.ndarray) -> list[list[np.ndarray]]:
    """For every factor the rows of each value that at least two rows have."""
    found = [[np.flatnonzero(column == v) for v in np.unique(column)] for column in factors.T]
    found = [[rows for rows in groups if len(rows) > 1] for groups in found]
    if not all(found):
        message = "of some factor no two rows share a value, so it cannot be held fixed."
        raise UsageError(message, where="factors", fix="Bin it, or give more rows.")
    return found


def _same_value(groups: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows with one value of a factor; values are as likely as they are frequent."""
    sizes = np.array([len(rows) for rows in groups], np.float64)
    rows = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
    return rng.choice(rows, count, replace=len(rows) < count)


def _pairs(groups: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` pairs (count, 2) of two rows that share their value; values are as likely as they are frequent."""
    sizes = np.array([len(rows) for rows in groups])
    rows, start = np.concatenate(groups), np.repeat(np.cumsum(sizes) - sizes, sizes)
    size = np.repeat(sizes, sizes)
    first = rng.integers(len(rows), size=count)
    further = 1 + np.floor(rng.uniform(size=count) * (size[first] - 1)).astype(np.int64)
    second = start[first] + (first - start[first] + further) % size[first]
    return np.stack([rows[first], rows[second]], axis=1)


@counted(votes=1, rows=1)
def factor_vae_score(
    codes: np.ndarray, factors: np.ndarray, *, votes: int = 800, rows: int = 64, threshold: float = 0.05, seed: int
) -> Estimate:
    """How often the dimension that varies least, while a factor is held fixed, tells which factor it was.

    1 where each factor has a dimension that stands still with it alone. It sees only the stillest dimension: what other
    dimensions carry of the factor, and whether a dimension carries several, it cannot see. Chance is about 1 / f.

    **Protocol:** each vote holds a factor drawn at random at a value (drawn by frequency), takes `rows` rows that have
    it (with replacement where there are fewer), and names the dimension with the least variance, in units of its
    variance over all rows; dimensions whose standard deviation over all rows is below `threshold` of the largest are
    pruned. From `votes` votes each dimension is given the factor it was named most often for; the score is the accuracy
    on as many new votes, its error that of these votes for the same rows. Without pruning the score rewards dead
    dimensions' rounding.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        votes: Votes to fit on, and as many to score.
        rows: Rows of a vote.
        threshold: Share of the largest standard deviation below which a latent dimension is pruned.
        seed: Seed of the votes.

    Returns:
        The accuracy with its error, from 0 to 1.

    Source: Kim & Mnih (2018), arXiv 1802.05983, section 4; rows stand for its simulator.
    """
    codes, factors = checked(codes, factors)
    groups, rng, count = _groups(factors), np.random.default_rng(seed), factors.shape[1]
    spread = codes.std(axis=0, ddof=1)
    kept = live_units(codes) & (spread >= threshold * spread.max())
    words = f"{votes} votes of {rows} rows to fit and {votes} to score; {int(kept.sum())} of {len(kept)} units kept"
    if not kept.any():
        return Estimate(1.0 / count, 0.0, 1, votes, "accuracy", f"{words}: chance", seed)
    standard = codes[:, kept] / spread[kept]
    factor = rng.integers(count, size=2 * votes)
    chosen = [standard[_same_value(groups[k], rows, rng)] for k in factor]
    unit = np.array([np.argmin(part.var(axis=0, ddof=1)) for part in chosen])
    table = np.zeros((count, standard.shape[1]), np.int64)
    np.add.at(table, (factor[:votes], unit[:votes]), 1)
    hits = table.argmax(axis=0)[unit[votes:]] == factor[votes:]
    return replace(Estimate.of(hits, num_samples=1, protocol=words), unit="accuracy", seed=seed)


@counted(points=1, pairs=1)
def beta_vae_score(
    codes: np.ndarray, factors: np.ndarray, *, points: int = 1000, pairs: int = 64, seed: int
) -> Estimate:
    r"""How often a linear classifier tells from mean differences of codes which factor was fixed.

    The differences are $\frac1L\sum_l |z_l - z'_l|$.

    The weakest of these scores: a linear classifier may combine dimensions, so rotated codes of more than two factors,
    and factors spread over several dimensions, can still reach 1, and with f factors f - 1 good dimensions suffice.
    Chance is 1 / f.

    **Protocol:** each point holds a factor drawn at random, and takes `pairs` pairs of rows that share its value (each
    pair a value of its own, drawn by frequency); the L mean absolute differences, standardised, go to a multinomial
    logistic regression fitted on `points` points and scored on as many new ones; the error is that of these points.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        points: Points to fit on, and as many to score.
        pairs: L, pairs of rows of a point.
        seed: Seed of the points.

    Returns:
        The accuracy with its error, from 0 to 1.

    Source: Higgins et al. (2017), ICLR, appendix; rows stand for its simulator.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, factors = checked(codes, factors)
    groups, rng, count = _groups(factors), np.random.default_rng(seed), factors.shape[1]
    words = f"logistic regression on {points} points of {pairs} pairs, scored on {points} more"
    if count == 1:
        return Estimate(1.0, 0.0, 1, points, "accuracy", f"{words}; one factor is always named right", seed)
    factor = np.concatenate([np.arange(count), rng.integers(count, size=2 * points - count)])
    rows = [_pairs(groups[k], pairs, rng) for k in factor]
    differences = np.array([np.abs(codes[pair[:, 0]] - codes[pair[:, 1]]).mean(axis=0) for pair in rows])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    hits = classifier.fit(differences[:points], factor[:points]).predict(differences[points:]) == factor[points:]
    return replace(Estimate.of(hits, num_samples=1, protocol=words), unit="accuracy", seed=seed)


@counted(folds=2)
def explicitness(codes: np.ndarray, factors: np.ndarray, *, folds: int = 5, seed: int) -> Estimate:
    """Area under the ROC curve of a linear classifier of each value of each factor against the rest; chance is 0.5.

    Whether the code as a whole tells the factors in a form that a linear classifier reads: 1 where it does. It
    cannot see how dimensions share the work: rotating the code changes nothing.

    **Protocol:** codes standardised, multinomial logistic regression, `folds` stratified folds; on each held-out fold
    the area for every value, mean over values, then factors, then folds; the error is the spread over folds. Values
    with fewer rows than folds are left out. One-against-the-rest classifiers (the default of scikit-learn before
    0.22, in which published values were computed) cannot single out middle values and give less: a perfect code of
    an ordered factor is then well below 1. It is not moved so that chance is 0.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        folds: Stratified folds.
        seed: Seed of the folds.

    Returns:
        The area with its error, from 0 to 1.

    Source: Ridgeway & Mozer (2018), arXiv 1802.05312, section 3.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, factors = checked(codes, factors)
    areas = np.full((factors.shape[1], folds), np.nan)
    for k, column in enumerate(factors.T):
        frequent = np.bincount(column)[column] >= folds
        z, v = codes[frequent], column[frequent]
        if len(np.unique(v)) < 2:
            continue
        for f, (fit, test) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=seed).split(z, v)):
            classifier: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            with warnings.catch_warnings():
                # A code that separates values perfectly has no finite best weights; the areas are 1 long before.
                warnings.filterwarnings("ignore", message="lbfgs failed to converge")
                probabilities = classifier.fit(z[fit], v[fit]).predict_proba(z[test])
            by_value = [roc_auc_score(v[test] == c, p) for c, p in zip(classifier.classes_, probabilities.T)]
            areas[k, f] = np.mean(by_value)
    areas = areas[~np.isnan(areas[:, 0])]
    if not len(areas):
        message = f"no factor has two values with {folds} rows each."
        raise UsageError(message, where="factors", fix="Give more rows, or fewer folds.")
    by_fold = areas.mean(axis=0)
    words = f"area under the ROC curve, multinomial logistic regression in {folds} folds"
    return Estimate(float(by_fold.mean()), float(by_fold.std(ddof=1) / folds**0.5), 1, len(codes), "AUC", words, seed)


@counted(bins=1)
def disentanglement_scores(
    codes: np.ndarray, factors: np.ndarray, *, categorical: Sequence[int] = (), bins: int = BINS, seed: int
) -> dict[str, Estimate]:
    """Compute every score of disentanglement under its name in reports.

    They are `mig`, `sap`, `modularity`, `irs`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness`,
    `factor_vae_score`, `beta_vae_score` and `explicitness`.

    Args:
        codes: Usually posterior means, shape (n, d).
        factors: Whole numbers, shape (n, f).
        categorical: Columns of `factors` whose values have no order.
        bins: Bins of equal width for each latent dimension.
        seed: Seed of all scores.

    Returns:
        Name -> score with its error.
    """
    return {
        "mig": mig(codes, factors, bins=bins, seed=seed),
        "sap": sap(codes, factors, categorical=categorical, seed=seed),
        "modularity": modularity(codes, factors, bins=bins, seed=seed),
        "irs": irs(codes, factors, seed=seed),
        **dci(codes, factors, seed=seed),
        "factor_vae_score": factor_vae_score(codes, factors, seed=seed),
        "beta_vae_score": beta_vae_score(codes, factors, seed=seed),
        "explicitness": explicitness(codes, factors, seed=seed),
    }
