"""What a kind of rows is: where they come from, and what may be said of how they are read; imports nothing heavy."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from latens.errors import ConfigError, LatensError

if TYPE_CHECKING:
    import numpy as np

    from latens.data.dataset import Dataset
    from latens.data.loading import IncomingRows
    from latens.data.schema import Schema

SMALLEST_SIDE = 8  # 16 yes-or-no answers are not a picture of 4 by 4
SERIES = 8  # unnamed rows of real numbers that are at least this long are drawn as series


class Option(NamedTuple):
    """One thing that may be said of how rows are read, in Python by its name and as a flag of the command."""

    help: str
    metavar: str = "NAME"
    flag: str = ""  # without dashes; "": the name of the field
    many: bool = False  # whether the flag may be given again
    yes: bool = False  # whether the flag has no value
    either: bool = False  # whether it has none, and one for the opposite
    choices: tuple[str, ...] = ()
    most: int = 0  # above 0 a whole number from 1 to it
    again: tuple[type, ...] = ()  # of which types it is taken, from a model file, for other data of its form
    once: bool = False  # whether it is of one file or one training, and a model file does not keep it
    training: bool = False  # whether only commands that train or check have the flag


class Defaults(NamedTuple):
    """What the default recipe takes for rows of a kind, where the data do not decide."""

    network: str = ""  # the kind of networks
    width: int = 0  # of the one hidden layer beside a closed form
    rate: float = 0.0  # the learning rate with it
    cells: int = 0  # values of a row by which other widths go, in the place of its own
    latents: float = 0.25  # latent units for each value of a row
    far: bool = False  # whether a value may lie many standard deviations out
    draws: int = 0  # of the importance-weighted bound in the place of the ELBO
    components: int = 0  # of a mixture as the prior
    hide: float = 0.0  # the share of training rows of which cells are hidden
    scored: int = 100  # draws of z a row where log p(x) is estimated
    whole_bits: bool = False  # whether free bits are of a row and not of a unit


class Stored(NamedTuple):
    """Rows as a kind stores them."""

    x: Any
    schema: "Schema"
    observed: "np.ndarray | None" = None  # of shape (n, *x); None: everywhere
    outside: "np.ndarray | None" = None  # of shape (n, columns)
    unseen: tuple[tuple[int, int, str], ...] = ()
    places: Any = None  # of sequences


def option(help: str, metavar: str = "NAME", *, default: Any = None, **how: Any) -> Any:
    """Declare an option of a kind, which the command has as a flag.

    Args:
        help: What it says of the rows, as `--help` prints it.
        metavar: What stands for its value in the help.
        default: Its value where nothing is said.
        **how: Further fields of `latens.kinds.Option`, such as `choices`.

    Returns:
        The field of a dataclass.
    """
    return dataclasses.field(default=default, metadata={"option": Option(help, metavar, **how)})


def later(module: str, name: str) -> Any:
    """Make a method of a kind of a function that needs what is heavy: it is imported when it is first called."""
    return classmethod(lambda cls, *given: getattr(import_module(module), name)(*given))


def always(value: Any) -> Any:
    """Make a method of a kind that gives the same, whatever it is asked of."""
    return classmethod(lambda cls, *given: value)


@dataclass(kw_only=True, eq=False)
class Kind:
    """Rows of any kind: a path, a name, an array, a frame or another object, and how it is read.

    Args:
        source: Where the rows come from, as for `latens.read`.
    """

    title: ClassVar[str] = "reading the data"
    likelihood: ClassVar[tuple[str, str] | None] = None
    """That of the default recipe and why; None: the data decide."""
    defaults: ClassVar[Defaults] = Defaults()
    endings: ClassVar[tuple[str, ...]] = (".npz", ".png")
    """Of files with rows that a model made."""
    samples: ClassVar[tuple[str, ...]] = ()
    """Of files with samples, the usual one first; (): as of others."""
    printed: ClassVar[bool] = False
    """Whether rows are printed where no file is named."""
    implies: ClassVar[Mapping[str, Any]] = {}
    """What is said by naming the kind."""
    lacks: ClassVar[Mapping[str, tuple[str, str]]] = {
        "types": (
            "the model knows no columns by kind, which give a cell an exact probability.",
            "Train with `latens fit DATA --typed`, or leave it out.",
        )
    }
    """What is refused of such rows, by what would need it: the words, and what to do."""
    unknown: ClassVar[tuple[str, str]] = ("name", "cells hold names that no training row had, and count as missing")
    """What no training row had, in a word and in a warning."""
    ends: ClassVar[bool] = False
    """Whether rows are of unlike length, so that a gap is what lies behind the end of one."""
    pictured: ClassVar[bool] = True
    """Whether rows of the shape of an image are one."""
    unit: ClassVar[str] = ""
    """What the places of a row are called after their number."""
    recipe: ClassVar[str] = ""
    """The recipe that takes the place of the default one."""

    source: Any = dataclasses.field(kw_only=False)
    label: Any = option("the column, .npz key or .npy file with the labels; 'none' ignores labels", again=(str,))
    row_id: Any = option("the column or .npz key with the row ids", flag="id", again=(str,))
    weight: Any = option("the column or .npz key with the weights of the rows", again=(str,))
    condition: str | Sequence[str] | Mapping[str, Any] | None = option(
        "a column of categories or numbers that the model is conditioned on; repeatable", many=True, once=True
    )
    missing: str | None = option("treat NaN as missing (default: an error)", "nan", choices=("nan",), again=(str,))
    stream: bool | None = option(
        "keep the rows on disk, in one file of the cache (default: above 1 GiB of numbers)", either=True, once=True
    )

    @classmethod
    def image(cls, schema: "Schema") -> tuple[int, ...] | None:
        """The shape of rows that are images.

        Args:
            schema: Of the rows.

        Returns:
            Height and width, with a third number, 1 or 3, where the rows have channels. None: they are no images.
        """
        # Images are rows with two axes, or three of which the last has length 1 or 3; and unnamed rows of one axis
        # whose values are binary, levels or in [0, 1] and whose length is a square, 8 by 8 or more (784 is 28 by 28).
        shape = schema.shape if cls.pictured else ()
        side = math.isqrt(math.prod(shape))
        if len(shape) == 1 and schema.columns is None and not schema.standardised and side >= SMALLEST_SIDE:
            return (side, side) if side * side == shape[0] else None
        return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)) else None

    @classmethod
    def looks(cls, schema: "Schema") -> set[str]:
        """What the figures of a model may need of its rows.

        Args:
            schema: Of the rows.

        Returns:
            Some of the words "numbers", "images", "table", "mixed columns", "series" and "text".
        """
        if cls.image(schema) is not None:
            return {"numbers", "images"}
        long = schema.shape[0] >= SERIES and not (schema.cells.whole and schema.cells.pixel)
        return {"numbers", "table", *["series"] * long} if len(schema.shape) == 1 else {"numbers"}

    @classmethod
    def face(cls, schema: "Schema") -> dict[str, Any]:
        """How the explorer's page draws a row.

        Args:
            schema: Of the rows.

        Returns:
            The `kind` of picture by name ("image", "table", "curve" or "text"), and what that kind needs beside it.
        """
        if (image := cls.image(schema)) is not None:
            return {"kind": "image", "image": [*image, 1][:3]}
        return {"kind": "curve" if schema.columns is None else "table"}

    @classmethod
    def described(cls, schema: "Schema") -> str:
        """What a row is, in words: "8 × 8 = 64 cells, each a whole number from 0 to 16".

        Args:
            schema: Of the rows.
        """
        count = math.prod(schema.shape)
        shape = f"{' × '.join(map(str, schema.shape))} = " if len(schema.shape) > 1 and not schema.columns else ""
        return f"{shape}{count} {'columns' if schema.columns else 'cells'}, each {schema.cells.words}"

    @classmethod
    def refuse(cls, what: str, where: str, error: type[LatensError] = ConfigError) -> None:
        """Refuse what needs something that such rows have not.

        Args:
            what: What is needed, a key of `lacks`; any other is not refused.
            where: The argument, flag or command that needs it.
            error: The class of the error.

        Raises:
            LatensError: The rows lack it. The error is of the class `error`.
        """
        if found := cls.lacks.get(what):
            raise error(found[0], where=where, fix=found[1])

    @classmethod
    def known(cls, schema: "Schema") -> dict[str, Any]:
        """How other rows are read for a model of such rows.

        Args:
            schema: Of the rows that the model was trained on.

        Returns:
            Options of reading by name, such as the `pieces` of text; for images the shape of `pictures`.
        """
        picture = len(schema.shape) in (2, 3) and not schema.standardised
        return {"pictures": (*schema.shape, 1)[:3]} if picture else {}

    @classmethod
    def sampled(cls, schema: "Schema") -> tuple[tuple[str, ...], str]:
        """The endings of files with samples.

        Args:
            schema: Of the rows.

        Returns:
            Every ending that can be written, and the usual one.
        """
        endings = cls.samples or cls.endings
        endings = (".npz", ".csv", ".parquet") if ".csv" not in endings and schema.names else endings
        return endings, ".png" if cls.image(schema) is not None else endings[0]

    @classmethod
    def batch_size(cls, data: "Dataset", usual: int) -> tuple[int, str]:
        """How many rows a batch of training has.

        Args:
            data: The rows.
            usual: How many it has where the rows do not decide.

        Returns:
            The number of rows, and the reason in words: "" where it is the usual number.
        """
        return usual, ""

    def read(self, rows: "IncomingRows") -> None:
        """Change rows that were read, in place; a kind of one's own may do so.

        Args:
            rows: The rows, with their values in `rows.raw.x`, of shape (n, ...).
        """

    @classmethod
    def buckets(cls, schema: "Schema") -> tuple[int, ...]:
        """The lengths that batches of training are cut to, in steps, the longest last; none of rows of one length.

        Args:
            schema: Of the rows.
        """
        return ()

    @classmethod
    def texts(cls, schema: "Schema", x: "np.ndarray") -> "dict[str, np.ndarray]":
        """Arrays that stand beside rows in a file so that people can read them.

        Args:
            schema: Of the rows.
            x: Rows as they are stored, of shape (n, ...).

        Returns:
            By name, arrays of shape (n,).
        """
        return {}

    wrong = always(None)
    """Of a schema of any kind that a file holds, the entry of this kind that is wrong and what is wrong with it."""
    refuse_holes = always(None)
    """Of what is seen of rows and the name of the data, refuse gaps that such rows cannot have."""
    dtype = later("latens.data.infer", "dtype_of_numbers")
    """Of a schema, the type that cells are kept in."""
    table = always(None)
    """Of a schema, arrays by name and where steps came from, the columns of the table that they make."""
    frame = always(None)
    """Of stored rows, a schema and the steps of cells beyond it, the frame that they are; None of arrays."""
    counted = always({})
    """Of a schema and a batch, the parts that rows of unlike length have, by the name of a number of one part."""
    rivals = always({})
    """Of a data set and a batch, what is simpler than a model, by the name of its gain: words, and log p(x) of rows."""
    report = always({})
    """Of a data set, what `latens check` says of rows of this kind alone."""
    store = later("latens.data.infer", "store_numbers")
    """Make what is stored of rows that were read, a `Stored` with their schema."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """What may be said, by the name of its field: of this kind alone, not what all have."""
        bases = (base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base))
        of_all = {one.name for base in bases for one in dataclasses.fields(base)}
        own = (one for one in dataclasses.fields(cls) if "option" in one.metadata)
        return {one.name: one.metadata["option"] for one in own if one.name not in of_all}

    def said(self) -> dict[str, Any]:
        """What was said, by name."""
        found = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if "option" in one.metadata}
        return {name: value for name, value in found.items() if value is not None and value is not False}


KINDS: list[type[Kind]] = []  # from `latens.kinds`: steps, text, table, counts, pictures and numbers


def kind_of(schema: "Schema") -> type[Kind]:
    """The kind of rows that a schema is of."""
    steps, text, table, counts, pictures, numbers = KINDS
    if schema.sequences is not None or schema.tokens is not None:
        return steps if schema.sequences is not None else text
    if schema.kind in ("mixed", "counts"):
        return table if schema.kind == "mixed" else counts
    return pictures if len(schema.shape) > 1 else numbers


def kind_of_rows(rows: "IncomingRows") -> type[Kind]:
    """The kind of rows that were read, where none was named."""
    steps, text, table, counts, pictures, numbers = KINDS
    if rows.long is not None or rows.raw.strings is not None:
        return steps if rows.long is not None else text
    if rows.typed or rows.raw.kinds is not None if rows.schema is None else rows.schema.kind == "mixed":
        return table
    return counts if rows.raw.cells else pictures if getattr(rows.raw.x, "ndim", 0) > 2 else numbers
