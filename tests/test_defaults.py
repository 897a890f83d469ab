"""Defaults, class attributes and constants of every room: as recorded, since oracles give all arguments.

After a change that is meant: `LATENS_RECORD=1 python -m pytest tests/test_defaults.py`.
"""

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
from typing import Any

import msgspec
import pytest
from paths import GOLDEN

import latens

FILE = GOLDEN / "defaults.json"
ROOMS = [info.name for info in pkgutil.iter_modules(latens.__path__) if info.name != "pretrained"]
PLAIN = (bool, int, float, str, tuple, type(None))


def shown(value: Any) -> str:
    said = repr(value) if isinstance(value, PLAIN) else ""
    return "" if " at 0x" in said else said


def of_function(name: str, function: Any) -> dict[str, str]:
    try:
        parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {f"{name}({one.name})": shown(one.default) for one in parameters if one.default is not one.empty}


def of_class(name: str, kind: type) -> dict[str, str]:
    found = {}
    for attribute, value in vars(kind).items():
        if attribute.startswith("__") or attribute.startswith("_abc") or attribute.startswith("_sentinel"):
            continue
        if inspect.isfunction(value):
            found |= of_function(f"{name}.{attribute}", value)
        else:
            found[f"{name}.{attribute}"] = shown(value)
    if dataclasses.is_dataclass(kind):
        found |= {f"{name}({field.name})": shown(field.default) for field in dataclasses.fields(kind)}
    if issubclass(kind, msgspec.Struct):
        named = zip(kind.__struct_fields__[::-1], kind.__struct_defaults__[::-1])
        found |= {f"{name}({field})": shown(default) for field, default in named}
    return found


def defaults_of(room: str) -> dict[str, str]:
    package = importlib.import_module(f"latens.{room}")
    found = {}
    below = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
    for module in (package, *(importlib.import_module(info.name) for info in below)):
        for name, value in vars(module).items():
            full = f"{module.__name__.removeprefix('latens.')}:{name}"
            if getattr(value, "__module__", None) == module.__name__ and inspect.isclass(value):
                found |= of_class(full, value)
            elif getattr(value, "__module__", None) == module.__name__ and callable(value):
                found |= of_function(full, value)
            elif name.strip("_").isupper() and isinstance(value, PLAIN):
                found[full] = shown(value)
    return {name: value for name, value in sorted(found.items()) if value}


@pytest.mark.parametrize("room", ROOMS)
def test_defaults_are_as_recorded(room: str) -> None:
    found = defaults_of(room)
    records = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("LATENS_RECORD"):
        known = {name: value for name, value in records.items() if name in ROOMS} | {room: found}
        FILE.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n")
        return
    both = found.keys() & records[room].keys()  # a new name is known from the next record on
    assert {name: found[name] for name in both} == {name: records[room][name] for name in both}
