"""A trained model: what is measured of it, and what is done with it or with several."""

from typing import TYPE_CHECKING

from latens.runtime.lazy_imports import lazy_names

if TYPE_CHECKING:
    from latens.trained.augmentation import augment as augment
    from latens.trained.augmentation import translate as translate
    from latens.trained.metrics import Finding as Finding
    from latens.trained.metrics import diagnose as diagnose
    from latens.trained.paired import compare as compare
    from latens.trained.paired import load_sweep as load_sweep
    from latens.trained.sample_sets import classifier_two_sample_test as classifier_two_sample_test
    from latens.trained.sample_sets import frechet_distance as frechet_distance
    from latens.trained.sample_sets import precision_recall_density_coverage as precision_recall_density_coverage

__all__ = [
    "Finding", "augment", "classifier_two_sample_test", "compare", "diagnose", "frechet_distance", "load_sweep",
    "precision_recall_density_coverage", "translate",
]  # fmt: skip

_HOMES = {
    "augmentation": ("augment", "translate"),
    "metrics": ("Finding", "diagnose"),
    "paired": ("compare", "load_sweep"),
    "sample_sets": ("classifier_two_sample_test", "frechet_distance", "precision_recall_density_coverage"),
}
__getattr__ = lazy_names(__name__, _HOMES)
