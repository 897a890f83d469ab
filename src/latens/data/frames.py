"""Rows of a mixed table as a frame of pandas, with the dtypes that its columns had."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.columns import ColumnType
from latens.data.dates import zone_of
from latens.data.schema import Schema
from latens.errors import ConfigError


def as_frame(x: np.ndarray, schema: Schema) -> Any:
    """Write stored rows of a mixed table as a frame: ordinals are ordered categoricals, times have their zone.

    Args:
        x: The stored cells, of shape (n, columns).
        schema: The schema of the table.

    Returns:
        A pandas frame with the columns of the schema.

    Raises:
        ConfigError: pandas is not installed, or the schema is not of a mixed table.

    Examples:
        >>> import pandas as pd
        >>> from latens.data import load
        >>> size = pd.Categorical(["S", "M", "L"] * 50, categories=["S", "M", "L"], ordered=True)
        >>> data = load(pd.DataFrame({"size": size}))
        >>> as_frame(data.x, data.schema)["size"].max()
        'L'
    """
    if schema.types is None:
        fix = "Write them as an array: `latens fit DATA --typed` gives columns of numbers types."
        raise ConfigError("the columns of this table have no types.", where="as_frame", fix=fix)
    names = schema.names
    made = {name: as_series(one.decoded(x[:, i]), one) for i, (name, one) in enumerate(zip(names, schema.types))}
    return _pandas().DataFrame(made)


def as_series(values: Shaped[np.ndarray, " n"], one: ColumnType) -> Any:
    """Give the values of a column the dtype that a frame has for them."""
    pandas = _pandas()
    if one.kind == "ordinal":
        return pandas.Series(pandas.Categorical(values, categories=list(one.values), ordered=True))
    if one.zone:
        return pandas.Series(pandas.to_datetime(values, utc=True)).dt.tz_convert(zone_of(one.zone))
    return pandas.Series(values)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ConfigError("pandas is not installed.", where="as_frame", fix="pip install 'latens[tables]'") from None
    return pandas
