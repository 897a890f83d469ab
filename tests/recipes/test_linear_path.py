"""Models begun at principal components: the model before its first step is the closed form of its data."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from checks import close
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_wine

from latens import fitting
from latens.cli.main import main
from latens.config import override
from latens.data import load
from latens.data.dataset import Batch
from latens.data.infer import with_classes
from latens.data.preparation import prepare_batch
from latens.errors import ConfigError
from latens.evidence import ModelRows, log_marginal
from latens.evidence.factors import fit_factors, principal
from latens.models import LatentModel
from latens.networks import Dense, LinearPath
from latens.recipes import RECIPES
from latens.recipes.parts import bind
from latens.recipes.plan import starting
from latens.recipes.principal_components import located_rows
from latens.runtime.safetensors import read
from latens.trained.trained_model import TrainedModel

WINE: Any = load_wine()
DIGITS: Any = load_digits()


def begun(data, **settings: Any) -> tuple[LatentModel, Any, Any]:
    """A model of these data before its first step, its preparation and its configuration."""
    recipe = RECIPES["default"]
    config, _ = recipe.resolve(override(recipe.config, {"network.hidden": (8,)} | settings), data)
    model = recipe.build(data.schema, config, key=jax.random.key(1))
    prepare = recipe.preparation(data.schema, config)
    return starting(data.schema, bind(config))(model, data), prepare, config


def elbo_of(model: LatentModel, batch: Batch, key) -> np.ndarray:
    """log p(x | z) + log p(z) - log q(z | x) of one draw a row."""

    def one(x, key):
        q = model.posterior(x)
        z = q.sample(key=key)
        return sum(model.log_joint(z, x)) - q.log_prob(z)

    return np.asarray(jax.vmap(one)(batch.x, jax.random.split(key, len(batch.x))), np.float64)


@pytest.mark.parametrize("settings", [{}, {"posterior.scale": "log-scale"}, {"likelihood.scale": "shared"},
                                      {"likelihood.scale": "network"}, {"network.hidden": ()},
                                      {"likelihood.scale": "fixed", "likelihood.fixed_scale": 0.5}])  # fmt: skip
def test_the_first_model_is_the_closed_form(settings):
    """Of a linear Gaussian with the exact posterior every draw has log p(x): equal to the density of the covariance."""
    data = load(WINE.data.astype(np.float32) * 7.0 + 100.0)
    model, prepare, _ = begun(data, **{"network.linear": True, "posterior.latent_dim": 4} | settings)
    batch = prepare_batch(prepare, data.rows(np.arange(20)), key=None)
    rows = located_rows(data, prepare, model.decoder.head)
    kind = settings.get("likelihood.scale")
    made = fit_factors(rows, 4, common=kind == "shared", scale=0.5 if kind == "fixed" else None)
    wide = np.asarray(model.decoder.head.scale.value, np.float64)
    inside = (np.asarray(batch.x, np.float64) - np.asarray(model.decoder.head.shift.value)) / wide
    covariance = made.weight @ made.weight.T + np.diag(made.variance)
    exact = multivariate_normal(made.mean, covariance).logpdf(inside) - np.sum(np.log(wide))
    close(made.log_prob(inside), exact + np.sum(np.log(wide)), rtol=1e-9)
    for seed in (0, 1):
        close(elbo_of(model, batch, jax.random.key(seed)), exact, rtol=0, atol=1e-4)


def test_classes_begin_at_their_means():
    """Given a label, the first model is a Gaussian around that class, with its exact posterior."""
    data = load(WINE.data.astype(np.float32))
    told = replace(data, label=WINE.target.astype(np.int32), schema=with_classes(data.schema, ("a", "b", "c")))
    model, prepare, _ = begun(told, **{"network.linear": True, "posterior.latent_dim": 4, "label.kind": "condition"})
    batch, rows = told.rows(np.arange(len(data))), located_rows(told, prepare, model.decoder.head)
    found = [
        log_marginal(ModelRows(model, batch, key=jax.random.key(k), preparation=prepare), num_samples=1) for k in (0, 1)
    ]
    close(*found, rtol=0, atol=1e-4)
    label = WINE.target[told.subset("train")]
    means = np.stack([rows[label == k].mean(axis=0) for k in range(3)])
    decoded = np.asarray(model.decoder.network.weight.value)[4:] + rows.mean(axis=0)
    assert np.abs(decoded - means).max() < 0.1 * np.abs(means).max()  # chance is taken off


def pictures(count: int = 120) -> np.ndarray:
    """Colour pictures of 16 x 16 of four smooth factors, with noise of one for all channels and little of each."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(16)[:, None] * np.arange(1, 5) / 5.0)
    bases = np.einsum("if,jf,fc->ijcf", wave, wave[::-1], rng.uniform(0.5, 1.0, (4, 3)))
    rows = 128.0 + np.einsum("ijcf,nf->nijc", bases, 40.0 * rng.standard_normal((count, 4)))
    rows += 4.0 * rng.standard_normal((count, 16, 16, 1)) + rng.standard_normal(rows.shape)
    return np.clip(np.round(rows), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("family", ["auto", "logistic-mixture"])
def test_colour_pictures_begin_at_their_components(family):
    """As many latents as components gain; first pictures as near as PCA's; with start=none all is as it was."""
    data = load(pictures())
    settings = {"network.kind": "auto", "network.hidden": None, "posterior.latent_dim": None}
    model, prepare, config = begun(data, **(settings := settings | {"likelihood.family": family}))
    assert isinstance(model.decoder.network, LinearPath)
    assert (config.network.linear, config.likelihood.family) == (True, "normal" if family == "auto" else family)
    parts = (data.subset("train"), data.subset("test"))
    train, rows = (prepare_batch(prepare, data.rows(part), key=jax.random.key(0)).x for part in parts)
    assert config.posterior.latent_dim == 32  # four gain, and no fewer are taken than without
    made = principal(np.asarray(train, np.float32).reshape(len(train), -1), 4)
    away = np.asarray(rows, np.float64).reshape(len(rows), -1) - made.mean
    of_pca = np.sqrt(np.mean((away - away @ made.directions @ made.directions.T) ** 2))
    first = jax.jit(jax.vmap(lambda x: model.likelihood(model.posterior(x).mean()).moments()[0]))(rows)
    assert np.sqrt(np.mean((np.asarray(first) - rows) ** 2)) < 1.1 * of_pca
    former, _, config = begun(data, **settings | {"start.kind": "none"})
    assert (config.network.linear, config.posterior.latent_dim) == (None, 32)
    assert not isinstance(former.decoder.network, LinearPath)


def test_what_the_number_of_latents_is_of():
    """Components that gain on rows held out: many of many factors, 128 at most, none of noise of single columns."""
    rng = np.random.default_rng(1)
    bases, noise = rng.standard_normal((50, 768)), rng.standard_normal((300, 768))
    rows = 128.0 + 10.0 * rng.standard_normal((300, 50)) @ bases / 7.0 + 3.0 * noise
    axes = np.linalg.qr(noise.T)[0].T[:150]
    found, many = [], 128.0 + rng.standard_normal((300, 150)) * np.geomspace(300.0, 10.0, 150) @ axes
    for x in (rows, 128.0 + 10.0 * noise, many):
        data = load(np.clip(np.round(x), 0, 255).astype(np.uint8).reshape(-1, 16, 16, 3))
        config, said = RECIPES["default"].resolve(RECIPES["default"].config, data)
        found.append((config.network.linear, config.posterior.latent_dim, " ".join(said)))
    (linear, latents, said), (none, usual, _), most = found
    assert most[:2] == (True, 128)
    assert "128 latent units, at most as many components as gain on rows held out" in most[2]
    assert linear
    assert 45 <= latents <= 55
    assert f"{latents} latent units, as many components as gain" in said
    assert (none, usual) == (None, 32)


@pytest.mark.parametrize(("settings", "told"), [
    ({"posterior.kind": "full-normal"}, "a full-normal posterior is not a Normal without correlations"),
    ({"network.decoder_output_activation": "tanh"}, "the last activation of a network squashes what it adds to"),
    ({"network.encoder_output_activation": "tanh"}, "the last activation of a network squashes what it adds to"),
])  # fmt: skip
def test_where_there_is_no_linear_path_is_said(settings, told):
    with pytest.raises(ConfigError, match=told):
        fitting.prepare(override(RECIPES["default"].config, {"network.linear": True} | settings), load(WINE.data))


def test_levels_without_means_have_no_linear_path():
    given = {"network.linear": True, "network.hidden": (8,)}
    with pytest.raises(ConfigError, match="a categorical likelihood has no means of numbers"):
        fitting.prepare(override(RECIPES["default"].config, given), load(DIGITS.images.astype(np.uint8)))


def test_columns_begin_at_their_components_from_400_rows_on():
    """Where the number of latents is open, also with gaps; an own number of them or fewer rows leave what was."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((600, 6)) @ rng.standard_normal((6, 12)) + 0.3 * rng.standard_normal((600, 12))
    gaps = np.where(rng.random(x.shape) < 0.01, np.nan, x)
    found = []
    for rows, settings in (
        (x, {}),
        (x, {"posterior.latent_dim": 2}),
        (x, {"start.kind": "none"}),
        (x[:400], {}),
        (gaps, {}),
    ):
        data = load(rows, missing="nan" if np.isnan(rows).any() else None)
        config, _ = RECIPES["default"].resolve(override(RECIPES["default"].config, settings), data)
        found.append((config.network.linear, config.posterior.latent_dim))
    linear, latents = found[0]
    assert linear
    assert latents in range(6, 12)  # six factors, and noise that differs between standardised columns
    assert found[1:] == [(None, 2), (None, 3), (None, 3), (True, 6)]


def test_a_run_resumes_bit_for_bit_and_loads(tmp_path):
    """Four steps and a resume to eight are eight steps: the map is in the checkpoint and in the file."""
    words = ("fit", "wine", "--set", "network.linear=true", "--set", "network.hidden=4", "--num-samples", "2")
    words = (*words, "--set", "posterior.latent_dim=3", "--set", "training.chunk_steps=2", "--quiet", "--out")
    words = (words[0], words[1], "--set", "training.keep=last", *words[2:])  # not the Gaussian that it began with
    assert main([*words, str(tmp_path / "whole"), "--steps", "8"]) == 0
    assert main([*words, str(tmp_path / "parts"), "--steps", "4"]) == 0
    assert main(["resume", str(tmp_path / "parts"), "--steps", "8", "--num-samples", "2", "--quiet"]) == 0
    whole, parts = (read(tmp_path / name / "model.safetensors")[0] for name in ("whole", "parts"))
    assert {name: array.tobytes() for name, array in whole.items()} == {n: a.tobytes() for n, a in parts.items()}
    assert np.ptp(whole["decoder.network.weight.value"]) > 0.1
    data, trained = load("wine"), TrainedModel.load(tmp_path / "whole" / "model.safetensors")
    model: Any = trained.model
    assert isinstance(model.decoder.network, LinearPath)
    first, *_ = begun(data, **{"network.linear": True, "network.hidden": (4,), "posterior.latent_dim": 3})
    close(model.decoder.network.weight.value, first.decoder.network.weight.value)  # the map is not trained


def test_what_networks_add_has_a_unit():
    """Outputs and biases are one function."""
    first, second = jax.random.split(jax.random.key(0))
    unit, weight = np.array([0.5, 2.0, 1.0, 3.0]), jax.random.normal(second, (3, 2))
    path = LinearPath(Dense([3, 5, 4], key=first), weight, unit=unit)
    x, bias = jax.numpy.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0, 4.0])
    close(path(x), unit * np.asarray(path.network(x)) + np.r_[x @ np.asarray(weight), 0.0, 0.0], rtol=1e-5)
    begun_at = path.at(2.0 * weight, bias, unit=2.0 * unit)
    close(begun_at(x), bias + np.r_[2.0 * x @ np.asarray(weight), 0.0, 0.0], rtol=1e-5)
    close(begun_at.unit.value, 2.0 * unit)
    assert LinearPath(path.network, weight).at(weight, bias, unit=unit).unit is None  # as in files of before
