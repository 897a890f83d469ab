"""A Gaussian copula of columns: what gaps may be, beside closed forms, quadrature and the laws of its draws."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import invgamma, norm

from latens.data.columns import ColumnType
from latens.evaluation import copula as c
from latens.evaluation.copula import Copula, between, fill, fit_copula, layout_of, log_chances, pool_weight, uniforms


def number(count, width=1):
    """A number of as many segments of one share, each of some cells."""
    starts = tuple(range(0, count * width, width))
    return ColumnType("number", starts=starts, size=count * width, shares=(1.0 / count,) * count, written="int")


def names(*shares):
    return ColumnType("category", values=tuple("abcdefghijkl"[: len(shares)]), shares=shares)


def given(types, mean, covariance, draws=1):
    covariance = np.asarray(covariance, float)
    return Copula(
        layout_of(types, [10**9] * len(types)),
        np.tile(np.asarray(mean, float), (draws, 1)),
        np.tile(covariance, (draws, 1, 1)),
    )


def test_the_least_and_the_greatest_cell_lie_where_their_ranks_say():
    """The ends of 200 cells are at 1/400 and 399/400, so that normal scores keep their correlation."""
    x, y = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 200).T
    cells = np.column_stack([np.argsort(np.argsort(one)) for one in (x, y)]).astype(float)
    types = [ColumnType("number", starts=(0, 1, 199), size=200, shares=(0.005, 0.99, 0.005), written="int")] * 2
    made = fit_copula(cells, None, types)
    assert made.layout.ends == (pytest.approx(norm.ppf(399 / 400)),) * 2
    z = norm.ppf((cells + 0.5) / 200)
    scale = np.sqrt(made.covariance[:, 0, 0] * made.covariance[:, 1, 1])
    assert (made.covariance[:, 0, 1] / scale).mean() == pytest.approx(np.corrcoef(z.T)[0, 1], abs=0.015)
    assert made.covariance[:, 0, 0].mean() == pytest.approx(1.0, abs=0.06)


def filled(made, x, shown, **options):
    x = np.asarray(x, float)
    return fill(made, x, np.asarray(shown, bool), keys=np.arange(len(x)), **options)


def test_a_gap_of_a_number_is_the_normal_given_the_others():
    fine, coarse = number(1000), number(4)
    made = given([fine, coarse], [0.2, -0.3], [[1.5, 0.7], [0.7, 0.9]])
    found = filled(made, [[800, 0], [20, 0]], [[1, 0], [1, 0]]).shares[1]
    z = norm.ppf((np.array([800, 20]) + 0.5) / 1000)
    mean, sd = -0.3 + 0.7 / 1.5 * (z - 0.2), np.sqrt(0.9 - 0.49 / 1.5)
    edges = norm.ppf([0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found, np.diff(norm.cdf((edges - mean[:, None]) / sd), axis=1), rtol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)


def test_a_gap_of_two_names_is_a_probit_of_the_others():
    made = given([number(1000), names(0.3, 0.7)], [0.0, 0.4], [[1.0, 0.6], [0.6, 1.0]])
    found = filled(made, [[900, 0]], [[1, 0]]).shares[1]
    above = norm.cdf((0.4 + 0.6 * norm.ppf(0.9005)) / 0.8)
    # The name that came most is that below 0.
    np.testing.assert_allclose(found, [[above, 1.0 - above]], rtol=1e-9)


def test_a_gap_of_several_names_is_the_mean_of_its_codes():
    types = [number(1000), names(0.2, 0.5, 0.3)]
    covariance = [[1.0, 0.2, -0.1], [0.2, 0.25, -0.1], [-0.1, -0.1, 0.2]]
    # By how often they came the names are b, c, a: codes are of c and a.
    found = filled(given(types, [0.0, 0.3, 0.2], covariance), [[750, 0]], [[1, 0]]).shares[1]
    z = norm.ppf(0.7505)
    c_, a = 0.3 + 0.2 * z, 0.2 - 0.1 * z
    np.testing.assert_allclose(found, [[a, 1.0 - a - c_, c_]], rtol=1e-9)
    far = filled(given(types, [0.0, 0.3, 0.2], covariance), [[999, 0]], [[1, 0]]).shares[1]
    z = norm.ppf(0.9995)
    raw = np.maximum([0.2 - 0.1 * z, 0.5 - 0.1 * z, 0.3 + 0.2 * z], c.LEAST)
    np.testing.assert_allclose(far, [raw / raw.sum()], rtol=1e-9)


def test_a_coarse_cell_counts_as_its_range():
    """p(name | upper half of x): a quarter of the plane and the angle of the correlation."""
    made = given([number(2), names(0.5, 0.5)], [0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], draws=2)
    found = filled(made, np.tile([1.0, 0.0], (4000, 1)), np.tile([True, False], (4000, 1))).shares[1]
    # b came as often and stands second: it lies above 0.
    assert found[:, 1].mean() == pytest.approx(0.5 + np.arcsin(0.6) / np.pi, abs=0.01)


def test_completed_rows_have_the_shares_that_are_said():
    types = [number(1000), number(4, width=5), names(0.2, 0.5, 0.3), names(0.6, 0.4)]
    covariance = np.eye(5) + 0.1
    covariance[2:4, 2:4] = [[0.25, -0.1], [-0.1, 0.2]]
    made = given(types, [0.0, 0.2, 0.3, 0.2, -0.1], covariance, draws=2)
    n = 4000
    x = np.tile([700.0, 0, 0, 0], (n, 1))
    found = filled(made, x, np.tile([True, False, False, False], (n, 1)), draws=3)
    assert found.draws.shape == (n, 3, 4)
    assert (found.draws[:, :, 0] == 700).all()
    for j, one in enumerate(types[1:], 1):
        cells = found.draws[:, :, j]
        assert (cells == np.floor(cells)).all()
        assert cells.max() < np.sum(one.widths)
        which = np.searchsorted(one.firsts, cells, side="right") - 1
        drawn = np.bincount(which.ravel(), minlength=one.count) / which.size
        np.testing.assert_allclose(drawn, found.shares[j].mean(axis=0), atol=0.02)
    # Three tables are independent draws: neighbours agree on two names as often as chance has it.
    p = found.shares[3].mean(axis=0)[0]
    assert np.mean(found.draws[:, 0, 3] == found.draws[:, 1, 3]) == pytest.approx(p**2 + (1 - p) ** 2, abs=0.03)


def test_within_a_segment_a_cell_is_as_likely_as_the_latent_has_it():
    covariance = [[1.1, 0.5], [0.5, 1.1]]
    x, shown = np.tile([900.0, 0.0], (8000, 1)), np.tile([True, False], (8000, 1))
    drawn = filled(given([number(1000), number(4, width=5)], [0.0, 0.2], covariance), x, shown, draws=1).draws[:, 0, 1]
    fine = filled(given([number(1000), number(20)], [0.0, 0.2], covariance), x[:1], shown[:1]).shares[1]
    np.testing.assert_allclose(np.bincount(drawn.astype(int), minlength=20) / 8000, fine[0], atol=0.015)


def test_a_row_depends_on_no_other():
    types = [number(50), names(0.6, 0.4), names(0.5, 0.3, 0.2)]
    made = given(types, [0.0, 0.2, 0.3, 0.2], np.eye(4) + 0.05, draws=6)
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, k, 40) for k in (50, 2, 3)], axis=1).astype(float)
    shown, keys, some = rng.random(x.shape) < 0.6, rng.integers(0, 2**32, 40), rng.permutation(40)[:15]
    whole = fill(made, x, shown, keys=keys, draws=8, seed=3)
    part = fill(made, x[some], shown[some], keys=keys[some], draws=8, seed=3)
    np.testing.assert_array_equal(part.draws, whole.draws[some])
    for a, b in zip(part.shares, whole.shares):
        np.testing.assert_allclose(a, b[some], rtol=1e-9, atol=1e-12)
    assert (
        whole.draws[np.broadcast_to(shown[:, None], whole.draws.shape)]
        == np.repeat(x[:, None], 8, 1)[np.broadcast_to(shown[:, None], whole.draws.shape)]
    ).all()
    other = fill(made, x, shown, keys=keys, draws=8, seed=4)
    assert (other.draws != whole.draws).any()


def test_parameters_have_the_law_of_their_posterior():
    """The mean and the variance of an inverse Wishart, and a Normal with its spread."""
    rng = np.random.default_rng(1)
    n = 60
    z = rng.normal(size=(n, 2)) @ [[1.0, 0.5], [0.0, 0.8]] + 1.0
    weight = rng.integers(0, 4, n).astype(float)
    made = [c.draw_parameters(z, weight, rng, priors=False) for _ in range(3000)]
    mean, covariance = np.stack([one[0] for one in made]), np.stack([one[1] for one in made])
    rows = weight.sum()
    centre = weight @ z / rows
    scatter = ((z - centre).T * weight) @ (z - centre) + np.eye(2)
    expected = scatter / (rows + 2 + 2 - 2 - 1)
    np.testing.assert_allclose(covariance.mean(axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(mean.mean(axis=0), centre, atol=4 * np.sqrt(expected.max() / rows / 3000))
    np.testing.assert_allclose(np.cov(mean.T), expected / rows, rtol=0.1)
    # The variance of a diagonal entry of an inverse Wishart.
    free = rows + 4 - 2
    exact = 2 * scatter[0, 0] ** 2 / ((free - 1) ** 2 * (free - 3))
    assert covariance[:, 0, 0].var() == pytest.approx(exact, rel=0.1)


def test_a_weight_is_as_many_rows():
    rng = np.random.default_rng(4)
    x, weight = rng.integers(0, 1000, (40, 2)).astype(float), rng.integers(0, 4, 40)
    once = fit_copula(x, None, [number(1000)] * 2, weight=weight.astype(float))
    again = fit_copula(np.repeat(x, weight, axis=0), None, [number(1000)] * 2)
    np.testing.assert_allclose(once.covariance, again.covariance, rtol=1e-8)


def test_priors_are_judged_by_the_probability_of_the_rows():
    """Of one latent: rows with a variance of inverse Gamma law are a multivariate Student's t, by quadrature here."""
    rows, scatter, spread = 7.0, 3.0, 0.5

    def exact(part):
        first, free = 1.0 + part * rows * spread, 3.0 + part * rows
        law = invgamma(0.5 * free, scale=0.5 * first)

        def density(v):
            return law.pdf(v) * v ** (-0.5 * rows) * np.exp(-0.5 * scatter / v)

        return np.log(quad(density, 0, np.inf)[0])

    found = c.log_marginals(np.array([[scatter]]), rows, np.array([spread]))
    np.testing.assert_allclose(found - found[0], [exact(one) - exact(0.0) for one in c.PRIORS], rtol=1e-5, atol=1e-6)
    # Columns that depend on one another want few rows of the prior, independent ones many.
    rng = np.random.default_rng(0)
    z = rng.normal(size=(100, 8))
    for strong in (False, True):
        one = z + 2.0 * z[:, :1] if strong else z
        left = one - one.mean(axis=0)
        best = c.log_marginals(left.T @ left, 100.0, np.mean(left**2, axis=0)).argmax()
        assert (c.PRIORS[best] <= 0.1) if strong else (c.PRIORS[best] >= 0.3)


def test_what_depends_on_a_seen_column_is_found_again():
    """Gaps that are more where x is large: the mean of y is that of all rows, not that of the seen ones."""
    rng = np.random.default_rng(2)
    n, types = 1500, [number(400), number(400), names(0.5, 0.5)]
    z = rng.normal(size=n)
    y = 0.8 * z + 0.6 * rng.normal(size=n)
    x = np.stack([np.floor(400 * norm.cdf(z)), np.floor(400 * norm.cdf(y)), (y + rng.normal(size=n) > 0) * 1.0], axis=1)
    shown = np.ones(x.shape, bool)
    shown[:, 1] = rng.random(n) > norm.cdf(z)
    made = fit_copula(x, shown, types)
    assert made is not None
    found = made.mean.mean(axis=0), made.covariance.mean(axis=0)
    assert found[0][1] == pytest.approx(y.mean(), abs=0.06)
    assert y[shown[:, 1]].mean() < y.mean() - 0.2
    assert found[1][0, 1] == pytest.approx(0.8, abs=0.06)
    assert found[1][2, 2] == pytest.approx(1.0)


def test_quantiles_between_bounds():
    low, high, mean, scale = np.array([-np.inf, 1.0, 40.0, -1.0]), np.array([0.5, np.inf, 41.0, 1.0]), 0.3, 2.0
    for u in (0.1, 0.5, 0.9):
        found = between(np.full(4, mean), scale, low, high, np.full(4, u))
        assert ((found >= low) & (found <= high)).all()
        for k in (0, 1, 3):
            whole = norm.cdf(high[k], mean, scale) - norm.cdf(low[k], mean, scale)
            inside = norm.cdf(found[k], mean, scale) - norm.cdf(low[k], mean, scale)
            assert inside / whole == pytest.approx(u, abs=1e-9)
        density = lambda v: np.exp(-0.5 * ((v - mean) ** 2 - (40 - mean) ** 2) / scale**2)  # noqa: E731
        assert quad(density, 40, found[2])[0] / quad(density, 40, 41)[0] == pytest.approx(u, abs=1e-6)


def test_noise_is_uniform_and_of_its_row():
    keys = np.arange(20000)
    u, v = uniforms(keys, (0, 1)), uniforms(keys, (0, 2))
    assert u.min() > 0.0
    assert u.max() < 1.0
    np.testing.assert_allclose(np.histogram(u, 10, (0, 1))[0] / 20000, 0.1, atol=0.01)
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.03
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03
    np.testing.assert_array_equal(uniforms(keys[5:9], (0, 1)), u[5:9])


def test_the_weight_of_two_densities():
    first = np.log([0.5] * 75 + [0.1] * 25)
    second = np.log([0.2] * 75 + [0.6] * 25)
    w = pool_weight(first, second)
    # 75 * 0.3 / (0.2 + 0.3 w) = 25 * 0.5 / (0.6 - 0.5 w)
    assert w == pytest.approx((75 * 0.3 * 0.6 - 25 * 0.5 * 0.2) / (75 * 0.3 * 0.5 + 25 * 0.5 * 0.3), abs=1e-6)
    assert pool_weight(second, first) == pytest.approx(1.0 - w, abs=1e-6)
    assert pool_weight(first, first - 5.0) == pytest.approx(1.0, abs=1e-6)
    assert pool_weight(np.zeros(0), np.zeros(0)) == 0.5
    assert pool_weight(np.zeros(0), np.zeros(0), usual=0.7, rows=20) == pytest.approx(0.7)
    # Ten cells that one of both alone can have, beside thirty that count as one half: (10 + 15) / 40.
    assert pool_weight(np.zeros(10), np.full(10, -99.0), rows=30) == pytest.approx(25 / 40, abs=1e-6)


def test_the_chance_of_a_cell_is_its_part_of_a_segment():
    one, shares = number(2, width=5), np.array([[0.2, 0.8], [1.0, 0.0]])
    np.testing.assert_allclose(log_chances(shares, one, np.array([7.0, 9.0])), [np.log(0.16), np.log(1e-30)])


def test_wide_tables_have_none():
    assert fit_copula(np.zeros((5, 401)), None, [number(3)] * 401) is None
    assert fit_copula(np.zeros((1, 2)), None, [number(3)] * 2) is None
