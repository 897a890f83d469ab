"""Codes on the smallest picture of convolutional networks: where each of them looks, and when there is such a map."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

import latens
from latens.config import NetworkConfig, PosteriorConfig, VAEConfig, override
from latens.data import Schema
from latens.errors import ConfigError
from latens.networks import ConvDecoder, ConvEncoder
from latens.recipes import get_recipe
from latens.recipes.build import build

KEY = jax.random.key(0)


def resolved(recipe: str = "vq-vae", side: int = 20, **settings: object) -> tuple[VAEConfig, str]:
    x = np.random.default_rng(0).integers(0, 256, (60, side, side)).astype(np.uint8)
    config = override(get_recipe(recipe).config, {k.replace("__", "."): v for k, v in settings.items()})
    experiment = latens.fitting.prepare(config, latens.read(x))
    assert isinstance(experiment.config, VAEConfig)
    return experiment.config, "\n".join(experiment.reasons)


def test_an_output_is_that_of_its_place_by_hand() -> None:
    """The dense layer at every place alike, the places one after the other, row by row."""
    network = ConvEncoder((7, 10, 2), (3, 5), 2 * 3 * 4, on_map=True, key=KEY)
    image = jax.random.normal(KEY, (7, 10, 2))
    features = image
    for index, layer in enumerate(network.layers):
        features = network.hidden(layer(features), key=None, index=index)
    assert features.shape == (2, 3, 5)
    expected = np.asarray(features).reshape(6, 5) @ np.asarray(network.output.weight)
    close(network(image), expected.reshape(-1), atol=1e-5)


def test_codes_move_with_the_picture() -> None:
    """Away from the edge: four pixels to the right and eight down are one place to the right and two down."""
    network = ConvEncoder((32, 32), (4, 6), 8 * 8 * 3, kernel_size=4, num_blocks=1, on_map=True, key=KEY)
    patch = jax.random.normal(KEY, (6, 6))
    at = lambda row, column: network(jnp.zeros((32, 32)).at[row : row + 6, column : column + 6].set(patch))  # noqa: E731
    first, second = (at(*place).reshape(8, 8, 3) for place in ((8, 8), (16, 12)))
    close(first[1:5, 1:6], second[3:7, 2:7], atol=1e-5)
    assert np.ptp(np.asarray(first)) > 0.1


def test_a_latent_is_seen_by_the_pixels_around_its_place() -> None:
    """By a kernel of 3 and two of 4: place (3, 2) reaches rows 12 - 7 to 15 + 7 and columns 8 - 7 to 11 + 7."""
    network = ConvDecoder(7 * 7 * 3, (6, 4), (28, 28), 784, kernel_size=4, on_map=True, key=KEY)
    z = jax.random.normal(KEY, (7, 7, 3))
    changed = np.abs(np.asarray(network(z) - network(z.at[3, 2].add(1.0)))).reshape(28, 28) > 0
    rows, columns = np.nonzero(changed.any(1))[0], np.nonzero(changed.any(0))[0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 22, 1, 18)
    bias = jax.random.normal(KEY, (784,))
    close(network.with_output_bias(bias)(z) - network(z), bias, atol=1e-4)


def test_means_and_scales_of_a_map_are_those_of_the_places(tmp_path: Path) -> None:
    """The head reads all means before all scales, each place after place; the label is read by the prior alone."""
    config = override(get_recipe("kl-tokenizer").config, {"label": "condition", "network": "conv"})
    x = np.random.default_rng(0).integers(0, 256, (60, 12, 12)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=x, label=np.arange(60) % 3)
    data = latens.read(tmp_path / "x.npz")
    experiment = latens.fitting.prepare(override(config, {"network.hidden": [4, 4]}), data)
    assert experiment.config.posterior.latent_dim == 3 * 3 * 4
    model = experiment.new_model()
    row = jnp.asarray(x[0], jnp.float32) / 256.0
    features, network = row, model.encoder.network
    for index, layer in enumerate(network.layers):
        features = network.hidden(layer(features.reshape(*features.shape[:2], -1)), key=None, index=index)
    at_places = features.reshape(9, 4) @ network.output.weight
    close(model.posterior(row).mean(), at_places[:, :4].reshape(-1), atol=1e-5)
    assert model.prior_part.loc.shape == (3, 36)


def test_pictures_get_a_map_of_codes() -> None:
    config, reasons = resolved(side=28, network="auto")
    network = config.network
    assert (network.kind, network.hidden, network.map, config.posterior.latent_dim) == ("conv", (32, 64), True, 196)
    assert config.likelihood.family == "logistic-mixture"
    assert "a map of 7 x 7 codes, of 4 latent units each" in reasons
    config, _ = resolved(network="conv")
    assert (config.network.map, config.posterior.latent_dim) == (True, 5 * 5 * 4)
    config, _ = resolved("fsq", network="conv", network__hidden=[8], posterior__grid=[5, 3])
    assert config.posterior.latent_dim == 10 * 10 * 2
    config, _ = resolved("default")
    assert (config.network.map, config.network.hidden) == (None, (32, 64, 128))
    config, _ = resolved(network="conv", network__map=False)
    assert (config.network.map, config.posterior.latent_dim) == (False, 32)
    config, _ = resolved()
    assert (config.network.kind, config.network.map) == ("dense", None)


def test_codes_are_those_of_the_places_in_rows() -> None:
    """The vectors of the encoder's outputs at a place are the group that its code stands for, by the one codebook."""
    posterior = PosteriorConfig(kind="vq", latent_dim=3 * 3 * 2, options={"codes": 5, "code_dim": 2})
    network = NetworkConfig(kind="conv", hidden=(4, 4), map=True)
    config = VAEConfig(recipe="vq-vae", network=network, posterior=posterior)
    config = override(config, {"likelihood": "bernoulli"})
    model = build(Schema((12, 12), "binary"), config, key=KEY)
    x = jax.random.bernoulli(KEY, 0.5, (12, 12)).astype(jnp.float32)
    outputs = np.asarray(model.encoder.network(x)).reshape(3, 3, 2)
    (book,) = np.asarray(model.encoder.head.quantiser.books)
    nearest = np.argmin(np.sum((outputs[:, :, None] - book) ** 2, axis=-1), axis=-1)
    np.testing.assert_array_equal(model.posterior(x).assignment.codes[:, 0], nearest.reshape(-1))
    assert eqx.filter_eval_shape(model.likelihood, model.posterior(x).mean()).logits.shape == (12, 12)


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        (
            "vq-vae",
            {"network": "conv", "posterior.latent_dim": 32},
            "are not a whole number of codes at each of 5 x 5 places",
        ),
        ("vq-vae", {"network.map": True}, "a map is of convolutions"),
        ("vq-vae", {"network": "conv", "network.map": True, "network.decoder_hidden": [8]}, "no map in common"),
    ],
)
def test_what_has_no_map_is_refused(recipe: str, settings: dict, words: str) -> None:
    data = latens.read(np.random.default_rng(0).integers(0, 256, (60, 20, 20)).astype(np.uint8))
    config = override(get_recipe(recipe).config, settings)
    with pytest.raises(ConfigError, match=words):
        latens.fitting.prepare(config, data).new_model()
