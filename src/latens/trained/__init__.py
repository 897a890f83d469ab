"""A trained model: how it is made, what is measured of it, and what is done with it or with several."""

from typing import TYPE_CHECKING

from latens.io.lazy_imports import lazy_names

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
__getattr__ = lazy_names(__name__, _HOMES)
