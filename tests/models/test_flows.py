"""Flows: the log-determinant is that of the Jacobian, backwards undoes forwards, and the density integrates to one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions.bijections import Autoregressive, Planar, Stack
from latens.errors import ConfigError
from latens.models import NormalHead, flow_head


def bijection(kind: str, n: int = 3, layers: int = 2) -> tuple[Stack, jax.Array]:
    keys = jax.random.split(jax.random.key(0), layers + 2)
    if kind == "planar":
        parts = tuple(Planar(offset=layer * (2 * n + 1)) for layer in range(layers))
        return Stack(parts), jax.random.normal(keys[-1], (layers * (2 * n + 1),))
    flows = tuple(Autoregressive.create(n, 4, 16, key=key) for key in keys[:layers])
    # Far from the identity, so that a wrong term would show.
    flows = jax.tree.map(lambda w: w + 0.3 * jax.random.normal(keys[-2], w.shape), flows)
    return Stack(flows), jax.random.normal(keys[-1], (4,))


@pytest.mark.parametrize("kind", ["autoregressive", "planar"])
def test_log_det_is_that_of_the_jacobian(kind: str) -> None:
    with jax.enable_x64(True):
        stack, context = bijection(kind)
        for seed in range(5):
            x = 2.0 * jax.random.normal(jax.random.key(seed), (3,))
            jacobian = jax.jacobian(lambda x: stack.transform_and_log_det(x, context)[0])(x)
            sign, expected = np.linalg.slogdet(np.asarray(jacobian))
            assert sign != 0
            assert float(stack.transform_and_log_det(x, context)[1]) == pytest.approx(expected, abs=1e-10)


def test_backwards_undoes_forwards() -> None:
    stack, context = bijection("autoregressive", n=6, layers=3)
    x = jax.random.normal(jax.random.key(3), (6,))
    y, log_det = stack.transform_and_log_det(x, context)
    back, inverse_log_det = stack.inverse_and_log_det(y, context)
    np.testing.assert_allclose(back, x, atol=2e-4)
    assert float(inverse_log_det) == pytest.approx(-float(log_det), abs=1e-3)


def test_a_planar_flow_has_no_inverse() -> None:
    stack, context = bijection("planar")
    with pytest.raises(ConfigError, match="no inverse"):
        stack.inverse_and_log_det(jnp.zeros(3), context)


@pytest.mark.parametrize(("kind", "outputs"), [("iaf", 2 * 3 + 5), ("planar", 2 * 3 + 2 * 7)])
def test_the_head_reads_the_normal_and_the_context(kind: str, outputs: int) -> None:
    head = flow_head(NormalHead((3,)), kind, layers=2, width=8, context_size=5, key=jax.random.key(0))
    assert head.num_outputs == outputs
    numbers = jax.random.normal(jax.random.key(1), (outputs,))
    distribution = head(numbers)
    assert np.array_equal(distribution.base.loc, numbers[:3])
    assert np.array_equal(distribution.context, numbers[6:])
