"""Every public function and method says in its docstring what it does and what each argument is."""

import ast

import pytest
from paths import SOURCE

FILES = sorted(SOURCE.rglob("*.py"))


def public(body):
    """The public definitions of a module or class, without those that a private one hides."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def inherited(trees):
    """Names of the methods that a base class or a protocol of the package describes."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {f.name for c in classes for f in public(c.body) if "Args:" in (ast.get_docstring(f) or "")}


def faults(tree, described=frozenset()):
    """Lines and names of the definitions whose docstring lacks a first line of prose or an argument."""
    methods = [(f, c) for c in public(tree.body) if isinstance(c, ast.ClassDef) for f in public(c.body)]
    found = []
    for node, owner in [*((f, None) for f in public(tree.body)), *methods]:
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


def test_docstrings_name_every_argument():
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    described = inherited(trees.values())
    found = {str(path.relative_to(SOURCE)): bad for path, tree in trees.items() if (bad := faults(tree, described))}
    assert found == {}


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
