"""The alarm's density is that of the mixture, whatever the units, and few training steps are outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.evaluation.alarm import QUANTILE, alarm_from, fit_alarm


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
    densities = np.asarray(jax.vmap(alarm.log_prob)(np.float32(seen), np.float32(actions)))
    assert (densities < float(alarm.threshold)).mean() == pytest.approx(QUANTILE, abs=1e-9)
    scaled = fit_alarm(seen * 1000.0, actions)
    others = np.asarray(jax.vmap(scaled.log_prob)(np.float32(seen * 1000.0), np.float32(actions)))
    np.testing.assert_allclose(others + 2 * np.log(1000.0), densities, atol=2e-2)
    again = alarm_from(alarm.plain())
    assert density(again, seen[0], actions[0]) == density(alarm, seen[0], actions[0])
    assert float(again.threshold) == float(alarm.threshold)
