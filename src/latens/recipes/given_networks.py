"""A user's own networks in the place of a recipe's."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.config import NetworkConfig
from latens.data import Preparation, Schema
from latens.errors import ConfigError, LatensError
from latens.models import LatentModel
from latens.recipes.part_tables import lookup
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
