"""What the tables of papers share: cells that are computed once, intervals over seeds, and binarised test rows."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from latens.data import Dataset, Preparation, prepare_batch
from latens.data.dataset import Batch
from latens.runtime.atomic import write_atomic

TEST_SEED = 123
"""Of the one binarisation of the test rows, the same for every model."""


def say(*words: object) -> None:
    """Words for the reader; stdout is for the table."""
    print(*words, file=sys.stderr, flush=True)


def cell(folder: Path, name: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A cell as it was written under the same settings, or computed and written now."""
    path = folder / "cells" / f"{name}.json"
    if path.is_file():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found
    found = {"name": name, "settings": settings, **compute()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(found, indent=1).encode())
    return found


def interval(values: Any) -> list[float] | None:
    """Student's 95 % interval of a mean over seeds; None for one seed."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    wide = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean() - wide), float(values.mean() + wide)]


def shown(values: Any, digits: int = 2) -> str:
    """The mean and half the interval, in words."""
    wide = interval(values)
    half = "" if wide is None else f" ±{(wide[1] - wide[0]) / 2:.{digits}f}"
    return f"{np.mean(values):.{digits}f}{half}"


def binarised_test_rows(data: Dataset, preparation: Preparation, rows: int | None) -> Batch:
    """The first test rows (all for None), binarised once."""
    batch = data.rows(data.subset("test")[:rows])
    return prepare_batch(preparation, batch, key=jax.random.key(TEST_SEED))
