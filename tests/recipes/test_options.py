"""Options of every objective, head, prior and distribution: what an annotation allows is taken, all else refused."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest

from latens import typing as words
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models import AbstractHead, AbstractModelPrior
from latens.objectives import ELBO, AbstractObjective, InfoVAE, ScoreFunction


def below(kind: type) -> list[type]:
    """The classes of latens that are of a kind."""
    found = [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]
    known = [one for one in dict.fromkeys(found) if one.__module__.startswith("latens.")]
    return [one for one in known if not inspect.isabstract(one)]


TOPS = (AbstractObjective, AbstractHead, AbstractModelPrior, AbstractDistribution)
KINDS = {f"{kind.__module__}.{kind.__name__}": kind for top in TOPS for kind in below(top)}


def values_of(hint: Any) -> tuple[list[Any], list[Any]]:
    """Values that a type allows, and some that it does not."""
    arm = words.arms_of(hint)[0]
    kind, meta = words._bounded(arm)
    if kind in (int, float):
        good = kind(min(value for value in (meta.le, meta.ge, (meta.gt or 0) + 2) if value is not None))
        beyond = [bound + step for bound, step in ((meta.ge, -1), (meta.le, 1)) if bound is not None]
        odd = [0.5] if kind is int else []
        return [good, np.asarray(good)[()]], ["4", [1], True, np.nan, np.inf, *odd, *beyond, *[0] * (meta.gt == 0)]
    if get_origin(arm) is Literal:
        return list(get_args(arm)), ["no such word", 0.5, ["auto"]]
    if kind is bool:
        return [True, np.bool_(False)], [2, "yes"]
    if get_origin(arm) is tuple:
        return [()], ["4", 4, [2]]
    if get_origin(arm) is Callable:
        return [len], ["len", 1.0]
    return [None], ["4", [0.0], (1.0,)] if hasattr(hint, "array_type") else []


@pytest.mark.parametrize("name", KINDS)
def test_options_are_of_their_types(name: str) -> None:
    hints = words._hints(KINDS[name])
    allowed = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(KINDS[name])}

    def check(**options: Any) -> None:
        part = object.__new__(KINDS[name])  # the checks of types that tests make would be first
        for each, values in allowed.items():
            object.__setattr__(part, each, options.get(each, values[0][0]))
        words.check_options(part)

    for each, (good, bad) in allowed.items():
        for value in good:
            check(**{each: value})
        for value in bad:
            with pytest.raises(ConfigError, match="must be ") as error:
                check(**{each: value})
            assert error.value.where.endswith(f".{each}")


def test_options_that_do_not_go_together_are_refused() -> None:
    for make in (lambda: ELBO(free_bits=1.0, capacity=2.0), lambda: InfoVAE(weight=0.5), lambda: ScoreFunction(1)):
        with pytest.raises(ConfigError):
            make()
