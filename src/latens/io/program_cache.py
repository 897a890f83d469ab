"""Programs that are traced and compiled once for all that have the same structure, wherever that is certain.

Two values have the same structure where their types, functions and numbers are the same, down to what a function
encloses. Only code of latens and of the libraries under it is looked into: a function or class of anyone else may read
a global that has changed since, and is never taken for one seen before.
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
from typing import Any, ClassVar, TypeVar

import jax
import msgspec
import numpy as np

Made = TypeVar("Made")
_KNOWN = frozenset({"latens", "jax", "jaxlib", "equinox", "optax", "numpy", "builtins", "functools", "math"})
_PLAIN = (bool, int, str, bytes, complex, type(None), type(Ellipsis))


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
    if isinstance(value, _PLAIN) and type(value) in _PLAIN:
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
