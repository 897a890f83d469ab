"""One typed request a verb: flags, help, checks, `--dry-run`, `--json`, files and the method follow from its fields.

A verb is a class in a file of this folder. Its docstring is the command's summary and its fields are the arguments.
Calling it with a `Call` does the work in two steps. What stands before its `yield` is checked by `--dry-run` too, and
the words that it yields say what would be done. No verb imports anything heavy at its top: `latens --help` imports all.
"""

import argparse
import importlib
import inspect
import os
import pkgutil
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache, wraps
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeAlias, get_args, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from latens.errors import ConfigError, UsageError, nearest
from latens.runtime.compilation import check_process

if TYPE_CHECKING:
    import numpy as np

    from latens.data import Dataset, Schema
    from latens.kinds import Kind
    from latens.kinds.steps.sequences import Places
    from latens.kinds.tables.table_files import Written
    from latens.runs.folder import RunFolder
    from latens.trained.trained_model import TrainedModel


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
    kind: Callable[[str], Any] | None
    choices: tuple[str, ...]
    reads: bool  # a file that the command must not write over
    many: bool  # of a flag: it may be given again; of a positional argument: the rest of the line
    group: str  # the heading in `--help`


def arg(
    words: str, flag: str = "", metavar: str = "", *, kind: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] = (), reads: bool = False, many: bool = False, group: str = "",
) -> Meta:  # fmt: skip
    """Describe a field: its help, its flag where that is not its name, and what it takes."""
    return Meta(description=words, extra={"arg": Arg(flag, metavar, kind, choices, reads, many, group)})


_GIVEN = "a condition of the model, such as batch=2 (default: the most frequent category or the median); repeatable"
Given = Annotated[list[str] | None, arg(_GIVEN, metavar="NAME=VALUE", many=True)]
RUN, DATA = "a run folder, .safetensors file or pretrained:NAME", "a file, folder, glob or built-in data set"
Run = Annotated[str, arg(RUN, "RUN", reads=True)]
Data = Annotated[Any, arg(DATA, "DATA", reads=True)]
Seed = Annotated[int, arg("the seed of the draws (default 0)", metavar="S", kind=whole(0, 2**32 - 1))]
Unknown = Annotated[
    str,
    arg("treat an unknown category as an error (default) or as missing, or skip the row",
        choices=("error", "missing", "skip")),
]  # fmt: skip
Mean = Annotated[bool | None, arg("means of p(x | z), or draws (default: means in a .png, else draws)")]
Theme = Annotated[str, arg("colours (default light)", choices=("light", "dark"))]

count, draws, table_rows = whole(1, 2**40), whole(1, 10**7), whole(1, 10**7)
parts, units = whole(1, 10**5), whole(1, 2**16)
"""`count` is of what takes time, not memory; the others take memory."""


class DryRun(NamedTuple):
    """What a verb would do, where a file's name and the words for it do not say all."""

    text: str
    value: dict[str, Any]  # what --json prints


Work: TypeAlias = Generator[str | DryRun, None, "Result"]


class Result(Struct, kw_only=True):
    """What a verb made: arrays by name, and what is said of them."""

    arrays: dict[str, Any] = {}
    value: dict[str, Any] = {}  # what --json prints
    text: str = ""
    plain: tuple[str, ...] = ()  # what it comes to, in at most four lines that stand above the text
    note: str = ""  # said after a result that is printed
    warnings: tuple[str, ...] = ()
    # The columns of a table, where these are not the arrays; or what makes them for a path and a number.
    table: Any = None
    further: int = 0  # tables beside the file, from number 0 on
    infinite: tuple[str, ...] = ()  # columns that may hold infinite numbers
    known: tuple[str, ...] = ()  # cells that stand in a .csv as in the training data
    dialect: "Written | None" = None  # how a table of text is written; None: with commas
    added: tuple[str, ...] = ()  # columns of numbers that a .csv has rounded, with the decimal mark of the others
    image: Any = None  # rows of a picture, (n, *x)
    beside: "np.ndarray | None" = None  # the originals of these rows, which stand above them
    pixels: Callable[[], tuple[Any, int]] | None = None  # a picture of another kind: images, and how many in a line
    schema: "Schema | None" = None  # of the rows
    places: "Places | None" = None  # of rows that are sequences where their steps came from
    files: Callable[[], dict[str, bytes]] | None = None  # what goes into a folder, by name
    raw: bytes | None = None  # the file itself
    trained: "TrainedModel | None" = None  # a model that was made
    status: int = 0  # the exit code of the command

    def __post_init__(self) -> None:
        from latens.kinds import kind_of

        if self.schema is None or "x" not in self.arrays:
            return
        kind = kind_of(self.schema)
        if texts := kind.texts(self.schema, self.arrays["x"]):
            self.arrays = {**self.arrays, **texts}
            self.table = {name: array for name, array in self.arrays.items() if array.ndim == 1}
        if self.table is None:
            self.table = kind.table(self.schema, self.arrays, self.places)

    def write(self, path: str | Path) -> None:
        """Write the file that the ending asks for, whole or not at all."""
        from latens.commands._files import arrays_of, table_bytes, text_lines, write_npz
        from latens.runtime.atomic import as_path, resource_errors, write_atomic, write_together
        from latens.runtime.file_limits import numbered

        path = as_path(path)
        if self.files is not None:
            made = {path / name: data for name, data in self.files().items()}
            for folder in {one.parent for one in made}:
                with resource_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            write_together(made.items())
        elif self.raw is not None:
            write_atomic(path, self.raw)
        elif path.suffix.lower() == ".txt":
            write_atomic(path, text_lines(path, self.arrays["text"].tolist()))
        elif path.suffix.lower() == ".npz":
            write_npz(path, self.arrays or arrays_of(self.table))  # type: ignore[arg-type]
        elif path.suffix.lower() != ".png":
            plain: Any = self.arrays if self.table is None else self.table
            make: Any = self.table if callable(self.table) else lambda path, number: plain
            tables = [(path, None), *((numbered(path, k), k) for k in range(self.further))]
            given = (self.infinite, self.known, self.dialect, self.added)
            write_together((one, table_bytes(one, make(one, number), *given)) for one, number in tables)
        else:
            self._write_pixels(path)

    def _write_pixels(self, path: Path) -> None:
        """Write the picture of the rows."""
        from latens.commands._files import write_pairs
        from latens.model_figures.image_scale import shown, write_image

        if self.pixels is not None:
            images, columns = self.pixels()
            write_image(path, images, columns=columns)
            return
        assert self.schema is not None
        if self.beside is None:
            write_image(path, shown(self.schema, self.image))
        else:
            write_pairs(path, self.schema, self.beside, self.image)

    def __repr__(self) -> str:
        return "\n".join((*self.plain, self.text)) or f"arrays: {', '.join(self.arrays)}"


class Call:
    """Where a verb works: the model, its name in errors, how rows are loaded, and where the result goes."""

    def __init__(
        self, trained: "TrainedModel", name: str = "the model", *, run: "RunFolder | None" = None, data: Any = None,
        out: str | Path = "", unknown: str = "error",
    ) -> None:  # fmt: skip
        self.trained, self.name, self.run, self.data = trained, name, run, data
        if out != "":
            from latens.runtime.atomic import as_path

            as_path(out, "out")
        self.asked, self.unknown = str(out), unknown  # what --out says
        self.out, self.writes = Path(), False  # where the result goes, if it goes anywhere
        self.kept = 0  # rows that stand there already, while the work goes on
        self.flags: Mapping[str, Any] = {}  # all flags of the command
        self.given: dict[str, Any] = {}  # what they say of reading rows
        self.told: dict[str, Any] = {}  # what they say of the model's conditions
        self.options: dict[str, Any] = {}  # how the rows were read, once they are
        self.typed: Sequence[str] = ()  # the words of the command
        self.warn: Callable[[str], Any] = warnings.warn
        self.say: Callable[[str], Any] = str  # on stderr, of a command alone

    def tell(self, given: Mapping[str, Any] | Sequence[str]) -> None:
        """Have conditions hold for all that the model makes, and for all rows that are loaded."""
        from latens.data.conditions import beyond, parse_given

        known = self.trained.schema.conditions or ()
        self.told = dict(given) if isinstance(given, Mapping) else parse_given(given, known)
        self.trained = self.trained.given(self.told)
        for words in beyond(known, self.told):
            self.warn(words)

    @property
    def kind(self) -> "type[Kind]":
        """The kind of rows of the model."""
        from latens.kinds import kind_of

        return kind_of(self.trained.schema)

    @property
    def picture(self) -> bool:
        """Whether the result is a picture."""
        return self.out.suffix.lower() == ".png"

    @property
    def noiseless(self) -> bool:
        """Whether the result is a picture that shows means: noise of single pixels hides what each z decodes to."""
        # A Bayes classifier has no likelihood: its rows of a class differ by their noise alone.
        family = getattr(getattr(self.trained.config, "likelihood", None), "family", "autoregressive-")
        return self.picture and not family.startswith("autoregressive-")

    def check_picture(self, fix: str) -> None:
        """Refuse a picture of rows that are none."""
        schema = self.trained.schema
        if self.picture and schema.image is None:
            raise UsageError(f"rows of shape {schema.shape} are not pictures.", where=f"--out {self.asked}", fix=fix)

    def write_to(self, path: Path | None) -> None:
        """Have the result written; None for nowhere."""
        if path is not None:
            self.out, self.writes = path, True

    def knows(self, data: "Dataset") -> bool:
        """Whether these are the data the model was trained on."""
        return data.fingerprint == self.trained.facts.get("fingerprint")

    def dialect(self, data: Any = None) -> Any:
        """How a table of text with such rows is written; of None those of the run."""
        from latens.commands._files import kept_dialect
        from latens.kinds.tables.table_files import written_of

        source = self.run.info["data"] if data is None and self.run is not None else {"spec": data, **self.given}
        kept = kept_dialect(self.trained.facts.get("dialect"))
        return written_of(source.get("spec"), {"decimal_comma": kept.decimal_comma, **source}) or kept

    def load(self, **how: Any) -> "Dataset":
        """Load the rows in the form that the model was trained on; `read` of `_sources` says what can be asked for."""
        return self.load_of(self.data, **how)

    def load_of(self, data: Any, **how: Any) -> "Dataset":
        """Load other rows alike; None stands for the model's own."""
        from latens.commands._sources import read

        return read(self, data, **how)

    def load_new(self) -> "Dataset":
        """Load the rows as they are, whatever the model was trained on."""
        from latens.commands._sources import load_new
        from latens.data import Dataset

        self.options = self.given
        return self.data if isinstance(self.data, Dataset) else load_new(self.data, self.given)

    def positions(self, count: int) -> "np.ndarray":
        """Every row, or in a picture as many as can be looked at."""
        import numpy as np

        from latens.commands._files import MOST_IMAGES
        from latens.data.row_fields import evenly_spaced

        return evenly_spaced(np.arange(count), MOST_IMAGES if self.picture else count)


class Command(Struct, kw_only=True):
    """A command. Calling it does its work."""

    endings: ClassVar[tuple[str, ...]] = (".npz",)  # of --out; none where the verb writes by itself
    takes_out: ClassVar[tuple[str, str] | None] = ("FILE", "")  # metavar and help of --out; None for no such flag
    prints: ClassVar[bool] = False  # whether the result is its text, on stdout
    by_row: ClassVar[bool] = False  # whether what is made of a row hangs on that row alone: --ray over files
    by_batch: ClassVar[bool] = False  # whether its numbers are made of batches, which --ray distributes

    def __call__(self, at: Call) -> Work:
        """Check, yield what would be done, and do it."""
        raise TypeError(f"the command {type(self).__name__} does nothing")

    def place(self, at: Call) -> Path | None:
        """Where the result goes, None for nowhere; a verb that overrides this is asked when the model is open."""
        return self.checked_out(at.asked)

    def checked_out(self, out: str, endings: tuple[str, ...] = ()) -> Path:
        """Refuse a path with another ending, a folder, or one of the inputs."""
        return out_path(out, endings or self.endings, self.inputs())

    def inputs(self) -> list[Any]:
        """The files that the command must not write over."""
        return [getattr(self, name) for name, _, _, meta in arguments_of(type(self)) if (meta.extra or {})["arg"].reads]


class ModelCommand(Command, kw_only=True):
    """A command about one model, and the method of `TrainedModel` of the same name."""

    needs_latents: ClassVar[bool] = True  # refuses a Bayes classifier, which has none
    needs_density: ClassVar[tuple[str, str]] = ("", "")  # what only a model with log p(x) can say, and what to train

    run: Run


def out_path(out: str, endings: Sequence[str], inputs: Sequence[Any]) -> Path:
    """The file of a result, or a UsageError."""
    if not out and not endings:
        raise UsageError("is missing: it names the output folder.", where="--out", fix="Add --out FOLDER.")
    listed = ", ".join(endings)
    if not out:
        fix = f"Add --out FILE, with one of: {listed}."
        raise UsageError("is missing: it names the output file.", where="--out", fix=fix)
    path = Path(out)
    if not endings:
        return path
    if path.suffix.lower() not in endings:
        what = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise UsageError(f"{path.name!r} {what}.", where="--out", fix=f"Use one of: {listed}.")
    if path.is_dir():
        raise UsageError("this is a folder.", where=f"--out {path}", fix="Give the name of a file.")
    for name in inputs:
        if isinstance(name, str) and os.path.exists(name) and path.exists() and os.path.samefile(name, path):
            raise UsageError("this would overwrite the input.", where=f"--out {path}", fix="Choose another name.")
    return path


def name_of(verb: type[Command]) -> str:
    """The word that is typed."""
    return verb.__name__.lower()


def help_of(verb: type[Command]) -> str:
    """What `latens --help` says of a verb: the first line of its docstring."""
    line = inspect.cleandoc(verb.__doc__ or "").split("\n")[0].rstrip(".")
    return line[:1].lower() + line[1:]


@cache
def arguments_of(verb: type[Command]) -> list[tuple[str, Any, Any, Meta]]:
    """Name, type, default (`NODEFAULT` where it must be given) and description of every field."""
    hints = get_type_hints(verb, include_extras=True)
    ordered = sorted(fields(verb), key=lambda one: one.name != "run")  # RUN comes first where it has no flag
    return [(one.name, kind, one.default, meta) for one in ordered for kind, meta in [get_args(hints[one.name])[:2]]]


@cache
def verbs() -> dict[str, type[Command]]:
    """Every verb by its name: the classes of the files of this folder that do not begin with an underscore."""
    found: dict[str, type[Command]] = {}
    package = importlib.import_module("latens.commands")
    for module in sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.name.startswith("_")):
        for one in vars(importlib.import_module(f"latens.commands.{module}")).values():
            if isinstance(one, type) and issubclass(one, Command) and one not in (Command, ModelCommand):
                found[name_of(one)] = one
    return dict(sorted(found.items()))


def refuse(verb: type[Command], at: Call) -> None:
    """Refuse a model without what a verb needs: latents, or log p(x)."""
    from latens.config import VAEConfig
    from latens.trained.inputs import refuse_classifier

    if not issubclass(verb, ModelCommand):
        return
    trained, (says, fix) = at.trained, verb.needs_density
    if verb.needs_latents:
        refuse_classifier(trained.config, name_of(verb), at.name)
    if says and (not isinstance(trained.config, VAEConfig) or trained.is_point):
        raise ConfigError(f"only a model with log p(x) can compute {says}.", where=at.name, fix=fix)


def finished(work: Work) -> Result:
    """Do the rest of a verb's work, after its `yield`."""
    try:
        next(work)
    except StopIteration as stop:
        return stop.value
    raise TypeError("a command yields once, what --dry-run prints")


def method(verb: type[Command]) -> Callable[..., Result]:
    """The verb as a method of a trained model: the fields but the run, the first of them by position."""
    given = [one for one in arguments_of(verb) if one[0] != "run"]
    if not verb.endings:
        given.append(("out", str, NODEFAULT if verb.place is Command.place else "", arg("where the files go")))
    given.sort(key=lambda one: one[2] is not NODEFAULT)
    names = [name for name, _, _, _ in given]

    def call(trained: "TrainedModel", *values: Any, **options: Any) -> Result:
        if len(values) > len(names):
            raise UsageError(f"{len(values)} arguments.", where=name_of(verb), fix=f"It takes {', '.join(names)}.")
        twice = next((name for name in names[: len(values)] if name in options), None)
        if twice is not None:
            raise UsageError(f"{twice} is given twice.", where=name_of(verb), fix="Give it by position or by name.")
        options |= dict(zip(names, values))
        if (unknown := next((name for name in options if name not in names), None)) is not None:
            raise UsageError(f"there is no argument {unknown!r}.", where=name_of(verb), fix=nearest(unknown, names))
        for name, hint, default, meta in given:
            if name not in options:
                if default is NODEFAULT:
                    raise UsageError(f"{name} is missing.", where=name_of(verb), fix=f"Give {name}=.")
                continue
            asked: Arg = (meta.extra or {})["arg"]
            if isinstance(asked.kind, Range) and not (options[name] is None and type(None) in get_args(hint)):
                options[name] = asked.kind.checked(options[name], name)
            if asked.choices and options[name] is not None and options[name] not in asked.choices:
                fix = nearest(str(options[name]), asked.choices)
                raise UsageError(f"there is no {name} {options[name]!r}.", where=name, fix=fix)
        unknown = options.get("unknown", "error")
        check_process()
        at = Call(trained, data=options.get("data"), out=options.pop("out", ""), unknown=unknown)
        refuse(verb, at)
        if options.get("given"):
            at.tell(options["given"])
        request = verb(**{"run": "", **options})
        if at.asked:
            at.write_to(request.place(at))
        next(work := request(at))
        made = finished(work)
        for words in made.warnings:
            at.warn(words)
        return made

    summary = help_of(verb)
    call.__name__, call.__qualname__ = name_of(verb), f"TrainedModel.{name_of(verb)}"
    call.__doc__ = f"{summary[0].upper()}{summary[1:]}: `latens {name_of(verb)}`."
    parameter, kind = inspect.Parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD
    empty = parameter.empty
    own = [parameter(n, kind, default=empty if d is NODEFAULT else d, annotation=k) for n, k, d, _ in given]
    call.verb = verb  # pyright: ignore[reportFunctionMemberAccess]
    call.__signature__ = inspect.Signature([parameter("self", kind), *own], return_annotation=Result)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def attach(kind: type) -> None:
    """Give a class every verb as a method, but for the names that it has already."""
    for name, verb in verbs().items():
        own = vars(kind).get(name)
        if own is not None and verb.by_row and not hasattr(own, "blocks"):
            setattr(kind, name, _or_by_blocks(own, verb))
        elif own is None and issubclass(verb, ModelCommand):
            setattr(kind, name, method(verb))


def _or_by_blocks(own: Callable[..., Any], verb: type[Command]) -> Callable[..., Any]:
    """A method that takes a Ray Dataset too, and gives one of what the verb makes of its rows."""

    @wraps(own)
    def call(trained: "TrainedModel", data: Any, *values: Any, **options: Any) -> Any:
        if not type(data).__module__.startswith("ray.data"):
            return own(trained, data, *values, **options)
        from latens.commands._ray import over_dataset

        return over_dataset(trained, verb, data, *values, **options)

    call.blocks = True  # type: ignore[attr-defined]
    return call
