"""Dense networks: sizes, formulas, first weights, dropout of activations and of weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from tables import conjugate_pair, linear

from latens.distributions import DiagonalNormal
from latens.errors import ConfigError
from latens.models import AffineHead, Conditional, NormalHead, widths_between
from latens.networks import ACTIVATIONS, INITIALIZERS, Dense
from latens.networks.dense import host_draws
from latens.trainable import count_parameters

X = np.array([0.5, -1.0, 2.0, 0.25])


def by_hand(network, x, activation):
    """The network with numpy: x @ weight + bias, an activation between layers."""
    for layer in network.layers[:-1]:
        x = activation(x @ np.asarray(layer.weight, float) + np.asarray(layer.bias, float))
    return x @ np.asarray(network.layers[-1].weight, float) + np.asarray(network.layers[-1].bias, float)


def test_the_4_3_2_encoder(getkey):
    """Two latent dimensions need four outputs: two means and two softplus scales above 0."""
    head = NormalHead((2,), "softplus")
    assert head.num_outputs == 4
    network = Dense(widths_between((4,), (3,), head.num_outputs), activation="tanh", key=getkey())
    assert [layer.weight.shape for layer in network.layers] == [(4, 3), (3, 4)]
    assert count_parameters(network) == 4 * 3 + 3 + 3 * 4 + 4
    posterior = Conditional(network, head)(jnp.asarray(X))
    outputs = by_hand(network, X, np.tanh)
    assert isinstance(posterior, DiagonalNormal)
    close(posterior.mean(), outputs[:2])
    scale = np.exp(np.asarray(posterior.log_scale))
    close(scale, np.log1p(np.exp(outputs[2:])) + 1e-6)
    assert np.all(scale > 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_meets_numpy(name, getkey, strict):
    network = Dense([4, 6, 5, 3], activation=name, output_activation="sigmoid", key=getkey())
    activation = lambda h: np.asarray(ACTIVATIONS[name](jnp.asarray(h)), float)  # noqa: E731
    expected = 1 / (1 + np.exp(-by_hand(network, X, activation)))
    close(network(jnp.asarray(X)), expected)
    close(jax.jit(lambda x: network(x))(jnp.asarray(X)), expected)


def test_elu_in_single_precision_is_exact_to_one_last_place_of_one():
    x = np.concatenate([np.linspace(-20.0, 2.0, 2001), -np.geomspace(1e-12, 1e-3, 50)]).astype(np.float32)
    exact = np.where(x > 0, x, np.expm1(x.astype(float)))
    assert np.max(np.abs(np.asarray(ACTIVATIONS["elu"](jnp.asarray(x)), float) - exact)) < 2.0**-23
    slope = jax.vmap(jax.grad(ACTIVATIONS["elu"]))(jnp.asarray(x))
    assert np.max(np.abs(np.asarray(slope, float) - np.where(x > 0, 1.0, np.exp(x.astype(float))))) < 2.0**-23


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_activations(name, float64):
    """By central differences, and the slope of the slope by differences of the slope."""
    x, h = jnp.linspace(-40.0, 40.0, 17) + 0.05, 1e-6
    slope = jax.vmap(jax.grad(lambda t: ACTIVATIONS[name](t)))
    close(slope(x), (ACTIVATIONS[name](x + h) - ACTIVATIONS[name](x - h)) / (2 * h), atol=1e-7)
    curve = jax.vmap(jax.grad(jax.grad(lambda t: ACTIVATIONS[name](t))))
    close(curve(x), (slope(x + h) - slope(x - h)) / (2 * h), atol=1e-7)


def test_biases_start_at_zero_and_images_are_flattened(getkey):
    network = Dense([6, 3, 2], key=getkey())
    assert all(not np.any(layer.bias) for layer in network.layers)
    image = jnp.arange(6, dtype=jnp.int32).reshape(2, 3)
    close(network(image), network(jnp.arange(6.0)), rtol=0, atol=0)


def test_layers_get_different_first_weights(getkey):
    network = Dense([5, 5, 5], key=getkey())
    first, second = (np.asarray(layer.weight).ravel() for layer in network.layers)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(25)


def test_dropout_keeps_the_mean_and_needs_a_key(getkey):
    """One hidden layer of ones: the output is the mean of 50 dropped ones, whose expectation is 1."""
    plain = Dense([1, 50, 1], activation="identity", drop_probability=0.4, key=getkey())
    ones, fifty = jnp.ones((1, 50)), jnp.full((50, 1), 1 / 50)
    network = eqx.tree_at(lambda n: (n.layers[0].weight, n.layers[1].weight), plain, (ones, fifty))
    x = jnp.ones(1)
    close(network(x), [1.0])
    close(eqx.nn.inference_mode(network)(x, key=getkey()), [1.0])
    samples = jax.vmap(lambda k: network(x, key=k))(jax.random.split(getkey(), 2_000))[:, 0]
    agrees(samples, 1.0)
    # A mean of 50 entries 1 / 0.6 with probability 0.6 has variance (1 / 0.6 - 1) / 50.
    agrees((np.asarray(samples) - 1.0) ** 2, (1 / 0.6 - 1) / 50)
    key = getkey()
    close(network(x, key=key), network(x, key=key), rtol=0, atol=0)


def test_hidden_layers_drop_different_units(getkey):
    network = Dense([1, 400, 400, 1], activation="identity", drop_probability=0.5, key=getkey())
    eye, ones = jnp.eye(400), jnp.ones((1, 400))
    weights = lambda n: tuple(layer.weight for layer in n.layers)  # noqa: E731
    network = eqx.tree_at(weights, network, (ones, eye, ones.T))
    # A unit survives both layers with probability 1/4 and is then 4: independent masks, not the same one twice.
    survivors = jax.vmap(lambda k: network(jnp.ones(1), key=k))(jax.random.split(getkey(), 500))[:, 0] / 4
    agrees(survivors, 400 / 4)
    agrees((np.asarray(survivors) - 100) ** 2, 400 * 3 / 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [4]}, r"need an input and an output"),
        ({"widths": [4, 0, 2]}, r"all positive"),
        ({"activation": "rleu"}, r"there is no 'rleu'.*relu"),
        ({"output_activation": "sigmoi"}, r"sigmoid"),
        ({"initializer": "he-norml"}, r"he-normal"),
        ({"drop_probability": 1.0}, r"\[0, 1\), not 1.0"),
        ({"drop_probability": -0.1}, r"\[0, 1\), not -0.1"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(options, message, getkey):
    with pytest.raises(ConfigError, match=message):
        Dense(**{"widths": [4, 3, 2], **options}, key=getkey())


@pytest.mark.parametrize("seed", [0, 123456789])
def test_host_draws_are_those_of_jax(seed):
    """Threefry on the host has jax.random's bits: uniforms are equal, Normals to the error of its inverse (2e-5)."""
    key = jax.random.fold_in(jax.random.key(seed), 3)
    words = np.asarray(jax.random.key_data(key))
    uniform = host_draws(words, shape=(70, 50), family="uniform")
    assert np.array_equal(uniform, jax.random.uniform(key, (70, 50), minval=-1.0, maxval=1.0))
    normal = host_draws(words, shape=(70, 50), family="normal")
    close(normal, jax.random.normal(key, (70, 50)), atol=5e-5)


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_host_draws_of_a_longer_key_are_those_of_its_first_words(kind):
    words = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(7, impl=kind))[1]))
    assert words.shape == (4,)
    key = jax.random.wrap_key_data(words[:2], impl="threefry2x32")
    uniform = host_draws(words, shape=(70, 50), family="uniform")
    assert np.array_equal(uniform, jax.random.uniform(key, (70, 50), minval=-1.0, maxval=1.0))


def test_first_weights_have_their_law() -> None:
    """The standard deviation of 60 000 first weights, within 5 of its standard errors sqrt((kurtosis - 1) / 4n)."""
    n_in, n_out = 300, 200
    laws = {
        "he-normal": (np.sqrt(2 / n_in), 3.0),
        "he-normal-fan-out": (np.sqrt(2 / n_out), 3.0),
        "lecun-normal": (np.sqrt(1 / n_in), 3.0),
        "normal-gain-2": (2 / np.sqrt(n_in), 3.0),
        "xavier-normal": (np.sqrt(2 / (n_in + n_out)), 3.0),
        "glorot-uniform": (np.sqrt(2 / (n_in + n_out)), 1.8),
    }
    assert set(laws) == set(INITIALIZERS)
    for name, (std, kurtosis) in laws.items():
        weight = np.asarray(Dense([n_in, n_out], initializer=name, key=jax.random.key(0)).layers[0].weight)
        assert abs(weight.std() / std - 1) < 5 * np.sqrt((kurtosis - 1) / (4 * weight.size)), name
        assert abs(weight.mean()) < 5 * std / np.sqrt(weight.size), name


def test_activations_are_their_formulas() -> None:
    x = np.linspace(-4.0, 4.0, 9)
    formulas = {
        "elu": np.where(x > 0, x, np.expm1(x)),
        # The tanh form of GELU, jax's default.
        "gelu": x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "identity": x,
        "relu": np.maximum(x, 0),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "silu": x / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
        "tanh": np.tanh(x),
    }
    assert set(formulas) == set(ACTIVATIONS)
    for name, expected in formulas.items():
        close(ACTIVATIONS[name](jnp.asarray(x)), expected)


def test_frozen_arrays_are_not_counted() -> None:
    """One weight and one bias in, two and two out: the frozen shift, scale and log-scale are not trained."""
    assert count_parameters(conjugate_pair()) == 2 + 2 + 1 + 1
    decoder = Conditional(linear(np.ones((1, 2)), np.zeros(2)), AffineHead(NormalHead((1,)), np.ones(1), np.ones(1)))
    assert count_parameters(decoder) == 2 + 2
