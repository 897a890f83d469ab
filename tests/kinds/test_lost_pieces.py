"""What is not where it should be, or means another thing than it looks: said in a note, or refused."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import latens
from latens.errors import DataError
from latens.kinds.pictures.picture_files import pixels_of

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


WORDS = ["nan", "None", "x", "y", "", "NA", "None", "x"]
SAID = "labels that count as missing: 'NA' (1), 'None' (2), 'nan' (1); write a class of that name otherwise"


def test_labels_that_read_as_missing_words_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,label\n" + "".join(f"{i}.5,{word}\n" for i, word in enumerate(WORDS)))
    for found in (latens.read(tmp_path / "a.csv", label="label"), latens.read(X[:8], label=WORDS)):
        assert found.notes == (SAID,)
        assert found.schema.classes == ("x", "y")
    assert latens.read(X[:3], label=["x", None, ""]).notes == ()


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
        else:
            frame.to_feather(path, chunksize=3)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "hdf5", "folder"])
def test_labels_on_disk_that_read_as_missing_words_are_counted(kind: str, tmp_path: Path) -> None:
    """Whatever block a word is in."""
    path = tmp_path / f"a.{kind}"
    write_words(kind, path, WORDS)
    given = {"label": "label"} if kind in ("parquet", "arrow") else {}
    for stream in (False, True):
        found = latens.read(path, stream=stream, **given)
        assert [note for note in found.notes if "labels" in note] == [SAID]
        assert found.schema.classes == ("x", "y")


@pytest.mark.parametrize("stream", [None, True])
def test_a_part_without_rows_is_passed_over(stream: bool | None, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    for name, rows in (("0", slice(0, 100)), ("1", slice(0, 0)), ("2", slice(100, 300))):
        frame.iloc[rows].to_parquet(tmp_path / f"{name}.parquet")
    found = latens.read(tmp_path, stream=stream)
    assert sorted(found.x[:, 0].tolist()) == sorted(X[:, 0].tolist())
    assert found.names[0] == "0.parquet:0"
    assert found.names[-1] == "2.parquet:199"


def test_a_folder_of_parts_without_rows_is_refused(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pd.DataFrame(X[:0], columns=list("abcd")).to_parquet(tmp_path / "0.parquet")
    with pytest.raises(DataError):
        latens.read(tmp_path)


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
    "a.png": {}, "a.jpg": {}, "progressive.jpg": {"progressive": True}, "a.webp": {}, "a.bmp": {},
    "lossless.webp": {"lossless": True}, "a.gif": {}, "a.tif": {}, "lzw.tif": {"compression": "tiff_lzw"},
}  # fmt: skip
WHOLE = ("gif", "tif")
"""Of these Pillow takes a file that lacks what stands behind its pixels."""


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_that_lacks_its_last_bytes_is_refused_or_the_same(name: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24), np.uint8)
    Image.fromarray(pixels).save(tmp_path / name, **KINDS[name])
    whole, wanted = (tmp_path / name).read_bytes(), latens.read(tmp_path).x
    for cut in (1, 2, 3, 10, len(whole) // 4, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:-cut])
        if name.endswith(WHOLE) and cut < 4:
            with contextlib.suppress(DataError):
                np.testing.assert_array_equal(latens.read(tmp_path).x, wanted)
            continue
        with pytest.raises(
            DataError, match=f"1 of 1 pictures cannot be read: {name}: (is cut off|cannot be read|is not a pic)"
        ):
            latens.read(tmp_path)
    (tmp_path / name).write_bytes(whole + b"\0" * 5000)  # what follows a picture changes nothing
    np.testing.assert_array_equal(latens.read(tmp_path).x, wanted)
