"""What of a table may not mean what it says: marks of missing values, columns that tell the label, empty rows."""

import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped
from msgspec import structs

from latens.data import beyond, implied, month_days, weekdays
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.exchanged import exchanged, told_exchanged
from latens.data.far import ALONE_AMONG, FEWEST, LEAST_ROWS, beyond_levels, cut_off, far_group, far_values, lone_values
from latens.data.inapplicable import found_in
from latens.data.ordered import broken_in, pending_in
from latens.data.ordered import found_in as ordered_in
from latens.data.relations import Relation, relations_in
from latens.data.rules import broken_rules, in_words
from latens.data.sparse import columns_of

FEW_ROWS = 100
"""Of fewer rows a network learns little."""
MOST_COLUMNS = 1000
"""Tables with more columns are not looked through."""
MOST_ROWS = 100_000
"""Of longer columns every k-th cell is looked at."""
COUNTED = 0.98
"""A column counts the rows where it grows by 1 in more than this share of them, and never falls."""
MOST_SPELLINGS = 5
"""Spellings that are told."""
SLIP_LENGTH, SLIP_SHARE, SWAP_LENGTH, SWAP_SHARE = 5, 0.02, 4, 0.05
"""Letters that a name has at least which may be misspelt, and how often it is so at most, beside the right one; fewer
and more often where two letters changed places, as hardly any two names differ so."""
UNITS, NEARLY = (10, 60, 100, 1000), 1.5
"""What a number in another unit is too large by, and up to how many times it is off that."""
GROUPS = 3
"""Groups of such numbers of a column that are looked for, one after the other."""
UNLIKE, UNLIKE_SHARE = 6.0, 0.02
"""Widths from which on a number is far from what others say of it, and the share of such rows at the most."""
OWN = 0.95
"""Share of the rows of a value, and of those of a name, from which on the value is that name's own."""
FEW_SELDOM = 0.3
"""Share of names with fewer rows than `ALONE_AMONG` up to which one row alone says that its name is a slip."""
MARK = re.compile(r"-1|0|-?(9+|8{2,}|7{2,})")
"""Numbers that stand for missing values."""

MOST_NAMES = 1000
"""Columns of more names are not looked through for misspelt ones."""
MOST_CLASSES = 50
"""A label has so many classes at the most, where it is told by its name."""
LABEL = re.compile(r"(?i)(class(es)?|labels?|targets?|species|category|outcome|diagnosis|survived|churn(ed)?|y)")
CODE = re.compile(
    r"(?i)(^|[^a-z])(id|code|zip|zipcode|plz|postcode|postal|icd|sku|isbn|ean|naics|sic)([^a-z]|$)|(ID|Id|Code)$"
)
"""Names of columns that are labels, or codes."""

LEAST_WINDOWS, LONGEST_WINDOW, MOST_PAIRS = 20, 4096, 200
"""From how many rows on and up to which length windows are looked for, and in how many pairs of rows."""


ALL_TOLD = 12
"""Rows that are all named; of more the first ones are."""
LOOK = "look at"
"""What stands in the sentences that name rows with a mistake."""


class Suspicion(NamedTuple):
    """What may not mean what it says, and where."""

    words: str
    columns: tuple[str, ...] = ()  # one of them is wrong in each of the rows
    rows: np.ndarray | None = None
    right: str = ""  # the name that they should have, where it is known
    note: bool = False  # whether it holds everywhere, and nothing is to be looked at


def suspicions(dataset: Dataset) -> list[str]:
    """Say what of a table with named columns may not mean what it says."""
    return [one.words for one in suspected(dataset)]


def suspected(dataset: Dataset, of: Dataset | None = None) -> list[Suspicion]:
    """Find what of a table with named columns may not mean what it says, with the rows that hold it."""
    # of: the same rows without some cells, which say the rules; None: the data do.
    schema = dataset.schema
    if schema.columns is None or len(schema.columns) > MOST_COLUMNS:
        return []
    found: list[Suspicion] = []
    say = lambda *words: found.extend(map(Suspicion, words))  # noqa: E731
    empty = 0 if dataset.mask is None else int(np.count_nonzero(~dataset.mask.any(axis=1)))
    if empty:
        say(f"{empty} rows have no cell at all: they change nothing, and may be left out.")
    if len(dataset) < FEW_ROWS:
        say(
            f"Only {len(dataset)} rows: a network learns little from so few; nearest neighbours or trees (KNNImputer, "
            "IsolationForest and random forests of scikit-learn) are safer."
        )
    for rule in found_in(dataset):
        words = (
            f"Column {rule.column!r} is empty in all {rule.rows} rows where {rule.other!r} is {rule.name!r}, and "
            "less often elsewhere: it may not apply there. `latens impute` and .csv files of `latens sample` leave it "
            "empty."
        )
        found.append(Suspicion(words, note=True))
    names = [column.name for column in schema.columns]
    for one, wrong in broken_rules(dataset, of):
        rows = np.flatnonzero(wrong)
        if not len(rows) and isinstance(one, implied.Implied):
            continue
        look = f", and not in {len(rows)}: {LOOK} {rows_in_words(dataset, rows)}" if len(rows) else ""
        words = (
            f"Column {one.target!r} is {in_words(one, schema)} in {one.rows - one.broken} rows{look}. Samples keep it."
        )
        given = one.read if isinstance(one, implied.Implied) else one.columns
        found.append(Suspicion(words, (one.target, *given), rows, note=not len(rows)))
    swapped = {name for pair in ordered_in(dataset) if pair.broken for name in (pair.first, pair.second)}
    for pair in ordered_in(dataset):
        if pair.broken:
            rows = np.flatnonzero(broken_in([pair], schema, dataset.x, dataset.mask))
            words = (
                f"{pair.first!r} lies after {pair.second!r} in {pair.broken} of the {pair.rows} rows that have both: "
                f"{LOOK} {rows_in_words(dataset, rows)}.{_turned(dataset, names.index(pair.second), rows)}"
            )
            found.append(Suspicion(words, (pair.second, pair.first), rows))
    of_days = [(of, rule) for of in (weekdays, month_days) for rule in of.found_in(dataset)]
    for days, rule in of_days:
        if rule.broken:
            wrong = days.broken_in([rule], schema, dataset.x, dataset.mask)
            rows = np.flatnonzero(wrong.any(axis=1))
            held = rule.broken if days is weekdays else rule.rows - rule.broken
            words = f"{rule.words} in {held} of {rule.rows} rows{' alone' * (days is weekdays)}"
            words = f"{words}: {LOOK} {rows_in_words(dataset, rows)}."
            found.append(Suspicion(words, tuple(names[k] for k in np.flatnonzero(wrong.any(axis=0))), rows))
    for rule in pending_in(dataset):
        words = (
            f"Column {rule.second!r} is empty in {rule.rows} rows that began late, by {rule.first!r}, and seldom in "
            "the others: it may not have come yet. `latens impute` leaves it empty there."
        )
        found.append(Suspicion(words, note=True))
    same: dict[str, str] = {}
    for name in names:
        if (other := same.setdefault(" ".join(name.lower().split()), name)) != name:
            say(f"Columns {other!r} and {name!r} differ in case or blanks alone: if they are one, leave one out.")
    if dataset.cells:
        return found  # the zeros of a gene lie far from all else, and mean what they say
    for i, (column, stored) in enumerate(zip(schema.columns, columns_of(dataset.x))):
        one = None if schema.types is None else schema.types[i]
        shown = slice(None) if dataset.mask is None else dataset.mask[:, i]
        stored = _whole(dataset, i, stored)
        every = stored[shown]
        step = 1 + len(every) // MOST_ROWS
        cells = every[::step].astype(np.float64)
        say(*_roles(column.name, one, every.astype(np.float64), dataset))
        if one is not None and one.named:
            found += _spellings(dataset, i, column.name, one, every)
        else:
            scaled = cells if one is None else one.low + cells * one.step
            apart = np.unique(cells[np.isin(scaled, far_group(scaled))]).tolist()
            none = np.zeros(0, int)
            turned = none if one is None or one.kind != "duration" else told_exchanged(dataset, i)
            if len(turned):
                first = one.after.column if one is not None and one.after is not None else ""
                words = f"{column.name!r} lies far from its usual time after {first!r} in {len(turned)} rows"
                words = f"{words}: {LOOK} {rows_in_words(dataset, turned)}.{_turned(dataset, i, turned)}"
                found.append(Suspicion(words, (column.name,), turned))
            told = [*apart, *stored[turned].tolist()] if len(turned) else apart
            start = 0.0 if one is None else one.low / one.step if one.kind == "number" else -np.inf
            lone = [*lone_values(cells, start), *beyond_levels(cells)]
            lone = [value for value in dict.fromkeys(lone) if value not in told]
            if apart:
                found.append(_far_out(dataset, i, column.name, one, cells, apart))
            for value in lone:
                words = f"{value:g}" if one is None else _texts(one, np.array([value]))[0]
                rows = _rows_of(dataset, i, value, value)
                words = f"Column {column.name!r} holds {words} far from all its other values: {LOOK}"
                words = f"{words} {rows_in_words(dataset, rows)}.{_turned(dataset, i, rows)}"
                found.append(Suspicion(words, (column.name,), rows))
            out = [] if one is None or one.kind != "number" else cut_off(scaled)
            told = [*told, *lone, *far_values(cells)]
            cut = [cell for cell in (round((x - one.low) / one.step) for x in out) if cell not in told] if one else []
            for ends in [[c for c in cut if (c > np.median(cells)) == above] for above in (False, True)]:
                if one is None or not ends:
                    continue
                rows = _rows_of(dataset, i, ends[0], ends[-1])
                held = " to ".join(_texts(one, np.unique(np.array(ends)[[0, -1]])))
                words = f"Column {column.name!r} holds {held} in {len(rows)} row{'s' * (len(rows) > 1)}"
                words = f"{words}, apart from all its other values: {LOOK} {rows_in_words(dataset, rows)}."
                found.append(Suspicion(words, (column.name,), rows))
            for value in far_values(cells):
                if one is not None and column.name in swapped and one.low + value * one.step < 0:
                    continue  # before the date that it follows, which is told above
                rows = _rows_of(dataset, i, value, value)
                if _own_of_a_name(dataset, i, rows):
                    continue  # the price of one article, be it far dearer than the others
                plain = f"{value if one is None else one.low + value * one.step:g}"
                words = f"{value:g}" if one is None else _texts(one, np.array([value]))[0]
                count = int(np.count_nonzero(every == value))
                words = (
                    f"Column {column.name!r} holds {words} in {count} rows, far from its other values: if it stands "
                    "for a missing value, leave those cells empty."
                )
                # 999 is a mark, which --clean empties; 640 is for a reader to judge.
                found.append(Suspicion(words, (column.name,), rows) if MARK.fullmatch(plain) else Suspicion(words))
        if dataset.label is not None and tells_label(cells, dataset.label[shown][::step]):
            words = f"Column {column.name!r} tells the label of every row"
            say(f"{words}: leave it out if it is known only with the label.")
    found += _unlike_others(dataset, found)
    return found + _beyond_names(dataset, found)


def _beyond_names(dataset: Dataset, found: Sequence[Suspicion]) -> list[Suspicion]:
    """Say which numbers lie far beyond the others of a name, in rows of which nothing else is said of the number."""
    told = {(one.columns[0], row) for one in found if one.rows is not None and one.columns for row in one.rows.tolist()}
    made = []
    for one in beyond.found_in(dataset):
        rows = np.array([row for row in one.rows.tolist() if (one.column, row) not in told], int)
        if len(rows):
            kind = (dataset.schema.types or ())[dataset.schema.names.index(one.column)]
            last = _texts(kind, np.array([(one.last - kind.low) / kind.step]))[0]
            words = f"Column {one.column!r} lies far beyond {last}, where the other rows of {one.by!r} {one.name!r} end"
            words = f"{words}: {LOOK} {rows_in_words(dataset, rows)}."
            made.append(Suspicion(words, (one.column, one.by), rows))
            told |= {(one.column, row) for row in rows.tolist()}
    return made


def _own_of_a_name(dataset: Dataset, place: int, rows: np.ndarray) -> bool:
    """Whether some name of another column has a value in nearly all of its rows, and hardly another name has it."""
    shown = np.ones(dataset.x.shape, bool) if dataset.mask is None else np.asarray(dataset.mask)
    for k, one in enumerate(dataset.schema.types or ()):
        own = rows[shown[rows, k]] if one.named and k != place else rows[:0]
        if len(own) < OWN * len(rows) or not len(own):
            continue
        code, counts = np.unique(np.asarray(dataset.x)[own, k], return_counts=True)
        alike = shown[:, k] & shown[:, place] & (np.asarray(dataset.x)[:, k] == code[counts.argmax()])
        if counts.max() >= OWN * len(own) and counts.max() >= OWN * np.count_nonzero(alike):
            return True
    return False


def _turned(dataset: Dataset, column: int, rows: np.ndarray) -> str:
    """What day and month exchanged would make of the time between two dates, in words; "" for nothing."""
    if dataset.schema.types is None:
        return ""
    found = {k: fits for k, fits in exchanged(dataset, column, rows).items() if fits.any()}
    if not found:
        return ""
    names = " or of ".join(repr(dataset.schema.names[k]) for k in sorted(found))
    count = int(np.count_nonzero(np.any(list(found.values()), axis=0)))
    which = "this is" if len(rows) == 1 else "all are" if count == len(rows) else f"{count} of these are"
    return f" With day and month of {names} exchanged {which} as usual."


def unlike(relation: Relation) -> Bool[np.ndarray, " n"]:
    """The rows whose number lies far from what others say of it."""
    off, found = np.nan_to_num(relation.off), np.zeros(len(relation.off), bool)
    for _ in range(GROUPS):  # on either side, or of two kinds
        far = np.isin(off, far_group(off, UNLIKE_SHARE) + lone_values(off)) & (np.abs(off) > UNLIKE)
        found |= far
        off = np.where(far, 0.0, off)
    return found


def _times(found: np.ndarray) -> str:
    """How many times as large numbers are as they should be, where that is one of a few and the same in all rows."""
    for times in UNITS:
        for share, said in ((times, f"{times} times as large"), (1.0 / times, f"1/{times} as large")):
            if np.all(np.abs(np.log(found / share)) < np.log(NEARLY)):
                return f", about {said}"
    return ""


def _unlike_others(dataset: Dataset, found: Sequence[Suspicion]) -> list[Suspicion]:
    """Say which numbers lie far from what others say of them, in rows of which nothing else is said."""
    names = dataset.schema.names
    told = np.zeros(dataset.x.shape, bool)
    for one in found:
        for name in one.columns:
            told[one.rows, names.index(name)] = True
    made, heard = [], np.zeros(dataset.x.shape, bool)  # heard: the same number is told once
    for relation in relations_in(dataset):
        at = [names.index(name) for name in (relation.target, *relation.columns)]
        rows = np.flatnonzero(unlike(relation) & ~told[:, at].any(axis=1) & ~heard[:, at[0]])
        if len(rows):
            by = " and ".join(repr(name) for name in relation.columns)
            what = f"Column {relation.target!r} lies far from what {by} {'say' if ' and ' in by else 'says'} of it in"
            count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
            times = _times(np.exp(relation.apart[rows])) if relation.logs else ""
            words = f"{what} {count}{times}: {LOOK} {rows_in_words(dataset, rows)}."
            made.append(Suspicion(words, (relation.target, *relation.columns), rows))
            heard[rows, at[0]] = True
    return made


def _roles(name: str, one: ColumnType | None, values: np.ndarray, dataset: Dataset) -> list[str]:
    """Say of a column that it counts the rows, holds codes, or may be the label, with what mends it."""
    if one is not None and one.named:
        few = 2 <= one.cells <= MOST_CLASSES
        if dataset.label is None and few and LABEL.fullmatch(name.strip()):
            said = f"Column {name!r} has {one.cells} names and may be the label"
            return [f"{said}: --label {shlex.quote(name)} keeps it out of the rows."]
        return []
    if one is not None and one.kind != "number":
        return []
    numbers = values if one is None else one.low + values * one.step
    # Rows beyond the training rows have the outermost number of these.
    rises = np.diff(numbers)
    if len(numbers) == len(dataset) >= FEWEST and np.all(rises >= 0) and np.mean(rises == 1) > COUNTED:
        return [f"Column {name!r} counts the rows from {numbers[0]:g}: --id {shlex.quote(name)} makes it the row id."]
    whole = bool(np.all(numbers == np.floor(numbers))) and len(numbers) > 0 and (one is None or one.writing is None)
    distinct = len(np.unique(numbers)) if whole else 0
    few = distinct > 2 and len(numbers) >= 5 * distinct
    digits = whole and few and len(str(int(numbers.min()))) == len(str(int(numbers.max()))) >= 5 and numbers.min() > 0
    if whole and distinct > 2 and (digits or (few and CODE.search(name))):
        kind = '{"%s": "category"}' % name.replace('"', '\\"')  # noqa: UP031
        return [f"Column {name!r} holds {distinct} numbers that look like codes: {kind} in --columns makes them names."]
    return []


def _spellings(dataset: Dataset, place: int, name: str, one: ColumnType, codes: np.ndarray) -> list[Suspicion]:
    """Say which names of a column differ in case or blanks alone or are misspelt, the frequent one first."""
    counts = np.bincount(codes.astype(np.int64), minlength=len(one.values))
    same: dict[str, list[int]] = {}
    for code in np.argsort(-counts, kind="stable").tolist():
        value = one.values[code].casefold()
        unit = any(map(str.isalpha, value)) and any(map(str.isdigit, value))  # 80g is 80 g
        same.setdefault(("" if unit else " ").join(value.split()), []).append(code)
    found = []
    for first, *others in same.values():
        for other in others:
            rows, seldom = _rows_of(dataset, place, other, other), counts[other] <= SLIP_SHARE * counts[first]
            where = rows_in_words(dataset, rows) if seldom else f"{counts[other]} row{'s' * (counts[other] != 1)}"
            words = (
                f"Column {name!r} holds {one.values[first]!r} and {one.values[other]!r} ({where}), which differ in "
                "case or blanks alone: if they are one, write them alike."
            )
            # What is written so in one row of fifty is a slip, which --clean mends.
            found.append(Suspicion(words, (name,), rows, one.values[first]) if seldom else Suspicion(words))
    rare = misspelt(one.values, counts) if len(one.values) <= MOST_NAMES else []
    for first, other in rare:
        rows = _rows_of(dataset, place, other, other)
        words = (
            f"Column {name!r} holds {one.values[other]!r} ({rows_in_words(dataset, rows)}), a letter away from "
            f"{one.values[first]!r} ({counts[first]:,} rows): if it is misspelt, write it alike."
        )
        found.append(Suspicion(words, (name,), rows, one.values[first]))
    return found[:MOST_SPELLINGS]


def misspelt(values: Sequence[str], counts: np.ndarray) -> list[tuple[int, int]]:
    """Find the names that are one letter away from one that is fifty times as frequent, which comes first."""
    # A letter is left out, put in, taken for another, or changed places with the next. Names with digits are codes:
    # "type 1" and "type 2" are two types.
    order = np.argsort(-counts, kind="stable").tolist()
    plain = [" ".join(value.casefold().split()) for value in values]
    order = [code for code in order if not any(map(str.isdigit, plain[code]))]
    found, seldom = [], np.count_nonzero((counts > 0) & (counts < ALONE_AMONG))
    lone = seldom <= max(1, FEW_SELDOM * np.count_nonzero(counts))  # where names come often, one row is a slip
    for place, first in enumerate(order):
        for other in order[place + 1 :] if len(plain[first]) >= SWAP_LENGTH else ():
            rare = 0 < counts[other] <= SWAP_SHARE * counts[first]
            slip = _slip(plain[first], plain[other])
            slip = SWAP_SHARE if slip and lone and counts[other] == 1 else slip
            if rare and counts[other] <= slip * counts[first]:
                found.append((first, other))
    return found


def _slip(one: str, other: str) -> float:
    """How often one name may be a slip for another, of the rows of that; 0 where more than one letter changed."""
    if one != other and len(one) >= SLIP_LENGTH and _undoubled(one) == _undoubled(other):
        return SLIP_SHARE  # another letter is the doubled one: balett for ballet
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1 or one == other:
        return 0.0
    slip = SLIP_SHARE if len(one) >= SLIP_LENGTH else 0.0
    start = next((k for k, (a, b) in enumerate(zip(short, long)) if a != b), len(short))
    if len(short) < len(long):
        return slip if short[start:] == long[start + 1 :] else 0.0
    if short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]:
        return SWAP_SHARE
    return slip if short[start + 1 :] == long[start + 1 :] else 0.0


def _undoubled(name: str) -> str:
    """A name with each letter once in a row."""
    return "".join(letter for k, letter in enumerate(name) if not k or name[k - 1] != letter)


def rows_in_words(dataset: Dataset, rows: np.ndarray) -> str:
    """Name some rows by their lines in the file, or by their ids: all of a few, else the first ones."""
    first = rows if len(rows) <= ALL_TOLD else rows[:LEAST_ROWS]
    more = f" and {len(rows) - len(first)} more" if len(rows) > len(first) else ""
    if dataset.lines is not None:
        return f"line{'s' * (len(first) > 1)} {', '.join(map(str, dataset.lines[first].tolist()))}{more}"
    return f"row {', '.join(str(name) for name in np.asarray(dataset.names)[first])}{more}"


def _whole(dataset: Dataset, column: int, stored: np.ndarray) -> np.ndarray:
    """The cells of a column with those beyond the numbers of the training rows where they are, not at their end."""
    return stored if dataset.outside is None else stored + dataset.outside[:, column].astype(np.float64)


def _texts(one: ColumnType, cells: np.ndarray) -> list[str]:
    """The values of cells in words, also beyond the grid."""
    return [structs.replace(one, low=one.low + cell * one.step).texts(np.zeros(1))[0] for cell in cells.tolist()]


def _rows_of(dataset: Dataset, column: int, low: float, high: float) -> np.ndarray:
    """The places of the rows that hold a value of a range."""
    stored = _whole(dataset, column, next(cells for i, cells in enumerate(columns_of(dataset.x)) if i == column))
    kept = (stored >= low) & (stored <= high)
    if dataset.mask is not None:
        kept &= dataset.mask[:, column]
    return np.flatnonzero(kept)


def _far_out(
    dataset: Dataset, place: int, name: str, one: ColumnType | None, cells: np.ndarray, apart: list[float]
) -> Suspicion:
    """Say which values of a column lie together far from all others."""
    others = cells[(cells < apart[0]) | (cells > apart[-1])]
    ends = np.array([apart[0], apart[-1], others.min(), others.max()])
    low, high, least, most = [f"{end:g}" for end in ends.tolist()] if one is None else _texts(one, ends)
    rows = _rows_of(dataset, place, apart[0], apart[-1])
    words = f"Column {name!r} holds {low} to {high} in {len(rows)} rows, far from its other values, {least} to {most}"
    return Suspicion(f"{words}: {LOOK} {rows_in_words(dataset, rows)}.", (name,), rows)


def tells_label(values: Shaped[np.ndarray, " n"], label: np.ndarray) -> bool:
    """Say whether each value of a column comes with one label only, of columns whose values repeat."""
    # returns: whether the column tells the label; False where a value comes fewer than 5 times on average.
    values, label = values[label >= 0], label[label >= 0]
    pairs = np.unique(np.stack([values, label.astype(np.float64)]), axis=1).shape[1]
    distinct = len(np.unique(values))
    return pairs == distinct and len(np.unique(label)) > 1 and len(values) >= 5 * distinct


def overlapping(x: Any) -> tuple[str, ...]:
    """The sentence that says that rows are windows of one series which overlap by half or more, if they do."""
    length = x.shape[1] if isinstance(x, np.ndarray) and x.ndim > 1 else 0
    if len(x) < LEAST_WINDOWS or not 4 <= length <= LONGEST_WINDOW:
        return ()
    first = np.unique(np.linspace(0, len(x) - 2, MOST_PAIRS).astype(np.int64))
    one, next_one = x[first], x[first + 1]
    for step in range(1, length // 2 + 1):
        here, there = one[:, step:].reshape(len(first), -1), next_one[:, : length - step].reshape(len(first), -1)
        moved = (here == there).all(axis=1) & (here.max(axis=1) > here.min(axis=1))
        if moved.mean() > 0.9:
            what = f"Rows are overlapping windows of one series: each is the one before moved by {step}."
            why = "Training and held-out rows share cells, so held-out numbers are too good."
            return (f"{what} {why} Cut the series into blocks first, as x_train and x_test of an .npz.",)
    return ()
