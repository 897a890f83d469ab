"""A folder of pictures: labels, ids, sizes and modes, and one error that lists everything that does not fit."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latens.data import check, load
from latens.errors import DataError, ResourceError
from latens.kinds.pictures import picture_files as image_folder

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
ADVICE = "Remove or mend them; up to a tenth of the files is left out."


def save(folder: Path, name: str, pixels: np.ndarray, mode: str | None = None, **options: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(folder / name, **options)


def refusal(folder: Path, **options: Any) -> tuple[str, str]:
    with pytest.raises((DataError, ResourceError)) as caught:
        load(folder, **options)
    error: Any = caught.value
    assert error.where == str(folder)
    return error.message, error.fix


def test_labels_ids_and_pixels(tmp_path: Path) -> None:
    for name, shift in (("dog/b.png", 1), ("cat/ü 1.png", 2), ("dog/a.PNG", 3)):
        save(tmp_path, name, GREY + np.uint8(shift))
    data = load(tmp_path)
    assert data.names.tolist() == ["cat/ü 1.png", "dog/a.PNG", "dog/b.png"]
    assert (data.x.dtype, data.x[:, 0, 0].tolist()) == (np.uint8, [2, 3, 1])
    assert np.array_equal(data.x[2], GREY + 1)
    assert (data.label.tolist(), data.schema.classes) == ([0, 1, 1], ("cat", "dog"))
    assert (data.schema.kind, data.schema.levels, data.schema.shape) == ("levels", 256, (3, 4))
    assert load(tmp_path, label="none").label is None
    assert data.name == tmp_path.name
    assert refusal(tmp_path, label="kind")[0] == "a folder has no column 'kind'."


def test_pictures_outside_subfolders_have_no_label(tmp_path: Path) -> None:
    save(tmp_path, "one.png", GREY)
    assert load(tmp_path).label is None
    save(tmp_path, "some/two.png", GREY)
    data = load(tmp_path)
    assert (data.names.tolist(), data.label.tolist()) == (["one.png", "some/two.png"], [-1, 0])


def test_a_glob_is_a_folder_of_some_and_a_file_is_a_row_of_a_model(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/a.png", "cat/b.png"):
        save(tmp_path, name, GREY)
    some = load(f"{tmp_path}/*/b.png")
    assert (some.names.tolist(), some.schema.classes) == (["cat/b.png", "dog/b.png"], ("cat", "dog"))
    assert load(f"{tmp_path}/dog/*.png", size=2).x.shape == (2, 2, 2)
    assert [load(f"{tmp_path}/dog/{k}.p*", stream=True).names.tolist() for k in "ab"] == [["a.png"], ["b.png"]]
    assert np.array_equal(load(tmp_path / "cat" / "b.png", schema=some.schema).x, [GREY])
    with pytest.raises(DataError, match="One picture is not a data set"):
        load(tmp_path / "cat" / "b.png")


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "tif", "tiff"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_formats_without_loss(tmp_path: Path, ending: str, pixels: np.ndarray) -> None:
    save(tmp_path, f"a.{ending}", pixels, **({"lossless": True} if ending == "webp" else {}))
    coloured = ending == "webp" and pixels.ndim == 2  # WebP has no grey
    assert np.array_equal(load(tmp_path).x[0], np.repeat(GREY[..., None], 3, -1) if coloured else pixels)


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 256).reshape(16, 16).astype(np.uint8)
    save(tmp_path, "a.jpg", smooth, quality=95)
    assert np.abs(load(tmp_path).x.astype(int) - smooth).max() <= 6


def test_black_and_white_is_0_and_1(tmp_path: Path) -> None:
    save(tmp_path, "a.png", (GREY > 100) * np.uint8(255), "1")
    data = load(tmp_path)
    assert data.schema.kind == "binary"
    assert np.array_equal(data.x[0], GREY > 100)


def test_palettes_become_their_colours_and_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    quantised = Image.fromarray(RGB).quantize(12)
    quantised.save(tmp_path / "a.png")
    save(tmp_path, "b.png", np.concatenate([RGB, np.full((3, 4, 1), 255, np.uint8)], -1))
    data = load(tmp_path)
    assert np.array_equal(data.x[0], np.asarray(quantised.convert("RGB")))
    assert np.array_equal(data.x[1], RGB)
    assert data.notes == ()


@pytest.mark.parametrize("options", [{}, {"size": 2}, {"stream": True}])
def test_pixels_that_are_not_opaque_are_missing_where_that_is_said(tmp_path: Path, options: dict[str, Any]) -> None:
    four, alpha = np.arange(48, dtype=np.uint8).reshape(4, 4, 3), np.full((4, 4, 1), 255, np.uint8)
    alpha[:2, 2:] = 200
    save(tmp_path, "a.png", four)
    save(tmp_path, "b.png", np.concatenate([four, alpha], -1))
    data = load(tmp_path, missing="nan", **options)
    first, second = ~np.asarray(data.mask)
    assert not first.any()
    assert np.array_equal(second, np.repeat(alpha < 255, 3, -1)) or ("size" in options and second[0, 1].all())
    assert np.array_equal(data.x[1][~second], data.x[0][~second])
    assert "Transparent pixels are missing in 1 pictures." in data.notes


# What a picture is by each of the eight orientations, where the camera stored GREY (EXIF 2.3, table 6).
UPRIGHT = {
    1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T, 6: GREY.T[:, ::-1], 7: GREY.T[::-1, ::-1],
    8: GREY.T[::-1],
}  # fmt: skip


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_upright_and_told(tmp_path: Path, orientation: int, ending: str) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    for name, pixels in (("d/a", GREY), ("d/b", GREY + np.uint8(1))):
        save(tmp_path, f"{name}.{ending}", pixels, exif=tags, **options)
    for stream in (None, True):
        data = load(tmp_path / "d", stream=stream)
        assert np.array_equal(data.x[0][..., 0] if ending == "webp" else data.x[0], UPRIGHT[orientation])
        said = [note for note in check(data)["warnings"] if "EXIF" in note]
        assert said == ["2 pictures were turned upright, as their EXIF orientation says."] * (orientation > 1)


def test_a_damaged_note_of_a_camera_turns_nothing(tmp_path: Path) -> None:
    save(tmp_path, "a.png", GREY, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0")
    assert np.array_equal(load(tmp_path).x[0], GREY)


def test_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    for i in range(13):
        save(tmp_path, f"cat/{i}.png", GREY)
    for name in (".hidden.png", "notes.txt", "cat/.DS_Store", "cat/list.csv", "zebra.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "cat" / "deep").mkdir()
    (tmp_path / "cat" / "empty.png").write_bytes(b"")
    said = check(load(tmp_path))["warnings"]
    named = ".DS_Store, .hidden.png, deep, list.csv, notes.txt"
    assert f"Other files left out: 6 ({named} and 1 more), hidden or not pictures." in said
    assert "1 of 14 pictures cannot be read: cat/empty.png: is empty. They were left out." in said


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A file of some 60 bytes that claims this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_everything_that_does_not_fit_is_in_one_error(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path, f"good/{i}.png", GREY)
    save(tmp_path, "bad/size.png", GREY.T.copy())
    save(tmp_path, "bad/colour.png", RGB)
    save(tmp_path, "bad/deep.png", GREY.astype(np.uint16) * 256)
    save(tmp_path, "bad/float.tif", GREY.astype(np.float32))
    Image.fromarray(RGB).save(tmp_path / "bad" / "text.bmp", "PPM")  # of none of the six formats
    for ending in ("jpg", "tif"):
        (tmp_path / "bad" / f"text.{ending}").write_bytes(b"no picture")
    whole = (tmp_path / "good" / "0.png").read_bytes()
    (tmp_path / "bad" / "cut.png").write_bytes(whole[:45])
    (tmp_path / "bad" / "huge.png").write_bytes(png(20000, 20000))
    (tmp_path / "bad" / "large.png").write_bytes(png(10000, 10000))
    message, fix = refusal(tmp_path)
    assert message == (
        "7 of 14 pictures cannot be read: bad/cut.png: is cut off; bad/float.tif: has pixels of mode F; "
        "bad/huge.png: claims more pixels than a picture may have; bad/large.png: claims more pixels than a picture "
        "may have; bad/text.bmp: is not a picture; and 2 more."
    )
    assert fix == ADVICE


def test_too_many_pixels_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, "a.png", RGB)
    monkeypatch.setattr(image_folder, "MAX_BYTES", 30)
    assert refusal(tmp_path) == (
        "holds 1 pictures of 4 x 3 pixels, more than 30 bytes in all.",
        "Make them smaller with --size, or use fewer.",
    )


def test_folders_within_folders(tmp_path: Path) -> None:
    save(tmp_path, "train/cat/a.png", GREY)
    assert refusal(tmp_path) == (
        "holds pictures two folders down, in 'train/cat'.",
        "Give the folder 'train' alone: the folders right in it are the labels.",
    )
    assert load(tmp_path / "train").schema.classes == ("cat",)


def test_damaged_pictures_load_or_are_listed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    outcomes = {"loaded": 0, "listed": 0}
    for ending in ("png", "jpg", "bmp", "gif", "webp", "tif"):
        path = tmp_path / ending / f"a.{ending}"
        save(path.parent, path.name, RGB if ending in ("jpg", "webp") else GREY)
        content = path.read_bytes()
        for i in range(40):
            data = bytearray(content[: len(content) // 2 + (i % 4 + 1) * (len(content) + 7) // 8])
            data[random.integers(len(data))] = random.integers(256)
            path.write_bytes(data)
            try:
                outcomes["loaded"] += load(path.parent).x.dtype == np.uint8
            except (DataError, ResourceError) as error:
                outcomes["listed"] += "pictures" in error.message
    assert sum(outcomes.values()) == 240
    assert min(outcomes.values()) > 20
