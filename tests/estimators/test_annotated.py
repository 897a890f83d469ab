"""AnnData objects in the estimators: columns of obs by name, a layer, and codes back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import latens as lt
from latens import VAE
from latens.errors import DataError

pandas = pytest.importorskip("pandas")

N, GENES = 60, [f"g{j}" for j in range(6)]


def anndata(**fields: Any) -> Any:
    rng = np.random.default_rng(0)
    share = np.exp(np.arange(6) / 3 + 2.0 * (np.arange(N) % 2)[:, None] * (np.arange(6) < 2))
    counts = rng.poisson(80 * share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    names = {"donor": np.array(["a", "b"])[rng.integers(0, 2, N)], "type": np.array(["t0", "t1"])[np.arange(N) % 2]}
    obs = pandas.DataFrame(names, index=[f"c{i}" for i in range(N)])
    kind = type("AnnData", (SimpleNamespace,), {"__module__": "anndata._core.anndata"})
    given = {"X": np.log1p(counts), "layers": {"counts": counts}, "obs": obs, "isbacked": False}
    return kind(**{**given, "obs_names": obs.index, "var_names": GENES, **fields})


def part(adata: Any, keep: np.ndarray) -> Any:
    obs = adata.obs.iloc[keep]
    return anndata(X=adata.X[keep], layers={"counts": adata.layers["counts"][keep]}, obs=obs, obs_names=obs.index)


def test_cells_are_fitted_encoded_and_come_back_from_a_file(tmp_path: Path) -> None:
    adata = anndata()
    vae = VAE(latent_dim=2, hidden=(8,), steps=2, random_state=0)
    vae.fit(lt.Counts(adata, label="type", condition="donor", layer="counts"))
    assert vae.model_.config is not None
    assert vae.model_.config.recipe == "cells"
    assert vae.n_features_in_ == 6
    z = vae.transform(adata)
    data = lt.read(adata, layer="counts", condition="donor", label="type")
    np.testing.assert_array_equal(data.x, adata.layers["counts"])
    np.testing.assert_allclose(z, vae.model_.encode(data), atol=1e-5)
    keep = np.array([7, 3])
    np.testing.assert_allclose(vae.transform(part(adata, keep)), z[keep], atol=1e-5)
    assert np.abs(vae.transform(anndata(layers={"counts": 2 * adata.layers["counts"]})) - z).max() > 1e-3
    again = VAE.load(vae.save(tmp_path / "cells.safetensors"))
    np.testing.assert_allclose(again.transform(adata), z, atol=1e-6)  # the layer is remembered
    with pytest.raises(DataError, match="donor"):
        vae.transform(anndata(obs=adata.obs[["type"]]))
