"""Data sets known by name: scikit-learn's own, drawn shapes, MNIST and Fashion-MNIST (a copy, or downloaded)."""

import gzip
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.files import read_path
from latens.data.row_fields import ColumnRoles, Raw
from latens.errors import DataError
from latens.kinds.pictures.drawn_shapes import known_shapes

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# name -> (folder on the web, SHA-256 of the four original files in the order of _IDX_FILES)
_DOWNLOADS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion-mnist": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def digits() -> Raw:
    """Read scikit-learn's 1797 handwritten digits: 8x8 whole numbers 0..16, labels 0..9."""
    spec = importlib.util.find_spec("sklearn")
    table = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else None
    if table is not None and table.is_file():
        # To import scikit-learn for this table takes longer than everything else before the first training step.
        with gzip.open(table) as file:
            rows = np.loadtxt(file, np.uint8, delimiter=",")
        return Raw(rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64))
    import sklearn.datasets

    data: Any = sklearn.datasets.load_digits()
    return Raw(data.images.astype(np.uint8), data.target)


def _table(loader: str) -> Callable[[], Raw]:
    def load() -> Raw:
        import sklearn.datasets

        data: Any = getattr(sklearn.datasets, loader)()
        return Raw(
            data.data,
            data.target,
            columns=tuple(str(name) for name in data.feature_names),
            classes=tuple(str(name) for name in data.target_names),
        )

    return load


def find_local(name: str) -> Path | None:
    """Find the folder of a local copy: LATENS_DATA/NAME, then ./data/NAME (also with _ for -)."""
    homes = [Path(os.environ["LATENS_DATA"])] if os.environ.get("LATENS_DATA") else []
    for home in [*homes, Path("data")]:
        for spelling in (name, name.replace("-", "_")):
            for start in (f"train-images{dot}idx3-ubyte{end}" for dot in "-." for end in ("", ".gz")):
                if (home / spelling / start).is_file():
                    return home / spelling
    return None


def download(name: str) -> Path:
    """Fetch what is missing of a data set's four original files, and check it by SHA-256."""
    import pooch

    url, hashes = _DOWNLOADS[name]
    folder = Path(pooch.os_cache("latens")) / name
    for file, sha in zip(_IDX_FILES, hashes):
        try:
            pooch.retrieve(url + file, known_hash=f"sha256:{sha}", fname=file, path=folder)
        except Exception as error:  # whatever the network, the disk or the check says: the remedy is the same
            what = f"could not be downloaded from {url} ({type(error).__name__}: {str(error)[:120]})."
            fix = f"Put {', '.join(_IDX_FILES)} into ./data/{name} (or into $LATENS_DATA/{name})."
            raise DataError(what, where=name, fix=fix) from None
    return folder


def _pictures(name: str) -> Callable[[], Raw]:
    def load() -> Raw:
        raw = read_path(find_local(name) or download(name), ColumnRoles())
        raw.classes = _FASHION if name == "fashion-mnist" else None
        return raw

    return load


KNOWN: dict[str, Callable[[], Raw]] = {
    "digits": digits,
    "shapes": known_shapes,
    "mnist": _pictures("mnist"),
    "fashion-mnist": _pictures("fashion-mnist"),
    "wine": _table("load_wine"),
    "breast-cancer": _table("load_breast_cancer"),
    "iris": _table("load_iris"),
}
"""name -> what reads it."""
