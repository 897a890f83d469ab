"""A prior of codes one after the other: probabilities by enumeration, draws, and a chain whose entropy is known."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from cli_fixtures import Result
from quantised_fixtures import model_of, vectors
from scipy import stats

from latens.config import override
from latens.data import Dataset, Preparation, Schema, load
from latens.data.schema import Column
from latens.errors import ConfigError
from latens.evaluation.latents.fit_prior import fit_codes
from latens.models import (
    AutoregressiveCodePrior,
    AutoregressiveCodes,
    CodeHead,
    Conditional,
    LatentModel,
    ScalarQuantiser,
    SignQuantiser,
)
from latens.networks import Dense
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare
from latens.workflow.refit import refit_prior
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)

PLACES = 3
HEAD = CodeHead((2 * PLACES,), vectors(np.array([[[0.0, 1.0], [2.0, 0.0], [-1.0, -1.0]]])))


def uneven() -> AutoregressiveCodes:
    """A prior of three places of three codes, with weights that are anything but uniform."""
    prior = AutoregressiveCodePrior.create(HEAD, (6,), width=5, key=jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 2))
    arrays = lambda p: (p.output.weight, p.output.bias)  # noqa: E731
    prior = eqx.tree_at(arrays, prior, [1.5 * jax.random.normal(next(keys), a.shape) for a in arrays(prior)])
    return prior(model_of(HEAD.quantiser, HEAD.shape[0]))


def every() -> np.ndarray:
    return np.array(list(itertools.product(range(3), repeat=PLACES)))


def probabilities(p: AutoregressiveCodes) -> np.ndarray:
    events = [HEAD.quantiser.decode(jnp.asarray(codes)[:, None]).reshape(-1) for codes in every()]
    return np.exp(np.asarray(jax.vmap(p.log_prob)(jnp.stack(events)), np.float64))


def test_probabilities_of_all_codes_sum_to_one(float64):
    found = probabilities(uneven())
    close(found.sum(), 1.0)
    assert found.max() > 5 * found.min()


def test_a_code_depends_on_those_before_it_and_on_no_later_one(float64):
    found = probabilities(uneven()).reshape(3, 3, 3)
    first = found.sum((1, 2))
    second = found.sum(2) / first[:, None]
    assert np.ptp(second, axis=0).max() > 0.05, "the second code depends on the first"
    # p(k1) is a softmax of the logits of the first place alone: no later code enters it.
    p = uneven()
    start = p.cell(p.cell.inputs(jnp.zeros(3))[None], jnp.zeros(5))
    close(first, jax.nn.softmax(start[0] @ p.output.weight + p.output.bias[0]))


def test_draws_have_these_probabilities():
    p = uneven()
    draws = np.asarray(jax.vmap(lambda k: p.sample(key=k))(jax.random.split(jax.random.key(2), 20_000)))
    books = np.asarray(HEAD.quantiser.books[0])
    codes = np.argmin(np.sum((draws.reshape(-1, PLACES, 1, 2) - books) ** 2, axis=-1), axis=-1)
    counts, expected = np.bincount(codes @ [9, 3, 1], minlength=27), probabilities(p)
    assert stats.chisquare(counts, 20_000 * expected / expected.sum()).pvalue > 1e-4


def test_it_starts_uniform_and_has_no_gradient_for_codes():
    prior = AutoregressiveCodePrior.create(HEAD, (6,), width=5, key=jax.random.key(0))
    p = prior(model_of(HEAD.quantiser, HEAD.shape[0]))
    event = HEAD.quantiser.decode(jnp.array([[2], [0], [1]])).reshape(-1)
    close(p.log_prob(event), -PLACES * math.log(3))
    np.testing.assert_array_equal(jax.grad(uneven().log_prob)(event), 0.0)


@pytest.mark.parametrize("quantiser", [SignQuantiser(2), ScalarQuantiser((5, 4))], ids=["signs", "levels"])
def test_codes_of_every_quantiser_are_found_again(quantiser) -> None:
    head = CodeHead((2 * PLACES,), quantiser)
    prior = AutoregressiveCodePrior.create(head, (6,), width=2, key=jax.random.key(0))
    p = prior(model_of(quantiser, 2 * PLACES))
    for codes in ([0, 1, 2], [3, 3, quantiser.num_codes - 1]):
        event = quantiser.decode(jnp.array(codes)[:, None]).reshape(-1)
        np.testing.assert_array_equal(p.codes(event), codes)


def test_a_fit_reaches_the_entropy_of_a_chain():
    """Signs that turn with probability 0.1: log 2 + 5 H(0.1) = 2.319 nats of six, 6 log 2 = 4.159 of uniform ones."""
    rng = np.random.default_rng(0)
    n, turn = 4000, 0.1
    signs = rng.choice([-1.0, 1.0], (n, 1)) * np.cumprod(1 - 2.0 * (rng.random((n, 6)) < turn), axis=1)
    split = np.where(np.arange(n) < 3000, 0, np.where(np.arange(n) < 3500, 1, 2)).astype(np.uint8)
    schema = Schema((6,), "real", columns=tuple(Column(f"x{i}") for i in range(6)))
    ids = np.arange(n)
    data = Dataset(signs.astype(np.float32), schema, ids.astype(np.uint32), ids, split, "chain")
    network = eqx.tree_at(lambda d: d.layers[0].weight, Dense([6, 6], key=jax.random.key(0)), jnp.eye(6))
    head = CodeHead((6,), SignQuantiser(1))
    prior = AutoregressiveCodePrior.create(head, (6,), width=16, key=jax.random.key(1))
    model = LatentModel(prior, Conditional(network, head), Conditional(network, head))
    fitted = fit_codes(prior, model, data, preparation=Preparation(), steps=600)
    values = jax.vmap(fitted(model).log_prob)(jnp.asarray(data.x[data.subset("test")]))
    entropy = math.log(2) - 5 * (turn * math.log(turn) + (1 - turn) * math.log(1 - turn))
    # The 500 rows have an entropy of their own; the fit must be within 0.02 nats of the true chain on them.
    turns = np.sum(signs[3500:, 1:] != signs[3500:, :-1], axis=1)
    truth = -math.log(2) + turns * math.log(turn) + (5 - turns) * math.log(1 - turn)
    assert abs(truth.mean() + entropy) < 5 * truth.std() / np.sqrt(500)
    assert abs(float(values.mean()) - truth.mean()) < 0.02


def test_codes_in_stages_are_refused():
    head = CodeHead((6,), vectors())
    with pytest.raises(ConfigError, match="stages"):
        AutoregressiveCodePrior.create(head, (6,), key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "networks"), [("autoregressive-codes", ["network.hidden=32"]), ("transformer", ["network=conv"])]
)
def test_the_command_fits_it_to_codes_of_digits(
    latens: Callable[..., Result], tmp_path: Path, prior: str, networks: list[str]
) -> None:
    run = tmp_path / "vq"
    settings = [*networks, *(["network.hidden=16"] if prior == "transformer" else []), "posterior.codes=8"]
    chosen = [word for setting in settings for word in ("--set", setting)]
    fitted = latens("fit", "digits", "--recipe", "vq-vae", *chosen, "--epochs", "20", "--out", run, "--json")
    assert fitted.code == 0, fitted.err
    refitted = latens("refit", run, "digits", "--prior", prior, "--steps", "300", "--width", "32", "--json")
    assert refitted.code == 0, refitted.err
    found = refitted.json
    assert found["gain"]["value"] > 5 * found["gain"]["standard_error"]
    assert found["gain"]["protocol"].startswith("the bound on log p(x) with the refitted prior")
    old, new = (latens("evaluate", folder, "--json").json["metrics"]["log_marginal"] for folder in (run, found["out"]))
    assert new["protocol"].startswith("a lower bound")
    assert new["value"] - old["value"] == pytest.approx(found["gain"]["value"], abs=1e-3)
    # What is drawn are codes: every group of a latent is one of the eight vectors.
    kept = latens("sample", found["out"], "-n", "4", "--out", tmp_path / "x.npz", "--json")
    assert kept.code == 0
    (book,) = TrainedModel.load(run / "model.safetensors").model.encoder.head.quantiser.books
    groups = np.load(tmp_path / "x.npz")["z"].reshape(-1, 1, book.shape[1])
    assert np.abs(groups - np.asarray(book)).max(axis=-1).min(axis=-1).max() < 1e-5


@pytest.mark.slow
def test_it_is_trained_beside_the_codes_and_loads_back(latens: Callable[..., Result], tmp_path: Path) -> None:
    run = tmp_path / "vq"
    chosen = ["--set", "network.hidden=32", "--set", "prior=autoregressive-codes", "--set", "prior.width=8"]
    assert latens("fit", "digits", "--recipe", "vq-vae", *chosen, "--epochs", "2", "--out", run).code == 0
    model = TrainedModel.load(run / "model.safetensors").model
    assert np.abs(model.prior_part.output.bias).max() > 1e-4, "its logits have moved"
    first, second = (latens("evaluate", run, "--json").json["metrics"]["log_marginal"]["value"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("recipe", "kind", "words"),
    [
        ("vq-vae", "mixture", "autoregressive-codes, transformer"),
        ("default", "autoregressive-codes", "mixture"),
        ("default", "transformer", "mixture"),
    ],
)
def test_priors_of_other_latents_are_refused_with_those_that_fit(recipe: str, kind: str, words: str) -> None:
    data = load("digits")
    chosen = {"network.hidden": [4], "posterior.latent_dim": 4, "training.steps": 1}
    experiment = prepare(override(get_recipe(recipe).config, chosen), data)
    trained = experiment.trained(experiment.new_model())
    with pytest.raises(ConfigError) as caught:
        refit_prior(trained, data, kind)
    assert words in caught.value.fix
