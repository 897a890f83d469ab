"""The likelihoods of mixed tables and of rows of tokens, and what an encoder sees of their cells."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latens.distributions import Blocks, Joined, Ordinal, Segments, TokenSequence
from latens.errors import ConfigError
from latens.kinds.tables.columns import ColumnType
from latens.models.heads.base import AbstractHead, DataKind, Moment, Sees, Started
from latens.networks.token_networks import TokenGRU
from latens.trainable import Frozen, held
from latens.typing import Array, Bool, Float, Key, Shaped

FREE = 48
"""Up to so many segments of a number each has a logit of its own; more share a smooth tilt along the grid."""
SPARE = 128
"""Segments of padding, at the most, for which narrow columns are computed with wider ones."""
HATS = 16
"""Functions of the tilt that are not 0 around one place only."""
ATOMS = 4
"""Segments of one cell, at the most, that a number's tilt lets stand apart."""
ATOM_SHARE = 0.02
"""The share of the training rows from which a cell stands apart."""

_QUANTILE = np.frompyfunc(NormalDist().inv_cdf, 1, 1)  # that of SciPy takes longer to import than a head to make


def _padded(rows: Sequence[Sequence[float]], fill: float = 0.0) -> np.ndarray:
    wide = max(map(len, rows))
    return np.array([[*row, *[fill] * (wide - len(row))] for row in rows], np.float32)


def form_of(one: ColumnType) -> str:
    """How a column is tilted: "ordinal", "category", "free" (a logit for each segment) or "ordered"."""
    if one.kind == "ordinal" and one.count > 1:
        return "ordinal"
    return "category" if one.named else "free" if one.count <= FREE else "ordered"


def _bins(types: Sequence[ColumnType]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Columns that are computed together, by how many segments they have and of which kind."""
    # By a power of two; narrow columns are padded to the next wider group where that costs little. A group takes a
    # quarter of a second to compile, in every program.
    groups: dict[tuple[str, int], list[int]] = {}
    for place, one in enumerate(types):
        form = form_of(one)
        form = "free" if form == "category" else form
        size = one.count if form == "ordinal" else 1 << max(one.count - 1, 1).bit_length()
        groups.setdefault((form, size), []).append(place)
    made: dict[tuple[str, int], list[int]] = {}
    for (form, size), places in sorted(groups.items(), reverse=True):
        wider = next(reversed(made), ("", 0))
        padded = form == wider[0] != "ordinal" and (wider[1] - size) * len(places) <= SPARE
        made.setdefault(wider if padded else (form, size), []).extend(places)
    return tuple((f"{form}-{size}", tuple(sorted(places))) for (form, size), places in sorted(made.items()))


class AbstractTableHead(AbstractHead):
    """Columns of a mixed table; outputs of 0 give the shares of the training rows."""

    kinds: ClassVar[tuple[DataKind, ...]] = ("mixed",)
    sees: ClassVar[Sees] = "whole"

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose distribution has the shares of the training rows."""
        return np.zeros(self.num_outputs)


class SegmentsHead(AbstractTableHead):
    r"""Columns of which every segment has a logit of its own: $\log s_{ij} + r_{ij}$ of shares s and outputs r."""

    # Outputs of 0 give the shares of the training rows.
    log_shares: Frozen
    starts: Frozen
    widths: Frozen
    ordered: tuple[bool, ...] = eqx.field(static=True)

    def __init__(self, types: Sequence[ColumnType]) -> None:
        self.shape, self.ordered = (len(types),), tuple(one.kind != "category" for one in types)
        self.log_shares = Frozen(held(_padded([np.log(one.shares).tolist() for one in types])))
        self.starts = Frozen(held(_padded([one.firsts for one in types]), np.int32))
        self.widths = Frozen(held(_padded([one.widths for one in types]), np.int32))

    @property
    def num_outputs(self) -> int:
        """A logit for each column and segment."""
        return self.log_shares.value.size

    def __call__(self, outputs: Float[Array, " n_out"]) -> Segments:
        """The distribution with these logits beside the shares."""
        logits = self.log_shares.value + outputs.reshape(self.log_shares.value.shape)
        return Segments(logits, self.starts.value, self.widths.value, self.ordered)


class OrdinalHead(AbstractTableHead):
    r"""Ordered names: a logistic variable seen through cuts, $P(x \le j) = \sigma(c_j - \mu)$."""

    # Of each column the outputs are the location $\mu$ and by how much each gap between two cuts is wider, in logs:
    # $c_j = c_{j-1} + (\bar c_j - \bar c_{j-1})\,e^{g_j}$ with $\bar c_j$ the log odds of the training rows up to j.
    # Outputs of 0 give the shares of the training rows.
    # Source: McCullagh (1980), "Regression models for ordinal data".
    # `types`: The types of the columns, which all have the same number L > 1 of names.

    cuts: Frozen
    starts: Frozen
    widths: Frozen

    def __init__(self, types: Sequence[ColumnType]) -> None:
        self.shape = (len(types),)
        plain = SegmentsHead(types)
        self.starts, self.widths = plain.starts, plain.widths
        shares = np.array([one.shares for one in types], np.float64)
        odds = np.log(np.cumsum(shares, axis=1)[:, :-1]) - np.log(np.cumsum(shares[:, ::-1], axis=1)[:, -2::-1])
        self.cuts = Frozen(held(np.concatenate([odds[:, :1], np.log(np.diff(odds, axis=1))], axis=1)))

    @property
    def num_outputs(self) -> int:
        """A location for each column, and the gaps between its cuts."""
        return self.cuts.value.size

    def __call__(self, outputs: Float[Array, " n_out"]) -> Segments:
        """The distribution that these outputs describe."""
        made = outputs.reshape(self.cuts.value.shape)
        cuts = self.cuts.value + made.at[:, 0].set(0.0)
        return Segments(Ordinal(made[:, 0], cuts).log_probabilities(), self.starts.value, self.widths.value)


class OrderedSegmentsHead(AbstractTableHead):
    r"""Columns of numbers of many segments: a smooth function along the grid tilts the shares of the segments."""

    # $\log s_j + \sum_k r_k \phi_k(c_j)$, normalised over the segments j of a column, with the shares s, the outputs r
    # and the middle c of a segment on the scale of a standard Normal. The functions are c and its square (with which a
    # tilt is as narrow as a Normal can be), hats around places of like mass (with which it has several peaks), and one
    # for each of the few cells that many rows share. Outputs of 0 give the shares of the training rows.

    log_shares: Frozen
    starts: Frozen
    widths: Frozen
    basis: Frozen

    def __init__(self, types: Sequence[ColumnType]) -> None:
        self.shape = (len(types),)
        plain = SegmentsHead(types)
        self.log_shares, self.starts, self.widths = plain.log_shares, plain.starts, plain.widths
        basis = np.zeros((len(types), 2 + HATS + ATOMS, self.widths.value.shape[1]), np.float32)
        for i, one in enumerate(types):
            functions = basis_of(one)
            basis[i, : len(functions), : one.count] = functions
        self.basis = Frozen(held(basis))

    @property
    def num_outputs(self) -> int:
        """One for each function of each column."""
        return self.shape[0] * (2 + HATS + ATOMS)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Segments:
        """The distribution that these outputs describe."""
        tilt = jnp.einsum("mk,mks->ms", outputs.reshape(self.shape[0], -1), self.basis.value)
        return Segments(self.log_shares.value + tilt, self.starts.value, self.widths.value)


def middles_of(one: ColumnType) -> Shaped[np.ndarray, " K"]:
    """The middle of each segment by its share, as a quantile of a standard Normal."""
    above = np.cumsum(one.shares) - 0.5 * np.asarray(one.shares)
    return np.clip(np.asarray(_QUANTILE(np.clip(above, 1e-9, 1.0 - 1e-9)), float), -4.0, 4.0)


def basis_of(one: ColumnType) -> Shaped[np.ndarray, "functions K"]:
    """The functions along a number's grid that tilt its shares, at the middle of each segment."""
    c = middles_of(one)
    knots = np.asarray(_QUANTILE((np.arange(HATS) + 0.5) / HATS), float)
    hats = np.stack([np.interp(c, knots, row) for row in np.eye(HATS)])
    apart = np.eye(one.count)[atoms_of(one)]
    return np.concatenate([[0.5 * c, 0.125 * c**2], hats, apart])


def atoms_of(one: ColumnType) -> list[int]:
    """The segments of a number's column that stand apart: one cell that many rows share."""
    alone = [j for j, (width, share) in enumerate(zip(one.widths, one.shares)) if width == 1 and share >= ATOM_SHARE]
    return sorted(alone, key=lambda j: -one.shares[j])[:ATOMS]


class TableHead(AbstractTableHead):
    """A probability for every column of a mixed table; columns are independent given the latent."""

    small_loops: ClassVar[bool] = True

    heads: dict[str, SegmentsHead | OrderedSegmentsHead | OrdinalHead]
    blocks: Blocks

    def __init__(self, types: Sequence[ColumnType]) -> None:
        self.shape = (len(types),)
        groups = _bins(types)
        self.blocks = Blocks(tuple(name for name, _ in groups), tuple(places for _, places in groups))
        kinds = {"free": SegmentsHead, "ordered": OrderedSegmentsHead, "ordinal": OrdinalHead}
        made = {name: kinds[name.split("-")[0]] for name, _ in groups}
        self.heads = {name: made[name]([types[place] for place in places]) for name, places in groups}

    @property
    def num_outputs(self) -> int:
        """As many as those of all columns together."""
        return sum(head.num_outputs for head in self.heads.values())

    @property
    def decoded(self) -> int:
        """How many numbers the distribution of one row holds: logit, start and width of each segment."""
        return 3 * sum(head.starts.value.size for head in self.heads.values())

    def slots(self) -> list[tuple[int, int] | None]:
        """Which column and which of its segments or functions each output is of; None where it is of none."""
        found: list[tuple[int, int] | None] = []
        for name, places in zip(self.blocks.names, self.blocks.places):
            head = self.heads[name]
            wide = head.num_outputs // len(places)
            counts = (
                np.count_nonzero(head.widths.value, axis=1) if isinstance(head, SegmentsHead) else [wide] * len(places)
            )
            found += [(place, j) if j < many else None for place, many in zip(places, counts) for j in range(wide)]
        return found

    def __call__(self, outputs: Float[Array, " n_out"]) -> Joined:
        """The distribution of one row."""
        parts, start = {}, 0
        for name in self.blocks.names:
            head = self.heads[name]
            parts[name] = head(outputs[start : start + head.num_outputs])
            start += head.num_outputs
        return Joined(parts, self.blocks)


class TableInput(eqx.Module):
    """What an encoder sees of a row of a mixed table: who is there, which category, where on the grid."""

    # A category is one of its names as zeros and a one; a number is its segment's middle as a quantile of a standard
    # Normal, and whether it is one of the cells that stand apart; each column says whether it was observed.

    sees_mask: ClassVar[bool] = True

    starts: dict[str, Frozen]
    widths: dict[str, Frozen]
    scores: dict[str, Frozen]
    atoms: dict[str, Frozen]
    blocks: Blocks

    def __init__(self, types: Sequence[ColumnType]) -> None:
        groups = _bins(types)
        self.blocks = Blocks(tuple(name for name, _ in groups), tuple(places for _, places in groups))
        self.starts, self.widths, self.scores, self.atoms = {}, {}, {}, {}
        for name, places in groups:
            own = [types[place] for place in places]
            free = SegmentsHead(own)
            self.starts[name], self.widths[name] = free.starts, free.widths
            if name.startswith("ordered"):
                self.scores[name] = Frozen(held(_padded([middles_of(one).tolist() for one in own])))
                self.atoms[name] = Frozen(held(np.asarray(OrderedSegmentsHead(own).basis.value)[:, 2 + HATS :]))

    @property
    def shape(self) -> tuple[int, ...]:
        """How many numbers an encoder sees of a row."""
        sizes = [
            self.starts[name].value.size if name not in self.scores else len(places) * (1 + ATOMS)
            for name, places in zip(self.blocks.names, self.blocks.places)
        ]
        return (sum(sizes) + sum(map(len, self.blocks.places)),)

    def slots(self) -> list[tuple[int, int] | None]:
        """Which column and which of its segments each number is of: -1 is whether it was observed, -2 its place."""
        found: list[tuple[int, int] | None] = [(i, -1) for i in range(sum(map(len, self.blocks.places)))]
        for name, places in zip(self.blocks.names, self.blocks.places):
            if name in self.scores:
                found += [*((place, -2) for place in places), *((place, j) for place in places for j in range(ATOMS))]
                continue
            widths = np.asarray(self.widths[name].value)
            found += [(at, j) if wide else None for at, row in zip(places, widths) for j, wide in enumerate(row)]
        return found

    def __call__(self, x: Float[Array, " c"], mask: Bool[Array, " c"] | None = None) -> Float[Array, " n"]:
        """What an encoder sees of one row."""
        seen = jnp.ones(x.shape, bool) if mask is None else mask
        cells, shown = self.blocks.split(x), self.blocks.split(seen)
        found = [seen.astype(jnp.float32) - 0.5]
        for name in self.blocks.names:
            place = cells[name][:, None] - self.starts[name].value
            here = ((place >= 0) & (place < self.widths[name].value) & shown[name][:, None]).astype(jnp.float32)
            if name not in self.scores:
                found.append(here.reshape(-1))
                continue
            found.append(jnp.sum(here * self.scores[name].value, axis=1))
            found.append(jnp.einsum("ms,mas->ma", here, self.atoms[name].value).reshape(-1))
        return jnp.concatenate(found)


class TokenInput(eqx.Module):
    """What an encoder sees of a row of tokens: its codes, and where nothing was observed a code of its own."""

    sees_mask: ClassVar[bool] = True

    shape: tuple[int, ...] = eqx.field(static=True)
    vocabulary: int = eqx.field(static=True)

    def __call__(self, x: Shaped[Array, " t"], mask: Bool[Array, " t"] | None = None) -> Shaped[Array, " t"]:
        """What an encoder sees of one row."""
        return x if mask is None else jnp.where(mask, x, self.vocabulary)


class TokenHead(AbstractHead):
    """Tokens one after another, by a network that has weights of its own and is given what a decoder says of z."""

    kinds: ClassVar[tuple[DataKind, ...]] = ("tokens",)
    sees: ClassVar[Sees] = "index"

    vocabulary: int = eqx.field(static=True)
    network: TokenGRU | None = None
    width: int = eqx.field(static=True, default=128)
    never_empty: bool = eqx.field(static=True, default=False)
    closing: tuple[int, int, tuple[int, ...]] | None = eqx.field(static=True, default=None)

    @property
    def num_outputs(self) -> int:
        """As many as the network is given."""
        return 4 * self.width + self.vocabulary

    def initialised(self, *, key: Key) -> "TokenHead":
        """The head with the first weights of its network: at first tokens depend on no others."""
        marks = 0 if self.closing is None else 1 + len(self.closing[2])
        return replace(self, network=TokenGRU.create(self.vocabulary, self.width, marks=marks, key=key))

    def __call__(self, outputs: Float[Array, " n_out"]) -> TokenSequence:
        """The distribution of rows given these outputs."""
        if self.network is None:
            raise ConfigError("this head has no weights yet.", where="likelihood", fix="head.initialised(key=...)")
        return TokenSequence(self.network, outputs, self.shape, never_empty=self.never_empty, closing=self.closing)

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of tokens that come as often as in the data, an end once a row."""
        bias = np.zeros(self.num_outputs)
        if frequencies is not None:
            shares = np.sum(frequencies, axis=0)
            shares[0] = 1.0
            bias[-self.vocabulary :] = np.log(np.maximum(shares / shares.sum(), 1e-4))
        return self, bias
