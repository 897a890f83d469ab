"""The vocabulary of shapes and units used in every signature.

| letter | meaning |
|---|---|
| `B` | rows of a batch |
| `K` | samples drawn for each row (`num_samples`) |
| `*x` | the shape of one observed event, e.g. `28 28` |
| `*z` | the shape of one latent event, e.g. `2` |

Densities, models and networks are written for one event; `jax.vmap` adds `B` and `K`.
Every log density, divergence and bound is in nats, summed over the event, unless its name says otherwise.
"""

import collections.abc
import dataclasses
import functools
import math
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped, UInt32
from msgspec import Meta

from latens.errors import ConfigError

AnyArray: TypeAlias = Array | np.ndarray
"""A JAX array, or a NumPy array on its way to become one."""

Nats: TypeAlias = Float[Array, ""]
"""One number in nats (natural logarithm)."""

Key: TypeAlias = PRNGKeyArray
"""A typed JAX key of shape (); always keyword-only, used once."""

Cond: TypeAlias = dict[str, Any] | None
"""Named arrays that a row is conditioned on, or None."""

Mask: TypeAlias = PyTree | None
"""True where a row is observed, as a row is; None: everywhere."""

Step: TypeAlias = Int[Array, ""]
"""The number of the training step, of shape ()."""

Count: TypeAlias = Annotated[int, Meta(ge=1)]
"""A whole number of 1 or more."""

Weight: TypeAlias = Annotated[float, Meta(ge=0.0)]
"""A finite number of 0 or more."""

Scheduled: TypeAlias = Weight | Callable[[Array], Array]
"""A weight, or a function from the step to one."""

Function = TypeVar("Function", bound=Callable[..., Any])


def checked_later(function: Function) -> Function:
    """A function whose annotations are for readers, editors and static checkers; it looks at its arguments itself."""
    # `typing.no_type_check` would hide them from static checkers too.
    function.__no_type_check__ = True  # pyright: ignore[reportFunctionMemberAccess]
    return function


def check_options(part: Any, where: str = "") -> None:
    """Refuse an option of a part that is not what its annotation allows, before JAX meets it."""
    hints = _hints(type(part))
    for field in dataclasses.fields(part):
        value, arms = getattr(part, field.name), arms_of(hints.get(field.name, Any))
        if not any(_fits(value, arm) for arm in arms):
            what = f"{field.name} must be {' or '.join(map(_words, arms))}, not {value!r:.60}."
            fix = "" if field.default is dataclasses.MISSING else f"Give for example {field.default!r}."
            raise ConfigError(what, where=f"{where or f'{type(part).__name__}.'}{field.name}", fix=fix)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError:  # a name of static checkers alone
        return {}


def arms_of(hint: object) -> list[Any]:
    """The types that a type allows, each with its bounds."""
    if get_origin(hint) in (Union, types.UnionType):
        return [arm for each in get_args(hint) for arm in arms_of(each)]
    return [hint]


def _bounded(hint: object) -> tuple[Any, Meta]:
    return get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, Meta())


_NUMBERS: dict[Any, tuple[type, ...]] = {int: (int, np.integer), float: (int, float, np.integer, np.floating)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of one type; of a type that is not known here, anything is."""
    (kind, meta), origin = _bounded(hint), get_origin(hint)
    if kind in _NUMBERS:
        if not isinstance(value, _NUMBERS[kind]) or isinstance(value, bool) or not value < math.inf:
            return False
        least, most = meta.ge is None or value >= meta.ge, meta.le is None or value <= meta.le
        return least and most and (meta.gt is None or value > meta.gt)
    if origin is Literal:
        return isinstance(value, str | int) and value in get_args(hint)
    if origin is collections.abc.Callable:
        return callable(value)
    if kind in (bool, str, type(None)):
        return isinstance(value, np.bool_ | bool if kind is bool else kind)
    if origin is tuple:
        each = get_args(hint)[0] if get_args(hint)[1:] == (...,) else Any
        return isinstance(value, tuple) and all(_fits(one, each) for one in value)
    if not hasattr(hint, "array_type") or value is None:
        return True
    whole = hint.dtype is Float and getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u")
    return not whole and not isinstance(value, str | bytes | list | tuple | dict | set)


def _words(hint: object) -> str:
    (kind, meta), origin = _bounded(hint), get_origin(hint)
    bounds = [(" of {} or more", meta.ge), (" above {}", meta.gt), (" of at most {}", meta.le)]
    said = " and".join(words.format(f"{bound:g}") for words, bound in bounds if bound is not None)
    if origin is Literal:
        return " or ".join(map(repr, get_args(hint)))
    known = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text", type(None): "None"}
    known |= {collections.abc.Callable: "a function", tuple: "a tuple, such as (2,)"}
    return known.get(kind, known.get(origin, "an array of floats, such as jnp.zeros(2)")) + said


__all__ = [
    "AnyArray", "Array", "Bool", "Cond", "Count", "Float", "Int", "Key", "Mask", "Nats", "PyTree", "Scheduled",
    "Shaped", "Step", "UInt32", "Weight", "arms_of", "check_options", "checked_later",
]  # fmt: skip
