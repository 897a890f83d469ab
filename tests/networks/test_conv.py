"""Convolutions of stride 2 against scipy and loops, their adjoint, and the networks made of them."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from network_fixtures import check_batching, filled, parameters
from scipy import signal

from latens.errors import ConfigError
from latens.models import BernoulliHead, CategoricalHead, Conditional, NormalHead
from latens.networks import ConvDecoder, ConvEncoder, convolutional, decoder_network, encoder_network
from latens.networks.convolutional import convolve, convolve_same, convolve_transposed
from latens.networks.dense import LAWS, first_weights, from_outputs, to_outputs
from latens.networks.factory import as_image_shape

SIZES = [(28, 28, 1), (13, 7, 3), (6, 1, 2), (9, 8, 2), (7, 6, 9)]
KERNELS, METHODS = (3, 4), ("canonical", "conv")


def by_scipy(image, weight):
    """Correlate every channel with every kernel, and keep every second cell."""
    (n_out, k), (h, w) = weight.shape[:2], image.shape[:2]
    padded = np.pad(image, ((1, k), (1, k), (0, 0)))
    full = [
        sum(signal.correlate2d(padded[..., c], weight[o, :, :, c], "valid") for c in range(image.shape[2]))
        for o in range(n_out)
    ]
    return np.stack([f[: h + h % 2 : 2, : w + w % 2 : 2] for f in full], axis=-1)


def by_loops(image, weight, height, width):
    """Every cell of the small image adds its kernel to the large one."""
    _, k, _, c = weight.shape
    large = np.zeros((height + 5, width + 5, c))
    for i, j in np.ndindex(image.shape[:2]):
        large[2 * i : 2 * i + k, 2 * j : 2 * j + k] += np.tensordot(image[i, j], weight, 1)
    return large[1 : height + 1, 1 : width + 1]


def numbers(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("k", KERNELS)
def test_both_ways_meet_brute_force(size, k):
    small = (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    image, weight, y = numbers(0, size, (5, k, k, size[2]), (*small, 5))
    expected, transposed = by_scipy(image, weight), by_loops(y, weight, *size[:2])
    assert expected.shape == (*small, 5)
    arguments = [jnp.asarray(a, jnp.float32) for a in (image, weight, y)]

    @jax.jit
    def both(image, weight, y):
        there = [convolve(image, weight, method) for method in METHODS]
        return there, [convolve_transposed(y, weight, *size[:2], method) for method in METHODS]

    for there, again in zip(*both(*arguments)):
        close(there, expected, atol=1e-5)
        close(again, transposed, atol=1e-5)
    if size == (6, 1, 2):  # the slopes of <y, convolve(x)>, by XLA's own too
        slopes = [jax.grad(lambda x, w, m=m: jnp.vdot(arguments[2], convolve(x, w, m)), (0, 1)) for m in METHODS]
        (by_image, by_weight), peers = jax.jit(lambda *given: [slope(*given) for slope in slopes])(*arguments[:2])
        close(by_image, transposed, atol=1e-5)
        close(by_weight, peers[1], atol=1e-5)


SETTINGS = [((13, 7, 3), 4), ((8, 8, 9), 10), ((5, 4, 1), 8), ((1, 1, 2), 3)]


@pytest.mark.parametrize(("size", "outputs"), SETTINGS, ids=str)
@pytest.mark.parametrize("k", KERNELS)
def test_derivatives_are_those_of_xla_s_convolution(k, size, outputs, float64, monkeypatch):
    """By images and weights, of first and second order, forwards and backwards, of few channels and of many."""
    monkeypatch.setattr(convolutional, "PATCH_BYTES", 64)  # the gradient of the weights in parts
    h, w, c = size
    small = (4, math.ceil(h / 2), math.ceil(w / 2), outputs)
    x, weight, y, ones = numbers(2, (4, *size), (outputs, k, k, c), small, (outputs, 3, 3, c))
    given = [jnp.asarray(a) for a in (x, weight, y, ones)]

    def number(method, x, weight, y, one):
        down = jax.vmap(lambda row: convolve(row, weight, method))(x)
        up = jax.vmap(lambda row: convolve_transposed(row, weight, h, w, method))(y)
        same = jax.vmap(lambda row: convolve_same(row, one, method))(x)
        return jnp.sum(jnp.sin(down) * y) + jnp.sum(jnp.cos(up) * x) + jnp.sum(jnp.tanh(same) ** 3)

    def derivatives(method):
        slope = jax.grad(lambda *operands: number(method, *operands), argnums=(0, 1, 2, 3))
        return slope(*given), jax.jvp(slope, tuple(given), tuple(jnp.sin(a) for a in given))[1]

    for found, expected in zip(*map(jax.tree.leaves, (jax.jit(derivatives, static_argnums=0)(m) for m in METHODS))):
        close(found, expected, rtol=1e-9, atol=1e-10 * max(1.0, float(jnp.abs(expected).max())))


def test_weights_of_each_row_are_its_own(float64):
    """An ensemble: rows with weights of their own, and one row with many weights, as one after another."""
    x, weights, y = (jnp.asarray(a) for a in numbers(3, (3, 6, 5, 2), (3, 9, 3, 3, 2), (3, 3, 3, 9)))
    of = {
        "down": lambda x, w: convolve(x, w, "canonical"),
        "same": lambda x, w: convolve_same(x, w, "canonical"),
        "up": lambda x, w: convolve_transposed(y[0] * x[0, 0, 0], w, 6, 5, "canonical"),
    }
    for one in of.values():
        close(jax.vmap(one)(x, weights), jnp.stack([one(*pair) for pair in zip(x, weights)]), rtol=1e-12)
        close(jax.vmap(one, (None, 0))(x[0], weights), jnp.stack([one(x[0], w) for w in weights]), rtol=1e-12)
        slope = lambda w: jnp.sum(jnp.sin(jax.vmap(one)(x, w)))  # noqa: B023, E731
        close(jax.grad(slope)(weights)[1], jax.grad(lambda w: jnp.sum(jnp.sin(one(x[1], w))))(weights[1]), rtol=1e-10)  # noqa: B023


def test_only_quick_convolutions_reach_the_compiler_on_a_cpu():
    """Those of another layout, with dilation or turned around take some 50 times as long inside a loop."""
    if jax.default_backend() != "cpu":
        pytest.skip("other devices use XLA's convolution")
    encoder, decoder = filled(ConvEncoder, (8, 8), (9, 8), 4), filled(ConvDecoder, 4, (8, 9), (8, 8), 64)
    arrays, static = eqx.partition((encoder, decoder), eqx.is_inexact_array)

    def loss(arrays, x):
        encoder, decoder = eqx.combine(arrays, static)
        return jax.vmap(lambda row: decoder(encoder(row)).sum())(x).sum()

    lowered = jax.jit(jax.grad(loss)).lower(arrays, jnp.ones((2, 8, 8))).as_text()
    lines = [line for line in lowered.splitlines() if "stablehlo.convolution" in line]
    # The second layer down, its adjoint for the first one's gradient, the first layer up and its gradient.
    assert len(lines) >= 4
    for line in lines:
        assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
        assert "lhs_dilate = [1, 1], rhs_dilate = [1, 1], reverse = [false, false]" in line


@pytest.mark.parametrize(("shape", "small"), [((28, 28), 49), ((32, 32, 3), 64), ((13, 7, 3), 8), ((1, 5), 2)], ids=str)
def test_sizes(shape, small):
    """Two halvings, rounded up; the decoder gives the exact size back."""
    c, cells = (shape[2] if len(shape) == 3 else 1), math.prod(shape)
    arrays = parameters(ConvEncoder, shape, (4, 6), 5, kernel_size=3)
    assert arrays == [(4, 3, 3, c), (4,), (6, 3, 3, 4), (6,), (small * 6, 5), (5,)]
    arrays = parameters(ConvDecoder, 2, (6, 4), shape, cells, kernel_size=3)
    assert arrays == [(2, small * 6), (small * 6,), (6, 3, 3, 4), (1, 1, 4), (4, 3, 3, c), (*shape[:2], c)]
    decoder = eqx.filter_eval_shape(lambda: ConvDecoder(2, (6, 4), shape, cells, key=jax.random.key(0)))
    assert eqx.filter_eval_shape(lambda d: d(jnp.ones(2)), decoder).shape == (cells,)


@pytest.mark.parametrize("k", KERNELS)
def test_networks_meet_scipy_and_loops(k, strict):
    """Layer by layer, batched by vmap and compiled, from a flat and from a shaped image of whole numbers."""
    options = {"kernel_size": k, "activation": "tanh"}
    encoder = filled(ConvEncoder, (7, 6, 2), (3, 4), 5, **options)
    decoder = filled(ConvDecoder, 5, (4, 3), (7, 6, 2), 84, **options, output_activation="sigmoid", seed=1)
    images = np.random.default_rng(3).integers(0, 3, (3, 7, 6, 2))
    array = lambda a: np.asarray(a, np.float64)  # noqa: E731

    def by_hand(h):
        for layer in encoder.layers:
            h = np.tanh(by_scipy(h, array(layer.weight)) + array(layer.bias))
        z = h.reshape(-1) @ array(encoder.output.weight) + array(encoder.output.bias)
        h = np.tanh(z @ array(decoder.start.weight) + array(decoder.start.bias)).reshape(2, 2, 4)
        for layer, size in zip(decoder.layers, ((4, 3), (7, 6))):
            h = by_loops(h if layer is decoder.layers[0] else np.tanh(h), array(layer.weight), *size) + array(
                layer.bias
            )
        return 1 / (1 + np.exp(-h.reshape(-1)))

    expected = np.stack([by_hand(image.astype(float)) for image in images])
    check_batching(lambda x: decoder(encoder(x)), images, expected)


def test_outputs_come_as_heads_read_them():
    """Means, then scales: two blocks of images. Logits of levels: the last axis. Each with its own bias."""
    z, shape = jnp.ones(3), (5, 6)
    for head, blocks in ((NormalHead(shape), 2), (CategoricalHead(shape, 4), 1)):
        decoder = filled(ConvDecoder, 3, (4,), shape, head.num_outputs, blocks=blocks)
        start = np.asarray(decoder.start.weight).sum(axis=0) + np.asarray(decoder.start.bias)
        last = decoder.layers[0]
        image = by_loops(np.maximum(start, 0).reshape(3, 3, 4), np.asarray(last.weight), 5, 6) + np.asarray(last.bias)
        outputs = np.asarray(decoder(z))
        expected = np.stack([image[..., 0], image[..., 1]]) if blocks == 2 else image
        close(outputs, expected.reshape(-1), atol=1e-5)
        bias = jnp.arange(head.num_outputs, dtype=jnp.float32)
        without = decoder.with_output_bias(0 * bias)(z)
        close(decoder.with_output_bias(bias)(z) - without, bias, atol=1e-4)
    values = jnp.arange(2 * 3 * 6.0).reshape(2, 3, 6)
    close(from_outputs(to_outputs(values, 2), (2, 3), 2), values, rtol=0, atol=0)
    close(to_outputs(values, 2)[:6], [0, 1, 2, 6, 7, 8], rtol=0, atol=0)


def test_a_decoder_starts_at_the_mean():
    mean = np.linspace(0.05, 0.95, 30).reshape(5, 6)
    decoder = filled(decoder_network, "conv", 2, (3, 2), (5, 6), 30)
    decoder = eqx.tree_at(lambda n: n.layers[-1].weight, decoder, replace_fn=jnp.zeros_like)
    part = Conditional(decoder, BernoulliHead((5, 6))).with_output_bias(mean)
    close(part(jnp.asarray([3.0, -1.0])).mean(), mean)


def test_first_weights_follow_the_law_with_the_fans_of_stride_2(getkey):
    """An inner cell sees k k c inputs; of a transposed convolution it sees k k c / 4."""
    own = jax.jit(lambda key: [first_weights(name, (30, 20), 30, 20, key=key) for name in LAWS])(key := getkey())
    scaling = jax.nn.initializers.variance_scaling
    laws = jax.jit(lambda key: [scaling(*law)(key, (30, 20)) for law in LAWS.values()])(key)  # pyright: ignore[reportArgumentType]
    close(own, laws, rtol=1e-5)
    encoder, decoder = eqx.filter_jit(
        lambda key: (
            ConvEncoder((8, 8, 24), (32,), 2, kernel_size=4, key=key),
            ConvDecoder(2, (32,), (8, 8, 24), 64 * 24, kernel_size=4, key=jax.random.fold_in(key, 1)),
        )
    )(getkey())
    samples = (np.asarray(encoder.layers[0].weight) ** 2).ravel()
    agrees(samples, 2 / (16 * 24))
    agrees((np.asarray(decoder.layers[0].weight) ** 2).ravel(), 2 / (16 / 4 * 32))


def test_conditions_go_to_the_dense_layer():
    encoder = filled(ConvEncoder, (4, 4), (2,), 3, extra=2)
    plain = eqx.tree_at(lambda n: n.output.weight, encoder, replace_fn=lambda w: w.at[-2:].set(0.0))
    x, cond = jnp.ones(16), jnp.asarray([0.5, -2.0])
    row = jnp.concatenate([x, cond])
    close(encoder(row) - plain(row), cond @ encoder.output.weight[-2:])
    with pytest.raises(ConfigError, match=r"built for 18 numbers a row and got 16\. .*`extra`"):
        encoder(x)


def test_dropout_of_channels(getkey):
    encoder = filled(ConvEncoder, (2, 2), (50,), 1, activation="identity", drop_probability=0.4)
    where = lambda n: (n.layers[0].weight, n.layers[0].bias, n.output.weight, n.output.bias)  # noqa: E731
    values = (jnp.zeros((50, 3, 3, 1)), jnp.ones(50), jnp.full((50, 1), 1 / 50), jnp.zeros(1))
    encoder = eqx.tree_at(where, encoder, values)
    close(encoder(jnp.ones((2, 2))), [1.0])
    close(eqx.nn.inference_mode(encoder)(jnp.ones((2, 2)), key=getkey()), [1.0])
    samples = jax.vmap(lambda k: encoder(jnp.ones((2, 2)), key=k))(jax.random.split(getkey(), 2_000))[:, 0]
    agrees(samples, 1.0)
    agrees((np.asarray(samples) - 1.0) ** 2, (1 / 0.6 - 1) / 50)


def test_flat_rows_that_are_a_square_are_an_image():
    flat, image = (filled(encoder_network, "conv", shape, (2,), 4) for shape in ((36,), (6, 6)))
    x = jnp.asarray(numbers(5, (36,))[0], jnp.float32)
    close(flat(x), image(x.reshape(6, 6)), rtol=0, atol=0)
    assert as_image_shape((784,)) == (28, 28)
    assert as_image_shape((13, 7, 3)) == (13, 7, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (13,)}, r"rows of shape \(13,\) are none\. Use --set network=dense"),
        ({"shape": (2, 2, 2, 2)}, r"rows of shape \(2, 2, 2, 2\) are none"),
        ({"kernel_size": 5}, r"network\.kernel_size: kernel_size must be 3 or 4, not 5\."),
        ({"hidden": ()}, r"at least one width, all positive"),
        ({"num_outputs": 128}, r"128 outputs for 64 cells can be read in two orders\. Give blocks=2"),
        ({"num_outputs": 100, "blocks": 2}, r"100 outputs are not 2 blocks of 64 cells"),
        ({"activation": "rleu"}, r"there is no 'rleu'.*relu"),
        ({"strides": 2}, r"a conv network has no option 'strides'"),
        ({"kind": "con"}, r"there is no network 'con'\. Did you mean 'conv'"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(change, message):
    arguments = {"kind": "conv", "latent_dim": 2, "hidden": (2,), "shape": (8, 8), "num_outputs": 64, **change}
    with pytest.raises(ConfigError, match=message):
        decoder_network(**arguments, key=jax.random.key(0))
