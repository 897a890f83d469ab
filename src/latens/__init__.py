"""latens is variational autoencoders for people who want to *use* them.

One command leads from a file of data to a trained, measured, explorable model; one scikit-learn style class does so in
Python; and underneath is a small algebra in which almost every published variant is a composition of a prior, a
posterior, a likelihood and an objective, never a new class hierarchy.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from latens import config as config
    from latens import data as data
    from latens import distributions as distributions
    from latens import environments as environments
    from latens import estimators as estimators
    from latens import evidence as evidence
    from latens import explorer as explorer
    from latens import figures as figures
    from latens import fitting as fitting
    from latens import latents as latents
    from latens import models as models
    from latens import networks as networks
    from latens import objectives as objectives
    from latens import predictive as predictive
    from latens import recipes as recipes
    from latens import trained as trained
    from latens import training as training
    from latens.data import Dataset as Dataset
    from latens.data import load as read
    from latens.errors import LatensError as LatensError
    from latens.estimators import VAE as VAE
    from latens.estimators import Autoencoder as Autoencoder
    from latens.estimators import GenerativeClassifier as GenerativeClassifier
    from latens.estimators import VAEDetector as VAEDetector
    from latens.estimators import VAEForecaster as VAEForecaster
    from latens.estimators import VAEImputer as VAEImputer
    from latens.kinds import Counts as Counts
    from latens.kinds import Numbers as Numbers
    from latens.kinds import Pictures as Pictures
    from latens.kinds import Steps as Steps
    from latens.kinds import Table as Table
    from latens.kinds import Text as Text
    from latens.models import Conditional as Conditional
    from latens.models import LatentModel as LatentModel
    from latens.networks import Dense as Dense
    from latens.objectives import ELBO as ELBO
    from latens.recipes import register_part as register_part
    from latens.trained.trained_model import TrainedModel as TrainedModel
    from latens.trained.trained_model import load as load
    from latens.training import fit as fit

__all__ = [
    "ELBO",
    "VAE",
    "Autoencoder",
    "Conditional",
    "Counts",
    "Dataset",
    "Dense",
    "GenerativeClassifier",
    "LatensError",
    "LatentModel",
    "Numbers",
    "Pictures",
    "Steps",
    "Table",
    "Text",
    "TrainedModel",
    "VAEDetector",
    "VAEForecaster",
    "VAEImputer",
    "fit",
    "load",
    "read",
    "register_part",
]

# The same names, imported when they are first used: `import latens` alone must cost nothing (JAX takes seconds).
_HOMES = {
    "latens.data": ("Dataset", "read"),
    "latens.errors": ("LatensError",),
    "latens.estimators": ("VAE", "Autoencoder", "GenerativeClassifier", "VAEDetector", "VAEForecaster", "VAEImputer"),
    "latens.kinds": ("Counts", "Numbers", "Pictures", "Steps", "Table", "Text"),
    "latens.models": ("Conditional", "LatentModel"),
    "latens.networks": ("Dense",),
    "latens.objectives": ("ELBO",),
    "latens.recipes": ("register_part",),
    "latens.training": ("fit",),
    "latens.trained.trained_model": ("TrainedModel", "load"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_RENAMED = {"read": "load"}
_ROOMS = (
    "config", "data", "distributions", "environments", "estimators", "evidence", "explorer", "figures", "fitting",
    "latents", "models", "networks", "objectives", "predictive", "recipes", "trained", "training",
)  # fmt: skip
"""What has all other names: `latens.distributions.DiagonalNormal`."""


def __getattr__(name: str) -> object:
    import gc
    from importlib import import_module
    from sys import modules

    if name in _ROOMS:
        return import_module(f"latens.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'latens' has no attribute {name!r}")
    on = gc.isenabled()
    gc.disable()  # what is imported stays: collecting takes a fifth of the time of an import
    try:
        value = getattr(import_module(_HOME[name]), _RENAMED.get(name, name))
    finally:
        if on:
            gc.enable()
    if (trained := modules.get("latens.trained.trained_model")) is not None:
        import_module("latens.commands.base").attach(trained.TrainedModel)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
