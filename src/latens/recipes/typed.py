"""The recipes that people know by name, as functions whose arguments an editor completes.

`typed.pyi` is what editors and type checkers read; `python -m latens.recipes.typed` prints it, and a test holds it
against the tables.
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

from latens.config import VAEConfig, override
from latens.errors import ConfigError
from latens.recipes import get_recipe
from latens.recipes.parts.options import OBJECTIVES, defaults_of, options_of
from latens.recipes.parts.posteriors import POSTERIORS
from latens.recipes.parts.priors import PRIORS

NAMES = (
    "aae", "autoencoder", "beta-tc-vae", "beta-vae", "conditional-vae", "conv-vae", "dip-vae-i", "factor-vae",
    "free-bits", "gumbel-softmax", "hyperspherical-vae", "iaf", "info-vae", "iwae", "ladder-vae", "m2",
    "miwae-missing", "mixture-prior", "mvae", "prodlda", "student-t-vae", "swae", "vade", "vamp-prior", "vq-vae",
    "wae-mmd",
)  # fmt: skip
"""The recipes that have a function, by name."""

_SHARED: dict[str, tuple[str, str, Any]] = {
    "latent_dim": ("posterior.latent_dim", "int | None", None),
    "hidden": ("network.hidden", "Sequence[int] | None", None),
    "likelihood": ("likelihood.family", "str", "auto"),
}


def arguments(name: str) -> dict[str, tuple[str, str, Any]]:
    """The arguments of the function of a recipe."""
    # returns: by argument: the option that it sets, its type and its default, which is the recipe's.
    config = get_recipe(name).config
    assert isinstance(config, VAEConfig)
    found, posterior = dict(_SHARED), POSTERIORS[config.posterior.kind]
    objective: Any = OBJECTIVES[config.objective.name]
    prior = PRIORS[posterior.prior if config.prior.kind == "auto" else config.prior.kind]
    rows = (("objective", options_of(objective)), ("posterior", posterior.options), ("prior", prior.options))
    for part, options in rows:
        hints, own = typing.get_type_hints(options), getattr(config, part).options
        for field, default in defaults_of(options).items():
            argument = field if field not in found else f"{part}_{field}"
            found[argument] = (f"{part}.{field}", _written(hints[field]), own.get(field, default))
    return found


def _written(hint: Any) -> str:
    """A type as source code."""
    arms = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"Literal[{', '.join(map(repr, arms))}]"
    if arms:
        return " | ".join(map(_written, arms))
    return "None" if hint is type(None) else hint.__name__


def function_of(name: str) -> Callable[..., VAEConfig]:
    """The function of a recipe."""
    recipe, known = get_recipe(name), arguments(name)
    kinds = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(n, kinds, default=row[2]) for n, row in known.items()])

    def make(**given: Any) -> VAEConfig:
        if unknown := sorted(set(given) - set(known)):
            what = f"{make.__name__} has no argument {unknown[0]!r}."
            raise ConfigError(what, where=unknown[0], fix=f"It takes {', '.join(known)}.")
        assert isinstance(recipe.config, VAEConfig)
        return override(recipe.config, {known[argument][0]: value for argument, value in given.items()})

    make.__name__ = make.__qualname__ = name.replace("-", "_")
    make.__doc__ = f"{recipe.summary[0].upper()}{recipe.summary[1:]}.\n\nSource: {recipe.source}."
    vars(make)["__signature__"] = signature
    return make


FUNCTIONS: dict[str, Callable[..., VAEConfig]] = {name.replace("-", "_"): function_of(name) for name in NAMES}
"""The functions by their names in Python."""


_HEAD = """# Written by `python -m latens.recipes.typed`.
from collections.abc import Callable, Sequence
from typing import Any, Literal

from latens.config import VAEConfig

NAMES: tuple[str, ...]
FUNCTIONS: dict[str, Callable[..., VAEConfig]]

def arguments(name: str) -> dict[str, tuple[str, str, Any]]: ...
def function_of(name: str) -> Callable[..., VAEConfig]: ...
def stub() -> str: ...
"""


def stub() -> str:
    """What editors and type checkers are told: a line for each function, and its docstring."""
    lines = []
    for name, function in zip(NAMES, FUNCTIONS.values()):
        given = ", ".join(
            f"{argument}: {kind} = {default!r}" for argument, (_, kind, default) in arguments(name).items()
        )
        doc = (function.__doc__ or "").replace("\n", "\n    ").replace("\n    \n", "\n\n")
        lines += [f"def {function.__name__}(*, {given}) -> VAEConfig:", f'    """{doc}"""']
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(stub(), end="")
