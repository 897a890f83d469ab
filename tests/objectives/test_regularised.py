"""Smooth decoders: slopes of a linear one are its weights, and singular values are NumPy's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from bound_checks import evaluate
from checks import agrees, close
from tables import W, batch_of, linear

from latens.data.dataset import Batch
from latens.distributions import StandardNormal
from latens.models import Conditional, DeterministicHead, LatentModel, SharedScaleNormalHead
from latens.objectives import Reconstruction, RegularisedAutoencoder
from latens.objectives.regularised import decoder_slopes
from latens.trainable import Frozen

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
