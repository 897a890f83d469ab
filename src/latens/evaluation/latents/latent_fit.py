"""The aggregated posterior against the prior: how far apart, can they be told apart, are there holes between codes."""

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from latens.data.batches import Batch
from latens.errors import DataError
from latens.evaluation.batched import Rows, map_rows
from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.resampling import as_rows, jackknife, same_width
from latens.evaluation.samples.two_sample import classifier_two_sample_test
from latens.io.process import counted
from latens.models import as_code
from latens.typing import Array, Key

MOST_ROWS = 2000
"""Of each set for the kernel: its matrix of all pairs is then 128 MB."""


@counted(permutations=1)
def maximum_mean_discrepancy(
    rows: np.ndarray, samples: np.ndarray, *, bandwidth: float | None = None, permutations: int = 200, seed: int
) -> dict[str, Estimate]:
    r"""The squared maximum mean discrepancy of two sets, with the p-value of a permutation test.

    `mmd` $E k(x, x') + E k(y, y') - 2 E k(x, y)$, unbiased, with $k = e^{-\|x - y\|^2 / 2h^2}$; `mmd_p_value`.

    0 in expectation where both sets have one distribution, so a value may be negative; at most 2. It has no unit and
    depends on h: only values of one bandwidth compare. The p-value is the share of random relabellings of the rows
    with as large a value, (1 + count) / (1 + permutations), and at least 1 / (1 + permutations).

    Args:
        rows: Shape (n, *x); of the larger set as many as of the smaller are used, at most 2000.
        samples: Shape (m, *x).
        bandwidth: h; None takes the median distance of two of all of them.
        permutations: Random relabellings for the p-value.
        seed: Seed of the choice and of the relabellings.

    Returns:
        `mmd` and `mmd_p_value`.

    Source: Gretton, Borgwardt, Rasch, Scholkopf & Smola (2012), JMLR 13, equation 3 and lemma 6.
    """
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(seed)
    x, y = as_rows(rows, "rows", at_least=4), as_rows(samples, "samples", at_least=4)
    same_width(x, y)
    n = min(len(x), len(y), MOST_ROWS)
    both = np.concatenate([part[rng.permutation(len(part))[:n]] for part in (x, y)])
    squares = cdist(both, both, "sqeuclidean")
    if bandwidth is None:
        bandwidth = float(np.sqrt(np.median(squares[np.triu_indices(2 * n, 1)])))
        bandwidth = bandwidth if bandwidth > 0.0 else 1.0  # all the same: any kernel sees that
    kernel = np.exp(-squares / (2.0 * bandwidth**2), out=squares)
    np.fill_diagonal(kernel, 0.0)
    sign = np.ones((2 * n, permutations + 1))
    for column in range(permutations + 1):
        second = np.arange(n, 2 * n) if column == 0 else rng.permutation(2 * n)[:n]
        sign[second, column] = -1.0
    within = 1.0 / (n * (n - 1))
    # s' K s = sum within both sets - 2 sum across; K has no diagonal, and the across sum has n^2 terms.
    quadratic, total = np.einsum("ic,ic->c", sign, kernel @ sign), kernel.sum()
    inside, across = (total + quadratic) / 2.0, (total - quadratic) / 4.0
    values = within * inside - 2.0 * across / n**2
    error = _pair_error(kernel, n)
    p_value = (1.0 + np.sum(values[1:] >= values[0] - 1e-12)) / (1.0 + permutations)
    words = f"unbiased, {n} of each, Gaussian kernel of bandwidth {bandwidth:.3g}"
    common: dict[str, Any] = {"num_samples": n, "n": n, "seed": seed}
    return {
        "mmd": Estimate(float(values[0]), error, unit="MMD^2", protocol=words, **common),
        "mmd_p_value": Estimate(
            float(p_value), float("nan"), unit="probability", protocol=f"{permutations} relabellings; {words}", **common
        ),
    }


def _pair_error(kernel: np.ndarray, n: int) -> float:
    """The error of a U-statistic of pairs (x_i, y_i): 2 sd(mean of h with the others) / sqrt(n)."""
    xx, yy, xy = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    own = np.diag(xy)
    first = (xx.sum(1) + yy.sum(1) - xy.sum(1) - xy.sum(0) + 2.0 * own) / (n - 1)
    return float(2.0 * first.std(ddof=1) / np.sqrt(n))


def hole_share(codes: np.ndarray, held_out: np.ndarray, prior: np.ndarray, *, percentile: float = 99.0) -> Estimate:
    """The share of prior draws that lie farther from every code than 99 of 100 held-out codes do."""
    # About 1 - percentile / 100 where codes and prior agree, 1 where no prior draw falls near a code: what a decoder
    # makes of these draws it has never been shown. It sees holes only, not codes beyond the prior; in many dimensions
    # all distances become alike, and it sees less. Its error is by leaving out tenths of all three, and at least that
    # of a share of the draws; NaN for fewer than 50 held-out codes, whose percentile is no more than their largest
    # distance.
    from sklearn.neighbors import NearestNeighbors

    names = ("codes", "held_out", "prior")
    reference, others, draws = (as_rows(part, name) for part, name in zip((codes, held_out, prior), names))
    same_width(reference, others)
    same_width(reference, draws)

    def share(reference: np.ndarray, others: np.ndarray, draws: np.ndarray) -> dict[str, float]:
        index = NearestNeighbors(n_neighbors=1).fit(reference)
        limit = np.percentile(index.kneighbors(others)[0][:, 0], percentile)
        return {"limit": float(limit), "far": float(np.mean(index.kneighbors(draws)[0][:, 0] > limit))}

    found = jackknife(share, reference, others, draws)
    (limit, _), (value, error) = found["limit"], found["far"]
    inner = (len(draws) * value + 0.5) / (len(draws) + 1)
    error = max(error, math.sqrt(inner * (1 - inner) / len(draws))) if len(others) >= 50 else math.nan
    words = f"farther from {len(reference)} codes than {percentile:g} % of {len(others)} held-out ones ({limit:.3g})"
    return Estimate(value, error, 1, len(draws), "share of prior draws", words)


def _codes(model: Any, batch: Batch, key: Key) -> tuple[Array, Array]:
    """A draw of the posterior and one of the prior for each row, as plain numbers: (B, n) both."""

    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, row_id))
        pair = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        first, second = (as_code(d, d.sample(key=k)).reshape(-1) for d, k in zip(pair, keys))
        return first, second

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def latent_fit(rows: Rows, *, permutations: int = 200) -> dict[str, Estimate]:
    """Compare the aggregated posterior with the prior: distance, two-sample test and holes between codes."""
    # Does $q(z) = \frac1n\sum_i q(z|x_i)$ look like $p(z)$? One draw of each a row, all levels, choices one-hot.
    # `aggregate_mmd` and `aggregate_mmd_p_value` (`maximum_mean_discrepancy`), `aggregate_two_sample` and
    # `aggregate_two_sample_p_value` (`classifier_two_sample_test`: accuracy of nearest neighbours, 0.5 where nothing
    # differs), `prior_holes` (`hole_share`: half the rows are the reference, the other half held out; about 0.01 where
    # nothing differs). A conditional model's prior is drawn with the conditions of the rows.
    if len(rows.batch.row_id) < 16:
        what = f"{len(rows.batch.row_id)} rows are too few to see a distribution."
        raise DataError(what, fix="Give at least 16 rows.")
    if rows.batch.weight is not None and np.ptp(np.asarray(rows.batch.weight)) > 0.0:
        what = "rows with weights are not compared with draws of the prior, which have none."
        raise DataError(what, where="weight", fix="Leave the weights out: dataclasses.replace(batch, weight=None).")
    data_key, order_key = jax.random.split(rows.key)
    codes, prior = map_rows(_codes, replace(rows, key=data_key))
    seed = int(jax.random.randint(order_key, (), 0, 2**31 - 1))
    order = np.random.default_rng(seed).permutation(len(codes))
    mmd = maximum_mean_discrepancy(codes, prior, permutations=permutations, seed=seed)
    test = classifier_two_sample_test(codes, prior, seed=seed)
    half = len(codes) // 2
    return {
        "aggregate_mmd": mmd["mmd"],
        "aggregate_mmd_p_value": mmd["mmd_p_value"],
        "aggregate_two_sample": test["two_sample_accuracy"],
        "aggregate_two_sample_p_value": test["two_sample_p_value"],
        "prior_holes": replace(hole_share(codes[order[:half]], codes[order[half:]], prior), seed=seed),
    }
