"""Total correlation and covariance penalties: against numpy, closed forms and enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, average, draw, evaluate, ids
from checks import close
from scipy import special, stats
from tables import MODELS, linear

from latens.data.dataset import Batch
from latens.distributions import Bernoulli
from latens.errors import ConfigError
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead
from latens.objectives import DIP, ELBO, BetaTC

# Total correlation


def test_the_three_terms_add_up_to_the_divergence():
    """To rounding; and 1, 1, 1 is the ELBO."""
    model, batch = MODELS["binary pixels"]()
    plain = evaluate(ELBO(kl="sampled"), model, batch)
    loss, metrics = evaluate(BetaTC(1.0, 1.0, 1.0), model, batch)
    terms = [average(metrics, name) for name in ("mutual_information", "total_correlation", "dimension_kl")]
    close(sum(terms), average(metrics, "kl"))
    close(loss, plain[0])
    loss, _ = evaluate(BetaTC(0.5, 6.0, 2.0), model, batch)
    close(loss, -average(metrics, "log_likelihood") + np.dot([0.5, 6.0, 2.0], terms))


def test_the_terms_by_scipy(float64):
    """A batch that is the whole data set: q(z) is the mean of its posteriors."""
    model, batch = MODELS["binary pixels"]()
    posterior, z = jax.vmap(model.posterior)(batch.x), draw(model, batch, num_samples=1, key=jax.random.key(0)).z[0]
    scale = np.exp(np.asarray(posterior.log_scale))[None]
    each = stats.norm.logpdf(np.asarray(z)[:, None], np.asarray(posterior.loc)[None], scale)
    joint = special.logsumexp(each.sum(axis=2), axis=1, b=1 / 4)
    units = special.logsumexp(each, axis=1, b=1 / 4).sum(axis=1)
    own = each.sum(axis=2).diagonal()
    metrics = evaluate(BetaTC(), model, batch)[1]
    close(average(metrics, "mutual_information"), (own - joint).mean(), rtol=1e-9)
    close(average(metrics, "total_correlation"), (joint - units).mean(), rtol=1e-9)
    close(average(metrics, "dimension_kl"), (units - stats.norm.logpdf(z).sum(axis=1)).mean(), rtol=1e-9)


def test_a_posterior_of_discrete_units_has_terms_too():
    """Two coins that agree on every datum, heads on one of two: a TC and an information of log 2."""
    batch = Batch(jnp.asarray([[-40.0], [40.0]]), ids(2))
    model = LatentModel(
        Bernoulli(jnp.zeros(2)),
        Conditional(linear(np.ones((1, 2)), np.zeros(2)), BernoulliHead((2,))),
        Conditional(linear(np.zeros((2, 2)), np.zeros(2)), NormalHead((1,))),
    )
    metrics = evaluate(BetaTC(), model, batch)[1]
    close(average(metrics, "total_correlation"), np.log(2.0))
    close(average(metrics, "mutual_information"), np.log(2.0))
    close(average(metrics, "dimension_kl"), 0.0)


# Covariance


@pytest.mark.parametrize("variant", [1, 2])
def test_covariance_penalties_by_numpy(variant):
    model, batch = MODELS["binary pixels"]()
    weighted_batch = Batch(batch.x, batch.row_id, weight=jnp.asarray([1.0, 2.0, 1.0, 0.0]))
    posterior = jax.vmap(model.posterior)(batch.x)
    rows = [0, 1, 1, 2]
    loc, variances = np.asarray(posterior.loc)[rows], np.exp(2 * np.asarray(posterior.log_scale))[rows]
    covariance = np.cov(loc.T, bias=True) + (np.diag(variances.mean(axis=0)) if variant == 2 else 0.0)
    off = (covariance**2).sum() - (np.diag(covariance) ** 2).sum()
    diagonal = ((np.diag(covariance) - 1) ** 2).sum()
    loss, metrics = evaluate(DIP(variant, 3.0, 5.0), model, weighted_batch)
    close(average(metrics, "off_diagonal"), off)
    close(average(metrics, "diagonal"), diagonal)
    close(loss, -average(metrics, "elbo") + 3.0 * off + 5.0 * diagonal)
    close(average(metrics, "elbo"), average(evaluate(ELBO(), model, weighted_batch)[1], "elbo"))


def test_a_variance_that_is_not_known_is_refused():
    model, batch = MODELS["binary pixels"]()
    decoder = Conditional(linear(np.zeros((4, 6)), np.zeros(6)), BernoulliHead((2, 3)))
    coins = LatentModel(Bernoulli(jnp.zeros(4)), Conditional(model.encoder.network, BernoulliHead((4,))), decoder)
    with pytest.raises(ConfigError, match="variant 2 needs the posterior's variance, and Bernoulli gives none"):
        DIP(2)(coins, batch, key=jax.random.key(0), step=STEP)
