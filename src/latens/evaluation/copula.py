"""A Gaussian copula of the columns of a table, with draws of its parameters: what a gap may be, in a second."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from scipy.special import gammaln, ndtr, ndtri

from latens.data.columns import ColumnType
from latens.data.rows import uniforms

MOST_NAMES = 8
"""Names of a category that have a latent of their own; the rarer ones share one."""
MOST_LATENTS = 400
"""Latents of a row above which there is no copula: an inverse of this size in every sweep."""
MOST_ROWS = 5000
"""Rows that the parameters are drawn from."""
BURN, SWEEPS, THIN = 50, 150, 5
"""Sweeps before the first draw that counts, those after it, and of these each fifth is kept."""
SETTLE, BETWEEN = 4, 3
"""Turns with the first draw of the parameters before rows are filled in, and sweeps of a turn: tables lie so far apart.
"""
FINE = 0.004
"""Share of a cell below which its latent lies at the cell's middle, and is not drawn."""
FURTHEST = 6.0
PRIORS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Rows with independent columns that the covariance has beside the others, in parts of these: each sweep draws one by
how probable it makes the latents, as a ridge regression draws its penalty."""
LEAST = 1e-3
"""The least probability of a name that is a linear function of the others: such functions leave 0 to 1."""

Uniform = Callable[[np.ndarray, int], np.ndarray]
"""Numbers in (0, 1) for some rows and a latent."""


class Layout(NamedTuple):
    """Which latents stand for which column: one for a number, an order or two names, else one a name but the first."""

    types: tuple[ColumnType, ...]
    first: tuple[int, ...]  # the first latent of each column
    widths: tuple[int, ...]  # latents of each column
    groups: tuple[np.ndarray, ...]  # of a category the group of each segment, from 0; of others each segment
    ends: tuple[float, ...]  # how far from 0 the latent of a column lies at most

    @property
    def width(self) -> int:
        """Latents of a row."""
        return sum(self.widths)

    def coded(self, j: int) -> bool:
        """Whether the latents of a column are zeros and ones that name its cell."""
        return self.types[j].kind == "category" and self.widths[j] > 1


class Copula(NamedTuple):
    """Draws of the mean and the covariance of the latents of a table."""

    layout: Layout
    mean: np.ndarray  # (draws, d)
    covariance: np.ndarray  # (draws, d, d)


class Filled(NamedTuple):
    """What the gaps of rows may be."""

    shares: list[np.ndarray]  # of each column the probability of each segment, (n, segments); those of all rows where
    # it is observed
    draws: np.ndarray  # (n, draws, c): completed rows, stored


def layout_of(types: Sequence[ColumnType], observed: Sequence[float]) -> Layout:
    """The latents of a table's columns, each observed in so many rows."""
    first, count, groups, at = [], [], [], 0
    for one in types:
        own, wide = np.arange(one.count), 1
        if one.kind == "category" and one.count > 1:
            rank = np.argsort(np.argsort(-np.asarray(one.shares), kind="stable"), kind="stable")
            own = np.minimum(rank, MOST_NAMES - 1)
            wide = int(own.max())
        first.append(at)
        count.append(wide)
        groups.append(own)
        at += wide
    # The least of n cells lies at the end of its first segment, with nothing below: its rank says (1 / 2) / n, not 0.
    ends = tuple(min(FURTHEST, float(-ndtri(0.5 / max(n, 1)))) for n in observed)
    return Layout(tuple(types), tuple(first), tuple(count), tuple(groups), ends)


def fit_copula(
    x: Shaped[np.ndarray, "n c"],
    mask: Shaped[np.ndarray, "n c"] | None,
    types: Sequence[ColumnType],
    *,
    weight: Shaped[np.ndarray, " n"] | None = None,
    seed: int = 0,
) -> Copula | None:
    r"""Draw mean and covariance of the latents of a table given its observed cells; None if it is too wide."""
    # A number or an order is a Normal latent that lies where the shares of its column have the cell; two names are one
    # that lies below or above 0, more are zeros and ones. By Gibbs sampling, each latent given the others, then
    # Sigma ~ IW(S + 1 + k diag(S) / n, n + d + 2 + k) with k of `PRIORS`, and mu ~ N(mean, Sigma / n): means are free,
    # so that a column whose gaps depend on others may have another distribution than its observed cells.
    # Source: Hoff (2007), "Extending the rank likelihood for semiparametric copula estimation"; Albert & Chib (1993)
    # for two names; Rubin (1987) for draws of parameters before draws of gaps.
    rng, x = np.random.default_rng(seed), np.asarray(x, np.float64)[:MOST_ROWS]
    shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)[:MOST_ROWS]
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)[:MOST_ROWS]
    kept = weight > 0
    x, shown, weight = x[kept], shown[kept], weight[kept]
    layout = layout_of(types, (weight @ shown).tolist())
    if (d := layout.width) > MOST_LATENTS or len(x) < 2:
        return None
    mean, covariance = np.zeros(d), np.eye(d)
    for j in range(len(types)):
        if layout.coded(j):
            own = layout.groups[j][_segments(x[shown[:, j], j], types[j])]
            mean[_place(layout, j)] = (np.bincount(own, minlength=layout.widths[j] + 1)[1:] + 0.5) / (len(own) + 1.0)
    state = _begin(layout, x, shown, mean)
    unscaled = np.zeros(d, bool)
    for j, one in enumerate(types):
        if one.kind == "category" and not layout.coded(j):
            unscaled[layout.first[j]] = True
    means, covariances = [], []
    for sweep in range(BURN + SWEEPS):
        _draw_latents(layout, state, mean, covariance, lambda some, _: rng.random(len(some)))
        mean, covariance = draw_parameters(state.z, weight, rng)
        # Two names say nothing about the scale of their latent.
        unit = np.where(unscaled, np.sqrt(np.diag(covariance)), 1.0)
        mean, covariance = mean / unit, covariance / unit / unit[:, None]
        state.z[:] /= unit
        if sweep >= BURN and (sweep - BURN) % THIN == 0:
            means.append(mean)
            covariances.append(covariance)
    return Copula(layout, np.stack(means), np.stack(covariances))


def fill(
    copula: Copula,
    x: Shaped[np.ndarray, "n c"],
    mask: Shaped[np.ndarray, "n c"],
    *,
    keys: Shaped[np.ndarray, " n"],
    draws: int = 0,
    seed: int = 0,
) -> Filled:
    """Say what the gaps of rows may be, by each draw of the parameters in turn, and complete the rows at random."""
    # keys: a whole number for each row, from which its noise comes: no row depends on the others.
    layout, count = copula.layout, len(copula.mean)
    shown, stored = np.asarray(mask, bool), np.where(mask, x, 0).astype(np.float64)
    shares = [shown[:, j, None] * np.asarray(one.shares) for j, one in enumerate(layout.types)]
    completed = np.repeat(stored[:, None], draws, axis=1)
    some = np.flatnonzero(~shown.all(axis=1))
    if not len(some):
        return Filled(shares, completed)
    shown, stored, keys = shown[some], stored[some], np.asarray(keys)[some].astype(np.uint64)
    state = _begin(layout, stored, shown, copula.mean[0])
    turns = [[k for k in range(draws) if k * count // draws == b] for b in range(count)]  # the tables of each draw
    gaps = [j for j in range(len(layout.types)) if not shown[:, j].all()]
    for turn in range(-SETTLE, count):
        b = max(turn, 0)
        # More tables than draws of the parameters are drawn by further sweeps with the same ones.
        for again, table in enumerate(turns[b] or [-1] if turn >= 0 else [-1]):
            for step in range(BETWEEN):
                noise = partial(_noise, keys, (seed, turn + SETTLE, again, step))
                _draw_latents(layout, state, copula.mean[b], copula.covariance[b], noise)
            if turn < 0:
                continue
            precision = np.linalg.inv(copula.covariance[b])
            for j in gaps:
                gone = np.flatnonzero(~shown[:, j])
                if not again:
                    shares[j][some[gone]] += _shares(layout, j, state.z[gone], copula.mean[b], precision) / count
                if table >= 0:
                    u = _noise(keys, (seed, turn + SETTLE, again, BETWEEN), gone, layout.width + j)
                    completed[some[gone], table, j] = _cell(layout, j, state.z[gone], u)
    return Filled(shares, completed)


def pool_weight(
    first: Shaped[np.ndarray, " n"], second: Shaped[np.ndarray, " n"], *, usual: float = 0.5, rows: float = 0.0
) -> float:
    r"""The weight w of the first with the largest mean of $\log(w\, e^{first} + (1 - w)\, e^{second})$."""
    # rows: how many more cells count as if they had said the usual weight: a Beta prior on w.
    # Source: the EM algorithm of a mixture of two known densities; the mean is concave in w.
    top = np.maximum(first, second)
    a, b = np.exp(first - top), np.exp(second - top)
    w, count = usual, len(a) + rows
    for _ in range(200):
        w = float((np.sum(w * a / (w * a + (1.0 - w) * b)) + rows * usual) / count) if count else w
    return w


def log_chances(
    shares: Shaped[np.ndarray, "n segments"], one: ColumnType, x: Shaped[np.ndarray, " n"]
) -> Shaped[np.ndarray, " n"]:
    """The log probability of cells by the shares of their segments, from 1e-30."""
    which = _segments(x, one)
    return np.log(np.maximum(shares[np.arange(len(x)), which] / np.asarray(one.widths)[which], 1e-30))


class _State(NamedTuple):
    """The latents of rows, and what the observed cells say of them."""

    z: np.ndarray  # (n, d)
    low: np.ndarray  # (n, d)
    high: np.ndarray
    free: np.ndarray  # (n, d): whether it is drawn by itself
    gaps: np.ndarray  # (n, c)


def _place(layout: Layout, j: int) -> slice:
    return slice(layout.first[j], layout.first[j] + layout.widths[j])


def _segments(x: np.ndarray, one: ColumnType) -> np.ndarray:
    return np.clip(np.searchsorted(one.firsts, x, side="right") - 1, 0, one.count - 1)


def _upto(one: ColumnType) -> np.ndarray:
    """The share below each segment, and 1."""
    above = np.concatenate([[0.0], np.cumsum(one.shares)])
    return np.minimum(above / above[-1], 1.0)


def _begin(layout: Layout, x: np.ndarray, shown: np.ndarray, mean: np.ndarray) -> _State:
    z = np.tile(mean, (len(x), 1))
    low, high = np.full(z.shape, -np.inf), np.full(z.shape, np.inf)
    free = np.ones(z.shape, bool)
    for j, one in enumerate(layout.types):
        at, seen = layout.first[j], shown[:, j]
        which = _segments(x[seen, j], one)
        if layout.coded(j):
            z[seen, _place(layout, j)] = np.eye(layout.widths[j] + 1)[layout.groups[j][which], 1:]
            free[:, _place(layout, j)] = False  # drawn all at once
        elif one.kind == "category":
            above = layout.groups[j][which] > 0
            low[seen, at], high[seen, at] = np.where(above, 0.0, -np.inf), np.where(above, np.inf, 0.0)
            z[seen, at] = np.where(above, 0.8, -0.8)
        else:
            upto, widths = _upto(one), np.asarray(one.widths, np.float64)[which]
            size = (upto[which + 1] - upto[which]) / widths
            below = upto[which] + (x[seen, j] - np.asarray(one.firsts)[which]) * size
            low[seen, at], high[seen, at] = ndtri(below), ndtri(np.minimum(below + size, 1.0))
            z[seen, at] = np.clip(ndtri(np.minimum(below + 0.5 * size, 1.0)), -layout.ends[j], layout.ends[j])
            free[seen, at] = size > FINE
    return _State(z, low, high, free, ~shown)


def _draw_latents(layout: Layout, state: _State, mean: np.ndarray, covariance: np.ndarray, uniform: Uniform) -> None:
    """Draw each latent given the others, in place."""
    precision = np.linalg.inv(covariance)
    for j in range(len(layout.types)):
        i, own = layout.first[j], _place(layout, j)
        if layout.coded(j):
            rows = np.flatnonzero(state.gaps[:, j])
            if len(rows):
                upto = np.cumsum(_names(state.z[rows], mean, precision, own), axis=1)
                which = (upto[:, :-1] <= uniform(rows, i)[:, None]).sum(axis=1)
                state.z[rows, own] = np.eye(layout.widths[j] + 1)[which, 1:]
            continue
        rows = np.flatnonzero(state.free[:, i])
        if len(rows):
            here, scale = _given_others(state.z[rows], mean, precision, i)
            state.z[rows, i] = between(here, scale, state.low[rows, i], state.high[rows, i], uniform(rows, i))


def between(
    mean: Shaped[np.ndarray, " n"], scale: float, low: np.ndarray, high: np.ndarray, u: Shaped[np.ndarray, " n"]
) -> Shaped[np.ndarray, " n"]:
    """The quantiles u of Normals that lie between bounds."""
    # Above the mean by the other tail, where shares have digits.
    a, b = (low - mean) / scale, (high - mean) / scale
    turned = a > 0
    a, b = np.where(turned, -b, a), np.where(turned, -a, b)
    u = np.where(turned, 1.0 - u, u)
    p = ndtr(a) + u * (ndtr(b) - ndtr(a))
    drawn = np.clip(ndtri(np.clip(p, 1e-300, 1.0 - 1e-16)), np.maximum(a, -37.0), np.minimum(b, 37.0))
    return mean + scale * np.where(turned, -drawn, drawn)


def _given_others(z: np.ndarray, mean: np.ndarray, precision: np.ndarray, i: int) -> tuple[np.ndarray, float]:
    """Mean and scale of a latent given the others of its row."""
    left = (z - mean) @ precision[i] / precision[i, i]
    return z[:, i] - left, float(1.0 / np.sqrt(precision[i, i]))


def _names(z: np.ndarray, mean: np.ndarray, precision: np.ndarray, own: slice) -> np.ndarray:
    """The probability of each group of names: the mean of its zeros and ones given the other latents, from `LEAST`."""
    left = (z - mean) @ precision[:, own]
    means = z[:, own] - left @ np.linalg.inv(precision[own, own])
    found = np.maximum(np.concatenate([1.0 - means.sum(axis=1, keepdims=True), means], axis=1), LEAST)
    return found / found.sum(axis=1, keepdims=True)


def log_marginals(scatter: Shaped[np.ndarray, "d d"], rows: float, spread: Shaped[np.ndarray, " d"]) -> np.ndarray:
    """The log probability of rows with this scatter under each of the priors, without what all have in common."""
    d, found = len(scatter), []
    for part in PRIORS:
        first, free = np.eye(d) + part * rows * np.diag(spread), d + 2 + part * rows
        before, after = (np.linalg.slogdet(one)[1] for one in (first, first + scatter))
        places = free - np.arange(d)
        gammas = np.sum(gammaln(0.5 * (places + rows)) - gammaln(0.5 * places))
        found.append(0.5 * (free * before - (free + rows) * after) + gammas)
    return np.array(found)


def draw_parameters(
    z: Shaped[np.ndarray, "n d"], weight: Shaped[np.ndarray, " n"], rng: np.random.Generator, priors: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """A draw of mean and covariance given all latents."""
    d, rows = z.shape[1], weight.sum()
    centre = weight @ z / rows
    left = z - centre
    scatter = (left.T * weight) @ left
    spread, part = np.diag(scatter) / rows, 0.0
    if priors:
        part = PRIORS[int((log_marginals(scatter, rows, spread) + rng.gumbel(size=len(PRIORS))).argmax())]
    whole = scatter + np.eye(d) + part * rows * np.diag(spread)
    root = np.linalg.cholesky(np.linalg.inv(whole))
    # Bartlett's decomposition: a lower triangle of Normals, with the roots of chi-squares on its diagonal.
    triangle = np.tril(rng.normal(size=(d, d)), -1)
    triangle += np.diag(np.sqrt(rng.chisquare(rows * (1.0 + part) + d + 2 - np.arange(d))))
    half = np.linalg.inv(root @ triangle)
    return centre + rng.normal(size=d) @ half / np.sqrt(rows), half.T @ half


def _shares(layout: Layout, j: int, z: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """The probability of each segment of a column given the other latents."""
    one, i = layout.types[j], layout.first[j]
    if layout.coded(j):
        return _names(z, mean, precision, _place(layout, j))[:, layout.groups[j]] * _within(layout, j)
    here, scale = _given_others(z, mean, precision, i)
    if one.kind == "category":
        above = ndtr(here / scale)
        return np.stack([1.0 - above, above], axis=1)[:, layout.groups[j]] if one.count > 1 else np.ones((len(z), 1))
    return np.diff(ndtr((ndtri(_upto(one)) - here[:, None]) / scale), axis=1)


def _within(layout: Layout, j: int) -> np.ndarray:
    """The share of each segment of its group."""
    shares = np.asarray(layout.types[j].shares, np.float64)
    return shares / np.bincount(layout.groups[j], shares)[layout.groups[j]]


def _cell(layout: Layout, j: int, z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The cell that the latents of a column stand for, stored."""
    one, i = layout.types[j], layout.first[j]
    firsts, widths = np.asarray(one.firsts, np.float64), np.asarray(one.widths, np.float64)
    if one.kind == "category":
        own = z[:, _place(layout, j)]
        group = (own > 0.5) @ np.arange(1, layout.widths[j] + 1) if layout.coded(j) else (own[:, 0] > 0).astype(int)
        group = np.minimum(group, layout.groups[j].max())
        upto = np.cumsum(np.where(layout.groups[j] == group[:, None], _within(layout, j), 0.0), axis=1)
        which = np.minimum((upto <= u[:, None] * upto[:, -1:]).sum(axis=1), one.count - 1)
        before = np.where(which > 0, upto[np.arange(len(z)), np.maximum(which - 1, 0)], 0.0)
        inside = (u * upto[:, -1] - before) / np.maximum(upto[np.arange(len(z)), which] - before, 1e-300)
    else:
        upto, p = _upto(one), ndtr(z[:, i])
        which = np.clip(np.searchsorted(upto, p, side="right") - 1, 0, one.count - 1)
        inside = (p - upto[which]) / np.maximum(upto[which + 1] - upto[which], 1e-300)
    return firsts[which] + np.clip(np.floor(inside * widths[which]), 0, widths[which] - 1)


def _noise(keys: np.ndarray, salt: tuple[int, ...], rows: np.ndarray, i: int) -> np.ndarray:
    return uniforms(keys[rows], (*salt, i))
