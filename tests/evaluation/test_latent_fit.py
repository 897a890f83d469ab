"""The aggregated posterior against the prior: distances in closed form, uniform p-values, holes of known size."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tables import batch_of, linear

from latens.distributions import StandardNormal
from latens.errors import DataError
from latens.evaluation import Rows
from latens.evaluation.latents.latent_fit import hole_share, latent_fit, maximum_mean_discrepancy
from latens.models import Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.trees import Frozen


def exact_mmd(shift: float, h: float) -> float:
    """Of N(0, 1) and N(shift, 1): E k = h / sqrt(h^2 + 2) within each, times exp(-shift^2 / 2(h^2 + 2)) across."""
    within = h / np.sqrt(h**2 + 2.0)
    return 2.0 * within * (1.0 - np.exp(-(shift**2) / (2.0 * (h**2 + 2.0))))


def test_the_discrepancy_of_two_normals() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 1)), 0.5 + rng.normal(size=(1500, 1))
    found = maximum_mean_discrepancy(x, y, bandwidth=0.8, permutations=50, seed=0)
    assert abs(found["mmd"].value - exact_mmd(0.5, 0.8)) < 5 * found["mmd"].standard_error
    assert found["mmd_p_value"].value == pytest.approx(1 / 51)
    # As the definition says, by sums over pairs.
    few = maximum_mean_discrepancy(x[:30], y[:30], bandwidth=0.8, permutations=5, seed=0)["mmd"]
    k = lambda a, b: np.exp(-((a - b.T) ** 2) / (2 * 0.8**2))  # noqa: E731
    pairs = [k(a, a).sum() - 30 for a in (x[:30], y[:30])]
    assert few.value == pytest.approx(sum(pairs) / (30 * 29) - 2 * k(x[:30], y[:30]).mean(), abs=1e-12)


def test_the_error_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(1)
    options = {"bandwidth": 1.0, "permutations": 1, "seed": 0}
    found = [
        maximum_mean_discrepancy(rng.normal(size=(100, 1)), 1.0 + rng.normal(size=(100, 1)), **options)["mmd"]
        for _ in range(200)
    ]
    values = np.array([e.value for e in found])
    # Unbiased: the mean over samples is the exact value. A spread is known to a twentieth from 200.
    assert abs(values.mean() - exact_mmd(1.0, 1.0)) < 5 * values.std() / np.sqrt(200)
    assert np.mean([e.standard_error for e in found]) == pytest.approx(values.std(), rel=0.25)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(2)
    values = [
        maximum_mean_discrepancy(*rng.normal(size=(2, 40, 2)), permutations=39, seed=s)["mmd_p_value"].value
        for s in range(150)
    ]
    # They are multiples of 1/40, so the Kolmogorov distance to uniform is at most 1/40 larger.
    distance = stats.kstest(values, "uniform").statistic
    assert distance < 1 / 40 + 1.95 / np.sqrt(150)


def test_holes_of_known_size() -> None:
    """Codes on the upper half line only: the lower half of a standard Normal is a hole, beyond a little edge."""
    rng = np.random.default_rng(0)
    codes, held_out = np.abs(rng.normal(size=(2, 20_000, 1)))
    prior = rng.normal(size=(20_000, 1))
    found = hole_share(codes, held_out, prior)
    # Of the upper half the same 1 % lies outside as of held-out codes; below 0 all but an edge of the limit's width.
    limit = float(found.protocol.split("(")[1].split(")")[0])
    exact = 0.5 * 0.01 + stats.norm.cdf(-limit)
    assert limit < 0.05
    assert abs(found.value - exact) < 5 * np.hypot(found.standard_error, np.sqrt(0.01 / 20_000))
    same = hole_share(codes, held_out, np.abs(prior))
    assert abs(same.value - 0.01) < 5 * np.sqrt(2 * 0.01 * 0.99 / 20_000)
    assert hole_share(codes, held_out, prior - 100.0).value == pytest.approx(1.0)


def model(loc: float, scale: float) -> LatentModel:
    """q(z | x) = N(loc, scale^2) in two dimensions whatever x is, under a standard Normal prior."""
    encoder = linear(np.zeros((1, 4)), np.array([loc, loc, np.log(scale), np.log(scale)]))
    head = SharedScaleNormalHead((1,), Frozen(jnp.zeros(())))
    decoder = Conditional(linear(np.zeros((2, 1)), np.zeros(1)), head)
    return LatentModel(StandardNormal((2,)), Conditional(encoder, NormalHead((2,))), decoder)


def test_a_healthy_and_a_shifted_aggregate() -> None:
    batch = batch_of(np.zeros((1200, 1)))
    healthy = latent_fit(Rows(model(0.0, 1.0), batch))
    assert set(healthy) == {
        *("aggregate_mmd", "aggregate_mmd_p_value", "aggregate_two_sample", "aggregate_two_sample_p_value"),
        "prior_holes",
    }
    assert abs(healthy["aggregate_mmd"].value) < 5 * max(healthy["aggregate_mmd"].standard_error, 1e-3)
    assert healthy["aggregate_mmd_p_value"].value > 0.01
    assert abs(healthy["aggregate_two_sample"].value - 0.5) < 5 * healthy["aggregate_two_sample"].standard_error
    assert abs(healthy["prior_holes"].value - 0.01) < 5 * np.sqrt(0.01 / 600)
    shifted = latent_fit(Rows(model(3.0, 1.0), batch))
    assert shifted["aggregate_mmd_p_value"].value == pytest.approx(1 / 201)
    # No classifier is right more often than Phi(|shift| / 2), which neighbours come close to.
    best = stats.norm.cdf(3.0 * np.sqrt(2.0) / 2.0)
    assert abs(shifted["aggregate_two_sample"].value - best) < 5 * shifted["aggregate_two_sample"].standard_error + 0.01
    assert shifted["prior_holes"].value > 0.5
    with pytest.raises(DataError, match="too few"):
        latent_fit(Rows(model(0.0, 1.0), batch_of(np.zeros((15, 1)))))


def test_weights_are_refused_unless_they_say_nothing() -> None:
    batch = batch_of(np.zeros((40, 1)))
    plain = latent_fit(Rows(model(0.0, 1.0), batch))
    alike = latent_fit(Rows(model(0.0, 1.0), replace(batch, weight=np.full(40, 2.0, np.float32))))
    assert {name: e.value for name, e in alike.items()} == {name: e.value for name, e in plain.items()}
    with pytest.raises(DataError, match="rows with weights"):
        latent_fit(Rows(model(0.0, 1.0), replace(batch, weight=np.arange(40.0, dtype=np.float32))))
