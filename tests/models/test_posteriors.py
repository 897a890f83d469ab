"""Posteriors and priors by name: heads by hand, natural pairs, exact values of discrete models, refusals, codes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import special, stats
from tables_heads import POSTERIOR_HEADS
from training_fixtures import make_data

from latens.config import PosteriorConfig, PriorConfig, VAEConfig, override
from latens.data import Schema
from latens.distributions import has_closed_form, kl
from latens.distributions.chain import Autoregressive, Planar, Stack
from latens.errors import ConfigError
from latens.evidence import ModelRows
from latens.fitting import prepare
from latens.latents import decode, encode, reconstruct, sample_prior
from latens.models import FixedPrior, NormalHead, flow_head, mean_code
from latens.recipes import get_recipe
from latens.recipes.parts import bind, prior_part
from latens.recipes.posteriors import POSTERIORS

SMALL = {"network.hidden": 4, "posterior.latent_dim": 3, "training.steps": 1}
SCORE = {"objective": "score-function", "objective.kl": "sampled"}
SAMPLED = {"objective.kl": "sampled"}


def settings(kind: str, **more: Any) -> dict[str, Any]:
    """What a small model of this kind can be trained with."""
    fitting = SCORE if kind in ("bernoulli", "categorical") else SAMPLED
    return SMALL | {"posterior": kind} | ({"objective": "wae"} if kind == "deterministic" else fitting) | more


def experiment(kind: str, recipe: str = "default", **more: Any) -> Any:
    chosen = {name: value for name, value in settings(kind, **more).items() if value is not None}
    return prepare(override(get_recipe(recipe).config, chosen), make_data())


SCHEMA = Schema((3, 2), "binary")


def resolved(kind: str) -> Any:
    """The configuration of a small model, with nothing left open."""
    return VAEConfig(
        prior=PriorConfig(kind=POSTERIORS[kind].prior),
        posterior=PosteriorConfig(kind=kind, latent_dim=3, scale="log-scale"),
    )


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def by_hand(name: str, o: np.ndarray, event: Any) -> float:
    """The log density of an event from the numbers of the network, by scipy."""
    match name:
        case "FullNormalHead":
            tril = np.diag(softplus(o[3:6]) + 1e-6)
            tril[1, 0], tril[2, 0], tril[2, 1] = o[6:]
            return stats.multivariate_normal.logpdf(event, o[:3], tril @ tril.T)
        case "VonMisesFisherHead":
            axis = o[:3] / np.linalg.norm(o[:3])
            return stats.vonmises_fisher.logpdf(event / np.linalg.norm(event), axis, 1 + softplus(o[3]))
        case _:
            return sum(concrete(x, log, 0.6) for x, log in zip(event, o.reshape(2, 3)))


def concrete(x: np.ndarray, logits: np.ndarray, tau: float) -> float:
    """Maddison, Mnih & Teh (2017), definition 1, for three choices."""
    total = np.sum(logits - (tau + 1) * np.log(x)) - 3 * special.logsumexp(logits - tau * np.log(x))
    return np.log(2) + 2 * np.log(tau) + total


@pytest.mark.parametrize("name", POSTERIOR_HEADS)
def test_a_head_makes_the_distribution_of_its_numbers(name: str, getkey: Any) -> None:
    head = POSTERIOR_HEADS[name]()
    outputs = jax.random.normal(getkey(), (head.num_outputs,))
    event, density = jax.jit(lambda o, k: head(o).sample_and_log_prob(key=k))(outputs, getkey())
    expected = by_hand(name, np.asarray(outputs, np.float64), jax.tree.map(lambda e: np.asarray(e, float), event))
    close(density, expected, rtol=2e-4, atol=2e-4)


def test_a_network_that_gives_only_zeros_has_a_direction(float64: None) -> None:
    """Any direction will do: the density of its own draw changes with the concentration alone, along F(w) = u."""
    head, key = POSTERIOR_HEADS["VonMisesFisherHead"](), jax.random.key(0)
    density = lambda o: head(o).sample_and_log_prob(key=key)[1]  # noqa: E731
    numbers = jax.jit(lambda o: (head(o).sample(key=key), head(o).mean(), jax.grad(density)(o)))(jnp.zeros(4))
    draw, axis, slope = map(np.asarray, numbers)
    close(np.linalg.norm(draw), 1.0)
    # On a sphere the cosine w has the density k e^(kw) / 2 sinh k, so its distribution function can be inverted.
    k, cosine = 1.0 + np.log(2.0), draw @ axis / np.linalg.norm(axis)
    u = (np.exp(k * cosine) - np.exp(-k)) / (2.0 * np.sinh(k))
    log_density = lambda k: np.log(k / np.sinh(k)) + np.log(np.exp(-k) + 2.0 * u * np.sinh(k))  # noqa: E731
    along = (log_density(k + 1e-5) - log_density(k - 1e-5)) / 2e-5
    close(slope, [0.0, 0.0, 0.0, 0.5 * along], rtol=1e-6, atol=1e-9)


NATURAL = ("normal", "full-normal", "iaf")


@pytest.mark.parametrize("kind", NATURAL)
def test_a_posterior_and_its_natural_prior_have_the_kl_they_must(kind: str, getkey: Any) -> None:
    """In closed form where there is one, else with other draws, at 5 sigma of the draws."""
    config = resolved(kind)
    latent = bind(config).posterior.latent
    made: Any = prior_part(SCHEMA, config, latent, key=getkey())
    p = made(None) if isinstance(made, FixedPrior) else made
    head = bind(config).posterior.made(latent, key=getkey())
    q = head(0.5 * jax.random.normal(getkey(), (head.num_outputs,)))
    assert mean_code(q).size == bind(config).posterior.size

    @jax.jit
    @jax.vmap
    def ratio(key: Any) -> Any:
        z, density = q.sample_and_log_prob(key=key)
        return density - p.log_prob(z)

    ratios = np.asarray(ratio(jax.random.split(getkey(), 4000)), np.float64)
    if has_closed_form(q, p):
        agrees(ratios, float(kl(q, p)))
    else:
        others = np.asarray(ratio(jax.random.split(getkey(), 4000)), np.float64)
        agrees(ratios - others, 0.0)
    # A divergence is above 0, and only the prior itself has none.
    assert ratios.mean() > 5 * ratios.std() / 4000**0.5


@pytest.mark.parametrize("kind", ["normal", "categorical", "logistic-normal"])
def test_codes_go_to_the_decoder_and_back(kind: str) -> None:
    made = experiment(kind)
    model, batch, key = made.new_model(), made.data.rows(np.arange(3)), jax.random.key(0)
    codes = encode(ModelRows(model, batch, key=key, preparation=made.preparation))["mean"]
    given = reconstruct(ModelRows(model, batch, key=key, preparation=made.preparation))
    np.testing.assert_allclose(decode(model, codes), given, atol=1e-5)
    z = sample_prior(model, 2, key=key)
    assert (z.shape[1:], z.dtype) == (codes.shape[1:], np.float32)
    if kind == "categorical":
        np.testing.assert_allclose(codes.sum(-1), 1.0, atol=1e-5)


def test_a_choice_is_one_hot_to_the_decoder() -> None:
    made = experiment("categorical")
    model, z = made.new_model(), jnp.array([2, 0, 9], jnp.int32)
    given = np.asarray(model.likelihood(z).mean())
    np.testing.assert_allclose(decode(model, np.eye(10, dtype=np.float32)[None, [2, 0, 9]])[0], given, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "more", "where", "words"),
    [
        ("normal", {"prior": "uniform-sphere"}, "prior.kind", "uniform directions"),
        ("von-mises-fisher", {"prior": "standard-normal"}, "prior.kind", "--set prior=uniform-sphere"),
        ("bernoulli", {"prior": "uniform-choices"}, "prior.kind", "--set prior=fair-coins"),
        ("bernoulli", {"objective": "elbo"}, "objective", "no gradient"),
        ("bernoulli", {"objective": "elbo", "posterior.levels": "2"}, "objective", "Bernoulli"),
        ("planar", {"objective": "iwae", "objective.gradient": "dreg"}, "posterior.kind", "no inverse"),
        ("deterministic", {"prior": "vamp"}, "prior.kind", "density"),
        ("iaf", {"posterior.levels": "2"}, "posterior.levels", "bernoulli"),
        ("von-mises-fisher", {"posterior.latent_dim": 1}, "posterior.latent_dim", "2 or more"),
        ("concrete", {"posterior.choices": 1}, "posterior.choices", "does not fit"),
        ("concrete", {"posterior.temperatures": 1}, "posterior.temperatures", "temperature"),
        ("vonmises", {}, "posterior.kind", "von-mises-fisher"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(kind: str, more: dict, where: str, words: str) -> None:
    if "objective" in more:  # its own options go with it
        more = {"objective.kl": None, **more}
    with pytest.raises(ConfigError) as refused:
        experiment(kind, **more)
    text = f"{refused.value.message} {refused.value.fix}"
    assert (refused.value.where, words in text) == (where, True), text


def test_a_flow_prior_is_the_flow_backwards() -> None:
    """The density of a draw is the one it comes with, and by the change of variables on the way back."""
    flow = VAEConfig(prior=PriorConfig(kind="flow", options={"width": 8}), posterior=PosteriorConfig(latent_dim=3))
    made: Any = prior_part(SCHEMA, flow, (3,), key=jax.random.key(0))
    p = jax.tree.map(lambda a: a + 0.2 * jax.random.normal(jax.random.key(1), a.shape), made)
    z, density = jax.jit(lambda k: p.sample_and_log_prob(key=k))(jax.random.key(2))
    back = lambda z: p.bijection.inverse_and_log_det(z, None)[0]  # noqa: E731
    _, log_det = np.linalg.slogdet(np.asarray(jax.jacobian(back)(z), np.float64))
    expected = stats.norm.logpdf(np.asarray(back(z), np.float64)).sum() + log_det
    close([density, p.log_prob(z)], [expected, expected], rtol=1e-3, atol=1e-3)


def test_a_prior_near_a_dirichlet_has_its_moments() -> None:
    """Of a symmetric Dirichlet(a) over K topics: Normal(0, (1 - 1/K)/a) a unit."""
    config = VAEConfig(prior=PriorConfig(kind="logistic-normal", options={"concentration": 0.5}))
    made: Any = prior_part(SCHEMA, config, (3,), key=jax.random.key(0))
    p = made(None)
    close(jnp.exp(2 * p.log_scale_array()), np.full(3, (1 - 1 / 3) / 0.5))


def bijection(kind: str, n: int = 3, layers: int = 2) -> tuple[Stack, jax.Array]:
    keys = jax.random.split(jax.random.key(0), layers + 2)
    if kind == "planar":
        parts = tuple(Planar(offset=layer * (2 * n + 1)) for layer in range(layers))
        return Stack(parts), jax.random.normal(keys[-1], (layers * (2 * n + 1),))
    flows = tuple(Autoregressive.create(n, 4, 16, key=key) for key in keys[:layers])
    # Far from the identity, so that a wrong term would show.
    flows = jax.tree.map(lambda w: w + 0.3 * jax.random.normal(keys[-2], w.shape), flows)
    return Stack(flows), jax.random.normal(keys[-1], (4,))


@pytest.mark.parametrize("kind", ["autoregressive", "planar"])
def test_log_det_is_that_of_the_jacobian(kind: str) -> None:
    with jax.enable_x64(True):
        stack, context = bijection(kind)
        for seed in range(5):
            x = 2.0 * jax.random.normal(jax.random.key(seed), (3,))
            jacobian = jax.jacobian(lambda x: stack.transform_and_log_det(x, context)[0])(x)
            sign, expected = np.linalg.slogdet(np.asarray(jacobian))
            assert sign != 0
            assert float(stack.transform_and_log_det(x, context)[1]) == pytest.approx(expected, abs=1e-10)


def test_backwards_undoes_forwards() -> None:
    stack, context = bijection("autoregressive", n=6, layers=3)
    x = jax.random.normal(jax.random.key(3), (6,))
    y, log_det = stack.transform_and_log_det(x, context)
    back, inverse_log_det = stack.inverse_and_log_det(y, context)
    np.testing.assert_allclose(back, x, atol=2e-4)
    assert float(inverse_log_det) == pytest.approx(-float(log_det), abs=1e-3)


def test_a_planar_flow_has_no_inverse() -> None:
    stack, context = bijection("planar")
    with pytest.raises(ConfigError, match="no inverse"):
        stack.inverse_and_log_det(jnp.zeros(3), context)


@pytest.mark.parametrize(("kind", "outputs"), [("iaf", 2 * 3 + 5), ("planar", 2 * 3 + 2 * 7)])
def test_the_head_reads_the_normal_and_the_context(kind: str, outputs: int) -> None:
    head = flow_head(NormalHead((3,)), kind, layers=2, width=8, context_size=5, key=jax.random.key(0))
    assert head.num_outputs == outputs
    numbers = jax.random.normal(jax.random.key(1), (outputs,))
    distribution = head(numbers)
    assert np.array_equal(distribution.base.loc, numbers[:3])
    assert np.array_equal(distribution.context, numbers[6:])
