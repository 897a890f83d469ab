"""Pictures as their pair: against a Normal model with a formula, beside two guesses, and what is no pair at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checks import close
from cli_fixtures import Result
from PIL import Image
from tables import linear

import latens
from latens.data import Preparation
from latens.distributions import Blocks, StandardNormal
from latens.errors import ConfigError, DataError, UsageError
from latens.models import ByModality, Conditional, Experts, LatentModel, NormalHead
from latens.workflow.trained import TrainedModel
from latens.workflow.translation import complete

pytest_plugins = ("cli_fixtures",)

SIGMA = 0.5
LEFT, RIGHT = np.diag([2.0, 1.0]), np.array([[1.0, -1.0], [0.5, 2.0]])  # source and target given z
GAIN = np.diag([2.0, 1.0] / (SIGMA**2 + np.array([4.0, 1.0])))  # E[z | source] = GAIN source
SPREAD = np.diag(SIGMA**2 / (SIGMA**2 + np.array([4.0, 1.0])))


def normal(weight: np.ndarray, log_scale: np.ndarray, shape: tuple[int, ...]) -> Conditional:
    """N(weight v, exp(log_scale)) of a vector v, with the exact numbers."""
    matrix = np.concatenate([weight.T, np.zeros_like(weight.T)], axis=1)
    return Conditional(linear(matrix, np.concatenate([np.zeros(2), log_scale])), NormalHead(shape))


def exact() -> TrainedModel:
    """Rows of 2 x 2: the left column is the source, the right one the target; its encoder of the source is exact."""
    blocks, noise = Blocks(("part0", "part1"), ((0,), (1,)), 1), np.full(2, np.log(SIGMA))
    of_source = normal(GAIN, 0.5 * np.log(np.diag(SPREAD)), (2,))
    encoders = {"part0": of_source, "part1": normal(0.1 * np.eye(2), np.zeros(2), (2,))}
    decoders = {"part0": normal(LEFT, noise, (2, 1)), "part1": normal(RIGHT, noise, (2, 1))}
    flat = {n: Conditional(lambda x, of=c.network: of(x.reshape(-1)), c.head) for n, c in encoders.items()}
    model = LatentModel(StandardNormal((2,)), Experts(flat, "mixture", blocks), ByModality(decoders, blocks))
    return TrainedModel(model, drawn(200).schema, Preparation())


def drawn(n: int) -> latens.Dataset:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 2))
    sides = [z @ weight.T + SIGMA * rng.normal(size=(n, 2)) for weight in (LEFT, RIGHT)]
    return latens.read(np.stack(sides, axis=2))


def test_the_target_is_the_mean_of_the_formula_given_the_source() -> None:
    source = np.array([[[1.0], [-2.0]], [[0.3], [0.4]]], np.float32)
    found = complete(exact(), source, num_samples=4000)
    expected = np.einsum("ij,jk,nk->ni", RIGHT, GAIN, source[:, :, 0])
    error = np.sqrt(np.diag(RIGHT @ SPREAD @ RIGHT.T) / 4000)
    assert found.shape == (2, 2, 1)
    assert np.all(np.abs(found[:, :, 0] - expected) < 5 * error)


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(ConfigError, match="no pairs"):
        complete(latens.load("pretrained:digits-2d"), np.zeros((1, 8, 8)))
    with pytest.raises(UsageError, match="no side 'left'"):
        complete(exact(), np.zeros((1, 2, 1)), "left")
    with pytest.raises(UsageError, match="not a translation"):
        complete(exact(), np.zeros((1, 2, 1)), "target", "target")
    with pytest.raises(DataError, match=r"shape \(3, 1\), the model was trained on \(2, 1\)"):
        complete(exact(), np.zeros((1, 3, 1)))


# --- data ---


def test_pairs_stand_side_by_side_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{i}" for i in range(12)]
    grey = rng.integers(0, 256, (12, 4, 5), np.uint8)
    colour = rng.integers(0, 256, (12, 4, 5, 3), np.uint8)
    for folder in ("grey", "colour"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(names):
        Image.fromarray(grey[i]).save(tmp_path / "grey" / f"{name}.png")
        Image.fromarray(colour[i]).save(tmp_path / "colour" / f"{name}.bmp")
    data = latens.read(tmp_path / "grey", pair=tmp_path / "colour")
    assert data.x.shape == (12, 4, 10, 3)
    for row, name in zip(data.x, data.names.tolist()):
        number = int(name.split(".")[0])
        assert np.array_equal(row[:, :5], np.repeat(grey[number][..., None], 3, axis=-1))
        assert np.array_equal(row[:, 5:], colour[number])
    (tmp_path / "colour" / "7.bmp").rename(tmp_path / "colour" / "seven.bmp")
    with pytest.raises(
        DataError, match=r"grey has '7', and .*colour has not; .*colour has 'seven', and .*grey has not"
    ):
        latens.read(tmp_path / "grey", pair=tmp_path / "colour")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (np.zeros((9, 4, 4), np.uint8), "data has 10 rows, and the pair has 9"),
        (np.ones((10, 4, 3), np.uint8), r"\(4, 4\), and the pair of \(4, 3\)"),
        (np.ones((10, 4, 4), np.uint8), "up to 200, and the pair uint8 cells up to 1"),
        (np.ones((10, 4, 4)), "one scale"),
        (np.ones((10, 16), np.uint8), r"and the pair of \(16,\)"),
    ],
)
def test_what_does_not_pair_names_both_sides(other: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        latens.read(np.full((10, 4, 4), 200, np.uint8), pair=other)


def test_grey_pictures_serve_a_model_of_colours() -> None:
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (40, 4, 4), np.uint8), rng.integers(0, 256, (40, 4, 4, 3), np.uint8)
    small = {"network.hidden": "4", "posterior.latent_dim": 2}
    data = latens.read(grey, pair=colour)
    experiment = latens.workflow.prepare(
        latens.config.override(latens.recipes.get_recipe("paired").config, small), data
    )
    trained = experiment.trained(experiment.new_model())
    found = complete(trained, grey[:3], num_samples=4)
    assert found.shape == (3, 4, 4, 3)
    close(found, complete(trained, np.repeat(grey[:3, ..., None], 3, axis=-1), num_samples=4))


# --- from the face ---


def halves(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """Digits without their right half, and whole, as files."""
    whole = latens.read("digits").x
    half = whole.copy()
    half[:, :, 4:] = 0
    np.save(folder / "half.npy", half)
    np.save(folder / "whole.npy", whole)
    return folder / "half.npy", folder / "whole.npy", whole


def test_the_command_pairs_trains_and_translates(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, whole, x = halves(tmp_path)
    monkeypatch.chdir(tmp_path)
    small = ("--steps", 5, "--set", "network.hidden=8", "--set", "posterior.latent_dim=2", "--num-samples", 2)
    fit = ("fit", "half.npy", "--recipe", "paired", "--pair")
    np.save(tmp_path / "fewer.npy", x[:-1])
    refused = latens(*fit, "fewer.npy", *small, "--out", "no", "--json")
    assert refused.code == 3
    assert refused.json["error"]["message"] == "half.npy has 1797 rows, and fewer.npy has 1796."
    assert not (tmp_path / "no").exists()
    assert latens(*fit, "whole.npy", *small, "--out", "run").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # a run finds both sides again
    found = latens("evaluate", tmp_path / "run", "--num-samples", 2, "--json")
    assert found.code == 0, found.err
    assert found.json["data"]["rows"] == 198
    done = latens("translate", tmp_path / "run", half, "--mean", "--num-samples", 3, "--out", "t.npz", "--json")
    assert (done.code, done.json["from"], done.json["to"]) == (0, "source", "target")
    trained = TrainedModel.load(tmp_path / "run" / "model.safetensors")
    with np.load("t.npz") as arrays:
        close(arrays["x"], complete(trained, np.load(half), num_samples=3))
    assert latens("translate", tmp_path / "run", whole, "--from", "target", "--out", "back.png").code == 0
    wrong = latens("translate", tmp_path / "run", half, "--to", "wholes", "--out", "no.npz", "--json")
    assert (wrong.code, "'wholes'" in wrong.json["error"]["message"]) == (2, True)
    assert latens("translate", tmp_path / "run", "iris", "--out", "no.npz").code == 3
    assert not Path("no.npz").exists()
