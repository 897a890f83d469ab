"""Labels with latents, and the parts of models that begin without effect, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats

from latens.distributions import FullNormal
from latens.errors import ConfigError
from latens.models import (
    ClassPrior,
    Conditional,
    Experts,
    FullNormalHead,
    NormalHead,
    PixelHead,
    ScalarQuantiser,
    UniformCodes,
    Upwards,
)
from latens.networks import Dense

LOGITS, MEANS = np.array([0.5, -1.0, 0.2]), np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])


def test_the_prior_of_a_class_begins_as_a_standard_normal():
    one = ClassPrior.create(3, (2,))(cond={"label": jnp.eye(3)[1]})
    assert one.loc.tolist() == [0.0, 0.0]
    assert one.log_scale.tolist() == [0.0, 0.0]
    moved = ClassPrior(jnp.asarray(MEANS), jnp.zeros((3, 2)))(cond={"label": jnp.eye(3)[2]})
    close(moved.loc, MEANS[2])
    with pytest.raises(ConfigError, match="condition 'label'"):
        ClassPrior.create(3, (2,))()


def test_pixels_begin_at_the_mean_level():
    head = PixelHead((1, 1), 16, 1)
    bias = head.output_bias(np.full((1, 1), 9.0))
    np.testing.assert_array_equal(bias, head.started(np.full((1, 1), 9.0))[1])
    assert float(head(jnp.asarray(bias, jnp.float32)).mean()[0, 0]) == pytest.approx(9.0, abs=0.5)


def test_an_expert_that_is_no_diagonal_normal_is_named():
    head = FullNormalHead(NormalHead((2,)))
    encoder = Conditional(Dense([3, head.num_outputs], key=jax.random.key(0)), head)
    with pytest.raises(ConfigError, match="the encoder of a gives a FullNormal"):
        Experts({"a": encoder})({"a": jnp.zeros(3)})


def test_the_determinant_of_a_full_normal_is_that_of_its_covariance():
    factor = np.array(
        [[0.2, 9.0], [-0.7, -0.4]]
    )  # logs of the scales on the diagonal, what stands above it is not read
    normal = FullNormal(jnp.zeros(2), jnp.asarray(factor))
    lower = np.array([[np.exp(0.2), 0.0], [-0.7, np.exp(-0.4)]])
    close(normal.log_prob(jnp.array([0.5, -1.0])), stats.multivariate_normal(cov=lower @ lower.T).logpdf([0.5, -1.0]))


def test_every_code_is_drawn():
    codes = UniformCodes(ScalarQuantiser((3,)), (64,)).sample(key=jax.random.key(0))
    assert sorted(set(np.asarray(codes).tolist())) == [-1.0, 0.0, 1.0]
    assert 7 < np.sum(np.asarray(codes) > 0) < 38


def test_the_first_part_of_a_hierarchy_reads_the_row():
    low, high = (Conditional(Dense([n, 2], key=jax.random.key(n)), NormalHead((1,))) for n in (3, 1))
    chain = Upwards((low, high))(jnp.arange(3.0))
    close(chain.first.loc, low(jnp.arange(3.0)).loc)
    close(chain.parts[0](jnp.ones(1)).loc, high(jnp.ones(1)).loc)
