"""What is not where it should be, or means another thing than it looks: said in a note, or refused."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import latens
from latens.errors import DataError
from latens.kinds.pictures.files import _gif_ends, pixels_of

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


def test_labels_that_read_as_missing_words_are_counted(tmp_path: Path) -> None:
    words = ["nan", "None", "x", "y", "", "NA", "None", "x"]
    (tmp_path / "a.csv").write_text("a,label\n" + "".join(f"{i}.5,{word}\n" for i, word in enumerate(words)))
    said = "labels that count as missing: 'NA' (1), 'None' (2), 'nan' (1); write a class of that name otherwise"
    for found in (latens.load_data(tmp_path / "a.csv", label="label"), latens.load_data(X[:8], label=words)):
        assert found.notes == (said,)
        assert found.schema.classes == ("x", "y")
    assert latens.load_data(X[:3], label=["x", None, ""]).notes == ()


def write_words(kind: str, path: Path, words: list[str]) -> None:
    x = np.arange(2.0 * len(words)).reshape(-1, 2)
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["x"], file["label"] = x, np.array(words, object)
    elif kind == "folder":
        path.mkdir()
        np.save(path / "a.npy", x)
        np.save(path / "a.label.npy", np.array(words))
    else:
        frame = pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"]).assign(label=words)
        if kind == "parquet":
            frame.to_parquet(path, row_group_size=3)
        elif kind == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_feather(path, chunksize=3)


@pytest.mark.parametrize(
    ("kind", "typed"),
    [*((kind, False) for kind in ("parquet", "arrow")),
     *((kind, False) for kind in ("hdf5", "folder"))],
)  # fmt: skip
def test_labels_on_disk_that_read_as_missing_words_are_counted(kind: str, typed: bool, tmp_path: Path) -> None:
    """Whatever block a word is in."""
    path = tmp_path / f"a.{kind}"
    write_words(kind, path, ["nan", "None", "x", "y", "", "NA", "None", "x"])
    said = "labels that count as missing: 'NA' (1), 'None' (2), 'nan' (1); write a class of that name otherwise"
    given = {"label": "label"} if kind in ("parquet", "arrow", "csv") else {}
    for stream in (False, True):
        found = latens.load_data(path, stream=stream, typed=typed, **given)
        assert [note for note in found.notes if "labels" in note] == [said]
        assert found.schema.classes == ("x", "y")


@pytest.mark.parametrize("stream", [None, True])
def test_a_part_without_rows_is_passed_over(stream: bool | None, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    for name, rows in (("0", slice(0, 100)), ("1", slice(0, 0)), ("2", slice(100, 300))):
        frame.iloc[rows].to_parquet(tmp_path / f"{name}.parquet")
    found = latens.load_data(tmp_path, stream=stream)
    assert sorted(found.x[:, 0].tolist()) == sorted(X[:, 0].tolist())
    assert found.names[0] == "0.parquet:0"
    assert found.names[-1] == "2.parquet:199"


def test_a_folder_of_parts_without_rows_is_refused(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pd.DataFrame(X[:0], columns=list("abcd")).to_parquet(tmp_path / "0.parquet")
    with pytest.raises(DataError):
        latens.load_data(tmp_path)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_png_that_is_cut_anywhere_is_refused(kind: int, tmp_path: Path) -> None:
    """Pillow takes one whose pixels are all there, and blanks some that lack the end of their pixels."""
    pictures = [np.zeros((8, 8)), np.eye(8) * 255, np.random.default_rng(0).integers(0, 255, (8, 8))]
    pixels = pictures[kind].astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    raw, path = stream.getvalue(), tmp_path / "m.png"
    for end in (41, 50, len(raw) - 13, len(raw) - 12, len(raw) - 8, len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises((ValueError, OSError), match=r"cut off|truncated"):
            pixels_of(path, "L")
    for after in (b"", b"more" * 3000):
        path.write_bytes(raw + after)
        np.testing.assert_array_equal(pixels_of(path, "L")[0], pixels)


KINDS = {
    "a.png": {}, "a.gif": {}, "frames.gif": {}, "a.jpg": {}, "progressive.jpg": {"progressive": True}, "a.webp": {},
    "lossless.webp": {"lossless": True}, "a.bmp": {}, "a.tif": {}, "lzw.tif": {"compression": "tiff_lzw"},
    "big.tif": {"compression": "tiff_deflate", "big_tiff": True}, "packbits.tif": {"compression": "packbits"},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_that_lacks_its_last_bytes_is_refused(name: str, tmp_path: Path) -> None:
    """Pillow takes a GIF without its last two bytes, a PNG and a TIFF without their last three."""
    pixels = np.random.default_rng(0).integers(0, 255, (2, 16, 24), np.uint8)
    path, further = tmp_path / name, [Image.fromarray(pixels[1])] if name.startswith("frames") else []
    options = KINDS[name] | ({"save_all": True, "append_images": further} if further else {})
    Image.fromarray(pixels[0]).save(path, **options)
    whole = path.read_bytes()
    wanted = latens.load_data(tmp_path).x
    for cut in (1, 2, 3, 10, *([len(whole) // 4] if further else [])):
        path.write_bytes(whole[:-cut])
        plain = name.endswith("webp") or (name.endswith("tif") and name != "a.tif" and cut == 10)  # Pillow says no more
        why = "cannot be read" if plain else "is cut off"
        with pytest.raises(DataError, match=re.escape(f"1 of 1 pictures cannot be read: {name}: {why}.")):
            latens.load_data(tmp_path)
    path.write_bytes(whole + b"\0" * 5000)  # what follows a picture changes nothing
    np.testing.assert_array_equal(latens.load_data(tmp_path).x, wanted)


@pytest.mark.parametrize("colours", [b"", bytes(range(12))])
def test_a_gif_is_followed_block_by_block_to_its_end(colours: bytes) -> None:
    """A semicolon within a comment or within colours is not the end."""
    table = bytes([0x81 if colours else 1])
    screen = b"GIF89a" + bytes([2, 0, 2, 0]) + table + bytes(2) + colours
    comment = b"!\xfe" + bytes([3]) + b";;;" + bytes([1]) + b";" + bytes(1)
    frame = b"," + bytes(8) + table + colours + bytes([2]) + bytes([2]) + b"a;" + bytes(1)
    whole = screen + comment + frame + b";"
    assert _gif_ends(whole)
    for end in range(11, len(whole)):
        with pytest.raises(IndexError):
            _gif_ends(whole[:end])
