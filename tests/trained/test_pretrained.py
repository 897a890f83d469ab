"""The models that ship with latens: small, loadable, and better than independent pixels."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from asked import at

from latens import evidence, latents, pretrained
from latens.cli.main import main
from latens.data import load
from latens.errors import ModelFileError, UsageError
from latens.model_figures.animate import morph
from latens.runtime.safetensors import tree_to_arrays
from latens.trained.trained_model import TrainedModel

MODELS = {"digits-2d": 2, "digits-16d": 16}
MNIST = {"mnist-2d": 2, "mnist-50d": 50}


def test_names_and_the_nearest_one():
    assert pretrained.names() == sorted(MODELS | MNIST) == ["digits-16d", "digits-2d", "mnist-2d", "mnist-50d"]
    with pytest.raises(UsageError, match="Did you mean 'digits-2d'"):
        pretrained.path("digits-2")


def test_a_model_is_shown_in_a_line():
    trained = TrainedModel.load(pretrained.path("digits-2d"))
    parts = "prior standard-normal, posterior normal, likelihood categorical, model LatentModel"
    assert repr(trained) == f"TrainedModel(levels rows of 8x8, {parts})"
    bare = replace(trained, config=None)
    assert repr(bare) == "TrainedModel(levels rows of 8x8, model LatentModel)"


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_loads_samples_and_beats_independent_pixels(name):
    path = pretrained.path(name)
    assert path.stat().st_size < 1_000_000
    trained, data = TrainedModel.load(path), load("digits")
    assert trained.schema == data.schema
    assert trained.facts["fingerprint"] == data.fingerprint
    assert trained.config.recipe == "default"
    assert latents.sample_prior(trained.model, 3, key=jax.random.key(0)).shape == (3, MODELS[name])

    # Many draws at one z have the mean that the decoder says, and are levels 0 to 16.
    z = np.tile(latents.sample_prior(trained.model, 1, key=jax.random.key(1)), (1000, 1))
    draws = trained.data_units(latents.decode(trained.model, z, key=jax.random.key(2), mean=False), mean=False)
    mean = trained.data_units(latents.decode(trained.model, z[:1], key=jax.random.key(2)), mean=True)[0]
    assert set(np.unique(draws)) <= set(range(17))
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - mean) <= 5 * error + 0.05)

    test = data.subset("test")
    rows = evidence.log_marginal(trained.rows(data, test), num_samples=1000)
    baseline = evidence.independent_baseline(data.x[data.subset("train")], data.x[test], "levels", 17)
    gain = evidence.Estimate.of(rows - baseline, num_samples=1000, protocol="test rows")
    assert gain.value > 5 * gain.standard_error
    noted = trained.facts["test_log_marginal"]
    assert noted["n"] == len(test) == 198
    assert rows.mean() == pytest.approx(noted["value"], abs=1e-3)  # the same draws: only rounding differs


def test_half_precision_comes_back_as_single(tmp_path):
    """Each number is the nearest of half precision, and float32 again; one that has none there is refused."""
    trained = TrainedModel.load(pretrained.path("digits-2d"))
    small = trained.save(tmp_path / "half.safetensors", half=True)
    assert small.stat().st_size < 0.52 * trained.save(tmp_path / "single.safetensors").stat().st_size
    whole, halves = (tree_to_arrays(model.model) for model in (trained, TrainedModel.load(small)))
    for name, array in whole.items():
        assert halves[name].dtype == array.dtype
        np.testing.assert_array_equal(halves[name], array.astype(np.float16).astype(array.dtype))
    large = eqx.tree_at(lambda m: m.decoder.network.layers[0].bias, trained.model, replace_fn=lambda b: b + 1e5)
    with pytest.raises(ModelFileError, match="numbers above 65,504"):
        replace(trained, model=large).save(tmp_path / "large.safetensors", half=True)
    assert not (tmp_path / "large.safetensors").exists()


@pytest.mark.parametrize("name", MNIST)
def test_the_models_of_mnist(name):
    """Ten samples are pictures of 28 x 28 pixels of which a fifth or so is ink, as MNIST's (13 % on average)."""
    trained = TrainedModel.load(pretrained.path(name))
    assert trained.latent_shape == (MNIST[name],)
    assert trained.schema.shape == (28, 28)
    z = latents.sample_prior(trained.model, 200, key=jax.random.key(0))
    assert 0.10 < trained.decode(z).mean() / 255 < 0.16
    assert sum(pretrained.path(each).stat().st_size for each in MNIST) < 6_000_000


@pytest.mark.parametrize("name", MNIST)
def test_a_morph_of_classes_needs_no_rows(name, tmp_path, monkeypatch):
    """The codes of ten digits come with the model; their pictures differ, and a strange class names the nearest."""
    codes = pretrained.class_codes(name)
    assert list(codes) == [str(digit) for digit in range(10)]
    assert pretrained.class_codes("digits-2d") == {}
    trained = TrainedModel.load(pretrained.path(name))
    pictures = trained.decode(np.array(list(codes.values()), np.float32)).reshape(10, -1)
    apart = np.linalg.norm(pictures[:, None] - pictures, axis=-1)[np.triu_indices(10, 1)]
    assert apart.min() > {"mnist-2d": 200.0, "mnist-50d": 1000.0}[name]  # of 255 a pixel; a plane confuses 4 and 9
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENS_DATA", raising=False)
    moving = morph(trained, None, codes=codes, frames=2)
    assert moving.says.startswith("a spherical morph through 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and back")
    assert len(moving.hold) == 20
    words = ["report", f"pretrained:{name}", "--only", "animation", "--name", "morph"]
    assert main([*words, "--between", "3,8", "--frames", "1", "--out", "m.gif"]) == 0
    with pytest.raises(UsageError, match="no class 'nine'"):
        morph(trained, None, between=["3", "nine"], codes=codes)


@pytest.mark.long
@pytest.mark.parametrize("name", MNIST)
def test_the_codes_of_classes_are_those_of_rows(name, shared_data):
    trained, data = TrainedModel.load(pretrained.path(name)), load(str(shared_data / "data" / "mnist"))
    train = data.subset("train")
    for digit, code in pretrained.class_codes(name).items():
        means = trained.encode(data.x[train[data.label[train] == int(digit)]])
        assert np.abs(means - np.array(code)).max(1).min() < 2e-3


@pytest.mark.long
@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("name", MNIST)
def test_the_bound_of_mnist_is_the_one_that_was_noted(name, shared_data):
    """Half precision changes it by less than 0.05 nats."""
    trained, data = TrainedModel.load(pretrained.path(name)), load(str(shared_data / "data" / "mnist"))
    rows = data.subset("test")[:1000]
    options = {"num_samples": 1000, "key": jax.random.key(0), "preparation": trained.preparation}
    found = at(evidence.log_marginal, trained.model, trained.batch(data, rows), **options)
    assert found.mean() == pytest.approx(trained.facts["test_log_marginal"]["value"], abs=0.05)
