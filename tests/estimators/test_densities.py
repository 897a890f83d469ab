"""Classifiers made of any density a class: Bayes' rule, units shared by the classes, seeds, and one file of VAEs."""

import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from latens.errors import ModelFileError, UsageError
from latens.estimators import VAE, GenerativeClassifier
from latens.io.safetensors import pack, unpack
from latens.networks import Dense
from latens.recipes.parts.networks import ENCODERS
from latens.recipes.parts.objects import OWN

SMALL = {"hidden": (8,), "batch_size": 16, "random_state": 0, "num_samples": 20}


class Cauchy:
    """A density that knows nothing of scikit-learn: independent Cauchy columns around their medians."""

    def fit(self, x):
        self.centre = np.median(x, axis=0)

    def score_samples(self, x):
        return -np.log(np.pi * (1.0 + (x - self.centre) ** 2)).sum(axis=1)

    def sample(self, n, random_state=None):
        return self.centre + np.random.default_rng(random_state).standard_cauchy((n, len(self.centre)))


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    centres = np.repeat(np.array([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), 40, axis=0)
    return centres + generator.normal(size=centres.shape), np.repeat(["a", "b", "c"], 40)


@pytest.fixture(scope="module")
def of_vaes(blobs) -> GenerativeClassifier:
    return GenerativeClassifier(VAE(1, steps=300, **SMALL), random_state=0).fit(*blobs)


def test_a_mixture_of_one_is_the_gaussian_by_name(blobs):
    x, y = blobs
    chosen = GenerativeClassifier(GaussianMixture(1, reg_covar=1e-3)).fit(x, y)
    named = GenerativeClassifier(reg_covar=1e-3).fit(x, y)
    np.testing.assert_allclose(chosen.log_joint(x), named.log_joint(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(chosen.predict_proba(x).sum(1), 1.0, rtol=1e-12)
    by_hand = np.stack(
        [
            multivariate_normal(x[y == c].mean(0), np.cov(x[y == c].T, bias=True) + 1e-3 * np.eye(3)).logpdf(x)
            for c in "abc"
        ],
        axis=1,
    ) - np.log(3)
    np.testing.assert_allclose(named.score_samples(x), np.logaddexp.reduce(by_hand, axis=1), rtol=1e-5)


def test_an_object_of_your_own(blobs):
    x, y = blobs
    mine = GenerativeClassifier(Cauchy(), random_state=0).fit(x[:100], y[:100])
    by_hand = np.stack([Cauchy.score_samples(one, x) for one in mine.densities_], axis=1) + np.log([0.4, 0.4, 0.2])
    np.testing.assert_allclose(mine.log_joint(x), by_hand, rtol=1e-12)
    np.testing.assert_allclose(
        mine.predict_proba(x), np.exp(by_hand) / np.exp(by_hand).sum(1, keepdims=True), rtol=1e-10
    )
    assert mine.score(x, y) == (by_hand.argmax(1) == np.repeat([0, 1, 2], 40)).mean() > 0.95


@pytest.mark.parametrize("density", [GaussianMixture(2), KernelDensity(bandwidth=0.5), Cauchy()])
def test_samples_follow_the_seed_and_the_classes(blobs, density):
    fitted = GenerativeClassifier(density, random_state=4).fit(*blobs)
    x, labels = fitted.sample(3000)
    np.testing.assert_array_equal(x, fitted.sample(3000)[0])
    assert np.abs(x - fitted.sample(3000, random_state=5)[0]).max() > 1.0
    # Each class is drawn a third of the time, within 5 standard errors.
    assert (labels == "b").mean() == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 3000))
    assert np.median(x[labels == "b"], axis=0) == pytest.approx([4.0, 0.0, 0.0], abs=0.5)
    assert set(fitted.sample(5, label="c")[1]) == {"c"}
    with pytest.raises(UsageError, match="n_samples: must be a whole number of 1 or more, not 0"):
        fitted.sample(0)


def test_where_no_class_has_any_density_the_prior_decides(blobs):
    x, y = blobs
    narrow = GenerativeClassifier(KernelDensity(kernel="tophat", bandwidth=1.0)).fit(x[:100], y[:100])
    np.testing.assert_allclose(narrow.predict_proba([[1e3, 1e3, 1e3]]), [[0.4, 0.4, 0.2]], rtol=1e-12)
    assert narrow.predict([[1e3, 1e3, 1e3]]).tolist() == ["a"]
    assert narrow.score_samples([[1e3, 1e3, 1e3]]).tolist() == [-np.inf]


def test_what_is_no_density_is_refused(blobs):
    with pytest.raises(UsageError, match="the density has no score_samples"):
        GenerativeClassifier(type("Half", (), {"fit": print, "sample": print})()).fit(*blobs)
    with pytest.raises(UsageError, match="KernelDensity is a class, not an object"):
        GenerativeClassifier(KernelDensity).fit(*blobs)
    short = type("Short", (Cauchy,), {"sample": lambda self, n: np.zeros((n, 2)), "score_samples": lambda self, x: 0.0})
    fitted = GenerativeClassifier(short()).fit(*blobs)
    with pytest.raises(UsageError, match=r"Short: sample\(4\) gives shape \(4, 2\), not \(4, 3\)"):
        fitted.sample(4, label="a")
    with pytest.raises(UsageError, match=r"Short: score_samples gives shape \(\) for 120 rows"):
        fitted.predict(blobs[0])


# --- a VAE a class ---


def test_joint_probabilities_of_all_rows_and_classes_sum_to_one():
    # Class a has only dark cells: by itself it would have 2 levels and another unit than class b with 4.
    x = np.concatenate([np.arange(40).reshape(20, 2) % 2, np.random.default_rng(0).integers(0, 4, (30, 2))])
    y = np.repeat(["a", "b"], [20, 30])
    vae = VAE(1, likelihood="continuous-bernoulli", steps=30, **{**SMALL, "num_samples": 100})
    fitted = GenerativeClassifier(vae, random_state=0).fit(x.astype(np.uint8), y)
    assert [density.model_.schema.levels for density in fitted.densities_] == [4, 4]
    every = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2).astype(np.uint8)
    totals = []
    for seed in range(300):
        for density in fitted.densities_:
            density.seed_ = seed
        totals.append(np.exp(fitted.score_samples(every)).sum() / 4**2)
    error = np.std(totals, ddof=1) / np.sqrt(len(totals))
    # Enough to tell: a unit of 3 in the place of 4 would give 16 / 9.
    assert error < 0.02
    assert np.mean(totals) == pytest.approx(1.0, abs=5 * error)


@pytest.mark.long
def test_a_vae_for_every_digit():
    # Measured: 0.920 and 0.920 (random_state 0 and 1) on 450 rows that were not trained on.
    x, y = load_digits(return_X_y=True)
    vae = VAE(4, likelihood="normal", hidden=(64,), steps=200, batch_size=32, num_samples=20, random_state=0)
    fitted = GenerativeClassifier(vae).fit(x[:900].astype(np.uint8), y[:900])
    assert fitted.score(x[900:1350].astype(np.uint8), y[900:1350]) > 0.9


def test_a_vae_a_class_predicts_samples_and_pickles(blobs, of_vaes):
    x, y = blobs
    assert of_vaes.score(x, y) > 0.9
    by_hand = np.stack([density.score_samples(x) for density in of_vaes.densities_], axis=1) - np.log(3)
    np.testing.assert_allclose(of_vaes.log_joint(x), by_hand, rtol=1e-6)
    # On samples of the model itself Bayes' rule is right as often as it says it is.
    drawn, labels = of_vaes.sample(2000)
    sure = of_vaes.predict_proba(drawn).max(axis=1)
    right = of_vaes.predict(drawn) == labels
    assert right.mean() == pytest.approx(sure.mean(), abs=5 * (right - sure).std() / np.sqrt(2000))
    again = pickle.loads(pickle.dumps(of_vaes))
    np.testing.assert_array_equal(again.predict_proba(x), of_vaes.predict_proba(x))


def test_one_file_brings_back_every_class(blobs, of_vaes, tmp_path: Path):
    x, _ = blobs
    path = of_vaes.save(tmp_path / "classes.safetensors")
    arrays, _ = unpack(path.read_bytes())
    assert {name.split(".")[1] for name in arrays if name.startswith("densities.")} == {"0", "1", "2"}
    again = GenerativeClassifier.load(path)
    np.testing.assert_array_equal(again.predict_proba(x), of_vaes.predict_proba(x))
    np.testing.assert_array_equal(again.sample(20)[0], of_vaes.sample(20)[0])
    np.testing.assert_array_equal(again.classes_, of_vaes.classes_)
    for one, other in zip(again.densities_, of_vaes.densities_):
        assert (one.history_, one.get_params()) == (other.history_, other.get_params())
    plain = of_vaes.get_params() | {"density": None}
    assert again.get_params() | {"density": None} == plain
    assert again.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    with pytest.raises(ModelFileError, match=r"holds a GenerativeClassifier\. Use GenerativeClassifier\.load"):
        VAE.load(path)


def test_networks_of_your_own_are_given_again(blobs, tmp_path: Path, monkeypatch):
    x, y = blobs
    encoder = Dense([3, 5, 2], activation="tanh", key=jax.random.key(0))
    fitted = GenerativeClassifier(VAE(1, encoder=encoder, steps=3, **SMALL), random_state=0).fit(x, y)
    path = fitted.save(tmp_path / "own.safetensors")
    again = GenerativeClassifier.load(path, density=VAE(encoder=encoder))
    np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    for name in [name for name in ENCODERS if ("encoder", name) in OWN]:
        monkeypatch.delitem(ENCODERS, name)  # as in a process that has not seen it
    with pytest.raises(ModelFileError, match=r"density=VAE\(encoder="):
        GenerativeClassifier.load(path)


def test_other_densities_have_no_file(blobs, tmp_path: Path):
    fitted = GenerativeClassifier(KernelDensity()).fit(*blobs)
    with pytest.raises(UsageError, match="a KernelDensity has no file that could carry no code"):
        fitted.save(tmp_path / "never.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(densities=facts["densities"][:2]), "not one for each class"),
        (lambda facts: facts.update(densities={"0": 1}), "not one for each class"),
        (lambda facts: facts["densities"][1].update(facts=3), "not one for each class"),
        (lambda facts: facts["densities"][1]["config"]["network"].update(hidden=[9]), "models of different kinds"),
        (lambda facts: facts["densities"][1].update(config=None), "built by hand"),
        (lambda facts: [d["config"]["network"].update(hidden=[9]) for d in facts["densities"]], "has shape"),
        (lambda facts: [d["config"].update(recipe="mlq-gaussian") for d in facts["densities"]], "does not fit"),
    ],
)
def test_tampered_files_are_refused(of_vaes, tmp_path: Path, change, message):
    arrays, metadata = unpack(of_vaes.save(tmp_path / "classes.safetensors").read_bytes())
    change(metadata["facts"])
    path = tmp_path / "tampered.safetensors"
    path.write_bytes(pack(arrays, metadata))
    with pytest.raises(ModelFileError, match=message):
        GenerativeClassifier.load(path)
