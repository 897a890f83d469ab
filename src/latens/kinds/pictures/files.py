"""Pictures: folders of them, a row a file, and tars of the WebDataset kind; in memory or decoded block by block.

The names of the subfolders of a folder are the labels, the relative paths the row ids. Pictures of one size stay as
they are. Where sizes differ, the shorter side is scaled and the centre kept, and all become of one kind.
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
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data.formats.source import AbstractSource, BlockTable, File, Place, digest_of
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged, needed, no_roles
from latens.data.schema import MAX_CELLS
from latens.errors import DataError, ResourceError

HEIC = (".heic", ".heif")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", *HEIC)
MAX_FILES = 10_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_SHOWN = 5
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
"""Names of other files that are said."""

BLOCK_FILES, BLOCK_BYTES = 256, 2**24
"""A block has so many pictures, or fewer where they take more bytes."""


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

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
    return Found(tuple(sorted(pictures)), tuple(sorted(others)))


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


def read_pictures(folder: Path, found: Found, wanted: tuple[int, ...] | None = None) -> Raw:
    """Read images as rows of uint8: (n, h, w) for grey or black and white (0 and 1), else (n, h, w, 3)."""
    # The first frame of a moving image is taken, and pictures are turned upright as their EXIF orientation says.
    seen = survey(folder, found.pictures, wanted)
    names, shape, problems = list(seen.heads), _shape(seen.size, seen.kind), seen.problems
    cells = math.prod(shape)
    if cells > MAX_CELLS or cells * len(names) > MAX_BYTES:
        size = f"{seen.size[0]} x {seen.size[1]}"
        what = f"holds {len(names)} pictures of {size} pixels, more than {MAX_BYTES} bytes in all."
        raise ResourceError(what, where=str(folder), fix="Make them smaller with --size, or use fewer.")
    x, did, good = np.empty((len(names), *shape), np.uint8), np.zeros(3, np.int64), []
    for i, name in enumerate(names):
        try:
            pixels, marks = pixels_of(folder / name, TARGET[seen.kind], seen.size if seen.scaled else None)
        except unreadable() as error:
            problems[name] = _reason_of(folder / name, error)
            continue
        x[len(good)] = pixels
        did += marks
        good.append(i)
    _bound(folder, problems, seen.total)
    x, names = x[: len(good)], [names[i] for i in good]
    labels = _folders(names)
    notes = (*_done(seen, names, did), *_left_out(found.others))
    return Raw(x, labels if labels.any() else None, np.array(names), notes=notes)


def _left_out(others: tuple[str, ...]) -> list[str]:
    """The other files of a folder, of which the first few are named."""
    if not others:
        return []
    more = "" if len(others) <= NAMED else f" and {len(others) - NAMED} more"
    one = len(others) == 1
    what = "1 other file was" if one else f"{len(others)} other files were"
    why = "it is hidden or not a picture" if one else "they are hidden or not pictures"
    return [f"{what} left out: {', '.join(others[:NAMED])}{more}; {why}."]


def _done(seen: Survey, names: list[str], did: Shaped[np.ndarray, "3"]) -> list[str]:
    """What was made of the pictures, in at most three lines."""
    notes, heads = [], [seen.heads[name] for name in names]
    if seen.scaled:
        width, height = seen.size
        more = "; --size N takes another side" if seen.chosen else ""
        side = f"so that the shorter side has {width} pixels" if width == height else f"to {width} x {height} pixels"
        notes.append(f"{len(names)} pictures were scaled {side}, and their centre was kept{more}.")
    if seen.problems:
        notes.append(f"{_listed(seen.problems, seen.total)} They were left out.")
    moving, turned, clear = did.tolist()
    said = [f"{moving} files hold several frames; the first of each was taken."] if moving else []
    said += turned_notes(turned)
    kinds = Counter(head.kind for head in heads)
    said += [f"{n} {kind} pictures were made {seen.kind}." for kind, n in sorted(kinds.items()) if kind != seen.kind]
    deep, inks = sum(head.mode in _DEEP for head in heads), sum(head.mode == "CMYK" for head in heads)
    said += [f"{inks} CMYK pictures were made {seen.kind}."] if inks else []
    said += [f"{deep} pictures of 16 bits were made of 8."] if deep else []
    said += [f"{clear} transparent pictures stand on white."] if clear else []
    return notes + ([" ".join(said)] if said else [])


def _folders(names: Iterable[str]) -> Shaped[np.ndarray, " n"]:
    """The subfolder of each picture, which is its label; "" for none."""
    return np.array([name.split("/")[0] if "/" in name else "" for name in names])


def head_of(file: Any) -> Head:
    """Read the size and the kind of a picture, from its header alone."""
    with _opened(file) as picture:
        if picture.mode not in _KINDS:
            raise ValueError(f"has pixels of mode {picture.mode}")
        width, height = picture.size
        # Pillow itself turns a TIFF, its size already in the header.
        sideways = _orientation(picture) >= 5 and picture.format != "TIFF"
        return Head((height, width) if sideways else (width, height), _KINDS[picture.mode], picture.mode)


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
        formats = (*_FORMATS, "HEIF") if "HEIF" in Image.OPEN else _FORMATS
        with opened as file, Image.open(file, formats=formats) as picture:
            yield picture


def pixels_of(
    path: Any, target: str, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, tuple[bool, bool, bool]]:
    """Decode a picture; with a size its shorter side is scaled to it and its centre kept."""
    # returns: uint8 (h, w) or (h, w, 3); whether the file has several frames, did not lie upright, was transparent.
    from PIL import Image, ImageOps

    upright: Any
    with _opened(path) as picture:
        orientation = _orientation(picture)
        if size is not None:
            picture.draft(None, (2 * max(size),) * 2)  # a JPEG is decoded at a half, a quarter or an eighth
        picture.load()
        if not _ends(picture, path):
            raise ValueError(CUT_OFF)
        # Pillow has turned a TIFF by now.
        as_is = orientation == 1 or picture.format == "TIFF"
        upright = picture if as_is else ImageOps.exif_transpose(picture)
        layered = upright.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in picture.info
        clear = layered and upright.convert("RGBA").getchannel("A").getextrema()[0] < 255
        if clear:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        if upright.mode in _DEEP:
            deep = np.asarray(upright)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError(f"has pixels of mode {upright.mode}")
            upright = Image.fromarray((deep >> 8).astype(np.uint8))
        if size is not None:
            upright = ImageOps.fit(upright.convert("RGB"), size, Image.Resampling.LANCZOS)
        flat = upright if upright.mode == target else upright.convert(target)
        pixels = np.asarray(flat).astype(np.uint8)
        moving = getattr(picture, "n_frames", 1) > 1  # counted last: that moves to other frames
        return pixels, (moving, orientation != 1, clear)


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
        return "is not a picture"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return "claims more pixels than a picture may have"
    said = str(error)
    if "truncated" in said.lower() or said == CUT_OFF:
        return CUT_OFF
    own = type(error) is ValueError and said.startswith("has pixels of mode ")
    return said if own else "cannot be read"


def _reason_of(path: Path, error: BaseException) -> str:
    """`reason`, or that the file is empty."""
    return "is empty" if path.is_file() and not path.stat().st_size else reason(error)


def _shape(size: tuple[int, int], kind: str) -> tuple[int, ...]:
    return (size[1], size[0], 3) if kind == "RGB" else (size[1], size[0])


def shown(size: tuple[int, int], kind: str) -> str:
    """Write the size and the kind of a picture."""
    return f"{size[0]} x {size[1]} {kind}"


def _bound(folder: Path, problems: dict[str, str], total: int) -> None:
    """Refuse a folder of which more files are broken than may be left out."""
    if len(problems) > MOST_BROKEN * total:
        raise DataError(_listed(problems, total), where=str(folder), fix=ADVICE)


def _listed(problems: dict[str, str], total: int) -> str:
    first = "; ".join(f"{name}: {problems[name]}" for name in sorted(problems)[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{len(problems)} of {total} pictures cannot be read: {first}{more}."


class AbstractPictures(AbstractSource):
    """Pictures of one size and kind, decoded when their block is read; the arguments are those of `AbstractSource`."""

    dtype = np.dtype(np.uint8)
    _turned = 0
    _fit: tuple[int, int] | None = None
    _mixed = False
    _said: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._said, *turned_notes(self._turned))

    @abc.abstractmethod
    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        """Go through the pictures of a block."""

    def first(self, name: str, file: Any) -> int:
        """Take size and kind of all pictures from the first one."""
        try:
            self._size, self._kind, _ = head_of(file)
        except unreadable() as error:
            raise DataError(f"{name}: {reason(error)}.", where=self.place.shown(""), fix=ADVICE) from None
        wanted = self.roles.pictures
        if wanted is not None and (len(wanted) == 2 or self._size != wanted[1::-1]):
            self._fit, self._mixed = (wanted[1], wanted[0]), True
            colours = wanted[2] == 3 if len(wanted) == 3 else self._kind == "RGB"
            self._size, self._kind = self._fit, "RGB" if colours else "grey"
        return self.each(name)

    def each(self, name: str) -> int:
        """Count the pictures of a block, all of the size and kind of this one."""
        self.shape = _shape(self._size, self._kind)
        self._like = name
        return max(1, min(BLOCK_FILES, BLOCK_BYTES // math.prod(self.shape)))

    def pixels(self, block: int) -> Shaped[np.ndarray, "n *shape"]:
        """Decode the pictures of a block."""
        x = np.empty((int(self.table.rows[block]), *self.shape), np.uint8)
        for i, (name, file) in enumerate(self.packed(block)):
            problem = ""
            try:
                size, kind, _ = head_of(file)
                if self._mixed or (size, kind) == (self._size, self._kind):
                    file.seek(0)
                    x[i], (_, turned, _) = pixels_of(file, TARGET[self._kind], self._fit)
                    self._turned += turned
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
        seen = survey(root, find_pictures(root).pictures, roles.pictures)
        _bound(root, seen.problems, seen.total)
        super().__init__(Place(root), tuple(seen.heads), roles, single=False)
        no_roles(roles, str(root), "Its labels are the names of its sub-folders.", "a folder has")
        self._size, self._kind, self._said = (
            seen.size,
            seen.kind,
            tuple(_done(seen, list(self.names), np.zeros(3, int))),
        )
        self._mixed, self._fit = True, seen.size if seen.scaled else None
        each = self.each(self.names[0])
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
            label = np.array([text.decode("utf-8", "replace").strip() for text in found])
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
        raise damaged(where, f"is not a readable tar ({str(error)[:80]}).") from None
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
