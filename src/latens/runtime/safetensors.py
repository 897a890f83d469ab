"""One file of arrays and JSON that can carry no code: safetensors, with checksums over all that it holds.

The metadata have one entry, `latens`: JSON text of what the caller stored, with `sha256` of the arrays and
`metadata_sha256` of the rest, so that no flipped bit goes unseen.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from latens.errors import LatensError, ModelFileError, nearest
from latens.runtime.atomic import clean_orphans as clean_orphans
from latens.runtime.atomic import parse_json_strict as parse_json_strict
from latens.runtime.atomic import plain, resource_errors, to_json
from latens.runtime.atomic import write_atomic as write_atomic
from latens.typing import PyTree, checked_later

Tree = TypeVar("Tree")

KEY_KINDS = ("threefry2x32", "rbg", "unsafe_rbg")
"""The random generators whose keys can be stored; the name follows the tensor's after an `@`."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def tree_to_arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """The array leaves of a pytree by readable path, e.g. `encoder.layers.0.weight`."""
    # Fields, indices and dict keys are joined by dots; other characters of a key are percent-escaped. A typed random
    # key becomes its data, with the generator after an `@`: `key@threefry2x32`. Leaves that are no arrays (Python
    # numbers, functions, None) are left out: they belong to the code that builds the tree.
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if not _is_array(leaf):
            continue
        name = path_name(path)
        if _is_key(leaf):
            kind = str(jax.random.key_impl(leaf))
            if kind not in KEY_KINDS:
                raise ModelFileError(f"keys of the generator {kind!r} cannot be stored.", fix=f"Use {KEY_KINDS[0]}.")
            name, leaf = f"{name}@{kind}", jax.random.key_data(leaf)
        if name in arrays:
            raise ModelFileError(f"two arrays have the name {name!r}.", fix="Rename one of the dict keys.")
        arrays[name] = np.asarray(leaf)
    return arrays


def arrays_to_tree(
    arrays: Mapping[str, np.ndarray], like: Tree, *, finite: bool = False, half: bool = False, where: str = ""
) -> Tree:
    """A tree as `like`, its array leaves replaced by the stored ones of the same path."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {path_name(path): leaf for path, leaf in leaves if _is_array(leaf)}
    stored = {_bare(name) if _is_key(wanted.get(_bare(name))) else name: name for name in arrays}
    if len(stored) < len(arrays) or len(wanted) < sum(_is_array(leaf) for _, leaf in leaves):
        fix = "Use another copy, or rename the dict keys."
        raise ModelFileError("two tensors have one name.", where=where, fix=fix)
    _check_names(stored, wanted, where)
    filled = []
    for path, leaf in leaves:
        if not _is_array(leaf):
            filled.append(leaf)
            continue
        name = path_name(path)
        array = arrays[stored[name]]
        if _is_key(leaf):
            filled.append(_restore_key(stored[name], array, leaf, where))
            continue
        _check_same(name, array.shape, leaf.shape, "shape", where)
        if half and array.dtype == np.float16 and leaf.dtype == np.float32:
            array = array.astype(np.float32)
        _check_same(name, array.dtype, np.dtype(leaf.dtype).newbyteorder("="), "dtype", where)
        if finite and not _all_finite(array):
            raise ModelFileError(f"tensor {name!r} holds NaN or infinity.", where=where, fix="Use another copy.")
        if isinstance(leaf, np.generic):
            filled.append(array[()])
        else:
            # A copy, so that a donated jax buffer never overwrites the caller's memory. `device_put` compiles nothing.
            filled.append(array.copy() if isinstance(leaf, np.ndarray) else jax.device_put(array.copy()))
    return jax.tree_util.tree_unflatten(structure, filled)


def path_name(path: Iterable[Any]) -> str:
    """The name of a leaf from its jax key path; `.` for a tree that is one leaf."""
    return ".".join(_escape(_part(entry)) for entry in path) or "."


def _part(entry: object) -> str:
    for attribute in ("name", "key", "idx"):  # GetAttrKey; DictKey, FlattenedIndexKey; SequenceKey
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def _escape(part: str) -> str:
    if part == "__metadata__":  # the one name that safetensors keeps for itself
        return "%5F_metadata__"
    raw = part.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in raw) or "%"


def _is_array(leaf: object) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _bare(name: str) -> str:
    return name.split("@", 1)[0]


def _restore_key(name: str, data: np.ndarray, like: jax.Array | jax.ShapeDtypeStruct, where: str) -> jax.Array:
    kind = name.partition("@")[2]
    if kind not in KEY_KINDS:
        raise ModelFileError(f"tensor {name[:80]!r} names no random generator.", where=where, fix="Use another copy.")
    stored = jax.eval_shape(lambda: jax.random.key(0, impl=kind)).dtype
    _check_same(name, stored, like.dtype, "random generator", where)
    expected = jax.eval_shape(jax.random.key_data, like)
    _check_same(name, data.shape, expected.shape, "shape", where)
    _check_same(name, data.dtype, np.dtype(expected.dtype), "dtype", where)
    return jax.random.wrap_key_data(jax.numpy.array(data), impl=kind)


def _check_names(stored: Mapping[str, str], wanted: Mapping[str, Any], where: str) -> None:
    missing = [name for name in wanted if name not in stored]
    unknown = [name for name in stored if name not in wanted]
    if unknown:
        # The nearest name is looked for among few and short ones: a hostile file may hold a million long ones.
        hint = nearest(unknown[0][:200], missing[:50]) if missing else "The model has no tensor of this name left."
        message = f"tensor {unknown[0][:200]!r}{_others(unknown)} is not part of this model."
        raise ModelFileError(message, where=where, fix=hint)
    if missing:
        fix = "The file belongs to another model, or to other options."
        raise ModelFileError(f"tensor {missing[0]!r}{_others(missing)} is missing.", where=where, fix=fix)


def _others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _check_same(name: str, found: object, expected: object, what: str, where: str) -> None:
    if found != expected:
        message = f"tensor {name[:200]!r} has {what} {found}, expected {expected}."
        raise ModelFileError(message, where=where, fix="The file belongs to another model, or to other options.")


def _all_finite(array: np.ndarray) -> bool:
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


MAX_HEADER_BYTES = 8 << 20
MAX_FILE_BYTES = 16 << 30

_FIX = "The file is damaged or was not written by latens; use another copy."
_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"} | {
    f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
_MAX_NAME = 1024


def pack(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The bytes of a file with these arrays and this JSON: equal input gives equal bytes."""
    from safetensors.numpy import save

    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    _check_arrays(ordered, "")
    raw = save(ordered, {"latens": _seal(ordered, metadata)})
    _check_header(raw[:8], len(raw), "")
    return raw


def read(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata of a file, mapped into memory, after checking every claim it makes."""
    from safetensors import safe_open

    where = str(path)
    _check_file(path, max_bytes)
    with resource_errors(where), _refused(where):
        with open(path, "rb") as start:
            _check_header(start.read(8), os.fstat(start.fileno()).st_size, where)
        with safe_open(path, framework="numpy") as file:
            text, names = (file.metadata() or {}).get("latens"), file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        return arrays, _unseal(arrays, text, where)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an ordinary file, for `unpack`."""
    _check_file(path, MAX_FILE_BYTES)
    with resource_errors(path):
        return Path(path).read_bytes()


@checked_later
def unpack(raw: bytes, *, where: str = "the bytes") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Do what `read` does for the bytes of a file that are in memory."""
    if not isinstance(raw, bytes | bytearray | memoryview):
        fix = "Give bytes, as `to_bytes` does, or load a path."
        raise ModelFileError(f"these are not bytes, but a {type(raw).__name__}.", where=where, fix=fix)
    import json

    import ml_dtypes
    from safetensors import deserialize

    dtypes = {kind: np.dtype(ml_dtypes.bfloat16 if kind == "BF16" else name) for name, kind in _NAMES.items()}
    with _refused(where):
        raw = bytes(raw)
        _check_header(raw[:8], len(raw), where)
        arrays = {
            name: np.frombuffer(entry["data"], dtypes.get(entry["dtype"], object)).reshape(entry["shape"])
            for name, entry in deserialize(raw)
        }
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        return arrays, _unseal(arrays, (header.get("__metadata__") or {}).get("latens"), where)


def arrays_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays, in the order of their names."""
    # It is over the JSON line `[name, dtype, shape]` of each, a newline, and its bytes (little-endian, row-major).
    digest = hashlib.sha256()
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    _check_arrays(ordered, "")
    for name, array in ordered.items():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(to_json([name, _NAMES[array.dtype.name], list(array.shape)]) + b"\n")
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_file(path: str | os.PathLike[str], max_bytes: int) -> None:
    # A link is followed: a user may name a model so, and it is only read. A named pipe would block an open for ever.
    if not Path(path).exists():
        raise ModelFileError("there is no such file.", where=str(path), fix="Check the path.")
    with resource_errors(path):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("not an ordinary file.", where=str(path), fix="Give the name of a .safetensors file.")
    if status.st_size > max_bytes:
        raise _wrong(f"the file has {status.st_size} bytes, more than the {max_bytes} allowed", str(path))


def _check_header(start: bytes, size: int, where: str) -> None:
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        raise _wrong("the file is too short" if len(start) < 8 else f"the header claims {length} bytes", where)


def _check_arrays(arrays: Mapping[str, np.ndarray], where: str) -> None:
    for name, array in arrays.items():
        if name == "__metadata__" or not 0 < len(name) <= _MAX_NAME:
            raise _wrong(f"{_short(name)} cannot name a tensor", where)
        if array.dtype.name not in _NAMES:
            raise _wrong(f"tensor {_short(name)} has dtype {array.dtype}, which the format has no place for", where)
        if array.dtype == bool and int(array.view(np.uint8).max(initial=0)) > 1:
            raise _wrong(f"tensor {_short(name)} holds a truth value other than 0 and 1", where)


@contextlib.contextmanager
def _refused(where: str) -> Iterator[None]:
    """What the library or NumPy refuses is the file's fault."""
    from safetensors import SafetensorError

    try:
        yield
    except LatensError:
        raise
    except MemoryError as error:
        raise _wrong("the arrays do not fit into memory", where) from error
    except (SafetensorError, ValueError) as error:
        raise _wrong(f"not a safetensors file: {ascii(str(error)[:200])[1:-1]}", where) from error


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


def _unseal(arrays: Mapping[str, np.ndarray], text: str | None, where: str) -> dict[str, Any]:
    if text is None:
        raise _wrong("there are no latens metadata in this file", where)
    _check_arrays(arrays, where)
    metadata = parse_json_strict(text, max_bytes=MAX_HEADER_BYTES, where=where, fix=_FIX)
    if not isinstance(metadata, dict):
        raise _wrong("the metadata are not a JSON object", where)
    of_arrays, of_metadata = metadata.pop("sha256", None), metadata.pop("metadata_sha256", None)
    if of_metadata != hashlib.sha256(to_json(metadata)).hexdigest():
        raise _wrong("the metadata do not match their checksum", where)
    if of_arrays != arrays_sha256(arrays):
        raise _wrong("the arrays do not match their checksum", where)
    return metadata


def _short(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "...")


def _wrong(message: str, where: str) -> ModelFileError:
    return ModelFileError(f"{message}.", where=where, fix=_FIX)
