"""What a trained model and what follows it give for a few rows: as recorded."""

import numpy as np
import pytest
from records import meets_record

import latens
from latens.config import override
from latens.errors import ConfigError, DataError, UsageError
from latens.recipes import get_recipe
from latens.workflow.augmentation import augment
from latens.workflow.experiment import prepare
from latens.workflow.prior_refit import refit_prior

SMALL = {"network.hidden": [6], "posterior.latent_dim": 2, "training.steps": 4}
rng = np.random.default_rng(0)
CLASSES = np.arange(30) % 3
PIXELS = (rng.random((30, 2, 3)) < 0.2 + 0.3 * CLASSES[:, None, None]).astype(np.uint8)


def model_of(data, recipe="default", **settings):
    """A model before its first step: which its seed alone decides."""
    experiment = prepare(override(get_recipe(recipe).config, {**SMALL, **settings}), data)
    return experiment.trained(experiment.new_model())


@pytest.fixture(scope="module")
def pictures():
    return latens.read(PIXELS, label=np.array(["a", "b", "c"])[CLASSES])


@pytest.fixture(scope="module")
def pixels(pictures):
    return model_of(pictures, **{"likelihood.family": "bernoulli"})


def test_new_rows_are_those_recorded(pixels, pictures):
    around = augment(pixels, pictures, 2, seed=1)
    assert around.label.tolist() == ["a", "a", "b", "b", "c", "c"]
    assert np.array_equal(
        np.array(["a", "b", "c"])[CLASSES[around.around]], around.label
    )  # drawn around a row of its class
    meets_record("augmented around rows", [around.x, around.around])
    conditional = model_of(pictures, "conditional-vae", **{"likelihood.family": "bernoulli"})
    of_classes = augment(conditional, pictures, 3, mean=True)
    assert of_classes.around is None
    meets_record("augmented by class", of_classes.x)
    with pytest.raises(UsageError, match="per_class: must be a whole number of 1 or more, not 0"):
        augment(pixels, pictures, 0)
    with pytest.raises(ConfigError, match="no p\\(x"):
        augment(pixels, pictures, 1, draw="class")
    with pytest.raises(DataError, match="none of 30 rows has a label"):
        augment(pixels, latens.read(PIXELS), 1)


def test_priors_that_do_not_fit_are_refused(pixels, pictures):
    for kind, options, words in (
        ("magic", {}, "no prior 'magic'"),
        ("normal", {"components": 3}, "no option 'components'"),
        ("transformer", {}, "no prior for the latents"),
    ):
        with pytest.raises(ConfigError, match=words):
            refit_prior(pixels, pictures, kind, options=options)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_best_parameters_are_kept_where_that_is_asked_for(pictures, keep):
    config = override(get_recipe("default").config, {**SMALL, "training.keep": keep, "training.batch_size": 7})
    settings = prepare(config, pictures).settings
    assert settings.restore_best is (keep == "best")
    assert settings.batch_size == 7
