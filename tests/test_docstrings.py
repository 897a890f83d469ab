"""A name of the API says what each argument is; any other has one sentence, and comments where there is a reason."""

import ast
import re

import api
import pytest
from paths import SOURCE

FILES = sorted(SOURCE.rglob("*.py"))
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$", re.MULTILINE)


def public(body):
    """The public definitions of a module or class, without those that a private one hides."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def definitions(body, of_api, inside=False):
    """Every definition with its owner, and whether it is part of the API."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known = inside and not node.name.startswith("_") if of_api is None else node.name in of_api
            yield node, known
            below = node.body if isinstance(node, ast.ClassDef) else []
            yield from definitions(below, None, known)


def inherited(trees):
    """Names of the methods that a base class or a protocol of the package describes."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {f.name for c in classes for f in public(c.body) if "Args:" in (ast.get_docstring(f) or "")}


def faults(tree, described=frozenset(), of_api=None):
    """Lines and names of the API's definitions whose docstring lacks a first line of prose or an argument."""
    top = [node for node in public(tree.body) if of_api is None or node.name in of_api]
    methods = [(f, c) for c in top if isinstance(c, ast.ClassDef) for f in public(c.body)]
    found = []
    for node, owner in [*((f, None) for f in top), *methods]:
        text = ast.get_docstring(node) or ""
        overrides = owner is not None and bool(owner.bases) and node.name in described
        if not text.split("\n")[0].strip() and not overrides:
            found.append((node.lineno, node.name, "no first line"))
        if text.startswith("$"):
            found.append((node.lineno, node.name, "a formula for a first line"))
        if isinstance(node, ast.ClassDef) or overrides:
            continue
        given = node.args
        names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if a]
        section = text.partition("Args:\n")[2]
        lacking = [n for n in names if n not in ("self", "cls") and f"{n}: " not in section]
        found += [(node.lineno, node.name, f"{name} is not described") for name in lacking]
    return found


def wordy(tree, of_api=frozenset()):
    """Lines and names of the other definitions whose docstring is more than a sentence."""
    found = []
    for node, known in definitions(tree.body, of_api):
        text = ast.get_docstring(node) or ""
        if not known and ">>>" not in text and (SECTION.search(text) or "\n\n" in text):
            found.append((node.lineno, node.name, "more than a sentence"))
    return found


def test_docstrings_of_the_api_name_every_argument():
    trees = {path: api.tree(path) for path in FILES}
    described = inherited(trees.values())
    named = {path: {name for file, name in api.definitions() if file == path} for path in FILES}
    found = {str(p.relative_to(SOURCE)): bad for p, tree in trees.items() if (bad := faults(tree, described, named[p]))}
    assert found == {}


def test_other_docstrings_are_a_sentence():
    named = {path: {name for file, name in api.definitions() if file == path} for path in FILES}
    found = {str(path.relative_to(SOURCE)): bad for path in FILES if (bad := wordy(api.tree(path), named[path]))}
    assert found == {}


def test_the_api_is_what_users_are_shown():
    names = {name for _, name in api.definitions()}
    assert {"VAE", "ELBO", "IWAE", "DiagonalNormal", "load", "importance_sampling", "AbstractHead"} <= names
    assert not {"read_for", "output_path", "PartFolder", "Archive"} & names


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ('def f(a, *, b):\n    """Add.\n\n    Args:\n        a: One.\n    """', [(1, "f", "b is not described")]),
        ("def f():\n    pass", [(1, "f", "no first line")]),
        ('class C:\n    r"""$x$: a number."""', [(1, "C", "a formula for a first line")]),
        ('class C:\n    """C."""\n\n    def m(self, a):\n        """M."""', [(4, "m", "a is not described")]),
        ("def _f(a):\n    pass", []),
    ],
)
def test_the_rule_bites(planted, expected):
    assert faults(ast.parse(planted)) == expected


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ('def f(a):\n    """Add.\n\n    Args:\n        a: One.\n    """', [(1, "f", "more than a sentence")]),
        ('def f(a):\n    """Add.\n\n    It is so, because it is.\n    """', [(1, "f", "more than a sentence")]),
        ('class C:\n    def m(self):\n        """M.\n\n        Returns:\n            1.\n        """',
         [(2, "m", "more than a sentence")]),
        ('def f(a):\n    """Add."""\n    # Since it is so.', []),
        ('def g(a):\n    """Add.\n\n    Args:\n        a: One.\n    """', []),
    ],
)  # fmt: skip
def test_the_other_rule_bites(planted, expected):
    assert wordy(ast.parse(planted), {"g"}) == expected
