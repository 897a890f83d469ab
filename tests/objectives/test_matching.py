"""Maximum mean discrepancy: against numpy and closed forms of two Normals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import average, draw, evaluate, ids
from checks import agrees, close
from scipy import special, stats
from tables import MODELS, autoencoder

from latens.data.dataset import Batch
from latens.objectives import ELBO, WAE, InfoVAE
from latens.objectives.base import prior_samples
from latens.objectives.mmd import IMQ_SCALES, mmd


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
