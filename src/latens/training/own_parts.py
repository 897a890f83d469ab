"""What is checked of a user's own parts before training: shapes and kinds of numbers."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, Affine, Joined, Product, log_prob
from latens.distributions.chain import Transformed
from latens.errors import ConfigError, LatensError
from latens.models import AbstractHead, AbstractLatentModel, AbstractModelEncoder, AbstractModelPrior
from latens.models.base import mean_code
from latens.runtime.programs import compiled
from latens.trainable import zeros_of
from latens.typing import Array, Float, Key, PyTree

_KINDS = (AbstractDistribution, AbstractHead, AbstractModelPrior, AbstractModelEncoder, AbstractLatentModel)
_ROWS, _FINITE, _DRAWS, _OFF, _OUTSIDE = 4, 1000, 4000, 0.1, 0.01
_AGAIN = 8  # so many equal draws are of a value with a probability: float32 repeats a few of a density


def check_own_parts(model: AbstractLatentModel, data: Dataset, preparation: Preparation) -> None:
    """Refuse what contradicts itself in parts that are not latens's own."""
    if not any(_is_own(_part_of(model, part)) for part in ("posterior", "prior", "likelihood")):
        return
    key = jax.random.key(0)
    batch = prepare_batch(preparation, data.rows(data.subset("train")[:_ROWS]), key=key)
    check_given_parts(model, batch)
    model = eqx.nn.inference_mode(model)
    _finite(model, data, preparation, key)
    for name, (off, mean, average) in jax.device_get(_offsets(model, batch, key)).items():
        if len(apart := off[np.abs(off) > _OFF]):
            what = f"log_prob and sample of a {name} disagree by {apart[0]:+.2f} nats a variable"
            what = f"log_prob of a {name} is not finite at samples of it" if np.isinf(apart).any() else what
            warnings.warn(f"{what}. Compare both with SciPy: log p(x) is off if log_prob is.", stacklevel=3)
        if (differ := mean != average).any():
            what = f"mean of a {name} is {mean[differ][0]:.4g}, and {_DRAWS} samples average {average[differ][0]:.4g}"
            warnings.warn(f"{what}. Imputed and reconstructed cells are means: correct it.", stacklevel=3)


def check_given_parts(model: AbstractLatentModel, batch: Batch) -> None:
    """Refuse parts that give no distributions, or of other shapes, before anything else traces them."""

    def look(model: AbstractLatentModel, row: Batch) -> Array:
        parts = _distributions(model, row, jax.random.key(0))
        _same_events(parts, row.x)
        for name, found in parts.items():
            for each in _checkable(found) if _is_own(_part_of(model, name)) else ():
                check_distribution(each, name)
        return jnp.zeros(())

    eqx.filter_eval_shape(lambda m, b: jax.vmap(lambda row: look(m, row))(b), eqx.nn.inference_mode(model), batch)


_SUPPORT = {
    "draws of the posterior": "Check its sample, and the encoder: it sees standardised cells, 0 where one is missing.",
    "log_prob of the posterior": "Check it at a draw of its own, with the parameters of one row.",
    "log_prob of the prior": "It has to be finite at every draw of the posterior: give both the same support.",
    "log_prob of the likelihood": "Check support and overflow. Real columns come standardised unless sees = 'whole'.",
}


def _finite(model: AbstractLatentModel, data: Dataset, preparation: Preparation, key: Key) -> None:
    """Refuse own parts that training rows lie outside of."""
    positions = data.subset("train")[:_FINITE]
    batch = prepare_batch(preparation, rows := data.rows(positions), key=key)
    found, samples, seen = jax.device_get(_log_densities(model, batch, key))
    if all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(samples)) and not _whole(rows.x):
        _refuse("likelihood", "samples of the likelihood are whole numbers, and the rows are not.", "Sample real ones.")
    crossed = getattr(getattr(_part_of(model, "likelihood"), "head", None), "sees", "") == "yes-no"  # of grey cells
    if not crossed and _whole(rows.x) and _whole(samples) and not _whole(seen):
        what = "its samples and the rows are whole numbers, but log_prob receives scaled rows, which are not."
        fix = 'Set sees = "whole" in the class. Counts come as integers or latens.Counts, for kinds = ("counts",).'
        _refuse("likelihood", what, fix)
    for name, values in found.items():
        if len(bad := np.flatnonzero(~np.isfinite(values))):
            has = "are not finite" if name.startswith("draws") else f"is {values[bad[0]]}"
            what = f"{name} {has} at {len(bad)} of the first {len(values)} training rows"
            _refuse(name.split()[-1], f"{what}, first at row {data.names[positions[bad[0]]]}.", _SUPPORT[name])


@compiled
def _offsets(model: AbstractLatentModel, batch: Batch, key: Key) -> dict[str, tuple[Float[Array, " B"], ...]]:
    """By how many nats own densities of rows contradict their samples, and their means where these do most."""
    # In nats: the log of what it integrates to in the middle of its samples, minus that of their share there.

    def offset(one: AbstractFactorised, key: Key) -> tuple[Float[Array, ""], ...]:
        drawn = jax.vmap(lambda key: one.sample(key=key))(jax.random.split(key, _DRAWS))
        draws = jnp.sort(drawn.astype(jnp.float32).reshape(_DRAWS, -1), axis=0)
        first, end = (jax.vmap(lambda one, side=side: jnp.searchsorted(one, one, side=side), 1, 1)(draws)
                      for side in ("left", "right"))  # fmt: skip
        atom = end - first > _AGAIN
        low, high = jnp.nanquantile(jnp.where(atom, jnp.nan, draws), jnp.array([0.1, 0.9]), axis=0)
        inside = ~atom & (draws >= low) & (draws <= high) & jnp.any(draws % 1 != 0, axis=0)
        even = low + (high - low) * jnp.linspace(0.0, 1.0, _DRAWS)[:, None]
        grid = jnp.sort(jnp.concatenate([even, jnp.clip(draws, low, high)]), axis=0)
        terms = lambda at: jax.vmap(one.log_prob_terms)(at.reshape(-1, *drawn.shape[1:])).reshape(at.shape)  # noqa: E731
        smooth = jnp.where(jnp.any(inside, axis=0), jnp.trapezoid(jnp.exp(terms(grid)), grid, axis=0), 0.0)
        given = jnp.where(atom & (first == jnp.arange(_DRAWS)[:, None]), jnp.exp(terms(draws)), 0.0)
        off = jnp.log(jnp.median((jnp.sum(given, axis=0) + smooth) / jnp.mean(atom | inside, axis=0)))
        off = jnp.where(jnp.mean(~jnp.isfinite(terms(draws))) > _OUTSIDE, jnp.inf, off)  # a few lie at an edge
        return off, *_unlike(one.mean().astype(jnp.float32).reshape(-1), draws)

    def of_row(row: Batch, key: Key) -> dict[str, tuple[Float[Array, ""], ...]]:
        found = _distributions(model, row, key)
        own = [one for each in found.values() for one in _checkable(each) if isinstance(one, AbstractFactorised)]
        return {type(one).__name__: offset(one, key) for one in own if _is_own(one) and math.prod(one.shape) <= _FINITE}

    return jax.lax.map(lambda each: of_row(*each), (batch, jax.random.split(key, len(batch.row_id))))


def _unlike(mean: Float[Array, " d"], draws: Float[Array, "n d"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """A mean and the average of its samples at the variable where they differ most; 0 and 0 where they agree."""
    # A tenth of a deviation is more than 6 standard errors. Where one draw is a twentieth of a variance, a heavy tail
    # or a rare event, samples say little of a mean. That of angles is their direction.
    average = jnp.mean(draws, axis=0)
    away = (draws - average) ** 2
    known = jnp.isfinite(mean) & (jnp.max(away, axis=0) < 0.05 * jnp.sum(away, axis=0))
    known &= jnp.abs(jnp.angle(jnp.exp(1j * mean) / jnp.mean(jnp.exp(1j * draws), axis=0))) > 0.1
    wide = jnp.std(draws, axis=0) + 1e-4 * jnp.abs(average)  # of constants, more than their rounding
    worst = jnp.argmax(apart := jnp.where(known, jnp.abs(mean - average) / wide, 0.0))
    return jnp.where(apart[worst] > 0.1, mean[worst], 0.0), jnp.where(apart[worst] > 0.1, average[worst], 0.0)


def _whole(tree: PyTree) -> bool:
    return not any(np.any(np.nan_to_num(leaf) % 1) for leaf in jax.tree.leaves(tree))


@compiled
def _log_densities(
    model: AbstractLatentModel, batch: Batch, key: Key
) -> tuple[dict[str, Float[Array, " B"]], PyTree, PyTree]:
    """The log densities of own parts at each row and a draw of its posterior; what the likelihood draws and sees."""

    def of_row(row: Batch, key: Key) -> tuple[dict[str, Float[Array, ""]], PyTree, PyTree]:
        parts = _distributions(model, row, key)
        given = parts["likelihood"]
        z = parts["posterior"].sample(key=key)
        calls = {
            "posterior": lambda: parts["posterior"].sample_and_log_prob(key=key)[1],
            "prior": lambda: parts["prior"].log_prob(z),
            "likelihood": lambda: log_prob(given, row.x, row.mask),
        }
        own = {f"log_prob of the {name}": call() for name, call in calls.items() if _is_own(_part_of(model, name))}
        seen = (row.x - given.shift) / given.scale if isinstance(given, Affine) else row.x
        drawn = {"draws of the posterior": jnp.asarray(sum(jnp.sum(0.0 * leaf) for leaf in jax.tree.leaves(z)))}
        return drawn | own, _scaled(given).sample(key=key), seen

    return jax.vmap(of_row)(batch, jax.random.split(key, len(batch.row_id)))


def _part_of(model: AbstractLatentModel, part: str) -> Any:
    names = {"posterior": "encoder", "prior": "prior_part", "likelihood": "decoder"}
    return getattr(model, names[part], model)


def _modules(tree: object) -> Iterator[Any]:
    """Every module of a tree, static ones too."""
    if isinstance(tree, eqx.Module):
        yield tree
        tree = [getattr(tree, field.name, None) for field in dataclasses.fields(tree)]  # pyright: ignore
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        yield from _modules(each)


def _is_own(tree: object) -> bool:
    """Whether a user's own distribution, or what makes one, is in a part of a model."""
    return any(isinstance(each, _KINDS) and not type(each).__module__.startswith("latens.") for each in _modules(tree))


def _checkable(distribution: AbstractDistribution) -> list[Any]:
    """The distribution itself, or a user's own ones inside of it, where these are of events of their own."""
    if isinstance(distribution, Affine | Transformed):
        inside = [distribution.base]
    elif isinstance(distribution, Joined | Product):
        inside = list(distribution.parts.values())
    else:
        return [distribution]
    own = [each for part in inside if _is_own(part) for each in _checkable(part)]
    return own or [distribution]


def _distributions(model: AbstractLatentModel, row: Batch, key: Key) -> dict[str, Any]:
    posterior = lambda own: own.posterior(row.x, cond=row.cond, mask=row.mask)  # noqa: E731
    parts = {"posterior": _made("posterior", model, posterior), "prior": model.prior(cond=row.cond)}
    z = _tried("posterior", "sample", parts["posterior"], lambda q: q.sample(key=key))
    parts["likelihood"] = _made("likelihood", model, lambda own: own.likelihood(z, cond=row.cond))
    for name, found in parts.items():
        if not isinstance(one := _scaled(found), AbstractDistribution):
            _refuse(name, f"it gives a {type(one).__name__}.", "Return a distribution.")
    return parts


def _scaled(distribution: object) -> Any:
    """What a model shifts and scales to the units of the data."""
    return distribution.base if isinstance(distribution, Affine) else distribution


def _made(part: str, model: AbstractLatentModel, call: Callable[[Any], Any]) -> Any:
    """What a part gives; an own head that cannot read its outputs is named."""
    own = [one for one in _modules(_part_of(model, part)) if isinstance(one, AbstractHead) and _is_own(one)]
    if not own:
        return call(model)
    method = f"__call__ on {own[-1].num_outputs} outputs"  # of the innermost: what scales it is around
    fix = "If `__call__` reads another number, set `per_value` in the class, or define `num_outputs`."
    return _tried(part, method, own[-1], lambda _: call(model), fix)


_FIX = "Give every parameter the shape of the event, and try it alone, with the parameters of one row."


def _tried(part: str, method: str, distribution: object, call: Callable[[Any], Any], fix: str = _FIX) -> Any:
    """The result of a method; one that cannot work is named."""
    try:
        return call(distribution)
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, LatensError):
            error.where = error.where or part
            raise
        sizes = {name: leaf.shape for name, leaf in vars(distribution).items() if eqx.is_array(leaf)}
        given = f" with {', '.join(f'{name} {size}' for name, size in sizes.items())}"
        kind = type(distribution).__name__ + given * (len({*sizes.values()}) > 1)
        what = f"{method} of a {kind} fails: {str(error).splitlines()[0].rstrip('.')}."
        fix = "Define it in that class." if "abstract class" in what else fix
        raise ConfigError(what, where=part, fix=fix) from error


def _refuse(part: str, what: str, fix: str) -> None:
    raise ConfigError(what, where=part, fix=fix)


def _shape_of(event: PyTree) -> Any:
    return jax.tree.map(lambda leaf: leaf.shape, event)


def _event(distribution: AbstractDistribution, part: str = "likelihood") -> PyTree:
    sample = lambda of: jax.eval_shape(lambda: of.sample(key=jax.random.key(0)))  # noqa: E731
    return _tried(part, "sample", distribution, sample)


def _same_events(parts: dict[str, Any], x: PyTree) -> None:
    """Posterior and prior are of the same latents, and a likelihood is of rows."""
    row = _event(_scaled(parts["likelihood"]))  # what stretches it would hide its shape
    if _shape_of(row) != _shape_of(x):
        what = f"samples of the likelihood have the shape {_shape_of(row)}, and rows have {_shape_of(x)}."
        _refuse("likelihood", what, "Give it the shape of a row.")
    if _is_own(parts["posterior"]):
        _tried("posterior", "mean", parts["posterior"], lambda q: jax.eval_shape(lambda: mean_code(q)))
    q, p = (_event(parts[name], name) for name in ("posterior", "prior"))
    whole = [all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(event)) for event in (q, p)]
    if _shape_of(q) != _shape_of(p):
        what = f"samples of the posterior have the shape {_shape_of(q)}, and those of the prior {_shape_of(p)}."
        _refuse("prior", what, "Give both the same shape, (latent_dim,) of vectors.")
    if whole[0] != whole[1]:
        what = f"samples of the {'posterior' if whole[0] else 'prior'} are whole numbers, and the other's are not."
        _refuse("prior", what, "Give both the same kind of numbers.")


def check_distribution(distribution: AbstractDistribution, part: str) -> None:
    """Refuse one distribution that contradicts itself."""
    name, event = type(distribution).__name__, _event(distribution, part)
    log_prob = lambda of: jax.eval_shape(lambda: of.log_prob(zeros_of(event)))  # noqa: E731
    number = _tried(part, "log_prob", distribution, log_prob)
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
            given = (zeros_of(event),) if method == "log_prob_terms" else ()
            found = jax.eval_shape(lambda method=method, given=given: getattr(distribution, method)(*given))
            if found.shape != event.shape:
                what = f"{method} of a {name} gives the shape {found.shape}, and an event has {event.shape}."
                _refuse(part, what, "Give one number for each variable, without a sum.")
