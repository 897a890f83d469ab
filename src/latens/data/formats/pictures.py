"""Pictures: folders of them, a row a file, and tars of the WebDataset kind; in memory or decoded block by block.

The names of the subfolders of a folder are the labels, the relative paths the row ids.
"""

import abc
import contextlib
import io
import math
import struct
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.formats.source import AbstractSource, BlockTable, File, Place, digest_of
from latens.data.formats.tables import text_array
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged, no_roles
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


BLOCK_FILES, BLOCK_BYTES = 256, 2**24
"""A block has so many pictures, or fewer where they take more bytes."""


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    pictures: tuple[str, ...]  # paths of images relative to it, sorted
    ignored: int  # how many other files were passed over


def find_pictures(folder: Path) -> Found:
    """Find the images in a folder and in its subfolders by the ends of their names; hidden files do not count."""
    pictures: list[str] = []
    ignored = 0
    for path, label in _entries(folder):
        hidden = path.name.startswith(".")
        if not hidden and path.is_dir():
            if any(deep.name.lower().endswith(ENDINGS) for deep in path.iterdir()):
                what = f"holds pictures two folders down, in {f'{label}/{path.name}'!r}."
                fix = f"Give the folder {label!r} alone: the folders right in it are the labels."
                raise DataError(what, where=str(folder), fix=fix)
            ignored += 1
        elif not hidden and path.name.lower().endswith(ENDINGS) and path.is_file():
            pictures.append(f"{label}/{path.name}" if label else path.name)
        else:
            ignored += 1
        if len(pictures) > MAX_FILES:
            raise ResourceError(f"holds more than {MAX_FILES} pictures.", where=str(folder), fix="Use fewer.")
    return Found(tuple(sorted(pictures)), ignored)


def _entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of a folder, and what its subfolders hold with the name of the subfolder; these themselves are left out."""
    for entry in folder.iterdir():
        if entry.name.startswith(".") or not entry.is_dir():
            yield entry, ""
        else:
            yield from ((inner, entry.name) for inner in entry.iterdir())


def read_pictures(folder: Path, found: Found) -> Raw:
    """Read images as rows of uint8: (n, h, w) for grey or black and white (0 and 1), else (n, h, w, 3)."""
    # The first frame of a moving image is taken, and pictures are turned upright as their EXIF orientation says.
    heads: dict[str, tuple[tuple[int, int], str]] = {}  # read first, so that all that is wrong is told at once
    problems: dict[str, str] = {}
    for name in found.pictures:
        try:
            heads[name] = head_of(folder / name)
        except unreadable() as error:
            problems[name] = reason(error)
    if not heads:
        raise _refusal(folder, problems, len(found.pictures))
    (size, kind), _ = Counter(heads.values()).most_common(1)[0]
    good = []
    for name, head in heads.items():
        if head == (size, kind):
            good.append(name)
        else:
            problems[name] = f"{shown(*head)}, most are {shown(size, kind)}"
    shape = _shape(size, kind)
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
    labels = _folders(good)
    return Raw(x, labels if labels.any() else None, np.array(good), notes=tuple(notes))


def _folders(names: Iterable[str]) -> Shaped[np.ndarray, " n"]:
    """The subfolder of each picture, which is its label; "" for none."""
    return np.array([name.split("/")[0] if "/" in name else "" for name in names])


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
            yield picture


def pixels_of(path: Any, target: str) -> tuple[np.ndarray, int, bool]:
    """Decode a picture."""
    # returns: uint8or (h, w, 3), how many frames the file has, and whether it lay upright.
    from PIL import ImageOps

    with _opened(path) as picture:
        orientation = _orientation(picture)
        picture.load()
        if not _ends(picture, path):
            raise ValueError("is cut off: its last piece is not there")
        layered = picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info
        if layered and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255:
            raise ValueError("has transparent pixels")
        # Pillow has turned a TIFF by now.
        as_is = orientation == 1 or picture.format == "TIFF"
        upright = picture if as_is else ImageOps.exif_transpose(picture)
        flat = upright if upright.mode == target else upright.convert(target)
        pixels = np.asarray(flat).astype(np.uint8)
        return pixels, getattr(picture, "n_frames", 1), orientation == 1  # counted last: that moves to other frames


def _ends(picture: Any, path: Any) -> bool:
    """Whether the last piece of a PNG, GIF or TIFF is there, without which Pillow takes the pixels that are there."""
    walk = {"PNG": _png_ends, "GIF": _gif_ends, "TIFF": _tiff_ends}.get(picture.format)
    if walk is None:
        return True
    with contextlib.nullcontext(path) if hasattr(path, "read") else open(path, "rb") as file:
        at = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(at)
    try:
        return walk(data)
    except (IndexError, struct.error):
        return False


def _png_ends(data: bytes) -> bool:
    """Whether a PNG has its last piece with its four bytes of checksum; another file may follow."""
    return 0 <= data.find(b"IEND") <= len(data) - 8


def _tiff_ends(data: bytes) -> bool:
    """Whether the directory of a TIFF's first frame is whole; further frames are not read."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
    (tags,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
    return at + (8 + 20 * tags + 8 if big else 2 + 12 * tags + 4) <= len(data)


def _gif_ends(data: bytes) -> bool:
    """Whether the blocks of a GIF lead to the byte that ends it."""

    def after_colours(at: int) -> int:
        return at + 1 + (3 << (data[at] % 8 + 1) if data[at] & 128 else 0)

    at = after_colours(10) + 2
    while (kind := data[at]) != ord(";"):
        if kind in b"!,":  # an extension or a frame: sub-blocks, the last of them empty
            at = at + 2 if kind == ord("!") else after_colours(at + 9) + 1
            while data[at]:
                at += data[at] + 1
        at += 1
    return True


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


def _shape(size: tuple[int, int], kind: str) -> tuple[int, ...]:
    return (size[1], size[0], 3) if kind == "RGB" else (size[1], size[0])


def shown(size: tuple[int, int], kind: str) -> str:
    """Write the size and the kind of a picture."""
    return f"{size[0]} x {size[1]} {kind}"


def _refusal(folder: Path, problems: dict[str, str], total: int) -> DataError:
    first = "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return DataError(f"{len(problems)} of {total} pictures do not fit: {first}{more}.", where=str(folder), fix=ADVICE)


class AbstractPictures(AbstractSource):
    """Pictures of one size and kind, decoded when their block is read; the arguments are those of `AbstractSource`."""

    dtype = np.dtype(np.uint8)
    _turned = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(turned_notes(self._turned))

    @abc.abstractmethod
    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        """Go through the pictures of a block."""

    def first(self, name: str, file: Any) -> int:
        """Take size and kind of all pictures from the first one."""
        try:
            self._size, self._kind = head_of(file)
        except unreadable() as error:
            raise DataError(f"{name}: {reason(error)}.", where=self.place.shown(""), fix=ADVICE) from None
        self.shape = _shape(self._size, self._kind)
        self._like = name
        return max(1, min(BLOCK_FILES, BLOCK_BYTES // math.prod(self.shape)))

    def pixels(self, block: int) -> Shaped[np.ndarray, "n *shape"]:
        """Decode the pictures of a block."""
        x = np.empty((int(self.table.rows[block]), *self.shape), np.uint8)
        for i, (name, file) in enumerate(self.packed(block)):
            problem = ""
            try:
                size, kind = head_of(file)
                if (size, kind) == (self._size, self._kind):
                    file.seek(0)
                    x[i], _, upright = pixels_of(file, TARGET[kind])
                    self._turned += not upright
                else:
                    problem = f"{shown(size, kind)}, {self._like} is {shown(self._size, self._kind)}"
            except unreadable() as error:
                problem = reason(error)
            if problem:
                raise DataError(f"{name}: {problem}.", where=self.where(block), fix=ADVICE)
        return x


class FolderSource(AbstractPictures):
    """A folder of pictures with sub-folders that are labels, named and sorted as in memory."""

    # `roles`: Which columns are the label, the row id and the weight: "none" leaves the labels out.

    def __init__(self, root: Path, roles: ColumnRoles) -> None:
        super().__init__(Place(root), find_pictures(root).pictures, roles, single=False)
        no_roles(roles, str(root), "Its labels are the names of its sub-folders.", "a folder has")
        with self.place.open(self.names[0]) as file:
            each = self.first(self.names[0], file)
        self._groups = [self.names[at : at + each] for at in range(0, len(self.names), each)]
        self._labelled = roles.label != "none" and any("/" in name for name in self.names)
        files = []
        for group in self._groups:
            sizes = [(root / name).stat().st_size for name in group]
            told = repr(list(zip(group, sizes))).encode("utf-8", "surrogatepass")
            files.append(File(f"{group[0]} to {group[-1]}", sum(sizes), digest_of(told)))
        self.files, self.table = tuple(files), BlockTable.of([[len(group)] for group in self._groups])

    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        for name in self._groups[block]:
            with self.place.open(name) as file:
                yield name, file

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        names = self._groups[block]
        return Raw(self.pixels(block), _folders(names) if self._labelled else None, np.array(names)), None


class TarSource(AbstractPictures):
    """Tars of the WebDataset kind: one picture a key, and where `.cls` is beside it the label."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        no_roles(roles, place.shown(names[0]), "Labels are the members that end in .cls.", "a tar has")
        files, self._samples, cut, like, each = [], [], [], None, 0
        for name in names:
            where = place.shown(name)
            with place.open(name) as stream:
                samples, headers = _samples(stream, where)
                size = stream.seek(0, 2)
                for key, members in samples.items():
                    like = set(members) if like is None else like
                    if set(members) != like:
                        both = [", ".join(sorted(one)) or "nothing" for one in (members, like)]
                        what = f"the key {key!r} has {both[0]}, others have {both[1]}."
                        raise DataError(what, where=where, fix="Give every key the same members.")
                    if not each:
                        self._picture = _picture_of(like, where)
                        each = self.first(f"{key}{self._picture}", _member(stream, *members[self._picture]))
            files.append(File(name, size, digest_of(headers)))
            found = list(samples.items())
            self._samples += [found[at : at + each] for at in range(0, len(found), each or 1)]
            cut.append([min(each, len(found) - at) for at in range(0, len(found), each or 1)])
        if like is None:
            raise DataError("has no members.", where=place.shown(names[0]), fix="Give tars of pictures.")
        self._labelled = ".cls" in like and roles.label != "none"
        self.files, self.table = tuple(files), BlockTable.of(cut)

    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        with self.place.open(self.file_name(block)) as stream:
            for key, members in self._samples[block]:
                yield key + self._picture, _member(stream, *members[self._picture])

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        label = None
        if self._labelled:
            with self.place.open(self.file_name(block)) as stream:
                found = [_member(stream, *members[".cls"]).getvalue() for _, members in self._samples[block]]
            label = text_array([text.decode("utf-8", "replace").strip() for text in found], self.where(block))
        return Raw(self.pixels(block), label), None


def _samples(stream: Any, where: str) -> tuple[dict[str, dict[str, tuple[int, int]]], bytes]:
    """Place and size of the members of a tar by key and ending, and what says how it is laid out."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    told = []
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.name.startswith("."):
                    continue
                stem, _, ending = path.name.partition(".")
                own = samples.setdefault(str(path.parent / stem), {})
                own[f".{ending.lower()}"] = (member.offset_data, member.size)
                told.append(f"{member.name} {member.offset_data} {member.size} {member.mtime}")
    except (tarfile.TarError, EOFError) as error:
        stream.seek(0)
        if stream.read(2) == b"\x1f\x8b":
            raise DataError("is packed with gzip.", where=where, fix="Unpack it with gunzip.") from None
        raise damaged(where, f"is no readable tar ({str(error)[:80]}).") from None
    return samples, "\n".join(told).encode("utf-8", "surrogatepass")


def _picture_of(endings: set[str], where: str) -> str:
    pictures = sorted(endings & set(ENDINGS))
    if len(pictures) != 1:
        what = f"a key has {len(pictures)} pictures among {', '.join(sorted(endings))}."
        raise DataError(what, where=where, fix=f"Give every key one of {', '.join(ENDINGS)}.")
    return pictures[0]


def _member(stream: Any, offset: int, size: int) -> io.BytesIO:
    stream.seek(offset)
    return io.BytesIO(stream.read(size))
