"""The examples in docstrings print what they say."""

import doctest
import importlib

import pytest
from paths import SOURCE

EXAMPLES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text())


def name_of(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_examples(path):
    found = doctest.testmod(importlib.import_module(name_of(path)), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
