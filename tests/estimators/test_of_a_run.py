"""The estimator of a run of the command line: its frames may hold the column of ids, and whole rows cost nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.errors import DataError
from latens.trained import imputation as module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 200)
    size = np.where(kind == "a", rng.normal(10, 2, 200), rng.normal(20, 2, 200)).round(1)
    frame = pd.DataFrame({"code": [f"K-{3 * k}x" for k in range(200)], "kind": kind, "size": size})
    frame.to_csv(folder / "t.csv", index=False)
    assert main(["fit", str(folder / "t.csv"), "--id", "code", "--steps", "1", "--out", str(folder / "run")]) == 0
    return folder / "run" / "model.safetensors", frame


def test_a_frame_may_have_the_ids_beside(run: tuple[Path, pd.DataFrame]) -> None:
    path, frame = run
    model = latens.VAE.load(path)
    assert model.feature_names_in_.tolist() == ["kind", "size"]
    plain = frame.drop(columns="code")
    np.testing.assert_array_equal(model.score_samples(frame), model.score_samples(plain))
    gaps = frame.assign(size=frame["size"].where(frame.index % 4 > 0))
    filled = model.impute(gaps, random_state=1)
    assert filled.columns.tolist() == ["code", "kind", "size"]
    assert filled["code"].tolist() == frame["code"].tolist()
    np.testing.assert_array_equal(filled["size"], model.impute(gaps.drop(columns="code"), random_state=1)["size"])
    with pytest.raises(DataError, match="that fit did not see"):
        model.score_samples(frame.assign(weight=1.0))
    with pytest.raises(DataError, match="lacks the column 'kind'"):
        model.score_samples(frame.drop(columns="kind"))
    model.set_params(settings={"training.steps": 1}).fit(frame.assign(code=np.arange(200) % 7))  # then it is a column
    assert model.feature_names_in_.tolist() == ["code", "kind", "size"]
    assert model.sample(3).columns.tolist() == ["code", "kind", "size"]


def test_only_rows_with_gaps_are_asked_for(run: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    path, frame = run
    model, asked = latens.VAE.load(path), []
    own = module.impute

    def counted(rows, **options):
        asked.append((len(rows.batch.x), options["num_samples"]))
        return own(rows, **options)

    monkeypatch.setattr(module, "impute", counted)
    assert model.impute(frame).equals(frame)
    gaps = frame.assign(size=frame["size"].where(~frame.index.isin([3, 90])))
    filled = model.impute(gaps, random_state=1)
    assert [count for count, _ in asked] == [2]
    alone = model.impute(gaps.loc[[3, 90]], random_state=1)
    pd.testing.assert_series_equal(filled.loc[[3, 90], "size"], alone["size"])
    (first, second) = model.impute(gaps, n_draws=2, random_state=1)
    assert first.drop(index=[3, 90]).equals(frame.drop(index=[3, 90]))
    assert not first["size"].isna().any()
    assert len(second) == 200
