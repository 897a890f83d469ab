"""Errors of draws cover what they speak of: log p(x) of Normal posteriors; and tails of tied weights."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.evidence import LogMarginals
from latens.evidence.importance import summarise, tail_shape
from latens.trained import diagnose

ROWS = 50

LogWeights = Callable[[np.random.Generator, int, int], np.ndarray]
"""Log weights less log p(x), which is 0, of so many rows and draws."""


def normal(variances: list[float], shift: float = 0.0) -> LogWeights:
    """Of N(shift along the first axis, variances) under N(0, 1)."""
    centre = np.zeros(len(variances), np.float32)
    centre[0] = shift

    def made(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        z = random.standard_normal((rows, count, len(variances)), np.float32)
        return 0.5 * np.sum(z**2 - (z - centre) ** 2 / np.float32(variances) - np.log(np.float32(variances)), axis=-1)

    return made


def student(dim: int, df: float) -> LogWeights:
    """Of a Student t in so many dimensions, whose tails no Normal has, under N(0, 1)."""

    def made(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        z = random.standard_normal((rows, count, dim))
        return stats.multivariate_t(np.zeros(dim), np.eye(dim), df).logpdf(z) - stats.norm.logpdf(z).sum(axis=-1)

    return made


def laplace(dim: int) -> LogWeights:
    def made(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        z = 1.3 * random.standard_normal((rows, count, dim))
        return np.sum(stats.laplace.logpdf(z) - stats.norm.logpdf(z, scale=1.3), axis=-1)

    return made


def coins(latents: int, strength: float) -> LogWeights:
    return lambda random, rows, count: bernoulli_weights(latents, strength, random, rows, count)


def missed(share: float) -> LogWeights:
    """A share of the posterior where no draw of q comes."""
    return lambda random, rows, count: np.log(1 - share) + normal([1.1] * 2)(random, rows, count)


SETTINGS: dict[str, LogWeights] = {
    # Variances of the posterior along its axes, where those of the proposal are 1, and its distance from it.
    "mean-field of a correlation of 0.2": normal([2.0, *[0.889] * 4]),
    "wider by 1.3": normal([1 / 1.69] * 5),
    "narrower by 0.8": normal([1 / 0.64] * 5),
    "shifted by 1": normal([1.0] * 5, 1.0),
    "mean-field of a correlation of 0.8": normal([17.0, *[0.81] * 4]),
    "Laplace": laplace(5),
    "coins": coins(6, 0.3),
    "coins that are far off": coins(6, 1.0),
}
UNSEEN: dict[str, LogWeights] = {
    "Student t of 3": student(8, 3.0),
    "Student t of 5": student(8, 5.0),
    "a missed mode": missed(0.3),
}
"""Of these no draw of q tells what it lacks: the error is of the draws alone, and the number is called "at least"."""


def log_weights(name: str, rows: int, count: int, random: np.random.Generator) -> np.ndarray:
    return (SETTINGS | UNSEEN)[name](random, rows, count).astype(np.float32)


summary = jax.jit(summarise)


@cache
def repeated(name: str, count: int, repeats: int, rows: int = ROWS) -> list[LogMarginals]:
    random, found = np.random.default_rng(0), []
    made = [np.asarray(part, np.float64) for part in summary(log_weights(name, repeats * rows, count, random))]
    for i in range(repeats):
        value, error, size, k, rises = (part[i * rows : (i + 1) * rows] for part in made)
        found.append(LogMarginals(value, error, count, "made", size, k, count - 1, None, rises))
    return found


GRID = [(name, count) for count in (100, 1000) for name in SETTINGS]
MARKED = [pytest.param(*each, marks=[pytest.mark.more] if each[1] == 1000 else []) for each in GRID]


@pytest.mark.parametrize(("name", "count"), MARKED)
def test_an_error_that_is_printed_covers_log_p(name: str, count: int) -> None:
    found = repeated(name, count, 100)
    miss = np.array([abs(one.rows.mean()) for one in found])
    error = np.array([one.draws_error for one in found])
    printed = np.isfinite(error)
    assert np.mean(miss <= 1.96 * error) >= 0.93
    if printed.mean() > 0.5:
        assert np.mean(miss[printed] <= 1.96 * error[printed]) >= 0.93
        # ... and is no more than three times what the estimates are off by.
        assert np.median(error[printed]) < 3 * np.sqrt(np.mean(miss**2))
    assert printed.mean() > 0.7 or name in ("mean-field of a correlation of 0.8", "coins that are far off")
    if name == "mean-field of a correlation of 0.8":
        assert printed.mean() < 0.05
        assert max(one.rows.mean() for one in found) < -0.1  # a lower bound they are


@pytest.mark.parametrize("rows", [12, ROWS])
def test_at_least_is_true_of_every_family(rows: int) -> None:
    """Where an error is printed, log p(x) is no further below the number; above it only where q covers it."""
    for name in (*SETTINGS, *UNSEEN):
        found = repeated(name, 100, 100, rows)
        error, value = np.array([(one.draws_error, one.rows.mean()) for one in found]).T
        printed = np.isfinite(error)
        if printed.sum() < 20:
            continue
        below, above = (sign * value[printed] <= 1.96 * error[printed] for sign in (1, -1))
        assert np.mean(below) >= 0.93, name
        assert name in UNSEEN or np.mean(above & below) >= 0.93, name
        shown = [str(one.estimate()) for one in found if 0.005 <= one.draws_error < np.inf]
        assert all(words.startswith("at least ") for words in shown), name


def test_an_unknown_error_is_said_and_no_number() -> None:
    one = repeated("mean-field of a correlation of 0.8", 100, 100)[0]
    found = one.estimate()
    assert found.draws_error == np.inf
    assert str(found) == f"at least {found.value:.2f} nats"
    assert found.to_json()["draws_error"] is None
    assert found.protocol == "made; a lower bound, by an unknown amount"
    json.dumps(found.to_json(), allow_nan=False)
    assert str(dataclasses.replace(found, protocol="made").with_draws_error(-np.inf)).startswith("at most ")
    assert " nats or more;" in str(diagnose({"log_marginal": dataclasses.replace(found, at_least=6.0)}))


def test_rises_are_those_of_fewer_draws() -> None:
    """The mean of log means over all choices of 4, 2 and 1 of 8 blocks, by brute force."""
    weights = np.random.default_rng(1).gamma(0.3, size=(3, 83)).astype(np.float32)
    blocks = [weights[:, 83 * i // 8 : 83 * (i + 1) // 8] for i in range(8)]
    levels = [
        np.mean(
            [np.log(np.concatenate(own, axis=1).mean(axis=1)) for own in itertools.combinations(blocks, size)], axis=0
        )
        for size in (1, 2, 4, 8)
    ]
    found = summary(jnp.log(weights))
    np.testing.assert_allclose(found.rises, np.diff(levels, axis=0).T, rtol=1e-4, atol=1e-6)
    assert np.isnan(summary(jnp.log(weights[:, :7])).rises).all()


def bernoulli_weights(
    latents: int, strength: float, random: np.random.Generator, rows: int = 40, count: int = 1000
) -> np.ndarray:
    """Log weights less log p(x) of draws of Bernoulli latents whose logits are off by `strength` each."""
    logit = 1.5 * random.normal(size=(rows, 1, latents))
    off = strength * random.normal(size=(rows, 1, latents))
    z = random.random((rows, count, latents)) < 1 / (1 + np.exp(-logit))
    posterior, proposal = (stats.bernoulli.logpmf(z, 1 / (1 + np.exp(-one))) for one in (logit + off, logit))
    return np.sum(posterior - proposal, axis=-1)


@pytest.mark.parametrize("latents", [1, 3, 6])
@pytest.mark.parametrize("strength", [0.0, 0.01, 0.1, 0.3])
def test_tied_weights_have_no_heavy_tail(latents: int, strength: float) -> None:
    """Before: 0 to 49, for estimates that are right to 0.02 nats, with `untrusted-evidence`."""
    for rounding in (0.0, 1e-5):
        random = np.random.default_rng(latents)
        exact = bernoulli_weights(latents, strength, random)
        noisy = exact - 100.0 + rounding * random.normal(size=exact.shape)
        found = summary(jnp.asarray(noisy, jnp.float32))
        assert np.abs(np.asarray(found.log_mean) + 100.0).max() < 0.06
        assert np.max(found.pareto_k) < 0.7


@pytest.mark.parametrize(
    ("weights", "heavy"),
    [
        ([(0.0, 1000)], False),
        ([(0.0, 950), (0.4, 50)], False),
        ([(0.0, 940), (0.01, 50), (0.4, 10)], False),
        ([(-np.inf, 950), (0.0, 50)], False),
        ([(0.0, 998), (7.0, 2)], True),
        ([(0.0, 999), (12.0, 1)], True),
        ([(0.0, 900), (2.0, 90), (6.0, 9), (10.0, 1)], True),
        ([(-np.inf, 950), (0.0, 47), (7.0, 3)], True),
    ],
)
def test_steps_are_heavy_where_few_draws_are_the_estimate(weights: list[tuple[float, int]], heavy: bool) -> None:
    values = np.concatenate([np.full(count, value) for value, count in weights])
    tail = -np.sort(-values)[:96].astype(np.float32) - 100.0
    assert (float(tail_shape(jnp.asarray(tail))) > 0.7) is heavy


def test_discrete_weights_of_a_bad_proposal_are_still_heavy() -> None:
    """Ten latents whose logits are off by 3 each: an effective sample size of 20 of 1000."""
    found = summary(jnp.asarray(bernoulli_weights(10, 3.0, np.random.default_rng(0)), jnp.float32))
    assert np.median(found.effective_sample_size) < 60
    assert np.mean(np.asarray(found.pareto_k) > 0.7) > 0.9
