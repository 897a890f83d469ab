"""From the names and options of a configuration to parts: the tables, and the one function that makes a part."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
import msgspec.structs

from latens import objectives
from latens.config import Part, option_hint, unfit
from latens.errors import ConfigError, nearest
from latens.objectives import AbstractObjective

OBJECTIVES: dict[str, type[AbstractObjective] | AbstractObjective] = {
    "aae": objectives.AAE,
    "adversarial-bayes": objectives.AdversarialBayes,
    "aligned-elbo": objectives.AlignedELBO,
    "beta-tc": objectives.BetaTC,
    "chi-upper-bound": objectives.ChiUpperBound,
    "ciwae": objectives.CIWAE,
    "dip": objectives.DIP,
    "elbo": objectives.ELBO,
    "factor-vae": objectives.FactorVAE,
    "gan": objectives.GAN,
    "geco": objectives.GECO,
    "info-vae": objectives.InfoVAE,
    "iwae": objectives.IWAE,
    "miwae": objectives.MIWAE,
    "perceptual": objectives.PerceptualSimilarity,
    "piwae": objectives.PIWAE,
    "quantised": objectives.Quantised,
    "reconstruction": objectives.Reconstruction,
    "regularised": objectives.RegularisedAutoencoder,
    "renyi": objectives.Renyi,
    "reweighted-wake-sleep": objectives.ReweightedWakeSleep,
    "score-function": objectives.ScoreFunction,
    "semi-supervised": objectives.SemiSupervisedELBO,
    "sigma-vae": objectives.SigmaVAE,
    "sliced-wasserstein": objectives.SlicedWasserstein,
    "stratified-elbo": objectives.StratifiedELBO,
    "subset-elbo": objectives.SubsetELBO,
    "vae-gan": objectives.VAEGAN,
    "vimco": objectives.VIMCO,
    "wae": objectives.WAE,
    "wake-sleep": objectives.WakeSleep,
}
"""What `objective.name` may be: a class, whose fields are its options, or an object of the user's, which has none."""

Value = TypeVar("Value")


def lookup(table: Mapping[str, Value], name: str, where: str) -> Value:
    """What a table has under a name."""
    if name not in table:
        raise ConfigError(f"there is no {where.partition('.')[0]} {name!r}.", where=where, fix=nearest(name, table))
    return table[name]


@cache
def fields_of(kind: type) -> dict[str, Any]:
    """The options of a part: its fields that plain values can fill."""
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        plain = _plain(hints[field.name])
        if field.init and plain is not None:
            found[field.name] = plain
    return found


def needs(kind: type, name: str) -> bool:
    """Whether a part has a field of that name without a default."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return name in fields and fields[name].default is dataclasses.MISSING


def defaults_of(kind: type) -> dict[str, Any]:
    """The options of a part with their defaults."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    missing = dataclasses.MISSING
    return {name: "needed" if fields[name].default is missing else fields[name].default for name in fields_of(kind)}


def _plain(hint: Any) -> Any:
    """The arms of a type that JSON has; None where there are none."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        arms = [arm for arm in map(_plain, typing.get_args(hint)) if arm is not None]
        return typing.Union[tuple(arms)] if arms else None  # noqa: UP007
    is_literal = typing.get_origin(hint) is typing.Literal
    return hint if is_literal or hint in (bool, int, float, str, type(None)) else None


def checked(kind: type, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a part, each checked against the type of its field."""
    fields = fields_of(kind)
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in fields:
            raise ConfigError(f"{kind.__name__} has no option {name!r}.", where=f"{where}.{name}",
                              fix=option_hint(where, name, fields))  # fmt: skip
        try:
            values[name] = msgspec.convert(value, fields[name])
        except msgspec.ValidationError as error:
            raise unfit(value, error, fields[name], where=f"{where}.{name}") from None
    return values


def make(kind: type[Value], options: Mapping[str, Any], where: str, **given: Any) -> Value:
    """A part from its options."""
    values = {**checked(kind, options, where), **given}
    needed = [
        field.name
        for field in dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
        if field.init and field.default is field.default_factory is dataclasses.MISSING and field.name not in values
    ]
    if needed:
        fix = f"Add --set {where}.{needed[0]}=..."
        raise ConfigError(f"{kind.__name__} needs {', '.join(needed)}.", where=where, fix=fix)
    return kind(**values)


PartType = TypeVar("PartType", bound=Part)


def read_options(kind: type[PartType], options: Mapping[str, Any], where: str) -> PartType:
    """The options of a row of a table, checked against their types and bounds."""
    known = option_defaults(kind)
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"{where} has no option {name!r}.", where=f"{where}.{name}",
                              fix=option_hint(where, name, known))  # fmt: skip
        try:
            msgspec.convert({name: value}, kind)
        except msgspec.ValidationError as error:
            hint = typing.get_type_hints(kind, include_extras=True)[name]
            raise unfit(value, error, hint, where=f"{where}.{name}") from None
    return msgspec.convert(dict(options), kind)


def option_defaults(kind: type[Part]) -> dict[str, Any]:
    """The options of a row of a table with their defaults."""
    return {field.name: field.default for field in msgspec.structs.fields(kind)}


def replace_field(part: Value, **changes: Any) -> Value:
    """The same part with other fields."""
    return dataclasses.replace(part, **changes)  # pyright: ignore[reportArgumentType, reportReturnType]
