"""Parts of models by hand: codes, labels, decoders, experts, what a head starts with, and the heads of a table."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy.special import expit, ndtri, softmax

from latens.distributions import Blocks, Categorical, DiagonalNormal, Product, RelaxedOneHot
from latens.distributions.chain import AbstractBijection, Scaled, Transformed
from latens.errors import ConfigError
from latens.kinds.tables.columns import ColumnType
from latens.models import (
    ByModality,
    ClassPrior,
    Conditional,
    Experts,
    FullNormalHead,
    NormalHead,
    ScalarQuantiser,
    UniformCodes,
)
from latens.models.base import as_code, mean_code
from latens.models.heads.table import ATOMS, OrdinalHead, SegmentsHead, atoms_of, basis_of, middles_of
from latens.models.multimodal import product_of_normals
from latens.networks import Dense

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


LOGITS, MEANS = np.array([0.5, -1.0, 0.2]), np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])


def test_the_prior_of_a_class_begins_as_a_standard_normal():
    one = ClassPrior.create(3, (2,))(cond={"label": jnp.eye(3)[1]})
    assert one.loc.tolist() == [0.0, 0.0]
    assert one.log_scale.tolist() == [0.0, 0.0]
    moved = ClassPrior(jnp.asarray(MEANS), jnp.zeros((3, 2)))(cond={"label": jnp.eye(3)[2]})
    close(moved.loc, MEANS[2])
    with pytest.raises(ConfigError, match="condition 'label'"):
        ClassPrior.create(3, (2,))()


def test_an_expert_that_is_no_diagonal_normal_is_named():
    head = FullNormalHead(NormalHead((2,)))
    encoder = Conditional(Dense([3, head.num_outputs], key=jax.random.key(0)), head)
    with pytest.raises(ConfigError, match="the encoder of a gives a FullNormal"):
        Experts({"a": encoder})({"a": jnp.zeros(3)})


def test_every_code_is_drawn():
    codes = UniformCodes(ScalarQuantiser((3,)), (64,)).sample(key=jax.random.key(0))
    assert sorted(set(np.asarray(codes).tolist())) == [-1.0, 0.0, 1.0]
    assert 7 < np.sum(np.asarray(codes) > 0) < 38


class Doubled(AbstractBijection):
    """Twice the event; the stretch of the volume is not its image."""

    def transform_and_log_det(self, x, context):
        return 2.0 * x, jnp.sum(jnp.full_like(x, math.log(2.0)))

    def inverse_and_log_det(self, y, context):
        return y / 2.0, -jnp.sum(jnp.full_like(y, math.log(2.0)))


def test_a_noise_of_the_base_becomes_the_mapped_event() -> None:
    base = DiagonalNormal(jnp.array([1.0, -2.0]), jnp.log(jnp.array([2.0, 0.5])))
    bijection = Scaled(Doubled(), jnp.array([0.25, 0.0]), jnp.log(jnp.array([10.0, 100.0])))
    # 1 + 2 * 0.5 = 2 and -2 - 0.5 * 3 = -3.5; twice that, scaled and shifted.
    found = Transformed(base, bijection).from_noise(jnp.array([0.5, -3.0]))
    np.testing.assert_allclose(np.asarray(found), [40.25, -700.0], rtol=1e-6)
    back, log_det = bijection.inverse_and_log_det(found, None)
    np.testing.assert_allclose(np.asarray(back), [2.0, -3.5], rtol=1e-6)
    assert float(log_det) == -float(bijection.transform_and_log_det(back, None)[1])
    np.testing.assert_allclose(float(log_det), -math.log(4000.0), rtol=1e-6)


GRADES = ColumnType("ordinal", ("low", "mid", "high"), shares=(0.2, 0.5, 0.3))
# Six cells that stand apart, of other shares; the wide segment and the rare cell do not.
SHARES = (0.05, 0.2, 0.1, 0.3, 0.03, 0.15, 0.16, 0.01)
NUMBER = ColumnType("number", (), 0.0, 1.0, (0, 1, 2, 3, 4, 5, 6, 9), 10, SHARES, "int")


def test_an_ordinal_moves_with_its_first_output_and_widens_with_the_next():
    head, odds = OrdinalHead([GRADES]), np.log([0.2 / 0.8, 0.7 / 0.3])
    assert head.num_outputs == 2
    for location, wider in ((0.0, 0.0), (1.3, 0.0), (-0.4, 0.6)):
        cuts = np.array([odds[0], odds[0] + (odds[1] - odds[0]) * np.exp(wider)])
        expected = np.diff(np.concatenate([[0.0], expit(cuts - location), [1.0]]))
        found = head(jnp.array([location, wider]))
        close(jnp.exp(found.log_shares())[0], expected)
        close(found.mean(), [expected @ np.arange(3)])


def test_a_logit_is_added_to_the_log_share():
    head = SegmentsHead([NUMBER])
    made = head(jnp.arange(8.0) / 4)
    close(jnp.exp(made.log_shares())[0], softmax(np.log(SHARES) + np.arange(8) / 4))
    assert made.ordered
    assert made.widths.tolist() == [[1, 1, 1, 1, 1, 1, 3, 1]]


def test_the_cells_that_most_rows_share_stand_apart():
    assert ATOMS == 4
    assert atoms_of(NUMBER) == [3, 1, 5, 2]
    np.testing.assert_array_equal(basis_of(NUMBER)[-4:], np.eye(8)[[3, 1, 5, 2]])


def test_the_functions_along_a_grid_are_at_the_middles_of_the_shares():
    middles = ndtri(np.cumsum(SHARES) - np.array(SHARES) / 2)
    np.testing.assert_allclose(middles_of(NUMBER), middles)
    basis = basis_of(NUMBER)
    np.testing.assert_allclose(basis[0], middles / 2)
    np.testing.assert_allclose(basis[1], middles**2 / 8)
    np.testing.assert_allclose(basis[2:18].sum(axis=0), 1.0)  # the hats share out each place
    sure = ColumnType("number", (), 0.0, 1.0, (0, 1), 2, (1.0 - 1e-9, 1e-9), "int")
    np.testing.assert_allclose(middles_of(sure), [0.0, 4.0], atol=1e-8)  # not beyond 4
