"""Flow matching: densities and draws of known flows, and a trained one against the exact log p(x) of a linear model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import stats
from scipy.special import logsumexp

from latens.errors import ConfigError
from latens.models import ContinuousFlow, FlowMatching
from latens.models.flow_matching import AbstractVelocity, VelocityNetwork
from latens.trainable import Frozen

KEY = jax.random.key(0)


class ToMixture(AbstractVelocity):
    """The exact velocity along straight lines from a standard Normal to a mixture of Normals.

    Of one component z_t has the mean t m and the covariance t^2 S + (1 - t)^2 I, and E[z_1 - z_0 | z_t] is linear.
    """

    log_weight: jax.Array
    mean: jax.Array
    variance: jax.Array  # along the axes
    axes: jax.Array  # of each component, in columns

    @classmethod
    def of(cls, weight, mean, covariance):
        parts = (np.log(weight), mean, *np.linalg.eigh(covariance))
        return cls(*(jnp.asarray(part, jnp.float32) for part in parts))

    def __call__(self, z, t, label):
        here = t**2 * self.variance + (1.0 - t) ** 2
        away = jnp.einsum("cij,ci->cj", self.axes, z - t * self.mean)
        share = jax.nn.softmax(self.log_weight - 0.5 * jnp.sum(away**2 / here + jnp.log(here), 1))
        slope = (t * self.variance - (1.0 - t)) / here
        return share @ (self.mean + jnp.einsum("cij,cj->ci", self.axes, slope * away))


def normal(n: int) -> tuple[ToMixture, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    root = np.tril(0.3 * rng.standard_normal((n, n)), -1) + np.diag(rng.uniform(0.3, 1.5, n))
    mean, covariance = rng.standard_normal(n), root @ root.T
    return ToMixture.of(np.ones(1), mean[None], covariance[None]), mean, covariance


SHARES = np.array([0.2, 0.3, 0.5])
MEANS = np.array([[-2.0, 0.0], [1.5, 1.0], [0.5, -2.5]])
ROOTS = np.array([[[0.5, 0.0], [0.4, 0.3]], [[0.4, 0.0], [-0.2, 0.6]], [[0.9, 0.0], [0.0, 0.3]]])
COVARIANCES = ROOTS @ ROOTS.transpose(0, 2, 1)


def mixture(steps: int = 40) -> ContinuousFlow:
    return ContinuousFlow(ToMixture.of(SHARES, MEANS, COVARIANCES), jnp.zeros(2), jnp.ones(2), steps=steps)


def of_mixture(z: np.ndarray) -> np.ndarray:
    parts = [stats.multivariate_normal(m, c).logpdf(z) for m, c in zip(MEANS, COVARIANCES)]
    return logsumexp(np.log(SHARES)[:, None] + parts, axis=0)


def densities(flow: ContinuousFlow, z: np.ndarray) -> np.ndarray:
    found = eqx.filter_jit(lambda flow, z: jax.vmap(flow.log_prob)(z))(flow, jnp.asarray(z, jnp.float32))
    return np.asarray(found, np.float64)


def draws(flow: ContinuousFlow, n: int) -> np.ndarray:
    made = eqx.filter_jit(lambda flow, keys: jax.vmap(lambda key: flow.sample(key=key))(keys))
    return np.asarray(made(flow, jax.random.split(KEY, n)), np.float64)


def uneven(n: int = 5, classes: int = 0, scale: float = 0.1) -> VelocityNetwork:
    """A network whose last weights, at 0 when it is new, are not."""
    made = VelocityNetwork.create(n, 16, classes, key=KEY)
    return eqx.tree_at(lambda net: net.last, made, scale * jax.random.normal(jax.random.key(1), (16, n)))


@pytest.mark.parametrize("n", [1, 4])
def test_a_flow_to_a_normal_has_its_density_and_its_moments(n):
    velocity, mean, covariance = normal(n)
    shift, scale = np.linspace(-1.0, 2.0, n), np.linspace(0.2, 3.0, n)
    flow = ContinuousFlow(velocity, jnp.asarray(shift, jnp.float32), jnp.asarray(scale, jnp.float32))
    exact = stats.multivariate_normal(shift + scale * mean, np.outer(scale, scale) * covariance)
    z = exact.rvs(60, random_state=0).reshape(60, n)
    assert np.abs(densities(flow, z) - exact.logpdf(z)).max() < 1e-3
    made = draws(flow, 2000)
    agrees(made, exact.mean)
    agrees((made - exact.mean) ** 2, np.diag(np.atleast_2d(exact.cov)))


def test_a_flow_to_a_mixture_has_its_density_and_its_moments():
    rng = np.random.default_rng(0)
    which = rng.choice(3, 200, p=SHARES)
    z = MEANS[which] + np.einsum("nij,nj->ni", ROOTS[which], rng.standard_normal((200, 2)))
    assert np.abs(densities(mixture(), z) - of_mixture(z)).max() < 1e-3
    assert np.abs(densities(mixture(20), z) - of_mixture(z)).mean() < 3e-4
    made, mean = draws(mixture(), 3000), SHARES @ MEANS
    agrees(made, mean)
    agrees((made - mean) ** 2, SHARES @ (COVARIANCES.diagonal(axis1=1, axis2=2) + (MEANS - mean) ** 2))
    # The mean density of draws is minus the entropy, which the draws by hand estimate too.
    ours, theirs = of_mixture(made), of_mixture(z)
    error = np.hypot(ours.std() / np.sqrt(len(ours)), theirs.std() / np.sqrt(len(theirs)))
    assert abs(ours.mean() - theirs.mean()) < 4 * error


def test_a_flow_to_two_moons_has_their_density_whatever_its_steps():
    """Two half circles as sixteen Normals: the density within 0.001, and the same with twice as many steps."""
    angle, rng = np.repeat(np.linspace(0.0, np.pi, 8)[None], 2, 0), np.random.default_rng(0)
    mean = np.stack([np.cos(angle), np.sin(angle)], -1) * np.array([1.0, -1.0])[:, None, None]
    mean = (mean + np.array([[-0.5, -0.25], [0.5, 0.25]])[:, None]).reshape(16, 2)
    velocity = ToMixture.of(np.full(16, 1 / 16), mean, np.repeat(0.03 * np.eye(2)[None], 16, 0))
    z = mean[rng.integers(0, 16, 200)] + np.sqrt(0.03) * rng.standard_normal((200, 2))
    exact = logsumexp([stats.multivariate_normal(one, 0.03).logpdf(z) for one in mean], axis=0) - np.log(16)
    once, twice = (densities(ContinuousFlow(velocity, jnp.zeros(2), jnp.ones(2), steps=n), z) for n in (60, 120))
    assert np.abs(once - exact).max() < 1e-3
    assert np.abs(once - twice).max() < 1e-3


@pytest.mark.parametrize("label", [None, 1])
def test_the_divergence_is_the_trace_of_the_jacobian(label):
    """By its formula, for which there are no more operations where there are more latents than 64."""
    told = None if label is None else jax.nn.one_hot(label, 3)
    for n in (1, 5, 70):
        network = uneven(n, 0 if label is None else 3)
        z, t = jax.random.normal(KEY, (n,)), jnp.asarray(0.37)
        velocity, found = network.with_divergence(z, t, told)
        same, expected = AbstractVelocity.with_divergence(network, z, t, told)
        close(velocity, same, atol=1e-6)
        assert float(found) == pytest.approx(float(expected), abs=2e-5 * n)
        assert abs(float(expected)) > 0.01


def test_a_density_integrates_to_one_and_shorter_steps_err_less():
    grid = np.linspace(-9.0, 9.0, 121)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    shift, scale = jnp.array([0.3, -0.2]), jnp.array([1.2, 0.7])
    flow = ContinuousFlow(uneven(2), shift, scale, steps=40)
    found = densities(flow, points)
    assert np.exp(found).sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=1e-3)
    assert np.abs(found - stats.multivariate_normal([0.3, -0.2], [1.44, 0.49]).logpdf(points)).max() > 0.3
    # Steps half as long err by a 16th: the method is of order 4.
    near = points[found > found.max() - 8.0][::20]
    errors = [
        np.abs(densities(ContinuousFlow(flow.velocity, shift, scale, steps=n), near) - finest).max()
        for finest in [densities(ContinuousFlow(flow.velocity, shift, scale, steps=320), near)]
        for n in (40, 80)
    ]
    assert errors[1] < errors[0] / 10 < 1e-3


def test_a_draw_has_the_density_that_is_found_for_it():
    flow = ContinuousFlow(uneven(5, 3), jnp.linspace(-1.0, 1.0, 5), jnp.linspace(0.5, 2.0, 5), jnp.eye(3)[2], 1.7)
    z, density = flow.sample_and_log_prob(key=KEY)
    close(z, flow.sample(key=KEY), atol=1e-5)
    assert float(flow.log_prob(z)) == pytest.approx(float(density), abs=1e-4)
    close(flow.sample_at(0.0, key=KEY), flow.mean(), atol=1e-5)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), flow)
        one = float(wide.log_prob(jnp.asarray(z, jnp.float64)))
        noise = jax.random.normal(KEY, (5,), jnp.float64)
        jacobian = jax.jacfwd(wide.from_noise)(noise)
        expected = stats.norm.logpdf(noise).sum() - np.linalg.slogdet(jacobian)[1]
        assert float(wide.log_prob(wide.from_noise(noise))) == pytest.approx(expected, abs=1e-4)
        assert one == pytest.approx(float(density), abs=1e-3)


def test_a_new_prior_is_the_normal_of_its_moments():
    prior = FlowMatching.create((3,), (9,), width=8, key=KEY)
    z = np.random.default_rng(0).standard_normal((20, 3))
    close(densities(prior(None), z), stats.norm.logpdf(z).sum(1), atol=1e-5)
    moved = prior.standardised(jnp.array([1.0, -2.0, 0.5]), jnp.array([2.0, 0.5, 1e-6]))
    close(moved.scale.value, [2.0, 0.5, 1e-6])
    z = np.array([[1.0, -2.0, 0.5], [3.0, -1.0, 0.5]])
    close(densities(moved(None), z), stats.norm.logpdf(z, [1.0, -2.0, 0.5], [2.0, 0.5, 1e-6]).sum(1), rtol=1e-4)


def test_the_loss_is_least_at_the_exact_velocity():
    """Its mean there is that of the variance of lines through a place, by the formula for Normals."""
    velocity, mean, covariance = normal(2)
    prior = FlowMatching(velocity, Frozen(jnp.zeros(2)), Frozen(jnp.ones(2)))
    rng = np.random.default_rng(1)
    z = jnp.asarray(rng.multivariate_normal(mean, covariance, 4000), jnp.float32)
    keys = jax.random.split(KEY, len(z))

    def found(prior: FlowMatching) -> np.ndarray:
        return np.asarray(eqx.filter_jit(lambda p: jax.vmap(lambda z, key: p.loss(z, key=key))(z, keys))(prior))

    at = found(prior)
    t = (np.arange(2000) + 0.5) / 2000
    values, exact = np.linalg.eigvalsh(covariance), 0.0
    for value in values:  # var(z_1 - z_0) less what z_t says of it
        exact += np.mean(1 + value - (t * value - (1 - t)) ** 2 / (t**2 * value + (1 - t) ** 2))
    agrees(at, exact)
    more = found(eqx.tree_at(lambda p: p.velocity.mean, prior, velocity.mean + 0.3)) - at
    assert more.mean() > 5 * more.std() / np.sqrt(len(z))


def test_guidance_is_the_line_from_no_label_to_the_label():
    network, label = uneven(4, 2), jnp.array([0.0, 1.0])
    prior = FlowMatching(network, Frozen(jnp.zeros(4)), Frozen(jnp.ones(4)), classes=2, guidance=3.0, steps=40)
    noise, step = jax.random.normal(KEY, (4,)), 1.0 / 2000

    @jax.jit
    def by_small_steps(noise):
        def move(z, t):
            none, told = network(z, t, jnp.zeros(2)), network(z, t, label)
            return z + step * (none + 3.0 * (told - none)), None

        return jax.lax.scan(move, noise, (jnp.arange(2000) + 0.5) * step)[0]

    found = prior(None, cond={"label": label}).from_noise(noise)
    close(found, by_small_steps(noise), atol=1e-2)
    assert np.abs(found - prior(None, cond={"label": label[::-1]}).from_noise(noise)).max() > 0.1
    with pytest.raises(ConfigError, match="reads the condition 'label'"):
        prior(None)
    with pytest.raises(ConfigError, match="no label is read"):
        FlowMatching.create((4,), (4,), guidance=2.0, key=KEY)
