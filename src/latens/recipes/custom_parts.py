"""Objects in the place of names: a part that is given to `VAE`, or registered by name, becomes a row of a table."""

import contextlib
import dataclasses
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Literal, TypeAlias, TypeGuard, TypeVar, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
from msgspec import structs

from latens.config import ConfigSection, LikelihoodConfig, NetworkConfig, OptimizerConfig, VAEConfig
from latens.data import Preparation, Schema
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError, LatensError, ModelFileError, nearest
from latens.models import AbstractHead, AbstractModelPrior, LatentModel
from latens.models.heads.base import Sees
from latens.objectives import AbstractObjective
from latens.recipes.likelihoods import LIKELIHOODS, Likelihood
from latens.recipes.part_tables import OBJECTIVES, NoOptions, PartRow, lookup, options_of
from latens.recipes.posteriors import POSTERIORS, PRIORS, Posterior, Prior
from latens.training import Optimizer, from_optax
from latens.training.optimizers import OPTIMIZERS
from latens.typing import Key

Network = Callable[..., Any]
"""A network (an equinox module or a function of one example), or a factory `(schema, key) -> network`."""

ENCODERS: dict[str, Network] = {}
"""What `network.encoder` may be: the networks that were registered."""

DECODERS: dict[str, Network] = {}
"""What `network.decoder` may be: the networks that were registered."""


def with_networks(model: LatentModel, schema: Schema, config: NetworkConfig, *, key: Key) -> Any:
    """Put registered networks in the place of a model's; the head after each stays."""
    named = (("encoder", config.encoder, ENCODERS), ("decoder", config.decoder, DECODERS))
    for number, (part, name, table) in enumerate(named):
        if name is None:
            continue
        given = lookup(table, name, f"network.{part}")
        if not hasattr(getattr(model, part, None), "network"):
            what = f"the {part} of this recipe is not one network, so none can take its place."
            raise ConfigError(what, where=part, fix="Use another recipe, for example default.")
        network = given(schema, jax.random.fold_in(key, number)) if _is_factory(given) else given
        if not callable(network):
            what = f"the function gives a {type(network).__name__}, which is not a network."
            raise ConfigError(what, where=part, fix="Give a module, or another function of one row.")
        model = eqx.tree_at(lambda m, p=part: getattr(m, p).network, model, network)
    return model


def refuse_wrong_sizes(model: LatentModel, schema: Schema, preparation: Preparation) -> None:
    """Trace one row: a network of a wrong size is named before training starts."""
    given = jax.ShapeDtypeStruct(schema.shape, jnp.int32 if preparation.integer else jnp.float32)
    encode = lambda m, x: m.posterior(x).sample(key=jax.random.key(0))  # noqa: E731
    for part, of, run in (("encoder", "row", encode), ("decoder", "latent", lambda m, z: m.likelihood(z).mean())):
        try:
            made = eqx.filter_eval_shape(run, model, given)
        except LatensError as error:
            if error.where == "network":
                error.where = part
            raise
        except (TypeError, ValueError) as error:
            said = "".join(map(str, error.args))  # equinox raises some in several pieces
            grey = "lambda x: x[None]" if len(given.shape) == 2 else "lambda x: jnp.moveaxis(x, -1, 0)"
            layer = grey if "Conv" in said else "jnp.ravel"
            how = "Put the channels first" if "Conv" in said else "Flatten it"
            flat = f"{how}: eqx.nn.Sequential([eqx.nn.Lambda({layer}), network]). " * (len(given.shape) > 1)
            what = f"your {part} receives a {of} of shape {given.shape}, and fails: {said.splitlines()[0].rstrip('.')}."
            raise ConfigError(what, where=part, fix=f"{flat}A {of} has {given.size} inputs.") from error
        given = made


def _is_factory(network: Network) -> bool:
    """Whether this makes a network: it takes a `schema`, or two arguments by position."""
    # Modules are networks.
    if isinstance(network, eqx.Module):
        return False
    try:
        parameters = inspect.signature(network).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) == 2 or any(p.name == "schema" for p in parameters)


PartName: TypeAlias = Literal[
    "likelihood", "prior", "posterior", "objective", "optimizer", "encoder", "decoder", "model"
]

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "likelihood": ("likelihood.family", LIKELIHOODS),
    "prior": ("prior.kind", PRIORS),
    "posterior": ("posterior.kind", POSTERIORS),
    "objective": ("objective.name", OBJECTIVES),
    "optimizer": ("optimizer.name", OPTIMIZERS),
    "encoder": ("network.encoder", ENCODERS),
    "decoder": ("network.decoder", DECODERS),
}
"""Part -> the option that names it, and the table of what it may be; `latens.recipes` adds "model"."""

Kind = TypeVar("Kind")

OWN: set[tuple[str, str]] = set()
"""(part, name) of what was not in the tables of latens: it may be replaced."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALLOWED = {
    "likelihood": "a head, its class, or a function of the shape of a row that gives a head",
    "prior": "a distribution, an `AbstractModelPrior`, a class or a function of the shape of a latent that gives one",
    "posterior": "a head, its class, or a function of the shape of a latent that gives a head",
    "objective": "an `AbstractObjective` or its class",
    "optimizer": "an optax transformation or a latens `Optimizer`",
    "encoder": "a network, or a function `(schema, key) -> network`",
    "decoder": "a network, or a function `(schema, key) -> network`",
    "model": "a function `(schema, key) -> model`, or a `Recipe`",
}


def register_part(part: PartName, name: str, what: object) -> None:
    """Register your own part under a name for `VAE`, configurations, model files and commands.

    A model file contains the name and the options of a part, but never code. Register the part under the same name
    before you load the file, or pass the file that registers it to the command (`--import parts.py`). The fields of a
    class, except `shape`, are its options (`--set likelihood.gamma=2`).

    Args:
        part: "likelihood", "prior", "posterior", "objective", "optimizer", "encoder", "decoder", or "model" for a whole
            model, which becomes a recipe.
        name: A name of letters, digits, dots and dashes that latens does not use.
        what: The class, an object of it, or a function that returns one. The argument of the function is the shape of a
            row (likelihood) or of a latent (prior, posterior), with a keyword `key` if it draws weights, or `(schema,
            key)` for networks and models.

    Raises:
        ConfigError: The part or the name is not allowed, or the object has the wrong type.

    Examples:
        >>> from latens.objectives import IWAE
        >>> register_part("objective", "tight", IWAE(num_samples=50))
        >>> OBJECTIVES["tight"].num_samples
        50
    """
    _, table = _table(part)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{str(name)[:80]!r} is not a name.", where="name", fix="Use letters, digits, dots, dashes.")
    if name in table and (part, name) not in OWN:
        raise ConfigError(f"there is a {part} {name!r} already.", where="name", fix="Choose another name.")
    table[name] = _row(part, name, what)
    OWN.add((part, name))


def settings_of(part: PartName, what: object) -> dict[str, Any]:
    """The settings that name a part which was given as an object."""
    # An object of a class in the table is named with the values of its fields; any other becomes a row of the table
    # under a name made of its class and content, which only this process knows.
    choice, table = _table(part)
    if isinstance(what, str):
        return {choice: what}
    found = _recorded(table, what)
    if found is not None:
        name, options = found
        return {choice: name, f"{part}.options": options}
    name = _called(what)
    if name not in table:
        table[name] = _row(part, name, what)
        OWN.add((part, name))
    settings: dict[str, Any] = {choice: name}
    if part == "optimizer":  # it has a rate, a schedule and clipping of its own
        own = msgspec.to_builtins(OptimizerConfig())
        settings |= {f"optimizer.{option}": own[option] for option in own if option not in ("name", "critic")}
    shape = getattr(what, "shape", None)
    if part == "posterior" and isinstance(what, AbstractHead) and isinstance(shape, tuple) and len(shape) == 1:
        settings["posterior.latent_dim"] = shape[0]
    return settings


def adopt(config: object, given: Mapping[str, Any]) -> None:
    """Take objects for the names of a file that are not known in this process."""
    for part, what in given.items():
        choice, table = _table(part)
        name = _named(config, choice)
        if name is None or (name in table and (part, name) not in OWN):
            if name is not None and _recorded(table, what) == (name, _options_in(config, part)):
                continue
            has = "no such part" if name is None else f"{name!r}, which is known"
            raise ConfigError(f"the file has {has}.", where=part, fix=f"Load it without {part}=.")
        kinds = [re.fullmatch(r"(.+)-[0-9a-f]{8}", each) for each in (name, _called(what))]
        if kinds[0] and kinds[1] and kinds[0][1] != kinds[1][1]:
            has = f"the file was trained with {kinds[0][1]}, not with {kinds[1][1]}."
            raise ConfigError(has, where=part, fix=f"Give {kinds[0][1]}, or register yours as {name!r}.")
        table[name] = _row(part, name, what)
        OWN.add((part, name))


@contextlib.contextmanager
def adopted_if_it_fits() -> Iterator[None]:
    """Give the names of parts back what they stood for where what follows fails."""
    before, own = {part: dict(table) for part, (_, table) in TABLES.items()}, set(OWN)
    try:
        yield
    except BaseException:
        for part, (_, table) in TABLES.items():
            table.clear()
            table.update(before[part])
        OWN.intersection_update(own)
        raise


def unknown_parts(config: object) -> dict[str, str]:
    """The parts of a configuration that no table has."""
    named = {part: _named(config, choice) for part, (choice, _) in TABLES.items() if part != "optimizer"}
    return {part: n for part, n in named.items() if n is not None and n != "auto" and n not in TABLES[part][1]}


def told_of(config: object) -> dict[str, Any]:
    """What a file says of an objective that is not latens's own: facts of its class and its fields, as plain values."""
    name = config.objective.name if isinstance(config, VAEConfig) else None
    if name is None or ("objective", name) not in OWN:
        return {}
    what = OBJECTIVES[name]
    told: dict[str, Any] = {"class": getattr(what, "__name__", type(what).__name__), "what": _first_line(what)}
    told |= {fact: getattr(what, fact) for fact in ("uses_prior", "has_likelihood")}
    fields: Any = () if isinstance(what, type) else [(f.name, getattr(what, f.name)) for f in dataclasses.fields(what)]
    options = {field: value for field, value in fields if isinstance(value, bool | int | float | str | None)}
    return {"objective": told | ({"options": options} if options else {})}


def has_own(config: object) -> bool:
    """Whether a configuration names a part that is not latens's own, and may be replaced by another of that name."""
    if not isinstance(config, VAEConfig):
        return False
    return any((part, attrgetter(choice)(config)) in OWN for part, (choice, _) in TABLES.items())


def _table(part: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(part, str) or part not in TABLES:
        raise ConfigError(f"there is no part {part!r}.", where="part", fix=nearest(str(part), TABLES))
    return TABLES[part]


def _options_in(config: Any, part: str) -> dict[str, Any]:
    named = config.get(part)
    return (named.get("options") or {}) if isinstance(named, dict) else {}


def _named(config: object, choice: str) -> str | None:
    name = config
    for step in choice.split("."):
        name = name.get(step) if isinstance(name, dict) else None
    return name if isinstance(name, str) else None


def _recorded(table: Mapping[str, Any], what: object) -> tuple[str, dict[str, Any]] | None:
    """The name and the options of an object whose class is in a table, where these say all about it."""
    for name, row in table.items():
        kind = row if isinstance(row, type) else getattr(row, "head", None)
        if what is kind:
            return name, {}
        if isinstance(what, partial) and what.func is kind and not what.args:
            plain = all(isinstance(value, bool | int | float | str) for value in what.keywords.values())
            return (name, dict(what.keywords)) if plain else None
        if kind is None or type(what) is not kind or hasattr(what, "shape"):  # a shape is not an option
            continue
        plain, options = options_of(kind).__struct_fields__, {}
        for field in dataclasses.fields(kind):
            value = getattr(what, field.name)
            if value is field.default:
                continue
            if field.name not in plain or not isinstance(value, bool | int | float | str):
                return None
            if value != field.default:
                options[field.name] = value
        return name, options
    return None


def _called(what: Any) -> str:
    """A name made of the class and the content; equal objects share it."""
    kind = type(what) if isinstance(what, eqx.Module | optax.GradientTransformation | Optimizer) else what
    word = re.sub(r"[^A-Za-z0-9.]", "", str(getattr(kind, "__name__", type(what).__name__)))[:40] or "object"
    digest = hashlib.sha256()
    if isinstance(what, eqx.Module):
        leaves, structure = jax.tree_util.tree_flatten(what)
        digest.update(f"{type(what).__module__} {structure}".encode())
        for leaf in leaves:
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.random.key_data(leaf)
            if isinstance(leaf, jax.Array | np.ndarray):
                digest.update(f"{leaf.dtype} {leaf.shape}".encode() + np.asarray(leaf).tobytes())
            else:
                digest.update(repr(leaf).encode())
    elif isinstance(what, tuple):  # copies of an optax transformation hold the same functions
        digest.update(repr([id(each) for each in what]).encode())
    else:
        digest.update(f"{getattr(what, '__module__', '')} {id(what)}".encode())
    return f"{word}-{digest.hexdigest()[:8]}"


# --- rows ---


def _row(part: str, name: str, what: object) -> Any:
    """The row of the table of a part."""
    if lacks := sorted(getattr(what, "__abstractmethods__", ())):
        raise ConfigError(f"its class has no {', '.join(lacks)}.", where=part, fix="Define it in the class.")
    made = what if isinstance(what, PartRow) else ROWS[part](name, what)
    if made is None:
        kind = what.__name__ if isinstance(what, type) else type(what).__name__
        raise ConfigError(f"{kind} does not fit as {part}.", where=part, fix=f"Give {_ALLOWED[part]}.")
    return made


def _maker(part: str, what: Any, *kinds: type) -> tuple[Callable[..., Any], type[ConfigSection]] | None:
    """What makes a part of a shape, options and a key, and its options; None for what is of another kind."""
    if isinstance(what, kinds):
        return (lambda shape, options, key: what), NoOptions
    if not callable(what) or isinstance(what, eqx.Module) or (isinstance(what, type) and not issubclass(what, kinds)):
        return None
    try:
        takes_key = "key" in inspect.signature(what).parameters
    except (TypeError, ValueError):
        takes_key = False

    def make(shape: tuple[int, ...], options: dict[str, Any], key: Key) -> Any:
        found = what(shape, **options, **({"key": key} if takes_key else {}))
        if not isinstance(found, kinds):
            raise ConfigError(f"its function gave {type(found).__name__}.", where=part, fix=f"Give {_ALLOWED[part]}.")
        return found

    return make, options_of(what) if isinstance(what, type) and dataclasses.is_dataclass(what) else NoOptions


def _likelihood(name: str, what: object) -> Likelihood | None:
    if (found := _maker("likelihood", what, AbstractHead)) is None:
        return None
    make, options = found
    # Which data it is of, a class says, also that of a `functools.partial`, or an object of it.
    inner = what if isinstance(what, AbstractHead) else getattr(what, "func", what)
    head: Any = inner if isinstance(inner, AbstractHead) or _is(inner, AbstractHead) else AbstractHead

    own = head if isinstance(head, type) else type(head)
    if head.sees not in get_args(Sees):
        fix = f"Use one of {', '.join(get_args(Sees))}."
        raise ConfigError(f"{own.__name__} has sees = {head.sees!r}.", where="likelihood", fix=fix)
    said = any("sees" in vars(one) for one in own.__mro__[: own.__mro__.index(AbstractHead)])
    if "counts" in head.kinds and not said and not {"real", "unit"} & set(head.kinds):
        fix = 'Set sees = "whole" (counts as they are) or "numbers" (standardised log(1 + x)) in the class.'
        raise ConfigError(f"{own.__name__} is a likelihood of counts without `sees`.", where="likelihood", fix=fix)

    def of_schema(schema: Schema, config: LikelihoodConfig, given: ConfigSection) -> AbstractHead:
        made = make(schema.shape, structs.asdict(given), jax.random.key(0))
        if (made.sees, made.kinds) != (head.sees, head.kinds):
            what = f"{type(made).__name__} has `sees` or `kinds` of its own, which a function hides."
            raise ConfigError(what, where="likelihood", fix="Give the class, functools.partial of it, or an object.")
        if not isinstance(made.num_outputs, int | np.integer):
            what = f"num_outputs of {type(made).__name__} is a {type(made.num_outputs).__name__}, not a whole number."
            raise ConfigError(what, where="likelihood", fix="Write @property before `def num_outputs(self) -> int`.")
        return made

    known = what if _is(what, AbstractHead) else None
    return Likelihood(of_schema, head.kinds, head.sees, _first_line(what), known, options=options)


def _prior(name: str, what: object) -> Prior | None:
    found = _maker("prior", what, AbstractDistribution, AbstractModelPrior)
    if found is None:
        return None
    make = found[0]
    return Prior(
        _first_line(what), lambda latent, x, *, key, **given: make(latent, given, key), "given", options=found[1]
    )


def _posterior(name: str, what: object) -> Posterior | None:
    if (found := _maker("posterior", what, AbstractHead)) is None:
        return None
    make = found[0]
    row = Posterior(
        _first_line(what), lambda s, c, o, key: make(s, structs.asdict(o), key), "standard-normal", options=found[1]
    )
    if isinstance(what, AbstractHead):
        return dataclasses.replace(row, shape=lambda n, options: what.shape)
    return dataclasses.replace(row, stacks=True, head=what if _is(what, AbstractHead) else None)


def _objective(name: str, what: object) -> type[AbstractObjective] | AbstractObjective | None:
    return what if isinstance(what, AbstractObjective) or _is(what, AbstractObjective) else None


def _optimizer(name: str, what: object) -> Optimizer | None:
    if isinstance(what, Optimizer):
        return what
    return from_optax(what) if isinstance(what, optax.GradientTransformation) else None


def _network(name: str, what: object) -> Any:
    return what if callable(what) else None


ROWS: dict[str, Callable[[str, Any], Any]] = {
    "likelihood": _likelihood,
    "prior": _prior,
    "posterior": _posterior,
    "objective": _objective,
    "optimizer": _optimizer,
    "encoder": _network,
    "decoder": _network,
}
"""Part -> what makes its row of a name and an object; None for an object of another kind."""


def _is(what: object, *kinds: type[Kind]) -> TypeGuard[type[Kind]]:
    return isinstance(what, type) and issubclass(what, kinds)


def _first_line(what: Any) -> str:
    kind = what if inspect.isroutine(what) or isinstance(what, type) else type(what)
    return " ".join((kind.__doc__ or getattr(kind, "__name__", "")).split("\n\n")[0].split()).rstrip(".")


def config_of_file(written: Any, parts: dict[str, Any], where: str) -> dict[str, Any]:
    """The configuration of a file, every part of which is known in this process."""
    parts = {name: what for name, what in parts.items() if what is not None}
    try:
        if written is None:
            raise ConfigError(
                "the model in this file was built by hand, not by a recipe: it holds arrays only.",
                fix="Build the same model and give it: latens.load(path, into=model); or register a recipe for it.",
            )
        adopt(written, parts)
    except ConfigError as error:
        where = f"{where}, {error.where}" if error.where else where
        raise ModelFileError(error.message, where=where, fix=error.fix) from None
    lacking = unknown_parts(written)
    lacking.pop("objective", None)  # nothing of a trained model asks for it
    if lacking:
        what, fix = _not_registered(lacking)
        raise ModelFileError(what, where=where, fix=fix)
    return written


def _not_registered(lacking: dict[str, str]) -> tuple[str, str]:
    """What is said of parts that are not known here, and what to do."""
    given = f"latens.load(path, {'=..., '.join(lacking)}=...)"
    part, name = next(iter(lacking.items()))
    register = f"register it first, latens.register_part({part!r}, {name[:80]!r}, ...)"
    if part == "model":
        what, first = f"there is no recipe {name[:80]!r} here.", "Where it was a model of your own, give it"
    else:
        named = " and ".join(f"the {part} {name[:80]!r}" for part, name in lacking.items())
        what = f"{named} is not known here: it is code of whoever trained the model, which no file holds."
        first = "Give it"
    return what, f"{first}, {given}; or {register}; the command executes --import FILE.py."
