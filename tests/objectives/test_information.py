"""Terms beside the ELBO: total correlation, covariances, discrepancies and slopes, against NumPy and closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, average, draw, evaluate, ids
from checks import agrees, close
from scipy import special, stats
from tables import MODELS, W, autoencoder, batch_of, linear

from latens.data.dataset import Batch
from latens.distributions import Bernoulli, StandardNormal
from latens.errors import ConfigError
from latens.models import BernoulliHead, Conditional, DeterministicHead, LatentModel, NormalHead, SharedScaleNormalHead
from latens.objectives import DIP, ELBO, WAE, BetaTC, InfoVAE, Reconstruction, RegularisedAutoencoder
from latens.objectives.base import prior_samples
from latens.objectives.mmd import IMQ_SCALES, decoder_slopes, mmd
from latens.trainable import Frozen

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


def kernel_by_numpy(a, b, form):
    squared, base = ((a[:, None] - b[None]) ** 2).sum(axis=2), 2 * a.shape[1]
    if form == "rbf":
        return np.exp(-squared / base)
    return sum(c * base / (c * base + squared) for c in IMQ_SCALES)


@pytest.mark.parametrize("form", ["imq", "rbf"])
def test_mmd_by_numpy(form):
    rng = np.random.default_rng(0)
    a, b, weight = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)) + 0.5, np.array([1, 2, 1, 0, 1])
    rows = np.repeat(np.arange(5), weight)
    same = rows[:, None] == rows[None]
    within = lambda k: k[~same].mean()  # noqa: E731
    value = [kernel_by_numpy(p[rows], q[rows], form) for p, q in ((a, a), (b, b), (a, b))]
    expected = within(value[0]) + within(value[1]) - 2 * value[2].mean()
    rows = Batch(jnp.zeros((len(weight), 1)), ids(len(weight)), weight=jnp.asarray(weight, float))
    operands = (jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), rows)
    close(mmd(*operands, form=form), expected)


def test_info_vae_between_its_ends():
    """alpha 0 and weight 1 is the ELBO; alpha 1 drops the divergence; the discrepancy is that of its own draws."""
    model, batch = MODELS["binary pixels"]()
    loss, metrics = evaluate(InfoVAE(0.0, 1.0), model, batch)
    close(loss, evaluate(ELBO(), model, batch)[0])
    other, _ = evaluate(InfoVAE(1.0, 7.0), model, batch)
    close(other, -average(metrics, "log_likelihood") + 7.0 * average(metrics, "mmd"))
    z = draw(model, batch, num_samples=1, key=jax.random.key(0)).z[0]
    prior = prior_samples(model, batch, key=jax.random.key(0))
    close(average(metrics, "mmd"), mmd(z, prior, batch, form="rbf"))


def test_prior_samples_are_independent_draws(getkey):
    model = MODELS["grey pixels"]()[0]
    many = Batch(jnp.zeros((20_000, 6)), jnp.arange(20_000, dtype=jnp.uint32))
    z = np.asarray(prior_samples(model, many, key=getkey()))
    agrees(z, [0.2, -0.1])
    agrees((z - [0.2, -0.1]) ** 2, np.exp([0.2, -0.6]))
    agrees((z[1:] - [0.2, -0.1]) * (z[:-1] - [0.2, -0.1]), [0.0, 0.0])


def test_a_wasserstein_autoencoder_needs_no_density():
    """A deterministic encoder: the cross-entropy and weight times the discrepancy of its codes."""
    model, batch = autoencoder()
    loss, metrics = evaluate(WAE(4.0, "rbf"), model, batch)
    codes, prior = jax.vmap(model.posterior)(batch.x).loc, prior_samples(model, batch, key=jax.random.key(0))
    distance = mmd(codes, prior, batch, form="rbf")
    close(average(metrics, "mmd"), distance)
    close(loss, -average(metrics, "log_likelihood") + 4.0 * distance)
    logits = np.asarray(jax.vmap(model.likelihood)(codes).logits, float)
    close(
        average(metrics, "log_likelihood"), stats.bernoulli.logpmf(np.asarray(batch.x), special.expit(logits)).sum() / 4
    )


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
