"""A model whose numbers overflow is told, and nothing that holds NaN or infinity is written or returned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from paths import GOLDEN as FOLDER

from latens import VAE, GenerativeClassifier
from latens.errors import DivergedError
from latens.evidence import finite
from latens.runtime.safetensors import pack, read

pytest_plugins = ("cli_fixtures",)

GOLDEN = FOLDER / "format-2-table.safetensors"


def scaled(path: Path, part: str, factor: float, source: Path = GOLDEN) -> Path:
    """A model with the weights of a part times a factor: a valid file, and both checksums right."""
    arrays, metadata = read(source)
    # Through several layers, so that 1e20 in each overflows float32; the smaller ones stay far below.
    changed = {
        name: (array * np.float32(factor)).astype(array.dtype) if name.startswith(part) and "network" in name else array
        for name, array in arrays.items()
    }
    path.write_bytes(pack(changed, metadata))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> np.ndarray:
    _, metadata = read(GOLDEN)
    columns = [column["name"] for column in metadata["schema"]["columns"]]
    rows = np.random.default_rng(0).normal(size=(6, len(columns))).astype(np.float32)
    np.savez(tmp_path / "z.npz", z=np.ones((4, 2), np.float32))
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "gaps.csv").write_text("\n".join([*lines, "," * (len(columns) - 1)]) + "\n")
    return rows


def commands(model: Path, folder: Path) -> list[tuple[str, ...]]:
    m, d, z = str(model), str(folder / "d.csv"), str(folder / "z.npz")
    return [
        ("encode", m, d, "--out", "x.npz"),
        ("encode", m, d, "--out", "x.csv"),
        ("reconstruct", m, d, "--out", "x.npz"),
        ("reconstruct", m, d, "--out", "x.npz", "--mean"),
        ("sample", m, "-n", "3", "--out", "x.npz"),
        ("sample", m, "-n", "3", "--out", "x.npz", "--mean"),
        ("decode", m, z, "--out", "x.npz"),
        ("impute", m, str(folder / "gaps.csv"), "--out", "x.csv", "--num-samples", "20"),
    ]


def test_no_command_writes_what_is_not_finite(
    latens: Callable[..., Result], rows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = scaled(tmp_path / "m.safetensors", "", 1e20)
    for words in commands(model, tmp_path):
        result = latens(*words, "--json")
        assert (result.code, result.json["error"]["code"]) == (8, "diverged"), (words, result.err)
        assert "hold NaN or infinity" in result.err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("x.")]
    # Weights that do not overflow are nobody's business, however large.
    for factor in (1.0, 100.0):
        model = scaled(tmp_path / "m.safetensors", "decoder", factor)
        for words in commands(model, tmp_path):
            assert latens(*words).code == 0, (factor, words)


def test_no_method_returns_what_is_not_finite(rows: np.ndarray, tmp_path: Path) -> None:
    vae = VAE.load(scaled(tmp_path / "m.safetensors", "", 1e20))
    gaps = np.where(np.arange(rows.shape[1]) == 0, np.nan, rows)
    for name, call in {
        "transform": lambda: vae.transform(rows),
        "inverse_transform": lambda: vae.inverse_transform(np.ones((3, vae.latent_dim_))),
        "reconstruct": lambda: vae.reconstruct(rows),
        "sample": lambda: vae.sample(3, random_state=0),
        "prior_predictive": lambda: vae.prior_predictive(3, mean=True, random_state=0),
        "posterior_predictive": lambda: vae.posterior_predictive(rows, random_state=0),
        "impute": lambda: vae.impute(gaps, num_samples=20, random_state=0),
        "impute draws": lambda: vae.impute(gaps, n_draws=2, num_samples=20, random_state=0),
    }.items():
        with pytest.raises(DivergedError, match="NaN or infinity"):
            print(name, call())


def test_no_label_is_predicted_from_what_is_not_finite(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b"], 30)
    rows = rng.normal(size=(60, 3)) + (label == "a")[:, None]
    made = VAE(2, hidden=4, recipe="m2", steps=2, random_state=0).fit(rows, label)
    made.save(tmp_path / "m2.safetensors")
    assert set(VAE.load(tmp_path / "m2.safetensors").predict(rows)) <= {"a", "b"}
    vae = VAE.load(scaled(tmp_path / "large.safetensors", "", 1e20, tmp_path / "m2.safetensors"))
    for call in (vae.predict, vae.predict_proba):
        with pytest.raises(DivergedError, match=r"class probabilities: \d+ of 60 rows hold NaN or infinity"):
            call(rows)


def test_no_classifier_returns_what_is_not_finite(tmp_path: Path) -> None:
    """A Gaussian a class, of which the whitened row is infinite, then minus infinite, then the sum of both."""
    arrays, metadata = read(FOLDER / "format-2-classifier.safetensors")
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    name = next(name for name in arrays if name.startswith("mean"))
    far = np.sign(arrays[name]) * np.float32(3e38)
    # By forward substitution (3e38 / 0.1, then minus that, then both): NaN in whatever order a machine adds them.
    factor = np.broadcast_to(np.tril(np.ones((3, 3), np.float32), -1) + 0.1 * np.eye(3, dtype=np.float32), (2, 1, 3, 3))
    wrong = {name: far, next(name for name in arrays if name.startswith("cholesky")): np.ascontiguousarray(factor)}
    (tmp_path / "m.safetensors").write_bytes(pack({**arrays, **wrong}, metadata))
    made = GenerativeClassifier.load(tmp_path / "m.safetensors")
    for call in (made.log_joint, made.predict, made.predict_proba, made.predict_log_proba, made.score_samples):
        with pytest.raises(DivergedError, match=r"log p\(x, c\): 6 of 6 rows hold NaN or infinity"):
            call(rows)
    # Where no class has any density but none is NaN, the class probabilities are p(c).
    made = GenerativeClassifier.load(FOLDER / "format-2-classifier.safetensors")
    np.testing.assert_array_equal(made.log_joint(rows + np.float32(1e30)), -np.inf)
    np.testing.assert_allclose(made.predict_proba(rows + np.float32(1e30)), [np.exp(made.log_prior_)] * 6, rtol=1e-6)


def test_the_message_counts_rows_and_names_the_first() -> None:
    values = np.zeros((5, 2, 3), np.float32)
    assert finite(values, "x") is values
    values[3, 1, 2], values[4, 0, 0] = np.nan, -np.inf
    with pytest.raises(DivergedError, match="x: 2 of 5 rows hold NaN or infinity, row 3 is the first"):
        finite(values, "x")
    with pytest.raises(DivergedError, match="1 of 5"):
        finite(values, "x", minus_infinity=True)
    assert finite(np.array(["nan", "inf"]), "words").dtype.kind == "U"
