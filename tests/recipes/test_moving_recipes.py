"""Posteriors that look at their model, from a configuration: what is built, and what is refused with its reason."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from training_fixtures import make_data

from latens.config import override
from latens.errors import ConfigError
from latens.models import Hamiltonian
from latens.recipes import get_recipe
from latens.recipes.building.model import build
from latens.workflow.experiment import prepare

SMALL = {"network.hidden": 4, "network.level_hidden": 4, "posterior.latent_dim": 3, "training.steps": 1}


def experiment(recipe: str, **settings: object):
    return prepare(override(get_recipe(recipe).config, {**SMALL, **settings}), make_data())


def model(recipe: str, **settings: object):
    made = experiment(recipe, **settings)
    return build(made.data.schema, made.config, key=jax.random.key(0))


def test_steps_start_where_they_are_told_to():
    encoder = model("hamiltonian-vae", **{"posterior.steps": 5, "posterior.step_size": 0.2}).encoder
    assert isinstance(encoder, Hamiltonian)
    posterior = model("hamiltonian-vae").posterior(jnp.zeros((3, 2)))
    close(posterior.step_size, np.full(3, 0.05))
    close(np.exp(posterior.log_temperature), 0.5)
    assert (encoder.num_steps, posterior.num_steps) == (5, 3)
    close(0.5 / (1 + np.exp(-np.asarray(encoder.raw_step))), np.full(3, 0.2))


@pytest.mark.parametrize(
    ("recipe", "settings", "where"),
    [
        ("hamiltonian-vae", {"posterior.levels": "2"}, "posterior.levels"),
        ("hamiltonian-vae", {"prior": "vamp"}, "prior.kind"),
        ("hamiltonian-vae", {"objective.kl": "analytic"}, "objective.kl"),
        ("hamiltonian-vae", {"objective": "iwae", "objective.gradient": "dreg"}, "posterior.kind"),
        ("hamiltonian-vae", {"posterior.step_size": 0.5}, "posterior.step_size"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, settings, where):
    with pytest.raises(ConfigError) as error:
        experiment(recipe, **settings)
    assert error.value.where == where
    assert error.value.fix
