"""Labels with latents, and the parts of models that begin without effect, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.errors import ConfigError
from latens.models import ClassPrior, Conditional, Experts, FullNormalHead, NormalHead, ScalarQuantiser, UniformCodes
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


def test_an_expert_that_is_no_diagonal_normal_is_named():
    head = FullNormalHead(NormalHead((2,)))
    encoder = Conditional(Dense([3, head.num_outputs], key=jax.random.key(0)), head)
    with pytest.raises(ConfigError, match="the encoder of a gives a FullNormal"):
        Experts({"a": encoder})({"a": jnp.zeros(3)})


def test_every_code_is_drawn():
    codes = UniformCodes(ScalarQuantiser((3,)), (64,)).sample(key=jax.random.key(0))
    assert sorted(set(np.asarray(codes).tolist())) == [-1.0, 0.0, 1.0]
    assert 7 < np.sum(np.asarray(codes) > 0) < 38
