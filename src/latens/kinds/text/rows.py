"""Strings as the rows of a data set: their schema, their codes, and what of them is said."""

from typing import TYPE_CHECKING

import numpy as np

from latens.data.infer import conform, store
from latens.data.raw import Raw
from latens.data.rows import TRAIN
from latens.data.schema import Schema
from latens.errors import ConfigError, DataError, UsageError, nearest
from latens.kinds.text.tokens import PIECES, PieceName, closes, learn_tokens, row_name, unknown_pieces
from latens.text import visible

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored


def text_schema(raw: Raw, split: np.ndarray, pieces: str | None, where: str) -> Schema:
    """Give strings a schema: their pieces, and the vocabulary and the lengths of these."""
    chosen = known_pieces(pieces or raw.pieces or "characters")
    strings = raw.strings or []
    tokens, length = learn_tokens(strings, (split == TRAIN).tolist(), chosen, where, raw.lines)
    held = {one for one, part in zip(strings, split) if part == TRAIN}
    copies = sum(one in held for one, part in zip(strings, split) if part != TRAIN)
    if copies:
        rest = int((split != TRAIN).sum())
        raw.notes += (f"{copies:,} of the {rest:,} rows that do not train are copies of training rows.",)
    return Schema((length,), "tokens", tokens=tokens)


def one_column(raw: Raw, pieces: str | None, where: str) -> None:
    """Take the only column of a table, which is of text, for rows of text, in place."""
    if raw.strings is not None:
        return
    if raw.kinds and raw.kinds[0].named and raw.x.shape[1] == 1:
        if np.isnan(raw.x).any():
            row = int(np.argmax(np.isnan(raw.x[:, 0])))
            raise DataError("has no text.", where=f"{where}, row {row}", fix="Leave this row out, or write .txt.")
        values = raw.kinds[0].values
        raw.strings, raw.x, raw.kinds, raw.columns = [values[int(code)] for code in raw.x[:, 0]], None, None, None
    elif pieces is not None:
        found = "" if raw.columns is None else f"; it has the columns {', '.join(raw.columns[:5])}"
        fix = "Give a text file with a line a row, a table with one column of text beside label and id, or strings."
        raise DataError(f"holds no rows of text to be cut into pieces{found}.", where=where, fix=fix)


def refuse_gaps(schema: Schema, where: str) -> None:
    """Refuse rows of text where cells are filled in."""
    if schema.tokens is not None:
        fix = "`latens sample RUN --complete BEGINNING` draws what follows."
        raise ConfigError("rows of text have no gaps to fill in.", where=where, fix=fix)


def known_pieces(pieces: str) -> PieceName:
    """Check the name of a way to cut strings."""
    for name in PIECES:
        if name == pieces:
            return name
    raise UsageError(f"there are no pieces {pieces!r}.", where="--pieces", fix=nearest(pieces, PIECES))


def code_strings(raw: Raw, schema: Schema, unknown: str, where: str) -> tuple[np.ndarray | None, list]:
    """Turn strings into codes in place; and what of them is seen, with the pieces that the vocabulary lacks."""
    # What follows a piece that is not known counts as missing, so a row is then a beginning.
    if schema.tokens is None:
        raise DataError("holds text; the model was trained on numbers.", where=where, fix="Give rows of numbers.")
    if unknown == "grow":
        fix = "Use --unknown skip or missing, or train anew on all texts."
        raise DataError("the vocabulary of a text model does not grow.", where=where, fix=fix)
    raw.x, strange = schema.tokens.coded(raw.strings or [], schema.shape[0], where, raw.lines)
    cut, begun = PIECES[schema.tokens.pieces].splitter(schema.tokens), {row for row, *_ in strange}
    if schema.tokens.closed:
        for row, text in enumerate(raw.strings or []):
            if row not in begun and not closes(cut(text)):
                what = f"{visible(text)} has a parenthesis or a ring number that does not close; no training row has."
                raise DataError(what, where=f"{where}, {row_name(row, raw.lines)}", fix="Leave it out.")
    raw.strings = None
    if not strange:
        return None, []
    if unknown == "error":
        raise unknown_pieces(strange, schema.tokens, where, raw.lines)
    seen = np.ones(raw.x.shape, bool)
    for row, at, _ in strange:
        seen[row, at:] = False
    return seen, strange


def store_text(rows: "Coming") -> "Stored":
    """Store strings as rows of codes."""
    from latens.data.door import Stored

    raw, where, asked = rows.raw, rows.where, rows.asked
    if rows.typed or rows.counts:
        flag = "counts" if rows.counts else "typed" if asked.columns is None else "columns"
        raise DataError(
            "holds rows of text, which have no columns of numbers.", where=where, fix=f"Leave out --{flag}."
        )
    schema = rows.schema or text_schema(raw, rows.split, asked.pieces, where)
    observed, strange = code_strings(raw, schema, rows.unknown, where)
    raw.x, _ = conform(raw.x, None, schema, None, where)
    return Stored(store(raw.x, schema, where), rows.told(schema), observed, unseen=tuple(strange))
