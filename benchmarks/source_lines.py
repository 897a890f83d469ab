"""How many source lines a variant is: the classes and functions that are its alone, and its recipe.

    python benchmarks/source_lines.py [--pythae FOLDER] [--json]

Blank lines, comments and docstrings are not counted. `--pythae` is the folder `pythae/models` of its sources; a model
there is every file of its folder but `__init__.py`.
"""

import argparse
import ast
import inspect
import io
import json
import textwrap
import tokenize
from pathlib import Path
from typing import Any

import latens
from latens import distributions, models, objectives
from latens.distributions import chain
from latens.models import quantised
from latens.models.heads import base as posterior_heads
from latens.objectives import adversarial as perceptual

VARIANTS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "VampPrior": ("vamp-prior", "vamp", (models.VampPrior,)),
    "IWAE": ("iwae", "iwae", (objectives.IWAE,)),
    "FactorVAE": ("factor-vae", "factor_vae", (objectives.FactorVAE,)),
    "beta-TC-VAE": ("beta-tc-vae", "beta_tc_vae", (objectives.BetaTC,)),
    "inverse autoregressive flow": (
        "iaf",
        "vae_iaf",
        (chain.Autoregressive, posterior_heads.flow_head),
    ),
    "WAE (MMD)": ("wae-mmd", "wae_mmd", (objectives.WAE,)),
    "adversarial autoencoder": ("aae", "adversarial_ae", (objectives.AAE,)),
    "MS-SSIM": (
        "ms-ssim-vae",
        "msssim_vae",
        (objectives.PerceptualSimilarity, perceptual.ms_ssim),
    ),
    "regularised autoencoder": ("rae-gp", "rae_gp", (objectives.RegularisedAutoencoder,)),
    "hyperspherical": (
        "hyperspherical-vae",
        "svae",
        (distributions.VonMisesFisher, distributions.UniformSphere, posterior_heads.VonMisesFisherHead),
    ),
    "vector quantisation": (
        "vq-vae",
        "vq_vae",
        (quantised.VectorQuantiser, quantised.CodeHead, quantised.CodePosterior, objectives.Quantised),
    ),
}
"""Variant -> (recipe, Pythae's folder, what is its alone)."""


def count(source: str) -> int:
    """Lines of code in a source text."""
    tree, documentation = ast.parse(source), set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                documentation |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines: set[int] = set()
    spaces = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in spaces:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def recipe_lines(name: str) -> int:
    """Lines of the call that makes the recipe: the longest that begins with its name."""
    found = 0
    for path in sorted((Path(latens.__file__).parent / "recipes").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and getattr(node.args[0], "value", None) == name:
                found = max(found, (node.end_lineno or node.lineno) - node.lineno + 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythae", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    table = []
    for name, (recipe, folder, parts) in VARIANTS.items():
        own = sum(count(textwrap.dedent(inspect.getsource(part))) for part in parts)
        row = {"variant": name, "recipe": recipe, "lines": own, "recipe_lines": recipe_lines(recipe)}
        if arguments.pythae:
            files = [f for f in (arguments.pythae / folder).glob("*.py") if f.name != "__init__.py"]
            row["pythae"] = sum(count(file.read_text()) for file in files)
        table.append(row)
    if arguments.json:
        print(json.dumps(table))
        return
    print("| variant | latens | of which the recipe | Pythae |\n|---|---|---|---|")
    for row in table:
        both = row["lines"] + row["recipe_lines"]
        print(f"| {row['variant']} (`{row['recipe']}`) | {both} | {row['recipe_lines']} | {row.get('pythae', '')} |")


if __name__ == "__main__":
    main()
