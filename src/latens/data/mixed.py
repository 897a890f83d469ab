"""Tables with columns of several kinds: their schema, and rows as it stores them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from msgspec import structs

from latens.data.clocks import beginning, from_beginning, nearest_day
from latens.data.columns import (
    FURTHEST,
    MOST_CATEGORIES,
    MOST_NAMES,
    MOST_TEXT,
    SELDOM,
    WHOLE,
    ColumnType,
    TextColumn,
    category_type,
    clock_step,
    number_type,
    unknown_category,
)
from latens.data.dates import DAY, zone_offsets
from latens.data.declared import LEFT_OUT, Declared, bounds_of
from latens.data.durations import UNITS
from latens.data.raw import Raw
from latens.data.rows import NOTHING
from latens.data.schema import TINY, Column, Schema
from latens.data.words import is_number, is_zero_led, written_number
from latens.data.writings import part_of
from latens.errors import DataError, nearest


def mixed_schema(
    x: np.ndarray,
    train_mask: Shaped[np.ndarray, " n"],
    names: Sequence[str],
    observed: np.ndarray | None,
    texts: Mapping[int, TextColumn],
    where: str,
    declared: Mapping[str, Declared] | None = None,
) -> Schema:
    """Give each column of a mixed table a type; ids and free text are left out, and what was declared so."""
    # observed: true where a value was observed; None for everywhere.
    rows = train_mask if np.any(train_mask) else np.ones(len(x), bool)
    x, found = np.asarray(x, np.float64), []
    for i, name in enumerate(names):
        seen = ~np.isnan(x[:, i]) if observed is None else observed[:, i]
        found.append(Values(name, x[rows & seen, i], x[seen, i], texts.get(i)))
    return typed_schema(found, where, declared or {})


class Values(NamedTuple):
    """What the type of a column follows from."""

    name: str  # name of the column
    values: np.ndarray  # the numbers or codes of its training rows, without gaps
    every: np.ndarray  # those of all rows
    found: TextColumn | None  # what codes stand for; None for numbers
    of: np.ndarray | None = None  # how often each of `values` comes; None: once
    of_every: np.ndarray | None = None  # how often each of `every` comes, where these rise; None: once
    # the precision that numbers were recorded with where `every` lacks some; 0 where no decimals fit, and None where
    # `every` has all
    step: float | None = None


def typed_schema(given: Sequence[Values], where: str, declared: Mapping[str, Declared]) -> Schema:
    """Give each column a type, of its values or of how often each comes."""
    columns, types, ignored = [], [], []
    for name, values, every, found, of, of_every, recorded in given:
        said = declared.get(name, Declared())
        if leave_out(values, found, said, of) is not None:
            if said.named and len(values):
                what = (
                    f"column {name!r} is declared as {said.kind} and has {len(found.values if found else ()):,} names."
                )
                most = MOST_NAMES if said.kind == "category" else MOST_CATEGORIES
                fix = f'At most {most:,} are modelled: join rare ones, or declare it as "{LEFT_OUT}".'
                raise DataError(what, where=where, fix=fix)
            ignored.append(name)
            continue
        if found is not None and found.values:
            types.append(category_type(values, found, of))
        else:
            step, zone = said.step, found.zone if found else ""
            whole = np.all(every == np.floor(every)) and np.all(np.abs(every) < WHOLE) and recorded in (None, 1.0)
            whole = whole and float(step or 1).is_integer()
            written = found.written if found and found.kind != "number" else "int" if whole else "float"
            resolution, writing = (found.resolution, found.writing) if found else ("", None)
            step = step or (writing.step if writing else None)
            step = clock_step(every, written, step) if said.step is None else step
            first = beginning(every, of_every, writing)
            values, every = from_beginning(values, first), from_beginning(every, first)
            if first and of_every is not None:
                order = np.argsort(every, kind="stable")
                every, of_every = every[order], of_every[order]
            bounds = bounds_of(said, name, values, written, zone, resolution, where, of)
            low, high = (float(values.min()), float(values.max())) if bounds is None else bounds
            if max(-low, high) > FURTHEST:
                what = f"column {name!r} reaches from {low:g} to {high:g}; numbers of a table lie within {FURTHEST:g}."
                raise DataError(what, where=where, fix=f'Rescale it, or say "{name}": "{LEFT_OUT}" in --columns.')
            if low < high and max(-low, high) < TINY:
                what = f"column {name!r} varies from {low:g} to {high:g}, which single precision takes as 0."
                raise DataError(what, where=where, fix="Multiply this column by a constant.")
            step = recorded or step if step is None and written == "float" else step
            options = {"step": step, "bounds": bounds, "zone": zone, "of": of, "of_every": of_every}
            types.append(number_type(values, every, written, **options, resolution=resolution, writing=writing))
        columns.append(Column(name))
    if not columns:
        whys = [leave_out(one.values, one.found, declared.get(one.name), one.of) for one in given[:5]]
        reasons = "; ".join(f"{one.name}: {why}" for one, why in zip(given, whys))
        raise DataError(f"has no column that can be modelled ({reasons}).", where=where, fix="Give other columns.")
    return Schema((len(columns),), "mixed", columns=tuple(columns), types=tuple(types), ignored=tuple(ignored) or None)


def leave_out(
    values: np.ndarray, found: TextColumn | None, said: Declared | None = None, of: np.ndarray | None = None
) -> str | None:
    """Say why a column of a mixed table is not modelled."""
    if said is not None and said.kind == LEFT_OUT:
        return "left out, as declared"
    distinct, rows = len(np.unique(values)), len(values) if of is None else int(of.sum())
    if distinct == 0:
        return "no training row has a value"
    named = said is not None and said.named
    if found is not None and found.values and distinct > 20 and distinct >= LIKE_ID * rows and not named:
        parts = [part_of(value, True) for value in found.values]
        counts = all(part and not is_zero_led(part[4]) for part in parts) and not all(map(str.isdigit, found.values))
        as_numbers = "; if it holds numbers of one unit, declare it a number in --columns" if counts else ""
        return f"{'every' if distinct == rows else 'nearly every'} row has another text, like an id{as_numbers}"
    if found is None or len(found.values) <= MOST_CATEGORIES:
        return None
    most = MOST_CATEGORIES if found.ordered else MOST_NAMES
    if len(found.values) > most:
        return f"{len(found.values):,} different texts, more than {most:,}"
    if sum(map(len, found.values)) > MOST_TEXT:
        return f"{len(found.values):,} different texts, of more than {MOST_TEXT:,} letters in all"
    counts = np.bincount(np.unique(values, return_inverse=True)[1], of)
    if 2 * counts[counts < SELDOM].sum() > rows and not named:
        return f"{distinct:,} different texts, most rows with one that came fewer than {SELDOM} times, like free text"
    return None


def stored_columns(
    x: np.ndarray,
    names: Sequence[str] | None,
    observed: np.ndarray | None,
    texts: Mapping[int, TextColumn] | None,
    schema: Schema,
    where: str,
    unseen: list[tuple[int, int, str]] | None = None,
    row_names: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Turn the values of a mixed table into the cells that a schema stores, columns by name."""
    # A number beyond those of the training rows counts as the outermost of them, and how far it lies beyond is told. A
    # name that no training row had counts as one of those that came least often, in a column where rare names share a
    # probability.
    # observed: true where a value was observed; None for everywhere.
    # row_names: what an error calls the rows; None: their positions.
    # returns: rows in the schema's order as codes and places on grids, `observed` likewise, and by how many steps of
    # its grid each number is below (negative) or above those of the training rows, 0 within.
    wanted = schema.names
    given = (
        list(names)
        if names is not None
        else wanted
        if x.shape[1] == len(wanted)
        else [f"x{i}" for i in range(x.shape[1])]
    )
    check_columns(given, wanted, schema, where)
    order = [given.index(name) for name in wanted]
    shown = None if observed is None else observed[:, order]
    texts = dict(texts or {})
    cells, outside = np.zeros((len(x), len(wanted)), np.float32), np.zeros((len(x), len(wanted)), np.float32)
    refused: list[tuple[int, int, str]] = []
    for i, (name, place, kind) in enumerate(zip(wanted, order, schema.types or ())):
        seen = np.ones(len(x), bool) if shown is None else shown[:, i]
        values, found = x[seen, place].astype(np.float64), texts.get(place)
        if not len(values):
            continue
        if kind.named:
            codes, words = _codes(values, found, kind)
            strange = np.flatnonzero(codes < 0)
            cells[seen, i] = np.where(codes < 0, len(kind.values) - 1.0 if kind.starts else 0.0, codes)
            rows = np.flatnonzero(seen)[strange]
            found_here = [(row, i, words[at]) for row, at in zip(rows.tolist(), strange.tolist())]
            # Of models that read `none` as missing, or saw none, it is.
            found_here = [one for one in found_here if kind.starts or str(one[2]).lower() != NOTHING]
            if unseen is not None:
                unseen += found_here
            elif not kind.starts:
                refused += found_here
            if len(strange) and not kind.starts:
                shown = np.ones(cells.shape, bool) if shown is None else shown
                shown[rows, i] = False
            continue
        if found is not None and kind.kind == "number" and (found.written == "bool" or found.kind == "number"):
            _check_units(found, kind, name, where)
            found = None  # truth values are 0 and 1
        if kind.kind == "date" and found is not None and found.kind == "date":
            values = nearest_day(_as_dates(values, found, kind, name, where), kind)
        elif kind.kind == "duration" and found is not None and found.kind == "duration":
            values = values * (UNITS[found.written] / UNITS[kind.written])
        elif kind.kind in ("date", "duration") or found is not None:
            if refused:
                break  # told below, by row
            holds = "numbers" if found is None else "text" if found.values else f"{found.kind}s"
            what = f"column {name!r} holds {holds}; the model knows it as {kind.kind}s."
            raise DataError(what, where=where, fix="Write it as it was written in the training data.")
        placed = np.round((values - kind.low) / kind.step)
        cells[seen, i] = np.clip(placed, 0, kind.size - 1)
        far = np.finfo(np.float32).max
        outside[seen, i] = np.clip(placed - np.clip(placed, 0, kind.size - 1), -far, far)
    if refused:
        known = {name: kind.values for name, kind in zip(wanted, schema.types or ())}
        named = np.arange(len(x)) if row_names is None else row_names
        raise _unknown_names([(named[row], wanted[i], str(value)) for row, i, value in refused], known, where)
    return cells, shown, outside


def _check_units(found: TextColumn, kind: ColumnType, name: str, where: str) -> None:
    """Refuse numbers of another unit than that of the training data."""
    one, other = (writing.unit if writing else "" for writing in (found.writing, kind.writing))
    if one and other and one != other:
        what = f"column {name!r} holds numbers in {one!r}; the model knows them in {other!r}."
        raise DataError(what, where=where, fix="Write it as it was written in the training data.")


def check_columns(given: Sequence[str], wanted: Sequence[str], schema: Schema, where: str) -> None:
    """Refuse rows that lack columns of a model, or have others than it knows."""
    lacking = next((name for name in wanted if name not in given), None)
    if lacking is not None:
        hint = nearest(lacking, given) if len(given) <= 1000 else ""
        raise DataError(f"lacks the column {lacking!r} the model was trained on.", where=where, fix=hint)
    # Beside a filled column `latens impute --interval` writes how sure it is.
    beside = {f"{name}{end}" for name in (*wanted, *(schema.ignored or ())) for end in (".low", ".high", ".p")}
    extra = [name for name in given if name not in (*wanted, *(schema.ignored or ())) and name not in beside]
    if extra:
        what = f"has columns the model does not know: {', '.join(map(repr, extra[:5]))}."
        raise DataError(what, where=where, fix="Leave them out, or name them with --label or --id.")


LIKE_ID = 0.95
"""Share of different texts among those of a column from which on they are like ids."""
MOST_SAID = 3
"""Cells beyond the training rows that are named, at the most."""
MOST_NAMED = 5
"""Rows that an error or a note names."""
USUAL = 0.45
"""How far from the median, in shares of the rows, a value may lie that stands for its column."""


def _unknown_names(cells: Sequence[tuple[Any, str, str]], known: Mapping[str, Sequence[str]], where: str) -> DataError:
    """The error for names that no training row had: by row, column and name."""
    _, column, value = cells[0]
    error = unknown_category(value, column, known[column], where)
    rows = dict.fromkeys(str(row) for row, _, _ in cells)
    one = {str(row): f"row {row} ({column} {value[:40]!r})" for row, column, value in reversed(cells)}
    listed = ", ".join(one[row] for row in list(rows)[:MOST_NAMED])
    more = f" and {len(rows) - MOST_NAMED:,} more" if len(rows) > MOST_NAMED else ""
    what = f"{error.message} {len(rows):,} {'row has' if len(rows) == 1 else 'rows have'} such a name: {listed}{more}."
    choice = (
        'Or --unknown missing takes such cells as missing, and --unknown skip leaves the rows out (unknown="missing").'
    )
    return DataError(what, where=where, fix=f"{error.fix} {choice}")


def with_absent(raw: Raw, schema: Schema) -> None:
    """Add the columns that a mixed table lacks, in place, every cell of them missing."""
    if raw.columns is None:
        return
    lacking = [name for name in schema.names if name not in raw.columns]
    raw.x = np.concatenate([raw.x, np.full((len(raw.x), len(lacking)), np.nan)], axis=1)
    raw.columns = (*raw.columns, *lacking)


def _codes(values: np.ndarray, found: TextColumn | None, kind: ColumnType) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column in the order of a schema, -1 for a name that it lacks; and the name of each cell."""
    own = found.values if found is not None else tuple(map(written_number, np.unique(values).tolist()))
    if kind.written == "bool":  # which may come as numbers
        own = tuple({"0": "False", "1": "True"}.get(value, value) for value in own)
    codes = values.astype(np.int64) if found is not None else np.searchsorted(np.unique(values), values)
    known = {value: code for code, value in enumerate(kind.values)}
    return np.array([known.get(value, -1) for value in own], np.float32)[codes], np.array(own, object)[codes]


def _as_dates(values: np.ndarray, found: TextColumn, kind: ColumnType, name: str, where: str) -> np.ndarray:
    """Days or seconds in the unit and the zone of a schema."""
    if bool(found.zone) != bool(kind.zone):
        has = "a time zone" if found.zone else "no time zone"
        what = f"column {name!r} holds times with {has}; the model knows them {'with' if kind.zone else 'without'} one."
        raise DataError(what, where=where, fix="Write it as it was written in the training data.")
    if found.written == kind.written and found.zone == kind.zone:
        return values
    if found.written == "D":
        seconds = values * DAY
        seconds = seconds - zone_offsets(seconds, found.zone, wall=True) if found.zone else seconds
    else:
        seconds = values
    if kind.written == "s":
        return seconds
    return np.floor((seconds + (zone_offsets(seconds, kind.zone, wall=False) if kind.zone else 0)) / DAY)


def refuse_text(raw: Raw, where: str) -> None:
    """Refuse columns of text for a model of numbers."""
    if raw.texts:
        place = min(raw.texts)
        name = raw.columns[place] if raw.columns else f"x{place}"
        fix = f"Leave it out, or name it with --label {name} or --id {name}."
        raise DataError(f"column {name!r} holds text; the model was trained on numbers.", where=where, fix=fix)


def mixed_notes(
    raw: Raw, schema: Schema, beyond: str, rows: np.ndarray, declared: Mapping[str, Declared] | None = None
) -> tuple[str, ...]:
    """Say what of a mixed table is not as it was."""
    whys = {}
    for name in schema.ignored or ():
        if raw.columns is None or name not in raw.columns:
            continue
        place = raw.columns.index(name)
        values = raw.x[rows, place]
        whys[name] = leave_out(values[~np.isnan(values)], (raw.texts or {}).get(place), (declared or {}).get(name))
    return notes_of(whys, beyond)


def written_notes(schema: Schema, declared: Mapping[str, Declared] | None) -> tuple[str, ...]:
    """Say in a line which columns are numbers and dates with a writing, and which are names though most are numbers."""
    said, names = [], []
    for column, one in zip(schema.columns or (), schema.types or ()):
        if one.kind == "category" and not one.starts and column.name not in (declared or {}):
            numbers = [is_number(value) for value in one.values]
            share = float(np.dot(numbers, one.shares))
            if 0.5 < share < 1 and sum(numbers) > 2 and not any(map(is_zero_led, one.values)):
                other = next(value for value, number in zip(one.values, numbers) if not number)
                what = (
                    f"Column {column.name!r} is read as names, though {share:.0%} of its cells are numbers: leave cells"
                )
                names.append(f"{what} such as {other[:40]!r} empty, or declare it a category.")
        if one.writing is not None:
            # The longest of the usual values shows most: "19.285" is 19285, where "300" is 300.
            usual = np.abs(np.cumsum(one.shares) - np.array(one.shares) / 2 - 0.5) < USUAL
            some = np.array(one.starts)[usual if usual.any() else slice(None)]
            cell = some[[int(np.argmax([len(text) for text in one.texts(some)]))]]
            plain = structs.replace(one, writing=None).texts(cell)[0]
            meant = f" is {plain}" if one.kind == "number" or one.writing.step is None else ""
            meant = meant if one.kind == "number" or "Y" in one.writing.pattern.upper() else ""
            said.append(f"{column.name!r} as {one.kind}s ({one.texts(cell)[0]!r}{meant})")
    columns = schema.names
    words = [next((value for value in one.values if value.lower() == NOTHING), "") for one in schema.types or ()]
    names += [
        f"{word!r} is a name of column {column!r}; leave its cell empty where the name is not known."
        for column, word in zip(columns, words)
        if word and column not in (declared or {})
    ]
    return (*((f"Read as it is written, and so are samples: {', '.join(said)}.",) if said else ()), *names)


def beyond_words(x: np.ndarray, schema: Schema, outside: np.ndarray | None) -> str:
    """Say how many cells lie beyond the numbers of the training rows, and of a few which and what; "" of none."""
    beyond = 0 if outside is None else int(np.count_nonzero(outside))
    if outside is None or not beyond:
        return ""
    named = ""
    if beyond <= MOST_SAID:
        columns, types, cells = schema.columns or (), schema.types or (), []
        for row, i in np.argwhere(outside).tolist():
            one = structs.replace(types[i], low=types[i].low + float(outside[row, i]) * types[i].step)
            cells.append(f"{columns[i].name} {one.texts(np.asarray(x[row : row + 1, i]))[0]}")
        named = f" ({', '.join(cells)})"
    return beyond_count(beyond, named)


def beyond_count(beyond: int, named: str = "") -> str:
    """Say that so many cells lie beyond the numbers of the training rows; "" of none."""
    lie = "1 cell lies" if beyond == 1 else f"{beyond} cells lie"
    words = f"{lie} beyond the numbers of the training rows{named}, and counted as the outermost of these."
    return words if beyond else ""


def notes_of(whys: Mapping[str, str | None], beyond: str) -> tuple[str, ...]:
    """Say which columns are left out, and which cells lie beyond the numbers of the training rows."""
    # whys: by the name of each column that is left out why it is; None: the training data lacked it too.
    notes = [
        f"Column {name!r} is not modelled: {why or 'nor was it in the training data'}." for name, why in whys.items()
    ]
    return (*notes, beyond) if beyond else tuple(notes)


def as_columns(x: np.ndarray, schema: Schema) -> dict[str, np.ndarray]:
    """Write stored rows of a mixed table as its columns were: names, whole numbers, decimals, dates.

    Args:
        x: The stored cells, of shape (n, columns).
        schema: The schema of the table.

    Returns:
        A column of shape (n,) for each name.
    """
    return {name: kind.decoded(x[:, i]) for i, (name, kind) in enumerate(zip(schema.names, schema.types or ()))}


def in_units(x: Shaped[np.ndarray, "n columns"], types: Sequence[ColumnType]) -> np.ndarray:
    """Stored rows as numbers in the units of their columns."""
    # Categories stay codes, dates become days since 1970, durations are counted in the unit that they were recorded in.
    made = np.array(x, np.float64)
    for i, one in enumerate(types):
        if one.kind != "category":
            made[:, i] = (one.low + made[:, i] * one.step) / (86_400.0 if one.written == "s" else 1.0)
    return made
