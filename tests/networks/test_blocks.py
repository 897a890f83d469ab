"""Residual blocks of convolutions: both ways to convolve agree with the definition, and blocks of nothing are none."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.networks.convolutional import ConvDecoder, ConvEncoder, convolve_same


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (8, 8, 2), (4, 5, 8)])
def test_both_ways_are_the_sum_over_the_neighbours(shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(0)
    image, weight = generator.normal(size=shape), generator.normal(size=(4, 3, 3, shape[2]))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    exact = np.zeros((*shape[:2], 4))
    for i, j in np.ndindex(*shape[:2]):
        exact[i, j] = np.einsum("abc,oabc->o", padded[i : i + 3, j : j + 3], weight)
    for method in ("canonical", "conv"):
        found = convolve_same(jnp.asarray(image, jnp.float32), jnp.asarray(weight, jnp.float32), method)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def test_blocks_that_add_nothing_change_nothing() -> None:
    key, image, z = jax.random.key(0), jnp.asarray(np.random.default_rng(1).normal(size=(10, 7, 3))), jnp.ones(2)
    encoder = lambda n: ConvEncoder((10, 7, 3), (4, 6), 5, num_blocks=n, kernel_size=4, key=key)  # noqa: E731
    decoder = lambda n: ConvDecoder(2, (6, 4), (10, 7, 3), 210, num_blocks=n, key=key)  # noqa: E731
    for make, row, widths in ((encoder, image, [4, 4, 6, 6]), (decoder, z, [6, 6, 4, 4])):
        plain, deep = make(0), make(2)
        assert not np.allclose(deep(row), plain(row))
        assert [weight.shape[0] for weight in seconds(deep)] == widths
        silent = eqx.tree_at(seconds, deep, [jnp.zeros_like(weight) for weight in seconds(deep)])
        np.testing.assert_allclose(silent(row), plain(row), rtol=1e-5, atol=1e-6)


def seconds(network: ConvEncoder | ConvDecoder) -> list[jax.Array]:
    groups = network.blocks if isinstance(network, ConvEncoder) else network.residual
    return [block.second.weight for group in groups for block in group]
