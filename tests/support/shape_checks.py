"""The checker of types at run time, which is built where a function is first called."""

from collections.abc import Callable
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
