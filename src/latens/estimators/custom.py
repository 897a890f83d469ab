"""A user's own networks in the place of a recipe's."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from latens.data import Schema
from latens.errors import ConfigError
from latens.models import LatentModel
from latens.typing import Key

Network = Callable[..., Any]
"""A network (an equinox module or a function of one example), or a factory `(schema, key) -> network`."""


def with_networks(
    model: LatentModel, schema: Schema, *, encoder: Network | None, decoder: Network | None, key: Key
) -> LatentModel:
    """Put the user's networks in the place of a model's; the head after each stays.

    Args:
        model: The model of a recipe.
        schema: Schema of the rows, which a factory reads.
        encoder: A network, or a factory `(schema, key) -> network`; None keeps the recipe's.
        decoder: The same for the decoder.
        key: A JAX random key for factories.

    Returns:
        The model with these networks.

    Raises:
        ConfigError: A part of the model is not one network and a head.
    """
    for number, (part, given) in enumerate((("encoder", encoder), ("decoder", decoder))):
        if given is None:
            continue
        if not hasattr(getattr(model, part), "network"):
            what = f"the {part} of this recipe is not one network, so none can take its place."
            raise ConfigError(what, where=part, fix="Use another recipe, for example default.")
        network = given(schema, jax.random.fold_in(key, number)) if _is_factory(given) else given
        model = eqx.tree_at(lambda m, p=part: getattr(m, p).network, model, network)
    return model


def _is_factory(network: Network) -> bool:
    """Whether this makes a network: it takes a `schema`, or two arguments by position. Modules are networks."""
    if isinstance(network, eqx.Module):
        return False
    try:
        parameters = inspect.signature(network).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) == 2 or any(p.name == "schema" for p in parameters)
