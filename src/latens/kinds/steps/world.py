"""What a recording of an environment says beside its rows: spaces, limit of steps, and how it was made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from latens.errors import DataError

KEY = "latens.world"
"""Under which key of a Parquet file's metadata a recording has what it says of itself."""

EPISODE, TIME, ACTION, OBSERVATION, REWARD, TERMINATED = (
    "episode", "t", "action_in", "observation", "reward", "terminated",
)  # fmt: skip

_Limits: TypeAlias = tuple[float | None, ...]


class Space(Struct, frozen=True, forbid_unknown_fields=True):
    """A space of observations or actions: a box of numbers, or whole numbers from `start` on."""

    kind: Literal["box", "discrete"]
    shape: tuple[Annotated[int, Meta(ge=1, le=2**20)], ...] = ()
    low: _Limits = ()
    high: _Limits = ()
    dtype: Literal["float64", "float32", "uint8", "int64", "int32", "int16", "int8"] = "float32"
    n: Annotated[int, Meta(ge=1, le=2**16)] = 1
    start: Annotated[int, Meta(ge=-(2**31), le=2**31)] = 0

    @property
    def size(self) -> int:
        """How many columns an element takes."""
        return int(np.prod(self.shape, dtype=np.int64))

    def columns(self, name: str, count: int | None = None) -> list[str]:
        """The names of these columns: the name itself where there is one, else with a number."""
        return [name] if self.shape == () and count is None else [f"{name}_{i}" for i in range(count or self.size)]

    @property
    def width(self) -> int:
        """How many columns an observation takes: of discrete ones each has its own."""
        return self.n if self.kind == "discrete" else self.size

    def coded(self, x: np.ndarray) -> np.ndarray:
        """Observations (n, size) as columns (n, width): a discrete one is a 1 among zeros."""
        return (x == self.start + np.arange(self.n)).astype(np.float32) if self.kind == "discrete" else x

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest number of every entry, of shape (size,), infinite where there is none."""
        if self.kind == "discrete":
            return np.array([float(self.start)]), np.array([float(self.start + self.n - 1)])
        low = np.array([-np.inf if value is None else value for value in self.low])
        return low, np.array([np.inf if value is None else value for value in self.high])


class World(Struct, frozen=True, forbid_unknown_fields=True):
    """What a recording says of its environment."""

    env: Annotated[str, Meta(max_length=1000)]
    limit: Annotated[int, Meta(ge=1, le=2**31)] | None
    observation: Space
    action: Space
    observed: tuple[Annotated[int, Meta(ge=0, le=2**20)], ...] | None = None
    ends: bool = True

    def encoded(self) -> str:
        """The same as JSON."""
        return msgspec.json.encode(self).decode()

    @property
    def observations(self) -> list[str]:
        """The columns of the observation."""
        space = self.observation
        return space.columns(OBSERVATION, space.n if space.kind == "discrete" else None)

    @property
    def actions(self) -> list[str]:
        """The columns of the action that led to a row."""
        return self.action.columns(ACTION)

    @property
    def inputs(self) -> tuple[str, ...]:
        """How these columns are read at every step: discrete actions as names."""
        return tuple(f"{name}:names" if self.action.kind == "discrete" else name for name in self.actions)


def world_of(metadata: Mapping[str, str] | None, where: str) -> World | None:
    """Read what a Parquet file says of an environment; None where it is no recording."""
    text = (metadata or {}).get(KEY)
    if text is None:
        return None
    try:
        return msgspec.convert(json.loads(text), World)
    except (ValueError, msgspec.ValidationError) as error:
        what = f"what it says of its environment is damaged ({str(error)[:120]})."
        raise DataError(what, where=where, fix="Record it again with `latens.environments.record`.") from None


def recorded(spec: object) -> World | None:
    """What a file says of an environment; None for other data, and for files that are not Parquet."""
    if not isinstance(spec, str | Path) or not str(spec).lower().endswith(".parquet"):
        return None
    if not Path(spec).is_file():
        return None
    try:
        metadata = pl.read_parquet_metadata(spec)
    except (OSError, pl.exceptions.PolarsError):  # whoever reads the rows says what is wrong
        return None
    return world_of(metadata, str(spec))


def box(low: ArrayLike, high: ArrayLike, dtype: str) -> Space:
    """The space of arrays between two others."""
    finite = lambda x: tuple(float(v) if np.isfinite(v) else None for v in np.ravel(x))  # noqa: E731
    return Space("box", np.shape(low), finite(low), finite(high), dtype)  # type: ignore[arg-type]
