"""What importance weights say of themselves: against known tails, the conjugate pair, and exact evidences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import special, stats
from tables import conjugate_pair

from latens.data.dataset import as_batch
from latens.errors import ConfigError
from latens.evidence import LogMarginals, ModelRows, importance_sampling, pareto_k

LOG_P = -1.82801212348  # the reference page, Ab


def reference_k(weights: np.ndarray) -> float:
    """Zhang & Stephens (2009) with the weak prior, one candidate after the other, in float64."""
    count = int(np.ceil(min(0.2 * len(weights), 3 * np.sqrt(len(weights)))))
    ordered = np.sort(weights)
    x = ordered[-count:] - ordered[-count - 1]
    candidates, likelihoods = [], []
    m = 30 + int(np.sqrt(count))
    for j in range(1, m + 1):
        b = 1 / x[-1] + (1 - np.sqrt(m / (j - 0.5))) / (3 * x[int(count / 4 + 0.5) - 1])
        k = np.mean([np.log1p(-b * value) for value in x])
        candidates.append(b)
        likelihoods.append(count * (np.log(-b / k) - k - 1))
    b = np.sum(special.softmax(likelihoods) * candidates)
    k = np.mean(np.log1p(-b * x))
    return (k * count + 5) / (count + 10)


@pytest.mark.parametrize("k", [0.0, 0.3, 0.7, 1.2])
def test_k_is_that_of_a_known_tail(k: float) -> None:
    """Excesses of a generalised Pareto distribution over any threshold have its k."""
    weights = stats.genpareto(k).rvs((300, 2000), random_state=np.random.default_rng(1))
    found = np.asarray(jax.vmap(pareto_k)(jnp.asarray(np.log(weights), jnp.float32)))
    expected = [reference_k(row) for row in weights[:5]]
    close(found[:5], expected, rtol=0, atol=2e-3)
    # The estimator itself is off by less than a hundredth at 135 tail draws, whose prior weighs as much as 10 more.
    tail = int(np.ceil(3 * np.sqrt(2000)))
    agrees(found, (k * tail + 5) / (tail + 10), other_error=0.01 / 5)


def test_k_of_extreme_weights_and_of_equal_ones() -> None:
    assert float(pareto_k(jnp.linspace(-900.0, 0.0, 1000))) > 1.0
    assert float(pareto_k(jnp.full(1000, -80.0))) == 0.0
    assert np.isnan(float(pareto_k(jnp.zeros(20))))


def test_the_conjugate_pair_has_the_effective_draws_of_its_chi_square() -> None:
    batch = as_batch(np.full((20, 1), 1.5, np.float32), row_id=np.arange(20))
    pair, z = conjugate_pair(), np.linspace(-12.0, 12.0, 100_001)
    q, own = pair.posterior(jnp.asarray(batch.x[0])), stats.norm(0.75, np.sqrt(0.5)).pdf(z)
    loc, scale = (np.asarray(part, np.float64)[0] for part in (q.loc, np.exp(q.log_scale_array())))
    parts = (0.75, loc, scale), (0.125, loc, 2 * scale), (0.125, 0.0, 1.0)
    mixture = sum(share * stats.norm(at, wide).pdf(z) for share, at, wide in parts)
    chi_squared = np.trapezoid(own**2 / mixture, z) - 1
    found = importance_sampling(ModelRows(pair, batch), num_samples=3000)
    agrees(found.rows, LOG_P - chi_squared / (2 * 3000))
    agrees(found.effective_sample_size / 3000, 1 / (1 + chi_squared), other_error=1e-4)
    agrees(found.row_errors, np.sqrt(chi_squared / 3000), other_error=1e-5)
    # The errors are those that the rows, all the same, show; posterior weights of a wider q are bounded.
    assert 0.6 < np.std(found.rows, ddof=1) / np.mean(found.row_errors) < 1.5
    assert np.max(found.pareto_k) < 0.5


def test_a_report_names_its_worst_row() -> None:
    found = LogMarginals(
        np.array([-1.0, -3.0]), np.array([0.3, 0.4]), 100, "made", np.array([50.0, 2.0]), np.array([0.1, 0.9]), 99
    )
    numbers = found.estimates()
    assert list(numbers) == ["log_marginal", "effective_sample_size", "pareto_k"]
    assert (numbers["log_marginal"].value, numbers["log_marginal"].standard_error) == (-2.0, pytest.approx(1.0))
    assert found.sums.monte_carlo_error == pytest.approx(0.25)
    assert "smallest is 2.0" in numbers["effective_sample_size"].protocol
    assert "largest is 0.90, and 1 of 2 rows are above 0.7" in numbers["pareto_k"].protocol


def test_one_draw_is_refused() -> None:
    batch, key = as_batch(np.ones((1, 1), np.float32)), jax.random.key(0)
    with pytest.raises(ConfigError, match="one draw has no error"):
        importance_sampling(ModelRows(conjugate_pair(), batch, key=key), num_samples=1)
