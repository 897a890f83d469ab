"""Every distribution in single precision at its edges, against double precision: values, slopes, impossible events.

A value may differ from the exact one by what a few roundings of each parameter and event would change in it, and by
two units in the sixth digit; so may a slope.
"""

import jax
import jax.numpy as jnp
import numpy as np
from checks import public
from edges import EDGES

import latens.distributions
from latens.distributions import AbstractDistribution

LARGEST = float(np.finfo(np.float32).max)
ROUNDINGS = 8 * 2.0**-23


def ours(rows):
    """Of every family values (n,), slopes by parameters (n, k), and by events (n, m) where they are continuous."""

    def of(row, parameters, events):
        def value(p, x):
            return row.make(p).log_prob(row.event(x))

        return jax.vmap(jax.value_and_grad(value, argnums=0 if row.discrete else (0, 1)))(parameters, events)

    given = {name: (row.points()[0], row.points()[1].astype(row.kind)) for name, row in rows.items()}
    every = jax.jit(lambda given: {name: of(row, *given[name]) for name, row in rows.items()})
    for name, (values, slopes) in every(jax.tree.map(jnp.asarray, given)).items():
        slopes = np.asarray(slopes) if rows[name].discrete else np.concatenate([np.asarray(s) for s in slopes], axis=1)
        yield name, np.asarray(values, np.float64), slopes.astype(np.float64)


def exactly(row, table):
    """The oracle on rows of parameters and events, (n, k + m)."""
    k = len(row.parameters)
    with np.errstate(all="ignore"):
        return row.oracle(table[:, k:], table[:, :k])


def slope_of(row, table, column):
    """Slopes by central differences of fourth order in double precision, and how sure they are.

    Of several steps the one on which two neighbours agree best; times the size of the parameter or event, so that all
    have the unit of the density.
    """
    unit = np.abs(table[:, column])
    unit = np.maximum(1.0, unit) if column < len(row.parameters) else np.where(unit == 0, 1.0, unit)
    tries = []
    for step in 10.0 ** -np.arange(2, 9):
        total = np.zeros(len(table))
        for times, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
            moved = table.copy()
            moved[:, column] += times * step * unit
            with np.errstate(all="ignore"):
                total += weight * exactly(row, moved) / step
        tries.append(total)
    with np.errstate(all="ignore"):
        tries = np.stack(tries)
        doubt = np.nan_to_num(np.abs(np.diff(tries, axis=0)), nan=np.inf)
    best = np.argmin(doubt, axis=0)[None]
    take = lambda a: np.take_along_axis(a, best, axis=0)[0]  # noqa: E731
    return take(tries[1:]), take(doubt), unit


def rounded(table, column):
    """The table with one column moved by a few roundings, to either side."""
    for sign in (-1, 1):
        moved = table.copy()
        moved[:, column] *= 1 + sign * ROUNDINGS
        yield moved


def roundings(row, table, of):
    """How much a few roundings of each operand change a function of the table, all together."""
    width = len(row.parameters) + (0 if row.discrete else len(row.events))
    plain, total = of(table), np.zeros(len(table))
    with np.errstate(all="ignore"):
        for column in range(width):
            total += np.max([np.nan_to_num(np.abs(of(moved) - plain)) for moved in rounded(table, column)], axis=0)
    return total


def test_every_distribution_has_its_edges():
    elsewhere = {"Deterministic", "ColourLogistics", "Autoregressive", "TokenSequence"}  # test_whole_events.py
    names = {name.split(" of ")[0] for name in EDGES}
    assert public(latens.distributions, AbstractDistribution) == names | elsewhere


def test_values_and_slopes_at_the_edges():
    for name, values, slopes in ours(EDGES):
        row = EDGES[name]
        table = np.concatenate(row.points(), axis=1).astype(np.float64)
        try:
            meets(row, table, values, slopes)
        except AssertionError as error:
            error.add_note(name)
            raise


def meets(row, table, values, slopes):
    exact = exactly(row, table)
    possible = exact > -np.inf
    np.testing.assert_array_equal(values[~possible], -np.inf)
    np.testing.assert_array_equal(slopes[~possible], 0.0)
    # What no single number can hold is minus infinity or nearly so.
    far = possible & (exact < -0.5 * LARGEST)
    assert np.all(values[far] < -0.4 * LARGEST)
    assert not np.any(np.isnan(slopes))
    rest = possible & ~far
    near = row.atol * (1 + np.abs(exact)) + roundings(row, table, lambda t: exactly(row, t))
    wrong = rest & ~(np.abs(values - np.where(rest, exact, 0.0)) <= near)
    assert not wrong.any(), [(table[i], values[i], exact[i], near[i]) for i in np.flatnonzero(wrong)[:3]]
    seen = 0
    for column in range(slopes.shape[1]):
        slope, doubt, unit = slope_of(row, table, column)
        # Where no two steps agree there is a kink, or a scale below what double precision resolves.
        kept = rest & np.isfinite(slope) & (np.abs(slope) < 0.5 * LARGEST * np.minimum(unit, 1.0))
        kept = kept & (doubt <= 1e-3 * (1 + np.abs(slope)))
        error = 5 * row.atol * (1 + np.abs(slope)) + doubt + 2.0**-22 * np.abs(exact)
        error = error + roundings(row, table, lambda t, c=column: slope_of(row, t, c)[0])
        wrong = kept & ~(np.abs(slopes[:, column] * unit - np.where(kept, slope, 0.0)) <= error)
        found = [(column, table[i], slopes[i, column] * unit[i], slope[i], error[i]) for i in np.flatnonzero(wrong)[:3]]
        assert not found, (int(wrong.sum()), found)
        seen += int(kept.sum())
    assert slopes.shape[1] == 0 or seen >= 0.5 * rest.sum() * slopes.shape[1]


def test_masses_sum_to_one_at_the_edges():
    def of(row):
        levels = jnp.arange(row.mass, dtype=jnp.int32)[:, None]
        return jax.vmap(lambda p: jax.vmap(row.make(p).log_prob)(levels))(
            jnp.asarray(np.unique(row.points()[0], axis=0))
        )

    every = jax.jit(lambda: {name: of(row) for name, row in EDGES.items() if row.mass})()
    for name, found in every.items():
        total = np.exp(np.asarray(found, np.float64)).sum(axis=1)
        np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-6, err_msg=name)
