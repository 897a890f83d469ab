"""What a recipe is: a named, cited composition, and the only bridge from configuration to objects."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from msgspec import structs

from latens.config import Config
from latens.data import Dataset, Preparation, Schema
from latens.data.scaling import ScaledLater
from latens.io.reuse import Reused, fingerprint
from latens.training import Stage
from latens.typing import Key


class Size(NamedTuple):
    """How much there is to train on."""

    rows: int
    steps_per_epoch: int


@dataclass(frozen=True)
class Recipe:
    """A composition that the command, the estimators and model files know by name.

    **Arguments:** `config` its defaults; `resolve(config, data)` decides what was left open ("auto", None) and says
    why; `preparation(schema, config)` what the model sees of a row; `build(schema, config, key=)` makes the model
    without seeing data; `plan(schema, config, size)` the stages of training.
    """

    name: str
    summary: str
    source: str
    use_when: str
    config: Config
    resolve: Callable[[Any, Dataset], tuple[Any, list[str]]]
    preparation: Callable[[Schema, Any], Preparation]
    build: Callable[..., Any]
    plan: Callable[[Schema, Any, Size], tuple[Stage, ...]]


BUILDERS = Reused(16)
"""The programs that drew the first weights of the models last made in this process."""


def build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    """`recipe.build` as one program: the weights, drawn one by one, would be compiled one by one.

    Schemas that differ in their numbers alone, and configurations that differ in their seed, share it. `key` is one of
    Threefry, and the model does not depend on JAX's settings.
    """
    with jax.threefry_partitionable(True), jax.enable_x64(False):
        return _build_new(recipe, schema, config, key=key)


def _build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    if fingerprint(recipe.build) is None:
        return eqx.filter_jit(lambda key: recipe.build(schema, config, key=key))(key)
    config = structs.replace(config, training=structs.replace(config.training, seed=0))
    nan = float("nan")
    columns = None if schema.columns is None else tuple(replace(c, shift=nan, scale=nan) for c in schema.columns)
    blank = replace(schema, shift=nan, scale=nan, columns=columns)

    def make() -> Any:
        return eqx.filter_jit(lambda key, *numbers: recipe.build(ScaledLater.of(blank, numbers), config, key=key))

    given = [(schema.shift, schema.scale)] if schema.columns is None else [(c.shift, c.scale) for c in schema.columns]
    shifts, scales = np.array(given, np.float32).T
    numbers = (shifts[0], scales[0]) if schema.columns is None else (shifts, scales)
    return BUILDERS.get((recipe.build, blank, config), make)(key, *numbers)
