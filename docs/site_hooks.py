"""What the site is made of beyond its pages: an API reference of every public name, and formulas as MathML.

Formulas are converted when the site is built, so that a page loads nothing from elsewhere.
"""

import ast
import html
import re
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

SOURCE = Path(__file__).resolve().parents[1] / "src"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "examples" / "notebooks"

REFERENCE = {
    "index": ("The class and the functions", "The names that `import latens` gives.", ("latens",)),
    "distributions": (
        "Distributions",
        "A distribution is of one event: `sample(key=)`, and `log_prob(event)` in nats. `jax.vmap` makes batches.",
        ("latens.distributions",),
    ),
    "models": (
        "Networks and models",
        "A model is three methods, each of which returns a distribution over one event: `prior`, `posterior`, "
        "`likelihood`.",
        ("latens.networks", "latens.models"),
    ),
    "objectives": (
        "Objectives",
        "What is minimised: `objective(model, batch, key=, step=)` gives one number and honest metrics.",
        ("latens.objectives",),
    ),
    "training": ("Training", "A compiled loop over pure steps.", ("latens.training",)),
    "evaluation": (
        "Evaluation",
        "Numbers with their standard error, their number of samples and their number of rows.",
        ("latens.evaluation",),
    ),
    "data": ("Data", "What comes in, checked.", ("latens.data",)),
    "figures": ("Figures", "Arrays in, matplotlib axes out.", ("latens.figures",)),
    "configuration": ("Configuration", "The typed configuration of a run.", ("latens.config",)),
}
"""A page of the reference: its title, its first sentence, the packages whose public names it lists."""

REPOSITORY = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")
NOTEBOOK = re.compile(r"\]\(\.\./examples/notebooks/([a-z-]+)\.ipynb\)")
ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def public_names(package: str) -> list[str]:
    """The classes and functions that a package hands on (`from x import Y as Y`), or none for a plain module."""
    path = SOURCE.joinpath(*package.split("."), "__init__.py")
    if not path.exists():
        return []
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [alias.asname for node in imports for alias in node.names if alias.asname == alias.name]
    # VAE and ELBO are classes; other names in capitals are constants.
    return [name for name in names if name and (not name.isupper() or name in _classes())]


@cache
def _classes() -> set[str]:
    """Every class of the source."""
    nodes = (node for path in SOURCE.rglob("*.py") for node in ast.parse(path.read_text()).body)
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the reference, and the notebooks with their outputs."""
    for page, (title, intro, packages) in REFERENCE.items():
        lines = [f"# {title}", "", intro, ""]
        for package in packages:
            names = [f"{package}.{name}" for name in public_names(package)] or [package]
            lines += [line for name in names for line in (f"::: {name}", "")]
        files.append(File.generated(config, f"reference/{page}.md", content="\n".join(lines)))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        body, resources = MarkdownExporter().from_filename(str(path), resources=names)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=body.replace("../../docs/", "../")))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Link to the notebooks' pages, and name other files of the repository by their path."""
    markdown = NOTEBOOK.sub(r"](notebooks/\1.md)", markdown)
    return REPOSITORY.sub(r"\1 (`\2`)", markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML."""

    def mathml(match: re.Match[str]) -> str:
        return convert(html.unescape(match.group(2)), display="block" if match.group(1) == "div" else "inline")

    return FORMULA.sub(mathml, content)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from another host."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found.group()}")
    return output
