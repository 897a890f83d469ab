"""`latens forecast`: what follows sequences, with its quantiles, and how good it was where that is known."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from latens.commands._lazy import estimate, forecasting, np
from latens.commands.base import Call, DryRun, ModelCommand, Result, Seed, Work, arg, parts, whole
from latens.errors import DataError

if TYPE_CHECKING:
    from latens.data import Dataset

_BACKTEST = "hide the last H steps of each row, forecast them, and compare"
_PARTICLES = "start from N states of a particle filter (default: from the posterior)"


class Forecast(ModelCommand):
    """Forecast the next steps of sequences."""

    endings: ClassVar = (".csv", ".parquet", ".npz")
    needs_density: ClassVar = ("what follows a row", "Train with --recipe deep-kalman.")
    data: Annotated[Any, arg("the sequences to continue", "DATA", reads=True)]
    steps: Annotated[int, arg("number of steps to forecast", metavar="H", kind=whole(1, 2**16))]
    draws: Annotated[int, arg("draws for each sequence (default 200)", metavar="M", kind=whole(2, 10**5))] = 200
    backtest: Annotated[bool, arg(_BACKTEST)] = False
    particles: Annotated[int | None, arg(_PARTICLES, metavar="N", kind=parts)] = None
    seed: Seed = 0

    def __call__(self, at: Call) -> Work:
        trained, steps = at.trained, self.steps
        at.given = {"missing": "nan", **at.given}
        data = at.load()
        ends, positions, cut = self._ends(at, data)
        words = f"forecast {steps} steps of {len(positions)} rows of {data.name}; nothing was written"
        yield DryRun(words, {"rows": len(positions), "steps": steps})
        batch = trained.batch(data, positions)
        x = np.asarray(data.x[positions], np.float64)
        seen = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask[positions])
        place = ends[:, None] + np.arange(steps)
        within = np.minimum(place, x.shape[1] - 1)
        row = np.arange(len(x))[:, None]
        before = (np.arange(x.shape[1]) < ends[:, None]).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        known = seen & before
        given = np.asarray(batch.cond["inputs"])[row, within] if batch.cond and "inputs" in batch.cond else None
        rows = trained.rows(replace(batch, mask=known), seed=self.seed)
        made = forecasting.forecast(
            rows, steps=steps, num_draws=self.draws, inputs=given, lengths=ends, particles=self.particles or 0
        )
        made = estimate.finite(trained.data_units(made, mean=False), "draws", where=at.name)
        flat = made.reshape(*made.shape[:3], -1)
        names, scale = _columns(data)
        quantiles = np.quantile(flat.astype(np.float64), forecasting.QUANTILES, axis=1)
        rest = {name: array for name, array in _steps(data, positions, ends, steps).items() if name not in names}
        table = dict(rest)
        for j, name in enumerate(names):
            for q, cells in zip(forecasting.QUANTILES, quantiles):
                table[name if q == 0.5 else f"{name}.q{100 * q:02.0f}"] = cells[..., j].ravel()
        text = f"{steps} steps after each of {len(positions)} rows of {data.name}, {self.draws} draws"
        value: dict[str, Any] = {"rows": len(positions), "steps": steps, "draws": self.draws}
        arrays = {"draws": made, "row_id": data.names[positions]}
        warnings: list[str] = []
        if cut:
            truth = x[row, within].reshape(len(x), steps, -1)
            shown = seen[row, within].reshape(truth.shape)
            if shown.any():
                told, lines, warnings = self._judged(flat, truth, shown, x, known, ends, scale, names)
                value, text = value | told, f"{text}\n{lines}"
                arrays["truth"] = np.nan_to_num(np.where(shown, truth, np.nan))
        return Result(arrays=arrays, table=table, value=value, text=text, warnings=tuple(warnings))

    def _ends(self, at: Call, data: "Dataset") -> "tuple[np.ndarray, np.ndarray, bool]":
        """The step that follows each row, the rows that are followed, and whether that is known."""
        length, places = data.x.shape[1], data.places
        counts = np.full(len(data), length) if places is None else np.asarray(places.count)
        inputs = data.schema.inputs
        cut = self.backtest or bool(inputs)
        positions = np.arange(len(data)) if places is None or self.backtest else np.flatnonzero(places.last)
        ends = counts[positions] - (self.steps if cut else 0)
        if not len(positions) or np.any(ends < 1):
            short = int(counts[positions].min(initial=0))
            what = f"{self.steps} steps are hidden, and a row has {short}: nothing comes before them."
            raise DataError(what, where=data.name, fix="Use fewer --steps, or longer rows (--window).")
        if inputs and not self.backtest:
            mask = np.ones(data.x.shape, bool) if data.mask is None else data.mask
            after = mask[positions] & (np.arange(length) >= ends[:, None])[..., None]
            if after.any():
                named = ", ".join(one.name for one in inputs)
                what = f"the model reads {named} at the steps to come, which are not there."
                raise DataError(what, where=data.name, fix="Add lines for them with these cells alone; or --backtest.")
        return ends, positions, cut

    def _judged(
        self, draws: "np.ndarray", truth: "np.ndarray", shown: "np.ndarray", x: "np.ndarray", known: "np.ndarray",
        ends: "np.ndarray", scale: "np.ndarray", names: list[str],
    ) -> "tuple[dict[str, Any], str, list[str]]":  # fmt: skip
        """What is said of a forecast where it is known what came."""
        from latens.evidence.rivals import seasonal_draws
        from latens.predictive.forecasting import judged

        found = judged(draws, truth, shown, scale)
        flat = x.reshape(*x.shape[:2], -1)
        before = known.reshape(flat.shape)
        rival, season = seasonal_draws(flat, before, ends, self.steps, len(draws[0]), seed=self.seed)
        other = judged(rival, truth, shown, scale)
        value: dict[str, Any] = {"crps": found.crps, "median_absolute_error": found.error, "cells": found.cells}
        value |= {f"coverage_{100 * share:.0f}": one for share, one in found.cover.items()}
        value["by_step"] = {
            "crps": found.by_step.tolist(),
            **{f"coverage_{100 * share:.0f}": one.tolist() for share, one in found.cover_by_step.items()},
        }
        value["crps_by_column"] = dict(zip(names, found.by_column.tolist()))
        value["seasonal_naive"] = {"season": season, "crps": other.crps, "coverage_90": other.cover[0.9]}
        cover = ", ".join(f"{one:.1%} in the bands of {share:.0%}" for share, one in found.cover.items())
        ends_of = f"{found.by_step[0]:.3g} one step ahead" + f", {found.by_step[-1]:.3g} at the last" * (self.steps > 1)
        lines = f"CRPS {found.crps:.4g} of a column's spread, {ends_of}; {found.cells} cells came, {cover}"
        what = f"the step {season} before with its residuals" if season > 1 else "the last step with its residuals"
        lines += f"\n{what}: CRPS {other.crps:.4g}, {other.cover[0.9]:.1%} in the bands of 90%"
        worse = found.crps > other.crps
        warned = [f"{what} forecasts better (CRPS {other.crps:.4g} against {found.crps:.4g})"] if worse else []
        return value, lines, warned


def _columns(data: "Dataset") -> "tuple[list[str], np.ndarray]":
    """The names of the numbers of a step, and their spread."""
    if found := data.schema.sequences:
        return [one.name for one in found.columns], np.array([one.scale for one in found.columns])
    count = int(np.prod(data.x.shape[2:]))
    return [f"x{j}" for j in range(count)], np.full(count, data.schema.scale)


def _steps(data: "Dataset", positions: "np.ndarray", ends: "np.ndarray", steps: int) -> "dict[str, np.ndarray]":
    """Sequence and time of every step that follows."""
    places = data.places
    if places is None:
        return {"sequence": np.repeat(data.names[positions], steps), "step": (ends[:, None] + np.arange(steps)).ravel()}
    own, found = places[positions], data.schema.steps
    start = np.repeat(own.start, steps)
    times = found.step.times(start, (ends[:, None] + np.arange(steps)).ravel())
    several = found.sequence is not None or len(positions) > 1
    made = {found.sequence or "sequence": np.repeat(own.sequence, steps)} if several else {}
    if len(set(own.sequence.tolist())) < len(positions):  # several forecasts of a sequence, each from another step
        made["origin"] = np.repeat(found.step.times(own.start, ends - 1), steps)
    return {**made, found.time or "step": times}
