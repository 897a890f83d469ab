"""Names of a table that several other columns say together: a logistic regression on what each of them does."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from latens.data.effects import LARGEST, Term, cells_of, effect_of, fits, is_sound
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

MOST_NAMES = 12
"""Names among which a regression chooses, at the most."""


class Logit(NamedTuple):
    """A column of names whose log odds are sums of effects of other columns."""

    target: str
    names: tuple[str, ...]  # those that it chooses among; rows of other names stay as they are
    levels: tuple[float, ...]  # the log odds of each name where all effects are 0
    terms: tuple[tuple[Term, ...], ...]  # the effects on each name
    rows: int
    share: float = 1.0  # of the rows whose name is drawn by it; the others keep that of the tree

    @property
    def columns(self) -> tuple[str, ...]:
        """What says it."""
        return tuple(dict.fromkeys(name for own in self.terms for term in own for name in term.columns))


def read(stored: Any) -> tuple[Logit, ...]:
    """The regressions that a model file holds."""
    return rules_in(Logit, stored, _sound)


def _sound(one: Logit) -> bool:
    """Whether every name has a level and effects of other columns, all of a usual size."""
    if not 2 <= len(set(one.names)) == len(one.names) == len(one.levels) == len(one.terms) <= MOST_NAMES:
        return False
    if not 0.0 < one.share <= 1.0:
        return False
    return all(abs(level) < LARGEST for level in one.levels) and all(
        is_sound(term, one.target) for own in one.terms for term in own
    )


def placed(found: Sequence[Logit], schema: Schema) -> list[Logit]:
    """The regressions between columns that a table has, of names as they were."""
    types = dict(zip(schema.names, schema.types or ()))
    return [
        one
        for one in found
        if one.target in types
        and types[one.target].named
        and set(one.names) <= set(types[one.target].values)
        and all(fits(term, types) for own in one.terms for term in own)
    ]


def chances(
    one: Logit, schema: Schema, x: Float[np.ndarray, "n columns"], shown: Bool[np.ndarray, "n columns"] | None = None
) -> Float[np.ndarray, "n names"]:
    """The probability of each name given all other columns; a cell that is not shown has no effect."""
    cells = cells_of(x, schema)
    cells = cells if shown is None else np.where(shown, cells, np.nan)
    sums = [
        sum((effect_of(term, schema, cells) for term in own), np.full(len(x), level))
        for level, own in zip(one.levels, one.terms)
    ]
    return special.softmax(np.clip(np.stack(sums, axis=1), -LARGEST, LARGEST), axis=1)


def redrawn(
    found: Sequence[Logit],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    rng: np.random.Generator,
    asked: Collection[str] = (),
) -> Float[np.ndarray, "n columns"]:
    """Rows whose names are drawn given all their other columns, one column after the other."""
    made = np.array(x)
    for one in placed(found, schema):
        u, kept = rng.random((2, len(x)))
        if one.target in asked:
            continue
        k = schema.names.index(one.target)
        codes = np.array([(schema.types or ())[k].values.index(name) for name in one.names])
        above = np.cumsum(chances(one, schema, np.asarray(made, np.float64)), axis=1)
        place = np.minimum((u[:, None] >= above).sum(axis=1), len(codes) - 1)
        own = np.isin(np.round(made[:, k]), codes) & (kept < one.share)
        made[:, k] = np.where(own, codes[place], made[:, k])
    return made
