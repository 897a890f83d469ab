"""Labels as conditions: what the model sees, log p(x | label), samples of a class, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from checks import close
from msgspec.structs import replace

from latens.config import override
from latens.data import Dataset, Preparation, Schema, prepare_batch
from latens.data.dataset import Batch, require_labels
from latens.errors import ConfigError, DataError
from latens.estimators import VAE
from latens.recipes import get_recipe
from latens.trained.experiment import prepare

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
