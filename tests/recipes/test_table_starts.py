"""What a table begins with: factors of its columns' scores, in the outputs of its head and in its encoder."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data.dataset import training_rows
from latens.evidence import log_marginal
from latens.evidence.factors import MOST_EXPLAINED, ColumnFactors, fit_column_factors, scores_of
from latens.kinds.tables.columns import ColumnType
from latens.models.heads.table import TableHead, TableInput, middles_of
from latens.networks import LinearPath
from latens.recipes import get_recipe
from latens.recipes.principal_components import decoder_map, encoder_map

SHARES = np.diff(np.asarray(jax.scipy.stats.norm.cdf(np.linspace(-4, 4, 101))), prepend=0.0, append=1.0)
NUMBER = ColumnType("number", size=102, starts=tuple(range(102)), shares=tuple((SHARES / SHARES.sum()).tolist()))
NAMES = ColumnType("category", ("a", "b", "c"), shares=(0.2, 0.3, 0.5))
ORDER = ColumnType("ordinal", ("low", "some", "much", "most"), shares=(0.1, 0.4, 0.3, 0.2))


@pytest.mark.parametrize("one", [NUMBER, NAMES, ORDER])
def test_scores_have_mean_0_variance_1_and_no_correlations(one: ColumnType) -> None:
    scores, shares = scores_of(one, 1000.0), np.asarray(one.shares)
    assert scores.shape[1] == (2 if one.kind == "category" else 1)
    np.testing.assert_allclose(shares @ scores, 0.0, atol=1e-12)
    np.testing.assert_allclose(scores.T @ (shares[:, None] * scores), np.eye(scores.shape[1]), atol=1e-12)


def test_names_of_few_rows_share_their_scores() -> None:
    one = ColumnType("category", tuple("abcdef"), shares=(0.5, 0.3, 0.17, 0.01, 0.01, 0.01))
    few, many = scores_of(one, 400.0), scores_of(one, 10_000.0)
    assert (few.shape[1], many.shape[1]) == (3, 5)
    np.testing.assert_array_equal(few[3], few[4])
    alone = scores_of(one, 200.0)  # 6 rows together: they lie with the most frequent name
    assert alone.shape[1] == 2
    np.testing.assert_array_equal(alone[0], alone[5])


@pytest.fixture(scope="module")
def factors() -> ColumnFactors:
    scores = tuple(scores_of(one, 1000.0) for one in (NUMBER, NAMES, ORDER, NUMBER))
    weights = (
        np.array([[0.8, 0.0]]),
        np.array([[0.3, 0.4], [-0.2, 0.5]]),
        np.array([[0.5, -0.3]]),
        np.array([[0.6, 0.6]]),
    )
    return ColumnFactors(scores, weights).turned()


def test_the_tilt_of_a_number_is_a_normal(factors: ColumnFactors) -> None:
    """log p(c | z) - log p(c) is log N(c; w z, 1 - |w|^2) - log N(c; 0, 1), but for a constant over c."""
    types = (NUMBER, NAMES, ORDER, NUMBER)
    head = TableHead(types)
    maps, bias = decoder_map(factors, types, head)
    z = np.array([0.7, -1.1])
    part = head(jnp.asarray(z @ maps + bias, jnp.float32)).parts["ordered-128"]
    c = middles_of(NUMBER)
    shares = np.asarray(NUMBER.shares)
    c = (c - shares @ c) / np.sqrt(shares @ (c - shares @ c) ** 2)
    for row, place in enumerate((0, 3)):
        mean, variance = factors.weights[place][0] @ z, 1.0 - factors.weights[place][0] @ factors.weights[place][0]
        wanted = np.log(shares) - 0.5 * (c - mean) ** 2 / variance + 0.5 * c**2
        wanted -= np.log(np.exp(wanted).sum())
        np.testing.assert_allclose(part.log_shares()[row, :102], wanted, atol=2e-4)


def test_the_ratios_of_names_are_those_of_bayes(factors: ColumnFactors) -> None:
    """p(name | z) is p(name) N(z; mu, S) over their sum, with the mean and covariance of z given the name."""
    scores, weight = factors.scores[1], factors.weights[1]
    covariance = np.eye(2) - weight.T @ weight
    z = np.array([0.4, 1.3])
    away = z - scores @ weight
    wanted = np.log(NAMES.shares) - 0.5 * np.einsum("si,ij,sj->s", away, np.linalg.inv(covariance), away)
    slopes, constant = factors.ratios()[1]
    found = np.log(NAMES.shares) + slopes @ z + constant
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], atol=1e-12)


def test_an_ordinal_is_a_logistic_that_is_moved(factors: ColumnFactors) -> None:
    """Its cuts are those of the shares over the scale of what is left, and its location is that of the score."""
    types = (NUMBER, NAMES, ORDER, NUMBER)
    head = TableHead(types)
    maps, bias = decoder_map(factors, types, head)
    z, weight = np.array([0.7, -1.1]), factors.weights[2][0]
    left, upto = np.sqrt(1.0 - weight @ weight), np.cumsum(ORDER.shares)[:-1]
    wanted = 1.0 / (1.0 + np.exp(-(np.log(upto / (1.0 - upto)) - 1.702 * (weight @ z)) / left))
    part = head(jnp.asarray(z @ maps + bias, jnp.float32)).parts["ordinal-4"]
    np.testing.assert_allclose(np.cumsum(np.exp(part.log_shares()[0]))[:-1], wanted, atol=1e-5)


def test_the_encoder_gives_the_posterior_of_the_joint_normal(factors: ColumnFactors) -> None:
    """Also where cells are missing their scores add nothing to the location."""
    types = (NUMBER, NAMES, ORDER, NUMBER)
    entry = TableInput(types)
    maps, constant = encoder_map(factors, types, entry)
    x = np.array([30.0, 2.0, 1.0, 88.0])
    for mask in (np.ones(4, bool), np.array([True, False, True, False])):
        found = np.asarray(entry(jnp.asarray(x), jnp.asarray(mask))) @ maps + constant
        kept = np.flatnonzero(mask)
        scores = np.concatenate([factors.scores[j][int(x[j])] for j in kept])
        stacked = np.concatenate([factors.weights[j] for j in kept])
        noise = np.zeros((len(stacked), len(stacked)))
        ends = np.cumsum([0, *(len(factors.weights[j]) for j in kept)])
        for j, a, b in zip(kept, ends, ends[1:]):
            noise[a:b, a:b] = np.eye(b - a) - factors.weights[j] @ factors.weights[j].T
        natural = stacked.T @ np.linalg.solve(noise, scores)
        np.testing.assert_allclose(found, natural / np.diag(factors.precision()), atol=1e-5)


def test_factors_of_linear_gaussian_numbers_are_their_principal_components() -> None:
    """x = w z + noise with |w|^2 + variance = 1: the weights come back up to their signs."""
    rng = np.random.default_rng(0)
    weight = np.array([0.9, 0.7, -0.7, 0.7, 0.7])
    x = rng.normal(size=(8000, 1)) * weight + rng.normal(size=(8000, 5)) * np.sqrt(1.0 - 0.55)
    data = latens.read(pd.DataFrame(x.round(3), columns=list("abcde")), typed=True)
    x, mask, weights = training_rows(data)
    made = fit_column_factors(x, mask, data.schema.types or (), count=1, weight=weights)
    scores = np.concatenate([scores_of(one, len(x))[np.searchsorted(one.firsts, x[:, j], side="right") - 1]
                             for j, one in enumerate(data.schema.types or ())], axis=1)  # fmt: skip
    values, vectors = np.linalg.eigh(np.cov(scores.T, bias=True))
    wanted = vectors[:, -1] * np.sqrt(values[-1] - values[:-1].mean())
    found = np.concatenate(made.weights)[:, 0]
    np.testing.assert_allclose(found * np.sign(found[0]), wanted * np.sign(wanted[0]), atol=1e-3)
    assert max(float(np.linalg.norm(one)) for one in made.weights) ** 2 <= MOST_EXPLAINED + 1e-9


@pytest.fixture(scope="module")
def planted() -> pd.DataFrame:
    """Two columns of names that share one latent: four of ten rows of each name of one have one name of the other."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=4000)
    name = lambda: np.array(list("abc"))[np.digitize(z + 0.7 * rng.normal(size=4000), [-0.5, 0.6])]  # noqa: E731
    return pd.DataFrame({"one": name(), "other": name()})


def test_log_p_at_the_start_is_close_to_the_truth(planted: pd.DataFrame) -> None:
    """Of two columns of names with one planted latent, before any step of training."""
    data = latens.read(planted, label="none")
    config = override(get_recipe("default").config, {"posterior.latent_dim": 1, "prior": "standard-normal"})
    experiment = latens.fitting.prepare(config, data)
    model = experiment.stages()[0].start(experiment.new_model(), experiment.data)
    assert isinstance(model.decoder.network, LinearPath)
    trained = experiment.trained(model)
    rows = data.subset("test")
    found = log_marginal(trained.rows(trained.batch(data, rows), seed=0), num_samples=500).astype(np.float64)
    joint = pd.crosstab(planted.one, planted.other, normalize=True).to_numpy()
    x = np.asarray(data.x)[rows].astype(int)
    truth = np.log(joint[x[:, 0], x[:, 1]])
    alone = np.log(joint.sum(1)[x[:, 0]] * joint.sum(0)[x[:, 1]])
    assert truth.mean() - alone.mean() > 0.1
    assert abs(found.mean() - truth.mean()) < 0.25 * (truth.mean() - alone.mean())


def test_nothing_of_what_is_asked_for_is_replaced(planted: pd.DataFrame) -> None:
    """A fit ends as the model that was trained, with latents that say something."""
    data = latens.read(planted, label="none")
    trained, result = latens.fitting.train(
        latens.fitting.prepare(override(get_recipe("default").config, {"training.steps": 100}), data)
    )
    assert "start" not in trained.facts
    assert isinstance(trained.model.decoder.network, LinearPath)
    for one, two in zip(jax.tree.leaves(eqx.filter(trained.model.decoder, eqx.is_array)),
                        jax.tree.leaves(eqx.filter(result.model.decoder, eqx.is_array))):  # fmt: skip
        np.testing.assert_array_equal(one, two)
