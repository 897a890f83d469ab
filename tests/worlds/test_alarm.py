"""The alarm's density is that of the mixture, whatever the units, and few training steps are outside."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.errors import UsageError
from latens.evaluation.alarm import RATE, Alarm, alarm_from, calibrated, densities, fit_alarm, threshold_of


def density(alarm, seen, action):
    return float(alarm.log_prob(jnp.asarray(seen, jnp.float32), jnp.asarray(action, jnp.float32)))


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ np.array([[2.0, 0.3], [0.0, 0.5]]) + [5.0, -1.0], rng


def test_one_gaussian_of_boxes_is_that_of_mean_and_covariance(monkeypatch):
    monkeypatch.setattr("latens.evaluation.alarm.COMPONENTS", (1,))
    seen, rng = rows(4000)
    actions = rng.uniform(-1, 1, (4000, 1))
    alarm = fit_alarm(seen, actions)
    both = np.concatenate([seen, actions], axis=1)
    kept = both[np.arange(4000) % 10 != 9]
    exact = stats.multivariate_normal(kept.mean(0), np.cov(kept.T))
    point = np.array([6.0, -2.0, 0.3])
    assert density(alarm, point[:2], point[2:]) == pytest.approx(exact.logpdf(point), abs=2e-3)


def test_a_discrete_action_has_a_share_and_gaussians_of_its_own():
    seen, rng = rows(4000)
    actions = (rng.uniform(size=4000) < 0.25).astype(int)
    seen[actions == 1, 0] += 20.0
    alarm = fit_alarm(seen, actions[:, None], places=3)
    exact = [stats.multivariate_normal(seen[actions == a].mean(0), np.cov(seen[actions == a].T)) for a in (0, 1)]
    for a, point in ((0, [4.0, -1.0]), (1, [26.0, -1.0])):
        expected = exact[a].logpdf(point) + np.log((actions == a).mean())
        assert density(alarm, point, [a]) == pytest.approx(expected, abs=0.1)
    assert density(alarm, [26.0, -1.0], [0]) < float(alarm.threshold)
    assert density(alarm, [4.0, -1.0], [2]) < float(alarm.threshold)  # was never taken


def test_one_step_in_a_thousand_is_outside_and_units_change_nothing():
    seen, rng = rows(5000)
    actions = rng.uniform(-1, 1, (5000, 1))
    alarm = fit_alarm(seen, actions)
    found = densities(alarm, seen, actions)
    assert (found < float(alarm.threshold)).sum() == int(RATE * 5001) - 1
    assert (found <= float(alarm.threshold)).sum() == int(RATE * 5001)
    scaled = fit_alarm(seen * 1000.0, actions)
    others = densities(scaled, seen * 1000.0, actions)
    np.testing.assert_allclose(others + 2 * np.log(1000.0), found, atol=2e-2)
    again = alarm_from(alarm.plain())
    assert density(again, seen[0], actions[0]) == density(alarm, seen[0], actions[0])
    assert float(again.threshold) == float(alarm.threshold)


@pytest.mark.parametrize(
    ("count", "rate", "place"), [(999, 0.001, 1), (1999, 0.01, 20), (1999, 0.1, 200), (49, 0.01, 1)]
)
def test_a_further_honest_step_is_flagged_with_the_probability_that_is_promised(count, rate, place):
    """The share below the k-th smallest of n has the law Beta(k, n + 1 - k), whatever the densities are."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        made = threshold_of(np.sort(rng.uniform(size=count)), count, rate)  # of uniforms the share is the threshold
        shares.append(made.value)
        assert made.rate == place / (count + 1)
    law = stats.beta(place, count + 1 - place)
    assert np.mean(shares) == pytest.approx(law.mean(), abs=4 * law.std() / 20)
    assert stats.kstest(shares, law.cdf).pvalue > 1e-3


def test_rates_that_cannot_be_kept_are_refused():
    least = np.arange(20.0)
    assert threshold_of(least, 1999, 0.01) == (19.0, 0.01)
    with pytest.raises(UsageError, match=r"needs 22 densities.*at most 0\.01"):
        threshold_of(least, 1999, 0.011)
    for rate in (0.0, 1.0, -1.0, np.nan):
        with pytest.raises(UsageError, match="alarm_rate"):
            threshold_of(least, 1999, rate)


@pytest.mark.parametrize("rate", [0.001, 0.05])
def test_the_farther_a_policy_leaves_the_data_the_more_of_its_steps_are_flagged(rate):
    """Of a Normal in 3 numbers, moved by s of its spreads: 1 - F of chi-squared, noncentral by s^2, exactly."""
    rng = np.random.default_rng(2)
    alarm = Alarm(jnp.zeros((1, 1)), jnp.zeros((1, 1, 3)), jnp.eye(3)[None, None], jnp.float32(0.0), discrete=False)
    honest = rng.normal(size=(40_000, 3))
    alarm, made = calibrated(alarm, densities(alarm, honest[:, :2], honest[:, 2:]), rate)
    assert made.rate == pytest.approx(rate, rel=0.03)
    for strength in (0.0, 1.0, 2.0, 4.0, 8.0):
        steps = rng.normal(size=(20_000, 3)) + strength * np.array([0.6, 0.0, 0.8])
        flagged = np.mean(densities(alarm, steps[:, :2], steps[:, 2:]) < float(alarm.threshold))
        exact = stats.ncx2.sf(stats.chi2.isf(rate, 3), 3, strength**2) if strength else rate
        # What the threshold varies by, beside what the steps do.
        moved = 4 * np.sqrt(rate / 40_000) * max(1.0, exact / rate)
        assert flagged == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + moved)
