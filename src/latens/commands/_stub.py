"""The methods made of verbs, as editors and type checkers read them: `python -m latens.commands._stub` prints it."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from latens.commands.base import Arg, ModelCommand, arguments_of, method, verbs
from latens.trained.trained_model import TrainedModel


def stub() -> str:
    """Write `trained/methods.pyi`: each verb that is not a method of `TrainedModel` by itself."""
    lines = ["# Written by `python -m latens.commands._stub`.", "from typing import Any, Literal", ""]
    lines += ["from latens.commands.base import Result", "", "class Methods:"]
    for name, verb in verbs().items():
        own = vars(TrainedModel).get(name)
        if issubclass(verb, ModelCommand) and (own is None or hasattr(own, "verb")):
            made: Callable[..., Any] = method(verb)
            lines += [f"    def {name}(", "        self,"]
            lines += [f"        {each}," for each in _parameters(verb, made)]
            lines += ["    ) -> Result:", f'        """{made.__doc__}"""']
    return "\n".join(lines) + "\n"


def _parameters(verb: type[ModelCommand], made: Callable[..., Any]) -> list[str]:
    choices = {name: (meta.extra or {})["arg"] for name, _, _, meta in arguments_of(verb)}
    found = []
    for name, parameter in list(inspect.signature(made).parameters.items())[1:]:
        asked: Arg | None = choices.get(name)
        kind = _words(parameter.annotation, asked.choices if asked else ())
        default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
        found.append(f"{name}: {kind}{default}")
    return found


def _words(kind: object, choices: tuple[str, ...]) -> str:
    if get_origin(kind) in (None, tuple, list, Literal):
        named = f"Literal{list(choices)!r}" if kind is str and choices else getattr(kind, "__name__", str(kind))
        return str(kind) if get_args(kind) else "None" if kind is type(None) else named.removeprefix("typing.")
    return " | ".join(_words(one, choices) for one in get_args(kind))


if __name__ == "__main__":
    print(stub(), end="")
