"""What `fit` prints: at most ten lines, one headline, and "better" only where two errors say so."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import SMALL, Result
from sklearn.decomposition import PCA

import latens as lt
from latens.commands.evaluate import verdict
from latens.data import load
from latens.evidence import Estimate

pytest_plugins = ("cli_fixtures",)
PICTURES = re.compile(r"bits a pixel; reconstructions off by ([\d.]+) of 16 levels \(PCA with 3 components: ([\d.]+)\)")


def table(path: Path) -> Path:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 300)
    rows = [f"{'ab'[k]},{'xy'[k] if rng.random() < 0.95 else 'z'},{k + 0.1 * rng.normal():.2f}" for k in kind]
    path.write_text("\n".join(["one,two,three", *rows]) + "\n")
    return path


def numbers(path: Path) -> Path:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    np.savetxt(path, np.stack([a, a + 0.2 * rng.normal(size=300), rng.normal(size=300)], 1), delimiter=",",
               header="a,b,c", comments="")  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["table", "digits", "numbers"])
def test_fit_prints_at_most_ten_lines(kind: str, latens: Callable[..., Result], tmp_path: Path) -> None:
    data = {"table": table, "numbers": numbers}[kind](tmp_path / "t.csv") if kind != "digits" else kind
    done = latens("fit", data, "--steps", 60, *SMALL, "--num-samples", 10, "--out", tmp_path / "run")
    lines = [line for line in done.err.splitlines() if not line.startswith("train ")]  # of a slow machine
    assert done.code == 0, done.err
    assert 6 <= len(lines) <= 10, done.err
    titles = [line[:8].strip() for line in lines]
    assert titles[:4] == ["data", "model", "trained", "result"]
    assert titles[-1] == "next"
    assert sum("log p(x)" in line for line in lines if not line.startswith("warning")) == 1
    if kind == "table":
        assert any(line.strip().startswith("hidden cells: right in ") for line in lines), done.err
    if kind == "digits":
        data, (found,) = load("digits"), PICTURES.findall(done.err)
        train, test = (np.asarray(data.x[data.subset(one)], float).reshape(-1, 64) for one in ("train", "test"))
        back = lt.load(tmp_path / "run").reconstruct(data)[data.subset("test")].reshape(-1, 64)
        pca = PCA(3).fit(train)
        for told, made in zip(found, (back, pca.inverse_transform(pca.transform(test)))):
            assert float(told) == pytest.approx(np.sqrt(np.square(made - test).mean()), abs=0.06)
    if kind == "numbers":
        assert latens("sample", tmp_path / "run", "-n", 3, "--out", tmp_path / "s.csv").code == 0
        assert (tmp_path / "s.csv").read_text().splitlines()[0] == "a,b,c"
    again = latens("resume", tmp_path / "run").err.splitlines()
    assert again[1:] == lines[2:]  # what is said of a run that is done stands in its folder


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        (0.74, 0.09, "the model is better by 0.74 ± 0.09"),
        (-0.74, 0.09, "the model is WORSE by 0.74 ± 0.09"),
        (0.17, 0.33, "no significant difference (0.17 ± 0.33)"),
        (0.17, np.nan, "the model +0.17"),
    ],
)
def test_better_is_said_where_two_errors_say_so(size: float, error: float, words: str) -> None:
    gain = Estimate(size, error, 100, 50)
    assert verdict(gain) == words
    better = "the model is better by at least 0.74"  # a lower bound proves no more
    assert verdict(gain.with_draws_error(np.inf)) == (better if size > 0.5 else "which the bound does not decide")
