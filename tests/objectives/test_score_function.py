"""Score-function gradients against brute force: all codes, all ways to draw K of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import agrees, close
from enumeration import coins, expected_bound, gradient_of, gradients, one_event, only, refused_at

from latens.data.batches import Batch
from latens.errors import ConfigError
from latens.objectives import ELBO, IWAE, Reconstruction, ScoreFunction, draw

ALL_KINDS = {
    "none": ScoreFunction(1, "none"),
    "leave-one-out": ScoreFunction(3),
    "none, analytic KL": ScoreFunction(1, "none", kl="analytic"),
    "leave-one-out, analytic KL": ScoreFunction(3, kl="analytic"),
}


def elbo(model):
    return expected_bound(model, 1, lambda log_weight: log_weight[0])


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_reported_bound_is_the_exact_one(kind):
    many = Batch(jnp.tile(one_event().x, (20_000, 1)), jnp.arange(20_000, dtype=jnp.uint32))
    loss, metrics = evaluate(ALL_KINDS[kind], coins(), many)
    close(-loss, metrics["elbo"][0] / 20_000, rtol=1e-4)
    close(metrics["elbo"][0], metrics["log_likelihood"][0] - metrics["kl"][0], rtol=1e-4)
    run = lambda key: ALL_KINDS[kind](coins(), one_event(), key=key, step=STEP)[1]["elbo"][0]  # noqa: E731
    agrees(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), 20_000)), float(elbo(coins())))


def test_the_leave_one_out_gradient_by_its_covariance_form():
    """Of the same draws: the encoder's gradient is -sum_k (l_k - mean l) grad log q_k / (K - 1), exactly."""
    encoder, key = only(coins(), "encoder"), jax.random.split(jax.random.key(3), 1)[0]
    draws = lambda model: draw(model, one_event(), num_samples=3, key=key, reparameterised=False)  # noqa: E731
    signal = np.asarray(draws(coins()).log_weight)[:, 0]
    scores = np.stack([gradient_of(lambda m, k=k: draws(m).log_posterior[k, 0], coins()) for k in range(3)])
    exact = -(signal - signal.mean()) @ scores / 2
    close(gradients(ScoreFunction(3), coins(), one_event(), 1)[0][encoder], exact[encoder], rtol=1e-4)
    assert np.abs(exact[encoder]).max() > 1e-3


def test_options_that_do_not_fit_are_refused():
    assert refused_at(ScoreFunction, num_samples=1) == "objective.num_samples"
    assert refused_at(ScoreFunction, baseline="moving") == "objective.baseline"
    assert refused_at(ScoreFunction, baseline="learned") == "objective.baseline"
    assert refused_at(ScoreFunction, kl="exact") == "objective.kl"


@pytest.mark.parametrize("objective", [ELBO(), ELBO(kl="sampled"), IWAE(2), IWAE(2, "dreg"), Reconstruction()])
def test_a_gradient_that_would_lack_a_term_is_refused(objective):
    """Through samples of coins there is none; the number itself is still there, and right."""
    loss, metrics = evaluate(objective, coins(), one_event())
    close(-loss, metrics[objective.monitor][0])
    with pytest.raises(ConfigError) as error:
        gradients(objective, coins(), one_event(), 1)
    assert error.value.message == "samples of a Bernoulli posterior have no gradient by its parameters."
