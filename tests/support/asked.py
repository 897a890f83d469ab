"""Functions of rows, asked about a model and a batch."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from latens.evidence import ModelRows


def at(function: Callable[..., Any], model: Any, batch: Any, *args: Any, **options: Any) -> Any:
    """Ask a function about these rows; what belongs to them may stand among its options."""
    own = {one.name: options.pop(one.name) for one in fields(ModelRows) if one.name in options}
    return function(ModelRows(model, batch, **own), *args, **options)
