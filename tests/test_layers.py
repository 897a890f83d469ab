"""Imports go only to the left, and nothing here can run code that came with a file."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "latens"
LAYERS = (
    {"shapes", "errors", "atomic", "forks", "reuse", "safefile", "storage", "strictjson", "trees"},
    *({"data"}, {"distributions"}, {"networks"}, {"models"}, {"objectives"}, {"training"}, {"evaluation"}),
    {"figures", "explorer"},
)
"""From left to right; whatever is named in none of them is a face, which may import everything."""

FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "imp"}
FILES = sorted(SOURCE.rglob("*.py"))


def rank(module: str) -> int:
    """The place of `latens.<layer>...`; the face, also `latens` itself, comes last."""
    layer = module.split(".")[1] if "." in module else ""
    return next((i for i, names in enumerate(LAYERS) if layer in names), len(LAYERS))


def imports(path: Path) -> list[str]:
    """Every absolute module that a file names in an import, also inside functions."""
    package = ["latens", *path.relative_to(SOURCE).parent.parts]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from latens import x` names latens.x; the version is no import of the face.
            found += [
                f"{module}.{a.name}" if module == "latens" else module for a in node.names if a.name != "__version__"
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_only_to_the_left(path: Path) -> None:
    own = rank("latens." + path.relative_to(SOURCE).with_suffix("").parts[0])
    wrong = [name for name in imports(path) if name.split(".")[0] == "latens" and rank(name) > own]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_way_to_run_foreign_code(path: Path) -> None:
    assert [name for name in imports(path) if name.split(".")[0] in FORBIDDEN] == []
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    assert sorted({"eval", "exec", "compile", "__import__"} & set(names)) == []
    unsafe = [k for node in calls for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
    assert unsafe == []


def test_the_rule_bites() -> None:
    assert rank("latens.shapes") < rank("latens.data.batches") < rank("latens.models") < rank("latens.figures.style")
    assert rank("latens.explorer") < rank("latens.cli") == rank("latens") == rank("latens.estimators")
    assert "latens.objectives.base" in imports(SOURCE / "objectives" / "elbo.py")
    assert "latens.networks.dense" in imports(SOURCE / "networks" / "__init__.py")
