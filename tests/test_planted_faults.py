"""Wrong copies of the core, each of which a named check must catch.

Every fault replaces one piece of the library for the time of one test. The check, which passes on the healthy core
(`test_number` in test_distributions and test_objectives), must then fail with an assertion: a crash is not "caught".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bound_checks
import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens import distributions, objectives, trees
from latens.distributions import divergence
from latens.models import conditional, flat
from latens.models.heads import base as heads
from latens.networks import dense
from latens.objectives import base, draws, elbo, importance


class Lookalike:
    """A module in which some names are replaced, for code that says `jax.random.fold_in` or `jnp.mean`."""

    def __init__(self, original: Any, **replaced: Any) -> None:
        self._original, self._replaced = original, replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced[name] if name in self._replaced else getattr(self._original, name)


def same_key_for(dtype: Any) -> Lookalike:
    """JAX whose `fold_in` ignores data of this dtype: row ids are uint32, sample indices int32."""

    def fold_in(key: jax.Array, data: Any) -> jax.Array:
        return key if getattr(data, "dtype", None) == dtype else jax.random.fold_in(key, data)

    return Lookalike(jax, random=Lookalike(jax.random, fold_in=fold_in))


def head_with(scale: Callable[[jax.Array, heads.NormalHead], jax.Array]) -> Callable:
    """`NormalHead.__call__` whose log scale is made in another way."""

    def call(self: heads.NormalHead, outputs: jax.Array) -> distributions.DiagonalNormal:
        loc, raw = outputs.reshape(2, *self.shape)
        return distributions.DiagonalNormal(loc, scale(raw, self))

    return call


def reports(name: str, change: Callable) -> Callable:
    """An ELBO whose reported numbers are changed after they were computed."""
    original = objectives.ELBO.__call__

    def call(self: objectives.ELBO, model: Any, batch: Any, *, key: Any, step: Any) -> tuple:
        loss, metrics = original(self, model, batch, key=key, step=step)
        return loss, {**metrics, name: change(self, model, metrics)}

    return call


def shifted(pair: tuple, by: Any) -> tuple:
    return pair[0] - by * pair[1], pair[1]


def raw_scale(raw: jax.Array, head: heads.NormalHead) -> jax.Array:
    """The second half of the outputs taken for the log scale, whatever it was said to be."""
    return raw


def no_softplus(raw: jax.Array, head: heads.NormalHead) -> jax.Array:
    return jnp.log(jnp.abs(raw)) if head.scale == "softplus" else (0.5 if head.scale == "log-variance" else 1.0) * raw


def swapped(q: Any, p: Any) -> jax.Array:
    as_normal = distributions.DiagonalNormal(p.mean(), p.log_scale_array())
    return divergence._normal_normal(as_normal, q)


def masked_by_a_factor(distribution: Any, event: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    terms = distribution.log_prob_terms(event)
    return jnp.sum(terms if mask is None else terms * mask)


def without_constant(self: Any, event: jax.Array) -> jax.Array:
    return -0.5 * ((event - self.loc) * jnp.exp(-self.log_scale)) ** 2 - self.log_scale


def twice_squashed(self: Any, event: jax.Array) -> jax.Array:
    p = jax.nn.sigmoid(jax.nn.sigmoid(self.logits))
    return jnp.sum(event * jnp.log(p) + (1 - event) * jnp.log1p(-p))


def gathered(self: Any, event: jax.Array) -> jax.Array:
    return jnp.take_along_axis(self.logits, event[..., None], axis=-1)[..., 0]


def count_every_row(values: jax.Array, batch: Any) -> tuple:
    return jnp.sum(values), jnp.asarray(float(values.shape[0]))


def divide_by_rows(values: jax.Array, batch: Any) -> tuple:
    return jnp.sum(batch.weights * values), jnp.asarray(float(values.shape[0]))


def blind_to_masks(self: Any, inputs: jax.Array, *, cond: Any = None, mask: Any = None, key: Any = None) -> Any:
    return self.head(self.network(inputs.reshape(-1)))


def free_bits_of_the_sum(self: Any, units: jax.Array, batch: Any) -> jax.Array:
    return jnp.maximum(jnp.mean(jnp.sum(units, axis=1)), self.free_bits * units.shape[1])


def free_bits_of_rows(self: Any, units: jax.Array, batch: Any) -> jax.Array:
    return jnp.mean(jnp.sum(jnp.maximum(units, self.free_bits), axis=1))


def draw_without_terms(self: Any, *, key: jax.Array) -> tuple:
    event = self.sample(key=key)
    return event, jnp.sum(-0.5 * (event - self.loc) ** 2 - self.log_scale_array() - 0.5 * np.log(2 * np.pi))


@dataclass(frozen=True)
class Fault:
    """What is wrong, where, and the check that must notice."""

    owner: Any
    name: Any
    wrong: Any
    check: Callable[[], None]


normal, bernoulli = distributions.DiagonalNormal, distributions.Bernoulli
ignored_stop = Lookalike(jax, lax=Lookalike(jax.lax, stop_gradient=lambda x: x))
kl_forms = divergence._CLOSED_FORMS
standard = (normal, distributions.StandardNormal)

FAULTS: dict[str, Fault] = {
    "no log 2 pi in the Normal": Fault(normal, "log_prob_terms", without_constant, checks.check_normal_density),
    "the density of a draw forgets the scale": Fault(
        normal, "sample_and_log_prob", draw_without_terms, checks.check_normal_sample_and_density
    ),
    "draws use the variance for the scale": Fault(
        normal,
        "from_noise",
        lambda self, noise: self.loc + jnp.exp(2 * self.log_scale) * noise,
        checks.check_normal_samples,
    ),
    "the mean over pixels for their sum": Fault(
        bernoulli, "log_prob", lambda self, x: jnp.mean(self.log_prob_terms(x)), checks.check_784_pixels
    ),
    "logits squashed twice": Fault(bernoulli, "log_prob", twice_squashed, checks.check_bernoulli_density),
    "no normaliser in the continuous Bernoulli": Fault(
        distributions.ContinuousBernoulli,
        "log_prob_terms",
        lambda self, x: x * self.logits - jax.nn.softplus(self.logits),
        checks.check_continuous_bernoulli,
    ),
    "logits taken for log probabilities": Fault(
        distributions.Categorical, "log_prob_terms", gathered, checks.check_categorical_density
    ),
    "no log scale in the data's own units": Fault(
        distributions.Affine,
        "log_prob_terms",
        lambda self, x: self.base.log_prob_terms((x - self.shift) / self.scale),
        checks.check_affine_density,
    ),
    "KL the wrong way round": Fault(kl_forms, standard, swapped, checks.check_kl_of_normals),
    "KL of discrete variables in bits": Fault(
        kl_forms,
        (bernoulli, bernoulli),
        lambda q, p: divergence._bernoulli(q, p) / np.log(2),
        checks.check_kl_of_discrete,
    ),
    "log variance used as log scale": Fault(
        heads.NormalHead, "__call__", head_with(raw_scale), checks.check_scale_forms
    ),
    "softplus forgotten": Fault(heads.NormalHead, "__call__", head_with(no_softplus), checks.check_scale_forms),
    "the output bias is the mean, not its logit": Fault(
        heads.BernoulliHead, "output_bias", heads.AbstractHead.output_bias, checks.check_output_bias
    ),
    "He's law by the number of outputs": Fault(
        dense.INITIALIZERS,
        "he-normal",
        jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        checks.check_first_weights,
    ),
    "ELU without its exponential": Fault(dense.ACTIVATIONS, "elu", jax.nn.relu, checks.check_activations),
    "dropout without rescaling": Fault(
        dense,
        "_dropout",
        lambda x, p, key: jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x, 0.0),
        checks.check_dropout,
    ),
    "the drop probability taken for the keep probability": Fault(
        dense,
        "_dropout",
        lambda x, p, key: jnp.where(jax.random.bernoulli(key, p, x.shape), x / p, 0.0),
        checks.check_dropout,
    ),
    "frozen arrays are trained": Fault(trees, "is_frozen", lambda node: False, checks.check_frozen),
    "KL added to the bound": Fault(
        elbo, "kl_terms", lambda q, p: -divergence.kl_terms(q, p), bound_checks.check_conjugate_elbo
    ),
    "log q added to the log weight": Fault(
        draws.Draws,
        "log_weight",
        property(lambda self: self.log_likelihood + self.log_prior + self.log_posterior),
        bound_checks.check_log_weight_at_the_posterior,
    ),
    "one key for all K": Fault(draws, "jax", same_key_for(jnp.int32), bound_checks.check_samples_differ),
    "one key for all rows": Fault(draws, "jax", same_key_for(jnp.uint32), bound_checks.check_rows_differ),
    "the sum over K for the mean": Fault(elbo, "jnp", Lookalike(jnp, mean=jnp.sum), bound_checks.check_num_samples),
    "padded rows counted": Fault(elbo, "weighted", count_every_row, bound_checks.check_padding),
    "NaN of padding reaches the gradient": Fault(
        base, "without_padding", lambda batch: batch, bound_checks.check_padding
    ),
    "the mean over rows, not over their weights": Fault(
        elbo, "weighted", divide_by_rows, bound_checks.check_weight_two
    ),
    "the mask as a factor lets NaN through": Fault(
        flat, "log_prob", masked_by_a_factor, bound_checks.check_masked_pixel
    ),
    "the encoder sees behind the mask": Fault(
        conditional.Conditional, "__call__", blind_to_masks, bound_checks.check_masked_pixel
    ),
    "the bound reported with beta": Fault(
        objectives.ELBO,
        "__call__",
        reports("elbo", lambda self, m, k: shifted(k["elbo"], (self.beta - 1) * k["kl"][0] / k["kl"][1])),
        bound_checks.check_reported_bound,
    ),
    "L2 inside the reported bound": Fault(
        objectives.ELBO,
        "__call__",
        reports("elbo", lambda self, m, k: shifted(k["elbo"], self.l2 * base.sum_of_squares(m))),
        bound_checks.check_reported_bound,
    ),
    "free bits of the sum over units": Fault(
        objectives.ELBO, "_free_bits", free_bits_of_the_sum, bound_checks.check_free_bits
    ),
    "free bits of every row": Fault(objectives.ELBO, "_free_bits", free_bits_of_rows, bound_checks.check_free_bits),
    "log q keeps its gradient": Fault(draws, "jax", ignored_stop, bound_checks.check_sticking_the_landing),
    "the score function follows the path": Fault(draws, "jax", ignored_stop, bound_checks.check_score_function),
    "the surrogate reported as the bound": Fault(
        base, "value_with_gradient", lambda value, surrogate: surrogate, bound_checks.check_surrogate_is_not_reported
    ),
    "the bound of K draws without - log K": Fault(
        importance, "math", Lookalike(math, log=lambda number: 0.0), bound_checks.check_importance_bound
    ),
}


def test_the_table_covers_every_check() -> None:
    named = {fault.check for fault in FAULTS.values()}
    every = {v for m in (checks, bound_checks) for n, v in vars(m).items() if n.startswith("check_")}
    assert named == every
    assert len(FAULTS) >= 16


@pytest.mark.parametrize("fault", FAULTS.values(), ids=[f"{name} -> {f.check.__name__}" for name, f in FAULTS.items()])
def test_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(fault.owner, dict):
        monkeypatch.setitem(fault.owner, fault.name, fault.wrong)
    else:
        monkeypatch.setattr(fault.owner, fault.name, fault.wrong)
    with pytest.raises(AssertionError):
        fault.check()
