"""What a recipe is: a named, cited composition, and the only bridge from configuration to objects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import numpy as np
from msgspec import structs

from latens.config import Config, VAEConfig
from latens.data import Dataset, Preparation, Schema
from latens.data.schema import ScaledLater, unscaled
from latens.io import random_keys
from latens.io.compilation import less_work
from latens.io.program_cache import Reused, fingerprint
from latens.recipes.custom_parts import has_own
from latens.recipes.given_networks import with_networks
from latens.training import Stage
from latens.typing import Key


class Size(NamedTuple):
    """How much there is to train on."""

    rows: int  # the number of training rows
    steps_per_epoch: int  # the number of steps of an epoch


@dataclass(frozen=True)
class Recipe:
    """A composition that the command, the estimators and model files know by name."""

    name: str
    summary: str  # what it is, in a few words
    source: str  # the paper that it follows
    use_when: str  # when to take it, from the user's point of view
    config: Config  # the configuration with its defaults
    resolve: Callable[[Any, Dataset], tuple[Any, list[str]]]  # decides what was left open ("auto", None), and says why
    preparation: Callable[[Schema, Any], Preparation]  # what the model sees of a row
    build: Callable[..., Any]  # makes the model from schema, configuration and key, without seeing data
    plan: Callable[[Schema, Any, Size], tuple[Stage, ...]]  # the stages of training
    # Looks up what a configuration names, once: from a configuration, and what `bind` gave for a former one, it gives
    # what the four functions take in the place of a configuration.
    bind: Callable[..., Any] = lambda config, known=None: config

    def model(self, schema: Schema, config: Any, *, key: Key) -> Any:
        """The untrained model: what `build` makes, with the networks that the configuration names."""
        parts = self.bind(config)
        made, config = self.build(schema, parts, key=key), getattr(parts, "config", parts)
        if not isinstance(config, VAEConfig) or (config.network.encoder is None and config.network.decoder is None):
            return made
        seed = config.training.seed
        start = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), random_keys.INITIAL_NETWORKS)
        return with_networks(made, schema, config.network, key=start)


BUILDERS = Reused(16)
"""The programs that initialised the models last made in this process."""


def build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    """`recipe.model` as one program: the weights, drawn one by one, would be compiled one by one."""
    # Schemas that differ in their numbers alone, and configurations that differ in their seed, share it. The model does
    # not depend on JAX's settings.
    with jax.threefry_partitionable(True), jax.enable_x64(False):
        return _build_new(recipe, schema, config, key=key)


def _build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    parts = recipe.bind(config)
    config = getattr(parts, "config", parts)
    if has_own(config) or fingerprint(recipe.build) is None:
        return eqx.filter_jit(lambda key: recipe.model(schema, parts, key=key))(key)
    config = structs.replace(config, training=structs.replace(config.training, seed=0))
    shared = recipe.bind(config, parts)
    blank, numbers = unscaled(schema)

    def make() -> Any:
        build = lambda key, *numbers: recipe.model(ScaledLater.of(blank, numbers), shared, key=key)  # noqa: E731
        return cast(Any, eqx.filter_jit)(build, compiler_options=less_work(0))

    made = BUILDERS.get((recipe.build, blank, config), make)(key, *numbers)
    return jax.tree.map(lambda leaf: jax.device_put(leaf) if isinstance(leaf, np.ndarray) else leaf, made)
