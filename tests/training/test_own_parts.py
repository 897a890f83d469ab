"""What a user's own parts get wrong is refused or said before training; what is right passes, whatever the seed."""

import logging
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import DISTRIBUTIONS
from tables_joint import JOINT
from training_fixtures import run, stage

import latens
from latens import VAE
from latens.cli.main import main
from latens.distributions import AbstractDistribution, AbstractFactorised, StandardNormal
from latens.errors import ConfigError
from latens.models import AbstractHead
from latens.objectives import AbstractObjective, draw
from latens.training import Budget
from latens.training.own_parts import check_distribution

X = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
LOG_2PI = float(np.log(2.0 * np.pi))
FEW = {"steps": 1, "random_state": 0, "hidden": 8, "latent_dim": 2}


class Normal(AbstractFactorised):
    """A Normal that has log_prob off by a number for each variable, and samples of another width and place."""

    loc: jax.Array
    off: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))
    width: jax.Array = eqx.field(default_factory=lambda: jnp.ones(()))
    shift: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))

    has_path: ClassVar[bool] = True

    def sample(self, *, key):
        return self.loc + self.shift + self.width * jax.random.normal(key, self.loc.shape)

    def log_prob_terms(self, event):
        return -0.5 * ((event - self.loc) ** 2 + LOG_2PI) + self.off

    def mean(self):
        return self.loc


class WithoutConstant(Normal):
    def log_prob_terms(self, event):
        return -0.5 * (event - self.loc) ** 2


class Summed(Normal):
    def log_prob_terms(self, event):
        return jnp.sum(super().log_prob_terms(event))


class ByHand(Normal):
    def log_prob(self, event):
        return jnp.sum(self.log_prob_terms(event)) - 1.0


class Hidden(Normal):
    def log_prob_observed(self, event, mask):
        return jnp.sum(self.log_prob_terms(event))


class AlongOnly(Normal):
    def sample_and_log_prob(self, *, key):
        event = self.sample(key=key)
        return event, self.log_prob(event) + 1.0


class WholeDensity(Normal):
    def log_prob(self, event):
        return jnp.sum(self.log_prob_terms(event)).astype(jnp.int32)


class Vector(Normal):
    def log_prob(self, event):
        return self.log_prob_terms(event)


class ScalarMean(Normal):
    def mean(self):
        return jnp.mean(self.loc)


class Short(Normal):
    def sample(self, *, key):
        return super().sample(key=key)[:-1]


class Half(Normal):
    def sample(self, *, key):
        return super().sample(key=key).astype(jnp.float16)


class Head(AbstractHead):
    kinds: ClassVar = ("real",)
    shape: tuple[int, ...] = eqx.field(static=True)
    kind: type = eqx.field(static=True, default=Normal)

    def __call__(self, outputs):
        return self.kind(outputs.reshape(self.shape))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Summed, r"log_prob_terms of a Summed gives the shape \(\), and an event has \(4,\)"),
        (ByHand, "log_prob_terms of a ByHand add up to .*, and log_prob is "),
        (Hidden, "log_prob_observed of a Hidden gives "),
        (AlongOnly, "sample_and_log_prob of a AlongOnly gives "),
        (WholeDensity, "log_prob of a WholeDensity gives int32, and its parameters are float32"),
        (Vector, r"log_prob of a Vector gives the shape \(4,\)"),
        (ScalarMean, r"mean of a ScalarMean gives the shape \(\)"),
        (Half, "sample of a Half gives float16"),
    ],
)
def test_what_contradicts_itself_is_refused(kind, says):
    with pytest.raises(ConfigError, match=says):
        check_distribution(kind(jnp.zeros(4)), "likelihood", key=jax.random.key(0))


@pytest.mark.parametrize("x64", [False, True])
def test_double_precision_does_not_slip_in(x64):
    class Double(Normal):
        def log_prob_terms(self, event):
            return super().log_prob_terms(event) * np.float64(1.0) * jnp.asarray(np.ones(4))

    with jax.enable_x64(x64):
        one = Double(jnp.zeros(4, jnp.float32), *(jnp.asarray(v, jnp.float32) for v in (0.0, 1.0, 0.0)))
        if not x64:
            assert check_distribution(one, "likelihood", key=jax.random.key(0)) == []
            return
        with pytest.raises(ConfigError, match="gives float64, and its parameters are float32"):
            check_distribution(one, "likelihood", key=jax.random.key(0))


@pytest.mark.parametrize("what", ["likelihood", "posterior", "prior"])
def test_a_training_says_it_before_it_starts(what, caplog):
    """A likelihood without its constant trained without a word: -2.33 for -6.01."""
    kind = (lambda s: WithoutConstant(jnp.zeros(s))) if what == "prior" else (lambda s: Head(s, WithoutConstant))
    with caplog.at_level(logging.WARNING):
        VAE(**FEW, **{what: kind}).fit(X)
    (told,) = [record.message for record in caplog.records if "does not fit its samples" in record.message]
    assert told.startswith(f"{what}: the density of a WithoutConstant does not fit its samples: over all values it")
    assert "adds up to 2.5" in told  # the square root of 2 pi


PARTS = """
import equinox as eqx, jax, jax.numpy as jnp, latens
from latens.distributions import AbstractFactorised
from latens.models import AbstractHead

class Peak(AbstractFactorised):
    loc: jax.Array
    def sample(self, *, key): return self.loc + jax.random.laplace(key, self.loc.shape)
    def log_prob_terms(self, event): return -jnp.abs(event - self.loc)
    def mean(self): return self.loc

class PeakHead(AbstractHead):
    shape: tuple[int, ...] = eqx.field(static=True)
    def __call__(self, outputs): return Peak(outputs.reshape(self.shape))

latens.register_part("likelihood", "peak", PeakHead)
"""


@pytest.mark.more
def test_the_command_says_it_on_the_terminal(tmp_path, capfd):
    (tmp_path / "parts.py").write_text(PARTS)
    np.savetxt(tmp_path / "t.csv", X, delimiter=",", header="a,b,c,d", comments="")
    words = ["fit", tmp_path / "t.csv", "--import", tmp_path / "parts.py", "--set", "likelihood=peak", "--steps", 1]
    assert main([str(word) for word in [*words, "--num-samples", 2, "--quiet", "--out", tmp_path / "run"]]) == 0
    told = "likelihood: the density of a Peak does not fit its samples: over all values it adds up to 2, not to 1"
    assert f"warning: {told}" in capfd.readouterr().err
    assert told in (tmp_path / "run" / "log.txt").read_text()


def test_the_sum_in_the_place_of_terms_is_refused_before_training():
    """It trained without a word: -12.0 for -4.07."""
    with pytest.raises(ConfigError, match="likelihood: log_prob_terms of a Summed gives"):
        VAE(**FEW, likelihood=lambda shape: Head(shape, Summed)).fit(X)


def test_events_of_other_shapes_are_refused():
    with pytest.raises(ConfigError, match=r"samples of the likelihood have the shape \(3,\), and rows have \(4,\)"):
        latens.fit(eqx.tree_at(lambda m: m.decoder.head, hand_made(), Head((4,), Short)), data(), epochs=1)
    with pytest.raises(ConfigError, match=r"samples of the posterior have the shape \(2,\), and those of the prior"):
        latens.fit(eqx.tree_at(lambda m: m.prior_part, hand_made(), Normal(jnp.zeros(3))), data(), epochs=1)


def hand_made():
    from latens.models import Conditional, LatentModel, NormalHead
    from latens.networks import Dense

    keys = jax.random.split(jax.random.key(0))
    decoder = Conditional(Dense([2, 4], key=keys[1]), Head((4,)))
    return LatentModel(StandardNormal((2,)), Conditional(Dense([4, 4], key=keys[0]), NormalHead((2,))), decoder)


def data():
    return latens.read(X)


def test_nothing_is_computed_for_latens_own_parts(monkeypatch):
    monkeypatch.setattr("latens.training.own_parts._distributions", lambda *given: 1 / 0)
    VAE(**FEW).fit(X)


def told(distribution, seeds, **given):
    found = [check_distribution(distribution, "likelihood", key=jax.random.key(seed)) for seed in range(seeds)]
    return np.mean([bool(each) for each in found])


@pytest.mark.parametrize(
    ("field", "little", "much"), [("off", (-0.003, 0.003), (-0.1, 0.1)), ("width", (0.99, 1.01), (0.8, 1.25)),
                                  ("shift", (-0.02, 0.02), (-0.3, 0.3))]
)  # fmt: skip
def test_a_little_is_let_pass_and_much_is_told(field, little, much):
    """Over 10 seeds each: never at a third of a hundredth of a nat, always at a tenth."""
    for size, share in [*((value, 0.0) for value in little), *((value, 1.0) for value in much)]:
        one = eqx.tree_at(lambda d: getattr(d, field), Normal(jnp.arange(3.0)), jnp.asarray(size))
        assert told(one, 10) == share, size


class Joint(AbstractDistribution):
    """A Normal in the plane that is only written as a whole, off by a number of nats."""

    tril: jax.Array
    off: jax.Array

    has_path: ClassVar[bool] = True

    def sample(self, *, key):
        return self.tril @ jax.random.normal(key, (2,))

    def log_prob(self, event):
        noise = jnp.linalg.solve(self.tril, event)
        return -0.5 * jnp.sum(noise**2) - LOG_2PI - jnp.log(self.tril[0, 0] * self.tril[1, 1]) + self.off


def test_the_constant_of_a_density_that_does_not_factorise():
    tril = jnp.asarray([[1.0, 0.0], [-0.7, 0.4]])
    for off, share in [(0.0, 0.0), (0.03, 0.0), (-0.7, 1.0), (0.7, 1.0), (LOG_2PI, 1.0)]:
        assert told(Joint(tril, jnp.asarray(off)), 5) == share, off


class Choice(AbstractFactorised):
    """Whole numbers 0 to 2, off by a number of nats."""

    logits: jax.Array
    off: jax.Array

    has_path: ClassVar[bool] = False

    def sample(self, *, key):
        return jax.random.categorical(key, self.logits)

    def log_prob_terms(self, event):
        return jnp.sum(jax.nn.log_softmax(self.logits) * jax.nn.one_hot(event, 3), axis=-1) + self.off

    def mean(self):
        return jax.nn.softmax(self.logits) @ jnp.arange(3.0)


def test_whole_numbers_have_probabilities():
    logits = jnp.asarray([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    for off, share in [(0.0, 0.0), (-0.005, 0.0), (-0.1, 1.0), (0.1, 1.0)]:
        assert told(Choice(logits, jnp.asarray(off)), 10) == share, off


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *JOINT])
def test_no_false_alarm_of_latens_own(name):
    distribution = {**DISTRIBUTIONS, **JOINT}[name].make()
    assert told(distribution, 5) == 0.0


def test_values_of_rows_that_hang_on_others_are_not_cut():
    class Centred(AbstractObjective):
        monitor: ClassVar[str] = "elbo"

        def __call__(self, model, batch, *, key, step):
            elbo = draw(model, batch, num_samples=1, key=key).log_weight[0]
            return (elbo - jnp.mean(elbo)) ** 2, {"elbo": elbo}

    with pytest.raises(ConfigError, match="Centred gives a row another value where another row changes"):
        run(stages=[stage(Budget(steps=1), Centred())], batch_size=32, shards=2)
