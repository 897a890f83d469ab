"""Two coordinates for the eye: neighbours stay neighbours, and what cannot be made is refused."""

import importlib.util
import json

import numpy as np
import pytest
from explorer_fixtures import untrained

from latens.data import load
from latens.errors import ConfigError, UsageError
from latens.explorer import payload
from latens.explorer.projection import projected


def groups() -> tuple[np.ndarray, np.ndarray]:
    """Three groups of rows in six units, far apart."""
    rng = np.random.default_rng(0)
    code = np.repeat([0, 1, 2], 40)
    return (8.0 * np.eye(6)[code] + 0.3 * rng.normal(size=(120, 6))).astype(np.float32), code


@pytest.mark.parametrize(
    "kind",
    [
        "t-sne",
        pytest.param(
            "umap",
            marks=pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed"),
        ),
    ],
)
def test_neighbours_stay_neighbours(kind: str) -> None:
    means, code = groups()
    found = projected(means, kind, 0)
    plan = np.stack(list(found.values()), axis=1)
    assert plan.shape == (120, 2)
    apart = np.linalg.norm(plan[:, None] - plan[None], axis=2) + 1e9 * np.eye(120)
    assert (code[apart.argmin(1)] == code).all()


def test_what_cannot_be_laid_out_is_refused() -> None:
    means, _ = groups()
    with pytest.raises(UsageError, match=r"projection='pca' is unknown.*t-sne, umap"):
        projected(means, "pca", 0)
    with pytest.raises(UsageError, match="needs 5 rows or more, not 4"):
        projected(means[:4], "t-sne", 0)
    if importlib.util.find_spec("umap") is None:
        with pytest.raises(ConfigError, match=r"umap-learn is not installed.*pip install umap-learn"):
            projected(means, "umap", 0)


def test_the_page_has_them_as_axes() -> None:
    trained, data = untrained("default", load("digits"))
    files = payload(trained, data, projection="t-sne", most_rows=60)
    manifest = json.loads(files["data/manifest.json"])
    axes = [column for column in manifest["columns"] if column["role"] == "coordinate"]
    assert [column["name"] for column in axes] == ["t-SNE 1", "t-SNE 2"]
    means = np.frombuffer(files["data/mean.bin"], "<f4").reshape(60, -1)
    for column, values in zip(axes, projected(means, "t-sne", 0).values(), strict=True):
        np.testing.assert_array_equal(np.frombuffer(files[column["file"]], "<f4"), values)
