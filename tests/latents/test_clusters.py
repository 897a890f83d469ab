"""Clusters: the components of a mixture prior, how they meet given classes, and the recipe that finds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked import at
from checks import agrees, close
from scipy import stats
from tables import batch_of, linear

from latens.config import override
from latens.data import Dataset, Preparation, Schema
from latens.distributions import DiagonalNormal, Mixture
from latens.errors import ConfigError, DataError, UsageError
from latens.fitting import prepare
from latens.latents import cluster_probabilities, matched
from latens.latents.disentanglement import has_clusters, predicts_labels
from latens.models import Conditional, LatentModel, MixturePrior, NormalHead, SharedScaleNormalHead
from latens.recipes import get_recipe
from latens.recipes.labels import as_plain, with_clusters
from latens.trainable import Frozen

CENTRES = np.array([[-6.0, 0.0, 0.0, 0.0], [6.0, 0.0, 0.0, 0.0], [0.0, 6.0, 6.0, 0.0]])


def planted(n: int = 330, seed: int = 0) -> Dataset:
    """Rows around three centres, six standard deviations and more apart; a tenth are test rows."""
    rng = np.random.default_rng(seed)
    label = np.arange(n, dtype=np.int32) % 3
    x = (CENTRES[label] + rng.normal(size=(n, 4))).astype(np.float32)
    split = np.where(np.arange(n) % 11 == 10, 2, 0).astype(np.uint8)
    ids = np.arange(n)
    schema = Schema((4,), "real", classes=("a", "b", "c"))
    return Dataset(x, schema, ids.astype(np.uint32), ids, split, "planted", label)


def mixture_model() -> LatentModel:
    """q(z | x) = N(x, 0.5^2) under a prior of two Normals of unequal weight."""
    encoder = Conditional(linear(np.array([[1.0, 0.0]]), np.array([0.0, np.log(0.5)])), NormalHead((1,)))
    head = SharedScaleNormalHead((1,), Frozen(jnp.zeros(())))
    prior = MixturePrior(jnp.asarray(np.log([0.3, 0.7])), jnp.asarray([[-1.0], [2.0]]), jnp.zeros((2, 1)), 2)
    return LatentModel(prior, encoder, Conditional(linear(np.eye(1), np.zeros(1)), head))


def test_the_probability_of_a_cluster_is_its_mean_over_the_posterior():
    x = np.array([[0.2], [-1.5], [0.6]], np.float32)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    z = x + 0.5 * nodes
    joint = np.stack([np.log(w) + stats.norm.logpdf(z, m) for w, m in ((0.3, -1.0), (0.7, 2.0))], axis=-1)
    share = np.exp(joint - np.logaddexp.reduce(joint, axis=-1, keepdims=True))
    exact = np.einsum("rkc,k->rc", share, weights / weights.sum())
    many = np.repeat(x, 2000, axis=0)
    options = {"preparation": Preparation(), "key": jax.random.key(0)}
    found = at(cluster_probabilities, mixture_model(), batch_of(many), num_samples=1, **options).reshape(3, 2000, 2)
    close(found.sum(axis=-1), 1.0, rtol=1e-5)
    for row in range(3):
        agrees(found[row, :, 0], exact[row, 0])
    assert has_clusters(mixture_model())
    assert not predicts_labels(mixture_model())
    assert not has_clusters(as_plain(mixture_model()))


def test_clusters_are_numbered_from_zero():
    for bad in (np.array([0, -1]), np.array([0])):
        with pytest.raises(UsageError):
            matched(np.array([0, 1]), bad)


def test_the_start_is_the_mixture_of_the_codes():
    """On codes that are the rows themselves, the start has the planted centres, scales and weights."""
    data = planted(600)
    encoder = Conditional(linear(np.concatenate([np.eye(4), np.zeros((4, 4))], axis=1), np.zeros(8)), NormalHead((4,)))
    head = SharedScaleNormalHead((4,), Frozen(jnp.zeros(())))
    model = LatentModel(
        MixturePrior.create((4,), (4,), components=3, key=jax.random.key(0)),
        encoder,
        Conditional(linear(np.eye(4), np.zeros(4)), head),
    )
    started = with_clusters(as_plain(model), data, Preparation(), components=3, seed=1)
    prior = started.prior()
    assert isinstance(prior, Mixture)
    assert isinstance(prior.components, DiagonalNormal)
    rows = data.x[data.subset("train")]
    own = [rows[data.label[data.subset("train")] == c] for c in range(3)]
    order = [int(np.argmin(np.linalg.norm(np.asarray(prior.components.loc) - centre, axis=1))) for centre in CENTRES]
    assert sorted(order) == [0, 1, 2]
    for component, members in zip(order, own):
        close(prior.components.loc[component], members.mean(axis=0), atol=2e-3)
        close(np.exp(prior.components.log_scale[component]), members.std(axis=0), rtol=2e-2)
        close(jnp.exp(prior.logits[component]), len(members) / len(rows), rtol=1e-3)
    with pytest.raises(DataError, match="exceeds the number of training rows"):
        with_clusters(as_plain(model), planted(3), Preparation(), components=4, seed=0)


def test_clusters_need_a_mixture():
    with pytest.raises(ConfigError, match="components of a mixture"):
        prepare(override(get_recipe("vade").config, {"prior": "standard-normal"}), planted())
