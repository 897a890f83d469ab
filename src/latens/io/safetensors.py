"""One file of arrays and JSON that can carry no code: safetensors, with its header read as a stranger's.

Byte by byte: 8 bytes, the length N of the header as a little-endian integer; N bytes of JSON, an object from tensor
name to `{"dtype", "shape", "data_offsets": [begin, end]}` and from `__metadata__` to `{"latens": TEXT}`; then the
arrays, little-endian, row-major, without gaps. TEXT is JSON: what the caller stored, `sha256` of the arrays and
`metadata_sha256` of the rest of TEXT, so that no flipped bit goes unseen. Any safetensors library can read the arrays.
"""

import contextlib
import hashlib
import io
import math
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from latens.errors import ModelFileError
from latens.io.atomic import resource_errors
from latens.io.json import parse_json_strict, plain, to_json
from latens.typing import checked_later

MAX_HEADER_BYTES = 8 << 20
MAX_FILE_BYTES = 16 << 30

_FIX = "The file is damaged or was not written by latens; use another copy."
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "BOOL": 1} | {
    f"{sign}{bits}": bits // 8 for sign in "IU" for bits in (8, 16, 32, 64)
}
_MAX_DIMENSIONS = 32
_MAX_NAME = 1024

_Entry: TypeAlias = tuple[str, tuple[int, ...], int]


def pack(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The bytes of a file with these arrays and this JSON: equal input gives equal bytes."""
    # arrays: arrays by name (float16, bfloat16, float32, float64, integers of 8 to 64 bits, bool).
    return b"".join(pack_chunks(arrays, metadata))


def pack_chunks(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """Give the bytes of `pack` piece by piece, so that a large model needs no second copy in memory."""
    ordered = {name: _little_endian(np.asarray(array)) for name, array in arrays.items()}
    kinds = {name: _dtype_name(name, array) for name, array in ordered.items()}
    # Wide types first keep every array aligned to its own size, as other readers of the format expect.
    names = sorted(ordered, key=lambda name: (-_ITEM_BYTES[kinds[name]], name))
    header: dict[str, Any] = {"__metadata__": {"latens": _seal(ordered, metadata)}}
    position = 0
    for name in names:
        if name == "__metadata__" or not 0 < len(name) <= _MAX_NAME:
            raise ModelFileError(f"{name[:80]!r} cannot name a tensor.", fix="Rename the part of the model.")
        end = position + ordered[name].nbytes
        header[name] = {"dtype": kinds[name], "shape": list(ordered[name].shape), "data_offsets": [position, end]}
        position = end
    text = to_json(header)
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ModelFileError("too many or too long names and metadata for one file.", fix="Store less metadata.")
    yield struct.pack("<Q", len(text)) + text
    for name in names:
        yield _bytes_of(ordered[name])


def read(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata of a file, after checking every claim it makes."""
    # The header is bounded, parsed strictly and held against the file's true length before any array is allocated, so
    # memory never exceeds the file's size; then both checksums are compared. Nothing in the file is executed.
    where = str(path)
    with resource_errors(where), _opened(path, max_bytes) as (file, size):
        tensors, text = _read_header(file, size, where)
        try:
            arrays = {name: _read_array(file, name, entry, where) for name, entry in tensors.items()}
        except MemoryError as error:
            raise _wrong("the arrays do not fit into memory", where) from error
    return arrays, _unseal(arrays, text, where)


def read_bytes(path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of an ordinary file, for `unpack`."""
    with resource_errors(path), _opened(path, max_bytes) as (file, size):
        return file.read(size)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], max_bytes: int) -> Iterator[tuple[io.BufferedReader, int]]:
    """The file, open, and its size."""
    # A link is followed: a user may name a model so, and it is only read.
    where = str(path)
    if not Path(path).exists():
        raise ModelFileError("there is no such file.", where=where, fix="Check the path.")
    # A named pipe would block an ordinary open for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("not an ordinary file.", where=where, fix="Give the name of a .safetensors file.")
        if status.st_size > max_bytes:
            raise _wrong(f"the file has {status.st_size} bytes, more than the {max_bytes} allowed", where)
        yield file, status.st_size


@checked_later
def unpack(raw: bytes, *, where: str = "the bytes") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Do what `read` does for the bytes of a file that are in memory."""
    if not isinstance(raw, bytes | bytearray | memoryview):
        fix = "Give bytes, as `to_bytes` does, or load a path."
        raise ModelFileError(f"these are not bytes, but a {type(raw).__name__}.", where=where, fix=fix)
    file = io.BytesIO(raw)
    tensors, text = _read_header(file, len(raw), where)
    arrays = {name: _read_array(file, name, entry, where) for name, entry in tensors.items()}
    return arrays, _unseal(arrays, text, where)


def arrays_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays, in the order of their names."""
    # It is over the JSON line `[name, dtype, shape]` of each, a newline, and its bytes (little-endian, row-major).
    digest = hashlib.sha256()
    ordered = {name: _little_endian(np.asarray(arrays[name])) for name in sorted(arrays)}
    told = [[name, _dtype_name(name, array), list(array.shape)] for name, array in ordered.items()]
    for line, array in zip(list(map(to_json, told)), ordered.values()):
        digest.update(line + b"\n")
        digest.update(_bytes_of(array))
    return digest.hexdigest()


def _seal(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    content = plain(dict(metadata))
    for reserved in ("sha256", "metadata_sha256"):
        if reserved in content:
            raise ValueError(f"{reserved!r} is written by latens itself and cannot be a key of the metadata")
    sealed = content | {
        "sha256": arrays_sha256(arrays),
        "metadata_sha256": hashlib.sha256(to_json(content)).hexdigest(),
    }
    parse_json_strict(to_json(sealed), max_bytes=MAX_HEADER_BYTES)  # never write what we would not read
    return to_json(sealed).decode("ascii")


def _unseal(arrays: Mapping[str, np.ndarray], text: str, where: str) -> dict[str, Any]:
    metadata = parse_json_strict(text, max_bytes=MAX_HEADER_BYTES, where=where, fix=_FIX)
    if not isinstance(metadata, dict):
        raise _wrong("the metadata are not a JSON object", where)
    of_arrays, of_metadata = metadata.pop("sha256", None), metadata.pop("metadata_sha256", None)
    if of_metadata != hashlib.sha256(to_json(metadata)).hexdigest():
        raise _wrong("the metadata do not match their checksum", where)
    if of_arrays != arrays_sha256(arrays):
        raise _wrong("the arrays do not match their checksum", where)
    return metadata


def _read_header(
    file: io.BufferedIOBase, size: int, where: str
) -> tuple[dict[str, tuple[str, tuple[int, ...], int]], str]:
    """Tensor name -> (dtype, shape, bytes), in the order of the file, and the metadata's text."""
    start = file.read(8)
    if len(start) < 8:
        raise _wrong("the file is too short", where)
    (length,) = struct.unpack("<Q", start)
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise _wrong(f"the header claims {length} bytes", where)
    raw = file.read(length)
    if raw[:1] != b"{":
        raise _wrong("the header does not begin with an object", where)
    header = parse_json_strict(raw, max_depth=4, max_bytes=MAX_HEADER_BYTES, where=where, fix=_FIX)
    extra = header.pop("__metadata__", None)
    text = extra.get("latens") if isinstance(extra, dict) else None
    if not isinstance(text, str):
        raise _wrong("there are no latens metadata in this file", where)
    tensors = sorted(
        ((*_tensor(name, entry, where), name) for name, entry in header.items()), key=lambda t: (t[2], t[3])
    )
    position, result = 0, {}
    for dtype, shape, begin, end, name in tensors:
        if begin != position:
            raise _wrong(f"tensor {_short(name)} overlaps another or leaves a gap", where)
        position, result[name] = end, (dtype, shape, end - begin)
    if 8 + length + position != size:
        raise _wrong(f"the file has {size} bytes, its header describes {8 + length + position}", where)
    return result, text


def _tensor(name: str, entry: Any, where: str) -> tuple[str, tuple[int, ...], int, int]:
    if (
        not 0 < len(name) <= _MAX_NAME
        or not isinstance(entry, dict)
        or set(entry) != {"dtype", "shape", "data_offsets"}
    ):
        raise _wrong(f"tensor {_short(name)} is not described as the format demands", where)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise _wrong(f"tensor {_short(name)} has the unknown dtype {_short(dtype)}", where)
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
            raise _wrong(f"tensor {_short(name)} has a shape or offsets that are not counts", where)
    if len(offsets) != 2 or len(shape) > _MAX_DIMENSIONS:
        raise _wrong(f"tensor {_short(name)} has a wrong number of offsets or dimensions", where)
    # An empty array may not smuggle in a huge dimension either, so zeros count as one in the bound.
    if math.prod(max(n, 1) for n in shape) * _ITEM_BYTES[dtype] > 2**48:
        raise _wrong(f"tensor {_short(name)} has an impossible shape", where)
    if offsets[1] - offsets[0] != math.prod(shape) * _ITEM_BYTES[dtype]:
        raise _wrong(f"tensor {_short(name)} has a shape that does not match its bytes", where)
    return dtype, tuple(shape), offsets[0], offsets[1]


def _read_array(file: io.BufferedIOBase, name: str, entry: _Entry, where: str) -> np.ndarray:
    dtype, shape, size = entry
    raw = np.empty(size, np.uint8)
    if size and file.readinto(raw.data) != size:
        raise _wrong("the file ended while it was read", where)
    if dtype == "BOOL" and size and int(raw.max()) > 1:
        raise _wrong(f"tensor {_short(name)} holds a truth value other than 0 and 1", where)
    array = raw.view(_numpy_dtype(dtype)).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _numpy_dtype(dtype: str) -> np.dtype:
    if dtype == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    kind = {"F": "f", "I": "i", "U": "u", "B": "?"}[dtype[0]]
    return np.dtype(kind if kind == "?" else f"<{kind}{_ITEM_BYTES[dtype]}")


def _dtype_name(name: str, array: np.ndarray) -> str:
    kind = array.dtype
    if kind.name == "bfloat16":
        return "BF16"
    result = "BOOL" if kind.kind == "b" else f"{kind.kind.upper()}{8 * kind.itemsize}"
    if kind.kind not in "fiub" or result not in _ITEM_BYTES:  # numpy calls text of 8 letters U32
        raise ModelFileError(f"tensor {_short(name)} has dtype {kind}, which the format has no place for.")
    return result


def _little_endian(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "fiu":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.asarray(array, order="C")


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _short(name: Any) -> str:
    return ascii(name if len(str(name)) <= 80 else str(name)[:80] + "...")


def _wrong(message: str, where: str) -> ModelFileError:
    return ModelFileError(f"{message}.", where=where, fix=_FIX)
