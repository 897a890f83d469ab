"""Numbers recorded of code whose slow oracles run in `make long`: for quick tests that any slip must fail.

`LATENS_RECORD=1 python -m pytest TEST` writes them anew: only where `make long` passes and a change is meant.
"""

import json
import os

import jax
import numpy as np
from paths import GOLDEN

FILE = GOLDEN / "numbers.json"


def digest(array: object) -> list[float]:
    """Four numbers of an array that change with any of its entries: its size, and sums with three sets of weights."""
    flat = np.asarray(array)
    flat = (flat if flat.dtype.kind in "bifu" else np.asarray(jax.random.key_data(array))).astype(np.float64).ravel()
    flat = np.nan_to_num(flat, nan=-7.0, posinf=-8.0, neginf=-9.0)
    places = np.arange(1.0, len(flat) + 1.0)
    return [
        float(len(flat)),
        *(float(flat @ weight) for weight in (np.ones(len(flat)), np.sin(places), np.cos(places))),
    ]


def meets_record(name: str, found: object, rtol: float = 2e-4) -> None:
    """A tree of arrays is the recorded one."""
    leaves = jax.tree.leaves_with_path(found)
    own = {jax.tree_util.keystr(path): digest(leaf) for path, leaf in leaves}
    records = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("LATENS_RECORD"):
        records[name] = {key: [round(value, 6) for value in values] for key, values in own.items()}
        lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(records.items()))
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    expected = records[name]
    assert own.keys() == expected.keys(), name
    for key, values in own.items():
        size = max(map(abs, expected[key][1:]))
        np.testing.assert_allclose(values, expected[key], rtol=rtol, atol=1e-5 + rtol * size, err_msg=f"{name}: {key}")
