"""Imports go only to the left, no file has two subjects, and nothing here can run code that came with a file."""

import ast
import re
from pathlib import Path

from paths import SOURCE

ROOMS = (
    {"errors", "typing"},
    {"runtime", "config", "trainable"},
    {"data", "kinds", "distributions"},
    {"networks", "figures"},
    {"models"},
    {"objectives"},
    {"training"},
    {"evidence"},
    {"latents"},
    {"predictive"},
    {"recipes", "runs", "pretrained"},
    {"trained"},
    {"fitting"},
    {"model_figures", "estimators", "explorer", "environments"},
    {"report", "callbacks", "commands"},
    {"latens"},
    {"cli"},
)
"""Files and folders of the package from left to right: a file imports from its own room and from those before it."""

FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "imp"}
FILES = sorted(SOURCE.rglob("*.py"))


def room(module: str) -> str:
    """The file or folder below the package that a module is in; `latens` itself is the package's face."""
    return module.split(".")[1] if "." in module else "latens"


def rank(module: str) -> int:
    """The place of a module's room. **Raises:** ValueError for a room that nobody ranked."""
    found = [place for place, names in enumerate(ROOMS) if room(module) in names]
    if not found:
        raise ValueError(f"{module} is in no ranked room")
    return found[0]


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
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            found += [f"{module}.{name}" if module == "latens" else module for name in names]
    return found


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(["latens", *(part for part in parts if part != "__init__")])


def upwards(path: Path, names: list[str]) -> list[str]:
    """Those of the imports of a file that go to a room right of its own."""
    own = rank(module_of(path))
    return [name for name in names if name.split(".")[0] == "latens" and rank(_home(name)) > own]


def _home(name: str) -> str:
    """The module of an import; a name that the package itself hands on is the face's."""
    first = name.split(".")[1] if "." in name else ""
    return name if (SOURCE / first).is_dir() or (SOURCE / f"{first}.py").is_file() else "latens"


def test_imports_go_only_to_the_left() -> None:
    wrong = {str(path.relative_to(SOURCE)): bad for path in FILES if (bad := upwards(path, imports(path)))}
    assert wrong == {}
    assert len(FILES) > 200


def test_the_root_holds_few_files() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 6


PRIVATE = re.compile(r"jax(\.\w+)*\._(?!_)|jaxlib(\.|$)")


def private(text: str) -> list[str]:
    """What a program takes of JAX that is not part of its public face, by import or by name."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)]
    return sorted({name for name in names if PRIVATE.match(name)})


def test_nothing_is_taken_of_jax_that_is_not_public() -> None:
    assert {str(path.relative_to(SOURCE)): bad for path in FILES if (bad := private(path.read_text()))} == {}
    assert private("from jax._src import core\nimport jaxlib.x\nfrom jaxlib import y\njax._src.core.call()") == [
        "jax._src", "jax._src.core", "jax._src.core.call", "jaxlib", "jaxlib.x",
    ]  # fmt: skip
    assert private("import jax\nfrom jax import lax\njax.lax.psum\njax.__version__") == []


def test_no_way_to_run_foreign_code() -> None:
    for path in FILES:
        assert [name for name in imports(path) if name.split(".")[0] in FORBIDDEN] == [], path
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
        assert sorted({"eval", "exec", "compile", "__import__"} & set(names)) == [], path
        keywords = [keyword for node in calls for keyword in node.keywords if keyword.arg == "allow_pickle"]
        assert [k for k in keywords if ast.unparse(k.value) != "False"] == [], path


def test_the_rule_bites() -> None:
    objective = SOURCE / "objectives" / "elbo.py"
    assert upwards(objective, imports(objective)) == []
    assert upwards(objective, ["latens.training.step", "latens.cli.main", "latens.data"]) == [
        "latens.training.step",
        "latens.cli.main",
    ]
    assert upwards(objective, ["latens.VAE"]) == ["latens.VAE"]
    assert "latens.objectives.base" in imports(objective)
    assert "latens.networks.dense" in imports(SOURCE / "networks" / "__init__.py")
