"""A trained model: how it is made, what is measured of it, and what is done with it or with several."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latens.trained.augmentation import augment as augment
    from latens.trained.experiment import prepare as prepare
    from latens.trained.experiment import train as train
    from latens.trained.paired import compare as compare
    from latens.trained.sweep_results import load_sweep as load_sweep
    from latens.trained.translation import translate as translate
    from latens.trained.warnings import Finding as Finding
    from latens.trained.warnings import diagnose as diagnose

__all__ = ["Finding", "augment", "compare", "diagnose", "load_sweep", "prepare", "train", "translate"]

_HOMES = {
    "augmentation": ("augment",),
    "experiment": ("prepare", "train"),
    "paired": ("compare",),
    "sweep_results": ("load_sweep",),
    "translation": ("translate",),
    "warnings": ("Finding", "diagnose"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"latens.trained.{_HOME[name]}"), name)
