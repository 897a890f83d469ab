"""Models and their parts: heads, conditions, masks, networks of one's own, methods that are traced once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import special, stats
from tables import MODELS, SHIFT, linear_dense

import latens.models
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import (
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    DeterministicHead,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    SquashedHead,
    Standardise,
)
from latens.trainable import Frozen, partition_trainable, traced_once
from latens.typing import Array

HEADS = {
    "NormalHead": lambda: NormalHead((3,)),
    "NormalHead, log-variance": lambda: NormalHead((3,), "log-variance"),
    "NormalHead, softplus": lambda: NormalHead((3,), "softplus"),
    "SharedScaleNormalHead": lambda: SharedScaleNormalHead((3,), jnp.zeros(())),
    "BernoulliHead": lambda: BernoulliHead((3,)),
    "BernoulliHead, floor": lambda: BernoulliHead((3,), 1e-7),
    "ContinuousBernoulliHead": lambda: ContinuousBernoulliHead((3,)),
    "CategoricalHead": lambda: CategoricalHead((3,), 4),
    "DeterministicHead": lambda: DeterministicHead((3,)),
    "AffineHead": lambda: AffineHead(NormalHead((3,)), SHIFT, np.array([2.0, 0.5, 3.0])),
    "SquashedHead": lambda: SquashedHead(NormalHead((3,))),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_decoder_that_starts_at_the_data_has_its_mean(name):
    """Exactly, whatever z is, as long as the weights are 0."""
    head, mean = HEADS[name](), np.array([0.1, 0.5, 0.97])
    frequencies = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
    part = Conditional(linear_dense(2, head.num_outputs), head).with_output_bias(mean, frequencies)
    start = part(jnp.asarray([3.0, -1.0]))
    if name == "CategoricalHead":
        close(start.probabilities(), frequencies)
        close(start.mean(), frequencies @ np.arange(4))
    else:
        close(start.mean(), mean)


def test_a_bias_that_cannot_be_set_is_left(getkey):
    part = Conditional(jnp.sin, BernoulliHead((3,)))
    close(part.with_output_bias(np.full(3, 0.9))(jnp.ones(3)).logits, np.sin(np.ones(3)))
    with pytest.raises(ValueError, match="frequencies"):
        CategoricalHead((3,), 4).output_bias(np.zeros(3))


def test_probabilities_are_kept_from_zero_and_one():
    logits = BernoulliHead((3,), 1e-7)(jnp.asarray([-1e4, 0.5, 1e4])).logits
    close(logits, [special.logit(1e-7), 0.5, -special.logit(1e-7)])


@pytest.mark.parametrize("scale", [jnp.asarray(0.3), jnp.asarray([0.3, -0.2, 0.0])], ids=["one", "by feature"])
@pytest.mark.parametrize("frozen", [False, True])
def test_shared_scales_are_learned_or_fixed(scale, frozen):
    head = SharedScaleNormalHead((3,), Frozen(scale) if frozen else scale)
    x = np.array([0.1, 0.2, 0.3])
    close(head(jnp.zeros(3)).log_prob(jnp.asarray(x)), stats.norm.logpdf(x, 0, np.exp(np.asarray(scale))).sum())
    trained = jax.tree.leaves(partition_trainable(head)[0])
    assert sum(leaf.size for leaf in trained) == (0 if frozen else scale.size)


def test_conditions_reach_only_the_parts_that_read_them():
    model, batch = MODELS["conditions and units"]()
    row = jax.tree.map(lambda leaf: leaf[0], batch)
    changed = {**row.cond, "size": row.cond["size"] + 1.0}
    posterior, other = (model.posterior(row.x, cond=c) for c in (row.cond, changed))
    close(posterior.loc, other.loc, rtol=0, atol=0)
    z = posterior.mean()
    network = model.decoder.network
    for cond in (row.cond, changed):
        inputs = np.concatenate([z, [cond["size"]], cond["site"]])
        outputs = np.asarray(network(jnp.asarray(inputs)))
        units = model.decoder.head
        expected = np.asarray(units.shift.value) + np.asarray(units.scale.value) * outputs[:3]
        close(model.likelihood(z, cond=cond).mean(), expected)
    with pytest.raises(ConfigError, match="'site', which was not given"):
        model.posterior(row.x, cond={"size": row.cond["size"]})
    with pytest.raises(ConfigError, match="'size', which was not given"):
        model.likelihood(z)


def test_a_prior_may_read_conditions(getkey):
    class Shifted(eqx.Module):
        weight: jax.Array

        def __call__(self, *, cond, key=None):
            return latens.distributions.DiagonalNormal(self.weight * cond["site"], jnp.zeros(2))

    part = Conditional(jnp.sin, SharedScaleNormalHead((2,), jnp.zeros(())))
    model = LatentModel(Shifted(jnp.asarray(2.0)), part, part)
    site = jnp.asarray([1.0, -0.5])
    close(model.prior(cond={"site": site}).mean(), [2.0, -1.0])
    prior, likelihood = model.log_joint(jnp.zeros(2), jnp.sin(jnp.zeros(2)), cond={"site": site})
    close([prior, likelihood], [stats.norm.logpdf([2.0, 1.0]).sum(), stats.norm.logpdf([0.0, 0.0]).sum()])


def test_standardising_puts_missing_cells_at_the_centre():
    shift, scale = np.array([5.0, -3.0]), np.array([2.0, 0.5])
    part = Conditional(lambda x: x, DeterministicHead((2,)), Standardise(shift, scale))
    close(part(jnp.asarray([7.0, -3.5])).mean(), [1.0, -1.0])
    close(part(jnp.asarray([7.0, jnp.nan]), mask=jnp.asarray([True, False])).mean(), [1.0, 0.0])


def test_a_function_and_an_equinox_module_are_networks(getkey):
    """Nothing to inherit: what maps one event to the head's outputs is a network."""
    mlp = eqx.nn.MLP(3, 4, 8, 1, key=getkey())
    dropped = eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=getkey()), eqx.nn.Dropout(0.5)])
    model = LatentModel(
        StandardNormal((2,)), Conditional(mlp, NormalHead((2,))), Conditional(dropped, BernoulliHead((3,)))
    )
    x = jnp.asarray([0.0, 1.0, 1.0])
    close(model.posterior(x).mean(), np.asarray(mlp(x))[:2])
    functions = LatentModel(
        StandardNormal((2,)),
        Conditional(lambda x: jnp.concatenate([x[:2], x[1:]]), NormalHead((2,))),
        Conditional(lambda z: jnp.append(z, z.sum()), BernoulliHead((3,))),
    )
    z = functions.posterior(x).mean()
    close(z, [0.0, 1.0])
    close(functions.likelihood(z).log_prob(x), stats.bernoulli.logpmf([0, 1, 1], special.expit([0.0, 1.0, 1.0])).sum())
    # A network that takes a key gets one, and dropout then doubles or removes its outputs.
    logits = np.asarray(model.likelihood(z, key=getkey()).logits)
    plain = np.asarray(dropped.layers[0](z))
    assert np.all(np.isclose(logits, 0.0) | np.isclose(logits, 2 * plain, rtol=1e-5))


def test_the_wrong_number_of_outputs_is_refused_with_the_right_one():
    part = Conditional(lambda x: x, NormalHead((2,)))
    with pytest.raises(ConfigError, match=r"array of shape \(3,\), but NormalHead of shape \(2,\) needs 4"):
        part(jnp.ones(3))


class Scaled(eqx.Module):
    """Counts how often its method is traced."""

    scale: Array
    power: int = eqx.field(static=True, default=2)

    @traced_once
    def value(self, x: Array, *, plus: float = 0.0) -> Array:
        """The scale times a power of x."""
        TRACED.append(self.power)
        return self.scale * x**self.power + plus


TRACED: list[int] = []


def test_two_programs_trace_it_once_and_have_their_own_numbers() -> None:
    TRACED.clear()
    x = jnp.arange(3.0)
    one = jax.jit(lambda s, x: jax.vmap(Scaled(s).value)(x))
    two = jax.jit(lambda s, x: jax.vmap(jax.grad(lambda y: Scaled(s).value(y)))(x) + 1.0)
    assert np.allclose(one(jnp.asarray(3.0), x), [0.0, 3.0, 12.0])
    assert np.allclose(two(jnp.asarray(2.0), x), [1.0, 5.0, 9.0])
    assert TRACED == [2]


def test_another_static_field_or_option_is_traced_anew() -> None:
    TRACED.clear()
    x = jnp.asarray(2.0)
    values = [Scaled(x).value(x), Scaled(x, 3).value(x), Scaled(x).value(x, plus=1.0), Scaled(x).value(x, plus=2.0)]
    assert np.allclose(values, [8.0, 16.0, 9.0, 10.0])
    assert len(TRACED) == 4
