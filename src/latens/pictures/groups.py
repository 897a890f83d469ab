"""The mean of a number by what other columns are, in rows and in new rows."""

import numpy as np
from jaxtyping import Float

from latens.data.columns import ColumnType
from latens.figures.groups import MOST, Groups, group_means
from latens.pictures.source import Made, Source
from latens.workflow.explain import groups_of

NEW_ROWS = 4000
"""New rows whose means are drawn."""


def draw_groups(source: Source) -> Made | None:
    """Draw the number that is asked about first by the columns that say most of it."""
    data, types, names = source.data, source.schema.types, source.schema.names
    told = [one for one in source.about if types is not None and types[names.index(one.target)].kind == "number"]
    if data is None or types is None or not told:
        return None
    x, new = np.asarray(data.x, np.float64), np.asarray(source.new_rows(NEW_ROWS), np.float64)
    x = x if data.outside is None else x + data.outside  # what lies beyond the training rows counts as it is
    if data.mask is not None:
        x = np.where(data.mask, x, np.nan)
    found = []
    for about in told:
        at, still = names.index(about.target), [one.column for one in about.still]
        said = [*about.kept, *about.told, *about.missed, *about.turned, *still]
        said = [name for name in dict.fromkeys(said) if name not in about.computed][:MOST]
        for j in map(names.index, said):
            found.append(_of(about.target, names[j], types[j], types[at], x[:, [j, at]], new[:, [j, at]]))
    if not found:
        return None
    return group_means(found, theme=source.theme)


def _of(
    target: str,
    name: str,
    one: ColumnType,
    goal: ColumnType,
    x: Float[np.ndarray, "n 2"],
    new: Float[np.ndarray, "m 2"],
) -> Groups:
    """Means of the target within the values, or quarters, of a column."""
    segments = [np.searchsorted(one.firsts, rows[:, 0], side="right") - 1 for rows in (x, new)]
    segments[0][np.isnan(x[:, 0])] = -1  # an empty cell is of no part
    parts = [part for part in groups_of(np.asarray(one.shares), one) if np.isin(segments[0], part[1]).any()]
    of = [np.isin(own, kept) for own in segments for _, kept in parts]
    values = [goal.low + rows[:, 1] * goal.step for rows in (x, new) for _ in parts]
    each = [own[inside & np.isfinite(own)] for own, inside in zip(values, of)]
    each, made = each[: len(parts)], each[len(parts) :]
    mean = [float(own.mean()) if len(own) else np.nan for own in (*each, *made)]
    errors = [float(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else np.nan for own in each]
    words = [text for text, _ in parts]
    return Groups(target, name, words, [len(own) for own in each], mean[: len(parts)], errors, mean[len(parts) :])
