"""Smooth decoders: slopes of a linear one are its weights, and singular values are NumPy's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import evaluate
from checks import agrees, close
from enumeration import refused_at
from tables import W, autoencoder, batch_of, linear

from latens.data.batches import Batch
from latens.distributions import StandardNormal
from latens.models import Conditional, DeterministicHead, LatentModel, SharedScaleNormalHead
from latens.networks import (
    ConvDecoder,
    Dense,
    ResidualDense,
    SpectrallyNormalised,
    can_normalise,
    largest_singular_value,
)
from latens.objectives import Reconstruction, RegularisedAutoencoder
from latens.objectives.regularised import decoder_slopes
from latens.trees import Frozen, realise

KEY = jax.random.key(0)


def linear_autoencoder() -> LatentModel:
    """z = (x_1, x_2) and D(z) = W z + (1, 2, 3)."""
    encoder = Conditional(linear(np.eye(3)[:, :2], np.zeros(2)), DeterministicHead((2,)))
    head = SharedScaleNormalHead((3,), Frozen(jnp.zeros(())))
    decoder = Conditional(linear(W.T, np.array([1.0, 2.0, 3.0])), head)
    return LatentModel(StandardNormal((2,)), encoder, decoder)


X = np.array([[0.5, -1.0, 1.2], [2.0, 0.3, 0.0]])


def test_the_slopes_of_a_linear_decoder_are_its_weights(float64):
    """The squared Frobenius norm of W at every z; by probes, without bias."""
    batch, z = batch_of(X), jnp.asarray(X[:, :2])
    close(decoder_slopes(linear_autoencoder(), z, batch, key=KEY), np.full(2, (W**2).sum()))
    many = Batch(jnp.zeros((20_000, 3)), jnp.arange(20_000, dtype=jnp.uint32))
    for probes in (1, 3):
        found = decoder_slopes(linear_autoencoder(), jnp.zeros((20_000, 2)), many, num_probes=probes, key=KEY)
        agrees(found, (W**2).sum())


def test_the_slopes_of_pixels_by_finite_differences(float64):
    model, batch = autoencoder()
    z = jnp.asarray([[0.3, -0.7]])
    mean = lambda z: np.asarray(model.likelihood(z).mean()).ravel()  # noqa: E731
    steps = [(mean(z[0] + h) - mean(z[0] - h)) / 2e-5 for h in 1e-5 * jnp.eye(2)]
    one = jax.tree.map(lambda leaf: leaf[:1], batch)
    close(decoder_slopes(model, z, one, key=KEY), [np.sum(np.square(steps))], rtol=1e-6)


def test_the_objective_is_the_sum_of_its_terms(float64):
    model, batch = linear_autoencoder(), batch_of(X)
    objective = RegularisedAutoencoder(0.3, 0.02, 0.5, num_probes=0)
    loss, metrics = evaluate(objective, model, batch)
    fit, size = evaluate(Reconstruction(), model, batch)[0], 0.5 * (X[:, :2] ** 2).sum() / 2
    close(loss, fit + 0.3 * size + 0.02 * (W**2).sum() + 0.5 * 0.5 * (W**2).sum())
    average = {name: float(pair[0] / pair[1]) for name, pair in metrics.items()}
    close([average["embedding"], average["gradient_penalty"]], [size, (W**2).sum()])
    close(average["log_likelihood"], -fit)
    # Only the decoder's weights count in the L2 term: the encoder's identity does not.
    by_weights = lambda m: RegularisedAutoencoder(0.0, l2=1.0)(m, batch, key=KEY, step=jnp.asarray(0))[0]  # noqa: E731
    plain = lambda m: RegularisedAutoencoder(0.0)(m, batch, key=KEY, step=jnp.asarray(0))[0]  # noqa: E731
    slope, without = (eqx.filter_grad(f)(model) for f in (by_weights, plain))
    close(slope.decoder.network.weight - without.decoder.network.weight, W.T)
    close(slope.encoder.network.weight, without.encoder.network.weight)


@pytest.mark.parametrize("name", ["embedding", "gradient_penalty", "l2", "num_probes"])
def test_weights_below_zero_are_refused(name):
    assert refused_at(RegularisedAutoencoder, **{name: -1}) == f"objective.{name}"


def test_the_largest_singular_value(float64):
    """Of known singular values, NumPy's to 1e-9; with a gap of a tenth only, 30 rounds give (0.9)^120 of it."""
    rng = np.random.default_rng(0)
    for shape in ((7, 4), (4, 7), (5, 5)):
        matrix = rng.normal(size=shape)
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        for second, rtol in ((0.5, 1e-12), (0.9, 1e-5)):
            s[:] = np.linspace(second, 0.1, len(s))
            s[0] = 1.0
            made = 3.0 * (u * s) @ vt
            close(largest_singular_value(jnp.asarray(made)), np.linalg.norm(made, 2), rtol=rtol)
        # Its gradient is u v'.
        gradient = np.asarray(jax.grad(largest_singular_value)(jnp.asarray((u * s) @ vt)))
        close(gradient, np.outer(u[:, 0], vt[0]), atol=0.02)
    close(largest_singular_value(jnp.zeros((3, 2))), 0.0)


def test_normalised_layers_stretch_by_one():
    network = Dense([3, 50, 20, 4], activation="tanh", initializer="normal-gain-2", key=KEY)
    normal = SpectrallyNormalised(network)
    resolved = realise(normal, key=KEY)
    for layer in resolved.layers:
        assert np.linalg.norm(np.asarray(layer.weight), 2) == pytest.approx(1.0, abs=0.02)
    # A step resolves it once; evaluation gives the same numbers without.
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(200, 3)), jnp.float32)
    close(jax.vmap(normal)(rows), jax.vmap(resolved)(rows))
    jacobians = np.asarray(jax.vmap(jax.jacfwd(normal))(rows))
    assert np.linalg.norm(jacobians, 2, axis=(1, 2)).max() < 1.02
    assert np.linalg.norm(np.asarray(jax.vmap(jax.jacfwd(network))(rows)), 2, axis=(1, 2)).max() > 1.5
    bias = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    close(normal.with_output_bias(bias).network.layers[-1].bias, bias)
    assert can_normalise(network)
    assert can_normalise(ResidualDense([3, 8, 4], key=KEY))
    assert not can_normalise(ConvDecoder(2, (8,), (4, 4, 1), 16, key=KEY))
