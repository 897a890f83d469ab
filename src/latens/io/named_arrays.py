"""Trees of arrays (models, optimiser states, keys) to named arrays and back, without a bit changed."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from latens.errors import ModelFileError, nearest
from latens.io.atomic import clean_orphans as clean_orphans
from latens.io.atomic import write_atomic as write_atomic
from latens.io.json import parse_json_strict as parse_json_strict
from latens.io.safetensors import arrays_sha256 as arrays_sha256
from latens.io.safetensors import pack as pack
from latens.io.safetensors import read as read
from latens.typing import PyTree

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
