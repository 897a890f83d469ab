"""The two Bayes classifiers of MLQ.ai's deep-learning guide, which follows the LazyProgrammer course, with scipy.

Source: github.com/lazyprogrammer/machine_learning_examples, unsupervised_class3/bayes_classifier_gaussian.py and
bayes_classifier_gmm.py. p(y) is a class's share of the training rows; p(x|y) is one Gaussian with the full sample
covariance, or scikit-learn's `BayesianGaussianMixture` of 10 full-covariance components. The source only samples and
adds nothing to a covariance; here 1e-3 is added to every diagonal (MNIST has constant pixels), and a row goes to the
class with the largest log p(y) + log p(x|y). Grey pixels in [0, 1].

    python mlq_bayes.py --data MNIST [--kind gaussian|mixture|both] [--rows N] [--max-iter 100]
"""

import time
import warnings
from typing import Any

import common
import numpy as np
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

CLASSES = range(10)


def gaussian_log_density(rows: np.ndarray, test: np.ndarray, reg_covar: float) -> tuple[np.ndarray, dict[str, Any]]:
    """log p(test|y) under the one Gaussian fitted to `rows`, in nats: shape (N,)."""
    covariance = np.cov(rows, rowvar=False) + reg_covar * np.eye(rows.shape[1])
    return multivariate_normal(rows.mean(axis=0), covariance).logpdf(test), {}


def mixture_log_density(
    rows: np.ndarray, test: np.ndarray, reg_covar: float, components: int, max_iter: int, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """log p(test|y) under the variational mixture fitted to `rows`, in nats: shape (N,)."""
    mixture = BayesianGaussianMixture(
        n_components=components, reg_covar=reg_covar, max_iter=max_iter, random_state=seed
    )
    with warnings.catch_warnings():
        # Whether it converged is in the result.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(rows)
    return mixture.score_samples(test), {"iterations": int(mixture.n_iter_), "converged": bool(mixture.converged_)}


def main() -> None:
    parser = common.options(__doc__, epochs=None)
    parser.add_argument("--kind", choices=["gaussian", "mixture", "both"], default="both")
    parser.add_argument("--reg-covar", type=float, default=1e-3)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--max-iter", type=int, default=100)
    arguments = parser.parse_args()
    data = common.load_mnist(arguments.data)
    x, y = data["x_train"][: arguments.rows] / 255.0, data["y_train"][: arguments.rows]
    test = data["x_test"] / 255.0
    results = []
    for kind in ["gaussian", "mixture"] if arguments.kind == "both" else [arguments.kind]:
        began, scores, details = time.perf_counter(), [], []
        for label in CLASSES:
            rows = x[y == label]
            if kind == "gaussian":
                log_density, detail = gaussian_log_density(rows, test, arguments.reg_covar)
            else:
                extra = arguments.components, arguments.max_iter, arguments.seed
                log_density, detail = mixture_log_density(rows, test, arguments.reg_covar, *extra)
                common.say(arguments, f"mixture of class {label}: {detail}, {time.perf_counter() - began:.0f} s so far")
            scores.append(log_density + np.log(len(rows) / len(x)))
            details.append(detail)
        accuracy = float(np.mean(np.argmax(scores, axis=0) == data["y_test"]))
        seconds = round(time.perf_counter() - began, 1)
        common.say(arguments, f"mlq-{kind}: test accuracy {accuracy:.4f} on {len(x):,} training rows, {seconds} s")
        results.append(
            {
                "tutorial": f"mlq-{kind}",
                "test_accuracy": accuracy,
                "train_rows": len(x),
                "reg_covar": arguments.reg_covar,
                "seconds": seconds,
                "classes": details,
            }
        )
    common.finish(arguments, {"seed": arguments.seed, "results": results})


if __name__ == "__main__":
    main()
