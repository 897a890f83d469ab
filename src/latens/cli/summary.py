"""What `latens fit` prints: data, model and what to type next (the result: `commands/_result_lines.py`)."""

import shlex
from typing import TYPE_CHECKING, Any

from latens.kinds import kind_of
from latens.runs.folder import RunFolder
from latens.text import duration, visible

if TYPE_CHECKING:  # jax is imported only after run.json is on disk
    from latens.trained.experiment import Experiment

MOST_WARNINGS = 3
"""Warnings that are printed; the others stand in the log."""
MOST_NAMED = 3
"""Columns without a part in the model that are named."""


def line(title: str, text: str) -> str:
    """A line of what is printed."""
    return f"{title:<8} {text}"


def before(experiment: "Experiment") -> list[str]:
    """The data and the model, a line each."""
    data, schema = experiment.data, experiment.data.schema
    counts = ", ".join(f"{data.count(name):,} {words}" for name, words in
                       (("train", "to train"), ("validation", "to validate"), ("test", "to test")))  # fmt: skip
    row = " x ".join(map(str, schema.shape)) + kind_of(schema).unit
    some = "1 note" if len(data.notes) == 1 else f"{len(data.notes)} notes"
    ignored = schema.ignored or ()
    left = f"; not modelled: {', '.join(ignored[:MOST_NAMED])}{' ...' * (len(ignored) > MOST_NAMED)}" * bool(ignored)
    notes = left + (f"; {some} in log.txt" if data.notes else "")
    return [
        line("data", visible(f"{data.name}: {len(data):,} rows of {row} ({counts}){notes}")),
        line("model", _model(experiment)),
    ]


def _model(experiment: "Experiment") -> str:
    config: Any = experiment.config
    if not hasattr(config, "posterior"):
        return f"{config.recipe}, fitted in closed form"
    hidden = " x ".join(map(str, config.network.hidden or ()))
    parts = [config.recipe, f"{config.likelihood.family} likelihood", f"{config.posterior.latent_dim} latent units"]
    parts += [f"{config.network.kind} network {hidden}".rstrip(), f"{config.prior.kind} prior"]
    closer = "; closer pictures: --set likelihood=normal" * (config.likelihood.family == "logistic-mixture")
    return ", ".join(part for part in parts if "None" not in part) + closer


def after(run: RunFolder) -> list[str]:
    """What is printed of a run that is done, from what its run.json says."""
    info, here = run.info, shlex.quote(str(run.path))
    seconds, whole, steps = info.get("training_seconds"), info.get("command_seconds"), info.get("step") or 0
    of = "in all" if (whole or seconds or 0.0) >= (seconds or 0.0) else "of this command"  # which resumed the training
    took = "" if seconds is None else f"{duration(seconds)}, {duration(whole or seconds)} {of}"
    best = f", best step {info['best_step']:,}" if info.get("best_step") not in (None, steps) else ""
    prior = "; prior: a mixture of Gaussians fitted to the codes" if (info.get("refit") or {}).get("kept") else ""
    lines = [line("trained", (f"{steps:,} steps{best}, {took}" if steps else took) + prior)] if took else []
    lines += [line("" if k else "result", text) for k, text in enumerate(info.get("plain") or [])]
    if info.get("late"):
        lines.append(line("late", info["late"]))
    warnings = info.get("warnings") or []
    lines += [line("warning", one["message"]) for one in warnings[:MOST_WARNINGS]]
    if len(warnings) > MOST_WARNINGS:
        lines.append(line("", f"{len(warnings) - MOST_WARNINGS} more warnings: latens evaluate {here}"))
    following = (info.get("next") or f"latens report {here}").split("\n")
    return lines + [line("" if k else "next", text) for k, text in enumerate(following)]
