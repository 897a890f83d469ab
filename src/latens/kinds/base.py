"""What a kind of rows is: where they come from, and what may be said of how they are read; imports nothing heavy."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from latens.data.dataset import Dataset
    from latens.data.door import Coming, Stored
    from latens.data.schema import Schema


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


def option(help: str, metavar: str = "NAME", *, default: Any = None, **how: Any) -> Any:
    """Declare an option of a kind."""
    return dataclasses.field(default=default, metadata={"option": Option(help, metavar, **how)})


@dataclass(kw_only=True, eq=False)
class Rows:
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
    def implies(cls) -> dict[str, Any]:
        """What is said by naming the kind."""
        return {}

    @classmethod
    def has(cls, schema: "Schema") -> bool:
        """Whether a schema is one of rows of this kind."""
        return False

    @classmethod
    def batch_size(cls, data: "Dataset", usual: int) -> tuple[int, str]:
        """How many rows a batch has, and what of them says so."""
        return usual, ""

    @classmethod
    def report(cls, data: "Dataset") -> dict[str, Any]:
        """What `latens check` says of rows of this kind alone."""
        return {}

    @classmethod
    def fits(cls, rows: "Coming") -> bool:
        """Whether rows that were read are of this kind."""
        return False

    def read(self, rows: "Coming") -> None:
        """Change rows that were read, in place; a kind of one's own may do so."""

    @classmethod
    def store(cls, rows: "Coming") -> "Stored":
        """Make what is stored of rows that were read, and their schema."""
        from latens.kinds.numbers.store import store_numbers

        return store_numbers(rows)

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
