"""One imputation behind every face: the same rows and seed give the same numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens import VAE, VAEImputer
from latens.cli.main import main
from latens.predictive.missing_cells import DRAWS
from latens.trained.cell_scores import imputed
from latens.trained.inputs import seed_key
from latens.trained.trained_model import TrainedModel

SMALL = {"training.steps": 2, "network.hidden": [4], "posterior.latent_dim": 2}
RNG = np.random.default_rng(0)


def numbers(n: int = 40) -> np.ndarray:
    x = RNG.normal(size=(n, 4)).round(2).astype(np.float32)
    x[::2, 1], x[::3, 2] = np.nan, np.nan
    x[5] = x[3]  # equal rows
    return x


def mixed(n: int = 80) -> pd.DataFrame:
    kind = RNG.choice(["a", "b"], n)
    size = np.where(kind == "a", RNG.normal(10, 2, n), RNG.normal(20, 2, n)).round(1)
    frame = pd.DataFrame({"kind": kind.astype(object), "size": size})
    frame.loc[::5, "size"], frame.loc[1::5, "kind"] = np.nan, None
    return frame


def test_faces_agree_on_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = numbers()
    vae = VAE(settings=SMALL, random_state=0).fit(x)
    trained = vae.model_
    data = latens.read(x, missing="nan", schema=trained.schema)
    mean, draws = trained.impute(data), trained.impute(data, num_draws=3)
    assert draws.shape == (3, *x.shape)
    np.testing.assert_array_equal(vae.impute(x), mean)
    np.testing.assert_array_equal(vae.impute(x, n_draws=3), draws)
    np.save(tmp_path / "x.npy", x)
    words = ["impute", str(trained.save(tmp_path / "m.safetensors")), str(tmp_path / "x.npy")]
    assert main([*words, "--draws", "3", "--out", str(tmp_path / "full.npz")]) == 0
    with np.load(tmp_path / "full.npz") as found:
        np.testing.assert_array_equal(found["x"].astype(np.float32), mean)
        np.testing.assert_array_equal(np.moveaxis(found["draws"], 1, 0).astype(np.float32), draws)
    capsys.readouterr()


def test_faces_agree_on_a_mixed_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = mixed()
    imputer = VAEImputer(settings=SMALL, random_state=0).fit(frame)
    trained = imputer.model_
    vae = VAE.load(trained.save(tmp_path / "m.safetensors")).set_params(random_state=0)
    full = imputer.transform(frame)
    assert full.notna().all(axis=None)
    pd.testing.assert_frame_equal(vae.impute(frame), full)
    for one, other in zip(vae.impute(frame, n_draws=2), imputer.draws(frame, 2)):
        pd.testing.assert_frame_equal(one, other)
    data = latens.read(frame, schema=trained.schema)
    found = imputed(trained, trained.batch(data), key=seed_key(0))
    np.testing.assert_array_equal(trained.impute(data), found.x.astype(np.float32))
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ["impute", str(tmp_path / "m.safetensors"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "full.csv")]
    assert main([*words, "--draws", "1"]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "full.csv"), full.astype({"kind": "str"}), check_dtype=False)
    drawn = imputer.draws(frame, 1)[0].astype({"kind": "str"})
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "full-001.csv"), drawn, check_dtype=False)
    capsys.readouterr()


def test_a_row_is_filled_alike_wherever_it_stands_and_equal_rows_have_noise_of_their_own() -> None:
    x = numbers()
    trained = VAE(settings=SMALL, random_state=0).fit(x).model_
    order = np.concatenate([np.arange(6, 40), [1, 3, 5]])
    order = order[~(order == 2)]
    whole, some = (
        trained.impute(latens.read(rows, missing="nan", schema=trained.schema), num_draws=1)[0]
        for rows in (x, x[order])
    )
    np.testing.assert_allclose(some, whole[order], rtol=1e-5, atol=1e-6)
    gone = np.isnan(x[3])
    assert gone.any()
    assert np.all(whole[3, gone] != whole[5, gone])


def test_a_table_without_a_gap_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = mixed().dropna().reset_index(drop=True)
    imputer = VAEImputer(settings=SMALL, random_state=0).fit(frame)
    pd.testing.assert_frame_equal(imputer.transform(frame), frame)
    for one in imputer.draws(frame, 3):
        pd.testing.assert_frame_equal(one, frame)
    low, _ = imputer.intervals(frame)
    assert low.isna().all(axis=None)
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = str(imputer.model_.save(tmp_path / "m.safetensors"))
    assert main(["impute", model, str(tmp_path / "t.csv"), "--out", str(tmp_path / "f.csv"), "--draws", "3"]) == 0
    assert "no cell is missing" in capsys.readouterr().err
    for name in ("f.csv", "f-001.csv", "f-003.csv"):
        assert (tmp_path / name).read_text() == (tmp_path / "t.csv").read_text()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("pictures")
    x = RNG.integers(0, 17, (30, 8, 8)).astype(np.uint8)
    trained = VAE(settings=SMALL, random_state=0).fit(x).model_
    trained.save(folder / "m.safetensors")
    np.save(folder / "few.npy", x[:5])
    return trained, folder, x[:5]


def test_missing_parts_of_pictures(pictures, monkeypatch, capsys):
    trained, folder, x = pictures
    monkeypatch.chdir(folder)
    gaps = x.astype(np.float32)
    gaps[:, 2:, 2:6] = np.nan
    np.save("gaps.npy", gaps)
    assert main(["impute", "m.safetensors", "gaps.npy", "--draws", "2", "--out", "f.npz"]) == 0
    data = latens.read(x, schema=trained.schema)
    seen = np.isfinite(gaps).reshape(data.x.shape)
    expected = imputed(trained, replace(trained.batch(data), mask=seen), key=seed_key(0), num_draws=2)
    with np.load("f.npz") as found:
        np.testing.assert_array_equal(found["mask"], seen)
        np.testing.assert_array_equal(found["x"], expected.x)
        np.testing.assert_array_equal(found["draws"], expected.draws)
        np.testing.assert_array_equal(found["draws"][:, 1][seen], data.x[seen])
    assert main(["impute", "m.safetensors", "gaps.npy", "--draws", "2", "--out", "f.png"]) == 0
    assert Path("f.png").read_bytes()[:4] == b"\x89PNG"
    assert "Filled 120 of 320 cells" in capsys.readouterr().err


def test_the_command_takes_as_many_draws_as_python() -> None:
    from latens.commands.impute import Impute

    assert Impute(run="m", data="d").num_samples == DRAWS == VAEImputer().num_samples
