"""Forecasts of a frame with times, by the names and shapes of sktime's forecasters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from latens.config import VAEConfig, override
from latens.data import load
from latens.errors import DataError, UsageError
from latens.estimators.base import RandomState, given_settings, seed_of, whole
from latens.evidence.estimate import finite
from latens.fitting import prepare, train
from latens.predictive.forecasting import forecast
from latens.recipes import get_recipe
from latens.runtime.compilation import check_count
from latens.typing import checked_later

if TYPE_CHECKING:
    import pandas

TIME = "time"
"""The column that the index becomes."""


@checked_later  # scikit-learn may set anything here; fit looks at it
@dataclass(eq=False, repr=False, kw_only=True)
class VAEForecaster(BaseEstimator):
    r"""Forecast a series with draws of $p(x_{T+h} \mid x_{1:T})$ from a model with a latent for every step.

    Methods, arguments and results have the form of sktime's forecasters, but sktime is not needed. NaN, None and absent
    times are missing steps, and you do not need to fill them.

    Args:
        recipe: A recipe with a latent for every step (`deep-kalman`, `vrnn`, `linear-gaussian`), or a configuration.
        window: Steps of a training row, and of the steps before a forecast. None: a fifth of the series, at most 168.
        settings: Options of the configuration by name, such as {"training.steps": 300}.
        num_draws: Draws of a forecast, at least 2.
        random_state: Seed or generator. None: NumPy's global generator.

    Attributes:
        model_: The `TrainedModel`.
        window_: Steps of a training row.
        cutoff: The last observed time.

    Examples:
        >>> import pandas
        >>> hours = pandas.date_range("2024-01-01", periods=300, freq="h")
        >>> y = pandas.Series(np.sin(np.arange(300.0)), hours, name="y")
        >>> made = VAEForecaster(recipe="linear-gaussian", window=20, settings={"training.steps": 2}, random_state=0)
        >>> made = made.fit(y, fh=[1, 2, 3])
        >>> list(made.predict_interval(coverage=0.9).columns)
        [('y', 0.9, 'lower'), ('y', 0.9, 'upper')]

    Source: Löning et al. (2019), "sktime: a unified interface for machine learning with time series".
    """

    recipe: str | VAEConfig = "deep-kalman"
    window: int | None = None
    settings: Mapping[str, Any] | None = None
    num_draws: int = 500
    random_state: RandomState = None

    @whole
    def fit(
        self, y: "pandas.Series | pandas.DataFrame", X: object = None, fh: ArrayLike | None = None
    ) -> "VAEForecaster":
        """Train a model of the series.

        Args:
            y: A pandas Series or DataFrame, whose index has ascending times, periods or numbers at regular steps.
            X: Must be None.
            fh: The default steps of `predict`: 1 is the step after the last one.

        Returns:
            The estimator itself, fitted.

        Raises:
            DataError: The index has repeated, descending or irregular times, or too few steps.
            UsageError: `X` is passed, `fh` is not in the future, or the window does not fit.
        """
        lines = self._seen(y, X)
        count = len(lines)
        window = min(168, count // 5) if self.window is None else check_count(self.window, "window")
        if not 2 <= window <= count // 2:
            fix = f"Give 2 to {count // 2}." if count >= 4 else "Give a longer series."
            raise UsageError(f"a window of {window} of {count} steps.", where="window", fix=fix)
        config = get_recipe(self.recipe).config if isinstance(self.recipe, str) else self.recipe
        check_count(self.num_draws, "num_draws", least=2)
        self.seed_ = seed_of(self.random_state)
        config = override(config, {"training.seed": self.seed_, **given_settings(self.settings)})
        cut = {"sequence": "-", "time": TIME, "window": window, "stride": max(1, window // 4)}
        self.fh_ = None if fh is None else self._horizon(fh)
        self.model_ = train(prepare(config, load(lines, missing="nan", name="y", **cut)))[0]
        self.window_: int = window
        return self

    def update(self, y: "pandas.Series | pandas.DataFrame", X: object = None) -> "VAEForecaster":
        """Add later steps without training. Forecasts then start after these steps.

        Args:
            y: Further steps of the same columns, after the last one.
            X: Must be None.

        Returns:
            The estimator itself.
        """
        import pandas

        check_is_fitted(self)
        former, columns = self.y_, self._names
        self._seen(pandas.concat([former, y]) if isinstance(y, pandas.Series | pandas.DataFrame) else y, X)
        if self._names != columns:
            self.y_, self._names = former, columns
            raise DataError("the further steps have other columns.", where="y", fix=f"Give {columns}.")
        return self

    @property
    def cutoff(self) -> Any:
        """The last observed time."""
        check_is_fitted(self)
        return self.y_.index[-1]

    def predict(self, fh: ArrayLike | None = None, X: object = None) -> Any:
        """Forecast the median of every step.

        Args:
            fh: The steps, ascending and at least 1, or their times. None: those of `fit`.
            X: Must be None.

        Returns:
            A Series or DataFrame in the form of `y`, whose index contains the times.
        """
        import pandas

        draws, index = self._draws(fh, X)
        made = np.median(draws, axis=0)
        if self.y_.ndim == 1:
            return pandas.Series(made[:, 0], index, name=self.y_.name)
        return pandas.DataFrame(made, index, self.y_.columns)

    def predict_quantiles(
        self, fh: ArrayLike | None = None, X: object = None, alpha: float | Sequence[float] | None = None
    ) -> Any:
        """Forecast quantiles of every step.

        Args:
            fh: The steps or times. None: those of `fit`.
            X: Must be None.
            alpha: One or several probabilities. None: 0.05 and 0.95.

        Returns:
            A DataFrame with the columns (name, alpha).
        """
        import pandas

        levels = _shares([0.05, 0.95] if alpha is None else alpha, "alpha")
        draws, index = self._draws(fh, X)
        found = np.quantile(draws, levels, axis=0)
        pairs = [(name, level) for name in self._names for level in levels]
        cells = np.stack([found[levels.index(level), :, self._names.index(name)] for name, level in pairs], axis=1)
        return pandas.DataFrame(cells, index, pandas.MultiIndex.from_tuples(pairs))

    def predict_interval(
        self, fh: ArrayLike | None = None, X: object = None, coverage: float | Sequence[float] = 0.9
    ) -> Any:
        """Forecast central intervals of every step.

        Args:
            fh: The steps or times. None: those of `fit`.
            X: Must be None.
            coverage: One or several probabilities of the intervals.

        Returns:
            A DataFrame with the columns (name, coverage, "lower" or "upper").
        """
        import pandas

        levels = _shares(coverage, "coverage")
        found = self.predict_quantiles(fh, X, [0.5 + side * level / 2 for level in levels for side in (-1, 1)])
        ends = [(name, level, end) for name in self._names for level in levels for end in ("lower", "upper")]
        return pandas.DataFrame(found.to_numpy(), found.index, pandas.MultiIndex.from_tuples(ends))

    def _seen(self, y: object, X: object) -> Any:
        """The steps as a long table; keeps them."""
        import pandas

        if X is not None:
            raise UsageError("further series are not read.", where="X", fix="Put their columns into y.")
        if not isinstance(y, pandas.Series | pandas.DataFrame) or y.index.nlevels > 1:
            what = f"{type(y).__name__} is not a Series or DataFrame of one series."
            raise DataError(what, where="y", fix="Give one, with its times as the index.")
        frame = y.to_frame(0 if y.name is None else y.name) if y.ndim == 1 else y
        # The names as text: a file of the model knows no others.
        lines = frame.set_axis([f"{name}" for name in frame.columns], axis=1)
        index = y.index.to_timestamp() if isinstance(y.index, pandas.PeriodIndex) else y.index
        if TIME in lines or lines.columns.has_duplicates or not y.index.is_monotonic_increasing:
            what = "its columns are named twice or 'time', or its index does not ascend."
            raise DataError(what, where="y", fix="Use y.sort_index() and other names.")
        lines.insert(0, TIME, index)
        self.y_, self._names = y, list(frame.columns)
        return lines.reset_index(drop=True)

    def _horizon(self, fh: ArrayLike) -> Int[np.ndarray, " h"]:
        """The steps ahead, from numbers or from times."""
        import pandas

        own: Any = self.y_.index
        times = isinstance(own, pandas.DatetimeIndex | pandas.PeriodIndex)
        try:
            if times and np.asarray(fh).dtype.kind not in "biuf":
                steps = _steps_after(own, type(own)(pandas.Index(np.ravel(fh)) if np.ndim(fh) == 0 else fh))
            else:
                steps = np.atleast_1d(np.asarray(fh))
        except (TypeError, ValueError, AttributeError):  # of other types, zones or frequencies, or ragged
            steps = np.zeros((0, 0))
        ahead = steps.dtype.kind in "iuf" and steps.ndim == 1 and steps.size and np.all(steps == np.round(steps))
        if not ahead or steps.min() < 1 or np.any(np.diff(steps.astype(np.int64)) < 1):
            what = f"{fh!r:.100} is not ahead of what was seen."
            fix = "Give whole numbers from 1 on, ascending, such as [1, 2, 3], or times like those of y."
            raise UsageError(what, where="fh", fix=fix)
        return steps.astype(np.int64)

    def _draws(self, fh: ArrayLike | None, X: object) -> tuple[Float[np.ndarray, "M h d"], Any]:
        """Draws of the steps asked for, and their times."""
        import pandas

        check_is_fitted(self)
        steps = self.fh_ if fh is None else self._horizon(fh)
        if steps is None:
            raise UsageError("nothing says how far.", where="fh", fix="Give it to fit, or here.")
        lines, ahead = self._seen(self.y_, X), int(steps[-1])
        # Steps without a line are of the window too: what follows comes after the last line.
        lines = lines[np.round(_steps_after(pandas.Index(lines[TIME]))) > -self.window_]
        draws, times = self._followed(lines, ahead)
        index = pandas.Index(times[steps - 1])
        if isinstance(self.y_.index, pandas.DatetimeIndex | pandas.PeriodIndex):
            zone = getattr(self.y_.index, "tz", None)
            index = pandas.to_datetime(index, utc=zone is not None).as_unit("ns")
            index = index.tz_convert(zone) if zone is not None else index
            index = index.to_period(self.y_.index.freq) if isinstance(self.y_.index, pandas.PeriodIndex) else index
        index.name = self.y_.index.name
        return draws[:, steps - 1], index

    def _followed(self, lines: Any, steps: int) -> tuple[Float[np.ndarray, "M H d"], Any]:
        """Draws of what follows a long table of one row, and the times of these steps."""
        model, count = self.model_, check_count(self.num_draws, "num_draws", least=2)
        data: Any = load(lines, schema=model.schema, missing="nan", name="y")
        ends, sequences = np.asarray(data.places.count), model.schema.steps
        rows = model.rows(model.batch(data, np.arange(1)), seed=self.seed_)
        made = model.data_units(forecast(rows, steps=steps, num_draws=count, lengths=ends[:1]), mean=False)
        times = sequences.step.times(np.repeat(data.places.start[:1], steps), ends[0] + np.arange(steps))
        return np.asarray(finite(made, "draws", where="y"), np.float64)[0], times


def _steps_after(own: Any, other: Any = None) -> Float[np.ndarray, " n"]:
    """How many steps times lie after the last one of a series; by default its own times."""
    other = own if other is None else other
    if hasattr(own, "month") and hasattr(own, "tz"):
        if (own.tz is None) != (other.tz is None):
            raise TypeError
        own, other = own.as_unit("ns"), other.as_unit("ns")
        days = np.diff(own.asi8) / 86_400e9
        if days.min() >= 28 and (days % days.min()).any():  # months are of unlike length
            own, other = (12 * one.year + one.month for one in (own, other))
    elif hasattr(own, "asi8") and own.dtype != other.dtype:
        raise TypeError
    first, others = (np.asarray(getattr(one, "asi8", one), np.float64) for one in (own, other))
    return (others - first[-1]) / np.diff(first).min()


def _shares(given: float | Sequence[float], where: str) -> list[float]:
    """Probabilities, one or several."""
    made = np.atleast_1d(np.asarray(given, object)).tolist()  # objects: lists of unequal length are no array of numbers
    if not made or not all(isinstance(one, float | np.floating) and 0.0 < one < 1.0 for one in made):
        raise UsageError(f"{given!r:.100} is not between 0 and 1.", where=where, fix="Give for example 0.9.")
    return [float(one) for one in made]
