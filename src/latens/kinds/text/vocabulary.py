"""Rows of text as rows of whole numbers: pieces of a string, their vocabulary, and the lengths that rows are cut to."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Int
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from latens.errors import DataError, visible

PieceName: TypeAlias = Literal["characters", "words", "atoms"]
"""What a string is cut into; each is a row of `PIECES`."""

MOST_TOKENS, MOST_PIECE = 2**16 - 1, 1000
"""Pieces of a vocabulary at the most, and characters of one."""
LONGEST = 2**16
"""Tokens of a row at the most."""
GRID = 4
"""Rows are stored at a length that is a multiple of it, and so are the edges of their buckets."""
FEW_BUCKETS, MANY_BUCKETS, MANY_ROWS, WORTH = 2, 4, 10_000, 0.9
"""Buckets of lengths for few rows and for many, where they leave at most such a share of the steps of few; each is a
compiled branch of the training step."""


class Tokens(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How strings are written as whole numbers: code 0 ends a sequence, code i is `values[i - 1]`."""

    pieces: PieceName
    values: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=MOST_PIECE)], ...], Meta(min_length=1)]
    # the lengths of the buckets that training rows are sorted into, the stored length last; empty for one length
    edges: Annotated[tuple[Annotated[int, Meta(ge=1, le=LONGEST)], ...], Meta(max_length=64)] = ()
    # whether no training row is without a piece, so that none has the probability of one; False in older files
    never_empty: bool = False
    # of atoms, whether the parentheses and ring numbers of every row close, so that they do in every sample; False in
    # older files
    closed: bool = False

    @property
    def closing(self) -> tuple[int, int, tuple[int, ...]] | None:
        """The codes of "(" and ")", -1 where rows have none, and of the ring numbers; None where nothing must close."""
        if not self.closed:
            return None
        known = {piece: code for code, piece in enumerate(self.values, 1)}
        rings = tuple(code for piece, code in known.items() if _RING.fullmatch(piece))
        return known.get("(", -1), known.get(")", -1), rings

    @property
    def size(self) -> int:
        """How many codes there are: the vocabulary and the end."""
        return len(self.values) + 1

    @property
    def dtype(self) -> np.dtype:
        """The type that codes are kept in."""
        return np.dtype(np.int16 if self.size <= 2**15 else np.int32)

    def coded(
        self, texts: Sequence[str], length: int, where: str, lines: Sequence[int] | None = None
    ) -> tuple[Int[np.ndarray, "n length"], list[tuple[int, int, str]]]:
        """Write strings as codes; and the row, the place and the piece of what the vocabulary lacks."""
        # lines: the numbers of the strings in their file, for errors; None: rows are counted from 0.
        # returns: codes, 0 from the first piece on that is not known; of each row only that one is told.
        known = {piece: code for code, piece in enumerate(self.values, 1)}
        split, codes = PIECES[self.pieces].split, np.zeros((len(texts), length), self.dtype)
        strange: list[tuple[int, int, str]] = []
        for row, text in enumerate(texts):
            pieces = split(text)
            if not 0 < len(pieces) < length:
                place = f"{where}, {row_name(row, lines)}"
                if not pieces:
                    raise DataError("is a sequence of length 0.", where=place, fix="Leave it out.")
                what = f"has {len(pieces)} {self.pieces}; the model knows sequences of up to {length - 1}."
                raise DataError(what, where=place, fix="Shorten it, or leave it out.")
            found = [known.get(piece, 0) for piece in pieces]
            if 0 in found:
                at = found.index(0)
                strange.append((row, at, pieces[at]))
                found = found[:at]
            codes[row, : len(found)] = found
        return codes, strange

    def texts(self, codes: ArrayLike) -> list[str]:
        """Read rows of codes up to their first 0 as strings."""
        rows = np.round(np.asarray(codes)).astype(np.int64)
        join, words = PIECES[self.pieces].join, np.array(["", *self.values], object)
        ends = np.where((rows == 0).any(1), (rows == 0).argmax(1), rows.shape[1])
        return [join(words[row[:end]].tolist()) for row, end in zip(rows, ends)]


class Pieces(NamedTuple):
    """A tokenizer: how a string is cut into pieces, and pieces are put together again."""

    split: Callable[[str], list[str]]
    join: Callable[[list[str]], str]


# Of SMILES: an atom in brackets, an atom of two letters, a ring number of two digits, else one character.
_ATOMS = re.compile(r"\[[^\]]*\]|Br|Cl|Si|Se|%\d\d|.", re.DOTALL)
_RING = re.compile(r"%?[0-9]+")


def closes(pieces: Iterable[str]) -> bool:
    """Say whether every parenthesis of a SMILES has its other half behind it, and every ring number comes twice."""
    depth, rings = 0, set[str]()
    for piece in pieces:
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            return False
        if _RING.fullmatch(piece):
            rings ^= {piece}
    return not depth and not rings


PIECES: dict[PieceName, Pieces] = {
    "characters": Pieces(list, "".join),
    "words": Pieces(str.split, " ".join),
    "atoms": Pieces(_ATOMS.findall, "".join),
}
"""The tokenizers by name: a new one is a row."""


def row_name(row: int, lines: Sequence[int] | None) -> str:
    """Name a string for an error."""
    return f"row {row}" if lines is None else f"line {lines[row]}"


def learn_tokens(
    texts: Iterable[str], train: Iterable[bool], pieces: PieceName, where: str, lines: Sequence[int] | None = None
) -> tuple[Tokens, int]:
    """Make the vocabulary of strings, and the length that rows are stored at."""
    # The vocabulary is of all rows; the buckets are chosen for the training rows. Strings are gone through one by one.
    split, seen = PIECES[pieces].split, set[str]()
    every, own = Counter[int](), Counter[int]()  # of how many rows need so many steps
    closed = pieces == "atoms"
    for number, (text, trains) in enumerate(zip(texts, train)):
        cut = split(text)
        if not cut:  # which is why no row is ever empty
            at = f"{where}, {row_name(number, lines)}"
            raise DataError("is a sequence of length 0.", where=at, fix="Leave it out.")
        if len(cut) >= LONGEST:
            what = f"has {len(cut):,} {pieces}; a sequence has fewer than {LONGEST:,}."
            raise DataError(what, where=f"{where}, {row_name(number, lines)}", fix="Cut it into several lines.")
        seen.update(cut)
        closed = closed and closes(cut)
        every[len(cut) + 1] += 1
        own[len(cut) + 1] += bool(trains)
    values = tuple(sorted(seen))
    if len(values) > MOST_TOKENS or max(map(len, values)) > MOST_PIECE:
        what = f"holds {len(values):,} different {pieces}, or one of more than {MOST_PIECE} characters."
        raise DataError(what, where=where, fix="Use other pieces: --pieces characters.")
    length = -(-max(every) // GRID) * GRID
    edges = chosen_edges(own if own.total() else every, length)
    return Tokens(pieces, values, edges, never_empty=True, closed=closed), length


def chosen_edges(rows: Counter[int], length: int) -> tuple[int, ...]:
    """Choose the buckets of rows of unlike length: few, or many where these save much."""
    # rows: of how many rows need so many steps. length: the stored length.
    counts = np.zeros(max(rows) + 1, np.int64)
    counts[list(rows)] = list(rows.values())
    few, many = (bucket_edges(counts, most, length) for most in (FEW_BUCKETS, MANY_BUCKETS))
    steps_few, steps_many = (np.array(e)[np.searchsorted(e, np.arange(len(counts)))] @ counts for e in (few, many))
    return many if counts.sum() > MANY_ROWS and steps_many < WORTH * steps_few else few


def steps_of(codes: Int[np.ndarray, "n steps"]) -> Int[np.ndarray, " n"]:
    """Count the steps that rows of codes need: their pieces and the end."""
    return np.minimum((codes > 0).sum(1) + 1, codes.shape[1])


def by_buckets(
    order: Int[np.ndarray, " n"], needed: Int[np.ndarray, " n"], edges: Sequence[int], size: int,
    shuffle: np.random.Generator,
) -> Int[np.ndarray, " n"]:  # fmt: skip
    """Put shuffled rows into batches whose rows are of one bucket each, as far as these fill batches."""
    # needed: how many steps each of the rows needs. shuffle: a stream of random numbers, for the order of batches.
    # What no bucket fills comes in mixed batches, and last what fills no batch: there are as many batches as ever.
    bucket, taken = np.searchsorted(edges, needed), np.zeros(len(order), bool)
    batches = []
    for number in range(len(edges)):
        places = np.flatnonzero(bucket == number)
        places = places[: len(places) // size * size]
        taken[places] = True
        batches.append(order[places].reshape(-1, size))
    rest = order[~taken]
    mixed = len(rest) // size * size
    whole = np.concatenate([*batches, rest[:mixed].reshape(-1, size)])
    return np.concatenate([whole[shuffle.permutation(len(whole))].reshape(-1), rest[mixed:]])


def bucket_edges(counts: Int[np.ndarray, " steps"], most: int, length: int) -> tuple[int, ...]:
    """Choose the lengths of at most so many buckets so that rows are cut to as few steps as can be."""
    # counts: how many rows need each number of steps, the end among them. The last edge is the stored length.
    ends = [*range(GRID, length, GRID), length]
    below = np.array([0, *np.cumsum(np.pad(counts, (0, max(0, length + 1 - len(counts)))))[ends]])
    # cost[j]: the steps of the rows that fit into edge j - 1, with the buckets so far; way: where the last one begins.
    cost, ways = np.where(below > 0, np.inf, 0.0), []
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    for _ in range(min(most, len(ends))):
        way = [int(np.argmin(cost[: j + 1] + (below[j + 1] - below[: j + 1]) * end)) for j, end in enumerate(ends)]
        cost = np.array([0.0, *(cost[i] + (below[j + 1] - below[i]) * ends[j] for j, i in enumerate(way))])
        ways.append(way)
        if cost[-1] < best[0]:
            at, edges = len(ends), []
            for back in reversed(ways):
                edges, at = [*edges, *([ends[at - 1]] if at else [])], back[at - 1] if at else 0
            best = float(cost[-1]), tuple(sorted(set(edges)))
    return best[1]


def wrong_tokens(schema: Any) -> tuple[str, str] | None:
    """What is wrong with the vocabulary of a file, for rows of its shape."""
    if schema.tokens is None:
        return None
    values, edges, shape, wrong = schema.tokens.values, schema.tokens.edges, schema.shape, ""
    if len(shape) != 1 or shape[0] > LONGEST:
        wrong = f"are of rows with one axis of at most {LONGEST} tokens, not of shape {shape}"
    elif len(values) > MOST_TOKENS or len(set(values)) != len(values):
        wrong = f"has {len(values)} pieces, more than {MOST_TOKENS}, or one twice"
    elif edges and (edges[-1] != shape[0] or any(one >= other for one, other in pairwise(edges))):
        wrong = f"has edges {edges[:8]} that do not rise to {shape[0]}"
    return ("tokens", wrong) if wrong else None


def refuse_holes(observed: Bool[np.ndarray, "n steps"], where: str) -> None:
    """Refuse text of which what is seen is not a beginning."""
    holes = (observed[:, 1:] & ~observed[:, :-1]).any(1)
    if holes.any():
        what = f"row {int(holes.argmax())} has a hole: of text only a beginning can be all that is seen."
        raise DataError(what, where=where, fix="Mask every place after the first that is masked.")


def unknown_pieces(
    strange: Sequence[tuple[int, int, str]], tokens: Tokens, where: str, lines: Sequence[int] | None = None
) -> DataError:
    """The error for pieces that a vocabulary lacks: by line and character."""
    row, at, piece = strange[0]
    more = f" {len(strange):,} rows have such a piece." if len(strange) > 1 else ""
    kind = {"characters": "character"}.get(tokens.pieces, f"piece ({tokens.pieces})")
    what = f"{kind} {at + 1} is {piece[:40]!r}, which the vocabulary of {len(tokens.values)} pieces lacks.{more}"
    fix = "Leave such rows out; --unknown skip does, and --unknown missing takes what follows as missing."
    fix = f'{fix} In Python: unknown="skip".'
    if where.startswith("--"):  # of a command that is given the text itself
        some = " ".join(tokens.values[:40]) + (" ..." if len(tokens.values) > 40 else "")
        fix = f"It has: {visible(some)}"
    return DataError(what, where=f"{where}, {row_name(row, lines)}", fix=fix)


BATCH_TOKENS, LEAST_TEXTS, LOOKED_AT = 6144, 8, 10_000
"""Tokens of a batch of text, rows of it at the least, and training rows whose mean length counts: after as many rows,
chorales of 294 tokens are at 540 nats in batches of 8, and at 913 in batches of 32."""


def batch_of_texts(data: Any, usual: int) -> tuple[int, str]:
    """The rows of a batch of text, and how long they are, in words."""
    length = max(1.0, float(np.mean(steps_of(data.x[data.subset("train")[:LOOKED_AT]]))))
    size = min(usual, max(LEAST_TEXTS, 2 ** int(math.log2(max(1.0, BATCH_TOKENS / length)))))
    return size, f" of {length:.0f} tokens on average"
