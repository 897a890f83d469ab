"""Named, cited compositions: the only registry of the package, and the only bridge from configuration to objects."""

import configparser
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from msgspec import structs

from latens.config import Config, VAEConfig, from_json, override, to_json
from latens.data import Dataset, Schema
from latens.errors import ConfigError, DataError, nearest, refuse_other
from latens.evidence.rivals import season_of
from latens.kinds import kind_of
from latens.recipes.build import Recipe as Recipe
from latens.recipes.custom_parts import ROWS, TABLES
from latens.recipes.custom_parts import register_part as register_part
from latens.recipes.parts import ConfiguredParts, bind
from latens.recipes.pictures import for_hierarchy
from latens.recipes.plan import RECIPE, resolve
from latens.recipes.state_space_parts import step_schema
from latens.recipes.step_starts import changes_matter
from latens.typing import Key, checked_later

from . import classifiers, labels

BATCH = 32
"""Sequences of a batch."""
STEPS = 3000
"""The most steps of training on sequences where no limit is given."""
WORLD_STEPS = 1000
"""The same for environments: 700 steps were enough for CartPole, whose random episodes are short."""
MOST_LATENTS = 24
"""Latents of a step, at the most, where their number is not given."""

OF_TWO_LEVELS = {"features": 8, "block": 2, "neighbour_units": 16, "rows": 4, "sides": 5}
"""Options of the likelihood of pixels of two levels, chosen on validation pictures of binarised MNIST."""


def _resolve_deep(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    found, reasons = for_hierarchy(parts, data)
    config, others = resolve(parts.having(found), data)
    return config, [*reasons, *others]


def _resolve_pixels(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    config = parts.config
    family = config.likelihood.family
    if data.schema.kind == "binary" or config.data.binarize != "none":
        # The same head for two levels; networks of pictures with many levels are no default for these.
        kind, options = "dense" if config.network.kind == "auto" else config.network.kind, config.likelihood.options
        if family == "autoregressive-logistics":
            family, options = "autoregressive-bernoulli", OF_TWO_LEVELS | options
        config = structs.replace(
            config,
            likelihood=structs.replace(config.likelihood, family=family, options=options),
            network=structs.replace(config.network, kind=kind),
        )
    config, reasons = resolve(parts.having(config), data)
    if family.startswith("autoregressive-"):
        reasons = [f"likelihood: {family}, of each pixel given the latents and those before it that are near", *reasons]
    return config, reasons


NOT_COUNTS = "Give counts: --layer NAME, where a layer holds them; or use --recipe default for other numbers."


def _resolve_cells(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    """Decide what the configuration leaves open; batches are read where there are any."""
    parts, reasons = bind(config), []
    config, schema = parts.config, data.schema
    if parts.likelihood.depth and schema.kind not in parts.likelihood.kinds:
        what = f"holds no counts (its numbers are {schema.kind}), which this recipe needs."
        raise DataError(what, where=data.name, fix=NOT_COUNTS)
    if config.label.kind == "beside" and not schema.conditions:
        config = structs.replace(config, label=structs.replace(config.label, kind="none"))
    if config.network.linear is None and config.start.kind == "closed-form" and parts.likelihood.depth:
        config = structs.replace(config, network=structs.replace(config.network, linear=True))
        seen = "residuals of counts" if parts.likelihood.read.sees == "residuals" else "log-normalised counts"
        reasons.append(f"networks that begin at the principal components of {seen} (--set start=none)")
    config, more = resolve(parts.having(config), data)
    return config, reasons + more


def _resolve_series(config: VAEConfig | ConfiguredParts, data: Dataset) -> tuple[VAEConfig, list[str]]:
    parts = bind(config)
    config, reasons = parts.config, []
    columns = math.prod(step_schema(data.schema).shape)
    posterior, training, likelihood = config.posterior, config.training, config.likelihood
    options: dict[str, Any] = dict(posterior.options)
    if "lags" not in options and config.recipe in ("deep-kalman", "vrnn"):
        season, steps = season_of(*_some(data)), data.schema.shape[0]
        seasons = [] if season is None else [lag for lag in (season, 2 * season, 3 * season) if lag <= steps // 2]
        options["lags"] = [*([1] if config.recipe == "vrnn" else []), *seasons]
        if seasons:
            apart = " and ".join(map(str, seasons))
            reasons.append(
                f"training values repeat after {season} steps: each step receives the values {apart} steps earlier"
            )
        posterior = structs.replace(posterior, options=options)
    if config.recipe == "world" and "scaled" not in options and config.start.kind == "closed-form":
        options["scaled"] = True
        posterior = structs.replace(posterior, options=options)
    if posterior.latent_dim is None:
        each = 1 if options.get("lags") else 3
        posterior = structs.replace(posterior, latent_dim=min(MOST_LATENTS, max(4, each * columns)))
        reasons.append(f"{posterior.latent_dim} latent units a step, for {columns} columns")
    if config.recipe == "world" and config.posterior.latent_dim is None:
        size, reason = _world_latents(data, columns)
        posterior = structs.replace(posterior, latent_dim=size)
        reasons[-1] = f"{size} latent units a step: {reason}"
    coins = _coins(data)
    if likelihood.family == "auto" and data.schema.cells.real and coins and config.recipe != "linear-gaussian":
        likelihood = structs.replace(likelihood, family="step-columns", options={"binary": coins})
        reasons.append(f"likelihood: step-columns, because {len(coins)} of {columns} columns hold only 0 and 1")
    if training.batch_size is None:
        training = structs.replace(training, batch_size=BATCH)
        reasons.append(f"batches of {BATCH} rows")
    if training.epochs is None and training.steps is None and training.minutes is None:
        steps = WORLD_STEPS if config.recipe == "world" else STEPS
        training = structs.replace(training, steps=steps)
        reasons.append(f"at most {steps} steps")
    found = structs.replace(config, posterior=posterior, training=training, likelihood=likelihood)
    config, others = resolve(parts.having(found), data)
    return config, [*reasons, *others]


def _world_latents(data: Dataset, columns: int) -> tuple[int, str]:
    """How many latents a step of an environment has: its numbers and, where these hide a velocity, their change."""
    x, seen = _some(data)
    numbers = [place for place in range(columns) if place not in _coins(data)]
    inputs = (data.cond or {}).get("inputs")
    if not numbers or len(numbers) > MOST_LATENTS // 2 or inputs is None:
        return min(MOST_LATENTS, max(4, 2 * len(numbers))), f"for {columns} columns"
    given = np.asarray(inputs[data.subset("train")[:256]], np.float64)
    spread = np.array([x[..., place][seen[..., place]].std() for place in numbers])
    scaled = np.where(seen[..., numbers], x[..., numbers], 0.0) / np.maximum(spread, 1e-9)
    if changes_matter(scaled, seen[..., numbers], given):
        return 2 * len(numbers), f"{len(numbers)} numbers and their last change, which says more of the next step"
    return len(numbers), f"{len(numbers)} numbers, whose last change says little more of the next step"


def _some(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Some training rows, and where they are observed."""
    rows = data.rows(data.subset("train")[:256])
    x = np.asarray(rows.x, np.float64)
    x = x.reshape(*x.shape[:2], -1)
    return x, np.ones(x.shape, bool) if rows.mask is None else np.asarray(rows.mask).reshape(x.shape)


def _coins(data: Dataset) -> list[int]:
    """The columns of 0 and 1 of steps that are vectors."""
    x, seen = _some(data)
    if len(data.schema.shape) != 2:
        return []
    either: Any = [bool(np.all(np.isin(x[..., c][seen[..., c]], (0.0, 1.0)))) for c in range(x.shape[2])]
    return [place for place, holds in enumerate(either) if holds]


_DEEP, _SERIES = replace(RECIPE, resolve=_resolve_deep), replace(RECIPE, resolve=_resolve_series)
_OWN = {
    **classifiers.RECIPES, **labels.RECIPES, "cells": replace(RECIPE, resolve=_resolve_cells),
    **dict.fromkeys(("deep-kalman", "vrnn", "world", "linear-gaussian"), _SERIES),
    "pixel-vae": replace(RECIPE, resolve=_resolve_pixels), "ladder-conv": _DEEP, "very-deep-vae": _DEEP,
}  # fmt: skip
"""What recipes that are no `default` begin with."""


def _read() -> Iterator[Recipe]:
    """The recipes of `recipes.ini`."""
    words = configparser.RawConfigParser(delimiters="=", comment_prefixes="#")
    words.read(Path(__file__).with_name("recipes.ini"), encoding="utf-8")
    for name in words.sections():
        said = {key.replace(" ", "_"): " ".join(value.split()) for key, value in words[name].items()}
        settings = dict(word.split("=", 1) for word in said.pop("set", "").split())
        made = _OWN.get(name, RECIPE)
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


def as_split(config: Config, data: Dataset) -> Dataset:
    """The data with the rows that validate as the configuration has them: rows of their own, the test rows, or none."""
    if config.data.validation == "none":
        return data.validation_as_train()
    if config.data.validation == "split" or not data.held_out:
        return data
    if not data.count("test"):
        raise DataError("there are no test rows to validate on.", where=data.name)
    return data.test_as_validation()


def as_trained(config: Config | None, data: Dataset) -> Dataset:
    """The data with the rows that validate as the trained model leaves them: none, where it was trained on all."""
    if not isinstance(config, VAEConfig) or config.training.final != "all":
        return data
    joined = data.validation_as_train()
    vars(joined)["fingerprint"] = data.fingerprint  # they are the same data
    return joined


def config_of(name: str, settings: dict[str, Any], stored: dict[str, Any] | None, *, where: str) -> Config:
    """Build the configuration of a recipe, or the stored one, with the settings."""
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
