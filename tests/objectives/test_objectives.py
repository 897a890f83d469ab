"""Objectives and draws: exact values, identities, and what must not matter."""

import dataclasses
import inspect
import math

import bound_checks
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import BEST_ELBO, LOG_P, STEP, draw, evaluate, importance_bound, loss_of, same_loss_and_gradient
from checks import agrees, close, finite_difference
from jax.flatten_util import ravel_pytree
from scipy import special, stats
from tables import MODELS, OBJECTIVES, X, autoencoder, batch_of, conjugate_pair, dense, linear_gaussian
from tables_labels import NEED_LABELS, with_labels
from tables_modalities import with_modalities
from tables_objectives import NEED_CODES, NEED_IMAGES, NEED_MODALITIES, NEED_NORMAL, SURROGATES

import latens.objectives
from latens.data.batches import Batch, as_batch
from latens.distributions import kl_terms
from latens.errors import ConfigError
from latens.models import (
    CodeHead,
    CodePrior,
    Conditional,
    LatentModel,
    ScalarQuantiser,
    SharedScaleNormalHead,
    Standardise,
)
from latens.objectives import ELBO, AbstractObjective, Reconstruction
from latens.objectives.base import coupling, run_objective, sum_of_squares, weighted
from latens.trees import partition_trainable

rows = pytest.mark.parametrize("name", OBJECTIVES)
CHECKS = [value for name, value in vars(bound_checks).items() if name.startswith("check_")]


def test_every_public_objective_is_in_a_table():
    public = {
        name
        for name, value in vars(latens.objectives).items()
        if inspect.isclass(value) and issubclass(value, AbstractObjective) and not name.startswith("Abstract")
    }
    assert public == {type(make()).__name__ for make in OBJECTIVES.values()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_number(check):
    check()


def model_for(name):
    """The binary pixels, under a Normal with one learned scale for an objective that needs one."""
    model, batch = MODELS["binary pixels"]()
    if name in NEED_LABELS:
        return with_labels(name, model), batch
    if name in NEED_MODALITIES:
        return with_modalities(name), batch
    if name in NEED_NORMAL:
        head = SharedScaleNormalHead((2, 3), jnp.zeros(()))
        model = LatentModel(model.prior_part, model.encoder, Conditional(model.decoder.network, head))
    if name in NEED_CODES:
        codes = CodeHead((4,), ScalarQuantiser((5, 4)))
        decoder = Conditional(dense([4, 5, 6], jax.random.key(9)), model.decoder.head)
        model = LatentModel(CodePrior(), Conditional(model.encoder.network, codes), decoder)
    return model, batch


@pytest.mark.long  # two minutes: eagerly, every operation is a program of its own
@rows
def test_jit_meets_eager(name, strict):
    model, batch = model_for(name)
    objective = OBJECTIVES[name]()
    run = lambda batch: objective(model, batch, key=jax.random.key(0), step=STEP)  # noqa: E731
    eager, compiled = run(batch), jax.jit(run)(batch)
    for a, b in zip(jax.tree.leaves(compiled), jax.tree.leaves(eager)):
        close(a, b)
    assert objective.monitor in eager[1]
    assert objective.maximise


@pytest.mark.parametrize(
    "name", [n for n in OBJECTIVES if n not in SURROGATES | NEED_IMAGES | NEED_MODALITIES | set(NEED_LABELS)]
)
def test_gradient_meets_finite_difference(name, float64):
    theta, rebuild = ravel_pytree(conjugate_pair(0.4, 0.7))
    batch, objective = batch_of(np.array([[1.5], [-0.2]])), OBJECTIVES[name]()
    loss = lambda t: loss_of(objective, rebuild(t), batch)  # noqa: E731
    close(jax.jit(jax.grad(loss))(theta), finite_difference(loss, theta), rtol=1e-6, atol=1e-7)


@rows
def test_order_padding_and_hidden_values_do_not_matter(name):
    """Weights 1, 2, 1 and padding; permuted; one row written twice; NaN in padding and behind masks."""
    model, _ = model_for(name)
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 3)).astype(np.float32)
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.7
    ids = np.array([7, 3, 9])

    def batch(index, weight, junk=0.0, hidden=0.0):
        """The rows `index`; -1 is a row of padding that holds `junk`."""
        index = np.array(index)
        pad = (index < 0)[:, None, None]
        values = np.where(pad, junk, np.where(mask[index], x[index], hidden))
        rows = jnp.asarray(np.where(pad, True, mask[index]))
        row_id = jnp.asarray(np.where(index < 0, 0, ids[index]), jnp.uint32)
        return Batch(jnp.asarray(values, jnp.float32), row_id, rows, jnp.asarray(weight, jnp.float32))

    same_loss_and_gradient(
        OBJECTIVES[name](),
        model,
        batch([0, 1, 2, -1, -1], [1, 2, 1, 0, 0]),
        batch([2, -1, 1, 0, -1], [1, 0, 2, 1, 0]),
        batch([0, 1, 1, 2, -1], [1, 1, 1, 1, 0]),
        batch([0, 1, 2, -1, -1], [1, 2, 1, 0, 0], junk=np.nan, hidden=np.nan),
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_says_whether_it_couples_rows(name):
    assert coupling(OBJECTIVES[name]()) is not None


@pytest.mark.more
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_says_that_it_sees_a_batch_as_a_whole(name):
    """The gradients of two halves, by their weight, are that of the batch; or the objective says why they are not."""
    model, objective = model_for(name)[0], OBJECTIVES[name]()
    x = jnp.concatenate([MODELS["binary pixels"]()[1].x] * 2)
    weight, label = np.array([1, 2, 1, 1, 3, 1, 0, 1], np.float32), np.array([0, -1, -1, -1, 1, 0, 1, -1], np.int32)
    batch = Batch(x, jnp.arange(8, dtype=jnp.uint32), weight=jnp.asarray(weight), label=jnp.asarray(label))
    trainable, rest = partition_trainable((model, objective))

    @jax.jit
    def slope(batch):
        def loss(t):
            model, objective = eqx.combine(t, rest)
            return run_objective(objective, model, batch, key=jax.random.key(0), step=STEP, training=True)[0]

        value, gradient = jax.value_and_grad(loss)(trainable)
        return ravel_pytree((value, gradient))[0]

    cut = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(0, 4), slice(4, 8))]
    shares = weight.reshape(2, 4).sum(1) / weight.sum()
    whole, halves = np.asarray(slope(batch)), sum(s * np.asarray(slope(half)) for s, half in zip(shares, cut))
    gap = np.abs(whole - halves).max() / np.abs(whole).max()
    if isinstance(objective, ELBO) and (objective.couples_rows() or objective.free_bits):
        return  # a bound, on one side of which both halves may be
    if name == "Quantised":
        return  # its metrics count codes over the batch
    # Rounding is below 1e-5.
    assert (gap > 1e-4) if objective.couples_rows() else (gap < 1e-5)


def test_free_bits_are_of_the_rows_of_a_shard():
    """Between the mean KL of two halves, one half has its KL as penalty and the other the free bits."""
    model, batch = MODELS["binary pixels"]()
    kl = np.asarray(jax.vmap(lambda x: kl_terms(model.posterior(x), model.prior()).sum())(batch.x))
    halves = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(0, 2), slice(2, 4))]
    units = math.prod(np.shape(kl_terms(model.posterior(batch.x[0]), model.prior())))
    means = np.array([kl[:2].mean(), kl[2:].mean()])
    bound = ELBO(free_bits=float(means.mean()), free_bits_group=units)
    for half, mean in zip(halves, means):
        penalty = float(loss_of(bound, model, half)) - float(loss_of(ELBO(beta=0.0), model, half))
        close(penalty, max(means.mean(), mean), atol=1e-5)
    assert means.min() < means.mean() < means.max()


def test_a_capacity_is_of_the_whole_batch():
    """At the mean KL as its capacity the penalty is 0; of halves, whose means lie about it, it is their distance."""
    model, batch = MODELS["binary pixels"]()
    value = lambda objective, rows: float(loss_of(objective, model, rows))  # noqa: E731
    kl = np.asarray(jax.vmap(lambda x: kl_terms(model.posterior(x), model.prior()).sum())(batch.x))
    tight, free = ELBO(capacity=float(kl.mean())), ELBO(beta=0.0)
    halves = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(0, 2), slice(2, 4))]
    close(value(tight, batch) - value(free, batch), 0.0, atol=1e-5)
    apart = abs(kl[:2].mean() - kl[2:].mean()) / 2
    assert apart > 0.01
    close(np.mean([value(tight, half) - value(free, half) for half in halves]), apart, rtol=1e-3)
    assert tight.couples_rows() == "objective.capacity bounds the mean KL of a whole batch"
    assert free.couples_rows() == ""


def test_options_that_do_nothing_change_nothing():
    model, batch = MODELS["binary pixels"]()
    value = lambda *operands: evaluate(*operands)[0]  # noqa: E731
    plain = value(ELBO(), model, batch)
    for same in (ELBO(beta=1.0), ELBO(free_bits=0.0), ELBO(l2=0.0), ELBO(beta=lambda step: step / 5)):
        close(value(same, model, batch), plain, rtol=1e-7)
    half = OBJECTIVES["ELBO, beta by schedule"]()
    close(value(half, model, batch), value(ELBO(beta=0.5), model, batch), rtol=1e-7)


def test_the_bound_with_an_analytic_and_a_sampled_kl_have_the_same_expectation():
    model, batch = MODELS["binary pixels"]()
    many = jax.tree.map(lambda leaf: jnp.tile(leaf, (2_000, *(1,) * (leaf.ndim - 1))), batch)
    many = Batch(many.x, jnp.arange(8_000, dtype=jnp.uint32))
    draws = draw(
        model, many, num_samples=1, key=jax.random.key(0), statistics={"kl": lambda q, p, z, x: kl_terms(q, p).sum()}
    )
    sampled = np.asarray(draws.log_posterior - draws.log_prior)[0]
    agrees(sampled - np.asarray(draws.statistics["kl"]), 0.0)
    units = jax.vmap(model.posterior)(many.x)
    loc, log_scale = np.asarray(units.loc), np.asarray(units.log_scale)
    close(draws.statistics["kl"], ((loc**2 + np.exp(2 * log_scale) - 1) / 2 - log_scale).sum(axis=1))


def test_permuting_a_batch_permutes_its_log_weights():
    model, batch = MODELS["conditions and units"]()
    order = np.array([2, 0, 3, 1])
    draws = lambda b: draw(model, b, num_samples=3, key=jax.random.key(0)).log_weight  # noqa: E731
    close(draws(jax.tree.map(lambda leaf: leaf[order], batch)), draws(batch)[:, order])


def test_more_samples_keep_the_first_ones():
    model, batch = MODELS["binary pixels"]()
    two, three = (draw(model, batch, num_samples=k, key=jax.random.key(0)) for k in (2, 3))
    close(three.z[:2], two.z, rtol=0, atol=0)
    close(three.log_weight[:2], two.log_weight)
    assert three.z.shape == (3, 4, 2)


def test_rows_without_an_id_get_one_from_their_bytes():
    """Equal rows then draw equal noise, wherever they stand."""
    model, batch = MODELS["binary pixels"]()
    rows = np.asarray(batch.x)[[0, 1, 0]]
    weights = draw(model, as_batch(rows), num_samples=2, key=jax.random.key(0)).log_weight
    close(weights[:, 0], weights[:, 2], rtol=0, atol=0)
    assert np.all(np.abs(weights[:, 0] - weights[:, 1]) > 1e-3)


def test_zero_noise_gives_the_mean_and_a_scale_multiplies_it():
    model, batch = MODELS["binary pixels"]()
    posterior = jax.vmap(model.posterior)(batch.x)
    key = jax.random.key(0)
    close(draw(model, batch, num_samples=2, key=key, noise_scale=0.0).z, [posterior.loc] * 2, rtol=0, atol=0)
    given = draw(model, batch, num_samples=1, noise=jnp.zeros((1, 4, 2)))
    close(given.z[0], posterior.loc, rtol=0, atol=0)
    close(given.log_posterior[0], -np.log(2 * np.pi) - np.asarray(posterior.log_scale).sum(axis=1))
    once, twice = (draw(model, batch, num_samples=2, key=key, noise_scale=s).z for s in (1.0, 2.0))
    close(twice - posterior.loc, 2 * (once - posterior.loc))
    close(once, draw(model, batch, num_samples=2, key=key).z)
    noise = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    exact = np.asarray(posterior.loc) + np.exp(np.asarray(posterior.log_scale)) * noise
    close(draw(model, batch, num_samples=2, noise=jnp.asarray(noise)).z, exact)


def test_an_elbo_with_noise_of_another_scale():
    """Without noise the likelihood is that of the mean and the KL stays; validation keeps the posterior's own noise."""
    model, batch = MODELS["binary pixels"]()
    options = {"key": jax.random.key(0), "step": jnp.asarray(0)}
    _, whole = ELBO()(model, batch, **options)
    _, none = ELBO(noise_scale=0.0)(model, batch, **options)
    at_mean = draw(model, batch, num_samples=1, noise=jnp.zeros((1, 4, 2)), dropout=False).log_likelihood
    close(none["log_likelihood"][0], jnp.sum(at_mean))
    close(none["kl"][0], whole["kl"][0], rtol=0, atol=0)
    _, once, _ = run_objective(ELBO(), model, batch, training=False, **options)
    _, validated, _ = run_objective(ELBO(noise_scale=0.0), model, batch, training=False, **options)
    close(validated["elbo"][0], once["elbo"][0], rtol=0, atol=0)
    assert "no bound" in ELBO(noise_scale=0.0).remarks()[0]
    assert ELBO().remarks() == []
    with pytest.raises(ConfigError, match=r"noise_scale must be 0.0 or more, not -1"):
        ELBO(noise_scale=-1.0)


def test_linear_gaussian_bounds(float64):
    """The reference page: the best diagonal q, and q = prior, by Gauss-Hermite noise (exact for quadratics)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    noise = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(16, 1, 2)
    weight = np.outer(weights, weights).ravel() / weights.sum() ** 2
    for posterior, expected in (("best", -3.29523823552), ("prior", -7.65489428387)):
        model = linear_gaussian(posterior)
        draws = draw(model, batch_of(X[None]), num_samples=16, noise=jnp.asarray(noise))
        close(weight @ np.asarray(draws.log_weight)[:, 0], expected, rtol=1e-9)


def test_no_diagonal_posterior_is_better(float64):
    """The gradient of the exact bound by q's four numbers is 0 at the best one, so the table's value is the maximum."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    noise = jnp.asarray(np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(16, 1, 2))
    weight = jnp.asarray(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    theta, rebuild = ravel_pytree(linear_gaussian().encoder)

    def bound(theta):
        model = linear_gaussian()
        model = type(model)(model.prior_part, rebuild(theta), model.decoder)
        return weight @ draw(model, batch_of(X[None]), num_samples=16, noise=noise).log_weight[:, 0]

    close(jax.grad(bound)(theta), np.zeros(theta.size), atol=1e-9)


def test_importance_bounds_climb_to_the_evidence():
    """K = 1, 5, 50 within 5 standard errors of the reference values; K (log p - L_K) tends to chi2 / 2 = 0.1019."""
    many = Batch(jnp.full((8_000, 1), 1.5), jnp.arange(8_000, dtype=jnp.uint32))
    log_weight = np.asarray(draw(conjugate_pair(), many, num_samples=50, key=jax.random.key(0)).log_weight, np.float64)
    agrees(log_weight[0], BEST_ELBO)
    agrees(importance_bound(jnp.asarray(log_weight[:5])), -1.85058, other_error=0.00011)
    agrees(importance_bound(jnp.asarray(log_weight)), -1.83011, other_error=0.00007)
    agrees(np.exp(log_weight[0] - LOG_P), 1.0)
    agrees(np.exp(2 * (log_weight[0] - LOG_P)) - 1, 0.203829472709)


def test_upper_bound_of_the_evidence(getkey):
    """E_posterior[log w] = -1.7001885332, with z from the exact posterior N(0.75, 0.5)."""
    z = 0.75 + np.sqrt(0.5) * jax.random.normal(getkey(), (50_000, 1, 1))
    given = Batch(jnp.asarray([[1.5]]), jnp.zeros(1, jnp.uint32))
    draws = draw(conjugate_pair(), given, num_samples=50_000, noise=z - 0.5)
    agrees(draws.log_weight[:, 0], -1.7001885332)


def test_reconstruction_is_the_cross_entropy_of_an_autoencoder():
    model, batch = autoencoder()
    loss, metrics = evaluate(Reconstruction(), model, batch)
    z = jax.vmap(model.posterior)(batch.x).loc
    logits = np.asarray(jax.vmap(model.likelihood)(z).logits, float)
    exact = stats.bernoulli.logpmf(np.asarray(batch.x), special.expit(logits)).sum()
    close(metrics["log_likelihood"], (exact, 4.0))
    close(loss, -exact / 4)
    for kind in ("analytic", "sampled"):
        with pytest.raises(TypeError, match=r"no density.*Reconstruction\(\)"):
            ELBO(kl=kind)(model, batch, key=jax.random.key(0), step=STEP)


def test_a_batch_of_padding_alone_is_zero():
    model, batch = MODELS["binary pixels"]()
    empty = Batch(batch.x, batch.row_id, weight=jnp.zeros(4))
    loss, metrics = evaluate(ELBO(), model, empty)
    close([loss, *metrics["elbo"]], [0.0, 0.0, 0.0])


def test_weighted_sums_and_squares():
    batch = batch_of(np.zeros((3, 1)), weight=jnp.asarray([0.5, 2.0, 0.0]))
    close(weighted(jnp.asarray([1.0, -3.0, jnp.nan]), batch), (-5.5, 2.5))
    tree = {"weight": jnp.asarray([[1.0, 2.0]]), "b": jnp.asarray([3.0]), "n": 5}
    close(sum_of_squares(tree), 2.5)
    close(sum_of_squares(tree, "all"), 7.0)


def test_frozen_arrays_are_not_penalised():
    """L2 is half the squares of the trained matrices; a frozen one, of any size, adds nothing."""
    model, batch = MODELS["binary pixels"]()
    squares = sum((np.asarray(w) ** 2).sum() for w in jax.tree.leaves(model) if np.ndim(w) == 2) / 2
    standardise = Standardise(np.full((2, 3), 9.0), np.full((2, 3), 100.0))
    encoder = Conditional(model.encoder.network, model.encoder.head, standardise)
    model = LatentModel(model.prior_part, encoder, model.decoder)
    close(evaluate(ELBO(l2=1.0), model, batch)[0] - evaluate(ELBO(), model, batch)[0], squares)


OBJECTIVE_KINDS = [
    kind
    for kind in vars(latens.objectives).values()
    if isinstance(kind, type) and issubclass(kind, latens.objectives.AbstractObjective) and not inspect.isabstract(kind)
    if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(kind))
]


@pytest.mark.parametrize("kind", OBJECTIVE_KINDS, ids=lambda kind: kind.__name__)
def test_numbers_of_objectives_are_finite_and_weights_not_negative(kind):
    """A weight of NaN or infinity trains nothing, and a negative one rewards what it should penalise."""
    weights = {"beta", "gamma", "l2", "capacity", "weight"} | ({"alpha"} if kind is latens.objectives.BetaTC else set())
    for field in dataclasses.fields(kind):
        for value in (np.nan, np.inf, *([-1.0] if field.name in weights else [])):
            if type(field.default) is float or field.name in weights:
                with pytest.raises(ConfigError, match=r"objective\."):
                    kind(**{field.name: value})
