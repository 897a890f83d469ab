"""Every kind of model has further pictures that can be drawn: the names of each, and that all can be saved."""

import pytest
from picture_fixtures import beyond_first

from latens.config import override
from latens.data import load
from latens.pictures.draw import draw_pictures
from latens.pictures.model_graph import graph_of
from latens.recipes import get_recipe
from latens.trees import count_parameters
from latens.workflow.experiment import prepare

EVERY = "graph posterior-predictive"
NORMAL = "graph traversals interpolations arithmetic posterior-predictive"
KINDS = {
    "default": NORMAL.replace("arithmetic", "arithmetic reach") + " aggregated-posterior",
    "conditional-vae": NORMAL.replace(" arithmetic", ""),
    "vq-vae": EVERY,
    "sigmoid-belief-network": EVERY,
    "tiao": "graph two-views traversals interpolations arithmetic reach posterior-predictive aggregated-posterior",
    "mlq-autoencoder": "graph traversals interpolations arithmetic posterior-predictive",
    "mlq-gaussian": "graph",
}


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_the_pictures_of_a_kind(name):
    recipe = get_recipe(name)
    small = {"network.hidden": [16]} if name not in ("mlq-gaussian", "vq-vae", "sigmoid-belief-network") else {}
    experiment = prepare(override(recipe.config, small), load("digits"))
    trained = experiment.trained(experiment.new_model())
    assert list(beyond_first(draw_pictures(trained, experiment.data))) == KINDS[name].split()
    parts, _ = graph_of(trained)
    assert sum(part.trained for part in parts) == count_parameters(trained.model)
