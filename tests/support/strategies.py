"""Hypothesis strategies: arrays, tables and settings, most of them such as nobody should give, some of them good."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from latens.config import to_json
from latens.recipes import RECIPES

DTYPES = st.sampled_from(
    "bool i1 u1 i2 >i4 i8 u8 f2 f4 >f8 c8 c16 U1 U3 S2 O M8[s] m8[D]".split()  # noqa: SIM905
).map(np.dtype)


def _elements(dtype: np.dtype) -> st.SearchStrategy[Any] | None:
    if dtype.kind == "O":
        return st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.just([1]))
    if dtype.kind == "f":
        return st.one_of(
            hnp.from_dtype(dtype), st.sampled_from([0.0, 1.0, 255.0, np.nan, np.inf, float(np.finfo(dtype).max)])
        )
    return None


def arrays(max_dims: int = 5) -> st.SearchStrategy[np.ndarray]:
    """Arrays of any dtype, of 0 to `max_dims` dimensions of 0 to 6 entries, some of them strided or reversed."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=max_dims, min_side=0, max_side=6)
    made = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shapes, elements=_elements(dtype), fill=st.nothing()))
    return st.tuples(made, st.sampled_from(["", "T", "reversed", "strided"])).map(_laid_out)


def _laid_out(pair: tuple[np.ndarray, str]) -> np.ndarray:
    array, layout = pair
    if layout == "T":
        return array.T
    if array.ndim == 0 or not layout:
        return array
    return array[::-1] if layout == "reversed" else np.repeat(array, 2, axis=0)[::2]


def rows() -> st.SearchStrategy[np.ndarray]:
    """Arrays that may well be data: numbers, two dimensions or more, nothing of length 0."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6)
    good = st.sampled_from("bool u1 i2 f4 >f8".split()).map(np.dtype)  # noqa: SIM905
    return good.flatmap(
        lambda dtype: hnp.arrays(
            dtype, shapes, elements=st.floats(-1000, 1000, width=32) if dtype.kind == "f" else None, fill=st.nothing()
        )
    )


_WORDS = st.one_of(
    st.sampled_from(
        ["none", "null", "true", "NaN", "1e999", "-1", "0", "3", "0.5", "500,500", "[1, 2]", "{}", "[[1]]"]
    ),
    st.sampled_from(["normal", "adam", "relu", "elbo", "os.system", "__class__", "😀", "\x00", "9" * 40]),
    st.text(max_size=8),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), _WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


def option_names() -> st.SearchStrategy[str]:
    """Names of options that exist, nearly exist, or do not."""
    known = sorted(
        f"{part}.{option}"
        for recipe in RECIPES.values()
        for part, options in to_json(recipe.config).items()
        if isinstance(options, dict)
        for option in options
    )
    real = st.sampled_from(sorted(set(known)))
    return st.one_of(
        real, real, real, real.map(lambda name: name + ".x"), real.map(lambda name: name[:-1]), st.text(max_size=9)
    )


def settings() -> st.SearchStrategy[dict[str, Any]]:
    """What may follow `--set`, also with values that only Python code can give."""
    return st.dictionaries(option_names(), st.one_of(_WORDS, _WORDS, JSON), max_size=3)


@st.composite
def configurations(draw: st.DrawFn) -> Any:
    """A stored configuration with up to three of its values replaced, added or removed, anywhere."""
    value: Any = to_json(draw(st.sampled_from([RECIPES[name] for name in sorted(RECIPES)])).config)
    for _ in range(draw(st.integers(0, 3))):
        place = value
        while True:
            key = draw(st.sampled_from([*sorted(place), "x"]))
            if not isinstance(place.get(key), dict) or draw(st.booleans()):
                break
            place = place[key]
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            place.pop(key, None)
    return value
