"""Named, cited compositions: the only registry of the package, and the only bridge from configuration to objects."""

import configparser
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from msgspec import structs

from latens.config import Config, VAEConfig, from_json, override, to_json
from latens.data import Dataset, Schema
from latens.errors import ConfigError, nearest, refuse_other
from latens.kinds import kind_of
from latens.recipes.build import Recipe as Recipe
from latens.recipes.custom_parts import ROWS, TABLES
from latens.recipes.custom_parts import register_part as register_part
from latens.recipes.parts import ConfiguredParts, bind
from latens.recipes.plan import RECIPE, resolve
from latens.typing import Key, checked_later

from . import classifiers, deep, labels, series, single_cell


def _read() -> Iterator[Recipe]:
    """The recipes of `recipes.ini`."""
    words = configparser.RawConfigParser(delimiters="=", comment_prefixes="#")
    words.read(Path(__file__).with_name("recipes.ini"), encoding="utf-8")
    made = (single_cell, classifiers, deep, labels, series)
    own = {name: recipe for module in made for name, recipe in module.RECIPES.items()}
    for name in words.sections():
        said = {key.replace(" ", "_"): " ".join(value.split()) for key, value in words[name].items()}
        settings = dict(word.split("=", 1) for word in said.pop("set", "").split())
        made = own.get(name, RECIPE)
        config = override(structs.replace(made.config, recipe=name), settings)
        yield replace(made, name=name, config=config, **said)


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _read()}


def _of_model(what: object) -> Recipe | None:
    """A recipe whose model a function of the user's makes, `(schema, key) -> model`."""
    if isinstance(what, Recipe):
        return what
    if not callable(what):
        return None

    def build(schema: Schema, config: VAEConfig | ConfiguredParts, *, key: Key) -> Any:
        return what(schema, key)

    def resolved(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
        parts = bind(config)
        config = parts.config
        sampled = lambda key: build(data.schema, config, key=key).prior().sample(key=key)  # noqa: E731
        latents = eqx.filter_eval_shape(sampled, jax.random.key(0))
        size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(latents))
        posterior = structs.replace(config.posterior, latent_dim=size)
        network = structs.replace(config.network, hidden=())
        return resolve(parts.having(structs.replace(config, posterior=posterior, network=network)), data)

    summary = " ".join((getattr(what, "__doc__", None) or "a model of your own").split("\n\n")[0].split()).rstrip(".")
    words = {"summary": summary, "source": "your own", "use_when": "you wrote it"}
    return replace(RECIPE, **words, resolve=resolved, build=build)


def _add_model(name: str, what: object) -> Recipe | None:
    made = _of_model(what)
    return None if made is None else replace(made, name=name, config=structs.replace(made.config, recipe=name))


TABLES["model"] = ("recipe", RECIPES)
ROWS["model"] = _add_model


@checked_later
def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Args:
        name: The name, as `latens info recipes` lists it.

    Returns:
        The recipe.

    Raises:
        ConfigError: There is none; the message names the nearest one.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise ConfigError(
            f"there is no recipe {name!r:.100}.",
            where="recipe",
            fix=nearest(str(name), RECIPES) + " `latens info recipes` lists them.",
        )
    return RECIPES[name]


def recipe_of(config: Config) -> Recipe:
    """The recipe that a configuration names."""
    recipe = get_recipe(config.recipe)
    if type(config) is not type(recipe.config):
        message = f"recipe {config.recipe!r} does not take a configuration of this kind."
        raise ConfigError(message, where="recipe", fix="`latens fit --dry-run` shows a configuration that fits.")
    return recipe


def of_rows(config: Config, data: Dataset, settings: Mapping[str, Any] | None = None) -> Config:
    """The configuration; of text and of cells, where it is one of `default`, that of `text` or `cells`."""
    # The same settings: an option that differs from that of `default` stays, and what was set to the value that it has
    # there.
    name = kind_of(data.schema).recipe
    if not name or config.recipe != "default":
        return config
    if name == "cells" and not (data.cells and isinstance(config, VAEConfig) and config.likelihood.family == "auto"):
        return config
    own, usual = to_json(config), to_json(get_recipe("default").config)
    for part, options in to_json(get_recipe(name).config).items():
        if isinstance(options, dict):
            own[part] |= {name: value for name, value in options.items() if own[part][name] == usual[part][name]}
    return override(from_json(own | {"recipe": name}), settings or {})


def config_of(name: str, settings: dict[str, Any], stored: dict[str, Any] | None, *, where: str) -> Config:
    """Build the configuration of a recipe, or the stored one, with the settings."""
    # stored: a configuration as plain values, which may be one that was not yet resolved; None without one.
    if stored is not None and stored.get("resolved") is not False:
        return override(from_json(stored), settings)
    former = {} if stored is None else stored.get("settings")  # a run that was killed before it saw its data
    if not isinstance(former, dict):
        raise ConfigError("its settings are not an object.", where=where, fix="Give a whole configuration.")
    return override(override(get_recipe(name).config, former), settings)


@checked_later
def register(recipe: Recipe) -> None:
    """Make a recipe known by name, so that the command and model files can use it in this process."""
    refuse_other(
        recipe, Recipe, "recipe", "Give a latens.recipes.Recipe; register_part('model', name, function) makes one."
    )
    if recipe.name in RECIPES:
        raise ConfigError(f"a recipe {recipe.name!r} exists already", where="recipe", fix="Choose another name.")
    RECIPES[recipe.name] = recipe
