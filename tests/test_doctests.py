"""The examples in docstrings print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import latens

MODULES = [m.name for m in pkgutil.walk_packages(latens.__path__, "latens.") if not m.name.endswith(".make")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0
