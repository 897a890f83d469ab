"""Four small models that ship with latens, ready to sample from: `latens sample pretrained:mnist-2d -n 16`.

`digits-2d` and `digits-16d` are the default recipe on scikit-learn's 1797 digits of 8 by 8 pixels (the test part of
UCI's "Optical recognition of handwritten digits", E. Alpaydin and C. Kaynak, CC BY 4.0), with 2 and 16 latent
dimensions. `mnist-2d` and `mnist-50d` are the two models of the 2016 tutorial (`fast-forward-2d`, `fast-forward`) on
MNIST (Y. LeCun, C. Cortes and C. J. C. Burges), of which only the trained numbers are here, in half precision. `make
pretrained` makes them again, by `examples/pretrained.py`.
"""

import json
from pathlib import Path

from latens.errors import UsageError, nearest

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the models that ship with latens, sorted."""
    return sorted(file.stem for file in _FOLDER.glob("*.safetensors"))


def path(name: str) -> Path:
    """The file of a model that ships with latens, for `TrainedModel.load`."""
    if name not in names():
        raise UsageError(
            f"no model {name!r} ships with latens.", where=f"pretrained:{name}", fix=nearest(name, names())
        )
    return _FOLDER / f"{name}.safetensors"


def class_codes(name: str) -> dict[str, list[float]]:
    """The code of a row of each class, of models whose data do not ship with them."""
    file = _FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}
