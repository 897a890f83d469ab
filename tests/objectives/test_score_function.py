"""Score-function gradients against brute force: all codes, all ways to draw K of them."""

import jax
import numpy as np
import pytest
from bound_checks import evaluate
from checks import close
from enumeration import coins, gradient_of, gradients, one_event, only

from latens.errors import ConfigError
from latens.objectives import ELBO, IWAE, Reconstruction, ScoreFunction, draw


def test_the_leave_one_out_gradient_by_its_covariance_form():
    """Of the same draws: the encoder's gradient is -sum_k (l_k - mean l) grad log q_k / (K - 1), exactly."""
    encoder, key = only(coins(), "encoder"), jax.random.split(jax.random.key(3), 1)[0]
    draws = lambda model: draw(model, one_event(), num_samples=3, key=key, reparameterised=False)  # noqa: E731
    signal = np.asarray(draws(coins()).log_weight)[:, 0]
    scores = np.stack([gradient_of(lambda m, k=k: draws(m).log_posterior[k, 0], coins()) for k in range(3)])
    exact = -(signal - signal.mean()) @ scores / 2
    close(gradients(ScoreFunction(3), coins(), one_event(), 1)[0][encoder], exact[encoder], rtol=1e-4)
    assert np.abs(exact[encoder]).max() > 1e-3


@pytest.mark.parametrize("objective", [ELBO(), ELBO(kl="sampled"), IWAE(2), IWAE(2, "dreg"), Reconstruction()])
def test_a_gradient_that_would_lack_a_term_is_refused(objective):
    """Through samples of coins there is none; the number itself is still there, and right."""
    loss, metrics = evaluate(objective, coins(), one_event())
    close(-loss, metrics[objective.monitor][0])
    with pytest.raises(ConfigError) as error:
        gradients(objective, coins(), one_event(), 1)
    assert error.value.message == "samples of a Bernoulli posterior have no gradient by its parameters."
