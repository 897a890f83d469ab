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
    about, data, types = source.about, source.data, source.schema.types
    if about is None or data is None or types is None:
        return None
    names, at = source.schema.names, source.schema.names.index(about.target)
    said = list(dict.fromkeys([*about.told, *about.missed, *(one.column for one in about.still)]))[:MOST]
    if types[at].kind != "number" or not said:
        return None
    x, new = np.asarray(data.x, np.float64), np.asarray(source.new_rows(NEW_ROWS), np.float64)
    x = x if data.outside is None else x + data.outside  # what lies beyond the training rows counts as it is
    if data.mask is not None:
        x = np.where(data.mask, x, np.nan)
    found = [_of(names[j], types[j], types[at], x[:, [j, at]], new[:, [j, at]]) for j in map(names.index, said)]
    return group_means(found, about.target, theme=source.theme)


def _of(
    name: str, one: ColumnType, goal: ColumnType, x: Float[np.ndarray, "n 2"], new: Float[np.ndarray, "m 2"]
) -> Groups:
    """Means of the target within the values, or quarters, of a column."""
    segments = [np.searchsorted(one.firsts, rows[:, 0], side="right") - 1 for rows in (x, new)]
    parts = [part for part in groups_of(np.asarray(one.shares), one) if np.isin(segments[0], part[1]).any()]
    of = [np.isin(own, kept) for own in segments for _, kept in parts]
    values = [goal.low + rows[:, 1] * goal.step for rows in (x, new) for _ in parts]
    each = [own[inside & np.isfinite(own)] for own, inside in zip(values, of)]
    each, made = each[: len(parts)], each[len(parts) :]
    mean = [float(own.mean()) if len(own) else np.nan for own in (*each, *made)]
    errors = [float(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else np.nan for own in each]
    words = [text for text, _ in parts]
    return Groups(name, words, [len(own) for own in each], mean[: len(parts)], errors, mean[len(parts) :])
