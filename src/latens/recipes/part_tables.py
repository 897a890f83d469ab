"""The rows of the tables of parts, their options, and how a name and its options become one."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec

from latens import objectives
from latens.config import ConfigSection, VAEConfig, option_hint, unfit
from latens.errors import ConfigError, nearest
from latens.objectives import AbstractObjective
from latens.typing import arms_of

OBJECTIVES: dict[str, type[AbstractObjective] | AbstractObjective] = {
    "aae": objectives.AAE,
    "beta-tc": objectives.BetaTC,
    "ciwae": objectives.CIWAE,
    "dip": objectives.DIP,
    "elbo": objectives.ELBO,
    "factor-vae": objectives.FactorVAE,
    "gan": objectives.GAN,
    "info-vae": objectives.InfoVAE,
    "iwae": objectives.IWAE,
    "miwae": objectives.MIWAE,
    "perceptual": objectives.PerceptualSimilarity,
    "piwae": objectives.PIWAE,
    "quantised": objectives.Quantised,
    "reconstruction": objectives.Reconstruction,
    "regularised": objectives.RegularisedAutoencoder,
    "renyi": objectives.Renyi,
    "score-function": objectives.ScoreFunction,
    "semi-supervised": objectives.SemiSupervisedELBO,
    "stratified-elbo": objectives.StratifiedELBO,
    "subset-elbo": objectives.SubsetELBO,
    "wae": objectives.WAE,
}
"""What `objective.name` may be: a class, whose fields are its options, or an object of the user's, which has none."""

Value = TypeVar("Value")

_WITHOUT_EFFECT = {
    "network.kernel_size": "Leave it out.",
    "network.encoder_output_activation": "Leave it out.",
    "network.decoder_output_activation": "Leave it out.",
    "network.encoder": "Leave it out.",
    "network.decoder": "Leave it out.",
    "label.kind": "Leave it out: it reads no labels.",
    "prior.kind": "The prior is the decoder's own: leave it out.",
}
"""Options that no model with networks and a prior of its own reads, and what to do about each."""


def refuse_others(config: VAEConfig, what: str, fixes: Mapping[str, str], **network: object) -> None:
    """Refuse options without effect in a model that has networks and a prior of its own."""
    usual = {"prior.kind": "standard-normal"} | {f"network.{name}": value for name, value in network.items()}
    for where, fix in {**fixes, **_WITHOUT_EFFECT}.items():
        part, _, name = where.partition(".")
        given = getattr(config, part)
        allowed = usual.get(where, getattr(type(given)(), name))
        if getattr(given, name) != allowed:
            raise ConfigError(f"{what} takes no other {where} than {allowed!r}.", where=where, fix=fix)


class NoOptions(ConfigSection, frozen=True):
    """A part without options."""


@dataclass(frozen=True)
class PartRow:
    """What is said of a part in the table of its kind; `bound` gives it what a configuration says."""

    options: type[ConfigSection] = field(default=NoOptions, kw_only=True)  # their types, bounds and defaults
    config: Any = field(default=None, kw_only=True)  # the part of the configuration that names it
    read: Any = field(default=None, kw_only=True)  # the options of that configuration, of the class `options`


AnyRow = TypeVar("AnyRow", bound=PartRow)


def bound(table: Mapping[str, AnyRow], name: str, config: Any, where: str) -> AnyRow:
    """The row of a name, with the options that a configuration gives it."""
    row = lookup(table, name, where)
    return dataclasses.replace(row, config=config, read=make(row.options, config.options, where.partition(".")[0]))


_LOSSES = {"mse": "normal", "gaussian": "normal", "bce": "bernoulli", "mae": "laplace", "cross-entropy": "categorical"}
"""The likelihoods of which the negative logarithm is called by these names."""


def lookup(table: Mapping[str, Value], name: str, where: str) -> Value:
    """What a table has under a name."""
    if name not in table:
        known = _LOSSES.get(name) if where == "likelihood.family" else None
        fix = f"Use {known!r}." if known else nearest(name, table)
        raise ConfigError(f"there is no {where.partition('.')[0]} {name!r}.", where=where, fix=fix)
    return table[name]


@cache
def options_of(kind: type) -> type[ConfigSection]:
    """The options of a class: its fields that plain values can fill, but for `shape`."""
    hints = typing.get_type_hints(kind)
    found: list[Any] = []
    for each in dataclasses.fields(kind):
        plain = _plain(hints[each.name])
        if each.init and plain is not None and each.name != "shape":
            found.append((each.name, plain, each.default)[: 2 + (each.default is not dataclasses.MISSING)])
    made: Any = msgspec.defstruct(f"{kind.__name__}Options", found, bases=(ConfigSection,), frozen=True, kw_only=True)
    return made


def _plain(hint: Any) -> Any:
    """The arms of a type that JSON has; None where there are none."""
    is_plain = lambda arm: typing.get_origin(arm) is typing.Literal or arm in (bool, int, float, str, type(None))  # noqa: E731
    arms = tuple(filter(is_plain, arms_of(hint)))
    return typing.Union[arms] if arms else None  # noqa: UP007


def defaults_of(options: type[ConfigSection]) -> dict[str, Any]:
    """The names of options with their defaults."""
    return {each.name: "needed" if each.required else each.default for each in msgspec.structs.fields(options)}


def read(options: type[ConfigSection], given: Mapping[str, Any], where: str, what: str = "") -> dict[str, Any]:
    """The options that are given, each checked against its type and bounds."""
    values, hints = {}, typing.get_type_hints(options, include_extras=True)
    for name, value in given.items():
        if name not in hints:
            fix = option_hint(where, name, hints)
            raise ConfigError(f"{what or where} has no option {name!r}.", where=f"{where}.{name}", fix=fix)
        try:
            values[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise unfit(value, error, hints[name], where=f"{where}.{name}") from None
    return values


def make(kind: type[Value], options: Mapping[str, Any], where: str, **given: Any) -> Value:
    """An object of a class, or the options of a row, from options by name."""
    if issubclass(kind, ConfigSection):
        what, values = where, read(kind, options, where)
        required = [each.name for each in msgspec.structs.fields(kind) if each.required]
    else:
        what, values = kind.__name__, read(options_of(kind), options, where, kind.__name__) | given
        fields: Any = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
        missing = dataclasses.MISSING
        required = [each.name for each in fields if each.init and each.default is each.default_factory is missing]
    if needed := [name for name in required if name not in values]:
        raise ConfigError(f"{what} needs {', '.join(needed)}.", where=where, fix=f"Add --set {where}.{needed[0]}=...")
    return kind(**values)
