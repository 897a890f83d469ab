"""Quantised latents: the bound that counts log K for each code, what is minimised, and what is said and refused."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP, evaluate
from checks import close
from quantised_fixtures import BOOKS, KEY, X, model_of, vectors
from scipy import special
from tables import batch_of
from training_fixtures import make_data

from latens.config import override
from latens.errors import ConfigError
from latens.evidence import ModelRows, log_marginal
from latens.fitting import prepare
from latens.models import CodeHead, ScalarQuantiser
from latens.objectives import Quantised
from latens.objectives.quantised import code_use, perplexity
from latens.recipes import RECIPES
from latens.recipes.build import Size
from latens.recipes.parts import bind
from latens.recipes.plan import make_objective
from latens.recipes.posteriors import whole_groups
from latens.trainable import partition_trainable
from latens.trained.measurement import measured

# --- the bound, and what is minimised ---


def rows_of(model, batch):
    """By row: (log p(x | code), z, code) from the parts, by plain functions."""
    found = []
    for x in batch.x:
        head = model.posterior(x).assignment
        code = jnp.sum(head.chosen, axis=1).reshape(-1)
        found.append((float(model.likelihood(code).log_prob(x)), np.asarray(head.inputs), np.asarray(head.chosen)))
    return found


@pytest.mark.parametrize(
    ("quantiser", "size", "constant"),
    [
        (lambda: vectors(BOOKS[:1]), 6, 2 * math.log(5)),
        (lambda: vectors(), 6, 2 * 2 * math.log(5)),
        (lambda: vectors(averaged=True), 3, 2 * math.log(5)),
        (lambda: ScalarQuantiser((5, 4)), 4, 2 * math.log(20)),
    ],
    ids=["vq", "residual", "averaged", "scalars"],
)
def test_the_bound_counts_log_k_for_every_code(quantiser, size, constant, strict):
    model, weight = model_of(quantiser(), size), np.array([1.0, 2.0, 1.0, 0.0])
    batch = batch_of(X, weight=jnp.asarray(weight))
    a, b = 0.7, 0.3
    loss, metrics = evaluate(Quantised(codebook=a, commitment=b), model, batch)
    rows = rows_of(model, batch)
    bound = np.array([row[0] for row in rows]) - constant
    average = lambda values: weight @ np.asarray(values) / weight.sum()  # noqa: E731
    close(metrics["elbo"][0] / metrics["elbo"][1], average(bound))
    close(metrics["kl"][0] / metrics["kl"][1], constant)
    close(metrics["quantisation_error"][0] / 4.0, average([np.sum((r[1] - r[2])[:, -1] ** 2) for r in rows]))
    squares = average([np.sum((row[1] - row[2]) ** 2) for row in rows])
    trained = model.encoder.head.quantiser.trained
    close(loss, -average(bound) + ((a if trained else 0.0) + b) * squares)
    # Importance sampling has one code to draw, however many draws it takes.
    marginal = log_marginal(ModelRows(model, batch_of(X), key=KEY), num_samples=3)
    close(marginal, bound)


def test_each_part_has_the_gradient_of_its_own_terms(float64):
    """The codebook: 2 a (e - z) summed over what it met, and nothing of the likelihood. The encoder's last bias: the
    slope of log p at the code, and 2 b (z - e)."""
    model, batch, (a, b) = model_of(vectors(BOOKS[:1]), 3), batch_of(X), (0.7, 0.3)
    objective = Quantised(codebook=a, commitment=b)
    trainable, rest = partition_trainable(model)
    loss = lambda t: objective(eqx.combine(t, rest), batch, key=KEY, step=STEP)[0]  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(trainable)
    by_code, by_bias = np.zeros((1, 5, 3)), np.zeros(3)
    for x in batch.x:
        head = model.posterior(x).assignment
        difference, code = np.asarray(head.inputs - head.chosen)[0, 0], head.chosen[0, 0]
        by_code[0, int(head.codes[0, 0])] -= 2 * a * difference / 4
        slope = jax.grad(lambda z, x=x: -model.likelihood(z).log_prob(x))(code)
        by_bias += (np.asarray(slope) + 2 * b * difference) / 4
    close(gradient.encoder.head.quantiser.codebooks, by_code)
    close(gradient.encoder.network.layers[-1].bias, by_bias)


def test_use_and_perplexity_count_weights():
    use = code_use(jnp.array([[0, 0], [1, 3], [2, 2]]), jnp.array([1.0, 2.0, 0.0]), 4)
    close(use, [2.0, 2.0, 0.0, 2.0])
    close(perplexity(use), 3.0)
    close(perplexity(jnp.array([0.5, 0.25, 0.25])), 2**1.5)
    model = model_of(vectors(averaged=True), 6)
    metrics = evaluate(Quantised(), model, batch_of(X))[1]
    numbers = jax.vmap(lambda x: model.posterior(x).assignment.codes)(batch_of(X).x)
    stages = [np.bincount(np.asarray(numbers)[:, :, s].reshape(-1), minlength=5) / 8 for s in range(2)]
    close(metrics["code_usage"][0] / 4, np.mean([np.mean(share > 0) for share in stages]))
    close(metrics["perplexity"][0] / 4, np.mean([np.exp(special.entr(share).sum()) for share in stages]))


def test_a_measurement_says_that_it_is_a_bound():
    small = {"network.hidden": 4, "posterior.latent_dim": 4, "posterior.code_dim": 2, "posterior.codes": 5}
    experiment = prepare(override(RECIPES["vq-vae"].config, {**small, "training.steps": 1}), make_data())
    model = experiment.new_model()
    found = measured(experiment.trained(model), experiment.data, np.arange(8), num_samples=50).metrics
    marginal = found["log_marginal"]
    code = lambda x: model.posterior(x).sample(key=KEY)  # noqa: E731
    rows = [model.likelihood(code(x)).log_prob(x) for x in jnp.asarray(experiment.data.x[:8], jnp.float32)]
    close(marginal.value, np.mean(rows) - 2 * math.log(5))
    close(found["elbo"].value, marginal.value)
    assert (marginal.num_samples, marginal.protocol.split(",")[0]) == (1, "a lower bound")


# --- what is refused ---


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="whole number of groups of 3"):
        CodeHead((4,), vectors())
    with pytest.raises(ConfigError, match="65537 codes"):
        CodeHead((1,), ScalarQuantiser((65537,)))
    with pytest.raises(ConfigError, match="Use 3 or more"):
        ScalarQuantiser((8, 2))
    for name, settings in (("vq-vae", {"objective.name": "elbo"}), ("default", {"objective.name": "quantised"})):
        config = override(RECIPES[name].config, settings)
        with pytest.raises(ConfigError, match="do not go together"):
            make_objective(bind(config), Size(10, 1), 6)
    assert [whole_groups(n, 4) for n in (2, 4, 13)] == [4, 4, 16]
