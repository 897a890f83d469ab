"""A whole variational autoencoder on scikit-learn's digits, without latens: read it from top to bottom.

    python examples/vae_in_one_file.py

8x8 images, binarised; a Bernoulli likelihood; a two-dimensional latent space. Everything that latens does for you is
here in its plainest form: the bound, the step, the test of log p(x) by importance sampling.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

# --- data: 1797 images of 64 pixels, every fifth one held out ---
x = (load_digits().data > 7).astype(np.float32)
train, test = x[np.arange(len(x)) % 5 != 0], x[::5]


# --- two networks: x -> mean and log scale of q(z|x), and z -> logits of p(x|z) ---
def init(key, widths):
    keys = jax.random.split(key, len(widths) - 1)
    return [(jax.random.normal(k, (a, b)) * jnp.sqrt(2 / a), jnp.zeros(b)) for k, a, b in zip(keys, widths, widths[1:])]


def network(layers, h):
    for weight, bias in layers[:-1]:
        h = jax.nn.relu(h @ weight + bias)
    weight, bias = layers[-1]
    return h @ weight + bias


def log_bernoulli(x, logits):
    return jnp.sum(x * logits - jax.nn.softplus(logits), -1)


def log_normal(z, mean, log_scale):
    return jnp.sum(-0.5 * ((z - mean) * jnp.exp(-log_scale)) ** 2 - log_scale - 0.5 * jnp.log(2 * jnp.pi), -1)


# --- the bound: E_q[log p(x|z)] - KL(q(z|x) || N(0, I)), in nats, summed over pixels, averaged over rows ---
def elbo(parameters, x, key):
    encoder, decoder = parameters
    mean, log_scale = jnp.split(network(encoder, x), 2, -1)
    z = mean + jnp.exp(log_scale) * jax.random.normal(key, mean.shape)
    kl = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale, -1)
    return jnp.mean(log_bernoulli(x, network(decoder, z)) - kl)


# --- training: one compiled loop over the steps of an epoch ---
optimizer = optax.adam(1e-3)


@jax.jit
def epoch(parameters, state, batches, key):
    def step(carry, batch_and_key):
        parameters, state = carry
        value, gradients = jax.value_and_grad(lambda p: -elbo(p, *batch_and_key))(parameters)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(parameters, updates), state), value

    keys = jax.random.split(key, len(batches))
    (parameters, state), values = jax.lax.scan(step, (parameters, state), (batches, keys))
    return parameters, state, -values.mean()


# --- log p(x) by importance sampling: log of the mean weight p(x, z) / q(z|x) over K draws ---
NUM_SAMPLES = 500


@jax.jit
def log_marginal(parameters, x, key):
    encoder, decoder = parameters
    mean, log_scale = jnp.split(network(encoder, x), 2, -1)
    z = mean + jnp.exp(log_scale) * jax.random.normal(key, (NUM_SAMPLES, *mean.shape))
    log_weight = log_bernoulli(x, network(decoder, z)) + log_normal(z, 0.0, 0.0) - log_normal(z, mean, log_scale)
    return jax.nn.logsumexp(log_weight, 0) - jnp.log(NUM_SAMPLES)


def main(epochs: int = 200, batch_size: int = 64) -> None:
    key = jax.random.key(0)
    parameters = (init(jax.random.key(1), [64, 128, 4]), init(jax.random.key(2), [2, 128, 64]))
    state, rng = optimizer.init(parameters), np.random.default_rng(0)
    for number in range(1, epochs + 1):
        order = rng.permutation(len(train))[: len(train) // batch_size * batch_size]
        batches = train[order].reshape(-1, batch_size, 64)
        parameters, state, bound = epoch(parameters, state, batches, jax.random.fold_in(key, number))
        if number % 50 == 0 or number == 1:
            print(f"epoch {number:3d}: ELBO {bound:7.2f} nats a row on training rows")
    values = log_marginal(parameters, test, jax.random.key(3))
    error = values.std() / np.sqrt(len(test))
    print(f"held-out log p(x): {values.mean():.2f} ± {error:.2f} nats a row ({len(test)} rows, {NUM_SAMPLES} samples)")


if __name__ == "__main__":
    main()
