"""Posteriors that look at their model, from a configuration: what is built, and what is refused with its reason."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from training_fixtures import make_data

from latens.config import override
from latens.errors import ConfigError
from latens.models import Hamiltonian, Ladder, Riemannian
from latens.networks import SpectrallyNormalised
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
    curved = model("riemannian-hamiltonian-vae", **{"posterior.centroids": 7, "posterior.floor": 0.4}).encoder
    assert isinstance(curved, Riemannian)
    close(curved.metric.inverse(jnp.full(3, 1e3)), 0.4 * np.eye(3))
    assert curved.metric.centroids.shape == (7, 3)


def test_a_ladder_has_a_readout_a_level():
    made = model("ladder-vae", **{"posterior.levels": "2,5", "posterior.features": 6})
    assert isinstance(made.encoder, Ladder)
    assert [part.head.shape for part in made.encoder.readouts] == [(3,), (2,), (5,)]
    assert [part.head.shape for part in made.prior_part.parts] == [(2,), (3,)]
    levels = made.posterior(jnp.zeros((3, 2))).mean()
    assert [level.shape for level in levels] == [(3,), (2,), (5,)]


def test_a_normalised_decoder():
    decoder = model("rae-sn").decoder.network
    assert isinstance(decoder, SpectrallyNormalised)
    assert [layer.weight.shape for layer in decoder.network.layers] == [(3, 4), (4, 6)]


@pytest.mark.parametrize(
    ("recipe", "settings", "where"),
    [
        ("ladder-vae", {"posterior.levels": []}, "posterior.levels"),
        ("hamiltonian-vae", {"posterior.levels": "2"}, "posterior.levels"),
        ("hamiltonian-vae", {"prior": "vamp"}, "prior.kind"),
        ("hamiltonian-vae", {"objective.kl": "analytic"}, "objective.kl"),
        ("hamiltonian-vae", {"objective": "wake-sleep"}, "posterior.kind"),
        ("riemannian-hamiltonian-vae", {"objective": "iwae", "objective.gradient": "dreg"}, "posterior.kind"),
        ("rae-sn", {"network": "conv"}, "network.spectral_norm"),
        ("gamma-vae", {"prior": "standard-normal"}, "prior.kind"),
        ("gamma-vae", {"objective.divergence": "renyi"}, "objective.divergence"),
        ("hamiltonian-vae", {"posterior.step_size": 0.5}, "posterior.step_size"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, settings, where):
    with pytest.raises(ConfigError) as error:
        experiment(recipe, **settings)
    assert error.value.where == where
    assert error.value.fix
