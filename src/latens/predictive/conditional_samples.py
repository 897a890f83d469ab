"""Rows under conditions on their columns, and what columns say of others: by weights, never by rejection."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from latens.data.schema import Schema
from latens.distributions.base import AbstractFactorised
from latens.errors import ConfigError, DataError, UsageError, nearest
from latens.evidence.batched import BATCH_SIZES
from latens.kinds import kind_of
from latens.kinds.tables.columns import ColumnType, unknown_category
from latens.kinds.tables.dtypes import DAY, DAY_ONLY, number_of
from latens.models import AbstractLatentModel
from latens.predictive.missing_cells import model_places
from latens.runtime.compilation import check_generator
from latens.runtime.programs import compiled
from latens.typing import Array, Float, Key, PyTree, Shaped, checked_later

_OPERATOR = re.compile(r">=|<=|=|>|<")


class Conditions(NamedTuple):
    """The cells that rows of a mixed table may have: of each column a range of stored cells."""

    low: np.ndarray  # the first cell of each column, of shape (columns,)
    high: np.ndarray  # the last one, likewise; infinite where nothing is asked


@checked_later
def conditions_of(given: Mapping[str, Any], schema: Schema, where: str = "given") -> Conditions:
    """Turn values and ranges of columns into stored cells."""
    # given: of each column a value, or a pair of the least and the largest one; None in a pair has no bound.
    if not isinstance(given, Mapping):
        what = f"{given!r:.100} is not a mapping of columns to values."
        raise DataError(what, where=where, fix='Give for example {"city": "Lyon", "age": (30, 40)}.')
    asked = []
    for name, value in given.items():
        kind = _kind_of(name, schema, where)
        if not isinstance(value, tuple):
            asked.append((name, *_cells(value, kind, name, where)))
            continue
        if kind.kind == "category" or len(value) != 2:
            what = f"column {name!r} has no range {value!r}."
            raise DataError(what, where=where, fix="Give a category; for a number or a date (least, largest).")
        low, high = (_place(bound, kind, name, where, last=last) for bound, last in zip(value, (False, True)))
        first = 0.0 if value[0] is None else np.ceil(low - 1e-6)
        last = kind.num_values - 1.0 if value[1] is None else np.floor(high + 1e-6)
        asked.append((name, max(first, 0.0), min(last, kind.num_values - 1.0)))
    return _joined(asked, schema, where)


def parse_conditions(texts: Sequence[str], schema: Schema, where: str = "--where") -> Conditions:
    """Read conditions as they are typed: COLUMN=VALUE, COLUMN=A..B, and COLUMN with >=, <=, > or < before a value."""
    names = schema.names
    asked = []
    for text in texts:
        own = max((name for name in names if text.startswith(name) and _OPERATOR.match(text, len(name))),
                  key=len, default=None)  # fmt: skip
        found = _OPERATOR.search(text) if own is None else _OPERATOR.match(text, len(own))
        if found is None:
            fix = "Write COLUMN=VALUE, COLUMN=A..B, or COLUMN>=VALUE (also <=, >, <), in quotes."
            raise UsageError(f"{text!r} is not a condition.", where=where, fix=fix)
        name, value, sign = text[: found.start()], text[found.end() :], found[0]
        kind = _kind_of(name, schema, where)
        if sign == "=" and (kind.kind == "category" or value in kind.values or ".." not in value):
            asked.append((name, *_cells(value, kind, name, where)))
            continue
        if kind.kind == "category":
            what = f"column {name!r} contains categories, which have no order: {text!r}."
            raise DataError(what, where=where, fix=f"Ask for one of them, as {name}={kind.values[0]}.")
        if sign == "=":
            given = tuple(part.strip() or None for part in value.split("..", 1))
            one = conditions_of({name: given}, schema, where)
            place = names.index(name)
            asked.append((name, float(one.low[place]), float(one.high[place])))
            continue
        edge = _place(value, kind, name, where, last=sign in ("<=", ">"))
        if sign[0] == ">":
            first = np.ceil(edge - 1e-6) if sign == ">=" else np.floor(edge + 1e-6) + 1.0
            asked.append((name, max(first, 0.0), kind.num_values - 1.0))
        else:
            last = np.floor(edge + 1e-6) if sign == "<=" else np.ceil(edge - 1e-6) - 1.0
            asked.append((name, 0.0, min(last, kind.num_values - 1.0)))
    return _joined(asked, schema, where, texts)


def _joined(
    asked: Sequence[tuple[str, float, float]], schema: Schema, where: str, texts: Sequence[str] = ()
) -> Conditions:
    """All of these at once; texts: what was typed."""
    names = schema.names
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for name, first, last in asked:
        place = names.index(name)
        low[place], high[place] = max(low[place], first), min(high[place], last)
        if low[place] > high[place]:
            typed = [repr(text) for text in texts if text.startswith(name)]
            said = f" ({' and '.join(typed)})" if typed else ""
            why = "the conditions exclude one another, or every training row"
            what = f"no row can have column {name!r} so{said}: {why}."
            kind = schema.column_types[place]
            span = "" if kind.named else " to ".join(kind.texts(np.array([0, kind.size - 1])))
            raise DataError(what, where=where, fix=f"The training rows have {span}." if span else "Ask for one name.")
    return Conditions(low, high)


@checked_later
def _kind_of(name: str, schema: Schema, where: str) -> ColumnType:
    kind_of(schema).refuse("types", where, DataError)
    names = schema.names
    if name not in names:
        hint = nearest(str(name), names) if len(names) <= 1000 else ""
        if name in [one.name for one in schema.derived or ()]:
            hint = "It is derived: ask for the columns that it is computed of."
        raise DataError(f"there is no column {name!r} in the model.", where=where, fix=hint)
    return schema.column_types[names.index(name)]


def _cells(value: object, kind: ColumnType, name: str, where: str) -> tuple[float, float]:
    """The first and the last stored cell of one value, which a row can have: of a day with times all of them."""
    if _is_day(value, kind):
        first, last = (_place(value, kind, name, where, last=last) for last in (False, True))
        return max(float(np.ceil(first - 1e-6)), 0.0), min(float(np.floor(last + 1e-6)), kind.num_values - 1.0)
    cell = _cell(value, kind, name, where)
    return cell, cell


def _is_day(value: object, kind: ColumnType) -> bool:
    """Whether a value is a date without a time, of a column that has times."""
    return kind.kind == "date" and not kind.days and kind.dtype != "Time" and DAY_ONLY.match(str(value)) is not None


def _cell(value: object, kind: ColumnType, name: str, where: str) -> float:
    """The stored cell of one value, which a row can have."""
    if kind.named:
        return _place(value, kind, name, where)
    place = _place(value, kind, name, where)
    if abs(place - round(place)) > 1e-3:
        unit = "" if kind.kind == "number" else " days" if kind.days else " seconds"
        step = f"{kind.step:g}{unit}"
        what = f"column {name!r} is recorded in steps of {step}, which {value} is not."
        raise DataError(what, where=where, fix="Round it, or ask for a range.")
    if not 0 <= round(place) < kind.num_values:
        first, last = kind.texts(np.array([0, kind.size - 1]))
        what = f"column {name!r} cannot be {value}: its training rows lie between {first} and {last}."
        raise DataError(what, where=where, fix="Ask for a value between them; beyond, the model gives probability 0.")
    return float(round(place))


def _place(value: Any, kind: ColumnType, name: str, where: str, *, last: bool = False) -> float:
    """Where a value lies on a column's grid; a fraction between two cells; NaN for None."""
    # last: of a day of a column with times its last second, else its first one.
    if value is None:
        return np.nan
    day = _is_day(value, kind)
    if kind.named:
        text = str(value)
        if set(kind.values) <= {"False", "True"}:  # files write Booleans in small letters
            text = text.capitalize()
        if text not in kind.values:
            raise unknown_category(text, name, kind.values, where, cell=False)
        return float(kind.values.index(text))
    try:
        dtype = "Datetime[us]" if kind.form else kind.dtype
        number = float(value) if kind.kind == "number" else number_of(str(value), dtype, days=kind.days)
        if not np.isfinite(number):
            raise ValueError
        number += DAY - 1 if day and last else 0
    except ValueError:
        what = f"column {name!r} holds {kind.kind}s, which {str(value)[:40]!r} is not."
        day = kind.texts(np.array([kind.size // 2]))[0] if kind.kind == "date" else ""
        examples = {"date": f"it as {day}", "duration": 'it as "26.5 hours" or "1 days 02:30:00"'}
        raise DataError(what, where=where, fix=f"Write {examples.get(kind.kind, 'a plain number')}.") from None
    return float(kind.place(np.array(number)))


CHUNK, MOST_CHUNKS = 2**14, 16
"""Draws of z at once; at most so many times, while they are worth fewer than the rows that are asked for."""
TEXT_CHUNK = 2**9
"""The same of rows of tokens, of which every draw holds a state for each token."""
SHARES_CHUNK, FEWEST = 2**12, 2
"""Draws of z at once where every column's shares are computed at each, which is more to hold; and where z says nothing:
one of the posterior and one of the prior."""


class ConditionalSamples(NamedTuple):
    r"""Rows that fulfil conditions, and what the draws behind them were worth."""

    x: np.ndarray  # the rows, of shape (n, columns), stored cells
    effective: float  # the effective number $1/\sum_k w_k^2$ of the draws of z
    draws: int  # how many draws of z there were
    log_probability: float  # the log probability of the conditions under the model, in nats
    z: PyTree = None  # the latents that each row was drawn from


def sample_given(
    model: AbstractLatentModel, conditions: Conditions, n: int, *, key: Key, chunk: int = CHUNK
) -> ConditionalSamples:
    r"""Draw rows from $p(x \mid x \in C)$ of a mixed table, or rows of tokens that begin as two bounds agree."""
    # Of K draws z of the mixture $\frac12 q(z \mid x_{obs}) + \frac12 p(z)$, with weights $w \propto p(z)\,P(C \mid z)$
    # over its density, n are chosen by weight (systematic resampling); each gives a row of p(x | z) within the
    # conditions. The encoder sees the columns whose value is given; a range counts by weight alone.
    # Source: Owen & Zhou (2000) for the defensive mixture; Douc, Cappe & Moulines (2005) for the resampling.
    check_generator(key)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    kept, weights, draws, effective = [], [], 0, 0.0
    draw_key, choice_key, event_key = jax.random.split(key, 3)
    total = np.zeros(0)
    while draws < chunk * MOST_CHUNKS and effective < n:
        z, log_weight = _weighed(model, low, high, jax.random.fold_in(draw_key, draws), chunk)
        kept.append(jax.tree.map(np.asarray, z))
        weights.append(np.asarray(log_weight, np.float64))
        draws += chunk
        total = np.concatenate(weights)
        share = np.exp(total - total.max())
        effective = float(share.sum() ** 2 / (share**2).sum())
    largest = total.max()
    share = np.exp(total - largest)
    log_probability = float(largest + np.log(share.mean()))
    offset = float(jax.random.uniform(choice_key))
    edges = np.cumsum(share / share.sum())
    chosen = np.minimum(np.searchsorted(edges, (np.arange(n) + offset) / n, side="right"), draws - 1)
    every = jax.tree.map(lambda *leaves: np.concatenate(leaves)[chosen], *kept)
    size = next((size for size in BATCH_SIZES if n <= size), BATCH_SIZES[-1])
    rows = []
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)
        part = jax.tree.map(lambda leaf, index=index: leaf[index], every)
        rows.append(np.asarray(_events(model, part, low, high, jnp.asarray(index), event_key)))
    order = np.random.default_rng(np.asarray(jax.random.key_data(choice_key))).permutation(n)
    z = jax.tree.map(lambda leaf: leaf[order], every)
    return ConditionalSamples(np.concatenate(rows)[:n][order], effective, draws, log_probability, z)


class GivenShares(NamedTuple):
    r"""What each column may be under conditions, and what the draws behind it were worth."""

    columns: list[np.ndarray]  # of each column the probability of every category or segment, of shape (segments,)
    effective: float  # the effective number $1/\sum_k w_k^2$ of the draws of z
    draws: int  # how many draws of z there were
    log_probability: float  # the log probability of the conditions under the model, in nats


def shares_given(
    model: AbstractLatentModel,
    conditions: Conditions,
    types: Sequence[ColumnType],
    *,
    key: Key,
    enough: float = 1000.0,
    chunk: int = SHARES_CHUNK,
) -> GivenShares:
    r"""Compute what each column of a mixed table may be, given that its row fulfils conditions."""
    # $P(x_j \in s \mid x \in C) \approx \sum_k w_k\, P(x_j \in s \mid z_k)$ with the draws and weights of
    # `sample_given`, from the same machinery without drawing a row. Of a column that has a condition itself it is the
    # probability of another such cell in a row with this one.
    # Source: Owen & Zhou (2000) for the defensive mixture, with the mean over x given z in closed form.
    check_generator(key)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    parts: list[tuple[float, float, float, dict[str, np.ndarray]]] = []
    draws, effective, top, total = 0, 0.0, -np.inf, 0.0
    while draws < SHARES_CHUNK * MOST_CHUNKS and effective < enough:
        largest, weight, squares, mean = _shares(model, low, high, jax.random.fold_in(key, draws), chunk)
        parts.append((float(largest), float(weight), float(squares), jax.tree.map(np.asarray, mean)))
        draws += chunk
        top = max(part[0] for part in parts)
        total = sum(np.exp(part[0] - top) * part[1] for part in parts)
        effective = total**2 / sum(np.exp(2.0 * (part[0] - top)) * part[2] for part in parts)
    kept = [np.exp(part[0] - top) / total for part in parts]
    found = {
        name: np.sum([share * part[3][name].astype(np.float64) for share, part in zip(kept, parts)], axis=0)
        for name in parts[0][3]
    }
    columns = {i: found[name][k] for name, own in model_places(model).items() for k, i in enumerate(own)}
    log_probability = float(top + np.log(total / draws))
    return GivenShares([columns[i][: one.count] for i, one in enumerate(types)], effective, draws, log_probability)


@compiled
def _shares(
    model: Any, low: Float[Array, " c"], high: Float[Array, " c"], key: Key, chunk: int
) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Of some draws of z the largest log weight, the sums of weights and squares beside it, and weighted shares."""
    z, log_weight = _weighed(model, low, high, key, chunk)
    largest = jnp.max(log_weight)
    weight = jnp.exp(log_weight - largest)

    def of(z: PyTree) -> dict[str, Array]:
        each = model.likelihood(z, cond=None).each_within(low, high)
        return {name: jnp.exp(part.log_shares()) for name, part in each.parts.items()}

    shares = jax.tree.map(lambda leaf: jnp.einsum("k,k...->...", weight, leaf), jax.vmap(of)(z))
    return largest, weight.sum(), (weight**2).sum(), shares


@compiled
def _weighed(
    model: Any, low: Float[Array, " c"], high: Float[Array, " c"], key: Key, count: int
) -> tuple[PyTree[Array], Float[Array, " K"]]:
    """Draws of z, and their log weights."""
    known = low == high
    posterior = model.posterior(jnp.where(known, low, 0.0), cond=None, mask=known)
    prior = model.prior(cond=None)
    keys = jax.random.split(key, count)
    of = lambda source, keys: jax.vmap(lambda k: source.sample(key=k))(keys)  # noqa: E731
    halves = of(posterior, keys[: count // 2]), of(prior, keys[count // 2 :])
    z = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *halves)
    log_prior, log_posterior = jax.vmap(prior.log_prob)(z), jax.vmap(posterior.log_prob)(z)
    log_density = jnp.logaddexp(log_prior, log_posterior) - jnp.log(2.0)
    log_given = jax.vmap(lambda z: model.likelihood(z, cond=None).within(low, high)[1])(z)
    return z, log_given + log_prior - log_density


@compiled
def _events(
    model: Any, z: PyTree[Array], low: Float[Array, " c"], high: Float[Array, " c"], index: Array, key: Key,
) -> Shaped[Array, "n c"]:  # fmt: skip
    """A row within the conditions for each z."""

    def one(z: PyTree, i: Array) -> Array:
        return model.likelihood(z, cond=None).within(low, high)[0].sample(key=jax.random.fold_in(key, i))

    return jax.vmap(one)(z, index)


class Information(NamedTuple):
    """The mutual information of each pair of columns, in nats, and its standard error."""

    nats: np.ndarray  # of shape (columns, columns), symmetric; NaN on the diagonal
    errors: np.ndarray  # likewise


def column_information(
    model: AbstractLatentModel, columns: int, *, num_rows: int = 256, num_samples: int = 1024, repeats: int = 8,
    key: Key,
) -> Information:  # fmt: skip
    """The mutual information of each pair of columns under a model, from its density, with its error, in nats."""
    # I(x_a; x_b) = E[log p(x_a, x_b) - log p(x_a) - log p(x_b)] over rows that the model draws. Each density is the
    # mean of p(x | z) over draws of p(z); where the latents can be counted, it is their exact sum. The bias of the
    # logarithm of a mean is taken off by halves of the draws, and what that changes is part of the error.
    # model: its p(x | z) factorises over the entries of a row, and it has no conditions.
    # repeats: independent ones, at least 2: the error is that of their mean.
    check_generator(key)
    found = [_one(model, columns, num_rows, num_samples, one) for one in jax.random.split(key, repeats)]
    values, corrections = (np.stack([np.asarray(one[k], np.float64) for one in found]) for k in (0, 1))
    spread = values.std(axis=0, ddof=1) / np.sqrt(repeats)
    nats, errors = np.full((2, columns, columns), np.nan)
    first, second = np.triu_indices(columns, 1)
    nats[first, second] = nats[second, first] = values.mean(axis=0)
    errors[first, second] = errors[second, first] = np.hypot(spread, corrections.mean(axis=0))
    return Information(nats, errors)


@compiled
def _one(
    model: AbstractLatentModel, columns: int, num_rows: int, num_samples: int, key: Key
) -> tuple[Float[Array, " pairs"], Float[Array, " pairs"]]:
    """The information of each pair in one repeat, and what taking off the bias changed."""
    row_key, event_key, draw_key = jax.random.split(key, 3)
    prior = model.prior(cond=None)
    drawn = lambda key, n: jax.vmap(lambda k: prior.sample(key=k))(jax.random.split(key, n))  # noqa: E731
    rows = jax.vmap(lambda z, k: model.likelihood(z, cond=None).sample(key=k))(
        drawn(row_key, num_rows), jax.random.split(event_key, num_rows)
    )
    z = drawn(draw_key, num_samples)
    terms = jax.vmap(lambda x: jax.vmap(lambda one: _terms(model, one, x)[:columns], out_axes=1)(z), out_axes=1)(rows)

    def log_mean(terms: Float[Array, "n K"]) -> Float[Array, "2 n"]:
        """The log density of each row, and how much of it the halves of the draws correct."""
        parts = jax.nn.logsumexp(terms.reshape(len(terms), 2, -1), axis=2) - jnp.log(num_samples // 2)
        whole = jax.nn.logsumexp(parts, axis=1) - jnp.log(2.0)
        return jnp.stack([whole, whole - parts.mean(axis=1)])

    alone = jax.vmap(log_mean)(terms)
    first, second = np.triu_indices(columns, 1)

    def pair(places: tuple[Array, Array]) -> Float[Array, "2"]:
        a, b = places
        return (log_mean(terms[a] + terms[b]) - alone[a] - alone[b]).mean(axis=1)

    found, correction = jax.lax.map(pair, (jnp.asarray(first), jnp.asarray(second))).T
    return found + correction, jnp.abs(correction)


def _terms(model: AbstractLatentModel, z: PyTree, x: Shaped[Array, "..."]) -> Float[Array, " columns"]:
    likelihood = model.likelihood(z, cond=None)
    if not isinstance(likelihood, AbstractFactorised):
        what = f"a {type(likelihood).__name__} does not factorise over the columns of a row."
        raise ConfigError(what, where="likelihood", fix="Use a likelihood of independent columns.")
    return likelihood.log_prob_terms(x).reshape(-1)
