"""scikit-learn's own checks for all three estimators, and what a user of pipelines relies on."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

import latens
from latens import latents
from latens.data import load
from latens.errors import ConfigError, DataError, DivergedError, ModelFileError
from latens.estimators import VAE, Autoencoder, GenerativeClassifier
from latens.estimators.base import are_columns, history_lists
from latens.estimators.frames import as_dataset
from latens.networks import Dense
from latens.recipes.custom_parts import OWN, TABLES
from latens.recipes.likelihoods import kinds_of
from latens.trained.measurement import measured

TINY = {"hidden": (4,), "steps": 2, "batch_size": 16}
"""Few steps of one batch size: the checks call with dozens of shapes, and each compiles."""


ADAM = {"optimizer.name": "adam", "optimizer.schedule": "cosine", "optimizer.options": {}}


BY_BATCHES = "a few steps on shuffled batches: other rows meet, and other noise is drawn, where rows are repeated"
"""Why only the gradient is that of repeated rows (tests/estimators/test_sample_weight.py), not every trained number."""


def _not_exact(estimator: object) -> dict[str, str]:
    by_batches = not isinstance(estimator, GenerativeClassifier)
    return {"check_sample_weight_equivalence_on_dense_data": BY_BATCHES} if by_batches else {}


@pytest.mark.slow
@parametrize_with_checks(
    [
        VAE(2, settings={"num_samples": 5}, random_state=0, **TINY),
        Autoencoder(2, random_state=0, **TINY),
        GenerativeClassifier(random_state=0),
    ],
    expected_failed_checks=_not_exact,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def _blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    centres = np.repeat(np.array([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), 40, axis=0)
    return centres + generator.normal(size=centres.shape), np.repeat(["a", "b", "c"], 40)


def test_linear_vae_gives_the_evidence_of_the_data():
    # A linear decoder with one scale is probabilistic PCA, whose best log p(x) is known in closed form.
    generator = np.random.default_rng(0)
    mixing = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 1.5], [0.5, -1.0]])
    x = generator.normal(size=(2000, 2)) @ mixing.T + 0.5 * generator.normal(size=(2000, 4))
    x = (x - x.mean(0)) / x.std(0)
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    noise = eigenvalues[2:].mean()
    best = -0.5 * (4 * np.log(2 * np.pi) + np.log(eigenvalues[:2]).sum() + 2 * np.log(noise) + 4)
    # Linear networks make a linear softplus scale, which stays tame where exp of it would not.
    settings = {"likelihood.scale": "shared", "posterior.scale": "softplus", **ADAM}
    vae = VAE(2, hidden=(), epochs=200, batch_size=256, learning_rate=0.02, random_state=0,
              settings=settings | {"validation_fraction": None, "num_samples": 200}).fit(x)  # fmt: skip
    assert vae.score(x) == pytest.approx(best, abs=0.01)
    assert vae.history_["epoch"][-1] == 200.0
    # prior_predictive draws have the model's covariance: the data's, for this model.
    drawn = vae.prior_predictive(4000)
    standard_error = np.sqrt(2.0 / 4000)
    np.testing.assert_allclose(drawn.var(axis=0), 1.0, atol=5 * standard_error + 0.05)
    # A mean from the posterior is nearer to the row than a draw, by the noise that a draw adds.
    rows = x[:500]
    near = np.mean((vae.posterior_predictive(rows, mean=True) - rows) ** 2)
    far = np.mean((vae.posterior_predictive(rows) - rows) ** 2)
    # The variance that a draw of z adds to a cell, averaged over cells: sum (lambda - s2) s2 / lambda over 4.
    spread = float(np.sum((eigenvalues[:2] - noise) * noise / eigenvalues[:2]) / 4)
    assert far - near == pytest.approx(noise + spread, rel=0.25)
    np.testing.assert_array_equal(vae.posterior_predictive(rows, mean=True), vae.reconstruct(rows))


def test_score_samples_and_codes_belong_to_the_row():
    x, _ = _blobs()
    vae = VAE(2, random_state=1, settings={"num_samples": 7}, **TINY).fit(x)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(vae.score_samples(x[order]), vae.score_samples(x)[order], rtol=1e-5)
    np.testing.assert_allclose(vae.transform(x[5:8]), vae.transform(x)[5:8], rtol=1e-5, atol=1e-6)
    assert vae.score(x) == pytest.approx(float(vae.score_samples(x).mean()), rel=1e-6)
    assert vae.transform(x).dtype == np.float32
    np.testing.assert_array_equal(vae.inverse_transform(vae.transform(x)), vae.reconstruct(x))
    np.testing.assert_array_equal(vae.sample(3), vae.prior_predictive(3))
    with pytest.raises(
        DataError, match=r"codes have 5 columns; the model has 2 latent units\. Give codes of shape \(n, 2\)"
    ):
        vae.inverse_transform(np.zeros((3, 5)))
    for found in (vae.score_samples, vae.model_.log_marginal):  # what the command refuses
        with pytest.raises(DivergedError, match=r"log p\(x\): 4 of 4 rows hold NaN or infinity"):
            found(x[:4] * np.float32(1e25))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["normal", "bernoulli"])
def test_estimator_and_command_give_the_same_number(likelihood):
    x = ((np.arange(240) ** 2) % 17).reshape(60, 4).astype(np.uint8)
    vae = VAE(2, likelihood=likelihood, settings={"num_samples": 30}, random_state=3, **TINY).fit(x)
    data = as_dataset(x, None, kinds=kinds_of(vae.model_.config.likelihood))
    found = measured(vae.model_, data, np.arange(60), num_samples=30, seed=3).metrics
    # Grey cells under a Bernoulli have no log p(x), and the command says so.
    name = "cross_entropy_bound" if likelihood == "bernoulli" else "log_marginal"
    assert found[name].value == pytest.approx(vae.score(x), rel=1e-5)
    if likelihood != "bernoulli":
        bits = (np.log(vae.model_.schema.levels) - vae.score(x) / 4) / np.log(2)
        assert found["bits_per_dimension"].value == pytest.approx(bits, rel=1e-5)
    assert any("cross-entropies, not log p(x)" in reason for reason in vae.reasons_) == (likelihood == "bernoulli")


def test_bernoulli_outside_the_unit_interval_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"scale the data to \[0, 1\]"):
        VAE(2, likelihood="bernoulli", **TINY).fit(_blobs()[0])


def test_pictures_keep_their_shape_and_units():
    digits = load_digits()
    vae = VAE(2, recipe="fast-forward", random_state=0, **TINY).fit(digits.images.astype(np.uint8))
    assert vae.model_.schema.shape == (8, 8)
    assert vae.n_features_in_ == 64
    assert vae.reconstruct(digits.images[:5].astype(np.uint8)).shape == (5, 8, 8)
    flat = vae.transform(digits.data[:5].astype(np.uint8))
    np.testing.assert_array_equal(flat, vae.transform(list(digits.images[:5].astype(np.uint8))))
    with pytest.raises(ConfigError, match=r"receives a row of shape \(8, 8\).*Flatten it"):
        VAE(2, encoder=eqx.nn.Linear(64, 4, key=jax.random.key(0)), **TINY).fit(list(digits.images))
    # Bernoulli draws of pixels with 17 levels are black or white in the data's units.
    assert set(np.unique(vae.sample(20))) == {0.0, 16.0}


def test_history_stays_a_frame_where_records_differ():
    records = [{"event": "epoch", "epoch": 1.0, "a": 2.0}, {"event": "epoch", "epoch": 2.0, "b": 3.0}]
    columns = history_lists(records)
    assert columns == {"epoch": [1.0, 2.0], "a": [2.0, None], "b": [None, 3.0]}
    assert are_columns(columns)
    assert not are_columns({"epoch": [1.0], "a": []})
    assert not are_columns({"epoch": "1"})


def test_networks_of_your_own(tmp_path: Path, monkeypatch):
    x, _ = _blobs()
    encoder = Dense([3, 5, 4], activation="tanh", key=jax.random.key(0))

    def decoder(schema, key):
        return Dense([2, 5, *schema.shape], activation="tanh", key=key)

    vae = VAE(2, encoder=encoder, decoder=decoder, random_state=0, steps=3, batch_size=16).fit(x)
    path = vae.save(tmp_path / "own.safetensors")
    again = VAE.load(path, encoder=encoder, decoder=decoder)
    np.testing.assert_array_equal(again.score_samples(x), vae.score_samples(x))
    for part in ("encoder", "decoder"):  # as in a process that has not seen them
        for name in [name for name in TABLES[part][1] if (part, name) in OWN]:
            monkeypatch.delitem(TABLES[part][1], name)
    with pytest.raises(ModelFileError, match=r"encoder=.*decoder="):
        VAE.load(path)
    linear = VAE(1, encoder=lambda row: jnp.stack([row.sum(), 0.0 * row[0]]), random_state=0, steps=1, hidden=(4,))
    np.testing.assert_allclose(linear.fit(x).transform(x)[:, 0], _standardised(x).sum(1), rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="Give its last layer 6 outputs"):
        VAE(3, encoder=encoder, steps=1).fit(x)
    with pytest.raises(ConfigError, match="not one network"):
        VAE(2, encoder=encoder, recipe="two-level", steps=1).fit(x)


def _standardised(x: np.ndarray) -> np.ndarray:
    generator_rows = load(x).schema  # the same columns, from four fifths of the rows
    assert generator_rows.columns is not None
    vae = VAE(1, steps=1, hidden=(4,), batch_size=16).fit(x)
    columns = vae.model_.schema.columns
    return (x - [c.shift for c in columns]) / [c.scale for c in columns]


def test_files_bring_back_the_estimator(tmp_path: Path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(_blobs()[0], columns=["height", "width", "depth"])
    vae = VAE(2, random_state=0, settings={"num_samples": 9}, **TINY).fit(frame)
    again = VAE.load(vae.save(tmp_path / "v.safetensors"))
    assert again.get_params() == vae.get_params()
    assert (again.history_, again.reasons_) == (vae.history_, vae.reasons_)
    assert list(again.feature_names_in_) == ["height", "width", "depth"]
    np.testing.assert_array_equal(again.score_samples(frame), vae.score_samples(frame))
    np.testing.assert_array_equal(again.sample(4), vae.sample(4))
    with pytest.raises(ModelFileError, match="GenerativeClassifier"):
        GenerativeClassifier.load(vae.save(tmp_path / "v.safetensors"))
    with pytest.raises(ModelFileError, match="VAE"):
        Autoencoder.load(tmp_path / "v.safetensors")


def test_names_at_the_top_are_lazy():
    code = (
        "import sys, latens; print('jax' in sys.modules, 'sklearn' in sys.modules); from latens import VAE, ELBO, fit"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert latens.VAE is VAE
    assert latens.read is load
    with pytest.raises(AttributeError, match="Vae"):
        latens.Vae  # noqa: B018
    # What static checkers read and what is imported lazily must be the same names from the same places.
    block = next(node for node in ast.parse(Path(latens.__file__).read_text()).body if isinstance(node, ast.If))
    told = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: (module, latens._RENAMED.get(name, name)) for name, module in latens._HOME.items()}
    assert told == homes | {room: ("latens", room) for room in latens._ROOMS}
    for name, (module, there) in told.items():
        assert getattr(latens, name) is getattr(sys.modules[module], there)


def test_mean_and_scale_of_the_posterior():
    """The scales are those with which KL(q || p) in closed form gives the KL that is reported."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    vae = VAE(2, hidden=8, steps=5, random_state=0).fit(x)
    mean, scale = vae.encode(x)
    assert np.array_equal(mean, vae.transform(x))
    codes = latents.encode(vae.model_.rows(x))
    kl = 0.5 * (scale**2 + mean**2 - 1.0) - np.log(scale)
    assert np.allclose(kl, codes["kl"], rtol=1e-4, atol=1e-6)
    assert np.all(Autoencoder(2, hidden=8, steps=2, random_state=0).fit(x).encode(x)[1] == 0.0)
    with pytest.raises(ConfigError, match="not a Normal with independent dimensions"):
        VAE(2, hidden=8, steps=2, posterior="full-normal", random_state=0).fit(x).encode(x)


def test_noise_is_an_input():
    """Of a Normal posterior the code is mean + scale * noise, in the estimator and in the trained model alike."""
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
    vae = VAE(2, hidden=8, steps=2, random_state=0).fit(x)
    mean, scale = vae.encode(x)
    np.testing.assert_allclose(vae.transform(x, noise=noise), mean + scale * noise, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(vae.transform(x, noise=np.zeros((20, 2))), vae.transform(x), rtol=0, atol=0)
    codes = vae.model_.encode(x, noise=noise)
    np.testing.assert_allclose(codes, vae.transform(x, noise=noise), rtol=0, atol=0)
    rows = vae.inverse_transform(vae.transform(x, noise=noise))
    np.testing.assert_allclose(vae.reconstruct(x, noise=noise), rows, rtol=0, atol=0)
    np.testing.assert_allclose(vae.model_.reconstruct(x, noise=noise), rows, rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match=r"noise of shape \(3, 2\) for 20 rows"):
        vae.transform(x, noise=noise[:3])
    with pytest.raises(DataError, match="each row has 3 values of noise, and a DiagonalNormal takes 2"):
        vae.transform(x, noise=np.zeros((20, 3)))


@pytest.mark.parametrize(
    ("options", "values"), [({"posterior": "iaf"}, 3), ({"settings": {"posterior.levels": [2]}}, 5)]
)
def test_noise_of_flows_and_levels(options, values):
    """Zero noise is where the posterior goes without noise, which `transform` gives; other noise moves each code."""
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    vae = VAE(3, hidden=8, steps=2, random_state=0, **options).fit(x)
    means = vae.transform(x)
    np.testing.assert_allclose(vae.transform(x, noise=np.zeros((20, values))), means, rtol=1e-6, atol=1e-6)
    moved = vae.transform(x, noise=np.ones((20, values)))
    assert np.all(np.abs(moved - means).max(axis=1) > 1e-3)


def test_uniform_noise_of_relaxed_codes():
    """Gumbel-softmax: softmax((log p + g) / temperature) with g = -log(-log u); 1.5 is not a u."""
    x = (np.random.default_rng(0).random((20, 4)) < 0.5).astype(np.float32)
    u = np.random.default_rng(1).uniform(size=(20, 2 * 3)).astype(np.float32)
    u[0, 0], u[1, 1] = 0.0, 1.0  # both ends give a code, as rounded uniform numbers may reach them
    options = {"posterior.options": {"choices": 3, "temperature": 0.5}, "posterior.latent_dim": 2}
    vae = VAE(hidden=8, steps=2, recipe="gumbel-softmax", random_state=0, settings=options).fit(x)
    probability = vae.transform(x).reshape(20, 2, 3)
    inside = np.clip(u.astype(np.float64).reshape(20, 2, 3), np.finfo(np.float32).tiny, 1.0 - 2.0**-24)
    scores = (np.log(probability) - np.log(-np.log(inside))) / 0.5
    expected = np.exp(scores - scores.max(-1, keepdims=True))
    codes = vae.transform(x, noise=u).reshape(20, 2, 3)
    np.testing.assert_allclose(codes, expected / expected.sum(-1, keepdims=True), rtol=2e-4, atol=1e-30)
    with pytest.raises(DataError, match=r"noise goes from 0 to 1\.5, and this posterior takes uniform noise"):
        vae.transform(x, noise=np.where(u == 1.0, 1.5, u))
    with pytest.raises(DataError, match="each row has 2 values of noise, and a RelaxedOneHot takes 6"):
        vae.transform(x, noise=u[:, :2])


def test_discrete_codes_are_no_function_of_noise():
    x = (np.random.default_rng(0).random((20, 4)) < 0.5).astype(np.float32)
    vae = VAE(2, hidden=8, steps=2, recipe="sigmoid-belief-network", likelihood="bernoulli", random_state=0).fit(x)
    with pytest.raises(DataError, match="is not a function of noise"):
        vae.transform(x, noise=np.zeros((20, 2)))
    with pytest.raises(ConfigError, match=r"not a function of noise that could be scaled"):
        VAE(2, hidden=8, steps=2, posterior="bernoulli", settings={"objective.noise_scale": 0.5}).fit(x)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"beta": "linear:4"}, {"objective.beta": 4.0}),
        ({"learning_rate": 0.1}, {"optimizer.learning_rate": 0.1}),
        ({"objective": "iwae"}, {"objective": "elbo"}),
    ],
)
def test_an_argument_that_settings_overwrite_is_refused(given: dict[str, Any], settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"argument {next(iter(given))} and settings.*the same option"):
        VAE(16, **given, settings=settings).fit(np.eye(12))


def test_a_named_optimiser_runs_at_a_constant_rate() -> None:
    found = VAE(settings={"optimizer": "adam"}, learning_rate=2e-3)._configure(0).optimizer
    assert (found.name, found.schedule, found.learning_rate) == ("adam", "constant", 2e-3)
    assert (found.warmup_steps, found.options) == (0, {})
    assert VAE(settings={"optimizer": "adam"})._configure(0).optimizer.learning_rate == 1e-3
