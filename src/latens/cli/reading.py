"""How data were named and read on the command line; this module imports nothing heavy.

It is kept in run.json and in the model file, so that a run finds its data again and reads other files of their form
alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FLAGS = {
    "label": "label",
    "id": "row_id",
    "weight": "weight",
    "missing": "missing",
    "counts": "counts",
    "typed": "typed",
    "columns": "columns",
    "pair": "pair",
    "stream": "stream",
}


def source_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Note DATA and the flags that say how to read it, with the folder in which the command was typed."""
    given = _given(arguments)
    if "pair" in given and Path(given["pair"]).exists():  # the folder beside it is that of DATA
        given["pair"] = str(Path(given["pair"]).resolve())
    return {"spec": arguments["data"], "folder": str(Path.cwd()), **given}


def reading_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn arguments, or what `source_of` stored, into the keywords of `latens.data.load`."""
    return {_FLAGS[flag]: value for flag, value in _given(arguments).items()}


def remembered(source: Any) -> dict[str, Any]:
    """Turn what `source_of` or a model file stored into the keywords for a file of the same form."""
    # A stranger may have written that, so only names of columns and keys count, and never a file with labels of other
    # rows.
    if not isinstance(source, Mapping):
        return {}
    kinds = {"label": str, "id": str, "weight": str, "missing": str, "counts": bool, "typed": bool}
    found = {flag: source[flag] for flag, kind in kinds.items() if isinstance(source.get(flag), kind)}
    if found.get("label", "").endswith(".npy"):
        del found["label"]
    if found.get("missing") != "nan":
        found.pop("missing", None)
    return reading_options(found)


def read_with(source: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a model file keeps of `source_of`: how the rows were read, without where they lay."""
    return {flag: value for flag, value in _given(source).items() if flag not in ("pair", "stream", "columns")}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {flag: arguments[flag] for flag in _FLAGS if arguments.get(flag) is not None}
