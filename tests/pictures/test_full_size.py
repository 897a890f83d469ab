"""A filled part in the picture as it was: what is seen stays, what is hidden is filled, sizes are those of the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latens.pictures.full_size import at_full_size


def written(folder: Path, height: int, width: int, mode: str) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width, 3) if mode == "RGB" else (height, width)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "one.png")
    return folder / "one.png", pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_is_seen_is_that_of_the_file_and_the_rest_is_filled(tmp_path: Path, mode: str) -> None:
    path, pixels = written(tmp_path, 80, 120, mode)
    hidden = np.zeros((8, 8), bool)
    hidden[4:] = True
    filled = np.full((8, 8, 3) if mode == "RGB" else (8, 8), 0.5, np.float32)
    made = at_full_size(path, filled, hidden)
    assert made is not None
    assert made.shape[:2] == (80, 80)  # the centre that the model sees
    own = pixels[:, 20:100] / 255.0
    assert np.allclose(made[:34], own[:34], atol=1e-6)  # up to half a pixel of the model before the hole
    assert np.allclose(made[40:], 0.5, atol=1e-6)
    assert not np.allclose(made[36:40], own[36:40], atol=0.01)


def test_a_file_of_the_models_size_or_smaller_keeps_the_filled_picture(tmp_path: Path) -> None:
    path, _ = written(tmp_path, 8, 9, "RGB")
    filled = np.random.default_rng(1).random((8, 8, 3)).astype(np.float32)
    assert at_full_size(path, filled, np.ones((8, 8), bool)) is filled


def test_a_broken_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"no picture")
    assert at_full_size(tmp_path / "one.png", np.zeros((8, 8)), np.ones((8, 8), bool)) is None
    assert at_full_size(tmp_path / "absent.png", np.zeros((8, 8)), np.ones((8, 8), bool)) is None
