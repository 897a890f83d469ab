"""Values and formulas that are written once more, by hand or by SciPy: whole events, grades, segments, chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special

from latens.distributions import (
    DiagonalNormal,
    Laplace,
    Mixture,
    Ordinal,
    Product,
    RelaxedOneHot,
    Segments,
    StandardNormal,
    StudentT,
    VonMisesFisher,
    log_prob,
)
from latens.distributions.chain import Chain, Inverse, Scaled, Stack
from latens.distributions.special import _DEBYE, _debye_polynomials, log_bessel_scaled
from latens.errors import ConfigError


def test_a_mixture_of_what_has_no_mean_has_none():
    pair = Mixture(jnp.log(jnp.array([0.25, 0.75])), DiagonalNormal(jnp.array([[0.0], [4.0]]), jnp.zeros((2, 1))))
    close(pair.mean(), [3.0])
    relaxed = jax.jit(jax.vmap(lambda logits: RelaxedOneHot(logits, jnp.zeros(()))))(jnp.zeros((2, 3)))
    with pytest.raises(ConfigError, match="RelaxedOneHot has no mean in closed form"):
        Mixture(jnp.zeros(2), relaxed).mean()


def test_polynomials_of_the_expansion_for_large_orders():
    """DLMF 10.41.10: u_1 = (3 t - 5 t^3) / 24, u_2 = (81 t^2 - 462 t^4 + 385 t^6) / 1152."""
    found = _debye_polynomials(9)
    close(found[0], np.eye(9)[0])
    close(found[1, :3], [3 / 24, -5 / 24, 0.0])
    close(found[2, :4], [81 / 1152, -462 / 1152, 385 / 1152, 0.0])
    close(found, _DEBYE)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_densities_on_spheres(m):
    """By quadrature over the cosine, whose density has the factor (1 - w^2)^((m - 3) / 2) and the area of a circle."""
    kappa = 2.5
    one = VonMisesFisher(2.0 * jnp.ones(m), jnp.log(kappa))
    angle, weight = np.polynomial.legendre.leggauss(200)
    angle = 0.5 * np.pi * (angle + 1.0)
    area = 2.0 * np.pi ** ((m - 1) / 2) / special.gamma((m - 1) / 2)
    weight = 0.5 * np.pi * weight * area * np.sin(angle) ** (m - 2)
    cosine = np.cos(angle)
    log_p = kappa * cosine - np.log(np.sum(weight * np.exp(kappa * cosine)))
    unit, other = np.ones(m) / np.sqrt(m), np.eye(m)[0] - np.ones(m) / m
    other /= np.linalg.norm(other)
    some = [20, 100, 150]
    points = cosine[some, None] * unit + np.sin(angle[some, None]) * other
    close(jax.jit(jax.vmap(one.log_prob))(jnp.asarray(points, jnp.float32)), log_p[some], rtol=1e-4, atol=1e-4)
    close(one.entropy(), -np.sum(weight * np.exp(log_p) * log_p), rtol=1e-4)
    close(one.mean(), np.sum(weight * np.exp(log_p) * cosine) * unit, rtol=1e-4)


def test_student_has_no_mean_at_one_degree_of_freedom():
    close(StudentT(jnp.ones(2), jnp.zeros(2), jnp.log(jnp.array([1.0, 1.5]))).mean(), [np.nan, 1.0])


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 4.5, 24.0, 127.0])
def test_bessel_function_of_any_order(order, float64):
    """Against scipy's, and its slope against 1 - I(order + 1)/I(order), also where series and expansion meet."""
    x = np.array([1e-3, 0.1, 1.0, 10.0, 24.0, 25.1, 60.0, 600.0])
    x = x[special.ive(order, x) > 1e-290]
    scaled = special.ive(order, x)
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda y: log_bessel_scaled(order, y))))(jnp.asarray(x))
    close(values, order * np.log(x) - np.log(scaled), rtol=1e-10, atol=1e-10)
    close(slopes, 1 - special.ive(order + 1, x) / scaled, rtol=1e-7, atol=1e-9)


def test_mixtures_know_their_components():
    """Two Normals 4 apart with weights 1/4 and 3/4: at the middle the weights are all that is known."""
    pair = Mixture(
        jnp.log(jnp.array([1.0, 3.0])), jax.jit(jax.vmap(DiagonalNormal))(jnp.array([[-2.0], [2.0]]), jnp.zeros((2, 1)))
    )
    close(jnp.exp(pair.log_responsibilities(jnp.zeros(1))), [0.25, 0.75])
    close(pair.mean(), [1.0])
    close(pair.component(1).mean(), [2.0])
    spheres = Mixture(jnp.zeros(2), jax.jit(jax.vmap(VonMisesFisher))(jnp.eye(2), jnp.zeros(2)))
    close(jax.jit(lambda: spheres.mean())(), np.full(2, 0.5 * 0.44639))  # I1(1)/I0(1) = 0.44639


def test_products_name_their_columns():
    both = Product({"b": StandardNormal((1,)), "a": Laplace(jnp.zeros(1), jnp.zeros(1))})
    event = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    close(both.log_prob_by_part(event)["a"], -np.log(2.0))
    other = Product({"a": both.parts["a"], "b": both.parts["b"]})
    key = jax.random.key(0)
    close(other.sample(key=key)["b"], both.sample(key=key)["b"], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"columns \['a'\] under a Product of \['a', 'b'\]"):
        both.log_prob({"a": jnp.zeros(1)})
    observed = {"a": jnp.array([True]), "b": jnp.array([False])}
    close(log_prob(both, {**event, "b": jnp.array([jnp.nan])}, observed), -np.log(2.0))


LOC, CUTS = np.array([0.7, -1.2]), np.array([-0.5, np.log(0.8), np.log(1.5)])


SEGMENTS = Segments(jnp.log(jnp.array([[0.5, 0.3, 0.2]])), jnp.array([[0, 1, 4]]), jnp.array([[1, 3, 2]]))
CELLS = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])  # 0.3 over the cells 1 to 3, 0.2 over 4 and 5


def test_the_most_probable_name_is_that_of_a_cell_not_of_a_segment():
    names = Segments(
        jnp.log(jnp.array([[0.3, 0.4, 0.3]])), jnp.array([[0, 1, 4]]), jnp.array([[1, 3, 0]]), ordered=False
    )
    assert names.mean().tolist() == [0.0]  # 0.3 against 0.4 / 3; the last segment has no cell


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0.0, 0.0), (2.0, 4.0), (3.0, 9.0)])
def test_segments_within_a_range_are_the_cells_of_it(low, high):
    inside, mass = SEGMENTS.within(jnp.array([low]), jnp.array([high]))
    kept = np.where((np.arange(6) >= low) & (np.arange(6) <= high), CELLS, 0.0)
    close(jnp.exp(mass), kept.sum())
    found = [float(jnp.exp(inside.log_prob(jnp.array([float(cell)])))) for cell in range(6)]
    close(found, kept / kept.sum())
    close(inside.mean(), [kept @ np.arange(6) / kept.sum()], rtol=1e-5)


def chain(backwards: bool) -> Chain:
    above = lambda z: DiagonalNormal(z + 1.0, jnp.zeros(2))  # noqa: E731
    return Chain(DiagonalNormal(jnp.zeros(2), jnp.zeros(2)), (above,), backwards)


@pytest.mark.parametrize("backwards", [False, True])
def test_every_level_of_a_chain_has_noise_of_its_own(backwards):
    levels, key = chain(backwards), jax.random.key(3)
    order = (1, 0) if backwards else (0, 1)
    event, density = levels.sample_and_log_prob(key=key)
    top, low = (np.asarray(event[i]) for i in order)
    assert np.all(np.abs(low - top - 1.0 - top) > 1e-3)  # one noise for both levels would be low = 2 top + 1
    noise = levels.sample_noise(key=key)
    close(noise[order[0]], top)
    close(noise[order[1]], low - top - 1.0, atol=1e-5)
    for ours, again in zip(levels.from_noise(noise), event):
        close(ours, again)
    by_hand = [-0.5 * (part**2).sum() - np.log(2 * np.pi) for part in (top, low - top - 1.0)]
    close(levels.log_prob_by_level(event), [by_hand[i] for i in order])
    close(levels.log_prob(event), sum(by_hand))
    close(density, sum(by_hand))
    assert [part.tolist() for part in levels.mean()] == [[[0.0, 0.0], [1.0, 1.0]][i] for i in order]


def test_a_stack_turns_the_order_around_between_its_parts():
    """y = 1 + 2 x, turned around, then y = 3 + 5 x, turned around: and back again."""
    same = Inverse(Stack(()))
    parts = [
        Scaled(same, jnp.full(2, shift), jnp.log(jnp.array(scale)))
        for shift, scale in ((1.0, [2.0, 3.0]), (3.0, [5.0, 7.0]))
    ]
    stack, x = Stack(tuple(parts)), np.array([0.5, -1.0])
    once = (1.0 + np.array([2.0, 3.0]) * x)[::-1]
    y, log_det = stack.transform_and_log_det(jnp.asarray(x), None)
    close(y, (3.0 + np.array([5.0, 7.0]) * once)[::-1])
    close(log_det, np.log(2 * 3 * 5 * 7))
    back, other = stack.inverse_and_log_det(y, None)
    close(back, x, rtol=1e-4)
    close(other, -log_det)


@pytest.mark.parametrize("output", [-1e4, -100.0, -90.0, 90.0, 100.0, 1e4])
def test_an_ordinal_keeps_its_slope_where_a_gap_leaves_float32(output: float) -> None:
    def loss(gap: jax.Array) -> jax.Array:
        terms = Ordinal(jnp.zeros(1), jnp.stack([jnp.array(-0.5), gap, jnp.array(0.2)])).log_probabilities()
        return -terms[0, 3], jax.nn.logsumexp(terms[0])

    (value, total), slope = jax.value_and_grad(loss, has_aux=True)(jnp.float32(output))
    assert np.isfinite(value)
    assert np.isfinite(slope)
    assert abs(float(total)) < 1e-5
