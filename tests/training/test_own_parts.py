"""What contradicts itself in a user's own parts is refused before training."""

import dataclasses
import re
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latens
from latens import VAE
from latens.data.dataset import as_batch
from latens.distributions import AbstractDistribution, AbstractFactorised, StandardNormal, log_prob
from latens.errors import ConfigError
from latens.models import AbstractHead, Conditional, LatentModel, NormalHead
from latens.networks import Dense
from latens.objectives.base import without_padding
from latens.training.own_parts import _unlike, check_distribution

X = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
LOG_2PI = float(np.log(2.0 * np.pi))
FEW = {"steps": 1, "random_state": 0, "hidden": 8, "latent_dim": 2}


class Normal(AbstractFactorised):
    """A Normal of unit width."""

    loc: jax.Array

    has_path: ClassVar[bool] = True

    def sample(self, *, key):
        return self.loc + jax.random.normal(key, self.loc.shape)

    def log_prob_terms(self, event):
        return -0.5 * ((event - self.loc) ** 2 + LOG_2PI)

    def mean(self):
        return self.loc


def changed(name: str, **methods: Any) -> type:
    return type(Normal)(name, (Normal,), {"__module__": __name__, **methods})


terms, drawn = Normal.log_prob_terms, Normal.sample
Summed = changed("Summed", log_prob_terms=lambda self, event: jnp.sum(terms(self, event)))
WholeDensity = changed("WholeDensity", log_prob=lambda self, event: jnp.sum(terms(self, event)).astype(jnp.int32))
Vector = changed("Vector", log_prob=terms)
ScalarMean = changed("ScalarMean", mean=lambda self: jnp.mean(self.loc))
Short = changed("Short", sample=lambda self, *, key: drawn(self, key=key)[:-1])
Half = changed("Half", sample=lambda self, *, key: drawn(self, key=key).astype(jnp.float16))
NoDensity = changed("NoDensity", log_prob_terms=lambda self, event: None)
Few = changed("Few", log_prob_terms=lambda self, event: terms(self, event)[:2])
Forgetful = changed("Forgetful", mean=AbstractFactorised.mean)
Lost = changed("Lost", log_prob_terms=lambda self, event: jnp.sqrt(-1.0 - event**2))
Double = changed("Double", log_prob_terms=lambda self, event: terms(self, event) * jnp.asarray(np.ones(4)))
Unscaled = changed("Unscaled", log_prob_terms=lambda self, event: terms(self, event) + 0.5 * LOG_2PI)


class Head(AbstractHead):
    kinds: ClassVar = ("real", "counts")
    kind: type = eqx.field(static=True, default=Normal)

    def __call__(self, outputs):
        return self.kind(outputs.reshape(self.shape))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Summed, r"log_prob_terms of a Summed gives the shape \(\), and an event has \(4,\)"),
        (WholeDensity, "log_prob of a WholeDensity gives int32, and its parameters are float32"),
        (Vector, r"log_prob of a Vector gives the shape \(4,\)"),
        (ScalarMean, r"mean of a ScalarMean gives the shape \(\)"),
        (Half, "sample of a Half gives float16"),
    ],
)
def test_what_contradicts_itself_is_refused(kind, says):
    with pytest.raises(ConfigError, match=says):
        check_distribution(kind(jnp.zeros(4)), "likelihood")


@pytest.mark.parametrize("x64", [False, True])
def test_double_precision_does_not_slip_in(x64):
    with jax.enable_x64(x64):
        one = Double(jnp.zeros(4, jnp.float32))
        refused = pytest.raises(ConfigError, match="gives float64, and its parameters are float32")
        with refused if x64 else nullcontext():
            check_distribution(one, "likelihood")


def test_events_of_other_shapes_are_refused():
    keys = jax.random.split(jax.random.key(0))
    decoder = Conditional(Dense([2, 4], key=keys[1]), Head((4,), Short))
    made = LatentModel(StandardNormal((2,)), Conditional(Dense([4, 4], key=keys[0]), NormalHead((2,))), decoder)
    with pytest.raises(ConfigError, match=r"samples of the likelihood have the shape \(3,\), and rows have \(4,\)"):
        latens.fit(made, latens.read(X), epochs=1)


def test_nothing_is_computed_for_latens_own_parts(monkeypatch):
    monkeypatch.setattr("latens.training.own_parts._distributions", lambda *given: 1 / 0)
    VAE(**FEW).fit(X)


class Gamma(AbstractFactorised):
    """Positive numbers of rate 1."""

    log_shape: jax.Array

    def sample(self, *, key):
        return jax.random.gamma(key, jnp.exp(self.log_shape))

    def log_prob_terms(self, event):
        shape = jnp.exp(self.log_shape)
        return (shape - 1.0) * jnp.log(event) - event - jax.lax.lgamma(shape)

    def mean(self):
        return jnp.exp(self.log_shape)


class Outside(Gamma):
    def sample(self, *, key):
        return -super().sample(key=key)


class WholeHead(Head):
    sees: ClassVar = "whole"


STANDARDISED_GAMMA, GAMMA = partial(Head, kind=Gamma), partial(WholeHead, kind=Gamma)


def test_a_density_of_positive_numbers_meets_only_cells_of_its_support() -> None:
    positive = np.random.default_rng(0).gamma(2.0, size=(130, 4)).astype(np.float32)
    gappy = np.where(np.random.default_rng(1).random(positive.shape) < 0.1, np.nan, positive)
    assert np.isfinite(VAE(likelihood=GAMMA, **FEW | {"steps": 3}, batch_size=100).fit(gappy).score(gappy))
    # A 0 in a missing cell, or in the padding of a batch, has no finite gradient.
    seen, cells = jnp.array([False, True, True]), jnp.array([jnp.nan, 2.0, 3.0])
    slope = jax.grad(lambda shape: log_prob(Gamma(shape), cells, seen))(jnp.zeros(3))
    np.testing.assert_allclose(slope, [0.0, *np.log([2.0, 3.0]) + np.euler_gamma], rtol=1e-5)
    batch = dataclasses.replace(as_batch(positive[:3]), weight=np.array([0.0, 1.0, 0.0], np.float32))
    np.testing.assert_array_equal(without_padding(batch).x, positive[[1, 1, 1]])


@pytest.mark.parametrize(
    ("head", "cell", "words"),
    [
        (STANDARDISED_GAMMA, 1.0, r"is nan at 1\d\d of the first 1\d\d training rows.*sees = 'whole'"),
        (GAMMA, 0.0, r"is -?inf at 1 of the first 1\d\d training rows, first at row 7\."),
    ],
)
def test_rows_outside_of_the_support_are_named(head: Any, cell: float, words: str) -> None:
    positive = np.random.default_rng(0).gamma(2.0, size=(130, 4)).astype(np.float32)
    positive[7, 1] = cell
    with pytest.raises(ConfigError, match=words):
        VAE(likelihood=head, **FEW).fit(positive)


def echo(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda shape, key: eqx.nn.Lambda(lambda x: jnp.concatenate([function(x[:2]), jnp.zeros(2)]))


def test_an_encoder_sees_real_columns_standardised_whatever_the_likelihood_sees() -> None:
    x = np.random.default_rng(0).normal([0.0, 10.0, -20.0], [1.0, 2.0, 5.0], (130, 3)).astype(np.float32)
    found = VAE(likelihood=WholeHead, encoder=echo(jnp.positive), **FEW).fit(x).transform(x)
    slope, shift = np.polyfit(found[:, 1], x[:, 1], 1)
    np.testing.assert_allclose(found[:, 1] * slope + shift, x[:, 1], atol=1e-4)
    assert abs(slope - 2.0) < 0.4
    assert abs(shift - 10.0) < 1.0


class Meanless(AbstractDistribution):
    loc: jax.Array
    has_path: ClassVar[bool] = True
    sample = drawn

    def log_prob(self, event):
        return Normal(self.loc).log_prob(event)


class LossAlone(latens.ELBO):
    def __call__(self, model, batch, *, key, step):
        return super().__call__(model, batch, key=key, step=step)[0]


def of(part: str, kind: Any) -> dict[str, Any]:
    return {part: partial(Head, kind=kind)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"prior": StandardNormal((3,))},
            r"prior: samples of the posterior have the shape \(2,\), and those of the prior",
        ),
        (of("likelihood", lambda loc: Normal(loc[:1])), r"have the shape \(1,\), and rows have \(4,\)"),
        (of("likelihood", Short), r"likelihood have the shape \(3,\), and rows have \(4,\)"),
        (of("likelihood", Few), r"log_prob_terms of a Few gives the shape \(2,\)"),
        (of("likelihood", NoDensity), "log_prob of a NoDensity fails"),
        (
            of("likelihood", lambda loc: Normal(loc.reshape(2, 4))),
            "likelihood: __call__ on 4 outputs of a Head fails: cannot reshape.* set `per_value`",
        ),
        (of("posterior", Meanless), r"posterior: a Meanless has no mean in closed form\. .* define mean\(self\)"),
        ({"objective": LossAlone()}, "LossAlone does not return a pair"),
        (of("likelihood", Forgetful), "abstract class Forgetful .*Define it in that class"),
        ({"likelihood": AbstractHead}, "likelihood: its class has no __call__"),
        (of("posterior", Lost), "posterior: log_prob of the posterior is nan at 1.. of the first"),
        ({"prior": Gamma(jnp.zeros(2))}, r"prior: log_prob of the prior is nan at \d+ of the first"),
    ],
)
def test_parts_that_give_no_rows_are_refused_before_they_are_trained(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        VAE(**FEW | given).fit(X)


def test_parts_that_cannot_work_name_themselves() -> None:
    with pytest.raises(ConfigError, match="WholeHead has `sees` or `kinds` of its own, which a function hides"):
        VAE(likelihood=lambda shape: WholeHead(shape), **FEW).fit(X)
    with pytest.raises(
        ConfigError, match=r"posterior: draws of the posterior are not finite at \d+ of the first 1\d\d"
    ):
        VAE(likelihood=WholeHead, encoder=echo(jnp.sqrt), **FEW).fit(X)


@pytest.mark.parametrize("dtype", [int, float])
def test_counts_that_a_preparation_makes_no_counts_are_refused(dtype: type) -> None:
    counts = np.random.default_rng(0).poisson(5.0, (130, 4)).astype(dtype)
    with pytest.raises(ConfigError, match=r'samples and the rows are whole numbers.*sees = "whole"'):
        VAE(likelihood=partial(Head, kind=latens.distributions.Poisson), **FEW).fit(counts)


def test_a_density_of_whole_events_takes_no_rows_with_missing_cells() -> None:
    gappy, head = np.where(X > 1.5, np.nan, X), partial(WholeHead, kind=Meanless)
    with pytest.raises(ConfigError, match=r"Meanless has no density of rows with missing cells\. Inherit from Abs"):
        VAE(likelihood=head, **FEW).fit(gappy)
    with pytest.raises(ConfigError, match=r"Meanless has no mean in closed form\. .* define mean\(self\)"):
        VAE(likelihood=head, **FEW).fit(X).reconstruct(X)
    with pytest.raises(ConfigError, match=r"columns come scaled, and a Meanless does not factorise.* sees = 'whole'"):
        VAE(likelihood=partial(Head, kind=Meanless), **FEW).fit(X)


class ManyZeros(Gamma):
    """A half of zeros, and a Gamma beside them."""

    def sample(self, *, key):
        return super().sample(key=key) * jax.random.bernoulli(key, 0.5, self.log_shape.shape)

    def log_prob_terms(self, event):
        return jnp.where(event > 0, super().log_prob_terms(jnp.where(event > 0, event, 1.0)), 0.0) - jnp.log(2.0)

    def mean(self):
        return 0.5 * super().mean()


WrongMean = type(Gamma)("WrongMean", (Gamma,), {"__module__": __name__, "mean": lambda self: self.log_shape + 2.0})


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Unscaled, r"^log_prob and sample of a Unscaled disagree by \+0\.9[^:]*: log p\(x\) is off if log_prob is\.$"),
        (Outside, r"^log_prob of a Outside is not finite at samples of it\."),
        (WrongMean, r"^mean of a WrongMean is -?\d.*, and 4000 samples average"),
        *((kind, "^$") for kind in (Normal, Gamma, ManyZeros, latens.distributions.Poisson)),
    ],
)
def test_a_density_and_a_mean_are_compared_with_their_samples(kind: type, says: str) -> None:
    rows = np.random.default_rng(0).poisson(5.0, (130, 4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        VAE(likelihood=partial(WholeHead, kind=kind), **FEW).fit(rows if "Poisson" in kind.__name__ else rows + 0.5)
    assert re.search(says, " ".join(str(warning.message) for warning in caught))


def test_samples_of_heavy_tails_say_nothing_of_a_mean() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 4000, 400))
    weibull, noise = np.sum(noise**2, axis=0) ** 2 / 4.0, noise[0]  # of shape a half: of an exponential, squared
    normal = [(np.exp(tail**2 / 2.0), np.exp(tail * noise)) for tail in (0.5, 1.0, 2.0, 3.0)]
    for mean, draws in [*normal, (2.0, weibull), (0.0, noise / noise[::-1]), (0.1, np.full_like(noise, 0.1))]:
        assert jnp.equal(*_unlike(jnp.full(400, mean), jnp.asarray(draws)))
    assert jnp.not_equal(*_unlike(jnp.full(400, 2.6), jnp.asarray(weibull)))
