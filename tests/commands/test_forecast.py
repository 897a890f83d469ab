"""`latens forecast` on a model at its closed form: the table, the comparison, the picture, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import latens
from latens.commands.forecast import _steps
from latens.config import override
from latens.data import load
from latens.errors import ConfigError, DataError, UsageError
from latens.evidence.rivals import season_of, series_baselines
from latens.recipes import get_recipe

PERIOD, NOISE = 8, 0.1


def waves(rows: int, steps: int = 40, seed: int = 0) -> np.ndarray:
    """Two columns that repeat every 8 steps, in units of their own, with gaps."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps) + rng.integers(0, PERIOD, rows)[:, None]
    clean = np.stack([np.sin(2 * np.pi * t / PERIOD), 5.0 + 3.0 * np.cos(2 * np.pi * t / PERIOD)], axis=2)
    x = clean + NOISE * np.array([1.0, 3.0]) * rng.normal(size=clean.shape)
    return np.where(rng.random(x.shape) < 0.1, np.nan, x).astype(np.float32)


@pytest.fixture(scope="module")
def trained() -> Any:
    # Two steps at a rate of next to nothing: the closed form.
    settings = {"optimizer.learning_rate": 1e-9, "posterior.units": 4, "network.hidden": [4], "training.steps": 2}
    config = override(get_recipe("deep-kalman").config, settings)
    return latens.fitting.train(latens.fitting.prepare(config, load(waves(200), sequence="-", missing="nan")))[0]


def test_a_forecast_is_written_and_judged(trained: Any, tmp_path: Path) -> None:
    x = waves(12, seed=1)
    out = tmp_path / "ahead.csv"
    made = trained.forecast(x, steps=6, draws=100, backtest=True)
    made.write(out)
    lines = out.read_text().splitlines()
    assert lines[0].split(",")[2:] == [f"x{c}{q}" for c in (0, 1) for q in (".q05", ".q25", "", ".q75", ".q95")]
    assert len(lines) == 1 + 12 * 6
    value = made.value
    # A Normal's CRPS is 0.564 of its scale: the noise over the spread of a sine, beside that of a mean of two seasons.
    assert value["crps"] < 1.1 * 0.564 * NOISE * np.sqrt(2.0) * np.sqrt(1.0 + 1.0 / 2.0)
    assert 0.8 < value["coverage_90"] <= 1.0
    assert value["seasonal_naive"]["season"] == PERIOD
    assert value["crps"] < value["seasonal_naive"]["crps"]
    assert f"the step {PERIOD} before" in made.text
    plain = trained.forecast(x, steps=2, draws=10)
    assert plain.arrays["draws"].shape == (12, 10, 2, 2)
    np.testing.assert_array_equal(plain.arrays["draws"], trained.forecast(x, steps=2, draws=10).arrays["draws"])
    weighed = trained.forecast(x, steps=2, draws=100, particles=50)
    apart = weighed.arrays["draws"].mean(axis=1) - trained.forecast(x, steps=2, draws=100).arrays["draws"].mean(axis=1)
    assert np.abs(apart / np.array([1.0, 3.0])).mean() < 0.15


def test_what_cannot_be_forecast_is_refused(trained: Any) -> None:
    x = waves(3)
    with pytest.raises(DataError, match="nothing comes before"):
        trained.forecast(x, steps=40, backtest=True)
    with pytest.raises(UsageError, match="steps"):
        trained.forecast(x, steps=0)
    with pytest.raises(ConfigError, match="rows of steps"):
        get_recipe("deep-kalman").resolve(get_recipe("deep-kalman").config, load(np.zeros((30, 4), np.float32)))


def test_steps_that_follow_have_the_sequence_and_the_time_of_their_windows() -> None:
    """Of windows of three lines, of which the last is hidden: it is the one after the last that is seen."""
    table = pl.DataFrame({"who": list("ab") * 20, "t": np.arange(40) // 2 + 5, "u": np.arange(40.0)})
    data = load(table, sequence="who", time="t", window=3, stride=1)
    found = _steps(data, np.arange(len(data)), np.full(len(data), 2), 1)
    seen = table[data.x[:, 1, 0].round().astype(int)]  # a line holds its own number
    assert_frame_equal(
        pl.DataFrame(found).cast(pl.String),
        pl.DataFrame({"who": seen["who"], "origin": seen["t"], "t": seen["t"] + 1}).cast(pl.String),
    )


def test_what_needs_no_model_is_a_density() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(50, 40, 2))
    everywhere = np.ones(noise.shape, bool)
    assert season_of(noise, everywhere) is None
    found = series_baselines(noise, everywhere, noise, everywhere)
    exact = -0.5 * 80 * (1.0 + np.log(2.0 * np.pi))  # what independent Normals have
    assert abs(found["regression"].mean() - exact) < 2.0
    assert (
        abs(found["seasonal_naive"].mean() - (exact - 78 * 0.5 * np.log(2.0))) < 2.0
    )  # differences vary twice as much
    seen = rng.random(noise.shape) < 0.5
    changed = np.where(seen, noise, 1e9)
    a, b = (series_baselines(noise, everywhere, one, seen)["regression"] for one in (noise, changed))
    np.testing.assert_array_equal(a, b)
