"""Every kind of latent on a small model: log p(x) by a sum over its codes or in closed form, against what is drawn.

Where codes are summed, the sum is over all there are or over a grid; priors and likelihoods meet their own oracles in
tests/distributions. All models are in one program a check.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP
from checks import agrees, public
from enumeration import coins as two_coins
from jax.flatten_util import ravel_pytree
from multimodal_fixtures import X as PARTS
from multimodal_fixtures import exact as experts
from multimodal_fixtures import log_p as log_p_of_parts
from scipy import special, stats
from tables import MODELS, MU, SIGMA, W, X, conjugate_pair, dense, linear, linear_gaussian

import latens.models
from latens.data.dataset import Batch
from latens.distributions import Bernoulli, StandardNormal
from latens.evidence import ModelRows
from latens.evidence.importance import importance_sampling
from latens.models import (
    AbstractLatentModel,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    Downwards,
    FromLowest,
    FullNormalHead,
    LatentModel,
    MixturePrior,
    NormalHead,
    SemiSupervised,
    SharedScaleNormalHead,
    Upwards,
    VampPrior,
    flow_head,
)
from latens.objectives import ELBO, draw
from latens.trainable import Frozen, partition_trainable

DRAWS = 4000


@dataclass(frozen=True)
class ModelRow:
    """A factory of a model, rows (n, ...), and two ways to log p(x): codes with weights to sum over, and a formula."""

    make: Callable[[], AbstractLatentModel]
    x: Any
    codes: Callable[[], tuple[Any, np.ndarray]] | None = None
    exact: Callable[[np.ndarray], np.ndarray] | None = None
    cond: Any = None


def bits(n: int) -> Callable[[], tuple[Any, np.ndarray]]:
    return lambda: (np.array(list(itertools.product([0.0, 1.0], repeat=n))), np.ones(2**n))


def line(size: float = 9.0) -> tuple[Any, np.ndarray]:
    side = np.linspace(-size, size, 401)
    return side[:, None], np.full(401, side[1] - side[0])


def square(size: float = 11.0) -> tuple[Any, np.ndarray]:
    side = np.linspace(-size, size, 181)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), np.full(181**2, (side[1] - side[0]) ** 2)


def two_lines() -> tuple[Any, np.ndarray]:
    (z, weights) = square()
    return (z[:, :1], z[:, 1:]), weights


def labels_and(codes: tuple[Any, np.ndarray], classes: int) -> Callable[[], tuple[Any, np.ndarray]]:
    z, weights = codes
    labels = np.repeat(np.eye(classes), len(z), axis=0)
    return lambda: ((labels, np.tile(z, (classes, 1))), np.tile(weights, classes))


def affine(weight: float, log_scale: float) -> Conditional:
    """N(weight * input, exp(log_scale)^2), a single number."""
    return Conditional(linear(np.array([[weight, 0.0]]), np.array([0.0, log_scale])), NormalHead((1,)))


def hierarchy() -> LatentModel:
    """z2 ~ N(0, 1), z1 | z2 ~ N(0.8 z2, 0.6^2), x | z1 ~ N(z1, 0.5^2), with a posterior that is a little off."""
    decoder = Conditional(linear(np.ones((1, 1)), np.zeros(1)), SharedScaleNormalHead((1,), Frozen(jnp.log(0.5))))
    up = Upwards((affine(0.7, np.log(0.5)), affine(0.7, np.log(0.7))))
    return LatentModel(Downwards(StandardNormal((1,)), (affine(0.8, np.log(0.6)),)), up, FromLowest(decoder))


def binary(prior: Any, head: Any = None) -> LatentModel:
    """Three coins of two Normal latents."""
    keys, head = jax.random.split(jax.random.key(4)), head or NormalHead((2,))
    encoder = Conditional(dense([3, 4, head.num_outputs], keys[0]), head)
    return LatentModel(prior, encoder, Conditional(dense([2, 4, 3], keys[1]), BernoulliHead((3,))))


def moved(part: Any, by: float = 0.3) -> Any:
    """A part whose arrays are drawn anew, about where they start."""
    flat, rebuild = ravel_pytree(part)
    return rebuild(flat + by * np.random.default_rng(2).normal(size=flat.shape).astype(flat.dtype))


def flow() -> LatentModel:
    head = flow_head(NormalHead((2,)), "iaf", layers=2, width=6, context_size=3, key=jax.random.key(0))
    return binary(StandardNormal((2,)), moved(head, 0.2))


def four_coins() -> LatentModel:
    rng = np.random.default_rng(7)
    encoder = Conditional(linear(rng.normal(size=(3, 4)), rng.normal(size=4)), BernoulliHead((4,)))
    decoder = Conditional(linear(2 * rng.normal(size=(4, 3)), rng.normal(size=3)), BernoulliHead((3,)))
    return LatentModel(Bernoulli(jnp.asarray(rng.normal(size=4), float)), encoder, decoder)


def labelled_coins() -> SemiSupervised:
    """Three classes, a code of one coin, an event of three coins."""
    rng = np.random.default_rng(3)
    conditional = LatentModel(
        Bernoulli(jnp.asarray([0.3])),
        Conditional(linear(rng.normal(size=(6, 1)), rng.normal(size=1)), BernoulliHead((1,)), reads=("label",)),
        Conditional(linear(2 * rng.normal(size=(4, 3)), rng.normal(size=3)), BernoulliHead((3,)), reads=("label",)),
    )
    classifier = Conditional(linear(rng.normal(size=(3, 3)), rng.normal(size=3)), CategoricalHead((), 3))
    return SemiSupervised(conditional, classifier, jnp.asarray([0.2, -0.4, 0.9]))


def labelled_normals() -> SemiSupervised:
    """Two classes and x = z + 2 y - 1 + noise with z ~ N(0, 1), and the exact posterior of z."""
    weight = np.array([[0.5, 0.0], [0.5, 0.0], [-0.5, 0.0]])
    encoder = Conditional(linear(weight, np.array([0.0, 0.5 * np.log(0.5)])), NormalHead((1,)), reads=("label",))
    scale = SharedScaleNormalHead((1,), Frozen(jnp.zeros(())))
    decoder = Conditional(linear(np.array([[1.0], [-1.0], [1.0]]), np.zeros(1)), scale, reads=("label",))
    classifier = Conditional(linear(np.array([[0.4, -0.4]]), np.array([0.1, -0.1])), CategoricalHead((), 2))
    return SemiSupervised(LatentModel(StandardNormal((1,)), encoder, decoder), classifier, Frozen(jnp.zeros(2)))


THREE = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
NUMBERS = np.array([[1.5], [-0.3], [0.0]])


def of_normals(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(*(stats.norm.logpdf(x[:, 0], loc, np.sqrt(2.0)) for loc in (-1, 1))) - np.log(2)


def conditions() -> ModelRow:
    batch = MODELS["conditions and units"]()[1]
    return ModelRow(lambda: MODELS["conditions and units"]()[0], np.asarray(batch.x), square, None, batch.cond)


def of_experts(rule: str) -> ModelRow:
    x = {name: np.stack([PARTS[name], PARTS[name] + 0.3]) for name in "ab"}
    return ModelRow(lambda: experts("ab", rule), x, square, lambda x: np.array([log_p_of_parts("a", "b"), np.nan]))


EVERY: dict[str, ModelRow] = {
    "conjugate pair": ModelRow(
        lambda: conjugate_pair(0.4, 0.8), NUMBERS, line, lambda x: stats.norm.logpdf(x[:, 0], 0, np.sqrt(2))
    ),
    "linear Gaussian": ModelRow(
        linear_gaussian, np.stack([X, MU]), square, stats.multivariate_normal(MU, W @ W.T + SIGMA**2 * np.eye(3)).logpdf
    ),
    "two levels": ModelRow(hierarchy, NUMBERS, two_lines, lambda x: stats.norm.logpdf(x[:, 0], 0, np.sqrt(1.25))),
    "two coins": ModelRow(two_coins, THREE, bits(2)),
    "four coins": ModelRow(four_coins, THREE, bits(4)),
    "mixture prior": ModelRow(
        lambda: binary(moved(MixturePrior.create((2,), (3,), components=3, key=jax.random.key(1)))), THREE, square
    ),
    "vamp prior": ModelRow(
        lambda: binary(moved(VampPrior.create((2,), (3,), components=3, key=jax.random.key(1)))), THREE, square
    ),
    "full Normal": ModelRow(lambda: binary(StandardNormal((2,)), FullNormalHead(NormalHead((2,)))), THREE, square),
    "flow": ModelRow(flow, THREE, square),
    "labels and coins": ModelRow(labelled_coins, THREE, labels_and(bits(1)(), 3)),
    "labels and Normals": ModelRow(labelled_normals, NUMBERS, labels_and(line(), 2), of_normals),
    "conditions": conditions(),
    "product of experts": of_experts("product"),
    "mixture of experts": of_experts("mixture"),
    "mixture of products": of_experts("mixture-of-products"),
}


def rows_of(row: ModelRow) -> Batch:
    x = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), row.x)
    n = len(jax.tree.leaves(x)[0])
    cond = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), float), row.cond)
    return Batch(x, jnp.arange(10, 10 + n, dtype=jnp.uint32), cond=cond)


@functools.cache
def as_made(name: str) -> AbstractLatentModel:
    with jax.enable_x64(False):  # in double precision other numbers are drawn
        return EVERY[name].make()


def model_of(name: str) -> AbstractLatentModel:
    """The same model in JAX's present precision."""
    real = lambda leaf: jnp.asarray(np.asarray(leaf), float) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
    return jax.tree.map(real, as_made(name))


def of_all(function: Callable[[str, Any, Batch], Any], names: Any = EVERY) -> dict[str, Any]:
    made = {name: (model_of(name), rows_of(EVERY[name])) for name in names}
    arrays, rest = eqx.partition(made, eqx.is_array)
    found = jax.jit(lambda a: {name: function(name, *one) for name, one in eqx.combine(a, rest).items()})(arrays)
    return jax.tree.map(np.asarray, found)


@pytest.fixture(scope="module")
def known() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return summed()


@pytest.fixture
def log_p(known: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return known[0]


def summed() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of every row log p(x), and E_q[w / (w + 1)] of its weights over p, by sums over codes in double precision."""

    def sums(name: str, model: Any, batch: Batch) -> Any:
        codes, weights = EVERY[name].codes()
        codes, weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), codes), jnp.log(jnp.asarray(weights))

        def of(x: Any, cond: Any) -> Any:
            parts = jax.vmap(lambda z: jnp.stack(model.log_joint(z, x, cond=cond)))(codes)
            p, q = model.prior(cond=cond), model.posterior(x, cond=cond)
            joint = parts.sum(axis=1)
            value = _total(joint + weights)
            log_q = jax.vmap(q.log_prob)(codes)
            share = jnp.sum(jnp.exp(log_q + weights) * jax.nn.sigmoid(joint - log_q - value))
            z = jax.tree.map(lambda leaf: leaf[len(leaf) // 2], codes)
            apart = jnp.stack([p.log_prob(z), model.likelihood(z, cond=cond).log_prob(x)])
            prior = _total(jax.vmap(p.log_prob)(codes) + weights)
            return value, prior, _total(log_q + weights), apart, parts[len(parts) // 2], share

        return jax.vmap(of)(batch.x, batch.cond)

    with jax.enable_x64(True):
        found = of_all(sums)
    for name, (_, prior, posterior, apart, joint, _) in found.items():
        np.testing.assert_allclose([prior, posterior], 0.0, atol=2e-4, err_msg=name)
        np.testing.assert_allclose(apart, joint, rtol=1e-9, err_msg=name)
    return {name: parts[0] for name, parts in found.items()}, {name: parts[-1] for name, parts in found.items()}


def test_every_public_model_is_registered() -> None:
    """But those of steps and of deep hierarchies, which test_state_space.py and test_top_down.py sum by matrices."""
    registered = {type(as_made(name)).__name__ for name in EVERY}
    assert public(latens.models, AbstractLatentModel) - registered == {"StateSpaceModel", "TopDownModel"}


def _total(logs: jax.Array) -> jax.Array:
    return jax.scipy.special.logsumexp(logs)


def test_sums_over_codes_are_the_closed_forms_and_those_over_all_rows_are_one() -> None:
    for name, value in summed()[0].items():
        row = EVERY[name]
        if row.exact is not None:
            expected = np.asarray(row.exact(row.x))
            known = np.isfinite(expected)
            np.testing.assert_allclose(value[known], expected[known], rtol=1e-6, err_msg=name)
        if row.x is THREE:
            np.testing.assert_allclose(special.logsumexp(value), 0.0, atol=1e-6, err_msg=name)


def test_weights_of_draws_have_the_means_of_the_sums(known: tuple[dict, dict]) -> None:
    """Those of q: their bounded mean, which a few large ones do not sway."""

    def weights(name: str, model: Any, batch: Batch) -> Any:
        return draw(model, batch, num_samples=DRAWS, key=jax.random.key(2)).log_weight

    for name, found in of_all(weights).items():
        log_p, share = (part[name] for part in known)
        try:
            assert np.all(found.mean(axis=0) < log_p + 1e-3)
            agrees(special.expit(found - log_p), share, other_error=1e-4)
        except AssertionError as error:
            error.add_note(name)
            raise


def test_rows_that_a_model_draws_have_their_probabilities(log_p: dict[str, np.ndarray]) -> None:
    keys = jax.random.split(jax.random.key(5), DRAWS)

    def drawn(name: str, model: Any, batch: Batch) -> Any:
        def one(key: Any) -> Any:
            first, second = jax.random.split(key)
            return model.likelihood(model.prior().sample(key=first)).sample(key=second)

        return jax.vmap(one)(keys)

    for name, x in of_all(drawn, [name for name, row in EVERY.items() if row.x is THREE]).items():
        counts = np.bincount(x.astype(int) @ [4, 2, 1], minlength=8)
        expected = np.exp(log_p[name]) * DRAWS
        assert np.sum((counts - expected) ** 2 / np.maximum(expected, 3)) < stats.chi2.isf(1e-5, 7), name


def test_slopes_are_finite_differences(float64: None) -> None:
    def both(name: str, model: Any, batch: Batch) -> Any:
        trainable, rest = partition_trainable(model)
        theta, rebuild = ravel_pytree(trainable)
        side = jnp.asarray(np.random.default_rng(0).normal(size=theta.size))

        def bound(t: Any) -> Any:
            return ELBO(kl="sampled")(eqx.combine(rebuild(t), rest), batch, key=jax.random.key(3), step=STEP)[0]

        points = jnp.stack([theta, theta + 1e-5 * side, theta - 1e-5 * side])
        values, slopes = jax.lax.map(jax.value_and_grad(bound), points)
        return slopes[0] @ side, (values[1] - values[2]) / 2e-5

    smooth = [name for name in EVERY if not name.endswith("coins") and not name.startswith(("labels", "mixture of"))]
    for name, (found, expected) in of_all(both, smooth).items():
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_evidence_that_is_reported_has_the_error_that_it_says(log_p: dict[str, np.ndarray]) -> None:
    """Importance sampling of many draws: every row within five of its own errors."""
    for name in ("two coins", "four coins", "linear Gaussian", "labels and coins", "mixture prior"):
        asked = ModelRows(as_made(name), rows_of(EVERY[name]), key=jax.random.key(1))
        found = importance_sampling(asked, num_samples=2000)
        assert np.all(np.abs(found.rows - log_p[name]) <= 5 * found.row_errors + 1e-4), name
