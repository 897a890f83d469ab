"""800 photographs of unlike size and mode, five of them broken: `latens fit photos/ --minutes` works as typed."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from PIL import Image

from latens.data import load

pytest_plugins = ("cli_fixtures",)

MODES = ("RGB", "RGB", "L", "P", "RGBA", "CMYK", "1", "LA")
SAID = (
    "795 pictures were scaled so that the shorter side has 16 pixels, and their centre was kept.",
    "5 of 800 pictures cannot be read: broken0.jpg: is empty; broken1.jpg: is not a picture; broken2.jpg: is "
    "cut off; broken3.jpg: is cut off; broken4.jpg: is cut off. They were left out.",
    "80 pictures were turned upright, as their EXIF orientation says. 99 black and white pictures were made RGB. 199 "
    "grey pictures were made RGB. 99 CMYK pictures were made RGB. 198 transparent pictures get a white background.",
    "1 other file was left out: Thumbs.db; it is hidden or not a picture.",
)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng, folder, tags = np.random.default_rng(0), tmp_path / "photos", Image.Exif()
    folder.mkdir()
    for i in range(795):
        width, height = rng.integers(20, 60, 2)
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(
            "L" if i % 8 == 6 else "RGB"
        )
        picture = picture.convert(MODES[i % 8])
        if MODES[i % 8] in ("RGBA", "LA"):
            picture.putalpha(100)
        tags[0x0112] = 6 if i % 10 == 0 else 1
        ending = "jpg" if MODES[i % 8] in ("RGB", "L", "CMYK") else "png"
        picture.save(folder / f"{i:04d}.{ending}", exif=tags)
    whole = (folder / "0000.jpg").read_bytes()
    for i in range(5):
        (folder / f"broken{i}.jpg").write_bytes(whole[: len(whole) * i // 6] if i != 1 else b"no picture")
    (folder / "Thumbs.db").write_bytes(b"x")
    return folder


def test_800_photographs_are_read_in_seconds(photos: Path) -> None:
    start = time.process_time()
    data = load(photos, size=16)
    assert time.process_time() - start < 8
    assert (data.x.shape, data.notes) == ((795, 16, 16, 3), SAID)
    start = time.process_time()
    assert load(photos, size=16).fingerprint == data.fingerprint
    assert time.process_time() - start < 4


def test_800_photographs_are_fitted_as_typed(latens: Callable[..., Result], photos: Path) -> None:
    checked = latens("check", "photos/", "--size", 16)
    assert [line.removeprefix("note: ") for line in checked.out.splitlines() if line.startswith("note: ")] == list(SAID)
    fitted = latens("fit", "photos/", "--size", 16, "--minutes", 0.02, "--num-samples", 2, "--out", "run", "--verbose")
    assert fitted.code == 0, fitted.err
    assert [line.strip() for line in fitted.err.splitlines() if line.strip() in SAID] == list(SAID)
    for i in range(3):
        Image.new("L", (30 + i, 20), 90).save(photos.parent / f"{i}.png")
    (photos.parent / "new").mkdir()
    for i in range(3):
        (photos.parent / f"{i}.png").rename(photos.parent / "new" / f"{i}.png")
    again = latens("reconstruct", "run", "new/", "--mean", "--out", "again.npz")
    assert again.code == 0, again.err
    assert np.load("again.npz")["x"].shape == (3, 16, 16, 3)
    made = latens("sample", "run", "-n", 2, "--out", "s.png")
    assert made.code == 0
    assert "2 means of samples, without the noise of single pixels (--noise: with it)" in made.err
    assert "2 samples" in latens("sample", "run", "-n", 2, "--noise", "--out", "noisy.png").err
    assert latens("sample", "run", "-n", 2, "--mean", "--out", "mean.png").code == 0
    still, noisy, mean = (np.asarray(Image.open(f"{name}.png"), float) for name in ("s", "noisy", "mean"))
    np.testing.assert_array_equal(still, mean)
    assert np.abs(np.diff(noisy, axis=0)).mean() > 1.2 * np.abs(np.diff(mean, axis=0)).mean()
    both = latens("sample", "run", "-n", 2, "--noise", "--mean", "--out", "s.png")
    assert "--noise: --mean and --noise exclude each other." in both.err
    assert "2 samples" in latens("sample", "run", "-n", 2, "--out", "s.npz").err  # arrays hold draws, as ever
    assert latens("evaluate", "run", "--num-samples", 2).code == 0  # the run finds its own rows again
