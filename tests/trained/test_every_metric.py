"""Each number that is counted or sorted against a brute-force count, on 200 random small cases with ties."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace as Made

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import linalg, stats
from sklearn.metrics import mutual_info_score

from latens.commands.evaluate import _verdict
from latens.data.conditions import beyond, brought, cells_of, learned, told, vectors
from latens.data.schema import Column, Schema
from latens.errors import DataError, UsageError
from latens.estimators import VAEForecaster
from latens.evidence.estimate import Estimate, median, shares
from latens.evidence.importance import effective_sample_size
from latens.evidence.rivals import LEAST_NOISE, _autoregression, _regular, seasonal_draws
from latens.kinds.steps.long_tables import _groups
from latens.kinds.tables.columns import ColumnType
from latens.kinds.tables.dtypes import as_dates, number_of, seconds_of
from latens.latents import disentanglement
from latens.latents.codes import active_units
from latens.latents.disentanglement import matched
from latens.predictive.conditional_samples import parse_conditions
from latens.predictive.forecasting import crps, judged
from latens.recipes.step_starts import RIDGE, _regress
from latens.trained import sample_sets
from latens.trained.cell_scores import OUTER, adjusted, conformal, tails
from latens.trained.paired import PairedRows, Run, _places, estimate_of, ranked

CASES = 200
Random = np.random.Generator


def few(rng: Random, n: int, levels: int = 4) -> np.ndarray:
    """Numbers of which many are equal."""
    return rng.integers(0, levels, n).astype(float)


def of_conformal(rng: Random) -> None:
    held, scores = few(rng, rng.integers(1, 9)), few(rng, rng.integers(1, 9))
    brute = [(1 + sum(h >= s for h in held)) / (len(held) + 1) for s in scores]
    np.testing.assert_allclose(conformal(held, scores), brute)


def of_adjusted(rng: Random) -> None:
    p = rng.choice([0.01, 0.02, 0.3, 0.9, 1.0], rng.integers(1, 9))
    brute = [min(1.0, *(q * len(p) / sum(r <= q for r in p) for q in p if q >= one)) for one in p]
    np.testing.assert_allclose(adjusted(p), brute)


def of_crps(rng: Random) -> None:
    draws, truth = rng.normal(size=(2, rng.integers(2, 6), 3)).round(1), rng.normal(size=(2, 3)).round(1)
    m = draws.shape[1]
    pairs = [np.abs(draws[:, i] - draws[:, j]) for i, j in itertools.permutations(range(m), 2)]
    brute = np.abs(draws - truth[:, None]).mean(axis=1) - 0.5 * np.mean(pairs, axis=0)
    np.testing.assert_allclose(crps(draws, truth), brute, atol=1e-12)


def of_judged(rng: Random) -> None:
    draws, truth = rng.normal(size=(3, 9, 2, 2)), rng.normal(size=(3, 2, 2))
    seen, scale = rng.random((3, 2, 2)) < 0.7, np.array([1.0, 2.0])
    seen[0] = True
    found, away = judged(draws, truth, seen, scale), crps(draws, truth) / scale
    mean = lambda cells: np.mean([away[c] for c in cells])  # noqa: E731
    cells = list(zip(*np.nonzero(seen)))
    assert found.cells == len(cells)
    np.testing.assert_allclose(found.crps, mean(cells))
    np.testing.assert_allclose(found.by_step, [mean([c for c in cells if c[1] == h]) for h in range(2)])
    np.testing.assert_allclose(found.by_column, [mean([c for c in cells if c[2] == j]) for j in range(2)])
    off = [abs(truth[c] - np.median(draws[c[0], :, c[1], c[2]])) / scale[c[2]] for c in cells]
    np.testing.assert_allclose(found.error, np.mean(off))
    for share, value in found.cover.items():
        ends = [np.quantile(draws[c[0], :, c[1], c[2]], [(1 - share) / 2, (1 + share) / 2]) for c in cells]
        inside = [low <= truth[c] <= high for c, (low, high) in zip(cells, ends)]
        np.testing.assert_allclose(value, np.mean(inside))


def of_matched(rng: Random) -> None:
    n, weight = 8, None
    label, cluster = rng.integers(0, 3, n), rng.integers(0, 4, n)
    if rng.random() < 0.5:
        weight = rng.integers(1, 4, n).astype(float)
    share = shares(weight, n)
    best = max(share @ (np.array(names)[cluster] == label) for names in itertools.permutations([0, 1, 2, -1]))
    np.testing.assert_allclose(share @ matched(label, cluster, weight=weight), best)


def of_active_units(rng: Random) -> None:
    means, weight = few(rng, 10, 2).reshape(5, 2) * rng.choice([0.05, 0.3, 1.0]), rng.integers(1, 4, 5)
    np.testing.assert_array_equal(
        active_units(means, weight=weight.astype(float)), np.repeat(means, weight, axis=0).var(axis=0) > 0.01
    )


def of_medians(rng: Random) -> None:
    values, weight = few(rng, rng.integers(1, 7), 5), rng.integers(1, 4, 6)
    own = weight[: len(values)]
    assert median(values, own.astype(float)) == np.median(np.repeat(values, own))
    assert median(values) == np.median(values)


def of_estimates(rng: Random) -> None:
    rows, weight = rng.normal(size=4), rng.integers(1, 4, 4).astype(float)
    found, share = Estimate.of(rows, num_samples=1, protocol="", weight=weight), weight / weight.sum()
    np.testing.assert_allclose(found.value, np.average(rows, weights=weight))
    np.testing.assert_allclose(found.standard_error**2, np.sum((share * (rows - found.value)) ** 2) * 4 / 3)
    plain = Estimate.of(rows, num_samples=1, protocol="")
    np.testing.assert_allclose(plain.standard_error, stats.sem(rows))


def of_effective_draws(rng: Random) -> None:
    w = rng.gamma(0.5, size=rng.integers(1, 9)) + 1e-6
    found = effective_sample_size(jnp.asarray(np.log(w), jnp.float32))
    np.testing.assert_allclose(found, w.sum() ** 2 / (w**2).sum(), rtol=1e-4)


def of_information(rng: Random) -> None:
    codes, factors = rng.normal(size=(12, 2)).round(1), rng.integers(0, 3, (12, 2))
    factors[:3] = [[0, 1], [1, 0], [2, 2]]
    table, entropy = disentanglement.information_matrix(codes, factors, bins=4)
    edges = [np.linspace(code.min(), code.max(), 5) for code in codes.T]
    cells = [[min(sum(x >= e for e in own[1:-1]), 3) for x in code] for code, own in zip(codes.T, edges)]
    brute = [[mutual_info_score(cell, factor) for factor in factors.T] for cell in cells]
    at_edge = any(np.isclose(x, e).any() for x, own in zip(codes.T, edges) for e in own[1:-1])
    if not at_edge:
        np.testing.assert_allclose(table, brute, atol=1e-9)
    np.testing.assert_allclose(entropy, [stats.entropy(np.bincount(factor)) for factor in factors.T])


def of_concentrations(rng: Random) -> None:
    table = rng.gamma(0.3, size=(rng.integers(2, 5), rng.integers(2, 5)))
    table[rng.random(table.shape) < 0.2] = 0.0
    table[0, 0] = 0.5

    def brute(r: np.ndarray) -> float:
        rows = [row for row in r if row.sum() > 0]
        return sum(row.sum() / r.sum() * (1 - stats.entropy(row) / np.log(len(row))) for row in rows)

    np.testing.assert_allclose(disentanglement.dci_of(table), (brute(table), brute(table.T)), atol=1e-12)


def of_balls(rng: Random) -> None:
    rows, samples, k = rng.normal(size=(7, 2)), rng.normal(size=(6, 2)) + rng.choice([0, 2.0]), int(rng.integers(1, 4))
    away = lambda a, b: float(np.linalg.norm(a - b))  # noqa: E731
    reach = lambda own: [sorted(away(a, b) for b in own)[k] for a in own]  # noqa: E731
    of_rows, of_samples = reach(rows), reach(samples)
    held = [[away(row, sample) <= r for row, r in zip(rows, of_rows)] for sample in samples]
    found = sample_sets._shares(rows, samples, k)
    brute = {
        "precision": np.mean([any(one) for one in held]),
        "recall": np.mean([any(away(row, s) <= r for s, r in zip(samples, of_samples)) for row in rows]),
        "density": np.sum(held) / k / len(samples),
        "coverage": np.mean(np.any(held, axis=0)),
    }
    assert found.keys() == brute.keys()
    np.testing.assert_allclose(list(found.values()), list(brute.values()))


def of_frechet(rng: Random) -> None:
    a, b = rng.normal(size=(2, 6, 3))
    mean, other, c, d = a.mean(0), b.mean(0), np.cov(a.T), np.cov(b.T)
    brute = np.sum((mean - other) ** 2) + np.trace(c + d - 2 * np.real(linalg.sqrtm(c @ d)))
    np.testing.assert_allclose(sample_sets.frechet_of_moments(mean, c, other, d), brute, rtol=1e-6, atol=1e-6)


def of_tails(rng: Random) -> None:
    """A number d steps beyond n others: r / (r + d - 1) / (n + 1) for one so far or farther, less that one farther."""
    n, d, sign = int(rng.integers(5, 40)), int(rng.integers(1, 6)), int(rng.choice([-1, 1]))
    column = ColumnType("number", starts=(0, 3, 8), size=10, shares=(0.2, 0.5, 0.3), dtype="Int64")
    cells = np.repeat(np.array(column.shares) / column.widths, column.widths)
    below = np.cumsum(cells)
    low, high = (int(np.argmax(below >= q - 1e-6)) for q in (OUTER, 1 - OUTER))
    reach = max(low if sign < 0 else 9 - high, 1)
    log_p, farther = tails(np.array([[0.0], [sign * d]]), (column,), n)
    beyond = lambda steps: reach / (reach + steps - 1) / (n + 1)  # noqa: E731
    np.testing.assert_allclose(farther[:, 0], [1.0, beyond(d)])
    np.testing.assert_allclose(log_p[:, 0], [0.0, np.log(beyond(d) - beyond(d + 1))])


def of_conditions(rng: Random) -> None:
    """Names and numbers as one vector and back, and which of those that are said a row brings otherwise."""
    cells = {"a": rng.choice(["x", "y", "z"], 12), "n": rng.integers(0, 9, 12) / 4, "b": rng.choice(["p", "q"], 12)}
    cells["a"][:3], cells["b"][:2] = ["x", "y", "z"], ["p", "q"]
    kinds = learned(cells, np.ones(12, bool), "made")
    made = vectors(kinds, cells, "made")
    for name, cell in cells_of(kinds, made).items():
        np.testing.assert_array_equal(cell, cells[name].astype(cell.dtype))
    said = {name: cells[name][0] for name in rng.permutation(list(cells))[: rng.integers(1, 4)]}
    some = rng.integers(0, 12, 2)
    other = [name for name in said if np.any(cells[name][some] != said[name])]
    assert sorted(brought(kinds, made[some], said)) == sorted(other)
    n, numbers = float(rng.integers(-4, 16)) / 4, cells["n"]
    coded = {"k": rng.permutation(np.arange(12) % rng.integers(9, 13)) / rng.choice([1, 2])}
    asked = len(set(coded["k"])) <= 10 and all(coded["k"] % 1 == 0)
    assert ("if k holds codes" in told(learned(coded, np.ones(12, bool), "made"), coded)) == asked
    assert bool(beyond(kinds, {"n": n})) == (n < numbers.min() or n > numbers.max())


def of_where(rng: Random) -> None:
    """The cells of a column that fulfil what is typed: by the numbers of all of them, also between and beyond cells."""
    name, which = str(rng.choice(["x", "x=0"])), str(rng.choice(["number", "date", "time"]))
    low = {"number": float(rng.integers(-3, 3)), "date": 19_000.0, "time": 19_000.0 * 86_400}[which]
    step = {"number": float(rng.choice([0.1, 0.5, 1.0])), "date": 1.0, "time": 86_400.0 / 4}[which]
    dtype = {"number": "Float64", "date": "Date", "time": "Datetime[us]"}[which]
    kind = "number" if which == "number" else "date"
    one = ColumnType(kind, starts=(0, 4), size=9, shares=(0.5, 0.5), dtype=dtype, low=low, step=step)
    schema = Schema((2,), "mixed", columns=(Column("x"), Column("x=0")), types=(one, one))
    numbers = one.low + one.step * np.arange(9)
    unit = {"number": 0.25 * step, "date": 1.0, "time": 86_400.0}[which]  # a day is asked for, whose last second counts
    day = lambda v: str(np.datetime64(round(v / (86_400 if which == "time" else 1)), "D"))  # noqa: E731
    word = (lambda v: f"{v:.6g}") if which == "number" else day
    first, second = np.sort(one.low + unit * rng.integers(-4, {"number": 36, "date": 12, "time": 5}[which], 2))
    end = unit - 1 if which == "time" else 0.0
    least, most = numbers >= first - 1e-9, numbers <= first + end + 1e-9
    signs = {">=": least, "<=": most, ">": ~most, "<": ~least, "..": least & (numbers <= second + end + 1e-9)}
    sign = str(rng.choice(list(signs)))
    kept, text = signs[sign], f"{name}={word(first)}..{word(second)}" if sign == ".." else f"{name}{sign}{word(first)}"
    if not kept.any():
        with pytest.raises(DataError, match="no row can have"):
            parse_conditions([text], schema)
        return
    found, own = parse_conditions([text], schema), int(name == "x=0")
    cells = np.flatnonzero(kept)
    assert (found.low[own], found.high[own]) == (cells[0], cells[-1]), text
    assert (found.low[1 - own], found.high[1 - own]) == (-np.inf, np.inf)


def of_spans(rng: Random) -> None:
    """Spans of time in words and as clocks, dates, times of the day, and moments of clocks with and without a zone."""
    days, hours, minutes, seconds = (int(one) for one in rng.integers(0, [9, 24, 60, 60]))
    clock, sign = f"{hours:02d}:{minutes:02d}:{seconds:02d}", str(rng.choice(["", "-"]))
    own = 3600 * hours + 60 * minutes + seconds
    assert seconds_of(f"{days} days {sign}{clock}") == 86_400 * days + (-own if sign else own)
    assert seconds_of(f"{sign}{clock[:5]}") == (own - seconds) * (-1 if sign else 1)
    assert number_of(f"{days}.5 hours", "Duration[ms]") == 3600 * (days + 0.5)
    moment = pd.Timestamp("2021-01-10") + pd.Timedelta(seconds=int(rng.integers(0, 28 * 9)) * 86_400 // 9)
    zone = str(rng.choice(["", "Europe/Paris", "America/New_York"]))
    dtype = f"Datetime[us, {zone}]" if zone else "Datetime[us]"
    assert number_of(f"{moment}", dtype) == moment.tz_localize(zone or "UTC").timestamp()
    assert number_of(f"{moment}"[11:], "Time") == (moment - moment.normalize()).total_seconds()
    assert number_of(f"{moment}"[:10], "Date", days=True) == (moment.normalize() - pd.Timestamp(0)).days
    if zone:
        assert number_of(f"{moment}+03:00", dtype) == moment.tz_localize("UTC").timestamp() - 3 * 3600
    else:
        with pytest.raises(ValueError, match=r"\+03:00"):
            number_of(f"{moment}+03:00", dtype)
    offset = f"{int(rng.integers(-9, 10)):+03d}:00"
    found = as_dates(pl.Series([f"{moment}{offset}"] * 2), "", zone)
    assert found is not None
    assert found.dtype.time_zone == (zone or "UTC")
    assert found[0].timestamp() == pd.Timestamp(f"{moment}{offset}").timestamp()


def of_lines(rng: Random) -> None:
    """Lines sequence by sequence, in the order in which these come first."""
    names = rng.choice(["b", "a", "c"], rng.integers(1, 9))
    order, ends = _groups(names)
    first = list(dict.fromkeys(names))
    assert order.tolist() == [i for name in first for i in range(len(names)) if names[i] == name]
    assert ends.tolist() == np.cumsum([np.sum(names == name) for name in first]).tolist()


def of_contests(rng: Random) -> None:
    """Models in the order of their means over seeds; the gap to the best one by seeds, or by rows of one seed."""
    seeds, scores = int(rng.integers(1, 4)), rng.normal(size=(3, 3, 5))
    runs = {
        name: {k: Run(estimate_of(rows, None), rows) for k in range(seeds)
               for rows in [PairedRows("elbo", scores[m, k], 1, "", "")]}
        for m, name in enumerate("abc")
    }  # fmt: skip
    means = scores[:, :seeds].mean(axis=(1, 2))
    found = ranked(runs)
    assert [one.name for one in found] == ["abc"[m] for m in np.argsort(-means)]
    best = int(np.argmax(means))
    halves = [(part.high - part.low) / 2 for one in found for part in (one.mean, one.difference) if part is not None]
    least = min([half for half in halves if half > 0] or [one.estimate.standard_error for one in found])
    assert float(f"{least:.1e}") == float(f"{least:.{_places(found)}f}") or _places(found) == 6  # of two figures
    for one in found[1:]:
        m = "abc".index(one.name)
        gaps = scores[m, 0] - scores[best, 0] if seeds == 1 else (scores[m] - scores[best])[:seeds].mean(axis=1)
        wide = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps)
        assert one.difference.over == ("rows" if seeds == 1 else "seeds")
        np.testing.assert_allclose(
            [one.difference.value, one.difference.low, one.difference.high],
            gaps.mean() + np.array([0.0, -wide, wide]), atol=1e-9,
        )  # fmt: skip


def of_seasons(rng: Random) -> None:
    """A forecast without a model: what was there whole seasons ago, with each difference of a season as noise."""
    season, steps, x = int(rng.integers(1, 5)), int(rng.integers(1, 7)), few(rng, 20).reshape(2, 10, 1)
    ends = rng.integers(3, 11, 2)
    seen = (rng.random(x.shape) < 0.8) & (np.arange(10) < ends[:, None])[..., None]
    draws, found = seasonal_draws(x, seen, ends, steps, 200, season=season)
    assert found == min(season, *ends)
    for row, end in enumerate(ends):

        def back(t: int, row: int = row) -> float:
            while t >= 0 and not seen[row, t]:
                t -= found
            return x[row, t, 0] if t >= 0 else x[seen].sum() / max(seen.sum(), 1)

        apart = {x[row, t, 0] - x[row, t - found, 0] for t in range(found, end) if seen[row, [t, t - found]].all()}
        for h in range(steps):
            made = {round(back(end - found + h % found) + one, 9) for one in apart or {0.0}}
            assert set(draws[row, :, h, 0].round(9)) == made
    period = int(rng.integers(4, 7))  # of those that fit as well, the shortest
    wave = np.cos(2 * np.pi * (np.arange(7 * period) + rng.uniform(0, 9, (2, 1))) / period)[..., None]
    assert seasonal_draws(wave, np.ones(wave.shape, bool), np.full(2, 7 * period), 1, 1)[1] == period


def of_ridges(rng: Random) -> None:
    """A ridge is rows of zeros beside the data, of the square root of a share of the mean square of what is read."""
    read, said = rng.normal(size=(2, 12, 3)) * rng.uniform(0.1, 9.0, (2, 1, 1))

    def slopes(share: float, more: float = 0.0) -> np.ndarray:
        own = np.sqrt(share * (read**2).sum(axis=0).mean() + more)
        return np.linalg.lstsq(np.vstack([read, own * np.eye(3)]), np.vstack([said, np.zeros((3, 3))]))[0]

    np.testing.assert_allclose(_regress(read, said), slopes(RIDGE, 1e-9), rtol=1e-6)
    assert _regress(read[:, :0], said).shape == (0, 3)
    first, left, found = read.T @ read / 12, said - read @ slopes(LEAST_NOISE), slopes(LEAST_NOISE)
    rest = np.block([[first, first @ found], [found.T @ first, left.T @ left / 12 + found.T @ first @ found]])
    np.testing.assert_allclose(_autoregression(np.stack([read, said], axis=1), (1,)), rest, rtol=1e-6, atol=1e-9)
    still = np.diag([0.0, *rng.uniform(1.0, 9.0, 2)])  # a cell that never moves
    np.testing.assert_allclose(np.diagonal(_regular(still)), [still.sum() / 3e6, *np.diag(still)[1:] * 1.0001])


def of_horizons(rng: Random) -> None:
    """Steps ahead are whole, from 1 on and ascending, as numbers or as the times that are theirs."""
    made, steps = VAEForecaster(), rng.integers(0, 5, rng.integers(1, 4)).tolist()
    made.y_ = pd.Series(np.zeros(9), pd.date_range("2024-01-01", periods=9, freq=str(rng.choice(["D", "6h"]))))
    times = pd.DatetimeIndex([made.y_.index[-1] + k * made.y_.index.freq for k in steps])
    for given in (steps, times):
        if min(steps) < 1 or steps != sorted(set(steps)):
            with pytest.raises(UsageError, match="not ahead of what was seen"):
                made._horizon(given)
        else:
            assert made._horizon(given).tolist() == steps


def of_rivals(rng: Random) -> None:
    """Runs whose gap to the best reaches 0 or more, by name."""
    highs = [None, *rng.integers(-2, 3, 3).tolist()]
    named = [Made(name=f"r{k}", difference=None if h is None else Made(high=h)) for k, h in enumerate(highs)]
    level = ", ".join(f"r{k}" for k, h in enumerate(highs) if h is not None and h >= 0)
    assert f"better than {level or 'every other run'}" in _verdict(named)


BRUTE: dict[str, Callable[[Random], None]] = {
    name.removeprefix("of_"): value for name, value in list(globals().items()) if name.startswith("of_")
}


@pytest.mark.parametrize("name", BRUTE)
def test_every_metric_is_its_brute_force_count(name: str) -> None:
    for case in range(CASES):
        try:
            BRUTE[name](np.random.default_rng(case))
        except AssertionError as error:
            error.add_note(f"case {case}")
            raise
