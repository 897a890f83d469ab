"""Where training starts: decoders near the data's mean, heads at its moments, and what of a prior stays as it was."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from sklearn.datasets import load_digits
from tables_heads import LIKELIHOOD_HEADS

from latens.config import LikelihoodConfig, NetworkConfig, VAEConfig, override
from latens.data import as_batch, load, prepare_batch
from latens.fitting import Experiment, _slope, prepare
from latens.models import (
    AffineHead,
    Conditional,
    DiscretisedLogisticHead,
    NormalHead,
    PoissonHead,
    SharedScaleNormalHead,
)
from latens.models.conditional import NEAR, cost_of_noise
from latens.models.heads.likelihoods import RATE_BOUND, bounded_log_rate, unbounded_log_rate
from latens.networks import Dense
from latens.objectives import ELBO
from latens.recipes import RECIPES, get_recipe
from latens.recipes.parts import bind
from latens.recipes.plan import prepared_moments, starting

DIGITS: Any = load_digits()
PICTURES = DIGITS.images.astype(np.uint8)
MEAN, VARIANCE = np.array([0.2, 0.5, 0.7]), np.array([0.09, 0.12, 0.15])
COUNTS, SPREAD = np.array([0.3, 2.0, 9.0]), np.array([0.8, 3.0, 40.0])


def started(data, family: str, **network):
    """The recommended recipe's model of these data before its first step, and its preparation."""
    recipe, likelihood = RECIPES["default"], LikelihoodConfig(family=family)
    config = VAEConfig(likelihood=likelihood, network=NetworkConfig(linear=False, **network))
    config, _ = recipe.resolve(config, data)
    prepare = recipe.preparation(data.schema, config)
    model = recipe.build(data.schema, config, key=jax.random.key(1))
    return starting(data.schema, bind(config))(model, data), prepare


@pytest.mark.parametrize("family", ["categorical", "continuous-bernoulli", "normal", "discretised-logistic"])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_first_pictures_are_the_mean_picture(kind, family):
    """Root mean square errors of first outputs: at most 10 % above that of the mean picture, whatever the latents."""
    data = load(PICTURES)
    hidden = {"dense": (64, 64), "conv": (16, 32)}[kind]
    model, prepare = started(data, family, kind=kind, hidden=hidden, activation="silu")
    z = jax.random.normal(jax.random.key(2), (64, 16))
    first = np.asarray(jax.jit(jax.vmap(lambda one: model.likelihood(one).mean()))(z))
    moments = prepared_moments(data, prepare, data.schema.levels or 2)
    unit = 1.0 if family in ("categorical", "discretised-logistic") else data.schema.levels
    rows = data.x[data.subset("train")][:64] / unit
    of_mean = np.sqrt(np.mean((rows - moments.mean) ** 2))
    assert np.sqrt(np.mean((rows - first) ** 2)) <= 1.1 * of_mean


def test_last_weights_shrink_only_where_noise_costs_much():
    """Nats a cell of outputs with variance one: 1 / (2 s^2) for a Normal in any unit, half the rate for a Poisson."""
    zeros, rng = np.zeros(500), np.random.default_rng(0)
    rows = rng.standard_normal((16, 500)).astype(np.float32)
    wide, narrow = (SharedScaleNormalHead((500,), jnp.asarray(np.log(s), jnp.float32)) for s in (10.0, 0.2))
    close(cost_of_noise(wide, zeros, rows), 0.005, rtol=0.1)
    close(cost_of_noise(narrow, zeros, rows), 12.5, rtol=0.1)
    units = np.geomspace(1.0, 1e6, 500).astype(np.float32)
    other = AffineHead(narrow, jnp.full(500, 7.0), jnp.asarray(units))
    close(cost_of_noise(other, zeros, 7.0 + units * rows), 12.5, rtol=0.1)
    counts = rng.poisson(30.0, (16, 500))
    close(cost_of_noise(PoissonHead((500,)), np.full(500, np.log(30.0)), counts), 15.0, rtol=0.1)
    network = Dense([2, 100, 500], key=jax.random.key(0))
    for head, factor in ((wide, 1.0), (narrow, np.sqrt(NEAR / 12.5))):
        start: Any = Conditional(network, head).with_output_bias(zeros, None, None, rows)
        close(start.network.layers[-1].weight, factor * network.layers[-1].weight, rtol=0.05)


def test_moments_of_the_prepared_rows():
    """Over several parts of 4,096 rows, with missing cells, against numpy."""
    x = np.random.default_rng(0).normal([0.0, 1e4, -3.0], [1.0, 0.1, 5.0], size=(10_000, 3))
    x[::7, 1] = np.nan
    data = load(x, missing="nan")
    _, prepare = started(data, "normal", hidden=(4,))
    moments = prepared_moments(data, prepare, 2)
    train = x[data.subset("train")].astype(np.float32).astype(np.float64)
    close(moments.mean, np.nanmean(train, axis=0), rtol=1e-6)
    close(moments.variance, np.nanvar(train, axis=0), rtol=1e-3)


def _variance(name: str, one) -> np.ndarray:
    match name:
        case "LaplaceHead":
            return 2 * np.exp(2 * one.log_scale)
        case "StudentTHead":
            df = np.exp(one.log_df)
            return df / (df - 2) * np.exp(2 * one.log_scale)
        case "NormalHead":
            return np.exp(2 * one.log_scale)
    raise ValueError(name)


@pytest.mark.parametrize("name", ["LaplaceHead", "LaplaceHead, log-variance", "LaplaceHead, softplus", 
                                   "StudentTHead",  
                                    "NormalHead"])  # fmt: skip
def test_heads_start_at_mean_and_variance(name):
    head, bias = (LIKELIHOOD_HEADS.get(name) or (lambda: NormalHead((3,), "softplus")))().started(MEAN, None, VARIANCE)
    one = head(jnp.asarray(bias, jnp.float32))
    close(one.mean(), MEAN, rtol=1e-4)
    close(_variance(name.split(",")[0], one), VARIANCE, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in LIKELIHOOD_HEADS if "NegativeBinomial" in n and "fixed" not in n])
def test_counts_start_at_mean_and_variance(name):
    head, bias = LIKELIHOOD_HEADS[name]().started(COUNTS, None, SPREAD)
    one = head(jnp.asarray(bias, jnp.float32))
    close(one.mean(), COUNTS, rtol=1e-4)
    inner, share = (one.inner, 0.9) if hasattr(one, "inner") else (one, 1.0)
    mean = np.asarray(inner.mean())
    second = mean + mean**2 * np.exp(-np.asarray(inner.log_dispersion)) + mean**2
    close(share * second - COUNTS**2, SPREAD, rtol=1e-3)


@pytest.mark.parametrize(
    ("levels", "form"), [(5, "softplus"), (17, "log-scale"), (17, "log-variance"), (256, "softplus")]
)
def test_discretised_logistics_start_at_mean_and_variance(levels, form):
    """Both by the sum over all levels; at 256 levels scales taken in the wrong unit are 127 times too large."""
    last = levels - 1
    mean, variance = last * np.array([0.2, 0.5, 0.7]), last**2 * np.array([0.04, 0.1, 0.05])
    head = DiscretisedLogisticHead((3,), levels, form)
    _, bias = head.started(mean, None, variance)
    one = head(jnp.asarray(bias, jnp.float32))
    p = np.stack([np.exp(np.float64(one.log_prob_terms(jnp.full(3, j)))) for j in range(levels)], axis=1)
    close(p @ np.arange(levels), mean, rtol=5e-3)
    close(p @ np.arange(levels) ** 2 - mean**2, variance, rtol=1e-2)


def test_rates_grow_in_proportion_above_their_bound():
    outputs = jnp.asarray([-1e4, 0.0, RATE_BOUND, RATE_BOUND + 9.0, 1e6])
    rates, slopes = jax.vmap(jax.value_and_grad(bounded_log_rate))(outputs)
    close(rates, [-1e4, 0.0, RATE_BOUND, RATE_BOUND + np.log(10.0), RATE_BOUND + np.log(1e6 - RATE_BOUND + 1)])
    close(slopes[:4], [1.0, 1.0, slopes[2], 0.1])
    assert 0.5 <= slopes[2] <= 1.0
    log_rates = np.array([-7.0, 3.0, RATE_BOUND, 15.0])
    close(bounded_log_rate(jnp.asarray(unbounded_log_rate(log_rates), jnp.float32)), log_rates, rtol=1e-5)


@pytest.mark.parametrize("family", ["poisson", "zero-inflated-negative-binomial"])
def test_sparse_counts_start_as_independent_columns(family):
    """500 columns of which most are nearly always 0, and rows of very different totals: within 5 % at step 0."""
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(-4.0, 2.0, 500)) * rng.lognormal(0.0, 0.7, (400, 1))
    x = rng.poisson(rates * rng.gamma(0.5, 2.0, (400, 500)))
    data = load(x, counts=True)
    model, prepare = started(data, family, hidden=(64, 64), activation="silu")
    rows = np.asarray(data.x[data.subset("train")])
    moments = prepared_moments(data, prepare, 2)
    head, bias = model.decoder.head.started(moments.mean, None, moments.variance)
    independent = head(jnp.asarray(bias, jnp.float32))
    alone = float(jnp.mean(jax.vmap(independent.log_prob)(jnp.asarray(rows))))
    _, metrics = jax.jit(lambda b: ELBO()(model, b, key=jax.random.key(0), step=jnp.zeros((), int)))(as_batch(rows))
    total, weight = metrics["log_likelihood"]
    assert float(total / weight) == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("name", ["vamp-prior", "vq-vae"])
def test_first_weights_do_not_depend_on_settings_of_jax(name):
    """Also those that are not drawn on the host: pseudo-inputs, codes."""
    rows = np.random.default_rng(0).integers(0, 2, (64, 16)).astype(np.uint8)
    config = override(RECIPES[name].config, {"training.steps": 1, "network.hidden": [8]})
    usual = jax.tree.leaves(prepare(config, load(rows)).new_model())
    generators = (jax.default_prng_impl("rbg"), jax.default_prng_impl("unsafe_rbg"), jax.threefry_partitionable(False))
    for setting in (*generators, jax.enable_x64(True)):
        with setting:
            other = jax.tree.leaves(prepare(config, load(rows)).new_model())
        for one, two in zip(usual, other, strict=True):
            assert np.array_equal(one, two)
            assert getattr(one, "dtype", None) == getattr(two, "dtype", None)


ROWS = load(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))
SMALL = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 2, "prior.kind": "mixture"}
SAID = {
    "elbo": "",
    "wae": "the weights of the mixture stay equal",
    "info-vae": "the weights of the mixture are trained by the KL alone",
    "aae": "the mixture stays as it was drawn",
}


def of(objective: str, prior: str = "mixture", **options: object) -> Experiment:
    given = {**SMALL, "prior.kind": prior, "objective.name": objective} | {
        f"objective.{n}": v for n, v in options.items()
    }
    return prepare(override(get_recipe("default").config, given), ROWS)


def said(experiment: Experiment) -> list[str]:
    return [reason for reason in experiment.reasons if reason.startswith("prior: ")]


def test_what_is_not_trained_is_said() -> None:
    """Before, nothing was said, and the weights of the mixture stayed as they were."""
    assert said(of("wae")) == [
        "prior: the weights of the mixture stay equal, as wae compares draws of it, which have no gradient by it; "
        "use --set objective=elbo, or `latens refit RUN --prior mixture` afterwards"
    ]
    assert said(of("aae"))[0].startswith("prior: the mixture stays as it was drawn, as aae compares draws of it")
    assert said(of("wae", "standard-normal")) == said(of("elbo")) == []


@pytest.mark.parametrize("objective", SAID)
def test_what_is_said_not_to_be_trained_has_no_gradient(objective: str) -> None:
    experiment = of(objective)
    assert len(said(experiment)) == bool(SAID[objective])
    assert all(reason.startswith(f"prior: {SAID[objective]}, as {objective} compares") for reason in said(experiment))
    batch = prepare_batch(experiment.preparation, ROWS.rows(np.arange(20)), key=None)
    objects = experiment.new_model(), experiment.stages()[-1].objective
    slope = eqx.filter_jit(_slope)(*objects, batch, jax.random.key(1), False)[0].prior_part
    logits, loc = (float(np.abs(getattr(slope, name)).max()) for name in ("logits", "loc"))
    assert (logits > 1e-6) == (objective in ("elbo", "info-vae"))
    assert (loc > 1e-6) == (SAID[objective] != "the mixture stays as it was drawn")
