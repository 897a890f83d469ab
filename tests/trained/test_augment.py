"""New rows of each class, and rows as another class: against a linear Normal model, where both have a formula."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from cli_fixtures import Result

import latens
from latens.data import Preparation
from latens.distributions import DiagonalNormal, FullNormal, StandardNormal
from latens.errors import ConfigError, DataError, UsageError
from latens.latents import reconstruct
from latens.models import AbstractLatentModel
from latens.trained.augmentation import augment, translate
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

W = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]])
MU, SIGMA = np.array([[0.1, -0.2, 0.3], [5.0, -4.0, 2.0]]), 0.6  # a mean for each class
PRECISION = np.eye(2) + W.T @ W / SIGMA**2
SPREAD = np.linalg.inv(PRECISION)  # the covariance of z given x
FACTOR = np.linalg.cholesky(SPREAD)
GAIN = SPREAD @ W.T / SIGMA**2
X = np.array([[0.5, -1.0, 1.2], [4.0, -3.5, 2.5], [1.0, 1.0, 1.0]], np.float32)


class Linear(AbstractLatentModel):
    """x = Wz + mu[class] + sigma e, with its exact posterior; without classes the first mean."""

    classes: int = eqx.field(static=True, default=0)

    def _mean(self, cond):
        return jnp.asarray(cond["label"] @ MU if self.classes else MU[0], jnp.float32)

    def prior(self, *, cond=None, key=None):
        return StandardNormal((2,))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(jnp.asarray(W, jnp.float32) @ z + self._mean(cond), jnp.log(SIGMA))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        mean = jnp.asarray(GAIN, jnp.float32) @ (x - self._mean(cond))
        factor = np.tril(FACTOR, -1) + np.diag(np.log(np.diag(FACTOR)))  # the diagonal as logarithms
        return FullNormal(mean, jnp.asarray(factor, jnp.float32))


def linear(conditional: bool = False) -> TrainedModel:
    data = rows()
    return TrainedModel(Linear(2 if conditional else 0), data.schema, Preparation(classes=2 if conditional else 0))


def rows(label: tuple[str, ...] = ("a", "b", "b")) -> latens.Dataset:
    return latens.read(X, label=np.array(label))


def meets(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Mean and covariance within five of their standard errors."""
    n = len(x)
    variance = np.diag(covariance)
    assert np.all(np.abs(x.mean(0) - mean) < 5 * np.sqrt(variance / n))
    error = np.sqrt((covariance**2 + np.outer(variance, variance)) / n)
    assert np.all(np.abs(np.cov(x.T) - covariance) < 5 * error)


@pytest.mark.parametrize("mean", [False, True])
def test_draws_around_a_row_have_the_mean_and_covariance_of_the_formula(mean: bool) -> None:
    n = 4000
    new = augment(linear(), rows(), n, mean=mean)
    assert new.around is not None
    assert new.label.tolist() == ["a"] * n + ["b"] * n
    covariance = W @ SPREAD @ W.T + (0.0 if mean else SIGMA**2) * np.eye(3)
    for row in range(3):
        around = new.x[new.around == row]
        assert len(around) == (n if row == 0 else n // 2)  # the two rows of a class take turns
        meets(around, W @ GAIN @ (X[row] - MU[0]) + MU[0], covariance)


def test_draws_around_rows_know_the_class_of_a_conditional_model() -> None:
    new = augment(linear(conditional=True), rows(), 4000, draw="rows")
    expected = W @ GAIN @ (X[0] - MU[0]) + MU[0]
    meets(new.x[:4000], expected, W @ SPREAD @ W.T + SIGMA**2 * np.eye(3))
    one = new.x[new.around == 1]
    meets(one, W @ GAIN @ (X[1] - MU[1]) + MU[1], W @ SPREAD @ W.T + SIGMA**2 * np.eye(3))


def test_draws_of_a_class_are_those_of_its_density() -> None:
    trained = linear(conditional=True)
    new = augment(trained, rows(("b", "", "b")), 4000)  # the class "b" alone, by its name
    trained_ab = augment(trained, rows(), 4000)
    assert new.around is None
    assert set(new.label) == {"b"}
    covariance = W @ W.T + SIGMA**2 * np.eye(3)
    meets(new.x, MU[1], covariance)
    meets(trained_ab.x[:4000], MU[0], covariance)
    meets(trained_ab.x[4000:], MU[1], covariance)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match="none of 3 rows has a label, and 5 new rows"):
        augment(linear(), latens.read(X), 5)
    with pytest.raises(DataError, match="'c', and the classes of the model are a, b"):
        augment(linear(conditional=True), rows(("a", "b", "c")), 5)
    with pytest.raises(ConfigError, match=r"no p\(x \| class\)"):
        augment(linear(), rows(), 5, draw="class")
    with pytest.raises(UsageError, match="per_class: must be a whole number of 1 or more, not 0"):
        augment(linear(), rows(), 0)
    wrong: tuple[Any, ...] = (1.5, "3", None, True)
    for count in wrong:
        with pytest.raises(UsageError, match=f"per_class: must be a whole number of 1 or more, not {count!r}"):
            augment(linear(), rows(), count)
    with pytest.raises(UsageError, match=r"draw: there is no 'clas'. Did you mean 'class'\?"):
        augment(linear(), rows(), 1, draw="clas")  # type: ignore[arg-type]
    seeds: tuple[Any, ...] = (1.5, "1", 2**64)
    for seed in seeds:
        with pytest.raises(UsageError, match="is not a seed"):
            augment(linear(), rows(), 1, seed=seed)
        with pytest.raises(UsageError, match="is not a seed"):
            translate(linear(conditional=True), rows(), "a", "b", seed=seed)
    one: Any = np.int64(1)
    assert len(augment(linear(), rows(), one, seed=-1).x) == 2


@pytest.mark.parametrize("mean", [True, False])
def test_a_row_as_its_own_class_is_its_reconstruction(mean: bool) -> None:
    trained, data = linear(conditional=True), rows()
    as_itself = translate(trained, data, "b", "b", mean=mean, seed=3)
    assert as_itself.positions.tolist() == [1, 2]
    batch = trained.batch(data, as_itself.positions)
    found = reconstruct(trained.rows(batch, seed=3), mean=mean)
    close(as_itself.x, found)


def test_a_row_as_another_class_moves_by_the_difference_of_their_means() -> None:
    trained, data = linear(conditional=True), rows()
    other = translate(trained, data, "b", "a")
    close(other.x, (X[1:] - MU[1]) @ GAIN.T @ W.T + MU[0], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_translated_is_refused() -> None:
    trained = linear(conditional=True)
    with pytest.raises(UsageError, match="no class 'c'"):
        translate(trained, rows(), "a", "c")
    known = dataclasses.replace(rows(), label=np.array([1, 1, -1], np.int32))
    with pytest.raises(DataError, match="none of 3 rows is of the class 'a': their classes are b"):
        translate(trained, known, "a", "b")
    with pytest.raises(DataError, match="no labels that the model knows"):
        translate(trained, latens.read(X), "a", "b")
    with pytest.raises(ConfigError, match="reads no labels"):
        translate(linear(), rows(), "a", "b")


# From the face


def test_the_command_translates_rows_of_one_class(latens: Callable[..., Result], tmp_path: Path) -> None:
    """The picture's rows are those of the library, and a wrong class is answered with the nearest."""
    table, run = tmp_path / "t.csv", tmp_path / "run"
    lines = [
        f"{x[0]},{x[1]},{name}" for x, name in zip(np.random.default_rng(0).normal(size=(60, 2)), ["on", "off"] * 30)
    ]
    table.write_text("\n".join(["a,b,state", *lines]) + "\n")
    words = ("--label", "state", "--recipe", "conditional-vae", "--steps", 3, "--set", "network.hidden=4")
    assert latens("fit", table, *words, "--out", run, "--num-samples", 2).code == 0
    back = (
        "translate", run, table, "--from", "on", "--to", "on", "--seed", 5, "--out", tmp_path / "same.npz", "--json",
    )  # fmt: skip
    assert latens(*back, "--json").json["rows"] == 30
    assert latens("reconstruct", run, table, "--seed", 5, "--out", tmp_path / "all.npz").code == 0
    with np.load(tmp_path / "same.npz") as same, np.load(tmp_path / "all.npz") as every:
        close(same["x"], every["x"][::2])
        assert set(same["label"].tolist()) == {"on"}
    wrong = latens("translate", run, table, "--from", "on", "--to", "of", "--out", tmp_path / "no.npz", "--json")
    assert (wrong.code, "'off'" in wrong.json["error"]["fix"]) == (2, True)
    table.with_name("u.csv").write_text("a,b,state\n1,2,on\n3,4,open\n")
    strange = latens("sample", run, "--like", tmp_path / "u.csv", "-n", 2, "--out", tmp_path / "no.csv")
    assert strange.code == 3
    assert "'open', and the classes of the model are off, on" in strange.err
    assert not list(tmp_path.glob("no.*"))
    made = latens("sample", run, "--like", table, "-n", 2, "--out", tmp_path / "yes.csv")
    assert made.code == 0, made.err
    assert (tmp_path / "yes.csv").read_text().splitlines()[0] == "a,b,state"
