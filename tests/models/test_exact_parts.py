"""Parts of models by hand: stages of codes, the start of several decoders, products of experts."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.distributions import Blocks, Categorical, DiagonalNormal, Product, RelaxedOneHot
from latens.models import ByModality
from latens.models.base import as_code, mean_code
from latens.models.multimodal import product_of_normals

RANDOM = np.random.default_rng(0)


class Told:
    """A decoder that keeps what it is told of the data."""

    def __call__(self, z, **options):
        raise NotImplementedError

    def with_output_bias(self, *given):
        self.given = given
        return self


@pytest.mark.parametrize("known", [True, False])
def test_each_modality_starts_at_its_own_part_of_the_data(known):
    blocks = Blocks(("a", "b"), ((0, 2), (1,)), 0)
    parts = {"a": Told(), "b": Told()}
    mean, rows = np.array([1.0, 2.0, 3.0]), np.arange(12.0).reshape(4, 3)
    more = (np.array([[0.1], [0.2], [0.3]]), np.array([4.0, 5.0, 6.0]), rows) if known else (None, None, None)
    ByModality(parts, blocks).with_output_bias(mean, *more)
    for name, own in (("a", [0, 2]), ("b", [1])):
        found = parts[name].given
        close(found[0], mean[own])
        for given, expected in zip(found[1:], more):
            if known:
                close(given, expected[:, own] if expected is rows else expected[own])
            else:
                assert given is None


def test_a_product_of_experts_adds_precisions():
    loc, scale = RANDOM.normal(size=(3, 2)), RANDOM.uniform(0.5, 2.0, (3, 2))
    normals = DiagonalNormal(jnp.asarray(loc, jnp.float32), jnp.log(jnp.asarray(scale, jnp.float32)))
    for members, with_prior in (([True, False, True], False), ([True, True, True], True), ([False] * 3, False)):
        own = np.array(members)
        precision = (own[:, None] / scale**2).sum(axis=0) + (with_prior or not own.any())
        found = product_of_normals(normals, jnp.asarray(members), with_prior=with_prior)
        close(found.loc, (own[:, None] * loc / scale**2).sum(axis=0) / precision, rtol=1e-4)
        close(jnp.exp(found.log_scale), precision**-0.5, rtol=1e-4)


def test_latents_of_every_kind_as_one_array():
    levels = (jnp.array([1.0, 2.0]), jnp.array([[3.0]]))
    normal = DiagonalNormal(jnp.array([4.0, 5.0]), jnp.zeros(2))
    names = Categorical(jnp.log(jnp.array([[0.2, 0.8], [0.5, 0.5]])))
    close(as_code(normal, jnp.array([6.0, 7.0])), [6.0, 7.0])
    close(as_code(normal, jnp.ones((2, 2))), np.ones((2, 2)))
    close(as_code(normal, levels), [1.0, 2.0, 3.0])
    close(as_code(names, jnp.array([1, 0])), [[0.0, 1.0], [1.0, 0.0]])
    both = Product({"b": normal, "a": names})
    close(as_code(both, {"a": jnp.array([1, 0]), "b": jnp.array([8.0, 9.0])}), [0.0, 1.0, 1.0, 0.0, 8.0, 9.0])
    close(mean_code(both), [0.2, 0.8, 0.5, 0.5, 4.0, 5.0])
    close(mean_code(RelaxedOneHot(jnp.log(jnp.array([0.25, 0.75])), jnp.zeros(()))), [0.25, 0.75])
