"""Can a classifier tell samples from rows? A test whose number has a unit."""

from typing import Any

import numpy as np

from latens.evaluation.samples.quality import Features, featured
from latens.evidence.estimate import Estimate


def classifier_two_sample_test(
    rows: np.ndarray, samples: np.ndarray, *, features: Features | None = None, classifier: Any = None, seed: int = 0
) -> dict[str, Estimate]:
    """Test whether a classifier, trained on one half of both sets, tells samples from rows on the other half.

    `two_sample_accuracy` is about 1/2 where nothing tells them apart, 1 where everything does. Of the larger set as
    many as of the smaller are used, drawn at random. `two_sample_p_value` is exact: given what the classifier says,
    every way to share out the true labels among the held-out half is equally likely if both sets have one
    distribution, so the number right follows a hypergeometric distribution (Fisher's exact test, upper tail).

    A small p-value says that there is a difference, not that it matters; an accuracy near 1/2 says that this
    classifier found none.

    Args:
        rows: Held-out rows, shape (n, *x).
        samples: Samples of the model, shape (m, *x).
        features: Function that both sets are compared by; None compares the rows themselves.
        classifier: With `fit` and `predict` as scikit-learn has them; None takes k nearest neighbours, k the root of
            the training rows.
        seed: Seed of the halves.

    Returns:
        `two_sample_accuracy` (a share) and `two_sample_p_value`.

    Raises:
        DataError: For fewer than four rows or samples.

    Source: Lopez-Paz & Oquab, Revisiting classifier two-sample tests, ICLR 2017, arXiv 1610.06545.
    """
    from scipy.stats import hypergeom
    from sklearn.neighbors import KNeighborsClassifier

    from latens.errors import DataError

    rows, samples = featured(rows, samples, features)
    n = min(len(rows), len(samples))
    if n < 4:
        raise DataError(f"{n} rows or samples are too few for a test.", where="rows", fix="Give at least four of each.")
    rng = np.random.default_rng(seed)
    rows, samples = (x[rng.permutation(len(x))[:n]] for x in (rows, samples))
    half = n // 2
    train = np.concatenate([rows[:half], samples[:half]])
    test = np.concatenate([rows[half:], samples[half:]])
    known, truth = np.arange(2 * half) >= half, np.arange(2 * (n - half)) >= n - half
    if classifier is None:
        classifier = KNeighborsClassifier(max(1, int(np.sqrt(len(train)))))
    said = np.asarray(classifier.fit(train, known).predict(test)).astype(bool)
    accuracy = float(np.mean(said == truth))
    # Of all held-out rows, half are samples; of those called so, how many are.
    p_value = float(hypergeom.sf(np.sum(said & truth) - 1, len(test), n - half, np.sum(said)))
    name = type(classifier).__name__
    protocol = f"{name} trained on {half} of each, share right of {n - half} others of each; 0.5 where nothing differs"
    error = float(np.sqrt(accuracy * (1.0 - accuracy) / len(test)))
    common: dict[str, Any] = {"num_samples": n, "n": n, "seed": seed}
    return {
        "two_sample_accuracy": Estimate(accuracy, error, unit="accuracy", protocol=protocol, **common),
        "two_sample_p_value": Estimate(
            p_value, float("nan"), unit="probability", protocol=f"exact, of {protocol}", **common
        ),
    }
