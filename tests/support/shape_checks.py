"""The checker of types at run time, which is built where a function is first called."""

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

from beartype import BeartypeConf, beartype

CONFIGURED: Callable[[Any], Any] = beartype(conf=BeartypeConf(is_pep484_tower=True))


def at_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments checked by beartype; an int is a float, as for every static checker.

    Building the checks of every function of latens takes a third of what pytest needs to find the tests, and one worker
    calls few of them.
    """
    built: list[Callable[..., Any]] = []

    def checked(*args: Any, **kwargs: Any) -> Any:
        if not built:
            built.append(CONFIGURED(function))
        return built[0](*args, **kwargs)

    return checked


SHAPED = re.compile(r"jaxtyping|\b(Float|Int|Integer|Bool|Shaped|UInt8|Complex|Num|Real|Inexact|Key|PRNGKeyArray)\b")


def shaped_alone(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator of `install_import_hook` that leaves functions without a shape in their annotations as they are.

    What these take and give the static checker knows; they are seven of ten, and called most often.
    """

    def decorator(*, typechecker: str) -> Callable[[Any], Any]:
        made = jaxtyped(typechecker=typechecker)

        def decorated(one: Any) -> Any:
            plain = isinstance(one, FunctionType) and not any(map(_is_shaped, one.__annotations__.values()))
            return one if plain else made(one)

        return decorated

    return decorator


def _is_shaped(annotation: Any) -> bool:
    return SHAPED.search(annotation if isinstance(annotation, str) else repr(annotation)) is not None
