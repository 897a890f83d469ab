"""Pictures in files: folders of them, and the IDX files of MNIST.

The names of the subfolders of a folder are the labels, the relative paths the row ids. Pictures of one size stay as
they are. Where sizes differ, the shorter side is scaled and the centre kept, and all become of one kind.
"""

import contextlib
import math
import struct
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data.row_fields import ColumnRoles, Raw, damaged, join_parts, needed, no_roles
from latens.data.schema import MAX_CELLS
from latens.errors import DataError, ResourceError
from latens.runtime.file_limits import MAX_BYTES, MAX_RATIO, refuse_away, refuse_large, unpacked

HEIC = (".heic", ".heif")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", *HEIC)
MAX_FILES = 10_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
# Pillow's mode -> what a row becomes. Palettes become the colours they stand for.
_KINDS = {"1": "black and white", "L": "grey", "LA": "grey", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "PA": "RGB"}
_DEEP = {"I;16", "I;16B", "I;16L", "I"}
_KINDS |= dict.fromkeys((*_DEEP, "La"), "grey") | dict.fromkeys(("CMYK", "YCbCr", "HSV", "RGBX", "RGBa"), "RGB")
TARGET = {"black and white": "1", "grey": "L", "RGB": "RGB"}
ADVICE = "Remove or mend them; up to a tenth of the files is left out."

SIDE = 64
"""The side of pictures of unlike size, in pixels, where most are not smaller."""

LARGE = 2**20
"""Pixels above which pictures are scaled though all have one size: those of cameras."""

MOST_BROKEN = 0.1
"""The share of files that may be broken."""

CUT_OFF = "is cut off"
"""What is said of a file that ends too early."""

NAMED = 5
"""Files that are named, of those that are left out."""

BLOCK_FILES, BLOCK_BYTES = 256, 2**24
"""A block has so many pictures, or fewer where they take more bytes."""


@dataclass(frozen=True)
class Found:
    """What a folder or a glob holds."""

    folder: Path
    pictures: tuple[str, ...]  # paths of images relative to it, sorted
    others: tuple[str, ...]  # names of the other files, which were passed over, sorted


def find_pictures(folder: Path) -> Found:
    """Find the images in a folder and in its subfolders by the ends of their names; hidden files do not count."""
    pictures: list[str] = []
    others: list[str] = []
    for path, label in _entries(folder):
        hidden = path.name.startswith(".")
        if not hidden and path.is_dir():
            if any(deep.name.lower().endswith(ENDINGS) for deep in path.iterdir()):
                what = f"holds pictures two folders down, in {f'{label}/{path.name}'!r}."
                fix = f"Give the folder {label!r} alone: the folders right in it are the labels."
                raise DataError(what, where=str(folder), fix=fix)
            others.append(path.name)
        elif not hidden and path.name.lower().endswith(ENDINGS) and path.is_file():
            pictures.append(f"{label}/{path.name}" if label else path.name)
        else:
            others.append(path.name)
        if len(pictures) > MAX_FILES:
            raise ResourceError(f"holds more than {MAX_FILES} pictures.", where=str(folder), fix="Use fewer.")
    refuse_away((folder / name for name in pictures), folder)
    return Found(folder, tuple(sorted(pictures)), tuple(sorted(others)))


def _entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of a folder, and what its subfolders hold with the name of the subfolder; these themselves are left out."""
    for entry in folder.iterdir():
        if entry.name.startswith(".") or not entry.is_dir():
            yield entry, ""
        else:
            yield from ((inner, entry.name) for inner in entry.iterdir())


class Head(NamedTuple):
    """What the header of a picture says."""

    size: tuple[int, int]  # width and height of it upright
    kind: str
    mode: str


@dataclass(frozen=True)
class Survey:
    """What the pictures of a folder have in common, as their headers say."""

    heads: dict[str, Head]  # of those that have one, by name
    problems: dict[str, str]  # of the others, why they cannot be read
    total: int
    size: tuple[int, int]  # width and height of every row
    kind: str
    scaled: bool
    chosen: bool  # whether the size is latens's own choice


def survey(folder: Path, names: tuple[str, ...], wanted: tuple[int, ...] | None) -> Survey:
    """Read the headers of pictures and choose what all rows become."""
    # wanted: (N, N) as --size asks, or (height, width, channels) of a trained model; None: chosen here.
    if heic := [name for name in names if name.lower().endswith(HEIC)]:
        fix = f"pip install 'latens[heic]' reads the {len(heic)} HEIC files; or save them as .jpg."
        needed("pillow_heif", f"{heic[0]!r}", str(folder), fix).register_heif_opener()
    heads: dict[str, Head] = {}  # read first, so that all that is wrong is told at once
    problems: dict[str, str] = {}
    for name in names:
        try:
            heads[name] = head_of(folder / name)
        except unreadable() as error:
            problems[name] = _reason_of(folder / name, error)
    if not heads:
        raise DataError(_listed(problems, len(names)), where=str(folder), fix=ADVICE)
    size = Counter(head.size for head in heads.values()).most_common(1)[0][0]
    alike, chosen = all(head.size == size for head in heads.values()), False
    if wanted is not None:
        alike, size = alike and size == wanted[1::-1], (wanted[1], wanted[0])
    elif not alike or math.prod(size) > LARGE:
        side = min(SIDE, int(np.median([min(head.size) for head in heads.values()])))
        alike, size, chosen = False, (side, side), True
    kinds = {head.kind for head in heads.values()}
    kind = "RGB" if "RGB" in kinds else "grey" if "grey" in kinds or not alike else "black and white"
    if wanted is not None and len(wanted) == 3:
        kind = "RGB" if wanted[2] == 3 else "grey" if kind == "RGB" else kind
    return Survey(heads, problems, len(names), size, kind, not alike, chosen)


def picture_parts(found: Found, roles: ColumnRoles) -> Iterator[Raw]:
    """Read pictures as rows of uint8, some at a time: (n, h, w) for grey or 0 and 1, else (n, h, w, 3)."""
    # The first frame of a moving picture is taken, and pictures are turned upright as their EXIF orientation says.
    no_roles(roles, str(found.folder), "Its labels are the names of its sub-folders.", "a folder has")
    folder, seen = found.folder, survey(found.folder, found.pictures, roles.pictures)
    shape = (*seen.size[::-1], 3) if seen.kind == "RGB" else seen.size[::-1]
    names, problems = list(seen.heads), seen.problems
    size, each = seen.size if seen.scaled else None, _at_once(shape, len(names), str(folder))
    part, done = None, np.zeros(3, np.int64)
    read: list[str] = []
    for at in range(0, len(names), each):
        rows: dict[str, np.ndarray] = {}
        for name in names[at : at + each]:
            try:
                rows[name], marks = pixels_of(folder / name, TARGET[seen.kind], size, gaps=roles.missing is not None)
                done += marks
            except unreadable() as error:
                problems[name] = _reason_of(folder / name, error)
        if rows:
            if part is not None:
                yield part
            read += rows
            labels = np.array([name.rpartition("/")[0] for name in rows])
            part = Raw(np.stack([*rows.values()]), labels if any("/" in n for n in names) else None, np.array([*rows]))
    if len(problems) > MOST_BROKEN * seen.total:
        raise DataError(_listed(problems, seen.total), where=str(folder), fix=ADVICE)
    if part is not None:
        part.notes = (*_done(seen, read, done, roles.missing is not None), *_left_out(found.others))  # known by now
        yield part


def _at_once(shape: tuple[int, ...], rows: int, where: str) -> int:
    """How many pictures are decoded together; a DataError where all of them are too large."""
    cells = math.prod(shape)
    if cells > MAX_CELLS or cells * rows > MAX_BYTES:
        what = f"holds {rows} pictures of {shape[1]} x {shape[0]} pixels, more than {MAX_BYTES} bytes in all."
        raise ResourceError(what, where=where, fix="Make them smaller with --size, or use fewer.")
    return max(1, min(BLOCK_FILES, BLOCK_BYTES // cells))


def _left_out(others: tuple[str, ...]) -> list[str]:
    """The other files of a folder, of which the first few are named."""
    if not others:
        return []
    more = "" if len(others) <= NAMED else f" and {len(others) - NAMED} more"
    return [f"Other files left out: {len(others)} ({', '.join(others[:NAMED])}{more}), hidden or not pictures."]


def _done(seen: Survey, names: list[str], did: Shaped[np.ndarray, "3"], gaps: bool) -> list[str]:
    """What was made of the pictures, in at most three lines."""
    notes, heads = [], [seen.heads[name] for name in names]
    if seen.scaled:
        width, height = seen.size
        more = "; --size N takes another side" if seen.chosen else ""
        side = f"so that the shorter side has {width} pixels" if width == height else f"to {width} x {height} pixels"
        n = sum(head.size != seen.size for head in heads)
        what = "1 picture was scaled" if n == 1 else f"{n:,} pictures were scaled"
        notes.append(f"{what} {side}, and {'its' if n == 1 else 'their'} centre was kept{more}.")
    if seen.problems:
        notes.append(f"{_listed(seen.problems, seen.total)} They were left out.")
    moving, turned, clear = did.tolist()
    said = [f"{moving} files hold several frames; the first of each was taken."] if moving else []
    said += [f"{turned} pictures were turned upright, as their EXIF orientation says."] if turned else []
    kinds = Counter(head.kind for head in heads)
    said += [f"{n} {kind} pictures were made {seen.kind}." for kind, n in sorted(kinds.items()) if kind != seen.kind]
    deep, inks = sum(head.mode in _DEEP for head in heads), sum(head.mode == "CMYK" for head in heads)
    said += [f"{inks} CMYK pictures were made {seen.kind}."] if inks else []
    said += [f"{deep} pictures of 16 bits were made of 8."] if deep else []
    what = "Transparent pixels are missing in" if gaps else "A white background was put behind"
    said += [f"{what} {clear} pictures."] if clear else []
    return notes + ([" ".join(said)] if said else [])


def head_of(file: Path) -> Head:
    """Read the size and the kind of a picture, from its header alone."""
    with _opened(file) as picture:
        if picture.mode not in _KINDS:
            raise ValueError(f"has pixels of mode {picture.mode}")
        width, height = picture.size
        # Pillow itself turns a TIFF, its size already in the header.
        sideways = _orientation(picture) >= 5 and picture.format != "TIFF"
        return Head((height, width) if sideways else (width, height), _KINDS[picture.mode], picture.mode)


def _orientation(picture: Any) -> int:
    """The EXIF orientation, 1 to 8; 1 is upright, and what there is where no camera noted any."""
    # Pillow would decode a whole PNG to look for a note behind its pixels.
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    try:
        found = picture.getexif().get(0x0112, 1)
    except Exception:  # a damaged note, of which Pillow raises nearly anything, turns no picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of a small file that claims 90 million pixels or more; here that is refused. What it says about
        # a file's other tags has no influence on the pixels.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # As an open file, not by its path: Pillow maps a TIFF on its side into memory with width and height exchanged.
        formats = (*_FORMATS, "HEIF") if "HEIF" in Image.OPEN else _FORMATS
        with path.open("rb") as file, Image.open(file, formats=formats) as picture:
            yield picture


def pixels_of(
    path: Path, target: str, size: tuple[int, int] | None = None, *, gaps: bool = False
) -> tuple[np.ndarray, tuple[bool, bool, bool]]:
    """Decode a picture; with a size its shorter side is scaled to it and its centre kept."""
    # gaps: whether pixels that are not opaque are missing, NaN in float32; else they get a white background.
    # returns: uint8 (h, w) or (h, w, 3); whether the file has several frames, did not lie upright, was transparent.
    from PIL import Image, ImageOps

    upright: Any
    with _opened(path) as picture:
        orientation = _orientation(picture)
        if size is not None:
            picture.draft(None, (2 * max(size),) * 2)  # a JPEG is decoded at a half, a quarter or an eighth
        picture.load()
        # Of a PNG without its last piece Pillow blanks the pixels that are not there.
        if picture.format == "PNG" and b"IEND" not in path.read_bytes()[:-4]:
            raise ValueError(CUT_OFF)
        # Pillow has turned a TIFF by now.
        as_is = orientation == 1 or picture.format == "TIFF"
        upright = picture if as_is else ImageOps.exif_transpose(picture)
        layered = upright.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in picture.info
        alpha = upright.convert("RGBA").getchannel("A") if layered else Image.new("L", upright.size, 255)
        clear = any(alpha.histogram()[:255])
        if clear and not gaps:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        if upright.mode in _DEEP:
            deep = np.asarray(upright)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError(f"has pixels of mode {upright.mode}")
            upright = Image.fromarray((deep >> 8).astype(np.uint8))
        if size is not None:
            upright, alpha = (
                ImageOps.fit(one, size, Image.Resampling.LANCZOS) for one in (upright.convert("RGB"), alpha)
            )
        flat = upright if upright.mode == target else upright.convert(target)
        pixels = np.asarray(flat).astype(np.float32 if gaps else np.uint8)
        if gaps:
            pixels[np.asarray(alpha) < 255] = np.nan
        moving = getattr(picture, "n_frames", 1) > 1  # counted last: that moves to other frames
        return pixels, (moving, orientation != 1, clear)


def unreadable() -> tuple[type[BaseException], ...]:
    """List what Pillow raises for files that are cut off, damaged, too large or none of its formats."""
    from PIL import Image

    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    return (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError, *bombs)


def _reason_of(path: Path, error: BaseException) -> str:
    """Say in a few words why a picture cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if path.is_file() and not path.stat().st_size:
        return "is empty"
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "claims more pixels than a picture may have"
    said = str(error)
    if "truncated" in said.lower() or said == CUT_OFF:
        return CUT_OFF
    own = type(error) is ValueError and said.startswith("has pixels of mode ")
    return said if own else "cannot be read"


def _listed(problems: dict[str, str], total: int) -> str:
    first = "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)[:NAMED])
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f"{len(problems)} of {total} pictures cannot be read: {first}{more}."


TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

STARTS = tuple(bytes([0, 0, kind, dims]) for kind in TYPES for dims in range(1, 9))
"""How such files begin."""

_PARTS = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file, gzipped or not (told by its first bytes, not its name)."""
    where = str(path)
    with unpacked(path) as (stream, packed):
        start = stream.read(4)
        if start not in STARTS:
            raise damaged(where, "does not begin like an IDX file (two zero bytes, a type, 1 to 8 dimensions).")
        shape = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
        dtype = np.dtype(TYPES[start[2]])
        size = math.prod(shape) * dtype.itemsize
        if size > path.stat().st_size * (MAX_RATIO if packed else 1):
            raise damaged(where, f"the header declares {size} bytes of data, more than the file can hold.")
        refuse_large(size, where)
        data = stream.read(size + 1)
    if len(data) != size:
        held = "more" if len(data) > size else len(data)
        raise damaged(where, f"the header declares {size} bytes of data, {held} follow.")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def idx_folder(folder: Path) -> dict[str, Path] | None:
    """Find the MNIST-named files of a folder."""
    # Both spellings (train-images-idx3-ubyte and train-images.idx3-ubyte) are known, with and without .gz.
    found: dict[str, Path] = {}
    for part in _PARTS.values():
        for what, dims in (("images", 3), ("labels", 1)):
            stems = [f"{part}-{what}{dot}idx{dims}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
            path = next((folder / stem for stem in stems if (folder / stem).is_file()), None)
            if path is not None:
                found[f"{part}-{what}"] = path
    refuse_away(found.values(), folder)
    return found if "train-images" in found else None


def read_idx_folder(folder: Path, files: dict[str, Path]) -> Raw:
    """Read the rows of a folder with MNIST-named files; the t10k files are the test set, labels may be missing."""
    parts: dict[str, Raw] = {}
    for part, word in _PARTS.items():
        if f"{word}-images" in files:
            label = files.get(f"{word}-labels")
            parts[part] = Raw(read_idx(files[f"{word}-images"]), None if label is None else read_idx(label))
    for name, part in parts.items():
        if part.label is not None and part.label.shape != (len(part.x),):
            what = f"the {name} part has {len(part.x)} images and labels of shape {part.label.shape}."
            raise DataError(what, where=str(folder), fix="Use the label file that belongs to the images.")
    return join_parts(parts, str(folder))
