"""Counts given their total: densities, size factors, what the encoder sees, and where the model begins."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import nbinom

import latens
from latens.config import override
from latens.data import Preparation, prepare_batch
from latens.data.dataset import as_batch
from latens.errors import ConfigError, DataError
from latens.evidence.rivals import GROUP_ROWS, depth_baseline, fit_counts, fit_depth_factors, log_totals
from latens.models import DepthHead, DepthInput
from latens.models.heads.depth import residuals
from latens.trainable import Frozen

SHARES = np.array([0.5, 0.3, 0.2])
THETA = np.array([2.0, 0.7, 5.0])


def head(zero_inflated: bool = False, by_condition: Any = None) -> DepthHead:
    usual = Frozen(jnp.log(jnp.asarray(20.0)))
    return DepthHead((3,), jnp.log(jnp.asarray(THETA, jnp.float32)), by_condition, usual, zero_inflated)


def terms(counts: list[int], mean: np.ndarray, theta: np.ndarray = THETA) -> np.ndarray:
    return nbinom.logpmf(counts, theta, theta / (theta + mean))


def test_a_density_is_that_of_the_share_times_the_total() -> None:
    outputs = jnp.log(jnp.asarray(SHARES, jnp.float32)) + 3.0  # a constant changes no share
    given = head().given({"depth": jnp.log(jnp.asarray(10.0))})(outputs)
    np.testing.assert_allclose(
        given.log_prob_terms(jnp.array([4.0, 3.0, 0.0])), terms([4, 3, 0], 10 * SHARES), rtol=2e-5
    )
    np.testing.assert_allclose(given.mean(), 10 * SHARES, rtol=1e-5)
    usual = head()(outputs)
    np.testing.assert_allclose(
        usual.log_prob_terms(jnp.array([9.0, 8.0, 3.0])), terms([9, 8, 3], 20 * SHARES), rtol=2e-5
    )


@pytest.mark.parametrize("zero_inflated", [False, True])
def test_the_counts_of_a_gene_sum_to_one(zero_inflated: bool) -> None:
    outputs = jnp.concatenate([jnp.log(jnp.asarray(SHARES, jnp.float32)), jnp.full(3, -1.5)])[
        : 6 if zero_inflated else 3
    ]
    made = head(zero_inflated).given({"depth": jnp.log(jnp.asarray(10.0))})(outputs)
    support = jnp.arange(400.0)[:, None] * jnp.ones(3)
    log = np.asarray(jax.vmap(made.log_prob_terms)(support), np.float64)
    np.testing.assert_allclose(np.exp(log).sum(axis=0), 1.0, atol=1e-6)
    share = 1 / (1 + np.exp(1.5)) if zero_inflated else 0.0
    zero = np.exp(terms([0, 0, 0], 10 * SHARES))
    np.testing.assert_allclose(np.exp(log[0]), share + (1 - share) * zero, rtol=2e-5)


def test_a_dispersion_depends_on_the_batch() -> None:
    made = head(by_condition=jnp.asarray([[1.0, 0.0, -1.0]]))
    outputs = jnp.log(jnp.asarray(SHARES, jnp.float32))
    found = made.given({"depth": jnp.log(jnp.asarray(10.0)), "given": jnp.asarray([0.5])})(outputs)
    theta = THETA * np.exp([0.5, 0.0, -0.5])
    np.testing.assert_allclose(
        found.log_prob_terms(jnp.array([4.0, 3.0, 1.0])), terms([4, 3, 1], 10 * SHARES, theta), rtol=2e-5
    )
    plain = made.given({"depth": jnp.log(jnp.asarray(10.0))})(outputs)
    np.testing.assert_allclose(
        plain.log_prob_terms(jnp.array([4.0, 3.0, 1.0])), terms([4, 3, 1], 10 * SHARES), rtol=2e-5
    )


def test_a_head_starts_at_the_moments() -> None:
    mean = np.array([4.0, 2.0, 2.0])
    made, bias = head(True).started(mean, None, mean + mean**2 / 0.5)
    np.testing.assert_allclose(np.exp(bias[:3]), [0.5, 0.25, 0.25], rtol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-bias[3:])), 0.01)
    assert isinstance(made, DepthHead)
    np.testing.assert_allclose(np.exp(made.log_dispersion), 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.exp(made.usual.value), 8.0, rtol=1e-6)


def test_the_size_factor_is_the_total_of_what_is_observed() -> None:
    x = np.array([[2, 3, 0], [0, 0, 0], [1, 5, 4]], np.float32)
    mask = np.array([[True] * 3, [True] * 3, [True, False, True]])
    for seen, wanted in ((None, [5, 1, 10]), (mask, [5, 1, 5])):
        found = prepare_batch(Preparation(depth=True), as_batch(x, mask=seen), key=None)
        assert found.cond is not None
        np.testing.assert_allclose(np.exp(found.cond["depth"]), wanted, rtol=1e-6)
    assert Preparation.from_json(Preparation(depth=True).to_json()).depth
    assert "depth" not in Preparation().to_json()


def test_an_encoder_sees_counts_at_one_depth() -> None:
    entry = DepthInput(np.array([0.1, 0.2, 0.3]), np.log(20.0), 0.5)
    found = entry(jnp.array([2.0, 3.0, 5.0]))
    np.testing.assert_allclose(found[:3], np.log1p([4.0, 6.0, 10.0]) - [0.1, 0.2, 0.3], rtol=1e-5)
    np.testing.assert_allclose(found[3], np.log(10 / 20) / 0.5, rtol=1e-5)
    np.testing.assert_allclose(entry(jnp.array([4.0, 6.0, 10.0]))[:3], found[:3], rtol=1e-5)  # twice the depth
    part = entry(jnp.array([2.0, 3.0, 9.0]), jnp.array([True, True, False]))
    np.testing.assert_allclose(part, [*(np.log1p([8.0, 12.0]) - [0.1, 0.2]), 0.0, np.log(5 / 20) / 0.5], rtol=1e-5)


def test_an_encoder_sees_residuals_of_counts() -> None:
    shares = np.array([0.6, 0.3, 0.1])
    entry = DepthInput(np.array([0.1, 0.2, 0.3]), np.log(20.0), 0.5, np.log(shares))
    found = entry(jnp.array([4.0, 6.0, 0.0]))
    # (x - l p) / sqrt(l p (1 + l p)) with means 6, 3 and 1 of a total of 10
    np.testing.assert_allclose(found[:3], [-2 / 42**0.5 - 0.1, 3 / 12**0.5 - 0.2, -1 / 2**0.5 - 0.3], rtol=1e-5)
    np.testing.assert_allclose(found[3], np.log(10 / 20) / 0.5, rtol=1e-5)
    rare = DepthInput(np.zeros(3), 0.0, 1.0, np.log([0.5, 0.499, 1e-9]))
    np.testing.assert_allclose(rare(jnp.array([50.0, 49.0, 1.0]))[2], 10.0)  # one count of a rare gene is bounded
    part = entry(jnp.array([4.0, 6.0, 9.0]), jnp.array([True, True, False]))
    np.testing.assert_allclose(part[:3], [*found[:2], 0.0], rtol=1e-5)
    x = np.array([[4.0, 6.0, 0.0], [50.0, 49.0, 1.0]])
    mean = x.sum(axis=1, keepdims=True) * shares
    away = (x - mean) / np.sqrt(mean * (1 + mean))
    np.testing.assert_allclose(away[0] - [0.1, 0.2, 0.3], found[:3], rtol=1e-5)
    np.testing.assert_allclose(residuals(x, log_totals(x)[:, None], np.log(shares)), away, rtol=1e-5)
    np.testing.assert_allclose(residuals(x, log_totals(x)[:, None], np.log([0.5, 0.499, 1e-9]))[1, 2], 10.0)


def some_counts(n: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    batch, kind = np.arange(n) % 2, rng.integers(0, 2, n)
    logits = (
        np.linspace(0.0, 2.0, 12)
        + 1.5 * kind[:, None] * (np.arange(12) < 4)
        + batch[:, None] * (np.arange(12) % 3 == 0)
    )
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return rng.poisson(share * np.exp(rng.normal(4.5, 0.5, n))[:, None]).astype(np.float64), batch


def test_shares_of_genes_alone_are_totals_over_totals() -> None:
    x, batch = some_counts()
    design = np.stack([np.ones(len(x)), batch], axis=1)
    made = fit_counts(x, design, log_totals(x), np.array([0.0, 1e-8]))
    for b in (0, 1):
        rows = x[batch == b]
        np.testing.assert_allclose(
            np.exp(np.array([1, b]) @ made.coefficients), rows.sum(axis=0) / rows.sum(), rtol=1e-4
        )
    mean = np.exp(made.log_mean(design, log_totals(x)))
    theta = np.exp(made.log_theta)
    for step in (0.9, 1.1):  # no other dispersion is more probable
        other = nbinom.logpmf(x, theta * step, theta * step / (theta * step + mean)).sum(axis=0)
        inside = made.log_theta < 6.9
        assert (nbinom.logpmf(x, theta, theta / (theta + mean)).sum(axis=0) >= other - 1e-9)[inside].all()
    found = depth_baseline(x, x[:3], (batch[:, None], batch[:3, None]))
    np.testing.assert_allclose(found, nbinom.logpmf(x, theta, theta / (theta + mean))[:3], rtol=1e-3, atol=1e-4)


def test_rows_in_files_of_gaps_count_what_is_seen() -> None:
    x, _ = some_counts(40)
    mask = np.random.default_rng(1).random(x.shape) < 0.7
    other = np.where(mask, x, 99.0)
    found = depth_baseline(x, x, masks=(mask, mask))
    assert (found == depth_baseline(other, other, masks=(mask, mask))).all()
    assert (found[~mask] == 0.0).all()
    assert (found[mask] < 0.0).all()


def seen_of(x: np.ndarray, made: Any) -> np.ndarray:
    depth = log_totals(x)
    if made.usual is not None:
        np.testing.assert_allclose(np.exp(made.usual), x.sum(axis=0) / x.sum(), rtol=1e-6)
        return residuals(x, depth[:, None], made.usual, np) - made.centre
    return np.log1p(x * np.exp(made.target - depth)[:, None]) - made.centre


@pytest.mark.parametrize("of_residuals", [False, True])
def test_components_depend_on_neither_depth_nor_batch(of_residuals: bool) -> None:
    x, batch = some_counts()
    given = np.where(batch, 1.0, 0.0)[:, None]
    made = fit_depth_factors(x, given, 2, of_residuals=of_residuals)
    depth = log_totals(x)
    seen = seen_of(x, made)
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-10)
    z = np.concatenate([seen, ((depth - made.target) / made.spread)[:, None], given], axis=1) @ made.up + made.at
    ones = np.ones((len(x), 1))
    of_depth = np.linalg.lstsq(np.concatenate([depth[:, None], given, ones], axis=1), z)[0][0]
    of_batch = np.linalg.lstsq(np.concatenate([given, made.groups], axis=1), z)[0][0]
    assert np.abs([of_depth, of_batch]).max() < 1e-10
    assert made.groups.shape == (len(x), len(x) // GROUP_ROWS)
    assert (made.groups.sum(axis=1) == 1).all()
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(z.var(axis=0) + made.scale**2, 1.0, rtol=1e-6)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.7)])
def test_what_a_batch_adds_is_not_what_types_it_holds(shares: tuple[float, float]) -> None:
    """Of two types the second is this share of either batch; five genes tell them apart, four others the batches."""
    rng = np.random.default_rng(3)
    batch = np.arange(1200) % 2
    kind = (rng.random(1200) < np.array(shares)[batch]).astype(int)
    markers, changed = np.arange(30) < 5, (np.arange(30) >= 5) & (np.arange(30) < 9)
    logits = np.linspace(0.0, 1.0, 30) + 1.5 * kind[:, None] * markers + 0.8 * batch[:, None] * changed
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    x = rng.poisson(300 * share).astype(np.float64)
    made = fit_depth_factors(x, batch[:, None] * 1.0, 3, of_residuals=True)
    found = made.down[3] - np.median(made.down[3][9:])  # what the batch adds to logarithms of shares
    np.testing.assert_allclose(found[changed], 0.8, atol=0.12)
    np.testing.assert_allclose(found[markers], 0.0, atol=0.12)
    means = np.log(x[batch == 1].sum(axis=0) / x[batch == 0].sum(axis=0))
    wrong = np.abs((means - np.median(means[9:]))[markers]).mean()  # what the totals of the batches say
    assert wrong < 0.1 if shares == (0.5, 0.5) else wrong > 0.4
    # So the code that tells types is the same in both batches, in its standard deviations.
    depth = log_totals(x)
    z = np.column_stack([seen_of(x, made), (depth - made.target) / made.spread, batch]) @ made.up + made.at
    for one in (0, 1):
        apart = z[(kind == one) & (batch == 1)].mean(axis=0) - z[(kind == one) & (batch == 0)].mean(axis=0)
        assert abs(apart[0]) < 0.2


def config(**settings: Any) -> Any:
    small = {"network.hidden": [8], "posterior.latent_dim": 2, "training.steps": 3}
    return override(latens.recipes.get_recipe("cells").config, small | settings)


def of_counts(**options: Any) -> Any:
    x, batch = some_counts()
    named: Any = {"condition": {"batch": np.array(["a", "b"])[batch]}} | options
    return latens.read(x.astype(np.float32), counts=True, **named)


def test_a_model_begins_at_the_closed_form() -> None:
    data = of_counts()
    experiment = latens.fitting.prepare(config(), data)
    model: Any = experiment.stages()[0].start(experiment.new_model(), data)  # pyright: ignore[reportOptionalCall]
    batch = prepare_batch(experiment.preparation, data.rows(data.subset("train")), key=None)
    order = np.argsort(data.row_id[data.subset("train")], kind="stable")
    assert batch.cond is not None
    given = np.asarray(batch.cond["given"])
    made = fit_depth_factors(np.asarray(batch.x)[np.sort(order)], given, 2, of_residuals=True)
    found = eqx.filter_vmap(lambda x, c: model.posterior(x, cond=c))(batch.x, batch.cond)
    depth = log_totals(np.asarray(batch.x))
    seen = np.concatenate(
        [seen_of(np.asarray(batch.x, np.float64), made), ((depth - made.target) / made.spread)[:, None], given], axis=1
    )
    np.testing.assert_allclose(found.loc, seen @ made.up + made.at, atol=1e-4)
    np.testing.assert_allclose(jnp.exp(found.log_scale_array())[0], made.scale, rtol=1e-4)
    z = jnp.asarray([0.3, -0.2])
    likelihood = model.likelihood(z, cond={"given": jnp.asarray([0.0, 1.0]), "depth": jnp.zeros(())})
    logits = made.shares + np.array([0.3, -0.2, 0.0, 1.0]) @ made.down
    np.testing.assert_allclose(likelihood.log_mean, logits - np.log(np.exp(logits).sum()), atol=1e-4)


def test_a_recipe_of_counts_says_what_it_cannot_read() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="holds no counts"):
        latens.fitting.prepare(config(), latens.read(rng.normal(size=(30, 4))))
    with pytest.raises(ConfigError, match="needs conditions"):
        latens.fitting.prepare(config(**{"likelihood.dispersion": "gene-condition"}), of_counts(condition=None))
