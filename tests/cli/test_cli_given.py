"""Conditions from the command line to the file: fit, sample, encode, decode, complete and the page."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import SMALL, Result

from latens import load, read
from latens.explorer import payload

pytest_plugins = ("cli_fixtures",)

BATCH = np.array(list("abac") * 75)
AGE = 20 + 7 * np.arange(300) % 60


def arrays(path: str) -> dict[str, np.ndarray]:
    """Read the arrays of a file, and close it."""
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)).round(3) + np.column_stack([8.0 * (BATCH == "b"), AGE / 5])
    kind = np.array(["T", "B", "T"] * 100)
    rows = [f"{b},{a},{r[0]:.3f},{r[1]:.3f},{k}" for b, a, r, k in zip(BATCH, AGE, x, kind)]
    (tmp_path / "cells.csv").write_text("\n".join(["batch,age,g1,g2,kind", *rows]) + "\n")
    (tmp_path / "lacking.csv").write_text("\n".join(["age,g1,g2,kind", *(row[2:] for row in rows)]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_conditions_as_they_are_typed(latens: Callable[..., Result], folder: Path) -> None:
    flags = ("--recipe", "conditional-vae", "--label", "kind", "--condition", "batch", "--condition", "age")
    flags = (*flags, "--epochs", 60, *SMALL, "--num-samples", 5)
    fitted = latens("fit", "cells.csv", *flags, "--out", "run", "--json", "--verbose")
    assert fitted.code == 0, fitted.err
    assert "conditions: batch (3 names), age (20 to 79)" in fitted.err
    drawn = latens("sample", "run", "-n", 400, "--given", "batch=b", "--given", "age=30", "--out", "s.npz")
    assert "400 samples given batch=b, age=30" in drawn.err + drawn.out
    samples = arrays("s.npz")
    assert np.abs(samples["x"].mean(axis=0) - (8.0, 6.0)).max() < 0.8
    assert set(samples["given_batch"]) == {"b"}
    assert latens("encode", "run", "cells.csv", "--out", "e.npz").code == 0
    codes = arrays("e.npz")
    assert codes["given_batch"].tolist() == BATCH.tolist()
    assert np.allclose(codes["given_age"], AGE)
    assert latens("decode", "run", "e.npz", "--out", "own.npz").code == 0
    assert latens("decode", "run", "e.npz", "--given", "batch=b", "--out", "b.npz").code == 0
    own, b = arrays("own.npz")["x"], arrays("b.npz")["x"]
    assert np.array_equal(own[BATCH == "b"], b[BATCH == "b"])
    assert np.abs((b - own)[BATCH == "a"].mean(axis=0) - (8.0, 0.0)).max() < 0.8
    lacking = latens("encode", "run", "lacking.csv", "--out", "no.npz")
    assert (lacking.code, "has no 'batch', a condition that the model reads" in lacking.err) == (3, True)
    assert latens("encode", "run", "lacking.csv", "--given", "batch=b", "--out", "yes.npz").code == 0
    assert "bath" in latens("sample", "run", "--given", "bath=b", "--out", "no.npz").err
    assert latens("explore", "run", "--given", "batch=b", "--export", "page.html").code == 0
    trained = load("run")
    rows = read("cells.csv", label="kind", schema=trained.schema)
    files = payload(trained.given({"batch": "b"}), rows)
    manifest = json.loads(files["data/manifest.json"])
    assert manifest["title"].startswith("conditional-vae on cells.csv given batch=b, age=")
    assert [one["name"] for one in manifest["columns"] if one["role"] == "condition"] == ["batch", "age"]
    assert latens("evaluate", "run", "--num-samples", 5).code == 0  # the run finds its own rows
