"""A transformer over codes: probabilities by enumeration, causality, draws, the entropy of a chain, and the bound."""

import dataclasses
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from quantised_fixtures import EVERY, HEAD, KEY, PLACES, model_of, uneven, uneven_prior, vectors
from scipy import special, stats

from latens.config import override
from latens.data import load
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.models import CodeHead, ScalarQuantiser, TransformerCodePrior, VectorQuantiser
from latens.recipes import get_recipe
from latens.trained.prior_refit import refit_prior

pytest_plugins = ("cli_fixtures",)


def test_a_code_depends_on_all_before_it_and_on_no_later_one():
    """The logits at a place are those of the codes before it to the last bit, whatever comes at it and after it."""
    network = uneven_prior(CodeHead((12,), HEAD.quantiser)).network
    codes = np.array([2, 0, 1, 1, 0, 2])
    logits = np.asarray(network(jnp.asarray(codes)))
    for place in range(6):
        other = codes.copy()
        other[place:] = (other[place:] + 1) % 3
        found = np.asarray(network(jnp.asarray(other)))
        np.testing.assert_array_equal(found[: place + 1], logits[: place + 1])
        assert np.all(np.abs(found[place + 1 :] - logits[place + 1 :]).max(axis=1) > 1e-3)
    # The last place sees the first code, which no place between them has.
    other = np.array([0, *codes[1:]])
    assert np.abs(np.asarray(network(jnp.asarray(other)))[-1] - logits[-1]).max() > 1e-3


@pytest.mark.parametrize("together", [1, 2, 3, 6])
def test_one_step_at_a_time_is_all_places_at_once(together):
    network = uneven_prior(CodeHead((12,), HEAD.quantiser), together=together, classes=2).network
    codes, label = jnp.array([2, 0, 1, 1, 0, 2]), jnp.array([0.0, 1.0])
    logits, memory, step = network(codes, label), network.memory(), eqx.filter_jit(network.step)
    for start in range(0, 6, together):
        found, memory = step(codes[start - together : start or None][:together], jnp.asarray(start), memory, label)
        close(found, logits[start : start + together], atol=1e-5)


def test_codes_of_a_step_depend_on_those_of_the_steps_before_alone():
    p = uneven_prior(CodeHead((12,), HEAD.quantiser), together=2)(model_of(HEAD.quantiser, 12))
    codes, order = np.array([2, 0, 1, 1, 0, 2]), p.order
    assert sorted(order) == list(range(6))
    assert not np.array_equal(order, np.arange(6)), "neighbours are drawn apart"
    logits = np.asarray(p._logits(jnp.asarray(codes)))
    for step in range(3):
        other = codes.copy()
        other[order[2 * step :]] = (other[order[2 * step :]] + 1) % 3
        found = np.asarray(p._logits(jnp.asarray(other)))
        np.testing.assert_array_equal(found[order[: 2 * step + 2]], logits[order[: 2 * step + 2]])
        assert np.all(np.abs(found - logits)[order[2 * step + 2 :]].max(axis=1) > 1e-3)


def test_of_each_class_the_probabilities_sum_to_one_and_draws_have_them():
    head = CodeHead((8,), HEAD.quantiser)
    prior, model = uneven_prior(head, together=2, classes=2), model_of(HEAD.quantiser, 8)
    every = np.array(list(itertools.product(range(3), repeat=4)))
    events = jax.vmap(lambda codes: head.quantiser.decode(codes[:, None]).reshape(-1))(jnp.asarray(every))
    found = []
    for number, label in enumerate(jnp.eye(2)):
        p = prior(model, cond={"label": label})
        found.append(np.exp(np.asarray(jax.jit(jax.vmap(p.log_prob))(events), np.float64)))
        assert abs(found[-1].sum() - 1.0) < 1e-5
        keys = jax.random.split(jax.random.key(number), 20_000)
        draws = np.asarray(jax.jit(jax.vmap(lambda k, p=p: p.codes(p.sample(key=k))))(keys))
        counts = np.bincount(draws @ [27, 9, 3, 1], minlength=81)
        assert stats.chisquare(counts, 20_000 * found[-1] / found[-1].sum()).pvalue > 1e-4
    assert np.abs(found[0] - found[1]).max() > 0.02
    # A class is a vector that is added at every place: the network without classes whose places hold it says the same.
    network = prior.network
    plain = dataclasses.replace(network, positions=network.positions + network.classes[1], classes=None)
    close(plain(jnp.asarray(every[5])), network(jnp.asarray(every[5]), jnp.eye(2)[1]), atol=1e-5)
    with pytest.raises(ConfigError, match="'label'"):
        prior(model)


def test_attention_is_the_one_by_hand(float64):
    """One block of one head against plain sums over the places so far."""
    network = uneven_prior(HEAD, layers=1, width=4, heads=1).network
    network = jax.tree.map(lambda a: np.asarray(a, np.float64) if eqx.is_array(a) else a, network)
    (block,), codes = network.blocks, np.array([1, 2, 0])
    norm = lambda h: (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)  # noqa: E731
    layer = lambda linear, h: h @ linear.weight + linear.bias  # noqa: E731
    h = network.positions + np.concatenate([np.zeros((1, 4)), network.embedding[codes[:-1]]])
    query, key, value = np.split(layer(block.inwards, norm(h)), 3, axis=1)
    mixed = [special.softmax(key[: t + 1] @ query[t] / 2.0) @ value[: t + 1] for t in range(3)]
    h = h + layer(block.outwards, np.stack(mixed))
    h = h + layer(block.down, np.asarray(jax.nn.gelu(layer(block.up, norm(h)))))
    close(jax.tree.map(jnp.asarray, network)(jnp.asarray(codes)), norm(h) @ network.output.weight + network.output.bias)


def test_it_starts_uniform():
    p = TransformerCodePrior.create(HEAD, (6,), key=KEY)(model_of(HEAD.quantiser, HEAD.shape[0]))
    event = HEAD.quantiser.decode(jnp.array([[2], [0], [1]])).reshape(-1)
    close(p.log_prob(event), -PLACES * math.log(3))
    np.testing.assert_array_equal(jax.grad(uneven().log_prob)(event), 0.0)


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="groups of 2") as found:
        TransformerCodePrior.create(HEAD, (6,), together=2, key=KEY)
    assert found.value.fix == "Use one of 1, 3."
    with pytest.raises(ConfigError, match="cannot be cut into 4 heads") as caught:
        TransformerCodePrior.create(HEAD, (6,), width=30, key=KEY)
    assert caught.value.fix == "Use 32."
    with pytest.raises(ConfigError, match="stages"):
        TransformerCodePrior.create(CodeHead((6,), vectors()), (6,), key=KEY)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_codes_at_a_temperature_are_drawn_from_powers_of_each_step(temperature):
    """All 27 sequences: the product over places of p(k | before)^(1/t), each normalised; at 0 the most probable one."""
    p, draws = uneven(), 20_000
    steps = np.stack([np.asarray(jax.nn.log_softmax(p._logits(jnp.asarray(codes)))) for codes in EVERY])
    logs = steps / max(temperature, 1e-6)
    logs = logs - special.logsumexp(logs, axis=-1, keepdims=True)
    expected = np.exp(np.take_along_axis(logs, EVERY[..., None], axis=-1).sum(axis=(1, 2)))
    assert abs(expected.sum() - 1.0) < 1e-5
    keys = jax.random.split(jax.random.key(5), draws)
    events = jax.jit(jax.vmap(lambda key: p.sample_at(temperature, key=key)))(keys)
    found = np.asarray(jax.vmap(p.codes)(events))
    counts = np.bincount(found @ np.array([9, 3, 1]), minlength=27)
    kept = expected * draws > 5
    share = expected[kept].sum()
    assert abs(counts[kept].sum() - draws * share) <= 5 * np.sqrt(draws * share * max(1 - share, 0.0))
    apart = ((counts - draws * expected)[kept] ** 2 / (draws * expected[kept])).sum()
    assert stats.chi2.sf(apart, kept.sum()) > 1e-3


FOUR = VectorQuantiser(jnp.asarray([[[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]]))


@pytest.mark.parametrize("quantiser", [FOUR, ScalarQuantiser((5, 4))], ids=["vectors", "levels"])
def test_codes_of_every_quantiser_are_found_again(quantiser) -> None:
    head = CodeHead((2 * PLACES,), quantiser)
    prior = TransformerCodePrior.create(head, (6,), width=4, key=jax.random.key(0))
    p = prior(model_of(quantiser, 2 * PLACES))
    for codes in ([0, 1, 2], [3, 3, quantiser.num_codes - 1]):
        event = quantiser.decode(jnp.array(codes)[:, None]).reshape(-1)
        np.testing.assert_array_equal(p.codes(event), codes)


@pytest.mark.parametrize(
    ("recipe", "kind", "words"), [("vq-vae", "mixture", "transformer"), ("default", "transformer", "mixture")]
)
def test_priors_of_other_latents_are_refused_with_those_that_fit(recipe: str, kind: str, words: str) -> None:
    data = load("digits")
    chosen = {"network.hidden": [4], "posterior.latent_dim": 4, "training.steps": 1}
    experiment = prepare(override(get_recipe(recipe).config, chosen), data)
    trained = experiment.trained(experiment.new_model())
    with pytest.raises(ConfigError) as caught:
        refit_prior(trained, data, kind)
    assert words in caught.value.fix
