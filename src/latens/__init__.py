"""latens is variational autoencoders for people who want to *use* them.

One command leads from a file of data to a trained, measured, explorable model; one scikit-learn style class does so in
Python; and underneath is a small algebra in which almost every published variant is a composition of a prior, a
posterior, a likelihood and an objective, never a new class hierarchy.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from latens.config import override as override
    from latens.data import Dataset as Dataset
    from latens.data import Schema as Schema
    from latens.data import load as load_data
    from latens.data import register_format as register_format
    from latens.distributions import StandardNormal as StandardNormal
    from latens.errors import LatensError as LatensError
    from latens.estimators import VAE as VAE
    from latens.estimators import Autoencoder as Autoencoder
    from latens.estimators import GenerativeClassifier as GenerativeClassifier
    from latens.estimators import VAEDetector as VAEDetector
    from latens.estimators import VAEForecaster as VAEForecaster
    from latens.estimators import VAEImputer as VAEImputer
    from latens.evaluation import elbo_parts as elbo_parts
    from latens.evaluation import log_marginal as log_marginal
    from latens.evaluation.pool import pool as pool
    from latens.explorer.notebook import explore as explore
    from latens.io.compilation import enable_compilation_cache as enable_compilation_cache
    from latens.kinds import Counts as Counts
    from latens.kinds import Numbers as Numbers
    from latens.kinds import Pictures as Pictures
    from latens.kinds import Steps as Steps
    from latens.kinds import Table as Table
    from latens.kinds import Text as Text
    from latens.models import AbstractLatentModel as AbstractLatentModel
    from latens.models import Conditional as Conditional
    from latens.models import LatentModel as LatentModel
    from latens.networks import Dense as Dense
    from latens.objectives import ELBO as ELBO
    from latens.recipes import RECIPES as RECIPES
    from latens.recipes import Recipe as Recipe
    from latens.recipes import get_recipe as get_recipe
    from latens.recipes import register_part as register_part
    from latens.training import Budget as Budget
    from latens.training import fit as fit
    from latens.training import make_optimizer as make_optimizer
    from latens.workflow.augment import augment as augment
    from latens.workflow.contest import compare as compare
    from latens.workflow.experiment import prepare as prepare
    from latens.workflow.experiment import train as train
    from latens.workflow.sweep import load_sweep as load_sweep
    from latens.workflow.trained import TrainedModel as TrainedModel
    from latens.workflow.trained import load as load
    from latens.workflow.translate import translate as translate

__all__ = [
    "ELBO",
    "RECIPES",
    "VAE",
    "AbstractLatentModel",
    "Autoencoder",
    "Budget",
    "Conditional",
    "Counts",
    "Dataset",
    "Dense",
    "GenerativeClassifier",
    "LatensError",
    "LatentModel",
    "Numbers",
    "Pictures",
    "Recipe",
    "Schema",
    "StandardNormal",
    "Steps",
    "Table",
    "Text",
    "TrainedModel",
    "VAEDetector",
    "VAEForecaster",
    "VAEImputer",
    "augment",
    "compare",
    "elbo_parts",
    "enable_compilation_cache",
    "explore",
    "fit",
    "get_recipe",
    "load",
    "load_data",
    "load_sweep",
    "log_marginal",
    "make_optimizer",
    "override",
    "pool",
    "prepare",
    "register_format",
    "register_part",
    "train",
    "translate",
]

# The same names, imported when they are first used: `import latens` alone must cost nothing (JAX takes seconds).
_HOMES = {
    "latens.config": ("override",),
    "latens.data": ("Dataset", "Schema", "load_data", "register_format"),
    "latens.distributions": ("StandardNormal",),
    "latens.errors": ("LatensError",),
    "latens.estimators": ("VAE", "Autoencoder", "GenerativeClassifier", "VAEDetector", "VAEForecaster", "VAEImputer"),
    "latens.evaluation": ("elbo_parts", "log_marginal"),
    "latens.workflow.augment": ("augment",),
    "latens.workflow.contest": ("compare",),
    "latens.workflow.sweep": ("load_sweep",),
    "latens.workflow.experiment": ("prepare", "train"),
    "latens.evaluation.pool": ("pool",),
    "latens.kinds": ("Counts", "Numbers", "Pictures", "Steps", "Table", "Text"),
    "latens.models": ("AbstractLatentModel", "Conditional", "LatentModel"),
    "latens.io.compilation": ("enable_compilation_cache",),
    "latens.networks": ("Dense",),
    "latens.explorer.notebook": ("explore",),
    "latens.objectives": ("ELBO",),
    "latens.recipes": ("RECIPES", "Recipe", "get_recipe", "register_part"),
    "latens.workflow.trained": ("TrainedModel", "load"),
    "latens.workflow.translate": ("translate",),
    "latens.training": ("Budget", "fit", "make_optimizer"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_RENAMED = {"load_data": "load"}


def __getattr__(name: str) -> object:
    import gc
    from importlib import import_module
    from sys import modules

    if name not in _HOME:
        raise AttributeError(f"module 'latens' has no attribute {name!r}")
    on = gc.isenabled()
    gc.disable()  # what is imported stays: collecting takes a fifth of the time of an import
    try:
        value = getattr(import_module(_HOME[name]), _RENAMED.get(name, name))
    finally:
        if on:
            gc.enable()
    if (trained := modules.get("latens.workflow.trained")) is not None:
        import_module("latens.verbs.kernel").attach(trained.TrainedModel)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
