"""How data were named on the command line, kept in run.json so that a run finds them again. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FLAGS = {"label": "label", "id": "row_id", "weight": "weight", "missing": "missing", "counts": "counts"}


def source_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """DATA and the flags that say how to read it, with the folder in which the command was typed."""
    return {"spec": arguments["data"], "folder": str(Path.cwd()), **_given(arguments)}


def reading_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of `latens.data.load` from arguments, or from what `source_of` stored."""
    return {_FLAGS[flag]: value for flag, value in _given(arguments).items()}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {flag: arguments[flag] for flag in _FLAGS if arguments.get(flag) is not None}
