"""The functions under the densities, each against its definition in 400 digits, on both sides of every switch."""

from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions import special

getcontext().prec = 400
pytestmark = pytest.mark.usefixtures("float64")

RATIOS = [-30.0, -2.0, -0.2501, -0.2499, -0.1, -1e-3, -1e-9, 1e-9, 1e-3, 0.1, 0.2499, 0.2501, 0.999, 1.001, 3.0, 30.0]
GAPS = [1e-12, 1e-6, 0.1, 0.6931, 0.6932, 1.0, 3.0, 30.0, 700.0]


def exact(function, *at: float) -> float:
    return float(function(*map(Decimal, at)))


def agrees(function, reference, points: list[tuple[float, ...]], slopes: list) -> None:
    """Values to 1e-12 of themselves, and the slope in each argument."""
    at = [jnp.asarray(each) for each in zip(*points)]
    wanted = [exact(reference, *point) for point in points]
    np.testing.assert_allclose(np.asarray(function(*at)), wanted, rtol=1e-12)
    for place, slope in enumerate(slopes):
        found = jax.grad(lambda *each: jnp.sum(function(*each)), argnums=place)(*at)
        wanted = [exact(slope, *point) for point in points]
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-9, atol=1e-15, err_msg=f"slope {place}")


def test_excess_is_what_the_exponential_has_over_its_tangent() -> None:
    agrees(special.excess, lambda t: t.exp() - 1 - t, [(t,) for t in RATIOS], [lambda t: t.exp() - 1])
    assert float(special.excess(jnp.asarray(0.0))) == 0.0


def test_weighted_excess_takes_the_exponential_from_what_has_grown() -> None:
    def loss(weight, log_ratio):
        return special.weighted_excess(weight, log_ratio, weight * jnp.exp(log_ratio))

    points = [(weight, t) for weight in (0.3, 7.0) for t in RATIOS]
    agrees(
        loss, lambda c, t: c * (t.exp() - 1 - t), points, [lambda c, t: t.exp() - 1 - t, lambda c, t: c * (t.exp() - 1)]
    )
    beyond = special.weighted_excess(jnp.asarray(1e-300), jnp.asarray(800.0), jnp.asarray(5.0))
    np.testing.assert_allclose(float(beyond), 5.0, rtol=1e-12)  # the exponential alone overflows


def test_the_logarithm_of_one_minus_an_exponential() -> None:
    agrees(
        special.log_one_minus_exp, lambda t: (1 - (-t).exp()).ln(), [(t,) for t in GAPS], [lambda t: 1 / (t.exp() - 1)]
    )


@pytest.mark.parametrize("centre", [-20.0, -1.0, 0.0, 0.3, 15.0])
def test_the_mass_of_a_bin_under_the_logistic(centre: float) -> None:
    def mass(low, high, width):
        return (1 / (1 + (-high).exp()) - 1 / (1 + (-low).exp())).ln()

    for width in (1e-3, 0.5, 0.999, 1.0, 1.001, 4.0, 40.0):
        low, high = centre - width / 2, centre + width / 2
        found = special.log_sigmoid_difference(*map(jnp.asarray, (low, high, high - low)))
        np.testing.assert_allclose(float(found), exact(mass, low, high, width), rtol=1e-10, err_msg=str(width))


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
def test_the_area_of_a_sphere(dimension: int) -> None:
    area = {1: 2.0, 2: 2 * np.pi, 3: 4 * np.pi, 4: 2 * np.pi**2}[dimension]
    np.testing.assert_allclose(special.log_sphere_area(dimension), np.log(area), rtol=1e-14)


def test_stirling_on_both_sides_of_8() -> None:
    z = np.array([0.5, 1.0, 3.0, 7.99, 8.0, 8.01, 20.0, 1e3, 1e8])
    scipy = pytest.importorskip("scipy.special")
    wanted = scipy.gammaln(z[:6]) - (z[:6] - 0.5) * np.log(z[:6]) + z[:6] - 0.5 * np.log(2 * np.pi)
    found = np.asarray(special.stirling_error(jnp.asarray(z)))
    np.testing.assert_allclose(found[:6], wanted, rtol=1e-11)
    np.testing.assert_allclose(
        found[6:], 1 / (12 * z[6:]) - 1 / (360 * z[6:] ** 3) + 1 / (1260 * z[6:] ** 5), rtol=1e-9
    )


def test_ratios_of_gammas_and_factorials_are_products() -> None:
    # Gamma(a + 3) / Gamma(a) = a (a + 1) (a + 2), however large a is.
    a = np.array([0.1, 2.0, 7.0, 30.0, 1e12])
    found = np.asarray(special.log_gamma_ratio(jnp.asarray(a), 3.0))
    np.testing.assert_allclose(found, np.log(a) + np.log(a + 1) + np.log(a + 2), rtol=1e-12)
    count = np.array([0.0, 1.0, 2.0, 5.0, 20.0])
    factorial = np.array([1.0, 1.0, 2.0, 120.0, 2432902008176640000.0])
    wanted = np.log(factorial) - count * np.log(np.maximum(count, 1.0)) + count
    np.testing.assert_allclose(np.asarray(special.log_count_remainder(jnp.asarray(count))), wanted, atol=1e-12)


def test_an_impossible_event_has_no_gradient() -> None:
    terms = jnp.asarray([[np.log(0.25), np.log(0.5)], [-np.inf, np.log(0.5)], [-np.inf, -np.inf]])
    found = np.asarray(special.log_sum_of_parts(terms))
    np.testing.assert_allclose(found, [np.log(0.75), np.log(0.5), -np.inf])
    slope = jax.grad(
        lambda t: jnp.sum(jnp.where(jnp.isfinite(special.log_sum_of_parts(t)), special.log_sum_of_parts(t), 0))
    )
    np.testing.assert_allclose(np.asarray(slope(terms)), [[1 / 3, 2 / 3], [0.0, 1.0], [0.0, 0.0]], atol=1e-12)
