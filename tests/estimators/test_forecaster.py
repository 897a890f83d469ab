"""The forecaster against the exact predictive of its own linear-Gaussian model, and what it refuses."""

import pickle
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

pandas = pytest.importorskip("pandas")

from latens import VAEForecaster  # noqa: E402
from latens.data.schema import scaling  # noqa: E402
from latens.errors import DataError, UsageError  # noqa: E402
from latens.estimators import forecaster  # noqa: E402

AHEAD, WINDOW, DRAWS = 4, 8, 1000


def series(n: int = 160) -> Any:
    rng = np.random.default_rng(0)
    z = np.zeros(n)
    for t in range(1, n):
        z[t] = 0.9 * z[t - 1] + rng.normal()
    columns = {"load": 20 + 2 * z + 0.3 * rng.normal(size=n), "heat": 0.5 * z + 0.2 * rng.normal(size=n)}
    return pandas.DataFrame(columns, pandas.date_range("2024-01-01", periods=n, freq="h", name="hour"))


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model before its first step."""

    def train(experiment: Any) -> Any:
        return experiment.trained(experiment.new_model()), SimpleNamespace(history=[])

    monkeypatch.setattr(forecaster, "train", train)


@pytest.fixture
def fitted(untrained: None) -> Any:
    made = VAEForecaster(recipe="linear-gaussian", window=WINDOW, num_draws=DRAWS, random_state=0)
    return made.fit(series(), fh=[1, 2, AHEAD])


def predictive(made: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the steps to come, by a joint Normal of all cells, from the model's arrays."""
    double = lambda array: np.asarray(getattr(array, "value", array), np.float64)  # noqa: E731
    decoder = made.model_.model.decoder
    drift, write = double(decoder.drift), double(decoder.write)
    steps, (size, d) = WINDOW + AHEAD, write.shape
    z_mean, z_cov = [double(decoder.first)[0]], np.zeros((steps, steps, size, size))
    z_cov[0, 0] = np.diag(np.exp(2 * double(decoder.first)[1]))
    for t in range(1, steps):
        z_mean.append(z_mean[-1] @ drift + double(decoder.rest)[0])
        for s in range(t):
            z_cov[t, s] = drift.T @ z_cov[t - 1, s]
            z_cov[s, t] = z_cov[t, s].T
        z_cov[t, t] = drift.T @ z_cov[t - 1, t - 1] @ drift + np.diag(np.exp(2 * double(decoder.rest)[1]))
    shift, scale = (one[0] for one in scaling(made.model_.schema))  # the same at every step
    mean = ((np.stack(z_mean) @ write + double(decoder.bias)) * scale + shift).ravel()
    cov = np.einsum("kd,tskl,le->tdse", write, z_cov, write)
    noise = np.exp(double(decoder.head.head.log_scale)) + made.model_.config.likelihood.scale_floor
    cov[np.arange(steps), :, np.arange(steps), :] += np.diag(noise**2)
    cov = (cov * scale[:, None, None] * scale).reshape(steps * d, -1)
    x = y.to_numpy()[-WINDOW:].ravel()
    seen = np.flatnonzero(np.isfinite(x))
    ahead = np.arange(WINDOW * d, steps * d)
    solved = np.linalg.solve(cov[np.ix_(seen, seen)], cov[np.ix_(seen, ahead)])
    left = cov[np.ix_(ahead, ahead)] - cov[np.ix_(ahead, seen)] @ solved
    found = mean[ahead] + (x[seen] - mean[seen]) @ solved
    return found.reshape(AHEAD, d), np.sqrt(np.diag(left)).reshape(AHEAD, d)


def test_medians_quantiles_and_intervals_are_those_of_the_exact_predictive(fitted: Any) -> None:
    mean, spread = predictive(fitted, series())
    rows = [0, 1, AHEAD - 1]
    mean, spread = mean[rows], spread[rows]
    found = fitted.predict()
    assert found.index.equals(pandas.date_range(fitted.cutoff, periods=5, freq="h")[[1, 2, 4]])
    assert list(found.columns) == ["load", "heat"]
    # The error of a quantile of M draws: sqrt(p (1 - p) / M) over the density there.
    assert np.all(np.abs(found.to_numpy() - mean) < 4 * spread * np.sqrt(np.pi / 2 / DRAWS))
    levels = [0.05, 0.5, 0.9]
    quantiles = fitted.predict_quantiles(alpha=levels)
    assert list(quantiles.columns) == [(name, level) for name in ("load", "heat") for level in levels]
    for level in levels:
        unit = NormalDist().inv_cdf(level)
        error = np.sqrt(level * (1 - level) / DRAWS) / NormalDist().pdf(unit)
        for j, name in enumerate(("load", "heat")):
            away = (quantiles[name, level].to_numpy() - mean[:, j]) / spread[:, j] - unit
            assert np.all(np.abs(away) < 4 * error)
    bands = fitted.predict_interval([1, 2, AHEAD], coverage=[0.9, 0.5])
    assert list(bands.columns)[:4] == [("load", c, end) for c in (0.9, 0.5) for end in ("lower", "upper")]
    np.testing.assert_allclose(bands["heat", 0.9, "lower"], fitted.predict_quantiles(alpha=0.05)["heat", 0.05])
    np.testing.assert_allclose(bands["load", 0.5, "upper"], fitted.predict_quantiles(alpha=0.75)["load", 0.75])


def test_later_steps_move_the_forecast_without_training(fitted: Any) -> None:
    y = series()
    other = pickle.loads(pickle.dumps(fitted))
    later = pandas.DataFrame(
        {"load": [25.0, np.nan], "heat": [1.0, 2.0]}, pandas.date_range(y.index[-1], periods=3, freq="h")[1:]
    )
    other.update(later)
    assert other.cutoff == later.index[-1]
    mean, spread = predictive(other, pandas.concat([y, later]))
    found = other.predict([1, AHEAD])
    assert np.all(np.abs(found.to_numpy() - mean[[0, -1]]) < 4 * spread[[0, -1]] * np.sqrt(np.pi / 2 / DRAWS))
    times = found.index
    pandas.testing.assert_frame_equal(other.predict(times), found)
    with pytest.raises(DataError, match="other columns"):
        other.update(later.set_axis(["load", "cold"], axis=1).set_axis(later.index + pandas.Timedelta("2h")))
    assert other.cutoff == later.index[-1]


def test_series_periods_and_numbers_keep_their_index_and_name() -> None:
    y = series(60)["heat"]
    made = VAEForecaster(recipe="linear-gaussian", window=8, num_draws=8, random_state=0)
    days, months = (pandas.date_range("2024-01-01", periods=63, freq=one) for one in ("D", "MS"))
    hours = pandas.date_range("2024-10-24 13:00", periods=183, freq="h", tz="Europe/Oslo")[120:]  # the clock changes
    working = pandas.bdate_range("2024-01-01", periods=60)  # the last window has ten steps without a line
    longer = pandas.period_range("2024-01-01", periods=63, freq="D"), pandas.RangeIndex(63), days, months, hours
    for index in (*longer, working.append(pandas.date_range(working[-1] + pandas.Timedelta("1D"), periods=3))):
        one = clone(made).fit(y.set_axis(index[:60]))
        found = one.predict([1, 3])
        assert isinstance(found, pandas.Series)
        assert (found.name, list(found.index)) == ("heat", list(index[[60, 62]]))
        if not isinstance(index, pandas.RangeIndex):
            assert one.predict(found.index).equals(found)


def test_what_cannot_be_forecast_is_refused(fitted: Any) -> None:
    y, made = series(40), VAEForecaster(window=8)
    for bad in (y.to_numpy(), y.iloc[::-1], y.rename(columns={"load": "time"}), pandas.concat([y, y], axis=1)):
        with pytest.raises(DataError, match="y: "):
            made.fit(bad)
    with pytest.raises(DataError, match="twice"):
        made.fit(y.iloc[[0, 1, 1, *range(2, 40)]])
    with pytest.raises(UsageError, match="X: "):
        made.fit(y, X=y)
    with pytest.raises(UsageError, match="window"):
        VAEForecaster(window=30).fit(y)
    for fh in (0, [2, 1], [1.5], [], y.index[:2], [[1]], [[1], [1, 2]], y.index[-1:].tz_localize("UTC"), "x"):
        with pytest.raises(UsageError, match="fh"):
            fitted.predict(fh)
    for level in (0.0, 1.0, [], [0.5, 2.0]):
        with pytest.raises(UsageError, match="alpha"):
            fitted.predict_quantiles(alpha=level)
    fitted.fh_ = None
    with pytest.raises(UsageError, match="nothing says how far"):
        fitted.predict()
