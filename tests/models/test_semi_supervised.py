"""Labels as conditions, and labels that are latent where they are missing: M2 against enumeration and quadrature."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import STEP
from checks import agrees, close
from msgspec.structs import replace
from tables import batch_of
from tables_labels import two_kinds
from test_every_model import labelled_coins, labelled_normals

from latens.config import override
from latens.data import Dataset, Preparation, Schema, prepare_batch
from latens.data.dataset import Batch, require_labels
from latens.errors import ConfigError, DataError
from latens.estimators import VAE
from latens.evidence import ModelRows
from latens.fitting import prepare
from latens.latents import decode, encode, label_probabilities, sample_prior
from latens.models import Conditional, SemiSupervised
from latens.objectives import ELBO, SemiSupervisedELBO
from latens.recipes import get_recipe
from latens.trainable import Frozen

NOTHING = Preparation()
X = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])


def log_normal(x: np.ndarray, loc: float) -> np.ndarray:
    return -0.5 * np.log(4 * np.pi) - (x - loc) ** 2 / 4


def test_the_objective_is_the_sum_over_labels(float64):
    """Each L(x, y) is log p(x, y) where q(z | x, y) is exact: loss and metrics are the formula of the paper."""
    model, x = labelled_normals(), np.array([[0.7], [-1.2], [2.0], [0.1]])
    label = np.array([1, -1, 0, -1], np.int32)
    weight = np.array([1.0, 2.0, 0.5, 1.0])
    batch = batch_of(x, label=jnp.asarray(label), weight=jnp.asarray(weight))
    objective = SemiSupervisedELBO(alpha=0.7)
    run = jax.jit(jax.vmap(lambda key: objective(model, batch, key=key, step=STEP)))
    losses, metrics = run(jax.random.split(jax.random.key(1), 10_000))
    # log p(x, y) = log 1/2 + log N(x; +-1, 2), and L(x, y) is equal to it where q(z | x, y) is exact.
    bounds = np.log(0.5) + np.concatenate([log_normal(x, -1.0), log_normal(x, 1.0)], axis=1)
    logits = np.concatenate([0.4 * x + 0.1, -0.4 * x - 0.1], axis=1)
    log_q = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    unlabelled = np.sum(np.exp(log_q) * (bounds - log_q), axis=1)
    known = label >= 0
    own = np.where(known, bounds[np.arange(4), label], unlabelled)
    nll = -log_q[np.arange(4), label]
    expected = -np.sum(weight * own) / weight.sum() + 0.7 * np.sum((weight * nll)[known]) / weight[known].sum()
    agrees(losses, expected)
    agrees(metrics["elbo"][0], np.sum(weight * unlabelled))
    total, count = metrics["label_log_likelihood"]
    close([total[0], count[0]], [-np.sum((weight * nll)[known]), weight[known].sum()])
    hits = log_q.argmax(axis=1) == label
    close([sum_of[0] for sum_of in metrics["accuracy"]], [np.sum((weight * hits)[known]), weight[known].sum()])
    close(metrics["elbo"][1][0], weight.sum())


def test_what_labels_say_and_what_they_do_not():
    """No label at all is every label missing; alpha 0 leaves the classifier alone on rows that have labels."""
    model, key = labelled_coins(), jax.random.key(0)
    model = SemiSupervised(model.conditional, model.classifier, Frozen(model.class_logits))
    value = lambda batch, alpha: SemiSupervisedELBO(alpha, "sampled")(model, batch, key=key, step=STEP)  # noqa: E731
    missing = batch_of(X, label=jnp.full(4, -1, jnp.int32))
    close(value(batch_of(X), 5.0)[0], value(missing, 5.0)[0], rtol=0, atol=0)
    assert float(value(missing, 5.0)[1]["accuracy"][1]) == 0.0
    labelled = batch_of(X, label=jnp.asarray([0, 1, 2, 1], jnp.int32))

    def by_classifier(classifier: Conditional) -> jax.Array:
        changed = SemiSupervised(model.conditional, classifier, model.class_logits)
        return SemiSupervisedELBO(0.0, "sampled")(changed, labelled, key=key, step=STEP)[0]

    gradient = eqx.filter_jit(eqx.filter_grad(by_classifier))(model.classifier)
    assert all(float(jnp.abs(leaf).max()) == 0.0 for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_array)))


def test_a_latent_is_a_label_and_a_code():
    model = labelled_normals()
    probability = np.asarray(jax.nn.softmax(jnp.asarray([0.4 * 0.7 + 0.1, -0.4 * 0.7 - 0.1])))
    batch = batch_of(np.array([[0.7]], np.float32))
    mean = encode(ModelRows(model, batch, preparation=NOTHING))["mean"][0]
    code = probability[0] * (0.7 + 1.0) / 2 + probability[1] * (0.7 - 1.0) / 2
    close(mean, [*probability, code], rtol=1e-5)
    close(decode(model, mean[None])[0], [code - probability[0] + probability[1]], rtol=1e-5)
    close(label_probabilities(ModelRows(model, batch, preparation=NOTHING))[0], probability, rtol=1e-5)
    drawn = sample_prior(model, 4000, key=jax.random.key(0))
    agrees(drawn[:, 0], 0.5)
    agrees(drawn[:, 2] ** 2, 1.0)
    one = sample_prior(model, 50, key=jax.random.key(0), cond={"label": np.tile([0.0, 1.0], (50, 1))})
    assert one[:, 1].tolist() == [1.0] * 50


# --- training ---


def test_what_does_not_go_together_is_refused():
    batch = batch_of(X)
    with pytest.raises(ConfigError, match="predicts no label"):
        SemiSupervisedELBO()(labelled_normals().conditional, batch, key=jax.random.key(0), step=STEP)
    with pytest.raises(ConfigError, match="no gradient by its parameters"):
        eqx.filter_grad(lambda m: ELBO(kl="sampled")(m, batch, key=jax.random.key(0), step=STEP)[0])(labelled_coins())
    with pytest.raises(ConfigError, match="predicts no labels"):
        prepare(override(get_recipe("default").config, {"label": "predict"}), two_kinds())


SMALL = {"network.hidden": "16", "posterior.latent_dim": 1, "training.epochs": 25, "optimizer.learning_rate": 0.01}


def rows(n: int = 550) -> Dataset:
    """Classes a, b, c at -4, 0, 4 with scale 1; a tenth are test rows."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, n).astype(np.int32)
    x = (4.0 * (label[:, None] - 1) + rng.normal(size=(n, 1))).astype(np.float32)
    split = np.where(np.arange(n) % 11 == 10, 2, 0).astype(np.uint8)
    ids = np.arange(n)
    schema = Schema((1,), "real", classes=("a", "b", "c"), scale=3.0)
    return Dataset(x, schema, ids.astype(np.uint32), ids, split, "rows", label)


def test_a_missing_label_is_no_class() -> None:
    batch = Batch(np.zeros((2, 1), np.float32), np.zeros(2, np.uint32), label=np.array([-1, 1], np.int32))
    assert prepare_batch(Preparation(classes=2), batch, key=None).cond["label"].tolist() == [[0, 0], [0, 1]]
    assert prepare_batch(Preparation(), batch, key=None).cond is None
    some = dataclasses.replace(rows(), label=np.where(np.arange(550) == 7, -1, rows().label).astype(np.int32))
    config = override(get_recipe("conditional-vae").config, SMALL)
    with pytest.raises(DataError, match="1 of 550 rows have no label among a, b, c"):
        prepare(config, some)
    with pytest.raises(DataError, match="550 of 550 rows have no label among a, b, c, and"):
        prepare(config, dataclasses.replace(rows(), label=None))
    unnamed = dataclasses.replace(rows(), schema=replace(rows().schema, classes=None))
    with pytest.raises(DataError, match="550 of 550 rows have no label, and"):
        require_labels(dataclasses.replace(unnamed, label=None), np.arange(550), "label")
    with pytest.raises(ConfigError, match="labels are asked for"):
        prepare(config, unnamed)


def test_stages_and_priors_that_there_are_not_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.pretrain_epochs"):
        prepare(override(get_recipe("default").config, {**SMALL, "training.pretrain_epochs": 3}), rows())
    mixed = {**SMALL, "label.prior": "class", "prior": "mixture", "objective.kl": "sampled"}
    with pytest.raises(ConfigError, match="no mixture prior of each class"):
        prepare(override(get_recipe("conditional-vae").config, mixed), rows())


def test_the_estimator_predicts_labels(tmp_path: Path) -> None:
    """Two far classes and ten labels: every row gets its class; latents go back to rows; a file keeps all of it."""
    y = np.repeat(["left", "right"], 50)
    x = np.where(y == "left", -4.0, 4.0)[:, None] + np.random.default_rng(0).normal(size=(100, 2))
    few = np.where(np.arange(100) % 10 == 0, y, "")
    vae = VAE(recipe="m2", hidden=8, latent_dim=1, epochs=60, settings={"objective.alpha": 1.0}, random_state=0)
    assert (vae.fit(x, few).predict(x) == y).mean() >= 0.99
    latents = vae.transform(x)
    assert (latents.shape, vae.latent_dim_) == ((100, 3), 3)
    close(latents[:, :2], vae.predict_proba(x), rtol=1e-4, atol=1e-5)
    close(vae.inverse_transform(latents), vae.reconstruct(x), rtol=1e-5)
    again = VAE.load(vae.save(tmp_path / "m2.safetensors"))
    assert (again.classes_.tolist(), (again.predict(x) == vae.predict(x)).all()) == (["left", "right"], True)
    assert not hasattr(VAE(), "predict")
