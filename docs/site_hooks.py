"""What the site is made of beyond its pages: an API reference of every public name, and formulas as MathML.

Formulas are converted when the site is built, so that a page loads nothing from elsewhere.
"""

import ast
import html
import importlib
import inspect
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

from latens.cli.arguments import COMMANDS, GROUPS, subparsers
from latens.cli.main import main as latens
from latens.commands.base import verbs
from latens.model_figures.draw import PICTURES
from latens.recipes import RECIPES
from latens.trained.metric_functions import METRICS
from latens.trained.trained_model import TrainedModel

SOURCE = Path(__file__).resolve().parents[1] / "src"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
ROOT_PAGES = {"contributing": "CONTRIBUTING.md", "changes": "CHANGELOG.md"}
"""A page of the site, and the file of the repository that it is."""

REFERENCE = {
    "index": ("Python", "The names of `import latens`.", ("latens",)),
    "distributions": (
        "Distributions",
        "A distribution describes one event: `sample(key=)` and `log_prob(event)` in nats. `jax.vmap` makes batches.",
        ("latens.distributions",),
    ),
    "models": (
        "Networks and models",
        "A model has three methods, `prior`, `posterior` and `likelihood`, which return distributions of one event.",
        ("latens.networks", "latens.models"),
    ),
    "objectives": (
        "Objectives",
        "What is minimised: `objective(model, batch, key=, step=)` returns a number and metrics.",
        ("latens.objectives",),
    ),
    "training": (
        "Training",
        "The training loop, its budget, optimisers and callbacks.",
        ("latens.training", "latens.callbacks"),
    ),
    "evaluation": (
        "Evaluation",
        "Numbers with their standard error, number of draws and number of rows.",
        ("latens.evidence", "latens.latents", "latens.predictive"),
    ),
    "data": ("Data", "Readers, data sets and schemas.", ("latens.data",)),
    "figures": ("Figures", "Functions from arrays to matplotlib axes.", ("latens.figures",)),
    "configuration": ("Configuration", "The typed configuration of a run.", ("latens.config",)),
}
"""A page of the reference: its title, its first sentence, the packages whose public names it lists."""

REPOSITORY = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")
NOTEBOOK = re.compile(r"\]\(\.\./examples/notebooks/([a-z0-9-]+)\.ipynb\)")
ANSWERS = re.compile(r"\[([^\]]+)\]\(\.\./(answers/[a-z0-9-]+\.ipynb)\)")
BESIDE = re.compile(r"\]\(([a-z0-9-]+)\.ipynb\)")
ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def public_names(package: str) -> list[str]:
    """The classes and functions that a package hands on (`from x import Y as Y`), or none for a plain module."""
    path = SOURCE.joinpath(*package.split("."), "__init__.py")
    if not path.exists():
        return []
    if package == "latens":
        return list(importlib.import_module(package).__all__)
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [alias.asname for node in imports for alias in node.names if alias.asname == alias.name]
    # VAE and ELBO are classes; other names in capitals are constants.
    return [name for name in names if name and (not name.isupper() or name in _classes())]


@cache
def _classes() -> set[str]:
    """Every class of the source."""
    nodes = (node for path in SOURCE.rglob("*.py") for node in ast.parse(path.read_text()).body)
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)}


FIRST = ("VAE", "Autoencoder", "VAEImputer", "VAEDetector", "GenerativeClassifier", "load", "TrainedModel", "read")
"""The names that come first under their heading."""

TASKS: dict[str, dict[str, str]] = {
    "latens": {
        "Estimators": "estimators",
        "Data": "data kinds",
        "Trained models": "trained predictive explorer runtime",
        "Training": "fitting training",
        "Models of your own": "models networks distributions objectives",
        "Recipes and parts": "recipes config errors",
    },
    "latens.distributions": {
        "Real and positive numbers": "continuous structured",
        "Discrete numbers and counts": "discrete",
        "Mixtures, pixels and text": "mixtures autoregressive blocks",
        "Spheres": "spherical",
        "Divergences": "divergence renyi",
        "Base classes": "base",
    },
    "latens.networks": {"Networks": "dense convolutional", "Sizes": "factory"},
    "latens.models": {
        "Models": "base conditional semi_supervised multimodal",
        "Heads": "heads",
        "Priors": "priors flow_matching",
        "Hierarchies": "top_down",
        "Discrete codes": "quantised",
        "Series": "state_space",
    },
    "latens.objectives": {
        "Bounds": "elbo",
        "Penalties": "mmd quantised",
        "Critics and perception": "adversarial",
        "Labels and modalities": "multimodal",
        "Objectives of your own": "base",
    },
}
"""The headings of a package, each with the modules whose names it has; other names come last."""


def _place(name: str) -> tuple[int, str, str]:
    return FIRST.index(name) if name in FIRST else len(FIRST), name.lower(), name


def by_task(package: str) -> dict[str, list[str]]:
    """The names of a package under their headings."""
    module = importlib.import_module(package)
    tasks = TASKS.get(package, {"": ""})
    found: dict[str, list[str]] = {heading: [] for heading in [*tasks, "Types"]}
    for name in sorted(public_names(package), key=_place):
        value = getattr(module, name)
        home = str(getattr(value, "__module__", "")).split(".")
        known = inspect.isclass(value) or inspect.isfunction(value) or callable(value)
        part = home[2] if len(home) > 2 and ".".join(home[:2]) == package else home[1] if len(home) > 1 else ""
        heading = next((each for each, modules in tasks.items() if part in modules.split()), next(reversed(tasks)))
        found[heading if known and home[0] == "latens" else "Types"].append(name)
    return {heading: names for heading, names in found.items() if names}


def _lower(names: list[str]) -> set[str]:
    """Names that differ from another only in case: their files would be one on some systems."""
    found = [name.lower() for name in names]
    return {name for name in names if found.count(name.lower()) > 1 and name == name.lower()}


def summary(package: str, name: str) -> str:
    """The first line of a docstring."""
    value = getattr(importlib.import_module(package), name)
    if not str(getattr(value, "__module__", "")).startswith("latens"):
        return "A type of annotations."
    line = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return line.replace("|", "\\|")


def commands() -> str:
    """The table of all commands in their groups."""
    lines = ["# Commands", "", "Each command is also a method of `latens.TrainedModel` if the table names one."]
    methods = verbs()
    for title, names in GROUPS.items():
        rows = []
        for name in names:
            method = f"`.{name}()`" if name in methods or hasattr(TrainedModel, name) else ""
            rows.append((f"[`latens {name}`](commands/{name}.md)", COMMANDS[name], method))
        lines += ["", f"## {title.capitalize()}", "", *_table(("command", "purpose", "method"), rows)]
    return "\n".join(lines) + "\n"


def command(name: str, made: Any) -> str:
    """The page of a command: the flags of `--help`, and all of them folded."""
    few = made.format_help().rstrip()
    made.few = None
    every = made.format_help().rstrip().replace("\n", "\n    ")
    lines = [f"# latens {name}", "", f"{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}.", "", "```text", few, "```", ""]
    return "\n".join([*lines, '??? note "All flags"', "", "    ```text", f"    {every}", "    ```"]) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def numbers() -> str:
    """A page of every number that a command measures: the rows of METRICS."""
    rows = [(f"`{one.name.replace('#', 'N')}`", one.words.replace("#", "N"), one.unit, one.needs)
            for one in METRICS.values()]  # fmt: skip
    what = "Every number of `latens evaluate`. [Evaluate and compare](../evaluate.md) explains them."
    return "\n".join(["# Numbers", "", what, "", *_table(("name", "is", "unit", "needs"), rows)]) + "\n"


def recipes() -> str:
    """A page of every recipe: the rows of RECIPES."""
    rows = [(f"`{one.name}`", one.summary, one.use_when, one.source) for one in RECIPES.values()]
    what = "Every recipe of `latens fit DATA --recipe NAME`. [Recipes](../recipes.md) groups them by purpose."
    return (
        "\n".join(["# Recipes, all", "", what, "", *_table(("name", "what it is", "use it when", "source"), rows)])
        + "\n"
    )


def pictures() -> str:
    """A page of every picture: the rows of PICTURES."""
    rows = [(f"`{one.name}`", one.caption, one.sees, one.needs, one.place or "") for one in PICTURES.values()]
    what = "Every picture of `latens report --only figures`. The [gallery](../gallery.md) shows them."
    titles = ("name", "shows", "what to see", "needs", "in a report")
    return "\n".join(["# Pictures", "", what, "", *_table(titles, rows)]) + "\n"


MADE = {"commands": commands, "numbers": numbers, "pictures": pictures, "recipes": recipes}
"""A page of the reference that is a table of the source, and what makes it."""

SOURCES = {
    "src/latens/__init__.py": "index",
    "src/latens/trained/paired.py": "evaluation",
    "src/latens/trained/metrics.py": "numbers",
    "src/latens/model_figures/draw.py": "pictures",
    "src/latens/recipes/recipes.ini": "recipes",
}
"""What the pages link to in a clone, and the page of the reference that the site has instead."""

LIVE = (
    '<iframe src="live/digits.html" title="The explorer of digits in two dimensions" '
    'style="width:100%;height:620px;border:1px solid #8884" loading="lazy"></iframe>'
)
"""What the site shows instead of a picture of the explorer."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the reference, and the notebooks with their outputs."""
    for page, (title, intro, packages) in REFERENCE.items():
        lines = [f"# {title}", "", intro, ""]
        for package in packages:
            same = _lower(public_names(package))
            lines += [] if public_names(package) else [f"::: {package}"]
            for heading, names in by_task(package).items():
                lines += ["", *([f"## {heading}", ""] if heading else []), "| name | |", "|---|---|"]
                for name in names:
                    file = f"reference/{page}/{name}{'_' if name in same else ''}.md"
                    lines.append(f"| [`{name}`]({file.removeprefix('reference/')}) | {summary(package, name)} |")
                    text = f"# {name}\n\n::: {package}.{name}\n    options:\n      show_root_heading: false\n"
                    files.append(File.generated(config, file, content=text))
        files.append(File.generated(config, f"reference/{page}.md", content="\n".join(lines)))
    for page, made in MADE.items():
        files.append(File.generated(config, f"reference/{page}.md", content=made()))
    os.environ["COLUMNS"] = "82"
    for name, made in subparsers().items():
        files.append(File.generated(config, f"reference/commands/{name}.md", content=command(name, made)))
    files.append(File.generated(config, "live/digits.html", content=live()))
    for page, name in ROOT_PAGES.items():
        text = (SOURCE.parent / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, f"{page}.md", content=text.replace("](CHANGELOG.md)", "](changes.md)")))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        body, resources = MarkdownExporter().from_filename(str(path), resources=names)
        body = ANSWERS.sub(r"\1 (`examples/\2`)", body.replace("../../docs/", "../"))
        body = BESIDE.sub(r"](\1.md)", body)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=body))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


@cache
def live() -> str:
    """The explorer of digits in two dimensions as one file, which the pages embed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.html")
        if code := latens(["explore", "pretrained:digits-2d", "digits", "--export", str(path), "--quiet"]):
            raise PluginError(f"latens explore ended with exit code {code}")
        return path.read_text(encoding="utf-8")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Link to the notebooks' pages, and name other files of the repository by their path."""
    if "/" in page.file.src_uri:  # there, `../` is a page of the site
        return markdown
    for path, name in SOURCES.items():
        markdown = markdown.replace(f"](../{path})", f"](reference/{name}.md)")
    markdown = markdown.replace("![The explorer of digits in two dimensions](explorer.png)", LIVE)
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
