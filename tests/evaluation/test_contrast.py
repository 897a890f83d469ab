"""Differences of groups: shrinkage, expected false discoveries, and fold changes of a model by hand."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import digamma, polygamma
from scipy.stats import norm

import latens
from latens.data import Preparation
from latens.distributions import StandardNormal
from latens.errors import DataError
from latens.evaluation.contrast import Shrunk, expected_discoveries, shrunk
from latens.models import Conditional, DepthHead, LatentModel, NormalHead
from latens.trees import Frozen
from latens.workflow.expression import Contrast, contrast, every_batch, named_batches
from latens.workflow.trained import TrainedModel


@pytest.mark.parametrize("c", [0.0, -0.3])
def test_effects_are_those_of_their_mixture_by_quadrature(c: float) -> None:
    weight, scale = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.5, 2.0])
    made = Shrunk(weight, scale, np.array([0.1, -1.5]), np.array([0.3, 0.8]), c)
    for j, (b, s) in enumerate(zip(made.effect, made.error)):

        def density(x: float, b: float = b, s: float = s) -> Any:
            return norm.pdf(b, x, s) * sum(w * norm.pdf(x, c, k) for w, k in zip(weight[1:], scale[1:]))

        spike = weight[0] * norm.pdf(b, c, s)
        total = spike + quad(density, -15, 15)[0]
        mean = (c * spike + quad(lambda x: x * density(x), -15, 15)[0]) / total
        second = (c * c * spike + quad(lambda x: x * x * density(x), -15, 15)[0]) / total
        inside = (spike + quad(density, -0.4, 0.4)[0]) / total
        np.testing.assert_allclose([made.mean[j], made.deviation[j]], [mean, np.sqrt(second - mean**2)], rtol=1e-6)
        np.testing.assert_allclose([made.within(0.4)[j], made.beyond(0.4)[j]], [inside, 1 - inside], rtol=1e-6)


def test_the_sizes_of_effects_are_learned() -> None:
    rng = np.random.default_rng(0)
    real = np.where(np.arange(3000) < 600, rng.normal(0, 1.5, 3000), 0.0)
    error = rng.uniform(0.1, 0.6, 3000)
    made = shrunk(real + error * rng.normal(size=3000), error)
    assert 0.75 < made.weight[0] + made.weight[1:][made.scale[1:] < 0.1].sum() < 0.9  # 0.8 are none
    inside = np.abs(made.mean - real) <= 1.96 * made.deviation
    assert inside.mean() > 0.93
    none = shrunk(0.3 * rng.normal(size=2000), np.full(2000, 0.3))
    assert expected_discoveries(none.beyond(0.25)).min() > 0.05
    units = shrunk(10 * (real + error), 10 * error), shrunk(real + error, error)  # a change of units changes nothing
    np.testing.assert_allclose(units[0].mean, 10 * units[1].mean, atol=1e-6)
    with pytest.raises(DataError, match="no numbers"):
        shrunk(np.array([1.0, 2.0]), np.array([0.1, 0.0]))


def test_effects_that_most_have_are_what_others_are_shrunk_to() -> None:
    """Of 1,000 effects 950 are -0.1, with errors of 0.05 to 0.6: around their median they are known twice as well."""
    rng = np.random.default_rng(1)
    error = rng.uniform(0.05, 0.6, 1000)
    real = np.where(np.arange(1000) < 50, rng.choice([-2.0, 2.0], 1000), -0.1)
    found, away = real + error * rng.normal(size=1000), []
    for centre in (0.0, float(np.median(found))):
        made = shrunk(found, error, centre)
        away.append(np.sqrt(np.mean((made.mean - real)[50:] ** 2)))
        np.testing.assert_allclose(shrunk(found + 1.0, error, centre + 1.0).mean, made.mean + 1.0, atol=1e-9)
    assert made.mean[50:].mean() == pytest.approx(-0.1, abs=0.02)
    assert away[1] < 0.06
    assert away[0] > 0.1


def test_expected_false_discoveries_by_enumeration() -> None:
    p = np.array([0.2, 0.99, 0.5, 0.99, 0.9, 0.5])
    wanted = [np.mean([1 - q for q in p if q >= one]) for one in p]
    np.testing.assert_allclose(expected_discoveries(p), wanted, rtol=1e-12)
    np.testing.assert_allclose(expected_discoveries(p)[[1, 3]], 0.01)


LOADINGS = np.array([[1.0, 0.0, -0.5, 0.2], [0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.0, 0.5]])  # of z, then of two batches
CENTRE = np.array([0.0, 1.0, 0.5, -0.5])


class Line:
    """A decoder's network: linear in the latent and the condition."""

    def __call__(self, x: Any) -> Any:
        return jnp.asarray(CENTRE, jnp.float32) + x @ jnp.asarray(LOADINGS, jnp.float32)


class Reads:
    """An encoder's network: the latent is the first count of a row, and is known."""

    def __call__(self, x: Any) -> Any:
        return jnp.stack([x[0] / 10.0, jnp.float32(-30.0)])


@pytest.fixture(scope="module")
def by_hand() -> tuple[TrainedModel, Any, np.ndarray, np.ndarray]:
    x = np.array([[10, 4, 6, 0], [20, 3, 1, 6], [5, 20, 10, 5], [0, 9, 0, 1], [10, 0, 5, 5]], np.float32)
    batch = np.array(["a", "b", "a", "b", "a"])
    data = latens.load_data(x, counts=True, condition={"batch": batch})
    head = DepthHead((4,), jnp.log(jnp.asarray([1.0, 2.0, 0.5, 4.0])), None, Frozen(jnp.zeros(())))
    decoder = Conditional(Line(), head, None, ("given",), Frozen(jnp.zeros(2)))
    model = LatentModel(StandardNormal((1,)), Conditional(Reads(), NormalHead((1,))), decoder)
    return TrainedModel(model, data.schema, Preparation(depth=True)), data, x.astype(np.float64), batch


def test_a_fold_change_is_that_of_a_linear_model_by_hand(by_hand: Any) -> None:
    trained, data, x, batch = by_hand
    assert [one.values for one in data.schema.conditions] == [("a", "b")]
    told = np.where(batch == "b", 1.0, 0.0)[:, None]
    z = x[:, :1] / 10.0
    # The vector of a batch is that of its name less that of the usual one, which is a: (0, 0) and (-1, 1).

    def share(vector: np.ndarray) -> np.ndarray:
        logits = CENTRE + np.concatenate([z, vector], axis=1) @ LOADINGS
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    vectors = every_batch(trained, {})
    assert vectors is not None
    np.testing.assert_allclose(vectors, [[0, 0], [-1, 1]])
    at = [np.broadcast_to(v, (5, 2)) for v in vectors]
    mean = 0.5 * (share(at[0]) + share(at[1]))
    own = x.sum(axis=1, keepdims=True) * share(told * np.array([[-1.0, 1.0]]))
    slack = 1 / (1 + own / np.array([1.0, 2.0, 0.5, 4.0]))
    rows = np.array([0, 1]), np.array([2, 3, 4])
    logs, variances = [], []
    for group in rows:
        o, e = (slack * x)[group].sum(axis=0), (slack * own)[group].sum(axis=0)
        m = mean[group].mean(axis=0)
        between = mean[group].var(axis=0) / (len(group) - 1)
        logs.append(np.log2(m) + (digamma(o + 1) - np.log(e + 1)) / np.log(2))
        # Each cell's own part of the logarithm: of the mean share, and of the factor between counts and expectation.
        n = len(group)
        each = (mean[group] / m - 1.0) / n + (slack * (x - o / e * own))[group] / (o + 1)
        spread = np.sum(each**2, axis=0) * n / (n - 1)
        variances.append(np.maximum(between / m**2 + polygamma(1, o + 1), spread) / np.log(2) ** 2)
    found = contrast(trained, data, *rows, vectors, delta=0.25, draws=2)
    np.testing.assert_allclose(found.estimate, logs[0] - logs[1], atol=2e-4)
    np.testing.assert_allclose(found.error, np.sqrt(variances[0] + variances[1]), rtol=1e-3)
    np.testing.assert_allclose([found.first, found.second], 2.0 ** np.array(logs), rtol=1e-3)
    np.testing.assert_allclose(found.shown, [(x[group] > 0).mean(axis=0) for group in rows])
    np.testing.assert_allclose(found.counts, [x[group].mean(axis=0) for group in rows], rtol=1e-6)
    assert found.shown[0].tolist() == [1.0, 1.0, 1.0, 0.5]
    back = contrast(trained, data, rows[1], rows[0], vectors, delta=0.25, draws=2)
    np.testing.assert_allclose(back.estimate, -found.estimate, atol=1e-5)
    np.testing.assert_allclose(back.probability, found.probability, atol=1e-5)


def results(**given: Any) -> Contrast:
    zeros = np.zeros(4)
    none: Any = dict.fromkeys(Contrast._fields, zeros)
    both = (zeros + 1.0, zeros + 1.0)
    told: dict[str, Any] = {"shown": both, "counts": both, "cells": (20, 20), "sizes": (20, 20), "shared": True}
    return Contrast(**none | told | {"genes": list("abcd")} | given)


def test_a_gene_is_called_where_it_changes_more_probably_than_not() -> None:
    """The mean over those above it is 0.05 or less for all four, and the third itself changes with 0.277."""
    probability = np.array([1.0, 0.51, 0.277, 0.99])
    made = results(probability=probability, discoveries=np.array([0.0, 0.04, 0.05, 0.005]))
    assert made.called(0.05).tolist() == [True, True, False, True]
    assert made.called(0.01).tolist() == [True, False, False, True]


def test_genes_are_listed_by_what_they_change_at_the_least_and_rare_ones_after() -> None:
    sure = {"probability": np.array([0.99, 0.99, 0.99, 0.3]), "discoveries": np.zeros(4)}
    fold, deviation = np.array([3.0, -2.0, 5.0, 9.0]), np.array([1.0, 0.1, 0.1, 0.1])
    common = np.ones(4)
    shown = common * [1, 1, 0.05, 1], common * [1, 0, 0.09, 1]
    # 3 - 2 = 1 is less than 2 - 0.2; the third is in fewer than 10 % of the cells of both; the fourth is not called.
    assert results(fold=fold, deviation=deviation, shown=shown, **sure).order(0.05).tolist() == [1, 0, 2, 3]
    assert results(fold=fold, deviation=deviation, **sure).order(0.05).tolist() == [2, 1, 0, 3]


def test_genes_that_are_not_called_are_listed_by_probability_then_by_size() -> None:
    """The surest unchanged gene, of probability 0 and no deviation, is the last, however rare the others are."""
    probability, rare = np.array([0.0, 0.2, 0.2, 0.4]), np.array([1.0, 1.0, 1.0, 0.01])
    fold, deviation = np.array([0.0, 0.1, -0.3, 0.2]), np.array([0.0, 0.1, 0.4, 0.9])
    given: dict[str, Any] = {"fold": fold, "deviation": deviation, "shown": (rare, rare)}
    made = results(probability=probability, discoveries=1.0 - probability, **given)
    assert made.order(0.05).tolist() == [3, 2, 1, 0]


def test_what_differences_rest_on_is_said_where_batches_do_not_hold_both_groups() -> None:
    assert results().limits(("A", "B")) == []
    assert "12 and 20 cells" in results(cells=(12, 20)).limits(("A", "B"))[0]
    (apart,) = results(shared=False).limits(("A", "B"))
    assert "no batch holds enough cells of both A and B" in apart


def test_batches_are_told_apart_by_names_alone(by_hand: Any) -> None:
    trained, data, _, batch = by_hand
    assert named_batches(trained, data).tolist() == [0 if one == "b" else 1 for one in batch]
