"""Numbers that healthy objectives meet; used like `checks`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from checks import agrees, close
from tables import batch_of, conjugate_pair, dense

from latens import objectives
from latens.data.batches import Batch
from latens.distributions import StandardNormal
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.objectives import ELBO, AbstractObjective, base, run_objective
from latens.objectives.importance import importance_bound
from latens.trees import partition_trainable

STEP = jnp.asarray(5)
LOG_P, BEST_ELBO = -1.82801212348, -2.0439385332
"""log p(x) and the bound of the conjugate pair at x = 1.5, q = N(0.5, 1)."""


def draw(model: LatentModel, batch: Batch, **options: Any) -> objectives.Draws:
    """`latens.objectives.draw`, compiled anew at every call: a fault planted since the last one must be seen."""
    return eqx.filter_jit(lambda m, b: objectives.draw(m, b, **options))(model, batch)


def evaluate(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int = 0) -> tuple:
    """The number to minimise and the metrics, compiled anew at every call."""
    return eqx.filter_jit(lambda m, b: _run(objective, m, b, seed))(model, batch)[:2]


def loss_of(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int = 0) -> jax.Array:
    return _run(objective, model, batch, seed)[0]


def _run(objective: AbstractObjective, model: LatentModel, batch: Batch, seed: int) -> tuple:
    return run_objective(objective, model, batch, key=jax.random.key(seed), step=STEP, training=True)


def same_loss_and_gradient(objective: AbstractObjective, model: LatentModel, one: Batch, *others: Batch) -> None:
    """The number and its gradient by every trained array are the same for all these batches."""
    trainable, rest = partition_trainable(model)
    both = jax.jit(jax.value_and_grad(lambda t, batch: loss_of(objective, eqx.combine(t, rest), batch)))
    expected, gradient = both(trainable, one)
    for other in others:
        value, other_gradient = both(trainable, other)
        close(value, expected)
        for a, b in zip(jax.tree.leaves(other_gradient), jax.tree.leaves(gradient)):
            close(a, b)


def binary_model() -> LatentModel:
    k = jax.random.split(jax.random.key(1))
    encoder = Conditional(dense([4, 5, 4], k[0]), NormalHead((2,)))
    return LatentModel(StandardNormal((2,)), encoder, Conditional(dense([2, 5, 4], k[1]), BernoulliHead((4,))))


BINARY = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def check_conjugate_elbo() -> None:
    """-2.0439385332 by Gauss-Hermite noise to 1e-5, by 20 000 draws of each objective to 5 sigma."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    batch, pair = batch_of(np.array([[1.5]])), conjugate_pair()
    draws = draw(pair, batch, num_samples=9, noise=jnp.asarray(nodes, jnp.float32).reshape(9, 1, 1))
    close(weights @ np.asarray(draws.log_weight)[:, 0] / weights.sum(), BEST_ELBO)
    rows = Batch(jnp.full((20_000, 1), 1.5), jnp.arange(20_000, dtype=jnp.uint32))
    draws = draw(pair, rows, num_samples=1, key=jax.random.key(0))
    agrees(draws.log_weight[0], BEST_ELBO)
    error = float(jnp.std(draws.log_weight) / np.sqrt(20_000))
    for kind in ("analytic", "sampled"):
        (total, weight) = evaluate(ELBO(kl=kind), pair, rows, seed=1)[1]["elbo"]
        # The bound with an analytic KL has a smaller variance here: N(0.5 or 1.5, 1) draws.
        assert abs(float(total / weight) - BEST_ELBO) < 5 * error + 1e-5


def check_log_weight_at_the_posterior() -> None:
    """Where q is the exact posterior, every single log weight is log p(x)."""
    batch = batch_of(np.array([[1.5]]))
    draws = draw(conjugate_pair(0.75, 0.5), batch, num_samples=50, key=jax.random.key(0))
    close(draws.log_weight, np.full((50, 1), LOG_P))


def _standard_noise(num_rows: int, num_samples: int) -> np.ndarray:
    rows = Batch(jnp.full((num_rows, 1), 1.5), jnp.arange(num_rows, dtype=jnp.uint32))
    return np.asarray(draw(conjugate_pair(), rows, num_samples=num_samples, key=jax.random.key(0)).z)[..., 0] - 0.5


def check_samples_differ() -> None:
    """The mean over K = 16 draws of a row has variance 1/16: the draws of a row are independent."""
    agrees(_standard_noise(2_000, 16).mean(axis=0) ** 2, 1 / 16)


def check_rows_differ() -> None:
    """The mean over 16 rows has variance 1/16: rows are independent of each other."""
    noise = _standard_noise(3_200, 1)[0].reshape(200, 16)
    agrees(noise.mean(axis=1) ** 2, 1 / 16)


def check_num_samples() -> None:
    """K draws are averaged, and are the K draws of `draw` with the same key."""
    model, batch = binary_model(), batch_of(BINARY)
    draws = draw(model, batch, num_samples=3, key=jax.random.key(0))
    for kind in ("analytic", "sampled"):
        metrics = evaluate(ELBO(kl=kind, num_samples=3), model, batch)[1]
        close(metrics["log_likelihood"][0], draws.log_likelihood.mean(axis=0).sum())
    close(metrics["elbo"][0], draws.log_weight.mean(axis=0).sum())


def check_padding() -> None:
    """Two rows of padding with weight 0 (of zeros, of junk, of NaN) change neither the number nor the gradient."""
    model, batch = binary_model(), batch_of(BINARY)
    weight = jnp.asarray([1.0, 1, 1, 0, 0])
    padded = [batch_of(np.concatenate([BINARY, np.full((2, 4), v)]), weight=weight) for v in (0.0, 1e3, np.nan)]
    same_loss_and_gradient(ELBO(), model, batch, *padded)


def check_weight_two() -> None:
    """A row of weight 2 is the row given twice."""
    model = binary_model()
    twice = Batch(jnp.asarray(BINARY[[0, 1, 1, 2]]), jnp.asarray([10, 11, 11, 12], jnp.uint32))
    weighted = batch_of(BINARY, weight=jnp.asarray([1.0, 2.0, 1.0]))
    same_loss_and_gradient(ELBO(), model, weighted, twice)


def check_masked_pixel() -> None:
    """What a masked pixel holds, be it NaN, changes neither the number nor the gradient; the pixel itself counts."""
    model, mask = binary_model(), jnp.asarray(np.arange(12).reshape(3, 4) % 5 != 1)
    hidden = np.where(mask, BINARY, np.nan)
    same_loss_and_gradient(ELBO(), model, batch_of(BINARY, mask=mask), batch_of(hidden, mask=mask))
    z = draw(model, batch_of(hidden, mask=mask), num_samples=1, key=jax.random.key(0))
    terms = jax.vmap(lambda zz, x: model.likelihood(zz).log_prob_terms(x))(z.z[0], jnp.asarray(BINARY))
    close(z.log_likelihood[0], (np.asarray(terms) * np.asarray(mask)).sum(axis=1))


def check_reported_bound() -> None:
    """Beta and penalties change what is minimised, by a known amount, and never what is reported."""
    model, batch = binary_model(), batch_of(BINARY)
    loss, metrics = evaluate(ELBO(), model, batch)
    kl = metrics["kl"][0] / 3
    close(loss, -metrics["elbo"][0] / 3)
    squares = sum((np.asarray(w) ** 2).sum() for w in jax.tree.leaves(model) if np.ndim(w) == 2) / 2
    for other, added in ((ELBO(beta=4.0), 3 * kl), (ELBO(l2=0.1), 0.1 * squares)):
        other_loss, other_metrics = evaluate(other, model, batch)
        close(other_metrics["elbo"][0], metrics["elbo"][0])
        close(other_loss, loss + added)


def check_free_bits() -> None:
    """The sum over units of max(free bits, mean KL of the unit over the batch), by numpy."""
    model, batch = binary_model(), batch_of(BINARY)
    posterior = jax.vmap(model.posterior)(batch.x)
    loc, log_scale = np.asarray(posterior.loc), np.asarray(posterior.log_scale)
    units = ((loc**2 + np.exp(2 * log_scale) - 1) / 2 - log_scale).mean(axis=0)
    free = units.mean()  # above one unit's divergence, below the other's
    assert units.min() < free < units.max()
    loss, metrics = evaluate(ELBO(free_bits=float(free)), model, batch)
    close(loss, -metrics["log_likelihood"][0] / 3 + np.maximum(units, free).sum())
    close(metrics["kl"][0] / 3, units.sum())


# Gradients


def _gradients_of_draws(num_samples: int, loss: Callable, loc: float, variance: float) -> np.ndarray:
    """The gradient with respect to q's mean and log scale for every draw: (K, 2)."""

    def of(theta: jax.Array) -> jax.Array:
        pair = eqx.tree_at(lambda m: m.encoder.network.bias, conjugate_pair(), theta)
        return loss(pair, batch_of(np.array([[1.5]])), num_samples)[:, 0]

    return np.asarray(jax.jacfwd(of)(jnp.asarray([loc, 0.5 * np.log(variance)])))


def check_sticking_the_landing() -> None:
    """At the exact posterior the gradient of every single draw is 0 once log q's parameters are stopped."""
    with jax.enable_x64(True):

        def loss(pair, batch, k):
            return draw(pair, batch, num_samples=k, key=jax.random.key(0), stop_posterior_gradient=True).log_weight

        close(_gradients_of_draws(20, loss, 0.75, 0.5), np.zeros((20, 2)), atol=1e-12)


def check_score_function() -> None:
    """The score function gradient at q = N(0.5, 1) is (1.5 - 2 m, 1 - 2 s^2) = (0.5, -1) within 5 sigma."""

    def loss(pair, batch, k):
        draws = draw(pair, batch, num_samples=k, key=jax.random.key(0), reparameterised=False)
        learning_signal = jax.lax.stop_gradient(draws.log_weight - BEST_ELBO)
        both_axes = jax.vmap(jax.vmap(base.value_with_gradient))
        return both_axes(draws.log_weight, learning_signal * draws.log_posterior)

    agrees(_gradients_of_draws(20_000, loss, 0.5, 1.0), [0.5, -1.0])


def check_surrogate_is_not_reported() -> None:
    value, gradient = jax.value_and_grad(lambda t: base.value_with_gradient(3.0 + t, 7.0 * t))(2.0)
    close([value, gradient], [5.0, 7.0])


def check_importance_bound() -> None:
    """E[log (w_1 + w_2) / 2] = -1.89926512043 by 200 x 200 Gauss-Hermite nodes through given noise."""
    with jax.enable_x64(True):
        nodes, weights = np.polynomial.hermite_e.hermegauss(200)
        batch, noise = batch_of(np.array([[1.5]])), jnp.asarray(nodes)[:, None, None]
        log_weight = np.asarray(draw(conjugate_pair(), batch, num_samples=200, noise=noise).log_weight)[:, 0]
        bound = np.asarray(importance_bound(jnp.asarray(np.stack(np.meshgrid(log_weight, log_weight)))))
    share = np.outer(weights, weights) / weights.sum() ** 2
    close((share * bound).sum(), -1.89926512043, rtol=1e-9)
