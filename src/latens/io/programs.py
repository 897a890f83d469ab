"""Functions of arrays as compiled programs, whose traces later processes read from disk.

Tracing takes a third of a fit that finds all programs compiled. A trace is read where the function, the structure of
what it is given, JAX's settings, the versions and the whole source of latens are those that it was made with.
"""

import hashlib
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from functools import cache, update_wrapper
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.export
import msgspec
from jax import ShapeDtypeStruct as Shape
from jax.core import Tracer

import latens
from latens.errors import LatensError
from latens.io.atomic import write_atomic
from latens.io.compilation import jax_settings, less_work, traces_folder
from latens.io.program_cache import digest
from latens.typing import AnyArray

Given = ParamSpec("Given")
Made = TypeVar("Made")
Call: TypeAlias = Callable[..., Any]
PyTreeDef: TypeAlias = Any
"""The structure of a pytree, for which JAX has no type of its own."""

MOST = 64
"""Programs of one function that a process keeps: each is 1 to 30 MB of code."""

_PLAIN: dict[str, type] = {"tuple": tuple, "list": list, "dict": dict}


class _Program(NamedTuple):
    """One program of flat arrays."""

    run: Call
    text: Callable[[], str]  # gives its StableHLO


class compiled(Generic[Given, Made]):
    """A function as one program for each structure of its arguments, or as a part of the program that calls it."""

    def __init__(
        self,
        function: Callable[Given, Made],
        *,
        options: Callable[[], dict[str, Any]] = lambda: less_work(1),
    ) -> None:
        """Nothing is traced yet; `options` are those of the compiler."""
        # Measured over tables and pictures: LLVM's first level takes 10 s where its third takes 14 s, and a batch of
        # 1,024 rows as long as before.
        self.function, self._options = function, options
        self._programs: dict[Hashable, _Program] = {}
        self._lock = threading.RLock()
        update_wrapper(self, function)

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        """What the function makes."""
        leaves, tree = jax.tree.flatten((args, kwargs))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self.function(*args, **kwargs)
        return self._program(leaves, tree).run(*filter(eqx.is_array, leaves))

    def text(self, *args: Given.args, **kwargs: Given.kwargs) -> str:
        """The StableHLO of the program of these arguments."""
        return self._program(*jax.tree.flatten((args, kwargs))).text()

    def _program(self, leaves: list[object], tree: PyTreeDef) -> _Program:
        known = [jax.typeof(leaf) if eqx.is_array(leaf) else (type(leaf), leaf) for leaf in leaves]
        key = (tree, *known, *jax_settings().values())
        with self._lock:
            if key not in self._programs:
                if len(self._programs) == MOST:
                    del self._programs[next(iter(self._programs))]
                self._programs[key] = self._new(leaves, tree)
            return self._programs[key]

    def _new(self, leaves: list[object], tree: PyTreeDef) -> _Program:
        known = [_shape(leaf) if eqx.is_array(leaf) else leaf for leaf in leaves]  # no program holds data
        shapes = [one for one in known if isinstance(one, Shape)]
        function: Call = self.function
        made: list[PyTreeDef] = []  # the structure of what the function makes

        def flat(*arrays: AnyArray) -> list[object]:
            left = iter(arrays)
            args, kwargs = jax.tree.unflatten(tree, [next(left) if isinstance(one, Shape) else one for one in known])
            values, structure = jax.tree.flatten(function(*args, **kwargs))
            made[:] = [structure]
            return values

        kept = flat
        if (folder := traces_folder()) and not jax.config.values["jax_disable_jit"]:
            said = jax.tree.unflatten(tree, [repr(one) if isinstance(one, Shape) else one for one in known])
            if name := digest(self.function, said, *jax_settings().values(), *_versions()):
                kept = _read(folder / name, tree, made) or _written(folder / name, flat, shapes, tree, made)
        one = lambda *arrays: kept(*arrays)  # noqa: E731 - which has a name of its own
        one.__name__ = getattr(self.function, "__name__", "program")
        program = jax.jit(one, compiler_options=self._options())

        def run(*arrays: AnyArray) -> object:
            # What a trace makes is bound to its device, and what is not would be another program's argument.
            values = program(*(arrays if kept is flat else jax.device_put(arrays, jax.local_devices()[0])))
            return jax.tree.unflatten(made[0], values)

        return _Program(run, lambda: program.lower(*shapes).as_text())


def _shape(array: object) -> Shape:
    of = jax.typeof(array)
    return Shape(of.shape, of.dtype, weak_type=getattr(of, "weak_type", False))


def _read(path: Path, given: PyTreeDef, made: list[PyTreeDef]) -> Call | None:
    """What was traced before; None where nothing whole is there."""
    with suppress(OSError, msgspec.DecodeError):
        check, structure, trace = msgspec.msgpack.decode(path.read_bytes(), type=tuple[bytes, bytes, bytes])
        if check == _check(structure, trace):
            made[:] = [jax.tree.structure(_example(msgspec.msgpack.decode(structure), given))]
            return _call_of(jax.export.deserialize(bytearray(trace)))
    return None


def _written(path: Path, function: Call, shapes: list[Any], given: PyTreeDef, made: list[PyTreeDef]) -> Call:
    """What is traced now, and kept; the function itself where no trace of it can be kept."""
    try:
        exported = jax.export.export(jax.jit(function))(*shapes)
        trace, structure = bytes(exported.serialize()), msgspec.msgpack.encode(_described(made[0], given))
    except (ValueError, NotImplementedError):  # it calls Python, or makes what is no plain structure of arrays
        return function
    with suppress(LatensError, OSError):  # a full disk costs another trace
        write_atomic(path, msgspec.msgpack.encode((_check(structure, trace), structure, trace)))
    return _call_of(exported)


def _call_of(exported: jax.export.Exported) -> Call:
    """A traced function to call in another program."""
    # For a trace of a CPU JAX imports all of SciPy's linear algebra, 0.2 s, which few programs call.
    if b"lapack" not in exported.mlir_module_serialized:
        unchecked = (jax.export.DisabledSafetyCheck.platform(),)
        exported = replace(exported, platforms=("any",), disabled_safety_checks=unchecked)
    return exported.call


def _check(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()


def _described(made: PyTreeDef, given: PyTreeDef) -> object:
    """A structure in words and lists; a number is that of the argument that has the same."""
    arguments = given.children()[0].children()
    if made.num_nodes > 1 and made in arguments:
        return arguments.index(made)
    if made.num_nodes == made.num_leaves == 1:
        return "array"
    kind, keys = made.node_data()
    if kind is type(None):
        return None
    name = next((name for name, plain in _PLAIN.items() if kind is plain), f"{kind.__module__}.{kind.__qualname__}")
    if name not in _PLAIN and not (name.startswith(("latens.", "optax.")) and hasattr(kind, "_fields")):
        raise ValueError(f"{name} is a structure of another library.")
    return name, keys, [_described(child, given) for child in made.children()]


def _example(described: int | str | list | None, given: PyTreeDef) -> object:
    """Something of the structure that `_described` has put in words."""
    if isinstance(described, int):
        of = given.children()[0].children()[described]
        return jax.tree.unflatten(of, [0] * of.num_leaves)
    if not isinstance(described, list):
        return described and 0
    name, keys, children = described
    made = [_example(child, given) for child in children]
    if name == "dict":
        return dict(zip(keys, made, strict=True))
    if name in _PLAIN:
        return _PLAIN[name](made)
    module, _, kind = name.rpartition(".")
    return getattr(import_module(module), kind)(*made)


@cache
def _versions() -> tuple[str, ...]:
    """What a trace depends on beside the function: versions, the kind of device, and the whole source of latens."""
    of_source = hashlib.sha256()
    for path in sorted(Path(latens.__file__).parent.rglob("*.py")):
        of_source.update(path.read_bytes())
    libraries = (version(package) for package in ("jax", "jaxlib", "equinox", "optax", "numpy"))
    return (*libraries, jax.default_backend(), of_source.hexdigest())
