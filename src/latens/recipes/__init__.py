"""Named, cited compositions: the only registry of the package, and the only bridge from configuration to objects."""

from latens.building.recipe import Recipe as Recipe
from latens.config import Config
from latens.errors import ConfigError, nearest

from . import (
    bounds,
    classical,
    classifiers,
    discrete,
    labels,
    missing,
    moving,
    multimodal,
    quantised,
    representations,
    spaces,
    structure,
    tutorials,
)

_THEMES = (
    tutorials,
    classifiers,
    bounds,
    structure,
    representations,
    labels,
    discrete,
    spaces,
    classical,
    quantised,
    moving,
    missing,
    multimodal,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for theme in _THEMES for recipe in theme.RECIPES}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Args:
        name: The name, as `latens recipes` lists it.

    Returns:
        The recipe.

    Raises:
        ConfigError: There is none; the message names the nearest one.
    """
    if name not in RECIPES:
        raise ConfigError(
            f"there is no recipe {name!r}.",
            where="recipe",
            fix=nearest(name, RECIPES) + " `latens recipes` lists them.",
        )
    return RECIPES[name]


def recipe_of(config: Config) -> Recipe:
    """The recipe that a configuration names.

    Args:
        config: The configuration.

    Returns:
        The recipe.

    Raises:
        ConfigError: There is none, or it takes another kind of configuration.
    """
    recipe = get_recipe(config.recipe)
    if type(config) is not type(recipe.config):
        message = f"recipe {config.recipe!r} does not take a configuration of this kind."
        raise ConfigError(message, where="recipe", fix="`latens fit --dry-run` shows a configuration that fits.")
    return recipe


def register(recipe: Recipe) -> None:
    """Make a recipe known by name, so that the command and model files can use it in this process.

    Args:
        recipe: The recipe.

    Raises:
        ConfigError: The name is taken.
    """
    if recipe.name in RECIPES:
        raise ConfigError(f"a recipe {recipe.name!r} exists already", where="recipe", fix="Choose another name.")
    RECIPES[recipe.name] = recipe
