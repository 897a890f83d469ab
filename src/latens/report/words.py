"""What a run trained, on what and towards what, in words with their units."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

from latens.config import ClassifierConfig, VAEConfig
from latens.data import Schema
from latens.models import every_latent
from latens.recipes import RECIPES
from latens.recipes.parts.options import OBJECTIVES
from latens.text import visible
from latens.workflow.measurement import density_of, what_density
from latens.workflow.metrics import metric_of
from latens.workflow.trained import TrainedModel

_KINDS = {
    "binary": "each cell 0 or 1",
    "unit": "each cell a number from 0 to 1",
    "real": "each cell a real number",
    "counts": "each cell a whole number from 0 on",
    "mixed": "each of a kind of its own",
}


def metric_name(name: str, trained: TrainedModel | None = None) -> str:
    """Say what a metric is called for people; densities of a model by what they are of."""
    try:
        words = metric_of(name).words
    except KeyError:  # a run of another version may hold others
        words = name.replace("_", " ")
    return words if trained is None else words.replace("log p(x", f"log p({density_of(trained)}")


def cells(schema: Schema) -> str:
    """Say what a row is: "8 x 8 = 64 cells, each a whole number from 0 to 16"."""
    shape = " × ".join(map(str, schema.shape)) or "1"
    count = f"{math.prod(schema.shape)} columns" if schema.columns else f"{shape} = {math.prod(schema.shape)} cells"
    count = count if len(schema.shape) > 1 or schema.columns else f"{math.prod(schema.shape)} cells"
    kind = f"each a whole number from 0 to {(schema.levels or 2) - 1}" if schema.kind == "levels" else ""
    return f"{count}, {kind or _KINDS[schema.kind].replace('each cell', 'each')}"


def model_facts(trained: TrainedModel) -> list[tuple[str, str]]:
    """List the parts of a model and of its training."""
    config = trained.config
    facts = [("Recipe", _recipe(config.recipe) if config else "built by hand")]
    if isinstance(config, VAEConfig):
        posterior, optimizer = config.posterior, config.optimizer
        units = "chosen by the recipe" if posterior.latent_dim is None else f"{posterior.latent_dim} latent units"
        levels = f", further levels of {', '.join(map(str, posterior.levels))}" if posterior.levels else ""
        hidden = "no hidden layer" if not config.network.hidden else " ".join(map(str, config.network.hidden))
        facts.append(("Latents", f"{posterior.kind} posterior, {units}{levels}; prior: {config.prior.kind}"))
        facts.append(("Likelihood", likelihood(trained)))
        if every_latent(trained.model) is None:
            rate = f"{optimizer.name}, learning rate {optimizer.learning_rate:g}, {optimizer.schedule}"
            facts.append(("Networks", f"{config.network.kind}, widths {hidden}, {config.network.activation}"))
            facts.append(("Optimiser", rate))
            facts.append(("Batch", f"{config.training.batch_size or 'all'} rows a step"))
    elif isinstance(config, ClassifierConfig):
        facts.append(("Densities", f"one {config.density.kind} for each class, fitted in closed form or by inference"))
    facts.append(("Trained numbers", f"{trained.num_parameters:,}"))
    return facts


def _recipe(name: str) -> str:
    return f"{name} — {RECIPES[name].summary} ({RECIPES[name].source})" if name in RECIPES else name


def likelihood(trained: TrainedModel) -> str:
    """Say which likelihood a model has, and what its numbers are densities of."""
    config = trained.config
    if not isinstance(config, VAEConfig):
        return ""
    note = what_density(trained, trained.schema.kind).rstrip("; ")
    return config.likelihood.family + (f" ({note})" if note else "")


def objective(trained: TrainedModel) -> list[str]:
    """Say what was minimised."""
    config = trained.config
    if not isinstance(config, VAEConfig):
        return [
            "Nothing was minimised step by step: for every class a density of its rows was fitted, and a row belongs "
            "to the class under which p(x | class) p(class) is largest."
        ]
    if every_latent(trained.model) is not None:
        return [
            "Maximised: log p(x) of the training rows, summed over all classes, by the EM algorithm, under a Dirichlet "
            "prior of the shares of each class."
        ]
    name, options = config.objective.name, dict(config.objective.options)
    size, units = math.prod(trained.schema.shape), config.posterior.latent_dim
    if name == "elbo":
        given = options.get("beta", 1.0)
        beta = float(given) if isinstance(given, int | float) else 1.0
        weight, end = ("", ".") if beta == 1.0 else (f"{beta:g} · ", f" with its KL weighted by beta = {beta:g}.")
        said = [
            f"Minimised: − E_q[log p(x | z)] + {weight}KL(q(z | x) ‖ p(z)), the negative evidence lower bound "
            f"(ELBO){end}",
            "The first term asks how well a row is described from its latent code, the second how much that code says "
            "beyond the prior.",
        ]
    else:
        kind, told = OBJECTIVES.get(name), trained.facts.get("objective")
        told = told if isinstance(told, dict) and kind is None else {}
        first = " ".join((kind.__doc__ or "").split("\n\n")[0].split()) if kind is not None else ""
        first = first or visible(str(told.get("what", "An objective that is not known here"))[:200]) + "."
        said = [f"Minimised: {visible(str(told.get('class', name))[:80])}. {first}".strip()]
    over = f"{size} {'columns' if trained.schema.columns else 'cells'}" + (
        f" and {units} latent units" if units else ""
    )
    said.append(
        f"Unit: nats, natural logarithms of probabilities (1 nat = 1.443 bits), summed over the {over} of a row and "
        "averaged over the rows of a batch. No constant is dropped."
    )
    if epochs := config.objective.beta_warmup_epochs:
        said.append(f"The weight of the KL rose from 0 to its value over {epochs:g} epochs.")
    if others := sorted((key, value) for key, value in options.items() if key != "beta"):
        said.append("Options: " + ", ".join(f"{key} = {value}" for key, value in others) + ".")
    if note := what_density(trained, trained.schema.kind).rstrip("; "):
        said.append(f"Of what the numbers speak: {note}.")
    return said


def command_of(info: Mapping[str, Any]) -> str:
    """Give the command as it was typed."""
    command = info.get("command", "")
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command)
