"""A folder of images: one row a file, the subfolders' names are the labels, the relative paths are the row ids."""

import contextlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import MAX_BYTES, Raw
from latens.data.schema import MAX_CELLS
from latens.errors import DataError, ResourceError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MAX_FILES = 10_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_SHOWN = 5
# Pillow's mode -> what a row becomes. Palettes become the colours they stand for; alpha must be opaque.
_KINDS = {"1": "black and white", "L": "grey", "LA": "grey", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "PA": "RGB"}
TARGET = {"black and white": "1", "grey": "L", "RGB": "RGB"}
ADVICE = "Remove or convert them, so that all have one size and are 8-bit grey or RGB without transparency."


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    pictures: tuple[str, ...]  # paths of images relative to it, sorted
    ignored: int  # how many other files were passed over


def find_pictures(folder: Path) -> Found:
    """Find the images in a folder and in its subfolders by the ends of their names; hidden files do not count."""
    pictures: list[str] = []
    ignored = 0
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            ignored += 1
        elif not entry.is_dir():
            ignored += not _add(pictures, entry, entry.name)
        else:
            for inner in entry.iterdir():
                if inner.name.startswith("."):
                    ignored += 1
                elif not inner.is_dir():
                    ignored += not _add(pictures, inner, f"{entry.name}/{inner.name}")
                elif any(deep.name.lower().endswith(ENDINGS) for deep in inner.iterdir()):
                    raise DataError(
                        f"holds pictures two folders down, in {f'{entry.name}/{inner.name}'!r}.",
                        where=str(folder),
                        fix=f"Give the folder {entry.name!r} alone: the folders right in it are the labels.",
                    )
                else:
                    ignored += 1
        if len(pictures) > MAX_FILES:
            raise ResourceError(f"holds more than {MAX_FILES} pictures.", where=str(folder), fix="Use fewer.")
    return Found(tuple(sorted(pictures)), ignored)


def _add(pictures: list[str], path: Path, name: str) -> bool:
    known = path.name.lower().endswith(ENDINGS) and path.is_file()
    if known:
        pictures.append(name)
    return known


def read_pictures(folder: Path, found: Found) -> Raw:
    """Read images as rows of uint8: (n, h, w) for grey or black and white (0 and 1), else (n, h, w, 3)."""
    # The first frame of a moving image is taken, and pictures are turned upright as their EXIF orientation says.
    heads, problems = _heads(folder, found.pictures)
    if not heads:
        raise _refusal(folder, problems, len(found.pictures))
    (size, kind), _ = Counter(heads.values()).most_common(1)[0]
    good = []
    for name, head in heads.items():
        if head == (size, kind):
            good.append(name)
        else:
            problems[name] = f"{shown(*head)}, most are {shown(size, kind)}"
    shape = (size[1], size[0], 3) if kind == "RGB" else (size[1], size[0])
    cells = math.prod(shape)
    if cells > MAX_CELLS or cells * len(good) > MAX_BYTES:
        what = f"holds {len(good)} pictures of {size[0]} x {size[1]} pixels, more than {MAX_BYTES} bytes in all."
        raise ResourceError(what, where=str(folder), fix="Use smaller pictures, or fewer.")
    x = np.empty((len(good), *shape), np.uint8)
    moving = turned = 0
    for i, name in enumerate(good):
        try:
            x[i], frames, upright = pixels_of(folder / name, TARGET[kind])
            moving, turned = moving + (frames > 1), turned + (not upright)
        except unreadable() as error:
            problems[name] = reason(error)
    if problems:
        raise _refusal(folder, problems, len(found.pictures))
    notes = []
    if found.ignored:
        notes.append(f"{found.ignored} hidden files and files that are no pictures were left out.")
    if moving:
        notes.append(f"{moving} files hold several frames; the first of each was taken.")
    notes += turned_notes(turned)
    labels = [name.split("/")[0] if "/" in name else "" for name in good]
    return Raw(x, np.array(labels) if any(labels) else None, np.array(good), notes=tuple(notes))


def _heads(folder: Path, names: tuple[str, ...]) -> tuple[dict[str, tuple[tuple[int, int], str]], dict[str, str]]:
    """Size and kind of every picture, read from its header alone; and what is wrong with the others."""
    heads: dict[str, tuple[tuple[int, int], str]] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            heads[name] = head_of(folder / name)
        except unreadable() as error:
            problems[name] = reason(error)
    return heads, problems


def head_of(file: Any) -> tuple[tuple[int, int], str]:
    """Read the size and the kind of a picture, from its header alone."""
    with _opened(file) as picture:
        if picture.mode not in _KINDS:
            raise ValueError(f"has pixels of mode {picture.mode}")
        width, height = picture.size
        # Pillow itself turns a TIFF, its size already in the header.
        sideways = _orientation(picture) >= 5 and picture.format != "TIFF"
        return (height, width) if sideways else (width, height), _KINDS[picture.mode]


def turned_notes(count: int) -> list[str]:
    """The sentence that says how many pictures were turned upright, if any were."""
    return [f"{count} pictures were turned upright, as their EXIF orientation says."] if count else []


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
def _opened(path: Any) -> Iterator[Any]:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of a small file that claims 90 million pixels or more; here that is refused. What it says about
        # a file's other tags has no influence on the pixels.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # As an open file, not by its path: Pillow maps a TIFF on its side into memory with width and height exchanged.
        opened = contextlib.nullcontext(path) if hasattr(path, "read") else open(path, "rb")  # noqa: SIM115
        with opened as file, Image.open(file, formats=_FORMATS) as picture:
            if picture.format == "PNG" and not _ends(file):
                raise ValueError("is cut off: its last piece is not there")
            yield picture


def _ends(file: Any) -> bool:
    """Whether a PNG has its last piece, without which Pillow takes the pixels that are there."""
    at, size = file.tell(), file.seek(0, os.SEEK_END)
    found = False
    for start in (max(0, size - 4096), 0):  # another file may follow
        file.seek(start)
        found = found or b"IEND" in file.read()
    file.seek(at)
    return found


def pixels_of(path: Any, target: str) -> tuple[np.ndarray, int, bool]:
    """Decode a picture."""
    # returns: uint8or (h, w, 3), how many frames the file has, and whether it lay upright.
    from PIL import ImageOps

    with _opened(path) as picture:
        orientation = _orientation(picture)
        picture.load()
        layered = picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info
        if layered and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise ValueError("has transparent pixels")
        # Pillow has turned a TIFF by now.
        as_is = orientation == 1 or picture.format == "TIFF"
        upright = picture if as_is else ImageOps.exif_transpose(picture)
        flat = upright if upright.mode == target else upright.convert(target)
        pixels = np.asarray(flat).astype(np.uint8)
        return (
            pixels,
            getattr(picture, "n_frames", 1),
            orientation == 1,
        )  # counted last: that moves to other frames


def unreadable() -> tuple[type[BaseException], ...]:
    """List what Pillow raises for files that are cut off, damaged, too large or none of its formats."""
    from PIL import Image

    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    return (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError, *bombs)


def reason(error: BaseException) -> str:
    """Say in a few words why a picture cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "claims more pixels than a picture may have"
    own = type(error) is ValueError and str(error).startswith(("has transparent pixels", "has pixels of mode "))
    return str(error) if own else "cannot be read"


def shown(size: tuple[int, int], kind: str) -> str:
    """Write the size and the kind of a picture."""
    return f"{size[0]} x {size[1]} {kind}"


def _refusal(folder: Path, problems: dict[str, str], total: int) -> DataError:
    first = "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return DataError(f"{len(problems)} of {total} pictures do not fit: {first}{more}.", where=str(folder), fix=ADVICE)
