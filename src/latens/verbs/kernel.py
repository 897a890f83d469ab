"""One typed request a verb: flags, help, checks, `--dry-run`, `--json`, files and the method follow from its fields.

A verb is a class in a file of this folder. Its docstring is the command's summary and its fields are the arguments.
Calling it with an `At` does the work in two steps. What stands before its `yield` is checked by `--dry-run` too, and
the words that it yields say what would be done. No verb imports anything heavy at its top: `latens --help` imports all.
"""

import argparse
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Generator, Iterator
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeAlias, get_args, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from latens.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np

    from latens.data import Dataset, Schema
    from latens.workflow.trained import TrainedModel


class Range:
    """The numbers within two limits, as argparse reads them from text and as Python gives them."""

    def __init__(self, of: Callable[[Any], Any], low: float, high: float, words: str, name: str) -> None:
        self.of, self.low, self.high, self.words = of, low, high, words
        self.__name__ = name  # what argparse calls the type of a text that is not a number at all

    def __call__(self, text: str) -> Any:
        value = self.of(text)
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(f"{text} is not {self.words}")
        return value

    def checked(self, value: Any, where: str) -> Any:
        """Refuse what Python gave where the command line would refuse it; else the number itself."""
        plain: bool = issubclass(type(value), Real) and not isinstance(value, bool)  # NumPy's numbers too
        if not plain or not self.low <= value <= self.high or value != self.of(value):
            raise UsageError(f"{value!r:.100} is not {self.words}.", where=where, fix=f"Give a {self.__name__}.")
        return self.of(value)


def whole(low: int, high: int, words: str = "") -> Range:
    """Whole numbers from `low` to `high`, in words of their own where the limits say too little."""
    return Range(int, low, high, words or f"within {low} and {high}", "whole number")


def number(low: float, high: float, words: str = "") -> Range:
    """Numbers from `low` to `high`, in words of their own where the limits say too little."""
    return Range(float, low, high, words or f"within {low:g} and {high:g}", "number")


class Arg(NamedTuple):
    """How a field of a request is typed on the command line."""

    flag: str  # "" for --NAME of the field, --OTHER for another flag, capitals for a positional argument
    metavar: str
    kind: Range | None
    choices: tuple[str, ...]
    reads: bool  # a file that the command must not write over


def arg(
    words: str, flag: str = "", metavar: str = "", *, kind: Range | None = None, choices: tuple[str, ...] = (),
    reads: bool = False,
) -> Meta:  # fmt: skip
    """Describe a field: its help, its flag where that is not its name, and what it takes."""
    return Meta(description=words, extra={"arg": Arg(flag, metavar, kind, choices, reads)})


Run = Annotated[str, arg("", "RUN", reads=True)]
Data = Annotated[Any, arg("", "DATA", reads=True)]
Seed = Annotated[int, arg("of the draws (default 0)", metavar="S", kind=whole(0, 2**32 - 1))]
Unknown = Annotated[
    str,
    arg("of a name that no training row had: an error (default), a missing cell, or the row is left out",
        choices=("error", "missing", "skip")),
]  # fmt: skip
Mean = Annotated[bool, arg("means of p(x | z) instead of draws")]

draws, table_rows = whole(1, 10**7), whole(1, 10**7)

Work: TypeAlias = Generator[str, None, "Made"]


class Made(Struct, kw_only=True):
    """What a verb made: arrays by name, and what is said of them."""

    arrays: dict[str, Any] = {}
    value: dict[str, Any] = {}  # what --json prints
    text: str = ""
    table: dict[str, Any] | None = None  # columns of a .csv or .parquet file, where these are not the arrays
    image: Any = None  # rows of a picture, (n, *x)
    beside: Any = None  # the originals of these rows, which stand above them
    schema: "Schema | None" = None  # of the rows of a picture
    raw: bytes | None = None  # the file itself

    def write(self, path: str | Path) -> None:
        """Write the file that the ending asks for, whole or not at all."""
        from latens.io.atomic import write_atomic
        from latens.io.plain_files import as_path
        from latens.pictures.images import shown, write_image
        from latens.verbs._files import write_pairs, write_table

        path = as_path(path)
        if self.raw is not None:
            write_atomic(path, self.raw)
        elif path.suffix.lower() == ".png":
            assert self.schema is not None
            if self.beside is None:
                write_image(path, shown(self.schema, self.image))
            else:
                write_pairs(path, self.schema, self.beside, self.image)
        else:
            npz = path.suffix.lower() == ".npz"
            write_table(path, self.arrays if npz or self.table is None else self.table)


class At:
    """Where a verb works: the model, its name in errors, how rows are loaded, and where the result goes."""

    picture: bool = False  # whether the result is a picture

    def __init__(self, trained: "TrainedModel", name: str, out: Path = Path()) -> None:
        self.trained, self.name, self.out = trained, name, out  # `out` is for verbs that fill a folder
        self.options: dict[str, Any] = {}  # how the rows were read, once they are

    def load(self, *, own_classes: bool = False, every: bool = True) -> "Dataset":
        """Load the rows in the form that the model was trained on, or with classes of their own."""
        raise TypeError(f"{type(self).__name__} loads no rows")

    def load_new(self) -> "Dataset":
        """Load the rows as they are, whatever the model was trained on."""
        raise TypeError(f"{type(self).__name__} loads no rows")

    def positions(self, count: int) -> "np.ndarray":
        """Every row, or in a picture as many as can be looked at."""
        import numpy as np

        from latens.verbs._files import pictured

        return pictured(count) if self.picture else np.arange(count)


class Given(At):
    """A verb called in Python, with rows that are in memory or named by a path."""

    def __init__(self, trained: "TrainedModel", data: Any, out: str | Path = "", unknown: str = "error") -> None:
        from latens.io.plain_files import as_path

        super().__init__(trained, "the model", as_path(out, "out"))
        self.data, self.unknown = data, unknown

    def load(self, *, own_classes: bool = False, every: bool = True) -> "Dataset":
        return self._load(self.trained.schema if not own_classes else None)

    def load_new(self) -> "Dataset":
        return self._load(None)

    def _load(self, schema: "Schema | None") -> "Dataset":
        from latens.data import Dataset, load

        return self.data if isinstance(self.data, Dataset) else load(self.data, schema=schema, unknown=self.unknown)


class Verb(Struct, kw_only=True):
    """A command, and the method of `TrainedModel` of the same name."""

    # Calling it does its work.

    endings: ClassVar[tuple[str, ...]] = (".npz",)  # of --out; none where the verb itself fills a folder
    needs_latents: ClassVar[bool] = True  # refuses a Bayes classifier, which has none

    run: Run

    def __call__(self, at: At) -> Work:
        """Check, yield what would be done, and do it."""
        raise TypeError(f"the verb {type(self).__name__} does nothing")


def name_of(verb: type[Verb]) -> str:
    """The word that is typed."""
    return verb.__name__.lower()


def summary_of(verb: type[Verb]) -> str:
    """What `latens --help` says of a verb: the first line of its docstring."""
    line = inspect.cleandoc(verb.__doc__ or "").split("\n")[0].rstrip(".")
    return line[:1].lower() + line[1:]


def arguments_of(verb: type[Verb]) -> Iterator[tuple[str, Any, Any, Meta]]:
    """Name, type, default (`NODEFAULT` where it must be given) and description of every field."""
    hints = get_type_hints(verb, include_extras=True)
    for field in sorted(fields(verb), key=lambda one: one.name != "run"):  # RUN comes first where it has no flag
        kind, meta = get_args(hints[field.name])[:2]
        yield field.name, kind, field.default, meta


@cache
def verbs() -> dict[str, type[Verb]]:
    """Every verb by its name: the classes of the files of this folder that do not begin with an underscore."""
    found: dict[str, type[Verb]] = {}
    package = importlib.import_module("latens.verbs")
    for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")):
        for one in vars(importlib.import_module(f"latens.verbs.{module}")).values():
            if isinstance(one, type) and issubclass(one, Verb) and one is not Verb:
                found[name_of(one)] = one
    return found


def finished(work: Work) -> Made:
    """Do the rest of a verb's work, after its `yield`."""
    try:
        next(work)
    except StopIteration as stop:
        return stop.value
    raise TypeError("a verb yields once: the words that say what it would do")


def method(verb: type[Verb]) -> Callable[..., Made]:
    """The verb as a method of a trained model: the fields but the run, the first of them by position."""
    given = [one for one in arguments_of(verb) if one[0] != "run"]
    if not verb.endings:
        given.insert(0, ("out", str, NODEFAULT, arg("where the files go")))
    names = [name for name, _, _, _ in given]

    def call(trained: "TrainedModel", *values: Any, **options: Any) -> Made:
        if len(values) > len(names):
            raise UsageError(f"{len(values)} arguments.", where=name_of(verb), fix=f"It takes {', '.join(names)}.")
        twice = next((name for name in names[: len(values)] if name in options), None)
        if twice is not None:
            raise UsageError(f"{twice} is given twice.", where=name_of(verb), fix="Give it by position or by name.")
        options |= dict(zip(names, values))
        unknown = next((name for name in options if name not in names), None)
        if unknown is not None:
            raise UsageError(f"there is no argument {unknown!r}.", where=name_of(verb), fix=nearest(unknown, names))
        for name, _, default, meta in given:
            if name not in options:
                if default is NODEFAULT:
                    raise UsageError(f"{name} is missing.", where=name_of(verb), fix=f"Give {name}=.")
                continue
            asked: Arg = (meta.extra or {})["arg"]
            if asked.kind is not None and options[name] is not None:
                options[name] = asked.kind.checked(options[name], name)
            if asked.choices and options[name] is not None and options[name] not in asked.choices:
                fix = nearest(str(options[name]), asked.choices)
                raise UsageError(f"there is no {name} {options[name]!r}.", where=name, fix=fix)
        if verb.needs_latents:
            from latens.workflow.inputs import refuse_classifier

            refuse_classifier(trained.config, name_of(verb), "the model")
        at = Given(trained, options.get("data"), options.pop("out", ""), options.get("unknown", "error"))
        work = verb(run="", **options)(at)
        next(work)
        return finished(work)

    summary = summary_of(verb)
    call.__name__, call.__qualname__ = name_of(verb), f"TrainedModel.{name_of(verb)}"
    call.__doc__ = f"{summary[0].upper()}{summary[1:]}: `latens {name_of(verb)}`."
    parameter, kind = inspect.Parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD
    empty = parameter.empty
    own = [parameter(n, kind, default=empty if d is NODEFAULT else d, annotation=k) for n, k, d, _ in given]
    own.sort(key=lambda one: one.default is not empty)
    call.__signature__ = inspect.Signature([parameter("self", kind), *own], return_annotation=Made)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def attach(kind: type) -> None:
    """Give a class every verb as a method, but for the names that it has already."""
    for name, verb in verbs().items():
        if name not in vars(kind):
            setattr(kind, name, method(verb))
