"""What benchmarks of whole trainings with several seeds share: arguments, data, the interval over seeds."""

import argparse
from dataclasses import replace

import numpy as np
from scipy import stats

from latens.data import Dataset, load
from latens.runtime.compilation import enable_compilation_cache


def arguments_of(description: str, seeds: int) -> argparse.ArgumentParser:
    """A parser of --data, --rows, --seeds (`seeds` unless given), --set and --json."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="a name or a folder of IDX files")
    parser.add_argument("--rows", type=int, help="training rows (default: all)")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--json", action="store_true")
    return parser


def opened(arguments: argparse.Namespace) -> tuple[Dataset, dict[str, str]]:
    """The data with the rows asked for, and the settings; compiled programs are kept from now on."""
    enable_compilation_cache()
    return some(load(arguments.data), arguments.rows), dict(item.split("=", 1) for item in arguments.set)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of a mean over seeds; without width for one seed."""
    middle, n = float(values.mean()), len(values)
    wide = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return middle - wide, middle + wide


def some(data: Dataset, rows: int | None) -> Dataset:
    """The data with so many training rows (the others are left out), as many as there are where None."""
    train_rows = data.subset("train")
    if rows is None or rows >= len(train_rows):
        return data
    kept = np.sort(np.concatenate([data.order(0, 0)[:rows], data.subset("validation"), data.subset("test")]))
    names = ("x", "row_id", "names", "split", "label")
    return replace(data, **{name: getattr(data, name)[kept] for name in names})
