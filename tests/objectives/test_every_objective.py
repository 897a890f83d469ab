"""Every objective of the table on one small batch: its record, its slopes, and what must not matter.

One program of value, metrics and gradient serves all: order, padding and hidden values change nothing, the gradient is
a difference of values, and all numbers are as recorded; the oracles behind the records are the tests of each family.
"""

import itertools
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import BEST_ELBO, LOG_P, STEP, evaluate
from checks import agrees, close, public
from enumeration import coins, expected_bound, gradients, one_event, trained
from jax.flatten_util import ravel_pytree
from quantised_fixtures import BOOKS, vectors
from records import meets_record
from tables import MODELS, OBJECTIVES, batch_of, conjugate_pair, dense
from tables_labels import NEED_LABELS, with_labels
from tables_modalities import with_modalities
from tables_objectives import NEED_CODES, NEED_MODALITIES, SURROGATES

import latens.objectives
from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.models import CodeHead, CodePrior, Conditional, LatentModel, ScalarQuantiser
from latens.objectives import ELBO, IWAE, MIWAE, AbstractObjective, Reconstruction, Renyi, ScoreFunction, draw
from latens.objectives.base import coupling, run_objective
from latens.objectives.elbo import importance_bound
from latens.trainable import partition_trainable

GROUPS = 6


def test_every_public_objective_is_registered_and_says_whether_it_couples_rows():
    assert public(latens.objectives, AbstractObjective) == {type(make()).__name__ for make in OBJECTIVES.values()}
    assert all(coupling(make()) is not None for make in OBJECTIVES.values())


def model_for(name):
    """The binary pixels, with labels, modalities or codes for an objective that needs them."""
    model, batch = MODELS["binary pixels"]()
    if name in NEED_LABELS:
        return with_labels(name, model), batch
    if name in NEED_MODALITIES:
        return with_modalities(name), batch
    if name in NEED_CODES:
        codes = CodeHead((4,), vectors(BOOKS[:, :, :2]) if "vectors" in name else ScalarQuantiser((5, 4)))
        decoder = Conditional(dense([4, 5, 6], jax.random.key(9)), model.decoder.head)
        model = LatentModel(CodePrior(), Conditional(model.encoder.network, codes), decoder)
    return model, batch


@pytest.mark.parametrize("name", ["ELBO", "WAE", "AAE", "StratifiedELBO"])
def test_every_part_is_told_the_conditions(monkeypatch, name):
    """One of each file that asks a model for its parts: a prior that reads a batch would be that of no batch."""
    told = set()

    def heard(part, usual):
        def asked(*args, cond=None, **options):
            told.add((part, cond is not None))
            return usual(*args, cond=cond, **options)

        return asked

    for part in ("prior", "posterior", "likelihood"):
        monkeypatch.setattr(LatentModel, part, heard(part, getattr(LatentModel, part)))
    model, batch = model_for(name)
    batch, objective = replace(batch, cond={"given": jnp.zeros((len(batch.row_id), 1))}), OBJECTIVES[name]()
    jax.eval_shape(lambda batch: objective(model, batch, key=jax.random.key(0), step=STEP), batch)
    assert told == {(part, True) for part in ("prior", "posterior", "likelihood")}


WHOLE = NEED_MODALITIES
"""Objectives for rows of which parts are missing as a whole."""


def rows(index, weight, junk=0.0, masked=True):
    """Rows of three and their labels; -1 is a row of padding, which holds junk as masked cells do."""
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 3)).astype(float)
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.7
    index = np.array(index)
    pad = (index < 0)[:, None, None]
    seen = mask[index] if masked else np.ones_like(mask)[index]
    values = np.where(pad, junk, np.where(seen, x[index], junk))
    ids, label = np.where(index < 0, 0, np.array([7, 3, 9])[index]), np.array([0, -1, 1])[index]
    return Batch(
        jnp.asarray(values),
        jnp.asarray(ids, jnp.uint32),
        jnp.asarray(pad | seen) if masked else None,
        jnp.asarray(weight, float),
        label=jnp.asarray(np.where(index < 0, -1, label), jnp.int32),
    )


@pytest.mark.parametrize("group", range(GROUPS))
def test_values_slopes_and_what_must_not_matter(group, float64):
    """Weights 1, 2, 1 and padding; permuted; one row written twice; NaN in padding and behind masks.

    Numbers of two halves, by their weight, are those of the batch; or the objective says why they are not.
    """
    names = list(OBJECTIVES)[group::GROUPS]
    parts = {name: partition_trainable((model_for(name)[0], OBJECTIVES[name]())) for name in names}
    flat = {name: ravel_pytree(trainable) for name, (trainable, _) in parts.items()}
    # What an objective trains of its own, as a critic, follows another loss.
    side = {
        name: jnp.cos(jnp.arange(flat[name][0].size)) * (jnp.arange(flat[name][0].size) < ravel_pytree(own[0])[0].size)
        for name, (own, _) in parts.items()
    }

    def one(name, theta, batch):
        def loss(theta):
            model, objective = eqx.combine(flat[name][1](theta), parts[name][1])
            found = run_objective(objective, model, batch, key=jax.random.key(0), step=STEP, training=True)
            return found[0], found[1]

        return jax.value_and_grad(loss, has_aux=True)(theta)

    every = jax.jit(lambda thetas, batches: {name: one(name, thetas[name], batches[name in WHOLE]) for name in names})

    def run(*batch, step=0.0, **options):
        thetas = {name: theta + step * side[name] for name, (theta, _) in flat.items()}
        return every(thetas, [rows(*batch, masked=masked, **options) for masked in (True, False)])

    first = [0, 1, 2, -1, -1], [1, 2, 1, 0, 0]
    base, above, below = run(*first), run(*first, step=1e-5), run(*first, step=-1e-5)
    same = [run([2, -1, 1, 0, -1], [1, 0, 2, 1, 0]), run([0, 1, 1, 2, -1], [1, 1, 1, 1, 0]), run(*first, junk=np.nan)]
    whole = run([0, 1, 2, 0, -1], [1, 2, 1, 1, 0])
    halves = [run([0, 1, -1, -1, -1], [1, 2, 0, 0, 0]), run([2, 0, -1, -1, -1], [1, 1, 0, 0, 0])]
    for name, ((value, metrics), slope) in base.items():
        for (other, other_metrics), other_slope in (found[name] for found in same):
            close(other, value, rtol=1e-7)
            close(other_slope, slope, rtol=1e-6, atol=1e-8)
            jax.tree.map(lambda a, b: close(a, b, rtol=1e-7), other_metrics, metrics)
        if name not in SURROGATES:
            along = slope @ side[name]
            np.testing.assert_allclose(along, (above[name][0][0] - below[name][0][0]) / 2e-5, rtol=2e-5, err_msg=name)
        meets_record(f"objective {name}", (value, metrics, slope), rtol=1e-5)
        objective = OBJECTIVES[name]()
        all_rows, *parted = (np.append(part[name][0][0], part[name][1]) for part in (whole, *halves))
        gap = np.abs(all_rows - 0.6 * parted[0] - 0.4 * parted[1]).max() / np.abs(all_rows).max()
        if isinstance(objective, ELBO) and (objective.couples_rows() or objective.free_bits):
            continue  # a bound, on one side of which both halves may be
        if name not in NEED_CODES:  # its metrics count codes over the batch; critics are in single precision
            assert (gap > 1e-4) if objective.couples_rows() else (gap < 1e-6), name


def test_a_baseline_of_the_other_draws_needs_two():
    for baseline, fewest in (("leave-one-out", 2), ("none", 1)):
        ScoreFunction(fewest, baseline)
        with pytest.raises(ConfigError, match=r"objective\.num_samples"):
            ScoreFunction(fewest - 1, baseline)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(kl="sampled"), IWAE(2), IWAE(2, "dreg"), Reconstruction()])
def test_a_gradient_that_would_lack_a_term_is_refused(objective):
    """Through samples of coins there is none; the number itself is still there, and right."""
    loss, metrics = evaluate(objective, coins(), one_event())
    close(-loss, metrics[objective.monitor][0])
    with pytest.raises(ConfigError) as error:
        gradients(objective, coins(), one_event(), 1)
    assert error.value.message == "samples of a Bernoulli posterior have no gradient by its parameters."


def importance(count):
    """The mean bound of so many draws of the conjugate pair at x = 1.5, by quadrature."""

    def bound(model):
        points, weights = np.polynomial.hermite_e.hermegauss(40)
        draws = draw(model, batch_of(np.array([[1.5]])), num_samples=40, noise=jnp.asarray(points)[:, None, None])
        ways = np.array(list(itertools.product(range(40), repeat=count))).T
        share = np.prod((weights / weights.sum())[ways], axis=0)
        return jnp.asarray(share) @ importance_bound(draws.log_weight[:, 0][ways])

    return bound


def coin_bound(model):
    return expected_bound(model, 1, lambda log_weight: log_weight[0])


UNBIASED = {
    "ELBO": (ELBO(kl="sampled"), importance(1)),
    "ELBO, closed form": (ELBO(), importance(1)),
    "IWAE": (IWAE(2), importance(2)),
    "IWAE, doubly reparameterised": (IWAE(2, "dreg"), importance(2)),
    "IWAE, sticking the landing": (IWAE(1, "stl"), importance(1)),
    "MIWAE": (MIWAE(2, 2), importance(2)),
    "Renyi of its limit": (Renyi(0.0, 2), importance(2)),
    "ScoreFunction, no baseline": (ScoreFunction(1, "none"), coin_bound),
    "ScoreFunction": (ScoreFunction(3), coin_bound),
    "ScoreFunction, closed form": (ScoreFunction(3, kl="analytic"), coin_bound),
}


def test_values_and_slopes_have_the_mean_of_their_bound(float64):
    """By every number of a model of which the bound is known: a pair of Normals by quadrature, coins by enumeration."""

    def both(objective, bound):
        model, batch = (
            (coins(), one_event()) if bound is coin_bound else (conjugate_pair(), batch_of(np.array([[1.5]])))
        )
        theta, rebuild, rest = trained(model)
        of = lambda t, key: objective(eqx.combine(rebuild(t), rest), batch, key=key, step=STEP)[0]  # noqa: E731
        drawn = jax.vmap(jax.value_and_grad(of), (None, 0))(theta, jax.random.split(jax.random.key(3), 10_000))
        return drawn, jax.value_and_grad(lambda t: -bound(eqx.combine(rebuild(t), rest)))(theta)

    every = jax.jit(lambda: {name: both(*pair) for name, pair in UNBIASED.items()})()
    for name, (drawn, exact) in every.items():
        try:
            jax.tree.map(agrees, drawn, exact)
        except AssertionError as error:
            error.add_note(name)
            raise


def test_bounds_climb_to_the_evidence():
    """ELBO, K = 5 and 50 of 8,000 rows within 5 standard errors; K (log p - L_K) tends to chi2 / 2 = 0.1019."""
    many = Batch(jnp.full((8_000, 1), 1.5), jnp.arange(8_000, dtype=jnp.uint32))
    draws = jax.jit(lambda: draw(conjugate_pair(), many, num_samples=50, key=jax.random.key(0)))()
    log_weight = np.asarray(draws.log_weight)
    bounds = [np.asarray(importance_bound(jnp.asarray(log_weight[:count]))) for count in (1, 5, 50)]
    for bound, expected, error in zip(bounds, (BEST_ELBO, -1.85058, -1.83011), (0.0, 0.00011, 0.00007)):
        agrees(bound, expected, other_error=error)
    assert bounds[0].mean() < bounds[1].mean() < bounds[2].mean() < LOG_P
    agrees(np.exp(log_weight[0].astype(float) - LOG_P), 1.0)
