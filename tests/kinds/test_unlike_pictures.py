"""A folder of photographs as it is: unlike sizes, modes and broken files become rows of one shape, and this is said."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from latens.data import check, load
from latens.errors import DataError, UsageError
from latens.kinds.pictures import picture_files as pictures

RANDOM = np.random.default_rng(0)
BROKEN = ("broken/0.jpg", "broken/1.png", "broken/2.gif", "broken/3.jpg", "broken/4.png")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def pixels(width: int, height: int, *channels: int, top: int = 256) -> np.ndarray:
    coarse = RANDOM.integers(0, top, (height, width, *channels))
    return coarse.astype(np.uint8 if top == 256 else np.uint16)


def saved(path: Path, picture: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def corpus(folder: Path) -> dict[str, Image.Image]:
    """Write 48 files of unlike size and mode and five broken ones; give what each good one shows, in RGB."""
    shown: dict[str, Image.Image] = {}

    def add(name: str, picture: Image.Image, looks: Image.Image | None = None, **options: Any) -> None:
        saved(folder / name, picture, **options)
        shown[name] = (picture if looks is None else looks).convert("RGB")

    for i, (width, height) in enumerate([(9, 7), (12, 30), (40, 20), (17, 17), (64, 33), (24, 31)]):
        grey, rgb = Image.fromarray(pixels(width, height)), Image.fromarray(pixels(width, height, 3))
        add(f"grey/{i}.png", grey)
        add(f"colour/{i}.bmp", rgb)
        add(f"colour/{i}.tif", rgb)
        add(f"colour/{i}.webp", rgb, lossless=True)
        add(f"palette/{i}.png", palette := rgb.quantize(12), palette)
        layer = Image.fromarray(np.where(pixels(width, height) > 99, 255, 60).astype(np.uint8))
        see = rgb.copy()
        see.putalpha(layer)
        share = np.asarray(layer).astype(int)[..., None]
        product = np.asarray(rgb).astype(int) * share + 255 * (255 - share)
        add(f"alpha/{i}.png", see, Image.fromarray(((product + 127) // 255).astype(np.uint8)))
        add(f"ink/{i}.tif", ink := rgb.convert("CMYK"), ink)
        deep = pixels(width, height, top=65536)
        add(f"deep/{i}.png", Image.fromarray(deep), Image.fromarray((deep // 256).astype(np.uint8)))
    tags = Image.Exif()
    tags[0x0112] = 6
    turned = Image.fromarray(pixels(30, 20, 3))
    add("colour/turned.png", turned, turned.transpose(Image.Transpose.ROTATE_270), exif=tags)
    frames = [Image.fromarray(pixels(10, 14)) for _ in range(2)]
    add("grey/moving.gif", frames[0], save_all=True, append_images=frames[1:])
    add("grey/ink.png", Image.fromarray((pixels(15, 11) > 99) * np.uint8(255)).convert("1"))
    (folder / "broken").mkdir()
    whole = io.BytesIO()
    Image.fromarray(pixels(40, 40, 3)).save(whole, "JPEG")
    whole_png = saved(folder / "broken" / "x.png", Image.fromarray(pixels(20, 20))).read_bytes()
    (folder / "broken" / "x.png").unlink()
    broken = (b"", whole_png[:60], b"GIF89a", whole.getvalue()[:500], b"no picture")
    for name, content in zip(BROKEN, broken):
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("x")
    return shown


def test_unlike_files_become_rows_of_one_shape_and_four_lines_say_how(tmp_path: Path) -> None:
    shown = corpus(tmp_path)
    data = load(tmp_path, size=8)
    assert data.names.tolist() == sorted(shown)
    assert len(shown) == 51
    for name, x in zip(data.names, data.x):
        fitted = np.asarray(ImageOps.fit(shown[name], (8, 8), Image.Resampling.LANCZOS)).astype(int)
        # a mixture with white is rounded once here, and as Pillow does there
        assert np.abs(x - fitted).max() <= (1 if name.startswith("alpha") else 0), name
    assert data.schema.classes == ("alpha", "colour", "deep", "grey", "ink", "palette")
    assert data.notes == (
        "51 pictures were scaled so that the shorter side has 8 pixels, and their centre was kept.",
        "5 of 56 pictures cannot be read: broken/0.jpg: is empty; broken/1.png: is cut off; broken/2.gif: is not "
        "a picture; broken/3.jpg: is cut off; broken/4.png: is not a picture. They were left out.",
        "1 files hold several frames; the first of each was taken. 1 pictures were turned upright, as their EXIF "
        "orientation says. 1 black and white pictures were made RGB. 12 grey pictures were made RGB. 6 CMYK pictures "
        "were made RGB. 6 pictures of 16 bits were made of 8. A white background was put behind 6 pictures.",
        "Other files left out: 1 (notes.txt), hidden or not pictures.",
    )
    assert set(data.notes) <= set(check(data)["warnings"])


def test_pictures_of_one_size_are_as_they_were(tmp_path: Path) -> None:
    rows = np.arange(24 * 3 * 4, dtype=np.uint8).reshape(24, 3, 4)
    for i, row in enumerate(rows):
        saved(tmp_path / "photos" / f"k{i % 2}" / f"{i}.png", Image.fromarray(row))
    data = load(tmp_path / "photos")
    assert sorted(x.tobytes() for x in data.x) == sorted(row.tobytes() for row in rows)
    assert (data.notes, data.fingerprint) == ((), "52190482f342f6f283a16fde26ca1fdf5125174249bd32fc77698cea76d0aeb7")
    _ = [saved(tmp_path / "square" / f"{n}.png", Image.fromarray(pixels(n, n))) for n in (8, 9)]
    assert load(tmp_path / "square", size=8).notes[0].startswith("1 picture was scaled ")


def test_grey_beside_colour_of_one_size_keeps_the_size(tmp_path: Path) -> None:
    grey, rgb = pixels(5, 4), pixels(5, 4, 3)
    saved(tmp_path / "a.png", Image.fromarray(grey))
    saved(tmp_path / "b.png", Image.fromarray(rgb))
    data = load(tmp_path)
    assert np.array_equal(data.x, np.stack([np.stack([grey] * 3, -1), rgb]))
    assert data.notes == ("1 grey pictures were made RGB.",)
    assert np.array_equal(load(tmp_path, stream=True).x[np.arange(2)], data.x)


def test_pictures_of_a_camera_are_scaled_though_all_have_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "LARGE", 6000)
    for i in range(2):
        saved(tmp_path / f"{i}.png", Image.fromarray(pixels(100, 70)))
    assert load(tmp_path).schema.shape == (64, 64)
    monkeypatch.setattr(pictures, "LARGE", 7000)
    assert load(tmp_path).schema.shape == (70, 100)


@pytest.mark.parametrize(("good", "bad", "fits"), [(9, 1, True), (8, 1, False), (18, 2, True), (17, 2, False)])
def test_a_tenth_may_be_broken(tmp_path: Path, good: int, bad: int, fits: bool) -> None:
    for i in range(good):
        saved(tmp_path / f"{i}.png", Image.fromarray(pixels(5, 4)))
    for i in range(bad):
        (tmp_path / f"x{i}.png").write_bytes((tmp_path / "0.png").read_bytes()[: 50 if i else 3])
    if fits:
        assert len(load(tmp_path)) == good
        return
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.message.startswith(f"{bad} of {good + bad} pictures cannot be read: x0.png: is not a picture")
    assert caught.value.fix == "Remove or mend them; up to a tenth of the files is left out."


def test_a_stream_is_what_is_in_memory(tmp_path: Path) -> None:
    corpus(tmp_path)
    for name in BROKEN[1:4]:  # a header is all that is looked at before the rows are read
        (tmp_path / name).unlink()
    memory, stream = load(tmp_path, size=6), load(tmp_path, size=6, stream=True)
    assert stream.names[np.arange(51)].tolist() == memory.names.tolist()
    assert np.array_equal(stream.x[np.arange(51)], memory.x)
    assert memory.notes[0] in stream.notes


def test_other_pictures_become_what_the_model_has_seen(tmp_path: Path) -> None:
    corpus(tmp_path / "train")
    schema = load(tmp_path / "train", size=6, label="none").schema
    for i in range(3):
        saved(tmp_path / "new" / f"{i}.png", Image.fromarray(pixels(20, 30 + i)))
    new = load(tmp_path / "new", schema=schema)
    assert new.x.shape == (3, 6, 6, 3)
    assert new.notes[-1] == "3 grey pictures were made RGB."
    with pytest.raises(DataError, match=r"\(7, 7"):
        load(tmp_path / "new", schema=schema, size=7)


@pytest.mark.parametrize("size", [0, 9000])
def test_a_size_has_bounds(tmp_path: Path, size: int) -> None:
    saved(tmp_path / "a.png", Image.fromarray(pixels(5, 4)))
    with pytest.raises(UsageError, match="Give 1 to 8192 pixels, of a folder of pictures; leave it out for other data"):
        load(tmp_path, size=size)
    with pytest.raises(UsageError, match=r"6 is not a size of rows of 'digits'"):
        load("digits", size=6)


def test_heic_is_read_with_its_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    saved(tmp_path / "a.heic", Image.fromarray(smooth), quality=100)
    saved(tmp_path / "b.png", Image.fromarray(smooth))
    data = load(tmp_path)
    assert np.abs(data.x[0].astype(int) - data.x[1]).max() <= 6
