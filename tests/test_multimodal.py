"""Several modalities: experts made one, bounds against exact values, and what a missing modality must not touch."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from bound_checks import STEP
from checks import agrees, close, linear_dense
from latens.config import override
from latens.data import Column, Schema, load
from latens.data.batches import Batch
from latens.distributions import Blocks, DiagonalNormal, Joined, Product, StandardNormal, log_prob
from latens.errors import ConfigError
from latens.evaluation import impute
from latens.experiment import prepare
from latens.models import (
    ByModality,
    Conditional,
    Experts,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    SideBySide,
    product_of_normals,
)
from latens.objectives import ELBO, AlignedELBO, StratifiedELBO, SubsetELBO
from latens.recipes import get_recipe
from latens.recipes.modalities import ExpertsOptions, blocks_of
from latens.trees import Frozen, count_parameters
from tables import linear

# Columns at right angles: what each modality says of z is a diagonal Normal, so that products of experts are exact.
WEIGHTS = {
    "a": np.array([[1.0, 0.5], [-0.5, 1.0], [0.5, 0.0]])[:2],
    "b": np.array([[0.7, 0.0], [0.0, -1.3], [0.0, 0.4]]),
    "c": np.array([[0.4, 0.9]])[:, :1] * np.array([[1.0, 0.0]]),
}
OFFSETS = {"a": np.array([0.3, -1.0]), "b": np.array([0.0, 2.0, 1.0]), "c": np.array([0.5])}
SCALES = {"a": 0.8, "b": 0.5, "c": 1.1}
X = {"a": np.array([0.9, 0.2]), "b": np.array([-0.4, 1.1, 0.3]), "c": np.array([1.7])}


def expert(name):
    """The precision and the mean of p(x_m | z) as a function of z; a unit that it does not see has almost none."""
    weight, variance = WEIGHTS[name], SCALES[name] ** 2
    precision = np.sum(weight**2, axis=0) / variance + 1e-6
    gain = weight.T / variance / precision[:, None]
    return precision, gain


def exact(names=("a", "b"), rule="product", blocks=None, joint=None, shift=0.0):
    """z ~ N(0, I), x_m = W_m z + mu_m + s_m e, with the exact experts moved by `shift`."""
    encoders, decoders = {}, {}
    for name in names:
        precision, gain = expert(name)
        weight = np.concatenate([gain.T, np.zeros(gain.T.shape)], axis=1)
        bias = np.concatenate([shift - gain @ OFFSETS[name], -0.5 * np.log(precision)])
        encoders[name] = Conditional(linear(weight, bias), NormalHead((2,)))
        head = SharedScaleNormalHead((len(OFFSETS[name]),), Frozen(jnp.asarray(np.log(SCALES[name]))))
        decoders[name] = Conditional(linear(WEIGHTS[name].T, OFFSETS[name]), head)
    return LatentModel(StandardNormal((2,)), Experts(encoders, rule, blocks, joint), ByModality(decoders, blocks))


def log_p(*names):
    """log p of these modalities of X."""
    weight, mean = (np.concatenate([part[n] for n in names]) for part in (WEIGHTS, OFFSETS))
    noise = np.concatenate([np.full(len(OFFSETS[n]), SCALES[n] ** 2) for n in names])
    x = np.concatenate([X[n] for n in names])
    return stats.multivariate_normal(mean, weight @ weight.T + np.diag(noise)).logpdf(x)


def row(*names):
    return {name: jnp.asarray(X[name], float) for name in names}


def rows(count, *names, mask=None):
    """The one row X so many times, each with noise of its own."""
    x = {name: jnp.broadcast_to(part, (count, *part.shape)) for name, part in row(*names).items()}
    shown = None if mask is None else {name: jnp.full(count, there) for name, there in mask.items()}
    return Batch(x, jnp.arange(count, dtype=jnp.uint32), shown)


def by_row(objective, model, batch, name=None):
    """The number minimised, or the metric of this name, of each row alone."""

    @jax.jit
    def each(rows):
        def one(single):
            loss, metrics = objective(model, jax.tree.map(lambda v: v[None], single), key=jax.random.key(3), step=STEP)
            return loss if name is None else metrics[name][0]

        return jax.vmap(one)(rows)

    return each(batch)


def by_hand(members, with_prior):
    """Precision and mean of a product of experts on X."""
    parts = [(p, gain @ (X[n] - OFFSETS[n])) for n in members for p, gain in [expert(n)]]
    parts += [(np.ones(2), np.zeros(2))] if with_prior else []
    precision = sum(p for p, _ in parts)
    return precision, sum(p * m for p, m in parts) / precision


# Posteriors


@pytest.mark.parametrize("rule", ["product", "product-of-encoders"])
@pytest.mark.parametrize("members", ["abc", "ac", "b", ""])
def test_a_product_weighs_by_precision(rule, members, strict):
    """Of what is observed, with the prior as an expert or without; where nothing is observed, the prior."""
    model = exact("abc", rule)
    mask = {name: jnp.asarray(name in members) for name in "abc"}
    found = model.posterior(row(*"abc"), mask=mask)
    precision, mean = by_hand(members, rule == "product" or not members)
    close(found.loc, mean)
    close(np.exp(-2 * np.asarray(found.log_scale)), precision, rtol=1e-4)
    if members:
        left_out = model.posterior(row(*members))
        close(left_out.loc, mean)


def test_a_product_of_very_narrow_experts_is_finite():
    """Precisions of e^100 overflow float32; equal ones halve the variance."""
    narrow = DiagonalNormal(jnp.array([[1.0], [3.0]]), jnp.full((2, 1), -50.0))
    both = product_of_normals(narrow, jnp.array([True, True]), with_prior=True)
    close(both.loc, [2.0])
    close(both.log_scale, [-50.0 - 0.5 * np.log(2.0)])


@pytest.mark.parametrize("members", ["abc", "bc", "a", ""])
def test_a_mixture_is_a_log_sum_of_its_experts(members, strict):
    """Of single experts, and of the products of all subsets of those observed."""
    z = np.array([0.4, -0.7])
    mask = {name: jnp.asarray(name in members) for name in "abc"}
    subsets = [s for n in range(1, 4) for s in itertools.combinations(members, n)]
    for rule, parts in (("mixture", list(members)), ("mixture-of-products", subsets)):
        terms = []
        for part in parts or [""]:
            precision, mean = by_hand(part, with_prior=not part)
            terms.append(stats.norm.logpdf(z, mean, precision**-0.5).sum())
        found = exact("abc", rule).posterior(row(*"abc"), mask=mask).log_prob(jnp.asarray(z, float))
        close(found, special.logsumexp(terms) - np.log(len(terms)), rtol=1e-4)


def test_a_joint_encoder_stands_where_all_are_observed():
    point = linear(np.zeros((5, 4)), np.array([1.0, 2.0, 0.1, 0.2]))
    model = exact(rule="joint", joint=Conditional(point, NormalHead((2,)), SideBySide()))
    whole = model.posterior({"a": row("a")["a"], "b": jnp.array([0.1, 0.2, 0.3])})
    close(np.stack([whole.loc, whole.log_scale]), [[1.0, 2.0], [0.1, 0.2]])
    for part in (model.posterior(row("a")), model.posterior(row("a", "b"), mask={"b": jnp.zeros(3, bool)})):
        close(part.loc, by_hand("a", with_prior=False)[1])


# Bounds


@pytest.mark.parametrize("shown", ["ab", "a", "b"])
def test_the_bound_at_the_exact_posterior_is_the_evidence(shown):
    """Without any spread, as p(x, z)/q(z | x) is p(x) for every z."""
    batch = rows(3, "a", "b", mask={name: name in shown for name in "ab"})
    bound = by_row(StratifiedELBO("iwae"), exact(), batch, "bound")
    close(bound, np.full(3, log_p(*shown)), rtol=1e-5, atol=1e-4)
    agrees(by_row(ELBO(), exact(), rows(2000, "a", "b", mask={n: n in shown for n in "ab"}), "elbo"), log_p(*shown))


def test_the_subset_bound_sums_all_each_and_random_pairs():
    """Every term is the evidence of its subset at the exact posterior; one of the three pairs is drawn by the row."""
    model, objective = exact("abc"), SubsetELBO(random_subsets=1, num_samples=2)
    pairs = [log_p(*pair) for pair in itertools.combinations("abc", 2)]
    singles = [log_p(name) for name in "abc"]
    batch = rows(2000, "a", "b", "c")
    agrees(-by_row(objective, model, batch), log_p("a", "b", "c") + sum(singles) + np.mean(pairs))
    agrees(by_row(objective, model, batch, "elbo"), log_p("a", "b", "c"))
    agrees(by_row(objective, model, batch, "unimodal_elbo"), np.mean(singles))
    # Where one is missing its own term is that of nothing, 0, and the others are of what is left.
    without = rows(2000, "a", "b", mask={"a": True, "b": False})
    agrees(-by_row(SubsetELBO(), exact(), without), 2 * log_p("a"))


def on_a_line(rule):
    """One latent, one cell in each modality, and experts that do not look at it."""
    encoders = {
        "a": Conditional(linear(np.zeros((1, 2)), np.array([0.8, np.log(0.5)])), NormalHead((1,))),
        "b": Conditional(linear(np.zeros((1, 2)), np.array([-0.3, np.log(0.9)])), NormalHead((1,))),
    }
    decoders = {
        name: Conditional(linear(np.array([[w]]), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.zeros(()))))
        for name, w in (("a", 1.0), ("b", -0.6))
    }
    return LatentModel(StandardNormal((1,)), Experts(encoders, rule), ByModality(decoders))


LINE = Batch({"a": jnp.full((4000, 1), 1.2), "b": jnp.full((4000, 1), 0.4)}, jnp.arange(4000, dtype=jnp.uint32))
GRID = np.linspace(-9.0, 9.0, 1801)


def quadrature(bound, components, counts=(1.0, 1.0)):
    """The three bounds of a mixture of equal shares, by sums over a grid; of two draws for "iwae"."""
    step = GRID[1] - GRID[0]
    q = np.stack([stats.norm.pdf(GRID, m, s) for m, s in components])
    log_prior = stats.norm.logpdf(GRID)
    log_likelihood = counts[0] * stats.norm.logpdf(1.2, GRID, 1) + counts[1] * stats.norm.logpdf(0.4, -0.6 * GRID, 1)
    if bound == "components":
        return np.mean([np.sum(d * (log_likelihood + log_prior - np.log(d + 1e-300))) * step for d in q])
    ratio = log_likelihood + log_prior - np.log(q.mean(axis=0))
    if bound == "elbo":
        return np.mean(q @ ratio * step)
    coarse = slice(None, None, 6)
    pair = np.logaddexp(ratio[coarse, None], ratio[None, coarse]) - np.log(2.0)
    return np.mean([np.sum(np.outer(d[coarse], d[coarse]) * pair) * (6 * step) ** 2 for d in q])


@pytest.mark.parametrize("bound", ["elbo", "components", "iwae"])
def test_a_stratified_bound_meets_quadrature(bound):
    objective = StratifiedELBO(bound, num_samples=2)
    single = [(0.8, 0.5), (-0.3, 0.9)]
    agrees(by_row(objective, on_a_line("mixture"), LINE, "bound"), quadrature(bound, single))
    agrees(by_row(objective, on_a_line("mixture"), LINE, "elbo"), quadrature("elbo", single))
    precision = 1 / 0.25 + 1 / 0.81
    product = ((0.8 / 0.25 - 0.3 / 0.81) / precision, precision**-0.5)
    found = -by_row(objective, on_a_line("mixture-of-products"), LINE)
    agrees(found, quadrature(bound, [*single, product]))


@pytest.mark.parametrize("bound", ["elbo", "components", "iwae"])
def test_a_stratified_gradient_meets_quadrature(bound):
    """By the mean of one expert: through its draws, and through the density of the mixture."""
    model = on_a_line("mixture")
    place = lambda m: m.encoder.encoders["a"].network.bias  # noqa: E731

    def loss(bias, one):
        moved = eqx.tree_at(place, model, bias)
        single = jax.tree.map(lambda v: v[None], one)
        return StratifiedELBO(bound, num_samples=2)(moved, single, key=jax.random.key(5), step=STEP)[0]

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(place(model), LINE)
    h = 1e-3
    above, below = (quadrature(bound, [(0.8 + d, 0.5), (-0.3, 0.9)]) for d in (h, -h))
    agrees(-gradients[:, 0], (above - below) / (2 * h))


@pytest.mark.parametrize(
    ("weights", "counts"), [((2.0, 0.5), [2.0, 0.5]), ("cells", [1.5, 1.0]), ("equal", [1.0, 1.0])]
)
def test_weights_change_what_is_minimised_and_not_what_is_reported(weights, counts):
    model, batch, beta = exact(shift=0.4), rows(1, "a", "b"), 0.7
    key = jax.random.key(0)
    found = {
        name: objective(model, batch, key=key, step=STEP)
        for name, objective in (
            ("weighted", StratifiedELBO(beta=beta, weights=weights)),
            ("a alone", StratifiedELBO(beta=0.0, weights=(1.0, 0.0))),
            ("b alone", StratifiedELBO(beta=0.0, weights=(0.0, 1.0))),
        )
    }
    loss, metrics = found["weighted"]
    parts = np.array([-found["a alone"][0], -found["b alone"][0]])
    close(loss, -parts @ np.array(counts) + beta * metrics["kl"][0], rtol=1e-5)
    close(metrics["elbo"][0], parts.sum() - metrics["kl"][0], rtol=1e-5)


@pytest.mark.parametrize("form", ["joint", "total-correlation"])
@pytest.mark.parametrize("shown", ["ab", "a"])
def test_alignment_adds_the_divergence_from_each_expert(form, shown):
    """KLs by hand: of the product with the prior from each expert that is observed, and from the prior."""
    model = exact(rule="product")
    alpha, beta, count = 0.3, 2.0, len(shown)
    objective = AlignedELBO(form, alpha=alpha, beta=beta)
    batch = rows(1, "a", "b", mask={name: name in shown for name in "ab"})
    loss, metrics = objective(model, batch, key=jax.random.key(0), step=STEP)
    precision, mean = by_hand(shown, with_prior=True)

    def kl(other):
        p, m = other
        return 0.5 * np.sum(np.log(precision / p) + p / precision + p * (mean - m) ** 2 - 1)

    to_each, to_prior = sum(kl(by_hand(name, False)) for name in shown), kl((np.ones(2), np.zeros(2)))
    close([metrics["expert_kl"][0], metrics["kl"][0]], [to_each, to_prior], rtol=1e-3)
    log_likelihood = metrics["log_likelihood"][0]
    if form == "joint":
        close(loss, -log_likelihood + beta * to_prior + alpha * to_each, rtol=1e-3)
    else:
        divergence = (1 - alpha) * to_prior + alpha / count * to_each
        close(loss, -(count - alpha) / count * log_likelihood + beta * divergence, rtol=1e-3)


# A missing modality, and modalities of one array


@pytest.mark.parametrize("rule", ["product", "mixture", "mixture-of-products"])
def test_a_missing_modality_reaches_neither_value_nor_gradient(rule):
    model, objective = exact(rule=rule, shift=0.2), StratifiedELBO("iwae", 2)
    trained, rest = eqx.partition(model, eqx.is_inexact_array)

    @jax.jit
    def run(hidden):
        batch = rows(2, "a", "b", mask={"a": True, "b": False})
        batch = dataclasses.replace(batch, x={**batch.x, "b": jnp.full_like(batch.x["b"], hidden)})

        def loss(t):
            found, metrics = objective(eqx.combine(t, rest), batch, key=jax.random.key(0), step=STEP)
            return found, metrics["bound"][0] / 2

        return jax.value_and_grad(loss, has_aux=True)(trained)

    ((loss, bound), gradient), other = run(jnp.nan), run(7.0)
    for one, two in zip(jax.tree.leaves((loss, gradient)), jax.tree.leaves((other[0][0], other[1]))):
        close(one, two, rtol=0, atol=0)
    assert not any(
        np.any(leaf) for leaf in jax.tree.leaves((gradient.encoder.encoders["b"], gradient.decoder.decoders["b"]))
    )
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient.encoder.encoders["a"].network.bias))
    # A mixture has the expert of a alone, drawn in the same places; a product is the same one without b.
    alone = exact(("a",), rule, shift=0.2)
    close(bound, objective(alone, rows(2, "a"), key=jax.random.key(0), step=STEP)[1]["bound"][0] / 2, rtol=1e-5)


def test_one_array_and_a_dict_are_the_same_model():
    """Blocks that do not lie side by side: cells of a, b and again a."""
    blocks = Blocks(("b", "a"), ((1, 2, 3), (0, 4)))
    as_dict, as_array = exact(), exact(blocks=blocks)
    x, z = blocks.join(row("a", "b")), jnp.array([0.3, -0.8])
    close(x, [X["a"][0], *X["b"], X["a"][1]])
    one, two = as_dict.posterior(row("a", "b")), as_array.posterior(x)
    close(one.loc, two.loc)
    apart, whole = as_dict.likelihood(z), as_array.likelihood(z)
    assert isinstance(apart, Product)
    assert isinstance(whole, Joined)
    close(whole.log_prob(x), apart.log_prob(row("a", "b")))
    close(whole.mean(), blocks.join(apart.mean()))
    mask = jnp.array([True, False, True, False, True])
    close(log_prob(whole, x, mask), log_prob(apart, row("a", "b"), blocks.split(mask)))
    close(log_prob(whole, x, mask), jnp.sum(jnp.where(mask, whole.log_prob_terms(x), 0.0)))


def test_decoders_start_at_the_mean_of_their_own_cells():
    blocks, mean = Blocks(("b", "a"), ((1, 2, 3), (0, 4))), np.arange(5.0)
    decoders = {
        name: Conditional(linear_dense(2, n), SharedScaleNormalHead((n,), jnp.zeros(())))
        for name, n in (("a", 2), ("b", 3))
    }
    apart = {name: np.asarray(part) for name, part in blocks.split(mean).items()}
    for found in (ByModality(decoders, blocks).with_output_bias(mean), ByModality(decoders).with_output_bias(apart)):
        likelihood = found(jnp.zeros(2))
        close(blocks.join({name: part.loc for name, part in likelihood.parts.items()}), mean)


def test_one_modality_gives_the_other():
    """E[b | a] of a row of which only a is observed, against the conditional of the exact Normal."""
    blocks = Blocks(("a", "b"), ((0, 1), (2, 3, 4)))
    x = np.concatenate([X["a"], np.full(3, np.nan)])[None].astype(np.float32)
    batch = Batch(jnp.asarray(x), jnp.arange(1, dtype=jnp.uint32), jnp.asarray(~np.isnan(x)))
    found = impute(exact(blocks=blocks), batch, num_samples=4000, num_draws=0, key=jax.random.key(1))
    precision, mean = by_hand("a", with_prior=True)
    expected = WEIGHTS["b"] @ mean + OFFSETS["b"]
    error = np.sqrt((WEIGHTS["b"] ** 2 @ (1 / precision)) / 4000)
    assert np.all(np.abs(found.mean[0, 2:] - expected) < 5 * error)
    close(found.mean[0, :2], X["a"])
    close(found.effective, [4000.0], rtol=1e-3)  # the posterior of a alone is exact: all weights are equal


# What is refused, and how a row is split


def test_what_does_not_fit_is_refused():
    batch, key = rows(2, "a", "b"), jax.random.key(0)
    parts = exact().encoder.encoders
    plain = LatentModel(StandardNormal((2,)), parts["a"], parts["a"])
    for make, what in (
        (lambda: Experts(parts, "joint"), "joint encoder"),
        (lambda: Experts({str(i): parts["a"] for i in range(11)}, "mixture-of-products"), "11 modalities"),
        (lambda: Experts(parts, blocks=Blocks(("a",), ((0,),))), "differ"),
        (lambda: exact().posterior({}), "none of a, b"),
        (lambda: AlignedELBO()(exact(rule="mixture"), batch, key=key, step=STEP), "mixture"),
        (lambda: AlignedELBO("total-correlation", alpha=1.5), "between 0 and 1"),
        (lambda: StratifiedELBO(weights=(1.0,))(exact(), batch, key=key, step=STEP), "1 weights"),
        (lambda: SubsetELBO(random_subsets=-1), "-1 random"),
        (lambda: StratifiedELBO()(plain, batch, key=key, step=STEP), "no encoder for each"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=what):
            make()
    with pytest.raises(ValueError, match="exactly one"):
        Blocks(("a", "b"), ((0, 1), (1, 2)))


def test_a_row_is_split_by_names_or_into_parts():
    names = ("image.a", "text.x", "image.b")
    table = Schema((3,), "real", columns=tuple(Column(name) for name in names))
    picture = Schema((5, 4), "levels", 17)
    found = [
        blocks_of(table, ExpertsOptions()),
        blocks_of(picture, ExpertsOptions()),
        blocks_of(picture, ExpertsOptions(split="columns", parts=4)),
    ]
    assert found[0].names == ("image", "text")
    assert [b.places for b in found] == [((0, 2), (1,)), ((0, 1, 2), (3, 4)), ((0,), (1,), (2,), (3,))]
    for schema, options in (
        (picture, {"split": "names"}),
        (picture, {"split": "channels"}),
        (table, {"parts": 4, "split": "rows"}),
    ):
        with pytest.raises(ConfigError):
            blocks_of(schema, ExpertsOptions(**options))


@pytest.mark.parametrize(
    ("settings", "cells"), [({}, [32, 32]), ({"posterior.split": "columns", "posterior.parts": 3}, [24, 24, 16])]
)
def test_the_command_builds_networks_for_each_part(settings, cells):
    """Four hidden units, three latents: cells to 4 to 6 outputs up and 3 to 4 to cells down, with biases."""
    small = {"network.hidden": 4, "posterior.latent_dim": 3, "likelihood": "bernoulli", "training.steps": 1}
    made = prepare(override(get_recipe("mvae").config, {**small, **settings}), load("digits"))
    up, down = (sum(f(n) for n in cells) for f in (lambda n: 5 * n - n + 4 + 30, lambda n: 16 + 5 * n))
    assert count_parameters(made.new_model()) == up + down


@pytest.mark.parametrize("rule", ["mixture", "mixture-of-products"])
def test_a_mixture_is_refused_where_its_draws_would_lack_a_gradient(rule):
    parts = {"posterior": "experts", "posterior.rule": rule, "network.hidden": 4, "training.steps": 1}
    with pytest.raises(ConfigError, match="Mixture") as refused:
        prepare(override(get_recipe("iwae").config, parts), load("digits"))
    assert "stratified-elbo" in refused.value.fix
