"""Functions of arrays as compiled programs: made once for all of the same structure, their traces kept on disk.

Two values have the same structure where their types, functions and numbers are the same, down to what a function
encloses. Only code of latens and of the libraries under it is looked into: a function or class of anyone else may read
a global that has changed since, and is never taken for one seen before.

Tracing takes a third of a fit that finds all programs compiled. A trace is read where the function, the structure of
what it is given, JAX's settings, the versions and the whole source of latens are those that it was made with.
"""

import dataclasses
import functools
import hashlib
import operator
import struct
import sys
import threading
import types
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.export
import msgspec
import numpy as np
from jax import ShapeDtypeStruct as Shape
from jax.core import Tracer

from latens.errors import LatensError
from latens.runtime.atomic import write_atomic
from latens.runtime.compilation import SETTINGS, traces_folder
from latens.typing import AnyArray

Given = ParamSpec("Given")
Made = TypeVar("Made")
Call: TypeAlias = Callable[..., Any]
PyTreeDef: TypeAlias = Any
"""The structure of a pytree, for which JAX has no type of its own."""

MOST = 64
"""Programs of one function that a process keeps: each is 1 to 30 MB of code."""

_PLAIN: dict[str, type] = {"tuple": tuple, "list": list, "dict": dict}
_KNOWN = frozenset({"latens", "jax", "jaxlib", "equinox", "optax", "numpy", "builtins", "functools", "math"})
_ATOMS = (bool, int, str, bytes, complex, type(None), type(Ellipsis))


class Reused:
    """At most `size` things by their fingerprint; what was not used for longest goes first."""

    all: ClassVar[list["Reused"]] = []  # every object of the class in this process

    def __init__(self, size: int) -> None:
        Reused.all.append(self)
        self._size, self._lock = size, threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, parts: Iterable[object], make: Callable[[], Made]) -> Made:
        """What `make` made for parts of this structure before, else what it makes now."""
        key = fingerprint((*parts, jax.default_backend(), jax.config.read("jax_disable_most_optimizations")))
        if key is None:
            return make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                if len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def clear(self) -> None:
        """Forget everything: for whoever changes code that is running."""
        with self._lock:
            self._kept.clear()


def fingerprint(value: object) -> Hashable | None:
    """A key that is equal for values of the same structure, and holds on to what it names.

    Arrays of JAX have no fingerprint: they are to be arguments of a program.

    Args:
        value: A value.

    Returns:
        The key; None where it is not certain.

    Examples:
        >>> fingerprint((1, "a")) == fingerprint((1, "a")), fingerprint(1) == fingerprint(1.0)
        (True, False)
    """
    try:
        return _of(value, ())
    except _UnsureError:
        return None


def digest(*values: object) -> str | None:
    """A text that is equal for values of the same structure in every process; None where that is not certain."""
    try:
        return hashlib.sha256(repr(_of(values, ())).encode()).hexdigest()
    except _UnsureError:
        return None


class _UnsureError(Exception):
    pass


class _Same:
    """A thing that only equals itself; its text is that of the same thing in every process."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __repr__(self) -> str:
        module, name = (str(getattr(self.thing, at, "")) for at in ("__module__", "__qualname__"))
        try:
            found = operator.attrgetter(name)(sys.modules[module])
        except (AttributeError, KeyError):
            raise _UnsureError from None
        if found is not self.thing:
            raise _UnsureError
        return f"{module}.{name}"


class _Code:
    """The code of a function; its text is that of the same code in every process."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Code) and other.code == self.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        code = self.code
        fixed = [_Code(each) if isinstance(each, types.CodeType) else each for each in code.co_consts]
        fixed = [sorted(map(repr, each)) if isinstance(each, frozenset) else each for each in fixed]
        return repr((code.co_qualname, code.co_firstlineno, code.co_names, code.co_code, fixed))


def _of(value: object, within: tuple[int, ...]) -> Hashable:
    if isinstance(value, _ATOMS) and type(value) in _ATOMS:
        return type(value), value
    if type(value) is float:
        return float, struct.pack("d", value)  # 0 and -0 differ, NaN and NaN do not
    if id(value) in within or len(within) > 100:
        raise _UnsureError
    inside = (*within, id(value))
    each = lambda values: tuple(_of(item, inside) for item in values)  # noqa: E731
    if isinstance(value, np.ndarray | np.generic):
        raw = np.ascontiguousarray(value)
        if raw.dtype.hasobject:
            raise _UnsureError
        return type(value), raw.dtype.str, raw.shape, hashlib.sha256(raw.tobytes()).digest()
    if isinstance(value, jax.Array):
        raise _UnsureError
    if isinstance(value, type):
        return _known(value)
    if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return _kind(value), each(value)
    if type(value) is dict:
        return dict, tuple((_of(name, inside), _of(item, inside)) for name, item in value.items())
    if isinstance(value, functools.partial):  # also JAX's
        return _kind(value), each((value.func, value.args, value.keywords))
    if isinstance(value, types.MethodType):
        return types.MethodType, each((value.__func__, value.__self__))
    if isinstance(value, types.FunctionType):
        return _function(value, each)
    if isinstance(value, msgspec.Struct):
        return _kind(value), each(getattr(value, name) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return _kind(value), each(getattr(value, name, _UnsureError) for name in names)
    if callable(value):
        return _known(value)
    raise _UnsureError


def _function(value: Any, each: Callable[[Any], Any]) -> Hashable:
    # What checks types at run time wraps every function anew, and changes none.
    while value.__globals__.get("__name__", "").split(".")[0] in ("jaxtyping", "beartype"):
        value = getattr(value, "__wrapped__", None)
        if not isinstance(value, types.FunctionType):
            raise _UnsureError
    _known(value)
    try:
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
    except ValueError:  # a cell that is still empty
        raise _UnsureError from None
    code = (value.__module__, value.__qualname__, _Code(value.__code__))
    return types.FunctionType, code, each((enclosed, value.__defaults__, value.__kwdefaults__))


def _kind(value: object) -> Hashable:
    return _known(type(value))


def _known(thing: object) -> Hashable:
    """The thing itself, where it comes from a module whose code stands still."""
    if str(getattr(thing, "__module__", "")).split(".")[0] not in _KNOWN:
        raise _UnsureError
    return _Same(thing)


def less_work(level: int) -> dict[str, Any]:
    """Options of a program for which LLVM does less on a CPU: 0 where it runs once, 1 a few times, 2 on."""
    plain = jax.default_backend() != "cpu" or jax.config.read("jax_disable_most_optimizations")
    if plain:
        return {}
    # XLA's older code generator compiles a third faster. Evaluation runs as fast and gives the same numbers; a step of
    # training takes longer: 40 % of pictures, 7 % of a table of 21 columns, -3 % of one of 80.
    quick = {"xla_cpu_use_fusion_emitters": False}
    return {"xla_backend_optimization_level": level} | (quick if level < 2 and _takes(**quick) else {})


@functools.cache
def _takes(**options: object) -> bool:
    """Whether this version of XLA knows an option."""
    try:
        jax.jit(lambda: 0.0, compiler_options=options).lower().compile()
    except Exception:  # XLA names no class of its own for it
        return False
    return True


class _Program(NamedTuple):
    """One program of flat arrays."""

    run: Call
    may_hold_pool: Callable[[], bool]


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
        self._passed: set[str] = set()  # names of what `check` has traced
        self._lock = threading.RLock()
        functools.update_wrapper(self, function)

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        """What the function makes."""
        leaves, tree = jax.tree.flatten((args, kwargs))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self.function(*args, **kwargs)
        return self._program(leaves, tree).run(*filter(eqx.is_array, leaves))

    def may_hold_pool(self, *args: Given.args, **kwargs: Given.kwargs) -> bool:
        """Whether the program of these arguments holds an operation that may wait for XLA's threads inside of one."""
        return self._program(*jax.tree.flatten((args, kwargs))).may_hold_pool()

    def _program(self, leaves: list[object], tree: PyTreeDef) -> _Program:
        known = [jax.typeof(leaf) if eqx.is_array(leaf) else (type(leaf), leaf) for leaf in leaves]
        key = (tree, *known, *_settings())
        with self._lock:
            if key not in self._programs:
                if len(self._programs) == MOST:
                    del self._programs[next(iter(self._programs))]
                self._programs[key] = self._new(leaves, tree)
            return self._programs[key]

    def check(self, *args: Given.args, **kwargs: Given.kwargs) -> None:
        """Trace the function for arrays or their shapes, and raise what it raises, where that has not passed before."""
        flat, shapes, name = self._flat(*jax.tree.flatten((args, kwargs)), [])
        folder = traces_folder() if name else None
        if name in self._passed or (folder and (folder / f"{name}.passed").exists()):
            return
        jax.eval_shape(flat, *shapes)
        if name:  # and it is no code of someone else, which may change
            self._passed.add(name)
        if folder:
            with suppress(LatensError, OSError):
                write_atomic(folder / f"{name}.passed", b"")

    def _flat(self, leaves: list[Any], tree: PyTreeDef, made: list[PyTreeDef]) -> tuple[Call, list[Any], str | None]:
        """The function of arrays alone, their shapes, and the name of its trace; `made` gets what it makes."""
        known = [_shape(leaf) if eqx.is_array(leaf) else leaf for leaf in leaves]  # no program holds data
        shapes = [one for one in known if isinstance(one, Shape)]
        function: Call = self.function

        def flat(*arrays: AnyArray) -> list[object]:
            left = iter(arrays)
            args, kwargs = jax.tree.unflatten(tree, [next(left) if isinstance(one, Shape) else one for one in known])
            values, structure = jax.tree.flatten(function(*args, **kwargs))
            made[:] = [structure]
            return values

        said = jax.tree.unflatten(tree, [repr(one) if isinstance(one, Shape) else one for one in known])
        return flat, shapes, digest(function, said, *_settings(), *_versions())

    def _new(self, leaves: list[object], tree: PyTreeDef) -> _Program:
        made: list[PyTreeDef] = []  # the structure of what the function makes
        flat, shapes, name = self._flat(leaves, tree, made)
        kept = flat
        if name and (folder := traces_folder()) and not jax.config.values["jax_disable_jit"]:
            kept = _read(folder / name, tree, made) or _written(folder / name, flat, shapes, tree, made)
        one = lambda *arrays: kept(*arrays)  # noqa: E731 - which has a name of its own
        one.__name__ = getattr(self.function, "__name__", "program")
        program = jax.jit(one, compiler_options=self._options())

        def run(*arrays: AnyArray) -> object:
            # What a trace makes is bound to its device, and what is not would be another program's argument.
            values = program(*(arrays if kept is flat else jax.device_put(arrays, jax.local_devices()[0])))
            return jax.tree.unflatten(made[0], values)

        return _Program(run, functools.cache(lambda: may_hold_pool(program.lower(*shapes).as_text())))


def may_hold_pool(program: str) -> bool:
    """Whether a program holds an operation that may wait for XLA's threads inside of one of them."""
    # Calls of LAPACK and Fourier transforms do, on a CPU: two programs with such an operation, running at the same time
    # on two cores, wait for each other for ever. A call that nobody here knows counts as one of them.
    return "custom_call" in program or "stablehlo.fft" in program


def _settings() -> list[object]:
    return [getattr(jax.config, name) for name in SETTINGS]


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
        exported = dataclasses.replace(exported, platforms=("any",), disabled_safety_checks=unchecked)
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


@functools.cache
def _versions() -> tuple[str, ...]:
    """What a trace depends on beside the function: versions, the kind of device, and the whole source of latens."""
    of_source = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        of_source.update(path.read_bytes())
    libraries = (version(package) for package in ("jax", "jaxlib", "equinox", "optax", "numpy"))
    return (*libraries, jax.default_backend(), of_source.hexdigest())
