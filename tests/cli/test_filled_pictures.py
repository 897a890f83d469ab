"""`latens complete`: regions in pixels and percent of the size that is said, and a filled picture for every file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from PIL import Image

from latens.data import load
from latens.errors import UsageError
from latens.verbs._hidden import region_of

pytest_plugins = ("cli_fixtures",)


@pytest.mark.parametrize(
    ("region", "spans"),
    [
        ("20:40,:", [(20, 40), (0, 64)]),
        ("30%:60%,:", [(14, 29), (0, 64)]),
        ("-50%:,0:100%", [(24, 48), (0, 64)]),
        ("-4:,:-60", [(44, 48), (0, 4)]),
        ("0:48,0:64", [(0, 48), (0, 64)]),
    ],
)
def test_a_region_is_of_pixels_or_percent(region: str, spans: list[tuple[int, int]]) -> None:
    assert region_of(region, (48, 64, 3)) == spans


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("40:60,:", "60 lies outside the 48 rows: the model's pictures have 48 x 64 pixels"),
        ("0:48,0:65", "65 lies outside the 64 columns"),
        ("-49:,:", "-49 lies outside the 48 rows"),
        (":,:120%", "120% lies outside the 64 columns"),
        ("8:8,:", "holds no pixel of 48 x 64"),
        ("8,:", "is not a region of pixels"),
    ],
)
def test_a_region_past_the_edge_is_refused(region: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        region_of(region, (48, 64, 3))


@pytest.fixture
def torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn" / "old").mkdir(parents=True)
    for k, one in enumerate(np.asarray(load("digits").x)[:3]):
        where = tmp_path / "torn" / ("old" if k == 2 else "") / f"IMG_{k}.png"
        Image.fromarray(one.astype(np.uint8)).save(where)
    return tmp_path / "torn"


WORDS = ("complete", "pretrained:digits-16d", "torn", "--region", "50%:,:", "--num-samples", "40", "--steps", "5")


def test_every_file_comes_back_filled_under_its_name(latens: Callable[..., Result], torn: Path) -> None:
    done = latens(*WORDS, "--mean", "--out", "whole/")
    assert done.code == 0, done.err
    assert "50 % hidden: pixel rows 4 to 8 of 8, columns 0 to 8 of 8" in done.err
    made = sorted(str(path.relative_to("whole")) for path in Path("whole").rglob("*.png"))
    assert made == ["IMG_0.png", "IMG_1.png", "old/IMG_2.png"]
    for name in made:
        before, after = (np.asarray(Image.open(folder / name), float) for folder in (torn, Path("whole")))
        assert after.shape == (8, 8)
        np.testing.assert_allclose(after[:4], np.round(before[:4] * 255 / 16), atol=1)  # 17 levels are shown as 256
        assert after[4:].max() > 50
    again = latens(*WORDS, "--mean", "--out", "whole")  # a folder that is there needs no slash
    assert again.code == 0, again.err


def test_filled_pictures_never_lie_among_the_input(latens: Callable[..., Result], torn: Path) -> None:
    before = {path: path.read_bytes() for path in torn.rglob("*.png")}
    for out in ("torn/", "torn", "torn/old", "torn/new/"):
        done = latens(*WORDS, "--out", out)
        assert "the filled pictures would lie among those of DATA" in done.err
    assert {path: path.read_bytes() for path in torn.rglob("*.png")} == before
    Path("file").write_text("mine")
    assert "this is a file." in latens(*WORDS, "--out", "file/").err
    assert Path("file").read_text() == "mine"


def test_a_sheet_of_means_has_no_draws_unless_asked_for(latens: Callable[..., Result], torn: Path) -> None:
    plain = latens(*WORDS, "--mean", "--out", "a.png")
    assert "from left to right: what is seen, the mean, the original" in plain.err
    asked = latens(*WORDS, "--mean", "--draws", "2", "--out", "b.png")
    assert "from left to right: what is seen, the mean, 2 draws, the original" in asked.err
    one, two = (np.asarray(Image.open(name)).shape for name in ("a.png", "b.png"))
    assert one[0] == two[0]
    assert (two[1] - one[1]) * 3 == pytest.approx(2 * one[1], rel=0.1)  # five pictures side by side, and three
    none = latens(*WORDS, "--mean", "--draws", "0", "--out", "c.npz")
    assert none.code == 0, none.err
    assert np.load("c.npz")["draws"].shape == (3, 0, 8, 8)
    refused = latens(*WORDS, "--draws", "0", "--out", "d.npz")
    assert refused.code
    assert "--draws: 0 leaves nothing but the mean." in refused.err
