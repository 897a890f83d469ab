"""The names of the API: what the reference lists, what `import latens` gives, what pages and examples import."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from paths import ROOT, SOURCE

ROOMS = "distributions networks models objectives training evidence latents predictive data figures"
PACKAGES = ("latens", *(f"latens.{name}" for name in ROOMS.split()))
"""The packages whose public names the reference lists, with every name of `latens.config`."""

Definition = tuple[Path, str]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def file_of(module: str) -> Path | None:
    """The file of a module of the package."""
    base = SOURCE.joinpath(*module.split(".")[1:])
    found = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in found if path.exists()), None)


def module_of(path: Path) -> str:
    """The module of a file of the package."""
    parts = ["latens", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name here, module and name there, of everything that a file imports from the package."""
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                if module.startswith("latens"):
                    yield alias.asname or alias.name, module, alias.name


def defined(module: str, name: str, seen: tuple[tuple[str, str], ...] = ()) -> Definition | None:
    """Where a name that a module has is defined, behind any number of imports."""
    path = file_of(module)
    if path is None or (module, name) in seen:
        return None
    if any(isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name for n in tree(path).body):
        return path, name
    found = (defined(m, there, (*seen, (module, name))) for here, m, there in imported(path) if here == name)
    return next((one for one in found if one is not None), None)


def named() -> Iterator[tuple[str, str]]:
    """Module and name of all that the reference lists or a page imports."""
    for package in PACKAGES:
        path = file_of(package)
        assert path is not None, package
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                yield from ((package, alias.asname) for alias in node.names if alias.asname)
    config = file_of("latens.config")
    assert config is not None
    yield from (("latens.config", n.name) for n in tree(config).body if isinstance(n, ast.ClassDef | ast.FunctionDef))
    pages = [
        *ROOT.glob("docs/*.md"),
        ROOT / "README.md",
        *ROOT.glob("examples/**/*.py"),
        *ROOT.glob("examples/**/*.ipynb"),
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for module, names in re.findall(
            r"from (latens[\w.]*) import (?:\(\s*)?((?:\w+(?: as \w+)?(?:, *|,\n *)?)+)", text
        ):
            yield from ((module, name.split(" as ")[0].strip()) for name in names.split(","))
        yield from re.findall(r"\b(latens(?:\.[a-z_]+)+)\.(\w+)", text)


@cache
def definitions() -> frozenset[Definition]:
    """File and name of every class and function of the API, and of the classes that these inherit from."""
    found = {one for module, name in named() if not name.startswith("_") and (one := defined(module, name))}
    todo = list(found)
    while todo:
        path, name = todo.pop()
        node = next(n for n in tree(path).body if getattr(n, "name", None) == name)
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            word = base.value if isinstance(base, ast.Subscript) else base
            one = defined(module_of(path), word.id) if isinstance(word, ast.Name) else None
            if one is not None and one not in found:
                found.add(one)
                todo.append(one)
    return frozenset(found)
