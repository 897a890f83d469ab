"""What can be checked of a user's own parts before training: shapes, sums, kinds of numbers, densities by draws.

Densities are held against samples without knowing the family. Of one variable, the density is integrated between sorted
draws: what comes out is as spread as the spacings of uniform numbers, or density and samples do not belong together. Of
an event that does not factorise, the reciprocal density of the draws in an ellipsoid averages to its volume.
"""

import dataclasses
import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.batches import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, Affine, Joined, Product
from latens.distributions.chain import Transformed
from latens.errors import ConfigError
from latens.models import AbstractHead, AbstractLatentModel, AbstractModelEncoder, AbstractModelPrior
from latens.objectives import AbstractObjective
from latens.objectives.base import coupling
from latens.typing import Array, Key, PyTree

_log = logging.getLogger(__name__)

_KINDS = (AbstractDistribution, AbstractHead, AbstractModelPrior, AbstractModelEncoder, AbstractLatentModel)
_ROWS, _DRAWS, _JOINT_DRAWS = 2, 2000, 4000
_CELLS = 4_000_000
"""Densities at the most that one check computes."""

_MOST_LEVELS, _MOST_JOINT = 4096, 20
_CHANCE = 1e-7
"""The probability of a false alarm, of each number that is looked at."""

_SIGMAS, _SLACK = 6.0, 0.01
"""How far a mean may lie from what is expected, and what rounding and quadrature may add."""

# The rule of tanh and sinh: its nodes crowd at both ends, where a density may rise or vanish.
_STEPS = np.arange(-6, 7) * 0.5
_NODES = 0.5 + 0.5 * np.tanh(0.5 * np.pi * np.sinh(_STEPS))
_WEIGHTS = 0.25 * np.pi * 0.5 * np.cosh(_STEPS) / np.cosh(0.5 * np.pi * np.sinh(_STEPS)) ** 2


def check_own_parts(
    model: Any, objective: AbstractObjective, data: Dataset, preparation: Preparation, *, shards: int = 1
) -> None:
    """Refuse what contradicts itself in parts that are not latens's own, and warn of densities unlike their samples."""
    own = {part for part in ("posterior", "prior", "likelihood") if _is_own(_part_of(model, part))}
    couples = shards > 1 and coupling(objective) is None
    if not own and not couples:
        return
    key = jax.random.key(0)
    rows = data.rows(data.subset("train")[: max(_ROWS, 4)])
    batch = prepare_batch(preparation, rows, key=key)
    model = eqx.nn.inference_mode(model)
    if couples:
        _rows_apart(objective, model, batch, key)
    for number in range(min(_ROWS, len(rows.row_id)) if own else 0):
        one = jax.tree.map(lambda leaf, number=number: leaf[number], batch)
        parts = _distributions(model, one, key)
        _same_events(parts, one.x)
        for name in sorted(own):
            for each in _checkable(parts[name]):
                for told in check_distribution(each, name, key=jax.random.fold_in(key, number)):
                    _log.warning(told)
                    own = own - {name}


def _part_of(model: Any, part: str) -> Any:
    names = {"posterior": "encoder", "prior": "prior_part", "likelihood": "decoder"}
    return getattr(model, names[part], model)


def _modules(tree: Any) -> Iterator[Any]:
    """Every module of a tree, static ones too."""
    if isinstance(tree, eqx.Module):
        yield tree
        tree = [getattr(tree, field.name, None) for field in dataclasses.fields(tree)]  # pyright: ignore
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        yield from _modules(each)


def _is_own(tree: Any) -> bool:
    """Whether a user's own distribution, or what makes one, is in a part of a model."""
    return any(isinstance(each, _KINDS) and not type(each).__module__.startswith("latens.") for each in _modules(tree))


def _checkable(distribution: Any) -> list[Any]:
    """The distribution itself, or a user's own ones inside of it, where these are of events of their own."""
    if isinstance(distribution, Affine | Transformed):
        inside = [distribution.base]
    elif isinstance(distribution, Joined | Product):
        inside = list(distribution.parts.values())
    else:
        return [distribution]
    own = [each for part in inside if _is_own(part) for each in _checkable(part)]
    return own or [distribution]


@eqx.filter_jit
def _distributions(model: Any, row: Batch, key: Key) -> dict[str, Any]:
    posterior = model.posterior(row.x, cond=row.cond, mask=row.mask)
    z = posterior.sample(key=key)
    return {
        "posterior": posterior,
        "prior": model.prior(cond=row.cond),
        "likelihood": model.likelihood(z, cond=row.cond),
    }


def _refuse(part: str, what: str, fix: str) -> None:
    raise ConfigError(what, where=part, fix=fix)


def _shape_of(event: PyTree) -> Any:
    return jax.tree.map(lambda leaf: leaf.shape, event)


def _event(distribution: AbstractDistribution) -> PyTree:
    return jax.eval_shape(lambda: distribution.sample(key=jax.random.key(0)))


def _same_events(parts: dict[str, Any], x: PyTree) -> None:
    """Posterior and prior are of the same latents, and a likelihood is of rows."""
    q, p, row = (_event(parts[name]) for name in ("posterior", "prior", "likelihood"))
    whole = [all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(event)) for event in (q, p, row)]
    if _shape_of(q) != _shape_of(p):
        what = f"samples of the posterior have the shape {_shape_of(q)}, and those of the prior {_shape_of(p)}."
        _refuse("prior", what, "Give both the same shape.")
    if whole[0] != whole[1]:
        what = f"samples of the {'posterior' if whole[0] else 'prior'} are whole numbers, and the other's are not."
        _refuse("prior", what, "Give both the same kind of numbers.")
    if _shape_of(row) != _shape_of(x):
        what = f"samples of the likelihood have the shape {_shape_of(row)}, and rows have {_shape_of(x)}."
        _refuse("likelihood", what, "Give it the shape of a row.")
    if whole[2] and any(np.any(np.nan_to_num(leaf) % 1) for leaf in jax.tree.leaves(x)):
        _refuse("likelihood", "samples of the likelihood are whole numbers, and the rows are not.", "Sample real ones.")


def check_distribution(distribution: AbstractDistribution, part: str, *, key: Key) -> list[str]:
    """What is doubtful of one distribution, a sentence each; what contradicts itself is refused."""
    name = type(distribution).__name__
    event, number = _event(distribution), jax.eval_shape(lambda: distribution.log_prob(_zeros(_event(distribution))))
    _check_shapes(distribution, name, part, event, number)
    leaves = jax.tree.leaves(event)
    cells = max(1, sum(math.prod(leaf.shape) for leaf in leaves))
    factorised = isinstance(distribution, AbstractFactorised)
    most = max(64, _CELLS // (len(_NODES) * cells)) if factorised else max(64, _CELLS // cells)
    count = min(_DRAWS if factorised else _JOINT_DRAWS, most)
    drawn, density, terms, observed, along = jax.tree.map(np.asarray, _draws(distribution, key, count))
    _check_sums(distribution, name, part, density, terms, observed, along)
    lost = float(np.mean(~np.isfinite(density)))
    if lost > 0.02:
        return [f"{part}: log_prob of a {name} is not finite at {100 * lost:.0f} % of its own samples."]
    if not distribution.density_elsewhere or not all(
        each.by_volume for each in _modules(distribution) if isinstance(each, AbstractDistribution)
    ):
        return []
    factor = of_variables(distribution, drawn) if factorised else of_events(distribution, drawn, density, key)
    return [] if factor is None else [f"{part}: the density of a {name} does not fit its samples: {factor}."]


def _zeros(event: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), event)


def _check_shapes(distribution: Any, name: str, part: str, event: PyTree, number: Any) -> None:
    real = [leaf.dtype for leaf in jax.tree.leaves(distribution) if eqx.is_inexact_array(leaf)]
    usual = jnp.result_type(*real) if real else jnp.result_type(float)
    for what, found in (("sample", jax.tree.leaves(event)), ("log_prob", [number])):
        for leaf in found:
            whole = what == "sample" and jnp.issubdtype(leaf.dtype, jnp.integer)
            if leaf.dtype != usual and not whole:
                fix = f"Give {usual.name} numbers: `.astype({usual.name})`."
                _refuse(part, f"{what} of a {name} gives {leaf.dtype.name}, and its parameters are {usual.name}.", fix)
    if number.shape != ():
        what = f"log_prob of a {name} gives the shape {number.shape}, and the density of an event is one number."
        _refuse(part, what, "Sum it over the variables of the event.")
    if isinstance(distribution, AbstractFactorised):
        for method in ("log_prob_terms", "mean"):
            given = (_zeros(event),) if method == "log_prob_terms" else ()
            found = jax.eval_shape(lambda method=method, given=given: getattr(distribution, method)(*given))
            if found.shape != event.shape:
                what = f"{method} of a {name} gives the shape {found.shape}, and an event has {event.shape}."
                _refuse(part, what, "Give one number for each variable, without a sum.")


@partial(eqx.filter_jit)
def _draws(distribution: Any, key: Key, count: int) -> tuple[PyTree, Array, Any, Any, Any]:
    keys = jax.random.split(key, count)
    drawn = jax.vmap(lambda k: distribution.sample(key=k))(keys)
    density = jax.vmap(distribution.log_prob)(drawn)
    few, terms, observed = jax.tree.map(lambda leaf: leaf[:16], drawn), None, None
    if isinstance(distribution, AbstractFactorised):
        mask = jax.random.bernoulli(keys[0], 0.5, drawn.shape[1:])
        terms = jax.vmap(distribution.log_prob_terms)(few)
        seen = jnp.sum(jnp.where(mask, terms, 0.0).reshape(len(few), -1), axis=1)
        observed = jax.vmap(lambda x: distribution.log_prob_observed(x, mask))(few), seen
    if type(distribution).sample_and_log_prob is AbstractDistribution.sample_and_log_prob:
        return drawn, density, terms, observed, None
    event, along = jax.vmap(lambda k: distribution.sample_and_log_prob(key=k))(keys[:16])
    return drawn, density, terms, observed, (along, jax.vmap(distribution.log_prob)(event))


def _check_sums(distribution: Any, name: str, part: str, density: Any, terms: Any, observed: Any, along: Any) -> None:
    def apart(a: Any, b: Any, size: Any) -> bool:
        sound = np.isfinite(a) & np.isfinite(b)
        return bool(np.any(sound)) and bool(np.median(np.abs(a - b)[sound] - 1e-2 * (1.0 + size[sound])) > 0.0)

    if terms is not None:
        flat = terms.reshape(len(terms), -1).astype(np.float64)
        size = np.abs(flat).sum(axis=1)
        if apart(flat.sum(axis=1), density[: len(flat)], size):
            a, b = flat[0].sum(), density[0]
            what = f"log_prob_terms of a {name} add up to {a:.4g}, and log_prob is {b:.4g}."
            _refuse(part, what, "Leave log_prob out: it is then the sum.")
        if apart(observed[0], observed[1], size):
            a, b = (value[0] for value in observed)
            what = f"log_prob_observed of a {name} gives {a:.4g}, and the terms of the observed variables {b:.4g}."
            _refuse(part, what, "Leave log_prob_observed out: it is then their sum.")
    if along is not None and distribution.density_elsewhere and apart(along[0], along[1], np.abs(along[1])):
        a, b = (value[0] for value in along)
        what = f"sample_and_log_prob of a {name} gives {a:.4g}, and log_prob of the same event {b:.4g}."
        _refuse(part, what, "Leave sample_and_log_prob out, or set density_elsewhere to False.")


@eqx.filter_jit
def _terms(distribution: Any, events: Array) -> Array:
    return jax.vmap(distribution.log_prob_terms)(events)


@eqx.filter_jit
def _density(distribution: Any, events: PyTree) -> Array:
    return jax.vmap(distribution.log_prob)(events)


def of_variables(distribution: Any, drawn: np.ndarray) -> str | None:
    """How the density of single variables differs from their samples, of shape (n, *x); None where nothing tells."""
    count, shape = len(drawn), drawn.shape[1:]
    x = np.sort(drawn.reshape(count, -1).astype(np.float64), axis=0)
    whole = bool(np.all(x == np.round(x)))
    if whole:
        levels = 1 << int((x[-1] - x[0]).max()).bit_length()  # a power of two, so that programs are few
        if levels > _MOST_LEVELS:
            return None
        nodes = np.minimum(x[0] + np.arange(levels)[:, None], x[-1])
        weights = ((x[0] + np.arange(levels)[:, None]) <= x[-1]).astype(float)
    else:
        nodes = (x[:-1, None] + np.diff(x, axis=0)[:, None] * _NODES[:, None]).reshape(-1, x.shape[1])
        weights = (np.diff(x, axis=0)[:, None] * _WEIGHTS[:, None]).reshape(nodes.shape)
    events = nodes.astype(drawn.dtype).reshape(-1, *shape)
    terms = np.asarray(_terms(distribution, jnp.asarray(events)), np.float64).reshape(nodes.shape)
    with np.errstate(over="ignore"):
        mass = np.where(weights > 0.0, np.exp(np.nan_to_num(terms, nan=-np.inf)) * weights, 0.0)
    ends = np.cumsum(mass, axis=0)
    if whole:
        rank = (x - x[0]).astype(int)
        noise = np.random.default_rng(0).random(x.shape)  # a level has a probability: a place within it is drawn
        u = np.take_along_axis(ends - mass, rank, 0) + noise * np.take_along_axis(mass, rank, 0)
        told = np.ones(x.shape[1], bool)
    else:
        u = np.concatenate([np.zeros((1, x.shape[1])), ends[len(_NODES) - 1 :: len(_NODES)]]) + 1.0 / (count + 1)
        apart = np.median(np.diff(x, axis=0), axis=0) > 16.0 * np.finfo(drawn.dtype).eps * np.abs(x).max(axis=0)
        told = apart & (np.min(np.diff(x, axis=0), axis=0) > 0.0)  # not where numbers of single precision are too few
    return _unlike(u[:, told], ends[-1][told], count) if told.any() else None


def _unlike(u: np.ndarray, total: np.ndarray, count: int) -> str | None:
    """What is told of places in a distribution (n, D) that should be uniform, and of the whole mass between draws."""
    rare = math.log(u.shape[1] / _CHANCE)
    beyond = (rare + math.log(1.0 + rare) + 1.0) / count
    # Between draws lies all but 2 / (n + 1) of the mass, and of whole numbers more.
    everywhere = _SIGMAS * math.sqrt(2.0 / u.shape[1]) / count + 0.2 * _SLACK
    for far, above, below in (
        (total.max(), _SLACK, math.inf),
        (total.min(), math.inf, _SLACK + beyond),
        (total.mean(), everywhere, everywhere + 2.0 / count),
    ):
        if not -below <= far - 1.0 <= above:
            return f"over all values it adds up to {far:.3g}, not to 1 (a constant is wrong or left out)"
    sigmas = _SIGMAS + max(0.0, math.sqrt(2.0 * math.log(u.shape[1])))
    for values, expected, spread, words in (
        (u, 0.5, math.sqrt(1.0 / 12.0), "they lie elsewhere"),
        ((u - 0.5) ** 2, 1.0 / 12.0, math.sqrt(1.0 / 180.0), "they are spread otherwise"),
    ):
        gap = np.abs(values.mean(axis=0) - expected)
        pooled = abs(values.mean() - expected)
        if gap.max() > sigmas * spread / math.sqrt(count) + 0.5 * _SLACK or (
            pooled > _SIGMAS * spread / math.sqrt(values.size) + 0.2 * _SLACK
        ):
            return f"{words} ({gap.max() / (spread / math.sqrt(count)):.0f} standard errors in one of the variables)"
    ranks = (np.arange(1, count + 1) / (count + 1))[:, None]
    if np.abs(np.sort(u, axis=0) - ranks).max() > math.sqrt((rare + math.log(2.0)) / (2.0 * count)) + _SLACK + beyond:
        return "they are distributed otherwise"
    return None


def of_events(distribution: Any, drawn: PyTree, density: np.ndarray, key: Key) -> str | None:
    """How the density of whole events differs from their samples; None where nothing tells."""
    leaves = jax.tree.leaves(drawn)
    whole = [bool(np.all(leaf == np.round(leaf))) for leaf in leaves]
    x = np.concatenate([leaf.reshape(len(leaf), -1).astype(np.float64) for leaf in leaves], axis=1)
    if all(whole):
        return _of_choices(x, density)
    if any(whole) or x.shape[1] > _MOST_JOINT:
        return None
    first, second = x[::2], x[1::2]
    near = np.sort(((first[:200, None] / x.std(axis=0) - first[None] / x.std(axis=0)) ** 2).sum(axis=2), axis=1)
    share = len(first) // 5
    centre = first[np.argmin(near[:, share])]  # in the middle of what lies densest
    around = first[np.argsort((((first - centre) / x.std(axis=0)) ** 2).sum(axis=1))[:share]]
    centre, covariance = around.mean(axis=0), np.atleast_2d(np.cov(around.T))
    size, turn = np.linalg.eigh(covariance)
    if size[0] < 1e-6 * size[-1]:
        return None  # the events lie on a surface
    scaled = lambda rows: ((rows - centre) @ turn) / np.sqrt(size)  # noqa: E731
    radius = np.sqrt(np.quantile((scaled(first) ** 2).sum(axis=1), 0.2))
    inside = (scaled(second) ** 2).sum(axis=1) <= radius**2
    n = x.shape[1]
    log_volume = (
        0.5 * n * math.log(math.pi) - math.lgamma(0.5 * n + 1) + n * math.log(radius) + 0.5 * np.log(size).sum()
    )
    within = _in_ball(np.random.default_rng(0), 500, n) * radius * np.sqrt(size) @ turn.T + centre
    shape = [leaf.shape[1:] for leaf in leaves]
    cuts = np.split(within, np.cumsum([math.prod(s) for s in shape])[:-1], axis=1)
    events = [jnp.asarray(part.reshape(-1, *s), leaf.dtype) for part, s, leaf in zip(cuts, shape, leaves)]
    there = np.asarray(_density(distribution, jax.tree.unflatten(jax.tree.structure(drawn), events)))
    weight = np.where(inside, np.exp(np.minimum(-density[1::2] - log_volume, 700.0)), 0.0)
    mean, share_there = weight.mean(), float(np.mean(np.isfinite(there)))
    error = weight.std() / math.sqrt(len(weight))
    if share_there < 0.9 or mean <= 0.0 or inside.sum() < 50:
        return None
    factor = share_there / mean
    if abs(math.log(factor)) > _SIGMAS * error / mean + 0.1:
        return f"it is about {factor:.3g} times what they show (a constant is wrong or left out)"
    return None


def _in_ball(rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    noise = rng.normal(size=(count, n))
    return noise / np.linalg.norm(noise, axis=1, keepdims=True) * rng.random((count, 1)) ** (1.0 / n)


def _of_choices(x: np.ndarray, density: np.ndarray) -> str | None:
    """Of events that have a probability: those seen add up to 1, less what was never seen (Good & Turing)."""
    _, first, times = np.unique(x, axis=0, return_index=True, return_counts=True)
    total, once, twice = float(np.exp(density[first].astype(np.float64)).sum()), np.sum(times == 1), np.sum(times == 2)
    unseen = (once + _SIGMAS * math.sqrt(once + twice + 10.0)) / len(x) + _SLACK
    if 1.0 - unseen <= total <= 1.0 + _SLACK:
        return None
    return f"over the events seen it adds up to {total:.3g}, not to 1 (a constant is wrong or left out)"


def _rows_apart(objective: AbstractObjective, model: Any, batch: Batch, key: Key) -> None:
    """Refuse shards for values of rows of which one changes with another row."""
    if len(batch.row_id) < 3:
        return
    other = jax.tree.map(lambda leaf: leaf.at[0].set(leaf[1]), jax.tree.map(jnp.asarray, batch.x))
    found = [_values(objective, model, rows, key) for rows in (batch, dataclasses.replace(batch, x=other))]
    if found[0] is None or found[1] is None:
        return
    a, b = (np.asarray(values, np.float64)[2:] for values in found)
    if np.any(np.abs(a - b) > 1e-4 * (1.0 + np.abs(a))):
        name = type(objective).__name__
        what = f"{name} gives a row another value where another row changes, and shards would separate them."
        fix = "Write `couples_rows` in the class, which gives the reason; or use --set training.shards=1."
        raise ConfigError(what, where="training.shards", fix=fix)


@eqx.filter_jit
def _values(objective: AbstractObjective, model: Any, batch: Batch, key: Key) -> Array | None:
    values = objective.with_aux(model, batch, key=key, step=jnp.zeros((), jnp.int32))[0]
    return values if jnp.shape(values) == batch.row_id.shape else None
