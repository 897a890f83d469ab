"""What stands beside the counts of an AnnData file, and what of it a model may be told or shown."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_NAMES = 100
"""Names of a column up to which it may be types or batches."""
_LABEL = re.compile(r"type|label|cluster|leiden|louvain|annotation|identity|class", re.IGNORECASE)
_CONDITIONS = ("batch", "donor", "sample", "patient", "individual", "run", "plate", "lane", "library", "chemistry")


class Beside(NamedTuple):
    """The columns of `obs` in words, and the flags that a model of the file may want."""

    columns: list[tuple[str, str]]  # name, and what it holds
    layers: list[str]
    label: str | None
    condition: str | None
    layer: str | None

    @property
    def flags(self) -> str:
        """What may be typed."""
        pairs = (("--label", self.label), ("--condition", self.condition), ("--layer", self.layer))
        return " ".join(f"{flag} {name}" for flag, name in pairs if name is not None)


def beside(columns: Sequence[tuple[str, np.ndarray]], layers: Sequence[str], *, whole: bool) -> Beside:
    """Say what each column of `obs` holds, and propose a label and a condition among those of names, by their names."""
    # whole: whether the matrix holds counts; where it does not, a layer is proposed.
    words, named = [], []
    for name, cells in columns:
        if cells.dtype.kind in "iuf":
            seen = cells[np.isfinite(cells)]
            words.append((name, f"{seen.min():g} to {seen.max():g}" if len(seen) else "empty"))
            continue
        count = len(np.unique(cells.astype(str)))
        words.append((name, f"{count} names"))
        if 2 <= count <= MOST_NAMES:
            named.append(name)
    label = next((name for name in named if _LABEL.search(name)), None)
    others = [name for name in named if name != label]
    condition = next((name for word in _CONDITIONS for name in others if word in name.lower()), None)
    likely = next((name for name in layers if re.search("count|raw|umi", name, re.IGNORECASE)), None)
    layer = None if whole else likely or next(iter(layers), None)
    return Beside(words, list(layers), label, condition, layer)
